"""Pseudo-experiments at one point of the plane, and the likelihood ratio of each.

With the data d of a pseudo-experiment the statistic is

    t = -2 log [ L(d | x) / max L(d | x') ],    x' >= 0,

profiled over the pulls on both sides: the ordering of Feldman and Cousins (1998), eq. (4.1), and of
profile likelihoods. Counts and measured numbers have closed forms. Bins are fitted by
`lmltgrid.kernels.newton` on a *ladder* of couplings, and between its steps by parabolas. Most steps
need no fit: each has the expectation and the pulls that fit the point without fluctuations best,
and the ratio of two such fixed hypotheses is linear in the data. It is the profiled one where all
is linear and Gaussian, and where there are no pulls; elsewhere `MARGIN` makes up for the rest.

Auxiliary measurements, one for each pull, are drawn with the data: from the likelihood itself, with
the pulls that fit the data best at this point ("profile construction", B. Sen, M. Walker and M.
Woodroofe 2009; the NOvA and R. Acero et al. 2022). Where all is linear and Gaussian it makes no
difference at which pulls they are drawn.
"""

from __future__ import annotations

from math import inf, isinf, log, sqrt
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels.jit import kernel
from lmltgrid.kernels.newton import Fit, profile_set, workspace
from lmltgrid.kernels.pulls import deviance
from lmltgrid.kernels.random import (
    INVERTED,
    MOST,
    Stream,
    begin,
    cumulate,
    normal,
    place,
    poisson,
    streams,
)

Array = NDArray[np.float64]

STEP: Final = 2.25  # chi-square from one step of a ladder to the next: 1.5 standard deviations
BETWEEN: Final = 0.75  # by how much a minimum may lie below its nearest step: STEP/4, and more
MARGIN: Final = 4.0  # of the foretold chi-square, within which a step is fitted
_LEAST: Final = 1e-300  # expected counts whose logarithm is taken
_GOLDEN: Final = 0.3819660112501051  # (3 - sqrt 5)/2, of the longer side
_WIDTH: Final = 1e-4  # of the bracket, where a polished coupling ends ...
_FLAT: Final = 1e-7  # ... or where the next parabola promises less of a chi-square
_MOST_TRIALS: Final = 40


class Bins(NamedTuple):
    """Bins whose means, and their changes by the pulls, are polynomials in x on several curves.

    A curve is a mass. ``mean`` has the shape (curve, order, bin), ``change`` (curve, pull, order,
    bin), ``variance`` (bin,) as in `lmltgrid.kernels.likelihood`.
    """

    mean: Array
    change: Array
    variance: Array


class Ladder(NamedTuple):
    """The couplings at which each pseudo-experiment is fitted; all of shape (step,).

    ``low`` and ``high`` enclose the next steps of the same curve; ``own`` is the point itself. The
    chi-square above that of the point is foretold by ``constant``, ``of_data`` (bin, step) and
    ``of_aux`` (pull, step).
    """

    curve: NDArray[np.int64]
    x: Array
    low: Array
    high: Array
    own: int
    constant: Array
    of_data: Array
    of_aux: Array


class Trial(NamedTuple):
    """What one pseudo-experiment is fitted with; arrays are used again for the next."""

    bins: Bins
    fit: Fit
    aux: Array  # (pull,): auxiliary measurements
    theta: Array  # (pull,): pulls less their auxiliary measurements
    linear: bool


@kernel
def counts(point: Any, mean: float, least: float, most: float, out: Array) -> None:
    """Write t of counted events.

    The best mean is the count itself, or the nearest that a coupling reaches.

    Parameters
    ----------
    point : shape (4,)
        Words that name the point, see `lmltgrid.kernels.random`.
    mean
        Expected events at the point.
    least, most
        Between which all means lie that the mediator makes possible.
    out : shape (experiment,)
    """
    stream = streams(point)
    if 0.0 < mean < INVERTED:  # few counts: each has its ratio once
        total, ratio = np.empty(MOST), np.empty(MOST)
        known = cumulate(mean, total)
        for n in range(known + 1):
            ratio[n] = count_ratio(float(n), mean, least, most)
        for i in range(out.size):
            begin(stream, i)
            out[i] = ratio[place(stream, total, known)]
        return
    for i in range(out.size):
        begin(stream, i)
        out[i] = count_ratio(poisson(stream, mean), mean, least, most)


@kernel
def count_ratio(count: float, mean: float, least: float, most: float) -> float:
    """Return t of one count, whole or not; parameters are those of `counts`."""
    best = min(max(count, least), most)
    return max(deviance(count, mean, 0.0) - deviance(count, best, 0.0), 0.0)


@kernel
def numbers(point: Any, mean: float, error: float, least: float, most: float, out: Array) -> None:
    """Write t of a measured number with a Gaussian error; parameters as those of `counts`."""
    stream = streams(point)
    for i in range(out.size):
        begin(stream, i)
        out[i] = number_ratio(mean + error * normal(stream), mean, error, least, most)


