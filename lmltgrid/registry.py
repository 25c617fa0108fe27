"""A named collection that answers a misspelt name with a suggestion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from lmltgrid.errors import unknown_name

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Read-only mapping from names to entries of one kind.

    Parameters
    ----------
    kind
        What the entries are, in the singular, for messages ("model", "experiment").
    entries
        The entries by name.
    """

    def __init__(self, kind: str, entries: Mapping[str, T]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        """Return the entry, or raise `KeyError` as a mapping does."""
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in the order of definition."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def find(self, name: str, where: str) -> T:
        """Return the entry called ``name``; ``where`` opens the message if there is none.

        Raises
        ------
        UnknownNameError
            No entry has this name; the closest one is suggested.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise unknown_name(self.kind, name, self._entries, where) from None
