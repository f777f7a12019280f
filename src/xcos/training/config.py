"""What to train, on what and how: a TOML file read into values that have checked themselves."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from xcos.errors import InvalidArgument, InvalidConfig

Color = Literal["rgb", "bgr"]
WANTED = {Path: "a path", str: "a text", float: "a finite number", int: "a whole number", bool: "true or false"}
LEAST_CHANNELS_LAST = 8
"""With fewer input channels a strided 1 × 1 convolution with channels last corrupts the heap (PyTorch 2.13 on CPU)."""


@dataclass(frozen=True)
class DataConfig:
    """Section ``[data]``: aligned crops of people; how many people there are is counted, never stated."""

    path: Path
    format: Literal["folder", "list", "records", "shards"] = "folder"
    """A folder per person, a list of photos, an InsightFace record file, or a folder of WebDataset shards."""
    least: int = 1
    """People with fewer photos are left out."""
    held_out: int = 0
    """People, spread evenly over the list, who are not trained on: every checkpoint is measured on their photos."""

    def __post_init__(self) -> None:
        _require(self.least >= 1, "least", self.least, "at least 1")
        _require(self.held_out == 0 or self.held_out >= 2, "held_out", self.held_out, "0, or 2 people or more")
        if self.format == "shards":
            _require(self.least == 1, "least", self.least, "1 for shards, which hold who was written into them")
            _require(self.held_out == 0, "held_out", self.held_out, "0 for shards, which are read in a stream")


@dataclass(frozen=True)
class AugmentationConfig:
    """Section ``[augmentation]``: the probability of each change of a crop; see ``xcos.training.data.augment``."""

    mirror: float = 0.5
    sunglasses: float = 0.0
    face_mask: float = 0.0
    squares: float = 0.0
    blob: float = 0.0
    photometric: float = 0.0
    gray: float = 0.0
    low_resolution: float = 0.0
    jpeg_noise: float = 0.0
    misalign: float = 0.0

    def __post_init__(self) -> None:
        for each in fields(self):
            chance = getattr(self, each.name)
            _require(0 <= chance <= 1, each.name, chance, "a probability")
        total = self.sunglasses + self.face_mask + self.squares + self.blob
        _require(total <= 1 + 1e-9, "blob", self.blob, "a probability, with those of the other occluders 1 at most")


@dataclass(frozen=True)
class IrConfig:
    """Section ``[network]`` with ``name = "ir"``."""

    input_side: ClassVar[int] = 112
    name: Literal["ir"] = "ir"
    depth: Literal[18, 34, 50, 100] = 50
    squeeze: bool = False
    grid: Literal[14, 7, 5] = 7
    vector_size: int = 512
    dropout: float = 0.6
    color: Color = "rgb"
    """Order of the channels the network is fed, which must be that of its weights; photos are RGB everywhere else."""
    weights: Path | None = None
    """Start from these: the folder of a run or of a checkpoint, or a safetensors file with the network's names."""
    frozen: bool = False
    """The network stays as it is; only the head learns."""

    def __post_init__(self) -> None:
        _require(self.vector_size >= 1, "vector_size", self.vector_size, "at least 1")
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "0 or more and below 1")
        _require_weights_to_freeze(self.weights, self.frozen)


@dataclass(frozen=True)
class MobileFaceNetConfig:
    """Section ``[network]`` with ``name = "mobilefacenet"``."""

    input_side: ClassVar[int] = 112
    name: Literal["mobilefacenet"] = "mobilefacenet"
    vector_size: int = 128
    color: Color = "rgb"
    weights: Path | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        _require(self.vector_size >= 1, "vector_size", self.vector_size, "at least 1")
        _require_weights_to_freeze(self.weights, self.frozen)


