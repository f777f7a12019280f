"""The bench on a network that loses its weights, layer by layer: whose maps came from them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from xcos.explainers.explanation import Explainer
from xcos.explainers.faithfulness.explained import OnceExplained
from xcos.explainers.faithfulness.kept import Kept
from xcos.explainers.faithfulness.measure import Explain, FacePair
from xcos.explainers.faithfulness.randomisation import COUNTS, RandomisedStep, Rebuild, cascade
from xcos.explainers.matcher import Matcher


@dataclass(frozen=True)
class RandomisedResult:
    """What became of every method's maps."""

    pairs: int
    output: str
    """Of the network, below which layers were shuffled."""
    seed: int
    steps: dict[str, tuple[RandomisedStep, ...]]
    """By method: after the top 1, 2, 4 … and all layers."""

    @property
    def layers(self) -> list[int]:
        """How many layers were shuffled at each step."""
        return [len(step.layers) for step in next(iter(self.steps.values()), ())]

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        steps = {
            method: [{"layers": len(step.layers), **asdict(step.likeness)} for step in steps]
            for method, steps in self.steps.items()
        }
        return {"pairs": self.pairs, "output": self.output, "seed": self.seed, "steps": steps}


def run_randomised(
    rebuild: Rebuild, explainers: Sequence[Explainer], pairs: Sequence[FacePair], out: Path, *, output: str = "grid",
    seed: int = 0,
) -> RandomisedResult:  # fmt: skip
    """The cascade for every explainer, each a dataclass with a field ``matcher``; maps are kept in ``out/kept``."""
    kept = Kept(out / "kept")

    def steps_of(explainer: Explainer) -> tuple[RandomisedStep, ...]:
        def explain_of(matcher: Matcher) -> Explain:
            return OnceExplained(replace(explainer, matcher=matcher), matcher.name, kept)  # type: ignore[type-var]

        return tuple(cascade(rebuild, explain_of, pairs, output=output, counts=COUNTS, seed=seed))

    return RandomisedResult(len(pairs), output, seed, {each.name: steps_of(each) for each in explainers})
