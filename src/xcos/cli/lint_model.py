"""``xcos lint-model``: what a network's card should say, measured."""

from __future__ import annotations

import argparse
import json
import sys

from xcos.catalog import build_detector
from xcos.cli.progress import progress_bar
from xcos.cli.quiet import without_decoder_chatter
from xcos.embedders import OnnxEmbedder
from xcos.errors import InvalidArgument
from xcos.evaluation.lint_model import lint_model
from xcos.evaluation.lint_report import Figures, Finding, LintReport, PairCount, Round, VectorCheck
from xcos.evaluation.preprocessing import ASPECTS
from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.protocols import VERIFICATION, read_protocol
from xcos.evaluation.uncertainty import Estimate
from xcos.weights import read_card

POINTS = 100
"""A rate in points of a per cent."""


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos lint-model``."""
    protocol = read_protocol(options.protocol, options.data)
    if not isinstance(protocol, VerificationProtocol):
        raise InvalidArgument(f"{options.protocol} is no set of pairs; one of {', '.join(sorted(VERIFICATION))}")
    network = OnnxEmbedder(options.network, read_card(options.card), vector=options.vector)
    detector = build_detector(options.detector, network.card.template)
    total = 0
    with progress_bar("photos and crops", total) as bar, without_decoder_chatter():

        def more(steps: int) -> None:
            nonlocal total
            total += steps
            bar.resize(total)

        def done(steps: int) -> None:
            for _ in range(steps):
                bar.advance()

        report = lint_model(
            network,
            protocol,
            detector,
            face=options.face,
            pairs=options.pairs,
            seed=options.seed,
            aspects=options.only or ASPECTS,
            on_more=more,
            on_done=done,
        )
    if options.json:
        print(json.dumps(report.to_dict(), indent=2))
        return 0
    for round in report.rounds:
        print("\n".join(_table(round)), end="\n\n")
    print("\n".join(_conclusion(report)))
    if report.refused:
        counted = ", ".join(f"{number:,} {code}" for code, number in report.refused.items())
        print(f"photos left out: {counted}", file=sys.stderr)
    return 0


# Tables


def _table(round: Round) -> list[str]:
    base = ", ".join(round.base.told(aspect) for aspect in ASPECTS)
    rows = [("", base, f"{round.figures.separation:.2f}", "", f"{POINTS * round.figures.eer:.2f}", "")]
    for trial in round.trials:
        figures = trial.figures
        rows.append(
            (
                trial.aspect,
                trial.told,
                f"{figures.separation:.2f}",
                _gain(trial.gain, 2) + " *" * trial.counts,
                f"{POINTS * figures.eer:.2f}",
                _gain(trial.eer_gain, 2, POINTS),
            )
        )
    heads = ("", "one change at a time", "d′", "gain", "EER in %", "gain in points")
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (heads, *rows)
    ]


def _gain(estimate: Estimate, digits: int, unit: int = 1) -> str:
    if not estimate.supported:
        return "not known"
    value, low, high = (f"{unit * number:+.{digits}f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


# Words


def _conclusion(report: LintReport) -> list[str]:
    lines = [
        f"{report.card.name} on {report.protocol}, faces by {report.detector}: chosen on {_told(report.choosing)}, "
        f"verified on {_told(report.verifying)}, other people",
        *(f"{finding.aspect + ':':7} {_sentence(finding)}" for finding in report.findings),
        *(f"vectors: {sentence}" for sentence in _vector_sentences(report.vectors)),
    ]
    before, after = report.verified
    if not report.works:
        lines.append(
            "WARNING: this network does not tell these people apart, as declared or with any one change; it may be fed "
            "wrongly in two ways of which neither helps alone, so nothing is concluded"
        )
    if report.as_declared:
        return [*lines, f"as declared: {_figures(before)} on people who had no part in any choice"]
    lines.append(f"on people who had no part in the choice: {_figures(before)} as declared, {_figures(after)} as found")
    lines += [
        f"in the card: {json.dumps({name: value}, ensure_ascii=False)}" for name, value in report.corrections.items()
    ]
    return lines + ["with mirror averaging, which is no matter of the card"] * report.wanted.mirror


def _told(count: PairCount) -> str:
    return f"{count.mated:,} mated and {count.non_mated:,} non-mated pairs of {count.people:,} people"


def _figures(figures: Figures) -> str:
    return f"d′ {figures.separation:.2f}, EER {figures.eer:.2%}, AUC {figures.auc:.4f}"


def _sentence(finding: Finding) -> str:
    alike = f" (about as good: {'; '.join(finding.alike)})" * bool(finding.alike)
    if finding.gain is None:
        return f"as declared, {finding.declared}{alike}"
    if not finding.confirmed:
        return (
            f"as declared, {finding.declared}: {'; '.join(finding.alike)} gained on the people it was chosen on, but "
            f"not surely on others: {_gain(finding.gain, 2)} of d′"
        )
    wants = f"this model wants {finding.wanted}, not {finding.declared}"
    separation = f"{_gain(finding.gain, 2)} of d′"
    rate = finding.eer_gain
    if rate is None or not rate.supported:
        return f"{wants}; you gain {separation}{alike}"
    points = f"{_gain(rate, 1, POINTS)} points"
    if rate.low > 0:
        return f"{wants}; you gain {points} of equal error rate, {separation}{alike}"
    return f"{wants}; you gain {separation}, which so few pairs do not show as equal error rate ({points}){alike}"


def _vector_sentences(vectors: VectorCheck) -> list[str]:
    if not vectors.dimensions:
        return ["WARNING: none of any photo is finite and not all zero"]
    lengths = "all of one length" if vectors.normalised else f"lengths spread by {vectors.length_spread:.1%}"
    sentences = [f"{vectors.dimensions} values, {lengths} (mean {vectors.length:.4g})"]
    if vectors.unusable:
        sentences.append(f"WARNING: {vectors.unusable:,} photos have none that is finite and not all zero")
    if vectors.constant:
        cosine = f"{vectors.non_mated_cosine:.5f}"
        sentences.append(f"WARNING: they hardly depend on the photo: the cosine of two people is {cosine}")
    if not vectors.normalised:
        better = " and ".join(vectors.better)
        found = (
            f"WARNING: {better} separates better than the cosine" if better else "the cosine is the right comparison"
        )
        gains = f"dot product {_gain(vectors.dot_gain, 2)}, Euclidean distance {_gain(vectors.euclid_gain, 2)} of d′"
        sentences.append(f"{found} ({gains})")
    mirror, mated = f"{vectors.mirror_cosine:.3f}", f"{vectors.mated_cosine:.3f}"
    told = f"the cosine of a photo and its mirror image is {mirror}, of two photos of a person {mated}"
    return [*sentences, told if vectors.mirror_matches else f"WARNING: {told}; crops may lie aside"]
