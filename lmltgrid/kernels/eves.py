"""Neutrino-electron scattering: basis moments of every vector model.

The cross section of P20 eq. 29 and P21 eq. 36, in the form

    dsigma/dE_R = (2 G_F^2 m_e/pi) [(g1+n)^2 + (g2+n)^2 (1-E_R/E)^2 - (g1+n)(g2+n) m_e E_R/E^2],
    n = c_nu c_e D,  D = 1/(2 sqrt2 G_F (2 m_e E_R + M^2)),

is a sum over products of charges and of A, B, C: the integrals of 1, (1-E_R/E)^2, m_e E_R/E^2.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels.cevns import loop_function
from lmltgrid.kernels.jit import kernel
from lmltgrid.units import CM2_PER_MEV_2, G_FERMI, M_ELECTRON, M_MUON, M_TAU

Array = NDArray[np.float64]

# The basis, in order; S stands for A + B - C, L for the loop functions of electron, muon, tau.
# Sorted by the power of D, see POWERS.
BASIS = (
    "A", "B", "C",
    "D A", "D B", "D C",
    "D Le A", "D Le B", "D Le C",
    "D Lmu A", "D Lmu B", "D Lmu C",
    "D Ltau A", "D Ltau B", "D Ltau C",
    "D2 S",
    "D2 Le S", "D2 Lmu S", "D2 Ltau S",
    "D2 Le Le S", "D2 Le Lmu S", "D2 Le Ltau S",
    "D2 Lmu Lmu S", "D2 Lmu Ltau S", "D2 Ltau Ltau S",
)  # fmt: skip
N_BASIS = len(BASIS)
POWERS = (3, 15, N_BASIS)  # where the functions with D^0, D^1, D^2 end
PROPAGATOR = 2.0 * sqrt(2.0) * G_FERMI  # 1/D = PROPAGATOR * (2 m_e E_R + M^2)


@kernel
def rate_factor(recoil_energy: Array, flux: Array) -> Array:
    """Return A, B, C times 2 G_F^2 m_e/pi, shape (3, flavor, n), per electron, s^-1 MeV^-1.

    Parameters
    ----------
    recoil_energy : shape (n,), MeV
    flux : shape (3, flavor, n)
        Flux moments F_k at the least energies of these recoils.
    """
    _, n_flavor, n = flux.shape
    scale = 2.0 * G_FERMI**2 * M_ELECTRON / pi * CM2_PER_MEV_2
    out = np.empty((3, n_flavor, n))
    for f in range(n_flavor):
        for i in range(n):
            energy = recoil_energy[i]
            f0, f1, f2 = flux[0, f, i], flux[1, f, i], flux[2, f, i]
            out[0, f, i] = scale * f0
            out[1, f, i] = scale * (f0 - 2.0 * energy * f1 + energy**2 * f2)
            out[2, f, i] = scale * M_ELECTRON * energy * f2
    return out


@kernel
def spectra(recoil_energy: Array, rate: Array) -> Array:
    """Return the basis spectra without the powers of D, shape (n, 1, N_BASIS, flavor).

    Parameters
    ----------
    recoil_energy : shape (n,), MeV
    rate : shape (3, flavor, n)
        A, B, C from `rate_factor`, times the number of electrons.
    """
    _, n_flavor, n = rate.shape
    out = np.empty((n, 1, N_BASIS, n_flavor))
    for i in range(n):
        q2 = 2.0 * M_ELECTRON * recoil_energy[i]
        loops = (loop_function(q2, M_ELECTRON), loop_function(q2, M_MUON), loop_function(q2, M_TAU))
        for f in range(n_flavor):
            row = out[i, 0, :, f]
            total = rate[0, f, i] + rate[1, f, i] - rate[2, f, i]
            row[15] = total
            for s in range(3):
                row[s] = rate[s, f, i]
                row[3 + s] = rate[s, f, i]
            k = 19
            for j in range(3):
                for s in range(3):
                    row[6 + 3 * j + s] = loops[j] * rate[s, f, i]
                row[16 + j] = loops[j] * total
                for m in range(j, 3):
                    row[k] = loops[j] * loops[m] * total
                    k += 1
    return out
