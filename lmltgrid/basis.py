"""Basis moments: everything that an analysis needs of an experiment, for every vector model.

The moments are counts per tonne year of each basis function, flavor by flavor, on the axes
(metallicity, oscillation, threshold, bin, mass). They hold no charge, no coupling, no mixing and no
weak mixing angle: those enter by `coefficients`, as algebra. Counts are then

    exposure * (c0 + x c1(M) + x^2 c2(M)),  x = g^2,

exactly; nothing is interpolated in coupling or exposure.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid import detector, quadrature
from lmltgrid.detector import Response
from lmltgrid.errors import SpecificationError
from lmltgrid.kernels import cevns, eves, fold, polynomial
from lmltgrid.spec import Atomic, Couplings
from lmltgrid.tables import nuclei
from lmltgrid.tables.experiments import Channel, Experiment
from lmltgrid.tables.measurement import to_json
from lmltgrid.tables.models import Model
from lmltgrid.tables.oscillation import Oscillation
from lmltgrid.units import KEV, M_ELECTRON, SIN2_THETA_W

Array = NDArray[np.float64]

PHYSICS_VERSION: Final = 1  # raised whenever a number changes for the same input
FLAVORS: Final = ("nu_e", "nu_mu", "nu_tau")
BORON: Final = "_8B"
_KERNELS: Final = {"nr": cevns, "er": eves}
_PROBES: Final = 5  # masses at which the quadrature is repeated with more nodes
_MORE_NODES: Final = 2
_RESPONSE_ERROR: Final = 1e-8  # of the response itself, which both quadratures share


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
    detector.check_thresholds(experiment, thresholds, where)
    masses = np.asarray(mass, dtype=np.float64)
    if masses.ndim != 1 or not masses.size or not np.all(np.isfinite(masses) & (masses > 0.0)):
        raise SpecificationError(
            "mass: one dimension of positive, finite masses in MeV is needed; correct the array"
        )
    variables: dict[str, Any] = {}
    for channel in experiment.channels:
        responses = _responses(experiment, channel, thresholds, atomic)
        suns = list(product(metallicity, oscillation))
        stacks: dict[str, list[Array]] = {}
        reactions = experiment.spec.reactions
        found = [_channel(experiment, channel, responses, masses, reactions, *s) for s in suns]
        stacks[channel] = [values for values, _ in found]
        stacks[f"{channel}_error"] = [error for _, error in found]
        if boron:
            only = tuple(r for r in reactions or ("8B",) if r == "8B")
            found = [_channel(experiment, channel, responses, masses, only, *s) for s in suns]
            stacks[channel + BORON] = [values for values, _ in found]
        axes = ("metallicity", "oscillation", "threshold", "bin", "mass")
        dims = (*axes, f"{channel}_basis", "flavor")
        for name, stack in stacks.items():
            shape = (len(metallicity), len(oscillation), *stack[0].shape)
            variables[name] = (dims[: len(shape)], np.stack(stack).reshape(shape))
    background = [detector.background(experiment, t) for t in thresholds]
    variables["background"] = (("threshold", "bin"), np.array(background))
    last = experiment.channels[-1]
    windows = [[r.window for r in detector.responses(experiment, last, t)] for t in thresholds]
    variables["window"] = (("threshold", "bin", "edge"), np.array(windows))
    return _labeled(variables, experiment, masses, thresholds, metallicity, oscillation, atomic)


def _responses(
    experiment: Experiment, channel: Channel, thresholds: Array, atomic: Atomic
) -> list[Response]:
    factor = nuclei.atomic_factor(experiment.spec.target, atomic) if channel == "er" else None
    return [
        r for t in thresholds for r in detector.responses(experiment, channel, float(t), factor)
    ]


def _channel(
    experiment: Experiment,
    channel: Channel,
    responses: list[Response],
    masses: Array,
    reactions: quadrature.Reactions,
    metallicity: str,
    oscillation: Oscillation,
) -> tuple[Array, Array]:
    """Return moments (threshold, bin, mass, basis, flavor) and their error (threshold, bin)."""
    target = nuclei.target(experiment.spec.target)
    probes = np.unique(np.linspace(0, masses.size - 1, _PROBES).astype(int))

    def folded(at: Array, extra_nodes: int) -> Array:
        binned = experiment.spec.window.log_bins > 1
        grid = _grid(
            channel, responses, target, metallicity, oscillation, extra_nodes, binned=binned
        )
        spectra, q2 = _spectra(channel, grid.nodes, target, metallicity, oscillation, reactions)
        matrix = quadrature.response_matrix(responses, grid)
        return _moments(channel, spectra, q2, matrix, at)

    values = folded(masses, 0)
    coarse, fine = values[:, probes], folded(masses[probes], _MORE_NODES)
    # relative to the largest flavor: a basis function that no source feeds has no scale of its own
    scale = np.abs(fine).max(axis=-1, keepdims=True)
    ratio = np.divide(np.abs(fine - coarse), scale, out=np.zeros_like(fine), where=scale > 0.0)
    shape = (-1, experiment.spec.window.log_bins)
    errors = _RESPONSE_ERROR + ratio.max(axis=(1, 2, 3)).reshape(shape)
    return values.reshape(*errors.shape, *values.shape[1:]), errors


def _grid(
    channel: Channel,
    responses: list[Response],
    target: nuclei.Target,
    metallicity: str,
    oscillation: Oscillation,
    extra_nodes: int,
    *,
    binned: bool,
) -> quadrature.RecoilGrid:
    ranges = [response.range() for response in responses]
    low = min(start for start, _ in ranges)
    needed = channel == "nr" and (binned or low > quadrature.HIGH_RECOIL)
    knots = quadrature.LAST_KNOTS if needed else 0
    energies = quadrature.endpoints(metallicity, oscillation, knots)
    mass = target.nuclear_mass if channel == "nr" else np.array([M_ELECTRON])
    kinks = quadrature.largest_recoil(energies[:, None], mass).ravel() / KEV
    high = min(max(stop for _, stop in ranges), float(kinks.max()))
    # a threshold beyond the last endpoint leaves nothing, but the grid must not be empty
    return quadrature.recoil_grid(low, max(high, 1.01 * low), np.unique(kinks), extra_nodes)


def _spectra(
    channel: Channel,
    recoil_energy: Array,
    target: nuclei.Target,
    metallicity: str,
    oscillation: Oscillation,
    reactions: quadrature.Reactions = None,
) -> tuple[Array, Array]:
    spectra = quadrature.nuclear_spectra if channel == "nr" else quadrature.electron_spectra
    return spectra(recoil_energy, target, metallicity, oscillation, reactions)


def _moments(channel: Channel, spectra: Array, q2: Array, matrix: Array, masses: Array) -> Array:
    """Return the moments, shape (response, mass, basis, flavor)."""
    kernel = _KERNELS[channel]
    powers = (3 * kernel.POWERS[0], 3 * kernel.POWERS[1], 3 * kernel.POWERS[2])
    folded = fold.moments(spectra, q2, matrix, masses, kernel.PROPAGATOR, powers)
    return folded.transpose(1, 0, 2).reshape(matrix.shape[0], masses.size, kernel.N_BASIS, 3)


def weights(channel: Channel, model: Model, couplings: Couplings) -> Array:
    """Return what multiplies the basis of a channel, shape (order, basis, flavor).

    Raises
    ------
    SpecificationError
        The mediator is scalar or axial, and the channel is that of electrons.
    """
    sin2 = SIN2_THETA_W[couplings]
    proton = np.full(3, 0.5 - 2.0 * sin2)
    if model.kind != "vector":
        if channel == "er":
            raise SpecificationError(
                f"model: {model.name!r} is given for electron recoils; a {model.kind} mediator is "
                "implemented for nuclei; choose an experiment with nuclear recoils alone"
            )
        return polynomial.universal_weights(model.kind, model.strength, proton, -0.5)
    charges = np.array(model.charges)
    loop = model.mixing == "loop"
    mixing = 0.0 if loop else float(model.mixing)
    if channel == "er":
        return polynomial.electron_weights(charges, model.neutrino_charges, mixing, loop, sin2)
    return polynomial.nuclear_weights(charges, model.neutrino_charges, mixing, loop, proton, -0.5)


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
        Weak mixing angle: "msbar" (P20, P21) or "low-energy".
    part
        `BORON` for the part of 8B neutrinos, if the moments hold it apart.

    Returns
    -------
    DataArray
        Counts per tonne year, dims (metallicity, oscillation, threshold, bin, order, mass). Order 0
        is the Standard Model, without background.
    """
    total: Any = 0.0
    for channel in _KERNELS:
        if channel in moments:
            weight = weights(channel, model, couplings)  # type: ignore[arg-type]
            values = moments[channel + part].transpose(..., f"{channel}_basis", "flavor").values
            total = total + np.einsum("zphbmkf,okf->zphbom", values, weight, optimize=True)
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
    spectra, q2 = _spectra(channel, recoil_energy, target, metallicity, oscillation)
    values = _moments(channel, spectra, q2, np.eye(recoil_energy.size), np.array([mass]))[:, 0]
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
        "threshold": ("threshold", thresholds, {"units": "keV"}),
        "mass": ("mass", masses, {"units": "MeV", "long_name": "mediator mass"}),
        "flavor": np.array(FLAVORS),
    }
    coords["threshold"][2].update(long_name="threshold", energy_scale=experiment.spec.energy_scale)
    for channel in experiment.channels:
        coords[f"{channel}_basis"] = np.array(_KERNELS[channel].BASIS)
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
    dataset["window"].attrs = {
        "units": "keV",
        "long_name": "analysis window",
        "energy_scale": experiment.window_scale,
    }
    dataset.attrs = {
        "experiment": experiment.name,
        "title": experiment.spec.title,
        "references": experiment.spec.reference,
        "exposure_tonne_year": experiment.spec.exposure_tonne_year,
        "atomic": atomic,
        "statistic": experiment.spec.test,
        "physics_version": PHYSICS_VERSION,
    }
    if experiment.spec.measurement is not None:
        dataset.attrs["measurement"] = to_json(experiment.spec.measurement)
    return dataset
