"""The events of a gas detector against its pressure, and the pressure with the most."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, get_args

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize_scalar

from lmltgrid import basis, drift_moments
from lmltgrid.analysis.setup import axis, find_experiment, own_values
from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.spec import Couplings
from lmltgrid.tables.drift import DriftExperiment, check_pressures
from lmltgrid.tables.nuclei import ATOMIC_NUMBER

Array = NDArray[np.float64]
Events = Callable[[Array], Array]

DEFAULT_PRESSURE: Final = (10.0, 1000.0, 120)  # far above that, carbon alone rises again
_XTOL: Final = 1e-8  # in log pressure


def pressure_curve(
    experiment: str = "nubdx-drift",
    *,
    pressure: ArrayLike | None = None,
    exposure: float | None = None,
    couplings: Couplings = drift_moments.COUPLINGS,
    experiments: str | Path | None = None,
) -> xr.Dataset:
    """Return the expected events in the Standard Model against the gas pressure (B22 Fig. 1).

    Parameters
    ----------
    experiment
        Name of a gas detector in the catalog, or in the folder ``experiments``.
    pressure
        Torr, ascending; from 10 to 1000 if left out.
    exposure
        Tonne year at the nominal pressure, which stands for a volume and a time; the experiment's
        own if left out.
    couplings
        Of neutrinos in the Standard Model, see `lmltgrid.basis.coefficients`.

    Returns
    -------
    Dataset
        ``events``, dims (pressure,), and ``by_element``, dims (pressure, element): counts without
        background. Attributes ``optimum_torr`` and ``optimum_events``: where in this range the
        events are most; ``crossover_torr``: where the first element in the formula begins to give
        more than the second, if it does.

    Raises
    ------
    SpecificationError
        The experiment has no gas, or a pressure is not allowed.
    """
    chosen = find_experiment(experiment, experiments)
    if not isinstance(chosen, DriftExperiment):
        raise SpecificationError(
            f"experiment: {chosen.name} has no gas pressure; give a detector in the LBNF beam"
        )
    if couplings not in get_args(Couplings):
        raise unknown_name("couplings", couplings, get_args(Couplings), "couplings")
    given = np.geomspace(*DEFAULT_PRESSURE) if pressure is None else pressure
    torr = axis(given, "pressure", unit="Torr")
    check_pressures(chosen, torr, "pressure")
    if np.any(np.diff(torr) <= 0.0):
        raise SpecificationError("pressure: values must ascend; sort them")
    _, duration = own_values(chosen, None, exposure)
    symbols = {number: symbol for symbol, number in ATOMIC_NUMBER.items()}
    z = chosen.nuclei.z
    elements = list(dict.fromkeys(z.tolist()))
    each = np.array([z == one for one in elements], dtype=np.float64)

    def events(at: Array) -> Array:
        """Return the events of each element, shape (pressure, element)."""
        found = drift_moments.standard_model(chosen, at, couplings)
        return np.asarray(duration * found @ each.T)

    counts = events(torr)
    most = _most(events, torr, counts.sum(axis=1))
    attrs = {
        "experiment": chosen.name,
        **chosen.warning,
        "couplings": couplings,
        "exposure": duration,
        "nominal_torr": chosen.threshold,
        "optimum_torr": most[0],
        "optimum_events": most[1],
        "physics_version": basis.PHYSICS_VERSION,
    }
    crossing = _crossover(events, torr, counts)
    if crossing is not None:
        attrs["crossover_torr"] = crossing
    label = {"units": "1", "long_name": "events in the Standard Model"}
    return xr.Dataset(
        {
            "events": ("pressure", counts.sum(axis=1), label),
            "by_element": (("pressure", "element"), counts, label),
        },
        coords={
            "pressure": ("pressure", torr, {"units": "Torr", "long_name": "gas pressure"}),
            "element": [symbols[int(one)] for one in elements],
        },
        attrs=attrs,
    )


def _most(events: Events, torr: Array, counts: Array) -> tuple[float, float]:
    """Return the pressure with the most events in the range, polished, and their number."""
    i = int(np.argmax(counts))
    if torr.size == 1 or i in (0, torr.size - 1):
        return float(torr[i]), float(counts[i])
    found = minimize_scalar(
        lambda log: -float(events(np.exp([log])).sum()),
        bounds=(np.log(torr[i - 1]), np.log(torr[i + 1])),
        method="bounded",
        options={"xatol": _XTOL},
    )
    return float(np.exp(found.x)), -float(found.fun)


def _crossover(events: Events, torr: Array, counts: Array) -> float | None:
    """Return the pressure from which the first element gives more than the second, or None."""
    ahead = counts[:, 0] - counts[:, 1]
    turns = np.flatnonzero((ahead[:-1] < 0.0) & (ahead[1:] >= 0.0))
    if not turns.size:
        return None

    def miss(log: float) -> float:
        first, second = events(np.exp([log]))[0]
        return float(first - second)

    i = int(turns[0])
    root = brentq(miss, np.log(torr[i]), np.log(torr[i + 1]), xtol=_XTOL)
    return float(np.exp(root))
