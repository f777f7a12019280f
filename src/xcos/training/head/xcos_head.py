"""Two grids of a network → similarity, attention, score."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import normalize

from xcos.errors import InvalidArgument
from xcos.training.head.block import Block
from xcos.training.head.maps import FaceMaps, PairMaps, cosine_per_cell
from xcos.training.head.weighting import Weighting


class XcosHead(nn.Module):
    """Explainable cosine: ``Σ attention · cosine`` over the cells of two projected grids (Lin et al. 2021).

    ``detach_similarity`` stops the score's gradient at the features inside the cosines; it then reaches the
    network through the attention alone, as in the authors' later training runs.
    """

    def __init__(
        self, grid_channels: int, weighting: Weighting, *, channels: int = 32, detach_similarity: bool = False
    ) -> None:
        super().__init__()
        self.grid_channels = grid_channels
        self.channels = channels
        self.detach_similarity = detach_similarity
        self.projection = Block(grid_channels, channels, 1, slopes=channels)
        self.weighting = weighting

    def project(self, grid: Tensor) -> Tensor:
        """``(n, channels, h, w)`` features of the network's grid ``(n, grid_channels, h, w)``, not normalised."""
        if grid.ndim != 4 or grid.shape[1] != self.grid_channels:
            raise InvalidArgument(f"a grid must be (n, {self.grid_channels}, h, w), got {tuple(grid.shape)}")
        features: Tensor = self.projection(grid)
        return features

    def face(self, grid: Tensor) -> FaceMaps:
        """What :meth:`compare` needs of each face; project once, compare often."""
        return FaceMaps(grid, self.project(grid))

    def compare(self, probe: FaceMaps, reference: FaceMaps) -> PairMaps:
        """Maps of n pairs."""
        if probe.features.shape != reference.features.shape:
            raise InvalidArgument(
                f"the two sides must have equal shapes, got {tuple(probe.features.shape)} and "
                f"{tuple(reference.features.shape)}"
            )
        a, b = probe.features, reference.features
        if self.detach_similarity:
            a, b = a.detach(), b.detach()
        attention: Tensor = self.weighting(probe, reference)
        return PairMaps(cosine_per_cell(a, b), attention)

    def forward(self, probe_grid: Tensor, reference_grid: Tensor) -> PairMaps:
        """Maps of n pairs of network grids, ``(n, grid_channels, h, w)`` each."""
        return self.compare(self.face(probe_grid), self.face(reference_grid))

    @staticmethod
    def id_vector(projected: Tensor) -> Tensor:
        """``(n, channels · h · w)`` unit vectors for the classification loss: features flattened channel first."""
        return normalize(projected.flatten(1), dim=1)
