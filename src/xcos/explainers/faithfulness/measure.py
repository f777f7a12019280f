"""The nouns of the bench: pairs whose truth is known, what a measure asks of a matcher, and what it gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Explanation, Setting
from xcos.types import AlignedFace, Crops, Pixels, Reals

Record: TypeAlias = Mapping[str, Reals]
"""Named ``(n,)`` numbers that a measure took from one pair: all that is kept of it."""
Explain: TypeAlias = Callable[[AlignedFace, AlignedFace], Explanation]
"""Explanation of a probe and a reference; what was explained before is not explained again."""
Better = Literal["higher", "lower", "neither"]
Need = Literal["stranger", "threshold"]


@dataclass(frozen=True, eq=False)
class FacePair:
    """Two aligned faces, and whom they show."""

    name: str
    """For reports, such as the two file names."""
    probe: AlignedFace
    reference: AlignedFace
    people: tuple[str, str]
    """Who the probe and the reference are."""

    @property
    def mated(self) -> bool:
        """Whether both are one person."""
        return self.people[0] == self.people[1]


@dataclass(frozen=True, eq=False)
class Case:
    """A pair, and a third person's face for the measures that need one."""

    pair: FacePair
    stranger: AlignedFace

    @cached_property
    def seed(self) -> int:
        """A number of the pair's own pixels, so that chance does not depend on the list it stands in."""
        return int(digest(self.pair.probe.crop, self.pair.reference.crop)[:12], 16)

    @cached_property
    def identity(self) -> str:
        """All of the pair that a record may depend on."""
        return "\n".join((face_digest(self.pair.probe), face_digest(self.pair.reference), str(self.pair.mated)))

    @cached_property
    def stranger_identity(self) -> str:
        """The same of the third person's photo."""
        return digest(self.stranger.crop)


def with_strangers(pairs: Sequence[FacePair], *, seed: int = 0) -> list[Case]:
    """Each pair with a photo, drawn at random from the other pairs, of a person who is in neither of its photos."""
    faces = [(person, face) for pair in pairs for person, face in zip(pair.people, (pair.probe, pair.reference),
                                                                      strict=True)]  # fmt: skip
    random = np.random.default_rng(seed)
    cases = []
    for pair in pairs:
        others = [face for person, face in faces if person not in pair.people]
        if not others:
            raise InvalidArgument(
                f"no photo of a third person is there for the pair {pair.name}; give pairs of three people or more"
            )
        cases.append(Case(pair, others[int(random.integers(len(others)))]))
    return cases


@dataclass(frozen=True, eq=False)
class Query:
    """Crops to be scored: ``probes[i]`` with ``references[i]``; one crop on a side meets all of the other."""

    probes: Crops
    references: Crops
    shared: bool = False
    """Every method asks the same, so the scores are kept for all of them."""

    def __post_init__(self) -> None:
        sizes = {len(self.probes), len(self.references)} - {1}
        if len(sizes) > 1 or not len(self.probes) or not len(self.references):
            raise InvalidArgument(
                f"a query needs as many probes as references, or one of a side, got {len(self.probes)} and "
                f"{len(self.references)}"
            )


Play: TypeAlias = Generator[Query, Reals, Record]
"""A measure at work on one pair: it yields queries, is sent their ``(n,)`` scores, and returns its record.

So the crops of many pairs go through the network together, and a measure still reads from top to bottom.
"""


@dataclass(frozen=True)
class Figure:
    """One number that a measure gives for each pair, whose mean stands in the table."""

    name: str
    better: Better
    headline: bool = False
    """Counted in a method's mean rank."""


class Measure(Protocol):
    """One question to an explanation; a frozen dataclass whose fields are the options that change its numbers."""

    @property
    def title(self) -> str:
        """Short name without options."""
        ...

    @property
    def needs(self) -> tuple[Need, ...]:
        """What its record depends on beyond the pair, the method and the options."""
        ...

    @property
    def most_pairs(self) -> int:
        """At most so many pairs are played, as many of each kind and evenly spread over the list; 0: all."""
        ...

    @property
    def explains_again(self) -> bool:
        """Whether it asks for explanations of more than the pair itself."""
        ...

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What :meth:`values` gives."""
        ...

    def play(self, case: Case, explain: Explain, threshold: float, /) -> Play:
        """The work on one pair; ``threshold`` is that of equal error rates on the clean pairs."""
        ...

    def values(self, record: Record, mated: bool, threshold: float, /) -> dict[str, float]:
        """A number for each figure; NaN where it does not apply to such a pair."""
        ...


class Dataclass(Protocol):
    """Anything with options as fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


def options_of(thing: Dataclass) -> dict[str, Setting]:
    """The fields of a measure, as settings."""
    return {each.name: _as_setting(getattr(thing, each.name)) for each in fields(thing)}


def name_of(measure: Measure) -> str:
    """The title, and the options that differ from their defaults: ``deletion(fill=blur)``."""
    changed = [
        f"{each.name}={_as_setting(getattr(measure, each.name))}"
        for each in fields(measure)  # type: ignore[arg-type]
        if each.default is not MISSING and getattr(measure, each.name) != each.default
    ]
    return f"{measure.title}({', '.join(changed)})" if changed else measure.title


def _as_setting(value: object) -> Setting:
    if isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, tuple):
        return " ".join(str(_as_setting(each)) for each in value)
    raise InvalidArgument(f"an option of a measure is text, a number, a truth or a tuple of these, got {value!r}")


def single(record: Record) -> dict[str, float]:
    """The values of a record that holds one number for each figure."""
    return {name: float(numbers[0]) for name, numbers in record.items()}


def one(**numbers: float) -> dict[str, Reals]:
    """A record of single numbers."""
    return {name.replace("_", " "): np.array([number], np.float64) for name, number in numbers.items()}


def digest(*arrays: NDArray[Any]) -> str:
    """Hexadecimal identity of arrays: shapes, types and values."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(f"{array.shape} {array.dtype.str} ".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def face_digest(face: AlignedFace) -> str:
    """Identity of a crop and of the places of its landmarks: all that an explanation may depend on."""
    return digest(face.crop, np.round(face.landmarks, 3))


def with_crop(face: AlignedFace, crop: Pixels) -> AlignedFace:
    """The same face, cut the same way, with other pixels."""
    return replace(face, crop=crop)
