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


def pulled_least_squares(coefficients: Array, background: Array, boron: Array) -> Array:
    """Return what the chi-square needs if the flux of 8B is uncertain, shape (..., 15, mass).

    With d the change of a bin, t its 8B counts and w the inverse of its expected count, all for one
    tonne year, the chi-square minimized over one pull of standard deviation s is, at an exposure T,

        T (sum w d^2 - (sum w d t)^2/(sum w t^2 + k)) = T (k D + G)/(C + k),  k = 1/(T s^2)

    (P21 eq. 34), where D = sum w d^2, C = sum w t^2, and G is the sum over pairs of bins of
    w w' (d t' - d' t)^2: without a difference of large numbers where the signal is like the flux.
    The sums are polynomials in x: D is x^2 times the first 3 entries, G x^2 times the next 7, and C
    the last 5.

    Parameters
    ----------
    coefficients, background
        See `least_squares`.
    boron : shape as that of coefficients
        The part of 8B neutrinos.
    """
    expected = coefficients[..., 0, :] + background[..., None]
    weight = np.divide(1.0, expected, out=np.zeros_like(expected), where=expected > 0.0)
    root = np.sqrt(weight)[..., None, :]
    # scaled by the roots of the weights, all sums are those of squares
    d, t = root * coefficients[..., 1:, :], root * boron
    every = [_square(d).sum(axis=-3), np.zeros((*d.shape[:-3], 7, d.shape[-1]))]
    for i in range(1, d.shape[-3]):
        here, there = slice(i, i + 1), slice(0, i)
        pair = _product(d[..., here, :, :], t[..., there, :, :])
        pair = pair - _product(d[..., there, :, :], t[..., here, :, :])
        every[1] += _square(pair).sum(axis=-3)
    every.append(_square(t).sum(axis=-3))
    return np.concatenate(every, axis=-2)


def _product(p: Array, q: Array) -> Array:
    """Return the product of polynomials, shapes (..., order, mass)."""
    n, m = p.shape[-2], q.shape[-2]
    shape = np.broadcast_shapes(p.shape[:-2], q.shape[:-2])
    out = np.zeros((*shape, n + m - 1, p.shape[-1]))
    for i in range(n):
        out[..., i : i + m, :] += p[..., i : i + 1, :] * q
    return out


def _square(p: Array) -> Array:
    return _product(p, p)


def pulled_least_squares_sigma(sums: Array, x: Array, exposure: float, error: float) -> Array:
    """Return the significance at one exposure with a pull on the flux, shape (mass, coupling).

    Parameters
    ----------
    sums : shape (15, mass)
        From `pulled_least_squares`.
    x : shape (coupling,)
    exposure
        Tonne year.
    error
        Fractional error of the flux, positive.
    """
    change, pairs, flux = (_at(part, x) for part in (sums[:3], sums[3:10], sums[10:]))
    k = 1.0 / (exposure * error**2)
    # both are sums of squares, but for rounding
    square = np.maximum(k * change + pairs, 0.0) / (flux + k)
    return np.asarray(x * np.sqrt(exposure * square))


def _at(polynomials: Array, x: Array) -> Array:
    """Return polynomials of shape (order, mass) at each x, shape (mass, coupling)."""
    out = np.zeros((polynomials.shape[-1], x.size))
    for row in polynomials[::-1]:
        out = out * x + row[:, None]
    return out


def reach(c1: Array, c2: Array) -> tuple[Array, Array]:
    """Return the least and the largest x (c1 + x c2) of all x >= 0 at each mass.

    Parameters
    ----------
    c1, c2 : shape (mass,)
    """
    # it reaches from its turning point upward, or is monotone, or does not move
    lowest = np.where((c1 < 0.0) & (c2 <= 0.0), -np.inf, 0.0)
    turns = (c1 < 0.0) & (c2 > 0.0)
    lowest[turns] = -(c1[turns] ** 2) / (4.0 * c2[turns])
    highest = np.where((c2 > 0.0) | ((c2 == 0.0) & (c1 > 0.0)), np.inf, 0.0)
    return lowest, highest


def rate_minimum(c1: Array, c2: Array, missing: float) -> Array:
    """Return the least distance of the prediction from a measured rate at each mass.

    Parameters
    ----------
    c1, c2 : shape (mass,)
        The prediction changes by x (c1 + x c2).
    missing
        Measured less predicted rate without the mediator.
    """
    return np.asarray(np.clip(missing, *reach(c1, c2)) - missing)


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
