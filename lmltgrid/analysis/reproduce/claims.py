"""What a paper says, number or sentence, and how it is checked here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

NO_NUMBER: Final = "no published number"


@dataclass(frozen=True)
class Claim:
    """A number of a paper, and how it is computed here.

    Attributes
    ----------
    quantity, place
        What it is, and where the paper has it.
    published
        As printed; None where there is only a picture.
    compute
        Returns the number.
    tolerance
        Relative, with its reason in ``note`` or in the printed digits.
    settings
        What the number was computed with.
    note
        Why it is off, or what to know.
    """

    paper: str
    quantity: str
    place: str
    published: float | None
    compute: Callable[[], float]
    unit: str = "1"
    tolerance: float = 0.03
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    def row(self) -> dict[str, Any]:
        """Return the row of the table, see `lmltgrid.analysis.reproduce.reproduce`."""
        computed = float(self.compute())
        difference, tolerance, verdict = None, None, NO_NUMBER
        if self.published is not None:
            difference, tolerance = computed / self.published - 1.0, self.tolerance
            verdict = "ok" if abs(difference) <= tolerance else "off"
        return _row(self, self.published, computed, difference, tolerance, verdict)


@dataclass(frozen=True)
class Statement:
    """A sentence of a paper that compares numbers, and the numbers it compares.

    Attributes
    ----------
    quantity, place, unit, settings, note
        See `Claim`.
    published
        What the paper says.
    compute
        Returns the numbers by what they are.
    holds
        Whether the sentence is true of these numbers.
    """

    paper: str
    quantity: str
    place: str
    published: str
    compute: Callable[[], dict[str, float]]
    holds: Callable[[dict[str, float]], bool]
    unit: str = "1"
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    def row(self) -> dict[str, Any]:
        """Return the row of the table; a sentence has neither difference nor tolerance."""
        computed = {name: float(value) for name, value in self.compute().items()}
        verdict = "ok" if self.holds(computed) else "off"
        return _row(self, self.published, computed, None, None, verdict)


def _row(
    claim: Claim | Statement,
    published: float | str | None,
    computed: float | dict[str, float],
    difference: float | None,
    tolerance: float | None,
    verdict: str,
) -> dict[str, Any]:
    return {
        "paper": claim.paper,
        "quantity": claim.quantity,
        "place": claim.place,
        "published": published,
        "computed": computed,
        "unit": claim.unit,
        "difference": difference,
        "tolerance": tolerance,
        "verdict": verdict,
        "settings": claim.settings,
        "note": claim.note,
    }


def ascending(numbers: dict[str, float]) -> bool:
    """Whether the numbers are in order: the first is the smallest, the last the largest."""
    values = list(numbers.values())
    return values == sorted(values)
