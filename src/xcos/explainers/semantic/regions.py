"""Parts of the face that have names: outlines in a frame that the five landmarks span, built in or a user's own."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.hiding import Mask
from xcos.explainers.semantic.words import VOCABULARY
from xcos.types import AlignedFace, Maps, Reals, freeze

Granularity = Literal["coarse", "medium", "fine"]
GRANULARITIES: tuple[Granularity, ...] = ("coarse", "medium", "fine")
BUILT_IN = Path(__file__).parents[2] / "data" / "regions"
SURROUNDINGS = "surroundings"
"""What no region covers: hair, neck, clothes, background."""


@dataclass(frozen=True, eq=False)
class Polygon:
    """Corners ``(n, 2)`` in the landmarks' frame; what lies inside an even number of times is outside."""

    corners: Reals

    def __post_init__(self) -> None:
        corners = np.asarray(self.corners, np.float64)
        if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
            raise InvalidArgument(f"a polygon needs at least 3 corners (across, down), got shape {corners.shape}")
        freeze(self, corners=corners)

    def contains(self, points: Reals) -> Mask:
        """Of points ``(…, 2)``: whether a ray to the right crosses the outline an odd number of times."""
        x, y = points[..., 0], points[..., 1]
        inside = np.zeros(points.shape[:-1], bool)
        for (x0, y0), (x1, y1) in zip(self.corners, np.roll(self.corners, -1, axis=0), strict=True):
            if y0 == y1:
                continue
            crosses = (y0 <= y) != (y1 <= y)
            inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        return inside


@dataclass(frozen=True)
class Ellipse:
    """An ellipse whose axes lie along the frame's."""

    center: tuple[float, float]
    radii: tuple[float, float]
    """Across and down."""

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.center, *self.radii))) or min(self.radii) <= 0:
            raise InvalidArgument(
                f"an ellipse needs a finite center and radii above 0, got {self.center}, {self.radii}"
            )

    def contains(self, points: Reals) -> Mask:
        """Of points ``(…, 2)``; the rim belongs to it."""
        inside: Mask = (((points - self.center) / self.radii) ** 2).sum(axis=-1) <= 1
        return inside


@dataclass(frozen=True)
class FaceRegion:
    """A named part; of one or several outlines."""

    name: str
    """Lower-case words, as sentences say it after 'the'."""
    shapes: tuple[Polygon | Ellipse, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]+(?: [a-z]+)*", self.name):
            raise InvalidArgument(f"a region's name must be lower-case words, such as 'left eye', got {self.name!r}")
        if self.name == SURROUNDINGS or set(self.name.split()) <= VOCABULARY:
            raise InvalidArgument(f"a region cannot be called {self.name!r}: sentences use that word otherwise")
        if not self.shapes:
            raise InvalidArgument(f"region {self.name!r} has no outline; give polygons or ellipses")


@dataclass(frozen=True)
class RegionSet:
    """Regions that divide a face: a pixel belongs to the first one that contains it, or to the surroundings."""

    name: str
    regions: tuple[FaceRegion, ...]

    def __post_init__(self) -> None:
        names = [region.name for region in self.regions]
        if not names or len(set(names)) != len(names):
            raise InvalidArgument(f"region set {self.name!r} needs regions with names of their own, got {names}")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the regions in their order, the surroundings last."""
        return (*(region.name for region in self.regions), SURROUNDINGS)

    def masks(self, face: AlignedFace) -> Mask:
        """``(regions + 1, H, W)``: the pixels of each region in the crop, as its landmarks lie; every pixel in one."""
        height, width = face.crop.shape[:2]
        places = in_frame(face.landmarks, np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1))
        free = np.ones((height, width), bool)
        masks = []
        for region in self.regions:
            inside = np.logical_or.reduce([shape.contains(places) for shape in region.shapes]) & free
            free &= ~inside
            masks.append(inside)
        return np.stack([*masks, free])

    def shares(self, face: AlignedFace, shape: tuple[int, int]) -> Maps:
        """``(regions + 1, rows, cols)``: the share of each cell's square that a region covers; sums to 1 per cell."""
        masks = self.masks(face)
        rows, cols = shape
        height, width = masks.shape[1:]
        down = _membership(height, rows)
        across = _membership(width, cols)
        covered: Maps = down @ masks.astype(np.float64) @ across.T
        return covered / np.outer(down.sum(axis=1), across.sum(axis=1))


