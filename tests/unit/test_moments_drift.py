"""nuBDX-DRIFT: counts against direct integration, the closed form of its chi-square, refusals."""

from __future__ import annotations

from math import pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_calls import answer
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import spherical_jn

import lmltgrid
from lmltgrid import basis, datafiles, drift_moments
from lmltgrid.analysis import setup
from lmltgrid.analysis.pressure import pressure_curve
from lmltgrid.analysis.profiled import data_of
from lmltgrid.errors import SpecificationError, UnknownNameError
from lmltgrid.kernels import pulls
from lmltgrid.spec import ScanSpec
from lmltgrid.tables import beams, experiments, models, nuclei
from lmltgrid.tables.drift import DriftExperiment
from lmltgrid.tables.models import Model
from lmltgrid.tables.oscillation import oscillation
from lmltgrid.units import AVOGADRO, CM2_PER_MEV_2, E_CHARGE, G_FERMI, HBAR_C
from lmltgrid.views import plots

Array = NDArray[np.float64]

SUN = [oscillation("nufit60")]  # nothing here depends on it
BEAM = beams.neutrino_beam("lbnf-numu")
NAME = "nubdx-drift"
RADIUS = {6: 2.47, 16: 3.26}  # fm, B22 Table 1
SIN2 = 0.2387
PROTONS, YEARS = 1.1e21, 7.0
MOLES_PER_TORR = 5.5e-5 * 1e3 * 10.0  # eq. 3.3: grams over grams per mole, 10 m^3


def found(name: str = NAME, folder: Path | None = None) -> DriftExperiment:
    one = experiments.catalog(folder)[name]
    assert isinstance(one, DriftExperiment)
    return one


# ---------------------------------------------------------------- direct integration


def over_flux(recoil: Array, mass: float) -> Array:
    """The flux times 1 - m T/(2 E^2), integrated in closed form; per proton and cm^2."""
    least = 0.5 * (recoil + np.sqrt(recoil**2 + 2.0 * mass * recoil))
    slope = np.diff(BEAM.flux) / np.diff(BEAM.energy)
    start = BEAM.flux[:-1] - slope * BEAM.energy[:-1]
    b = BEAM.energy[1:]
    a = np.clip(least[..., None], BEAM.energy[:-1], b)
    zeroth = start * (b - a) + slope * (b - a) * (b + a) / 2.0
    second = start * (b - a) / (a * b) + slope * np.log(b / np.where(a > 0.0, a, b))
    return np.asarray(zeroth.sum(-1) - 0.5 * mass * recoil * second.sum(-1))


def spectrum(
    recoil: Array, z: int, a: float, mass: float, model: Model, m: float, g: float
) -> Array:
    """Counts of one nucleus per MeV and proton."""
    q = np.sqrt(2.0 * mass * recoil)
    r0 = sqrt(5.0 / 3.0 * RADIUS[z] ** 2 - 5.0 * 0.9**2)
    x = q / HBAR_C * r0
    form = 3.0 * spherical_jn(1, x) / x * np.exp(-0.5 * (q / HBAR_C * 0.9) ** 2)
    u, d, _, mu, _ = model.charges
    proton = g * (2.0 * u + d) - g * float(model.mixing) * E_CHARGE
    neutron = g * (u + 2.0 * d)
    n = a - z
    weak = (0.5 - 2.0 * SIN2) * z - 0.5 * n
    new = g * mu * (proton * z + neutron * n) / (sqrt(2.0) * G_FERMI * (q**2 + m**2))
    scale = G_FERMI**2 * mass / pi * CM2_PER_MEV_2
    return np.asarray(scale * ((weak + new) * form) ** 2 * over_flux(recoil, mass))


def direct(pressure: float, model: Model, m: float, g: float) -> float:
    """Counts in seven years, by 40 Gauss points in log T in each panel between kinks."""
    target, total = nuclei.target("CS2", "b22"), 0.0
    x, w = np.polynomial.legendre.leggauss(40)
    for z, a, number, low in ((6, 12, 1, 7.5), (16, 32, 2, 20.0)):
        mass = float(target.nuclear_mass[(target.z == z) & (target.a == a)][0])
        first = low * pressure / 40.0 * 1e-3
        kinks = 2.0 * BEAM.energy[1:] ** 2 / (mass + 2.0 * BEAM.energy[1:])
        edges = np.log([first, *kinks[kinks > first]])
        edges = np.unique(np.concatenate([np.linspace(edges[0], edges[1], 6), edges]))
        middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
        t = np.exp(middle[:, None] + half[:, None] * x)
        rate = spectrum(t, z, a, mass, model, m, g)
        total += number * float(np.sum(half[:, None] * w * t * rate))
    return total * MOLES_PER_TORR * pressure * AVOGADRO * PROTONS * YEARS


