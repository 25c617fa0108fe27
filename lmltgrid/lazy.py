"""The grids of a plan without a store: lazy datasets, each chunk computed when it is asked for.

They are filled by the functions that fill a store, so both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid import toys
from lmltgrid.errors import SpecificationError
from lmltgrid.grid import (
    GridPlan,
    attributes,
    compute_moments,
    coordinate_attributes,
    toy_attributes,
)
from lmltgrid.state import GridState, evaluate, make_state
from lmltgrid.tables.experiment import Experiment
from lmltgrid.toys import ToyState
from lmltgrid.toys import make_state as make_toy_state
from lmltgrid.variables import GRID_DIMS, GRID_VARIABLES, TOY_VARIABLES


def virtual(
    plan: GridPlan, moments: Mapping[str, xr.Dataset] | None = None, *, group: str = "grid"
) -> dict[str, xr.Dataset]:
    """Return the grids of a plan as lazy datasets, computed on demand and stored nowhere.

    Parameters
    ----------
    plan
        The plan.
    moments
        From `compute_moments`; computed if left out.
    group
        "grid", or "toys" for its pseudo-experiments.

    Returns
    -------
    dict
        One dataset per experiment, of the form that a finished store opens as.

    Raises
    ------
    SpecificationError
        Pseudo-experiments are asked for, and the specification has none.
    """
    drawn = group == "toys"
    if group not in ("grid", "toys") or (drawn and plan.spec.toys is None):
        raise SpecificationError(
            f"{plan.where}: group: {group!r} is given; allowed: 'grid', and 'toys' with a table "
            "[toys] in the specification; choose one, or add the table"
        )
    known = compute_moments(plan) if moments is None else moments
    out = {}
    for experiment in plan.experiments:
        how = make_toy_state if drawn else make_state
        exposure = plan.exposures(experiment)
        state = how(known[experiment.name], plan.models, plan.spec, exposure)
        out[experiment.name] = _lazy(plan, experiment, state)
    return out


def _lazy(plan: GridPlan, experiment: Experiment, state: GridState | ToyState) -> xr.Dataset:
    import dask.array as da

    drawn, shape = isinstance(state, ToyState), plan.shape(experiment)
    axes = plan.toy_coordinates(experiment) if drawn else plan.coordinates(experiment)
    chunks = plan.toy_chunks(experiment) if drawn else plan.chunks(experiment)
    attrs = coordinate_attributes(experiment)
    variables = {}
    for variable in TOY_VARIABLES if drawn else GRID_VARIABLES:
        more = tuple(axes[dim].size for dim in variable.more)
        sizes = da.core.normalize_chunks((*chunks, *more), shape=(*shape, *more))
        dtype = np.dtype(np.float64 if drawn else plan.spec.dtype)
        lazy = da.map_blocks(_block, state=state, variable=variable.name, chunks=sizes, dtype=dtype)
        variables[variable.name] = (variable.dims, lazy, variable.attrs)
    about = toy_attributes(plan, experiment) if drawn else attributes(plan, experiment)
    coords = {name: (name, values, attrs[name]) for name, values in axes.items()}
    return xr.Dataset(variables, coords=coords, attrs=about | {"identity": plan.identity})


def _block(state: GridState | ToyState, variable: str, block_info: Any = None) -> NDArray[Any]:
    place = block_info[None]["array-location"][: len(GRID_DIMS)]
    index = tuple(slice(a, b) for a, b in place)
    if isinstance(state, ToyState):
        return toys.evaluate(state, index)[variable]
    return evaluate(state, index)[variable]
