"""Where the files of a store lie: one interface; a file system or an S3 server behind it.

A file is named relative to its store, with ``/`` between folders. What a store asks of its storage
is little: a file appears whole or not at all, of two who create it one is refused, and the storage
has a clock.
"""

from __future__ import annotations

import re
from pathlib import Path

from lmltgrid.errors import SpecificationError
from lmltgrid.storage.interface import Address, State, Storage
from lmltgrid.storage.local import LocalStorage

__all__ = ["Address", "LocalStorage", "State", "Storage", "address", "storage_of"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_BUCKET = re.compile(r"[A-Za-z0-9][\w.-]*")


def address(path: Address) -> Address:
    """Return the address of a store: a path, or a URL of S3 as text, in its one spelling.

    Raises
    ------
    SpecificationError
        A URL of another kind, or one that names no store in a bucket.

    Examples
    --------
    >>> address("s3://bucket//runs/scan.zarr/")
    's3://bucket/runs/scan.zarr'
    """
    text = str(path)
    scheme = _SCHEME.match(text)
    if scheme is None:
        return Path(path)
    if scheme[1].lower() != "s3":
        raise SpecificationError(
            f"store: an address that begins with {scheme[1]}: was given; allowed are folders and "
            "s3://bucket/name.zarr; write one of these"
        )
    bucket, *names = [part for part in text[scheme.end() :].split("/") if part] or [""]
    if not (_BUCKET.fullmatch(bucket) and names and all(map(_sound, names))):
        # not repeated: it may hold credentials, which belong into the environment
        raise SpecificationError(
            "store: the address on S3 names no store in a bucket; write s3://bucket/name.zarr, "
            "with endpoint and credentials in the environment"
        )
    return "/".join(["s3:/", bucket, *names])


def _sound(name: str) -> bool:
    return name not in (".", "..") and name.isprintable() and not set(name) & set("?#%*")


def storage_of(path: Address) -> Storage:
    """Return the storage at a path or a URL."""
    where = address(path)
    if isinstance(where, Path):
        return LocalStorage(where)
    from lmltgrid.storage.objects import ObjectStorage
    from lmltgrid.storage.server import server_at

    return ObjectStorage(server_at(where))
