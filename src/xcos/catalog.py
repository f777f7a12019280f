"""Short names → constructors, typed, and the verifier that works out of the box. For the edges only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from xcos.calibration import Calibration, read_calibration
from xcos.compare import NormWeighted, TrustWeighted, Uniform
from xcos.detectors import Mtcnn, WholeImage, YuNet
from xcos.embedders import DlibResNet, OnnxEmbedder
from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Explainer
from xcos.explainers.listed import Listed, load
from xcos.explainers.matcher import GridMatcher, Matcher, VectorMatcher
from xcos.explainers.settings import settings_of
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
EXPLAINERS: dict[str, Listed] = {
    listed.name: listed
    for listed in (
        Listed("own", "xcos.explainers.own_maps:OwnMaps", needs="cells"),
        Listed("norm", "xcos.explainers.norm_weighting:NormWeighting"),
        Listed("centered", "xcos.explainers.centered:Centered", needs="cells", threshold="needed"),
        Listed(
            "seen",
            "xcos.explainers.seen:Seen",
            needs="cells",
            threshold="needed",
            readers={"fields": "xcos.explainers.cell_fields:read_fields"},
        ),
        Listed("cell-occlusion", "xcos.explainers.cell_occlusion:CellOcclusion"),
        Listed("x-face", "xcos.explainers.sliding_occlusion:SlidingOcclusion"),
        Listed("rise", "xcos.explainers.rise:Rise"),
        Listed("corrrise", "xcos.explainers.corr_rise:CorrRise"),
        Listed("minplus", "xcos.explainers.min_plus:MinPlus"),
        Listed("dise", "xcos.explainers.dise:Dise"),
        Listed("lime", "xcos.explainers.lime:Lime"),
        Listed("transport", "xcos.explainers.transport:Transport"),
        Listed(
            "semantic",
            "xcos.explainers.semantic.effects:SemanticRegions",
            needs="cells",
            threshold="wanted",
            readers={"regions": "xcos.explainers.semantic.regions:named_regions"},
        ),
        Listed(
            "counterfactual",
            "xcos.explainers.counterfactual:CounterfactualQuestion",
            needs="cells",
            threshold="needed",
        ),
        Listed("grad-cam", "xcos.gradients.grad_cam:GradCam", needs="gradients"),
        Listed("xssab", "xcos.gradients.xssab:Xssab", needs="gradients", threshold="needed"),
        Listed("fggb", "xcos.gradients.fggb:Fggb", needs="gradients", threshold="needed"),
        Listed("ebp", "xcos.gradients.ebp:Ebp", needs="gradients"),
        Listed("contrastive-ebp", "xcos.gradients.ebp:ContrastiveEbp", needs="gradients"),
        Listed("truncated-ebp", "xcos.gradients.ebp:ContrastiveEbp", needs="gradients", settings={"truncate": 0.2}),
        Listed("subtree-ebp", "xcos.gradients.subtree_ebp:SubtreeEbp", needs="gradients"),
        Listed("random", "xcos.explainers.floors:RandomMap"),
        Listed("center", "xcos.explainers.floors:CenterGaussian"),
        Listed("edges", "xcos.explainers.floors:Edges"),
        Listed("uniform", "xcos.explainers.floors:UniformMap"),
    )
}
"""Imported when they are made: those that need torch ask for it then."""
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
    return _named(DETECTORS, name, "detector", *(f"{each}:FILE.onnx" for each in FILE_DETECTORS))(template)


def build_explainer(
    name: str,
    matcher: Matcher,
    options: Mapping[str, str] | None = None,
    *,
    on_gradient: Callable[[], object] | None = None,
) -> Explainer:
    """The explainer with this name for a matcher, its options from texts, such as ``{"masks": "500", "seed": "1"}``.

    A threshold that is not among the options is the packaged one of the matcher at a false match rate of 0.001.
    ``on_gradient`` is called for each gradient of the methods that take them. Raises :class:`InvalidArgument` where
    the matcher lacks what the method needs, and :class:`~xcos.errors.MissingPackage` where torch does.
    """
    listed = _named(EXPLAINERS, name, "method")
    explained = listed.explained(matcher, on_gradient=on_gradient)
    given = dict(options or {})
    settings = {option: load(path)(given.pop(option)) for option, path in listed.readers.items() if option in given}
    if "threshold" in given and listed.threshold:
        settings["threshold"] = float(_parsed("threshold", given.pop("threshold"), 0.0))
    elif listed.threshold:
        settings["threshold"] = _packaged_threshold(matcher, needed=listed.threshold == "needed")
    known = {*listed.readers, *(["threshold"] if listed.threshold else [])}
    return _with_options(listed.explainer(explained, **settings), given, known)


def _with_options(explainer: Explainer, given: Mapping[str, str], besides: Collection[str]) -> Explainer:
    """The explainer with options from texts, which become what the options are now: texts, numbers, true or false.

    ``besides`` are options it has that are not among those.
    """
    known = settings_of(explainer)
    unknown = sorted(set(given) - set(known))
    if unknown:
        every = [*known, *(option for option in besides if option not in known)]
        raise InvalidArgument(
            f"method {explainer.name} has no option {', '.join(unknown)}; it has {', '.join(every) or 'none'}",
            unknown=unknown,
        )
    values = {option: _parsed(option, text, known[option]) for option, text in given.items()}
    return replace(explainer, **values) if values else explainer  # type: ignore[type-var]


def _parsed(option: str, text: str, now: str | int | float | bool) -> str | int | float | bool:
    try:
        if isinstance(now, bool):
            return {"true": True, "false": False}[text.lower()]
        return type(now)(text)
    except (KeyError, ValueError) as error:
        wanted = "true or false" if isinstance(now, bool) else "a whole number" if isinstance(now, int) else "a number"
        raise InvalidArgument(f"{option} must be {wanted}, got {text!r}") from error


def _packaged_threshold(matcher: Matcher, *, needed: bool) -> float | None:
    """At a false match rate of 0.001; None where there is none and none is needed."""
    match matcher:
        case GridMatcher(embedder, comparator):
            names = embedder.model, comparator.name
        case VectorMatcher(embedder):
            names = embedder.model, VECTOR_COMPARATOR
        case _:
            names = matcher.name, "it"
    calibration = packaged_calibration(*names) if needed else find_calibration(*names)
    return calibration.threshold(1e-3).value if calibration else None


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


def _named(table: dict[str, T], name: str, what: str, *others: str) -> T:
    """What stands in the table; ``others`` are forms of a name that the error tells of too."""
    if name in table:
        return table[name]
    near = get_close_matches(name.lower().replace("_", "-"), table, n=3, cutoff=0.65)
    hint = f"did you mean {' or '.join(near)}? There are" if near else "one of"
    raise InvalidArgument(
        f"{what} {name!r} is unknown; {hint} {', '.join(sorted([*table, *others]))}", name=name, near=near
    )


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
