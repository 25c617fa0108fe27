"""The Zarr store of a scan: created whole, written unit by unit, opened lazily.

A store is a Zarr version 3 group that `xarray.open_datatree` opens. ``moments/<experiment>``,
``grid/<experiment>`` and, if pseudo-experiments were asked for, ``toys/<experiment>`` hold the
numbers, the folder ``_ledger`` the plan (`lmltgrid.plan`) and the markers of finished units
(`lmltgrid.ledger`).
"""

from __future__ import annotations

import socket
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid.creation import guarded, half_created, occupied
from lmltgrid.errors import (
    BusyError,
    LmltgridError,
    MachineError,
    SpecificationError,
    VerificationError,
)
from lmltgrid.lease import look
from lmltgrid.ledger import FOLDER, Ledger, Marker, read_json
from lmltgrid.plan import PLAN, GroupLayout, Place, Plan, StoreLayout, layout_bytes
from lmltgrid.reaching import decoding, reaching
from lmltgrid.shard import Shard
from lmltgrid.skeleton import sound_attributes, write_skeleton
from lmltgrid.storage import Address, Storage, storage_of

Arrays = Mapping[str, NDArray[Any]]


class IncompleteStoreWarning(UserWarning):
    """A store was opened that reads as NaN where units are missing."""


def free_bytes(path: Address) -> int | None:
    """Return the bytes that may still be written at ``path``; None where nobody can say."""
    return storage_of(path).free_bytes()


def require_room(path: Address, needed: int) -> None:
    """Refuse to go on when less than ``needed`` bytes are free.

    Raises
    ------
    MachineError
        With both numbers.
    """
    free = free_bytes(path)
    if free is not None and free < needed:
        raise MachineError(
            f"{path}: {needed} bytes are needed and {free} are free; make room, "
            "choose another place or a coarser scan"
        )


def taken(path: Address) -> bool:
    """Return whether something lies where a store would be created."""
    with reaching(path):
        return occupied(storage_of(path))


def created(path: Address) -> bool:
    """Return whether there is a store that is created completely."""
    return storage_of(path).exists(PLAN)


def complete(path: Address) -> bool:
    """Return whether every unit of a store has a marker."""
    return bool(open_store(path).marked().all())


def created_meanwhile(path: Address) -> BusyError:
    """Build the error for a store that another run has created since this one began."""
    return BusyError(
        f"{path}: another run has created this store meanwhile; 'lmltgrid status {path}' shows it: "
        "wait for that run, or give this one another --store"
    )


def create_store(path: Address, layout: StoreLayout, moments: Mapping[str, xr.Dataset]) -> Store:
    """Create a store: it appears whole, or not at all.

    Raises
    ------
    SpecificationError
        Something lies at ``path`` already.
    MachineError
        There is no room or no permission, or another run was faster.
    """
    storage = storage_of(path)
    if taken(path):
        raise SpecificationError(
            f"{path}: something exists here; resume it if it is this scan, or choose another name"
        )
    require_room(path, layout_bytes(layout) + sum(ds.nbytes for ds in moments.values()))
    try:
        with storage.creation() as side, guarded(side):
            write_skeleton(side, layout, moments)
    except FileExistsError:
        raise created_meanwhile(path) from None
    except MachineError:
        raise
    except OSError as error:
        raise MachineError(
            f"{path}: the store cannot be created ({error.strerror or error}); "
            "check room and permissions of the folder"
        ) from None
    return open_store(path, layout.identity)


def open_store(path: Address, identity: str | None = None) -> Store:
    """Open a store; refuse what is none, what is damaged, and another scan than ``identity``.

    Raises
    ------
    SpecificationError
        No store, a store of another scan, or one of a newer format.
    VerificationError
        Its plan or its metadata are damaged.
    """
    storage = storage_of(path)
    with reaching(path):
        if not storage.exists(PLAN):
            _refuse_no_store(storage)
        plan = Plan.load(storage)
        attrs = sound_attributes(storage, plan)
    if identity is not None and plan.identity != identity:
        raise SpecificationError(
            f"{path}: the store holds scan {plan.identity[:12]}, but {identity[:12]} was asked "
            "for; a store holds one scan: choose another path, or go back to its specification"
        )
    return Store(storage, plan, attrs)


