"""Limits and contours: all branches in the coupling, exact at each mass.

At fixed mass the counts are a quadratic in x = g^2, and a counting test is decided by the total
counts alone. So a test at a level is two bounds on the change of the counts, and the couplings at
which it is passed follow from the roots of two quadratics: no grid, no interpolation, and no branch
of a destructive interference is missed. A limit is a set of intervals, not a number.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from lmltgrid.analysis.setup import axis, conventions, find_experiment, rates
from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.kernels import poisson, statistics

Array = NDArray[np.float64]
Interval = tuple[float, float]

TESTS: Final = ("exclusion", "discovery")
SIDES: Final = ("two", "one")
DEFAULT_CL: Final = 0.90
DISCOVERY_SIGMAS: Final = 5.0
_TIP_STEPS: Final = 12  # a region's tip to 1/4000 of the step of the mass axis


def limits(
    experiment: str = "darwin-nr",
    *,
    mass: ArrayLike,
    test: str = "exclusion",
    sided: str = "two",
    cl: float = DEFAULT_CL,
    sigmas: float = DISCOVERY_SIGMAS,
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
    test
        "exclusion": the median experiment without new physics excludes the coupling.
        "discovery": the median experiment with it rejects the Standard Model.
    sided
        "two": an excess and a deficit both count; "one": only an excess.
    cl
        Confidence level of an exclusion, in each tail that counts.
    sigmas
        Significance of a discovery.
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
    own = chosen.threshold if threshold is None else threshold
    duration = chosen.spec.exposure_tonne_year if exposure is None else exposure
    axis([duration], "exposure", unit="tonne year")
    found = rates(chosen, setting, masses, [own])
    bounds = change_bounds(
        float(found.null[0]) * duration, test=test, sided=sided, cl=cl, sigmas=sigmas
    )
    every = intervals(duration * found.quadratic[0], bounds)
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
            "test": test,
            "sided": sided,
            **({"cl": cl} if test == "exclusion" else {"sigmas": sigmas}),
            "threshold": own,
            "energy_scale": chosen.spec.energy_scale,
            "exposure": duration,
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


def change_bounds(
    null: float, *, test: str, sided: str, cl: float, sigmas: float
) -> tuple[float, float]:
    """Return the changes of the counts below and above which a test is passed.

    Parameters
    ----------
    null
        Expected counts without new physics.

    Returns
    -------
    below, above
        -inf where no deficit passes.
    """
    if test not in TESTS:
        raise unknown_name("test", test, TESTS, "test")
    if sided not in SIDES:
        raise unknown_name("sided", sided, SIDES, "sided")
    if not 0.5 < cl < 1.0:
        raise SpecificationError(f"cl: {cl:g} is given; it must lie between 0.5 and 1; correct it")
    if not 0.0 < sigmas < 1e3:
        raise SpecificationError(f"sigmas: {sigmas:g} is given; it must be positive; correct it")
    if test == "exclusion":
        above = statistics.upper_mean(null, cl)
        below = statistics.lower_mean(null, cl)
    else:
        above, below = discovery_counts(null, sigmas)
    if sided == "one" or below is None:
        return -np.inf, float(above) - null
    return float(below) - null, float(above) - null


def discovery_counts(null: float, sigmas: float) -> tuple[float, float | None]:
    """Return the counts at which the null is rejected by an excess, and by a deficit if ever."""
    far = null + 2.0 * sigmas * np.sqrt(null) + 2.0 * sigmas**2 + 10.0
    above = brentq(lambda n: poisson.z_at_least(n, null) - sigmas, null, far, xtol=1e-12)
    if np.exp(-null) >= ndtr(-sigmas):  # not even zero counts would do
        return float(above), None
    below = brentq(lambda n: poisson.z_at_most(n, null) - sigmas, 0.0, null, xtol=1e-12)
    return float(above), float(below)


def intervals(quadratic: Array, bounds: tuple[float, float]) -> list[list[tuple[float, float]]]:
    """Return the couplings at which the change of the counts leaves the bounds, at each mass.

    Parameters
    ----------
    quadratic : shape (2, mass)
        The change is x (q[0] + x q[1]), x = g^2.
    bounds
        The change must be below the first or above the second.
    """
    return [
        sorted(_excess(c1, c2, bounds[1]) + _deficit(c1, c2, bounds[0]))
        for c1, c2 in quadratic.T.tolist()
    ]


def _excess(c1: float, c2: float, above: float) -> list[tuple[float, float]]:
    return [(a**0.5, b**0.5) for a, b in _inside(c1, c2, above)]


def _deficit(c1: float, c2: float, below: float) -> list[tuple[float, float]]:
    if not np.isfinite(below):
        return []
    return [(a**0.5, b**0.5) for a, b in _inside(-c1, -c2, -below)]


def _inside(c1: float, c2: float, level: float) -> list[tuple[float, float]]:
    """Return where x (c1 + x c2) > level > 0 on x > 0, as open intervals in x."""
    if c2 == 0.0:
        return [(level / c1, np.inf)] if c1 > 0.0 else []
    discriminant = c1 * c1 + 4.0 * c2 * level
    if discriminant <= 0.0:
        return []
    # the form of the roots that does not cancel
    half = -0.5 * (c1 + np.copysign(np.sqrt(discriminant), c1))
    roots = sorted(root for root in (half / c2, -level / half) if root > 0.0)
    if c2 > 0.0:
        return [(roots[-1], np.inf)]
    return [(roots[0], roots[1])] if len(roots) == 2 else []


def contours(
    experiment: str = "darwin-nr",
    *,
    mass: ArrayLike,
    coupling: ArrayLike,
    test: str = "exclusion",
    sided: str = "two",
    cl: float = DEFAULT_CL,
    sigmas: float = DISCOVERY_SIGMAS,
    threshold: float | None = None,
    exposure: float | None = None,
    experiments: str | Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return the closed regions of the mass-coupling plane in which a test is passed.

    Both sides of a region are exact at every mass of the axis. Where a region ends between two
    masses, its tip is found by bisection in the mass; at the border of the plane it is cut.

    Parameters
    ----------
    mass, coupling
        Axes of the plane, MeV and 1, ascending; the couplings serve as its border alone.
    experiment, test, sided, cl, sigmas, threshold, exposure, experiments, **options
        See `limits`.

    Returns
    -------
    dict
        ``regions``: a list of ``{"kind": "excess" | "deficit", "points": array (n, 2)}`` of mass
        and coupling, the first point repeated at the end; ``settings``: what was asked.

    Raises
    ------
    SpecificationError
        An argument is not allowed.
    """
    setting = conventions(**options)
    chosen = find_experiment(experiment, experiments)
    masses = _ascending(axis(mass, "mass", unit="MeV"), "mass")
    couplings = _ascending(axis(coupling, "coupling", unit="1"), "coupling")
    own = chosen.threshold if threshold is None else threshold
    duration = chosen.spec.exposure_tonne_year if exposure is None else exposure
    axis([duration], "exposure", unit="tonne year")
    null = float(rates(chosen, setting, masses[:1], [own]).null[0]) * duration
    bounds = change_bounds(null, test=test, sided=sided, cl=cl, sigmas=sigmas)

    def quadratic(at: Array) -> Array:
        found: Array = duration * rates(chosen, setting, at, [own]).quadratic[0]
        return found

    border = (float(couplings[0]), float(couplings[-1]))
    regions = [
        {"kind": kind, "points": points}
        for kind, branch, bound in (
            ("excess", _excess, bounds[1]),
            ("deficit", _deficit, bounds[0]),
        )
        for points in _trace(quadratic, masses, _branch(branch, bound, border))
    ]
    level = {"cl": cl} if test == "exclusion" else {"sigmas": sigmas}
    asked = {"test": test, "sided": sided, **level, "threshold": own, "exposure": duration}
    scale = {"experiment": chosen.name, "energy_scale": chosen.spec.energy_scale}
    return {"regions": regions, "settings": scale | asked | setting.as_dict()}


