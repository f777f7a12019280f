"""Tiny sets in the layouts in which owners publish theirs; photos are empty files, because no reader opens one."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

FOLDS = 10
RACES = ("African", "Asian", "Caucasian", "Indian")


@dataclass(frozen=True)
class Made:
    """A set on the disk."""

    folder: Path
    """What its reader gets."""
    list: Path
    """The list whose lines are pairs."""
    photo: Path
    """A photo, or the folder of a video, that the first pair names first."""


def touch(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(path: Path, lines: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def edit(path: Path, line: int, new: str | None) -> None:
    """Puts ``new`` in the place of a line, counted from 1; None takes the line out."""
    lines = path.read_text("utf-8").split("\n")
    lines[line - 1 : line] = [] if new is None else [new]
    path.write_text("\n".join(lines), "utf-8")


def lfw_names(person: str, count: int, ending: str = ".jpg") -> list[str]:
    return [f"{person}/{person}_{number:04d}{ending}" for number in range(1, count + 1)]


def lfw_lines() -> list[str]:
    """For each of ten folds two mated pairs of Ann_k and two non-mated ones of Ann_k and Bob_k."""
    lines = []
    for fold in range(FOLDS):
        ann, bob = f"Ann_{fold}", f"Bob_{fold}"
        lines += [f"{ann}\t1\t2", f"{ann}\t3\t1", f"{ann}\t1\t{bob}\t1", f"{bob}\t2\t{ann}\t3"]
    return lines


def lfw_photos(ending: str = ".jpg") -> list[str]:
    return [
        name
        for fold in range(FOLDS)
        for who, n in (("Ann", 3), ("Bob", 2))
        for name in lfw_names(f"{who}_{fold}", n, ending)
    ]


def lfw(folder: Path) -> Made:
    touch(folder / "images", lfw_photos())
    return Made(folder, write(folder / "pairs.txt", ["10\t2", *lfw_lines()]), folder / "images/Ann_0/Ann_0_0001.jpg")


def lfw_view1(folder: Path) -> Made:
    touch(folder, lfw_photos())
    lines = [
        "3",
        "Ann_0\t1\t2",
        "Ann_1\t1\t2",
        "Ann_2\t1\t2",
        "Ann_0\t1\tBob_0\t1",
        "Ann_1\t1\tBob_1\t1",
        "Bob_2\t1\tBob_3\t1",
    ]
    return Made(folder, write(folder / "pairsDevTest.txt", lines), folder / "Ann_0/Ann_0_0001.jpg")


def masked(folder: Path) -> Made:
    touch(folder, lfw_photos(".png"))
    lines = [line.replace("\t", " ") for line in lfw_lines()]
    return Made(folder, write(folder / "pairs.txt", lines), folder / "Ann_0/Ann_0_0001.png")


def grouped(folder: Path, groups: Iterable[str] = RACES) -> Made:
    """In the manner of RFW; the lists alternate fold by fold."""
    for group in groups:
        touch(folder / "data" / group, lfw_photos())
        write(folder / "txts" / group / f"{group}_pairs.txt", lfw_lines())
    first = next(iter(groups))
    photo = folder / "data" / first / "Ann_0/Ann_0_0001.jpg"
    return Made(folder, folder / "txts" / first / f"{first}_pairs.txt", photo)


def two_lines(folder: Path, name: str, *, labels: bool) -> Made:
    """CALFW (the label of a mated pair is its fold) or CPLFW (it is 1): all mated pairs before the others."""
    lines, photos = [], set()
    for fold in range(1, FOLDS + 1):
        pair = [f"Ann_{fold}_1.jpg", f"Ann_{fold}_2.jpg"]
        photos |= set(pair)
        lines += [f"{photo} {fold if labels else 1}" for photo in pair]
    for fold in range(1, FOLDS + 1):
        pair = [f"Ann_{fold}_2.jpg", f"Bob_{fold}_1.jpg"]
        photos |= set(pair)
        lines += [f"{photo} 0" for photo in pair]
    touch(folder / "aligned images", photos)
    return Made(folder, write(folder / f"pairs_{name}.txt", lines), folder / "aligned images/Ann_1_1.jpg")


def calfw(folder: Path) -> Made:
    return two_lines(folder, "CALFW", labels=True)


def cplfw(folder: Path) -> Made:
    return two_lines(folder, "CPLFW", labels=False)


def sllfw(folder: Path) -> Made:
    lines = []
    for fold in range(FOLDS):
        ann, bob = lfw_names(f"Ann_{fold}", 2), lfw_names(f"Bob_{fold}", 1)
        lines += [*ann, ann[1], bob[0]]
    touch(folder / "images", lfw_photos())
    return Made(folder, write(folder / "pair_SLLFW.txt", lines), folder / "images/Ann_0/Ann_0_0001.jpg")


def cfp(folder: Path, split: str) -> Made:
    """Ten people with two frontal and two profile photos, one to a fold; two pairs of each kind in a fold."""
    protocol = folder / "Protocol"
    for side, view in (("F", "frontal"), ("P", "profile")):
        names = [f"{person:03d}/{view}/{number:02d}.jpg" for person in range(1, 21) for number in (1, 2)]
        touch(folder / "Data/Images", names)
        write(protocol / f"Pair_list_{side}.txt", [f"{at} ../Data/Images/{name}" for at, name in enumerate(names, 1)])
    for fold in range(FOLDS):
        ann, bob = 4 * fold + 1, 4 * fold + 3  # numbers of their first photos
        home = protocol / "Split" / split / f"{fold + 1:02d}"
        write(home / "same.txt", [f"{ann},{ann + 1}", f"{bob},{bob + 1}"])
        write(home / "diff.txt", [f"{ann},{bob}", f"{bob + 1},{ann}"])
    return Made(folder, protocol / "Split" / split / "01/same.txt", folder / "Data/Images/001/frontal/01.jpg")


def cfp_ff(folder: Path) -> Made:
    return cfp(folder, "FF")


def cfp_fp(folder: Path) -> Made:
    return cfp(folder, "FP")


def ytf(folder: Path) -> Made:
    """Videos of two frames, but Ann_0's first has twelve."""
    lines = ["split number, pair number, first name, second name, is same"]
    for fold in range(FOLDS):
        ann, bob = f"Ann_{fold}", f"Bob_{fold}"
        for video in (f"{ann}/0", f"{ann}/1", f"{bob}/3"):
            frames = 12 if video == "Ann_0/0" else 2
            number = video.rpartition("/")[2]
            touch(folder / "frame_images_DB" / video, [f"{number}.{frame}.jpg" for frame in range(1, frames + 1)])
        lines += [f"{fold + 1}, 1, {ann}/0, {ann}/1, 1", f"{fold + 1}, 2, {ann}/1, {bob}/3, 0"]
    return Made(folder, write(folder / "splits.txt", lines), folder / "frame_images_DB/Ann_0/0")


