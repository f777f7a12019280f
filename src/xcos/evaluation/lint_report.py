"""What was measured of a network's card, and what follows, as values; nothing is computed here."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from xcos.evaluation.preprocessing import ASPECTS, Aspect, Setting
from xcos.evaluation.uncertainty import Estimate
from xcos.weights import WeightCard

LEAST_SEPARATION = 1.0
"""Normal scores of this separation have an equal error rate of 31 %."""
CONSTANT = 1e-3
"""Vectors of two people whose cosine is typically nearer to 1 than this hardly depend on the photo."""


@dataclass(frozen=True)
class Figures:
    """How well a setting tells people apart on some pairs."""

    separation: float
    """d′."""
    eer: float
    """Equal error rate."""
    auc: float
    """Area under the ROC."""
    unusable: int
    """Photos of which the network makes no finite vector; their pairs have the lowest score of all."""


@dataclass(frozen=True)
class Trial:
    """An alternative against the setting that it changes."""

    aspect: Aspect
    told: str
    """What is different, in words."""
    setting: Setting
    figures: Figures
    gain: Estimate
    """Of separation; above 0 where the alternative is better."""
    eer_gain: Estimate
    """By how much the equal error rate is lower."""
    counts: bool
    """Whether the gain is more than chance and material."""


@dataclass(frozen=True)
class Round:
    """All open aspects, tried one change at a time from one setting."""

    base: Setting
    figures: Figures
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """The alternative that gains most of those whose gain counts; None: nothing is better."""
        return max((each for each in self.trials if each.counts), key=lambda trial: trial.gain.value, default=None)


@dataclass(frozen=True)
class Finding:
    """What is to be said of one aspect."""

    aspect: Aspect
    declared: str
    wanted: str
    """What should be declared, in words; the same as ``declared`` where nothing is wrong."""
    chosen_gain: Estimate | None
    """Of separation, on the people it was chosen on; None where nothing was chosen."""
    gain: Estimate | None
    """Of separation on other people; None where nothing was chosen."""
    eer_gain: Estimate | None
    """By how much the equal error rate is lower, on other people."""
    confirmed: bool
    """Whether the choice gains on other people too."""
    alike: tuple[str, ...]
    """Alternatives that these pairs cannot tell from what is wanted."""

    @property
    def as_declared(self) -> bool:
        """Whether nothing else is to be declared."""
        return not self.confirmed


@dataclass(frozen=True)
class VectorCheck:
    """What the network's vectors are like, fed as was found to be best, without mirror averaging."""

    dimensions: int
    """0 if there is no vector at all."""
    unusable: int
    """Photos of which there is no finite vector."""
    length: float
    """Mean of the vectors' lengths."""
    length_spread: float
    """Standard deviation of the lengths, as a share of their mean."""
    normalised: bool
    """Whether all vectors have one length, so that cosine, dot product and distance give one order."""
    mated_cosine: float
    """Median of the mated pairs."""
    non_mated_cosine: float
    mirror_cosine: float
    """Median cosine of a photo's vector and its mirror image's."""
    dot_gain: Estimate
    """Of separation by dot products instead of cosines: above 0 where long vectors deserve more weight."""
    euclid_gain: Estimate
    """The same by squared Euclidean distance, smaller being more alike."""
    better: tuple[str, ...]
    """Of both, those whose gain counts."""

    @property
    def constant(self) -> bool:
        """Whether the vectors hardly depend on the photo."""
        return 1 - self.non_mated_cosine < CONSTANT

    @property
    def mirror_matches(self) -> bool:
        """Whether a mirror image is at least as like its photo as another photo of the same person."""
        return self.mirror_cosine >= self.mated_cosine


@dataclass(frozen=True)
class PairCount:
    """What was compared."""

    mated: int
    non_mated: int
    people: int
    photos: int


@dataclass(frozen=True)
class LintReport:
    """What was measured, and what follows."""

    card: WeightCard
    protocol: str
    detector: str
    seed: int
    people_known: bool
    choosing: PairCount
    verifying: PairCount
    refused: dict[str, int]
    """Photos that were left out, by the code of the error."""
    rounds: tuple[Round, ...]
    findings: tuple[Finding, ...]
    """One for each aspect that was tried."""
    wanted: Setting
    """The declared setting with what was confirmed."""
    verified: tuple[Figures, Figures]
    """Of the declared setting and the wanted one, on the people nothing was chosen on."""
    gain: Estimate
    """Of separation, of the wanted setting over the declared one, on the same people."""
    eer_gain: Estimate
    vectors: VectorCheck

    @property
    def works(self) -> bool:
        """Whether the network tells people apart, fed as was found to be best; else nothing is concluded."""
        return self.verified[1].separation >= LEAST_SEPARATION

    @property
    def as_declared(self) -> bool:
        """Whether nothing better was found than the card says."""
        return all(finding.as_declared for finding in self.findings)

    @property
    def corrections(self) -> dict[str, object]:
        """Fields of the card that should be otherwise, as JSON values."""
        old, new = self.card.to_dict(), self.wanted.card(self.card).to_dict()
        return {name: value for name, value in new.items() if value != old[name]}

    def to_dict(self) -> dict[str, object]:
        """The same as plain JSON values."""
        declared_figures, wanted_figures = self.verified
        return {
            "model": self.card.name,
            "sha256": self.card.sha256,
            "protocol": self.protocol,
            "detector": self.detector,
            "seed": self.seed,
            "people_known": self.people_known,
            "choosing": asdict(self.choosing),
            "verifying": asdict(self.verifying),
            "refused": self.refused,
            "works": self.works,
            "as_declared": self.as_declared,
            "corrections": self.corrections,
            "mirror": self.wanted.mirror,
            "findings": [_finding_dict(each) for each in self.findings],
            "verified": {
                "declared": asdict(declared_figures),
                "wanted": asdict(wanted_figures),
                "gain": self.gain.to_dict(),
                "eer_gain": self.eer_gain.to_dict(),
            },
            "rounds": [_round_dict(each) for each in self.rounds],
            "vectors": {
                **vars(self.vectors),
                "dot_gain": self.vectors.dot_gain.to_dict(),
                "euclid_gain": self.vectors.euclid_gain.to_dict(),
                "better": list(self.vectors.better),
                "constant": self.vectors.constant,
                "mirror_matches": self.vectors.mirror_matches,
            },
        }


def _estimate_dict(estimate: Estimate | None) -> dict[str, float | int | str | bool | None] | None:
    return None if estimate is None else estimate.to_dict()


def _finding_dict(finding: Finding) -> dict[str, object]:
    return {
        "aspect": finding.aspect,
        "declared": finding.declared,
        "wanted": finding.wanted,
        "as_declared": finding.as_declared,
        "confirmed": finding.confirmed,
        "chosen_gain": _estimate_dict(finding.chosen_gain),
        "gain": _estimate_dict(finding.gain),
        "eer_gain": _estimate_dict(finding.eer_gain),
        "alike": list(finding.alike),
    }


def _round_dict(round: Round) -> dict[str, object]:
    return {
        "base": {aspect: round.base.told(aspect) for aspect in ASPECTS},
        "figures": asdict(round.figures),
        "trials": [
            {
                "aspect": trial.aspect,
                "alternative": trial.told,
                "figures": asdict(trial.figures),
                "gain": trial.gain.to_dict(),
                "eer_gain": trial.eer_gain.to_dict(),
                "counts": trial.counts,
            }
            for trial in round.trials
        ],
    }
