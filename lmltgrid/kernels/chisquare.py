"""Chi-squares of spectra and of measured rates on a plane of mass and coupling.

Both are polynomials in x = g^2 at fixed mass. The significance is the square root of the increase
above the minimum, which is that of one degree of freedom.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def least_squares(coefficients: Array, background: Array) -> Array:
    """Return a, b, c of chi2 = exposure x^2 (a + b x + c x^2), shape (..., 3, mass).

    LX22 eq. 2.18 with the Standard Model as data: the squared change of each bin over its expected
    count, background included.

    Parameters
    ----------
    coefficients : shape (..., bin, 3, mass)
        Counts per tonne year in powers of x.
    background : shape (..., bin)
        Counts per tonne year.
    """
    expected = coefficients[..., 0, :] + background[..., None]
    # a bin beyond the last recoil, without background, expects nothing and tests nothing
    weight = np.divide(1.0, expected, out=np.zeros_like(expected), where=expected > 0.0)
    c1, c2 = coefficients[..., 1, :], coefficients[..., 2, :]
    terms = (weight * c1 * c1, 2.0 * weight * c1 * c2, weight * c2 * c2)
    return np.stack([term.sum(axis=-2) for term in terms], axis=-2)


def least_squares_sigma(abc: Array, x: Array) -> Array:
    """Return the significance for one tonne year, shape (mass, coupling).

    Parameters
    ----------
    abc : shape (3, mass)
        From `least_squares`.
    x : shape (coupling,)
    """
    a, b, c = abc[:, :, None]
    square = a + x * (b + x * c)
    # a sum of squares, but for rounding
    return np.asarray(x * np.sqrt(np.maximum(square, 0.0)))


def rate_minimum(c1: Array, c2: Array, missing: float) -> Array:
    """Return the least distance of the prediction from a measured rate at each mass.

    Parameters
    ----------
    c1, c2 : shape (mass,)
        The prediction changes by x (c1 + x c2).
    missing
        Measured less predicted rate without the mediator.
    """
    # x (c1 + x c2) reaches from its turning point upward, or is monotone, or does not move
    lowest = np.where((c1 < 0.0) & (c2 <= 0.0), -np.inf, 0.0)
    turns = (c1 < 0.0) & (c2 > 0.0)
    lowest[turns] = -(c1[turns] ** 2) / (4.0 * c2[turns])
    highest = np.where((c2 > 0.0) | ((c2 == 0.0) & (c1 > 0.0)), np.inf, 0.0)
    return np.asarray(np.clip(missing, lowest, highest) - missing)


def rate_sigma(c1: Array, c2: Array, x: Array, missing: float, error: float) -> Array:
    """Return the significance against a measured rate, shape (mass, coupling).

    Parameters
    ----------
    c1, c2, missing
        See `rate_minimum`.
    x : shape (coupling,)
    error
        Of the difference, experimental and theoretical.
    """
    change = x * (c1[:, None] + x * c2[:, None])
    least = rate_minimum(c1, c2, missing)[:, None]
    square = ((change - missing) ** 2 - least**2) / error**2
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))
