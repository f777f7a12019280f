"""The name of a weighting → a head with it."""

from __future__ import annotations

from typing import get_args

from xcos.errors import InvalidArgument
from xcos.training.config import HeadWeighting
from xcos.training.head.concat import Concat
from xcos.training.head.norm import Norm
from xcos.training.head.separable import Separable
from xcos.training.head.symmetric import Symmetric
from xcos.training.head.uniform import Uniform
from xcos.training.head.weighting import Weighting
from xcos.training.head.xcos_head import XcosHead


def make_head(
    weighting: HeadWeighting, grid_channels: int, *, channels: int, detach_similarity: bool = False
) -> XcosHead:
    """A head that has learned nothing; its weights are drawn from torch's global generator."""
    made = _make_weighting(weighting, grid_channels, channels)
    return XcosHead(grid_channels, made, channels=channels, detach_similarity=detach_similarity)


def _make_weighting(name: HeadWeighting, grid_channels: int, channels: int) -> Weighting:
    match name:
        case "separable":
            return Separable(grid_channels)
        case "symmetric":
            return Symmetric(channels)
        case "concat":
            return Concat(channels)
        case "norm":
            return Norm()
        case "uniform":
            return Uniform()
    raise InvalidArgument(f"weighting {name!r} is unknown; one of {', '.join(get_args(HeadWeighting))}")
