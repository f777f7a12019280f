"""What a gallery's store keeps and must be able to do: one protocol for each capability, and the nouns they share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from xcos.errors import IncompatibleTemplates, InvalidArgument
from xcos.gallery.columns import Columns
from xcos.interfaces import Embedder
from xcos.types import Floats, Template, stack

Codec = Literal["int8", "half"]
CODECS: tuple[Codec, ...] = ("int8", "half")
Numbers = NDArray[np.int64]
SECONDS_PER_DAY = 86_400.0
MOST_DAYS = 36_525.0


@dataclass(frozen=True)
class Layout:
    """Which templates a gallery takes."""

    model: str
    """Identity of the network and its settings; templates of another one are refused."""
    grid: tuple[int, int, int]
    """Rows, columns, channels."""
    vector: int
    """Numbers of the network's own vector."""

    def __post_init__(self) -> None:
        if not self.model or len(self.grid) != 3 or min(*self.grid, self.vector) < 1:
            raise InvalidArgument(f"a layout is a model, a grid (rows, cols, channels) and a vector's size, got {self}")

    @property
    def cells(self) -> int:
        """Rows times columns."""
        return self.grid[0] * self.grid[1]

    @property
    def features(self) -> int:
        """Numbers of a grid."""
        return self.cells * self.grid[2]

    def require(self, templates: Sequence[Template]) -> None:
        """Raises unless all are templates of this model and shape, finite and with a direction."""
        for template in templates:
            if template.model != self.model:
                raise IncompatibleTemplates(
                    f"the gallery holds templates of {self.model}, got one of {template.model}; embed the photo with "
                    "the gallery's model, or make another gallery",
                    models=[self.model, template.model],
                )
            if template.grid.shape != self.grid or template.vector.shape != (self.vector,):
                raise InvalidArgument(
                    f"the gallery holds grids {self.grid} with vectors ({self.vector},), got {template.grid.shape} "
                    f"with {template.vector.shape}"
                )
        stack(list(templates))  # refuses what is not finite or all zero


def layout_of(embedder: Embedder) -> Layout:
    """The layout of an embedder's templates, found by embedding one crop of noise."""
    size = embedder.card.template.height, embedder.card.template.width, 3
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    template = embedder.embed(noise[None])[0]
    rows, cols, channels = template.grid.shape
    return Layout(embedder.model, (rows, cols, channels), len(template.vector))


@dataclass(frozen=True)
class GalleryCard:
    """What a gallery is, and what it may be used for."""

    name: str
    purpose: str
    """Why it may be searched; a search must state the same."""
    retention_days: float
    """How long a subject stays unless its enrolment says otherwise."""
    layout: Layout
    codec: Codec = "int8"
    sketch_bits: int = 512
    """Signs kept of each template for the shortlist."""
    created: float = 0.0
    """Seconds since 1970, UTC."""

    def __post_init__(self) -> None:
        for what, text in (("name", self.name), ("purpose", self.purpose)):
            if not isinstance(text, str) or not text.strip():
                raise InvalidArgument(f"a gallery needs a {what} in words, got {text!r}")
        if not 0 < self.retention_days <= MOST_DAYS:  # a NaN is refused too
            raise InvalidArgument(
                f"retention_days says how long a subject is kept: more than 0, at most {MOST_DAYS:,.0f}, got "
                f"{self.retention_days}"
            )
        if self.codec not in CODECS:
            raise InvalidArgument(f"codec must be one of {', '.join(CODECS)}, got {self.codec!r}")
        if self.sketch_bits < 64 or self.sketch_bits % 64:
            raise InvalidArgument(f"sketch_bits must be a positive multiple of 64, got {self.sketch_bits}")

    @property
    def retention(self) -> float:
        """Seconds."""
        return self.retention_days * SECONDS_PER_DAY


