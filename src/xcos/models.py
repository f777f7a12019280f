"""A model folder: a user's network, the head learned on its grid, what both are, and what their scores mean."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xcos.calibration import Calibration, read_calibration
from xcos.comparators.learned import LearnedHead
from xcos.embedders.onnx_model import OnnxEmbedder
from xcos.errors import InvalidArgument, InvalidCard, InvalidModel
from xcos.files import write_through
from xcos.verifier import VECTOR_COMPARATOR
from xcos.weights import WeightCard, card_from, read_fields, require_fields

SCHEMA = "xcos.model/2"
CARD = "card.toml"
TRAINING_CONFIG = "config.toml"
"""What the folder of a training has, and that of a model has not."""
NETWORK, HEAD, CALIBRATION, VECTOR_CALIBRATION = FILES = (
    "model.onnx",
    "head.onnx",
    "calibration.json",
    "vector_calibration.json",
)
REQUIRED = FILES[:3]
SEAL = b"\n[seal]\n"
"""Where the card's last table begins: the hash of all bytes before it. It tells what was changed or lost by accident,
or removed together with its line; it is no signature."""


@dataclass(frozen=True, eq=False)
class FaceModel:
    """What a verifier needs beside a detector; all its parts were made for one another."""

    embedder: OnnxEmbedder
    comparator: LearnedHead
    calibration: Calibration
    vector_calibration: Calibration | None
    card: WeightCard
    folder: Path

    def __post_init__(self) -> None:
        cards = [(CALIBRATION, self.calibration, self.comparator.name)]
        if self.vector_calibration is not None:
            cards.append((VECTOR_CALIBRATION, self.vector_calibration, VECTOR_COMPARATOR))
        for name, calibration, comparator in cards:
            found, wanted = (calibration.model, calibration.comparator), (self.embedder.model, comparator)
            if found != wanted:
                raise InvalidCard(
                    f"{name} is of {' with '.join(found)}, the folder {self.folder.name} has {' with '.join(wanted)}; "
                    "thresholds do not carry over: fit it for this model and head"
                )


def read_model(folder: str | Path) -> FaceModel:
    """The model in a folder; every file must be the one that ``card.toml`` names by its SHA-256, itself included.

    Raises :class:`InvalidModel` for a file that is missing, changed, or there without standing in the card, and
    :class:`InvalidCard` for a card that is not one.
    """
    folder = Path(folder)
    fields = _card_fields(folder)
    listed = _listed_files(fields)
    tensors = _text_table(fields, "tensors")
    require_fields(tensors, ("grid", "vector"), f"[tensors] of {CARD}")
    _require_listed(folder, listed)
    own = ("schema", "tensors", "files", "seal")
    card = card_from({key: fields[key] for key in fields if key not in own}, CARD)
    if card.sha256 != listed[NETWORK].lower():
        raise InvalidCard(f"{CARD} states two hashes of {NETWORK}: {card.sha256} and {listed[NETWORK]}; correct one")
    model = FaceModel(
        embedder=OnnxEmbedder(folder / NETWORK, card, grid=tensors["grid"], vector=tensors["vector"]),
        comparator=LearnedHead(folder / HEAD),
        calibration=read_calibration(folder / CALIBRATION),
        vector_calibration=read_calibration(folder / VECTOR_CALIBRATION) if VECTOR_CALIBRATION in listed else None,
        card=card,
        folder=folder,
    )
    _try(model)
    return model


def _try(model: FaceModel) -> None:
    """Raises now, not at the first photo, where the head cannot read the network's grids."""
    shape = (1, model.card.template.height, model.card.template.width, 3)
    crop = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    try:
        model.comparator.encode(model.embedder.embed(crop).grids)
    except InvalidArgument as error:
        raise InvalidModel(f"{HEAD} of {model.folder.name} does not fit {NETWORK}: {error.message}") from error


