"""From charges to coefficients, and from coefficients to counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lmltgrid.kernels import cevns, eves, polynomial
from lmltgrid.units import E_CHARGE

Array = NDArray[np.float64]
Weights = Callable[[Array, float, bool], Array]

PROTON = np.array([0.04, 0.03, 0.02])
UNIVERSAL = [cevns.BASIS.index(b) for b in ("D2 S pp", "D2 S pn", "D2 S nn", "D2 A")]
charges_5 = hnp.arrays(np.float64, 5, elements=st.floats(-3.0, 3.0))


def nuclear(charges: Array, mixing: float, loop: bool) -> Array:
    return polynomial.nuclear_weights(charges, charges[2:], mixing, loop, PROTON, -0.5)


def electron(charges: Array, mixing: float, loop: bool) -> Array:
    return polynomial.electron_weights(charges, charges[2:], mixing, loop, 0.23122)


@pytest.mark.parametrize("weights", [nuclear, electron])
@settings(deadline=None, max_examples=30)
@given(charges=charges_5, mixing=st.floats(-0.5, 0.5), loop=st.booleans(), k=st.floats(0.1, 10.0))
def test_scaled_charges_and_mixing_scale_the_orders(
    weights: Weights, charges: Array, mixing: float, loop: bool, k: float
) -> None:
    """Q -> k Q, eps/g -> k eps/g is g -> k g: order n gains k^(2n)."""
    one, scaled = weights(charges, mixing, loop), weights(k * charges, k * mixing, loop)
    for order in range(3):
        np.testing.assert_allclose(
            scaled[order], k ** (2 * order) * one[order], rtol=1e-13, atol=1e-14
        )


@pytest.mark.parametrize("weights", [nuclear, electron])
def test_without_charges_the_standard_model_is_left(weights: Weights) -> None:
    ours = weights(np.zeros(5), 0.3, False)
    np.testing.assert_array_equal(ours[1:], 0.0)
    np.testing.assert_array_equal(ours[0], weights(np.ones(5), 0.0, False)[0])


def test_standard_model_weights() -> None:
    """(g_p p + g_n n)^2, and g1^2 A + g2^2 B - g1 g2 C."""
    ours = nuclear(np.zeros(5), 0.0, False)[0]
    np.testing.assert_allclose(ours[0], PROTON**2, rtol=1e-15)
    np.testing.assert_allclose(ours[1], 2.0 * PROTON * -0.5, rtol=1e-15)
    np.testing.assert_allclose(ours[2], 0.25, rtol=1e-15)
    np.testing.assert_array_equal(ours[3:], 0.0)
    g1, g2 = np.array([0.73122, -0.26878, -0.26878]), 0.23122
    ours = electron(np.zeros(5), 0.0, False)[0]
    expected = np.stack([g1**2, np.full(3, g2**2), -g1 * g2])
    np.testing.assert_allclose(ours[:3], expected, rtol=1e-15)
    np.testing.assert_array_equal(ours[3:], 0.0)


def test_each_power_of_the_propagator_belongs_to_one_order() -> None:
    """All functions but those of scalar and axial mediators, which are no vectors."""
    charges = np.array([1.0, 0.5, -1.0, 2.0, 3.0])
    for ours, kernel in ((nuclear(charges, 0, True), cevns), (electron(charges, 0, True), eves)):
        starts = (0, kernel.POWERS[0], kernel.POWERS[1])
        other = np.isin(np.arange(kernel.N_BASIS), UNIVERSAL) & (kernel is cevns)
        for order in range(3):
            inside = np.zeros(kernel.N_BASIS, dtype=bool)
            inside[starts[order] : kernel.POWERS[order]] = True
            inside &= ~other
            np.testing.assert_array_equal(ours[order][~inside], 0.0)
            assert np.all(ours[order][inside][0] != 0.0)


def test_a_mixing_couples_to_the_proton_like_minus_its_electric_charge() -> None:
    """c_p = g (2 Q_u + Q_d) - eps e, c_e = g Q_e + eps e: quark charges can undo a mixing."""
    mixing = 0.2
    undone = np.array([2.0, -1.0, 0.0, 1.0, 0.0]) * E_CHARGE * mixing / 3.0
    undone[3] = 1.0
    ours = nuclear(undone, mixing, False)
    # tree_p = (4 - 1)/3 e mixing - e mixing = 0; tree_n = (2 - 2)/3 = 0
    np.testing.assert_allclose(ours[1:], 0.0, rtol=0, atol=1e-16)
    charges = np.array([0.0, 0.0, -E_CHARGE * mixing, 1.0, 0.0])
    np.testing.assert_allclose(electron(charges, mixing, False)[1:], 0.0, rtol=0, atol=1e-16)


@pytest.mark.parametrize("kind", ["scalar", "axial"])
@pytest.mark.parametrize("strength", [0.3, 17.3])
def test_universal_mediators_never_interfere(kind: str, strength: float) -> None:
    """The Standard Model as it is, nothing linear, and the square of the strength."""
    ours = polynomial.universal_weights(kind, strength, PROTON, -0.5)
    assert ours.shape == (3, cevns.N_BASIS, 3)
    np.testing.assert_array_equal(ours[0], nuclear(np.zeros(5), 0.0, False)[0])
    np.testing.assert_array_equal(ours[1], 0.0)
    expected = np.zeros((cevns.N_BASIS, 3))  # all neutrinos couple alike
    if kind == "scalar":  # (Z F_p + N F_n)^2
        for name, times in (("D2 S pp", 1.0), ("D2 S pn", 2.0), ("D2 S nn", 1.0)):
            expected[cevns.BASIS.index(name)] = times * strength**2
    else:
        expected[cevns.BASIS.index("D2 A")] = strength**2
    np.testing.assert_allclose(ours[2], expected, rtol=1e-15)


def test_vectors_feel_neither_scalar_nor_axial_kinematics() -> None:
    for loop in (True, False):
        ours = nuclear(np.array([1.0, 0.5, -1.0, 2.0, 3.0]), 0.1, loop)
        np.testing.assert_array_equal(ours[:, UNIVERSAL], 0.0)


def test_the_sign_of_the_interference() -> None:
    """eps < 0: c_p > 0, and the weak charge is negative, so nu_mu loses and nu_tau gains."""
    ours = nuclear(np.array([0.0, 0.0, 0.0, 1.0, -1.0]), -1.0 / 70.0, False)
    pn = cevns.BASIS.index("D pn")
    assert ours[1, pn, 0] == 0.0
    assert ours[1, pn, 1] < 0.0 < ours[1, pn, 2]


@pytest.mark.parametrize("loop", [True, False])
def test_neutrinos_may_have_charges_of_their_own(loop: bool) -> None:
    """A flavor feels its own charge alone; the mixing is that of the charged leptons."""
    charges, own = np.array([0.3, -0.2, 0.0, 1.0, -1.0]), np.array([2.0, 1.0, 0.0])
    for weights in (
        lambda q: polynomial.nuclear_weights(charges, q, -0.02, loop, np.full(3, 0.04), -0.5),
        lambda q: polynomial.electron_weights(charges, q, -0.02, loop, 0.23122)[..., 1:],
    ):
        ours, plain = weights(own), weights(charges[2:])
        muon = plain[..., -2]  # nu_mu, whose charge is one in both
        np.testing.assert_array_equal(ours[..., -2], muon)
        np.testing.assert_array_equal(ours[1:, :, -1], 0.0)
        np.testing.assert_array_equal(ours[0], plain[0])
        if ours.shape[-1] == 3:
            np.testing.assert_allclose(ours[1, :, 0], 2.0 * muon[1], rtol=1e-15)
            np.testing.assert_allclose(ours[2, :, 0], 4.0 * muon[2], rtol=1e-15)


@settings(deadline=None, max_examples=30)
@given(
    c=hnp.arrays(np.float64, (3, 4), elements=st.floats(-1e3, 1e3)),
    g=hnp.arrays(np.float64, 5, elements=st.floats(0.0, 2.0)),
)
def test_counts_are_the_polynomial(c: Array, g: Array) -> None:
    x = g**2
    out = np.full((4, 5), np.nan)
    polynomial.rates(c, x, out)
    expected = c[0][:, None] + c[1][:, None] * x + c[2][:, None] * x**2
    # Horner against the sum of terms: rounding of the largest
    np.testing.assert_allclose(
        out, expected, rtol=1e-14, atol=1e-13 * np.abs(c).max() * 21 + 1e-300
    )


@settings(deadline=None, max_examples=20)
@given(exposure=st.floats(1e-3, 1e4))
def test_counts_are_linear_in_the_exposure(exposure: float) -> None:
    c = np.array([[31.0, 30.0], [1e7, -2e6], [3e13, 1e11]])
    x = np.array([0.0, 1e-9, 2.5e-7])
    one, more = np.empty((2, 3)), np.empty((2, 3))
    polynomial.rates(c, x, one)
    polynomial.rates(exposure * c, x, more)
    np.testing.assert_allclose(more, exposure * one, rtol=1e-14)
