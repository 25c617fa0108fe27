"""Masses between those of an axis, where a region ends or is narrower than the axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lmltgrid import binned
from lmltgrid.binned import Binned

Array = NDArray[np.float64]

_ROUNDS: Final = 4  # each divides the steps around an edge by four
_FIRST: Final = 1e-6  # step in log g, doubled until the chi-square has risen by ...
_RISE: Final = 0.3


@dataclass(frozen=True)
class Nodes:
    """The least chi-square at masses of their own; all of shape (node,).

    Attributes
    ----------
    mass, chi2, coupling
        MeV; the minimum at that mass, and where it is.
    width
        In log g, of the parabola there: the chi-square rises by one.
    """

    mass: Array
    chi2: Array
    coupling: Array
    width: Array


def refined(
    evaluate: Callable[[Array], tuple[Binned, Array]],
    masses: Array,
    extra: Sequence[float],
    least: float,
    bounds: Sequence[float],
) -> Nodes:
    """Return nodes on the axis, at some more masses inside of it, and close to all edges.

    Parameters
    ----------
    evaluate
        Returns data and coefficients, shape (bin, order, mass), at some masses (MeV).
    masses
        The axis.
    extra
        Masses that may lie between its points.
    least
        The chi-square that the bounds are counted from.
    bounds
        Increases at which a region ends.
    """
    inside = [one for one in extra if masses[0] < one < masses[-1]]
    nodes = _at(evaluate, np.unique(np.concatenate([masses, inside])))
    for _ in range(_ROUNDS):
        above = nodes.chi2[:, None] - least > np.asarray(bounds)
        edge = np.flatnonzero(np.any(above[1:] != above[:-1], axis=1))
        if not edge.size:
            break
        steps = [np.geomspace(nodes.mass[i], nodes.mass[i + 1], 5)[1:-1] for i in edge]
        nodes = _merged(nodes, _at(evaluate, np.concatenate(steps)))
    return nodes


def _at(evaluate: Callable[[Array], tuple[Binned, Array]], masses: Array) -> Nodes:
    data, coefficients = evaluate(masses)
    rows = []
    for place in range(masses.size):
        own = np.ascontiguousarray(coefficients[:, :, place])
        value, _, x = binned.least(data, own[:, :, None])
        rows.append((value, np.sqrt(x), _width(data, own, value, x)))
    chi2, coupling, width = np.array(rows).T
    return Nodes(masses, chi2, coupling, width)


def _width(data: Binned, coefficients: Array, least: float, x: float) -> float:
    """Return the width of the parabola in log g; infinite where there is no minimum but g = 0."""
    step = _FIRST
    while x > 0.0 and step < 10.0:
        at = x * np.exp(2.0 * np.array([-step, step]))
        rise = float(np.mean(data.curve(coefficients, at))) - least
        if rise > _RISE:
            return float(step / np.sqrt(rise))
        step *= 2.0
    return np.inf


def _merged(first: Nodes, second: Nodes) -> Nodes:
    order = np.argsort(np.concatenate([first.mass, second.mass]))
    both = [
        np.concatenate([getattr(first, name), getattr(second, name)])[order]
        for name in ("mass", "chi2", "coupling", "width")
    ]
    return Nodes(*both)
