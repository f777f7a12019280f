"""Short names → constructors, typed, and the verifier that works out of the box. For the edges only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from xcos.calibration import Calibration, read_calibration
from xcos.compare import NormWeighted, TrustWeighted, Uniform
from xcos.detectors import Mtcnn, WholeImage, YuNet
from xcos.embedders import DlibResNet, OnnxEmbedder
from xcos.errors import InvalidArgument
from xcos.explainers.cell_occlusion import CellOcclusion
from xcos.explainers.centered import Centered
from xcos.explainers.corr_rise import CorrRise
from xcos.explainers.dise import Dise
from xcos.explainers.explanation import Explainer
from xcos.explainers.floors import CenterGaussian, Edges, RandomMap, UniformMap
from xcos.explainers.lime import Lime
from xcos.explainers.matcher import GridMatcher, Matcher
from xcos.explainers.min_plus import MinPlus
from xcos.explainers.norm_weighting import NormWeighting
from xcos.explainers.own_maps import OwnMaps
from xcos.explainers.rise import Rise
from xcos.explainers.settings import settings_of
from xcos.explainers.sliding_occlusion import SlidingOcclusion
from xcos.explainers.transport import Transport
from xcos.interfaces import Comparator, Detector, Embedder
from xcos.models import read_model
from xcos.types import CropTemplate, FaceChoice
from xcos.verifier import VECTOR_COMPARATOR, Verifier
from xcos.weights import read_card

T = TypeVar("T")
DATA = Path(__file__).parent / "data"

DETECTORS: dict[str, Callable[[CropTemplate], Detector]] = {
    "mtcnn": lambda _: Mtcnn(),
    "whole-image": WholeImage,
}
FILE_DETECTORS: dict[str, Callable[[str], Detector]] = {"yunet": YuNet}
EMBEDDERS: dict[str, Callable[[], Embedder]] = {
    "dlib": DlibResNet,
    "dlib-fourth": lambda: DlibResNet(grid="fourth"),
    "xcos-dlib-7x7": lambda: DlibResNet(grid="trusted"),
}
COMPARATORS: dict[str, Callable[[], Comparator]] = {
    "norm": NormWeighted,
    "trust": TrustWeighted,
    "uniform": Uniform,
}
EXPLAINERS: dict[str, Callable[[Matcher], Explainer]] = {
    "own": lambda matcher: OwnMaps(_with_cells(matcher, "own")),
    "norm": NormWeighting,
    "centered": lambda matcher: Centered(_with_cells(matcher, "centered"), _packaged_threshold(matcher)),
    "cell-occlusion": CellOcclusion,
    "x-face": SlidingOcclusion,
    "rise": Rise,
    "corrrise": CorrRise,
    "minplus": MinPlus,
    "dise": Dise,
    "lime": Lime,
    "transport": Transport,
    "random": RandomMap,
    "center": CenterGaussian,
    "edges": Edges,
    "uniform": UniformMap,
}
DEFAULT_EMBEDDER = "xcos-dlib-7x7"
OWN_COMPARATOR = {"xcos-dlib-7x7": "trust"}
"""Embedders whose grids were learned for one comparator; the others are compared by ``norm``."""


def default_verifier(*, face: FaceChoice = "only") -> Verifier:
    """MTCNN, the shipped 7 × 7 model on dlib's ResNet, trust weighting, and their calibration on LFW's people."""
    return build_verifier(face=face)


def build_verifier(
    *,
    detector: str = "mtcnn",
    embedder: str = "",
    comparator: str = "",
    calibration: str | Path = "",
    vector_calibration: str | Path = "",
    model: str | Path = "",
    face: FaceChoice = "only",
) -> Verifier:
    """The verifier with these names; ``yunet:FILE.onnx`` and ``onnx:FILE.onnx`` (its card ``FILE.json``
    beside it) take a user's files. Without names it is ``xcos-dlib-7x7`` and ``trust``; other embedders are compared
    by ``norm``.

    Without ``calibration`` and ``vector_calibration`` the packaged ones for the embedder and comparator are used;
    there are some only for packaged weights. A ``model`` folder (:func:`xcos.models.read_model`) brings all four.
    """
    if model:
        named = {"embedder": embedder, "comparator": comparator}
        _refuse_beside_model(named | {"calibration": str(calibration), "vector_calibration": str(vector_calibration)})
        return _folder_verifier(model, detector, face)
    network, weighting = _network_and_comparator(embedder, comparator)
    grid = read_calibration(calibration) if calibration else packaged_calibration(network.model, weighting.name)
    return Verifier(
        detector=build_detector(detector, network.card.template),
        embedder=network,
        comparator=weighting,
        calibration=grid,
        vector_calibration=(
            read_calibration(vector_calibration)
            if vector_calibration
            else find_calibration(network.model, VECTOR_COMPARATOR)
        ),
        face=face,
    )


def build_matcher(
    *, embedder: str = "", comparator: str = "", model: str | Path = "", card: str | Path = ""
) -> GridMatcher:
    """What :func:`build_verifier` compares with, for explanations and evaluations: these need no calibration.

    ``card`` is that of an ``embedder`` ``onnx:FILE.onnx``, where it does not lie beside it.
    """
    if not model:
        return GridMatcher(*_network_and_comparator(embedder, comparator, card))
    _refuse_beside_model({"embedder": embedder, "comparator": comparator})
    folder = read_model(model)
    return GridMatcher(folder.embedder, folder.comparator)


def _network_and_comparator(embedder: str, comparator: str, card: str | Path = "") -> tuple[Embedder, Comparator]:
    embedder = embedder or DEFAULT_EMBEDDER
    network = build_embedder(embedder, card)
    return network, _named(COMPARATORS, comparator or OWN_COMPARATOR.get(embedder, "norm"), "comparator")()


def _refuse_beside_model(named: Mapping[str, str]) -> None:
    given = [name for name, value in named.items() if value]
    if given:
        raise InvalidArgument(
            f"a model folder brings its own {' and '.join(given)}; leave away either the model or the other",
            given=given,
        )


def _folder_verifier(folder: str | Path, detector: str, face: FaceChoice) -> Verifier:
    model = read_model(folder)
    return Verifier(
        detector=build_detector(detector, model.card.template),
        embedder=model.embedder,
        comparator=model.comparator,
        calibration=model.calibration,
        vector_calibration=model.vector_calibration,
        face=face,
    )


def build_detector(name: str, template: CropTemplate) -> Detector:
    """The detector of this name; ``whole-image`` takes photos for crops of ``template``."""
    kind, _, file = name.partition(":")
    if file:
        return _named(FILE_DETECTORS, kind, "detector")(file)
    if kind in FILE_DETECTORS:
        raise InvalidArgument(f"detector {kind} needs its model: {kind}:FILE.onnx")
    return _named(DETECTORS, name, "detector")(template)


def build_explainer(name: str, matcher: Matcher, options: Mapping[str, str] | None = None) -> Explainer:
    """The explainer with this name for a matcher, its options from texts, such as ``{"masks": "500", "seed": "1"}``.

    The threshold of ``centered`` is the packaged one of the matcher at a false match rate of 0.001 unless it is among
    the options.
    """
    given = dict(options or {})
    if name == "centered" and "threshold" in given:
        threshold = _parsed("threshold", given.pop("threshold"), 0.0)
        explainer: Explainer = Centered(_with_cells(matcher, name), float(threshold))
    else:
        explainer = _named(EXPLAINERS, name, "method")(matcher)
    return _with_options(explainer, given)


def _with_options(explainer: Explainer, given: Mapping[str, str]) -> Explainer:
    """The explainer with options from texts, which become what the options are now: texts, numbers, true or false."""
    if not given:
        return explainer
    known = settings_of(explainer)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidArgument(
            f"method {explainer.name} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}",
            unknown=unknown,
        )
    values = {option: _parsed(option, text, known[option]) for option, text in given.items()}
    return replace(explainer, **values)  # type: ignore[type-var]


def _parsed(option: str, text: str, now: str | int | float | bool) -> str | int | float | bool:
    try:
        if isinstance(now, bool):
            return {"true": True, "false": False}[text.lower()]
        return type(now)(text)
    except (KeyError, ValueError) as error:
        wanted = "true or false" if isinstance(now, bool) else "a whole number" if isinstance(now, int) else "a number"
        raise InvalidArgument(f"{option} must be {wanted}, got {text!r}") from error


def _with_cells(matcher: Matcher, method: str) -> GridMatcher:
    if isinstance(matcher, GridMatcher):
        return matcher
    raise InvalidArgument(
        f"method {method} shows the cells of a grid and its comparator, and {matcher.name} has none; "
        "use a method that needs only scores, such as corrrise"
    )


def _packaged_threshold(matcher: Matcher) -> float:
    grid = _with_cells(matcher, "centered")
    return packaged_calibration(grid.embedder.model, grid.comparator.name).threshold(1e-3).value


def build_embedder(name: str, card: str | Path = "") -> Embedder:
    """The embedder of this name; ``onnx:FILE.onnx`` is a user's, with its ``card``, by default ``FILE.json``."""
    kind, _, file = name.partition(":")
    if kind == "onnx":
        if not file:
            raise InvalidArgument(
                "an ONNX embedder needs its model, with the card beside it: onnx:FILE.onnx, FILE.json"
            )
        return OnnxEmbedder(file, read_card(card or Path(file).with_suffix(".json")))
    return _named(EMBEDDERS, name, "embedder")()


def _named(table: dict[str, T], name: str, what: str) -> T:
    if name not in table:
        raise InvalidArgument(f"{what} {name!r} is unknown; one of {', '.join(sorted(table))}", name=name)
    return table[name]


def packaged_calibration(model: str, comparator: str) -> Calibration:
    """The calibration card in the package for this model and comparator."""
    card = find_calibration(model, comparator)
    if card is not None:
        return card
    raise InvalidArgument(
        f"there is no packaged calibration for {model} with {comparator}; a threshold cannot be carried over "
        "from another model: fit one on your own pairs and pass it",
        model=model,
        comparator=comparator,
    )


def find_calibration(model: str, comparator: str) -> Calibration | None:
    """The packaged card for this model and comparator; None if there is none."""
    path = DATA / "calibrations" / card_path(model, comparator)
    return read_calibration(path) if path.is_file() else None


def card_path(model: str, comparator: str) -> str:
    """File name of the packaged calibration card of a model (``name/grid/hash``) and comparator."""
    return f"{model.replace('/', '-')}-{comparator}.json"
