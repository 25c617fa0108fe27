"""The Zarr store of a scan: created whole, written unit by unit, opened lazily.

A store is a Zarr version 3 group that `xarray.open_datatree` opens. ``moments/<experiment>``,
``grid/<experiment>`` and, if pseudo-experiments were asked for, ``toys/<experiment>`` hold the
numbers, the folder ``_ledger`` the plan (`lmltgrid.plan`) and the markers of finished units
(`lmltgrid.ledger`).
"""

from __future__ import annotations

import errno
import glob
import os
import shutil
import socket
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lmltgrid.errors import LmltgridError, MachineError, SpecificationError, VerificationError
from lmltgrid.lease import look, machine_key, process_lives
from lmltgrid.ledger import FOLDER, Ledger, Marker
from lmltgrid.plan import PLAN, GroupLayout, Place, Plan, StoreLayout, layout_bytes
from lmltgrid.skeleton import sound_attributes, write_skeleton

ABANDONED = 86400.0  # s; a half-created store of an unknown machine is removed after a day

Arrays = Mapping[str, NDArray[Any]]


class IncompleteStoreWarning(UserWarning):
    """A store was opened that reads as NaN where units are missing."""


def free_bytes(path: Path) -> int:
    """Return the bytes that this user may still write at ``path``, or where it would be."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    room = os.statvfs(place)
    return room.f_bavail * room.f_frsize


def require_room(path: Path, needed: int) -> None:
    """Refuse to go on when less than ``needed`` bytes are free.

    Raises
    ------
    MachineError
        With both numbers.
    """
    free = free_bytes(path)
    if free < needed:
        raise MachineError(
            f"{path}: {needed} bytes are needed and {free} are free; make room, "
            "choose another place or a coarser scan"
        )


def taken(path: Path) -> bool:
    """Return whether something lies where a store would be created."""
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def created_meanwhile(path: Path) -> MachineError:
    """Build the error for a store that another run has created since this one began."""
    return MachineError(
        f"{path}: another run has created this store meanwhile; 'lmltgrid status {path}' shows it: "
        "wait for that run, or give this one another --store"
    )


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn what Zarr and its codecs raise on damaged bytes into one sentence.

    Raises
    ------
    VerificationError
        Bytes of the store cannot be decoded, as when their CRC is not the one that ends them.
    """
    try:
        yield
    except LmltgridError:
        raise
    except (RuntimeError, ValueError) as error:  # an OSError is the machine's
        raise VerificationError(
            f"{path}: the store cannot be read ({error}): it is damaged; 'lmltgrid verify {path} "
            "--deep' names what is, with --repair 'lmltgrid resume' computes it anew"
        ) from None


