"""Executors without a cluster: a few threads of this process."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import Any, Self

from lmltgrid.cluster.executor import Call, Executor, Futures, Outcome
from lmltgrid.errors import SpecificationError

_Task = tuple[Future[Any], Call, tuple[Any, ...]]


class _Threads(Futures):
    """A few threads of this process; kernels and compression release the interpreter's lock.

    Never the caller's: it has to see signals, and that nothing happens for too long. The threads
    are daemons, so that a call that hangs does not keep the program from ending.
    """

    def __init__(self, threads: int) -> None:
        super().__init__("in-process", threads)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._started = 0

    def _start(self, function: Call, args: tuple[Any, ...]) -> Any:
        future: Future[Any] = Future()
        if self._started < self.slots:
            self._started += 1
            threading.Thread(target=_work, args=(self._tasks,), daemon=True).start()
        self._tasks.put((future, function, args))
        return future

    def _outcome(self, ticket: int, future: Any) -> Outcome:
        error = future.exception()
        return Outcome(ticket, None if error else future.result(), error)

    def tend(self) -> None:
        """Nothing can be lost."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for future in self._flying.values():
            future.cancel()
        self._flying.clear()
        for _ in range(self._started):
            self._tasks.put(None)
        self._started = 0


def _work(tasks: queue.SimpleQueue[_Task | None]) -> None:
    """Run calls, one after the other, until there is none instead of one."""
    while (task := tasks.get()) is not None:
        future, function, args = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)


def in_process(threads: int = 1) -> Executor:
    """Return an executor without a cluster: one thread or a few of this process."""
    if threads < 1:
        raise SpecificationError(f"in-process: {threads} threads were given; at least 1 is needed")
    return _Threads(threads)
