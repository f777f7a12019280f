"""A matcher through which gradients flow: torch networks for crops, and scores of their templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from xcos.alignment import require_crops
from xcos.embedders.dlib_resnet import CARD, SHIPPED, Grid, model_name, published_layers
from xcos.embedders.trusted_stage import FLOOR, read_stage
from xcos.errors import InvalidArgument, InvalidModel, NetworkInTraining
from xcos.explainers.explanation import Cost
from xcos.explainers.masking import PAIR_COST, open_pair
from xcos.explainers.matcher import GridMatcher, Matcher, VectorMatcher
from xcos.training.networks.dlib_resnet import DlibNetwork
from xcos.training.networks.trusted_stage import TrustedStage
from xcos.types import AlignedFace, CropTemplate
from xcos.weights import WeightCard, read_card, verified_bytes

PARITY = 1e-4
"""How far the score in torch may be from that of the matcher it stands for; rounding gives some 1e-6."""


class Scoring(Protocol):
    """How two templates ``(1, …)`` become a score, taken apart by channel."""

    @property
    def name(self) -> str:
        """Short name."""
        ...

    def terms(self, one: Tensor, other: Tensor) -> Tensor:
        """``(D,)`` terms of a pair that sum to its score; the same for both orders."""
        ...

    def channels(self, one: Tensor, other: Tensor) -> Tensor:
        """``(D,)``: what of ``one`` alone each term is made of, for methods that take a gradient per channel."""
        ...


@dataclass(frozen=True)
class CosineScoring:
    """The cosine of flattened templates: terms ``a_k b_k`` of the unit vectors."""

    name: str = "cosine"

    def terms(self, one: Tensor, other: Tensor) -> Tensor:
        """``(D,)`` products of the two unit vectors."""
        return _unit(one) * _unit(other)

    def channels(self, one: Tensor, other: Tensor) -> Tensor:  # noqa: ARG002  # as Scoring
        """``(D,)``: the unit vector."""
        return _unit(one)


@dataclass(frozen=True)
class TrustScoring:
    """``Σ a·b / Σ |a||b|`` over the cells of grids ``(1, C, rows, cols)``, as :class:`xcos.TrustWeighted`."""

    name: str = "trust"

    def terms(self, one: Tensor, other: Tensor) -> Tensor:
        """``(C,)``: what each channel adds, over all cells."""
        lengths = torch.linalg.vector_norm(one, dim=1) * torch.linalg.vector_norm(other, dim=1)
        shares: Tensor = (one * other).sum(dim=(0, 2, 3)) / lengths.sum()
        return shares

    def channels(self, one: Tensor, other: Tensor) -> Tensor:
        """``(C,)``: the terms themselves, as no channel of a grid is one number."""
        return self.terms(one, other.detach())


@dataclass(frozen=True)
class NormScoring:
    """The cosine of flattened grids ``(1, C, rows, cols)``, as :class:`xcos.NormWeighted`, taken apart by channel."""

    name: str = "norm"

    def terms(self, one: Tensor, other: Tensor) -> Tensor:
        """``(C,)``: what each channel adds, over all cells."""
        return (_unit(one) * _unit(other)).reshape(one.shape).sum(dim=(0, 2, 3))

    def channels(self, one: Tensor, other: Tensor) -> Tensor:
        """``(C,)``: the terms themselves."""
        return self.terms(one, other.detach())


@dataclass(frozen=True, eq=False)
class DifferentiableMatcher:
    """A torch network and how its templates are compared; what the gradient explainers explain.

    The network must be in evaluation mode, now and whenever it explains: in training mode its numbers depend on the
    batch and on chance, and the maps are wrong without looking wrong.
    """

    name: str
    network: nn.Module
    """Normalised pixels ``(n, 3, H, W)``, in the card's order of colours → templates ``(n, …)``."""
    card: WeightCard
    scoring: Scoring
    map_layer: str
    """Path of the module that gives the last feature map, for Grad-CAM."""
    first_layer: str
    """Path of a module near the pixels, where EBP's probabilities are read; empty for the pixels themselves."""
    stands_for: Matcher | None = None
    """The matcher that decides, whose score this one's must be in every explanation; None where it decides itself."""
    on_gradient: Callable[[], object] | None = None
    """Called for every gradient that reaches the pixels; None calls nothing."""

    def __post_init__(self) -> None:
        require_evaluation(self.network)
        for path in filter(None, (self.map_layer, self.first_layer)):
            self.module(path)

    @property
    def template(self) -> CropTemplate:
        """By which its crops are cut."""
        return self.card.template

    def module(self, path: str) -> nn.Module:
        """The network's module at ``path``, such as ``trunk.first``."""
        try:
            return self.network.get_submodule(path)
        except AttributeError as error:
            known = [name for name, _ in self.network.named_modules() if name][:20]
            raise InvalidArgument(f"the network has no module {path!r}; it has {', '.join(known)} …") from error

    def pixels(self, face: AlignedFace) -> Tensor:
        """``(1, 3, H, W)`` as the network wants it, ready to be asked for its gradient."""
        require_crops(face.crop[None], self.card.template)
        ordered = face.crop[..., ::-1] if self.card.color == "bgr" else face.crop
        normalised = (ordered.astype(np.float64) - np.array(self.card.mean)) * self.card.scale
        parameter = next(self.network.parameters(), torch.zeros(0))
        placed = torch.from_numpy(normalised.transpose(2, 0, 1)[None].copy())
        pixels = placed.to(parameter.device, parameter.dtype).requires_grad_()
        if self.on_gradient is not None:
            pixels.register_hook(_telling(self.on_gradient))  # type: ignore[no-untyped-call]
        return pixels

    def encode(self, pixels: Tensor) -> Tensor:
        """Template ``(1, …)``, with the graph back to the pixels."""
        require_evaluation(self.network)
        template: Tensor = self.network(pixels)
        return template

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """The pair's score, a scalar."""
        return self.scoring.terms(one, other).sum()

    def agreed(self, score: Tensor, probe: AlignedFace, reference: AlignedFace) -> tuple[float, Cost]:
        """The score of the pair by the matcher this one stands for, and what it cost to ask.

        Asked before a map is made. Raises :class:`InvalidModel` where ``score``, that of this matcher, is another one:
        its gradients would be those of another network.
        """
        mine = float(score.detach())
        if self.stands_for is None:
            return mine, Cost(0)
        theirs = open_pair(self.stands_for, probe, reference).score
        if not abs(mine - theirs) <= PARITY:
            raise InvalidModel(
                f"{self.name} gives the score {mine:.6f} in torch, {self.stands_for.name} gives {theirs:.6f}; they may "
                f"differ by {PARITY}: the gradients are of another network, so nothing is explained by them",
                torch=mine,
                matcher=theirs,
            )
        return theirs, PAIR_COST


