"""Solar fluxes, spectra and production zones."""

from __future__ import annotations

import numpy as np
import pytest

from lmltgrid.datafiles import read_toml
from lmltgrid.errors import UnknownNameError
from lmltgrid.tables import solar

CONTINUA = ("pp", "hep", "b8", "n13", "o15", "f17")
LINES = ("pep", "be7")

# Vinyoles et al. (2017): flux in cm^-2 s^-1 and its fractional error, GS98 and AGSS09met
B16 = {
    "pp": (5.98e10, 0.006, 6.03e10, 0.005),
    "pep": (1.44e8, 0.01, 1.46e8, 0.009),
    "hep": (7.98e3, 0.30, 8.25e3, 0.30),
    "be7": (4.93e9, 0.06, 4.50e9, 0.06),
    "b8": (5.46e6, 0.12, 4.50e6, 0.12),
    "n13": (2.78e8, 0.15, 2.04e8, 0.14),
    "o15": (2.05e8, 0.17, 1.44e8, 0.16),
    "f17": (5.29e6, 0.20, 3.26e6, 0.18),
}


def first_moment(source: solar.SolarSource) -> float:
    """Mean energy of a piecewise linear spectrum, exactly."""
    low, high = source.energy[:-1], source.energy[1:]
    left, right = source.spectrum[:-1], source.spectrum[1:]
    cells = (high - low) * ((2.0 * low + high) * left + (low + 2.0 * high) * right) / 6.0
    return float(cells.sum())


@pytest.mark.golden
@pytest.mark.parametrize("name", solar.SOURCES)
def test_fluxes_are_those_of_the_b16_table(name: str) -> None:
    high, low = (solar.solar_source(name, metallicity) for metallicity in solar.METALLICITIES)
    assert (high.flux, high.fractional_error, low.flux, low.fractional_error) == B16[name]


def test_the_flux_file_holds_every_source_once() -> None:
    names = [entry["name"] for entry in read_toml("solar/fluxes.toml")["source"]]
    assert tuple(names) == solar.SOURCES


@pytest.mark.parametrize("name", CONTINUA)
def test_a_continuum_integrates_to_one_and_ends_at_its_endpoint(name: str) -> None:
    source = solar.solar_source(name, "GS98")
    assert source.lines == ()
    # rounding of a sum of about 150 terms
    assert np.trapezoid(source.spectrum, source.energy) == pytest.approx(1.0, abs=1e-14)
    assert np.all(np.diff(source.energy) > 0.0)
    assert source.energy[0] == 0.0
    assert source.spectrum[0] == 0.0
    assert source.spectrum[-1] == 0.0
    assert np.all(source.spectrum[1:-1] > 0.0)
    (entry,) = (e for e in read_toml("solar/fluxes.toml")["source"] if e["name"] == name)
    assert source.endpoint == entry["endpoint_mev"]


@pytest.mark.parametrize("name", LINES)
def test_the_branchings_of_lines_sum_to_one(name: str) -> None:
    source = solar.solar_source(name, "GS98")
    assert source.energy.size == 0
    assert source.spectrum.size == 0
    assert sum(branching for _, branching in source.lines) == pytest.approx(1.0, abs=1e-15)
    assert source.endpoint == {"pep": 1.442, "be7": 0.8618}[name]


def test_the_b8_spectrum_keeps_the_knots_of_winter() -> None:
    source = solar.solar_source("b8", "GS98")
    np.testing.assert_allclose(source.energy, np.arange(154) / 10, rtol=0, atol=1e-12)
    # Winter et al. (2006), per 1000 decays: 12.976, 131.134 (the maximum) and 78.387; the sum of
    # the printed values times 0.1 MeV is 1000 within the rounding of the table, 1e-5
    printed = np.array([0.012976, 0.131134, 0.078387])
    np.testing.assert_allclose(source.spectrum[[10, 65, 100]], printed, rtol=2e-5)
    assert source.spectrum.argmax() == 65


@pytest.mark.snapshot
@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("pp", 0.26671),
        ("hep", 9.63025),
        ("b8", 6.77001),
        ("n13", 0.70676),
        ("o15", 0.99652),
        ("f17", 0.99959),
    ],
)
def test_mean_energies_are_those_of_the_published_tables(name: str, mean: float) -> None:
    """Mean energies of a monotone cubic through the published points (8B: straight lines)."""
    # half of the last digit given, or 1e-6 by which the knots of our own may differ
    expected = pytest.approx(mean, abs=0.5e-5, rel=1e-6)
    assert first_moment(solar.solar_source(name, "GS98")) == expected


def test_all_sources_come_in_order() -> None:
    sources = solar.solar_sources("AGSS09met")
    assert tuple(source.name for source in sources) == solar.SOURCES
    assert all(source.title for source in sources)


@pytest.mark.parametrize("metallicity", solar.METALLICITIES)
def test_zone_fractions_sum_to_one(metallicity: str) -> None:
    zones = solar.zones(metallicity)
    assert tuple(zones.fraction) == solar.SOURCES
    for fraction in zones.fraction.values():
        assert fraction.shape == zones.n_e.shape
        assert np.all(fraction >= 0.0)
        assert fraction.sum() == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("metallicity", solar.METALLICITIES)
def test_the_electron_density_falls_outward_from_that_of_the_center(metallicity: str) -> None:
    n_e = solar.zones(metallicity).n_e
    assert np.all(np.diff(n_e) <= 0.0)
    # center of the B16 models: log10(n_e / N_A cm^-3) = 2.004
    assert np.log10(n_e[0]) == pytest.approx(2.004, abs=5e-4)


def test_hotter_reactions_are_produced_deeper() -> None:
    """8B needs the hottest plasma, pp the coolest but for hep: the density seen is ordered."""
    zones = solar.zones("GS98")
    seen = {name: float(zones.n_e @ zones.fraction[name]) for name in solar.SOURCES}
    assert seen["b8"] > seen["be7"] > seen["pep"] > seen["pp"] > seen["hep"]


def test_arrays_are_read_only() -> None:
    source = solar.solar_source("pp", "GS98")
    zones = solar.zones("GS98")
    for array in (source.energy, source.spectrum, zones.n_e, zones.fraction["pp"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


@pytest.mark.parametrize("metallicity", solar.METALLICITIES)
def test_data_files_name_what_decides_the_numbers(metallicity: str) -> None:
    files = solar.data_files(metallicity)
    assert len(files) == len(set(files)) == 2 + len(CONTINUA)
    assert f"solar/zones-{metallicity.lower()}.csv" in files


def test_unknown_names_are_answered_with_a_suggestion() -> None:
    message = r"^source: unknown solar source 'be-7'; did you mean 'be7'\?"
    with pytest.raises(UnknownNameError, match=message):
        solar.solar_source("be-7", "GS98")
    message = (
        r"^metallicity: unknown metallicity 'GS89'; did you mean 'GS98'\? Known: AGSS09met, GS98\."
    )
    for call in (solar.zones, solar.solar_sources, solar.data_files):
        with pytest.raises(UnknownNameError, match=message):
            call("GS89")
