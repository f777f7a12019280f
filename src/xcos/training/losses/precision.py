"""Losses need more digits than mixed precision leaves."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """The same numbers as float32, or float64 where they are already: a scale of 64 multiplies every rounding by 64."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
