"""An explainer by where it is defined: its module is imported when it is made, and not before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Explainer, Setting
from xcos.explainers.matcher import GridMatcher, Matcher

Needs = Literal["scores", "cells", "gradients"]
"""Of a matcher: nothing but scores, also the grid and comparator of a :class:`GridMatcher`, also a network in torch."""


@dataclass(frozen=True)
class Listed:
    """What a catalogue knows of an explainer."""

    name: str
    path: str
    """``module:Class``."""
    needs: Needs = "scores"
    threshold: Literal["", "wanted", "needed"] = ""
    """Whether it has an option ``threshold``, and cannot be made without one."""
    readers: Mapping[str, str] = field(default_factory=dict)
    """Options that are no plain texts or numbers → ``module:function`` that makes them from a text."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """What it is made with beside the matcher."""

    def explained(self, matcher: Matcher, *, on_gradient: Callable[[], object] | None = None) -> Any:
        """The matcher as the explainer takes it; ``on_gradient`` is called for each gradient that reaches pixels.

        Raises :class:`InvalidArgument` naming the method where the matcher lacks what it needs, and
        :class:`~xcos.errors.MissingPackage` where torch is needed and is not installed.
        """
        if self.needs == "cells" and not isinstance(matcher, GridMatcher):
            raise InvalidArgument(
                f"method {self.name} shows the cells of a grid and its comparator, and {matcher.name} has none; "
                "use a method that needs only scores, such as corrrise"
            )
        if self.needs == "gradients":
            return load("xcos.gradients.matcher:differentiable")(matcher, on_gradient=on_gradient)
        return matcher

    def explainer(self, explained: Any, **settings: object) -> Explainer:
        """The explainer of what :meth:`explained` gave."""
        made: Explainer = load(self.path)(explained, **{**self.settings, **settings})
        return made


def load(path: str) -> Any:
    """What ``module:name`` stands for."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
