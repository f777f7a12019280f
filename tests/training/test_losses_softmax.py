"""Softmax, CosFace, ArcFace and AdaFace against their formulas, written here once more in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from xcos.errors import InvalidArgument
from xcos.training.losses import AdaFace, ArcFace, ClassificationLoss, CosFace, Softmax

Array = NDArray[np.float64]
N, CLASSES = 40, 9

LOSSES: dict[str, Callable[[], ClassificationLoss]] = {
    "softmax": lambda: Softmax(scale=12.0),
    "cosface": CosFace,
    "arcface": ArcFace,
    "adaface": AdaFace,
}
EVERY = pytest.mark.parametrize("name", LOSSES)


def example(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines (N, CLASSES) in double precision whose targets run from −0.999 to 0.999, labels, lengths of 5 to 45."""
    random = np.random.default_rng(seed)
    cosines = random.uniform(-0.95, 0.95, (N, CLASSES))
    labels = random.integers(0, CLASSES, N)
    cosines[np.arange(N), labels] = np.cos(np.linspace(0.05, np.pi - 0.05, N))
    return torch.from_numpy(cosines), torch.from_numpy(labels), torch.from_numpy(random.uniform(5, 45, N))


def closed_form(cosines: Tensor, labels: Tensor, scale: float, with_margin: Callable[[Array], Array]) -> float:
    """Mean cross-entropy after the target's angle θ (n,) was replaced by a logit."""
    logits = scale * cosines.numpy()
    rows, columns = np.arange(len(logits)), labels.numpy()
    logits[rows, columns] = scale * with_margin(np.arccos(cosines.numpy()[rows, columns]))
    return float(-log_softmax(logits, axis=1)[rows, columns].mean())


def arcface_margin(angle: Array, margin: float = 0.5) -> Array:
    fallback = np.cos(angle) - margin * np.sin(margin)
    return np.where(angle + margin < np.pi, np.cos(angle + margin), fallback)


def adaface_margin(angle: Array, quality: Array, margin: float = 0.4) -> Array:
    """Equation of the paper; angles are kept between 0.001 and π − 0.001 as in the authors' code."""
    turned = np.clip(angle - margin * quality, 1e-3, np.pi - 1e-3)
    return np.cos(turned) - (margin * quality + margin)


def test_softmax_is_the_cross_entropy_of_scaled_cosines() -> None:
    cosines, labels, lengths = example()
    expected = closed_form(cosines, labels, 12.0, np.cos)
    assert float(Softmax(scale=12.0)(cosines, labels, lengths)) == pytest.approx(expected, rel=1e-9)


def test_cosface_takes_the_margin_from_the_own_classes_cosine() -> None:
    cosines, labels, lengths = example()
    expected = closed_form(cosines, labels, 30.0, lambda angle: np.cos(angle) - 0.35)
    assert float(CosFace()(cosines, labels, lengths)) == pytest.approx(expected, rel=1e-9)


def test_arcface_adds_the_margin_to_the_own_classes_angle() -> None:
    cosines, labels, lengths = example()
    expected = closed_form(cosines, labels, 64.0, arcface_margin)
    assert float(ArcFace()(cosines, labels, lengths)) == pytest.approx(expected, rel=1e-9)
    reaching = closed_form(cosines, labels, 64.0, lambda angle: np.cos(angle + 0.5))
    assert abs(float(ArcFace()(cosines, labels, lengths)) - reaching) > 0.1  # the fallback was met


def test_cosface_of_two_orthogonal_classes_equals_the_closed_form() -> None:
    loss = CosFace(scale=10.0, margin=0.2)(torch.eye(2), torch.tensor([0, 1]), torch.ones(2))
    assert float(loss) == pytest.approx(np.log1p(np.exp(-10 * 0.8)), rel=1e-5)


def test_a_loss_of_almost_nothing_keeps_its_digits_in_single_precision() -> None:
    # log(e^9 + e^-9) − 9, as it stands, has none left of 1.5e-8.
    cosines = torch.tensor([[0.9, -0.9]], requires_grad=True)
    loss = Softmax(scale=10.0)(cosines, torch.tensor([0]), torch.ones(1))
    loss.backward()
    assert loss.item() == pytest.approx(np.log1p(np.exp(-18.0)), rel=1e-5)
    assert cosines.grad is not None
    assert cosines.grad[0].tolist() == pytest.approx([-10 / (1 + np.exp(18.0)), 10 / (1 + np.exp(18.0))], rel=1e-5)


def test_the_best_possible_softmax_is_the_bound_of_normface() -> None:
    # Proposition 2: K centers of a simplex have cosine −1/(K−1), and every vector lies on its own.
    cosines = torch.full((5, 5), -1 / 4, dtype=torch.float64).fill_diagonal_(1)
    bound = np.log1p(4 * np.exp(-5 / 4 * 8.0))
    assert float(Softmax(scale=8.0)(cosines, torch.arange(5), torch.ones(5))) == pytest.approx(bound, rel=1e-9)


def test_arcface_falls_as_the_own_center_comes_nearer_even_beyond_pi() -> None:
    cosines = torch.zeros(400, 3, dtype=torch.float64)
    cosines[:, 1] = torch.linspace(-1, 1, 400, dtype=torch.float64)
    labels, length = torch.ones(1, dtype=torch.int64), torch.ones(1)
    losses = [float(ArcFace(scale=8.0)(row[None], labels, length)) for row in cosines]
    assert (np.diff(losses) < 0).all()


