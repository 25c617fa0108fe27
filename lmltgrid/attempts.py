"""Which units a run computes next: those never tried, then those to be tried again with more care.

A process takes whatever else it computes with it when it dies, so deaths in company say nothing of
a unit. After one it has a call to itself, after the next no other call is in flight beside it: a
death then is its own, and so one bad unit is found and the others go on.
"""

from __future__ import annotations

from collections import Counter, deque

import numpy as np
from numpy.typing import NDArray

from lmltgrid.bundle import bundle_size


class Attempts:
    """The units of a run that are still to be computed, and how often each was tried.

    Parameters
    ----------
    units
        Numbers of the units that nobody has tried, ascending.
    retries
        How often a unit is tried again after a failure of its own.
    """

    def __init__(self, units: NDArray[np.intp], retries: int) -> None:
        self.retries = retries
        self.strikes: Counter[int] = Counter()  # failures that are the unit's own
        self._fresh, self._begin = units, 0  # units never tried, from this place on
        self._single: deque[int] = deque()  # to be tried again, a call each
        self._suspect: deque[int] = deque()  # to be tried again with no other call in flight
        self._lost: set[int] = set()  # units that went down with a process

    @property
    def untried(self) -> int:
        """Units that no call has had yet."""
        return int(self._fresh.size) - self._begin

    @property
    def left(self) -> int:
        """Units that are in no call now and not given up."""
        return self.untried + len(self._single) + len(self._suspect)

    def take(self, slots: int, pace: float, *, idle: bool) -> tuple[tuple[int, ...], bool]:
        """Return the units of the next call, and whether it must be alone; none if all must wait.

        Parameters
        ----------
        slots, pace
            How many calls compute at once, and the seconds of a unit: they decide the size.
        idle
            No call is in flight.
        """
        if self._single:
            return (self._single.popleft(),), False
        if self.untried:
            begin = self._begin
            self._begin += bundle_size(self.untried, slots, pace)
            return tuple(self._fresh[begin : self._begin].tolist()), False
        if self._suspect and idle:
            return (self._suspect.popleft(),), True
        return (), False

    def failed(self, unit: int, *, again: bool) -> bool:
        """Count a failure of a unit; whether it is tried again, which ``again`` says may help."""
        self.strikes[unit] += 1
        if not again or self.strikes[unit] > self.retries:
            return False
        self._single.append(unit)
        return True

    def died(self, unit: int, *, alone: bool) -> bool:
        """Enter that a unit went down with its process; whether it is tried again."""
        self.strikes[unit] += alone  # whoever dies in company may be innocent
        if alone and self.strikes[unit] > self.retries:
            return False
        more_care = unit in self._lost or alone or not self.retries
        (self._suspect if more_care else self._single).append(unit)
        self._lost.add(unit)
        return True
