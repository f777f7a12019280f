"""What is trained, as one module whose output the losses need: a network, or a network with an xCos head."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn.functional import normalize

from xcos.training.head import FaceMaps, XcosHead
from xcos.training.networks.dlib_resnet import DlibNetwork
from xcos.training.networks.ir import Ir
from xcos.training.networks.local import LocalNetwork
from xcos.training.networks.mobilefacenet import MobileFaceNet

Network = Ir | MobileFaceNet | LocalNetwork | DlibNetwork


class LearnerOutput(NamedTuple):
    """Of n photos, or of n / 2 pairs whose probes stand before their references."""

    vectors: Tensor
    """``(n, D)``: what says who it is."""
    scores: Tensor
    """``(n / 2,)`` of the pairs; ``(0,)`` where there are none."""


class NetworkLearner(nn.Module):
    """A network trained as a classifier of its vectors."""

    network: Network

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> LearnerOutput:
        """Vectors of photos ``(n, 3, S, S)``."""
        vectors: Tensor = self.network(pixels).vector
        return LearnerOutput(vectors, vectors.new_zeros(0))

    def encode(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Unit vectors ``(n, D)``."""
        return (normalize(self.network(pixels).vector, dim=1),)

    @staticmethod
    def score(probes: tuple[Tensor, ...], references: tuple[Tensor, ...]) -> Tensor:
        """``(n,)`` cosines."""
        return (probes[0] * references[0]).sum(dim=1)


class HeadLearner(nn.Module):
    """An xCos head on a network; what of the network is not trained stays in evaluation mode and gets no gradient.

    That is a frozen network, else the layers of the vector alone, which the head does not use.
    """

    network: Network

    def __init__(self, network: Network, head: XcosHead, *, frozen: bool) -> None:
        super().__init__()
        self.network = network
        if frozen:
            network.requires_grad_(False)
        else:
            train_what_the_grid_needs(network)
        self.head = head
        self.frozen = frozen
        self.train()

    def train(self, mode: bool = True) -> Self:
        """As of every module, but for what is not trained: its normalisation must not follow the batches."""
        super().train(mode)
        for module in self.network.modules():
            parameters = list(module.parameters())
            if parameters and not any(each.requires_grad for each in parameters):
                module.eval()
        return self

    def forward(self, pixels: Tensor) -> LearnerOutput:
        """ID vectors of photos ``(n, 3, S, S)``, probes before references, and the scores of the pairs."""
        grid, features = self.encode(pixels)
        scores = self.score(*zip(grid.chunk(2), features.chunk(2), strict=True))
        return LearnerOutput(self.head.id_vector(features), scores)

    def encode(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Grid of the network and its projection."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            grid: Tensor = self.network(pixels).grid
        return grid, self.head.project(grid)

    def score(self, probes: tuple[Tensor, ...], references: tuple[Tensor, ...]) -> Tensor:
        """``(n,)``."""
        return self.head.compare(FaceMaps(*probes), FaceMaps(*references)).score


def train_what_the_grid_needs(network: Network) -> None:
    """Takes the gradient from parameters that the grid does not depend on, such as those of the vector.

    They get none from a head either, and distributed training would wait for it.
    """
    side = network.input_side
    parameters = list(network.parameters())
    grid = network.eval()(torch.zeros(1, 3, side, side, device=parameters[0].device)).grid
    for parameter, gradient in zip(parameters, grad(grid.sum(), parameters, allow_unused=True), strict=True):
        parameter.requires_grad_(gradient is not None)


Learner = NetworkLearner | HeadLearner
