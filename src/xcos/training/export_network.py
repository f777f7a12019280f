"""A trained network → ONNX."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning


def export_network(network: nn.Module, side: int, *, vector: bool = True) -> bytes:
    """``model.onnx``: input ``pixels`` (n, 3, side, side) float32, normalised; outputs ``grid`` and, if so, ``vector``.

    As :class:`~xcos.training.networks.features.Features`, in evaluation mode, with the n left open. A copy is exported:
    the network stays in its mode and on its device. By the exporter that traces: it needs no further package and takes
    a tenth of the other's time; these networks have no control flow that tracing would miss.
    """
    network = copy.deepcopy(network).eval().cpu()
    names = ["grid", "vector"] if vector else ["grid"]
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "model.onnx"
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", TracerWarning)  # checks of the input's shape are left out
        torch.onnx.export(
            network if vector else _Grid(network),
            (torch.zeros(2, 3, side, side),),
            path,
            input_names=["pixels"],
            output_names=names,
            dynamic_axes={name: {0: "n"} for name in ("pixels", *names)},
            opset_version=17,
            dynamo=False,
        )
        return path.read_bytes()


class _Grid(nn.Module):
    """The grid of a network alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """``(n, channels, rows, cols)``."""
        grid: Tensor = self.network(pixels).grid
        return grid
