"""What the documents show is run; what they link to is there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from xcos.catalog import DATA

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
GUIDE = ROOT / "docs" / "training.md"
"""Run from top to bottom: its blocks need the ones before them."""


def blocks(language: str) -> list[tuple[str, str]]:
    """Names and contents of the blocks that are run each by itself."""
    found = []
    for document in DOCUMENTS:
        if document == GUIDE:
            continue
        pattern = rf"^```{language}\n(.*?)^```$"
        for number, match in enumerate(re.finditer(pattern, document.read_text("utf-8"), re.M | re.S)):
            inside = "" if document.parent in (ROOT, ROOT / "docs") else f"{document.parent.name}/"
            found.append((f"{inside}{document.name}-{number}", match[1]))
    return found


@pytest.fixture
def desk(tmp_path: Path, calibrated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files the examples name."""
    shutil.copy(DATA / "examples" / "0_front.jpg", tmp_path / "probe.jpg")
    shutil.copy(DATA / "examples" / "0_smile.jpg", tmp_path / "reference.jpg")
    shutil.copytree(calibrated, tmp_path, dirs_exist_ok=True)
    (tmp_path / "pairs.csv").write_text("probe,reference,mated\nprobe.jpg,reference.jpg,1\n")
    for person in range(5):
        home = tmp_path / "visitors" / f"visitor {person}"
        home.mkdir(parents=True)
        for view in ("front", "smile", "light"):
            shutil.copy(DATA / "examples" / f"{person}_{view}.jpg", home)
    shutil.copy(DATA / "examples" / "0_yaw.jpg", tmp_path / "at-the-desk.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _own_model(folder: Path) -> None:
    """A network of one convolution with its card, and two noisy crops each of 150 people made of random patches."""
    random = np.random.default_rng(0)
    kernel = random.normal(size=(16, 3, 16, 16)).astype(np.float32)
    flat = helper.make_node("ReduceMean", ["grid"], ["embedding"], axes=[2, 3], keepdims=0)
    nodes = [helper.make_node("Conv", ["data", "kernel"], ["grid"], strides=[16, 16]), flat]
    inputs = [helper.make_tensor_value_info("data", 1, ["n", 3, 112, 112])]
    outputs = [helper.make_tensor_value_info("embedding", 1, ["n", 16])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [numpy_helper.from_array(kernel, "kernel")])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    (folder / "model.onnx").write_bytes(network)
    words = dict.fromkeys(("name", "licence", "source", "training_data"), "made up")
    card = {**words, "template": "arcface_112", "color": "rgb", "mean": 127.5, "scale": 0.0078125}
    (folder / "model.json").write_text(json.dumps({**card, "sha256": hashlib.sha256(network).hexdigest()}))
    for person in range(150):
        home = folder / "people" / f"p{person:03}"
        home.mkdir(parents=True)
        base = random.integers(60, 196, (7, 7, 3)).repeat(16, axis=0).repeat(16, axis=1)
        for number in range(2):
            noisy = base + random.integers(-40, 40, base.shape)
            Image.fromarray(noisy.astype(np.uint8)).save(home / f"{number}.png")


def _lists(folder: Path) -> None:
    """Pairs of the 150 people's photos, and a table of scores of 200 others."""
    header = "probe,reference,mated,probe_subject,reference_subject"
    people = [f"people/p{one:03}/0.png,people/p{one:03}/1.png,1,{one},{one}" for one in range(150)]
    people += [f"people/p{one:03}/0.png,people/p{one + 1:03}/1.png,0,{one},{one + 1}" for one in range(149)]
    (folder / "people.csv").write_text("\n".join([header, *people]) + "\n")
    random = np.random.default_rng(0)
    gate = [f"{one}a,{one}b,1,{one},{one},{random.normal(0.7, 0.1):.4f}" for one in range(200)]
    gate += [f"{a}a,{b}a,0,{a},{b},{random.normal(0.1, 0.1):.4f}" for a in range(200) for b in range(a)]
    (folder / "gate.csv").write_text("\n".join([f"{header},score", *gate]) + "\n")


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a user's model and photos, and the calibration card that the worked example makes of them."""
    folder = tmp_path_factory.mktemp("calibrated")
    _own_model(folder)
    _lists(folder)
    making = next(code for name, code in blocks("python") if name == "own-model.md-0")
    with contextlib.chdir(folder):
        exec(compile(making, "own-model.md", "exec"), {"__name__": "example"})
    return folder


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in blocks("python")])
def test_python_examples_run(code: str, desk: Path) -> None:
    exec(compile(code, str(desk / "example.py"), "exec"), {"__name__": "example"})


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in blocks("console")])
def test_command_examples_run(code: str, desk: Path) -> None:
    run_commands(code, desk)


def run_commands(code: str, desk: Path) -> None:
    commands = [line[2:] for line in code.splitlines() if line.startswith("$ ")]
    assert commands
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "xcos"
        done = subprocess.run([sys.executable, "-m", "xcos", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for name in re.findall(r"(?:--report|--picture|--out) (\S+)", command):
            assert (desk / name).stat().st_size > 0


@pytest.mark.slow
def test_the_training_guide_can_be_followed_from_top_to_bottom(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    text = GUIDE.read_text("utf-8")
    steps = re.findall(r"^```(python|toml|console)\n(.*?)^```$", text, re.M | re.S)
    assert [language for language, _ in steps[:4]] == ["python", "toml", "toml", "console"]
    for language, code in steps:
        if language == "toml":
            name = code.splitlines()[0].removeprefix("# ")
            (desk / name).write_text(code, "utf-8")
        elif language == "console":
            run_commands(code, desk)
        else:
            exec(compile(code, str(GUIDE), "exec"), {"__name__": "example"})
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 12, "the table of networks"
    assert "\n".join(rows) in text


def test_there_are_examples_to_run() -> None:
    assert len(blocks("python")) >= 4
    assert len(blocks("console")) >= 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target


def test_the_documented_json_keys_are_those_of_the_code(desk: Path) -> None:
    command = [sys.executable, "-m", "xcos", "verify", "probe.jpg", "reference.jpg", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=desk)
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "json.md").read_text("utf-8"), re.M)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert documented == set(json.loads(done.stdout))


def test_the_model_card_shows_the_figures_that_were_written_beside_the_shipped_weights() -> None:
    folder = DATA / "models" / "xcos-dlib-7x7"
    note = json.loads((folder / "figures.json").read_text("utf-8"))
    assert note["sha256"] == hashlib.sha256((folder / "stage.npz").read_bytes()).hexdigest()
    figures, kinds = note["figures"], ("mask", "sunglasses", "squares", "blob")
    page = (ROOT / "docs" / "models" / "xcos-dlib-7x7.md").read_text("utf-8")
    tables = [figures["clear"], *(figures[kind]["table"] for kind in kinds), figures["covered"]]
    titles = {
        "vector": "the published vector",
        "learned": "**learned trust**",
        "norm": "same grid, norm",
        "uniform": "same grid, uniform",
    }
    for name, title in titles.items():
        line = re.search(rf"^\| {re.escape(title)} \|(.*)\|$", page, re.M)
        assert line is not None, title
        shown = [cell.split()[0] for cell in line[1].split("|")]
        assert shown == [f"{100 * table[name]['accuracy']:.2f}" for table in tables]
    names = {"blob": "strokes"}
    ratios = ", ".join(f"{names.get(kind, kind)} {figures[kind]['attention_over_area']:.3f}" for kind in kinds)
    assert f"| {ratios} |" in page
    assert f"| {figures['spearman']:.3f} |" in page
