"""Which parameter is trained by which optimizer, and the optimizers' state as named tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xcos.errors import InvalidModel
from xcos.training.config import OptimizerConfig, ScheduleConfig
from xcos.training.schedule import attention_factor, rate_factor

Named = dict[str, nn.Parameter]
Factor = Callable[[ScheduleConfig, float], float]


@dataclass(frozen=True, eq=False)
class Trained:
    """An optimizer with the names of its parameters and its course over time."""

    optimizer: torch.optim.Optimizer
    names: tuple[str, ...]
    """Of all parameters, in the order of the optimizer's groups."""
    rate: float
    factor: Factor

    def set_time(self, schedule: ScheduleConfig, time: float) -> float:
        """Sets and gives the learning rate at ``time``, in epochs."""
        rate = self.rate * self.factor(schedule, time)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def state(self) -> dict[str, Tensor]:
        """``<parameter>/<kind>`` of every tensor the optimizer remembers."""
        parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
        return {
            f"{name}/{kind}": value
            for name, parameter in zip(self.names, parameters, strict=True)
            for kind, value in self.optimizer.state.get(parameter, {}).items()
            if isinstance(value, Tensor)
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what :meth:`state` gave after a step or more; all of it must be there and nothing else."""
        self._require_whole(state)
        by_name: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            name, _, kind = key.rpartition("/")
            by_name.setdefault(name, {})[kind] = value
        numbered = {at: by_name[name] for at, name in enumerate(self.names) if name in by_name}
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": numbered, "param_groups": groups})

    def _require_whole(self, state: Mapping[str, Tensor]) -> None:
        parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
        shapes = {
            f"{name}/{kind}": torch.Size() if kind == "step" else parameter.shape
            for name, parameter in zip(self.names, parameters, strict=True)
            for kind in self._kinds()
        }
        unknown, missing = sorted(state.keys() - shapes.keys()), sorted(shapes.keys() - state.keys())
        if unknown:
            raise InvalidModel(f"the checkpoint's optimizer knows {unknown[0]}, which is not trained here")
        if missing:
            raise InvalidModel(f"the checkpoint's optimizer lacks {missing[0]}, which is trained here")
        for key, shape in shapes.items():
            if state[key].shape != shape:
                raise InvalidModel(f"the checkpoint's {key} is {tuple(state[key].shape)}, not {tuple(shape)}")

    def _kinds(self) -> tuple[str, ...]:
        """What the optimizer remembers of each parameter."""
        if isinstance(self.optimizer, torch.optim.Adam):
            return ("step", "exp_avg", "exp_avg_sq")
        return ("momentum_buffer",) if self.optimizer.defaults["momentum"] else ()


def make_sgd(module: nn.Module, prefix: str, config: OptimizerConfig, *, leave: Iterable[nn.Parameter] = ()) -> Trained:
    """SGD of what a module trains, but for ``leave``; no weight decay on batch normalisation and PReLU."""
    left = set(leave)
    parameters = {
        f"{prefix}{name}": each for name, each in module.named_parameters() if each.requires_grad and each not in left
    }
    free = _undecayed(module)
    decayed = {name: each for name, each in parameters.items() if each not in free}
    others = {name: each for name, each in parameters.items() if each in free}
    groups = [
        {"params": list(named.values()), "weight_decay": decay}
        for named, decay in ((decayed, config.decay), (others, 0.0))
        if named
    ]
    optimizer = torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum)
    return Trained(optimizer, (*decayed, *others), config.rate, rate_factor)


def make_adam(named: Named, config: OptimizerConfig) -> Trained:
    """Adam of the learned attention, with a rate of its own (the xCos authors' research code)."""
    optimizer = torch.optim.Adam(named.values(), lr=config.attention_rate, weight_decay=config.attention_decay)
    return Trained(optimizer, tuple(named), config.attention_rate, attention_factor)


def _undecayed(module: nn.Module) -> set[nn.Parameter]:
    return {
        parameter
        for each in module.modules()
        if isinstance(each, (_BatchNorm, nn.PReLU))
        for parameter in each.parameters(recurse=False)
    }
