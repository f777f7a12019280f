"""Published weights of IR and IR-SE networks, and of the xCos authors' models, under the names that are used here.

Theirs are the names of InsightFace_Pytorch (TreB1eN), which face.evoLVe and the xCos authors share: ``input_layer``,
``body.N.res_layer``, ``body.N.shortcut_layer``, ``output_layer``. In the authors' models these stand below
``backbone``, with ``conv1x1`` among them and ``attention`` beside, and those of the teacher below ``backbone_target``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

import torch
from safetensors.torch import save
from torch import Tensor

from xcos.errors import InvalidModel
from xcos.training.head import make_head
from xcos.training.misfit import below
from xcos.training.networks.ir import UNITS, Ir

WRAPPER = "module."  # of torch's DataParallel, in which many networks were saved
SEQUENCES = {"stem": "input_layer", "output": "output_layer"}
GATE = {"residual.5.gate.1": "res_layer.5.fc1", "residual.5.gate.3": "res_layer.5.fc2"}
HEAD_CHANNELS = 32
HEAD_BLOCKS = {
    "projection": ("conv1x1", 0),
    "weighting.face": ("attention.embedding_net", 0),
    "weighting.joint": ("attention.attention", 0),
    "weighting.last": ("attention.attention", 3),
}
IN_BLOCK = ("conv", "norm", "activation")
COUNTER = ".num_batches_tracked"
"""Of batch normalisation; not in older files, and of no use here."""
SHOWN = 5

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """What a network of this family is like."""

    depth: Literal[18, 34, 50, 100]
    squeeze: bool
    vector_size: int
    head: bool
    """Whether an xCos head stands on it, whose weighting is ``concat``."""


@dataclass(frozen=True, eq=False)
class Published:
    """What a file held, by the names of this package: ``network.…`` and, where there is one, ``head.…``."""

    layout: Layout
    tensors: Tensors

    def to_safetensors(self) -> bytes:
        """A file that a recipe's ``weights`` read, :func:`xcos.training.build.read_weights`."""
        return save(dict(self.tensors))


def read_published(path: str | Path, *, teacher: bool = False) -> Published:
    """The network in a file of ``torch.save``, with its xCos head if it has one; or its ``teacher``, if it has one.

    Only tensors are read (``weights_only``), nothing in the file is run. :class:`InvalidModel` for all else, for names
    and shapes that are not an IR or IR-SE network's for crops of 112 × 112, and for numbers that are not finite.
    """
    path = Path(path)
    tensors = _chosen(_loaded(path), teacher, path)
    layout = _layout(tensors, path)
    names, wanted = _names(layout), _empty(layout)
    found = {names.get(name, name): each for name, each in tensors.items()}
    counters = {name: torch.zeros((), dtype=torch.int64) for name in wanted if name.endswith(COUNTER)}
    found = {**counters, **found}
    _require_same(found, wanted, {ours: theirs for theirs, ours in names.items()}, path)
    return Published(layout, {name: found[name].to(wanted[name].dtype).contiguous() for name in wanted})


