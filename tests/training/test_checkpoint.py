"""A checkpoint is whole or is not loaded, whatever happened while it was written and since."""

from __future__ import annotations

import ast
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import xcos.training
from xcos.errors import InvalidArgument, InvalidModel
from xcos.training import checkpoint as module
from xcos.training.checkpoint import (
    DamagedCheckpoint,
    Facts,
    best_checkpoint,
    latest_checkpoint,
    list_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from xcos.training.distributed import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"))


def facts(step: int, error: float | None = None) -> Facts:
    return Facts(
        step, step // 10, step % 10, {"run": {"batch": 8, "rate": 0.1}}, {"photos": "ab"}, {"torch": "2"}, error
    )


def write(folder: Path, step: int, *, error: float | None = None, keep: int = 9, value: float | None = None) -> Path:
    shared = {"network.weight": torch.full((2, 3), step if value is None else value)}
    own = {"random.cpu": torch.arange(5, dtype=torch.uint8)}
    return write_checkpoint(folder, facts(step, error), shared, own, ranks=ALONE, keep=keep)


def steps(folder: Path) -> list[int]:
    return [int(path.name[5:]) for path in list_checkpoints(folder)]


def test_what_was_written_is_read_to_the_bit(tmp_path: Path) -> None:
    shared = {
        "float": torch.tensor([1.0, -0.0, math.inf, math.nan]),
        "half": torch.randn(3, 2, generator=torch.Generator().manual_seed(0)).bfloat16(),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 4),
    }
    own = {"random.cpu": torch.Generator().manual_seed(3).get_state()}
    path = write_checkpoint(tmp_path, facts(12, 0.25), shared, own, ranks=ALONE, keep=1)
    read = read_checkpoint(path, ranks=ALONE)
    assert read.facts == facts(12, 0.25)
    assert read.tensors.keys() == {*shared, *own}
    for name, tensor in {**shared, **own}.items():
        assert read.tensors[name].dtype == tensor.dtype
        assert torch.equal(read.tensors[name].nan_to_num(9), tensor.nan_to_num(9))
    assert math.copysign(1, float(read.tensors["float"][1])) == -1


def damages() -> list[Callable[[Path], None]]:
    """Ways in which a disk or a person harms a checkpoint."""

    def flip(name: str, share: float) -> Callable[[Path], None]:
        def harm(folder: Path) -> None:
            content = bytearray((folder / name).read_bytes())
            content[int(share * (len(content) - 1))] ^= 0x10
            (folder / name).write_bytes(content)

        return harm

    def cut(name: str, share: float) -> Callable[[Path], None]:
        return lambda folder: os.truncate(folder / name, int(share * (folder / name).stat().st_size))

    def emptied(folder: Path) -> None:
        for path in folder.iterdir():
            path.unlink()

    files = ("shared.safetensors", "rank-000.safetensors", "facts.json")
    harms = [flip(name, share) for name in files for share in (0, 0.05, 0.3, 0.5, 0.8, 0.99)]
    harms += [cut(name, share) for name in files for share in (0, 0.5, 0.99)]
    harms += [lambda folder, name=name: (folder / name).unlink() for name in files]  # type: ignore[misc]
    harms += [
        emptied,
        lambda folder: (folder / "facts.json").write_text("[" * 100_000),  # type: ignore[list-item]
        lambda folder: (folder / "facts.json").write_text("{}"),  # type: ignore[list-item]
        lambda folder: (folder / "facts.json").write_text("3"),  # type: ignore[list-item]
    ]
    return harms


@pytest.mark.parametrize("harm", damages())
def test_a_damaged_checkpoint_is_told_of_and_the_one_before_is_taken(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    write(tmp_path, 1)
    harm(write(tmp_path, 2))
    told: list[str] = []
    found = latest_checkpoint(tmp_path, told.append, ranks=ALONE)
    assert found is not None
    assert found.facts.step == 1
    assert len(told) == 1
    assert "step-000000002 is damaged" in told[0]
    with pytest.raises(DamagedCheckpoint) as caught:
        read_checkpoint(tmp_path / "step-000000002")
    assert caught.value.code == "invalid_model"


def test_a_number_changed_in_the_facts_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path, 2)
    content = json.loads((path / "facts.json").read_text())
    content["step"] = 3
    (path / "facts.json").write_text(json.dumps(content))
    with pytest.raises(DamagedCheckpoint):
        read_checkpoint(path)


def test_without_a_whole_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "absent", pytest.fail, ranks=ALONE) is None
    (write(tmp_path, 1) / "facts.json").unlink()
    told: list[str] = []
    assert latest_checkpoint(tmp_path, told.append, ranks=ALONE) is None
    assert len(told) == 1


class _Stop(BaseException):
    """Stands for the process's end."""


