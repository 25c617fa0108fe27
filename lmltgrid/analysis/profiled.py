"""Limits of binned likelihoods: every crossing of the profiled chi-square at each mass.

The chi-square is compared with its minimum over the whole plane of mass and coupling. That minimum
can lie inside a narrow strip, where the mediator twice undoes the Standard Model, so it is polished
in both. A coupling at which the fit does not converge is never part of a limit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from lmltgrid import binned, minima
from lmltgrid.analysis.level import Level
from lmltgrid.analysis.roots import Interval, between
from lmltgrid.analysis.setup import Conventions, Rates
from lmltgrid.binned import Binned
from lmltgrid.tables.experiment import Experiment

Array = NDArray[np.float64]


def data_of(found: Rates, exposure: float, data: Array | None) -> Binned:
    """Return data and pulls of an experiment in an exposure."""
    assert found.moments is not None  # noqa: S101 - likelihoods keep them
    standard = found.coefficients[0, :, 0, 0]
    return binned.from_moments(found.moments, standard, exposure, data)


def minimum(
    experiment: Experiment,
    setting: Conventions,
    exposure: float,
    data: Array | None = None,
    threshold: Sequence[float] | None = None,
) -> tuple[float, float, float]:
    """Return the least chi-square over the plane, with its mass (MeV) and coupling.

    Parameters
    ----------
    data : shape (bin,), optional
        Counts to be taken as observed.
    threshold
        One of its own scale; the nominal one if left out.

    Raises
    ------
    ConvergenceError
        No fit converges anywhere.
    """
    return minima.minimum(
        experiment,
        setting.model,
        couplings=setting.couplings,
        metallicity=setting.metallicity,
        oscillation=setting.oscillation,
        atomic=setting.atomic,
        exposure=exposure,
        threshold=None if threshold is None else float(threshold[0]),
        data=data,
    )


def intervals(
    found: Rates, exposure: float, level: Level, least: float
) -> tuple[list[list[Interval]], list[tuple[int, float]]]:
    """Return the excluded x at each mass, and where a fit did not converge.

    Parameters
    ----------
    found
        At one threshold.
    least
        The chi-square that the level is counted from, see `minimum`.

    Returns
    -------
    intervals, failures
        Failures as pairs of the place of the mass and x.
    """
    own = data_of(found, exposure, None)
    out, failures = [], []
    for place in range(found.coefficients.shape[-1]):
        coefficients = np.ascontiguousarray(found.coefficients[0, :, :, place])

        def above(at: Array, coefficients: Array = coefficients) -> Array:
            return own.curve(coefficients, at) - least - level.delta_chi2

        one, failed = _excluded(above, own.couplings(coefficients))
        out.append(one)
        failures += [(place, v) for v in failed]
    return out, failures


def _excluded(above: binned.Curve, x: Array) -> tuple[list[Interval], list[float]]:
    """Return where a curve is positive, and where it is not known; looked for from point to point.

    What lies between a point that is not known and the next that is, is left out.
    """
    values = above(x)
    failed: list[float] = x[~np.isfinite(values)].tolist()
    x, values = _with_turning_points(above, x, values)
    roots, unknown = [], _unknown(x, values)
    for i in np.flatnonzero(np.sign(values[1:]) * np.sign(values[:-1]) < 0.0):
        span = float(x[i]), float(x[i + 1])
        root = _root(above, *span)
        if root is None:
            unknown.append(span)
            failed.append(float(np.sqrt(span[0] * span[1])))
        else:
            roots.append(root)

    def passed(v: float) -> bool:
        known = not any(low < v < high for low, high in unknown)
        return known and float(above(np.array([v]))[0]) > 0.0

    ends = {end for span in unknown for end in span} - {0.0, np.inf}
    return between(sorted({*roots, *ends}), passed), failed


def _root(above: binned.Curve, low: float, high: float) -> float | None:
    """Return where a curve crosses zero; None if a fit on the way does not converge."""
    try:
        return float(brentq(lambda v: float(above(np.array([v]))[0]), low, high, rtol=1e-10))
    except ValueError:  # the value is NaN
        return None


def _unknown(x: Array, values: Array) -> list[Interval]:
    """Return the spans in which no fit converges, each to the next points where one does."""
    edges = np.concatenate([[0.0], x, [np.inf]])
    failed = np.flatnonzero(np.isnan(values)) + 1
    return [(float(edges[i - 1]), float(edges[i + 1])) for i in failed]


def _with_turning_points(above: binned.Curve, x: Array, values: Array) -> tuple[Array, Array]:
    """Return the points with those added where the curve turns without crossing zero between."""
    points, heights = [x], [values]
    for i in range(1, x.size - 1):
        before, here, after = values[i - 1 : i + 2]
        for sign in (1.0, -1.0):
            turns = sign * here <= sign * before and sign * here <= sign * after
            if turns and sign * here > 0.0 and np.isfinite(before + here + after):
                height, place = binned.turning(above, x, i, sign=sign)
                points.append(np.array([place]))
                heights.append(np.array([height]))
    every, order = np.unique(np.concatenate(points), return_index=True)
    return every, np.concatenate(heights)[order]
