"""When a coupling counts as excluded (or discovered): the tests, exact in the coupling.

At fixed mass every statistic here is a polynomial in x = g^2, or is decided by the value of one. So
the couplings at which a test is passed lie between its roots: no grid, no interpolation, and no
branch of a destructive interference is missed. A limit is a set of intervals, not a number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from lmltgrid.analysis import pulled
from lmltgrid.analysis.level import Level, require_test
from lmltgrid.analysis.roots import Interval, between, outside, positive, quadratic
from lmltgrid.analysis.setup import Rates
from lmltgrid.kernels import chisquare, poisson, statistics
from lmltgrid.tables.experiment import Experiment
from lmltgrid.tables.measurement import PulledMeasurement

Array = NDArray[np.float64]
Finder = Callable[[Experiment, Rates, float, Level], list[list[Interval]]]


def intervals(
    experiment: Experiment, rates: Rates, exposure: float, level: Level
) -> list[list[Interval]]:
    """Return the couplings at which a test is passed at each mass, ascending.

    Parameters
    ----------
    experiment
        Its statistic: a count, a least-squares sum over bins, or a measured rate, flux or count.
    rates
        At one threshold.
    exposure
        Tonne year.
    level
        The test.

    Raises
    ------
    SpecificationError
        The experiment has no such test.
    """
    require_test(experiment, level.test, "test")
    every = _FINDERS[experiment.spec.test](experiment, rates, exposure, level)
    return [[(float(np.sqrt(a)), float(np.sqrt(b))) for a, b in one] for one in every]


def _counting(_: Experiment, rates: Rates, exposure: float, level: Level) -> list[list[Interval]]:
    null = float(rates.null[0]) * exposure
    if not level.flux_error:
        below, above = change_bounds(null, level)
    elif level.test == "discovery":
        boron = exposure * float(rates.boron_null[0])
        below, above = pulled.discovery_bounds(null, boron, level)
    else:
        return pulled.counting_exclusion(rates, exposure, level)
    out = []
    for c1, c2 in (exposure * rates.quadratic[0]).T.tolist():
        roots = quadratic(c1, c2, above)
        if np.isfinite(below):
            roots += quadratic(c1, c2, below)
        out.append(between(roots, outside(c1, c2, below, above)))
    return out


def change_bounds(null: float, level: Level) -> tuple[float, float]:
    """Return the changes of the counts below and above which a counting test is passed.

    Parameters
    ----------
    null
        Expected counts without new physics.

    Returns
    -------
    below, above
        -inf where no deficit passes.
    """
    below: float | None
    if level.test == "exclusion":
        above = statistics.upper_mean(null, level.cl)
        below = statistics.lower_mean(null, level.cl)
    else:
        above, below = discovery_counts(null, level.sigmas)
    if level.sided == "one" or below is None:
        return -np.inf, float(above) - null
    return float(below) - null, float(above) - null


def discovery_counts(null: float, sigmas: float) -> tuple[float, float | None]:
    """Return the counts at which the null is rejected by an excess, and by a deficit if ever."""
    far = null + 2.0 * sigmas * np.sqrt(null) + 2.0 * sigmas**2 + 10.0
    above = brentq(lambda n: poisson.z_at_least(n, null) - sigmas, null, far, xtol=1e-12)
    if np.exp(-null) >= ndtr(-sigmas):  # not even zero counts would do
        return float(above), None
    below = brentq(lambda n: poisson.z_at_most(n, null) - sigmas, 0.0, null, xtol=1e-12)
    return float(above), float(below)


def _rate(experiment: Experiment, rates: Rates, _: float, level: Level) -> list[list[Interval]]:
    """Return where the chi-square of a measured rate passes, above its minimum at each mass."""
    measured = experiment.spec.measurement
    assert isinstance(measured, PulledMeasurement)  # noqa: S101 - validated with the test
    background = float(rates.background[0].sum())
    neutrinos = float(rates.null[0]) - background
    boron = 0.0 if rates.boron is None else float(rates.boron_null[0])
    missing, error = measured.pull(neutrinos, background, boron, level.flux_error)
    orders = rates.quadratic[0]
    least = chisquare.rate_minimum(orders[0], orders[1], missing)
    out = []
    for (c1, c2), distance in zip(orders.T.tolist(), least, strict=True):
        half = np.hypot(error * np.sqrt(level.delta_chi2), distance)
        below, above = missing - half, missing + half
        roots = quadratic(c1, c2, above) + quadratic(c1, c2, below)
        out.append(between(roots, outside(c1, c2, below, above)))
    return out


def _least_squares(
    _: Experiment, rates: Rates, exposure: float, level: Level
) -> list[list[Interval]]:
    """Return where the chi-square of LX22 eq. 2.18 passes; its minimum is zero, at x = 0."""
    if level.flux_error:
        return pulled.least_squares(rates, exposure, level)
    out: list[list[Interval]] = []
    abc = chisquare.least_squares(rates.coefficients, rates.background)
    target = level.delta_chi2 / exposure
    for a, b, c in abc[0].T.tolist():
        if a <= 0.0 and c <= 0.0:  # the experiment is blind to the mediator
            out.append([])
            continue
        out.append(positive(np.array([-target, 0.0, a, b, c]), a, c, target))
    return out


_FINDERS: Final[dict[str, Finder]] = {
    "counting": _counting,
    "counts": pulled.counts,
    "flux": _rate,
    "least-squares": _least_squares,
    "rate": _rate,
}
