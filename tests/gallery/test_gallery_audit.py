"""The audit log: every change to it is found, and it names nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xcos.errors import StoreFailed
from xcos.gallery.audit import START, AuditLog, check_audit


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    made = AuditLog(tmp_path / "g.db.audit.jsonl")
    for number in range(12):
        made.append("identify", {"purpose": "p", "inputs": [f"{number:064}"]}, operator="anna")
    return made


def test_a_line_says_who_did_what_when_and_follows_the_one_before(log: AuditLog) -> None:
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert len(lines) == 12
    assert lines[0]["previous"] == START
    assert {(line["action"], line["operator"], line["purpose"]) for line in lines} == {("identify", "anna", "p")}
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    count, head, problems = check_audit(log.path)
    assert (count, problems) == (12, [])
    log.append("erase", {})
    assert json.loads(log.path.read_text().splitlines()[-1])["previous"] == head
    assert log.path.stat().st_mode & 0o077 == 0


def test_any_edit_removal_swap_or_insertion_is_found(log: AuditLog) -> None:
    content, (_, head, _) = log.path.read_bytes(), check_audit(log.path)
    random = np.random.default_rng(0)
    for _ in range(1000):
        lines = content.split(b"\n")[:-1]
        one, other = sorted(random.choice(len(lines), 2, replace=False).tolist())
        kind = str(random.choice(["edit", "remove", "swap", "insert", "repeat"]))
        if kind == "edit":
            line = bytearray(lines[one])
            line[int(random.integers(len(line)))] ^= 1
            lines[one] = bytes(line)
        elif kind == "remove":
            del lines[one]
        elif kind == "swap":
            lines[one], lines[other] = lines[other], lines[one]
        elif kind == "insert":
            lines.insert(one, b'{"action": "nothing", "previous": "' + START.encode() + b'"}')
        else:
            lines.insert(one, lines[one])
        log.path.write_bytes(b"\n".join(lines) + b"\n")
        _, now, problems = check_audit(log.path)
        assert problems or now != head, kind


def test_a_cut_end_is_told_by_a_head_kept_elsewhere(log: AuditLog) -> None:
    _, head, _ = check_audit(log.path)
    lines = log.path.read_bytes().split(b"\n")
    log.path.write_bytes(b"\n".join(lines[:-3]) + b"\n")
    count, now, problems = check_audit(log.path)
    assert (count, problems) == (10, [])
    assert now != head


def test_a_line_that_a_crash_cut_stays_visible_and_the_log_goes_on(log: AuditLog) -> None:
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-20])
    assert check_audit(log.path)[2] == ["line 12 is cut", "line 12 cannot be read"]
    log.append("identify", {})
    log.append("identify", {})
    count, _, problems = check_audit(log.path)
    assert (count, problems) == (14, ["line 12 cannot be read"])


def test_processes_that_write_at_the_same_time_keep_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    code = (
        "import sys; from pathlib import Path; from xcos.gallery.audit import AuditLog\n"
        f"for n in range(40): AuditLog(Path({str(path)!r})).append('act', {{'who': sys.argv[1], 'n': n}})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(at)]) for at in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    count, _, problems = check_audit(path)
    assert (count, problems) == (120, [])


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="audit log"):
        AuditLog(tmp_path / "missing" / "log").append("identify", {})
