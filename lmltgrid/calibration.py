"""What one experiment of a scan costs, measured on small samples of its axes.

Everything is timed in this process, in seconds of a core: the moments at a few masses and
thresholds, the loading of a worker, one chunk by the function that fills all of them; and, on the
clock, the writing of such chunks into a throw-away store. Samples are spread over the axes, and
nothing grows with the number of points.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid import basis, layouts, minima
from lmltgrid.grid import GridPlan
from lmltgrid.plan import GroupLayout, StoreLayout
from lmltgrid.state import GridState, evaluate, make_state
from lmltgrid.store import create_store
from lmltgrid.tables.experiment import Experiment
from lmltgrid.variables import GRID_DIMS

Array = NDArray[np.float64]
T = TypeVar("T")

MASSES: Final = 128  # at which moments are timed; the chunk repeats the coefficients of some
FEW: Final = 4  # masses of the other timing, from which the slope is taken
THRESHOLDS: Final = 3
MODELS: Final = 3
CAP: Final = 3.0  # s for the moments of an experiment; beyond it they are taken as proportional
PLANES: Final = 1.0  # s for the chunks of all experiments
WRITTEN: Final = 4  # chunks; the first one warms up
_GOLDEN: Final = 0.6180339887498949


@dataclass(frozen=True)
class Sample:
    """What was measured, for one experiment.

    Attributes
    ----------
    moments_seconds : s
        For all moments of the experiment, with the minima of its likelihood, and a place for them.
    load_seconds : s
        For the state that each worker makes of them.
    evaluate_seconds, write_seconds : s
        For a whole chunk.
    startup_seconds : s
        By which the first calls were slower: kernels that are compiled, tables that are read.
    moments_nbytes, state_nbytes
        Bytes of both in memory; the state with what its making needs.
    stored_nbytes
        Bytes of a chunk of every variable, as compressed.
    """

    moments_seconds: float
    load_seconds: float
    evaluate_seconds: float
    write_seconds: float
    startup_seconds: float
    moments_nbytes: int
    state_nbytes: int
    stored_nbytes: int


def measure(plan: GridPlan, experiment: Experiment, place: Path) -> Sample:
    """Measure what an experiment costs; takes a few seconds.

    Parameters
    ----------
    plan
        The scan.
    experiment
        One of its experiments.
    place
        A folder on the file system of the store; chunks are written there for a moment.

    Raises
    ------
    OSError
        The place cannot be written.
    """
    moments, moments_seconds, startup = _moments(plan, experiment)
    sizes = dict(zip(GRID_DIMS, plan.shape(experiment), strict=True))
    tiled = moments.isel(mass=_repeated(moments.sizes["mass"], plan.chunks(experiment)[-2]))
    state, load, compiling = _state(plan, experiment, tiled)
    parts = (state.coefficients, state.boron, state.sums, state.bins)
    kept = sum(part.nbytes for part in parts if part is not None)
    # bins are stacked before they are summed: once as a list, once as an array
    made = 2 * state.coefficients.nbytes * moments.sizes["bin"]
    outer = (*GRID_DIMS[:4], "mass")
    ratio = prod(sizes[dim] for dim in outer) / state.coefficients[:, :, :, :, 0].size
    filled, seconds, warming = _filled(plan, experiment, state)
    created, writing, stored = written(layouts.of_grid(plan, experiment), filled, place)
    return Sample(
        moments_seconds=moments_seconds + created,
        load_seconds=load * ratio,
        evaluate_seconds=seconds,
        write_seconds=writing,
        startup_seconds=startup + compiling + warming,
        moments_nbytes=_full_bytes(moments, sizes),
        state_nbytes=int((kept + made) * ratio),
        stored_nbytes=stored,
    )


def timed(call: Callable[[], T], clock: Callable[[], float] = time.process_time) -> tuple[T, float]:
    """Return what a call returns, and the seconds that it takes of a core, or by another clock.

    What else runs on the machine does not count: a scan would run elsewhere, or later.
    """
    begun = clock()
    value = call()
    return value, clock() - begun


def _spread(values: Array, count: int) -> Array:
    """Return ``count`` of the values, ends included, or all if there are no more."""
    return np.asarray(values[_places(values.size, count)])


def _places(size: int, count: int) -> NDArray[np.intp]:
    """Return up to ``count`` indices below ``size``, ends included."""
    return np.unique(np.linspace(0, size - 1, min(count, size)).astype(np.intp))


def _repeated(size: int, count: int) -> NDArray[np.intp]:
    """Return ``count`` indices below ``size``, of which the first few are spread over all."""
    order = np.argsort(np.arange(size) * _GOLDEN % 1.0)
    return np.resize(order, count)


def _full_bytes(moments: xr.Dataset, sizes: dict[str, int]) -> int:
    """Return the bytes of moments when their axes have the lengths of the scan."""
    return sum(
        prod(sizes.get(str(dim), length) for dim, length in variable.sizes.items())
        * variable.dtype.itemsize
        for variable in moments.variables.values()
    )


def _moments(plan: GridPlan, experiment: Experiment) -> tuple[xr.Dataset, float, float]:
    """Return a sample of the moments, the seconds that all of them take, and those of a start."""
    masses, thresholds = plan.spec.mass.points(), plan.thresholds(experiment)
    many, few = _spread(masses, MASSES), _spread(masses, FEW)
    some = _spread(thresholds, THRESHOLDS)

    def compute(mass: Array, threshold: Array) -> xr.Dataset:
        return _computed(plan, experiment, mass, threshold)

    sample, first = timed(lambda: compute(many, some))
    known: dict[tuple[int, int], float] = {}
    for mass, threshold in product((few, many), (some[:1], some)):
        key = mass.size, threshold.size
        if key not in known and sum(known.values()) < CAP:
            known[key] = timed(partial(compute, mass, threshold))[1]
    startup = max(first - known.get((many.size, some.size), first), 0.0)

    def seconds(n_mass: int, n_threshold: int) -> float:
        return _bilinear(known, n_mass, n_threshold)

    suns = len(plan.spec.metallicity) * len(plan.oscillations)
    total = suns * seconds(masses.size, thresholds.size)
    if experiment.spec.test == "likelihood" and np.isfinite(sample["observed"].values).any():
        one, start = _minimum(plan, experiment)
        wide = timed(lambda: compute(minima.MASSES, some[:1]))[1]  # all models share it
        total += suns * (wide + len(plan.models) * one)
        startup += start
    return sample, total, startup


def _computed(plan: GridPlan, experiment: Experiment, mass: Array, threshold: Array) -> xr.Dataset:
    return basis.compute(
        experiment,
        mass=mass,
        threshold=threshold,
        metallicity=plan.spec.metallicity[:1],
        oscillation=plan.oscillations[:1],
        atomic=plan.spec.atomic,
        boron=bool(plan.spec.statistic.flux_error),
        where=f"{plan.where}: threshold",
    )


def _bilinear(known: dict[tuple[int, int], float], n_mass: int, n_threshold: int) -> float:
    """Return the seconds for some masses and thresholds from those of up to four pairs.

    Time is a constant, the quadrature, and parts that grow with masses, thresholds and both; what
    was not measured, because one call took long already, is taken as proportional.
    """
    masses, thresholds = zip(*known, strict=True)
    (m0, t0), (m1, t1) = (min(masses), min(thresholds)), (max(masses), max(thresholds))
    corners = {(m0, t1), (m1, t0), (m1, t1)} <= set(known)
    if not corners or (m0 == m1 < n_mass) or (t0 == t1 < n_threshold):
        (m1, t1), seconds = max(known.items())
        return float(seconds * max(n_mass / m1, 1.0) * max(n_threshold / t1, 1.0))
    base = known[m0, t0]
    by_mass = (known[m1, t0] - base) / max(m1 - m0, 1)
    by_threshold = (known[m0, t1] - base) / max(t1 - t0, 1)
    both = known[m1, t1] - known[m1, t0] - known[m0, t1] + base
    by_both = both / max((m1 - m0) * (t1 - t0), 1)
    more, higher = n_mass - m0, n_threshold - t0
    grown = max(by_mass, 0.0) * more + max(by_threshold, 0.0) * higher
    return float(max(base + grown + max(by_both, 0.0) * more * higher, 0.0))


def _minimum(plan: GridPlan, experiment: Experiment) -> tuple[float, float]:
    """Return the seconds for the minimum of a likelihood, and by how much the first one is slower.

    The moments at the masses of the whole plane are kept from the first to the second.
    """

    def one() -> object:
        return minima.minimum(
            experiment,
            plan.models[0],
            couplings=plan.spec.couplings,
            metallicity=plan.spec.metallicity[0],
            oscillation=plan.oscillations[0],
            atomic=plan.spec.atomic,
            exposure=experiment.spec.exposure_tonne_year,
        )

    first, again = timed(one)[1], timed(one)[1]
    return again, max(first - again, 0.0)


def _state(
    plan: GridPlan, experiment: Experiment, moments: xr.Dataset
) -> tuple[GridState, float, float]:
    """Return a state of some models, its seconds, and by how much the first one is slower."""
    models = [plan.models[i] for i in _places(len(plan.models), MODELS)]
    exposure = plan.exposures(experiment)
    first = timed(lambda: make_state(moments, models, plan.spec, exposure))[1]
    state, again = timed(lambda: make_state(moments, models, plan.spec, exposure))
    return state, again, max(first - again, 0.0)


def _filled(
    plan: GridPlan, experiment: Experiment, state: GridState
) -> tuple[dict[str, NDArray[Any]], float, float]:
    """Return a part of a chunk, the seconds that a whole one takes, and those of a start.

    The part grows until it is a plane at all exposures of a chunk, or lasts long enough.
    """
    *_, n_threshold, n_exposure, n_mass, n_coupling = plan.chunks(experiment)
    places = list(product(range(state.coefficients.shape[0]), range(state.background.size)))
    enough = PLANES / len(places) / len(plan.experiments)

    def fill(model: int, threshold: int, exposures: int, masses: int) -> dict[str, NDArray[Any]]:
        one = (slice(model, model + 1), slice(0, 1), slice(0, 1), slice(threshold, threshold + 1))
        index = (*one, slice(0, exposures), slice(0, masses), slice(0, n_coupling))
        return evaluate(replace(state, exposure=_spread(state.exposure, exposures)), index)

    def spent(place: tuple[int, int], exposures: int, masses: int) -> float:
        return timed(lambda: fill(*place, exposures, masses))[1]

    middle = places[len(places) // 2]
    exposures = masses = 1
    first = spent(middle, 1, 1)
    again = seconds = spent(middle, 1, 1)
    while seconds < enough and (exposures, masses) != (n_exposure, n_mass):
        if masses < n_mass:
            masses = min(4 * masses, n_mass)
        else:
            exposures = min(4 * exposures, n_exposure)
        seconds = spent(middle, exposures, masses)
    # twice each: the shorter time is that of an undisturbed machine
    each = [min(spent(place, exposures, masses) for _ in range(2)) for place in places]
    part = fill(*middle, exposures, masses)
    whole = n_exposure * n_mass / (exposures * masses) * n_threshold
    return part, statistics.fmean(each) * whole, max(first - again, 0.0)


def written(
    group: GroupLayout, part: dict[str, NDArray[Any]], place: Path
) -> tuple[float, float, int]:
    """Return the seconds to create a store, and to write a chunk and its marker; stored bytes.

    Parameters
    ----------
    group
        Whose chunks are written.
    part
        The values of a part of a chunk, which are repeated.
    place
        A folder on the file system of the store.
    """
    arrays = {}
    for name, values in part.items():
        for axis, length in enumerate(group.chunks):
            values = values.take(np.arange(length) % values.shape[axis], axis=axis)
        arrays[name] = np.ascontiguousarray(values)
    few = (replace(a, shape=(WRITTEN, *a.chunks[1:]), attrs={}) for a in group.arrays)
    group = GroupLayout(group.path, tuple(few))
    with tempfile.TemporaryDirectory(prefix=".lmltgrid-forecast-", dir=place) as folder:
        layout = StoreLayout((group,), {}, "sample")
        wall = time.perf_counter  # a disk is waited for
        store, created = timed(lambda: create_store(Path(folder, "sample.zarr"), layout, {}), wall)
        found = [timed(partial(store.write_unit, unit, arrays), wall) for unit in range(WRITTEN)]
    written = min(seconds for _, seconds in found[1:])
    return created, written, found[-1][0].nbytes
