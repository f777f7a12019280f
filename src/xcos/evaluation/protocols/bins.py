"""InsightFace's ``.bin``: LFW, CALFW, CPLFW, CFP, AgeDB-30 and VGG2-FP as pairs of cropped photos in one file."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np

from xcos.alignment import ARCFACE_112
from xcos.errors import InvalidArgument, InvalidProtocol
from xcos.evaluation.protocol import PhotoSource, Samples, VerificationProtocol, single
from xcos.evaluation.protocols import owners
from xcos.evaluation.protocols.lists import Place, is_folder, read_bytes, refused
from xcos.evaluation.protocols.pairing import FOLDS, NamedSamples, PairList
from xcos.images import FORMATS
from xcos.pickled_pairs import pickled_pairs_in

SIZE = (ARCFACE_112.width, ARCFACE_112.height)


def is_bin(path: Path) -> bool:
    """Whether a path names a file of pairs and not the folder of a set."""
    return path.suffix == ".bin" and not is_folder(path)


def read_bin(
    path: Path, name: str = "bin", *, as_published: bool = False, with_photos: bool = True
) -> VerificationProtocol:
    """The pairs of a ``.bin`` in their order, in 10 contiguous folds that differ in size by one pair at most.

    Nothing in the file is executed (:mod:`xcos.pickled_pairs`). Photos are crops of 112 × 112 pixels, cut so that the
    landmarks lie on the template ``arcface_112``; those points come with each photo, so no detector looks for them.
    A crop of another size is refused, unless nobody will look at them (``with_photos=False``); one that is no picture
    is left to whoever reads it. Photos of the same bytes are one photo. The file does not name people: those linked by
    mated pairs are one person. Raises
    :class:`~xcos.errors.InvalidProtocol` with the byte or the number of the pair.
    """
    content = read_bytes(path, owners.BIN)
    try:
        found = pickled_pairs_in(content, str(path))
    except InvalidArgument as error:
        raise InvalidProtocol(error.message, **{"path": str(path), "line": None, **error.details}) from error
    if len(found) < FOLDS:
        raise refused(Place(path, None), f"{len(found)} pairs cannot be {FOLDS} folds")

    samples = NamedSamples()
    pairs = PairList(samples)
    sources: dict[bytes, str] = {}
    for pair, mated in enumerate(found.mated):
        place = Place(path, pair + 1, "pair")
        numbers = []
        for side, image in zip(("probe", "reference"), found.images[2 * pair : 2 * pair + 2], strict=True):
            if image not in sources:
                sources[image] = f"{pair + 1:05d}/{side}"
                if with_photos:
                    _require_crop(image, place)
            numbers.append(samples.number(sources[image], place))
        pairs.add(place, *numbers, mated=bool(mated))
    probe, reference, mated_pairs = pairs.columns(as_published=as_published)
    subjects, known = pairs.subjects(probe, reference, mated_pairs)
    photos = tuple(PhotoSource(each, image, ARCFACE_112.points) for image, each in sources.items())
    return VerificationProtocol(
        name=name,
        samples=Samples(photos, tuple(map(single, range(len(photos)))), subjects, known),
        probe=probe,
        reference=reference,
        mated=mated_pairs,
        fold=np.concatenate([np.full(len(part), fold) for fold, part in enumerate(np.array_split(probe, FOLDS))]),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _require_crop(image: bytes, place: Place) -> None:
    from PIL import Image as pil

    try:
        with warnings.catch_warnings(action="ignore"), pil.open(io.BytesIO(image), formats=FORMATS) as picture:
            size = picture.size
    except pil.DecompressionBombError:
        size = (0, 0)
    except (
        OSError,
        SyntaxError,
        ValueError,
    ):  # what Pillow raises for broken headers; a failure to count, not a list's
        return
    if size != SIZE:
        raise refused(place, f"a photo of {size[0]} × {size[1]} pixels; crops of {SIZE[0]} × {SIZE[1]} are read here")
