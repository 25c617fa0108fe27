"""What a user may write: frozen, validated specifications of scans, models and axes.

A specification is data. It is read from TOML, checked completely before anything is computed, and
every refusal is one sentence: where, what was given, what is allowed, what to do.
"""

from __future__ import annotations

import math
from difflib import get_close_matches
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
    model_validator,
)

from lmltgrid.datafiles import parse_toml
from lmltgrid.errors import SpecificationError

MAX_AXIS = 100_000  # points on one axis
MAX_SPEC_BYTES = 2**20

Metallicity = Literal["GS98", "AGSS09met"]
Atomic = Literal["free", "step", "step+rrpa"]
Couplings = Literal["msbar", "low-energy"]
MixingPreset = Literal["loop", "amaral2021", "amaral2020"]


def _not_a_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")  # noqa: TRY004
    return value


Number = Annotated[float, BeforeValidator(_not_a_bool)]
Positive = Annotated[float, BeforeValidator(_not_a_bool), Field(gt=0, le=1e15)]
NonNegative = Annotated[float, BeforeValidator(_not_a_bool), Field(ge=0)]
Mixing = MixingPreset | Number
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][\w.+-]*$")]


class Spec(BaseModel):
    """Base of all specifications: immutable, and deaf to misspelt keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Range(Spec):
    """A range of an axis, both ends included."""

    start: Positive
    stop: Positive
    num: Annotated[int, Field(ge=2, le=MAX_AXIS)]

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
    return _not_a_bool(value)


Charge = Annotated[float, BeforeValidator(_fraction), Field(ge=-1e6, le=1e6)]


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

    name: Name
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
    """

    test: Literal["discovery", "exclusion"] = "discovery"
    sided: Literal["one", "two"] = "one"


class RunSpec(Spec):
    """Where and how a scan runs; not part of its identity."""

    cluster: Literal["in-process", "local"] = "in-process"
    workers: Annotated[int, Field(ge=1, le=4096)] | None = None
    memory_mb: Annotated[int, Field(ge=400)] = 1000
    chunk_mb: Annotated[float, Field(ge=0.01, le=64)] = 6.0
    store: str | None = None


class ScanSpec(Spec):
    """One scan: what is evaluated, and on which axes."""

    version: Literal[1] = 1
    title: Annotated[str, Field(max_length=200)] = ""
    models: tuple[Name, ...] = ()
    model: tuple[ModelSpec, ...] = ()
    experiments: Annotated[tuple[Name, ...], Field(min_length=1)]
    metallicity: Annotated[tuple[Metallicity, ...], Field(min_length=1)] = ("GS98",)
    oscillation: Annotated[str, Field(min_length=1, max_length=300)] = "nufit60"
    mixing: Mixing | None = None
    atomic: Atomic = "step+rrpa"
    couplings: Couplings = "msbar"
    mass: Axis
    coupling: Axis
    exposure: Axis | None = None
    threshold: Axis | None = None
    statistic: StatisticSpec = StatisticSpec()
    dtype: Literal["float32", "float64"] = "float32"
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
        return self.model_dump(mode="json", exclude={"run", "title"})


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
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_SPEC_BYTES else b""
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
        raise SpecificationError(_sentence(error, kind, where)) from None


def _sentence(error: ValidationError, kind: type[Spec], where: str) -> str:
    """Turn the first of pydantic's complaints into one sentence."""
    problems = error.errors()
    # a misspelt key leaves two complaints: the one that names what was written says more
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    # unions report every branch: keep the words that a user wrote, not pydantic's branch labels
    path = [str(part) for part in first["loc"] if not _is_branch(str(part))]
    key = ".".join(path)
    text = f"{where}: {key}: " if key else f"{where}: "
    more = len({problem["loc"][:1] for problem in problems}) - 1
    tail = f" (and {more} more below)" if more else ""
    if first["type"] == "extra_forbidden":
        return text + _unknown_key(path, kind) + tail
    if first["type"] == "missing":
        return text + "this key is missing; add it" + tail
    if first["type"] == "value_error":
        return text + str(first["ctx"]["error"]) + tail
    given = first["input"]
    if first["type"] in ("model_type", "tuple_type"):
        table = f"a table with {', '.join(_keys_at(kind, path))}"
        form = "a list" if first["type"] == "tuple_type" else table
        return f"{text}given {given!r:.80}; {form} is needed; write it so{tail}"
    shown = "nan" if isinstance(given, float) and math.isnan(given) else repr(given)[:80]
    message = first["msg"][0].lower() + first["msg"][1:]
    if path[-1:] == ["mixing"]:
        message += ", or the number eps/g"
    return f"{text}given {shown}; {message}; correct it{tail}"


def _is_branch(part: str) -> bool:
    return part in ("float", "str") or part.startswith(("literal[", "function-", "constrained-"))


def _unknown_key(path: list[str], kind: type[Spec]) -> str:
    """Say that the last part of ``path`` is not a key, and which keys are."""
    known = _keys_at(kind, path[:-1])
    close = get_close_matches(path[-1], known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"unknown key{hint} Allowed: {', '.join(known)}"


def _keys_at(kind: type[Spec], path: list[str]) -> list[str]:
    """Return the keys that the table at ``path`` may have."""
    schema = kind.model_json_schema()
    node: dict[str, Any] = schema
    for part in path:
        node = _resolve(schema, node)
        node = node.get("items", {}) if part.isdigit() else node.get("properties", {}).get(part, {})
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow references and optional branches of a JSON schema to the object they mean."""
    for branch in node.get("anyOf", ()):
        if branch.get("type") != "null":
            node = branch
            break
    if "$ref" in node:
        resolved: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return resolved
    return node
