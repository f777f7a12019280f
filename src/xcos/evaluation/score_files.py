"""Tables of scores, a row for each pair of a protocol: written as they come, and read back or from elsewhere."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from xcos.evaluation.embedding import FailedPhoto
from xcos.evaluation.protocol import Numbers, VerificationProtocol
from xcos.evaluation.protocols.csv_files import ROWS_AT_ONCE, score_of, table_in
from xcos.evaluation.protocols.lists import Place, refused, shown
from xcos.evaluation.run import Scored
from xcos.evaluation.scores import FAILED, ScoreSet
from xcos.tables import TRUTHS, Row

COLUMNS = ("probe", "reference", "mated", "fold", "probe_subject", "reference_subject", "score", "error")
WANTED = ("probe", "reference", "score")
FAILED_CODE = "failure_to_acquire"


def score_rows(
    protocol: VerificationProtocol, scored: Scored, *, on_rows: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """The table in pieces of :data:`ROWS_AT_ONCE` rows, so that memory does not grow with their number.

    :func:`joined_scores` and :func:`xcos.evaluation.protocols.read_scores` read the same scores back. ``on_rows`` is
    told how many more are done.
    """
    names = [protocol.samples.name(number) for number in range(len(protocol.samples))]
    yield _written([COLUMNS])
    for start in range(0, len(protocol), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        scores = scored.scores
        numbers = (scores.mated[rows].astype(int), protocol.fold[rows], scores.probe_subject[rows])
        columns = (*numbers, scores.reference_subject[rows], scores.scores[rows].astype(float))
        pairs = zip(protocol.probe[rows].tolist(), protocol.reference[rows].tolist(), strict=True)
        told = zip(pairs, *(column.tolist() for column in columns), strict=True)
        yield _written([(names[pair[0]], names[pair[1]], *rest, *_told(score)) for pair, *rest, score in told])
        on_rows(min(ROWS_AT_ONCE, len(protocol) - start))


def _told(score: float) -> tuple[str, str]:
    return ("", FAILED_CODE) if score == FAILED else (repr(score), "")


def _written(rows: Sequence[tuple[object, ...]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode("utf-8", "surrogateescape")


@dataclass(frozen=True, eq=False)
class JoinedScores:
    """Scores from elsewhere on all pairs of a protocol."""

    scored: Scored
    """``failed`` is None: a table says which pairs failed, not which sample of them."""
    sha256: str
    """Of the table's bytes."""

    @property
    def failures(self) -> tuple[FailedPhoto, ...]:
        """One for each reason that the table gives: how many pairs, and the first of them."""
        return self.scored.failures


def joined_scores(
    protocol: VerificationProtocol, path: Path, *, on_rows: Callable[[int], None] = lambda _: None
) -> JoinedScores:
    """The table ``probe,reference,score[,error][,mated]`` with one row for each pair of the protocol, in any order.

    Samples are named as the protocol names them (:meth:`~xcos.evaluation.protocol.Samples.name`), either one first. A
    score is a number, higher for more alike. A row without one says why in ``error``: a pair that failed, whose score
    is −∞ and which stays in every denominator. ``mated``, if there, must be the protocol's; other columns are not
    read. A pair that the protocol has twice (as published) has two rows. Raises
    :class:`~xcos.errors.InvalidProtocol` with the line: a name or a pair that the protocol does not have, a pair once
    more, no number, NaN; and with the number of the ``pair`` for one that has no row.
    """
    table, sha256 = table_in(path)
    reader = _Reader(protocol, path, table.columns)
    for at, row in enumerate(table.rows, start=1):
        reader.add(row)
        if at % ROWS_AT_ONCE == 0:
            on_rows(ROWS_AT_ONCE)
    scores = reader.scores_in_order()
    subjects = protocol.samples.subjects
    scored = Scored(
        matcher=f"{path.name}/{sha256[:12]}",
        scores=ScoreSet(scores, protocol.mated, subjects[protocol.probe], subjects[protocol.reference]),
        failed=None,
        failures=reader.failures(),
    )
    return JoinedScores(scored, sha256)


