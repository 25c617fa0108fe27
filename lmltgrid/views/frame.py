"""The frame of the mass-coupling plane, and what is drawn in it whatever the figure is."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Any, Final

import holoviews as hv
import numpy as np
from numpy.typing import NDArray

from lmltgrid.analysis.points import muon_band
from lmltgrid.tables.models import benchmarks as benchmark_points
from lmltgrid.views.axes import Ends, log_ticks
from lmltgrid.views.regions import joined
from lmltgrid.views.style import (
    BAND_COLOR,
    FONTS,
    HEIGHT,
    INCHES,
    LEGEND,
    SIGMA,
    UPRIGHT,
    WIDTH,
    Settings,
    boxed,
    line,
    muon_charge,
    muon_kind,
    options,
)

Array = NDArray[np.float64]

X: Final = "log10 mass"
Y: Final = "log10 coupling"


def framed(
    parts: Sequence[Any], mass: Ends, coupling: Ends, title: str, ground: str = "white"
) -> hv.Overlay:
    """Return an overlay with the axes, the title and the size of a mass-coupling plane."""
    return options(
        hv.Overlay(list(parts)),
        xlim=tuple(np.log10(mass)),
        ylim=tuple(np.log10(coupling)),
        xlabel="mediator mass (MeV)",
        ylabel="coupling g",
        title=title,
        fontsize=dict(FONTS),
        bgcolor=ground,
        legend_position="bottom_right",
        hooks=[log_ticks(mass, coupling, native=False)],
        bokeh={
            "width": WIDTH,
            "height": HEIGHT,
            "backend_opts": dict(UPRIGHT),
            "legend_opts": dict(LEGEND),
        },
        mpl={
            "fig_inches": INCHES,
            "fig_bounds": (0.1, 0.1, 0.9, 0.9),
            "fig_rcparams": {"axes.titlepad": 12.0},
            "aspect": None,
        },
    )


def ends(values: Array) -> Ends:
    """Return the first and the last value of an axis."""
    return float(values[0]), float(values[-1])


def border_of(mass: Ends, coupling: Ends) -> Array:
    """Return the border of the plane: the ends of both axes in log10, shape (4,)."""
    logs: Array = np.log10([*mass, *coupling])
    return logs


def muon_bands(mass: Ends, settings: Sequence[Settings], *, alpha: float = 0.5) -> list[hv.Area]:
    """Return where mediators explain (g-2)_mu: one band for those that couple to the muon alike."""
    known = {(muon_charge(one), muon_kind(one)) for one in settings}
    return [_band(mass, *one, alpha) for one in sorted(known) if one[0] > 0.0]


def _band(mass: Ends, charge: float, kind: str, alpha: float) -> hv.Area:
    """Return where a mediator explains (g-2)_mu within 2 sigma (P21)."""
    at = np.geomspace(*mass, 80)
    low, _, high = muon_band(at, charge, kind=kind)
    logs = (np.log10(at), np.log10(low), np.log10(high))
    return options(
        hv.Area(logs, X, [Y, "top"], label=f"(g−2)μ, 2{SIGMA}"),  # noqa: RUF001
        alpha=alpha,
        show_legend=True,
        color=BAND_COLOR,
        bokeh={"line_alpha": 0.0},
        mpl={"facecolor": BAND_COLOR, "linewidth": 0.0},
    )


def filled(
    outlines: list[Array],
    mass: Ends,
    coupling: Ends,
    words: str,
    color: str,
    *,
    alpha: float = 0.3,
) -> list[Any]:
    """Return regions as their fill and their outline."""
    logs = [np.log10(one) for one in outlines]
    fill = options(
        hv.Polygons([{X: one[:, 0], Y: one[:, 1]} for one in logs], [X, Y], label=words),
        alpha=alpha,
        show_legend=True,
        bokeh={"color": color, "line_alpha": 0.0},
        mpl={"color": color, "facecolor": color, "linewidth": 0.0},
    )
    path = joined(outlines, border_of(mass, coupling))
    return [fill, line(hv.Curve(path, X, Y), color, width=1.5)]


def benchmark_marks(mass: Ends, coupling: Ends) -> list[Any]:
    """Return marks and names of the points of P21 Table 1 that lie in the plane."""
    inside = [
        (log10(one.mass), log10(one.coupling), one.name)
        for one in benchmark_points().values()
        if mass[0] <= one.mass <= mass[1] and coupling[0] <= one.coupling <= coupling[1]
    ]
    above = 0.042 * log10(coupling[1] / coupling[0])
    points = options(
        hv.Points([(x, y) for x, y, _ in inside], [X, Y]),
        color="white",
        bokeh={"marker": "circle", "size": 8, "line_color": "black"},
        mpl={"marker": "o", "s": 36, "edgecolors": "black"},
    )
    # below a point at the top, where the name would lie on the frame
    top = log10(coupling[1]) - 2.0 * above
    names = [(x, y + (above if y < top else -above), words) for x, y, words in inside]
    return [points, texts_at(names)] if inside else []


def texts_at(texts: Sequence[tuple[Any, ...]]) -> hv.Labels:
    """Return labels at some points (log10 mass, log10 coupling, text)."""
    return boxed(hv.Labels(list(texts), [X, Y], "text"))
