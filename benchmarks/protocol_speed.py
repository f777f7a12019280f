"""Seconds and memory for reading a protocol of IJB-C's size, made up: python benchmarks/protocol_speed.py

The set has as many templates, faces and pairs as IJB-C; its crops are empty files, because no reader opens a photo. It
is written into a temporary folder (about 300 MB and half a million files) and read in a process of its own, whose peak
memory is the operating system's figure.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from xcos.evaluation.protocols import read_protocol

TEMPLATES, FACES, PAIRS, MATED = 23_124, 469_375, 15_658_489, 19_557
BLOCK = 1_000_000


def write_set(folder: Path, pairs: int) -> None:
    """Faces in templates and media as uneven as chance makes them; pairs (gallery, probe), each once."""
    random = np.random.default_rng(0)
    meta, crops = folder / "meta", folder / "loose_crop"
    meta.mkdir()
    crops.mkdir()
    template = np.sort(np.concatenate([np.arange(TEMPLATES), random.integers(0, TEMPLATES, FACES - TEMPLATES)])) + 1
    medium = random.integers(0, 150_000, FACES)
    points = random.uniform(0, 200, (FACES, 10)).round(3)
    score = random.uniform(0.5, 1, FACES).round(6)
    with (meta / "ijbc_face_tid_mid.txt").open("w") as rows, (meta / "ijbc_name_5pts_score.txt").open("w") as found:
        for at in range(FACES):
            (crops / f"{at + 1}.jpg").touch()
            rows.write(f"{at + 1}.jpg {template[at]} {medium[at]}\n")
            found.write(f"{at + 1}.jpg {' '.join(map(str, points[at].tolist()))} {score[at]}\n")
    half = TEMPLATES // 2
    chosen = random.choice(half * half, pairs, replace=False)
    mated = np.zeros(pairs, bool)
    mated[random.choice(pairs, min(MATED, pairs // 2), replace=False)] = True
    with (meta / "ijbc_template_pair_label.txt").open("w") as file:
        for start in range(0, pairs, BLOCK):
            part = slice(start, start + BLOCK)
            lines = zip(
                (chosen[part] // half + 1).tolist(),
                (chosen[part] % half + half + 1).tolist(),
                mated[part].astype(int).tolist(),
                strict=True,
            )
            file.writelines(f"{first} {second} {label}\n" for first, second, label in lines)


def read(folder: Path) -> tuple[float, float, float, int]:
    """Seconds on the clock and of the processor, peak memory of this process in GiB, number of pairs."""
    start = time.perf_counter()
    protocol = read_protocol("ijbc", folder)
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    return seconds, time.process_time(), peak, len(getattr(protocol, "mated", ()))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_set(folder, PAIRS)
        with get_context("spawn").Pool(1) as pool:
            seconds, busy, peak, pairs = pool.apply(read, (folder,))
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print(f"{pairs:,} pairs of {TEMPLATES:,} templates, {FACES:,} faces")
    print(f"{seconds:.1f} s, of which {busy:.1f} s of processor with start-up; peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
