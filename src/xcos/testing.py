"""For those who write a component: fakes with answers known by hand, and the contract each must keep.

::

    from xcos.testing import check_detector
    def test_my_detector_keeps_the_contract():
        check_detector(MyDetector(), photo_with_one_face, photo_without)

The checks raise :class:`ContractBroken` with what was seen; the project's own components pass the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from xcos.alignment import DLIB_150
from xcos.explainers.explanation import Explainer, Explanation
from xcos.explainers.settings import settings_of
from xcos.interfaces import Comparator, Detector, Embedder
from xcos.types import AlignedFace, Crops, CropTemplate, Face, Grids, Maps, Photo, Pixels, Templates
from xcos.weights import WeightCard


class ContractBroken(AssertionError):
    """A component does not do what its interface promises."""


def _hold(condition: bool, broken: str) -> None:
    if not condition:
        raise ContractBroken(broken)


def check_detector(detector: Detector, with_face: Photo, without: Photo) -> None:
    """Faces are inside reach of the photo, best first, the same twice; none is an empty list; input untouched."""
    before = with_face.pixels.copy()
    faces = detector.detect(with_face.pixels)
    _hold(len(faces) >= 1, "no face was found in the photo that has one")
    _hold(bool((before == with_face.pixels).all()), "detect() changed the photo")
    order = [face.confidence for face in faces]
    _hold(order == sorted(order, reverse=True), f"faces must come most confident first, got {order}")
    again = detector.detect(with_face.pixels)
    same = [(a.box == b.box).all() and (a.landmarks == b.landmarks).all() for a, b in zip(faces, again, strict=True)]
    _hold(all(same), "the same photo gave different faces the second time")
    width, height = with_face.size
    for face in faces:
        left, top, right, bottom = face.box
        _hold(right > 0 and bottom > 0 and left < width and top < height, f"the box {face.box} misses the photo")
        _hold(face.landmarks[0, 0] < face.landmarks[1, 0], "the viewer's left eye comes first in an upright photo")
    _hold(detector.detect(without.pixels) == [], "a photo without a face must give an empty list")
    _hold(bool(detector.name), "a detector needs a name for reports")


def check_embedder(embedder: Embedder, crops: Crops) -> None:
    """A batch equals single calls, order does not matter, templates carry the model's identity; input untouched."""
    _hold(len(crops) >= 3, "give at least three crops to check with")
    before = crops.copy()
    batch = embedder.embed(crops)
    _hold(bool((before == crops).all()), "embed() changed its crops")
    _hold(len(batch) == len(crops), f"{len(crops)} crops gave {len(batch)} templates")
    _hold(batch.model == embedder.model, f"templates say {batch.model}, the embedder {embedder.model}")
    for index in range(len(crops)):
        alone = embedder.embed(crops[index : index + 1])[0]
        grid = np.abs(alone.grid - batch[index].grid).max() / np.abs(alone.grid).max()
        vector = np.abs(alone.vector - batch[index].vector).max() / np.abs(alone.vector).max()
        _hold(
            grid <= 1e-5 and vector <= 1e-5, f"crop {index} in a batch differs from it alone by {max(grid, vector):.1e}"
        )
    turned = embedder.embed(crops[::-1].copy())
    _hold(
        bool(np.allclose(turned.grids[::-1], batch.grids, rtol=1e-4, atol=1e-5 * float(np.abs(batch.grids).max()))),
        "the order of crops changes templates",
    )
    template = embedder.card.template
    _hold(crops.shape[1:3] == (template.height, template.width), "the card's template is not what embed() took")


def check_comparator(comparator: Comparator, *, shape: tuple[int, int, int] = (5, 5, 16), seed: int = 0) -> None:
    """Maps are in range, symmetric, independent of the batch, and a face equals itself; input untouched."""
    random = np.random.default_rng(seed)
    a, b = (random.normal(size=(4, *shape)).astype(np.float32) for _ in range(2))
    kept = a.copy(), b.copy()
    similarity, attention = comparator.maps(a, b)
    _hold(bool((kept[0] == a).all() and (kept[1] == b).all()), "maps() changed its grids")
    _hold(
        similarity.shape == attention.shape == (4, *shape[:2]), f"maps have shape {similarity.shape}, {attention.shape}"
    )
    _hold(float(np.abs(similarity).max()) <= 1 + 1e-9, "similarity leaves −1…1")
    _hold(float(attention.min()) >= 0, "attention is negative somewhere")
    _hold(float(attention.sum(axis=(1, 2)).max()) <= 1 + 1e-9, "attention sums to more than 1")
    other = comparator.maps(b, a)
    _hold(
        bool((other[0] == similarity).all() and (other[1] == attention).all()),
        "swapping probe and reference changes the maps",
    )
    alone = comparator.maps(a[2:3], b[2:3])
    _hold(bool(np.allclose(alone[0][0], similarity[2], atol=1e-12)), "a pair's maps depend on the rest of the batch")
    itself, _ = comparator.maps(a, a)
    _hold(bool(np.allclose(itself, 1, atol=1e-6)), "a face is not similar to itself in every cell")


