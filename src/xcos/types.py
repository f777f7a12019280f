"""The nouns of the path image → faces → aligned crop → template → comparison → decision.

Every class is frozen and checks itself when made, so what exists is right. Arrays inside are read-only
views. Points are ``(x, y)`` in pixels, boxes ``(left, top, right, bottom)``, *left* is the viewer's left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xcos.errors import IncompatibleTemplates, InvalidArgument, InvalidTemplate

Pixels = NDArray[np.uint8]
"""``(H, W, 3)`` upright sRGB, 0…255."""
Crops = NDArray[np.uint8]
"""``(n, H, W, 3)`` aligned crops of one template, RGB."""
Floats = NDArray[np.float32]
Reals = NDArray[np.float64]
Grids = NDArray[np.float32]
"""``(n, rows, cols, channels)`` local features."""
Maps = NDArray[np.float64]
"""``(n, rows, cols)``, or ``(rows, cols)`` for one pair."""

Outcome = Literal["match", "non_match", "inconclusive"]
FaceChoice = Literal["only", "largest", "center"] | int
Side = Literal["probe", "reference", "comparison"]


def _frozen(array: NDArray[np.generic]) -> NDArray[np.generic]:
    view = array.view()
    view.flags.writeable = False
    return view


def freeze(instance: object, **arrays: NDArray[np.generic]) -> None:
    """Sets fields of a frozen dataclass to read-only views, from its ``__post_init__``."""
    for name, array in arrays.items():
        object.__setattr__(instance, name, _frozen(array))


def _require(condition: bool | np.bool, message: str) -> None:
    if not condition:
        raise InvalidArgument(message)


@dataclass(frozen=True, eq=False)
class Photo:
    """One upright photo in sRGB, with the identity of the bytes it came from."""

    pixels: Pixels
    sha256: str
    """Of the file's bytes; of shape and pixels where the source was an array or a decoded picture."""
    format: str
    """``JPEG``, ``PNG``, ``WEBP``, ``BMP``, ``TIFF``; ``array`` or ``picture`` where there was no file."""
    name: str = ""
    """File name without its folder, for reports; may be empty."""

    def __post_init__(self) -> None:
        shape, kind = self.pixels.shape, self.pixels.dtype
        _require(
            self.pixels.ndim == 3 and shape[2] == 3 and kind == np.uint8 and min(shape) > 0,
            f"pixels must be (H, W, 3) uint8, got {shape} {kind}; make photos with read_image()",
        )
        freeze(self, pixels=self.pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True, eq=False)
class CropTemplate:
    """Where the five landmarks go in an aligned crop of ``width`` × ``height`` pixels."""

    name: str
    width: int
    height: int
    points: Reals
    """``(5, 2)``: left eye, right eye, nose, left and right mouth corner."""

    def __post_init__(self) -> None:
        points = np.asarray(self.points, np.float64)
        _require(
            points.shape == (5, 2) and bool(np.isfinite(points).all()),
            f"template points must be (5, 2) finite pixels, got {points.shape}",
        )
        _require(self.width > 0 and self.height > 0, f"a crop cannot be {self.width} × {self.height} pixels")
        freeze(self, points=points)

    @property
    def inter_eye(self) -> float:
        """Distance of the eyes in the crop, in pixels: the yardstick for residuals."""
        return float(np.linalg.norm(self.points[1] - self.points[0]))


