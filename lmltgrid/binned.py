"""Binned counts with pulls, in one exposure: what the likelihood kernels need of an experiment.

Measured bins hold counts in the experiment's own exposure, whatever is asked for; where nothing is
measured the Standard Model is the data, and scales with the exposure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse.csgraph import connected_components

from lmltgrid.kernels import likelihood

Array = NDArray[np.float64]
Places = NDArray[np.intp]
Curve = Callable[[Array], Array]

_POINTS: Final = 320  # in x: steps of 5 to 10 %, narrower than any strip that is not looked for
_LITTLE: Final = 1e-4  # relative change of the counts where the couplings begin ...
_LARGE: Final = 1e4  # ... and where they end
_STEP: Final = 0.06  # in log x, if that needs more points
_XTOL: Final = 1e-9  # in log x


@dataclass(frozen=True, eq=False)
class Binned:
    """Data and pulls in one exposure; shapes (bin,) and (pull, bin), see the kernels."""

    observed: Array
    background: Array
    pull_signal: Array
    pull_background: Array
    variance: Array
    scale: Array

    def plane(self, coefficients: Array, x: Array) -> Array:
        """Return the minimized chi-square, shape (mass, coupling); NaN where it fails.

        Parameters
        ----------
        coefficients : shape (bin, order, mass)
            Signal per tonne year in powers of x.
        x : shape (coupling,)
        """
        counts = coefficients * self.scale[:, None, None]
        total = np.zeros((coefficients.shape[-1], x.size))
        for pulls, bins in self._blocks:
            total += likelihood.plane(
                np.ascontiguousarray(counts[bins]),
                x,
                self.observed[bins],
                self.background[bins],
                self.pull_signal[np.ix_(pulls, bins)],
                self.pull_background[np.ix_(pulls, bins)],
                self.variance[bins],
            )
        return total

    @cached_property
    def seen(self) -> float:
        """Counts above the background, per tonne year as the coefficients, summed over bins."""
        signal = np.maximum(self.observed - self.background, 0.0)
        return float(np.sum(signal / self.scale))

    @cached_property
    def _blocks(self) -> list[tuple[Places, Places]]:
        """Pulls and bins that have to do with each other: small fits are quicker than a large."""
        touched = (self.pull_signal != 0.0) | (self.pull_background != 0.0)
        _, label = connected_components(touched.T.astype(int) @ touched)
        label[~touched.any(axis=0)] = -1  # bins without pulls are one block
        out = []
        for number in np.unique(label):
            bins = np.flatnonzero(label == number)
            out.append((np.flatnonzero(touched[:, bins].any(axis=1)), bins))
        return out

    def curve(self, coefficients: Array, x: Array) -> Array:
        """Return the minimized chi-square at one mass; coefficients of shape (bin, order)."""
        return np.asarray(self.plane(coefficients[:, :, None], x)[0])

    def couplings(self, coefficients: Array) -> Array:
        """Return the x at which the chi-square of these data is looked at, see `couplings`."""
        return couplings(coefficients, self.seen)


def from_moments(
    moments: xr.Dataset,
    standard_model: Array,
    exposure: float,
    data: Array | None = None,
    threshold: int = 0,
) -> Binned:
    """Return the data and pulls of one experiment.

    Parameters
    ----------
    moments
        From `lmltgrid.basis.compute`, with the variables of a likelihood.
    standard_model : shape (bin,)
        Its signal per tonne year.
    exposure
        Tonne year.
    data : shape (bin,), optional
        Counts to be taken as observed: those of a mediator, to be found again.
    threshold
        Place of the threshold in the moments.
    """
    observed = moments["observed"].values.copy()
    measured = np.isfinite(observed)
    scale = np.where(measured, float(moments.attrs["exposure_tonne_year"]), exposure)
    background = scale * moments["background"].values[threshold]
    expected = scale * standard_model
    observed = np.where(measured, observed, expected + background)
    if data is not None:
        observed = data
    pulled = moments["pull_background"].values
    if "threshold" in moments["pull_background"].dims:
        pulled = pulled[threshold]
    noise = moments["noise"].values + moments["noise_fraction"].values * expected
    variance = np.where(moments["gaussian"].values > 0.0, observed + noise, 0.0)
    # a Gaussian bin in which nothing was seen at all says nothing
    empty = (moments["gaussian"].values > 0.0) & (variance <= 0.0)
    return Binned(
        observed=observed,
        background=background,
        pull_signal=moments["pull_signal"].values,
        pull_background=scale * pulled,
        variance=np.where(empty, np.inf, variance),
        scale=scale,
    )


def least(data: Binned, coefficients: Array) -> tuple[float, int, float]:
    """Return the least chi-square, polished in the coupling, and where it is.

    Parameters
    ----------
    coefficients : shape (bin, order, mass)

    Returns
    -------
    chi2, place, x
        Place among the masses. NaN where no point converges.
    """
    best = (np.inf, 0, 0.0)
    for place in range(coefficients.shape[2]):
        own = np.ascontiguousarray(coefficients[:, :, place])
        x = np.append(0.0, data.couplings(own))
        values = data.curve(own, x)
        if not np.isfinite(values).any():
            continue
        i = int(np.nanargmin(values))
        found = (float(values[i]), float(x[i]))
        if 0 < i < x.size - 1:

            def curve(at: Array, own: Array = own) -> Array:
                return data.curve(own, at)

            found = min(found, turning(curve, x, i, sign=1.0))
        if found[0] < best[0]:
            best = (found[0], place, found[1])
    return best if np.isfinite(best[0]) else (np.nan, 0, 0.0)


def turning(curve: Curve, x: Array, i: int, *, sign: float) -> tuple[float, float]:
    """Return value and place of the turning point next to the i-th point, polished.

    ``sign`` is 1 for a minimum, -1 for a maximum.
    """
    low, high = np.log(max(x[i - 1], 1e-3 * x[i])), np.log(x[i + 1])
    found = minimize_scalar(
        lambda log_x: sign * float(curve(np.array([np.exp(log_x)]))[0]),
        bounds=(low, high),
        method="bounded",
        options={"xatol": _XTOL},
    )
    return sign * float(found.fun), float(np.exp(found.x))


def couplings(coefficients: Array, seen: float) -> Array:
    """Return the x at which the chi-square is looked at: from no change to a large one.

    A large one gives many more counts than the Standard Model has, and than the data hold.

    Parameters
    ----------
    coefficients : shape (bin, order)
    seen
        Counts above those of the Standard Model that the data hold.

    Returns
    -------
    shape (n,), ascending; one point where nothing changes.
    """
    c0, c1, c2 = np.abs(coefficients).sum(axis=0)
    if c1 == 0.0 and c2 == 0.0:
        return np.ones(1)
    total = c0 if c0 > 0.0 else 1.0

    def at(change: float) -> float:
        linear = change * total / c1 if c1 > 0.0 else np.inf
        square = np.sqrt(change * total / c2) if c2 > 0.0 else np.inf
        return float(min(linear, square))

    first, last = at(_LITTLE), max(at(_LARGE), at(_LARGE * seen / total))
    last = max(last, 1e3 * first)
    steps = max(_POINTS, int(np.ceil(np.log(last / first) / _STEP)))
    return np.geomspace(first, last, steps)
