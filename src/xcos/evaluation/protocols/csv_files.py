"""Plain tables: a list of pairs of one's own, and scores that another program computed."""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xcos.evaluation.protocol import Numbers, VerificationProtocol
from xcos.evaluation.protocols.lists import Place, number, read_bytes, refused, shown
from xcos.evaluation.protocols.pairing import NamedSamples, PairList
from xcos.evaluation.scores import FAILED, ScoreSet
from xcos.tables import TRUTHS, Row, Table, read_table

PAIR = ("probe", "reference", "mated")
SUBJECTS = ("probe_subject", "reference_subject")
SCORES = ("score", "error")
ROWS_AT_ONCE = 10_000
"""Between two words to those who wait."""
Scores = Literal["refused", "not read", "wanted"]
"""What becomes of a column of scores."""
NO_LABELS = ("llr", "decision", "reasons")
"""Further columns of what ``xcos verify --pairs`` writes; they describe a score, not the people of a pair."""
_SCORE = re.compile(r"[+-]?(inf|infinity|nan|([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?)", re.I)


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores from elsewhere, with what the table says of each pair."""

    scores: ScoreSet
    probe: tuple[str, ...]
    """(n) names, as written."""
    reference: tuple[str, ...]
    fold: Numbers
    """(n,) from 0; all 0 where the table has no folds."""
    subjects_known: bool
    """False where the table has no columns of people: then those linked by mated pairs are one person."""
    people: tuple[str, ...]
    """(subjects,) names by the number of the subject; where people are unknown, the first of their samples' names in
    alphabetical order, which does not depend on the order of the rows."""
    groups: Mapping[str, NDArray[np.str_]]
    """Labels by the name of the column, (n,) each."""
    sha256: str
    """Of the file's bytes."""

    def __len__(self) -> int:
        return len(self.probe)


def read_csv(path: Path, *, as_published: bool = False, with_photos: bool = True) -> VerificationProtocol:
    """Pairs in a CSV file: ``probe,reference,mated[,fold][,probe_subject,reference_subject]``, in any order.

    ``mated`` is 1 or 0 (also yes, no, true, false). Paths start from the file's folder; absolute ones and those that
    lead out of it are the user's own affair. ``fold`` is numbered without gaps from 0 or 1. Any other column is a
    label of the pair (``groups``), empty where it is not said. Without the columns of people those linked by mated
    pairs are one person (``subjects_known`` is False). UTF-8, with or without byte order mark, LF or CRLF, quotes as
    usual; names of files that are not UTF-8 are kept. Columns of scores are refused, and without ``with_photos`` not
    read. Raises :class:`~xcos.errors.InvalidProtocol` with the line.
    """
    table, sha256 = table_in(path)
    columns = _Columns(table, path, scores="refused" if with_photos else "not read")
    pairs = PairList(NamedSamples(), columns.labels)
    for row in table.rows:
        columns.add(pairs, row, lambda name: str(Path(name)))
    fold = columns.folds(pairs)
    return pairs.protocol(
        "csv", path.parent, None, sha256, as_published=as_published, with_photos=with_photos, fold=fold
    )