@dataclass(frozen=True)
class LocalConfig:
    """Section ``[network]`` with ``name = "local"``."""

    input_side: ClassVar[int] = 112
    name: Literal["local"] = "local"
    patch: int = 28
    grid: int = 7
    widths: tuple[int, ...] = (32, 64, 128)
    units: int = 1
    grid_channels: int = 256
    vector_size: int = 512
    color: Color = "rgb"
    weights: Path | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        _require(self.grid >= 1, "grid", self.grid, "at least 1")
        fits = self.patch <= self.input_side <= self.patch * self.grid
        _require(fits, "patch", self.patch, f"{self.input_side} / grid … {self.input_side} pixels")
        _require(bool(self.widths) and min(self.widths) >= 1, "widths", self.widths, "channels of a stage or more")
        for key in ("units", "grid_channels", "vector_size"):
            _require(getattr(self, key) >= 1, key, getattr(self, key), "at least 1")
        _require_weights_to_freeze(self.weights, self.frozen)


@dataclass(frozen=True)
class DlibConfig:
    """Section ``[network]`` with ``name = "dlib"``: always starts from the published weights."""

    input_side: ClassVar[int] = 150
    name: Literal["dlib"] = "dlib"
    grid: Literal["last", "fourth"] = "last"
    frozen: bool = False


NetworkConfig = IrConfig | MobileFaceNetConfig | LocalConfig | DlibConfig
HeadWeighting = Literal["separable", "symmetric", "concat", "norm", "uniform"]
LEARNED = ("separable", "symmetric", "concat")


@dataclass(frozen=True)
class HeadConfig:
    """Section ``[head]``: the xCos head, trained with ``identity · L_id + cosine · L_cos``; needs ``[teacher]``."""

    weighting: HeadWeighting = "separable"
    channels: int = 32
    detach_similarity: bool = False
    """L_cos reaches the features through the attention alone."""
    identity: float = 0.5
    cosine: float = 0.5
    distance: Literal["squared", "absolute"] = "squared"
    """Of the score from the teacher's cosine."""
    weights: Path | None = None
    """Start from this head, found as a network's weights are."""

    def __post_init__(self) -> None:
        _require(self.channels >= 1, "channels", self.channels, "at least 1")
        _require(self.identity >= 0, "identity", self.identity, "0 or more")
        _require(self.cosine >= 0, "cosine", self.cosine, "0 or more")
        _require(self.identity + self.cosine > 0, "cosine", self.cosine, "above 0 where identity is 0")


@dataclass(frozen=True)
class ArcFaceConfig:
    """Section ``[loss]`` with ``name = "arcface"``."""

    name: Literal["arcface"] = "arcface"
    scale: float = 64.0
    margin: float = 0.5
    sample_rate: float = 1.0
    """Share of the classes each batch is compared with (Partial FC); 1 is all."""

    def __post_init__(self) -> None:
        _require_loss(self.scale, self.margin, self.sample_rate)


@dataclass(frozen=True)
class CosFaceConfig:
    """Section ``[loss]`` with ``name = "cosface"``."""

    name: Literal["cosface"] = "cosface"
    scale: float = 30.0
    margin: float = 0.35
    sample_rate: float = 1.0

    def __post_init__(self) -> None:
        _require_loss(self.scale, self.margin, self.sample_rate)


@dataclass(frozen=True)
class AdaFaceConfig:
    """Section ``[loss]`` with ``name = "adaface"``."""

    name: Literal["adaface"] = "adaface"
    scale: float = 64.0
    margin: float = 0.4
    sample_rate: float = 1.0

    def __post_init__(self) -> None:
        _require_loss(self.scale, self.margin, self.sample_rate)


@dataclass(frozen=True)
class SphereFace2Config:
    """Section ``[loss]`` with ``name = "sphereface2"``."""

    name: Literal["sphereface2"] = "sphereface2"
    scale: float = 40.0
    margin: float = 0.4
    sample_rate: float = 1.0

    def __post_init__(self) -> None:
        _require_loss(self.scale, self.margin, self.sample_rate)


