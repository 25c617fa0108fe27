"""B22 (Bertuzzo et al. 2022, arXiv:2112.04020) section 3.1 and Figs 1 to 3: nuBDX-DRIFT."""

from __future__ import annotations

import numpy as np
import pytest

import lmltgrid
from lmltgrid.analysis.pressure import pressure_curve
from lmltgrid.tables.beams import neutrino_beam
from lmltgrid.tables.drift import DriftExperiment
from lmltgrid.tables.experiments import catalog

GRAM_MOLE = 75.944  # 12C 32S2


@pytest.fixture(scope="module")
def curve():  # type: ignore[no-untyped-def]
    return pressure_curve()


@pytest.mark.golden
def test_optimum_pressure(curve) -> None:  # type: ignore[no-untyped-def]
    """411 Torr gives the largest rate; without a cut on the recoil energy, as in Fig. 1."""
    assert curve.attrs["optimum_torr"] == pytest.approx(411.0, rel=5e-3)
    highest = curve["events"].values.max()
    assert curve.attrs["optimum_events"] >= highest


@pytest.mark.golden
def test_carbon_overtakes_sulfur_above_the_optimum(curve) -> None:  # type: ignore[no-untyped-def]
    """Fig. 1: the vertical line, once, to the right of the maximum."""
    ahead = np.sign(curve["by_element"].sel(element="C") - curve["by_element"].sel(element="S"))
    assert np.flatnonzero(np.diff(ahead.values)).size == 1
    crossing = curve.attrs["crossover_torr"]
    assert curve.attrs["optimum_torr"] < crossing < 1000.0
    both = pressure_curve(pressure=[crossing])["by_element"].values[0]
    assert both[0] == pytest.approx(both[1], rel=1e-6)  # the root is known to 1e-8 in log P


@pytest.mark.golden
def test_exposure_is_that_of_the_ideal_gas() -> None:
    """B22 eq. 3.3: 5.5e-5 kg/m^3 for each g/mol and Torr; 10 m^3 and 7 years."""
    for name, torr in (("nubdx-drift", 411.0), ("nubdx-drift-60", 60.0)):
        expected = 5.5e-5 * GRAM_MOLE * torr * 10.0 * 1e-3 * 7.0
        assert catalog()[name].spec.exposure_tonne_year == pytest.approx(expected, rel=1e-4)


@pytest.mark.golden
def test_thresholds_of_recoils() -> None:
    """B22 eq. 3.4: 7.5 keV of carbon and 20 keV of sulfur at 40 Torr."""
    found = catalog()["nubdx-drift"]
    assert isinstance(found, DriftExperiment)
    assert found.recoil_thresholds(40.0).tolist() == [7.5, 20.0]
    assert found.recoil_thresholds(400.0).tolist() == [75.0, 200.0]


@pytest.mark.golden
def test_flux_of_the_beam() -> None:
    """Section 3.1: it peaks between 2 and 3 GeV, up to 5 GeV."""
    beam = neutrino_beam("lbnf-numu")
    assert 2000.0 <= beam.energy[np.argmax(beam.flux)] <= 3000.0
    assert beam.energy[-1] == 5000.0
    # 1.0e-7 per cm^2 and proton: the sum of the bins of the release below 5 GeV is 9.95e-8
    assert np.trapezoid(beam.flux, beam.energy) == pytest.approx(9.95e-8, rel=1e-3)


@pytest.mark.golden
def test_limits_at_two_pressures() -> None:
    """Section 4.1, Fig. 2: 60 Torr excludes more below 100 MeV, and the same above; a strip."""
    low, high = (
        lmltgrid.limits(
            "nubdx-drift",
            model="universal",
            mass=[1.0, 10.0, 1000.0],
            threshold=torr,
            couplings="low-energy",
        )
        for torr in (60.0, 411.0)
    )
    ratio = (low["low"] / high["low"]).values
    assert np.all(ratio[:2, 0] < 0.8)
    # one on top of the other in a figure of several decades
    assert ratio[2, 0] == pytest.approx(1.0, abs=0.15)
    for found in (low, high):
        assert np.isfinite(found["low"].values).sum(axis=1).tolist() == [2, 2, 2]


@pytest.mark.snapshot
def test_our_own_numbers(curve) -> None:  # type: ignore[no-untyped-def]
    """With 1.1e21 protons a year; the paper prints no counts."""
    assert curve.attrs["crossover_torr"] == pytest.approx(677.0, abs=0.1)
    events = pressure_curve(pressure=[60.0, 411.0])["events"].values
    assert events == pytest.approx([143.79, 398.34], abs=0.01)
