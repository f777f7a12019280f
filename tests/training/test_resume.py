"""A training that is stopped ends where it would have ended."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import BACKBONE, HEAD, Listening, write_config, write_faces

from xcos.errors import InvalidArgument, InvalidConfig, InvalidModel
from xcos.training import run as run_module
from xcos.training.build import Built
from xcos.training.checkpoint import list_checkpoints, write_checkpoint
from xcos.training.data.folder import read_folder
from xcos.training.data.shards import write_shards
from xcos.training.run import Result, run_training

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_faces(tmp_path / "faces")
    write_config(tmp_path, BACKBONE)
    return tmp_path


def go(folder: Path, out: str = "out", *, resume: bool = False) -> tuple[Result, Listening]:
    listener = Listening()
    result = run_training(folder / "train.toml", folder / out, resume=resume, device="cpu", listener=listener)
    assert result is not None
    return result, listener


class _Stop(Exception):
    pass


def stop_after(monkeypatch: pytest.MonkeyPatch, folder: Path, step: int, out: str = "out") -> None:
    """A training that ends like a crash once the checkpoint of ``step`` is written."""

    def stopping(*arguments: object, **options: object) -> Path:
        path = write_checkpoint(*arguments, **options)  # type: ignore[arg-type]
        if path.name == f"step-{step:09}":
            raise _Stop
        return path

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_checkpoint", stopping)
        with pytest.raises(_Stop):
            go(folder, out)


def content_hash(checkpoint: Path) -> str:
    files = sorted(checkpoint.glob("*.safetensors"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def log(folder: Path, out: str = "out") -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / out / "log.jsonl").read_text().splitlines()]


def without_speed(lines: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


def test_a_stopped_training_ends_at_the_same_bits_with_the_same_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = go(folder, "whole")
    stop_after(monkeypatch, folder, 3)
    result, listener = go(folder, resume=True)
    assert listener.said == ["goes on after step 3"]
    assert (listener.steps, listener.done) == (8, 3)
    assert [report.step for report in listener.reported] == [4, 5, 6, 7, 8]
    assert content_hash(result.checkpoint) == content_hash(whole.checkpoint)
    assert without_speed(log(folder)) == without_speed(log(folder, "whole"))
    assert (folder / "out" / "model.onnx").read_bytes() == (folder / "whole" / "model.onnx").read_bytes()


def test_a_line_without_its_end_and_lines_after_the_checkpoint_leave_the_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, folder, 3)
    with (folder / "out" / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "loss": 1.0}\n{"step": 5, "lo')
    go(folder, resume=True)
    assert [line["step"] for line in log(folder)] == list(range(1, 9))


def test_a_damaged_checkpoint_is_told_of_and_done_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = go(folder, "whole")
    stop_after(monkeypatch, folder, 5)
    newest = list_checkpoints(folder / "out" / "checkpoints")[-1]
    with (newest / "shared.safetensors").open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\x55")
    result, listener = go(folder, resume=True)
    assert "step-000000005 is damaged" in listener.said[0]
    assert listener.said[1] == "goes on after step 4"
    assert content_hash(result.checkpoint) == content_hash(whole.checkpoint)


def test_a_finished_training_is_left_as_it_is(folder: Path) -> None:
    first, _ = go(folder)
    before = content_hash(first.checkpoint)
    again, listener = go(folder, resume=True)
    assert listener.reported == []
    assert content_hash(again.checkpoint) == before
    assert again.position == first.position


@pytest.mark.parametrize("there", [False, True], ids=["absent", "empty"])
def test_where_nothing_was_begun_there_is_nothing_to_resume(folder: Path, there: bool) -> None:
    if there:
        (folder / "out").mkdir()
    with pytest.raises(InvalidArgument, match=r"nothing to resume in .*/out: it holds no config\.toml") as caught:
        go(folder, resume=True)
    assert caught.value.details["path"] == str(folder / "out")
    assert (folder / "out").exists() == there
    assert sorted(path.name for path in folder.iterdir() if path.name != "out") == ["faces", "train.toml"]


def test_what_was_begun_and_has_no_checkpoint_yet_begins_again_and_says_so(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "config.toml").write_text(BACKBONE)
    result, listener = go(folder, resume=True)
    assert listener.said == ["no whole checkpoint yet: starts from the beginning"]
    assert result.position.step == 8


def test_a_folder_with_something_in_it_is_not_touched(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "thesis.txt").write_text("draft")
    with pytest.raises(InvalidArgument, match="is not empty; add --resume"):
        go(folder)
    with pytest.raises(InvalidArgument, match=r"nothing to resume in .* it holds no config\.toml"):
        go(folder, resume=True)
    assert [path.name for path in (folder / "out").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("checkpoint", [False, True], ids=["before a checkpoint", "after one"])
def test_a_folder_of_another_training_is_left_as_it_is_and_every_difference_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: bool
) -> None:
    if checkpoint:
        stop_after(monkeypatch, folder, 1)
    else:
        (folder / "out").mkdir()
        (folder / "out" / "config.toml").write_text(BACKBONE)
    before = {path: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()}
    other = BACKBONE.replace("rate = 0.05", "rate = 0.04\nclip = 2.0").replace('name = "cosface"', 'name = "arcface"')
    write_config(folder, other.replace("batch = 4", "batch = 4\nkeep = 1"))
    with pytest.raises(InvalidConfig) as caught:
        go(folder, resume=True)
    assert caught.value.details["keys"] == ["loss.name", "optimizer.clip", "optimizer.rate"]
    assert "loss.name was 'cosface' and is 'arcface', " in caught.value.message
    assert "optimizer.clip was not given and is 2.0, optimizer.rate was 0.05 and is 0.04; " in caught.value.message
    assert "start anew in another folder" in caught.value.message
    assert {path: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()} == before


def test_a_checkpoint_of_another_training_is_not_gone_on_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(monkeypatch, folder, 1)
    other = write_config(folder, BACKBONE.replace("rate = 0.05", "rate = 0.04")).read_bytes()
    (folder / "out" / "config.toml").write_bytes(other)  # only the copy of the configuration was exchanged
    with pytest.raises(InvalidConfig, match=r"optimizer\.rate was 0\.05 and is 0\.04"):
        go(folder, resume=True)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("rate = 0.05", "rate = 0.04", "optimizer.rate"),
        ("epochs = 2", "epochs = 3", "schedule.epochs"),
        ("margin = 0.1", "margin = 0.2", "loss.margin"),
        ("batch = 4", "batch = 2", "run.batch"),
        ("[run]", "[augmentation]\nblob = 0.1\n[run]", "augmentation.blob"),
    ],
)
def test_another_configuration_is_not_gone_on_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, key: str
) -> None:
    stop_after(monkeypatch, folder, 1)
    kept = (folder / "out" / "config.toml").read_text()
    write_config(folder, BACKBONE.replace(old, new))
    with pytest.raises(InvalidConfig) as caught:
        go(folder, resume=True)
    assert caught.value.details["keys"] == [key]
    assert (folder / "out" / "config.toml").read_text() == kept


@pytest.mark.parametrize(
    ("checkpoint_every", "said"),
    [(1, r"is no longer finite after step 1"), (100, r"the loss is .* after step 2 and training cannot go on")],
)
def test_a_training_whose_numbers_burst_keeps_none_of_them_and_says_what_can_be_done(
    folder: Path, checkpoint_every: int, said: str
) -> None:
    text = BACKBONE.replace("checkpoint_every = 1", f"checkpoint_every = {checkpoint_every}")
    write_config(folder, text.replace("rate = 0.05", "rate = 1e38"))
    with pytest.raises(InvalidConfig, match=rf"{said}; lower optimizer\.rate.* and start anew in another folder"):
        go(folder)
    assert not list_checkpoints(folder / "out" / "checkpoints")
    write_config(folder, text)
    with pytest.raises(InvalidConfig, match=r"or start anew in another folder"):
        go(folder, resume=True)


def test_what_changes_nothing_learned_may_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = go(folder, "whole")
    stop_after(monkeypatch, folder, 2)
    text = BACKBONE.replace("checkpoint_every = 1", "checkpoint_every = 3\nworkers = 1\nkeep = 1")
    (folder / "faces").rename(folder / "elsewhere")
    write_config(folder, text.replace('"faces"', '"elsewhere"'))
    result, _ = go(folder, resume=True)
    assert content_hash(result.checkpoint) == content_hash(whole.checkpoint)


SHARDS = BACKBONE.replace('"faces"', '"shards"\nformat = "shards"').replace("epochs = 2", "epochs = 1\nwarm_up = 1")


def test_shards_are_not_gone_on_with_by_other_workers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Eight shards of two photos: what one reader gets in a batch is not what two get.
    write_shards(read_folder(folder / "faces"), folder / "shards", per_shard=2, generator=np.random.default_rng(0))
    write_config(folder, SHARDS)
    whole, _ = go(folder, "whole")
    stop_after(monkeypatch, folder, 2)
    write_config(folder, SHARDS + "workers = 2\n")
    with pytest.raises(InvalidConfig, match=r"run\.workers was 0 and is 2;"):
        go(folder, resume=True)
    write_config(folder, SHARDS + "keep = 5\n")
    result, _ = go(folder, resume=True)
    assert content_hash(result.checkpoint) == content_hash(whole.checkpoint)


@pytest.mark.parametrize("garbage", [b"{nonsense}\n", b"\xff\xfe\n", b"[1]\n", b'{"loss": 1.0}\n', b"\n"], ids=repr)
def test_what_is_no_line_of_a_log_leaves_it(folder: Path, monkeypatch: pytest.MonkeyPatch, garbage: bytes) -> None:
    stop_after(monkeypatch, folder, 3)
    path = folder / "out" / "log.jsonl"
    path.write_bytes(garbage + path.read_bytes() + garbage)
    go(folder, resume=True)
    assert [line["step"] for line in log(folder)] == list(range(1, 9))


@pytest.mark.parametrize("name", ["run.lock", "log.jsonl"])
def test_a_file_of_a_training_that_cannot_be_opened_is_named(folder: Path, name: str) -> None:
    go(folder)
    (folder / "out" / name).unlink()
    (folder / "out" / name).mkdir()
    with pytest.raises(InvalidArgument, match=f"out/{name}: Is a directory"):
        go(folder, resume=True)


def test_a_training_that_wrote_its_log_is_not_begun_anew_without_being_asked(folder: Path) -> None:
    (folder / "out").mkdir()
    for name, text in (("config.toml", BACKBONE), ("run.lock", ""), ("log.jsonl", '{"step": 1}\n')):
        (folder / "out" / name).write_text(text)
    with pytest.raises(InvalidArgument, match="is not empty; add --resume"):
        go(folder)
    (folder / "out" / "log.jsonl").unlink()
    (folder / "out" / "run.lock").unlink()  # a configuration alone may be somebody's own
    with pytest.raises(InvalidArgument, match="is not empty; add --resume"):
        go(folder)


def test_other_people_are_not_gone_on_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(monkeypatch, folder, 1)
    (folder / "faces" / "person_0" / "3.png").unlink()
    with pytest.raises(InvalidConfig, match="the photos are not those the checkpoint was trained with"):
        go(folder, resume=True)


def test_a_second_training_of_the_same_folder_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []

    def in_between(*arguments: object, **options: object) -> Path:
        with pytest.raises(InvalidArgument, match="another training writes to") as caught:
            go(folder, resume=True)
        refused.append(caught.value)
        return write_checkpoint(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(run_module, "write_checkpoint", in_between)
    go(folder)
    assert len(refused) == 8


def test_a_second_training_leaves_the_configuration_of_one_that_is_being_prepared(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preparing(*_: object) -> Built:
        write_config(folder, BACKBONE.replace("rate = 0.05", "rate = 0.04"))
        with pytest.raises(InvalidArgument, match="another training writes to"):
            go(folder)
        assert (folder / "out" / "config.toml").read_text() == BACKBONE
        raise _Stop

    monkeypatch.setattr(run_module, "build", preparing)
    with pytest.raises(_Stop):
        go(folder)


KILLER = '''
"""Trains, killed again and again; prints the names found among the checkpoints after each kill."""
import json, os, random, signal, sys, time
from pathlib import Path

import torch

from tiny_training import Listening
from xcos.training.run import run_training

folder, kills = Path(sys.argv[1]), int(sys.argv[2])
checkpoints = folder / "out" / "checkpoints"
moments = random.Random(0)


def train(out, resume):
    run_training(folder / "train.toml", folder / out, resume=resume, device="cpu", listener=Listening())


def names():
    return sorted(os.listdir(checkpoints)) if checkpoints.exists() else []


def newest():
    return max((int(name[5:]) for name in names() if name.startswith("step-")), default=0)


def running(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def wait_for_a_moment(pid, kill):
    """By turns: any moment of some steps, or one within the writing of a checkpoint some steps ahead."""
    goal = newest() + moments.randint(1, 3)
    if kill % 2:
        while running(pid) and not any(name.startswith(".step-") and int(name[6:15]) >= goal for name in names()):
            pass
        time.sleep(moments.uniform(0, 0.003))
    else:
        while running(pid) and newest() < goal:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 2 * step))


begun = time.perf_counter()
train("whole", False)
step = (time.perf_counter() - begun) / 160  # 40 epochs of 4 steps
killed = 0
while True:
    pid = os.fork()
    if pid == 0:
        try:
            train("out", (folder / "out" / "config.toml").exists())
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    if killed < kills:
        wait_for_a_moment(pid, killed)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        assert status == 0, status
        break
    killed += 1
    print(json.dumps(names()), flush=True)
'''


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one: hundreds of checkpoints are flushed there at once."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def kill_again_and_again(folder: Path, kills: int) -> list[list[str]]:
    """Names found among the checkpoints after each kill."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLER, str(folder), str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked and killed")
