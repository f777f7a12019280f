"""What is exported gives the numbers of what was trained."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import onnx
import pytest
import torch
from heads import CHANNELS, COLS, ROWS, WEIGHTINGS, grids, trained
from torch import Tensor, nn

from xcos.alignment import ARCFACE_112
from xcos.embedders import OnnxEmbedder
from xcos.errors import InvalidArgument
from xcos.onnx_runtime import open_session
from xcos.testing import check_embedder
from xcos.training.export import export_head
from xcos.training.export_network import export_network
from xcos.training.head import Concat, Fixed, Separable, Symmetric, Uniform, Weighting, XcosHead
from xcos.training.networks.features import Features
from xcos.training.networks.ir import Ir
from xcos.training.networks.local import LocalNetwork
from xcos.training.networks.mobilefacenet import MobileFaceNet
from xcos.types import Floats
from xcos.weights import WeightCard

EVERY = pytest.mark.parametrize("weighting", WEIGHTINGS)


def run(model: bytes, inputs: dict[str, Floats]) -> dict[str, Floats]:
    session = open_session(model)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def per_face(head: XcosHead, n: int = 6) -> dict[str, Floats]:
    return run(export_head(head, ROWS, COLS), {"grid": grids(1, n).permute(0, 2, 3, 1).contiguous().numpy()})


@EVERY
@torch.no_grad()
def test_features_are_the_projection_with_its_normalization_at_length_one_in_each_cell(weighting: str) -> None:
    projected = trained(weighting).double().project(grids(1).double()).permute(0, 2, 3, 1).numpy()
    expected = projected / np.linalg.norm(projected, axis=3, keepdims=True)
    np.testing.assert_allclose(per_face(trained(weighting))["features"], expected, atol=2e-6)


@EVERY
def test_a_head_gives_what_its_weighting_needs_and_says_which_it_is(weighting: str) -> None:
    head = trained(weighting)
    model = onnx.load_model_from_string(export_head(head, ROWS, COLS))
    # The writer leaves the shapes of outputs to inference.
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True), full_check=True)
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert notes == {"xcos.schema": "1", "xcos.weighting": weighting.split()[0]}
    pair_part: dict[str, tuple[int, ...]] = {
        "first": (6, 4, ROWS, COLS),
        "second": (6, 4, ROWS, COLS),
        "kernel": (4, 3, 3),
        "bias": (1,),
        "slopes": (2,),
    }
    expected: dict[str, dict[str, tuple[int, ...]]] = {
        "uniform": {},
        "fixed": {"weights": (ROWS, COLS)},
        "norm": {"lengths": (6, ROWS, COLS)},
        "separable": {"trust": (6, ROWS, COLS)},
        "concat": pair_part,
        "symmetric": pair_part,
    }
    shapes = {name: values.shape for name, values in per_face(head).items()}
    assert shapes == {"features": (6, ROWS, COLS, 8)} | expected[weighting.split()[0]]


@torch.no_grad()
def test_trust_lengths_and_weights_are_those_of_the_module() -> None:
    for name in ("separable", "separable without bound"):
        head = trained(name)
        assert isinstance(head.weighting, Separable)
        np.testing.assert_allclose(per_face(head)["trust"], head.weighting.trust(grids(1)).numpy(), rtol=1e-5)
    norm, fixed = trained("norm"), trained("fixed")
    np.testing.assert_allclose(per_face(norm)["lengths"], norm.project(grids(1)).norm(dim=1).numpy(), rtol=1e-5)
    assert isinstance(fixed.weighting, Fixed)
    np.testing.assert_array_equal(per_face(fixed)["weights"], fixed.weighting.weights.numpy())


@pytest.mark.parametrize("weighting", ["concat", "symmetric"])
@torch.no_grad()
def test_first_and_second_of_two_faces_sum_to_the_pairs_first_convolution(weighting: str) -> None:
    head = trained(weighting)
    concat = head.weighting.concat if isinstance(head.weighting, Symmetric) else head.weighting
    assert isinstance(concat, Concat)
    branch = concat.face(head.project(grids(1)))
    swapped = branch.flip(0)  # pairs of face n with face 5 − n
    expected = concat.joint.norm(concat.joint.conv(torch.cat([branch, swapped], dim=1))).numpy()
    found = per_face(head)
    np.testing.assert_allclose(found["first"] + found["second"][::-1], expected, atol=1e-5)


@EVERY
def test_a_batch_is_as_good_as_single_faces(weighting: str) -> None:
    head = trained(weighting)
    many, one = per_face(head, 6), per_face(head, 1)
    for name, values in one.items():
        batched = many[name][:1] if name not in ("weights", "kernel", "bias", "slopes") else many[name]
        np.testing.assert_allclose(batched, values, atol=1e-6)


def test_the_same_head_gives_the_same_bytes_and_stays_as_it_was() -> None:
    head = trained("symmetric").train()
    before = {name: values.clone() for name, values in head.state_dict().items()}
    assert export_head(head, ROWS, COLS) == export_head(head, ROWS, COLS)
    assert head.training
    assert all(torch.equal(before[name], values) for name, values in head.state_dict().items())


def test_a_head_that_cannot_be_exported_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"weighs \(5, 4\) cells, export asks for \(7, 7\)"):
        export_head(trained("fixed"), 7, 7)
    with pytest.raises(InvalidArgument, match="Weighting has no form for inference"):
        export_head(XcosHead(CHANNELS, Weighting()), ROWS, COLS)
    head = XcosHead(CHANNELS, Uniform())
    head.projection.conv.bias = None
    with pytest.raises(InvalidArgument, match="no bias"):
        export_head(head, ROWS, COLS)


class Tiny(nn.Module):
    """A network of two layers: an 8 × 8 map, and its mean over the cells."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 14, 14), nn.BatchNorm2d(4), nn.PReLU(4))

    def forward(self, pixels: Tensor) -> Features:
        grid = self.net(pixels)
        return Features(grid, grid.mean(dim=(2, 3)))


