"""Batches compared all with all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xcos.errors import InvalidArgument
from xcos.training.all_pairs import (
    MatedBatches,
    imitation_loss,
    mate_loss,
    mated_and_others,
    trust_weighted_scores,
)


def test_no_photo_is_in_a_batch_twice_and_its_first_rows_are_pairs_of_one_person() -> None:
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(8), [1, 3, 3, 3, 3, 3, 4, 4]))
    batches = MatedBatches(labels, people=6, others=8, random=np.random.default_rng(0))
    seen: set[int] = set()
    for _ in range(50):
        rows = batches.draw()
        assert len(set(rows.tolist())) == len(rows) == 20
        first, second = labels[rows[:12]].reshape(6, 2).T
        assert np.array_equal(first, second)
        assert len(set(first.tolist())) == 6
        seen |= set(rows.tolist())
    assert seen == set(range(len(labels)))


def test_fewer_people_and_photos_than_asked_for_make_smaller_batches() -> None:
    batches = MatedBatches(np.array([0, 0, 1, 1, 2]), people=9, others=9, random=np.random.default_rng(0))
    assert sorted(batches.draw().tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]], ids=["one person", "a photo each"])
def test_photos_that_cannot_teach_who_is_who_are_refused(labels: list[int]) -> None:
    with pytest.raises(InvalidArgument, match="cannot teach who is who"):
        MatedBatches(np.array(labels), people=2, others=0, random=np.random.default_rng(0))


def test_trust_weighted_scores_are_the_weighted_sums_of_the_pairs() -> None:
    generator = np.random.default_rng(0)
    features, trust = generator.normal(size=(4, 5, 3, 2)), generator.uniform(0.1, 2, (4, 3, 2))
    square = trust_weighted_scores(torch.from_numpy(features), torch.from_numpy(trust)).numpy()
    for i in range(4):
        for j in range(4):
            cosines = (features[i] * features[j]).sum(axis=0)
            cosines /= np.linalg.norm(features[i], axis=0) * np.linalg.norm(features[j], axis=0)
            weights = trust[i] * trust[j]
            assert square[i, j] == pytest.approx((weights * cosines).sum() / weights.sum(), abs=1e-12)


def test_a_photo_with_itself_is_neither_mated_nor_not() -> None:
    mated, others = mated_and_others(torch.tensor([0, 0, 1]))
    assert mated.int().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert others.int().tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]


def test_imitation_weighs_mated_and_other_pairs_one_half_each() -> None:
    scores = torch.tensor([[9.0, 0.5, 0.1], [0.5, 9.0, 0.3], [0.1, 0.3, 0.9]])
    wanted = torch.tensor([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])
    # mated: 0.3² twice; others: 0.1² and 0.3² twice each; a photo with itself counts nowhere
    assert imitation_loss(scores, wanted, torch.tensor([0, 0, 1])).item() == pytest.approx((0.09 + 0.05) / 2)


def test_the_identity_loss_of_two_people_by_hand() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0, 0.0], [2.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 3.0], [0.0, 0.0, 3.0, 0.0]])
    e = np.exp
    terms = [e(2) / (e(2) + e(1) + 1), e(2) / (e(2) + 2), e(3) / (e(3) + e(1) + 1), e(3) / (e(3) + 2)]
    expected = -np.log(terms).mean()
    assert mate_loss(logits, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(expected, rel=1e-6)
