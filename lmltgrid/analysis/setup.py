"""One question's setting: experiment, model, Sun, oscillation, conventions; all with defaults.

Every verb that answers a question resolves its arguments here, and echoes them with its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lmltgrid import basis, folding
from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.spec import Atomic, Couplings, Metallicity
from lmltgrid.tables import models
from lmltgrid.tables.combination import CombinedExperiment
from lmltgrid.tables.experiment import Experiment
from lmltgrid.tables.experiments import find
from lmltgrid.tables.models import Model
from lmltgrid.tables.oscillation import Oscillation, parse

Array = NDArray[np.float64]

DEFAULT_MODEL: Final = "Lmu-Ltau"
DEFAULT_METALLICITY: Final = "GS98"
DEFAULT_OSCILLATION: Final = "nufit60"
DEFAULT_ATOMIC: Final = "step+rrpa"
DEFAULT_COUPLINGS: Final = "msbar"


@dataclass(frozen=True)
class Conventions:
    """What an answer depends on besides the experiment and the point."""

    model: Model
    metallicity: Metallicity
    oscillation: Oscillation
    atomic: Atomic
    couplings: Couplings

    def as_dict(self) -> dict[str, Any]:
        """Return the conventions as plain data, to be echoed with every answer."""
        return {
            "model": self.model.name,
            "mixing": self.model.mixing_name,
            "metallicity": self.metallicity,
            "oscillation": self.oscillation.name,
            "atomic": self.atomic,
            "couplings": self.couplings,
            "physics_version": basis.PHYSICS_VERSION,
        }


def conventions(
    model: str | Model = DEFAULT_MODEL,
    *,
    metallicity: str = DEFAULT_METALLICITY,
    oscillation: str = DEFAULT_OSCILLATION,
    mixing: str | float | None = None,
    atomic: str = DEFAULT_ATOMIC,
    couplings: str = DEFAULT_COUPLINGS,
) -> Conventions:
    """Resolve names to what they stand for.

    Parameters
    ----------
    model
        Name in the catalog, charges as ``e=1,mu=-2,tau=1``, or a model.
    metallicity
        "GS98" or "AGSS09met".
    oscillation
        A preset, or parameters as ``preset,name=value,...``.
    mixing
        "loop", "amaral2021", "amaral2020" or eps/g; the model's own if left out.
    atomic
        "free", "step" or "step+rrpa".
    couplings
        "msbar", "low-energy" or "radiative" (AC22, without nu_tau).

    Raises
    ------
    UnknownNameError
        One of the names is not known.
    SpecificationError
        The mixing does not fit the charges.
    """
    for kind, given, known in (
        ("metallicity", metallicity, get_args(Metallicity)),
        ("atomic", atomic, get_args(Atomic)),
        ("couplings", couplings, get_args(Couplings)),
    ):
        if given not in known:
            raise unknown_name(kind, given, known, kind)
    resolved = models.parse(model, mixing) if isinstance(model, str) else model
    return Conventions(
        model=resolved,
        metallicity=metallicity,  # type: ignore[arg-type]
        oscillation=parse(oscillation),
        atomic=atomic,  # type: ignore[arg-type]
        couplings=couplings,  # type: ignore[arg-type]
    )


def find_experiment(name: str, folder: str | Path | None = None) -> Experiment:
    """Return an experiment of the catalog, or of a user's folder, or a combination ``a+b``."""
    return find(name, None if folder is None else Path(folder))


def own_values(
    experiment: Experiment, threshold: float | None, exposure: float | None
) -> tuple[float, float]:
    """Return threshold (keV) and exposure (tonne year), the experiment's own where left out."""
    own = experiment.spec.exposure_tonne_year if exposure is None else exposure
    axis([own], "exposure", unit="tonne year")
    return experiment.threshold if threshold is None else threshold, own


def require_own_exposure(experiment: Experiment, exposure: float) -> None:
    """Refuse another exposure than that in which something was measured, or than the members'.

    Raises
    ------
    SpecificationError
        The experiment measured in another exposure, or each of its members has its own.
    """
    own = experiment.spec.exposure_tonne_year
    if exposure == own:
        return
    if isinstance(experiment, CombinedExperiment):
        raise SpecificationError(
            f"exposure: {exposure:g} tonne year is given for {experiment.name}, whose members "
            "count in their own exposures; leave it out"
        )
    if experiment.measured:
        raise SpecificationError(
            f"exposure: {exposure:g} tonne year is given for {experiment.name}, which measured in "
            f"{own:g} tonne year; leave it out"
        )


