"""The COHERENT tables against the totals and shapes that their releases print.

CsI: arXiv:2110.07730 with its ancillary files; Ar: arXiv:2006.12659 (Zenodo 3903810). AC22 is
Atzori Corona et al. 2022, arXiv:2202.11002.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import erfcx

from lmltgrid.datafiles import Table, manifest, read_table

Array = NDArray[np.float64]

pytestmark = pytest.mark.golden

EDGES = ("energy_low", "energy_high", "time_low", "time_high")
CSI = (*EDGES, "observed", "brn", "nin", "ss")
AR = (*EDGES, "observed", "ss", "pbrn", "dbrn", "cevns")
SHAPES = ("cevns_f90", "cevns_time", "pbrn_energy", "pbrn_time_mean", "pbrn_time_width")
PLUS = ("cevns_f90_plus", "pbrn_energy_plus", "pbrn_time_mean_plus")
NAMES = (
    "coherent-ar-2020-bins.csv",
    "coherent-ar-2020-efficiency.csv",
    "coherent-ar-2020-shapes.csv",
    "coherent-ar-2020-time.csv",
    "coherent-csi-2021-bins.csv",
    "coherent-csi-2021-time.csv",
)
CSI_TIMES = [*np.arange(8) / 8, 1.0, 2.0, 4.0, 6.0]  # microseconds
AR_TIMES = np.linspace(-0.1, 4.9, 11)
AR_ENERGIES = np.linspace(0.0, 120.0, 13)  # keV electron equivalent
PION, MUON = 0.026033, 2.19698  # lifetimes, microseconds (PDG)
ROUNDED = 1e-5  # of a sum of numbers written with six digits


def table(name: str, columns: tuple[str, ...]) -> Table:
    """Return one COHERENT table."""
    return read_table(f"experiments/coherent-{name}.csv", columns)


def check_bins(found: Table, energies: Array, times: Array) -> None:
    """Energy slowest, bins ascending and adjacent, their edges those of the release."""
    low, start = np.meshgrid(energies[:-1], times[:-1], indexing="ij")
    high, stop = np.meshgrid(energies[1:], times[1:], indexing="ij")
    for column, edge in zip(EDGES, (low, high, start, stop), strict=True):
        np.testing.assert_allclose(found[column], edge.ravel(), atol=1e-12)


def outer(values: Array) -> Array:
    """Return the product of the projections of a table, over its sum."""
    product: Array = np.outer(values.sum(1), values.sum(0)) / values.sum()
    return product


@pytest.mark.parametrize("name", NAMES)
def test_every_table_is_listed_with_its_source(name: str) -> None:
    entry = manifest()[f"experiments/{name}"]
    assert "COHERENT" in entry["source"]
    assert entry["doi"].startswith("arXiv:2110.07730" if "csi" in name else "arXiv:2006.12659")


def test_csi_bins_are_those_of_the_paper() -> None:
    """AC22 eq 2.6 sums 9 energies (photoelectrons) and 11 times."""
    edges = np.array([0.0, 8, 12, 16, 20, 24, 32, 40, 50, 60])
    check_bins(table("csi-2021-bins", CSI), edges, np.array(CSI_TIMES))


def test_csi_totals_are_those_of_the_release() -> None:
    """1578 coincidence and 1295 anti-coincidence events below 60 photoelectrons and 6 us."""
    bins = table("csi-2021-bins", CSI)
    assert bins["observed"].sum() == 1578
    assert np.all(bins["observed"] == np.round(bins["observed"]))
    assert bins["ss"].sum() == pytest.approx(1295, rel=ROUNDED)
    assert bins["brn"].sum() == pytest.approx(18.4, rel=ROUNDED)
    assert bins["nin"].sum() == pytest.approx(5.6, rel=ROUNDED)


def test_csi_steady_background_has_the_shape_of_the_time_efficiency() -> None:
    """Anti-coincidence counts by energy; in time 1 up to 0.52 us, then exp(-0.0494 (t - 0.52))."""
    steady = table("csi-2021-bins", CSI)["ss"].reshape(9, 11)
    by_energy = steady.sum(1)
    np.testing.assert_allclose(by_energy, np.round(by_energy), rtol=ROUNDED)
    shape = [quad(csi_efficiency, a, b, points=[0.52])[0] for a, b in csi_times()]
    np.testing.assert_allclose(steady.sum(0), 1295 * np.array(shape) / sum(shape), rtol=ROUNDED)
    np.testing.assert_allclose(steady, outer(steady), rtol=ROUNDED)


@pytest.mark.parametrize("name", ["brn", "nin"])
def test_csi_neutrons_are_products_of_their_projections(name: str) -> None:
    """The release gives one spectrum of energies and one of times for each."""
    counts = table("csi-2021-bins", CSI)[name].reshape(9, 11)
    assert np.all(counts >= 0.0)
    np.testing.assert_allclose(counts, outer(counts), rtol=1e-4, atol=1e-6)
    early = counts[:, :8].sum() / counts.sum()  # within 1 us, as in the release's times
    assert early == pytest.approx({"brn": 0.9903, "nin": 0.2356}[name], abs=1e-4)


def csi_times() -> list[tuple[float, float]]:
    """Return the time bins of CsI."""
    return list(pairwise(CSI_TIMES))


def csi_efficiency(time: float) -> float:
    """Efficiency of the CsI timing of the release; time in microseconds."""
    return float(np.exp(-0.0494 * max(time - 0.52, 0.0)))


def decay(time: float, mean: float, width: float, lifetime: float) -> float:
    """Gaussian pulse convolved with one exponential decay."""
    pulse = np.exp(-(((time - mean) / width) ** 2) / 2)
    return float(
        pulse * erfcx((width / lifetime - (time - mean) / width) / np.sqrt(2)) / (2 * lifetime)
    )


def fractions(mean: float, width: float, low: float, high: float, timed: bool) -> list[float]:
    """Prompt and delayed fractions of one time bin by quadrature; ``timed``: with efficiency."""

    def prompt(time: float) -> float:
        return decay(time, mean, width, PION) * (csi_efficiency(time) if timed else 1.0)

    def muons(time: float) -> float:
        return decay(time, mean, width, MUON) * (csi_efficiency(time) if timed else 1.0)

    first, second = (
        quad(f, low, min(high, 5 * width + mean), points=[0.52], limit=200)[0]
        + (quad(f, mean + 5 * width, high)[0] if high > mean + 5 * width else 0.0)
        for f in (prompt, muons)
    )
    # a muon is born in the decay of a pion: two exponentials in a row
    return [first, (MUON * second - PION * first) / (MUON - PION)]


@pytest.mark.parametrize(
    ("name", "pulse", "timed"),
    [("csi-2021-time", (0.4734, 0.1466), True), ("ar-2020-time", (0.44, 0.15), False)],
)
def test_time_fractions_are_the_pulse_convolved_with_the_decays(
    name: str, pulse: tuple[float, float], timed: bool
) -> None:
    found = table(name, ("time_low", "time_high", "prompt", "delayed"))
    for i in range(len(found["prompt"])):
        low, high = float(found["time_low"][i]), float(found["time_high"][i])
        if low > 1.5:
            break  # then the closed forms of exponentials alone, below
        prompt, delayed = fractions(*pulse, low, high, timed)
        assert found["prompt"][i] == pytest.approx(prompt, rel=ROUNDED, abs=1e-9)
        assert found["delayed"][i] == pytest.approx(delayed, rel=ROUNDED, abs=1e-9)
    rate = 1 / MUON + (0.0494 if timed else 0.0)
    late = found["delayed"][-2:]
    width = found["time_high"][-2:] - found["time_low"][-2:]
    assert late[1] / late[0] == pytest.approx(np.exp(-rate * width[0]), rel=2 * ROUNDED)


def test_csi_pulse_is_that_of_the_neutrons_of_neutrinos() -> None:
    """The release's times of these follow nu_e, the delayed neutrinos: same shape to 2 %."""
    neutrons = table("csi-2021-bins", CSI)["nin"].reshape(9, 11).sum(0) / 5.6
    delayed = table("csi-2021-time", ("delayed",))["delayed"]
    np.testing.assert_allclose(neutrons[3:], delayed[3:] / delayed.sum(), rtol=0.02)


