"""One question asked at any masses: which couplings pass a test of one experiment."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmltgrid.analysis import criteria, profiled
from lmltgrid.analysis.level import Level, require_test
from lmltgrid.analysis.roots import Interval
from lmltgrid.analysis.setup import Conventions, rates
from lmltgrid.errors import SpecificationError
from lmltgrid.tables.experiment import Experiment

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Finder:
    """Finds the intervals of the coupling at given masses (MeV).

    Attributes
    ----------
    threshold, exposure
        In the experiment's own scale, and tonne year.
    failures
        Where a fit did not converge, one sentence each; filled by each call.
    """

    experiment: Experiment
    setting: Conventions
    threshold: float
    exposure: float
    level: Level
    failures: list[str] = field(default_factory=list)

    @cached_property
    def minimum(self) -> tuple[float, float, float]:
        """Least chi-square of a likelihood, with its mass (MeV) and coupling."""
        return profiled.minimum(
            self.experiment, self.setting, self.exposure, threshold=self._thresholds
        )

    @property
    def _thresholds(self) -> list[float] | None:
        """The threshold, None for the nominal one: that of a combination is not a number."""
        own = self.threshold == self.experiment.threshold
        return None if own else [self.threshold]

    def __call__(self, mass: Array) -> list[list[Interval]]:
        """Return the couplings at which the test is passed at each mass, ascending."""
        likelihood = self.experiment.spec.test == "likelihood"
        require_test(self.experiment, self.level.test, "test")
        if likelihood and self.level.flux_error is not None:
            raise SpecificationError(
                f"flux_error: given for {self.experiment.name}, whose likelihood has pulls of its "
                "own; leave it out"
            )
        boron = bool(self.level.flux_error) and not likelihood
        found = rates(self.experiment, self.setting, mass, self._thresholds, boron=boron)
        if not likelihood:
            return criteria.intervals(self.experiment, found, self.exposure, self.level)
        least = self.minimum[0]
        every, failed = profiled.intervals(found, self.exposure, self.level, least)
        self.failures.extend(
            f"mass {mass[place]:g} MeV, g {np.sqrt(x):g}: the fit does not converge"
            for place, x in failed
        )
        return [[(float(np.sqrt(a)), float(np.sqrt(b))) for a, b in one] for one in every]

    def as_dict(self) -> dict[str, Any]:
        """Return what was asked and found besides the intervals, for output."""
        asked = self.level.as_dict(self.experiment)
        asked |= {"threshold": self.threshold, "exposure": self.exposure}
        if self.experiment.spec.test == "likelihood":
            least, mass, coupling = self.minimum
            asked["chi2_minimum"] = least
            asked["minimum_at"] = f"{mass:.4g} MeV, g = {coupling:.4g}"
        if self.failures:
            asked["unconverged"] = "; ".join(self.failures[:20])
        return asked
