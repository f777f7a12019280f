"""Planted faults are caught, and a sound explainer passes: what runs in continuous integration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from explainers import faithful_toys as toys

from xcos.catalog import build_explainer
from xcos.compare import TrustWeighted
from xcos.embedders import DlibResNet
from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Cost, Explainer, Explanation
from xcos.explainers.faithfulness import FacePair
from xcos.explainers.faithfulness.sanity import Check, sanity_checks
from xcos.explainers.matcher import GridMatcher
from xcos.types import AlignedFace, Crops, CropTemplate, Floats, Maps, Reals, Templates

PAIRS = toys.people(6)


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.passed}


@dataclass(frozen=True)
class Pooled:
    """A plain network: one vector of both photos' dots, pooled with known weights, so each photo has a map of its own.

    With ``v(a) = Σ a_p u_p`` over pixels the score is ``v(a) · v(b)``, and pixel p of a adds ``a_p u_p · v(b)``.
    """

    name: str = "pooled"
    seed: int = 5

    @property
    def template(self) -> CropTemplate:
        return toys.TEMPLATE

    @property
    def u(self) -> Reals:
        """``(28, 28, 8)``: what each white pixel adds to the vector."""
        return np.random.default_rng(self.seed).normal(size=(28, 28, 8)) / 28

    def encode(self, crops: Crops) -> Templates:
        vectors = np.einsum("nhw,hwd->nd", toys.shades(crops), self.u) + 1e-6
        return Templates(vectors[:, None, None, :].astype(np.float32), vectors.astype(np.float32), "pooled")

    def score(self, probes: Templates, references: Templates) -> Reals:
        scores: Reals = (probes.vectors.astype(np.float64) * references.vectors).sum(axis=1)
        return scores


@dataclass(frozen=True)
class Exact:
    """What each pixel of each photo adds to the pooled score."""

    matcher: Pooled
    name: str = "exact"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        a, b = toys.shades(probe.crop), toys.shades(reference.crop)
        va, vb = (np.einsum("hw,hwd->d", side, self.matcher.u) for side in (a, b))
        return Explanation(self.name, a * (self.matcher.u @ vb), b * (self.matcher.u @ va), float(va @ vb), Cost(2))


def test_the_sound_explainer_passes_every_check() -> None:
    checks = sanity_checks(Pooled(), Exact(Pooled()), PAIRS)
    assert failed(checks) == set()
    assert len(checks) == 7
    assert all(str(check).startswith("passed") for check in checks)


@dataclass(frozen=True)
class Altered:
    """An explainer with a fault."""

    sound: Explainer
    fault: Callable[[Explainer, AlignedFace, AlignedFace], Explanation]
    name: str = "altered"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        return self.fault(self.sound, probe, reference)


def test_maps_of_the_two_photos_exchanged_are_caught() -> None:
    def exchanged(sound: Explainer, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        shown = sound.explain(probe, reference)
        return replace(shown, probe=shown.reference, reference=shown.probe)

    found = failed(sanity_checks(Pooled(), Altered(Exact(Pooled()), exchanged), PAIRS))
    assert "each map fits its own photo better than the other" in found


def following(probe: AlignedFace, reference: AlignedFace) -> tuple[AlignedFace, AlignedFace]:
    """The faces of the pair after this one, on the sides asked for."""
    for at, pair in enumerate(PAIRS):
        after = PAIRS[(at + 1) % len(PAIRS)]
        if (pair.probe, pair.reference) == (probe, reference):
            return after.probe, after.reference
        if (pair.reference, pair.probe) == (probe, reference):
            return after.reference, after.probe
    raise AssertionError("not one of the pairs")


def test_the_explanation_of_another_pair_is_caught_by_its_score() -> None:
    other = Altered(Exact(Pooled()), lambda sound, probe, reference: sound.explain(*following(probe, reference)))
    assert "the score explained is the matcher's" in failed(sanity_checks(Pooled(), other, PAIRS))


def test_the_maps_of_another_pair_are_caught_even_with_the_right_score() -> None:
    def maps_of_another(sound: Explainer, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        return replace(sound.explain(*following(probe, reference)), score=sound.explain(probe, reference).score)

    found = failed(sanity_checks(Pooled(), Altered(Exact(Pooled()), maps_of_another), PAIRS))
    assert "each map fits its own pair better than other pairs" in found
    assert "the score explained is the matcher's" not in found


@pytest.mark.parametrize("name", ["random", "constant", "inverse", "prior"])
def test_maps_that_know_nothing_of_the_comparison_do_not_pass(name: str) -> None:
    matcher = toys.weighted(toys.skewed_weights())
    assert failed(sanity_checks(matcher, toys.ToyExplainer(matcher, name), PAIRS))


class Network:
    """A small torch network with dropout, as a matcher; explained by hiding its cells."""

    def __init__(self, *, training: bool) -> None:
        import torch

        torch.manual_seed(0)
        layers = (torch.nn.Conv2d(1, 8, 4, stride=4), torch.nn.Tanh(), torch.nn.Dropout(0.4), torch.nn.Flatten())
        self._net = torch.nn.Sequential(*layers, torch.nn.Linear(8 * 49, 16)).train(training)
        self.name = "torch toy"
        self.template = toys.TEMPLATE

    def encode(self, crops: Crops) -> Templates:
        import torch

        with torch.no_grad():
            pixels = torch.from_numpy(toys.shades(crops)[:, None].astype(np.float32))
            vectors: Floats = self._net(pixels).numpy().astype(np.float32)
        return Templates(vectors[:, None, None, :], vectors, self.name)

    def score(self, probes: Templates, references: Templates) -> Reals:
        a, b = (side.vectors.astype(np.float64) for side in (probes, references))
        scores: Reals = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
        return scores


@dataclass(frozen=True)
class Hiding:
    """Drop of the score for each cell hidden."""

    matcher: Network
    name: str = "hiding"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        maps = [self._drops(probe, reference), self._drops(reference, probe)]
        sides = [self.matcher.encode(face.crop[None]) for face in (probe, reference)]
        return Explanation(self.name, maps[0], maps[1], float(self.matcher.score(*sides)[0]), Cost(100))

    def _drops(self, face: AlignedFace, other: AlignedFace) -> Maps:
        crops = np.repeat(face.crop[None], 50, axis=0)
        for cell in range(49):
            row, col = divmod(cell, 7)
            crops[cell, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4] = 0
        whole = self.matcher.encode(other.crop[None])
        references = Templates(np.repeat(whole.grids, 50, axis=0), np.repeat(whole.vectors, 50, axis=0), whole.model)
        scores = self.matcher.score(self.matcher.encode(crops), references)
        return np.kron((scores[-1] - scores[:-1]).reshape(7, 7), np.ones((4, 4)))


def test_a_network_left_in_training_mode_is_caught_and_the_same_in_evaluation_passes() -> None:
    sound, faulty = Network(training=False), Network(training=True)
    pairs = PAIRS[:4]
    assert failed(sanity_checks(sound, Hiding(sound), pairs)) == set()
    found = failed(sanity_checks(faulty, Hiding(faulty), pairs))
    assert "the same photo twice, alone and among others, has the same score" in found
    assert "the same pair twice has the same maps" in found


def test_maps_of_the_photo_alone_are_caught_by_a_network_that_lost_its_weights() -> None:
    name = "maps change when the weights are shuffled"
    assert failed(sanity_checks(Pooled(), Exact(Pooled()), PAIRS, broken=Exact(Pooled(seed=6)))) == set()
    matcher = toys.weighted(toys.skewed_weights())
    photo = toys.ToyExplainer(matcher, "own photo")
    assert failed(sanity_checks(matcher, photo, PAIRS, broken=photo)) == {name}


def test_few_pairs_are_refused_and_a_number_that_is_none_fails() -> None:
    with pytest.raises(InvalidArgument, match="three or more"):
        sanity_checks(Pooled(), Exact(Pooled()), PAIRS[:2])
    assert not Check("x", float("nan"), 0.0, True).passed
    assert not Check("x", float("nan"), 0.0, False).passed


@pytest.mark.slow
def test_the_shipped_models_own_maps_pass_and_a_prior_does_not(aligned: Callable[[str], AlignedFace]) -> None:
    matcher = GridMatcher(DlibResNet(grid="trusted"), TrustWeighted())
    names = [("0_front", "0_smile"), ("1_front", "1_yaw"), ("2_front", "3_front"), ("4_front", "5_light")]
    pairs = [FacePair(f"{a} {b}", aligned(a), aligned(b), (a[0], b[0])) for a, b in names]
    own, prior = (failed(sanity_checks(matcher, build_explainer(name, matcher), pairs)) for name in ("own", "center"))
    assert own == set()
    assert prior == {"each map fits its own pair better than other pairs"}
