from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import helper
from PIL import Image

from xcos.alignment import ARCFACE_112, DLIB_150, align
from xcos.detectors import Mtcnn, WholeImage, YuNet
from xcos.detectors import mtcnn as mtcnn_module
from xcos.detectors.boxes import keep_best
from xcos.errors import InvalidArgument, InvalidModel, WeightsMismatch
from xcos.interfaces import Detector
from xcos.onnx_runtime import open_session
from xcos.types import AlignedFace, Photo, Pixels, Reals
from xcos.weights import packaged_file

Aligned = Callable[[str], AlignedFace]
Example = Callable[[str], Photo]
Array = NDArray[Any]

NAMES = [f"{person}_{view}" for person in range(6) for view in ("front", "light", "smile", "yaw")]
FRONTAL = [name for name in NAMES if not name.endswith("yaw")]
YUNETS = ["yunet_n_dynamic", "yunet_n_320_320", "yunet_n_640_640", "yunet_s_320_320"]


def mirrored(landmarks: Reals, width: int) -> Reals:
    """Landmarks of the mirrored photo: x runs back, and left and right change names."""
    turned: Reals = (landmarks * (-1, 1) + (width - 1, 0))[[1, 0, 2, 4, 3]]
    return turned


def off(found: Reals, expected: Reals) -> Array:
    """(5,) distances in inter-eye distances."""
    distances: Array = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected[1] - expected[0])
    return distances


# MTCNN on photos


