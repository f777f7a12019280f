"""A training's state on disk: folders that are whole or are not loaded."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from xcos.errors import InvalidArgument, InvalidModel
from xcos.files import write_through
from xcos.training.distributed import Ranks

SCHEMA = "xcos.checkpoint/1"
SHARED, FACTS = "shared.safetensors", "facts.json"
NAME = re.compile(r"step-(\d{9,})")
TEMPORARY = ".step-"


class DamagedCheckpoint(InvalidModel):
    """A checkpoint that is not what was written, or not all of it."""


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says beside its tensors."""

    step: int
    """Steps done."""
    epoch: int
    """Epoch and batch within it that come next."""
    batch: int
    config: dict[str, object]
    """The sections of the configuration."""
    hashes: dict[str, str]
    """SHA-256 of what the training was made of: its list of photos, the weights it started from."""
    versions: dict[str, str]
    """Of the libraries."""
    error: float | None
    """Measured on people held out, smaller is better; ``None`` where none are held out."""

    def __post_init__(self) -> None:
        if self.error is not None and not math.isfinite(self.error):
            raise InvalidArgument(f"a checkpoint's error must be a measured number, got {self.error}")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint read whole."""

    folder: Path
    facts: Facts
    tensors: dict[str, Tensor]
    """What all ranks have in common and what this rank alone has."""


def write_checkpoint(
    folder: Path, facts: Facts, shared: Mapping[str, Tensor], own: Mapping[str, Tensor], *, ranks: Ranks, keep: int
) -> Path:
    """The new checkpoint within ``folder``, which then holds the ``keep`` newest and the best.

    Every rank calls it: the first writes ``facts`` and ``shared``, each its ``own`` tensors. It is written under
    another name, flushed to the disk and renamed: stopped at any moment, there is the whole checkpoint or none.
    """
    temporary = folder / f"{TEMPORARY}{facts.step:09}.tmp"
    final = folder / f"step-{facts.step:09}"
    if ranks.first:
        folder.mkdir(exist_ok=True)
        _remove_unfinished(folder)
        temporary.mkdir()
    _wait(ranks)
    hashes = {_own_name(rank): sha256 for rank, sha256 in enumerate(_write_all(temporary, own, ranks))}
    if ranks.first:
        hashes[SHARED] = _write_tensors(temporary / SHARED, shared).hex()
        write_through(temporary / FACTS, _facts_to_json(facts, hashes))
        _flush_folder(temporary)
        for path in list_checkpoints(folder):
            if _step(path) >= facts.step:  # damaged: the training went back behind it
                _remove(path)
        temporary.replace(final)
        _flush_folder(folder)
        _remove_old(folder, keep)
    _wait(ranks)
    return final


def read_checkpoint(folder: Path, *, ranks: Ranks | None = None) -> Checkpoint:
    """A checkpoint whose every byte is what was written; :class:`DamagedCheckpoint` otherwise.

    All files are checked, so that all ranks agree whether it is whole. With ``ranks``, this rank's own tensors are read
    too; :class:`InvalidModel` where it was written by more processes, or by fewer. Without, only what is shared.
    """
    facts, hashes = _read_facts(folder)
    written = len(hashes) - 1
    if hashes.keys() != {SHARED, *map(_own_name, range(written))}:
        raise _damaged(folder, f"{FACTS} lists the files {', '.join(sorted(hashes))}")
    if ranks is not None and ranks.size != written:
        raise InvalidModel(
            f"the checkpoint {folder.name} was written by {written} processes and there are {ranks.size} now; each "
            f"holds its own part of the classes, so go on with {written}",
            path=str(folder),
            written=written,
            given=ranks.size,
        )
    own = [] if ranks is None else [_own_name(ranks.rank)]
    try:
        for name, sha256 in hashes.items():
            if file_sha256(folder / name) != sha256:
                raise _damaged(folder, f"{name} is not the file that was written")
        tensors = [load_file(folder / name) for name in (SHARED, *own)]
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, str(error)) from error
    return Checkpoint(folder, facts, {name: tensor for each in tensors for name, tensor in each.items()})


def latest_checkpoint(folder: Path, on_damaged: Callable[[str], None], *, ranks: Ranks) -> Checkpoint | None:
    """The newest checkpoint that is whole; ``on_damaged`` is told of each newer one that is not."""
    for path in reversed(list_checkpoints(folder)):
        try:
            return read_checkpoint(path, ranks=ranks)
        except DamagedCheckpoint as error:
            on_damaged(f"{error.message}; going back to the one before")
    return None


def best_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the smallest measured error, of equals the newest; without any measured, the newest.

    One whose facts cannot be read is never the best.
    """
    errors, newest = {}, None
    for path in list_checkpoints(folder):
        try:
            error = _read_facts(path)[0].error
        except InvalidModel:
            continue
        newest = path
        if error is not None:
            errors[path] = error
    return min(reversed(errors), key=errors.__getitem__) if errors else newest


