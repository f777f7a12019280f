"""Excitation backprop as a way to run a network: forward as ever, backward with winning probabilities.

Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016, as Williford, May, Byrne (ECCV 2020) use it
on faces: a probability p at the output of a layer goes to its inputs in proportion to how much each excites it,
``p_in = A · W⁺ᵀ (p_out / (W⁺ A))``, with A the inputs where they are positive and W⁺ the weights where they are. What
nothing excites passes nothing on.

It works on a network as it is, without rewriting: while it runs, every function that torch calls is looked up here. One
that has no rule is an error, so that no ordinary gradient is ever taken for a probability.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from xcos.errors import InvalidModel
from xcos.gradients.grad_cam import captured
from xcos.gradients.matcher import DifferentiableMatcher, require_evaluation

Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Run:
    """One pass of a network, the graph kept."""

    template: Tensor
    first: Tensor
    """Output of the matcher's first layer, or the pixels."""
    activations: list[Tensor]
    """Outputs of the network's ReLUs behind the first layer, in order."""


def ordinary_run(matcher: DifferentiableMatcher, pixels: Tensor) -> Run:
    """A pass through whose graph gradients flow back."""
    return _run(matcher, pixels, _Recorder())


def excited_run(matcher: DifferentiableMatcher, pixels: Tensor) -> Run:
    """A pass with the same numbers, through whose graph probabilities flow back.

    Counts as two forward passes: beside the true values, those by positive weights alone.
    """
    return _run(matcher, pixels, _Excited())


def flow(probability: Tensor, at: Tensor, to: Tensor) -> Tensor:
    """What ``probability`` over ``at`` becomes at ``to`` of the same excited run; 0 where it does not lead there."""
    (found,) = torch.autograd.grad(at, to, probability, retain_graph=True, allow_unused=True)
    return torch.zeros_like(to) if found is None else found


def _run(matcher: DifferentiableMatcher, pixels: Tensor, mode: _Recorder) -> Run:
    require_evaluation(matcher.network)
    # Without their own gradients, parameters are constants and only what comes from the pixels carries anything.
    constants = {name: value.detach() for name, value in matcher.network.named_parameters()}
    network: nn.Module = matcher.network
    if not matcher.first_layer:
        with mode:
            template = functional_call(network, constants, (pixels,))
        return Run(template, pixels, mode.activations)
    with captured(matcher.module(matcher.first_layer)) as seen:
        started = matcher.module(matcher.first_layer).register_forward_hook(lambda *_: mode.activations.clear())
        try:
            with mode:
                template = functional_call(network, constants, (pixels,))
        finally:
            started.remove()
    if len(seen) != 1:
        raise InvalidModel(f"the first layer must run once in a pass, {matcher.first_layer} ran {len(seen)} times")
    return Run(template, seen[0], mode.activations)


