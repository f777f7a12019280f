"""What the documents show is run; what they link to is there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xcos.catalog import DATA

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for document in DOCUMENTS:
        pattern = rf"^```{language}\n(.*?)^```$"
        for number, match in enumerate(re.finditer(pattern, document.read_text("utf-8"), re.M | re.S)):
            found.append((f"{document.name}-{number}", match[1]))
    return found


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files the examples name."""
    shutil.copy(DATA / "examples" / "0_front.jpg", tmp_path / "probe.jpg")
    shutil.copy(DATA / "examples" / "0_smile.jpg", tmp_path / "reference.jpg")
    (tmp_path / "pairs.csv").write_text("probe,reference,mated\nprobe.jpg,reference.jpg,1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in blocks("python")])
def test_python_examples_run(code: str, desk: Path) -> None:
    exec(compile(code, str(desk / "example.py"), "exec"), {"__name__": "example"})


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in blocks("console")])
def test_command_examples_run(code: str, desk: Path) -> None:
    commands = [line[2:] for line in code.splitlines() if line.startswith("$ ")]
    assert commands
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "xcos"
        done = subprocess.run([sys.executable, "-m", "xcos", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for name in re.findall(r"(?:--report|--picture|--out) (\S+)", command):
            assert (desk / name).stat().st_size > 0


def test_there_are_examples_to_run() -> None:
    assert len(blocks("python")) >= 4
    assert len(blocks("console")) >= 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target


def test_the_documented_json_keys_are_those_of_the_code(desk: Path) -> None:
    import json

    command = [sys.executable, "-m", "xcos", "verify", "probe.jpg", "reference.jpg", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=desk)
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "json.md").read_text("utf-8"), re.M)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert documented == set(json.loads(done.stdout))
