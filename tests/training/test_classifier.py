from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from scipy.stats import chisquare
from torch import Tensor

from xcos.errors import InvalidArgument
from xcos.training.losses import AdaFace, ArcFace, ClassificationLoss, Classifier, CosFace, Softmax, SphereFace2
from xcos.training.losses.sampling import sample_classes

SIZE, CLASSES, N = 6, 11, 8

LOSSES: dict[str, Callable[[], ClassificationLoss]] = {
    "softmax": lambda: Softmax(8.0),
    "cosface": lambda: CosFace(8.0),
    "arcface": lambda: ArcFace(8.0),
    "adaface": lambda: AdaFace(8.0),
    "sphereface2": lambda: SphereFace2(CLASSES, 8.0),  # its class count sets no more than the first bias
}
EVERY = pytest.mark.parametrize("name", LOSSES)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def classifier(loss: ClassificationLoss, *, classes: int = CLASSES, rate: float = 1.0, seed: int = 0) -> Classifier:
    return Classifier(SIZE, classes, loss, sample_rate=rate, generator=seeded(seed))


def batch(seed: int = 1, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    generator = seeded(seed)
    lengths = torch.linspace(5, 40, N)[:, None]
    vectors = lengths * torch.nn.functional.normalize(torch.randn(N, SIZE, generator=generator))
    return vectors, torch.randint(classes, (N,), generator=generator)


def gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def test_the_loss_is_that_of_the_cosines_with_the_centers_whatever_the_lengths() -> None:
    vectors, labels = batch()
    made = classifier(CosFace(30.0, 0.35))
    x, centers = vectors.double().numpy(), made.centers.detach().double().numpy()
    logits = 30 * (x @ centers.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(centers, axis=1)
    logits[np.arange(N), labels] -= 30 * 0.35
    expected = -log_softmax(logits, axis=1)[np.arange(N), labels].mean()
    assert made(vectors, labels).item() == pytest.approx(expected, rel=1e-5)
    with torch.no_grad():
        made.centers.mul_(torch.linspace(0.1, 100, CLASSES)[:, None])
    assert made(3 * vectors, labels).item() == pytest.approx(expected, rel=1e-5)


def test_adaface_is_told_the_vectors_own_lengths() -> None:
    vectors, labels = batch()
    loss = AdaFace(t_alpha=1.0)
    classifier(loss)(vectors, labels)
    lengths = np.linspace(5, 40, N)
    assert loss.mean.item() == pytest.approx(lengths.mean(), rel=1e-6)
    assert loss.deviation.item() == pytest.approx(lengths.std(ddof=1), rel=1e-6)


def test_the_first_centers_are_normal_of_deviation_one_hundredth_and_belong_to_the_seed() -> None:
    made = Classifier(64, 500, Softmax(), generator=seeded(3))
    centers = made.centers.detach()
    assert centers.mean().item() == pytest.approx(0, abs=2e-4)
    assert centers.std().item() == pytest.approx(0.01, rel=0.02)
    again = Classifier(64, 500, Softmax(), generator=seeded(3)).centers
    assert torch.equal(centers, again.detach())
    assert not torch.equal(centers, Classifier(64, 500, Softmax(), generator=seeded(4)).centers.detach())


@EVERY
def test_autocast_costs_no_digits(name: str) -> None:
    vectors, labels = batch()
    results = []
    for enabled in (False, True):
        made, x = classifier(LOSSES[name]()), vectors.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = made(x, labels)
        loss.backward()
        assert loss.dtype == torch.float32
        results.append((loss.detach(), gradient(x), gradient(made.centers)))
    assert all(torch.equal(plain, cast) for plain, cast in zip(*results, strict=True))


@EVERY
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_vector_that_lies_on_a_center_has_finite_gradients(name: str, sign: float) -> None:
    made = classifier(LOSSES[name]())
    vectors = (sign * 2000 * made.centers.detach()[:N]).requires_grad_()
    loss = made(vectors, torch.arange(N))
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(gradient(vectors).isfinite().all())
    assert bool(gradient(made.centers).isfinite().all())


@EVERY
def test_training_finds_the_classes(name: str) -> None:
    made = (
        classifier(LOSSES[name](), classes=4) if name != "sphereface2" else classifier(SphereFace2(4, 8.0), classes=4)
    )
    vectors = torch.nn.functional.normalize(torch.randn(40, SIZE, generator=seeded(5))).requires_grad_()
    labels = torch.arange(40) % 4
    optimizer = torch.optim.Adam([vectors, *made.parameters()], lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        made(vectors, labels).backward()
        optimizer.step()
    assert torch.equal((vectors @ torch.nn.functional.normalize(made.centers).T).argmax(dim=1), labels)


# Sampled classes


@EVERY
def test_a_sample_of_all_classes_is_the_full_loss_bit_for_bit(name: str) -> None:
    vectors, _ = batch()
    everyone = torch.arange(N)
    results = []
    for rate in (1.0, 0.01):  # with every class in the batch, the sample grows to all of them
        made, x = classifier(LOSSES[name](), classes=N, rate=rate), vectors.clone().requires_grad_()
        mean = made(x, everyone)
        mean.backward()
        results.append((mean.detach(), gradient(x), gradient(made.centers)))
    assert all(torch.equal(full, sampled) for full, sampled in zip(*results, strict=True))


@EVERY
def test_a_sampled_step_is_the_full_loss_over_the_sampled_classes(name: str) -> None:
    vectors, labels = batch(classes=40)
    made, x = classifier(LOSSES[name](), classes=40, rate=0.5), vectors.clone().requires_grad_()
    mean = made(x, labels)
    mean.backward()
    chosen = gradient(made.centers).any(dim=1).nonzero().squeeze(1)
    assert len(chosen) == 20
    assert set(labels.tolist()) <= set(chosen.tolist())

    fewer, y = classifier(LOSSES[name](), classes=20), vectors.clone().requires_grad_()
    fewer.centers = torch.nn.Parameter(made.centers.detach()[chosen])
    expected = fewer(y, torch.tensor([chosen.tolist().index(label) for label in labels.tolist()]))
    expected.backward()
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(gradient(x), gradient(y))
    torch.testing.assert_close(gradient(made.centers)[chosen], gradient(fewer.centers))


def test_every_step_draws_others_and_the_seed_decides_which() -> None:
    def steps(seed: int) -> list[list[int]]:
        made, found = classifier(Softmax(8.0), classes=40, rate=0.5, seed=seed), []
        for step in range(4):
            made.zero_grad()
            made(*batch(step, classes=40)).backward()
            found.append(gradient(made.centers).any(dim=1).nonzero().squeeze(1).tolist())
        return found

    first = steps(0)
    assert first == steps(0)
    assert first != steps(1)
    assert len({tuple(chosen) for chosen in first}) == 4


def test_the_generators_state_brings_back_the_next_sample() -> None:
    made = classifier(Softmax(8.0), classes=40, rate=0.5)
    state = made.generator.get_state()
    first = made(*batch(classes=40))
    assert not torch.equal(first, made(*batch(classes=40)))
    made.generator.set_state(state)
    assert torch.equal(first, made(*batch(classes=40)))


def test_each_class_of_the_batch_is_always_drawn_and_each_other_equally_often() -> None:
    labels, counts = torch.tensor([7, 3, 7, -1]), np.zeros(20)
    generator = seeded()
    for _ in range(1500):
        chosen, columns = sample_classes(labels, 20, 0.3, generator)
        assert chosen.tolist() == sorted(set(chosen.tolist()))
        assert len(chosen) == 6
        assert chosen[columns[:3]].tolist() == [7, 3, 7]
        assert columns[3] == -1
        counts[chosen] += 1
    assert (counts[[3, 7]] == 1500).all()
    assert chisquare(np.delete(counts, [3, 7])).pvalue > 0.01


@pytest.mark.parametrize(
    ("labels", "rate", "count"),
    [([-1, -1], 0.25, 5), ([-1], 0.01, 1), ([4], 0.01, 1), ([0, 1, 2, 3, 4, 5], 0.25, 6), ([0], 0.999, 19)],
)
def test_the_sample_has_the_asked_share_unless_the_batch_needs_more(labels: list[int], rate: float, count: int) -> None:
    chosen, columns = sample_classes(torch.tensor(labels), 20, rate, seeded())
    assert len(chosen) == count
    assert [int(chosen[column]) if column >= 0 else -1 for column in columns.tolist()] == labels


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"sphereface2"}))
def test_a_softmax_over_no_class_but_the_own_teaches_nothing(name: str) -> None:
    vectors, _ = batch()
    made, x = classifier(LOSSES[name](), classes=30, rate=0.01), vectors.requires_grad_()
    mean = made(x, torch.full((N,), 4))
    mean.backward()
    assert mean.item() == 0
    assert not bool(gradient(x).any())
    assert not bool(gradient(made.centers).any())


