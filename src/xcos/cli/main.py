"""Commands, options, exit codes and errors; each command's work is in the file of its name."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from xcos.errors import InputRefused, InvalidArgument, MissingPackage, UsageError, XcosError
from xcos.version import __version__

if TYPE_CHECKING:
    from xcos.types import FaceChoice  # NumPy is behind it, and help must not wait for that

USAGE, REFUSED, INTERNAL = 2, 4, 5
STOPPED = "stopped; nothing is half written, and a list of pairs goes on where it was with the same command"
EXIT_CODES = """exit codes:
  0 match (or done)   1 non_match   3 inconclusive
  2 wrong usage       4 input refused   5 internal error or broken installation
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; prints errors as one message on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the terminal cannot show, such as a file name that is no text, is printed as an escape.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = _parser().parse_args(words)
        code: int = options.run(options)
        if sys.stdout is not None:  # None where it was closed by the caller
            sys.stdout.flush()
        return code
    except XcosError as error:
        return _fail(error.to_dict(), error.message, _exit_code(error), as_json)
    except KeyboardInterrupt as stop:
        message = str(stop) or STOPPED
        return _fail(_document("interrupted", message), message, 130, as_json)
    except ImportError as error:
        missing = MissingPackage(f"{error}; install what is missing: pip install {error.name or 'xcos'}")
        return _fail(missing.to_dict(), missing.message, INTERNAL, as_json)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output is gone: there is nobody left to tell
        return 141
    except OSError as error:
        message = f"cannot write the output: {error.strerror or error}"
        return _fail(_document("output_failed", message), message, INTERNAL, as_json)
    except Exception as error:
        if "--debug" in words:
            raise
        message = (
            f"internal error ({type(error).__name__}: {error}); this is a fault of the program: run again with "
            "--debug and report what it prints"
        )
        return _fail(_document("internal_error", message), message, INTERNAL, as_json)


def _exit_code(error: XcosError) -> int:
    if isinstance(error, UsageError):
        return USAGE
    return REFUSED if isinstance(error, InputRefused) else INTERNAL


def _document(code: str, message: str) -> dict[str, object]:
    return {"error": {"code": code, "message": message, "details": {}}}


