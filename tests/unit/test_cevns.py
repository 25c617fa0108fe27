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


R_XENON = 5.6  # fm


def radii(n: int) -> np.ndarray:
    return np.full((2, n), R_XENON)


@pytest.mark.parametrize("a", [28.0, 40.0, 74.0, 131.0])
def test_helm_is_its_definition(a: float) -> None:
    """Lewin & Smith: F = 3 j1(q R0)/(q R0) exp(-(q s)^2/2)."""
    radius = sqrt((1.23 * a ** (1 / 3) - 0.6) ** 2 + 7 / 3 * (pi * 0.52) ** 2 - 5 * 0.9**2)
    for momentum in np.geomspace(0.5, 300.0, 40):
        x = momentum * radius / HBAR_C
        expected = 3.0 * spherical_jn(1, x) / x * exp(-0.5 * (momentum * 0.9 / HBAR_C) ** 2)
        # j1 loses 1/x^2 digits by cancellation: 1e-12 at the switch to the series
        assert cevns.helm(momentum, radius) == pytest.approx(expected, rel=1e-11, abs=1e-14)


def test_helm_goes_to_one_without_a_step() -> None:
    """F = 1 - q^2 (R0^2/10 + s^2/2) for small q, on both sides of the switch to the series."""
    assert cevns.helm(0.0, 5.0) == 1.0
    radius2 = (1.23 * 131 ** (1 / 3) - 0.6) ** 2 + 7 / 3 * (pi * 0.52) ** 2 - 5 * 0.9**2
    switch = 0.02 * HBAR_C / sqrt(radius2)
    for momentum in (1e-3 * switch, switch * (1 - 1e-9), switch * (1 + 1e-9)):
        q = momentum / HBAR_C
        slope = (radius2 / 10 + 0.9**2 / 2) * q**2
        # next order: about slope^2/2 = 2e-9
        assert cevns.helm(momentum, sqrt(radius2)) == pytest.approx(1.0 - slope, rel=5e-9)
    below, above = (cevns.helm(switch * f, sqrt(radius2)) for f in (1 - 1e-9, 1 + 1e-9))
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
    """One line of unit flux: G_F^2 m/pi (hbar c)^2 times 1 - t, t and 1 + t, t = m E_R/(2 E^2).

    The kinematics of a vector (P21 eq. 33), a scalar (LX22 eq. 2.9) and an axial mediator (2.13).
    """
    recoil, energy = np.array([1e-3, 3e-3]), 12.0
    # the flux of each flavor is its own
    flavors = np.array([1.0, 3.0, 7.0])[:, None]
    moments = energy ** -np.arange(3.0)[:, None, None] * flavors * np.ones(2)
    ours = cevns.rate_factor(recoil, M_XENON, moments)
    t = M_XENON * recoil / (2.0 * energy**2)
    assert ours.shape == (cevns.KINDS, 3, 2) == (3, 3, 2)
    for kind, factor in enumerate((1.0 - t, t, 1.0 + t)):
        expected = G_FERMI**2 * M_XENON / pi * factor * CM2_PER_MEV_2
        np.testing.assert_allclose(ours[kind], flavors * expected, rtol=1e-14)


def test_kinematics_at_the_ends_of_the_spectrum() -> None:
    """At the largest recoil 1 - t vanishes, t is one and 1 + t two; at none 1, 0 and 1."""
    energy = 12.0
    recoil = np.array([0.0, 2.0 * energy**2 / M_XENON])  # without 2 E beside the mass
    moments = energy ** -np.arange(3.0)[:, None, None] * np.ones((3, 2))
    ours = cevns.rate_factor(recoil, M_XENON, moments)[:, 0]
    ours /= G_FERMI**2 * M_XENON / pi * CM2_PER_MEV_2
    np.testing.assert_allclose(ours, [[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]], rtol=1e-14, atol=1e-14)


