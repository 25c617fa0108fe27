"""Limits with an uncertain 8B flux: every end is a root, and no interval is missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from lmltgrid.analysis import criteria, pulled
from lmltgrid.analysis.level import Level
from lmltgrid.analysis.roots import Interval
from lmltgrid.analysis.setup import Rates
from lmltgrid.kernels import chisquare, pulls
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.measurement import CountMeasurement
from lmltgrid.tables.recoils import SolarExperiment as Experiment

Array = NDArray[np.float64]

EXPOSURE = 10.0
X = np.geomspace(1e-9, 1e3, 3001)


def rates_of(orders: list[float], background: float = 5.0, share: float = 0.9) -> Rates:
    """One bin, one mass; 8B neutrinos are a share of all of them."""
    coefficients = np.array(orders).reshape(1, 1, 3, 1)
    return Rates(coefficients, np.array([[background]]), np.zeros((1, 1, 2)), share * coefficients)


def covered(found: list[Interval], x: Array) -> NDArray[np.bool_]:
    inside = np.zeros(x.size, dtype=bool)
    for low, high in found:
        inside |= (x > low) & (x < high)
    return inside


def near_an_end(found: list[Interval], x: Array) -> NDArray[np.bool_]:
    ends = [end for pair in found for end in pair if 0.0 < end < np.inf]
    return np.array([any(abs(v / end - 1.0) < 1e-9 for end in ends) for v in x], dtype=bool)


SIGNAL = st.tuples(st.floats(-300.0, 300.0), st.floats(1e-2, 1e6)).map(
    # never fewer than no neutrinos: c1^2 <= 4 c0 c2
    lambda c: [20.0, float(np.clip(c[0], -8.9 * np.sqrt(c[1]), None)), c[1]]
)


@settings(deadline=None, max_examples=40)
@given(orders=SIGNAL, error=st.floats(1e-3, 0.5), sided=st.sampled_from(["one", "two"]))
def test_a_count_is_excluded_where_its_deviance_says_so(
    orders: list[float], error: float, sided: str
) -> None:
    level = Level(sided=sided, flux_error=error)
    rates = rates_of(orders)
    (found,) = pulled.counting_exclusion(rates, EXPOSURE, level)
    null = EXPOSURE * 25.0
    change = EXPOSURE * X * (orders[1] + X * orders[2])
    neutrinos = EXPOSURE * 0.9 * orders[0] + 0.9 * change
    rest = null + change - neutrinos
    z2 = pulls.flux_deviances(np.full(X.size, null), rest, 0.0, neutrinos, error)
    passed = (z2 > 1.2815515655446004**2) & ((change > 0.0) | (sided == "two"))
    agree = covered(found, X) == passed
    assert np.all(agree | near_an_end(found, X))


@settings(deadline=None, max_examples=40)
@given(
    c1=st.lists(st.floats(-50.0, 50.0), min_size=3, max_size=3),
    c2=st.lists(st.floats(1e-2, 1e4), min_size=3, max_size=3),
    error=st.floats(1e-2, 0.5),
)
def test_bins_are_excluded_where_the_minimum_over_the_pull_says_so(
    c1: list[float], c2: list[float], error: float
) -> None:
    # never fewer than no neutrinos: c1^2 <= 4 c0 c2
    c1 = np.maximum(c1, -1.99 * np.sqrt(np.array([30.0, 10.0, 3.0]) * c2)).tolist()
    coefficients = np.array([[30.0, 10.0, 3.0], c1, c2]).T.reshape(1, 3, 3, 1)
    background = np.array([[1.0, 1.0, 1.0]])
    rates = Rates(coefficients, background, np.zeros((1, 3, 2)), 0.8 * coefficients)
    level = Level(flux_error=error)
    (found,) = pulled.least_squares(rates, EXPOSURE, level)

    def chi2(x: float) -> float:
        change = EXPOSURE * (coefficients[0, :, 1, 0] * x + coefficients[0, :, 2, 0] * x * x)
        flux = 0.8 * (EXPOSURE * coefficients[0, :, 0, 0] + change)
        variance = EXPOSURE * (coefficients[0, :, 0, 0] + 1.0)
        total = minimize_scalar(
            lambda a: np.sum((change + a * flux) ** 2 / variance) + (a / error) ** 2, tol=1e-13
        )
        return float(total.fun)

    for low, high in found:
        for end in (low, high):
            if 0.0 < end < np.inf:
                assert chi2(end) == pytest.approx(level.delta_chi2, rel=1e-5)
    sums = chisquare.pulled_least_squares(coefficients, background, 0.8 * coefficients)[0]
    sigma = chisquare.pulled_least_squares_sigma(sums, X, EXPOSURE, error)[0]
    agree = covered(found, X) == (sigma**2 > level.delta_chi2)
    # where the chi-square touches the level, which side is rounding
    close = np.abs(sigma**2 / level.delta_chi2 - 1.0) < 1e-6
    assert np.all(agree | close)


def test_without_an_error_both_chi_squares_are_one() -> None:
    coefficients = np.array([[30.0, 10.0], [-8.0, 2.0], [4.0, 9.0]]).T.reshape(1, 2, 3, 1)
    background = np.ones((1, 2))
    plain = chisquare.least_squares(coefficients, background)[0]
    sums = chisquare.pulled_least_squares(coefficients, background, coefficients)[0]
    np.testing.assert_allclose(
        chisquare.pulled_least_squares_sigma(sums, X[:2000], EXPOSURE, 1e-9),
        np.sqrt(EXPOSURE) * chisquare.least_squares_sigma(plain, X[:2000]),
        rtol=1e-9,
    )


@pytest.mark.parametrize("error", [0.01, 0.2, 1.0])
@pytest.mark.parametrize("sided", ["one", "two"])
def test_discovery_bounds_have_the_significance(error: float, sided: str) -> None:
    level = Level("discovery", sided, flux_error=error)
    below, above = pulled.discovery_bounds(200.0, 150.0, level)
    assert pulls.flux_deviance(200.0 + above, 50.0, 0.0, 150.0, error) == pytest.approx(25.0)
    if sided == "one":
        assert below == -np.inf
    else:
        assert pulls.flux_deviance(200.0 + below, 50.0, 0.0, 150.0, error) == pytest.approx(25.0)


def with_counts(measured: CountMeasurement) -> Experiment:
    from dataclasses import replace

    like = catalog()["darwin-nr"]
    content: dict[str, Any] = {"test": "counts", "measured_counts": measured}
    content["exposure_tonne_year"] = EXPOSURE
    return replace(like, spec=like.spec.model_copy(update=content))


@settings(deadline=None, max_examples=40)
@given(
    orders=SIGNAL,
    observed=st.integers(0, 400),
    error=st.floats(0.0, 20.0),
    fraction=st.floats(0.0, 0.5),
)
def test_a_measured_count_excludes_where_its_significance_says_so(
    orders: list[float], observed: int, error: float, fraction: float
) -> None:
    measured = CountMeasurement(
        observed=observed,
        background_counts=50.0,
        background_error_counts=error,
        flux_fraction=fraction,
    )
    level = Level()
    rates = rates_of(orders)
    (found,) = criteria.intervals(with_counts(measured), rates, 1.0, level)
    scaled = EXPOSURE * np.array(orders).reshape(3, 1)
    sigma = pulls.measured_sigma(scaled, X, float(observed), 50.0, error, fraction)[0]
    squares = [(low**2, high**2) for low, high in found]
    agree = covered(squares, X) == (sigma**2 > level.delta_chi2)
    close = np.abs(sigma**2 / level.delta_chi2 - 1.0) < 1e-6
    assert np.all(agree | close)


def test_an_uncertain_flux_explains_any_excess() -> None:
    """With the flux free by half of itself, twice the neutrinos are two standard deviations."""
    measured = CountMeasurement(
        observed=250, background_counts=50.0, background_error_counts=0.0, flux_fraction=0.7
    )
    (found,) = criteria.intervals(with_counts(measured), rates_of([20.0, 0.0, 1.0]), 1.0, Level())
    assert found == []  # 1/0.7^2 = 2.04 < 2.71
