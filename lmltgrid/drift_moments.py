"""Basis moments of gas detectors in a neutrino beam, and the likelihood of their one count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lmltgrid import folding, quadrature
from lmltgrid.detector import gauss_legendre, split_rule
from lmltgrid.folding import BORON
from lmltgrid.kernels import fluxes, polynomial
from lmltgrid.spec import Couplings
from lmltgrid.tables.beams import NeutrinoBeam
from lmltgrid.tables.drift import DriftExperiment
from lmltgrid.tables.nuclei import Target
from lmltgrid.units import KEV, NEUTRON_COUPLING, PROTON_COUPLING, SECONDS_PER_YEAR

Array = NDArray[np.float64]

PANEL: Final = 0.25  # largest width of a recoil panel in log E; the flux has kinks besides
NODES: Final = 8  # in each of them; converged to 1e-10
COUPLINGS: Final[Couplings] = (
    "low-energy"  # those of B22, for the signal that the background is a part of
)
PULLS: Final = ("signal", "background")


def variables(
    experiment: DriftExperiment,
    mass: Array,
    pressure: Array,
    suns: tuple[int, int],
    *,
    boron: bool,
) -> dict[str, Any]:
    """Return what `lmltgrid.basis.compute` labels; the threshold is the pressure.

    Parameters
    ----------
    mass : shape (mass,), MeV
    pressure : shape (pressure,), Torr
    suns
        Lengths of the axes metallicity and oscillation, on which nothing depends here.
    boron
        Whether 8B neutrinos are asked for: there are none.
    """
    probes = folding.probe_places(mass)
    values, errors = [], []
    for one in pressure.tolist():
        values.append(_moments(experiment, one, mass, NODES).sum(axis=0))
        more = NODES + folding.MORE_NODES
        fine = _moments(experiment, one, mass[probes], more).sum(axis=0)
        errors.append(folding.relative_error(values[-1][:, probes], fine))
    moments = np.stack(values)  # (threshold, bin, mass, basis, flavor)

    def everywhere(one: Array) -> Array:
        return np.broadcast_to(one, (*suns, *one.shape))

    dims = ("metallicity", "oscillation", "threshold", "bin", "mass", "nr_basis", "flavor")
    out: dict[str, Any] = {
        "nr": (dims, everywhere(moments)),
        "nr_error": (dims[:4], everywhere(np.stack(errors))),
    }
    if boron:
        out["nr" + BORON] = (dims, everywhere(np.zeros_like(moments)))
    windows = np.array([_window(experiment, one) for one in pressure.tolist()])
    out["window"] = (("threshold", "bin", "edge"), windows[:, None])
    return out | _likelihood(experiment, moments)


def _ends(experiment: DriftExperiment) -> Array:
    """Return the largest recoil energy (keV) that is counted of each isotope."""
    last = experiment.beam.energy[-1:]
    ends = quadrature.largest_recoil(last, experiment.nuclei.nuclear_mass) / KEV
    return np.minimum(ends, experiment.spec.gas.maximum_recoil_kev or np.inf)


def _window(experiment: DriftExperiment, pressure: float) -> tuple[float, float]:
    """Return the least and the largest recoil energy (keV) that is counted of any element."""
    low = float(experiment.recoil_thresholds(pressure).min())
    return low, max(low, float(_ends(experiment).max()))


def _moments(experiment: DriftExperiment, pressure: float, mass: Array, nodes: int) -> Array:
    """Return the moments at one pressure, shape (isotope, bin, mass, basis, flavor).

    Per tonne year at the nominal pressure, so they grow with the number of nuclei.
    """
    beam, target = experiment.beam, experiment.nuclei
    protons = experiment.spec.beam.protons_per_year / SECONDS_PER_YEAR
    shape = (target.z.size, 1, mass.size, folding.KERNELS["nr"].N_BASIS, 3)
    out = np.zeros(shape)
    lows, highs = experiment.recoil_thresholds(pressure), _ends(experiment)
    for place, (low, high) in enumerate(zip(lows.tolist(), highs.tolist(), strict=True)):
        if low >= high:
            continue
        isotope = _isotope(target, place)
        kinks = quadrature.largest_recoil(beam.energy[1:], isotope.nuclear_mass) / KEV
        edges = np.concatenate([[low], kinks[(kinks > low) & (kinks < high)], [high]])
        recoil, weight = split_rule(edges, PANEL, nodes)

        def at(e_min: Array) -> Array:
            return protons * flux_moments(beam, e_min)

        spectra, q2 = quadrature.spectra_of_flux(recoil, isotope, at)
        out[place] = folding.basis_moments("nr", spectra, q2, weight[None], mass)
    return out * (pressure / experiment.threshold)


def _isotope(target: Target, place: int) -> Target:
    """Return one isotope of a target."""
    own = slice(place, place + 1)
    return replace(
        target,
        z=target.z[own],
        a=target.a[own],
        radius=target.radius[:, own],
        nuclear_mass=target.nuclear_mass[own],
        spin=target.spin[own],
        abundance=target.abundance[own],
    )


def flux_moments(beam: NeutrinoBeam, e_min: Array) -> Array:
    """Return the integrals of flux times E^-k above each energy, shape (k, flavor, n).

    Parameters
    ----------
    e_min : shape (n,), MeV

    Returns
    -------
    ndarray
        For k = 0, 1, 2, per cm^2 and proton, MeV^-k; nu_mu alone is not zero.
    """
    splits = quadrature.LOW_SPLITS
    first = beam.energy[1] * 0.5 ** np.arange(splits, 0, -1)
    edges = np.concatenate([first, beam.energy[1:]])
    flux = np.interp(edges, beam.energy, beam.flux)
    legendre = np.zeros((edges.size - 1, 3, 2))
    legendre[:, 1, 0] = 0.5 * (flux[1:] + flux[:-1])
    legendre[:, 1, 1] = 0.5 * np.diff(flux)
    nodes, weights = gauss_legendre(quadrature.CUT_NODES)
    return np.asarray(fluxes.flux_moments(e_min, edges, legendre, nodes, weights))


def _likelihood(experiment: DriftExperiment, moments: Array) -> dict[str, Any]:
    """Return what the likelihood needs besides the moments (B22 section 4).

    Both pulls are on the one bin; background and its pull per tonne year, at each pressure.
    """
    given = experiment.spec.likelihood
    signal = np.einsum("tbkf,kf->tb", moments[:, :, 0], _standard_weights(COUPLINGS))
    background = given.background_fraction * signal
    pulled = np.stack([np.zeros_like(background), given.background_error * background], axis=1)
    nothing = np.zeros(1)
    return {
        "background": (("threshold", "bin"), background),
        "observed": ("bin", np.full(1, np.nan)),
        "noise": ("bin", nothing),
        "noise_fraction": ("bin", nothing),
        "gaussian": ("bin", nothing),
        "pull_signal": (("pull", "bin"), np.array([[given.signal_error], [0.0]])),
        "pull_background": (("threshold", "pull", "bin"), pulled),
        "pull_names": list(PULLS),
    }


def standard_model(
    experiment: DriftExperiment, pressure: Array, couplings: Couplings = COUPLINGS
) -> Array:
    """Return the signal of each isotope in the Standard Model, shape (pressure, isotope).

    Counts per tonne year at the nominal pressure; pressures in Torr.
    """
    weights, mass = _standard_weights(couplings), np.ones(1)  # no mediator, so any mass
    every = [_moments(experiment, one, mass, NODES) for one in pressure.tolist()]
    return np.asarray(np.einsum("tibmkf,kf->ti", np.stack(every), weights))


def _standard_weights(couplings: Couplings) -> Array:
    """Return what multiplies the basis without a mediator, shape (basis, flavor)."""
    none, proton = np.zeros(5), np.nan_to_num(np.array(PROTON_COUPLING[couplings]))
    neutron = NEUTRON_COUPLING[couplings]
    orders = polynomial.nuclear_weights(none, none[:3], 0.0, False, proton, neutron)
    return np.asarray(orders[0])
