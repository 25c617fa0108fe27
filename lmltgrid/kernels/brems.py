"""Invisible vector mediators from a muon beam (NA64mu), and the muon's magnetic moment.

A muon of energy E_0 radiates a mediator of energy x E_0 off a nucleus (P21 eqs 14-20). With
V = M^2 (1-x)/x + m^2 x and the flux chi of the photons around the nucleus,

    dsigma/dx = alpha^2 g^2 chi beta / (2 pi (1-x)) [C2/V + C3/(2 V^2) + C4/(3 V^3)]
    C2 = (1-x) + (1-x)^3
    C3 = -2 x (1-x)^2 (M^2 + 2 m^2)
    C4 = 2 (1-x)^2 (M^2 + 2 m^2) (M^2 (1-x) + m^2 x^2)

P21 prints 2 pi^2 and another C4 (eqs 16 and 19). For m = 0 the above is the cross section of
electrons (Bjorken et al. 2009, arXiv:0906.0580). The figures and the text of P21 follow from this
C4, and from 2 pi^2: ``prefactor="printed"``. Everything is of order g^2, and of that order alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, pi
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.kernels.jit import kernel
from lmltgrid.units import ALPHA, CM2_PER_MEV_2, M_ELECTRON, M_MUON, M_TAU

Array = NDArray[np.float64]

Prefactor = Literal["physics", "printed"]
Transfer = Literal["muon", "printed"]
Branching = Literal["physics", "printed"]
Kind = Literal["vector", "scalar"]

# Form factors of atom and nucleus: Bjorken et al. 2009, appendix A (after Kim & Tsai 1973)
SCREENING: Final = 111.0 / M_ELECTRON  # 1/MeV, times Z^(-1/3); elastic
SCREENING_INELASTIC: Final = 773.0 / M_ELECTRON  # 1/MeV, times Z^(-2/3)
NUCLEAR_SIZE: Final = 0.164e6  # MeV^2, times A^(-2/3)
NUCLEON_SIZE: Final = 0.71e6  # MeV^2, dipole form factor of the nucleon
PROTON_MOMENT: Final = 2.79  # nuclear magnetons
M_PROTON: Final = 938.27209  # MeV, Particle Data Group (2024)

X_NODES: Final = 10  # a bin of 10 GeV; converged to 1e-15
LOG_T_WIDTH: Final = 2.0  # of a panel; the form factors have poles at a distance of pi in log t
LOG_T_NODES: Final = 12  # a panel; converged to 1e-14
LOGIT_END: Final = 40.0  # exp(-40) of the vertex integral is left out
LOGIT_NODES: Final = 10  # a panel of width 1; converged to 1e-13


@kernel
def form_factor(t: float, z: float, a: float) -> float:
    """Return G_2(t), elastic plus inelastic (Bjorken et al. 2009, appendix A).

    Parameters
    ----------
    t
        Squared momentum transfer, MeV^2.
    z, a
        Atomic number, atomic weight.
    """
    screened = (SCREENING * z ** (-1.0 / 3.0)) ** 2 * t
    elastic = z * screened / (1.0 + screened) / (1.0 + t / (NUCLEAR_SIZE * a ** (-2.0 / 3.0)))
    screened = (SCREENING_INELASTIC * z ** (-2.0 / 3.0)) ** 2 * t
    magnetic = 1.0 + t * (PROTON_MOMENT**2 - 1.0) / (4.0 * M_PROTON**2)
    nucleon = screened / (1.0 + screened) * magnetic / (1.0 + t / NUCLEON_SIZE) ** 4
    return float(elastic**2 + z * nucleon**2)


@kernel
def _photon_flux(
    t_min: Array, t_max: Array, z: float, a: float, nodes: Array, weights: Array
) -> Array:
    """Return chi = int dt (t - t_min)/t^2 G_2(t) (P21 eq. 15), shape (mass,)."""
    out = np.zeros(t_min.size)
    for i in range(t_min.size):
        width = log(t_max[i] / t_min[i])
        panels = int(np.ceil(width / LOG_T_WIDTH))
        half = 0.5 * width / panels
        for p in range(panels):
            for k in range(nodes.size):
                rise = half * (2.0 * p + 1.0 + nodes[k])  # log(t/t_min)
                t = t_min[i] * exp(rise)
                out[i] += half * weights[k] * (1.0 - exp(-rise)) * form_factor(t, z, a)
    return out


@kernel
def radiation(x: float, mass: float) -> float:
    """Return [C2/V + C3/(2 V^2) + C4/(3 V^3)]/(1-x), MeV^-2; x E_0 is the mediator's energy."""
    m2, big2, y = M_MUON**2, mass**2, 1.0 - x
    v = big2 * y / x + m2 * x
    c2 = y + y**3
    c3 = -2.0 * x * y**2 * (big2 + 2.0 * m2)
    c4 = 2.0 * y**2 * (big2 + 2.0 * m2) * (big2 * y + m2 * x**2)
    return float((c2 + (c3 / 2.0 + c4 / (3.0 * v)) / v) / (v * y))