def _telling(told: Callable[[], object]) -> Callable[[Tensor], None]:
    """A hook that leaves the gradient as it is."""

    def hook(_: Tensor) -> None:
        told()

    return hook


def require_evaluation(network: nn.Module) -> None:
    """Raises :class:`NetworkInTraining` unless every module of the network is in evaluation mode."""
    training = [name or "(the network itself)" for name, module in network.named_modules() if module.training]
    if training:
        raise NetworkInTraining(
            f"{len(training)} modules are in training mode, {training[0]} among them, where numbers depend on the "
            "batch and on chance; call network.eval() first",
            modules=training[:20],
        )


class VectorNetwork(nn.Module):
    """The vector ``(n, D)`` of a network that gives :class:`xcos.training.networks.features.Features`."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, pixels: Tensor) -> Tensor:
        """Vectors, not normalised."""
        vector: Tensor = self.trunk(pixels).vector
        return vector


class GridNetwork(nn.Module):
    """The grid ``(n, C, rows, cols)`` of a network that gives features."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, pixels: Tensor) -> Tensor:
        """Grids, not normalised."""
        grid: Tensor = self.trunk(pixels).grid
        return grid


class StagedNetwork(nn.Module):
    """The shipped model's grid ``(n, 128, 7, 7)``: features as long as each cell can be trusted.

    Unlike in training, gradients also flow through what the network takes for covered.
    """

    def __init__(self, trunk: DlibNetwork, stage: TrustedStage) -> None:
        super().__init__()
        self.trunk, self.stage = trunk, stage

    def forward(self, pixels: Tensor) -> Tensor:
        """The grid of :class:`xcos.DlibResNet` with ``grid="trusted"``."""
        fourth = self.trunk.trunk(pixels)
        visible = torch.sigmoid(-self.stage.coverage(fourth))
        return self.stage.features(fourth, visible) * (visible**2 + FLOOR)


