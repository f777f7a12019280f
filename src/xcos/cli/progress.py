"""A bar with the time left, for people only: nothing is drawn where stderr is not a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Bar:
    """A bar that is not drawn; any thread may advance it."""

    drawn = False

    def advance(self, steps: int = 1) -> None:
        """So many steps are done."""

    def resize(self, total: int) -> None:
        """There are ``total`` steps after all."""


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Bar]:
    """A bar of ``total`` steps on stderr, if that is a terminal; None where nobody knows how many there will be."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    class DrawnBar(Bar):
        drawn = True

        def advance(self, steps: int = 1) -> None:
            progress.advance(task, steps)

        def resize(self, total: int) -> None:
            progress.update(task, total=total)

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # A descriptor of its own, so that the bar stays when decoders are kept from stderr.
    with os.fdopen(os.dup(2), "w") as terminal, Progress(*columns, console=Console(file=terminal)) as progress:
        task = progress.add_task(what, total=total)
        yield DrawnBar()
