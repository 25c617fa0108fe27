"""LX22 (Li and Xia 2022, arXiv:2201.05015) on (g-2)_mu: it holds without flavors, or not at all.

Its eq. 2.15 has one interference for the whole solar flux. So has the model `Lmu-Ltau-unsplit`,
with the sign that makes it destructive; `Lmu-Ltau` splits the flux by flavor. Section 3.3 and the
abstract: "most of the experimental scenarios" cover the region of (g-2)_mu below 100 MeV, solids
and argon even above, xenon with the optimal threshold alone. By an allowed region we take 2 sigma
of 251(59)e-11, which LX22 does not say.
"""

from __future__ import annotations

from functools import lru_cache
from math import log, pi, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.constants import fine_structure

import lmltgrid
from lmltgrid.analysis.limits import as_lists
from lmltgrid.analysis.points import muon_band
from lmltgrid.tables import models
from lmltgrid.units import E_CHARGE, G_FERMI, M_MUON, M_TAU

Array = NDArray[np.float64]

MASSES = np.array([5.0, 10.0, 20.0, 35.0, 50.0, 70.0, 100.0, 150.0, 200.0])
LOW, CENTER, HIGH = muon_band(MASSES)
BELOW = MASSES <= 100.0
SPLIT, UNSPLIT = "Lmu-Ltau", "Lmu-Ltau-unsplit"
SCENARIOS = [
    (target, generation, kind)
    for target in ("ge", "si", "ar", "xe")
    for generation in ("gen2", "future")
    for kind in ("nominal", "optimal")
]


@lru_cache(maxsize=64)
def excluded(model: str, target: str, generation: str, kind: str) -> list:  # type: ignore[type-arg]
    name = f"lx22-{target}-{generation}-{kind}"
    return as_lists(lmltgrid.limits(name, mass=MASSES, model=model, couplings="low-energy"))


def covers(model: str, scenario: tuple[str, str, str], low: Array, high: Array) -> Array:
    """Whether all couplings between two are excluded, at each mass."""
    return np.array(
        [
            any(a <= low[i] and (b is None or b >= high[i]) for a, b in pairs)
            for i, pairs in enumerate(excluded(model, *scenario))
        ]
    )


def touches(model: str, scenario: tuple[str, str, str]) -> Array:
    """Whether some coupling that explains (g-2)_mu within 2 sigma is excluded."""
    return np.array(
        [
            any(a < HIGH[i] and (b is None or b > LOW[i]) for a, b in pairs)
            for i, pairs in enumerate(excluded(model, *scenario))
        ]
    )


@pytest.mark.golden
def test_the_coefficient_is_the_printed_one_at_rest() -> None:
    """alpha/(3 sqrt2 pi G_F) ln(m_tau^2/m_mu^2), of which eps e/(sqrt2 G_F) is the limit."""
    printed = fine_structure / (3.0 * sqrt(2.0) * pi * G_FERMI) * log(M_TAU**2 / M_MUON**2)
    # P20 eq. A12 at rest
    eps = E_CHARGE / (6.0 * pi**2) * log(M_MUON / M_TAU)
    assert -eps * E_CHARGE / (sqrt(2.0) * G_FERMI) == pytest.approx(printed, rel=1e-9)
    assert models.find(UNSPLIT).mixing == "loop"


@pytest.mark.golden
@pytest.mark.parametrize("kind", ["nominal", "optimal"])
@pytest.mark.parametrize("generation", ["gen2", "future"])
def test_argon_covers_the_region_below_and_above_100_mev(generation: str, kind: str) -> None:
    scenario = ("ar", generation, kind)
    assert np.all(covers(UNSPLIT, scenario, LOW, HIGH)[MASSES <= 150.0])
    assert np.all(touches(UNSPLIT, scenario))


@pytest.mark.golden
@pytest.mark.parametrize("kind", ["nominal", "optimal"])
@pytest.mark.parametrize("target", ["ge", "si"])
def test_future_solids_exclude_the_center_below_100_mev(target: str, kind: str) -> None:
    """All of the 2 sigma band only to 50 MeV, and part of it to 150 MeV."""
    scenario = (target, "future", kind)
    assert np.all(covers(UNSPLIT, scenario, CENTER, CENTER)[BELOW])
    assert np.all(covers(UNSPLIT, scenario, LOW, HIGH)[MASSES <= 50.0])
    assert not covers(UNSPLIT, scenario, LOW, HIGH)[MASSES == 100.0]
    assert np.all(touches(UNSPLIT, scenario)[MASSES <= 150.0])


@pytest.mark.snapshot
@pytest.mark.parametrize("kind", ["nominal", "optimal"])
@pytest.mark.parametrize("target", ["ge", "si"])
def test_second_generation_solids_reach_half_as_far_as_lx22_says(target: str, kind: str) -> None:
    """With 0.2 tonne years: the center to 35-55 MeV, and no coupling of the band at 100 MeV.

    Neither the number of bins (1, 20 or 60) nor the sign that LX22 prints changes that.
    """
    scenario = (target, "gen2", kind)
    center = covers(UNSPLIT, scenario, CENTER, CENTER)
    assert np.all(center[MASSES <= 35.0])
    assert not np.any(center[MASSES >= 70.0])
    assert not np.any(touches(UNSPLIT, scenario)[MASSES >= 100.0])


@pytest.mark.golden
@pytest.mark.parametrize("generation", ["gen2", "future"])
def test_xenon_needs_the_optimal_threshold(generation: str) -> None:
    """Section 3.3: with the nominal one it "cannot give competitive constraints"."""
    assert not np.any(touches(UNSPLIT, ("xe", generation, "nominal")))
    optimal = ("xe", generation, "optimal")
    assert np.all(covers(UNSPLIT, optimal, CENTER, CENTER)[BELOW])
    assert np.all(covers(UNSPLIT, optimal, LOW, HIGH)[MASSES <= 70.0])


@pytest.mark.golden
def test_most_scenarios_cover_the_center_below_100_mev_only_unsplit() -> None:
    """10 of 16, and 2 of 16 if the flux is split by flavor: those of future argon."""
    covering = {
        model: {s for s in SCENARIOS if np.all(covers(model, s, CENTER, CENTER)[BELOW])}
        for model in (UNSPLIT, SPLIT)
    }
    assert len(covering[UNSPLIT]) == 10 > len(SCENARIOS) / 2
    assert covering[SPLIT] == {("ar", "future", "nominal"), ("ar", "future", "optimal")}


@pytest.mark.snapshot
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_split_by_flavor_the_limits_are_weaker(scenario: tuple[str, str, str]) -> None:
    """Most of the interference cancels: 1.6 to 6 times, where interference is what is seen."""
    if scenario[0] == "xe" and scenario[2] == "nominal":
        return  # hep alone: the square of the new term decides, in which flavors are alike
    ratio = [
        split[0][0] / whole[0][0]
        for split, whole in zip(
            excluded(SPLIT, *scenario), excluded(UNSPLIT, *scenario), strict=True
        )
    ]
    assert min(ratio) > 1.6
    assert max(ratio) < 6.5


@pytest.mark.golden
def test_xenon1t_does_not_rule_out_what_explains_g_minus_2() -> None:
    """Section 3.3, of the 8B bound: of the unsplit model, and of the split one."""
    for model in (UNSPLIT, SPLIT):
        found = lmltgrid.limits("xenon1t-8b", mass=MASSES, model=model, couplings="low-energy")
        assert np.all(found["low"].values[:, 0] > HIGH)
