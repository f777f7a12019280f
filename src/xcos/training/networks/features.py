"""What a backbone gives for a batch of crops."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Features(NamedTuple):
    """Local features and, beside them, the network's own embedding."""

    grid: Tensor
    """``(n, channels, rows, cols)``."""
    vector: Tensor
    """``(n, D)``, not normalised."""
