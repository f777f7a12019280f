from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from xcos.errors import InvalidArgument
from xcos.training.losses import TripletSemiHard


def brute_force(vectors: Tensor, labels: Tensor, margin: float) -> float:
    """Every anchor, every mate, every non-mate, one at a time."""
    units = [row / np.sqrt((row**2).sum()) for row in vectors.double().numpy()]
    people = labels.tolist()
    losses = []
    for a, anchor in enumerate(units):
        for p, positive in enumerate(units):
            if p == a or people[p] != people[a]:
                continue
            to_mate = ((anchor - positive) ** 2).sum()
            to_others = [((anchor - units[n]) ** 2).sum() for n in range(len(units)) if people[n] != people[a]]
            farther = [distance for distance in to_others if distance > to_mate]
            losses.append(max(0.0, to_mate - (min(farther) if farther else max(to_others)) + margin))
    return float(np.mean(losses))


def random_batch(seed: int, n: int = 24, people: int = 6, size: int = 3) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.normal(size=(n, size))), torch.from_numpy(random.integers(0, people, n))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_the_loss_is_that_of_searching_all_triplets(seed: int, margin: float) -> None:
    vectors, labels = random_batch(seed)
    loss = TripletSemiHard(margin)(vectors, labels)
    assert float(loss) == pytest.approx(brute_force(vectors, labels, margin), rel=1e-9)


def on_circle(*degrees: float) -> Tensor:
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def squared(degrees: float) -> float:
    """Squared distance of two unit vectors with this angle between them."""
    return 2 - 2 * float(np.cos(np.deg2rad(degrees)))


def test_the_nearest_of_the_farther_non_mates_is_taken() -> None:
    # From 0° and from 60°, the mate is at 60°. Non-mates: 20° and 40° are nearer, 180° is the nearest farther one.
    vectors, labels = on_circle(0, 60, 20, 40, 180), torch.tensor([0, 0, 1, 2, 3])
    expected = np.mean([squared(60) - squared(180) + 3.5, squared(60) - squared(120) + 3.5])
    assert float(TripletSemiHard(3.5)(vectors, labels)) == pytest.approx(expected)


def test_a_non_mate_exactly_as_far_as_the_mate_is_not_farther() -> None:
    vectors = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])  # each has a neighbor of either kind at distance 2
    assert float(TripletSemiHard(3.0)(vectors, torch.tensor([0, 0, 1, 2]))) == 2 - 4 + 3


def test_where_every_non_mate_is_nearer_the_farthest_of_them_is_taken() -> None:
    vectors, labels = on_circle(0, 120, 40, 60), torch.tensor([0, 0, 1, 2])
    expected = np.mean([squared(120) - squared(60) + 0.2, squared(120) - squared(80) + 0.2])
    assert float(TripletSemiHard()(vectors, labels)) == pytest.approx(expected)


def test_a_well_separated_batch_has_no_loss_and_no_gradient() -> None:
    vectors = on_circle(0, 1, 120, 121, 240, 241).requires_grad_()
    loss = TripletSemiHard()(vectors, torch.tensor([0, 0, 1, 1, 2, 2]))
    loss.backward()
    assert loss.item() == 0
    assert vectors.grad is not None
    assert not bool(vectors.grad.any())


def test_the_vectors_lengths_do_not_matter() -> None:
    vectors, labels = random_batch(1)
    longer = vectors * torch.linspace(0.1, 50, len(vectors), dtype=torch.float64)[:, None]
    torch.testing.assert_close(TripletSemiHard()(longer, labels), TripletSemiHard()(vectors, labels))


def test_the_gradient_is_that_of_finite_differences() -> None:
    vectors, labels = random_batch(2, n=8, people=3)
    assert torch.autograd.gradcheck(lambda x: TripletSemiHard()(x, labels), (vectors.requires_grad_(),))


def test_gradients_stay_finite_where_vectors_coincide_or_oppose() -> None:
    vectors = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0], [1, 0]]).requires_grad_()
    loss = TripletSemiHard()(vectors, torch.tensor([0, 0, 1, 1, 1]))
    loss.backward()
    assert vectors.grad is not None
    assert bool(vectors.grad.isfinite().all())


def test_autocast_costs_no_digits() -> None:
    vectors, labels = random_batch(3)
    vectors = vectors.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = TripletSemiHard()(vectors, labels)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, TripletSemiHard()(vectors, labels))


def test_training_brings_mates_nearer_than_others() -> None:
    vectors, labels = random_batch(4, n=16, people=4, size=8)
    vectors.requires_grad_()
    optimizer = torch.optim.Adam([vectors], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        TripletSemiHard()(vectors, labels).backward()
        optimizer.step()
    units = normalize(vectors.detach())
    cosines = units @ units.T
    mated = labels[:, None] == labels[None, :]
    assert float(cosines[mated].min()) > float(cosines[~mated].max())


@pytest.mark.parametrize("labels", [[0, 1, 2], [5, 5, 5]])
def test_a_batch_without_a_triplet_is_refused(labels: list[int]) -> None:
    with pytest.raises(InvalidArgument, match="has no triplet; draw several photos of each of several people"):
        TripletSemiHard()(torch.eye(3), torch.tensor(labels))


def test_a_margin_that_is_not_positive_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="margin must be positive"):
        TripletSemiHard(0.0)
