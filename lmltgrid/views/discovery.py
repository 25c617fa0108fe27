"""Discovery lines: the exposure that a discovery needs, against the threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10, sqrt
from pathlib import Path
from typing import Any, Final

import holoviews as hv
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid.errors import SpecificationError
from lmltgrid.tables.experiment import Experiment
from lmltgrid.tables.experiments import catalog
from lmltgrid.views.axes import Ends, ascending, log_ticks
from lmltgrid.views.lines import DASH_ORDER, curve, frame_options, point_words
from lmltgrid.views.style import (
    COLORS,
    FONTS,
    GRID,
    WIDTH,
    boxed,
    common_settings,
    differences,
    number,
    options,
    settings_of,
    title_words,
    unit_of,
    verdict_words,
)

Array = NDArray[np.float64]

_LONGEST: Final = 1e6  # tonne year; an axis of exposures ends here at the latest
_NOMINAL: Final = "nominal design"
_STAR_COLOR: Final = "#555555"
_CORNERS: Final = ("top_left", "top_right", "bottom_left", "bottom_right")  # as preferred


def discovery_lines(
    lines: xr.Dataset | Sequence[xr.Dataset],
    *,
    exposure: Ends | None = None,
    experiments: str | Path | None = None,
) -> hv.Layout | hv.Overlay:
    """Show the exposure that a discovery needs against the threshold (P21 figs 11, 13, 14).

    One panel for each point, one line for each experiment; above its line a discovery is expected.
    A star marks the nominal configuration of each experiment. A line that is not seen says so in
    the legend, an empty panel in its middle.

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
    y = ascending(exposure or _exposure_range(several, nominal), "discovery_lines: exposure")
    thresholds = np.concatenate([one["threshold"].values for one in several])
    x = float(thresholds.min()) / 1.05, float(thresholds.max()) * 1.05
    words = _line_words(several, nominal)
    looks = {one: i for i, one in enumerate(dict.fromkeys(words))}
    panels: dict[str, list[_Line]] = {}
    for one, label in zip(several, words, strict=True):
        look = looks[label]
        drawn = _Line(
            data=one,
            words=label + _absence(one, y),
            color=COLORS[look % len(COLORS)],
            dash=DASH_ORDER[look % len(DASH_ORDER)],
            experiment=nominal.get(str(one.attrs["experiment"])),
        )
        panels.setdefault(point_words(one.attrs["mass"], one.attrs["coupling"]), []).append(drawn)
    return _arranged(panels, x, y, _discovery_title(several, nominal))


@dataclass(frozen=True, eq=False)
class _Line:
    """A discovery line with its legend, its look, and its experiment if that is known."""

    data: xr.Dataset
    words: str
    color: str
    dash: str
    experiment: Experiment | None

    @property
    def star(self) -> Ends | None:
        """Threshold and exposure of the nominal configuration."""
        own = self.experiment
        return None if own is None else (own.threshold, own.spec.exposure_tonne_year)


def _absence(data: xr.Dataset, y: Ends) -> str:
    """Say in the legend why a line is not seen."""
    exposure = data["exposure"].values
    exposure = exposure[np.isfinite(exposure)]
    if not exposure.size:
        return ", never"
    return f", > {number(y[1])} t yr" if exposure.min() > y[1] else ""


def _drawn(line: _Line) -> list[Any]:
    look = {"color": line.color, "dash": line.dash}
    parts = [curve(line.data, "threshold", "exposure", line.words, **look)]
    if line.data.sizes["threshold"] == 1:  # a line of one point is not seen
        at = line.data["threshold"].item(), line.data["exposure"].item()
        parts.append(_marker(at, line.color, "circle"))
    return parts


def _stars(lines: Sequence[_Line]) -> list[Any]:
    """Return the stars of a panel, larger where another covers them, and their legend."""
    places = [line.star for line in lines]
    out = []
    for i, (line, place) in enumerate(zip(lines, places, strict=True)):
        if place is not None:
            scale = 1.0 + 0.5 * places[i + 1 :].count(place)
            out.append(_marker(place, line.color, "star", scale))
    legend = _marker((np.nan, np.nan), _STAR_COLOR, "star", words=_NOMINAL)
    return [*out, legend] if out else []


