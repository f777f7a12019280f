"""``xcos train`` from the command line."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from tiny_training import BACKBONE, HEAD, write_config, write_faces

import xcos
from xcos.alignment import ARCFACE_112
from xcos.cli import main
from xcos.cli import train as train_module
from xcos.cli.train import report_line
from xcos.detectors import WholeImage
from xcos.embedders import OnnxEmbedder
from xcos.images import read_image
from xcos.models import read_model
from xcos.training import run as run_module
from xcos.training.build import build, build_network
from xcos.training.checkpoint import best_checkpoint, read_checkpoint, write_checkpoint
from xcos.training.config import read_config
from xcos.training.distributed import Ranks
from xcos.training.export import export_head
from xcos.training.head import make_head
from xcos.training.loop import Report
from xcos.training.people import part_of
from xcos.weights import read_card

FROZEN = HEAD.replace('"teacher"\n[teacher]', '"teacher"\nfrozen = true\n[teacher]')
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_faces(tmp_path / "faces")
    write_config(tmp_path, BACKBONE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = main(["train", *words, "--device", "cpu", "--debug"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_network_then_a_head_on_it_are_trained_and_exported(folder: Path, capsys: Capture) -> None:
    code, out, err = run(capsys, "train.toml", "--out", "teacher")
    assert code == 0
    assert out.splitlines()[0].startswith("8 steps; best checkpoint teacher/checkpoints/step-000000008")
    assert len(re.findall(r"^step \d+  epoch .*loss .*images/s", err, re.M)) == 8
    assert (folder / "teacher" / "config.toml").read_bytes() == (folder / "train.toml").read_bytes()

    head = HEAD.replace("epochs = 1", "epochs = 10").replace("checkpoint_every = 1", "checkpoint_every = 5")
    (folder / "head.toml").write_text(head)
    code, out, _ = run(capsys, "head.toml", "--json")
    assert code == 0
    summary = json.loads(out)
    lines = [json.loads(line) for line in (folder / "head" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    errors = {line["step"]: line["held_out_error"] for line in lines if "held_out_error" in line}
    assert len(losses) == 20
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    assert list(errors) == [5, 10, 15, 20]
    assert summary["steps"] == 20
    assert summary["held_out_error"] == min(errors.values())
    assert set(lines[0]) == {
        "step", "epoch", "loss", "identity", "cosine", "rate", "attention_rate", "images_per_second"
    }  # fmt: skip
    assert summary["files"] == ["head/model.onnx", "head/head.onnx", "head/card.toml"]


def test_the_exported_model_is_the_best_checkpoint(folder: Path, capsys: Capture) -> None:
    assert run(capsys, "train.toml", "--out", "teacher")[0] == 0
    write_config(folder, FROZEN)
    assert run(capsys, "train.toml", "--out", "out")[0] == 0
    best = best_checkpoint(folder / "out" / "checkpoints")
    assert best is not None
    tensors = read_checkpoint(best).tensors
    config = read_config(folder / "train.toml")
    network, _ = build_network(config.network)
    assert config.head is not None
    head = make_head(config.head.weighting, network.grid_channels, channels=config.head.channels)
    for part, module in (("network.", network), ("head.", head)):
        own = {name.removeprefix(part): each for name, each in tensors.items() if name.startswith(part)}
        module.load_state_dict(own)
        module.eval()
    crops = [read_image(folder / "faces" / "person_0" / f"{photo}.png").pixels for photo in range(3)]
    pixels = ((np.stack(crops).astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)
    with torch.no_grad():
        features = network(torch.from_numpy(pixels))
        local = torch.nn.functional.normalize(head.project(features.grid), dim=1)

    def session(name: str) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(folder / "out" / name, providers=["CPUExecutionProvider"])

    grid, vector = session("model.onnx").run(["grid", "vector"], {"pixels": pixels})
    np.testing.assert_allclose(grid, features.grid.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(vector, features.vector.numpy(), rtol=1e-4, atol=1e-5)
    (found,) = session("head.onnx").run(["features"], {"grid": np.ascontiguousarray(grid.transpose(0, 2, 3, 1))})
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2), local.numpy(), rtol=1e-3, atol=1e-4)


def outputs(folder: Path) -> list[str]:
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return [output.name for output in session.get_outputs()]


def test_a_network_that_a_head_changed_gives_no_vector(folder: Path, capsys: Capture) -> None:
    assert run(capsys, "train.toml", "--out", "teacher")[0] == 0
    for name, text in (("frozen", FROZEN), ("trained", HEAD)):
        write_config(folder, text)
        assert run(capsys, "train.toml", "--out", name)[0] == 0
    assert outputs(folder / "teacher") == outputs(folder / "frozen") == ["grid", "vector"]
    assert outputs(folder / "trained") == ["grid"]


def test_the_card_says_what_the_network_is_and_how_it_is_fed(folder: Path, capsys: Capture) -> None:
    assert run(capsys, "train.toml", "--out", "plain")[0] == 0
    card = read_card(folder / "plain" / "card.toml")
    assert card.name == "plain"
    assert card.sha256 == hashlib.sha256((folder / "plain" / "model.onnx").read_bytes()).hexdigest()
    assert (card.template, card.color, card.mean, card.scale) == (ARCFACE_112, "rgb", (127.5,) * 3, 1 / 127.5)
    assert card.licence == "unstated"
    assert card.source == f"trained by xcos {xcos.__version__}"
    assert card.training_data == "faces: 4 people, 16 photos"
    text = BACKBONE.replace('"local"', '"local"\ncolor = "bgr"') + 'licence = "CC0-1.0"\nsource = "our \\"desk\\""\n'
    write_config(folder, text)
    assert run(capsys, "train.toml", "--out", "other")[0] == 0
    card = read_card(folder / "other" / "card.toml")
    assert (card.color, card.licence, card.source) == ("bgr", "CC0-1.0", 'our "desk"')


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_by_its_card_the_exported_network_sees_what_it_was_trained_on(
    folder: Path, capsys: Capture, color: str
) -> None:
    write_config(folder, BACKBONE.replace('"local"', f'"local"\ncolor = "{color}"'))
    assert run(capsys, "train.toml", "--out", "out")[0] == 0
    built = build(read_config(folder / "train.toml"), Ranks(0, 1, torch.device("cpu")))
    best = best_checkpoint(folder / "out" / "checkpoints")
    assert best is not None
    tensors = {name: each for name, each in read_checkpoint(best).tensors.items() if name.startswith("network.")}
    built.job.learner.load_state_dict(tensors)
    crop = read_image(folder / "faces" / "person_0" / "0.png").pixels[None]
    with torch.no_grad():
        seen = built.normalization(torch.from_numpy(crop.copy()))
        vector = built.job.learner.eval().network(seen).vector.numpy()
    embedder = OnnxEmbedder(folder / "out" / "model.onnx", read_card(folder / "out" / "card.toml"), vector="vector")
    np.testing.assert_allclose(embedder.embed(crop).vectors, vector, rtol=1e-4, atol=1e-5)


def plug(capsys: Capture, *words: str) -> tuple[int, str, str]:
    given = ["--data", "people", "--out", "model", "--detector", "whole-image", "--fmr", "0.1", "--debug", "--json"]
    code = main(["plug", *words, *given])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(("text", "vector"), [(FROZEN, "vector"), (HEAD, "grid")], ids=["frozen", "trained"])
def test_a_trained_head_becomes_a_model_folder(folder: Path, capsys: Capture, text: str, vector: str) -> None:
    assert run(capsys, "train.toml", "--out", "teacher")[0] == 0
    write_config(folder, text)
    assert run(capsys, "train.toml", "--out", "head")[0] == 0
    write_faces(folder / "people", people=240, photos=2)
    code, out, _ = plug(capsys, "head")
    assert code == 0
    report = json.loads(out)
    assert report["settings"] is None
    assert list(report["people"]) == ["calibration", "test"]
    model = read_model(folder / "model")
    assert model.card == read_card(folder / "head" / "card.toml")
    for name in ("model.onnx", "head.onnx"):
        assert (folder / "model" / name).read_bytes() == (folder / "head" / name).read_bytes()
    assert (model.vector_calibration is not None) == (vector == "vector")
    shown = [(each["comparator"], each["spearman"] is None) for each in report["measured"]]
    own = [("vector", False)] if vector == "vector" else []
    assert shown == [*own, *((name, vector != "vector") for name in ("uniform", "norm", model.comparator.name))]
    assert ("second opinion" in (folder / "model" / "REPORT.md").read_text()) == (vector != "vector")
    # The scores it was fitted to, computed anew: all pairs of the photos of people who do not test.
    photos = [path for path in (folder / "people").glob("*/*.png") if part_of(path.parent.name) != "test"]
    assert len(photos) == report["photos"]["calibration"]
    faces = model.comparator.encode(model.embedder.embed(np.stack([read_image(each).pixels for each in photos])).grids)
    first, second = np.triu_indices(len(photos), 1)
    scores = model.comparator.score_all(faces, faces)[first, second]
    people = np.array([path.parent.name for path in photos])
    threshold = model.calibration.threshold(0.1).value
    rate = np.mean(scores[people[first] != people[second]] >= threshold)
    assert rate == pytest.approx(0.1, abs=0.01)  # it was fitted to grids kept in half precision
    assert model.calibration.origin.detector == WholeImage(ARCFACE_112).name


def test_a_network_trained_alone_gets_a_head_by_its_folder(folder: Path, capsys: Capture) -> None:
    assert run(capsys, "train.toml", "--out", "teacher")[0] == 0
    write_faces(folder / "people", people=240, photos=2)
    code, out, _ = plug(capsys, "teacher", "--steps", "5")
    assert code == 0
    assert json.loads(out)["settings"]["steps"] == 5
    assert read_model(folder / "model").vector_calibration is not None


def refused(capsys: Capture, *words: str) -> str:
    assert main([*words, "--json"]) == 2
    message: str = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["message"]
    return message


@pytest.mark.usefixtures("folder")
def test_a_folder_of_a_training_says_what_it_is_and_what_to_do(capsys: Capture) -> None:
    assert run(capsys, "train.toml", "--out", "teacher")[0] == 0
    verify = ["verify", "faces/person_0/0.png", "faces/person_1/0.png"]
    message = refused(capsys, *verify, "--model", "teacher")
    assert "the folder of a training" in message
    assert "xcos plug teacher --data PEOPLE --out MODEL" in message
    given = ["plug", "teacher", "--data", "faces", "--out", "m"]
    assert "leave away --card and --grid" in refused(capsys, *given, "--card", "c.toml", "--grid", "grid")
    Path("teacher", "model.onnx").unlink()
    assert "not finished" in refused(capsys, *verify, "--model", "teacher")
    assert "not finished" in refused(capsys, *given)
    assert "not the folder of a training" in refused(capsys, "plug", "faces", "--data", "faces", "--out", "m")


@pytest.mark.usefixtures("folder")
def test_a_head_that_was_trained_is_not_fitted_again(capsys: Capture, folder: Path) -> None:
    assert run(capsys, "train.toml", "--out", "teacher")[0] == 0
    write_config(folder, FROZEN)
    assert run(capsys, "train.toml", "--out", "head")[0] == 0
    given = ["plug", "head", "--data", "faces", "--out", "m"]
    assert "leave away --weighting and --steps" in refused(capsys, *given, "--weighting", "norm", "--steps", "3")
    (folder / "head" / "head.onnx").write_bytes(export_head(make_head("norm", 9, channels=4), 4, 4))
    assert "does not fit" in refused(capsys, *given)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("cuda", "words", "kept"), [(False, (), 1), (True, (), 0), (True, ("--device", "cpu"), 1)])
def test_freed_memory_is_kept_on_the_cpu_alone(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, words: tuple[str, ...], kept: int
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr("xcos.training.cpu.keep_freed_memory", lambda: calls.append("kept"))
    monkeypatch.setattr(run_module, "run_training", lambda *_, **__: None)
    assert main(["train", "train.toml", *words]) == 0
    assert len(calls) == kept


@pytest.mark.parametrize(
    "text",
    [BACKBONE.replace('"faces"', '"absent"'), BACKBONE.replace("batch = 4", "batch = 400")],
    ids=["built", "counted"],
)
def test_what_failed_before_its_first_step_is_corrected_and_begun(folder: Path, capsys: Capture, text: str) -> None:
    write_config(folder, text)
    assert run(capsys, "train.toml")[0] == 2
    write_config(folder, BACKBONE)
    assert run(capsys, "train.toml")[0] == 0
    assert (folder / "train" / "config.toml").read_text() == BACKBONE


def test_a_folder_in_use_is_refused_without_resume_and_gone_on_with_it(folder: Path, capsys: Capture) -> None:
    assert run(capsys, "train.toml")[0] == 0
    before = (folder / "train" / "log.jsonl").read_bytes()
    code, _, err = run(capsys, "train.toml")
    assert code == 2
    assert "the folder train is not empty; add --resume" in err
    assert (folder / "train" / "log.jsonl").read_bytes() == before
    code, out, err = run(capsys, "train.toml", "--resume")
    assert code == 0
    assert "goes on after step 8" in err
    assert out.startswith("8 steps")


@pytest.mark.parametrize("begun", [False, True], ids=["before the first checkpoint", "after one"])
def test_a_stop_by_the_user_says_how_to_go_on(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    assert run(capsys, "train.toml", "--out", "whole")[0] == 0

    def stopping(*arguments: Any, **options: Any) -> Path:
        path = write_checkpoint(*arguments, **options) if begun else folder
        signal.raise_signal(signal.SIGINT)  # what the terminal sends for Ctrl-C
        return path

    again = "goes on from the newest checkpoint in train, or begins anew where there is none yet"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore the signal
    with monkeypatch.context() as patch, contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGINT, before)
        patch.setattr(run_module, "write_checkpoint", stopping)
        code, out, err = run(capsys, "train.toml", "--json")
        assert (code, out) == (130, "")
        error = json.loads(err.splitlines()[-1])["error"]
        assert error["code"] == "interrupted"
        assert error["message"] == f"stopped; the same command with --resume {again}"
        code, _, err = run(capsys, "train.toml", "--resume")
        assert code == 130
        assert err.splitlines()[-1] == f"xcos: stopped; the same command {again}"
    code, _, err = run(capsys, "train.toml", "--resume")
    assert code == 0
    assert ("goes on after step 2" if begun else "starts from the beginning") in err
    whole, stopped = ((folder / name / "model.onnx").read_bytes() for name in ("whole", "train"))
    assert stopped == whole


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "train.toml is no file; give a TOML file"),
        (BACKBONE.replace("epochs = 2", "epochs = 0"), "schedule.epochs must be at least 1, got 0"),
        (BACKBONE.replace('"faces"', '"absent"'), "absent"),
        (BACKBONE.replace("batch = 4", "batch = 400"), "fill no batch of 400"),
    ],
)
def test_what_cannot_be_trained_is_wrong_usage(folder: Path, capsys: Capture, text: str | None, told: str) -> None:
    (folder / "train.toml").unlink()
    if text is not None:
        write_config(folder, text)
    code, out, err = run(capsys, "train.toml", "--json")
    assert (code, out) == (2, "")
    error = json.loads(err.splitlines()[-1])["error"]
    assert error["code"] in ("invalid_config", "invalid_argument")
    assert told in error["message"]


@pytest.mark.parametrize("absent", [("torch",), ("safetensors",), ("torch", "safetensors")])
def test_a_missing_package_is_named_with_its_extra(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, absent: tuple[str, ...]
) -> None:
    monkeypatch.setattr(train_module, "find_spec", lambda name: None if name in absent else find_spec(name))
    code, _, err = run(capsys, "train.toml", "--json")
    assert code == 5
    error = json.loads(err)["error"]
    assert error["code"] == "missing_package"
    assert error["message"] == f"training needs {' and '.join(absent)}: pip install 'xcos[train]'"
    assert not (folder / "train").exists()


def test_tensorboard_is_needed_only_where_asked_for(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert run(capsys, "train.toml")[0] == 0
    write_config(folder, BACKBONE + "tensorboard = true")
    code, _, err = run(capsys, "train.toml", "--out", "out")
    assert code == 5
    assert "run.tensorboard needs the package tensorboard: pip install tensorboard" in err


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Points of each curve as TensorBoard shows them."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def log_curves(path: Path) -> dict[str, list[tuple[int, Any]]]:
    found: dict[str, list[tuple[int, Any]]] = {}
    for line in map(json.loads, path.read_text().splitlines()):
        step = line.pop("step")
        for name, value in line.items():
            found.setdefault(name, []).append((step, pytest.approx(value, rel=1e-6)))  # floats of 32 bits there
    return found


def test_tensorboard_gets_what_the_log_gets(folder: Path, capsys: Capture) -> None:
    assert run(capsys, "train.toml", "--out", "teacher")[0] == 0
    write_config(folder, HEAD + "tensorboard = true")
    assert run(capsys, "train.toml")[0] == 0
    shown = curves(folder / "train" / "tensorboard")
    assert {"loss", "cosine", "rate", "images_per_second", "held_out_error"} <= shown.keys()
    assert shown == log_curves(folder / "train" / "log.jsonl")


@pytest.mark.parametrize("checkpoints", [4, 100], ids=["after a checkpoint", "before the first"])
def test_a_step_that_is_done_again_is_shown_once(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, checkpoints: int
) -> None:
    every = BACKBONE.replace("checkpoint_every = 1", f"checkpoint_every = {checkpoints}")
    write_config(folder, every + "tensorboard = true")

    def stopping(reporter: Any, report: Report) -> None:
        told(reporter, report)
        if report.step == 6:
            raise KeyboardInterrupt

    told = run_module._Run.report
    with monkeypatch.context() as patch:
        patch.setattr(run_module._Run, "report", stopping)
        assert run(capsys, "train.toml")[0] == 130
    assert [step for step, _ in curves(folder / "train" / "tensorboard")["loss"]] == [1, 2, 3, 4, 5, 6]
    assert run(capsys, "train.toml", "--resume")[0] == 0
    shown = curves(folder / "train" / "tensorboard")
    assert [step for step, _ in shown["loss"]] == list(range(1, 9))
    assert shown == log_curves(folder / "train" / "log.jsonl")


def test_a_report_is_one_line_with_the_time_left() -> None:
    report = Report(1200, 0.5, {"loss": 1.25, "identity": 2.0}, (0.1, 0.001), 1234.5, 3 * 3600 + 4 * 60 + 5)
    line = report_line(report)
    assert line == "epoch 0.50  loss 1.2500  identity 2.0000  rate 0.1  1,234 images/s  3:04:05 left"
