"""Executors without a cluster: the caller's thread, or a few threads of its process."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from lmltgrid.cluster.executor import Call, Executor, Futures, Outcome
from lmltgrid.errors import SpecificationError


class _Inline:
    """Runs each call in the caller's thread when it is collected."""

    name = "in-process"
    slots = 1
    window = 1
    dashboard = ""
    widget: Any = None

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

    def waiting(self) -> str:
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._calls.clear()


class _Threads(Futures):
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


def in_process(threads: int = 1) -> Executor:
    """Return an executor without a cluster: this thread, or a few threads of this process."""
    if threads < 1:
        raise SpecificationError(f"in-process: {threads} threads were given; at least 1 is needed")
    return _Inline() if threads == 1 else _Threads(threads)