@dataclass(frozen=True, eq=False)
class Face:
    """One detected face: box, five landmarks, and the detector's confidence in 0…1."""

    box: Reals
    landmarks: Reals
    confidence: float

    def __post_init__(self) -> None:
        box, landmarks = np.asarray(self.box, np.float64), np.asarray(self.landmarks, np.float64)
        _require(
            box.shape == (4,) and bool(np.isfinite(box).all()) and box[2] > box[0] and box[3] > box[1],
            f"box must be (left, top, right, bottom) with positive sides, got {box.tolist()}",
        )
        _require(
            landmarks.shape == (5, 2) and bool(np.isfinite(landmarks).all()),
            f"landmarks must be (5, 2) finite pixels, got {landmarks.shape}",
        )
        _require(0.0 <= self.confidence <= 1.0, f"confidence must lie in 0…1, got {self.confidence}")
        freeze(self, box=box, landmarks=landmarks)

    @property
    def width(self) -> float:
        """Width of the box in pixels."""
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        """Height of the box in pixels."""
        return float(self.box[3] - self.box[1])

    @property
    def inter_eye(self) -> float:
        """Distance of the eyes in the photo, in pixels."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A crop in which the landmarks sit where the network expects them, and how it was cut."""

    crop: Pixels
    face: Face
    template: CropTemplate
    to_crop: Reals
    """``(2, 3)``: ``crop_point = to_crop @ (x, y, 1)``."""
    residual: float
    """Root mean square distance between moved landmarks and template points, in inter-eye distances."""
    outside: float
    """Share of the crop that lies outside the photo (filled black), 0…1."""

    def __post_init__(self) -> None:
        wanted = (self.template.height, self.template.width, 3)
        _require(
            self.crop.shape == wanted and self.crop.dtype == np.uint8,
            f"a {self.template.name} crop must be {wanted} uint8, got {self.crop.shape} {self.crop.dtype}",
        )
        freeze(self, crop=self.crop, to_crop=np.asarray(self.to_crop, np.float64))

    @property
    def landmarks(self) -> Reals:
        """``(5, 2)`` landmarks in crop pixels."""
        return self.face.landmarks @ self.to_crop[:, :2].T + self.to_crop[:, 2]

    def to_photo(self, points: Reals) -> Reals:
        """``(n, 2)`` photo pixels of ``(n, 2)`` crop pixels."""
        back = np.linalg.inv(self.to_crop[:, :2]).astype(np.float64)
        return (np.asarray(points, np.float64) - self.to_crop[:, 2]) @ back.T


@dataclass(frozen=True)
class Quality:
    """What a photo's face offers to a comparison; cheap measures, each tested for its direction."""

    inter_eye: float
    """Distance of the eyes in the photo, in pixels."""
    sharpness: float
    """Share of detail: gradient energy of the crop above that of its blurred copy; 0 is blurred."""
    brightness: float
    """Mean grey of the face, 0…1."""
    contrast: float
    """Standard deviation of the face's grey, 0…1."""
    yaw: float
    """How far the nose sits off the middle of the eyes, −1 (turned to the viewer's left) … 1; 0 is frontal."""
    pitch: float
    """Nose height between eyes (0) and mouth (1), minus the template's; below 0 looks up."""
    roll: float
    """Tilt of the eyes' line in the photo, in degrees, −180…180."""
    residual: float
    """As in :class:`AlignedFace`."""
    outside: float
    """As in :class:`AlignedFace`."""
    second_look: float
    """How far the landmarks move when they are looked for again in the upright crop, in eye distances (root mean
    square, at most 1); 1 if no face is found there, or a likelier one upside down."""

    def __post_init__(self) -> None:
        _require(all(map(math.isfinite, self.__dict__.values())), f"quality must be finite numbers, got {self}")


@dataclass(frozen=True)
class Reason:
    """Why a decision is inconclusive: a stable code, what was measured and the limit it broke."""

    code: str
    side: Side
    measured: float
    limit: float
    message: str


@dataclass(frozen=True)
class Sample:
    """One photo's face, ready to be embedded, with all that a report says of it."""

    face: AlignedFace
    quality: Quality
    faces_found: int
    ambiguous: bool
    """Another face fits the same rule almost as well (:func:`xcos.faces.choose_face`)."""
    sha256: str
    photo_size: tuple[int, int]
    format: str
    name: str


@dataclass(frozen=True, eq=False)
class Templates:
    """Templates of ``n`` faces by one model: local grids and, beside them, the model's own vectors."""

    grids: Grids
    """``(n, rows, cols, channels)``."""
    vectors: Floats
    """``(n, D)``."""
    model: str
    """Identity of the network and its settings; templates of different models are never compared."""

    def __post_init__(self) -> None:
        grids, vectors = self.grids, self.vectors
        _require(
            grids.ndim == 4 and vectors.ndim == 2 and len(grids) == len(vectors),
            f"want grids (n, h, w, d) and vectors (n, D), got {grids.shape} and {vectors.shape}",
        )
        usable = np.isfinite(grids).all(axis=(1, 2, 3)) & np.isfinite(vectors).all(axis=1)
        usable &= np.abs(grids).max(axis=(1, 2, 3), initial=0) > 0
        usable &= np.abs(vectors).max(axis=1, initial=0) > 0
        if not usable.all():
            bad = np.flatnonzero(~usable).tolist()
            raise InvalidTemplate(
                f"the network gave no usable template for crops {bad}: values are not finite or all zero; "
                "check the photo, and the weights with 'xcos doctor'",
                crops=[str(index) for index in bad],
            )
        freeze(self, grids=grids, vectors=vectors)

    def __len__(self) -> int:
        return len(self.grids)

    def __getitem__(self, index: int) -> Template:
        return Template(self.grids[index], self.vectors[index], self.model)

    def __iter__(self) -> Iterator[Template]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True, eq=False)
