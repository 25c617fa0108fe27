"""Poisson tails for real counts: regularized incomplete gamma functions and their quantiles.

With a = count and x = mean, the two tails of a Poisson distribution, continued to real counts
(P21, eq. 38), are

    Prob(N >= a) = P(a, x)        Prob(N <= a) = Q(a + 1, x)

Counts of 60 and more use Temme's uniform expansion (1979), written for the quantile itself: with
lam = x / a and eta = sign(lam - 1) sqrt(2 (lam - 1 - log lam)),

    P(a, x) = Phi(y),    y = sqrt(a) (eta + e1 / a + ... + e5 / a^5),

whose coefficients depend on lam alone. They follow order by order from

    exp(-(y^2 - a eta^2) / 2) d(y / sqrt a)/deta = f / Gamma*(a),    f = eta / (lam - 1),

where log Gamma*(a) = 1 / (12 a) - 1 / (360 a^3) + ... is Stirling's series. For P(a + 1, x) the
derivative is lam times as large, so that f becomes lam f, and eta is shared; ``shift`` is 0 for
P(a, x) and 1 for P(a + 1, x).
"""

from __future__ import annotations

from math import inf, lgamma, log, log1p, sqrt
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import zetac

from lmltgrid.kernels.jit import kernel
from lmltgrid.kernels.normal import log_normal_cdf, log_one_minus_exp, normal_quantile_of_log_p

Array = npt.NDArray[np.float64]
Coefficients = tuple[float, float, float, float, float]

# the next term of the expansion is below 2e-13 from here on
EXPANSION_MIN: Final = 60.0
# below this abs(eta) the closed forms cancel, and a power series (radius 2 sqrt(pi)) is used
_SERIES_LIMIT: Final = 1.0
_DEGREE: Final = 28
_EPSILON: Final = 1e-16
_MAX_TERMS: Final = 10_000
_EULER_GAMMA: Final = float(np.euler_gamma)
_ZETA_MINUS_1: Final = zetac(np.arange(2.0, 14.0))
_TINY: Final = 1e-290


def _power_series(shift: int) -> Array:
    """Return the coefficients of e1 ... e5 in powers of eta, shape (_DEGREE + 1, 5).

    The relations of ``_higher_orders``; on power series a division by eta loses no digits.
    """
    size = _DEGREE + 12  # a derivative and a division by eta, each order, cost two coefficients

    def times(left: Array, right: Array) -> Array:
        return np.convolve(left, right)[:size]

    def slope(series: Array) -> Array:
        return np.append(np.arange(1, size) * series[1:], 0.0)

    def over_eta(series: Array) -> Array:
        # the constant term, with that of Stirling's series, is zero: no pole at eta = 0
        return np.append(series[1:], 0.0)

    mu = np.zeros(size)  # lam - 1, from mu dmu/deta = eta (1 + mu)
    mu[1] = 1.0
    for n in range(3, size + 1):
        mu[n - 1] = mu[n - 2] / n - 0.5 * mu[2 : n - 1] @ mu[n - 2 : 1 : -1]
    over_f = over_eta(mu)
    first = np.zeros(size)  # -log f - shift log lam
    for n in range(1, size):
        first[n] = over_f[n] - (np.arange(1, n) * first[1:n]) @ over_f[n - 1 : 0 : -1] / n
    log_lam = mu.copy()
    log_lam[2] -= 0.5
    e1 = over_eta(first - shift * log_lam)
    d1 = slope(e1)
    d1d1 = times(d1, d1)
    e2 = over_eta(d1 - 0.5 * times(e1, e1))
    d2 = slope(e2)
    e3 = over_eta(d2 - 0.5 * d1d1 - times(e1, e2))
    d3 = slope(e3)
    rest = d3 - times(d1, d2) + times(d1d1, d1) / 3.0
    e4 = over_eta(rest - times(e1, e3) - 0.5 * times(e2, e2))
    rest = slope(e4) - times(d1, d3) - 0.5 * times(d2, d2) + times(d1d1, d2 - 0.25 * d1d1)
    e5 = over_eta(rest - times(e1, e4) - times(e2, e3))
    return np.stack([e1, e2, e3, e4, e5], axis=1)[: _DEGREE + 1].copy()


