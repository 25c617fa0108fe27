"""A chi-square from elsewhere, as a file: that of a collaboration, or of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from lmltgrid.datafiles import MAX_TABLE_BYTES, parse_table, read_bounded
from lmltgrid.errors import MachineError, SpecificationError

Array = NDArray[np.float64]

COLUMNS: Final = ("mass_mev", "coupling", "delta_chi2")
_ROUNDING: Final = 1e-6  # of the axes of a file


def read_plane(path: Path, masses: Array, g: Array) -> Array:
    """Return a chi-square from a file on the axes, linear in the logarithms of both.

    Raises
    ------
    MachineError
        The file cannot be read.
    SpecificationError
        It is not a full grid, or does not cover the axes.
    """
    try:
        content = read_bounded(path, MAX_TABLE_BYTES)
    except OSError as error:
        raise MachineError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    table = parse_table(content, COLUMNS, str(path))
    own_mass, own_g = np.unique(table["mass_mev"]), np.unique(table["coupling"])
    values = np.full((own_mass.size, own_g.size), np.nan)
    places = np.searchsorted(own_mass, table["mass_mev"]), np.searchsorted(own_g, table["coupling"])
    values[places] = table["delta_chi2"]
    once = table["mass_mev"].size == values.size and not np.isnan(values).any()
    if not once or min(own_mass[0], own_g[0]) <= 0.0:
        raise SpecificationError(
            f"{path}: {table['mass_mev'].size} rows for {own_mass.size} masses and {own_g.size} "
            "couplings; every positive mass with every positive coupling is needed, once; "
            "complete it"
        )
    if not (_covers(own_mass, masses) and _covers(own_g, g)):
        raise SpecificationError(
            f"{path}: it covers {own_mass[0]:g} to {own_mass[-1]:g} MeV and {own_g[0]:g} to "
            f"{own_g[-1]:g}; the plane reaches further; narrow mass and coupling"
        )
    look = RegularGridInterpolator((np.log(own_mass), np.log(own_g)), values)
    inside = np.clip(masses, own_mass[0], own_mass[-1]), np.clip(g, own_g[0], own_g[-1])
    points = np.meshgrid(np.log(inside[0]), np.log(inside[1]), indexing="ij")
    return np.asarray(look(np.stack(points, axis=-1)))


def _covers(known: Array, wanted: Array) -> bool:
    """Whether an axis reaches as far as another, but for rounding."""
    near = 1.0 + _ROUNDING
    return bool(known[0] <= wanted[0] * near and wanted[-1] <= known[-1] * near)
