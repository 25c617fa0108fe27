"""Curves over logarithmic axes: recoil spectra, discovery lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import Any, Final

import holoviews as hv
import hvplot.xarray  # noqa: F401 - gives datasets their .hvplot
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid.errors import SpecificationError
from lmltgrid.tables.experiments import Experiment, catalog
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
    verdict_words,
)

Array = NDArray[np.float64]

_DASHES: Final = ("solid", "dashed", "dotted", "dashdot")
_LONGEST: Final = 1e6  # tonne year; an axis of exposures ends here at the latest


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
        style = {"color": COLORS[i % len(COLORS)], "dash": _DASHES[i % 4]}
        positive = one.where((one["rate"] > 0.0) & (one["rate_sm"] > 0.0))
        positive = positive.assign(ratio=positive["rate"] / positive["rate_sm"])
        rates.append(_curve(positive, "recoil_energy", "rate", words, **style))
        ratios.append(_curve(positive, "recoil_energy", "ratio", "", **style))
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
            dash = _DASHES[len(found) % 4]
            positive = one.where(one["rate_sm"] > 0.0)
            curve = _curve(positive, "recoil_energy", "rate_sm", words, color="black", dash=dash)
            found[words] = curve
    return list(found.values())


def _curve(
    data: xr.Dataset, x: str, y: str, words: str, *, color: str, dash: str = "solid"
) -> hv.Curve:
    curve = data.hvplot.line(x=x, y=y, loglog=True, label=words)
    return line(options(curve, show_grid=True), color, dash=dash)


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
        **_frame(WIDTH - 60, 440, 1.65),
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
        **_frame(WIDTH - 60, 200, 4.2),
    )
    # the aspects decide the heights of the panels
    mpl = {"aspect_weight": 1.0, "vspace": 0.22, "fig_inches": (7.6, 7.6), "sublabel_format": ""}
    return options(hv.Layout([upper, lower]).cols(1), mpl=mpl | {"fig_rcparams": GRID})


def _frame(width: int, height: int, aspect: float) -> dict[str, Any]:
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


def discovery_lines(
    lines: xr.Dataset | Sequence[xr.Dataset],
    *,
    exposure: Ends | None = None,
    experiments: str | Path | None = None,
) -> hv.Layout | hv.Overlay:
    """Show the exposure that a discovery needs against the threshold (P21 figs 11, 13, 14).

    One panel for each point, one line for each experiment; above its line a discovery is expected.
    A star marks the nominal configuration of each experiment.

    Parameters
    ----------
    lines
        From `lmltgrid.analysis.discovery.discovery`; a line has gaps where no exposure is enough.
    exposure
        Ends of the exposure axis, tonne year; chosen from the lines if left out.
    experiments
        Folder of a user's own experiments, for titles and nominal configurations.

    Raises
    ------
    SpecificationError
        There is no line, or ``exposure`` does not ascend.
    """
    several = [lines] if isinstance(lines, xr.Dataset) else list(lines)
    if not several:
        raise SpecificationError("discovery_lines: no lines are given; give at least one Dataset")
    shelf = catalog(None if experiments is None else Path(experiments))
    names = list(dict.fromkeys(str(one.attrs["experiment"]) for one in several))
    nominal = {name: shelf[name] for name in names if name in shelf}
    y = _exposure_range(several, nominal) if exposure is None else exposure
    if not 0.0 < y[0] < y[1]:
        raise SpecificationError(
            f"discovery_lines: exposure {y[0]:g} to {y[1]:g} is given; it must be positive and "
            "ascend; correct it"
        )
    thresholds = np.concatenate([one["threshold"].values for one in several])
    x = float(thresholds.min()) / 1.05, float(thresholds.max()) * 1.05
    words = _line_words(several, nominal)
    looks = {one: i for i, one in enumerate(dict.fromkeys(words))}
    panels: dict[str, list[Any]] = {}
    for one, label in zip(several, words, strict=True):
        panel = panels.setdefault(point_words(one.attrs["mass"], one.attrs["coupling"]), [])
        panel += _line(one, label, looks[label], nominal.get(one.attrs["experiment"]))
    return _arranged(panels, x, y, _discovery_title(several, nominal))


def _line(data: xr.Dataset, words: str, look: int, experiment: Experiment | None) -> list[Any]:
    """Return a discovery line, and the star of its experiment if that is known."""
    color, dash = COLORS[look % len(COLORS)], _DASHES[look % 4]
    curve = _curve(data, "threshold", "exposure", words, color=color, dash=dash)
    parts = [curve]
    if data.sizes["threshold"] == 1:  # a line of one point is not seen
        parts.append(_marker(data["threshold"].item(), data["exposure"].item(), color, "circle"))
    if experiment is not None:
        nominal = experiment.spec.exposure_tonne_year
        parts.append(_marker(experiment.threshold, nominal, color, "asterisk"))
    return parts


def _marker(threshold: float, exposure: float, color: str, kind: str) -> hv.Scatter:
    return options(
        hv.Scatter([(threshold, exposure)], "threshold", "exposure"),
        color=color,
        bokeh={"marker": kind, "size": 14 if kind == "asterisk" else 8, "line_width": 2},
        mpl={"marker": "*", "s": 150} if kind == "asterisk" else {"marker": "o", "s": 40},
    )


def _arranged(panels: Mapping[str, list[Any]], x: Ends, y: Ends, title: str) -> Any:
    """Return one panel with all of the title, or several in two columns."""
    drawn = [
        options(
            hv.Overlay(parts),
            xlim=x,
            ylim=y,
            logx=True,
            logy=True,
            xlabel="threshold (keV)",
            ylabel="exposure (t yr)",
            legend_position="top_left",
            hooks=[log_ticks(x, y)],
            title=point if len(panels) > 1 else f"{title}\n{point}",
            **(_frame(480, 400, 1.3) if len(panels) > 1 else _frame(WIDTH - 60, 540, 1.3)),
        )
        for point, parts in panels.items()
    ]
    if len(drawn) == 1:
        return options(drawn[0], mpl={"aspect": None})
    mpl = {
        "fig_inches": (11.0, 4.4 * ceil(len(drawn) / 2)),
        "aspect_weight": 1.0,
        "hspace": 0.25,
        "vspace": 0.32,
        "sublabel_format": "",
        "fontsize": {"title": FONTS["title"] + 2},
        "fig_rcparams": GRID,
    }
    # bokeh writes the title of several panels on one line
    one_line = {"title": title.replace("\n", ", ")}
    return options(hv.Layout(drawn).cols(2), bokeh=one_line, mpl=mpl | {"title": title})


def _line_words(several: Sequence[xr.Dataset], nominal: Mapping[str, Experiment]) -> list[str]:
    """Return the legend of each line: its channels, and what else sets it apart."""
    settings = [settings_of(one) for one in several]
    families = {_family(one) for one in nominal.values()}
    out = []
    for i, one in enumerate(several):
        name = str(one.attrs["experiment"])
        known = nominal.get(name)
        words = name if known is None else "+".join(known.channels).upper()
        if known is not None and len(families) > 1:
            words = f"{_family(known)} {words}"
        unit = unit_of(one["threshold"].attrs)
        out.append(", ".join([f"{words} ({unit})", *differences(settings, i)]))
    return out


def _family(experiment: Experiment) -> str:
    """Return what the analyses of one detector have in common: the title up to its comma."""
    return experiment.spec.title.split(",")[0]


def _exposure_range(several: Sequence[xr.Dataset], nominal: Mapping[str, Experiment]) -> Ends:
    """Return whole decades that hold the nominal exposures, and the lines as far as they matter."""
    shown = [one.spec.exposure_tonne_year for one in nominal.values()]
    values = np.concatenate([*(one["exposure"].values for one in several), np.array(shown)])
    values = values[np.isfinite(values)]
    if not values.size:
        return 1.0, _LONGEST
    low, high = log10(values.min()), log10(values.max())
    top = min(10.0 ** ceil(high), max(_LONGEST, *shown, 10.0 ** ceil(low + 1e-9)))
    return 10.0 ** floor(low), top


def _discovery_title(several: Sequence[xr.Dataset], nominal: Mapping[str, Experiment]) -> str:
    common = common_settings([settings_of(one) for one in several])
    names = dict.fromkeys(str(one.attrs["experiment"]) for one in several)
    families = dict.fromkeys(_family(nominal[n]) if n in nominal else n for n in names)
    return title_words(common, f"{', '.join(families)}: {verdict_words(common)}")
