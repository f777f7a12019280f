"""Who does the work of embedding. An engine turns jobs into shards; which one never changes a bit of a feature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from xcos.evaluation.work import Job, do_job
from xcos.extractor import Extractor, usable_cores
from xcos.feature_store import Shard


class Engine(Protocol):
    """Does jobs."""

    def run(self, jobs: Sequence[Job], extractor: Extractor, on_photo: Callable[[], None]) -> Iterator[Shard]:
        """The shards of all jobs, as :func:`xcos.evaluation.work.do_job` makes them, in any order.

        ``extractor`` is the one the jobs' recipe speaks of; ``on_photo`` is called once for each photo.
        """
        ...


@dataclass(frozen=True)
class LocalPool:
    """Threads of this process, one job each at a time; the networks leave the interpreter while they run."""

    streams: int = 0
    """How many; 0: one for each core."""

    def run(self, jobs: Sequence[Job], extractor: Extractor, on_photo: Callable[[], None]) -> Iterator[Shard]:
        """As :meth:`Engine.run`, in the order of the jobs; ``on_photo`` is called by the threads."""
        with ThreadPoolExecutor(self.streams or usable_cores(), "xcos") as pool:
            # One job that fails, or a stop by the user, ends this iterator, which then calls off those not begun.
            yield from pool.map(lambda job: do_job(job, extractor, on_photo), jobs)


LOCAL = LocalPool()
