"""Embedding on Daft in a process of its own: RUNNER CACHE OUT DIE_AFTER. Tells what listened while it ran."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from xcos.catalog import DATA
from xcos.evaluation import embedding
from xcos.evaluation.daft_engine import DaftEngine
from xcos.evaluation.extractor_spec import extractor_spec
from xcos.evaluation.protocol import PhotoSource, Samples, SampleSource, single

SPEC = extractor_spec(face="center")
SHARD = 4
LISTENING = "0A"  # as /proc/net/tcp numbers it


def listed() -> Samples:
    """24 photos of six made-up people, every third in bytes, one with landmarks, one that shows nobody; 13 samples."""
    paths = sorted((DATA / "examples").glob("*.jpg"))
    photos = [PhotoSource(path.name, path.read_bytes() if at % 3 else path) for at, path in enumerate(paths)]
    photos.append(
        PhotoSource("points", paths[0], np.array([[200, 240], [310, 240], [255, 300], [210, 360], [300, 360]]))
    )
    photos.append(PhotoSource("nobody", b"not a picture"))
    pairs = [SampleSource(((at,), (at + 1,))) for at in range(0, len(paths), 2)]
    sources = (*pairs, single(len(photos) - 2), single(len(photos) - 1))
    return Samples(tuple(photos), sources, np.arange(len(sources)), False)


def main(runner: str, cache: str, out: str, die_after: int) -> None:
    embedding.PHOTOS_PER_SHARD = SHARD
    told: list[int] = []
    known: list[int] = []
    listeners: set[str] = set()

    def on_photo() -> None:
        told.append(1)
        listeners.update(listening(family(os.getpid())))
        if len(told) == die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    made = embedding.embed_samples(
        listed(),
        SPEC.build(),
        cache=cache,
        engine=DaftEngine(SPEC, runner, workers=2),  # type: ignore[arg-type]
        on_photo=on_photo,
        on_known=known.append,
    )
    grids = made.grids[np.arange(len(made.samples))]
    np.savez(out, grids=grids, vectors=made.vectors, present=made.present, sharpness=made.measures["sharpness"])
    failures = [[each.name, each.code] for each in made.failures]
    print(json.dumps({"told": len(told), "known": known, "listeners": sorted(listeners), "failures": failures}))


def family(root: int) -> set[int]:
    """A process and all that it started, and they."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            content = stat.read_text()
        except OSError:  # ended meanwhile
            continue
        parents[int(stat.parent.name)] = int(content.rpartition(")")[2].split()[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(pids: set[int]) -> set[str]:
    """Addresses, in the kernel's hexadecimal, at which these processes wait for TCP connections."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    waiting = {row[9]: row[1].partition(":")[0] for row in rows if row[3] == LISTENING}
    found = set()
    for pid in pids:
        try:
            links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        found |= {waiting[inode] for link in links if (inode := link[8:-1]) in waiting and link.startswith("socket:")}
    return found


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
