"""Poisson significances on a plane that shares one null: what fills the chunks of a grid.

At one threshold and exposure the null is a single number, so the significance is a function of one
variable, the expected count. It is tabulated exactly (`lmltgrid.kernels.poisson`) at Chebyshev
nodes in cells of the count, eight cells in each factor of two, and evaluated as a polynomial of
degree eight: 1e-12 of the exact route, and twenty times as fast at small counts. The cells are cut
from the bits of the count at unit exposure, so any division of a grid into chunks gives the same
bytes; and both tails are tabulated apart, so that nothing is smoothed where one takes over.
"""

from __future__ import annotations

from math import inf
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels.jit import kernel
from lmltgrid.kernels.poisson import z_at_least, z_at_most

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_SHIFT: Final = 49  # 52 - 3: sign, exponent and three bits of the fraction number the cells
_DEGREE: Final = 8
_NODES: Final = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
_TO_POWERS: Final = np.linalg.inv(np.vander(_NODES, increasing=True))
_SMALLEST: Final = 1e-290  # smaller counts are taken one by one


@kernel
def _z(count: float, null: float, exclusion: bool, excess: bool) -> float:
    """Return the signed significance in one tail."""
    if exclusion:
        return z_at_most(null, count) if excess else z_at_least(null, count)
    return z_at_least(count, null) if excess else z_at_most(count, null)


@kernel
def _one(count: float, null: float, exclusion: bool, two_sided: bool) -> float:
    """Return the significance of a single point."""
    if two_sided:
        return max(_z(count, null, exclusion, count > null), 0.0)
    return _z(count, null, exclusion, True)


@kernel
def _tabulate(
    first: int,
    used: NDArray[np.bool_],
    null: float,
    exposure: float,
    exclusion: bool,
    excess: bool,
    table: Array,
) -> None:
    """Fill the polynomial coefficients of the used cells of one tail, shape (cell, degree + 1)."""
    ends = np.empty(2, dtype=np.int64)
    values = np.empty(_DEGREE + 1)
    for c in range(used.size):
        if not used[c]:
            continue
        ends[0] = (first + c) << _SHIFT
        ends[1] = (first + c + 1) << _SHIFT
        low, high = ends.view(np.float64)
        for k in range(_DEGREE + 1):
            count = 0.5 * (low + high) + 0.5 * (high - low) * _NODES[k]
            values[k] = _z(exposure * count, exposure * null, exclusion, excess)
        for j in range(_DEGREE + 1):
            total = 0.0
            for k in range(_DEGREE + 1):
                total += _TO_POWERS[j, k] * values[k]
            table[c, j] = total


@kernel
def _place(count: Array, null: float, two_sided: bool, cell: Indices, local: Array) -> Any:
    """Find the cell of each point and its place in there, on [-1, 1]; -1 marks a lone point.

    Returns the number of the first cell, and which cells each tail needs.
    """
    bits = count.view(np.int64)
    first = np.int64(2) ** 62
    last = np.int64(0)
    for i in range(count.size):
        if count[i] >= _SMALLEST:
            first = min(first, bits[i] >> _SHIFT)
            last = max(last, bits[i] >> _SHIFT)
    if first > last:
        first = last
    used = np.zeros((2, last - first + 1), dtype=np.bool_)
    ends = np.empty(2, dtype=np.int64)
    for i in range(count.size):
        if count[i] < _SMALLEST:
            cell[i] = -1
            continue
        number = bits[i] >> _SHIFT
        ends[0] = number << _SHIFT
        ends[1] = (number + 1) << _SHIFT
        low, high = ends.view(np.float64)
        local[i] = 2.0 * (count[i] - low) / (high - low) - 1.0
        cell[i] = number - first
        used[0 if two_sided and count[i] <= null else 1, number - first] = True
    return first, used


@kernel
def _evaluate(coefficients: Array, x: float) -> float:
    """Return the polynomial, by Horner's rule."""
    z = float(coefficients[_DEGREE])
    for k in range(_DEGREE - 1, -1, -1):
        z = z * x + coefficients[k]
    return z


@kernel
def significance(
    count: Array, null: float, exposure: Array, exclusion: bool, two_sided: bool, out: Any
) -> None:
    """Fill ``out`` with the significance of each point at each exposure.

    Parameters
    ----------
    count : shape (points,)
        Expected counts with the mediator, per unit exposure.
    null
        Expected counts without it, per unit exposure.
    exposure : shape (exposure,)
    exclusion
        False: the null is rejected if the mediator is there (P21 eq. 38); True: the mediator is
        rejected if it is not.
    two_sided
        False: an excess alone, signed. True: excess and deficit, floored at zero.
    out : shape (exposure, points), float32 or float64
    """
    cell = np.empty(count.size, dtype=np.int64)
    local = np.zeros(count.size)
    first, used = _place(count, null, two_sided, cell, local)
    tables = np.zeros((2, used.shape[1], _DEGREE + 1))
    for t in range(exposure.size):
        if exposure[t] * null <= 0.0:
            for i in range(count.size):
                out[t, i] = _one(exposure[t] * count[i], 0.0, exclusion, two_sided)
            continue
        for tail in range(2):
            _tabulate(first, used[tail], null, exposure[t], exclusion, tail == 1, tables[tail])
        floor = 0.0 if two_sided else -inf
        for i in range(count.size):
            if cell[i] < 0:
                out[t, i] = _one(exposure[t] * count[i], exposure[t] * null, exclusion, two_sided)
            else:
                tail = 0 if two_sided and count[i] <= null else 1
                out[t, i] = max(_evaluate(tables[tail, cell[i]], local[i]), floor)
