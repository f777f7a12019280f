"""Excitation backprop against numbers worked out by hand and against a straightforward implementation on dense
layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from gradients.toys import HEIGHT, INPUTS, WIDTH, Dense, matcher_of, random_pair, random_weights, values_of
from torch import Tensor, nn
from torch.nn import functional

from xcos.errors import InvalidArgument, InvalidModel
from xcos.gradients.ebp import ContrastiveEbp, Ebp, beyond
from xcos.gradients.excitation import excited_run, flow, ordinary_run
from xcos.gradients.maps import shares
from xcos.gradients.matcher import DifferentiableMatcher, shipped_matcher
from xcos.gradients.subtree_ebp import SubtreeEbp
from xcos.types import AlignedFace, Reals

torch.set_num_threads(1)


class Steps(nn.Module):
    """Any function of the pixels."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, pixels: Tensor) -> Tensor:
        return self.function(pixels)


def led_back(function: Callable[[Tensor], Tensor], x: Reals, probability: Reals) -> Reals:
    """p at the input of a function, of p at its output."""
    pixels = torch.from_numpy(x).requires_grad_()
    run = excited_run(matcher_of(Steps(function)), pixels)
    return flow(torch.from_numpy(probability), run.template, run.first).numpy()


def dense_ebp(weights: list[Reals], x: Reals, p: Reals) -> Reals:
    """The rule written down once more: layer by layer, numbers only."""
    inputs = [x]
    for weight in weights[:-1]:
        inputs.append(np.maximum(weight @ inputs[-1], 0))
    for weight, a in zip(reversed(weights), reversed(inputs), strict=True):
        positive, a = np.maximum(weight, 0), np.maximum(a, 0)
        total = positive @ a
        p = a * (positive.T @ np.divide(p, total, out=np.zeros_like(p), where=total > 0))
    return p


def dense_template(weights: list[Reals], x: Reals) -> Reals:
    for weight in weights[:-1]:
        x = np.maximum(weight @ x, 0)
    return weights[-1] @ x


def test_two_layers_worked_out_by_hand() -> None:
    """x = (1, 2); W1 = ((1, 1), (1, −1), (−2, 2)) → A = (3, 0, 2); W2 = (2, 5, 3).

    The output's 1 goes to A₁ : A₃ as 2·3 : 3·2 = ½ : ½. A₁'s half goes to x as 1 : 2, A₃'s all to x₂, the only one that
    excites it: p = (1/6, 1/3 + 1/2).
    """
    first, second = torch.tensor([[1.0, 1], [1, -1], [-2, 2]]).double(), torch.tensor([[2.0, 5, 3]]).double()
    p = led_back(
        lambda x: functional.linear(torch.relu(functional.linear(x, first)), second),
        np.array([[1.0, 2.0]]),
        np.array([[1.0]]),
    )
    np.testing.assert_allclose(p, [[1 / 6, 5 / 6]], atol=1e-12)


def test_a_sum_of_two_branches_divides_by_their_sizes() -> None:
    """3x and x: three quarters and a quarter, both of the same pixel; −x excites nothing."""
    x = np.array([[2.0, 4.0]])
    weight = torch.tensor([[3.0, 0], [0, 1]]).double()
    p = led_back(lambda t: functional.linear(t, weight)[:, :1] + t[:, 1:], x, np.array([[1.0]]))
    np.testing.assert_allclose(p, [[6 / 10, 4 / 10]])
    p = led_back(lambda t: t[:, :1] - t[:, 1:], x, np.array([[1.0]]))
    np.testing.assert_allclose(p, [[1, 0]])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda t: t + 5.0, [0.25, 0.75]),  # a bias takes nothing
        (lambda t: 5.0 + t, [0.25, 0.75]),
        (lambda t: t - 0.5, [0.25, 0.75]),
        (lambda t: t * torch.tensor([[2.0, -1.0]]).double(), [0.25, 0]),
        (lambda t: 3 * t / 2, [0.25, 0.75]),
        (lambda t: functional.prelu(t, torch.tensor([0.25]).double()), [0.25, 0.75]),
        (lambda t: functional.leaky_relu(t), [0.25, 0.75]),
        (lambda t: t * torch.sigmoid(t), [0.25, 0.75]),  # a gate is held
        (lambda t: functional.dropout(t, 0.5, training=False), [0.25, 0.75]),
        (lambda t: torch.cat([t[:, 1:], t[:, :1]], dim=1), [0.75, 0.25]),
        (
            lambda t: functional.batch_norm(
                t, torch.ones(2).double(), torch.ones(2).double(), torch.tensor([1.0, -1]).double()
            ),
            [0.25, 0],
        ),
    ],
    ids=range(11),
)
def test_each_rule_by_hand(function: Callable[[Tensor], Tensor], expected: list[float]) -> None:
    p = led_back(function, np.array([[1.0, 3.0]]), np.array([[0.25, 0.75]]))
    np.testing.assert_allclose(p, [expected], atol=1e-12)


