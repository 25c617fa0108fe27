"""A damped Newton method for the chi-square of `lmltgrid.kernels.likelihood`.

Half the chi-square is convex, with a Hessian of at least 1 in the unit pulls, so that it has one
minimum. Steps stop short of the zeros of bins with events, and are halved until the chi-square
falls. Near them nothing breaks: below the least count the logarithm goes on as a parabola, so what
cannot be is expensive, not infinite.

No pull makes an expectation negative. Bins without events have no logarithm that sees to it: where
the minimum would, they are given one, which is then lowered until it does not matter, as interior
point methods do.
"""

from __future__ import annotations

from math import inf, isfinite, log, log1p, nan, sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels.jit import kernel

Array = NDArray[np.float64]

# the decrease of the chi-square that a Newton step foretells is taken when it is below this
_TOLERANCE: Final = 1e-10
_ROUNDING: Final = 4e-16  # relative
_MOST_STEPS: Final = 100
_MOST_HALVINGS: Final = 50
_SUFFICIENT: Final = 1e-4  # of the foretold decrease (Armijo)
_REACH: Final = 0.9  # of the way to mu = 0 in one step, for a bin with events
# below either the logarithm is a parabola: expected counts, and expected per observed
_FLOOR: Final = 1e-9
_LEAST: Final = 1e-4
# the last barrier: in counts (fewer are no event), or this many times their rounding
_LAST_BARRIER: Final = 1e-11
_COARSER: Final = 100.0
_LOWER: Final = 1e-2  # each barrier, over that before


class Fit(NamedTuple):
    """One fit; its arrays are used again from point to point. Shapes (bin,) unless given."""

    observed: Array
    variance: Array
    central: Array  # expected counts with all pulls at zero
    change: Array  # (pull, bin): by a unit of each pull
    mean: Array  # expected counts at theta
    shift: Array  # change of the mean by one Newton step
    last: Array  # the mean before that step
    slope: Array  # first and second derivatives of half the chi-square by the mean
    curvature: Array
    weighted: Array
    events: Array  # observed, or the barrier of a bin without
    gradient: Array  # (pull,)
    step: Array  # (pull,): the Newton step
    trial: Array  # (pull,): theta after part of it
    factor: Array  # (pull, pull): the lower Cholesky factor of half the Hessian


@kernel
def workspace(observed: Array, variance: Array, pulls: int) -> Fit:
    """Return the workspace of fits to one set of data."""
    rows = np.zeros((8, observed.size))
    return Fit(
        observed,
        variance,
        rows[0],
        np.zeros((pulls, observed.size)),
        rows[1],
        rows[2],
        rows[3],
        rows[4],
        rows[5],
        rows[6],
        rows[7],
        np.zeros(pulls),
        np.zeros(pulls),
        np.zeros(pulls),
        np.zeros((pulls, pulls)),
    )


@kernel
def _assess(fit: Fit) -> float:
    """Write both derivatives of half the chi-square of each bin; return their sum without pulls."""
    total = 0.0
    for b in range(fit.mean.size):
        mu, n, v = fit.mean[b], fit.events[b], fit.variance[b]
        if v > 0.0:
            slope, curvature = (mu - n) / v, 1.0 / v
            total += 0.5 * slope * (mu - n)
        elif n > 0.0 and v == 0.0:
            floor = min(_FLOOR, _LEAST * n)
            at = floor if mu < floor else mu
            slope, curvature = 1.0 - n / at, n / at / at
            off = (at - n) / n
            # n log(n/mu) = -n log1p((mu - n)/n) keeps its digits where the two are close
            total += n * (off - log1p(off)) if off > -0.5 else at - n + n * log(n / at)
            if mu < floor:
                total += (mu - floor) * (slope + 0.5 * curvature * (mu - floor))
                slope += curvature * (mu - floor)
        elif n == 0.0 and v == 0.0:
            slope, curvature = 1.0, 0.0
            total += mu
        else:
            return nan
        fit.slope[b], fit.curvature[b] = slope, curvature
    return total


@kernel
def _empty(observed: float, variance: float) -> bool:
    """Say whether a bin counts Poisson events, but no more than the last barrier."""
    # of numbers: handing over all arrays of a fit for each bin takes as long as the fit
    return 0.0 <= observed <= _LAST_BARRIER and variance == 0.0


