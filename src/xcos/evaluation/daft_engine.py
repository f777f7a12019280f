"""Embedding on an existing distributed engine: Daft, in processes of this machine or on a Ray cluster.

::

    pip install 'xcos[scale]'
    engine = DaftEngine(extractor_spec(face="center"), runner="ray", address="auto")
    embed_samples(samples, engine.spec.build(), cache="/shared/features", engine=engine)

All that leaves this process is a job in words; a shard comes back as a file in the cache folder, which all workers
must see. So must the photos, unless they are given as bytes.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from xcos.errors import InvalidArgument, MissingPackage, UsageError, XcosError
from xcos.evaluation.extractor_spec import ExtractorSpec
from xcos.evaluation.work import SECOND_LOOK, Job, do_job, packed, recipe_of, unpacked, with_mirror
from xcos.extractor import Extractor, usable_cores
from xcos.feature_store import Recipe, Shard, open_shard

LOOPBACK = "127.0.0.1"
LOCAL_RAY = {
    # Ray takes 127.0.0.1 for the address of the network card, and then listens everywhere, but on systems where it
    # makes no clusters; this says that here it makes none either.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # A token of this run alone; by itself Ray would leave one in the user's home.
    "RAY_AUTH_MODE": "token",
}
"""What a Ray of our own reads from the environment when it is imported."""
PARTS_PER_WORKER = 16  # of the jobs on Ray: few cost balance, many cost tasks


@dataclass(frozen=True)
class DaftEngine:
    """Jobs on Daft's runners; needs a cache, and extractors that ``spec`` builds.

    ``native`` starts ``workers`` processes on this machine. ``ray`` uses the Ray cluster that the program has joined,
    or joins the one at ``address``, or starts a Ray of its own on this machine: with a token, without a dashboard, and
    bound to the loopback interface, while Ray would listen on all of them. It ends with the program. Daft allows one
    runner a process.
    """

    spec: ExtractorSpec
    runner: Literal["native", "ray"] = "native"
    workers: int = 0
    """How many jobs are done at a time; 0: one for each core of this machine."""
    address: str = ""
    """Of a Ray cluster to join."""

    def __post_init__(self) -> None:
        if self.runner not in ("native", "ray") or (self.address and self.runner != "ray") or self.workers < 0:
            raise InvalidArgument(
                f"runner must be 'native' or 'ray', the latter with an address if wanted, and workers 0 or more; got "
                f"{self.runner!r}, {self.address!r} and {self.workers}"
            )

    def run(self, jobs: Sequence[Job], extractor: Extractor, on_photo: Callable[[], None]) -> Iterator[Shard]:
        """As :meth:`xcos.evaluation.engines.Engine.run`; ``on_photo`` is called when a job is done."""
        del extractor  # the workers build theirs, and refuse a job that was meant for another
        folder = jobs[0].folder
        if folder is None:
            raise InvalidArgument("a distributed engine hands features over in files; give a cache all workers see")
        daft = _daft()
        workers = self.workers or usable_cores()
        _choose_runner(daft, self.runner, workers, self.address)
        texts, blobs = zip(*map(packed, jobs), strict=True)
        frame = daft.from_pydict({"number": list(range(len(jobs))), "job": list(texts), "blobs": list(blobs)})
        if self.runner == "ray":
            frame = frame.into_partitions(min(len(jobs), PARTS_PER_WORKER * workers))
        worker = _worker_class(daft, self.runner, workers)(self.spec)
        done = worker.do(frame["job"], frame["blobs"]).alias("done")
        for row in frame.select(frame["number"], done).iter_rows():
            answer = json.loads(row["done"])
            if "shard" not in answer:
                raise _error(answer["error"])
            for _ in jobs[row["number"]].photos:
                on_photo()
            yield open_shard(folder / answer["shard"], check=False)


class Worker:
    """What each process of an engine has: an extractor built from the spec, at its first job."""

    def __init__(self, spec: ExtractorSpec) -> None:
        self._spec = spec

    @cached_property
    def _extractor(self) -> Extractor:
        return self._spec.build()

    def do(self, text: str, blobs: Sequence[bytes]) -> str:
        """Does one packed job; the answer is JSON: the name of the shard's file, or the error."""
        try:
            job = unpacked(text, blobs)
            extractor = with_mirror(self._extractor) if job.mirror else self._extractor
            recipe = recipe_of(extractor, second_look=SECOND_LOOK in job.recipe.measures)
            if recipe != job.recipe:
                raise InvalidArgument(
                    f"the workers' extractor is {_shown(recipe)}; the run's is {_shown(job.recipe)}: give "
                    "embed_samples() the extractor that the engine's spec builds, and all machines one release of xcos"
                )
            return json.dumps({"shard": do_job(job, extractor).name})
        except XcosError as error:
            return json.dumps(error.to_dict())


