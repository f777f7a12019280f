from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from xcos.errors import InvalidArgument
from xcos.training.distributed import VARIABLES, Ranks, averaged, process_group

CPU = torch.device("cpu")

# Each process averages the gradients of x ↦ w·x, whose gradient is its own x, and writes what it saw.
SCRIPT = """
import json, sys, warnings
warnings.simplefilter("error")
import torch
import torch.distributed as dist
from xcos.training.distributed import averaged, process_group

with process_group("cpu") as ranks:
    inner = torch.nn.Linear(1, 1, bias=False)
    network = averaged(inner, ranks)
    network(torch.tensor([[10.0 + ranks.rank]])).sum().backward()
    seen = {"rank": ranks.rank, "size": ranks.size, "first": ranks.first, "device": str(ranks.device)}
    seen["gradient"] = inner.weight.grad.item()
seen["left"] = not dist.is_initialized()
with open(f"{sys.argv[1]}/{ranks.rank}.json", "w") as file:
    json.dump(seen, file)
"""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if ``torchrun`` had not started the tests."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
def test_two_processes_of_torchrun_know_their_ranks_and_average_their_gradients(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, "utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*torchrun, str(script), str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = [json.loads((tmp_path / f"{rank}.json").read_text("utf-8")) for rank in range(2)]
    common = {"size": 2, "device": "cpu", "gradient": 10.5, "left": True}
    assert seen == [{"rank": 0, "first": True} | common, {"rank": 1, "first": False} | common]


@pytest.mark.usefixtures("alone")
def test_without_torchrun_there_is_one_rank_and_no_group() -> None:
    with process_group("cpu") as ranks:
        assert ranks == Ranks(0, 1, CPU)
        assert ranks.first
        assert not dist.is_initialized()


def test_one_rank_needs_no_averaging() -> None:
    network = nn.Linear(1, 1)
    assert averaged(network, Ranks(0, 1, CPU)) is network


def failing_training() -> None:
    with process_group("cpu") as ranks:
        raise RuntimeError(f"in rank {ranks.rank} of {ranks.size}, {dist.get_backend()}")


def test_a_group_of_one_is_left_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ("0", "1", "0", "127.0.0.1", "0")  # on port 0 the system chooses a free one
    for name, value in zip(VARIABLES, values, strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError, match="in rank 0 of 1, gloo"):
        failing_training()
    assert not dist.is_initialized()


@pytest.mark.usefixtures("alone")
def test_a_rank_without_the_rest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    message = "RANK is set, but not LOCAL_RANK, MASTER_ADDR, MASTER_PORT; start with torchrun"
    with pytest.raises(InvalidArgument, match=message), process_group("cpu"):
        pass


@pytest.mark.usefixtures("alone")
def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InvalidArgument, match="wants a GPU of its own, there are 0"), process_group("cuda"):
        pass
