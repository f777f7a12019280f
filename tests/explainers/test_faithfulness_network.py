"""What is asked of a network itself: how local its cells are, whether maps survive the loss of its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from explainers import faithful_toys as toys
from onnx import helper, numpy_helper

from xcos.catalog import build_explainer
from xcos.compare import TrustWeighted, Uniform
from xcos.embedders import DlibResNet
from xcos.errors import InvalidArgument
from xcos.explainers.bench_randomised import run_randomised
from xcos.explainers.bench_report import randomised_markdown
from xcos.explainers.explanation import Cost, Explanation
from xcos.explainers.faithfulness import FacePair, measure_locality, occluder_weight
from xcos.explainers.faithfulness.map_likeness import hog, likeness, ssim
from xcos.explainers.faithfulness.measure import Explain, with_strangers
from xcos.explainers.faithfulness.randomisation import cascade, randomised_matchers, shuffled, weighted_layers
from xcos.explainers.matcher import GridMatcher, Matcher
from xcos.onnx_runtime import open_session
from xcos.types import AlignedFace, Crops, Floats, Grids, Maps, Templates
from xcos.weights import WeightCard

CARD = WeightCard("toy", "0" * 64, toys.TEMPLATE, "rgb", (0.0, 0.0, 0.0), 1.0, "CC0-1.0", "made up", "none")


@dataclass(frozen=True)
class Cells:
    """7 × 7 cells: the mean colour of the own square, of the whole crop, or half of each."""

    own: float
    card: WeightCard = CARD
    model: str = "toy/cells"

    def embed(self, crops: Crops) -> Templates:
        colors = crops.astype(np.float64) / 255 - 0.5
        colors[..., 1] *= 0.3  # so that the cells differ in direction
        squares = colors.reshape(len(crops), 7, 4, 7, 4, 3).mean(axis=(2, 4))
        grids = self.own * squares + (1 - self.own) * squares.mean(axis=(1, 2), keepdims=True) + (0.5, 1, 2)
        return Templates(grids.astype(np.float32), np.ones((len(crops), 1), np.float32), self.model)


def colored_pairs() -> list[FacePair]:
    random = np.random.default_rng(0)
    faces = [toys.face(random.integers(80, 176, (28, 28, 3), np.uint8)) for _ in range(4)]
    return [FacePair("a b", faces[0], faces[1], ("a", "b")), FacePair("c d", faces[2], faces[3], ("c", "d"))]


def test_cells_that_see_only_their_own_square_leak_nothing_and_have_all_their_energy_inside() -> None:
    found = measure_locality(Cells(1.0), Uniform(), colored_pairs())
    assert found.leak == 0
    assert found.inside == pytest.approx(1)
    assert found.pairs == 2
    assert found.shares.shape == found.leaks.shape == (7, 7)


def test_cells_that_see_the_whole_crop_leak_everything_and_have_their_share_of_the_area_inside() -> None:
    found = measure_locality(Cells(0.0), Uniform(), colored_pairs())
    assert found.leak == pytest.approx(1, abs=1e-6)
    assert found.inside == pytest.approx(1 / 49, abs=0.01)


def test_cells_that_see_half_of_each_lie_between() -> None:
    found = measure_locality(Cells(0.5), Uniform(), colored_pairs(), samples=8)
    # To first order the own square moves its cell by 1 + 1/49 and every other cell by 1/49.
    assert found.leak == pytest.approx(1 / 50, rel=0.5)
    assert found.inside == pytest.approx(50**2 / (50**2 + 48), abs=0.02)
    with pytest.raises(InvalidArgument, match="want pairs"):
        measure_locality(Cells(0.5), Uniform(), [])


def test_a_weighting_that_does_not_look_gives_an_occluder_its_share_of_the_area() -> None:
    cases = with_strangers(toys.people(4))
    assert occluder_weight(Cells(1.0), Uniform(), cases) == pytest.approx(1)

    @dataclass(frozen=True)
    class Brightness:
        name: str = "brightness"

        def maps(self, probes: Grids, _references: Grids) -> tuple[Maps, Maps]:
            light = probes.mean(axis=3).astype(np.float64) - 0.9
            return np.ones_like(light), light / light.sum(axis=(1, 2), keepdims=True)

    assert occluder_weight(Cells(1.0), Brightness(), cases, occluder="sunglasses") < 0.7


# --- likeness ---


def test_a_map_is_fully_like_itself_and_opposite_to_its_negative() -> None:
    values = np.random.default_rng(0).normal(size=(64, 64)).cumsum(axis=0)
    same, turned = likeness(values, values), likeness(values, -values)
    assert (same.signed, same.absolute, same.hog) == (1, 1, 1)
    assert same.ssim == pytest.approx(1)
    assert turned.signed == pytest.approx(-1)
    assert turned.absolute == pytest.approx(1)
    assert turned.hog == pytest.approx(1)  # the same edges
    assert turned.ssim < 0


def test_unrelated_maps_are_not_alike() -> None:
    one, other = (np.random.default_rng(seed).normal(size=(150, 150)) for seed in (0, 1))
    found = likeness(one, other)
    assert abs(found.signed) < 0.05
    assert abs(found.absolute) < 0.05
    assert abs(found.ssim) < 0.1
    assert abs(found.hog) < 0.3


def test_structural_similarity_follows_its_formula_on_one_window() -> None:
    one, other = (np.random.default_rng(seed).random((7, 7)) for seed in (0, 1))
    covariance = np.cov(one.ravel(), other.ravel(), bias=True)
    a, b, c1, c2 = one.mean(), other.mean(), 1e-4, 9e-4
    expected = (
        (2 * a * b + c1)
        * (2 * covariance[0, 1] + c2)
        / ((a * a + b * b + c1) * (covariance[0, 0] + covariance[1, 1] + c2))
    )
    assert ssim(one, other) == pytest.approx(expected)


def test_gradients_of_a_ramp_have_one_direction() -> None:
    across = np.broadcast_to(np.arange(32.0), (32, 32))
    for values, direction in ((across, 0), (across.T, 4)):  # 0° and 90° of nine bins over 180°
        found = hog(np.ascontiguousarray(values)).reshape(2, 2, 9)
        assert np.flatnonzero(found.sum(axis=(0, 1))).tolist() == [direction]
        assert found[..., direction].tolist() == [[1, 1], [1, 1]]
    assert not hog(np.ones((32, 32))).any()


# --- weights ---


def tiny_network() -> bytes:
    """Pixels → convolution → its output ``grid`` after a second one; the vector has weights of its own."""
    random = np.random.default_rng(0)
    weights = {"first": (16, 3, 4, 4), "bias": (16,), "second": (24, 16, 1, 1), "other": (5, 16, 1, 1), "scale": (1,)}
    arrays = [numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)
              for name, shape in weights.items()]  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=1),
        helper.make_node("Mul", ["real", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["image"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["image", "first", "bias"], ["one"], strides=[4, 4]),
        helper.make_node("Conv", ["one", "other"], ["aside"]),
        helper.make_node("ReduceMean", ["aside"], ["vector"], axes=[2, 3], keepdims=0),
        helper.make_node("Tanh", ["one"], ["bent"]),
        helper.make_node("Conv", ["bent", "second"], ["grid"]),
    ]
    inputs = [helper.make_tensor_value_info("pixels", 2, ["n", 28, 28, 3])]
    outputs = [helper.make_tensor_value_info(name, 1, None) for name in ("grid", "vector")]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, arrays)
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()
    return content


class Tiny:
    """An embedder of the tiny network."""

    card = CARD

    def __init__(self, content: bytes) -> None:
        self.model = f"tiny/{hash(content)}"
        self._session = open_session(content)

    def embed(self, crops: Crops) -> Templates:
        grids, vectors = self._session.run(["grid", "vector"], {"pixels": crops})
        return Templates(np.ascontiguousarray(grids.transpose(0, 2, 3, 1)), vectors, self.model)


def rebuild(alter: Callable[[bytes], bytes]) -> Matcher:
    return GridMatcher(Tiny(alter(tiny_network())), Uniform())


def arrays_of(content: bytes) -> dict[str, Floats]:
    import onnx

    return {each.name: numpy_helper.to_array(each) for each in onnx.load_model_from_string(content).graph.initializer}


def test_layers_are_listed_from_the_output_down_and_only_those_it_depends_on() -> None:
    assert weighted_layers(tiny_network(), "grid") == {"Conv grid": ["second"], "Conv one": ["first", "bias"]}
    assert list(weighted_layers(tiny_network(), "vector")) == ["Conv aside", "Conv one"]
    with pytest.raises(InvalidArgument, match="no weights below 'nothing'"):
        weighted_layers(tiny_network(), "nothing")


def test_shuffling_a_layer_moves_its_numbers_and_no_others() -> None:
    before, after = arrays_of(tiny_network()), arrays_of(shuffled(tiny_network(), ["Conv grid"], "grid", 0))
    assert sorted(before["second"].ravel()) == sorted(after["second"].ravel())
    assert (before["second"] != after["second"]).any()
    assert all((before[name] == after[name]).all() for name in ("first", "bias", "other", "scale"))


def test_the_cascade_takes_more_and_more_layers_and_one_at_a_time_takes_each_alone() -> None:
    names = [layers for layers, _ in randomised_matchers(rebuild, "grid", (1, 2, 0))]
    assert names == [("Conv grid",), ("Conv grid", "Conv one")]
    alone = [layers for layers, _ in randomised_matchers(rebuild, "grid", (1, 2), separately=True)]
    assert alone == [("Conv grid",), ("Conv one",)]


@dataclass(frozen=True)
class Brightness:
    """Maps that know only the photo."""

    matcher: Matcher
    name: str = "brightness"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        return Explanation(self.name, toys.shades(probe.crop), toys.shades(reference.crop), 0.0, Cost(0))


def own_maps(matcher: Matcher) -> Explain:
    return build_explainer("own", matcher).explain


def brightness(matcher: Matcher) -> Explain:
    return Brightness(matcher).explain


def test_maps_of_the_network_lose_their_likeness_and_maps_of_the_photo_keep_it() -> None:
    pairs = toys.people(6)
    own = cascade(rebuild, own_maps, pairs)
    photo = cascade(rebuild, brightness, pairs)
    assert own[-1].likeness.signed < 0.5
    assert all(step.likeness.signed == 1 for step in photo)
    with pytest.raises(InvalidArgument, match="at least one pair"):
        cascade(rebuild, brightness, [])


def test_the_bench_without_weights_tells_maps_of_the_network_from_maps_of_the_photo(tmp_path: Path) -> None:
    pairs = toys.people(4)
    explainers = [
        build_explainer("own", rebuild(lambda content: content)),
        Brightness(rebuild(lambda content: content)),
    ]
    found = run_randomised(rebuild, explainers, pairs, tmp_path)
    lines = [line for line in randomised_markdown(found).splitlines() if line.startswith(("| own", "| bright"))]
    assert [len(line.split("|")) - 3 for line in lines] == [len(found.layers)] * 2
    assert lines[1].count(" 1.00 ") == len(found.layers)
    assert found.steps["own"][-1].likeness.signed < 0.5
    own, photo = (found.to_dict()["steps"][name] for name in ("own", "brightness"))  # type: ignore[index]
    assert [step["layers"] for step in own] == found.layers
    assert {step["ssim"] for step in photo} == {1.0}
    again = run_randomised(rebuild, explainers, pairs, tmp_path)
    assert again.to_dict() == found.to_dict()


@pytest.mark.slow
def test_the_shipped_models_own_maps_lose_their_likeness_with_its_weights(
    aligned: Callable[[str], AlignedFace],
) -> None:
    pairs = [FacePair(f"{at}", aligned(f"{at}_front"), aligned(f"{at}_smile"), (str(at), str(at))) for at in range(4)]

    def shipped(alter: Callable[[bytes], bytes]) -> Matcher:
        return GridMatcher(DlibResNet(grid="trusted", alter=alter), TrustWeighted())

    steps = cascade(shipped, own_maps, pairs, counts=(1, 0))
    assert steps[-1].likeness.signed < 0.5
    assert len(steps[-1].layers) > 25


def test_an_altered_network_says_so_in_its_templates() -> None:
    plain = DlibResNet(grid="trusted").model
    assert DlibResNet(grid="trusted", alter=lambda content: content).model == plain
    altered = DlibResNet(grid="trusted", alter=lambda content: shuffled(content, [next(iter(
        weighted_layers(content, "grid")))], "grid", 0))  # fmt: skip
    assert altered.model.startswith(f"{plain}/altered-")
    assert altered.embed(np.zeros((1, 150, 150, 3), np.uint8)).model == altered.model
