"""Results in a folder, each in a file of its own: a bench that was stopped goes on, and damaged files are made anew."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Cost, Explanation
from xcos.explainers.faithfulness.measure import Record
from xcos.files import write_atomically
from xcos.version import __version__

# What json, numpy and zipfile raise for files that are absent, cut short or have changed bytes.
_DAMAGED: tuple[type[Exception], ...] = (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, EOFError)
_DAMAGED += (RuntimeError, struct.error, zipfile.BadZipFile, zlib.error, InvalidArgument)


@dataclass(frozen=True, eq=False)
class KeptExplanation:
    """An explanation, and how long it took where it was made."""

    explanation: Explanation
    seconds: float


@dataclass(frozen=True)
class Kept:
    """Files under ``folder``, in a sub-folder for each kind of result; made where first needed."""

    folder: Path

    def record(self, kind: str, key: str) -> Record | None:
        """What was kept under this key; None if there is nothing, or nothing whole."""
        try:
            document = json.loads(self._path(kind, key, "json").read_bytes())
            text = json.dumps(document["record"])
            if document["check"] != _check(text):
                return None
            return {name: np.array(values, np.float64) for name, values in document["record"].items()}
        except _DAMAGED:
            return None

    def keep_record(self, kind: str, key: str, record: Record) -> None:
        """Keeps named arrays of numbers; NaN and infinities too, as JSON's readers in Python know them."""
        content = {name: np.asarray(values, np.float64).tolist() for name, values in record.items()}
        text = json.dumps(content)
        self._write(kind, key, "json", json.dumps({"check": _check(text), "record": content}).encode())

    def explanation(self, kind: str, key: str) -> KeptExplanation | None:
        """What was kept under this key; None if there is nothing, or nothing whole."""
        try:
            with np.load(io.BytesIO(self._path(kind, key, "npz").read_bytes()), allow_pickle=False) as file:
                about = json.loads(file["about"].tobytes())
                probe, reference = file["probe"], file["reference"]
            cost = Cost(int(about["forward"]), int(about["backward"]))
            made = Explanation(about["method"], probe, reference, float(about["score"]), cost, about["settings"])
            return KeptExplanation(made, float(about["seconds"]))
        except _DAMAGED:
            return None

    def keep_explanation(self, kind: str, key: str, made: KeptExplanation) -> None:
        """Keeps an explanation whose maps are in single precision (:func:`in_single_precision`)."""
        shown = made.explanation
        about = {
            "method": shown.method,
            "score": shown.score,
            "forward": shown.cost.forward,
            "backward": shown.cost.backward,
            "settings": dict(shown.settings),
            "seconds": made.seconds,
        }
        arrays: dict[str, NDArray[Any]] = {
            "probe": shown.probe.astype(np.float32),
            "reference": shown.reference.astype(np.float32),
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        }
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # as NumPy's, but quick
            for name, values in arrays.items():
                with archive.open(f"{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, values, allow_pickle=False)
        self._write(kind, key, "npz", file.getvalue())

    def _path(self, kind: str, key: str, ending: str) -> Path:
        return self.folder / file_name(kind) / f"{key}.{ending}"

    def _write(self, kind: str, key: str, ending: str, content: bytes) -> None:
        path = self._path(kind, key, ending)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(f"cannot make the folder {path.parent}: {error.strerror}; choose another") from error
        write_atomically(path, content, flush=False)


def in_single_precision(explanation: Explanation) -> Explanation:
    """The same with maps rounded as they are kept, so that a fresh one and a kept one give the same numbers."""
    probe, reference = (
        values.astype(np.float32).astype(np.float64) for values in (explanation.probe, explanation.reference)
    )
    return replace(explanation, probe=probe, reference=reference)


def key_of(*parts: str) -> str:
    """One name for all that a result depends on, this program's version among it."""
    return hashlib.blake2b("\n".join((__version__, *parts)).encode(), digest_size=16).hexdigest()


def file_name(text: str) -> str:
    """The text as a file's or folder's name."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.") or "unnamed"


def _check(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
