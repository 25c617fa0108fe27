"""Experiments at pion-decay-at-rest sources: their files, and what is read from them.

A bin is a range of energy, or of energy and of time after the proton pulse; bins are numbered with
the time running fastest. Nuisance parameters are unit pulls: each scales the signal, scales a
background, or deforms one of them by a tabulated fraction.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lmltgrid.complaints import TABLE_PATTERN
from lmltgrid.datafiles import parse_table
from lmltgrid.errors import SpecificationError
from lmltgrid.spec import NonNegative, Number, Positive, Spec, validate
from lmltgrid.tables.experiment import CommonSpec, Curve, EnergyScale, Experiment, Reader

Array = NDArray[np.float64]

TableName = Annotated[str, Field(pattern=TABLE_PATTERN)]
EDGES: Final = ("energy_low", "energy_high", "time_low", "time_high")
COMPONENTS: Final = ("prompt", "delayed")


class Beam(Spec):
    """The source: neutrinos of each flavor for a proton, protons a year, and the baseline."""

    neutrinos_per_proton: Positive
    protons_per_year: Annotated[Number, Field(gt=0, le=1e30)]
    baseline_m: Positive


class BinsSpec(Spec):
    """Edges of the bins in observed energy, and in time (microseconds) where it is used."""

    energy: Annotated[tuple[NonNegative, ...], Field(min_length=2, max_length=1000)]
    time: Annotated[tuple[Number, ...], Field(min_length=2, max_length=1000)] | None = None

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name, edges in (("energy", self.energy), ("time", self.time or (0.0, 1.0))):
            for left, right in pairwise(edges):
                if left >= right:
                    raise ValueError(
                        f"{name}: edges must ascend, but {left:g} is followed by {right:g}; sort "
                        "them"
                    )
        return self


class Photoelectrons(Spec):
    """Photoelectrons of a scintillator: a gamma distribution, and a logistic efficiency.

    With E in keV_ee, the mean is ``per_kevee`` E and the shape 1 + ``shape`` E; the efficiency at x
    photoelectrons is a/(1 + exp(-b (x - c))) + d, and not below zero.
    """

    per_kevee: Positive
    shape: Positive
    efficiency: Annotated[tuple[Number, ...], Field(min_length=4, max_length=4)]

    @model_validator(mode="after")
    def _a_fraction(self) -> Self:
        a, b, _, d = self.efficiency
        if not (a > 0.0 and b > 0.0 and 0.0 < a + d <= 1.0):
            raise ValueError(
                f"efficiency: a {a:g}, b {b:g}, d {d:g}; it must rise, to a + d between 0 and 1; "
                "correct it"
            )
        return self


class ResponseSpec(Spec):
    """From true recoils to observed energies.

    ``quenching``: coefficients of E, E^2, ... in the electron-equivalent energy, keV.
    ``resolution``: a in sigma = a sqrt(E), keV^(1/2), in the observed energy.
    ``efficiency``: table against the true recoil energy.
    """

    efficiency: TableName | None = None
    acceptance: Annotated[Number, Field(gt=0.0, le=1.0)] = 1.0
    quenching: Annotated[tuple[Number, ...], Field(min_length=1, max_length=8)] | None = None
    resolution: Positive | None = None
    photoelectrons: Photoelectrons | None = None

    @model_validator(mode="after")
    def _one_smearing(self) -> Self:
        if self.resolution is not None and self.photoelectrons is not None:
            raise ValueError("resolution and photoelectrons exclude each other; take one out")
        if self.photoelectrons is not None and self.quenching is None:
            raise ValueError("photoelectrons need quenching; add it")
        return self

    @property
    def energy_scale(self) -> EnergyScale:
        """What the energies of the bins are."""
        if self.photoelectrons is not None:
            return "photoelectrons"
        return "nuclear_recoil" if self.quenching is None else "electron_equivalent"


class PullSpec(Spec):
    """A unit pull on the signal, or on a background if one is named.

    Its size in every bin is ``fraction``, or the column ``shape`` of the table of shapes.
    """

    name: str
    background: str | None = None
    fraction: Positive | None = None
    shape: str | None = None

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.fraction is None) == (self.shape is None):
            raise ValueError("exactly one of fraction, shape is needed; leave the other out")
        return self


class LikelihoodSpec(Spec):
    """What is observed, and how it is compared.

    ``table`` has a row for each bin, with ``observed`` events and a column for each of
    ``backgrounds``. The variance of a Gaussian bin is what was observed, plus ``noise_scale`` times
    the column ``noise_background``, which need not be among the expected backgrounds.
    Without a table the Standard Model is the data; then ``noise_fraction`` of its counts is added
    to the variance, and the background is the same in each keV of the window.
    """

    kind: Literal["poisson", "gaussian"]
    table: TableName | None = None
    backgrounds: tuple[str, ...] = ()
    noise_background: str | None = None
    noise_scale: NonNegative = 1.0
    noise_fraction: NonNegative = 0.0
    background_counts_per_tonne_year_kev: NonNegative = 0.0
    shapes: TableName | None = None
    times: TableName | None = None
    standard_model_counts: Positive | None = None


class SpallationSpec(CommonSpec):
    """The content of the file of an experiment at a spallation source."""

    source: Literal["pi-DAR"]
    target: Literal["CsI", "Ar", "Ge", "Si", "Xe", "C3F8"]
    form_factor: Literal["lewin-smith", "ac22", "b22"] = "lewin-smith"
    test: Literal["likelihood"]
    beam: Beam
    bins: BinsSpec
    response: ResponseSpec
    likelihood: LikelihoodSpec
    pull: tuple[PullSpec, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        given, known = self.likelihood, self.likelihood.backgrounds
        if given.table is None and (known or given.noise_background is not None):
            raise ValueError("likelihood has backgrounds, but no table with their counts; add it")
        if given.background_counts_per_tonne_year_kev > 0.0:
            known = (*known, "background")
        for pull in self.pull:
            if pull.background is not None and pull.background not in known:
                raise ValueError(
                    f"pull {pull.name!r}: background {pull.background!r} is not one of "
                    f"{', '.join(known) or 'none'}; correct it"
                )
            if pull.shape is not None and self.likelihood.shapes is None:
                raise ValueError(f"pull {pull.name!r} has a shape; give likelihood.shapes")
        if (self.bins.time is None) != (self.likelihood.times is None):
            raise ValueError("bins.time and likelihood.times go together; add or remove one")
        if self.energy_scale != self.response.energy_scale:
            raise ValueError(
                f"energy_scale is {self.energy_scale!r}, but the response leads to "
                f"{self.response.energy_scale!r}; make them the same"
            )
        return self


@dataclass(frozen=True, eq=False)
class SpallationExperiment(Experiment):
    """An experiment at a spallation source.

    Attributes
    ----------
    efficiency
        Against the true recoil energy (keV); None for one.
    time : shape (component, time)
        Fractions of prompt and delayed neutrinos in each time bin.
    observed, noise : shape (bin,), or None
        Events, and what is added to the variance; None where the Standard Model is the data.
    backgrounds
        Expected counts in the experiment's exposure, shape (bin,), by name.
    shapes
        Fractions by which a pull deforms, shape (bin,), by name.
    """

    spec: SpallationSpec
    efficiency: Curve | None
    time: Array
    observed: Array | None
    noise: Array
    backgrounds: dict[str, Array]
    shapes: dict[str, Array]

    @property
    def pull_names(self) -> tuple[str, ...]:
        """Names of the pulls of a likelihood."""
        return tuple(pull.name for pull in self.spec.pull)

    @property
    def measured(self) -> bool:
        """Whether there are data, taken in the experiment's own exposure."""
        return self.observed is not None

    @property
    def form_factor(self) -> str:
        """Where the nuclear radii come from, see `lmltgrid.tables.nuclei.target`."""
        return self.spec.form_factor

    @property
    def energy_edges(self) -> Array:
        """Edges of the energy bins."""
        return np.array(self.spec.bins.energy)

    @property
    def n_bins(self) -> int:
        """Number of bins, energies times times."""
        return (len(self.spec.bins.energy) - 1) * int(self.time.shape[1])

    def as_dict(self) -> dict[str, Any]:
        """Return the experiment as plain data, for output."""
        return super().as_dict() | {
            "form_factor": self.spec.form_factor,
            "energy_edges": list(self.spec.bins.energy),
            "time_edges_us": None if self.spec.bins.time is None else list(self.spec.bins.time),
            "likelihood": self.spec.likelihood.kind,
            "measured": self.observed is not None,
            "backgrounds": list(self.backgrounds),
            "pulls": [pull.name for pull in self.spec.pull],
        }


