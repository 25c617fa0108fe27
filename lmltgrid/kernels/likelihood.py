"""Likelihood of binned counts, minimized over pulls: Poisson bins, Gaussian bins, or both.

With pulls theta of unit Gaussian error the expectation of bin b is linear in all of them,

    mu_b = N_b (1 + sum_k theta_k a_kb) + B_b + sum_k theta_k c_kb >= 0,

and the chi-square is, summed over bins and pulls (AC22 eqs. 2.6 and 2.7, B22 eq. 4.1),

    2 (mu - n + n log(n / mu))  or  (mu - n)^2 / variance,  plus theta^2.

It is convex: `lmltgrid.kernels.newton` finds its one minimum. That is good to 1e-9, or, where many
counts are expected without pulls, to 1e-14 of them, and 1e-13 for each bin held at mu = 0. What
does not converge, or is not finite, is NaN: nothing here raises for the values of an array.
"""

from __future__ import annotations

from math import nan

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels.jit import kernel
from lmltgrid.kernels.newton import profile_point, workspace

Array = NDArray[np.float64]


@kernel
def _linear(variance: Array) -> bool:
    """Say whether every bin is Gaussian: the Hessian is then the same everywhere."""
    every = True
    for b in range(variance.size):
        every = every and variance[b] > 0.0
    return every


@kernel
def _profile(
    signal: Array,
    observed: Array,
    background: Array,
    a: Array,
    c: Array,
    variance: Array,
    theta: Array,
) -> tuple[float, int]:
    fit = workspace(observed, variance, theta.size)
    return profile_point(fit, signal, background, a, c, theta, _linear(variance))


@kernel
def _plane(
    coefficients: Array,
    x: Array,
    observed: Array,
    background: Array,
    a: Array,
    c: Array,
    variance: Array,
    out: Array,
) -> None:
    """Fill ``out`` (mass, coupling); coefficients have shape (mass, order, bin)."""
    fit = workspace(observed, variance, a.shape[0])
    linear = _linear(variance)
    theta, signal = np.zeros(a.shape[0]), np.zeros(observed.size)
    for i in range(out.shape[0]):
        c0, c1, c2 = coefficients[i, 0], coefficients[i, 1], coefficients[i, 2]
        for k in range(theta.size):
            theta[k] = 0.0
        for j in range(x.size):
            for b in range(signal.size):
                signal[b] = c0[b] + x[j] * (c1[b] + x[j] * c2[b])
            out[i, j], _ = profile_point(fit, signal, background, a, c, theta, linear)


def _bins(size: int, pulls: int, **arrays: Array) -> list[Array]:
    """Return arrays as the kernels take them, once their shapes are checked."""
    for name, array in arrays.items():
        shape = (pulls, size) if name.startswith("pull") else (size,)
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}; with these bins it is {shape}")
    return [np.ascontiguousarray(array, dtype=np.float64) for array in arrays.values()]


def profile(
    signal: Array,
    observed: Array,
    background: Array,
    pull_signal: Array,
    pull_background: Array,
    variance: Array,
    theta: Array,
) -> tuple[float, int]:
    """Return the chi-square minimized over the pulls, and the Newton steps that it took.

    Parameters
    ----------
    signal, background : shape (bin,)
        Expected counts of what is searched for, and of all else.
    observed : shape (bin,)
        Counts, non-negative and not always whole; of any sign in Gaussian bins.
    pull_signal : shape (pull, bin)
        Fractional change of the signal by a unit of each pull.
    pull_background : shape (pull, bin)
        Change of the expected counts by a unit of each pull.
    variance : shape (bin,)
        Zero: a Poisson bin; positive: a Gaussian bin of this variance, counts squared.
    theta : shape (pull,)
        Where to start, overwritten by the pulls of the minimum.

    Returns
    -------
    tuple of float and int
        NaN and a negative number where it does not converge; theta is then zero.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    given = _bins(
        observed.size,
        theta.size,
        signal=signal,
        observed=observed,
        background=background,
        pull_signal=pull_signal,
        pull_background=pull_background,
        variance=variance,
    )
    return _profile(*[*given, theta])


def nuisances(
    signal: Array,
    observed: Array,
    background: Array,
    pull_signal: Array,
    pull_background: Array,
    variance: Array,
) -> tuple[float, Array]:
    """Return the minimized chi-square and the pulls of the minimum, shape (pull,).

    Parameters are those of `profile`; both are NaN where it does not converge.
    """
    theta = np.zeros(len(pull_signal))
    chi2, steps = profile(
        signal, observed, background, pull_signal, pull_background, variance, theta
    )
    return chi2, theta if steps >= 0 else np.full_like(theta, nan)


def plane(
    coefficients: Array,
    x: Array,
    observed: Array,
    background: Array,
    pull_signal: Array,
    pull_background: Array,
    variance: Array,
) -> Array:
    """Return the minimized chi-square, shape (mass, coupling); NaN where it does not converge.

    Each fit starts from the pulls of the coupling before it.

    Parameters
    ----------
    coefficients : shape (bin, 3, mass)
        Expected counts of the signal in powers of x.
    x : shape (coupling,)
        Best in order, which makes the fits short.
    observed, background, pull_signal, pull_background, variance
        See `profile`.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    size, orders, masses = coefficients.shape
    if orders != 3 or x.ndim != 1:
        raise ValueError(
            f"coefficients have shape {coefficients.shape} and x {x.shape}; "
            "give (bin, 3, mass) and (coupling,)"
        )
    given = _bins(
        size,
        len(pull_signal),
        observed=observed,
        background=background,
        pull_signal=pull_signal,
        pull_background=pull_background,
        variance=variance,
    )
    out = np.empty((masses, x.size))
    arrays = (coefficients.T, x, *given, out)
    _plane(*map(np.ascontiguousarray, arrays))
    return out