@dataclass(frozen=True)
class SoftmaxConfig:
    """Section ``[loss]`` with ``name = "softmax"``."""

    name: Literal["softmax"] = "softmax"
    scale: float = 30.0
    sample_rate: float = 1.0

    def __post_init__(self) -> None:
        _require_loss(self.scale, 0.0, self.sample_rate)


LossConfig = ArcFaceConfig | CosFaceConfig | AdaFaceConfig | SphereFace2Config | SoftmaxConfig


@dataclass(frozen=True)
class OptimizerConfig:
    """Section ``[optimizer]``: SGD with momentum; the learned attention has Adam."""

    rate: float = 0.1
    momentum: float = 0.9
    decay: float = 5e-4
    """Weight decay; none on batch normalisation and PReLU."""
    clip: float | None = None
    """Largest length of the learner's gradient, network and head together; absent, it is taken as it is.

    The gradient of the class centers is never clipped.
    """
    attention_rate: float = 1e-3
    attention_decay: float = 0.0

    def __post_init__(self) -> None:
        _require(self.rate > 0, "rate", self.rate, "above 0")
        _require(0 <= self.momentum < 1, "momentum", self.momentum, "0 or more and below 1")
        _require(self.decay >= 0, "decay", self.decay, "0 or more")
        _require(self.clip is None or self.clip > 0, "clip", self.clip, "above 0, or absent")
        _require(self.attention_rate > 0, "attention_rate", self.attention_rate, "above 0")
        _require(self.attention_decay >= 0, "attention_decay", self.attention_decay, "0 or more")


@dataclass(frozen=True)
class ScheduleConfig:
    """Section ``[schedule]``; times are in epochs and may be fractions."""

    epochs: int
    warm_up: float = 0.0
    """The rate rises linearly over this time."""
    drops: tuple[float, ...] = ()
    """When the rate is multiplied by ``factor``."""
    factor: float = 0.1
    attention_every: float | None = None
    """How often the attention's rate is multiplied by ``attention_factor``; absent: never."""
    attention_factor: float = 0.99

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        _require(0 <= self.warm_up <= self.epochs, "warm_up", self.warm_up, f"0 … {self.epochs} epochs")
        ordered = list(self.drops) == sorted(set(self.drops)) and all(0 < drop < self.epochs for drop in self.drops)
        _require(ordered, "drops", self.drops, f"rising, above 0 and below {self.epochs} epochs")
        for key in ("factor", "attention_factor"):
            _require(0 < getattr(self, key) <= 1, key, getattr(self, key), "above 0 and at most 1")
        every = self.attention_every
        _require(every is None or every > 0, "attention_every", every, "above 0, or absent")


