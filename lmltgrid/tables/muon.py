"""Searches for missing energy with a muon beam: their files, and what is read from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lmltgrid.spec import Atomic, Name, validate
from lmltgrid.tables.beams import FOLDER, MuonBeam, muon_beam
from lmltgrid.tables.experiment import Channel, CommonSpec, Experiment, Reader


class MuonSpec(CommonSpec):
    """The content of the file of a muon-beam experiment.

    ``prefactor``, ``transfer`` and ``branching`` choose between the physics and what P21 prints,
    see `lmltgrid.kernels.brems`.
    """

    source: Literal["muon-beam"]
    target: Literal["Pb"]
    test: Literal["likelihood"]
    energy_scale: Literal["muon_energy"]
    beam: Name
    prefactor: Literal["physics", "printed"] = "physics"
    transfer: Literal["muon", "printed"] = "muon"
    branching: Literal["physics", "printed"] = "physics"


@dataclass(frozen=True, eq=False)
class MuonExperiment(Experiment):
    """A muon-beam experiment; bins of the energy of the scattered muon, no background."""

    spec: MuonSpec
    beam: MuonBeam

    @property
    def channels(self) -> tuple[Channel, ...]:
        """No recoils are seen."""
        return ()

    @property
    def n_bins(self) -> int:
        """How many numbers it counts."""
        return len(self.beam.window.edges_gev) - 1

    @property
    def vectors_alone(self) -> bool:
        """Whether only vector mediators are implemented."""
        return True

    def data_files(self, atomic: Atomic) -> set[str]:  # noqa: ARG002
        """Return the shipped tables, besides its own files, that decide its numbers."""
        return {f"{FOLDER}/{self.spec.beam}.toml"}

    def as_dict(self) -> dict[str, Any]:
        """Return the experiment as plain data, for output."""
        return super().as_dict() | {
            "beam": self.beam.model_dump(mode="json"),
            "prefactor": self.spec.prefactor,
            "transfer": self.spec.transfer,
            "branching": self.spec.branching,
        }


def load(content: dict[str, Any], read: Reader) -> MuonExperiment:
    """Return the experiment of a parsed file, with its beam."""
    spec = validate(MuonSpec, content, read.where)
    beam = muon_beam(spec.beam)
    return MuonExperiment(
        name=read.name,
        spec=spec,
        threshold=beam.window.edges_gev[0],
        files=read.files,
        beam=beam,
    )
