"""The chi-squares of spectra and of measured rates, against direct sums and searches."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from lmltgrid.kernels import chisquare

Array = NDArray[np.float64]

# (missing, error): a measured excess and a deficit, and none
MEASURED = [(14.0, 10.5), (-3.0, 11.0), (-40.0, 11.0), (0.0, 5.0)]


def spectrum(seed: int, bins: int = 6, masses: int = 3) -> tuple[Array, Array]:
    """Counts in powers of x with both signs of the interference, (bin, 3, mass); background."""
    rng = np.random.default_rng(seed)
    c0 = rng.uniform(0.1, 50.0, (bins, 1)) * np.ones(masses)
    c2 = 10.0 ** rng.uniform(3.0, 9.0, (bins, masses))
    # a square of amplitudes never lets the interference exceed 2 sqrt(c0 c2)
    c1 = rng.uniform(-2.0, 2.0, (bins, masses)) * np.sqrt(c0 * c2)
    return np.stack([c0, c1, c2], axis=1), rng.uniform(0.0, 5.0, bins)


@pytest.mark.parametrize("seed", range(5))
def test_least_squares_is_the_sum_over_bins(seed: int) -> None:
    """LX22 eq. 2.18: (N(x) - N(0))^2 / N(0), background and exposure in both."""
    coefficients, background = spectrum(seed)
    exposure, x = 7.0, np.array([0.0, 1e-9, 3e-5, 2e-3])
    abc = chisquare.least_squares(coefficients, background)
    for m in range(coefficients.shape[-1]):
        for j, value in enumerate(x.tolist()):
            chi2, largest = 0.0, 0.0
            for (c0, c1, c2), b in zip(coefficients[..., m].tolist(), background, strict=True):
                observed = exposure * (c0 + b)
                chi2 += (exposure * (value * c1 + value**2 * c2)) ** 2 / observed
                largest += (exposure * (value * abs(c1) + value**2 * c2)) ** 2 / observed
            a, b1, c = abc[:, m]
            found = exposure * value**2 * (a + value * (b1 + value * c))
            # the powers are summed in another order: rounding of the largest
            assert found == pytest.approx(chi2, rel=1e-13, abs=1e-13 * largest)
            sigma = chisquare.least_squares_sigma(abc, x)[m, j] * np.sqrt(exposure)
            assert sigma**2 == pytest.approx(chi2, rel=1e-13, abs=1e-13 * largest)


def test_least_squares_keeps_leading_axes() -> None:
    cases = [spectrum(seed) for seed in (1, 2)]
    stacked = chisquare.least_squares(*(np.stack(parts) for parts in zip(*cases, strict=True)))
    for found, case in zip(stacked, cases, strict=True):
        np.testing.assert_array_equal(found, chisquare.least_squares(*case))


def test_least_squares_is_zero_without_coupling_and_never_negative() -> None:
    """The data are the Standard Model; where every bin cancels it is zero but for rounding."""
    c2 = np.geomspace(1e4, 1e9, 5)[:, None]
    coefficients = np.stack([np.ones((5, 1)), -1e-3 * c2, c2], axis=1)
    abc = chisquare.least_squares(coefficients, np.zeros(5))
    x = np.concatenate([[0.0], 1e-3 * (1.0 + np.linspace(-1e-8, 1e-8, 101))])
    sigma = chisquare.least_squares_sigma(abc, x)
    assert sigma[0, 0] == 0.0
    assert np.all(sigma >= 0.0)
    # half of the digits are left of the square root of a cancelled sum
    assert sigma[0, 51] < 1e-7 * chisquare.least_squares_sigma(abc, np.array([2e-3]))[0, 0]


def chi2_of_rate(x: float, c1: float, c2: float, missing: float, error: float) -> float:
    return ((missing - x * (c1 + x * c2)) / error) ** 2


def searched_minimum(c1: float, c2: float, missing: float, error: float) -> float:
    """The least chi-square over x >= 0, found in log x piece by piece, and at x = 0."""
    found = chi2_of_rate(0.0, c1, c2, missing, error)
    for low in np.arange(-16.0, 2.0, 0.5):
        best = minimize_scalar(
            lambda u: chi2_of_rate(10.0**u, c1, c2, missing, error),
            bounds=(low, low + 0.5),
            method="bounded",
            options={"xatol": 1e-12},
        )
        found = min(found, float(best.fun))
    return found


@pytest.mark.parametrize(("missing", "error"), MEASURED)
@pytest.mark.parametrize(("c1", "c2"), [(-3e3, 1.2e7), (-6e4, 1.2e7), (4e3, 1e7), (0.0, 1e7)])
def test_the_least_distance_is_that_of_a_search(
    missing: float, error: float, c1: float, c2: float
) -> None:
    least = chisquare.rate_minimum(np.array([c1]), np.array([c2]), missing)[0] / error
    # the search stops where a parabola in log x is flat to half of the digits: a zero is found
    # to the square of 1e-6 or so
    assert least**2 == pytest.approx(searched_minimum(c1, c2, missing, error), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("missing", "error"), MEASURED)
def test_the_significance_of_a_rate_is_the_rise_above_the_minimum(
    missing: float, error: float
) -> None:
    c1, c2 = np.array([-3e3, -6e4, 4e3]), np.array([1.2e7, 1.2e7, 1e7])
    x = np.concatenate([[0.0], np.geomspace(1e-9, 1.0, 40)])
    sigma = chisquare.rate_sigma(c1, c2, x, missing, error)
    assert np.all(sigma >= 0.0)
    for m, (one, two) in enumerate(zip(c1.tolist(), c2.tolist(), strict=True)):
        least = searched_minimum(one, two, missing, error)
        for j, value in enumerate(x.tolist()):
            chi2 = chi2_of_rate(value, one, two, missing, error)
            # a difference of squares, each right to 1e-9 of the search
            assert sigma[m, j] ** 2 == pytest.approx(chi2 - least, rel=1e-9, abs=1e-9)


def test_a_rate_as_predicted_is_no_evidence_against_no_coupling() -> None:
    sigma = chisquare.rate_sigma(np.array([-10.0, 5.0]), np.ones(2), np.zeros(1), 0.0, 3.0)
    np.testing.assert_array_equal(sigma, 0.0)


def test_a_mediator_that_changes_nothing_is_not_tested_by_a_rate() -> None:
    """The chi-square is the same at every coupling, however far the measured rate is."""
    nothing = np.zeros(1)
    x = np.array([0.0, 1e-6, 1.0])
    for missing, error in MEASURED:
        sigma = chisquare.rate_sigma(nothing, nothing, x, missing, error)
        np.testing.assert_array_equal(sigma, 0.0)
