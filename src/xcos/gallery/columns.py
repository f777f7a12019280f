"""A table in memory that grows and shrinks without being copied each time; rows have no order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


class Columns:
    """Named arrays with one row for each template. What is removed is overwritten."""

    def __init__(self, kinds: Mapping[str, tuple[DTypeLike, tuple[int, ...]]]) -> None:
        self._arrays: dict[str, Array] = {name: np.empty((0, *shape), kind) for name, (kind, shape) in kinds.items()}
        self._count = 0
        self.changes = 0
        """How often rows were added or removed."""

    def __len__(self) -> int:
        return self._count

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __getitem__(self, name: str) -> Array:
        """``(n, …)`` view, valid until rows are added or removed."""
        return self._arrays[name][: self._count]

    def append(self, rows: Mapping[str, Array]) -> None:
        """Adds rows; every column must be given, equally long."""
        added = {len(values) for values in rows.values()}
        if rows.keys() != self._arrays.keys() or len(added) != 1:
            raise ValueError(f"want equally many rows of {sorted(self._arrays)}, got {sorted(rows)} with {added}")
        start, self._count = self._count, self._count + added.pop()
        for name, values in rows.items():
            self._grow(name)
            self._arrays[name][start : self._count] = values
        self.changes += 1

    def add_column(self, name: str, values: Array) -> None:
        """A new column, one value for each row."""
        if len(values) != self._count:
            raise ValueError(f"{name} has {len(values)} values for {self._count} rows")
        self._arrays[name] = values

    def remove(self, places: NDArray[np.int64]) -> None:
        """Removes rows; the last ones move into the gaps."""
        left = self._count - len(places)
        gaps = np.sort(places[places < left])
        gone = np.zeros(self._count - left, bool)
        gone[places[places >= left] - left] = True
        moved = left + np.flatnonzero(~gone)
        for array in self._arrays.values():
            array[gaps] = array[moved]
            array[left : self._count] = np.zeros((), array.dtype)
        self._count = left
        self.changes += 1

    def _grow(self, name: str) -> None:
        array = self._arrays[name]
        if len(array) < self._count:
            bigger = np.zeros((max(self._count, len(array) * 5 // 4 + 16), *array.shape[1:]), array.dtype)
            bigger[: len(array)] = array
            array[...] = np.zeros((), array.dtype)
            self._arrays[name] = bigger
