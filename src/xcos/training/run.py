"""A training in its folder: configuration, log, checkpoints and the exported model."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TextIO

import torch

from xcos.errors import InvalidArgument, InvalidConfig, MissingPackage
from xcos.files import lock, write_atomically
from xcos.models import CARD, HEAD, NETWORK, TRAINING_CONFIG, toml
from xcos.training.build import Built, build
from xcos.training.checkpoint import (
    Checkpoint,
    Facts,
    best_checkpoint,
    latest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from xcos.training.config import TrainConfig, read_config
from xcos.training.distributed import Ranks, process_group
from xcos.training.export import export_head
from xcos.training.export_network import export_network
from xcos.training.learners import HeadLearner
from xcos.training.loop import Position, Report, load_learner, load_state, own_state, shared_state, train
from xcos.training.validation import held_out_error
from xcos.version import __version__
from xcos.weights import WeightCard

LOG, CHECKPOINTS, LOCK, BOARD = "log.jsonl", "checkpoints", "run.lock", "tensorboard"
# These keys do not change what is learned. Weights and photos may have moved; their hashes are compared.
FREE = {
    "data.path",
    "network.weights",
    "teacher.weights",
    "head.weights",
    *(
        f"run.{key}"
        for key in ("workers", "report_every", "checkpoint_every", "keep", "tensorboard", "licence", "source")
    ),
}
STREAMED = "run.workers"
"""Not free where shards are read: which photos come into which batch depends on it."""


class Listener(Protocol):
    """Who is told how a training goes; only in the process that writes."""

    def starts(self, steps: int, done: int) -> None:
        """There are so many ``steps`` in all, of which some are ``done``."""
        ...

    def reports(self, report: Report) -> None:
        """Some steps were done."""
        ...

    def says(self, message: str) -> None:
        """Something a person should know."""
        ...


class Board(Protocol):
    """TensorBoard's writer."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """One point of a curve."""
        ...

    def flush(self) -> None:
        """Writes to the disk what was added."""
        ...


class Result(NamedTuple):
    """What a finished training left."""

    position: Position
    checkpoint: Path
    """The best where people are held out, else the last."""
    error: float | None
    """Of that checkpoint."""
    files: list[Path]
    """Exported for inference."""


def run_training(
    config: Path, out: Path, *, resume: bool, device: Literal["cpu", "cuda"] | None, listener: Listener
) -> Result | None:
    """Trains what ``config`` describes into the folder ``out``, from its newest whole checkpoint if ``resume``.

    ``None`` in all processes of a distributed training but the first. Raises before anything is written where ``out``
    is in use and not to be resumed, or is to be resumed and nothing, or something else, was begun there.
    """
    described = read_config(config)
    with process_group(device) as ranks, ExitStack() as stack:
        if ranks.first:
            if resume:
                _require_begun(out, described)
            else:
                _open_folder(out)
            held = stack.enter_context(_opened(out / LOCK, "w"))
            lock(held, f"another training writes to {out}; wait for it or choose another --out")
            if not resume:
                write_atomically(out / TRAINING_CONFIG, config.read_bytes())
        built = build(described, ranks)
        start = _restore(built, out, ranks, listener) if resume else Position()
        if ranks.first:
            write_atomically(out / TRAINING_CONFIG, config.read_bytes())
        run = _Run(built, start, out, ranks, listener, stack)
        position = train(built.job, start, on_report=run.report, on_checkpoint=run.save)
        return run.finish(position) if ranks.first else None


