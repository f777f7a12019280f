"""A model folder is read as it was written, or not at all."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from fakes import calibration
from heads import CHANNELS, COLS, ROWS, trained
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from PIL import Image

from xcos.alignment import align
from xcos.catalog import build_verifier
from xcos.cli import main
from xcos.comparators import LearnedHead
from xcos.detectors import WholeImage
from xcos.embedders.onnx_model import OnnxEmbedder, open_network
from xcos.errors import InvalidArgument, InvalidCard, InvalidModel, XcosError
from xcos.images import read_image
from xcos.models import FaceModel, read_model, toml, write_model
from xcos.training.export import export_head
from xcos.types import Crops, CropTemplate
from xcos.weights import WeightCard, read_card

SIDE = 16  # pixels of a cell
TEMPLATE = CropTemplate(
    "upright",
    COLS * SIDE,
    ROWS * SIDE,
    np.array([[20.0, 30.0], [44.0, 30.0], [32.0, 44.0], [23.0, 56.0], [41.0, 56.0]]),
)
FILES = ("REPORT.md", "calibration.json", "head.onnx", "model.onnx", "vector_calibration.json")


def network(path: Path, *, channels: int = CHANNELS) -> Path:
    """Features of every 16 × 16 pixels, and their mean as the only output: the grid is hidden inside."""
    kernel = np.random.default_rng(0).normal(size=(channels, 3, SIDE, SIDE)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["data", "kernel"], ["cells"], strides=[SIDE, SIDE]),
        helper.make_node("ReduceMean", ["cells"], ["embedding"], axes=[2, 3], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("data", 1, ["n", 3, TEMPLATE.height, TEMPLATE.width])]
    outputs = [helper.make_tensor_value_info("embedding", 1, ["n", channels])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def card_of(content: bytes) -> WeightCard:
    sha256 = hashlib.sha256(content).hexdigest()
    words = ('a "name"', sha256, TEMPLATE, "bgr", (1.0, 2.5, 127.5), 0.0078125, "MIT", "made\nhere", "no photos")
    return WeightCard(*words)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a folder is written from."""

    card: WeightCard
    network: bytes
    head: bytes
    model: str
    comparator: str

    def write(self, folder: Path, *, comparator: str = "", vector: bool = True) -> FaceModel:
        return write_model(
            folder,
            network=self.network,
            grid="cells",
            vector="embedding",
            card=self.card,
            head=self.head,
            calibration=calibration(self.model, comparator or self.comparator),
            vector_calibration=calibration(self.model, "vector") if vector else None,
            notes={"REPORT.md": "as measured\n"},
        )


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    folder = tmp_path_factory.mktemp("parts")
    original = network(folder / "user.onnx")
    opened = open_network(original, card_of(original.read_bytes()))
    (folder / "model.onnx").write_bytes(opened.content)
    (folder / "head.onnx").write_bytes(export_head(trained("separable"), ROWS, COLS))
    card = card_of(opened.content)
    embedder = OnnxEmbedder(folder / "model.onnx", card, grid=opened.grid, vector=opened.vector)
    head = LearnedHead(folder / "head.onnx")
    return Parts(card, opened.content, (folder / "head.onnx").read_bytes(), embedder.model, head.name)


@pytest.fixture
def folder(parts: Parts, tmp_path: Path) -> Path:
    parts.write(tmp_path / "my-model")
    return tmp_path / "my-model"


def crops(n: int) -> Crops:
    return np.random.default_rng(1).integers(0, 256, (n, TEMPLATE.height, TEMPLATE.width, 3), np.uint8)


def rewrite(folder: Path, old: str, new: str) -> None:
    """The card with its first ``old`` replaced, and sealed again as somebody would who wanted to."""
    card = (folder / "card.toml").read_text("utf-8")
    body, _ = card.split("\n[seal]\n")
    assert old in body
    body = body.replace(old, new, 1)
    (folder / "card.toml").write_text(
        f'{body}\n[seal]\nsha256 = "{hashlib.sha256(body.encode()).hexdigest()}"\n', "utf-8"
    )


def test_a_model_is_read_as_it_was_written(folder: Path, parts: Parts) -> None:
    model = read_model(folder)
    assert model.card.to_dict() == parts.card.to_dict()
    assert (model.embedder.model, model.comparator.name) == (parts.model, parts.comparator)
    assert model.calibration.to_dict() == calibration(parts.model, parts.comparator).to_dict()
    assert model.vector_calibration is not None
    assert model.vector_calibration.to_dict() == calibration(parts.model, "vector").to_dict()
    assert model.folder == folder