@dataclass(frozen=True)
class RunConfig:
    """Section ``[run]``."""

    batch: int
    """Photos in a step, or pairs where a head is trained; all processes together."""
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the networks; losses and weights are always float32."""
    channels_last: bool = False
    workers: int = 0
    """Processes that read photos; 0 reads them between steps."""
    report_every: int = 100
    """Steps."""
    checkpoint_every: int = 1000
    """Steps."""
    keep: int = 3
    """Newest checkpoints kept, beside the best."""
    tensorboard: bool = False
    licence: str = "unstated"
    """Of what comes out, for its card."""
    source: str | None = None
    """Where what comes out is from, for its card; absent, the card says that xcos trained it."""

    def __post_init__(self) -> None:
        _require(self.batch >= 2, "batch", self.batch, "at least 2")
        _require(0 <= self.seed < 2**31, "seed", self.seed, "0 … 2³¹ − 1")
        _require(self.workers >= 0, "workers", self.workers, "0 or more")
        for key in ("report_every", "checkpoint_every", "keep"):
            _require(getattr(self, key) >= 1, key, getattr(self, key), "at least 1")


@dataclass(frozen=True)
class TrainConfig:
    """A whole training: a backbone, or with ``head`` an xCos head and, unless it is frozen, its network."""

    data: DataConfig
    network: NetworkConfig
    schedule: ScheduleConfig
    run: RunConfig
    loss: LossConfig = field(default_factory=ArcFaceConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    head: HeadConfig | None = None
    """Absent: the network is trained as a classifier."""
    teacher: NetworkConfig | None = None
    """The network whose cosine the head's score imitates; it is never trained."""

    def __post_init__(self) -> None:
        if (self.head is None) != (self.teacher is None):
            given, absent = ("head", "teacher") if self.teacher is None else ("teacher", "head")
            raise InvalidArgument(f"needs [{absent}]: a head learns the cosine of a trained network", key=given)
        if self.teacher is not None:
            _require_teacher(self.teacher, self.network)
        if self.head is None and self.network.frozen:
            raise InvalidArgument("needs [head]: nothing else would be trained", key="network.frozen")
        narrow = isinstance(self.network, LocalConfig) and min(self.network.widths) < LEAST_CHANNELS_LAST
        if self.run.channels_last and narrow:
            raise InvalidArgument(
                f"must be false with widths below {LEAST_CHANNELS_LAST}: PyTorch 2.13 then writes outside its memory",
                key="run.channels_last",
            )
        if self.head is not None and self.data.format == "shards":
            raise InvalidArgument("must not be 'shards' with [head]: a stream has no pairs", key="data.format")

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON, sections and keys as in the file; those absent or without effect are left out."""
        plain: dict[str, dict[str, object]] = _plain(asdict(self))
        for section, key in self.without_effect():
            plain.get(section, {}).pop(key, None)
        return dict(plain)

    def without_effect(self) -> dict[tuple[str, str], str]:
        """Sections and keys that change nothing beside the other sections, each with the reason."""
        found = {("teacher", key): "a teacher is never trained" for key in ("frozen", "dropout")}
        if isinstance(self.teacher, DlibConfig):
            found["teacher", "grid"] = "a teacher gives its vector alone"
        if self.head is not None:
            found["network", "dropout"] = "it acts on the vector, which a head does not use"
        if self.head is None or self.head.weighting not in LEARNED:
            for section, key in (
                ("optimizer", "attention_rate"),
                ("optimizer", "attention_decay"),
                ("schedule", "attention_every"),
                ("schedule", "attention_factor"),
            ):
                found[section, key] = f"only the weightings {', '.join(LEARNED)} of a head learn an attention"
        return found


def read_config(path: str | Path) -> TrainConfig:
    """The training a TOML file describes; its relative paths start from the file's folder.

    Raises :class:`InvalidConfig` naming file and key for anything unknown, missing, of another type, out of range
    or impossible together.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfig(f"cannot read {path}: {error}; give a TOML file", file=str(path)) from error
    return config_from(content, path)


def config_from(content: Mapping[str, object], path: Path) -> TrainConfig:
    """The training described by the sections of a file; errors and relative paths refer to ``path``."""
    reader = _Reader(path)
    config = reader.section(TrainConfig, content, "")
    assert isinstance(config, TrainConfig)
    for (section, key), why in config.without_effect().items():
        table = content.get(section)
        if isinstance(table, Mapping) and key in table:
            raise reader.error(_below(section, key), f"has no effect here: {why}; leave it out")
    return config


