"""The torch network that stands for a matcher: which have one, that its score is held to theirs, what is told of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx
import pytest
import torch
from gradients.known_truth import KNOWN
from gradients.toys import INPUTS as PIXELS
from gradients.toys import TINY, Dense, matcher_of, random_pair, random_weights
from torch import nn

from xcos.catalog import EXPLAINERS, build_explainer
from xcos.compare import NormWeighted, TrustWeighted, Uniform
from xcos.embedders import DlibResNet
from xcos.errors import InvalidArgument, InvalidModel
from xcos.explainers.explanation import Cost, Explainer
from xcos.explainers.masking import PAIR_COST
from xcos.explainers.matcher import GridMatcher, Matcher, VectorMatcher
from xcos.gradients.grad_cam import GradCam
from xcos.gradients.matcher import PARITY, DifferentiableMatcher, differentiable
from xcos.gradients.xssab import Xssab
from xcos.testing import FakeEmbedder
from xcos.types import AlignedFace, Crops, CropTemplate, Reals, Templates

torch.set_num_threads(1)
GRADIENTS = [name for name, listed in EXPLAINERS.items() if listed.needs == "gradients"]


@dataclass(frozen=True)
class Fixed:
    """A matcher that gives one score to every pair, and counts what it is asked."""

    value: float
    seen: list[int]
    name: str = "fixed"
    template: CropTemplate = TINY

    def encode(self, crops: Crops) -> Templates:
        self.seen.append(len(crops))
        return Templates(np.ones((len(crops), 1, 1, 1), np.float32), np.ones((len(crops), 1), np.float32), self.name)

    def score(self, probes: Templates, references: Templates) -> Reals:
        return np.full(max(len(probes), len(references)), self.value)


def standing_for(explainer: Explainer, matcher: Matcher) -> Explainer:
    """The same explainer, its network standing for a matcher."""
    own: DifferentiableMatcher = explainer.matcher  # type: ignore[attr-defined]
    changed: Explainer = replace(explainer, matcher=replace(own, stands_for=matcher))  # type: ignore[type-var]
    return changed


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_score_explained_is_that_of_the_matcher_stood_for_and_asking_it_is_counted(name: str) -> None:
    case = KNOWN[name]()
    plain = case.explainer.explain(case.probe, case.reference)
    matcher = Fixed(plain.score + 0.5 * PARITY, [])
    explainer = standing_for(case.explainer, matcher)
    found = explainer.explain(case.probe, case.reference)
    assert found.score == matcher.value
    assert found.cost == plain.cost + PAIR_COST
    assert sum(matcher.seen) == 2
    np.testing.assert_array_equal(found.probe, plain.probe)


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("off", [2 * PARITY, -2 * PARITY, float("nan")])
def test_no_map_is_made_by_a_network_that_scores_otherwise(name: str, off: float) -> None:
    case = KNOWN[name]()
    matcher = Fixed(case.explainer.explain(case.probe, case.reference).score + off, [])
    explainer = standing_for(case.explainer, matcher)
    with pytest.raises(InvalidModel, match=r"in torch, fixed gives .* another network"):
        explainer.explain(case.probe, case.reference)


def test_gradients_that_reach_the_pixels_are_told() -> None:
    seen: list[int] = []
    matcher = replace(matcher_of(Dense(*random_weights(0, PIXELS, 4))), on_gradient=lambda: seen.append(1))
    found = Xssab(matcher, 0.1).explain(*random_pair())
    assert found.cost == Cost(2, 4)
    assert len(seen) == 4


@pytest.mark.parametrize("grid", ["trusted", "last", "fourth"])
@pytest.mark.parametrize("comparator", [TrustWeighted(), NormWeighted()], ids=lambda each: each.name)
def test_the_packaged_networks_score_in_torch_as_they_do_in_onnx(
    grid: str, comparator: TrustWeighted, aligned: Callable[[str], AlignedFace], request: pytest.FixtureRequest
) -> None:
    packaged = GridMatcher(request.getfixturevalue(f"dlib_{grid}"), comparator)
    matcher = differentiable(packaged)
    faces = aligned("0_front"), aligned("1_yaw")
    with torch.no_grad():
        templates = [matcher.encode(matcher.pixels(face)) for face in faces]
    mine = matcher.score(*templates)
    assert matcher.scoring.terms(*templates).shape == (templates[0].shape[1],), "a term for each channel"
    theirs = packaged.score(*(packaged.encode(face.crop[None]) for face in faces))[0]
    assert mine.item() == pytest.approx(theirs, abs=1e-5)
    assert matcher.agreed(mine, *faces) == (theirs, PAIR_COST)


def test_the_vector_of_every_packaged_grid_is_the_same_network(
    dlib_trusted: DlibResNet, dlib_last: DlibResNet, aligned: Callable[[str], AlignedFace]
) -> None:
    for embedder in (dlib_trusted, dlib_last):
        found = build_explainer("grad-cam", VectorMatcher(embedder)).explain(aligned("0_front"), aligned("0_yaw"))
        assert found.cost == Cost(4, 2)


def renamed(content: bytes) -> bytes:
    network = onnx.load_from_string(content)
    network.producer_name = "somebody else"
    return bytes(network.SerializeToString())


def test_other_matchers_have_no_network_in_torch(dlib_trusted: DlibResNet) -> None:
    altered = DlibResNet(grid="trusted", alter=renamed)
    others: list[Matcher] = [
        GridMatcher(FakeEmbedder(4), TrustWeighted()),
        VectorMatcher(FakeEmbedder(4)),
        GridMatcher(dlib_trusted, Uniform()),
        GridMatcher(altered, TrustWeighted()),
        Fixed(0.5, []),
    ]
    for matcher in others:
        with pytest.raises(InvalidArgument, match="not there: only the packaged networks by trust or norm") as caught:
            differentiable(matcher)
        assert caught.value.details["matcher"] == matcher.name


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_matcher_of_the_right_name_with_other_numbers_is_found_out(
    name: str, dlib_trusted: DlibResNet, aligned: Callable[[str], AlignedFace]
) -> None:
    pretender = replace(FakeEmbedder(7, dlib_trusted.card), model=dlib_trusted.model)
    explainer = build_explainer(name, GridMatcher(pretender, TrustWeighted()))
    with pytest.raises(InvalidModel, match="another network"):
        explainer.explain(aligned("0_front"), aligned("1_front"))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("grad-cam", {"layer": "trunk.nothing"}, "no module 'trunk.nothing'"),
        ("grad-cam", {"signed": "yes"}, "signed must be true or false"),
        ("fggb", {"sigma": "-1"}, "sigma must be 0 or more"),
        ("fggb", {"sigma": "nan"}, "sigma must be 0 or more"),
        ("xssab", {"threshold": "nan"}, "finite"),
        ("xssab", {"seed": "1"}, "method xssab has no option seed; it has threshold"),
        ("subtree-ebp", {"layers": "0"}, "layers must be 1 or more"),
        ("contrastive-ebp", {"truncate": "1"}, "truncate must be a share"),
    ],
)
def test_options_that_cannot_be_are_refused_when_they_are_given(
    name: str, options: dict[str, str], said: str, dlib_trusted: DlibResNet
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        build_explainer(name, GridMatcher(dlib_trusted, TrustWeighted()), options)


@pytest.mark.parametrize("layer", ["trunk", "trunk.linear"])
def test_a_layer_that_is_not_run_is_refused(
    layer: str, dlib_trusted: DlibResNet, aligned: Callable[[str], AlignedFace]
) -> None:
    """The trunk's parts are called and it is not; its last layer is of the vector."""
    explainer = build_explainer("grad-cam", GridMatcher(dlib_trusted, TrustWeighted()), {"layer": layer})
    with pytest.raises(InvalidArgument, match=f"layer {layer} runs 0 times"):
        explainer.explain(aligned("0_front"), aligned("1_front"))