def read_scores(
    path: Path,
    *,
    as_published: bool = False,
    on_lines: Callable[[int], None] = lambda _: None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> ScoreTable:
    """Scores of pairs in a CSV file: the columns of :func:`read_csv` and ``score``, and ``error`` where wanted.

    Names need not be those of files. A score is a number, higher for more alike, infinite ones too; NaN is refused. A
    row without a score must say why in the column ``error``: then it is a pair that could not be compared, and its
    score is −∞ (:data:`~xcos.evaluation.scores.FAILED`), as if ``-inf`` were written. A row with both is refused. The
    columns ``llr``, ``decision`` and ``reasons`` of ``xcos verify --pairs`` are left out of ``groups``. ``on_lines`` is
    told how many lines there are, and ``on_rows`` how many more rows are read.
    """
    table, sha256 = table_in(path)
    on_lines(table.lines)
    columns = _Columns(table, path, scores="wanted")
    pairs = PairList(NamedSamples(), columns.labels)
    scores = array("d")
    named: tuple[list[str], list[str]] = ([], [])
    for row in table.rows:
        columns.add(pairs, row, str)
        scores.append(columns.score(row))
        for names, cell in zip(named, columns.names(row), strict=True):
            names.append(cell)
        if len(scores) % ROWS_AT_ONCE == 0:
            on_rows(ROWS_AT_ONCE)
    fold = columns.folds(pairs)
    probe, reference, mated = pairs.columns(as_published=as_published)
    subjects, known = pairs.subjects(probe, reference, mated)
    return ScoreTable(
        scores=ScoreSet(np.array(scores, np.float64), mated, subjects[probe], subjects[reference]),
        probe=tuple(named[0]),
        reference=tuple(named[1]),
        fold=fold,
        subjects_known=known,
        people=_people(pairs.samples, subjects, known=known),
        groups=pairs.groups,
        sha256=sha256,
    )


def _people(samples: NamedSamples, subjects: Numbers, *, known: bool) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for subject, name, person in zip(subjects.tolist(), samples.names, samples.subjects, strict=True):
        names[subject] = str(person) if known else min(name, names.get(subject, name))
    return tuple(names[subject] for subject in range(len(names)))


def table_in(path: Path) -> tuple[Table, str]:
    """The table in a file, and the SHA-256 of its bytes."""
    content = read_bytes(path, None)
    table = read_table(content, lambda what, line: refused(Place(path, line), what))
    return table, hashlib.sha256(content).hexdigest()


def score_of(told: str, error: str, place: Place) -> float:
    """The score that a row tells, −∞ where it tells an error instead."""
    told, error = told.strip(), error.strip()
    if not told and error:
        return FAILED
    if error:
        raise refused(place, f"a score, {shown(told)}, and an error, {shown(error)}; a pair has one of them")
    if not _SCORE.fullmatch(told) or math.isnan(float(told)):
        raise refused(place, f"score must be a number and not NaN, got {shown(told)}; for a pair that failed say error")
    return float(told)


class _Columns:
    """Where the columns of a table are."""

    def __init__(self, table: Table, path: Path, *, scores: Scores) -> None:
        self._path = path
        reserved = {*PAIR, *SUBJECTS, *SCORES, "fold"}
        names = [name.lower() if name.lower() in reserved else name for name in table.columns]
        self._at = {name: at for at, name in enumerate(names)}
        self._count = len(names)
        self._require(names, scores)
        known = reserved | set(NO_LABELS) if scores != "refused" and "score" in names else reserved
        self.labels = tuple(name for name in names if name not in known)

    def _require(self, names: list[str], scores: Scores) -> None:
        place = Place(self._path, 1)
        wanted = (*PAIR, "score") if scores == "wanted" else PAIR
        missing = [name for name in wanted if name not in names]
        if missing:
            raise refused(
                place, f"no column {', '.join(missing)} among {shown(','.join(names))}; wanted {','.join(wanted)}"
            )
        if len(self._at) != self._count or "" in self._at:
            raise refused(place, f"columns must have names, each its own; got {shown(','.join(names))}")
        if len(set(SUBJECTS) & set(names)) == 1:
            raise refused(place, f"the columns {' and '.join(SUBJECTS)} go together; got one of them")
        extra = [name for name in SCORES if name in names and scores == "refused"]
        if extra:
            raise refused(place, f"a column {extra[0]}: this is a table of scores, and a list of pairs is wanted")

    def add(self, pairs: PairList, row: Row, spelling: Callable[[str], str]) -> None:
        """Adds the pair of a row; ``spelling`` gives one name for all spellings of it."""
        place = Place(self._path, row.line)
        if len(row.cells) != self._count:
            raise refused(
                place, f"{self._count} columns were expected, got {len(row.cells)}: {shown(','.join(row.cells))}"
            )
        samples = []
        for name, column in zip(self.names(row), SUBJECTS, strict=True):
            if not name:
                raise refused(place, "probe and reference must both be named")
            subject = row.cells[self._at[column]].strip() if column in self._at else None
            if subject == "":
                raise refused(place, f"{column} is empty; say who it is in every row, or leave both columns out")
            samples.append(pairs.samples.number(spelling(name), place, subject))
        mated = row.cells[self._at["mated"]]
        if mated.strip().lower() not in TRUTHS:
            raise refused(place, f"mated must be 1 or 0, got {shown(mated)}")
        fold = number(row.cells[self._at["fold"]].strip(), place, "fold") if "fold" in self._at else 0
        labels = [row.cells[self._at[label]] for label in self.labels]
        pairs.add(place, *samples, mated=TRUTHS[mated.strip().lower()], fold=fold, labels=labels)

    def names(self, row: Row) -> tuple[str, str]:
        """Probe and reference of a row, as written."""
        return row.cells[self._at["probe"]], row.cells[self._at["reference"]]

    def score(self, row: Row) -> float:
        """The score of a row, −∞ where an error is told instead."""
        error = row.cells[self._at["error"]] if "error" in self._at else ""
        return score_of(row.cells[self._at["score"]], error, Place(self._path, row.line))

    def folds(self, pairs: PairList) -> Numbers:
        """(n,) folds from 0, where they are numbered without gaps from 0 or 1."""
        if not len(pairs):
            raise refused(Place(self._path, 1), "there are no pairs below the header")
        fold = pairs.fold
        used = np.unique(fold)
        odd = used[:1] if used[0] > 1 else used[1:][np.diff(used) > 1]
        if len(odd):
            at = int(np.flatnonzero(fold == odd[0])[0])
            raise refused(pairs.place(at), f"folds are numbered without gaps from 0 or 1; got {used.tolist()[:20]}")
        fold -= used[0]
        return fold
