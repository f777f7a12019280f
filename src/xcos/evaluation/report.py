"""A finished evaluation as files: ``report.json``, ``report.html``, ``report.md`` and a table of scores a matcher.

No clock and no path of this machine stands in them: the same photos and the same models give the same bytes. The page
is made from the document alone, so every number of it stands in ``report.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from xcos.evaluation.charts import det_chart, histogram_chart
from xcos.evaluation.embedding import FailedPhoto
from xcos.evaluation.figures import Against, Figures, Plain
from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.run import Scored
from xcos.evaluation.score_files import score_rows
from xcos.files import write_atomically
from xcos.version import __version__

SCHEMA = "xcos.evaluation/1"
TEMPLATES = Path(__file__).parents[1] / "data" / "templates"
UNKNOWN_PEOPLE = (
    "The set does not say who is who: photos linked by mated pairs count as one person, so there may be more people "
    "than there are, and intervals may be too narrow."
)
OPTIMISTIC = (
    "Accuracy by the field's procedure chooses its thresholds partly on the people it is measured on; the one with "
    "thresholds from other people does not."
)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one run found."""

    protocol: VerificationProtocol
    settings: dict[str, str]
    scored: tuple[Scored, ...]
    figures: tuple[Figures, ...]
    """One for each of ``scored``."""
    against: tuple[Against, ...]
    failures: tuple[FailedPhoto, ...]

    def to_dict(self) -> Plain:
        """The document of ``report.json``."""
        protocol = self.protocol
        return {
            "schema": SCHEMA,
            "version": __version__,
            "protocol": {
                "name": protocol.name,
                "sha256": protocol.sha256,
                "pairs": len(protocol),
                "mated": int(protocol.mated.sum()),
                "non_mated": int((~protocol.mated).sum()),
                "samples": len(protocol.samples),
                "photos": len(protocol.samples.photos),
                "people": len(set(protocol.samples.subjects.tolist())),
                "people_known": protocol.samples.subjects_known,
                "folds": protocol.folds,
            },
            "settings": self.settings,
            "caveats": [
                *([] if protocol.samples.subjects_known else [UNKNOWN_PEOPLE]),
                *([OPTIMISTIC] if protocol.folds > 1 else []),
            ],
            "matchers": [each.to_dict() for each in self.figures],
            "against": [each.to_dict() for each in self.against],
            "failures": [asdict(each) for each in self.failures],
        }


def write_evaluation(
    evaluation: Evaluation, out: Path, *, on_rows: Callable[[int], None] = lambda _: None
) -> list[Path]:
    """Writes all files into the folder ``out``, each whole or not at all; their paths.

    ``on_rows`` is told how many more rows of the tables of scores are written.
    """
    document = evaluation.to_dict()
    files = {
        "report.json": json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n",
        "report.html": report_html(evaluation),
        "report.md": report_markdown(evaluation.figures, evaluation.against),
    }
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"scores{f'-{at}' * (at > 1)}.csv" for at in range(1, len(evaluation.scored) + 1)]
    for path, scored in zip(paths, evaluation.scored, strict=True):
        write_atomically(path, score_rows(evaluation.protocol, scored, on_rows=on_rows))
    for name, text in files.items():
        write_atomically(out / name, text.encode("utf-8", "surrogateescape"))
    return [*(out / name for name in files), *paths]


def report_html(evaluation: Evaluation) -> str:
    """The page, self-contained."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    least = 0.5 / max(1, int((~evaluation.protocol.mated).sum()))
    return environment.get_template("evaluation.html").render(
        document=evaluation.to_dict(),
        det=det_chart(evaluation.figures, least),
        histograms=[histogram_chart(each) for each in evaluation.figures],
    )


def report_markdown(figures: Sequence[Figures], against: Sequence[Against]) -> str:
    """A summary to paste: one row for each matcher, then the differences."""
    lines = ["| matcher | failure to acquire | EER | FNMR at FMR 1e-2 | at 1e-3 | accuracy over folds, other people |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for each in figures:
        at = {point.fmr: point.fnmr for point in each.points}
        cells = [each.matcher, str(each.fta), str(each.eer), str(at[1e-2]), str(at[1e-3])]
        lines.append(f"| {' | '.join([*cells, str(each.disjoint_estimate or 'no folds')])} |")
    for pair in against:
        lines += ["", f"{pair.one} less {pair.other}: EER {pair.eer}, AUC {pair.auc}"]
    return "\n".join(lines) + "\n"
