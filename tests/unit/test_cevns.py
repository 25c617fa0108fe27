"""Coherent scattering: kinematics, form factor, loop function, and the basis of Q_a^2."""

from __future__ import annotations

from math import exp, log, log1p, pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import spherical_jn

from lmltgrid.kernels import cevns, fold, polynomial
from lmltgrid.units import (
    CM2_PER_MEV_2,
    E_CHARGE,
    G_FERMI,
    HBAR_C,
    M_ELECTRON,
    M_MUON,
    M_TAU,
)

LEPTONS = (M_ELECTRON, M_MUON, M_TAU)
M_XENON = 122270.0  # MeV, near 131Xe
charge = st.floats(-3.0, 3.0)
five_charges = st.tuples(charge, charge, charge, charge, charge)


def loop_by_quad(r: float, mass: float) -> float:
    """P20 eq. A12 with m^2 pulled out of the logarithm; symmetric about x = 1/2."""

    def integrand(x: float) -> float:
        y = x * (1.0 - x)
        return y * log1p(y * r)

    # the integrand bends where y r = 1
    bend = sorted({min(10.0**k / r, 0.25) for k in (-1, 0, 1)})
    value: float = quad(integrand, 0.0, 0.5, points=bend, epsabs=0.0, epsrel=1e-13, limit=200)[0]
    return log(mass**2) / 6.0 + 2.0 * value


@given(recoil=st.floats(1e-6, 1.0), mass=st.sampled_from([M_ELECTRON, 37200.0, M_XENON]))
def test_least_energy_gives_the_largest_recoil(recoil: float, mass: float) -> None:
    """E_R = 2 E^2/(m + 2 E) at E = E_min."""
    energy = cevns.minimal_energy(np.array([recoil]), mass)[0]
    assert 2.0 * energy**2 / (mass + 2.0 * energy) == pytest.approx(recoil, rel=1e-13)


def test_least_energy_of_slow_nuclei() -> None:
    # the spallation papers' sqrt(m E_R/2) lacks E_R/2, relative sqrt(E_R/(2 m)) = 6e-5
    slow = sqrt(M_XENON * 1e-3 / 2.0)
    ours = cevns.minimal_energy(np.array([1e-3]), np.array([M_XENON]))
    assert ours[0] == pytest.approx(slow, rel=7e-5)
    assert ours[0] > slow


@pytest.mark.parametrize("a", [28.0, 40.0, 74.0, 131.0])
def test_helm_is_its_definition(a: float) -> None:
    """Lewin & Smith: F = 3 j1(q R0)/(q R0) exp(-(q s)^2/2)."""
    radius = sqrt((1.23 * a ** (1 / 3) - 0.6) ** 2 + 7 / 3 * (pi * 0.52) ** 2 - 5 * 0.9**2)
    for momentum in np.geomspace(0.5, 300.0, 40):
        x = momentum * radius / HBAR_C
        expected = 3.0 * spherical_jn(1, x) / x * exp(-0.5 * (momentum * 0.9 / HBAR_C) ** 2)
        # j1 loses 1/x^2 digits by cancellation: 1e-12 at the switch to the series
        assert cevns.helm(momentum, a) == pytest.approx(expected, rel=1e-11, abs=1e-14)


def test_helm_goes_to_one_without_a_step() -> None:
    """F = 1 - q^2 (R0^2/10 + s^2/2) for small q, on both sides of the switch to the series."""
    assert cevns.helm(0.0, 131.0) == 1.0
    radius2 = (1.23 * 131 ** (1 / 3) - 0.6) ** 2 + 7 / 3 * (pi * 0.52) ** 2 - 5 * 0.9**2
    switch = 0.02 * HBAR_C / sqrt(radius2)
    for momentum in (1e-3 * switch, switch * (1 - 1e-9), switch * (1 + 1e-9)):
        q = momentum / HBAR_C
        slope = (radius2 / 10 + 0.9**2 / 2) * q**2
        # next order: about slope^2/2 = 2e-9
        assert cevns.helm(momentum, 131.0) == pytest.approx(1.0 - slope, rel=5e-9)
    below, above = (cevns.helm(switch * f, 131.0) for f in (1 - 1e-9, 1 + 1e-9))
    assert below == pytest.approx(above, rel=3e-12)


