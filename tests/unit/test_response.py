"""Quenching, Gaussian window, and the projection on recoil nodes."""

from __future__ import annotations

from math import exp, pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from lmltgrid import quadrature
from lmltgrid.detector import split_rule
from lmltgrid.kernels import response

Z, K = 54.0, 0.1735  # xenon; k of Lindhard as in P21


def test_lindhard_rises_and_stays_below_the_recoil() -> None:
    energy = np.geomspace(1e-3, 1e3, 200)
    quenched = response.lindhard_array(energy, Z, K)
    assert np.all(np.diff(quenched) > 0.0)
    assert np.all(quenched < energy)
    # the quenching factor rises too: less energy goes into heat at high energies
    assert np.all(np.diff(quenched / energy) > 0.0)


def test_lindhard_is_its_formula() -> None:
    eps = 11.5 * 10.0 * 54.0 ** (-7.0 / 3.0)
    g = 3.0 * eps**0.15 + 0.7 * eps**0.6 + eps
    expected = 10.0 * K * g / (1.0 + K * g)
    assert response.lindhard(10.0, Z, K) == pytest.approx(expected, rel=1e-14)


def test_arrays_of_any_shape_are_quenched_point_by_point() -> None:
    energy = np.geomspace(0.5, 50.0, 6).reshape(2, 3)
    ours = response.lindhard_array(energy, Z, K)
    assert ours.shape == (2, 3)
    assert ours[1, 2] == response.lindhard(50.0, Z, K)


@pytest.mark.parametrize("observed", [0.05, 0.9, 1.0, 3.0, 29.0, 33.0, 60.0])
def test_the_window_is_the_integral_of_a_gaussian(observed: float) -> None:
    sigma, low, high = 0.3 * sqrt(observed), 1.0, 30.0

    def gauss(x: float) -> float:
        return exp(-0.5 * ((x - observed) / sigma) ** 2) / (sigma * sqrt(2.0 * pi))

    # split around the peak: quad could miss it
    around = [observed + k * sigma for k in (-8, -3, 0, 3, 8)]
    inner = [x for x in around if low < x < high]
    expected: float = quad(gauss, low, high, points=inner or None, epsabs=1e-15, limit=200)[0]
    # the difference of two error functions has the precision of one
    assert response.window(observed, sigma, low, high) == pytest.approx(
        expected, rel=1e-12, abs=2e-15
    )


@given(
    observed=st.floats(0.01, 100.0),
    sigma=st.floats(1e-3, 10.0),
    low=st.floats(0.1, 10.0),
    width=st.floats(0.0, 50.0),
)
@settings(deadline=None)
def test_the_window_is_a_probability(
    observed: float, sigma: float, low: float, width: float
) -> None:
    value = response.window(observed, sigma, low, low + width)
    assert 0.0 <= value <= 1.0
    assert response.window(observed, sigma, low, low + 2.0 * width) >= value
    # two windows side by side
    mid = low + 0.3 * width
    both = response.window(observed, sigma, low, mid)
    both += response.window(observed, sigma, mid, low + width)
    assert both == pytest.approx(value, abs=4e-16)
    array = response.window_array(np.array([observed]), np.array([sigma]), low, low + width)
    assert array[0] == value


def test_projection_is_exact_for_what_the_nodes_interpolate() -> None:
    """Integral of (log E)^k R(E) dE for k below the number of nodes of a panel."""
    grid = quadrature.recoil_grid(0.5, 8.0, np.array([1.0, 1.01, 4.0]))
    energy, weight = split_rule(grid.edges, 0.05, 8)
    kernel = 1.0 / (1.0 + energy)  # some response, in [0, 1]
    out = np.zeros(grid.nodes.size)
    response.project(energy, weight * kernel, grid.edges, grid.first, grid.nodes, out)
    for k in range(quadrature.NARROW_NODES):
        expected = float(np.sum(weight * kernel * np.log(energy) ** k))
        assert float(out @ np.log(grid.nodes) ** k) == pytest.approx(expected, rel=1e-12)
    # the narrow panel holds fewer nodes than the others
    counts = np.diff(grid.first)
    assert counts.min() == quadrature.NARROW_NODES
    assert counts.max() == quadrature.PANEL_NODES


def test_projection_uses_the_nodes_of_the_point_s_panel_alone() -> None:
    grid = quadrature.recoil_grid(1.0, 2.0, np.array([1.5]))
    for energy, panel in ((1.2, 0), (1.5, None), (1.99, None), (2.0, None)):
        out = np.zeros(grid.nodes.size)
        response.project(np.array([energy]), np.ones(1), grid.edges, grid.first, grid.nodes, out)
        used = np.searchsorted(grid.edges, energy, side="right") - 1 if panel is None else panel
        used = min(int(used), grid.edges.size - 2)
        inside = slice(grid.first[used], grid.first[used + 1])
        assert np.count_nonzero(out) == np.count_nonzero(out[inside])
        assert out.sum() == pytest.approx(1.0, abs=1e-13)  # Lagrange polynomials sum to one


def test_recoil_panels_end_at_the_kinks_and_are_narrow_enough() -> None:
    kinks = np.array([0.1, 1.0, 2.5, 2.5 * (1 + 1e-12), 9.0])
    grid = quadrature.recoil_grid(0.5, 8.0, kinks)
    assert grid.edges[[0, -1]] == pytest.approx([0.5, 8.0])
    for kink in (1.0, 2.5):
        assert np.min(np.abs(grid.edges / kink - 1.0)) < 1e-12
    assert np.diff(np.log(grid.edges)).max() <= quadrature.PANEL * (1 + 1e-12)
    assert np.all(np.diff(grid.nodes) > 0.0)
    assert grid.first[-1] == grid.nodes.size
    more = quadrature.recoil_grid(0.5, 8.0, kinks, 2)
    assert more.nodes.size == grid.nodes.size + 2 * (grid.edges.size - 1)


def test_split_rule_integrates_between_the_edges() -> None:
    edges = np.array([0.5, 0.6, 2.0])
    points, weights = split_rule(edges, 0.05, 8)
    assert points.min() > 0.5
    assert points.max() < 2.0
    # panels of 5 % and 8 points: exact to rounding for smooth functions
    assert weights.sum() == pytest.approx(1.5, rel=1e-14)
    assert float(weights @ points**-2) == pytest.approx(1.5, rel=1e-13)
    assert float(weights @ np.exp(-points)) == pytest.approx(exp(-0.5) - exp(-2.0), rel=1e-13)
