from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import expit
from torch import Tensor

from xcos.errors import InvalidArgument
from xcos.training.losses import SphereFace2

N, CLASSES = 12, 7


def example() -> tuple[Tensor, Tensor, Tensor]:
    random = np.random.default_rng(0)
    cosines = torch.from_numpy(random.uniform(-0.99, 0.99, (N, CLASSES)))
    return cosines, torch.from_numpy(random.integers(0, CLASSES, N)), torch.ones(N)


def closed_form(
    cosines: Tensor, labels: Tensor, r: float, m: float, balance: float, t: float, weight: float, bias: float
) -> float:
    """The sum of the paper, term by term."""
    total = 0.0
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        for column, cosine in enumerate(row):
            g = 2 * ((cosine + 1) / 2) ** t - 1
            if column == label:
                total += balance / r * np.logaddexp(0, -r * (g - m) - bias)
            else:
                total += (1 - balance) / r * np.logaddexp(0, r * (g + m) + bias)
    return weight * total / len(cosines)


@pytest.mark.parametrize(
    "settings", [(40.0, 0.4, 0.7, 3.0, 50.0), (20.0, 0.1, 0.5, 1.0, 1.0), (5.0, 0.0, 0.9, 2.5, 1.0)]
)
def test_the_loss_is_the_sum_of_the_papers_binary_losses(settings: tuple[float, ...]) -> None:
    r, m, balance, t, weight = settings
    loss = SphereFace2(CLASSES, r, m, balance=balance, t=t, weight=weight).double()
    cosines, labels, lengths = example()
    for bias in (loss.bias.item(), -3.0, 40.0):
        loss.bias.data.fill_(bias)
        expected = closed_form(cosines, labels, r, m, balance, t, weight, bias)
        assert loss(cosines, labels, lengths).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("classes", [2, 3, 4, 10, 85_742, 10**7])
def test_the_first_bias_balances_positives_and_negatives_of_orthogonal_vectors(classes: int) -> None:
    g = 2 * 0.5**3 - 1

    def slope(bias: float) -> float:
        """Derivative by b of one vector's loss, all cosines 0."""
        return 0.3 * (classes - 1) * float(expit(40 * (g + 0.4) + bias)) - 0.7 * float(expit(-40 * (g - 0.4) - bias))

    assert SphereFace2(classes).bias.item() == pytest.approx(brentq(slope, -100, 200, xtol=1e-12), abs=1e-4)


def test_gradients_are_those_of_finite_differences() -> None:
    loss = SphereFace2(CLASSES, scale=6.0).double()
    cosines, labels, lengths = example()

    def with_bias(x: Tensor, bias: Tensor) -> Tensor:
        value: Tensor = torch.func.functional_call(loss, {"bias": bias}, (x, labels, lengths))
        return value

    assert torch.autograd.gradcheck(with_bias, (cosines.requires_grad_(), loss.bias.detach().requires_grad_()))


@pytest.mark.parametrize("t", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("value", [1.0, -1.0, 1.0 + 2e-7, -1.0 - 2e-7])
def test_loss_and_gradients_stay_finite_where_a_vector_meets_a_center(value: float, t: float) -> None:
    cosines = torch.full((2, 4), value)
    cosines[1] = -value
    cosines.requires_grad_()
    loss = SphereFace2(4, t=t)
    mean = loss(cosines, torch.tensor([0, 1]), torch.ones(2))
    mean.backward()
    assert bool(mean.isfinite())
    for leaf in (cosines, loss.bias):
        assert leaf.grad is not None
        assert bool(leaf.grad.isfinite().all())


def test_a_vectors_own_class_is_no_negative() -> None:
    loss = SphereFace2(2)
    loss.bias.data.zero_()
    right = torch.tensor([[1.0, -1.0]])
    assert loss(right, torch.tensor([0]), torch.ones(1)).item() < 1e-6
    assert loss(right, torch.tensor([1]), torch.ones(1)).item() > 50


def test_half_precision_cosines_give_the_loss_of_the_same_numbers_in_single() -> None:
    cosines, labels, lengths = example()
    loss = SphereFace2(CLASSES)
    coarse = cosines.bfloat16()
    assert torch.equal(loss(coarse, labels, lengths), loss(coarse.float(), labels, lengths))


def test_a_second_call_finds_its_arguments_as_they_were() -> None:
    arguments = example()
    kept = [each.clone() for each in arguments]
    loss = SphereFace2(CLASSES)
    assert torch.equal(loss(*arguments), loss(*arguments))
    assert all(torch.equal(each, before) for each, before in zip(arguments, kept, strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        {"classes": 1},
        {"scale": 0.0},
        {"margin": -1.0},
        {"balance": 0.0},
        {"balance": 1.0},
        {"t": 0.5},
        {"weight": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match="must be"):
        SphereFace2(**{"classes": 5} | settings)  # type: ignore[arg-type]
