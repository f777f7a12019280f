"""What the head knows of a face and says of a pair."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import normalize

from xcos.errors import InvalidArgument

EPSILON = 1e-6
"""Features are divided by their length or by this, whichever is larger: a cell without features has cosine 0."""


class FaceMaps(NamedTuple):
    """The two grids of n faces that a weighting may read."""

    grid: Tensor
    """``(n, channels, h, w)`` of the network, before the projection."""
    features: Tensor
    """``(n, k, h, w)`` after the projection, not normalised."""


class PairMaps(NamedTuple):
    """The two maps of n pairs, whose product sums to the score."""

    similarity: Tensor
    """``(n, h, w)``, −1…1: cosine of the two faces' features in each cell."""
    attention: Tensor
    """``(n, h, w)``, each ≥ 0, total ≤ 1: how much each cell counts."""

    @property
    def score(self) -> Tensor:
        """``(n,)``, −1…1: sum of similarity · attention over the cells."""
        return (self.similarity * self.attention).sum(dim=(1, 2))


def cosine_per_cell(probe: Tensor, reference: Tensor) -> Tensor:
    """``(n, h, w)`` cosines over the channels of two ``(n, k, h, w)``, same cell in both; 0 where one is all zero."""
    return (normalize(probe, dim=1, eps=EPSILON) * normalize(reference, dim=1, eps=EPSILON)).sum(dim=1)


def mirror_average(grid: Tensor, grid_of_mirror: Tensor) -> Tensor:
    """``(n, channels, h, w)``: mean of a photo's grid and its mirrored photo's, the latter mirrored back first.

    A mirrored photo has the viewer's left eye in the right column of its grid; averaged as they are, the two
    grids would mix left and right halves of the face. Do this before any normalisation.
    """
    if grid.ndim != 4 or grid.shape != grid_of_mirror.shape:
        raise InvalidArgument(
            f"grids must be two equal (n, channels, h, w), got {tuple(grid.shape)} and {tuple(grid_of_mirror.shape)}"
        )
    return (grid + grid_of_mirror.flip(-1)) / 2
