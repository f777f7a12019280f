"""A photo, its twin with one part of the face changed, and photos of both: cases whose cause is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xcos.alignment import align
from xcos.errors import InvalidArgument
from xcos.explainers.faithfulness.measure import digest
from xcos.explainers.faithfulness.ranks import Mask
from xcos.extractor import Extractor
from xcos.images import read_image
from xcos.types import AlignedFace, Maps, Photo, freeze

PHOTOS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
CHANGED = 0.1
"""Without a mask, a pixel counts as changed where its colour moved by more than this share of the most it did."""


@dataclass(frozen=True, eq=False)
class Triplet:
    """One case of the inpainting game."""

    person: str
    part: str
    """Which part was changed, such as ``nose``; ``left-eye`` and ``right-eye`` count as one part, ``eye``."""
    probe: AlignedFace
    twin: AlignedFace
    """The probe's photo with the part changed, cut exactly as the probe."""
    mates: tuple[AlignedFace, ...]
    """Photos of the person, to be compared with."""
    twins: tuple[AlignedFace, ...]
    """Photos of the twin, to be compared with."""
    changed: Mask
    """``(H, W)``: where the probe's and the twin's crop truly differ."""

    def __post_init__(self) -> None:
        if not self.mates or not self.twins:
            raise InvalidArgument(f"the triplet {self.name} needs photos of the person and of the twin")
        if self.changed.shape != self.probe.crop.shape[:2] or not self.changed.any() or self.changed.all():
            raise InvalidArgument(f"the changed part of {self.name} must be some of the probe's crop, but not all")
        freeze(self, changed=self.changed)

    @property
    def name(self) -> str:
        """For reports."""
        return f"{self.person} {self.part}"

    @property
    def merged_part(self) -> str:
        """The part without its side."""
        for side in ("left", "right"):
            if self.part.startswith((f"{side}-", f"{side} ", f"{side}_")):
                return self.part[len(side) + 1 :]
        return self.part

    @property
    def identity(self) -> str:
        """Hexadecimal identity of all pixels."""
        faces = (self.probe, self.twin, *self.mates, *self.twins)
        return digest(*(face.crop for face in faces), self.changed)

    @property
    def seed(self) -> int:
        """A number of the triplet's own pixels."""
        return int(digest(self.probe.crop, self.twin.crop)[:12], 16)


def people_of(triplets: Sequence[Triplet]) -> NDArray[np.intp]:
    """``(n,)`` numbers of the triplets' people."""
    _, numbers = np.unique([triplet.person for triplet in triplets], return_inverse=True)
    return numbers


def read_triplets(folder: Path, extractor: Extractor) -> list[Triplet]:
    """Triplets from ``folder/PERSON/PART/`` with the photos ``probe`` and ``twin``, and, if there are any, ``mask``,
    ``mates/…`` and ``twins/…``.

    Probe and twin must be one frame: both are cut by the probe's landmarks. Without ``mates`` or ``twins`` the probe or
    the twin itself is what is compared with. Without a mask, pixels that moved by more than a tenth of the most
    changed one are the truth. ``folder/PERSON/mates/…`` serves all parts of a person.
    """
    homes = sorted(path.parent for path in folder.glob("*/*/probe.*") if path.suffix.lower() in PHOTOS)
    if not homes:
        raise InvalidArgument(f"{folder} has no photos PERSON/PART/probe.png", path=str(folder))
    return [_triplet(home, extractor) for home in homes]


def _triplet(home: Path, extractor: Extractor) -> Triplet:
    probe = extractor.locate(read_image(_only(home, "probe"))).face
    twin = cut_alike(read_image(_only(home, "twin")), probe)
    mask = [path for path in home.glob("mask.*") if path.suffix.lower() in PHOTOS]
    mates = _photos(home / "mates") or _photos(home.parent / "mates")
    return Triplet(
        person=home.parent.name,
        part=home.name,
        probe=probe,
        twin=twin,
        mates=tuple(extractor.locate(read_image(path)).face for path in mates) or (probe,),
        twins=tuple(extractor.locate(read_image(path)).face for path in _photos(home / "twins")) or (twin,),
        changed=cut_mask(mask[0], probe) if mask else changed_pixels(probe, twin),
    )


