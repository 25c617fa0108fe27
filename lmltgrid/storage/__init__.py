"""Where the files of a store lie: one interface, and a file system behind it.

A file is named relative to its store, with ``/`` between folders. What a store asks of its storage
is little: a file appears whole or not at all, of two who create it one is refused, and the storage
has a clock.
"""

from __future__ import annotations

from lmltgrid.storage.interface import Address, State, Storage
from lmltgrid.storage.local import LocalStorage

__all__ = ["Address", "LocalStorage", "State", "Storage", "storage_of"]


def storage_of(path: Address) -> Storage:
    """Return the storage at a path."""
    return LocalStorage(path)
