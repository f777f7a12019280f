"""Two processes with half of the classes each against one process with all of them."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from xcos.errors import InvalidArgument
from xcos.training.distributed import Ranks, averaged
from xcos.training.losses import (
    AdaFace,
    ArcFace,
    ClassificationLoss,
    Classifier,
    CosFace,
    ShardedClassifier,
    Softmax,
    SphereFace2,
)
from xcos.training.losses.sharded import part_of

INPUTS, SIZE, N, STEPS = 5, 6, 7, 2
CLASSES = 9  # five on the first rank, four on the second
MANY = 40

LOSSES: dict[str, Callable[[int], ClassificationLoss]] = {
    "softmax": lambda _: Softmax(8.0),
    "cosface": lambda _: CosFace(),
    "arcface": lambda _: ArcFace(),
    "adaface": lambda _: AdaFace(t_alpha=0.5),
    "sphereface2": lambda classes: SphereFace2(classes, 8.0),
}
EVERY = pytest.mark.parametrize("name", LOSSES)
PROCESSES = pytest.mark.slow  # two processes have to start

# name → how many of the twenty classes of each rank, labels of the first and of the second rank's batch
SAMPLED: dict[str, tuple[int, list[int], list[int]]] = {
    "spread": (8, [0, 5, 10, 15, 20, 25, 30], [35, 1, 1, 39, 22, 20, 0]),
    "all on the first rank": (8, [0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]),
    "more than the sample": (8, [0, 1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12, 30]),
    "one class each": (1, [3, 3, 3, 3, 3, 3, 3], [3, 3, 3, 3, 3, 3, 3]),
}


@dataclass
class Step:
    loss: Tensor
    network: Tensor
    """Gradient of the network's weights."""
    centers: Tensor
    """Gradient of the centers."""
    others: dict[str, Tensor]
    """Gradient of the loss's parameters, and its buffers."""


def rank_of(rank: int) -> Ranks:
    return Ranks(rank, 2, torch.device("cpu"))


def fresh_network() -> nn.Linear:
    network = nn.Linear(INPUTS, SIZE, bias=False)
    nn.init.normal_(network.weight, generator=torch.Generator().manual_seed(1))
    return network


def inputs(step: int) -> Tensor:
    """``(2 · N, INPUTS)``, both ranks' one after the other."""
    return 9 * torch.randn(2 * N, INPUTS, generator=torch.Generator().manual_seed(10 + step))


def all_labels(step: int) -> Tensor:
    return torch.randint(CLASSES, (2 * N,), generator=torch.Generator().manual_seed(20 + step))


def train(network: nn.Module, made: Classifier | ShardedClassifier, own: slice, labels: list[Tensor]) -> list[Step]:
    """Losses and gradients of a few steps of gradient descent on a part of the batch."""
    parameters = [*network.parameters(), *made.parameters()]
    steps = []
    for number, known in enumerate(labels):
        loss = made(network(inputs(number)[own]), known[own])
        loss.backward()
        weights, centers = parameters[0].grad, made.centers.grad
        assert weights is not None
        assert centers is not None
        others = {name: each.grad.clone() for name, each in made.loss.named_parameters() if each.grad is not None}
        others |= {name: each.clone() for name, each in made.loss.named_buffers()}
        steps.append(Step(loss.detach(), weights.clone(), centers.clone(), others))
        with torch.no_grad():
            for parameter in parameters:
                assert parameter.grad is not None
                parameter.sub_(0.1 * parameter.grad)
                parameter.grad = None
    return steps


def sharded(name: str, classes: int, rank: int, rate: float = 1.0) -> ShardedClassifier:
    generator = torch.Generator().manual_seed(0)
    return ShardedClassifier(
        SIZE, classes, LOSSES[name](classes), ranks=rank_of(rank), sample_rate=rate, generator=generator
    )