@dataclass(frozen=True)
class _Reader:
    """Makes dataclasses of a file's tables, by the types of their fields."""

    path: Path

    def section(self, kind: type, table: object, where: str) -> object:
        """The dataclass ``kind`` made of a table that stands at ``where``."""
        if not isinstance(table, Mapping):
            raise self.error(where, f"must be a section, got {table!r}")
        types = get_type_hints(kind)
        known = {each.name: each for each in fields(kind)}
        for key in table:
            if key not in known:
                raise self.error(_below(where, str(key)), f"is unknown; allowed: {', '.join(known)}")
        missing = [name for name, each in known.items() if name not in table and _required(each)]
        if missing:
            raise self.error(_below(where, missing[0]), "is missing")
        values = {key: self.value(types[key], value, _below(where, key)) for key, value in table.items()}
        try:
            return kind(**values)
        except InvalidArgument as error:
            key = str(error.details.get("key", ""))
            raise self.error(_below(where, key), error.message) from error

    def value(self, kind: Any, value: object, where: str) -> object:
        """A field of type ``kind``."""
        origin, choices = get_origin(kind), get_args(kind)
        if origin in (Union, UnionType):
            some = tuple(choice for choice in choices if choice is not NoneType)
            return self.variant(some, value, where) if len(some) > 1 else self.value(some[0], value, where)
        if origin is Literal:
            if not any(value == choice and type(value) is type(choice) for choice in choices):
                raise self.error(where, f"must be one of {', '.join(map(repr, choices))}, got {value!r}")
            return value
        if origin is tuple:
            if not isinstance(value, list):
                raise self.error(where, f"must be a list, got {value!r}")
            return tuple(self.value(choices[0], each, f"{where}[{at}]") for at, each in enumerate(value))
        if is_dataclass(kind):
            return self.section(kind, value, where)  # type: ignore[arg-type]
        return self.plain(kind, value, where)

    def variant(self, kinds: tuple[Any, ...], table: object, where: str) -> object:
        """One of several dataclasses, chosen by the table's ``name``."""
        if not isinstance(table, Mapping):
            raise self.error(where, f"must be a section, got {table!r}")
        by_name = {kind.name: kind for kind in kinds}
        name = table.get("name")
        if not isinstance(name, str) or name not in by_name:
            got = "is missing" if name is None else f"is {name!r}"
            raise self.error(_below(where, "name"), f"{got}; it must be one of {', '.join(map(repr, by_name))}")
        return self.section(by_name[name], table, where)

    def plain(self, kind: type, value: object, where: str) -> object:
        """A text, path, number or truth value."""
        if kind is Path and isinstance(value, str) and value:
            return (self.path.absolute().parent / value).resolve()
        if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        if (kind in (int, bool) and type(value) is kind) or (kind is str and isinstance(value, str) and value):
            return value
        raise self.error(where, f"must be {WANTED[kind]}, got {value!r}")

    def error(self, where: str, message: str) -> InvalidConfig:
        return InvalidConfig(f"{self.path}: {where} {message}".replace(":  ", ": "), file=str(self.path), key=where)


def _below(where: str, key: str) -> str:
    return ".".join(filter(None, (where, key)))


def _required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _plain(value: Any) -> Any:
    """Values that JSON has, without keys that are absent."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if each is not None}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _require(fits: bool, key: str, value: object, wanted: str) -> None:
    if not fits:
        raise InvalidArgument(f"must be {wanted}, got {value}", key=key)


def _require_weights_to_freeze(weights: Path | None, frozen: bool) -> None:
    if frozen and weights is None:
        raise InvalidArgument("needs weights: a frozen network that was never trained says nothing", key="frozen")


def _require_loss(scale: float, margin: float, sample_rate: float) -> None:
    _require(scale > 0, "scale", scale, "above 0")
    _require(0 <= margin < 1.5, "margin", margin, "0 or more and below 1.5")
    _require(0 < sample_rate <= 1, "sample_rate", sample_rate, "above 0 and at most 1")


def _require_teacher(teacher: NetworkConfig, network: NetworkConfig) -> None:
    if not isinstance(teacher, DlibConfig) and teacher.weights is None:
        raise InvalidArgument("is missing: an untrained teacher teaches noise; give its weights", key="teacher.weights")
    if teacher.input_side != network.input_side:
        raise InvalidArgument(
            f"sees crops of {teacher.input_side} px, [network] of {network.input_side} px; both see the same crops",
            key="teacher",
        )
    if not isinstance(teacher, DlibConfig) and not isinstance(network, DlibConfig) and teacher.color != network.color:
        raise InvalidArgument(
            f"is {teacher.color!r} and network.color is {network.color!r}; both are fed the same pixels, so take "
            "weights of one order",
            key="teacher.color",
        )
