"""Flavor of solar neutrinos at Earth: adiabatic three-flavor MSW conversion.

The mixing matrix is parametrized as by the Particle Data Group. The matter potential is the
standard one. Mediators that reach neutral matter by kinetic mixing alone leave it untouched, since
the electric charges of electrons and protons cancel; a mediator with tree-level charges of matter
that differ from flavor to flavor would change it, and that change is not included.
"""

from __future__ import annotations

from functools import lru_cache
from math import cos, radians, sqrt
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from lmltgrid import units
from lmltgrid.datafiles import read_toml
from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.registry import Registry
from lmltgrid.spec import Number, Spec, validate
from lmltgrid.tables import solar

DEFAULT_PRESET: Final = "nufit60"

_PRESETS: Final = "oscillation.toml"
_BLOCK = 128  # energies evaluated at once: the temporaries (128 x 150 doubles) stay in the cache

# Matter potential sqrt(2) G_F n_e in MeV for one mole of electrons per cm^3 (1 cm = 1e13 fm)
_POTENTIAL: Final = sqrt(2.0) * units.G_FERMI * units.AVOGADRO * 1e-39 * units.HBAR_C**3
_EV2_PER_MEV2: Final = 1e12


Sin2 = Annotated[Number, Field(ge=0.0, le=1.0)]


class Oscillation(Spec):
    """Parameters of three-flavor oscillations.

    The conversion is taken as adiabatic, which holds for the large-mixing-angle solution.

    Attributes
    ----------
    name, title, reference
        Name of the parameter set, what it is, and where it was published.
    sin2_theta12, sin2_theta13, sin2_theta23
        Squared sines of the mixing angles.
    delta_cp_deg
        CP phase, degrees.
    dm21_ev2, dm31_ev2
        Splittings m_2^2 - m_1^2 > 0 and m_3^2 - m_1^2, eV^2; the latter is negative for the
        inverted ordering.
    """

    name: Annotated[str, Field(min_length=1, max_length=300)] = "custom"
    title: str = ""
    reference: str = ""
    sin2_theta12: Sin2
    sin2_theta13: Sin2
    sin2_theta23: Sin2
    delta_cp_deg: Annotated[Number, Field(ge=-360.0, le=360.0)]
    dm21_ev2: Annotated[Number, Field(gt=0.0, le=1e-3)]
    dm31_ev2: Annotated[Number, Field(ge=-1.0, le=1.0)]

    @model_validator(mode="after")
    def _hierarchy(self) -> Self:
        if abs(self.dm31_ev2) <= self.dm21_ev2:
            raise ValueError(
                f"dm31_ev2 {self.dm31_ev2:g} must exceed dm21_ev2 {self.dm21_ev2:g} in size; "
                "correct one of them"
            )
        return self


PARAMETERS: Final = (
    "sin2_theta12",
    "sin2_theta13",
    "sin2_theta23",
    "delta_cp_deg",
    "dm21_ev2",
    "dm31_ev2",
)
# what `parse` takes for a key that carries its unit
_SHORT: Final = {"delta_cp": "delta_cp_deg", "dm21": "dm21_ev2", "dm31": "dm31_ev2"}


@lru_cache(maxsize=1)
def presets() -> Registry[Oscillation]:
    """Return the published parameter sets by name."""
    entries = read_toml(_PRESETS)["preset"]
    where = f"data/{_PRESETS}"
    return Registry(
        "oscillation preset",
        {entry["name"]: validate(Oscillation, entry, where) for entry in entries},
    )


def oscillation(name: str, where: str = "oscillation") -> Oscillation:
    """Return a published parameter set; ``where`` opens the message if there is none.

    Raises
    ------
    UnknownNameError
        No preset has this name; the closest one is suggested.
    """
    return presets().find(name, where)


def parse(text: str, where: str = "oscillation") -> Oscillation:
    """Return the parameters that a user wrote in one line.

    Parameters
    ----------
    text
        The name of a preset; or parameters separated by commas that replace those of the default
        preset, or of the preset that is named first: ``sin2_theta12=0.31,delta_cp=90`` or
        ``nufit40,delta_cp=0``. The units at the end of a key may be left out.
    where
        Opens the messages.

    Returns
    -------
    Oscillation
        Its name says what was replaced, and is again a text that this function reads.

    Raises
    ------
    UnknownNameError
        No preset, or no parameter, has this name.
    SpecificationError
        A value is not a number, not allowed, or given twice.
    """
    parts = [part.strip() for part in text.split(",")]
    named = "=" not in parts[0]
    base = oscillation(parts[0] if named else DEFAULT_PRESET, where)
    given: dict[str, float] = {}
    for part in parts[1:] if named else parts:
        key, value = _pair(part, where)
        if key in given:
            raise SpecificationError(f"{where}: {key!r} is given twice; keep one")
        given[key] = value
    if not given:
        return base
    changes = ",".join(f"{key}={given[key]!r}" for key in PARAMETERS if key in given)
    content = {key: getattr(base, key) for key in PARAMETERS} | given
    origin = {
        "name": f"{base.name},{changes}",
        "title": f"{base.title}; with {changes}",
        "reference": base.reference,
    }
    return validate(Oscillation, content | origin, where)


