"""Outlines of regions in the mass-coupling plane, from planes of values and from intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, cast

import contourpy
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Interval = tuple[float, float]
Row = tuple[float, float, float]  # mass, and an interval of the coupling

_FAR: Final = 1e6  # standard deviations; more, or infinity, makes no difference to a contour
_FLOOR: Final = 10.0
_AT_BORDER: Final = 1e-6  # decades
_RIM: Final = 1e-9  # decades; the width of the rim that closes a region at the border


def trace(mass: ArrayLike, coupling: ArrayLike, values: ArrayLike, level: float) -> list[Array]:
    """Return the closed outlines of the regions where values on a plane exceed a level.

    The crossing between two points of the plane is interpolated in log mass, log coupling and log
    value, with values below a tenth of the level taken for that tenth. A region is closed along the
    border of the plane and around points without a value.

    Parameters
    ----------
    mass, coupling
        Axes, ascending, at least two points each.
    values : shape (mass, coupling)
        NaN where there is no value; infinities are allowed.
    level
        Positive.

    Returns
    -------
    list
        Outlines of shape (n, 2), mass and coupling, the first point repeated at the end; holes
        are outlines too.
    """
    # log value is as good as exact where the value is a power of the coupling; the floor keeps it
    # close to linear where the value changes sign between two points
    floor = level / _FLOOR
    logs = np.log(np.clip(np.asarray(values, dtype=np.float64), floor, max(_FAR, 2.0 * level)))
    threshold = float(np.log(level))
    outside = threshold - _FAR
    closed = np.pad(np.nan_to_num(logs, nan=outside), 1, constant_values=outside)
    generator = contourpy.contour_generator(
        _with_rim(np.log10(mass)), _with_rim(np.log10(coupling)), closed.T
    )
    lines = cast(list[Array], generator.lines(threshold))  # the default type of lines
    return [10.0**line for line in lines]


def _with_rim(logs: Array) -> Array:
    return np.concatenate([[logs[0] - _RIM], logs, [logs[-1] + _RIM]])


def signed(data: xr.Dataset) -> xr.DataArray:
    """Return the significance of a plane, negative where the counts are below the null.

    A two-sided significance has no sign, and is zero on the strip between a deficit and an excess,
    which may be thinner than the spacing of the plane. With the sign, the strip is a crossing and
    is not missed. The null is not stored: it is the value at g = 0 of the quadratic in g^2 through
    the counts at three couplings.
    """
    x = data["coupling"].values.astype(np.float64) ** 2
    if x.size < 3:
        return data["significance"]
    counts = data["counts"].transpose("mass", "coupling").values.astype(np.float64)
    # the smallest couplings: there the counts are next to the null, and rounding is not amplified
    at = [0, x.size // 3, (2 * x.size) // 3] if x.size >= 6 else [0, 1, 2]
    weights = [np.prod([x[k] / (x[k] - x[j]) for k in at if k != j]) for j in at]
    null = float(np.median(counts[:, at] @ np.array(weights)))
    size: xr.DataArray = abs(data["significance"])
    return size.where(data["counts"] >= null, -size)


def branches(data: xr.Dataset, top: float) -> list[Array]:
    """Return the closed outlines of excluded intervals that continue from mass to mass.

    Where an allowed strip begins or ends between two masses, one interval faces several: it is cut
    where they part, and the pieces share the line at its mass (which `joined` leaves out), so that
    nothing but the strip stays free.

    Parameters
    ----------
    data
        From `lmltgrid.analysis.limits.limits`.
    top
        Where open intervals end, coupling.
    """
    done: list[list[Row]] = []
    growing: list[list[Row]] = []
    for mass, row in _rows(data, top):
        grown: list[list[Row]] = []
        for chains, new in _facing(growing, row):
            pieces = [(mass, *one) for one in new]
            if len(chains) == len(new) == 1:
                grown.append([*chains[0], *pieces])
                continue
            if len(chains) == 1 and len(new) > 1:
                at, *ends = chains[0][-1]
                cut = _cut((ends[0], ends[1]), new)
                starts = [[(at, *one)] for one in cut]
                grown += [[*start, one] for start, one in zip(starts, pieces, strict=True)]
            else:
                grown += [[one] for one in pieces]
            if len(new) == 1 and chains:
                cut = _cut(new[0], [chain[-1][1:] for chain in chains])
                chains = [[*c, (mass, *one)] for c, one in zip(chains, cut, strict=True)]
            done += chains
        growing = grown
    return [_outline(one) for one in done + growing]


def _facing(
    growing: list[list[Row]], row: list[Interval]
) -> list[tuple[list[list[Row]], list[Interval]]]:
    """Return which chains and which intervals of the next mass overlap, in groups."""
    groups: list[tuple[list[list[Row]], list[Interval]]] = []
    # both are in order, so that a group is a run of each
    left, right = list(growing), list(row)
    left.sort(key=lambda chain: chain[-1][1])
    while left or right:
        if not right or (left and left[0][-1][2] <= right[0][0]):
            groups.append(([left.pop(0)], []))
            continue
        if not left or right[0][1] <= left[0][-1][1]:
            groups.append(([], [right.pop(0)]))
            continue
        chains, new = [left.pop(0)], [right.pop(0)]
        while True:
            if right and right[0][0] < chains[-1][-1][2]:
                new.append(right.pop(0))
            elif left and left[0][-1][1] < new[-1][1]:
                chains.append(left.pop(0))
            else:
                break
        groups += _shared_out(chains, new)
    return groups


def _shared_out(
    chains: list[list[Row]], new: list[Interval]
) -> list[tuple[list[list[Row]], list[Interval]]]:
    """Return groups with one chain or one interval each: in order, or by the largest overlap.

    A thin strip that moves by more than its width leaves every interval facing two chains.
    """
    if len(chains) == len(new):
        return [([chain], [one]) for chain, one in zip(chains, new, strict=True)]
    overlap = np.array([[_overlap(chain[-1], one) for one in new] for chain in chains])
    if len(chains) < len(new):
        best = overlap.argmax(axis=0)
        return [([c], [new[j] for j in np.flatnonzero(best == k)]) for k, c in enumerate(chains)]
    best = overlap.argmax(axis=1)
    return [([chains[k] for k in np.flatnonzero(best == j)], [one]) for j, one in enumerate(new)]


def _overlap(last: Row, one: Interval) -> float:
    """Return the common part of two intervals in log coupling, negative if they are apart."""
    return float(np.log(min(last[2], one[1]) / max(last[1], one[0])))


def _cut(whole: Interval, parts: Sequence[Interval]) -> list[Interval]:
    """Return an interval in pieces, cut halfway (in logarithm) between the parts it faces."""
    between = [float(np.sqrt(a[1] * b[0])) for a, b in pairwise(parts)]
    between = [min(max(cut, whole[0]), whole[1]) for cut in between]
    return list(pairwise([whole[0], *between, whole[1]]))


def _rows(data: xr.Dataset, top: float) -> list[tuple[float, list[tuple[float, float]]]]:
    out = []
    order = data.sortby("mass")
    for mass, low, high in zip(
        order["mass"].values, order["low"].values, order["high"].values, strict=True
    ):
        pairs = zip(low, np.minimum(high, top), strict=True)
        out.append((float(mass), [(float(a), float(b)) for a, b in pairs if a < b]))
    return out


def _outline(rows: list[tuple[float, float, float]]) -> Array:
    mass, low, high = np.array(rows).T
    outline = np.concatenate([np.c_[mass, low], np.c_[mass, high][::-1]])
    return np.concatenate([outline, outline[:1]])


def joined(outlines: Sequence[ArrayLike], border: ArrayLike) -> Array:
    """Return outlines as one line with gaps, to be drawn.

    What runs along the border closes a region, and is left out: the frame is drawn there. So is the
    line at a mass that several regions share, see `branches`.

    Parameters
    ----------
    outlines
        Each of shape (n, 2), mass and coupling.
    border : shape (4,)
        First and last log10 mass, first and last log10 coupling.

    Returns
    -------
    Array
        Shape (n, 2), log10 mass and log10 coupling; NaN in the gaps.
    """
    parts = [np.empty((0, 2))]
    every = [np.asarray(one) for one in outlines]
    upright = [set(one[1:][one[1:, 0] == one[:-1, 0], 0].tolist()) for one in every]
    masses = Counter(mass for one in upright for mass in one)
    seams = [mass for mass, number in masses.items() if number > 1]
    for one in outlines:
        logs = np.log10(one)
        at = np.abs(logs[:, [0, 0, 1, 1]] - np.asarray(border)) < _AT_BORDER
        seam = np.isin(np.asarray(one)[:, 0], seams)
        shared = seam[1:] & seam[:-1] & (logs[1:, 0] == logs[:-1, 0])
        along = np.flatnonzero(np.any(at[1:] & at[:-1], axis=1) | shared)
        parts += [np.insert(logs, along + 1, np.nan, axis=0), np.full((1, 2), np.nan)]
    return np.concatenate(parts)
