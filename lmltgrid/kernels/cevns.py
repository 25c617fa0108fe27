"""Coherent elastic neutrino-nucleus scattering: basis moments of every vector model.

The cross section of P21 eq. 33 and AC22 eqs 3.1 and 3.19,

    dsigma/dE_R = (G_F^2 m_N/pi) (1 - m_N E_R/(2 E^2)) Q_a^2,
    Q_a = g_V^p Z F_p + g_V^n N F_n + c_nu (c_p Z F_p + c_n N F_n) D,
    D = 1/(sqrt2 G_F (q^2 + M^2)),  q^2 = 2 m_N E_R,

is a sum over products of charges and of the basis functions below. Only the basis is integrated;
charges, couplings and mixing enter algebraically (`lmltgrid.kernels.polynomial`).
"""

from __future__ import annotations

from math import log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels.jit import kernel
from lmltgrid.units import CM2_PER_MEV_2, G_FERMI, HBAR_C, M_ELECTRON, M_MUON, M_TAU, SKIN_FM

Array = NDArray[np.float64]

# The basis, in order: pp, pn, nn stand for (Z F_p)^2, Z F_p N F_n, (N F_n)^2; L for the loop
# functions of electron, muon, tau; S and A for the kinematics of a scalar and an axial mediator, A
# with the squared difference of spins. Sorted by the power of D, see POWERS.
BASIS = (
    "pp", "pn", "nn",
    "D pp", "D pn", "D nn",
    "D Le pp", "D Lmu pp", "D Ltau pp",
    "D Le pn", "D Lmu pn", "D Ltau pn",
    "D2 pp", "D2 pn", "D2 nn",
    "D2 Le pp", "D2 Lmu pp", "D2 Ltau pp",
    "D2 Le pn", "D2 Lmu pn", "D2 Ltau pn",
    "D2 Le Le pp", "D2 Le Lmu pp", "D2 Le Ltau pp",
    "D2 Lmu Lmu pp", "D2 Lmu Ltau pp", "D2 Ltau Ltau pp",
    "D2 S pp", "D2 S pn", "D2 S nn",
    "D2 A",
)  # fmt: skip
N_BASIS = len(BASIS)
POWERS = (3, 12, N_BASIS)  # where the functions with D^0, D^1, D^2 end
PROPAGATOR = sqrt(2.0) * G_FERMI  # 1/D = PROPAGATOR * (q^2 + M^2)
KINDS = 3  # kinematics: vector, scalar, axial


def minimal_energy(recoil_energy: Array, target_mass: Array | float) -> Array:
    """Return the least neutrino energies that give a recoil, MeV (P21 below eq. 35)."""
    root = np.sqrt(recoil_energy**2 + 2.0 * target_mass * recoil_energy)
    out: Array = 0.5 * (recoil_energy + root)
    return out


@kernel
def helm(momentum: float, radius: float) -> float:
    """Return the Helm form factor, with a skin of s = 0.9 fm (AC22 below eq. 3.3, B22 eq. 2.6).

    Parameters
    ----------
    momentum
        Momentum transfer, MeV.
    radius
        Diffraction radius R0, fm; for the root-mean-square radius of a distribution of nucleons,
        R0^2 = 5/3 r_rms^2 - 5 s^2.
    """
    q = momentum / HBAR_C
    x = q * radius
    if x < 0.02:
        bessel = 1.0 - x**2 / 10.0 + x**4 / 280.0
    else:
        bessel = 3.0 * (np.sin(x) - x * np.cos(x)) / x**3
    return float(bessel * np.exp(-0.5 * (q * SKIN_FM) ** 2))


@kernel
def loop_function(q2: float, mass: float) -> float:
    """Return L = int_0^1 x(1-x) ln(m^2 + x(1-x) Q^2) dx, m and Q in MeV (P20 eq. A12).

    The closed form cancels for small r = Q^2/m^2; there its series is used.
    """
    r = q2 / mass**2
    start = log(mass**2) / 6.0
    if r < 1e-2:
        return start + r / 30.0 - r**2 / 280.0 + r**3 / 1890.0
    b = sqrt(1.0 + 4.0 / r)
    logarithm = 2.0 * log(0.5 * (b + 1.0) * sqrt(r))  # ln((b+1)/(b-1)), b^2 - 1 = 4/r
    return float(start - 5.0 / 18.0 + 2.0 / (3.0 * r) + (1.0 - 2.0 / r) * b * logarithm / 6.0)


