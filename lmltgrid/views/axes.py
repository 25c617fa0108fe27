"""Logarithmic axes: their ticks, the same in both backends.

Bokeh draws an image on linear axes alone. So the mass-coupling plane is drawn in log10 coordinates
and labeled with what they stand for; curves have true logarithmic axes, labeled in the same way.
In a browser the ticks follow the zoom.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil, floor, log10
from typing import Any, Final

import numpy as np
from bokeh.models import CustomJSHover, CustomJSTicker, CustomJSTickFormatter, HoverTool
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter
from numpy.typing import NDArray

from lmltgrid.errors import SpecificationError
from lmltgrid.views.style import Hook, is_bokeh, scientific

Ends = tuple[float, float]

PLAIN: Final = (0.99e-2, 1.01e4)  # an axis within this range reads 10, 100; any other 10¹, 10²
_DECADES: Final = {True: 3.0, False: 1.8}  # from this width on, decades alone are labeled
_LINEAR: Final = 0.6  # decades; below this width ticks are evenly spaced
_MANTISSAS: Final = (1, 2, 5)

# `major` and `minor` below, for the browser: the range may be zoomed there
_JS_TICKS: Final = """
const at = native ? Math.log10 : (v) => v
// a tick that rounding puts outside of the axis would be dropped
const within = (v) => Math.min(Math.max(v, cb_data.start), cb_data.end)
const lo = at(cb_data.start), hi = at(cb_data.end), eps = 1e-9, out = []
if (hi - lo < linear) {
  const low = 10 ** lo, high = 10 ** hi, raw = (high - low) / 5
  const unit = 10 ** Math.floor(Math.log10(raw)), r = raw / unit
  const step = unit * [1, 2, 5, 10].find((s) => r <= s * (1 + eps))
  if (!minor)
    for (let k = Math.ceil(low / step - eps); k * step <= high * (1 + eps); k++)
      if (k > 0) out.push(within(native ? k * step : Math.log10(k * step)))
  return out
}
const wide = hi - lo >= decades
const few = minor ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : wide ? [1] : [1, 2, 5]
const stride = wide && !minor ? Math.ceil((hi - lo) / 10) : 1
for (let n = Math.floor(lo); n <= Math.ceil(hi); n++)
  for (const m of few) {
    const v = n + Math.log10(m)
    if (n % stride === 0 && v >= lo - eps && v <= hi + eps) out.push(within(native ? 10 ** v : v))
  }
