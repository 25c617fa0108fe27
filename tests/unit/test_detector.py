"""The detector model of P21 section 5, against its definition written out."""

from __future__ import annotations

import shutil
from itertools import pairwise
from math import erf, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad

from lmltgrid import datafiles, detector
from lmltgrid.detector import ChannelResponse, SharpResponse
from lmltgrid.errors import SpecificationError
from lmltgrid.kernels import response
from lmltgrid.tables import nuclei
from lmltgrid.tables.experiment import Channel
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.recoils import SolarExperiment as Experiment
from lmltgrid.units import KEV

Array = NDArray[np.float64]

ENERGY = np.geomspace(0.02, 60.0, 300)
CASES: list[tuple[str, Channel]] = [
    ("darwin-nr", "nr"),
    ("lz-nr", "nr"),
    ("darwin-er", "er"),
    ("lz-nr-er", "nr"),
    ("lz-nr-er", "er"),
]


def nominal(name: str) -> Experiment:
    return catalog()[name]


@pytest.fixture
def both_in_kevnr(tmp_path: Path) -> Experiment:
    """A user's experiment with both channels, whose thresholds are in keV_nr."""
    source = datafiles.data_folder() / "experiments"
    for path in source.glob("*.csv"):
        shutil.copy(path, tmp_path)
    text = (source / "darwin-nr-er.toml").read_text(encoding="utf-8")
    text = text.replace('"electron_equivalent"', '"nuclear_recoil"')
    text = text.replace("minimum_threshold_kev = 0.106", "minimum_threshold_kev = 0.7")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    return catalog(tmp_path)["mine"]


def test_a_threshold_is_converted_to_the_other_channel() -> None:
    combined = nominal("darwin-nr-er")
    assert detector.threshold_in(combined, "er", 1.0) == 1.0
    recoil = detector.threshold_in(combined, "nr", 1.0)
    assert response.lindhard(recoil, 54.0, 0.1735) == pytest.approx(1.0, rel=1e-13)
    assert detector.threshold_in(nominal("darwin-nr"), "nr", 1.0) == 1.0


def test_a_threshold_in_kevnr_is_converted_for_electron_recoils(both_in_kevnr: Experiment) -> None:
    seen = response.lindhard(1.0, 54.0, 0.1735)
    assert detector.threshold_in(both_in_kevnr, "er", 1.0) == pytest.approx(seen, rel=1e-12)
    for channel in both_in_kevnr.channels:
        window = ChannelResponse(both_in_kevnr, channel, 1.0).window
        assert window == pytest.approx((seen, 30.0), rel=1e-12)


def test_the_efficiency_is_one_half_at_any_threshold() -> None:
    for name, channel in CASES:
        experiment = nominal(name)
        for factor in (0.3, 0.7, 1.0):
            threshold = experiment.threshold * factor
            row = ChannelResponse(experiment, channel, threshold)
            if channel == experiment.scale_channel:
                own = threshold
            else:
                own = min(
                    detector.threshold_in(experiment, channel, threshold),
                    experiment.half_efficiency(channel),
                )
            # linear interpolation between the two rows around one half
            assert row.efficiency(np.array([own]))[0] == pytest.approx(0.5, abs=1e-12)


def test_the_efficiency_is_stretched_below_its_plateau_alone() -> None:
    """eff(E t50/th) up to the plateau, the original above it (P21 section 5)."""
    for name, channel in CASES:
        experiment = nominal(name)
        curve = experiment.efficiency[channel]
        top = curve.energy[np.argmax(curve.value)]
        row = ChannelResponse(experiment, channel, 0.5 * experiment.threshold)
        own = detector.threshold_in(experiment, channel, 0.5 * experiment.threshold)
        stretch = max(experiment.half_efficiency(channel) / own, 1.0)
        table = np.concatenate([[0.0], curve.value, [0.0]])
        edges = np.concatenate([[curve.energy[0]], curve.energy, [curve.energy[-1]]])
        for energy in ENERGY[(curve.energy[-1] > ENERGY) & (curve.energy[0] / stretch < ENERGY)]:
            at = min(energy * stretch, top) if energy < top else energy
            expected = float(np.interp(at, edges[1:-1], table[1:-1]))
            assert row.efficiency(np.array([energy]))[0] == pytest.approx(expected, rel=1e-12)
        outside = np.array([curve.energy[0] / stretch * 0.999, curve.energy[-1] * 1.001])
        np.testing.assert_array_equal(row.efficiency(outside), 0.0)


