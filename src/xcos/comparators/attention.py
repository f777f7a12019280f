"""The paper's attention network, with everything that belongs to one face alone taken out of the pair."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from xcos.comparators.encoded import EncodedFaces
from xcos.comparators.weighting import BLOCK, Gather, Pairs, cells_of, cosine_blocks
from xcos.errors import InvalidModel
from xcos.types import Floats, Maps, Reals

Number = TypeVar("Number", np.float32, np.float64)
SIDE = 48  # probes and references of a block, whose hidden values stay in the cache


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

    @property
    def _cells(self) -> int:
        return self._rows * self._cols

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
        with_first, with_second = (self._convolve(part, matrix).T for part in (self._network.slope * u, v))
        with_first += self._network.bias
        return np.concatenate([u, -v, with_first, with_second], axis=1, dtype=np.float32)

    def attention(self, probes: EncodedFaces, references: EncodedFaces) -> Maps:
        """The network as it was trained, in double precision; total 1."""
        logits = self._logits(probes.cues, references.cues)
        if self._symmetric:
            logits = (logits + self._logits(references.cues, probes.cues)) / 2
        powers = np.exp(logits - logits.max(axis=0))
        share: Maps = powers / powers.sum(axis=0)
        return share.T.reshape(probes.features.shape[:3])

    def _logits(self, first: Floats, second: Floats) -> Reals:
        """(cells, n) of the network in this order, without the factorization."""
        network = self._network
        u = first[:, : self._size].astype(np.float64)
        v = -second[:, self._size : 2 * self._size].astype(np.float64)
        hidden = _prelu(u + v, network.slope)
        return _prelu(self._convolve(hidden, self._matrix) + network.bias, network.last_slope)

    def _convolve(self, hidden: NDArray[Number], matrix: NDArray[Number]) -> NDArray[Number]:
        """(cells, n) of (n, rows · cols · hidden)."""
        n = len(hidden)
        out = np.zeros((self._rows, self._cols, n), matrix.dtype)
        for row in range(self._rows):
            self._add_row(out, row, matrix @ hidden[:, self._of_row(row)].T)
        return out.reshape(self._cells, n)

    def _of_row(self, row: int) -> slice:
        """Where u and v have the values of a row."""
        return slice(row * self._row, (row + 1) * self._row)

    def _add_row(self, out: NDArray[Number], row: int, given: NDArray[Number]) -> None:
        """Adds to (rows, cols, n) what a row gave to the one above it, itself, and the one below it."""
        first, last = max(row - 1, 0), min(row + 2, self._rows)
        out[first:last] += given.reshape(3, *out.shape[1:])[first - row + 1 : last - row + 1]

    def score_all(self, probes: EncodedFaces, references: EncodedFaces) -> Floats:
        """Every pair, in blocks that stay in the cache."""
        scores = np.empty((len(probes), len(references)), np.float32)
        hidden = np.empty((SIDE * SIDE, self._row), np.float32)
        for i in range(0, len(probes), SIDE):
            a = probes[i : i + SIDE]
            for j in range(0, len(references), SIDE):
                b = references[j : j + SIDE]
                cosines = cells_of(a.features).transpose(1, 0, 2) @ cells_of(b.features).transpose(1, 2, 0)
                sides = self._part(a.cues).one_a_row(), self._part(b.cues).one_a_column()
                scores[i : i + SIDE, j : j + SIDE] = self._score_block(*sides, cosines, hidden)
        return scores

    def score_pairs(self, probes: EncodedFaces, references: EncodedFaces, pairs: Pairs) -> Floats:
        """The listed pairs, in blocks that stay in the cache."""
        scores = np.empty(len(pairs), np.float32)
        hidden = np.empty((BLOCK, self._row), np.float32)
        first, second = (Gather(side.cues, BLOCK) for side in (probes, references))
        for block, cosines in cosine_blocks(probes, references, pairs):
            sides = self._part(first(pairs[block, 0])), self._part(second(pairs[block, 1]))
            scores[block] = self._score_block(*sides, cosines.T, hidden)
        return scores

    def _part(self, cues: Floats) -> _Part:
        size, cells = self._size, self._cells
        alone = np.ascontiguousarray(cues[:, 2 * size :].T)
        return _Part(cues[:, :size], cues[:, size : 2 * size], alone[:cells], alone[cells:])

    def _score_block(self, a: _Part, b: _Part, cosines: Floats, hidden: Floats) -> Floats:
        """Scores of parts that broadcast against each other, and their cosines (cells, …); overwrites ``hidden``."""
        logits = self._fast_logits(a, b, hidden)
        if self._symmetric:
            logits += self._fast_logits(b, a, hidden)
            logits /= 2
        logits -= logits.max(axis=0)
        powers = np.exp(logits, out=logits)
        total = powers.sum(axis=0)
        powers *= cosines
        scores: Floats = powers.sum(axis=0) / total
        return scores

    def _fast_logits(self, first: _Part, second: _Part, hidden: Floats) -> Floats:
        """(cells, …) of the network in this order, by the factorization."""
        logits = first.as_first + second.as_second
        shape = logits.shape[1:]
        hidden = hidden[: math.prod(shape)]
        out = logits.reshape(self._rows, self._cols, len(hidden))
        for row in range(self._rows):
            values = self._of_row(row)
            np.maximum(first.u[..., values], second.minus_v[..., values], out=hidden.reshape(*shape, self._row))
            self._add_row(out, row, self._scaled @ hidden.T)
        return _prelu(logits, self._network.last_slope)


@dataclass(frozen=True, eq=False)
class _Part:
    """What n faces bring to their pairs; the place of a face is the first axis of u and the last of the others."""

    u: Floats
    """(n, rows · cols · hidden)."""
    minus_v: Floats
    as_first: Floats
    """(cells, n): what u, as the first of a pair, adds to the logits by itself."""
    as_second: Floats

    def one_a_row(self) -> _Part:
        """The same, to be broadcast over the columns of a table of pairs."""
        return _Part(self.u[:, None], self.minus_v[:, None], self.as_first[:, :, None], self.as_second[:, :, None])

    def one_a_column(self) -> _Part:
        """The same, to be broadcast over the rows of a table of pairs."""
        return _Part(self.u[None], self.minus_v[None], self.as_first[:, None], self.as_second[:, None])


def _prelu(values: NDArray[Number], slope: float) -> NDArray[Number]:
    # NumPy keeps single precision when the other factor is a Python float.
    scaled = slope * values
    larger: NDArray[Number] = np.maximum(values, scaled) if slope <= 1 else np.minimum(values, scaled)
    return larger


def _row_matrix(kernel: Reals, cols: int) -> Reals:
    """(3 · cols, cols · hidden): what a row of hidden values gives to the row above it, to its own, and below it.

    Of a 3 × 3 convolution with one zero around; channels stand last in a row of values.
    """
    given = np.zeros((3, cols, cols + 2, len(kernel)))
    for above in range(3):  # the row above sees this one through the last row of its kernel
        for col in range(cols):
            given[above, col, col : col + 3] = kernel[:, 2 - above].T
    return given[:, :, 1:-1].reshape(3 * cols, -1)