def _fail(document: dict[str, object], message: str, code: int, as_json: bool) -> int:
    text = json.dumps(document) if as_json else f"xcos: {message}"
    print(text.encode("utf-8", "backslashreplace").decode(), file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage like every other error."""

    def error(self, message: str) -> NoReturn:
        raise InvalidArgument(f"{message}; see '{self.prog} --help'")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="xcos",
        description="Face verification that shows its evidence.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"xcos {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_verify(commands)
    _add_explain(commands)
    _add_bench(commands)
    _add_plug(commands)
    _add_evaluate(commands)
    _add_lint_model(commands)
    _add_calibrate(commands)
    _add_gallery(commands)
    _add_enrol(commands)
    _add_identify(commands)
    _add_demo(commands)
    _add_train(commands)
    _add_convert_weights(commands)
    _add_doctor(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[_Parser], name: str, summary: str, more: str = ""
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {more}".strip(),
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print JSON, errors too")
    command.add_argument("--debug", action="store_true", help="show where an internal error came from")
    return command


def _add_verify(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = _command(commands, "verify", "compare two photos, or a list of pairs, and show the evidence")
    command.add_argument("probe", nargs="?", help="photo (JPEG, PNG, WebP, BMP, TIFF)")
    command.add_argument("reference", nargs="?", help="photo to compare it with; order does not matter")
    command.add_argument("--fmr", type=float, default=1e-3, help="false match rate of the threshold (default 0.001)")
    _add_face_choices(command)
    command.add_argument("--picture", metavar="FILE.png", help="write the evidence as a picture")
    command.add_argument("--report", metavar="FILE.html", help="write the evidence as one self-contained page")
    command.add_argument(
        "--json-style", choices=("xcos", "deepface"), help="keys of the JSON (with --json; default xcos)"
    )
    command.add_argument("--pairs", metavar="LIST.csv", help="columns probe,reference[,mated]; paths from its folder")
    command.add_argument("--out", metavar="SCORES.csv", help="where the results of --pairs go")
    models = _add_components(command)
    models.add_argument("--calibration", default="", metavar="CARD.json", help="of your own embedder and comparator")
    models.add_argument("--vector-calibration", default="", metavar="CARD.json", help="of your own embedder's vector")

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import verify

        return verify.run(options)

    command.set_defaults(run=run)


def _add_face_choices(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--face",
        type=_face,
        default="only",
        help="which face of a photo: only (default; several are an error), largest, center, or an index from 0",
    )
    command.add_argument("--probe-face", type=_face, metavar="FACE", help="the same for the probe alone")
    command.add_argument("--reference-face", type=_face, metavar="FACE", help="the same for the reference alone")


def _add_components(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    models = command.add_argument_group("components")
    models.add_argument("--detector", default="mtcnn", help="mtcnn (default), whole-image, yunet:FILE.onnx")
    models.add_argument(
        "--embedder",
        default="",
        help="xcos-dlib-7x7 (default), dlib, dlib-fourth, onnx:FILE.onnx with its card FILE.json",
    )
    models.add_argument(
        "--comparator", default="", help="trust (default of xcos-dlib-7x7), norm (of the others), uniform"
    )
    models.add_argument("--model", default="", metavar="FOLDER", help="all but the detector, as 'xcos plug' wrote them")
    return models


def _add_explain(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = _command(
        commands,
        "explain",
        "show where two photos agree, by one of many methods",
        "Methods, what they answer and when they are wrong: docs/explainers.",
    )
    command.add_argument("probe", help="photo (JPEG, PNG, WebP, BMP, TIFF)")
    command.add_argument("reference", help="photo to compare it with")
    command.add_argument(
        "--method",
        default="own",
        metavar="NAME",
        help="own (default), corrrise, semantic, counterfactual, grad-cam and more; an unknown name lists all",
    )
    command.add_argument("--seed", type=_seed, metavar="N", help="of methods with chance (default 0)")
    command.add_argument(
        "--budget", type=int, metavar="MASKS", help="masked copies of each photo, for methods that draw them by chance"
    )
    command.add_argument(
        "--granularity", choices=("coarse", "medium", "fine"), help="of the parts of 'semantic' (default medium)"
    )
    command.add_argument("--regions", metavar="FILE.toml", help="your own parts for 'semantic' (docs)")
    command.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another option of the method; may be repeated",
    )
    more = "false match rate of the threshold, for methods that explain one (default 0.001)"
    command.add_argument("--fmr", type=float, help=more)
    _add_face_choices(command)
    command.add_argument("--picture", metavar="FILE.png", help="write both photos with their maps as a picture")
    models = _add_components(command)
    models.add_argument("--calibration", default="", metavar="CARD.json", help="whose threshold is explained")

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import explain

        return explain.run(options)

    command.set_defaults(run=run, vector_calibration="")


def _face(value: str) -> FaceChoice:
    if value in ("only", "largest", "center"):
        return value  # type: ignore[return-value]
    if value.isdecimal():
        return int(value)
    raise argparse.ArgumentTypeError(f"must be only, largest, center or an index from 0, got {value!r}")


def _seed(value: str) -> int:
    if value.isdecimal():
        return int(value)
    raise argparse.ArgumentTypeError(f"must be a whole number from 0, got {value!r}")


def _add_bench(commands: argparse._SubParsersAction[_Parser]) -> None:
    more = "Results are kept in OUT as they come: a bench that was stopped goes on with the same command."
    command = _command(commands, "bench", "compare methods on the same matcher and pairs", more)
    command.add_argument("what", choices=("explainers",), help="what is compared")
    command.add_argument(
        "--pairs",
        required=True,
        metavar="LIST",
        help="columns probe,reference,mated; or NAME:PATH, a protocol (docs/protocols.md); lfw: its development test",
    )
    command.add_argument("--methods", required=True, metavar="A,B,…", help="names of explainers (docs/explainers)")
    command.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="METHOD.NAME=VALUE",
        help="an option of a method, such as rise.masks=200; may be repeated",
    )
    command.add_argument("--out", required=True, metavar="FOLDER", help="for bench.html, .md, .json and kept results")
    command.add_argument("--budget", type=int, metavar="N", help="leave out methods that need more passes a pair")
    command.add_argument("--pairs-limit", type=int, default=0, metavar="N", help="of each kind half, evenly spread")
    command.add_argument(
        "--extra-limit",
        type=int,
        default=0,
        metavar="N",
        help="of pairs that methods of more than 16 passes explain again, changed (default all)",
    )
    command.add_argument("--measures", default="", metavar="A,B,…", help="only these measures (default all)")
    command.add_argument("--twins", default="", metavar="FOLDER", help="also on twins with one part changed (docs)")
    command.add_argument(
        "--randomised",
        type=int,
        default=0,
        metavar="N",
        help="on N pairs also with the network's weights shuffled, layer by layer",
    )
    command.add_argument("--detector", default="mtcnn", help="mtcnn (default), whole-image, yunet:FILE.onnx")
    command.add_argument("--face", type=_face, default="center", help="which face of a photo (default center)")
    command.add_argument("--model", default="", metavar="FOLDER", help="as 'xcos plug' wrote it")

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import bench

        return bench.run(options)

    command.set_defaults(run=run)


def _add_plug(commands: argparse._SubParsersAction[_Parser]) -> None:
    more = (
        "The network stays as it is; the result is a model folder for 'xcos verify --model'. "
        "A head that 'xcos train' made is only calibrated."
    )
    command = _command(commands, "plug", "fit a head to your own network and calibrate it on your photos", more)
    network = "face recognition network in ONNX, or the folder of a finished 'xcos train', which brings its own card"
    command.add_argument("network", metavar="MODEL", help=network)
    command.add_argument("--card", default="", metavar="CARD", help="what it is: card.toml or .json (docs/plug.md)")
    command.add_argument("--data", required=True, metavar="FOLDER", help="one sub-folder of photos for each person")
    command.add_argument("--out", required=True, metavar="FOLDER", help="new folder for the model")
    command.add_argument(
        "--weighting",
        choices=("separable", "symmetric", "norm", "uniform"),
        help="how cells are weighed (default separable)",
    )
    command.add_argument("--channels", type=int, help="features per cell that are kept (default 32)")
    command.add_argument("--detector", default="mtcnn", help="mtcnn (default), whole-image, yunet:FILE.onnx")
    command.add_argument("--face", type=_face, default="center", help="which face of a photo (default center)")
    command.add_argument("--grid", default="", metavar="TENSOR", help="name of the feature map, if not the last one")
    command.add_argument("--vector", default="", metavar="TENSOR", help="name of the embedding, if there are several")
    command.add_argument("--dataset", default="", help="name of the photos for the cards (default: of their folder)")
    command.add_argument("--cache", default="", metavar="FOLDER", help="where features are kept (default: OUT.cache)")
    command.add_argument("--steps", type=int, help="steps of fitting (default 1500)")
    command.add_argument("--seed", type=_seed, default=0, help="of the fitting and the intervals (default 0)")
    command.add_argument(
        "--fmr", type=float, nargs="+", default=[1e-2, 1e-3], help="false match rates to report (default 0.01 0.001)"
    )

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import plug

        return plug.run(options)

    command.set_defaults(run=run)


def _add_lint_model(commands: argparse._SubParsersAction[_Parser]) -> None:
    more = "Each other crop, channel order, range and mirror averaging is measured on a few pairs (docs/lint-model.md)."
    command = _command(commands, "lint-model", "check what a network's card says of its preprocessing", more)
    command.add_argument("network", metavar="MODEL.onnx", help="face recognition network")
    command.add_argument("protocol", metavar="PROTOCOL", help="what the pairs are: lfw-view1, csv and others")
    command.add_argument("data", metavar="DATA", help="folder or file of the protocol")
    command.add_argument("--card", required=True, metavar="CARD", help="what it is: card.toml or .json (docs/plug.md)")
    command.add_argument("--pairs", type=int, default=600, help="to choose on, half of them mated (default 600)")
    command.add_argument("--seed", type=_seed, default=0, help="of the choice of pairs (default 0)")
    command.add_argument(
        "--only",
        nargs="+",
        choices=("crop", "color", "range", "mirror"),
        metavar="ASPECT",
        help="what to try: crop, color, range, mirror (default: all)",
    )
    command.add_argument("--detector", default="mtcnn", help="mtcnn (default), whole-image, yunet:FILE.onnx")
    command.add_argument("--face", type=_face, default="center", help="which face of a photo (default center)")
    command.add_argument("--vector", default="", metavar="TENSOR", help="name of the embedding, if there are several")

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import lint_model

        return lint_model.run(options)

    command.set_defaults(run=run)


def _add_evaluate(commands: argparse._SubParsersAction[_Parser]) -> None:
    more = "Protocols, the files they need and what is checked: docs/protocols.md; what comes out: docs/evaluate.md."
    command = _command(commands, "evaluate", "error rates with honest intervals, on a protocol", more)
    protocols = "lfw, calfw, cplfw, cfp-fp, agedb-30, ijbc, tinyface, …; csv and gallery for your own lists"
    command.add_argument("protocol", help=protocols)
    command.add_argument("data", help="folder or file of the set, as its owner gives it out")
    command.add_argument("--out", required=True, metavar="FOLDER", help="where report and scores go")
    models = (
        "a packaged embedder (default xcos-dlib-7x7), FILE.onnx with its card, a model folder, or your own code, "
        "package.module:Name"
    )
    command.add_argument("--model", default="", metavar="MODEL", help=models)
    cards = "of FILE.onnx: .toml or .json (default FILE.json)"
    command.add_argument("--card", default="", metavar="CARD", help=cards)
    tables = "in the place of a model: columns probe,reference,score[,error], a row for each pair"
    command.add_argument("--scores", default="", metavar="SCORES.csv", help=tables)
    command.add_argument(
        "--against", default="", metavar="MODEL", help="a second model on the same pairs, or scores:SCORES.csv"
    )
    command.add_argument("--against-card", default="", metavar="CARD", help=cards)
    command.add_argument("--detector", default="", help="mtcnn (default), whole-image, yunet:FILE.onnx")
    command.add_argument("--face", type=_face, help="which of several faces (default center)")
    command.add_argument("--mirror", action="store_true", help="average each template with its mirror image's")
    command.add_argument(
        "--cache", default="", metavar="FOLDER", help="for features (default: FOLDER.cache beside --out)"
    )
    command.add_argument("--seed", type=_seed, default=0, help="of the bootstrap over people (default 0)")
    command.add_argument(
        "--no-pictures", action="store_false", dest="pictures", help="no faces on the page, no evidence of errors"
    )
    command.add_argument("--as-published", action="store_true", help="let repeated pairs stand")

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import evaluate

        return evaluate.run(options)

    command.set_defaults(run=run)


def _add_calibrate(commands: argparse._SubParsersAction[_Parser]) -> None:
    more = "The card is fitted on some people and its thresholds are measured on the others (docs/calibration.md)."
    command = _command(commands, "calibrate", "make a calibration card from your own scores", more)
    command.add_argument(
        "scores",
        metavar="SCORES.csv",
        help="columns probe,reference,mated,score[,error][,probe_subject,reference_subject]; higher is more alike",
    )
    command.add_argument("--out", required=True, metavar="CARD.json", help="where the card goes")
    command.add_argument("--model", required=True, metavar="NAME", help="identity of the model the scores are of")
    command.add_argument("--comparator", required=True, metavar="NAME", help="how it compares; vector: by its cosine")
    command.add_argument("--dataset", required=True, metavar="TEXT", help="whose photos they are, and from when")
    command.add_argument("--detector", required=True, metavar="NAME", help="what found the faces")
    command.add_argument(
        "--fmr",
        type=float,
        nargs="+",
        default=[1e-3],
        metavar="RATE",
        help="false match rates that the card must support, and that are tested (default 0.001)",
    )
    command.add_argument(
        "--test-share", type=float, default=0.3, metavar="SHARE", help="of the people, for the test alone (default 0.3)"
    )
    command.add_argument("--date", default="", metavar="DATE", help="of the measurement (default: today)")

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import calibrate

        return calibrate.run(options)

    command.set_defaults(run=run)


def _add_gallery(commands: argparse._SubParsersAction[_Parser]) -> None:
    more = "A gallery is a file of people's templates for one stated purpose; photos are not kept (docs/gallery.md)."
    summary = "make and look after a gallery of people to search"
    group = commands.add_parser("gallery", help=summary, description=f"{summary.capitalize()}. {more}")
    acts: argparse._SubParsersAction[_Parser] = group.add_subparsers(
        title="acts", required=True, metavar="ACT", dest="act"
    )

    def act(name: str, summary: str) -> argparse.ArgumentParser:
        command = _command(acts, name, summary)
        command.add_argument("gallery", metavar="GALLERY.db", help="the gallery's file")
        command.add_argument("--operator", default="", metavar="NAME", help="for the audit log (default: the user)")
        command.set_defaults(run=run)
        return command

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import gallery

        return gallery.run(options)

    create = act("create", "make an empty gallery")
    create.add_argument("--purpose", required=True, metavar="TEXT", help="why people are searched; searches repeat it")
    create.add_argument("--retention-days", required=True, type=float, metavar="DAYS", help="when subjects expire")
    create.add_argument("--name", default="", help="default: of the file")
    create.add_argument("--codec", default="int8", choices=("int8", "half"), help="of grids (docs/gallery.md)")
    create.add_argument("--embedder", default="", help="whose templates (default xcos-dlib-7x7)")
    create.add_argument("--model", default="", metavar="FOLDER", help="as 'xcos plug' wrote it")
    act("info", "say what a gallery is and how full")
    listed = act("list", "list the people in it")
    listed.add_argument("--where", action="append", default=[], metavar="TAG=VALUE", help="only those; may be repeated")
    patient = "seconds to wait for other readers (default 5)"
    erase = act("erase", "forget people, with a receipt")
    erase.add_argument("subjects", nargs="+", metavar="SUBJECT", help="their ids")
    erase.add_argument("--patience", type=float, default=5.0, metavar="SECONDS", help=patient)
    expire = act("expire", "erase everybody whose time is over, and finish erasures that are pending")
    expire.add_argument("--patience", type=float, default=5.0, metavar="SECONDS", help=patient)
    act("export", "write all templates to one file").add_argument("file", metavar="FILE.zip", help="it appears whole")
    act("import", "take all templates of such a file, or none").add_argument("file", metavar="FILE.zip", help="to read")
    act("check", "look for damage, and at the audit log")


def _add_enrol(commands: argparse._SubParsersAction[_Parser]) -> None:
    more = "Photos that are there already are left out: a run that was stopped goes on with the same command."
    command = _command(commands, "enrol", "put people's photos into a gallery as templates", more)
    command.add_argument("folder", metavar="FOLDER", help="one sub-folder of photos for each person")
    command.add_argument("--gallery", required=True, metavar="GALLERY.db", help="made by 'xcos gallery create'")
    command.add_argument("--face", type=_face, default="only", help="which face of a photo (default only)")
    command.add_argument("--fmr", type=float, default=1e-3, help="of the threshold for doubts about labels")
    command.add_argument("--operator", default="", metavar="NAME", help="for the audit log (default: the user)")
    _add_components(command)

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import enrol

        return enrol.run(options)

    command.set_defaults(run=run)


def _add_identify(commands: argparse._SubParsersAction[_Parser]) -> None:
    more = "Every search is written to GALLERY.db.audit.jsonl. Exit code 3: the person is unknown (docs/gallery.md)."
    command = _command(commands, "identify", "find who in a gallery is most like a photo", more)
    command.add_argument("photos", nargs="+", metavar="PHOTO", help="one photo, or several of one person")
    command.add_argument("--gallery", required=True, metavar="GALLERY.db", help="made by 'xcos gallery create'")
    command.add_argument("--purpose", required=True, metavar="TEXT", help="why; it must be the gallery's own")
    command.add_argument("--top", type=int, default=10, metavar="N", help="candidates (default 10)")
    command.add_argument(
        "--fpir", type=float, default=0.01, help="false positive identification rate of the threshold (default 0.01)"
    )
    command.add_argument(
        "--where", action="append", default=[], metavar="TAG=VALUE", help="only those; may be repeated"
    )
    command.add_argument("--report", metavar="FILE.html", help="write the evidence as one self-contained page")
    command.add_argument("--face", type=_face, default="only", help="which face of a photo (default only)")
    command.add_argument("--operator", default="", metavar="NAME", help="for the audit log (default: the user)")
    command.add_argument(
        "--exact-up-to", type=int, default=100_000, metavar="N", help="templates that are all ranked (default 100,000)"
    )
    command.add_argument(
        "--shortlist", type=int, default=1000, metavar="N", help="templates compared above that (default 1,000)"
    )
    models = _add_components(command)
    models.add_argument("--calibration", default="", metavar="CARD.json", help="of your own embedder and comparator")

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import identify

        return identify.run(options)

    command.set_defaults(run=run, vector_calibration="")


def _add_demo(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = _command(commands, "demo", "compare rendered example faces and write their reports")
    command.add_argument("--out", default="xcos-demo", metavar="FOLDER", help="where reports go (default xcos-demo)")

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import demo

        return demo.run(options)

    command.set_defaults(run=run)


def _add_train(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = _command(
        commands,
        "train",
        "train a network or an explaining head from a configuration",
        "On several GPUs: torchrun --nproc-per-node COUNT -m xcos train CONFIG.toml",
    )
    command.add_argument("config", metavar="CONFIG.toml", help="what to train; the folder recipes has examples")
    command.add_argument("--out", metavar="FOLDER", help="checkpoints, log and model (default: the name of CONFIG)")
    command.add_argument("--resume", action="store_true", help="go on from the newest whole checkpoint in the folder")
    command.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is any")

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import train

        return train.run(options)

    command.set_defaults(run=run)


def _add_convert_weights(commands: argparse._SubParsersAction[_Parser]) -> None:
    more = (
        "Only tensors are read; nothing in the file is run. IR and IR-SE by the names of InsightFace_Pytorch and "
        "face.evoLVe, and the xCos authors' models, whose head is written too."
    )
    command = _command(commands, "convert-weights", "make published .pth weights a file for 'xcos train'", more)
    command.add_argument("weights", metavar="WEIGHTS.pth", help="as torch.save wrote it")
    command.add_argument("out", metavar="OUT.safetensors", help="file to write")
    command.add_argument("--teacher", action="store_true", help="of an xCos model the teacher in place of the network")

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import convert_weights

        return convert_weights.run(options)

    command.set_defaults(run=run)


def _add_doctor(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = _command(commands, "doctor", "check this installation: versions, weights, what really runs, a self-test")

    def run(options: argparse.Namespace) -> int:
        from xcos.cli import doctor

        return doctor.run(options)

    command.set_defaults(run=run)
