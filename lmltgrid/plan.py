"""What a store holds: the layout of its arrays, and the plan that numbers its units.

A *unit* is one whole chunk of every array of a group, at one place of the chunk grid. Units are
numbered through all groups, in C order within a group. Nothing here knows Zarr.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmltgrid.errors import SpecificationError, VerificationError
from lmltgrid.ledger import FOLDER, as_json, read_json
from lmltgrid.storage import Storage

FORMAT_VERSION = 1
PLAN = f"{FOLDER}/plan.json"
MAX_CHUNK = 2**28  # points; a worker holds a chunk in memory
MAX_UNITS = 10**8  # of all groups; a run holds a bitmap of them, and each is files on a disk
DTYPES = ("float32", "float64")  # what is missing reads as NaN

_GROUP = re.compile(r"(grid|toys)/[A-Za-z0-9][\w.+@-]*")
_NAME = re.compile(r"[A-Za-z]\w*")


@dataclass(frozen=True)
class ArrayLayout:
    """One stored variable: names and lengths of its axes, lengths of a chunk, type, attributes."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be stored."""
        where = f"array {self.name!r}"
        if not all(_NAME.fullmatch(name) for name in (self.name, *self.dims)):
            raise SpecificationError(f"{where}: dims {self.dims}; names are letters and digits")
        if not 0 < len(self.dims) == len(set(self.dims)) == len(self.shape) == len(self.chunks):
            raise SpecificationError(
                f"{where}: dims {self.dims}, shape {self.shape}, chunks {self.chunks}; "
                "each axis needs one name, one length and one chunk length"
            )
        if not all(1 <= chunk <= size for chunk, size in zip(self.chunks, self.shape, strict=True)):
            raise SpecificationError(
                f"{where}: chunks {self.chunks} of shape {self.shape}; "
                "a chunk length lies between 1 and the length of its axis"
            )
        if math.prod(self.chunks) > MAX_CHUNK:
            raise SpecificationError(
                f"{where}: chunks {self.chunks} of {math.prod(self.chunks)} points; at most "
                f"{MAX_CHUNK} fit a worker; lower run.chunk_mb"
            )
        if self.dtype not in DTYPES:
            raise SpecificationError(f"{where}: dtype {self.dtype!r}; allowed: {', '.join(DTYPES)}")


