"""Benchmarks of profiled likelihoods: ours against scipy.optimize and iminuit, on the same points.

The problems are synthetic, with the sizes and the counts of the COHERENT data: cesium iodide of 2021
(99 Poisson bins, 4 pulls) and argon of 2020 (120 Gaussian bins, 9 pulls), on a line of couplings
through the interference and beyond. Minima are compared before anything is timed; the others get
the gradient, scipy the Hessian too where its method takes one, and all start from the pulls of the
coupling before, as ours do. Times are the best of several repetitions.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import iminuit
import numpy as np
import scipy
from scipy.optimize import minimize
from timing import best, line

from lmltgrid.analysis.limits import limits
from lmltgrid.analysis.reproduce import ac22
from lmltgrid.kernels import likelihood

COUPLINGS = np.geomspace(1e-2, 1e1, 100)  # in units of that which cancels the signal
METHODS = ("BFGS", "L-BFGS-B", "SLSQP", "Newton-CG", "trust-exact")


class Problem(NamedTuple):
    """One experiment: coefficients of shape (bin, 3), the rest as `likelihood.plane` takes it."""

    coefficients: np.ndarray
    observed: np.ndarray
    background: np.ndarray
    pull_signal: np.ndarray
    pull_background: np.ndarray
    variance: np.ndarray


def shape(energy: np.ndarray, when: np.ndarray) -> np.ndarray:
    """A density on the flattened bins, energy slowest."""
    return np.outer(energy / energy.sum(), when / when.sum()).ravel()


def pion_decay(t: np.ndarray) -> np.ndarray:
    """A prompt pulse and the decays of muons, t in microseconds."""
    return 0.4 * np.exp(-0.5 * ((t - 0.6) / 0.25) ** 2) + 0.3 * (t > 0.4) * np.exp(-t / 2.2)


def interference(signal: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Coefficients of N (1 - x strength)^2: a light mediator is felt more at low recoils."""
    return np.stack([signal, -2.0 * signal * strength, signal * strength**2], axis=1)


def cesium() -> Problem:
    """9 x 11 bins: 306 signal events above 1286 steady, 18 prompt and 6 neutrino-induced."""
    rng = np.random.default_rng(2021)
    e, t = np.linspace(10.0, 55.0, 9), np.linspace(0.06, 5.5, 11)
    signal = 306.0 * shape((e - 5.0) * np.exp(-e / 9.0), pion_decay(t))
    steady = 1286.0 * shape(np.exp(-e / 12.0) + 0.1, np.exp(-t / 15.0))
    prompt = np.exp(-0.5 * ((t - 0.6) / 0.25) ** 2) + 1e-3
    neutrons = 18.4 * shape(np.exp(-e / 40.0), prompt)
    induced = 5.6 * shape(np.exp(-e / 20.0), prompt)
    background = steady + neutrons + induced
    a, c = np.zeros((4, 99)), np.zeros((4, 99))
    a[0] = 0.12
    c[1:] = 0.25 * neutrons, 0.35 * induced, 0.021 * steady
    observed = rng.poisson(signal + background).astype(float)
    strength = np.repeat(30.0 / (15.0 + e), 11)
    return Problem(interference(signal, strength), observed, background, a, c, np.zeros(99))


