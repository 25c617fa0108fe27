"""Panels, nodes and response matrices: what turns tables into arrays for the kernels.

Neutrino energy: every panel lies between two knots of a tabulated spectrum, and holds flux times
oscillation probability as a Legendre series; the integral from any kinematic threshold is then a
sum of whole panels and of one part (`lmltgrid.kernels.fluxes`).

Recoil energy: the spectrum is smooth between the kinematic endpoints of the sources; it is
interpolated on Gauss-Legendre nodes in log E on panels split there. The response has its own kinks
(efficiency knots, binding energies, threshold) and is integrated against the interpolation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lmltgrid.detector import Response, gauss_legendre
from lmltgrid.kernels import cevns, eves, fluxes
from lmltgrid.kernels.response import project
from lmltgrid.tables import solar
from lmltgrid.tables.nuclei import Target
from lmltgrid.tables.oscillation import Oscillation, probabilities
from lmltgrid.units import KEV, M_ELECTRON, SECONDS_PER_YEAR

Array = NDArray[np.float64]

Reactions = tuple[str, ...] | None
NAMES = {"7Be": "be7", "8B": "b8", "13N": "n13", "15O": "o15", "17F": "f17"}

FLUX_NODES = 6  # Legendre order of flux times probability in a panel; converged to 1e-12
CUT_NODES = 12  # Gauss points of a partial panel, exact for E^-2 when its ends differ by 2
LOW_SPLITS = 24  # halvings of the panel that starts at zero energy
PANEL = 0.25  # largest width of a recoil panel in log E
PANEL_NODES = 6
LAST_KNOTS = 60  # knots of 8B and hep at which recoil panels are split where that is needed ...
HIGH_RECOIL = 0.3  # ... that is if no recoil below this energy (keV) is counted, or there are bins
NARROW = 0.03  # a panel between neighboring kinks narrower than this in log E ...
NARROW_NODES = 4  # ... needs fewer nodes


@dataclass(frozen=True, eq=False)
class Source:
    """One solar reaction, oscillated: panels of the continuum, or lines.

    Attributes
    ----------
    edges, legendre
        See `lmltgrid.kernels.fluxes.flux_moments`.
    line_energy, line_flux
        Shapes (line,) in MeV and (line, flavor) in cm^-2 s^-1.
    """

    name: str
    endpoint: float
    edges: Array
    legendre: Array
    line_energy: Array
    line_flux: Array


@lru_cache(maxsize=16)
def sources(metallicity: str, oscillation: Oscillation) -> tuple[Source, ...]:
    """Return all solar reactions with their flavors at Earth."""
    return tuple(_source(s, metallicity, oscillation) for s in solar.solar_sources(metallicity))


def _source(s: solar.SolarSource, metallicity: str, oscillation: Oscillation) -> Source:
    lines = np.array(s.lines).reshape(-1, 2)
    flavors = np.zeros((0, 3))
    if lines.size:
        p = probabilities(lines[:, 0], s.name, metallicity, oscillation)
        flavors = s.flux * lines[:, 1:] * p.T
    edges, legendre = np.array([0.0, 0.0]), np.zeros((1, 3, FLUX_NODES))
    if s.energy.size:
        first = s.energy[1] * 0.5 ** np.arange(LOW_SPLITS, 0, -1)
        edges = np.concatenate([first, s.energy[1:]])
        legendre = _legendre(s, edges, metallicity, oscillation)
    return Source(s.name, s.endpoint, edges, legendre, lines[:, 0].copy(), flavors)


def _legendre(
    s: solar.SolarSource, edges: Array, metallicity: str, oscillation: Oscillation
) -> Array:
    """Return the Legendre coefficients of flux times probability, shape (panel, flavor, order)."""
    nodes, weights = gauss_legendre(FLUX_NODES)
    centers, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    energy = (centers[:, None] + half[:, None] * nodes).ravel()
    p = probabilities(energy, s.name, metallicity, oscillation)
    values = s.flux * np.interp(energy, s.energy, s.spectrum) * p
    order = np.arange(FLUX_NODES)
    table = np.polynomial.legendre.legvander(nodes, FLUX_NODES - 1)
    projection = (2 * order + 1) / 2 * weights[:, None] * table
    shaped = values.reshape(3, centers.size, FLUX_NODES)
    return np.ascontiguousarray(np.einsum("fpn,nl->pfl", shaped, projection))


def selected(
    metallicity: str, oscillation: Oscillation, reactions: Reactions
) -> tuple[Source, ...]:
    """Return the named solar reactions, all if ``reactions`` is None."""
    every = sources(metallicity, oscillation)
    if reactions is None:
        return every
    out = [s for s in every if s.name in {NAMES.get(name, name) for name in reactions}]
    if "7Be-862" in reactions:
        (both,) = [s for s in every if s.name == "be7"]
        first = np.argmax(both.line_energy)
        one = slice(first, first + 1)
        out.append(replace(both, line_energy=both.line_energy[one], line_flux=both.line_flux[one]))
    return tuple(out)


def flux_moments(
    e_min: Array, metallicity: str, oscillation: Oscillation, reactions: Reactions = None
) -> Array:
    """Return F_k above each energy, summed over solar reactions, shape (3, flavor, n).

    Parameters
    ----------
    e_min : shape (n,), MeV
    reactions
        Names of the reactions, "7Be-862" for the upper line of 7Be alone; None for all.
    """
    nodes, weights = gauss_legendre(CUT_NODES)
    total = np.zeros((3, 3, e_min.size))
    for source in selected(metallicity, oscillation, reactions):
        if source.line_energy.size:
            fluxes.add_lines(e_min, source.line_energy, source.line_flux, total)
        else:
            total += fluxes.flux_moments(e_min, source.edges, source.legendre, nodes, weights)
    return total


def endpoints(metallicity: str, oscillation: Oscillation, knots: int = 0) -> Array:
    """Return the neutrino energies (MeV) at which a reaction ends, or its spectrum has a kink.

    The spectra are linear between their knots. Where low recoils are counted the kinks there do not
    matter; where little but the end of 8B and hep is, the last ``knots`` of both are added.
    """
    found: set[float] = set()
    for source in sources(metallicity, oscillation):
        found.update((source.endpoint, *source.line_energy))
        if knots and source.name in ("b8", "hep"):
            found.update(source.edges[-knots:])
    return np.array(sorted(found))


def largest_recoil(energy: Array, mass: Array) -> Array:
    """Return 2 E^2/(m + 2 E), the largest recoil energy, in the unit of ``energy``."""
    return 2.0 * energy**2 / (mass + 2.0 * energy)


@dataclass(frozen=True, eq=False)
class RecoilGrid:
    """Panels and nodes of a recoil spectrum.

    Attributes
    ----------
    edges : shape (panel + 1,), keV
    first : shape (panel + 1,)
        Index of the first node of each panel, and the number of nodes.
    nodes : shape (node,), keV
    """

    edges: Array
    first: NDArray[np.int64]
    nodes: Array


def recoil_grid(low: float, high: float, kinks: Array, extra_nodes: int = 0) -> RecoilGrid:
    """Return nodes between two recoil energies (keV), on panels split at the kinks (keV)."""
    inside = kinks[(kinks > low * (1 + 1e-9)) & (kinks < high * (1 - 1e-9))]
    ends = np.unique(np.concatenate([[low, high], inside]))
    edges = [ends[:1]]
    for a, b in pairwise(ends):
        parts = max(int(np.ceil(np.log(b / a) / PANEL)), 1)
        edges.append(np.geomspace(a, b, parts + 1)[1:])
    panels = np.concatenate(edges)
    nodes, first = [], [0]
    for a, b in pairwise(np.log(panels)):
        order = extra_nodes + (NARROW_NODES if b - a < NARROW else PANEL_NODES)
        x, _ = gauss_legendre(order)
        nodes.append(np.exp(0.5 * (a + b) + 0.5 * (b - a) * x))
        first.append(first[-1] + order)
    return RecoilGrid(panels, np.array(first), np.concatenate(nodes))


def response_matrix(responses: Sequence[Response], grid: RecoilGrid) -> Array:
    """Return the integrals of each response against the interpolation, shape (response, node).

    The matrix takes a spectrum per keV at the nodes to counts.
    """
    out = np.zeros((len(responses), grid.nodes.size))
    for row, channel in zip(out, responses, strict=True):
        start, stop = channel.range()
        low, high = max(start, grid.edges[0]), min(stop, grid.edges[-1])
        if low >= high:
            continue
        energy, weight = channel.points(grid.edges, low, high)
        value = weight * channel(energy)
        project(energy, value, grid.edges, grid.first, grid.nodes, row)
    return out


def nuclear_spectra(
    recoil_energy: Array,
    target: Target,
    metallicity: str,
    oscillation: Oscillation,
    reactions: Reactions = None,
) -> tuple[Array, Array]:
    """Return basis spectra of nuclear recoils of solar neutrinos, see `spectra_of_flux`."""

    def at(e_min: Array) -> Array:
        return flux_moments(e_min, metallicity, oscillation, reactions)

    return spectra_of_flux(recoil_energy, target, at)


def spectra_of_flux(
    recoil_energy: Array, target: Target, flux: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """Return basis spectra of nuclear recoils and the squared momentum transfers.

    Parameters
    ----------
    recoil_energy : shape (n,), keV
    flux
        Returns the moments F_k above some energies (MeV), shape (3, component, n), cm^-2 s^-1
        MeV^-k; the three components are flavors of the Sun, or those of `lmltgrid.kernels.pidar`.

    Returns
    -------
    spectra : shape (n, isotope, basis * component), per (tonne year keV)
    q2 : shape (n, isotope), MeV^2
    """
    energy = recoil_energy * KEV
    mass = target.nuclear_mass
    e_min = cevns.minimal_energy(energy, mass[:, None])
    moments = flux(e_min.ravel()).reshape(3, 3, mass.size, energy.size)
    nuclei = target.atoms_per_tonne * target.abundance * SECONDS_PER_YEAR * KEV
    rate = np.stack(
        [
            nuclei[i] * cevns.rate_factor(energy, mass[i], np.ascontiguousarray(moments[:, :, i]))
            for i in range(mass.size)
        ]
    )
    spectra = cevns.spectra(energy, target.z, target.a, target.radius, target.spin, mass, rate)
    return spectra.reshape(energy.size, mass.size, -1), 2.0 * mass * energy[:, None]


def electron_spectra(
    recoil_energy: Array,
    target: Target,
    metallicity: str,
    oscillation: Oscillation,
    reactions: Reactions = None,
) -> tuple[Array, Array]:
    """Return basis spectra of electron recoils for one electron per atom, as `nuclear_spectra`.

    The effective number of electrons belongs to the response.
    """
    energy = recoil_energy * KEV
    e_min = cevns.minimal_energy(energy, M_ELECTRON)
    moments = flux_moments(e_min, metallicity, oscillation, reactions)
    electrons = target.atoms_per_tonne * SECONDS_PER_YEAR * KEV
    spectra = eves.spectra(energy, electrons * eves.rate_factor(energy, moments))
    return spectra.reshape(energy.size, 1, -1), 2.0 * M_ELECTRON * energy[:, None]
