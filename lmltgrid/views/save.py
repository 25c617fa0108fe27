"""Figures to files: one HTML file that asks the network for nothing, or a PNG."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import holoviews as hv
import matplotlib as mpl
from bokeh.embed import components
from bokeh.resources import Resources
from matplotlib import pyplot as plt

from lmltgrid.errors import MachineError, SpecificationError

DPI: Final = 160
SUFFIXES: Final = (".html", ".png")

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<script>
{library}
</script>
</head>
<body>
{place}
{script}
</body>
</html>
"""


def save(figure: Any, path: str | Path) -> Path:
    """Write a figure, as the suffix says: ``.html`` (interactive) or ``.png``.

    The file is written under another name and renamed, so a reader never sees half of it.

    Parameters
    ----------
    figure
        A HoloViews object, from one of the functions of `lmltgrid.views.plots`.
    path
        Where to; a file that is there is replaced.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    SpecificationError
        The suffix is another one.
    MachineError
        The file cannot be written.
    """
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise SpecificationError(
            f"{target}: the suffix {target.suffix!r} is given; figures are written as "
            f"{' or '.join(SUFFIXES)}; choose one of them"
        )
    if not target.parent.is_dir():
        raise MachineError(f"{target}: there is no folder {target.parent}; create it first")
    content = html(figure).encode() if target.suffix == ".html" else png(figure)
    waiting = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        waiting.write_bytes(content)
        waiting.replace(target)
    except OSError as error:
        with suppress(OSError):
            waiting.unlink()
        raise MachineError(
            f"{target}: the figure cannot be written ({error.strerror}); choose another place"
        ) from None
    return target


def html(figure: Any, title: str = "lmltgrid") -> str:
    """Return a figure as a page that contains all it needs.

    `holoviews.save`, even with inline resources, leaves style sheets of panel to a content network;
    and the resources of `bokeh.embed.file_html` list the scripts of all models that any package has
    loaded. So the scripts are put in here: the library of bokeh and nothing else.
    """
    plot = _drawn(figure, "bokeh")
    script, place = components(plot.state)
    plot.cleanup()  # else HoloViews keeps the figure for ever
    library = "\n".join(Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).js_raw)
    return _PAGE.format(title=escape(title), library=library, place=place, script=script)


def png(figure: Any) -> bytes:
    """Return a figure as the bytes of a PNG file; needs neither browser nor display."""
    out = BytesIO()
    with _without_display():
        plot = _drawn(figure, "matplotlib")
        plot.state.savefig(out, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
        plt.close(plot.state)
        plot.cleanup()
    return out.getvalue()


def _drawn(figure: Any, backend: str) -> Any:
    with warnings.catch_warnings():
        # HoloViews asks for the range of a plane that has no value yet, and numpy says so
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return hv.renderer(backend).get_plot(figure)


@contextmanager
def _without_display() -> Iterator[None]:
    """Draw without a window, whatever the user's matplotlib is configured for."""
    before = mpl.get_backend()
    if before.lower() == "agg":
        yield
        return
    plt.switch_backend("agg")
    try:
        yield
    finally:
        with suppress(ImportError):  # it asks for a display that is not there
            plt.switch_backend(before)
