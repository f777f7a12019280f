"""What would flip a decision: the fewest cells to hide, and the least change of similarity.

Asked of the comparison's own maps, where the answer is exact, and of the network, where it is measured: a cell of a
deep network sees more than its square, so hiding the square is not the same as leaving the cell out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.cells import require_several
from xcos.explainers.explanation import Cost, Explanation, on_crop
from xcos.explainers.hiding import Fill, Mask, hide, require_fill
from xcos.explainers.matcher import GridMatcher
from xcos.explainers.settings import settings_of
from xcos.types import AlignedFace, Comparison, Maps, Pixels, Reals, Templates, freeze

Cell = tuple[int, int]
"""Row and column of a grid, from the upper left."""
Hiding = Literal["renormalised", "plain"]
PhotoSide = Literal["probe", "reference", "both"]
SIDES: tuple[PhotoSide, ...] = ("probe", "reference", "both")
NAME = "counterfactual"


@dataclass(frozen=True)
class Flip:
    """A smallest set of cells whose hiding flips the decision."""

    cells: tuple[Cell, ...]
    """In the order in which hiding them moves the score most; none is superfluous."""
    score: float
    """Without them: on the other side of the threshold."""


@dataclass(frozen=True, eq=False)
class Changes:
    """How similarities ``(rows, cols)`` would have to differ for the score to reach the threshold, attention unchanged.

    A match needs a hair more than these to fall below it. No similarity leaves −1…1.
    """

    alone: Maps
    """Change of each cell if it alone changes; NaN where no similarity of it is enough."""
    even: Maps | None
    """Of all ways together the one whose largest change is smallest: the same in every cell that still can change.
    None where no similarities reach the threshold."""
    least: Maps | None
    """The one whose sum of squares is smallest: in proportion to attention. None as before."""

    def __post_init__(self) -> None:
        freeze(self, **{name: value for name, value in self.__dict__.items() if value is not None})


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """Answers of the comparison's own maps."""

    comparison: Comparison
    threshold: float
    renormalised: Flip | None
    """What is hidden counts nothing and the rest counts the more (:func:`score_without`); None where no set flips."""
    plain: Flip | None
    """What is hidden counts nothing and nothing takes its place; None where no set flips."""
    changes: Changes

    @property
    def match(self) -> bool:
        """Whether the score is at or above the threshold."""
        return self.comparison.score >= self.threshold

    @property
    def margin(self) -> int | None:
        """Cells to hide, the rest counting the more: how many the decision can lose, and one more. None as there."""
        return len(self.renormalised.cells) if self.renormalised else None

    @property
    def hidden(self) -> Mask:
        """``(rows, cols)``: the cells of the renormalised set; none where no set flips."""
        hidden = np.zeros(self.comparison.similarity.shape, bool)
        for cell in self.renormalised.cells if self.renormalised else ():
            hidden[cell] = True
        return hidden

    @property
    def holding(self) -> Maps:
        """``(rows, cols)``: what each cell of the renormalised set puts on the side of a match beyond its share of the
        threshold, ``w (s − t / T)``; 0 outside. So above 0 in a match's set, below 0 in a non-match's."""
        pulls = _pulls(self.comparison, self.threshold, "renormalised").reshape(self.comparison.similarity.shape)
        return np.where(self.hidden, pulls, 0.0)


def counterfactual(comparison: Comparison, threshold: float) -> Counterfactual:
    """What would flip the decision ``score ≥ threshold`` (match) of a comparison; no pass through any network."""
    _require_threshold(threshold)
    return Counterfactual(
        comparison,
        threshold,
        fewest_cells(comparison, threshold, hiding="renormalised"),
        fewest_cells(comparison, threshold, hiding="plain"),
        changes_to(comparison, threshold),
    )


def score_without(comparison: Comparison, hidden: Mask, *, hiding: Hiding = "renormalised") -> float:
    """The score when the ``hidden`` ``(rows, cols)`` cells' attention is 0.

    ``renormalised``: the attention of the others is scaled up until the total is what it was, so that the score is
    ``T · Σ w s / Σ w`` over the kept cells, with ``T = Σ w`` over all (1 for most weightings): what is covered is not
    known. Needs a kept cell with attention. ``plain``: the others stay as they are, the score is ``Σ w s`` over the
    kept cells: what is covered counts as without any likeness. So a plain score of mostly alike cells can only fall.
    """
    _require_hiding(hiding)
    kept = np.where(hidden, 0.0, comparison.attention)
    total = float((kept * comparison.similarity).sum())
    if hiding == "plain":
        return total
    left = float(kept.sum())
    if left <= 0:
        raise InvalidArgument("no cell with attention is left to compare; hide fewer cells")
    return total * float(comparison.attention.sum()) / left