def test_a_mean_goes_to_its_places_by_their_size_and_a_maximum_to_the_largest() -> None:
    x = np.array([[[[1.0, 3.0], [4.0, 0.0]]]])
    one = np.ones((1, 1, 1, 1))
    np.testing.assert_allclose(led_back(lambda t: functional.avg_pool2d(t, 2), x, one), x / 8)
    np.testing.assert_allclose(led_back(lambda t: t.mean(dim=(2, 3)), x, one[:, :, 0, 0]), x / 8)
    np.testing.assert_allclose(led_back(lambda t: functional.max_pool2d(t, 2), x, one), x == 4)


@pytest.mark.parametrize("seed", range(5))
def test_dense_networks_of_three_layers_agree_with_the_rule_written_down_once_more(seed: int) -> None:
    weights = random_weights(seed, INPUTS, 7, 6, 5)
    probe, reference = random_pair(seed)
    x, y = values_of(probe), values_of(reference)
    start = np.maximum(dense_template(weights, x), 0) * np.maximum(dense_template(weights, y), 0)
    expected = dense_ebp(weights, x, start / start.sum() if start.sum() > 0 else start)
    found = Ebp(matcher_of(Dense(*weights)), sigma=0).explain(probe, reference)
    np.testing.assert_allclose(found.probe, shares(expected.reshape(3, HEIGHT, WIDTH).sum(axis=0)), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_convolution_is_the_dense_layer_of_its_matrix(seed: int) -> None:
    torch.manual_seed(seed)
    layer = nn.Conv2d(3, 2, 3, stride=2, padding=1, dilation=1, dtype=torch.float64)
    probe, _ = random_pair(seed)
    x = values_of(probe)
    basis = torch.eye(INPUTS, dtype=torch.float64).reshape(INPUTS, 3, HEIGHT, WIDTH)
    with torch.no_grad():
        matrix = functional.conv2d(basis, layer.weight, None, 2, 1).flatten(1).T.numpy()
    p = np.random.default_rng(seed).random(len(matrix))
    shape = layer(basis[:1]).shape
    found = led_back(layer, x.reshape(1, 3, HEIGHT, WIDTH), p.reshape(shape))
    np.testing.assert_allclose(found.ravel(), dense_ebp([matrix], x, p), atol=1e-12)


def test_with_positive_weights_and_pixels_no_probability_is_lost() -> None:
    weights = [np.abs(weight) for weight in random_weights(0, INPUTS, 8, 5)]
    probe, reference = random_pair(1)
    matcher = matcher_of(Dense(*weights))
    run = excited_run(matcher, matcher.pixels(probe))
    p = np.random.default_rng(0).random((1, 5))
    assert flow(torch.from_numpy(p), run.template, run.first).sum().item() == pytest.approx(p.sum())
    assert Ebp(matcher, sigma=0).explain(probe, reference).probe.sum() == pytest.approx(1)


def test_exchanging_hidden_units_or_scaling_a_layer_changes_no_map() -> None:
    first, second = random_weights(2, INPUTS, 8, 5)
    order = np.random.default_rng(0).permutation(8)
    pair = random_pair(2)
    plain = Ebp(matcher_of(Dense(first, second))).explain(*pair)
    for changed in ((first[order], second[:, order]), (4 * first, second / 3)):
        np.testing.assert_allclose(Ebp(matcher_of(Dense(*changed))).explain(*pair).probe, plain.probe, atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        torch.tanh,
        torch.exp,
        lambda t: torch.softmax(t, dim=1),
        lambda t: t * torch.relu(t),
        lambda t: 1 / t,
        lambda t: t / torch.linalg.vector_norm(t),
        lambda t: t @ torch.eye(2).double(),
    ],
)
def test_a_function_without_a_rule_is_refused_and_never_taken_for_an_ordinary_gradient(
    function: Callable[[Tensor], Tensor],
) -> None:
    with pytest.raises(InvalidModel, match="no rule"):
        led_back(function, np.array([[1.0, 3.0]]), np.array([[0.5, 0.5]]))


