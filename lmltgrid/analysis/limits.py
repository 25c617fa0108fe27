"""Limits and contours: all branches in the coupling, exact at each mass (see `criteria`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lmltgrid.analysis.finder import Finder
from lmltgrid.analysis.level import DEFAULT_CL, DEFAULT_DOF, DISCOVERY_SIGMAS, Level
from lmltgrid.analysis.roots import Interval
from lmltgrid.analysis.setup import (
    ascending,
    axis,
    conventions,
    find_experiment,
    own_values,
    require_own_exposure,
)

Array = NDArray[np.float64]

_TIP_STEPS: Final = 12  # a region's tip to 1/4000 of the step of the mass axis


def limits(
    experiment: str = "darwin-nr",
    *,
    mass: ArrayLike,
    test: str = "exclusion",
    sided: str = "two",
    cl: float = DEFAULT_CL,
    dof: int = DEFAULT_DOF,
    sigmas: float = DISCOVERY_SIGMAS,
    flux_error: float | None = None,
    threshold: float | None = None,
    exposure: float | None = None,
    experiments: str | Path | None = None,
    **options: Any,
) -> xr.Dataset:
    """Return the excluded (or discoverable) couplings at each mass, every branch of them.

    Parameters
    ----------
    experiment
        Name in the catalog, or in the folder ``experiments``.
    mass
        Mediator masses, MeV.
    test, sided, cl, dof, sigmas, flux_error
        See `lmltgrid.analysis.level.Level`.
    threshold, exposure
        keV in the experiment's own scale, and tonne year; the experiment's own if left out.
    **options
        Model and conventions, see `lmltgrid.analysis.setup.conventions`.

    Returns
    -------
    Dataset
        ``low``, ``high``: ends of the intervals in g, dims (mass, interval); NaN pads the masses
        with fewer intervals; ``high`` is inf where the interval is open.

    Raises
    ------
    SpecificationError
        An argument is not allowed.
    """
    setting = conventions(**options)
    chosen = find_experiment(experiment, experiments)
    masses = axis(mass, "mass", unit="MeV")
    own, duration = own_values(chosen, threshold, exposure)
    require_own_exposure(chosen, duration)
    level = Level(test, sided, cl, dof, sigmas, flux_error)
    finder = Finder(chosen, setting, own, duration, level)
    every = finder(masses)
    width = max((len(one) for one in every), default=0)
    low, high = np.full((2, masses.size, width), np.nan)
    for i, one in enumerate(every):
        for j, (start, stop) in enumerate(one):
            low[i, j], high[i, j] = start, stop
    label = {"units": "1", "long_name": "coupling g"}
    return xr.Dataset(
        {"low": (("mass", "interval"), low, label), "high": (("mass", "interval"), high, label)},
        coords={"mass": ("mass", masses, {"units": "MeV", "long_name": "mediator mass"})},
        attrs={
            "experiment": chosen.name,
            **finder.as_dict(),
            "energy_scale": chosen.spec.energy_scale,
            **setting.as_dict(),
        },
    )


def as_lists(found: xr.Dataset) -> list[list[list[float | None]]]:
    """Return the intervals of `limits` at each mass as ``[low, high]``, None for an open end."""
    out = []
    for lows, highs in zip(found["low"].values, found["high"].values, strict=True):
        pairs = [(a, b) for a, b in zip(lows.tolist(), highs.tolist(), strict=True) if a == a]
        out.append([[low, None if np.isinf(high) else high] for low, high in pairs])
    return out


def contours(
    experiment: str = "darwin-nr",
    *,
    mass: ArrayLike,
    coupling: ArrayLike,
    test: str = "exclusion",
    sided: str = "two",
    cl: float = DEFAULT_CL,
    dof: int = DEFAULT_DOF,
    sigmas: float = DISCOVERY_SIGMAS,
    flux_error: float | None = None,
    threshold: float | None = None,
    exposure: float | None = None,
    experiments: str | Path | None = None,
    **options: Any,
) -> xr.Dataset:
    """Return the closed regions of the mass-coupling plane in which a test is passed.

    Both sides of a region are exact at every mass of the axis. Where a region ends between two
    masses, its tip is found by bisection in the mass; at the border of the plane it is cut.

    Parameters
    ----------
    mass, coupling
        Axes of the plane, MeV and 1, ascending; the couplings serve as its border alone.
    experiment, test, sided, cl, dof, sigmas, flux_error
        See `limits`.
    threshold, exposure, experiments, **options
        See `limits`.

    Returns
    -------
    Dataset
        ``mass`` (MeV) and ``coupling``: the outlines, dims (region, vertex), each with its first
        point repeated at its end and padded with NaN (see `outlines`); coordinate ``kind``, dims
        (region,): "excess" or "deficit"; attributes: what was asked.

    Raises
    ------
    SpecificationError
        An argument is not allowed.
    """
    setting = conventions(**options)
    chosen = find_experiment(experiment, experiments)
    masses = ascending(mass, "mass", unit="MeV")
    couplings = ascending(coupling, "coupling", unit="1")
    own, duration = own_values(chosen, threshold, exposure)
    require_own_exposure(chosen, duration)
    level = Level(test, sided, cl, dof, sigmas, flux_error)

    find = Finder(chosen, setting, own, duration, level)
    border = (float(couplings[0]), float(couplings[-1]))
    here = find(masses)
    regions = []
    for branch in range(max((len(one) for one in here), default=0)):
        regions += _trace(find, here, masses, branch, border)
    scale = {"experiment": chosen.name, "energy_scale": chosen.spec.energy_scale}
    return _polygons(regions).assign_attrs(scale | find.as_dict() | setting.as_dict())


def _polygons(regions: list[tuple[Array, bool]]) -> xr.Dataset:
    """Return outlines of shape (n, 2), each with whether it is open above, as one dataset."""
    longest = max((len(points) for points, _ in regions), default=0)
    padded = np.full((2, len(regions), longest), np.nan)
    for i, (points, _) in enumerate(regions):
        padded[:, i, : len(points)] = points.T
    kinds = np.array(["excess" if opened else "deficit" for _, opened in regions], dtype="U7")
    dims = ("region", "vertex")
    return xr.Dataset(
        {
            "mass": (dims, padded[0], {"units": "MeV", "long_name": "mediator mass"}),
            "coupling": (dims, padded[1], {"units": "1", "long_name": "coupling g"}),
        },
        coords={"kind": ("region", kinds, {"long_name": "what passes the test"})},
    )


def outlines(found: xr.Dataset) -> list[tuple[str, Array]]:
    """Return the regions of `contours` as kind and outline, shape (n, 2): mass and coupling."""
    both = np.stack([found["mass"].values, found["coupling"].values], axis=-1)
    kinds = found["kind"].values.tolist()
    return [(kind, one[~np.isnan(one[:, 0])]) for kind, one in zip(kinds, both, strict=True)]


def _cut(found: list[Interval], branch: int, border: Interval) -> Interval | None:
    """Return the part of one interval, counted from the top, that lies inside the border."""
    if branch >= len(found):
        return None
    low, high = found[-1 - branch]
    if high <= border[0] or low >= border[1]:
        return None
    return max(low, border[0]), min(high, border[1])


def _trace(
    find: Callable[[Array], list[list[Interval]]],
    here: list[list[Interval]],
    masses: Array,
    branch: int,
    border: Interval,
) -> list[tuple[Array, bool]]:
    """Return closed polygons of (mass, coupling), one for each run of masses with an interval.

    With each comes whether the interval is open, to ever larger couplings.
    """
    cut = [_cut(one, branch, border) for one in here]
    out = []
    start = None
    for i in range(masses.size + 1):
        inside = i < masses.size and cut[i] is not None
        if inside and start is None:
            start = i
        elif not inside and start is not None:
            rows = [(masses[k], *cut[k]) for k in range(start, i)]  # type: ignore[misc]
            opened = bool(np.isinf(here[start][-1 - branch][1]))
            if start > 0:
                pair = (masses[start], masses[start - 1])
                rows.insert(0, _tip(find, branch, border, pair, rows[0]))
            if i < masses.size:
                rows.append(_tip(find, branch, border, (masses[i - 1], masses[i]), rows[-1]))
            m, low, high = np.array(rows).T
            outline = np.concatenate([np.c_[m, low], np.c_[m, high][::-1]])
            out.append((np.concatenate([outline, outline[:1]]), opened))
            start = None
    return out


def _tip(
    find: Callable[[Array], list[list[Interval]]],
    branch: int,
    border: Interval,
    pair: tuple[float, float],
    row: tuple[float, float, float],
) -> tuple[float, float, float]:
    """Return mass and interval where a region ends, by bisection in log mass.

    ``pair`` has a mass inside the region, and one outside; ``row`` is that of the first.
    """
    inside, outside = pair
    for _ in range(_TIP_STEPS):
        middle = float(np.sqrt(inside * outside))
        found = _cut(find(np.array([middle]))[0], branch, border)
        if found is None:
            outside = middle
        else:
            inside, row = middle, (middle, *found)
    return row
