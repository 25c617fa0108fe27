"""A test and its level: what is asked, and whether an experiment can answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from scipy.stats import chi2

from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.tables.experiment import Experiment

TESTS: Final = ("exclusion", "discovery")
SIDES: Final = ("two", "one")
DEFAULT_CL: Final = 0.90
DEFAULT_DOF: Final = 1
DISCOVERY_SIGMAS: Final = 5.0


@dataclass(frozen=True)
class Level:
    """A test and its level.

    Attributes
    ----------
    test
        "exclusion": the median experiment without new physics excludes the coupling.
        "discovery": the median experiment with it rejects the Standard Model.
    sided
        "two": an excess and a deficit both count; "one": only an excess. Counting alone.
    cl
        Confidence level of an exclusion; for a count, in each tail that counts.
    dof
        Degrees of freedom of a chi-square.
    sigmas
        Significance of a discovery.
    flux_error
        Fractional error of the 8B flux, profiled in closed form. If left out, that of a measured
        8B count or flux is the experiment's own, and that of a projection is zero.
    """

    test: str = "exclusion"
    sided: str = "two"
    cl: float = DEFAULT_CL
    dof: int = DEFAULT_DOF
    sigmas: float = DISCOVERY_SIGMAS
    flux_error: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is not a test."""
        if self.test not in TESTS:
            raise unknown_name("test", self.test, TESTS, "test")
        if self.sided not in SIDES:
            raise unknown_name("sided", self.sided, SIDES, "sided")
        if not 0.5 < self.cl < 1.0:
            raise SpecificationError(
                f"cl: {self.cl:g} is given; it must lie between 0.5 and 1; correct it"
            )
        if not 0.0 < self.sigmas < 1e3:
            raise SpecificationError(
                f"sigmas: {self.sigmas:g} is given; it must be positive; correct it"
            )
        if not 1 <= self.dof <= 100:
            raise SpecificationError(
                f"dof: {self.dof} is given; degrees of freedom are 1 to 100; correct it"
            )
        if self.flux_error is not None and not 0.0 <= self.flux_error <= 1.0:
            raise SpecificationError(
                f"flux_error: {self.flux_error:g} is given; it is a fraction of the 8B flux, "
                "between 0 and 1; correct it"
            )

    @property
    def delta_chi2(self) -> float:
        """Increase of a chi-square above its minimum; 2.71 at 90 % with one degree of freedom."""
        return float(chi2.ppf(self.cl, self.dof))

    def as_dict(self, experiment: Experiment) -> dict[str, Any]:
        """Return what was asked of this experiment, for output."""
        asked: dict[str, Any] = {"test": self.test, "statistic": experiment.spec.test}
        asked["data"] = experiment.data
        asked |= experiment.warning
        if self.flux_error is not None:
            asked["flux_error"] = self.flux_error
        if self.test == "discovery":
            return asked | {"sided": self.sided, "sigmas": self.sigmas}
        if experiment.spec.test == "counting":
            return asked | {"sided": self.sided, "cl": self.cl}
        return asked | {"cl": self.cl, "dof": self.dof, "delta_chi2": self.delta_chi2}


def require_test(experiment: Experiment, test: str, where: str) -> None:
    """Refuse a discovery where the statistic is made for exclusion.

    Raises
    ------
    SpecificationError
        The experiment does not count.
    """
    if test == "discovery" and experiment.spec.test != "counting":
        raise SpecificationError(
            f"{where}: discovery is asked of {experiment.name}, whose statistic is "
            f"{experiment.spec.test}; only counting experiments discover; ask for an exclusion"
        )
