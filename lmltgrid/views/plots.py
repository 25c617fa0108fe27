"""The figures, and how they are saved.

Each function describes a figure once, as a HoloViews object with options for both backends: bokeh
for browsers, matplotlib for print.
"""

from __future__ import annotations

from lmltgrid.views.discovery import discovery_lines
from lmltgrid.views.limits import limits_lines
from lmltgrid.views.lines import spectra
from lmltgrid.views.plane import plane
from lmltgrid.views.pressure import pressure_line
from lmltgrid.views.reconstruction import reconstruction
from lmltgrid.views.save import html, png, save
from lmltgrid.views.toys import toy_regions

__all__ = [
    "discovery_lines",
    "html",
    "limits_lines",
    "plane",
    "png",
    "pressure_line",
    "reconstruction",
    "save",
    "spectra",
    "toy_regions",
]
