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


PROBABILITY: Final = "probability"


@dataclass(frozen=True)
class Variable:
    """A stored variable: it has the dimensions `GRID_DIMS`, and then ``more``."""

    name: str
    units: str
    long_name: str
    more: tuple[str, ...] = ()

    @property
    def dims(self) -> tuple[str, ...]:
        """All of its dimensions."""
        return (*GRID_DIMS, *self.more)

    @property
    def attrs(self) -> dict[str, str]:
        """Its attributes."""
        return {"units": self.units, "long_name": self.long_name}


GRID_VARIABLES: Final = (
    Variable("counts", "1", "expected number of events, background included"),
    Variable("significance", "1", "significance in standard deviations"),
)

TOY_VARIABLES: Final = (
    Variable("statistic", "1", "likelihood ratio of the data, -2 log(L / largest L)"),
    Variable("p_value", "1", "fraction of pseudo-experiments at least as extreme as the data"),
    Variable("failed", "1", "pseudo-experiments whose fit does not converge, taken as extreme"),
    Variable(
        "quantile", "1", "quantile of the likelihood ratio in pseudo-experiments", (PROBABILITY,)
    ),
    Variable("quantile_error", "1", "standard deviation of the quantile", (PROBABILITY,)),
)

COORDINATES: Final[dict[str, dict[str, str]]] = {
    "model": {"long_name": "mediator model"},
    "metallicity": {"long_name": "solar model"},
    "oscillation": {"long_name": "oscillation parameters"},
    "threshold": {"units": "keV", "long_name": "threshold"},
    "exposure": {"units": "tonne year", "long_name": "exposure"},
    "mass": {"units": "MeV", "long_name": "mediator mass"},
    "coupling": {"units": "1", "long_name": "coupling g"},
    PROBABILITY: {"units": "1", "long_name": "cumulative probability"},
}
