"""Basis spectra and response to basis moments, mass by mass.

The mediator mass enters a recoil spectrum only through the powers of the propagator D, so for each
mass the spectra are scaled and multiplied by the response matrix; nothing is integrated again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels.jit import kernel

Array = NDArray[np.float64]


@kernel
def at_mass(
    spectra: Array, q2: Array, mass: float, propagator: float, powers: tuple[int, int, int]
) -> Array:
    """Return the basis spectra at one mediator mass, summed over isotopes, shape (n, term).

    Parameters
    ----------
    spectra : shape (n, isotope, term)
        Basis spectra without the powers of D; the terms are sorted by the power.
    q2 : shape (n, isotope), MeV^2
        Squared momentum transfer.
    mass
        Mediator mass, MeV.
    propagator
        1/D = propagator * (q2 + mass^2), MeV^-2.
    powers
        Where the terms with D^0, D^1 and D^2 end.
    """
    n, n_isotope, n_term = spectra.shape
    out = np.zeros((n, n_term))
    for i in range(n):
        row = out[i]
        for s in range(n_isotope):
            terms = spectra[i, s]
            d = 1.0 / (propagator * (q2[i, s] + mass * mass))
            d2 = d * d
            for k in range(powers[0]):
                row[k] += terms[k]
            for k in range(powers[0], powers[1]):
                row[k] += d * terms[k]
            for k in range(powers[1], powers[2]):
                row[k] += d2 * terms[k]
    return out


@kernel
def moments(
    spectra: Array,
    q2: Array,
    response: Array,
    masses: Array,
    propagator: float,
    powers: tuple[int, int, int],
) -> Array:
    """Return the basis moments, shape (mass, bin, term).

    Parameters
    ----------
    spectra, q2, propagator, powers
        See `at_mass`.
    response : shape (bin, n)
        Response matrix; all thresholds side by side.
    masses : shape (mass,), MeV
    """
    n_bin, n = response.shape
    n_term = spectra.shape[2]
    out = np.zeros((masses.size, n_bin, n_term))
    for m in range(masses.size):
        scaled = at_mass(spectra, q2, masses[m], propagator, powers)
        for b in range(n_bin):
            row = out[m, b]
            for i in range(n):
                weight = response[b, i]
                for k in range(n_term):
                    row[k] += weight * scaled[i, k]
    return out
