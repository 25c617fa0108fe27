"""Reconstruction: what would be known of a mediator that exists.

The data are the expected counts of a benchmark point (Asimov data, P21 sections 3 to 5). A model is
fitted to them, which may be another than the one they were made with; several experiments are one
as ``a+b``, and a chi-square from elsewhere can be added from a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lmltgrid import binned
from lmltgrid.analysis.external import read_plane
from lmltgrid.analysis.nodes import Nodes, refined
from lmltgrid.analysis.profiled import data_of, minimum
from lmltgrid.analysis.regions import DOF, LEVELS, LIMIT, bound_of, upper_limit
from lmltgrid.analysis.setup import (
    DEFAULT_MODEL,
    Conventions,
    ascending,
    axis,
    conventions,
    find_experiment,
    own_values,
    rates,
    require_own_exposure,
)
from lmltgrid.binned import Binned
from lmltgrid.errors import SpecificationError
from lmltgrid.tables.experiment import Experiment

Array = NDArray[np.float64]

DEFAULT_MASS: Final = np.geomspace(1.0, 1000.0, 121)  # MeV
DEFAULT_COUPLING: Final = np.geomspace(1e-5, 1e-2, 181)


def reconstruct(
    experiment: str = "ess",
    *,
    true_mass: float,
    true_coupling: float,
    mass: ArrayLike | None = None,
    coupling: ArrayLike | None = None,
    truth: str | None = None,
    truth_mixing: str | float | None = None,
    exposure: float | None = None,
    external: Sequence[str | Path] = (),
    levels: Sequence[float] = LEVELS,
    experiments: str | Path | None = None,
    **options: Any,
) -> xr.Dataset:
    """Return the chi-square of a model over the plane, with a benchmark point as data.

    Parameters
    ----------
    experiment
        Name of an experiment with a likelihood or a count, or ``a+b`` for the sum of several; a
        member is taken at another threshold as ``darwin-nr@1``.
    true_mass, true_coupling
        The point that the data are made with, MeV and 1.
    mass, coupling
        Axes of the plane, MeV and 1, ascending.
    truth, truth_mixing
        Model of the data, and its mixing; those of the fit if left out.
    exposure
        Tonne year of a single experiment; its own if left out.
    external
        CSV files with a further chi-square on a full grid: columns mass_mev, coupling, delta_chi2.
    levels
        Confidence levels of the regions to be asked for, two degrees of freedom: masses are
        refined where one of them ends.
    **options
        Model of the fit and conventions, see `lmltgrid.analysis.setup.conventions`.

    Returns
    -------
    Dataset
        ``delta_chi2``: above its minimum, dims (mass, coupling), NaN where the fit does not
        converge; ``profile``: its minimum over the coupling, and ``best_coupling``, where that is,
        dims (mass,); ``upper_limit``: the coupling above which all is excluded at 90 %, two degrees
        of freedom, dims (mass,), 0 or inf where it is beyond the axis. Attributes: the least
        chi-square itself, which is zero if the fitted model can be the true one;
        ``standard_model``, by how much that of the Standard Model is larger (none with external
        files, which have no g = 0; infinite where there are events and it expects none);
        ``unconverged``, the number of points that are NaN, if any. ``node_mass``, ``node_profile``,
        ``node_coupling``, ``node_width``, dims (node,): the same on masses refined where regions
        end, with the width in log g, see `lmltgrid.analysis.nodes`.

    Raises
    ------
    SpecificationError
        An argument, or an external file, is not allowed.
    MachineError
        An external file cannot be read.
    """
    setting = conventions(**options)
    bounds = [bound_of(level) for level in levels]
    chosen = _likelihood(find_experiment(experiment, experiments))
    masses = ascending(DEFAULT_MASS if mass is None else mass, "mass", unit="MeV")
    g = ascending(DEFAULT_COUPLING if coupling is None else coupling, "coupling", unit="1")
    _, duration = own_values(chosen, None, exposure)
    made = _truth(truth, truth_mixing, options)
    counts = mock_counts(chosen, made, true_mass, true_coupling, duration)
    require_own_exposure(chosen, duration)
    found = rates(chosen, setting, masses, None)
    data, own = data_of(found, duration, counts), found.coefficients[0]
    plane = data.plane(own, g**2)
    for path in external:
        plane = plane + read_plane(Path(path), masses, g)
    least = _least_of_plane(plane, masses, g)
    more: dict[str, Any] = {}
    if external:
        more["external"] = "; ".join(map(str, external))
        nodes = _nodes_of_plane(plane, masses, g)
    else:
        everywhere = minimum(chosen, setting, duration, counts)
        least = min(least, everywhere, _least_at(data, chosen, setting, true_mass))

        def evaluate(at: Array) -> tuple[Binned, Array]:
            return data, rates(chosen, setting, at, None).coefficients[0]

        nodes = refined(evaluate, masses, (least[1], true_mass), least[0], bounds)
        more["standard_model"] = _standard_model(data, own) - least[0]
    failed = int(np.isnan(plane).sum())
    if failed:
        more["unconverged"] = failed
    above = Nodes(nodes.mass, nodes.chi2 - least[0], nodes.coupling, nodes.width)
    return _labeled(plane - least[0], above, masses, g).assign_attrs(
        {
            "experiment": experiment,
            "true_mass": true_mass,
            "true_coupling": true_coupling,
            "truth": made.model.name,
            "truth_mixing": made.model.mixing_name,
            "exposure": duration,
            "dof": DOF,
            "chi2_minimum": float(least[0]),
            "minimum_at": f"{least[1]:.4g} MeV, g = {least[2]:.4g}",
            **more,
            **chosen.warning,
            **setting.as_dict(),
        }
    )


def _truth(name: str | None, mixing: str | float | None, options: dict[str, Any]) -> Conventions:
    """Return what the data are made with: what is fitted, but for what is given."""
    if name is None and mixing is None:
        return conventions(**options)
    model = options.get("model", DEFAULT_MODEL) if name is None else name
    return conventions(**options | {"model": model, "mixing": mixing})


def mock_counts(
    experiment: Experiment, setting: Conventions, mass: float, coupling: float, exposure: float
) -> Array:
    """Return the expected counts of a point, background included, shape (bin,).

    Raises
    ------
    SpecificationError
        Mass or coupling is not positive, or the experiment has measured already.
    """
    at = axis([mass], "true_mass", unit="MeV")
    x = float(axis([coupling], "true_coupling", unit="1")[0]) ** 2
    found = rates(experiment, setting, at, None)
    assert found.moments is not None  # noqa: S101 - a likelihood
    if np.isfinite(found.moments["observed"].values).any():
        raise SpecificationError(
            f"experiment: {experiment.name} is given, which has data already; a reconstruction "
            "makes its own; take a projection"
        )
    c0, c1, c2 = np.moveaxis(found.coefficients[0, :, :, 0], -1, 0)
    own = data_of(found, exposure, None)
    return np.asarray(own.scale * (c0 + x * (c1 + x * c2)) + own.background)


def _likelihood(experiment: Experiment) -> Experiment:
    if experiment.spec.test != "likelihood":
        raise SpecificationError(
            f"experiment: {experiment.name} is given, whose statistic is {experiment.spec.test}; "
            f"a reconstruction needs a likelihood; write {experiment.name}@"
            f"{experiment.threshold:.4g}, which makes its count one Poisson bin"
        )
    return experiment


def _nodes_of_plane(plane: Array, masses: Array, g: Array) -> Nodes:
    """Return the least values among the points of the plane; NaN where one of a mass is unknown."""
    place = np.nan_to_num(plane, nan=np.inf).argmin(axis=1)
    return Nodes(masses, plane.min(axis=1), g[place], np.full(masses.size, np.inf))


def _standard_model(data: Binned, coefficients: Array) -> float:
    """Return the chi-square without new physics; infinite where it cannot leave the events."""
    none = data.scale * coefficients[:, 0, 0] + data.background <= 0.0
    if np.any(none & (data.observed > 0.0) & (data.variance == 0.0)):
        return np.inf
    return float(data.curve(np.ascontiguousarray(coefficients[:, :, 0]), np.zeros(1))[0])


def _least_at(
    data: Binned, experiment: Experiment, setting: Conventions, mass: float
) -> tuple[float, float, float]:
    """Return the least chi-square at one mass: that of the truth need not be on any axis."""
    found = rates(experiment, setting, np.array([mass]), None)
    value, _, x = binned.least(data, found.coefficients[0])
    return (value if np.isfinite(value) else np.inf, mass, float(np.sqrt(x)))


def _least_of_plane(plane: Array, masses: Array, g: Array) -> tuple[float, float, float]:
    if not np.isfinite(plane).any():
        return (np.inf, 0.0, 0.0)
    i, j = np.unravel_index(int(np.nanargmin(plane)), plane.shape)
    return float(plane[i, j]), float(masses[i]), float(g[j])


def _labeled(above: Array, nodes: Nodes, masses: Array, g: Array) -> xr.Dataset:
    """Return the plane and the nodes above their minimum; all masses of the axis are nodes."""
    here = np.searchsorted(nodes.mass, masses)

    def of_mass(values: Array, words: str) -> tuple[str, Array, dict[str, str]]:
        return "mass", values, {"units": "1", "long_name": words}

    return xr.Dataset(
        {
            "delta_chi2": (
                ("mass", "coupling"),
                above,
                {"units": "1", "long_name": "chi-square above its minimum"},
            ),
            "profile": of_mass(nodes.chi2[here], "its minimum at each mass"),
            "best_coupling": of_mass(nodes.coupling[here], "coupling at that minimum"),
            "upper_limit": of_mass(upper_limit(above, g), f"upper limit on g, {100 * LIMIT:g} %"),
            "node_mass": ("node", nodes.mass),
            "node_profile": ("node", nodes.chi2),
            "node_coupling": ("node", nodes.coupling),
            "node_width": ("node", nodes.width),
        },
        coords={
            "mass": ("mass", masses, {"units": "MeV", "long_name": "mediator mass"}),
            "coupling": ("coupling", g, {"units": "1", "long_name": "coupling g"}),
        },
    )
