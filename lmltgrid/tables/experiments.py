"""The catalog of experiments: one validated TOML file each, with its CSV tables beside it.

The shipped files are in ``data/experiments/``. A user may point to a folder of their own; an
experiment there appears everywhere by the name of its file, without a line of Python.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lmltgrid import datafiles
from lmltgrid.complaints import TABLE_PATTERN
from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.registry import Registry
from lmltgrid.spec import NonNegative, Number, Positive, Spec, Whole, validate
from lmltgrid.tables import measurement as measured

Array = NDArray[np.float64]
Channel = Literal["nr", "er"]
EnergyScale = Literal["nuclear_recoil", "electron_equivalent"]
Test = Literal["counting", "least-squares", "rate", "flux", "counts"]
Reaction = Literal["pp", "pep", "hep", "7Be", "7Be-862", "8B", "13N", "15O", "17F"]

FOLDER: Final = "experiments"
MAX_FILES: Final = 1000
_EVERYWHERE: Final = (1e-6, 1e6)  # keV, where an efficiency that is not tabulated is one
SCALE_OF: Final[dict[Channel, EnergyScale]] = {
    "nr": "nuclear_recoil",
    "er": "electron_equivalent",
}
UNIT_OF: Final[dict[EnergyScale, str]] = {
    "nuclear_recoil": "keV_nr",
    "electron_equivalent": "keV_ee",
}
COLUMN_OF: Final[dict[Channel, str]] = {"nr": "recoil_energy_kevnr", "er": "recoil_energy_kevee"}


class Window(Spec):
    """The energy window; the threshold defaults to where the efficiency is one half.

    With a resolution it is a window of reconstructed energy and ends at ``maximum_kevee``; without
    one it is a window of recoil energy and ends at ``maximum_kev``, or where recoils end.
    """

    threshold_kev: Positive | None = None
    minimum_threshold_kev: Positive
    maximum_kevee: Positive | None = None
    maximum_kev: Positive | None = None
    log_bins: Annotated[Whole, Field(ge=1, le=1000)] = 1


class Resolution(Spec):
    """Fractional width sigma/E = a/sqrt(E) + b, E in keV_ee."""

    a: NonNegative
    b: NonNegative

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if self.a + self.b <= 0.0:
            raise ValueError("a and b are both zero; give the width of the resolution")
        return self


class Quenching(Spec):
    """Electron-equivalent energy of a nuclear recoil."""

    model: Literal["lindhard"]
    k: Positive


class ChannelSpec(Spec):
    """One recoil channel: its efficiency table, and the fraction that passes further cuts."""

    efficiency: Annotated[str, Field(pattern=TABLE_PATTERN)] | None = None
    acceptance: Annotated[Number, Field(gt=0.0, le=1.0)]


class BackgroundSpec(Spec):
    """A background of electron recoils, before efficiency and resolution."""

    name: str
    flat_per_tonne_year_kev: NonNegative | None = None
    table: Annotated[str, Field(pattern=TABLE_PATTERN)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.flat_per_tonne_year_kev is None) == (self.table is None):
            raise ValueError("exactly one of flat_per_tonne_year_kev, table is needed")
        return self


class ExperimentSpec(Spec):
    """The content of an experiment file.

    ``caution`` is what a reader of any number must know; it comes with every answer.
    """

    title: str
    reference: str
    note: str = ""
    caution: str = ""
    source: Literal["solar"]
    target: Literal["Si", "Ar", "Ge", "Xe", "pseudocumene"]
    reactions: tuple[Reaction, ...] | None = None
    test: Test
    energy_scale: EnergyScale
    exposure_tonne_year: Positive
    window: Window
    resolution: Resolution | None = None
    quenching: Quenching | None = None
    measured_rate: measured.RateMeasurement | None = None
    measured_flux: measured.FluxMeasurement | None = None
    measured_counts: measured.CountMeasurement | None = None
    nr: ChannelSpec | None = None
    er: ChannelSpec | None = None
    background: tuple[BackgroundSpec, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.nr is None and self.er is None:
            raise ValueError("neither [nr] nor [er] is given; add at least one channel")
        scaled = self.nr if self.energy_scale == "nuclear_recoil" else self.er
        if scaled is None:
            raise ValueError(f"energy_scale {self.energy_scale!r} needs its channel; add it")
        if self.resolution and not (self.quenching and self.window.maximum_kevee):
            raise ValueError("a resolution needs [quenching] and window.maximum_kevee; add them")
        if self.resolution and (self.window.maximum_kev or self.window.log_bins > 1):
            raise ValueError(
                "with a resolution the window is one bin up to maximum_kevee; take out log_bins "
                "and maximum_kev"
            )
        if self.nr and self.target == "pseudocumene":
            raise ValueError("[nr] is given for pseudocumene, whose nuclei are not tabulated")
        if not self.resolution and self.window.maximum_kevee:
            raise ValueError("window.maximum_kevee needs a resolution; give maximum_kev, or add it")
        if self.nr and self.er and not self.quenching:
            raise ValueError("two channels on one energy scale need [quenching]; add it")
        if self.resolution and self.background and self.er is None:
            raise ValueError("a background is given without [er], whose efficiency it needs")
        names = [entry.name for entry in self.background]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"background: {twice[0]!r} is given twice; rename one")
        return self

    @model_validator(mode="after")
    def _measured(self) -> Self:
        given = [name for name in measured.TABLES.values() if getattr(self, name) is not None]
        measured.require(self.test, given, bool(self.background), self.window.log_bins)
        return self

    @property
    def measurement(self) -> measured.Measurement | None:
        """What was measured, for the tests that compare with it."""
        return self.measured_rate or self.measured_flux or self.measured_counts


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
    efficiency
        Efficiency against true recoil energy (keV of the channel's own scale), by channel.
    background
        Rate per (tonne year keV_ee) before efficiency and resolution, by name.
    threshold
        Nominal threshold, keV in the experiment's own energy scale.
    files
        SHA-256 of every file that defines the experiment, by name.
    """

    name: str
    spec: ExperimentSpec
    efficiency: dict[Channel, Curve]
    background: dict[str, Curve]
    threshold: float
    files: dict[str, str]

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels in use, in the order nr, er."""
        return tuple(self.efficiency)

    @property
    def scale_channel(self) -> Channel:
        """The channel whose energy scale the threshold is given in."""
        return "nr" if self.spec.energy_scale == "nuclear_recoil" else "er"

    @property
    def window_scale(self) -> EnergyScale:
        """Energy scale of the analysis window: of reconstructed energy, or of true recoils."""
        return SCALE_OF["er" if self.spec.resolution else self.channels[-1]]

    @property
    def warning(self) -> dict[str, str]:
        """The caution of the experiment, if any, as an entry of settings."""
        return {"caution": self.spec.caution} if self.spec.caution else {}

    @property
    def unit(self) -> str:
        """Unit of the threshold, for people: keV_nr or keV_ee."""
        return UNIT_OF[self.spec.energy_scale]

    def half_efficiency(self, channel: Channel) -> float:
        """Return where the efficiency first reaches 50 %, keV of the channel's own scale."""
        curve = self.efficiency[channel]
        above = int(np.argmax(curve.value >= 0.5))
        rising = slice(max(above - 1, 0), above + 1)
        return float(np.interp(0.5, curve.value[rising], curve.energy[rising]))

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
            "minimum_threshold_kev": self.spec.window.minimum_threshold_kev,
            "maximum_kevee": self.spec.window.maximum_kevee,
            "maximum_kev": self.spec.window.maximum_kev,
            "log_bins": self.spec.window.log_bins,
            "reactions": None if self.spec.reactions is None else list(self.spec.reactions),
            "exposure_tonne_year": self.spec.exposure_tonne_year,
            "background": list(self.background),
            "measurement": measured.as_plain(self.spec.measurement),
        }


