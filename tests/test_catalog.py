from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from xcos import catalog
from xcos.alignment import ARCFACE_112
from xcos.calibration import read_calibration
from xcos.catalog import (
    COMPARATORS,
    DATA,
    DETECTORS,
    EMBEDDERS,
    build_verifier,
    card_path,
    find_calibration,
    packaged_calibration,
)
from xcos.detectors import Mtcnn, WholeImage
from xcos.embedders import DlibResNet
from xcos.errors import InvalidArgument, InvalidCard
from xcos.types import Photo
from xcos.verifier import VECTOR_COMPARATOR, Verifier

CARDS = sorted((DATA / "calibrations").glob("*.json"))
Example = Callable[[str], Photo]


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch, dlib_fourth: DlibResNet) -> None:
    """The last packaged network, too, is loaded once for all tests."""
    monkeypatch.setitem(EMBEDDERS, "dlib-fourth", lambda: dlib_fourth)


def test_the_default_is_what_the_documentation_says(verifier: Verifier) -> None:
    assert isinstance(verifier.detector, Mtcnn)
    assert isinstance(verifier.embedder, DlibResNet)
    assert verifier.embedder.model.startswith("xcos-dlib-7x7/")
    assert (verifier.comparator.name, verifier.calibration.comparator) == ("trust", "trust")
    assert verifier.vector_calibration is not None
    assert verifier.face == "only"
    assert "LFW" in verifier.calibration.origin.dataset


@pytest.mark.usefixtures("quick", "cheap")
@pytest.mark.parametrize(
    ("embedder", "comparator"),
    [(name, each) for name in sorted(EMBEDDERS) for each in ("norm", "uniform")] + [("xcos-dlib-7x7", "trust")],
)
def test_every_packaged_combination_verifies(embedder: str, comparator: str, example: Example) -> None:
    verifier = build_verifier(embedder=embedder, comparator=comparator)
    assert verifier.calibration.model == verifier.embedder.model
    assert verifier.calibration.comparator == comparator == verifier.comparator.name
    mated = verifier.verify(example("3_front"), example("3_smile"))
    other = verifier.verify(example("0_front"), example("5_front"))
    assert mated.score > mated.decision.threshold.value
    assert other.score < mated.score


@pytest.mark.usefixtures("quick", "cheap")
@pytest.mark.parametrize(("embedder", "comparator"), [("dlib", "norm"), ("dlib-fourth", "norm"), ("", "trust")])
def test_an_embedder_is_compared_as_its_grid_was_made_for(embedder: str, comparator: str) -> None:
    assert build_verifier(embedder=embedder).comparator.name == comparator


@pytest.mark.usefixtures("quick", "cheap")
def test_a_combination_without_a_card_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no packaged calibration"):
        build_verifier(embedder="dlib", comparator="trust")


def test_a_detector_is_built_by_its_name() -> None:
    assert DETECTORS["whole-image"](ARCFACE_112) == WholeImage(ARCFACE_112), "it knows the embedder's crops"


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem[-20:])
def test_every_packaged_card_lies_under_its_own_name(path: Path) -> None:
    card = read_calibration(path)  # refuses a card that was altered
    assert card_path(card.model, card.comparator) == path.name
    found = find_calibration(card.model, card.comparator)
    assert found is not None
    assert found.sha256 == card.sha256
    assert packaged_calibration(card.model, card.comparator).sha256 == card.sha256
    assert card.supports(1e-3)
    assert card.origin.n_subjects > 800


def test_no_card_is_found_for_another_model() -> None:
    assert find_calibration("other/model/0123456789ab", "norm") is None
    with pytest.raises(InvalidArgument) as caught:
        packaged_calibration("other/model/0123456789ab", "norm")
    assert caught.value.details == {"model": "other/model/0123456789ab", "comparator": "norm"}


@pytest.mark.usefixtures("quick", "cheap")
@pytest.mark.parametrize(
    "names",
    [
        {"detector": "nothing"},
        {"detector": ""},
        {"detector": "yunet"},
        {"detector": "yunet:"},
        {"detector": "nothing:file.onnx"},
        {"detector": "mtcnn:file.onnx"},
        {"embedder": "nothing"},
        {"embedder": "onnx"},
        {"embedder": "onnx:"},
        {"comparator": "nothing"},
        {"comparator": VECTOR_COMPARATOR},
    ],
    ids=str,
)
def test_an_unknown_name_is_refused(names: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        build_verifier(**names)  # type: ignore[arg-type]


@pytest.mark.usefixtures("quick", "cheap")
def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    for names, known in (
        ({"detector": "nothing"}, DETECTORS),
        ({"embedder": "nothing"}, EMBEDDERS),
        ({"comparator": "nothing"}, COMPARATORS),
    ):
        with pytest.raises(InvalidArgument) as caught:
            build_verifier(**names)  # type: ignore[arg-type]
        for name in known:
            assert name in caught.value.message


@pytest.mark.usefixtures("quick", "cheap")
def test_a_given_calibration_takes_the_place_of_the_packaged_one(dlib_last: DlibResNet) -> None:
    folder = DATA / "calibrations"
    own = folder / card_path(dlib_last.model, "norm")
    given = build_verifier(embedder="dlib", calibration=own)
    assert given.calibration.sha256 == read_calibration(own).sha256
    for other in ("uniform", VECTOR_COMPARATOR):
        with pytest.raises(InvalidCard):
            build_verifier(embedder="dlib", calibration=folder / card_path(dlib_last.model, other))
    with pytest.raises(InvalidCard):
        build_verifier(embedder="dlib", calibration=folder / "missing.json")


@pytest.mark.usefixtures("quick", "cheap")
def test_the_choice_of_face_is_passed_on() -> None:
    assert build_verifier(face="center").face == "center"
    assert catalog.default_verifier(face=2).face == 2
