"""What black-box explainers and the bench ask of a face matcher: templates of crops, scores of templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xcos.compare import Uniform, vectors_as_grids
from xcos.interfaces import Comparator, Embedder
from xcos.types import Crops, CropTemplate, Reals, Templates


class Matcher(Protocol):
    """Scores pairs of aligned crops; a pair's score does not depend on the other pairs of a call."""

    @property
    def name(self) -> str:
        """Identity for reports: model and how its templates are compared."""
        ...

    @property
    def template(self) -> CropTemplate:
        """By which its crops are cut."""
        ...

    def encode(self, crops: Crops) -> Templates:
        """Templates of ``(n, H, W, 3)`` crops; one pass through the network each."""
        ...

    def score(self, probes: Templates, references: Templates) -> Reals:
        """``(n,)`` scores of n pairs, higher is more alike; one template on a side meets all of the other."""
        ...


@dataclass(frozen=True)
class _Embedding:
    """What all matchers on an embedder have of it."""

    embedder: Embedder

    @property
    def template(self) -> CropTemplate:
        """Of the embedder's card."""
        return self.embedder.card.template

    def encode(self, crops: Crops) -> Templates:
        """As the embedder does."""
        return self.embedder.embed(crops)


@dataclass(frozen=True)
class GridMatcher(_Embedding):
    """An embedder's grids by a comparator: the score that xCos explains itself."""

    comparator: Comparator

    @property
    def name(self) -> str:
        """Model and weighting."""
        return f"{self.embedder.model} · {self.comparator.name}"

    def score(self, probes: Templates, references: Templates) -> Reals:
        """Sum of the comparison's contributions."""
        return _scores(self.comparator, probes.grids, references.grids)


@dataclass(frozen=True)
class VectorMatcher(_Embedding):
    """An embedder's own vectors by their cosine: any plain face recognition model."""

    @property
    def name(self) -> str:
        """Model and ``vector``."""
        return f"{self.embedder.model} · vector"

    def score(self, probes: Templates, references: Templates) -> Reals:
        """Cosines."""
        return _scores(Uniform(), vectors_as_grids(probes.vectors), vectors_as_grids(references.vectors))


def _scores(comparator: Comparator, probes: np.ndarray, references: np.ndarray) -> Reals:
    count = max(len(probes), len(references))
    shapes = [np.broadcast_to(side, (count, *side.shape[1:])) for side in (probes, references)]
    similarity, attention = comparator.maps(*shapes)
    scores: Reals = (similarity * attention).sum(axis=(1, 2))
    return scores
