"""Every variable that a grid stores: its dimensions, its units, its meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GRID_DIMS: Final = (
    "model",
    "metallicity",
    "oscillation",
    "threshold",
    "exposure",
    "mass",
    "coupling",
)


@dataclass(frozen=True)
class Variable:
    """A stored variable; all have the dimensions `GRID_DIMS`."""

    name: str
    units: str
    long_name: str


GRID_VARIABLES: Final = (
    Variable("counts", "1", "expected number of events, background included"),
    Variable("significance", "1", "significance in standard deviations"),
)

COORDINATES: Final[dict[str, dict[str, str]]] = {
    "model": {"long_name": "mediator model"},
    "metallicity": {"long_name": "solar model"},
    "oscillation": {"long_name": "oscillation parameters"},
    "threshold": {"units": "keV", "long_name": "threshold"},
    "exposure": {"units": "tonne year", "long_name": "exposure"},
    "mass": {"units": "MeV", "long_name": "mediator mass"},
    "coupling": {"units": "1", "long_name": "coupling g"},
}
