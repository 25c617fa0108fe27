"""Profiled likelihoods against closed forms, against scipy, and against what convexity implies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from lmltgrid.kernels import likelihood, pulls

Array = NDArray[np.float64]


class Problem(NamedTuple):
    """The arguments of `profile`, theta apart."""

    signal: Array
    observed: Array
    background: Array
    pull_signal: Array
    pull_background: Array
    variance: Array

    def fit(self, start: Array | None = None) -> tuple[float, int, Array]:
        theta = np.zeros(len(self.pull_signal)) if start is None else start.copy()
        chi2, steps = likelihood.profile(*self, theta)
        return chi2, steps, theta

    def change(self) -> Array:
        return np.asarray(self.pull_signal * self.signal + self.pull_background)

    def mean(self, theta: Array) -> Array:
        return np.asarray(self.signal + self.background + theta @ self.change())

    def chi2(self, theta: Array) -> float:
        """The chi-square at given pulls, from its definition."""
        mu, n = self.mean(theta), self.observed
        gauss = self.variance > 0.0
        if np.any(mu[~gauss & (n > 0.0)] <= 0.0):
            return np.inf
        total = float(theta @ theta) + np.sum((n - mu)[gauss] ** 2 / self.variance[gauss])
        for m, k in zip(mu[~gauss], n[~gauss], strict=True):
            total += 2.0 * (m - k + k * np.log(k / m)) if k > 0.0 else 2.0 * m
        return float(total)

    def slope(self, theta: Array) -> Array:
        first, _ = self.by_mean(theta)
        return np.asarray(2.0 * (theta + self.change() @ first))

    def hessian(self, theta: Array) -> Array:
        (_, second), change = self.by_mean(theta), self.change()
        return np.asarray(2.0 * (np.eye(theta.size) + (change * second) @ change.T))

    def by_mean(self, theta: Array) -> tuple[Array, Array]:
        """Both derivatives of half the chi-square of each bin."""
        mu, n = self.mean(theta), self.observed
        gauss = self.variance > 0.0
        weight = 1.0 / np.where(gauss, self.variance, 1.0)
        first = np.where(gauss, (mu - n) * weight, 1.0 - n / mu)
        return first, np.where(gauss, weight, n / mu**2)


def one_bin(n: float, signal: float, background: float, a: float, c: float) -> Problem:
    one = np.ones(1)
    rows = (np.array([[a]]), np.array([[c]]))
    return Problem(signal * one, n * one, background * one, *rows, np.zeros(1))


@st.composite
def problems(draw: st.DrawFn, least: float = 1.0, gauss: bool = True) -> Problem:
    """Small problems: a norm of the signal, a shape of it, and the norm of two backgrounds."""
    bins = draw(st.integers(1, 5))

    def array(low: float, high: float) -> Array:
        return np.array(draw(st.lists(st.floats(low, high), min_size=bins, max_size=bins)))

    signal, first, second = array(0.0, 100.0), array(0.5, 50.0), array(0.0, 50.0)
    zero = np.zeros(bins)
    a = np.stack([np.full(bins, draw(st.floats(0.01, 0.3))), array(-0.1, 0.1), zero, zero])
    c = np.stack(
        [zero, zero, draw(st.floats(0.01, 0.5)) * first, draw(st.floats(0.0, 1.0)) * second]
    )
    variance = array(-50.0, 50.0)
    variance = np.where(variance > 1.0, variance, 0.0) if gauss else zero
    return Problem(signal, array(least, 200.0), first + second, a, c, variance)


@settings(deadline=None, max_examples=40)
@given(problem=problems())
def test_it_is_the_minimum_that_scipy_finds(problem: Problem) -> None:
    ours, _, theta = problem.fit()
    # of scipy's methods with a gradient, this one takes an infinite chi-square for a wrong turn
    found = minimize(
        problem.chi2, np.zeros(4), jac=problem.slope, hess=problem.hessian, method="trust-exact"
    )
    # it stops at a slope of 1e-4, which is within 1e-8 / 4 of the minimum
    assert ours == pytest.approx(found.fun, rel=1e-11, abs=1e-8)
    np.testing.assert_allclose(theta, found.x, atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_nothing_is_lower_by_convexity(problem: Problem) -> None:
    """The Hessian is at least 2, so that the minimum is within |gradient|^2 / 4."""
    ours, steps, theta = problem.fit()
    slope = problem.slope(theta)
    assert steps >= 0
    assert slope @ slope / 4.0 < 1e-9
    assert ours == pytest.approx(problem.chi2(theta), rel=1e-11, abs=1e-9)
    assert ours <= problem.chi2(np.zeros(4)) * (1.0 + 1e-12) + 1e-9


@settings(deadline=None, max_examples=40)
@given(problem=problems(least=0.0), start=st.tuples(*4 * [st.floats(-3.0, 3.0)]))
def test_a_warm_start_gives_the_same_as_a_cold_one(
    problem: Problem, start: tuple[float, ...]
) -> None:
    cold, _, theta = problem.fit()
    warm, steps, other = problem.fit(np.array(start))
    assert steps >= 0
    assert warm == pytest.approx(cold, rel=1e-12, abs=2e-9)
    # chi2 rises at least as the square of the distance
    np.testing.assert_allclose(other, theta, atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(
    n=st.one_of(st.just(0.0), st.floats(1e-3, 1e5)),
    background=st.floats(0.0, 1e3),
    signal=st.floats(1e-3, 1e3),
    fraction=st.floats(1e-3, 1.0),
)
def test_one_bin_with_one_pull_is_the_closed_form(
    n: float, background: float, signal: float, fraction: float
) -> None:
    ours, steps, theta = one_bin(n, signal, background, fraction, 0.0).fit()
    error = (fraction * signal) ** 2
    assert steps >= 0
    # the closed form takes log1p(mu/n - 1), which has lost eight digits at mu/n = 1e-8
    closed = pulls.deviance(n, background + signal, error)
    assert ours == pytest.approx(closed, rel=1e-8, abs=1e-9)
    mean = pulls.profiled_mean(n, background + signal, error)
    assert background + signal * (1 + fraction * theta[0]) == pytest.approx(
        mean, rel=1e-5, abs=1e-5
    )


def test_one_normalization_is_the_closed_form() -> None:
    """Sum w d^2 - (sum w d t)^2/(sum w t^2 + 1/s^2), P21 eq. 34, in one step."""
    rng = np.random.default_rng(1)
    signal, variance = rng.uniform(1.0, 50.0, (2, 8))
    n, s = signal + rng.normal(size=8) * 4.0, 0.2
    w, d = 1.0 / variance, n - signal
    closed = w @ d**2 - (w @ (d * signal)) ** 2 / (w @ signal**2 + 1.0 / s**2)
    ours, steps, _ = Problem(
        signal, n, np.zeros(8), np.full((1, 8), s), np.zeros((1, 8)), variance
    ).fit()
    assert steps == 1
    assert ours == pytest.approx(closed, rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("number", [0, 1, 9])
def test_gaussian_bins_are_the_closed_form_in_one_step(number: int, scale: float) -> None:
    """d.d - b (1 + A A^T)^-1 b with b = A d; AC22 eq. 2.7."""
    rng = np.random.default_rng(2)
    signal, background, variance = rng.uniform(1.0, 50.0, (3, 12))
    a, c = rng.normal(size=(2, number, 12)) * 0.3
    n = background + signal + rng.normal(size=12) * 5.0
    problem = Problem(scale * signal, n, background, a, c * 10.0, variance)
    d = (problem.observed - problem.mean(np.zeros(number))) / np.sqrt(variance)
    matrix = problem.change() / np.sqrt(variance)
    b = matrix @ d
    closed = d @ d - b @ np.linalg.solve(np.eye(number) + matrix @ matrix.T, b)
    ours, steps, theta = problem.fit()
    assert steps == (1 if number else 0)
    # the closed form is a difference of numbers as large as d.d
    assert ours == pytest.approx(closed, rel=1e-10, abs=1e-14 * (d @ d))
    np.testing.assert_allclose(
        theta, np.linalg.solve(np.eye(number) + matrix @ matrix.T, b), atol=1e-10
    )
    assert problem.fit(theta + 1.0)[0] == pytest.approx(ours, rel=1e-11)


def test_without_pulls_it_is_the_sum() -> None:
    empty = np.empty((0, 3))
    n, mu = np.array([0.0, 4.0, 9.0]), np.array([2.0, 4.0, 7.0])
    ours, steps, _ = Problem(mu, n, np.zeros(3), empty, empty, np.array([0.0, 0.0, 2.0])).fit()
    assert steps == 0
    assert ours == 4.0 + 0.0 + 2.0


@pytest.mark.parametrize(
    ("pull", "value"),
    [
        (1.0, 2.0 * 2.0 + 1.0),  # mu = B - V
        (2.0, 9.0 / 4.0),  # the pull explains all of it, at its price
        (100.0, 9.0 / 1e4),
    ],
)
def test_a_bin_without_events_expects_no_less_than_nothing(pull: float, value: float) -> None:
    ours, steps, theta = one_bin(0.0, 0.0, 3.0, 0.0, pull).fit()
    assert steps >= 0
    assert ours == pytest.approx(value, abs=1e-9)
    assert 3.0 + theta[0] * pull > -1e-9


def test_two_bins_without_events_at_their_ends() -> None:
    """Nothing is below zero in the first bin to get there, though the others want it."""
    background, c = np.array([1.0, 4.0, 10.0]), np.array([[1.0, 2.0, 50.0]])
    zero = np.zeros(3)
    ours, _, theta = Problem(zero, zero, background, np.zeros((1, 3)), c, zero).fit()
    assert theta[0] == pytest.approx(-0.2, abs=1e-9)
    assert ours == pytest.approx(2.0 * (0.8 + 3.6) + 0.04, abs=1e-9)


def test_zero_background_and_empty_bins() -> None:
    """A bin where nothing is expected and nothing seen adds nothing, nor a tiny Asimov one."""
    signal = np.array([20.0, 0.0, 1e-30, 5.0])
    zero, row = np.zeros(4), np.ones((1, 4))
    full = Problem(signal, signal * 1.2, zero, 0.1 * row, 0.0 * row, zero)
    keep = [0, 3]
    part = Problem(*(array[..., keep] for array in full))
    assert full.fit()[0] == pytest.approx(part.fit()[0], rel=1e-12)
    asimov = full._replace(observed=signal)
    assert asimov.fit()[0] == pytest.approx(0.0, abs=1e-20)


def test_digits_are_kept_next_to_the_data() -> None:
    """2 (B - n + n log(n/B)) is d^2/n; the difference of logarithms would have no digits."""
    problem = one_bin(1e8, 0.0, 1e8 + 1.0, 0.0, 1e-9)
    assert problem.fit()[0] == pytest.approx(1e-8, rel=1e-6)


@pytest.mark.parametrize("signal", [1e2, 1e4, 1e6, 1e8])
def test_a_huge_signal_is_pulled_to_what_is_seen(signal: float) -> None:
    """Its pull is next to -1/a, where the norm of the signal is free but for a constant price."""
    n, background = np.array([3.0, 1.0, 0.0, 5.0]), np.array([2.0, 1.0, 0.5, 3.0])
    shape = np.array([0.4, 0.3, 0.2, 0.1])
    a, c = np.full((1, 4), 0.12), np.zeros((1, 4))
    ours, steps, theta = Problem(signal * shape, n, background, a, c, np.zeros(4)).fit()
    assert 0 <= steps < 30

    def free(norm: float) -> float:
        mu = background + norm * shape
        pull = (norm / signal - 1.0) / 0.12
        seen = n > 0.0
        logs = n[seen] * np.log(n[seen] / mu[seen])
        return float(2.0 * (np.sum(mu - n) + np.sum(logs)) + pull**2)

    found = minimize_scalar(free, bounds=(-2.4, 20.0), method="bounded", options={"xatol": 1e-9})
    assert ours == pytest.approx(found.fun, abs=1e-9 + 1e-13 * signal)
    if signal > 1e3:
        assert theta[0] == pytest.approx(-1.0 / 0.12, abs=200.0 / signal)


def test_strong_pulls_hold_bins_at_zero_beside_others() -> None:
    """Against a constrained minimizer: a deficit in one bin empties the bin without events."""
    background = np.array([4.0, 50.0, 1.0])
    c = np.array([[3.0, 10.0, 0.0], [0.5, 0.0, -1.0]])
    n, zero = np.array([0.0, 10.0, 6.0]), np.zeros(3)
    problem = Problem(zero, n, background, np.zeros((2, 3)), c, zero)
    ours, _, theta = problem.fit()
    found = minimize(
        problem.chi2,
        np.zeros(2),
        jac=problem.slope,
        method="SLSQP",
        constraints={"type": "ineq", "fun": problem.mean, "jac": lambda _: c.T},
        options={"ftol": 1e-13},
    )
    assert problem.mean(theta)[0] == pytest.approx(0.0, abs=1e-9)
    assert ours == pytest.approx(found.fun, abs=1e-7)
    assert np.all(theta[0] < -1.0)


def test_what_cannot_be_is_expensive_not_infinite() -> None:
    """Events where nothing is expected, whatever the pulls: about 2 n log(n/1e-9)."""
    ours, steps, _ = one_bin(2.0, 0.0, 0.0, 0.1, 0.0).fit()
    assert steps == 0
    assert ours == pytest.approx(2.0 * (2.0 * np.log(2.0 / 1e-9)), rel=0.1)


def test_a_start_where_nothing_is_expected_recovers() -> None:
    """With mu = 2 theta: 2 (mu - 5 + 5 log(5/mu)) + mu^2/4, and mu^2 + 4 mu - 20 = 0."""
    ours, steps, _ = one_bin(5.0, 0.0, 0.0, 0.0, 2.0).fit()
    mu = np.sqrt(24.0) - 2.0
    assert 0 < steps < 60
    assert ours == pytest.approx(2.0 * (mu - 5.0 + 5.0 * np.log(5.0 / mu)) + mu**2 / 4.0, rel=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", Problem._fields)
@pytest.mark.parametrize("gauss", [False, True])
def test_what_is_not_finite_is_nan(field: str, bad: float, gauss: bool) -> None:
    two = np.array([2.0, 3.0])
    rows = np.array([[0.1, 0.1], [0.0, 0.2]])
    problem = Problem(two, two + 1.0, two, rows, rows, two if gauss else np.zeros(2))
    array = getattr(problem, field).copy()
    array[..., 1] = bad
    with np.errstate(all="ignore"):
        ours, steps, theta = problem._replace(**{field: array}).fit()
    if field == "variance" and bad == np.inf:
        # a Gaussian bin that knows nothing
        assert steps >= 0
        return
    assert np.isnan(ours)
    assert steps < 0
    assert np.all(theta == 0.0)
    assert gauss or np.isnan(problem._replace(observed=np.array([2.0, -1.0])).fit()[0])


def test_a_start_that_is_no_start_is_cold() -> None:
    problem = one_bin(5.0, 3.0, 4.0, 0.3, 0.0)
    cold = problem.fit()[0]
    for start in (np.nan, np.inf, -1e9, 1e12):
        with np.errstate(all="ignore"):
            assert problem.fit(np.array([start]))[0] == pytest.approx(cold, rel=1e-11)


def plane_problem() -> tuple[Array, Array, Problem]:
    """Interference that cancels the signal at another coupling in each bin; coefficients, x."""
    rng = np.random.default_rng(3)
    signal, background = rng.uniform(1.0, 20.0, 6), rng.uniform(0.5, 10.0, 6)
    power = rng.uniform(0.5, 2.0, (6, 2))
    c1, c2 = -2.0 * signal[:, None] * power, signal[:, None] * power**2
    c0 = np.repeat(signal[:, None], 2, axis=1)
    n = rng.poisson(signal + background).astype(float)
    n[4] = 0.0
    zero = np.zeros(6)
    a = np.stack([np.full(6, 0.13), 0.05 * rng.normal(size=6), zero])
    c = np.stack([zero, zero, 0.3 * background])
    variance = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 12.0])
    coefficients = np.stack([c0, c1, c2], axis=1)
    x = np.concatenate([[0.0], np.geomspace(1e-2, 1e3, 12)])
    return coefficients, x, Problem(zero, n, background, a, c, variance)


def test_a_plane_is_its_points() -> None:
    coefficients, x, problem = plane_problem()
    found = likelihood.plane(coefficients, x, *problem[1:])
    assert found.shape == (2, 13)
    for i in range(2):
        c0, c1, c2 = coefficients[:, :, i].T
        for j in range(x.size):
            point = problem._replace(signal=c0 + x[j] * (c1 + x[j] * c2))
            rounding = 1e-15 * point.signal.sum()
            assert found[i, j] == pytest.approx(point.fit()[0], rel=1e-12, abs=1e-10 + rounding)
        alone = likelihood.plane(coefficients[:, :, i : i + 1], x, *problem[1:])
        np.testing.assert_array_equal(alone[0], found[i])


def test_couplings_in_any_order_and_masses_apart() -> None:
    coefficients, x, problem = plane_problem()
    found = likelihood.plane(coefficients, x, *problem[1:])
    # rounding of up to 1e8 counts
    back = likelihood.plane(coefficients[:, :, ::-1], x[::-1], *problem[1:])
    np.testing.assert_allclose(back[::-1, ::-1], found, rtol=1e-11, atol=1e-7)
    alone = likelihood.plane(coefficients[:, :, 1:], x, *problem[1:])
    np.testing.assert_array_equal(alone[0], found[1])


def test_a_point_that_fails_leaves_the_others() -> None:
    coefficients, x, problem = plane_problem()
    expected = likelihood.plane(coefficients, x, *problem[1:])
    x = x.copy()
    x[5] = np.nan
    with np.errstate(all="ignore"):
        found = likelihood.plane(coefficients, x, *problem[1:])
    assert np.all(np.isnan(found[:, 5]))
    rest = np.arange(x.size) != 5
    np.testing.assert_allclose(found[:, rest], expected[:, rest], rtol=1e-11, atol=1e-7)


def test_nuisances_are_the_pulls_of_the_minimum() -> None:
    problem = one_bin(5.0, 3.0, 4.0, 0.3, 0.0)
    chi2, theta = likelihood.nuisances(*problem)
    ours, _, same = problem.fit()
    assert chi2 == ours
    np.testing.assert_array_equal(theta, same)
    with np.errstate(all="ignore"):
        chi2, theta = likelihood.nuisances(*problem._replace(observed=np.array([np.nan])))
    assert np.isnan(chi2)
    assert np.all(np.isnan(theta))


def test_shapes_that_do_not_fit_are_refused() -> None:
    coefficients, x, problem = plane_problem()
    with pytest.raises(ValueError, match=r"background has shape \(5,\); with these bins .* \(6,\)"):
        problem._replace(background=np.ones(5)).fit()
    with pytest.raises(ValueError, match=r"pull_background has shape \(2, 6\).* \(3, 6\)"):
        likelihood.plane(coefficients, x, *problem._replace(pull_background=np.ones((2, 6)))[1:])
    with pytest.raises(ValueError, match=r"give \(bin, 3, mass\) and \(coupling,\)"):
        likelihood.plane(coefficients[:, :2], x, *problem[1:])
