"""Curves over logarithmic axes: recoil spectra, and what discovery lines share with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import holoviews as hv
import hvplot.xarray  # noqa: F401 - gives datasets their .hvplot
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid.errors import SpecificationError
from lmltgrid.tables.models import benchmarks as benchmark_points
from lmltgrid.views.axes import Ends, log_ticks
from lmltgrid.views.style import (
    COLORS,
    FONTS,
    GRID,
    INCHES,
    LEGEND,
    UPRIGHT,
    WIDTH,
    Settings,
    common_settings,
    differences,
    line,
    number,
    options,
    settings_of,
    title_words,
    unit_of,
)

Array = NDArray[np.float64]

DASH_ORDER: Final = ("solid", "dashed", "dotted", "dashdot")


def spectra(data: xr.Dataset | Sequence[xr.Dataset]) -> hv.Layout:
    """Show recoil spectra with mediators, the Standard Model, and their ratio.

    Parameters
    ----------
    data
        One or several results of `lmltgrid.analysis.points.spectrum`, of one channel.

    Raises
    ------
    SpecificationError
        There is no spectrum, or they are of different channels.
    """
    several = [data] if isinstance(data, xr.Dataset) else list(data)
    settings = [settings_of(one) for one in several]
    if len({(one.get("channel"), one.get("target")) for one in settings}) != 1:
        raise SpecificationError(
            f"spectra: {len(several)} spectra of {len({one.get('channel') for one in settings})} "
            "channels are given; one channel and target, with one spectrum at least, is allowed; "
            "draw a figure for each"
        )
    names = [_point_words(settings, i) for i in range(len(several))]
    rates, ratios = _standard_models(several, settings), []
    for i, (one, words) in enumerate(zip(several, names, strict=True)):
        style = {"color": COLORS[i % len(COLORS)], "dash": DASH_ORDER[i % 4]}
        positive = one.where((one["rate"] > 0.0) & (one["rate_sm"] > 0.0))
        positive = positive.assign(ratio=positive["rate"] / positive["rate_sm"])
        rates.append(curve(positive, "recoil_energy", "rate", words, **style))
        ratios.append(curve(positive, "recoil_energy", "ratio", "", **style))
    energy = np.concatenate([one["recoil_energy"].values for one in several])
    x = float(energy.min()), float(energy.max())
    unit = unit_of(several[0]["recoil_energy"].attrs)
    return _stacked(rates, ratios, x, _rate_range(several), unit, _spectra_title(settings))


def _standard_models(several: Sequence[xr.Dataset], settings: Sequence[Settings]) -> list[Any]:
    """Return the Standard Model: one curve, or one for each Sun and oscillation."""
    found: dict[str, hv.Curve] = {}
    for i, one in enumerate(several):
        words = ", ".join(["Standard Model", *differences(settings, i, model=False)])
        if words not in found:
            dash = DASH_ORDER[len(found) % 4]
            positive = one.where(one["rate_sm"] > 0.0)
            drawn = curve(positive, "recoil_energy", "rate_sm", words, color="black", dash=dash)
            found[words] = drawn
    return list(found.values())


def curve(
    data: xr.Dataset, x: str, y: str, words: str, *, color: str, dash: str = "solid"
) -> hv.Curve:
    """Return a curve over logarithmic axes, with its legend, color and dash."""
    drawn = data.hvplot.line(x=x, y=y, loglog=True, label=words)
    return line(options(drawn, show_grid=True), color, dash=dash)


def _rate_range(several: Sequence[xr.Dataset]) -> Ends:
    """Return the range of the rates, ten decades at most: an end point is approached as zero."""
    rates = np.concatenate([one[name].values for one in several for name in ("rate", "rate_sm")])
    high = float(np.nanmax(rates, initial=1e-300))
    low = float(np.nanmin(rates[rates > 1e-10 * high], initial=high))
    return min(0.7 * low, high / 30.0), 1.5 * high  # room for the legend below flat spectra


def _stacked(
    rates: list[Any], ratios: list[Any], x: Ends, y: Ends, unit: str, title: str
) -> hv.Layout:
    scale = f"recoil energy ({unit})"
    upper = options(
        hv.Overlay(rates),
        xlim=x,
        ylim=y,
        xlabel=scale,
        ylabel="dR/dE (1/(t yr keV))",
        logx=True,
        logy=True,
        legend_position="bottom_left",
        hooks=[log_ticks(x, y)],
        title=title,
        **frame_options(WIDTH - 60, 440, 1.65),
    )
    one = options(hv.HLine(1.0), color="black", bokeh={"line_width": 1}, mpl={"linewidth": 1.0})
    lower = options(
        hv.Overlay([*ratios, one]),
        xlim=x,
        logx=True,
        logy=False,
        xlabel=scale,
        ylabel="ratio to SM",
        hooks=[log_ticks(x, None)],
        title="",
        show_legend=False,
        **frame_options(WIDTH - 60, 200, 4.2),
    )
    # the aspects decide the heights of the panels
    mpl = {"aspect_weight": 1.0, "vspace": 0.22, "fig_inches": (7.6, 7.6), "sublabel_format": ""}
    return options(hv.Layout([upper, lower]).cols(1), mpl=mpl | {"fig_rcparams": GRID})


def frame_options(width: int, height: int, aspect: float) -> dict[str, Any]:
    """Return the options of a panel of curves: its size in pixels, fonts, legend and grid."""
    return {
        "fontsize": dict(FONTS),
        "bokeh": {
            "width": width,
            "height": height,
            "backend_opts": dict(UPRIGHT),
            "legend_opts": dict(LEGEND),
        },
        "mpl": {"aspect": aspect, "show_frame": True, "fig_rcparams": GRID, "fig_inches": INCHES},
    }


def _point_words(settings: Sequence[Settings], index: int) -> str:
    """Return the legend of one spectrum: its point, and the conventions in which they differ."""
    own = settings[index]
    return ", ".join([point_words(own["mass"], own["coupling"]), *differences(settings, index)])


def point_words(mass: float, coupling: float) -> str:
    """Return a point as text, with its name if it is one of P21 Table 1."""
    words = f"{number(mass)} MeV, g = {number(coupling)}"
    for name, known in benchmark_points().items():
        if np.allclose([mass, coupling], [known.mass, known.coupling], rtol=1e-9):
            return f"{name}: {words}"
    return words


def _spectra_title(settings: Sequence[Settings]) -> str:
    common = common_settings(settings)
    kind = {"nr": "nuclear recoils", "er": "electron recoils"}[settings[0]["channel"]]
    return title_words(common, f"solar neutrinos, {kind}, {settings[0]['target']}")