@pytest.mark.parametrize("name", NAMES)
def test_mtcnn_finds_the_one_face(mtcnn: Mtcnn, example: Example, name: str) -> None:
    faces = mtcnn.detect(example(name).pixels)
    assert len(faces) == 1
    assert faces[0].confidence > 0.9
    left_eye, right_eye, nose, left_mouth, right_mouth = faces[0].landmarks
    assert left_eye[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    left, top, right, bottom = faces[0].box
    assert ((faces[0].landmarks > (left, top)) & (faces[0].landmarks < (right, bottom))).all()


@pytest.mark.parametrize("name", FRONTAL)
@pytest.mark.parametrize("shift", [(90, 70), (33, 1)])
def test_mtcnn_follows_a_shift_of_the_face(
    mtcnn: Mtcnn, example: Example, aligned: Aligned, name: str, shift: tuple[int, int]
) -> None:
    canvas = np.zeros((400, 430, 3), np.uint8)
    canvas[shift[1] : shift[1] + 300, shift[0] : shift[0] + 300] = example(name).pixels
    (face,) = mtcnn.detect(canvas)
    before = aligned(name).face.landmarks
    assert off(face.landmarks - shift, before).max() < 0.12
    assert np.linalg.norm((face.landmarks - shift - before).mean(axis=0)) < 0.06 * aligned(name).face.inter_eye


@pytest.mark.parametrize("name", FRONTAL)
def test_mtcnn_follows_a_mirrored_face(mtcnn: Mtcnn, example: Example, aligned: Aligned, name: str) -> None:
    (face,) = mtcnn.detect(example(name).pixels[:, ::-1])
    assert off(mirrored(face.landmarks, 300), aligned(name).face.landmarks).max() < 0.12


def test_mtcnn_has_no_preferred_side(mtcnn: Mtcnn, example: Example, aligned: Aligned) -> None:
    # A coordinate rule that is off by half a pixel would shift the mirrored points one way in every photo.
    shifts = []
    for name in NAMES:
        (face,) = mtcnn.detect(example(name).pixels[:, ::-1])
        shifts.append((mirrored(face.landmarks, 300) - aligned(name).face.landmarks).mean(axis=0)[0])
    assert abs(np.mean(shifts)) < 3 * np.std(shifts) / np.sqrt(len(shifts))
    assert abs(np.mean(shifts)) < 0.5


@pytest.mark.parametrize("name", [f"{person}_front" for person in range(6)])
def test_the_eyes_lie_where_dlibs_own_predictor_puts_them(example: Example, aligned: Aligned, name: str) -> None:
    dlib = pytest.importorskip("dlib", reason="dlib has no wheel for this machine", exc_type=ImportError)
    file = packaged_file("face_recognition_models", "models", "shape_predictor_5_face_landmarks.dat")
    pixels = np.ascontiguousarray(example(name).pixels)
    (box,) = dlib.get_frontal_face_detector()(pixels, 0)
    shape = dlib.shape_predictor(str(file))(pixels, box)
    # dlib's five points: outer and inner corner of the eye at the right of the photo, of the one at the left, nose
    points = np.array([[shape.part(index).x, shape.part(index).y] for index in range(5)], np.float64)
    eyes = np.stack([points[2:4].mean(axis=0), points[0:2].mean(axis=0)])
    face = aligned(name).face
    distances = np.linalg.norm(eyes - face.landmarks[:2], axis=1) / face.inter_eye
    assert distances.max() < 0.08


@pytest.mark.parametrize("name", ["0_front", "2_yaw", "4_light"])
def test_a_photo_of_twelve_megapixels_gives_the_same_face_from_a_bounded_pyramid(
    example: Example, aligned: Aligned, name: str
) -> None:
    detector = Mtcnn(max_level=400)
    levels = spied_levels(detector)
    side = 3500
    large = np.asarray(Image.fromarray(example(name).pixels).resize((side, side), Image.Resampling.BICUBIC))
    (face,) = detector.detect(large)
    assert off((face.landmarks + 0.5) * 300 / side - 0.5, aligned(name).face.landmarks).max() < 0.1
    assert levels[0] == (400, 400)
    assert sum(width * height for width, height in levels) < 2.1 * 400 * 400  # 1 + 1/2 + 1/4 + …


def spied_levels(detector: Mtcnn) -> list[tuple[int, int]]:
    """Sizes of the pictures that the first stage is going to see."""
    seen: list[tuple[int, int]] = []
    session = detector._propose

    class Spy:
        def run(self, names: None, feeds: dict[str, Array]) -> Any:
            seen.append((feeds["pixels"].shape[2], feeds["pixels"].shape[1]))
            return session.run(names, feeds)

    vars(detector)["_propose"] = Spy()
    return seen


@pytest.mark.parametrize(("size", "first"), [((300, 200), (90, 60)), ((6000, 1500), (400, 100)), ((60, 60), (18, 18))])
def test_the_first_level_by_hand(size: tuple[int, int], first: tuple[int, int]) -> None:
    # min_face 40 asks for a scale of 12/40 = 0.3; max_level 400 for at most 400 / longer side.
    detector = Mtcnn(min_face=40, max_level=400)
    levels = spied_levels(detector)
    detector.detect(np.zeros((size[1], size[0], 3), np.uint8))
    assert levels[0] == first


def test_the_order_is_by_confidence(mtcnn: Mtcnn, example: Example) -> None:
    row = np.concatenate([example(f"{person}_front").pixels for person in range(4)], axis=1)
    faces = mtcnn.detect(row)
    assert sorted(int(face.landmarks[2, 0] // 300) for face in faces) == [0, 1, 2, 3]
    confidences = [face.confidence for face in faces]
    assert confidences == sorted(confidences, reverse=True)


@pytest.mark.parametrize("gray", [0, 128, 255])
@pytest.mark.parametrize("size", [(300, 300), (640, 48), (13, 700), (11, 11), (1, 1), (1, 500)])
def test_nothing_is_found_where_nothing_is(mtcnn: Mtcnn, gray: int, size: tuple[int, int]) -> None:
    assert mtcnn.detect(np.full((size[1], size[0], 3), gray, np.uint8)) == []


def test_the_photo_is_not_modified(mtcnn: Mtcnn, example: Example) -> None:
    pixels = example("0_front").pixels.copy()
    before = pixels.copy()
    mtcnn.detect(pixels)
    np.testing.assert_array_equal(pixels, before)


def test_other_weights_are_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = tmp_path / "pnet.lz4"
    joblib.dump([np.zeros(3)], forged)
    monkeypatch.setattr(mtcnn_module, "packaged_file", lambda *_: forged)
    monkeypatch.setattr(joblib, "load", lambda *_: pytest.fail("a file with another hash was unpickled"))
    with pytest.raises(WeightsMismatch):
        Mtcnn()


# MTCNN's networks against plain convolutions of the same Keras weights, channels last


def keras_arrays(net: str) -> list[Array]:
    content = packaged_file("mtcnn", "assets", "weights", f"{net}.lz4").read_bytes()
    arrays: list[Array] = joblib.load(io.BytesIO(content))
    return [array.astype(np.float64) for array in arrays]


def convolved(x: Array, kernel: Array, bias: Array) -> Array:
    """(h, w, in) → (h', w', out), valid."""
    windows = sliding_window_view(x, kernel.shape[:2], axis=(0, 1))  # (h', w', in, kh, kw)
    result: Array = np.einsum("yxihw,hwio->yxo", windows, kernel) + bias
    return result


def prelu(x: Array, slopes: Array) -> Array:
    return np.where(x > 0, x, x * slopes.reshape(-1))


def pooled(x: Array, size: int, *, same: bool) -> Array:
    """Maximum of every second window; ``same`` pads to ⌈side / 2⌉ cells, the odd cell at the end."""
    pads = [(0, 0)] * 3
    if same:
        for axis in (0, 1):
            missing = max(0, (-(-x.shape[axis] // 2) - 1) * 2 + size - x.shape[axis])
            pads[axis] = (missing // 2, missing - missing // 2)
    padded = np.pad(x, pads, constant_values=-np.inf)
    windows: Array = sliding_window_view(padded, (size, size), axis=(0, 1))[::2, ::2]
    result: Array = windows.max(axis=(-2, -1))
    return result


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    result: Array = powers / powers.sum(axis=-1, keepdims=True)
    return result


def noise(*shape: int, seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("size", [(12, 12), (31, 26), (40, 57)])
def test_the_proposal_graph_is_the_published_network(size: tuple[int, int]) -> None:
    pixels = noise(*size, 3, seed=1)
    k1, b1, s1, k2, b2, s2, k3, b3, s3, kernel_a, bias_a, kernel_b, bias_b = keras_arrays("pnet")
    x = (pixels - 127.5) / 128
    x = pooled(prelu(convolved(x, k1, b1), s1), 2, same=True)
    x = prelu(convolved(x, k2, b2), s2)
    x = prelu(convolved(x, k3, b3), s3)
    shifts, chances = convolved(x, kernel_a, bias_a), softmax(convolved(x, kernel_b, bias_b))
    session = open_session(mtcnn_module._proposal_graph(mtcnn_module._load("pnet")))
    found_chances, found_shifts = session.run(None, {"pixels": pixels[None]})
    np.testing.assert_allclose(found_chances[0, -1], chances[..., 1], atol=1e-4)
    np.testing.assert_allclose(found_shifts[0].transpose(1, 2, 0), shifts, atol=1e-4)


@pytest.mark.parametrize(("net", "side"), [("rnet", 24), ("onet", 48)])
def test_the_refinement_graphs_are_the_published_networks(net: str, side: int) -> None:
    pixels = noise(2, side, side, 3, seed=2)
    session = open_session(mtcnn_module._refinement_graph(mtcnn_module._load(net), side))
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, {"pixels": pixels}), strict=True))
    for index, crop in enumerate(pixels):
        expected = refined((crop - 127.5) / 128, keras_arrays(net), side)
        assert set(expected) == set(outputs)
        for name, values in expected.items():
            np.testing.assert_allclose(outputs[name][index], values, atol=1e-4, err_msg=name)


def refined(x: Array, arrays: list[Array], side: int) -> dict[str, Array]:
    weights = iter(arrays)

    def layer(x: Array) -> Array:
        return prelu(convolved(x, next(weights), next(weights)), next(weights))

    x = pooled(layer(x), 3, same=True)
    x = pooled(layer(x), 3, same=False)
    x = layer(x)
    if side == 48:
        x = layer(pooled(x, 2, same=True))
    x = x.transpose(1, 0, 2).reshape(-1)  # Permute((2, 1, 3)) before Flatten in the package's own code
    x = prelu(x @ next(weights) + next(weights), next(weights))
    names = ("shifts", "points", "chances") if side == 48 else ("shifts", "chances")
    heads = {name: x @ next(weights) + next(weights) for name in names}
    return {**heads, "chances": softmax(heads["chances"])[1:]}  # of a face


# Overlapping boxes


def test_the_better_of_two_overlapping_boxes_stays() -> None:
    # Two 10 × 10 boxes, 5 apart: intersection 50, union 150, share 1/3.
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [100, 100, 110, 110]], np.float64)
    scores = np.array([0.6, 0.9, 0.3])
    assert keep_best(boxes, scores, 0.3).tolist() == [1, 2]
    assert keep_best(boxes, scores, 0.34).tolist() == [1, 0, 2]


def test_a_box_inside_another_goes_when_measured_by_the_smaller() -> None:
    # Intersection 16: 16 % of the union, all of the smaller box.
    boxes = np.array([[0, 0, 10, 10], [3, 3, 7, 7]], np.float64)
    scores = np.array([0.9, 0.8])
    assert keep_best(boxes, scores, 0.2).tolist() == [0, 1]
    assert keep_best(boxes, scores, 0.2, over="smaller").tolist() == [0]


def test_a_box_that_lost_removes_no_other() -> None:
    # Each overlaps its neighbour by half; the middle one is removed by the first and spares the third.
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]], np.float64)
    assert keep_best(boxes, np.array([0.9, 0.8, 0.7]), 0.3).tolist() == [0, 2]


