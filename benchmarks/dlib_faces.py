"""Aligned crops of LFW's photos, whole and covered, and their features; kept in a folder that knows what it holds."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from rich.progress import Progress

import lfw
from xcos import alignment, faces, images, occluders
from xcos.alignment import DLIB_150
from xcos.detectors import Mtcnn, boxes, mtcnn
from xcos.embedders import DlibResNet
from xcos.embedders.dlib_resnet import SHIPPED, published_layers
from xcos.embedders.trusted_stage import FLOOR, read_stage
from xcos.errors import InputRefused
from xcos.extractor import Extractor
from xcos.files import write_atomically
from xcos.images import read_image
from xcos.occluders import OCCLUDERS, Covered
from xcos.training.networks import trusted_stage
from xcos.training.networks.trusted_stage import TrustedStage
from xcos.training.stage_fit import Views
from xcos.types import Crops, Floats, Grids, Pixels

Job = TypeVar("Job")
Done = TypeVar("Done")
BLOCK = 256
VIEWS = 8
CALIBRATION_SHARE = 0.2
TESTED = ("mask", "sunglasses", "squares", "blob")


def kept_folder(work: Path, name: str, recipe: dict[str, object]) -> Path:
    """``NAME-HASH`` in ``work``, where the hash is of all that its content is made from.

    Other photos, networks, settings or code have another folder: what is stale is never read, and is made anew.
    """
    text = json.dumps(recipe, indent=1, sort_keys=True)
    folder = work / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "recipe.json", (text + "\n").encode())
    return folder


def hash_of_photos(folder: Path, photos: list[str]) -> str:
    """Of their names and bytes, in this order."""
    whole = hashlib.sha256()
    for photo in photos:
        whole.update(f"{photo} {hashlib.sha256((folder / 'images' / photo).read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def hash_of_code(*parts: object) -> str:
    """Of the source of modules and functions."""
    return hashlib.sha256("".join(inspect.getsource(part) for part in parts).encode()).hexdigest()  # type: ignore[arg-type]


def hash_of_files(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


LOCATING: tuple[ModuleType, ...] = (alignment, faces, images, boxes, mtcnn)


def train_people(folder: Path) -> list[str]:
    """Every photo of ``peopleDevTrain.txt``."""
    lines = (folder / "peopleDevTrain.txt").read_text("utf-8").splitlines()[1:]
    counted = [line.split("\t") for line in lines]
    return [lfw.photo(name, str(at)) for name, count in counted for at in range(1, int(count) + 1)]


def for_calibration(name: str) -> bool:
    """A fifth of the people, the same on every machine."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < CALIBRATION_SHARE * 2**32


@dataclass(frozen=True)
class Located:
    photos: list[str]
    crops: Crops
    folder: Path

    @property
    def people(self) -> NDArray[np.int64]:
        return np.unique([lfw.person(photo) for photo in self.photos], return_inverse=True)[1].astype(np.int64)


def located(lfw_folder: Path, photos: list[str], work: Path, name: str) -> Located:
    """Aligned crops of the face nearest each photo's centre; photos without one are counted and left out."""
    recipe: dict[str, object] = {
        "photos": hash_of_photos(lfw_folder, photos),
        "detector": {"name": Mtcnn().name, "weights": mtcnn.WEIGHTS},
        "template": {"name": DLIB_150.name, "points": DLIB_150.points.tolist()},
        "face": "center",
        "code": hash_of_code(*LOCATING),
    }
    keep = kept_folder(work, name, recipe)
    names, crops = keep / "photos.txt", keep / "crops.npy"
    if not names.exists():
        extractor = Extractor(Mtcnn(), DlibResNet(), face="center")

        def cut(photo: str) -> Pixels | None:
            try:
                return extractor.locate(read_image(lfw_folder / "images" / photo)).face.crop
            except InputRefused:
                return None

        found = list(side_by_side(cut, photos, "faces"))
        kept = [at for at, crop in enumerate(found) if crop is not None]
        np.save(crops, np.stack([crop for crop in found if crop is not None]))
        write_atomically(names, "\n".join(photos[at] for at in kept).encode())
        print(f"{name}: {len(photos)} photos, failure to acquire {len(photos) - len(kept)}", flush=True)
    return Located(names.read_text("utf-8").splitlines(), np.load(crops, mmap_mode="r"), keep)


def views_folder(found: Located) -> Path:
    """Where :func:`all_views` keeps them."""
    recipe: dict[str, object] = {
        "network": DlibResNet(grid="fourth").model,
        "views": VIEWS,
        "code": hash_of_code(occluders, one_view, cell_shares),
    }
    return kept_folder(found.folder, "views", recipe)


def all_views(found: Located) -> Views:
    """Every crop as it is, mirrored, and covered six times at random, through dlib's trunk."""
    trunk, keep = DlibResNet(grid="fourth"), views_folder(found)
    shape = (VIEWS, len(found.photos), 7, 7)
    paths = [keep / f"{name}.npy" for name in ("fourth", "covered", "vectors")]
    if not paths[2].exists():
        fourth = open_memmap(paths[0], "w+", np.float16, (*shape, 256))
        covered = open_memmap(paths[1], "w+", np.float32, shape)
        vectors = np.zeros((len(found.photos), 128), np.float32)

        def block(job: tuple[int, int]) -> None:
            view, start = job
            rows = slice(start, min(start + 8, len(found.photos)))
            drawn = [one_view(found.crops[row], view, row) for row in range(rows.start, rows.stop)]
            templates = trunk.embed(np.stack([crop for crop, _ in drawn]))
            fourth[view, rows] = templates.grids
            covered[view, rows] = [cell_shares(hidden) for _, hidden in drawn]
            if view == 0:
                vectors[rows] = templates.vectors

        jobs = [(view, start) for view in range(VIEWS) for start in range(0, len(found.photos), 8)]
        for _ in side_by_side(block, jobs, "views"):
            pass
        np.save(paths[2], vectors)
    return Views(np.load(paths[0], mmap_mode="r"), np.load(paths[1], mmap_mode="r"), np.load(paths[2]), found.people)


