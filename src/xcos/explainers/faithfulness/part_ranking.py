"""Which part was changed? The parts of a face ranked by a map, on twins of which one part is another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xcos.errors import InvalidArgument
from xcos.explainers.faithfulness.localisation import iou_of_equal_area, pointing_hit
from xcos.explainers.faithfulness.ranks import Mask, roc_auc
from xcos.explainers.faithfulness.triplets import Triplet
from xcos.types import Maps


@dataclass(frozen=True)
class PartRank:
    """How a map ranked the part that was changed."""

    place: float
    """1 is first; parts of equal mean share the mean of their places."""
    first: float
    """1 if it was first; a share where several are."""
    parts: int
    """So many parts were ranked: 1 / parts is chance."""
    auc: float
    """Chance that a changed pixel has more evidence than another."""
    pointing: float
    overlap: float
    """Intersection over union with as many of the highest pixels as were changed."""


def parts_of(triplets: Sequence[Triplet]) -> Mapping[str, Mapping[str, Mask]]:
    """For each person the places of all parts that any of its twins had changed: the candidates of the ranking.

    As every candidate is the truth of one twin, a map that does not look at the twin at all ranks the changed part
    first in exactly 1 / parts of the cases, whichever part it prefers.
    """
    places: dict[str, dict[str, Mask]] = {}
    for triplet in triplets:
        places.setdefault(triplet.person, {})[triplet.part] = triplet.changed
    return places


def rank_part(evidence: Maps, triplet: Triplet, parts: Mapping[str, Mask]) -> PartRank:
    """The changed part among all, by the mean of the evidence over each."""
    if triplet.part not in parts or len(parts) < 2:
        raise InvalidArgument(f"want two parts or more, {triplet.part} among them, got {', '.join(parts) or 'none'}")
    means = {part: float(evidence[mask].mean()) for part, mask in parts.items()}
    own = means[triplet.part]
    above, equal = (sum(mean > own for mean in means.values()), sum(mean == own for mean in means.values()))
    return PartRank(
        place=above + (equal + 1) / 2,
        first=0.0 if above else 1 / equal,
        parts=len(parts),
        auc=roc_auc(evidence, triplet.changed),
        pointing=pointing_hit(evidence, triplet.changed),
        overlap=iou_of_equal_area(evidence, triplet.changed, triplet.seed),
    )
