"""Flux moments: Legendre panels and lines against direct integration."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad

from lmltgrid import quadrature
from lmltgrid.kernels import fluxes
from lmltgrid.tables import solar
from lmltgrid.tables.oscillation import oscillation, probabilities

Array = NDArray[np.float64]

EDGES = np.array([0.4, 1.0, 1.5, 3.0])
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)


def panels(functions: list[Callable[[Array], Array]], order: int = 18) -> Array:
    """Legendre coefficients of functions of the energy on `EDGES`, shape (panel, flavor, order)."""
    out = np.empty((EDGES.size - 1, len(functions), order))
    x, _ = np.polynomial.legendre.leggauss(order)
    for p, (left, right) in enumerate(pairwise(EDGES)):
        energy = 0.5 * (left + right) + 0.5 * (right - left) * x
        for f, function in enumerate(functions):
            out[p, f] = np.polynomial.legendre.legfit(x, function(energy), order - 1)
    return out


def flavors() -> list[Callable[[Array], Array]]:
    """Three shapes, two of them smooth and one a polynomial with a kink at an edge."""
    return [
        lambda e: np.exp(-e),
        lambda e: 1.0 / (1.0 + e**2),
        lambda e: np.interp(e, EDGES, [0.0, 2.0, 0.5, 0.0]),
    ]


@pytest.mark.parametrize("e_min", [0.1, 0.4, 0.7, 1.0, 1.2499, 1.5, 2.9, 2.999999])
def test_moments_of_panels_are_those_of_quad(e_min: float) -> None:
    functions = flavors()
    ours = fluxes.flux_moments(np.array([e_min]), EDGES, panels(functions), NODES, WEIGHTS)[:, :, 0]
    start = max(e_min, EDGES[0])
    for k in range(3):
        for f, function in enumerate(functions):

            def integrand(e: float, k: int = k, g: Callable[[Array], Array] = function) -> float:
                return float(g(np.array([e]))[0]) * e**-k

            inner = [edge for edge in EDGES[1:-1] if edge > start]
            exact, _ = quad(
                integrand, start, EDGES[-1], points=inner or None, epsabs=0.0, epsrel=1e-12
            )
            # 18 Legendre terms of 1/(1 + e^2) on [1.5, 3] leave 6.4^-18 = 3e-15; quad 1e-13
            assert ours[k, f] == pytest.approx(exact, rel=1e-11)


def test_a_polynomial_is_integrated_exactly() -> None:
    """phi = E^3: the integrals of E^(3-k) are known."""
    legendre = panels([lambda e: e**3], order=4)
    e_min = np.array([0.0, 0.4, 0.9, 1.0, 1.3, 2.99])
    ours = fluxes.flux_moments(e_min, EDGES, legendre, NODES, WEIGHTS)[:, 0]
    start = np.maximum(e_min, EDGES[0])
    for k in range(3):
        exact = (EDGES[-1] ** (4 - k) - start ** (4 - k)) / (4 - k)
        # rounding of the polynomial fit
        np.testing.assert_allclose(ours[k], exact, rtol=1e-13)


def test_nothing_is_left_above_the_endpoint() -> None:
    ours = fluxes.flux_moments(
        np.array([3.0, 3.0001, 1e3]), EDGES, panels(flavors()), NODES, WEIGHTS
    )
    np.testing.assert_array_equal(ours, 0.0)


@settings(deadline=None, max_examples=30)
@given(e_min=st.floats(0.0, 3.2), step=st.floats(1e-9, 1.0))
def test_moments_fall_with_the_least_energy(e_min: float, step: float) -> None:
    ours = fluxes.flux_moments(
        np.array([e_min, e_min + step]), EDGES, panels(flavors()), NODES, WEIGHTS
    )
    assert np.all(ours[:, :, 0] >= ours[:, :, 1])


@settings(deadline=None, max_examples=30)
@given(edge=st.sampled_from(list(EDGES[:-1])))
def test_moments_are_continuous_at_the_edges_of_panels(edge: float) -> None:
    ours = fluxes.flux_moments(
        np.array([edge * (1 - 1e-12), edge, edge * (1 + 1e-12)]),
        EDGES,
        panels(flavors()),
        NODES,
        WEIGHTS,
    )
    np.testing.assert_allclose(ours[:, :, [0, 2]], ours[:, :, [1, 1]], rtol=1e-11)


def test_lines_count_when_their_energy_suffices() -> None:
    energy, flux = np.array([0.5, 2.0]), np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    out = np.ones((3, 3, 4))
    fluxes.add_lines(np.array([0.4, 0.5, 0.500001, 2.1]), energy, flux, out)
    for k in range(3):
        both = flux[0] * 0.5**-k + flux[1] * 2.0**-k
        np.testing.assert_allclose(out[k, :, 0], 1.0 + both, rtol=1e-15)
        np.testing.assert_allclose(out[k, :, 1], 1.0 + both, rtol=1e-15)
        np.testing.assert_allclose(out[k, :, 2], 1.0 + flux[1] * 2.0**-k, rtol=1e-15)
        np.testing.assert_array_equal(out[k, :, 3], 1.0)


def direct(e_min: float, k: int, metallicity: str, name: str) -> Array:
    """Integrate the definition of one moment knot by knot with quad: shape (3,)."""
    parameters = oscillation(name)
    total = np.zeros(3)
    for source in solar.solar_sources(metallicity):
        for energy, branching in source.lines:
            if energy >= e_min:
                p = probabilities(energy, source.name, metallicity, parameters)[:, 0]
                total += source.flux * branching * p * energy**-k
        knots = source.energy[source.energy > e_min]
        starts = np.concatenate([[e_min], knots[:-1]])
        x, w = np.polynomial.legendre.leggauss(7)
        for left, right in zip(starts, knots, strict=False):
            energy = 0.5 * (left + right) + 0.5 * (right - left) * x
            phi = source.flux * np.interp(energy, source.energy, source.spectrum) * energy**-k
            p = probabilities(energy, source.name, metallicity, parameters)
            total += 0.5 * (right - left) * (p @ (w * phi))
    return total


@pytest.mark.parametrize("e_min", [0.05, 0.3843, 1.0, 9.9, 15.29, 18.7])
def test_solar_flux_moments_are_those_of_the_definition(e_min: float) -> None:
    ours = quadrature.flux_moments(np.array([e_min]), "GS98", oscillation("nufit60"))[:, :, 0]
    for k in range(3):
        # probabilities as Legendre series of order 6 in a panel: 1e-12; partial panels: rounding
        np.testing.assert_allclose(ours[k], direct(e_min, k, "GS98", "nufit60"), rtol=1e-11)


def test_all_neutrinos_arrive() -> None:
    """F_0 from zero energy, summed over flavors, is the sum of the B16 fluxes."""
    for metallicity in solar.METALLICITIES:
        total = quadrature.flux_moments(np.zeros(1), metallicity, oscillation("nufit60"))[0].sum()
        expected = sum(source.flux for source in solar.solar_sources(metallicity))
        # what lies below 2^-24 of the first knot is left out, 1e-20
        assert total == pytest.approx(expected, rel=1e-12)


def test_endpoints_hold_every_reaction_and_line() -> None:
    """And, where they are asked for, the last knots of 8B and hep."""
    expected = {
        e
        for s in solar.solar_sources("GS98")
        for e in ([line for line, _ in s.lines] or [s.endpoint])
    }
    boron, hep = (solar.solar_source(name, "GS98") for name in ("b8", "hep"))
    found = quadrature.endpoints("GS98", oscillation("nufit60"))
    np.testing.assert_array_equal(found, sorted(expected))
    assert 20 <= quadrature.LAST_KNOTS < boron.energy.size
    knots = {e for s in (boron, hep) for e in s.energy[-20:].tolist()}
    with_knots = quadrature.endpoints("GS98", oscillation("nufit60"), 20)
    np.testing.assert_array_equal(with_knots, sorted(expected | knots))
