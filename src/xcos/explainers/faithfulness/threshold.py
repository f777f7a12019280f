"""The decision that deletion, insertion and Patch-LFW watch: the threshold of equal error rates on the clean pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.types import Reals


def equal_error_threshold(scores: Reals, mated: NDArray[np.bool_]) -> float:
    """The highest score at which \\|FMR − FNMR\\| is smallest, a match being a score at or above it.

    Thresholds are swept downwards over the scores and the first minimum is taken.
    """
    if not mated.any() or mated.all():
        raise InvalidArgument("a threshold of equal error rates needs mated and non-mated pairs")
    thresholds = np.unique(scores)[::-1]
    genuine, impostors = np.sort(scores[mated]), np.sort(scores[~mated])
    missed = np.searchsorted(genuine, thresholds)
    matched = len(impostors) - np.searchsorted(impostors, thresholds)
    gaps = np.abs(matched * len(genuine) - missed * len(impostors))  # whole numbers, so that equal gaps are equal
    return float(thresholds[gaps.argmin()])


def right(scores: Reals, mated: bool, threshold: float) -> Reals:
    """``(n,)``: 1 where a score at ``threshold`` gives the true answer, else 0."""
    answers: Reals = ((scores >= threshold) == mated).astype(np.float64)
    return answers