def _refuse_no_store(storage: Storage) -> None:
    """Refuse what is no store, but not a store that has lost its plan: that one is damaged."""
    if not storage.taken():
        raise SpecificationError(
            f"{storage.path}: there is no store here; check the path, or create it"
        )
    if half_created(storage):
        raise SpecificationError(
            f"{storage.path}: this store was not created completely; if no other run is about to, "
            "run its scan again"
        )
    root = read_json(storage, "zarr.json") or {}
    if "format_version" not in root.get("attributes", ()) and not any(storage.names(FOLDER)):
        raise SpecificationError(
            f"{storage.path}: this folder is not a store of lmltgrid (it has no {FOLDER}); "
            "check the path"
        )


class Store:
    """An open store: geometry from its plan, units written and read one by one."""

    def __init__(self, storage: Storage, plan: Plan, attrs: dict[str, Any]) -> None:
        self.storage = storage
        self.path = storage.path
        self.plan = plan
        self.attrs = attrs
        self.ledger = Ledger(storage)
        self._arrays: dict[tuple[str, str], Any] = {}

    def units(self) -> int:
        """Return the number of units."""
        return self.plan.units

    def done(self, shard: Shard | None = None) -> NDArray[np.bool_]:
        """Return which units are finished, shape (units,): those whose markers can be read.

        Only those of ``shard`` are looked at, if one is given.
        """
        bitmap = np.zeros(self.units(), dtype=np.bool_)
        for unit, marker in self.ledger.markers(shard):
            if marker is not None and unit < bitmap.size:
                bitmap[unit] = True
        return bitmap

    def marked(self, shard: Shard | None = None) -> NDArray[np.bool_]:
        """Return which units have a marker, shape (units,), without reading any.

        A marker appears whole, so its name suffices unless the storage has damaged it.
        """
        bitmap = np.zeros(self.units(), dtype=np.bool_)
        for unit in self.ledger.each_marked(shard):
            if unit < bitmap.size:
                bitmap[unit] = True
        return bitmap

    def is_done(self, unit: int) -> bool:
        """Return whether one unit is finished."""
        return self.ledger.marker(unit) is not None

    def write_unit(self, unit: int, arrays: Arrays, seconds: float = 0.0) -> Marker:
        """Write one unit, whole chunks only, then its marker.

        Raises
        ------
        SpecificationError
            Names, shapes or types of ``arrays`` are not those of the plan.
        LmltgridError
            The unit is finished already: two writers are at work.
        OSError
            The file system refuses; the unit stays unmarked.
        """
        place = self.plan.place(unit)
        _check_arrays(place, arrays)
        if self.is_done(unit):
            raise LmltgridError(f"{self.path}: unit {unit} is finished already; it has one writer")
        chunks, values = {}, {}
        for name, file in place.files().items():
            self._array(place.group, name, "r+")[(*place.index, ...)] = arrays[name]
            chunks[name] = sealed(self.storage, file)
            values[name] = extremes(arrays[name])
        now = datetime.now(UTC).isoformat(timespec="seconds")
        marker = Marker(unit, chunks, values, round(seconds, 6), socket.gethostname(), now)
        self.ledger.finish(marker)
        return marker

    def read_unit(self, unit: int) -> dict[str, NDArray[Any]]:
        """Return the arrays of one unit; NaN where nothing was written."""
        place = self.plan.place(unit)
        return {array.name: self.read_array(place, array.name) for array in place.group.arrays}

    def read_array(self, place: Place, name: str) -> NDArray[Any]:
        """Return one array of a unit; NaN where nothing was written."""
        return np.asarray(self._array(place.group, name, "r")[(*place.index, ...)])

    def where(self, unit: int) -> dict[str, Any]:
        """Return the group, the chunk, the indices and the coordinates of a unit, as JSON."""
        place = self.plan.place(unit)
        spans = dict(zip(place.group.dims, place.index, strict=True))
        ends: dict[str, list[Any]] = {}
        for dim, span in spans.items():
            name = f"{place.group.path}/{dim}"
            if f"{name}/zarr.json" in self.plan.files:
                try:
                    values = np.asarray(self._open(name, "r")[span]).tolist()
                except (OSError, RuntimeError, ValueError) as error:
                    raise VerificationError(
                        f"{self.path}: coordinate {name} is damaged ({error}); restore a copy"
                    ) from None
                ends[dim] = [values[0], values[-1]]
        return {
            "group": place.group.path,
            "chunk": list(place.chunk),
            "index": {dim: [span.start, span.stop] for dim, span in spans.items()},
            "coordinates": ends,
        }

    def discard(self, units: list[int]) -> None:
        """Remove markers, then chunks, of units; only for the holder of the store's lease."""
        for unit in units:
            self.ledger.reopen(unit)
            if unit < self.units():
                for file in self.plan.place(unit).files().values():
                    self.storage.delete(file)

    def sweep(self) -> int:
        """Remove what killed processes left; only for the holder of the store's lease."""
        return self.storage.sweep()

    def _open(self, name: str, mode: Literal["r", "r+"]) -> Any:
        import zarr

        if (name, mode) not in self._arrays:
            # a chunk of nothing but NaN is a result too; only a missing file means "not computed"
            with zarr.config.set({"array.write_empty_chunks": True}):
                files = self.storage.zarr_store()
                array = zarr.open_array(files, path=name, mode=mode, zarr_format=3)
                self._arrays[name, mode] = array
        return self._arrays[name, mode]

    def _array(self, group: GroupLayout, name: str, mode: Literal["r", "r+"]) -> Any:
        array = self._open(f"{group.path}/{name}", mode)
        planned = next(a for a in group.arrays if a.name == name)
        if (array.shape, array.chunks) != (planned.shape, planned.chunks):
            raise VerificationError(
                f"{self.path}: {group.path}/{name} has chunks {array.chunks} of {array.shape}, the "
                f"plan says {planned.chunks} of {planned.shape}; restore its zarr.json from a copy"
            )
        return array


