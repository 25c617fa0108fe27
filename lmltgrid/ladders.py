"""The couplings at which binned pseudo-experiments are fitted.

A pseudo-experiment drawn at x is fitted best at an x' whose expectation is near that of x: further
than `ZONE` away, in the chi-square of one expectation under the other, it would have to fluctuate
by more than half of that distance, 5 standard deviations, towards x'. What is nearer is divided
into steps that no minimum fits between (`lmltgrid.kernels.toys`). Strips in which the mediator
undoes the Standard Model are near, however far their couplings are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lmltgrid import binned
from lmltgrid.kernels import toys as kernels
from lmltgrid.kernels.toys import Bins, Ladder

Array = NDArray[np.float64]
Marks = NDArray[np.bool_]

ZONE: Final = 100.0  # chi-square: half the distance is 5 standard deviations
_MOST: Final = 100  # pieces of one interval
_GROWTH: Final = 1.06  # of couplings beyond those at which a change is expected


@dataclass(frozen=True, eq=False)
class Curves:
    """Bins on one or several curves, and what was observed in them.

    Attributes
    ----------
    bins
        See `lmltgrid.kernels.toys.Bins`; the first curve is that of the tested mass.
    observed : shape (bin,)
    scale : shape (curve, bin, order)
        The signal, which says at which couplings to look.
    """

    bins: Bins
    observed: Array
    scale: Array

    def profiled(self, x: float) -> tuple[float, Array]:
        """Return the chi-square of the data at a coupling, and the pulls there, shape (pull,)."""
        pulls = np.zeros(self.bins.change.shape[1])
        one = kernels.trial(self.bins, self.observed.copy(), pulls)
        return float(kernels.chi2(one, 0, x)), one.theta.copy()

    def expected(self, x: float, pulls: Array) -> Array:
        """Return the expected counts at a coupling of the first curve, shape (bin,)."""
        powers = np.array([1.0, x, x * x])
        mean, change = self.bins.mean[0], self.bins.change[0]
        total: Array = powers @ mean + np.einsum("k,kob,o->b", pulls, change, powers)
        counted = self.bins.variance == 0.0
        return np.where(counted, np.maximum(total, 0.0), total)

    @cached_property
    def least(self) -> float:
        """The least chi-square of the data on all curves."""
        one = kernels.trial(self.bins, self.observed.copy(), np.zeros(self.bins.change.shape[1]))
        return min(self._least(one, curve) for curve in range(len(self.scale)))

    def _least(self, one: kernels.Trial, curve: int) -> float:
        x = self._grid(curve)
        values = _values(one, curve, x)
        best = float(np.min(values, initial=np.inf, where=np.isfinite(values)))
        for i in _turning(values):
            at = (float(x[max(i - 1, 0)]), float(x[i]), float(x[min(i + 1, x.size - 1)]))
            best = min(best, kernels.polish(one, curve, at, float(values[i]))[0])
        return best

    def _grid(self, curve: int) -> Array:
        seen = float(np.maximum(self.observed - self.bins.mean[curve, 0], 0.0).sum())
        return np.append(0.0, binned.couplings(self.scale[curve], seen))

    def ladder(self, x: float, pulls: Array) -> Ladder:
        """Return where pseudo-experiments at a coupling of the first curve are fitted."""
        mean = self.expected(x, pulls)
        far = kernels.trial(self.bins, mean, pulls)
        pair = kernels.trial(self.bins, mean.copy(), pulls)
        parts: list[tuple[int, Array, Array, Array]] = []
        for curve in range(len(self.scale)):
            own = x if curve == 0 else None
            parts += _steps(far, pair, curve, self._grid(curve), own)
        number = np.concatenate([np.full(part[1].size, part[0]) for part in parts])
        at, low, high = (np.concatenate([part[k] for part in parts]) for k in (1, 2, 3))
        place = np.flatnonzero((number == 0) & (at == x))
        rows = (number.size, (mean.size, number.size), (pulls.size, number.size))
        ladder = Ladder(number, at, low, high, int(place[0]), *(np.empty(row) for row in rows))
        kernels.foretell(self.bins, ladder, mean, pulls)
        return ladder


def _values(one: kernels.Trial, curve: int, x: Array) -> Array:
    out = np.empty(x.size)
    kernels.chi2s(one, curve, x, out)
    return out


def _turning(values: Array) -> list[int]:
    """Return the places of local minima, ends included."""
    around = np.concatenate([[np.inf], np.where(np.isnan(values), np.inf, values), [np.inf]])
    here = around[1:-1]
    return np.flatnonzero((here <= around[:-2]) & (here <= around[2:]) & np.isfinite(here)).tolist()


def _steps(
    far: kernels.Trial, pair: kernels.Trial, curve: int, grid: Array, own: float | None
) -> list[tuple[int, Array, Array, Array]]:
    """Return the steps on one curve: its number, the couplings, and what encloses each.

    Parameters
    ----------
    far, pair
        Fits of the expectation at the tested point, and of any other.
    own
        The tested coupling, if it is on this curve.
    """
    x = grid
    if own is not None:
        beyond = int(np.ceil(np.log(max(4.0 * own / grid[-1], 1.0)) / np.log(_GROWTH)))
        more = grid[-1] * _GROWTH ** np.arange(1, min(beyond, _MOST) + 1)
        x = np.unique(np.concatenate([grid, more, [own]]))
    values = _values(far, curve, x)
    for add in (_strips, _divided):
        added = add(far, pair, curve, x, values, _near(x, values, own))
        every = np.concatenate([values, _values(far, curve, added)])
        x, order = np.unique(np.concatenate([x, added]), return_index=True)
        values = every[order]
    near = _near(x, values, own)
    wide = near | np.append(near[1:], False) | np.append(False, near[:-1])
    must = np.zeros(x.size, dtype=np.bool_) if own is None else x == own
    out = []
    for first, last in runs(wide):
        part = np.ascontiguousarray(x[first:last])
        keep = np.empty(part.size, dtype=np.bool_)
        kernels.spaced(pair, curve, part, must[first:last], keep)
        kept = part[keep]
        out.append((curve, kept, np.append(kept[0], kept[:-1]), np.append(kept[1:], kept[-1])))
    return out


def _near(x: Array, values: Array, own: float | None) -> Marks:
    with np.errstate(invalid="ignore"):
        near: Marks = values < ZONE
    return near if own is None else near | (x == own)


def _divided(
    _: kernels.Trial, pair: kernels.Trial, curve: int, x: Array, __: Array, near: Marks
) -> Array:
    """Return couplings to be added where neighbors are more than a step apart."""
    ends = np.flatnonzero(near[1:] | near[:-1])
    if not ends.size:
        return np.empty(0)
    first, last = int(ends[0]), int(ends[-1]) + 2
    gaps = np.empty(last - first - 1)
    kernels.distances(pair, curve, np.ascontiguousarray(x[first:last]), gaps)
    parts: list[Any] = [np.empty(0)]
    for i in ends.tolist():
        gap = gaps[i - first]
        pieces = int(min(np.ceil(np.sqrt(gap / kernels.STEP)), _MOST)) if gap == gap else 1
        if pieces > 1:
            space = np.linspace if x[i] == 0.0 else np.geomspace
            parts.append(space(x[i], x[i + 1], pieces + 1)[1:-1])
    return np.concatenate(parts)


def _strips(
    far: kernels.Trial, _: kernels.Trial, curve: int, x: Array, values: Array, near: Marks
) -> Array:
    """Return the minima of strips that lie between two couplings of the grid."""
    found = []
    for i in _turning(values):
        if 0 < i < x.size - 1 and not near[i]:
            at = (float(x[i - 1]), float(x[i]), float(x[i + 1]))
            value, place = kernels.polish(far, curve, at, float(values[i]))
            if value < ZONE:
                found.append(place)
    return np.array(found)


def runs(marks: Marks) -> list[tuple[int, int]]:
    """Return the first place of each run of marks, and the one behind its last."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    return list(zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True))
