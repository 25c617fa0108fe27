"""Experiments at spallation sources: what is refused, responses against quad, flux moments.

The experiment below is our own: two energies, two times, every kind of pull.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import exp, sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma, norm

from lmltgrid import basis, spallation_moments
from lmltgrid.errors import SpecificationError
from lmltgrid.kernels import pidar
from lmltgrid.spallation_moments import BinResponse, quenched
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.oscillation import oscillation
from lmltgrid.tables.spallation import SpallationExperiment
from lmltgrid.units import M_MUON, M_PION

Files = Callable[..., Path]

EXPERIMENT = """\
title = "mine"
reference = "none"
source = "pi-DAR"
target = "Ar"
test = "likelihood"
energy_scale = "electron_equivalent"
exposure_tonne_year = 2.0

[beam]
neutrinos_per_proton = 0.1
protons_per_year = 1e23
baseline_m = 20.0

[bins]
energy = [5.0, 10.0, 20.0]
time = [0.0, 1.0, 6.0]

[response]
efficiency = "mine-efficiency.csv"
acceptance = 0.9
quenching = [0.25, 1e-3]
resolution = 0.5

[likelihood]
kind = "poisson"
table = "mine-bins.csv"
backgrounds = ["neutrons", "steady"]
times = "mine-times.csv"
shapes = "mine-shapes.csv"

[[pull]]
name = "signal"
fraction = 0.1

[[pull]]
name = "neutrons"
background = "neutrons"
fraction = 0.3

[[pull]]
name = "early"
background = "steady"
shape = "early"
"""
TABLES = {
    "mine-bins.csv": """\
energy_low,energy_high,time_low,time_high,observed,neutrons,steady
0,5,0,1,9,9,9
0,5,1,6,9,9,9
5,10,0,1,7,1.5,2
5,10,1,6,8,0.5,10
10,20,0,1,3,0.7,4
10,20,1,6,0,0.1,20
""",
    "mine-efficiency.csv": "recoil_energy_kevnr,efficiency\n10,0\n30,0.6\n80,0.8\n",
    "mine-times.csv": "time_low,time_high,prompt,delayed\n0,1,0.9,0.3\n1,6,0.1,0.6\n",
    "mine-shapes.csv": """\
energy_low,energy_high,time_low,time_high,early
5,10,0,1,0.2
5,10,1,6,-0.1
10,20,0,1,0.3
10,20,1,6,-0.2
""",
}
SCINTILLATOR = """\
quenching = [0.06, 1e-3]

