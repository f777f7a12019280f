"""One generator for each random thing, so that none depends on what was drawn before it, nor in which process."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from xcos.errors import InvalidArgument


class Purpose(IntEnum):
    """What a generator is for; those of different purposes are independent."""

    ORDER = 1
    PAIRS = 2
    AUGMENTATION = 3
    SHARDS = 4
    BUFFER = 5


def generator_for(purpose: Purpose, *, seed: int, epoch: int, at: tuple[int, ...] = ()) -> np.random.Generator:
    """The generator of this ``purpose`` in this epoch, ``at`` this place if there are several; all numbers < 2³²."""
    numbers = (seed, epoch, *at)
    if not all(0 <= number < 2**32 for number in numbers):
        raise InvalidArgument(f"seed, epoch and place must lie in 0 … 2**32 − 1, got {numbers}")
    return np.random.default_rng([int(purpose), *numbers])
