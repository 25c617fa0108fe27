"""What a store asks of the place where its files lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Address = str | Path


@dataclass(frozen=True)
class State:
    """When a file was last written, by the clock of its storage, and which writing that was.

    ``modified`` is in seconds since 1970; ``version`` changes with every writing.
    """

    modified: float
    version: str


class Storage(Protocol):
    """The files of one store, by names relative to it.

    Every method may raise `OSError`: `FileNotFoundError` where nothing lies at a name that is
    read, `PermissionError`, and `ConnectionError` where a server could not be reached for so long
    that waiting on makes no sense.

    Attributes
    ----------
    renames
        Whether a store is created aside, and appears by one rename.
    pace
        Seconds between two looks at a file that another process may write.
    """

    renames: bool
    pace: float

    @property
    def path(self) -> Address:
        """Where the store lies, as users write it."""

    def at(self, name: str) -> Address:
        """Return the address of a file, for messages."""

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return the content of a file; raise `OSError` for one of more than ``most`` bytes."""

    def read_each(
        self, names: Iterable[str], most: int | None = None
    ) -> Iterator[tuple[str, bytes | OSError]]:
        """Iterate over files and their contents, in any order; many may be on their way at once.

        A file that cannot be read comes with its error; `ConnectionError` is raised.
        """

    def tail(self, name: str, count: int) -> tuple[int, bytes]:
        """Return the size of a file and its last ``count`` bytes."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, durably: it holds all of ``content`` then, or has not changed."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that does not exist yet; return False if one does."""

    def swap(self, name: str, content: bytes, version: str) -> bool:
        """Replace a file that is still of this version; of several callers, one succeeds."""

    def touch(self, name: str) -> None:
        """Renew the time of a text file, which makes it another version of the same text."""

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""

    def flush(self, name: str) -> None:
        """Make a file durable that others have written here."""

    def names(self, folder: str = "") -> Iterator[str]:
        """Iterate over the names of all files in and below a folder."""

    def sizes_of(self, names: Iterable[str]) -> Iterator[tuple[str, int | None]]:
        """Iterate over files and their sizes in bytes, in any order; None for one that is missing.

        Many may be asked for at once.
        """

    def state(self, name: str) -> State:
        """Return when a file was last written."""

    def now(self) -> float:
        """Return the time by the storage's own clock, which may differ from ours; it writes."""

    def free_bytes(self) -> int | None:
        """Return the bytes that may still be written; None if nobody can say."""

    def zarr_store(self) -> Any:
        """Return what Zarr opens."""

    def taken(self) -> bool:
        """Return whether something lies where a store would be created."""

    def creation(self) -> AbstractContextManager[Storage]:
        """Create the store: while entered, a storage to write its files into.

        It ends in `FileExistsError` if another run was faster.
        """

    def sweep(self) -> int:
        """Remove what killed processes left half-written; return how many files and folders."""
