"""The paper's attention network, with everything that belongs to one face alone taken out of the pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from xcos.comparators.encoded import EncodedFaces
from xcos.comparators.weighting import Gather, Pairs, cells_of, cosine_blocks
from xcos.errors import InvalidModel
from xcos.types import Floats, Maps, Reals

Number = TypeVar("Number", np.float32, np.float64)
TILE = 48  # probes and references whose cosines are made at once
SIDE = 16  # probes and references of a block, whose hidden values stay in the cache
LISTED = 128  # listed pairs at once, for the same reason


@dataclass(frozen=True, eq=False)
class PairNetwork:
    """The layers after the sum of both faces' parts: PReLU, convolution to one channel, PReLU."""

    kernel: Reals
    """``(hidden, 3, 3)``."""
    bias: float
    slope: float
    """Of the PReLU before the convolution."""
    last_slope: float


class Attention:
    """Softmax over the cells of what the network makes of a pair; the mean of both orders if ``symmetric``.

    Exact factorization. The published network convolves both faces' maps one after the other; a convolution is
    linear, so that this is ``u_A + v_B`` with u and v known per face. For the PReLU of slope s
    ``prelu(u + v) = s u + v + (1 − s) max(u, −v)``, and so the next convolution K leaves to the pair only
    ``(1 − s) K max(u_A, −v_B)``: one maximum, and matrix products.
    """

    def __init__(self, network: PairNetwork, rows: int, cols: int, *, symmetric: bool) -> None:
        self._network = network
        self._symmetric = symmetric
        self._rows, self._cols = rows, cols
        self._row = cols * len(network.kernel)
        self._matrix = _row_matrix(network.kernel, cols)
        self._scaled = ((1 - network.slope) * self._matrix).astype(np.float32)

    @property
    def _size(self) -> int:
        """Numbers of u, and of v."""
        return self._rows * self._row

    def cues(self, features: Floats, parts: list[Floats]) -> Floats:
        """u, −v, and what each adds to the logits by itself; from u and v, (n, hidden, rows, cols) each."""
        hidden = len(self._network.kernel)
        if any(part.shape[1] != hidden for part in parts):
            raise InvalidModel(
                f"'kernel' of the head has {hidden} channels, 'first' and 'second' have "
                f"{[part.shape[1] for part in parts]}; export the head with xcos"
            )
        u, v = (np.moveaxis(part, 1, 3).reshape(len(features), self._size) for part in parts)
        matrix = self._matrix.astype(np.float32)
        with_first, with_second = (self._convolved(part, matrix) for part in (self._network.slope * u, v))
        with_first += self._network.bias
        return np.concatenate([u, -v, with_first, with_second], axis=1, dtype=np.float32)

    def attention(self, probes: EncodedFaces, references: EncodedFaces) -> Maps:
        """The network as it was trained, in double precision; total 1."""
        logits = self._logits(probes.cues, references.cues)
        if self._symmetric:
            logits = (logits + self._logits(references.cues, probes.cues)) / 2
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        share: Maps = powers / powers.sum(axis=1, keepdims=True)
        return share.reshape(probes.features.shape[:3])

    def _logits(self, first: Floats, second: Floats) -> Reals:
        """(n, cells) of the network in this order, without the factorization."""
        network = self._network
        u = first[:, : self._size].astype(np.float64)
        v = -second[:, self._size : 2 * self._size].astype(np.float64)
        hidden = _prelu(u + v, network.slope)
        return _prelu(self._convolved(hidden, self._matrix) + network.bias, network.last_slope)

    def _convolved(self, hidden: NDArray[Number], matrix: NDArray[Number]) -> NDArray[Number]:
        """(n, cells) of (n, rows · cols · hidden)."""
        given = np.zeros((3, len(hidden), self._padded), matrix.dtype)
        cells: NDArray[Number] = self._convolve(hidden, matrix, given, np.empty_like(given[0]))[:, self._inner]
        return cells

    @property
    def _padded(self) -> int:
        """Cells with a margin of one row above and below."""
        return (self._rows + 2) * self._cols

    @property
    def _inner(self) -> slice:
        """The cells among these."""
        return slice(self._cols, -self._cols)

    def _convolve(
        self, hidden: NDArray[Number], matrix: NDArray[Number], given: NDArray[Number], out: NDArray[Number]
    ) -> NDArray[Number]:
        """``out`` (n, cells with margin) of (n, rows · cols · hidden).

        A row gives to three rows; every third row writes into the same of three parts ``given``, so that none meets
        another. What no row writes to must be zero.
        """
        cols = self._cols
        for row in range(self._rows):
            np.matmul(hidden[:, self._of_row(row)], matrix, out=given[row % 3][:, row * cols : (row + 3) * cols])
        np.add(given[0], given[1], out=out)
        out += given[2]
        return out

    def _of_row(self, row: int) -> slice:
        """Where u and v have the values of a row."""
        return slice(row * self._row, (row + 1) * self._row)

    def score_all(self, probes: EncodedFaces, references: EncodedFaces) -> Floats:
        """Every pair, in blocks that stay in the cache."""
        scores = np.empty((len(probes), len(references)), np.float32)
        room = self._room(SIDE * SIDE)
        for rows, columns in _blocks(scores.shape, TILE):
            a, b = probes[rows], references[columns]
            cosines = cells_of(a.features).transpose(1, 0, 2) @ cells_of(b.features).transpose(1, 2, 0)
            tile = scores[rows, columns]
            for i, j in _blocks(tile.shape, SIDE):
                sides = self._part(a.cues[i]).one_a_row(), self._part(b.cues[j]).one_a_column()
                of_pairs = cosines[:, i, j].reshape(len(cosines), -1).T
                tile[i, j] = self._score_block(*sides, np.ascontiguousarray(of_pairs), room).reshape(tile[i, j].shape)
        return scores

    def score_pairs(self, probes: EncodedFaces, references: EncodedFaces, pairs: Pairs) -> Floats:
        """The listed pairs, in blocks that stay in the cache."""
        scores = np.empty(len(pairs), np.float32)
        room = self._room(LISTED)
        first, second = (Gather(side.cues, LISTED) for side in (probes, references))
        for block, cosines in cosine_blocks(probes, references, pairs, LISTED):
            sides = self._part(first(pairs[block, 0])), self._part(second(pairs[block, 1]))
            scores[block] = self._score_block(*sides, cosines, room)
        return scores

    def _room(self, most: int) -> _Room:
        values = ((most, self._size), (3, most, self._padded), (2, most, self._padded), (most, self._padded))
        return _Room(*(np.zeros(shape, np.float32) for shape in values))

    def _part(self, cues: Floats) -> _Part:
        size, cells = self._size, self._rows * self._cols
        ends = np.cumsum([size, size, cells])
        return _Part(*np.split(cues, ends, axis=1))

    def _score_block(self, a: _Part, b: _Part, cosines: Floats, room: _Room) -> Floats:
        """Scores of n pairs, from parts that broadcast against each other and their cosines (n, cells)."""
        whole = self._fast_logits(a, b, room, room.logits[0, : len(cosines)])
        if self._symmetric:
            whole += self._fast_logits(b, a, room, room.logits[1, : len(cosines)])
            whole /= 2
        logits = whole[:, self._inner]
        logits -= logits.max(axis=1, keepdims=True)
        powers = np.exp(logits, out=logits)
        scores: Floats = np.vecdot(powers, cosines) / powers.sum(axis=1)
        return scores

    def _fast_logits(self, first: _Part, second: _Part, room: _Room, out: Floats) -> Floats:
        """``out`` (n, cells with margin) of the network in this order, by the factorization."""
        shape = np.broadcast_shapes(first.u.shape, second.minus_v.shape)
        hidden = room.hidden[: len(out)]
        np.maximum(first.u, second.minus_v, out=hidden.reshape(shape))
        self._convolve(hidden, self._scaled, room.given[:, : len(out)], out)
        cells = out[:, self._inner].reshape(*shape[:-1], -1)
        cells += first.as_first
        cells += second.as_second
        return _prelu(out, self._network.last_slope, room.spare[: len(out)])


