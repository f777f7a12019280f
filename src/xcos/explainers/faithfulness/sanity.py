"""Checks that a sound explainer passes and a broken one does not: small enough to run before every release.

The faults they were made for: a network left in training mode, maps of the two photos exchanged, maps of another pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Explainer, Explanation
from xcos.explainers.faithfulness.cell_occlusion import CellOcclusion
from xcos.explainers.faithfulness.fills import Fill
from xcos.explainers.faithfulness.localisation import cell_means
from xcos.explainers.faithfulness.measure import Case, FacePair
from xcos.explainers.faithfulness.ranks import agreement, spearman
from xcos.explainers.faithfulness.scoring import Scorer, play_alone
from xcos.explainers.matcher import Matcher
from xcos.types import Maps, stack

SAME = 1e-5
"""Scores that should be equal may differ by this: single precision, other blocks of a batch."""
ALIKE = 0.999
LOST = 0.5
"""Most likeness (rank correlation) that maps may keep when the weights are lost."""
MARGIN = 0.02
"""By how much the maps of the right pair, and of the right photo, may at most do worse, or must at least do better."""


@dataclass(frozen=True)
class Check:
    """One check: what was measured, and what it has to be."""

    name: str
    measured: float
    limit: float
    at_least: bool
    """Whether the measured number must be at least the limit; otherwise at most."""

    @property
    def passed(self) -> bool:
        """False for NaN too."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def __str__(self) -> str:
        wanted = "at least" if self.at_least else "at most"
        return f"{'passed' if self.passed else 'FAILED'}: {self.name}: {self.measured:.4g}, {wanted} {self.limit:g}"


def sanity_checks(
    matcher: Matcher,
    explainer: Explainer,
    pairs: Sequence[FacePair],
    *,
    rows: int = 7,
    cols: int = 7,
    fill: Fill = "black",
    broken: Explainer | None = None,
) -> list[Check]:
    """All checks on three pairs or more; they cost 2 · ``rows`` · ``cols`` passes and 3 explanations a pair.

    The truth for the last three is the drop of the score when each cell of each photo is hidden with ``fill``. With
    ``broken``, the same explainer on a network whose weights were shuffled
    (:func:`~xcos.explainers.faithfulness.randomisation.randomised_matchers`), there is one more: a map of the photo
    alone, such as its edges, passes all others.
    """
    if len(pairs) < 3:
        raise InvalidArgument(f"pairs are held against each other, so give three or more, got {len(pairs)}")
    explained = [explainer.explain(pair.probe, pair.reference) for pair in pairs]
    effects = _effects(matcher, pairs, CellOcclusion(rows, cols, fill))
    cells = [tuple(cell_means(values, rows, cols) for values in (each.probe, each.reference)) for each in explained]
    fit = np.array([[(spearman(map_[0], effect[0]) + spearman(map_[1], effect[1])) / 2 for effect in effects]
                    for map_ in cells])  # fmt: skip
    crossed = [(spearman(map_[0], effect[1]) + spearman(map_[1], effect[0])) / 2
               for map_, effect in zip(cells, effects, strict=True)]  # fmt: skip
    own = float(np.diag(fit).mean())
    others = float(fit[~np.eye(len(fit), dtype=bool)].mean())
    checks = [
        Check(
            "the same photo twice, alone and among others, has the same score", _unsteady(matcher, pairs), SAME, False
        ),
        Check("the same pair twice has the same maps", _repeats(explainer, pairs, explained), ALIKE, True),
        Check("the score explained is the matcher's", _off_score(matcher, pairs, explained), SAME, False),
        Check("swapping the photos swaps the maps", _swaps(explainer, pairs, explained), ALIKE, True),
        Check("maps follow what hiding cells does", own, MARGIN, True),
        Check("each map fits its own photo better than the other", own - float(np.mean(crossed)), -MARGIN, True),
        Check("each map fits its own pair better than other pairs", own - others, MARGIN, True),
    ]
    if broken is not None:
        checks.append(
            Check("maps change when the weights are shuffled", _survival(broken, pairs, explained), LOST, False)
        )
    return checks


def _effects(matcher: Matcher, pairs: Sequence[FacePair], measure: CellOcclusion) -> list[tuple[Maps, Maps]]:
    scorer = Scorer(matcher)
    return [play_alone(measure.effects(Case(pair, stranger=pair.reference)), scorer) for pair in pairs]


def _unsteady(matcher: Matcher, pairs: Sequence[FacePair]) -> float:
    """Largest difference of a pair's score, its probe embedded alone, from that embedded among the others, twice."""
    references = matcher.encode(np.stack([pair.reference.crop for pair in pairs]))
    probes = np.stack([pair.probe.crop for pair in pairs])
    first, second = (matcher.score(matcher.encode(probes), references) for _ in range(2))
    alone = np.concatenate([matcher.score(matcher.encode(probe[None]), stack([reference]))
                            for probe, reference in zip(probes, references, strict=True)])  # fmt: skip
    return float(max(np.abs(first - second).max(), np.abs(first - alone).max()))


def _repeats(explainer: Explainer, pairs: Sequence[FacePair], explained: Sequence[Explanation]) -> float:
    again = [explainer.explain(pair.probe, pair.reference) for pair in pairs]
    return float(np.mean([_same(one, other) for one, other in zip(explained, again, strict=True)]))


def _swaps(explainer: Explainer, pairs: Sequence[FacePair], explained: Sequence[Explanation]) -> float:
    swapped = [explainer.explain(pair.reference, pair.probe) for pair in pairs]
    turned = [replace(each, probe=each.reference, reference=each.probe) for each in swapped]
    return float(np.mean([_same(one, other) for one, other in zip(explained, turned, strict=True)]))


def _survival(broken: Explainer, pairs: Sequence[FacePair], explained: Sequence[Explanation]) -> float:
    after = [broken.explain(pair.probe, pair.reference) for pair in pairs]
    return float(np.mean([_same(one, other) for one, other in zip(explained, after, strict=True)]))


def _same(one: Explanation, other: Explanation) -> float:
    return (agreement(one.probe, other.probe) + agreement(one.reference, other.reference)) / 2


def _off_score(matcher: Matcher, pairs: Sequence[FacePair], explained: Sequence[Explanation]) -> float:
    probes, references = (matcher.encode(np.stack([getattr(pair, side).crop for pair in pairs]))
                          for side in ("probe", "reference"))  # fmt: skip
    told = np.array([each.score for each in explained])
    return float(np.abs(matcher.score(probes, references) - told).max())
