"""What all figures share: colors, fonts, words, and one way to set options for both backends."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import floor, log10
from typing import Any, Final

import holoviews.plotting.bokeh
import holoviews.plotting.mpl  # noqa: F401 - each of the two imports registers a backend
import xarray as xr

from lmltgrid.errors import SpecificationError
from lmltgrid.tables import models
from lmltgrid.tables.experiment import UNIT_OF
from lmltgrid.tables.experiments import catalog, find

Hook = Callable[[Any, Any], None]
Settings = Mapping[str, Any]

FONTS: Final = {"title": 10, "labels": 12, "ticks": 11, "legend": 10}
COLORMAP: Final = "viridis"  # perceptually uniform, and safe for the color-blind
BAND_COLOR: Final = "#ff5a36"
# M. Okabe and K. Ito (2008): colors that the color-blind tell apart, here without the yellow
COLORS: Final = ("#0072b2", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#e69f00")
DASHES: Final[dict[str, tuple[Any, Any]]] = {
    "solid": ("solid", "solid"),
    "dashed": ([8, 4], (0, (6, 3))),
    "dotted": ([2, 3], (0, (1.5, 2))),
    "dashdot": ([8, 3, 2, 3], (0, (6, 2, 1.5, 2))),
}
WIDTH, HEIGHT = 780, 580  # pixels
INCHES: Final = (8.6, 6.4)
UPRIGHT: Final = {f"{axis}.axis_label_text_font_style": "normal" for axis in ("xaxis", "yaxis")}

GRID: Final = {"axes.axisbelow": True, "grid.color": "#e5e5e5", "axes.titlepad": 10.0}
LEGEND: Final = {"spacing": 0, "padding": 5, "margin": 6, "glyph_height": 16, "label_height": 16}
SIGMA: Final = "σ"  # noqa: RUF001
_SUPERSCRIPT: Final = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SYMBOLS: Final = (("Lmu", "Lμ"), ("Ltau", "Lτ"), ("Le", "Lₑ"), ("-", "−"))  # noqa: RUF001


CONVENTIONS: Final[dict[str, Callable[[Settings], str]]] = {
    "threshold": lambda one: _threshold_words(one),
    "exposure": lambda one: _exposure_words(one),
    "metallicity": lambda one: f"Sun {one['metallicity']}" if _solar(one) else "",
    "oscillation": lambda one: f"oscillation {one['oscillation']}" if _solar(one) else "",
    "couplings": lambda one: "" if _solar(one) else f"neutrino couplings {one['couplings']}",
    "flux_error": lambda one: f"8B flux known to {number(100 * one['flux_error'])} %",
}


def options(
    element: Any,
    *,
    bokeh: Mapping[str, Any] | None = None,
    mpl: Mapping[str, Any] | None = None,
    **common: Any,
) -> Any:
    """Return a HoloViews object with its options for bokeh and for matplotlib."""
    element = element.opts(backend="bokeh", **common, **(bokeh or {}))
    return element.opts(backend="matplotlib", **common, **(mpl or {}))


def line(element: Any, color: str, *, dash: str = "solid", width: float = 2.0) -> Any:
    """Return a curve with its color, dash and width for both backends."""
    in_bokeh, in_mpl = DASHES[dash]
    return options(
        element,
        color=color,
        bokeh={"line_dash": in_bokeh, "line_width": width, "line_join": "round"},
        mpl={"linestyle": in_mpl, "linewidth": 0.9 * width},
    )


def is_bokeh(plot: Any) -> bool:
    """Whether a hook was called by the bokeh backend."""
    return bool(plot.renderer.backend == "bokeh")


def boxed(labels: Any) -> Any:
    """Return labels on small light boxes, so that they read on any ground."""
    return options(
        labels,
        bokeh={
            "text_font_size": "9pt",
            "text_color": "black",
            "background_fill_color": "white",
            "background_fill_alpha": 0.8,
            "border_radius": 2,
        },
        mpl={"size": 9, "color": "black", "hooks": [_box]},
    )


def _box(plot: Any, element: Any) -> None:  # noqa: ARG001 - the form of a hook
    box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    for text in plot.handles["artist"]:
        text.set_bbox(box)


def number(value: float) -> str:
    """Return a number as people write it: 15, 0.7, 5×10⁻⁴."""
    if value == 0.0 or 1e-2 <= abs(value) < 1e4:
        return f"{value:.3g}" if abs(value) < 100.0 else f"{value:.6g}"
    return scientific(value)


def scientific(value: float) -> str:
    """Return a positive number with its power of ten: 10³, 5×10⁻⁴."""
    exponent = floor(log10(value) + 1e-9)
    mantissa = f"{value / 10.0**exponent:.4g}"
    raised = "10" + str(exponent).translate(_SUPERSCRIPT)
    return raised if mantissa == "1" else f"{mantissa}×{raised}"  # noqa: RUF001


def model_words(name: str) -> str:
    """Return a catalog model as physicists write it, and any other name as it is."""
    if name in models.catalog():
        for plain, symbol in _SYMBOLS:
            name = name.replace(plain, symbol)
    return name


def settings_of(data: xr.Dataset | xr.DataArray) -> dict[str, Any]:
    """Return what the numbers depend on, from the attributes and the scalar coordinates.

    A grid keeps its models as one text; the one that was selected is resolved here.
    """
    found = dict(data.attrs)
    for name, value in data.coords.items():
        if value.ndim == 0:
            found[str(name)] = value.item()
            if "energy_scale" in value.attrs:
                found["energy_scale"] = value.attrs["energy_scale"]
    for entry in json.loads(found.pop("models", "[]")):
        if entry["name"] == found.get("model"):
            found |= {key: entry[key] for key in ("mixing", "charges", "kind")}
    return found


def muon_charge(settings: Settings) -> float:
    """Return the size of the muon's charge, 0 where the model is not known.

    A universal scalar couples to the muon as to a quark; for an axial mediator nothing is drawn.
    """
    if muon_kind(settings) == "scalar":
        return 1.0
    if "charges" in settings:
        return abs(float(settings["charges"]["mu"]))
    model = models.catalog().get(settings.get("model", ""))
    return 0.0 if model is None else abs(model.charge("mu"))


def muon_kind(settings: Settings) -> str:
    """Return how the mediator couples to the muon: "vector", "scalar" or "axial"."""
    if "kind" in settings:
        return str(settings["kind"])
    model = models.catalog().get(settings.get("model", ""))
    return "vector" if model is None else model.kind


def experiment_words(settings: Settings) -> str:
    """Return the experiment's title, or its name if the catalog has none."""
    name = settings.get("experiment", "")
    known = catalog().get(name)
    return str(settings.get("title", name)) if known is None else known.spec.title


