"""Basis moments: shapes and labels, limits, signs, and points of the spectrum against quad."""

from __future__ import annotations

from dataclasses import replace
from math import exp, pi, sqrt
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import spherical_jn

from lmltgrid import basis, events
from lmltgrid.detector import threshold_in
from lmltgrid.errors import LmltgridError, SpecificationError
from lmltgrid.kernels import cevns, eves
from lmltgrid.spec import Atomic
from lmltgrid.tables import models, nuclei, solar
from lmltgrid.tables.experiment import Channel
from lmltgrid.tables.experiments import catalog, find
from lmltgrid.tables.models import Model
from lmltgrid.tables.oscillation import oscillation, probabilities
from lmltgrid.units import (
    CM2_PER_MEV_2,
    E_CHARGE,
    G_FERMI,
    HBAR_C,
    M_ELECTRON,
    M_MUON,
    M_TAU,
    SECONDS_PER_YEAR,
)

Array = NDArray[np.float64]

AMARAL = oscillation("amaral2021")
SIN2 = 0.23122
LEPTONS = (M_ELECTRON, M_MUON, M_TAU)


def compute(name: str, **options: Any) -> xr.Dataset:
    given: dict[str, Any] = {"mass": np.array([15.0]), "oscillation": [AMARAL]} | options
    return basis.compute(catalog()[name], **given)


@pytest.fixture(scope="module")
def combined() -> xr.Dataset:
    """Both channels, two thresholds, light to heavy."""
    return compute(
        "lz-nr-er",
        mass=np.array([1e-6, 1e-5, 15.0, 1e5, 1e6]),
        threshold=np.array([0.3, 1.465]),
        metallicity=("GS98", "AGSS09met"),
    )


def order(dataset: xr.Dataset, model: Model, n: int, couplings: Any = "msbar") -> xr.DataArray:
    return basis.coefficients(dataset, model, couplings).isel(order=n, bin=0, oscillation=0)


def channel_of(dataset: xr.Dataset, channel: str) -> xr.Dataset:
    return dataset.drop_vars("er" if channel == "nr" else "nr")


def test_the_dataset_is_labeled(combined: xr.Dataset) -> None:
    assert combined.nr.dims == (
        *("metallicity", "oscillation", "threshold", "bin", "mass", "nr_basis", "flavor"),
    )
    assert combined.nr.shape == (2, 1, 2, 1, 5, cevns.N_BASIS, 3)
    assert combined.er.shape == (2, 1, 2, 1, 5, eves.N_BASIS, 3)
    assert tuple(combined.nr_basis.values) == cevns.BASIS
    assert tuple(combined.er_basis.values) == eves.BASIS
    assert tuple(combined.flavor.values) == ("nu_e", "nu_mu", "nu_tau")
    assert combined.background.dims == ("threshold", "bin")
    assert combined.window.values.tolist() == [[[0.3, 30.0]], [[1.465, 30.0]]]
    assert combined.threshold.attrs["energy_scale"] == "electron_equivalent"
    assert combined["oscillation"].values.tolist() == ["amaral2021"]
    assert combined.attrs["atomic"] == "step+rrpa"
    for variable in combined.variables.values():
        if variable.dtype.kind == "f":
            assert "units" in variable.attrs
    assert np.all(np.isfinite(combined.nr.values))
    assert np.all(np.isfinite(combined.er.values))


@pytest.mark.parametrize(
    ("name", "units", "scale"),
    [
        ("darwin-nr", "keV", "electron_equivalent"),
        ("darwin-2020-nr-er", "keV", "electron_equivalent"),  # its threshold is nuclear_recoil
        ("coherent-csi-2021", "PE", "photoelectrons"),
        ("na64mu", "GeV", "muon_energy"),
        ("nubdx-drift", "keV", "nuclear_recoil"),  # what varies is the pressure, in Torr
        ("ess+na64mu", "several", "several"),
    ],
)
def test_the_window_is_labeled_with_its_own_scale(name: str, units: str, scale: str) -> None:
    found = basis.compute(find(name), mass=np.array([15.0]), oscillation=[AMARAL])
    label = {"units": units, "long_name": "analysis window", "energy_scale": scale}
    assert found["window"].attrs == label
    if "+" not in name:
        assert events(name, mass=15.0, coupling=1e-4)["window"].attrs == label


