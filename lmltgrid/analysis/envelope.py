"""The envelope of several analyses: what at least one of them excludes, and which is the strongest.

P20 (Amaral et al. 2020, arXiv:2006.11225) section IV takes it over the analyses of each detector.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lmltgrid.analysis.limits import limits
from lmltgrid.errors import SpecificationError

Interval = tuple[float, float]

# what each analysis has of its own; the rest of the settings is shared
_OF_MEMBER: Final = ("experiment", "statistic", "threshold", "energy_scale", "exposure")


def envelope(
    experiment: Sequence[str],
    *,
    mass: ArrayLike,
    experiments: str | Path | None = None,
    **options: Any,
) -> xr.Dataset:
    """Return the couplings that at least one of several analyses excludes at each mass.

    Each analysis is asked alone, at its own threshold and exposure: the union of the excluded sets
    is not their combination, which would exclude more.

    Parameters
    ----------
    experiment
        Names in the catalog, or in the folder ``experiments``; usually all of one detector.
    mass, experiments
        Mediator masses, MeV; folder of a user's own experiments.
    **options
        Test, model and conventions, see `lmltgrid.analysis.limits.limits`.

    Returns
    -------
    Dataset
        ``low`` and ``high`` as those of `lmltgrid.analysis.limits.limits`; ``strongest``, dims
        (mass,): the analysis that excludes the smallest coupling, "" where none excludes any. What
        an analysis has of its own is a list in the attributes, in the order of ``experiment``.

    Raises
    ------
    SpecificationError
        An argument is not allowed.
    """
    names = list(experiment)
    if isinstance(experiment, str) or not names or len(set(names)) < len(names):
        raise SpecificationError(
            f"experiment: {experiment!r} is given; an envelope is that of a list of different "
            "experiments; correct it"
        )
    for name in {"threshold", "exposure"} & options.keys():
        raise SpecificationError(
            f"{name}: {options[name]} is given for an envelope, which takes each experiment at its "
            "own; leave it out, or ask for the limits of one experiment"
        )
    found = [limits(name, mass=mass, experiments=experiments, **options) for name in names]
    every = [_union(_pairs(one, i) for one in found) for i in range(found[0].sizes["mass"])]
    width = max((len(one) for one in every), default=0)
    low, high = np.full((2, len(every), width), np.nan)
    for i, one in enumerate(every):
        for j, (start, stop) in enumerate(one):
            low[i, j], high[i, j] = start, stop
    both = {"low": found[0]["low"].attrs, "high": found[0]["high"].attrs}
    ends = {
        name: (("mass", "interval"), values, both[name])
        for name, values in (("low", low), ("high", high))
    }
    best = ("mass", _strongest(found, names), {"long_name": "analysis that reaches furthest"})
    return xr.Dataset(
        ends | {"strongest": best}, coords={"mass": found[0]["mass"]}, attrs=_settings(found)
    )


def _pairs(found: xr.Dataset, place: int) -> list[Interval]:
    low, high = (found[name].values[place].tolist() for name in ("low", "high"))
    return [(a, b) for a, b in zip(low, high, strict=True) if a == a]


def _union(every: Iterable[list[Interval]]) -> list[Interval]:
    """Return the union of sets of intervals, ascending and apart from each other."""
    out: list[Interval] = []
    for low, high in sorted(pair for one in every for pair in one):
        if out and low <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return out


def _strongest(found: list[xr.Dataset], names: list[str]) -> NDArray[np.str_]:
    lowest = np.full((len(found), found[0].sizes["mass"]), np.inf)
    for row, one in zip(lowest, found, strict=True):
        if one.sizes["interval"]:
            row[:] = np.where(np.isnan(one["low"][:, 0]), np.inf, one["low"][:, 0])
    best = np.array(names)[lowest.argmin(axis=0)]
    return np.where(np.isfinite(lowest.min(axis=0)), best, "")


def _settings(found: list[xr.Dataset]) -> dict[str, Any]:
    """Return the settings of all analyses, and the cautions with whom they concern."""
    out: dict[str, Any] = {name: [one.attrs[name] for one in found] for name in _OF_MEMBER}
    cautions: dict[str, list[str]] = {}
    for one in found:
        if "caution" in one.attrs:
            cautions.setdefault(one.attrs["caution"], []).append(one.attrs["experiment"])
        # what only some statistics have, as dof and sides, is said once
        out |= {k: v for k, v in one.attrs.items() if k not in (*_OF_MEMBER, "caution")}
    if cautions:
        out["caution"] = "; ".join(f"{', '.join(who)}: {what}" for what, who in cautions.items())
    return out
