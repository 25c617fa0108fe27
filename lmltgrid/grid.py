"""From a specification to the dense grid: the plan, its chunks, and what fills one.

A chunk holds the (mass, coupling) plane of one model, Sun and set of oscillation parameters, at
some thresholds and exposures. `lmltgrid.state.evaluate` fills it; it is mapped over the chunks of a
scan, and the virtual grid calls it on demand, so both give the same numbers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid import basis, datafiles, minima, toy_chunks, toys
from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.plan import require_few
from lmltgrid.spec import ScanSpec, read_spec
from lmltgrid.tables import models, oscillation, solar
from lmltgrid.tables.experiment import Experiment
from lmltgrid.tables.experiments import find
from lmltgrid.variables import (
    COORDINATES,
    GRID_DIMS,
    PROBABILITY,
)

Array = NDArray[np.float64]

MB: Final = 2**20
_MOMENT_TERMS: Final = 3 * (31 + 25)  # basis functions times flavors, both channels


@dataclass(frozen=True)
class GridPlan:
    """A scan with every name resolved and every axis checked.

    Attributes
    ----------
    spec
        What the user wrote.
    models, oscillations, experiments
        What the names stand for.
    where
        Opens messages: the file the specification came from.
    """

    spec: ScanSpec
    models: tuple[models.Model, ...]
    oscillations: tuple[oscillation.Oscillation, ...]
    experiments: tuple[Experiment, ...]
    where: str

    def thresholds(self, experiment: Experiment) -> Array:
        """Return the threshold axis of one experiment, keV in its own scale."""
        if self.spec.threshold is None:
            return np.array([experiment.threshold])
        return self.spec.threshold.points()

    def exposures(self, experiment: Experiment) -> Array:
        """Return the exposure axis of one experiment, tonne year."""
        if self.spec.exposure is None:
            return np.array([experiment.spec.exposure_tonne_year])
        return self.spec.exposure.points()

    def coordinates(self, experiment: Experiment) -> dict[str, NDArray[Any]]:
        """Return the axes of one experiment's grid, by dimension."""
        return {
            "model": np.array([model.name for model in self.models]),
            "metallicity": np.array(self.spec.metallicity),
            "oscillation": np.array([one.name for one in self.oscillations]),
            "threshold": self.thresholds(experiment),
            "exposure": self.exposures(experiment),
            "mass": self.spec.mass.points(),
            "coupling": self.spec.coupling.points(),
        }

    def shape(self, experiment: Experiment) -> tuple[int, ...]:
        """Return the shape of one experiment's grid, in the order of `GRID_DIMS`."""
        axes = self.coordinates(experiment)
        return tuple(axes[dim].size for dim in GRID_DIMS)

    def chunks(self, experiment: Experiment) -> tuple[int, ...]:
        """Return the shape of a chunk: whole planes, as many as fit the wanted size."""
        *_, n_threshold, n_exposure, n_mass, n_coupling = self.shape(experiment)
        wanted = max(int(self.spec.run.chunk_mb * MB / np.dtype(self.spec.dtype).itemsize), 1)
        mass = min(n_mass, max(wanted // n_coupling, 1))
        exposure = min(n_exposure, max(wanted // (mass * n_coupling), 1))
        threshold = min(n_threshold, max(wanted // (mass * n_coupling * exposure), 1))
        return (1, 1, 1, threshold, exposure, mass, n_coupling)

    def units(self, experiment: Experiment) -> int:
        """Return the number of chunks of one experiment's grid, pseudo-experiments included."""
        shape = self.shape(experiment)
        kinds = [self.chunks(experiment)]
        if self.spec.toys is not None:
            kinds.append(self.toy_chunks(experiment))
        return sum(
            prod(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
            for chunks in kinds
        )

    def toy_coordinates(self, experiment: Experiment) -> dict[str, NDArray[Any]]:
        """Return the axes of one experiment's pseudo-experiments: those of its grid, and more."""
        assert self.spec.toys is not None  # noqa: S101 - asked for
        return self.coordinates(experiment) | {PROBABILITY: toys.probabilities(self.spec.toys)}

    def toy_chunks(self, experiment: Experiment) -> tuple[int, ...]:
        """Return the shape of a chunk of pseudo-experiments, in the order of `GRID_DIMS`."""
        return toy_chunks.chunks(experiment, self.spec, self.shape(experiment))

    @property
    def points(self) -> int:
        """Grid points of all experiments."""
        return sum(prod(self.shape(experiment)) for experiment in self.experiments)

    @property
    def moments_nbytes(self) -> int:
        """Bytes of the moments of the largest experiment."""
        spec = self.spec
        suns = len(spec.metallicity) * len(self.oscillations)
        rows = max(self.thresholds(e).size for e in self.experiments) * suns
        rows *= 2 if spec.statistic.flux_error else 1
        return rows * spec.mass.points().size * _MOMENT_TERMS * 8

    @cached_property
    def data_files(self) -> dict[str, str]:
        """SHA-256 of every data file that decides the numbers, by name."""
        names = {models.MODELS_FILE, *oscillation.data_files()}
        for metallicity in self.spec.metallicity:
            names.update(solar.data_files(metallicity))
        files: dict[str, str] = {}
        for experiment in self.experiments:
            names |= experiment.data_files(self.spec.atomic)
            files |= {f"experiments/{name}": digest for name, digest in experiment.files.items()}
        files |= {name: datafiles.manifest()[name]["sha256"] for name in names}
        return dict(sorted(files.items()))

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that decides the numbers: specification, data, physics version."""
        content = {
            "specification": self.spec.identity(),
            "models": [model.as_dict() for model in self.models],
            "oscillation": [one.model_dump(mode="json") for one in self.oscillations],
            "data": self.data_files,
            "physics": basis.PHYSICS_VERSION,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def make_plan(spec: ScanSpec, *, experiments: Path | None = None, where: str = "scan") -> GridPlan:
    """Resolve the names of a specification and check its axes against the experiments.

    Parameters
    ----------
    spec
        The specification.
    experiments
        Folder of a user's own experiments.
    where
        Opens messages.

    Raises
    ------
    SpecificationError
        A name is unknown, or a threshold is not allowed.
    MachineError
        The moments would not fit in memory.
    """
    known = models.catalog()
    chosen = [models.find(n, spec.mixing, f"{where}: models") for n in spec.models]
    for index, entry in enumerate(spec.model):
        place = f"{where}: model.{index}"
        if entry.name in known:
            raise SpecificationError(
                f"{place}.name: {entry.name!r} is the name of a catalog model; choose another"
            )
        chosen.append(models.from_spec(entry, spec.mixing, place))
    plan = GridPlan(
        spec=spec,
        models=tuple(chosen),
        oscillations=_oscillations(spec, f"{where}: oscillation"),
        experiments=tuple(find(n, experiments, f"{where}: experiments") for n in spec.experiments),
        where=where,
    )
    for experiment in plan.experiments:
        basis.check_thresholds(experiment, plan.thresholds(experiment), f"{where}: threshold")
        if spec.statistic.test == "discovery" and experiment.spec.test != "counting":
            raise SpecificationError(
                f"{where}: statistic.test: 'discovery' is given with {experiment.name}, whose "
                f"statistic is {experiment.spec.test}; only counting experiments discover; give "
                "'exclusion'"
            )
        if experiment.measured and spec.exposure is not None:
            raise SpecificationError(
                f"{where}: exposure: an axis is given with {experiment.name}, whose exposure is "
                "fixed; take the axis out, or the experiment into another scan"
            )
        if spec.statistic.flux_error is not None and not experiment.solar:
            raise SpecificationError(
                f"{where}: statistic.flux_error: given with {experiment.name}, which sees no solar "
                "neutrinos; leave it out"
            )
        if any(m.kind != "vector" for m in plan.models) and experiment.vectors_alone:
            raise SpecificationError(
                f"{where}: models: a scalar or axial mediator is given with {experiment.name}, "
                "which sees more than nuclear recoils; they are implemented for nuclei; take it out"
            )
        if spec.couplings == "radiative" and experiment.solar:
            raise SpecificationError(
                f"{where}: couplings: 'radiative' is given with {experiment.name}; AC22 has none "
                "for nu_tau of the Sun; choose another, or take the experiment out"
            )
    require_few(sum(plan.units(experiment) for experiment in plan.experiments), where)
    _check_memory(plan)
    return plan


def _oscillations(spec: ScanSpec, where: str) -> tuple[oscillation.Oscillation, ...]:
    every = tuple(oscillation.parse(text, where) for text in spec.oscillation)
    names = [one.name for one in every]
    for text, name in zip(spec.oscillation, names, strict=True):
        if names.count(name) > 1:
            raise SpecificationError(f"{where}: {text!r} is given twice as {name!r}; keep one")
    return every


def load_spec(path: str | Path, *, experiments: Path | None = None) -> ScanSpec:
    """Return the scan described by a TOML file, with form, names and axes checked.

    Raises
    ------
    SpecificationError
        The file says something that is not allowed; the message has file and key.
    """
    spec = read_spec(Path(path))
    make_plan(spec, experiments=experiments, where=str(path))
    return spec


def _check_memory(plan: GridPlan) -> None:
    import psutil

    available = psutil.virtual_memory().available
    needed = 3 * plan.moments_nbytes  # the values, and two copies while they are labeled and saved
    if needed > available:
        raise MachineError(
            f"{plan.where}: the moments need {needed / MB:.0f} MB of memory, {available / MB:.0f} "
            "MB are free; take fewer masses or thresholds, or a larger machine"
        )


def compute_moments(plan: GridPlan) -> dict[str, xr.Dataset]:
    """Return the basis moments of every experiment of a plan, by its name.

    Where there are data and a likelihood, its minimum over the whole plane comes as the attribute
    ``least``, JSON of shape (model, metallicity, oscillation).
    """
    out = {}
    for experiment in plan.experiments:
        found = basis.compute(
            experiment,
            mass=plan.spec.mass.points(),
            threshold=plan.thresholds(experiment),
            metallicity=plan.spec.metallicity,
            oscillation=plan.oscillations,
            atomic=plan.spec.atomic,
            boron=bool(plan.spec.statistic.flux_error),
            where=f"{plan.where}: threshold",
        )
        sun = {"threshold": plan.thresholds(experiment), "metallicity": plan.spec.metallicity}
        sun["oscillation"] = plan.oscillations
        found = found.assign(toys.free_moments(experiment, plan.models, plan.spec, **sun))
        if experiment.spec.test == "likelihood" and np.isfinite(found["observed"].values).any():
            found.attrs["least"] = json.dumps(_minima(plan, experiment))
        out[experiment.name] = found
    return out


def _minima(plan: GridPlan, experiment: Experiment) -> list[list[list[float]]]:
    spec = plan.spec

    def one(model: models.Model, metallicity: str, own: oscillation.Oscillation) -> float:
        return minima.minimum(
            experiment,
            model,
            couplings=spec.couplings,
            metallicity=metallicity,
            oscillation=own,
            atomic=spec.atomic,
            exposure=experiment.spec.exposure_tonne_year,
        )[0]

    return [
        [[one(model, sun, own) for own in plan.oscillations] for sun in spec.metallicity]
        for model in plan.models
    ]


def attributes(plan: GridPlan, experiment: Experiment) -> dict[str, Any]:
    """Return the attributes of one experiment's grid: what the numbers mean and come from."""
    spec = plan.spec
    return {
        "title": spec.title or experiment.spec.title,
        "experiment": experiment.name,
        "references": experiment.spec.reference,
        "models": json.dumps([model.as_dict() for model in plan.models]),
        "couplings": spec.couplings,
        "atomic": spec.atomic,
        "test": spec.statistic.test,
        "statistic": experiment.spec.test,
        "data": experiment.data,
        **_of_fits(experiment),
        **_flux_error(spec),
        **experiment.warning,
        "sided": spec.statistic.sided if experiment.spec.test == "counting" else "not applicable",
        "energy_scale": experiment.spec.energy_scale,
        "physics_version": basis.PHYSICS_VERSION,
    }


def toy_attributes(plan: GridPlan, experiment: Experiment) -> dict[str, Any]:
    """Return the attributes of one experiment's pseudo-experiments."""
    asked = plan.spec.toys
    assert asked is not None  # noqa: S101 - asked for
    known = attributes(plan, experiment)
    for key in ("test", "sided", "nan"):  # the likelihood ratio has no sides
        known.pop(key, None)
    return known | {
        "toys": asked.number,
        "seed": asked.seed,
        "levels": list(asked.levels),
        "parameters": asked.parameters,
    }


def _of_fits(experiment: Experiment) -> dict[str, str]:
    """Return what a reader of a likelihood's grid must know."""
    if experiment.spec.test != "likelihood":
        return {}
    return {"nan": "the fit over the pulls does not converge at these masses and couplings"}


def _flux_error(spec: ScanSpec) -> dict[str, float]:
    given = spec.statistic.flux_error
    return {} if given is None else {"flux_error": given}


def coordinate_attributes(experiment: Experiment) -> dict[str, dict[str, str]]:
    """Return units and meaning of each axis of one experiment's grid."""
    known = {name: dict(attrs) for name, attrs in COORDINATES.items()}
    known["threshold"] |= {
        "units": experiment.axis_unit,
        "energy_scale": experiment.spec.energy_scale,
    }
    return known
