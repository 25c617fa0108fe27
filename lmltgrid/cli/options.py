"""What the verbs share: numbers, ranges and names as a user writes them; common options."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # not generic before click 8.4

F = TypeVar("F", bound=Callable[..., Any])

UNITS: Final = ("MeV", "keV", "t*yr")
MAX_VALUES: Final = 100_000  # as on the axis of a scan
# Documented defaults; the verbs leave them to the library, and a test holds the two together
DEFAULTS: Final[dict[str, Any]] = {
    "experiment": "darwin-nr",
    "model": "Lmu-Ltau",
    "metallicity": "GS98",
    "oscillation": "nufit60",
    "atomic": "step+rrpa",
    "couplings": "msbar",
    "source": "8B",
    "target": "Xe",
    "channel": "nr",
    "cl": 0.9,
    "dof": 1,
    "sigmas": 5.0,
}
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Positive(ParamType):
    """A positive finite number of some unit."""

    name = "number"

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return the unit, which says more than a type."""
        return self.unit

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or refuse it in one sentence."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0.0):
            what = "a positive finite number" + (f" of {self.unit}" if self.unit in UNITS else "")
            self.fail(f"{str(value)!r} is given; {what} is needed; correct it", param, ctx)
        return number


class Numbers(ParamType):
    """Positive numbers: a list ``1,2,5``, or a logarithmic range ``start:stop:num``.

    With ``ends`` a range may leave out ``num`` and stands for its two ends.
    """

    name = "numbers"

    def __init__(self, unit: str, *, ends: bool = False) -> None:
        self.one = Positive(unit)
        self.ends = ends

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return the unit and that several may be given."""
        return f"{self.one.unit},...|START:STOP:NUM"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[float]:
        """Return the numbers in the order given."""
        if isinstance(value, list):
            return value
        text = str(value).strip()
        if not text:
            self.fail("no value is given; give at least one", param, ctx)
        if ":" in text:
            return self._range(text, param, ctx)
        parts = text.split(",")
        if len(parts) > MAX_VALUES:
            self.fail(f"{len(parts)} values are given; at most {MAX_VALUES} are read", param, ctx)
        return [self.one.convert(part.strip(), param, ctx) for part in parts]

    def _range(
        self, text: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[float]:
        start, stop, *rest = (part.strip() for part in text.split(":"))
        low, high = (self.one.convert(end, param, ctx) for end in (start, stop))
        if low >= high:
            self.fail(f"{text!r}: the start must lie below the stop; swap them", param, ctx)
        if not rest and self.ends:
            return [low, high]
        if len(rest) != 1 or not rest[0].isdecimal() or not 2 <= int(rest[0]) <= MAX_VALUES:
            self.fail(
                f"{text!r} is given; a range is start:stop:num, with 2 to {MAX_VALUES} points; "
                "correct it",
                param,
                ctx,
            )
        last = int(rest[0]) - 1
        ratio = high / low
        return [low, *(low * ratio ** (i / last) for i in range(1, last)), high]


class Names(ParamType):
    """Names separated by commas."""

    name = "names"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return that several may be given."""
        return "NAME,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        """Return the names in the order given."""
        if isinstance(value, list):
            return value
        names = [part.strip() for part in str(value).split(",")]
        if not all(names):
            self.fail(f"{str(value)!r} holds an empty name; give a name between commas", param, ctx)
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            self.fail(f"{twice!r} is given twice; keep one", param, ctx)
        return names


class Models(Names):
    """Mediators by name or by their charges, as ``Lmu,B-L`` or ``e=1,mu=-1``.

    Charges that follow each other belong to one mediator; a semicolon begins another.
    """

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return both forms."""
        return "NAME,...|e=Q,mu=Q;..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        """Return names, and charges each as one text, in the order given."""
        if isinstance(value, list):
            return value
        found: list[str] = []
        for group in str(value).split(";"):
            parts = [part.strip() for part in group.split(",")]
            if not all(parts):
                text = f"{str(value)!r} holds an empty name; give a name between commas"
                self.fail(text, param, ctx)
            for place, part in enumerate(parts):
                if place and "=" in part and "=" in parts[place - 1]:
                    found[-1] += f",{part}"
                else:
                    found.append(part)
        twice = next((name for name in found if found.count(name) > 1), None)
        if twice is not None:
            self.fail(f"{twice!r} is given twice; keep one", param, ctx)
        return found


class Until(ParamType):
    """A time to stop at, as seconds from now: ``45m``, ``1h30m``, ``600``, or ``06:30``."""

    name = "time"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return the two forms."""
        return "1h30m|HH:MM"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds from now."""
        text = str(value).strip().lower()
        clock = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
        if clock:
            now = datetime.now()  # the clock on the user's wall
            then = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            return ((then - now) % timedelta(days=1)).total_seconds()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            text += "s"
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        if "".join(number + unit for number, unit in parts) != text or not seconds > 0.0:
            self.fail(
                f"{str(value)!r} is given; give a time from now such as 45m or 1h30m, "
                "or an hour such as 06:30",
                param,
                ctx,
            )
        return seconds


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a user gave; the library has the defaults of the others."""
    return {name: value for name, value in options.items() if value is not None}


