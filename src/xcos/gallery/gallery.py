"""The gallery as its users see it: enrol, search, erase; whichever store keeps it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from xcos.errors import IncompatibleTemplates, InvalidArgument, NoSuchSubject, PurposeMismatch
from xcos.gallery.exchange import Advance, opened_export, write_export
from xcos.gallery.ranking import score_of
from xcos.gallery.search import AT_ONCE, Effort, Found, Recall, measure_recall, search
from xcos.gallery.sketch import Sketcher
from xcos.gallery.sqlite_store import WAIT, SqliteStore
from xcos.gallery.store import (
    Codec,
    Enrolment,
    ErasureReceipt,
    GalleryCard,
    IntegrityReport,
    Layout,
    NewSubject,
    Numbers,
    Store,
    Subject,
    source_of,
)
from xcos.interfaces import Comparator
from xcos.types import Floats, Template


class Gallery:
    """People's templates for one stated purpose. Photos are never kept.

    Any thread may use it, one at a time; other processes may open the same file. What an act returned from survives a
    power cut, and a search sees all that was acknowledged, by whichever process, before it began.
    """

    def __init__(self, store: Store, *, effort: Effort | None = None) -> None:
        self.effort = Effort() if effort is None else effort
        self._store = store
        self._lock = threading.RLock()
        self._sketcher: Sketcher | None = None

    @classmethod
    def create(
        cls,
        path: str | Path,
        layout: Layout,
        *,
        name: str,
        purpose: str,
        retention_days: float,
        codec: Codec = "int8",
        effort: Effort | None = None,
    ) -> Gallery:
        """A new, empty gallery in one SQLite file.

        ``purpose`` says why people are searched here, and every search must say the same; ``retention_days`` says when
        subjects expire. :func:`xcos.gallery.store.layout_of` tells an embedder's layout.
        """
        card = GalleryCard(name, purpose, retention_days, layout, codec)
        return cls(SqliteStore.create(path, card), effort=effort)

    @classmethod
    def open(cls, path: str | Path, *, effort: Effort | None = None) -> Gallery:
        """The gallery in a file."""
        return cls(SqliteStore(path), effort=effort)

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it; what was acknowledged is safe without."""
        with self._lock:
            self._store.close()

    @property
    def card(self) -> GalleryCard:
        """Name, purpose, retention and model."""
        return self._store.card

    def __len__(self) -> int:
        """Templates."""
        with self._lock:
            self._store.refresh()
            return len(self._store.templates)

    def enrol(
        self,
        subject: str,
        templates: Iterable[Enrolment | Template],
        *,
        tags: Mapping[str, str] | None = None,
        expires: float | None = None,
        add: bool = False,
    ) -> None:
        """Takes a person's templates; on return they are on the disk, all of them, or there is an error and none are.

        A subject that is there already is refused unless ``add`` is set; a photo of it that is there already, known by
        its hash, is refused always.
        """
        enrolments = tuple(each if isinstance(each, Enrolment) else Enrolment(each) for each in templates)
        self.enrol_all([NewSubject(subject, enrolments, tags or {}, expires, add)])

    def enrol_all(self, subjects: Iterable[NewSubject]) -> None:
        """Takes many people in one act: all, or an error and none."""
        with self._lock:
            self._store.enrol(subjects)

    def subjects(self, where: Mapping[str, str] | None = None) -> list[Subject]:
        """People in the gallery by their ids, those with all these tags."""
        wanted = (where or {}).items()
        with self._lock:
            self._store.refresh()
            found = [each for each in self._store.subjects.values() if wanted <= dict(each.tags).items()]
        return sorted(found, key=lambda subject: subject.id)

    def templates(self, subject: str) -> list[Enrolment]:
        """What is kept of a person, as the store gives it back."""
        with self._lock:
            self._store.refresh()
            sids = [sid for sid, each in self._store.subjects.items() if each.id == subject]
            if not sids:
                raise NoSuchSubject(f"the gallery has no subject {subject!r}", subject=subject)
            columns = self._store.templates
            places = np.flatnonzero(columns["sid"] == sids[0])
            return [
                Enrolment(
                    Template(grid, columns["vector"][place].copy(), self.card.layout.model),
                    float(columns["quality"][place]),
                    source_of(columns["source"][place]),
                )
                for place, grid in zip(places.tolist(), self._store.grids(places), strict=True)
            ]

    def sources(self) -> dict[str, set[str]]:
        """Which subjects' ids have a template of the photo with this SHA-256."""
        with self._lock:
            self._store.refresh()
            columns, known = self._store.templates, self._store.subjects
            found: dict[str, set[str]] = {}
            for sid, source in zip(columns["sid"].tolist(), map(source_of, columns["source"]), strict=True):
                if source:
                    found.setdefault(source, set()).add(known[sid].id)
            return found

    def search(
        self,
        probes: Sequence[Template],
        *,
        purpose: str,
        comparator: Comparator | None,
        top: int = 10,
        where: Mapping[str, str] | None = None,
        now: float | None = None,
        effort: Effort | None = None,
    ) -> list[Found]:
        """What each of the probes finds: subjects by their best template, most alike first, with their maps.

        ``purpose`` must be the gallery's. Without a ``comparator`` the network's own vectors are compared. Scores are
        exact; whether the ranking is, :attr:`Found.method` says: above ``effort.exact_up_to`` templates, and for
        comparators whose scores are no matrix products, only a shortlist is compared. Expired subjects are not found.
        """
        self.require_purpose(purpose)
        self._require_model(probes)
        with self._lock:
            return search(
                self._store,
                self._sketches(),
                probes,
                comparator,
                top=top,
                where=where or {},
                now=time.time() if now is None else now,
                effort=effort or self.effort,
            )

    def recall(
        self, comparator: Comparator, *, shortlist: int = 1000, searches: int = 200, top: int = 10, seed: int = 0
    ) -> Recall:
        """What a shortlist of this size misses here, with templates of this gallery as probes. Ranks all exactly, so
        it takes as long as that many exact searches."""
        with self._lock:
            return measure_recall(
                self._store,
                self._sketches(),
                comparator,
                shortlist=shortlist,
                searches=searches,
                top=top,
                seed=seed,
                effort=self.effort,
            )

    def all_scores(
        self, comparator: Comparator, *, most: int
    ) -> tuple[list[str], list[str], Iterator[tuple[Numbers, Floats]]]:
        """Subject and photo's SHA-256 of all templates, and their scores with one another, some rows at a time: their
        places and (some, n). All grids are held; more templates than ``most`` are refused."""
        score = score_of(comparator)
        if score is None:
            raise InvalidArgument(
                f"{comparator.name} cannot compare all templates with all; use trust, norm or uniform"
            )
        with self._lock:
            self._store.refresh()
            if len(self._store.templates) > most:
                raise InvalidArgument(f"{len(self._store.templates):,} templates are too many to compare all with all")
            self._store.hold_grids()
            columns, subjects = self._store.templates, self._store.subjects
            names = [subjects[sid].id for sid in columns["sid"].tolist()]
            sources = [source_of(each) for each in columns["source"]]
            grids, lengths = columns["grid"].copy(), columns["length"].copy()
        starts = range(0, len(grids), AT_ONCE)
        blocks = (np.arange(start, min(start + AT_ONCE, len(grids))) for start in starts)
        return names, sources, ((places, score(grids[places], grids, lengths).T) for places in blocks)

    def require_purpose(self, purpose: str) -> None:
        """Raises :class:`PurposeMismatch` unless this is what the gallery was made for."""
        if purpose != self.card.purpose:
            raise PurposeMismatch(
                f"the gallery {self.card.name!r} was made for {self.card.purpose!r}, the search is for {purpose!r}; "
                "people in it may be searched for its purpose only",
                gallery=self.card.purpose,
                search=purpose,
            )

    def _require_model(self, probes: Sequence[Template]) -> None:
        wrong = sorted({probe.model for probe in probes} - {self.card.layout.model})
        if wrong:
            raise IncompatibleTemplates(
                f"the gallery holds templates of {self.card.layout.model}, the probe is of {', '.join(wrong)}; embed "
                "it with the gallery's model",
                models=[self.card.layout.model, *wrong],
            )

    def _sketches(self) -> Sketcher:
        if self._sketcher is None:
            self._sketcher = Sketcher(self.card.layout.features, self.card.sketch_bits)
        return self._sketcher

    def erase(self, *subjects: str, patience: float = WAIT) -> list[ErasureReceipt]:
        """Forgets people: on return no search finds them, and the receipts say whether their bytes are gone too.

        All of them or, where one is not there, none. ``patience`` is how many seconds readers of an old state are
        waited for; while one is left, the receipt says ``pending`` and :meth:`settle` tries again.
        """
        with self._lock:
            return self._store.erase(subjects, patience=patience)

    def expire(self, *, now: float | None = None, patience: float = WAIT) -> list[ErasureReceipt]:
        """Erases everybody whose time is over."""
        moment = time.time() if now is None else now
        with self._lock:
            over = [subject.id for subject in self.subjects() if subject.expires <= moment]
            return self.erase(*over, patience=patience) if over else []

    def settle(self, *, patience: float = WAIT) -> list[ErasureReceipt]:
        """Receipts whose bytes were not gone, after another try."""
        with self._lock:
            return self._store.settle(patience=patience)

    def receipts(self) -> list[ErasureReceipt]:
        """All erasures, oldest first."""
        with self._lock:
            return self._store.receipts()

    def token(self, subject: str) -> str:
        """What stands for a subject's id in receipts and in the audit log."""
        return self._store.token(subject)

    def export(self, path: str | Path, *, on_subject: Advance = lambda: None) -> int:
        """How many templates were written to an exchange file (:mod:`xcos.gallery.exchange`), whole or not at all."""
        with self._lock:
            return write_export(self._store, path, on_subject=on_subject)

    def import_from(self, path: str | Path, *, on_subject: Advance = lambda: None) -> int:
        """How many templates were taken from an exchange file: all, or an error that names the line and none.

        Their expiry comes with them. Templates of another model are refused, and so are subjects that are here.
        """
        with opened_export(path) as exported:
            exported.require_lines()

            def counted() -> Iterable[NewSubject]:
                for subject in exported.subjects():
                    yield subject
                    on_subject()

            with self._lock:
                self._store.enrol(counted())
            return exported.totals.templates

    def check(self) -> IntegrityReport:
        """Every record read and held against its digest."""
        with self._lock:
            return self._store.check()
