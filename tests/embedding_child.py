"""A run of embedding in a process of its own, which kills itself where it is told to: FOLDER CACHE WHERE NUMBER."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fakes import AngleEmbedder, FixedDetector

from xcos import files
from xcos.evaluation import embedding
from xcos.evaluation.engines import LocalPool
from xcos.evaluation.protocol import PhotoSource, Samples, single
from xcos.extractor import Extractor
from xcos.types import Templates

SHARD = 8


def listed(folder: Path) -> Samples:
    paths = sorted(folder.glob("*.png"))
    photos = tuple(PhotoSource(path.name, path) for path in paths)
    return Samples(photos, tuple(map(single, range(len(photos)))), np.arange(len(photos)), True)


@dataclasses.dataclass
class Deadly(AngleEmbedder):
    blocks_left: int = 1_000_000

    def embed(self, crops: Any) -> Templates:
        self.blocks_left -= 1
        if self.blocks_left < 0:
            die()
        return super().embed(crops)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _DiesAt:
    """A function that works so many times."""

    def __init__(self, work: Any, times: int) -> None:
        self.work, self.left = work, times

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            die()
        return self.work(*args, **kwargs)


def main(folder: str, cache: str, where: str, number: int) -> None:
    embedding.PHOTOS_PER_SHARD = SHARD
    embedder = Deadly(twist=2.0)
    if where == "network":
        embedder.blocks_left = number
    elif where == "flush":  # the content lies in a file of another name, perhaps not on the disk
        files.os.fsync = _DiesAt(os.fsync, number)  # type: ignore[attr-defined]
    elif where == "rename":
        rename = _DiesAt(Path.replace, number)
        files.Path.replace = lambda *args: rename(*args)  # type: ignore[method-assign, attr-defined]
    extractor = Extractor(FixedDetector(), embedder, "center")
    embedding.embed_samples(listed(Path(folder)), extractor, cache=cache, engine=LocalPool(1))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
