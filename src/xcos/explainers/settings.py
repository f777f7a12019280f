"""The options of an explainer as its explanations record them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Setting

NO_OPTIONS = ("matcher", "name")


def settings_of(explainer: object) -> dict[str, Setting]:
    """Every option of an explainer that is a text or number, by its name: none can be forgotten.

    Options are the fields of its dataclass; of another object nothing is known.
    """
    if not is_dataclass(explainer):
        return {}
    options = ((field.name, getattr(explainer, field.name)) for field in fields(explainer))
    return {
        name: value for name, value in options if name not in NO_OPTIONS and isinstance(value, str | int | float | bool)
    }


def pixels_of(share: float, size: tuple[int, int]) -> int:
    """Whole pixels of a share of the crop's shorter side, at least one.

    Published sizes are given in pixels of 112 × 112 or 224 × 224 crops; as shares they mean the same on any crop.
    """
    return max(1, round(share * min(size)))


def require(holds: bool, message: str) -> None:
    """Raises :class:`InvalidArgument` with the message unless ``holds``."""
    if not holds:
        raise InvalidArgument(message)


def require_chance(masks: int, seed: int, *, least: int = 2) -> None:
    """Raises :class:`InvalidArgument` unless there can be so many masks from this seed."""
    require(masks >= least, f"want at least {least} masks, got {masks}")
    require(seed >= 0, f"a seed is a whole number from 0, got {seed}")


def require_one_of(value: str, allowed: tuple[str, ...], what: str) -> None:
    """Raises :class:`InvalidArgument` unless ``value`` is one of ``allowed``."""
    require(value in allowed, f"{what} must be one of {', '.join(allowed)}, got {value!r}")