def load(content: dict[str, Any], read: Reader) -> SpallationExperiment:
    """Return the experiment of a parsed file, with its tables."""
    spec = validate(SpallationSpec, content, read.where)
    given, n_energy = spec.likelihood, len(spec.bins.energy) - 1
    curve = None
    if spec.response.efficiency is not None:
        name = spec.response.efficiency
        curve = read.curve(name, "recoil_energy_kevnr", "efficiency", 1.0)
    time = _times(read, spec)
    n_bins = n_energy * time.shape[1]
    edges = EDGES[: 2 if spec.bins.time is None else 4]
    observed, noise, backgrounds = None, np.zeros(n_bins), {}
    if given.table is not None:
        counted = {name: None for name in (*given.backgrounds, given.noise_background) if name}
        table = _table(read, given.table, (*edges, "observed", *counted))
        table = _in_bins(table, spec.bins, f"{read.place}/{given.table}")
        observed = table["observed"]
        if given.noise_background is not None:
            noise = given.noise_scale * table[given.noise_background]
        backgrounds = {name: table[name] for name in given.backgrounds}
    shapes = {}
    if given.shapes is not None:
        names = tuple(pull.shape for pull in spec.pull if pull.shape is not None)
        table = _table(read, given.shapes, (*edges, *names), lowest=-np.inf)
        table = _in_bins(table, spec.bins, f"{read.place}/{given.shapes}")
        shapes = {name: table[name] for name in names}
    return SpallationExperiment(
        name=read.name,
        spec=spec,
        threshold=float(spec.bins.energy[0]),
        files=read.files,
        efficiency=curve,
        time=time,
        observed=observed,
        noise=noise,
        backgrounds=backgrounds,
        shapes=shapes,
    )