@pytest.mark.parametrize("score", ["grid", "vector"])
def test_the_shipped_model_gives_the_same_template_when_it_is_excited(
    score: str, aligned: Callable[[str], AlignedFace]
) -> None:
    matcher = shipped_matcher(score)  # type: ignore[arg-type]
    pixels = matcher.pixels(aligned("0_front"))
    plain, excited = ordinary_run(matcher, pixels), excited_run(matcher, pixels)
    assert torch.equal(plain.template, excited.template)
    assert torch.equal(plain.template, matcher.encode(pixels))
    assert len(plain.activations) == len(excited.activations) > 25
    assert all(torch.equal(*both) for both in zip(plain.activations, excited.activations, strict=True))
    # not all arrives: units that no positive weight excites pass nothing on
    p = torch.relu(excited.template.detach())
    arrived = flow(p / p.sum(), excited.template, excited.first)
    assert arrived.min() >= 0
    assert 0.5 < arrived.sum().item() <= 1 + 1e-4


def contrast_by_hand(weights: list[Reals], x: Reals, mate: Reals, rival: Reals, truncate: float) -> Reals:
    maps = []
    for partner in (mate, rival):
        start = np.maximum(dense_template(weights, x), 0) * np.maximum(partner, 0)
        p = dense_ebp(weights, x, start / start.sum() if start.sum() > 0 else start)
        each = p.reshape(3, HEIGHT, WIDTH).sum(axis=0)
        maps.append(each / each.sum() if each.sum() > 0 else each)
    order = np.argsort(maps[0].ravel(), kind="stable")
    kept = np.zeros(maps[0].size)
    kept[order] = np.cumsum(maps[0].ravel()[order]) > truncate * maps[0].sum()
    difference = np.maximum(maps[0] - maps[1], 0) * (kept.reshape(maps[0].shape) if truncate else 1)
    difference[difference <= 1e-5 * maps[0].max()] = 0
    scaled: Reals = difference / difference.sum()
    return scaled


@pytest.mark.parametrize("truncate", [0.0, 0.2, 0.6])
@pytest.mark.parametrize("dual", [True, False])
def test_contrastive_and_truncated_are_their_definition(truncate: float, dual: bool) -> None:
    weights = random_weights(3, INPUTS, 9, 8)
    probe, reference = random_pair(3)
    x, mate = values_of(probe), dense_template(weights, values_of(reference))
    non_mate = None if dual else np.random.default_rng(1).normal(size=8)
    expected = contrast_by_hand(weights, x, mate, -mate if non_mate is None else non_mate, truncate)
    explainer = ContrastiveEbp(matcher_of(Dense(*weights)), non_mate=non_mate, truncate=truncate, sigma=0)
    explanation = explainer.explain(probe, reference)
    np.testing.assert_allclose(explanation.probe, expected, atol=1e-12)
    assert explanation.method == ("truncated-ebp" if truncate else "contrastive-ebp")


def test_against_itself_nothing_wins() -> None:
    weights = random_weights(4, INPUTS, 9, 8)
    probe, reference = random_pair(4)
    mate = dense_template(weights, values_of(reference))
    found = ContrastiveEbp(matcher_of(Dense(*weights)), non_mate=3 * mate, sigma=0).explain(probe, reference)
    np.testing.assert_array_equal(found.probe, 0)


