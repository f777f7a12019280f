"""Published weights, against networks built here as their authors publish them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from xcos.cli import main
from xcos.errors import InvalidModel
from xcos.training.build import build_network, read_weights
from xcos.training.config import IrConfig
from xcos.training.head import make_head
from xcos.training.published import read_published

torch.set_num_threads(1)

Capture = pytest.CaptureFixture[str]
UNITS = {18: (2, 2, 2, 2), 50: (3, 4, 14, 3)}


# InsightFace_Pytorch's layout: attributes and places in each Sequential are what its parameters are called by.


class PublishedGate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))


class PublishedUnit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.shortcut_layer = (
            nn.MaxPool2d(1, stride)
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            *([PublishedGate(outputs)] if squeeze else []),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return out


class PublishedNetwork(nn.Module):
    def __init__(self, depth: int, *, squeeze: bool, size: int, projected: bool = False) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512), nn.Dropout(0.6), nn.Flatten(), nn.Linear(512 * 49, size), nn.BatchNorm1d(size)
        )
        units, inputs = [], 64
        for outputs, count in zip((64, 128, 256, 512), UNITS[depth], strict=True):
            for number in range(count):
                units.append(PublishedUnit(inputs, outputs, 2 if number == 0 else 1, squeeze))
                inputs = outputs
        self.body = nn.Sequential(*units)
        if projected:
            self.conv1x1 = nn.Sequential(nn.Conv2d(512, 32, 1), nn.BatchNorm2d(32), nn.PReLU(32))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        grid = self.body(self.input_layer(pixels))
        return grid, self.output_layer(grid)


class PublishedAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding_net = nn.Sequential(nn.Conv2d(32, 16, 3, padding=1), nn.BatchNorm2d(16), nn.PReLU())
        self.attention = nn.Sequential(
            *(nn.Conv2d(32, 16, 3, padding=1), nn.BatchNorm2d(16), nn.PReLU()),
            *(nn.Conv2d(16, 1, 3, padding=1), nn.BatchNorm2d(1), nn.PReLU()),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        faces = torch.cat([self.embedding_net(first), self.embedding_net(second)], dim=1)
        logits: Tensor = self.attention(faces)
        return logits.flatten(1).softmax(dim=1)


class PublishedXcos(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = PublishedNetwork(18, squeeze=True, size=8, projected=True)
        self.attention = PublishedAttention()
        self.backbone_target = PublishedNetwork(18, squeeze=True, size=8)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Scores."""
        a, b = (self.backbone.conv1x1(self.backbone(each)[0]) for each in (first, second))
        cells = cosine_similarity(a, b, dim=1).flatten(1)
        scores: Tensor = (cells * self.attention(a, b)).sum(dim=1)
        return scores


