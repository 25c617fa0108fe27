"""Benchmarks of pseudo-experiments: ours against numpy, scipy.optimize and iminuit.

Counts: the same number of pseudo-experiments at the same mean, drawn and sorted by both; quantiles
are compared within their errors first. Bins: the very same data and auxiliary measurements, fitted
at a fixed coupling and at the best one; the others fit the coupling together with the pulls, from
the true point and from both sides of the interference, with gradients, and their likelihood ratios
are compared with ours before anything is timed. The problem is that of `likelihood.py`: 99 Poisson
bins and 4 pulls, as of the COHERENT data on cesium iodide of 2021. One core; times are the best of
several repetitions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import iminuit
import numpy as np
import scipy
from likelihood import Point, best, cesium, line
from scipy.optimize import minimize

from lmltgrid import toys as points
from lmltgrid.kernels import toys
from lmltgrid.kernels.random import begin, streams
from lmltgrid.kernels.toys import Bins
from lmltgrid.ladders import Curves

NUMBER = 1000  # pseudo-experiments at a point
FEW = 20  # that the others fit
APART = 0.01  # of a likelihood ratio: the others end less precisely
TRUTH = 0.15  # in units of the coupling that cancels the signal
WANTED = np.array([0.5, 0.68, 0.9, 0.95])
WORDS = np.array([1, 2, 3, 4])


def counts(mean: float, background: float) -> None:
    """Time counted events."""
    t = np.empty(NUMBER)
    rng = np.random.Generator(np.random.Philox(1))

    def ours() -> np.ndarray:
        toys.counts(WORDS, mean, background, np.inf, t)
        return np.asarray(points.summary(t, 1.0, WANTED)["quantile"])

    def deviance(n: np.ndarray, mu: np.ndarray | float) -> np.ndarray:
        return 2.0 * (mu - n + scipy.special.xlogy(n, n / mu))

    def by_numpy() -> np.ndarray:
        n = rng.poisson(mean, NUMBER).astype(float)
        own = deviance(n, mean) - deviance(n, np.maximum(n, background))
        return np.quantile(own, WANTED, method="inverted_cdf")

    many = np.array([by_numpy() for _ in range(50)])
    apart = ours() - many.mean(axis=0)
    if np.any(abs(apart) > 5.0 * many.std(axis=0) + points.TIE):
        sys.exit(f"counts, mean {mean:g}: quantiles differ from numpy's by {apart}")
    line(f"counts, mean {mean:g}: quantiles less numpy's", " ".join(f"{v:.2f}" for v in apart))
    time_ours = best(ours, 50)
    line("  ours, a pseudo-experiment", f"{time_ours / NUMBER * 1e9:.0f} ns")
    line("ratio numpy and scipy.special, vectorized", f"{best(by_numpy, 50) / time_ours:.1f}")


def binned() -> None:
    """Time binned counts with pulls."""
    problem = cesium()
    mean = np.ascontiguousarray(problem.coefficients.T[None])
    change = problem.pull_signal[:, None, :] * mean[0] + 0.0
    change[:, 0] += problem.pull_background
    mean[0, 0] += problem.background
    bins = Bins(mean, np.ascontiguousarray(change[None]), problem.variance)
    curves = Curves(bins, problem.observed, problem.coefficients[None])
    _, pulls = curves.profiled(TRUTH)
    expected, ladder = curves.expected(TRUTH, pulls), curves.ladder(TRUTH, pulls)
    t = np.empty(NUMBER)

    def ours() -> None:
        toys.fits(WORDS, bins, ladder, expected, pulls, t)

    others: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "scipy.optimize, L-BFGS-B": lambda n, aux: by_scipy(problem._replace(observed=n), aux),
        "iminuit, strategy 0": lambda n, aux: by_iminuit(problem._replace(observed=n), aux),
    }
    ours()
    data = drawn(bins, expected, pulls)
    for label, call in others.items():
        excess = np.array([call(n, aux) for n, aux in data]) - t[:FEW]
        if np.any(abs(excess) > APART):
            sys.exit(f"{label}: likelihood ratios differ from ours by {excess}")
        line(f"{label}: likelihood ratio less ours", f"{excess.min():.0e} {excess.max():.0e}")
    time_ours = best(ours, 5) / NUMBER
    setup = best(lambda: curves.ladder(TRUTH, pulls), 5)
    line(
        f"99 Poisson bins, 4 pulls, {ladder.x.size} steps: ours, each", f"{time_ours * 1e6:.0f} us"
    )
    line("  before the first of a point", f"{setup * 1e3:.1f} ms")
    for label, call in others.items():
        spent = best(lambda call=call: [call(n, aux) for n, aux in data], 2) / FEW
        line(f"ratio {label}", f"{spent / (time_ours + setup / NUMBER):.0f}")


def drawn(bins: Bins, mean: np.ndarray, pulls: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The data and the auxiliary measurements of the first pseudo-experiments."""
    stream = streams(WORDS)
    one = toys.trial(bins, np.empty(mean.size), np.empty(pulls.size))
    out = []
    for i in range(FEW):
        begin(stream, i)
        toys.draw(stream, mean, bins.variance, pulls, one)
        out.append((one.fit.observed.copy(), one.aux.copy()))
    return out