def _marker(at: Ends, color: str, kind: str, scale: float = 1.0, words: str = "") -> hv.Scatter:
    size, area = (14, 150) if kind == "star" else (8, 40)
    return options(
        hv.Scatter([at], "threshold", "exposure", label=words),
        color=color,
        bokeh={"marker": kind, "size": scale * size},
        mpl={"marker": "*" if kind == "star" else "o", "s": scale**2 * area},
    )


def _note(lines: Sequence[_Line], x: Ends, y: Ends) -> list[Any]:
    """Say why a panel is empty, in its middle."""
    absent = [_absence(line.data, y) for line in lines]
    if not all(absent):
        return []
    words = f"no discovery below {number(y[1])} t yr"
    if set(absent) == {", never"}:
        words = "no exposure is enough"
    if all(line.data.attrs.get("sided") == "one" for line in lines):
        words += "\n(only an excess counts)"
    middle = sqrt(x[0] * x[1]), sqrt(y[0] * y[1])
    return [boxed(hv.Labels([(*middle, words)], ["threshold", "exposure"], "text"))]


def _free_corner(lines: Sequence[_Line], x: Ends, y: Ends, size: Ends) -> str:
    """Return the corner where a legend of some size (parts of the panel) covers the least."""
    at = np.geomspace(*x, 200)
    points = [np.empty((0, 2))]
    for line in lines:
        known = line.data.dropna("threshold").sortby("threshold")
        if known.sizes["threshold"]:
            logs = np.log(known["threshold"].values), np.log(known["exposure"].values)
            points.append(np.c_[at, np.exp(np.interp(np.log(at), *logs, np.nan, np.nan))])
        if line.star is not None:
            points.append(np.tile(line.star, (20, 1)))  # a star is small, but one thing
    low, high = np.log(np.array([x, y])).T
    place = (np.log(np.concatenate(points)) - low) / (high - low)
    covered = {}
    for corner in _CORNERS:
        right = 1.0 - place[:, 0] if corner.endswith("right") else place[:, 0]
        up = 1.0 - place[:, 1] if corner.startswith("top") else place[:, 1]
        inside = (right >= 0.0) & (right < size[0]) & (up >= 0.0) & (up < size[1])
        covered[corner] = int(inside.sum())
    return min(_CORNERS, key=covered.__getitem__)


def _legend_size(lines: Sequence[_Line], several: bool) -> Ends:
    """Return about how much of a panel its legend takes, in width and in height."""
    words = [line.words for line in lines]
    rows = [*words, _NOMINAL] if any(line.star for line in lines) else words
    letter, row = (0.02, 0.062) if several else (0.012, 0.046)
    return 0.11 + letter * max(len(one) for one in rows), 0.04 + row * len(rows)


def _panel(lines: Sequence[_Line], x: Ends, y: Ends, title: str, several: bool) -> hv.Overlay:
    frame = frame_options(480, 400, 1.3) if several else frame_options(WIDTH - 60, 540, 1.3)
    parts = [part for line in lines for part in _drawn(line)]
    return options(
        hv.Overlay([*parts, *_stars(lines), *_note(lines, x, y)]),
        xlim=x,
        ylim=y,
        logx=True,
        logy=True,
        xlabel="threshold (keV)",
        ylabel="exposure (t yr)",
        legend_position=_free_corner(lines, x, y, _legend_size(lines, several)),
        hooks=[log_ticks(x, y)],
        title=title,
        **frame,
    )


def _arranged(panels: Mapping[str, list[_Line]], x: Ends, y: Ends, title: str) -> Any:
    """Return one panel with all of the title, or several in two columns."""
    if len(panels) == 1:
        ((point, lines),) = panels.items()
        return options(_panel(lines, x, y, f"{title}\n{point}", False), mpl={"aspect": None})
    drawn = [_panel(lines, x, y, point, True) for point, lines in panels.items()]
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
