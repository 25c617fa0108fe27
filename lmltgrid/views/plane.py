"""The mass-coupling plane: a significance and its contours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import holoviews as hv
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid.analysis.limits import outlines
from lmltgrid.errors import SpecificationError
from lmltgrid.views.axes import Ends, even_ticks, hover_values
from lmltgrid.views.frame import (
    X,
    Y,
    benchmark_marks,
    border_of,
    ends,
    filled,
    framed,
    muon_bands,
    texts_at,
)
from lmltgrid.views.regions import branches, joined, signed, trace
from lmltgrid.views.style import (
    COLORMAP,
    FONTS,
    SIGMA,
    Settings,
    line,
    options,
    settings_of,
    title_words,
    verdict_words,
)

Array = NDArray[np.float64]

LEVELS: Final = (2.0, 3.0, 5.0)
MAXIMUM: Final = 10.0  # end of the color scale, standard deviations
_HUGE: Final = 1e9  # stands for an infinite significance, which JSON does not know
_RESAMPLED: Final = 400  # points of an axis that is not evenly spaced in its logarithm
_NO_COVER: Final = "#d9d9d9"  # the ground, seen where there is no value
_DASHES: Final = ("solid", "dashed", "dotted", "dashdot")  # from the highest level down


def plane(
    data: xr.Dataset | xr.DataArray,
    *,
    levels: float | Sequence[float] = LEVELS,
    band: bool = True,
    benchmarks: bool = True,
    intervals: xr.Dataset | None = None,
    regions: xr.Dataset | None = None,
    maximum: float = MAXIMUM,
) -> hv.Overlay:
    """Show a significance in the mass-coupling plane, with its contours.

    Parameters
    ----------
    data
        One plane of a grid: ``grid.sel(model=..., threshold=..., ...)``, a Dataset with
        ``significance``, or that variable alone; the Dataset knows the conventions for the title,
        and, if two-sided, lets the contours tell a deficit from an excess.
    levels
        Standard deviations of the contours.
    band
        Whether to show where the mediator explains (g-2)_mu, within 2 sigma (P21); never for
        models in which the muon has no charge.
    benchmarks
        Whether to mark the points of P21 Table 1 that lie in the plane.
    intervals
        Excluded couplings to be shown on top, from `lmltgrid.analysis.limits.limits`.
    regions
        Exact regions to be outlined, from `lmltgrid.analysis.limits.contours`.
    maximum
        End of the color scale, standard deviations.

    Raises
    ------
    SpecificationError
        ``data`` has other dimensions than mass and coupling, or a level is not positive.
    """
    wanted = _checked(levels)
    data = data.squeeze()
    settings = settings_of(data)
    values = _two_dimensional(data)
    mass, coupling = (ends(values[dim].values) for dim in ("mass", "coupling"))
    parts: list[Any] = [_image(values, settings, maximum)]
    if band:
        parts += muon_bands(mass, [settings])
    if intervals is not None:
        outlines = branches(intervals, coupling[1])
        words = verdict_words(intervals.attrs)
        parts += filled(outlines, mass, coupling, words, "black", alpha=0.12)
    if regions is not None:
        parts.append(_exact(regions, mass, coupling))
    parts += _contours(data, values, wanted)
    if benchmarks:
        parts += benchmark_marks(mass, coupling)
    return framed(parts, mass, coupling, title_words(settings), ground=_NO_COVER)


def _checked(levels: float | Sequence[float]) -> list[float]:
    wanted = sorted({float(level) for level in np.atleast_1d(np.asarray(levels))}, reverse=True)
    for level in wanted:
        if not 0.0 < level < 1e6:
            raise SpecificationError(
                f"levels: {level:g} is given; they must be positive numbers of standard "
                "deviations; correct it"
            )
    return wanted


def _two_dimensional(data: xr.Dataset | xr.DataArray) -> xr.DataArray:
    values = data["significance"] if isinstance(data, xr.Dataset) else data
    values = values.squeeze(drop=True)
    left = [str(dim) for dim in values.dims if dim not in ("mass", "coupling")]
    if left or values.ndim != 2:
        raise SpecificationError(
            f"plane: the dimensions are {', '.join(map(str, values.dims)) or 'none'}; mass and "
            "coupling alone are allowed, with two points or more; select one point of "
            f"{', '.join(left) or 'the others'}"
        )
    return values.transpose("mass", "coupling").sortby(["mass", "coupling"])


def _image(values: xr.DataArray, settings: Settings, maximum: float) -> hv.Image:
    logs = [np.log10(values[dim].values) for dim in ("mass", "coupling")]
    even = [_evenly(one) for one in logs]
    nearest = [np.abs(e[:, None] - one).argmin(axis=1) for e, one in zip(even, logs, strict=True)]
    shown = np.clip(values.values[np.ix_(*nearest)], -_HUGE, _HUGE)
    ticks = [(t, f"{t:g}") for t in even_ticks(0.0, 0.93 * maximum)]
    ticks.append((maximum, f"≥{maximum:g}"))
    words = f"{settings.get('test', '')} significance (standard deviations)".strip()
    return options(
        hv.Image((*even, shown.T), [X, Y], "image"),
        cmap=COLORMAP,
        clim=(0.0, maximum),
        bokeh={
            "tools": ["hover"],
            "hooks": [hover_values],
            "colorbar": True,
            "clabel": words,
            "cticks": [t for t, _ in ticks],
            "colorbar_opts": {
                "major_label_overrides": dict(ticks[-1:]),
                "title_standoff": 6,
                "title_text_font_style": "normal",
            },
        },
        mpl={"hooks": [partial(_color_bar, words=words, ticks=ticks)]},
    )


def _color_bar(
    plot: Any,
    element: Any,  # noqa: ARG001 - the form of a hook
    *,
    words: str,
    ticks: list[tuple[float, str]],
) -> None:
    """Draw the color bar of matplotlib; HoloViews keeps those that it draws in memory."""
    axes = plot.handles["axis"]
    if any(one.get_label() == "<colorbar>" for one in axes.figure.axes):
        return
    axes.set_aspect("auto")  # as wide as the figure, not a decade for a decade
    values, labels = zip(*ticks, strict=True)
    bar = axes.figure.colorbar(
        plot.handles["artist"], ax=axes, extend="max", pad=0.03, ticks=values, fraction=0.06
    )
    bar.ax.set_yticklabels(labels, fontsize=FONTS["ticks"])
    bar.set_label(words, fontsize=FONTS["labels"])


def _evenly(logs: Array) -> Array:
    """Return points evenly spaced in the logarithm: the axis itself if it is."""
    steps = np.diff(logs)
    even = np.allclose(steps, steps[0], rtol=1e-4, atol=0.0)
    return np.linspace(logs[0], logs[-1], logs.size if even else _RESAMPLED)


def _contours(
    data: xr.Dataset | xr.DataArray, values: xr.DataArray, levels: Sequence[float]
) -> list[Any]:
    """Return the contours, from the highest level down, and their labels."""
    traced, two = values, False
    if isinstance(data, xr.Dataset) and data.attrs.get("sided") == "two" and "counts" in data:
        traced, two = _two_dimensional(signed(data)), True
    mass, coupling = traced["mass"].values, traced["coupling"].values
    border = border_of(ends(mass), ends(coupling))
    curves, texts = [], []
    for i, level in enumerate(levels):
        outlines = trace(mass, coupling, traced.values, level)
        if two:  # and the deficits
            outlines += trace(mass, coupling, -traced.values, level)
        path = joined(outlines, border)
        curves.append(line(hv.Curve(path, X, Y), "white", dash=_DASHES[i % 4], width=1.8))
        texts += _contour_label(path, border, len(levels) - i, f"{level:g}{SIGMA}")
    return [*curves, texts_at(texts)]


def _contour_label(path: Array, border: Array, place: int, words: str) -> list[tuple[Any, ...]]:
    """Return where a contour is labeled: further right the higher, so that labels keep apart."""
    finite = np.isfinite(path[:, 0])
    followed = finite & (np.append(finite[1:], False) | np.append(False, finite[:-1]))
    if not followed.any():  # the region is the whole plane, or there is none
        return []
    width, height = border[1] - border[0], border[3] - border[2]
    target = border[0] + (0.09 * place - 0.04) * width
    x, y = (path[:, 0] - target) / width, (path[:, 1] - border[2]) / height
    # away from the frame, and on the lowest branch
    away = np.abs(x) + 0.05 * y + np.where((y < 0.02) | (y > 0.98), 1e3, 0.0)
    nearest = path[np.where(followed, away, np.inf).argmin()]
    return [(nearest[0], nearest[1], words)]


def _exact(regions: xr.Dataset, mass: Ends, coupling: Ends) -> hv.Curve:
    words = ", ".join(filter(None, ("exact", verdict_words(regions.attrs))))
    path = joined([points for _, points in outlines(regions)], border_of(mass, coupling))
    return line(hv.Curve(path, X, Y, label=words), "black", width=1.4)