def argon() -> Problem:
    """12 x 10 bins: 128 signal events above 3152 steady, 497 prompt and 33 delayed neutrons."""
    rng = np.random.default_rng(2020)
    e, t = np.linspace(5.0, 115.0, 12), np.linspace(0.25, 4.75, 10)
    signal = 128.0 * shape(np.exp(-e / 20.0), pion_decay(t))
    steady = 3152.0 * shape(np.exp(-e / 30.0) + 0.1, np.ones(10))
    prompt = np.exp(-0.5 * ((t - 0.5) / 0.3) ** 2) + 1e-3
    neutrons, late = 497.0 * shape(np.exp(-e / 80.0), prompt), 33.0 * shape(e, np.exp(-t / 2.0))
    background = steady + neutrons + late
    tilt, drift = np.repeat(np.linspace(-1.0, 1.0, 12), 10), np.tile(np.linspace(-1.0, 1.0, 10), 12)
    a, c = np.zeros((9, 120)), np.zeros((9, 120))
    a[:3] = 0.13 * np.ones(120), 0.06 * tilt, 0.04 * drift
    c[3:6] = 0.0079 * steady, 0.32 * neutrons, late
    c[6:] = 0.2 * tilt * neutrons, 0.1 * drift * neutrons, 0.1 * (drift**2 - 0.5) * neutrons
    mean = signal + background
    variance = mean + steady / 5.0
    observed = mean + rng.normal(size=120) * np.sqrt(variance)
    strength = np.repeat(40.0 / (20.0 + e), 10)
    return Problem(interference(signal, strength), observed, background, a, c, variance)


class Point:
    """One coupling, as a well-written numpy program would have it: what is fixed is outside."""

    def __init__(self, problem: Problem, x: float) -> None:
        self.signal = problem.coefficients @ np.array([1.0, x, x * x])
        self.change = problem.pull_signal * self.signal + problem.pull_background
        self.central = self.signal + problem.background
        self.observed, self.variance = problem.observed, problem.variance
        self.gauss = bool(problem.variance.all())
        n = problem.observed
        self.seen = n > 0.0
        self.counts = n[self.seen]
        self.constant = float(np.sum(self.counts * np.log(self.counts)) - n.sum())

    def chi2(self, theta: np.ndarray) -> float:
        """The chi-square at given pulls."""
        mu = self.central + theta @ self.change
        if self.gauss:
            return float(theta @ theta + np.sum((mu - self.observed) ** 2 / self.variance))
        inside = mu[self.seen]
        if inside.min() <= 0.0:
            return float("inf")
        logs = float(self.counts @ np.log(inside))
        return float(theta @ theta) + 2.0 * (float(mu.sum()) + self.constant - logs)

    def slope(self, theta: np.ndarray) -> np.ndarray:
        """Its gradient."""
        mu = self.central + theta @ self.change
        first = (mu - self.observed) / self.variance if self.gauss else 1.0 - self.observed / mu
        return 2.0 * (theta + self.change @ first)

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        """Its second derivatives."""
        if self.gauss:
            second = 1.0 / self.variance
        else:
            second = self.observed / (self.central + theta @ self.change) ** 2
        return 2.0 * (np.eye(theta.size) + (self.change * second) @ self.change.T)

    def closed(self) -> float:
        """The closed form of Gaussian bins, by numpy."""
        root = np.sqrt(self.variance)
        d, matrix = (self.observed - self.central) / root, self.change / root
        b = matrix @ d
        return float(d @ d - b @ np.linalg.solve(np.eye(b.size) + matrix @ matrix.T, b))


def by_scipy(problem: Problem, method: str) -> np.ndarray:
    """Minima along the couplings by one of scipy's methods."""
    theta, out = np.zeros(len(problem.pull_signal)), np.empty(COUPLINGS.size)
    for i, x in enumerate(COUPLINGS):
        point = Point(problem, x)
        curved = {"hess": point.hessian} if method in {"Newton-CG", "trust-exact"} else {}
        # a line search must not start where the chi-square is infinite
        start = theta if np.isfinite(point.chi2(theta)) else np.zeros_like(theta)
        found = minimize(point.chi2, start, jac=point.slope, method=method, **curved)
        theta, out[i] = found.x, found.fun
    return out


