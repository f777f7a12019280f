"""A training configuration is read whole or refused by its key."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from xcos.errors import InvalidConfig, UsageError
from xcos.training.config import (
    ArcFaceConfig,
    AugmentationConfig,
    DlibConfig,
    IrConfig,
    LocalConfig,
    MobileFaceNetConfig,
    TrainConfig,
    config_from,
    read_config,
)

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SMALL = """
[data]
path = "faces"
[network]
name = "local"
[schedule]
epochs = 3
[run]
batch = 8
"""
TEACHER = """
[head]
[teacher]
name = "ir"
weights = "teacher.safetensors"
"""
WITH_HEAD = (
    SMALL
    + """
[head]
[teacher]
name = "ir"
weights = "teacher.safetensors"
"""
)


def read(tmp_path: Path, text: str) -> TrainConfig:
    (tmp_path / "train.toml").write_text(text, "utf-8")
    return read_config(tmp_path / "train.toml")


def refusal(tmp_path: Path, text: str) -> InvalidConfig:
    with pytest.raises(InvalidConfig) as caught:
        read(tmp_path, text)
    assert isinstance(caught.value, UsageError)
    assert caught.value.code == "invalid_config"
    assert str(tmp_path / "train.toml") in caught.value.message
    return caught.value


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_says_what_it_reads(path: Path) -> None:
    written = tomllib.loads(path.read_text("utf-8"))
    read = read_config(path).to_dict()
    for section, values in written.items():
        found = read[section]
        assert isinstance(found, dict)
        for key, value in values.items():
            wanted = str((path.parent / value).resolve()) if key in ("path", "weights") else value
            assert found[key] == wanted, f"{section}.{key}"


def test_the_four_recipes_are_there() -> None:
    names = {path.stem for path in RECIPES.glob("*.toml")}
    assert {"head-dlib", "ir50-ms1m", "mobilefacenet-casia", "local-casia"} <= names


def test_the_papers_recipe_is_the_authors_research_code() -> None:
    # docs: one sample per photo, SGD 1e-3 with momentum 0.9 and decay 5e-4, tenths at 12, 15 and 18 of 20 epochs,
    # Adam 1e-3 × 0.99 every 8 epochs for the attention, half of each loss, ArcFace 64 and 0.5, 96 pairs.
    config = read_config(RECIPES / "ir50-ms1m.toml")
    assert isinstance(config.network, IrConfig)
    assert (config.network.depth, config.network.squeeze, config.network.grid) == (50, True, 7)
    # The public weights were trained on photos whose channels had been exchanged.
    assert isinstance(config.teacher, IrConfig)
    assert (config.network.color, config.teacher.color) == ("bgr", "bgr")
    optimizer, schedule, head = config.optimizer, config.schedule, config.head
    assert (optimizer.rate, optimizer.momentum, optimizer.decay) == (1e-3, 0.9, 5e-4)
    assert (schedule.epochs, schedule.drops, schedule.factor) == (20, (12, 15, 18), 0.1)
    assert (optimizer.attention_rate, schedule.attention_every, schedule.attention_factor) == (1e-3, 8, 0.99)
    assert head is not None
    assert (head.weighting, head.channels, head.identity, head.cosine) == ("concat", 32, 0.5, 0.5)
    assert (head.detach_similarity, head.distance) == (True, "squared")
    assert config.loss == ArcFaceConfig(scale=64.0, margin=0.5)
    assert config.run.batch == 96
    assert config.augmentation == AugmentationConfig(mirror=0.5)


def test_paths_start_from_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.toml").write_text(SMALL)
    monkeypatch.chdir("/")
    assert read_config(tmp_path / "train.toml").data.path == tmp_path / "faces"


def test_the_dictionary_makes_the_same_configuration_again(tmp_path: Path) -> None:
    for text in (SMALL, WITH_HEAD):
        config = read(tmp_path, text)
        again = config_from(json.loads(json.dumps(config.to_dict())), tmp_path / "other" / "train.toml")
        assert again == config


def test_the_network_is_the_section_of_its_name(tmp_path: Path) -> None:
    for name, kind in (("ir", IrConfig), ("mobilefacenet", MobileFaceNetConfig), ("local", LocalConfig)):
        assert isinstance(read(tmp_path, SMALL.replace("local", name)).network, kind)
    assert isinstance(read(tmp_path, SMALL.replace("local", "dlib")).network, DlibConfig)


@pytest.mark.parametrize(
    ("old", "new", "key", "told"),
    {
        "unknown key": ("epochs = 3", "epochs = 3\nepoch = 4", "schedule.epoch", "allowed: epochs, warm_up"),
        "unknown section": ("[run]", "[test]\na = 1\n[run]", "test", "allowed: data, network"),
        "key of another network": ('"local"', '"local"\ndepth = 50', "network.depth", "allowed: name, patch"),
        "classes": ('"faces"', '"faces"\nclasses = 10572', "data.classes", "is unknown"),
        "missing key": ("batch = 8", "", "run.batch", "is missing"),
        "missing section": ("[schedule]\nepochs = 3", "", "schedule", "is missing"),
        "missing name": ('name = "local"', "", "network.name", "is missing; it must be one of 'ir'"),
        "unknown name": ('"local"', '"resnet"', "network.name", "is 'resnet'; it must be one of 'ir'"),
        "text for a number": ("batch = 8", 'batch = "8"', "run.batch", "must be a whole number, got '8'"),
        "fraction for a number": ("batch = 8", "batch = 8.0", "run.batch", "must be a whole number, got 8.0"),
        "truth for a number": ("batch = 8", "batch = true", "run.batch", "must be a whole number, got True"),
        "number for truth": ("batch = 8", "batch = 8\ntensorboard = 1", "run.tensorboard", "must be true or false"),
        "number for a path": ('"faces"', "3", "data.path", "must be a path, got 3"),
        "empty path": ('"faces"', '""', "data.path", "must be a path"),
        "number for a list": ("epochs = 3", "epochs = 3\ndrops = 2", "schedule.drops", "must be a list, got 2"),
        "text in a list": ("epochs = 3", 'epochs = 3\ndrops = [1, "2"]', "schedule.drops[1]", "finite number"),
        "number for a section": ('[network]\nname = "local"', "", "network", "is missing"),
        "not a number": ("[run]", "[optimizer]\nrate = nan\n[run]", "optimizer.rate", "finite number, got nan"),
        "infinite": ("[run]", "[optimizer]\nclip = inf\n[run]", "optimizer.clip", "finite number, got inf"),
        "choice": ("batch = 8", 'batch = 8\nprecision = "fp16"', "run.precision", "one of 'float32', 'bfloat16'"),
        "number as choice": ('"local"', '"ir"\ndepth = 51', "network.depth", "one of 18, 34, 50, 100, got 51"),
        "truth as choice": ('"local"', '"ir"\ngrid = true', "network.grid", "got True"),
        "batch of one": ("batch = 8", "batch = 1", "run.batch", "must be at least 2, got 1"),
        "no rate": ("[run]", "[optimizer]\nrate = 0\n[run]", "optimizer.rate", "above 0, got 0"),
        "full momentum": ("[run]", "[optimizer]\nmomentum = 1\n[run]", "optimizer.momentum", "below 1"),
        "drop after the end": ("epochs = 3", "epochs = 3\ndrops = [1, 3]", "schedule.drops", "below 3 epochs"),
        "drops out of order": ("epochs = 3", "epochs = 3\ndrops = [2, 1]", "schedule.drops", "rising"),
        "no epochs": ("epochs = 3", "epochs = 0", "schedule.epochs", "at least 1"),
        "long warm-up": ("epochs = 3", "epochs = 3\nwarm_up = 4", "schedule.warm_up", "0 … 3 epochs"),
        "one person held out": ('"faces"', '"faces"\nheld_out = 1', "data.held_out", "2 people or more"),
        "impossible chance": ("[run]", "[augmentation]\nmirror = 1.5\n[run]", "augmentation.mirror", "a probability"),
        "too many occluders": (
            "[run]", "[augmentation]\nblob = 0.6\nsquares = 0.5\n[run]", "augmentation.blob", "1 at most"
        ),
        "shards of few photos": ('"faces"', '"faces"\nformat = "shards"\nleast = 2', "data.least", "1 for shards"),
        "shards held out": ('"faces"', '"faces"\nformat = "shards"\nheld_out = 2', "data.held_out", "0 for shards"),
        "pairs of shards": (
            '"faces"',
            '"faces"\nformat = "shards"\n[head]\n[teacher]\nname = "ir"\nweights = "t"',
            "data.format",
            "a stream has no pairs",
        ),
        "small patches": ('"local"', '"local"\npatch = 8', "network.patch", "pixels, got 8"),
        "share of classes": ("[run]", '[loss]\nname = "arcface"\nsample_rate = 0.0\n[run]', "loss.sample_rate", "0"),
        "frozen without a head": (
            '"local"', '"local"\nweights = "w.safetensors"\nfrozen = true', "network.frozen", "needs [head]"
        ),
        "frozen and untrained": ('"local"', '"local"\nfrozen = true', "network.frozen", "needs weights"),
        "head without a teacher": ("[run]", "[head]\n[run]", "head", "needs [teacher]"),
        "teacher without a head": ("[run]", '[teacher]\nname = "dlib"\n[run]', "teacher", "needs [head]"),
        "untrained teacher": (
            "[run]", '[head]\n[teacher]\nname = "ir"\n[run]', "teacher.weights", "an untrained teacher teaches noise"
        ),
        "teacher of other crops": (
            "[run]", '[head]\n[teacher]\nname = "dlib"\n[run]', "teacher", "crops of 150 px, [network] of 112 px"
        ),
        "narrow channels last": (
            'name = "local"\n[schedule]\nepochs = 3\n[run]',
            'name = "local"\nwidths = [4, 8]\n[schedule]\nepochs = 3\n[run]\nchannels_last = true',
            "run.channels_last",
            "widths below 8",
        ),
        "text of nothing": ("batch = 8", 'batch = 8\nlicence = ""', "run.licence", "must be a text, got ''"),
        "color": ('"local"', '"local"\ncolor = "gbr"', "network.color", "one of 'rgb', 'bgr'"),
        "color of dlib": ('"local"', '"dlib"\ncolor = "bgr"', "network.color", "is unknown"),
        "colors that differ": (
            '"local"',
            '"local"\ncolor = "bgr"\n[head]\n[teacher]\nname = "ir"\nweights = "t"',
            "teacher.color",
            "is 'rgb' and network.color is 'bgr'",
        ),
        "margin of softmax": ("[run]", '[loss]\nname = "softmax"\nmargin = 0.1\n[run]', "loss.margin", "is unknown"),
        "trained teacher": ("[run]", f"{TEACHER}frozen = false\n[run]", "teacher.frozen", "has no effect here"),
        "teacher's dropout": ("[run]", f"{TEACHER}dropout = 0.6\n[run]", "teacher.dropout", "has no effect here"),
        "teacher's dlib grid": (
            'name = "local"',
            'name = "dlib"\n[head]\n[teacher]\nname = "dlib"\ngrid = "last"',
            "teacher.grid",
            "has no effect here",
        ),
        "dropout under a head": (
            '"local"', f'"ir"\ndropout = 0.3\n{TEACHER}', "network.dropout", "a head does not use"
        ),
        "attention without a head": (
            "[run]", "[optimizer]\nattention_rate = 0.001\n[run]", "optimizer.attention_rate", "learn an attention"
        ),
        "decay of no attention": (
            "[run]",
            f'{TEACHER}[optimizer]\nattention_decay = 0.1\n[run]'.replace("[head]", '[head]\nweighting = "norm"'),
            "optimizer.attention_decay",
            "learn an attention",
        ),
        "course of no attention": (
            "[schedule]",
            f'{TEACHER}[schedule]\nattention_every = 1\n'.replace("[head]", '[head]\nweighting = "uniform"'),
            "schedule.attention_every",
            "learn an attention",
        ),
        "losses of no weight": (
            "[run]",
            '[head]\nidentity = 0\ncosine = 0\n[teacher]\nname = "ir"\nweights = "t"\n[run]',
            "head.cosine",
            "above 0 where identity is 0",
        ),
    }.values(),
    ids=str,
)  # fmt: skip
def test_what_cannot_be_trained_is_refused_by_its_key(tmp_path: Path, old: str, new: str, key: str, told: str) -> None:
    assert old in SMALL
    error = refusal(tmp_path, SMALL.replace(old, new, 1))
    assert error.details["key"] == key
    assert key in error.message
    assert told in error.message


def test_a_section_must_be_a_section(tmp_path: Path) -> None:
    text = "network = 3\n" + SMALL.replace('[network]\nname = "local"', "")
    assert "network must be a section, got 3" in refusal(tmp_path, text).message


def test_no_toml_and_no_file_are_refused(tmp_path: Path) -> None:
    refusal(tmp_path, "[data")
    (tmp_path / "train.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidConfig, match="give a TOML file"):
        read_config(tmp_path / "train.toml")
    with pytest.raises(InvalidConfig, match=r"absent\.toml"):
        read_config(tmp_path / "absent.toml")


def test_a_teacher_of_one_architecture_teaches_another(tmp_path: Path) -> None:
    config = read(tmp_path, WITH_HEAD)
    assert isinstance(config.teacher, IrConfig)
    assert config.teacher.weights == tmp_path / "teacher.safetensors"