[response.photoelectrons]
per_kevee = 13.0
shape = 9.5
efficiency = [1.3, 0.3, 11.0, -0.3]
"""


@pytest.fixture
def own(tmp_path: Path) -> Files:
    """Write the experiment above, with one text of one file replaced."""

    def write(old: str = "", new: str = "", file: str = "mine.toml") -> Path:
        for name, text in ({"mine.toml": EXPERIMENT} | TABLES).items():
            changed = text
            if name == file:
                assert old in text
                changed = text.replace(old, new, 1)
            (tmp_path / name).write_text(changed, encoding="utf-8")
        return tmp_path

    return write


def loaded(folder: Path) -> SpallationExperiment:
    found = catalog(folder)["mine"]
    assert isinstance(found, SpallationExperiment)
    return found


def responding(own: Files, scale: str, bins: str, response: str) -> SpallationExperiment:
    """The experiment with another response and other bins, and without data."""
    head = EXPERIMENT.split("[bins]")[0].replace("electron_equivalent", scale)
    text = (
        f'{head}\n[bins]\nenergy = {bins}\n\n[response]\n{response}\n[likelihood]\nkind = "poisson"'
    )
    return loaded(own(EXPERIMENT, text))


def test_an_experiment_of_a_user_is_read(own: Files) -> None:
    found = loaded(own())
    assert (found.n_bins, found.threshold, found.window_scale) == (4, 5.0, "electron_equivalent")
    assert found.observed is not None
    assert found.observed.tolist() == [7.0, 8.0, 3.0, 0.0]  # not what lies below the bins
    assert found.backgrounds["steady"].tolist() == [2.0, 10.0, 4.0, 20.0]
    assert found.shapes["early"].tolist() == [0.2, -0.1, 0.3, -0.2]
    assert found.time.tolist() == [[0.9, 0.1], [0.3, 0.6]]
    shown = found.as_dict()
    assert shown["measured"]
    assert shown["pulls"] == ["signal", "neutrons", "early"]
    assert set(found.files) == {"mine.toml", *TABLES}


def test_pulls_and_backgrounds_of_the_likelihood(own: Files) -> None:
    found = loaded(own())
    windows = np.array([[5.0, 10.0], [5.0, 10.0], [10.0, 20.0], [10.0, 20.0]])
    parts = spallation_moments._likelihood(found, windows)
    assert parts["background"][1].tolist() == [[1.75, 5.25, 2.35, 10.05]]  # over 2 tonne years
    assert parts["pull_signal"][1].tolist() == [[0.1] * 4, [0.0] * 4, [0.0] * 4]
    expected = [[0.0] * 4, [0.225, 0.075, 0.105, 0.015], [0.2, -0.5, 0.6, -2.0]]
    np.testing.assert_allclose(parts["pull_background"][1], expected, rtol=1e-14)
    assert parts["observed"][1].tolist() == [7.0, 8.0, 3.0, 0.0]


def test_a_flat_background_is_spread_over_the_window(own: Files) -> None:
    flat = 'kind = "poisson"\nbackground_counts_per_tonne_year_kev = 3.0'
    text = EXPERIMENT.split("\ntable =")[0].replace('kind = "poisson"', flat)
    pull = '\n\n[[pull]]\nname = "b"\nbackground = "background"\nfraction = 0.5\n'
    found = loaded(own(EXPERIMENT, text.replace("time = [0.0, 1.0, 6.0]\n", "") + pull))
    parts = spallation_moments._likelihood(found, np.array([[5.0, 10.0], [10.0, 20.0]]))
    assert parts["background"][1].tolist() == [[15.0, 30.0]]
    assert parts["pull_background"][1].tolist() == [[7.5, 15.0]]
    assert np.isnan(parts["observed"][1]).all()
    assert found.as_dict()["measured"] is False


REFUSALS = [
    ("mine.toml", "5.0, 10.0, 20.0", "5.0, 20.0, 10.0", r"mine\.toml: bins.*20 is followed by 10"),
    ("mine.toml", "0.0, 1.0, 6.0", "1.0, 0.0, 6.0", r"mine\.toml: bins.*1 is followed by 0"),
    ("mine.toml", "[5.0, 10.0, 20.0]", "[5.0]", r"mine\.toml: bins\.energy.*at least 2"),
    ("mine.toml", "[5.0,", "[-5.0,", r"mine\.toml: bins\.energy.*-5"),
    ("mine.toml", 'background = "neutrons"', 'background = "neutron"', r"'neutron' is not one of"),
    ("mine.toml", 'background = "neutrons"', 'background = "background"', r"is not one of neutrons"),
    ("mine.toml", "fraction = 0.3", 'fraction = 0.3\nshape = "early"', r"exactly one of fraction"),
    ("mine.toml", "fraction = 0.3\n", "", r"exactly one of fraction"),
    ("mine.toml", "fraction = 0.3", "fraction = -0.3", r"pull.*fraction.*-0\.3"),
    ("mine.toml", 'shapes = "mine-shapes.csv"\n', "", r"'early' has a shape; give likelihood"),
    ("mine.toml", "time = [0.0, 1.0, 6.0]\n", "", r"bins\.time and likelihood\.times"),
    ("mine.toml", 'table = "mine-bins.csv"\n', "", r"backgrounds, but no table"),
    ("mine.toml", '"electron_equivalent"', '"nuclear_recoil"', r"leads to 'electron_equivalent'"),
    ("mine.toml", '"electron_equivalent"', '"photoelectrons"', r"leads to 'electron_equivalent'"),
    ("mine.toml", "quenching = [0.25, 1e-3]\nresolution = 0.5\n", "resolution = 0.5\n" + SCINTILLATOR,
     r"resolution and photoelectrons exclude"),
    ("mine.toml", "quenching = [0.25, 1e-3]\nresolution = 0.5\n", SCINTILLATOR.split("\n", 1)[1],
     r"photoelectrons need quenching"),
    ("mine.toml", "acceptance = 0.9", "acceptance = 1.1", r"acceptance.*1\.1"),
    ("mine.toml", "resolution = 0.5", "resolution = 0", r"resolution.*0"),
    ("mine.toml", "baseline_m = 20.0", "baseline_m = -20.0", r"beam\.baseline_m.*-20"),
    ("mine.toml", "baseline_m = 20.0", "", r"mine\.toml: beam\.baseline_m"),
    ("mine.toml", '"poisson"', '"poison"', r"likelihood\.kind.*poison"),
    ("mine.toml", '"Ar"', '"He"', r"target.*He"),
    ("mine.toml", '"mine-bins.csv"', '"../bins.csv"', r"likelihood\.table.*without folders"),
    ("mine.toml", '"mine-bins.csv"', '"other.csv"', r"other\.csv: there is no such file"),
    ("mine-bins.csv", ",steady\n", ",calm\n", r"mine-bins\.csv: column 'steady' is missing"),
    ("mine-bins.csv", ",observed,", ",seen,", r"mine-bins\.csv: column 'observed' is missing"),
    ("mine-bins.csv", "5,10,1,6,8", "5,10,1,6,-8", r"mine-bins\.csv, line 5: observed is -8"),
    ("mine-bins.csv", "3,0.7,4", "3,-0.7,4", r"mine-bins\.csv, line 6: neutrons is -0\.7"),
    ("mine-bins.csv", "8,0.5,10", "many,0.5,10", r"mine-bins\.csv, line 5: .*'many'"),
    ("mine-bins.csv", "8,0.5,10", "nan,0.5,10", r"mine-bins\.csv, line 5: .*'nan'"),
    ("mine-bins.csv", "10,20,1,6,0,0.1,20\n", "", r"mine-bins\.csv: 3 rows; 2 energies times 2"),
    ("mine-bins.csv", "10,20,0,1", "10,19,0,1", r"mine-bins\.csv, line 6: energy_high is 19"),
    ("mine-bins.csv", "5,10,0,1,7,1.5,2\n5,10,1,6,8,0.5,10", "5,10,1,6,8,0.5,10\n5,10,0,1,7,1.5,2",
     r"mine-bins\.csv, line 4: time_low is 1, but.*sort the rows"),
    ("mine-shapes.csv", "10,20,1,6,-0.2\n", "", r"mine-shapes\.csv: 3 rows"),
    ("mine-shapes.csv", "5,10,1,6", "5,10,1,7", r"mine-shapes\.csv, line 3: time_high is 7"),
    ("mine-shapes.csv", "early", "late", r"mine-shapes\.csv: column 'early' is missing"),
    ("mine-times.csv", "delayed", "later", r"mine-times\.csv: column 'delayed' is missing"),
    ("mine-times.csv", "1,6", "1,7", r"mine-times\.csv: its time bins are not those"),
    ("mine-times.csv", "0.1,0.6", "0.1,-0.6", r"mine-times\.csv, line 3: delayed is -0\.6"),
    ("mine-efficiency.csv", "30,0.6", "30,-0.6", r"mine-efficiency\.csv, line 3: .*-0\.6"),
    ("mine-efficiency.csv", "30,0.6", "30,1.6", r"mine-efficiency\.csv, line 3: .*1\.6"),
    ("mine-efficiency.csv", "30,0.6", "90,0.6", r"mine-efficiency\.csv, line 4: .*ascend"),
    ("mine-efficiency.csv", ",efficiency", ",eff", r"column 'efficiency' is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "message"), REFUSALS)
def test_what_cannot_be_is_refused_by_name(
    own: Files, file: str, old: str, new: str, message: str
) -> None:
    folder = own(old, new, file)
    with pytest.raises(SpecificationError, match=message) as caught:
        catalog(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(folder))


def test_a_quenching_that_turns_is_refused(own: Files) -> None:
    found = loaded(own("[0.25, 1e-3]", "[0.25, -1e-3]"))
    with pytest.raises(SpecificationError, match=r"^mine: response\.quenching does not ascend"):
        basis.compute(found, mass=np.array([10.0]), oscillation=[oscillation("amaral2021")])


def test_other_thresholds_than_that_of_the_bins_are_refused(own: Files) -> None:
    with pytest.raises(SpecificationError, match=r"^scan: 4 keV_ee is given for mine, whose bins"):
        basis.check_thresholds(loaded(own()), np.array([4.0]), "scan")


@pytest.mark.parametrize("energy", [10.5, 25.0, 40.0, 79.0, 120.0])
def test_the_gaussian_response_is_its_integral(own: Files, energy: float) -> None:
    response = BinResponse(loaded(own()), 10.0, 20.0)
    middle = (0.25 + 1e-3 * energy) * energy
    passed = np.interp(energy, [10.0, 30.0, 80.0], [0.0, 0.6, 0.8])
    inside, _ = quad(lambda x: norm.pdf(x, middle, 0.5 * sqrt(middle)), 10.0, 20.0, epsabs=0.0)
    assert response(np.array([energy]))[0] == pytest.approx(0.9 * passed * inside, rel=1e-10)


def test_nothing_is_seen_below_the_table_of_the_efficiency(own: Files) -> None:
    response = BinResponse(loaded(own()), 5.0, 10.0)
    assert response(np.array([9.99]))[0] == 0.0
    assert response.range()[0] >= 10.0


def test_far_tails_of_the_resolution_keep_their_digits(own: Files) -> None:
    found = responding(own, "nuclear_recoil", "[1.0, 100.0]", "resolution = 0.5")
    at = np.array([30.0])
    above, below = BinResponse(found, 60.0, 70.0)(at)[0], BinResponse(found, 5.0, 8.0)(at)[0]
    one = norm(30.0, 0.5 * sqrt(30.0))
    assert above == pytest.approx(one.sf(60.0) - one.sf(70.0), rel=1e-9)
    assert below == pytest.approx(one.cdf(8.0) - one.cdf(5.0), rel=1e-9)
    assert above < 1e-20


@pytest.mark.parametrize("energy", [1.0, 8.0, 15.0, 30.0, 60.0])
@pytest.mark.parametrize("window", [(0.0, 8.0), (8.0, 12.0), (40.0, 60.0)])
def test_the_response_of_a_scintillator_is_its_integral(
    own: Files, energy: float, window: tuple[float, float]
) -> None:
    found = responding(own, "photoelectrons", "[0.0, 60.0]", SCINTILLATOR)
    light = (0.06 + 1e-3 * energy) * energy
    shape = 1.0 + 9.5 * light
    spread = gamma(shape, scale=13.0 * light / shape)
    start = 11.0 - np.log(1.3 / 0.3 - 1.0) / 0.3  # where the efficiency is zero

    def seen(x: float) -> float:
        return float(spread.pdf(x) * (1.3 / (1.0 + exp(-0.3 * (x - 11.0))) - 0.3))

    low = max(window[0], start)
    expected = quad(seen, low, window[1], epsabs=0.0, epsrel=1e-12, limit=200)[0]
    response = BinResponse(found, *window)(np.array([energy]))[0]
    assert response == pytest.approx(expected, rel=1e-10)


def test_a_sharp_bin_is_all_or_nothing(own: Files) -> None:
    found = responding(own, "electron_equivalent", "[5.0, 10.0]", "quenching = [0.25, 1e-3]")
    response = BinResponse(found, 5.0, 10.0)
    low, high = response.range()
    for energy, observed in ((low, 5.0), (high, 10.0)):
        assert quenched(found, np.array([energy]))[0] == pytest.approx(observed, rel=1e-12)
    around = np.array([0.999 * low, 1.001 * low, 0.999 * high, 1.001 * high])
    assert response(around).tolist() == [0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("scale", "bins", "response"),
    [
        ("nuclear_recoil", "[5.0, 60.0]", ""),
        ("electron_equivalent", "[5.0, 10.0]", "quenching = [0.25, 1e-3]"),
        ("nuclear_recoil", "[5.0, 60.0]", "resolution = 0.5"),
        ("photoelectrons", "[8.0, 20.0]", SCINTILLATOR),
        ("nuclear_recoil", "[5.0, 60.0]", 'efficiency = "mine-efficiency.csv"'),
    ],
    ids=["sharp", "quenched", "gaussian", "gamma", "efficiency"],
)
def test_points_integrate_the_response(own: Files, scale: str, bins: str, response: str) -> None:
    found = responding(own, scale, bins, response)
    one = BinResponse(found, *found.energy_edges.tolist())
    low, high = one.range()
    energy, weight = one.points(np.array([20.0]), low, high)

    def at(x: float) -> float:
        return float(one(np.array([x]))[0])

    # pieces between the knots of the efficiency, and far from them
    cuts = np.unique(np.clip([low, 5.0, 10.0, 20.0, 30.0, 60.0, 80.0, high], low, high))
    total = sum(quad(at, a, b, epsabs=1e-13, epsrel=1e-11, limit=200)[0] for a, b in pairwise(cuts))
    assert weight @ one(energy) == pytest.approx(total, rel=1e-10)
    assert np.all((energy > low) & (energy < high))


def spectrum(component: int, energy: float) -> float:
    """P21 eq. 31, whose first line is that of anti-nu_mu, for one neutrino; MeV^-1."""
    x = energy / M_MUON
    shape = 64.0 * x**2 * (0.75 - x) if component == 1 else 192.0 * x**2 * (0.5 - x)
    return shape / M_MUON


@pytest.mark.parametrize("component", [1, 2])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_flux_moments_are_integrals_of_the_spectra(component: int, k: int) -> None:
    energies = np.array([0.0, 1.0, 14.0, 29.0, 45.0, 52.0])
    ours = pidar.flux_moments(energies)[k, component]
    for energy, value in zip(energies.tolist(), ours, strict=True):
        exact, _ = quad(
            lambda e: spectrum(component, e) * e**-k if e > 0.0 else 0.0,
            energy,
            0.5 * M_MUON,
            epsabs=0.0,
            epsrel=1e-12,
        )
        assert value == pytest.approx(exact, rel=1e-9 if energy > 50.0 else 1e-12)


def test_each_component_is_one_neutrino() -> None:
    np.testing.assert_allclose(pidar.flux_moments(np.zeros(1))[0, :, 0], 1.0, rtol=1e-14)


def test_the_prompt_line_and_the_end_of_the_spectra() -> None:
    line = (M_PION**2 - M_MUON**2) / (2.0 * M_PION)
    assert line == pytest.approx(29.79, abs=0.005)
    around = pidar.flux_moments(np.array([line, np.nextafter(line, 99.0)]))[:, 0]
    np.testing.assert_allclose(around[:, 0], [1.0, 1.0 / line, 1.0 / line**2], rtol=1e-14)
    assert around[:, 1].tolist() == [0.0, 0.0, 0.0]
    assert np.all(pidar.flux_moments(np.array([0.5 * M_MUON, 60.0]))[:, 1:] == 0.0)
