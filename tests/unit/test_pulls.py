"""The closed form of a Poisson bin with pulls, against minimization, and what follows from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar

from lmltgrid.kernels import poisson, pulls, statistics

COUNTS = st.floats(1e-3, 1e5)


def by_minimization(observed: float, expected: float, variance: float) -> float:
    """Minimize the deviance over the mean, which one pull moves, with scipy."""

    def total(log_mean: float) -> float:
        mean = np.exp(log_mean)
        poisson_part = 2.0 * (mean - observed + observed * np.log(observed / mean))
        return float(poisson_part + (mean - expected) ** 2 / variance)

    # the best mean lies between the two
    bounds = np.sort(np.log([observed, expected])) + np.array([-1e-9, 1e-9])
    found = minimize_scalar(total, bounds=bounds, method="bounded", options={"xatol": 1e-13})
    return float(found.fun)


@settings(deadline=None, max_examples=60)
@given(observed=COUNTS, expected=COUNTS, fraction=st.floats(1e-3, 1.0))
def test_it_is_the_minimum(observed: float, expected: float, fraction: float) -> None:
    variance = (fraction * expected) ** 2
    ours = pulls.deviance(observed, expected, variance)
    # the minimizer stops where the function is flat to 1e-8
    assert ours == pytest.approx(by_minimization(observed, expected, variance), rel=1e-6, abs=1e-7)


def test_two_pulls_are_one_with_the_sum_of_their_variances() -> None:
    n, b, first, second = 37.0, 30.0, 3.0, 2.0

    def total(pull: np.ndarray) -> float:
        mean = b + first * pull[0] + second * pull[1]
        return float(2.0 * (mean - n + n * np.log(n / mean)) + np.sum(pull**2))

    found = minimize(total, np.zeros(2), tol=1e-12)
    assert pulls.deviance(n, b, first**2 + second**2) == pytest.approx(found.fun, rel=1e-8)


@pytest.mark.parametrize(
    ("observed", "expected", "variance", "value"),
    [
        (0.0, 3.0, 0.0, 6.0),  # 2 mu
        (0.0, 3.0, 4.0, 9.0 / 4.0),  # the pull explains all of it
        (0.0, 3.0, 1.0, 2.0 * 2.0 + 1.0),  # mu = B - V
        (5.0, 5.0, 2.0, 0.0),
        (2.0, 0.0, 0.0, np.inf),  # what cannot be, is
    ],
)
def test_values_by_hand(observed: float, expected: float, variance: float, value: float) -> None:
    assert pulls.deviance(observed, expected, variance) == pytest.approx(value, rel=1e-14)


def test_digits_are_kept_where_counts_are_close() -> None:
    """2 (B - n + n log(n/B)) is d^2/n for d << n; the difference of logarithms has no digits."""
    assert pulls.deviance(1e8, 1e8 + 1.0, 0.0) == pytest.approx(1e-8, rel=1e-6)


@settings(deadline=None, max_examples=60)
@given(
    observed=COUNTS,
    background=st.just(0.0) | st.floats(1e-6, 1e3),
    fraction=st.just(0.0) | st.floats(1e-6, 1.0),
    error=st.just(0.0) | st.floats(1e-6, 10.0),
)
def test_it_rises_on_either_side_of_what_was_observed(
    observed: float, background: float, fraction: float, error: float
) -> None:
    """What makes two bounds on the expected neutrinos enough, though their variance grows."""
    neutrinos = np.geomspace(1e-3, 1e6, 200)
    same = np.ones(200)
    given = (observed * same, background * same, error**2, neutrinos, fraction)
    found = pulls.flux_deviances(*given)
    steps = np.diff(found)
    above = background + neutrinos[:-1] >= observed
    scale = 1e-9 * (1.0 + found[:-1])
    assert np.all(steps[above] >= -scale[above])
    below = background + neutrinos[1:] <= observed
    assert np.all(steps[below] <= scale[below])


def test_the_significance_is_signed_as_that_without_pulls() -> None:
    count = np.array([80.0, 100.0, 140.0])
    out = np.empty((2, 3))
    exposure = np.array([1.0, 4.0])
    pulls.significance(count, 100.0, np.full(3, 90.0), 1e-11, exposure, False, False, out)
    tails = np.array(
        [
            [-poisson.z_at_most(80.0 * t, 100.0 * t), 0.0, poisson.z_at_least(140.0 * t, 100.0 * t)]
            for t in exposure
        ]
    )
    # Wilks' approximation leaves half an event aside: 0.05 sigma of the 10 and 20 that there are
    np.testing.assert_allclose(out, tails, atol=0.08)
    assert np.all(np.sign(out) == np.sign(tails))
    pulls.significance(count, 100.0, np.full(3, 90.0), 1e-11, exposure, False, True, out)
    np.testing.assert_allclose(out, np.abs(tails), atol=0.08)


def test_exclusion_tests_the_mediator_and_discovery_the_null() -> None:
    count, flux = np.array([30.0]), np.array([8.0])
    one = np.array([1.0])
    out = np.empty((2, 1, 1))
    pulls.significance(count, 10.0, flux, 0.25, one, True, True, out[0])
    pulls.significance(count, 10.0, flux, 0.25, one, False, True, out[1])
    assert out[0, 0, 0] == np.sqrt(pulls.deviance(10.0, 30.0, 4.0))
    assert out[1, 0, 0] == np.sqrt(pulls.deviance(30.0, 10.0, 4.0))


@pytest.mark.parametrize(("n1", "b1"), [(12.0, 10.0), (8.0, 10.0), (1000.0, 1.0), (0.5, 10.0)])
@pytest.mark.parametrize("fraction", [0.01, 0.03])
def test_the_required_exposure_has_the_significance(n1: float, b1: float, fraction: float) -> None:
    flux = 0.9 * b1
    t = pulls.required_exposure(n1, b1, flux, fraction, 5.0, two_sided=True)
    assert t is not None
    found = pulls.flux_deviance(t * n1, t * (b1 - flux), 0.0, t * flux, fraction)
    assert found == pytest.approx(25.0, rel=1e-11)


def test_a_signal_within_five_errors_is_never_discovered() -> None:
    assert pulls.required_exposure(12.0, 10.0, 8.0, 0.0501) is None
    assert pulls.required_exposure(12.0, 10.0, 8.0, 0.0499) is not None
    assert pulls.required_exposure(8.0, 10.0, 5.0, 0.02) is None
    assert pulls.required_exposure(8.0, 10.0, 5.0, 0.02, two_sided=True) is not None
    # a deficit that exceeds the whole flux is none of the flux
    assert pulls.required_exposure(4.0, 10.0, 5.0, 1.0, two_sided=True) is not None


def test_without_an_error_it_is_the_poisson_exposure_at_many_counts() -> None:
    exact = statistics.required_exposure(1.01, 1.0)
    # 2.5e5 counts: Wilks' theorem is good to the inverse root
    assert pulls.required_exposure(1.01, 1.0, 0.5, 1e-12) == pytest.approx(exact, rel=2e-3)


def test_the_flux_does_not_turn_negative() -> None:
    """One event, two expected from the background: no flux, at its price, explains the rest."""
    price = 1.0 / 0.5**2 + pulls.deviance(1.0, 2.0, 0.0)
    assert pulls.flux_deviance(1.0, 2.0, 0.0, 1e6, 0.5) == price


def test_a_measured_count_is_best_where_the_prediction_comes_closest() -> None:
    x = np.linspace(0.0, 3.0, 4001)
    falling = np.array([[20.0], [-16.0], [8.0]])  # 20 to 12 at x = 1, then up
    for observed in (5.0, 15.0, 35.0):
        found = pulls.measured_sigma(falling, x, observed, 1.0, 0.5, 0.1)
        assert found.shape == (1, 4001)
        assert found.min() == pytest.approx(0.0, abs=1e-2)
        assert np.all(np.isfinite(found))
    best = x[np.argmin(pulls.measured_sigma(falling, x, 5.0, 1.0, 0.5, 0.1))]
    assert best == pytest.approx(1.0, abs=1e-3)  # the turning point, where the curve is flat
