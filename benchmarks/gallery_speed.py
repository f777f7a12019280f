"""What a gallery costs: exact explained ranking beside a flat product over the same bytes, opening, shortlist, erasing.

    python benchmarks/gallery_speed.py [--templates 100000] [--searches 15] [--recall 100]

Templates are made up: 7 x 7 x 128 grids with 128-d vectors, five for each person, at scores like those of photos. The
flat product is ``matrix @ probe`` over the same float32 numbers in memory and the ten best of it: what a plain vector
search does. Both are timed in turns in one process, so that what else the machine does meets both alike; medians.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from xcos.catalog import DATA, build_verifier
from xcos.compare import TrustWeighted
from xcos.extractor import ReadyPhoto, usable_cores
from xcos.gallery.codec import codec_of
from xcos.gallery.gallery import Gallery
from xcos.gallery.search import Effort
from xcos.gallery.sqlite_store import SqliteStore
from xcos.gallery.store import CODECS, Enrolment, GalleryCard, Layout, NewSubject, layout_of
from xcos.types import Floats, Reals, Template, stack

PURPOSE = "measure"
LAYOUT = Layout("made up/1", (7, 7, 128), 128)
PER_SUBJECT = 5
LISTED = 20  # ten candidates, and as many again that are so near that rounding could have put them in the list
NOISE = 0.65  # mated scores about 0.7, as of photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=15)
    parser.add_argument("--recall", type=int, default=100)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the gallery is made (default: a temporary one)"
    )
    options = parser.parse_args()
    print(f"{platform.machine()}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}, Python "
          f"{platform.python_version()}, NumPy {np.__version__}, SQLite {sqlite3.sqlite_version}")  # fmt: skip
    _codec_loss()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "g.db"
        _fill(path, options.templates)
        _search(path, options.templates, options.searches)
        _shortlist(path, options.searches, options.recall)
        _erase(path)


def _codec_loss() -> None:
    """Largest and mean change of the score of the rendered faces' pairs, both sides kept in the codec."""
    verifier = build_verifier()
    ready = verifier.extractor.prepare(sorted((DATA / "examples").glob("*.jpg")))
    templates = stack([each.template for each in ready if isinstance(each, ReadyPhoto)])
    layout = layout_of(verifier.embedder)
    one, other = np.triu_indices(len(templates), 1)

    def scores(grids: Floats) -> Reals:
        similarity, attention = verifier.comparator.maps(grids[one], grids[other])
        return np.asarray((similarity * attention).sum(axis=(1, 2)))

    exact = scores(templates.grids)
    for name in CODECS:
        codec = codec_of(name, layout)
        content = np.stack([np.frombuffer(codec.encode(grid), np.uint8) for grid in templates.grids])
        change = np.abs(scores(codec.decode(content)) - exact)
        print(f"  codec {name}: {codec.size:,} bytes a grid; score of {len(one)} pairs of rendered faces changes by at "
              f"most {change.max():.1e}, on average {change.mean():.1e}")  # fmt: skip


