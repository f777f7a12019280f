"""An extractor said in words, to be built again in another process: names, files and their hashes, no objects."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from xcos.catalog import DEFAULT_EMBEDDER, build_detector, build_embedder
from xcos.errors import InvalidArgument, InvalidModel
from xcos.extractor import Extractor
from xcos.models import CARD, read_model
from xcos.types import FaceChoice


@dataclass(frozen=True)
class ExtractorSpec:
    """What :func:`extractor_spec` makes; it can be pickled, printed and compared."""

    detector: str
    embedder: str
    """Empty where ``model`` brings it."""
    model: str
    """A model folder, or empty."""
    face: FaceChoice
    files: tuple[tuple[str, str], ...]
    """Path and SHA-256 of every file named above; a folder by its card, which names the hashes of the others."""

    def build(self) -> Extractor:
        """The extractor; :class:`InvalidModel` where a file is missing here or is another one."""
        for path, sha256 in self.files:
            if _sha256(path) != sha256:
                raise InvalidModel(
                    f"{path} is not the file it was when the run began; all machines must see the same files, and none "
                    "may change while it runs",
                    path=path,
                )
        embedder = read_model(self.model).embedder if self.model else build_embedder(self.embedder)
        return Extractor(build_detector(self.detector, embedder.card.template), embedder, self.face)


def extractor_spec(
    *, detector: str = "mtcnn", embedder: str = "", model: str | Path = "", face: FaceChoice = "only"
) -> ExtractorSpec:
    """The spec of an extractor by the names of :func:`xcos.catalog.build_verifier`; files by absolute path and hash."""
    if model and embedder:
        raise InvalidArgument("a model folder brings its own embedder; leave away either the model or the embedder")
    detector, seen_by_detector = _absolute(detector)
    embedder, seen_by_embedder = ("", []) if model else _absolute(embedder or DEFAULT_EMBEDDER)
    seen_by_embedder += [path.with_suffix(".json") for path in seen_by_embedder]
    folder = Path(model).absolute() if model else None
    files = [*seen_by_detector, *seen_by_embedder, *([folder / CARD] if folder else [])]
    hashes = tuple((str(path), _sha256(path)) for path in files)
    return ExtractorSpec(detector, embedder, str(folder or ""), face, hashes)


def _absolute(name: str) -> tuple[str, list[Path]]:
    """A name such as ``onnx:FILE`` with its file's absolute path, and the file if there is one."""
    kind, colon, file = name.partition(":")
    path = Path(file).absolute()
    return (f"{kind}:{path}", [path]) if colon and file else (name, [])


def _sha256(path: str | Path) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InvalidModel(f"cannot read {path}: {error.strerror}; give a file that all workers see") from error
