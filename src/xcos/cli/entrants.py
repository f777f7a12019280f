"""What ``xcos evaluate`` takes for a matcher: a name, a file, a folder, code of one's own, or scores from elsewhere."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from xcos.calibration import Calibration, read_calibration
from xcos.catalog import EMBEDDERS, build_detector, build_matcher, find_calibration
from xcos.cli.progress import progress_bar
from xcos.cli.quiet import without_decoder_chatter
from xcos.errors import InvalidArgument
from xcos.evaluation.embedding import EmbeddedSamples, HashedSamples, embed_samples
from xcos.evaluation.own_matcher import PhotoMatcher, embed_photos, import_matcher
from xcos.explainers.matcher import GridMatcher
from xcos.extractor import Extractor
from xcos.interfaces import Comparator
from xcos.models import CALIBRATION, VECTOR_CALIBRATION
from xcos.verifier import VECTOR_COMPARATOR

DETECTOR = "mtcnn"
TABLE = "scores:"


@dataclass(frozen=True)
class ScoreFile:
    """Scores from elsewhere; no photo is read."""

    path: Path


Entrant = GridMatcher | PhotoMatcher | ScoreFile


def entrants(options: argparse.Namespace) -> list[Entrant]:
    """One, or two where there is something to compare with."""
    if options.scores and (options.model or options.card):
        raise InvalidArgument("--scores takes the place of --model; leave one of them away")
    first = f"{TABLE}{options.scores}" if options.scores else options.model
    asked = [(first, options.card), *([(options.against, options.against_card)] if options.against else [])]
    if options.against_card and not options.against:
        raise InvalidArgument("--against-card is the card of --against, which is not given")
    built = [_entrant(name, card) for name, card in asked]
    if not any(isinstance(each, GridMatcher) for each in built):
        given = {"--mirror": options.mirror, "--detector": options.detector, "--face": options.face is not None}
        needless = [name for name, value in given.items() if value]
        if needless:
            raise InvalidArgument(
                f"{', '.join(needless)} speaks of photos that are cut for a network here; scores and matchers of your "
                "own have found their faces by themselves"
            )
    return built


def _entrant(name: str, card: str) -> Entrant:
    onnx = name.startswith("onnx:") or name.lower().endswith(".onnx")
    if card and not onnx:
        raise InvalidArgument(f"a card belongs to an ONNX file, FILE.onnx; got {name or 'no model'}")
    if name.startswith(TABLE):
        return ScoreFile(Path(name.removeprefix(TABLE)))
    if onnx:
        return build_matcher(embedder=f"onnx:{name.removeprefix('onnx:')}", card=card)
    if not name or name in EMBEDDERS:
        return build_matcher(embedder=name)
    if Path(name).is_dir():
        return build_matcher(model=name)
    if ":" in name:
        return import_matcher(name)
    raise InvalidArgument(
        f"no model is {name!r}: give one of {', '.join(sorted(EMBEDDERS))}, a file FILE.onnx with its card, a model "
        f"folder that is there, package.module:Name, or {TABLE}FILE.csv",
        name=name,
    )


def extractor_of(matcher: GridMatcher, options: argparse.Namespace) -> Extractor:
    """What finds, cuts and embeds a face for this matcher."""
    detector = build_detector(options.detector or DETECTOR, matcher.template)
    return Extractor(detector, matcher.embedder, "center" if options.face is None else options.face)


def calibration_of(name: str, model: str, comparator: Comparator | PhotoMatcher | None) -> Calibration | None:
    """The card of a model's scores: a packaged one, or that of the model folder ``name``; None if there is none."""
    if isinstance(comparator, PhotoMatcher):
        return None
    wanted = comparator.name if comparator else VECTOR_COMPARATOR
    packaged = find_calibration(model, wanted)
    if packaged is not None or not Path(name or "-").is_dir():
        return packaged
    files = [Path(name) / file for file in (CALIBRATION, VECTOR_CALIBRATION)]
    cards = [read_calibration(file) for file in files if file.is_file()]
    return next((card for card in cards if (card.model, card.comparator) == (model, wanted)), None)


def embedded(
    samples: HashedSamples, matcher: GridMatcher | PhotoMatcher, options: argparse.Namespace, cache: Path
) -> EmbeddedSamples:
    """Templates of all samples, with a bar for the photos that are not known yet."""
    photos = len(samples.samples.photos)
    name = f"{matcher.model}, your own code" if isinstance(matcher, PhotoMatcher) else matcher.name
    print(f"{photos:,} photos: {name}", file=sys.stderr)
    if isinstance(matcher, PhotoMatcher):  # what it says on stderr is for its author
        with progress_bar("photos", photos) as bar:
            return embed_photos(samples, matcher, cache=cache, on_photo=bar.advance,
                                on_known=lambda count: bar.resize(photos - count))  # fmt: skip
    extractor = extractor_of(matcher, options)
    with progress_bar("photos", photos) as bar, without_decoder_chatter():
        return embed_samples(samples, extractor, cache=cache, mirror=options.mirror, on_photo=bar.advance,
                             on_known=lambda count: bar.resize(photos - count))  # fmt: skip


def settings(built: list[Entrant], options: argparse.Namespace) -> dict[str, str]:
    """What the report says of how the photos were treated; nothing of it where nothing is treated here."""
    if not any(isinstance(each, GridMatcher) for each in built):
        return {"seed": str(options.seed)}
    return {
        "detector": (options.detector or DETECTOR).rpartition("/")[2],
        "face": str("center" if options.face is None else options.face),
        "mirror": "averaged" if options.mirror else "no",
        "seed": str(options.seed),
    }
