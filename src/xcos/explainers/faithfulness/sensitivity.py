"""Sensitivity: how far a map moves when the probe's pixels move by no more than noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.faithfulness.measure import Case, Explain, Figure, Need, Play, Record, single, with_crop
from xcos.types import Pixels


@dataclass(frozen=True)
class SensitivityMax:
    """Largest distance of the probe's map from its map under noise, over the length of the map.

    Yeh et al. (NeurIPS 2019), Monte Carlo over ``samples`` noises, each pixel and colour moved uniformly within
    ``radius`` of the range; each sample is an explanation of its own, so few pairs are played. A constant map has 0:
    read it with the selectivity.
    """

    samples: int = 10
    radius: float = 0.02
    seed: int = 0
    most_pairs: int = 20

    title: ClassVar[str] = "sensitivity"
    needs: ClassVar[tuple[Need, ...]] = ()
    explains_again: ClassVar[bool] = True
    figures: ClassVar[tuple[Figure, ...]] = (Figure("sensitivity-max", "lower"),)

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0 < self.radius < 1 or self.most_pairs < 0:
            raise InvalidArgument(
                f"want one sample or more within a radius of 0…1, got {self.samples} within {self.radius}"
            )

    def play(self, case: Case, explain: Explain, _threshold: float) -> Play:
        """The largest of the relative distances."""
        yield from ()  # nothing is scored
        pair = case.pair
        values = explain(pair.probe, pair.reference).probe
        length = float(np.linalg.norm(values))
        random = np.random.default_rng([self.seed, case.seed])
        moved = (explain(with_crop(pair.probe, self.noisy(pair.probe.crop, random)), pair.reference).probe
                 for _ in range(self.samples))  # fmt: skip
        most = max(float(np.linalg.norm(other - values)) for other in moved)
        relative = most / length if length > 0 else float(most > 0)
        return {"sensitivity-max": np.array([relative])}

    def noisy(self, crop: Pixels, random: np.random.Generator) -> Pixels:
        """The crop with whole grey levels added, at most the radius."""
        most = max(1, int(self.radius * 255))
        noise = random.integers(-most, most + 1, crop.shape)
        noisy: Pixels = np.clip(crop.astype(np.int64) + noise, 0, 255).astype(np.uint8)
        return noisy

    def values(self, record: Record, _mated: bool, _threshold: float) -> dict[str, float]:
        """As recorded."""
        return single(record)
