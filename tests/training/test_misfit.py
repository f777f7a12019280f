"""What is told where tensors are not those of a module."""

from __future__ import annotations

import torch
from torch import nn

from xcos.training.misfit import misfit


def test_tensors_that_fit_leave_nothing_to_say() -> None:
    assert misfit(nn.Linear(2, 3), nn.Linear(2, 3).state_dict()) == ""


def test_two_names_are_told_and_the_others_counted() -> None:
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(1000)))
    assert misfit(network, {}) == "0.weight is missing, 0.bias is missing and 1,998 more"


def test_each_kind_of_difference_is_told() -> None:
    layer = nn.Linear(2, 3)
    assert misfit(layer, {"weight": torch.zeros(3, 2)}) == "bias is missing"
    assert misfit(layer, {**layer.state_dict(), "other": torch.zeros(1)}) == "other is unknown"
    wrong = {"weight": torch.zeros(4, 2), "bias": torch.zeros(4)}
    assert misfit(layer, wrong) == "weight is (4, 2) and should be (3, 2), bias is (4,) and should be (3,)"