class _Reader:
    """Rows as they come, which become the scores of a protocol's pairs."""

    def __init__(self, protocol: VerificationProtocol, path: Path, columns: list[str]) -> None:
        self._protocol, self._path = protocol, path
        names = [name.lower() for name in columns]
        missing = [name for name in WANTED if name not in names]
        if missing or len(set(names)) != len(names):
            what = f"no column {', '.join(missing)} among" if missing else "columns must have names, each its own:"
            raise refused(Place(path, 1), f"{what} {shown(','.join(columns))}; wanted probe,reference,score[,error]")
        self._at = {name: at for at, name in enumerate(names)}
        self._numbers = {protocol.samples.name(at): at for at in range(len(protocol.samples))}
        self._probe, self._reference, self._line = (array("q") for _ in range(3))
        self._scores = array("d")
        self._mated = bytearray()
        self._failed: dict[str, tuple[int, int]] = {}
        """How many rows tell this reason, and the first one's line."""

    def add(self, row: Row) -> None:
        place = Place(self._path, row.line)
        if len(row.cells) != len(self._at):
            raise refused(place, f"{len(self._at)} columns were expected, got {shown(','.join(row.cells))}")
        probe, reference = (self._number(row.cells[self._at[side]], place) for side in ("probe", "reference"))
        error = row.cells[self._at["error"]] if "error" in self._at else ""
        score = score_of(row.cells[self._at["score"]], error, place)
        if score == FAILED:
            count, first = self._failed.get(error.strip() or "-inf", (0, row.line))
            self._failed[error.strip() or "-inf"] = (count + 1, first)
        self._probe.append(probe)
        self._reference.append(reference)
        self._line.append(row.line)
        self._scores.append(score)
        self._mated.append(self._told_mated(row, place))

    def _number(self, name: str, place: Place) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers.get(str(PurePosixPath(name)))
        if number is None:
            known = next(iter(self._numbers))
            raise refused(
                place, f"{self._protocol.name} has no {shown(name)}; samples are named as in its list, such as {known}"
            )
        return number

    def _told_mated(self, row: Row, place: Place) -> int:
        """1 or 0; 2 where the table does not say."""
        if "mated" not in self._at:
            return 2
        told = row.cells[self._at["mated"]].strip().lower()
        if told not in TRUTHS:
            raise refused(place, f"mated must be 1 or 0, got {shown(told)}")
        return int(TRUTHS[told])

    def scores_in_order(self) -> np.ndarray:
        """(n,) in the protocol's order, once every pair has its row and every row its pair."""
        protocol = self._protocol
        mine = _keyed(np.array(self._probe, np.int64), np.array(self._reference, np.int64), len(protocol.samples))
        wanted = _keyed(protocol.probe, protocol.reference, len(protocol.samples))
        rows, pairs = np.argsort(mine, kind="stable"), np.argsort(wanted, kind="stable")
        if not np.array_equal(mine[rows] >> 1, wanted[pairs] >> 1):
            raise self._mismatch(mine >> 1, wanted >> 1)
        told = np.frombuffer(bytes(self._mated), np.uint8)[rows]
        wrong = rows[(told < 2) & (told != protocol.mated[pairs])]
        if len(wrong):
            line = self._line[int(wrong.min())]
            raise refused(Place(self._path, line), f"{protocol.name} says the opposite of whether the pair is mated")
        scores = np.empty(len(protocol))
        scores[pairs] = np.array(self._scores, np.float64)[rows]
        return scores

    def _mismatch(self, mine: Numbers, wanted: Numbers) -> Exception:
        """What is wrong first: a pair that is not the protocol's or is there too often, else one without a row."""
        protocol = self._protocol
        kinds, place, counts = np.unique(wanted, return_inverse=True, return_counts=True)
        at = np.minimum(np.searchsorted(kinds, mine), len(kinds) - 1)
        unknown = np.flatnonzero(kinds[at] != mine)
        again = _beyond(at, counts)
        first = min((int(each[0]) for each in (unknown, again) if len(each)), default=-1)
        if first >= 0:
            names = " and ".join(protocol.samples.name(side[first]) for side in (self._probe, self._reference))
            found = "is no pair of" if first in unknown[:1] else "stand here once more than in"
            return refused(Place(self._path, self._line[first]), f"{names} {found} {protocol.name}")
        missing = np.flatnonzero(np.bincount(at, minlength=len(kinds)) < counts)
        lacking = np.flatnonzero(np.isin(place, missing))
        pair = int(lacking[0])
        names = " and ".join(protocol.samples.name(int(side[pair])) for side in (protocol.probe, protocol.reference))
        return refused(
            Place(self._path, None),
            f"no row for {names}, pair {pair + 1} of {protocol.name}; {len(wanted) - len(mine):,} of {len(wanted):,} "
            "pairs are missing; a pair that could not be compared has an empty score and says why in the column error",
            missing=len(wanted) - len(mine),
            pair=pair + 1,
        )

    def failures(self) -> tuple[FailedPhoto, ...]:
        return tuple(
            FailedPhoto(f"{count:,} pairs", FAILED_CODE, f"{reason}, first in line {first} of {self._path.name}")
            for reason, (count, first) in self._failed.items()
        )


def _beyond(kind: Numbers, counts: Numbers) -> Numbers:
    """Rows, in their order, whose kind has come as often before as ``counts`` allows."""
    order = np.argsort(kind, kind="stable")
    ordered = kind[order]
    nth = np.arange(len(kind)) - np.searchsorted(ordered, ordered)
    return np.sort(order[nth >= counts[ordered]])


def _keyed(probe: Numbers, reference: Numbers, samples: int) -> Numbers:
    """A number for each pair, the same in either order but for its last bit, which tells the order."""
    swapped = probe > reference
    low, high = np.where(swapped, reference, probe), np.where(swapped, probe, reference)
    keys: Numbers = ((low * samples + high) << 1) | swapped
    return keys