@dataclass(frozen=True, eq=False)
class Enrolment:
    """One template to be kept, and what is known of the photo it came from, which is not kept."""

    template: Template
    quality: float = 1.0
    """How much it counts where templates are fused; above 0."""
    source: str = ""
    """SHA-256 of the photo's bytes, 64 hexadecimal digits; empty if nobody knows."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.quality) and self.quality > 0):
            raise InvalidArgument(f"quality must be a finite number above 0, got {self.quality}")
        if self.source and (len(self.source) != 64 or set(self.source) - set("0123456789abcdef")):
            raise InvalidArgument(f"source must be 64 hexadecimal digits of a SHA-256, got {self.source!r}")


def source_of(kept: NDArray[np.uint8]) -> str:
    """The 64 digits of a hash as it is kept; empty for 32 zeros."""
    return kept.tobytes().hex() if kept.any() else ""


@dataclass(frozen=True, eq=False)
class NewSubject:
    """One person's templates to be enrolled together."""

    id: str
    templates: tuple[Enrolment, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    expires: float | None = None
    """Seconds since 1970; None: after the gallery's retention."""
    add: bool = False
    """Whether the subject may be there already; its tags and expiry then stay as they are."""
    created: float | None = None
    """Seconds since 1970; None: now."""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id.strip():
            raise InvalidArgument(f"a subject needs an id in words, got {self.id!r}")
        if not self.templates:
            raise InvalidArgument(f"subject {self.id!r} has no templates to enrol")
        if not all(isinstance(text, str) and text for pair in self.tags.items() for text in pair):
            raise InvalidArgument(f"tags are non-empty texts by name, got {dict(self.tags)}")
        if not all(math.isfinite(each) for each in (self.expires, self.created) if each is not None):
            raise InvalidArgument(f"expires and created are seconds since 1970, got {self.expires}, {self.created}")


@dataclass(frozen=True)
class Subject:
    """A person in the gallery."""

    id: str
    created: float
    """Seconds since 1970, UTC, as all times here."""
    expires: float
    tags: Mapping[str, str]


Physical = Literal["done", "pending", "unknown"]


@dataclass(frozen=True)
class ErasureReceipt:
    """That somebody was erased, without saying who: the token tells it to who knows the id and holds the gallery."""

    number: int
    token: str
    """HMAC-SHA-256 of the subject's id with the gallery's secret."""
    templates: int
    requested: float
    """Seconds since 1970; from then on no search finds the subject (*logical* erasure)."""
    physical: Physical
    """``done``: no file of the store holds the erased bytes any more. ``pending``: a reader kept the journal from being
    emptied; :meth:`Erasing.settle` tries again. ``unknown``: the disk did not answer."""
    checked: float
    """When ``physical`` was last found out."""
    residue: str
    """Where erased bytes still may be; empty once done."""


@dataclass(frozen=True)
class Capabilities:
    """What a store promises; stores differ in it."""

    durability: Literal["fsync", "process"]
    """What an acknowledged act survives: a power cut, or a killed process only."""
    erasure: Literal["immediate", "compaction", "window"]
    writers: Literal["one", "many"]
    exact_filters: bool


@dataclass(frozen=True)
class IntegrityReport:
    """What was looked at and what is wrong; nothing is wrong where ``problems`` is empty."""

    subjects: int
    templates: int
    problems: tuple[str, ...]


class StoreChanged(Exception):
    """Another process changed a template that was about to be read: refresh and do it again."""


class Described(Protocol):
    """Says what it is."""

    @property
    def card(self) -> GalleryCard:
        """The gallery's card."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it promises."""
        ...


class Enrolling(Protocol):
    """Takes templates."""

    def enrol(self, subjects: Iterable[NewSubject]) -> None:
        """All of them, durable on return, or none of them and an error."""
        ...


class Erasing(Protocol):
    """Forgets."""

    def erase(self, ids: Sequence[str], *, patience: float) -> list[ErasureReceipt]:
        """Receipts of subjects that no search finds from now on; ``patience`` seconds are given to their bytes."""
        ...

    def settle(self, *, patience: float) -> list[ErasureReceipt]:
        """Receipts that were pending, after another try to remove the bytes."""
        ...

    def receipts(self) -> list[ErasureReceipt]:
        """All receipts, oldest first."""
        ...

    def token(self, id: str) -> str:
        """What stands for a subject's id in receipts."""
        ...


class Reading(Protocol):
    """Gives back what was enrolled."""

    @property
    def subjects(self) -> Mapping[int, Subject]:
        """Subjects by the store's number, as of the last :meth:`refresh`."""
        ...

    @property
    def templates(self) -> Columns:
        """All templates as of the last :meth:`refresh`: ``tid``, ``sid``, ``quality``, ``created``, ``expires``,
        ``source``, ``digest``, ``vector``, ``sketch``; once grids are held also ``grid`` (n, rows, cols,
        channels) and ``length`` (n, rows, cols) of its features."""
        ...

    def refresh(self) -> None:
        """Sees everything that any process has committed before the call."""
        ...

    def hold_grids(self) -> None:
        """Keeps all grids in memory from now on."""
        ...

    def grids(self, places: Numbers) -> Floats:
        """``(n, rows, cols, channels)`` of the templates at these places in :attr:`templates`, checked against their
        digests.

        :class:`StoreChanged` where one of them is no longer what the last :meth:`refresh` saw.
        """
        ...

    def all_grids(self, block: int) -> Iterator[tuple[Numbers, Floats]]:
        """``(n,)`` template numbers and their grids, some at a time, for those who cannot hold all."""
        ...


class Checking(Protocol):
    """Looks for damage."""

    def check(self) -> IntegrityReport:
        """Every record read and held against its digest."""
        ...


class Store(Described, Enrolling, Erasing, Reading, Checking, Protocol):
    """All of these."""

    def close(self) -> None:
        """Ends it; a store that was not closed loses nothing."""
        ...
