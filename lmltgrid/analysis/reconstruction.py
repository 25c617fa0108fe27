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
from scipy.interpolate import RegularGridInterpolator
from scipy.stats import chi2 as chi2_of

from lmltgrid import binned
from lmltgrid.analysis.nodes import Nodes, refined
from lmltgrid.analysis.profiled import data_of, minimum
from lmltgrid.analysis.setup import (
    DEFAULT_MODEL,
    Conventions,
    axis,
    conventions,
    find_experiment,
    own_values,
    rates,
    require_own_exposure,
)
from lmltgrid.binned import Binned
from lmltgrid.datafiles import parse_table
from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.tables.experiment import Experiment

Array = NDArray[np.float64]

LEVELS: Final = (0.68, 0.95)
LIMIT: Final = 0.90
DOF: Final = 2
DEFAULT_MASS: Final = np.geomspace(1.0, 1000.0, 121)  # MeV
DEFAULT_COUPLING: Final = np.geomspace(1e-5, 1e-2, 181)
_ROUNDING: Final = 1e-6  # of the axes of an external file
COLUMNS: Final = ("mass_mev", "coupling", "delta_chi2")


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
    """
    setting = conventions(**options)
    chosen = _likelihood(find_experiment(experiment, experiments))
    masses = _ascending(DEFAULT_MASS if mass is None else mass, "mass", unit="MeV")
    g = _ascending(DEFAULT_COUPLING if coupling is None else coupling, "coupling", unit="1")
    _, duration = own_values(chosen, None, exposure)
    made = _truth(truth, truth_mixing, options)
    counts = mock_counts(chosen, made, true_mass, true_coupling, duration)
    require_own_exposure(chosen, duration)
    found = rates(chosen, setting, masses, None)
    data, own = data_of(found, duration, counts), found.coefficients[0]
    plane = data.plane(own, g**2)
    for path in external:
        plane = plane + _external(Path(path), masses, g)
    least = _least_of_plane(plane, masses, g)
    more: dict[str, Any] = {}
    if external:
        profile, best = _profile_of_plane(plane, g)
        more["external"] = "; ".join(map(str, external))
        nodes = Nodes(masses, profile, best, np.full(masses.size, np.inf))
    else:
        everywhere = minimum(chosen, setting, duration, counts)
        least = min(least, everywhere, _least_at(data, chosen, setting, true_mass))
        profile, best = _profile(data, own)
        bounds = [float(chi2_of.ppf(level, DOF)) for level in (*LEVELS, 0.6827, 0.9545)]

        def evaluate(at: Array) -> tuple[Binned, Array]:
            return data, rates(chosen, setting, at, None).coefficients[0]

        nodes = refined(evaluate, masses, (least[1], true_mass), least[0], bounds)
        null = data.curve(np.ascontiguousarray(own[:, :, 0]), np.zeros(1))
        none = data.scale * own[:, 0, 0] + data.background <= 0.0
        # events where none can be expected leave no doubt
        sure = np.any(none & (data.observed > 0.0) & (data.variance == 0.0))
        more["standard_model"] = np.inf if sure else float(null[0]) - least[0]
    failed = int(np.isnan(plane).sum())
    if failed:
        more["unconverged"] = failed
    labeled = _labeled(plane - least[0], (profile - least[0], best), masses, g)
    for name, values in (("mass", nodes.mass), ("profile", nodes.chi2 - least[0])):
        labeled[f"node_{name}"] = ("node", values)
    labeled["node_coupling"] = ("node", nodes.coupling)
    labeled["node_width"] = ("node", nodes.width)
    return labeled.assign_attrs(
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


def regions(found: xr.Dataset, levels: Sequence[float] = LEVELS) -> list[dict[str, Any]]:
    """Return how far the allowed region of each level reaches.

    Returns
    -------
    list of dict
        ``level``, ``delta_chi2``; ``mass``, ``coupling``: the ranges, None at an end where the
        region goes on beyond the axis; ``closed``: whether both masses are inside; ``inside``:
        whether any of it lies between the ends of the axis; ``seen``: whether g = 0 is excluded, so
        that the mediator is told from none.

    Raises
    ------
    SpecificationError
        A level is not between 0 and 1.
    """
    masses, profile, _, _ = _nodes_of(found)
    # a point at which the fit does not converge is not excluded
    lost = found["mass"].values[np.isnan(found["delta_chi2"].values).any(axis=1)]
    unknown = np.isin(masses, lost) | np.isnan(profile)
    out = []
    for level in levels:
        if not 0.0 < level < 1.0:
            raise SpecificationError(
                f"cl: {level:g} is given; it must lie between 0 and 1; correct it"
            )
        bound = float(chi2_of.ppf(level, DOF))
        inside = np.flatnonzero((profile <= bound) | unknown)
        ends: list[float | None] = [None, None]
        if inside.size:
            first, last = int(inside[0]), int(inside[-1])
            if first > 0:
                ends[0] = _crossing(masses, profile, bound, first - 1)
            if last < masses.size - 1:
                ends[1] = _crossing(masses, profile, bound, last)
        reach = _reach(found, bound)
        out.append(
            {
                "level": level,
                "delta_chi2": bound,
                "mass": ends,
                "closed": inside.size > 0 and None not in ends,
                "coupling": reach,
                "inside": inside.size > 0,
                "seen": found.attrs.get("standard_model", np.inf) > bound
                if "standard_model" in found.attrs
                else reach[0] is not None,
            }
        )
    return out


def _nodes_of(found: xr.Dataset) -> tuple[Array, Array, Array, Array]:
    """Return masses, least chi-squares, couplings and widths: refined, or those of the axis."""
    if "node_mass" in found:
        mass, profile, coupling, width = (
            found[f"node_{name}"].values for name in ("mass", "profile", "coupling", "width")
        )
        return mass, profile, coupling, width
    mass, profile, coupling = (found[n].values for n in ("mass", "profile", "best_coupling"))
    return mass, profile, coupling, np.full(mass.size, np.inf)


def _reach(found: xr.Dataset, bound: float) -> list[float | None]:
    """Return the least and the largest coupling of a region, None beyond the axis."""
    g, lows, highs = found["coupling"].values, [np.inf], [0.0]
    best = zip(found["best_coupling"].values, found["profile"].values, strict=True)
    for row, (at, value) in zip(found["delta_chi2"].values, best, strict=True):
        x, values = g, row
        if g[0] < at < g[-1]:  # the region may lie between two points of the axis
            place = int(np.searchsorted(g, at))
            x, values = np.insert(g, place, at), np.insert(row, place, value)
        inside = np.flatnonzero(~(values > bound))
        if inside.size:
            first, last = int(inside[0]), int(inside[-1])
            lows.append(_crossing(x, values, bound, first - 1) if first else 0.0)
            highs.append(_crossing(x, values, bound, last) if last < x.size - 1 else np.inf)
    step = 2.0 * float(np.log(g[-1] / g[0])) / (g.size - 1)
    for _, value, at, width in zip(*_nodes_of(found), strict=True):
        half = width * np.sqrt(bound - value) if value <= bound else np.inf
        if half < step and g[0] < at < g[-1]:  # narrower than the axis: a parabola in log g
            lows.append(at * np.exp(-half))
            highs.append(at * np.exp(half))
    low, high = float(min(lows)), float(max(highs))
    return [low if 0.0 < low < np.inf else None, high if 0.0 < high < np.inf else None]


def _crossing(x: Array, values: Array, bound: float, i: int) -> float:
    """Return where a chi-square passes a bound between two points.

    Its root is taken as linear in log x, which is exact for a parabola about a best value of zero.
    """
    left, right = np.sqrt(np.maximum(values[i : i + 2], 0.0)) - np.sqrt(bound)
    share = float(left / (left - right)) if left != right else 0.5
    if not 0.0 <= share <= 1.0:  # one of the two is not known: the region ends beside it
        share = 0.0 if np.isnan(left) or left > right else 1.0
    return float(np.exp(np.interp(share, [0.0, 1.0], np.log(x[i : i + 2]))))


def _ascending(values: ArrayLike, name: str, *, unit: str) -> Array:
    """Return an axis of the plane.

    Raises
    ------
    SpecificationError
        It has a single point, or does not ascend.
    """
    array = axis(values, name, unit=unit)
    if array.size < 2:
        raise SpecificationError(f"{name}: one value is given; at least two are needed; add some")
    if np.any(np.diff(array) <= 0.0):
        raise SpecificationError(f"{name}: the values do not ascend; sort them")
    return array


def _likelihood(experiment: Experiment) -> Experiment:
    if experiment.spec.test != "likelihood":
        raise SpecificationError(
            f"experiment: {experiment.name} is given, whose statistic is {experiment.spec.test}; "
            f"a reconstruction needs a likelihood; write {experiment.name}@"
            f"{experiment.threshold:.4g}, which makes its count one Poisson bin"
        )
    return experiment


def _profile(data: Binned, coefficients: Array) -> tuple[Array, Array]:
    """Return the least chi-square at each mass, and its coupling."""
    places = range(coefficients.shape[2])
    found = np.array([binned.least(data, coefficients[:, :, [place]]) for place in places])
    return found[:, 0], np.sqrt(found[:, 2])


def _profile_of_plane(plane: Array, g: Array) -> tuple[Array, Array]:
    """Return the same on the points of the plane; NaN where one of a mass is not known."""
    place = np.nan_to_num(plane, nan=np.inf).argmin(axis=1)
    return plane.min(axis=1), g[place]


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


def _upper(above: Array, g: Array, limit: float) -> Array:
    """Return the coupling above which all is excluded at each mass: 0 or inf beyond the axis."""
    out = np.full(above.shape[0], np.nan)
    for i, row in enumerate(above):
        allowed = np.flatnonzero(~(row > limit))
        if not allowed.size or allowed[-1] == g.size - 1:
            out[i] = np.inf if allowed.size else 0.0
            continue
        j = int(allowed[-1])
        if np.isfinite(row[j]):
            out[i] = _crossing(g, row, limit, j)
    return out


def _labeled(above: Array, best: tuple[Array, Array], masses: Array, g: Array) -> xr.Dataset:
    """Return the plane above its minimum, with the least value and its place at each mass."""
    upper = _upper(above, g, float(chi2_of.ppf(LIMIT, DOF)))

    def of_mass(values: Array, words: str) -> tuple[str, Array, dict[str, str]]:
        return "mass", values, {"units": "1", "long_name": words}

    return xr.Dataset(
        {
            "delta_chi2": (
                ("mass", "coupling"),
                above,
                {"units": "1", "long_name": "chi-square above its minimum"},
            ),
            "profile": of_mass(best[0], "its minimum at each mass"),
            "best_coupling": of_mass(best[1], "coupling at that minimum"),
            "upper_limit": of_mass(upper, "upper limit on g, 90 %"),
        },
        coords={
            "mass": ("mass", masses, {"units": "MeV", "long_name": "mediator mass"}),
            "coupling": ("coupling", g, {"units": "1", "long_name": "coupling g"}),
        },
    )


def _external(path: Path, masses: Array, g: Array) -> Array:
    """Return a chi-square from a file on the axes, linear in the logarithms of both.

    Raises
    ------
    MachineError
        The file cannot be read.
    SpecificationError
        It is not a full grid, or does not cover the axes.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MachineError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    table = parse_table(content, COLUMNS, str(path))
    own_mass, own_g = np.unique(table["mass_mev"]), np.unique(table["coupling"])
    values = np.full((own_mass.size, own_g.size), np.nan)
    places = np.searchsorted(own_mass, table["mass_mev"]), np.searchsorted(own_g, table["coupling"])
    values[places] = table["delta_chi2"]
    once = table["mass_mev"].size == values.size and not np.isnan(values).any()
    if not once or min(own_mass[0], own_g[0]) <= 0.0:
        raise SpecificationError(
            f"{path}: {table['mass_mev'].size} rows for {own_mass.size} masses and {own_g.size} "
            "couplings; every positive mass with every positive coupling is needed, once; "
            "complete it"
        )
    if not (_covers(own_mass, masses) and _covers(own_g, g)):
        raise SpecificationError(
            f"{path}: it covers {own_mass[0]:g} to {own_mass[-1]:g} MeV and {own_g[0]:g} to "
            f"{own_g[-1]:g}; the plane reaches further; narrow mass and coupling"
        )
    look = RegularGridInterpolator((np.log(own_mass), np.log(own_g)), values)
    inside = np.clip(masses, own_mass[0], own_mass[-1]), np.clip(g, own_g[0], own_g[-1])
    points = np.meshgrid(np.log(inside[0]), np.log(inside[1]), indexing="ij")
    return np.asarray(look(np.stack(points, axis=-1)))


def _covers(known: Array, wanted: Array) -> bool:
    """Whether an axis reaches as far as another, but for rounding."""
    near = 1.0 + _ROUNDING
    return bool(known[0] <= wanted[0] * near and wanted[-1] <= known[-1] * near)
