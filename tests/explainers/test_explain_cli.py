"""``xcos explain``: what it prints is what the library gives; what cannot be done is refused before any work."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from xcos.catalog import DATA, EXPLAINERS, build_explainer, build_matcher
from xcos.cli import main
from xcos.cli.explain import region_means
from xcos.explainers.about import METHODS, about
from xcos.explainers.counterfactual import CounterfactualQuestion
from xcos.explainers.explanation import Explanation
from xcos.explainers.semantic import SemanticRegions, sentences
from xcos.types import AlignedFace
from xcos.verifier import Verifier

PHOTOS = tuple(str(DATA / "examples" / f"{name}.jpg") for name in ("0_front", "1_front"))
Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("quick")
Aligned = Callable[[str], AlignedFace]


def run(capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = main(["explain", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def document(capsys: Capture, *words: str) -> dict[str, Any]:
    code, out, err = run(capsys, *words, "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def by_library(aligned: Aligned, method: str, options: dict[str, str]) -> Explanation:
    explainer = build_explainer(method, build_matcher(), options)
    return explainer.explain(aligned("0_front"), aligned("1_front"))


def test_every_method_of_the_catalogue_is_described_and_nothing_else() -> None:
    assert set(METHODS) == set(EXPLAINERS)
    for words in METHODS.values():
        assert (words.title + words.caveat).isascii(), "pictures can draw ASCII alone"
        assert words.caveat.endswith(".")
    assert about("somebody's own").title == "somebody's own"


@pytest.mark.parametrize(
    ("words", "method", "options"),
    [
        ((), "own", {}),
        (("--method", "transport", "--option", "marginals=uniform"), "transport", {"marginals": "uniform"}),
        (
            ("--method", "corrrise", "--budget", "24", "--seed", "5", "--option", "family=grids"),
            "corrrise",
            {"masks": "24", "seed": "5", "family": "grids"},
        ),
    ],
)
def test_the_json_is_the_librarys(
    capsys: Capture, aligned: Aligned, words: tuple[str, ...], method: str, options: dict[str, str]
) -> None:
    found, expected = document(capsys, *PHOTOS, *words), by_library(aligned, method, options)
    assert found["method"] == method
    assert found["score"] == expected.score
    assert found["settings"] == dict(expected.settings)
    assert found["cost"]["forward"] == expected.cost.forward
    assert found["cost"]["backward"] == 0
    assert found["caveat"] == METHODS[method].caveat
    for side, values in (("probe", expected.probe), ("reference", expected.reference)):
        assert np.allclose(found["maps"][side], values, rtol=1e-5, atol=1e-12)
    assert found["regions"]["probe"] == region_means(expected.probe, aligned("0_front"))
    assert found["probe"]["name"] == "0_front.jpg"


def test_the_keys_of_the_json_are_those_documented(capsys: Capture) -> None:
    text = (Path(__file__).parents[2] / "docs" / "explainers" / "README.md").read_text("utf-8")
    documented = {key for line in text.splitlines() if line.startswith("| `") for key in _keys(line)}
    for method in ("own", "semantic", "counterfactual"):
        assert set(document(capsys, *PHOTOS, "--method", method)) <= documented


def _keys(line: str) -> list[str]:
    return [part for part in line.split("|")[1].split("`") if part.strip(" ,")]


def test_the_words_quote_score_cost_parts_and_caveat(capsys: Capture, aligned: Aligned) -> None:
    code, out, err = run(capsys, *PHOTOS, "--method", "rise", "--budget", "16")
    assert (code, err) == (0, "")
    expected = by_library(aligned, "rise", {"masks": "16"})
    assert out.startswith("RISE (rise)\n")
    assert f"{expected.score:.4f}" in out
    assert "34 passes forward through the network" in out
    assert METHODS["rise"].caveat in out
    for name, mean in region_means(expected.probe, aligned("0_front")).items():
        assert f"{mean:+.3g}" in out, name


def test_named_regions_are_told_in_numbers_words_and_a_picture(
    capsys: Capture, aligned: Aligned, verifier: Verifier, tmp_path: Path
) -> None:
    found = document(capsys, *PHOTOS, "--method", "semantic", "--granularity", "coarse")
    explainer = build_explainer("semantic", build_matcher(), {"regions": "coarse"})
    assert isinstance(explainer, SemanticRegions)
    measured = explainer.measure(aligned("0_front"), aligned("1_front"))
    assert found["semantic"] == measured.to_dict()
    assert found["semantic"]["threshold"] == verifier.calibration.threshold(1e-3).value
    assert found["sentences"] == sentences(measured)
    assert found["cost"]["forward"] == measured.cost.forward == 12
    path = tmp_path / "why.png"
    code, out, _ = run(capsys, *PHOTOS, "--method", "semantic", "--granularity", "coarse", "--picture", str(path))
    assert code == 0
    for sentence in sentences(measured):
        assert sentence in out
    with Image.open(path) as picture:
        assert picture.size[1] > 1100, "the numbers of all regions stand below the maps"


def test_a_users_regions_are_measured(capsys: Capture, tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(
        'name = "mine"\n[[region]]\nname = "nose"\nellipses = [{ center = [0.0, 0.5], radii = [0.3, 0.3] }]\n'
    )
    found = document(capsys, *PHOTOS, "--method", "semantic", "--regions", str(own))
    assert found["semantic"]["region_set"] == "mine"
    assert [region["name"] for region in found["semantic"]["regions"]] == ["nose", "surroundings"]


def test_what_would_flip_is_told_in_numbers_words_and_a_picture(
    capsys: Capture, aligned: Aligned, tmp_path: Path
) -> None:
    words = ("--method", "counterfactual", "--option", "steps=2", "--option", "fill=black")
    found = document(capsys, *PHOTOS, *words)
    explainer = build_explainer("counterfactual", build_matcher(), {"steps": "2", "fill": "black"})
    assert isinstance(explainer, CounterfactualQuestion)
    answer = explainer.ask(aligned("0_front"), aligned("1_front"))
    assert found["counterfactual"] == json.loads(json.dumps(answer.to_dict()))
    assert found["counterfactual"]["margin"] == len(found["counterfactual"]["renormalised"]["cells"])
    assert found["sentences"] == answer.sentences()
    assert found["settings"]["steps"] == 2
    code, out, _ = run(capsys, *PHOTOS, *words, "--picture", str(tmp_path / "why.png"))
    assert code == 0
    for sentence in answer.sentences():
        assert sentence in out


def test_other_thresholds_give_other_answers(capsys: Capture) -> None:
    margins = [
        document(capsys, *PHOTOS, "--method", "counterfactual", "--fmr", fmr)["counterfactual"]["margin"]
        for fmr in ("0.001", "0.01")
    ]
    assert margins[0] != margins[1]


def test_gradients_are_of_the_score_that_is_printed(capsys: Capture, verifier: Verifier) -> None:
    own, found = (document(capsys, *PHOTOS, "--method", method) for method in ("own", "xssab"))
    assert found["score"] == own["score"]
    assert found["cost"] == {"forward": 4, "backward": 4, "seconds": found["cost"]["seconds"]}
    assert found["settings"] == {"threshold": verifier.calibration.threshold(1e-3).value}
    assert np.ptp(found["maps"]["probe"]) > 0


def test_a_network_without_a_feature_map_has_no_cells_but_scores(capsys: Capture, tmp_path: Path) -> None:
    network = flat_network(tmp_path)
    code, out, err = run(capsys, *PHOTOS, "--embedder", f"onnx:{network}", "--method", "own")
    assert (code, out) == (2, "")
    assert "one cell, the whole face; use a method that needs only scores, such as corrrise" in err
    found = document(capsys, *PHOTOS, "--embedder", f"onnx:{network}", "--method", "corrrise", "--budget", "8")
    assert found["cost"]["forward"] == 18


def flat_network(folder: Path) -> Path:
    """A user's network that gives nothing but a vector: the mean colour of each of four bands."""
    matrix = np.kron(np.eye(12), np.ones((1, 28 * 112)) / (28 * 112)).astype(np.float32).T  # channels × rows in bands
    nodes = [
        helper.make_node("Flatten", ["data"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    inputs = [helper.make_tensor_value_info("data", 1, ["n", 3, 112, 112])]
    outputs = [helper.make_tensor_value_info("embedding", 1, ["n", 12])]
    graph = helper.make_graph(nodes, "flat", inputs, outputs, [numpy_helper.from_array(matrix, "matrix")])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    path = folder / "flat.onnx"
    path.write_bytes(content)
    words = dict.fromkeys(("name", "licence", "source", "training_data"), "made up")
    card = {**words, "template": "arcface_112", "color": "rgb", "mean": 127.5, "scale": 0.0078125}
    path.with_suffix(".json").write_text(json.dumps({**card, "sha256": hashlib.sha256(content).hexdigest()}))
    return path


def test_the_threshold_explained_is_that_of_the_rate_asked_for(capsys: Capture, verifier: Verifier) -> None:
    for words, fmr in (((), 1e-3), (("--fmr", "0.01"), 1e-2)):
        found = document(capsys, *PHOTOS, "--method", "centered", *words)
        assert found["settings"]["threshold"] == verifier.calibration.threshold(fmr).value
    given = document(capsys, *PHOTOS, "--method", "centered", "--option", "threshold=0.25")
    assert given["settings"]["threshold"] == 0.25


def test_another_network_is_explained_on_its_own_grid(capsys: Capture) -> None:
    found = document(capsys, *PHOTOS, "--embedder", "dlib")
    assert found["settings"] == {"rows": 5, "cols": 5}
    assert "norm" in found["matcher"]


def test_the_picture_is_written_and_said_so(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "why.png"
    code, out, _ = run(capsys, *PHOTOS, "--method", "transport", "--picture", str(path))
    assert code == 0
    assert out.endswith(f"wrote {path}\n")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.size[0] == 2360


def test_which_face_is_meant_can_be_said(capsys: Capture, tmp_path: Path) -> None:
    both = np.hstack([np.asarray(Image.open(path).convert("RGB")) for path in PHOTOS])
    Image.fromarray(both).save(tmp_path / "both.png")
    crowd = str(tmp_path / "both.png")
    code, _, err = run(capsys, crowd, PHOTOS[1])
    assert code == 4
    assert "probe:" in err
    scores = [document(capsys, crowd, PHOTOS[1], "--probe-face", index)["score"] for index in ("0", "1")]
    assert max(scores) > 0.99
    assert min(scores) < 0.9


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "magic"), "method 'magic' is unknown; one of cell-occlusion, center"),
        (("--method", "gradcam"), "method 'gradcam' is unknown; did you mean grad-cam? There are cell-occlusion"),
        (("--method", ""), "method '' is unknown; one of"),
        (("--granularity", "coarse"), "--granularity and --regions are for --method semantic, not for own"),
        (("--method", "semantic", "--granularity", "coarse", "--regions", "my.toml"), "leave one away"),
        (("--method", "semantic", "--regions", "nowhere.toml"), "cannot read the regions nowhere.toml"),
        (("--method", "semantic", "--granularity", "finer"), "invalid choice: 'finer'"),
        (("--method", "semantic", "--option", "fill=pink"), "fill must be one of"),
        (("--method", "counterfactual", "--option", "steps=two"), "steps must be a whole number"),
        (("--method", "grad-cam", "--comparator", "uniform"), "only the packaged networks by trust or norm"),
        (("--method", "grad-cam", "--option", "layer=last"), "no module 'last'"),
        (("--method", "xssab", "--embedder", "dlib", "--comparator", "trust"), "no packaged calibration"),
        (("--seed", "3"), "method own has no option seed"),
        (("--method", "x-face", "--budget", "3"), "method x-face has no option masks; it has comparing, stride, fill"),
        (("--method", "rise", "--budget", "1"), "at least 2 masks"),
        (("--method", "rise", "--option", "keep"), "must be NAME=VALUE, got 'keep'"),
        (("--method", "rise", "--seed", "1", "--option", "seed=2"), "seed is given twice"),
        (("--method", "rise", "--option", "keep=2"), "between 0 and 1"),
        (("--picture", "why.jpg"), "must end in .png"),
        (("--picture", "nowhere/why.png"), "folder is missing"),
        (("--method", "centered", "--fmr", "1e-9"), "support"),
        (("--fmr", "0.01"), "--fmr would say which threshold is explained, but own explains none"),
        (("--calibration", "card.json"), "--calibration would say"),
        (("--method", "centered", "--fmr", "0.01", "--option", "threshold=1"), "says it already"),
        (("--method", "centered", "--fmr", "0"), "fmr"),
        (("--method", "centered", "--calibration", "card.json"), "card.json"),
        (("--embedder", "nothing"), "embedder 'nothing' is unknown"),
        (("--detector", "nothing"), "detector 'nothing' is unknown; one of mtcnn, whole-image, yunet:FILE.onnx"),
        (("--model", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_photo_is_read(
    capsys: Capture, words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *PHOTOS, *words)
    assert (code, out) == (2, "")
    assert said in err


def test_no_photo_is_overwritten(capsys: Capture, tmp_path: Path) -> None:
    copy = tmp_path / "a.png"
    shutil.copy(PHOTOS[0], copy)
    code, _, err = run(capsys, str(copy), PHOTOS[1], "--picture", str(copy))
    assert code == 2
    assert "would be overwritten" in err


def test_a_photo_without_a_face_is_refused_by_its_side(capsys: Capture, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), (90, 120, 150)).save(tmp_path / "none.png")
    code, _, err = run(capsys, PHOTOS[0], str(tmp_path / "none.png"), "--json")
    assert code == 4
    assert json.loads(err)["error"]["details"]["side"] == "reference"
