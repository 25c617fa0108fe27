"""Distributed grid scans of light-mediator searches with neutrinos.

Functions that take and return xarray objects with units. Nothing is imported before it is used, so
``import lmltgrid`` is quick.

Examples
--------
>>> import lmltgrid
>>> found = lmltgrid.limits("darwin-nr", model="Lmu-Ltau", mass=[1.0, 10.0, 100.0])
>>> sorted(found.data_vars)
['high', 'low']
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from lmltgrid.analysis.discovery import discovery
    from lmltgrid.analysis.envelope import envelope
    from lmltgrid.analysis.limits import contours, limits
    from lmltgrid.analysis.points import (
        delta_a_mu,
        events,
        moments,
        muon_band,
        oscillations,
        spectrum,
    )
    from lmltgrid.analysis.reconstruction import reconstruct
    from lmltgrid.analysis.toys import calibrated_limits, feldman_cousins
    from lmltgrid.estimate import forecast
    from lmltgrid.grid import load_spec
    from lmltgrid.service import open_store as open  # noqa: A004 - the word for it
    from lmltgrid.service import resume, run
    from lmltgrid.spec import ScanSpec

__version__ = "0.1.0"

__all__ = [
    "calibrated_limits",
    "contours",
    "delta_a_mu",
    "discovery",
    "envelope",
    "events",
    "feldman_cousins",
    "forecast",
    "limits",
    "load_spec",
    "moments",
    "muon_band",
    "open",
    "oscillations",
    "reconstruct",
    "resume",
    "run",
    "spectrum",
    "virtual",
]

# where each public name lives
_HOMES = {
    "calibrated_limits": "lmltgrid.analysis.toys:calibrated_limits",
    "contours": "lmltgrid.analysis.limits:contours",
    "delta_a_mu": "lmltgrid.analysis.points:delta_a_mu",
    "discovery": "lmltgrid.analysis.discovery:discovery",
    "envelope": "lmltgrid.analysis.envelope:envelope",
    "events": "lmltgrid.analysis.points:events",
    "feldman_cousins": "lmltgrid.analysis.toys:feldman_cousins",
    "forecast": "lmltgrid.estimate:forecast",
    "limits": "lmltgrid.analysis.limits:limits",
    "load_spec": "lmltgrid.grid:load_spec",
    "moments": "lmltgrid.analysis.points:moments",
    "muon_band": "lmltgrid.analysis.points:muon_band",
    "open": "lmltgrid.service:open_store",
    "oscillations": "lmltgrid.analysis.points:oscillations",
    "reconstruct": "lmltgrid.analysis.reconstruction:reconstruct",
    "resume": "lmltgrid.service:resume",
    "run": "lmltgrid.service:run",
    "spectrum": "lmltgrid.analysis.points:spectrum",
}


def virtual(
    spec: ScanSpec | str | Path,
    *,
    experiments: str | Path | None = None,
    group: str = "grid",
) -> dict[str, xr.Dataset]:
    """Return the grids of a scan as lazy datasets, by experiment, computed on demand.

    They have the form and the numbers of a finished store, but nothing is stored.

    Parameters
    ----------
    spec
        From `load_spec`, or the TOML file.
    experiments
        Folder of a user's own experiments.
    group
        "grid", or "toys" for the pseudo-experiments of its table [toys].

    Raises
    ------
    SpecificationError
        The specification says something that is not allowed.
    """
    from lmltgrid import grid, lazy
    from lmltgrid.spec import ScanSpec, read_spec

    read = spec if isinstance(spec, ScanSpec) else read_spec(Path(spec))
    where = "scan" if isinstance(spec, ScanSpec) else str(spec)
    folder = None if experiments is None else Path(experiments)
    plan = grid.make_plan(read, experiments=folder, where=where)
    return lazy.virtual(plan, group=group)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = home.partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