def counts(pressure: float, model: Model, m: float, g: float) -> float:
    experiment = found()
    moments = basis.compute(
        experiment, mass=np.array([m]), threshold=np.array([pressure]), oscillation=SUN
    )
    c = basis.coefficients(moments, model, "low-energy").values[0, 0, 0, 0, :, 0]
    tonne_years = MOLES_PER_TORR * 411.0 * YEARS * AVOGADRO / experiment.nuclei.atoms_per_tonne
    assert experiment.spec.exposure_tonne_year == pytest.approx(tonne_years, rel=1e-7)
    return float(tonne_years * (c[0] + g**2 * (c[1] + g**2 * c[2])))


@settings(max_examples=20, deadline=None)
@given(
    charges=st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3),
    mixing=st.floats(-0.1, 0.1),
    mass=st.floats(0.1, 3e3),
    strength=st.floats(0.0, 3.0),
    pressure=st.floats(5.0, 1500.0),
)
def test_counts_against_direct_integration(
    charges: list[float], mixing: float, mass: float, strength: float, pressure: float
) -> None:
    """They agree to 2e-14; the parts of the sum may cancel."""
    u, d, mu = charges
    model = models.parse(f"u={u},d={d},e=1,mu={mu}", mixing)
    g = strength * 1e-6 * sqrt(mass**2 + 50.0**2)
    expected = direct(pressure, model, mass, g)
    scale = max(expected, counts(pressure, model, mass, 0.0))
    assert counts(pressure, model, mass, g) == pytest.approx(expected, abs=1e-12 * scale)


def test_stated_errors_are_small() -> None:
    """What the moments say of their own quadrature: 1e-8 is the least that they say."""
    found_ = lmltgrid.moments(NAME, mass=[0.1, 30.0, 1e4], threshold=[1.0, 60.0, 411.0, 2000.0])
    assert float(found_["nr_error"].max()) < 1.1e-8


def test_only_muon_neutrinos_arrive() -> None:
    moments = lmltgrid.moments(NAME, mass=[10.0])["nr"]
    assert not moments.sel(flavor=["nu_e", "nu_tau"]).values.any()
    assert moments.sel(flavor="nu_mu").isel(nr_basis=0).values.all()


def test_flux_moments_of_a_table() -> None:
    """Against the closed form at least energies on, between and outside the knots."""
    least = np.array([2.0, 125.0, 190.0, 2500.0, 4999.0, 6000.0])
    for k, values in enumerate(drift_moments.flux_moments(BEAM, least)):
        assert not values[[0, 2]].any()
        expected = []
        for low in least:
            knots = np.unique(np.concatenate([[low], BEAM.energy[BEAM.energy > low]]))
            x, w = np.polynomial.legendre.leggauss(60)
            middle, half = 0.5 * (knots[1:] + knots[:-1]), 0.5 * np.diff(knots)
            at = middle[:, None] + half[:, None] * x
            inside = np.interp(at, BEAM.energy, BEAM.flux) * at**-k
            expected.append(float(np.sum(half[:, None] * w * inside)) if low < 5000.0 else 0.0)
        # 60 points over a first panel of a ratio of 60 in energy: better than 1e-9
        np.testing.assert_allclose(values[1], expected, rtol=1e-9)


# ---------------------------------------------------------------- pressure, cut, likelihood


def test_rates_grow_with_the_pressure_at_fixed_recoil_thresholds() -> None:
    """Where both thresholds are below what matters, doubling the gas doubles the counts."""
    one, two = pressure_curve(pressure=[1.0, 2.0])["events"].values
    # thresholds of 0.4 and 1 keV lose about 1 % of recoils up to 100 keV
    assert two / one == pytest.approx(2.0, rel=0.02)


