"""Values as a user writes them: numbers, ranges, names, mediators and times."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # not generic before click 8.4

UNITS: Final = ("MeV", "keV", "t*yr")
MAX_VALUES: Final = 100_000  # as on the axis of a scan
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

    def split(self, text: str) -> list[str]:
        """Return the names in a text, empty ones included."""
        return [part.strip() for part in text.split(",")]

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        """Return the names in the order given."""
        if isinstance(value, list):
            return value
        names = self.split(str(value))
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

    def split(self, text: str) -> list[str]:
        """Return names, and charges each as one text."""
        found: list[str] = []
        for group in text.split(";"):
            parts = super().split(group)
            for place, part in enumerate(parts):
                if place and "=" in part and "=" in parts[place - 1]:
                    found[-1] += f",{part}"
                else:
                    found.append(part)
        return found


class Duration(ParamType):
    """A time as ``45m``, ``1h30m`` or, in seconds, ``600``."""

    name = "time"
    advice = "a time such as 45m or 1h30m"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return the form."""
        return "1h30m"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | datetime:
        """Return the seconds."""
        text = str(value).strip().lower()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            text += "s"
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        if "".join(number + unit for number, unit in parts) != text or not seconds > 0.0:
            self.fail(f"{str(value)!r} is given; give {self.advice}", param, ctx)
        return seconds


class Until(Duration):
    """A time to stop at: some time from now, or an hour of the day as ``06:30``."""

    advice = "a time from now such as 45m or 1h30m, or an hour such as 06:30"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return the two forms."""
        return "1h30m|HH:MM"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | datetime:
        """Return the seconds from now, or the time of the clock on the user's wall."""
        clock = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", str(value).strip())
        if not clock:
            return super().convert(value, param, ctx)
        now = datetime.now().astimezone()
        then = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return now + (then - now) % timedelta(days=1)
