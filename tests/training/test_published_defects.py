"""The sixteen defects of the code that the xCos authors published, and the test that keeps each of them out of here.

``TESTS`` says for each what was wrong and where it is tested. Those that belong to no other file are tested below.
"""

from __future__ import annotations

import ast
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from tiny_training import BACKBONE, HEAD, Listening, write_config, write_faces

import xcos.evaluation.protocols
from xcos.catalog import DATA
from xcos.errors import InvalidConfig
from xcos.evaluation.protocols import READERS
from xcos.explainers.explanation import Cost
from xcos.explainers.semantic.check import check_sentences
from xcos.explainers.semantic.effects import RegionMeasure, SemanticMeasures
from xcos.explainers.semantic.sentences import sentences
from xcos.training.checkpoint import read_checkpoint
from xcos.training.config import read_config
from xcos.training.distributed import Ranks
from xcos.training.run import run_training
from xcos.weights import read_card

HERE = Path(__file__)
ROOT = HERE.parents[2]


class Defect(NamedTuple):
    number: int
    what: str
    tests: tuple[str, ...]
    """Functions, in files named from the folder ``tests``."""


TESTS = (
    Defect(
        1,
        "the teacher is a part of the model, so training wakes its dropout and moves its statistics",
        (
            "training/test_losses_teacher_cosine.py::"
            "test_no_statistic_of_the_teacher_moves_and_no_dropout_wakes_while_its_parent_trains",
            "training/test_losses_teacher_cosine.py::test_the_published_arrangement_would_fail_that_test",
            "training/test_loop.py::test_a_head_learns_and_its_teacher_does_not",
        ),
    ),
    Defect(
        2,
        "the documented command loads no weights for the teacher",
        ("training/test_published_defects.py::test_a_teacher_without_weights_is_refused",),
    ),
    Defect(
        3,
        "the best checkpoint is chosen by a loss that is always 0, so the first stays the best",
        (
            "training/test_checkpoint.py::test_the_best_is_the_smallest_measured_error",
            "training/test_checkpoint.py::test_what_was_not_measured_cannot_be_best",
        ),
    ),
    Defect(
        4,
        "a validation set is listed twice, and the later entry overwrites the earlier",
        (
            "training/test_published_defects.py::test_no_set_is_listed_twice_and_none_is_read_as_another",
            "training/test_published_defects.py::test_a_recipe_that_names_something_twice_is_refused",
        ),
    ),
    Defect(
        5,
        "the number of classes stands in the configuration, and is not that of the data",
        (
            "training/test_loop.py::test_classes_are_counted_in_the_data",
            "training/test_published_defects.py::test_no_recipe_can_state_how_many_classes_there_are",
        ),
    ),
    Defect(
        6,
        "a person with one photo makes the search for a mate run for ever, and each non-mate lists all people anew",
        (
            "training/test_data_pairs.py::test_people_of_one_photo_each_give_non_mated_pairs_only",
            "training/test_data_pairs.py::test_many_photos_are_paired_without_a_list_per_pair",
        ),
    ),
    Defect(
        7,
        "the loss replaces the list of labels in place, so a second call fails",
        ("training/test_loop.py::test_the_loss_is_the_weighted_sum_and_the_same_when_asked_again",),
    ),
    Defect(
        8,
        "options for the softmax and its temperature are ignored",
        (
            "training/test_head_defects.py::test_the_softmax_temperature_is_one_and_not_an_ignored_option",
            "training/test_config.py::test_what_cannot_be_trained_is_refused_by_its_key",
        ),
    ),
    Defect(
        9,
        "the demonstration stretches the 96 × 112 template to its crop in x and in y apart",
        (
            "test_alignment.py::test_the_arcface_points_are_the_published_ones_for_a_96_wide_crop",
            "test_alignment.py::test_the_fit_is_the_least_squares_similarity",
        ),
    ),
    Defect(
        10,
        "a demonstration feeds red, green, blue to weights that expect blue, green, red",
        (
            "training/test_loop.py::test_a_network_sees_its_own_order_of_channels",
            "training/test_train_cli.py::test_by_its_card_the_exported_network_sees_what_it_was_trained_on",
        ),
    ),
    Defect(
        11,
        "maps of mirrored photos are averaged without mirroring them back, or along the wrong axis",
        (
            "training/test_head_defects.py::"
            "test_a_mirrored_photos_grid_is_mirrored_back_left_to_right_before_averaging",
            "evaluation/test_mirror.py::test_a_feature_at_the_left_stays_at_the_left",
        ),
    ),
    Defect(
        12,
        "the words hold each weight against the threshold of the score, so nearly every region is 'not important'",
        ("training/test_published_defects.py::test_words_quote_how_much_a_region_counts_and_judge_it_by_no_threshold",),
    ),
    Defect(
        13,
        "the ROC plot is drawn without its curve",
        ("evaluation/test_evaluation_report.py::test_the_page_shows_the_det_curve_of_the_scores",),
    ),
    Defect(
        14,
        "a batch of one loses a dimension",
        (
            "training/test_head_defects.py::test_a_batch_of_one_keeps_its_shape_and_its_values",
            "training/test_head_defects.py::test_a_batch_of_one_can_be_trained_on",
            "training/test_losses_teacher_cosine.py::test_one_pair_is_a_batch",
        ),
    ),
    Defect(
        15,
        "the score depends on the order of the two faces",
        (
            "training/test_head_defects.py::test_swapping_the_faces_changes_no_bit",
            "training/test_head_defects.py::test_the_papers_own_attention_depends_on_the_order_of_the_faces",
        ),
    ),
    Defect(
        16,
        "the released weights omit the classification head, and their licence allows research alone",
        (
            "training/test_published_defects.py::test_a_checkpoint_has_all_that_was_trained",
            "training/test_published_defects.py::test_every_packaged_model_may_be_used_for_anything",
        ),
    ),
)


