"""The normal distribution at any depth: log Phi and its inverse from the logarithm of p.

A probability of 1e-3000 cannot be stored, but its logarithm can; a significance is then the
quantile of a logarithm, and nothing overflows or underflows at 1e4 sigma.
"""

from __future__ import annotations

from math import erfc, exp, expm1, inf, isnan, log, log1p, pi, sqrt
from typing import Final

from lmltgrid.kernels.jit import kernel

_SQRT_HALF: Final = sqrt(0.5)
_LOG_2PI: Final = log(2.0 * pi)
_LOG_HALF: Final = log(0.5)
# erfc(z / sqrt 2) is a normal number below 37; eight terms of Mills' series reach 1e-17 above 30
_ERFC_LIMIT: Final = 30.0
# the rational approximations hold for r = sqrt(-log p) up to here (z = 38)
_RATIONAL_LIMIT: Final = 27.0


@kernel
def log_one_minus_exp(log_x: float) -> float:
    """Return log(1 - x) from log x <= 0, without losing digits at either end."""
    if log_x >= 0.0:
        return -inf
    if log_x > _LOG_HALF:
        return log(-expm1(log_x))
    return log1p(-exp(log_x))


@kernel
def _log_mills(z: float) -> float:
    """Return log(z Phi(-z) / phi(z)) for z >= 30, Abramowitz & Stegun (1964), eq. (26.2.12)."""
    w = 1.0 / (z * z)
    tail = 1.0
    for k in range(8, 0, -1):
        tail = 1.0 - (2 * k - 1) * w * tail
    return log(tail)


@kernel
def log_normal_cdf(y: float) -> float:
    """Return log Phi(y), to 1e-15 relative (absolute, where Phi(y) is near 1/2).

    Examples
    --------
    >>> round(log_normal_cdf(-1e4), 6)
    -50000010.129279
    """
    if y > 0.0:
        return log1p(-0.5 * erfc(y * _SQRT_HALF))
    if y > -_ERFC_LIMIT:
        return log(0.5 * erfc(-y * _SQRT_HALF))
    if y == -inf:
        return -inf
    return -0.5 * (y * y + _LOG_2PI) - log(-y) + _log_mills(-y)


@kernel
def _middle_quantile(q: float) -> float:
    """Return the quantile of 1/2 + q for abs(q) <= 0.425; Wichura (1988), AS 241, PPND16."""
    r = 0.180625 - q * q
    top = 2.5090809287301226727e3 * r + 3.3430575583588128105e4
    top = (top * r + 6.7265770927008700853e4) * r + 4.5921953931549871457e4
    top = (top * r + 1.3731693765509461125e4) * r + 1.9715909503065514427e3
    top = (top * r + 1.3314166789178437745e2) * r + 3.3871328727963666080e0
    bottom = 5.2264952788528545610e3 * r + 2.8729085735721942674e4
    bottom = (bottom * r + 3.9307895800092710610e4) * r + 2.1213794301586595867e4
    bottom = (bottom * r + 5.3941960214247511077e3) * r + 6.8718700749205790830e2
    bottom = (bottom * r + 4.2313330701600911252e1) * r + 1.0
    return q * top / bottom


@kernel
def _near_tail(r: float) -> float:
    """Return z with Phi(-z) = exp(-r^2) for r <= 5; Wichura (1988), AS 241, PPND16."""
    r -= 1.6
    top = 7.74545014278341407640e-4 * r + 2.27238449892691845833e-2
    top = (top * r + 2.41780725177450611770e-1) * r + 1.27045825245236838258e0
    top = (top * r + 3.64784832476320460504e0) * r + 5.76949722146069140550e0
    top = (top * r + 4.63033784615654529590e0) * r + 1.42343711074968357734e0
    bottom = 1.05075007164441684324e-9 * r + 5.47593808499534494600e-4
    bottom = (bottom * r + 1.51986665636164571966e-2) * r + 1.48103976427480074590e-1
    bottom = (bottom * r + 6.89767334985100004550e-1) * r + 1.67638483018380384940e0
    bottom = (bottom * r + 2.05319162663775882187e0) * r + 1.0
    return top / bottom


@kernel
def _far_tail(r: float) -> float:
    """Return z with Phi(-z) = exp(-r^2) for 5 < r <= 27; Wichura (1988), AS 241, PPND16."""
    r -= 5.0
    top = 2.01033439929228813265e-7 * r + 2.71155556874348757815e-5
    top = (top * r + 1.24266094738807843860e-3) * r + 2.65321895265761230930e-2
    top = (top * r + 2.96560571828504891230e-1) * r + 1.78482653991729133580e0
    top = (top * r + 5.46378491116411436990e0) * r + 6.65790464350110377720e0
    bottom = 2.04426310338993978564e-15 * r + 1.42151175831644588870e-7
    bottom = (bottom * r + 1.84631831751005468180e-5) * r + 7.86869131145613259100e-4
    bottom = (bottom * r + 1.48753612908506148525e-2) * r + 1.36929880922735805310e-1
    bottom = (bottom * r + 5.99832206555887937690e-1) * r + 1.0
    return top / bottom


@kernel
def _deep_tail(log_p: float) -> float:
    """Return z with log Phi(-z) = log_p for z > 37, by Newton's method on log Phi."""
    twice = -2.0 * log_p - _LOG_2PI
    z = sqrt(twice - log(twice))
    for _ in range(2):  # the start is right to 1e-4, and each step squares the error
        excess = log_normal_cdf(-z) - log_p
        z += excess / (z + 1.0 / z)
    return z


@kernel
def _near_or_far(log_p: float) -> float:
    """Return z with log Phi(-z) = log_p <= log 0.075."""
    r = sqrt(-log_p)
    if r <= 5.0:
        return _near_tail(r)
    if r <= _RATIONAL_LIMIT:
        return _far_tail(r)
    return _deep_tail(log_p)


@kernel
def normal_quantile_of_log_p(log_p: float) -> float:
    """Return y with log Phi(y) = log_p, to 1e-15 relative at any depth.

    The significance of a tail probability p is -y; it is negative where p > 1/2. The limits are
    -inf for log_p = -inf and +inf for log_p >= 0.

    Examples
    --------
    >>> round(-normal_quantile_of_log_p(-3000 * log(10.0)), 6)
    117.49102
    """
    if isnan(log_p):
        return log_p
    if log_p >= 0.0:
        return inf
    if log_p == -inf:
        return -inf
    q = exp(log_p) - 0.5
    if abs(q) <= 0.425:
        return _middle_quantile(q)
    if q > 0.0:
        return _near_or_far(log(-expm1(log_p)))
    return -_near_or_far(log_p)
