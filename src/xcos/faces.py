"""Which of the detected faces is meant: always by an explicit rule, never by what matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral

import numpy as np

from xcos.errors import InvalidArgument, MultipleFaces, NoFace, NoSuchFace
from xcos.types import Face, FaceChoice

# A second face this close to the chosen one by the same rule makes the choice doubtful: a box of at least 70 %
# of its height, or a centre at most 1.5 times as far from the photo's centre (plus 5 % of the photo's side).
AMBIGUOUS_SIZE = 0.7
AMBIGUOUS_DISTANCE = 1.5
AMBIGUOUS_DISTANCE_SLACK = 0.05


def require_choice(choice: FaceChoice) -> None:
    """Raises :class:`InvalidArgument` unless ``choice`` is one of the rules or an index."""
    index = isinstance(choice, Integral) and not isinstance(choice, bool) and choice >= 0
    if not index and choice not in ("only", "largest", "center"):
        raise InvalidArgument(
            f"face must be 'only', 'largest', 'center' or an index from 0, got {choice!r}", face=str(choice)
        )


def choose_face(faces: Sequence[Face], size: tuple[int, int], choice: FaceChoice) -> tuple[Face, bool]:
    """The chosen face, and whether another one fits the rule almost as well.

    ``size`` is width and height of the photo. ``only`` raises :class:`MultipleFaces` when there are several;
    an index counts from 0 in the detector's order, most confident first.
    """
    require_choice(choice)
    if not faces:
        raise NoFace(
            f"no face was found in the {size[0]} × {size[1]} photo; use one that shows the whole face, upright, "
            "or a detector for smaller faces",
            width=size[0],
            height=size[1],
        )
    if isinstance(choice, Integral):
        if choice >= len(faces):
            raise NoSuchFace(
                f"face {choice} was asked for; {_listed(faces)}: choose one of them, counted from 0",
                asked=int(choice),
                found=len(faces),
            )
        return faces[choice], False
    if choice == "only":
        if len(faces) > 1:
            raise MultipleFaces(
                f"exactly one face was expected; {_listed(faces)}: crop the photo or choose one with 'largest', "
                "'center' or its number",
                found=len(faces),
                boxes=[" ".join(f"{edge:.0f}" for edge in face.box) for face in faces],
            )
        return faces[0], False
    if choice == "largest":
        return _first(faces, lambda face: -face.height, _as_large)
    return _first(faces, lambda face: _off_center(face, size), _as_central)


def _listed(faces: Sequence[Face]) -> str:
    """Numbers and boxes of the faces found, at most eight of them."""
    shown = [f"{number} at " + " ".join(f"{edge:.0f}" for edge in face.box) for number, face in enumerate(faces[:8])]
    rest = f" and {len(faces) - 8} more" if len(faces) > 8 else ""
    return f"{len(faces)} found (left top right bottom): {', '.join(shown)}{rest}"


def _first(
    faces: Sequence[Face], key: Callable[[Face], float], rivals: Callable[[float, float], bool]
) -> tuple[Face, bool]:
    ranked = sorted(faces, key=key)
    ambiguous = len(ranked) > 1 and rivals(key(ranked[0]), key(ranked[1]))
    return ranked[0], ambiguous


def _as_large(best: float, second: float) -> bool:
    return -second >= AMBIGUOUS_SIZE * -best


def _as_central(best: float, second: float) -> bool:
    return second <= AMBIGUOUS_DISTANCE * best + AMBIGUOUS_DISTANCE_SLACK


def _off_center(face: Face, size: tuple[int, int]) -> float:
    """Distance of the box's centre from the photo's, in the photo's longer sides."""
    middle = (face.box[:2] + face.box[2:]) / 2
    return float(np.linalg.norm(middle - np.array(size) / 2) / max(size))
