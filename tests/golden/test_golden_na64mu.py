"""P21 (Amaral et al. 2021, arXiv:2104.03297) section 3 on NA64mu: what its text says of Figs 4 and 5.

The paper prints no counts and no contours. Its text needs 2 pi^2 in eq. 16, and C4 as in
`lmltgrid.kernels.brems`; with the C4 that it prints the text would be wrong. The prefactor that is
right gives pi times as many events.
"""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lmltgrid.kernels import brems
from lmltgrid.tables import beams, models
from lmltgrid.units import M_MUON

Array = NDArray[np.float64]

LEVEL_68, LEVEL_95 = 2.30, 6.18  # two degrees of freedom, P21 below eq. 30
BEAM = beams.muon_beam("na64mu").production
P21: dict[str, Any] = {"prefactor": "printed", "transfer": "printed"}
PHYSICS: dict[str, Any] = {}
MASSES = np.geomspace(0.1, 2e3, 4001)  # 0.25 % apart
LIGHT = ["BP1", "BP2", "BP3"]
BENCHMARKS = [*LIGHT, "BP4"]


def events(name: str, **options: Any) -> Array:
    """Events of a benchmark of P21 Table 1 in the nine bins; all its decays are invisible."""
    point = models.benchmarks()[name]
    counts = brems.counts_per_x([point.mass], **BEAM, **options)[:, 0]
    return point.coupling**2 * counts


def profile(observed: Array, expected: Array) -> Array:
    """-2 ln of the likelihood ratio, least over the coupling, at each mass.

    Poisson without background, and counts proportional to g^2: at the best coupling their sum is
    the observed one. ``expected`` has shape (bin, mass) in any unit.
    """
    best = expected * observed.sum() / expected.sum(axis=0)
    value: Array = 2.0 * np.sum(observed[:, None] * np.log(observed[:, None] / best), axis=0)
    return value


def region(name: str, level: float, **options: Any) -> tuple[float, float]:
    """Least and largest mass of the allowed region; 0 if it has no lower end."""
    allowed = profile(events(name, **options), brems.counts_per_x(MASSES, **BEAM)) < level
    inside = MASSES[allowed]
    return 0.0 if allowed[0] else float(inside[0]), float(inside[-1])


@pytest.mark.golden
@pytest.mark.parametrize("name", BENCHMARKS)
def test_one_to_ten_events_in_each_bin(name: str) -> None:
    """Section 3.1: "O(1-10) events in each bin", and "roughly O(3)" at least."""
    counts = events(name, **P21)
    assert counts.min() > 2.5  # 3, rounded
    assert counts.max() < 10.0


@pytest.mark.golden
def test_spectra_rise_but_the_fourth() -> None:
    """Section 3.2: BP4 falls, is flattest at 60-90 GeV and falls more steeply again.

    Our flattest step is that from the bin of 50-60 to that of 60-70 GeV. BP1-BP3 rise, and have
    their maxima above the window.
    """
    steps = -np.diff(events("BP4", **P21))
    assert steps.min() > 0.0
    flat = int(np.argmin(steps))
    assert flat == 4
    assert np.all(np.diff(steps[flat:]) > 0.0)
    for name in LIGHT:
        assert np.all(np.diff(events(name, **P21)) > 0.0)
        energies = np.linspace(50e3, 155e3, 106)
        options = {key: value for key, value in BEAM.items() if key != "edges"}
        mass = models.benchmarks()[name].mass
        spectrum = brems.spectrum_per_x(energies, [mass], **options)[:, 0]
        assert energies[np.argmax(spectrum)] > 100e3


@pytest.mark.golden
@pytest.mark.parametrize("level", [LEVEL_68, LEVEL_95])
@pytest.mark.parametrize("name", BENCHMARKS)
def test_only_the_fourth_benchmark_closes_in_mass(name: str, level: float) -> None:
    """Section 3.2 and Fig. 5: an upper limit on the mass for BP1-BP3, a closed region for BP4."""
    low, high = region(name, level, **P21)
    assert (low > 0.0) == (name == "BP4")
    assert low < models.benchmarks()[name].mass < high < 0.2 * MASSES[-1]


def test_profile_is_the_least_over_a_plane() -> None:
    """The closed form against a dense grid in coupling, 0.1 % apart: it is quadratic there."""
    observed, masses = events("BP4", **P21), np.array([30.0, 60.0, 150.0, 250.0])
    expected = brems.counts_per_x(masses, **BEAM, **P21)
    x = np.geomspace(1e-8, 1e-3, 11_000)
    mu = expected[:, :, None] * x
    n = observed[:, None, None]
    plane = 2.0 * np.sum(mu - n + n * np.log(n / mu), axis=0)
    # half a step in ln x is 5e-4, and the curvature 2 N = 150: 4e-5
    assert plane.min(axis=1) == pytest.approx(profile(observed, expected), abs=5e-5)


