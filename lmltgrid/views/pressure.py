"""Events of a gas detector against its pressure."""

from __future__ import annotations

from typing import Final

import holoviews as hv
import xarray as xr

from lmltgrid.errors import SpecificationError
from lmltgrid.views.axes import log_ticks
from lmltgrid.views.lines import curve, frame_options
from lmltgrid.views.style import (
    COLORS,
    WIDTH,
    boxed,
    experiment_words,
    line,
    number,
    options,
)

_NAMES: Final = {"C": "carbon", "S": "sulfur"}


def pressure_line(found: xr.Dataset) -> hv.Overlay:
    """Show the events against the gas pressure, with its optimum (B22 Fig. 1).

    Parameters
    ----------
    found
        From `lmltgrid.analysis.pressure.pressure_curve`.

    Raises
    ------
    SpecificationError
        There is one pressure alone, or no event at any.
    """
    torr = found["pressure"].values
    if torr.size < 2 or not found["events"].values.any():
        raise SpecificationError(
            f"pressure: {torr.size} pressures and {float(found['events'].sum()):g} events are "
            "given; at least two pressures and some events make a curve; give more"
        )
    x = float(torr[0]), float(torr[-1])
    top = 1.6 * float(found["events"].max())
    low = max(0.7 * float(found["by_element"].min()), 1e-3 * top)
    y = low, top
    shown = found.where(found > 0.0)
    parts = [curve(shown[["events"]], "pressure", "events", "all", color="black")]
    for i, element in enumerate(found["element"].values.tolist()):
        own = shown[["by_element"]].sel(element=element, drop=True)
        words = _NAMES.get(element, element)
        parts.append(curve(own, "pressure", "by_element", words, color=COLORS[i], dash="dashed"))
    best = found.attrs["optimum_torr"], found.attrs["optimum_events"]
    star = options(
        hv.Scatter([best], "pressure", "events", label=f"most, {best[1]:.0f} events"),
        color=COLORS[2],
        bokeh={"marker": "star", "size": 14},
        mpl={"marker": "*", "s": 150},
    )
    marks = [(best[0], best[1] * 1.15, f"{best[0]:.0f} Torr")]
    if "crossover_torr" in found.attrs:
        at = found.attrs["crossover_torr"]
        upright = hv.Curve([(at, y[0]), (at, y[1])], "pressure", "events", label="")
        parts.append(line(upright, "#999999", width=1.0))
        marks.append((at, best[1] / 6.0, f"{at:.0f} Torr"))
    texts = boxed(hv.Labels(marks, ["pressure", "events"], "text"))
    name = experiment_words(found.attrs).split(",")[0]
    nominal = number(found.attrs["nominal_torr"])
    below = f"{number(found.attrs['exposure'])} t yr at {nominal} Torr"
    title = f"{name}, Standard Model\n{below}, {found.attrs['couplings']} couplings"
    return options(
        hv.Overlay([*parts, star, texts]),
        xlim=x,
        ylim=y,
        logx=True,
        logy=True,
        xlabel="gas pressure (Torr)",
        ylabel="events",
        legend_position="bottom_right",
        hooks=[log_ticks(x, y)],
        title=title,
        **frame_options(WIDTH - 60, 540, 1.3),
    )