def unit_of(settings: Settings) -> str:
    """Return the unit of a recoil energy or a threshold: keV_nr or keV_ee, keV if not known."""
    units = {str(scale): unit for scale, unit in UNIT_OF.items()}
    return units.get(str(settings.get("energy_scale")), "keV")


def verdict_words(settings: Settings) -> str:
    """Return what a test says of a coupling: "excluded at 90 % CL", "5σ discovery"."""
    if "cl" in settings:
        by = " by its data" if _measured(settings) else ""
        return f"excluded at {100.0 * settings['cl']:g} % CL{by}"
    return f"{settings['sigmas']:g}{SIGMA} discovery" if "sigmas" in settings else ""


def title_words(settings: Settings, first: str = "") -> str:
    """Return the title: what is shown, and on a second line the conventions it depends on."""
    model = model_words(str(settings.get("model", "")))
    head = ", ".join(part for part in (first or experiment_words(settings), model) if part)
    words = {**CONVENTIONS, "mixing": _mixing}
    parts = [write(settings) for key, write in words.items() if key in settings]
    return "\n".join(part for part in (head, ", ".join(filter(None, parts))) if part)


def common_settings(settings: Sequence[Settings]) -> dict[str, Any]:
    """Return the settings that several results have in common."""
    first = settings[0]
    return {k: v for k, v in first.items() if all(one.get(k) == v for one in settings)}


def differences(settings: Sequence[Settings], index: int, *, model: bool = True) -> list[str]:
    """Return as words the settings of one result that not all results have in common.

    ``model`` tells whether what belongs to the model is among them.
    """
    shared, own = common_settings(settings), settings[index]
    words = CONVENTIONS
    if model:
        words = {"model": lambda one: model_words(str(one["model"])), **words, "mixing": _mixing}
    parts = [write(own) for key, write in words.items() if key in own and key not in shared]
    return [part for part in parts if part]


def _solar(settings: Settings) -> bool:
    """Whether solar neutrinos are seen; so it is where the experiment is not known."""
    name = settings.get("experiment")
    try:
        return find(name).solar if isinstance(name, str) else True
    except SpecificationError:
        return True


def _measured(settings: Settings) -> bool:
    """Whether data were taken, and so exposure and threshold are the experiment's own."""
    given = settings.get("data") == "measured"
    return given or settings.get("statistic") in ("rate", "flux", "counts")


def _threshold_words(settings: Settings) -> str:
    value, unit = number(settings["threshold"]), unit_of(settings)
    if settings.get("energy_scale") == "gas_pressure":
        return f"pressure {value} {unit}"
    # the bins of a likelihood are given
    fixed = _measured(settings) or settings.get("statistic") == "likelihood"
    return "" if fixed else f"threshold {value} {unit}"


def _exposure_words(settings: Settings) -> str:
    # a run of muons has no tonne year, and each part of a sum has its own
    fixed = _measured(settings) or settings.get("energy_scale") in ("muon_energy", "several")
    return "" if fixed else f"{number(settings['exposure'])} t yr"


def _mixing(settings: Settings) -> str:
    return f"mixing {settings['mixing']}"
