"""Pseudo-experiments of a grid: what decides them, and what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from lmltgrid import grid, layouts, state, toys
from lmltgrid.analysis.toys import calibrated_limits
from lmltgrid.errors import SpecificationError
from lmltgrid.lazy import virtual
from lmltgrid.spec import ScanSpec, validate
from lmltgrid.variables import TOY_VARIABLES

BASE: dict[str, Any] = {
    "models": ["B-L", "Lmu-Ltau"],
    "experiments": ["darwin-nr"],
    "mass": {"values": [3.0, 30.0]},
    "coupling": {"values": [1e-5, 3e-5, 1e-4]},
    "statistic": {"test": "exclusion"},
    "toys": {"number": 100, "levels": [0.68, 0.9]},
}
NAMES = tuple(variable.name for variable in TOY_VARIABLES)
# one of each statistic: a count, one with an uncertain flux, a rate, a flux, a measured count,
# least squares and these with an uncertain flux, bins that are expected or measured, sums
KINDS: tuple[tuple[str, float | None], ...] = (
    ("darwin-nr", None),
    ("darwin-nr", 0.04),
    ("borexino-phase2", None),
    ("lz-8b", None),
    ("xenonnt-8b-2026", None),
    ("lx22-xe-future-nominal", None),
    ("lx22-xe-future-nominal", 0.04),
    ("cenns610", None),
    ("coherent-ar-2020", None),
    ("nubdx-drift", None),
    ("na64mu", None),
    ("cenns610+darwin-nr@1", None),
)


def scan(**changes: Any) -> ScanSpec:
    return validate(ScanSpec, BASE | changes, "scan.toml")


def asked(name: str, flux: float | None, parameters: int = 1) -> dict[str, Any]:
    statistic = {"test": "exclusion"} | ({} if flux is None else {"flux_error": flux})
    drawn = BASE["toys"] | {"parameters": parameters}
    return {"experiments": [name], "statistic": statistic, "toys": drawn}


def made(spec: ScanSpec) -> tuple[grid.GridPlan, toys.ToyState]:
    plan = grid.make_plan(spec)
    experiment = plan.experiments[0]
    moments = grid.compute_moments(plan)[experiment.name]
    return plan, toys.make_state(moments, plan.models, spec, plan.exposures(experiment))


def whole(own: toys.ToyState) -> dict[str, np.ndarray]:
    shape = own.coefficients.shape
    sizes = (*shape[:4], own.exposure.size, shape[-1], own.coupling.size)
    return toys.evaluate(own, tuple(slice(0, size) for size in sizes))


@pytest.mark.parametrize(("name", "flux"), KINDS)
@pytest.mark.parametrize("parameters", [1, 2])
def test_every_statistic_and_any_chunk(name: str, flux: float | None, parameters: int) -> None:
    """A chunk of one point holds the bits of the whole; the data are those of the grid."""
    changes = asked(name, flux, parameters) | {"models": ["B-L"], "mass": {"values": [30.0]}}
    spec = scan(**changes)
    plan, own = made(spec)
    every = whole(own)
    assert own.coefficients.shape[4] == plan.experiments[0].n_bins
    assert set(every) == set(NAMES)
    for j in range(3):
        one = toys.evaluate(own, (*(slice(0, 1),) * 6, slice(j, j + 1)))
        for variable in NAMES:
            part = every[variable][:, :, :, :, :, :, j : j + 1]
            assert one[variable].tobytes() == part.tobytes()
    assert np.all(every["failed"] == 0.0)
    assert np.all((every["p_value"] >= 0.0) & (every["p_value"] <= 1.0))
    assert np.all(np.diff(every["quantile"], axis=-1) >= 0.0)
    if parameters == 1 and plan.experiments[0].data == "expected" and name != "darwin-nr":
        moments = grid.compute_moments(plan)[name]
        exposure = plan.exposures(plan.experiments[0])
        sigma = state.evaluate(
            state.make_state(moments, plan.models, spec, exposure),
            (*(slice(0, 1),) * 6, slice(0, 3)),
        )["significance"]
        np.testing.assert_allclose(every["statistic"], sigma**2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["borexino-phase2", "xenonnt-8b-2026", "lz-8b"])
def test_the_statistic_of_measured_data_is_that_of_the_grid(name: str) -> None:
    plan, own = made(scan(**asked(name, None)))
    moments = grid.compute_moments(plan)[name]
    known = state.make_state(moments, plan.models, plan.spec, own.exposure)
    index = tuple(slice(0, size) for size in plan.shape(plan.experiments[0]))
    sigma = state.evaluate(known, index)["significance"]
    np.testing.assert_allclose(whole(own)["statistic"], sigma**2, rtol=1e-4, atol=1e-6)


def test_the_minimum_of_measured_bins_is_that_at_the_mass() -> None:
    """A grid counts from the least chi-square of the whole plane, which is not above it."""
    plan, own = made(scan(**asked("coherent-csi-2021", None) | {"models": ["B-L"]}))
    moments = grid.compute_moments(plan)["coherent-csi-2021"]
    known = state.make_state(moments, plan.models, plan.spec, own.exposure)
    index = tuple(slice(0, size) for size in plan.shape(plan.experiments[0]))
    above = state.evaluate(known, index)["significance"].astype(float) ** 2
    t = whole(own)["statistic"]
    assert np.all(t <= above + 1e-4)
    apart = above - t
    np.testing.assert_allclose(apart[..., :, 0], apart[..., :, 2], atol=1e-4)  # by mass alone
    plan, free = made(scan(**asked("coherent-csi-2021", None, 2) | {"models": ["B-L"]}))
    # the masses that a fit may choose are not polished, as those of the plane are
    np.testing.assert_allclose(whole(free)["statistic"], above, atol=0.15)


@pytest.mark.parametrize("name", ["darwin-nr", "cenns610"])
def test_a_point_does_not_depend_on_the_others(name: str) -> None:
    changes = asked(name, None)
    _, own = made(scan(**changes))
    more = {"mass": {"values": [1.0, 3.0, 10.0, 30.0]}, "models": ["Lmu-Ltau", "B-L"]}
    _, wide = made(scan(**changes | more | {"coupling": {"values": [1e-6, 3e-5]}}))
    few, many = whole(own), whole(wide)
    for variable in NAMES:
        left = few[variable][:, :, :, :, :, :, 1]
        right = many[variable][::-1, :, :, :, :, 1::2][:, :, :, :, :, :, 1]
        # moments of other masses are rounded otherwise, which a count does not see
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9)


def test_what_decides_the_random_numbers() -> None:
    _, own = made(scan())
    here = toys.point(own, (0, 0, 0, 0, 0, 0), 1e-5)
    assert here.tolist() == toys.point(own, (0, 0, 0, 0, 0, 0), 1e-5 * (1.0 + 1e-15)).tolist()
    others = [
        toys.point(own, (1, 0, 0, 0, 0, 0), 1e-5),
        toys.point(own, (0, 0, 0, 0, 0, 1), 1e-5),
        toys.point(own, (0, 0, 0, 0, 0, 0), 1.0001e-5),
        toys.point(made(scan(toys={"number": 100, "seed": 2, "levels": [0.9]}))[1], (0,) * 6, 1e-5),
    ]
    assert len({tuple(words.tolist()) for words in [here, *others]}) == 5
    assert here.min() >= 0
    assert here.max() < 2**32


def test_more_experiments_begin_with_the_same() -> None:
    """Their number does not name the point; that each has its own stream is tested elsewhere."""
    few, many = (made(scan(toys={"number": n, "levels": [0.9]}))[1] for n in (100, 200))
    assert toys.point(few, (0,) * 6, 1e-5).tolist() == toys.point(many, (0,) * 6, 1e-5).tolist()


def test_a_fit_of_the_mass_finds_no_less() -> None:
    for name in ("darwin-nr", "borexino-phase2", "cenns610"):
        one = whole(made(scan(**asked(name, None, 1)))[1])
        two = whole(made(scan(**asked(name, None, 2)))[1])
        for variable in ("statistic", "quantile"):
            assert np.all(two[variable] >= one[variable] - 1e-4)
        assert np.any(two["quantile"] > one["quantile"] + 1e-3) or name != "cenns610"


def test_the_critical_value_is_that_of_wilks_far_from_the_border() -> None:
    """A large coupling of B - L in least squares: counts are many, and the border is far."""
    changes = asked("lx22-xe-future-nominal", None) | {"models": ["B-L"]}
    changes |= {"coupling": {"values": [3e-4]}, "mass": {"values": [3.0]}}
    changes["toys"] = {"number": 4000, "levels": [0.68, 0.9, 0.95]}
    found = whole(made(scan(**changes))[1])
    expected = chi2.ppf([0.68, 0.9, 0.95], 1)
    order = [toys.probabilities(scan(**changes).toys).tolist().index(p) for p in (0.68, 0.9, 0.95)]
    t, error = found["quantile"].ravel()[order], found["quantile_error"].ravel()[order]
    assert np.all(abs(t - expected) < 4.0 * error)


def test_virtual_pseudo_experiments() -> None:
    spec = scan(models=["B-L"], experiments=["darwin-nr", "borexino-phase2"])
    plan = grid.make_plan(spec)
    lazy = virtual(plan, group="toys")
    assert set(lazy) == {"darwin-nr", "borexino-phase2"}
    found = lazy["borexino-phase2"]
    assert found["quantile"].dims[-1] == "probability"
    assert found["probability"].values.tolist() == [0.05, 0.25, 0.5, 0.68, 0.75, 0.9]
    assert found.attrs["levels"] == [0.68, 0.9]
    moments = grid.compute_moments(plan)["borexino-phase2"]
    own = toys.make_state(moments, plan.models, spec, plan.exposures(plan.experiments[1]))
    for variable, values in whole(own).items():
        np.testing.assert_array_equal(found[variable].values, values)
    with pytest.raises(SpecificationError, match=r"group: 'toys' is given; .* \[toys\]"):
        virtual(grid.make_plan(scan(toys=None)), group="toys")


def test_a_store_without_pseudo_experiments_is_what_it_was() -> None:
    plain = scan(toys=None)
    assert "toys" not in plain.identity()
    assert "toys" not in plain.as_json()
    assert scan().identity()["toys"]["seed"] == 1
    layout = layouts.layout(grid.make_plan(plain))
    assert [group.path for group in layout.groups] == ["grid/darwin-nr"]
    drawn = layouts.layout(grid.make_plan(scan()))
    assert [group.path for group in drawn.groups] == ["grid/darwin-nr", "toys/darwin-nr"]
    assert drawn.identity != layout.identity
    assert drawn.identity != layouts.layout(grid.make_plan(scan(toys={"seed": 2}))).identity


def test_chunks_are_about_a_second_of_work() -> None:
    spec = scan(
        experiments=["darwin-nr", "coherent-csi-2021"],
        models=["B-L"],
        coupling={"log": {"start": 1e-6, "stop": 1e-3, "num": 100}},
        mass={"log": {"start": 1.0, "stop": 1e3, "num": 50}},
        toys={"number": 1000},
    )
    plan = grid.make_plan(spec)
    counting, binned = (plan.toy_chunks(one) for one in plan.experiments)
    assert counting == (1, 1, 1, 1, 1, 33, 100)
    assert binned[-2] == 1
    assert 1 <= binned[-1] < 20


@pytest.mark.parametrize("points", [8, 13, 21])
def test_limits_where_few_events_are_expected_do_not_hang_on_the_axis(points: int) -> None:
    """0.03 events of the Standard Model: the exact limit is that of the counts without any."""
    asked_for = {
        "models": ["B-L"],
        "threshold": {"values": [5.7]},
        "mass": {"values": [1.0]},
        "coupling": {"log": {"start": 1e-6, "stop": 1e-2, "num": points}},
        "toys": {"number": 4000, "levels": [0.9]},
    }
    found = virtual(grid.make_plan(scan(**asked_for)), group="toys")["darwin-nr"]
    limit = float(calibrated_limits(found.squeeze().load())["low"].squeeze())
    fine = asked_for | {"coupling": {"log": {"start": 1e-4, "stop": 3e-4, "num": 61}}}
    events = virtual(grid.make_plan(scan(**fine)))["darwin-nr"]["counts"].squeeze().load()
    mean = float(np.exp(np.interp(np.log(limit), np.log(events["coupling"]), np.log(events))))
    # none is seen in 1 of 10; those with too many, up to 1 in 40, are excluded too. At p = 0.1 the
    # mean, -log p, has an error of sqrt(9/4000)/2.3 = 2 %: 3.4 of them on either side
    assert np.log(10.0) * 0.93 < mean < -np.log(0.1 - 0.025) * 1.07