def drawn(network: nn.Module, seed: int = 0) -> Any:
    """With numbers of its own everywhere, batch statistics among them, that keep features near their size."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.ndim > 1:
            tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
        elif tensor.is_floating_point():
            low, high = (0.5, 1.5) if name.endswith(("running_var", "weight")) else (-0.2, 0.2)
            tensor.uniform_(low, high, generator=generator)
    return network.eval()


def crops(seed: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, 112, 112, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def converted(capsys: Capture, source: Path, *words: str) -> dict[str, Any]:
    out = source.with_suffix(".safetensors")
    code = main(["convert-weights", str(source), str(out), *words, "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    told: dict[str, Any] = json.loads(captured.out)
    return told


@pytest.mark.parametrize(
    ("depth", "squeeze"), [(50, True), (18, False)], ids=["as the paper's", "without squeeze-excitation"]
)
def test_a_converted_network_gives_the_published_ones_grid_and_vector(
    tmp_path: Path, capsys: Capture, depth: Any, squeeze: bool
) -> None:
    published = drawn(PublishedNetwork(depth, squeeze=squeeze, size=8))
    told = converted(capsys, saved(published.state_dict(), tmp_path / "ir.pth"))
    assert (told["depth"], told["squeeze"], told["vector_size"], told["head"]) == (depth, squeeze, 8, False)
    weights = tmp_path / "ir.safetensors"
    network, _ = build_network(IrConfig(depth=depth, squeeze=squeeze, vector_size=8, weights=weights))
    with torch.no_grad():
        grid, vector = published(crops(1))
        features = network.eval()(crops(1))
    assert grid.std() > 0.1
    torch.testing.assert_close(features.grid, grid, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features.vector, vector, atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def authors() -> PublishedXcos:
    model: PublishedXcos = drawn(PublishedXcos(), 3)
    return model


def test_the_authors_model_gives_network_and_head(tmp_path: Path, capsys: Capture, authors: PublishedXcos) -> None:
    state = {**authors.state_dict(), "head.kernel": torch.ones(1568, 3)}  # the classes of their training
    told = converted(capsys, saved({"state_dict": state}, tmp_path / "xcos.pth"))
    assert told["head"] is True
    weights = tmp_path / "xcos.safetensors"
    network, _ = build_network(IrConfig(depth=18, squeeze=True, vector_size=8, weights=weights))
    head = make_head("concat", 512, channels=32)
    head.load_state_dict(read_weights(weights, "head"))
    with torch.no_grad():
        grids = [network.eval()(crops(seed)).grid for seed in (1, 2)]
        torch.testing.assert_close(head.eval()(*grids).score, authors(crops(1), crops(2)), atol=1e-5, rtol=1e-5)


def test_the_authors_teacher_is_another_network(tmp_path: Path, capsys: Capture, authors: PublishedXcos) -> None:
    state = {f"module.{name}": each for name, each in authors.state_dict().items()}  # as DataParallel saves it
    converted(capsys, saved({"state_dict": state, "epoch": 3}, tmp_path / "xcos.pth"), "--teacher")
    weights = tmp_path / "xcos.safetensors"
    assert {name.partition(".")[0] for name in load_file(weights)} == {"network"}
    network, _ = build_network(IrConfig(depth=18, squeeze=True, vector_size=8, weights=weights))
    with torch.no_grad():
        _, vector = authors.backbone_target(crops(1))
        torch.testing.assert_close(network.eval()(crops(1)).vector, vector, atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def plain() -> dict[str, Tensor]:
    state: dict[str, Tensor] = drawn(PublishedNetwork(18, squeeze=False, size=4)).state_dict()
    return state


def test_half_precision_and_old_files_without_counters_are_read(tmp_path: Path, plain: dict[str, Tensor]) -> None:
    old = {name: each.half() for name, each in plain.items() if not name.endswith("num_batches_tracked")}
    tensors = read_published(saved(old, tmp_path / "old.pth")).tensors
    assert {each.dtype for each in tensors.values()} == {torch.float32, torch.int64}
    torch.testing.assert_close(tensors["network.output.3.weight"], plain["output_layer.3.weight"], atol=1e-3, rtol=1e-3)


def without(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: {key: each for key, each in state.items() if key != name}


def with_(name: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: {**state, name: tensor}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("body.3.res_layer.1.weight"), "lacks body.3.res_layer.1.weight"),
        (with_("body.3.res_layer.7.weight", torch.ones(3)), "has besides body.3.res_layer.7.weight"),
        (with_("input_layer.2.weight", torch.ones(1)), r"input_layer.2.weight is \(1,\) and \(64,\)"),
        (with_("body.9.res_layer.0.weight", torch.ones(3)), "it has 9 units"),
        (with_("input_layer.2.weight", torch.full((64,), torch.nan)), "input_layer.2.weight .* not finite"),
        (without("output_layer.3.weight"), "no IR or IR-SE network"),
        (lambda _: {"conv1.weight": torch.ones(3)}, "such as conv1.weight"),
        (lambda _: [torch.ones(3)], "holds no state_dict"),
        (lambda state: {**state, "epoch": 3}, "holds no state_dict"),
    ],
)
def test_what_is_no_such_network_is_named(
    tmp_path: Path, plain: dict[str, Tensor], change: Callable[[dict[str, Tensor]], object], told: str
) -> None:
    with pytest.raises(InvalidModel, match=told):
        read_published(saved(change(plain), tmp_path / "w.pth"))


def test_a_network_alone_has_no_teacher(tmp_path: Path, plain: dict[str, Tensor]) -> None:
    with pytest.raises(InvalidModel, match="--teacher"):
        read_published(saved(plain, tmp_path / "w.pth"), teacher=True)


class Bomb:
    """What a pickle of it runs when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_nothing_in_a_file_is_run(tmp_path: Path, plain: dict[str, Tensor], write: Callable[[Any, Path], Any]) -> None:
    path, target = tmp_path / "w.pth", tmp_path / "ran"
    write({"state_dict": plain, "config": Bomb(target)}, path)
    with pytest.raises(InvalidModel, match="no file of tensors alone"):
        read_published(path)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00.", b"no weights", b"PK\x03\x04" + bytes(60)])
def test_files_that_are_no_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InvalidModel):
        read_published(tmp_path / "w.pth")
    with pytest.raises(InvalidModel, match="cannot read"):
        read_published(tmp_path / "nothing.pth")


def test_an_output_that_cannot_be_is_refused_first(tmp_path: Path, capsys: Capture) -> None:
    for out, told in (("out.pth", "must end in .safetensors"), ("no/out.safetensors", "existing folder")):
        assert main(["convert-weights", str(tmp_path / "nothing.pth"), str(tmp_path / out)]) == 2
        assert told in capsys.readouterr().err


def test_the_recipe_that_is_shown_is_the_networks(tmp_path: Path, capsys: Capture, plain: dict[str, Tensor]) -> None:
    source = saved(plain, tmp_path / "w.pth")
    assert main(["convert-weights", str(source), str(tmp_path / "w.safetensors")]) == 0
    out = capsys.readouterr().out
    assert 'name = "ir"\ndepth = 18\nsqueeze = false\nvector_size = 4\n' in out
