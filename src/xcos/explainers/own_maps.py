"""The comparison's own maps: what each cell adds to the score. Nothing is estimated, and the sum is the score."""

from __future__ import annotations

from dataclasses import dataclass

from xcos.explainers.cells import cell_explanation, comparison_of
from xcos.explainers.explanation import Explanation
from xcos.explainers.masking import open_pair
from xcos.explainers.matcher import GridMatcher
from xcos.types import AlignedFace


@dataclass(frozen=True)
class OwnMaps:
    """Contributions of the matcher's own comparator: attention times similarity of each cell; they sum to the score.

    Lin, Liu, Chen, Wang, Chang, Hsu, "xCos: An Explainable Cosine Metric for Face Verification Task" (ACM TOMM 2021).
    Both photos get the same map, as a cell stands for one place of both.
    """

    matcher: GridMatcher
    name: str = "own"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps whose cells sum to the score; two passes."""
        pair = open_pair(self.matcher, probe, reference)
        cells = comparison_of(pair, self.matcher.comparator).contribution
        return cell_explanation(self.name, pair, cells, cells)
