"""The skeleton of a store: all but the numbers of its units, written once and never changed.

These are metadata, coordinates, moments and the plan. The chunks of a store are compressed with
LZ4 after a bit shuffle and end in a CRC-32C; nothing in it is ever unpickled.
"""

from __future__ import annotations

import errno
import os
import warnings
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import xarray as xr

from lmltgrid.errors import VerificationError
from lmltgrid.ledger import FOLDER, read_json
from lmltgrid.plan import FORMAT_VERSION, Plan, StoreLayout
from lmltgrid.storage import Storage

CODECS = frozenset({"bytes", "vlen-utf8", "blosc", "crc32c"})  # what we write, hence read


def write_skeleton(side: Storage, layout: StoreLayout, moments: Mapping[str, xr.Dataset]) -> None:
    """Write metadata, moments and coordinates into ``side``; the plan last.

    Raises
    ------
    FileExistsError
        Another run writes there.
    """
    from zarr.errors import ContainsArrayError, ContainsGroupError

    with warnings.catch_warnings():
        # consolidated metadata are not in the Zarr specification yet, but every reader that we
        # serve knows them, and over plain HTTP a store without them opens as empty
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        # where a store is created in its place, the lease of its creator lies there, and some
        # servers still list folders of which all objects were removed
        warnings.filterwarnings("ignore", message=r"Object at \S+ is not recognized")
        try:
            _write_groups(side.zarr_store(), layout, moments)
        except (ContainsArrayError, ContainsGroupError):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
    records = {name: _settle(side, name) for name in sorted(side.names()) if not _own(name)}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    Plan(layout.identity, layout.groups, records, created).save(side)


def _write_groups(files: Any, layout: StoreLayout, moments: Mapping[str, xr.Dataset]) -> None:
    """Write all but the plan into a store of Zarr."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    codecs = (BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"), Crc32cCodec())
    attrs = {**layout.attrs, "format_version": FORMAT_VERSION, "identity": layout.identity}
    root = zarr.create_group(files, zarr_format=3, attributes=attrs)
    for name, dataset in moments.items():
        _write_dataset(dataset, files, f"moments/{name}", codecs)
    for group in layout.groups:
        coordinates = {
            name: (name, values, attributes)
            for name, (values, attributes) in group.coordinates.items()
        }
        dataset = xr.Dataset(coords=coordinates, attrs=group.attrs)
        _write_dataset(dataset, files, group.path, codecs)
        for array in group.arrays:
            root.create_array(
                f"{group.path}/{array.name}",
                shape=array.shape,
                chunks=array.chunks,
                dtype=array.dtype,
                fill_value=float("nan"),
                compressors=codecs,
                dimension_names=array.dims,
                attributes=dict(array.attrs),
            )
    zarr.consolidate_metadata(files)


def _own(name: str) -> bool:
    """Return whether a file is one of the ledger, as the lease of who creates the store."""
    return name.startswith(f"{FOLDER}/")


def _write_dataset(dataset: xr.Dataset, files: Any, group: str, codecs: tuple[Any, ...]) -> None:
    """Write a small dataset, one chunk a variable, its strings as Zarr's portable string type."""
    plain = dataset.drop_encoding().load()
    texts = {k: v.astype(object) for k, v in plain.variables.items() if v.dtype.kind == "U"}
    plain = plain.assign_coords({k: v for k, v in texts.items() if k in plain.coords})
    plain = plain.assign({k: v for k, v in texts.items() if k not in plain.coords})
    encoding = {
        k: {"compressors": codecs} | ({"chunks": v.shape} if v.size else {})
        for k, v in plain.variables.items()
    }
    plain.to_zarr(
        files, group=group, mode="a", zarr_format=3, consolidated=False, encoding=encoding
    )


def _settle(side: Storage, name: str) -> tuple[int, int]:
    """Make a file durable; return its size and CRC-32."""
    side.flush(name)
    content = side.read(name)
    return len(content), zlib.crc32(content)


def sound_attributes(storage: Storage, plan: Plan) -> dict[str, Any]:
    """Return the attributes of the root, after comparing all metadata with the plan.

    Raises
    ------
    VerificationError
        The metadata are damaged, or in a form that we do not write.
    """
    damaged = (
        f"{storage.path}: the metadata of the store are damaged ({{}}); restore zarr.json from a "
        "copy"
    )
    root = read_json(storage, "zarr.json")
    if root is None:
        raise VerificationError(damaged.format("no complete JSON object"))
    try:
        attrs: dict[str, Any] = dict(root["attributes"])
        nodes = root["consolidated_metadata"]["metadata"]
        for name, node in nodes.items():
            codecs = {codec["name"] for codec in node.get("codecs", ())}
            if node["zarr_format"] != 3 or codecs - CODECS or node.get("storage_transformers"):
                # a foreign codec could run code of its choice on our side
                raise VerificationError(damaged.format(f"{name} is in no form that we write"))
        for group in plan.groups:
            for array in group.arrays:
                node = nodes[f"{group.path}/{array.name}"]
                chunks = node["chunk_grid"]["configuration"]["chunk_shape"]
                stored = (tuple(node["shape"]), tuple(chunks), node["data_type"])
                if stored != (array.shape, array.chunks, array.dtype):
                    raise VerificationError(damaged.format(f"{array.name} differs from the plan"))
        if attrs["identity"] != plan.identity:
            raise VerificationError(damaged.format("its identity differs from the plan"))
    except (AttributeError, KeyError, TypeError) as error:
        raise VerificationError(damaged.format(f"{type(error).__name__}: {error}")) from None
    return attrs