def test_the_nominal_threshold_is_used_if_none_is_given() -> None:
    dataset = compute("darwin-nr")
    assert dataset.threshold.values.tolist() == [catalog()["darwin-nr"].threshold]
    given = compute("darwin-nr", threshold=dataset.threshold.values)
    xr.testing.assert_identical(dataset, given)


def test_masses_and_thresholds_do_not_know_each_other(combined: xr.Dataset) -> None:
    """Nuclear recoils of lz-nr-er are those of lz-nr, without its acceptance of one half."""
    recoil = threshold_in(catalog()["lz-nr-er"], "nr", 0.3)
    alone = compute("lz-nr", threshold=np.array([recoil]))
    part = combined.nr.sel(mass=[15.0], threshold=[0.3], metallicity=["GS98"])
    np.testing.assert_allclose(part.values, 2.0 * alone.nr.values, rtol=1e-12, atol=1e-300)


def test_counts_add_up_over_the_channels(combined: xr.Dataset) -> None:
    model = models.find("Lmu-Ltau")
    total = basis.coefficients(combined, model)
    parts = [basis.coefficients(channel_of(combined, c), model) for c in ("nr", "er")]
    np.testing.assert_allclose(total.values, (parts[0] + parts[1]).values, rtol=1e-13)
    assert total.dims[:3] == ("metallicity", "oscillation", "threshold")
    assert total.dims[3:] == ("bin", "order", "mass")
    assert total.attrs["model"] == "Lmu-Ltau"
    assert total.attrs["mixing"] == "loop"
    assert total.attrs["couplings"] == "msbar"


def test_the_standard_model_does_not_know_the_mediator(combined: xr.Dataset) -> None:
    first = order(combined, models.find("Lmu-Ltau"), 0)
    # sums of some hundred terms, in whatever order
    same = first.values[..., :1].repeat(5, axis=-1)
    np.testing.assert_allclose(first.values, same, rtol=1e-13)
    np.testing.assert_allclose(first.values, order(combined, models.find("B-L"), 0), rtol=1e-13)


def test_the_pure_new_physics_is_positive(combined: xr.Dataset) -> None:
    for name, model in models.catalog().items():
        vector = model.kind == "vector"  # others are refused for electrons
        for channel in ("nr", "er") if vector else ("nr",):
            dataset = channel_of(combined, channel)
            sees = any(model.charges[2:]) and (channel == "nr" or model.charges[2] or model.mixing)
            sees = sees or not vector
            assert np.all(order(dataset, model, 2) > 0.0) == bool(sees), name
            # c0 + x c1 + x^2 c2 is a rate: no real double root, 4 c0 c2 >= c1^2
            c0, c1, c2 = (order(dataset, model, n) for n in range(3))
            assert np.all(4.0 * c0 * c2 >= c1**2 * (1 - 1e-9)), name


@settings(deadline=None, max_examples=40)
@given(
    charges=st.fixed_dictionaries(dict.fromkeys(models.FERMIONS, st.floats(-3.0, 3.0))),
    mixing=st.floats(-0.5, 0.5),
    g=st.floats(0.0, 1e-2),
)
def test_no_model_counts_less_than_nothing(
    combined: xr.Dataset, charges: dict[str, float], mixing: float, g: float
) -> None:
    """A rate is a square, for all charges, in both channels."""
    model = models.build("mine", "", charges, mixing)
    for channel in ("nr", "er"):
        c0, c1, c2 = (order(channel_of(combined, channel), model, n).values for n in range(3))
        # rounding, where the new physics cancels the Standard Model
        assert np.all(c0 + g**2 * (c1 + g**2 * c2) >= -1e-9 * (c0 + g**4 * c2))


def test_a_lower_threshold_counts_more(combined: xr.Dataset) -> None:
    for channel in ("nr", "er"):
        counts = order(channel_of(combined, channel), models.find("Lmu"), 0)
        assert np.all(counts.sel(threshold=0.3) > counts.sel(threshold=1.465))
    assert combined.background.values[0, 0] > combined.background.values[1, 0]


