"""Tables in CSV files, row by row, with the line of each; one manner for all that users hand in."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TextIO

from xcos.errors import UsageError

Refusal = Callable[[str, int | None], UsageError]
"""Makes the error of a table from what is wrong and the line where it is; None: nowhere in particular."""
TRUTHS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
"""Words for whether a pair is mated, in lower case."""


class Row(NamedTuple):
    """Cells of one row, and the number of the line where it ends."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class Table:
    """A header and the rows below it."""

    columns: list[str]
    """As written, without space around them; empty where the file is."""
    rows: Iterator[Row]
    """Read as they are asked for, once; blank lines are left out."""
    lines: int
    """How many there are below the header, a line break in quotes or at the end among them."""


def read_table(content: bytes, refusal: Refusal) -> Table:
    """The table in the bytes of a CSV file, whose first row is the header.

    A byte order mark, CRLF, quotes and line breaks in quotes are read; bytes that are not UTF-8, which file names may
    have, become surrogates. Raises what ``refusal`` makes where the bytes are no CSV; for a row, when it is reached.
    """
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise refusal("a NUL byte; this is no CSV file", line)
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "surrogateescape", newline="")  # decoded as it is read
    rows = _rows(text, refusal)
    header = next(rows, Row(1, []))
    lines = content.count(b"\n") - header.line
    return Table([name.strip() for name in header.cells], (row for row in rows if row.cells), max(0, lines))


def _rows(text: TextIO, refusal: Refusal) -> Iterator[Row]:
    reader = csv.reader(text, strict=True)
    try:
        for cells in reader:
            yield Row(reader.line_num, cells)
    except csv.Error as error:
        raise refusal(str(error), reader.line_num) from error