def _times(read: Reader, spec: SpallationSpec) -> Array:
    """Return the fractions of each component in the time bins, shape (component, time)."""
    file = spec.likelihood.times
    if file is None:
        return np.ones((2, 1))
    table = _table(read, file, ("time_low", "time_high", *COMPONENTS))
    _check_edges(table, "time", spec.bins.time or (), f"{read.place}/{file}")
    return np.stack([table[name] for name in COMPONENTS])


def _table(
    read: Reader, file: str, columns: tuple[str, ...], lowest: float = 0.0
) -> dict[str, Array]:
    """Return the columns of a table; counts and fractions are not below ``lowest``."""
    where = f"{read.place}/{file}"
    table = parse_table(read(file), columns, where)
    for name, values in table.items():
        wrong = np.flatnonzero(values < lowest)
        if wrong.size and name not in EDGES:
            row = int(wrong[0])
            raise SpecificationError(
                f"{where}, line {row + 2}: {name} is {values[row]:g}; it must not be negative; "
                "correct it"
            )
    return table


def _in_bins(table: dict[str, Array], bins: BinsSpec, where: str) -> dict[str, Array]:
    """Return the rows of the bins; an analysis may leave out the outer rows of a release.

    Raises
    ------
    SpecificationError
        The rows in the range of the bins are others, or in another order.
    """
    low, high = bins.energy[0] - 1e-9, bins.energy[-1] + 1e-9
    lines = np.flatnonzero((table["energy_low"] >= low) & (table["energy_high"] <= high))
    table = {name: values[lines] for name, values in table.items()}
    energies, times = np.array(bins.energy), np.array(bins.time or (0.0, 1.0))
    n_energy, n_time = energies.size - 1, times.size - 1
    rows = table["energy_low"].size
    if rows != n_energy * n_time:
        raise SpecificationError(
            f"{where}: {rows} rows; {n_energy} energies times {n_time} times are needed; correct it"
        )
    place = {"energy_low": np.repeat(energies[:-1], n_time)}
    place["energy_high"] = np.repeat(energies[1:], n_time)
    if bins.time is not None:
        place["time_low"] = np.tile(times[:-1], n_energy)
        place["time_high"] = np.tile(times[1:], n_energy)
    for name, expected in place.items():
        wrong = np.flatnonzero(np.abs(table[name] - expected) > 1e-9 * (1.0 + np.abs(expected)))
        if wrong.size:
            row = int(wrong[0])
            raise SpecificationError(
                f"{where}, line {lines[row] + 2}: {name} is {table[name][row]:g}, but the "
                f"experiment file says {expected[row]:g}; bins run over time first, then energy; "
                "sort the rows"
            )
    return table


def _check_edges(table: dict[str, Array], axis: str, edges: tuple[float, ...], where: str) -> None:
    expected = np.array(edges)
    low, high = table[f"{axis}_low"], table[f"{axis}_high"]
    if low.size != expected.size - 1 or not (
        np.allclose(low, expected[:-1], atol=1e-9) and np.allclose(high, expected[1:], atol=1e-9)
    ):
        raise SpecificationError(
            f"{where}: its {axis} bins are not those of the experiment file; make them the same"
        )