def axis(values: ArrayLike, name: str, *, unit: str) -> Array:
    """Return positive, finite values as an array of one dimension, in the order given.

    Raises
    ------
    SpecificationError
        There are none, or one is not a positive finite number.
    """
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if array.ndim != 1 or array.size == 0:
        raise SpecificationError(f"{name}: no value is given; give at least one, in {unit}")
    wrong = array[~(np.isfinite(array) & (array > 0.0))]
    if wrong.size:
        raise SpecificationError(
            f"{name}: {wrong[0]:g} is given; it must be a positive finite number of {unit}; "
            "correct it"
        )
    return array


def ascending(values: ArrayLike, name: str, *, unit: str) -> Array:
    """Return positive, finite, ascending values: an axis of a plane.

    Raises
    ------
    SpecificationError
        One is not a positive finite number, there is but one, or they do not ascend.
    """
    array = axis(values, name, unit=unit)
    if array.size < 2:
        raise SpecificationError(f"{name}: one value is given; at least two are needed; add some")
    wrong = np.flatnonzero(np.diff(array) <= 0.0)
    if wrong.size:
        before, after = array[wrong[0] : wrong[0] + 2]
        raise SpecificationError(
            f"{name}: the values do not ascend, {before:g} is followed by {after:g}; ascending "
            "ones are needed, each once; sort them"
        )
    return array


@dataclass(frozen=True, eq=False)
class Rates:
    """Expected counts per tonne year of one experiment and model.

    Attributes
    ----------
    coefficients : shape (threshold, bin, order, mass)
        In powers of x = g^2; order 0 is the Standard Model.
    background : shape (threshold, bin)
    window : shape (threshold, bin, 2), keV
    boron : shape as that of coefficients, or None
        The part of 8B neutrinos, where its flux is uncertain.
    moments
        Where they come from, if the experiment has a likelihood.
    """

    coefficients: Array
    background: Array
    window: Array
    boron: Array | None = None
    moments: xr.Dataset | None = None

    @property
    def null(self) -> Array:
        """Counts without new physics, background included, summed over bins; (threshold,)."""
        total: Array = self.coefficients[:, :, 0, 0].sum(axis=1) + self.background.sum(axis=1)
        return total

    @property
    def boron_null(self) -> Array:
        """Counts of 8B neutrinos without new physics, summed over bins, shape (threshold,)."""
        assert self.boron is not None  # noqa: S101 - asked for with the flux error
        total: Array = self.boron[:, :, 0, 0].sum(axis=1)
        return total

    @property
    def quadratic(self) -> Array:
        """Orders 1 and 2 summed over bins, shape (threshold, 2, mass)."""
        total: Array = self.coefficients[:, :, 1:].sum(axis=1)
        return total

    def signal(self, coupling: Array) -> Array:
        """Return the change of the counts, shape (threshold, mass, coupling)."""
        x = coupling**2
        c1, c2 = self.quadratic[:, 0, :, None], self.quadratic[:, 1, :, None]
        total: Array = x * (c1 + x * c2)
        return total


def rates(
    experiment: Experiment,
    setting: Conventions,
    mass: Array,
    threshold: Sequence[float] | None,
    *,
    boron: bool = False,
) -> Rates:
    """Return the rates of one experiment at some masses (MeV) and thresholds (keV).

    ``boron`` asks for the part of 8B neutrinos as well.

    Raises
    ------
    SpecificationError
        A threshold is below the validity of the detector model.
    """
    values = None if threshold is None else axis(threshold, "threshold", unit="keV")
    moments = basis.compute(
        experiment,
        mass=mass,
        threshold=values,
        metallicity=(setting.metallicity,),
        oscillation=(setting.oscillation,),
        atomic=setting.atomic,
        boron=boron,
    )
    return from_moments(moments, setting)


def from_moments(moments: xr.Dataset, setting: Conventions) -> Rates:
    """Return the rates of one model from stored moments."""
    sun = {"metallicity": [setting.metallicity], "oscillation": [setting.oscillation.name]}
    chosen = moments.sel(sun)

    def part(name: str) -> Array:
        found = basis.coefficients(chosen, setting.model, setting.couplings, part=name)
        values: Array = found.values[0, 0]
        return values

    apart = any(str(name).endswith(folding.BORON) for name in moments)
    return Rates(
        part(""),
        moments["background"].values,
        moments["window"].values,
        part(folding.BORON) if apart else None,
        moments if "observed" in moments else None,
    )
