"""``xcos evaluate``: a protocol, a model, and a folder with what a test laboratory would say."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from xcos.catalog import build_detector, build_matcher
from xcos.cli.progress import progress_bar
from xcos.cli.quiet import without_decoder_chatter
from xcos.errors import InvalidArgument
from xcos.evaluation.embedding import EmbeddedSamples, embed_samples
from xcos.evaluation.figures import Figures, against, figures_of
from xcos.evaluation.protocol import IdentificationProtocol, VerificationProtocol
from xcos.evaluation.protocols import read_protocol
from xcos.evaluation.report import Evaluation, report_markdown, write_evaluation
from xcos.evaluation.run import Scored, score_pairs
from xcos.evaluation.uncertainty import Differences, Estimates
from xcos.explainers.matcher import GridMatcher
from xcos.extractor import Extractor


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos evaluate``."""
    protocol = read_protocol(options.protocol, options.data, as_published=options.as_published)
    if isinstance(protocol, IdentificationProtocol):
        raise InvalidArgument(
            f"{options.protocol} is a protocol of searches, and pairs are evaluated here; "
            "use xcos.evaluation.identification in Python"
        )
    out = Path(options.out)
    if out.exists() and not out.is_dir():
        raise InvalidArgument(f"{out} is a file; give a folder", path=str(out))
    matchers = [_matcher(name) for name in (options.model, *([options.against] if options.against else []))]
    cache = Path(options.cache) if options.cache else out.with_name(f"{out.name}.cache")
    scored: list[Scored] = []
    embedded: list[EmbeddedSamples] = []
    for matcher in matchers:
        embedded.append(_embedded(protocol, matcher, options, cache))
        scored.append(score_pairs(protocol, embedded[-1], matcher.comparator))
    scored.insert(1, score_pairs(protocol, embedded[0], None))
    evaluation = _evaluation(protocol, tuple(scored), embedded[0], options)
    paths = write_evaluation(evaluation, out)
    if options.json:
        print(json.dumps(evaluation.to_dict(), indent=2, sort_keys=True))
    else:
        print(report_markdown(evaluation.figures, evaluation.against), end="")
        print(f"features are kept in {cache}: templates are personal data")
        for path in paths:
            print(f"wrote {path}")
    return 0


def _matcher(model: str) -> GridMatcher:
    """A packaged embedder's name, ``onnx:FILE.onnx`` or a model folder."""
    if model and Path(model).is_dir():
        return build_matcher(model=model)
    return build_matcher(embedder=model)


def _embedded(
    protocol: VerificationProtocol, matcher: GridMatcher, options: argparse.Namespace, cache: Path
) -> EmbeddedSamples:
    detector = build_detector(options.detector, matcher.template)
    extractor = Extractor(detector, matcher.embedder, options.face)
    photos = len(protocol.samples.photos)
    print(f"{photos:,} photos, {len(protocol):,} pairs: {matcher.name}", file=sys.stderr)
    with progress_bar("photos", photos) as bar, without_decoder_chatter():
        return embed_samples(
            protocol.samples,
            extractor,
            cache=cache,
            mirror=options.mirror,
            on_photo=bar.advance,
            on_known=lambda known: bar.resize(photos - known),
        )


def _evaluation(
    protocol: VerificationProtocol, scored: tuple[Scored, ...], embedded: EmbeddedSamples, options: argparse.Namespace
) -> Evaluation:
    estimates = [Estimates(each.scores, seed=options.seed) for each in scored]
    figures: list[Figures] = []
    with progress_bar("figures", len(scored)) as bar:
        for each, of in zip(scored, estimates, strict=True):
            figures.append(figures_of(protocol, each, of))
            bar.advance()
    return Evaluation(
        protocol=protocol,
        settings={
            "detector": options.detector.rpartition("/")[2],
            "face": str(options.face),
            "mirror": "averaged" if options.mirror else "no",
            "seed": str(options.seed),
        },
        scored=scored,
        figures=tuple(figures),
        against=tuple(
            against(scored[0], other, Differences(estimates[0], of))
            for other, of in zip(scored[1:], estimates[1:], strict=True)
        ),
        failures=embedded.failures,
    )
