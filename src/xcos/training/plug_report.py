"""What ``xcos plug`` measured, as JSON and as a page to read."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from xcos.training.features import LeftOut
from xcos.training.fit import FitSettings
from xcos.training.measure import Figure, Measured

SCHEMA = "xcos.plug/1"
LISTED = 50


@dataclass(frozen=True)
class PlugReport:
    """Where a model folder comes from and how good it is; figures are of the test people."""

    model: str
    original: str
    """SHA-256 of the user's network."""
    head: str
    detector: str
    dataset: str
    grid: tuple[int, ...]
    """(rows, cols, channels)."""
    settings: FitSettings | None
    """How the head was fitted; None for one that was trained before."""
    photos: dict[str, int]
    people: dict[str, int]
    several: dict[str, int]
    """People with two photos or more."""
    left_out: tuple[LeftOut, ...]
    measured: tuple[Measured, ...]
    pairs: tuple[int, int]
    """Mated and non-mated pairs of the test people."""
    least_fmr: dict[str, float]
    """Smallest false match rate that each calibration supports."""
    date: str


def report_json(report: PlugReport) -> str:
    """Everything, as JSON."""
    return json.dumps({"schema": SCHEMA, **dataclasses.asdict(report)}, indent=1) + "\n"


def report_text(report: PlugReport) -> str:
    """A page in Markdown."""
    mated, others = report.pairs
    fitted = "fitted and calibrated" if report.settings is not None else "trained before, calibrated"
    parts = [
        f"| {part} | {report.people[part]:,} | {report.several[part]:,} | {report.photos[part]:,} |"
        for part in report.photos
    ]
    return "\n".join(
        [
            f"# {report.head}",
            "",
            f"A head for `{report.model}` (grid {' × '.join(map(str, report.grid))}), {fitted} on {report.dataset}, "
            f"faces found by {report.detector}, {report.date}.",
            "",
            "## Who served for what",
            "",
            "People are divided by the hash of their name; nobody is in two parts.",
            "",
            "| part | people | with several photos | photos |",
            "| --- | --- | --- | --- |",
            *parts,
            "",
            *_left_out(report.left_out),
            "## Figures on the test people",
            "",
            f"All pairs: {mated:,} mated, {others:,} non-mated. In brackets the 95 % interval of a bootstrap over "
            "people. *Accuracy* is the mean of both kinds' shares at the best threshold of these very pairs; "
            "*Spearman* is the rank correlation with the network's own cosine (`vector`).",
            "",
            *measured_table(report.measured),
            "",
            "`vector` is the network as it was; `uniform` and `norm` weigh its raw grid without learning. Whether "
            "network or head were trained on some of these people is not known here."
            if "vector" in report.least_fmr
            else "The network gives no vector of its own, so that there is no second opinion. `uniform` and `norm` "
            "weigh its raw grid without learning. Whether it was trained on some of these people is not known here.",
            "",
            "## Thresholds",
            "",
            f"The calibrations support false match rates down to {_least(report.least_fmr)}; ask for less and the card "
            "refuses.",
            "",
        ]
    )


def measured_table(measured: tuple[Measured, ...]) -> list[str]:
    """Lines of a Markdown table."""
    rates = list(dict.fromkeys(rate for each in measured for rate in each.fnmr))
    head = ["comparator", "accuracy", "EER", *(f"FNMR at FMR {rate:g}" for rate in rates), "Spearman"]
    rows = [
        [
            each.comparator,
            _shown(each.accuracy),
            _shown(each.eer),
            *(_shown(each.fnmr[rate]) for rate in rates),
            "–" if each.spearman is None else f"{each.spearman:.3f}",
        ]
        for each in measured
    ]
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _least(rates: dict[str, float]) -> str:
    return " and ".join(f"{rate:.1e} ({name})" for name, rate in rates.items())


def _shown(figure: Figure) -> str:
    return f"{100 * figure.value:.2f} % [{100 * figure.low:.2f}, {100 * figure.high:.2f}]"


def _left_out(left_out: tuple[LeftOut, ...]) -> list[str]:
    if not left_out:
        return ["Every photo could be used.", ""]
    codes = sorted({each.code for each in left_out})
    counts = ", ".join(f"{sum(each.code == code for each in left_out)} {code}" for code in codes)
    rest = len(left_out) - LISTED
    return [
        f"{len(left_out):,} photos could not be used: {counts}.",
        "",
        *(f"* `{each.photo}`: {each.code}" for each in left_out[:LISTED]),
        *([f"* and {rest:,} more, all in `report.json`"] if rest > 0 else []),
        "",
    ]