_SERIES: Final = np.stack([_power_series(0), _power_series(1)])


@kernel
def temme_eta(count: float, mean: float) -> float:
    """Return eta of lam = mean / count: the signed root of 2 (lam - 1 - log lam)."""
    mu = (mean - count) / count
    if abs(mu) < 0.25:
        # log1p(mu) = 2 atanh(w): what cancels is taken out by hand
        w = mu / (2.0 + mu)
        w2 = w * w
        odd = 1.0 / 19.0
        for k in range(17, 1, -2):
            odd = odd * w2 + 1.0 / k
        half_square = w * (mu - 2.0 * w2 * odd)
    else:
        lam = mean / count
        log_lam = log(lam) if lam > _TINY else log(mean) - log(count)
        half_square = mu - log_lam
    root = sqrt(2.0 * half_square)
    return root if mu > 0.0 else -root


@kernel
def temme_coefficients(count: float, mean: float, eta: float, shift: int) -> Coefficients:
    """Return e1 ... e5 of the expansion for P(count + shift, mean), to 1e-13 (e1) ... 1e-10 (e5).

    Parameters
    ----------
    count, mean
        Positive; only their ratio matters.
    eta
        ``temme_eta(count, mean)``.
    shift
        0 for P(count, mean), 1 for P(count + 1, mean).
    """
    if abs(eta) < _SERIES_LIMIT:
        e1, e2, e3, e4, e5 = 0.0, 0.0, 0.0, 0.0, 0.0
        for k in range(_DEGREE, -1, -1):
            e1 = e1 * eta + _SERIES[shift, k, 0]
            e2 = e2 * eta + _SERIES[shift, k, 1]
            e3 = e3 * eta + _SERIES[shift, k, 2]
            e4 = e4 * eta + _SERIES[shift, k, 3]
            e5 = e5 * eta + _SERIES[shift, k, 4]
        return e1, e2, e3, e4, e5
    mu = (mean - count) / count
    log_lam = mu - 0.5 * eta * eta
    inverse = 1.0 / eta
    f = eta / mu
    return _higher_orders(inverse, f, mean / count * f * f, -log(f) - shift * log_lam, shift)


@kernel
def _higher_orders(inverse: float, f: float, q: float, first: float, shift: int) -> Coefficients:
    """Return e1 ... e5 in closed form, from 1 / eta, f, q = lam f^2 and e1 eta.

    Matching powers of 1/a gives eta e_k in terms of the lower orders and of their derivatives in
    eta; these are carried along (a: e1, b: e2, c: e3, d: e4; the digit is the derivative), starting
    from f' = f p with p = (1 - q) / eta and q' = q s with s = f + 2 p.
    """
    p = (1.0 - q) * inverse
    f1 = f * p
    s = f + 2.0 * p
    q1 = q * s
    p1 = (-q1 - p) * inverse
    f2 = f1 * p + f * p1
    s1 = f1 + 2.0 * p1
    q2 = q1 * s + q * s1
    p2 = (-q2 - 2.0 * p1) * inverse
    f3 = f2 * p + 2.0 * f1 * p1 + f * p2
    q3 = q2 * s + 2.0 * q1 * s1 + q * (f2 + 2.0 * p2)
    p3 = (-q3 - 3.0 * p2) * inverse
    a0 = first * inverse
    a1 = (-p - shift * f - a0) * inverse
    a2 = (-p1 - shift * f1 - 2.0 * a1) * inverse
    a3 = (-p2 - shift * f2 - 3.0 * a2) * inverse
    a4 = (-p3 - shift * f3 - 4.0 * a3) * inverse
    b0 = (a1 - 0.5 * a0 * a0 + 1.0 / 12.0) * inverse
    b1 = (a2 - a0 * a1 - b0) * inverse
    b2 = (a3 - a1 * a1 - a0 * a2 - 2.0 * b1) * inverse
    b3 = (a4 - 3.0 * a1 * a2 - a0 * a3 - 3.0 * b2) * inverse
    c0 = (b1 - 0.5 * a1 * a1 - a0 * b0) * inverse
    c1 = (b2 - a1 * a2 - a1 * b0 - a0 * b1 - c0) * inverse
    c2 = (b3 - a2 * a2 - a1 * a3 - a2 * b0 - 2.0 * a1 * b1 - a0 * b2 - 2.0 * c1) * inverse
    d0 = c1 - a1 * b1 + a1 * a1 * a1 / 3.0 - a0 * c0 - 0.5 * b0 * b0 - 1.0 / 360.0
    d0 *= inverse
    d1 = c2 - a2 * b1 - a1 * b2 + a1 * a1 * a2 - a1 * c0 - a0 * c1 - b0 * b1 - d0
    d1 *= inverse
    e0 = d1 - a1 * c1 - 0.5 * b1 * b1 + a1 * a1 * (b1 - 0.25 * a1 * a1) - a0 * d0 - b0 * c0
    return a0, b0, c0, d0, e0 * inverse


