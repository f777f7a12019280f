"""What an explainer gives: a signed map on each photo, the score it explains, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np

from xcos.errors import InvalidArgument
from xcos.types import AlignedFace, Maps, freeze

Setting = str | int | float | bool


@dataclass(frozen=True)
class Cost:
    """Passes through the network, each photo of a batch counted; what was kept from before is not counted."""

    forward: int
    backward: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.forward + other.forward, self.backward + other.backward)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where two aligned faces agree, by one method.

    Maps are signed: above 0 speaks for one person, below 0 against; a method that cannot tell gives ≥ 0 only. Their
    scale is the method's own, so maps of different methods are compared by order, not by value.
    """

    method: str
    """Short name, such as ``corrrise``."""
    probe: Maps
    """``(H, W)`` on the probe's crop, a number for every pixel."""
    reference: Maps
    """``(H, W)`` on the reference's crop."""
    score: float
    """Of the untouched pair, by the matcher that was explained."""
    cost: Cost
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """Every option that changes a number, the seed among them where there is chance."""

    def __post_init__(self) -> None:
        for name in ("probe", "reference"):
            values = np.asarray(getattr(self, name), np.float64)
            if values.ndim != 2 or not values.size or not np.isfinite(values).all():
                raise InvalidArgument(f"the {name}'s map must be (H, W) finite numbers, got {values.shape}")
            freeze(self, **{name: values})
        if not np.isfinite(self.score):
            raise InvalidArgument(f"the score explained must be a finite number, got {self.score}")
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))


class Explainer(Protocol):
    """Explains one comparison; built with the matcher it explains."""

    @property
    def name(self) -> str:
        """Short name, the ``method`` of its explanations."""
        ...

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps of the pair; the same pair gives the same maps, and swapping the photos swaps the maps."""
        ...


def on_crop(cells: Maps, height: int, width: int) -> Maps:
    """``(H, W)`` map of a ``(rows, cols)`` grid: every pixel has the value of the cell it lies in."""
    rows = (np.arange(height) * cells.shape[0]) // height
    cols = (np.arange(width) * cells.shape[1]) // width
    return cells[np.ix_(rows, cols)]
