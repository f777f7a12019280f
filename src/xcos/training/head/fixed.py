"""One map for all pairs, and the paper's way to find it."""

from __future__ import annotations

import torch
from torch import Tensor

from xcos.errors import InvalidArgument
from xcos.training.head.maps import FaceMaps
from xcos.training.head.weighting import Weighting


class Fixed(Weighting):
    """The same given attention for every pair; ``weights`` is ``(h, w)``, each ≥ 0, total 1."""

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        fits = weights.ndim == 2 and bool((weights >= 0).all()) and abs(float(weights.sum()) - 1) <= 1e-5
        if not fits:
            raise InvalidArgument(
                f"weights must be (h, w), each ≥ 0, with total 1, got {tuple(weights.shape)} from "
                f"{float(weights.min()):.3g} to {float(weights.max()):.3g}, total {float(weights.sum()):.6g}; "
                "make them with correlation_weights()"
            )
        self.register_buffer("weights", weights.detach().clone().float())

    def forward(self, probe: FaceMaps, reference: FaceMaps) -> Tensor:  # noqa: ARG002  # as Weighting
        """``(n, h, w)``: the given weights, n times."""
        n, _, *cells = probe.features.shape
        if cells != list(self.weights.shape):
            raise InvalidArgument(f"weights of {list(self.weights.shape)} cells cannot weigh grids of {cells} cells")
        return self.weights.to(probe.features.dtype).expand(n, *cells)


def correlation_weights(similarity: Tensor, teacher: Tensor) -> Tensor:
    """``(h, w)``, total 1: Pearson correlation of each cell's cosine with the teacher's, divided by their sum.

    ``similarity`` (n, h, w) holds the local cosines of n pairs and ``teacher`` (n,) the teacher's cosines of the
    same pairs ('corr' in the xCos paper, which took LFW's 6,000 pairs; use pairs you will not test on).
    """
    if similarity.ndim != 3 or teacher.shape != similarity.shape[:1] or len(teacher) < 2:
        raise InvalidArgument(
            f"want similarity (n, h, w) and teacher (n,) of at least two pairs, got {tuple(similarity.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    cells = similarity.double() - similarity.double().mean(dim=0)
    wanted = (teacher.double() - teacher.double().mean())[:, None, None]
    lengths = cells.square().sum(dim=0).sqrt() * wanted.square().sum().sqrt()
    correlation = (cells * wanted).sum(dim=0) / lengths
    if not bool((correlation >= 0).all()):  # NaN, of a cell or teacher that never changes, is not ≥ 0 either
        raise InvalidArgument(
            f"{int((~(correlation >= 0)).sum())} of {correlation.numel()} cells do not vary with the teacher's score, "
            "or vary against it, and cannot be weighted by their correlation; take more pairs, mated and non-mated"
        )
    return (correlation / correlation.sum()).to(torch.float32)
