"""Physical constants and unit conversions; every literal carries its source and year.

Inside the kernels energies, masses and momenta are in MeV. Recoil energies at the border are in
keV, exposures in tonne year, fluxes in cm^-2 s^-1.
"""

from __future__ import annotations

from math import nan, pi, sqrt
from typing import Final

import scipy.constants as _codata

# CODATA through scipy.constants
HBAR_C: Final = _codata.value("reduced Planck constant times c in MeV fm")  # MeV fm
ATOMIC_MASS_UNIT: Final = _codata.value("atomic mass constant energy equivalent in MeV")  # MeV
ATOMIC_MASS_UNIT_KG: Final = _codata.value("atomic mass constant")  # kg
ALPHA: Final = _codata.value("fine-structure constant")
E_CHARGE: Final = sqrt(4.0 * pi * ALPHA)  # natural units
AVOGADRO: Final = _codata.value("Avogadro constant")  # 1/mol

# Particle Data Group, Review of Particle Physics (2024)
M_ELECTRON: Final = 0.51099895  # MeV
M_MUON: Final = 105.6583755  # MeV
M_TAU: Final = 1776.86  # MeV
M_PION: Final = 139.57039  # MeV, charged
G_FERMI: Final = 1.1663787e-11  # MeV^-2

# Weak mixing angle: a convention, named in every output
SIN2_THETA_W: Final = {
    "msbar": 0.23122,  # MS-bar at M_Z, PDG (2020); P20 and P21
    "low-energy": 0.2387,  # zero momentum transfer; B22 and LX22
}

# Couplings of neutrinos to protons, by flavor, and to neutrons
PROTON_COUPLING: Final = {
    name: (0.5 - 2.0 * value,) * 3 for name, value in SIN2_THETA_W.items()
} | {"radiative": (0.0401, 0.0318, nan)}  # AC22 eq. 3.3, which has none for nu_tau
NEUTRON_COUPLING: Final = dict.fromkeys(SIN2_THETA_W, -0.5) | {"radiative": -0.5094}

# Helm form factor
SKIN_FM: Final = 0.9  # s, Helm (1956), Lewin & Smith (1996)
DIFFUSENESS_FM: Final = 0.52  # a, Lewin & Smith (1996)

SECONDS_PER_YEAR: Final = 365.25 * 86400.0
KEV: Final = 1e-3  # MeV
KG_PER_TONNE: Final = 1000.0
CM2_PER_MEV_2: Final = HBAR_C**2 * 1e-26  # (hbar c)^2, cm^2 MeV^2: 1 fm^2 = 1e-26 cm^2
