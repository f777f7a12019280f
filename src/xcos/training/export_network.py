"""A trained network → ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn
from torch.jit._trace import TracerWarning


def export_network(network: nn.Module, side: int) -> bytes:
    """``model.onnx``: input ``pixels`` (n, 3, side, side) float32, normalised; outputs ``grid`` and ``vector``.

    As :class:`~xcos.training.networks.features.Features`, in evaluation mode, with the n left open. By the exporter
    that traces: it needs no further package and takes a tenth of the other's time; these networks have no control
    flow that tracing would miss.
    """
    network = network.eval().cpu()
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "model.onnx"
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", TracerWarning)  # checks of the input's shape are left out
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, side, side),),
            path,
            input_names=["pixels"],
            output_names=["grid", "vector"],
            dynamic_axes={name: {0: "n"} for name in ("pixels", "grid", "vector")},
            opset_version=17,
            dynamo=False,
        )
        return path.read_bytes()
