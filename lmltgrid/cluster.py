"""Where a scan runs: executors behind one interface.

An executor runs plain function calls and says how each ended. It neither schedules units nor
knows stores: `lmltgrid.scan` does. `in_process` needs no cluster; `local` starts one on this
machine. Both are context managers.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any, Protocol, Self

from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.signals import signals_blocked

WINDOW = 3  # calls in flight for each call that runs: nobody waits for the scheduler
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
GIVEN_UP = 3.0  # s; a nanny that means to start its worker again does so at once
FETCH = 60.0  # s to wait for the small result of a call that has ended

Call = Callable[..., Any]


@dataclass(frozen=True)
class Outcome:
    """How a call ended: with a value, with an error, or ``lost`` together with its process."""

    ticket: int
    value: Any = None
    error: BaseException | None = None
    lost: bool = False


class Executor(Protocol):
    """What a scan needs of the place where it runs.

    ``slots`` calls run at once; at most ``window`` should be submitted and not yet collected.
    """

    name: str
    slots: int
    window: int

    def submit(self, function: Call, *args: Any) -> int:
        """Hand in a call; return its ticket. Function and arguments can be pickled."""

    def collect(self, timeout: float) -> list[Outcome]:
        """Return calls that ended, each once; wait at most ``timeout`` seconds for the first."""

    def tend(self) -> None:
        """Replace lost workers; called every few seconds.

        Raises
        ------
        MachineError
            The executor itself is lost.
        """

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(self, *exc: object) -> None:
        """Stop; calls that still run are abandoned."""


class _Inline:
    """Runs each call in the caller's thread when it is collected."""

    name = "in-process"
    slots = 1
    window = 1

    def __init__(self) -> None:
        self._calls: deque[tuple[int, Call, tuple[Any, ...]]] = deque()
        self._tickets = 0

    def submit(self, function: Call, *args: Any) -> int:
        self._tickets += 1
        self._calls.append((self._tickets, function, args))
        return self._tickets

    def collect(self, timeout: float) -> list[Outcome]:  # noqa: ARG002 - the call is the wait
        if not self._calls:
            return []
        ticket, function, args = self._calls.popleft()
        try:
            return [Outcome(ticket, function(*args))]
        except Exception as error:
            return [Outcome(ticket, error=error)]

    def tend(self) -> None:
        """Nothing can be lost."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._calls.clear()


class _Futures:
    """What executors with futures share: tickets, and a queue of those that ended."""

    def __init__(self, name: str, slots: int) -> None:
        self.name = name
        self.slots = slots
        self.window = WINDOW * slots
        self._flying: dict[int, Any] = {}
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._tickets = 0

    def _start(self, function: Call, args: tuple[Any, ...]) -> Any:
        raise NotImplementedError

    def _outcome(self, ticket: int, future: Any) -> Outcome:
        raise NotImplementedError

    def submit(self, function: Call, *args: Any) -> int:
        self._tickets += 1
        ticket = self._tickets
        future = self._flying[ticket] = self._start(function, args)
        future.add_done_callback(lambda _: self._ended.put(ticket))
        return ticket

    def collect(self, timeout: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with suppress(queue.Empty):
            while True:  # wait for the first only
                ticket = self._ended.get(timeout=0 if outcomes else timeout)
                if ticket in self._flying:
                    outcomes.append(self._outcome(ticket, self._flying.pop(ticket)))
        return outcomes


class _Threads(_Futures):
    """A few threads of this process; kernels and compression release the interpreter's lock."""

    def __init__(self, threads: int) -> None:
        super().__init__("threads", threads)

    def _start(self, function: Call, args: tuple[Any, ...]) -> Any:
        return self._pool.submit(function, *args)

    def _outcome(self, ticket: int, future: Any) -> Outcome:
        error = future.exception()
        return Outcome(ticket, None if error else future.result(), error)

    def tend(self) -> None:
        """Nothing can be lost."""

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self.slots, thread_name_prefix="lmltgrid")
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Local(_Futures):
    """A `distributed.LocalCluster` of single-threaded processes with a memory limit each."""

    def __init__(self, workers: int, memory_mb: int) -> None:
        super().__init__("local", workers)
        self.memory_mb = memory_mb
        self._absent: dict[Any, float] = {}  # since when a worker has neither process nor link
        self._closing: set[asyncio.Future[Any]] = set()

    def _start(self, function: Call, args: tuple[Any, ...]) -> Any:
        return self._client.submit(function, *args, pure=False)

    def _outcome(self, ticket: int, future: Any) -> Outcome:
        import distributed

        try:
            return Outcome(ticket, future.result(timeout=FETCH))
        except (distributed.KilledWorker, CancelledError, OSError) as error:  # or timed out
            return Outcome(ticket, error=error, lost=True)
        except Exception as error:
            return Outcome(ticket, error=error)

    def tend(self) -> None:
        if self._client.status != "running":
            raise MachineError("local: the scheduler is gone; resume the scan")
        known = {worker["name"] for worker in self._cluster.scheduler_info["workers"].values()}
        if len(known) >= self.slots:
            self._absent.clear()
            return
        # a nanny gives up on a worker that dies while it starts, and the cluster still counts it
        for name, nanny in list(self._cluster.workers.items()):
            if name in known or nanny.is_alive():
                self._absent.pop(name, None)
            elif time.monotonic() - self._absent.setdefault(name, time.monotonic()) > GIVEN_UP:
                del self._absent[name]
                self._cluster.loop.add_callback(self._drop, name)
        self._cluster.scale(self.slots)

    def _drop(self, name: Any) -> None:
        """Forget a nanny, in the cluster's own thread, so that the cluster starts another."""
        nanny = self._cluster.workers.pop(name, None)
        if nanny is not None:
            task = asyncio.ensure_future(nanny.close())
            self._closing.add(task)  # the loop alone would not keep it
            task.add_done_callback(self._closing.discard)

    def __enter__(self) -> Self:
        import dask
        import distributed

        settings = {
            "distributed.deploy.lost-worker-timeout": "3s",
            # the first death ends a call, so that the scan, which knows the units, isolates them
            "distributed.scheduler.allowed-failures": 0,
            # results are tiny: memory belongs to the units, and pausing would only stall
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
            "distributed.worker.profile.enabled": False,
            # without distributed's MALLOC_TRIM_THRESHOLD_: giving every freed chunk back to the
            # system and faulting it in again costs a third of the time of a unit
            "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, 1),
        }
        with ExitStack() as stack:
            stack.enter_context(dask.config.set(settings))
            resource_tracker.ensure_running()  # its start would unblock the signals again
            with signals_blocked():
                self._cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=self.slots,
                        threads_per_worker=1,
                        processes=True,
                        memory_limit=f"{self.memory_mb}MB",
                        host="127.0.0.1",
                        dashboard_address=":0",
                        silence_logs=logging.CRITICAL,
                    )
                )
                self._client = stack.enter_context(
                    distributed.Client(self._cluster, set_as_default=False)
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._flying.clear()
        self._stack.close()


def in_process(threads: int = 1) -> Executor:
    """Return an executor without a cluster: this thread, or a few threads of this process."""
    if threads < 1:
        raise SpecificationError(f"in-process: {threads} threads were given; at least 1 is needed")
    return _Inline() if threads == 1 else _Threads(threads)


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
