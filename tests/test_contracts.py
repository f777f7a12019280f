"""Every component of the catalogue keeps its contract, and the contracts notice those that do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from xcos.alignment import DLIB_150, align
from xcos.catalog import COMPARATORS, DATA, DETECTORS, EMBEDDERS
from xcos.detectors import Mtcnn
from xcos.images import read_image
from xcos.interfaces import Comparator, Detector, Embedder
from xcos.testing import (
    ContractBroken,
    FakeComparator,
    FakeDetector,
    FakeEmbedder,
    check_comparator,
    check_detector,
    check_embedder,
    face_at,
)
from xcos.types import Crops, Face, Grids, Maps, Photo, Pixels, Templates


def photo(name: str) -> Photo:
    return read_image(DATA / "examples" / f"{name}.jpg")


def black() -> Photo:
    return read_image(np.zeros((200, 200, 3), np.uint8))


@pytest.fixture(scope="module")
def crops() -> Crops:
    detector = Mtcnn()
    template = next(iter(EMBEDDERS.values()))().card.template
    photos = [photo(name) for name in ("0_front", "1_front", "2_yaw", "4_light")]
    return np.stack([align(each, detector.detect(each.pixels)[0], template).crop for each in photos])


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "whole-image"])
def test_detectors_keep_the_contract(name: str) -> None:
    check_detector(DETECTORS[name](DLIB_150), photo("0_front"), black())


@pytest.mark.parametrize("name", EMBEDDERS)
def test_embedders_keep_the_contract(name: str, crops: Crops) -> None:
    check_embedder(EMBEDDERS[name](), crops)


@pytest.mark.parametrize("name", COMPARATORS)
def test_comparators_keep_the_contract(name: str) -> None:
    check_comparator(COMPARATORS[name]())


def test_the_fakes_keep_the_contracts_too() -> None:
    check_detector(FakeDetector((face_at(60, 60, 30), face_at(120, 60, 30))), photo("0_front"), black())
    check_embedder(FakeEmbedder(), np.random.default_rng(0).integers(1, 255, (4, 150, 150, 3)).astype(np.uint8))
    with pytest.raises(ContractBroken, match="similar to itself"):
        check_comparator(FakeComparator(((0.5,),), ((1.0,),)), shape=(1, 1, 8))


def test_a_fake_embedders_answer_is_the_mean_colour_plus_one() -> None:
    crop = np.zeros((1, 150, 150, 3), np.uint8)
    crop[0, :75, :75] = (10, 20, 30)
    grid = FakeEmbedder().embed(crop).grids[0]
    assert grid[0, 0].tolist() == [11, 21, 31]
    assert grid[1, 1].tolist() == [1, 1, 1]


class _Wrong:
    """Components with one fault each."""

    name = "wrong"

    def __init__(self, detect: Callable[[Pixels], list[Face]]) -> None:
        self.detect = detect


def _worst_first(pixels: Pixels) -> list[Face]:
    good = face_at(60, 60, 30)
    return [Face(good.box, good.landmarks, 0.2), good] if pixels.any() else []


def _finds_in_black(_: Pixels) -> list[Face]:
    return [face_at(60, 60, 30)]


def _writes(pixels: Pixels) -> list[Face]:
    pixels.flags.writeable = True
    pixels[0, 0] = 255 - pixels[0, 0]
    return [face_at(60, 60, 30)]


@pytest.mark.parametrize(
    ("detect", "said"),
    [(_worst_first, "most confident first"), (_finds_in_black, "empty list"), (lambda _: [], "no face")],
)
def test_a_faulty_detector_is_noticed(detect: Callable[[Pixels], list[Face]], said: str) -> None:
    detector: Detector = _Wrong(detect)
    with pytest.raises(ContractBroken, match=said):
        check_detector(detector, photo("0_front"), black())


def test_a_detector_cannot_write_into_the_photo() -> None:
    with pytest.raises((ValueError, ContractBroken)):
        check_detector(_Wrong(_writes), photo("0_front"), black())


class _BatchDependent(FakeEmbedder):
    def embed(self, crops: Crops) -> Templates:
        made = super().embed(crops)
        return Templates(made.grids + len(crops), made.vectors, made.model)


class _Lopsided(FakeComparator):
    def maps(self, probes: Grids, references: Grids) -> tuple[Maps, Maps]:
        assert probes.shape == references.shape
        similarity = np.tanh(probes[..., 0].astype(np.float64))
        return similarity, np.full(similarity.shape, 1 / similarity[0].size)


def test_a_batch_dependent_embedder_is_noticed(crops: Crops) -> None:
    embedder: Embedder = _BatchDependent()
    with pytest.raises(ContractBroken, match="differs from it alone"):
        check_embedder(embedder, crops)


def test_an_order_dependent_comparator_is_noticed() -> None:
    comparator: Comparator = _Lopsided(((0.0,),), ((1.0,),))
    with pytest.raises(ContractBroken, match="swapping"):
        check_comparator(comparator)