@kernel
def _set_events(fit: Fit, barrier: float) -> None:
    """Write the events that each bin counts: one without them has the barrier."""
    for b in range(fit.events.size):
        fit.events[b] = barrier if _empty(fit.observed[b], fit.variance[b]) else fit.observed[b]


@kernel
def _possible(fit: Fit) -> bool:
    """Say whether no bin without events expects less than nothing."""
    possible = True
    for b in range(fit.mean.size):
        possible = possible and (fit.mean[b] >= 0.0 or not _empty(fit.observed[b], fit.variance[b]))
    return possible


@kernel
def _dot(u: Array, v: Array) -> float:
    total = 0.0
    for i in range(u.size):
        total += u[i] * v[i]
    return total


@kernel
def _factorize(fit: Fit) -> None:
    """Write the Cholesky factor of half the Hessian, 1 + sum_b curvature_b change_b change_b^T."""
    factor, change = fit.factor, fit.change
    for k in range(factor.shape[0]):
        for b in range(fit.mean.size):
            fit.weighted[b] = fit.curvature[b] * change[k, b]
        for j in range(k + 1):
            factor[k, j] = _dot(fit.weighted, change[j])
        factor[k, k] += 1.0
    for k in range(factor.shape[0]):
        for j in range(k + 1):
            total = factor[k, j]
            for i in range(j):
                total -= factor[k, i] * factor[j, i]
            # every pivot of 1 + a positive matrix is at least 1; rounding may say otherwise
            factor[k, j] = sqrt(1.0 if total < 1.0 else total) if j == k else total / factor[j, j]


@kernel
def _newton(fit: Fit, theta: Array) -> float:
    """Write the Newton step; return the decrease of the chi-square that it foretells."""
    decrease = 0.0
    for k in range(theta.size):
        fit.gradient[k] = theta[k] + _dot(fit.slope, fit.change[k])
        total = fit.gradient[k]
        for i in range(k):
            total -= fit.factor[k, i] * fit.step[i]
        fit.step[k] = total / fit.factor[k, k]
        decrease += fit.step[k] ** 2
    for k in range(theta.size - 1, -1, -1):
        total = fit.step[k]
        for i in range(k + 1, theta.size):
            total -= fit.factor[i, k] * fit.step[i]
        fit.step[k] = total / fit.factor[k, k]
    for k in range(theta.size):
        fit.step[k] = -fit.step[k]
    return decrease


@kernel
def _move(start: Array, change: Array, theta: Array, out: Array) -> None:
    """Write start + sum_k theta_k change_k."""
    for b in range(out.size):
        out[b] = start[b]
    for k in range(theta.size):
        for b in range(out.size):
            out[b] += theta[k] * change[k, b]


@kernel
def _longest(fit: Fit) -> float:
    """Return the part of the Newton step that leaves a tenth of every bin with events."""
    longest = 1.0
    for b in range(fit.mean.size):
        mu, by, n = fit.mean[b], fit.shift[b], fit.events[b]
        counts = n > 0.0 and not fit.variance[b] > 0.0 and mu > min(_FLOOR, _LEAST * n)
        if counts and longest * by < -_REACH * mu:
            longest = -_REACH * mu / by
    return longest


@kernel
def _search(
    fit: Fit, theta: Array, value: float, decrease: float, slack: float, path: bool
) -> float:
    """Go along the Newton step until half the chi-square falls; return it, or NaN."""
    for b in range(fit.shift.size):
        fit.last[b] = fit.mean[b]
        fit.shift[b] = 0.0
        for k in range(theta.size):
            fit.shift[b] += fit.step[k] * fit.change[k, b]
    length = _longest(fit)
    for _ in range(_MOST_HALVINGS):
        for k in range(theta.size):
            fit.trial[k] = theta[k] + length * fit.step[k]
        if path:
            # from the mean before: next to zero its own digits count
            for b in range(fit.mean.size):
                fit.mean[b] = fit.last[b] + length * fit.shift[b]
        else:
            # from the pulls: rounding does not add up
            _move(fit.central, fit.change, fit.trial, fit.mean)
        found = 0.5 * _dot(fit.trial, fit.trial) + _assess(fit)
        if found <= value - _SUFFICIENT * length * decrease + slack:
            # a loop: numba takes a second to compile the assignment of a whole array
            for k in range(theta.size):
                theta[k] = fit.trial[k]
            return found
        length *= 0.5
    return nan


