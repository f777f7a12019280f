"""What a learned head keeps of each face, so that pairs cost little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.errors import IncompatibleTemplates, InvalidArgument
from xcos.types import Floats, freeze

Indices = NDArray[np.integer] | slice


@dataclass(frozen=True, eq=False)
class EncodedFaces:
    """n faces as one head sees them; ``faces[indices]`` picks some of them."""

    features: Floats
    """``(n, rows, cols, k)`` float32, a unit vector in each cell."""
    cues: Floats
    """``(n, d)`` float32, what the weighting reads of each face: nothing (uniform, fixed), a number per cell (norm,
    separable), or the face's part of the attention network (concat, symmetric)."""
    head: str
    """Name of the head; faces encoded by different heads are never compared."""

    def __post_init__(self) -> None:
        features, cues = self.features, self.cues
        fits = features.ndim == 4 and cues.ndim == 2 and len(features) == len(cues)
        if not fits or features.dtype != np.float32 or cues.dtype != np.float32:
            raise InvalidArgument(
                f"want float32 features (n, rows, cols, k) and cues (n, d), got {features.shape} {features.dtype} and "
                f"{cues.shape} {cues.dtype}"
            )
        freeze(self, features=features, cues=cues)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, indices: Indices) -> EncodedFaces:
        return EncodedFaces(self.features[indices], self.cues[indices], self.head)


def stack_encodings(parts: Sequence[EncodedFaces]) -> EncodedFaces:
    """All faces in one, in this order; faces of different heads are refused."""
    heads = sorted({part.head for part in parts})
    if len(heads) != 1:
        raise IncompatibleTemplates(
            f"faces encoded by one head can be stacked, got heads {heads}; encode all with the same one", heads=heads
        )
    features, cues = ([getattr(part, name) for part in parts] for name in ("features", "cues"))
    return EncodedFaces(np.concatenate(features), np.concatenate(cues), heads[0])
