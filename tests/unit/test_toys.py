"""The likelihood ratios of pseudo-experiments, against brute force and closed forms."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import chi2

from lmltgrid import toys as points
from lmltgrid.kernels import toys
from lmltgrid.kernels.random import begin, streams
from lmltgrid.kernels.toys import Bins
from lmltgrid.ladders import Curves

POINT = np.array([1, 2, 3, 4])


def spectrum(*, gaussian: bool = False, pulls: bool = True, curves: int = 1) -> Curves:
    """Five bins with a destructive interference; two pulls: of the signal, and of a background."""
    shape = np.array([30.0, 22.0, 14.0, 8.0, 4.0])
    soft = np.array([1.3, 1.1, 0.9, 0.7, 0.5])
    mean = np.empty((curves, 3, 5))
    change = np.zeros((curves, 2 if pulls else 0, 3, 5))
    for i in range(curves):
        strength = soft ** (1.0 + i)
        mean[i] = shape, -1.2 * shape * strength, 0.5 * shape * strength**2
        if pulls:
            change[i, 0] = 0.1 * mean[i]
            change[i, 1, 0] = 2.0, 2.0, 2.0, 2.0, 2.0
    scale = np.moveaxis(mean, 1, 2).copy()
    mean[:, 0] += 10.0
    variance = 1.2 * mean[0, 0] if gaussian else np.zeros(5)
    return Curves(Bins(mean, change, variance), mean[0, 0].copy(), scale)


def likelihood(one: Curves, data: np.ndarray, aux: np.ndarray, curve: int, x: float) -> float:
    """The chi-square minimized over the pulls by scipy."""
    powers = np.array([1.0, x, x * x])
    mean, change = (
        powers @ one.bins.mean[curve],
        np.tensordot(powers, one.bins.change[curve], (0, 1)),
    )

    def value(theta: np.ndarray) -> float:
        mu = np.maximum(mean + theta @ change, 1e-9)
        if one.bins.variance[0] > 0.0:
            terms = (mu - data) ** 2 / one.bins.variance
        else:
            logs = data * np.log(np.where(data > 0.0, data, 1.0) / mu)
            terms = 2.0 * (mu - data + logs)
        return float(terms.sum() + np.sum((theta - aux) ** 2))

    if not aux.size:
        return value(aux)
    return float(minimize(value, aux, method="BFGS", options={"gtol": 1e-7}).fun)


def brute(one: Curves, data: np.ndarray, aux: np.ndarray, curve: int) -> float:
    """The least chi-square on a curve: at many couplings, and polished between the best."""
    grid = np.linspace(0.0, 6.0, 61)
    every = np.array([likelihood(one, data, aux, curve, x) for x in grid])
    least = float(every.min())
    around = np.pad(every, 1, constant_values=np.inf)
    for i in np.flatnonzero((every <= around[:-2]) & (every <= around[2:]) & (every < least + 2.0)):
        ends = grid[max(i - 1, 0)], grid[min(i + 1, grid.size - 1)]
        found = minimize_scalar(
            lambda x: likelihood(one, data, aux, curve, x), bounds=ends, method="bounded"
        )
        least = min(least, float(found.fun))
    return least


def test_count_ratio_is_zero_at_the_best_mean() -> None:
    assert toys.count_ratio(5.0, 5.0, 3.0, np.inf) == 0.0
    assert toys.count_ratio(1.0, 3.0, 3.0, np.inf) == 0.0  # no coupling gives less
    assert toys.count_ratio(9.0, 4.0, 3.0, 4.0) == 0.0  # nor more
    assert toys.count_ratio(0.0, 4.0, 3.0, np.inf) == pytest.approx(2.0)
    expected = 2.0 * (4.0 - 9.0 + 9.0 * np.log(9.0 / 4.0))
    assert toys.count_ratio(9.0, 4.0, 3.0, np.inf) == pytest.approx(expected)
    assert toys.count_ratio(1.0, 0.0, 0.0, np.inf) == np.inf


def test_number_ratio() -> None:
    assert toys.number_ratio(3.0, 1.0, 0.5, 0.0, np.inf) == pytest.approx(16.0)
    assert toys.number_ratio(-1.0, 1.0, 0.5, 0.0, np.inf) == pytest.approx(16.0 - 4.0)
    assert toys.number_ratio(-1.0, 0.0, 0.5, 0.0, np.inf) == 0.0


@pytest.mark.parametrize("gaussian", [False, True], ids=["poisson", "gaussian"])
@pytest.mark.parametrize("pulls", [False, True], ids=["no pulls", "pulls"])
@pytest.mark.parametrize("x", [0.0, 0.4, 3.0])
def test_ratios_of_bins_are_those_of_brute_force(gaussian: bool, pulls: bool, x: float) -> None:
    """Fits at many couplings by another program, on the same data and auxiliary measurements."""
    one = spectrum(gaussian=gaussian, pulls=pulls, curves=2)
    own, found = one.profiled(x)
    mean = one.expected(x, found)
    count = 3
    t = np.empty(count)
    toys.fits(POINT, one.bins, one.ladder(x, found), mean, found, t)
    assert own >= one.least - 1e-6
    stream = streams(POINT)
    trial = toys.trial(one.bins, np.empty(5), np.empty(found.size))
    for i in range(count):
        begin(stream, i)
        toys.draw(stream, mean, one.bins.variance, found, trial)
        data, aux = trial.fit.observed.copy(), trial.aux.copy()
        here = likelihood(one, data, aux, 0, x)
        least = min(brute(one, data, aux, 0), brute(one, data, aux, 1), here)
        assert t[i] == pytest.approx(here - least, abs=2e-4)


def test_all_steps_are_fitted_or_foretold_to_be_worse() -> None:
    """Without the forecast every step is fitted, which takes longer and finds the same."""
    one = spectrum(curves=3)
    for x in (0.0, 0.1, 0.8, 2.5):
        _, pulls = one.profiled(x)
        ladder, mean = one.ladder(x, pulls), one.expected(x, pulls)
        every = ladder._replace(
            constant=np.zeros_like(ladder.constant),
            of_data=np.zeros_like(ladder.of_data),
            of_aux=np.zeros_like(ladder.of_aux),
        )
        quick, thorough = np.empty(40), np.empty(40)
        toys.fits(POINT, one.bins, ladder, mean, pulls, quick)
        toys.fits(POINT, one.bins, every, mean, pulls, thorough)
        np.testing.assert_allclose(quick, thorough, atol=1e-3)


def test_a_ladder_has_the_point_and_the_strip_beyond_the_interference() -> None:
    """The counts are back at those of the Standard Model at x = 2.4 / strength."""
    one = spectrum()
    ladder = one.ladder(0.01, np.zeros(2))
    assert ladder.x[ladder.own] == 0.01
    assert ladder.curve[ladder.own] == 0
    assert ladder.x.max() > 2.0
    assert np.all(ladder.low <= ladder.x)
    assert np.all(ladder.x <= ladder.high)
    assert np.all(np.isfinite(ladder.constant))


def test_a_blind_experiment_rejects_nothing() -> None:
    mean = np.zeros((1, 3, 2))
    mean[0, 0] = 5.0, 1.0
    bins = Bins(mean, np.zeros((1, 0, 3, 2)), np.zeros(2))
    one = Curves(bins, np.array([5.0, 1.0]), np.zeros((1, 2, 3)))
    t = np.empty(50)
    toys.fits(POINT, bins, one.ladder(1e-8, np.empty(0)), mean[0, 0], np.empty(0), t)
    np.testing.assert_allclose(t, 0.0, atol=1e-9)


def test_what_is_stored_of_a_point() -> None:
    t = np.arange(1000.0)
    wanted = np.array([0.05, 0.9])
    found = points.summary(t[::-1].copy(), 900.0, wanted)
    assert found["quantile"].tolist() == [49.0, 899.0]  # the 50th and the 900th
    assert found["p_value"] == 0.1
    # one binomial standard deviation is 9.5 and 6.9 places
    assert found["quantile_error"] == pytest.approx([7.0, 9.0])
    failed = np.where(t < 20.0, np.nan, t)
    found = points.summary(failed, 900.0, wanted)
    assert found["failed"] == 20.0
    assert found["p_value"] == 0.12  # what has no fit counts as extreme
    assert found["quantile"].tolist() == [69.0, 919.0]
    assert np.isnan(points.summary(t, np.nan, wanted)["p_value"])
    assert points.summary(np.zeros(100), 1e-9, wanted)["p_value"] == 1.0  # a tie
    same = np.repeat([1.0, 1.0 + 1e-6], 500)  # one number of events, but for rounding
    assert points.summary(same, 1.0, np.array([0.5]))["quantile_error"] == 0.0


def test_ratio_of_a_number_is_a_chi_square() -> None:
    """Far from the border; at the border half of them are zero."""
    t = np.empty(20_000)
    for place, half in ((100.0, 1.0), (0.0, 0.5)):
        toys.numbers(POINT, place, 2.0, 0.0, np.inf, t)
        for level in (0.68, 0.90, 0.95):
            expected = 1.0 - half * (1.0 - level)
            error = np.sqrt(expected * (1.0 - expected) / t.size)
            assert abs(np.mean(t <= chi2.ppf(level, 1)) - expected) < 4.0 * error


BITS = """
import hashlib, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_toys import POINT, spectrum
from lmltgrid.kernels import toys
out = [np.empty(20) for _ in range(4)]
toys.counts(POINT, 4.0, 3.0, np.inf, out[0])
toys.numbers(POINT, 4.0, 1.0, 3.0, np.inf, out[1])
for k, gaussian in ((2, False), (3, True)):
    one = spectrum(gaussian=gaussian)
    _, pulls = one.profiled(0.3)
    ladder, mean = one.ladder(0.3, pulls), one.expected(0.3, pulls)
    toys.fits(POINT, one.bins, ladder, mean, pulls, out[k])
print(hashlib.sha256(np.array(out).tobytes()).hexdigest())
"""


def test_compiled_and_plain_pseudo_experiments_have_the_same_bits() -> None:
    digests = set()
    for plain in ("0", "1"):
        env = os.environ | {"NUMBA_DISABLE_JIT": plain}
        call = [sys.executable, "-c", BITS, os.path.dirname(__file__)]
        done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1
