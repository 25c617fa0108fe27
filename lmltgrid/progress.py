"""Who follows a scan, and how: a bar on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

Message = Callable[[str], None]


class Reporter(Protocol):
    """Who follows a scan."""

    def progress(self, done: int, total: int, rate: float) -> None:
        """Tell how many units of all are finished, and how many a second."""

    def message(self, text: str) -> None:
        """Tell something in one sentence."""


class LineReporter:
    """Writes one line for every tenth of the scan, and every message."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tenth = -1

    def progress(self, done: int, total: int, rate: float) -> None:
        """Write a line if another tenth is finished."""
        tenth = 10 * done // total if total else 10
        if tenth > self._tenth:
            self._tenth = tenth
            self.message(f"{done} of {total} units, {rate:.3g} a second")

    def message(self, text: str) -> None:
        """Write a line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()


@contextmanager
def show_progress(stream: TextIO | None = None) -> Iterator[Reporter]:
    """Report to ``stream`` (standard error): a bar on a terminal, else a line for every tenth."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield LineReporter(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    rate_column = TextColumn("{task.fields[rate]:.3g} units/s")
    columns = (BarColumn(), MofNCompleteColumn(), rate_column, Remaining())
    with Progress(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task("scan", total=None, rate=0.0)

        class _Bar:
            def progress(self, done: int, total: int, rate: float) -> None:
                bar.update(task, completed=done, total=total, rate=rate)

            def message(self, text: str) -> None:
                bar.console.print(text, markup=False, highlight=False)

        yield _Bar()


class Silent:
    """Tells nobody."""

    def progress(self, done: int, total: int, rate: float) -> None:
        """Say nothing."""

    def message(self, text: str) -> None:
        """Say nothing."""
