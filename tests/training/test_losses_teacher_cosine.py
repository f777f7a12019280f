from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xcos.errors import InvalidArgument
from xcos.training.losses import TeacherCosine
from xcos.training.networks.features import Features

SIDE = 4


class Teacher(nn.Module):
    """Linear on the normalised pixels, with everything that behaves differently in training mode."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.norm = nn.BatchNorm2d(3)
        assert self.norm.running_mean is not None
        self.norm.running_mean.normal_(generator=generator)
        self.drop = nn.Dropout(0.6)
        self.linear = nn.Linear(3 * SIDE * SIDE, 5, bias=False)
        nn.init.normal_(self.linear.weight, generator=generator)

    def forward(self, pixels: Tensor) -> Features:
        x = self.drop(self.norm(pixels))
        return Features(x, self.linear(x.flatten(1)))


class Student(nn.Module):
    """A model that has the loss as a child, as a trainer would."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.loss = loss

    def forward(self, probes: Tensor, references: Tensor) -> Tensor:
        scores = torch.tanh(self.scale * (probes - references).mean(dim=(1, 2, 3)))
        mean: Tensor = self.loss(scores, probes, references)
        return mean


class PublishedArrangement(nn.Module):
    """The teacher as a child of the model, without more."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, scores: Tensor, probes: Tensor, references: Tensor) -> Tensor:
        with torch.no_grad():
            target = torch.cosine_similarity(self.teacher(probes).vector, self.teacher(references).vector)
        return (scores - target).square().mean()


def pixels(seed: int, n: int = 6) -> Tensor:
    return torch.randn(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def teacher_of(loss: TeacherCosine) -> nn.Module:
    (teacher,) = loss._teacher
    return teacher


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in module.state_dict().items()}


def unchanged(module: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(before[name], values) for name, values in module.state_dict().items())


def train(student: Student, steps: int = 5) -> list[float]:
    """Losses of the same pairs, seen in training mode between steps on others."""
    student.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    seen = []
    for step in range(steps):
        optimizer.zero_grad()
        student(pixels(2 * step), pixels(2 * step + 1)).backward()
        optimizer.step()
        with torch.no_grad():
            seen.append(float(student.loss(torch.zeros(6), pixels(98), pixels(99))))
    return seen


@pytest.mark.parametrize("distance", ["squared", "absolute"])
def test_the_loss_is_the_mean_distance_from_the_teachers_cosines(distance: Literal["squared", "absolute"]) -> None:
    teacher, probes, references = Teacher(), pixels(1), pixels(2)
    moments = teacher.norm.running_mean, teacher.norm.running_var
    mean, variance = (each.numpy()[:, None, None] for each in moments if each is not None)
    weight = teacher.linear.weight.detach().numpy()
    a, b = (((x.numpy() - mean) / np.sqrt(variance + 1e-5)).reshape(6, -1) @ weight.T for x in (probes, references))
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    scores = torch.linspace(-1, 1, 6)
    difference = scores.numpy() - cosines
    expected = (difference**2 if distance == "squared" else np.abs(difference)).mean()
    loss = TeacherCosine(teacher, distance=distance)
    np.testing.assert_allclose(loss.cosines(probes, references).numpy(), cosines, rtol=1e-5)
    assert float(loss(scores, probes, references)) == pytest.approx(expected, rel=1e-5)


def test_no_statistic_of_the_teacher_moves_and_no_dropout_wakes_while_its_parent_trains() -> None:
    loss = TeacherCosine(Teacher().train())
    before = state(teacher_of(loss))
    seen = train(Student(loss))
    assert unchanged(teacher_of(loss), before)
    assert not any(module.training for module in teacher_of(loss).modules())
    assert len(set(seen)) == 1


def test_the_published_arrangement_would_fail_that_test() -> None:
    teacher = Teacher()
    before = state(teacher)
    seen = train(Student(PublishedArrangement(teacher)))
    assert not unchanged(teacher, before)
    assert len(set(seen)) > 1


def test_optimizers_and_checkpoints_see_nothing_of_the_teacher() -> None:
    loss = TeacherCosine(Teacher())
    assert list(loss.parameters()) == []
    assert list(loss.buffers()) == []
    assert loss.state_dict() == {}
    assert not any(parameter.requires_grad for parameter in teacher_of(loss).parameters())


def test_the_gradient_reaches_the_scores_and_not_the_pixels() -> None:
    scores, probes = torch.zeros(6, requires_grad=True), pixels(1).requires_grad_()
    loss = TeacherCosine(Teacher())
    loss(scores, probes, pixels(2)).backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, -2 * loss.cosines(probes, pixels(2)) / 6)
    assert probes.grad is None


def test_a_student_made_of_the_same_network_trains_without_moving_the_target() -> None:
    network = Teacher().train()
    loss = TeacherCosine(network)
    target = loss.cosines(pixels(1), pixels(2))
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    assert torch.equal(loss.cosines(pixels(1), pixels(2)), target)


def test_the_teacher_moves_with_its_parent() -> None:
    student = Student(TeacherCosine(Teacher())).double()
    assert isinstance(student.loss, TeacherCosine)
    assert {parameter.dtype for parameter in teacher_of(student.loss).parameters()} == {torch.float64}
    assert student(pixels(1).double(), pixels(2).double()).dtype == torch.float64
    student.to("meta")
    assert {parameter.device.type for parameter in teacher_of(student.loss).parameters()} == {"meta"}


def test_scores_in_half_precision_are_compared_in_single() -> None:
    loss = TeacherCosine(Teacher())
    scores = torch.linspace(-1, 1, 6).bfloat16()
    assert torch.equal(loss(scores, pixels(1), pixels(2)), loss(scores.float(), pixels(1), pixels(2)))


def test_one_pair_is_a_batch() -> None:
    loss = TeacherCosine(Teacher())
    many = loss.cosines(pixels(1), pixels(2))
    torch.testing.assert_close(loss.cosines(pixels(1)[3:4], pixels(2)[3:4]), many[3:4])


def test_wrong_arguments_are_refused() -> None:
    loss = TeacherCosine(Teacher())
    with pytest.raises(InvalidArgument, match=r"scores must be \(6,\)"):
        loss(torch.zeros(6, 1), pixels(1), pixels(2))
    with pytest.raises(InvalidArgument, match="equal shapes"):
        loss(torch.zeros(6), pixels(1), pixels(2, 5))
    with pytest.raises(InvalidArgument, match="squared, absolute"):
        TeacherCosine(Teacher(), distance="l3")  # type: ignore[arg-type]
