"""A search as one self-contained HTML file: candidates, evidence, and why somebody is unknown."""

from __future__ import annotations

import base64
import io
import math
from datetime import UTC, datetime
from pathlib import Path

from xcos.draw import candidate_picture
from xcos.files import write_atomically
from xcos.gallery.candidates import Candidate, Identification, difference_map
from xcos.gallery.identifier import ProbeSearch
from xcos.gallery.store import GalleryCard
from xcos.report import QUALITY_ROWS, TEMPLATES
from xcos.types import Pixels, Sample

CAVEATS = (
    "A candidate is a lead, not an identity. Two people who know what these pictures mean should look before anything "
    "follows for anybody.",
    "No liveness or presentation attack check was made.",
    "The rate of false positives rests on the calibration's photos and on a model that takes comparisons as "
    "independent; it was not measured on this gallery. Relatives and look-alikes are more alike than strangers.",
    "The photos of those enrolled are not kept, so only the probe can be shown.",
    "The place of a cell is nominal: a cell of a deep network sees more of the face than its square.",
)


def answer_sentences(found: Identification) -> list[str]:
    """What was found, in sentences that quote only numbers of the search."""
    how = {"exact": "all were ranked exactly", "shortlist": "a shortlist of them was compared exactly"}[found.method]
    sentences = [f"{found.templates:,} templates of {found.subjects:,} people were searched; {how}."]
    if found.threshold:
        at = found.threshold.threshold
        sentences.append(
            f"The threshold is {at.value:.4f} [{at.low:.4f}, {at.high:.4f}]: {found.threshold.model} "
            f"({found.threshold.origin})."
        )
    if found.outcome == "candidates":
        best = found.candidates[0]
        sentences.append(f"The first candidate reaches it: {best.subject}, score {best.score:.4f}.")
    else:
        sentences.append("The person is unknown to this search; the candidates are listed for a person to look at.")
    return sentences


def candidate_sentence(candidate: Candidate, found: Identification) -> str:
    """One candidate's numbers."""
    words = f"score {candidate.score:.4f}"
    if candidate.llr is not None and candidate.llr_in_gallery is not None:
        words += (
            f", log-likelihood ratio {candidate.llr:+.2f} alone and {candidate.llr_in_gallery:+.2f} among "
            f"{found.subjects:,} people (less ln N = {math.log(found.subjects):.2f})"
        )
    if candidate.outcome:
        places = {"match": "at or above", "non_match": "below", "inconclusive": "inside the interval of"}
        words += f", {places[candidate.outcome]} the threshold"
    return words


def picture_of(sample: Sample, found: Identification, rank: int, *, scale: float = 2.0) -> Pixels:
    """The evidence of the candidate at ``rank``, with what puts it ahead of the next one."""
    candidate, following = found.candidates[rank - 1], found.candidates[rank : rank + 1]
    return candidate_picture(
        sample,
        candidate.comparison,
        title=f"{candidate.rank}. {candidate.subject}",
        subtitle=candidate_sentence(candidate, found),
        threshold=found.threshold.threshold.value if found.threshold else None,
        difference=difference_map(candidate, following[0]) if following else None,
        scale=scale,
    )


def write_search(search: ProbeSearch, card: GalleryCard, path: str | Path) -> None:
    """Writes the page, atomically. It holds the probe's face and the candidates' ids."""
    write_atomically(path, search_html(search, card).encode("utf-8", "backslashreplace"))


def search_html(search: ProbeSearch, card: GalleryCard) -> str:
    """The page, without any outside resource."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    found = search.identification
    return environment.get_template("search.html").render(
        found=found,
        card=card,
        sentences=answer_sentences(found),
        candidates=[
            (each, candidate_sentence(each, found), _png(picture_of(search.samples[0], found, each.rank, scale=1.5)))
            for each in found.candidates
        ],
        samples=search.samples,
        quality_rows=QUALITY_ROWS,
        caveats=CAVEATS,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _png(pixels: Pixels) -> str:
    from PIL import Image as pil

    file = io.BytesIO()
    pil.fromarray(pixels).save(file, "PNG", compress_level=4)
    return base64.b64encode(file.getvalue()).decode()
