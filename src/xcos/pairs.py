"""Lists of pairs: each photo read and embedded once, memory bounded, results in order and resumable."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from xcos.errors import InputRefused, InvalidArgument, InvalidPairList
from xcos.extractor import ReadyPhoto
from xcos.files import lock, require_writable, target_of
from xcos.tables import TRUTHS, Refusal, Row, read_table
from xcos.types import Decision
from xcos.verifier import Verifier
from xcos.version import __version__

COLUMNS = ("probe", "reference", "score", "llr", "decision", "reasons", "error")
CHUNK = 512  # pairs between two writes


@dataclass(frozen=True)
class Pair:
    """One line of a pair list; paths as written there."""

    probe: str
    reference: str
    mated: bool | None
    """None where the list does not say."""


@dataclass(frozen=True)
class PairResult:
    """Decision on one pair, or the error of the photo that could not be used (the probe's, if neither could)."""

    pair: Pair
    decision: Decision | None
    error: InputRefused | None

    def row(self, *, with_mated: bool) -> list[str]:
        """The line for the output file, as :data:`COLUMNS`, with ``mated`` at the end if the list has it."""
        decision = self.decision
        cells = [self.pair.probe, self.pair.reference]
        if decision:
            reasons = " ".join(f"{reason.side}:{reason.code}" for reason in decision.reasons)
            cells += [f"{decision.score:.6f}", f"{decision.llr:.4f}", decision.outcome, reasons, ""]
        elif self.error:
            cells += ["", "", "", f"{self.error.details['side']}:{self.error.code}", self.error.code]
        if with_mated:
            cells.append("" if self.pair.mated is None else str(int(self.pair.mated)))
        return cells


@dataclass(frozen=True)
class PairList:
    """Pairs in file order, with the folder their relative paths start from."""

    pairs: list[Pair]
    folder: Path
    has_mated: bool
    sha256: str

    @property
    def photos(self) -> int:
        """How many distinct photos the pairs name."""
        return self.photos_after(0)

    def photos_after(self, skip: int) -> int:
        """How many distinct photos the pairs from number ``skip`` on name."""
        return len(self.photo_names(skip))

    def photo_names(self, skip: int = 0) -> set[str]:
        """Distinct photos of the pairs from number ``skip`` on, as written in the list."""
        return {path for pair in self.pairs[skip:] for path in (pair.probe, pair.reference)}


def read_pairs(path: str | Path) -> PairList:
    """The pairs in a CSV file with the columns ``probe,reference`` and, if wanted, ``mated`` (1 or 0).

    Relative paths start from the file's folder. Every line is checked before any photo is read;
    :class:`InvalidPairList` names the first wrong one.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidPairList(f"cannot read the pair list {path}: {error.strerror}") from error

    def refusal(what: str, line: int | None) -> InvalidPairList:
        return InvalidPairList(f"{path.name}, line {line}: {what}", line=line)

    table = read_table(content, refusal)
    header = [name.lower() for name in table.columns]
    if header not in (["probe", "reference"], ["probe", "reference", "mated"]):
        raise refusal(
            "the columns must be probe,reference or probe,reference,mated, got " + (",".join(header) or "nothing"), 1
        )
    pairs = [_pair(row, len(header), refusal) for row in table.rows]
    if not pairs:
        raise InvalidPairList(f"{path.name} has no pairs below its header")
    return PairList(pairs, path.parent, len(header) == 3, hashlib.sha256(content).hexdigest())


def _pair(row: Row, columns: int, refusal: Refusal) -> Pair:
    cells = row.cells
    if len(cells) != columns or not cells[0] or not cells[1]:
        raise refusal(f"{columns} filled columns were expected, got {cells}", row.line)
    mated = cells[2].strip().lower() if columns == 3 else ""
    if mated and mated not in TRUTHS:
        raise refusal(f"mated must be 1 or 0, got {cells[2]!r}", row.line)
    return Pair(cells[0], cells[1], TRUTHS.get(mated))


def score_pairs(
    verifier: Verifier,
    pairs: PairList,
    *,
    fmr: float = 1e-3,
    skip: int = 0,
    on_photo: Callable[[], None] = lambda: None,
) -> Iterator[list[PairResult]]:
    """Results in the order of the list, in chunks, from pair ``skip`` on.

    A photo is kept from the chunk that first names it to the one that last does.
    """
    verifier.calibration.threshold(fmr)  # an impossible request is refused before any work
    extractor = verifier.extractor
    todo = pairs.pairs[skip:]
    last_use = {path: at for at, pair in enumerate(todo) for path in (pair.probe, pair.reference)}
    ready: dict[str, ReadyPhoto | InputRefused] = {}
    for start in range(0, len(todo), CHUNK):
        chunk = todo[start : start + CHUNK]
        named = dict.fromkeys(path for pair in chunk for path in (pair.probe, pair.reference))
        new = [path for path in named if path not in ready]
        ready.update(zip(new, extractor.prepare([pairs.folder / path for path in new], on_photo=on_photo), strict=True))
        yield _judge(verifier, chunk, ready, fmr)
        end = start + len(chunk)
        ready = {path: photo for path, photo in ready.items() if last_use[path] >= end}


def _judge(
    verifier: Verifier, chunk: list[Pair], ready: dict[str, ReadyPhoto | InputRefused], fmr: float
) -> list[PairResult]:
    results: list[PairResult | None] = [None] * len(chunk)
    scored: list[tuple[int, ReadyPhoto, ReadyPhoto]] = []
    for index, pair in enumerate(chunk):
        probe, reference = ready[pair.probe], ready[pair.reference]
        if isinstance(probe, InputRefused):
            results[index] = PairResult(pair, None, probe.about("probe"))
        elif isinstance(reference, InputRefused):
            results[index] = PairResult(pair, None, reference.about("reference"))
        else:
            scored.append((index, probe, reference))
    if scored:
        comparisons = verifier.compare_batch(
            [probe.template for _, probe, _ in scored], [reference.template for _, _, reference in scored]
        )
        for (index, probe, reference), comparison in zip(scored, comparisons, strict=True):
            second = verifier.second_opinion(probe.template, reference.template, fmr=fmr)
            decision = verifier.decide(comparison, second, probe.sample, reference.sample, fmr=fmr)
            results[index] = PairResult(chunk[index], decision, None)
    return [result for result in results if result is not None]


def write_scores(
    verifier: Verifier,
    pairs: PairList,
    out: str | Path,
    *,
    fmr: float = 1e-3,
    on_photo: Callable[[], None] = lambda: None,
    on_results: Callable[[list[PairResult]], None] = lambda _: None,
    on_resume: Callable[[int], None] = lambda _: None,
) -> None:
    """Scores all pairs into the CSV file ``out``, which appears whole or not at all.

    Progress is kept beside it in ``OUT.<hash>.partial``; a run with the same pairs, model, calibration and
    options goes on from there, after calling ``on_resume`` with the number of pairs that were done.
    ``on_photo`` is called after each photo, ``on_results`` with each chunk that is safely on the disk.
    """
    verifier.calibration.threshold(fmr)  # an impossible request is refused before anything is written
    require_writable(out)
    out = target_of(out)
    partial = out.with_name(f"{out.name}.{_fingerprint(verifier, pairs, fmr)}.partial")
    try:
        with partial.open("a+", encoding="utf-8", errors="surrogateescape", newline="") as file:
            told = f"another run is writing the same scores ({partial.name}); wait for it or choose another --out"
            lock(file, told)
            rows = _cut_to_whole_rows(file)
            done = max(0, rows - 1)
            if rows == 0:
                file.write(_line([*COLUMNS, "mated"] if pairs.has_mated else list(COLUMNS)))
            if done:
                on_resume(done)
            for results in score_pairs(verifier, pairs, fmr=fmr, skip=done, on_photo=on_photo):
                file.writelines(_line(result.row(with_mated=pairs.has_mated)) for result in results)
                file.flush()
                os.fsync(file.fileno())
                on_results(results)
        partial.replace(out)
    except OSError as error:
        raise InvalidArgument(
            f"cannot write {out}: {error.strerror}; what was done is kept in {partial.name}", path=str(out)
        ) from error


def count_outcomes(scores: str | Path) -> Counter[str]:
    """How many pairs of a finished scores file had which outcome or error, by ``mated`` where the file has it."""
    kinds = {"1": "mated: ", "0": "non-mated: "}
    with Path(scores).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(file)
        return Counter(kinds.get(row.get("mated", ""), "") + (row["decision"] or row["error"]) for row in rows)


def _line(cells: list[str]) -> str:
    line = io.StringIO(newline="")
    # With this end of line the writer quotes a carriage return in a name; with a line feed alone Python 3.11 does not.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


def _fingerprint(verifier: Verifier, pairs: PairList, fmr: float) -> str:
    parts = (
        pairs.sha256,
        str(pairs.folder.resolve()),
        verifier.detector.name,
        verifier.embedder.model,
        verifier.calibration.sha256,
        verifier.vector_calibration.sha256 if verifier.vector_calibration else "",
        repr((verifier.face, verifier.limits, fmr)),
        __version__,
    )
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _cut_to_whole_rows(file: TextIO) -> int:
    """How many rows the partial file holds, the header among them; a row cut by a crash is removed from it."""
    content = Path(file.name).read_bytes()
    rows, end = _whole_rows(content)
    if end != len(content):
        file.truncate(end)
    return rows


def _whole_rows(content: bytes) -> tuple[int, int]:
    """Rows that ended, and where the last of them did; a quoted name may hold line breaks."""
    rows = end = 0
    quoted = False
    for at, byte in enumerate(content):
        if byte == 0x22:
            quoted = not quoted
        elif byte == 0x0A and not quoted:
            rows, end = rows + 1, at + 1
    return rows, end
