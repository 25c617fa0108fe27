"""Basis moments of experiments with solar neutrinos."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmltgrid import detector, folding, quadrature
from lmltgrid.detector import Response
from lmltgrid.folding import BORON
from lmltgrid.spec import Atomic
from lmltgrid.tables import nuclei
from lmltgrid.tables.experiment import Channel
from lmltgrid.tables.oscillation import Oscillation
from lmltgrid.tables.recoils import SolarExperiment
from lmltgrid.units import KEV, M_ELECTRON

Array = NDArray[np.float64]


def variables(
    experiment: SolarExperiment,
    mass: Array,
    thresholds: Array,
    metallicity: Sequence[str],
    oscillation: Sequence[Oscillation],
    atomic: Atomic,
    *,
    boron: bool,
) -> dict[str, Any]:
    """Return what `lmltgrid.basis.compute` labels; parameters as there, checked."""
    out: dict[str, Any] = {}
    for channel in experiment.channels:
        responses = _responses(experiment, channel, thresholds, atomic)
        suns = list(product(metallicity, oscillation))
        stacks: dict[str, list[Array]] = {}
        reactions = experiment.spec.reactions
        found = [_channel(experiment, channel, responses, mass, reactions, *s) for s in suns]
        stacks[channel] = [values for values, _ in found]
        stacks[f"{channel}_error"] = [error for _, error in found]
        if boron:
            only = tuple(r for r in reactions or ("8B",) if r == "8B")
            found = [_channel(experiment, channel, responses, mass, only, *s) for s in suns]
            stacks[channel + BORON] = [values for values, _ in found]
        axes = ("metallicity", "oscillation", "threshold", "bin", "mass")
        dims = (*axes, f"{channel}_basis", "flavor")
        for name, stack in stacks.items():
            shape = (len(metallicity), len(oscillation), *stack[0].shape)
            out[name] = (dims[: len(shape)], np.stack(stack).reshape(shape))
    background = [detector.background(experiment, t) for t in thresholds]
    out["background"] = (("threshold", "bin"), np.array(background))
    last = experiment.channels[-1]
    windows = [[r.window for r in detector.responses(experiment, last, t)] for t in thresholds]
    out["window"] = (("threshold", "bin", "edge"), np.array(windows))
    return out


def _responses(
    experiment: SolarExperiment, channel: Channel, thresholds: Array, atomic: Atomic
) -> list[Response]:
    factor = nuclei.atomic_factor(experiment.spec.target, atomic) if channel == "er" else None
    return [
        r for t in thresholds for r in detector.responses(experiment, channel, float(t), factor)
    ]


def _channel(
    experiment: SolarExperiment,
    channel: Channel,
    responses: list[Response],
    masses: Array,
    reactions: quadrature.Reactions,
    metallicity: str,
    oscillation: Oscillation,
) -> tuple[Array, Array]:
    """Return moments (threshold, bin, mass, basis, flavor) and their error (threshold, bin)."""
    target = nuclei.target(experiment.spec.target)
    probes = folding.probe_places(masses)

    def folded(at: Array, extra_nodes: int) -> Array:
        binned = experiment.spec.window.log_bins > 1
        grid = _grid(
            channel, responses, target, metallicity, oscillation, extra_nodes, binned=binned
        )
        spectra, q2 = point_spectra(
            channel, grid.nodes, target, metallicity, oscillation, reactions
        )
        matrix = quadrature.response_matrix(responses, grid)
        return folding.basis_moments(channel, spectra, q2, matrix, at)

    values = folded(masses, 0)
    errors = folding.relative_error(values[:, probes], folded(masses[probes], folding.MORE_NODES))
    shape = (-1, experiment.spec.window.log_bins)
    errors = errors.reshape(shape)
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


def point_spectra(
    channel: Channel,
    recoil_energy: Array,
    target: nuclei.Target,
    metallicity: str,
    oscillation: Oscillation,
    reactions: quadrature.Reactions = None,
) -> tuple[Array, Array]:
    """Return basis spectra and squared momentum transfers, see `lmltgrid.quadrature`."""
    spectra = quadrature.nuclear_spectra if channel == "nr" else quadrature.electron_spectra
    return spectra(recoil_energy, target, metallicity, oscillation, reactions)
