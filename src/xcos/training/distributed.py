"""Several processes under ``torchrun``, and the same code without it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from xcos.errors import InvalidArgument

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What ``torchrun`` tells each process."""


@dataclass(frozen=True)
class Ranks:
    """Which of the training processes this one is."""

    rank: int
    """0…size − 1, over all machines."""
    size: int
    device: torch.device
    """For this process alone."""

    @property
    def first(self) -> bool:
        """Whether this is the process that prints and saves what all have in common."""
        return self.rank == 0


def kind_of(device: Literal["cuda", "cpu"] | None) -> Literal["cuda", "cpu"]:
    """The kind of device to train on; CUDA by default where there is any."""
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def process_group(device: Literal["cuda", "cpu"] | None = None) -> Iterator[Ranks]:
    """This process's place among those ``torchrun`` started; rank 0 of 1, with no group, when it did not.

    ``device`` is CUDA by default where there is any, otherwise the CPU. Each process has a GPU of its own and they
    speak through NCCL; on the CPU through gloo. The group is left at the end of the block, after an error too.
    """
    kind = kind_of(device)
    if "RANK" not in os.environ:
        yield Ranks(0, 1, _own_device(kind, 0))
        return
    missing = [name for name in VARIABLES if name not in os.environ]
    if missing:
        raise InvalidArgument(
            f"RANK is set, but not {', '.join(missing)}; start with torchrun, or unset RANK to train alone"
        )
    own = _own_device(kind, int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", device_id=own if kind == "cuda" else None)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), own)
    finally:
        dist.destroy_process_group()


def averaged(network: nn.Module, ranks: Ranks) -> nn.Module:
    """The network with gradients averaged over the ranks (``DistributedDataParallel``); itself when there is one rank.

    The network must lie on the ranks' device. Parameters that the loss does not reach must not require gradients.
    """
    if ranks.size == 1:
        return network
    return DistributedDataParallel(network, device_ids=[ranks.device] if ranks.device.type == "cuda" else None)


def _own_device(kind: str, local_rank: int) -> torch.device:
    if kind == "cpu":
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise InvalidArgument(
            f"process {local_rank} of this machine wants a GPU of its own, there are {torch.cuda.device_count()}; "
            "start no more processes a machine than it has GPUs, or train on the CPU"
        )
    own = torch.device("cuda", local_rank)
    torch.cuda.set_device(own)  # NCCL works on the current device
    return own