def _ascending(values: Array, name: str) -> Array:
    if values.size < 2 or np.any(np.diff(values) <= 0.0):
        raise SpecificationError(
            f"{name}: {values.size} values; at least two, ascending, are needed; sort them"
        )
    return values


def _branch(
    branch: Callable[[float, float, float], list[Interval]], bound: float, border: Interval
) -> Callable[[list[float]], Interval | None]:
    return lambda pair: _cut(branch(pair[0], pair[1], bound), border)


def _cut(found: list[tuple[float, float]], border: tuple[float, float]) -> Interval | None:
    """Return the part of the only interval of a branch that lies inside the border."""
    for low, high in found:
        if high > border[0] and low < border[1]:
            return max(low, border[0]), min(high, border[1])
    return None


def _trace(
    quadratic: Callable[[Array], Array],
    masses: Array,
    branch: Callable[[list[float]], Interval | None],
) -> list[Array]:
    """Return closed polygons of (mass, coupling), one for each run of masses with an interval."""
    here = [branch(pair) for pair in quadratic(masses).T.tolist()]
    out = []
    start = None
    for i in range(masses.size + 1):
        inside = i < masses.size and here[i] is not None
        if inside and start is None:
            start = i
        elif not inside and start is not None:
            rows = [(masses[k], *here[k]) for k in range(start, i)]  # type: ignore[misc]
            if start > 0:
                rows.insert(0, _tip(quadratic, branch, masses[start], masses[start - 1], rows[0]))
            if i < masses.size:
                rows.append(_tip(quadratic, branch, masses[i - 1], masses[i], rows[-1]))
            m, low, high = np.array(rows).T
            outline = np.concatenate([np.c_[m, low], np.c_[m, high][::-1]])
            out.append(np.concatenate([outline, outline[:1]]))
            start = None
    return out


def _tip(
    quadratic: Callable[[Array], Array],
    branch: Callable[[list[float]], Interval | None],
    inside: float,
    outside: float,
    row: tuple[float, float, float],
) -> tuple[float, float, float]:
    """Return mass and interval where a region ends, by bisection in log mass."""
    for _ in range(_TIP_STEPS):
        middle = float(np.sqrt(inside * outside))
        found = branch(quadratic(np.array([middle]))[:, 0].tolist())
        if found is None:
            outside = middle
        else:
            inside, row = middle, (middle, *found)
    return row
