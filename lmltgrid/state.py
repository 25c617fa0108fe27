"""What fills the chunks of a grid: coefficients and axes in, counts and significances out.

The state of one experiment is a few MB, whatever the size of the grid; it knows neither files nor
tables, so a worker needs nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid import basis, binned, folding
from lmltgrid.kernels import chisquare, plane, polynomial, pulls
from lmltgrid.spec import ScanSpec
from lmltgrid.tables.measurement import (
    CountMeasurement,
    Measurement,
    PulledMeasurement,
    from_json,
)
from lmltgrid.tables.models import Model

Array = NDArray[np.float64]
Index = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class GridState:
    """What one experiment's chunks are filled from; a few MB, whatever the size of the grid.

    Attributes
    ----------
    coefficients : shape (model, metallicity, oscillation, threshold, order, mass)
        Counts per tonne year in powers of g^2, summed over bins; order 0 without background.
    boron : shape as that of coefficients, or None
        The part of 8B neutrinos, where the error of their flux is profiled.
    background : shape (threshold,)
        Expected background per tonne year.
    exposure, coupling : shapes (exposure,), (coupling,)
    statistic
        That of the experiment: "counting", "least-squares", "likelihood", "rate", "flux", "counts".
    sums : shape (model, metallicity, oscillation, threshold, sum, mass), or None
        From `lmltgrid.kernels.chisquare`, for least squares.
    measurement
        What was measured, for the last three statistics ...
    own_exposure
        ... and in which exposure, tonne year.
    flux_error
        Fractional error of the 8B flux; None where nothing is asked.
    likelihood
        Data and pulls, for the statistic "likelihood" ...
    bins : shape (model, metallicity, oscillation, threshold, bin, order, mass), or None
        ... with the coefficients bin by bin ...
    least : shape (model, metallicity, oscillation), or None
        ... and the least chi-square of measured data over the whole plane.
    """

    coefficients: Array
    boron: Array | None
    background: Array
    exposure: Array
    coupling: Array
    test: Literal["discovery", "exclusion"]
    sided: Literal["one", "two"]
    statistic: str
    sums: Array | None
    measurement: Measurement | None
    own_exposure: float
    flux_error: float | None
    likelihood: xr.Dataset | None
    bins: Array | None
    least: Array | None
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

    def stacked(part: str) -> Array:
        every = [basis.coefficients(moments, m, spec.couplings, part=part).values for m in chosen]
        return np.stack(every)

    bins, background = stacked(""), moments["background"].values
    fitted = _without_recoils(moments) if moments.attrs["statistic"] == "likelihood" else None
    boron = stacked(folding.BORON) if spec.statistic.flux_error else None
    measured = moments.attrs.get("measurement")
    sums = None
    if moments.attrs["statistic"] == "least-squares":
        if boron is None:
            sums = chisquare.least_squares(bins, background)
        else:
            sums = chisquare.pulled_least_squares(bins, background, boron)
    return GridState(
        coefficients=np.ascontiguousarray(bins.sum(axis=-3)),
        boron=None if boron is None else np.ascontiguousarray(boron.sum(axis=-3)),
        background=background.sum(axis=1),
        statistic=moments.attrs["statistic"],
        sums=sums,
        measurement=None if measured is None else from_json(measured),
        own_exposure=float(moments.attrs["exposure_tonne_year"]),
        flux_error=spec.statistic.flux_error,
        likelihood=fitted,
        bins=None if fitted is None else bins,
        least=None if fitted is None else _least(fitted, bins.shape[:3]),
        exposure=exposure,
        coupling=spec.coupling.points(),
        test=spec.statistic.test,
        sided=spec.statistic.sided,
        dtype=spec.dtype,
    )


def _without_recoils(moments: xr.Dataset) -> xr.Dataset:
    """Return what a likelihood needs besides the coefficients."""
    return moments.drop_dims([dim for dim in moments.dims if dim == "mass" or "basis" in str(dim)])


def _least(fitted: xr.Dataset, shape: tuple[int, ...]) -> Array:
    """Return the least chi-square of measured data, and zero where the Standard Model is it."""
    stored = fitted.attrs.get("least")
    return np.zeros(shape) if stored is None else np.array(json.loads(stored)).reshape(shape)


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
    *outer, exposures, masses, couplings = index
    exposure = state.exposure[exposures]
    x = state.coupling[couplings] ** 2
    chunk = state.coefficients[tuple(outer)][..., masses]
    shape = (*chunk.shape[:4], exposure.size, chunk.shape[-1], x.size)
    counts = np.empty(shape, dtype=state.dtype)
    significance = np.empty((*shape[:5], shape[5] * shape[6]), dtype=state.dtype)
    points = np.empty(shape[-2:])
    for place in np.ndindex(*shape[:4]):
        where = tuple(i.start + k for i, k in zip(outer, place, strict=True))
        coefficients = chunk[place].copy()
        coefficients[0] += state.background[where[-1]]
        polynomial.rates(coefficients, x, points)
        np.multiply(exposure[:, None, None], points, out=counts[place], casting="same_kind")
        _significance(state, where, masses, points, exposure, x, significance[place])
    return {"counts": counts, "significance": significance.reshape(shape)}


def _significance(
    state: GridState,
    where: tuple[int, ...],
    masses: slice,
    points: Array,
    exposure: Array,
    x: Array,
    out: NDArray[Any],
) -> None:
    """Write the significance of one plane, shape (exposure, mass * coupling).

    ``points`` are the counts per tonne year, shape (mass, coupling), background included.
    """
    if state.sums is not None:
        sums = state.sums[where][:, masses]
        for row, t in zip(out, exposure.tolist(), strict=True):
            if state.flux_error:
                sigma = chisquare.pulled_least_squares_sigma(sums, x, t, state.flux_error)
            else:
                sigma = np.sqrt(t) * chisquare.least_squares_sigma(sums, x)
            row[:] = sigma.ravel()
    elif state.likelihood is not None:
        for row, t in zip(out, exposure.tolist(), strict=True):
            row[:] = _likelihood_sigma(state, where, masses, t, x).ravel()
    elif state.measurement is not None:
        out[:] = _measured_sigma(state, state.measurement, where, masses, x).ravel()
    else:
        null = float(state.coefficients[where][0, 0] + state.background[where[-1]])
        how = (state.test == "exclusion", state.sided == "two")
        if state.boron is None:
            plane.significance(points.ravel(), null, exposure, *how, out)
        else:
            flux = _flux(state, state.boron[where][:, masses], x, points)
            error = float(state.flux_error or 0.0)
            pulls.significance(points.ravel(), null, flux, error, exposure, *how, out)


def _likelihood_sigma(
    state: GridState, where: tuple[int, ...], masses: slice, exposure: float, x: Array
) -> Array:
    """Return the root of the profiled chi-square above its minimum, (mass, coupling)."""
    assert state.likelihood is not None  # noqa: S101 - asked for
    assert state.bins is not None  # noqa: S101 - with it
    assert state.least is not None  # noqa: S101 - with it
    own = state.bins[where]
    data = binned.from_moments(state.likelihood, own[:, 0, 0], exposure, threshold=where[3])
    above = data.plane(own[:, :, masses], x) - state.least[where[:3]]
    return np.asarray(np.sqrt(np.maximum(above, 0.0)))


def _flux(state: GridState, boron: Array, x: Array, like: Array) -> Array:
    """Return the 8B counts per tonne year of what is tested, shape (mass * coupling,)."""
    part = np.empty_like(like)
    if state.test == "exclusion":
        polynomial.rates(boron, x, part)
    else:
        part[:] = boron[0, 0]
    return part.ravel()


def _measured_sigma(
    state: GridState, measured: Measurement, where: tuple[int, ...], masses: slice, x: Array
) -> Array:
    """Return the significance against a measurement, shape (mass, coupling), at any exposure."""
    c0, c1, c2 = state.coefficients[where][:, masses]
    if isinstance(measured, CountMeasurement):
        fraction = measured.fraction(state.flux_error)
        scaled = state.own_exposure * np.stack([c0, c1, c2])
        return pulls.measured_sigma(
            scaled,
            x,
            float(measured.observed),
            measured.background_counts,
            measured.background_error_counts,
            fraction,
        )
    assert isinstance(measured, PulledMeasurement)  # noqa: S101 - there are two kinds
    background = float(state.background[where[-1]])
    boron = 0.0 if state.boron is None else float(state.boron[where][0, 0])
    missing, error = measured.pull(float(c0[0]), background, boron, state.flux_error)
    return chisquare.rate_sigma(c1, c2, x, missing, error)
