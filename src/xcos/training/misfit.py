"""Tensors into a module, or a typed error that says in few words why they are not its state."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from xcos.errors import Detail, InvalidModel

SHOWN = 2


def load_fitting(
    module: nn.Module, tensors: Mapping[str, Tensor], *, refusal: str, advice: str, **details: Detail
) -> None:
    """Makes ``tensors`` the module's state; :class:`InvalidModel` where they are not all of it and nothing else.

    The message is ``refusal``, then what does not fit, then ``advice``; ``details`` are the error's.
    """
    if found := misfit(module, tensors):
        raise InvalidModel(f"{refusal}: {found}; {advice}", **details)
    module.load_state_dict(tensors)


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with ``prefix``, by the rest of the name."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


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
