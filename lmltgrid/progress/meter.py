"""How far a scan is, how fast it goes, and how long it will take."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW: Final = 30.0  # s of the past that a rate is measured over
CHANGES: Final = 10  # or so many changes, where units take longer
DAY: Final = 86400.0  # s


@dataclass(frozen=True)
class Progress:
    """How far a scan is at a moment.

    Attributes
    ----------
    done, total
        Units finished, those of earlier runs among them, of all.
    failed
        Units that cannot be computed.
    rate : 1/s, or None
        Units that end in a second, as long as this is watched; None before the first has ended.
    seconds : s, or None
        Since this run began; None where it is looked at from outside.
    waiting
        Whether nothing runs because workers are waited for.
    """

    done: int
    total: int
    failed: int = 0
    rate: float | None = None
    seconds: float | None = None
    waiting: bool = False

    @property
    def fraction(self) -> float:
        """Part that is done, 0 to 1."""
        return self.done / self.total if self.total else 1.0

    @property
    def percent(self) -> int:
        """Full percents that are done."""
        return 100 * self.done // self.total if self.total else 100

    @property
    def ended(self) -> bool:
        """Whether no unit is left to be computed."""
        return self.done + self.failed >= self.total

    @property
    def remaining(self) -> float | None:
        """Time in seconds until all units have ended at this rate; None if nobody can say."""
        if self.ended:
            return 0.0
        return (self.total - self.done - self.failed) / self.rate if self.rate else None


class Meter:
    """Measures a rate from looks at how many units are finished.

    It is that of the last 30 s, or of the last ten changes where those took longer: so the start,
    when workers compile, is forgotten soon, and a scan that slows down is seen to.
    """

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()
        self._begun: float | None = None

    def look(
        self,
        done: int,
        total: int,
        *,
        failed: int = 0,
        waiting: bool = False,
        now: float | None = None,
    ) -> Progress:
        """Return how far a scan is that has finished ``done`` units at ``now`` (monotonic, s)."""
        now = time.monotonic() if now is None else now
        if self._begun is None:
            self._begun = now
        ended = done + failed
        if waiting or not self._looks or ended < self._looks[-1][1]:
            self._looks = deque([(now, ended)])  # what was waited for says nothing of the rate
        elif ended > self._looks[-1][1]:
            self._looks.append((now, ended))
        while len(self._looks) > CHANGES and self._looks[1][0] < now - WINDOW:
            self._looks.popleft()
        since, first = self._looks[0]
        rate = (ended - first) / (now - since) if ended > first and now > since else None
        return Progress(done, total, failed, rate, now - self._begun, waiting)


def figures(now: Progress, age: float = 0.0) -> list[tuple[str, str]]:
    """Return what is written beside a bar, a figure each, with its style on a terminal.

    Parameters
    ----------
    now
        What was told last.
    age : s
        Since then: elapsed time and remaining time go on.

    Examples
    --------
    >>> [text for text, _ in figures(Progress(30, 96, rate=3.2, seconds=10.0))]
    ['30/96', ' 31 %', '3.20 units/s', '0:00:21 left', '0:00:10 elapsed']
    """
    if not now.total:
        return [("starting", "")]
    found = [(f"{now.done}/{now.total}", "bold"), (f"{now.percent:3d} %", "")]
    if now.failed:
        found.append((f"{now.failed} failed", "red"))
    if now.waiting:
        found.append(("waiting for workers", ""))
    elif now.rate is not None or not now.ended:
        found.append((rate_words(now.rate), ""))
    if not now.ended:
        left = None if now.remaining is None else max(now.remaining - age, 0.0)
        found.append((f"{duration_words(left)} left", "cyan"))
    if now.seconds is not None:
        elapsed = now.seconds + (0.0 if now.ended else age)
        found.append((f"{duration_words(elapsed)} elapsed", "dim"))
    return found


def rate_words(rate: float | None) -> str:
    """Return a rate for people, in the unit of time that makes it a number above one.

    Examples
    --------
    >>> rate_words(1234.5), rate_words(0.25), rate_words(0.004), rate_words(None)
    ('1234 units/s', '15.0 units/min', '14.4 units/h', '- units/s')
    """
    if rate is None:
        return "- units/s"
    for seconds, unit in ((1.0, "s"), (60.0, "min")):
        if rate * seconds >= 1.0:
            return f"{_short(rate * seconds)} units/{unit}"
    return f"{_short(rate * 3600.0)} units/h"


def _short(value: float) -> str:
    """Return a number with three digits, and all before its point."""
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )


def duration_words(seconds: float | None) -> str:
    """Return a time for people, as hours, minutes and seconds; a dash for none.

    Examples
    --------
    >>> duration_words(59.6), duration_words(5025), duration_words(200000), duration_words(None)
    ('0:01:00', '1:23:45', '2 d 7:33', '-')
    """
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    if seconds < DAY:
        return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
    if seconds > 1000 * DAY:
        return "over 1000 d"
    return f"{minutes // 1440} d {minutes // 60 % 24}:{minutes % 60:02d}"
