"""The pictures of docs/explainers: rendered pairs, explained by every method with its default options.

    python benchmarks/explainer_pictures.py [METHOD ...] [--out docs/explainers] [--pair 0_front 0_yaw]

The pair is of one person, for methods that ask what would make a match of a non-match one of two. Colours are reduced
to a palette, so that each file stays below 150 kB. Printed are size, passes and seconds of each.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

from PIL import Image

from xcos.catalog import DATA, EXPLAINERS, build_explainer, default_verifier
from xcos.cli.explained import explained
from xcos.explainers.matcher import GridMatcher
from xcos.images import read_image
from xcos.types import Pixels

LARGEST = 150_000
COLORS = (256, 160, 112, 80)  # tried from the first until the file is small enough
ONE_PERSON = ("0_front", "0_yaw")
PAIRS = {"counterfactual": ("0_front", "1_front")}  # of ONE_PERSON no cells flip the decision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("docs/explainers"))
    parser.add_argument("--pair", nargs=2)
    options = parser.parse_args()
    verifier = default_verifier()
    matcher = GridMatcher(verifier.embedder, verifier.comparator)
    for name in options.methods or EXPLAINERS:
        pair = options.pair or PAIRS.get(name, ONE_PERSON)
        probe, reference = (verifier.locate(read_image(DATA / "examples" / f"{each}.jpg")).face for each in pair)
        explainer = build_explainer(name, matcher)
        started = time.perf_counter()
        answer = explained(explainer, probe, reference)
        seconds, cost = time.perf_counter() - started, answer.found.cost
        content = _small_png(answer.picture(matcher.name, scale=1.0))
        (options.out / f"{name}.png").write_bytes(content)
        print(f"{name:15} {len(content) / 1000:6.1f} kB {cost.forward:6,} passes {cost.backward:4} backward "
              f"{seconds:7.1f} s", flush=True)  # fmt: skip


def _small_png(pixels: Pixels) -> bytes:
    picture = Image.fromarray(pixels)
    for colors in COLORS:
        palette = picture.quantize(colors, method=Image.Quantize.FASTOCTREE)
        file = io.BytesIO()
        picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(file, "PNG", optimize=True)
        if len(file.getvalue()) < LARGEST:
            return file.getvalue()
    raise SystemExit(f"a picture of {len(file.getvalue()):,} bytes in {colors} colours is too large for the documents")


if __name__ == "__main__":
    main()