@pytest.mark.parametrize(("quality", "rival"), [(-1.0, ArcFace(64.0, 0.4)), (0.0, CosFace(64.0, 0.4))])
def test_adaface_gives_short_vectors_arcfaces_margin_and_middling_ones_cosfaces(
    quality: float, rival: ClassificationLoss
) -> None:
    cosines, labels, _ = example()
    cosines = 0.8 * cosines  # where θ + m stays below π
    adaface = AdaFace().eval()
    adaface.deviation.fill_(2.0)
    lengths = torch.full((N,), 20 + quality * 10, dtype=torch.float64)  # five deviations below the mean, or on it
    assert float(adaface(cosines, labels, lengths)) == pytest.approx(float(rival(cosines, labels, lengths)), rel=1e-9)


def test_adaface_follows_the_lengths_and_turns_them_into_margins() -> None:
    loss = AdaFace(t_alpha=0.3).double()
    mean, deviation = 20.0, 100.0
    for seed in range(3):
        cosines, labels, lengths = example(seed)
        z = lengths.numpy()
        mean = 0.3 * z.mean() + 0.7 * mean
        deviation = 0.3 * z.std(ddof=1) + 0.7 * deviation
        quality = np.clip(0.333 * (z - mean) / (deviation + 1e-3), -1, 1)
        expected = closed_form(cosines, labels, 64.0, partial(adaface_margin, quality=quality))
        assert float(loss(cosines, labels, lengths)) == pytest.approx(expected, rel=1e-9)
    assert float(loss.mean) == pytest.approx(mean)
    assert float(loss.deviation) == pytest.approx(deviation)


def test_adaface_in_evaluation_mode_learns_nothing_of_the_lengths() -> None:
    loss = AdaFace().eval()
    loss(*example())
    assert (float(loss.mean), float(loss.deviation)) == (20.0, 100.0)


def test_adaface_clips_extreme_lengths() -> None:
    cosines, labels, _ = example()
    wild, tame = torch.full((N,), 1e9), torch.full((N,), 100.0)
    wild[0], tame[0] = 0.0, 0.001
    one, other = AdaFace(), AdaFace()
    assert torch.equal(one(cosines, labels, wild), other(cosines, labels, tame))
    assert torch.equal(one.mean, other.mean)


def test_adaface_of_a_single_vector_keeps_the_deviation_it_knew() -> None:
    cosines, labels, lengths = example()
    loss = AdaFace()
    assert bool(loss(cosines[:1], labels[:1], lengths[:1]).isfinite())
    assert float(loss.deviation) == 100.0
    assert float(loss.mean) == pytest.approx(0.01 * float(lengths[0]) + 0.99 * 20)


def test_adaface_gives_the_length_no_gradient() -> None:
    cosines, labels, lengths = example()
    lengths.requires_grad_()
    AdaFace()(cosines.requires_grad_(), labels, lengths).backward()
    assert lengths.grad is None


@EVERY
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    cosines, labels, lengths = example()
    loss = LOSSES[name]().double().eval()
    cosines = (0.99 * cosines[::4]).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels[::4], lengths[::4]), (cosines,))


@EVERY
@pytest.mark.parametrize("value", [1.0, -1.0, 1.0 + 2e-7, -1.0 - 2e-7])
def test_loss_and_gradient_stay_finite_where_a_vector_meets_a_center(name: str, value: float) -> None:
    cosines = torch.full((3, 4), value)
    cosines[1] = -value
    cosines[2, ::2] = -value
    cosines.requires_grad_()
    loss = LOSSES[name]()(cosines, torch.tensor([0, 1, 2]), torch.tensor([0.0, 30.0, 1e9]))
    loss.backward()
    assert bool(loss.isfinite())
    assert cosines.grad is not None
    assert bool(cosines.grad.isfinite().all())
    assert float(cosines.grad.abs().max()) <= 64


@EVERY
def test_half_precision_cosines_give_the_loss_of_the_same_numbers_in_single(name: str) -> None:
    cosines, labels, lengths = example()
    coarse, lengths = cosines.bfloat16(), lengths.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LOSSES[name]()(coarse, labels, lengths)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, LOSSES[name]()(coarse.float(), labels, lengths))


@EVERY
def test_a_second_call_finds_its_arguments_as_they_were(name: str) -> None:
    arguments = example()
    kept = [each.clone() for each in arguments]
    loss = LOSSES[name]().eval()
    first, second = loss(*arguments), loss(*arguments)
    assert torch.equal(first, second)
    assert all(torch.equal(each, before) for each, before in zip(arguments, kept, strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Softmax(0.0),
        lambda: CosFace(scale=-1.0),
        lambda: CosFace(margin=-0.1),
        lambda: ArcFace(margin=1.6),
        lambda: ArcFace(scale=float("inf")),
        lambda: AdaFace(margin=float("nan")),
        lambda: AdaFace(concentration=0.0),
        lambda: AdaFace(t_alpha=0.0),
        lambda: AdaFace(t_alpha=1.1),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], ClassificationLoss]) -> None:
    with pytest.raises(InvalidArgument, match="must be positive"):
        make()
