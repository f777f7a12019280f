"""A result as one self-contained HTML file, and as the picture in a notebook."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable
from pathlib import Path

from xcos.draw import OUTCOMES
from xcos.files import write_atomically
from xcos.types import Region, Sample, SecondOpinion
from xcos.verification import Verification

TEMPLATES = Path(__file__).parent / "data" / "templates"
REGION_WORDS = {
    "brow": "brow and forehead",
    "eyes": "eyes",
    "nose": "nose",
    "mouth": "mouth",
    "cheeks": "cheeks",
    "jaw": "jaw and chin",
    "face": "whole face",
}
CAVEATS = (
    "No liveness or presentation attack check was made: a photo of a photo compares like a photo.",
    "The score is evidence, not identity. Close relatives and look-alikes score higher than strangers.",
    "The place of a cell is nominal: a square of the crop. A cell of a deep network sees more of the face than its "
    "square, and what moves it most may lie beside it; with the packaged model by about one cell. So the "
    "parts' names say where in the grid a value stands, not which part of the face alone made it.",
    "A match asks for more than the threshold (the end of its interval, sound photos, no contradiction), so its own "
    "false match rate is lower than the stated one and is not stated.",
    "The false match rate holds for photos and people like those of the calibration; twins, children, other "
    "cameras and other groups of people can differ from it.",
)


def picture_png(result: Verification) -> bytes:
    """The evidence picture as a PNG file."""
    from PIL import Image as pil

    file = io.BytesIO()
    pil.fromarray(result.picture()).save(file, "PNG", compress_level=4)
    return file.getvalue()


def write_picture(result: Verification, path: str | Path) -> None:
    """Writes the evidence picture as PNG, atomically."""
    write_atomically(path, picture_png(result))


def write_report(result: Verification, path: str | Path) -> None:
    """Writes the HTML report, atomically."""
    # A file name that is not UTF-8 holds surrogates.
    write_atomically(path, report_html(result).encode("utf-8", "backslashreplace"))


def report_html(result: Verification) -> str:
    """One HTML page without any outside resource: decision, picture, regions, cards, hashes, caveats."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    label, color = OUTCOMES[result.outcome]
    return environment.get_template("report.html").render(
        result=result,
        document=result.to_dict(),
        label=label,
        color=f"rgb{color}",
        picture=base64.b64encode(picture_png(result)).decode(),
        region_words=REGION_WORDS,
        region_sentences=[region_sentence(region) for region in result.regions],
        decision_sentences=decision_sentences(result),
        samples=[("Probe", result.probe), ("Reference", result.reference)],
        quality_rows=QUALITY_ROWS,
        caveats=CAVEATS,
    )


def notebook_html(result: Verification) -> str:
    """The picture, with the decision as its text for those who cannot see it."""
    encoded = base64.b64encode(picture_png(result)).decode()
    words = html.escape(" ".join(decision_sentences(result)))
    return f'<img style="max-width:100%" alt="{words}" src="data:image/png;base64,{encoded}">'


def decision_sentences(result: Verification) -> list[str]:
    """What was decided and why, in sentences that quote only numbers of the result."""
    decision, threshold, origin = result.decision, result.decision.threshold, result.calibration.origin
    relation = "at or above" if decision.score >= threshold.value else "below"
    people = ("one person", "different people")
    favoured, against = people if decision.llr >= 0 else people[::-1]
    sentences = [
        f"The score is {decision.score:.4f}, {relation} the threshold {threshold.value:.4f}.",
        f"The threshold is set for a false match rate of {_percent(threshold.fmr)}; the rate there is estimated "
        f"between {_percent(threshold.fmr_low)} and {_percent(threshold.fmr_high)} (95 % interval; "
        f"{origin.n_non_mated:,} comparisons among {origin.n_subjects:,} people, those that share a person counted as "
        "dependent).",
    ]
    if decision.llr in result.calibration.llr_bounds:
        sentences.append(
            f"The fitted likelihood ratio in favour of {favoured} reaches its limit of {_times(decision.llr)} "
            f"(log-likelihood ratio {decision.llr:+.2f}), the most this calibration supports; how far beyond it would "
            "lie is not known."
        )
    else:
        sentences.append(
            f"By the fitted model such a score is {_times(decision.llr)} times as frequent among photos of {favoured} "
            f"as among photos of {against} (log-likelihood ratio {decision.llr:+.2f})."
        )
    sentences.append("A likelihood ratio is no probability: that needs the odds before the photos were compared.")
    sentences += [_second_sentence(result.second_opinion), *result.caveats]
    if decision.reasons:
        sentences.append("No conclusion is drawn, for the reasons listed.")
    return sentences


def _second_sentence(second: SecondOpinion | None) -> str:
    if second is None:
        return "There is no second opinion: the network's own vector has no calibration here."
    if second.threshold is None:
        return (
            f"The network's own vector scores {second.score:.4f} (log-likelihood ratio {second.llr:+.2f}); its "
            "calibration supports no threshold for this rate, so it does not decide."
        )
    return (
        f"The network's own vector, judged alone, gives {str(second.outcome).replace('_', '-')}: score "
        f"{second.score:.4f}, threshold {second.threshold.value:.4f}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _times(llr: float) -> str:
    ratio = math.exp(abs(llr))
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"


def region_sentence(region: Region) -> str:
    """One region in one sentence."""
    cells = "cell" if region.cells == 1 else "cells"
    direction = "more than" if region.support >= 0 else "less than"
    return (
        f"{REGION_WORDS[region.name].capitalize()} ({region.cells} {cells}): similarity {region.similarity:.3f}, "
        f"weight {100 * region.attention:.1f} %, adds {region.contribution:.4f} to the score, "
        f"{abs(region.support):.4f} {direction} the threshold asks of it."
    )


QUALITY_ROWS: tuple[tuple[str, Callable[[Sample], str]], ...] = (
    ("File", lambda s: s.name or "(no file name)"),
    ("SHA-256", lambda s: s.sha256),
    ("Format and size", lambda s: f"{s.format}, {s.photo_size[0]} × {s.photo_size[1]} pixels"),
    ("Faces found", lambda s: str(s.faces_found)),
    ("Face box", lambda s: ", ".join(f"{edge:.0f}" for edge in s.face.face.box) + " (left, top, right, bottom)"),
    ("Detector's confidence", lambda s: f"{s.face.face.confidence:.3f}"),
    ("Distance of the eyes", lambda s: f"{s.quality.inter_eye:.1f} pixels"),
    ("Sharpness", lambda s: f"{s.quality.sharpness:.3f}"),
    ("Brightness, contrast", lambda s: f"{s.quality.brightness:.2f}, {s.quality.contrast:.2f}"),
    ("Yaw, pitch (relative)", lambda s: f"{s.quality.yaw:+.2f}, {s.quality.pitch:+.2f}"),
    ("Roll", lambda s: f"{round(s.quality.roll) + 0:+d}°"),
    ("Alignment residual", lambda s: f"{s.quality.residual:.3f} eye distances"),
    ("Landmarks on a second look", lambda s: f"off by {s.quality.second_look:.3f} eye distances"),
    ("Crop outside the photo", lambda s: f"{s.quality.outside:.0%}"),
)
