"""What explanations by cells of a grid share."""

from __future__ import annotations

from collections.abc import Mapping

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Explanation, Setting, on_crop
from xcos.explainers.masking import PAIR_COST, Pair
from xcos.interfaces import Comparator
from xcos.types import Comparison, Maps


def comparison_of(pair: Pair, comparator: Comparator) -> Comparison:
    """The two maps of the untouched pair by a comparator, which need not be the matcher's own."""
    similarity, attention = comparator.maps(*(each.grids for each in pair.templates))
    return Comparison(similarity[0], attention[0])


def cell_explanation(
    method: str, pair: Pair, probe: Maps, reference: Maps, settings: Mapping[str, Setting] | None = None
) -> Explanation:
    """``(rows, cols)`` numbers of the cells of either photo, as maps; every pixel has the number of its cell.

    The numbers of a photo's cells come back as the means of the map over the cells; ``settings`` say how many there
    are. Costs the two passes of the pair. Raises :class:`InvalidArgument` where there is but one cell.
    """
    rows, cols = probe.shape
    require_several(method, probe, pair.probe.matcher.name)
    return Explanation(
        method,
        on_crop(probe, *pair.probe.size),
        on_crop(reference, *pair.reference.size),
        pair.score,
        PAIR_COST,
        {"rows": rows, "cols": cols, **(settings or {})},
    )


def require_several(method: str, cells: Maps, matcher: str) -> None:
    """Raises :class:`InvalidArgument` naming the method where a matcher's grid is one cell, the whole face."""
    if cells.size < 2:
        raise InvalidArgument(
            f"method {method} shows the cells of a grid, and that of {matcher} is one cell, the whole face; "
            "use a method that needs only scores, such as corrrise",
            matcher=matcher,
        )
