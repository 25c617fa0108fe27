"""Those who tell people how far a scan is: a bar on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from lmltgrid.progress.meter import Progress, duration_words, figures, rate_words
from lmltgrid.progress.notebook import in_notebook, notebook_display

if TYPE_CHECKING:
    from rich.console import Console

Message = Callable[[str], None]

SILENCE: Final = 600.0  # s without a line after which a log shows that the scan lives
FRAMES: Final = 4  # a second, of the bar
LEAST: Final = 8  # columns of a bar that still says something
MARGIN: Final = 3  # columns beside the bar: room for the ^C that a terminal echoes


class Reporter(Protocol):
    """Who follows a scan."""

    def progress(self, now: Progress) -> None:
        """Tell how far it is; called at least twice a second while calls are collected."""

    def message(self, text: str, event: str = "message", **facts: Any) -> None:
        """Tell something in one sentence; programs read what kind of event it is, and its facts."""


class Silent:
    """Tells nobody."""

    def progress(self, now: Progress) -> None:
        """Say nothing."""

    def message(self, text: str, event: str = "message", **facts: Any) -> None:
        """Say nothing."""


class Audience:
    """Tells several reporters; a scan goes on where one of them cannot be written."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def progress(self, now: Progress) -> None:
        """Tell all how far the scan is."""
        self._tell(lambda reporter: reporter.progress(now))

    def message(self, text: str, event: str = "message", **facts: Any) -> None:
        """Tell all a sentence."""
        self._tell(lambda reporter: reporter.message(text, event, **facts))

    def _tell(self, say: Callable[[Reporter], None]) -> None:
        for reporter in self._reporters:
            with suppress(OSError):  # a full disk, a terminal that is gone
                say(reporter)


class LineReporter:
    """Writes a line for every tenth of the scan, after ten minutes of silence, and every message.

    Each line begins with date and time, by the clock on the user's wall.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tenth = -1
        self._written = time.monotonic()

    def progress(self, now: Progress) -> None:
        """Write a line if another tenth is finished, or nothing was written for long."""
        tenth = now.percent // 10
        if tenth > self._tenth or time.monotonic() - self._written >= SILENCE:
            self._tenth = max(tenth, self._tenth)
            self.message(line_words(now))

    def message(self, text: str, event: str = "message", **facts: Any) -> None:  # noqa: ARG002
        """Write a line."""
        self._written = time.monotonic()
        self._stream.write(f"{timed(text)}\n")
        self._stream.flush()


def timed(text: str) -> str:
    """Return a line of a log: date, time, text."""
    return f"{datetime.now():%Y-%m-%d %H:%M:%S}  {text}"


def line_words(now: Progress) -> str:
    """Return how far a scan is, as a line of a log.

    Examples
    --------
    >>> print(line_words(Progress(30, 96, failed=2, rate=3.2)))
    30 of 96 units (31 %), 3.20 units/s, time left 0:00:20, 2 failed
    """
    text = f"{now.done} of {now.total} units ({now.percent} %)"
    if now.waiting:
        text += ", waiting for workers"
    elif not now.ended:
        text += f", {rate_words(now.rate)}, time left {duration_words(now.remaining)}"
    elif now.seconds is not None:
        text += f", {duration_words(now.seconds)} elapsed"
    return text + (f", {now.failed} failed" if now.failed else "")


def show_progress(
    stream: TextIO | None = None, *, quiet: bool = False, widget: object | None = None
) -> AbstractContextManager[Reporter]:
    """Return who tells people how far a scan is, to be entered.

    Parameters
    ----------
    stream
        Standard error if left out, and in a notebook its page: there a bar is drawn, as on a
        terminal; elsewhere lines are written.
    quiet
        Tell nobody.
    widget
        What Dask shows of a cluster in a notebook, if there is one.
    """
    if quiet:
        return nullcontext(Silent())
    if stream is None and in_notebook():
        return notebook_display(widget)
    stream = stream or sys.stderr
    if not stream.isatty():
        return nullcontext(LineReporter(stream))
    from rich.console import Console

    console = Console(file=stream)
    # a terminal that cannot move its cursor can show lines alone
    return nullcontext(LineReporter(stream)) if console.is_dumb_terminal else _bar(console)


class _Bar:
    """What a bar shows, drawn anew a few times a second; the clock runs on between units."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.now = Progress(0, 0)
        self._told = self._begun = time.monotonic()

    def progress(self, now: Progress) -> None:
        self.now, self._told = now, time.monotonic()

    def message(self, text: str, event: str = "message", **facts: Any) -> None:  # noqa: ARG002
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> Any:
        return bar_line(self.now, time.monotonic() - self._told, self.console.width)


def bar_line(now: Progress, age: float, width: int) -> Any:
    """Return a bar with its figures, as rich draws it, in one line of a terminal.

    Where the terminal is narrow the figures come first, and what says least goes.

    Parameters
    ----------
    now
        What was told last.
    age : s
        Since then: elapsed time and remaining time go on.
    width
        Of the terminal, in columns.
    """
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    words = figures(now, age)
    room = width - MARGIN - sum(len(text) + 2 for text, _ in words)
    if room < LEAST and now.seconds is not None and not now.ended:
        room += len(words.pop()[0]) + 2  # the elapsed time
    line = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    cells: list[Any] = [Text(text, style=style, no_wrap=True) for text, style in words]
    if room >= LEAST:
        size = min(room, 40)
        cells.insert(0, ProgressBar(total=now.total or None, completed=now.done, width=size))
    for _ in cells:
        line.add_column(no_wrap=True, overflow="crop")
    line.add_row(*cells)
    return line


@contextmanager
def _bar(console: Console) -> Iterator[Reporter]:
    from rich.live import Live

    bar = _Bar(console)
    # what goes to a file or a pipe from here must not end up on the terminal
    mixed = sys.stdout.isatty()
    with Live(bar, console=console, refresh_per_second=FRAMES, redirect_stdout=mixed) as live:
        try:
            yield bar
        finally:
            live.transient = not bar.now.total  # a bar that never began says nothing
