"""Moments and charges against the cross sections as they are printed, for random charges.

What is tested is the algebra: that the counts of any model are those of its cross section, in every
experiment that sees solar neutrinos, with the flux, the response and the nodes of the program. That
the integrals converge is tested elsewhere, and so are spallation sources and the beam dump.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lmltgrid import basis, quadrature, solar_moments
from lmltgrid.kernels import cevns
from lmltgrid.tables import models, nuclei
from lmltgrid.tables.experiment import Channel
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.oscillation import oscillation
from lmltgrid.tables.recoils import SolarExperiment
from lmltgrid.units import (
    CM2_PER_MEV_2,
    E_CHARGE,
    G_FERMI,
    KEV,
    M_ELECTRON,
    M_MUON,
    M_TAU,
    SECONDS_PER_YEAR,
    SIN2_THETA_W,
)

Array = NDArray[np.float64]

SOLAR = sorted(name for name, one in catalog().items() if one.spec.source == "solar")
SIN2 = SIN2_THETA_W["msbar"]
SUN = ("GS98", oscillation("nufit60"))
CHARGES = st.tuples(*[st.floats(-3.0, 3.0).map(lambda q: round(q, 3)) for _ in range(5)])


@cache
def nodes(name: str, channel: Channel) -> tuple[Array, Array]:
    """Recoil energies (keV) and the response of all bins at them."""
    experiment = catalog()[name]
    assert isinstance(experiment, SolarExperiment)
    threshold = np.array([experiment.threshold])
    responses = solar_moments._responses(experiment, channel, threshold, "step")
    target = nuclei.target(experiment.spec.target)
    binned = experiment.spec.window.log_bins > 1
    grid = solar_moments._grid(channel, responses, target, *SUN, 0, binned=binned)
    return grid.nodes, quadrature.response_matrix(responses, grid)


@cache
def moments(name: str, mass: float) -> Any:
    return basis.compute(catalog()[name], mass=np.array([mass]), oscillation=SUN[1:], atomic="step")


def couplings(charges: tuple[float, ...], g: float, mixing: float | None, q2: Array) -> Any:
    """c_p, c_n, c_e and c_nu of PDG charges: c_f = g Q_f - eps e Q_EM, eps from the loop if None."""
    u, d, *leptons = charges
    per_g: Any = mixing
    if mixing is None:
        loops = [
            np.array([cevns.loop_function(one, m) for one in q2.ravel()]).reshape(q2.shape)
            for m in (M_ELECTRON, M_MUON, M_TAU)
        ]
        per_g = (
            E_CHARGE / (2.0 * np.pi**2) * sum(q * v for q, v in zip(leptons, loops, strict=True))
        )
    eps_e = g * per_g * E_CHARGE
    return g * (2 * u + d) - eps_e, g * (u + 2 * d), g * leptons[0] + eps_e, g * np.array(leptons)


def direct(
    name: str,
    channel: Channel,
    charges: tuple[float, ...],
    g: float,
    mixing: float | None,
    m: float,
) -> Array:
    """Counts per tonne year in each bin, from P21 eq. 33 and P20 eq. 29."""
    experiment = catalog()[name]
    energy, matrix = nodes(name, channel)
    t = energy * KEV
    target = nuclei.target(experiment.spec.target)
    reactions = experiment.spec.reactions  # type: ignore[attr-defined]
    total = np.zeros(t.size)
    if channel == "er":
        flux = quadrature.flux_moments(cevns.minimal_energy(t, M_ELECTRON), *SUN, reactions)
        q2 = 2.0 * M_ELECTRON * t
        _, _, c_e, c_nu = couplings(charges, g, mixing, q2)
        for flavor in range(3):
            n = c_nu[flavor] * c_e / (2.0 * np.sqrt(2.0) * G_FERMI * (q2 + m**2))
            left, right = SIN2 - 0.5 + (flavor == 0) + n, SIN2 + n
            f0, f1, f2 = flux[:, flavor]
            square = left**2 * f0 + right**2 * (f0 - 2.0 * t * f1 + t**2 * f2)
            total += square - left * right * M_ELECTRON * t * f2
        total *= 2.0 * G_FERMI**2 * M_ELECTRON / np.pi
        return matrix @ (total * CM2_PER_MEV_2 * target.atoms_per_tonne * SECONDS_PER_YEAR * KEV)
    for i, nucleus in enumerate(target.nuclear_mass):
        flux = quadrature.flux_moments(cevns.minimal_energy(t, nucleus), *SUN, reactions)
        q2 = 2.0 * nucleus * t
        form = np.array([cevns.helm(np.sqrt(one), target.radius[0, i]) for one in q2])
        z, n = target.z[i] * form, target.neutrons[i] * form
        c_p, c_n, _, c_nu = couplings(charges, g, mixing, q2)
        propagator = 1.0 / (np.sqrt(2.0) * G_FERMI * (q2 + m**2))
        for flavor in range(3):
            weak = (0.5 - 2.0 * SIN2) * z - 0.5 * n
            whole = weak + c_nu[flavor] * (c_p * z + c_n * n) * propagator
            kinematics = flux[0, flavor] - 0.5 * nucleus * t * flux[2, flavor]
            scale = G_FERMI**2 * nucleus / np.pi * target.abundance[i]
            total += scale * kinematics * whole**2
    return matrix @ (total * CM2_PER_MEV_2 * target.atoms_per_tonne * SECONDS_PER_YEAR * KEV)


@pytest.mark.parametrize("name", SOLAR)
@settings(deadline=None, max_examples=6)
@given(
    charges=CHARGES.filter(lambda q: any(q)),
    loop=st.booleans(),
    mixing=st.floats(-0.1, 0.1),
    mass=st.sampled_from([0.05, 15.0, 700.0]),
    coupling=st.floats(1e-7, 1e-2),
)
def test_counts_are_those_of_the_cross_section(
    name: str,
    charges: tuple[float, ...],
    loop: bool,
    mixing: float,
    mass: float,
    coupling: float,
) -> None:
    if loop:  # defined for leptonic charges that sum to zero
        charges = (0.0, 0.0, charges[2], charges[3], -charges[2] - charges[3])
        if not any(charges):
            charges = (0.0, 0.0, 0.0, 1.0, -1.0)
    keys = dict(zip(models.FERMIONS, charges, strict=True))
    model = models.build("random", "", keys, "loop" if loop else mixing)
    found = basis.coefficients(moments(name, mass), model).values[0, 0, 0, :, :, 0]
    x = coupling**2
    ours = found[:, 0] + x * (found[:, 1] + x * found[:, 2])
    own = None if loop else mixing
    channels = catalog()[name].channels
    expected = sum(direct(name, c, charges, coupling, own, mass) for c in channels)
    # interference may cancel: the size of the terms decides what rounding can do
    size = np.abs(found) @ np.array([1.0, x, x * x])
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-10 * size.max())
