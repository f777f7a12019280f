"""``xcos evaluate``: a protocol, a matcher, and a folder with what a test laboratory would say."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from xcos.cli.entrants import Entrant, ScoreFile, calibration_of, embedded, entrants, extractor_of, settings
from xcos.cli.progress import progress_bar
from xcos.cli.quiet import without_decoder_chatter
from xcos.errors import InvalidArgument
from xcos.evaluation.embedding import EmbeddedSamples, FailedPhoto, HashedSamples, hash_photos
from xcos.evaluation.evidence import Evidence, EvidenceSource
from xcos.evaluation.figures import FMRS, Figures, against, figures_of
from xcos.evaluation.operating import common_rate
from xcos.evaluation.own_matcher import PhotoMatcher
from xcos.evaluation.protocol import IdentificationProtocol, VerificationProtocol
from xcos.evaluation.protocols import read_protocol
from xcos.evaluation.report import Evaluation, pictured_rows, report_markdown, write_evaluation
from xcos.evaluation.run import Scored, score_pairs
from xcos.evaluation.score_files import joined_scores
from xcos.evaluation.search_figures import search_figures, searches_against
from xcos.evaluation.search_report import SearchEvaluation, searches_markdown, write_searches
from xcos.evaluation.searching import Searched, search_protocol
from xcos.evaluation.timings import photo_times, with_kept_time
from xcos.evaluation.uncertainty import Differences, Estimates
from xcos.explainers.matcher import GridMatcher
from xcos.interfaces import Comparator


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos evaluate``."""
    out = Path(options.out)
    if out.exists() and not out.is_dir():
        raise InvalidArgument(f"{out} is a file; give a folder", path=str(out))
    built = entrants(options)
    with_photos = not all(isinstance(each, ScoreFile) for each in built)
    with progress_bar("reading the protocol", None):
        protocol = read_protocol(
            options.protocol, options.data, as_published=options.as_published, with_photos=with_photos
        )
    cache = Path(options.cache) if options.cache else out.with_name(f"{out.name}.cache")
    if isinstance(protocol, IdentificationProtocol):
        searches = _searches(protocol, built, options, cache)
        document, summary = searches.to_dict(), searches_markdown(searches.figures, searches.against)
        paths = write_searches(searches, out)
    else:
        pairs = _pairs(protocol, built, options, cache)
        document, summary = pairs.to_dict(), report_markdown(pairs.figures, pairs.against)
        with progress_bar("rows", len(pairs.scored) * len(protocol)) as bar:
            paths = write_evaluation(pairs, out, on_rows=bar.advance)
    if options.json:
        print(json.dumps(document, indent=2, sort_keys=True))
        return 0
    print(summary, end="")
    if with_photos:
        print(f"features are kept in {cache}: templates are personal data")
        if options.pictures:
            print("the page may show faces: --no-pictures leaves them out")
    for path in paths:
        print(f"wrote {path}")
    return 0


def _ways(matcher: Entrant, templates: EmbeddedSamples, *, first: bool) -> list[Comparator | PhotoMatcher | None]:
    """How a matcher's templates are compared: by its grid, and the first one's also by its own vector."""
    if isinstance(matcher, PhotoMatcher):
        return [matcher]
    assert not isinstance(matcher, ScoreFile)
    has_cells = templates.grids.shape[1:3] != (1, 1)
    return [matcher.comparator, None] if first and has_cells else [matcher.comparator]


# Pairs


def _pairs(
    protocol: VerificationProtocol, built: list[Entrant], options: argparse.Namespace, cache: Path
) -> Evaluation:
    found: list[_Found] = []
    names = [options.scores or options.model, options.against]
    tables = [_joined(protocol, each) if isinstance(each, ScoreFile) else None for each in built]
    hashed = hash_photos(protocol.samples) if None in tables else None
    for name, matcher, table in zip(names, built, tables, strict=False):
        found.append(table or _embedded_scores(protocol, hashed, name, matcher, options, cache, first=not found))
    scored = [each for one in found for each in one.scored]
    estimates = [Estimates(each.scores, seed=options.seed) for each in scored]
    fmr = common_rate(estimates, FMRS)
    figures: list[Figures] = []
    with progress_bar("figures", 2 * len(scored) - 1) as bar:
        for each, of in zip(scored, estimates, strict=True):
            figures.append(figures_of(protocol, each, of, fmr=fmr))
            bar.advance()
        differences = []
        for other, of in zip(scored[1:], estimates[1:], strict=True):
            differences.append(against(scored[0], other, Differences(estimates[0], of)))
            bar.advance()
    return Evaluation(
        protocol=protocol,
        settings=settings(built, options),
        scored=tuple(scored),
        figures=tuple(figures),
        against=tuple(differences),
        evidence=_evidence(protocol, [each for one in found for each in one.sources], figures)
        if options.pictures
        else (),
        photo_times=photo_times([each.templates for each in found if each.templates is not None]),
    )


