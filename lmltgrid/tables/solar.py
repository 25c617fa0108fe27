"""Solar neutrinos: fluxes, spectra and production zones of the B16 standard solar models.

Fluxes, electron densities and production zones are those of Vinyoles et al., ApJ 835 (2017) 202
(arXiv:1611.09867), for two surface compositions: GS98 (high metallicity) and AGSS09met (low).

The definition of a tabulated spectrum matters at the 1e-4 level. Here a spectrum *is* the linear
interpolation between its knots, divided by its trapezoid integral, and zero outside of them. The 8B
spectrum keeps the knots of Winter et al., Phys. Rev. C 73 (2006) 025503; the others have knots of
our own, whose values are a least-squares fit of the linear interpolation to the published spectrum.
The thermal width of the 7Be and pep lines, about 1 keV, is neglected.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lmltgrid.datafiles import read_table, read_toml
from lmltgrid.errors import unknown_name

SOURCES: Final[tuple[str, ...]] = ("pp", "pep", "hep", "be7", "b8", "n13", "o15", "f17")
METALLICITIES: Final[tuple[str, ...]] = ("GS98", "AGSS09met")

_FLUXES: Final = "solar/fluxes.toml"
_ZONES: Final = {"GS98": "solar/zones-gs98.csv", "AGSS09met": "solar/zones-agss09met.csv"}
_LOG10_NE: Final = "log10_ne_mol_per_cm3"


@dataclass(frozen=True, eq=False)
class SolarSource:
    """One reaction of the Sun that emits electron neutrinos.

    A source has either a continuous spectrum, or lines; the other one is empty.

    Attributes
    ----------
    name, title
        Short name, one of `SOURCES`, and the reaction.
    flux
        Flux at Earth, all flavors, integrated over the energy, cm^-2 s^-1.
    fractional_error
        One standard deviation of the flux, divided by the flux.
    energy
        Knots of the spectrum, MeV, ascending from zero to the endpoint, shape (n,).
    spectrum
        Spectrum at the knots, MeV^-1, zero at both ends, shape (n,). Linear in between; the
        trapezoid integral is one.
    lines
        Pairs of line energy, MeV, and branching; the branchings sum to one.
    """

    name: str
    title: str
    flux: float
    fractional_error: float
    energy: NDArray[np.float64]
    spectrum: NDArray[np.float64]
    lines: tuple[tuple[float, float], ...]

    @property
    def endpoint(self) -> float:
        """Largest neutrino energy, MeV."""
        if self.lines:
            return max(energy for energy, _ in self.lines)
        return float(self.energy[-1])


@dataclass(frozen=True, eq=False)
class Zones:
    """Where in the Sun neutrinos are produced, in spherical shells out to half a solar radius.

    The tables of the B16 models end at r = 0.5 R_sun. They already hold the whole production to
    1e-4, so the shells are normalized to one and nothing is added beyond.

    Attributes
    ----------
    n_e
        Electron density of each shell, mol cm^-3 (divided by Avogadro's number), averaged over
        the shell with the mean production of the eight sources as weight, shape (n,).
    fraction
        For each source the fraction that is produced in each shell, shape (n,), sum one.
    """

    n_e: NDArray[np.float64]
    fraction: dict[str, NDArray[np.float64]]


@lru_cache(maxsize=len(SOURCES) * len(METALLICITIES))
def solar_source(name: str, metallicity: str) -> SolarSource:
    """Return one solar source.

    Parameters
    ----------
    name
        One of `SOURCES`.
    metallicity
        One of `METALLICITIES`; it decides the flux and its error.

    Raises
    ------
    UnknownNameError
        There is no such source, or no such solar model.
    """
    check_metallicity(metallicity)
    if name not in SOURCES:
        raise unknown_name("solar source", name, SOURCES, "source")
    entry = _entries()[name]
    energy, spectrum = _spectrum(entry["spectrum"]) if "spectrum" in entry else (_EMPTY, _EMPTY)
    return SolarSource(
        name=name,
        title=entry["title"],
        flux=entry["flux_per_cm2_s"][metallicity],
        fractional_error=entry["fractional_error"][metallicity],
        energy=energy,
        spectrum=spectrum,
        lines=tuple((line["energy_mev"], line["branching"]) for line in entry.get("lines", ())),
    )


def solar_sources(metallicity: str) -> tuple[SolarSource, ...]:
    """Return all solar sources, in the order of `SOURCES`.

    Raises
    ------
    UnknownNameError
        There is no such solar model.
    """
    return tuple(solar_source(name, metallicity) for name in SOURCES)


@lru_cache(maxsize=len(METALLICITIES))
def zones(metallicity: str) -> Zones:
    """Return the production zones of one solar model.

    Raises
    ------
    UnknownNameError
        There is no such solar model.
    """
    check_metallicity(metallicity)
    columns = {source: f"fraction_{source}" for source in SOURCES}
    table = read_table(_ZONES[metallicity], (_LOG10_NE, *columns.values()))
    return Zones(
        n_e=_frozen(10.0 ** table[_LOG10_NE]),
        fraction={
            source: _frozen(table[column] / table[column].sum())
            for source, column in columns.items()
        },
    )


def data_files(metallicity: str) -> tuple[str, ...]:
    """Return the shipped files that decide the numbers of one solar model.

    Raises
    ------
    UnknownNameError
        There is no such solar model.
    """
    check_metallicity(metallicity)
    spectra = (entry["spectrum"] for entry in _entries().values() if "spectrum" in entry)
    return (_FLUXES, *spectra, _ZONES[metallicity])


def check_metallicity(metallicity: str, where: str = "metallicity") -> None:
    """Refuse a solar model that is not tabulated.

    Raises
    ------
    UnknownNameError
        There is no such solar model; ``where`` opens the message.
    """
    if metallicity not in METALLICITIES:
        raise unknown_name("metallicity", metallicity, METALLICITIES, where)


@lru_cache(maxsize=1)
def _entries() -> dict[str, dict[str, Any]]:
    """Return the entries of the flux file by source name."""
    return {entry["name"]: entry for entry in read_toml(_FLUXES)["source"]}


@lru_cache(maxsize=len(SOURCES))
def _spectrum(file: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return knots and normalized values of a tabulated spectrum."""
    table = read_table(file, ("energy_mev", "spectrum_per_mev"))
    energy, spectrum = table["energy_mev"], table["spectrum_per_mev"]
    return energy, _frozen(spectrum / np.trapezoid(spectrum, energy))


def _frozen(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the array, read-only: it is cached and shared."""
    values.setflags(write=False)
    return values


_EMPTY: Final = _frozen(np.empty(0))
