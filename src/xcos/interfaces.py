"""What a component must be able to do. Write a class with the method and pass an instance."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from xcos.types import Crops, Face, Grids, Maps, Pixels, Templates
from xcos.weights import WeightCard


class Detector(Protocol):
    """Finds faces."""

    @property
    def name(self) -> str:
        """Name for reports; it tells apart what finds other points (another file, other settings)."""
        ...

    def detect(self, pixels: Pixels) -> list[Face]:
        """Faces in an upright RGB photo, most confident first; an empty list is an answer.

        It is also asked for the face in an aligned crop, and in the crop turned upside down, as a second look.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns aligned crops into templates."""

    @property
    def card(self) -> WeightCard:
        """What the network is and which crops it wants."""
        ...

    @property
    def model(self) -> str:
        """Identity of the network and its settings; the same in every template it makes."""
        ...

    def embed(self, crops: Crops) -> Templates:
        """Templates of ``(n, H, W, 3)`` RGB crops cut to ``card.template``; as good as n single calls."""
        ...


class Comparator(Protocol):
    """Turns two grids into the two maps of a comparison."""

    @property
    def name(self) -> str:
        """Name for reports and calibration cards."""
        ...

    def maps(self, probes: Grids, references: Grids) -> tuple[Maps, Maps]:
        """Similarity and attention, ``(n, rows, cols)`` each, of n pairs of grids; symmetric."""
        ...