def test_standard_model_cross_section_has_its_known_size() -> None:
    """sigma = G_F^2/(4 pi) Q_W^2 E^2 for a point-like nucleus: 4.2e-45 cm^2 N^2 (E/MeV)^2."""
    energy, mass, n = 1.0, 1e6, 77.0
    recoil = np.linspace(0.0, 2.0 * energy**2 / mass, 3)  # linear in the recoil: exact
    moments = np.ones((3, 3, 3))
    rate = cevns.rate_factor(recoil, mass, moments)[0, 0] * (0.5 * n) ** 2
    sigma = float(np.trapezoid(rate, recoil))
    assert sigma == pytest.approx(4.2e-45 * n**2, rel=0.01)  # two digits are quoted


def test_the_basis_is_listed_once_and_sorted_by_the_propagator() -> None:
    assert len(set(cevns.BASIS)) == cevns.N_BASIS == 31
    powers = [
        "D2" if b.startswith("D2") else "D" if b.startswith("D ") else "" for b in cevns.BASIS
    ]
    assert powers == [""] * 3 + ["D"] * 9 + ["D2"] * 19
    assert cevns.POWERS == (3, 12, 31)
    assert cevns.BASIS[27:] == ("D2 S pp", "D2 S pn", "D2 S nn", "D2 A")


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
    # scalar and axial kinematics, and the spin, have no part in a vector: any number will do
    rate = np.array([1.0, 17.0, 19.0]).repeat(3).reshape(1, cevns.KINDS, 3, 1)
    spectra = cevns.spectra(
        *(np.array([recoil]), np.array([z]), np.array([a]), radii(1), np.array([5.0])),
        *(np.array([M_XENON]), rate),
    ).reshape(1, 1, -1)
    powers = (3 * cevns.POWERS[0], 3 * cevns.POWERS[1], 3 * cevns.POWERS[2])
    scaled = fold.at_mass(spectra, np.array([[q2]]), mass, cevns.PROPAGATOR, powers)
    own = np.array(charges)
    weights = polynomial.nuclear_weights(
        own, own[2:], mixing or 0.0, mixing is None, np.full(3, g_p), g_n
    )
    orders = np.einsum("okf,kf->of", weights, scaled.reshape(cevns.N_BASIS, 3))

    u, d, *leptons = charges
    loops = [cevns.loop_function(q2, m) for m in LEPTONS]
    per_g = mixing
    if per_g is None:
        per_g = E_CHARGE / (2.0 * pi**2) * sum(q * v for q, v in zip(leptons, loops, strict=True))
    form = cevns.helm(sqrt(q2), R_XENON)
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
    rate, spin = np.arange(1.0, 37.0).reshape(2, cevns.KINDS, 3, 2), np.array([1.0, 0.0])
    z, r = np.full(2, 54.0), np.array([[6.0, 6.1], [6.2, 6.3]])
    both = cevns.spectra(recoil, z, a, r, spin, m, rate)
    for s in range(2):
        one = slice(s, s + 1)
        own = np.ascontiguousarray(r[:, one])
        alone = cevns.spectra(recoil, z[one], a[one], own, spin[one], m[one], rate[one])
        np.testing.assert_array_equal(both[:, s], alone[:, 0])
    # Z^2 F_p^2, Z N F_p F_n, N^2 F_n^2
    pp, pn, nn = both[0, 0, :3, 0]
    assert pn * pn == pytest.approx(pp * nn, rel=1e-14)
    momentum = sqrt(2.0 * m[0] * recoil[0])
    ratio = cevns.helm(momentum, 6.2) / cevns.helm(momentum, 6.0)
    assert nn / pp == pytest.approx((75.0 / 54.0 * ratio) ** 2, rel=1e-14)


