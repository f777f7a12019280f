"""``xcos evaluate`` as it is typed in the current folder, and what it wrote."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from xcos.cli import main

Capture = pytest.CaptureFixture[str]


def evaluate(*words: str, out: str = "out") -> int:
    return main(["evaluate", *words, "--out", out])


def document(out: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(out, "report.json").read_text())
    return found


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def refused(capsys: Capture, *words: str) -> dict[str, Any]:
    """The error of a run that writes nothing."""
    before = sorted(map(str, Path().rglob("*")))
    capsys.readouterr()
    assert main(["evaluate", *words, "--out", "out", "--json"]) == 2
    found = capsys.readouterr()
    assert (found.out, len(found.err.splitlines())) == ("", 1)
    made = [path for path in sorted(map(str, Path().rglob("*"))) if "__pycache__" not in path]
    assert made == before
    error: dict[str, Any] = json.loads(found.err)["error"]
    return error
