"""Muon bremsstrahlung and (g-2)_mu: against scipy's adaptive quadrature, and in their limits."""

from __future__ import annotations

import re
from itertools import pairwise
from math import exp, log, pi, sqrt
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

from lmltgrid import datafiles
from lmltgrid.errors import SpecificationError, UnknownNameError
from lmltgrid.kernels import brems
from lmltgrid.spec import validate
from lmltgrid.tables import beams
from lmltgrid.units import ALPHA, AVOGADRO, CM2_PER_MEV_2, M_ELECTRON, M_MUON, M_TAU

E0 = 160e3  # MeV
Z, A = 82.0, 207.2
EDGES = 1e3 * np.arange(10.0, 101.0, 10.0)
LEAD: dict[str, Any] = {"beam_energy": E0, "z": Z, "a": A}
UNIT: dict[str, Any] = {"edges": EDGES, "luminosity": 1.0, **LEAD}
# below, around and above the dimuon threshold
MASSES = [1e-3, 0.1, 15.0, 2.0 * M_MUON, 300.0, 1e3]
CONVERGED = 1e-8


def flux_by_quad(mass: float, t_max: float) -> float:
    """chi with the form factors typed anew, in log t."""
    a2, b2 = (111.0 * Z ** (-1 / 3) / M_ELECTRON) ** 2, (773.0 * Z ** (-2 / 3) / M_ELECTRON) ** 2
    d, t_min = 0.164e6 * A ** (-2 / 3), (mass**2 / (2 * E0)) ** 2

    def integrand(s: float) -> float:
        t = exp(s)
        elastic = Z**2 * (a2 * t / (1 + a2 * t)) ** 2 / (1 + t / d) ** 2
        magnetic = 1 + t / (4 * 938.27209**2) * (2.79**2 - 1)
        inelastic = Z * (b2 * t / (1 + b2 * t) * magnetic / (1 + t / 0.71e6) ** 4) ** 2
        return float((elastic + inelastic) * (t - t_min) / t)

    return float(quad(integrand, log(t_min), log(t_max), epsabs=0, epsrel=1e-11, limit=400)[0])


def improved_ww(x: float, mass: float) -> float:
    """The same cross section in one term: Kim & Tsai's, integrated over angles.

    dsigma/dx = alpha^2 g^2 chi beta/(2 pi) times this.
    """
    u = mass**2 * (1 - x) / x + M_MUON**2 * x
    above = M_MUON**2 * x * (x**2 + 2 * x - 2) + 2 * (3 - 3 * x + x**2) * u
    return above / (3 * u**2)


@pytest.mark.parametrize("mass", MASSES)
@pytest.mark.parametrize("transfer", ["muon", "printed"])
def test_photon_flux_agrees_with_quad(mass: float, transfer: brems.Transfer) -> None:
    t_max = mass**2 + (M_MUON**2 if transfer == "muon" else 0.0)
    ours = brems.photon_flux([mass], transfer=transfer, **LEAD)
    assert ours[0] == pytest.approx(flux_by_quad(mass, t_max), rel=CONVERGED)


@pytest.mark.parametrize("mass", MASSES)
def test_counts_agree_with_quad(mass: float) -> None:
    chi = flux_by_quad(mass, mass**2 + M_MUON**2)
    beta = sqrt(1 - mass**2 / E0**2)
    ours = brems.counts_per_x([mass], **UNIT)
    assert ours.shape == (9, 1)
    for low, high, value in zip(EDGES[:-1], EDGES[1:], ours[:, 0], strict=True):
        ends = (1 - high / E0, 1 - low / E0)
        shape = quad(improved_ww, *ends, args=(mass,), epsabs=0, epsrel=1e-11)[0]
        expected = CM2_PER_MEV_2 * ALPHA**2 * chi * beta / (2 * pi) * shape
        assert value == pytest.approx(expected, rel=CONVERGED)


@pytest.mark.parametrize("x", [0.05, 0.4, 0.7, 0.95])
@pytest.mark.parametrize("mass", [1e-3, 15.0, 100.0, 1e3])
def test_the_corrected_terms_are_the_improved_weizsacker_williams_cross_section(
    x: float, mass: float
) -> None:
    assert brems.radiation(x, mass) == pytest.approx(improved_ww(x, mass), rel=1e-13)


def test_heavy_mediators_radiate_as_off_an_electron() -> None:
    """For m << M: 2 (1 - x + x^2/3) x/(M^2 (1-x)), Bjorken et al. 2009; the rest is m^2/M^2."""
    x, mass = 0.4, 1e6
    expected = 2 * (1 - x + x**2 / 3) * x / (mass**2 * (1 - x))
    assert brems.radiation(x, mass) == pytest.approx(expected, rel=1e-6)