@pytest.mark.parametrize("mass", LEPTONS, ids=["e", "mu", "tau"])
@pytest.mark.parametrize("exponent", range(-8, 9))
def test_loop_function_is_its_integral(exponent: int, mass: float) -> None:
    r = 10.0**exponent * 1.01
    # The first term that the series leaves out is 9e-5 r^4, 1e-12 at its end. In the closed form
    # arctanh(1/b) loses digits as 1/b -> 1: half an ulp of one, 1.1e-16, times r/12
    tolerance = 1e-12 + 5e-17 * r
    ours = cevns.loop_function(r * mass**2, mass)
    assert ours == pytest.approx(loop_by_quad(r, mass), rel=0.0, abs=tolerance)


@pytest.mark.parametrize("mass", LEPTONS, ids=["e", "mu", "tau"])
def test_loop_function_has_no_step_where_the_series_ends(mass: float) -> None:
    switch = 1e-2 * mass**2
    below, above = (cevns.loop_function(switch * f, mass) for f in (1 - 1e-12, 1 + 1e-12))
    assert below == pytest.approx(above, rel=0.0, abs=1e-12)


def test_loop_function_at_rest_and_far_away() -> None:
    for mass in LEPTONS:
        assert cevns.loop_function(0.0, mass) == pytest.approx(log(mass**2) / 6.0, abs=1e-15)
    # Q >> m: ln(Q^2)/6 - 5/18 + m^2/Q^2, whatever the mass; next is of order r^-2 ln r
    q2 = 1e5 * M_ELECTRON**2
    expected = log(q2) / 6.0 - 5.0 / 18.0 + 1e-5
    assert cevns.loop_function(q2, M_ELECTRON) == pytest.approx(expected, rel=0.0, abs=5e-9)


def test_rate_factor_is_the_flux_averaged_kinematic_factor() -> None:
    """One line of unit flux: G_F^2 m/pi (1 - m E_R/(2 E^2)) times (hbar c)^2."""
    recoil, energy = np.array([1e-3, 3e-3]), 12.0
    moments = np.repeat(energy ** -np.arange(3.0), 3 * 2).reshape(3, 3, 2)
    ours = cevns.rate_factor(recoil, M_XENON, moments)
    factor = 1.0 - M_XENON * recoil / (2.0 * energy**2)
    expected = G_FERMI**2 * M_XENON / pi * factor * CM2_PER_MEV_2
    np.testing.assert_allclose(ours, np.tile(expected, (3, 1)), rtol=1e-14)


def test_standard_model_cross_section_has_its_known_size() -> None:
    """sigma = G_F^2/(4 pi) Q_W^2 E^2 for a point-like nucleus: 4.2e-45 cm^2 N^2 (E/MeV)^2."""
    energy, mass, n = 1.0, 1e6, 77.0
    recoil = np.linspace(0.0, 2.0 * energy**2 / mass, 3)  # linear in the recoil: exact
    moments = np.ones((3, 3, 3))
    rate = cevns.rate_factor(recoil, mass, moments)[0] * (0.5 * n) ** 2
    sigma = float(np.trapezoid(rate, recoil))
    assert sigma == pytest.approx(4.2e-45 * n**2, rel=0.01)  # two digits are quoted


def test_the_basis_is_listed_once_and_sorted_by_the_propagator() -> None:
    assert len(set(cevns.BASIS)) == cevns.N_BASIS == 27
    powers = [
        "D2" if b.startswith("D2") else "D" if b.startswith("D ") else "" for b in cevns.BASIS
    ]
    assert powers == [""] * 3 + ["D"] * 9 + ["D2"] * 15
    assert cevns.POWERS == (3, 12, 27)