class _Run:
    """What happens between the steps."""

    def __init__(
        self, built: Built, start: Position, out: Path, ranks: Ranks, listener: Listener, stack: ExitStack
    ) -> None:
        self._built, self._job, self._out, self._ranks, self._listener = built, built.job, out, ranks, listener
        self._config = built.job.config
        self._board: Board | None = None
        steps = sum(self._job.feed.count(epoch) for epoch in range(self._config.schedule.epochs))
        if ranks.first:
            self._log = stack.enter_context(_opened(out / LOG, "a"))
            if self._config.run.tensorboard:
                self._board = stack.enter_context(_board(out, start.step))
            listener.starts(steps, start.step)

    def report(self, report: Report) -> None:
        """One line of the log, and points of TensorBoard's curves."""
        if not self._ranks.first:
            return
        speed = round(report.images_per_second, 1)
        self._write(
            report.step,
            {"epoch": round(report.epoch, 4), **report.losses, **_rates(report), "images_per_second": speed},
        )
        self._listener.reports(report)

    def save(self, position: Position) -> None:
        """One checkpoint, with its error where people are held out."""
        shared = shared_state(self._job)
        for name, tensor in shared.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise InvalidConfig(
                    f"{name} is no longer finite after step {position.step}; lower optimizer.rate or set "
                    "optimizer.clip, and start anew in another folder, with weights from a checkpoint of this one if "
                    "you like",
                    step=position.step,
                )
        error = self._measure()
        if self._ranks.first and error is not None:
            self._write(position.step, {"held_out_error": error})
        facts = Facts(
            *position, config=self._config.to_dict(), hashes=self._built.hashes, versions=_versions(), error=error
        )
        write_checkpoint(
            self._out / CHECKPOINTS, facts, shared, own_state(self._job), ranks=self._ranks, keep=self._config.run.keep
        )
        if self._board is not None:
            self._board.flush()  # what lies before a checkpoint is not done again

    def finish(self, position: Position) -> Result:
        """Exports the best checkpoint."""
        best = best_checkpoint(self._out / CHECKPOINTS)
        assert best is not None
        checkpoint = read_checkpoint(best)
        return Result(position, best, checkpoint.facts.error, _export(self._built, checkpoint, self._out))

    def _measure(self) -> float | None:
        held_out = self._built.held_out
        if held_out is None or not self._ranks.first:
            return None
        learner = self._job.learner.eval()
        return held_out_error(learner, held_out, self._built.normalization, self._job.device)

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        self._log.write(json.dumps({"step": step, **values}, allow_nan=False) + "\n")
        self._log.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)


def _rates(report: Report) -> dict[str, float]:
    return dict(zip(("rate", "attention_rate"), report.rates, strict=False))


def _versions() -> dict[str, str]:
    return {"xcos": __version__, "torch": torch.__version__, "python": platform.python_version()}


def _open_folder(out: Path) -> None:
    """Makes a folder for a new training, or finds one in which nothing was done."""
    if out.is_dir() and any(out.iterdir()) and not _failed_before_its_first_step(out):
        raise InvalidArgument(
            f"the folder {out} is not empty; add --resume to go on with what is there, or give a new one",
            path=str(out),
        )
    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise InvalidArgument(
            f"cannot write the folder {out}: {error.strerror}; give another", path=str(out)
        ) from error


def _require_begun(out: Path, config: TrainConfig) -> None:
    """Raises unless a training of this configuration was begun in the folder, whatever it came to."""
    if not (out / TRAINING_CONFIG).is_file():
        raise InvalidArgument(
            f"there is nothing to resume in {out}: it holds no {TRAINING_CONFIG} of a training; give the folder "
            "of the training with --out, or begin one without --resume",
            path=str(out),
        )
    _require_same_configuration(read_config(out / TRAINING_CONFIG).to_dict(), config, out)


def _failed_before_its_first_step(out: Path) -> bool:
    """Whether all that lies in the folder was left by a training that did nothing."""
    names = {path.name for path in out.iterdir()}
    log = out / LOG
    unwritten = not log.exists() or (log.is_file() and log.stat().st_size == 0)
    return {LOCK} <= names <= {TRAINING_CONFIG, LOCK, LOG, BOARD} and unwritten


def _opened(path: Path, mode: Literal["a", "w"]) -> TextIO:
    try:
        return path.open(mode, encoding="utf-8")
    except OSError as error:
        raise InvalidArgument(f"cannot write {path}: {error.strerror}; give another --out", path=str(path)) from error


def _restore(built: Built, out: Path, ranks: Ranks, listener: Listener) -> Position:
    """Where the newest whole checkpoint left off, with its state loaded; the start where there is none."""
    said: list[str] = []
    checkpoint = latest_checkpoint(out / CHECKPOINTS, said.append, ranks=ranks)
    if checkpoint is None:
        said.append("no whole checkpoint yet: starts from the beginning")
        position = Position()
    else:
        facts = checkpoint.facts
        _require_same(facts, built, out)
        load_state(built.job, checkpoint.tensors)
        position = Position(facts.step, facts.epoch, facts.batch)
        said.append(f"goes on after step {facts.step:,}")
    if ranks.first:
        _shorten_log(out / LOG, position.step)
        for message in said:
            listener.says(message)
    return position


