"""Neutrino-electron scattering: the basis against the unexpanded and the printed cross section."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lmltgrid.kernels import cevns, eves, fold, polynomial
from lmltgrid.units import (
    CM2_PER_MEV_2,
    E_CHARGE,
    G_FERMI,
    M_ELECTRON,
    M_MUON,
    M_TAU,
)

Array = NDArray[np.float64]

SIN2 = 0.23122
LEPTONS = (M_ELECTRON, M_MUON, M_TAU)
charge = st.floats(-3.0, 3.0)
five_charges = st.tuples(charge, charge, charge, charge, charge)


def line(energy: float, n: int = 1) -> Array:
    """Flux moments of a line of unit flux in each flavor, shape (3, 3, n)."""
    return np.repeat(energy ** -np.arange(3.0), 3 * n).reshape(3, 3, n)


def orders(
    energy: float, recoil: float, charges: tuple[float, ...], mixing: float | None, mass: float
) -> Array:
    """Powers of g^2 in the cross section from basis and weights, cm^2 MeV^-1, shape (3, flavor)."""
    rate = eves.rate_factor(np.array([recoil]), line(energy))
    spectra = eves.spectra(np.array([recoil]), rate).reshape(1, 1, -1)
    powers = (3 * eves.POWERS[0], 3 * eves.POWERS[1], 3 * eves.POWERS[2])
    q2 = np.array([[2.0 * M_ELECTRON * recoil]])
    scaled = fold.at_mass(spectra, q2, mass, eves.PROPAGATOR, powers)
    weights = polynomial.electron_weights(
        np.array(charges), np.array(charges[2:]), mixing or 0.0, mixing is None, SIN2
    )
    out: Array = np.einsum("okf,kf->of", weights, scaled.reshape(eves.N_BASIS, 3))
    return out


def test_the_basis_is_listed_once_and_sorted_by_the_propagator() -> None:
    assert len(set(eves.BASIS)) == eves.N_BASIS == 25
    powers = ["D2" if b.startswith("D2") else "D" if b.startswith("D ") else "" for b in eves.BASIS]
    assert powers == [""] * 3 + ["D"] * 12 + ["D2"] * 10
    assert eves.POWERS == (3, 15, 25)


def test_rate_factor_averages_the_three_shapes() -> None:
    recoil, energy = np.array([1e-4, 0.2]), 0.8618
    ours = eves.rate_factor(recoil, line(energy, 2))
    scale = 2.0 * G_FERMI**2 * M_ELECTRON / pi * CM2_PER_MEV_2
    shapes = [np.ones(2), (1.0 - recoil / energy) ** 2, M_ELECTRON * recoil / energy**2]
    for ours_of, shape in zip(ours, shapes, strict=True):
        # 1 - 2x + x^2 from three moments: rounding
        np.testing.assert_allclose(ours_of, np.tile(scale * shape, (3, 1)), rtol=1e-14)


@settings(deadline=None, max_examples=60)
@given(
    charges=five_charges,
    mixing=st.none() | st.floats(-0.5, 0.5),
    g=st.floats(1e-8, 1e-3),
    mass=st.floats(1e-3, 1e3),
    energy=st.floats(0.1, 18.0),
    fraction=st.floats(1e-4, 1.0),
)
def test_basis_and_weights_are_the_unexpanded_cross_section(
    charges: tuple[float, ...],
    mixing: float | None,
    g: float,
    mass: float,
    energy: float,
    fraction: float,
) -> None:
    """(g1+n)^2 + (g2+n)^2 (1-y)^2 - (g1+n)(g2+n) m_e E_R/E^2 with n = c_nu c_e D."""
    recoil = fraction * 2.0 * energy**2 / (M_ELECTRON + 2.0 * energy)
    q2 = 2.0 * M_ELECTRON * recoil
    leptons = charges[2:]
    loops = [cevns.loop_function(q2, m) for m in LEPTONS]
    per_g, mixed = mixing, abs(mixing or 0.0)
    if per_g is None:
        terms = [E_CHARGE / (2.0 * pi**2) * q * v for q, v in zip(leptons, loops, strict=True)]
        per_g, mixed = sum(terms), sum(abs(term) for term in terms)
    ours = orders(energy, recoil, charges, mixing, mass)
    scale = 2.0 * G_FERMI**2 * M_ELECTRON / pi * CM2_PER_MEV_2
    propagator = 2.0 * sqrt(2.0) * G_FERMI * (q2 + mass**2)
    for f in range(3):
        g1, g2 = SIN2 - 0.5 + (f == 0), SIN2
        n = g**2 * leptons[f] * (leptons[0] + per_g * E_CHARGE) / propagator
        left, right, y = g1 + n, g2 + n, recoil / energy
        shape = left**2 + right**2 * (1 - y) ** 2 - left * right * M_ELECTRON * y / energy
        total = ours[0, f] + g**2 * (ours[1, f] + g**2 * ours[2, f])
        # relative to the terms before they cancel; tree and loop part of n of either sign
        size = g**2 * abs(leptons[f]) * (abs(leptons[0]) + mixed * E_CHARGE) / propagator
        largest = (abs(g1) + size) ** 2 + (g2 + size) ** 2
        largest *= 1.0 + M_ELECTRON * y / energy
        assert total / scale == pytest.approx(shape, rel=0.0, abs=1e-13 * largest)


@settings(deadline=None, max_examples=40)
@given(
    mixing=st.floats(1e-6, 0.5) | st.floats(-0.5, -1e-6),
    g=st.floats(1e-6, 1e-3),
    mass=st.floats(1e-2, 1e3),
    energy=st.floats(0.1, 18.0),
    fraction=st.floats(1e-4, 0.99),
)
def test_l_mu_minus_l_tau_is_the_printed_formula(
    mixing: float, g: float, mass: float, energy: float, fraction: float
) -> None:
    """P20 eq. 29, P21 eq. 36, term by term, for nu_mu (Q' = 1) and nu_tau (Q' = -1)."""
    recoil = fraction * 2.0 * energy**2 / (M_ELECTRON + 2.0 * energy)
    ours = orders(energy, recoil, (0.0, 0.0, 0.0, 1.0, -1.0), mixing, mass)
    g_l, g_r = SIN2 - 0.5, SIN2
    y, shift = recoil / energy, 2.0 * recoil * M_ELECTRON + mass**2
    epsilon = mixing * g
    scale = 2.0 * G_FERMI**2 * M_ELECTRON / pi * CM2_PER_MEV_2
    m_y = M_ELECTRON * recoil / energy**2
    for f, q_nu in ((1, 1.0), (2, -1.0)):
        standard = g_l**2 + g_r**2 * (1 - y) ** 2 - g_l * g_r * m_y
        cross = g * epsilon * E_CHARGE * q_nu / (sqrt(2.0) * G_FERMI * shift)
        cross *= (g_l + g_r) * (1 - m_y / 2) - g_r * y * (2 - y)
        pure = (g * epsilon * E_CHARGE * q_nu) ** 2 / (4.0 * G_FERMI**2 * shift**2)
        pure *= 1 - y * (1 - (recoil - M_ELECTRON) / (2 * energy))
        # the shapes are of order one and cancel at the largest recoils
        size = abs(g * epsilon) * E_CHARGE / (sqrt(2.0) * G_FERMI * shift)
        assert ours[0, f] / scale == pytest.approx(standard, abs=1e-14)
        assert g**2 * ours[1, f] / scale == pytest.approx(cross, rel=0, abs=1e-13 * size)
        assert g**4 * ours[2, f] / scale == pytest.approx(pure, rel=0, abs=1e-13 * size**2)


@settings(deadline=None, max_examples=30)
@given(g=st.floats(1e-8, 1e-4), mass=st.floats(1e-2, 10.0), fraction=st.floats(1e-4, 0.99))
def test_b_minus_l_is_the_printed_formula(g: float, mass: float, fraction: float) -> None:
    """P20 eq. C2: nu and e have the same charge -1, so that the interference has a plus sign."""
    energy = 0.8618
    recoil = fraction * 2.0 * energy**2 / (M_ELECTRON + 2.0 * energy)
    ours = orders(energy, recoil, (1 / 3, 1 / 3, -1.0, -1.0, -1.0), 0.0, mass)
    y, shift = recoil / energy, 2.0 * M_ELECTRON * recoil + mass**2
    m_y = M_ELECTRON * recoil / energy**2
    scale = 2.0 * G_FERMI**2 * M_ELECTRON / pi * CM2_PER_MEV_2
    for f in range(3):
        g1, g2 = SIN2 - 0.5 + (f == 0), SIN2
        cross = g1 + g2 * (1 - y) ** 2 - (g1 + g2) * m_y / 2
        cross *= g**2 / (sqrt(2.0) * G_FERMI * shift)
        pure = g**4 / (8.0 * G_FERMI**2 * shift**2) * (1 + (1 - y) ** 2 - m_y)
        size = g**2 / (sqrt(2.0) * G_FERMI * shift)
        assert g**2 * ours[1, f] / scale == pytest.approx(cross, rel=0, abs=1e-13 * size)
        assert g**4 * ours[2, f] / scale == pytest.approx(pure, rel=0, abs=1e-13 * size**2)


def test_electron_neutrinos_do_not_feel_a_mediator_without_electron_charge() -> None:
    """Lmu-Ltau: the charge of nu_e is zero."""
    ours = orders(1.442, 0.01, (0.0, 0.0, 0.0, 1.0, -1.0), None, 15.0)
    np.testing.assert_array_equal(ours[1:, 0], 0.0)
    assert np.all(ours[2, 1:] > 0.0)


def test_the_charged_current_makes_electron_neutrinos_scatter_more() -> None:
    ours = orders(0.8618, 0.1, (0.0, 0.0, 0.0, 1.0, 0.0), 0.0, 15.0)
    assert ours[0, 1] == ours[0, 2]
    # the recoil spectrum of 7Be neutrinos: a factor of about (0.73/0.27)^2, less the g2 terms
    assert 4.0 < ours[0, 0] / ours[0, 1] < 8.0
