"""``xcos demo``: the main job on the rendered faces that ship with the package."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from xcos.catalog import DATA, default_verifier
from xcos.errors import InvalidArgument
from xcos.images import read_image

# One pair for each outcome; the third is of two people whose grids alone would match.
PAIRS = (("0_front", "0_smile"), ("0_front", "1_front"), ("1_front", "2_front"))


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos demo``."""
    folder = Path(options.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(
            f"cannot make the folder {folder}: {error.strerror}; choose another with --out"
        ) from error
    verifier = default_verifier()
    rows: list[dict[str, object]] = []
    for names in PAIRS:
        probe, reference = (read_image(DATA / "examples" / f"{name}.jpg") for name in names)
        result = verifier.verify(probe, reference)
        stem = "-".join(names)
        result.save_picture(folder / f"{stem}.png")
        result.save_report(folder / f"{stem}.html")
        rows.append(
            {
                "probe": names[0],
                "reference": names[1],
                "decision": result.outcome,
                "score": round(result.score, 4),
                "reasons": [reason.code for reason in result.decision.reasons],
                "report": str(folder / f"{stem}.html"),
            }
        )
    if options.json:
        print(json.dumps({"comparisons": rows}, indent=2))
        return 0
    for row in rows:
        print(f"{row['probe']:8} {row['reference']:8} {row['score']:.4f} {row['decision']:13} {row['report']}")
    print(
        "\nOpen a report in a browser; the .png beside it is the picture alone.\n"
        "These faces are rendered, nobody real is shown, and they say nothing of accuracy on people: they look more\n"
        "alike than photos of people do, which is why the third pair shows the grid and the vector in disagreement.\n"
        "Now try your own:  xcos verify A.jpg B.jpg --report evidence.html"
    )
    return 0