def test_each_function_has_its_own_kinematics() -> None:
    """Scalar functions take the scalar rate, the axial one the axial rate, and no form factor."""
    recoil, a, spin = np.array([1e-3, 2e-3]), np.array([129.0]), np.array([3.0])
    rate = np.zeros((1, cevns.KINDS, 3, 2))
    for kind, inside in enumerate((slice(0, 27), slice(27, 30), slice(30, 31))):
        rate[:] = 0.0
        rate[:, kind] = np.arange(1.0, 7.0).reshape(3, 2)
        given = (np.array([54.0]), a, radii(1), spin, np.array([M_XENON]), rate)
        ours = cevns.spectra(recoil, *given)[:, 0]
        felt = np.zeros(cevns.N_BASIS, dtype=bool)
        felt[inside] = True
        np.testing.assert_array_equal(ours[:, ~felt], 0.0)
        assert np.all(ours[:, felt] != 0.0)
        if kind == 1:
            form2 = np.array([cevns.helm(sqrt(2.0 * M_XENON * t), R_XENON) ** 2 for t in recoil])
            for j, charge in ((27, 54.0**2), (28, 54.0 * 75.0), (29, 75.0**2)):
                expected = (rate[0, 1] * form2).T * charge
                np.testing.assert_allclose(ours[:, j], expected, rtol=1e-14)
        if kind == 2:  # (Z+ - Z- + N+ - N-)^2, LX22 eq. 2.14
            np.testing.assert_allclose(ours[:, 30], 9.0 * rate[0, 2].T, rtol=1e-15)


@settings(deadline=None, max_examples=40)
@given(
    energy=st.floats(0.5, 50.0),
    share=st.floats(1e-4, 0.999),
    mass=st.floats(0.1, 1e3),
    g=st.floats(1e-7, 1e-2),
    strength=st.floats(0.1, 20.0),
    spin=st.integers(0, 3),
)
def test_scalar_and_axial_cross_sections_are_those_of_the_papers(
    energy: float, share: float, mass: float, g: float, strength: float, spin: int
) -> None:
    """LX22 eqs 2.9, 2.10, 2.13 and 2.14 in cm^2/MeV for one neutrino energy, all flavors alike."""
    z, a, g_p, g_n = 54.0, 131.0, 0.0229, -0.5
    recoil = share * 2.0 * energy**2 / M_XENON
    moments = energy ** -np.arange(3.0)[:, None, None] * np.ones((3, 1))
    rate = cevns.rate_factor(np.array([recoil]), M_XENON, moments)[None]
    spectra = cevns.spectra(
        *(np.array([recoil]), np.array([z]), np.array([a]), radii(1), np.array([float(spin)])),
        *(np.array([M_XENON]), rate),
    ).reshape(1, 1, -1)
    q2 = 2.0 * M_XENON * recoil
    powers = (3 * cevns.POWERS[0], 3 * cevns.POWERS[1], 3 * cevns.POWERS[2])
    scaled = fold.at_mass(spectra, np.array([[q2]]), mass, cevns.PROPAGATOR, powers)
    form = cevns.helm(sqrt(q2), R_XENON)
    nucleons = strength * a * form
    scalar = M_XENON**2 * recoil / (4.0 * pi * energy**2) * (g**2 * nucleons) ** 2
    scalar *= CM2_PER_MEV_2 / (q2 + mass**2) ** 2
    charge = g**2 * strength * spin / (sqrt(2.0) * G_FERMI * (q2 + mass**2))
    axial = 1.0 + M_XENON * recoil / (2.0 * energy**2)
    axial *= G_FERMI**2 * M_XENON / pi * charge**2 * CM2_PER_MEV_2
    weak = (g_p * z + g_n * (a - z)) * form
    plain = G_FERMI**2 * M_XENON / pi * (1.0 - share) * weak**2 * CM2_PER_MEV_2
    for kind, expected in (("scalar", scalar), ("axial", axial)):
        weights = polynomial.universal_weights(kind, strength, np.full(3, g_p), g_n)
        orders = np.einsum("okf,kf->of", weights, scaled.reshape(cevns.N_BASIS, 3))
        # 1 - t cancels down to 1e-3 where the recoil is largest
        np.testing.assert_allclose(orders[0], plain, rtol=1e-12)
        np.testing.assert_array_equal(orders[1], 0.0)
        np.testing.assert_allclose(g**4 * orders[2], expected, rtol=1e-13)


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
