"""Grad-CAM, xSSAB and FGGB where every gradient has a closed form, and the matcher they look into."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from gradients.toys import (
    CARD,
    HEIGHT,
    INPUTS,
    WIDTH,
    Dense,
    counted,
    matcher_of,
    over_colors,
    random_pair,
    random_weights,
    through_normalisation,
    tiny_face,
    unit,
    values_of,
)
from torch import Tensor, nn

from xcos.catalog import default_verifier
from xcos.errors import InvalidArgument, InvalidModel, NetworkInTraining
from xcos.explainers.explanation import Explainer
from xcos.explainers.matcher import GridMatcher, VectorMatcher
from xcos.gradients.ebp import ContrastiveEbp, Ebp
from xcos.gradients.fggb import Fggb
from xcos.gradients.grad_cam import GradCam
from xcos.gradients.maps import blurred
from xcos.gradients.matcher import CosineScoring, DifferentiableMatcher, TrustScoring, shipped_matcher
from xcos.gradients.subtree_ebp import SubtreeEbp
from xcos.gradients.xssab import Xssab
from xcos.types import AlignedFace, Reals

torch.set_num_threads(1)


def linear_pair(seed: int = 0, channels: int = 4) -> tuple[DifferentiableMatcher, Reals, AlignedFace, AlignedFace]:
    """A linear network with its matrix, and two crops."""
    (weight,) = random_weights(seed, INPUTS, channels)
    return matcher_of(Dense(weight)), weight, *random_pair(seed)


class Colors(nn.Module):
    """Mean colour over the places of a ReLU of the pixels less one half: a feature map of three channels."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.ReLU()
        self.middle = nn.Parameter(torch.full((1,), 0.5, dtype=torch.float64))

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.map(pixels - self.middle)
        return features.mean(dim=(2, 3))


@pytest.mark.parametrize("threshold", [-0.5, 0.0, 0.3])
def test_xssab_of_a_linear_network_is_its_closed_form(threshold: float) -> None:
    matcher, weight, probe, reference = linear_pair()
    x, y = values_of(probe), values_of(reference)
    a, b = unit(weight @ x), unit(weight @ y)
    speaks_for = a * b >= threshold / 4
    supporting = through_normalisation(weight, x).T @ (b * speaks_for)
    opposing = through_normalisation(weight, x).T @ (b * ~speaks_for)
    explanation = Xssab(matcher, threshold).explain(probe, reference)
    np.testing.assert_allclose(explanation.probe, over_colors(supporting) - over_colors(opposing), atol=1e-12)
    assert explanation.score == pytest.approx(a @ b, abs=1e-12)


@pytest.mark.parametrize("threshold", [-0.5, 0.0, 0.3])
def test_fggb_of_a_linear_network_is_its_closed_form(threshold: float) -> None:
    matcher, weight, probe, reference = linear_pair(1)
    x, y = values_of(probe), values_of(reference)
    a, b = unit(weight @ x), unit(weight @ y)
    looks = [over_colors(row) for row in through_normalisation(weight, x)]
    expected = sum(g / np.linalg.norm(g) * (each - threshold / 4) for g, each in zip(looks, a * b, strict=True))
    found = Fggb(matcher, threshold, sigma=0).explain(probe, reference)
    np.testing.assert_allclose(found.probe, expected, atol=1e-12)
    smooth = Fggb(matcher, threshold, sigma=1.5).explain(probe, reference)
    np.testing.assert_allclose(smooth.probe, blurred(np.asarray(expected), 1.5), atol=1e-12)


@pytest.mark.parametrize("method", ["xssab", "fggb"])
def test_the_threshold_is_spread_over_the_channels(method: str) -> None:
    """Every channel twice: terms are half as large, and so is each one's share of the threshold."""
    _, weight, probe, reference = linear_pair(2)
    single, double = matcher_of(Dense(weight)), matcher_of(Dense(np.concatenate([weight, weight])))
    made: Callable[[DifferentiableMatcher], Explainer] = (
        (lambda m: Xssab(m, 0.4)) if method == "xssab" else (lambda m: Fggb(m, 0.4, sigma=0))
    )
    one, other = (made(matcher).explain(probe, reference) for matcher in (single, double))
    np.testing.assert_allclose(one.probe, other.probe, atol=1e-12)
    assert other.score == pytest.approx(one.score)


def test_the_scale_of_a_template_changes_no_map() -> None:
    """Gradients go through the normalisation."""
    _, weight, probe, reference = linear_pair(3)
    for made in (lambda m: Xssab(m, 0.2), lambda m: Fggb(m, 0.2)):
        one, other = (made(matcher_of(Dense(each))).explain(probe, reference) for each in (weight, 7 * weight))
        np.testing.assert_allclose(one.probe, other.probe, atol=1e-12)


