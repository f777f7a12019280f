"""Many masked copies of one photo against another one that stays as it is, on all cores.

What a method has to say is which pixels each copy keeps (:class:`Masks`) and what stands where the photo is hidden
(:data:`Fill`); :meth:`Side.scores` gives the score of every copy.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Cost
from xcos.explainers.hiding import FILLS, Cover, Fill, Kept, filled
from xcos.explainers.matcher import Matcher
from xcos.extractor import usable_cores
from xcos.types import AlignedFace, Reals, Templates

__all__ = ["BLOCK", "FILLS", "PAIR_COST", "Fill", "Kept", "Masks", "Pair", "Side", "encoded", "join", "open_pair",
           "require_template"]  # fmt: skip

BLOCK = 8  # copies per network call; larger blocks leave the cache and are slower
T = TypeVar("T")


class Masks(Protocol):
    """n masks of one size, made block by block: no stack of all of them is ever in memory."""

    def __len__(self) -> int:
        """How many masks there are."""
        ...

    def kept(self, start: int, stop: int) -> Kept:
        """Masks ``start`` … ``stop − 1``; the same ones whenever they are asked for, from any thread."""
        ...


@dataclass(frozen=True, eq=False)
class Side:
    """One photo of a pair, to be masked while the other stays as it is."""

    matcher: Matcher
    face: AlignedFace
    other: Templates
    """Of the photo that stays, one template."""
    is_probe: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the crop."""
        return self.face.template.height, self.face.template.width

    def against(self, other: Templates) -> Side:
        """The same photo with another one that stays."""
        return replace(self, other=other)

    def score(self, templates: Templates) -> Reals:
        """``(n,)`` scores of templates of this photo with the photo that stays."""
        pair = (templates, self.other) if self.is_probe else (self.other, templates)
        return self.matcher.score(*pair)

    def scores(self, masks: Masks, fill: Fill) -> Reals:
        """``(n,)``: the score of each masked copy; n passes."""
        return np.concatenate(self.each_block(masks, fill, self.score))

    def templates(self, masks: Masks, fill: Fill) -> Templates:
        """Templates of the n masked copies; n passes."""
        return join(self.each_block(masks, fill, lambda templates: templates))

    def each_block(self, masks: Masks, fill: Fill, use: Callable[[Templates], T]) -> list[T]:
        """``use`` of the templates of each block of masked copies, in order; one thread per core.

        Each thread masks its own block and sends it through the network, so that while one masks the others compute.
        Which copies share a block does not depend on the number of cores, and so no number does.
        """
        cover = Cover(self.face.crop, filled(self.face.crop, fill))

        def block(start: int) -> T:
            return use(self.matcher.encode(cover(masks.kept(start, min(start + BLOCK, len(masks))))))

        starts = range(0, len(masks), BLOCK)
        with ThreadPoolExecutor(max(1, min(usable_cores(), len(starts))), "xcos") as pool:
            return list(pool.map(block, starts))


@dataclass(frozen=True, eq=False)
class Pair:
    """Two photos of which each is in turn masked while the other stays."""

    probe: Side
    reference: Side
    score: float
    """Of the untouched pair."""

    @property
    def sides(self) -> tuple[Side, Side]:
        """Probe and reference."""
        return self.probe, self.reference

    @property
    def templates(self) -> tuple[Templates, Templates]:
        """Of probe and reference, untouched, one each."""
        return self.reference.other, self.probe.other


PAIR_COST = Cost(forward=2)
"""What :func:`open_pair` costs."""


def open_pair(matcher: Matcher, probe: AlignedFace, reference: AlignedFace) -> Pair:
    """The pair with its templates and score; each photo alone in its pass, so that no number depends on order."""
    for side, face in (("probe", probe), ("reference", reference)):
        require_template(matcher, face, side)
    one, other = (encoded(matcher, face) for face in (probe, reference))
    score = float(matcher.score(one, other)[0])
    return Pair(Side(matcher, probe, other, True), Side(matcher, reference, one, False), score)


def encoded(matcher: Matcher, face: AlignedFace) -> Templates:
    """Template of one face, alone in its pass."""
    return matcher.encode(face.crop[None])


def require_template(matcher: Matcher, face: AlignedFace, what: str) -> None:
    """Raises :class:`InvalidArgument` unless the face was cut as the matcher wants it."""
    got, wanted = face.template, matcher.template
    if (got.name, got.width, got.height) != (wanted.name, wanted.width, wanted.height):
        raise InvalidArgument(
            f"the {what} was cut to {got.name} ({got.width} × {got.height}), {matcher.name} takes {wanted.name} "
            f"({wanted.width} × {wanted.height}); cut it with align(photo, face, matcher.template)"
        )


def join(blocks: list[Templates]) -> Templates:
    """All templates of the blocks, in order."""
    grids, vectors = (np.concatenate(part) for part in zip(*((b.grids, b.vectors) for b in blocks), strict=True))
    return Templates(grids, vectors, blocks[0].model)
