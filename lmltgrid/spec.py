"""What a user may write: frozen, validated specifications of scans, models and axes.

A specification is data. It is read from TOML, checked completely before anything is computed, and
every refusal is one sentence: where, what was given, what is allowed, what to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from lmltgrid.complaints import MODEL_PATTERN, NAME_PATTERN, SUM_PATTERN, sentence, shown
from lmltgrid.datafiles import parse_toml, read_bounded
from lmltgrid.errors import SpecificationError

MAX_AXIS = 100_000  # points on one axis
MAX_SPEC_BYTES = 2**20
_BEYOND = 5  # pseudo-experiments beyond a critical value, which is known to 45 % of them then

Metallicity = Literal["GS98", "AGSS09met"]
Atomic = Literal["free", "step", "step+rrpa"]
Couplings = Literal["msbar", "low-energy", "radiative"]
MixingPreset = Literal["loop", "amaral2021", "amaral2020"]


def _a_number(value: Any) -> Any:
    """Refuse what pydantic would turn into a number: text, and true or false."""
    if isinstance(value, bool):
        raise ValueError(f"given {shown(value)}; a number is needed, not true or false; correct it")  # noqa: TRY004
    if isinstance(value, str):
        raise ValueError(  # noqa: TRY004
            f"given {shown(value)}, which is text; a number is needed, without quotes; correct it"
        )
    return value


Number = Annotated[float, BeforeValidator(_a_number)]
Positive = Annotated[Number, Field(gt=0, le=1e15)]
NonNegative = Annotated[Number, Field(ge=0)]
Whole = Annotated[int, BeforeValidator(_a_number)]
FluxError = Annotated[Number, Field(ge=0, le=1)]
Mixing = MixingPreset | Number
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=NAME_PATTERN)]
# a name, or a sum of several, each with a threshold if need be: a+b@1
Experiments = Annotated[str, Field(min_length=1, max_length=200, pattern=SUM_PATTERN)]
Oscillation = Annotated[str, Field(min_length=1, max_length=300)]
ModelName = Annotated[str, Field(min_length=1, max_length=200, pattern=MODEL_PATTERN)]


class Spec(BaseModel):
    """Base of all specifications: immutable, and deaf to misspelt keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Range(Spec):
    """A range of an axis, both ends included."""

    start: Positive
    stop: Positive
    num: Annotated[Whole, Field(ge=2, le=MAX_AXIS)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start >= self.stop:
            raise ValueError(f"start {self.start:g} must lie below stop {self.stop:g}; swap them")
        return self


class Axis(Spec):
    """One axis of a scan: exactly one of ``log``, ``linear``, ``values``."""

    log: Range | None = None
    linear: Range | None = None
    values: Annotated[tuple[Positive, ...], Field(max_length=MAX_AXIS)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [name for name in ("log", "linear", "values") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of log, linear, values is needed, given: {', '.join(given) or 'none'}"
            )
        if self.values is not None:
            if not self.values:
                raise ValueError("the axis is empty; give at least one value")
            for left, right in zip(self.values, self.values[1:], strict=False):
                if left >= right:
                    raise ValueError(
                        f"values must ascend, but {left:g} is followed by {right:g}; sort them"
                    )
        return self

    def points(self) -> NDArray[np.float64]:
        """Return the points of the axis, ascending."""
        if self.values is not None:
            return np.array(self.values, dtype=np.float64)
        if self.log is not None:
            return np.geomspace(self.log.start, self.log.stop, self.log.num)
        assert self.linear is not None  # noqa: S101 - the validator leaves no other case
        return np.linspace(self.linear.start, self.linear.stop, self.linear.num)


def _fraction(value: Any) -> Any:
    if isinstance(value, str):
        above, slash, below = value.partition("/")
        try:
            return float(above) / float(below) if slash else float(above)
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"{value!r} is not a number; write it as 1, -0.5 or '1/3'") from None
    return _a_number(value)


_CHARGE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "number", "minimum": -1e6, "maximum": 1e6},
        {"type": "string", "description": "a fraction such as '1/3', or a number"},
    ]
}
Charge = Annotated[
    float,
    BeforeValidator(_fraction),
    Field(ge=-1e6, le=1e6),
    WithJsonSchema(_CHARGE_SCHEMA, mode="validation"),
]


class Charges(Spec):
    """Vector charges Q_f of the fermions under the new symmetry (AC22 Table 1)."""

    u: Charge = 0.0
    d: Charge = 0.0
    e: Charge = 0.0
    mu: Charge = 0.0
    tau: Charge = 0.0

    @model_validator(mode="after")
    def _not_all_zero(self) -> Self:
        if not any((self.u, self.d, self.e, self.mu, self.tau)):
            raise ValueError("all charges are zero; give at least one of u, d, e, mu, tau")
        return self


class ModelSpec(Spec):
    """A vector mediator that a user defines, or a catalog model with another mixing.

    ``charges`` may be left out when ``base`` names the catalog model to take them from.
    """

    name: ModelName
    base: Name | None = None
    charges: Charges | None = None
    mixing: Mixing | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.base is None) == (self.charges is None):
            raise ValueError("exactly one of base, charges is needed; leave the other one out")
        return self


