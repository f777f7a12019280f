"""Seconds and memory for searches of TinyFace's size, made up: python benchmarks/search_speed.py [SHARE]

3,728 probes in a gallery of 157,871, of which SHARE (default 0.1) is taken; by vectors of 128 numbers, and by grids of
7 × 7 × 128 with trust weighting. Templates are drawn at random: only time and memory mean something. Seconds are of
this process, memory is its peak.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np

from xcos.compare import TrustWeighted
from xcos.evaluation.embedding import EmbeddedSamples
from xcos.evaluation.protocol import IdentificationProtocol, PhotoSource, Samples, single
from xcos.evaluation.searching import search_protocol
from xcos.feature_store import rows_of

PROBES, GALLERY = 3_728, 157_871


def main() -> None:
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 0.1
    probes, gallery = int(PROBES * share), int(GALLERY * share)
    random = np.random.default_rng(0)
    total = probes + gallery
    photos = tuple(PhotoSource(str(at), Path(str(at))) for at in range(total))
    subjects = np.concatenate([np.arange(probes), np.arange(gallery)])
    samples = Samples(photos, tuple(map(single, range(total))), subjects, subjects_known=True)
    protocol = IdentificationProtocol("made-up", samples, np.arange(probes, total), np.arange(probes), "0" * 64)
    embedded = EmbeddedSamples(
        samples=samples,
        model="made up",
        grids=rows_of(random.random((total, 7, 7, 128), np.float32)),
        vectors=random.random((total, 128), np.float32),
        present=np.ones(total, bool),
        sha256=("",) * total,
        measures={},
        failures=(),
    )
    print(f"{probes:,} probes in a gallery of {gallery:,}")
    for comparator in (None, TrustWeighted()):
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        searched = search_protocol(protocol, embedded, comparator)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"{searched.matcher}: {time.process_time() - started:.1f} s of one processor, {grown:.0f} MiB more")


if __name__ == "__main__":
    main()
