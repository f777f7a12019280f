"""``xcos identify``: who in a gallery is most like a photo."""

from __future__ import annotations

import argparse
import json

from xcos.cli.gallery import audit_of, tags_of
from xcos.cli.quiet import without_decoder_chatter
from xcos.cli.verify import component_files, read_side, require_output, verifier_of
from xcos.gallery.gallery import Gallery
from xcos.gallery.identifier import Identifier, ProbeSearch
from xcos.gallery.report import answer_sentences, candidate_sentence, write_search
from xcos.gallery.search import Effort

CANDIDATES, UNKNOWN = 0, 3


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos identify``: 0 where the first candidate reaches the threshold, 3 for an unknown person."""
    if options.report:
        require_output(options.report, (".html", ".htm"), [*options.photos, options.gallery, *component_files(options)])
    effort = Effort(options.exact_up_to, options.shortlist)
    with Gallery.open(options.gallery, effort=effort) as gallery:
        gallery.require_purpose(options.purpose)
        with without_decoder_chatter():
            photos = [read_side(path, "probe") for path in options.photos]
        search = Identifier(gallery, verifier_of(options)).identify(
            photos, purpose=options.purpose, top=options.top, fpir=options.fpir, where=tags_of(options.where)
        )
        _log(options, gallery, search)  # before anything is told
        if options.report:
            write_search(search, gallery.card, options.report)
    found = search.identification
    if options.json:
        print(json.dumps({**found.to_dict(), "probes": [sample.sha256 for sample in search.samples]}, indent=2))
    else:
        print(found.outcome)
        for sentence in answer_sentences(found):
            print(f"  {sentence}")
        for reason in found.reasons:
            print(f"  reason: {reason.message} ({reason.code})")
        for candidate in found.candidates:
            print(f"  {candidate.rank}. {candidate.subject}: {candidate_sentence(candidate, found)}")
        print("  A candidate is a lead, not an identity. No liveness check was made.")
        if options.report:
            print(f"wrote {options.report}")
    return CANDIDATES if found.outcome == "candidates" else UNKNOWN


def _log(options: argparse.Namespace, gallery: Gallery, search: ProbeSearch) -> None:
    found = search.identification
    facts: dict[str, object] = {
        "purpose": options.purpose,
        "gallery": gallery.card.name,
        "model": gallery.card.layout.model,
        "templates": found.templates,
        "method": found.method,
        "inputs": [sample.sha256 for sample in search.samples],
        "outcome": found.outcome,
        "reasons": [reason.code for reason in found.reasons],
        "threshold": found.threshold and found.threshold.threshold.value,
        "calibration": found.threshold and found.threshold.calibration,
        "candidates": [[gallery.token(each.subject), round(each.score, 6)] for each in found.candidates],
    }
    audit_of(options.gallery).append("identify", facts, operator=options.operator)