def by_iminuit(problem: Problem, strategy: int) -> np.ndarray:
    """Minima along the couplings by MIGRAD, with the gradient."""
    theta, out = np.zeros(len(problem.pull_signal)), np.empty(COUPLINGS.size)
    for i, x in enumerate(COUPLINGS):
        point = Point(problem, x)
        start = theta if np.isfinite(point.chi2(theta)) else np.zeros_like(theta)
        fit = iminuit.Minuit(point.chi2, start, grad=point.slope)
        fit.errordef = iminuit.Minuit.LEAST_SQUARES
        fit.errors = np.ones(theta.size)
        fit.strategy = strategy
        fit.migrad()
        theta, out[i] = np.array(fit.values), fit.fval
    return out


def by_closed_form(problem: Problem) -> np.ndarray:
    """Minima of Gaussian bins along the couplings by numpy.linalg."""
    return np.array([Point(problem, x).closed() for x in COUPLINGS])


def bench(name: str, problem: Problem) -> None:
    """Time one problem by every means."""

    def ours() -> np.ndarray:
        return likelihood.plane(problem[0][:, :, None], COUPLINGS, *problem[1:])[0]

    def cold() -> list[tuple[float, np.ndarray]]:
        return [likelihood.nuisances(signal, *problem[1:]) for signal in signals]

    signals = [Point(problem, x).signal for x in COUPLINGS]
    minima = ours()
    time_ours = best(ours, 20)
    same = np.abs(np.array([chi2 for chi2, _ in cold()]) - minima).max()
    line(
        f"{name}, {COUPLINGS.size} couplings, chi-square", f"{minima.min():.1f}-{minima.max():.1f}"
    )
    line("  ours, a point", f"{time_ours / COUPLINGS.size * 1e6:.1f} us")
    line(
        "  ours, one call and a cold start for each",
        f"{best(cold, 3) / COUPLINGS.size * 1e6:.1f} us",
    )
    line("    largest difference", f"{same:.1e}")
    others: dict[str, Callable[[], np.ndarray]] = {
        f"scipy.optimize, {method}": lambda method=method: by_scipy(problem, method)
        for method in METHODS
    }
    for strategy in (0, 1):
        label = f"iminuit, strategy {strategy}"
        others[label] = lambda strategy=strategy: by_iminuit(problem, strategy)
    if problem.variance.all():
        others["closed form by numpy.linalg"] = lambda: by_closed_form(problem)
    for label, call in others.items():
        # positive: they stop above our minimum
        excess = call() - minima
        line(
            f"  {label}: their minimum less ours, extremes",
            f"{excess.min():.0e} {excess.max():.0e}",
        )
        line(f"ratio {label}", f"{best(call, 3) / time_ours:.0f}")


def table_2() -> None:
    """Time the 66 bounds of AC22 Table 2 from moments to limits, once the kernels are compiled."""

    def bounds(data: str, model: str, **options: Any) -> int:
        masses, settings = (ac22.LOW, ac22.HIGH), ac22.SETTINGS | options
        found = limits(ac22.EXPERIMENTS[data], mass=masses, model=model, **settings)
        return int(np.isfinite(found["low"].values[:, 0]).sum())

    for data in ac22.EXPERIMENTS:
        # of another Sun, which no spallation source knows: the moments that all models of an
        # experiment share are kept by settings, and none are left for what is timed
        bounds(data, "B-L", metallicity="AGSS09met")
    total, number = 0.0, 0
    for data in ac22.EXPERIMENTS:
        start = time.perf_counter()
        number += sum(bounds(data, model) for model in ac22.TABLE)
        spent = time.perf_counter() - start
        total += spent
        line(f"AC22 Table 2, {data}: {len(ac22.TABLE)} models", f"{spent:.1f} s")
    line(f"AC22 Table 2, {number} bounds, start to end", f"{total:.1f} s")


def main() -> None:
    """Run all of them."""
    print(
        f"Python {sys.version.split()[0]}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"iminuit {iminuit.__version__}; one core"
    )
    bench("cesium iodide: 99 Poisson bins, 4 pulls", cesium())
    bench("argon: 120 Gaussian bins, 9 pulls", argon())
    table_2()


if __name__ == "__main__":
    main()
