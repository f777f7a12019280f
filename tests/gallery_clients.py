"""Clients of one gallery, each a process that enrols, adds and erases until it is killed: DB LOGS SEED.

For each line on standard input four are started, and their numbers printed. A client writes a line before each act and
one after it was acknowledged.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
from gallery_toy import enrolment

from xcos.errors import StoreBusy
from xcos.gallery.gallery import Gallery

CLIENTS = 4


def client(db: Path, log: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    lines = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    gallery = Gallery.open(db)
    mine: dict[str, int] = {}
    for number in range(100_000):
        act = str(random.choice(["enrol", "add", "erase"], p=[0.5, 0.25, 0.25])) if mine else "enrol"
        name = f"c{seed}-{number}" if act == "enrol" else str(random.choice(list(mine)))
        key = seed * 100_000 + number
        os.write(lines, f"begin {act} {name} {key}\n".encode())
        try:
            if act == "erase":
                gallery.erase(name, patience=0)
                del mine[name]
            else:
                gallery.enrol(name, [enrolment(key)], add=act == "add")
                mine[name] = mine.get(name, 0) + 1
            os.write(lines, b"done\n")
        except StoreBusy:
            os.write(lines, b"refused\n")


def main(db: Path, logs: Path, seed: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for round_, _ in enumerate(sys.stdin):
        numbers = []
        for at in range(CLIENTS):
            mine = seed + round_ * CLIENTS + at
            child = os.fork()
            if child == 0:
                client(db, logs / f"{mine}.log", mine)
                os._exit(0)
            numbers.append(child)
        print(*numbers, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
