"""What ``xcos train`` left of a head and photos of people it has not seen → a model folder."""

from __future__ import annotations

from pathlib import Path

from xcos.comparators import LearnedHead
from xcos.embedders.onnx_model import OnnxEmbedder
from xcos.errors import InvalidModel
from xcos.extractor import Extractor
from xcos.interfaces import Detector
from xcos.models import CARD, HEAD, NETWORK, FaceModel, require_new_folder, write_model
from xcos.onnx_runtime import parse_model
from xcos.training.features import embed_people, list_photos
from xcos.training.measure import Pairs, learned_square, vector_square
from xcos.training.plug import Origin, limited, protocol
from xcos.types import FaceChoice
from xcos.verifier import VECTOR_COMPARATOR
from xcos.weights import read_card


def calibrate(
    trained: str | Path,
    people: str | Path,
    out: str | Path,
    *,
    detector: Detector,
    dataset: str,
    face: FaceChoice = "center",
) -> FaceModel:
    """The model folder written to ``out``: network, head and card of the folder ``trained``, calibrated on ``people``.

    ``people`` is a folder with a sub-folder of photos for each person; none of them may have been trained on, which
    is not checked. Thresholds then hold for faces found by ``detector``. A network that gives no vector of its own
    has no second opinion, and the model's vector is its grid, flattened. Features are kept in ``<out>.cache``.
    """
    trained, out = Path(trained), require_new_folder(out)
    card, head = read_card(trained / CARD), LearnedHead(trained / HEAD)
    content = _content(trained / NETWORK)
    own = any(output.name == "vector" for output in parse_model(content, NETWORK).graph.output)
    vector = "vector" if own else "grid"
    embedder = OnnxEmbedder(trained / NETWORK, card, grid="grid", vector=vector)
    cache = out.with_name(f"{out.name}.cache")
    features = limited(embed_people(list_photos(people), Extractor(detector, embedder, face), cache))
    origin, pairs = Origin(embedder.model, detector.name, dataset, protocol(features)), Pairs(features.labels)
    return write_model(
        out,
        network=content,
        grid="grid",
        vector=vector,
        card=card,
        head=(trained / HEAD).read_bytes(),
        calibration=origin.calibration(head.name, pairs, learned_square(features, head)),
        vector_calibration=origin.calibration(VECTOR_COMPARATOR, pairs, vector_square(features)) if own else None,
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidModel(
            f"cannot read {path}: {error.strerror}; give the folder of a training", path=str(path)
        ) from error
