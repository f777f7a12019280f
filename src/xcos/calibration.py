"""Score → log-likelihood ratio, and the threshold for a stated false match rate, each with its origin.

Formulas
--------
*False match rate* at threshold t: share of non-mated scores ≥ t.

*Interval*: pairs that share a person are dependent, so the plain Wilson interval is too narrow; it is
:func:`xcos.intervals.jackknife_interval`, the cautious one of two.

*Supported rates*: a threshold is given only where the rule of 30 holds for the effective number of errors
(:mod:`xcos.intervals`).

*Log-likelihood ratio*: logistic regression of mated against non-mated scores at even prior odds, so that the fitted log
odds are the log-likelihood ratio (Brümmer, du Preez 2006). It is limited to −ln(mated + 1) … ln(subjects / 2 + 1): so
many scores, and so many pairs of people who share nobody, can hardly bear more. Mated scores that share people make the
lower limit a generous one.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import date as calendar_date
from functools import cached_property
from numbers import Real
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument, InvalidCard, UnsupportedFmr
from xcos.intervals import LEAST_ERRORS, Tally, jackknife_interval
from xcos.types import Reals, Threshold, freeze

SCHEMA = "xcos.calibration/1"
RATES = 10.0 ** np.arange(-1, -6.05, -0.1)
BINS = 80


@dataclass(frozen=True, eq=False)
class NonMatedScores:
    """Scores of comparisons of different people, and who they were."""

    scores: Reals
    """(n,)."""
    first: NDArray[np.int64]
    """(n,) subject number of one side, 0…subjects − 1."""
    second: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, kind in (("scores", np.float64), ("first", np.int64), ("second", np.int64)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))
        if not self.scores.shape == self.first.shape == self.second.shape or self.scores.ndim != 1:
            raise InvalidArgument(
                f"scores and both subjects must be (n,), got {self.scores.shape}, {self.first.shape}, "
                f"{self.second.shape}"
            )
        if min(self.first.min(initial=0), self.second.min(initial=0)) < 0:
            raise InvalidArgument("subjects are numbered from 0; some here are negative")
        if not len(self.scores):
            raise InvalidArgument("there are no non-mated scores")
        if (self.first == self.second).any():
            raise InvalidArgument("a non-mated comparison has two different subjects; some here have the same")

    @cached_property
    def descending(self) -> NDArray[np.intp]:
        """Order of the scores, highest first: the errors at any threshold are its beginning."""
        return np.argsort(-self.scores, kind="stable")

    @cached_property
    def _rising_negatives(self) -> Reals:
        return -self.scores[self.descending]

    def count_from(self, threshold: float) -> int:
        """How many scores are at or above ``threshold``."""
        return int(np.searchsorted(self._rising_negatives, -threshold, side="right"))

    def at_rate(self, rate: float) -> float:
        """The lowest score with at most ``rate`` of the scores at or above it; the top score below 1 / n.

        With ties that would exceed ``rate``, the next number above the tied score.
        """
        rank = max(1, math.floor(rate * len(self.scores) + 1e-9))
        value = float(-self._rising_negatives[rank - 1])
        if self.count_from(value) > rank:  # ties: the next higher score
            return math.nextafter(value, math.inf)
        return value

    @cached_property
    def comparisons_per_subject(self) -> NDArray[np.int64]:
        """(subjects,) how many comparisons each subject took part in."""
        size = int(max(self.first.max(), self.second.max())) + 1
        return np.bincount(self.first, minlength=size) + np.bincount(self.second, minlength=size)


@dataclass(frozen=True)
class Origin:
    """Where a calibration comes from; a threshold without it cannot be loaded."""

    dataset: str
    protocol: str
    n_mated: int
    n_non_mated: int
    n_subjects: int
    date: str
    """ISO date of the measurement."""
    detector: str
    """Name of the detector whose points the crops were cut by; another one has other rates."""

    def __post_init__(self) -> None:
        texts = {"dataset": self.dataset, "protocol": self.protocol, "detector": self.detector}
        empty = [name for name, text in texts.items() if not isinstance(text, str) or not text.strip()]
        if empty:
            raise InvalidArgument(f"a calibration must say where it comes from; {', '.join(empty)} must not be empty")
        if min(self.n_mated, self.n_non_mated, self.n_subjects) < 1:
            raise InvalidArgument("a calibration must say how many scores and subjects it comes from")
        try:
            calendar_date.fromisoformat(self.date)
        except (TypeError, ValueError) as error:
            raise InvalidArgument(f"date must be an ISO date such as 2026-01-31, got {self.date!r}") from error


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a score of one model and comparator means, measured on a named set of photos."""

    model: str
    comparator: str
    origin: Origin
    slope: float
    intercept: float
    rates: Reals
    """(k,) supported false match rates, falling."""
    thresholds: Reals
    """(k, 5): threshold, its low and high, and the interval's low and high of the rate measured there."""
    bins: Reals
    """(BINS + 1,) edges of the score histograms."""
    mated: Reals
    """(BINS,) share of mated scores per bin."""
    non_mated: Reals
    """(BINS,) share of non-mated scores per bin."""

    def __post_init__(self) -> None:
        shapes = {"rates": (len(self.rates),), "thresholds": (len(self.rates), 5)}
        shapes |= {"bins": (len(self.mated) + 1,), "mated": (len(self.mated),), "non_mated": (len(self.mated),)}
        for name, shape in shapes.items():
            array: Reals = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all() or 0 in shape:
                raise InvalidArgument(f"{name} of a calibration must be {shape} finite numbers, got {array.shape}")
            freeze(self, **{name: array})
        value, low, high, fmr_low, fmr_high = self.thresholds.T
        ordered = (low <= value) & (value <= high) & (fmr_low >= 0) & (fmr_low <= fmr_high) & (fmr_high <= 1)
        if not ordered.all() or (np.diff(self.bins) <= 0).any():
            raise InvalidArgument("intervals of a calibration must hold their thresholds, and its bins must rise")
        if (
            (np.diff(self.rates) >= 0).any()
            or (np.diff(value) < 0).any()
            or not 0 < self.least_fmr <= self.rates[0] < 1
        ):
            raise InvalidArgument("rates of a calibration must fall within 0…1 and thresholds must not fall")
        if not (math.isfinite(self.slope) and math.isfinite(self.intercept) and self.slope > 0):
            raise InvalidArgument(
                f"the log-likelihood ratio must rise with the score, got slope {self.slope:g}; scores are higher for "
                "photos that are more alike: turn distances round"
            )
        if not self.model or not self.comparator:
            raise InvalidArgument("a calibration must name its model and comparator")

    def __repr__(self) -> str:
        origin = self.origin
        return (
            f"Calibration({self.model}, {self.comparator}: {origin.n_mated:,} mated, {origin.n_non_mated:,} non-mated "
            f"scores of {origin.n_subjects:,} people, {origin.dataset}, {origin.date}; FMR {float(self.rates[0]):g} to "
            f"{self.least_fmr:.1e})"
        )

    @property
    def least_fmr(self) -> float:
        """Smallest false match rate that the data support."""
        return float(self.rates[-1])

    def supports(self, fmr: float) -> bool:
        """Whether the data can tell the threshold for ``fmr``."""
        return self.least_fmr * (1 - 1e-9) <= fmr <= float(self.rates[0]) * (1 + 1e-9)

    @property
    def llr_bounds(self) -> tuple[float, float]:
        """Least and greatest log-likelihood ratio ever stated."""
        return -math.log(self.origin.n_mated + 1), math.log(self.origin.n_subjects / 2 + 1)

    def llr(self, score: float) -> float:
        """Natural logarithm of p(score | mated) / p(score | non-mated), within :attr:`llr_bounds`."""
        if math.isnan(score):
            raise InvalidArgument("a score must be a number, got nan")
        low, high = self.llr_bounds
        return float(np.clip(self.slope * score + self.intercept, low, high))

    def probability(self, score: float, *, prior: float) -> float:
        """Probability that the two photos show one person, if ``prior`` was it before they were compared."""
        if not 0 < prior < 1:
            raise InvalidArgument(f"prior must lie between 0 and 1, got {prior}")
        return 0.5 * (1 + math.tanh((self.llr(score) + math.log(prior) - math.log1p(-prior)) / 2))

    def threshold(self, fmr: float) -> Threshold:
        """Threshold at the false match rate ``fmr``; :class:`UnsupportedFmr` where the data cannot tell.

        Between the card's rates (ten per decade, powers of ten among them) it is interpolated in log rate.
        """
        if not isinstance(fmr, Real) or not 0 < fmr < 1:
            raise InvalidArgument(f"fmr must lie between 0 and 1, got {fmr}", fmr=str(fmr))  # NaN is no JSON number
        most, least = float(self.rates[0]), self.least_fmr
        if not self.supports(fmr):
            raise UnsupportedFmr(
                f"a false match rate of {fmr:g} was asked for; {self.origin.n_non_mated:,} non-mated scores of "
                f"{self.origin.n_subjects:,} people ({self.origin.dataset}) support {least:.1e} to {most:g}: a "
                f"smaller one rests on fewer than {LEAST_ERRORS:.0f} independent errors, a greater one is not kept. "
                "Ask within the range, or calibrate with more people",
                fmr=fmr,
                least=least,
                most=most,
            )
        at = [float(np.interp(-math.log(fmr), -np.log(self.rates), column)) for column in self.thresholds.T]
        return Threshold(value=at[0], low=at[1], high=at[2], fmr=fmr, fmr_low=at[3], fmr_high=at[4])

    def to_dict(self) -> dict[str, object]:
        """The card as plain JSON values, with the hash of its own content."""
        content: dict[str, object] = {
            "schema": SCHEMA,
            "model": self.model,
            "comparator": self.comparator,
            "origin": self.origin.__dict__.copy(),
            "llr": {"slope": self.slope, "intercept": self.intercept},
            "rates": _rounded(self.rates),
            # unrounded: a threshold just above tied scores must stay above them
            "thresholds": self.thresholds.tolist(),
            "histograms": {
                "bins": _rounded(self.bins),
                "mated": _rounded(self.mated),
                "non_mated": _rounded(self.non_mated),
            },
        }
        return {**content, "sha256": _digest(content)}

    @property
    def sha256(self) -> str:
        """Hash of the card's content."""
        return str(self.to_dict()["sha256"])