@kernel
def _integrals(edges: Array, mass: Array, nodes: Array, weights: Array) -> Array:
    """Return the integrals of `radiation` between edges in x, shape (bin, mass), MeV^-2."""
    out = np.zeros((edges.size - 1, mass.size))
    for b in range(edges.size - 1):
        center, half = 0.5 * (edges[b + 1] + edges[b]), 0.5 * (edges[b + 1] - edges[b])
        for i in range(mass.size):
            for k in range(nodes.size):
                out[b, i] += abs(half) * weights[k] * radiation(center + half * nodes[k], mass[i])
    return out


def photon_flux(
    mass: ArrayLike, *, beam_energy: float, z: float, a: float, transfer: Transfer = "muon"
) -> Array:
    """Return the effective flux chi of photons around a nucleus, shape (mass,).

    Parameters
    ----------
    mass
        Mediator masses, MeV.
    beam_energy
        MeV.
    z, a
        Atomic number and atomic weight of the target.
    transfer
        The largest t: "muon" is M^2 + m_mu^2; "printed" is the M^2 of P21 below eq. 15, which is
        that of an electron beam, and with which production ceases as M goes to zero.

    Raises
    ------
    SpecificationError
        A mass is not positive and finite, or not below the beam energy; unknown ``transfer``.
    """
    masses = _masses(mass, beam_energy)
    if transfer not in get_args(Transfer):
        raise unknown_name("transfer", transfer, get_args(Transfer), "photon flux")
    t_max = masses**2 + (M_MUON**2 if transfer == "muon" else 0.0)
    nodes, weights = np.polynomial.legendre.leggauss(LOG_T_NODES)
    t_min = (masses**2 / (2.0 * beam_energy)) ** 2
    return _photon_flux(t_min, t_max, float(z), float(a), nodes, weights)


def counts_per_x(
    mass: ArrayLike,
    *,
    edges: Array,
    beam_energy: float,
    z: float,
    a: float,
    luminosity: float,
    prefactor: Prefactor = "physics",
    transfer: Transfer = "muon",
) -> Array:
    """Return events over g^2 at unit charge of the muon, all decays counted, shape (bin, mass).

    A model has Q_mu^2 times `invisible_fraction` as many (P21 eqs 26 and 27). Decays to leptons
    count as seen, also behind the detector: that part of P21 eq. 27 is not of order g^2, and
    matters at unit charges for g M below about 1e-3 MeV; above the dimuon threshold there are no
    events then.

    Parameters
    ----------
    mass
        Mediator masses, MeV.
    edges : shape (bin + 1,), MeV
        Energies of the scattered muon, ascending.
    beam_energy, z, a, transfer
        See `photon_flux`.
    luminosity
        Muons times efficiency times nuclei per area, cm^-2.
    prefactor
        "physics" (2 pi in the denominator of P21 eq. 16), or "printed" (2 pi^2).

    Raises
    ------
    SpecificationError
        The mediator cannot have the energies that the edges leave it, or a name is not known.
    """
    bins = np.asarray(edges, dtype=np.float64)
    if not (bins[0] > 0.0 and np.all(np.diff(bins) > 0.0) and bins[-1] < beam_energy):
        raise SpecificationError(
            f"muon energies: edges from {bins[0]:g} to {bins[-1]:g} MeV are given; they must "
            f"ascend between 0 and the beam energy, {beam_energy:g} MeV; correct them"
        )
    masses = _masses(mass, beam_energy - bins[-1])
    nodes, weights = np.polynomial.legendre.leggauss(X_NODES)
    shape = _integrals(1.0 - bins / beam_energy, masses, nodes, weights)
    chi = photon_flux(masses, beam_energy=beam_energy, z=z, a=a, transfer=transfer)
    out: Array = _scale(masses, chi, beam_energy, luminosity, prefactor) * shape
    return out


