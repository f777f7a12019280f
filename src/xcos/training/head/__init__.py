"""The xCos head: two grids → similarity map, attention map, score; one weighting a file."""

from xcos.training.head.concat import Concat
from xcos.training.head.fixed import Fixed, correlation_weights
from xcos.training.head.make import make_head
from xcos.training.head.maps import FaceMaps, PairMaps, mirror_average
from xcos.training.head.norm import Norm
from xcos.training.head.separable import Separable
from xcos.training.head.symmetric import Symmetric
from xcos.training.head.uniform import Uniform
from xcos.training.head.weighting import Weighting
from xcos.training.head.xcos_head import XcosHead

__all__ = [
    "Concat",
    "FaceMaps",
    "Fixed",
    "Norm",
    "PairMaps",
    "Separable",
    "Symmetric",
    "Uniform",
    "Weighting",
    "XcosHead",
    "correlation_weights",
    "make_head",
    "mirror_average",
]
