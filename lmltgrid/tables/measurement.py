"""What experiments measured: a rate, a flux of 8B neutrinos, or a number of events.

Each kind is a table of an experiment file and belongs to one statistic.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.stats import chi2

from lmltgrid.errors import SpecificationError
from lmltgrid.spec import NonNegative, Number, Positive, Spec, Whole, validate


class RateMeasurement(Spec):
    """A measured rate with its errors, and that of the prediction as a fraction of it (P20)."""

    rate_per_tonne_year: Positive
    error_per_tonne_year: Positive
    theory_fraction: NonNegative
    background_holds_neutrinos: bool = False

    def pull(
        self,
        neutrinos: float,
        background: float,
        boron: float = 0.0,
        flux_error: float | None = None,
    ) -> tuple[float, float]:
        """Return measured less predicted rate, and the error of the difference.

        Parameters
        ----------
        neutrinos, background
            Predicted rates per tonne year; if the background holds the neutrinos of the Standard
            Model already, they are not counted again.
        boron
            The part of 8B neutrinos in ``neutrinos``.
        flux_error
            Fractional error of the 8B flux, that comes in addition; None for none.
        """
        predicted = background if self.background_holds_neutrinos else neutrinos + background
        theory = np.hypot(self.theory_fraction * predicted, (flux_error or 0.0) * boron)
        error = np.hypot(self.error_per_tonne_year, theory)
        return self.rate_per_tonne_year - predicted, float(error)


class FluxMeasurement(Spec):
    """A flux of 8B neutrinos that an experiment inferred from its recoils.

    The experiment took the Standard Model for granted. Its flux over the reference flux, to which
    the prediction of the Standard Model belongs, is therefore what it measured of the ratio
    R = N(g)/N_SM of recoils with and without new physics (LX22 eq. 2.19); the flux of the solar
    model that is chosen cancels in R.

    An upper limit is taken as a Gaussian measurement of R that is centered at the Standard Model,
    R = 1. Its error is such that Delta chi2 at R = upper limit/reference is the quantile of the
    chi-square with one degree of freedom at the published confidence level: with one degree of
    freedom the published bound is recovered at its own level, and other levels follow by Gaussian
    scaling.

    Attributes
    ----------
    reference_flux_per_cm2_s
        Flux at which R is one.
    flux_per_cm2_s, error_per_cm2_s
        The measurement, or
    upper_limit_per_cm2_s, cl
        the upper limit and its confidence level.
    theory_fraction
        Error of the reference flux, and of what else scales the prediction, as a fraction of it.
    """

    reference_flux_per_cm2_s: Positive
    flux_per_cm2_s: NonNegative | None = None
    error_per_cm2_s: Positive | None = None
    theory_fraction: NonNegative = 0.0
    upper_limit_per_cm2_s: Positive | None = None
    cl: Annotated[Number, Field(gt=0.5, lt=1.0)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        measured = (self.flux_per_cm2_s is None, self.error_per_cm2_s is None)
        limited = (self.upper_limit_per_cm2_s is None, self.cl is None)
        if {measured, limited} != {(True, True), (False, False)}:
            raise ValueError(
                "either flux_per_cm2_s and error_per_cm2_s, or upper_limit_per_cm2_s and cl, are "
                "needed; give one pair and take out the other"
            )
        if self.upper_limit_per_cm2_s is None:
            return self
        if self.theory_fraction > 0.0:
            raise ValueError(
                "theory_fraction is given with an upper limit, which would not be recovered at "
                "its own confidence level; take it out"
            )
        if self.upper_limit_per_cm2_s <= self.reference_flux_per_cm2_s:
            raise ValueError(
                f"upper_limit_per_cm2_s: given {self.upper_limit_per_cm2_s:g}; it must lie above "
                f"reference_flux_per_cm2_s, {self.reference_flux_per_cm2_s:g}; correct it"
            )
        return self

    @property
    def ratio(self) -> tuple[float, float]:
        """Measured R = N(g)/N_SM, and the error of its difference from the prediction."""
        reference = self.reference_flux_per_cm2_s
        if self.upper_limit_per_cm2_s is not None and self.cl is not None:
            distance = self.upper_limit_per_cm2_s / reference - 1.0
            return 1.0, float(distance / np.sqrt(chi2.ppf(self.cl, 1)))
        assert self.flux_per_cm2_s is not None  # noqa: S101 - validated: one form is given
        assert self.error_per_cm2_s is not None  # noqa: S101
        error = np.hypot(self.error_per_cm2_s / reference, self.theory_fraction)
        return self.flux_per_cm2_s / reference, float(error)

    def pull(
        self,
        neutrinos: float,
        background: float,  # noqa: ARG002
        boron: float = 0.0,  # noqa: ARG002
        flux_error: float | None = None,
    ) -> tuple[float, float]:
        """Return measured less predicted rate, and the error of the difference.

        Parameters
        ----------
        neutrinos
            Predicted rate of the Standard Model per tonne year, at the flux of any solar model.
        background, boron
            Not used: the experiment subtracted the first, and all its neutrinos are of 8B.
        flux_error
            Replaces ``theory_fraction``, unless the error is fixed by an upper limit.
        """
        fixed = flux_error is None or self.upper_limit_per_cm2_s is not None
        own = self if fixed else self.model_copy(update={"theory_fraction": flux_error})
        ratio, error = own.ratio
        return (ratio - 1.0) * neutrinos, error * neutrinos


class CountMeasurement(Spec):
    """Observed events and expected background, in counts at the experiment's own exposure.

    Attributes
    ----------
    flux_fraction, response_fraction
        Errors of the expected neutrinos as fractions of them: that of the 8B flux, and that of how
        the detector responds to their recoils.
    """

    observed: Annotated[Whole, Field(ge=0, le=10**9)]
    background_counts: NonNegative
    background_error_counts: NonNegative
    flux_fraction: NonNegative
    response_fraction: NonNegative = 0.0

    def fraction(self, flux_error: float | None = None) -> float:
        """Return the error of the expected neutrinos; ``flux_error`` replaces that of the flux."""
        flux = self.flux_fraction if flux_error is None else flux_error
        return float(np.hypot(flux, self.response_fraction))


PulledMeasurement = RateMeasurement | FluxMeasurement  # those with the interface `pull`
Measurement = PulledMeasurement | CountMeasurement

KINDS: Final[dict[str, type[Measurement]]] = {
    "rate": RateMeasurement,
    "flux": FluxMeasurement,
    "counts": CountMeasurement,
}


TABLES: Final = {  # of an experiment file: what a test compares with
    "rate": "measured_rate",
    "flux": "measured_flux",
    "counts": "measured_counts",
}


def require(test: str, given: Sequence[str], background: bool, bins: int) -> None:
    """Refuse measurements that a test does not compare with, and what does not go with them.

    Parameters
    ----------
    test
        The test of an experiment.
    given
        The tables of measurements in its file.
    background
        Whether the file gives a background.
    bins
        Bins of its window.

    Raises
    ------
    ValueError
        They do not fit; the message is for the author of the file.
    """
    needed = [TABLES[test]] if test in TABLES else []
    if list(given) != needed:
        want = f"[{needed[0]}]" if needed else "no measurement"
        found = " and ".join(f"[{name}]" for name in given) or "none"
        raise ValueError(
            f"test {test!r} goes with {want}, and {found} is given; change the test, or the table"
        )
    if test in ("flux", "counts") and background:
        raise ValueError(
            f"[[background]] is given with test {test!r}, whose measurement accounts for the "
            "background; take it out"
        )
    if test == "counts" and bins > 1:
        raise ValueError("window.log_bins: test 'counts' is about one number; take log_bins out")


def as_plain(measurement: Measurement | None) -> dict[str, Any] | None:
    """Return a measurement as plain data: its kind, and the keys that are given."""
    if measurement is None:
        return None
    kind = next(name for name, form in KINDS.items() if isinstance(measurement, form))
    return {"kind": kind, **measurement.model_dump(exclude_none=True)}


def to_json(measurement: Measurement) -> str:
    """Return a measurement as JSON, to be read by `from_json`."""
    return json.dumps(as_plain(measurement))


def from_json(text: str, where: str = "measurement") -> Measurement:
    """Return the measurement that `to_json` wrote.

    Parameters
    ----------
    where
        Opens the message if there is no measurement in ``text``.

    Raises
    ------
    SpecificationError
        The text is not that of a measurement.
    """
    try:
        content = dict(json.loads(text))
        form = KINDS[content.pop("kind")]
    except (ValueError, TypeError, KeyError):
        raise SpecificationError(
            f"{where}: no measurement; JSON with a kind, one of {', '.join(KINDS)}, is needed; "
            "make it anew"
        ) from None
    return validate(form, content, where)