def spectrum_per_x(
    muon_energy: ArrayLike,
    mass: ArrayLike,
    *,
    beam_energy: float,
    z: float,
    a: float,
    luminosity: float,
    prefactor: Prefactor = "physics",
    transfer: Transfer = "muon",
) -> Array:
    """Return events over g^2 and energy of the scattered muon, 1/MeV, shape (energy, mass).

    Parameters are those of `counts_per_x`, whose counts are the integrals of this.

    Parameters
    ----------
    muon_energy
        Energies of the scattered muon, MeV; the missing energy is that of the beam less these.
    """
    energies = np.atleast_1d(np.asarray(muon_energy, dtype=np.float64))
    wrong = energies[~((energies > 0.0) & (energies < beam_energy))]
    if wrong.size:
        raise SpecificationError(
            f"muon energies: {wrong[0]:g} MeV is given; they must lie between 0 and the beam "
            f"energy, {beam_energy:g} MeV; correct it"
        )
    masses = _masses(mass, beam_energy - energies.max())
    x = 1.0 - energies / beam_energy
    shape = np.array([[radiation(at, m) for m in masses] for at in x])
    chi = photon_flux(masses, beam_energy=beam_energy, z=z, a=a, transfer=transfer)
    out: Array = _scale(masses, chi, beam_energy, luminosity, prefactor) * shape / beam_energy
    return out


def _scale(
    mass: Array, chi: Array, beam_energy: float, luminosity: float, prefactor: Prefactor
) -> Array:
    """Return what multiplies the integral over x, MeV^2, shape (mass,)."""
    if prefactor not in get_args(Prefactor):
        raise unknown_name("prefactor", prefactor, get_args(Prefactor), "muon beam")
    beta = np.sqrt(1.0 - (mass / beam_energy) ** 2)
    below = 2.0 * pi if prefactor == "physics" else 2.0 * pi**2
    out: Array = luminosity * CM2_PER_MEV_2 * ALPHA**2 * chi * beta / below
    return out


def _masses(mass: ArrayLike, highest: float) -> Array:
    """Return masses as an array of one dimension, or refuse those that cannot be radiated."""
    masses = np.atleast_1d(np.asarray(mass, dtype=np.float64))
    wrong = masses[~((masses > 0.0) & (masses < highest))]
    if wrong.size:
        raise SpecificationError(
            f"mass: {wrong[0]:g} MeV is given; a muon beam radiates a mediator of a mass between 0 "
            f"and {highest:g} MeV, its energy in the window; correct it"
        )
    return masses