def test_more_nodes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = brems.counts_per_x(MASSES, **UNIT)
    monkeypatch.setattr(brems, "X_NODES", 2 * brems.X_NODES)
    monkeypatch.setattr(brems, "LOG_T_NODES", 2 * brems.LOG_T_NODES)
    assert brems.counts_per_x(MASSES, **UNIT) == pytest.approx(coarse, rel=1e-13)


def test_massless_limit() -> None:
    """Production goes on as M goes to zero, but not with the largest t that P21 prints."""
    light = brems.counts_per_x([1e-3, 1e-2], **UNIT).sum(axis=0)
    assert light[0] == pytest.approx(light[1], rel=1e-3)  # the rest falls with M^2/m_mu^2
    printed = brems.counts_per_x([1e-3, 1e-2], transfer="printed", **UNIT).sum(axis=0)
    assert printed[0] < 1e-3 * printed[1]
    heavy = [brems.counts_per_x([1e3], transfer=t, **UNIT).sum() for t in ("muon", "printed")]
    assert heavy[0] == pytest.approx(heavy[1], rel=1e-5)


def test_printed_prefactor_is_smaller_by_pi() -> None:
    ratio = brems.counts_per_x(MASSES, **UNIT) / brems.counts_per_x(
        MASSES, prefactor="printed", **UNIT
    )
    assert ratio == pytest.approx(pi, rel=1e-14)


def test_spectrum_integrates_to_the_counts() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(12)
    energies = 5e3 * nodes + 95e3  # the last bin
    values = brems.spectrum_per_x(energies, [15.0, 300.0], luminosity=1.0, **LEAD)
    assert values.shape == (12, 2)
    assert 5e3 * weights @ values == pytest.approx(
        brems.counts_per_x([15.0, 300.0], **UNIT)[-1], rel=1e-12
    )


@pytest.mark.parametrize("mass", [0.0, -1.0, np.nan, np.inf, 6.1e4])
def test_masses_that_cannot_be_radiated_are_refused(mass: float) -> None:
    with pytest.raises(SpecificationError, match=r"^mass: .* between 0 and 60000 MeV"):
        brems.counts_per_x([15.0, mass], **UNIT)


@pytest.mark.parametrize(
    "edges", [[20e3, 10e3], [0.0, 10e3], [10e3, E0], [10e3, 10e3], [1, np.nan]]
)
def test_edges_that_make_no_bins_are_refused(edges: list[float]) -> None:
    with pytest.raises(SpecificationError, match=r"^muon energies: .* ascend between 0 and"):
        brems.counts_per_x([15.0], **(UNIT | {"edges": np.array(edges)}))


def test_energies_above_the_beam_are_refused() -> None:
    with pytest.raises(SpecificationError, match=r"^muon energies: 170000 MeV"):
        brems.spectrum_per_x([1e3, 170e3], [15.0], luminosity=1.0, **LEAD)


@pytest.mark.parametrize("name", ["prefactor", "transfer"])
def test_unknown_options_are_refused(name: str) -> None:
    options: dict[str, Any] = {name: "print"}
    with pytest.raises(UnknownNameError, match="did you mean 'printed'"):
        brems.counts_per_x([15.0], **UNIT, **options)


def width(charge: float, lepton: float, mass: float) -> float:
    """Gamma(l l)/(g^2 M/(24 pi))."""
    ratio = (lepton / mass) ** 2
    return 2 * charge**2 * (1 + 2 * ratio) * sqrt(1 - 4 * ratio)


def test_invisible_fraction_of_the_papers_models() -> None:
    tau, mu = (0.0, 1.0, -1.0), (0.0, 1.0, 0.0)
    below = [1e-3, 100.0, 2.0 * M_MUON]
    assert list(brems.invisible_fraction(below, tau)) == [1.0, 1.0, 1.0]
    above = [212.0, 300.0, 1e3]
    assert brems.invisible_fraction(above, tau) == pytest.approx(
        [2 / (2 + width(1, M_MUON, m)) for m in above], rel=1e-14
    )
    assert brems.invisible_fraction(above, mu) == pytest.approx(
        [1 / (1 + width(1, M_MUON, m)) for m in above], rel=1e-14
    )
    # heavy: the numbers of P21, then the taus; the phase space is 1 - 6 (m/M)^4
    assert brems.invisible_fraction([3.5e3], tau)[0] == pytest.approx(1 / 2, rel=1e-5)
    assert brems.invisible_fraction([1e5], tau)[0] == pytest.approx(1 / 3, rel=1e-5)
    assert brems.invisible_fraction([1e5], mu)[0] == pytest.approx(1 / 3, rel=1e-5)
    assert brems.invisible_fraction([2.0 * M_TAU], tau)[0] > 0.49


