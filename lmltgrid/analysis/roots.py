"""From a test at one mass to the intervals of x = g^2 on which it is passed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

Array = NDArray[np.float64]
Interval = tuple[float, float]

_FAR: Final = 1e6  # in units of x, how far roots are looked for
_SHOWS: Final = 1e-18  # of the largest power at the far end
_REAL: Final = 1e-4  # imaginary part that a root may have before it is polished


def quadratic(c1: float, c2: float, level: float) -> list[float]:
    """Return the positive roots of x (c1 + x c2) = level."""
    if c2 == 0.0:
        return [level / c1] if c1 and level / c1 > 0.0 else []
    discriminant = c1 * c1 + 4.0 * c2 * level
    if discriminant <= 0.0:
        return []
    # the form of the roots that does not cancel
    half = -0.5 * (c1 + np.copysign(np.sqrt(discriminant), c1))
    return [float(root) for root in (half / c2, -level / half) if root > 0.0]


def outside(c1: float, c2: float, below: float, above: float) -> Callable[[float], bool]:
    """Return whether the change x (c1 + x c2) lies below or above what is allowed."""

    def passed(x: float) -> bool:
        change = x * (c1 + x * c2)
        return change > above or change < below

    return passed


def between(roots: list[float], passed: Callable[[float], bool]) -> list[Interval]:
    """Return the intervals of x on which a test is passed, given where it may change."""
    edges = [0.0, *sorted(roots), np.inf]
    out: list[Interval] = []
    for low, high in pairwise(edges):
        if low == 0.0:
            middle = 0.5 * high if np.isfinite(high) else 1.0
        else:
            middle = np.sqrt(low * high) if np.isfinite(high) else 2.0 * low
        if not passed(float(middle)):
            continue
        if out and out[-1][1] == low:
            out[-1] = (out[-1][0], high)
        else:
            out.append((low, high))
    return out


def positive(polynomial: Array, square: float, fourth: float, level: float) -> list[Interval]:
    """Return the intervals of x on which a polynomial is positive.

    It is counted in units of the x at which the highest power alone would reach a level: the roots
    are of order one there.

    Parameters
    ----------
    polynomial : shape (power,)
        Coefficients of 1, x, x^2, ...
    square, fourth
        Coefficients of x^2 and, unless zero, x^4, that reach the level.
    """
    unit = (level / fourth) ** 0.25 if fourth > 0.0 else (level / square) ** 0.5
    scaled = Polynomial(polynomial * unit ** np.arange(polynomial.size))
    roots = (_polished(scaled) * unit).tolist()
    return between(roots, lambda x: bool(scaled(x / unit) > 0.0))


def _polished(polynomial: Polynomial) -> Array:
    """Return the positive roots below `_FAR`, to the digits that the polynomial has there.

    A pair that all but meets the real axis is among them: it does no harm, see `between`.
    """
    # what does not show at the far end is rounding, and would spoil all roots
    there = np.abs(polynomial.coef) * _FAR ** np.arange(polynomial.coef.size)
    degree = int(np.flatnonzero(there > _SHOWS * there.max())[-1])
    found = polynomial.cutdeg(degree).roots()
    near = (np.abs(found.imag) <= _REAL * np.abs(found)) & (found.real > 0.0) & (found.real < _FAR)
    real: Array = found[near].real.copy()
    slope = polynomial.deriv()
    for _ in range(4):
        value, rise = polynomial(real), slope(real)
        moved = real - np.divide(value, rise, out=np.zeros_like(value), where=rise != 0.0)
        better = (moved > 0.0) & (moved < _FAR)
        better[better] = np.abs(polynomial(moved[better])) < np.abs(value[better])
        real[better] = moved[better]
    return real
