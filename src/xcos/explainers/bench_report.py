"""A bench's result as a table in Markdown, as one self-contained HTML page, and as JSON."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from xcos.evaluation.uncertainty import Estimate
from xcos.explainers.bench import LEAST_PAIRS, BenchResult, Row, Shown, Standing
from xcos.explainers.bench_plays import LIGHT
from xcos.explainers.bench_randomised import RandomisedResult
from xcos.explainers.bench_twins import TwinResult
from xcos.explainers.faithfulness.locality import Locality
from xcos.explainers.floors import FLOORS
from xcos.explainers.picture import overlays
from xcos.files import write_atomically
from xcos.report import TEMPLATES
from xcos.types import Pixels

ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
LOCALITY = ("leak", "inside", "pairs", "samples", "level", "seed")
MARKS: dict[Standing, str] = {"beats all floors": "▲", "beaten by a floor": "▼", "": ""}
SIZE, QUALITY = 208, 88
"""Of a map's picture, in pixels, and of its JPEG."""


def write_bench(
    result: BenchResult,
    out: Path,
    *,
    locality: Locality | None = None,
    twins: Sequence[TwinResult] = (),
    randomised: RandomisedResult | None = None,
) -> list[Path]:
    """Writes ``bench.json``, ``bench.md`` and ``bench.html`` into the folder ``out``, each whole or not at all."""
    document = {
        "bench": result.to_dict(),
        "locality": locality and {name: getattr(locality, name) for name in LOCALITY},
        "twins": [each.to_dict() for each in twins],
        "randomised": randomised and randomised.to_dict(),
    }
    texts = {
        "bench.json": json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "bench.md": bench_markdown(result, twins, locality, randomised),
        "bench.html": bench_html(result, locality, twins, randomised),
    }
    for name, text in texts.items():
        write_atomically(out / name, text.encode())
    return [out / name for name in texts]


def bench_markdown(
    result: BenchResult,
    twins: Sequence[TwinResult] = (),
    locality: Locality | None = None,
    randomised: RandomisedResult | None = None,
) -> str:
    """Two tables, what the ranking counts, a column for each, and every figure, a line for each; then the rest."""
    heads = [f"{measure}: {figure} {ARROWS[better]}" for measure, figure, better in result.headlines]
    lines = [f"{sentence}\n" for sentence in sentences(result)]
    lines += [_line(["method", "passes", "s", "rank", *heads]), _line(["---"] * (4 + len(heads)))]
    for method in result.methods:
        cells = [_marked(result, result.row(method.name, measure, figure)) for measure, figure, _ in result.headlines]
        lines.append(
            _line([method.name, f"{method.passes:,.0f}", f"{method.seconds:.3g}", f"{method.rank:.2f}", *cells])
        )
    names = [method.name for method in result.methods]
    lines += ["", _line(["measure", "figure", "pairs", *names]), _line(["---"] * (3 + len(names)))]
    for first in _figures(result):
        row = [result.row(name, first.measure, first.figure) for name in names]
        title = f"{first.figure} {ARROWS[first.better]}"
        lines.append(_line([first.measure, title, counts_text(row), *(interval_text(each.estimate) for each in row)]))
    for each in twins:
        lines += ["", twin_markdown(each)]
    if randomised:
        lines += ["", randomised_markdown(randomised)]
    if locality:
        lines += ["", locality_sentence(locality)]
    return "\n".join(lines) + "\n"


def _marked(result: BenchResult, row: Row) -> str:
    mark = MARKS[result.standing(row.method, row.measure, row.figure)]
    return f"{interval_text(row.estimate)} {mark}".rstrip()


def counts_text(rows: Sequence[Row]) -> str:
    """How many pairs stand behind a figure, least to most where methods played on different numbers."""
    counts = sorted({row.estimate.trials for row in rows})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


def sentences(result: BenchResult) -> list[str]:
    """What was compared, in sentences that quote only the result's numbers."""
    budget = "without a budget" if result.budget is None else f"at most {result.budget:,} passes for an explanation"
    found = [
        f"{len(result.methods)} methods on {result.pairs} pairs ({result.mated} mated) of {result.people} people, "
        f"matcher {result.matcher}, {budget}.",
        f"Deletion, insertion and Patch-LFW decide at {result.threshold:.4f}, the threshold of equal error rates of "
        f"the clean pairs, where {result.accuracy:.2%} of them are right.",
        "Intervals: 95 %, over people, not over pairs. A method beats another only where the two intervals do not "
        f"touch and stand on {LEAST_PAIRS} pairs or more; the rank is a mean over the figures of the first table, "
        "every measure with one vote. "
        f"{MARKS['beats all floors']} beats every floor that is in the table ({', '.join(FLOORS)}), "
        f"{MARKS['beaten by a floor']} is beaten by one.",
    ]
    if result.extra_pairs:
        found.append(
            f"Where a measure explains changed pairs, methods of more than {LIGHT} passes played it on "
            f"{result.extra_pairs} pairs or fewer."
        )
    if result.left_out:
        named = ", ".join(f"{each.name} ({each.passes:,} passes)" for each in result.left_out)
        found.append(f"Left out, as they need more than the budget: {named}.")
    return found


def _figures(result: BenchResult) -> list[Row]:
    """One row for each figure, in the order of the measures."""
    found: dict[tuple[str, str], Row] = {}
    for row in result.rows:
        found.setdefault((row.measure, row.figure), row)
    return list(found.values())