class _Found(NamedTuple):
    scored: list[Scored]
    sources: list[EvidenceSource | None]
    """One for each of ``scored``: what its pairs are shown by; None where there is no picture of them."""
    templates: EmbeddedSamples | None
    """None where no photo was read."""


def _evidence(
    protocol: VerificationProtocol, sources: list[EvidenceSource | None], figures: list[Figures]
) -> tuple[Mapping[int, Evidence], ...]:
    wanted = [pictured_rows(each) if source else [] for source, each in zip(sources, figures, strict=True)]
    with progress_bar("pictures", sum(map(len, wanted))) as bar, without_decoder_chatter():
        return tuple(
            source.of(protocol, rows, on_pair=bar.advance) if source else {}
            for source, rows in zip(sources, wanted, strict=True)
        )


def _joined(protocol: VerificationProtocol, table: ScoreFile) -> _Found:
    """Before any photo is read: a table that does not fit is told at once."""
    with progress_bar("rows", len(protocol)) as bar:
        joined = joined_scores(protocol, table.path, on_rows=bar.advance)
    return _Found([joined.scored], [None], None)


def _embedded_scores(
    protocol: VerificationProtocol,
    hashed: HashedSamples | None,
    name: str,
    matcher: Entrant,
    options: argparse.Namespace,
    cache: Path,
    *,
    first: bool,
) -> _Found:
    assert hashed is not None
    assert not isinstance(matcher, ScoreFile)
    templates = embedded(hashed, matcher, options, cache)
    ways = _ways(matcher, templates, first=first)
    scored: list[Scored] = []
    sources: list[EvidenceSource | None] = []
    with progress_bar("pairs", len(ways) * len(protocol)) as bar:
        for way in ways:
            card = calibration_of(name, templates.model, way)
            scores = score_pairs(protocol, templates, way, calibration=card, on_pairs=bar.advance)
            scored.append(with_kept_time(scores, protocol, cache))
            sources.append(_source(matcher, way, templates, options))
    return _Found(scored, sources, templates)


def _source(
    matcher: Entrant, way: Comparator | PhotoMatcher | None, templates: EmbeddedSamples, options: argparse.Namespace
) -> EvidenceSource | None:
    if not isinstance(matcher, GridMatcher) or way is None or isinstance(way, PhotoMatcher):
        return None
    return EvidenceSource(templates, way, extractor_of(matcher, options))


# Searches


def _searches(
    protocol: IdentificationProtocol, built: list[Entrant], options: argparse.Namespace, cache: Path
) -> SearchEvaluation:
    hashed = hash_photos(protocol.samples)
    searched: list[Searched] = []
    failures: list[FailedPhoto] = []
    for at, matcher in enumerate(built):
        if isinstance(matcher, ScoreFile):
            raise InvalidArgument(
                f"{protocol.name} is a protocol of searches, and a table of scores is of pairs; give a model"
            )
        templates = embedded(hashed, matcher, options, cache)
        ways = _ways(matcher, templates, first=at == 0)
        with progress_bar("searches", len(ways) * len(protocol.probes)) as bar:
            searched += [search_protocol(protocol, templates, way, on_probes=bar.advance) for way in ways]
        failures += templates.failures if at == 0 else ()
    with progress_bar("figures", len(searched)) as bar:
        figures = []
        for each in searched:
            figures.append(search_figures(protocol, each, seed=options.seed))
            bar.advance()
    return SearchEvaluation(
        protocol=protocol,
        settings=settings(built, options),
        searched=tuple(searched),
        figures=tuple(figures),
        against=tuple(searches_against(searched[0], other) for other in searched[1:]),
        failures=tuple(failures),
    )
