"""Basis moments and likelihoods of experiments at spallation sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import pi
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaln

from lmltgrid import folding, quadrature
from lmltgrid.detector import SUBPANEL_NODES, Response, gauss_legendre, split_rule
from lmltgrid.errors import SpecificationError
from lmltgrid.folding import BORON
from lmltgrid.kernels import pidar, polynomial, response
from lmltgrid.tables import nuclei
from lmltgrid.tables.spallation import Photoelectrons, SpallationExperiment
from lmltgrid.units import KEV, NEUTRON_COUPLING, PROTON_COUPLING, SECONDS_PER_YEAR

Array = NDArray[np.float64]

LOWEST: Final = 1e-3  # keV: recoils below it are 1e-5 of all, and nobody sees them
# bins near the endpoint need more nodes than the Sun does: converged to 1e-10
NODES: Final = 4
_SUBPANEL: Final = 0.02  # in log E, resolves every smearing here
_PE_STEP: Final = 2.0  # photoelectrons in a panel of the integral over a bin
_PE_NODES: Final = 8
_NEVER: Final = 1e-18  # a response, relative to its largest value, that counts as zero


@dataclass(frozen=True)
class BinResponse:
    """How one energy bin sees recoils.

    Attributes
    ----------
    low, high
        The bin in observed energy: true recoil energy, electron-equivalent energy (keV), or
        photoelectrons.
    """

    experiment: SpallationExperiment
    low: float
    high: float

    @property
    def window(self) -> tuple[float, float]:
        """The bin."""
        return self.low, self.high

    def __call__(self, energy: Array) -> Array:
        """Return the probability that a recoil of true energy (keV) is counted in the bin."""
        spec = self.experiment.spec.response
        seen = spec.acceptance * np.ones_like(energy)
        curve = self.experiment.efficiency
        if curve is not None:
            seen *= np.interp(energy, curve.energy, curve.value, left=0.0)
        observed = quenched(self.experiment, energy)
        if spec.photoelectrons is not None:
            return np.asarray(seen * self._photoelectrons(observed))
        if spec.resolution is not None:
            sigma = spec.resolution * np.sqrt(observed)
            inside = response.window_array(observed, sigma, self.low, self.high)
            return np.asarray(seen * inside)
        return np.where((observed >= self.low) & (observed <= self.high), seen, 0.0)

    def _photoelectrons(self, observed: Array) -> Array:
        """Return the gamma distribution times the efficiency, integrated over the bin."""
        shape = self.experiment.spec.response.photoelectrons
        assert shape is not None  # noqa: S101 - asked for
        x, weight = _photoelectron_rule(shape, self.low, self.high)
        k = (1.0 + shape.shape * observed)[:, None]
        scale = shape.per_kevee * observed[:, None] / k
        density = np.exp((k - 1.0) * np.log(x / scale) - x / scale - gammaln(k)) / scale
        return np.asarray(density @ weight)

    @cached_property
    def _range(self) -> tuple[float, float]:
        """True recoil energies (keV) between which the response is not zero."""
        top = largest_recoil(self.experiment)
        curve = self.experiment.efficiency
        low = LOWEST if curve is None else max(LOWEST, float(curve.energy[0]))
        spec = self.experiment.spec.response
        if spec.resolution is None and spec.photoelectrons is None:
            ends = [self._recoil(edge, top) for edge in self.window]
            return max(low, ends[0]), max(min(top, ends[1]), 1.01 * low)
        energies = np.geomspace(low, top, 4000)
        values = self(energies)
        seen = np.flatnonzero(values > _NEVER * values.max())
        if not seen.size:
            return low, top
        first, last = max(int(seen[0]) - 1, 0), min(int(seen[-1]) + 1, energies.size - 1)
        return float(energies[first]), float(energies[last])

    def _recoil(self, observed: float, top: float) -> float:
        """Return the true recoil energy (keV) of an observed one."""
        if self.experiment.spec.response.quenching is None or observed <= 0.0:
            return observed

        def miss(energy: float) -> float:
            return float(quenched(self.experiment, np.array([energy]))[0]) - observed

        return top if miss(top) <= 0.0 else float(brentq(miss, 0.0, top, xtol=1e-12))

    def range(self) -> tuple[float, float]:
        """Return the true recoil energies (keV) between which the response is not zero."""
        return self._range

    def points(self, extra: Array, low: float, high: float) -> tuple[Array, Array]:
        """Return quadrature points (keV) and weights (keV), split at every kink."""
        kinks = [extra, np.array([low, high])]
        if self.experiment.efficiency is not None:
            kinks.append(self.experiment.efficiency.energy)
        edges = np.unique(np.concatenate(kinks))
        edges = edges[(edges >= low) & (edges <= high)]
        return split_rule(edges, _SUBPANEL, SUBPANEL_NODES)


def _photoelectron_rule(shape: Photoelectrons, low: float, high: float) -> tuple[Array, Array]:
    """Return points of a bin in photoelectrons, and weights that hold the efficiency there."""
    a, b, c, d = shape.efficiency
    edges = np.linspace(low, high, max(int(np.ceil((high - low) / _PE_STEP)), 1) + 1)
    if a + d > 0.0 > d and b != 0.0:  # the efficiency is cut off where it would be negative
        edges = np.append(edges, np.clip(c - np.log(-a / d - 1.0) / b, low, high))
    edges = np.unique(edges)
    nodes, weights = gauss_legendre(_PE_NODES)
    half = 0.5 * np.diff(edges)[:, None]
    x = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes).ravel()
    efficiency = np.maximum(a / (1.0 + np.exp(-b * (x - c))) + d, 0.0)
    return x, (half * weights).ravel() * efficiency


def quenched(experiment: SpallationExperiment, energy: Array) -> Array:
    """Return the observed energies before smearing: true ones, or electron-equivalent (keV)."""
    coefficients = experiment.spec.response.quenching
    if coefficients is None:
        return energy
    total = np.zeros_like(energy)
    for coefficient in reversed(coefficients):
        total = energy * (coefficient + total)
    return total


def _check_quenching(experiment: SpallationExperiment) -> None:
    """Refuse a polynomial that is not one to one, or not positive, where recoils are."""
    top = largest_recoil(experiment)
    observed = quenched(experiment, np.linspace(0.0, top, 1001))
    if np.any(np.diff(observed) <= 0.0):
        raise SpecificationError(
            f"{experiment.name}: response.quenching does not ascend from 0 to {top:.4g} keV, the "
            "largest recoil; correct its coefficients"
        )


def largest_recoil(experiment: SpallationExperiment) -> float:
    """Return the largest recoil energy (keV) of any isotope of the target."""
    target = nuclei.target(experiment.spec.target, experiment.spec.form_factor)
    ends = quadrature.largest_recoil(np.array(pidar.ENDPOINT), target.nuclear_mass)
    return float(ends.max()) / KEV


def variables(
    experiment: SpallationExperiment, mass: Array, suns: tuple[int, int], *, boron: bool
) -> dict[str, Any]:
    """Return what `lmltgrid.basis.compute` labels.

    Parameters
    ----------
    mass : shape (mass,), MeV
    suns
        Lengths of the axes metallicity and oscillation, on which nothing depends here.
    boron
        Whether 8B neutrinos are asked for: there are none.

    Raises
    ------
    SpecificationError
        The quenching is not one to one.
    """
    _check_quenching(experiment)
    responses = [BinResponse(experiment, a, b) for a, b in pairwise(experiment.energy_edges)]
    probes = folding.probe_places(mass)
    values = _energy_moments(experiment, responses, mass, NODES)
    fine = _energy_moments(experiment, responses, mass[probes], NODES + folding.MORE_NODES)
    errors = np.repeat(
        folding.relative_error(values[:, probes], fine), experiment.time.shape[1], axis=0
    )
    moments = _scaled(experiment, _in_time(values, experiment.time))

    def everywhere(one: Array) -> Array:
        return np.broadcast_to(one, (*suns, 1, *one.shape))

    dims = ("metallicity", "oscillation", "threshold", "bin", "mass", "nr_basis", "flavor")
    out: dict[str, Any] = {
        "nr": (dims, everywhere(moments)),
        "nr_error": (dims[:4], everywhere(errors)),
    }
    if boron:
        out["nr" + BORON] = (dims, everywhere(np.zeros_like(moments)))
    n_time = experiment.time.shape[1]
    windows = np.repeat(np.array([r.window for r in responses]), n_time, axis=0)
    out["window"] = (("threshold", "bin", "edge"), windows[None])
    return out | _likelihood(experiment, windows)


def _energy_moments(
    experiment: SpallationExperiment, responses: Sequence[Response], mass: Array, extra: int
) -> Array:
    """Return moments per tonne year, shape (energy, mass, basis, component)."""
    target = nuclei.target(experiment.spec.target, experiment.spec.form_factor)
    low = min(r.range()[0] for r in responses)
    high = max(r.range()[1] for r in responses)
    energies = np.array([pidar.PROMPT_ENERGY, pidar.ENDPOINT])
    kinks = quadrature.largest_recoil(energies[:, None], target.nuclear_mass).ravel() / KEV
    grid = quadrature.recoil_grid(low, high, np.unique(kinks), extra)
    beam = experiment.spec.beam
    area = 4.0 * pi * (100.0 * beam.baseline_m) ** 2  # cm^2
    flux = beam.neutrinos_per_proton * beam.protons_per_year / SECONDS_PER_YEAR / area

    def at(e_min: Array) -> Array:
        return flux * pidar.flux_moments(e_min)

    spectra, q2 = quadrature.spectra_of_flux(grid.nodes, target, at)
    matrix = quadrature.response_matrix(list(responses), grid)
    return folding.basis_moments("nr", spectra, q2, matrix, mass)


def _in_time(values: Array, time: Array) -> Array:
    """Return moments by flavor in every bin, shape (bin, mass, basis, flavor).

    The prompt component is nu_mu alone; neutrinos and antineutrinos scatter alike off nuclei.
    """
    prompt, anti, electron = np.moveaxis(values, -1, 0)
    early, late = time
    muon = prompt[:, None] * early[:, None, None] + anti[:, None] * late[:, None, None]
    other = electron[:, None] * late[:, None, None]
    stack = np.stack([other, muon, np.zeros_like(muon)], axis=-1)
    return stack.reshape(-1, *stack.shape[2:])


def _scaled(experiment: SpallationExperiment, moments: Array) -> Array:
    """Return the moments scaled to the Standard Model count that the experiment file gives.

    That count holds for the couplings of AC22 eq. 3.3.
    """
    wanted = experiment.spec.likelihood.standard_model_counts
    if wanted is None:
        return moments
    none, proton = np.zeros(5), np.array(PROTON_COUPLING["radiative"])
    neutron = NEUTRON_COUPLING["radiative"]
    weights = polynomial.nuclear_weights(none, none[:3], 0.0, False, proton, neutron)[0]
    weights[:, 2] = 0.0  # no nu_tau here
    found = float(np.einsum("bkf,kf->", moments[:, 0], weights))
    return moments * (wanted / (found * experiment.spec.exposure_tonne_year))


def _likelihood(experiment: SpallationExperiment, windows: Array) -> dict[str, Any]:
    """Return what the likelihood needs besides the moments.

    ``background`` per tonne year; ``observed`` and ``noise`` in counts, ``observed`` NaN where the
    Standard Model is the data; ``gaussian`` one for a Gaussian bin; ``pull_signal`` as fractions,
    ``pull_background`` per tonne year.
    """
    given, exposure = experiment.spec.likelihood, experiment.spec.exposure_tonne_year
    widths = windows[:, 1] - windows[:, 0]
    backgrounds = {name: counts / exposure for name, counts in experiment.backgrounds.items()}
    if given.background_counts_per_tonne_year_kev > 0.0:
        backgrounds["background"] = given.background_counts_per_tonne_year_kev * widths
    total = sum(backgrounds.values(), np.zeros(experiment.n_bins))
    shape = (len(experiment.spec.pull), experiment.n_bins)
    on_signal, on_background = np.zeros(shape), np.zeros(shape)
    for k, pull in enumerate(experiment.spec.pull):
        size: Any = pull.fraction
        if pull.shape is not None:
            size = experiment.shapes[pull.shape]
        if pull.background is None:
            on_signal[k] = size
        else:
            on_background[k] = size * backgrounds[pull.background]
    observed = experiment.observed
    if observed is None:
        observed = np.full(experiment.n_bins, np.nan)
    gaussian = float(given.kind == "gaussian")
    return {
        "background": (("threshold", "bin"), total[None]),
        "observed": ("bin", observed),
        "noise": ("bin", experiment.noise),
        "noise_fraction": ("bin", np.full(experiment.n_bins, given.noise_fraction)),
        "gaussian": ("bin", np.full(experiment.n_bins, gaussian)),
        "pull_signal": (("pull", "bin"), on_signal),
        "pull_background": (("pull", "bin"), on_background),
        "pull_names": [pull.name for pull in experiment.spec.pull],
    }
