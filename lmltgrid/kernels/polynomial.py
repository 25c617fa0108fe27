"""From charges to the coefficients of a quadratic in x = g^2, and from those to counts.

For every vector model the expected counts are exposure * (b + c0 + x c1 + x^2 c2): Standard Model,
interference, pure new physics. The weights below multiply the basis of `cevns` and `eves`.
"""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels import cevns, eves
from lmltgrid.kernels.jit import kernel
from lmltgrid.units import E_CHARGE

Array = NDArray[np.float64]

ORDERS = 3  # powers 0, 1, 2 of x = g^2


def nuclear_weights(
    charges: Array, neutrinos: Array, mixing: float, loop: bool, proton: Array, neutron: float
) -> Array:
    """Return the weights of the nuclear basis, shape (order, cevns.N_BASIS, flavor).

    Parameters
    ----------
    charges : shape (5,)
        Q_u, Q_d, Q_e, Q_mu, Q_tau of the charged fermions; those of leptons drive the loop.
    neutrinos : shape (3,)
        Charges of nu_e, nu_mu, nu_tau: in a gauge symmetry those of the charged leptons.
    mixing
        eps/g, used unless ``loop``.
    loop
        Whether the mixing is the one-loop one, eps(Q^2)/g = e/(2 pi^2) sum_l Q_l L_l(Q^2).
    proton : shape (flavor,)
        Standard Model couplings g_V^p seen by nu_e, nu_mu, nu_tau.
    neutron
        Standard Model coupling g_V^n.
    """
    out = np.zeros((ORDERS, cevns.N_BASIS, 3))
    # c_f = g Q_f - eps e Q_EM: what couples to the proton is tree plus loop parts
    tree_p = 2.0 * charges[0] + charges[1]
    tree_n = charges[0] + 2.0 * charges[1]
    loops = np.zeros(3)
    if loop:
        loops = -(E_CHARGE**2) / (2.0 * pi**2) * charges[2:]
    else:
        tree_p -= E_CHARGE * mixing
    for f in range(3):
        g_p = proton[f]
        q_nu = neutrinos[f]
        out[0, 0, f] = g_p * g_p
        out[0, 1, f] = 2.0 * g_p * neutron
        out[0, 2, f] = neutron * neutron
        out[1, 3, f] = 2.0 * q_nu * g_p * tree_p
        out[1, 4, f] = 2.0 * q_nu * (g_p * tree_n + neutron * tree_p)
        out[1, 5, f] = 2.0 * q_nu * neutron * tree_n
        out[2, 12, f] = q_nu**2 * tree_p**2
        out[2, 13, f] = 2.0 * q_nu**2 * tree_p * tree_n
        out[2, 14, f] = q_nu**2 * tree_n**2
        k = 21
        for i in range(3):
            out[1, 6 + i, f] = 2.0 * q_nu * g_p * loops[i]
            out[1, 9 + i, f] = 2.0 * q_nu * neutron * loops[i]
            out[2, 15 + i, f] = 2.0 * q_nu**2 * tree_p * loops[i]
            out[2, 18 + i, f] = 2.0 * q_nu**2 * tree_n * loops[i]
            for j in range(i, 3):
                twice = 1.0 if i == j else 2.0
                out[2, k, f] = twice * q_nu**2 * loops[i] * loops[j]
                k += 1
    return out


def universal_weights(kind: str, strength: float, proton: Array, neutron: float) -> Array:
    """Return the weights of a scalar or axial mediator, shape as in `nuclear_weights`.

    All neutrinos and quarks couple alike; there is no interference with the Standard Model.

    Parameters
    ----------
    kind
        "scalar" or "axial".
    strength
        Coupling of a nucleon over that of a quark: AC22 eq. 3.31 and LX22 eq. 2.10,
        sum of Delta_q of LX22 eq. 2.14.
    proton, neutron
        See `nuclear_weights`.
    """
    out = nuclear_weights(np.zeros(5), np.zeros(3), 0.0, False, proton, neutron)
    if kind == "scalar":
        out[2, 27:30] = strength**2 * np.array([[1.0], [2.0], [1.0]])
    else:
        out[2, 30] = strength**2
    return out


def electron_weights(
    charges: Array, neutrinos: Array, mixing: float, loop: bool, sin2_theta_w: float
) -> Array:
    """Return the weights of the electron basis, shape (order, eves.N_BASIS, flavor).

    Parameters are those of `nuclear_weights`; g1 = sin^2 theta_W - 1/2 (+1 for nu_e) and
    g2 = sin^2 theta_W, the neutrino couplings to left- and right-handed electrons.
    """
    out = np.zeros((ORDERS, eves.N_BASIS, 3))
    # the electron has Q_EM = -1: c_e = g Q_e + eps e
    tree = charges[2]
    loops = np.zeros(3)
    if loop:
        loops = E_CHARGE**2 / (2.0 * pi**2) * charges[2:]
    else:
        tree += E_CHARGE * mixing
    for f in range(3):
        g1 = sin2_theta_w - 0.5 + (1.0 if f == 0 else 0.0)
        g2 = sin2_theta_w
        q_nu = neutrinos[f]
        linear = np.array([2.0 * g1, 2.0 * g2, -(g1 + g2)])
        out[0, 0, f] = g1 * g1
        out[0, 1, f] = g2 * g2
        out[0, 2, f] = -g1 * g2
        out[1, 3:6, f] = q_nu * tree * linear
        out[2, 15, f] = (q_nu * tree) ** 2
        k = 19
        for i in range(3):
            out[1, 6 + 3 * i : 9 + 3 * i, f] = q_nu * loops[i] * linear
            out[2, 16 + i, f] = 2.0 * q_nu**2 * tree * loops[i]
            for j in range(i, 3):
                twice = 1.0 if i == j else 2.0
                out[2, k, f] = twice * q_nu**2 * loops[i] * loops[j]
                k += 1
    return out


@kernel
def rates(coefficients: Array, x: Array, out: Array) -> None:
    """Fill ``out`` (mass, coupling) with c0 + x c1 + x^2 c2.

    Parameters
    ----------
    coefficients : shape (order, mass)
        Counts per unit exposure; the background is part of order 0.
    x : shape (coupling,)
        Squared couplings g^2.
    """
    for i in range(coefficients.shape[1]):
        c0, c1, c2 = coefficients[0, i], coefficients[1, i], coefficients[2, i]
        for j in range(x.size):
            out[i, j] = c0 + x[j] * (c1 + x[j] * c2)