@kernel
def number_ratio(number: float, mean: float, error: float, least: float, most: float) -> float:
    """Return t of one number."""
    best = min(max(number, least), most)
    far, near = (number - mean) / error, (number - best) / error
    return max(far * far - near * near, 0.0)


@kernel
def trial(bins: Bins, data: Array, aux: Array) -> Trial:
    """Return the workspace of fits to ``data`` (bin,) and ``aux`` (pull,), which it refers to."""
    linear = True
    for b in range(data.size):
        linear = linear and bins.variance[b] > 0.0
    fit = workspace(data, bins.variance, aux.size)
    return Trial(bins, fit, aux, np.zeros(aux.size), linear)


@kernel
def _set(one: Trial, curve: int, x: float) -> None:
    """Set the means and their changes to those of a coupling."""
    mean, change, fit = one.bins.mean, one.bins.change, one.fit
    for b in range(fit.central.size):
        fit.central[b] = mean[curve, 0, b] + x * (mean[curve, 1, b] + x * mean[curve, 2, b])
    for k in range(one.aux.size):
        for b in range(fit.central.size):
            c0, c1, c2 = change[curve, k, 0, b], change[curve, k, 1, b], change[curve, k, 2, b]
            fit.change[k, b] = c0 + x * (c1 + x * c2)
            fit.central[b] += one.aux[k] * fit.change[k, b]


@kernel
def chi2(one: Trial, curve: int, x: float) -> float:
    """Return the chi-square at one coupling, minimized from the pulls of the last fit on."""
    _set(one, curve, x)
    return profile_set(one.fit, one.theta, one.linear)[0]


@kernel
def chi2s(one: Trial, curve: int, x: Array, out: Array) -> None:
    """Write the chi-square at several couplings, best in order."""
    for i in range(x.size):
        out[i] = chi2(one, curve, x[i])


@kernel
def polish(
    one: Trial, curve: int, at: tuple[float, float, float], value: float
) -> tuple[float, float]:
    """Return the least chi-square in a bracket, and where it is.

    By parabolas and golden sections, R. Brent (1973), "Algorithms for minimization without
    derivatives", ch. 5.

    Parameters
    ----------
    at
        Low end, best coupling so far, and high end.
    value
        The chi-square of the second.
    """
    low, best, high = at
    second, third, f2, f3 = best, best, value, value
    step, before = 0.0, 0.0
    width = _WIDTH * (high - low)
    for _ in range(_MOST_TRIALS):
        middle = 0.5 * (low + high)
        if abs(best - middle) <= 2.0 * width - 0.5 * (high - low):
            break
        parabola = False
        if abs(before) > width:
            r, q = (best - second) * (value - f3), (best - third) * (value - f2)
            p = (best - third) * q - (best - second) * r
            q = 2.0 * (q - r)
            p = -p if q > 0.0 else p
            q = abs(q)
            parabola = abs(p) < abs(0.5 * q * before) and q * (low - best) < p < q * (high - best)
        if parabola:
            before, step = step, p / q
            # with f(best + s) = value + h (s^2 - 2 s step) the gain is h step^2
            gap = (second - best) * (second - best) - 2.0 * (second - best) * step
            if gap > 0.0 and (f2 - value) / gap * step * step < _FLAT:
                break
        else:
            before = low - best if best >= middle else high - best
            step = _GOLDEN * before
        u = best + (step if abs(step) >= width else (width if step > 0.0 else -width))
        f = chi2(one, curve, u)
        if f <= value:
            low, high = (best, high) if u >= best else (low, best)
            second, third, f2, f3, best, value = best, second, value, f2, u, f
        else:  # or it is not a number: what lies behind is left out
            low, high = (low, u) if u >= best else (u, high)
            if f <= f2 or second == best:
                second, third, f2, f3 = u, second, f, f2
            elif f <= f3 or third in (best, second):
                third, f3 = u, f
    return value, best


@kernel
def draw(stream: Stream, mean: Array, variance: Array, pulls: Array, one: Trial) -> None:
    """Overwrite data and auxiliary measurements of a trial by those of a pseudo-experiment."""
    for k in range(pulls.size):
        one.aux[k] = pulls[k] + normal(stream)
    for b in range(mean.size):
        v = variance[b]
        if v > 0.0:
            # a bin of infinite variance says nothing
            one.fit.observed[b] = mean[b] if isinf(v) else mean[b] + sqrt(v) * normal(stream)
        else:
            one.fit.observed[b] = poisson(stream, mean[b])


@kernel
def fits(point: Any, bins: Bins, ladder: Ladder, mean: Array, pulls: Array, out: Array) -> None:
    """Write t of binned pseudo-experiments; NaN where the fit at the point does not converge.

    Parameters
    ----------
    point : shape (4,)
        Words that name the point, see `lmltgrid.kernels.random`.
    mean : shape (bin,)
        Expected counts at the point.
    pulls : shape (pull,)
        At which they are drawn.
    out : shape (experiment,)
    """
    stream = streams(point)
    one = trial(bins, np.empty(mean.size), np.empty(pulls.size))
    found = np.empty(ladder.x.size)
    for i in range(out.size):
        begin(stream, i)
        draw(stream, mean, bins.variance, pulls, one)
        out[i] = _ratio(one, ladder, found)


