"""What a scan found, in short: limits, discovery exposures, and a picture of one plane."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid import grid
from lmltgrid import store as stores
from lmltgrid.analysis.discovery import discovery
from lmltgrid.analysis.limits import as_lists, limits
from lmltgrid.errors import LmltgridError, VerificationError
from lmltgrid.reaching import decoding
from lmltgrid.storage import Address
from lmltgrid.tables import models

SUMMARY_MASSES: Final = (1.0, 10.0, 100.0)  # MeV


def summarize(plan: grid.GridPlan, experiments: Path | None) -> dict[str, Any]:
    """Return the physics of a scan in short: limits, and exposures for a 5-sigma discovery.

    Limits are for the experiment's own exposure at the lowest threshold of the scan; discovery
    exposures are for the benchmark points of P21 Table 1 at every threshold.
    """
    masses = [m for m in SUMMARY_MASSES if _inside(m, plan.spec.mass.points())]
    masses = masses or [float(plan.spec.mass.points()[0])]
    out: dict[str, Any] = {"conventions": _conventions(plan), "limits": [], "discovery": []}
    for experiment, model, metallicity, oscillation in _cases(plan):
        options: dict[str, Any] = {
            "model": model,
            "metallicity": metallicity,
            "oscillation": oscillation,
            "atomic": plan.spec.atomic,
            "couplings": plan.spec.couplings,
            "flux_error": plan.spec.statistic.flux_error,
            "experiments": experiments,
        }
        thresholds = plan.thresholds(experiment)
        found = limits(
            experiment.name,
            mass=masses,
            threshold=float(thresholds[0]),
            exposure=experiment.spec.exposure_tonne_year,
            **options,
        )
        case = {"experiment": experiment.name, "model": model.name}
        case |= {"metallicity": metallicity, "oscillation": oscillation}
        units = {"unit": experiment.unit}
        out["limits"].append(case | units | _limit_rows(found))
        if experiment.spec.test != "counting":
            continue
        for benchmark in models.benchmarks().values():
            mass, coupling = benchmark.mass, benchmark.coupling
            line = discovery(
                experiment.name,
                mass=mass,
                coupling=coupling,
                threshold=thresholds,
                sided=plan.spec.statistic.sided,
                **options,
            )
            point = {"mass": mass, "coupling": coupling}
            values = [None if np.isnan(v) else float(v) for v in line["exposure"].values]
            keys = ("sided", "sigmas", "flux_error")
            how = {key: line.attrs[key] for key in keys if key in line.attrs}
            row = how | {"benchmark": benchmark.name, "threshold": thresholds.tolist()}
            out["discovery"].append(case | units | point | row | {"exposure": values})
    return out


def _conventions(plan: grid.GridPlan) -> dict[str, Any]:
    return {
        "mixing": {model.name: model.mixing_name for model in plan.models},
        "atomic": plan.spec.atomic,
        "couplings": plan.spec.couplings,
    }


def _cases(plan: grid.GridPlan) -> Iterator[tuple[Any, models.Model, str, str]]:
    names = [one.name for one in plan.oscillations]
    return product(plan.experiments, plan.models, plan.spec.metallicity, names)


def _limit_rows(found: xr.Dataset) -> dict[str, Any]:
    keys = (
        "statistic",
        "data",
        "test",
        "sided",
        "cl",
        "dof",
        "flux_error",
        "threshold",
        "exposure",
    )
    attrs = {k: found.attrs[k] for k in keys if k in found.attrs}
    return {**attrs, "mass": found["mass"].values.tolist(), "excluded": as_lists(found)}


def _inside(value: float, axis: NDArray[np.float64]) -> bool:
    return bool(axis[0] <= value <= axis[-1])


def nearest(axis: NDArray[np.float64], value: float) -> float:
    """Return the point of an axis that is nearest in ratio."""
    return float(axis[np.argmin(np.abs(np.log(axis / value)))])


def draw(path: Address, plan: grid.GridPlan) -> Path | None:
    """Draw the first plane of a store; a scan does not fail for want of a picture.

    It appears beside a store in a folder, and in the current folder for one on S3.

    Raises
    ------
    VerificationError
        The plane cannot be read: the store is damaged.
    """
    experiment = plan.experiments[0]
    exposure = nearest(plan.exposures(experiment), experiment.spec.exposure_tonne_year)
    if min(plan.shape(experiment)[-2:]) < 2:
        return None
    figure = Path(path if isinstance(path, Path) else path.rpartition("/")[2]).with_suffix(".png")
    try:
        from lmltgrid.views import plots

        plane = stores.open_grid(path)[f"grid/{experiment.name}"].to_dataset()
        chosen = plane.isel(model=0, metallicity=0, oscillation=0, threshold=0).sel(
            exposure=exposure, method="nearest"
        )
        with decoding(path):
            shown = chosen[["significance"]].load()
        plots.save(plots.plane(shown), figure)
    except VerificationError:
        raise
    except (LmltgridError, ImportError) as error:
        warnings.warn(f"no figure: {error}", stacklevel=2)
        return None
    return figure
