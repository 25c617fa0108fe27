"""What a store relies on, tried on a server; a server may accept a condition and not heed it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from lmltgrid.storage.interface import Storage
from lmltgrid.storage.objects import ObjectStorage
from lmltgrid.storage.server import Server

PATIENCE: Final = 10.0  # s: who asks for an examination does not want to wait for a server


@contextmanager
def trial_place(url: str) -> Iterator[ObjectStorage]:
    """Return a place of its own below a URL, removed again."""
    storage = ObjectStorage(Server(f"{url}/.lmltgrid-doctor-{uuid.uuid4().hex}", PATIENCE))
    try:
        yield storage
    finally:
        with suppress(OSError):
            for name in storage.names():
                storage.delete(name)


def answer(storage: Storage) -> float:
    """Return the seconds that it takes to put a small object; `OSError` if it cannot be put."""
    storage.write("answer", b"")
    begun = time.perf_counter()
    storage.write("answer", b"x")
    return time.perf_counter() - begun


def ahead(storage: Storage) -> float:
    """Return by how many seconds the clock of a storage is ahead of that of this machine."""
    before = time.time()
    there = storage.now()
    return there - (before + time.time()) / 2


def _put_and_get(storage: Storage) -> None:
    """Put an object larger than most chunks, read it and its end, and remove it."""
    content = bytes(range(256)) * 2**16
    storage.write("c/0/1", content)
    if storage.read("c/0/1") != content or storage.tail("c/0/1", 4) != (2**24, b"\xfc\xfd\xfe\xff"):
        raise OSError("what is read is not what was put")
    storage.write("c/0/1", b"new")
    if storage.read("c/0/1") != b"new":
        raise OSError("an object that was replaced is still read as it was")
    storage.delete("c/0/1")
    if storage.exists("c/0/1"):
        raise OSError("an object that was removed is still there")


def _list(storage: Storage) -> None:
    """List objects just after they were put."""
    names = {f"done/000000/{i:03d}.json" for i in range(3)}
    for name in names:
        storage.write(name, b"marker")
    if set(storage.names("done")) != names:
        raise OSError("a list does not name what was put just before")


def _create_if_absent(storage: Storage) -> None:
    """Create an object that exists already, as two runs want the same lease."""
    storage.write("lease", b"first")
    if storage.create("lease", b"second"):
        raise OSError("an object is created that exists already: two runs could hold one store")


def _conditional_update(storage: Storage) -> None:
    """Replace an object that has changed since, as two runs take over the same lease."""
    storage.write("lease", b"first")
    version = storage.state("lease").version
    if not storage.swap("lease", b"second", version):
        raise OSError("an object cannot be replaced under the condition that it has not changed")
    if storage.swap("lease", b"third", version):
        raise OSError("an object is replaced that has changed: two runs could take over one store")


TRIALS: Final[tuple[tuple[str, Callable[[Storage], None]], ...]] = (
    ("put, get, delete", _put_and_get),
    ("list", _list),
    ("create if absent", _create_if_absent),
    ("conditional update", _conditional_update),
)
