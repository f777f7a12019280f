"""Short names → constructors, typed, and the verifier that works out of the box. For the edges only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from xcos.calibration import Calibration, read_calibration
from xcos.compare import NormWeighted, TrustWeighted, Uniform
from xcos.detectors import Mtcnn, WholeImage, YuNet
from xcos.embedders import DlibResNet, OnnxEmbedder
from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Explainer
from xcos.explainers.matcher import Matcher
from xcos.explainers.stand_ins import CenterGaussian, OwnMaps, UniformMap
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
    "own": OwnMaps,
    "center": CenterGaussian,
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
        named |= {"calibration": str(calibration), "vector_calibration": str(vector_calibration)}
        return _folder_verifier(model, detector, face, given=[name for name, value in named.items() if value])
    embedder = embedder or DEFAULT_EMBEDDER
    network = _embedder(embedder)
    weighting = _named(COMPARATORS, comparator or OWN_COMPARATOR.get(embedder, "norm"), "comparator")()
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


def _folder_verifier(folder: str | Path, detector: str, face: FaceChoice, *, given: list[str]) -> Verifier:
    if given:
        raise InvalidArgument(
            f"a model folder brings its own {' and '.join(given)}; leave away either the model or the other",
            given=given,
        )
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


def build_explainer(name: str, matcher: Matcher) -> Explainer:
    """The explainer with this name for a matcher."""
    return _named(EXPLAINERS, name, "method")(matcher)


def _embedder(name: str) -> Embedder:
    kind, _, file = name.partition(":")
    if kind == "onnx":
        if not file:
            raise InvalidArgument(
                "an ONNX embedder needs its model, with the card beside it: onnx:FILE.onnx, FILE.json"
            )
        return OnnxEmbedder(file, read_card(Path(file).with_suffix(".json")))
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
