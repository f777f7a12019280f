"""A configuration → the objects that train: here a training's names become things."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from xcos.alignment import ARCFACE_112, DLIB_150
from xcos.embedders.dlib_resnet import CARD as DLIB_CARD
from xcos.embedders.dlib_resnet import read_layers
from xcos.errors import InvalidConfig, InvalidModel
from xcos.training.checkpoint import FACTS, best_checkpoint, read_checkpoint
from xcos.training.config import (
    AdaFaceConfig,
    ArcFaceConfig,
    CosFaceConfig,
    DataConfig,
    DlibConfig,
    IrConfig,
    LocalConfig,
    LossConfig,
    MobileFaceNetConfig,
    NetworkConfig,
    SoftmaxConfig,
    TrainConfig,
)
from xcos.training.data.augment import Augmentation
from xcos.training.data.batches import (
    CropBatch,
    Loading,
    Normalization,
    PairBatch,
    crop_batches,
    pair_batches,
    streamed_batches,
    streamed_count,
)
from xcos.training.data.folder import read_folder, read_list
from xcos.training.data.identities import Identities, Size
from xcos.training.data.records import read_records
from xcos.training.data.shards import Shards, read_shards
from xcos.training.distributed import Ranks, averaged
from xcos.training.head import make_head
from xcos.training.learners import HeadLearner, Learner, Network, NetworkLearner
from xcos.training.loop import Feed, Job
from xcos.training.losses import (
    AdaFace,
    ArcFace,
    ClassificationLoss,
    Classifier,
    CosFace,
    ShardedClassifier,
    Softmax,
    SphereFace2,
    TeacherCosine,
)
from xcos.training.misfit import below, load_fitting
from xcos.training.networks.dlib_resnet import DlibNetwork
from xcos.training.networks.ir import Ir
from xcos.training.networks.local import LocalNetwork
from xcos.training.networks.mobilefacenet import MobileFaceNet
from xcos.training.objectives import IdentityObjective, Precision, XcosObjective
from xcos.training.optimizers import Trained, make_adam, make_sgd
from xcos.training.validation import split
from xcos.types import CropTemplate
from xcos.weights import packaged_file, verified_bytes

Tensors = Mapping[str, Tensor]
Part = Literal["network", "head"]


@dataclass(frozen=True, eq=False)
class CropFeed:
    """Photos one by one."""

    photos: Identities
    loading: Loading

    def count(self, epoch: int) -> int:  # noqa: ARG002  # as Feed
        """Batches in an epoch."""
        return self.loading.batches(len(self.photos))

    def batches(self, epoch: int, start: int) -> Iterator[CropBatch]:
        """Those of an epoch."""
        return crop_batches(self.photos, self.loading, epoch=epoch, start=start)


@dataclass(frozen=True, eq=False)
class PairFeed:
    """A pair for each photo."""

    photos: Identities
    loading: Loading

    def count(self, epoch: int) -> int:  # noqa: ARG002  # as Feed
        """Batches in an epoch."""
        return self.loading.batches(len(self.photos))

    def batches(self, epoch: int, start: int) -> Iterator[PairBatch]:
        """Those of an epoch."""
        return pair_batches(self.photos, self.loading, epoch=epoch, start=start)


@dataclass(frozen=True, eq=False)
class ShardFeed:
    """Photos from shards, one by one."""

    photos: Shards
    loading: Loading

    def count(self, epoch: int) -> int:
        """Batches in an epoch."""
        return streamed_count(self.photos, self.loading, epoch=epoch)

    def batches(self, epoch: int, start: int) -> Iterator[CropBatch]:
        """Those of an epoch; what comes before ``start`` is read again and left out."""
        stream = streamed_batches(self.photos, self.loading, epoch=epoch)
        for _ in zip(range(start), stream, strict=False):
            pass
        return stream


@dataclass(frozen=True, eq=False)
class Built:
    """A training ready to run."""

    job: Job
    held_out: Identities | None
    normalization: Normalization
    template: CropTemplate
    """By which the photos are cut."""
    training_data: str
    """What it is trained on, for a card."""
    hashes: dict[str, str]
    """SHA-256 of the list of photos and of the weights it starts from."""


def build(config: TrainConfig, ranks: Ranks) -> Built:
    """Everything a training needs, on this rank's device.

    Weights are drawn from ``run.seed``, dropout from a seed of each rank's own.
    """
    torch.manual_seed(config.run.seed)
    network, hashes = build_network(config.network)
    learner = _learner(config, network, hashes)
    learner.to(ranks.device)
    if config.run.channels_last:
        learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    photos, held_out = _photos(config.data)
    hashes["photos"] = _fingerprint(photos)
    _require_size(photos.size, network.input_side, config.data)
    classifier = _classifier(config, learner, len(photos.names), ranks).to(ranks.device)
    normalization = _normalization(config.network)
    job = Job(
        config=config,
        learner=learner,
        classifier=classifier,
        objective=_objective(config, learner, classifier, ranks, hashes),
        optimizers=_optimizers(config, learner),
        center_optimizer=make_sgd(classifier, "classifier.", config.optimizer),
        feed=_feed(config, photos, normalization, ranks),
        device=ranks.device,
    )
    torch.manual_seed(config.run.seed + 1 + ranks.rank)
    return Built(
        job=job,
        held_out=held_out,
        normalization=normalization,
        template=_template(config.network),
        training_data=f"{config.data.path.name}: {len(photos.names):,} people, {len(photos):,} photos",
        hashes=hashes,
    )


def build_network(config: NetworkConfig) -> tuple[Network, dict[str, str]]:
    """The network with the weights it starts from, and their SHA-256 by name; none where there are none."""
    match config:
        case IrConfig():
            network: Network = Ir(
                config.depth,
                squeeze=config.squeeze,
                grid=config.grid,
                vector_size=config.vector_size,
                dropout=config.dropout,
            )
        case MobileFaceNetConfig():
            network = MobileFaceNet(config.vector_size)
        case LocalConfig():
            network = LocalNetwork(
                patch=config.patch,
                grid=config.grid,
                widths=config.widths,
                units=config.units,
                grid_channels=config.grid_channels,
                vector_size=config.vector_size,
            )
        case DlibConfig():
            path = packaged_file("face_recognition_models", "models", f"{DLIB_CARD.name}.dat")
            return DlibNetwork(read_layers(verified_bytes(path, DLIB_CARD.sha256)), config.grid), {}
    if config.weights is None:
        return network, {}
    tensors = read_weights(config.weights, "network")
    _load(network, tensors, config.weights)
    return network, {"network": tensors_sha256(tensors)}


def build_loss(config: LossConfig, classes: int) -> ClassificationLoss:
    """The loss of that name."""
    match config:
        case ArcFaceConfig():
            return ArcFace(config.scale, config.margin)
        case CosFaceConfig():
            return CosFace(config.scale, config.margin)
        case AdaFaceConfig():
            return AdaFace(config.scale, config.margin)
        case SoftmaxConfig():
            return Softmax(config.scale)
        case _:
            return SphereFace2(classes, config.scale, config.margin)


def read_weights(path: Path, part: Part) -> dict[str, Tensor]:
    """Tensors of one ``part``, named as it names them, from wherever they were saved.

    ``path`` is the folder of a run, whose best checkpoint is taken, the folder of a checkpoint, or a safetensors file
    whose names begin with the part's, or with none. Raises :class:`InvalidModel` where only the other part is there.
    """
    tensors: Tensors
    if path.is_dir():
        checkpoint = path if (path / FACTS).exists() else best_checkpoint(path / "checkpoints")
        if checkpoint is None:
            raise InvalidModel(f"{path} holds no checkpoint; give a run, a checkpoint or a file", path=str(path))
        tensors = read_checkpoint(checkpoint).tensors
    else:
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise InvalidModel(
                f"cannot read the weights {path}: {error}; give a safetensors file", path=str(path)
            ) from error
    by_part = {each: below(tensors, f"{each}.") for each in get_args(Part)}
    if not any(by_part.values()):
        return dict(tensors)
    if not by_part[part]:
        (held,) = (each for each, found in by_part.items() if found)
        raise InvalidModel(f"{path} holds no {part}, only a {held}; give weights of a {part}", path=str(path))
    return by_part[part]


def tensors_sha256(tensors: Tensors) -> str:
    """Hexadecimal SHA-256 of names, types, shapes and bits."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def _load(module: nn.Module, tensors: Tensors, path: Path) -> None:
    load_fitting(
        module,
        tensors,
        refusal=f"the weights {path} do not fit the configured {type(module).__name__}",
        advice="give weights of the same architecture, or configure that of the weights",
        path=str(path),
    )


