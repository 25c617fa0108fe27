"""When a coupling counts as excluded (or discovered): the tests, exact in the coupling.

At fixed mass every statistic here is a polynomial in x = g^2, or is decided by the value of one. So
the couplings at which a test is passed lie between its roots: no grid, no interpolation, and no
branch of a destructive interference is missed. A limit is a set of intervals, not a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import chi2

from lmltgrid.analysis.setup import Rates
from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.kernels import chisquare, poisson, statistics
from lmltgrid.tables.experiments import Experiment

Array = NDArray[np.float64]
Interval = tuple[float, float]

TESTS: Final = ("exclusion", "discovery")
SIDES: Final = ("two", "one")
DEFAULT_CL: Final = 0.90
DEFAULT_DOF: Final = 1
DISCOVERY_SIGMAS: Final = 5.0


@dataclass(frozen=True)
class Level:
    """A test and its level.

    Attributes
    ----------
    test
        "exclusion": the median experiment without new physics excludes the coupling.
        "discovery": the median experiment with it rejects the Standard Model.
    sided
        "two": an excess and a deficit both count; "one": only an excess. Counting alone.
    cl
        Confidence level of an exclusion; for a count, in each tail that counts.
    dof
        Degrees of freedom of a chi-square.
    sigmas
        Significance of a discovery.
    """

    test: str = "exclusion"
    sided: str = "two"
    cl: float = DEFAULT_CL
    dof: int = DEFAULT_DOF
    sigmas: float = DISCOVERY_SIGMAS

    def __post_init__(self) -> None:
        """Refuse what is not a test."""
        if self.test not in TESTS:
            raise unknown_name("test", self.test, TESTS, "test")
        if self.sided not in SIDES:
            raise unknown_name("sided", self.sided, SIDES, "sided")
        if not 0.5 < self.cl < 1.0:
            raise SpecificationError(
                f"cl: {self.cl:g} is given; it must lie between 0.5 and 1; correct it"
            )
        if not 0.0 < self.sigmas < 1e3:
            raise SpecificationError(
                f"sigmas: {self.sigmas:g} is given; it must be positive; correct it"
            )
        if not 1 <= self.dof <= 100:
            raise SpecificationError(
                f"dof: {self.dof} is given; degrees of freedom are 1 to 100; correct it"
            )

    @property
    def delta_chi2(self) -> float:
        """Increase of a chi-square above its minimum; 2.71 at 90 % with one degree of freedom."""
        return float(chi2.ppf(self.cl, self.dof))

    def as_dict(self, experiment: Experiment) -> dict[str, Any]:
        """Return what was asked of this experiment, for output."""
        caution = {"caution": experiment.spec.caution} if experiment.spec.caution else {}
        asked: dict[str, Any] = {"test": self.test, "statistic": experiment.spec.test, **caution}
        if self.test == "discovery":
            return asked | {"sided": self.sided, "sigmas": self.sigmas}
        if experiment.spec.test == "counting":
            return asked | {"sided": self.sided, "cl": self.cl}
        return asked | {"cl": self.cl, "dof": self.dof, "delta_chi2": self.delta_chi2}


def intervals(
    experiment: Experiment, rates: Rates, exposure: float, level: Level
) -> list[list[Interval]]:
    """Return the couplings at which a test is passed at each mass, ascending.

    Parameters
    ----------
    experiment
        Its statistic: a count, a least-squares sum over bins, or a measured rate.
    rates
        At one threshold.
    exposure
        Tonne year.
    level
        The test.

    Raises
    ------
    SpecificationError
        The experiment has no such test.
    """
    require_test(experiment, level.test, "test")
    find = {"counting": _counting, "least-squares": _least_squares, "rate": _rate}
    every = find[experiment.spec.test](experiment, rates, exposure, level)
    return [[(float(np.sqrt(a)), float(np.sqrt(b))) for a, b in one] for one in every]


def require_test(experiment: Experiment, test: str, where: str) -> None:
    """Refuse a discovery where the statistic is made for exclusion.

    Raises
    ------
    SpecificationError
        The experiment does not count.
    """
    if test == "discovery" and experiment.spec.test != "counting":
        raise SpecificationError(
            f"{where}: discovery is asked of {experiment.name}, whose statistic is "
            f"{experiment.spec.test}; only counting experiments discover; ask for an exclusion"
        )


def _counting(_: Experiment, rates: Rates, exposure: float, level: Level) -> list[list[Interval]]:
    below, above = change_bounds(float(rates.null[0]) * exposure, level)
    out = []
    for c1, c2 in (exposure * rates.quadratic[0]).T.tolist():
        roots = _quadratic(c1, c2, above)
        if np.isfinite(below):
            roots += _quadratic(c1, c2, below)
        out.append(_between(roots, _outside(c1, c2, below, above)))
    return out


def change_bounds(null: float, level: Level) -> tuple[float, float]:
    """Return the changes of the counts below and above which a counting test is passed.

    Parameters
    ----------
    null
        Expected counts without new physics.

    Returns
    -------
    below, above
        -inf where no deficit passes.
    """
    below: float | None
    if level.test == "exclusion":
        above = statistics.upper_mean(null, level.cl)
        below = statistics.lower_mean(null, level.cl)
    else:
        above, below = discovery_counts(null, level.sigmas)
    if level.sided == "one" or below is None:
        return -np.inf, float(above) - null
    return float(below) - null, float(above) - null


def discovery_counts(null: float, sigmas: float) -> tuple[float, float | None]:
    """Return the counts at which the null is rejected by an excess, and by a deficit if ever."""
    far = null + 2.0 * sigmas * np.sqrt(null) + 2.0 * sigmas**2 + 10.0
    above = brentq(lambda n: poisson.z_at_least(n, null) - sigmas, null, far, xtol=1e-12)
    if np.exp(-null) >= ndtr(-sigmas):  # not even zero counts would do
        return float(above), None
    below = brentq(lambda n: poisson.z_at_most(n, null) - sigmas, 0.0, null, xtol=1e-12)
    return float(above), float(below)


def _rate(experiment: Experiment, rates: Rates, _: float, level: Level) -> list[list[Interval]]:
    """Return where the chi-square of a measured rate passes, above its minimum at each mass."""
    measured = experiment.spec.measurement
    assert measured is not None  # noqa: S101 - validated with the test
    background = float(rates.background[0].sum())
    missing, error = measured.pull(float(rates.null[0]) - background, background)
    quadratic = rates.quadratic[0]
    least = chisquare.rate_minimum(quadratic[0], quadratic[1], missing)
    out = []
    for (c1, c2), distance in zip(quadratic.T.tolist(), least, strict=True):
        half = np.hypot(error * np.sqrt(level.delta_chi2), distance)
        below, above = missing - half, missing + half
        roots = _quadratic(c1, c2, above) + _quadratic(c1, c2, below)
        out.append(_between(roots, _outside(c1, c2, below, above)))
    return out


def _least_squares(
    _: Experiment, rates: Rates, exposure: float, level: Level
) -> list[list[Interval]]:
    """Return where the chi-square of LX22 eq. 2.18 passes; its minimum is zero, at x = 0."""
    out: list[list[Interval]] = []
    abc = chisquare.least_squares(rates.coefficients, rates.background)
    for a, b, c in abc[0].T.tolist():
        target = level.delta_chi2 / exposure
        if a <= 0.0 and c <= 0.0:  # the experiment is blind to the mediator
            out.append([])
            continue
        # in units of the x at which the highest power alone would do, the roots are of order one
        unit = (target / c) ** 0.25 if c > 0.0 else (target / a) ** 0.5
        scaled = np.array([c * unit**4, b * unit**3, a * unit**2, 0.0, -target]) / target
        roots = np.roots(np.trim_zeros(scaled, "f"))
        real = roots[np.abs(roots.imag) <= 1e-7 * np.abs(roots)].real * unit

        def passed(x: float, a: float = a, b: float = b, c: float = c) -> bool:
            return x * x * (a + x * (b + x * c)) > level.delta_chi2 / exposure

        out.append(_between(real[real > 0.0].tolist(), passed))
    return out


def _quadratic(c1: float, c2: float, level: float) -> list[float]:
    """Return the positive roots of x (c1 + x c2) = level."""
    if c2 == 0.0:
        return [level / c1] if c1 and level / c1 > 0.0 else []
    discriminant = c1 * c1 + 4.0 * c2 * level
    if discriminant <= 0.0:
        return []
    # the form of the roots that does not cancel
    half = -0.5 * (c1 + np.copysign(np.sqrt(discriminant), c1))
    return [float(root) for root in (half / c2, -level / half) if root > 0.0]


def _outside(c1: float, c2: float, below: float, above: float) -> Callable[[float], bool]:
    def passed(x: float) -> bool:
        change = x * (c1 + x * c2)
        return change > above or change < below

    return passed


def _between(roots: list[float], passed: Callable[[float], bool]) -> list[Interval]:
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
