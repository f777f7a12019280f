"""What several test modules need: example photos, the packaged networks, real data where it is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import xcos
import xcos.cli.verify
from xcos.alignment import DLIB_150, align
from xcos.catalog import DETECTORS, EMBEDDERS, default_verifier
from xcos.detectors import Mtcnn
from xcos.embedders import DlibResNet
from xcos.images import read_image
from xcos.types import AlignedFace, Crops, Photo
from xcos.verifier import Verifier

settings.register_profile("busy", deadline=None)  # a busy machine may stop any example for a while
settings.load_profile("busy")

EXAMPLES = Path(xcos.__file__).parent / "data" / "examples"
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def example() -> Callable[[str], Photo]:
    """Reads an example photo by its name, such as ``0_front``."""
    return cache(lambda name: read_image(EXAMPLES / f"{name}.jpg"))


@pytest.fixture(scope="session")
def mtcnn() -> Mtcnn:
    return Mtcnn()


@pytest.fixture(scope="session")
def dlib_last() -> DlibResNet:
    """The packaged network with its 5 × 5 × 128 grid."""
    return DlibResNet()


@pytest.fixture(scope="session")
def dlib_fourth() -> DlibResNet:
    """The packaged network with its 7 × 7 × 256 grid."""
    return DlibResNet(grid="fourth")


@pytest.fixture(scope="session")
def dlib_trusted() -> DlibResNet:
    """The shipped model: the packaged network with its learned 7 × 7 × 128 grid."""
    return DlibResNet(grid="trusted")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, dlib_last: DlibResNet, dlib_trusted: DlibResNet, mtcnn: Mtcnn) -> None:
    """Commands get the networks that are loaded once for all tests."""
    monkeypatch.setitem(EMBEDDERS, "xcos-dlib-7x7", lambda: dlib_trusted)
    monkeypatch.setitem(EMBEDDERS, "dlib", lambda: dlib_last)
    monkeypatch.setitem(DETECTORS, "mtcnn", lambda _: mtcnn)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a photo fails the test: the request must be refused before."""

    def refuse(*_: object) -> None:
        pytest.fail("work was done before the request was refused")

    monkeypatch.setattr(xcos.cli.verify, "read_image", refuse)
    monkeypatch.setattr("xcos.extractor.read_image", refuse)


@pytest.fixture(scope="session")
def aligned(example: Callable[[str], Photo], mtcnn: Mtcnn) -> Callable[[str], AlignedFace]:
    """Detects and crops the face of an example photo for the packaged network."""

    def face_of(name: str) -> AlignedFace:
        photo = example(name)
        (face,) = mtcnn.detect(photo.pixels)
        return align(photo, face, DLIB_150)

    return cache(face_of)


@pytest.fixture(scope="session")
def crops(aligned: Callable[[str], AlignedFace]) -> Crops:
    """Nine aligned crops: one more than the embedders send through a network at once."""
    names = [f"{person}_{view}" for view in ("front", "yaw") for person in range(6)][:9]
    return np.stack([aligned(name).crop for name in names])


@pytest.fixture(scope="session")
def real_file() -> Callable[[str], Path]:
    """Finds a file of the folder ``shared`` beside the checkout (``models/…``, ``data/…``) or skips the test."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"real data absent: ../shared/{name} does not lie beside the repository")
        return path

    return find


@pytest.fixture(scope="session")
def verifier() -> Verifier:
    """The verifier that works out of the box."""
    return default_verifier()
