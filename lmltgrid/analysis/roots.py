"""From a test at one mass to the intervals of x = g^2 on which it is passed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

Interval = tuple[float, float]


def quadratic(c1: float, c2: float, level: float) -> list[float]:
    """Return the positive roots of x (c1 + x c2) = level."""
    if c2 == 0.0:
        return [level / c1] if c1 and level / c1 > 0.0 else []
    discriminant = c1 * c1 + 4.0 * c2 * level
    if discriminant <= 0.0:
        return []
    # the form of the roots that does not cancel
    half = -0.5 * (c1 + np.copysign(np.sqrt(discriminant), c1))
    return [float(root) for root in (half / c2, -level / half) if root > 0.0]


def outside(c1: float, c2: float, below: float, above: float) -> Callable[[float], bool]:
    """Return whether the change x (c1 + x c2) lies below or above what is allowed."""

    def passed(x: float) -> bool:
        change = x * (c1 + x * c2)
        return change > above or change < below

    return passed


def between(roots: list[float], passed: Callable[[float], bool]) -> list[Interval]:
    """Return the intervals of x on which a test is passed, given where it may change."""
    edges = [0.0, *sorted(roots), np.inf]
    out: list[Interval] = []
    for low, high in pairwise(edges):
        if low == 0.0:
            middle = 0.5 * high if np.isfinite(high) else 1.0
        else:
            middle = np.sqrt(low * high) if np.isfinite(high) else 2.0 * low
        if not passed(float(middle)):
            continue
        if out and out[-1][1] == low:
            out[-1] = (out[-1][0], high)
        else:
            out.append((low, high))
    return out