def test_a_layer_that_gives_no_map_is_refused(dlib_trusted: DlibResNet, aligned: Callable[[str], AlignedFace]) -> None:
    explainer = build_explainer("grad-cam", VectorMatcher(dlib_trusted), {"layer": "trunk"})
    with pytest.raises(InvalidArgument, match="got Features; name another"):
        explainer.explain(aligned("0_front"), aligned("1_front"))


class Idle(nn.Module):
    """Computes a map that nothing is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.idle, self.used = nn.ReLU(), nn.ReLU()
        self.unit = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.idle(self.unit * pixels)
        features: torch.Tensor = self.used(self.unit * pixels)
        return features.mean(dim=(2, 3))


def test_a_layer_that_the_score_does_not_depend_on_is_refused() -> None:
    assert GradCam(matcher_of(Idle()), "used").explain(*random_pair()).cost == Cost(2, 2)
    with pytest.raises(InvalidArgument, match="does not depend on layer idle"):
        GradCam(matcher_of(Idle()), "idle").explain(*random_pair())


def test_without_torch_the_catalogue_says_which_extra_is_missing() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from xcos.catalog import EXPLAINERS, build_explainer, build_matcher\n"
        "from xcos.errors import MissingPackage\n"
        "matcher = build_matcher()\n"
        "for name, listed in EXPLAINERS.items():\n"
        "    try:\n        build_explainer(name, matcher)\n"
        "    except MissingPackage as error:\n"
        "        assert listed.needs == 'gradients' and \"pip install 'xcos[train]'\" in error.message, name\n"
        "        print(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == GRADIENTS


def test_without_torch_the_command_fails_before_any_photo_is_read() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from xcos.cli import main\n"
        "sys.exit(main(['explain', 'no.jpg', 'neither.jpg', '--method', 'grad-cam', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (5, "")
    assert json.loads(done.stderr)["error"]["code"] == "missing_package"