@pytest.mark.parametrize("kind", ["network", "head"])
def test_killed_at_random_moments_a_training_ends_at_the_same_hash(memory: Path, kind: str) -> None:
    tmp_path = memory
    write_faces(tmp_path / "faces")
    write_config(tmp_path, BACKBONE)
    if kind == "head":
        go(tmp_path, "teacher")
        write_config(tmp_path, HEAD.replace("epochs = 1", "epochs = 40").replace("held_out = 2", ""))
    else:
        write_config(tmp_path, BACKBONE.replace("epochs = 2", "epochs = 40"))
    found = kill_again_and_again(tmp_path, kills=22)
    assert len(found) >= 20
    last = [max((int(name[5:]) for name in names if name.startswith("step-")), default=0) for names in found]
    assert last == sorted(last)
    assert len(set(last)) >= 10, "the kills must fall all over the training"
    half_written = sum(any(name.endswith(".tmp") for name in names) for names in found)
    assert half_written >= 5, "too few kills fell into the writing of a checkpoint"
    out, whole = ((tmp_path / name / "checkpoints") for name in ("out", "whole"))
    kept = [path.name for path in list_checkpoints(whole)]
    # One more may lie there: killed after the last checkpoint had its name, before the oldest was removed.
    assert [path.name for path in list_checkpoints(out)][-len(kept) :] == kept
    assert [content_hash(out / name) for name in kept] == [content_hash(whole / name) for name in kept]
    assert without_speed(log(tmp_path)) == without_speed(log(tmp_path, "whole"))


