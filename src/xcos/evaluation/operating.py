"""The one threshold at which a report counts errors, and what happens there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xcos.evaluation.error_rates import TransactionRates
from xcos.evaluation.uncertainty import Estimate, Estimates

Plain = dict[str, object]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what happens there.

    It was chosen on the very pairs it is used on: an application's threshold comes from other people.
    """

    fmr: float | None
    """Asked for; None: the threshold of the equal error rate."""
    threshold: float
    measured: Estimate
    """False match rate there."""
    fnmr: Estimate
    """There; its interval knows that the threshold was chosen, where a false match rate chose it."""
    transactions: TransactionRates | None
    """Rates of a system of one attempt; None where all comparisons of a kind failed, or where it is not known what
    failed."""

    @property
    def told(self) -> str:
        """Which threshold it is, in words."""
        return f"{self.threshold:.4f}, of {'the equal error rate' if self.fmr is None else f'FMR {self.fmr:g}'}"

    def to_dict(self) -> Plain:
        """Plain JSON values."""
        rates = self.transactions
        return {
            "fmr": self.fmr,
            "threshold": shown(self.threshold)["value"],
            "text": self.told,
            "measured_fmr": self.measured.to_dict(),
            "fnmr": self.fnmr.to_dict(),
            "transactions": None
            if rates is None
            else {name: shown(getattr(rates, name)) for name in ("far", "frr", "gfar", "gfrr")},
        }


def common_rate(estimates: Sequence[Estimates], rates: Sequence[float]) -> float | None:
    """The lowest of the rates that the scores of every matcher support, so that they are counted alike; None: none."""
    return min((rate for rate in rates if all(each.supports(rate) for each in estimates)), default=None)


def operating_point(estimates: Estimates, fmr: float | None, *, fta: Estimate, fte: Estimate) -> OperatingPoint:
    """The operating point at a false match rate that the sample supports, or for None at the equal error rate."""
    rates = estimates.rates
    threshold = rates.eer.threshold if fmr is None else rates.at_fmr(fmr).threshold
    made = rates.failed_mated < len(rates.mated) and rates.failed_non_mated < len(rates.non_mated)
    known = fta.supported and fte.supported
    return OperatingPoint(
        fmr,
        threshold,
        estimates.fmr(threshold),
        estimates.fnmr(threshold) if fmr is None else estimates.fnmr_at_fmr(fmr),
        rates.transactions(threshold, fta=fta.value, fte=fte.value) if made and known else None,
    )


def shown(value: float) -> Plain:
    """A number for JSON, and how a page prints it; null where it is not defined."""
    defined = bool(np.isfinite(value))
    return {"value": value if defined else None, "text": f"{value:.4g}" if defined else "not defined"}
