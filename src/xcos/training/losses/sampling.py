"""Which classes take part in a step."""

from __future__ import annotations

import torch
from torch import Tensor

from xcos.errors import InvalidArgument


def sample_classes(labels: Tensor, classes: int, rate: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Classes that take part (k,), ascending, and each label's column among them (n,).

    All classes of ``labels`` and as many others, drawn without replacement, as make ``rate · classes`` together; the
    labels' classes alone where they are more, at least one in any case (Partial FC; An et al. 2021 and 2022,
    arXiv 2010.05222 and 2203.15565). A label of −1, a class that is elsewhere, stays −1.
    """
    here = labels >= 0
    order = torch.rand(classes, generator=generator, device=generator.device).to(labels.device)
    order[labels[here]] = 2.0  # before every other
    count = max(1, int(rate * classes), int((order == 2.0).sum()))
    chosen = order.topk(count).indices.sort().values
    return chosen, torch.where(here, torch.searchsorted(chosen, labels), -1)


def require_rate(rate: float) -> None:
    """Raises :class:`InvalidArgument` for a share of classes outside 0…1 or 0."""
    if not 0 < rate <= 1:
        raise InvalidArgument(f"sample_rate must be above 0 and at most 1, got {rate}")