def _check_arrays(place: Place, arrays: Arrays) -> None:
    """Refuse an evaluator's answer that is not what the plan asks for."""
    wanted = {a.name: (place.shape_of(a), a.dtype) for a in place.group.arrays}
    given = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    if given != wanted:
        raise SpecificationError(
            f"{place.group.path}: unit {place.unit} was computed as {given}; the plan needs "
            f"{wanted}; correct the evaluator"
        )


def sealed(storage: Storage, name: str) -> tuple[int, int]:
    """Return the size of a chunk file and the CRC-32C that its codec put into its last bytes."""
    size, last = storage.tail(name, 4)
    return size, int.from_bytes(last, "little")


def extremes(data: NDArray[Any]) -> tuple[str, str, int]:
    """Return the smallest and the largest number, as text, and how many are NaN."""
    low, high, missing = np.min(data), np.max(data), 0
    if np.isnan(low):
        low, high = np.fmin.reduce(data, axis=None), np.fmax.reduce(data, axis=None)
        missing = int(np.isnan(data).sum())
    return str(low), str(high), missing


def read_moments(store: Store) -> dict[str, xr.Dataset]:
    """Return the moments of a store by experiment, in memory."""
    files = store.storage.zarr_store()
    with (
        decoding(store.path),
        xr.open_datatree(files, engine="zarr", group="moments", consolidated=True) as tree,
    ):
        return {name: child.to_dataset().load() for name, child in tree.children.items()}


def open_grid(path: Address) -> xr.DataTree:
    """Open a store lazily, as dask arrays in its own chunks; missing units read as NaN.

    The attribute ``units_missing`` of the root says how many, and if there are any a warning does.
    """
    store = open_store(path)
    with decoding(store.path):
        files = store.storage.zarr_store()
        tree = xr.open_datatree(files, engine="zarr", chunks={}, consolidated=True)
        missing = int((~store.marked()).sum())
    tree.attrs["units_missing"] = missing
    if missing:
        text = (
            f"{path}: {missing} of {store.units()} units are missing and read as NaN; "
            "resume the scan to compute them"
        )
        tree.attrs["warning"] = text
        warnings.warn(text, IncompleteStoreWarning, stacklevel=2)
    return tree


def status(path: Address) -> dict[str, Any]:
    """Return the state of a store, as JSON: identity, units by group, failures, leases, bytes."""
    store = open_store(path)
    with reaching(path):
        return _status(store)


def _status(store: Store) -> dict[str, Any]:
    done, nbytes = np.zeros(store.units(), dtype=np.bool_), 0
    for unit, marker in store.ledger.markers():
        if marker is not None and unit < done.size:
            done[unit] = True
            nbytes += marker.nbytes
    groups, start = {}, 0
    for group in store.plan.groups:
        finished = int(done[start : start + group.units].sum())
        groups[group.path] = {"units": group.units, "done": finished}
        start += group.units
    failed = {u: r for u, r in store.ledger.failures().items() if u < done.size and not done[u]}
    return {
        "identity": store.plan.identity,
        "created": store.plan.created,
        "units": store.units(),
        "done": int(done.sum()),
        "groups": groups,
        "failed": failed,
        "leases": look(store.storage),
        "bytes": nbytes + sum(size for size, _ in store.plan.files.values()),
        "complete": bool(done.all()),
    }