def test_printed_fractions_are_steps() -> None:
    masses = [100.0, 2.0 * M_MUON, 212.0, 1e3]
    printed = [
        list(brems.invisible_fraction(masses, charges, branching="printed"))
        for charges in ((0.0, 1.0, -1.0), (0.0, 1.0, 0.0))
    ]
    assert printed == [[1.0, 1.0, 0.5, 0.5], [1.0, 1.0, 1 / 3, 1 / 3]]


def test_invisible_fraction_of_other_charges() -> None:
    # electrons are seen; neutrinos may have charges of their own; no decay is not an invisible one
    assert brems.invisible_fraction([50.0], (1.0, 0.0, -1.0))[0] == pytest.approx(0.5, rel=1e-6)
    own = brems.invisible_fraction([50.0], (1.0, -1.0, 0.0), (0.0, 2.0, 0.0))
    assert own[0] == pytest.approx(4 / (4 + width(1, M_ELECTRON, 50.0)), rel=1e-14)
    assert brems.invisible_fraction([50.0], (0.0, 0.0, 0.0))[0] == 0.0
    assert brems.invisible_fraction([0.5], (1.0, 0.0, 0.0))[0] == 1.0
    with pytest.raises(UnknownNameError, match="branching"):
        brems.invisible_fraction([50.0], (0.0, 1.0, 0.0), branching="paper")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["vector", "scalar"])
def test_muon_anomaly_agrees_with_quad(kind: brems.Kind) -> None:
    masses = np.geomspace(1e-2, 1e4, 7)

    def by_quad(mass: float) -> float:
        r = (mass / M_MUON) ** 2

        def integrand(x: float) -> float:
            above = x**2 * (2 - x) if kind == "scalar" else 2 * x**2 * (1 - x)
            return above / (x**2 + (1 - x) * r)

        cuts = [0.0, min(sqrt(r), 0.5), 1.0 - min(1 / r, 0.4), 1.0]
        parts = [
            quad(integrand, a, b, epsabs=0, epsrel=1e-12, limit=200)[0] for a, b in pairwise(cuts)
        ]
        return float(sum(parts)) / (8 * pi**2)

    ours = brems.muon_anomaly(masses, kind=kind)
    assert ours == pytest.approx([by_quad(m) for m in masses], rel=1e-11)


def test_muon_anomaly_in_its_limits() -> None:
    """Massless: 1/(8 pi^2) and 3/(16 pi^2); heavy: m^2/(12 pi^2 M^2), and a logarithm."""
    assert brems.muon_anomaly([1e-6])[0] == pytest.approx(1 / (8 * pi**2), rel=1e-6)
    assert brems.muon_anomaly([1e-6], kind="scalar")[0] == pytest.approx(3 / (16 * pi**2), rel=1e-6)
    mass = 1e6
    r = (mass / M_MUON) ** 2
    assert brems.muon_anomaly([mass])[0] == pytest.approx(1 / (12 * pi**2 * r), rel=1e-5)
    expected = (log(r) - 7 / 6) / (8 * pi**2 * r)
    assert brems.muon_anomaly([mass], kind="scalar")[0] == pytest.approx(expected, rel=1e-5)


def test_muon_anomaly_refuses() -> None:
    with pytest.raises(SpecificationError, match="positive finite"):
        brems.muon_anomaly([1.0, 0.0])
    with pytest.raises(UnknownNameError, match="axial"):
        brems.muon_anomaly([1.0], kind="axial")  # type: ignore[arg-type]


def test_shipped_beam() -> None:
    beam = beams.muon_beam("na64mu")
    made = beam.production
    assert list(made["edges"]) == list(EDGES)
    assert (made["beam_energy"], made["z"], made["a"]) == (E0, Z, A)
    nuclei = 11.35 * AVOGADRO / 207.2 * 20.0
    assert made["luminosity"] == pytest.approx(1e11 * 0.3 * nuclei, rel=1e-14)
    assert brems.counts_per_x([15.0, 100.0], **made).shape == (9, 2)


def test_unknown_beam_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'na64mu'"):
        beams.muon_beam("na64")


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("window", "edges_gev", [10.0, 30.0, 20.0], "30 is followed by 20; sort them"),
        ("window", "edges_gev", [10.0, 170.0], "ends at 170, the beam has 160"),
        ("target", "density_g_per_cm3", -1.0, "density_g_per_cm3"),
        ("", "efficiency", 1.5, "efficiency"),
        ("", "muons", 1.0, "muons"),
    ],
)
def test_damaged_beams_are_refused(section: str, key: str, value: Any, message: str) -> None:
    content = datafiles.read_toml("beams/na64mu.toml")
    (content[section] if section else content)[key] = value
    with pytest.raises(SpecificationError, match=re.escape(message)):
        validate(beams.MuonBeam, content, "my.toml")