# Arguments


def test_the_labels_are_left_as_they_were() -> None:
    vectors, labels = batch(classes=40)
    before = labels.clone()
    classifier(Softmax(), classes=40, rate=0.3)(vectors, labels)
    assert torch.equal(labels, before)


@pytest.mark.parametrize(
    ("vectors", "labels", "message"),
    [
        (torch.ones(2, 5), torch.zeros(2, dtype=torch.int64), r"want vectors \(n, 6\)"),
        (torch.ones(6), torch.zeros(6, dtype=torch.int64), r"want vectors \(n, 6\)"),
        (torch.ones(0, 6), torch.zeros(0, dtype=torch.int64), "n > 0"),
        (torch.ones(2, 6), torch.zeros(3, dtype=torch.int64), r"got \(2, 6\) and \(3,\)"),
        (torch.ones(2, 6), torch.zeros(2), "float32"),
        (
            torch.ones(2, 6),
            torch.tensor([0, 11]),
            r"labels must lie in 0…10, got 0…11; make the classifier with as many",
        ),
        (torch.ones(2, 6), torch.tensor([-1, 3]), r"got -1…3"),
    ],
)
def test_vectors_and_labels_that_do_not_fit_are_refused(vectors: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        classifier(Softmax())(vectors, labels)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, float("nan")])
def test_a_sample_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(InvalidArgument, match="sample_rate must be above 0 and at most 1"):
        classifier(Softmax(), rate=rate)


def test_a_classifier_without_classes_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least 1"):
        classifier(Softmax(), classes=0)
