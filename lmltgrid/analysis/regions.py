"""Regions of a plane that a reconstruction leaves, and how far they reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import chi2

from lmltgrid.errors import SpecificationError
from lmltgrid.ladders import runs

Array = NDArray[np.float64]

LEVELS: Final = (0.68, 0.95)
LIMIT: Final = 0.90  # level of an upper limit
DOF: Final = 2


def bound_of(level: float) -> float:
    """Return the increase of the chi-square at the edge of a region, two degrees of freedom.

    Raises
    ------
    SpecificationError
        The level is not between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise SpecificationError(f"cl: {level:g} is given; it must lie between 0 and 1; correct it")
    return float(chi2.ppf(level, DOF))


def regions(found: xr.Dataset, levels: Sequence[float] = LEVELS) -> list[dict[str, Any]]:
    """Return how far the allowed region of each level reaches.

    Returns
    -------
    list of dict
        ``level``, ``delta_chi2``; ``mass``, ``coupling``: the ranges, None at an end where the
        region goes on beyond the axis; ``closed``: whether both masses are inside; ``inside``:
        whether any of it lies between the ends of the axis; ``seen``: whether g = 0 is excluded, so
        that the mediator is told from none.

    Raises
    ------
    SpecificationError
        A level is not between 0 and 1.
    """
    masses, profile, _, _ = _nodes_of(found)
    # a point at which the fit does not converge is not excluded
    lost = found["mass"].values[np.isnan(found["delta_chi2"].values).any(axis=1)]
    unknown = np.isin(masses, lost) | np.isnan(profile)
    out = []
    for level in levels:
        bound = bound_of(level)
        inside = np.flatnonzero((profile <= bound) | unknown)
        ends: list[float | None] = [None, None]
        if inside.size:
            first, last = int(inside[0]), int(inside[-1])
            if first > 0:
                ends[0] = _crossing(masses, profile, bound, first - 1)
            if last < masses.size - 1:
                ends[1] = _crossing(masses, profile, bound, last)
        reach = _reach(found, bound)
        out.append(
            {
                "level": level,
                "delta_chi2": bound,
                "mass": ends,
                "closed": inside.size > 0 and None not in ends,
                "coupling": reach,
                "inside": inside.size > 0,
                "seen": found.attrs["standard_model"] > bound
                if "standard_model" in found.attrs
                else reach[0] is not None,
            }
        )
    return out


def _nodes_of(found: xr.Dataset) -> tuple[Array, Array, Array, Array]:
    """Return masses, least chi-squares, couplings and widths: refined, or those of the axis."""
    if "node_mass" in found:
        mass, profile, coupling, width = (
            found[f"node_{name}"].values for name in ("mass", "profile", "coupling", "width")
        )
        return mass, profile, coupling, width
    mass, profile, coupling = (found[n].values for n in ("mass", "profile", "best_coupling"))
    return mass, profile, coupling, np.full(mass.size, np.inf)


def _reach(found: xr.Dataset, bound: float) -> list[float | None]:
    """Return the least and the largest coupling of a region, None beyond the axis."""
    g, lows, highs = found["coupling"].values, [np.inf], [0.0]
    best = zip(found["best_coupling"].values, found["profile"].values, strict=True)
    for row, (at, value) in zip(found["delta_chi2"].values, best, strict=True):
        x, values = g, row
        if g[0] < at < g[-1]:  # the region may lie between two points of the axis
            place = int(np.searchsorted(g, at))
            x, values = np.insert(g, place, at), np.insert(row, place, value)
        inside = np.flatnonzero(~(values > bound))
        if inside.size:
            first, last = int(inside[0]), int(inside[-1])
            lows.append(_crossing(x, values, bound, first - 1) if first else 0.0)
            highs.append(_crossing(x, values, bound, last) if last < x.size - 1 else np.inf)
    step = 2.0 * float(np.log(g[-1] / g[0])) / (g.size - 1)
    for _, value, at, width in zip(*_nodes_of(found), strict=True):
        half = width * np.sqrt(bound - value) if value <= bound else np.inf
        if half < step and g[0] < at < g[-1]:  # narrower than the axis: a parabola in log g
            lows.append(at * np.exp(-half))
            highs.append(at * np.exp(half))
    low, high = float(min(lows)), float(max(highs))
    return [low if 0.0 < low < np.inf else None, high if 0.0 < high < np.inf else None]


def _crossing(x: Array, values: Array, bound: float, i: int) -> float:
    """Return where a chi-square passes a bound between two points.

    Its root is taken as linear in log x, which is exact for a parabola about a best value of zero.
    """
    left, right = np.sqrt(np.maximum(values[i : i + 2], 0.0)) - np.sqrt(bound)
    share = float(left / (left - right)) if left != right else 0.5
    if not 0.0 <= share <= 1.0:  # one of the two is not known: the region ends beside it
        share = 0.0 if np.isnan(left) or left > right else 1.0
    return float(np.exp(np.interp(share, [0.0, 1.0], np.log(x[i : i + 2]))))


def narrow_outlines(found: xr.Dataset, bound: float) -> list[Array]:
    """Return the outlines of a region that no mass shows at two couplings of the axis.

    Each is of shape (n, 2), mass and coupling, the first point repeated at the end. There are none
    if the region is wider, or if it ends at g = 0.
    """
    masses, profile, coupling, width = _nodes_of(found)
    inside = profile <= bound
    if not np.isfinite(width[inside]).all():
        return []
    half = np.zeros(masses.size)
    half[inside] = width[inside] * np.sqrt(bound - profile[inside])
    g = found["coupling"].values
    step = float(np.log(g[-1] / g[0])) / (g.size - 1)
    if half.max() >= step:
        return []
    out = []
    for first, last in runs(inside):
        logs = [(np.log(masses[i]), np.log(coupling[i]), half[i]) for i in range(first, last)]
        for at, place in ((first - 1, 0), (last - 1, len(logs) + 1)):
            if 0 <= at < masses.size - 1:  # it ends in a point between two masses
                end = np.log(_crossing(masses, profile, bound, at))
                beside = coupling[[at, at + 1]]
                beside = np.log(np.where(beside > 0.0, beside, beside.max()))
                y = float(np.interp(end, np.log(masses[[at, at + 1]]), beside))
                logs.insert(place, (end, y, 0.0))
        x, y, h = np.array(logs).T
        rim = np.concatenate([np.c_[x, y - h], np.c_[x, y + h][::-1]])
        out.append(np.exp(np.concatenate([rim, rim[:1]])))
    return out


def upper_limit(above: Array, g: Array) -> Array:
    """Return the coupling above which all is excluded at each mass: 0 or inf beyond the axis.

    Parameters
    ----------
    above : shape (mass, coupling)
        The chi-square above its minimum.
    g : shape (coupling,)
    """
    limit = bound_of(LIMIT)
    out = np.full(above.shape[0], np.nan)
    for i, row in enumerate(above):
        allowed = np.flatnonzero(~(row > limit))
        if not allowed.size or allowed[-1] == g.size - 1:
            out[i] = np.inf if allowed.size else 0.0
            continue
        j = int(allowed[-1])
        if np.isfinite(row[j]):
            out[i] = _crossing(g, row, limit, j)
    return out
