"""Grad-CAM of a pair's score."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from xcos.errors import InvalidArgument
from xcos.explainers.explanation import Cost, Explanation, Setting
from xcos.gradients.maps import on_pixels, require_places, summed_over_channels
from xcos.gradients.matcher import DifferentiableMatcher
from xcos.types import AlignedFace


@dataclass(frozen=True)
class GradCam:
    """Channels of a feature map by how much the score rises with them: ``relu(Σ α_k A_k)``, α the mean gradient.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (ICCV 2017),
    with the pair's score in the place of a class. Two forward and two backward passes, both maps from one gradient.
    With ``signed`` the last ReLU is left out, so that what speaks against a match is below 0. ``layer`` is the path of
    a module with places; the matcher's own where it is empty.
    """

    matcher: DifferentiableMatcher
    layer: str = ""
    signed: bool = False

    def __post_init__(self) -> None:
        if self.layer:
            self.matcher.module(self.layer)

    @property
    def name(self) -> str:
        """``grad-cam``."""
        return "grad-cam"

    def explain(self, probe: AlignedFace, reference: AlignedFace) -> Explanation:
        """Maps at the resolution of the layer, enlarged to the crops."""
        layer = self.layer or self.matcher.map_layer
        with captured(self.matcher.module(layer)) as seen:
            templates = [self.matcher.encode(self.matcher.pixels(face)) for face in (probe, reference)]
        if len(seen) != 2:
            raise InvalidArgument(
                f"layer {layer} runs {len(seen)} times for two photos; name one that runs once for each"
            )
        for features in seen:
            require_places(features)
        value = self.matcher.score(*templates)
        score, asked = self.matcher.agreed(value, probe, reference)
        gradients = torch.autograd.grad(value, seen, allow_unused=True)
        maps = []
        for face, features, gradient in zip((probe, reference), seen, gradients, strict=True):
            if gradient is None:
                raise InvalidArgument(f"the score does not depend on layer {layer}; name another")
            weighted = gradient.mean(dim=(2, 3), keepdim=True) * features
            cam = summed_over_channels(weighted)
            maps.append(on_pixels(cam if self.signed else relu(cam), face))
        settings: dict[str, Setting] = {"layer": layer, "signed": self.signed}
        return Explanation(self.name, maps[0], maps[1], score, Cost(2, 2) + asked, settings)


@contextmanager
def captured(module: nn.Module) -> Iterator[list[Tensor]]:
    """Outputs of a module, one for each time it runs inside the ``with``."""
    outputs: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()
