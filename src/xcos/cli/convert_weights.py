"""``xcos convert-weights``: published weights of the paper's networks, as safetensors for ``xcos train``."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

from xcos.errors import InvalidArgument, MissingPackage
from xcos.files import require_writable, write_atomically

NEEDED = ("torch", "safetensors")


def run(options: argparse.Namespace) -> int:
    """Exit code of ``xcos convert-weights``."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingPackage(f"converting weights needs {' and '.join(missing)}: pip install 'xcos[train]'")
    from xcos.training.published import read_published

    require_writable(options.out, inputs=[options.weights])
    if Path(options.out).suffix != ".safetensors":
        raise InvalidArgument(f"{options.out} must end in .safetensors, as that is what is written")
    published = read_published(options.weights, teacher=options.teacher)
    write_atomically(options.out, published.to_safetensors())
    layout = published.layout
    if options.json:
        print(json.dumps({"out": options.out, **vars(layout)}))
        return 0
    print(f"wrote {options.out}; in a recipe:")
    print("[network]", 'name = "ir"', f"depth = {layout.depth}", f"squeeze = {str(layout.squeeze).lower()}", sep="\n")
    print(f"vector_size = {layout.vector_size}", f'weights = "{options.out}"', sep="\n")
    if layout.head:
        print("[head]", 'weighting = "concat"', f'weights = "{options.out}"', sep="\n")
    return 0