@kernel
def _rounding(fit: Fit) -> float:
    """Return the rounding of half the chi-square: that of the counts that it is made of."""
    total = 0.0
    for b in range(fit.central.size):
        mu, v = abs(fit.central[b]), fit.variance[b]
        total += mu * mu / v if v > 0.0 else mu
    return _ROUNDING * total


@kernel
def _descend(
    fit: Fit, theta: Array, linear: bool, tolerance: float, path: bool
) -> tuple[float, int]:
    """Minimize from theta and its mean, with the events as they are; return as `profile` does."""
    value = 0.5 * _dot(theta, theta) + _assess(fit)
    rounding, before = _rounding(fit), inf
    for steps in range(_MOST_STEPS):
        if steps == 0 or not linear:
            _factorize(fit)
        decrease = _newton(fit, theta)
        if not (isfinite(decrease) and isfinite(value)):
            return nan, -1 - steps
        # or it is within rounding, and no longer falls as Newton's method makes it
        if decrease <= tolerance or 0.1 * before < decrease <= rounding:
            return 2.0 * value - decrease, steps
        before = decrease
        slack = rounding + _ROUNDING * abs(value)
        value = _search(fit, theta, value, decrease, slack, path)
    return nan, -_MOST_STEPS


@kernel
def _clear(theta: Array) -> None:
    for k in range(theta.size):
        theta[k] = 0.0


@kernel
def _minimize(fit: Fit, theta: Array, linear: bool) -> tuple[float, int]:
    """Minimize from theta, which is overwritten; return as `profile` does.

    First without a constraint. Where a bin without events then expects less than nothing, again
    from zero with a barrier, as if it had counted a little, that is lowered until it is nothing.
    """
    barrier, steps = 0.0, 0
    last = max(_LAST_BARRIER, _COARSER * _rounding(fit))
    _move(fit.central, fit.change, theta, fit.mean)
    while True:
        _set_events(fit, barrier)
        chi2, more = _descend(fit, theta, linear, max(_TOLERANCE, 0.1 * barrier), barrier > 0.0)
        steps += abs(more)
        if barrier == 0.0:
            if more >= 0 and _possible(fit):
                for k in range(theta.size):
                    theta[k] += fit.step[k]
                # rounding may take it below zero
                return max(chi2, 0.0), steps
            _clear(theta)
            _move(fit.central, fit.change, theta, fit.mean)
            barrier = 1.0
        elif more < 0:
            return nan, -steps
        elif barrier <= last:
            _set_events(fit, 0.0)
            return _dot(theta, theta) + 2.0 * _assess(fit), steps
        else:
            barrier = max(_LOWER * barrier, last)


@kernel
def _warm(fit: Fit, theta: Array) -> bool:
    """Say whether theta is a start: not zero, and all bins with events expect some."""
    _move(fit.central, fit.change, theta, fit.mean)
    for b in range(fit.mean.size):
        if (
            fit.mean[b] <= 0.0
            and fit.variance[b] == 0.0
            and not _empty(fit.observed[b], fit.variance[b])
        ):
            return False
    return _dot(theta, theta) > 0.0


@kernel
def profile_point(
    fit: Fit, signal: Array, background: Array, a: Array, c: Array, theta: Array, linear: bool
) -> tuple[float, int]:
    """Profile one point from theta, and from zero where that is no start or fails."""
    for b in range(signal.size):
        fit.central[b] = signal[b] + background[b]
    for k in range(theta.size):
        for b in range(signal.size):
            fit.change[k, b] = a[k, b] * signal[b] + c[k, b]
    return profile_set(fit, theta, linear)


@kernel
def profile_set(fit: Fit, theta: Array, linear: bool) -> tuple[float, int]:
    """Profile what ``central`` and ``change`` of a fit are set to, as `profile_point` does."""
    warm = _warm(fit, theta)
    while True:
        if not warm:
            _clear(theta)
        chi2, steps = _minimize(fit, theta, linear)
        if steps >= 0:
            return chi2, steps
        _clear(theta)
        if not warm:
            return nan, steps
        warm = False