@dataclass(frozen=True)
class GroupLayout:
    """Arrays on the same axes and chunks, e.g. all quantities of one experiment.

    An array may have further axes behind those of the first array, whole in every chunk.
    ``coordinates`` maps the name of an axis to its values, shape (length,), and attributes;
    strings are allowed.
    """

    path: str
    arrays: tuple[ArrayLayout, ...]
    coordinates: Mapping[str, tuple[NDArray[Any], Mapping[str, Any]]] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse arrays that differ in axes, and coordinates that do not fit."""
        if not _GROUP.fullmatch(self.path):
            raise SpecificationError(
                f"group {self.path!r}: a group is called grid/<experiment> or toys/<experiment>"
            )
        n = len(self.dims)
        if len({(a.dims[:n], a.shape[:n], a.chunks[:n]) for a in self.arrays}) != 1:
            raise SpecificationError(
                f"group {self.path!r}: its arrays need the same dims, shape and chunks"
            )
        if any(a.shape[n:] != a.chunks[n:] for a in self.arrays):
            raise SpecificationError(
                f"group {self.path!r}: axes that not all arrays have are whole in every chunk"
            )
        sizes: dict[str, int] = {}
        for array in self.arrays:
            sizes |= dict(zip(array.dims, array.shape, strict=True))
        if len({*(a.name for a in self.arrays), *sizes}) != len(self.arrays) + len(sizes):
            raise SpecificationError(f"group {self.path!r}: a name is used twice; rename an array")
        for name, (values, _) in self.coordinates.items():
            size = sizes.get(name)
            if np.shape(values) != (size,):
                raise SpecificationError(
                    f"group {self.path!r}: coordinate {name!r} has shape {np.shape(values)}; "
                    f"it needs ({size},), the length of the axis of that name"
                )

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return self.arrays[0].dims

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.arrays[0].shape

    @property
    def chunks(self) -> tuple[int, ...]:
        """Lengths of a chunk."""
        return self.arrays[0].chunks

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Chunks along each axis."""
        return tuple(-(-s // c) for s, c in zip(self.shape, self.chunks, strict=True))

    @cached_property
    def units(self) -> int:
        """Number of units."""
        return math.prod(self.counts)

    @property
    def unit_bytes(self) -> int:
        """Bytes of a whole unit in memory."""
        return sum(math.prod(a.chunks) * np.dtype(a.dtype).itemsize for a in self.arrays)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays in memory."""
        return sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for a in self.arrays)


@dataclass(frozen=True)
class StoreLayout:
    """Everything that a new store is to hold.

    ``attrs`` become the attributes of the root (JSON), ``identity`` is the digest that tells two
    scans apart.
    """

    groups: tuple[GroupLayout, ...]
    attrs: Mapping[str, Any]
    identity: str

    def __post_init__(self) -> None:
        """Refuse groups of one name, and attributes that JSON cannot hold."""
        if not self.groups or len({group.path for group in self.groups}) != len(self.groups):
            raise SpecificationError("store: its groups need different names, and at least one")
        require_few(sum(group.units for group in self.groups), "store")
        try:
            json.dumps(self.attrs, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise SpecificationError(f"store: attributes must be JSON, but {error}") from None


def require_few(units: int, where: str) -> None:
    """Refuse more chunks than a store may have.

    Raises
    ------
    SpecificationError
        With both numbers.
    """
    if units > MAX_UNITS:
        raise SpecificationError(
            f"{where}: {units:.3g} chunks; at most {MAX_UNITS:.0e} are allowed; raise "
            "run.chunk_mb, take fewer points, or divide the scan into several"
        )


def layout_bytes(layout: StoreLayout) -> int:
    """Return the bytes of all grids without compression: what a scan needs at most."""
    return sum(group.nbytes for group in layout.groups)


@dataclass(frozen=True)
class Place:
    """Where a unit lies: its group, its chunk (one number an axis), its slices of the arrays."""

    unit: int
    group: GroupLayout
    chunk: tuple[int, ...]
    index: tuple[slice, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of this unit; shorter than a chunk at the end of an axis."""
        return tuple(s.stop - s.start for s in self.index)

    def shape_of(self, array: ArrayLayout) -> tuple[int, ...]:
        """Lengths of this unit in one array, with its further axes."""
        return (*self.shape, *array.shape[len(self.index) :])

    def files(self) -> dict[str, str]:
        """Return the file of each array's chunk, relative to the store."""
        key = "/".join(("c", *map(str, self.chunk)))
        more = {a.name: "/0" * (len(a.dims) - len(self.chunk)) for a in self.group.arrays}
        return {name: f"{self.group.path}/{name}/{key}{end}" for name, end in more.items()}


@dataclass(frozen=True)
class Plan:
    """What a store is to hold; written once, when it is created.

    ``files`` gives size and CRC-32 of every file that exists from the start and never changes.
    """

    identity: str
    groups: tuple[GroupLayout, ...]
    files: dict[str, tuple[int, int]]
    created: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    format: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Refuse what would not fit in memory: a plan may come from somebody else."""
        require_few(self.units, "plan")

    @property
    def units(self) -> int:
        """Number of units in all groups."""
        return sum(group.units for group in self.groups)

    def place(self, unit: int) -> Place:
        """Return where a unit lies."""
        rest = unit
        for group in self.groups:
            if 0 <= rest < group.units:
                chunk = _unraveled(rest, group.counts)
                index = tuple(
                    slice(i * c, min((i + 1) * c, s))
                    for i, c, s in zip(chunk, group.chunks, group.shape, strict=True)
                )
                return Place(unit, group, chunk, index)
            rest -= group.units
        raise SpecificationError(f"unit {unit}: this store has the units 0 to {self.units - 1}")

    def save(self, storage: Storage) -> None:
        """Write the plan; coordinates and group attributes stay in the Zarr groups.

        Raises
        ------
        FileExistsError
            Another run has written one.
        """
        groups = [{"path": g.path, "arrays": [asdict(a) for a in g.arrays]} for g in self.groups]
        content = {key: getattr(self, key) for key in ("format", "identity", "created", "token")}
        if not storage.create(PLAN, as_json(content | {"groups": groups, "files": self.files})):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    @classmethod
    def load(cls, storage: Storage) -> Plan:
        """Read the plan of a store.

        Raises
        ------
        VerificationError
            It is cut short, or says something impossible.
        SpecificationError
            A newer lmltgrid wrote it.
        """
        path = storage.at(PLAN)
        damaged = f"{path}: the plan of the store is damaged ({{}}); restore it from a copy"
        content = read_json(storage, PLAN)
        if content is None:
            raise VerificationError(damaged.format("no complete JSON object"))
        version = content.get("format")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise SpecificationError(
                f"{path}: the store has format {version}; this lmltgrid reads formats up to "
                f"{FORMAT_VERSION}; install a newer one"
            )
        try:
            return cls(
                identity=str(content["identity"]),
                groups=tuple(_group(group) for group in content["groups"]),
                files={
                    str(k): (int(size), int(crc)) for k, (size, crc) in content["files"].items()
                },
                created=str(content["created"]),
                token=str(content["token"]),
                format=int(content["format"]),
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise VerificationError(damaged.format(f"{type(error).__name__}: {error}")) from None


def _unraveled(number: int, counts: tuple[int, ...]) -> tuple[int, ...]:
    """Return the place of a number in C order: that of `numpy.unravel_index`, in less time."""
    place = []
    for count in reversed(counts):
        number, own = divmod(number, count)
        place.append(own)
    return tuple(reversed(place))


def _group(content: Mapping[str, Any]) -> GroupLayout:
    """Rebuild a group, without its coordinates, from the plan."""
    arrays = tuple(
        ArrayLayout(
            name=a["name"],
            dims=tuple(a["dims"]),
            shape=tuple(int(n) for n in a["shape"]),
            chunks=tuple(int(n) for n in a["chunks"]),
            dtype=a["dtype"],
            attrs=dict(a["attrs"]),
        )
        for a in content["arrays"]
    )
    return GroupLayout(content["path"], arrays)