def shipped_matcher(score: Literal["grid", "vector"] = "grid") -> DifferentiableMatcher:
    """The shipped model in torch: its ``grid`` with trust weighting, or its network's own ``vector`` and the cosine.

    Scores are those of :class:`xcos.explainers.matcher.GridMatcher` and ``VectorMatcher`` on the packaged embedder.
    """
    if score not in ("grid", "vector"):
        raise InvalidArgument(f"score must be 'grid' or 'vector', got {score!r}")
    return _in_torch("vector", CosineScoring()) if score == "vector" else _in_torch("trusted", TrustScoring())


def differentiable(matcher: Matcher, *, on_gradient: Callable[[], object] | None = None) -> DifferentiableMatcher:
    """A packaged network's matcher in torch: what the gradient explainers need to explain it.

    For the vector of dlib's network, and for its grids (the shipped model's among them) by ``trust`` or ``norm``. Every
    explanation compares the score in torch with the matcher's own. Raises :class:`InvalidArgument` for other matchers,
    whose network has no gradients here.
    """
    grids: dict[str, Grid] = {
        model_name("last"): "last",
        model_name("fourth"): "fourth",
        model_name("trusted", read_card(SHIPPED / "card.json")): "trusted",
    }
    match matcher:
        case VectorMatcher(embedder) if embedder.model in grids:
            made = _in_torch("vector", CosineScoring())
        case GridMatcher(embedder, comparator) if embedder.model in grids and comparator.name in SCORINGS:
            made = _in_torch(grids[embedder.model], SCORINGS[comparator.name])
        case _:
            raise InvalidArgument(
                f"explaining by gradients needs the network in torch, and {matcher.name} is not there: only the "
                f"packaged networks by {' or '.join(SCORINGS)} are; use a method that needs only scores, such as "
                "corrrise",
                matcher=matcher.name,
            )
    return replace(made, stands_for=matcher, on_gradient=on_gradient)


SCORINGS: dict[str, Scoring] = {"trust": TrustScoring(), "norm": NormScoring()}
"""By the comparator's name."""


def _in_torch(what: Grid | Literal["vector"], scoring: Scoring) -> DifferentiableMatcher:
    layers = published_layers()
    trunk = DlibNetwork(layers, grid="last" if what == "last" else "fourth")
    card = CARD
    network: nn.Module = VectorNetwork(trunk) if what == "vector" else GridNetwork(trunk)
    if what == "trusted":
        card = read_card(SHIPPED / "card.json")
        weights = read_stage(verified_bytes(SHIPPED / "stage.npz", card.sha256))
        stage = TrustedStage(layers, weights.mean_face.transpose(1, 2, 0), np.zeros(128, np.float32))
        stage.load(weights)
        network = StagedNetwork(trunk, stage)
    return DifferentiableMatcher(
        name=f"{card.name} · {what if what == 'vector' else scoring.name}",
        network=network.eval(),
        card=card,
        scoring=scoring,
        map_layer="trunk.early_stages",
        first_layer="trunk.first",
    )


def gradient(value: Tensor, of: Tensor, *, keep: bool = True) -> Tensor:
    """d value / d of; 0 where the value does not depend on it."""
    (found,) = torch.autograd.grad(value, of, retain_graph=keep, allow_unused=True)
    return torch.zeros_like(of) if found is None else found


def _unit(template: Tensor) -> Tensor:
    flat = template.flatten()
    length: Tensor = torch.linalg.vector_norm(flat)
    if not bool(length > 0):
        raise InvalidModel("the network gave an all-zero template, which has no direction")
    unit: Tensor = flat / length
    return unit