def _loaded(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, those of its ``state_dict`` if it has one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of what is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InvalidModel(f"cannot read {path}: {error.strerror or error}; give a file of weights") from error
    except (UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidModel(
            f"{path.name} is no file of tensors alone, and nothing else is read, because that would run what is in the "
            "file; save the network's weights with torch.save(network.state_dict(), FILE)",
            path=str(path),
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(each, Tensor) for each in content.values()):
        raise InvalidModel(
            f"{path.name} holds no state_dict, names with tensors; save the network's weights with "
            "torch.save(network.state_dict(), FILE)",
            path=str(path),
        )
    return {str(name).removeprefix(WRAPPER): each for name, each in content.items()}


def _chosen(tensors: Tensors, teacher: bool, path: Path) -> dict[str, Tensor]:
    """Those of one network, and of the head that belongs to it; class centers (``head.``) are left out."""
    teachers, backbone = below(tensors, "backbone_target."), below(tensors, "backbone.")
    if teacher:
        if not teachers:
            raise InvalidModel(f"{path.name} has no teacher (backbone_target.…); leave away --teacher", path=str(path))
        return teachers
    attention = {name: each for name, each in tensors.items() if name.startswith("attention.")}
    return {**backbone, **attention} if backbone else dict(tensors)


def _layout(tensors: Tensors, path: Path) -> Layout:
    units = len({match[1] for name in tensors if (match := re.match(r"body\.(\d+)\.", name))})
    depths = {sum(stages): depth for depth, stages in UNITS.items()}
    linear = tensors.get("output_layer.3.weight")
    if units not in depths or linear is None or linear.ndim != 2:
        raise InvalidModel(
            f"{path.name} is no IR or IR-SE network of depth {', '.join(map(str, UNITS))}: it has {units} units "
            f"(body.N.…) and names such as {', '.join(list(tensors)[:SHOWN]) or 'none'}; names are expected as in "
            "InsightFace_Pytorch (input_layer, body.N.res_layer, output_layer)",
            path=str(path),
        )
    return Layout(
        depth=depths[units],  # type: ignore[arg-type]  # the keys of UNITS
        squeeze=any(".res_layer.5." in name for name in tensors),
        vector_size=len(linear),
        head="conv1x1.0.weight" in tensors,
    )


def _empty(layout: Layout) -> dict[str, Tensor]:
    """Names, shapes and types of such a network and its head, without numbers."""
    with torch.device("meta"):
        network = Ir(layout.depth, squeeze=layout.squeeze, vector_size=layout.vector_size)
        modules = {"network": network.state_dict()}
        if layout.head:
            modules["head"] = make_head("concat", network.grid_channels, channels=HEAD_CHANNELS).state_dict()
    return {f"{part}.{name}": each for part, state in modules.items() for name, each in state.items()}


def _names(layout: Layout) -> dict[str, str]:
    """Published name → the name here."""
    return {_published(name, layout): name for name in _empty(layout)}


def _published(name: str, layout: Layout) -> str:
    part, _, inner = name.partition(".")
    return _published_of_head(inner) if part == "head" else _published_of_network(inner, UNITS[layout.depth])


def _published_of_network(name: str, units: tuple[int, ...]) -> str:
    first, _, rest = name.partition(".")
    if first in SEQUENCES:
        return f"{SEQUENCES[first]}.{rest}"
    stage, unit, inner = rest.split(".", 2)  # of "stages"
    for ours, theirs in GATE.items():
        inner = inner.replace(ours, theirs)
    inner = re.sub(r"^residual\.", "res_layer.", inner)
    inner = re.sub(r"^shortcut\.", "shortcut_layer.", inner)
    return f"body.{sum(units[: int(stage)]) + int(unit)}.{inner}"


def _published_of_head(name: str) -> str:
    block, layer, value = name.rsplit(".", 2)
    sequence, start = HEAD_BLOCKS[block]
    return f"{sequence}.{start + IN_BLOCK.index(layer)}.{value}"


def _require_same(found: Tensors, wanted: Tensors, published: Mapping[str, str], path: Path) -> None:
    """Raises unless names and shapes are the wanted ones and all numbers are finite; errors say published names."""
    missing = [published[name] for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    wrong = [
        f"{published[name]} is {tuple(found[name].shape)} and {tuple(each.shape)} was expected"
        for name, each in wanted.items()
        if name in found and found[name].shape != each.shape
    ]
    told = {"lacks": missing, "has besides": unknown, "has other shapes:": wrong}
    faults = [f"{what} {', '.join(names[:SHOWN])}" for what, names in told.items() if names]
    if faults:
        raise InvalidModel(
            f"{path.name} looks like an IR network and {'; '.join(faults)}: it is another architecture", path=str(path)
        )
    for name, tensor in found.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InvalidModel(f"{published[name]} of {path.name} is not finite; the file is damaged", path=str(path))