def process(rank: int, folder: Path) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    own = slice(rank * N, (rank + 1) * N)
    results: dict[str, object] = {}
    for name in LOSSES:
        made = sharded(name, CLASSES, rank)
        results[f"{name} first"] = made.centers.detach().clone()
        network = averaged(fresh_network(), rank_of(rank))
        results[name] = train(network, made, own, [all_labels(step) for step in range(STEPS)])
        results[f"{name} last"] = made.centers.detach()
    for case, (count, *labels) in SAMPLED.items():
        for name in ("softmax", "sphereface2"):
            made = sharded(name, MANY, rank, count / 20)
            results[f"{name} {case} first"] = made.centers.detach().clone()
            network = averaged(fresh_network(), rank_of(rank))
            results[f"{name} {case}"] = train(network, made, own, [torch.tensor(labels[0] + labels[1])])
    made = sharded("arcface", CLASSES, rank)
    nn.init.constant_(made.centers, 1.0 - 2 * rank)
    results["far apart"] = made(torch.ones(N, SIZE), torch.full((N,), CLASSES - 1)).detach()
    for what, size, largest in (("unequal", N + rank, 0), ("label", N, CLASSES * rank)):
        try:
            made(torch.ones(size, SIZE), torch.full((size,), largest))
        except InvalidArgument as error:
            results[what] = str(error)
    torch.save(results, folder / f"{rank}.pt")
    dist.barrier()
    os._exit(0)  # on a busy machine gloo's threads may outlive its own destruction, which aborts the process


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """What each of the two processes found."""
    folder = tmp_path_factory.mktemp("sharded")
    spawn(process, (folder,), nprocs=2)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def steps_of(results: list[dict[str, object]], key: str) -> list[list[Step]]:
    """By rank, then by step."""
    both = [each[key] for each in results]
    assert all(isinstance(steps, list) for steps in both)
    return both  # type: ignore[return-value]


def tensors(results: list[dict[str, object]], key: str) -> Tensor:
    """Both ranks' rows."""
    return torch.cat([each[key] for each in results])  # type: ignore[misc]


def in_one_process(name: str, centers: Tensor, labels: list[Tensor], classes: int) -> tuple[list[Step], Classifier]:
    made = Classifier(SIZE, len(centers), LOSSES[name](classes), generator=torch.Generator())
    made.centers = nn.Parameter(centers.clone())
    return train(fresh_network(), made, slice(None), labels), made


