"""Tests whose expectation is uncertain: the flux of 8B neutrinos and a background, profiled.

What is profiled has a closed form (`lmltgrid.kernels.pulls`, `lmltgrid.kernels.chisquare`). Where
the statistic is not a polynomial in x = g^2 any more, it rises steadily on either side of the
couplings at which nothing changes, so every crossing still lies between known points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from lmltgrid.analysis.level import Level
from lmltgrid.analysis.roots import Interval, between, outside, positive, quadratic
from lmltgrid.analysis.setup import Rates
from lmltgrid.kernels import chisquare
from lmltgrid.kernels.pulls import flux_deviance, flux_deviances
from lmltgrid.tables.experiment import Experiment
from lmltgrid.tables.measurement import CountMeasurement

Array = NDArray[np.float64]

_STEPS: Final = 12  # points per factor of ten in x at which a crossing is looked for
_FAR: Final = 1e6  # in x, how far beyond the first coupling that matters


def discovery_bounds(null: float, boron: float, level: Level) -> tuple[float, float]:
    """Return the changes of the counts below and above which an uncertain null is rejected.

    Parameters
    ----------
    null, boron
        Expected counts without new physics, and the part of 8B neutrinos.

    Returns
    -------
    below, above
        -inf where no deficit is enough, or none counts.
    """
    error = float(level.flux_error or 0.0)

    def miss(count: float) -> float:
        return flux_deviance(count, null - boron, 0.0, boron, error) - level.sigmas**2

    high = null + 1.0
    while miss(high) < 0.0:
        high += high - null
    above = brentq(miss, null, high, xtol=1e-12)
    if level.sided == "one" or miss(0.0) <= 0.0:
        return -np.inf, float(above) - null
    return float(brentq(miss, 0.0, null, xtol=1e-12)) - null, float(above) - null


def counting_exclusion(rates: Rates, exposure: float, level: Level) -> list[list[Interval]]:
    """Return where a count is excluded by the Standard Model as data, the 8B flux uncertain."""
    assert rates.boron is not None  # noqa: S101 - asked for with the flux error
    null, error = exposure * float(rates.null[0]), float(level.flux_error or 0.0)
    boron = exposure * rates.boron[0].sum(axis=0)
    target = float(ndtri(level.cl)) ** 2
    out = []
    for (c1, c2), t in zip((exposure * rates.quadratic[0]).T.tolist(), boron.T, strict=True):

        def excess(x: Array, c1: float = c1, c2: float = c2, t: Array = t) -> Array:
            mean = null + x * (c1 + x * c2)
            flux = np.clip(t[0] + x * (t[1] + x * t[2]), 0.0, mean)
            found: Array = flux_deviances(np.full(x.size, null), mean - flux, 0.0, flux, error)
            found -= target
            return np.where(mean < null, -target, found) if level.sided == "one" else found

        least = np.sqrt(target * (null + (error * t[0]) ** 2))
        out.append(_crossings(excess, c1, c2, float(least)))
    return out


def _crossings(
    excess: Callable[[Array], Array], c1: float, c2: float, least: float
) -> list[Interval]:
    """Return where ``excess`` is positive; it is not while the change is well below ``least``."""
    starts = quadratic(c1, c2, 0.3 * least) + quadratic(c1, c2, -0.3 * least)
    if not starts:
        return []
    low = 0.5 * min(starts)
    points = np.geomspace(low, low * _FAR, int(_STEPS * np.log10(_FAR)) + 1)
    if c1 * c2 < 0.0:  # the count turns, and comes back to the null
        points = np.append(points, [-0.5 * c1 / c2, -c1 / c2])
    points = np.unique(points)
    values = excess(points)
    roots = [
        float(brentq(lambda x: float(excess(np.array([x]))[0]), points[i], points[i + 1]))
        for i in np.flatnonzero(np.sign(values[1:]) != np.sign(values[:-1]))
    ]
    return between(roots, lambda x: bool(excess(np.array([x]))[0] > 0.0))


def least_squares(rates: Rates, exposure: float, level: Level) -> list[list[Interval]]:
    """Return where the chi-square of bins passes that has a pull on the 8B flux (P21 eq. 34).

    Its numerator is a polynomial of degree eight in x.
    """
    assert rates.boron is not None  # noqa: S101 - asked for with the flux error
    error = float(level.flux_error or 0.0)
    every = chisquare.pulled_least_squares(
        rates.coefficients[0], rates.background[0], rates.boron[0]
    )
    out: list[list[Interval]] = []
    for one in every.T:
        change, pairs, flux = one[:3], one[3:10], one[10:].copy()
        k = 1.0 / (exposure * error**2)
        flux[0] += k
        target = level.delta_chi2 / exposure
        if change[0] <= 0.0 and change[2] <= 0.0:  # the experiment is blind to the mediator
            out.append([])
            continue
        polynomial = np.concatenate([np.zeros(2), pairs])
        polynomial[2:5] += k * change
        polynomial[:5] -= target * flux
        out.append(positive(polynomial, change[0], change[2], target))
    return out


def counts(experiment: Experiment, rates: Rates, _: float, level: Level) -> list[list[Interval]]:
    """Return where a measured count excludes, above the minimum of its deviance at each mass.

    The deviance depends on the coupling through the expected neutrinos alone, and rises with their
    distance from what was observed: two bounds on a quadratic.
    """
    measured = experiment.spec.measurement
    assert isinstance(measured, CountMeasurement)  # noqa: S101 - validated with the test
    exposure = experiment.spec.exposure_tonne_year
    fraction = measured.fraction(level.flux_error)
    expected = exposure * float(rates.coefficients[0, :, 0, 0].sum())
    missing = measured.observed - measured.background_counts - expected
    quadratics = exposure * rates.quadratic[0]
    least = chisquare.rate_minimum(quadratics[0], quadratics[1], missing)
    out = []
    for (c1, c2), distance in zip(quadratics.T.tolist(), least, strict=True):
        nearest = max(expected + missing + float(distance), 0.0)
        bounds = _neutrino_bounds(measured, fraction, nearest, level.delta_chi2)
        below, above = bounds[0] - expected, bounds[1] - expected
        roots = [
            r for bound in (below, above) if np.isfinite(bound) for r in quadratic(c1, c2, bound)
        ]
        out.append(between(roots, outside(c1, c2, below, above)))
    return out


def _neutrino_bounds(
    measured: CountMeasurement, fraction: float, nearest: float, rise: float
) -> tuple[float, float]:
    """Return the expected neutrinos below and above which the deviance has risen enough.

    Without bound (-inf, inf) where an uncertain flux can explain any count.
    """

    def statistic(neutrinos: float) -> float:
        variance = measured.background_error_counts**2
        background = measured.background_counts
        return flux_deviance(float(measured.observed), background, variance, neutrinos, fraction)

    target = statistic(nearest) + rise
    best = max(measured.observed - measured.background_counts, 0.0)
    below, above = -np.inf, np.inf
    if statistic(0.0) > target and best > 0.0:
        below = float(brentq(lambda v: statistic(v) - target, 0.0, best, xtol=1e-12))
    # ever more neutrinos are explained by an ever smaller flux, at the price of its pull
    lost = 0.0 if best > 0.0 else statistic(0.0)
    if fraction**2 * (target - lost) < 1.0:
        high = max(nearest, best, 1.0)
        while statistic(high) < target:
            high *= 2.0
        above = float(brentq(lambda v: statistic(v) - target, max(nearest, best), high, xtol=1e-12))
    return below, above
