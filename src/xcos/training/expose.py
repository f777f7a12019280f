"""A user's network as it goes into a model folder: its grid is an output, and its card speaks of that file."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xcos.embedders.onnx_model import OnnxEmbedder, OpenNetwork, open_network
from xcos.errors import InputRefused, InvalidModel
from xcos.feature_store import cache_folder
from xcos.files import write_atomically
from xcos.weights import WeightCard


@dataclass(frozen=True, eq=False)
class Exposed:
    """A network that can be plugged into: it was tried, and gives a grid and a vector."""

    network: OpenNetwork
    card: WeightCard
    original: str
    """SHA-256 of the user's file."""
    grid_shape: tuple[int, int, int]
    """(rows, cols, channels)."""

    @property
    def own_vector(self) -> bool:
        """Whether the network gives a vector beside its grid; else its grid, flattened, stands for one."""
        return self.network.vector != self.network.grid

    def embedder(self, folder: Path) -> OnnxEmbedder:
        """The network, kept in ``folder`` by its hash; written anew where what lies there is not it."""
        path = cache_folder(folder) / f"{self.card.sha256[:16]}.onnx"
        if not (path.is_file() and path.read_bytes() == self.network.content):
            write_atomically(path, self.network.content)
        return OnnxEmbedder(path, self.card, grid=self.network.grid, vector=self.network.vector)


def expose(path: str | Path, card: WeightCard, *, grid: str = "", vector: str = "") -> Exposed:
    """The network ready to be plugged into; :class:`InvalidModel` where it has no grid, or fails on a crop of noise."""
    network = open_network(path, card, grid=grid, vector=vector)
    name = Path(path).name
    if not network.grid:
        raise InvalidModel(
            f"{name} has no tensor (n, channels, rows, cols) with more than one cell before its features lose their "
            "place, so there is nothing to plug a head into; export the network with its last feature map, or name a "
            "tensor with --grid"
        )
    shape = _tried(OnnxEmbedder(path, card, grid=network.grid, vector=network.vector), network, name)
    sha256 = hashlib.sha256(network.content).hexdigest()
    return Exposed(network, dataclasses.replace(card, sha256=sha256), card.sha256, shape)


def _tried(embedder: OnnxEmbedder, network: OpenNetwork, name: str) -> tuple[int, int, int]:
    """Shape of the grid of a crop of noise: what names and shapes in the file say may not be what comes out."""
    size = (1, embedder.card.template.height, embedder.card.template.width, 3)
    try:
        made = embedder.embed(np.random.default_rng(0).integers(0, 256, size, np.uint8))
    except InputRefused as error:
        raise InvalidModel(f"{name} gives nothing that can be compared for a crop of noise: {error.message}") from error
    _, rows, cols, channels = made.grids.shape
    if rows * cols < 2:
        raise InvalidModel(
            f"the tensor '{network.grid}' of {name} has one cell, so there is nothing to plug a head into; name "
            "another one with --grid"
        )
    if made.vectors.shape[1] < 2:
        raise InvalidModel(
            f"the tensor '{network.vector}' of {name} has one number for a face, which is no embedding; name another "
            "one with --vector"
        )
    return rows, cols, channels
