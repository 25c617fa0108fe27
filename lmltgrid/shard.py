"""A shard of a scan: what one task of a job array computes, without any scheduler."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from lmltgrid.errors import SpecificationError

MOST: Final = 100_000

_FORM: Final = re.compile(r"(\d{1,6})/(\d{1,6})")
_TAG: Final = re.compile(r"(\d{1,6})-of-(\d{1,6})")


@dataclass(frozen=True)
class Shard:
    """Shard ``number`` of ``count``, counted from 1: every ``count``-th unit.

    Neighboring units cost about the same, so all shards take about as long.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        """Refuse a shard that is none."""
        if not 1 <= self.number <= self.count <= MOST:
            raise SpecificationError(
                f"shard {self.number}/{self.count}: k/N is needed with k from 1 to N and N up to "
                f"{MOST}; count the tasks of a job array from 1"
            )

    def __str__(self) -> str:
        """Return k/N."""
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard that ``k/N`` stands for.

        Raises
        ------
        SpecificationError
            It is of another form.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise SpecificationError(f"shard {text!r}: k/N is needed, as 3/8; correct it")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of_tag(cls, tag: str) -> Self | None:
        """Return the shard of a tag, if it is one."""
        found = _TAG.fullmatch(tag)
        return cls(int(found[1]), int(found[2])) if found else None

    @property
    def tag(self) -> str:
        """A name for files."""
        return f"{self.number}-of-{self.count}"

    def has(self, unit: int) -> bool:
        """Return whether a unit belongs to this shard."""
        return unit % self.count == self.number - 1

    def units(self, total: int) -> NDArray[np.bool_]:
        """Return which of all units belong to this shard, shape (total,)."""
        mine = np.zeros(total, dtype=np.bool_)
        mine[self.number - 1 :: self.count] = True
        return mine

    def beside(self, other: Shard) -> bool:
        """Return whether two shards may run at the same time: they have no unit in common."""
        return self.count == other.count and self.number != other.number
