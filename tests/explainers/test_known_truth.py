"""Every method of the catalogue finds what matters where that is known by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from explainers.known_truth import IGNORANT, KNOWN, Known
from numpy.typing import NDArray
from scipy.stats import rankdata

from xcos.catalog import EXPLAINERS
from xcos.explainers.listed import load
from xcos.testing import check_explainer
from xcos.types import Maps

STANDS_OUT = 0.9
"""Least chance that a pixel which matters has a larger value than one which does not (area under the ROC curve)."""
CASES: dict[str, Callable[[], Known]] = {**KNOWN, **IGNORANT}
GRADIENTS = [name for name, listed in EXPLAINERS.items() if listed.needs == "gradients"]


def case_of(name: str) -> Known:
    if name not in GRADIENTS:
        return CASES[name]()
    pytest.importorskip("torch")
    from gradients import known_truth

    return known_truth.KNOWN[name]()


def stands_out(values: Maps, where: NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks, ties half."""
    inside = where.ravel()
    ranks = rankdata(values.ravel())
    count = int(inside.sum())
    return float((ranks[inside].sum() - count * (count + 1) / 2) / (count * (inside.size - count)))


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_method_has_a_case_solved_by_hand_and_is_of_the_class_listed(name: str) -> None:
    case = case_of(name)
    assert type(case.explainer) is load(EXPLAINERS[name].path)
    assert case.explainer.name == name


@pytest.mark.parametrize("name", [name for name in EXPLAINERS if name not in IGNORANT])
def test_what_matters_is_found(name: str) -> None:
    case = case_of(name)
    found = case.explainer.explain(case.probe, case.reference).probe
    if case.within is not None:
        np.testing.assert_allclose(found, case.truth, rtol=0, atol=case.within)
        return
    assert stands_out(found, case.truth > 0) >= STANDS_OUT
    if (case.truth < 0).any():
        assert stands_out(-found, case.truth < 0) >= STANDS_OUT
        assert found[case.truth > 0].mean() > 0 > found[case.truth < 0].mean()


@pytest.mark.parametrize("name", IGNORANT)
def test_chance_does_not_find_it(name: str) -> None:
    case = case_of(name)
    found = case.explainer.explain(case.probe, case.reference).probe
    assert 0.35 < stands_out(found, case.truth > 0) < 0.65


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_explainers_keep_the_contract_of_explainers(name: str) -> None:
    """The others are held to it in ``test_explainer_contract.py``."""
    case = case_of(name)
    check_explainer(case.explainer, case.probe, case.reference)