def ijb(folder: Path, name: str = "ijbc") -> Made:
    """Templates 10 (a photo, and two frames of a video), 20 and 30 (a photo each), 7 (a photo)."""
    rows = ["1.jpg 10 1", "2.jpg 20 9", "3.jpg 10 2", "4.jpg 30 4", "5.jpg 10 2", "6.jpg 7 5"]
    found = [f"{at}.jpg {' '.join(str(at + place / 4) for place in range(10))} 0.{at}" for at in range(1, 7)]
    write(folder / "meta" / f"{name}_face_tid_mid.txt", rows)
    write(folder / "meta" / f"{name}_name_5pts_score.txt", found)
    touch(folder / "loose_crop", [f"{at}.jpg" for at in range(1, 7)])
    pairs = ["10 20 1", "10 30 0", "20 30 0", "30 7 1", "10 7 0"]
    return Made(folder, write(folder / "meta" / f"{name}_template_pair_label.txt", pairs), folder / "loose_crop/1.jpg")


def ijbb(folder: Path) -> Made:
    return ijb(folder, "ijbb")


def csv(folder: Path) -> Made:
    touch(folder, [f"{name}.jpg" for name in "abcd"])
    lines = ["probe,reference,mated", "a.jpg,b.jpg,1", "a.jpg,c.jpg,0", "c.jpg,d.jpg,1"]
    return Made(folder / "own.csv", write(folder / "own.csv", lines), folder / "a.jpg")


LISTED: dict[str, Callable[[Path], Made]] = {
    "calfw": calfw,
    "cfp-ff": cfp_ff,
    "cfp-fp": cfp_fp,
    "cplfw": cplfw,
    "csv": csv,
    "grouped": grouped,
    "ijbb": ijbb,
    "ijbc": ijb,
    "lfw": lfw,
    "lfw-view1": lfw_view1,
    "masked": masked,
    "rfw": grouped,
    "sllfw": sllfw,
    "ytf": ytf,
}
"""Sets with lists of lines, by the name of their reader."""


def crop(shade: int, size: tuple[int, int] = (112, 112)) -> bytes:
    """A PNG of one gray."""
    file = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0]), shade, np.uint8)).save(file, "PNG")
    return file.getvalue()


def binned(path: Path, pairs: int = 20) -> tuple[list[bytes], list[bool]]:
    """A ``.bin`` of pairs that alternate between mated and not, of crops that are all different; and what is in it."""
    images = [crop(at) for at in range(2 * pairs)]
    mated = [at % 2 == 0 for at in range(pairs)]
    path.write_bytes(pickle.dumps((images, mated)))
    return images, mated


def tinyface(folder: Path) -> Path:
    home = folder / "Testing_Set"
    touch(home / "Probe", ["7_1.jpg", "12_1.jpg", "7_10.jpg"])
    touch(home / "Gallery_Match", ["12_9.jpg", "7_3.jpg", "7_4.jpg"])
    touch(home / "Gallery_Distractor", ["street.jpg", "1_99.jpg"])
    return folder