def read_calibration(path: str | Path) -> Calibration:
    """The calibration card in a JSON file; refused if anything is missing or was altered."""
    shown = Path(path).name
    try:
        fields = json.loads(Path(path).read_text("utf-8"))
        if fields.get("schema") != SCHEMA:
            raise InvalidCard(f"{shown} has schema {fields.get('schema')!r}, {SCHEMA!r} was expected")
        claimed = fields.pop("sha256", "")
        if _digest(fields) != claimed:
            raise InvalidCard(
                f"the calibration card {shown} does not have the hash it states; it was altered or cut: fit it again"
            )
        return Calibration(
            model=str(fields["model"]),
            comparator=str(fields["comparator"]),
            origin=Origin(**fields["origin"]),
            slope=float(fields["llr"]["slope"]),
            intercept=float(fields["llr"]["intercept"]),
            rates=np.array(fields["rates"], np.float64),
            thresholds=np.array(fields["thresholds"], np.float64).reshape(-1, 5),
            bins=np.array(fields["histograms"]["bins"], np.float64),
            mated=np.array(fields["histograms"]["mated"], np.float64),
            non_mated=np.array(fields["histograms"]["non_mated"], np.float64),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        if isinstance(error, InvalidCard):
            raise
        raise InvalidCard(f"cannot read the calibration card {shown}: {error}; fit it again") from error


def _digest(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _rounded(values: Reals) -> list[float]:
    return [float(f"{value:.8g}") for value in values]


def fit_calibration(
    mated: Reals,
    non_mated: NonMatedScores,
    *,
    model: str,
    comparator: str,
    dataset: str,
    protocol: str,
    date: str,
    detector: str,
) -> Calibration:
    """The calibration that these scores support.

    ``model`` is the embedder's ``model``, ``comparator`` and ``detector`` are the components' names: a verifier
    takes the card for these only. Subjects are numbered from 0; those of ``non_mated`` are the people the rates
    speak of. Higher scores must mean more alike.
    """
    mated = np.asarray(mated, np.float64)
    if len(mated) < 2 or len(non_mated.scores) < 2:
        raise InvalidArgument(f"need scores of both kinds, got {len(mated)} mated, {len(non_mated.scores)} non-mated")
    if not (np.isfinite(mated).all() and np.isfinite(non_mated.scores).all()):
        raise InvalidArgument("scores must be finite; count failures apart, do not score them")
    slope, intercept = fit_llr(mated, non_mated.scores)
    rates, thresholds = _supported_thresholds(non_mated)
    edges = np.linspace(min(mated.min(), non_mated.scores.min()), max(mated.max(), non_mated.scores.max()), BINS + 1)
    present = np.union1d(non_mated.first, non_mated.second)
    return Calibration(
        model=model,
        comparator=comparator,
        origin=Origin(dataset, protocol, len(mated), len(non_mated.scores), len(present), date, detector),
        slope=float(f"{slope:.8g}"),
        intercept=float(f"{intercept:.8g}"),
        rates=rates,
        thresholds=thresholds,
        bins=edges,
        mated=np.histogram(mated, edges)[0] / len(mated),
        non_mated=np.histogram(non_mated.scores, edges)[0] / len(non_mated.scores),
    )


def fit_llr(mated: Reals, non_mated: Reals) -> tuple[float, float]:
    """Slope and intercept of the log-likelihood ratio: logistic regression, each class weighing one half.

    Newton's method; large non-mated sets are read as a histogram of 4,096 bins, which is exact to its width.
    """
    values, weights = _binned(non_mated)
    x = np.concatenate([mated, values])
    y = np.concatenate([np.ones(len(mated)), np.zeros(len(values))])
    w = np.concatenate([np.full(len(mated), 0.5 / len(mated)), 0.5 * weights])
    center, spread = x.mean(), x.std() or 1.0
    design = np.stack([(x - center) / spread, np.ones_like(x)], axis=1)
    ridge = 1e-9  # keeps separable scores finite; their slope says only that it is steep

    def loss(beta: Reals) -> float:
        z = design @ beta
        return float((w * (np.logaddexp(0, z) - y * z)).sum() + ridge / 2 * (beta @ beta))

    beta, best = np.zeros(2), math.log(2)
    for _ in range(500):
        p = 0.5 * (1 + np.tanh(design @ beta / 2))
        gradient = design.T @ (w * (y - p)) - ridge * beta
        curvature = (design * (w * p * (1 - p))[:, None]).T @ design + ridge * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while np.abs(step).max() > 1e-10 and loss(beta + step) > best:
            step = step / 2  # the full step overshoots where the scores are well separated
        if np.abs(step).max() <= 1e-10:
            break
        beta = beta + step
        best = loss(beta)
    else:
        raise InvalidArgument("the logistic fit of the scores does not converge; look at the two sets of scores")
    slope = beta[0] / spread
    return float(slope), float(beta[1] - slope * center)


def _binned(scores: Reals, bins: int = 4096) -> tuple[Reals, Reals]:
    if len(scores) <= bins:
        return scores, np.full(len(scores), 1 / len(scores))
    counts, edges = np.histogram(scores, bins)
    kept = counts > 0
    return ((edges[1:] + edges[:-1]) / 2)[kept], counts[kept] / len(scores)


def _supported_thresholds(non_mated: NonMatedScores) -> tuple[Reals, Reals]:
    """Rates that the data support, falling, and for each its threshold with both intervals."""
    candidates = _candidate_thresholds(non_mated)
    measured = [fmr_interval(non_mated, value) for value in candidates]
    low, high, _ = (np.array(column) for column in zip(*measured, strict=True))
    rows: list[list[float]] = []
    for rate in RATES:
        value = non_mated.at_rate(rate)
        rate_low, rate_high, errors = fmr_interval(non_mated, value)
        inside = candidates[(low <= rate) & (rate <= high)]
        if errors < LEAST_ERRORS:
            break
        # With coarse scores no threshold may have the rate in its interval; then the interval is a point.
        least, most = (float(inside[0]), float(inside[-1])) if inside.size else (value, value)
        rows.append([value, min(least, value), max(most, value), rate_low, rate_high])
    if not rows:
        raise InvalidArgument(
            f"{len(non_mated.scores):,} non-mated scores support no false match rate of "
            f"{RATES[0]:g} or below: fewer than {LEAST_ERRORS:.0f} independent errors; use more people"
        )
    return RATES[: len(rows)].copy(), np.array(rows)


def _candidate_thresholds(non_mated: NonMatedScores) -> Reals:
    """Thresholds, rising, close enough in rate (2 %) for reading intervals off them."""
    rates = np.unique(np.clip(10.0 ** np.arange(-0.3, -7, -0.01), 1 / len(non_mated.scores), 1))[::-1]
    return np.unique([non_mated.at_rate(rate) for rate in rates])


def fmr_interval(non_mated: NonMatedScores, threshold: float) -> tuple[float, float, float]:
    """95 % interval of the false match rate at ``threshold``, and the effective number of errors."""
    errors = non_mated.descending[: non_mated.count_from(threshold)]
    comparisons = non_mated.comparisons_per_subject
    size = len(comparisons)
    wrong = np.bincount(non_mated.first[errors], minlength=size) + np.bincount(non_mated.second[errors], minlength=size)
    interval = jackknife_interval(Tally(wrong, comparisons, sides=2))
    return interval.low, interval.high, interval.effective_errors