def test_heavy_mediators_know_g_over_m_alone(combined: xr.Dataset) -> None:
    """c1 M^2 and c2 M^4 are constant; corrections q^2/M^2 are below (100 MeV/1e5 MeV)^2."""
    for name in ("Lmu-Ltau", "B-L", "Lmu"):
        for n, power in ((1, 2), (2, 4)):
            c = order(combined, models.find(name), n)
            ratio = (c.sel(mass=1e6) / c.sel(mass=1e5)).values * 10.0**power
            np.testing.assert_allclose(ratio, 1.0, rtol=2e-6)


def test_light_mediators_reach_a_plateau(combined: xr.Dataset) -> None:
    """M^2 = 1e-10 MeV^2 against the least 2 m_e E_R, 5e-5 MeV^2."""
    for name in ("Lmu-Ltau", "B-L", "Lmu"):
        for n in (1, 2):
            c = order(combined, models.find(name), n)
            np.testing.assert_allclose(c.sel(mass=1e-5), c.sel(mass=1e-6), rtol=1e-5)


def test_a_mediator_weakens_as_it_gets_heavier(combined: xr.Dataset) -> None:
    c2 = order(combined, models.find("universal"), 2).values
    assert np.all(np.diff(c2, axis=-1) < 0.0)


def test_muon_neutrinos_lose_and_tau_neutrinos_gain(combined: xr.Dataset) -> None:
    """P21 section 2: with eps < 0 the nuclear recoils of nu_mu interfere destructively."""
    dataset = channel_of(combined, "nr")
    for mixing in ("amaral2021", -0.1):
        mu = models.build("mu", "", {"mu": 1}, mixing)
        tau = models.build("tau", "", {"tau": -1}, mixing)
        assert np.all(order(dataset, mu, 1) < 0.0)
        assert np.all(order(dataset, tau, 1) > 0.0)
        np.testing.assert_allclose(
            (order(dataset, mu, 1) + order(dataset, tau, 1)).values,
            order(dataset, models.find("Lmu-Ltau", mixing), 1).values,
            rtol=1e-9,
        )
    opposite = models.build("mu", "", {"mu": 1}, 1.0 / 70.0)
    np.testing.assert_allclose(
        order(dataset, opposite, 1).values,
        -order(dataset, models.build("mu", "", {"mu": 1}, -1.0 / 70.0), 1).values,
        rtol=1e-13,
    )


def test_scaled_charges_are_a_scaled_coupling(combined: xr.Dataset) -> None:
    """(k Q, k eps/g, g/k) is (Q, eps/g, g)."""
    k = 2.5
    charges = {"u": 0.3, "d": -0.2, "e": 0.5, "mu": 1.0, "tau": -0.7}
    one = models.build("one", "", charges, -0.02)
    more = models.build("more", "", {f: k * q for f, q in charges.items()}, -0.02 * k)
    loop = models.find("Le-Lmu")
    u, d, e, mu, tau = (k * q for q in loop.charges)
    for a, b in ((one, more), (loop, replace(loop, charges=(u, d, e, mu, tau)))):
        for n in range(3):
            np.testing.assert_allclose(
                order(combined, b, n).values, k ** (2 * n) * order(combined, a, n).values, rtol=1e-9
            )


def test_low_energy_couplings_move_the_standard_model(combined: xr.Dataset) -> None:
    """sin^2 theta_W 0.2312 -> 0.2387: the nuclear weak charge N - (1 - 4 s^2) Z grows."""
    dataset = channel_of(combined, "nr")
    model = models.find("Lmu-Ltau")
    ratio = order(dataset, model, 0, "low-energy") / order(dataset, model, 0)
    for a in (129, 134):
        charges = [(a - 54) - (1 - 4 * s) * 54 for s in (0.2387, SIN2)]
        assert ratio.values[0, 0, 0] == pytest.approx((charges[0] / charges[1]) ** 2, rel=5e-3)
    np.testing.assert_allclose(
        order(dataset, model, 2, "low-energy").values, order(dataset, model, 2).values, rtol=1e-13
    )


def test_nuclear_recoils_follow_the_boron_flux(combined: xr.Dataset) -> None:
    """Above 0.3 keV_ee (1.8 keV_nr) nothing but 8B and some hep is left."""
    c0 = order(channel_of(combined, "nr"), models.find("Lmu"), 0).sel(threshold=0.3, mass=15.0)
    ratio = float(c0.sel(metallicity="AGSS09met") / c0.sel(metallicity="GS98"))
    # 0.824 of 8B, and a few percent of hep with 1.034
    assert 4.50 / 5.46 < ratio < 0.835


