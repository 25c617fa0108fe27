"""When a coupling is excluded: every branch of every statistic, against a dense scan."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincc

from lmltgrid.analysis import criteria
from lmltgrid.analysis.level import Level
from lmltgrid.analysis.roots import Interval
from lmltgrid.analysis.setup import Rates
from lmltgrid.errors import SpecificationError, UnknownNameError
from lmltgrid.kernels.chisquare import least_squares
from lmltgrid.state import GridState, evaluate
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.measurement import RateMeasurement
from lmltgrid.tables.recoils import SolarExperiment as Experiment

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

EXPOSURE = 7.0
LEVEL = Level()
LEAST = "lx22-ge-gen2-optimal"
RATE = "borexino-phase2"
COUNT = "darwin-nr"
SEEDS = range(6)


def found_rates(seed: int, bins: int, strip: bool) -> Rates:
    """Rates of an invented experiment at four masses, with both signs of the interference.

    With ``strip`` the Standard Model and the mediator cancel at nearly the same coupling in every
    bin, so that a strip inside the excluded couplings is allowed.
    """
    rng = np.random.default_rng(seed)
    c0 = rng.uniform(1.0, 60.0, (bins, 1)) * np.ones(4)
    c2 = 10.0 ** rng.uniform(5.0, 9.0, (1, 4)) * rng.uniform(0.5, 2.0, (bins, 1))
    if strip:
        spread = rng.uniform(0.97, 1.03, (bins, 4)) if bins > 1 else 1.0
        c1 = -1.8 * spread * np.sqrt(c0[0] * c2[0]) * c2 / c2[0]
    else:
        c1 = rng.uniform(-2.0, 2.0, (bins, 4)) * np.sqrt(c0 * c2)
    coefficients = np.stack([c0, c1, c2], axis=1)[None]
    background = rng.uniform(0.0, 3.0, (1, bins))
    return Rates(coefficients, background, np.zeros((1, bins, 2)))


def statistic(experiment: Experiment, rates: Rates, mass: int, x: Array) -> Array:
    """The chi-square of each x, summed bin by bin, less its minimum over x >= 0."""
    c0, c1, c2 = (rates.coefficients[0, :, order, mass][:, None] for order in range(3))
    change = x * (c1 + x * c2)
    if experiment.spec.test == "least-squares":
        return np.asarray(EXPOSURE * (change**2 / (c0 + rates.background[0][:, None])).sum(axis=0))
    measured = experiment.spec.measured_rate
    assert measured is not None
    predicted = float((c0[:, 0] + rates.background[0]).sum())
    error = np.hypot(measured.error_per_tonne_year, measured.theory_fraction * predicted)
    distance = measured.rate_per_tonne_year - predicted - change.sum(axis=0)
    return np.asarray((distance / error) ** 2)


def measured(rates: Rates, missing: float) -> Experiment:
    """An experiment that measured the expected rate and a part ``missing`` of it more."""
    base = catalog()[RATE]
    rate = RateMeasurement(
        rate_per_tonne_year=float(rates.null[0]) * (1.0 + missing),
        error_per_tonne_year=0.04 * float(rates.null[0]),
        theory_fraction=0.05,
    )
    return replace(base, spec=base.spec.model_copy(update={"measured_rate": rate}))


def cases() -> list[tuple[Experiment, Rates]]:
    out = []
    for seed in SEEDS:
        for strip in (False, True):
            out.append((catalog()[LEAST], found_rates(seed, 5, strip)))
            single = found_rates(seed, 1, strip)
            out.extend((measured(single, missing), single) for missing in (-0.15, 0.0, 0.2))
    return out


def scale(rates: Rates, mass: int) -> Array:
    """Values of x around the one at which the mediator doubles the counts."""
    c2 = rates.coefficients[0, :, 2, mass].sum()
    return np.asarray(np.geomspace(1e-4, 1e4, 20_000) * np.sqrt(rates.null[0] / c2))


def inside(x: Array, found: list[Interval]) -> Mask:
    out = np.zeros(x.size, dtype=bool)
    for low, high in found:
        out |= (x > low**2) & (x < high**2)
    return out


def near_an_end(x: Array, found: list[Interval]) -> Mask:
    ends = np.array([end for pair in found for end in pair if 0.0 < end < np.inf])
    if not ends.size:
        return np.zeros(x.size, dtype=bool)
    return np.asarray((np.abs(x[:, None] / ends**2 - 1.0) < 1e-9).any(axis=1))


def minimum(experiment: Experiment, rates: Rates, mass: int) -> float:
    """The least chi-square: without coupling, where its slope is zero, or where it is zero."""
    candidates = [0.0]
    measurement = experiment.spec.measured_rate
    if measurement is not None:
        _, c1, c2 = rates.coefficients[0, :, :, mass].sum(axis=0)
        missing = measurement.rate_per_tonne_year - float(rates.null[0])
        roots = np.concatenate([np.roots([2.0 * c2, c1]), np.roots([c2, c1, -missing])])
        candidates += [root.real for root in roots if root.imag == 0.0 and root.real > 0.0]
    return float(statistic(experiment, rates, mass, np.array(candidates)).min())


def test_every_end_of_an_interval_solves_the_equation() -> None:
    ends, strips = 0, 0
    for experiment, rates in cases():
        for mass, found in enumerate(criteria.intervals(experiment, rates, EXPOSURE, LEVEL)):
            strips += len(found) > 1
            least = minimum(experiment, rates, mass)
            for end in (e for pair in found for e in pair if 0.0 < e < np.inf):
                rise = statistic(experiment, rates, mass, np.array([end**2]))[0] - least
                assert rise == pytest.approx(LEVEL.delta_chi2, rel=1e-9)
                ends += 1
    assert ends > 200
    assert strips > 20


def test_no_branch_is_missed() -> None:
    """What the intervals leave out is allowed, and what they hold is excluded, at 20000 points."""
    for experiment, rates in cases():
        for mass, found in enumerate(criteria.intervals(experiment, rates, EXPOSURE, LEVEL)):
            x = scale(rates, mass)
            values = statistic(experiment, rates, mass, x)
            least = minimum(experiment, rates, mass)
            assert values.min() >= least * (1.0 - 1e-12)
            sure = ~near_an_end(x, found)
            excluded = values - least > LEVEL.delta_chi2
            np.testing.assert_array_equal(inside(x, found)[sure], excluded[sure])
            for (_, high), (low, _) in pairwise(found):
                assert high < low


def test_a_count_is_excluded_where_either_tail_is_improbable() -> None:
    for seed in SEEDS:
        rates = found_rates(seed, 1, strip=True)
        null = EXPOSURE * float(rates.null[0])
        for mass, found in enumerate(criteria.intervals(catalog()[COUNT], rates, EXPOSURE, LEVEL)):
            x = scale(rates, mass)[::100]
            mu = null + EXPOSURE * x * (
                rates.quadratic[0, 0, mass] + x * rates.quadratic[0, 1, mass]
            )
            tail = np.minimum(gammaincc(null + 1.0, mu), gammainc(null, mu))
            sure = ~near_an_end(x, found)
            np.testing.assert_array_equal(inside(x, found)[sure], (tail < 0.1)[sure])


def test_levels_are_those_of_the_tables() -> None:
    """PDG, Statistics, table of Delta chi-square: 2.71 and 4.61 at 90 %, 2.30 and 6.18."""
    assert Level().delta_chi2 == pytest.approx(2.71, abs=0.005)
    assert Level(dof=2).delta_chi2 == pytest.approx(4.61, abs=0.005)
    assert Level(cl=0.6827, dof=2).delta_chi2 == pytest.approx(2.30, abs=0.005)
    assert Level(cl=0.9545, dof=2).delta_chi2 == pytest.approx(6.18, abs=0.005)
    assert Level(cl=0.6827).delta_chi2 == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("name", [LEAST, RATE])
def test_more_degrees_of_freedom_exclude_less(name: str) -> None:
    rates = found_rates(3, 1, strip=False)
    experiment = catalog()[name] if name == LEAST else measured(rates, 0.0)
    one, two = (criteria.intervals(experiment, rates, EXPOSURE, Level(dof=dof)) for dof in (1, 2))
    for near, far in zip(one, two, strict=True):
        assert near[-1][0] < far[-1][0]
        assert near[-1][1] == far[-1][1] == np.inf


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        (LEAST, 0.0),
        (COUNT, 0.0),
        (RATE, -0.2),
        (RATE, 0.0),
        (RATE, 0.2),
    ],
)
@pytest.mark.parametrize("cl", [0.6, 0.9, 0.99])
def test_a_blind_experiment_excludes_nothing(name: str, missing: float, cl: float) -> None:
    rates = found_rates(1, 1, strip=False)
    rates.coefficients[:, :, 1:] = 0.0
    experiment = measured(rates, missing) if name == RATE else catalog()[name]
    assert criteria.intervals(experiment, rates, EXPOSURE, Level(cl=cl)) == [[], [], [], []]


def test_a_mediator_without_interference_has_one_open_interval() -> None:
    rates = found_rates(2, 5, strip=False)
    rates.coefficients[:, :, 1] = 0.0
    for name in (LEAST, COUNT):
        for found in criteria.intervals(catalog()[name], rates, EXPOSURE, LEVEL):
            ((low, high),) = found
            assert low > 0.0
            assert high == np.inf


@pytest.mark.parametrize("name", [LEAST, COUNT])
def test_more_exposure_excludes_more(name: str) -> None:
    """But not a measured rate, whose error is what it is."""
    rates = found_rates(4, 3, strip=False)
    few, many = (criteria.intervals(catalog()[name], rates, t, LEVEL) for t in (1.0, 30.0))
    for a, b in zip(few, many, strict=True):
        assert b[0][0] < a[0][0]
    same = [criteria.intervals(measured(rates, 0.0), rates, t, LEVEL) for t in (1.0, 30.0)]
    assert same[0] == same[1]


def grid_of(rates: Rates, experiment: Experiment, coupling: Array) -> Array:
    """The significance of a grid made of the same rates, shape (exposure, mass, coupling)."""
    least = experiment.spec.test == "least-squares"
    state = GridState(
        coefficients=rates.coefficients.sum(axis=1)[None, None, None],
        boron=None,
        background=rates.background.sum(axis=1),
        exposure=np.array([EXPOSURE, 4.0 * EXPOSURE]),
        coupling=coupling,
        test="exclusion",
        sided="two",
        statistic=experiment.spec.test,
        sums=least_squares(rates.coefficients, rates.background)[None, None, None]
        if least
        else None,
        own_exposure=EXPOSURE,
        flux_error=None,
        likelihood=None,
        bins=None,
        least=None,
        measurement=experiment.spec.measurement,
        dtype="float64",
    )
    sizes = (1, 1, 1, 1, 2, rates.coefficients.shape[-1], coupling.size)
    found = evaluate(state, tuple(slice(0, n) for n in sizes))["significance"]
    return np.asarray(found[0, 0, 0, 0], dtype=np.float64)


@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_grid_crosses_the_level_where_the_intervals_end(seed: int, strip: bool) -> None:
    for bins, missing in ((5, None), (1, -0.15), (1, 0.0), (1, 0.2)):
        rates = found_rates(seed, bins, strip)
        experiment = catalog()[LEAST] if missing is None else measured(rates, missing)
        every = criteria.intervals(experiment, rates, EXPOSURE, LEVEL)
        for mass, found in enumerate(every):
            ends = np.array([e for pair in found for e in pair if 0.0 < e < np.inf])
            sigma = grid_of(rates, experiment, ends)
            # ends are right to 1e-9 in the chi-square, and its root halves that
            np.testing.assert_allclose(sigma[0, mass], np.sqrt(LEVEL.delta_chi2), rtol=1e-9)
            # least squares grow with the exposure, a measured rate does not
            growth = 2.0 if missing is None else 1.0
            np.testing.assert_allclose(sigma[1, mass], growth * sigma[0, mass], rtol=1e-13)


@pytest.mark.parametrize("name", [LEAST, RATE])
def test_the_grid_is_the_root_of_the_rise(name: str) -> None:
    rates = found_rates(5, 1, strip=True)
    experiment = catalog()[LEAST] if name == LEAST else measured(rates, 0.2)
    for mass in range(4):
        x = scale(rates, mass)[::400]
        sigma = grid_of(rates, experiment, np.sqrt(x))[0, mass]
        # the measured rate is within reach, so that the minimum is zero for both
        values = statistic(experiment, rates, mass, x)
        np.testing.assert_allclose(sigma, np.sqrt(values), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [LEAST, RATE])
def test_only_a_count_discovers(name: str) -> None:
    rates = found_rates(1, 1, strip=False)
    with pytest.raises(SpecificationError) as caught:
        criteria.intervals(catalog()[name], rates, EXPOSURE, Level("discovery"))
    statistic_name = catalog()[name].spec.test
    assert str(caught.value) == (
        f"test: discovery is asked of {name}, whose statistic is {statistic_name}; only counting "
        "experiments discover; ask for an exclusion"
    )
    assert criteria.intervals(catalog()[COUNT], rates, EXPOSURE, Level("discovery"))


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"dof": 0}, SpecificationError, "dof: 0 is given; degrees of freedom are 1 to 100"),
        ({"dof": 101}, SpecificationError, "dof: 101 is given; degrees of freedom are 1 to 100"),
        ({"dof": -2}, SpecificationError, "dof: -2 is given"),
        ({"cl": 0.5}, SpecificationError, "cl: 0.5 is given; it must lie between 0.5 and 1"),
        ({"cl": 1.0}, SpecificationError, "cl: 1 is given; it must lie between 0.5 and 1"),
        ({"cl": np.nan}, SpecificationError, "cl: nan is given; it must lie between 0.5 and 1"),
        ({"sigmas": 0.0}, SpecificationError, "sigmas: 0 is given; it must be positive"),
        ({"test": "exclusoin"}, UnknownNameError, "did you mean 'exclusion'?"),
        ({"sided": "three"}, UnknownNameError, "unknown sided 'three'"),
    ],
)
def test_levels_that_are_none_are_refused(
    asked: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        Level(**asked)
    assert words in str(caught.value)


def test_answers_say_which_test_was_made() -> None:
    least = Level(dof=2).as_dict(catalog()[LEAST])
    assert least["statistic"] == "least-squares"
    assert (least["cl"], least["dof"]) == (0.9, 2)
    assert least["delta_chi2"] == pytest.approx(4.605, abs=1e-3)
    assert "sided" not in least
    count = Level().as_dict(catalog()[COUNT])
    assert (count["statistic"], count["sided"], count["cl"]) == ("counting", "two", 0.9)
    assert "dof" not in count