class Template:
    """Template of one face: ``grid`` (rows, cols, channels) and ``vector`` (D,)."""

    grid: Floats
    vector: Floats
    model: str


def stack(templates: list[Template]) -> Templates:
    """Templates of one model as one batch; templates of different models are refused."""
    models = sorted({template.model for template in templates})
    if len(models) != 1:
        raise IncompatibleTemplates(
            f"templates of one model can be compared, got models {models}; embed all photos with the same one",
            models=models,
        )
    grids = np.stack([template.grid for template in templates])
    return Templates(grids, np.stack([template.vector for template in templates]), models[0])


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two maps whose product sums to the score: the explanation *is* the number.

    A plain cosine is the 1 × 1 case.
    """

    similarity: Maps
    """``(rows, cols)``, −1…1: how alike the two faces' features are in each cell."""
    attention: Maps
    """``(rows, cols)``, each ≥ 0, total ≤ 1: how much each cell counts."""

    def __post_init__(self) -> None:
        similarity = np.asarray(self.similarity, np.float64)
        attention = np.asarray(self.attention, np.float64)
        _require(
            similarity.ndim == 2 and similarity.shape == attention.shape and similarity.size > 0,
            f"maps must be two equal (rows, cols), got {similarity.shape} and {attention.shape}",
        )
        # A NaN anywhere makes each of these false.
        _require(
            similarity.min() >= -1 - 1e-6 and similarity.max() <= 1 + 1e-6,
            "similarity must lie in −1…1 in every cell",
        )
        _require(
            attention.min() >= 0 and attention.sum() <= 1 + 1e-6,
            "attention must be ≥ 0 in every cell and sum to at most 1",
        )
        freeze(self, similarity=similarity, attention=attention)

    @property
    def contribution(self) -> Maps:
        """``(rows, cols)``: what each cell adds to the score."""
        return self.similarity * self.attention

    @property
    def score(self) -> float:
        """Sum of the contributions, −1…1; higher is more alike."""
        return float(self.contribution.sum())


@dataclass(frozen=True)
class Threshold:
    """Score at which a stated false match rate was measured, with the interval of its origin."""

    value: float
    low: float
    """The requested rate lies in the 95 % interval of the measured rate for thresholds ``low``…``high``."""
    high: float
    fmr: float
    """The rate asked for."""
    fmr_low: float
    """95 % interval of the false match rate at ``value``."""
    fmr_high: float

    def __post_init__(self) -> None:
        _require(
            self.low <= self.value <= self.high,
            f"a threshold must lie in its interval, got {self.low} ≤ {self.value} ≤ {self.high}",
        )

    def outcome(self, score: float) -> Outcome:
        """``match`` at or above the interval, ``non_match`` below it, ``inconclusive`` inside."""
        if math.isnan(score):
            raise InvalidArgument("a score must be a number, got nan")
        if score >= self.high:
            return "match"
        return "non_match" if score < self.low else "inconclusive"


@dataclass(frozen=True)
class Decision:
    """What follows from a score, and why it may not be conclusive."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    """Empty unless the outcome is ``inconclusive``."""
    score: float
    llr: float
    """Log-likelihood ratio (natural): how much more probable the score is for mated than non-mated pairs."""
    threshold: Threshold

    def __post_init__(self) -> None:
        _require(
            (self.outcome == "inconclusive") == bool(self.reasons),
            f"a decision gives reasons exactly when it is inconclusive, got {self.outcome} "
            f"with {len(self.reasons)} reasons",
        )


@dataclass(frozen=True)
class Region:
    """What the cells of one named part of the face measured together."""

    name: str
    cells: int
    similarity: float
    """Mean of the cells' similarities, weighted by attention."""
    attention: float
    """Share of the attention, summed over the cells."""
    contribution: float
    """What the cells add to the score; all regions together are the score."""
    support: float
    """Contribution above what the threshold asks of these cells; all regions sum to score − threshold."""


@dataclass(frozen=True)
class Timings:
    """Milliseconds of one verification; ``locate`` and ``embed`` are sums over both photos, which run side by side."""

    locate: float
    embed: float
    compare: float
    total: float


@dataclass(frozen=True)
class SecondOpinion:
    """What the network's own vector says of the same pair: the baseline the grid must keep up with."""

    score: float
    llr: float
    threshold: Threshold | None
    """None where the vector's calibration does not support the requested rate."""

    @property
    def outcome(self) -> Outcome | None:
        """The vector's own outcome, by score alone; None without a threshold."""
        return self.threshold.outcome(self.score) if self.threshold else None
