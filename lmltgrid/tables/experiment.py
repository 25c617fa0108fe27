"""What all experiments have in common, and how their files are read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from lmltgrid import datafiles
from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.spec import Atomic, Positive, Spec
from lmltgrid.tables import measurement as measurements
from lmltgrid.tables import nuclei

Array = NDArray[np.float64]
Channel = Literal["nr", "er"]
EnergyScale = Literal[
    "nuclear_recoil",
    "electron_equivalent",
    "photoelectrons",
    "muon_energy",
    "gas_pressure",
    "several",
]
Test = Literal["counting", "least-squares", "rate", "flux", "counts", "likelihood"]

FOLDER: Final = "experiments"
SCALE_OF: Final[dict[Channel, EnergyScale]] = {
    "nr": "nuclear_recoil",
    "er": "electron_equivalent",
}
UNIT_OF: Final[dict[EnergyScale, str]] = {
    "nuclear_recoil": "keV_nr",
    "electron_equivalent": "keV_ee",
    "photoelectrons": "PE",
    "muon_energy": "GeV",
    "gas_pressure": "Torr",
    "several": "several",
}


def _axis_unit(scale: EnergyScale) -> str:
    unit = UNIT_OF[scale]
    return "keV" if unit.startswith("keV") else unit


class CommonSpec(Spec):
    """What every experiment file says.

    ``caution`` is what a reader of any number must know; it comes with every answer.
    """

    title: str
    reference: str
    note: str = ""
    caution: str = ""
    source: str
    target: str
    test: Test
    energy_scale: EnergyScale
    exposure_tonne_year: Positive

    @property
    def measurement(self) -> measurements.Measurement | None:
        """What was measured, for the tests that compare with it."""
        return None


@dataclass(frozen=True, eq=False)
class Curve:
    """A tabulated function: linear between its points; energy in keV, ascending."""

    energy: Array
    value: Array


@dataclass(frozen=True, eq=False)
class Experiment:
    """An experiment with its tables read and checked.

    Attributes
    ----------
    threshold
        Nominal threshold in the experiment's own energy scale.
    files
        SHA-256 of every file that defines the experiment, by name.
    """

    name: str
    spec: CommonSpec
    threshold: float
    files: dict[str, str]

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The recoil channels in use, in the order nr, er."""
        return ("nr",)

    @property
    def window_scale(self) -> EnergyScale:
        """Energy scale of the analysis window: of reconstructed energy, or of true recoils."""
        return self.spec.energy_scale

    @property
    def measured(self) -> bool:
        """Whether there are data, taken in the experiment's own exposure."""
        return self.spec.measurement is not None

    @property
    def vectors_alone(self) -> bool:
        """Whether only vector mediators are implemented."""
        return "er" in self.channels

    @property
    def pull_names(self) -> tuple[str, ...]:
        """Names of the pulls of a likelihood."""
        return ()

    @property
    def n_bins(self) -> int:
        """How many numbers it counts or measures."""
        return 1

    @property
    def solar(self) -> bool:
        """Whether solar neutrinos are seen, which come in all flavors."""
        return self.spec.source == "solar"

    def data_files(self, atomic: Atomic) -> set[str]:
        """Return the shipped tables, besides its own files, that decide its numbers."""
        bound = atomic if "er" in self.channels else None
        return set(nuclei.data_files(self.spec.target, bound, self.form_factor))

    @property
    def form_factor(self) -> str:
        """Where the nuclear radii come from, see `lmltgrid.tables.nuclei.target`."""
        return "lewin-smith"

    @property
    def lowest_threshold(self) -> float:
        """The least threshold at which the detector model holds."""
        return self.threshold

    @property
    def warning(self) -> dict[str, str]:
        """The caution of the experiment, if any, as an entry of settings."""
        return {"caution": self.spec.caution} if self.spec.caution else {}

    @property
    def data(self) -> str:
        """What is compared with: "measured", "expected" in the Standard Model, or "both"."""
        return "measured" if self.measured else "expected"

    @property
    def unit(self) -> str:
        """Unit of the threshold, for people: keV_nr, keV_ee, PE, GeV or Torr."""
        return UNIT_OF[self.spec.energy_scale]

    @property
    def axis_unit(self) -> str:
        """Unit of the threshold axis: keV on both scales of recoils, which are an attribute."""
        return _axis_unit(self.spec.energy_scale)

    @property
    def window_label(self) -> dict[str, str]:
        """Attributes of the analysis window, wherever it is stored or told."""
        return {
            "units": _axis_unit(self.window_scale),
            "long_name": "analysis window",
            "energy_scale": self.window_scale,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the experiment as plain data, for output."""
        return {
            "name": self.name,
            "title": self.spec.title,
            "reference": self.spec.reference,
            "note": self.spec.note,
            "caution": self.spec.caution,
            "source": self.spec.source,
            "target": self.spec.target,
            "channels": list(self.channels),
            "test": self.spec.test,
            "energy_scale": self.spec.energy_scale,
            "threshold_kev": self.threshold,
            "exposure_tonne_year": self.spec.exposure_tonne_year,
        }


@dataclass(frozen=True)
class Reader:
    """Reads the files of one experiment and remembers their digests.

    Attributes
    ----------
    name
        Of the experiment.
    folder
        A user's folder; None for the shipped files, which are checked against the manifest.
    """

    name: str
    folder: Path | None
    files: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where the files are, for messages."""
        return f"data/{FOLDER}" if self.folder is None else str(self.folder)

    @property
    def where(self) -> str:
        """The experiment file, for messages."""
        return f"{self.place}/{self.name}.toml"

    def __call__(self, file: str) -> bytes:
        """Return the content of a file beside the experiment."""
        if self.folder is None:
            content = datafiles.read_bytes(f"{FOLDER}/{file}")
        else:
            content = _read_user_file(self.folder, file)
        self.files[file] = hashlib.sha256(content).hexdigest()
        return content

    def content(self) -> dict[str, Any]:
        """Return the experiment file, parsed."""
        return datafiles.parse_toml(self(f"{self.name}.toml"), self.where)

    def curve(
        self, file: str, column: str, value: str, maximum: float = np.inf, peak: float = 0.0
    ) -> Curve:
        """Return a curve from a table, see `_curve`."""
        return _curve(self(file), column, value, f"{self.place}/{file}", maximum, peak)


def _read_user_file(folder: Path, file: str) -> bytes:
    path = (folder / file).resolve()
    if path.parent != folder.resolve():
        raise SpecificationError(f"{folder / file}: leads out of {folder}; keep the file inside it")
    try:
        if path.stat().st_size > datafiles.MAX_TABLE_BYTES:
            raise SpecificationError(
                f"{path}: {path.stat().st_size} bytes; {datafiles.MAX_TABLE_BYTES} are allowed; "
                "tabulate it coarser"
            )
        return datafiles.read_bounded(path, datafiles.MAX_TABLE_BYTES)
    except FileNotFoundError:
        raise SpecificationError(
            f"{path}: there is no such file; put it beside its experiment file, or correct the name"
        ) from None
    except OSError as error:
        raise MachineError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def _curve(
    content: bytes, column: str, value: str, where: str, maximum: float, peak: float
) -> Curve:
    """Read a curve; check that energies ascend, and that values are in range and reach a peak."""
    table = datafiles.parse_table(content, (column, value), where)
    energy, values = table[column], table[value]
    wrong = np.flatnonzero(np.diff(energy) <= 0.0)
    if wrong.size or energy[0] <= 0.0:
        line = int(wrong[0]) + 3 if wrong.size else 2
        raise SpecificationError(
            f"{where}, line {line}: {column} must be positive and ascend; sort the rows"
        )
    outside = np.flatnonzero((values < 0.0) | (values > maximum))
    if outside.size:
        row = int(outside[0])
        raise SpecificationError(
            f"{where}, line {row + 2}: {value} is {values[row]:g}; it must lie between 0 and "
            f"{maximum:g}; correct it"
        )
    if energy.size < 2 or values.max() < peak:
        raise SpecificationError(
            f"{where}: {energy.size} rows, largest {value} {values.max():g}; at least two rows, "
            "and an efficiency that reaches 0.5, are needed; complete the table"
        )
    return Curve(energy, values)