def test_background_is_a_quarter_of_the_signal_at_each_pressure() -> None:
    moments = lmltgrid.moments(NAME, mass=[10.0], threshold=[60.0, 411.0])
    signal = basis.coefficients(moments, models.find("B-L"), "low-energy")
    own = signal.isel(metallicity=0, oscillation=0, bin=0, order=0, mass=0).values
    np.testing.assert_allclose(moments["background"].values[:, 0], 0.25 * own, rtol=1e-13)
    assert moments["pull_background"].dims == ("threshold", "pull", "bin")
    by_background = moments["pull_background"].sel(pull="background").values[:, 0]
    np.testing.assert_allclose(by_background, 0.0025 * own, rtol=1e-13)
    assert moments["threshold"].attrs == {
        "units": "Torr",
        "long_name": "threshold",
        "energy_scale": "gas_pressure",
    }


def changed(folder: Path, old: str, new: str) -> Path:
    """A copy of the experiment under another name, with one change."""
    text = datafiles.read_bytes(f"experiments/{NAME}.toml").decode()
    assert text.count(old) == 1
    (folder / "mine.toml").write_text(text.replace(old, new))
    return folder


def test_a_cut_on_the_recoil_energy_takes_the_printed_carbon_events(tmp_path: Path) -> None:
    """B22 takes recoils up to 3192 keV; that lowers the optimum by one percent."""
    folder = changed(
        tmp_path,
        'isotopes = "most-abundant"',
        'maximum_recoil_kev = 3192\nisotopes = "most-abundant"',
    )
    cut, all_ = (
        pressure_curve(name, pressure=[300.0, 411.0, 500.0], experiments=folder)
        for name in ("mine", NAME)
    )
    lost = (all_["by_element"] - cut["by_element"]).sel(pressure=411.0)
    assert 0.0 < float(lost.sel(element="S")) < 0.1 < float(lost.sel(element="C")) < 1.5
    assert cut.attrs["optimum_torr"] == pytest.approx(409.6, abs=0.2)
    # no recoil is left between a threshold of 375 keV and a cut of 300 keV
    folder = changed(tmp_path, "volume_m3", "maximum_recoil_kev = 300\nvolume_m3")
    assert pressure_curve("mine", pressure=[2000.0], experiments=folder)["events"].item() == 0.0


def test_natural_isotopes_move_the_optimum_by_half_a_percent(tmp_path: Path) -> None:
    folder = changed(tmp_path, 'isotopes = "most-abundant"', 'isotopes = "natural"')
    text = (folder / "mine.toml").read_text()
    (folder / "mine.toml").write_text(text.replace("0.12017021", "0.12048"))
    assert found("mine", folder).nuclei.z.size == 6
    natural = pressure_curve("mine", pressure=[300.0, 411.0, 500.0], experiments=folder)
    assert natural.attrs["optimum_torr"] == pytest.approx(408.7, abs=0.1)


@pytest.mark.parametrize("torr", [60.0, 411.0])
@pytest.mark.parametrize("model", ["universal", "Lmu-Ltau"])
def test_chi_square_is_the_closed_form_of_one_bin_with_two_pulls(torr: float, model: str) -> None:
    setting = setup.conventions(model, couplings="low-energy")
    rates = setup.rates(found(), setting, np.array([30.0]), [torr])
    exposure = found().spec.exposure_tonne_year
    own = data_of(rates, exposure, None)
    x = np.geomspace(1e-11, 1e-4, 40)
    c = exposure * rates.coefficients[0, 0, :, 0]
    back = exposure * rates.background[0, 0]
    expected = []
    for at in x:
        signal = float(c[0] + at * (c[1] + at * c[2]))
        variance = (0.1 * signal) ** 2 + (0.01 * back) ** 2
        expected.append(pulls.deviance(float(c[0] + back), signal + back, variance))
    got = own.curve(rates.coefficients[0, :, :, 0], x)
    # the Newton step stops at 1e-10; sums of 500 counts are rounded to 1e-13
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-9)
    assert max(expected) > 10.0


def test_a_scan_over_pressures_is_the_limit_at_each() -> None:
    """Signal, background and its pull are those of the pressure."""
    spec = ScanSpec.model_validate(
        {
            "models": ["B-L"],
            "experiments": [NAME],
            "mass": {"values": [10.0]},
            "coupling": {"values": [3e-5, 7e-5, 2e-4]},
            "threshold": {"values": [60.0, 411.0]},
            "statistic": {"test": "exclusion"},
            "couplings": "low-energy",
            "dtype": "float64",
        }
    )
    grid = lmltgrid.virtual(spec)[NAME]
    assert grid["threshold"].attrs["units"] == "Torr"
    setting = setup.conventions("B-L", couplings="low-energy")
    for place, torr in enumerate([60.0, 411.0]):
        rates = setup.rates(found(), setting, np.array([10.0]), [torr])
        own = data_of(rates, found().spec.exposure_tonne_year, None)
        chi2 = own.curve(rates.coefficients[0, :, :, 0], grid["coupling"].values ** 2)
        got = grid["significance"].isel(threshold=place).values.ravel()
        np.testing.assert_allclose(got, np.sqrt(chi2), rtol=1e-9)