def fewest_cells(comparison: Comparison, threshold: float, *, hiding: Hiding = "renormalised") -> Flip | None:
    """A smallest set of cells whose hiding (:func:`score_without`) flips the decision; None where none does.

    Exact, by sorting. With ``τ = t / T`` a renormalised score is at or above t exactly if ``Σ w (s − τ) ≥ 0`` over the
    kept cells: multiply ``T Σ w s / Σ w ≥ t`` by ``Σ w / T > 0``. A plain score is if ``Σ w s ≥ t``. So both ask for a
    sum over kept cells of one number per cell, its *pull* ``e = w (s − τ)`` or ``e = w s``, against a bound (0 or t)
    that no choice moves. Of all sets of k cells, the k largest pulls take most off that sum: exchanging one of them for
    another cell takes off no more. Hence if any k cells make a match fall below, the k largest do; and the smallest k
    for which the k largest do is the answer. A non-match is raised in the same way by leaving out the smallest pulls.
    Only cells whose pull is on the decision's side are ever left out, as the others take it back; so a renormalised
    answer exists exactly if some cell with attention has a similarity on the other side of τ, and it keeps that cell.

    Where pulls are equal the cell further up and left comes first. The scores compared are those of
    :func:`score_without`.
    """
    _require_threshold(threshold)
    match = comparison.score >= threshold
    order = _order(comparison, threshold, hiding)
    for count, hidden in enumerate(_growing(order, comparison), start=1):
        if hiding == "renormalised" and not comparison.attention[~hidden].any():
            return None
        score = score_without(comparison, hidden, hiding=hiding)
        if (score >= threshold) != match:
            cols = comparison.similarity.shape[1]
            return Flip(tuple((at // cols, at % cols) for at in order[:count]), score)
    return None


def changes_to(comparison: Comparison, threshold: float) -> Changes:
    """The similarities' smallest changes that bring the score to ``threshold``, each cell alone and all together.

    Alone: ``(t − score) / w``. Together, with room ``r`` for each cell (to −1 or 1) and ``d = |t − score|`` to go, both
    answers have the form ``min(λ v, r)`` with ``Σ w min(λ v, r) = d``: v = 1 where the largest change is to be
    smallest, as a smaller one than λ would fall short even with all cells at it; v = w for the least squares, by the
    conditions of Karush, Kuhn and Tucker.
    """
    _require_threshold(threshold)
    weight, missing = comparison.attention, threshold - comparison.score
    sign = 1.0 if missing > 0 else -1.0
    room = np.clip(1 - sign * comparison.similarity, 0, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        alone = np.where(weight > 0, missing / weight, np.nan)
    alone = np.where(np.abs(alone) <= room, alone, np.nan)
    together = [_spread(abs(missing), weight, pace, room) for pace in (np.ones_like(weight), weight)]
    even, least = (None if change is None else sign * change for change in together)
    return Changes(alone, even, least)


def _spread(distance: float, weight: Maps, pace: Maps, room: Maps) -> Maps | None:
    """``min(λ pace, room)`` whose weighted sum is ``distance``; None where all the room is not enough.

    The sum grows with λ along straight lines that bend where a cell reaches its room.
    """
    if (weight * room).sum() < distance:
        return None
    moving = (weight > 0) & (pace > 0)
    bends = np.unique(np.concatenate([[0.0], (room[moving] / pace[moving]).ravel()]))
    reached = np.array([(weight * np.minimum(bend * pace, room)).sum() for bend in bends])
    result: Maps = np.where(moving, np.minimum(float(np.interp(distance, reached, bends)) * pace, room), 0.0)
    return result


def _pulls(comparison: Comparison, threshold: float, hiding: Hiding) -> Reals:
    """What each cell puts on the side of a match, flat."""
    if hiding == "plain":
        return comparison.contribution.ravel()
    weight, total = comparison.attention, float(comparison.attention.sum())
    if total <= 0:
        return np.zeros(weight.size)
    pulls: Reals = (weight * (comparison.similarity - threshold / total)).ravel()
    return pulls


def _order(comparison: Comparison, threshold: float, hiding: Hiding) -> list[int]:
    """Flat cells that hold the decision, the strongest first."""
    _require_hiding(hiding)
    pulls = _pulls(comparison, threshold, hiding)
    if comparison.score < threshold:
        pulls = -pulls
    return [int(at) for at in np.argsort(-pulls, kind="stable") if pulls[at] > 0]


def _growing(order: list[int], comparison: Comparison) -> list[Mask]:
    """What is hidden after one, two … cells of ``order``."""
    hidden = np.zeros((len(order), comparison.similarity.size), bool)
    for count, at in enumerate(order):
        hidden[count:, at] = True
    return list(hidden.reshape(len(order), *comparison.similarity.shape))


def _require_threshold(threshold: float) -> None:
    if not np.isfinite(threshold):
        raise InvalidArgument(f"a threshold must be a finite number, got {threshold}")


def _require_hiding(hiding: str) -> None:
    if hiding not in ("renormalised", "plain"):
        raise InvalidArgument(f"hiding must be 'renormalised' or 'plain', got {hiding!r}")


@dataclass(frozen=True)
class HiddenScores:
    """Scores of the network when the squares of cells are hidden in the crops."""

    probe: float
    """Hidden in the probe alone."""
    reference: float
    both: float


@dataclass(frozen=True, eq=False)
class CounterfactualAnswer:
    """What the comparison's maps say would flip the decision, beside what the network says when it is done."""

    counterfactual: Counterfactual
    measured: HiddenScores | None
    """The squares of the maps' renormalised set hidden; None where there is no such set."""
    steps: Reals
    """``(steps, 3)``: the network's score with the squares of the first one, two … cells of the maps' order hidden, in
    the probe, in the reference and in both."""
    fill: Fill
    cost: Cost

    def __post_init__(self) -> None:
        freeze(self, steps=np.asarray(self.steps, np.float64))

    def flips(self, score: float) -> bool:
        """Whether a score lies on the other side of the threshold than the untouched pair's."""
        return (score >= self.counterfactual.threshold) != self.counterfactual.match

    def network_margin(self, side: PhotoSide) -> int | None:
        """Cells hidden there when the network's decision first was another; None where it was not in any step tried.

        Not fewer than the true fewest, which no sorting can find where cells see each other's squares.
        """
        scores = self.steps[:, SIDES.index(side)]
        return next((count for count, score in enumerate(scores, start=1) if self.flips(score)), None)

    def sentences(self) -> list[str]:
        """The answer in words that quote only measured numbers."""
        own = self.counterfactual
        now, then = ("match", "non-match") if own.match else ("non-match", "match")
        relation = "at or above" if own.match else "below"
        told = [f"The score is {own.comparison.score:.4f}, {relation} the threshold {own.threshold:.4f}: {now}."]
        total = own.comparison.similarity.size
        if own.renormalised is None or self.measured is None:
            told.append(f"No set of the {total} cells can be hidden so that the rest gives a {then}.")
            return [*told, *self._plain(), *self._margins(), *self._changes()]
        count = len(own.renormalised.cells)
        cells = f"{count} of the {total} cells"
        told.append(
            f"By the maps, without {cells} the rest gives {own.renormalised.score:.4f}, a {then}; fewer do not do it."
        )
        scores = (self.measured.probe, self.measured.reference, self.measured.both)
        for where, score in zip(map(_in_words, SIDES), scores, strict=True):
            outcome = then if self.flips(score) else now
            told.append(f"With the squares of these cells hidden in {where}, the network gives {score:.4f}: {outcome}.")
        return [*told, *self._plain(), *self._margins(), *self._changes()]

    def _plain(self) -> list[str]:
        """What leaving cells out does when nothing takes their place, where that flips."""
        plain = self.counterfactual.plain
        if plain is None:
            return []
        count = f"{len(plain.cells)} of the {self.counterfactual.comparison.similarity.size} cells"
        return [f"Counted as without any likeness, {count} are enough: the score is {plain.score:.4f}."]

    def _margins(self) -> list[str]:
        """How many cells the network needs, where that was asked."""
        if not len(self.steps):
            return []
        tried = f"up to {len(self.steps)} cells, in the order of the maps,"
        margins = [(side, self.network_margin(side)) for side in SIDES]
        counts = ", ".join(f"{'none' if count is None else count} in {_in_words(side)}" for side, count in margins)
        return [f"Of {tried} hidden one after the other, the network's decision first is another after {counts}."]

    def _changes(self) -> list[str]:
        """What would have to differ, by the maps."""
        own = self.counterfactual
        changes, verb = own.changes, "fall" if own.match else "rise"
        if np.isnan(changes.alone).all():
            told = ["No similarity of one cell alone brings the score to the threshold."]
        else:
            at = int(np.nanargmin(np.abs(changes.alone)))
            row, col = divmod(at, changes.alone.shape[1])
            told = [
                f"The cell that would have to change least alone is that in row {row + 1}, column {col + 1}: its "
                f"similarity {own.comparison.similarity[row, col]:.4f} would have to {verb} by "
                f"{abs(changes.alone[row, col]):.4f}."
            ]
        if changes.even is not None:
            told.append(
                f"If all cells change together, a {verb} of {np.abs(changes.even).max():.4f} in each one's similarity, "
                "or as far as it can, reaches the threshold."
            )
        return told

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values, as ``docs/explainers/counterfactual.md`` describes them."""
        own, measured = self.counterfactual, self.measured
        names = {"alone": own.changes.alone, "even": own.changes.even, "least": own.changes.least}
        return {
            "threshold": own.threshold,
            "match": own.match,
            "margin": own.margin,
            "renormalised": _flip_to_dict(own.renormalised),
            "plain": _flip_to_dict(own.plain),
            "changes": {name: None if change is None else _rows(change) for name, change in names.items()},
            "fill": self.fill,
            "network": None if measured is None else {side: float(getattr(measured, side)) for side in SIDES},
            "steps": self.steps.tolist(),
            "network_margin": {side: self.network_margin(side) for side in SIDES},
        }


def _in_words(side: PhotoSide) -> str:
    return "both photos" if side == "both" else f"the {side}"


def _flip_to_dict(flip: Flip | None) -> dict[str, object] | None:
    return None if flip is None else {"cells": [list(cell) for cell in flip.cells], "score": flip.score}


def _rows(values: Maps) -> list[list[float | None]]:
    """None where there is no number."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]


@dataclass(frozen=True)
class CounterfactualQuestion:
    """Asks the maps of a comparison what would flip it, and the network whether that really does.

    ``fill`` is what stands in hidden squares. ``steps`` is up to how many cells are hidden one after the other, to find
    the network's own margin; 0 asks only what the maps' smallest set does. The same fill in both photos makes them
    alike there, so of hiding in both the score can rise where the maps would have it fall.
    """

    matcher: GridMatcher
    threshold: float
    fill: Fill = "mean"
    steps: int = 0

    def __post_init__(self) -> None:
        _require_threshold(self.threshold)
        require_fill(self.fill)
        if self.steps < 0:
            raise InvalidArgument(f"steps must be 0 or more, got {self.steps}")

    @property
    def name(self) -> str:
        """``counterfactual``."""
        return NAME

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """The cells whose hiding flips the decision by the maps, each by how much it holds it; costs what asking does.

        Both photos get the same map. It is all 0 where no set of cells flips the decision.
        """
        return self.explanation_of(self.ask(probe, reference), probe, reference)

    def explanation_of(self, answer: CounterfactualAnswer, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """The maps of an answer about these photos, without asking again."""
        cells = answer.counterfactual.holding
        one, other = (on_crop(cells, *face.crop.shape[:2]) for face in (probe, reference))
        settings = {"rows": cells.shape[0], "cols": cells.shape[1], **settings_of(self)}
        return Explanation(NAME, one, other, answer.counterfactual.comparison.score, answer.cost, settings)

    def hidden(self, answer: CounterfactualAnswer, probe: AlignedFace, reference: AlignedFace) -> tuple[Pixels, Pixels]:
        """The crops as the network was shown them, the squares of the answer's set hidden."""
        cells = answer.counterfactual.hidden
        one, other = (hide(face.crop, _squares(cells, face), self.fill) for face in (probe, reference))
        return one, other

    def ask(self, probe: AlignedFace, reference: AlignedFace) -> CounterfactualAnswer:
        """Both answers for one pair: two passes for the untouched pair, two for the set, two for each step."""
        clear = self.matcher.encode(np.stack([probe.crop, reference.crop]))
        similarity, attention = self.matcher.comparator.maps(clear.grids[:1], clear.grids[1:])
        require_several(NAME, similarity[0], self.matcher.name)
        own = counterfactual(Comparison(similarity[0], attention[0]), self.threshold)
        order = _order(own.comparison, self.threshold, "renormalised")
        masks = _growing(order, own.comparison)
        chosen = masks[own.margin - 1 : own.margin] if own.margin else []
        sets = [*chosen, *masks[: self.steps]]
        if not sets:
            return CounterfactualAnswer(own, None, np.zeros((0, 3)), self.fill, Cost(forward=2))
        one, other = (
            self.matcher.encode(np.stack([hide(face.crop, _squares(cells, face), self.fill) for cells in sets]))
            for face in (probe, reference)
        )
        pairs = ((one, _only(clear, 1)), (_only(clear, 0), other), (one, other))
        scores = np.stack([self.matcher.score(*pair) for pair in pairs], axis=1)  # (sets, 3)
        measured = HiddenScores(*map(float, scores[0])) if chosen else None
        return CounterfactualAnswer(own, measured, scores[len(chosen) :], self.fill, Cost(forward=2 + 2 * len(sets)))


def _only(templates: Templates, at: int) -> Templates:
    return Templates(templates.grids[at : at + 1], templates.vectors[at : at + 1], templates.model)


def _squares(cells: Mask, face: AlignedFace) -> Mask:
    """The pixels of the cells' nominal squares."""
    height, width = face.crop.shape[:2]
    return on_crop(cells.astype(np.float64), height, width) > 0