def write_model(
    folder: str | Path,
    *,
    network: bytes,
    grid: str,
    vector: str,
    card: WeightCard,
    head: bytes,
    calibration: Calibration,
    vector_calibration: Calibration | None = None,
    notes: Mapping[str, str] | None = None,
) -> FaceModel:
    """The model just written to ``folder``, read back; the folder appears whole or not at all.

    ``card`` speaks of the bytes ``network``, whose outputs ``grid`` and ``vector`` are used. ``notes`` are texts
    to lie beside the model, name → content; they are not read again, but for their hash. A folder that has something
    in it is never touched.
    """
    folder = require_new_folder(folder)
    files = {NETWORK: network, HEAD: head, CALIBRATION: _json(calibration)}
    if vector_calibration is not None:
        files[VECTOR_CALIBRATION] = _json(vector_calibration)
    files |= {name: text.encode() for name, text in (notes or {}).items()}
    content = {
        "schema": SCHEMA,
        **card.to_dict(),
        "tensors": {"grid": grid, "vector": vector},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    files[CARD] = _sealed(toml(content).encode())
    try:
        temporary = folder.parent / f".{folder.name[:40]}.{secrets.token_hex(4)}.tmp"
        temporary.mkdir()
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        for name, part in files.items():
            write_through(temporary / name, part)
        read_model(temporary)
        if folder.exists():
            folder.rmdir()  # empty, or this fails and nothing was changed
        temporary.replace(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # there only where something went wrong
    return read_model(folder)


def require_new_folder(folder: str | Path) -> Path:
    """The path, refused before any work unless a folder can be made there or an empty one is there already."""
    folder = Path(folder).absolute()
    if folder.is_dir() and any(folder.iterdir()):
        raise InvalidArgument(f"the folder {folder} is not empty; give a new one", path=str(folder))
    if folder.exists() and not folder.is_dir():
        raise InvalidArgument(f"{folder} is a file; give a new folder", path=str(folder))
    if not folder.parent.is_dir() or not os.access(folder.parent, os.W_OK):
        raise InvalidArgument(
            f"{folder} cannot be written: the folder {folder.parent} is missing or protected", path=str(folder)
        )
    return folder


def toml(table: Mapping[str, object]) -> str:
    """TOML of nested tables of texts, finite numbers, lists and tables; plain values stand before tables."""
    return "\n".join(_toml_lines(table, ())) + "\n"


def _toml_lines(table: Mapping[str, object], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"{_toml_key(key)} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            inner = (*path, key)
            lines += ["", f"[{'.'.join(map(_toml_key, inner))}]", *_toml_lines(value, inner)]
    return lines


def _toml_key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _toml_text(key)


def _toml_value(value: object) -> str:
    if isinstance(value, str):
        return _toml_text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value)
    raise TypeError(f"a card holds texts, numbers, lists and tables, got {type(value).__name__}")


def _toml_text(text: str) -> str:
    # A JSON text is a TOML text but for the one control character that JSON does not escape.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def is_model(folder: Path) -> bool:
    """Whether the folder is, or once was, one that :func:`write_model` made."""
    return (folder / CARD).is_file() and str(read_fields(folder / CARD).get("schema", "")).startswith("xcos.model/")


def _card_fields(folder: Path) -> dict[str, object]:
    if not (folder / CARD).is_file() or ((folder / TRAINING_CONFIG).is_file() and not is_model(folder)):
        raise InvalidModel(_other_folder(folder), path=str(folder))
    fields = read_fields(folder / CARD)
    if fields.get("schema") != SCHEMA:
        raise InvalidCard(f"{CARD} of {folder.name} has schema {fields.get('schema')!r}, {SCHEMA!r} was expected")
    body, mark, seal = (folder / CARD).read_bytes().rpartition(SEAL)
    if _sealed(body) != body + mark + seal:
        raise InvalidCard(
            f"{CARD} of {folder.name} is not as it was written: its last line is not the hash of those before it; copy "
            "the whole folder again, or make it anew",
            file=CARD,
        )
    return fields


def _other_folder(folder: Path) -> str:
    """What a folder is that is no model."""
    if not (folder / TRAINING_CONFIG).is_file():
        return f"{folder} is no model folder: it has no {CARD}; make one with 'xcos plug', or give a folder made by it"
    if not (folder / NETWORK).is_file():
        return (
            f"{folder} is the folder of a training that is not finished; go on with 'xcos train CONFIG.toml --out "
            f"{folder} --resume', then calibrate it: xcos plug {folder} --data PEOPLE --out MODEL"
        )
    return (
        f"{folder} is the folder of a training; its scores have no thresholds yet. Calibrate it on photos of people it "
        f"was not trained on, one sub-folder each: xcos plug {folder} --data PEOPLE --out MODEL, then give MODEL"
    )


def _sealed(body: bytes) -> bytes:
    """The card with the hash of all its bytes at its end."""
    return body + SEAL + f'sha256 = "{hashlib.sha256(body).hexdigest()}"\n'.encode()


def _listed_files(fields: Mapping[str, object]) -> dict[str, str]:
    """Name → SHA-256 of all files but the card."""
    listed = _text_table(fields, "files")
    missing = [name for name in REQUIRED if name not in listed]
    foreign = [name for name in listed if name != Path(name).name or name == CARD]
    if missing:
        raise InvalidCard(f"[files] of {CARD} lacks {missing}; make the folder anew")
    if foreign:
        raise InvalidCard(f"[files] of {CARD} names {foreign}, which is no file of the folder; make the folder anew")
    return listed


def _text_table(fields: Mapping[str, object], key: str) -> dict[str, str]:
    table = fields.get(key)
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise InvalidCard(f"{CARD} needs a table [{key}] of texts, got {table!r}")
    return table


def _require_listed(folder: Path, listed: Mapping[str, str]) -> None:
    """Raises unless the folder has all listed files, each with its hash, and no others of a model."""
    for name in FILES:
        if name not in listed and (folder / name).exists():
            raise InvalidModel(f"{folder.name} has {name}, which its card does not name; remove it or make it anew")
    for name, expected in listed.items():
        if not (folder / name).is_file():
            raise InvalidModel(f"{folder.name} lacks {name}, which its card names; copy the whole folder again")
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != expected.lower():
            raise InvalidModel(
                f"{name} of {folder.name} has SHA-256 {found}, its card says {expected}; it was changed or cut: copy "
                "the whole folder again",
                file=name,
                found=found,
                expected=expected,
            )


def _json(calibration: Calibration) -> bytes:
    return (json.dumps(calibration.to_dict(), indent=1) + "\n").encode()


def _unwritable(folder: Path, error: OSError) -> InvalidArgument:
    return InvalidArgument(f"cannot write {folder}: {error.strerror or error}; nothing was changed", path=str(folder))
