"""A finished evaluation of searches as files, as :mod:`xcos.evaluation.report` writes those of pairs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from xcos.evaluation.embedding import FailedPhoto
from xcos.evaluation.protocol import IdentificationProtocol
from xcos.evaluation.report import TEMPLATES
from xcos.evaluation.scores import FAILED
from xcos.evaluation.search_figures import Plain, SearchesAgainst, SearchFigures
from xcos.evaluation.searching import Searched
from xcos.files import write_atomically
from xcos.version import __version__

SCHEMA = "xcos.searches/1"


@dataclass(frozen=True, eq=False)
class SearchEvaluation:
    """What one run found."""

    protocol: IdentificationProtocol
    settings: dict[str, str]
    searched: tuple[Searched, ...]
    figures: tuple[SearchFigures, ...]
    """One for each of ``searched``."""
    against: tuple[SearchesAgainst, ...]
    failures: tuple[FailedPhoto, ...]

    def to_dict(self) -> Plain:
        """The document of ``report.json``."""
        protocol, mated = self.protocol, self.searched[0].mated
        return {
            "schema": SCHEMA,
            "version": __version__,
            "protocol": {
                "name": protocol.name,
                "sha256": protocol.sha256,
                "searches": len(protocol.probes),
                "mated": int(mated.sum()),
                "non_mated": int((~mated).sum()),
                "gallery_people": self.searched[0].searches.gallery,
                "gallery_samples": len(protocol.gallery),
                "photos": len(protocol.samples.photos),
            },
            "settings": self.settings,
            "matchers": [each.to_dict() for each in self.figures],
            "against": [each.to_dict() for each in self.against],
            "failures": [asdict(each) for each in self.failures],
        }


def write_searches(evaluation: SearchEvaluation, out: Path) -> list[Path]:
    """Writes all files into the folder ``out``, each whole or not at all; their paths."""
    document = evaluation.to_dict()
    files = {
        "report.json": json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n",
        "report.html": _html(document),
        "report.md": searches_markdown(evaluation.figures, evaluation.against),
    }
    for at, searched in enumerate(evaluation.searched, start=1):
        files[f"searches{f'-{at}' * (at > 1)}.csv"] = searches_csv(evaluation.protocol, searched)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_atomically(out / name, text.encode("utf-8", "surrogateescape"))
    return [out / name for name in files]


def _html(document: Plain) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("searches.html").render(document=document)


def searches_markdown(figures: Sequence[SearchFigures], against: Sequence[SearchesAgainst]) -> str:
    """A summary to paste: one row for each matcher, then the differences."""
    ranks = [point.rank for point in figures[0].ranks if point.rank in (1, 5, 20)]
    rates = [point.fpir for point in figures[0].points if point.fpir in (1e-1, 1e-2)]
    heads = ["matcher", "failure to acquire", *(f"rank {rank}" for rank in ranks)]
    heads += [f"FNIR at FPIR {rate:g}" for rate in rates]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for each in figures:
        cells = [each.matcher, str(each.fta)]
        cells += [str(point.hit_rate) for point in each.ranks if point.rank in ranks]
        cells += [str(point.fnir) for point in each.points if point.fpir in rates]
        lines.append(f"| {' | '.join(cells)} |")
    for pair in against:
        told = "; ".join(f"rank {each.rank} {each.hit_rate}" for each in pair.ranks if each.rank in ranks)
        lines += ["", f"{pair.one} less {pair.other}: {told}"]
    return "\n".join(lines) + "\n"


def searches_csv(protocol: IdentificationProtocol, searched: Searched) -> str:
    """A row for each search: the mate's rank and score where there is a mate, else the best candidate's score."""
    searches, mated = searched.searches, searched.mated
    rank, best = np.zeros(len(mated), np.int64), np.zeros(len(mated))
    rank[mated], best[mated], best[~mated] = searches.rank, searches.mate, searches.top
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["probe", "subject", "mated", "rank", "score", "error"])
    for at, sample in enumerate(protocol.probes.tolist()):
        found = best[at] != FAILED
        writer.writerow(
            [
                protocol.samples.name(sample),
                int(protocol.samples.subjects[sample]),
                int(mated[at]),
                int(rank[at]) if mated[at] and found else "",
                repr(float(best[at])) if found else "",
                "" if found else "failure_to_acquire",
            ]
        )
    return file.getvalue()
