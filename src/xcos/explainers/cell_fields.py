"""What each cell of a network's grid sees: where its gradient's energy lies, on average over photos, kept in a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xcos.errors import InvalidArgument
from xcos.files import write_atomically
from xcos.types import Maps, freeze

FOLDER = Path(__file__).parents[1] / "data" / "fields"
SCHEMA = "xcos.cell-fields/1"
DIGITS = 6
ROUNDED = 1e-3
"""A cell's shares may miss 1 by so much, as they are kept with six digits."""


@dataclass(frozen=True, eq=False)
class CellFields:
    """Shares of every cell's gradient energy, by the square of the crop it comes from."""

    network: str
    """Name of the model whose cells they are."""
    shares: Maps
    """``(rows · cols, rows, cols)`` ≥ 0, cells in reading order; each cell's sum to 1."""
    origin: str
    """Photos, noises and day of the measurement."""

    def __post_init__(self) -> None:
        cells = self.shares.shape
        square = self.shares.ndim == 3 and cells[0] == cells[1] * cells[2] > 0
        if not square or not np.isfinite(self.shares).all() or self.shares.min() < 0:
            raise InvalidArgument(f"fields are (rows · cols, rows, cols) finite shares from 0, got {cells}")
        if not np.allclose(self.shares.sum(axis=(1, 2)), 1, rtol=0, atol=ROUNDED):
            raise InvalidArgument("the shares of each cell's field must sum to 1")
        freeze(self, shares=self.shares / self.shares.sum(axis=(1, 2), keepdims=True))

    def spread(self, cells: Maps) -> Maps:
        """``(rows, cols)`` numbers of squares from those of cells; the sum stays what it is."""
        if cells.shape != self.shares.shape[1:]:
            raise InvalidArgument(
                f"the fields are of {self.shares.shape[1]} × {self.shares.shape[2]} cells, the comparison has "
                f"{cells.shape[0]} × {cells.shape[1]}; measure them on this network"
            )
        squares: Maps = np.tensordot(cells.ravel(), self.shares, 1)
        return squares


def read_fields(path: str | Path) -> CellFields:
    """Fields from a file of :func:`write_fields`."""
    try:
        document: Any = json.loads(Path(path).read_bytes())
        if document["schema"] != SCHEMA:
            raise ValueError
        shares = np.array(document["shares"], np.float64)
        return CellFields(str(document["network"]), shares, str(document["origin"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(
            f"{Path(path).name} holds no fields of cells; benchmarks/cell_fields.py writes such a file", path=str(path)
        ) from error


def write_fields(path: str | Path, fields: CellFields) -> None:
    """Keeps fields, with six digits of each share."""
    shares = [[[round(share, DIGITS) for share in row] for row in cell] for cell in fields.shares.tolist()]
    document = {"schema": SCHEMA, "network": fields.network, "origin": fields.origin, "shares": shares}
    write_atomically(path, (json.dumps(document, separators=(",", ":")) + "\n").encode())


def packaged_fields(model: str) -> CellFields:
    """Of a packaged model, by its name; raises :class:`InvalidArgument` where none were measured."""
    path = FOLDER / file_of(model)
    if not path.is_file():
        raise InvalidArgument(
            f"what the cells of {model} see was not measured; measure it (benchmarks/cell_fields.py) and give the file "
            "as the option fields"
        )
    return read_fields(path)


def file_of(model: str) -> str:
    """Name of the file of a model's fields."""
    return f"{model.replace('/', '-')}.json"