def _stop_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Ends the writing before, or half-way through, its operation number ``moment`` on the disk."""
    left = [moment]

    def stopping(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def operation(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise _Stop
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, operation)

    def torn(path: Path, content: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            path.write_bytes(content[: len(content) // 2])
            raise _Stop
        path.write_bytes(content)

    def half_removed(path: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            next(iter(path.iterdir())).unlink()
            raise _Stop
        real_rmtree(path)

    real_rmtree = shutil.rmtree
    monkeypatch.setattr(module, "write_through", torn)
    monkeypatch.setattr("xcos.training.checkpoint.shutil.rmtree", half_removed)
    stopping(Path, "mkdir")
    stopping(Path, "replace")
    stopping(module, "_flush_folder")


def test_stopped_at_any_operation_the_newest_whole_checkpoint_is_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for moment in range(100):
        folder = tmp_path / str(moment)
        write(folder, 1)
        write(folder, 2)
        with monkeypatch.context() as patch:
            _stop_at(patch, moment)
            try:
                write(folder, 3, keep=1)
                stopped = False
            except _Stop:
                stopped = True
        found = latest_checkpoint(folder, pytest.fail, ranks=ALONE)  # nothing damaged is ever under a checkpoint's name
        assert found is not None
        outcomes.append(found.facts.step)
        assert set(found.tensors["network.weight"].flatten().tolist()) == {found.facts.step}
        if not stopped:
            break
        write(folder, found.facts.step + 1, keep=1)  # and the next one cleans up
        assert [path.name for path in folder.iterdir()] == [f"step-{found.facts.step + 1:09}"]
    else:
        pytest.fail("writing a checkpoint never came to its end")
    assert len(outcomes) > 8
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {2, 3}


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    for step, error in ((1, 0.4), (2, 0.1), (3, 0.3), (4, 0.2), (5, 0.3)):
        write(tmp_path, step, error=error, keep=2)
    assert steps(tmp_path) == [2, 4, 5]
    best = best_checkpoint(tmp_path)
    assert best is not None
    assert read_checkpoint(best).facts.error == 0.1
    write(tmp_path, 6, error=0.05, keep=2)
    assert steps(tmp_path) == [5, 6]


@pytest.mark.parametrize(
    ("errors", "best"),
    [((0.3, 0.2, 0.4), 2), ((0.2, 0.2, 0.3), 2), ((0.0, 0.0, 0.0), 3), ((None, None), 2), ((0.9, None), 1)],
)
def test_the_best_is_the_smallest_measured_error(tmp_path: Path, errors: tuple[float | None, ...], best: int) -> None:
    for step, error in enumerate(errors, 1):
        write(tmp_path, step, error=error)
    assert best_checkpoint(tmp_path) == tmp_path / f"step-{best:09}"


@pytest.mark.parametrize("error", [math.nan, math.inf, -math.inf])
def test_what_was_not_measured_cannot_be_best(error: float) -> None:
    with pytest.raises(InvalidArgument, match="measured number"):
        facts(1, error)


def test_a_damaged_checkpoint_is_never_best(tmp_path: Path) -> None:
    (write(tmp_path, 1, error=0.1) / "facts.json").write_text("{}")
    write(tmp_path, 2, error=0.2)
    assert best_checkpoint(tmp_path) == tmp_path / "step-000000002"
    assert best_checkpoint(tmp_path / "absent") is None


def test_a_training_that_went_back_writes_over_what_was_damaged(tmp_path: Path) -> None:
    write(tmp_path, 1)
    for step in (2, 3):
        (write(tmp_path, step) / "facts.json").unlink()
    write(tmp_path, 2, keep=1, value=7.0)
    assert steps(tmp_path) == [2]
    assert set(read_checkpoint(tmp_path / "step-000000002").tensors["network.weight"].flatten().tolist()) == {7.0}


def of_two_processes(path: Path) -> Path:
    """The checkpoint as if another process had written its part too."""
    own = (path / "rank-000.safetensors").read_bytes()
    (path / "rank-001.safetensors").write_bytes(own)
    read, hashes = module._read_facts(path)
    hashes["rank-001.safetensors"] = hashlib.sha256(own).hexdigest()
    (path / "facts.json").write_bytes(module._facts_to_json(read, hashes))
    return path


@pytest.mark.parametrize(("written", "given"), [(1, 2), (2, 1), (2, 3)])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_checkpoint_of_another_number_of_processes_is_refused_by_each(
    tmp_path: Path, written: int, given: int, rank: int
) -> None:
    path = write(tmp_path, 1)
    if written == 2:
        of_two_processes(path)
    ranks = Ranks(min(rank, given - 1), given, torch.device("cpu"))
    with pytest.raises(InvalidModel, match=f"written by {written} processes and there are {given} now") as caught:
        latest_checkpoint(tmp_path, pytest.fail, ranks=ranks)
    assert not isinstance(caught.value, DamagedCheckpoint)
    assert caught.value.details == {"path": str(path), "written": written, "given": given}
    assert "random.cpu" not in read_checkpoint(path).tensors


def test_a_checkpoint_of_as_many_processes_gives_each_its_own(tmp_path: Path) -> None:
    path = of_two_processes(write(tmp_path, 1))
    for rank in range(2):
        assert "random.cpu" in read_checkpoint(path, ranks=Ranks(rank, 2, torch.device("cpu"))).tensors


def test_nothing_is_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Tensor:
        pytest.fail("pickle was used")

    for name in ("load", "save"):
        monkeypatch.setattr(torch, name, refuse)
    monkeypatch.setattr("pickle.loads", refuse)
    monkeypatch.setattr("pickle.Unpickler", refuse)
    read_checkpoint(write(tmp_path, 1), ranks=ALONE)


def test_torchs_own_files_are_read_in_one_place_and_as_tensors_alone() -> None:
    """By ``xcos convert-weights``, which makes safetensors of what others published; torch runs nothing in them."""
    found = []
    for path in Path(xcos.training.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
                assert node.attr != "save", path
                if node.attr == "load":
                    options = {each.arg: ast.unparse(each.value) for each in calls[id(node)].keywords}
                    assert options["weights_only"] == "True", path
                    found.append(path.name)
    assert found == ["published.py"]
