"""Mirror averaging: each face seen as it is and in the mirror, and the two put together where they belong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xcos.interfaces import Embedder
from xcos.types import Crops, Grids, Templates
from xcos.weights import WeightCard


@dataclass(frozen=True, eq=False)
class Mirrored:
    """An embedder whose templates are those of a crop and of its mirror image together.

    Vectors are added, grids averaged, both before any normalisation; the mirror image's grid is mirrored back
    left-right first, because the viewer's left eye stands in its right columns. Costs two runs of the network.
    Scores need a calibration of their own, so ``model`` is another one's.
    """

    embedder: Embedder

    @property
    def card(self) -> WeightCard:
        """As of the embedder."""
        return self.embedder.card

    @property
    def model(self) -> str:
        """That of the embedder, and ``+mirror``."""
        return f"{self.embedder.model}+mirror"

    def embed(self, crops: Crops) -> Templates:
        """Templates of ``(n, H, W, 3)`` crops; of mirrored crops, the same ones mirrored, to the last bit."""
        seen, mirrored = self.embedder.embed(crops), self.embedder.embed(np.ascontiguousarray(crops[:, :, ::-1]))
        grids = mirror_average(seen.grids, mirrored.grids)
        return Templates(grids, seen.vectors + mirrored.vectors, self.model)


def mirror_average(grids: Grids, grids_of_mirror: Grids) -> Grids:
    """``(n, rows, cols, channels)``: means of photos' grids and their mirror images', the latter mirrored back."""
    average: Grids = (grids + grids_of_mirror[:, :, ::-1]) * np.float32(0.5)
    return average
