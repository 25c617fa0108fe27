"""What a scan's store is to hold: grids, pseudo-experiments, and where their numbers come from."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from typing import Any, Final

from numpy.typing import NDArray

from lmltgrid import grid, toys
from lmltgrid.datafiles import manifest
from lmltgrid.plan import ArrayLayout, GroupLayout, StoreLayout
from lmltgrid.tables.experiment import Experiment
from lmltgrid.variables import GRID_VARIABLES, TOY_VARIABLES, Variable

Axes = dict[str, NDArray[Any]]
PACKAGES: Final = ("lmltgrid", "numpy", "scipy", "numba", "xarray", "zarr", "dask", "distributed")


def layout(plan: grid.GridPlan) -> StoreLayout:
    """Return the layout of the store that a plan fills."""
    return StoreLayout(groups(plan), _provenance(plan), plan.identity)


def _provenance(plan: grid.GridPlan) -> dict[str, Any]:
    """Return what the numbers come from: specification, data files with sources, versions."""
    known = manifest()
    data = {
        name: {
            "sha256": digest,
            "source": known.get(name, {}).get("source", "user"),
            "doi": known.get(name, {}).get("doi", ""),
        }
        for name, digest in plan.data_files.items()
    }
    return {
        "title": plan.spec.title or "lmltgrid scan",
        "specification": plan.spec.as_json(),
        "models": json.dumps([model.as_dict() for model in plan.models]),
        "exposure": json.dumps({e.name: plan.exposures(e).tolist() for e in plan.experiments}),
        "oscillation": json.dumps([one.model_dump(mode="json") for one in plan.oscillations]),
        "data_files": json.dumps(data),
        "versions": json.dumps(versions()),
    }


def versions() -> dict[str, str]:
    """Return the versions of what computes here: the packages that decide numbers, and Python."""
    known = {name: metadata.version(name) for name in PACKAGES}
    return known | {"python": platform.python_version()}


def groups(plan: grid.GridPlan) -> tuple[GroupLayout, ...]:
    """Return all groups of a plan, those of grids first."""
    drawn = plan.experiments if plan.spec.toys is not None else ()
    return (
        *(of_grid(plan, experiment) for experiment in plan.experiments),
        *(of_toys(plan, experiment) for experiment in drawn),
    )


def of_grid(plan: grid.GridPlan, experiment: Experiment) -> GroupLayout:
    """Return the group of one experiment's grid."""
    axes, chunks = plan.coordinates(experiment), plan.chunks(experiment)
    return GroupLayout(
        path=f"grid/{experiment.name}",
        arrays=_arrays(GRID_VARIABLES, axes, chunks, plan.spec.dtype),
        coordinates=_coordinates(experiment, axes),
        attrs=grid.attributes(plan, experiment),
    )


def of_toys(plan: grid.GridPlan, experiment: Experiment) -> GroupLayout:
    """Return the group of one experiment's pseudo-experiments.

    They are float64 whatever the grid is: a p-value is compared with a level.
    """
    axes, chunks = plan.toy_coordinates(experiment), plan.toy_chunks(experiment)
    return GroupLayout(
        path=f"{toys.GROUP}/{experiment.name}",
        arrays=_arrays(TOY_VARIABLES, axes, chunks, "float64"),
        coordinates=_coordinates(experiment, axes),
        attrs=grid.toy_attributes(plan, experiment),
    )


def _arrays(
    variables: tuple[Variable, ...], axes: Axes, chunks: tuple[int, ...], dtype: str
) -> tuple[ArrayLayout, ...]:
    return tuple(
        ArrayLayout(
            name=variable.name,
            dims=variable.dims,
            shape=tuple(axes[dim].size for dim in variable.dims),
            chunks=(*chunks, *(axes[dim].size for dim in variable.more)),
            dtype=dtype,
            attrs=variable.attrs,
        )
        for variable in variables
    )


def _coordinates(
    experiment: Experiment, axes: Axes
) -> dict[str, tuple[NDArray[Any], dict[str, Any]]]:
    attrs = grid.coordinate_attributes(experiment)
    return {name: (values, dict(attrs[name])) for name, values in axes.items()}