def test_bound_electrons_are_fewer() -> None:
    model = models.find("Lmu-Ltau")
    options: tuple[Atomic, ...] = ("free", "step", "step+rrpa")
    counts = [
        order(compute("darwin-er", threshold=np.array([0.5]), atomic=a), model, 0).values.item()
        for a in options
    ]
    assert counts[0] > counts[1] > counts[2]
    # the RRPA ratio is 0.69 to 0.89 on the whole window
    assert 0.69 < counts[2] / counts[1] < 0.89


def test_a_threshold_above_all_recoils_leaves_nothing() -> None:
    """hep neutrinos stop at 5.8 keV_nr; the grid must hold together."""
    dataset = compute("darwin-nr", threshold=np.array([60.0]))
    assert np.all(dataset.nr.values >= 0.0)
    assert np.all(order(dataset, models.find("Lmu"), 0) < 1e-20)


def test_the_quadrature_error_is_stored_for_each_channel(combined: xr.Dataset) -> None:
    for channel in ("nr", "er"):
        error = combined[f"{channel}_error"]
        assert error.dims == ("metallicity", "oscillation", "threshold", "bin")
        assert np.all(error > 0.0)
        # scalar and axial basis functions at the high threshold, beside a low one, have the largest
        assert np.all(error < 1e-5)


def reference_point(
    channel: Channel, model: Model, recoil: float, mass: float, g: float, metallicity: str
) -> float:
    """dR/dE_R at one recoil (keV), from the cross section at each neutrino energy."""
    xenon = nuclei.target("Xe")
    t = recoil * 1e-3
    total = 0.0
    targets = [(M_ELECTRON, 1.0, 0.0)]
    if channel == "nr":
        targets = list(zip(xenon.nuclear_mass, xenon.abundance, xenon.a, strict=True))
    for m, abundance, a in targets:
        rates = 0.0
        for energy, flux in neutrinos(0.5 * (t + sqrt(t**2 + 2 * m * t)), metallicity):
            if channel == "nr":
                sigma = nuclear(model, t, energy, m, a, mass, g)
            else:
                sigma = electron(model, t, energy, mass, g)
            rates += float(np.sum(sigma * flux))
        total += abundance * rates
    return total * xenon.atoms_per_tonne * SECONDS_PER_YEAR * 1e-3 * CM2_PER_MEV_2


def neutrinos(e_min: float, metallicity: str) -> list[tuple[Array, Array]]:
    """Energies (n,) above the least one, and flux times weight, shape (3, n), by reaction."""
    x, w = np.polynomial.legendre.leggauss(8)
    out = []
    for source in solar.solar_sources(metallicity):
        if source.lines:
            energy, weight = (np.array(v) for v in zip(*source.lines, strict=True))
            weight = np.where(energy >= e_min, weight, 0.0)
        elif source.endpoint > e_min:
            edges = np.concatenate([[e_min], source.energy[source.energy > e_min]])
            half = 0.5 * np.diff(edges)[:, None]
            energy = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * x).ravel()
            weight = (half * w).ravel() * np.interp(energy, source.energy, source.spectrum)
        else:
            continue
        p = probabilities(energy, source.name, metallicity, AMARAL)
        out.append((energy, source.flux * weight * p))
    return out


def mixing(model: Model, q2: float) -> float:
    """eps/g, the loop by Gauss quadrature of P20 eq. A12."""
    if model.mixing != "loop":
        return float(model.mixing)
    x, w = np.polynomial.legendre.leggauss(80)
    y = 0.25 * (1.0 + x) * (1.0 - 0.25 * (1.0 + x))  # x from 0 to 1/2
    loops = [2.0 * float(np.sum(0.25 * w * y * np.log(m**2 + y * q2))) for m in LEPTONS]
    charged = sum(q * v for q, v in zip(model.charges[2:], loops, strict=True))
    return E_CHARGE / (2.0 * pi**2) * charged


