"""What the pseudo-experiments of one experiment cost, measured on a few points of its grid.

A point costs something before its pseudo-experiments, and so much for each of them: few and many
are timed at points that are spread over masses and couplings, which differ in the fits they need.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lmltgrid import basis, layouts, toys
from lmltgrid.calibration import Sample, timed, written
from lmltgrid.grid import GridPlan
from lmltgrid.tables.experiment import Experiment
from lmltgrid.toys import ToyState
from lmltgrid.variables import GRID_DIMS

FEW: Final = 100  # pseudo-experiments; the least that a specification may ask for
MANY: Final = 1000
SPREAD: Final = (2, 4)  # masses and couplings
CAP: Final = 4.0  # s in all for the points of one experiment, after the first


def measure(plan: GridPlan, experiment: Experiment, place: Path) -> Sample:
    """Measure what the pseudo-experiments of one experiment cost; takes some seconds.

    Parameters are those of `lmltgrid.calibration.measure`.
    """
    asked = plan.spec.toys
    assert asked is not None  # noqa: S101 - asked for
    sizes = dict(zip(GRID_DIMS, plan.shape(experiment), strict=True))
    state, load, free = _state(plan, experiment)
    seconds, startup = _point(state, asked.number)
    part = toys.evaluate(_drawing(state, FEW), _place(0, 0))
    group = layouts.of_toys(plan, experiment)
    _, writing, stored = written(group, part, place)
    suns = sizes["metallicity"] * sizes["oscillation"]
    whole = (
        sizes["model"] * suns * sizes["threshold"] * state.coefficients[0, 0, 0, 0, :, :, 0].size
    )
    fits = 0 if state.free is None else whole * toys.FREE_MASSES.size
    return Sample(
        moments_seconds=free * suns * sizes["threshold"],
        load_seconds=load * sizes["model"] * suns,
        evaluate_seconds=seconds * prod(group.chunks),
        write_seconds=writing,
        startup_seconds=startup,
        moments_nbytes=8 * fits,
        state_nbytes=8 * (whole * sizes["mass"] + fits),
        stored_nbytes=stored,
    )


def _state(plan: GridPlan, experiment: Experiment) -> tuple[ToyState, float, float]:
    """Return a state of one model at a few masses; the seconds for it, and for free masses."""
    spec, masses = plan.spec, plan.spec.mass.points()
    chosen = masses[_spread(masses.size, SPREAD[0])]
    sun: dict[str, Any] = {
        "threshold": plan.thresholds(experiment)[:1],
        "metallicity": spec.metallicity[:1],
        "oscillation": plan.oscillations[:1],
    }
    flux, models = bool(spec.statistic.flux_error), plan.models[:1]
    moments = basis.compute(experiment, mass=chosen, atomic=spec.atomic, boron=flux, **sun)
    free, seconds = timed(lambda: toys.free_moments(experiment, models, spec, **sun))
    known, exposure = moments.assign(free), plan.exposures(experiment)
    state, load = timed(lambda: toys.make_state(known, models, spec, exposure))
    return state, load, seconds


def _point(state: ToyState, number: int) -> tuple[float, float]:
    """Return the seconds of a point, and by how much the first is slower."""
    few, many = min(FEW, number), min(MANY, number)

    def spent(mass: int, coupling: int, count: int) -> float:
        own = _drawing(state, count)
        return timed(lambda: toys.evaluate(own, _place(mass, coupling)))[1]

    couplings = _spread(state.coupling.size, SPREAD[1]).tolist()
    middle = couplings[len(couplings) // 2]
    first, again = spent(0, middle, few), spent(0, middle, few)
    found: list[float] = []
    total = 0.0
    for mass, coupling in product(range(state.mass.size), couplings):
        if total > CAP:
            break
        short, long = spent(mass, coupling, few), spent(mass, coupling, many)
        total += short + long
        slope = (long - short) / (many - few) if many > few else 0.0
        found.append(long + max(slope, 0.0) * (number - many))
    return statistics.fmean(found), max(first - again, 0.0)


def _drawing(state: ToyState, number: int) -> ToyState:
    """Return a state that draws so many pseudo-experiments."""
    return replace(state, toys=state.toys.model_copy(update={"number": number}))


def _place(mass: int, coupling: int) -> tuple[slice, ...]:
    return (*(slice(0, 1),) * 5, slice(mass, mass + 1), slice(coupling, coupling + 1))


def _spread(size: int, count: int) -> NDArray[np.intp]:
    """Return up to ``count`` indices below ``size``, ends left out where there are enough."""
    return np.unique(np.linspace(0, size - 1, min(count, size) + 2)[1:-1].round().astype(np.intp))
