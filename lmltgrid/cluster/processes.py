"""A cluster of processes on this machine."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from lmltgrid.cluster.executor import Executor
from lmltgrid.cluster.scheduler import OwnCluster
from lmltgrid.errors import SpecificationError

GIVEN_UP: Final = 3.0  # s; a nanny that means to start its worker again does so at once


class _Local(OwnCluster):
    """A `distributed.LocalCluster` of single-threaded processes with a memory limit each."""

    def __init__(self, workers: int, memory_mb: int) -> None:
        super().__init__("local", workers)
        self.memory_mb = memory_mb
        self._absent: dict[Any, float] = {}  # since when a worker has neither process nor link

    def tend(self) -> None:
        self._require_scheduler()
        known = self._names()
        if len(known) >= self.slots:
            self._absent.clear()
            return
        # a nanny gives up on a worker that dies while it starts, and the cluster still counts it
        for name, nanny in list(self._cluster.workers.items()):
            if str(name) in known or nanny.is_alive():
                self._absent.pop(name, None)
            elif time.monotonic() - self._absent.setdefault(name, time.monotonic()) > GIVEN_UP:
                del self._absent[name]
                self._cluster.loop.add_callback(self._drop, name)
        self._cluster.scale(self.slots)

    def _make(self) -> Any:
        import distributed

        return distributed.LocalCluster(
            n_workers=self.slots,
            threads_per_worker=1,
            processes=True,
            memory_limit=f"{self.memory_mb}MB",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )


def local(workers: int | None = None, memory_mb: int = 1000) -> Executor:
    """Return a cluster of processes on this machine, one for each core unless ``workers`` is given.

    A process that outgrows ``memory_mb`` (10^6 bytes) is killed and replaced.
    """
    if workers is None:
        from dask.system import CPU_COUNT  # knows affinity and control groups

        workers = CPU_COUNT
    if workers < 1:
        raise SpecificationError(f"local: {workers} workers were given; at least 1 is needed")
    return _Local(workers, memory_mb)
