"""An explanation with what its method says beside the maps: sentences, numbers, what a picture can show of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xcos.explainers.counterfactual import CounterfactualQuestion
from xcos.explainers.explanation import Explainer, Explanation
from xcos.explainers.picture import explanation_picture
from xcos.explainers.semantic import SemanticRegions, region_table, sentences, summary
from xcos.explainers.transport import CellFlow, Transport
from xcos.types import AlignedFace, Pixels


@dataclass(frozen=True)
class Explained:
    """What was found of one pair."""

    found: Explanation
    probe: AlignedFace
    reference: AlignedFace
    sentences: Sequence[str] = ()
    """In which the method says what it measured; most methods say nothing but their maps."""
    numbers: Mapping[str, object] = field(default_factory=dict)
    """Plain JSON values by the method's name, where there are more than maps."""
    summary: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    flow: CellFlow | None = None
    hidden: tuple[Pixels, Pixels] | None = None

    def picture(self, matcher: str, *, scale: float = 2.0) -> Pixels:
        """``(H, W, 3)``: maps, crops and words; ``matcher`` is the name of what was explained."""
        return explanation_picture(
            self.found,
            self.probe,
            self.reference,
            matcher=matcher,
            flow=self.flow,
            hidden=self.hidden,
            sentences=self.summary,
            table=self.table,
            scale=scale,
        )


def explained(explainer: Explainer, probe: AlignedFace, reference: AlignedFace) -> Explained:
    """One explanation of the pair, with all that its method says; no pass is made twice but for a flow."""
    match explainer:
        case SemanticRegions():
            measured = explainer.measure(probe, reference)
            return Explained(
                explainer.explanation_of(measured, probe, reference),
                probe,
                reference,
                sentences=sentences(measured),
                numbers={explainer.name: measured.to_dict()},
                summary=summary(measured),
                table=region_table(measured),
            )
        case CounterfactualQuestion():
            answer = explainer.ask(probe, reference)
            told = answer.sentences()
            return Explained(
                explainer.explanation_of(answer, probe, reference),
                probe,
                reference,
                sentences=told,
                numbers={explainer.name: answer.to_dict()},
                summary=told,
                hidden=explainer.hidden(answer, probe, reference) if answer.counterfactual.renormalised else None,
            )
        case Transport():
            flow = explainer.flow(probe, reference)
            return Explained(explainer.explain(probe, reference), probe, reference, flow=flow)
    return Explained(explainer.explain(probe, reference), probe, reference)
