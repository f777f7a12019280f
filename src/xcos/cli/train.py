"""``xcos train``: a network or a head, from a configuration."""

from __future__ import annotations

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from xcos.errors import InvalidConfig, MissingPackage

if TYPE_CHECKING:
    from xcos.training.loop import Report
    from xcos.training.run import Result

NEEDED = ("torch", "safetensors")


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos train``."""
    config = Path(options.config)
    if not config.is_file():
        raise InvalidConfig(
            f"{config} is no file; give a TOML file such as those in the folder recipes", file=str(config)
        )
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingPackage(f"training needs {' and '.join(missing)}: pip install 'xcos[train]'")
    from xcos.training.cpu import keep_freed_memory
    from xcos.training.distributed import kind_of
    from xcos.training.run import run_training

    out = Path(options.out or config.stem)
    listener = Lines() if options.json or not _terminal() else Drawn()
    try:
        if kind_of(options.device) == "cpu":
            keep_freed_memory()
        result = run_training(config, out, resume=options.resume, device=options.device, listener=listener)
    except KeyboardInterrupt as stop:
        command = "the same command" if options.resume else "the same command with --resume"
        raise KeyboardInterrupt(
            f"stopped; {command} goes on from the newest checkpoint in {out}, or begins anew where there is none yet"
        ) from stop
    finally:
        listener.close()
    if result is not None:  # None in processes that only help
        _print(result, as_json=options.json)
    return 0


def _print(result: Result, *, as_json: bool) -> None:
    if as_json:
        summary = {
            "steps": result.position.step,
            "checkpoint": str(result.checkpoint),
            "held_out_error": result.error,
            "files": [str(path) for path in result.files],
        }
        print(json.dumps(summary))
        return
    measured = "" if result.error is None else f", held-out error {result.error:.4f}"
    print(f"{result.position.step:,} steps; best checkpoint {result.checkpoint}{measured}")
    for path in result.files:
        print(f"wrote {path}")


def report_line(report: Report) -> str:
    """A report on one line."""
    losses = "  ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
    hours, seconds = divmod(round(report.seconds_left), 3600)
    return (
        f"epoch {report.epoch:.2f}  {losses}  rate {report.rates[0]:.2g}  {report.images_per_second:,.0f} images/s  "
        f"{hours}:{seconds // 60:02}:{seconds % 60:02} left"
    )


class Lines:
    """A line for each report on stderr."""

    def starts(self, steps: int, done: int) -> None:
        """How much there is to do."""
        print(f"{steps:,} steps, {done:,} done", file=sys.stderr)

    def reports(self, report: Report) -> None:
        """What the last steps gave."""
        print(f"step {report.step:,}  {report_line(report)}", file=sys.stderr)

    def says(self, message: str) -> None:
        """A message."""
        print(message, file=sys.stderr)

    def close(self) -> None:
        """Nothing is left open."""


class Drawn(Lines):
    """A bar on the terminal, with the last report behind it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=Console(stderr=True))

    def starts(self, steps: int, done: int) -> None:
        """Draws the bar."""
        self._task = self._progress.add_task("", total=steps, completed=done)
        self._progress.start()

    def reports(self, report: Report) -> None:
        """Moves the bar."""
        self._progress.update(self._task, completed=report.step, description=report_line(report))

    def close(self) -> None:
        """Leaves the bar as it is."""
        self._progress.stop()


def _terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
