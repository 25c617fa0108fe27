"""Gas detectors in a neutrino beam, as nuBDX-DRIFT: their files, and what is read from them.

A volume holds more nuclei at a higher pressure, but tracks are shorter, so recoils must be harder
to be seen (B22 eqs 3.3 and 3.4). The pressure stands where other experiments have their threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lmltgrid.errors import SpecificationError
from lmltgrid.spec import Atomic, Name, Number, Positive, Spec, validate
from lmltgrid.tables import nuclei
from lmltgrid.tables.beams import NeutrinoBeam, neutrino_beam
from lmltgrid.tables.experiment import CommonSpec, EnergyScale, Experiment, Reader
from lmltgrid.tables.nuclei import Target
from lmltgrid.units import AVOGADRO, KG_PER_TONNE

Array = NDArray[np.float64]

DENSITY: Final = 5.5e-5  # kg/m^3 for each Torr and g/mol (B22 eq. 3.3)
THRESHOLD_PRESSURE: Final = 40.0  # Torr, at which thresholds are given (B22 eq. 3.4)
LOWEST_PRESSURE: Final = 1.0  # Torr
HIGHEST_PRESSURE: Final = 2000.0  # Torr
_EXPOSURE_TOLERANCE: Final = 1e-4


class LineBeam(Spec):
    """The source: a table of the flux of nu_mu, and protons on target in a year."""

    flux: Name
    protons_per_year: Annotated[Number, Field(gt=0, le=1e30)]


class Gas(Spec):
    """The detector: volume, nominal pressure, and running time.

    ``threshold_kev``: least recoil energy of each element at 40 Torr; it goes as the pressure.
    ``isotopes``: the natural mixture, or only the most abundant isotope of each element.
    """

    volume_m3: Positive
    pressure_torr: Annotated[Number, Field(ge=LOWEST_PRESSURE, le=HIGHEST_PRESSURE)]
    years: Positive
    isotopes: Literal["natural", "most-abundant"] = "natural"
    threshold_kev: dict[str, Positive]
    maximum_recoil_kev: Positive | None = None


class RateSpec(Spec):
    """One Poisson bin; the background is a fraction of the signal in the Standard Model.

    ``signal_error`` and ``background_error`` are fractional errors of the two, both profiled.
    """

    background_fraction: Positive
    signal_error: Positive
    background_error: Positive


class DriftSpec(CommonSpec):
    """The content of the file of a gas detector in a neutrino beam."""

    source: Literal["LBNF"]
    target: Literal["CS2"]
    form_factor: Literal["lewin-smith", "b22"] = "b22"
    test: Literal["likelihood"]
    energy_scale: Literal["gas_pressure"]
    beam: LineBeam
    gas: Gas
    likelihood: RateSpec


@dataclass(frozen=True, eq=False)
class DriftExperiment(Experiment):
    """A gas detector in a neutrino beam; its threshold is a pressure (Torr).

    The exposure is that at the nominal pressure. At another one the same number stands for the same
    volume and time.
    """

    spec: DriftSpec
    beam: NeutrinoBeam

    @property
    def form_factor(self) -> str:
        """Where the nuclear radii come from, see `lmltgrid.tables.nuclei.target`."""
        return self.spec.form_factor

    @property
    def nuclei(self) -> Target:
        """The isotopes of the gas."""
        found = nuclei.target(self.spec.target, self.spec.form_factor)
        natural = self.spec.gas.isotopes == "natural"
        return found if natural else nuclei.most_abundant(found)

    def data_files(self, atomic: Atomic) -> set[str]:
        """Return the shipped tables, besides its own files, that decide its numbers."""
        return super().data_files(atomic) | {self.beam.file}

    @property
    def lowest_threshold(self) -> float:
        """The least pressure, Torr."""
        return LOWEST_PRESSURE

    @property
    def window_scale(self) -> EnergyScale:
        """True recoils."""
        return "nuclear_recoil"

    def recoil_thresholds(self, pressure: float) -> Array:
        """Return the least recoil energy (keV) of each isotope at a pressure (Torr)."""
        given = self.spec.gas.threshold_kev
        symbols = {nuclei.ATOMIC_NUMBER[symbol]: value for symbol, value in given.items()}
        own = np.array([symbols[int(z)] for z in self.nuclei.z])
        return own * pressure / THRESHOLD_PRESSURE

    def as_dict(self) -> dict[str, Any]:
        """Return the experiment as plain data, for output."""
        return super().as_dict() | {
            "pressure_torr": self.threshold,
            "form_factor": self.spec.form_factor,
            "beam": self.spec.beam.model_dump(mode="json"),
            "gas": self.spec.gas.model_dump(mode="json"),
            "likelihood": self.spec.likelihood.model_dump(mode="json"),
        }


def load(content: dict[str, Any], read: Reader) -> DriftExperiment:
    """Return the experiment of a parsed file, with its beam.

    Raises
    ------
    SpecificationError
        The file is not valid, an element has no threshold, or the exposure is not that of the gas.
    """
    spec = validate(DriftSpec, content, read.where)
    elements = nuclei.FORMULAS[spec.target]
    if set(spec.gas.threshold_kev) != set(elements):
        raise SpecificationError(
            f"{read.where}: gas.threshold_kev is given for "
            f"{', '.join(spec.gas.threshold_kev) or 'nothing'}; {', '.join(elements)} are needed; "
            "correct it"
        )
    found = DriftExperiment(
        name=read.name,
        spec=spec,
        threshold=spec.gas.pressure_torr,
        files=read.files,
        beam=neutrino_beam(spec.beam.flux, f"{read.where}: beam.flux"),
    )
    expected = exposure(found)
    if abs(spec.exposure_tonne_year - expected) > _EXPOSURE_TOLERANCE * expected:
        raise SpecificationError(
            f"{read.where}: exposure_tonne_year is {spec.exposure_tonne_year:g}, but volume, "
            f"pressure and years give {expected:.6g}; make them the same"
        )
    return found


def exposure(experiment: DriftExperiment) -> float:
    """Return mass times running time at the nominal pressure, tonne year (B22 eq. 3.3)."""
    gas = experiment.spec.gas
    tonne_per_mole = 1.0 / (experiment.nuclei.atoms_per_tonne / AVOGADRO)
    grams_per_mole = tonne_per_mole * KG_PER_TONNE * 1e3
    kilograms = DENSITY * grams_per_mole * gas.pressure_torr * gas.volume_m3
    return kilograms / KG_PER_TONNE * gas.years


def check_pressures(experiment: DriftExperiment, pressures: Array, where: str) -> None:
    """Refuse pressures that are out of range.

    Raises
    ------
    SpecificationError
        A pressure is not allowed; ``where`` opens the message.
    """
    for value in np.atleast_1d(pressures):
        if not LOWEST_PRESSURE <= value <= HIGHEST_PRESSURE:
            raise SpecificationError(
                f"{where}: {value:g} Torr is given for {experiment.name}; pressures of "
                f"{LOWEST_PRESSURE:g} to {HIGHEST_PRESSURE:g} Torr are allowed; correct it"
            )