def _require_same(facts: Facts, built: Built, out: Path) -> None:
    """Raises unless the configuration and what it names are those of the checkpoint."""
    _require_same_configuration(facts.config, built.job.config, out)
    for name in sorted(facts.hashes.keys() | built.hashes.keys()):
        if facts.hashes.get(name) != built.hashes.get(name):
            raise InvalidConfig(f"the {name} are not those the checkpoint was trained with; restore them", key=name)


def _require_same_configuration(begun: Mapping[str, object], config: TrainConfig, out: Path) -> None:
    """Raises where anything that changes what is learned is not as the training in ``out`` began."""
    then, now = _flat(begun), _flat(config.to_dict())
    fixed = {STREAMED} if config.data.format == "shards" else set()
    differing = [
        key for key in sorted(then.keys() | now.keys()) if then.get(key) != now.get(key) and key not in FREE - fixed
    ]
    if differing:
        told = ", ".join(f"{key} was {_shown(then, key)} and is {_shown(now, key)}" for key in differing)
        raise InvalidConfig(
            f"the training in {out} has another configuration: {told}; resume it with its own (its {TRAINING_CONFIG}), "
            "or start anew in another folder, with network.weights from this one if you like",
            path=str(out),
            keys=differing,
        )


def _shown(values: Mapping[str, object], key: str) -> str:
    return repr(values[key]) if key in values else "not given"


def _flat(config: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for section, values in config.items():
        assert isinstance(values, Mapping)
        found |= {f"{section}.{key}": value for key, value in values.items()}
    return found


def _shorten_log(path: Path, step: int) -> None:
    """Leaves out what was done after the checkpoint and will be done again, and what is no line of a log."""
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror}; make it readable", path=str(path)) from error
    whole = content[: content.rfind(b"\n") + 1].split(b"\n")
    write_atomically(path, b"".join(line + b"\n" for line in whole if _step_of(line) <= step))


def _step_of(line: bytes) -> float:
    """The step a line of the log tells of; infinite for anything else."""
    try:
        match json.loads(line):
            case {"step": int(step)}:
                return step
    except (ValueError, RecursionError):
        pass
    return math.inf


def _export(built: Built, checkpoint: Checkpoint, out: Path) -> list[Path]:
    """``model.onnx``, of a head ``head.onnx``, and ``card.toml``.

    A network that a head has changed gives its grid alone: its vector was not trained with it.
    """
    learner = built.job.learner.cpu().eval()
    load_learner(learner, checkpoint.tensors)
    network = learner.network
    whole = not isinstance(learner, HeadLearner) or learner.frozen
    files = {NETWORK: export_network(network, network.input_side, vector=whole)}
    if isinstance(learner, HeadLearner):
        files[HEAD] = export_head(learner.head, network.grid_side, network.grid_side)
    files[CARD] = toml(_card(built, files[NETWORK], out).to_dict()).encode()
    for name, content in files.items():
        write_atomically(out / name, content)
    return [out / name for name in files]


def _card(built: Built, network: bytes, out: Path) -> WeightCard:
    run = built.job.config.run
    return WeightCard(
        name=out.resolve().name or "network",
        sha256=hashlib.sha256(network).hexdigest(),
        template=built.template,
        color=built.normalization.color,
        mean=built.normalization.mean,
        scale=built.normalization.scale,
        licence=run.licence,
        source=run.source or f"trained by xcos {__version__}",
        training_data=built.training_data,
    )


def _board(out: Path, done: int) -> AbstractContextManager[Board]:
    """TensorBoard's writer; of what earlier ones wrote, nothing after step ``done`` is shown."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackage("run.tensorboard needs the package tensorboard: pip install tensorboard") from error
    board: AbstractContextManager[Board] = SummaryWriter(str(out / BOARD), purge_step=done + 1)
    return board