def invisible_fraction(
    mass: ArrayLike,
    charges: Sequence[float],
    neutrinos: Sequence[float] | None = None,
    *,
    branching: Branching = "physics",
) -> Array:
    """Return the fraction of decays of a vector mediator to neutrinos, shape (mass,).

    Gamma(nu_a nu_a) = Q_a^2 g^2 M/(24 pi) for left-handed neutrinos, and Gamma(l l) =
    Q_l^2 g^2 M/(12 pi) (1 + 2 m^2/M^2) sqrt(1 - 4 m^2/M^2). Decays to hadrons and by mixing with
    the photon are left out; for a mediator that couples to quarks this is therefore an upper bound
    above the mass of the neutral pion, 135 MeV.

    Parameters
    ----------
    mass
        Mediator masses, MeV.
    charges
        Of e, mu, tau.
    neutrinos
        Charges of nu_e, nu_mu, nu_tau; those of the leptons if left out.
    branching
        "physics", or "printed": the leptons are massless above twice their mass, as in P21, which
        has 1/2 for Lmu-Ltau and 1/3 for Lmu above the dimuon threshold.

    Raises
    ------
    UnknownNameError
        ``branching`` is not known.
    """
    if branching not in get_args(Branching):
        raise unknown_name("branching", branching, get_args(Branching), "muon beam")
    masses = np.atleast_1d(np.asarray(mass, dtype=np.float64))
    unseen = float(np.sum(np.square(charges if neutrinos is None else neutrinos)))
    seen = np.zeros(masses.size)
    for charge, lepton in zip(charges, (M_ELECTRON, M_MUON, M_TAU), strict=True):
        ratio = (lepton / masses) ** 2
        room = np.sqrt(np.maximum(1.0 - 4.0 * ratio, 0.0))
        phase = (1.0 + 2.0 * ratio) * room if branching == "physics" else np.sign(room)
        seen += 2.0 * charge**2 * phase
    total = unseen + seen
    return np.divide(unseen, total, out=np.zeros(masses.size), where=total > 0.0)


@kernel
def _vertex(ratio: Array, scalar: bool, nodes: Array, weights: Array) -> Array:
    """Return int_0^1 dx N(x)/(x^2 + (1-x) r), N = 2 x^2 (1-x) or x^2 (2-x), at r = M^2/m_mu^2.

    In s = log(x/(1-x)) the turns of the integrand, at x = sqrt(r) or 1-x = 1/r, are as wide as any
    other part of it.
    """
    out = np.zeros(ratio.size)
    for i in range(ratio.size):
        low, high = -LOGIT_END, LOGIT_END + log(1.0 + ratio[i])
        panels = int(np.ceil(high - low))
        half = 0.5 * (high - low) / panels
        for p in range(panels):
            for k in range(nodes.size):
                s = low + half * (2.0 * p + 1.0 + nodes[k])
                x, y = 1.0 / (1.0 + exp(-s)), 1.0 / (1.0 + exp(s))
                above = x * x * (2.0 - x) if scalar else 2.0 * x * x * y
                out[i] += half * weights[k] * x * y * above / (x * x + y * ratio[i])
    return out


def muon_anomaly(mass: ArrayLike, *, kind: Kind = "vector") -> Array:
    """Return (g-2)_mu/2 over g^2 at one loop, shape (mass,).

    1/(8 pi^2) int_0^1 dx N(x)/(x^2 + (1-x) M^2/m_mu^2), with N = 2 x^2 (1-x) for a vector of unit
    charge (P21 eq. 13) and x^2 (2-x) for a scalar coupling g to the muon (Leveille 1978).

    Parameters
    ----------
    mass
        Mediator masses, MeV, positive.
    kind
        "vector" or "scalar".

    Raises
    ------
    SpecificationError
        A mass is not a positive finite number, or the kind is not known.
    """
    if kind not in get_args(Kind):
        raise unknown_name("kind", kind, get_args(Kind), "(g-2)_mu")
    masses = np.atleast_1d(np.asarray(mass, dtype=np.float64))
    if not np.all(np.isfinite(masses) & (masses > 0.0)):
        raise SpecificationError(
            f"(g-2)_mu: masses from {masses.min():g} to {masses.max():g} MeV are given; each must "
            "be a positive finite number; correct them"
        )
    nodes, weights = np.polynomial.legendre.leggauss(LOGIT_NODES)
    values = _vertex((masses / M_MUON) ** 2, kind == "scalar", nodes, weights)
    return values / (8.0 * pi**2)