@dataclass(frozen=True, eq=False)
class _Room:
    """Memory that every block of pairs overwrites: fresh memory would cost more than what is done with it."""

    hidden: Floats
    """(n, rows · cols · hidden)."""
    given: Floats
    """(3, n, cells with margin)."""
    logits: Floats
    """(2, n, cells with margin)."""
    spare: Floats
    """(n, cells with margin)."""


@dataclass(frozen=True, eq=False)
class _Part:
    """What n faces bring to their pairs."""

    u: Floats
    """(n, rows · cols · hidden)."""
    minus_v: Floats
    as_first: Floats
    """(n, cells): what u, as the first of a pair, adds to the logits by itself."""
    as_second: Floats

    def one_a_row(self) -> _Part:
        """The same, to be broadcast over the columns of a table of pairs."""
        return _Part(self.u[:, None], self.minus_v[:, None], self.as_first[:, None], self.as_second[:, None])

    def one_a_column(self) -> _Part:
        """The same, to be broadcast over the rows of a table of pairs."""
        return _Part(self.u[None], self.minus_v[None], self.as_first[None], self.as_second[None])


def _blocks(shape: tuple[int, ...], side: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of square blocks of a table."""
    for i in range(0, shape[0], side):
        for j in range(0, shape[1], side):
            yield slice(i, min(i + side, shape[0])), slice(j, min(j + side, shape[1]))


def _prelu(values: NDArray[Number], slope: float, spare: NDArray[Number] | None = None) -> NDArray[Number]:
    """Of the values, which are overwritten."""
    # NumPy keeps single precision when the other factor is a Python float.
    scaled = np.multiply(values, slope, out=spare)
    larger: NDArray[Number] = (np.maximum if slope <= 1 else np.minimum)(values, scaled, out=values)
    return larger


def _row_matrix(kernel: Reals, cols: int) -> Reals:
    """(cols · hidden, 3 · cols): what a row of hidden values gives to the row above it, to its own, and below it.

    Of a 3 × 3 convolution with one zero around; channels stand last in a row of values.
    """
    given = np.zeros((3, cols, cols + 2, len(kernel)))
    for above in range(3):  # the row above sees this one through the last row of its kernel
        for col in range(cols):
            given[above, col, col : col + 3] = kernel[:, 2 - above].T
    return np.ascontiguousarray(given[:, :, 1:-1].reshape(3 * cols, -1).T)
