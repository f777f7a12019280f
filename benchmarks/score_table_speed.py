"""Seconds and memory for writing a table of scores and reading it back: python benchmarks/score_table_speed.py [ROWS]

The pairs are made up, of 20,000 photos of 5,000 people. Seconds are of this process, memory is what its peak grows by.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from xcos.evaluation.protocol import PhotoSource, Samples, VerificationProtocol, single
from xcos.evaluation.run import Scored
from xcos.evaluation.score_files import joined_scores, score_rows
from xcos.evaluation.scores import ScoreSet
from xcos.files import write_atomically

PHOTOS, OF_EACH = 20_000, 4


def made_up(rows: int) -> tuple[VerificationProtocol, Scored]:
    """Pairs drawn at random, and their scores."""
    random = np.random.default_rng(0)
    subjects = np.arange(PHOTOS) // OF_EACH
    probe = random.integers(0, PHOTOS, rows)
    reference = (probe + random.integers(1, PHOTOS, rows)) % PHOTOS
    sides = subjects[probe], subjects[reference]
    names = [f"Person_{at // OF_EACH}/Person_{at // OF_EACH}_{at % OF_EACH:04d}.jpg" for at in range(PHOTOS)]
    photos = tuple(PhotoSource(name, Path(name)) for name in names)
    samples = Samples(photos, tuple(map(single, range(PHOTOS))), subjects, subjects_known=True)
    mated = sides[0] == sides[1]
    protocol = VerificationProtocol("made-up", samples, probe, reference, mated, np.zeros(rows, np.int64), "0" * 64)
    return protocol, Scored("made up", ScoreSet(random.normal(size=rows), mated, *sides), failed=None)


def measured(what: str, work: Callable[[], object]) -> None:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    work()
    seconds, after = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{what}: {seconds:.1f} s of one processor, {(after - before) / 1024:.0f} MiB")


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    protocol, scored = made_up(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.csv"
        measured(f"writing {rows:,} rows", lambda: write_atomically(path, score_rows(protocol, scored)))
        measured("reading them", lambda: joined_scores(protocol, path))
        print(f"{path.stat().st_size / 1e6:.0f} MB of CSV")


if __name__ == "__main__":
    main()
