"""Threshold-centred contributions where their cells look: each cell's spread over the squares that it really sees."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from xcos.errors import InvalidArgument
from xcos.explainers.cell_fields import CellFields, packaged_fields
from xcos.explainers.cells import cell_explanation, comparison_of, require_several
from xcos.explainers.centered import centered
from xcos.explainers.explanation import Explanation
from xcos.explainers.faithfulness.measure import digest
from xcos.explainers.masking import open_pair
from xcos.explainers.matcher import GridMatcher
from xcos.explainers.settings import require, settings_of
from xcos.types import AlignedFace


@dataclass(frozen=True)
class Seen:
    """What each cell adds beyond the threshold, moved from the cell to the squares its features come from.

    A cell of a deep network is no window, so its contribution is drawn where the energy of its gradient lies, by
    :class:`~xcos.explainers.cell_fields.CellFields`, which were measured once on other photos. Nothing else is
    estimated: the squares sum to score − threshold. Both photos get the same map.
    """

    matcher: GridMatcher
    threshold: float
    fields: CellFields = field(default=None, repr=False)  # type: ignore[assignment]  # None becomes the packaged ones
    name: str = "seen"

    def __post_init__(self) -> None:
        require(math.isfinite(self.threshold), f"the threshold must be a finite number, got {self.threshold}")
        model = self.matcher.embedder.model
        if self.fields is None:
            object.__setattr__(self, "fields", packaged_fields(model))
        if not model.startswith(self.fields.network):  # an altered network's name goes on where the network's ends
            raise InvalidArgument(f"the fields are of the cells of {self.fields.network}, the matcher has {model}")

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps whose squares sum to score − threshold; two passes."""
        pair = open_pair(self.matcher, probe, reference)
        cells = centered(comparison_of(pair, self.matcher.comparator), self.threshold)
        require_several(self.name, cells, self.matcher.name)
        squares = self.fields.spread(cells)
        settings = settings_of(self) | {"fields": digest(self.fields.shares)[:12]}
        return cell_explanation(self.name, pair, squares, squares, settings)
