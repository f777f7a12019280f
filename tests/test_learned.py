"""The exported head in NumPy and ONNX Runtime, held against the module it was exported from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from heads import CHANNELS, COLS, FEATURES, ORDERLESS, ROWS, WEIGHTINGS, grids, trained
from onnx import helper, numpy_helper

from xcos.comparators import EncodedFaces, LearnedHead, stack_encodings
from xcos.comparators.attention import LISTED, SIDE, TILE, Attention, PairNetwork
from xcos.comparators.weighting import BLOCK
from xcos.errors import IncompatibleTemplates, InvalidArgument, InvalidModel
from xcos.testing import ContractBroken, check_comparator
from xcos.training.export import export_head
from xcos.training.head import PairMaps, XcosHead
from xcos.types import Comparison, Floats, Grids

EVERY = pytest.mark.parametrize("weighting", WEIGHTINGS)
SHAPE = (ROWS, COLS, CHANNELS)


def as_templates(batch: torch.Tensor) -> Grids:
    """Grids as an embedder gives them, channels last."""
    return np.ascontiguousarray(batch.permute(0, 2, 3, 1).numpy())


def opened(folder: Path, head: XcosHead) -> LearnedHead:
    (folder / "head.onnx").write_bytes(export_head(head, ROWS, COLS))
    return LearnedHead(folder / "head.onnx")


def exact(head: XcosHead, a: torch.Tensor, b: torch.Tensor) -> PairMaps:
    """The module's answer in double precision."""
    with torch.no_grad():
        maps: PairMaps = head.double()(a.double(), b.double())
    return maps


@EVERY
def test_maps_and_scores_are_those_of_the_trained_module(weighting: str, tmp_path: Path) -> None:
    learned = opened(tmp_path, trained(weighting))
    expected = exact(trained(weighting), grids(1), grids(2))
    similarity, attention = learned.maps(as_templates(grids(1)), as_templates(grids(2)))
    np.testing.assert_allclose(similarity, expected.similarity.numpy(), atol=1e-6)
    np.testing.assert_allclose(attention, expected.attention.numpy(), atol=1e-6)
    scores = [Comparison(s, w).score for s, w in zip(similarity, attention, strict=True)]
    np.testing.assert_allclose(scores, expected.score.numpy(), atol=1e-6)


@EVERY
def test_all_pairs_and_listed_pairs_score_as_the_trained_module_does(weighting: str, tmp_path: Path) -> None:
    # More faces and pairs than one block of each kind holds.
    n, m = TILE + SIDE + 3, SIDE + 5
    a, b = grids(1, n), grids(2, m)
    learned = opened(tmp_path, trained(weighting))
    probes, references = learned.encode(as_templates(a)), learned.encode(as_templates(b))
    expected = exact(trained(weighting), a.repeat_interleave(m, 0), b.repeat(n, 1, 1, 1)).score.numpy().reshape(n, m)
    scores = learned.score_all(probes, references)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    pairs = np.random.default_rng(0).integers(0, (n, m), (2 * max(BLOCK, LISTED) + 7, 2))
    listed = learned.score_pairs(probes, references, pairs)
    np.testing.assert_allclose(listed, expected[pairs[:, 0], pairs[:, 1]], atol=1e-6)


@pytest.mark.parametrize("weighting", ORDERLESS)
def test_orderless_heads_keep_the_contract_of_comparators(weighting: str, tmp_path: Path) -> None:
    check_comparator(opened(tmp_path, trained(weighting)), shape=SHAPE)


def test_the_papers_own_head_breaks_the_contract_by_its_order_alone(tmp_path: Path) -> None:
    learned = opened(tmp_path, trained("concat"))
    with pytest.raises(ContractBroken, match="swapping probe and reference"):
        check_comparator(learned, shape=SHAPE)


