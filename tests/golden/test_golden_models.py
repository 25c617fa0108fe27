"""Kinetic mixing and charges against P20, P21 and AC22."""

from __future__ import annotations

from math import log, pi

import numpy as np
import pytest

from lmltgrid.kernels import cevns, eves, fold, polynomial
from lmltgrid.tables import models
from lmltgrid.units import E_CHARGE, M_ELECTRON, M_MUON, M_TAU

pytestmark = pytest.mark.golden


def loop_mixing(name: str, momentum: float) -> float:
    """eps/g of a leptonic model at a momentum transfer in MeV (P20 eq. A12)."""
    leptons = models.find(name).charges[2:]
    masses = (M_ELECTRON, M_MUON, M_TAU)
    loops = [cevns.loop_function(momentum**2, m) for m in masses]
    return E_CHARGE / (2.0 * pi**2) * sum(q * v for q, v in zip(leptons, loops, strict=True))


@pytest.mark.parametrize(
    ("momentum", "inverse"),
    [
        (0.0, -69.286),
        (1e-3, -69.286),
        (30.0, -69.48),
        (50.0, -69.83),
        (100.0, -71.35),
        (200.0, -76.48),
    ],
)
def test_loop_mixing_of_l_mu_minus_l_tau(momentum: float, inverse: float) -> None:
    # half of the last digit given
    assert 1.0 / loop_mixing("Lmu-Ltau", momentum) == pytest.approx(inverse, abs=0.005)


def test_loop_mixing_at_rest_is_a_logarithm() -> None:
    """P20 eq. A12 at Q -> 0: e/(6 pi^2) ln(m_mu/m_tau); P21 rounds it to -1/70."""
    expected = E_CHARGE / (6.0 * pi**2) * log(M_MUON / M_TAU)
    assert loop_mixing("Lmu-Ltau", 0.0) == pytest.approx(expected, rel=1e-14)
    assert expected == pytest.approx(-0.0144329, abs=5e-8)
    assert loop_mixing("Lmu-Ltau", 0.0) == pytest.approx(models.AMARAL_2021, rel=0.011)


@pytest.mark.parametrize(
    ("name", "light", "heavy"), [("Le-Lmu", M_ELECTRON, M_MUON), ("Le-Ltau", M_ELECTRON, M_TAU)]
)
def test_loop_mixing_of_the_other_leptonic_models(name: str, light: float, heavy: float) -> None:
    """AC22 eq. 3.20 at rest: the same logarithm, of the two masses."""
    expected = E_CHARGE / (6.0 * pi**2) * log(light / heavy)
    assert loop_mixing(name, 0.0) == pytest.approx(expected, rel=1e-14)


def test_presets_of_the_papers() -> None:
    """P21 section 2, and P20 eqs 7-8 as printed, which is 3/2 of P20 eq. A12."""
    assert pytest.approx(-70.0, rel=1e-15) == 1.0 / models.AMARAL_2021
    assert pytest.approx(-46.191, abs=5e-4) == 1.0 / models.AMARAL_2020
    ratio = models.AMARAL_2020 / loop_mixing("Lmu-Ltau", 0.0)
    assert ratio == pytest.approx(1.5, rel=1e-14)


def test_the_loop_is_what_a_number_would_be_at_that_momentum() -> None:
    """Both ways to weigh the basis give one rate if eps/g is that of the loop."""
    recoil, m_xenon, a = 2e-3, 122_000.0, 131.0
    model = models.find("Lmu-Ltau")
    charges, proton = np.array(model.charges), np.full(3, 0.04)
    q2 = 2.0 * m_xenon * recoil
    spectra = cevns.spectra(
        np.array([recoil]),
        np.array([54.0]),
        np.array([a]),
        np.full((2, 1), 5.6),
        np.ones(1),
        np.array([m_xenon]),
        np.ones((1, cevns.KINDS, 3, 1)),
    )
    powers = (3 * cevns.POWERS[0], 3 * cevns.POWERS[1], 3 * cevns.POWERS[2])
    basis = fold.at_mass(
        spectra.reshape(1, 1, -1), np.array([[q2]]), 15.0, cevns.PROPAGATOR, powers
    ).reshape(-1, 3)
    number = loop_mixing("Lmu-Ltau", q2**0.5)
    both = [
        polynomial.nuclear_weights(charges, charges[2:], eps, loop, proton, -0.5)
        for eps, loop in ((0.0, True), (number, False))
    ]
    pair = [np.einsum("okf,kf->of", weights, basis) for weights in both]
    np.testing.assert_allclose(pair[0], pair[1], rtol=1e-12)


def test_scalar_couplings_of_the_nucleons() -> None:
    """AC22 eq. 3.31: sigma_piN/m_ud = 59.1 MeV over (2.16 + 4.67)/2 MeV is 17.3."""
    # half of the last digit
    assert pytest.approx(17.3, abs=0.05) == 59.1 / (0.5 * (2.16 + 4.67))
    assert models.find("scalar").strength == 17.3


def test_axial_coupling_of_the_nucleons() -> None:
    """LX22 below eq. 2.14: the sum of Delta_q is about 0.3 for protons and neutrons."""
    assert models.find("axial").strength == 0.3


def test_electron_and_nuclear_propagators_differ_by_the_factor_of_the_papers() -> None:
    """P20 eqs 14, 23, 29: 1/(sqrt2 G_F) for nuclei, 1/(2 sqrt2 G_F) in g1 and g2 of electrons."""
    assert pytest.approx(2.0, rel=1e-15) == eves.PROPAGATOR / cevns.PROPAGATOR