def nuclear(
    model: Model, t: float, energy: Array, m: float, a: float, mass: float, g: float
) -> Array:
    """P21 eq. 33 by flavor, shape (3, n), MeV^-3; Helm written out."""
    q2 = 2.0 * m * t
    u, d, *leptons = model.charges
    radius = sqrt((1.23 * a ** (1 / 3) - 0.6) ** 2 + 7 / 3 * (pi * 0.52) ** 2 - 5 * 0.9**2)
    x = sqrt(q2) * radius / HBAR_C
    form = 3 * float(spherical_jn(1, x)) / x * exp(-0.5 * q2 * (0.9 / HBAR_C) ** 2)
    weak = ((0.5 - 2 * SIN2) * 54 - 0.5 * (a - 54)) * form
    new = (2 * u + d - mixing(model, q2) * E_CHARGE) * 54 + (u + 2 * d) * (a - 54)
    new *= g**2 * form / (sqrt(2.0) * G_FERMI * (q2 + mass**2))
    charge = weak + new * np.array(leptons)[:, None]
    out: Array = G_FERMI**2 * m / pi * (1 - m * t / (2 * energy**2)) * charge**2
    return out


def electron(model: Model, t: float, energy: Array, mass: float, g: float) -> Array:
    """P20 eq. 26 with the shifted couplings of eq. 28, shape (3, n), MeV^-3."""
    q2 = 2.0 * M_ELECTRON * t
    leptons = np.array(model.charges[2:])[:, None]
    n = g**2 * leptons * (model.charges[2] + mixing(model, q2) * E_CHARGE)
    n = n / (2 * sqrt(2.0) * G_FERMI * (q2 + mass**2))
    left, right = SIN2 - 0.5 + np.array([[1.0], [0.0], [0.0]]) + n, SIN2 + n
    shape = left**2 + right**2 * (1 - t / energy) ** 2 - left * right * M_ELECTRON * t / energy**2
    out: Array = 2 * G_FERMI**2 * M_ELECTRON / pi * shape
    return out


@pytest.mark.parametrize(
    ("channel", "recoil"),
    [
        ("nr", 0.001),
        ("nr", 0.7),
        ("nr", 4.2),
        ("nr", 5.5),
        ("er", 0.5),
        ("er", 30.0),
        ("er", 400.0),
    ],
)
@pytest.mark.parametrize(
    ("name", "mass", "g"), [("Lmu-Ltau", 15.0, 5e-4), ("Lmu", 0.1, 1e-5), ("B-L", 50.0, 1e-4)]
)
def test_points_of_the_spectrum_are_those_of_the_cross_section(
    channel: Channel, recoil: float, name: str, mass: float, g: float
) -> None:
    model = models.find(name)
    energy = np.array([recoil])
    c = basis.point_spectrum(
        channel, "Xe", model, energy, mass, metallicity="GS98", oscillation=AMARAL, atomic="free"
    )[:, 0]
    ours = c[0] + g**2 * (c[1] + g**2 * c[2])
    electrons = 54.0 if channel == "er" else 1.0
    expected = electrons * reference_point(channel, model, recoil, mass, g, "GS98")
    # both integrate the same piecewise function: rounding, and 1e-12 of the Legendre panels
    assert ours == pytest.approx(expected, rel=1e-10)


def test_the_spectrum_has_the_electrons_of_the_atom() -> None:
    energy = np.array([0.05, 0.5, 40.0])
    given: dict[str, Any] = {"metallicity": "GS98", "oscillation": AMARAL}
    model = models.find("B-L")
    free = basis.point_spectrum("er", "Xe", model, energy, 1.0, atomic="free", **given)
    step = basis.point_spectrum("er", "Xe", model, energy, 1.0, atomic="step", **given)
    np.testing.assert_allclose(step / free, np.tile([8, 26, 54], (3, 1)) / 54, rtol=1e-14)


def test_thresholds_below_the_model_are_refused() -> None:
    with pytest.raises(SpecificationError, match=r"^scan: 0\.5 keV_nr is given for darwin-nr"):
        compute("darwin-nr", threshold=np.array([0.5]), where="scan")


@pytest.mark.parametrize("mass", [[np.nan], [-1.0], [np.inf], []])
def test_masses_that_cannot_be_are_refused(mass: list[float]) -> None:
    with pytest.raises(LmltgridError, match="mass"):
        compute("darwin-nr", mass=np.array(mass), threshold=np.array([5.0]))


def test_a_misspelt_atom_is_refused() -> None:
    with pytest.raises(SpecificationError, match="atomic"):
        compute("darwin-er", atomic="stepp", threshold=np.array([5.0]))
