"""A store on S3: each file is one object, written by one request, so it is there whole or not.

There is no rename, and none is needed: a store exists once its plan does, and that is the last
object of its creation. Of two who create an object one is refused, and so is whoever wants to
change one that has changed since: the server sees to it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from lmltgrid.storage.interface import State, every
from lmltgrid.storage.server import RefusedError, Server

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

CLOCK = ".clock"  # the folder of the objects whose time is looked at; they are no part of a store
AT_ONCE = 32  # small objects on their way
BATCH = 1024  # of them handed to the threads at a time
BLANKS = 60  # at most at the end of an object that was renewed


class ObjectStorage:
    """The files of a store below a prefix of a bucket."""

    renames = False
    pace = 1.0

    def __init__(self, server: Server) -> None:
        self.server = server
        self.path = server.url
        self._known: dict[str, tuple[str, bytes]] = {}  # version and content of small objects

    def at(self, name: str) -> str:
        """Return the address of an object."""
        return f"{self.path}/{name}"

    def read(self, name: str) -> bytes:
        """Return the content of an object."""
        return self._get(name)[0]

    def contents(
        self, folder: str, wanted: Callable[[str], bool] = every
    ) -> Iterator[tuple[str, bytes | OSError]]:
        """Iterate over objects, many on their way at once, those that have changed since.

        A list tells the version of each: what was read before is not read again.
        """
        found = (meta for meta in self._list(folder) if wanted(meta["path"]))
        listed = {meta["path"]: _version(meta) for meta in found}
        fresh = []
        for name, version in listed.items():
            known, content = self._known.get(name, ("", b""))
            if known and known == version:
                yield name, content
            else:
                fresh.append(name)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="s3") as threads:
            for begin in range(0, len(fresh), BATCH):
                batch = fresh[begin : begin + BATCH]
                for name, got in zip(batch, threads.map(self._read_or_error, batch), strict=True):
                    if isinstance(got, bytes):
                        self._known[name] = listed[name], got
                    yield name, got

    def _read_or_error(self, name: str) -> bytes | OSError:
        try:
            return self.read(name)
        except ConnectionError:
            raise
        except OSError as error:
            return error

    def _get(self, name: str) -> tuple[bytes, str]:
        """Return content and version."""
        import obstore

        def get() -> tuple[bytes, str]:
            answer = obstore.get(self.server.client, name)
            version = _version(answer.meta)  # first: old versions of obstore keep one of them
            return bytes(answer.bytes()), version

        return self.server.ask(get)

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

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return the sizes of objects: a request for each thousand."""
        return {meta["path"]: meta["size"] for meta in self._list(folder)}

    def _list(self, folder: str) -> list[ObjectMeta]:
        import obstore

        def objects() -> list[ObjectMeta]:
            batches = obstore.list(self.server.client, prefix=folder or None)
            return [meta for batch in batches for meta in batch]

        found = self.server.ask(objects)
        hidden = () if folder == CLOCK else (f"{CLOCK}/",)
        return [meta for meta in found if not meta["path"].startswith(hidden)]

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


def _version(meta: ObjectMeta) -> str:
    return meta["e_tag"] or ""