def test_its_templates_are_those_of_the_users_own_file(folder: Path, tmp_path: Path) -> None:
    original = network(tmp_path / "user.onnx")
    alone = OnnxEmbedder(original, card_of(original.read_bytes()), grid="cells").embed(crops(3))
    plugged = read_model(folder).embedder.embed(crops(3))
    np.testing.assert_array_equal(plugged.grids, alone.grids)
    np.testing.assert_array_equal(plugged.vectors, alone.vectors)


def test_the_network_shows_grid_and_vector_to_any_program(folder: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert sorted(output.name for output in session.get_outputs()) == ["cells", "embedding"]


def test_a_folder_without_a_vector_calibration_gives_no_second_opinion(parts: Parts, tmp_path: Path) -> None:
    assert parts.write(tmp_path / "plain", vector=False).vector_calibration is None
    assert build_verifier(model=tmp_path / "plain", detector="whole-image").vector_calibration is None


def test_the_hashes_in_the_card_are_those_of_the_files(folder: Path) -> None:
    card = tomllib.loads((folder / "card.toml").read_text("utf-8"))
    assert sorted(card["files"]) == sorted(FILES)
    for name, sha256 in card["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256


@pytest.mark.parametrize("name", FILES)
def test_a_file_changed_by_one_bit_is_refused(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(InvalidModel, match=name) as caught:
        read_model(folder)
    assert caught.value.details["found"] == hashlib.sha256(content).hexdigest()


def test_a_card_changed_in_any_byte_or_cut_anywhere_is_refused(folder: Path) -> None:
    content = (folder / "card.toml").read_bytes()
    changed = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(len(content))]
    cut = [content[:at] for at in range(0, len(content), 7)]
    for spoiled in (*changed, *cut, content + b"\n", content + content[content.index(b"[seal]") :]):
        (folder / "card.toml").write_bytes(spoiled)
        with pytest.raises(XcosError, match=r"card\.toml"):
            read_model(folder)
    (folder / "card.toml").write_bytes(content)
    read_model(folder)


def test_the_second_opinion_does_not_go_unnoticed_with_its_line(folder: Path) -> None:
    (folder / "vector_calibration.json").unlink()
    lines = (folder / "card.toml").read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith('"vector_calibration.json"')]
    assert len(kept) == len(lines) - 1
    (folder / "card.toml").write_text("".join(kept), "utf-8")
    with pytest.raises(InvalidCard, match="not as it was written"):
        read_model(folder)


@pytest.mark.parametrize("name", [*FILES, "card.toml"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InvalidModel, match=name):
        read_model(folder)


def test_a_file_that_the_card_does_not_name_is_refused(parts: Parts, tmp_path: Path) -> None:
    parts.write(tmp_path / "m", vector=False)
    (tmp_path / "m" / "vector_calibration.json").write_text("{}")
    with pytest.raises(InvalidModel, match="does not name"):
        read_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("xcos.model/2", "xcos.model/9", "schema"),
        ("color =", "colour =", r"lacks \['color'\].*\['colour'\]"),
        ('color = "bgr"', 'color = "hsv"', "color must be"),
        ("[tensors]", "[tensor]", r"needs a table \[tensors\]"),
        ('grid = "cells"', "grid = 3", r"needs a table \[tensors\] of texts"),
        ('grid = "cells"', 'grid = "cells"\nmap = "cells"', r"unknown fields \['map'\]"),
        ('"head.onnx" =', '"tail.onnx" =', r"lacks \['head.onnx'\]"),
        ('sha256 = "', f'sha256 = "{64 * "0"}"\nother = "', r"unknown fields \['other'\]"),
        ('sha256 = "', 'sha256 = "0', "64 hexadecimal digits"),
        ('"REPORT.md" =', '"../REPORT.md" =', "no file of the folder"),
        ('name = "', "name = ", "cannot read the weight card"),
    ],
)
def test_what_is_wrong_in_the_card_is_named(folder: Path, old: str, new: str, told: str) -> None:
    rewrite(folder, old, new)
    with pytest.raises(InvalidCard, match=told):
        read_model(folder)


