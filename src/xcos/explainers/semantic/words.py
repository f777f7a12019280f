"""The words a checked sentence may use, and what they claim. Any other word claims something nobody measured."""

from __future__ import annotations

from typing import Literal, TypeVar

Quantity = Literal["effect", "contribution", "weight", "similarity"]
Direction = Literal["down", "up"]
Order = Literal["most", "least"]
Side = Literal["probe", "reference", "both"]
T = TypeVar("T", bound=str)


def _each(words: str, meaning: T) -> dict[str, T]:
    return dict.fromkeys(words.split(), meaning)


_HIDING = "hide hides hiding hidden cover covers covering covered mask masking masked remove removes removing removed"
_ADDING = "add adds adding contribute contributes contributing"
_SUBTRACTING = "subtract subtracts subtracting"
_BINDING = (
    "a an the this that these it its is are was were be has have having of in on to from by with at for and while "
    "whereas but which when then also than as there here together"
)
_THINGS = "score region regions photo photos image images picture pictures face faces part parts"
_effect: Quantity = "effect"
_contribution: Quantity = "contribution"
_weight: Quantity = "weight"
_similarity: Quantity = "similarity"
_down: Direction = "down"
_up: Direction = "up"
_most: Order = "most"
_least: Order = "least"

QUANTITIES = {
    **_each(_HIDING, _effect),
    **_each(f"contribution {_ADDING} {_SUBTRACTING}", _contribution),
    **_each("weight attention", _weight),
    **_each("similarity", _similarity),
}
DIRECTIONS = {
    **_each("lower lowers lowering reduce reduces reducing decrease decreases decreasing", _down),
    **_each(f"drop drops dropping fall falls falling {_SUBTRACTING}", _down),
    **_each(f"raise raises raising increase increases increasing rise rises rising {_ADDING}", _up),
}
ORDERS = {
    **_each("most largest highest greatest biggest strongest", _most),
    **_each("least smallest lowest weakest", _least),
}
MORE = {
    **dict.fromkeys(("more", "larger", "higher", "greater", "bigger", "stronger"), True),
    **dict.fromkeys(("less", "smaller", "weaker"), False),
}
"""Before *than*; ``lower`` is a direction, so 'lower than' is not understood."""
SIDES: dict[str, Side] = {"probe": "probe", "reference": "reference", "both": "both"}
NEUTRAL = frozenset({"change", "changes", "changing"})
"""With a number these say which way by its sign."""
SEPARATORS = frozenset({",", ";", ":", "and", "while", "whereas", "but"})
FILLERS = frozenset(f"{_BINDING} {_THINGS}".split())
"""Words that bind and claim nothing by themselves."""
VOCABULARY = frozenset(
    {*QUANTITIES, *DIRECTIONS, *ORDERS, *MORE, *SIDES, *NEUTRAL, *FILLERS}
    | {"match", "non-match", "non", "decision", "threshold", "above", "below"}
)