def _people(templates: int) -> Iterator[tuple[str, list[Template]]]:
    """Names, and a template more of each than is enrolled: the last one is for a probe."""
    random = np.random.default_rng(0)
    trust = random.gamma(4, 0.2, (49, 1)).astype(np.float32)
    for number in range(templates // PER_SUBJECT):
        base = random.standard_normal((6272,), np.float32)
        photos = base + NOISE * random.standard_normal((PER_SUBJECT + 1, 6272), np.float32)
        grids = (photos.reshape(-1, 49, 128) * trust / 12).reshape(-1, 7, 7, 128).astype(np.float32, copy=False)
        yield (
            f"s{number:06}",
            [Template(grid, photo[:128].copy(), LAYOUT.model) for grid, photo in zip(grids, photos, strict=True)],
        )


def _probes(count: int) -> list[Template]:
    """Other photos of the first people."""
    return [mine[-1] for _, mine in _people(PER_SUBJECT * count)]


def _fill(path: Path, templates: int) -> None:
    store = SqliteStore.create(path, GalleryCard("speed", PURPOSE, 30.0, LAYOUT))
    started = time.perf_counter()
    store.enrol(NewSubject(name, tuple(map(Enrolment, mine[:-1]))) for name, mine in _people(templates))
    took = time.perf_counter() - started
    store.close()
    print(f"  enrolled {templates:,} templates in one act: {templates / took:,.0f} a second, making them included; "
          f"file {path.stat().st_size / 1e6:,.0f} MB")  # fmt: skip


def _timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return 1e3 * (time.perf_counter() - started)


def _search(path: Path, templates: int, searches: int) -> None:
    probes = _probes(searches + 1)
    store: list[SqliteStore] = []
    processor = time.process_time()
    opened = _timed(lambda: store.append(SqliteStore(path)))
    processor = 1e3 * (time.process_time() - processor)
    gallery = Gallery(store[0], effort=Effort(exact_up_to=templates))
    by_vector = _timed(lambda: gallery.search(probes[:1], purpose=PURPOSE, comparator=None))
    print(f"  {'met ' if opened <= 1000 else 'MISS'} opened in {opened:,.0f} ms (bar 1,000), {processor:,.0f} ms of "
          f"processor time; first search by vector "
          f"{by_vector:,.0f} ms")  # fmt: skip
    first = _timed(lambda: gallery.search(probes[:1], purpose=PURPOSE, comparator=TrustWeighted()))
    print(f"  first exact explained search, which reads all grids: {first:,.0f} ms; later ones need none of it")
    matrix = store[0].templates["grid"].reshape(templates, -1)
    flat, exact, scored = [], [], []
    for probe in probes[1:]:
        flat.append(_timed(lambda p=probe: _flat(matrix, p.grid.reshape(-1))))  # type: ignore[misc]
        exact.append(_timed(lambda p=probe: gallery.search([p], purpose=PURPOSE, comparator=TrustWeighted(), top=10)))  # type: ignore[misc]
        scored.append(_timed(lambda p=probe: gallery.search([p], purpose=PURPOSE, comparator=TrustWeighted(), top=1)))  # type: ignore[misc]
    ratio, more = (statistics.median(each) / statistics.median(flat) for each in (exact, scored))
    print(f"  {'met ' if ratio <= 1.3 else 'MISS'} exact explained search / flat product over the same "
          f"{matrix.nbytes / 1e6:,.0f} MB: {ratio:.2f} for ten candidates with maps (bar 1.3), {more:.2f} for one; "
          f"{statistics.median(exact):,.0f} against {statistics.median(flat):,.0f} ms")  # fmt: skip
    evidence = _evidence(store[0], probes[0])
    print(f"  {'met ' if evidence <= 20 else 'MISS'} reading {LISTED} candidates and comparing them in double "
          f"precision, maps included: {evidence:,.1f} ms (bar 20)")  # fmt: skip
    batch = probes[1:][: min(32, searches)]
    many = _timed(lambda: gallery.search(batch, purpose=PURPOSE, comparator=TrustWeighted()))
    print(f"  {len(batch)} probes together: {many / len(batch):,.0f} ms a probe")
    found = gallery.search(probes, purpose=PURPOSE, comparator=TrustWeighted())
    right = sum(each.hits[0].subject == f"s{number:06}" for number, each in enumerate(found))
    scores = [each.hits[0].comparison.score for each in found]
    print(f"  first candidate right for {right} of {len(found)}; scores {min(scores):.2f} to {max(scores):.2f}, tenth "
          f"{statistics.median(each.hits[-1].comparison.score for each in found):.2f}")  # fmt: skip
    print(f"  memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:,.1f} GB")
    gallery.close()


def _evidence(store: SqliteStore, probe: Template) -> float:
    """What an exact search does after its product: median of milliseconds."""
    random = np.random.default_rng(1)

    def compare() -> None:
        grids = store.grids(random.choice(len(store.templates), LISTED, replace=False))
        TrustWeighted().maps(np.broadcast_to(probe.grid, grids.shape), grids)

    return statistics.median(_timed(compare) for _ in range(15))


def _flat(matrix: Floats, probe: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    scores = matrix @ probe
    best = np.argpartition(-scores, 9)[:10]
    return best[np.argsort(-scores[best])]


def _shortlist(path: Path, searches: int, recall: int) -> None:
    with Gallery.open(path, effort=Effort(exact_up_to=0, shortlist=1000)) as gallery:
        probes = _probes(searches)
        gallery.search(probes[:1], purpose=PURPOSE, comparator=TrustWeighted())
        took = statistics.median(
            _timed(lambda p=probe: gallery.search([p], purpose=PURPOSE, comparator=TrustWeighted()))  # type: ignore[misc]
            for probe in probes
        )
        print(f"  shortlist of 1,000, no grids in memory: {took:,.0f} ms a search")
    with Gallery.open(path, effort=Effort(exact_up_to=10**9)) as gallery:
        for size in (100, 1000):
            found = gallery.recall(TrustWeighted(), shortlist=size, searches=recall)
            print(f"  shortlist of {size:,}: first candidate as of exact ranking in {100 * found.first:.1f} % "
                  f"[{100 * found.first_low:.1f}, {100 * found.first_high:.1f}] of {found.searches} searches, "
                  f"{100 * found.listed:.1f} % of the ten listed")  # fmt: skip


def _erase(path: Path) -> None:
    with Gallery.open(path) as gallery:
        took = [_timed(lambda n=number: gallery.erase(f"s{n:06}")) for number in range(20)]  # type: ignore[misc]
        done = sum(receipt.physical == "done" for receipt in gallery.receipts())
    print(f"  erased {PER_SUBJECT} templates of a person, log emptied: {statistics.median(took):,.0f} ms; {done} of 20 "
          "receipts done")  # fmt: skip


if __name__ == "__main__":
    main()
