"""Comparators whose weighting was learned; those that need no learning are in :mod:`xcos.compare`."""

from xcos.comparators.encoded import EncodedFaces, stack_encodings
from xcos.comparators.learned import LearnedHead

__all__ = ["EncodedFaces", "LearnedHead", "stack_encodings"]