def list_checkpoints(folder: Path) -> list[Path]:
    """Folders of checkpoints by their number of steps, whole or not."""
    found = folder.iterdir() if folder.is_dir() else iter(())
    return sorted((path for path in found if NAME.fullmatch(path.name)), key=_step)


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_all(folder: Path, own: Mapping[str, Tensor], ranks: Ranks) -> list[str]:
    """Hexadecimal SHA-256 of every rank's own file, once all are written."""
    mine = _write_tensors(folder / _own_name(ranks.rank), own)
    if ranks.size == 1:
        return [mine.hex()]
    sent = torch.tensor(list(mine), dtype=torch.uint8, device=ranks.device)
    received = [torch.empty_like(sent) for _ in range(ranks.size)]
    dist.all_gather(received, sent)
    return [bytes(each.tolist()).hex() for each in received]


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> bytes:
    """SHA-256 of what was written."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    write_through(path, content)
    return hashlib.sha256(content).digest()


def _own_name(rank: int) -> str:
    return f"rank-{rank:03}.safetensors"


def _wait(ranks: Ranks) -> None:
    if ranks.size > 1:
        dist.barrier()


def _facts_to_json(facts: Facts, hashes: Mapping[str, str]) -> bytes:
    content = {"schema": SCHEMA, **asdict(facts), "sha256": dict(hashes)}
    return (json.dumps({**content, "checksum": _checksum(content)}, indent=1, allow_nan=False) + "\n").encode()


def _read_facts(folder: Path) -> tuple[Facts, dict[str, str]]:
    """The facts, and the SHA-256 that each file of tensors must have."""
    try:
        content = json.loads((folder / FACTS).read_bytes())
        checksum = content.pop("checksum")
        if checksum != _checksum(content):
            raise _damaged(folder, f"{FACTS} is not the file that was written")
        if content.pop("schema") != SCHEMA:
            raise _damaged(folder, f"{FACTS} is of another version of xcos")
        hashes: dict[str, str] = content.pop("sha256")
        return Facts(**content), hashes
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(folder, f"{FACTS}: {error}") from error


def _checksum(content: Mapping[str, Any]) -> str:
    """Over all other keys, so that a number changed on the disk is noticed."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _damaged(folder: Path, what: str) -> DamagedCheckpoint:
    return DamagedCheckpoint(f"the checkpoint {folder.name} is damaged and is not loaded ({what})", path=str(folder))


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there, and a rename is in the journal
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_unfinished(folder: Path) -> None:
    for path in folder.glob(f"{TEMPORARY}*.tmp"):
        shutil.rmtree(path)


def _remove_old(folder: Path, keep: int) -> None:
    best = best_checkpoint(folder)
    for path in list_checkpoints(folder)[:-keep]:
        if path != best:
            _remove(path)


def _remove(path: Path) -> None:
    """Renames before it removes: half removed it would be a damaged checkpoint."""
    path.replace(gone := path.with_name(f".{path.name}.old.tmp"))
    shutil.rmtree(gone)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))
