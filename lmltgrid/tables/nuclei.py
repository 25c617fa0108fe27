"""Targets: natural isotopes, and the electrons of an atom shell by shell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import pi
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from lmltgrid.datafiles import read_table
from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.spec import Atomic
from lmltgrid.units import (
    ATOMIC_MASS_UNIT,
    ATOMIC_MASS_UNIT_KG,
    DIFFUSENESS_FM,
    KG_PER_TONNE,
    M_ELECTRON,
    SKIN_FM,
)

Array = NDArray[np.float64]

ISOTOPES_FILE: Final = "nuclei/isotopes.csv"
RADII_FILES: Final = {"ac22": "nuclei/radii-ac22.csv", "b22": "nuclei/radii-b22.csv"}
ATOMIC_NUMBER: Final = {
    "C": 6,
    "F": 9,
    "Si": 14,
    "S": 16,
    "Ar": 18,
    "Ge": 32,
    "I": 53,
    "Xe": 54,
    "Cs": 55,
}
FORMULAS: Final[dict[str, dict[str, int]]] = {
    "CsI": {"Cs": 1, "I": 1},
    "CS2": {"C": 1, "S": 2},
    "C3F8": {"C": 3, "F": 8},
}
LEWIN_SMITH: Final = "lewin-smith"
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
    """Natural isotopes of an element or a compound, or free electrons; shapes are (isotope,).

    Attributes
    ----------
    z, a
        Atomic and mass numbers.
    radius : shape (2, isotope)
        Diffraction radii of protons and of neutrons for the Helm form factor, fm.
    nuclear_mass
        MeV; atomic mass less the electrons (their binding, below 0.2 MeV, is neglected).
    spin
        Unpaired protons and neutrons, Z+ - Z- + N+ - N-: what an axial mediator couples to.
    abundance
        Nuclei in an atom of the natural mixture, summing to one, or in a formula unit.
    atoms_per_tonne
        Atoms or formula units in one tonne; of a target without isotopes, its electrons.
    """

    element: str
    z: Array
    a: Array
    radius: Array
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


@lru_cache(maxsize=32)
def target(element: str, form_factor: str = LEWIN_SMITH, where: str = "target") -> Target:
    """Return the natural isotopes of an element or of a compound.

    Parameters
    ----------
    element
        Symbol of an element, formula of a compound, or name of a target of electrons.
    form_factor
        Where the nuclear radii come from: "lewin-smith" for all nuclei (P20, P21), "ac22" (AC22
        eqs 3.4 and 3.5), "b22" (B22 Table 1).
    where
        Opens the message.

    Raises
    ------
    UnknownNameError
        The element or the form factor is not tabulated.
    SpecificationError
        There is no radius for one of the elements.
    """
    if element in ELECTRON_TARGETS:
        none = np.zeros(0)
        radius = np.zeros((2, 0))
        return Target(element, none, none, radius, none, none, none, ELECTRON_TARGETS[element])
    if element not in ATOMIC_NUMBER and element not in FORMULAS:
        known = (*ATOMIC_NUMBER, *FORMULAS, *ELECTRON_TARGETS)
        raise unknown_name("target", element, known, where)
    table = read_table(ISOTOPES_FILE, ("z", "a", "atomic_mass_u", "abundance", "unpaired_nucleons"))
    columns: dict[str, list[Array]] = {name: [] for name in table}
    for symbol, number in FORMULAS.get(element, {element: 1}).items():
        rows = table["z"] == ATOMIC_NUMBER[symbol]
        for name, values in table.items():
            columns[name].append(values[rows])
        columns["abundance"][-1] = number * _normalized(table["abundance"][rows])
    z, a, mass, abundance, spin = (np.concatenate(columns[name]) for name in table)
    return Target(
        element=element,
        z=z,
        a=a,
        radius=_radii(z, a, form_factor, where),
        nuclear_mass=mass * ATOMIC_MASS_UNIT - z * M_ELECTRON,
        spin=spin,
        abundance=abundance,
        atoms_per_tonne=KG_PER_TONNE / (float(np.sum(mass * abundance)) * ATOMIC_MASS_UNIT_KG),
    )


def most_abundant(found: Target) -> Target:
    """Return a target in which each element is its most abundant isotope alone."""
    keep = []
    for z in dict.fromkeys(found.z.tolist()):
        own = np.flatnonzero(found.z == z)
        keep.append(int(own[np.argmax(found.abundance[own])]))
    number = np.array([float(found.abundance[found.z == z].sum()) for z in found.z[keep]])
    atomic = (found.nuclear_mass + found.z * M_ELECTRON)[keep] / ATOMIC_MASS_UNIT
    return Target(
        element=found.element,
        z=found.z[keep],
        a=found.a[keep],
        radius=found.radius[:, keep],
        nuclear_mass=found.nuclear_mass[keep],
        spin=found.spin[keep],
        abundance=number,
        atoms_per_tonne=KG_PER_TONNE / (float(np.sum(atomic * number)) * ATOMIC_MASS_UNIT_KG),
    )


def _normalized(abundance: Array) -> Array:
    return np.asarray(abundance / abundance.sum())


def _radii(z: Array, a: Array, form_factor: str, where: str) -> Array:
    """Return diffraction radii of protons and neutrons, shape (2, isotope), fm."""
    if form_factor == LEWIN_SMITH:
        return np.stack([lewin_smith_radius(a)] * 2)
    if form_factor not in RADII_FILES:
        known = (LEWIN_SMITH, *RADII_FILES)
        raise unknown_name("form factor", form_factor, known, f"{where}: form_factor")
    columns = ("z", "proton_rms_fm", "neutron_rms_fm")
    table = read_table(RADII_FILES[form_factor], columns)
    missing = sorted(set(z.tolist()) - set(table["z"].tolist()))
    if missing:
        symbols = {number: symbol for symbol, number in ATOMIC_NUMBER.items()}
        raise SpecificationError(
            f"{where}: form_factor: {form_factor!r} is given, which has no radius of "
            f"{symbols[int(missing[0])]}; use {LEWIN_SMITH!r}"
        )
    place = [int(np.flatnonzero(table["z"] == one)[0]) for one in z]
    return rms_to_diffraction(np.stack([table[name][place] for name in columns[1:]]))


def lewin_smith_radius(mass_number: Array) -> Array:
    """Return the diffraction radii (fm) of Lewin & Smith (1996), as in P20 and P21.

    R0^2 = c^2 + 7/3 pi^2 a^2 - 5 s^2, c = 1.23 A^(1/3) - 0.6 fm.
    """
    c = 1.23 * mass_number ** (1.0 / 3.0) - 0.6
    square = c**2 + 7.0 / 3.0 * (pi * DIFFUSENESS_FM) ** 2 - 5.0 * SKIN_FM**2
    return np.asarray(np.sqrt(square))


def rms_to_diffraction(radius: Array) -> Array:
    """Return the diffraction radii (fm) of distributions of some root-mean-square radii (fm)."""
    return np.asarray(np.sqrt(5.0 / 3.0 * radius**2 - 5.0 * SKIN_FM**2))


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
        return AtomicFactor(ATOMIC_NUMBER.get(element, 1), empty, empty, empty, empty)
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
        z=ATOMIC_NUMBER[element],
        binding=shells["binding_energy_kev"],
        electrons=shells["electrons"],
        rrpa_energy=rrpa["recoil_energy_kev"],
        rrpa_ratio=rrpa["ratio"],
    )


def data_files(
    element: str, atomic: Atomic | None, form_factor: str = LEWIN_SMITH
) -> tuple[str, ...]:
    """Return the shipped files that a rate in this target depends on."""
    if element in ELECTRON_TARGETS:
        return ()
    files = [ISOTOPES_FILE]
    if form_factor in RADII_FILES:
        files.append(RADII_FILES[form_factor])
    if atomic is not None and atomic != "free":
        files.append(SHELL_FILES[element])
    if atomic == "step+rrpa" and element in RRPA_FILES:
        files.append(RRPA_FILES[element])
    return tuple(files)
