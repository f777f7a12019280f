"""Heads with parameters and statistics as if they had been trained, for tests."""

from __future__ import annotations

from collections.abc import Callable

import torch

from xcos.training.head import Concat, Fixed, Norm, Separable, Symmetric, Uniform, Weighting, XcosHead

ROWS, COLS, CHANNELS, FEATURES = 5, 4, 12, 8

WEIGHTINGS: dict[str, Callable[[], Weighting]] = {
    "uniform": Uniform,
    "fixed": lambda: Fixed(torch.arange(1.0, ROWS * COLS + 1).view(ROWS, COLS) / 210),
    "norm": Norm,
    "concat": lambda: Concat(FEATURES, 4),
    "symmetric": lambda: Symmetric(FEATURES, 4),
    "separable": lambda: Separable(CHANNELS, 4, ratio=9.0),
    "separable without bound": lambda: Separable(CHANNELS, 4, ratio=None),
}
ORDERLESS = sorted(set(WEIGHTINGS) - {"concat"})


def grids(seed: int, n: int = 6) -> torch.Tensor:
    """``(n, CHANNELS, ROWS, COLS)``."""
    return torch.randn(n, CHANNELS, ROWS, COLS, generator=torch.Generator().manual_seed(seed))


def trained(weighting: str, seed: int = 0) -> XcosHead:
    """A head in evaluation mode whose every parameter and running statistic is away from its start."""
    head = XcosHead(CHANNELS, WEIGHTINGS[weighting](), channels=FEATURES)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            start = 0.0 if parameter.ndim > 1 else 0.3
            spread = 1.5 / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.5
            parameter.copy_(start + spread * torch.randn(parameter.shape, generator=generator))
        for module in head.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean = 0.3 * torch.randn(module.num_features, generator=generator)
                module.running_var = 0.5 + torch.rand(module.num_features, generator=generator)
    return head.eval()