@kernel
def temme_quantile(count: float, eta: float, e: Coefficients) -> float:
    """Return y with Phi(y) = P(count + shift, mean), for eta and e of their ratio."""
    r = 1.0 / count
    return sqrt(count) * (eta + r * (e[0] + r * (e[1] + r * (e[2] + r * (e[3] + r * e[4])))))


@kernel
def _expanded_quantile(count: float, mean: float, shift: int) -> float:
    """Return y with Phi(y) = P(count + shift, mean), for large counts."""
    eta = temme_eta(count, mean)
    return temme_quantile(count, eta, temme_coefficients(count, mean, eta, shift))


@kernel
def log_gamma_1p(a: float) -> float:
    """Return log Gamma(1 + a) for a >= 0, to 1e-15 relative also where a is tiny."""
    if a >= 0.1:
        return lgamma(1.0 + a)
    # Abramowitz & Stegun (1964), eq. (6.1.33)
    tail = 0.0
    for k in range(13, 1, -1):
        tail = -a * tail + _ZETA_MINUS_1[k - 2] / k
    return a * (1.0 - _EULER_GAMMA) + a * a * tail - log1p(a)


@kernel
def _log_lower_tiny(a: float, x: float) -> float:
    """Return log P(a, x) for a < 1 and x <= 3, to 1e-14 relative also where P is near 1.

    Every term is proportional to a; Abramowitz & Stegun (1964), eq. (6.5.29), first form.
    """
    term, total = 1.0, 0.0
    for n in range(1, _MAX_TERMS):
        term *= -x / n
        total += term / (a + n)
        if abs(term) <= _EPSILON * abs(total):
            break
    return a * log(x) - log_gamma_1p(a) + log1p(a * total)


@kernel
def _log_lower_series(a: float, x: float) -> float:
    """Return log P(a, x) for x <= a + 1; Abramowitz & Stegun (1964), eq. (6.5.29)."""
    term, total = 1.0, 1.0
    for n in range(1, _MAX_TERMS):
        term *= x / (a + n)
        total += term
        if term <= _EPSILON * total:
            break
    return a * log(x) - x - log_gamma_1p(a) + log(total)


@kernel
def _log_upper_fraction(a: float, x: float) -> float:
    """Return log Q(a, x) for x > a + 1; Abramowitz & Stegun (1964), eq. (6.5.31), even part.

    The fraction is summed by Steed's algorithm, one division a step.
    """
    b = x + 1.0 - a
    d = 1.0 / b
    step = d
    total = d
    for n in range(1, _MAX_TERMS):
        c = n * (a - n)
        b += 2.0
        d = 1.0 / (b + c * d)
        step *= b * d - 1.0
        total += step
        if abs(step) <= _EPSILON * total:
            break
    return a * log(x) - x - log_gamma_1p(a) + (log(a) + log(total))  # a total may underflow


@kernel
def _is_lower(a: float, x: float) -> bool:
    """Tell whether P(a, x) is the tail to compute (else Q), so that neither is near 1."""
    return x <= a + 1.0 or (a < 1.0 and x <= 3.0)


@kernel
def _log_tail(a: float, x: float) -> float:
    """Return log P(a, x) where ``_is_lower``, else log Q(a, x), for positive a and x."""
    if a < 1.0 and x <= 3.0:
        return _log_lower_tiny(a, x)
    if x <= a + 1.0:
        return _log_lower_series(a, x)
    return _log_upper_fraction(a, x)