def check_explainer(explainer: Explainer, probe: AlignedFace, reference: AlignedFace) -> None:
    """Maps fit their crops, repeat themselves and go with their photos; score, cost and settings are told.

    For matchers that score (a, b) as (b, a). Explains three times.
    """
    before = probe.crop.copy(), reference.crop.copy()
    found = explainer.explain(probe, reference)
    _hold(bool((before[0] == probe.crop).all() and (before[1] == reference.crop).all()), "explain() changed its crops")
    _hold(found.method == explainer.name, f"the explanation says {found.method}, the explainer {explainer.name}")
    for side, values, face in (("probe", found.probe, probe), ("reference", found.reference, reference)):
        wanted = face.crop.shape[:2]
        _hold(values.shape == wanted, f"the {side}'s map is {values.shape}, its crop {wanted}")
    _hold(found.cost.forward >= 1, "no pass through the network was counted, but there is a score")
    _hold(min(found.cost.forward, found.cost.backward) >= 0, f"a cost is never negative, got {found.cost}")
    told, options = found.settings, settings_of(explainer)
    for option in ("seed", "fill", "masks"):
        if option in options:
            _hold(option in told, f"the option {option} changes numbers and is not among the settings")
            _hold(told[option] == options[option], f"the settings say {option} {told[option]}, it is {options[option]}")
    swapped, again = explainer.explain(reference, probe), explainer.explain(probe, reference)
    _hold(_same_maps(found, again), "the same pair gave other maps the second time")
    _hold(found.cost == again.cost == swapped.cost, "the same pair had another cost the second time, or swapped")
    _hold(abs(found.score - swapped.score) <= 1e-9, "swapping the photos changes the score")
    turned = Explanation(found.method, swapped.reference, swapped.probe, swapped.score, swapped.cost)
    _hold(_same_maps(found, turned), "swapping the photos does not swap their maps")


def _same_maps(one: Explanation, other: Explanation) -> bool:
    """Up to rounding of their scale."""
    pairs = (one.probe, other.probe), (one.reference, other.reference)
    return all(bool(np.abs(a - b).max() <= 1e-6 * max(np.abs(a).max(), np.abs(b).max())) for a, b in pairs)


FAKE_CARD = WeightCard(
    name="fake",
    sha256="0" * 64,
    template=DLIB_150,
    color="rgb",
    mean=(0.0, 0.0, 0.0),
    scale=1.0,
    licence="none",
    source="xcos.testing",
    training_data="none",
)


@dataclass(frozen=True)
class FakeDetector:
    """Finds the faces it was given, in every photo that is not black; in a crop of ``template``, the face it shows."""

    faces: tuple[Face, ...]
    name: str = "fake"
    template: CropTemplate = DLIB_150

    def detect(self, pixels: Pixels) -> list[Face]:
        """The faces, best first; none in a black photo."""
        if pixels.shape[:2] == (self.template.height, self.template.width):
            height, width = pixels.shape[:2]
            return [Face(np.array([0.0, 0.0, width, height]), self.template.points, 1.0)]
        return sorted(self.faces, key=lambda face: -face.confidence) if pixels.any() else []


def face_at(x: float, y: float, inter_eye: float, *, template: CropTemplate = DLIB_150) -> Face:
    """An upright face that fits ``template`` exactly, with the middle of its eyes at (x, y)."""
    scale = inter_eye / template.inter_eye
    middle = template.points[:2].mean(axis=0)
    landmarks = (template.points - middle) * scale + (x, y)
    half = inter_eye
    return Face(np.array([x - half, y - half, x + half, y + 2 * half]), landmarks, 0.9)


@dataclass(frozen=True)
class FakeEmbedder:
    """Grid = mean colour of each cell of the crop, vector = mean colour of the crop, both plus one."""

    cells: int = 2
    card: WeightCard = field(default=FAKE_CARD)
    model: str = "fake/mean-colour"

    def embed(self, crops: Crops) -> Templates:
        """(n, cells, cells, 3) and (n, 3)."""
        size = crops.shape[1] // self.cells
        kept = crops[:, : size * self.cells, : size * self.cells].astype(np.float32)
        grids = kept.reshape(len(crops), self.cells, size, self.cells, size, 3).mean(axis=(2, 4)) + 1
        return Templates(grids, kept.mean(axis=(1, 2)) + 1, self.model)


@dataclass(frozen=True)
class FakeComparator:
    """Gives the same two maps for every pair."""

    similarity: tuple[tuple[float, ...], ...]
    attention: tuple[tuple[float, ...], ...]
    name: str = "fake"

    def maps(self, probes: Grids, references: Grids) -> tuple[Maps, Maps]:
        """The two maps, once per pair."""
        if probes.shape != references.shape:
            raise ValueError("probes and references must be equally many")
        maps = (np.array(each, np.float64) for each in (self.similarity, self.attention))
        similarity, attention = (np.repeat(each[None], len(probes), axis=0) for each in maps)
        return similarity, attention
