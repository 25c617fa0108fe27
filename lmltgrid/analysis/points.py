"""Answers for one point: counts, spectra, oscillation probabilities, muon g-2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from lmltgrid import basis
from lmltgrid.analysis.bins import counts, side_by_side
from lmltgrid.analysis.setup import (
    DEFAULT_ATOMIC,
    DEFAULT_METALLICITY,
    DEFAULT_OSCILLATION,
    axis,
    conventions,
    find_experiment,
    own_values,
    require_own_exposure,
)
from lmltgrid.errors import unknown_name
from lmltgrid.kernels import brems
from lmltgrid.tables.combination import CombinedExperiment
from lmltgrid.tables.experiment import SCALE_OF, Channel
from lmltgrid.tables.oscillation import parse, probabilities

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
        Name in the catalog, or in the folder ``experiments``, or ``a+b``.
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
        ``sm``, ``signal`` (total change by the mediator, can be negative), ``background``, and
        ``observed`` where there are data: counts, dims (bin,); ``window``, the energies of a bin,
        and ``time`` where it has times: dims (bin, edge). A sum ``a+b`` has the bins of all its
        members, with the coordinates ``member`` and ``scale``, the scale of their energies.
    """
    chosen = find_experiment(experiment, experiments)
    setting = conventions(**options)
    at = axis([mass], "mass", unit="MeV")
    axis([coupling], "coupling", unit="1")
    own, duration = own_values(chosen, threshold, exposure)
    if chosen.spec.test == "likelihood":
        require_own_exposure(chosen, duration)
    if isinstance(chosen, CombinedExperiment):
        if threshold is not None:
            basis.check_thresholds(chosen, np.array([own]), "threshold")
        parts = [
            counts(member, setting, at, coupling, cut, member.spec.exposure_tonne_year)
            for member, cut in chosen.members
        ]
        names = [member.name for member, _ in chosen.members]
        found = side_by_side(parts, names)
    else:
        found = counts(chosen, setting, at, coupling, own, duration)
    return found.assign_attrs(
        {
            "experiment": chosen.name,
            "mass": mass,
            "coupling": coupling,
            "threshold": own,
            "energy_scale": chosen.spec.energy_scale,
            "exposure": duration,
            "data": chosen.data,
            **chosen.warning,
            **setting.as_dict(),
        }
    )


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


def delta_a_mu(
    mass: ArrayLike, coupling: ArrayLike, charge: float = 1.0, kind: str = "vector"
) -> Any:
    """Return the one-loop contribution of a mediator to (g-2)_mu / 2.

    See `lmltgrid.kernels.brems.muon_anomaly` (P21 eq. 9 for a vector).

    Parameters
    ----------
    mass, coupling
        MeV and 1; broadcast against each other.
    charge
        Charge of the muon, or what multiplies the coupling of a scalar to it.
    kind
        "vector" or "scalar".

    Returns
    -------
    array
        Of the shape of ``mass`` and ``coupling`` together.

    Raises
    ------
    SpecificationError
        A mass is not a positive finite number, or the kind is not known.
    """
    masses = np.asarray(mass, dtype=np.float64)
    axis(masses.ravel(), "mass", unit="MeV")
    per_square = brems.muon_anomaly(masses.ravel(), kind=kind)  # type: ignore[arg-type]
    return charge**2 * np.asarray(coupling) ** 2 * per_square.reshape(masses.shape)


def muon_band(
    mass: ArrayLike,
    charge: float = 1.0,
    sigmas: float = 2.0,
    measurement: str = "P21",
    kind: str = "vector",
) -> tuple[Any, Any, Any]:
    """Return the couplings that explain (g-2)_mu.

    Parameters
    ----------
    mass
        Mediator masses, MeV.
    charge, kind
        See `delta_a_mu`.
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
        A mass is not a positive finite number, or the measurement or kind is not known.
    """
    if measurement not in DELTA_A_MU:
        raise unknown_name("measurement", measurement, DELTA_A_MU, "measurement")
    center, error = DELTA_A_MU[measurement]
    unit = delta_a_mu(mass, 1.0, charge, kind)
    low, middle, high = (
        np.sqrt(max(center + n * error, 0.0) * 1e-11 / unit) for n in (-sigmas, 0.0, sigmas)
    )
    return low, middle, high