def _learner(config: TrainConfig, network: Network, hashes: dict[str, str]) -> Learner:
    if config.head is None:
        return NetworkLearner(network)
    head = make_head(
        config.head.weighting,
        network.grid_channels,
        channels=config.head.channels,
        detach_similarity=config.head.detach_similarity,
    )
    if config.head.weights is not None:
        tensors = read_weights(config.head.weights, "head")
        _load(head, tensors, config.head.weights)
        hashes["head"] = tensors_sha256(tensors)
    return HeadLearner(network, head, frozen=config.network.frozen)


def _photos(config: DataConfig) -> tuple[Identities | Shards, Identities | None]:
    match config.format:
        case "shards":
            return read_shards(config.path), None
        case "folder":
            photos = read_folder(config.path, least=config.least)
        case "list":
            photos = read_list(config.path, least=config.least)
        case "records":
            photos = read_records(config.path, least=config.least)
    return split(photos, config.held_out) if config.held_out else (photos, None)


def _fingerprint(photos: Identities | Shards) -> str:
    content = [f"{len(photos)} photos", *photos.names]
    numbers = photos.counts if isinstance(photos, Shards) else photos.labels.tolist()
    return hashlib.sha256("\n".join([*content, *map(str, numbers)]).encode()).hexdigest()