def test_equal_scores_keep_the_given_order_and_no_boxes_give_none() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float64)
    assert keep_best(boxes, np.array([0.5, 0.5]), 0.5).tolist() == [0]
    assert keep_best(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []


# Whole photos as crops


def test_a_crop_taken_whole_is_aligned_to_itself() -> None:
    for template in (DLIB_150, ARCFACE_112):
        pixels = noise(template.height, template.width, 3, seed=3)
        (face,) = WholeImage(template).detect(pixels)
        made = align(Photo(pixels, "", "array"), face, template)
        np.testing.assert_allclose(made.crop, pixels, atol=1)
        assert made.residual < 1e-12
        assert made.outside == 0


def test_a_crop_of_twice_the_size_covers_the_template() -> None:
    (face,) = WholeImage().detect(np.zeros((300, 300, 3), np.uint8))
    np.testing.assert_allclose(face.box, [0, 0, 300, 300])
    # The centre of pixel p, at p + 1/2 from the edge, goes to twice that.
    np.testing.assert_allclose(face.landmarks, 2 * DLIB_150.points + 0.5)
    assert align(Photo(np.zeros((300, 300, 3), np.uint8), "", "array"), face, DLIB_150).outside == 0


# YuNet


@pytest.fixture(scope="module")
def yunet(real_file: Callable[[str], Path]) -> Callable[[str], YuNet]:
    return lambda name: YuNet(real_file(f"models/yunet/{name}.onnx"))


@pytest.mark.real_data
@pytest.mark.parametrize("model", YUNETS)
def test_yunet_agrees_with_mtcnn(yunet: Callable[[str], YuNet], example: Example, aligned: Aligned, model: str) -> None:
    detector = yunet(model)
    frontal = []
    for name in NAMES:
        (face,) = detector.detect(example(name).pixels)
        assert face.confidence > 0.9
        if name in FRONTAL:
            frontal.append(off(face.landmarks, aligned(name).face.landmarks).mean())
        center, other = (box.reshape(2, 2).mean(axis=0) for box in (face.box, aligned(name).face.box))
        assert np.linalg.norm(center - other) < 0.35 * aligned(name).face.inter_eye
    assert max(frontal) < 0.12
    assert np.mean(frontal) < 0.08


@pytest.mark.real_data
@pytest.mark.parametrize("fixed", YUNETS[1:3])
def test_exports_of_fixed_size_give_the_faces_of_the_dynamic_one(
    yunet: Callable[[str], YuNet], example: Example, fixed: str
) -> None:
    for name in NAMES[:8]:
        (one,), (other,) = (yunet(model).detect(example(name).pixels) for model in (YUNETS[0], fixed))
        assert off(one.landmarks, other.landmarks).max() < 0.03


@pytest.mark.real_data
@pytest.mark.parametrize("model", YUNETS)
def test_yunet_gives_photo_pixels_for_large_and_oblong_photos(
    yunet: Callable[[str], YuNet], example: Example, model: str
) -> None:
    detector = yunet(model)
    before = detector.detect(example("1_front").pixels)[0]
    wide = np.zeros((1800, 2600, 3), np.uint8)
    picture = Image.fromarray(example("1_front").pixels).resize((1200, 1200), Image.Resampling.BICUBIC)
    wide[500:1700, 900:2100] = np.asarray(picture)
    (face,) = detector.detect(wide)
    assert off((face.landmarks - (900, 500)) / 4, before.landmarks).max() < 0.15


@pytest.mark.real_data
def test_yunet_follows_a_mirrored_face(yunet: Callable[[str], YuNet], example: Example) -> None:
    detector = yunet("yunet_n_dynamic")
    for name in FRONTAL:
        (face,), (turned,) = (detector.detect(pixels) for pixels in both_ways(example(name).pixels))
        assert off(mirrored(turned.landmarks, 300), face.landmarks).max() < 0.2


def both_ways(pixels: Pixels) -> tuple[Pixels, Pixels]:
    return pixels, np.ascontiguousarray(pixels[:, ::-1])


@pytest.mark.real_data
@pytest.mark.parametrize("size", [(300, 300), (7, 500), (1, 1)])
def test_yunet_finds_nothing_where_nothing_is(yunet: Callable[[str], YuNet], size: tuple[int, int]) -> None:
    blank = np.full((size[1], size[0], 3), 128, np.uint8)
    assert all(yunet(model).detect(blank) == [] for model in YUNETS)


def identity_model(path: Path) -> Path:
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 32, 32])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3, 32, 32])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [out])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_another_onnx_model_is_not_taken_for_yunet(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="not a YuNet export") as caught:
        YuNet(identity_model(tmp_path / "net.onnx"))
    assert caught.value.code == "invalid_model"
    assert "kps_8" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x00" * 64])
