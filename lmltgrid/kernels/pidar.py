"""Neutrinos of pions and muons that decay at rest: flux moments in closed form.

Each decay gives one nu_mu at (m_pi^2 - m_mu^2)/(2 m_pi), and, from the muon, one anti-nu_mu and one
nu_e with the Michel spectra (P21 eq. 31, AC22 eqs 2.1 to 2.3), normalized to one neutrino:

    anti-nu_mu: 64 E^2/m^3 (3/4 - E/m),   nu_e: 192 E^2/m^3 (1/2 - E/m),   E < m/2, m = m_mu.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lmltgrid.units import M_MUON, M_PION

Array = NDArray[np.float64]

PROMPT_ENERGY: Final = (M_PION**2 - M_MUON**2) / (2.0 * M_PION)  # MeV
ENDPOINT: Final = 0.5 * M_MUON  # MeV
COMPONENTS: Final = ("nu_mu", "anti-nu_mu", "nu_e")


def flux_moments(e_min: Array) -> Array:
    """Return the integrals of E^-k above each energy, shape (k, component, n), for k = 0, 1, 2.

    Parameters
    ----------
    e_min : shape (n,), MeV

    Returns
    -------
    ndarray
        For one neutrino of each component, MeV^-k; components as in `COMPONENTS`.
    """
    m = M_MUON
    e = np.minimum(e_min, ENDPOINT)
    out = np.zeros((3, 3, e.size))
    for k in range(3):
        out[k, 0] = np.where(e_min <= PROMPT_ENERGY, PROMPT_ENERGY**-k, 0.0)
        for component, scale, constant in ((1, 64.0, 0.75), (2, 192.0, 0.5)):
            # the antiderivative of E^(2-k) (constant - E/m)
            upper, lower = (
                constant * x ** (3 - k) / (3 - k) - x ** (4 - k) / ((4 - k) * m)
                for x in (np.full_like(e, ENDPOINT), e)
            )
            out[k, component] = scale / m**3 * (upper - lower)
    return out
