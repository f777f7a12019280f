"""What every network asks of its input."""

from __future__ import annotations

from torch import Tensor

from xcos.errors import InvalidArgument


def require_pixels(pixels: Tensor, side: int) -> None:
    """Raises :class:`InvalidArgument` unless ``pixels`` is a float batch ``(n, 3, side, side)``."""
    if pixels.ndim != 4 or pixels.shape[1:] != (3, side, side) or not pixels.is_floating_point():
        raise InvalidArgument(
            f"pixels must be (n, 3, {side}, {side}) float, got {tuple(pixels.shape)} {pixels.dtype}; "
            "put channels first and normalise the crops as the network's card says"
        )
