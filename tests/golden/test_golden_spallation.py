"""Spallation sources against what the papers print.

P20 is Amaral et al. 2020 (arXiv:2006.11225), P21 Amaral et al. 2021 (arXiv:2104.03297), AC22 Atzori
Corona et al. 2022 (arXiv:2202.11002), B22 Bertuzzo et al. 2022 (arXiv:2112.04020).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar

from lmltgrid import basis, folding, quadrature
from lmltgrid.kernels import pidar
from lmltgrid.spec import Couplings
from lmltgrid.tables import models, nuclei
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.oscillation import oscillation
from lmltgrid.tables.spallation import SpallationExperiment

Array = NDArray[np.float64]

P21_NAMES = ("ess", "ess10", "ccm", "cenns610")
ONE, TWO = 2.71, 4.61  # 90 %, with one and with two parameters
# B22 Table 2: mass (kg), threshold and largest recoil (keV), resolution there, background per day
TABLE_2 = {
    "csi": (22.5, 1.0, 46.1, 0.30, 406.0),
    "si": (1.0, 0.16, 212.9, 0.60, 8.5),
    "xe": (20.0, 0.9, 45.6, 0.40, 357.6),
    "ge": (7.0, 0.6, 78.9, 0.15, 329.0),
    "ar": (10.0, 0.1, 150.0, 0.40, 4e-2),
    "c3f8": (10.0, 2.0, 329.6, 0.40, 4e-2),
}


def found(name: str) -> SpallationExperiment:
    experiment = catalog()[name]
    assert isinstance(experiment, SpallationExperiment)
    return experiment


@lru_cache(maxsize=32)
def counts(name: str, mass: float, couplings: Couplings = "msbar") -> Array:
    """Counts in powers of g^2, shape (bin, order); L_mu - L_tau with eps = -g/70."""
    experiment = found(name)
    moments = basis.compute(
        experiment, mass=np.array([mass]), oscillation=[oscillation("amaral2021")]
    )
    model = models.find("Lmu-Ltau", "amaral2021")
    one = basis.coefficients(moments, model, couplings).values[0, 0, 0, :, :, 0]
    return np.asarray(experiment.spec.exposure_tonne_year * one)


def at(coefficients: Array, g: float) -> Array:
    return np.asarray(coefficients @ np.array([1.0, g**2, g**4]))


def chi_square(name: str, data: Array, theory: Array, standard_model: Array) -> float:
    """P21 eq. 34, with the minimum over its normalization written out."""
    experiment = found(name)
    (pull,) = experiment.spec.pull
    assert pull.fraction is not None
    weight = 1.0 / (data + experiment.spec.likelihood.noise_fraction * standard_model)
    miss = data - theory
    least = np.sum(weight * miss * theory) ** 2
    least /= np.sum(weight * theory**2) + 1.0 / pull.fraction**2
    return float(np.sum(weight * miss**2) - least)


def seen(name: str, benchmark: str) -> float:
    """Chi-square of the Standard Model if the benchmark point is true."""
    point = models.benchmarks()[benchmark]
    c = counts(name, point.mass)
    return chi_square(name, at(c, point.coupling), c[:, 0], c[:, 0])


@pytest.mark.golden
@pytest.mark.parametrize("name", P21_NAMES)
def test_the_ess_sees_two_benchmark_points_and_the_others_none(name: str) -> None:
    """P21 section 4: BP1 and BP2 in both detectors at the ESS; CENNS610 and CCM bound alone."""
    for benchmark in ("BP1", "BP2"):
        value = seen(name, benchmark)
        assert value > TWO if name.startswith("ess") else value < TWO
    for benchmark in ("BP3", "BP4"):
        # ESS lies on the line for BP3, 4.63, and its region does not close at 95 %, 5.99
        assert seen(name, benchmark) < (5.99 if name == "ess" else TWO)


@pytest.mark.snapshot
@pytest.mark.parametrize(
    ("name", "benchmark", "value"),
    [
        ("ess", "BP1", 16.4),
        ("ess", "BP2", 21.2),
        ("ess10", "BP1", 23.8),
        ("ess10", "BP2", 11.6),
        ("ccm", "BP1", 2.03),
        ("ccm", "BP2", 2.86),
        ("cenns610", "BP1", 1.04),
        ("cenns610", "BP2", 1.42),
    ],
)
def test_how_well_the_benchmark_points_are_seen(name: str, benchmark: str, value: float) -> None:
    assert seen(name, benchmark) == pytest.approx(value, abs=0.05 if value > 10.0 else 0.005)


@pytest.mark.golden
def test_the_limit_of_ccm() -> None:
    """P21: bounds reach couplings of the order of 7e-4; BP1 is true, at its mass."""
    point = models.benchmarks()["BP1"]
    c = counts("ccm", point.mass)
    data = at(c, point.coupling)

    def excess(g: float) -> float:
        return chi_square("ccm", data, at(c, g), c[:, 0]) - ONE  # the least is zero, at BP1

    limit = brentq(excess, point.coupling, 2e-3)
    assert limit == pytest.approx(7e-4, abs=0.5e-4)  # one printed digit


@pytest.mark.golden
def test_the_efficiency_of_cenns610() -> None:
    """P21: 0.5 (1 + tanh(E_ee - 4 keV)), E_ee = (0.246 + 7.8e-4 E) E."""
    curve = found("cenns610").efficiency
    assert curve is not None
    energy = np.linspace(20.0, 150.0, 1000)
    formula = 0.5 * (1.0 + np.tanh((0.246 + 7.8e-4 * energy) * energy - 4.0))
    ours = np.interp(energy, curve.energy, curve.value)
    np.testing.assert_allclose(ours, formula, atol=3e-4)  # linear over 0.2 keV


def cenns10() -> float:
    """Events of the Standard Model with the inputs of P20."""
    return float(counts("cenns-10", 15.0)[:, 0].sum())


@pytest.mark.golden
def test_events_of_cenns10() -> None:
    """128 events (arXiv:2003.10630, analysis A) with r = 0.09, 1.38e23 protons, 24.4 kg.

    The form factor is that of P20 and the target natural argon: 3 %.
    """
    release = cenns10() * (0.09 / 0.08) * (1.38 / 1.37) * (24.4 / 24.0)
    assert release == pytest.approx(128.0, rel=0.03)


@pytest.mark.snapshot
def test_events_of_cenns10_with_the_inputs_of_p20() -> None:
    """Computed as well by another program, for 40Ar alone: 131.3 with the inputs of the release."""
    assert cenns10() == pytest.approx(131.3 * (0.08 / 0.09) * (1.37 / 1.38) * (24 / 24.4), rel=5e-3)


@pytest.mark.golden
@pytest.mark.parametrize("name", TABLE_2)
def test_detectors_at_the_ess_are_those_of_b22(name: str) -> None:
    mass, low, high, fraction, per_day = TABLE_2[name]
    experiment = found(f"ess-{name}")
    edges, response = experiment.energy_edges, experiment.spec.response
    assert experiment.spec.exposure_tonne_year == pytest.approx(3e-3 * mass, rel=1e-12)
    assert (edges[0], edges[-1], response.acceptance) == (low, high, 0.8)
    rate = experiment.spec.likelihood.background_counts_per_tonne_year_kev
    found_per_day = rate * (high - low) * 1e-3 * mass / 365.25
    assert found_per_day == pytest.approx(per_day, rel=1e-6)  # written with eight digits
    if name in ("ar", "c3f8"):
        assert response.resolution is None
        assert edges.size == 2
        return
    # sigma(E) = sigma_0 (E/E_min)^(1/2), and bins twice as wide as that at their center
    assert response.resolution is not None
    sigma = response.resolution * np.sqrt(0.5 * (edges[1:] + edges[:-1]))
    assert response.resolution * np.sqrt(low) == pytest.approx(fraction * low, rel=1e-9)
    np.testing.assert_allclose(np.diff(edges)[:-1], 2.0 * sigma[:-1], atol=2e-6)  # six decimals
    assert 1.0 < (edges[-1] - edges[-2]) / sigma[-1] < 3.0


@pytest.mark.golden
@pytest.mark.parametrize(("name", "rate"), [("csi", 10.0), ("si", 1.0), ("xe", 10.0), ("ge", 15.0)])
def test_backgrounds_of_b22_are_round_rates(name: str, rate: float) -> None:
    """A steady rate per keV, kg and day, and the duty factor of 4e-2 (B22 Table 2)."""
    mass, low, high, _, per_day = TABLE_2[name]
    printed = 0.5 / 406.0 if name == "csi" else 0.05 / 8.5  # half of the last digit
    assert rate * mass * (high - low) * 4e-2 == pytest.approx(per_day, rel=printed)


def dip(target: str, model: str, g: float) -> float:
    """Recoil energy (keV) at which the interaction of nu_mu is weakest, relative to its SM."""
    nuclei_ = nuclei.target(target, "ac22")
    weight = basis.weights("nr", models.find(model), "radiative")[..., 1]  # as nu_mu

    def ratio(energy: float) -> float:
        spectra, q2 = quadrature.spectra_of_flux(np.array([energy]), nuclei_, pidar.flux_moments)
        value = folding.basis_moments("nr", spectra, q2, np.eye(1), np.array([10.0]))[0, 0]
        c = weight @ value[:, pidar.COMPONENTS.index("anti-nu_mu")]
        return float(at(c, g) / c[0])

    energies = np.linspace(2.0, 0.95 * (149.0 if target == "Ar" else 45.0), 200)
    i = int(np.argmin([ratio(float(e)) for e in energies]))
    around = (float(energies[i - 1]), float(energies[i + 1]))
    least = minimize_scalar(ratio, bounds=around, method="bounded")
    assert least.fun < 0.02  # isotopes do not cancel at quite the same energy
    return float(least.x)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("target", "model", "g", "printed"),
    [
        ("Ar", "universal", 1e-4, 92.0),
        ("Ar", "By+Lmu+Ltau", 1e-4, 29.0),
        ("Ar", "Lmu-Ltau", 2e-3, 23.0),
        ("CsI", "universal", 1e-4, 27.0),
        ("CsI", "By+Lmu+Ltau", 1e-4, 8.0),
        ("CsI", "Lmu-Ltau", 2e-3, 6.0),
    ],
)
def test_cancellation_energies(target: str, model: str, g: float, printed: float) -> None:
    """AC22 eqs 3.17, 3.18, 3.21 with M = 10 MeV, printed without decimals.

    Argon: 1 keV; CsI, where Cs and I are not quite alike: 0.6 keV.
    """
    assert dip(target, model, g) == pytest.approx(printed, abs=1.0 if target == "Ar" else 0.6)
