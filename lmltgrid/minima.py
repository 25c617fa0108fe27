"""The least chi-square of a likelihood over the whole plane of mass and coupling.

Limits and grids count from it, so it must not depend on the masses that were asked for. It can lie
inside a narrow strip, where the mediator twice undoes the Standard Model (0.1 to 0.2 GeV at
COHERENT), so it is polished in the coupling at each mass, and the masses are refined around it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid import basis, binned
from lmltgrid.errors import ConvergenceError
from lmltgrid.spec import Atomic, Couplings
from lmltgrid.tables.experiment import Experiment
from lmltgrid.tables.models import Model
from lmltgrid.tables.oscillation import Oscillation

Array = NDArray[np.float64]

MASSES: Final = np.geomspace(1e-2, 1e5, 141)  # MeV: both ends are far beyond any change
_FINER: Final = 25  # masses between the neighbors of the best


def minimum(
    experiment: Experiment,
    model: Model,
    *,
    couplings: Couplings,
    metallicity: str,
    oscillation: Oscillation,
    atomic: Atomic,
    exposure: float,
    threshold: float | None = None,
    data: Array | None = None,
) -> tuple[float, float, float]:
    """Return the least chi-square, with its mass (MeV) and coupling.

    Parameters
    ----------
    exposure
        Tonne year, for bins that are not measured.
    threshold
        In the experiment's own scale; its nominal one if left out.
    data : shape (bin,), optional
        Counts to be taken as observed.

    Raises
    ------
    ConvergenceError
        No fit converges anywhere.
    """
    sun = (metallicity, oscillation, atomic, threshold)
    moments = _wide(experiment, *sun)
    best = (np.inf, 0.0, 0.0)
    for _ in range(2):
        found = basis.coefficients(moments, model, couplings).values[0, 0, 0]
        own = binned.from_moments(moments, found[:, 0, 0], exposure, data)
        value, place, x = binned.least(own, found)
        masses = moments["mass"].values
        if not np.isfinite(value):
            raise ConvergenceError(
                f"{experiment.name}: the likelihood does not converge anywhere between "
                f"{masses[0]:g} and {masses[-1]:g} MeV; check its data and pulls"
            )
        best = min(best, (value, float(masses[place]), float(np.sqrt(x))))
        low, high = masses[max(place - 1, 0)], masses[min(place + 1, masses.size - 1)]
        moments = _moments(experiment, np.geomspace(float(low), float(high), _FINER), *sun)
    return best


@lru_cache(maxsize=8)
def _wide(
    experiment: Experiment,
    metallicity: str,
    oscillation: Oscillation,
    atomic: Atomic,
    threshold: float | None,
) -> xr.Dataset:
    return _moments(experiment, MASSES, metallicity, oscillation, atomic, threshold)


def _moments(
    experiment: Experiment,
    mass: Array,
    metallicity: str,
    oscillation: Oscillation,
    atomic: Atomic,
    threshold: float | None,
) -> xr.Dataset:
    return basis.compute(
        experiment,
        mass=mass,
        threshold=None if threshold is None else np.array([threshold]),
        metallicity=(metallicity,),
        oscillation=(oscillation,),
        atomic=atomic,
    )