def test_a_tensor_that_the_network_does_not_have_is_refused(folder: Path) -> None:
    rewrite(folder, '"cells"', '"pixels"')
    with pytest.raises(InvalidModel, match="no tensor 'pixels'"):
        read_model(folder)


def test_a_calibration_of_another_head_is_refused_and_nothing_is_written(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(InvalidCard, match="do not carry over"):
        parts.write(tmp_path / "m", comparator="norm")
    assert list(tmp_path.iterdir()) == []


def test_a_head_for_another_grid_is_refused_when_it_is_loaded(parts: Parts, tmp_path: Path) -> None:
    original = network(tmp_path / "user.onnx", channels=CHANNELS + 1)
    opened = open_network(original, card_of(original.read_bytes()))
    card = card_of(opened.content)
    (tmp_path / "exposed.onnx").write_bytes(opened.content)
    model = OnnxEmbedder(tmp_path / "exposed.onnx", card, grid="cells", vector="embedding").model
    with pytest.raises(InvalidModel, match=r"does not fit model\.onnx"):
        dataclasses.replace(parts, card=card, network=opened.content, model=model).write(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_folder_with_something_in_it_stays_as_it_is(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidArgument, match="not empty"):
        parts.write(tmp_path / "m")
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_filled(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    parts.write(tmp_path / "m")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]
    assert (tmp_path / "m" / "REPORT.md").read_text() == "as measured\n"


@pytest.mark.parametrize("place", ["nowhere/m", "file"])
def test_a_place_that_cannot_hold_a_folder_is_refused(parts: Parts, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument):
        parts.write(tmp_path / place)


def test_two_hashes_of_the_network_are_a_contradiction(folder: Path) -> None:
    rewrite(
        folder,
        f'\nsha256 = "{hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()}"',
        f'\nsha256 = "{64 * "0"}"',
    )
    with pytest.raises(InvalidCard, match="two hashes"):
        read_model(folder)


@pytest.mark.parametrize("name", ["", "nothing"])
def test_what_is_no_model_folder_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidModel, match="no model folder"):
        read_model(tmp_path / name)


# TOML, against the reader of the standard library

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = TEXTS | NUMBERS | st.lists(NUMBERS, max_size=3)
TABLES = st.dictionaries(TEXTS, VALUES | st.dictionaries(TEXTS, VALUES, max_size=2), max_size=3)


@settings(max_examples=50, deadline=None)
@given(TABLES)
def test_any_table_is_read_as_it_was_written(table: dict[str, object]) -> None:
    assert tomllib.loads(toml(table)) == table


def test_every_control_character_survives(tmp_path: Path) -> None:
    fields = {**card_of(b"").to_dict(), "source": "".join(map(chr, range(0x100)))}
    (tmp_path / "card.toml").write_bytes(toml(fields).encode())
    assert read_card(tmp_path / "card.toml").source == fields["source"]


# Cards in either language


@pytest.mark.parametrize("suffix", [".toml", ".TOML"])
def test_a_card_says_the_same_in_toml_and_in_json(tmp_path: Path, suffix: str) -> None:
    card = card_of(b"abc")
    (tmp_path / f"card{suffix}").write_text(toml(card.to_dict()), "utf-8")
    (tmp_path / "card.json").write_text(json.dumps(card.to_dict()), "utf-8")
    read = [read_card(tmp_path / name).to_dict() for name in (f"card{suffix}", "card.json")]
    assert read == [card.to_dict(), card.to_dict()]


@pytest.mark.parametrize("content", ["name = ", "name = 1\nname = 2", '{"name": 1}', "name = 1979-05-27"])
def test_a_card_that_is_no_toml_or_lacks_fields_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "card.toml").write_text(content)
    with pytest.raises(InvalidCard, match=r"card\.toml"):
        read_card(tmp_path / "card.toml")


# xcos verify --model


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Two crops as files."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, crop in zip(paths, crops(2), strict=True):
        Image.fromarray(crop).save(path)
    return [str(path) for path in paths]


def test_verify_scores_with_the_head_of_the_folder(
    folder: Path, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["verify", *photos, "--model", str(folder), "--detector", "whole-image", "--json"])
    shown = json.loads(capsys.readouterr().out)
    model, detector = read_model(folder), WholeImage(TEMPLATE)
    read = [read_image(path) for path in photos]
    cut = [align(photo, detector.detect(photo.pixels)[0], TEMPLATE).crop for photo in read]
    grids = model.embedder.embed(np.stack(cut)).grids
    similarity, attention = model.comparator.maps(grids[:1], grids[1:])
    assert code in (0, 1, 3)
    assert shown["score"] == pytest.approx(float((similarity * attention).sum()), abs=1e-6)