def in_frame(landmarks: Reals, points: Reals) -> Reals:
    """Points ``(…, 2)`` in crop pixels → across and down the face.

    The middle of the eyes is (0, 0), *across* is counted in distances of the eyes along their line (the viewer's left
    eye at −0.5), *down* in distances from the eyes to the mouth along the line between their middles (the mouth at 1).
    The frame leans with the face.
    """
    eyes, mouth = landmarks[:2].mean(axis=0), landmarks[3:].mean(axis=0)
    axes = np.stack([landmarks[1] - landmarks[0], mouth - eyes], axis=1)
    if abs(np.linalg.det(axes)) < 1e-6:
        raise InvalidArgument("the landmarks span no frame: eyes and mouth lie on one line; use another photo")
    placed: Reals = (np.asarray(points, np.float64) - eyes) @ np.linalg.inv(axes).T
    return placed


def built_in(granularity: Granularity) -> RegionSet:
    """The packaged regions: ``coarse`` (4), ``medium`` (8), ``fine`` (14)."""
    if granularity not in GRANULARITIES:
        raise InvalidArgument(f"granularity must be one of {', '.join(GRANULARITIES)}, got {granularity!r}")
    return read_regions(BUILT_IN / f"{granularity}.toml")


def named_regions(name: str) -> RegionSet:
    """The packaged regions of this name, or those of the TOML file at this path."""
    return built_in(name) if name in GRANULARITIES else read_regions(name)


def read_regions(path: str | Path) -> RegionSet:
    """The regions of a TOML file::

        name = "mine"

        [[region]]
        name = "left eye"  # the viewer's left
        ellipses = [{ center = [-0.5, 0.0], radii = [0.3, 0.2] }]

        [[region]]
        name = "chin"
        polygons = [[[-0.4, 1.4], [0.4, 1.4], [0.0, 1.9]]]

    Points are (across, down) as in :func:`in_frame`. Raises :class:`InvalidArgument` naming what is wrong.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"cannot read the regions {path.name}: {error}; it must be a TOML file") from error
    entries = content.get("region", [])
    unknown = sorted(set(content) - {"name", "region"})
    if unknown or not isinstance(content.get("name"), str) or not isinstance(entries, list):
        raise InvalidArgument(
            f"{path.name} needs a name and [[region]] tables, and nothing else; unknown: {unknown or 'nothing'}"
        )
    regions = tuple(_region(entry, f"{path.name}, region {at}") for at, entry in enumerate(entries, start=1))
    return RegionSet(content["name"], regions)


def _region(entry: object, where: str) -> FaceRegion:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise InvalidArgument(f"{where} needs a name")
    unknown = sorted(set(entry) - {"name", "polygons", "ellipses"})
    if unknown:
        raise InvalidArgument(f"{where} has unknown keys {unknown}; it may have name, polygons and ellipses")
    try:
        polygons = [Polygon(_points(corners)) for corners in entry.get("polygons", [])]
        ellipses = [_ellipse(each) for each in entry.get("ellipses", [])]
        return FaceRegion(entry["name"], (*polygons, *ellipses))
    except (TypeError, ValueError, KeyError) as error:
        raise InvalidArgument(f"{where} ({entry['name']}): {error}") from error


def _points(corners: object) -> Reals:
    if not isinstance(corners, list):
        raise TypeError(f"a polygon must be a list of [across, down], got {corners!r}")
    return np.array([_pair(corner) for corner in corners])


def _ellipse(entry: object) -> Ellipse:
    if not isinstance(entry, dict) or set(entry) != {"center", "radii"}:
        raise TypeError(f"an ellipse must be {{ center = […], radii = […] }}, got {entry!r}")
    return Ellipse(_pair(entry["center"]), _pair(entry["radii"]))


def _pair(value: object) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2 or not all(_is_number(each) for each in value):
        raise TypeError(f"want [across, down], got {value!r}")
    across, down = value
    return float(across), float(down)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _membership(pixels: int, cells: int) -> Maps:
    """``(cells, pixels)``: 1 where a pixel lies in a cell, as :func:`xcos.explainers.explanation.on_crop` has it."""
    member: Maps = (np.arange(pixels) * cells // pixels == np.arange(cells)[:, None]).astype(np.float64)
    if not member.sum(axis=1).all():
        raise InvalidArgument(f"{cells} cells do not fit {pixels} pixels")
    return member
