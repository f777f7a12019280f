"""Patch-wise earth mover's distance: which part of one face finds its like in which part of the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xcos.comparators.transport import Marginals, TransportWeighted
from xcos.explainers.cells import cell_explanation
from xcos.explainers.explanation import Explanation
from xcos.explainers.masking import Pair, open_pair
from xcos.explainers.matcher import Matcher
from xcos.explainers.settings import settings_of
from xcos.types import AlignedFace, Reals, freeze


@dataclass(frozen=True)
class Transport:
    """What each cell adds to the transport sum between the two grids, on the grid of either photo (DeepFace-EMD).

    The cells of either map sum to ``Σ T cos`` (:class:`~xcos.comparators.transport.TransportWeighted`). That is the
    matcher's score only where the matcher compares by it. Unlike maps of equal cells this one follows a feature that
    stands elsewhere in the other photo; :meth:`flow` says where.
    """

    matcher: Matcher
    marginals: Marginals = "apc"
    epsilon: float = 0.05
    iterations: int = 100
    stop: float = 0.1
    name: str = "transport"

    def __post_init__(self) -> None:
        self.comparator  # noqa: B018  options that cannot be are refused when they are given

    @property
    def comparator(self) -> TransportWeighted:
        """Whose score the cells sum to."""
        return TransportWeighted(self.marginals, self.epsilon, self.iterations, self.stop)

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps whose cells sum to the transport sum; two passes."""
        pair = open_pair(self.matcher, probe, reference)
        flow = self._flow(pair)
        probe_cells, reference_cells = flow.contributions.sum(axis=(2, 3)), flow.contributions.sum(axis=(0, 1))
        return cell_explanation(self.name, pair, probe_cells, reference_cells, settings_of(self))

    def flow(self, probe: AlignedFace, reference: AlignedFace) -> CellFlow:
        """Where the mass of each of the probe's cells goes; two passes."""
        return self._flow(open_pair(self.matcher, probe, reference))

    def _flow(self, pair: Pair) -> CellFlow:
        grids = [each.grids for each in pair.templates]
        flow = self.comparator.flow(*grids)
        shape = *grids[0].shape[1:3], *grids[1].shape[1:3]
        return CellFlow(flow.plan[0].reshape(shape), flow.cosines[0].reshape(shape))


@dataclass(frozen=True, eq=False)
class CellFlow:
    """The transport between the cells of one pair."""

    plan: Reals
    """``(rows, cols, rows, cols)`` ≥ 0: mass from a cell of the probe to a cell of the reference."""
    cosines: Reals
    """``(rows, cols, rows, cols)``."""

    def __post_init__(self) -> None:
        freeze(self, plan=self.plan, cosines=self.cosines)

    @property
    def contributions(self) -> Reals:
        """``(rows, cols, rows, cols)``: what each move adds to the transport sum."""
        return self.plan * self.cosines

    @property
    def staying(self) -> float:
        """Share of the mass that goes to the cell of the same row and column."""
        rows, cols = (min(self.plan.shape[axis], self.plan.shape[axis + 2]) for axis in (0, 1))
        stays = sum(float(self.plan[row, col, row, col]) for row in range(rows) for col in range(cols))
        total = float(self.plan.sum())
        return stays / total if total > 0 else 0.0

    def strongest(self, count: int, *, leaving: bool = False) -> list[Move]:
        """The moves that add most, strongest first; with ``leaving`` only those to another row or column."""
        adds = self.contributions.copy()
        if leaving:
            a, b, c, d = np.indices(adds.shape)
            adds[(a == c) & (b == d)] = -np.inf
        order = np.argsort(-adds, axis=None, kind="stable")
        order = order[np.isfinite(adds.ravel()[order])][:count]
        places = np.stack(np.unravel_index(order, self.plan.shape), axis=1).tolist()
        return [
            Move((a, b), (c, d), float(self.plan[a, b, c, d]), float(self.cosines[a, b, c, d])) for a, b, c, d in places
        ]


@dataclass(frozen=True)
class Move:
    """Mass that goes from one cell of the probe to one of the reference."""

    source: tuple[int, int]
    """Row and column on the probe's grid."""
    target: tuple[int, int]
    """Row and column on the reference's grid."""
    mass: float
    cosine: float
