"""A finished evaluation as files: ``report.json``, ``report.html``, ``report.md`` and a table of scores a matcher.

No clock and no path of this machine stands in them, and the only times are those that the features' cache keeps: over
the same cache the same photos and models give the same bytes, and with another cache all but ``timings``, which
``findings_sha256`` leaves out, is the same. The page is made from the document alone, apart from pixels, so every
number of it stands in ``report.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from xcos.evaluation.charts import det_chart, histogram_chart, swatch
from xcos.evaluation.evidence import Evidence
from xcos.evaluation.evidence_svg import evidence_panels
from xcos.evaluation.figures import Against, Figures
from xcos.evaluation.operating import Plain
from xcos.evaluation.protocol import VerificationProtocol
from xcos.evaluation.run import Scored
from xcos.evaluation.score_files import score_rows
from xcos.evaluation.timings import PhotoTimes, comparison_times
from xcos.files import write_atomically
from xcos.version import __version__

SCHEMA = "xcos.evaluation/1"
TEMPLATES = Path(__file__).parents[1] / "data" / "templates"
PICTURED = 5
"""So many of the hardest pairs of each kind are shown with their evidence."""
LISTED = 50
"""So many failures stand on the page; all stand in the document."""
UNKNOWN_PEOPLE = (
    "The set does not say who is who: photos linked by mated pairs count as one person, so there may be more people "
    "than there are, and intervals may be too narrow."
)
OPTIMISTIC = (
    "Accuracy over folds as published chooses its thresholds partly on the people it is measured on; the nested one "
    "does not."
)
CAVEATS = (
    "Intervals are 95 % intervals over people, not over pairs. A false match rate that fewer than 30 independent false "
    "matches support has no number.",
    "A photo without a template is an error of its pairs: they never match and stay in every denominator. FAR and FRR "
    "count it once, as a failure to acquire (FTA, of all samples); GFAR and GFRR as a failure to enrol too (FTE, of "
    "references).",
    "The operating point is the lowest false match rate asked for that the scores of every matcher support, the equal "
    "error rate where there is none; error versus discard, which compares no matchers, has the lowest that this one "
    "supports. Its threshold was chosen on these very pairs; an application takes one from other people (a calibration "
    "card).",
)
EVIDENCE_CAVEAT = (
    "In the evidence a cell reaches what the threshold asks of it, or has a dark corner; attention is its weight, and "
    "the contributions sum to the score. A cell's place is nominal: it sees more of the face than its square."
)
FACES = "This page shows faces from the data set: treat it as you treat the photos."
TIMES = (
    "Times are those that were kept with the features when each photo was first embedded, by one of several threads of "
    "whatever machine that was; of comparing, those of the first run over this cache."
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
    evidence: tuple[Mapping[int, Evidence], ...] = ()
    """For each of ``scored``, the evidence of some pairs by their row; empty: no pictures."""
    photo_times: tuple[PhotoTimes, ...] = ()
    """One for each model that embedded photos."""

    def to_dict(self) -> Plain:
        """The document of ``report.json``."""
        protocol = self.protocol
        findings: Plain = {
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
            "caveats": self._caveats(),
            "matchers": [
                {"letter": letter(at), **_with_evidence(each, self._evidence_of(at))}
                for at, each in enumerate(self.figures)
            ],
            "against": [
                {"letters": [letter(0), letter(at)], **each.to_dict()} for at, each in enumerate(self.against, start=1)
            ],
            "failures": self._failures(),
        }
        encoded = json.dumps(findings, sort_keys=True, allow_nan=False).encode("utf-8", "surrogateescape")
        return {
            **findings,
            "findings_sha256": hashlib.sha256(encoded).hexdigest(),
            "timings": {
                "models": [each.to_dict() for each in self.photo_times],
                "comparisons": comparison_times(self.scored),
                "text": TIMES,
            },
        }

    def panels(self) -> list[dict[int, list[tuple[str, str]]]]:
        """For each matcher the drawings of its pairs by their row."""
        return [
            {row: evidence_panels(each, figures.operating.threshold) for row, each in self._evidence_of(at).items()}
            for at, figures in enumerate(self.figures)
        ]

    def _caveats(self) -> list[str]:
        shown = any(self.evidence)
        return [
            *CAVEATS,
            *([] if self.protocol.samples.subjects_known else [UNKNOWN_PEOPLE]),
            *([OPTIMISTIC] if self.protocol.folds > 1 else []),
            *([EVIDENCE_CAVEAT, FACES] if shown else []),
        ]

    def _evidence_of(self, at: int) -> Mapping[int, Evidence]:
        return self.evidence[at] if self.evidence else {}

    def _failures(self) -> list[Plain]:
        """Every failure once, with the letters of the matchers that had it."""
        letters: dict[tuple[str, str, str], list[str]] = {}
        for at, each in enumerate(self.scored):
            for failure in each.failures:
                letters.setdefault((failure.name, failure.code, failure.message), []).append(letter(at))
        return [
            {"name": name, "code": code, "message": message, "matchers": of}
            for (name, code, message), of in letters.items()
        ]


def letter(at: int) -> str:
    """What the matcher at this place is called on the page."""
    return ascii_uppercase[at] if at < len(ascii_uppercase) else f"Z{at}"


def pictured_rows(figures: Figures) -> list[int]:
    """Rows of the pairs that are shown with their evidence."""
    return [pair.row for pairs in (figures.false_matches, figures.false_non_matches) for pair in pairs[:PICTURED]]


def _with_evidence(figures: Figures, evidence: Mapping[int, Evidence]) -> Plain:
    document = figures.to_dict()
    for name, pairs in (("false_matches", figures.false_matches), ("false_non_matches", figures.false_non_matches)):
        document[name] = [
            pair.to_dict()
            | ({"evidence": evidence[pair.row].to_dict(figures.operating.threshold)} if pair.row in evidence else {})
            for pair in pairs
        ]
    return document


def write_evaluation(
    evaluation: Evaluation, out: Path, *, on_rows: Callable[[int], None] = lambda _: None
) -> list[Path]:
    """Writes all files into the folder ``out``, each whole or not at all; their paths.

    ``on_rows`` is told how many more rows of the tables of scores are written.
    """
    document = evaluation.to_dict()
    files = {
        "report.json": json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n",
        "report.html": report_html(evaluation, document),
        "report.md": report_markdown(evaluation.figures, evaluation.against),
    }
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"scores{f'-{at}' * (at > 1)}.csv" for at in range(1, len(evaluation.scored) + 1)]
    for path, scored in zip(paths, evaluation.scored, strict=True):
        write_atomically(path, score_rows(evaluation.protocol, scored, on_rows=on_rows))
    for name, text in files.items():
        write_atomically(out / name, text.encode("utf-8", "surrogateescape"))
    return [*(out / name for name in files), *paths]


def report_html(evaluation: Evaluation, document: Plain) -> str:
    """The page, self-contained; ``document`` is that of the evaluation."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    mated = int(evaluation.protocol.mated.sum())
    return environment.get_template("evaluation.html").render(
        document=document,
        det=det_chart(evaluation.figures, len(evaluation.protocol) - mated, mated),
        histograms=[histogram_chart(each) for each in evaluation.figures],
        swatches=[swatch(at) for at in range(len(evaluation.figures))],
        panels=evaluation.panels(),
        listed=LISTED,
    )


def report_markdown(figures: Sequence[Figures], against: Sequence[Against]) -> str:
    """A summary to paste: one row for each matcher, then the differences."""
    folds = any(each.folds for each in figures)
    header = ["", "matcher", "failure to acquire", "EER", "FMR at the operating point", "FNMR there"]
    header += ["nested accuracy over folds"] if folds else []
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for at, each in enumerate(figures):
        point = each.operating
        cells = [letter(at), each.matcher, str(each.fta), str(each.eer), str(point.measured), str(point.fnmr)]
        lines.append(f"| {' | '.join([*cells, *([str(each.nested)] if folds else [])])} |")
    for at, pair in enumerate(against, start=1):
        lines += ["", f"{letter(0)} less {letter(at)}: EER {pair.eer}, AUC {pair.auc}"]
    return "\n".join(lines) + "\n"
