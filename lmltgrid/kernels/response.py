"""From recoil nodes to analysis bins: efficiency, quenching, resolution, window.

The response does not depend on the model. A recoil spectrum is smooth between its nodes, the
response is not; so the response is integrated exactly against the Lagrange polynomials of the
nodes, on sub-panels split at its own kinks, and the result is one matrix.
"""

from __future__ import annotations

from math import erf, erfc, log, sqrt

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels.jit import kernel

Array = NDArray[np.float64]


@kernel
def lindhard(energy: float, z: float, k: float) -> float:
    """Return the electron-equivalent energy of a nuclear recoil, keV (Lindhard et al. 1963).

    ``energy`` in keV; epsilon = 11.5 E Z^(-7/3), g = 3 eps^0.15 + 0.7 eps^0.6 + eps.
    """
    eps = 11.5 * energy * z ** (-7.0 / 3.0)
    g = 3.0 * eps**0.15 + 0.7 * eps**0.6 + eps
    return float(energy * k * g / (1.0 + k * g))


@kernel
def window(observed: float, sigma: float, low: float, high: float) -> float:
    """Return the probability that a Gaussian falls between ``low`` and ``high`` (P21 eq. 37)."""
    width = sqrt(2.0) * sigma
    above = (low - observed) / width
    below = (high - observed) / width
    # far outside of the window a difference of erf would cancel
    if above > 0.0:
        return 0.5 * (erfc(above) - erfc(below))
    if below < 0.0:
        return 0.5 * (erfc(-below) - erfc(-above))
    return 0.5 * (erf(below) - erf(above))


@kernel
def project(
    energy: Array,
    value: Array,
    edges: Array,
    first: NDArray[np.int64],
    nodes: Array,
    out: Array,
) -> None:
    """Add the integral of a response against the Lagrange polynomials of the nodes to ``out``.

    Parameters
    ----------
    energy, value : shape (n,)
        Quadrature points of the response (keV), and response times quadrature weight.
    edges : shape (panel + 1,), keV
        Ends of the panels of the recoil spectrum.
    first : shape (panel + 1,)
        Index of the first node of each panel.
    nodes : shape (node,), keV
        Nodes of the recoil spectrum, ascending within their panels.
    out : shape (node,)
        Changed in place.
    """
    for i in range(energy.size):
        p = np.searchsorted(edges, energy[i], side="right") - 1
        p = min(max(p, 0), edges.size - 2)
        x = log(energy[i])
        for j in range(first[p], first[p + 1]):
            xj = log(nodes[j])
            term = value[i]
            for m in range(first[p], first[p + 1]):
                if m != j:
                    xm = log(nodes[m])
                    term *= (x - xm) / (xj - xm)
            out[j] += term


@kernel
def lindhard_array(energy: Array, z: float, k: float) -> Array:
    """Return `lindhard` for each energy of an array of any shape, keV."""
    flat = energy.ravel()
    out = np.empty(flat.size)
    for i in range(flat.size):
        out[i] = lindhard(flat[i], z, k)
    return out.reshape(energy.shape)


@kernel
def window_array(observed: Array, sigma: Array, low: float, high: float) -> Array:
    """Return `window` for each observed energy, shape (n,)."""
    out = np.empty(observed.size)
    for i in range(observed.size):
        out[i] = window(observed[i], sigma[i], low, high)
    return out