@settings(deadline=None, max_examples=60)
@given(
    charges=five_charges,
    mixing=st.none() | st.floats(-0.5, 0.5),
    g_p=st.floats(-0.1, 0.1),
    g=st.floats(1e-6, 1e-2),
    mass=st.floats(0.1, 1e3),
    recoil=st.floats(1e-4, 0.1),
)
def test_basis_and_weights_are_the_square_of_the_full_charge(
    charges: tuple[float, ...],
    mixing: float | None,
    g_p: float,
    g: float,
    mass: float,
    recoil: float,
) -> None:
    """Q_a^2 with c_f = g Q_f - eps e Q_EM, loop or number, against sum of weights times basis."""
    z, a, g_n = 54.0, 131.0, -0.5
    q2 = 2.0 * M_XENON * recoil
    spectra = cevns.spectra(
        np.array([recoil]), z, np.array([a]), np.array([M_XENON]), np.ones((1, 3, 1))
    ).reshape(1, 1, -1)
    powers = (3 * cevns.POWERS[0], 3 * cevns.POWERS[1], 3 * cevns.POWERS[2])
    scaled = fold.at_mass(spectra, np.array([[q2]]), mass, cevns.PROPAGATOR, powers)
    weights = polynomial.nuclear_weights(
        np.array(charges), mixing or 0.0, mixing is None, np.full(3, g_p), g_n
    )
    orders = np.einsum("okf,kf->of", weights, scaled.reshape(cevns.N_BASIS, 3))

    u, d, *leptons = charges
    loops = [cevns.loop_function(q2, m) for m in LEPTONS]
    per_g = mixing
    if per_g is None:
        per_g = E_CHARGE / (2.0 * pi**2) * sum(q * v for q, v in zip(leptons, loops, strict=True))
    form = cevns.helm(sqrt(q2), a)
    p, n = z * form, (a - z) * form
    c_p, c_n = g * (2 * u + d) - g * per_g * E_CHARGE, g * (u + 2 * d)
    for f in range(3):
        new = g * leptons[f] * (c_p * p + c_n * n) / (sqrt(2.0) * G_FERMI * (q2 + mass**2))
        old = g_p * p + g_n * n
        ours = orders[0, f] + g**2 * (orders[1, f] + g**2 * orders[2, f])
        # rounding, relative to the terms that may cancel: tree and loop parts of each sign
        tree = abs(g * (2 * u + d) * p) + abs(c_n * n)
        if mixing is None:
            mixed = (
                E_CHARGE**2
                / (2 * pi**2)
                * sum(abs(q * v) for q, v in zip(leptons, loops, strict=True))
            )
        else:
            mixed = abs(mixing) * E_CHARGE
        size = abs(g * leptons[f]) * (tree + g * mixed * abs(p))
        size = size / (sqrt(2.0) * G_FERMI * (q2 + mass**2)) + abs(g_p * p) + abs(g_n * n)
        assert ours == pytest.approx((old + new) ** 2, rel=0.0, abs=1e-13 * size**2)


def test_isotopes_are_added() -> None:
    recoil = np.array([1e-3, 2e-3])
    a, m = np.array([129.0, 132.0]), np.array([120080.0, 122870.0])
    rate = np.arange(1.0, 13.0).reshape(2, 3, 2)
    both = cevns.spectra(recoil, 54.0, a, m, rate)
    for s in range(2):
        alone = cevns.spectra(recoil, 54.0, a[s : s + 1], m[s : s + 1], rate[s : s + 1])
        np.testing.assert_array_equal(both[:, s], alone[:, 0])
    # zero momentum would give Z^2, Z N, N^2; the ratio of the first three is free of F
    nn_over_pp = both[0, 0, 2, 0] / both[0, 0, 0, 0]
    assert nn_over_pp == pytest.approx((75.0 / 54.0) ** 2, rel=1e-14)


def test_fold_contracts_spectra_with_the_response() -> None:
    """Moments are response @ (spectra times powers of D), summed over isotopes."""
    rng = np.random.default_rng(20220213)
    spectra, q2 = rng.random((4, 2, 6)), rng.random((4, 2))
    response, masses = rng.random((3, 4)), np.array([0.1, 2.0])
    ours = fold.moments(spectra, q2, response, masses, 3.0, (2, 3, 6))
    for i, mass in enumerate(masses):
        d = 1.0 / (3.0 * (q2 + mass**2))
        powers = np.stack([d**0, d**0, d, d**2, d**2, d**2], axis=-1)
        np.testing.assert_allclose(ours[i], response @ (spectra * powers).sum(axis=1), rtol=1e-13)
