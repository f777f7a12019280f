"""The learned xCos head, run without the framework it was trained in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xcos.comparators.attention import Attention, PairNetwork
from xcos.comparators.encoded import EncodedFaces
from xcos.comparators.factored import Norm, Separable, Shared
from xcos.comparators.head_file import HeadFile
from xcos.comparators.weighting import Pairs, Weighting
from xcos.compare import Uniform, require_pairs
from xcos.errors import IncompatibleTemplates, InvalidArgument
from xcos.onnx_runtime import CPU
from xcos.types import Floats, Grids, Maps

BLOCK = 64  # faces in one call, so that memory does not grow with their number


class LearnedHead:
    """Comparator from a ``head.onnx`` (:func:`xcos.training.export.export_head`).

    Faces are encoded once and pairs compared from encodings: :meth:`encode`, then :meth:`maps_of`,
    :meth:`score_pairs` or :meth:`score_all`. All weightings but *concat*, the paper's own, give the same for
    (a, b) and (b, a): maps and listed pairs bit for bit, :meth:`score_all` within rounding, because a matrix
    product may sum in another order. A file that is not such a head raises :class:`~xcos.errors.InvalidModel`.
    """

    def __init__(self, path: str | Path, *, providers: Sequence[str] = CPU) -> None:
        self._file = HeadFile(Path(path), providers)
        self.name = f"xcos-{self._file.weighting}/{self._file.sha256[:12]}"
        trial = np.random.default_rng(0).normal(size=(2, *self._file.grid)).astype(np.float32)
        self._pair_part = _pair_part(self._file, self._file.constants(trial))
        self.encode(trial)  # a head that cannot encode is refused here, not at the first photo

    def encode(self, grids: Grids) -> EncodedFaces:
        """What pairs need of n faces, from ``Templates.grids`` (n, rows, cols, channels)."""
        wanted = self._file.grid
        if grids.shape[1:] != wanted or grids.dtype != np.float32:
            raise InvalidArgument(
                f"{self.name} takes float32 grids (n, {', '.join(map(str, wanted))}), got {grids.shape} "
                f"{grids.dtype}; use the network the head was trained with"
            )
        starts = range(0, max(len(grids), 1), BLOCK)
        blocks = [self._file.per_face(grids[start : start + BLOCK]) for start in starts]
        features = np.concatenate([block for block, _ in blocks])
        cues = np.concatenate([self._pair_part.cues(block, parts) for block, parts in blocks])
        return EncodedFaces(features, cues, self.name)

    def maps(self, probes: Grids, references: Grids) -> tuple[Maps, Maps]:
        """Similarity and attention of n pairs of grids, ``(n, rows, cols)`` each, in double precision."""
        if probes.shape != references.shape:
            raise InvalidArgument(
                f"grids must be two equal (n, rows, cols, channels), got {probes.shape} and {references.shape}"
            )
        return self.maps_of(self.encode(probes), self.encode(references))

    def maps_of(self, probes: EncodedFaces, references: EncodedFaces) -> tuple[Maps, Maps]:
        """Similarity and attention of n pairs of encoded faces, as :meth:`maps`."""
        self._require_mine(probes, references)
        if len(probes) != len(references):
            raise InvalidArgument(f"pairs need as many probes as references, got {len(probes)} and {len(references)}")
        similarity, _ = Uniform().maps(probes.features, references.features)
        return similarity, self._pair_part.attention(probes, references)

    def score_all(self, probes: EncodedFaces, references: EncodedFaces) -> Floats:
        """``(n, m)`` scores of every probe with every reference, −1…1, in single precision."""
        self._require_mine(probes, references)
        return self._pair_part.score_all(probes, references)

    def score_pairs(self, probes: EncodedFaces, references: EncodedFaces, pairs: Pairs) -> Floats:
        """``(p,)`` scores of listed pairs, in single precision; ``pairs`` (p, 2) holds indices of either side."""
        self._require_mine(probes, references)
        require_pairs(pairs, len(probes), len(references))
        return self._pair_part.score_pairs(probes, references, pairs)

    def _require_mine(self, *sides: EncodedFaces) -> None:
        heads = sorted({side.head for side in sides} | {self.name})
        if heads != [self.name]:
            raise IncompatibleTemplates(
                f"{self.name} compares faces it encoded itself, got heads {heads}; encode them again", heads=heads
            )


def _pair_part(file: HeadFile, constants: list[Floats]) -> Weighting:
    rows, cols, _ = file.grid
    match file.weighting:
        case "uniform":
            return Shared(np.full((rows, cols), 1 / (rows * cols)))
        case "fixed":
            return _fixed(file, constants[0])
        case "norm":
            return Norm()
        case "separable":
            return Separable()
        case _:
            network = _pair_network(file, *constants)
            return Attention(network, rows, cols, symmetric=file.weighting == "symmetric")


def _fixed(file: HeadFile, weights: Floats) -> Shared:
    if weights.shape != file.grid[:2] or weights.min() < 0 or abs(float(weights.sum()) - 1) > 1e-4:
        raise file.wrong("weights", weights, f"{file.grid[:2]}, each ≥ 0, total 1")
    exact = weights.astype(np.float64)
    return Shared(exact / exact.sum())


def _pair_network(file: HeadFile, kernel: Floats, bias: Floats, slopes: Floats) -> PairNetwork:
    if kernel.ndim != 3 or kernel.shape[1:] != (3, 3) or not len(kernel):
        raise file.wrong("kernel", kernel, "(hidden, 3, 3)")
    for name, values, count in (("bias", bias, 1), ("slopes", slopes, 2)):
        if values.shape != (count,):
            raise file.wrong(name, values, f"({count},)")
    return PairNetwork(kernel.astype(np.float64), float(bias[0]), float(slopes[0]), float(slopes[1]))
