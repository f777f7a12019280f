"""What is told where tensors are not those of a module."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xcos.errors import InvalidModel
from xcos.training.misfit import load_fitting, misfit


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


def test_what_fits_is_loaded_and_what_does_not_leaves_the_module_as_it_was() -> None:
    layer, other = nn.Linear(2, 3), nn.Linear(2, 3)
    before = {name: each.clone() for name, each in layer.state_dict().items()}
    with pytest.raises(InvalidModel) as caught:
        load_fitting(layer, {"weight": torch.zeros(3, 2)}, refusal="no", advice="give another", path="a")
    assert caught.value.message == "no: bias is missing; give another"
    assert caught.value.details == {"path": "a"}
    assert all(torch.equal(before[name], each) for name, each in layer.state_dict().items())
    load_fitting(layer, other.state_dict(), refusal="", advice="")
    assert all(torch.equal(each, layer.state_dict()[name]) for name, each in other.state_dict().items())
