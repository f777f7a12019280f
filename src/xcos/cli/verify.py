"""``xcos verify``: two photos, or a list of pairs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from xcos.catalog import build_verifier
from xcos.cli.progress import progress_bar
from xcos.cli.quiet import without_decoder_chatter
from xcos.errors import InputRefused, InvalidArgument
from xcos.files import require_writable
from xcos.images import read_image
from xcos.pairs import count_outcomes, read_pairs, write_scores
from xcos.report import decision_sentences, region_sentence
from xcos.types import Outcome, Photo
from xcos.verification import Verification
from xcos.verifier import Verifier

OUTCOME_CODES: dict[Outcome, int] = {"match": 0, "non_match": 1, "inconclusive": 3}


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos verify``."""
    return _many(options) if options.pairs else _two(options)


def _two(options: argparse.Namespace) -> int:
    if not options.probe or not options.reference:
        raise InvalidArgument(
            "two photos are needed: xcos verify PROBE REFERENCE, or --pairs LIST.csv --out SCORES.csv"
        )
    if options.out:
        raise InvalidArgument("--out belongs to --pairs; for two photos use --report, --picture or --json")
    if options.json_style and not options.json:
        raise InvalidArgument("--json-style needs --json")
    _require_outputs(options)
    with without_decoder_chatter():
        probe, reference = read_side(options.probe, "probe"), read_side(options.reference, "reference")
    result = verifier_of(options).verify(
        probe, reference, fmr=options.fmr, probe_face=options.probe_face, reference_face=options.reference_face
    )
    if options.picture:
        result.save_picture(options.picture)
    if options.report:
        result.save_report(options.report)
    if options.json:
        print(json.dumps(result.to_dict(style=options.json_style or "xcos"), indent=2))
    else:
        print_result(result)
        for path in filter(None, (options.picture, options.report)):
            print(f"wrote {path}")
    return OUTCOME_CODES[result.outcome]


def _require_outputs(options: argparse.Namespace) -> None:
    """Raises before any work where an output cannot be written, would overwrite something or has a wrong ending."""
    read = [options.probe, options.reference, *component_files(options)]
    for path, endings in ((options.picture, (".png",)), (options.report, (".html", ".htm"))):
        if path:
            require_output(path, endings, read)


def require_output(path: str, endings: tuple[str, ...], read: list[str]) -> None:
    """Raises unless the file can be written, is none of those ``read`` and ends as what is written."""
    require_writable(path, inputs=read)
    if Path(path).suffix.lower() not in endings:
        raise InvalidArgument(f"{path} must end in {' or '.join(endings)}, as that is what is written")


def component_files(options: argparse.Namespace) -> list[str]:
    """Files that the components are read from, which no output may overwrite."""
    named = [options.calibration, options.vector_calibration]
    named += [name.partition(":")[2] for name in (options.detector, options.embedder)]
    named += [str(Path(path).with_suffix(".json")) for path in named if path.endswith(".onnx")]
    named += [str(path) for path in Path(options.model).glob("*")] if options.model else []
    return [path for path in named if path]


def read_side(path: str, side: str) -> Photo:
    """The photo at a path; what is wrong with it is said of its side, ``probe`` or ``reference``."""
    try:
        return read_image(path)
    except InputRefused as error:
        raise error.about(side) from error


def print_result(result: Verification) -> None:
    """The decision and its evidence in words."""
    print(result.outcome)
    for sentence in decision_sentences(result):
        print(f"  {sentence}")
    for reason in result.decision.reasons:
        print(f"  reason: {reason.message} ({reason.code})")
    for region in result.regions:
        print(f"  {region_sentence(region)}")
    print("  The parts' names are nominal places in the grid. No liveness check was made.")


def verifier_of(options: argparse.Namespace) -> Verifier:
    """The verifier whose components the options name."""
    return build_verifier(
        detector=options.detector,
        embedder=options.embedder,
        comparator=options.comparator,
        calibration=options.calibration,
        vector_calibration=options.vector_calibration,
        model=options.model,
        face=options.face,
    )


def _many(options: argparse.Namespace) -> int:
    single = ("probe", "report", "picture", "probe_face", "reference_face", "json_style")
    given = [name for name in single if getattr(options, name) is not None]
    if given:
        raise InvalidArgument(
            f"--pairs takes its photos from the list and writes only --out; leave away: {', '.join(given)}"
        )
    if not options.out:
        raise InvalidArgument("--pairs needs --out SCORES.csv for the results")
    pairs = read_pairs(options.pairs)
    photos = [pairs.folder / path for path in pairs.photo_names()]
    require_writable(options.out, inputs=[options.pairs, *component_files(options), *photos])
    verifier = verifier_of(options)
    resumed: list[int] = []
    with progress_bar("photos", pairs.photos) as bar, without_decoder_chatter():

        def resume(done: int) -> None:
            resumed.append(done)
            bar.resize(pairs.photos_after(done))

        write_scores(verifier, pairs, options.out, fmr=options.fmr, on_photo=bar.advance, on_resume=resume)
    done_before, counts = sum(resumed), count_outcomes(options.out)
    if options.json:
        summary = {"out": options.out, "pairs": len(pairs.pairs), "resumed": done_before, "counts": dict(counts)}
        print(json.dumps(summary))
        return 0
    if done_before:
        print(f"went on after {_counted(done_before, 'pair')} done before", file=sys.stderr)
    for kind, number in sorted(counts.items()):
        print(f"{kind:40} {number:,}")
    print(f"wrote {_counted(len(pairs.pairs), 'pair')} to {options.out}")
    return 0


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
