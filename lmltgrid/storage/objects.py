"""A store on S3: each file is one object, written by one request, so it is there whole or not.

There is no rename, and none is needed: a store exists once its plan does, and that is the last
object of its creation. Of two who create an object one is refused, and so is whoever wants to
change one that has changed since: the server sees to it.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from lmltgrid.storage.interface import State
from lmltgrid.storage.server import RefusedError, Server

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

T = TypeVar("T")

CLOCK = ".clock"  # the folder of the objects whose time is looked at; they are no part of a store
AT_ONCE = 32  # small objects on their way
PAGE = 1000  # objects of a list in one answer, the most that S3 gives
BATCH = 1024  # of them handed to the threads at a time
BLANKS = 60  # at most at the end of an object that was renewed


class ObjectStorage:
    """The files of a store below a prefix of a bucket."""

    renames = False
    pace = 1.0

    def __init__(self, server: Server) -> None:
        self.server = server
        self.path = server.url

    def at(self, name: str) -> str:
        """Return the address of an object."""
        return f"{self.path}/{name}"

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return the content of an object."""
        return self._get(name, most)[0]

    def read_each(
        self, names: Iterable[str], most: int | None = None
    ) -> Iterator[tuple[str, bytes | OSError]]:
        """Iterate over objects, many of which are on their way at once."""
        return _each(partial(self._read_or_error, most=most), names)

    def _read_or_error(self, name: str, most: int | None) -> bytes | OSError:
        try:
            return self.read(name, most)
        except ConnectionError:
            raise
        except OSError as error:
            return error

    def _get(self, name: str, most: int | None = None) -> tuple[bytes, str]:
        """Return content and version."""
        import obstore

        def get() -> tuple[bytes, str] | None:
            answer = obstore.get(self.server.client, name)
            version = _version(answer.meta)  # first: old versions of obstore keep one of them
            if most is not None and answer.meta["size"] > most:
                return None
            return bytes(answer.bytes()), version

        found = self.server.ask(get)
        if found is None:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return found

    def tail(self, name: str, count: int) -> tuple[int, bytes]:
        """Return the size of an object and its last bytes, by one request."""
        import obstore
        from obstore.exceptions import BaseError

        def get() -> tuple[int, bytes]:
            try:
                options: GetOptions = {"range": {"suffix": count}}
                answer = obstore.get(self.server.client, name, options=options)
                size = answer.meta["size"]
                return size, bytes(answer.bytes())
            except BaseError as error:
                if "status code: 416" in str(error):
                    return 0, b""  # no range of an empty object can be satisfied
                raise

        return self.server.ask(get)

    def write(self, name: str, content: bytes) -> None:
        """Put an object: the server has all of it, durably, or it has refused."""
        self._put(name, content, "overwrite")

    def create(self, name: str, content: bytes) -> bool:
        """Put an object under the condition that there is none of its name."""
        return self._put_if(name, content, "create")

    def swap(self, name: str, content: bytes, version: str) -> bool:
        """Put an object under the condition that the one of its name is still of this version."""
        return self._put_if(name, content, {"e_tag": version})

    def _put_if(self, name: str, content: bytes, mode: Any) -> bool:
        try:
            self._put(name, content, mode)
        except RefusedError:
            # an answer that was lost on its way makes us ask again for what we have already
            with suppress(FileNotFoundError):
                return self.read(name) == content
            return False
        return True

    def _put(self, name: str, content: bytes, mode: Any) -> None:
        import obstore

        self.server.ask(
            lambda: obstore.put(self.server.client, name, content, mode=mode, use_multipart=False)
        )

    def touch(self, name: str) -> None:
        """Put a text once more, unless it has changed meanwhile.

        An ETag is made of the content, so the number of blanks at its end changes.
        """
        content, version = self._get(name)
        text = content.rstrip(b" ")
        blanks = (len(content) - len(text) + 1) % BLANKS
        with suppress(RefusedError):
            self._put(name, text + b" " * blanks, {"e_tag": version})

    def exists(self, name: str) -> bool:
        """Return whether there is an object."""
        try:
            self._head(name)
        except FileNotFoundError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        import obstore

        with suppress(FileNotFoundError):
            self.server.ask(lambda: obstore.delete(self.server.client, name))

    def flush(self, name: str) -> None:
        """Do nothing: what was put is durable."""

    def names(self, folder: str = "") -> Iterator[str]:
        """Iterate over the names of objects: a request for each thousand."""
        for meta in self._list(folder):
            yield meta["path"]

    def sizes_of(self, names: Iterable[str]) -> Iterator[tuple[str, int | None]]:
        """Iterate over objects and their sizes, many of which are asked for at once."""
        return _each(self._size, names)

    def _size(self, name: str) -> int | None:
        try:
            return self._head(name)["size"]
        except FileNotFoundError:
            return None

    def _list(self, folder: str) -> Iterator[ObjectMeta]:
        """Iterate over objects, of which one answer of the server is in memory at a time."""
        import obstore

        last: str | None = None

        def page() -> Sequence[ObjectMeta]:
            client = self.server.client
            found = obstore.list(client, prefix=folder or None, offset=last, chunk_size=PAGE)
            return next(iter(found), ())

        hidden = () if folder == CLOCK else (f"{CLOCK}/",)
        while batch := self.server.ask(page):
            yield from (meta for meta in batch if not meta["path"].startswith(hidden))
            if len(batch) < PAGE:
                return
            last = batch[-1]["path"]

    def state(self, name: str) -> State:
        """Return when an object was put, to the second, and its ETag."""
        meta = self._head(name)
        return State(meta["last_modified"].timestamp(), _version(meta))

    def _head(self, name: str) -> ObjectMeta:
        import obstore

        return self.server.ask(lambda: obstore.head(self.server.client, name))

    def now(self) -> float:
        """Return the time that a new object gets from the server, to the second."""
        probe = f"{CLOCK}/{uuid.uuid4().hex}"
        self.write(probe, b"")
        try:
            return self.state(probe).modified
        finally:
            self.delete(probe)

    def free_bytes(self) -> None:
        """Return None: a server does not tell."""
        return

    def zarr_store(self) -> Any:
        """Return a store of Zarr that asks the server as patiently."""
        from lmltgrid.storage.zarr_objects import Objects

        return Objects(self.server)

    def taken(self) -> bool:
        """Return whether there is any object."""
        import obstore

        def first() -> bool:
            batches = obstore.list(self.server.client)
            return any(not meta["path"].startswith(f"{CLOCK}/") for b in batches for meta in b)

        return self.server.ask(first)

    @contextmanager
    def creation(self) -> Iterator[ObjectStorage]:
        """Create the store in its place."""
        yield self

    def sweep(self) -> int:
        """Remove what was put to ask the time."""
        probes = [meta["path"] for meta in self._list(CLOCK)]
        for probe in probes:
            self.delete(probe)
        return len(probes)


def _each(ask: Callable[[str], T], names: Iterable[str]) -> Iterator[tuple[str, T]]:
    """Iterate over names and what is answered for each, many at once."""
    rest = iter(names)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="s3") as threads:
        while batch := list(islice(rest, BATCH)):
            yield from zip(batch, threads.map(ask, batch), strict=True)


def _version(meta: ObjectMeta) -> str:
    return meta["e_tag"] or ""