@pytest.mark.golden
def test_the_coupling_is_known_well() -> None:
    """Section 3.2: "reconstruct the coupling quite well" for BP1-BP3.

    At the true mass, by the normalization alone: 10-20 % at 95 %.
    """
    for name in LIGHT:
        observed = events(name, **P21)
        ratio = np.linspace(0.5, 1.5, 1001) ** 2
        value = 2.0 * observed.sum() * (ratio - 1.0 - np.log(ratio))
        inside = np.sqrt(ratio[value < LEVEL_95])
        assert 0.75 < inside[0] < 0.9
        assert 1.1 < inside[-1] < 1.25


@pytest.mark.golden
def test_the_printed_c4_contradicts_the_text() -> None:
    """With eq. 19 as printed BP1 has up to 27 events a bin, and BP2 and BP3 close."""

    def radiation(x: Array, mass: Array) -> Array:
        m2, big2, y = M_MUON**2, mass**2, 1.0 - x
        v = big2 * y / x + m2 * x
        c2, c3 = y + y**3, -2.0 * x * y**2 * (big2 + 2.0 * m2)
        c4 = 2 * m2**2 * x * y**3 + y**2 * (4 * m2**2 + 2 * m2 * big2 * (x**2 + y**2))
        out: Array = (c2 / v + c3 / (2 * v**2) + c4 / (3 * v**3)) / y
        return out

    nodes, weights = np.polynomial.legendre.leggauss(10)
    centers = 0.5 * (BEAM["edges"][1:] + BEAM["edges"][:-1])
    x = 1.0 - (centers[:, None] + 5e3 * nodes) / BEAM["beam_energy"]

    def shape(mass: Array) -> Array:
        each = radiation(x[:, :, None], mass)
        return np.asarray(np.einsum("k,bkm->bm", weights, each))

    def ours(mass: float) -> Array:
        each = np.array([[brems.radiation(at, mass) for at in row] for row in x])
        return np.asarray(each @ weights)

    closes, largest = {}, {}
    for name in LIGHT:
        mass = models.benchmarks()[name].mass
        counts = events(name, **P21) * shape(np.array([mass]))[:, 0] / ours(mass)
        largest[name] = counts.max()
        closes[name] = bool(profile(counts, shape(MASSES[:1]))[0] > LEVEL_68)
    assert largest["BP1"] == pytest.approx(27.0, abs=1.0)
    assert closes == {"BP1": False, "BP2": True, "BP3": True}


@pytest.mark.golden
def test_both_models_agree_below_the_dimuon_threshold_and_differ_above() -> None:
    """Section 3.2: BR of 0.33 and 0.5 "above the dimuon threshold", 1 below for both."""
    masses = [15.0, 25.0, 50.0, 100.0, 300.0]
    printed = [
        brems.invisible_fraction(masses, models.find(name).charges[2:], branching="printed")
        for name in ("Lmu-Ltau", "Lmu")
    ]
    assert list(printed[0]) == [1.0, 1.0, 1.0, 1.0, 0.5]
    assert printed[1] == pytest.approx([1.0, 1.0, 1.0, 1.0, 0.33], abs=0.005)


@pytest.mark.snapshot
@pytest.mark.parametrize(
    ("options", "level", "expected"),
    [
        (P21, LEVEL_68, (58.8, 154.5)),
        (P21, LEVEL_95, (32.0, 205.8)),
        (PHYSICS, LEVEL_68, (76.1, 128.1)),
        (PHYSICS, LEVEL_95, (61.9, 149.4)),
    ],
    ids=["P21-68", "P21-95", "physics-68", "physics-95"],
)
def test_region_of_the_fourth_benchmark(
    options: dict[str, Any], level: float, expected: tuple[float, float]
) -> None:
    """Our own numbers, MeV; the masses are 0.25 % apart."""
    assert region("BP4", level, **options) == pytest.approx(expected, rel=5e-3)


@pytest.mark.snapshot
def test_counts_of_the_benchmarks() -> None:
    """Our own numbers; the right prefactor, and the largest t of a muon, give more events."""
    printed = [events(name, **P21).sum() for name in BENCHMARKS]
    assert printed == pytest.approx([31.7, 47.1, 42.7, 76.1], abs=0.05)
    right = [events(name).sum() for name in BENCHMARKS]
    assert right == pytest.approx([116.7, 161.8, 137.8, 240.1], abs=0.05)
    assert events("BP4").sum() / printed[-1] == pytest.approx(1.0042 * pi, rel=1e-4)


@pytest.mark.snapshot
def test_with_the_right_prefactor_the_third_benchmark_closes_at_68_percent() -> None:
    """By a hair: Delta chi2 is 2.56 for massless mediators, against 2.30; not so at 95 %."""
    assert region("BP3", LEVEL_68)[0] == pytest.approx(10.5, abs=0.1)
    assert region("BP3", LEVEL_95)[0] == 0.0
    for name in ("BP1", "BP2"):
        assert region(name, LEVEL_68)[0] == 0.0
