"""Poisson significances on a plane that shares one null: what fills the chunks of a grid.

With b the null and n the count at unit exposure, the significance at exposure T grows as sqrt(T),
and what is left of it changes slowly with log n:

    Z(T n, T b) = sqrt(T) (n - b) S(n) + H(T, n),    (n - b)^2 S^2 = 2 (n log(n / b) - n + b)

(for an exclusion n and b change places on the right). S and H are tabulated from the exact route
(`lmltgrid.kernels.poisson`) at Chebyshev nodes of log n, in one cell for each factor of two, and
evaluated as polynomials of degree eight: 5e-13 (1 + abs Z) of the exact route, and closer to the
truth than that where n is near b and T b is large, since no T n is rounded here.

The cells are the exponents of the counts at unit exposure, so any division of a grid into chunks
gives the same bytes. The tails have tables of their own: nothing is smoothed where one takes over.
"""

from __future__ import annotations

from math import inf, log, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels.jit import kernel
from lmltgrid.kernels.poisson import (
    EXPANSION_MIN,
    temme_coefficients,
    temme_eta,
    temme_quantile,
    z_at_least,
    z_at_most,
)

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_DEGREE: Final = 8
_NODES: Final = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
_TO_POWERS: Final = np.linalg.inv(np.vander(_NODES, increasing=True))
_MANTISSAS: Final = np.exp2(0.5 + 0.5 * _NODES)

# an IEEE double: 52 bits of fraction, 11 of exponent (biased by 1023), the sign
_FRACTION_BITS: Final = 52
_FRACTION: Final = 2**52 - 1
_BIAS: Final = 1023
_ONE: Final = _BIAS << _FRACTION_BITS
_EXCESS: Final = 2048  # added to the number of a cell in the tail above the null

# where no intermediate value leaves the range of doubles; all else is taken point by point
_LEAST_COUNT: Final = 1e-270
_MOST_COUNT: Final = 1e270
_LEAST_EXPOSURE: Final = 1e-20
_MOST_EXPOSURE: Final = 1e20

_TOGETHER: Final = 31  # exposures in one pass; with S, a multiple of every vector's length
_LANES: Final = 8
_BLOCK: Final = 64  # points whose results stay in the first-level cache


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
def _locate(count: Array, local: Array) -> None:
    """Write the place of each point in its cell: 2 log2(mantissa) - 1, on [-1, 1].

    A library's logarithm may round otherwise in a vector than alone, and bytes would depend on
    the chunks; this series (2 atanh w, to 1e-15) cannot.
    """
    bits, mantissa = count.view(np.int64), local.view(np.int64)
    for i in range(count.size):
        mantissa[i] = (bits[i] & _FRACTION) | _ONE
    for i in range(count.size):
        w = (local[i] - sqrt(2.0)) / (local[i] + sqrt(2.0))
        w2 = w * w
        odd = 1.0 / 17.0
        for k in range(15, 0, -2):
            odd = odd * w2 + 1.0 / k
        local[i] = 4.0 / log(2.0) * w * odd


@kernel
def _sort(count: Array, null: float, two_sided: bool, cell: Indices) -> tuple[Indices, bool]:
    """Write the row of each point in the tables.

    Returns the cells that the rows stand for, and whether some points have none.
    """
    bits = count.view(np.int64)
    row = np.full(2 * _EXCESS, -1, dtype=np.int64)
    cells = np.empty(2 * _EXCESS, dtype=np.int64)
    used = 0
    lone = False
    for i in range(count.size):
        if not _LEAST_COUNT <= count[i] <= _MOST_COUNT:
            cell[i] = 0  # any: what it gives is overwritten
            lone = True
            continue
        number = bits[i] >> _FRACTION_BITS
        if count[i] > null or not two_sided:
            number += _EXCESS
        if row[number] < 0:
            row[number] = used
            cells[used] = number
            used += 1
        cell[i] = row[number]
    return cells[:used], lone


