"""Who serves for what: people divided by the hash of their name, so that nobody is measured on what taught."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from xcos.calibration import RATES
from xcos.errors import InvalidArgument
from xcos.files import is_within
from xcos.intervals import LEAST_ERRORS
from xcos.training.features import Features, PersonPhoto

PARTS = ("training", "calibration", "test")
SHARES = (0.4, 0.4, 0.2)
"""Of the people: a threshold asks for as many as a head does, figures for fewer."""
MOST_PER_PERSON = 10
MOST_PHOTOS = 3000
"""In calibration and test, where all pairs are compared."""
LEAST_NON_MATED = LEAST_ERRORS / RATES[0]
"""Pairs without which no calibration supports even its greatest false match rate, however the scores fall."""


def parts_of(*, fits: bool) -> tuple[str, ...]:
    """The parts of the work: all of ``PARTS``, or without ``training`` where no head is fitted."""
    return PARTS if fits else PARTS[1:]


def part_of(person: str, *, fits: bool = True) -> str:
    """Which part of the work a person serves, by the hash of the name: adding people moves nobody.

    Where no head is fitted, those who would serve for it serve for the calibration; who tests stays the same.
    """
    place = int(hashlib.sha256(person.encode("utf-8", "surrogateescape")).hexdigest()[:12], 16) / 16**12
    part = PARTS[int(np.searchsorted(np.cumsum(SHARES)[:-1], place, side="right"))]
    return part if fits or part != "training" else "calibration"


def require_outside(data: str | Path, *folders: Path) -> None:
    """Raises where something would be written among the photos, and pass for a person at the next run."""
    for folder in folders:
        if is_within(folder, data):
            raise InvalidArgument(
                f"{folder} lies in the folder of photos {data} and would be taken for a person at the next run; give "
                "--out and --cache elsewhere",
                path=str(folder),
            )


def require_parts(photos: Sequence[PersonPhoto], *, fits: bool = True) -> None:
    """Raises before any work where these people cannot do, even if every photo could be used."""
    _require_parts(Counter(photo.person for photo in photos), fits, f"{len(photos):,} photos")


def _require_parts(counts: Mapping[str, int], fits: bool, photos: str) -> None:
    """``counts`` are of each person's photos, which ``photos`` speaks of."""
    by_part: dict[str, list[int]] = {part: [] for part in parts_of(fits=fits)}
    for person, count in counts.items():
        by_part[part_of(person, fits=fits)].append(count)
    several = {part: sum(count > 1 for count in mine) for part, mine in by_part.items()}
    told = "; ".join(f"{part} {len(mine)}, {several[part]}" for part, mine in by_part.items())
    if any(len(mine) < 2 or not several[part] for part, mine in by_part.items()):
        raise InvalidArgument(
            f"{photos} show {len(counts):,} people. They are divided by the hash of their name, and every part needs "
            f"two people or more, one of them with two photos or more; there are (people, of these with several): "
            f"{told}. Give photos of more people: a few hundred for a usable calibration",
            people=len(counts),
        )
    pairs = _non_mated(by_part["calibration"])
    if pairs < LEAST_NON_MATED:
        raise InvalidArgument(
            f"{photos} show {len(counts):,} people, divided by the hash of their name (people, of these with several "
            f"photos): {told}. The calibration has {pairs:,} non-mated pairs, and without {LEAST_NON_MATED:.0f} no "
            "false match rate is supported; use more people: a few hundred for a usable calibration",
            people=len(counts),
        )


def _non_mated(counts: Sequence[int]) -> int:
    """Pairs of photos of different people, of whom at most so many photos count."""
    kept = np.minimum(counts, MOST_PER_PERSON)
    return int(kept.sum() ** 2 - (kept**2).sum()) // 2


def split_people(features: Features, *, fits: bool = True) -> dict[str, Features]:
    """Features of each part; those that are compared all with all with at most so many photos."""
    counts = dict(zip(features.people, features.photos_per_person.tolist(), strict=True))
    out = f" ({len(features.left_out):,} others could not be used)" if features.left_out else ""
    _require_parts(counts, fits, f"{len(features):,} photos{out}")
    parts = np.array([part_of(person, fits=fits) for person in features.people])[features.labels]
    made = {part: features.take(np.flatnonzero(parts == part)) for part in parts_of(fits=fits)}
    return {part: each if part == "training" else _limited(each) for part, each in made.items()}


def _limited(features: Features) -> Features:
    """At most ``MOST_PER_PERSON`` photos of a person, and ``MOST_PHOTOS`` in all, by whole people."""
    order = np.argsort(features.labels, kind="stable")
    labels = features.labels[order]
    nth = np.arange(len(order)) - np.searchsorted(labels, labels)
    kept = order[nth < MOST_PER_PERSON]
    most = features.labels[kept[min(len(kept), MOST_PHOTOS) - 1]]
    if len(kept) > MOST_PHOTOS:
        kept = kept[features.labels[kept] < most]
    return features.take(kept)
