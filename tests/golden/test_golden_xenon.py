"""Xenon detectors against the numbers of P21 (Amaral et al. 2021, arXiv:2104.03297).

P21 shows these as figures and rounded numbers. The digits below come from a program of ours that
was written separately, for one mean nucleus with A = 131.293, with the oscillation parameters and
the mixing of P21; natural isotopes move the tail of the nuclear recoils by up to 1.5 %.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammainc

from lmltgrid import basis
from lmltgrid.kernels.response import lindhard
from lmltgrid.spec import Atomic
from lmltgrid.tables import models
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.oscillation import oscillation

Array = NDArray[np.float64]

pytestmark = pytest.mark.golden

FIVE_SIGMA = 2.87e-7  # P21 section 5, one-sided
RECOILS = np.array([0.1, 0.5, 1.0, 2.0])  # keV
SM_RATES = np.array([1660.5, 686.9, 236.6, 18.31])  # per (t yr keV), P21 fig. 10 left
BP1_RATIOS = np.array([1.236, 1.163, 1.115, 1.071])  # Lmu-Ltau over SM


def spectrum(name: str, parameters: str, recoil: Array, mixing: str = "amaral2021") -> Array:
    """SM rate and rate at BP1, shape (2, n), per (t yr keV)."""
    point = models.benchmarks()["BP1"]
    c0, c1, c2 = basis.point_spectrum(
        "nr",
        "Xe",
        models.find(name, mixing),
        recoil,
        point.mass,
        metallicity="GS98",
        oscillation=oscillation(parameters),
    )
    x = point.coupling**2
    return np.stack([c0, c0 + x * (c1 + x * c2)])


@lru_cache(maxsize=16)
def counts(
    name: str,
    threshold: float,
    atomic: Atomic = "step+rrpa",
    parameters: str = "amaral2021",
    model: str = "Lmu-Ltau",
) -> tuple[float, float]:
    """Counts per tonne year without and with BP1; the first includes the background."""
    point = models.benchmarks()["BP1"]
    dataset = basis.compute(
        catalog()[name],
        mass=np.array([point.mass]),
        threshold=np.array([threshold]),
        oscillation=[oscillation(parameters)],
        atomic=atomic,
    )
    c0, c1, c2 = basis.coefficients(dataset, models.find(model, "amaral2021")).values[
        0, 0, 0, 0, :, 0
    ]
    x = point.coupling**2
    without = float(c0 + dataset.background.values[0, 0])
    return without, float(without + x * (c1 + x * c2))


def required_exposure(background: float, expected: float) -> float:
    """Solve P21 eq. 38 for the exposure, tonne year: p = P(n, b), not rounded to whole events."""

    def miss(log_exposure: float) -> float:
        t = np.exp(log_exposure)
        return float(gammainc(t * expected, t * background)) / FIVE_SIGMA - 1.0

    return float(np.exp(brentq(miss, 0.0, 9.0)))


def test_standard_model_recoils_of_xenon() -> None:
    ours = spectrum("Lmu-Ltau", "amaral2021", RECOILS)[0]
    np.testing.assert_allclose(ours, SM_RATES, rtol=0.02)  # mean nucleus: up to 1.5 % at 2 keV


def test_benchmark_1_over_the_standard_model() -> None:
    without, with_bp1 = spectrum("Lmu-Ltau", "amaral2021", RECOILS)
    # isotopes cancel in the ratio; four digits are given
    np.testing.assert_allclose(with_bp1 / without, BP1_RATIOS, rtol=0.005)


def test_l_mu_is_below_the_standard_model_everywhere() -> None:
    """P21 fig. 10, dotted: there are no tau neutrinos to win back what nu_mu lose."""
    recoil = np.geomspace(0.01, 5.7, 120)
    without, with_bp1 = spectrum("Lmu", "amaral2021", recoil)
    assert np.all(with_bp1 < without)
    assert np.all(with_bp1 > 0.0)


def test_l_mu_minus_l_tau_follows_the_excess_of_tau_neutrinos() -> None:
    """With delta_CP = 0 it is above the Standard Model everywhere, with NuFIT 6.0 below it."""
    recoil = np.geomspace(0.5, 4.0, 30)
    without, with_bp1 = spectrum("Lmu-Ltau", "amaral2021", recoil)
    assert np.all(with_bp1 > without)
    without, with_bp1 = spectrum("Lmu-Ltau", "nufit60", recoil)
    assert np.all(with_bp1 < without)


def test_the_sign_of_benchmark_1_depends_on_the_oscillation_parameters() -> None:
    """DARWIN above 1 keV: +9.6 % with delta_CP = 0, -2.6 % with NuFIT 6.0."""
    for parameters, printed in (("amaral2021", 0.096), ("nufit60", -0.026)):
        without, with_bp1 = counts("darwin-nr", 1.0, parameters=parameters)
        # a difference of nu_tau and nu_mu, whose digits end at 0.1 %
        assert with_bp1 / without - 1.0 == pytest.approx(printed, abs=0.001)


def test_nominal_thresholds() -> None:
    """P21 section 5: 3.8 keV_nr and 1.5 keV_ee for LZ, 5.7 and 1.5 for XENONnT and DARWIN."""
    printed = {"lz": (3.83, 1.465), "xenonnt": (5.665, 1.514), "darwin": (5.665, 1.514)}
    for name, (nuclear, electron) in printed.items():
        # half of the efficiency on digitized curves
        assert catalog()[f"{name}-nr"].threshold == pytest.approx(nuclear, rel=0.01)
        assert catalog()[f"{name}-er"].threshold == pytest.approx(electron, rel=0.01)
        assert catalog()[f"{name}-nr-er"].threshold == pytest.approx(electron, rel=0.01)


def test_quenching_of_nuclear_recoils() -> None:
    """P21 section 5: 0.7 keV_nr is 0.1 keV_ee; k = 0.1735. Three digits each."""
    assert lindhard(0.7, 54.0, 0.1735) == pytest.approx(0.106, abs=0.0005)
    assert lindhard(100.0, 54.0, 0.1735) == pytest.approx(29.6, abs=0.05)


def test_exposure_that_darwin_needs_with_nuclear_recoils() -> None:
    """P21: a 5 sigma discovery of BP1 takes about 100 t yr at 1 keV; 89.26 for a mean nucleus."""
    needed = required_exposure(*counts("darwin-nr", 1.0))
    assert needed == pytest.approx(89.26, rel=0.03)
    assert needed < 100.0


@pytest.mark.parametrize(("atomic", "exposure"), [("step+rrpa", 493.0), ("step", 343.0)])
def test_exposure_that_darwin_needs_with_electron_recoils(atomic: Atomic, exposure: float) -> None:
    """P21: about 400 t yr at the nominal threshold; how electrons are bound decides."""
    needed = required_exposure(*counts("darwin-er", 1.511, atomic))
    assert needed == pytest.approx(exposure, rel=0.03)


def test_a_nominal_threshold_sees_nothing_of_benchmark_1_in_nuclear_recoils() -> None:
    """P21: 8B recoils end below the nominal thresholds."""
    for name in ("lz-nr", "darwin-nr"):
        without, with_bp1 = counts(name, catalog()[name].threshold)
        assert catalog()[name].spec.exposure_tonne_year * with_bp1 < 1.0
        assert with_bp1 > without


def test_electron_recoils_exceed_the_standard_model() -> None:
    """P21 section 5: the pure new-physics term wins, for Lmu-Ltau and for Lmu."""
    for model in ("Lmu-Ltau", "Lmu"):
        without, with_bp1 = counts("darwin-er", 1.511, model=model)
        assert with_bp1 > without
