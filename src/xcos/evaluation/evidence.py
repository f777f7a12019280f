"""Why a pair got its score: the two faces as they were cut, and the maps that its score is the sum of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from xcos.draw import asked_of_cells
from xcos.evaluation.embedding import EmbeddedSamples
from xcos.evaluation.operating import Plain
from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.work import find_face, read_unchanged
from xcos.extractor import Extractor
from xcos.interfaces import Comparator
from xcos.types import Comparison, Pixels, freeze

DIGITS = 6


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a page shows of one pair."""

    probe: Pixels
    """Aligned crop; of a sample of several photos, of the first that could be used."""
    reference: Pixels
    comparison: Comparison | None
    """None where the model has no grid, but one vector for the whole face."""

    def __post_init__(self) -> None:
        freeze(self, probe=self.probe, reference=self.reference)

    def to_dict(self, threshold: float) -> Plain:
        """The maps, to six digits, and how many of the cells reach what ``threshold`` asks of them; no pixels."""
        comparison = self.comparison
        if comparison is None:
            return {"similarity": None, "attention": None, "contribution": None, "text": "one vector, no grid"}
        similarity, attention = comparison.similarity, comparison.attention
        asked = asked_of_cells(comparison, threshold)
        reaching = similarity >= asked
        weight = float(attention[reaching].sum() / (attention.sum() or 1.0))
        return {
            "similarity": similarity.round(DIGITS).tolist(),
            "attention": attention.round(DIGITS).tolist(),
            "contribution": comparison.contribution.round(DIGITS).tolist(),
            "asked_of_cells": round(asked, DIGITS),
            "cells": similarity.size,
            "cells_reaching": int(reaching.sum()),
            "weight_reaching": round(weight, DIGITS),
            "text": (
                f"{int(reaching.sum())} of {similarity.size} cells reach {asked:.4f}; they hold {100 * weight:.1f} % "
                "of the weight"
            ),
        }


@dataclass(frozen=True, eq=False)
class EvidenceSource:
    """A model whose pairs can be shown: its templates, how it compares them, and how it finds faces."""

    embedded: EmbeddedSamples
    comparator: Comparator
    extractor: Extractor

    def of(
        self,
        protocol: VerificationProtocol,
        rows: Iterable[int],
        on_pair: Callable[[], None] = lambda: None,
    ) -> dict[int, Evidence]:
        """The evidence of some pairs, by their row; their photos are read and their faces found once more."""
        crops: dict[int, Pixels] = {}
        found = {}
        for row in rows:
            pair = int(protocol.probe[row]), int(protocol.reference[row])
            for sample in pair:
                if sample not in crops:
                    crops[sample] = self._crop(sample)
            found[row] = Evidence(crops[pair[0]], crops[pair[1]], self._comparison(*pair))
            on_pair()
        return found

    def _crop(self, sample: int) -> Pixels:
        samples = self.embedded.samples
        usable = np.isfinite(self.embedded.measures["embed_ms"])
        number = next(photo for photo in samples.sources[sample].photos if usable[photo])
        photo = samples.photos[number]
        pixels = read_unchanged(photo, self.embedded.sha256[number])
        return find_face(pixels, photo.landmarks, self.extractor).face.crop

    def _comparison(self, probe: int, reference: int) -> Comparison | None:
        grids = [self.embedded.grids[np.array([sample])] for sample in (probe, reference)]
        if grids[0].shape[1:3] == (1, 1):
            return None
        similarity, attention = self.comparator.maps(*grids)
        return Comparison(similarity[0], attention[0])
