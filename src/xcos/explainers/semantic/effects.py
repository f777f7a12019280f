"""What each named part of the face adds to a score, and what the score loses when the part is hidden."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.cells import require_several
from xcos.explainers.explanation import Cost, Explanation
from xcos.explainers.hiding import Fill, Mask, hide, require_fill
from xcos.explainers.matcher import GridMatcher
from xcos.explainers.semantic.regions import RegionSet, built_in
from xcos.explainers.semantic.words import Side
from xcos.types import AlignedFace, Maps, Reals, Templates

NAME = "semantic"


@dataclass(frozen=True)
class RegionMeasure:
    """What was measured of one region."""

    name: str
    area: float
    """Share of the crop, the mean of both photos, 0…1."""
    weight: float
    """Attention on it, 0…1; all regions sum to the comparison's."""
    contribution: float
    """What it adds to the score; all regions sum to it."""
    probe: float
    """What the score loses when the region is hidden in the probe; below 0 the score rises."""
    reference: float
    """The same in the reference."""
    both: float
    """The same in both photos."""

    @property
    def similarity(self) -> float | None:
        """Mean of its cells' similarities by attention, −1…1; None where no attention is on it."""
        return self.contribution / self.weight if self.weight > 0 else None

    def effect(self, side: Side) -> float:
        """What the score loses when the region is hidden there."""
        return {"probe": self.probe, "reference": self.reference, "both": self.both}[side]


@dataclass(frozen=True)
class SemanticMeasures:
    """A pair in named regions; what sentences about it may quote."""

    score: float
    threshold: float | None
    """Score from which on the pair is a match; None where the matcher has none, and no sentence decides."""
    regions: tuple[RegionMeasure, ...]
    """In the region set's order, the surroundings last."""
    fill: Fill
    region_set: str
    cost: Cost

    @cached_property
    def by_name(self) -> dict[str, RegionMeasure]:
        """The regions by their names."""
        return {region.name: region for region in self.regions}

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values, as ``docs/explainers/semantic.md`` describes them."""
        return {
            "threshold": self.threshold,
            "region_set": self.region_set,
            "fill": self.fill,
            "regions": [{**asdict(region), "similarity": region.similarity} for region in self.regions],
        }


@dataclass(frozen=True)
class SemanticRegions:
    """Hides one region after the other, in the probe, in the reference and in both, and takes the score apart by
    region.

    Single removal after Doh et al., "Found in Translation: semantic approaches for enhancing AI interpretability in
    face verification" (arXiv 2501.05471), with the change of the score as effect;
    two passes for the pair and two for each region. The contribution needs none: a cell's is divided among the regions
    by the share of its square that they cover, in the mean of both photos, so that all regions sum to the score. The
    regions lie as each photo's own landmarks do.
    """

    matcher: GridMatcher
    regions: RegionSet = field(default_factory=lambda: built_in("medium"))
    threshold: float | None = None
    fill: Fill = "mean"

    def __post_init__(self) -> None:
        require_fill(self.fill)
        if self.threshold is not None and not np.isfinite(self.threshold):
            raise InvalidArgument(f"a threshold must be a finite number or None, got {self.threshold}")

    @property
    def name(self) -> str:
        """``semantic``."""
        return NAME

    def measure(self, probe: AlignedFace, reference: AlignedFace) -> SemanticMeasures:
        """All numbers of one pair; swapping the photos swaps the sides."""
        in_probe, in_reference = self.regions.masks(probe), self.regions.masks(reference)
        one, other = self._encoded(probe, in_probe), self._encoded(reference, in_reference)
        clear_one, hidden_one = _parted(one)
        clear_other, hidden_other = _parted(other)
        similarity, attention = self.matcher.comparator.maps(clear_one.grids, clear_other.grids)
        require_several(NAME, similarity[0], self.matcher.name)
        score = float((similarity * attention).sum())
        shape = (similarity.shape[1], similarity.shape[2])
        shares = (self.regions.shares(probe, shape) + self.regions.shares(reference, shape)) / 2
        losses = [
            score - self.matcher.score(*sides)
            for sides in ((hidden_one, clear_other), (clear_one, hidden_other), (hidden_one, hidden_other))
        ]
        regions = tuple(
            RegionMeasure(
                name=name,
                area=float((in_probe[at].mean() + in_reference[at].mean()) / 2),
                weight=float((shares[at] * attention[0]).sum()),
                contribution=float((shares[at] * attention[0] * similarity[0]).sum()),
                probe=float(losses[0][at]),
                reference=float(losses[1][at]),
                both=float(losses[2][at]),
            )
            for at, name in enumerate(self.regions.names)
        )
        cost = Cost(forward=2 + 2 * len(regions))
        return SemanticMeasures(score, self.threshold, regions, self.fill, self.regions.name, cost)

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Each pixel has the effect of hiding its region in this photo, divided by the region's pixels.

        Divided, because a large region would otherwise lead for its size alone.
        """
        return self.explanation_of(self.measure(probe, reference), probe, reference)

    def explanation_of(self, measured: SemanticMeasures, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """The maps of what was measured of these photos, without measuring again."""
        return Explanation(
            method=NAME,
            probe=_painted(self.regions.masks(probe), [region.probe for region in measured.regions]),
            reference=_painted(self.regions.masks(reference), [region.reference for region in measured.regions]),
            score=measured.score,
            cost=measured.cost,
            settings={"regions": self.regions.name, "fill": self.fill},
        )

    def _encoded(self, face: AlignedFace, masks: Mask) -> Templates:
        """Of the untouched crop, and with each region hidden."""
        return self.matcher.encode(np.stack([face.crop, *(hide(face.crop, mask, self.fill) for mask in masks)]))


def _parted(templates: Templates) -> tuple[Templates, Templates]:
    """The untouched crop's template, and the others."""
    grids, vectors, model = templates.grids, templates.vectors, templates.model
    return Templates(grids[:1], vectors[:1], model), Templates(grids[1:], vectors[1:], model)


def _painted(masks: Mask, effects: list[float]) -> Maps:
    """Effect per pixel of the region each pixel lies in."""
    per_pixel: Reals = np.array(effects) / np.maximum(masks.sum(axis=(1, 2)), 1)
    painted: Maps = np.tensordot(per_pixel, masks.astype(np.float64), 1)
    return painted
