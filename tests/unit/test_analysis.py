"""Limits, contours, discovery and answers for one point."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammainc, gammaincc

from lmltgrid.analysis import discovery, limits, points, setup
from lmltgrid.errors import SpecificationError, UnknownNameError

P21 = {"oscillation": "amaral2021", "mixing": "amaral2021"}
DARWIN = {"experiment": "darwin-nr", "threshold": 1.0}


def counts_at(mass, coupling, **options):
    found = points.events(mass=mass, coupling=coupling, **DARWIN, **options)
    null = float((found["sm"] + found["background"]).sum())
    return null, null + float(found["signal"].sum())


@pytest.mark.parametrize(("model", "sided"), [("Lmu-Ltau", "two"), ("Lmu", "two"), ("B-L", "one")])
def test_every_end_of_a_limit_solves_the_tail_equation(model, sided):
    found = limits.limits(mass=[3.0, 80.0], model=model, sided=sided, **DARWIN)
    ends = 0
    for i, mass in enumerate((3.0, 80.0)):
        for end in (*found["low"].values[i], *found["high"].values[i]):
            if np.isfinite(end):
                null, mu = counts_at(mass, end, model=model)
                tail = gammaincc(null + 1, mu) if mu > null else gammainc(null, mu)
                # roots are exact in g; the rest is rounding in counts of a thousand
                assert tail == pytest.approx(0.1, rel=1e-6)
                ends += 1
    assert ends >= 2


def test_destructive_interference_leaves_a_strip():
    found = limits.limits(mass=[10.0], model="Lmu", **DARWIN, **P21)
    (low, high), (second, opened) = limits.as_lists(found)[0]
    assert low < high < second
    assert opened is None
    null, inside = counts_at(10.0, np.sqrt(high * second), model="Lmu", **P21)
    assert gammaincc(null + 1, inside) > 0.1
    assert gammainc(null, inside) > 0.1


def test_one_sided_limit_ignores_a_deficit():
    found = limits.limits(mass=[10.0], model="Lmu", sided="one", **DARWIN, **P21)
    assert len(limits.as_lists(found)[0]) == 1


def test_discovery_and_limits_agree_on_the_boundary():
    line = discovery.discovery(mass=15.0, coupling=5e-4, threshold=[1.0], **P21)
    exposure = float(line["exposure"][0])
    found = limits.limits(mass=[15.0], test="discovery", exposure=exposure, **DARWIN, **P21)
    assert float(found["low"][0, 0]) == pytest.approx(5e-4, rel=1e-9)


def test_discovery_is_never_where_there_is_no_excess():
    line = discovery.discovery(mass=15.0, coupling=5e-4, threshold=[1.0], model="Lmu", **P21)
    assert np.isnan(line["exposure"].values).all()
    both = discovery.discovery(
        mass=15.0, coupling=5e-4, threshold=[1.0], model="Lmu", sided="two", **P21
    )
    assert np.isfinite(both["exposure"].values).all()


def test_contours_close_and_pass_through_the_limits():
    masses = np.geomspace(1.0, 300.0, 12)
    found = limits.contours(mass=masses, coupling=[1e-5, 1e-2], model="Lmu", **DARWIN, **P21)
    exact = limits.limits(mass=masses, model="Lmu", **DARWIN, **P21)
    assert found["mass"].dims == found["coupling"].dims == ("region", "vertex")
    assert (found["mass"].attrs["units"], found.attrs["model"]) == ("MeV", "Lmu")
    assert set(found["kind"].values) == {"excess", "deficit"}
    assert found["mass"].isnull().any()  # outlines of different lengths
    ends = np.concatenate([exact["low"].values.ravel(), exact["high"].values.ravel()])
    for _, outline in limits.outlines(found):
        np.testing.assert_array_equal(outline[0], outline[-1])
        assert outline[:, 1].min() >= 1e-5
        assert outline[:, 1].max() <= 1e-2
        on_axis = outline[np.isin(outline[:, 0], masses)][:, 1]
        inner = on_axis[(on_axis > 1e-5) & (on_axis < 1e-2)]
        assert all(np.isclose(ends, g, rtol=1e-12).any() for g in inner)


def test_no_region_is_an_empty_dataset():
    found = limits.contours(mass=[1.0, 300.0], coupling=[1e-9, 1e-8], **DARWIN, **P21)
    assert dict(found.sizes) == {"region": 0, "vertex": 0}
    assert limits.outlines(found) == []


def test_a_region_ends_where_its_branch_leaves_the_plane():
    found = limits.contours(mass=[1.0, 300.0], coupling=[1e-5, 1e-3], **DARWIN, **P21)
    assert found.sizes["region"] == 1
    tip = float(found["mass"].max())
    assert 1.0 < tip < 300.0
    at_tip = limits.limits(mass=[tip], **DARWIN, **P21)
    # the bisection stops at 1/4096 of the step in log mass
    assert float(at_tip["low"][0, 0]) == pytest.approx(1e-3, rel=2e-3)


def test_events_scale_with_exposure_and_keep_the_sign_of_the_signal():
    one = points.events(mass=15, coupling=5e-4, model="Lmu", exposure=1.0, **DARWIN, **P21)
    ten = points.events(mass=15, coupling=5e-4, model="Lmu", exposure=10.0, **DARWIN, **P21)
    for name in ("sm", "signal", "background"):
        np.testing.assert_allclose(ten[name], 10.0 * one[name], rtol=1e-14)
    assert float(one["signal"].sum()) < 0.0


def test_answers_carry_units_and_every_setting():
    found = points.spectrum(recoil_energy=[0.5, 1.0], mass=15, coupling=5e-4, channel="er")
    assert found["rate"].attrs["units"] == "1/(t yr keV)"
    assert found["recoil_energy"].attrs["energy_scale"] == "electron_equivalent"
    for key in ("model", "mixing", "metallicity", "oscillation", "atomic", "couplings"):
        assert key in found.attrs


def test_oscillation_knows_the_names_of_the_reactions():
    found = points.oscillations("8B", energy=[1.0, 10.0])
    total = found["p_e"] + found["p_mu"] + found["p_tau"]
    np.testing.assert_allclose(total, 1.0, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: setup.conventions("Lmu-Ltaw"), UnknownNameError, "did you mean 'Lmu-Ltau'?"),
        (lambda: setup.conventions(metallicity="GS89"), UnknownNameError, "did you mean 'GS98'?"),
        (lambda: setup.conventions(mixing="lop"), UnknownNameError, "did you mean 'loop'?"),
        (lambda: setup.conventions(mixing="nan"), SpecificationError, "eps/g must be finite"),
        (lambda: setup.axis([], "mass", unit="MeV"), SpecificationError, "no value is given"),
        (lambda: setup.axis([1, -2], "mass", unit="MeV"), SpecificationError, "mass: -2 is given"),
        (lambda: limits.limits(mass=[1], cl=1.2), SpecificationError, "between 0.5 and 1"),
        (lambda: limits.limits(mass=[1], test="x"), UnknownNameError, "unknown test 'x'"),
        (lambda: points.events(mass=1, coupling=1e-4, threshold=0.1), SpecificationError, "valid from 0.7"),
        (lambda: points.spectrum(recoil_energy=1, mass=1, coupling=1, target="Xenon"), UnknownNameError, "Known: Ar, C, C3F8, CS2"),
        (lambda: points.spectrum(recoil_energy=1, mass=1, coupling=1, target="Si", channel="er"), SpecificationError, "use 'free'"),
        (lambda: limits.contours(mass=[2, 1], coupling=[1e-5, 1e-3]), SpecificationError, "sort them"),
    ],
)  # fmt: skip
def test_refusals_are_one_clear_sentence(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("mass", "central"), [(1e-3, 4.452e-4), (10, 5.032e-4), (25, 5.815e-4), (100, 9.462e-4)]
)
def test_muon_g_minus_2_band(mass, central):
    """Half of the last digit of the four that were given."""
    low, middle, high = points.muon_band([mass])
    assert middle[0] == pytest.approx(central, abs=0.6e-7)
    assert low[0] < middle[0] < high[0]


@pytest.mark.golden
@pytest.mark.parametrize(
    ("mass", "coupling", "pull"),
    [(15, 5e-4, -0.47), (25, 6e-4, 0.28), (50, 6e-4, -1.17), (100, 1e-3, 0.50)],
)
def test_benchmarks_of_p21_lie_in_the_band(mass, coupling, pull):
    """P21 Table 1; the pulls were given with two digits."""
    value, error = points.DELTA_A_MU["P21"]
    shift = (points.delta_a_mu(mass, coupling) * 1e11 - value) / error
    assert float(shift) == pytest.approx(pull, abs=0.01)


def test_another_exposure_than_that_of_a_measurement_is_refused() -> None:
    with pytest.raises(SpecificationError) as caught:
        limits.limits("xenonnt-8b-2026", mass=[10.0], exposure=100.0)
    assert str(caught.value) == (
        "exposure: 100 tonne year is given for xenonnt-8b-2026, which measured in 6.76666 tonne "
        "year; leave it out"
    )
