"""SIGKILL at any moment: nothing acknowledged is lost, nobody who was erased comes back, the file is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import gallery_clients
import numpy as np
import pytest
from gallery_toy import new_gallery, source

from xcos.gallery.gallery import Gallery


@dataclass
class Told:
    """What clients said of their subjects: hashes of photos that must be there, and those that may be or not."""

    certain: dict[str, set[str]] = field(default_factory=dict)
    open: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Act and hash, of the act each client was in when it was killed."""

    def read(self, log: Path) -> None:
        lines = log.read_text().splitlines() if log.exists() else []
        for begun, ended in zip(lines[::2], [*lines[1::2], ""], strict=False):
            _, act, name, key = begun.split()
            if ended == "done" and act == "erase":
                self.certain[name] = set()
            elif ended == "done":
                self.certain.setdefault(name, set()).add(source(int(key)))
            elif not ended:
                self.open[name] = (act, source(int(key)))

    def require(self, gallery: Gallery) -> None:
        kept: dict[str, set[str]] = {}
        for photo, subjects in gallery.sources().items():
            for subject in subjects:
                kept.setdefault(subject, set()).add(photo)
        assert set(kept) <= set(self.certain) | set(self.open), "somebody is there whom nobody enrolled"
        for name in set(self.certain) | set(self.open):
            act, photo = self.open.get(name, ("", ""))
            may_be = [self.certain.get(name, set())]
            may_be += [set()] if act == "erase" else [may_be[0] | {photo}] if act else []
            assert kept.get(name, set()) in may_be, (name, act)


def survive(folder: Path, rounds: int) -> None:
    path, logs = folder / "g.db", folder / "logs"
    logs.mkdir()
    new_gallery(path).close()
    command = [sys.executable, gallery_clients.__file__, str(path), str(logs), "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    zygote = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment)
    assert zygote.stdin is not None
    assert zygote.stdout is not None
    random, told, acts = np.random.default_rng(0), Told(), 0
    try:
        for round_ in range(rounds):
            zygote.stdin.write("go\n")
            zygote.stdin.flush()
            numbers = [int(number) for number in zygote.stdout.readline().split()]
            assert len(numbers) == gallery_clients.CLIENTS
            time.sleep(float(random.uniform(0.02, 0.4)))
            for number in numbers:
                os.kill(number, signal.SIGKILL)
                time.sleep(float(random.uniform(0, 0.02)))
            for at in range(gallery_clients.CLIENTS):
                log = logs / f"{1 + round_ * gallery_clients.CLIENTS + at}.log"
                told.read(log)
                acts += log.read_text().count("done") if log.exists() else 0
            with Gallery.open(path) as gallery:
                told.require(gallery)
                assert round_ % 5 or gallery.check().problems == ()
    finally:
        zygote.stdin.close()
        zygote.stdout.close()
        zygote.wait()
    with Gallery.open(path) as gallery:
        assert gallery.check().problems == ()
        told.require(gallery)
        gallery.settle()
        assert all(receipt.physical == "done" for receipt in gallery.receipts())
    print(f"{rounds * gallery_clients.CLIENTS} kills, {acts} acknowledged acts")
    assert acts > rounds


def test_fifty_two_kills_lose_nothing(tmp_path: Path) -> None:
    survive(tmp_path, 13)


@pytest.mark.endurance
def test_three_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    survive(tmp_path, 75)