@kernel
def rate_factor(recoil_energy: Array, mass: float, flux: Array) -> Array:
    """Return the integrals over the flux, shape (KINDS, flavor, n), per nucleus, s^-1 MeV^-1.

    G_F^2 m/pi times F_0 - t for a vector, t for a scalar, F_0 + t for an axial mediator, where
    t = m E_R/2 F_2. The scalar cross section m^2 E_R/(4 pi E^2) C^2/(q^2 + M^2)^2 (AC22 eq. 3.24,
    LX22 eq. 2.9) is G_F^2 m/pi * m E_R/(2 E^2) C^2 D^2. The axial one has no form factor, as LX22
    eq. 2.14 is printed.

    Parameters
    ----------
    recoil_energy : shape (n,), MeV
    mass
        Mass of the nucleus, MeV.
    flux : shape (3, flavor, n)
        Flux moments F_k at the least energies of these recoils.
    """
    _, n_flavor, n = flux.shape
    scale = G_FERMI**2 * mass / pi * CM2_PER_MEV_2
    out = np.empty((KINDS, n_flavor, n))
    for f in range(n_flavor):
        for i in range(n):
            term = 0.5 * mass * recoil_energy[i] * flux[2, f, i]
            out[0, f, i] = scale * (flux[0, f, i] - term)
            out[1, f, i] = scale * term
            out[2, f, i] = scale * (flux[0, f, i] + term)
    return out


@kernel
def _fill(
    recoil_energy: float,
    z: float,
    a: float,
    radius: tuple[float, float],
    spin: float,
    target_mass: float,
    out: Array,
) -> None:
    """Fill ``out`` (N_BASIS,) with the basis at one recoil, without the powers of D."""
    q2 = 2.0 * target_mass * recoil_energy
    momentum = sqrt(q2)
    form = helm(momentum, radius[0])
    p = z * form
    n = (a - z) * (form if radius[1] == radius[0] else helm(momentum, radius[1]))
    pp, pn, nn = p * p, p * n, n * n
    loops = (loop_function(q2, M_ELECTRON), loop_function(q2, M_MUON), loop_function(q2, M_TAU))
    for start in (0, 3, 12, 27):
        out[start] = pp
        out[start + 1] = pn
        out[start + 2] = nn
    k = 21
    for i in range(3):
        for start in (6, 15):
            out[start + i] = loops[i] * pp
            out[start + 3 + i] = loops[i] * pn
        for j in range(i, 3):
            out[k] = loops[i] * loops[j] * pp
            k += 1
    out[30] = spin * spin


@kernel
def _kind(index: int) -> int:
    """Return which kinematics a basis function has."""
    if index < 27:
        return 0
    return 1 if index < 30 else 2


@kernel
def spectra(
    recoil_energy: Array,
    z: Array,
    a: Array,
    radius: Array,
    spin: Array,
    target_mass: Array,
    rate: Array,
) -> Array:
    """Return the basis spectra without the powers of D, shape (n, isotope, N_BASIS, flavor).

    Parameters
    ----------
    recoil_energy : shape (n,), MeV
    z, a, spin, target_mass : shape (isotope,)
        Atomic numbers, mass numbers, unpaired nucleons Z+ - Z- + N+ - N-, nuclear masses in MeV.
    radius : shape (2, isotope), fm
        Diffraction radii of protons and neutrons, see `helm`.
    rate : shape (isotope, KINDS, flavor, n)
        `rate_factor` times the number of nuclei.
    """
    n_isotope, _, n_flavor, n = rate.shape
    out = np.empty((n, n_isotope, N_BASIS, n_flavor))
    basis = np.empty(N_BASIS)
    for i in range(n):
        for s in range(n_isotope):
            radii = (radius[0, s], radius[1, s])
            _fill(recoil_energy[i], z[s], a[s], radii, spin[s], target_mass[s], basis)
            for j in range(N_BASIS):
                for f in range(n_flavor):
                    out[i, s, j, f] = rate[s, _kind(j), f, i] * basis[j]
    return out
