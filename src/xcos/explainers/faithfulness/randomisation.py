"""Cascading weight randomisation: a map that survives the loss of the network's weights did not come from them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xcos.errors import InvalidArgument
from xcos.explainers.faithfulness.map_likeness import Likeness, likeness
from xcos.explainers.faithfulness.measure import Explain, FacePair
from xcos.explainers.matcher import Matcher
from xcos.onnx_runtime import parse_model
from xcos.types import Maps

Alter = Callable[[bytes], bytes]
"""Takes a network as ONNX and gives another."""
Rebuild = Callable[[Alter], Matcher]
"""The matcher with its network altered, such as ``lambda alter: GridMatcher(DlibResNet(alter=alter), Uniform())``."""
COUNTS = (1, 2, 4, 8, 16, 0)
"""Layers from the top that are shuffled step by step; 0: all."""
SMALLEST = 16
"""Arrays of fewer numbers (a mean colour, a scale) are no learned weights."""


@dataclass(frozen=True)
class RandomisedStep:
    """What became of the maps."""

    layers: tuple[str, ...]
    """Whose weights were shuffled, the topmost first."""
    likeness: Likeness
    """Of the probe's maps before and after, mean over pairs."""


def cascade(
    rebuild: Rebuild,
    explain_of: Callable[[Matcher], Explain],
    pairs: Sequence[FacePair],
    *,
    output: str = "grid",
    counts: Sequence[int] = COUNTS,
    separately: bool = False,
    seed: int = 0,
) -> list[RandomisedStep]:
    """Likeness of the maps after the top 1, 2, 4 … layers (0: all) below ``output`` were shuffled.

    With ``separately`` only the last of those layers is, the ones above it keep their weights. The maps of a sound
    explainer lose their likeness; one that keeps it shows the photo or a prior, not the network.
    """
    if not pairs:
        raise InvalidArgument("the likeness of maps needs at least one pair")
    before = _maps(explain_of(rebuild(lambda content: content)), pairs)
    steps = []
    for layers, matcher in randomised_matchers(rebuild, output, counts, separately=separately, seed=seed):
        after = _maps(explain_of(matcher), pairs)
        found = [likeness(*maps) for maps in zip(before, after, strict=True)]
        mean = Likeness(*np.mean([(f.signed, f.absolute, f.ssim, f.hog) for f in found], axis=0).tolist())
        steps.append(RandomisedStep(layers, mean))
    return steps


def _maps(explain: Explain, pairs: Sequence[FacePair]) -> list[Maps]:
    return [explain(pair.probe, pair.reference).probe for pair in pairs]


def randomised_matchers(
    rebuild: Rebuild, output: str, counts: Sequence[int], *, separately: bool = False, seed: int = 0
) -> Iterator[tuple[tuple[str, ...], Matcher]]:
    """Names of the shuffled layers and the matcher with them, from the top down."""
    networks: list[bytes] = []

    def keep(content: bytes) -> bytes:
        networks.append(content)
        return content

    rebuild(keep)
    names = list(weighted_layers(networks[0], output))
    for count in dict.fromkeys(min(count, len(names)) or len(names) for count in counts):
        chosen = tuple(names[count - 1 : count] if separately else names[:count])
        yield chosen, rebuild(lambda content, chosen=chosen: shuffled(content, chosen, output, seed))  # type: ignore[misc]


def weighted_layers(content: bytes, output: str) -> dict[str, list[str]]:
    """Layers that ``output`` is computed from, nearest to it first, each with the names of its arrays of weights."""
    graph = parse_model(content, "the network").graph
    sizes = {each.name: int(np.prod(each.dims)) for each in graph.initializer if each.data_type == 1}
    needed = {output}
    layers: dict[str, list[str]] = {}
    for node in reversed(graph.node):  # ONNX lists a node after those it reads from
        if needed.isdisjoint(node.output):
            continue
        needed |= set(node.input)
        weights = [name for name in node.input if sizes.get(name, 0) >= SMALLEST]
        if weights:
            layers[f"{node.op_type} {node.output[0]}"] = weights
    if not layers:
        raise InvalidArgument(f"the network has no weights below {output!r}; name one of its outputs")
    return layers


def shuffled(content: bytes, layers: Collection[str], output: str, seed: int) -> bytes:
    """The network with those layers' weights shuffled within each array: their distribution stays, their order goes."""
    from onnx import numpy_helper

    known = weighted_layers(content, output)
    chosen = {name for layer in layers for name in known[layer]}
    network: Any = parse_model(content, "the network")
    for at, array in enumerate(network.graph.initializer):
        if array.name in chosen:
            values = numpy_helper.to_array(array)
            mixed = np.random.default_rng([seed, at]).permutation(values.ravel()).reshape(values.shape)
            array.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(mixed), array.name))
    content = network.SerializeToString()
    return content