def joined(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator that adds several options, in the order given."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def default(name: str) -> str:
    """Return the words that document a default."""
    return f"[default: {DEFAULTS[name]}]"


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

experiments = click.option(
    "--experiments",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder with experiment files of your own, used beside the shipped ones.",
)

experiment = click.option(
    "--experiment",
    metavar="NAME",
    help="Experiment and analysis, see 'lmltgrid experiments'; a+b adds up likelihoods. "
    + default("experiment"),
)

metallicity = click.option(
    "--metallicity",
    metavar="[GS98|AGSS09met]",
    help=f"Solar model: high or low metallicity. {default('metallicity')}",
)

oscillation = click.option(
    "--oscillation",
    metavar="PRESET|NAME=VALUE,...",
    help="Oscillation parameters, see 'lmltgrid oscillation --list'; for example "
    f"nufit40,delta_cp=0. {default('oscillation')}",
)

model = click.option(
    "--model",
    metavar="NAME",
    help=f"Mediator, or charges as e=1,mu=-2,tau=1; see 'lmltgrid models'. {default('model')}",
)

models = click.option(
    "--model",
    type=Models(),
    default=DEFAULTS["model"],
    help="One or more mediators, by name or by charges as e=1,mu=-2,tau=1, with a semicolon "
    f"between sets of charges; see 'lmltgrid models'. {default('model')}",
)

more_conventions = joined(
    click.option(
        "--mixing",
        metavar="[loop|amaral2021|amaral2020|NUMBER]",
        help="Kinetic mixing of the mediator with the photon, eps/g. [default: the model's own]",
    ),
    metallicity,
    oscillation,
    click.option(
        "--atomic",
        metavar="[free|step|step+rrpa]",
        help=f"How electrons are bound in the target. {default('atomic')}",
    ),
    click.option(
        "--couplings",
        metavar="[msbar|low-energy|radiative]",
        help="Couplings of neutrinos in the Standard Model: weak mixing angle, or those of AC22. "
        + default("couplings"),
    ),
)

conventions = joined(model, more_conventions)

point = joined(
    click.option("--mass", type=Positive("MeV"), help="Mass of the mediator."),
    click.option("--coupling", type=Positive("G"), help="Coupling g of the mediator."),
)

benchmarks = click.option(
    "--benchmark", type=Names(), help="BP1 to BP4 of P21, or all, instead of mass and coupling."
)

threshold = click.option(
    "--threshold",
    type=Positive("keV"),
    help="Threshold in the experiment's own scale, keV_nr or keV_ee; of a gas detector its "
    "pressure in Torr. Binned likelihoods have none to choose. [default: its nominal one]",
)

exposure = click.option(
    "--exposure",
    type=Positive("t*yr"),
    help="Exposure of a projection; data that were taken, and sums a+b, have their own. "
    "[default: the experiment's own]",
)

flux_error = click.option(
    "--flux-error",
    type=float,
    metavar="FRACTION",
    help="Fractional error of the 8B flux, profiled: 0.12 for the solar models, 0.04 for what SNO "
    "measured. [default: the experiment's own if it measured 8B, else none]",
)

test_options = joined(
    click.option(
        "--test",
        metavar="[exclusion|discovery]",
        help="exclusion: the coupling is excluded if the Standard Model is true, or by data "
        "that were taken. discovery: the Standard Model is rejected if the coupling is true. "
        "[default: exclusion]",
    ),
    click.option(
        "--sided",
        metavar="[one|two]",
        help="Whether only an excess of events counts, or a deficit as well. [default: two]",
    ),
    click.option(
        "--cl",
        type=Positive("FRACTION"),
        help=f"Confidence level of an exclusion; for counts, in each tail. {default('cl')}",
    ),
    click.option(
        "--dof",
        type=click.IntRange(1, 100),
        help=f"Degrees of freedom of a chi-square; a count has none. {default('dof')}",
    ),
    click.option(
        "--sigmas",
        type=Positive("SIGMAS"),
        help=f"Significance of a discovery. {default('sigmas')}",
    ),
    flux_error,
)


discovery_options = joined(
    click.option(
        "--sided",
        metavar="[one|two]",
        help="Whether only an excess of events counts, or a deficit as well. [default: one]",
    ),
    click.option("--sigmas", type=Positive("SIGMAS"), help=f"Significance. {default('sigmas')}"),
    flux_error,
)

spectrum_options = joined(
    click.option("--source", metavar="[solar]", help="Source of the neutrinos. [default: solar]"),
    click.option("--target", metavar="ELEMENT", help=f"Target. {default('target')}"),
    click.option(
        "--channel", metavar="[nr|er]", help=f"Nuclear or electron recoils. {default('channel')}"
    ),
)


def check_test(test: str | None, cl: float | None, sigmas: float | None) -> None:
    """Refuse a level that does not belong to the test, which would not be used."""
    if sigmas is not None and test != "discovery":
        raise click.UsageError("--sigmas belongs to --test discovery; give --cl for an exclusion")
    if cl is not None and test == "discovery":
        raise click.UsageError("--cl belongs to --test exclusion; give --sigmas for a discovery")


def points(
    benchmark: list[str] | None,
    mass: float | None,
    coupling: float | None,
    *,
    prefix: str = "--",
) -> list[dict[str, Any]]:
    """Return the points asked for, each with ``benchmark`` (or none), ``mass``, ``coupling``.

    ``prefix`` opens the names of the options for mass and coupling.
    """
    if benchmark is None:
        if mass is None or coupling is None:
            raise click.UsageError(
                f"no point is given; give {prefix}mass and {prefix}coupling, or --benchmark"
            )
        return [{"benchmark": None, "mass": mass, "coupling": coupling}]
    if mass is not None or coupling is not None:
        raise click.UsageError("--benchmark stands for mass and coupling; leave those out")
    from lmltgrid.tables.models import benchmarks

    known = benchmarks()
    names = list(known) if benchmark == ["all"] else benchmark
    found = [known.find(name, "--benchmark") for name in names]
    return [{"benchmark": b.name, "mass": b.mass, "coupling": b.coupling} for b in found]
