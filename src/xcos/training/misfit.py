"""Why tensors are not the state of a module, in few words."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

SHOWN = 2


def misfit(module: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """What is missing, unknown or of another shape, by the first names and a count; empty where all fit."""
    wanted = module.state_dict()
    found = [f"{name} is missing" for name in wanted if name not in tensors]
    found += [f"{name} is unknown" for name in tensors if name not in wanted]
    found += [
        f"{name} is {tuple(tensors[name].shape)} and should be {tuple(each.shape)}"
        for name, each in wanted.items()
        if name in tensors and tensors[name].shape != each.shape
    ]
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more
