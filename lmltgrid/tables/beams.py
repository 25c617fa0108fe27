"""Beams: of muons, with target and window of the analysis; of neutrinos, tabulated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lmltgrid import datafiles
from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.spec import Positive, Spec, Whole, validate
from lmltgrid.units import AVOGADRO

Array = NDArray[np.float64]

FOLDER = "beams"
GEV = 1e3  # MeV


class BeamTarget(Spec):
    """The material in which muons radiate mediators."""

    element: str
    atomic_number: Annotated[Whole, Field(ge=1, le=120)]
    atomic_weight: Positive
    density_g_per_cm3: Positive
    thickness_cm: Positive

    @property
    def nuclei_per_cm2(self) -> float:
        """Nuclei per area, rho N_A L/A (P21 eq. 26)."""
        return self.density_g_per_cm3 * AVOGADRO * self.thickness_cm / self.atomic_weight


class MuonWindow(Spec):
    """Bins of the energy of the scattered muon."""

    edges_gev: Annotated[tuple[Positive, ...], Field(min_length=2, max_length=1000)]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for left, right in zip(self.edges_gev, self.edges_gev[1:], strict=False):
            if left >= right:
                raise ValueError(
                    f"edges_gev must ascend, but {left:g} is followed by {right:g}; sort them"
                )
        return self


class MuonBeam(Spec):
    """A search for missing energy with a muon beam on a fixed target (P21 section 3)."""

    title: str
    reference: str
    note: str = ""
    source: Literal["muon-beam"]
    muons_on_target: Positive
    beam_energy_gev: Positive
    efficiency: Annotated[Positive, Field(le=1)]
    target: BeamTarget
    window: MuonWindow

    @model_validator(mode="after")
    def _below_the_beam(self) -> Self:
        last = self.window.edges_gev[-1]
        if last >= self.beam_energy_gev:
            raise ValueError(
                f"window.edges_gev ends at {last:g}, the beam has {self.beam_energy_gev:g}; the "
                "mediator takes the difference, which must be above 0; correct one"
            )
        return self

    @property
    def production(self) -> dict[str, Any]:
        """Arguments of ``counts_per_x`` in `lmltgrid.kernels.brems`: MeV, cm^-2."""
        nuclei = self.target.nuclei_per_cm2
        return {
            "edges": GEV * np.array(self.window.edges_gev),
            "beam_energy": GEV * self.beam_energy_gev,
            "z": float(self.target.atomic_number),
            "a": self.target.atomic_weight,
            "luminosity": self.muons_on_target * self.efficiency * nuclei,
        }


@lru_cache(maxsize=8)
def muon_beam(name: str = "na64mu") -> MuonBeam:
    """Return a shipped muon beam.

    Raises
    ------
    UnknownNameError
        There is no such beam.
    """
    path = f"{FOLDER}/{name}.toml"
    if path not in datafiles.manifest():
        raise unknown_name("muon beam", name, _shipped(".toml"), "muon beam")
    return validate(MuonBeam, datafiles.read_toml(path), f"data/{path}")


@dataclass(frozen=True, eq=False)
class NeutrinoBeam:
    """A beam of nu_mu: its flux is linear between the knots, and zero beyond the last.

    Attributes
    ----------
    file
        The table, relative to the data folder.
    energy : shape (knot,), MeV
        Ascending from zero.
    flux : shape (knot,)
        Neutrinos per cm^2, proton on target and MeV.
    """

    file: str
    energy: Array
    flux: Array


@lru_cache(maxsize=8)
def neutrino_beam(name: str = "lbnf-numu", where: str = "beam") -> NeutrinoBeam:
    """Return a shipped neutrino beam; ``where`` opens messages.

    Raises
    ------
    UnknownNameError
        There is no such beam.
    SpecificationError
        Its energies do not ascend from zero, or a flux is negative.
    """
    path = f"{FOLDER}/{name}.csv"
    if path not in datafiles.manifest():
        raise unknown_name("neutrino beam", name, _shipped(".csv"), where)
    table = datafiles.read_table(path, ("energy_mev", "flux_per_cm2_proton_mev"))
    energy, flux = table["energy_mev"], table["flux_per_cm2_proton_mev"]
    if energy[0] != 0.0 or np.any(np.diff(energy) <= 0.0) or np.any(flux < 0.0):
        raise SpecificationError(
            f"data/{path}: energies must ascend from 0, and no flux be negative; correct the table"
        )
    for values in (energy, flux):
        values.setflags(write=False)  # cached and shared
    return NeutrinoBeam(path, energy, flux)


def _shipped(ending: str) -> list[str]:
    """Return the names of the shipped beams whose files end so."""
    names = [Path(n) for n in datafiles.manifest() if n.startswith(f"{FOLDER}/")]
    return [one.stem for one in names if one.suffix == ending]