@pytest.mark.parametrize("weighting", ORDERLESS)
def test_swapping_changes_no_bit_of_listed_scores_and_only_rounding_of_all_pairs(
    weighting: str, tmp_path: Path
) -> None:
    learned = opened(tmp_path, trained(weighting))
    a, b = (learned.encode(as_templates(grids(seed, 40))) for seed in (1, 2))
    pairs = np.random.default_rng(0).integers(0, 40, (300, 2))
    np.testing.assert_array_equal(learned.score_pairs(a, b, pairs), learned.score_pairs(b, a, pairs[:, ::-1]))
    np.testing.assert_allclose(learned.score_all(a, b), learned.score_all(b, a).T, atol=1e-6)


@pytest.mark.parametrize(("slope", "last_slope"), [(0.25, 0.25), (-0.7, -0.3), (1.6, 2.5), (1.0, 1.0), (0.0, 0.0)])
def test_the_factorization_is_exact_for_any_slope(slope: float, last_slope: float) -> None:
    rng = np.random.default_rng(0)
    network = PairNetwork(rng.normal(size=(3, 3, 3)), 0.3, slope, last_slope)
    attention = Attention(network, 4, 3, symmetric=False)
    features = rng.normal(size=(5, 4, 3, 6)).astype(np.float32)
    features /= np.linalg.norm(features, axis=3, keepdims=True)
    cues = attention.cues(features, [rng.normal(size=(5, 3, 4, 3)).astype(np.float32) for _ in range(2)])
    faces = EncodedFaces(features, cues, "toy")
    all_pairs = np.stack(np.meshgrid(np.arange(5), np.arange(5), indexing="ij"), axis=-1).reshape(-1, 2)
    a, b = faces[all_pairs[:, 0]], faces[all_pairs[:, 1]]
    cosines = np.einsum("nrck,nrck->nrc", a.features.astype(float), b.features)
    expected = (attention.attention(a, b) * cosines).sum(axis=(1, 2))
    np.testing.assert_allclose(attention.score_all(faces, faces).ravel(), expected, atol=1e-6)
    np.testing.assert_allclose(attention.score_pairs(faces, faces, all_pairs), expected, atol=1e-6)


@EVERY
def test_picking_and_stacking_encoded_faces_is_encoding_them(weighting: str, tmp_path: Path) -> None:
    learned = opened(tmp_path, trained(weighting))
    faces = as_templates(grids(1))
    whole = learned.encode(faces)
    parts = stack_encodings([learned.encode(faces[:2]), learned.encode(faces[2:])])
    np.testing.assert_allclose(parts.features, whole.features, atol=1e-6)
    np.testing.assert_allclose(parts.cues, whole.cues, atol=1e-5)
    np.testing.assert_array_equal(whole[np.array([3, 0])].features, whole.features[[3, 0]])
    np.testing.assert_array_equal(whole[1:3].cues, whole.cues[1:3])
    assert len(whole[1:3]) == 2


def test_a_separable_face_is_stored_in_one_number_per_feature_and_cell_and_one_more(tmp_path: Path) -> None:
    face = opened(tmp_path, trained("separable")).encode(as_templates(grids(1, 1)))
    assert face.features.size + face.cues.size == ROWS * COLS * (FEATURES + 1)


@EVERY
def test_no_faces_give_no_scores(weighting: str, tmp_path: Path) -> None:
    learned = opened(tmp_path, trained(weighting))
    nobody, somebody = (learned.encode(np.ones((n, *SHAPE), np.float32)) for n in (0, 2))
    assert learned.score_all(nobody, somebody).shape == (0, 2)
    assert learned.score_pairs(somebody, somebody, np.zeros((0, 2), int)).shape == (0,)
    assert learned.maps_of(nobody, nobody)[1].shape == (0, ROWS, COLS)


def test_the_name_tells_the_weighting_and_the_file(tmp_path: Path) -> None:
    one, other = (opened(tmp_path, trained("separable", seed)).name for seed in (0, 1))
    assert one.startswith("xcos-separable/")
    assert len(one) == len("xcos-separable/") + 12
    assert one != other


