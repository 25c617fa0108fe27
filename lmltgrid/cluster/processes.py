"""A cluster of processes on this machine."""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from typing import Any, Final, Self

from lmltgrid.cluster.executor import Executor
from lmltgrid.cluster.scheduler import OwnCluster
from lmltgrid.errors import MachineError, SpecificationError

GIVEN_UP: Final = 3.0  # s; a nanny that means to start its worker again does so at once
START: Final = 60.0  # s that a process may take to start
PATIENCE: Final = 180.0  # s to be without any worker
LOOK: Final = 0.2  # s between looks at processes that start


class _Local(OwnCluster):
    """A `distributed.LocalCluster` of single-threaded processes with a memory limit each."""

    def __init__(self, workers: int, memory_mb: int) -> None:
        super().__init__("local", workers)
        self.memory_mb = memory_mb
        self._absent: dict[Any, float] = {}  # since when a worker has neither process nor link
        self._starting: dict[int, float] = {}  # since when a process has no link yet
        self._idle_since = 0.0

    def tend(self) -> None:
        self._require_scheduler()
        known = self._names()
        self._judge(bool(known))
        if len(known) >= self.slots:
            self._absent.clear()
            self._starting = {}
            return
        # a nanny gives up on a worker that dies while it starts, and the cluster still counts it
        for name, nanny in list(self._cluster.workers.items()):
            if str(name) in known or nanny.is_alive():
                self._absent.pop(name, None)
            elif time.monotonic() - self._absent.setdefault(name, time.monotonic()) > GIVEN_UP:
                del self._absent[name]
                self._cluster.loop.add_callback(self._drop, name)
        self._cluster.loop.add_callback(self._kill_starting, START)
        self._cluster.loop.add_callback(self._restore)

    def waiting(self) -> str:
        return f"{self.name}: its processes are started again" if self._idle_since else ""

    def _judge(self, working: bool) -> None:
        """Give up when no process comes."""
        if working:
            self._idle_since = 0.0
        elif not self._idle_since:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > PATIENCE:
            raise MachineError(
                f"{self.name}: no worker process has started for {PATIENCE:.0f} s; look at memory, "
                "limits and the environment of this machine, then run or resume the scan"
            )

    async def _restore(self) -> None:
        """Start the workers that are missing, in the cluster's own thread."""
        cluster = self._cluster
        if cluster.status.name != "running":
            return
        while len(cluster.worker_spec) < self.slots:
            cluster.worker_spec.update(cluster.new_worker_spec())
        with suppress(Exception):  # a process that dies while it starts is seen by tend
            await cluster._correct_state()

    def _kill_starting(self, patience: float) -> None:
        """Kill processes that start for too long, in the cluster's own thread.

        Their nannies would wait for ever, and with them whoever starts or closes others.
        """
        known, now = self._names(), time.monotonic()
        starting = {n.pid for n in self._cluster._created if n.pid and str(n.name) not in known}
        self._starting = {pid: self._starting.get(pid, now) for pid in starting}
        for pid, since in self._starting.items():
            if now - since >= patience:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        """Start the processes, and wait for the first."""
        super().__enter__()
        try:
            while not self._names():
                self.tend()
                time.sleep(LOOK)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop; calls that still run are abandoned."""
        self._cluster.loop.add_callback(self._kill_starting, 0.0)  # closing would wait for them
        super().__exit__(*exc)

    def _make(self) -> Any:
        import distributed

        return distributed.LocalCluster(
            n_workers=0,
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