def _require_size(size: Size, side: int, config: DataConfig) -> None:
    if size != (side, side):
        raise InvalidConfig(
            f"the photos of {config.path} have {size[1]} × {size[0]} pixels and [network] needs {side} × {side}; cut "
            "them for that network",
            key="data.path",
        )


def _classifier(config: TrainConfig, learner: Learner, people: int, ranks: Ranks) -> Classifier | ShardedClassifier:
    """With as many classes as the data have people."""
    vector_size: int = learner.network.vector_size
    if isinstance(learner, HeadLearner):
        vector_size = learner.head.channels * learner.network.grid_side**2
    loss, rate = build_loss(config.loss, people), config.loss.sample_rate
    generator = torch.Generator().manual_seed(config.run.seed)
    if ranks.size == 1:
        return Classifier(vector_size, people, loss, sample_rate=rate, generator=generator)
    return ShardedClassifier(vector_size, people, loss, ranks=ranks, sample_rate=rate, generator=generator)


def _objective(
    config: TrainConfig, learner: Learner, classifier: nn.Module, ranks: Ranks, hashes: dict[str, str]
) -> IdentityObjective | XcosObjective:
    dtype = torch.bfloat16 if config.run.precision == "bfloat16" else torch.float32
    precision = Precision(ranks.device, dtype, channels_last=config.run.channels_last)
    model = averaged(learner, ranks)
    if config.head is None or config.teacher is None:
        return IdentityObjective(model, classifier, precision)
    network, hashes_of_teacher = build_network(config.teacher)
    hashes |= {f"teacher {name}": sha256 for name, sha256 in hashes_of_teacher.items()}
    teacher = TeacherCosine(network, distance=config.head.distance).to(ranks.device)
    return XcosObjective(
        model,
        classifier,
        teacher,
        identity_weight=config.head.identity,
        cosine_weight=config.head.cosine,
        precision=precision,
    )


def _optimizers(config: TrainConfig, learner: Learner) -> tuple[Trained, ...]:
    attention = {}
    if isinstance(learner, HeadLearner):
        attention = {f"head.weighting.{name}": each for name, each in learner.head.weighting.named_parameters()}
    sgd = make_sgd(learner, "", config.optimizer, leave=attention.values())
    return (sgd, make_adam(attention, config.optimizer)) if attention else (sgd,)


def _normalization(config: NetworkConfig) -> Normalization:
    if isinstance(config, DlibConfig):
        return Normalization(DLIB_CARD.color, DLIB_CARD.mean, DLIB_CARD.scale)
    return Normalization(config.color)


def _template(config: NetworkConfig) -> CropTemplate:
    return DLIB_150 if isinstance(config, DlibConfig) else ARCFACE_112


def _feed(config: TrainConfig, photos: Identities | Shards, normalization: Normalization, ranks: Ranks) -> Feed:
    run = config.run
    if run.batch % ranks.size:
        raise InvalidConfig(f"run.batch {run.batch} cannot be dealt to {ranks.size} processes", key="run.batch")
    loading = Loading(
        batch_size=run.batch // ranks.size,
        normalization=normalization,
        augmentation=Augmentation(_template(config.network), config.augmentation),
        seed=run.seed,
        rank=ranks.rank,
        ranks=ranks.size,
        workers=run.workers,
        device=str(ranks.device),
    )
    if isinstance(photos, Shards):
        return ShardFeed(photos, loading)
    return PairFeed(photos, loading) if config.head is not None else CropFeed(photos, loading)
