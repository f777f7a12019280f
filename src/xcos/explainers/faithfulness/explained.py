"""Explanations that are made once for a method and a pair, and kept."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Explainer, Explanation
from xcos.explainers.faithfulness.kept import Kept, KeptExplanation, in_single_precision, key_of
from xcos.explainers.faithfulness.measure import digest, face_digest
from xcos.types import AlignedFace

RECENT = 32
"""Explanations that stay in memory: all measures of a pair ask for the same one."""


@dataclass(frozen=True)
class OnceExplained:
    """An explainer that looks into the folder of kept results first."""

    explainer: Explainer
    matcher: str
    """Name of the matcher that is explained."""
    kept: Kept
    _recent: OrderedDict[str, KeptExplanation] = field(default_factory=OrderedDict, repr=False)

    def __call__(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """The pair's explanation, in single precision."""
        return self.timed(probe, reference).explanation

    def timed(self, probe: AlignedFace, reference: AlignedFace) -> KeptExplanation:
        """The same with the seconds it took when it was made."""
        key = key_of(self.identity, face_digest(probe), face_digest(reference))
        found = self._recent.get(key) or self._kept_or_made(key, probe, reference)
        self._recent[key] = found
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return found

    def _kept_or_made(self, key: str, probe: AlignedFace, reference: AlignedFace) -> KeptExplanation:
        kind = f"maps-{self.explainer.name}"
        found = self.kept.explanation(kind, key)
        if found is not None:
            return found
        start = time.perf_counter()
        made = self.explainer.explain(probe, reference)
        seconds = time.perf_counter() - start
        self._require_fitting(made, probe, reference)
        fresh = KeptExplanation(in_single_precision(made), seconds)
        self.kept.keep_explanation(kind, key, fresh)
        return fresh

    @cached_property
    def identity(self) -> str:
        """All but the pair that an explanation depends on: matcher, method and options."""
        return "\n".join((self.matcher, self.explainer.name, fingerprint(self.explainer)))

    def _require_fitting(self, made: Explanation, probe: AlignedFace, reference: AlignedFace) -> None:
        wanted, got = (probe.crop.shape[:2], reference.crop.shape[:2]), (made.probe.shape, made.reference.shape)
        if wanted != got or made.method != self.explainer.name:
            raise InvalidArgument(
                f"the explainer {self.explainer.name} must give maps {wanted} under its own name, got {got} under "
                f"{made.method}"
            )


def fingerprint(explainer: object) -> str:
    """The options of an explainer or another component, as text that is the same in every process.

    Fields of a dataclass that count in its comparison, each by its value; components with a ``name`` or ``model`` by
    that, arrays by their hash. Raises :class:`InvalidArgument` for what has no such identity: its results could not be
    told from another's.
    """
    if not is_dataclass(explainer) or isinstance(explainer, type):
        raise InvalidArgument(f"an explainer must be a dataclass whose fields are its options, got {explainer!r}")
    return ", ".join(
        f"{each.name}={_identity(getattr(explainer, each.name))}" for each in fields(explainer) if each.compare
    )


def _identity(value: object) -> str:
    if value is None or isinstance(value, (str, int, float, bool)):
        return repr(value)
    if isinstance(value, np.ndarray):
        return digest(value)
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_identity, value))})"
    if isinstance(value, dict):
        return _identity(tuple(value.items()))
    for attribute in ("model", "name"):
        named = getattr(value, attribute, None)
        if isinstance(named, str):
            return f"{type(value).__name__} {named}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if is_dataclass(value):
        return f"{type(value).__name__}({fingerprint(value)})"
    raise InvalidArgument(
        f"an option of an explainer needs an identity (a number, text, array, or a component with a name), got "
        f"{type(value).__name__}"
    )