class StatisticSpec(Spec):
    """Which test statistic the grid holds.

    ``discovery``: significance at which the Standard Model is rejected if the model is true.
    ``exclusion``: significance at which the model is rejected if the Standard Model is true.

    ``flux_error``: fractional error of the 8B flux, profiled; if left out, that of the experiment's
    own measurement, else none.
    """

    test: Literal["discovery", "exclusion"] = "discovery"
    sided: Literal["one", "two"] = "one"
    flux_error: FluxError | None = None


class ToysSpec(Spec):
    """Pseudo-experiments that are drawn at every point of the grid.

    ``number``: how many, at each point.
    ``seed``: chooses the random numbers; the same seed gives the same ones, however a scan runs.
    ``levels``: confidence levels of the calibrated regions.
    ``parameters``: what is fitted to each: 1, the coupling at the mass of the point; 2, both.
    """

    number: Annotated[Whole, Field(ge=100, le=10_000_000)] = 1000
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] = 1
    levels: Annotated[
        tuple[Annotated[Number, Field(gt=0, lt=1)], ...], Field(min_length=1, max_length=20)
    ] = (0.68, 0.90, 0.95)
    parameters: Annotated[Literal[1, 2], BeforeValidator(_a_number)] = 1

    @model_validator(mode="after")
    def _enough(self) -> Self:
        for left, right in zip(self.levels, self.levels[1:], strict=False):
            if left >= right:
                raise ValueError(
                    f"levels must ascend, but {left:g} is followed by {right:g}; sort them"
                )
        beyond = self.number * (1.0 - self.levels[-1])
        if beyond < _BEYOND:
            raise ValueError(
                f"{self.number} pseudo-experiments leave {beyond:.3g} beyond the level "
                f"{self.levels[-1]:g}; at least {_BEYOND} are needed: raise number, or lower the "
                "level"
            )
        return self


class RunSpec(Spec):
    """Where and how a scan runs; not part of its identity."""

    cluster: Literal["in-process", "local"] = "in-process"
    workers: Annotated[Whole, Field(ge=1, le=4096)] | None = None
    memory_mb: Annotated[Whole, Field(ge=400)] = 1000
    chunk_mb: Annotated[Number, Field(ge=0.01, le=64)] = 6.0
    deadline_s: Annotated[Number, Field(ge=1, le=1e7)] = 600.0
    store: str | None = None


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class ScanSpec(Spec):
    """One scan: what is evaluated, and on which axes."""

    version: Annotated[Literal[1], BeforeValidator(_a_number)] = 1
    title: Annotated[str, Field(max_length=200)] = ""
    models: tuple[Name, ...] = ()
    model: tuple[ModelSpec, ...] = ()
    experiments: Annotated[tuple[Experiments, ...], Field(min_length=1)]
    metallicity: Annotated[tuple[Metallicity, ...], Field(min_length=1)] = ("GS98",)
    oscillation: Annotated[
        tuple[Oscillation, ...],
        Field(min_length=1),
        BeforeValidator(_as_list, json_schema_input_type=Oscillation | tuple[Oscillation, ...]),
    ] = ("nufit60",)
    mixing: Mixing | None = None
    atomic: Atomic = "step+rrpa"
    couplings: Couplings = "msbar"
    mass: Axis
    coupling: Axis
    exposure: Axis | None = None
    threshold: Axis | None = None
    statistic: StatisticSpec = StatisticSpec()
    dtype: Literal["float32", "float64"] = "float32"
    toys: ToysSpec | None = None
    run: RunSpec = RunSpec()

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [*self.models, *(model.name for model in self.model)]
        if not names:
            raise ValueError("no model is named; fill models, or add a [[model]] table")
        for kind, given in (
            ("models", names),
            ("experiments", self.experiments),
            ("metallicity", self.metallicity),
        ):
            twice = sorted({name for name in given if list(given).count(name) > 1})
            if twice:
                raise ValueError(f"{kind}: {twice[0]!r} is given twice; keep one")
        return self

    def identity(self) -> dict[str, Any]:
        """Return what decides the numbers: everything but ``run`` and the title."""
        return self.model_dump(mode="json", exclude={"run", "title", *self._absent()})

    def as_json(self) -> str:
        """Return everything, as `read_spec` would read it again."""
        return self.model_dump_json(exclude=self._absent())

    def _absent(self) -> set[str]:
        """Return what is left out where nothing is said: earlier versions did not know it."""
        return {"toys"} if self.toys is None else set()


S = TypeVar("S", bound=Spec)


def read_spec(path: Path) -> ScanSpec:
    """Return the scan described by a TOML file.

    Only the form is checked here; names of models and experiments when the scan is planned.

    Raises
    ------
    SpecificationError
        The file cannot be read, is not TOML, or says something that is not allowed.
    """
    try:
        content = read_bounded(path, MAX_SPEC_BYTES)
        size = max(path.stat().st_size, len(content))
    except OSError as error:
        raise SpecificationError(
            f"{path}: the specification cannot be read ({error.strerror}); check the path"
        ) from None
    if size > MAX_SPEC_BYTES:
        raise SpecificationError(
            f"{path}: {size} bytes; at most {MAX_SPEC_BYTES} are allowed; is it the right file?"
        )
    return validate(ScanSpec, parse_toml(content, str(path)), str(path))


def validate(kind: type[S], content: dict[str, Any], where: str) -> S:
    """Return ``content`` as a specification of the given kind, or refuse it in one sentence."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise SpecificationError(sentence(error, kind, where)) from None