@PROCESSES
@EVERY
def test_loss_and_gradients_are_those_of_one_process_with_all_classes(
    results: list[dict[str, object]], name: str
) -> None:
    labels = [all_labels(step) for step in range(STEPS)]
    expected, made = in_one_process(name, tensors(results, f"{name} first"), labels, CLASSES)
    by_rank = steps_of(results, name)
    for number, one in enumerate(expected):
        both = [steps[number] for steps in by_rank]
        for step in both:
            torch.testing.assert_close(step.loss, one.loss, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(step.network, one.network, rtol=1e-5, atol=1e-5)
            assert step.others.keys() == one.others.keys()
            for key, values in one.others.items():
                torch.testing.assert_close(step.others[key], values, rtol=1e-5, atol=1e-5)
        # Centers are short, so their gradients are large: the tolerance is relative to the largest.
        scale = float(one.centers.abs().max())
        torch.testing.assert_close(
            torch.cat([step.centers for step in both]), one.centers, rtol=1e-5, atol=1e-5 * max(1, scale)
        )
        assert torch.equal(both[0].loss, both[1].loss)
    torch.testing.assert_close(tensors(results, f"{name} last"), made.centers.detach(), rtol=1e-4, atol=1e-5)


@PROCESSES
def test_the_processes_have_other_centers_although_their_generators_are_seeded_alike(
    results: list[dict[str, object]],
) -> None:
    first, second = (each["softmax first"] for each in results)
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    assert (len(first), len(second)) == (5, 4)
    assert not bool((first[:4] == second).any())


@PROCESSES
@pytest.mark.parametrize("name", ["softmax", "sphereface2"])
@pytest.mark.parametrize("case", SAMPLED)
def test_a_sampled_step_is_that_of_one_process_over_both_samples(
    results: list[dict[str, object]], name: str, case: str
) -> None:
    count, *batches = SAMPLED[case]
    labels = batches[0] + batches[1]
    both = [steps[0] for steps in steps_of(results, f"{name} {case}")]
    gradients = torch.cat([step.centers for step in both])
    chosen = gradients.any(dim=1).nonzero().squeeze(1).tolist()
    on_first = [each for each in chosen if each < MANY // 2]
    needed = [len({label for label in labels if (label < MANY // 2) == first}) for first in (True, False)]
    assert set(labels) <= set(chosen)
    assert [len(on_first), len(chosen) - len(on_first)] == [max(count, each) for each in needed]
    assert {each - MANY // 2 for each in chosen if each >= MANY // 2} != set(on_first)

    centers = tensors(results, f"{name} {case} first")[chosen]
    (expected,), _ = in_one_process(name, centers, [torch.tensor([chosen.index(label) for label in labels])], MANY)
    scale = float(expected.centers.abs().max())
    torch.testing.assert_close(gradients[chosen], expected.centers, rtol=1e-5, atol=1e-5 * scale)
    for step in both:
        torch.testing.assert_close(step.loss, expected.loss, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(step.network, expected.network, rtol=1e-5, atol=1e-5)


@PROCESSES
def test_shards_whose_sums_are_out_of_one_anothers_range_are_added_without_overflow(
    results: list[dict[str, object]],
) -> None:
    # Five other classes at cosine 1, the own one at −1: log(1 + 5 e^{64 − 64 t} + …), and e^{128} is no float32.
    expected = 64 + math.log(5) + 64 * (1 + 0.5 * math.sin(0.5))
    assert [each["far apart"] for each in results] == [pytest.approx(expected, rel=1e-6)] * 2


@PROCESSES
def test_batches_of_unequal_size_are_refused_on_every_rank(results: list[dict[str, object]]) -> None:
    assert [each["unequal"] for each in results] == [
        "all ranks must bring batches of one size, got [7, 8]; drop the last, smaller batch"
    ] * 2


@PROCESSES
def test_a_label_that_no_rank_has_is_refused_on_every_rank(results: list[dict[str, object]]) -> None:
    messages = [str(each["label"]) for each in results]
    assert messages[0] == messages[1]
    assert messages[0].startswith("labels must lie in 0…8, got 0…9;")


@EVERY
@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_one_rank_alone_is_the_plain_classifier_bit_for_bit(name: str, rate: float) -> None:
    alone = Ranks(0, 1, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    one = ShardedClassifier(SIZE, CLASSES, LOSSES[name](CLASSES), ranks=alone, sample_rate=rate, generator=generator)
    plain = Classifier(SIZE, CLASSES, LOSSES[name](CLASSES), sample_rate=rate, generator=torch.Generator())
    plain.centers = nn.Parameter(one.centers.detach().clone())
    plain.generator.set_state(one.generator.get_state())
    labels = [all_labels(step) for step in range(STEPS)]
    pairs = zip(
        train(fresh_network(), one, slice(None), labels),
        train(fresh_network(), plain, slice(None), labels),
        strict=True,
    )
    for step, expected in pairs:
        assert torch.equal(step.loss, expected.loss)
        assert torch.equal(step.network, expected.network)
        assert torch.equal(step.centers, expected.centers)


@pytest.mark.parametrize(("classes", "size"), [(9, 2), (10, 3), (11, 3), (12, 3), (3, 3), (85_742, 8)])
def test_the_parts_are_disjoint_complete_and_of_almost_one_size(classes: int, size: int) -> None:
    parts = [part_of(classes, Ranks(rank, size, torch.device("cpu"))) for rank in range(size)]
    assert [each for part in parts for each in part] == list(range(classes))
    sizes = [len(part) for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] <= 1


def test_fewer_classes_than_ranks_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="1 classes cannot be split over 2 ranks; start at most 1"):
        sharded("softmax", 1, 0)
