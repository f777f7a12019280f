"""``xcos enrol``: a folder of people's photos into a gallery."""

from __future__ import annotations

import argparse
import json

from xcos.catalog import build_detector, build_matcher, find_calibration
from xcos.cli.gallery import audit_of
from xcos.cli.progress import progress_bar
from xcos.cli.quiet import without_decoder_chatter
from xcos.errors import InvalidArgument, UnsupportedFmr
from xcos.explainers.matcher import GridMatcher
from xcos.extractor import Extractor
from xcos.gallery.folder import MOST_COMPARED, Enrolled, LabelDoubts, doubt_labels, enrol_folder
from xcos.gallery.gallery import Gallery
from xcos.models import read_model

SHOWN = 20


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos enrol``."""
    with Gallery.open(options.gallery) as gallery:
        matcher = build_matcher(embedder=options.embedder, comparator=options.comparator, model=options.model)
        if matcher.embedder.model != gallery.card.layout.model:
            raise InvalidArgument(
                f"the gallery holds templates of {gallery.card.layout.model}, these would be of "
                f"{matcher.embedder.model}; name the gallery's model with --embedder or --model"
            )
        extractor = Extractor(build_detector(options.detector, matcher.template), matcher.embedder, options.face)
        with progress_bar("photos", None) as bar, without_decoder_chatter():
            enrolled = enrol_folder(gallery, extractor, options.folder, on_photo=bar.advance, on_todo=bar.resize)
        facts: dict[str, object] = {
            "gallery": gallery.card.name,
            "photos": enrolled.photos,
            "enrolled": enrolled.enrolled,
        }
        audit_of(options.gallery).append("enrol", facts, operator=options.operator)
        doubts, unknown = _doubts(gallery, matcher, options)
    if options.json:
        print(
            json.dumps(
                {**_document(enrolled), "labels": doubts and _labels(doubts), "labels_unknown": unknown}, indent=2
            )
        )
    else:
        for line in [*_lines(enrolled), *(_label_lines(doubts) if doubts else [unknown])]:
            print(line)
    return 0


def _doubts(gallery: Gallery, matcher: GridMatcher, options: argparse.Namespace) -> tuple[LabelDoubts | None, str]:
    """What is doubtful about the labels, or why nobody can say."""
    if len(gallery) > MOST_COMPARED:
        return None, f"labels were not looked at: more than {MOST_COMPARED:,} templates"
    if options.model:
        calibration = read_model(options.model).calibration
    else:
        found = find_calibration(matcher.embedder.model, matcher.comparator.name)
        if found is None:
            return None, "labels were not looked at: this model and comparator have no calibration"
        calibration = found
    try:
        return doubt_labels(gallery, matcher.comparator, calibration, fmr=options.fmr), ""
    except UnsupportedFmr as error:
        return None, f"labels were not looked at: {error.message}"


def _document(enrolled: Enrolled) -> dict[str, object]:
    return {
        "photos": enrolled.photos,
        "known": enrolled.known,
        "enrolled": enrolled.enrolled,
        "subjects": enrolled.subjects,
        "failure_to_enrol": list(enrolled.without),
        "failed": dict(enrolled.codes),
        "failures": [{**failure.__dict__, "path": str(failure.path)} for failure in enrolled.failures],
    }


def _lines(enrolled: Enrolled) -> list[str]:
    lines = [
        f"{enrolled.photos:,} photos of {enrolled.subjects:,} people: {enrolled.enrolled:,} enrolled, "
        f"{enrolled.known:,} known before, {len(enrolled.failures):,} failed"
    ]
    lines += [f"  {count:,} {code}" for code, count in enrolled.codes.most_common()]
    lines += _some([f"{failure.path}: {failure.message} ({failure.code})" for failure in enrolled.failures])
    if enrolled.without:
        lines.append(f"{len(enrolled.without):,} people have no usable photo (failures to enrol):")
        lines += _some(list(enrolled.without))
    return lines


def _labels(doubts: LabelDoubts) -> dict[str, object]:
    return {
        "threshold": doubts.threshold,
        "fmr": doubts.fmr,
        "strangers": [dict(each.__dict__) for each in doubts.strangers],
        "twins": [dict(each.__dict__) for each in doubts.twins],
    }


def _label_lines(doubts: LabelDoubts) -> list[str]:
    lines = [
        f"{len(doubts.strangers):,} photos are like no other photo of their subject, {len(doubts.twins):,} pairs of "
        f"subjects match (threshold {doubts.threshold:.4f} at FMR {doubts.fmr:g})"
    ]
    lines += _some(
        [
            f"{each.subject}: photo {each.source[:12]} scores {each.score:.4f} with its own, "
            f"{each.nearest_score:.4f} with {each.nearest}"
            for each in doubts.strangers
        ]
    )
    return lines + _some([f"{each.one} and {each.other}: {each.score:.4f}" for each in doubts.twins])


def _some(lines: list[str]) -> list[str]:
    more = [f"  and {len(lines) - SHOWN:,} more (all with --json)"] if len(lines) > SHOWN else []
    return [f"  {line}" for line in lines[:SHOWN]] + more
