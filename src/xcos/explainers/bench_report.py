"""A bench's result as a table in Markdown, as one self-contained HTML page, and as JSON."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xcos.canvas import ORANGE_TO_PURPLE
from xcos.evaluation.uncertainty import Estimate
from xcos.explainers.bench import BenchResult, Row, Shown
from xcos.explainers.bench_plays import LIGHT
from xcos.explainers.bench_twins import TwinResult
from xcos.explainers.faithfulness.locality import Locality
from xcos.files import write_atomically
from xcos.report import TEMPLATES
from xcos.types import Maps, Pixels

ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
OPACITY = 0.6


def write_bench(
    result: BenchResult, out: Path, *, locality: Locality | None = None, twins: Sequence[TwinResult] = ()
) -> list[Path]:
    """Writes ``bench.json``, ``bench.md`` and ``bench.html`` into the folder ``out``, each whole or not at all."""
    document = {
        "bench": result.to_dict(),
        "locality": locality and {"leak": locality.leak, "inside": locality.inside, "pairs": locality.pairs},
        "twins": [each.to_dict() for each in twins],
    }
    texts = {
        "bench.json": json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "bench.md": bench_markdown(result, twins),
        "bench.html": bench_html(result, locality, twins),
    }
    for name, text in texts.items():
        write_atomically(out / name, text.encode())
    return [out / name for name in texts]


def bench_markdown(result: BenchResult, twins: Sequence[TwinResult] = ()) -> str:
    """Two tables: what the ranking counts, a column for each; and every figure, a line for each."""
    heads = [f"{measure}: {figure} {ARROWS[better]}" for measure, figure, better in result.headlines]
    lines = [f"{sentence}\n" for sentence in sentences(result)]
    lines += [_line(["method", "passes", "s", "rank", *heads]), _line(["---"] * (4 + len(heads)))]
    for method in result.methods:
        cells = [_cell(result.row(method.name, measure, figure)) for measure, figure, _ in result.headlines]
        passes = f"{method.forward + method.backward:,.0f}"
        lines.append(_line([method.name, passes, f"{method.seconds:.3g}", f"{method.rank:.2f}", *cells]))
    names = [method.name for method in result.methods]
    lines += ["", _line(["measure", "figure", "pairs", *names]), _line(["---"] * (3 + len(names)))]
    for first in _figures(result):
        row = [result.row(name, first.measure, first.figure) for name in names]
        title = f"{first.figure} {ARROWS[first.better]}"
        lines.append(_line([first.measure, title, str(first.estimate.trials), *map(_cell, row)]))
    for each in twins:
        lines += ["", twin_markdown(each)]
    return "\n".join(lines) + "\n"


def sentences(result: BenchResult) -> list[str]:
    """What was compared, in sentences that quote only the result's numbers."""
    budget = "without a budget" if result.budget is None else f"at most {result.budget:,} passes for an explanation"
    found = [
        f"{len(result.methods)} methods on {result.pairs} pairs ({result.mated} mated) of {result.people} people, "
        f"matcher {result.matcher}, {budget}.",
        f"Deletion, insertion and Patch-LFW decide at {result.threshold:.4f}, the threshold of equal error rates of "
        f"the clean pairs, where {result.accuracy:.2%} of them are right.",
        "Intervals: 95 %, over people, not over pairs. A method beats another only where the two intervals do not "
        "touch; the rank is a mean over the figures of the first table, every measure with one vote.",
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


def _cell(row: Row) -> str:
    return interval_text(row.estimate)


def interval_text(estimate: Estimate) -> str:
    """``0.512 [0.480, 0.551]``; a dash where the figure applies to no pair."""
    if not estimate.supported:
        return "–"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def twin_markdown(twins: TwinResult) -> str:
    """A line for each method and part, and one for each method's game."""
    lines = [
        f"Twins with one part changed: {twins.triplets} triplets, evidence “{twins.evidence}”; the game by the rule "
        f"“{twins.rule}”, which let in {twins.played}.",
        "",
        _line(["method", "part", "triplets", "ranked first ↑", "chance", "mean place ↓", "AUC ↑", "pointing ↑"]),
        _line(["---"] * 8),
    ]
    for each in twins.parts:
        numbers = [interval_text(each.first), f"{each.chance:.2f}", interval_text(each.place),
                   interval_text(each.auc), interval_text(each.pointing)]  # fmt: skip
        lines.append(_line([each.method, each.part, str(each.first.trials), *numbers]))
    if twins.games:
        head = ["inpainting game", "as twin at 1 % false alarms ↑", "at 5 % ↑", "mean ↑", "mean by part"]
        lines += ["", _line(head), _line(["---"] * 5)]
        for method, game in twins.games.items():
            parts = ", ".join(f"{part} {rates[-1]:.2f}" for part, rates in game.parts.items())
            lines.append(_line([method, *map(interval_text, (*game.rates, game.area)), parts]))
    return "\n".join(lines)


def bench_html(result: BenchResult, locality: Locality | None = None, twins: Sequence[TwinResult] = ()) -> str:
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
        cell=lambda method, measure, figure: _cell(result.row(method, measure, figure)),
        lost=_lost(result),
        pictures=[_pictures(shown) for shown in result.shown],
        locality=locality,
        twins=twins,
        interval=interval_text,
    )


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
    rows = []
    for at, crop in enumerate((shown.probe, shown.reference)):
        maps = {name: _png(overlaid(crop, both[at])) for name, both in shown.maps.items()}
        rows.append({"": _png(crop), **maps})
    return {"name": shown.name, "mated": shown.mated, "score": shown.score, "rows": rows}


def overlaid(crop: Pixels, values: Maps) -> Pixels:
    """The grey crop under the map's colours: purple speaks for one person, orange against; most at the strongest pixel.

    A map that is nowhere negative is coloured about its mean, for else it would be all purple.
    """
    middle = 0.0 if values.min() < 0 else float(values.mean())
    most = float(np.abs(values - middle).max()) or 1.0
    stops = np.array([list(bytes.fromhex(stop)) for stop in ORANGE_TO_PURPLE], float)
    place = (np.clip((values - middle) / most, -1, 1) + 1) / 2 * (len(stops) - 1)
    colors = np.stack([np.interp(place, np.arange(len(stops)), stops[:, channel]) for channel in range(3)], axis=-1)
    grey = crop.astype(float).mean(axis=2, keepdims=True)
    mixed: Pixels = np.rint((1 - OPACITY) * grey + OPACITY * colors).astype(np.uint8)
    return mixed


def _png(pixels: Pixels) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
