"""The exposures that reach a significance, and the means that a count excludes.

All are roots of the exact Poisson tails of `lmltgrid.kernels.poisson`, found in the logarithm of
the unknown; a plane of significances is filled by `lmltgrid.kernels.plane`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, isfinite, log, log1p

from scipy.optimize import brentq

from lmltgrid.errors import SpecificationError
from lmltgrid.kernels.normal import normal_quantile_of_log_p
from lmltgrid.kernels.poisson import (
    EXPANSION_MIN,
    temme_coefficients,
    temme_eta,
    temme_quantile,
    z_at_least,
    z_at_most,
)


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
