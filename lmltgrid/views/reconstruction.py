"""What would be known of a mediator that exists, in the mass-coupling plane."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Any, Final

import holoviews as hv
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid.analysis.regions import LEVELS, LIMIT, narrow_outlines, regions
from lmltgrid.errors import SpecificationError
from lmltgrid.views.axes import Ends, ascending
from lmltgrid.views.frame import X, Y, border_of, ends, framed, muon_bands
from lmltgrid.views.regions import joined, trace
from lmltgrid.views.style import (
    COLORS,
    Settings,
    common_settings,
    experiment_words,
    line,
    model_words,
    number,
    options,
    settings_of,
)

Array = NDArray[np.float64]

_SLOPE: Final = 0.1  # of the logarithm that is traced; keeps it clear of the floor of `trace`
_DASHES: Final = ("solid", "dashed", "dotted")  # outlines, from the lowest level up
_DARK, _LIGHT, _BAND = 0.55, 0.25, 0.25  # fill of the lowest level, of others, and of (g-2)_mu
_ORDER: Final = (0, 1, 3, 4, 5, 2)  # of the colors; what is near that of the band comes last
_CORNERS: Final = ("bottom_right", "top_left", "bottom_left", "top_right")  # as preferred
_LEGEND_WIDTH, _LEGEND_ROW = 0.5, 0.045  # of the figure
_MISFIT: Final = 0.05  # a chi-square from which on the fitted model is not the true one
_MARGIN: Final = 0.25  # decades around what is shown
_TRUE_COLOR: Final = "black"


def reconstruction(
    found: xr.Dataset | Sequence[xr.Dataset],
    *,
    levels: Sequence[float] = LEVELS,
    coupling: Ends | None = None,
    band: bool = True,
) -> hv.Overlay:
    """Show the regions that data of a mediator leave to it (P21 figs 5, 7 to 9 and 12).

    Each level is a region, the lowest the darkest; experiments have colors. Where that of the
    highest level goes on to no coupling at all, none is shown, but the upper limit at 90 %,
    dot-dashed. A star marks the true point.

    Parameters
    ----------
    found
        From `lmltgrid.analysis.reconstruction.reconstruct`, one or several.
    levels
        Confidence levels of the regions, two degrees of freedom.
    coupling
        Ends of the axis; chosen from what is shown if left out.
    band
        Whether to show where the mediator explains (g-2)_mu, within 2 sigma (P21).

    Raises
    ------
    SpecificationError
        There is nothing to show, or ``coupling`` does not ascend.
    """
    several = [found] if isinstance(found, xr.Dataset) else list(found)
    if not several:
        raise SpecificationError("reconstruction: nothing is given; give at least one Dataset")
    levels = sorted(levels)
    mass = (
        min(ends(one["mass"].values)[0] for one in several),
        max(ends(one["mass"].values)[1] for one in several),
    )
    shown = [_seen(one, levels) for one in several]
    border = ascending(coupling or _coupling_range(several, shown), "reconstruction: coupling")
    settings = [settings_of(one) for one in several]
    parts: list[Any] = [*muon_bands(mass, settings, alpha=_BAND)] if band else []
    lines: list[Any] = []
    for i, (one, seen) in enumerate(zip(several, shown, strict=True)):
        color, words = COLORS[_ORDER[i % len(_ORDER)]], _words(settings, i)
        fills, outlines = _regions(one, seen, color, words)
        parts += fills
        lines += outlines or [_limit(one, color, words)]
    figure = framed([*parts, *lines, *_stars(settings)], mass, border, _title(settings))
    return options(figure, legend_position=_corner(figure, mass, border))


def _seen(found: xr.Dataset, levels: Sequence[float]) -> list[tuple[float, float]]:
    """Return the levels and their chi-squares, if the mediator is told from none at all."""
    every = regions(found, levels)
    return [(one["level"], one["delta_chi2"]) for one in every] if every[-1]["seen"] else []


def allowed(found: xr.Dataset, bound: float) -> list[Array]:
    """Return the closed outlines of where the chi-square is above its minimum by no more.

    Its root is interpolated, linear in log mass and log coupling, which is exact for a parabola.
    What does not converge is inside. A region narrower than the axis has the outline of its nodes.
    """
    mass, coupling, above = (found[n].values for n in ("mass", "coupling", "delta_chi2"))
    narrow = narrow_outlines(found, bound)
    if narrow:
        return [*narrow, *trace(mass, coupling, np.isnan(above).astype(float), 0.5)]
    root = np.sqrt(np.clip(np.nan_to_num(above, nan=0.0), 0.0, None))
    level = float(np.exp(-_SLOPE * np.sqrt(bound)))
    return trace(mass, coupling, np.exp(-_SLOPE * root), level)


def _regions(
    found: xr.Dataset,
    seen: Sequence[tuple[float, float]],
    color: str,
    words: str,
) -> tuple[list[Any], list[Any]]:
    """Return fills, from the highest level down, and outlines.

    Where there are several answers, the levels of one are told in one line of the legend.
    """
    fills, outlines = [], []
    every = ", ".join(f"{100.0 * level:g} %" for level, _ in seen)
    for place, (level, bound) in reversed(list(enumerate(seen))):
        traced = allowed(found, bound)
        label = f"{100.0 * level:g} %"
        if words:
            label = f"{words}: {every}" if place == 0 else ""
        fills.append(
            options(
                hv.Polygons(with_holes([np.log10(one) for one in traced]), [X, Y], label=label),
                alpha=_DARK if place == 0 else _LIGHT,
                show_legend=bool(label),
                bokeh={"color": color, "line_alpha": 0.0},
                mpl={"color": color, "facecolor": color, "linewidth": 0.0},
            )
        )
        path = joined(traced, border_of(ends(found["mass"].values), ends(found["coupling"].values)))
        outlines.append(line(hv.Curve(path, X, Y), color, dash=_DASHES[place % 3], width=1.5))
    return fills, outlines


def with_holes(outlines: Sequence[Array]) -> list[dict[str, Any]]:
    """Return regions as HoloViews takes them, each with its holes.

    An outline has the region on its left, so those of holes run clockwise.
    """
    outer = [one for one in outlines if _area(one) > 0.0]
    out: list[dict[str, Any]] = [{X: one[:, 0], Y: one[:, 1], "holes": [[]]} for one in outer]
    for hole in (one for one in outlines if _area(one) < 0.0):
        around = [i for i, one in enumerate(outer) if _inside(hole[0], one)]
        if around:  # of several, the smallest
            out[min(around, key=lambda i: _area(outer[i]))]["holes"][0].append(hole)
    return out


def _area(outline: Array) -> float:
    x, y = outline.T
    return 0.5 * float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


def _inside(point: Array, outline: Array) -> bool:
    """Whether a line from the point to the right crosses the outline an odd number of times."""
    (x, y), (ends_x, ends_y) = point, outline.T
    across = (ends_y[1:] > y) != (ends_y[:-1] > y)
    step = np.where(across, ends_y[1:] - ends_y[:-1], 1.0)
    at = ends_x[:-1] + (y - ends_y[:-1]) / step * (ends_x[1:] - ends_x[:-1])
    return bool(np.sum(across & (at > x)) % 2)


def _limit(found: xr.Dataset, color: str, words: str) -> Any:
    label = ", ".join(part for part in (words, f"upper limit at {100.0 * LIMIT:g} %") if part)
    limit = found["upper_limit"].values
    limit = np.where(np.isfinite(limit) & (limit > 0.0), limit, np.nan)
    path = np.log10(np.stack([found["mass"].values, limit], axis=-1))
    return line(hv.Curve(path, X, Y, label=label), color, dash="dashdot", width=1.8)


def _stars(settings: Sequence[Settings]) -> list[Any]:
    """Return a star at each true point."""
    points = {(float(one["true_mass"]), float(one["true_coupling"])) for one in settings}
    return [
        options(
            hv.Scatter([(log10(m), log10(g)) for m, g in sorted(points)], X, Y, label="truth"),
            color=_TRUE_COLOR,
            show_legend=True,
            bokeh={"marker": "star", "size": 14, "line_color": "white"},
            mpl={"marker": "*", "s": 150, "edgecolors": "white", "linewidth": 0.6},
        )
    ]


def _coupling_range(
    several: Sequence[xr.Dataset], shown: Sequence[Sequence[tuple[float, float]]]
) -> Ends:
    """Return the ends of an axis that holds stars, regions and limits, within the planes."""
    values = [float(one.attrs["true_coupling"]) for one in several]
    for one, seen in zip(several, shown, strict=True):
        if seen:
            outlines = allowed(one, seen[-1][1])
            values += [float(v) for part in outlines for v in (part[:, 1].min(), part[:, 1].max())]
        limit = one["upper_limit"].values
        limit = limit[np.isfinite(limit) & (limit > 0.0)]
        if not seen and limit.size:
            values += [float(limit.min()), float(limit.max())]
    room = 10.0**_MARGIN
    low = min(ends(one["coupling"].values)[0] for one in several)
    high = max(ends(one["coupling"].values)[1] for one in several)
    return max(low, min(values) / room), min(high, max(values) * room)


def _corner(figure: hv.Overlay, mass: Ends, coupling: Ends) -> str:
    """Return where the legend hides least: regions, limits and stars, not the band."""
    points = [
        np.stack([part.dimension_values(0), part.dimension_values(1)], axis=-1)
        for part in figure
        if isinstance(part, hv.Polygons | hv.Curve | hv.Scatter)
    ]
    low, high = np.log10([mass[0], coupling[0]]), np.log10([mass[1], coupling[1]])
    places = (np.concatenate(points) - low) / (high - low)
    rows = len([part for part in figure if part.label])
    height = _LEGEND_ROW * (rows + 1)

    def hidden(corner: str) -> int:
        x = places[:, 0] if corner.endswith("left") else 1.0 - places[:, 0]
        y = places[:, 1] if corner.startswith("bottom") else 1.0 - places[:, 1]
        inside = (x > 0.0) & (x < _LEGEND_WIDTH) & (y > 0.0) & (y < height)
        return int(np.count_nonzero(inside))

    return min(_CORNERS, key=hidden)


def _words(settings: Sequence[Settings], index: int) -> str:
    """Return what sets one answer apart from the others, for the legend."""
    own, common = settings[index], common_settings(settings)
    parts = [str(own[key]) for key in ("experiment",) if key not in common]
    if "model" not in common or "mixing" not in common:
        parts.append(f"{model_words(str(own['model']))}, mixing {own['mixing']}")
    return ", ".join(parts)


def _title(settings: Sequence[Settings]) -> str:
    """Return who sees what: the experiment, and below it the truth and what is fitted."""
    common, first = common_settings(settings), settings[0]
    names = list(dict.fromkeys(experiment_words(one) for one in settings))
    who = names[0] if len(names) == 1 else ", ".join(str(one["experiment"]) for one in settings)
    point = f"{number(first['true_mass'])} MeV, g = {number(first['true_coupling'])}"
    truth = f"{model_words(str(first['truth']))}, mixing {first['truth_mixing']}"
    lines = [who, f"truth {truth}, {point}"]
    if "model" in common and "mixing" in common:
        fitted = f"{model_words(str(first['model']))}, mixing {first['mixing']}"
        if fitted == truth:
            lines[1] = f"truth and fit {truth}; {point}"
        else:
            lines.append(f"fitted {fitted}")
    if "oscillation" in common:
        lines[-1] += f"; oscillation {common['oscillation']}"
    if len(settings) == 1 and float(first["chi2_minimum"]) > _MISFIT:
        lines[-1] += f"; least chi-square {number(float(first['chi2_minimum']))}"
    return "\n".join(lines)
