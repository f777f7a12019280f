"""``xcos calibrate``: a calibration card from a table of scores."""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path

from xcos.cli.progress import progress_bar
from xcos.evaluation.calibrate_scores import Part, ScoreCalibration, ScoredFor, calibrate_scores
from xcos.evaluation.protocols import read_scores
from xcos.files import require_writable, write_atomically


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos calibrate``."""
    require_writable(options.out, inputs=[options.scores])
    with progress_bar("rows", None) as bar:
        table = read_scores(Path(options.scores), on_lines=bar.resize, on_rows=bar.advance)
    made = calibrate_scores(
        table,
        ScoredFor(options.model, options.comparator, options.dataset, options.detector),
        fmrs=options.fmr,
        date=options.date or date.today().isoformat(),
        test_share=options.test_share,
    )
    write_atomically(options.out, (json.dumps(made.card.to_dict(), indent=1) + "\n").encode())
    if options.json:
        print(json.dumps({"out": options.out, **made.to_dict()}, indent=2))
        return 0
    for line in _lines(made):
        print(line)
    print(f"wrote {options.out}")
    return 0


def _lines(made: ScoreCalibration) -> list[str]:
    lines = [
        f"fitted on {_told(made.fitted)}",
        f"tested on {_told(made.tested)}, other people",
        f"{made.across:,} pairs of a person of each part serve neither",
    ]
    if not made.people_known:
        lines.append(
            "who is who is not known: samples linked by mated pairs count as one person; people may be too many, and "
            "intervals too narrow"
        )
    for each in made.measured:
        threshold = each.threshold
        lines += [
            f"at FMR {threshold.fmr:g}: threshold {threshold.value:.4f} [{threshold.low:.4f}, {threshold.high:.4f}]",
            f"  FMR of the test people   {each.fmr}",
            f"  FNMR of the test people  {each.fnmr}",
        ]
    return [*lines, f"the scores support false match rates from {made.card.least_fmr:.1e} up"]


def _told(part: Part) -> str:
    failed = part.failed_mated + part.failed_non_mated
    return (
        f"{part.mated:,} mated and {part.non_mated:,} non-mated pairs of {part.people:,} people"
        + f" ({failed:,} failed)" * bool(failed)
    )
