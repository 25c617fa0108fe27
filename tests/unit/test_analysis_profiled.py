"""Limits of binned likelihoods: every crossing is found, and what is not known is no limit."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lmltgrid import limits
from lmltgrid.analysis import profiled
from lmltgrid.analysis.level import Level
from lmltgrid.analysis.limits import as_lists
from lmltgrid.analysis.setup import Rates, conventions, find_experiment, rates
from lmltgrid.kernels import likelihood

EXPERIMENT, MODEL = "coherent-csi-2021", "universal"
LEVEL = Level()


@pytest.fixture(scope="module")
def setting():
    return conventions(MODEL, couplings="radiative")


@pytest.mark.parametrize(("mass", "branches"), [(80.0, 1), (90.0, 2), (100.0, 2), (150.0, 2)])
def test_all_crossings_against_a_dense_scan(setting, mass, branches):
    """An allowed strip 2 to 7 % wide opens between 80 and 90 MeV."""
    experiment = find_experiment(EXPERIMENT)
    found = limits(EXPERIMENT, model=MODEL, couplings="radiative", mass=[mass])
    (ends,) = as_lists(found)
    assert len(ends) == branches
    assert ends[-1][1] is None
    own = rates(experiment, setting, np.array([mass]), None)
    data = profiled.data_of(own, experiment.spec.exposure_tonne_year, None)
    g = np.geomspace(1e-6, 1e-2, 20_001)
    coefficients = np.ascontiguousarray(own.coefficients[0, :, :, 0])
    above = data.curve(coefficients, g**2) - found.attrs["chi2_minimum"] - LEVEL.delta_chi2
    crossings = g[1:][np.diff(np.sign(above)) != 0.0]
    flat = [end for pair in ends for end in pair if end is not None]
    # the scan knows a crossing to its step, 0.05 %
    assert flat == pytest.approx(crossings.tolist(), rel=6e-4)


def test_the_minimum_is_below_every_point_of_a_plane(setting):
    experiment = find_experiment(EXPERIMENT)
    least, mass, coupling = profiled.minimum(experiment, setting, 0.0146)
    masses = np.geomspace(1.0, 1000.0, 31)
    own = rates(experiment, setting, masses, None)
    data = profiled.data_of(own, 0.0146, None)
    plane = data.plane(own.coefficients[0], np.geomspace(1e-6, 1e-2, 200) ** 2)
    assert least < np.nanmin(plane)
    at = rates(experiment, setting, np.array([mass]), None)
    there = data.curve(np.ascontiguousarray(at.coefficients[0, :, :, 0]), np.array([coupling**2]))
    # the kernel is good to 1e-9 of a chi-square, and to 1e-14 of its counts
    assert there[0] == pytest.approx(least, abs=1e-8)


def linear_rates(observed=np.nan):
    """One Poisson bin of 100 events, and as many for each unit of x."""
    moments = xr.Dataset(
        {
            "observed": ("bin", [observed]),
            "background": (("threshold", "bin"), [[0.0]]),
            "gaussian": ("bin", [0.0]),
            "noise": ("bin", [0.0]),
            "noise_fraction": ("bin", [0.0]),
            "pull_signal": (("pull", "bin"), np.zeros((0, 1))),
            "pull_background": (("pull", "bin"), np.zeros((0, 1))),
        },
        attrs={"exposure_tonne_year": 1.0},
    )
    coefficients = np.array([100.0, 100.0, 0.0]).reshape(1, 1, 3, 1)
    return Rates(coefficients, np.zeros((1, 1)), np.zeros((1, 1, 2)), None, moments)


def poison(monkeypatch, low, high):
    true = likelihood.plane

    def poisoned(counts, x, *rest):
        x = np.asarray(x)
        return np.where((x > low) & (x < high), np.nan, true(counts, x, *rest))

    monkeypatch.setattr(likelihood, "plane", poisoned)


# 2 (s - 100 ln(1 + s/100)) = 2.7055 at s = 17.36 events more
END = 0.17359


def test_without_failures_there_is_one_open_interval():
    (found,), failures = profiled.intervals(linear_rates(), 1.0, LEVEL, 0.0)
    assert found == [(pytest.approx(END, rel=1e-3), np.inf)]
    assert not failures


def test_what_explains_far_more_events_than_expected_is_allowed():
    """The deviance of n counts rises by 2.7055 at sqrt(2.7055 n) on either side."""
    n = 1e8
    (found,), failures = profiled.intervals(linear_rates(n), 1.0, LEVEL, 0.0)
    (start, low), (high, stop) = found
    assert (start, stop) == (0.0, np.inf)
    for end, sign in ((low, -1.0), (high, 1.0)):
        assert 100.0 * (1.0 + end) - n == pytest.approx(sign * np.sqrt(2.7055 * n), rel=1e-3)
    assert not failures


@pytest.mark.parametrize(
    ("low", "high", "pieces"),
    [
        (1.0, 5.0, [(END, 1.0), (5.0, np.inf)]),  # inside what is excluded
        (0.01, 0.05, [(END, np.inf)]),  # inside what is allowed
        (0.1, 0.5, [(0.5, np.inf)]),  # over the crossing
        (2.0, np.inf, [(END, 2.0)]),  # from some coupling on
        (0.0, 3.0, [(3.0, np.inf)]),  # up to it
    ],
)
def test_what_does_not_converge_is_never_part_of_a_limit(monkeypatch, low, high, pieces):
    poison(monkeypatch, low, high)
    (found,), failures = profiled.intervals(linear_rates(), 1.0, LEVEL, 0.0)
    # where the fit converges is known to a step between two couplings, less than 13 %
    assert len(found) == len(pieces)
    for (start, stop), (first, last) in zip(found, pieces, strict=True):
        assert first * 0.999 <= start <= first * 1.13
        assert last / 1.13 <= stop <= last * 1.001
    assert failures
    assert all(place == 0 and low < x < high for place, x in failures)


def test_a_failure_between_two_points_is_told_as_well(monkeypatch):
    poison(monkeypatch, END * 0.9999, END * 1.0001)  # seen by the search for the root alone
    (found,), failures = profiled.intervals(linear_rates(), 1.0, LEVEL, 0.0)
    assert len(found) == 1
    assert END < found[0][0] < 1.13 * END
    assert len(failures) == 1


def test_failures_are_echoed_with_the_answer(monkeypatch):
    poison(monkeypatch, 1e-7, 1e-6)  # in g from 3.2e-4 to 1e-3
    found = limits("ess", mass=[10.0])
    assert "mass 10 MeV, g 0.000" in found.attrs["unconverged"]
    for low, high in as_lists(found)[0]:
        assert not (low < 5e-4 and (high is None or high > 5e-4))
