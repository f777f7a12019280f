"""A matcher through which gradients flow: torch networks for crops, and scores of their templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from xcos.alignment import require_crops
from xcos.embedders.dlib_resnet import CARD, SHIPPED, published_layers
from xcos.embedders.trusted_stage import FLOOR, read_stage
from xcos.errors import InvalidArgument, InvalidModel, NetworkInTraining
from xcos.training.networks.dlib_resnet import DlibNetwork
from xcos.training.networks.trusted_stage import TrustedStage
from xcos.types import AlignedFace, CropTemplate
from xcos.weights import WeightCard, read_card, verified_bytes


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
        return placed.to(parameter.device, parameter.dtype).requires_grad_()

    def encode(self, pixels: Tensor) -> Tensor:
        """Template ``(1, …)``, with the graph back to the pixels."""
        require_evaluation(self.network)
        template: Tensor = self.network(pixels)
        return template

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """The pair's score, a scalar."""
        return self.scoring.terms(one, other).sum()


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
    layers = published_layers()
    trunk = DlibNetwork(layers, grid="fourth")
    layer_names = {"map_layer": "trunk.early_stages", "first_layer": "trunk.first"}
    if score == "vector":
        network = VectorNetwork(trunk).eval()
        return DifferentiableMatcher(f"{CARD.name} · vector", network, CARD, CosineScoring(), **layer_names)
    card = read_card(SHIPPED / "card.json")
    weights = read_stage(verified_bytes(SHIPPED / "stage.npz", card.sha256))
    stage = TrustedStage(layers, weights.mean_face.transpose(1, 2, 0), np.zeros(128, np.float32))
    stage.load(weights)
    staged = StagedNetwork(trunk, stage).eval()
    return DifferentiableMatcher(f"{card.name} · trust", staged, card, TrustScoring(), **layer_names)


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
