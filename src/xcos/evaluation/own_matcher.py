"""A face matcher of the user's own code: photos in, templates out, pairs of templates compared."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from xcos.compare import NormWeighted
from xcos.errors import InputRefused, InvalidArgument, InvalidModel, InvalidTemplate, MissingPackage, NoFace
from xcos.evaluation.embedding import EmbeddedSamples, HashedSamples, embed_by
from xcos.evaluation.protocol import Samples
from xcos.evaluation.work import MEASURES, SECOND_LOOK, Job, KeyedPhoto, read_keyed, shard_of
from xcos.explainers.matcher import GridMatcher
from xcos.feature_store import Kept, Recipe, Refused, Shard
from xcos.interfaces import Embedder
from xcos.types import Floats, Pixels, Reals

YOURS = "this is your own code, which runs as it stands"
MEASURED = tuple(name for name in MEASURES if name != SECOND_LOOK)


@runtime_checkable
class PhotoMatcher(Protocol):
    """A whole face matcher, with whatever it finds faces by. A class with these three is one, without a base class."""

    @property
    def model(self) -> str:
        """Identity of model and settings. Templates are kept by it: other weights, another name."""
        ...

    def extract(self, photo: Pixels) -> ArrayLike | None:
        """Template of the face in an upright ``(H, W, 3)`` RGB photo, ``(D,)`` numbers; None where there is no face."""
        ...

    def compare(self, probes: Floats, references: Floats) -> ArrayLike:
        """``(n,)`` scores of n pairs of templates, ``(n, D)`` each; higher is more alike."""
        ...


def import_matcher(name: str) -> PhotoMatcher | GridMatcher:
    """What ``package.module:Name`` names: a class, a function that makes one, or an object; of the first two, the made.

    It must be a :class:`PhotoMatcher`, or an :class:`~xcos.interfaces.Embedder`, whose grids are then compared by norm
    weighting. Modules are looked for in the current folder first, as ``python -m`` does. Importing runs the user's
    code. Raises :class:`InvalidArgument` where nothing has that name, :class:`InvalidModel` where the code fails or
    what it gives is neither.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise InvalidArgument(f"a matcher in Python is named package.module:Name, got {name!r}", name=name)
    found: object = _module(module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [each for each in dir(found) if not each.startswith("_")]
            raise InvalidArgument(f"{module} has no {part}; it has {', '.join(known) or 'nothing'}", name=name)
        found = getattr(found, part)
    if callable(found) and (isinstance(found, type) or not isinstance(found, (PhotoMatcher, Embedder))):
        found = _yours(found, name)
    if isinstance(found, GridMatcher):
        return found
    if isinstance(found, Embedder):
        return GridMatcher(found, NormWeighted())
    if isinstance(found, PhotoMatcher):
        _require_name(found, name)
        return found
    lacks = [each for each in ("model", "extract", "compare") if not hasattr(found, each)]
    raise InvalidModel(
        f"{name} gives a {type(found).__name__} without {', '.join(lacks)}; a matcher has model, extract(photo) and "
        "compare(probes, references), or is an embedder with card, model and embed(crops): docs/evaluate.md",
        name=name,
    )


def _module(name: str) -> object:
    here = os.getcwd()  # noqa: PTH109  (what sys.path holds are texts)
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidArgument(
                f"no module is named {error.name}, neither in {here} nor among what is installed", name=name
            ) from error
        raise MissingPackage(f"{name} needs {error.name}, which is not installed: pip install {error.name}") from error
    except Exception as error:  # whatever the user's module raises
        raise InvalidModel(f"importing {name} fails: {_told(error)}; {YOURS}", name=name) from error


def _require_name(matcher: PhotoMatcher, name: str) -> None:
    model: object = matcher.model
    if not isinstance(model, str) or not model.strip() or not model.isprintable():
        raise InvalidModel(f"{name}.model must be a line of text that tells this model from others, got {model!r}")


def _yours(call: Callable[..., object], what: str, *arguments: object) -> object:
    """What the user's code answers; its errors as :class:`InvalidModel`, but for photos that it refuses."""
    try:
        return call(*arguments)
    except InputRefused:
        raise
    except Exception as error:  # whatever the user's code raises
        raise InvalidModel(f"{what} fails: {_told(error)}; {YOURS}") from error


def _told(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


def embed_photos(
    samples: Samples | HashedSamples,
    matcher: PhotoMatcher,
    *,
    cache: str | Path | None = None,
    on_photo: Callable[[], None] = lambda: None,
    on_known: Callable[[int], None] = lambda _: None,
) -> EmbeddedSamples:
    """Templates of all samples as :func:`~xcos.evaluation.embedding.embed_samples` makes them, by the user's matcher.

    One thread calls it, a photo at a time. A photo that it gives None for is a failure ``no_face``, one it raises an
    :class:`~xcos.errors.InputRefused` for has that error's code, and numbers that are not finite or all zero are an
    ``invalid_template``; every other error of the user's code ends the run. Of a photo only the milliseconds of the
    matcher are measured. The cache knows templates by ``matcher.model`` and by the file that the class stands in.
    """
    recipe = Recipe(matcher.model, f"own/{_code(matcher)}", "own", "single", MEASURED)
    length = 0

    def kept(each: KeyedPhoto) -> Kept | Refused:
        nonlocal length
        try:
            vector, took = _template(matcher, each)
        except InputRefused as error:
            return Refused(error.code, error.message)
        length = length or len(vector)
        if len(vector) != length:
            raise InvalidModel(f"extract gave {len(vector)} numbers for {each.photo.name}, and {length} before")
        measures = tuple(took if name == "embed_ms" else math.nan for name in MEASURED)
        return Kept(vector[None, None], vector, measures)

    def run(jobs: Sequence[Job]) -> Iterator[Shard]:
        for job in jobs:
            results = {}
            for each in job.photos:
                results[each.key] = kept(each)
                on_photo()
            yield shard_of(job, results)

    return embed_by(run, samples, recipe, cache=cache, on_known=on_known)


def _template(matcher: PhotoMatcher, each: KeyedPhoto) -> tuple[Floats, float]:
    """The template and the milliseconds it took."""
    photo = read_keyed(each)
    started = perf_counter()
    made = _yours(matcher.extract, f"extract of {each.photo.name}", photo.pixels)
    took = 1e3 * (perf_counter() - started)
    if made is None:
        raise NoFace(f"{matcher.model} finds no face")
    try:
        vector = np.asarray(made, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidModel(
            f"extract must give (D,) numbers, got {type(made).__name__} for {each.photo.name}"
        ) from error
    if vector.ndim != 1 or not vector.size:
        raise InvalidModel(f"extract must give (D,) numbers, got {vector.shape} for {each.photo.name}")
    if not np.isfinite(vector).all() or not vector.any():
        raise InvalidTemplate(f"{matcher.model} gives numbers that are not finite or all zero")
    return vector, took


def _code(matcher: PhotoMatcher) -> str:
    """Hash of the file the matcher's class stands in; empty where there is none."""
    try:
        file = inspect.getsourcefile(type(matcher))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12] if file else ""
    except (OSError, TypeError):
        return ""


def compare_templates(matcher: PhotoMatcher, probes: Floats, references: Floats) -> Reals:
    """``(n,)`` scores of the user's matcher; :class:`InvalidModel` unless they are n finite numbers."""
    made = _yours(matcher.compare, "compare", probes, references)
    try:
        scores = np.asarray(made, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidModel(f"compare must give (n,) numbers, got {type(made).__name__}") from error
    if scores.shape != (len(probes),) or not np.isfinite(scores).all():
        what = f"shape {scores.shape}" if scores.shape != (len(probes),) else "numbers that are not finite"
        raise InvalidModel(f"compare of {len(probes)} pairs must give ({len(probes)},) finite numbers, got {what}")
    return scores