class Joint:
    """The chi-square of a coupling and of all pulls, with its gradient."""

    def __init__(self, problem: object, aux: np.ndarray) -> None:
        self.problem, self.aux = problem, aux

    def value(self, at: np.ndarray) -> float:
        """The chi-square; the pulls are measured at ``aux``."""
        x, theta = at[0], at[1:]
        return (
            Point(self.problem, x).chi2(theta)
            - theta @ theta
            + (theta - self.aux) @ (theta - self.aux)
        )

    def slope(self, at: np.ndarray) -> np.ndarray:
        """Its gradient."""
        x, theta = at[0], at[1:]
        point = Point(self.problem, x)
        mu = np.maximum(point.central + theta @ point.change, 1e-12)
        first = 2.0 * (1.0 - point.observed / mu)
        by_x = self.problem.coefficients @ np.array([0.0, 1.0, 2.0 * x])
        by_x = by_x * (1.0 + theta @ self.problem.pull_signal)
        return np.append(first @ by_x, point.change @ first + 2.0 * (theta - self.aux))


def by_scipy(problem: object, aux: np.ndarray) -> float:
    """The likelihood ratio by scipy."""
    joint = Joint(problem, aux)

    def fit(x: float, *, free: bool) -> float:
        bounds = [(0.0, None) if free else (x, x), *([(None, None)] * aux.size)]
        start = np.append(x, aux)
        return float(
            minimize(joint.value, start, jac=joint.slope, method="L-BFGS-B", bounds=bounds).fun
        )

    return fit(TRUTH, free=False) - min(fit(x, free=True) for x in (TRUTH, 1e-3, 2.0))


def by_iminuit(problem: object, aux: np.ndarray) -> float:
    """The likelihood ratio by MIGRAD."""
    joint = Joint(problem, aux)

    def fit(x: float, *, free: bool) -> float:
        found = iminuit.Minuit(joint.value, np.append(x, aux), grad=joint.slope)
        found.errordef, found.strategy = iminuit.Minuit.LEAST_SQUARES, 0
        found.limits[0], found.fixed[0] = (0.0, None), not free
        found.migrad()
        return float(found.fval)

    return fit(TRUTH, free=False) - min(fit(x, free=True) for x in (TRUTH, 1e-3, 2.0))


def main() -> None:
    """Run all of them."""
    print(
        f"Python {sys.version.split()[0]}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"iminuit {iminuit.__version__}; one core"
    )
    counts(4.0, 3.0)
    counts(1e4, 9.9e3)
    binned()


if __name__ == "__main__":
    main()
