"""Comparison across cells: how alike two faces are when each cell may go where it fits best (DeepFace-EMD)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from xcos.errors import InvalidArgument
from xcos.types import Grids, Maps, Reals

Marginals = Literal["apc", "uniform", "cost"]
BLOCK = 64  # pairs moved at once, so that memory does not grow with their number


@dataclass(frozen=True)
class TransportWeighted:
    """Patch-wise earth mover's similarity: ``Σ T cos`` over all pairs of cells, with ``T`` the cheapest transport.

    Phan, Nguyen, "DeepFace-EMD: Re-Ranking Using Patch-Wise Earth Mover's Distance Improves Out-of-Distribution Face
    Identification" (CVPR 2022). The cost of moving a cell of one face to a cell of the other is 1 − their cosine;
    Sinkhorn's iteration with regularisation ``epsilon`` finds the transport, in at most ``iterations`` steps or until
    the row scaling moves by less than ``stop`` on average. How much each cell has to move (``marginals``):

    * ``apc``: its cosine with the other face's mean feature, or 0 if that is below 0; as shares of their sum;
    * ``cost``: its share of all costs;
    * ``uniform``: the same for all.

    Sinkhorn treats the two faces differently, as it stops early; here the transport is the mean of those from probe to
    reference and back, so that the score does not depend on their order (up to rounding).

    The maps are on the probe's grid, so swapping the faces gives the other face's maps: attention is the mass that
    leaves a cell, similarity the mean cosine it meets where it goes. A face compared with itself need not have
    similarity 1 in each cell, as the regularised transport spreads. If no cell resembles the other face's mean at all
    (``apc``), nothing moves and the score is 0.
    """

    marginals: Marginals = "apc"
    epsilon: float = 0.05
    iterations: int = 100
    stop: float = 0.1

    def __post_init__(self) -> None:
        if self.marginals not in get_args(Marginals):
            raise InvalidArgument(f"marginals must be one of {', '.join(get_args(Marginals))}, got {self.marginals!r}")
        if not (self.epsilon > 0 and self.iterations >= 1 and self.stop >= 0):
            raise InvalidArgument(
                f"want epsilon > 0, at least one iteration and stop ≥ 0, got {self.epsilon}, {self.iterations}, "
                f"{self.stop}"
            )

    @property
    def name(self) -> str:
        """``transport-`` and the marginals; settings other than the published ones are added."""
        settings = (self.epsilon, self.iterations, self.stop)
        published = (0.05, 100, 0.1)
        return f"transport-{self.marginals}" + ("" if settings == published else "-" + "-".join(map(str, settings)))

    def maps(self, probes: Grids, references: Grids) -> tuple[Maps, Maps]:
        """Similarity and attention on the probes' grids, ``(n, rows, cols)``; their product sums to ``Σ T cos``."""
        parts = [
            self._maps(probes[start : start + BLOCK], references[start : start + BLOCK])
            for start in range(0, max(len(probes), 1), BLOCK)
        ]
        similarity, attention = (np.concatenate(each).reshape(probes.shape[:3]) for each in zip(*parts, strict=True))
        return similarity, attention

    def _maps(self, probes: Grids, references: Grids) -> tuple[Maps, Maps]:
        flow = self.flow(probes, references)
        moved = flow.plan.sum(axis=2)
        met = np.divide((flow.plan * flow.cosines).sum(axis=2), moved, out=np.zeros_like(moved), where=moved > 0)
        return np.clip(met, -1, 1), moved

    def flow(self, probes: Grids, references: Grids) -> Flow:
        """The transport itself, of n pairs of grids, which need not have the same rows and columns."""
        if probes.ndim != 4 or references.ndim != 4 or len(probes) != len(references):
            raise InvalidArgument(
                f"want n pairs of grids (n, rows, cols, channels), got {probes.shape}, {references.shape}"
            )
        one, other = _unit_cells(probes), _unit_cells(references)
        cosines = one @ other.transpose(0, 2, 1)
        leaving, arriving = self._marginals(probes, references, cosines)
        kernel = np.exp((cosines - 1) / self.epsilon)
        there = self._sinkhorn(kernel, leaving, arriving)
        back = self._sinkhorn(kernel.transpose(0, 2, 1), arriving, leaving)
        return Flow((there + back.transpose(0, 2, 1)) / 2, cosines)

    def _marginals(self, probes: Grids, references: Grids, cosines: Reals) -> tuple[Reals, Reals]:
        """How much leaves each cell of the probe and arrives at each of the reference: (n, p) and (n, q)."""
        match self.marginals:
            case "uniform":
                amounts = np.ones(cosines.shape[:2]), np.ones((len(cosines), cosines.shape[2]))
            case "cost":
                amounts = (1 - cosines).sum(axis=2), (1 - cosines).sum(axis=1)
            case _:
                amounts = _likeness(probes, references), _likeness(references, probes)
        leaving, arriving = (_shares(np.maximum(amount, 0)) for amount in amounts)
        return leaving, arriving

    def _sinkhorn(self, kernel: Reals, leaving: Reals, arriving: Reals) -> Reals:
        """(n, p, q) plans; what arrives is met exactly, what leaves as nearly as the iteration went."""
        out, into = np.ones_like(leaving), np.ones_like(arriving)
        running = np.arange(len(kernel))  # each pair stops by itself: no pair depends on the others of a call
        for _ in range(self.iterations):
            rates = kernel[running]
            before = out[running]
            out[running] = _ratio(leaving[running], np.einsum("npq,nq->np", rates, into[running]))
            into[running] = _ratio(arriving[running], np.einsum("npq,np->nq", rates, out[running]))
            running = running[np.abs(out[running] - before).mean(axis=1) >= self.stop]
            if not len(running):
                break
        plans: Reals = out[:, :, None] * kernel * into[:, None, :]
        return plans


@dataclass(frozen=True, eq=False)
class Flow:
    """What moves from each cell of n probes to each cell of n references, cells counted row by row."""

    plan: Reals
    """``(n, p, q)`` ≥ 0; sums to 1, or to 0 where nothing moves."""
    cosines: Reals
    """``(n, p, q)``: how alike the two cells are."""

    @property
    def contributions(self) -> Reals:
        """``(n, p, q)``: what each move adds to the score."""
        return self.plan * self.cosines


def _unit_cells(grids: Grids) -> Reals:
    """(n, cells, channels), each cell of length 1, or 0 where it has no features."""
    cells = grids.reshape(len(grids), -1, grids.shape[3]).astype(np.float64)
    return _ratio(cells, np.linalg.norm(cells, axis=2, keepdims=True))


def _likeness(grids: Grids, others: Grids) -> Reals:
    """(n, cells): cosine of each cell with the other face's mean feature."""
    means = others.astype(np.float64).mean(axis=(1, 2))
    means = _ratio(means, np.linalg.norm(means, axis=1, keepdims=True))
    likeness: Reals = np.vecdot(_unit_cells(grids), means[:, None, :])
    return likeness


def _shares(amounts: Reals) -> Reals:
    """Each pair's amounts as shares of their sum; all 0 where there are none."""
    return _ratio(amounts, amounts.sum(axis=1, keepdims=True))


def _ratio(numbers: Reals, totals: Reals) -> Reals:
    """Quotients; 0 where the divisor is."""
    quotients: Reals = np.divide(numbers, totals, out=np.zeros_like(numbers), where=totals > 0)
    return quotients
