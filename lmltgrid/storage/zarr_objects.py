"""What Zarr opens where a store lies on S3."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Self

import obstore
from zarr.storage import ObjectStore

from lmltgrid.storage.server import Server, server_at

if TYPE_CHECKING:
    from obstore.store import S3Store
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    _Base = ObjectStore[S3Store]
else:
    _Base = ObjectStore


class Objects(_Base):
    """Zarr's store of objects, as patient as `Server`, and without secrets where it is pickled."""

    def __init__(self, server: Server, *, read_only: bool = False) -> None:
        super().__init__(server.client, read_only=read_only)
        self._server = server

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the address alone; another process has an environment of its own."""
        return _objects, (self._server.url, self.read_only)

    def __str__(self) -> str:
        """Return the address."""
        return self._server.url

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return the same store, to be written or not."""
        return type(self)(self._server, read_only=read_only)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object or a part of it; None if there is none."""
        inherited = super().get
        return await self._server.ask_async(lambda: inherited(key, prototype, byte_range))

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return parts of objects."""
        inherited, wanted = super().get_partial_values, list(key_ranges)
        return await self._server.ask_async(lambda: inherited(prototype, wanted))

    async def exists(self, key: str) -> bool:
        """Return whether there is an object."""
        inherited = super().exists
        return await self._server.ask_async(lambda: inherited(key))

    async def set(self, key: str, value: Buffer) -> None:
        """Put an object by one request: nothing of it is left if that fails."""
        self._check_writable()
        content = value.to_bytes()
        await self._server.ask_async(
            lambda: obstore.put_async(self.store, key, content, use_multipart=False)
        )

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Put an object unless there is one."""
        inherited = super().set_if_not_exists
        await self._server.ask_async(lambda: inherited(key, value))

    async def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        inherited = super().delete
        await self._server.ask_async(lambda: inherited(key))

    def list(self) -> AsyncGenerator[str, None]:
        """Iterate over all objects."""
        return self._listed(super().list)

    def list_prefix(self, prefix: str) -> AsyncGenerator[str, None]:
        """Iterate over the objects whose names begin so."""
        return self._listed(super().list_prefix, prefix)

    def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        """Iterate over the objects and folders in a folder."""
        return self._listed(super().list_dir, prefix)

    async def _listed(self, inherited: Any, *prefix: str) -> AsyncGenerator[str, None]:
        async def whole() -> tuple[str, ...]:
            names: AsyncIterator[str] = inherited(*prefix)
            return tuple([name async for name in names])

        for name in await self._server.ask_async(whole):
            yield name


def _objects(url: str, read_only: bool) -> Objects:
    return Objects(server_at(url), read_only=read_only)