def catalog(folder: Path | None = None) -> Registry[Experiment]:
    """Return the experiments by name: the shipped ones and, if given, those of a user's folder.

    Raises
    ------
    SpecificationError
        A file of the user's folder is not valid, or takes the name of a shipped experiment.
    VerificationError
        A shipped file is damaged.
    """
    entries = dict(_shipped())
    for path in _user_files(folder):
        if path.stem in entries:
            raise SpecificationError(
                f"{path}: an experiment {path.stem!r} is shipped already; rename the file"
            )
        entries[path.stem] = _load(path.stem, path.parent)
    return Registry("experiment", entries)


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Experiment]:
    names = [n for n in datafiles.manifest() if n.startswith(f"{FOLDER}/") and n.endswith(".toml")]
    return {Path(name).stem: _load(Path(name).stem, None) for name in names}


def _user_files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise SpecificationError(f"{folder}: not a folder; give the folder of your experiments")
    paths = sorted(folder.glob("*.toml"))
    if len(paths) > MAX_FILES:
        raise SpecificationError(f"{folder}: {len(paths)} files; at most {MAX_FILES} are read")
    return paths


def _load(name: str, folder: Path | None) -> Experiment:
    """Read one experiment: shipped (checked against the manifest), or from a user's folder."""
    files: dict[str, str] = {}

    def read(file: str) -> bytes:
        if folder is None:
            content = datafiles.read_bytes(f"{FOLDER}/{file}")
        else:
            content = _read_user_file(folder, file)
        files[file] = hashlib.sha256(content).hexdigest()
        return content

    place = f"data/{FOLDER}" if folder is None else str(folder)
    where = f"{place}/{name}.toml"
    content = datafiles.parse_toml(read(f"{name}.toml"), where)
    spec = validate(ExperimentSpec, content, where)
    # where the efficiency is one half is the nominal threshold, or anchors an extended one
    peak = 0.5 if spec.resolution or spec.window.threshold_kev is None else 0.0
    efficiency: dict[Channel, Curve] = {}
    for channel in ("nr", "er"):
        entry: ChannelSpec | None = getattr(spec, channel)
        if entry is not None and entry.efficiency is None:
            efficiency[channel] = Curve(np.array(_EVERYWHERE), np.ones(2))
        elif entry is not None and entry.efficiency is not None:
            text = f"{place}/{entry.efficiency}"
            column = COLUMN_OF[channel]
            table = read(entry.efficiency)
            efficiency[channel] = _curve(table, column, "efficiency", text, 1.0, peak)
    background = {b.name: _background(b, read, place) for b in spec.background}
    experiment = Experiment(name, spec, efficiency, background, 0.0, files)
    tabulated = getattr(spec, experiment.scale_channel).efficiency is not None
    if spec.window.threshold_kev is None and not tabulated:
        raise SpecificationError(
            f"{where}: window.threshold_kev: this key is missing; without a table of the "
            "efficiency it is needed; add it"
        )
    nominal = spec.window.threshold_kev or experiment.half_efficiency(experiment.scale_channel)
    if nominal < spec.window.minimum_threshold_kev:
        raise SpecificationError(
            f"{where}: window: the nominal threshold is {nominal:g} {experiment.unit}, below the "
            f"minimum {spec.window.minimum_threshold_kev:g}; lower the minimum, if the detector "
            "model holds there"
        )
    _check_end(spec, experiment.scale_channel, nominal, where)
    return replace(experiment, threshold=nominal)


def _check_end(spec: ExperimentSpec, channel: Channel, nominal: float, where: str) -> None:
    key, end = "maximum_kev", spec.window.maximum_kev
    if channel == "er" and spec.window.maximum_kevee is not None:
        key, end = "maximum_kevee", spec.window.maximum_kevee
    if end is not None and nominal >= end:
        raise SpecificationError(
            f"{where}: window.{key}: given {end:g}; it must lie above the nominal threshold, "
            f"{nominal:g} keV; raise it"
        )


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
        return path.read_bytes()
    except FileNotFoundError:
        raise SpecificationError(
            f"{path}: there is no such file; put it beside its experiment file, or correct the name"
        ) from None
    except OSError as error:
        raise MachineError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def _background(entry: BackgroundSpec, read: Any, place: str) -> Curve:
    if entry.table is None:
        flat = float(entry.flat_per_tonne_year_kev or 0.0)
        return Curve(np.array([0.0, 1e4]), np.array([flat, flat]))
    text = f"{place}/{entry.table}"
    value = "rate_per_tonne_year_kev"
    return _curve(read(entry.table), "recoil_energy_kevee", value, text, np.inf, 0.0)


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
