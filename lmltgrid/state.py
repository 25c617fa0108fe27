"""What fills the chunks of a grid: coefficients and axes in, counts and significances out.

The state of one experiment is a few MB, whatever the size of the grid; it knows neither files nor
tables, so a worker needs nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid import basis
from lmltgrid.kernels import chisquare, plane, polynomial
from lmltgrid.spec import ScanSpec
from lmltgrid.tables.experiments import Measurement
from lmltgrid.tables.models import Model

Array = NDArray[np.float64]
Index = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class GridState:
    """What one experiment's chunks are filled from; a few MB, whatever the size of the grid.

    Attributes
    ----------
    coefficients : shape (model, metallicity, threshold, order, mass)
        Counts per tonne year in powers of g^2, summed over bins; order 0 without background.
    background : shape (threshold,)
        Expected background per tonne year.
    exposure, coupling : shapes (exposure,), (coupling,)
    statistic
        That of the experiment: "counting", "least-squares" or "rate".
    chi2 : shape (model, metallicity, threshold, 3, mass)
        From `lmltgrid.kernels.chisquare.least_squares`, for that statistic.
    measurement
        For the statistic of a rate.
    """

    coefficients: Array
    background: Array
    exposure: Array
    coupling: Array
    test: Literal["discovery", "exclusion"]
    sided: Literal["one", "two"]
    statistic: str
    chi2: Array | None
    measurement: Measurement | None
    dtype: Literal["float32", "float64"]


def make_state(
    moments: xr.Dataset, chosen: Sequence[Model], spec: ScanSpec, exposure: Array
) -> GridState:
    """Return what fills the chunks of one experiment's grid.

    Parameters
    ----------
    moments
        The experiment's basis moments.
    chosen
        The models, in the order of the axis.
    spec
        The scan.
    exposure : shape (exposure,), tonne year
    """
    stack = np.stack([basis.coefficients(moments, m, spec.couplings).values for m in chosen])
    background = moments["background"].values
    measured = moments.attrs.get("measurement")
    least = moments.attrs["statistic"] == "least-squares"
    return GridState(
        coefficients=np.ascontiguousarray(stack.sum(axis=3)),
        background=background.sum(axis=1),
        statistic=moments.attrs["statistic"],
        chi2=chisquare.least_squares(stack, background) if least else None,
        measurement=None if measured is None else Measurement.model_validate_json(measured),
        exposure=exposure,
        coupling=spec.coupling.points(),
        test=spec.statistic.test,
        sided=spec.statistic.sided,
        dtype=spec.dtype,
    )


def evaluate(state: GridState, index: Index) -> dict[str, NDArray[Any]]:
    """Fill one chunk of a grid.

    Parameters
    ----------
    state
        From `make_state`.
    index
        One slice for each of `GRID_DIMS`.

    Returns
    -------
    dict
        The variables of `GRID_VARIABLES`, each of the shape of the chunk.
    """
    _, _, _, exposures, masses, couplings = index
    exposure = state.exposure[exposures]
    x = state.coupling[couplings] ** 2
    chunk = state.coefficients[index[:3]][..., masses]
    background = state.background[index[2]]
    shape = (*chunk.shape[:3], exposure.size, chunk.shape[-1], x.size)
    counts = np.empty(shape, dtype=state.dtype)
    significance = np.empty((*shape[:4], shape[4] * shape[5]), dtype=state.dtype)
    points = np.empty(shape[-2:])
    for place in np.ndindex(*shape[:3]):
        coefficients = chunk[place].copy()
        coefficients[0] += background[place[2]]
        polynomial.rates(coefficients, x, points)
        np.multiply(exposure[:, None, None], points, out=counts[place], casting="same_kind")
        out = significance[place]
        if state.statistic == "counting":
            null = float(coefficients[0, 0])
            exclusion, two_sided = state.test == "exclusion", state.sided == "two"
            plane.significance(points.ravel(), null, exposure, exclusion, two_sided, out)
        else:
            where = tuple(i.start + k for i, k in zip(index[:3], place, strict=True))
            sigma, power = _chi2_sigma(state, where, masses, chunk[place], x)
            out[:] = exposure[:, None] ** power * sigma.ravel()
    return {"counts": counts, "significance": significance.reshape(shape)}


def _chi2_sigma(
    state: GridState, where: tuple[int, ...], masses: slice, coefficients: Array, x: Array
) -> tuple[Array, float]:
    """Return the significance at unit exposure, (mass, coupling), and its power of exposure."""
    if state.chi2 is not None:
        return chisquare.least_squares_sigma(state.chi2[where][:, masses], x), 0.5
    assert state.measurement is not None  # noqa: S101 - the statistic is a rate
    background = float(state.background[where[2]])
    missing, error = state.measurement.pull(float(coefficients[0, 0]), background)
    return chisquare.rate_sigma(coefficients[1], coefficients[2], x, missing, error), 0.0