def test_ar_bins_are_those_of_the_release() -> None:
    """AC22 eq 2.7 sums 12 energies (keV electron equivalent) and 10 times."""
    check_bins(table("ar-2020-bins", AR), AR_ENERGIES, AR_TIMES)
    check_bins(table("ar-2020-shapes", EDGES), AR_ENERGIES, AR_TIMES)


def test_ar_totals_are_those_of_the_release() -> None:
    """3752 events; 3152 steady, 497 prompt and 33 delayed neutrons, 128 CEvNS expected."""
    bins = table("ar-2020-bins", AR)
    assert bins["observed"].sum() == 3752
    assert np.all(bins["observed"] > 0)  # these are the variances of AC22 eq 2.7
    for name, total in (("ss", 3152), ("pbrn", 497), ("dbrn", 33), ("cevns", 128)):
        assert bins[name].sum() == pytest.approx(total, rel=ROUNDED)


def test_ar_delayed_neutrons_come_in_one_time_bin() -> None:
    """The release puts them between 1.4 and 1.9 us, the prompt ones before."""
    bins = table("ar-2020-bins", AR)
    late = bins["time_low"] > 1.2
    assert np.all(bins["dbrn"][~late] == 0.0)
    assert np.all(bins["dbrn"][bins["time_low"] > 1.5] == 0.0)
    assert np.all(bins["pbrn"][late] == 0.0)


