"""A matcher that is a weighted sum over pixels, so that every pixel's importance is known; and maps, good and bad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from xcos.explainers.explanation import Cost, Explainer, Explanation
from xcos.explainers.faithfulness.measure import Case, Explain, FacePair, Measure, with_strangers
from xcos.explainers.faithfulness.scoring import Scorer, play_alone
from xcos.explainers.faithfulness.threshold import equal_error_threshold
from xcos.explainers.matcher import Matcher
from xcos.types import AlignedFace, Crops, CropTemplate, Face, Maps, Pixels, Reals, Templates

SIDE = 28
POINTS: Reals = np.array([[9.0, 10.0], [19.0, 10.0], [14.0, 15.0], [10.0, 20.0], [18.0, 20.0]])
TEMPLATE = CropTemplate("toy_28", SIDE, SIDE, POINTS)


def face(crop: Pixels) -> AlignedFace:
    """A crop as if its landmarks lay on the template's points."""
    found = Face(np.array([2.0, 2.0, 26.0, 26.0]), POINTS, 0.9)
    return AlignedFace(crop, found, TEMPLATE, np.eye(2, 3), 0.0, 0.0)


def gray(values: Maps) -> Pixels:
    """A crop of these grey values, 0…1."""
    return np.repeat(np.rint(255 * values).astype(np.uint8)[..., None], 3, axis=2)


def shades(crops: Crops) -> Maps:
    """Grey values 0…1 of crops."""
    return crops[..., 0].astype(np.float64) / 255


@dataclass(frozen=True)
class WeightedPixels:
    """``score = Σ w a b / Σ w`` over the grey values a and b of two crops: a black pixel adds nothing."""

    weights: tuple[tuple[float, ...], ...]
    name: str = "weighted pixels"
    seen: list[int] = field(default_factory=list, compare=False)
    """Crops of each call."""

    @property
    def template(self) -> CropTemplate:
        return TEMPLATE

    @property
    def w(self) -> Maps:
        return np.array(self.weights)

    def encode(self, crops: Crops) -> Templates:
        self.seen.append(len(crops))
        grids = np.stack([shades(crops), np.ones(crops.shape[:3])], axis=-1).astype(np.float32)
        return Templates(grids, np.ones((len(crops), 1), np.float32), "toy")

    def score(self, probes: Templates, references: Templates) -> Reals:
        a, b = (side.grids[..., 0].astype(np.float64) for side in (probes, references))
        scores: Reals = (self.w * a * b).sum(axis=(1, 2)) / self.w.sum()
        return scores


def weighted(weights: Maps) -> WeightedPixels:
    return WeightedPixels(tuple(map(tuple, weights.tolist())))


def skewed_weights(seed: int = 0) -> Maps:
    """Few pixels count for much."""
    return np.random.default_rng(seed).exponential(size=(SIDE, SIDE)) ** 2


MapOf = Callable[[WeightedPixels, Maps, Maps, np.random.Generator], Maps]


@dataclass(frozen=True)
class ToyExplainer:
    """Maps by a formula of the weights and the two photos' grey values."""

    matcher: WeightedPixels
    name: str
    passes: int = 2
    asked: list[str] = field(default_factory=list, compare=False)
    most: int = field(default=10**9, compare=False)
    """After so many explanations it breaks off, as a machine that is switched off."""

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        if len(self.asked) == self.most:
            raise KeyboardInterrupt
        self.asked.append(self.name)
        a, b = shades(probe.crop), shades(reference.crop)
        random = np.random.default_rng(int(probe.crop.sum()) + int(reference.crop.sum()))
        one, other = MAPS[self.name](self.matcher, a, b, random), MAPS[self.name](self.matcher, b, a, random)
        score = float((self.matcher.w * a * b).sum() / self.matcher.w.sum())
        return Explanation(self.name, one, other, score, Cost(self.passes), {"seed": 0})


MAPS: dict[str, MapOf] = {
    "true": lambda matcher, a, b, _: matcher.w * a * b / matcher.w.sum(),
    "inverse": lambda matcher, a, b, _: -matcher.w * a * b / matcher.w.sum(),
    "random": lambda _, a, __, random: random.normal(size=a.shape),
    "constant": lambda _, a, __, ___: np.ones_like(a),
    "prior": lambda matcher, _, __, ___: matcher.w,
    "own photo": lambda _, a, __, ___: a,
    "gain": lambda matcher, a, b, _: matcher.w * b * (a - b),
}


def people(count: int, *, seed: int = 0) -> list[FacePair]:
    """``count`` mated pairs, and as many of each person with the next one, of faces made of dots."""
    random = np.random.default_rng(seed)
    patterns = random.integers(0, 2, (count, SIDE, SIDE))

    def photo(person: int) -> AlignedFace:
        flips = random.random((SIDE, SIDE)) < 0.05
        return face(gray(0.05 + 0.9 * (patterns[person] ^ flips)))

    mated = [FacePair(f"{at} itself", photo(at), photo(at), (str(at), str(at))) for at in range(count)]
    others = [(at, (at + 1) % count) for at in range(count)]
    return mated + [FacePair(f"{a} and {b}", photo(a), photo(b), (str(a), str(b))) for a, b in others]


def scores_of(matcher: Matcher, pairs: Sequence[FacePair]) -> Reals:
    sides = (matcher.encode(np.stack([getattr(pair, side).crop for pair in pairs])) for side in ("probe", "reference"))
    return matcher.score(*sides)


def threshold_of(matcher: Matcher, pairs: Sequence[FacePair]) -> float:
    return equal_error_threshold(scores_of(matcher, pairs), np.array([pair.mated for pair in pairs]))


def figures(measure: Measure, explain: Explain | Explainer, matcher: Matcher, pairs: Sequence[FacePair],
            threshold: float | None = None) -> dict[str, float]:  # fmt: skip
    """Mean of each figure over the pairs to which it applies."""
    limit = threshold_of(matcher, pairs) if threshold is None else threshold
    call = explain if callable(explain) else explain.explain
    cases = with_strangers(pairs)
    values = [values_of(measure, call, matcher, case, limit) for case in cases]
    return {figure.name: float(np.nanmean([value[figure.name] for value in values])) for figure in measure.figures}


def values_of(measure: Measure, explain: Explain, matcher: Matcher, case: Case, threshold: float) -> dict[str, float]:
    record = play_alone(measure.play(case, explain, threshold), Scorer(matcher))
    return measure.values(record, case.pair.mated, threshold)
