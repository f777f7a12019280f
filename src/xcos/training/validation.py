"""How often a network being trained puts a non-mated pair above a mated one, on people it does not train on."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xcos.errors import InvalidConfig
from xcos.training.data.batches import Normalization
from xcos.training.data.identities import Identities
from xcos.training.data.pairs import DrawnPairs, draw_pairs
from xcos.types import Reals

BLOCK = 64
PER_PERSON = 8
"""Photos of a person at most, so that a few with thousands do not decide."""
DRAWS = 8
"""Pairs of each photo."""


class Scorer(Protocol):
    """A model that encodes photos once and scores pairs of them."""

    def encode(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """What is needed of each of n photos; ``(n, …)`` each."""
        ...

    def score(self, probes: tuple[Tensor, ...], references: tuple[Tensor, ...]) -> Tensor:
        """``(n,)`` scores of n encoded pairs."""
        ...


def split(identities: Identities, people: int) -> tuple[Identities, Identities]:
    """Identities without and with only ``people`` people, who are spread evenly over the list."""
    total = len(identities.names)
    if total - people < 2:
        raise InvalidConfig(
            f"data.held_out is {people} of {total} people; leave two or more to train on", key="held_out"
        )
    out = np.zeros(total, bool)
    out[np.linspace(0, total - 1, people).round().astype(int)] = True
    kept, held = _only(identities, ~out), _only(identities, out)
    if np.bincount(held.labels).max() < 2:
        raise InvalidConfig(
            f"none of the {people} people held out has two photos, so no mated pair can be measured; raise data.least "
            "to 2 or data.held_out",
            key="held_out",
        )
    return kept, held


def validation_pairs(identities: Identities) -> tuple[NDArray[np.int64], DrawnPairs]:
    """Photos to encode, and pairs of places among them: the same at every call."""
    photos = np.concatenate(
        [np.flatnonzero(identities.labels == at)[:PER_PERSON] for at in range(len(identities.names))]
    )
    generator = np.random.default_rng(0)
    drawn = [draw_pairs(identities.labels[photos], generator) for _ in range(DRAWS)]
    return photos, DrawnPairs(*(np.concatenate(parts) for parts in zip(*drawn, strict=True)))


@torch.no_grad()
def held_out_error(model: Scorer, identities: Identities, normalization: Normalization, device: torch.device) -> float:
    """0…1, share of (mated, non-mated) couples of pairs in the wrong order: 1 − area under the ROC; 0.5 is chance.

    ``model`` is in evaluation mode. Raises :class:`InvalidConfig` where a score is not a number.
    """
    photos, pairs = validation_pairs(identities)
    encoded = []
    for start in range(0, len(photos), BLOCK):
        crops = np.stack([identities.read(int(at)) for at in photos[start : start + BLOCK]])
        encoded.append(model.encode(normalization(torch.from_numpy(crops).to(device))))
    faces = tuple(torch.cat(parts) for parts in zip(*encoded, strict=True))
    scores = []
    for start in range(0, len(pairs.first), BLOCK):
        first, second = (torch.from_numpy(side[start : start + BLOCK]).to(device) for side in pairs[:2])
        scores.append(model.score(tuple(part[first] for part in faces), tuple(part[second] for part in faces)))
    return misordered(torch.cat(scores).double().cpu().numpy(), pairs.mated)


def misordered(scores: Reals, mated: NDArray[np.bool_]) -> float:
    """Share of couples (mated, non-mated) where the non-mated score is higher; equal scores count one half."""
    if not np.isfinite(scores).all():
        raise InvalidConfig("held-out people could not be measured: scores are not numbers; lower optimizer.rate")
    high, low = scores[mated], np.sort(scores[~mated])
    above = len(low) - np.searchsorted(low, high, "right")
    equal = np.searchsorted(low, high, "right") - np.searchsorted(low, high, "left")
    return float((above + equal / 2).mean() / len(low))


def _only(identities: Identities, people: NDArray[np.bool_]) -> Identities:
    kept = people[identities.labels]
    return Identities(
        labels=(np.cumsum(people) - 1)[identities.labels[kept]],
        names=tuple(name for name, keep in zip(identities.names, people, strict=True) if keep),
        photos=identities.photos,
        places=identities.places[kept],
        size=identities.size,
    )
