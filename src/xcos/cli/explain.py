"""``xcos explain``: two photos, where they agree, by one method."""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from xcos.catalog import EXPLAINERS, build_detector, build_explainer, build_matcher
from xcos.cli.explained import Explained, explained
from xcos.cli.progress import Bar, progress_bar
from xcos.cli.quiet import without_decoder_chatter
from xcos.cli.verify import component_files, read_side, require_output, verifier_of
from xcos.errors import InputRefused, InvalidArgument
from xcos.explainers.about import about
from xcos.explainers.matcher import GridMatcher
from xcos.extractor import Extractor
from xcos.files import write_atomically
from xcos.interfaces import Embedder
from xcos.regions import NAMES, cell_regions
from xcos.report import REGION_WORDS
from xcos.types import AlignedFace, Crops, FaceChoice, Maps, Photo, Pixels, Sample, Side, Templates
from xcos.version import __version__
from xcos.weights import WeightCard

SCHEMA = "xcos.explanation/1"
DIGITS = 6  # of a map's numbers in the JSON


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos explain``."""
    given = _method_options(options)
    if options.picture:
        require_output(options.picture, (".png",), [options.probe, options.reference, *component_files(options)])
    matcher = build_matcher(embedder=options.embedder, comparator=options.comparator, model=options.model)
    given |= _threshold(options, given)
    passes = _Passes()  # an impossible request is refused before any work, and so before there is a bar
    explainer = build_explainer(options.method, _watched(matcher, passes), given, on_gradient=passes.advance)
    detector = build_detector(options.detector, matcher.template)
    with without_decoder_chatter():
        photos = read_side(options.probe, "probe"), read_side(options.reference, "reference")
    extractor = Extractor(detector, matcher.embedder, options.face)
    probe = _locate(extractor, photos[0], options.probe_face, "probe")
    reference = _locate(extractor, photos[1], options.reference_face, "reference")
    started = perf_counter()
    with progress_bar("passes", None) as passes.bar:
        answer = explained(explainer, probe.face, reference.face)
    result = Result(answer, probe, reference, matcher.name, detector.name, perf_counter() - started)
    if options.picture:
        write_atomically(options.picture, png(answer.picture(matcher.name)))
    if options.json:
        print(json.dumps(result.to_dict()))
    else:
        result.print()
        if options.picture:
            print(f"wrote {options.picture}")
    return 0


def _method_options(options: argparse.Namespace) -> dict[str, str]:
    """Options of the method by their names, from ``--seed``, ``--budget``, ``--granularity``, ``--regions`` and
    ``--option``."""
    if options.granularity and options.regions:
        raise InvalidArgument("--granularity takes packaged regions and --regions your own; leave one away")
    if (options.granularity or options.regions) and options.method != "semantic":
        raise InvalidArgument(f"--granularity and --regions are for --method semantic, not for {options.method}")
    named = {"seed": options.seed, "masks": options.budget, "regions": options.granularity or options.regions}
    given = {name: str(value) for name, value in named.items() if value is not None}
    for text in options.option:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InvalidArgument(f"--option must be NAME=VALUE, got {text!r}")
        if name in given:
            raise InvalidArgument(f"the option {name} is given twice")
        given[name] = value
    return given


def _threshold(options: argparse.Namespace, given: dict[str, str]) -> dict[str, str]:
    """The threshold of the calibration at the rate asked for, for methods that explain one; nothing where none is asked
    for, and the method takes the packaged one."""
    asked = ["--fmr"] * (options.fmr is not None) + ["--calibration"] * bool(options.calibration)
    explains = options.method in EXPLAINERS and EXPLAINERS[options.method].threshold
    if asked and (not explains or "threshold" in given):
        why = f"{options.method} explains none" if not explains else "--option threshold says it already"
        raise InvalidArgument(f"{' and '.join(asked)} would say which threshold is explained, but {why}")
    if not explains or "threshold" in given or not (asked or options.model):
        return {}
    calibration = verifier_of(options).calibration
    return {"threshold": repr(calibration.threshold(1e-3 if options.fmr is None else options.fmr).value)}


def _locate(extractor: Extractor, photo: Photo, face: FaceChoice | None, side: Side) -> Sample:
    try:
        return extractor.locate(photo, face=face)
    except InputRefused as error:
        raise error.about(side) from error


@dataclass
class _Passes:
    """Tells whatever bar there is now."""

    bar: Bar = field(default_factory=Bar)

    def advance(self) -> None:
        """One pass is done."""
        self.bar.advance()


@dataclass(frozen=True)
class _Watched:
    """An embedder whose passes are counted."""

    embedder: Embedder
    passes: _Passes

    @property
    def card(self) -> WeightCard:
        return self.embedder.card

    @property
    def model(self) -> str:
        return self.embedder.model

    def embed(self, crops: Crops) -> Templates:
        templates = self.embedder.embed(crops)
        for _ in range(len(crops)):
            self.passes.advance()
        return templates


def _watched(matcher: GridMatcher, passes: _Passes) -> GridMatcher:
    return GridMatcher(_Watched(matcher.embedder, passes), matcher.comparator)


def png(pixels: Pixels) -> bytes:
    """The picture as a PNG file."""
    from PIL import Image as pil

    file = io.BytesIO()
    pil.fromarray(pixels).save(file, "PNG", compress_level=4)
    return file.getvalue()


@dataclass(frozen=True)
class Result:
    """An explanation with all that is said of it."""

    answer: Explained
    probe: Sample
    reference: Sample
    matcher: str
    detector: str
    seconds: float

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values, as ``docs/explainers`` describes them."""
        found = self.answer.found
        return {
            "schema": SCHEMA,
            "version": __version__,
            "method": found.method,
            "title": about(found.method).title,
            "caveat": about(found.method).caveat,
            "score": found.score,
            "cost": {"forward": found.cost.forward, "backward": found.cost.backward, "seconds": self.seconds},
            "settings": dict(found.settings),
            "maps": {"probe": _numbers(found.probe), "reference": _numbers(found.reference)},
            "regions": {
                "probe": region_means(found.probe, self.probe.face),
                "reference": region_means(found.reference, self.reference.face),
            },
            "probe": _photo(self.probe),
            "reference": _photo(self.reference),
            "matcher": self.matcher,
            "detector": self.detector,
            "sentences": list(self.answer.sentences),
            **self.answer.numbers,
        }

    def print(self) -> None:
        """The same in words, with the parts of the face instead of the maps."""
        found, words = self.answer.found, about(self.answer.found.method)
        backward = f" and {found.cost.backward:,} backward" if found.cost.backward else ""
        print(f"{words.title} ({found.method})")
        print(f"  The score is {found.score:.4f} by {self.matcher}.")
        print(f"  {found.cost.forward:,} passes forward{backward} through the network, {self.seconds:.1f} s.")
        for side, values, sample in (
            ("Probe", found.probe, self.probe),
            ("Reference", found.reference, self.reference),
        ):
            parts = sorted(region_means(values, sample.face).items(), key=lambda part: -part[1])
            print(
                f"  {side}, mean of the map: " + ", ".join(f"{REGION_WORDS[name]} {mean:+.3g}" for name, mean in parts)
            )
        for sentence in self.answer.sentences:
            print(f"  {sentence}")
        print("  Settings: " + (", ".join(f"{name} {value}" for name, value in found.settings.items()) or "none"))
        print(f"  {words.caveat}")


def region_means(values: Maps, face: AlignedFace) -> dict[str, float]:
    """Mean of a map over each part of the face, by the photo's own landmarks; parts outside the crop are left out."""
    names = np.array(cell_regions(face.landmarks, face.template, values.shape))
    return {name: float(values[names == name].mean()) for name in NAMES if (names == name).any()}


def _numbers(values: Maps) -> list[list[float]]:
    return [[float(f"{value:.{DIGITS}g}") for value in row] for row in values.tolist()]


def _photo(sample: Sample) -> dict[str, object]:
    return {
        "name": sample.name,
        "sha256": sample.sha256,
        "box": sample.face.face.box.tolist(),
        "landmarks_in_crop": sample.face.landmarks.tolist(),
        "to_crop": sample.face.to_crop.tolist(),
    }
