"""Answers for one point: counts, spectra, oscillation probabilities, muon g-2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.integrate import quad

from lmltgrid import basis
from lmltgrid.analysis.setup import (
    DEFAULT_ATOMIC,
    DEFAULT_METALLICITY,
    DEFAULT_OSCILLATION,
    axis,
    conventions,
    find_experiment,
    own_values,
    rates,
)
from lmltgrid.errors import unknown_name
from lmltgrid.tables.experiments import SCALE_OF, Channel
from lmltgrid.tables.oscillation import parse, probabilities
from lmltgrid.units import M_MUON

# The reactions as physicists write them, and as the tables do
SOURCE_NAMES: Final = {
    "pp": "pp",
    "pep": "pep",
    "hep": "hep",
    "7Be": "be7",
    "8B": "b8",
    "13N": "n13",
    "15O": "o15",
    "17F": "f17",
}

# (g-2)_mu: measured minus predicted, in units of 1e-11, and its error
DELTA_A_MU: Final = {"P21": (251.0, 59.0), "P20": (279.0, 76.0)}


def spectrum(
    *,
    recoil_energy: ArrayLike,
    mass: float,
    coupling: float,
    channel: str = "nr",
    target: str = "Xe",
    source: str = "solar",
    **options: Any,
) -> xr.Dataset:
    """Return the recoil spectrum of solar neutrinos before any detector.

    Parameters
    ----------
    recoil_energy
        True recoil energies, keV.
    mass, coupling
        Mediator mass in MeV, and coupling g.
    channel
        "nr" (nuclear recoils) or "er" (electron recoils).
    target, source
        Element; "solar".
    **options
        Model and conventions, see `lmltgrid.analysis.setup.conventions`.

    Returns
    -------
    Dataset
        ``rate`` and ``rate_sm``, 1/(t yr keV), dims (recoil_energy,).

    Raises
    ------
    SpecificationError
        An argument is not allowed.
    """
    if source != "solar":
        raise unknown_name("source", source, ["solar"], "source")
    if channel not in get_args(Channel):
        raise unknown_name("channel", channel, get_args(Channel), "channel")
    setting = conventions(**options)
    energy = axis(recoil_energy, "recoil-energy", unit="keV")
    axis([mass], "mass", unit="MeV")
    axis([coupling], "coupling", unit="1")
    orders = basis.point_spectrum(
        channel,  # type: ignore[arg-type]
        target,
        setting.model,
        energy,
        mass,
        metallicity=setting.metallicity,
        oscillation=setting.oscillation,
        atomic=setting.atomic,
        couplings=setting.couplings,
    )
    x = coupling**2
    units = {"units": "1/(t yr keV)"}
    return xr.Dataset(
        {
            "rate": (
                "recoil_energy",
                orders[0] + x * (orders[1] + x * orders[2]),
                units | {"long_name": "recoil rate with the mediator"},
            ),
            "rate_sm": (
                "recoil_energy",
                orders[0],
                units | {"long_name": "recoil rate in the Standard Model"},
            ),
        },
        coords={
            "recoil_energy": (
                "recoil_energy",
                energy,
                {
                    "units": "keV",
                    "long_name": "recoil energy",
                    "energy_scale": SCALE_OF[channel],  # type: ignore[index]
                },
            )
        },
        attrs={
            "source": source,
            "target": target,
            "channel": channel,
            "mass": mass,
            "coupling": coupling,
            **setting.as_dict(),
        },
    )


def moments(
    experiment: str = "darwin-nr",
    *,
    mass: ArrayLike,
    threshold: ArrayLike | None = None,
    metallicity: str | Sequence[str] = DEFAULT_METALLICITY,
    oscillation: str | Sequence[str] = DEFAULT_OSCILLATION,
    atomic: str = DEFAULT_ATOMIC,
    experiments: str | Path | None = None,
) -> xr.Dataset:
    """Return the basis moments of an experiment: what serves every vector model.

    Parameters
    ----------
    experiment
        Name in the catalog, or in the folder ``experiments``.
    mass
        Mediator masses, MeV.
    threshold
        Thresholds, keV in the experiment's own scale; its nominal threshold if left out.
    metallicity
        One solar model or several.
    oscillation
        One set of oscillation parameters or several.
    atomic
        See `lmltgrid.analysis.setup.conventions`.

    Returns
    -------
    Dataset
        See `lmltgrid.basis.compute`; `lmltgrid.basis.coefficients` takes it on.
    """
    suns = [metallicity] if isinstance(metallicity, str) else list(metallicity)
    parameters = [oscillation] if isinstance(oscillation, str) else list(oscillation)
    settings = [
        conventions(metallicity=sun, oscillation=one, atomic=atomic)
        for sun in suns
        for one in parameters
    ]
    return basis.compute(
        find_experiment(experiment, experiments),
        mass=axis(mass, "mass", unit="MeV"),
        threshold=None if threshold is None else axis(threshold, "threshold", unit="keV"),
        metallicity=suns,
        oscillation=[setting.oscillation for setting in settings[: len(parameters)]],
        atomic=settings[0].atomic,
    )


def events(
    experiment: str = "darwin-nr",
    *,
    mass: float,
    coupling: float,
    threshold: float | None = None,
    exposure: float | None = None,
    experiments: str | Path | None = None,
    **options: Any,
) -> xr.Dataset:
    """Return the expected counts of an experiment at one point.

    Parameters
    ----------
    experiment
        Name in the catalog, or in the folder ``experiments``.
    mass, coupling
        Mediator mass in MeV, and coupling g.
    threshold
        keV in the experiment's own scale; its nominal threshold if left out.
    exposure
        Tonne year; the experiment's own if left out.
    **options
        Model and conventions, see `lmltgrid.analysis.setup.conventions`.

    Returns
    -------
    Dataset
        ``sm``, ``signal`` (total change by the mediator, can be negative), ``background``: counts,
        dims (bin,); ``window``: keV_ee, dims (bin, edge).
    """
    chosen = find_experiment(experiment, experiments)
    setting = conventions(**options)
    at = axis([mass], "mass", unit="MeV")
    axis([coupling], "coupling", unit="1")
    own, duration = own_values(chosen, threshold, exposure)
    found = rates(chosen, setting, at, [own])
    x = coupling**2
    c0, c1, c2 = (found.coefficients[0, :, order, 0] for order in range(3))
    values = {"sm": c0, "signal": x * (c1 + x * c2), "background": found.background[0]}
    names = {
        "sm": "events in the Standard Model",
        "signal": "change by the mediator",
        "background": "background events",
    }
    variables: dict[str, Any] = {
        name: ("bin", duration * value, {"units": "1", "long_name": names[name]})
        for name, value in values.items()
    }
    variables["window"] = (
        ("bin", "edge"),
        found.window[0],
        {"units": "keV", "energy_scale": chosen.window_scale},
    )
    attrs = {
        "experiment": chosen.name,
        "mass": mass,
        "coupling": coupling,
        "threshold": own,
        "energy_scale": chosen.spec.energy_scale,
        "exposure": duration,
        **chosen.warning,
        **setting.as_dict(),
    }
    return xr.Dataset(variables, attrs=attrs)


def oscillations(
    source: str = "8B",
    *,
    energy: ArrayLike,
    oscillation: str = DEFAULT_OSCILLATION,
    metallicity: str = DEFAULT_METALLICITY,
) -> xr.Dataset:
    """Return the flavor probabilities at Earth of one solar reaction.

    Parameters
    ----------
    source
        pp, pep, hep, 7Be, 8B, 13N, 15O or 17F.
    energy
        Neutrino energies, MeV.
    oscillation
        A preset, or parameters as ``preset,name=value,...``.
    metallicity
        "GS98" or "AGSS09met".

    Returns
    -------
    Dataset
        ``p_e``, ``p_mu``, ``p_tau``, dims (energy,).
    """
    energies = axis(energy, "energy", unit="MeV")
    parameters = parse(oscillation)
    if source not in SOURCE_NAMES:
        raise unknown_name("source", source, SOURCE_NAMES, "source")
    name = SOURCE_NAMES[source]
    values = probabilities(energies, name, metallicity, parameters)
    label = {"units": "1", "long_name": "probability at Earth"}
    return xr.Dataset(
        {
            n: ("energy", row, label)
            for n, row in zip(("p_e", "p_mu", "p_tau"), values, strict=True)
        },
        coords={"energy": ("energy", energies, {"units": "MeV", "long_name": "neutrino energy"})},
        attrs={"source": source, "oscillation": parameters.name, "metallicity": metallicity},
    )


def delta_a_mu(mass: ArrayLike, coupling: ArrayLike, charge: float = 1.0) -> Any:
    """Return the one-loop contribution of a vector mediator to (g-2)_mu / 2 (P21 eq. 9).

    Q^2 g^2/(4 pi^2) int_0^1 du u^2 (1-u) / (u^2 + (1-u) M^2/m_mu^2).

    Parameters
    ----------
    mass, coupling
        MeV and 1; broadcast against each other.
    charge
        Charge of the muon.

    Returns
    -------
    array
        Of the shape of ``mass`` and ``coupling`` together.

    Raises
    ------
    SpecificationError
        A mass is not a positive finite number.
    """
    masses = np.asarray(mass, dtype=np.float64)
    axis(masses.ravel(), "mass", unit="MeV")
    integral = np.array([_vertex((m / M_MUON) ** 2) for m in masses.ravel()]).reshape(masses.shape)
    return charge**2 * np.asarray(coupling) ** 2 / (4.0 * np.pi**2) * integral


def muon_band(
    mass: ArrayLike, charge: float = 1.0, sigmas: float = 2.0, measurement: str = "P21"
) -> tuple[Any, Any, Any]:
    """Return the couplings that explain (g-2)_mu.

    Parameters
    ----------
    mass
        Mediator masses, MeV.
    charge
        Charge of the muon.
    sigmas
        Half the width of the band, standard deviations of measured minus predicted.
    measurement
        Whose difference: "P21" (251 +- 59) or "P20" (279 +- 76), in units of 1e-11.

    Returns
    -------
    tuple
        Low, central and high coupling at each mass; low is 0 where the band holds no effect.

    Raises
    ------
    SpecificationError
        A mass is not a positive finite number, or the measurement is not known.
    """
    if measurement not in DELTA_A_MU:
        raise unknown_name("measurement", measurement, DELTA_A_MU, "measurement")
    center, error = DELTA_A_MU[measurement]
    unit = delta_a_mu(mass, 1.0, charge)
    low, middle, high = (
        np.sqrt(max(center + n * error, 0.0) * 1e-11 / unit) for n in (-sigmas, 0.0, sigmas)
    )
    return low, middle, high


def _vertex(ratio: float) -> float:
    """Return the loop integral at M^2/m_mu^2."""

    def integrand(u: float) -> float:
        return u**2 * (1.0 - u) / (u**2 + (1.0 - u) * ratio)

    # the integrand turns over at u of about M/m_mu
    turn = [min(np.sqrt(ratio), 0.5)]
    value, _ = quad(integrand, 0.0, 1.0, points=turn, epsabs=0.0, epsrel=1e-11, limit=200)
    return float(value)