def test_grad_cam_of_mean_colours_is_its_closed_form() -> None:
    probe, reference = random_pair(4)
    maps = [np.maximum(values_of(face).reshape(3, HEIGHT, WIDTH) - 0.5, 0) for face in (probe, reference)]
    v, w = (each.mean(axis=(1, 2)) for each in maps)
    a, b = unit(v), unit(w)
    alpha = (b - (a @ b) * a) / np.linalg.norm(v) / (HEIGHT * WIDTH)
    cam = np.tensordot(alpha, maps[0], 1)
    matcher = matcher_of(Colors(), map_layer="map")
    signed = GradCam(matcher, signed=True).explain(probe, reference)
    np.testing.assert_allclose(signed.probe, cam, atol=1e-12)
    np.testing.assert_allclose(GradCam(matcher).explain(probe, reference).probe, np.maximum(cam, 0), atol=1e-12)
    assert signed.score == pytest.approx(a @ b)


def explainers(matcher: DifferentiableMatcher) -> list[Explainer]:
    random = np.random.default_rng(0)
    with torch.no_grad():
        size = matcher.network(torch.rand(1, 3, HEIGHT, WIDTH, dtype=torch.float64)).numel()
    somebody = random.uniform(0, 1, size)
    return [
        GradCam(matcher, "first"),
        Xssab(matcher, 0.3),
        Fggb(matcher, 0.3, sigma=1),
        Ebp(matcher),
        ContrastiveEbp(matcher),
        ContrastiveEbp(matcher, non_mate=somebody, truncate=0.2),
        SubtreeEbp(matcher, layers=2),
        SubtreeEbp(matcher, non_mate=somebody),
    ]


class Deep(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(3, 4, 3, padding=1, dtype=torch.float64)
        self.second = nn.Conv2d(4, 5, 3, padding=1, dtype=torch.float64)
        self.last = nn.Linear(5, 6, dtype=torch.float64)

    def forward(self, pixels: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.first(pixels))))
        vector: Tensor = self.last(x.mean(dim=(2, 3)))
        return vector


DEEP = matcher_of(Deep())


@pytest.mark.parametrize("explainer", explainers(DEEP), ids=lambda each: each.name)
def test_swapping_the_photos_swaps_the_maps_and_asking_again_changes_nothing(explainer: Explainer) -> None:
    probe, reference = random_pair(5)
    one, again, other = (
        explainer.explain(*pair) for pair in ((probe, reference), (probe, reference), (reference, probe))
    )
    np.testing.assert_array_equal(one.probe, again.probe)
    np.testing.assert_array_equal(one.probe, other.reference)
    np.testing.assert_array_equal(one.reference, other.probe)
    assert one.score == pytest.approx(other.score, abs=1e-15)
    assert one.probe.shape == (HEIGHT, WIDTH)
    assert np.abs(one.probe).max() > 0
    assert one.method == explainer.name


@pytest.mark.parametrize("explainer", explainers(DEEP), ids=lambda each: each.name)
def test_every_pass_is_counted(explainer: Explainer, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(DEEP.network, monkeypatch) as passes:
        cost = explainer.explain(*random_pair(6)).cost
    # an excited pass computes true and positive values; Grad-CAM takes both photos' gradients in one call
    twice = {"ebp": 2, "contrastive-ebp": 2, "truncated-ebp": 2, "subtree-ebp": 2}.get(explainer.name, 0)
    assert cost.forward == passes.forward + twice
    assert cost.backward == passes.backward + (explainer.name == "grad-cam")


@pytest.mark.parametrize("explainer", explainers(DEEP), ids=lambda each: each.name)
def test_a_network_in_training_mode_is_refused_even_if_it_was_not_when_it_was_given(explainer: Explainer) -> None:
    DEEP.network.last.train()  # type: ignore[union-attr]
    try:
        with pytest.raises(NetworkInTraining, match="last") as caught:
            explainer.explain(*random_pair(7))
    finally:
        DEEP.network.eval()
    assert caught.value.code == "network_in_training"
    assert caught.value.details["modules"] == ["last"]


def test_a_matcher_of_a_network_in_training_mode_cannot_be_made() -> None:
    with pytest.raises(NetworkInTraining, match="the network itself"):
        DifferentiableMatcher("toy", Deep(), CARD, CosineScoring(), "first", "")


@pytest.mark.parametrize("explainer", explainers(DEEP), ids=lambda each: each.name)
def test_explaining_leaves_the_network_and_its_parameters_as_they_were(explainer: Explainer) -> None:
    before = {name: value.clone() for name, value in DEEP.network.state_dict().items()}
    explainer.explain(*random_pair(8))
    assert all(torch.equal(value, before[name]) for name, value in DEEP.network.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in DEEP.network.parameters())
    assert not any(module._forward_hooks for module in DEEP.network.modules())


def test_the_card_s_order_of_colours_reaches_the_network() -> None:
    crop = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    crop[..., 0] = 255
    matcher = replace(DEEP, card=replace(CARD, color="bgr", mean=(51.0, 0.0, 0.0)))
    pixels = matcher.pixels(tiny_face(crop))[0, :, 0, 0]
    np.testing.assert_allclose(pixels.detach().numpy(), [-0.2, 0, 1])


def test_what_cannot_be_explained_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no module 'third'"):
        GradCam(DEEP, "third").explain(*random_pair())
    with pytest.raises(InvalidArgument, match="with places"):
        GradCam(DEEP, "last", signed=True).explain(*random_pair())
    with pytest.raises(InvalidArgument, match="finite number"):
        Xssab(DEEP, float("nan"))
    with pytest.raises(InvalidArgument, match="finite number"):
        Fggb(DEEP, float("inf"))
    with pytest.raises(InvalidArgument, match="sigma"):
        Fggb(DEEP, 0.1, sigma=-1)
    with pytest.raises(InvalidModel, match="no direction"):
        Xssab(matcher_of(Dense(np.zeros((2, INPUTS)))), 0.1).explain(*random_pair())
    unknown = "head"
    with pytest.raises(InvalidArgument, match="score must be"):
        shipped_matcher(unknown)  # type: ignore[arg-type]


def test_terms_of_trust_are_those_of_the_comparator_by_channel() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 5, 3, 4))
    lengths = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    terms = TrustScoring().terms(torch.from_numpy(a[None]), torch.from_numpy(b[None]))
    np.testing.assert_allclose(terms.numpy(), (a * b).sum(axis=(1, 2)) / lengths.sum())


