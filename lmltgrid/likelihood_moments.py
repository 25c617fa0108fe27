"""Moments of muon beams and of combinations, for the likelihood of binned counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid.folding import KERNELS
from lmltgrid.kernels import brems
from lmltgrid.tables.combination import CombinedExperiment
from lmltgrid.tables.muon import MuonExperiment

Array = NDArray[np.float64]

PER_BIN = ("observed", "noise", "noise_fraction", "gaussian")
MUON = "muon"


def muon_variables(experiment: MuonExperiment, mass: Array) -> dict[str, Any]:
    """Return what `lmltgrid.basis.compute` labels of a muon beam.

    ``muon``: events over g^2 at unit charge of the muon, all decays counted, dims (bin, mass).
    """
    spec, production = experiment.spec, experiment.beam.production
    edges = np.array(experiment.beam.window.edges_gev)
    allowed = mass < production["beam_energy"] - production["edges"][-1]
    counts = np.zeros((edges.size - 1, mass.size))
    if allowed.any():
        counts[:, allowed] = brems.counts_per_x(
            mass[allowed], prefactor=spec.prefactor, transfer=spec.transfer, **production
        )
    n_bins = edges.size - 1
    return {
        MUON: (("bin", "mass"), counts / spec.exposure_tonne_year),
        "window": (("threshold", "bin", "edge"), np.stack([edges[:-1], edges[1:]], -1)[None]),
        "background": (("threshold", "bin"), np.zeros((1, n_bins))),
        **projection(n_bins),
    }


def projection(n_bins: int) -> dict[str, Any]:
    """Return the likelihood of Poisson bins without pulls whose data are the Standard Model."""
    values = {name: ("bin", np.zeros(n_bins)) for name in PER_BIN}
    values["observed"] = ("bin", np.full(n_bins, np.nan))
    nothing = (("pull", "bin"), np.zeros((0, n_bins)))
    return {**values, "pull_signal": nothing, "pull_background": nothing, "pull_names": []}


def invisible(branching: str, charges: Array, neutrinos: Array, mass: Array) -> Array:
    """Return squared charge of the muon times the fraction of invisible decays, shape (mass,)."""
    if charges[3] == 0.0:
        return np.zeros(mass.size)
    how: Any = branching
    fraction = brems.invisible_fraction(
        mass, charges[2:].tolist(), neutrinos.tolist(), branching=how
    )
    return np.asarray(charges[3] ** 2 * fraction)


def combined_variables(experiment: CombinedExperiment, parts: list[xr.Dataset]) -> dict[str, Any]:
    """Return what `lmltgrid.basis.compute` labels of a combination.

    Rates become counts in the exposure of each member; bins stand side by side, and pulls below
    each other but for those that are shared.
    """
    scales = [member.spec.exposure_tonne_year for member, _ in experiment.members]
    sizes = [part.sizes["bin"] for part in parts]
    out: dict[str, Any] = {}
    for channel in KERNELS:
        for name in (channel, f"{channel}_error"):
            having = [part for part in parts if name in part]
            if not having:
                continue
            dims = having[0][name].dims
            place = dims.index("bin")
            stack = []
            for part, scale, size in zip(parts, scales, sizes, strict=True):
                shape = list(having[0][name].shape)
                shape[place] = size
                values = part[name].values if name in part else np.zeros(shape)
                stack.append(values if name.endswith("error") else scale * values)
            out[name] = (dims, np.concatenate(stack, axis=place))
    if any(MUON in part for part in parts):
        n_mass = parts[0].sizes["mass"]
        rows = [
            scale * part[MUON].values if MUON in part else np.zeros((size, n_mass))
            for part, scale, size in zip(parts, scales, sizes, strict=True)
        ]
        out[MUON] = (("bin", "mass"), np.concatenate(rows))
    for name in PER_BIN:
        out[name] = ("bin", np.concatenate([part[name].values for part in parts]))
    for name in ("background", "window"):
        both = [part[name].values for part in parts]
        if name == "background":
            both = [scale * one for scale, one in zip(scales, both, strict=True)]
        dims = ("threshold", "bin", "edge")[: both[0].ndim]
        out[name] = (dims, np.concatenate(both, axis=1))
    return out | _pulls(experiment, parts, scales)


def _pulls(
    experiment: CombinedExperiment, parts: list[xr.Dataset], scales: list[float]
) -> dict[str, Any]:
    """Return the pulls of all members over all bins."""
    rows: dict[Any, int] = {}
    places = []
    for number, part in enumerate(parts):
        names = part["pull"].values.tolist() if "pull" in part.coords else []
        keys = [name if name in experiment.spec.shared else (number, name) for name in names]
        places.append([rows.setdefault(key, len(rows)) for key in keys])
    n_bins = sum(part.sizes["bin"] for part in parts)
    out: dict[str, Any] = {}
    for name in ("pull_signal", "pull_background"):
        matrix = np.zeros((len(rows), n_bins))
        start = 0
        for part, place, scale in zip(parts, places, scales, strict=True):
            stop = start + part.sizes["bin"]
            own = part[name].values
            own = own[0] if "threshold" in part[name].dims else own
            matrix[place, start:stop] = scale * own if name == "pull_background" else own
            start = stop
        out[name] = (("pull", "bin"), matrix)
    out["pull_names"] = [key if isinstance(key, str) else key[1] for key in rows]
    return out
