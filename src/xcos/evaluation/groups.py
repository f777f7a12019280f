"""Error rates of the groups that a protocol names, at one threshold for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.evaluation.differentials import (
    Differentials,
    fairness_discrepancy,
    garbe,
    inequity_rate,
    max_over_geometric_mean,
    rates_by_group,
)
from xcos.evaluation.operating import Plain, shown
from xcos.evaluation.scores import ScoreSet
from xcos.types import Reals

MOST_GROUPS = 50
FIGURES: dict[str, Callable[[Reals, Reals], float]] = {
    "fairness discrepancy rate (FDR); 1 is fair": fairness_discrepancy,
    "inequity rate (IR); 1 is fair": inequity_rate,
    "GARBE; 0 is fair": garbe,
    "greatest FMR over the geometric mean; 1 is fair": lambda fmr, _: max_over_geometric_mean(fmr),
    "greatest FNMR over the geometric mean; 1 is fair": lambda _, fnmr: max_over_geometric_mean(fnmr),
}


@dataclass(frozen=True)
class GroupFigures:
    """One column of labels: rates of its groups, or why there are none."""

    column: str
    rates: Differentials | None
    reason: str = ""

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        found = self.rates
        if found is None:
            return {"column": self.column, "reason": self.reason, "groups": [], "figures": [], "unlabelled": None}
        return {
            "column": self.column,
            "reason": "",
            "groups": [
                {
                    "group": each.group,
                    "fmr": each.fmr.to_dict(),
                    "fnmr": each.fnmr.to_dict(),
                    "few_errors": list(each.few),
                }
                for each in found.groups
            ],
            "figures": [{"name": name, **shown(figure(found.fmr, found.fnmr))} for name, figure in FIGURES.items()],
            "unlabelled": found.unlabelled,
        }


def group_figures(
    scores: ScoreSet, groups: Mapping[str, NDArray[np.str_]], *, threshold: float
) -> tuple[GroupFigures, ...]:
    """For each column of labels, by its name, the rates of its groups at ``threshold``."""
    return tuple(_of_column(scores, column, labels, threshold) for column, labels in groups.items())


def _of_column(scores: ScoreSet, column: str, labels: NDArray[np.str_], threshold: float) -> GroupFigures:
    names = len(np.unique(labels[labels != ""]))
    if names > MOST_GROUPS:
        return GroupFigures(column, None, f"{names:,} different labels; up to {MOST_GROUPS} are taken for groups")
    try:
        return GroupFigures(column, rates_by_group(scores, labels, threshold=threshold))
    except InvalidArgument as error:
        return GroupFigures(column, None, str(error))