def create_store(path: str | Path, layout: StoreLayout, moments: Mapping[str, xr.Dataset]) -> Store:
    """Create a store: it appears whole, by one rename, or not at all.

    Raises
    ------
    SpecificationError
        Something lies at ``path`` already.
    MachineError
        There is no room or no permission, or another run was faster.
    """
    path = Path(path)
    if taken(path):
        raise SpecificationError(
            f"{path}: something exists here; resume it if it is this scan, or choose another name"
        )
    require_room(path, layout_bytes(layout) + sum(ds.nbytes for ds in moments.values()))
    side = path.with_name(f"{path.name}.creating-{machine_key()}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_sides(path)
        shutil.rmtree(side, ignore_errors=True)
        write_skeleton(side, layout, moments)
        side.rename(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and taken(path):
            raise created_meanwhile(path) from None
        raise MachineError(
            f"{path}: the store cannot be created ({error.strerror or error}); "
            "check room and permissions of the folder"
        ) from None
    finally:
        shutil.rmtree(side, ignore_errors=True)
    return open_store(path, layout.identity)


def _sweep_sides(path: Path) -> int:
    """Remove the half-created stores beside ``path`` whose process is gone; return how many."""
    count = 0
    for side in path.parent.glob(f"{glob.escape(path.name)}.creating-*-*"):
        machine, pid = side.name.rsplit("-", 2)[1:]
        lives = process_lives(machine, int(pid)) if pid.isdigit() else None
        if lives is False or (lives is None and time.time() - side.stat().st_mtime > ABANDONED):
            shutil.rmtree(side, ignore_errors=True)
            count += 1
    return count


def open_store(path: str | Path, identity: str | None = None) -> Store:
    """Open a store; refuse what is none, what is damaged, and another scan than ``identity``.

    Raises
    ------
    SpecificationError
        No store, a store of another scan, or one of a newer format.
    VerificationError
        Its plan or its metadata are damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise SpecificationError(f"{path}: there is no store here; check the path, or create it")
    if not (path / FOLDER).is_dir():
        raise SpecificationError(
            f"{path}: this folder is not a store of lmltgrid (it has no {FOLDER}); check the path"
        )
    plan = Plan.load(path / FOLDER / PLAN)
    if identity is not None and plan.identity != identity:
        raise SpecificationError(
            f"{path}: the store holds scan {plan.identity[:12]}, but {identity[:12]} was asked "
            "for; a store holds one scan: choose another path, or go back to its specification"
        )
    return Store(path, plan, sound_attributes(path, plan))


class Store:
    """An open store: geometry from its plan, units written and read one by one."""

    def __init__(self, path: Path, plan: Plan, attrs: dict[str, Any]) -> None:
        self.path = path
        self.plan = plan
        self.attrs = attrs
        self.ledger = Ledger(path)
        self._arrays: dict[str, Any] = {}

    def units(self) -> int:
        """Return the number of units."""
        return self.plan.units

    def done(self) -> NDArray[np.bool_]:
        """Return which units are finished, shape (units,): those whose markers can be read."""
        bitmap = np.zeros(self.units(), dtype=np.bool_)
        for unit, marker in self.ledger.markers():
            if marker is not None and unit < bitmap.size:
                bitmap[unit] = True
        return bitmap

    def is_done(self, unit: int) -> bool:
        """Return whether one unit is finished."""
        return self.ledger.marker(unit) is not None

    def pending(self) -> NDArray[np.int64]:
        """Return the units that are not finished, ascending."""
        return np.flatnonzero(~self.done()).astype(np.int64)

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
            self._array(place.group, name)[(*place.index, ...)] = arrays[name]
            chunks[name] = sealed(self.path / file)
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
        return np.asarray(self._array(place.group, name)[(*place.index, ...)])

    def where(self, unit: int) -> dict[str, Any]:
        """Return the group, the chunk, the indices and the coordinates of a unit, as JSON."""
        place = self.plan.place(unit)
        spans = dict(zip(place.group.dims, place.index, strict=True))
        ends: dict[str, list[Any]] = {}
        for dim, span in spans.items():
            name = f"{place.group.path}/{dim}"
            if f"{name}/zarr.json" in self.plan.files:
                try:
                    values = np.asarray(self._open(name)[span]).tolist()
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
                    (self.path / file).unlink(missing_ok=True)

    def sweep(self) -> int:
        """Remove what killed processes left; only for the holder of the store's lease."""
        count = self.ledger.sweep() + _sweep_sides(self.path)
        for group in self.plan.groups:
            for folder, _, names in os.walk(self.path / group.path):
                for name in names:
                    if name.endswith(".partial"):
                        Path(folder, name).unlink(missing_ok=True)
                        count += 1
        return count

    def _open(self, name: str) -> Any:
        import zarr

        if name not in self._arrays:
            # a chunk of nothing but NaN is a result too; only a missing file means "not computed"
            with zarr.config.set({"array.write_empty_chunks": True}):
                self._arrays[name] = zarr.open_array(self.path / name, mode="r+", zarr_format=3)
        return self._arrays[name]

    def _array(self, group: GroupLayout, name: str) -> Any:
        array = self._open(f"{group.path}/{name}")
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


def sealed(path: Path) -> tuple[int, int]:
    """Return the size of a chunk file and the CRC-32C that its codec put into its last bytes."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 4))
        return size, int.from_bytes(file.read(4), "little")


def extremes(data: NDArray[Any]) -> tuple[str, str, int]:
    """Return the smallest and the largest number, as text, and how many are NaN."""
    low, high, missing = np.min(data), np.max(data), 0
    if np.isnan(low):
        low, high = np.fmin.reduce(data, axis=None), np.fmax.reduce(data, axis=None)
        missing = int(np.isnan(data).sum())
    return str(low), str(high), missing


def read_moments(path: str | Path) -> dict[str, xr.Dataset]:
    """Return the moments of a store by experiment, in memory."""
    open_store(path)
    where = Path(path)
    with (
        decoding(where),
        xr.open_datatree(where, engine="zarr", group="moments", consolidated=True) as tree,
    ):
        return {name: child.to_dataset().load() for name, child in tree.children.items()}


def open_grid(path: str | Path) -> xr.DataTree:
    """Open a store lazily, as dask arrays in its own chunks; missing units read as NaN.

    The attribute ``units_missing`` of the root says how many, and if there are any a warning does.
    """
    store = open_store(path)
    with decoding(store.path):
        tree = xr.open_datatree(store.path, engine="zarr", chunks={}, consolidated=True)
    marked = [unit for unit in store.ledger.marked() if unit < store.units()]
    missing = store.units() - len(marked)
    tree.attrs["units_missing"] = missing
    if missing:
        text = (
            f"{path}: {missing} of {store.units()} units are missing and read as NaN; "
            "resume the scan to compute them"
        )
        tree.attrs["warning"] = text
        warnings.warn(text, IncompleteStoreWarning, stacklevel=2)
    return tree


def status(path: str | Path) -> dict[str, Any]:
    """Return the state of a store, as JSON: identity, units by group, failures, lease, bytes."""
    store = open_store(path)
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
        "lease": look(store.path),
        "bytes": nbytes + sum(size for size, _ in store.plan.files.values()),
        "complete": bool(done.all()),
    }
