"""Borexino against P20 (Amaral et al. 2020, arXiv:2006.11225), and the physical answer beside it.

P20 prints one number per solar model, of the phase II data: eqs. 33 and 34. They follow only with
the mixing of its eqs. 7 and 8 (preset "amaral2020"); the loop is smaller by 2/3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lmltgrid
from lmltgrid.analysis import setup
from lmltgrid.analysis.limits import as_lists
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.measurement import RateMeasurement

P20: dict[str, Any] = {"model": "Lmu-Ltau", "oscillation": "nufit40"}
HEAVY = 1000.0  # MeV, far above the momentum transfer of 0.8 MeV
PER_DAY_100_T = 365.25 / 100.0


def bound(phase: int, metallicity: str, mixing: str) -> float:
    """g/M per GeV, of the one interval there is."""
    found = lmltgrid.limits(
        f"borexino-phase{phase}", mass=[HEAVY], metallicity=metallicity, mixing=mixing, **P20
    )
    ((low, high),) = as_lists(found)[0]
    assert low is not None
    assert high is None
    return low / (HEAVY * 1e-3)


@pytest.mark.golden
@pytest.mark.parametrize(("metallicity", "printed"), [("GS98", 0.036), ("AGSS09met", 0.043)])
def test_phase_2_excludes_what_p20_says(metallicity: str, printed: float) -> None:
    """P20 eqs. 33 and 34; half of the last digit is 1.4 %, the solar model another 1 %."""
    assert bound(2, metallicity, "amaral2020") == pytest.approx(printed, rel=0.03)


@pytest.mark.golden
def test_a_metal_poor_sun_leaves_more_room() -> None:
    """P20 section III.1: less 7Be is predicted, so that more new physics is allowed."""
    for phase in (1, 2):
        for mixing in ("amaral2020", "loop"):
            assert bound(phase, "AGSS09met", mixing) > 1.1 * bound(phase, "GS98", mixing)


@pytest.mark.snapshot
@pytest.mark.parametrize(
    ("phase", "metallicity", "ours"),
    [
        (1, "GS98", 0.03715),
        (1, "AGSS09met", 0.04306),
        (2, "GS98", 0.03642),
        (2, "AGSS09met", 0.04257),
    ],
)
def test_bounds_of_both_phases(phase: int, metallicity: str, ours: float) -> None:
    """P20 finds phase I the stronger; compared with its own line alone it is not, by 1 to 2 %."""
    # half of the last digit
    assert bound(phase, metallicity, "amaral2020") == pytest.approx(ours, abs=0.6e-5)


def test_phase_1_is_the_stronger_if_both_lines_are_compared_with_it() -> None:
    """P20 section IV: "less constraining" data of phase II, if nothing tells the lines apart."""
    spec = catalog()["borexino-phase1"].spec
    assert spec.measured_rate is not None
    setting = setup.conventions(mixing="amaral2020", **P20)
    found = setup.rates(catalog()["borexino-phase2"], setting, np.array([HEAVY]), None)
    missing, error = spec.measured_rate.pull(float(found.null[0]), 0.0)
    c1, c2 = found.quadratic[0, :, 0]
    # both missing counts and interference are negative: the minimum is at the vertex or before it
    least = max(missing, -(c1**2) / (4.0 * c2)) - missing
    level = missing + np.hypot(error * np.sqrt(2.70554), least)
    g = np.sqrt((-c1 + np.sqrt(c1**2 + 4.0 * c2 * level)) / (2.0 * c2))
    assert g / (HEAVY * 1e-3) < bound(2, "GS98", "amaral2020") < bound(1, "GS98", "amaral2020")


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "measured", "errors", "reaction"),
    [
        ("borexino-phase1", 46.0, (1.5, 1.6), "7Be-862"),
        ("borexino-phase2", 48.3, (1.1, 0.7), "7Be"),
    ],
)
def test_measured_rates_are_those_of_the_collaboration(
    name: str, measured: float, errors: tuple[float, float], reaction: str
) -> None:
    """Counts per day and 100 t; statistical and (larger) systematic error in quadrature."""
    spec = catalog()[name].spec
    assert spec.measured_rate is not None
    # the files have eight and six digits
    rate, error = spec.measured_rate.rate_per_tonne_year, spec.measured_rate.error_per_tonne_year
    assert rate == pytest.approx(measured * PER_DAY_100_T, rel=1e-8)
    assert error == pytest.approx(np.hypot(*errors) * PER_DAY_100_T, rel=1e-5)
    assert spec.measured_rate.theory_fraction == 0.058
    assert (spec.test, spec.reactions) == ("rate", (reaction,))


def test_a_pull_has_the_error_of_the_difference() -> None:
    rate = RateMeasurement(rate_per_tonne_year=10.0, error_per_tonne_year=3.0, theory_fraction=0.5)
    assert rate.pull(8.0, 0.0) == (2.0, 5.0)
    assert rate.pull(6.0, 2.0) == (2.0, 5.0)
    # a fitted background may hold the neutrinos of the Standard Model already
    fitted = rate.model_copy(update={"background_holds_neutrinos": True})
    assert fitted.pull(6.0, 8.0) == (2.0, 5.0)


@pytest.mark.snapshot
@pytest.mark.parametrize(
    ("phase", "metallicity", "ours"),
    [
        (2, "GS98", 48.71),
        (2, "AGSS09met", 44.45),
        (1, "GS98", 46.81),
        (1, "AGSS09met", 42.72),
    ],
)
def test_rates_of_the_standard_model(phase: int, metallicity: str, ours: float) -> None:
    """Counts per day and 100 t of beryllium neutrinos, to half of the last digit."""
    setting = setup.conventions(metallicity=metallicity, **P20)
    found = setup.rates(catalog()[f"borexino-phase{phase}"], setting, np.array([HEAVY]), None)
    assert float(found.null[0]) / PER_DAY_100_T == pytest.approx(ours, abs=0.006)


def test_the_lower_line_of_beryllium_adds_4_percent() -> None:
    """10.44 % of the flux at 384 keV, where the cross section is about 0.36 of that at 862 keV."""
    setting = setup.conventions(**P20)
    both, one = (
        float(
            setup.rates(catalog()[f"borexino-phase{n}"], setting, np.array([HEAVY]), None).null[0]
        )
        for n in (2, 1)
    )
    assert both / one - 1.0 == pytest.approx(0.1044 / 0.8956 * 0.36, rel=0.05)


@pytest.mark.parametrize("metallicity", ["GS98", "AGSS09met"])
def test_the_loop_gives_the_weaker_physical_limit(metallicity: str) -> None:
    """Counts go as (g^2 eps/g)^2: half a power of the ratio 69.286/46.191 of the mixings in g.

    The interference, linear in eps, is a few percent of the change and moves g by half of that.
    """
    ratio = bound(2, metallicity, "loop") / bound(2, metallicity, "amaral2020")
    assert ratio == pytest.approx(np.sqrt(69.286 / 46.191), rel=2e-3)


@pytest.mark.parametrize("model", ["B-L", "universal", "Le-Lmu", "B-3Le"])
def test_couplings_of_the_electron_are_tested_without_a_loop(model: str) -> None:
    """Charged electrons scatter at tree level: at least 20 times the reach of Lmu-Ltau."""
    found = lmltgrid.limits("borexino-phase2", model=model, mass=[HEAVY])
    ends = [low for low, _ in as_lists(found)[0] if low]
    assert ends
    assert min(ends) / (HEAVY * 1e-3) < bound(2, "GS98", "loop") / 20.0
