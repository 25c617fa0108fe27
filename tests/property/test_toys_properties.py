"""Coverage: in how many pseudo-experiments the truth is inside, for any experiment of a kind."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, poisson

from lmltgrid import toys as points
from lmltgrid.kernels import toys
from lmltgrid.kernels.toys import Bins
from lmltgrid.ladders import Curves

LEVELS = np.array([0.68, 0.9, 0.95])
SIGMAS = 5.0  # of a binomial error: one failure in 1e6 numbers of correct code
seeds = st.integers(0, 2**32 - 1)


def covered(t: np.ndarray, critical: np.ndarray, expected: np.ndarray) -> None:
    """Compare the fraction of t below each critical value with what it must be."""
    found = np.array([np.mean(t <= value) for value in critical])
    error = np.sqrt(expected * (1.0 - expected) / t.size)
    assert np.all(abs(found - expected) <= SIGMAS * error + 1e-12), (found, expected)


@settings(deadline=None)
@given(seeds, st.floats(1e-3, 1e3), st.floats(6.0, 100.0))
def test_a_gaussian_number_far_from_the_border(seed: int, error: float, sigmas: float) -> None:
    """t is a chi-square of one degree of freedom, exactly (S. S. Wilks 1938)."""
    t = np.empty(4000)
    toys.numbers(np.array([seed, 1, 2, 3]), sigmas * error, error, 0.0, np.inf, t)
    covered(t, chi2.ppf(LEVELS, 1), LEVELS)


@settings(deadline=None)
@given(seeds, st.floats(1e-3, 1e3))
def test_a_gaussian_number_at_the_border(seed: int, error: float) -> None:
    """t is zero in one half and a chi-square in the other (H. Chernoff 1954)."""
    t = np.empty(4000)
    toys.numbers(np.array([seed, 1, 2, 3]), 0.0, error, 0.0, np.inf, t)
    covered(t, chi2.ppf(LEVELS, 1), 0.5 + 0.5 * LEVELS)
    covered(t, np.array([0.0]), np.array([0.5]))


@settings(deadline=None, max_examples=20)
@given(
    seeds,
    st.lists(st.floats(5.0, 500.0), min_size=1, max_size=6),
    st.floats(0.01, 0.2),
    st.floats(0.0, 0.3),
)
def test_gaussian_bins_with_linear_pulls(
    seed: int, counts: list[float], fraction: float, share: float
) -> None:
    """All is linear, so that the profiled t is a chi-square; x = 1 is far from the border."""
    background = np.array(counts)
    mean = np.zeros((1, 3, background.size))
    mean[0, 0] = background
    change = np.zeros((1, 2, 3, background.size))
    change[0, 0, 0] = fraction * background
    change[0, 1, 0, 0] = share * background[0]
    # the signal is chosen so that x is measured to a tenth of 1, at any pulls
    sloped = np.linspace(1.0, 2.0, background.size) * np.sqrt(background)
    spread = np.diag(background) + np.einsum("ki,kj->ij", change[0, :, 0], change[0, :, 0])
    mean[0, 1] = sloped * 10.0 / np.sqrt(sloped @ np.linalg.solve(spread, sloped))
    scale = np.moveaxis(mean, 1, 2).copy()
    scale[..., 0] = 0.0
    one = Curves(Bins(mean, change, background), mean[0].sum(axis=0), scale)
    _, pulls = one.profiled(1.0)
    t = np.empty(1000)
    words = np.array([seed, 1, 2, 3])
    toys.fits(words, one.bins, one.ladder(1.0, pulls), one.expected(1.0, pulls), pulls, t)
    covered(t, chi2.ppf(LEVELS, 1), LEVELS)


@settings(deadline=None, max_examples=30)
@given(seeds, st.floats(0.1, 20.0), st.floats(0.0, 20.0))
def test_calibrated_regions_of_a_count_cover(seed: int, background: float, signal: float) -> None:
    """A count never covers less than asked; Wilks' critical value can, by far.

    A second set of experiments is compared with the critical value of the first. Counts are whole,
    so that the probability inside is that of the level or more.
    """
    mean, ends = background + signal, (background, np.inf)
    first, second = np.empty(4000), np.empty(4000)
    toys.counts(np.array([seed, 1, 2, 3]), mean, *ends, first)
    toys.counts(np.array([seed, 1, 2, 4]), mean, *ends, second)
    critical = points.summary(first, 0.0, LEVELS)["quantile"]
    for level, value in zip(LEVELS.tolist(), critical.tolist(), strict=True):
        error = np.sqrt(2.0 * level * (1.0 - level) / second.size)  # of either set
        assert np.mean(second <= value + 1e-9) >= level - SIGMAS * error
    k = np.arange(200)
    every = np.array([toys.count_ratio(float(n), mean, *ends) for n in k])
    exact = [poisson.pmf(k, mean)[every <= value + 1e-9].sum() for value in critical]
    error = np.sqrt(LEVELS * (1.0 - LEVELS) / first.size)
    assert np.all(np.array(exact) >= LEVELS - SIGMAS * error)


@settings(deadline=None, max_examples=15)
@given(seeds, st.integers(2, 60), st.floats(0.5, 8.0))
def test_the_first_experiments_of_many_are_those_of_few(seed: int, n: int, signal: float) -> None:
    words, many = np.array([seed, 5, 6, 7]), np.empty(60)
    toys.counts(words, 3.0 + signal, 3.0, np.inf, many)
    few = np.empty(n)
    toys.counts(words, 3.0 + signal, 3.0, np.inf, few)
    assert few.tobytes() == many[:n].tobytes()