def interval_text(estimate: Estimate) -> str:
    """``0.512 [0.480, 0.551]``; a dash where the figure applies to no pair."""
    if not estimate.supported:
        return "–"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def twin_markdown(twins: TwinResult) -> str:
    """A line for each method: the ranking of the parts, and its game."""
    lines = [twin_sentence(twins), ""]
    firsts = [f"{part} first ↑" for part in twins.part_names]
    lines += [_line(["method", *firsts, "mean place ↓", "AUC ↑", "pointing ↑"]), _line(["---"] * (4 + len(firsts)))]
    for method in twins.methods:
        every = twins.ranking(method)
        numbers = [*(twins.ranking(method, part).first for part in twins.part_names), every.place, every.auc,
                   every.pointing]  # fmt: skip
        lines.append(_line([method, *map(interval_text, numbers)]))
    if twins.games:
        head = ["inpainting game", "as twin at 1 % false alarms ↑", "at 5 % ↑", "mean ↑",
                *(f"{part}, mean ↑" for part in twins.game_parts)]  # fmt: skip
        lines += ["", _line(head), _line(["---"] * len(head))]
        for method, game in twins.games.items():
            parts = [f"{game.parts[part][-1]:.3f}" for part in twins.game_parts]
            lines.append(_line([method, *map(interval_text, (*game.rates, game.area)), *parts]))
    return "\n".join(lines)


def twin_sentence(twins: TwinResult) -> str:
    """What was played, by which rules."""
    chances = ", ".join(f"{part} {twins.ranking(twins.methods[0], part).chance:.2f}" for part in twins.part_names)
    counts = ", ".join(f"{part} {twins.ranking(twins.methods[0], part).first.trials}" for part in twins.part_names)
    return (
        f"Twins with one part changed: {twins.triplets} triplets, evidence “{twins.evidence}”; how often the changed "
        f"part was ranked first (triplets: {counts}; chance: {chances}), and the inpainting game by the rule "
        f"“{twins.rule}”, which let in {twins.played}."
    )


def randomised_markdown(randomised: RandomisedResult) -> str:
    """A line for each method: how alike its maps stay, by the signed rank correlation."""
    head = ["rank correlation with the maps before ↓", *(f"top {layers} shuffled" for layers in randomised.layers)]
    lines = [randomised_sentence(randomised), "", _line(head), _line(["---"] * len(head))]
    for method, steps in randomised.steps.items():
        lines.append(_line([method, *(f"{step.likeness.signed:.2f}" for step in steps)]))
    return "\n".join(lines)


def randomised_sentence(randomised: RandomisedResult) -> str:
    """What was done to the network."""
    return (
        f"Weights shuffled from the top of the network down, {randomised.pairs} pairs: a method whose maps stay what "
        "they were shows the photo, or a prior, and not the network."
    )


def locality_sentence(locality: Locality) -> str:
    """How literally cells may be taken."""
    return (
        f"Noise in one cell's square moves the other cells {locality.leak:.2f} times as much as that cell (0: windows, "
        f"1: no place); {100 * locality.inside:.1f} % of a cell's gradient energy lies in its own square "
        f"({locality.pairs} pairs). No grid explanation may be taken more literally than that."
    )


def bench_html(
    result: BenchResult,
    locality: Locality | None = None,
    twins: Sequence[TwinResult] = (),
    randomised: RandomisedResult | None = None,
) -> str:
    """One page without any outside resource: tables, options, and a few pairs with all maps side by side."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("bench.html").render(
        result=result,
        sentences=sentences(result),
        figures=_figures(result),
        arrows=ARROWS,
        marks=MARKS,
        lost=_lost(result),
        pictures=[_pictures(shown) for shown in result.shown],
        locality=locality_sentence(locality) if locality else "",
        twins=twins,
        randomised=randomised,
        randomised_sentence=randomised_sentence,
        twin_sentence=twin_sentence,
        interval=interval_text,
        counts=counts_text,
        bar=partial(_bar, result),
    )


def _bar(result: BenchResult, row: Row) -> dict[str, float] | None:
    """Where value and interval lie between the least and the largest end of all methods' intervals, 0…1."""
    column = [result.row(each.name, row.measure, row.figure).estimate for each in result.methods]
    ends = [end for each in column if each.supported for end in (each.low, each.high)]
    if not row.estimate.supported or max(ends) == min(ends):
        return None
    low, wide = min(ends), max(ends) - min(ends)
    return {name: (getattr(row.estimate, name) - low) / wide for name in ("low", "value", "high")}


def _lost(result: BenchResult) -> list[tuple[str, str, str, str]]:
    """Where the first method of a clean win is above another: measure and figure, winner, loser."""
    wins = []
    for measure, figure, _ in result.headlines:
        for winner in result.methods:
            losers = [each.name for each in result.methods if result.beats(winner.name, each.name, measure, figure)]
            if losers:
                wins.append((measure, figure, winner.name, ", ".join(losers)))
    return wins


def _pictures(shown: Shown) -> dict[str, object]:
    """Two rows: the probe and every map on it, the reference and every map on it."""
    rows = {"probe": {"": _jpeg(shown.probe)}, "reference": {"": _jpeg(shown.reference)}}
    for name, maps in shown.maps.items():
        for row, picture in zip(rows.values(), overlays(shown.probe, shown.reference, maps, size=SIZE), strict=True):
            row[name] = _jpeg(picture)
    return {"name": shown.name, "mated": shown.mated, "score": shown.score, "rows": rows}


def _jpeg(pixels: Pixels) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=QUALITY)
    return base64.b64encode(file.getvalue()).decode()
