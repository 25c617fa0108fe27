"""Feldman and Cousins (1998), Phys. Rev. D 57, 3873: Table I and Table IV, 90 % confidence."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from lmltgrid.kernels import toys

pytestmark = pytest.mark.golden

STEP = 0.0025  # in the signal mean
# Table IV, columns b = 0.0 and 3.0; n = 0 of the second is 1.08 there, which is 0.95 lengthened so
# that limits do not grow as b falls (their section IV.B), and is not what a construction gives
TABLE = {
    0.0: (
        (0, 0.00, 2.44),
        (1, 0.11, 4.36),
        (2, 0.53, 5.91),
        (3, 1.10, 7.42),
        (4, 1.47, 8.60),
        (5, 1.84, 9.99),
    ),
    3.0: (
        (1, 0.00, 1.88),
        (2, 0.00, 3.04),
        (3, 0.00, 4.42),
        (4, 0.00, 5.60),
        (5, 0.00, 6.99),
        (6, 0.15, 8.47),
        (7, 0.89, 9.53),
        (8, 1.51, 10.99),
        (9, 1.88, 12.30),
        (10, 2.63, 13.50),
    ),
}
# Table I, b = 3 and a signal of 0.5: n, its likelihood ratio, its rank
RANKS = (
    (0, 0.607, 6),
    (1, 0.708, 5),
    (2, 0.826, 3),
    (3, 0.963, 2),
    (4, 0.966, 1),
    (5, 0.753, 4),
    (6, 0.480, 7),
)


def ratios(counts: np.ndarray, signal: float, background: float) -> np.ndarray:
    ends = (background, np.inf)
    return np.array([toys.count_ratio(float(n), signal + background, *ends) for n in counts])


def test_table_1() -> None:
    t = ratios(np.arange(9), 0.5, 3.0)
    for n, printed, rank in RANKS:
        assert np.exp(-0.5 * t[n]) == pytest.approx(printed, abs=5e-4)
        assert np.sum(t < t[n]) == rank - 1


@pytest.mark.parametrize("background", TABLE)
def test_intervals_of_table_4(background: float) -> None:
    """Our ordering and exact Poisson sums, against the table."""
    counts, signals = np.arange(60), np.arange(0.0, 16.0, STEP)
    inside = np.zeros((signals.size, counts.size), dtype=bool)
    for i, signal in enumerate(signals):
        t, p = ratios(counts, signal, background), poisson.pmf(counts, signal + background)
        order = np.argsort(t)
        before = np.cumsum(p[order]) - p[order]
        inside[i, order] = before < 0.9
    for n, low, high in TABLE[background]:
        found = signals[inside[:, n]]
        assert found[0] == pytest.approx(low, abs=0.005 + STEP)  # half the last digit
        assert found[-1] == pytest.approx(high, abs=0.005 + STEP)


@pytest.mark.parametrize(("n", "low", "high"), TABLE[3.0][5:])
def test_pseudo_experiments_find_the_same_ends(n: int, low: float, high: float) -> None:
    """p is above 0.1 inside of the printed intervals, and below outside, where n is far enough."""
    number, background = 40_000, 3.0
    for signal, inside in ((low + 0.02, True), (high - 0.02, True), (high + 0.02, False)):
        t = np.empty(number)
        point = np.array([n, int(1e3 * signal), 5, 6])
        toys.counts(point, signal + background, background, np.inf, t)
        own = toys.count_ratio(float(n), signal + background, background, np.inf)
        counts = np.arange(80)
        every = ratios(counts, signal, background)
        exact = poisson.pmf(counts, signal + background)[every >= own - 1e-9].sum()
        assert (exact > 0.1) == inside
        found = np.mean(t >= own - 1e-9)
        assert abs(found - exact) < 4.0 * np.sqrt(exact * (1.0 - exact) / number)
