"""Flux moments: integrals of a neutrino spectrum above the kinematic threshold.

F_k(E_min) = int_{E_min} phi(E) P_a(E) E^-k dE, k = 0, 1, 2. They hold all that a recoil spectrum
needs of the source; mass, coupling and model do not enter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels.jit import kernel

Array = NDArray[np.float64]


@kernel
def _add_panel(
    low: float,
    high: float,
    left: float,
    right: float,
    legendre: Array,
    nodes: Array,
    weights: Array,
    out: Array,
) -> None:
    """Add the moments over [low, high], part of the panel [left, right], to ``out`` (3, flavor)."""
    n_flavor, n_order = legendre.shape
    for j in range(nodes.size):
        energy = 0.5 * (high + low) + 0.5 * (high - low) * nodes[j]
        step = 0.5 * (high - low) * weights[j]
        t = (2.0 * energy - left - right) / (right - left)
        for f in range(n_flavor):
            # Clenshaw summation of the Legendre series of phi * P_f on the panel
            b1 = 0.0
            b2 = 0.0
            for k in range(n_order - 1, 0, -1):
                b0 = legendre[f, k] + (2.0 * k + 1.0) / (k + 1.0) * t * b1
                b0 -= (k + 1.0) / (k + 2.0) * b2
                b2 = b1
                b1 = b0
            value = step * (legendre[f, 0] + t * b1 - 0.5 * b2)
            out[0, f] += value
            out[1, f] += value / energy
            out[2, f] += value / energy**2


@kernel
def flux_moments(
    e_min: Array, edges: Array, legendre: Array, nodes: Array, weights: Array
) -> Array:
    """Return the flux moments of a continuum, shape (3, flavor, n).

    Parameters
    ----------
    e_min : shape (n,), MeV
        Lower limits of the integrals.
    edges : shape (panel + 1,), MeV
        Ends of the panels, ascending; the spectrum is smooth inside each.
    legendre : shape (panel, flavor, order), cm^-2 s^-1 MeV^-1
        Legendre coefficients of flux times probability in each panel.
    nodes, weights : shape (node,)
        Gauss-Legendre rule on [-1, 1].

    Returns
    -------
    array
        F_k in cm^-2 s^-1 MeV^-k.
    """
    n_panel, n_flavor, _ = legendre.shape
    above = np.zeros((n_panel + 1, 3, n_flavor))
    for p in range(n_panel - 1, -1, -1):
        _copy(above[p + 1], above[p])
        left, right = edges[p], edges[p + 1]
        _add_panel(left, right, left, right, legendre[p], nodes, weights, above[p])
    out = np.zeros((3, n_flavor, e_min.size))
    part = np.zeros((3, n_flavor))
    for i in range(e_min.size):
        if e_min[i] >= edges[-1]:
            continue
        if e_min[i] <= edges[0]:
            _copy(above[0], part)
        else:
            p = np.searchsorted(edges, e_min[i], side="right") - 1
            _copy(above[p + 1], part)
            left, right = edges[p], edges[p + 1]
            _add_panel(e_min[i], right, left, right, legendre[p], nodes, weights, part)
        for k in range(3):
            for f in range(n_flavor):
                out[k, f, i] = part[k, f]
    return out


@kernel
def _copy(source: Array, out: Array) -> None:
    """Copy a small matrix; array assignment would compile twenty times as long."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = source[i, j]


@kernel
def add_lines(e_min: Array, energy: Array, flux: Array, out: Array) -> None:
    """Add monochromatic lines to flux moments.

    Parameters
    ----------
    e_min : shape (n,), MeV
    energy : shape (line,), MeV
    flux : shape (line, flavor), cm^-2 s^-1
    out : shape (3, flavor, n)
        Changed in place.
    """
    n_line, n_flavor = flux.shape
    for i in range(e_min.size):
        for j in range(n_line):
            if energy[j] >= e_min[i]:
                for f in range(n_flavor):
                    out[0, f, i] += flux[j, f]
                    out[1, f, i] += flux[j, f] / energy[j]
                    out[2, f, i] += flux[j, f] / energy[j] ** 2