def test_ar_shapes_keep_the_totals() -> None:
    """Shape alone: the change sums to zero over the bins, for both signs."""
    bins, shapes = table("ar-2020-bins", AR), table("ar-2020-shapes", SHAPES + PLUS)
    for name in SHAPES + PLUS:
        source = bins[name.split("_")[0]]
        assert np.all(np.abs(shapes[name]) < 1.0)  # no bin becomes negative at one sigma
        assert np.all(shapes[name][source == 0.0] == 0.0)
        # source of 128 or 497 events, changes written with six digits
        assert (source * shapes[name]).sum() == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("cevns_f90", 0.138),
        ("cevns_time", 0.940),
        ("pbrn_energy", 0.114),
        ("pbrn_time_mean", 0.804),
        ("pbrn_time_width", 0.763),
    ],
)
def test_ar_shapes_have_the_size_of_the_release(name: str, largest: float) -> None:
    """Largest change of a bin: the times move by half a bin, the energies by a tenth."""
    shapes = table("ar-2020-shapes", SHAPES)[name]
    assert np.abs(shapes).max() == pytest.approx(largest, abs=1e-3)


def test_ar_prompt_neutrons_of_a_later_mean_move_out_of_the_first_bin() -> None:
    """-1 sigma of the mean is earlier, +1 sigma later."""
    shapes = table("ar-2020-shapes", SHAPES + PLUS)
    assert shapes["pbrn_time_mean"][0] > 0.0 > shapes["pbrn_time_mean"][2]
    assert shapes["pbrn_time_mean_plus"][0] < 0.0 < shapes["pbrn_time_mean_plus"][2]


def test_ar_time_fractions_give_those_of_the_release() -> None:
    """With the 22.6 % of prompt events that the SM and the efficiency give, to 0.01 of all."""
    time = table("ar-2020-time", ("prompt", "delayed", "release"))
    mixed = 0.226 * time["prompt"] + 0.774 * time["delayed"]
    np.testing.assert_allclose(mixed / mixed.sum(), time["release"], atol=0.01)
    counts = table("ar-2020-bins", AR)["cevns"].reshape(12, 10).sum(0)
    np.testing.assert_allclose(time["release"], counts / counts.sum(), rtol=1e-4)


def test_ar_efficiency_rises_to_its_plateau() -> None:
    """arXiv:2006.12659: one half near 14.6 keV, 0.96 above 60 keV; up to the largest recoil."""
    curve = table("ar-2020-efficiency", ("recoil_energy_kevnr", "efficiency"))
    energy, efficiency = curve["recoil_energy_kevnr"], curve["efficiency"]
    assert np.all(np.diff(energy) > 0.0)
    assert energy[-1] >= 2e3 * 52.83**2 / 37216  # 2 E^2 / M of 40Ar, keV
    assert efficiency[0] == 0.0
    assert np.interp(14.58, energy, efficiency) == pytest.approx(0.5, abs=2e-3)
    plateau = efficiency[energy > 60.0]
    assert np.all(np.abs(plateau - 0.957) < 0.01)  # noise of the release's simulation