return out
"""
_JS_LABEL: Final = """
const v = native ? tick : 10 ** tick, n = Math.floor(Math.log10(v) + 1e-9)
if (plain) return String(Number(v.toPrecision(4)))
const digits = String(n).replace(/[-0-9]/g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)])
const m = Number((v / 10 ** n).toPrecision(4))
return m === 1 ? "10" + digits : m + "×10" + digits
"""  # noqa: RUF001
_JS_HOVER: Final = "return Number((10 ** value).toPrecision(4)).toString()"


def major(low: float, high: float, plain: bool) -> list[float]:
    """Return the labeled values of an axis from ``low`` to ``high``."""
    lo, hi = log10(low), log10(high)
    if hi - lo < _LINEAR:
        return even_ticks(low, high)
    if hi - lo >= _DECADES[plain]:
        stride = ceil((hi - lo) / 10.0)
        return [v for v in _mantissas(low, high, (1,)) if round(log10(v)) % stride == 0]
    return _mantissas(low, high, _MANTISSAS)


def even_ticks(low: float, high: float) -> list[float]:
    """Return about five evenly spaced round values from ``low`` to ``high``."""
    raw = (high - low) / 5.0
    unit = 10.0 ** floor(log10(raw))
    step = unit * next(s for s in (1.0, 2.0, 5.0, 10.0) if raw / unit <= s * (1.0 + 1e-9))
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def minor(low: float, high: float) -> list[float]:
    """Return the values of the ticks without a label."""
    wide = log10(high / low) >= _LINEAR
    return _mantissas(low, high, tuple(range(1, 10))) if wide else []


def _mantissas(low: float, high: float, which: tuple[int, ...]) -> list[float]:
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    values = [m * 10.0**n for n in decades for m in which]
    return [v for v in values if low * (1.0 - 1e-9) <= v <= high * (1.0 + 1e-9)]


def label(value: float, plain: bool) -> str:
    """Return the label of a tick."""
    if plain:
        return f"{value:.4g}" if value < 1e4 else f"{value:.0f}"
    return scientific(value)


def is_plain(low: float, high: float) -> bool:
    """Whether an axis is labeled with plain numbers rather than powers of ten."""
    return PLAIN[0] <= low and high <= PLAIN[1]


def ascending(given: Ends, where: str) -> Ends:
    """Return the ends of a logarithmic axis as they are.

    Raises
    ------
    SpecificationError
        They are not positive, or do not ascend; ``where`` names the figure and the axis.
    """
    if 0.0 < given[0] < given[1]:
        return given
    raise SpecificationError(
        f"{where} {given[0]:g} to {given[1]:g} is given; it must be positive and ascend; correct it"
    )


def whole_decades(values: NDArray[np.float64], otherwise: Ends) -> Ends:
    """Return whole decades with some room around the positive, finite ``values``, if there are."""
    shown = values[np.isfinite(values) & (values > 0.0)]
    if not shown.size:
        return otherwise
    low, high = log10(shown.min()), log10(shown.max())
    return 10.0 ** floor(low - 0.15), 10.0 ** ceil(high + 0.15)


def log_ticks(x: Ends | None, y: Ends | None, *, native: bool = True) -> Hook:
    """Return a hook that labels the logarithmic axes of a plot.

    Parameters
    ----------
    x, y
        First and last value of each axis; None leaves the axis alone.
    native
        True where the axes are logarithmic, False where they are linear in log10.
    """
    return partial(_label_axes, ends=(x, y), native=native)


def _label_axes(
    plot: Any,
    element: Any,  # noqa: ARG001 - every hook is given it
    *,
    ends: tuple[Ends | None, Ends | None],
    native: bool,
) -> None:
    if is_bokeh(plot):
        state = plot.state
        sides = ((state.xaxis[0], state.xgrid), (state.yaxis[0], state.ygrid))
        for (drawn, grid), between in zip(sides, ends, strict=True):
            if between is not None:
                _label_in_browser(drawn, grid, between, native)
        return
    axes = plot.handles["axis"]
    axes.set_aspect("auto")  # fill the place, where HoloViews would keep a shape
    for drawn, between in zip((axes.xaxis, axes.yaxis), ends, strict=True):
        drawn.set_zorder(-1.0)  # its grid below the curves, which HoloViews numbers from 0
        if between is not None:
            _label_in_print(drawn, between, native)


def _label_in_browser(drawn: Any, grid: Sequence[Any], ends: Ends, native: bool) -> None:
    if isinstance(drawn.ticker, CustomJSTicker):
        return  # a redraw with other data keeps them
    plain = is_plain(*ends)
    args = {"native": native, "linear": _LINEAR, "decades": _DECADES[plain]}
    drawn.ticker = CustomJSTicker(
        args=args,
        major_code="const minor = false\n" + _JS_TICKS,
        minor_code="const minor = true\n" + _JS_TICKS,
    )
    drawn.formatter = CustomJSTickFormatter(args={"native": native, "plain": plain}, code=_JS_LABEL)
    for one in grid:
        one.ticker = drawn.ticker


def _label_in_print(drawn: Any, ends: Ends, native: bool) -> None:
    plain = is_plain(*ends)
    values, between = major(*ends, plain), minor(*ends)
    drawn.set_major_locator(FixedLocator([v if native else log10(v) for v in values]))
    drawn.set_major_formatter(FixedFormatter([label(v, plain) for v in values]))
    drawn.set_minor_locator(FixedLocator([v if native else log10(v) for v in between]))
    drawn.set_minor_formatter(NullFormatter())


def hover_values(plot: Any, element: Any) -> None:  # noqa: ARG001 - the form of a hook
    """Show mass, coupling and value under the pointer, instead of their logarithms."""
    if not is_bokeh(plot):
        return
    for tool in plot.state.select(HoverTool):
        tool.tooltips = [
            ("mass", "$x{custom} MeV"),
            ("coupling", "$y{custom}"),
            ("significance", "@image{0.00}"),
        ]
        tool.formatters = {"$x": CustomJSHover(code=_JS_HOVER), "$y": CustomJSHover(code=_JS_HOVER)}
