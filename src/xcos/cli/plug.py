"""``xcos plug``: a head for a user's own network, as a model folder."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
from pathlib import Path

from xcos.catalog import build_detector
from xcos.cli.progress import progress_bar
from xcos.cli.quiet import without_decoder_chatter
from xcos.errors import InvalidArgument, MissingPackage
from xcos.extractor import Extractor
from xcos.models import require_new_folder
from xcos.weights import read_card


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos plug``."""
    if importlib.util.find_spec("torch") is None:
        raise MissingPackage("fitting a head needs torch: pip install 'xcos[train]'")
    from xcos.training.features import embed_people, list_photos
    from xcos.training.fit import settings_for
    from xcos.training.plug import PARTS, expose, part_of, plug, require_outside, require_parts
    from xcos.training.plug_report import measured_table, report_json

    _require_rates(options.fmr)
    settings = settings_for(options.weighting, channels=options.channels, steps=options.steps, seed=options.seed)
    out = require_new_folder(options.out)
    cache = Path(options.cache) if options.cache else out.with_name(f"{out.name}.cache")
    require_outside(options.data, out, cache)
    exposed = expose(options.network, read_card(options.card), grid=options.grid, vector=options.vector)
    detector = build_detector(options.detector, exposed.card.template)
    photos = list_photos(options.data)
    require_parts(photos)
    embedder = exposed.embedder(cache)
    _tell(f"{len(photos):,} photos of {len({photo.person for photo in photos}):,} people; features are kept in {cache}")
    with progress_bar("photos", len(photos)) as bar, without_decoder_chatter():
        features = embed_people(
            photos,
            Extractor(detector, embedder, options.face),
            cache,
            on_photo=bar.advance,
            on_known=lambda known: bar.resize(len(photos) - known),
        )
    for each in features.left_out[:10]:
        _tell(f"  left out: {each.photo}: {each.message} ({each.code})")
    if features.left_out:
        _tell(f"{len(features.left_out):,} of {len(photos):,} photos left out; all of them stand in report.json")
    counts = {part: sum(part_of(person) == part for person in features.people) for part in PARTS}
    _tell(f"people: {', '.join(f'{number:,} for {part}' for part, number in counts.items())}")
    with progress_bar("steps", settings.steps) as bar:
        model, report = plug(
            exposed,
            embedder,
            features,
            out,
            settings=settings,
            rates=options.fmr,
            detector=detector.name,
            dataset=options.dataset or Path(options.data).resolve().name,
            on_step=lambda _: bar.advance(),
        )
    if options.json:
        print(report_json(report), end="")
        return 0
    print("\n".join(measured_table(report.measured)))
    least = model.calibration.least_fmr
    rate = next(rate for rate in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1) if model.calibration.supports(rate))
    words = ["xcos", "verify", "A.jpg", "B.jpg", "--model", options.out, "--fmr", f"{rate:g}"]
    words += ["--detector", options.detector] if options.detector != "mtcnn" else []
    print(f"wrote {options.out}, calibrated for false match rates from {least:.1e} up; use it:")
    print(f"  {shlex.join(words)}")
    return 0


def _require_rates(rates: list[float]) -> None:
    wrong = [rate for rate in rates if not 0 < rate < 1]
    if wrong:
        raise InvalidArgument(f"a false match rate lies between 0 and 1, got {wrong}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