def test_above_the_nominal_threshold_the_efficiency_is_the_published_one() -> None:
    for name, channel in CASES:
        experiment = nominal(name)
        curve = experiment.efficiency[channel]
        row = ChannelResponse(experiment, channel, 1.2 * experiment.threshold)
        if channel == experiment.scale_channel:
            np.testing.assert_array_equal(row.efficiency(curve.energy), curve.value)


def test_the_efficiency_has_kinks_at_its_knots_alone() -> None:
    experiment = nominal("darwin-nr")
    row = ChannelResponse(experiment, "nr", 1.3)
    knots = row.efficiency_knots()
    middle = 0.5 * (knots[1:] + knots[:-1])
    mean = 0.5 * (row.efficiency(knots[1:] * (1 - 1e-13)) + row.efficiency(knots[:-1]))
    np.testing.assert_allclose(row.efficiency(middle), mean, rtol=1e-9)
    low, high = row.range()
    assert (low, high) == (knots[0], knots[-1])


def test_the_resolution_is_the_published_one_at_the_nominal_threshold() -> None:
    """sigma = E (a/sqrt(E) + b) above t50; the fraction at t50 below."""
    for name in ("darwin-er", "lz-er"):
        experiment = nominal(name)
        shape = experiment.spec.resolution
        t50 = experiment.half_efficiency("er")
        row = ChannelResponse(experiment, "er", t50)
        fraction = shape.a / np.sqrt(np.maximum(ENERGY, t50)) + shape.b
        np.testing.assert_allclose(row.sigma(ENERGY), ENERGY * fraction, rtol=1e-13)


def test_the_resolution_is_shifted_with_the_threshold() -> None:
    """Fraction of sigma at E + t50 - th, capped at its value at t50."""
    for name, channel in CASES:
        experiment = nominal(name)
        shape = experiment.spec.resolution
        row = ChannelResponse(experiment, channel, 0.4 * experiment.threshold)
        t50 = experiment.half_efficiency(channel)
        fixed = detector.electron_equivalent(experiment, channel, np.array([t50]))[0]
        low = row.window[0]
        shifted = np.maximum(ENERGY + fixed - low, fixed)
        fraction = shape.a / np.sqrt(shifted) + shape.b
        np.testing.assert_allclose(row.sigma(ENERGY) / ENERGY, fraction, rtol=1e-13)
        cap = shape.a / sqrt(fixed) + shape.b
        assert np.all(row.sigma(ENERGY) / ENERGY <= cap * (1 + 1e-13))


def test_raising_the_threshold_keeps_the_cap_at_t50() -> None:
    experiment = nominal("darwin-er")
    higher, at = (ChannelResponse(experiment, "er", t) for t in (3.0, experiment.threshold))
    np.testing.assert_allclose(higher.sigma(ENERGY), at.sigma(ENERGY), rtol=1e-13)
    assert higher.window == (3.0, 30.0)


@settings(deadline=None, max_examples=40)
@given(case=st.sampled_from(CASES), factor=st.floats(0.2, 2.0))
def test_the_response_is_a_probability(case: tuple[str, Channel], factor: float) -> None:
    """Between 0 and 1 but for the acceptance, and for the number of electrons."""
    name, channel = case
    experiment = nominal(name)
    row = ChannelResponse(experiment, channel, factor * experiment.threshold)
    value = row(ENERGY)
    assert np.all((value >= 0.0) & (value <= 1.0))
    assert np.any(value > 0.1)
    below = row.range()[0] * 0.999
    assert row(np.array([below]))[0] == 0.0
    if channel == "er":
        atomic = nuclei.atomic_factor("Xe", "step")
        bound = ChannelResponse(experiment, channel, row.threshold, atomic)(ENERGY)
        np.testing.assert_allclose(bound, value * atomic(ENERGY), rtol=1e-14)
        assert np.all(bound <= 54.0)


@pytest.mark.parametrize(("name", "channel"), CASES)
def test_the_response_is_continuous_in_the_threshold_at_t50(name: str, channel: Channel) -> None:
    experiment = nominal(name)
    t50 = experiment.threshold
    below, at, above = (
        ChannelResponse(experiment, channel, t50 * f) for f in (1 - 1e-9, 1, 1 + 1e-9)
    )
    # the efficiency rises by up to one per 30 % of the energy, the window by sigma^-1 E
    np.testing.assert_allclose(below(ENERGY), at(ENERGY), rtol=0, atol=2e-8)
    np.testing.assert_allclose(above(ENERGY), at(ENERGY), rtol=0, atol=2e-8)


