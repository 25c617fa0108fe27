"""Experiments that see recoils of solar neutrinos: their files, and what is read from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lmltgrid.complaints import TABLE_PATTERN
from lmltgrid.errors import SpecificationError
from lmltgrid.spec import NonNegative, Number, Positive, Spec, Whole, validate
from lmltgrid.tables import measurement as measured
from lmltgrid.tables.experiment import (
    SCALE_OF,
    Channel,
    CommonSpec,
    Curve,
    EnergyScale,
    Experiment,
    Reader,
)

Array = NDArray[np.float64]
Reaction = Literal["pp", "pep", "hep", "7Be", "7Be-862", "8B", "13N", "15O", "17F"]

_EVERYWHERE: Final = (1e-6, 1e6)  # keV, where an efficiency that is not tabulated is one
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


class SolarSpec(CommonSpec):
    """The content of an experiment file."""

    source: Literal["solar"]
    target: Literal["Si", "Ar", "Ge", "Xe", "pseudocumene"]
    reactions: tuple[Reaction, ...] | None = None
    test: Literal["counting", "least-squares", "rate", "flux", "counts"]
    energy_scale: Literal["nuclear_recoil", "electron_equivalent"]
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
class SolarExperiment(Experiment):
    """An experiment with solar neutrinos.

    Attributes
    ----------
    efficiency
        Efficiency against true recoil energy (keV of the channel's own scale), by channel.
    background
        Rate per (tonne year keV_ee) before efficiency and resolution, by name.
    """

    spec: SolarSpec
    efficiency: dict[Channel, Curve]
    background: dict[str, Curve]

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels in use, in the order nr, er."""
        return tuple(self.efficiency)

    @property
    def n_bins(self) -> int:
        """How many numbers it counts or measures."""
        return self.spec.window.log_bins

    @property
    def scale_channel(self) -> Channel:
        """The channel whose energy scale the threshold is given in."""
        return "nr" if self.spec.energy_scale == "nuclear_recoil" else "er"

    @property
    def window_scale(self) -> EnergyScale:
        """Energy scale of the analysis window: of reconstructed energy, or of true recoils."""
        return SCALE_OF["er" if self.spec.resolution else self.channels[-1]]

    @property
    def lowest_threshold(self) -> float:
        """The least threshold at which the detector model holds."""
        return self.spec.window.minimum_threshold_kev

    def half_efficiency(self, channel: Channel) -> float:
        """Return where the efficiency first reaches 50 %, keV of the channel's own scale."""
        curve = self.efficiency[channel]
        above = int(np.argmax(curve.value >= 0.5))
        rising = slice(max(above - 1, 0), above + 1)
        return float(np.interp(0.5, curve.value[rising], curve.energy[rising]))

    def as_dict(self) -> dict[str, Any]:
        """Return the experiment as plain data, for output."""
        return super().as_dict() | {
            "minimum_threshold_kev": self.spec.window.minimum_threshold_kev,
            "maximum_kevee": self.spec.window.maximum_kevee,
            "maximum_kev": self.spec.window.maximum_kev,
            "log_bins": self.spec.window.log_bins,
            "reactions": None if self.spec.reactions is None else list(self.spec.reactions),
            "background": list(self.background),
            "measurement": measured.as_plain(self.spec.measurement),
        }


def load(content: dict[str, Any], read: Reader) -> SolarExperiment:
    """Return the experiment of a parsed file, with its tables."""
    where = read.where
    spec = validate(SolarSpec, content, where)
    # where the efficiency is one half is the nominal threshold, or anchors an extended one
    peak = 0.5 if spec.resolution or spec.window.threshold_kev is None else 0.0
    efficiency: dict[Channel, Curve] = {}
    for channel in ("nr", "er"):
        entry: ChannelSpec | None = getattr(spec, channel)
        if entry is not None and entry.efficiency is None:
            efficiency[channel] = Curve(np.array(_EVERYWHERE), np.ones(2))
        elif entry is not None and entry.efficiency is not None:
            column = COLUMN_OF[channel]
            efficiency[channel] = read.curve(entry.efficiency, column, "efficiency", 1.0, peak)
    background = {b.name: _background(b, read) for b in spec.background}
    experiment = SolarExperiment(read.name, spec, 0.0, read.files, efficiency, background)
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


def _check_end(spec: SolarSpec, channel: Channel, nominal: float, where: str) -> None:
    key, end = "maximum_kev", spec.window.maximum_kev
    if channel == "er" and spec.window.maximum_kevee is not None:
        key, end = "maximum_kevee", spec.window.maximum_kevee
    if end is not None and nominal >= end:
        raise SpecificationError(
            f"{where}: window.{key}: given {end:g}; it must lie above the nominal threshold, "
            f"{nominal:g} keV; raise it"
        )


def _background(entry: BackgroundSpec, read: Reader) -> Curve:
    if entry.table is None:
        flat = float(entry.flat_per_tonne_year_kev or 0.0)
        return Curve(np.array([0.0, 1e4]), np.array([flat, flat]))
    return read.curve(entry.table, "recoil_energy_kevee", "rate_per_tonne_year_kev")
