"""Thresholds that are spread over channels."""

from __future__ import annotations

import math

from xcos.errors import InvalidArgument


def require_threshold(threshold: float) -> None:
    """Raises :class:`InvalidArgument` unless a threshold is a finite number."""
    if not math.isfinite(threshold):
        raise InvalidArgument(f"a threshold must be a finite number, got {threshold}")
