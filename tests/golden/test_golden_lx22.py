"""Universal scalar and axial mediators, and the solar rates of LX22 (Li & Xia 2022, 2201.05015).

LX22 shows its rates as figures 2 and 3 alone: the digits of the counts below are ours, with the
couplings of LX22, and so are snapshots. The integration in `direct` shares with the package its
tables of fluxes, spectra and isotopes, and the physical constants: it has the cross sections as
printed, recoils inside and neutrinos outside, and needs no oscillations, since the three neutrinos
couple alike.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import inf, pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import lmltgrid
from lmltgrid import basis, quadrature
from lmltgrid.errors import SpecificationError
from lmltgrid.spec import Couplings
from lmltgrid.tables import models, nuclei, solar
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.oscillation import oscillation
from lmltgrid.tables.recoils import Reaction
from lmltgrid.units import CM2_PER_MEV_2, G_FERMI, HBAR_C, SECONDS_PER_YEAR

Array = NDArray[np.float64]

SIN2 = 0.2387  # LX22 eq. 2.3, g_V^p of 0.0229 within 0.0004
MASSES = np.array([1e-6, 1e-5, 0.1, 1.0, 15.0, 300.0, 1e5, 1e6])
UNIVERSAL = ("scalar", "scalar-lx22", "axial")
SCENARIOS = {  # Table 1: element and threshold in keV
    "lx22-xe-gen2-optimal": ("Xe", 1.0),
    "lx22-xe-gen2-nominal": ("Xe", 3.5),
    "lx22-ar-gen2-optimal": ("Ar", 1.0),
    "lx22-ge-gen2-optimal": ("Ge", 0.04),
    "lx22-si-gen2-optimal": ("Si", 0.04),
}
P21_SEARCHES = ("lz-nr", "darwin-nr")  # xenonnt-nr has the efficiency of darwin-nr


@lru_cache(maxsize=32)
def moments(name: str, reactions: tuple[Reaction, ...] | None = None) -> xr.Dataset:
    """Basis moments of one scenario, of some solar reactions alone if they are named."""
    experiment = catalog()[name]
    spec = experiment.spec.model_copy(update={"reactions": reactions})
    return basis.compute(
        replace(experiment, spec=spec), mass=MASSES, oscillation=[oscillation("nufit60")]
    )


def coefficients(name: str, model: str, couplings: Couplings = "low-energy") -> Array:
    """Counts per tonne year in powers of g^2, summed over bins, shape (order, mass)."""
    found = basis.coefficients(moments(name), models.find(model), couplings)
    return np.asarray(found.sum("bin").values[0, 0, 0])


def edges(source: solar.SolarSource, kinks: list[float]) -> Array:
    """Neutrino energies between which a spectrum and its integral over recoils are smooth."""
    inside = [e for e in kinks if e < source.endpoint]
    found = np.unique(np.concatenate([source.energy, inside]))
    return np.asarray(found[found >= kinks[0]])


def direct(element: str, low: float, kind: str, mass: float, high: float = inf) -> float:
    """Counts per tonne year and g^4 between two recoils (keV); g^0 for the Standard Model."""
    x, w = np.polynomial.legendre.leggauss(8)
    target, total = nuclei.target(element), 0.0
    for a, m, share in zip(target.a, target.nuclear_mass, target.abundance, strict=True):
        kinks = [0.5 * (t + sqrt(t**2 + 2 * m * t)) for t in (low * 1e-3, high * 1e-3) if t < inf]
        for source in solar.solar_sources("GS98"):
            if source.endpoint <= kinks[0]:
                continue
            if source.lines:
                energy, weight = (np.array(v) for v in zip(*source.lines, strict=True))
                energy, weight = energy[energy > kinks[0]], weight[energy > kinks[0]]
            else:
                ends = edges(source, kinks)
                half, middle = 0.5 * np.diff(ends)[:, None], 0.5 * (ends[1:] + ends[:-1])[:, None]
                energy = (middle + half * x).ravel()
                weight = (half * w).ravel() * np.interp(energy, source.energy, source.spectrum)
            sigma = cross_section(
                energy, low * 1e-3, high * 1e-3, kind, mass, a, m, int(target.z[0])
            )
            total += float(share * source.flux * np.sum(weight * sigma))
    return total * target.atoms_per_tonne * SECONDS_PER_YEAR * CM2_PER_MEV_2


def cross_section(
    energy: Array, low: float, high: float, kind: str, mass: float, a: float, m: float, z: int
) -> Array:
    """LX22 eqs 2.1, 2.9, 2.10, 2.13, 2.14 integrated over recoils (MeV), shape (n,), MeV^-2.

    Without the corrections of order T/E, 1e-4, which LX22 neglects in the same place as P21. Scalar
    and axial terms are those of unit couplings to a nucleon.
    """
    x, w = np.polynomial.legendre.leggauss(40)
    top = np.minimum(2.0 * energy**2 / (m + 2.0 * energy), high)
    half = 0.5 * np.log(top / low)[:, None]
    t = low * np.exp(half * (1.0 + x))
    q = np.sqrt(2.0 * m * t)
    r = q * sqrt((1.23 * a ** (1 / 3) - 0.6) ** 2 + 7 / 3 * (pi * 0.52) ** 2 - 5 * 0.9**2) / HBAR_C
    form = 3 * (np.sin(r) - r * np.cos(r)) / r**3 * np.exp(-0.5 * (q * 0.9 / HBAR_C) ** 2)
    slope = m * t / (2.0 * energy[:, None] ** 2)
    if kind == "scalar":
        value = m**2 * t / (4.0 * pi * energy[:, None] ** 2) * (a * form / (q**2 + mass**2)) ** 2
    elif kind == "axial":
        unpaired = a % 2 / (sqrt(2.0) * G_FERMI * (q**2 + mass**2))
        value = G_FERMI**2 * m / pi * (1.0 + slope) * unpaired**2
    else:
        weak = (z * (0.5 - 2.0 * SIN2) - 0.5 * (a - z)) * form
        value = G_FERMI**2 * m / pi * (1.0 - slope) * weak**2
    return np.asarray((value * t * half) @ w)


@pytest.mark.snapshot
@pytest.mark.parametrize(
    ("name", "known", "tolerance"),
    [
        ("lx22-xe-gen2-optimal", 100.6, 0.02),
        ("lx22-xe-gen2-nominal", 0.018, 0.03),  # hep alone; two digits are given
        ("lx22-ar-gen2-optimal", 132.7, 0.03),
        ("lx22-ge-gen2-optimal", 553.0, 0.03),
        ("lx22-si-gen2-optimal", 440.0, 0.03),
    ],
)
def test_standard_model_counts_of_lx22(name: str, known: float, tolerance: float) -> None:
    """Solar neutrinos per tonne year above the threshold, all reactions of GS98.

    What the figures of LX22 may differ in: it has charge radii in its form factor, which moves
    these counts by less than 1e-3; T/E in its eq. 2.1, 1e-4; and g_V^p = 0.0229, below 1e-3. Tables
    of fluxes and isotopes are good to percents.
    """
    assert SCENARIOS[name][1] == catalog()[name].threshold
    assert coefficients(name, "scalar")[0, 0] == pytest.approx(known, rel=tolerance)


@pytest.mark.snapshot
def test_boron_makes_nearly_all_counts_in_xenon() -> None:
    """8B alone gives 99.8 of the 100.6 above 1 keV; hep gives the rest."""
    counts = {
        reactions: basis.coefficients(
            moments("lx22-xe-gen2-optimal", reactions), models.find("axial"), "low-energy"
        )
        .sum("bin")
        .values[0, 0, 0, 0, 0]
        for reactions in (("8B",), ("hep",), ("pp", "pep", "7Be", "13N", "15O", "17F"))
    }
    boron, hep, others = counts.values()
    assert boron == pytest.approx(99.8, rel=0.02)
    assert boron + hep == pytest.approx(coefficients("lx22-xe-gen2-optimal", "axial")[0, 0])
    assert others == 0.0


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("kind", ["scalar", "axial", "Standard Model"])
def test_counts_are_those_of_the_printed_cross_sections(name: str, kind: str) -> None:
    """The sum over the bins against `direct`, to 1e-6."""
    element, threshold = SCENARIOS[name]
    end = float(moments(name)["window"].values.max())
    model = "scalar" if kind == "scalar" else "axial"
    strength = models.find(model).strength
    counts = coefficients(name, model)
    for i in (1, 2, 3, 4, 5):
        exact = direct(element, threshold, kind, float(MASSES[i]), end)
        if kind == "Standard Model":
            assert counts[0, i] == pytest.approx(exact, rel=1e-6)
        else:
            assert counts[2, i] == pytest.approx(strength**2 * exact, rel=1e-6)


@pytest.mark.parametrize("name", [*SCENARIOS, "darwin-nr"])
def test_universal_mediators_never_interfere(name: str) -> None:
    """The order of g^2 is zero, that of g^4 an excess; the Standard Model is as it was."""
    for model in UNIVERSAL:
        c = coefficients(name, model)
        np.testing.assert_array_equal(c[1], 0.0)
        np.testing.assert_allclose(c[0], coefficients(name, "B-L")[0], rtol=1e-13)
        if model == "axial" and "-ar-" in name:
            np.testing.assert_array_equal(c[2], 0.0)  # no isotope of argon has a spin
        else:
            assert np.all(c[2] > 0.0)
        # the weak mixing angle is no part of it
        np.testing.assert_array_equal(c[2], coefficients(name, model, "msbar")[2])
    ratio = coefficients(name, "scalar-lx22")[2] / coefficients(name, "scalar")[2]
    np.testing.assert_allclose(ratio, (17.7 / 17.3) ** 2, rtol=1e-13)


@pytest.mark.parametrize("name", [*SCENARIOS, "darwin-nr"])
def test_light_and_heavy_universal_mediators(name: str) -> None:
    """A plateau where M^2 is below q^2 > 2 MeV^2, and (g/M)^4 where it is far above (0.05 GeV)^2."""
    for model in UNIVERSAL:
        c2 = coefficients(name, model)[2]
        assert c2[0] == pytest.approx(c2[1], rel=1e-9)
        # the correction is 2 q^2/M^2 = 5e-7 at 1e5 MeV
        assert c2[-2] * MASSES[-2] ** 4 == pytest.approx(c2[-1] * MASSES[-1] ** 4, rel=1e-6)
        assert np.all(np.diff(c2[1:]) <= 0.0)


def test_isotopes_without_spin_feel_no_axial_mediator() -> None:
    """LX22 section 3.2 on Fig. 4: 129Xe, 131Xe, 73Ge and 29Si, and nothing in argon."""
    recoil = np.array([1e-3])
    expected: dict[str, set[int]] = {"Xe": {129, 131}, "Ge": {73}, "Si": {29}, "Ar": set()}
    for element, odd in expected.items():
        target = nuclei.target(element)
        spectra, _ = quadrature.nuclear_spectra(recoil, target, "GS98", oscillation("nufit60"))
        axial = spectra.reshape(target.a.size, -1, 3)[:, -1]
        assert {int(a) for a, rate in zip(target.a, axial, strict=True) if rate.any()} == odd


@pytest.mark.parametrize("name", UNIVERSAL)
def test_electron_recoils_are_refused(name: str, tmp_path: Path) -> None:
    message = (
        rf"^model: '{name}' is given for electron recoils; a {models.find(name).kind} mediator is "
        r"implemented for nuclei; choose an experiment with nuclear recoils alone$"
    )
    for experiment in ("darwin-er", "lz-nr-er"):
        with pytest.raises(SpecificationError, match=message):
            lmltgrid.limits(experiment, model=name, mass=[10.0], threshold=1.5)
    with pytest.raises(SpecificationError, match=message):
        lmltgrid.spectrum(channel="er", model=name, mass=10.0, recoil_energy=[1.0], coupling=1e-4)
    path = tmp_path / "scan.toml"
    path.write_text(
        f'version = 1\nmodels = ["{name}"]\nexperiments = ["darwin-er"]\n'
        "mass = { values = [10.0] }\ncoupling = { values = [1e-4] }\n"
    )
    with pytest.raises(
        SpecificationError, match=r"scan\.toml: models: .*more than nuclear recoils"
    ):
        lmltgrid.load_spec(path)
    path.write_text(path.read_text().replace("darwin-er", "darwin-nr"))
    assert lmltgrid.load_spec(path).models == (name,)


@pytest.mark.parametrize("name", P21_SEARCHES)
def test_the_stated_error_of_nuclear_recoils_is_honest(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 0.7 to 5.66 keV_nr, against panels split at all knots of 8B and hep above 2 MeV.

    Scalar and axial kinematics have kinks at the knots of the flux, unlike those of a vector, whose
    slope vanishes there.
    """
    thresholds = np.array([0.7, 1.0, 1.5, 2.0, 2.5, 2.9, 3.2, 3.3, 3.73, 3.83, 4.3, 5.0, 5.66])
    given: dict[str, Any] = {"mass": MASSES[2:6], "oscillation": [oscillation("nufit60")]}
    single = [basis.compute(catalog()[name], threshold=t[None], **given) for t in thresholds]
    monkeypatch.setattr(quadrature, "HIGH_RECOIL", 0.0)
    knots = np.concatenate([solar.solar_source(s, "GS98").energy for s in ("b8", "hep")])
    kinks = np.concatenate([quadrature.endpoints("GS98", given["oscillation"][0]), knots])
    every = np.unique(kinks[kinks > 2.0])
    monkeypatch.setattr(quadrature, "endpoints", lambda *_, **__: every)
    monkeypatch.setattr(quadrature, "PANEL_NODES", 9)
    monkeypatch.setattr(quadrature, "NARROW_NODES", 5)
    fine = basis.compute(catalog()[name], threshold=thresholds, **given)["nr"].values[0, 0]
    exact = np.abs(fine).max(axis=-1, keepdims=True)
    for i, dataset in enumerate(single):
        stated = dataset["nr_error"].values.item()
        miss = np.abs(dataset["nr"].values[0, 0, 0] - fine[i]) / exact[i]
        assert 0.0 < stated <= 1e-6, thresholds[i]
        assert miss.max() <= 1e-6, thresholds[i]
        # it compares two quadratures, so the true error may be somewhat larger
        assert miss.max() <= 3.0 * stated, thresholds[i]
