"""Regions calibrated by pseudo-experiments (Feldman and Cousins 1998), beside the asymptotic ones.

Both compare the likelihood ratio of the data with a critical value: that of pseudo-experiments at
each point, or the quantile of a chi-square with as many degrees of freedom as parameters were
fitted (S. S. Wilks 1938).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import chi2

from lmltgrid.errors import SpecificationError
from lmltgrid.ladders import runs
from lmltgrid.toys import TIE
from lmltgrid.variables import PROBABILITY

Array = NDArray[np.float64]
Marks = NDArray[np.bool_]

DEFAULT_LEVEL: Final = 0.90
_LEAST: Final = 1e-3  # of a likelihood ratio that excludes anything
_TINY: Final = 1e-300
_FLOOR: Final = 1e-3  # of a ratio whose logarithm is taken, close enough to where it is 1
_LABELS: Final = {
    "critical_value": "likelihood ratio up to which a point is allowed, calibrated",
    "critical_error": "standard deviation of the critical value",
    "excluded": "whether the data exclude the point, calibrated",
    "excluded_asymptotic": "whether the data exclude the point, asymptotically",
}


def feldman_cousins(drawn: xr.Dataset, *, level: float = DEFAULT_LEVEL) -> xr.Dataset:
    """Return the critical values of pseudo-experiments, and which points the data exclude.

    A point is allowed if the likelihood ratio of the data is one that less than the level of all
    pseudo-experiments at the point stay below. Points without a fit are not excluded, nor are those
    that the data do not tell from the best fit: expected data are no whole number of events, and
    where few are expected hardly any pseudo-experiment is that close to them.

    Parameters
    ----------
    drawn
        Group ``toys/<experiment>`` of a store or of `lmltgrid.virtual`, or a part of it.
    level
        One of the levels that the pseudo-experiments were asked for.

    Returns
    -------
    Dataset
        On the axes of ``drawn``: ``statistic`` and ``p_value`` of the data; ``critical_value`` and
        its ``critical_error``; ``excluded`` and ``excluded_asymptotic``, true or false. Attributes:
        those of ``drawn``, ``level``, and ``asymptotic_value``, with which the last compares.

    Raises
    ------
    SpecificationError
        There are no pseudo-experiments in ``drawn``, or none for this level.
    """
    if "toys" not in drawn.attrs or "quantile" not in drawn:
        raise SpecificationError(
            "feldman_cousins: the dataset has no pseudo-experiments; give the group "
            "toys/<experiment> of a scan with a table [toys]"
        )
    known = [float(one) for one in np.atleast_1d(drawn.attrs["levels"])]
    if not any(np.isclose(level, one, rtol=0.0, atol=1e-9) for one in known):
        raise SpecificationError(
            f"level: {level:g} is given; the pseudo-experiments have "
            f"{', '.join(f'{one:g}' for one in known)}; choose one, or run a scan with it"
        )
    at = {PROBABILITY: int(np.argmin(np.abs(drawn[PROBABILITY].values - level)))}
    critical, error = (drawn[name].isel(at, drop=True) for name in ("quantile", "quantile_error"))
    asymptotic = float(chi2.ppf(level, int(drawn.attrs["parameters"])))
    found = drawn[["statistic", "p_value"]].assign(
        critical_value=critical,
        critical_error=error,
        excluded=_beyond(drawn["statistic"], critical),
        excluded_asymptotic=drawn["statistic"] > asymptotic,
    )
    for name, words in _LABELS.items():
        found[name].attrs = {"units": "1", "long_name": words}
    about = drawn.attrs | {"level": level, "asymptotic_value": asymptotic}
    return found.drop_vars(PROBABILITY, errors="ignore").assign_attrs(about)


def calibrated_limits(drawn: xr.Dataset, *, level: float = DEFAULT_LEVEL) -> xr.Dataset:
    """Return the couplings that the data exclude at each mass, calibrated and asymptotically.

    Between two couplings of the axis, the logarithm of likelihood ratio over critical value is
    taken as linear in log g: both are powers of g, nearly. Where counts are so few that the
    critical value is that of one number of events, and jumps to the next, the same is done with
    -log(p-value): where nothing is seen it is the expected number of events. What is excluded, or
    allowed, by less than the Monte Carlo error between two regions of the other kind is not told
    from them. An interval that reaches the last coupling of the axis, the attribute
    ``last_coupling``, is open.

    Parameters
    ----------
    drawn
        One plane of mass and coupling of the group ``toys/<experiment>``.
    level
        See `feldman_cousins`.

    Returns
    -------
    Dataset
        ``low`` and ``high``: ends of the calibrated intervals in g, dims (mass, interval), padded
        with NaN, ``high`` is inf where open; ``low_error`` and ``high_error``: their standard
        deviations from the number of pseudo-experiments; ``low_critical`` and
        ``low_critical_error``: the critical value at the low end. ``asymptotic_low`` and
        ``asymptotic_high``, dims (mass, asymptotic_interval).

    Raises
    ------
    SpecificationError
        See `feldman_cousins`; or ``drawn`` is not one plane.
    """
    found = feldman_cousins(drawn, level=level).squeeze()
    if set(found.sizes) - {"mass", "coupling"} or found.sizes.get("coupling", 0) < 2:
        sizes = ", ".join(f"{dim} ({size})" for dim, size in found.sizes.items())
        raise SpecificationError(
            f"calibrated_limits: the axes are {sizes}; one plane with two couplings at least is "
            "needed; select one point of the others"
        )
    if "mass" not in found.sizes:
        found = found.expand_dims("mass")
    found = found.transpose("mass", "coupling").sortby(["mass", "coupling"])
    coupling = found["coupling"].values
    calibrated, asymptotic = [], []
    for i in range(found.sizes["mass"]):
        t, p, critical, error = (
            found[name].values[i]
            for name in ("statistic", "p_value", "critical_value", "critical_error")
        )
        own = _Line(coupling, t, critical, error, p, level, found.attrs)
        flat = np.full(t.size, float(found.attrs["asymptotic_value"]))
        calibrated.append(own.excluded())
        asymptotic.append(replace(own, critical=flat, error=np.zeros(t.size), p=None).excluded())
    names = ("low", "high", "low_error", "high_error", "low_critical", "low_critical_error")
    variables = _padded(names, calibrated, "interval")
    variables |= {
        f"asymptotic_{name}": value
        for name, value in _padded(names[:2], asymptotic, "asymptotic_interval").items()
    }
    points = {name: one for name, one in found.coords.items() if name != "coupling"}
    return xr.Dataset(variables, points, found.attrs | {"last_coupling": float(coupling[-1])})


def as_limits(found: xr.Dataset, *, asymptotic: bool = False) -> xr.Dataset:
    """Return one kind of intervals of `calibrated_limits`, named as those of `limits`."""
    if asymptotic:
        names = {f"asymptotic_{name}": name for name in ("low", "high")}
        kept = found[list(names)].rename({**names, "asymptotic_interval": "interval"})
    else:
        kept = found[["low", "high"]]
    return kept.assign_attrs(found.attrs)


@dataclass(frozen=True)
class _Interval:
    """One excluded interval of g."""

    low: float
    high: float
    low_error: float
    high_error: float
    low_critical: float
    low_critical_error: float


def _padded(names: tuple[str, ...], every: list[list[_Interval]], dim: str) -> dict[str, Any]:
    width = max((len(one) for one in every), default=0)
    out = {}
    for name in names:
        values = np.full((len(every), width), np.nan)
        for i, intervals in enumerate(every):
            values[i, : len(intervals)] = [getattr(one, name) for one in intervals]
        words = name.replace("_", " ")
        label = {"units": "1", "long_name": words if "critical" in name else f"coupling g, {words}"}
        out[name] = (("mass", dim), values, label)
    return out


@dataclass(frozen=True)
class _Line:
    """The points of one mass; arrays of shape (coupling,).

    Attributes
    ----------
    p
        The p-value, if critical values are those of pseudo-experiments.
    level, attrs
        What is asked for, and how pseudo-experiments were drawn.
    """

    coupling: Array
    t: Array
    critical: Array
    error: Array
    p: Array | None
    level: float
    attrs: dict[str, Any]

    def excluded(self) -> list[_Interval]:
        """Return the excluded intervals."""
        with np.errstate(invalid="ignore"):  # an infinite critical value excludes nothing
            above, marks = self.t - self.critical, _beyond(self.t, self.critical)
        intervals = []
        for first, last in runs(settled(marks, _ratio(above, self.error))):
            low, high = self._end(first, first - 1), self._end(last - 1, last)
            intervals.append(_Interval(low[0], high[0], low[1], high[1], low[2], low[3]))
        return intervals

    def _end(self, i: int, j: int) -> tuple[float, float, float, float]:
        """Return an end of an interval: its coupling, its error, the critical value, its error.

        The i-th point is excluded, the j-th is not, or not known, or beyond the axis.
        """
        t, critical, error = self.t, self.critical, self.error
        if j >= t.size:
            return np.inf, np.nan, np.nan, np.nan
        if j < 0 or not np.isfinite(t[j] - critical[j]):
            return float(self.coupling[i]), np.nan, float(critical[i]), float(error[i])
        part, spread, value, its = self._of_p(i, j) or self._of_t(i, j)
        log_g = np.log(self.coupling[[i, j]])
        step = float(log_g[1] - log_g[0])
        g = float(np.exp(log_g[0] + part * step))
        return g, g * spread * abs(step), value, its

    def _of_t(self, i: int, j: int) -> tuple[float, float, float, float]:
        """Return at which part of the way t passes the critical value, and the error of that.

        Then the critical value there, and its error.
        """
        t, critical = self.t[[i, j]], self.critical[[i, j]]
        above = t - critical
        if np.all(critical > 0.0):
            above = np.log(np.maximum(t / critical, _FLOOR))
        part = float(np.clip(above[0] / (above[0] - above[1]), 0.0, 1.0))
        value, error = (
            float(one[i] + part * (one[j] - one[i])) for one in (self.critical, self.error)
        )
        power = abs(float(np.log(max(t[1], _FLOOR) / max(t[0], _FLOOR))))
        spread = error / value / power if power > 0.0 and value > 0.0 else np.nan
        return part, spread, value, error

    def _of_p(self, i: int, j: int) -> tuple[float, float, float, float] | None:
        """Return the same of the p-value where counts are few; None where they are not.

        The critical value is then t itself, and does not depend on which of the two it lies at.
        """
        t = self.t[[i, j]]
        # many pseudo-experiments with one value leave a quantile no error
        few = abs(t[1] - self.critical[j]) <= TIE or not self.error[[i, j]].all()
        if self.p is None or not few or not t.min() > 0.0:
            return None
        number, p = int(self.attrs["toys"]), self.p[[i, j]]
        beyond = chi2.sf(t, int(self.attrs["parameters"]))  # where none, or all, say nothing
        p = np.where(p > 0.0, np.where(p < 1.0, p, beyond), np.minimum(beyond, 0.5 / number))
        heights = np.log(-np.log(np.clip(p, _TINY, 1.0 - _FLOOR)))
        rise, left = float(heights[0] - heights[1]), 1.0 - self.level
        if not rise > 0.0:
            return None
        part = float(np.clip((heights[0] - np.log(-np.log(left))) / rise, 0.0, 1.0))
        spread = float(np.sqrt(self.level / left / number) / -np.log(left)) / rise
        power = float(np.log(t[1] / t[0]))
        value = float(t[0] * np.exp(part * power))
        return part, spread, value, value * spread * abs(power)


def _beyond(t: Any, critical: Any) -> Any:
    """Return which likelihood ratios exclude a point, as an array of their own kind."""
    return (t - critical > TIE) & (t > _LEAST)


def _ratio(above: Array, error: Array) -> Array:
    """Return by how many errors a point is above or below; infinite where nothing is uncertain."""
    out = np.full(above.size, np.inf)
    np.divide(np.abs(above), error, out=out, where=error > 0.0)
    known: Array = np.nan_to_num(out, nan=np.inf, posinf=np.inf)  # no fit: it stays as it is
    return known


def settled(marks: Marks, sigmas: Array) -> Marks:
    """Return marks without the runs that are not told from their neighbors.

    Parameters
    ----------
    marks : shape (n,)
        What is excluded.
    sigmas : shape (n,)
        By how many standard deviations each point is what its mark says.
    """
    marks = marks.copy()
    while True:
        edges = [0, *(np.flatnonzero(np.diff(marks.astype(np.int8))) + 1).tolist(), marks.size]
        runs = list(pairwise(edges))
        weights = [float(np.max(sigmas[first:last])) for first, last in runs]
        if len(runs) < 2 or min(weights) >= 1.0:
            return marks
        first, last = runs[int(np.argmin(weights))]
        marks[first:last] = ~marks[first]
