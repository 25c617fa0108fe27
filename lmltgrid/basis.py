"""Basis moments: everything that an analysis needs of an experiment, for every vector model.

The moments are counts per tonne year of each basis function, flavor by flavor, on the axes
(metallicity, oscillation, threshold, bin, mass). They hold no charge, no coupling, no mixing and no
weak mixing angle: those enter by `coefficients`, as algebra. Counts are then

    exposure * (c0 + x c1(M) + x^2 c2(M)),  x = g^2,

exactly; nothing is interpolated in coupling or exposure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid import (
    detector,
    drift_moments,
    folding,
    likelihood_moments,
    solar_moments,
    spallation_moments,
)
from lmltgrid.errors import SpecificationError
from lmltgrid.folding import BORON, KERNELS
from lmltgrid.kernels import polynomial
from lmltgrid.spec import Atomic, Couplings
from lmltgrid.tables import nuclei
from lmltgrid.tables.combination import CombinedExperiment
from lmltgrid.tables.drift import DriftExperiment, check_pressures
from lmltgrid.tables.experiment import Channel, Experiment
from lmltgrid.tables.measurement import to_json
from lmltgrid.tables.models import Model
from lmltgrid.tables.muon import MuonExperiment
from lmltgrid.tables.oscillation import Oscillation
from lmltgrid.tables.recoils import SolarExperiment
from lmltgrid.tables.spallation import SpallationExperiment
from lmltgrid.units import NEUTRON_COUPLING, PROTON_COUPLING, SIN2_THETA_W

Array = NDArray[np.float64]

PHYSICS_VERSION: Final = 1  # raised whenever a number changes for the same input
FLAVORS: Final = ("nu_e", "nu_mu", "nu_tau")


def compute(
    experiment: Experiment,
    *,
    mass: Array,
    threshold: Array | None = None,
    metallicity: Sequence[str] = ("GS98",),
    oscillation: Sequence[Oscillation],
    atomic: Atomic = "step+rrpa",
    boron: bool = False,
    where: str = "threshold",
) -> xr.Dataset:
    """Return the basis moments of an experiment.

    Parameters
    ----------
    experiment
        An entry of the catalog.
    mass : shape (mass,), MeV
        Mediator masses.
    threshold : shape (threshold,), keV
        In the experiment's own energy scale; the nominal threshold if left out.
    metallicity
        Solar models, "GS98" or "AGSS09met".
    oscillation
        Sets of oscillation parameters.
    atomic
        How electrons are bound in the target.
    boron
        Whether the part of 8B neutrinos is given apart as well, for an uncertain flux.
    where
        Opens the message if a threshold is not allowed.

    Returns
    -------
    Dataset
        ``nr`` and ``er`` (those of the experiment's channels), counts per tonne year, dims
        (metallicity, oscillation, threshold, bin, mass, basis, flavor); ``background``, counts per
        tonne year, dims (threshold, bin); ``nr_error``, ``er_error``: relative quadrature error;
        ``nr_8B``, ``er_8B``: the part of 8B neutrinos in ``nr``, ``er``.

    Raises
    ------
    SpecificationError
        A threshold is below the validity of the detector model.
    """
    if threshold is None:
        where, threshold = f"{experiment.name}: nominal threshold", np.array([experiment.threshold])
    thresholds = np.asarray(threshold, dtype=np.float64)
    check_thresholds(experiment, thresholds, where)
    masses = np.asarray(mass, dtype=np.float64)
    if masses.ndim != 1 or not masses.size or not np.all(np.isfinite(masses) & (masses > 0.0)):
        raise SpecificationError(
            "mass: one dimension of positive, finite masses in MeV is needed; correct the array"
        )
    given: dict[str, Any] = {"metallicity": metallicity, "oscillation": oscillation}
    suns = (len(metallicity), len(oscillation))
    if isinstance(experiment, DriftExperiment):
        variables = drift_moments.variables(experiment, masses, thresholds, suns, boron=boron)
    elif isinstance(experiment, SpallationExperiment):
        variables = spallation_moments.variables(experiment, masses, suns, boron=boron)
    elif isinstance(experiment, MuonExperiment):
        variables = likelihood_moments.muon_variables(experiment, masses)
    elif isinstance(experiment, CombinedExperiment):
        parts = [_member(m, t, mass=masses, atomic=atomic, **given) for m, t in experiment.members]
        variables = likelihood_moments.combined_variables(experiment, parts)
    else:
        assert isinstance(experiment, SolarExperiment)  # noqa: S101 - there are five kinds
        variables = solar_moments.variables(
            experiment, masses, thresholds, **given, atomic=atomic, boron=boron
        )
    return _labeled(variables, experiment, masses, thresholds, metallicity, oscillation, atomic)


def _member(experiment: Experiment, threshold: float, **given: Any) -> xr.Dataset:
    """Return the moments of a member of a combination; a count is one Poisson bin."""
    part = compute(experiment, threshold=np.array([threshold]), **given)
    if "observed" in part:
        return part
    extra = likelihood_moments.projection(part.sizes["bin"])
    return part.assign_coords(pull=extra.pop("pull_names")).assign(extra)


def check_thresholds(experiment: Experiment, thresholds: Array, where: str) -> None:
    """Refuse thresholds at which an experiment is not defined.

    Raises
    ------
    SpecificationError
        A threshold is not allowed; ``where`` opens the message.
    """
    if isinstance(experiment, SolarExperiment):
        detector.check_thresholds(experiment, thresholds, where)
        return
    if isinstance(experiment, DriftExperiment):
        check_pressures(experiment, thresholds, where)
        return
    for value in np.atleast_1d(thresholds):
        if value == experiment.threshold:
            continue
        if isinstance(experiment, CombinedExperiment):
            raise SpecificationError(
                f"{where}: {value:g} is given for {experiment.name}, a sum of members with "
                f"thresholds of their own; write it behind a member, as darwin-nr@{value:g}"
            )
        raise SpecificationError(
            f"{where}: {value:g} {experiment.unit} is given for {experiment.name}, whose bins "
            f"begin at {experiment.threshold:g} {experiment.unit}; leave the threshold out"
        )


def weights(channel: Channel, model: Model, couplings: Couplings) -> Array:
    """Return what multiplies the basis of a channel, shape (order, basis, flavor).

    Raises
    ------
    SpecificationError
        The mediator is scalar or axial, and the channel is that of electrons.
    """
    proton = np.nan_to_num(np.array(PROTON_COUPLING[couplings]))
    neutron = NEUTRON_COUPLING[couplings]
    if model.kind != "vector":
        if channel == "er":
            raise SpecificationError(
                f"model: {model.name!r} is given for electron recoils; a {model.kind} mediator is "
                "implemented for nuclei; choose an experiment with nuclear recoils alone"
            )
        return polynomial.universal_weights(model.kind, model.strength, proton, neutron)
    charges = np.array(model.charges)
    loop = model.mixing == "loop"
    mixing = 0.0 if loop else float(model.mixing)
    neutrinos = model.neutrino_charges
    if channel == "er":
        sin2 = SIN2_THETA_W[couplings]
        return polynomial.electron_weights(charges, neutrinos, mixing, loop, sin2)
    return polynomial.nuclear_weights(charges, neutrinos, mixing, loop, proton, neutron)


def coefficients(
    moments: xr.Dataset, model: Model, couplings: Couplings = "msbar", *, part: str = ""
) -> xr.DataArray:
    """Return the coefficients of the counts in powers of x = g^2.

    Parameters
    ----------
    moments
        From `compute`.
    model
        Charges and mixing.
    couplings
        Of neutrinos in the Standard Model: "msbar" (P20, P21), "low-energy" or "radiative" (AC22).
    part
        `BORON` for the part of 8B neutrinos, if the moments hold it apart.

    Returns
    -------
    DataArray
        Counts per tonne year, dims (metallicity, oscillation, threshold, bin, order, mass). Order 0
        is the Standard Model, without background.
    """
    if couplings == "radiative" and _needs_tau(moments):
        raise SpecificationError(
            f"couplings: 'radiative' is given for {moments.attrs['experiment']}; AC22 has none for "
            "nu_tau and electrons; choose another"
        )
    sizes = [moments.sizes[dim] for dim in ("metallicity", "oscillation")]
    total = np.zeros((*sizes, *moments["background"].shape, 3, moments.sizes["mass"]))
    for channel in KERNELS:
        if channel in moments:
            weight = weights(channel, model, couplings)
            values = moments[channel + part].transpose(..., f"{channel}_basis", "flavor").values
            # sums are rounded by the order in memory, which a store does not keep
            values = np.ascontiguousarray(values)
            total += np.einsum("zphbmkf,okf->zphbom", values, weight, optimize=True)
    if likelihood_moments.MUON in moments and not part:
        total[..., 1, :] += _muon_counts(moments, model)
    axes = ("metallicity", "oscillation", "threshold", "mass")
    return xr.DataArray(
        total,
        dims=("metallicity", "oscillation", "threshold", "bin", "order", "mass"),
        coords={name: moments[name] for name in axes},
        attrs={
            "long_name": "coefficients of the counts in powers of g^2",
            "units": "1/(tonne year)",
            "model": model.name,
            "mixing": model.mixing_name,
            "couplings": couplings,
        },
    )


def _needs_tau(moments: xr.Dataset) -> bool:
    """Whether there are electron recoils, or nu_tau."""
    if "er" in moments:
        return True
    return "nr" in moments and bool(np.any(moments["nr"].isel(flavor=2, mass=0)))


def _muon_counts(moments: xr.Dataset, model: Model) -> Array:
    """Return the events of a muon beam over g^2, shape (bin, mass).

    Raises
    ------
    SpecificationError
        The mediator is not a vector.
    """
    if model.kind != "vector":
        raise SpecificationError(
            f"model: {model.name!r} is given for {moments.attrs['experiment']}; a muon beam is "
            "implemented for vector mediators; leave it out"
        )
    charges, neutrinos = np.array(model.charges), np.array(model.neutrino_charges)
    mass = moments["mass"].values
    share = likelihood_moments.invisible(moments.attrs["branching"], charges, neutrinos, mass)
    counts: Array = moments[likelihood_moments.MUON].values * share
    return counts


def point_spectrum(
    channel: Channel,
    element: str,
    model: Model,
    recoil_energy: Array,
    mass: float,
    *,
    metallicity: str,
    oscillation: Oscillation,
    atomic: Atomic = "step+rrpa",
    couplings: Couplings = "msbar",
) -> Array:
    """Return the coefficients of dR/dE_R in powers of g^2, shape (order, n), 1/(t yr keV).

    Parameters
    ----------
    recoil_energy : shape (n,), keV
        True recoil energies, before any detector.
    mass
        Mediator mass, MeV.
    """
    target = nuclei.target(element)
    spectra, q2 = solar_moments.point_spectra(
        channel, recoil_energy, target, metallicity, oscillation
    )
    values = folding.basis_moments(
        channel, spectra, q2, np.eye(recoil_energy.size), np.array([mass])
    )[:, 0]
    rate: Array = np.einsum("nkf,okf->on", values, weights(channel, model, couplings))
    if channel == "er":
        rate = rate * nuclei.atomic_factor(element, atomic)(recoil_energy)
    return rate


def _labeled(
    variables: dict[str, Any],
    experiment: Experiment,
    masses: Array,
    thresholds: Array,
    metallicity: Sequence[str],
    oscillation: Sequence[Oscillation],
    atomic: Atomic,
) -> xr.Dataset:
    """Attach coordinates, units and provenance."""
    coords: dict[str, Any] = {
        "metallicity": np.array(list(metallicity), dtype=str),
        "oscillation": np.array([one.name for one in oscillation], dtype=str),
        "threshold": ("threshold", thresholds, {"units": experiment.axis_unit}),
        "mass": ("mass", masses, {"units": "MeV", "long_name": "mediator mass"}),
        "flavor": np.array(FLAVORS),
    }
    coords["threshold"][2].update(long_name="threshold", energy_scale=experiment.spec.energy_scale)
    for channel in experiment.channels:
        coords[f"{channel}_basis"] = np.array(KERNELS[channel].BASIS)
    if "pull_names" in variables:
        coords["pull"] = np.array(variables.pop("pull_names"), dtype=str)
    dataset = xr.Dataset(variables, coords=coords)
    for channel in experiment.channels:
        dataset[channel].attrs = {
            "units": "1/(tonne year)",
            "long_name": f"basis moments, {channel}",
        }
        if channel + BORON in dataset:
            dataset[channel + BORON].attrs = dataset[channel].attrs | {
                "long_name": f"basis moments of 8B neutrinos, {channel}"
            }
        dataset[f"{channel}_error"].attrs = {"units": "1", "long_name": "relative error"}
    dataset["background"].attrs = {"units": "1/(tonne year)", "long_name": "expected background"}
    dataset["window"].attrs = experiment.window_label
    dataset.attrs = {
        "experiment": experiment.name,
        "source": experiment.spec.source,
        "title": experiment.spec.title,
        "references": experiment.spec.reference,
        "exposure_tonne_year": experiment.spec.exposure_tonne_year,
        "atomic": atomic,
        "statistic": experiment.spec.test,
        "physics_version": PHYSICS_VERSION,
    }
    if likelihood_moments.MUON in variables:
        dataset.attrs["branching"] = _branching(experiment)
    if experiment.spec.measurement is not None:
        dataset.attrs["measurement"] = to_json(experiment.spec.measurement)
    return dataset


def _branching(experiment: Experiment) -> str:
    """Return how invisible decays are counted; one way in a combination."""
    members = [experiment]
    if isinstance(experiment, CombinedExperiment):
        members = [member for member, _ in experiment.members]
    ways = {m.spec.branching for m in members if isinstance(m, MuonExperiment)}
    if len(ways) > 1:
        raise SpecificationError(
            f"{experiment.name}: members count invisible decays in different ways; take one"
        )
    return ways.pop()