@kernel
def _node(
    count: float, null: float, exposure: Array, exclusion: bool, excess: bool, z: Any
) -> None:
    """Write H at each exposure, and S at the end, for one count."""
    at_most = exclusion == excess
    sign = 1.0 if at_most else -1.0
    a, x = (null, count) if exclusion else (count, null)
    eta = temme_eta(a, x)
    e = temme_coefficients(a, x, eta, 1 if at_most else 0)
    leading = sign * sqrt(a) * eta
    for t in range(exposure.size):
        if exposure[t] * a >= EXPANSION_MIN:
            z[t] = sign * temme_quantile(exposure[t] * a, 0.0, e)
        else:
            exact = _z(exposure[t] * count, exposure[t] * null, exclusion, excess)
            z[t] = exact - sqrt(exposure[t]) * leading
    if count == null:
        z[-1] = (1.0 if excess else -1.0) / sqrt(null)
    else:
        z[-1] = leading / (count - null)


@kernel
def _tabulate(cells: Indices, null: float, exposure: Array, exclusion: bool, table: Array) -> None:
    """Fill the coefficients of each cell, shape (cell, power, exposure and S)."""
    values = np.zeros((_DEGREE + 1, table.shape[2]))
    for c in range(cells.size):
        excess = cells[c] >= _EXCESS
        low = 2.0 ** float(cells[c] - (_EXCESS if excess else 0) - _BIAS)
        for k in range(_DEGREE + 1):
            _node(low * _MANTISSAS[k], null, exposure, exclusion, excess, values[k])
        for j in range(_DEGREE + 1):
            table[c, j] = 0.0
            for k in range(_DEGREE + 1):
                for t in range(table.shape[2]):
                    table[c, j, t] += _TO_POWERS[j, k] * values[k, t]


@kernel
def _evaluate(
    offset: Array, cell: Indices, local: Array, table: Array, root: Array, floor: float, out: Any
) -> None:
    """Fill rows of ``out``; the inner loop is over exposures, which vectorizes for any order."""
    width = table.shape[2]
    z = np.empty((_BLOCK, width))
    leading = np.empty(_BLOCK)
    for low in range(0, cell.size, _BLOCK):
        size = min(_BLOCK, cell.size - low)
        for i in range(size):
            c, x = cell[low + i], local[low + i]
            for t in range(width):
                total = table[c, _DEGREE, t]
                for k in range(_DEGREE - 1, -1, -1):
                    total = total * x + table[c, k, t]
                z[i, t] = total
            leading[i] = offset[low + i] * z[i, width - 1]
        for t in range(root.size):
            row, factor = out[t], root[t]  # hoisted by hand: a third of the time
            for i in range(size):
                row[low + i] = max(factor * leading[i] + z[i, t], floor)


@kernel
def significance(
    count: Array, null: float, exposure: Array, exclusion: bool, two_sided: bool, out: Any
) -> None:
    """Fill ``out`` with the significance of each point at each exposure.

    Parameters
    ----------
    count : shape (points,)
        Expected counts with the mediator, per unit exposure; non-negative, finite.
    null
        Expected counts without it, per unit exposure; non-negative, finite.
    exposure : shape (exposure,)
        Non-negative, finite, in any order.
    exclusion
        False: the null is rejected if the mediator is there (P21 eq. 38); True: the mediator is
        rejected if it is not.
    two_sided
        False: an excess alone, signed. True: excess and deficit, floored at zero.
    out : shape (exposure, points), float32 or float64
        Overwritten.
    """
    cell, local = np.empty(count.size, dtype=np.int64), np.empty(count.size)
    cells, lone = _sort(count, null, two_sided, cell)
    known = cells.size > 0 and _LEAST_COUNT <= null <= _MOST_COUNT
    if known:
        _locate(count, local)
        offset = count - null
        usual = np.minimum(np.maximum(exposure, _LEAST_EXPOSURE), _MOST_EXPOSURE)
        floor = 0.0 if two_sided else -inf
        for low in range(0, exposure.size, _TOGETHER):
            high = min(low + _TOGETHER, exposure.size)
            table = np.empty((cells.size, _DEGREE + 1, ((high - low) // _LANES + 1) * _LANES))
            _tabulate(cells, null, usual[low:high], exclusion, table)
            _evaluate(offset, cell, local, table, np.sqrt(usual[low:high]), floor, out[low:high])
    for t in range(exposure.size):
        exact = not (known and _LEAST_EXPOSURE <= exposure[t] <= _MOST_EXPOSURE)
        if not (exact or lone):
            continue
        for i in range(count.size):
            if exact or not _LEAST_COUNT <= count[i] <= _MOST_COUNT:
                out[t, i] = _one(exposure[t] * count[i], exposure[t] * null, exclusion, two_sided)