def test_the_smallest_that_together_hold_a_share_are_left_out() -> None:
    values = torch.tensor([[0.4, 0.1], [0.05, 0.45]])
    np.testing.assert_array_equal(beyond(values, 0.0), [[1, 1], [1, 1]])
    np.testing.assert_array_equal(beyond(values, 0.1), [[1, 1], [0, 1]])
    np.testing.assert_array_equal(beyond(values, 0.2), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(beyond(values, 0.6), [[0, 0], [0, 1]])


def telling_by_hand(weights: list[Reals], x: Reals, mate: Reals, rival: Reals | None) -> list[tuple[float, Reals]]:
    """Value of the unit that tells most in each hidden layer, and the map of EBP from it."""
    hidden = [x]
    for weight in weights[:-1]:
        hidden.append(np.maximum(weight @ hidden[-1], 0))
    v = weights[-1] @ hidden[-1]

    def at_template(partner: Reals) -> Reals:
        a, b = v / np.linalg.norm(v), partner / np.linalg.norm(partner)
        gradient: Reals = (b - (a @ b) * a) / np.linalg.norm(v)
        return gradient

    found = []
    for depth in range(1, len(hidden)):
        mate_gradient, rival_gradient = at_template(mate), at_template(-mate if rival is None else rival)
        for layer in range(len(weights) - 1, depth - 1, -1):
            active = (hidden[layer + 1] > 0) if layer + 1 < len(hidden) else 1
            mate_gradient = weights[layer].T @ (mate_gradient * active)
            rival_gradient = weights[layer].T @ (rival_gradient * active)
        values = (hidden[depth] > 0) * (mate_gradient >= 0) * -rival_gradient
        place = int(values.argmax())
        p = np.zeros(len(values))
        p[place] = 1
        found.append((float(values[place]), dense_ebp(weights[:depth], x, p).reshape(3, HEIGHT, WIDTH).sum(axis=0)))
    return found


@pytest.mark.parametrize("dual", [True, False])
@pytest.mark.parametrize("seed", [1, 2, 4])
def test_the_subtree_of_a_dense_network_is_its_definition(seed: int, dual: bool) -> None:
    weights = random_weights(seed, INPUTS, 9, 8, 7, 6)
    probe, reference = random_pair(seed)
    x, mate = values_of(probe), dense_template(weights, values_of(reference))
    rival = None if dual else np.random.default_rng(9).normal(size=6)
    layers = sorted(telling_by_hand(weights, x, mate, rival), key=lambda each: -each[0])
    layers = [each for each in layers if each[0] > 0]
    assert len(layers) >= 2
    matcher = matcher_of(Dense(*weights))
    values = [value for value, _ in layers]
    whole = sum((v - values[-1]) / (values[0] - values[-1]) * p / p.max() for v, p in layers)
    found = SubtreeEbp(matcher, non_mate=rival, sigma=0).explain(probe, reference)
    np.testing.assert_allclose(found.probe, shares(np.asarray(whole)), atol=1e-10)
    best = SubtreeEbp(matcher, non_mate=rival, layers=1, sigma=0).explain(probe, reference)
    np.testing.assert_allclose(best.probe, shares(layers[0][1]), atol=1e-10)
    # the reference's layers are counted by themselves
    own = telling_by_hand(weights, values_of(reference), dense_template(weights, x), rival)
    kept = len(layers) + sum(value > 0 for value, _ in own)
    assert found.cost.backward == kept + (2 if dual else 4)
    assert best.cost.backward == 2 + (2 if dual else 4)


def test_where_no_unit_tells_the_two_apart_the_map_is_empty() -> None:
    """A rival that is the mate: what raises one score raises the other."""
    weights = random_weights(1, INPUTS, 9, 8)
    probe, reference = random_pair(1)
    mate = dense_template(weights, values_of(reference))
    found = SubtreeEbp(matcher_of(Dense(*weights)), non_mate=mate, sigma=0).explain(probe, reference)
    assert found.probe.sum() == 0


def test_a_first_layer_reads_the_probabilities_there() -> None:
    """With a first layer named, the map is what reaches it, and layers before it tell nothing."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(60, 4)).double()
    probe, reference = random_pair(5)
    at_input = matcher_of(network)
    at_first = DifferentiableMatcher("toy", network, at_input.card, at_input.scoring, map_layer="1", first_layer="1")
    run = excited_run(at_first, at_first.pixels(probe))
    assert len(run.activations) == 1
    assert run.first.shape == (1, 2, HEIGHT, WIDTH)
    assert len(excited_run(at_input, at_input.pixels(probe)).activations) == 2
    p = torch.relu(run.template.detach()) * torch.relu(at_first.encode(at_first.pixels(reference)).detach())
    wanted = flow(p / p.sum(), run.template, run.first)[0].sum(dim=0).numpy()
    found = Ebp(at_first, sigma=0).explain(probe, reference)
    np.testing.assert_allclose(found.probe, shares(wanted), atol=1e-12)


def test_wrong_options_are_refused() -> None:
    matcher = matcher_of(Dense(*random_weights(0, INPUTS, 4, 3)))
    with pytest.raises(InvalidArgument, match="truncate"):
        ContrastiveEbp(matcher, truncate=1.0)
    with pytest.raises(InvalidArgument, match="layers"):
        SubtreeEbp(matcher, layers=0)
    with pytest.raises(InvalidArgument, match="sigma"):
        Ebp(matcher, sigma=float("nan"))
    with pytest.raises(InvalidArgument, match="3 finite numbers"):
        ContrastiveEbp(matcher, non_mate=np.ones(4)).explain(*random_pair())
