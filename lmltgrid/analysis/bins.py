"""Expected and observed counts in the bins of an experiment, at one point."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid.analysis.setup import Conventions, rates
from lmltgrid.tables.experiment import Experiment
from lmltgrid.tables.spallation import SpallationExperiment

Array = NDArray[np.float64]


def counts(
    experiment: Experiment,
    setting: Conventions,
    mass: Array,
    coupling: float,
    threshold: float,
    exposure: float,
) -> xr.Dataset:
    """Return the counts of one experiment, and the bins that they are in.

    Parameters
    ----------
    mass : shape (1,), MeV
    threshold, exposure
        In the experiment's own scale, and tonne year.

    Returns
    -------
    Dataset
        See `lmltgrid.analysis.points.events`.
    """
    nominal = threshold == experiment.threshold  # bins can begin at zero, which is no threshold
    found = rates(experiment, setting, mass, None if nominal else [threshold])
    x = coupling**2
    c0, c1, c2 = (found.coefficients[0, :, order, 0] for order in range(3))
    values = {
        "sm": ("events in the Standard Model", exposure * c0),
        "signal": ("change by the mediator", exposure * (x * (c1 + x * c2))),
        "background": ("background events", exposure * found.background[0]),
    }
    if found.moments is not None and np.isfinite(found.moments["observed"]).any():
        values["observed"] = ("events seen", found.moments["observed"].values)
    variables: dict[str, Any] = {
        name: ("bin", counted, {"units": "1", "long_name": words})
        for name, (words, counted) in values.items()
    }
    variables["window"] = (("bin", "edge"), found.window[0], experiment.window_label)
    if isinstance(experiment, SpallationExperiment) and experiment.spec.bins.time is not None:
        edges = np.array(experiment.spec.bins.time)
        times = np.tile(
            np.stack([edges[:-1], edges[1:]], axis=-1), (len(c0) // (len(edges) - 1), 1)
        )
        words = {"units": "us", "long_name": "time after the protons"}
        variables["time"] = (("bin", "edge"), times, words)
    return xr.Dataset(variables)


def side_by_side(parts: list[xr.Dataset], names: list[str]) -> xr.Dataset:
    """Return the counts of several experiments, with whose bin each is, and its energy scale."""
    sizes = [part.sizes["bin"] for part in parts]
    scales = [part["window"].attrs["energy_scale"] for part in parts]
    both = xr.concat(parts, "bin", data_vars="all", combine_attrs="drop_conflicts")
    both["window"].attrs |= {"units": "several", "energy_scale": "several"}
    return both.assign_coords(
        member=("bin", np.repeat(names, sizes)), scale=("bin", np.repeat(scales, sizes))
    )
