"""The signals that stop a run: SIGTERM of a queue, Ctrl-C of a user."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block SIGINT and SIGTERM in this thread and in all that it starts meanwhile.

    Threads and processes inherit the mask: a Ctrl-C in a terminal and a queue's SIGTERM, which
    reach every process of a job, then leave it to the run to stop its workers.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def sigterm_exits(sentence: str, code: int) -> Iterator[None]:
    """Let SIGTERM end the process at once with a sentence, where nothing has to be cleaned up.

    An exception would not do while libraries are imported, which may catch or ignore it.
    """

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        os.write(2, f"{sentence}\n".encode())
        os._exit(code)

    with _sigterm(end):
        yield


class Terminated(BaseException):
    """SIGTERM has arrived; no `Exception`, so that nothing on the way takes it for a failure."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` here, where nothing watches for it (see `StopSignals`)."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise Terminated

    with _sigterm(end):
        yield


@contextmanager
def _sigterm(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let SIGTERM call a handler, unless this thread may not ask for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class StopSignals:
    """While entered, notes SIGTERM and Ctrl-C in ``caught``; a second Ctrl-C raises at once."""

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the handlers, unless this thread may not."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        """Restore the handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if number == signal.SIGINT and self.caught is signal.SIGINT:
            raise KeyboardInterrupt
        self.caught = signal.Signals(number)
