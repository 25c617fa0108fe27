"""What a scan needs of the place where it runs, and what all executors with futures share.

An executor runs plain function calls and says how each ended. It neither schedules units nor
knows stores: `lmltgrid.scan` does.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

WINDOW: Final = 3  # calls in flight for each call that runs: nobody waits for the scheduler

Call = Callable[..., Any]


@dataclass(frozen=True)
class Outcome:
    """How a call ended: with a value, with an error, or ``lost`` together with its process."""

    ticket: int
    value: Any = None
    error: BaseException | None = None
    lost: bool = False


class Executor(Protocol):
    """A place where a scan runs; a context manager.

    ``slots`` calls run at once; at most ``window`` should be submitted and not yet collected. Both
    may change when workers come and go. ``dashboard`` is the address of a page that shows the
    workers, or empty; ``widget`` is what Dask shows of them in a notebook, or None.
    """

    name: str
    slots: int
    dashboard: str
    widget: Any

    @property
    def window(self) -> int:
        """Calls to have in flight."""

    def submit(self, function: Call, *args: Any) -> int:
        """Hand in a call; return its ticket. Function and arguments can be pickled.

        Raises
        ------
        MachineError
            The executor itself is lost.
        """

    def collect(self, timeout: float) -> list[Outcome]:
        """Return calls that ended, each once; wait at most ``timeout`` seconds for the first."""

    def tend(self) -> None:
        """Replace lost workers; called every few seconds.

        Raises
        ------
        MachineError
            The executor itself is lost, or no worker comes.
        """

    def waiting(self) -> str:
        """Say why nothing runs though nothing is wrong, as while jobs queue; else return ""."""

    def __enter__(self) -> Self:
        """Start.

        Raises
        ------
        MachineError
            It cannot be started or reached.
        """

    def __exit__(self, *exc: object) -> None:
        """Stop; calls that still run are abandoned."""


class Futures:
    """What executors with futures share: tickets, and a queue of those that ended."""

    dashboard = ""
    widget: Any = None

    def __init__(self, name: str, slots: int) -> None:
        self.name = name
        self.slots = slots
        self._flying: dict[int, Any] = {}
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._tickets = 0

    @property
    def window(self) -> int:
        """Calls to have in flight."""
        return WINDOW * self.slots

    def _start(self, function: Call, args: tuple[Any, ...]) -> Any:
        raise NotImplementedError

    def _outcome(self, ticket: int, future: Any) -> Outcome:
        raise NotImplementedError

    def submit(self, function: Call, *args: Any) -> int:
        """Hand in a call; return its ticket."""
        self._tickets += 1
        ticket = self._tickets
        future = self._flying[ticket] = self._start(function, args)
        future.add_done_callback(lambda _: self._ended.put(ticket))
        return ticket

    def collect(self, timeout: float) -> list[Outcome]:
        """Return calls that ended, each once."""
        outcomes: list[Outcome] = []
        with suppress(queue.Empty):
            while True:  # wait for the first only
                ticket = self._ended.get(timeout=0 if outcomes else timeout)
                if ticket in self._flying:
                    outcomes.append(self._outcome(ticket, self._flying.pop(ticket)))
        return outcomes

    def waiting(self) -> str:
        """Nothing is waited for."""
        return ""
