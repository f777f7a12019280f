"""How long a model takes, as its features' cache recorded it: a second run over the cache says the same.

A photo's times are those of the thread that embedded it, whenever and wherever that was; they are kept with its
features. The time of comparing is that of the first run that compared these pairs with these features.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xcos.evaluation.embedding import EmbeddedSamples
from xcos.evaluation.operating import Plain
from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.run import Scored
from xcos.evaluation.work import TIMES
from xcos.feature_store import cache_folder
from xcos.files import write_atomically
from xcos.types import Reals

COMPARING = "comparing"
"""Folder of the cache in which the times of comparing are kept."""
STEPS = dict(
    zip(
        TIMES,
        ("reading and decoding", "finding, cutting and measuring the face", "the network's part"),
        strict=True,
    )
)


@dataclass(frozen=True)
class PhotoTimes:
    """Milliseconds of one thread for each photo that gave a template; of code of one's own only the whole is known."""

    model: str
    steps: tuple[tuple[str, Reals], ...]
    """What was done, and (photos,) how long it took."""

    def to_dict(self) -> Plain:
        """Plain JSON values, to three digits."""
        total = np.sum([each for _, each in self.steps], axis=0)
        steps = self.steps if len(self.steps) > 1 else ()
        return {
            "model": self.model,
            "photos": len(total),
            "steps": [{"step": name, **_spread(each)} for name, each in (*steps, ("a photo in all", total))],
            "photos_per_second_and_thread": _digits(1e3 / float(total.mean())),
        }


def photo_times(embedded: Sequence[EmbeddedSamples]) -> tuple[PhotoTimes, ...]:
    """The times of each model."""
    found = []
    for each in embedded:
        usable = np.isfinite(each.measures[TIMES[-1]])
        steps = tuple((told, each.measures[name][usable]) for name, told in STEPS.items())
        found.append(PhotoTimes(each.model, tuple(step for step in steps if np.isfinite(step[1]).all())))
    return tuple(found)


def comparison_times(scored: Sequence[Scored]) -> list[Plain]:
    """Of each matcher whose comparisons were timed, microseconds a pair."""
    return [
        {
            "matcher": each.matcher,
            "microseconds": _digits(1e6 * each.seconds / max(1, int((~each.scores.failed).sum()))),
        }
        for each in scored
        if each.seconds is not None
    ]


def _spread(milliseconds: Reals) -> Plain:
    middle, most = np.quantile(milliseconds, (0.5, 0.95)).tolist()
    return {"mean_ms": _digits(float(milliseconds.mean())), "median_ms": _digits(middle), "p95_ms": _digits(most)}


def _digits(value: float) -> float:
    return float(f"{value:.3g}")


def with_kept_time(scored: Scored, protocol: VerificationProtocol, cache: Path) -> Scored:
    """The same scores with the time that the cache knows for these comparisons; a time it does not know it keeps."""
    key = hashlib.sha256(f"{protocol.sha256}\n{scored.matcher}".encode()).hexdigest()[:24]
    path = cache / COMPARING / f"{key}.json"
    known = _known(path)
    if known is not None or scored.seconds is None:
        return replace(scored, seconds=known)
    cache_folder(path.parent)
    write_atomically(path, json.dumps({"matcher": scored.matcher, "seconds": scored.seconds}).encode())
    return scored


def _known(path: Path) -> float | None:
    """None where nothing was kept, or what was kept is damaged."""
    try:
        seconds = json.loads(path.read_bytes())["seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return seconds if isinstance(seconds, float) and math.isfinite(seconds) and seconds >= 0 else None