def test_what_is_no_onnx_model_is_not_taken_for_yunet(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidModel):
        YuNet(path)


def test_a_missing_detector_file_is_a_wrong_request(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"nothing\.onnx"):
        YuNet(tmp_path / "nothing.onnx")


# What every detector promises


@pytest.fixture(params=["mtcnn", "whole_image", pytest.param("yunet", marks=pytest.mark.real_data)])
def detector(request: pytest.FixtureRequest) -> Detector:
    if request.param == "yunet":
        made: YuNet = request.getfixturevalue("yunet")("yunet_n_dynamic")
        return made
    return Mtcnn() if request.param == "mtcnn" else WholeImage()


def test_a_detector_has_a_name_and_answers_the_same_twice(detector: Detector, example: Example) -> None:
    assert detector.name
    pixels = example("3_smile").pixels
    first, second = detector.detect(pixels), detector.detect(pixels.copy())
    assert len(first) == len(second) == 1
    np.testing.assert_array_equal(first[0].landmarks, second[0].landmarks)
    np.testing.assert_array_equal(first[0].box, second[0].box)


def test_a_detector_takes_views_with_any_strides(detector: Detector, example: Example) -> None:
    pixels = example("3_smile").pixels
    view = np.asfortranarray(pixels)
    assert not view.flags.c_contiguous
    np.testing.assert_array_equal(detector.detect(view)[0].landmarks, detector.detect(pixels)[0].landmarks)


def test_other_settings_are_another_detector_by_name(mtcnn: Mtcnn) -> None:
    assert mtcnn.name == "mtcnn"
    assert Mtcnn(min_face=20).name != mtcnn.name
    with pytest.raises(InvalidArgument, match="at least"):
        Mtcnn(min_face=0)
