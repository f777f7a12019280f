from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xcos.errors import InvalidArgument, MultipleFaces, NoFace, NoSuchFace
from xcos.faces import choose_face
from xcos.types import Face

SIZE = (400, 300)


def face(center: tuple[float, float], height: float, width: float | None = None, confidence: float = 0.9) -> Face:
    half = np.array([(height if width is None else width) / 2, height / 2])
    middle = np.array(center)
    return Face(np.concatenate([middle - half, middle + half]), np.arange(10.0).reshape(5, 2), confidence)


SMALL_IN_THE_MIDDLE = face((200, 150), 40)
LARGE_AT_THE_EDGE = face((340, 60), 100)
RULES: list[Any] = ["only", "largest", "center", 0]


@pytest.mark.parametrize("choice", RULES)
def test_no_face_is_an_error_by_every_rule(choice: Any) -> None:
    with pytest.raises(NoFace) as caught:
        choose_face([], SIZE, choice)
    assert caught.value.code == "no_face"
    assert caught.value.details == {"width": 400, "height": 300}


@pytest.mark.parametrize("choice", RULES)
def test_a_single_face_is_chosen_without_doubt_by_every_rule(choice: Any) -> None:
    assert choose_face([LARGE_AT_THE_EDGE], SIZE, choice) == (LARGE_AT_THE_EDGE, False)


def test_only_refuses_two_faces_and_says_where_they_are() -> None:
    with pytest.raises(MultipleFaces) as caught:
        choose_face([SMALL_IN_THE_MIDDLE, LARGE_AT_THE_EDGE], SIZE, "only")
    assert caught.value.code == "multiple_faces"
    assert caught.value.details == {"found": 2, "boxes": ["180 130 220 170", "290 10 390 110"]}


@pytest.mark.parametrize("order", [1, -1])
def test_largest_and_center_do_not_depend_on_the_order(order: int) -> None:
    faces = [SMALL_IN_THE_MIDDLE, LARGE_AT_THE_EDGE][::order]
    assert choose_face(faces, SIZE, "largest") == (LARGE_AT_THE_EDGE, False)
    assert choose_face(faces, SIZE, "center") == (SMALL_IN_THE_MIDDLE, False)


def test_largest_means_highest_not_widest() -> None:
    wide, high = face((100, 100), 80, width=200), face((300, 100), 120, width=60)
    assert choose_face([wide, high], SIZE, "largest")[0] is high


@pytest.mark.parametrize(("second", "ambiguous"), [(69.9, False), (70.0, True), (99.0, True), (30.0, False)])
def test_a_second_face_of_seventy_percent_makes_the_largest_doubtful(second: float, ambiguous: bool) -> None:
    first = face((100, 100), 100)
    assert choose_face([face((300, 100), second), first], SIZE, "largest") == (first, ambiguous)


# The photo's longer side is 400: distances in it are pixels / 400. A face 40 px off the middle lies at 0.10; the
# limit for a second one is 1.5 · 0.10 + 0.05 = 0.20, which is 80 px.
@pytest.mark.parametrize(("away", "ambiguous"), [(79.0, True), (81.0, False)])
def test_a_second_face_about_as_central_makes_the_center_doubtful(away: float, ambiguous: bool) -> None:
    first = face((160, 150), 30)
    assert choose_face([face((200, 150 + away), 60), first], SIZE, "center") == (first, ambiguous)


def test_a_distant_crowd_leaves_the_center_clear() -> None:
    first = face((200, 150), 50)
    crowd = [face((x, 20), 50) for x in (30, 120, 280, 370)]
    assert choose_face([*crowd, first], SIZE, "center") == (first, False)


def test_an_index_picks_in_the_order_of_the_detector() -> None:
    faces = [SMALL_IN_THE_MIDDLE, LARGE_AT_THE_EDGE]
    assert choose_face(faces, SIZE, 0) == (SMALL_IN_THE_MIDDLE, False)
    assert choose_face(faces, SIZE, 1) == (LARGE_AT_THE_EDGE, False)


@pytest.mark.parametrize("index", [2, 100])
def test_an_index_beyond_the_faces_is_an_error(index: int) -> None:
    with pytest.raises(NoSuchFace) as caught:
        choose_face([SMALL_IN_THE_MIDDLE, LARGE_AT_THE_EDGE], SIZE, index)
    assert caught.value.code == "no_such_face"
    assert caught.value.details == {"asked": index, "found": 2}


@pytest.mark.parametrize("choice", [True, False, "biggest", "", "0", 1.0, None, -1])
def test_what_is_no_rule_is_refused_even_for_one_face(choice: Any) -> None:
    with pytest.raises(InvalidArgument, match="face must be"):
        choose_face([SMALL_IN_THE_MIDDLE], SIZE, choice)