def test_each_of_the_sixteen_has_tests_that_are_there() -> None:
    assert [defect.number for defect in TESTS] == list(range(1, 17))
    for defect in TESTS:
        for test in defect.tests:
            path, name = test.split("::")
            tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
            assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_faces(tmp_path / "faces")
    return tmp_path


# 2


@pytest.mark.parametrize("name", ["ir", "mobilefacenet", "local"])
def test_a_teacher_without_weights_is_refused(folder: Path, name: str) -> None:
    text = BACKBONE + f'[head]\n[teacher]\nname = "{name}"\n'
    with pytest.raises(InvalidConfig, match="an untrained teacher teaches noise; give its weights") as caught:
        read_config(write_config(folder, text))
    assert caught.value.details["key"] == "teacher.weights"


# 4


def test_no_set_is_listed_twice_and_none_is_read_as_another() -> None:
    tree = ast.parse(Path(xcos.evaluation.protocols.__file__).read_text("utf-8"))
    tables = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    assert len(tables) == 3
    for table in tables:
        written = Counter(key.value for key in table.keys if isinstance(key, ast.Constant))
        assert set(written.values()) == {1}, written
    assert len({id(reader) for reader in READERS.values()}) == len(READERS)


@pytest.mark.parametrize(
    "again", ['[data]\npath = "others"\nheld_out = 2\n', "[schedule]\nepochs = 9\n"], ids=["data", "schedule"]
)
def test_a_recipe_that_names_something_twice_is_refused(folder: Path, again: str) -> None:
    with pytest.raises(InvalidConfig, match=r"cannot read .*train\.toml"):
        read_config(write_config(folder, BACKBONE + again))
    with pytest.raises(InvalidConfig, match=r"cannot read .*train\.toml"):
        read_config(write_config(folder, BACKBONE.replace('path = "faces"', 'path = "faces"\npath = "others"')))


# 5


@pytest.mark.parametrize("section", ["data", "loss", "head", "network"])
@pytest.mark.parametrize("key", ["classes", "num_classes", "class_num"])
def test_no_recipe_can_state_how_many_classes_there_are(folder: Path, section: str, key: str) -> None:
    with pytest.raises(InvalidConfig, match=rf"{section}\.{key} is unknown"):
        read_config(write_config(folder, HEAD.replace(f"[{section}]\n", f"[{section}]\n{key} = 10572\n")))


# 12


def measured(eyes: float, rest: float) -> SemanticMeasures:
    """A pair whose eyes, a tenth of the crop, and surroundings have these weights."""
    regions = (
        RegionMeasure("eyes", 0.1, eyes, 0.7 * eyes, 0.1, 0.1, 0.2),
        RegionMeasure("surroundings", 0.9, rest, 0.7 * rest, 0.1, 0.1, 0.2),
    )
    return SemanticMeasures(0.7, 0.24, regions, "mean", "mine", Cost(3))


@pytest.mark.parametrize(("eyes", "rest"), [(0.6, 0.4), (0.2, 0.8), (0.02, 0.98)])
def test_words_quote_how_much_a_region_counts_and_judge_it_by_no_threshold(eyes: float, rest: float) -> None:
    # The weights lie on both sides of the score's threshold of 0.24, and of an even share of the crop.
    told = sentences(measured(eyes, rest))
    assert any("of the eyes" in line and f"weight {100 * eyes:.1f} %" in line for line in told)
    assert any("of the surroundings" in line and f"weight {100 * rest:.1f} %" in line for line in told)
    assert not any("important" in line for line in told)
    for wording in ("The eyes are not important.", "The eyes are important."):
        assert not any(verdict.accepted for verdict in check_sentences(wording, measured(eyes, rest)))


# 16


@pytest.mark.parametrize("kind", ["network", "head"])
def test_a_checkpoint_has_all_that_was_trained(folder: Path, kind: str) -> None:
    def trained(out: str, text: str) -> dict[str, torch.Tensor]:
        config = write_config(folder, text)
        result = run_training(config, folder / out, resume=False, device="cpu", listener=Listening())
        assert result is not None
        return read_checkpoint(result.checkpoint, ranks=Ranks(0, 1, torch.device("cpu"))).tensors

    tensors = trained("teacher", BACKBONE)
    assert tensors["classifier.centers"].shape == (4, 8)  # people, numbers of the vector
    if kind == "head":
        tensors = trained("out", HEAD)
        assert tensors["classifier.centers"].shape == (
            2,
            4 * 4 * 4,
        )  # two of four are held out; 4 × 4 cells, 4 channels
        assert {"head.projection.conv.weight", "network.linear.weight"} <= tensors.keys()
        assert any(name.startswith("head.weighting.") for name in tensors)


def test_every_packaged_model_may_be_used_for_anything() -> None:
    assert (ROOT / "LICENSE").read_text("utf-8").startswith("MIT License")
    cards = sorted((DATA / "models").glob("*/card.*"))
    assert cards
    for path in cards:
        licence = str(json.loads(path.read_text("utf-8"))["licence"])
        assert read_card(path).licence == licence
        parts = [part.split("(")[0].strip() for part in licence.split(",")]
        assert set(parts) <= {"CC0-1.0", "MIT", "Apache-2.0", "BSD-3-Clause"}, licence