def _pair(part: str, where: str) -> tuple[str, float]:
    """Return the parameter and the value of ``key=value``."""
    short, equals, number = (piece.strip() for piece in part.partition("="))
    if not equals:
        raise SpecificationError(
            f"{where}: given {part!r}; after the first comma only key=value is allowed, for "
            "example delta_cp=90; correct it"
        )
    key = _SHORT.get(short, short)
    if key not in PARAMETERS:
        raise unknown_name("oscillation parameter", short, PARAMETERS, where)
    try:
        return key, float(number)
    except ValueError:
        raise SpecificationError(
            f"{where}: {key}: given {number!r}; a number is needed; correct it"
        ) from None


def data_files() -> tuple[str, ...]:
    """Return the shipped files that decide the parameters.

    The probabilities depend on the production zones too: see `lmltgrid.tables.solar.data_files`.
    """
    return (_PRESETS,)


def mixing(parameters: Oscillation) -> NDArray[np.float64]:
    """Return |U_ai|^2, flavors e, mu, tau along the rows, shape (3, 3).

    Of the phase only cos(delta) enters, linearly (PDG, Review of Particle Physics,
    "Neutrino masses, mixing, and oscillations").
    """
    s12, s13, s23 = parameters.sin2_theta12, parameters.sin2_theta13, parameters.sin2_theta23
    c12, c13, c23 = 1.0 - s12, 1.0 - s13, 1.0 - s23
    phase = 2.0 * sqrt(s12 * c12 * s23 * c23 * s13) * cos(radians(parameters.delta_cp_deg))
    return np.array(
        [
            [c12 * c13, s12 * c13, s13],
            [s12 * c23 + c12 * s23 * s13 + phase, c12 * c23 + s12 * s23 * s13 - phase, s23 * c13],
            [s12 * s23 + c12 * c23 * s13 - phase, c12 * s23 + s12 * c23 * s13 + phase, c23 * c13],
        ]
    )


def probabilities(
    energy: ArrayLike, source: str, metallicity: str, oscillation: Oscillation
) -> NDArray[np.float64]:
    """Return the flavor probabilities at Earth of neutrinos born as nu_e in the Sun.

    P_a = sum_i |U_ai|^2 <|U^m_ei|^2>: a neutrino follows its instantaneous mass state out of the
    Sun, and the mass states reach the Earth incoherently. The brackets average over the production
    zones of the source. No regeneration in the Earth (day time).

    Parameters
    ----------
    energy
        Neutrino energies, MeV, shape (n,) or a number.
    source, metallicity
        One of `lmltgrid.tables.solar.SOURCES` and of ``METALLICITIES``: which zones.
    oscillation
        The parameters.

    Returns
    -------
    NDArray
        P_e, P_mu, P_tau, shape (3, n); each column sums to one.

    Raises
    ------
    UnknownNameError
        There is no such source, or no such solar model.
    SpecificationError
        An energy is negative or not finite.
    """
    energies = np.atleast_1d(np.asarray(energy, dtype=np.float64))
    if energies.ndim != 1 or not np.all(np.isfinite(energies) & (energies >= 0.0)):
        raise SpecificationError(
            "energy: one dimension of finite, non-negative neutrino energies in MeV is needed; "
            "correct the array"
        )
    shells = solar.zones(metallicity)
    if source not in shells.fraction:
        raise unknown_name("solar source", source, solar.SOURCES, "source")
    matter = 2.0 * _POTENTIAL * _EV2_PER_MEV2 * shells.n_e  # 2 V in eV^2 per MeV of energy
    states = np.empty((3, energies.size))
    for start in range(0, energies.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        at_birth = mass_states(np.multiply.outer(energies[block], matter), oscillation)
        states[:, block] = at_birth @ shells.fraction[source]
    return mixing(oscillation) @ states


def mass_states(matter: NDArray[np.float64], oscillation: Oscillation) -> NDArray[np.float64]:
    """Return |U^m_ei|^2, the content of mass states of a nu_e in matter.

    Denton, Minakata and Parke, JHEP 06 (2016) 051 (arXiv:1604.08167), zeroth order: theta_13 is
    rotated by the matter first, theta_12 after it. Their factor cos^2(theta13_m - theta13) in the
    1-2 mixing is one within 4e-4 in the Sun, and of the size of what the zeroth order leaves out,
    so it is dropped. Up to 20 MeV the result is within 1e-5 of the exact one; without the rotation
    of theta_13, which is often neglected, it would be 6e-3 off. It sums to one exactly.

    Parameters
    ----------
    matter
        a = 2 E V = 2 sqrt(2) G_F n_e E, eV^2, any shape.

    Returns
    -------
    NDArray
        P_1, P_2, P_3, shape (3, ...).
    """
    s12, s13 = oscillation.sin2_theta12, oscillation.sin2_theta13
    dm21 = oscillation.dm21_ev2
    dm_ee = oscillation.dm31_ev2 - s12 * dm21  # cos^2(th12) dm31 + sin^2(th12) dm32
    cos_2t13, sin_2t13 = 1.0 - 2.0 * s13, 2.0 * sqrt(s13 * (1.0 - s13))
    along13 = cos_2t13 - matter / dm_ee
    root13 = np.sqrt(along13**2 + sin_2t13**2)
    matter12 = 0.5 * (matter + dm_ee * (1.0 - root13))
    along12 = 1.0 - 2.0 * s12 - matter12 / dm21
    root12 = np.sqrt(along12**2 + 4.0 * s12 * (1.0 - s12))
    light = 0.5 * (1.0 + along12 / root12)  # cos^2(theta12_m)
    third = 0.5 * (1.0 - along13 / root13)  # sin^2(theta13_m)
    return np.stack([(1.0 - third) * light, (1.0 - third) * (1.0 - light), third])
