"""Targets: natural isotopes, and the electrons of an atom shell by shell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from lmltgrid.datafiles import read_table
from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.spec import Atomic
from lmltgrid.units import ATOMIC_MASS_UNIT, ATOMIC_MASS_UNIT_KG, KG_PER_TONNE, M_ELECTRON

Array = NDArray[np.float64]

ISOTOPES_FILE: Final = "nuclei/isotopes.csv"
ATOMIC_NUMBER: Final = {"Si": 14, "Ar": 18, "Ge": 32, "Xe": 54}
# electrons in a tonne; Borexino, arXiv:1707.09279: 3.307e31 in 100 tonnes
ELECTRON_TARGETS: Final = {"pseudocumene": 3.307e29}
SHELL_FILES: Final = {
    "Ar": "nuclei/argon-shells.csv",
    "Ge": "nuclei/germanium-shells.csv",
    "Xe": "nuclei/xenon-shells.csv",
}
RRPA_FILES: Final = {"Xe": "nuclei/xenon-rrpa.csv"}


@dataclass(frozen=True, eq=False)
class Target:
    """Natural isotopes of one element, or free electrons; arrays have the shape (isotope,).

    Attributes
    ----------
    z
        Atomic number.
    a
        Mass numbers.
    nuclear_mass
        MeV; atomic mass less the electrons (their binding, below 0.2 MeV, is neglected).
    spin
        Unpaired protons and neutrons, Z+ - Z- + N+ - N-: what an axial mediator couples to.
    abundance
        Fraction of the atoms, summing to one.
    atoms_per_tonne
        Atoms of the natural mixture in one tonne; of a target without isotopes, its electrons.
    """

    element: str
    z: int
    a: Array
    nuclear_mass: Array
    spin: Array
    abundance: Array
    atoms_per_tonne: float

    @property
    def neutrons(self) -> Array:
        """Neutron numbers, shape (isotope,)."""
        return self.a - self.z


@dataclass(frozen=True, eq=False)
class AtomicFactor:
    """Effective number of free electrons against recoil energy (keV).

    Attributes
    ----------
    edges
        Recoil energies at which the number jumps, or its slope does, ascending, keV.
    """

    z: int
    binding: Array
    electrons: Array
    rrpa_energy: Array
    rrpa_ratio: Array

    @property
    def edges(self) -> Array:
        """Recoil energies (keV) at which the factor or its slope jumps."""
        return np.unique(np.concatenate([self.binding, self.rrpa_energy]))

    def __call__(self, recoil_energy: Array) -> Array:
        """Return the number of electrons that can be freed at each recoil energy (keV)."""
        energy = np.asarray(recoil_energy, dtype=np.float64)
        if self.binding.size == 0:
            return np.full(energy.shape, float(self.z))
        order = np.argsort(self.binding)
        cumulated = np.concatenate([[0.0], np.cumsum(self.electrons[order])])
        count = cumulated[np.searchsorted(self.binding[order], energy, side="right")]
        if self.rrpa_energy.size == 0:
            return count
        ratio = np.interp(energy, self.rrpa_energy, self.rrpa_ratio)
        inside = (energy >= self.rrpa_energy[0]) & (energy <= self.rrpa_energy[-1])
        return count * np.where(inside, ratio, 1.0)


@lru_cache(maxsize=8)
def target(element: str, where: str = "target") -> Target:
    """Return the natural isotopes of an element.

    Raises
    ------
    UnknownNameError
        The element is not tabulated.
    """
    if element in ELECTRON_TARGETS:
        none = np.zeros(0)
        return Target(element, 1, none, none, none, none, ELECTRON_TARGETS[element])
    if element not in ATOMIC_NUMBER:
        raise unknown_name("target", element, (*ATOMIC_NUMBER, *ELECTRON_TARGETS), where)
    z = ATOMIC_NUMBER[element]
    columns = ("z", "a", "atomic_mass_u", "abundance", "unpaired_nucleons")
    table = read_table(ISOTOPES_FILE, columns)
    rows = table["z"] == z
    atomic_mass = table["atomic_mass_u"][rows]
    abundance = table["abundance"][rows] / table["abundance"][rows].sum()
    mean_mass_kg = float(np.sum(atomic_mass * abundance)) * ATOMIC_MASS_UNIT_KG
    return Target(
        element=element,
        z=z,
        a=table["a"][rows],
        nuclear_mass=atomic_mass * ATOMIC_MASS_UNIT - z * M_ELECTRON,
        spin=table["unpaired_nucleons"][rows],
        abundance=abundance,
        atoms_per_tonne=KG_PER_TONNE / mean_mass_kg,
    )


def atomic_factor(element: str, atomic: Atomic) -> AtomicFactor:
    """Return how many electrons of an atom take part in a recoil.

    ``free``: all of them. ``step``: those bound less tightly than the recoil energy. ``step+rrpa``:
    in addition, for xenon, the ratio of the relativistic random-phase calculation of Chen et al.,
    arXiv:1610.04177 (Fig. 2), to the step function, on 0.25-28.4 keV, as in P21; other elements
    have no such calculation and keep the step function.

    Raises
    ------
    UnknownNameError
        There is no such treatment.
    SpecificationError
        The element has no tabulated shells.
    """
    if atomic not in get_args(Atomic):
        raise unknown_name("atomic", atomic, get_args(Atomic), "atomic")
    empty = np.zeros(0)
    if atomic == "free" or element in ELECTRON_TARGETS:  # recoils there are far above the shells
        return AtomicFactor(target(element).z, empty, empty, empty, empty)
    if element not in SHELL_FILES:
        raise SpecificationError(
            f"atomic: {atomic!r} is given for {element}; bound electrons are tabulated for "
            f"{', '.join(SHELL_FILES)}; use 'free'"
        )
    shells = read_table(SHELL_FILES[element], ("binding_energy_kev", "electrons"))
    rrpa = {"recoil_energy_kev": empty, "ratio": empty}
    if atomic == "step+rrpa" and element in RRPA_FILES:
        rrpa = read_table(RRPA_FILES[element], ("recoil_energy_kev", "ratio"))
    return AtomicFactor(
        z=target(element).z,
        binding=shells["binding_energy_kev"],
        electrons=shells["electrons"],
        rrpa_energy=rrpa["recoil_energy_kev"],
        rrpa_ratio=rrpa["ratio"],
    )


def data_files(element: str, atomic: Atomic | None) -> tuple[str, ...]:
    """Return the shipped files that a rate in this target depends on."""
    if element in ELECTRON_TARGETS:
        return ()
    files = [ISOTOPES_FILE]
    if atomic is not None and atomic != "free":
        files.append(SHELL_FILES[element])
    if atomic == "step+rrpa" and element in RRPA_FILES:
        files.append(RRPA_FILES[element])
    return tuple(files)