@pytest.mark.parametrize("shape", [(2, 5, 5, 12), (2, 5, 4, 13), (5, 4, 12)])
def test_grids_of_another_network_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    learned = opened(tmp_path, trained("uniform"))
    with pytest.raises(InvalidArgument, match=r"takes float32 grids \(n, 5, 4, 12\)"):
        learned.encode(np.ones(shape, np.float32))
    with pytest.raises(InvalidArgument, match="float64"):
        learned.encode(np.ones((2, *SHAPE)))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="two equal"):
        learned.maps(np.ones((2, *SHAPE), np.float32), np.ones((3, *SHAPE), np.float32))


def test_faces_encoded_by_another_head_are_refused(tmp_path: Path) -> None:
    one, other = (opened(tmp_path, trained("separable", seed)) for seed in (0, 1))
    a, b = (head.encode(as_templates(grids(1))) for head in (one, other))
    for compare in (one.maps_of, one.score_all):
        with pytest.raises(IncompatibleTemplates, match="encode them again"):
            compare(a, b)
    with pytest.raises(IncompatibleTemplates, match="one head"):
        stack_encodings([a, b])
    with pytest.raises(IncompatibleTemplates, match="one head"):
        stack_encodings([])
    with pytest.raises(InvalidArgument, match="as many probes"):
        one.maps_of(a, a[:2])


@pytest.mark.parametrize(
    "pairs", [np.array([[0, 6]]), np.array([[-1, 0]]), np.array([[0.0, 1.0]]), np.array([0, 1]), np.zeros((1, 3), int)]
)
def test_pairs_that_name_no_faces_are_refused(pairs: Any, tmp_path: Path) -> None:
    learned = opened(tmp_path, trained("uniform"))
    faces = learned.encode(as_templates(grids(1)))
    with pytest.raises(InvalidArgument, match=r"pairs must be \(p, 2\)"):
        learned.score_pairs(faces, faces, pairs)


def test_encodings_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="want float32 features"):
        EncodedFaces(np.ones((2, 5, 4, 8), np.float32), np.ones((3, 20), np.float32), "x")
    with pytest.raises(InvalidArgument, match="float64"):
        EncodedFaces(np.ones((2, 5, 4, 8), np.float32), np.ones((2, 20)), "x")  # type: ignore[arg-type]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"cannot read head\.onnx"):
        LearnedHead(tmp_path / "head.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07\x12\xff\xff\xff"])
def test_a_file_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "head.onnx").write_bytes(content)
    with pytest.raises(InvalidModel, match="not an ONNX model"):
        LearnedHead(tmp_path / "head.onnx")


Spoil = Callable[[onnx.ModelProto], None]


def spoilt(folder: Path, weighting: str, spoil: Spoil) -> Path:
    """A head whose file was changed."""
    model = onnx.load_model_from_string(export_head(trained(weighting), ROWS, COLS))
    spoil(model)
    path = folder / "head.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def metadata(key: str, value: str) -> Spoil:
    def spoil(model: onnx.ModelProto) -> None:
        for entry in model.metadata_props:
            if entry.key == key:
                entry.value = value

    return spoil


def input_shape(*shape: int | str, kind: int = 1) -> Spoil:
    def spoil(model: onnx.ModelProto) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("grid", kind, shape))

    return spoil


def replaced(name: str, values: Floats) -> Spoil:
    """The output ``name`` is these values, whatever the input."""

    def spoil(model: onnx.ModelProto) -> None:
        (node,) = (node for node in model.graph.node if name in node.output)
        del node.input[:]
        node.op_type = "Constant"
        node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(values)))

    return spoil


def without_output(name: str) -> Spoil:
    def spoil(model: onnx.ModelProto) -> None:
        (kept,) = (value for value in model.graph.output if value.name == name)
        model.graph.output.remove(kept)

    return spoil