@kernel
def foretell(bins: Bins, ladder: Ladder, mean: Array, pulls: Array) -> None:
    """Write what foretells the chi-square at each step; mean and pulls are those of the point."""
    far = trial(bins, mean.copy(), pulls.copy())
    for i in range(ladder.x.size):
        chi2(far, ladder.curve[i], ladder.x[i])
        ladder.constant[i] = 0.0
        for k in range(pulls.size):
            at = pulls[k] + far.theta[k]
            ladder.constant[i] += at * at - pulls[k] * pulls[k]
            ladder.of_aux[k, i] = -2.0 * far.theta[k]
        for b in range(mean.size):
            mu, v = far.fit.central[b], bins.variance[b]
            for k in range(pulls.size):
                mu += far.theta[k] * far.fit.change[k, b]
            if v > 0.0:
                ladder.constant[i] += (mu * mu - mean[b] * mean[b]) / v
                ladder.of_data[b, i] = -2.0 * (mu - mean[b]) / v
            else:
                ladder.constant[i] += 2.0 * (mu - mean[b])
                ratio = max(mu, _LEAST) / max(mean[b], _LEAST)
                # nothing is ever drawn where nothing is expected
                ladder.of_data[b, i] = -2.0 * log(ratio) if mean[b] > 0.0 else 0.0


@kernel
def _foretold(one: Trial, ladder: Ladder, out: Array) -> float:
    """Write the foretold chi-square of each step; return up to which a step is fitted."""
    for i in range(out.size):
        out[i] = ladder.constant[i]
    # steps innermost: their sums are independent of each other, and go in vectors
    for k in range(one.aux.size):
        row, by = ladder.of_aux[k], one.aux[k]
        for i in range(out.size):
            out[i] += by * row[i]
    for b in range(one.fit.observed.size):
        row, by = ladder.of_data[b], one.fit.observed[b]
        for i in range(out.size):
            out[i] += by * row[i]
    least = inf
    for i in range(out.size):
        least = out[i] if out[i] < least else least
    return least + MARGIN


@kernel
def _ratio(one: Trial, ladder: Ladder, found: Array) -> float:
    """Return t of the data and the auxiliary measurements of a trial.

    Every local minimum that could be the least one between the steps is polished.
    """
    for k in range(one.theta.size):
        one.theta[k] = 0.0
    least, limit = inf, _foretold(one, ladder, found)
    for i in range(found.size):
        if i != ladder.own and not found[i] <= limit:
            found[i] = inf
            continue
        found[i] = chi2(one, ladder.curve[i], ladder.x[i])
        if found[i] < least:
            least = found[i]
    limit = least + BETWEEN
    for i in range(found.size):
        if found[i] < limit and _turns(ladder, found, i) and ladder.low[i] < ladder.high[i]:
            at = (ladder.low[i], ladder.x[i], ladder.high[i])
            least = min(least, polish(one, ladder.curve[i], at, found[i])[0])
    return max(float(found[ladder.own]) - least, 0.0)


@kernel
def _turns(ladder: Ladder, found: Array, i: int) -> bool:
    """Say whether no neighbor of a step on its curve is lower."""
    curve, last = ladder.curve[i], found.size - 1
    if i > 0 and ladder.curve[i - 1] == curve and found[i - 1] < found[i]:
        return False
    return not (i < last and ladder.curve[i + 1] == curve and found[i + 1] < found[i])


@kernel
def distances(one: Trial, curve: int, x: Array, out: Array) -> None:
    """Write the chi-square of each coupling if the one before it were the data, shape (n - 1,)."""
    for i in range(x.size - 1):
        out[i] = distance(one, curve, x[i], x[i + 1])


@kernel
def distance(one: Trial, curve: int, first: float, second: float) -> float:
    """Return the chi-square of one coupling if another were the data, without fluctuations."""
    _set(one, curve, first)
    for b in range(one.fit.observed.size):
        one.fit.observed[b] = max(one.fit.central[b], 0.0)
    return chi2(one, curve, second)


@kernel
def spaced(one: Trial, curve: int, x: Array, must: Any, keep: Any) -> None:
    """Mark the couplings that are `STEP` apart, and those that must stay.

    Parameters
    ----------
    x, must, keep : shape (n,)
        ``keep`` is overwritten; the ends are kept.
    """
    last = 0
    for i in range(x.size):
        keep[i] = i == 0 or i == x.size - 1 or must[i]
        if not keep[i] and distance(one, curve, x[last], x[i + 1]) > STEP:
            keep[i] = True
        if keep[i]:
            last = i
