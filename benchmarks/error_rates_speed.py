"""What error rates of as many scores as IJB-C has cost, in one process.

    python benchmarks/error_rates_speed.py [--scores 15000000] [--mated 19557] [--people 3531] [--bootstrap]

Random float32 scores with the people of each pair. Printed are the seconds of processor time of each step, their sum
beside one np.sort of the same array, and the peak of the process's memory. The bootstrap over people is timed apart.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time
from collections.abc import Callable

import numpy as np

from xcos.evaluation.scores import ScoreSet
from xcos.evaluation.uncertainty import Estimates

FMRS = [10.0**-power for power in range(1, 7)]
SECONDS_BAR, MEMORY_BAR = 10.0, 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=int, default=15_000_000)
    parser.add_argument("--mated", type=int, default=19_557)
    parser.add_argument("--people", type=int, default=3_531)
    parser.add_argument("--bootstrap", action="store_true")
    options = parser.parse_args()
    scores = random_scores(options.scores, options.mated, options.people)
    print(f"{platform.machine()}, NumPy {np.__version__}: {options.scores:,} scores, {options.mated:,} of them mated")
    print(f"  memory with the scores alone {_gibibytes():.2f} GiB")
    sorting = _seconds(lambda: np.sort(scores.scores))
    estimates = Estimates(scores)
    whole = _timed("sorted", lambda: estimates.rates)
    rates = estimates.rates
    whole += _timed("curve, EER, AUC, best accuracy", lambda: (rates.curve, rates.eer, rates.auc, rates.best_accuracy))
    whole += _timed("CLLR and its least", lambda: (rates.cllr, rates.min_cllr))
    whole += _timed("FNMR at six FMRs", lambda: [rates.at_fmr(fmr) for fmr in FMRS])
    whole += _timed(
        "FMR and FNMR at these thresholds, with intervals",
        lambda: [(estimates.fmr(at), estimates.fnmr(at)) for at in (rates.at_fmr(fmr).threshold for fmr in FMRS)],
    )
    print(
        f"  together {whole:.1f} s{_judged(whole, SECONDS_BAR)}, {whole / sorting:.1f} x one np.sort ({sorting:.2f} s)"
    )
    print(f"  peak memory {_gibibytes():.2f} GiB{_judged(_gibibytes(), MEMORY_BAR)}")
    if options.bootstrap:
        _timed(f"bootstrap of {estimates.draws} draws", lambda: (estimates.eer(), estimates.fnmr_at_fmrs(FMRS)))
        print(f"  peak memory {_gibibytes():.2f} GiB")


def random_scores(count: int, mated: int, people: int) -> ScoreSet:
    """Normal scores, mated ones five deviations higher."""
    random = np.random.default_rng(0)
    scores = random.standard_normal(count, np.float32) / 10
    scores[:mated] += np.float32(0.5)
    probe = random.integers(0, people, count, np.int32)
    reference = (probe + random.integers(1, people, count, np.int32)) % np.int32(people)
    reference[:mated] = probe[:mated]
    return ScoreSet(scores, np.arange(count) < mated, probe, reference)


def _timed(name: str, work: Callable[[], object]) -> float:
    seconds = _seconds(work)
    print(f"  {name}: {seconds:.2f} s", flush=True)
    return seconds


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _gibibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _judged(measured: float, bar: float) -> str:
    return f" ({'within' if measured <= bar else 'ABOVE'} the bar of {bar:g})"


if __name__ == "__main__":
    main()