@pytest.mark.parametrize(("name", "channel"), CASES)
def test_a_lower_threshold_sees_more_of_every_recoil_in_the_window(
    name: str, channel: Channel
) -> None:
    experiment = nominal(name)
    own = detector.threshold_in(experiment, channel, experiment.threshold)
    middle = np.geomspace(own, 20.0, 60)
    rows = [ChannelResponse(experiment, channel, experiment.threshold * f) for f in (0.4, 0.6, 0.8)]
    values = [row(middle) for row in rows]
    # the plateau of the digitized efficiencies goes up and down by 2e-3
    assert np.all(values[0] >= values[1] - 3e-3)
    assert np.all(values[1] >= values[2] - 3e-3)
    assert values[0][0] > values[1][0] + 0.05 > values[2][0] + 0.1


def test_the_response_is_efficiency_times_window_times_acceptance() -> None:
    experiment = nominal("darwin-nr")
    row = ChannelResponse(experiment, "nr", 1.0)
    low = response.lindhard(1.0, 54.0, 0.1735)
    for energy in (0.7, 1.0, 4.0, 30.0):
        seen = response.lindhard(energy, 54.0, 0.1735)
        width = float(row.sigma(np.array([seen]))[0]) * sqrt(2.0)
        inside = 0.5 * (erf((30.0 - seen) / width) - erf((low - seen) / width))
        expected = 0.5 * float(row.efficiency(np.array([energy]))[0]) * inside
        assert row(np.array([energy]))[0] == pytest.approx(expected, rel=1e-13)


def test_little_is_seen_outside_the_range() -> None:
    for name, channel in CASES:
        row = ChannelResponse(nominal(name), channel, 0.5 * nominal(name).threshold)
        low, high = row.range()
        assert row(np.array([low * 0.9999]))[0] == 0.0
        assert row(np.array([high * 1.0001]))[0] < 1e-15


def test_points_are_split_at_every_kink() -> None:
    experiment = nominal("darwin-er")
    atomic = nuclei.atomic_factor("Xe", "step+rrpa")
    row = ChannelResponse(experiment, "er", 0.3, atomic)
    extra = np.array([0.42341, 7.7])
    points, weights = row.points(extra, 0.2, 20.0)
    assert points.min() > 0.2
    assert points.max() < 20.0
    assert weights.sum() == pytest.approx(19.8, rel=1e-13)
    # a step at a kink is integrated exactly only if no panel straddles it
    for kink in (0.3, experiment.half_efficiency("er"), 0.6499, 4.8356, 7.7):
        assert weights[points > kink].sum() == pytest.approx(20.0 - kink, rel=1e-12)


@pytest.mark.parametrize(("name", "threshold"), [("darwin-er", 0.5), ("lz-nr-er", 1.465)])
def test_the_background_is_the_integral_of_rate_times_response(name: str, threshold: float) -> None:
    experiment = nominal(name)
    row = ChannelResponse(experiment, "er", threshold)

    def rate(energy: float) -> float:
        rates = [np.interp(energy, c.energy, c.value) for c in experiment.background.values()]
        return float(sum(rates) * row(np.array([energy]))[0])

    low, high = row.range()
    at = [threshold, experiment.half_efficiency("er")]  # where the width has a kink
    tables = [c.energy for c in experiment.background.values()]
    kinks = np.concatenate([at, row.efficiency_knots(), *tables])
    edges = np.unique(np.concatenate([[low, high], kinks[(kinks > low) & (kinks < high)]]))
    expected = 0.0
    for left, right in pairwise(edges):
        expected += quad(rate, left, right, epsabs=1e-12, epsrel=1e-9)[0]
    # eight points a panel of at most 5 %: rounding; 200 panels of quad
    (found,) = detector.background(experiment, threshold)
    assert found == pytest.approx(expected, rel=1e-10)


def test_an_experiment_without_background_has_none() -> None:
    assert detector.background(nominal("darwin-nr"), 1.0).tolist() == [0.0]


def test_without_resolution_the_window_ends_where_recoils_end() -> None:
    """2 E^2/(m + 2 E) at the hep endpoint of 18.8 MeV, unless the file says otherwise."""
    assert detector.window_end(nominal("borexino-phase2")) == 700.0
    germanium = nominal("lx22-ge-gen2-nominal")
    nuclei_ = nuclei.target("Ge")
    mass = float(np.sum(nuclei_.nuclear_mass * nuclei_.abundance))
    top = detector.window_end(germanium) * KEV
    energy = 0.5 * top * (1.0 + sqrt(1.0 + 2.0 * mass / top))
    # LX22 eq. 2.17, inverted; the tabulated endpoint has four digits
    assert energy == pytest.approx(18.8, rel=2e-3)


