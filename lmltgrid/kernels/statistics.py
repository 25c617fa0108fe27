"""Poisson significances on planes of counts, the exposures that reach them, and count limits.

Counts grow with exposure, their ratio does not. So the expensive part of the expansion of
`lmltgrid.kernels.poisson` (eta and e1 ... e5) is computed once for each point of a plane, and
each exposure costs a polynomial of degree five, which compilers vectorize.

Accuracy against 40-digit arithmetic, for counts from 1e-12 to 1e12, ratios from 1e-100 to 1e12
and abs Z up to 1e6: 1.3e-7 in Z for an excess, 3.2e-7 for a deficit (largest at counts of 5, where
the expansion takes over from the exact route, and falling as count^-5.5); rounding adds 1e-15 Z in
float64 and 6e-8 Z in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, isfinite, log, log1p, sqrt
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from lmltgrid.errors import SpecificationError
from lmltgrid.kernels.jit import kernel
from lmltgrid.kernels.normal import normal_quantile_of_log_p
from lmltgrid.kernels.poisson import (
    EXPANSION_MIN,
    temme_coefficients,
    temme_eta,
    temme_quantile,
    z_at_least,
    z_at_most,
    z_either,
)

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[Any]
Test = Literal["discovery", "exclusion"]
Sided = Literal["one", "two"]

AT_LEAST: Final = 0
AT_MOST: Final = 1
EITHER: Final = 2

# the count from which five terms are right to 3.2e-7; a deficit is asked for where the count is far
# above the mean only by one-sided tests, and needs more (the error is then 1.2e-8 at Z = -150)
_COUNT_MIN: Final = 5.0
_COUNT_MIN_FAR: Final = 25.0
_FAR_ETA: Final = -1.5
# below this its fifth power overflows; such a count, with whatever exposure, takes the exact route
_COUNT_1_MIN: Final = 1e-60
_BLOCK: Final = 256  # points whose coefficients stay in the first-level cache


@kernel
def _fill_point(count: float, mean: float, tail: int, g: Array) -> float:
    """Write g with Z = sqrt(T) (g0 + g1 / T + ... + g5 / T^5); return the smallest T count for it.

    Counts are those at unit exposure, whatever the other exposures are, so that any division of a
    scan into chunks gives the same bytes.
    """
    if mean <= 0.0:
        g[:] = 0.0
        g[0] = -inf if tail == AT_MOST else inf
        return _COUNT_MIN
    eta = temme_eta(count, mean)
    shift = 1 if tail == AT_MOST or (tail == EITHER and eta > 0.0) else 0
    e = temme_coefficients(count, mean, eta, shift)
    r = 1.0 / count
    scale = sqrt(count) if shift == 1 else -sqrt(count)
    g[0] = scale * eta
    for k in range(5):
        scale *= r
        g[k + 1] = scale * e[k]
    return _COUNT_MIN_FAR if shift == 1 and eta < _FAR_ETA else _COUNT_MIN


@kernel
def _fill_row(g: Array, exposure: float, floor: float, row: Floats) -> None:
    """Write Z at one exposure; no branch here, so that it vectorizes."""
    r = 1.0 / exposure
    root = sqrt(exposure)
    for j in range(row.size):
        z = g[4, j] + r * g[5, j]
        z = g[2, j] + r * (g[3, j] + r * z)
        row[j] = max(root * (g[0, j] + r * (g[1, j] + r * z)), floor)


@kernel
def _fill_small(
    count: float, mean: float, exposure: Array, tail: int, below: float, column: Floats
) -> None:
    """Write Z at the exposures where the count is too small for the expansion."""
    for t in range(exposure.size):
        a = exposure[t] * count
        if a >= below:
            break
        x = exposure[t] * mean
        if tail == AT_LEAST:
            column[t] = z_at_least(a, x)
        elif tail == AT_MOST:
            column[t] = z_at_most(a, x)
        else:
            column[t] = z_either(a, x)


@kernel
def _fill_plane(count: Array, mean: Array, exposure: Array, tail: int, out: Floats) -> None:
    """Write the significances of one kind; shapes as in ``discovery``."""
    if exposure.size == 0:
        return
    longest = exposure[-1]
    floor = 0.0 if tail == EITHER else -inf
    g = np.empty((6, _BLOCK))
    below = np.empty(_BLOCK)
    for low in range(0, count.size, _BLOCK):
        high = min(low + _BLOCK, count.size)
        most = 0.0
        for j in range(low, high):
            if longest * count[j] < _COUNT_MIN or count[j] < _COUNT_1_MIN:
                g[:, j - low] = 0.0
                below[j - low] = inf
            else:
                below[j - low] = _fill_point(count[j], mean[j], tail, g[:, j - low])
                most = max(most, count[j])
        for t in range(exposure.size):
            if exposure[t] * most >= _COUNT_MIN:
                _fill_row(g, exposure[t], floor, out[t, low:high])
        for j in range(low, high):
            _fill_small(count[j], mean[j], exposure, tail, below[j - low], out[:, j])


@kernel
def discovery(n1: Array, b1: Array, exposure: Array, two_sided: bool, out: Floats) -> None:
    """Write the median discovery significance of each point at each exposure (P21, eq. 38).

    With n = exposure n1 and b = exposure b1, Phi(-Z) = P(n, b) = Prob(Poisson(b) >= n) where
    ``two_sided`` is false; Z is then negative where n is below the median, -inf where n = 0 and
    +inf where b = 0 < n. Where ``two_sided`` is true, Z is the larger of this and of the deficit,
    Phi(-Z) = Q(n + 1, b) = Prob(Poisson(b) <= n), and 0 where both are negative.

    Parameters
    ----------
    n1, b1 : shape (points,)
        Expected counts per unit exposure with and without new physics; non-negative, finite.
    exposure : shape (n_exposure,)
        Non-negative, in ascending order.
    out : shape (n_exposure, points), float32 or float64
        Overwritten.
    """
    _fill_plane(n1, b1, exposure, EITHER if two_sided else AT_LEAST, out)


@kernel
def exclusion(n1: Array, b1: Array, exposure: Array, two_sided: bool, out: Floats) -> None:
    """Write the significance at which observing b = exposure b1 excludes n = exposure n1 events.

    Phi(-Z) = Q(b + 1, n) = Prob(Poisson(n) <= b) where ``two_sided`` is false (the 90 % limits of
    P20, Table II, are Z = 1.2816); Z is then -inf where n = 0. Where ``two_sided`` is true, Z is
    the larger of this and of the model that expects too little, Phi(-Z) = P(b, n), and 0 where
    both are negative; it is +inf where n = 0 < b. Parameters as in ``discovery``.
    """
    _fill_plane(b1, n1, exposure, EITHER if two_sided else AT_MOST, out)


def significance(
    n1: npt.ArrayLike,
    b1: npt.ArrayLike,
    exposure: npt.ArrayLike,
    *,
    test: Test,
    sided: Sided,
    dtype: npt.DTypeLike = np.float64,
) -> Floats:
    """Return Poisson significances, shape (n_exposure, *n1.shape).

    Parameters
    ----------
    n1, b1 : any shape; b1 broadcasts to that of n1
        Expected counts per unit exposure with and without new physics; non-negative, finite.
    exposure : shape (n_exposure,)
        Non-negative, in ascending order, in the unit that the counts refer to.
    test, sided
        See the kernels ``discovery`` and ``exclusion``.
    dtype
        Of the result: float32 or float64.

    Raises
    ------
    SpecificationError
        For shapes, values or names outside the above.
    """
    for name, given, allowed in (
        ("test", test, get_args(Test)),
        ("sided", sided, get_args(Sided)),
        ("dtype", np.dtype(dtype).name, ("float32", "float64")),
    ):
        if given not in allowed:
            raise SpecificationError(f"significance: {name} is {given!r}; give one of {allowed}.")
    n, b, t = _checked("n1", n1), _checked("b1", b1), _checked("exposure", exposure)
    if t.ndim != 1 or t.size == 0 or (np.diff(t) < 0.0).any():
        raise SpecificationError(
            f"significance: exposure has shape {t.shape}; give at least one, in ascending order."
        )
    try:
        b = np.broadcast_to(b, n.shape).copy()
    except ValueError:
        raise SpecificationError(
            f"significance: b1 has shape {b.shape}; it must broadcast to that of n1, {n.shape}."
        ) from None
    out = np.empty((t.size, n.size), dtype=dtype)
    plane = discovery if test == "discovery" else exclusion
    plane(n.ravel(), b.ravel(), t, sided == "two", out)
    return out.reshape(t.shape + n.shape)


def _checked(name: str, values: npt.ArrayLike) -> Array:
    """Return a copy as float64, or refuse the first value that is negative, infinite or NaN."""
    # a copy is contiguous and writable: one array type, for which the kernels compile once
    array = np.array(values, dtype=np.float64, order="C")
    wrong = ~(np.isfinite(array) & (array >= 0.0))
    if wrong.any():
        raise SpecificationError(
            f"significance: {name} holds {array[wrong][0]:g}; give finite, non-negative values."
        )
    return array


def _root(excess: Callable[[float], float], start: float, lowest: float = -inf) -> float:
    """Return where ``excess``, increasing, passes zero; ``lowest`` where that is lower still."""
    low = high = start
    step = 0.5
    while excess(low) > 0.0 and low > lowest:
        high = low
        low = max(low - step, lowest)
        step *= 2.0
    if excess(low) > 0.0:
        return lowest
    step = 0.5
    while excess(high) < 0.0:
        low = high
        high += step
        step *= 2.0
    return float(brentq(excess, low, high, xtol=1e-14, rtol=1e-15))


def required_exposure(
    n1: float, b1: float, z: float = 5.0, two_sided: bool = False
) -> float | None:
    """Return the exposure at which the discovery significance reaches z, to 1e-11 relative.

    Parameters
    ----------
    n1, b1
        Expected counts per unit exposure with and without new physics; non-negative, finite.
    z
        Significance, positive.
    two_sided
        Whether a deficit counts.

    Returns
    -------
    float or None
        In the unit that the counts refer to. None where no exposure is enough: n1 = b1, or a
        deficit that does not count. 0.0 where b1 = 0 < n1: the tail of a real count, however
        small, then has probability 0, and 0 is also the limit as b1 goes to 0.

    Raises
    ------
    SpecificationError
        For values outside the above.
    """
    for name, value in (("n1", n1), ("b1", b1), ("z", z)):
        if not (isfinite(value) and value >= 0.0) or (name == "z" and value == 0.0):
            raise SpecificationError(
                f"required_exposure: {name} is {value:g}; give finite counts >= 0 and z > 0."
            )
    if n1 == b1 or (n1 < b1 and not two_sided):
        return None
    if b1 == 0.0:
        return 0.0
    unit = max(n1, b1)
    return exp(_log_scale(n1 / unit, b1 / unit, temme_eta(n1, b1) if n1 > 0.0 else inf, z)) / unit


def _log_scale(count: float, mean: float, eta: float, z: float) -> float:
    """Return log s with Z(s count, s mean) = z, for an excess (eta < 0) or a deficit.

    ``eta`` comes from the counts as they were given: scaled, a ratio close to 1 loses digits.
    """
    shift = 1 if eta > 0.0 else 0
    tail = z_at_most if shift else z_at_least
    rate = 1.0
    e = (0.0, 0.0, 0.0, 0.0, 0.0)
    if count > 0.0:
        rate = 0.5 * count * eta * eta
        e = temme_coefficients(count, mean, eta, shift)

    def excess(log_scale: float) -> float:
        scale = exp(log_scale)
        if scale * count >= EXPANSION_MIN:
            y = temme_quantile(scale * count, eta, e)
            return (y if shift else -y) - z
        return tail(scale * count, scale * mean) - z

    # the start is Wilks' theorem for Asimov counts: z^2 = 2 rate s
    return _root(excess, log(0.5 * z * z / rate))


def upper_mean(b: float, cl: float = 0.9) -> float:
    """Return the mean mu that observing b events excludes at ``cl``: Q(b + 1, mu) = 1 - cl.

    Parameters
    ----------
    b
        Observed or expected count (real), non-negative, finite.
    cl
        Confidence level, between 0 and 1.

    Raises
    ------
    SpecificationError
        For values outside the above.

    Examples
    --------
    >>> round(upper_mean(0.0), 6)
    2.302585
    """
    z = _level("upper_mean", b, cl)
    return exp(_root(lambda log_mu: z_at_most(b, exp(log_mu)) - z, log(b + 1.0)))


def lower_mean(b: float, cl: float = 0.9) -> float | None:
    """Return the mean below which models are excluded at ``cl`` by b events: P(b, mu) = 1 - cl.

    Parameters and errors as in ``upper_mean``. None for b = 0, which excludes nothing from below;
    0.0 where the mean is below 1e-307, as for b = 1e-3 at 90 %.
    """
    z = _level("lower_mean", b, cl)
    if b == 0.0:
        return None
    lowest = log(1e-307)
    log_mu = _root(lambda log_mu: z - z_at_least(b, exp(log_mu)), max(log(b), lowest), lowest)
    return exp(log_mu) if log_mu > lowest else 0.0


def _level(where: str, b: float, cl: float) -> float:
    """Return the one-sided significance of ``cl``, or refuse what is not allowed."""
    if not (isfinite(b) and b >= 0.0):
        raise SpecificationError(f"{where}: the count is {b:g}; give a finite one, >= 0.")
    if not 0.0 < cl < 1.0:
        raise SpecificationError(f"{where}: cl is {cl:g}; give a level between 0 and 1.")
    return -normal_quantile_of_log_p(log1p(-cl))