@pytest.mark.parametrize("score", ["grid", "vector"])
def test_the_shipped_model_in_torch_scores_as_it_does_in_onnx(
    score: str, aligned: Callable[[str], AlignedFace]
) -> None:
    verifier = default_verifier()
    packaged = (
        GridMatcher(verifier.embedder, verifier.comparator) if score == "grid" else VectorMatcher(verifier.embedder)
    )
    matcher = shipped_matcher(score)  # type: ignore[arg-type]
    assert matcher.template is packaged.template
    for names in (("0_front", "0_smile"), ("0_front", "1_front"), ("2_yaw", "2_light"), ("3_smile", "4_yaw")):
        faces = [aligned(name) for name in names]
        one, other = (packaged.encode(face.crop[None]) for face in faces)
        with torch.no_grad():
            mine = [matcher.encode(matcher.pixels(face)) for face in faces]
        assert matcher.score(*mine).item() == pytest.approx(packaged.score(one, other)[0], abs=1e-4)
        wanted = one.grids.transpose(0, 3, 1, 2) if score == "grid" else one.vectors
        np.testing.assert_allclose(mine[0].numpy(), wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("score", ["grid", "vector"])
def test_gradients_of_the_shipped_model_are_finite_differences_of_its_score(
    score: str, aligned: Callable[[str], AlignedFace]
) -> None:
    """Those of the grid only if they flow through what it takes for covered as well."""
    matcher = shipped_matcher(score)  # type: ignore[arg-type]
    matcher.network.double()
    random = torch.Generator().manual_seed(0)
    clear = matcher.pixels(aligned("0_front")).detach()
    # Noise, as in a flat background the maxima of the pooling are ties, where a score has two slopes.
    pixels = (clear + 1e-3 * torch.randn(clear.shape, generator=random, dtype=torch.float64)).requires_grad_()
    partner = matcher.encode(matcher.pixels(aligned("1_front"))).detach()
    (gradient,) = torch.autograd.grad(matcher.score(matcher.encode(pixels), partner), pixels)
    direction = torch.randn(pixels.shape, generator=random, dtype=torch.float64)
    step = 1e-7
    with torch.no_grad():
        ahead, behind = (
            matcher.score(matcher.encode(pixels + way * step * direction), partner).item() for way in (1, -1)
        )
    assert (ahead - behind) / (2 * step) == pytest.approx((gradient * direction).sum().item(), rel=1e-5)


@pytest.mark.slow
def test_every_explainer_runs_on_the_shipped_model(aligned: Callable[[str], AlignedFace]) -> None:
    probe, reference = aligned("0_front"), aligned("0_smile")
    matcher = shipped_matcher("vector")
    for explainer in (
        GradCam(matcher),
        Xssab(matcher, 0.9),
        Ebp(matcher),
        ContrastiveEbp(matcher),
        SubtreeEbp(matcher),
    ):
        explanation = explainer.explain(probe, reference)
        assert explanation.probe.shape == (150, 150)
        assert np.abs(explanation.probe).max() > 0


def test_without_torch_the_package_says_which_extra_is_missing() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from xcos.errors import MissingPackage\n"
        "try:\n    import xcos.gradients.grad_cam\nexcept MissingPackage as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'xcos[train]'" in done.stdout