def test_bins_without_resolution_are_logarithmic_and_meet() -> None:
    experiment = nominal("lx22-si-gen2-optimal")
    rows = detector.responses(experiment, "nr", 0.05)
    windows = np.array([row.window for row in rows])
    assert len(rows) == 20
    np.testing.assert_array_equal(windows[1:, 0], windows[:-1, 1])
    assert windows[0, 0] == pytest.approx(0.05, rel=1e-15)
    assert windows[-1, 1] == pytest.approx(detector.window_end(experiment), rel=1e-15)
    np.testing.assert_allclose(np.diff(np.log(windows)), np.log(windows[-1, 1] / 0.05) / 20)


def test_a_sharp_response_is_the_acceptance_inside_its_bin_alone() -> None:
    row = SharpResponse(nominal("darwin-nr"), "nr", 5.0, 9.0)
    curve = nominal("darwin-nr").efficiency["nr"]
    energy = np.array([4.99999, 5.0, 7.0, 9.0, 9.00001])
    seen = 0.5 * np.interp(energy, curve.energy, curve.value) * [0.0, 1.0, 1.0, 1.0, 0.0]
    np.testing.assert_allclose(row(energy), seen, rtol=1e-15)
    assert row.range() == row.window == (5.0, 9.0)
    points, weights = row.points(np.array([6.1]), 5.0, 9.0)
    assert weights[points < 6.1].sum() == pytest.approx(1.1, rel=1e-12)
    atomic = nuclei.atomic_factor("Xe", "step")
    bound = SharpResponse(nominal("darwin-er"), "er", 5.0, 9.0, atomic)
    free = SharpResponse(nominal("darwin-er"), "er", 5.0, 9.0)
    np.testing.assert_allclose(bound(energy), free(energy) * atomic(energy), rtol=1e-15)


def test_a_background_without_resolution_is_what_is_counted() -> None:
    """A flat rate times the width of each bin, whatever the efficiency."""
    experiment = nominal("lx22-xe-gen2-optimal")
    widths = [b - a for a, b in (r.window for r in detector.responses(experiment, "nr", 1.0))]
    found = detector.background(experiment, 1.0)
    np.testing.assert_allclose(found, 2.0 * np.array(widths), rtol=1e-12)
    assert found.sum() == pytest.approx(2.0 * (detector.window_end(experiment) - 1.0), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "darwin-nr",
            0.699,
            "0.699 keV_nr is given for darwin-nr; its detector model is valid from 0.7 keV_nr; "
            "raise the threshold",
        ),
        ("lz-er", 0.1, "0.1 keV_ee is given for lz-er; its detector model is valid from 0.106"),
        ("darwin-nr", np.nan, "nan keV_nr is given for darwin-nr"),
        ("darwin-nr", 0.0, "0 keV_nr is given for darwin-nr"),
        (
            "darwin-er",
            30.0,
            "30 keV_ee is given for darwin-er; its window ends at 30 keV_ee; lower the threshold",
        ),
        ("darwin-nr", 102.0, "102 keV_nr is given for darwin-nr; its window ends at 30 keV_ee"),
        ("lx22-ge-gen2-nominal", 0.009, "0.009 keV_nr is given for lx22-ge-gen2-nominal; its"),
        (
            "lx22-xe-gen2-nominal",
            5.8,
            "5.8 keV_nr is given for lx22-xe-gen2-nominal; its window ends at 5.76965 keV_nr; "
            "lower the threshold",
        ),
        (
            "xenonnt-8b-2026",
            5.0,
            "5 keV_nr is given for xenonnt-8b-2026, which measured from 0.5 keV_nr; leave the "
            "threshold out",
        ),
    ],
)
def test_thresholds_outside_the_model_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        detector.check_thresholds(nominal(name), np.array([5.0, value]), "scan.toml: threshold")
    assert str(caught.value).startswith(f"scan.toml: threshold: {message}")


def test_thresholds_inside_the_model_are_accepted() -> None:
    detector.check_thresholds(nominal("darwin-nr"), np.array([0.7, 1.0, 100.0]), "threshold")
    detector.check_thresholds(nominal("darwin-er"), np.array([0.106, 29.9]), "threshold")