def settled(network: nn.Module) -> nn.Module:
    """In evaluation mode, with running statistics of some pixels."""
    with torch.no_grad():
        network.train()(pixels(4))
    return network.eval()


def pixels(n: int) -> Tensor:
    return torch.rand(n, 3, 112, 112, generator=torch.Generator().manual_seed(n)) * 2 - 1


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(Tiny, id="tiny"),
        pytest.param(lambda: MobileFaceNet(vector_size=64), id="mobilefacenet", marks=pytest.mark.slow),
        pytest.param(lambda: Ir(18, squeeze=True, vector_size=64), id="ir-se-18", marks=pytest.mark.slow),
        pytest.param(LocalNetwork, id="local", marks=pytest.mark.slow),
    ],
)
def test_an_exported_network_gives_the_same_grid_and_vector_for_any_number_of_crops(network: type[nn.Module]) -> None:
    torch.manual_seed(0)
    trained_network = settled(network())
    model = export_network(trained_network, 112)
    for n in (1, 3):
        with torch.no_grad():
            expected: Features = trained_network(pixels(n))
        found = run(model, {"pixels": pixels(n).numpy()})
        for name, values in expected._asdict().items():
            scale = float(values.abs().max())
            np.testing.assert_allclose(found[name], values.numpy(), atol=1e-5 * scale)


def test_exporting_a_network_leaves_its_modes_its_weights_and_its_device() -> None:
    moved: list[nn.Module] = []

    class Watched(Tiny):
        def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
            moved.append(self)  # whatever takes a module to a device or type comes through here
            return super()._apply(fn, recurse)  # type: ignore[no-untyped-call,no-any-return]

    network = settled(Watched()).train()
    network.get_submodule("net.1").eval()  # as a part that is frozen: the modules are not all in one mode
    modes = [module.training for module in network.modules()]
    before = {name: values.clone() for name, values in network.state_dict().items()}
    export_network(network, 112)
    assert [module.training for module in network.modules()] == modes
    assert not any(each is network for each in moved)
    assert all(torch.equal(before[name], values) for name, values in network.state_dict().items())


def test_an_exported_network_is_an_embedder_as_it_stands(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = settled(Tiny())
    content = export_network(network, 112)
    (tmp_path / "model.onnx").write_bytes(content)
    card = WeightCard(
        name="tiny",
        sha256=hashlib.sha256(content).hexdigest(),
        template=ARCFACE_112,
        color="rgb",
        mean=(127.5, 127.5, 127.5),
        scale=1 / 127.5,
        licence="none",
        source="this test",
        training_data="none",
    )
    embedder = OnnxEmbedder(tmp_path / "model.onnx", card, grid="grid", vector="vector")
    crops = np.random.default_rng(0).integers(0, 255, (3, 112, 112, 3)).astype(np.uint8)
    check_embedder(embedder, crops)
    with torch.no_grad():
        expected: Features = network(torch.tensor(crops).permute(0, 3, 1, 2) / 127.5 - 1)
    templates = embedder.embed(crops)
    np.testing.assert_allclose(templates.vectors, expected.vector.numpy(), atol=1e-5)
    np.testing.assert_allclose(templates.grids, expected.grid.permute(0, 2, 3, 1).numpy(), atol=1e-5)
