"""Norm weighting: the cosine of the two flattened grids, taken apart exactly."""

from __future__ import annotations

from dataclasses import dataclass

from xcos.compare import NormWeighted
from xcos.explainers.cells import cell_explanation, comparison_of
from xcos.explainers.explanation import Explanation
from xcos.explainers.masking import open_pair
from xcos.explainers.matcher import Matcher
from xcos.types import AlignedFace


@dataclass(frozen=True)
class NormWeighting:
    """``w cos(a, b)`` of each cell with ``w = |a| |b| / (|A| |B|)``: these sum to the cosine of the flattened grids.

    That cosine is the matcher's score only where the matcher compares by it (:class:`~xcos.compare.NormWeighted`);
    otherwise the map is a baseline that needs nothing but the network's grid. Both photos get the same map.
    """

    matcher: Matcher
    name: str = "norm"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps whose cells sum to the cosine of the flattened grids; two passes."""
        pair = open_pair(self.matcher, probe, reference)
        cells = comparison_of(pair, NormWeighted()).contribution
        return cell_explanation(self.name, pair, cells, cells)