class _Recorder(TorchFunctionMode):
    """Keeps what the ReLUs give."""

    def __init__(self) -> None:
        super().__init__()
        self.activations: list[Tensor] = []

    def __torch_function__(
        self, function: Function, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = function.__name__
        result = self._call(name, function, args, kwargs or {})
        if name in _ACTIVATIONS and _carries(result):
            self.activations.append(result)
        return result

    def _call(self, name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG002
        return function(*args, **kwargs)


class _Excited(_Recorder):
    """Has the backward of every function replaced by its rule."""

    def _call(self, name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not any(_carries(value) for value in (*args, *kwargs.values())) and name not in _JOINING:
            return function(*args, **kwargs)
        if name in _RULES:
            return _RULES[name](function, *args, **kwargs)
        result = function(*args, **kwargs)
        if _carries(result) and name not in _PASSING:
            raise InvalidModel(
                f"excitation backprop has no rule for torch's '{name}', so this network cannot be explained by it; "
                "use another method"
            )
        return result


def _carries(value: Any) -> bool:
    """Whether probabilities flow back from a value to the pixels."""
    return isinstance(value, Tensor) and value.requires_grad


class _Excite(torch.autograd.Function):
    """True value forward; backward each input's share of what the inputs excite together."""

    @staticmethod
    def forward(ctx: Any, value: Function, excited: Function, *inputs: Tensor) -> Tensor:
        with torch.enable_grad():
            ctx.active = [each.detach().clamp(min=0).requires_grad_() for each in inputs]
            ctx.total = excited(*ctx.active)
        result: Tensor = value(*inputs)
        return result

    @staticmethod
    def backward(ctx: Any, probability: Tensor) -> tuple[Tensor | None, ...]:
        total = ctx.total.detach()
        share = torch.where(total > 0, probability / total, torch.zeros_like(total))
        back = torch.autograd.grad(ctx.total, ctx.active, share, retain_graph=True)
        return None, None, *(active.detach() * each for active, each in zip(ctx.active, back, strict=True))


def _excite(value: Function, excited: Function, *inputs: Tensor) -> Tensor:
    result: Tensor = _Excite.apply(value, excited, *inputs)  # type: ignore[no-untyped-call]
    return result


def _weighted(function: Function, x: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kw: Any) -> Any:
    """Convolution and linear layer: by the positive weights, without bias."""
    positive = weight.clamp(min=0)
    return _excite(
        lambda a: function(a, weight, bias, *args, **kw), lambda a: function(a, positive, None, *args, **kw), x
    )


def _averaged(function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Means and sums over places: linear with positive weights as they are."""
    return _excite(lambda a: function(a, *args, **kwargs), lambda a: function(a, *args, **kwargs), x)


def _added(function: Function, x: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
    """A sum of two flows divides p by their sizes; a constant is a bias."""
    if _carries(x) and _carries(y):
        return _excite(function, lambda a, b: a + b, x, y)
    if _carries(x):
        return _excite(lambda a: function(a, y, *args, **kwargs), lambda a: a + 0 * _like(y), x)
    return _excite(lambda b: function(x, b, *args, **kwargs), lambda b: b + 0 * _like(x), y)


def _subtracted(function: Function, x: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
    """What is taken off excites nothing."""
    if not _carries(x):
        return function(x, y.detach(), *args, **kwargs)
    other = y.detach() if isinstance(y, Tensor) else y
    return _excite(lambda a: function(a, other, *args, **kwargs), lambda a: a + 0 * _like(other), x)


def _scaled(function: Function, x: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
    """A flow times or by a constant passes where the constant is above 0; two flows have no rule."""
    if _carries(x) and _carries(y):
        raise InvalidModel("excitation backprop has no rule for a product of two feature maps; use another method")
    if _carries(x):
        positive = torch.as_tensor(y).clamp(min=0)
        return _excite(lambda a: function(a, y, *args, **kwargs), lambda a: a * (positive > 0), x)
    if function.__name__ in _DIVISIONS:
        raise InvalidModel("excitation backprop has no rule for a division by features; use another method")
    positive = torch.as_tensor(x).clamp(min=0)
    return _excite(lambda b: function(x, b, *args, **kwargs), lambda b: b * (positive > 0), y)


def _passed(function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """PReLU and its like: p stays where the input is above 0."""
    return _excite(lambda a: function(a, *args, **kwargs), lambda a: a * 1, x)


def _normalised(
    function: Function, x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None = None, *args: Any, **kw: Any
) -> Tensor:
    """Batch normalisation in evaluation mode is a scale and a bias per channel."""
    sign = torch.ones_like(mean) if weight is None else (weight > 0).to(x.dtype)
    across = sign.reshape(1, -1, *[1] * (x.ndim - 2))
    return _excite(lambda a: function(a, mean, variance, weight, *args, **kw), lambda a: a * across, x)


def _held(function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Gates (a sigmoid's output) and what is turned negative carry no probability."""
    return function(x.detach(), *args, **kwargs)


def _like(value: Any) -> Any:
    """For broadcasting only."""
    return torch.zeros_like(value) if isinstance(value, Tensor) else 0


_RULES: dict[str, Function] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "linear"), _weighted),
    **dict.fromkeys(("avg_pool2d", "adaptive_avg_pool2d", "mean", "sum"), _averaged),
    **dict.fromkeys(("add", "add_", "__add__", "__radd__", "__iadd__"), _added),
    **dict.fromkeys(("sub", "__sub__", "rsub", "__rsub__"), _subtracted),
    **dict.fromkeys(("mul", "__mul__", "__rmul__", "div", "__truediv__", "true_divide"), _scaled),
    **dict.fromkeys(("prelu", "leaky_relu"), _passed),
    "batch_norm": _normalised,
    **dict.fromkeys(("sigmoid", "neg", "__neg__"), _held),
}
_DIVISIONS = frozenset({"div", "__truediv__", "true_divide"})
_JOINING = frozenset({"cat"})
_ACTIVATIONS = frozenset({"relu", "relu_", "prelu", "leaky_relu"})
# Their own gradients say where each value came from, and so where its probability goes.
_PASSING = frozenset(
    {"relu", "relu_", "max_pool2d", "max_pool2d_with_indices", "adaptive_max_pool2d", "dropout", "pad", "cat", "clone"}
    | {"__getitem__", "view", "reshape", "flatten", "permute", "transpose", "contiguous", "squeeze", "unsqueeze", "to"}
    | {"__get__"}
)
