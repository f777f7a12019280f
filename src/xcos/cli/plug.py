"""``xcos plug``: a head for a user's own network, or one that was trained, as a calibrated model folder."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from xcos.catalog import build_detector
from xcos.cli.progress import progress_bar
from xcos.cli.quiet import without_decoder_chatter
from xcos.errors import InvalidArgument, MissingPackage
from xcos.extractor import Extractor
from xcos.models import FaceModel, require_new_folder
from xcos.weights import read_card

if TYPE_CHECKING:
    from xcos.training.features import Features
    from xcos.training.fit import FitSettings
    from xcos.training.trained import Trained

BROUGHT = ("card", "grid", "vector")
FITTING = ("weighting", "channels", "steps")
SHOWN = 10


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos plug``."""
    if importlib.util.find_spec("torch") is None:
        raise MissingPackage("fitting a head needs torch: pip install 'xcos[train]'")
    from xcos.training.calibrate import Occasion, calibrate
    from xcos.training.features import embed_people, list_photos
    from xcos.training.people import require_outside, require_parts, split_people
    from xcos.training.plug import plug
    from xcos.training.plug_report import measured_table, report_json

    _require_rates(options.fmr)
    settings = _settings(options)
    out = require_new_folder(options.out)
    cache = _cache(options, out)
    require_outside(options.data, out, cache)
    photos = list_photos(options.data)
    source = _source(options)
    fits = source.head is None
    require_parts(photos, fits=fits)
    detector = build_detector(options.detector, source.exposed.card.template)
    embedder = source.exposed.embedder(cache)
    _tell(f"{len(photos):,} photos of {len({photo.person for photo in photos}):,} people; features are kept in {cache}")
    with progress_bar("photos", len(photos)) as bar, without_decoder_chatter():
        features = embed_people(
            photos,
            Extractor(detector, embedder, options.face),
            cache,
            on_photo=bar.advance,
            on_known=lambda known: bar.resize(len(photos) - known),
        )
    _tell_use(features, fits=fits)
    occasion = Occasion(
        exposed=source.exposed,
        model=embedder.model,
        detector=detector.name,
        dataset=options.dataset or Path(options.data).resolve().name,
        parts=split_people(features, fits=fits),
        left_out=features.left_out,
        rates=options.fmr,
        seed=options.seed,
    )
    if source.head is not None:
        model, report = calibrate(occasion, source.head, out)
    else:
        with progress_bar("steps", settings.steps) as bar:
            model, report = plug(occasion, out, settings, on_step=lambda _: bar.advance())
    if options.json:
        print(report_json(report), end="")
        return 0
    print("\n".join(measured_table(report.measured)))
    _tell_end(model, options)
    return 0


def _require_rates(rates: list[float]) -> None:
    wrong = [rate for rate in rates if not 0 < rate < 1]
    if wrong:
        raise InvalidArgument(f"--fmr: a false match rate lies between 0 and 1, got {wrong}")


def _cache(options: argparse.Namespace, out: Path) -> Path:
    cache = Path(options.cache) if options.cache else out.with_name(f"{out.name}.cache")
    if cache.resolve().is_relative_to(out.resolve()):
        raise InvalidArgument(
            f"the cache {cache} lies in {out}, which must be a new folder when the model is written; give --cache "
            "elsewhere",
            path=str(cache),
        )
    return cache


def _settings(options: argparse.Namespace) -> FitSettings:
    from xcos.training.fit import FitSettings, settings_for

    for name in ("channels", "steps"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InvalidArgument(f"--{name} must be at least 1, got {value}")
    return settings_for(
        options.weighting or FitSettings.weighting,
        channels=options.channels or FitSettings.channels,
        steps=options.steps or FitSettings.steps,
        seed=options.seed,
    )


def _source(options: argparse.Namespace) -> Trained:
    """What is plugged into: a training's folder with all it brings, or a network by its card."""
    from xcos.training.expose import expose
    from xcos.training.trained import Trained, read_trained

    if not Path(options.network).is_dir():
        if not options.card:
            raise InvalidArgument(
                f"--card CARD is needed: what {options.network} is and how its crops are made (docs/plug.md); only the "
                "folder of a training brings its own"
            )
        card = read_card(options.card)
        exposed = expose(options.network, card, grid=options.grid, vector=options.vector)
        if not exposed.own_vector:
            raise InvalidArgument(
                f"'{exposed.network.grid}' is both grid and embedding here, and the head learns from the embedding; "
                "name another tensor with --vector or --grid"
            )
        return Trained(exposed, None)
    _refuse_beside(options, BROUGHT, "a folder of a training brings its own card, grid and vector")
    source = read_trained(options.network)
    if source.head is not None:
        _refuse_beside(options, FITTING, "the head of this training is taken as it is, and none is fitted")
    return source


def _refuse_beside(options: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    given = [f"--{name}" for name in names if getattr(options, name)]
    if given:
        raise InvalidArgument(f"{why}; leave away {' and '.join(given)}", given=given)


def _tell_use(features: Features, *, fits: bool) -> None:
    from xcos.training.people import part_of, parts_of

    for each in features.left_out[:SHOWN]:
        _tell(f"  left out: {each.photo}: {each.message} ({each.code})")
    if features.left_out:
        whole = len(features) + len(features.left_out)
        _tell(f"{len(features.left_out):,} of {whole:,} photos left out; all of them stand in report.json")
    parts = [part_of(person, fits=fits) for person in features.people]
    _tell(f"people: {', '.join(f'{parts.count(part):,} for {part}' for part in parts_of(fits=fits))}")


def _tell_end(model: FaceModel, options: argparse.Namespace) -> None:
    """What was written, and the command that uses it."""
    least = model.calibration.least_fmr
    rate = next(rate for rate in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1) if model.calibration.supports(rate))
    words = ["xcos", "verify", "A.jpg", "B.jpg", "--model", options.out, "--fmr", f"{rate:g}"]
    words += ["--detector", options.detector] if options.detector != "mtcnn" else []
    print(f"wrote {options.out}, calibrated for false match rates from {least:.1e} up; use it:")
    print(f"  {shlex.join(words)}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
