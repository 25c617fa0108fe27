"""Pseudo-experiments at every point of a grid: the distribution of the likelihood ratio there.

What is drawn at a point depends on the seed, on the names and the coordinates of the point, and on
nothing else: not on the chunk, the worker, or the other points of an axis. The statistic and how it
is drawn are described in `lmltgrid.kernels.toys`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid import basis, binned, folding
from lmltgrid.kernels import chisquare
from lmltgrid.kernels import toys as kernels
from lmltgrid.kernels.toys import Bins
from lmltgrid.ladders import Curves
from lmltgrid.spec import ScanSpec, ToysSpec
from lmltgrid.tables.experiment import Experiment
from lmltgrid.tables.measurement import CountMeasurement, Measurement, from_json
from lmltgrid.tables.models import Model
from lmltgrid.variables import TOY_VARIABLES

Array = NDArray[np.float64]
Index = tuple[slice, ...]
Place = tuple[int, ...]
Words = NDArray[np.int64]
Draw = Callable[[float, Words], tuple[Array, float]]

GROUP: Final = "toys"  # of a store
FREE: Final = "free"  # in the moments: coefficients at the masses that a fit may choose
FREE_BORON: Final = "free_flux"
# below the first and above the last the mass no longer changes the shape of anything
FREE_MASSES: Final = np.geomspace(0.1, 1e4, 21)  # MeV
PROBABILITIES: Final = (0.05, 0.25, 0.5, 0.75)  # of the stored quantiles, besides the levels
TIE: Final = 1e-5  # what differs by less is equally extreme: fits end there
_DIGITS: Final = 11  # of a coordinate that names a point: a machine's last digit changes nothing


@dataclass(frozen=True, eq=False)
class ToyState:
    """What one experiment's chunks of pseudo-experiments are filled from.

    Attributes
    ----------
    toys
        What is asked for.
    experiment, models, metallicities, oscillations
        Names, which decide the random numbers.
    threshold, exposure, mass, coupling
        Axes.
    statistic, measurement, own_exposure, flux_error, likelihood
        As in `lmltgrid.state.GridState`.
    coefficients : shape (model, metallicity, oscillation, threshold, bin, order, mass)
        Counts per tonne year in powers of g^2; order 0 without background.
    boron : shape as that of coefficients, or None
        The part of 8B neutrinos, where the error of their flux is profiled.
    background : shape (threshold, bin)
        Counts per tonne year.
    free, free_boron : shape as that of coefficients, or None
        At the masses that a fit may choose.
    """

    toys: ToysSpec
    experiment: str
    models: tuple[str, ...]
    metallicities: tuple[str, ...]
    oscillations: tuple[str, ...]
    threshold: Array
    exposure: Array
    mass: Array
    coupling: Array
    statistic: str
    measurement: Measurement | None
    own_exposure: float
    flux_error: float | None
    likelihood: xr.Dataset | None
    coefficients: Array
    boron: Array | None
    background: Array
    free: Array | None
    free_boron: Array | None


def make_state(
    moments: xr.Dataset, chosen: Sequence[Model], spec: ScanSpec, exposure: Array
) -> ToyState:
    """Return what fills the chunks of one experiment; parameters as `lmltgrid.state.make_state`."""
    assert spec.toys is not None  # noqa: S101 - asked for

    def stacked(part: str) -> Array:
        every = [basis.coefficients(moments, m, spec.couplings, part=part).values for m in chosen]
        return np.stack(every)

    statistic = moments.attrs["statistic"]
    measured = moments.attrs.get("measurement")
    flux = spec.statistic.flux_error
    fitted = moments.drop_dims("mass") if statistic == "likelihood" else None
    return ToyState(
        toys=spec.toys,
        experiment=moments.attrs["experiment"],
        models=tuple(model.name for model in chosen),
        metallicities=tuple(moments["metallicity"].values.tolist()),
        oscillations=tuple(moments["oscillation"].values.tolist()),
        threshold=moments["threshold"].values,
        exposure=exposure,
        mass=moments["mass"].values,
        coupling=spec.coupling.points(),
        statistic=statistic,
        measurement=None if measured is None else from_json(measured),
        own_exposure=float(moments.attrs["exposure_tonne_year"]),
        flux_error=flux,
        likelihood=fitted,
        coefficients=stacked(""),
        boron=stacked(folding.BORON) if flux else None,
        background=moments["background"].values,
        free=moments[FREE].values if FREE in moments else None,
        free_boron=moments[FREE_BORON].values if FREE_BORON in moments else None,
    )


def free_moments(
    experiment: Experiment, chosen: Sequence[Model], spec: ScanSpec, **given: Any
) -> dict[str, Any]:
    """Return the variables that moments need besides if a fit may choose the mass.

    ``given`` are the threshold, Suns and oscillations of `lmltgrid.basis.compute`.
    """
    if spec.toys is None or spec.toys.parameters == 1:
        return {}
    flux = bool(spec.statistic.flux_error)
    wide = basis.compute(experiment, mass=FREE_MASSES, atomic=spec.atomic, boron=flux, **given)
    dims = ("model", "metallicity", "oscillation", "threshold", "bin", "order", "free_mass")

    def stacked(part: str) -> Any:
        every = [basis.coefficients(wide, m, spec.couplings, part=part).values for m in chosen]
        return dims, np.stack(every), {"units": "1/(tonne year)"}

    return {FREE: stacked("")} | ({FREE_BORON: stacked(folding.BORON)} if flux else {})


def probabilities(toys: ToysSpec) -> Array:
    """Return the probabilities of the stored quantiles, ascending, the levels among them."""
    return np.array(sorted({*PROBABILITIES, *toys.levels}))


def evaluate(state: ToyState, index: Index) -> dict[str, NDArray[Any]]:
    """Draw the pseudo-experiments of one chunk.

    Parameters
    ----------
    state
        From `make_state`.
    index
        One slice for each of `lmltgrid.variables.GRID_DIMS`.

    Returns
    -------
    dict
        The variables of `lmltgrid.variables.TOY_VARIABLES`, float64.
    """
    shape = tuple(one.stop - one.start for one in index)
    wanted = probabilities(state.toys)
    out = {v.name: np.empty(shape + (wanted.size,) * len(v.more)) for v in TOY_VARIABLES}
    for place in np.ndindex(*shape[:6]):
        where = tuple(one.start + k for one, k in zip(index, place, strict=False))
        draw = _KINDS[_kind(state)](state, where)
        for j in range(shape[6]):
            coupling = float(state.coupling[index[6].start + j])
            t, data = draw(coupling * coupling, point(state, where, coupling))
            for name, value in summary(t, data, wanted).items():
                out[name][(*place, j)] = value
    return out


def summary(t: Array, data: float, wanted: Array) -> dict[str, Any]:
    """Return what is stored of one point.

    Parameters
    ----------
    t : shape (experiment,)
        Of the pseudo-experiments; one whose fit does not converge is NaN, and counts as infinite,
        which makes the region larger.
    data
        Of the data; NaN where their fit does not converge: the p-value is NaN as well.
    wanted : shape (probability,)
        A quantile is the least t that at least this part of the pseudo-experiments does not exceed.
        Its standard deviation is half the distance of the order statistics that lie one binomial
        standard deviation on either side.
    """
    n = t.size
    ordered = np.sort(np.where(np.isnan(t), np.inf, t))
    place = np.array([ceil(p * n - 1e-9) for p in wanted.tolist()])
    spread = np.maximum(np.sqrt(n * wanted * (1.0 - wanted)).round().astype(int), 1)
    low, high = np.maximum(place - spread, 1), np.minimum(place + spread, n)
    with np.errstate(invalid="ignore"):  # both may be infinite
        error = (ordered[high - 1] - ordered[low - 1]) * (spread / np.maximum(high - low, 1))
    error[error < TIE] = 0.0  # the same few counts
    beyond = n - int(np.searchsorted(ordered, data - TIE, side="left"))
    return {
        "statistic": data,
        "p_value": beyond / n if data == data else np.nan,
        "failed": float(np.isnan(t).sum()),
        "quantile": ordered[place - 1],
        "quantile_error": error,
    }


def point(state: ToyState, where: Place, coupling: float) -> Words:
    """Return the four 32-bit words that name a point, shape (4,)."""
    model, sun, oscillation, threshold, exposure, mass = where
    numbers = (state.threshold[threshold], state.exposure[exposure], state.mass[mass], coupling)
    names = (state.models[model], state.metallicities[sun], state.oscillations[oscillation])
    said = [str(state.toys.seed), state.experiment, *names]
    text = "\n".join([*said, *(f"{float(number):.{_DIGITS}e}" for number in numbers)])
    digest = hashlib.sha256(text.encode()).digest()
    return np.frombuffer(digest[:16], dtype="<u4").astype(np.int64)


def _kind(state: ToyState) -> str:
    if state.statistic in ("rate", "flux"):
        return "number"
    return "count" if state.statistic == "counting" and state.boron is None else "bins"


def _quadratics(state: ToyState, where: Place) -> tuple[Array, Array]:
    """Return c1, c2 summed over bins: of the mass first, then of those that a fit may choose."""
    *outer, _, mass = where
    own = state.coefficients[tuple(outer)][..., mass : mass + 1]
    if state.free is not None:
        own = np.concatenate([own, state.free[tuple(outer)]], axis=-1)
    _, c1, c2 = own.sum(axis=0)
    return c1, c2


def _counts(state: ToyState, where: Place) -> Draw:
    """Return what draws counts; the Standard Model is the data."""
    exposure = float(state.exposure[where[4]])
    c1, c2 = _quadratics(state, where)
    standard = state.coefficients[where[:4]][:, 0, 0].sum() + state.background[where[3]].sum()
    lowest, highest = (exposure * (standard + end) for end in chisquare.reach(c1, c2))
    null, least, most = exposure * standard, max(float(lowest.min()), 0.0), float(highest.max())

    def draw(x: float, words: Words) -> tuple[Array, float]:
        mean = max(exposure * (standard + x * (c1[0] + x * c2[0])), 0.0)
        ends = min(least, mean), max(most, mean)
        out = np.empty(state.toys.number)
        kernels.counts(words, mean, *ends, out)
        return out, kernels.count_ratio(null, mean, *ends)

    return draw


def _numbers(state: ToyState, where: Place) -> Draw:
    """Return what draws a measured number."""
    measured = state.measurement
    assert measured is not None  # noqa: S101 - validated with the test
    assert not isinstance(measured, CountMeasurement)  # noqa: S101 - validated with the test
    c1, c2 = _quadratics(state, where)
    standard = float(state.coefficients[where[:4]][:, 0, 0].sum())
    background = float(state.background[where[3]].sum())
    boron = 0.0 if state.boron is None else float(state.boron[where[:4]][:, 0, 0].sum())
    found, error = measured.pull(standard, background, boron, state.flux_error)
    lowest, highest = chisquare.reach(c1, c2)
    least, most = float(lowest.min()), float(highest.max())

    def draw(x: float, words: Words) -> tuple[Array, float]:
        mean = float(x * (c1[0] + x * c2[0]))
        ends = min(least, mean), max(most, mean)
        out = np.empty(state.toys.number)
        kernels.numbers(words, mean, error, *ends, out)
        return out, kernels.number_ratio(found, mean, error, *ends)

    return draw


def _fits(state: ToyState, where: Place) -> Draw:
    """Return what draws bins and their auxiliary measurements."""
    curves = _curves(state, where)

    def draw(x: float, words: Words) -> tuple[Array, float]:
        chi2, pulls = curves.profiled(x)
        out = np.full(state.toys.number, np.nan)
        if chi2 == chi2:  # where the data cannot be fitted, nothing says at which pulls to draw
            mean = curves.expected(x, pulls)
            kernels.fits(words, curves.bins, curves.ladder(x, pulls), mean, pulls, out)
        return out, max(chi2 - curves.least, 0.0)

    return draw


def _curves(state: ToyState, where: Place) -> Curves:
    """Return the bins of one mass, and of those that a fit may choose."""
    *outer, exposure, mass = where

    def on_curves(own: Array, free: Array | None) -> Array:
        one = own[tuple(outer)][..., mass : mass + 1]
        every = one if free is None else np.concatenate([one, free[tuple(outer)]], axis=-1)
        return np.moveaxis(every, -1, 0)  # (curve, bin, order)

    signal = on_curves(state.coefficients, state.free)
    flux = None if state.boron is None else on_curves(state.boron, state.free_boron)
    data, change = _DATA[state.statistic](state, signal, flux, where[3], state.exposure[exposure])
    counts = np.moveaxis(signal, 1, 2) * data.scale
    pulled = counts[:, None] * data.pull_signal[:, None, :]
    pulled[:, :, 0] += data.pull_background
    if change is not None:
        pulled = np.concatenate([pulled, change[:, None]], axis=1)
    counts[:, 0] += data.background
    return Curves(
        Bins(*(np.ascontiguousarray(one) for one in (counts, pulled, data.variance))),
        data.observed,
        np.ascontiguousarray(signal * data.scale[:, None]),
    )


Data = tuple[binned.Binned, Array | None]


def _of_likelihood(
    state: ToyState, signal: Array, flux: Array | None, threshold: int, exposure: float
) -> Data:
    """Return data and pulls of a likelihood, which has its own."""
    del flux
    assert state.likelihood is not None  # noqa: S101 - asked for
    return binned.from_moments(
        state.likelihood, signal[0, :, 0], exposure, threshold=threshold
    ), None


def _of_spectrum(
    state: ToyState, signal: Array, flux: Array | None, threshold: int, exposure: float
) -> Data:
    """Return the Standard Model as data: Gaussian bins of least squares, or one Poisson count."""
    background = exposure * state.background[threshold]
    expected = exposure * signal[0, :, 0] + background
    # a bin beyond the last recoil, without background, expects nothing and tests nothing
    gaussian = np.where(expected > 0.0, expected, np.inf)
    counting = state.statistic == "counting"
    nothing = np.zeros((0, expected.size))
    data = binned.Binned(
        observed=expected,
        background=background,
        pull_signal=nothing,
        pull_background=nothing,
        variance=np.zeros(expected.size) if counting else gaussian,
        scale=np.full(expected.size, exposure),
    )
    if flux is None:
        return data, None
    return data, float(state.flux_error or 0.0) * exposure * np.moveaxis(flux, 1, 2)


def _of_count(
    state: ToyState, signal: Array, flux: Array | None, threshold: int, exposure: float
) -> Data:
    """Return a measured count, with pulls on its background and on its neutrinos."""
    del flux, threshold, exposure
    measured = state.measurement
    assert isinstance(measured, CountMeasurement)  # noqa: S101 - validated with the test
    fraction, error = measured.fraction(state.flux_error), measured.background_error_counts
    data = binned.Binned(
        observed=np.array([float(measured.observed)]),
        background=np.array([measured.background_counts]),
        pull_signal=np.array([[fraction], [0.0]]),
        pull_background=np.array([[0.0], [error]]),
        variance=np.zeros(1),
        scale=np.full(signal.shape[1], state.own_exposure),
    )
    return data, None


_DATA: Final = {
    "likelihood": _of_likelihood,
    "least-squares": _of_spectrum,
    "counting": _of_spectrum,
    "counts": _of_count,
}
_KINDS: Final = {"count": _counts, "number": _numbers, "bins": _fits}