def test_explain_shows_the_head_of_the_folder(
    folder: Path, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*photos, "--model", str(folder), "--detector", "whole-image", "--json"]
    assert main(["verify", *words]) in (0, 1, 3)
    verified = json.loads(capsys.readouterr().out)
    assert main(["explain", *words]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert explained["score"] == pytest.approx(verified["score"], abs=1e-6)
    assert explained["settings"] == {"rows": ROWS, "cols": COLS}
    cells = np.array(explained["maps"]["probe"])[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE]
    assert np.allclose(cells, verified["maps"]["contribution"], atol=1e-6)
    assert main(["explain", *words, "--method", "centered", "--fmr", "0.01"]) == 0
    threshold = read_model(folder).calibration.threshold(0.01).value
    assert json.loads(capsys.readouterr().out)["settings"]["threshold"] == threshold


def test_a_verifier_of_a_folder_is_that_of_its_parts(folder: Path, photos: list[str]) -> None:
    verifier = build_verifier(model=folder, detector="whole-image")
    result = verifier.verify(*(read_image(path) for path in photos), fmr=0.01)
    assert (result.model, result.comparator) == (verifier.embedder.model, verifier.comparator.name)
    assert result.card.to_dict() == read_model(folder).card.to_dict()
    assert result.second_opinion is not None


@pytest.mark.parametrize("other", ["embedder", "comparator", "calibration", "vector-calibration"])
def test_a_folder_and_a_part_of_it_are_a_contradiction(
    folder: Path, photos: list[str], other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", *photos, "--model", str(folder), f"--{other}", "norm", "--json"]) == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "invalid_argument"
    assert error["details"]["given"] == [other.replace("-", "_")]


def test_no_output_goes_into_the_folder_in_place_of_a_part(folder: Path, tmp_path: Path, photos: list[str]) -> None:
    (tmp_path / "pairs.csv").write_text("probe,reference\na.png,b.png\n")
    before = (folder / "card.toml").read_bytes()
    out = str(folder / "card.toml")
    assert main(["verify", "--pairs", str(tmp_path / "pairs.csv"), "--out", out, "--model", str(folder)]) == 2
    assert (folder / "card.toml").read_bytes() == before
    assert len(photos) == 2


def test_every_error_of_a_folder_is_one_of_the_packages(folder: Path) -> None:
    (folder / "calibration.json").unlink()
    (folder / "calibration.json").mkdir()
    with pytest.raises(XcosError):
        read_model(folder)


def test_a_folder_is_evaluated_on_pairs_and_searches_as_its_head_compares(folder: Path, tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(4)]
    for name, crop in zip(names, crops(4), strict=True):
        Image.fromarray(crop).save(tmp_path / name)
    (tmp_path / "pairs.csv").write_text("probe,reference,mated\n0.png,1.png,1\n2.png,3.png,1\n0.png,3.png,0\n")
    roles = ["gallery,a,0.png", "probe,a,1.png", "gallery,b,2.png", "probe,b,3.png"]
    (tmp_path / "set.csv").write_text("\n".join(["role,subject,photo", *roles]) + "\n")
    for protocol, data in (("csv", "pairs.csv"), ("gallery", "set.csv")):
        words = ["evaluate", protocol, str(tmp_path / data), "--out", str(tmp_path / protocol)]
        assert main([*words, "--model", str(folder), "--detector", "whole-image"]) == 0
    model = read_model(folder)
    photos = [read_image(tmp_path / name) for name in names]
    faces = [align(photo, WholeImage(TEMPLATE).detect(photo.pixels)[0], TEMPLATE) for photo in photos]
    grids = model.embedder.embed(np.stack([face.crop for face in faces])).grids
    for path, pairs in (("csv/scores.csv", ([0, 2, 0], [1, 3, 3])), ("gallery/searches.csv", ([1, 3], [0, 2]))):
        similarity, attention = model.comparator.maps(*(grids[side] for side in pairs))
        with (tmp_path / path).open(newline="") as file:
            scores = [float(row["score"]) for row in csv.DictReader(file)]
        np.testing.assert_allclose(scores, (similarity * attention).sum(axis=(1, 2)), atol=1e-6)