@kernel
def log_gamma_p(a: float, x: float) -> float:
    """Return log P(a, x) = log Prob(Poisson(x) >= a), at any depth.

    Parameters
    ----------
    a, x
        Non-negative. P(0, x) = 1 and P(a, 0) = 0 for a > 0: logarithms 0 and -inf.
    """
    if a <= 0.0:
        return 0.0
    if x <= 0.0:
        return -inf
    if a >= EXPANSION_MIN:
        return log_normal_cdf(_expanded_quantile(a, x, 0))
    tail = _log_tail(a, x)
    return tail if _is_lower(a, x) else log_one_minus_exp(tail)


@kernel
def log_gamma_q(a: float, x: float) -> float:
    """Return log Q(a, x), at any depth; log Prob(Poisson(x) <= n) is ``log_gamma_q(n + 1, x)``.

    Parameters
    ----------
    a, x
        Non-negative. Q(0, x) = 0 and Q(a, 0) = 1 for a > 0: logarithms -inf and 0.
    """
    if a <= 0.0:
        return -inf
    if x <= 0.0:
        return 0.0
    if a >= EXPANSION_MIN:
        return log_normal_cdf(-_expanded_quantile(a, x, 0))
    tail = _log_tail(a, x)
    return log_one_minus_exp(tail) if _is_lower(a, x) else tail


@kernel
def _quantile(count: float, mean: float, shift: int) -> float:
    """Return y with Phi(y) = P(count + shift, mean), with its limits."""
    if count + shift <= 0.0:
        return inf
    if mean <= 0.0:
        return -inf
    if count >= EXPANSION_MIN:
        return _expanded_quantile(count, mean, shift)
    a = count + shift
    y = normal_quantile_of_log_p(_log_tail(a, mean))
    return y if _is_lower(a, mean) else -y


@kernel
def z_at_least(count: float, mean: float) -> float:
    """Return Z with Phi(-Z) = Prob(Poisson(mean) >= count): the significance of an excess.

    Parameters
    ----------
    count, mean
        Observed count (real) and expected mean; non-negative, finite.

    Returns
    -------
    float
        Negative where the probability is above 1/2; right to 5e-13 (1 + abs Z) against 40-digit
        arithmetic, for counts from 1e-12 to 1e12 and ratios from 1e-100 to 1e12. A count of 0 is
        always reached: -inf. A mean of 0 never reaches a positive count: +inf.
    """
    return -_quantile(count, mean, 0)


@kernel
def z_at_most(count: float, mean: float) -> float:
    """Return Z with Phi(-Z) = Prob(Poisson(mean) <= count): the significance of a deficit.

    Parameters, sign and accuracy as in ``z_at_least``; a mean of 0 never exceeds a count: -inf.
    """
    return _quantile(count, mean, 1)


@kernel
def z_either(count: float, mean: float) -> float:
    """Return the larger of ``z_at_least`` and ``z_at_most``, floored at 0.

    The two tails overlap in the observed count, and both may be above 1/2 where count and mean
    are close. The median of the gamma distribution of shape a lies between a - 1/3 and a, so that
    an excess is significant only below mean = count, and a deficit only above: one is computed.
    """
    if count > mean:
        return max(z_at_least(count, mean), 0.0)
    return max(z_at_most(count, mean), 0.0)


@kernel
def z_discovery(n: float, b: float, two_sided: bool) -> float:
    """Return the median significance at which n expected events reject a null of b (P21, eq. 38).

    Parameters
    ----------
    n, b
        Expected counts with and without new physics; non-negative, finite.
    two_sided
        False: the excess alone, ``z_at_least(n, b)``, signed. True: ``z_either(n, b)``.
    """
    return z_either(n, b) if two_sided else z_at_least(n, b)


@kernel
def z_exclusion(n: float, b: float, two_sided: bool) -> float:
    """Return the significance at which observing b events rejects a model that expects n.

    A model is excluded at 90 % (P20, Table II) where Q(b + 1, n) = 0.1, that is at Z = 1.2816.

    Parameters
    ----------
    n, b
        Expected counts with and without new physics; non-negative, finite.
    two_sided
        False: models that expect too much alone, ``z_at_most(b, n)``, signed. True:
        ``z_either(b, n)``.
    """
    return z_either(b, n) if two_sided else z_at_most(b, n)