def test_in_a_combination_at_its_own_pressure() -> None:
    single = basis.compute(
        found(), mass=np.array([10.0]), threshold=np.array([60.0]), oscillation=SUN
    )
    both = basis.compute(
        experiments.find("nubdx-drift@60+nubdx-drift"), mass=np.array([10.0]), oscillation=SUN
    )
    scale = found().spec.exposure_tonne_year
    assert both["pull"].values.tolist() == ["signal", "background"] * 2
    assert both["background"].values[0, 0] == scale * single["background"].item()
    expected = scale * single["pull_background"].values[0, 1, 0]
    assert both["pull_background"].values[1].tolist() == [expected, 0.0]


def test_the_beam_is_part_of_the_identity_of_a_scan() -> None:
    files = found().data_files("step")
    assert "beams/lbnf-numu.csv" in files
    for one in files:
        assert one in datafiles.manifest()


# ---------------------------------------------------------------- refusals, figure


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("C = 7.5, S = 20", "C = 7.5", "gas.threshold_kev is given for C; C, S are needed"),
        ("0.12017021", "0.13", "exposure_tonne_year is 0.13, but volume, pressure and years give 0.12017;"),
        ("pressure_torr = 411", "pressure_torr = 4000", "gas.pressure_torr"),
        ('"lbnf-numu"', '"lbnf-nue"', "unknown neutrino beam 'lbnf-nue'"),
        ("background_fraction = 0.25", "background_fraction = -1", "likelihood.background_fraction"),
        ('"gas_pressure"', '"nuclear_recoil"', "energy_scale"),
    ],
)  # fmt: skip
def test_refused_files(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises((SpecificationError, UnknownNameError)) as caught:
        experiments.catalog(changed(tmp_path, old, new))
    assert "mine.toml" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("torr", [0.5, 2001.0])
def test_refused_pressures(torr: float) -> None:
    with pytest.raises(SpecificationError, match=f"{torr:g} Torr is given for nubdx-drift"):
        lmltgrid.limits(NAME, mass=[10.0], threshold=torr)
    with pytest.raises(SpecificationError, match="pressures of 1 to 2000 Torr are allowed"):
        pressure_curve(pressure=[torr])


def test_refused_curves() -> None:
    with pytest.raises(SpecificationError, match="darwin-nr has no gas pressure"):
        pressure_curve("darwin-nr")
    with pytest.raises(SpecificationError, match="values must ascend"):
        pressure_curve(pressure=[100.0, 50.0])
    with pytest.raises(UnknownNameError, match="couplings"):
        pressure_curve(pressure=[100.0], couplings="tree")  # type: ignore[arg-type]
    with pytest.raises(SpecificationError, match="at least two pressures"):
        plots.pressure_line(pressure_curve(pressure=[100.0]))


def test_no_other_threshold_is_taken_by_a_likelihood_without_one() -> None:
    with pytest.raises(SpecificationError, match="ess-ar"):
        lmltgrid.limits("ess-ar", mass=[10.0], threshold=77.0)


def test_the_figure_shows_both_elements_and_the_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(plots, "save", lambda figure, path: seen.update(figure=figure, path=path))
    used = answer("plot", "pressure", "--pressure", "100:1000:9")["settings"]
    assert used["optimum_torr"] == pytest.approx(411.3, abs=0.1)
    assert seen["path"] == Path("pressure.png")
    assert [one.label for one in seen["figure"] if one.label] == [
        *("all", "carbon", "sulfur"),
        "most, 398 events",
    ]


def test_without_a_crossing_none_is_drawn() -> None:
    curve = pressure_curve(pressure=[10.0, 100.0, 300.0])
    assert "crossover_torr" not in curve.attrs
    assert curve.attrs["optimum_torr"] == 300.0  # the end of the range
    assert plots.pressure_line(curve)
