"""The folder that ``xcos train`` left, as something to be plugged into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xcos.comparators import LearnedHead
from xcos.errors import InvalidArgument, InvalidModel
from xcos.models import CARD, HEAD, NETWORK, TRAINING_CONFIG, is_model
from xcos.onnx_runtime import parse_model
from xcos.training.expose import Exposed, expose
from xcos.weights import read_card


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, and the head that was trained on it."""

    exposed: Exposed
    head: bytes | None
    """``head.onnx``; None where the network was trained alone."""


def read_trained(folder: str | Path) -> Trained:
    """What a finished training gave; :class:`InvalidModel` says what another folder is."""
    folder = Path(folder)
    _require_finished(folder)
    network = parse_model((folder / NETWORK).read_bytes(), NETWORK)
    names = {output.name for output in network.graph.output}
    vector = "vector" if "vector" in names else "grid"
    exposed = expose(folder / NETWORK, read_card(folder / CARD), grid="grid", vector=vector)
    path = folder / HEAD
    if not path.is_file():
        return Trained(exposed, None)
    try:
        LearnedHead(path).encode(np.ones((1, *exposed.grid_shape), np.float32))
    except InvalidArgument as error:
        raise InvalidModel(f"{HEAD} of {folder} does not fit its {NETWORK}: {error.message}") from error
    return Trained(exposed, path.read_bytes())


def _require_finished(folder: Path) -> None:
    if is_model(folder):
        raise InvalidModel(
            f"{folder} is a model folder already, calibrated: use it with 'xcos verify --model {folder}'",
            path=str(folder),
        )
    if not (folder / TRAINING_CONFIG).is_file():
        raise InvalidModel(
            f"{folder} is not the folder of a training; give one that 'xcos train' made, or MODEL.onnx with --card",
            path=str(folder),
        )
    if not ((folder / NETWORK).is_file() and (folder / CARD).is_file()):
        raise InvalidModel(
            f"the training in {folder} is not finished: it has no {NETWORK} with {CARD}; go on with "
            "'xcos train CONFIG.toml --resume'",
            path=str(folder),
        )
