"""A protocol of searches and templates → all its searches, a few rows of the table of scores at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from xcos.comparators import LearnedHead
from xcos.compare import NormWeighted, TrustWeighted, Uniform, vectors_as_grids
from xcos.errors import InvalidArgument
from xcos.evaluation.embedding import EmbeddedSamples
from xcos.evaluation.identification import Searches, search
from xcos.evaluation.own_matcher import PhotoMatcher, compare_templates
from xcos.evaluation.protocol import IdentificationProtocol, Numbers, Truths
from xcos.evaluation.run import matcher_name
from xcos.evaluation.scores import FAILED
from xcos.interfaces import Comparator
from xcos.types import Floats, Grids, freeze

BYTES = 1 << 28
"""Of the rows of scores that are held at once."""
GALLERY_AT_ONCE = 1024
PROBES_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Searched:
    """All searches of one matcher."""

    matcher: str
    searches: Searches
    mated: Truths
    """(probes,): whose subject is in the gallery; the order of :attr:`searches` is that of the probes of each kind."""
    failed: Truths
    """(probes,): those without a template."""
    failed_gallery: Truths
    """(gallery,)."""

    def __post_init__(self) -> None:
        freeze(self, mated=self.mated, failed=self.failed, failed_gallery=self.failed_gallery)


def search_protocol(
    protocol: IdentificationProtocol,
    embedded: EmbeddedSamples,
    comparator: Comparator | PhotoMatcher | None,
    *,
    on_probes: Callable[[int], None] = lambda _: None,
) -> Searched:
    """Every probe searched in the gallery; without a comparator by the cosines of the model's own vectors.

    A probe without a template finds nobody, and a sample of the gallery without one is never found: both stay in the
    rates. ``on_probes`` is told how many more are done. Memory holds about 256 MB of scores, whatever the gallery.
    """
    if embedded.samples is not protocol.samples:
        raise InvalidArgument("these templates are of another protocol's samples; embed this one's")
    subjects = protocol.samples.subjects
    probes, gallery = subjects[protocol.probes], subjects[protocol.gallery]
    return Searched(
        matcher=matcher_name(embedded.model, comparator),
        searches=search(_blocks(protocol, embedded, comparator, on_probes), probes, gallery),
        mated=np.isin(probes, gallery),
        failed=~embedded.present[protocol.probes],
        failed_gallery=~embedded.present[protocol.gallery],
    )


def _blocks(
    protocol: IdentificationProtocol,
    embedded: EmbeddedSamples,
    comparator: Comparator | PhotoMatcher | None,
    on_probes: Callable[[int], None],
) -> Iterator[Floats]:
    rows = min(PROBES_AT_ONCE, max(1, BYTES // (4 * len(protocol.gallery))))
    there = np.flatnonzero(embedded.present[protocol.gallery])
    for start in range(0, len(protocol.probes), rows):
        probes = protocol.probes[start : start + rows]
        scores = np.full((len(probes), len(protocol.gallery)), FAILED, np.float32)
        usable = np.flatnonzero(embedded.present[probes])
        for at in range(0, len(there) if len(usable) else 0, GALLERY_AT_ONCE):
            columns = there[at : at + GALLERY_AT_ONCE]
            scores[np.ix_(usable, columns)] = _table(embedded, comparator, probes[usable], protocol.gallery[columns])
        yield scores
        on_probes(len(probes))


def _table(
    embedded: EmbeddedSamples, comparator: Comparator | PhotoMatcher | None, probes: Numbers, gallery: Numbers
) -> Floats:
    """(probes, gallery) scores."""
    if isinstance(comparator, PhotoMatcher):
        one, other = (np.asarray(embedded.vectors[each]) for each in (probes, gallery))
        pairs = np.repeat(one, len(other), axis=0), np.tile(other, (len(one), 1))
        return compare_templates(comparator, *pairs).reshape(len(one), len(other)).astype(np.float32)
    if comparator is None:
        vectors = (vectors_as_grids(np.asarray(embedded.vectors[each])) for each in (probes, gallery))
        return NormWeighted().score_all(*vectors)
    return score_table(comparator, embedded.grids[probes], embedded.grids[gallery])


def score_table(comparator: Comparator, probes: Grids, references: Grids) -> Floats:
    """``(n, m)`` scores of every probe with every reference, by matrix products where the comparator has them."""
    if isinstance(comparator, LearnedHead):
        return comparator.score_all(comparator.encode(probes), comparator.encode(references))
    if isinstance(comparator, (NormWeighted, TrustWeighted, Uniform)):
        return comparator.score_all(probes, references)
    scores = np.empty((len(probes), len(references)), np.float32)
    for row, probe in enumerate(probes):
        similarity, attention = comparator.maps(np.broadcast_to(probe, references.shape), references)
        scores[row] = (similarity * attention).sum(axis=(1, 2))
    return scores