def _only(home: Path, name: str) -> Path:
    found = [path for path in home.glob(f"{name}.*") if path.suffix.lower() in PHOTOS]
    if len(found) != 1:
        raise InvalidArgument(f"{home} must hold one photo named {name}, found {len(found)}", path=str(home))
    return found[0]


def _photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in PHOTOS)


def cut_alike(photo: Photo, face: AlignedFace) -> AlignedFace:
    """Another photo of the same frame, cut by the landmarks of ``face``."""
    return align(photo, face.face, face.template)


def cut_mask(path: Path, face: AlignedFace) -> Mask:
    """``(H, W)``: a mask in the photo's frame, cut by the landmarks of ``face``; lighter than mid-grey is true."""
    with Image.open(path) as picture:
        grey = np.asarray(picture.convert("L"))
    photo = Photo(np.repeat(grey[..., None], 3, axis=2), "0" * 64, "array")
    cut: Mask = cut_alike(photo, face).crop[..., 0] > 127
    return cut


def changed_pixels(probe: AlignedFace, twin: AlignedFace) -> Mask:
    """``(H, W)``: where the two crops differ by more than a tenth (:data:`CHANGED`) of the greatest difference."""
    moved = difference(probe, twin)
    changed: Mask = moved > CHANGED * moved.max()
    return changed


def difference(probe: AlignedFace, twin: AlignedFace) -> Maps:
    """``(H, W)``: how far each pixel's colour moved, the mean over red, green and blue in grey levels."""
    moved: Maps = np.abs(probe.crop.astype(np.float64) - twin.crop).mean(axis=2)
    return moved


def read_rendered_twins(folder: Path, extractor: Extractor, *, mates: str = "own") -> list[Triplet]:
    """The part-edited twins in a folder of rendered faces (``part_edits``, ``masks``, ``variations``; ``part_swaps``).

    ``mates="own"``: the probe is compared with itself and with its twin, as there is no other photo of the twins; the
    game then asks only how much has to be exchanged until the probe is more like the twin. ``mates="others"``: with
    the person's other photos, where there are some, and the twin; twins that are more like the probe than those photos
    (eyes and jaw, mostly) then drop out by the game's own rules.
    """
    if mates not in ("own", "others"):
        raise InvalidArgument(f"mates must be 'own' or 'others', got {mates!r}")
    edits = sorted(folder.glob("part_edits/*_edit-*.png")) + sorted(folder.glob("part_swaps/*_edit-*.png"))
    if not edits:
        raise InvalidArgument(f"{folder} has no part_edits/N_edit-PART.png or part_swaps/", path=str(folder))
    locate = _remembering(extractor)
    triplets = []
    for path in edits:
        number, part = path.stem.split("_edit-")
        home = folder / "variations" if path.parent.name == "part_edits" else path.parent
        probe = locate(home / f"{number}_front.png")
        twin = cut_alike(read_image(path), probe)
        mask = folder / "masks" / f"{number}_{part}.png"
        others = [other for other in sorted(home.glob(f"{number}_*.png")) if not other.stem.endswith("_front")
                  and "_edit-" not in other.name]  # fmt: skip
        if mates == "others" and not others:
            continue
        triplets.append(
            Triplet(
                person=number,
                part=part,
                probe=probe,
                twin=twin,
                mates=(probe,) if mates == "own" else tuple(locate(other) for other in others),
                twins=(twin,),
                changed=cut_mask(mask, probe) if mask.is_file() else changed_pixels(probe, twin),
            )
        )
    return triplets


def _remembering(extractor: Extractor) -> Callable[[Path], AlignedFace]:
    found: dict[Path, AlignedFace] = {}

    def locate(path: Path) -> AlignedFace:
        if path not in found:
            found[path] = extractor.locate(read_image(path)).face
        return found[path]

    return locate
