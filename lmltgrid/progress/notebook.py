"""The progress of a scan in a notebook: Dask's own picture of the workers, and a bar of units.

Dask's progress widget follows futures, all of them known at the start. A scan has a few calls in
flight at a time, each for a bundle of units, so that widget would never show the whole; what it is
about, the workers, is the cluster's own widget. The bar is a plain ``<progress>`` element in a
display that is updated in place: it needs no extension and stays in the saved notebook.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, Final

from lmltgrid.progress.meter import Progress, figures

if TYPE_CHECKING:
    from lmltgrid.progress.reporters import Reporter

PAUSE: Final = 0.5  # s between drawings


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook; IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class _Page:
    """A bar on the page of a notebook; messages are printed below it."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle = display(_Drawing(Progress(0, 0)), display_id=True)
        self._drawn = 0.0
        self._last = Progress(0, 0)

    def progress(self, now: Progress) -> None:
        """Draw the bar again, if that was not done a moment ago."""
        self._last = now
        if time.monotonic() - self._drawn >= PAUSE or now.done == now.total:
            self.draw()

    def message(self, text: str, event: str = "message", **facts: Any) -> None:  # noqa: ARG002
        """Print a line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def end(self) -> None:
        """Leave the last that was told on the page, and nothing if nothing was."""
        self.draw() if self._last.total else self._handle.update(_Nothing())

    def draw(self) -> None:
        """Draw the last that was told."""
        self._drawn = time.monotonic()
        self._handle.update(_Drawing(self._last))


class _Nothing:
    """An empty place on the page."""

    def _repr_html_(self) -> str:
        return ""

    def __repr__(self) -> str:
        return ""


class _Drawing:
    """How far a scan is, as a notebook shows it and as text."""

    def __init__(self, now: Progress) -> None:
        self.now = now

    def _words(self) -> str:
        return " · ".join(text.strip() for text, _ in figures(self.now))

    def _repr_html_(self) -> str:
        value = f' value="{self.now.done}" max="{self.now.total}"' if self.now.total else ""
        return (
            f'<div><progress style="width: 20em; vertical-align: middle"{value}></progress> '
            f"{escape(self._words())}</div>"
        )

    def __repr__(self) -> str:
        return self._words()


@contextmanager
def notebook_display(widget: object | None) -> Iterator[Reporter]:
    """Show the cluster, if there is one, and below it a bar of units.

    Parameters
    ----------
    widget
        What Dask shows of a cluster: live with ipywidgets, else as it is now.
    """
    import IPython.display

    display: Any = IPython.display.display
    if widget is not None:
        display(widget)
    page = _Page(display)
    try:
        yield page
    finally:
        page.end()