@pytest.mark.slow
def test_two_processes_train_together_and_resume(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces")
    write_config(tmp_path, BACKBONE)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def together(out: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "xcos"]
        command += ["train", str(tmp_path / "train.toml"), "--out", str(tmp_path / out), "--device", "cpu", *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)

    done = together("whole")
    assert done.returncode == 0, done.stderr
    assert len(re.findall("8 steps; best checkpoint", done.stdout)) == 1
    (tmp_path / "out").mkdir()
    for name in ("config.toml", "log.jsonl"):
        (tmp_path / "out" / name).write_bytes((tmp_path / "whole" / name).read_bytes())
    early = list_checkpoints(tmp_path / "whole" / "checkpoints")[0]
    assert {path.name for path in early.glob("rank-*")} == {"rank-000.safetensors", "rank-001.safetensors"}
    (tmp_path / "out" / "checkpoints").mkdir()
    (early).rename(tmp_path / "out" / "checkpoints" / early.name)
    with pytest.raises(InvalidModel, match=r"written by 2 processes and there are 1 now; .* go on with 2"):
        go(tmp_path, resume=True)
    done = together("out", "--resume")
    assert done.returncode == 0, done.stderr
    one, two = ((tmp_path / name / "checkpoints" / "step-000000008") for name in ("whole", "out"))
    for path in one.glob("*.safetensors"):
        first, second = load_file(path), load_file(two / path.name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
