"""What the shipped model's cells see, measured on photos and kept for the explainer ``seen``.

    python benchmarks/cell_fields.py lfw-view1-train:FOLDER [--pairs-limit 24] [--out src/xcos/data/fields]

Noise of ± 4 grey levels in one square of the probe at a time; the mean square of a cell's change is to first order its
gradient's energy in that square (``measure_locality``). Printed: the share of its own square, the leak, and how alike
the fields of the first and second half of the pairs are.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from xcos.catalog import default_verifier
from xcos.explainers.bench_pairs import evenly, find_pairs, listed_pairs
from xcos.explainers.cell_fields import FOLDER, CellFields, file_of, write_fields
from xcos.explainers.faithfulness.locality import measure_locality
from xcos.explainers.faithfulness.ranks import correlation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", help="as xcos bench explainers --pairs")
    parser.add_argument("--pairs-limit", type=int, default=24)
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    verifier = default_verifier(face="center")
    pairs = find_pairs(evenly(listed_pairs(options.pairs), options.pairs_limit), verifier.extractor).pairs
    halves = [measure_locality(verifier.embedder, verifier.comparator, half) for half in (pairs[::2], pairs[1::2])]
    shares = np.mean([half.fields for half in halves], axis=0)
    alike = correlation(halves[0].fields, halves[1].fields)
    inside, leak = (np.mean([getattr(half, name) for half in halves]) for name in ("inside", "leak"))
    print(f"{len(pairs)} pairs: {inside:.1%} of a cell's energy in its own square, leak {leak:.2f}, correlation of the "
          f"two halves' fields {alike:.3f}")  # fmt: skip
    day = datetime.now(UTC).date().isoformat()
    origin = f"{options.pairs.partition(':')[0]}, {len(pairs)} pairs, 4 noises of ± 4 grey levels each, {day}"
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / file_of(verifier.embedder.model)
    write_fields(path, CellFields(verifier.embedder.model, shares, origin))
    print(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