def _shown(recipe: Recipe) -> str:
    return f"{recipe.model} with {recipe.detector}, face {recipe.face}, xcos {recipe.xcos}"


def _worker_class(daft: Any, runner: str, workers: int) -> Any:
    class Wrapped:
        """Made here, where Daft is at hand."""

        def __init__(self, spec: ExtractorSpec) -> None:
            self._worker = Worker(spec)

        # One job a call: whoever is free takes the next.
        @daft.method.batch(return_dtype=daft.DataType.string(), batch_size=1)  # type: ignore[untyped-decorator]
        def do(self, texts: Any, blobs: Any) -> list[str]:
            pairs = zip(texts.to_pylist(), blobs.to_pylist(), strict=True)
            return [self._worker.do(text, some) for text, some in pairs]

    return daft.cls(Wrapped, max_concurrency=workers, use_process=True if runner == "native" else None)


def _daft() -> Any:
    # Daft reports every import and run to its makers unless told otherwise; so does Ray.
    os.environ.setdefault("DAFT_ANALYTICS_ENABLED", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")  # progress is told to on_photo
    try:
        import daft
    except ImportError as error:
        raise MissingPackage("embedding on Daft needs it: pip install 'xcos[scale]'", package="daft") from error
    return daft


def _choose_runner(daft: Any, runner: str, workers: int, address: str) -> None:
    if runner == "ray":
        _join_ray(workers, address)
    try:
        if runner == "ray":
            daft.set_runner_ray(noop_if_initialized=True)
        else:
            daft.set_runner_native()
    except Exception as error:  # Daft's type for a second choice is its general one
        chosen = daft.runners.get_or_infer_runner_type()
        if chosen != runner:
            raise InvalidArgument(
                f"Daft already runs on {chosen} in this process and keeps to that; start another for {runner}"
            ) from error


def _join_ray(workers: int, address: str) -> None:
    imported = "ray" in sys.modules
    if not (imported or address):
        os.environ.update({**LOCAL_RAY, "RAY_AUTH_TOKEN": secrets.token_hex(32)})
    try:
        import ray
    except ImportError as error:
        raise MissingPackage("embedding on Ray needs it: pip install 'xcos[scale]'", package="ray") from error
    if ray.is_initialized():
        return
    if address:
        ray.init(address=address)
        return
    if any(os.environ.get(name) != value for name, value in LOCAL_RAY.items()):
        raise InvalidArgument(
            "ray was imported before and would listen on all interfaces of this machine; import it after the engine "
            "has run, or join a cluster of your choice first with ray.init()"
        )
    ray.init(
        address="local",
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address=LOOPBACK,
    )
    listening = ray.util.get_node_ip_address()
    if listening != LOOPBACK:  # a release of Ray with other habits
        ray.shutdown()
        raise InvalidArgument(
            f"Ray {ray.__version__} would listen on {listening}; join a cluster with ray.init() first"
        )


def _error(told: dict[str, Any]) -> XcosError:
    """The error that a worker told of, of its own type."""
    kinds: list[type[XcosError]] = [XcosError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    kind = next((kind for kind in kinds if kind.code == told["code"]), UsageError)
    return kind(told["message"], **told["details"])
