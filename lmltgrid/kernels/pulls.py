"""Counts whose expectation is uncertain: a Poisson bin with linear pulls, in closed form.

A pull moves the expected count by its own standard deviation; however many there are, and here they
are the flux of 8B neutrinos and the background, only the variance V of the sum enters. For n events
and the expectation B the profiled expectation

    mu = ((B - V) + sqrt((B - V)^2 + 4 V n)) / 2

minimizes 2 (mu - n + n log(n / mu)) + (mu - B)^2 / V. What is left is the deviance, a chi-square of
one degree of freedom (Cowan, Cranmer, Gross and Vitells 2011); for V = 0 it is Wilks' approximation
to the Poisson tails of `poisson`. A flux cannot be negative: where the minimum asks for that, the
flux is zero, at the price of its pull, and the background is profiled alone.
"""

from __future__ import annotations

from math import exp, inf, log, log1p, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from lmltgrid.kernels.chisquare import rate_minimum
from lmltgrid.kernels.jit import kernel

Array = NDArray[np.float64]


@kernel
def profiled_mean(observed: float, expected: float, variance: float) -> float:
    """Return the expectation that explains a count best; arguments as those of `deviance`."""
    if variance <= 0.0:
        return expected
    root = sqrt((expected - variance) ** 2 + 4.0 * variance * observed)
    # the form of the positive root that does not cancel
    if expected >= variance:
        return 0.5 * (expected - variance + root)
    return 2.0 * variance * observed / (root + variance - expected)


@kernel
def deviance(observed: float, expected: float, variance: float) -> float:
    """Return the profiled deviance of a count; zero where it is what was expected.

    Parameters
    ----------
    observed, expected
        Counts, non-negative.
    variance
        Of the expectation, non-negative.
    """
    mean = profiled_mean(observed, expected, variance)
    pull = (mean - expected) ** 2 / variance if variance > 0.0 else 0.0
    if observed <= 0.0:
        return 2.0 * mean + pull
    if mean <= 0.0:
        return inf
    # n log(n/mu) = -n log1p((mu - n)/n) keeps its digits where the two are close
    off = (mean - observed) / observed
    return max(2.0 * observed * (off - log1p(off)), 0.0) + pull


@kernel
def flux_deviance(
    observed: float, background: float, variance: float, neutrinos: float, fraction: float
) -> float:
    """Return the deviance profiled over the flux of neutrinos and the background.

    It rises with the distance of what is expected from what was observed, on either side.

    Parameters
    ----------
    observed
        Events.
    background, variance
        Expected counts of all but those neutrinos, and the variance of that.
    neutrinos, fraction
        Their expected counts, non-negative, and the fractional error of their flux.
    """
    if neutrinos > 0.0 and observed < background + neutrinos:
        # the slope at no flux: does the count want still less than that?
        mean = profiled_mean(observed, background, variance)
        if mean > 0.0 or observed <= 0.0:
            missing = 1.0 if observed <= 0.0 else 1.0 - observed / mean
            if neutrinos * fraction**2 * missing > 1.0:
                return 1.0 / fraction**2 + deviance(observed, background, variance)
    spread = (fraction * neutrinos) ** 2
    return deviance(observed, background + neutrinos, variance + spread)


@kernel
def flux_deviances(
    observed: Array, background: Array, variance: float, neutrinos: Array, fraction: float
) -> Array:
    """Return several deviances, each as by `flux_deviance`; arrays of shape (n,)."""
    out = np.empty(observed.size)
    for i in range(observed.size):
        out[i] = flux_deviance(observed[i], background[i], variance, neutrinos[i], fraction)
    return out


@kernel
def significance(
    count: Array,
    null: float,
    flux: Array,
    fraction: float,
    exposure: Array,
    exclusion: bool,
    two_sided: bool,
    out: Array,
) -> None:
    """Write the significance of each point at each exposure.

    Parameters
    ----------
    count : shape (point,)
        Expected counts at unit exposure with the mediator.
    null
        Without it.
    flux : shape (point,)
        Those of the neutrinos whose flux is uncertain, in what is tested: in ``count`` for an
        exclusion, in ``null`` for a discovery.
    fraction
        Fractional error of that flux.
    exposure : shape (exposure,)
    exclusion
        Whether the mediator is tested with the null as data, rather than the other way round.
    two_sided
        Whether a deficit counts; if not, its significance is negative.
    out : shape (exposure, point)
    """
    for j in range(exposure.size):
        t = exposure[j]
        for i in range(count.size):
            observed, expected = (null, count[i]) if exclusion else (count[i], null)
            part = min(flux[i], expected)
            rest = t * (expected - part)
            z = sqrt(flux_deviance(t * observed, rest, 0.0, t * part, fraction))
            out[j, i] = -z if count[i] < null and not two_sided else z


def measured_sigma(
    coefficients: Array,
    x: Array,
    observed: float,
    background: float,
    error: float,
    fraction: float,
) -> Array:
    """Return the significance against a measured count, shape (mass, coupling).

    The root of the deviance above its minimum at each mass.

    Parameters
    ----------
    coefficients : shape (3, mass)
        Expected neutrinos in powers of x, counts in the exposure of the measurement.
    x : shape (coupling,)
    observed, background, error
        Events, expected background and its standard deviation.
    fraction
        Fractional error of the neutrino flux.
    """
    c0, c1, c2 = coefficients[:, :, None]
    missing = observed - background - coefficients[0, 0]
    distance = rate_minimum(coefficients[1], coefficients[2], float(missing))

    def statistic(neutrinos: Array) -> Array:
        seen = np.maximum(neutrinos, 0.0).ravel()
        same = np.ones(seen.size)
        found = flux_deviances(observed * same, background * same, error**2, seen, fraction)
        return np.asarray(found.reshape(neutrinos.shape))

    least = statistic(observed - background + distance)[:, None]
    return np.sqrt(np.maximum(statistic(c0 + x * (c1 + x * c2)) - least, 0.0))


def required_exposure(
    n1: float, b1: float, flux: float, fraction: float, z: float = 5.0, two_sided: bool = False
) -> float | None:
    """Return the exposure at which a discovery with an uncertain null reaches z, if any does.

    The deviance rises with the exposure, but only to ((n1 - b1)/(fraction flux))^2 where another
    flux explains the signal: less than z times the error is then never discovered by counting.

    Parameters
    ----------
    n1, b1
        Expected counts per unit exposure with and without new physics.
    flux
        The part of ``b1`` whose flux is uncertain.
    fraction
        Fractional error of that flux, positive.
    z
        Significance, positive.
    two_sided
        Whether a deficit counts.
    """
    explained = abs(n1 - b1) <= z * fraction * flux and n1 >= b1 - flux
    if n1 == b1 or explained or (n1 < b1 and not two_sided):
        return None
    rest = b1 - flux

    def excess(log_exposure: float) -> float:
        t = exp(log_exposure)
        return sqrt(flux_deviance(t * n1, t * rest, 0.0, t * flux, fraction)) - z

    low = high = log(z**2 / max(n1, b1))
    while excess(low) > 0.0:
        low -= 2.0
    while excess(high) < 0.0:
        high += 2.0
    return exp(brentq(excess, low, high, xtol=1e-13, rtol=1e-14))