def trusted_views(views: Views, folder: Path) -> tuple[NDArray[np.float16], Path]:
    """(views, n, 7, 7, 128): the views through the shipped stage; and the folder they are kept in."""
    content = (SHIPPED / "stage.npz").read_bytes()
    recipe: dict[str, object] = {
        "stage": DlibResNet(grid="trusted").model,
        "code": hash_of_code(trusted_stage, trusted_views),
    }
    keep = kept_folder(folder, "trusted", recipe)
    path, done = keep / "grids.npy", keep / "done"
    if not done.exists():
        stage = TrustedStage(published_layers(), np.zeros((7, 7, 256), np.float32), np.zeros(128, np.float32)).eval()
        stage.load(read_stage(content))
        count, n = views.fourth.shape[:2]
        grids = open_memmap(path, "w+", np.float16, (count, n, 7, 7, 128))
        for view in range(count):
            for start in range(0, n, BLOCK):
                fourth = torch.from_numpy(np.array(views.fourth[view, start : start + BLOCK], np.float32))
                with torch.inference_mode():
                    staged = stage(fourth.permute(0, 3, 1, 2))
                    visible = torch.sigmoid(-staged.covered)[:, None]
                    features = staged.features * (visible**2 + FLOOR)
                grids[view, start : start + BLOCK] = features.permute(0, 2, 3, 1).numpy()
        grids.flush()
        done.touch()
    opened: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return opened, keep


def one_view(crop: Pixels, view: int, row: int) -> tuple[Pixels, Covered]:
    random = np.random.default_rng([7, row, view])
    crop = np.ascontiguousarray(crop[:, ::-1] if view == 1 or (view > 1 and random.random() < 0.5) else crop)
    if view < 2:
        return crop, np.zeros(crop.shape[:2], bool)
    return OCCLUDERS[list(OCCLUDERS)[random.integers(len(OCCLUDERS))]](crop, DLIB_150, random)


def cell_shares(covered: Covered) -> Floats:
    """(7, 7) share of each cell's square that is covered; pixels are cut into 7 × 7 parts so that cells are whole."""
    side = covered.shape[0]
    fine = np.repeat(np.repeat(covered, 7, axis=0), 7, axis=1)
    shares: Floats = fine.reshape(7, side, 7, side).mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
    return shares


@dataclass(frozen=True, eq=False)
class DevTest:
    """``pairsDevTest``: its pairs, and the crops they are of."""

    pairs: list[lfw.LfwPair]
    crops: Crops
    probes: NDArray[np.int64]
    """Rows of ``crops``."""
    references: NDArray[np.int64]

    def covered(self, kind: str) -> tuple[Crops, Floats]:
        """The probes' crops with an occluder, (n, 150, 150, 3), and how much of each cell it hides, (n, 7, 7)."""
        number = TESTED.index(kind)
        drawn = [
            OCCLUDERS[kind](np.asarray(self.crops[row]), DLIB_150, np.random.default_rng([99, number, at]))
            for at, row in enumerate(self.probes)
        ]
        return np.stack([crop for crop, _ in drawn]), np.stack([cell_shares(hidden) for _, hidden in drawn])


def dev_test(lfw_folder: Path, work: Path) -> DevTest:
    """The pairs of which both photos have a face."""
    pairs = lfw.read_pairs(lfw_folder / "pairsDevTest.txt")
    found = located(lfw_folder, lfw.photos_of(pairs), work, "test")
    index = {photo: at for at, photo in enumerate(found.photos)}
    usable = [pair for pair in pairs if pair.probe in index and pair.reference in index]
    probes, references = (np.array([index[getattr(pair, side)] for pair in usable]) for side in ("probe", "reference"))
    return DevTest(usable, found.crops, probes, references)


def attention_over_area(attention: NDArray[np.floating], hidden: Floats) -> float:
    """Attention on cells at least half covered, over their share of the grid; 1 where it does not care."""
    mostly = hidden >= 0.5
    return float((attention * mostly).sum() / mostly.mean(axis=(1, 2)).sum())


def embedded(embedder: DlibResNet, crops: Crops) -> tuple[Grids, Floats]:
    starts = range(0, len(crops), 8)
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(lambda start: embedder.embed(np.asarray(crops[start : start + 8])), starts))
    return np.concatenate([part.grids for part in parts]), np.concatenate([part.vectors for part in parts])


def side_by_side(work: Callable[[Job], Done], jobs: Sequence[Job], title: str) -> Iterator[Done]:
    """Results in order, of two threads, with a progress bar on stderr."""
    with ThreadPoolExecutor(2) as pool, Progress(disable=not sys.stderr.isatty()) as progress:
        yield from progress.track(pool.map(work, jobs), total=len(jobs), description=title)