def no_notes(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "NoSuchOperator"


ONE = np.ones((2, ROWS, COLS), np.float32)
HIDDEN = np.ones((2, 4, ROWS, COLS), np.float32)


@pytest.mark.parametrize(
    ("weighting", "spoil", "said"),
    [
        ("uniform", external, "keeps weights in other files"),
        ("uniform", no_notes, "is no xCos head of schema 1"),
        ("uniform", metadata("xcos.schema", "2"), "says? schema '2'|say schema '2'"),
        ("uniform", metadata("xcos.weighting", "median"), "weighting 'median'"),
        ("uniform", metadata("xcos.weighting", "separable"), r"needs \['features', 'trust'\]"),
        ("separable", metadata("xcos.weighting", "uniform"), r"has outputs \['features', 'trust'\]"),
        ("symmetric", without_output("kernel"), "its weighting needs"),
        ("uniform", unknown_operator, "cannot be run by ONNX Runtime"),
        ("uniform", input_shape(1, ROWS, COLS, CHANNELS), "n free"),
        ("uniform", input_shape("n", "rows", COLS, CHANNELS), "wants inputs"),
        ("uniform", input_shape("n", CHANNELS), "wants inputs"),
        ("uniform", input_shape("n", 40, 40, CHANNELS), "at most 1024 cells"),
        ("uniform", input_shape("n", ROWS, COLS, CHANNELS, kind=11), "wants inputs"),
        ("uniform", input_shape("n", ROWS, COLS, CHANNELS + 1), "cannot be run|fails on its input"),
        ("uniform", replaced("features", np.ones((2, ROWS, COLS), np.float32)), r"must be \(2, 5, 4, k\)"),
        ("uniform", replaced("features", np.ones((2, ROWS, COLS, 0), np.float32)), r"must be \(2, 5, 4, k\)"),
        ("uniform", replaced("features", np.ones((2, ROWS, COLS, 8), np.float32)), "unit vector"),
        ("uniform", replaced("features", np.full((2, ROWS, COLS, 8), np.nan, np.float32)), "finite float32"),
        ("uniform", replaced("features", np.zeros((2, ROWS, COLS, 8), np.float64)), "float32|cannot be run"),
        ("separable", replaced("trust", 0 * ONE), "'trust' of head.onnx must be"),
        ("separable", replaced("trust", -ONE), "'trust' of head.onnx must be"),
        ("separable", replaced("trust", 1e30 * ONE), "'trust' of head.onnx must be"),
        ("separable", replaced("trust", ONE[:1]), r"\(2, 5, 4\), got shape \(1, 5, 4\)"),
        ("norm", replaced("lengths", -ONE), "one above 0 in every face"),
        ("norm", replaced("lengths", 0 * ONE), "one above 0 in every face"),
        ("fixed", replaced("weights", ONE[0]), "total 1"),
        ("fixed", replaced("weights", np.full((4, 5), 1 / 20, np.float32)), "total 1"),
        ("fixed", replaced("weights", np.array([2, -1] + 18 * [0], np.float32).reshape(ROWS, COLS)), "≥ 0"),
        ("symmetric", replaced("first", HIDDEN[:, :3]), "'kernel' of the head has 4 channels"),
        ("symmetric", replaced("second", HIDDEN[:, :, 1:]), r"must be \(2, hidden, 5, 4\)"),
        ("symmetric", replaced("kernel", np.ones((4, 5, 5), np.float32)), r"\(hidden, 3, 3\)"),
        ("symmetric", replaced("bias", np.ones(4, np.float32)), r"'bias' of head.onnx must be \(1,\)"),
        ("concat", replaced("slopes", np.ones(1, np.float32)), r"'slopes' of head.onnx must be \(2,\)"),
    ],
)
def test_a_head_that_is_not_what_it_says_is_refused(weighting: str, spoil: Spoil, said: str, tmp_path: Path) -> None:
    path = spoilt(tmp_path, weighting, spoil)
    with pytest.raises(InvalidModel, match=said):
        LearnedHead(path)


def test_a_head_whose_output_breaks_on_a_later_photo_is_refused_then(tmp_path: Path) -> None:
    learned = opened(tmp_path, trained("uniform"))
    with pytest.raises(InvalidModel, match="finite float32"):
        learned.encode(np.full((1, *SHAPE), np.inf, np.float32))
