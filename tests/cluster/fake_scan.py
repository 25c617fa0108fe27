"""A scan without physics: evaluators that misbehave on demand, importable by every worker.

The store's attributes name a folder where evaluators count their attempts, so that a process that
kills itself does so as often as a test wants.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import small_disk
import xarray as xr

from lmltgrid import cluster
from lmltgrid.bundle import Evaluator
from lmltgrid.errors import LmltgridError
from lmltgrid.plan import ArrayLayout, GroupLayout, StoreLayout
from lmltgrid.progress import Progress, show_progress
from lmltgrid.scan import run_scan
from lmltgrid.storage import server
from lmltgrid.store import Store, create_store

if TYPE_CHECKING:
    import pytest

BAD = 5  # the exposure (one unit each) that misbehaves
DIMS = ("exposure", "mass", "coupling")
PATIENCE = 60.0  # s; ten times what the slowest of these scans takes
# in this process and in each worker, which imports this module: how long to wait for a server
server.PATIENCE = float(os.environ.get("TEST_PATIENCE", server.PATIENCE))


def make_layout(
    control: Path, exposures: int = 12, plane: int = 16, names: tuple[str, ...] = ("z", "n")
) -> StoreLayout:
    """One group, two arrays, one unit an exposure."""
    shape, chunks = (exposures, plane, plane), (1, plane, plane)
    arrays = tuple(ArrayLayout(name, DIMS, shape, chunks, "float32") for name in names)
    coordinates = {
        dim: (np.geomspace(1.0, 100.0, size), {"units": "1"})
        for dim, size in zip(DIMS, shape, strict=True)
    }
    attrs = {"control": str(control)}
    return StoreLayout((GroupLayout("grid/fake", arrays, coordinates),), attrs, "0123456789abcdef")


def make_store(folder: Path, name: Path | str = "scan.zarr", **layout: Any) -> Store:
    """Create a store in a folder, or elsewhere, whose evaluators count in the folder."""
    place = name if "://" in str(name) else folder / name
    control = folder / f"{str(name).rpartition('/')[2]}.control"
    control.mkdir(parents=True)
    moments = {"fake": xr.Dataset({"rate": ("mass", np.arange(4.0))})}
    return create_store(place, make_layout(control, **layout), moments)


def load(store: Store) -> dict[str, Any]:
    """Read back what the evaluators need, and count the loads."""
    state = {"control": Path(store.attrs["control"]), "path": Path(store.path)}
    attempt(state, "load")
    return state


def load_never(store: Store) -> None:
    raise RuntimeError("no tables here")


def attempt(state: dict[str, Any], what: str) -> int:
    """Return how often this was attempted before, in any process."""
    before = attempts(state["control"], what)
    with (state["control"] / what).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return before


def attempts(control: Path, what: str) -> int:
    path = control / what
    return path.read_text().count("\n") if path.exists() else 0


def plain(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    """Numbers that depend on their place alone."""
    e, m, c = np.ogrid[index]
    value = np.sin(1.0 + e) * np.log1p(m) + np.sqrt(c + e * m)
    return {"z": value.astype("f4"), "n": (value**2).astype("f4")}


def slow(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    attempt(state, "slow")
    time.sleep(0.15)
    return plain(state, group, index)


def slower(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    """Take long enough for whatever happens to a scheduler to happen in mid-scan."""
    time.sleep(1.0)
    return plain(state, group, index)


class _Torn(dict[str, Any]):
    """Arrays of which the second cannot be had: the process dies between two chunks."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        super().__init__(arrays)
        self._reads: Iterator[bool] = iter([False, True])

    def __getitem__(self, name: str) -> Any:
        if next(self._reads):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(name)


def torn_once(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    arrays = plain(state, group, index)
    if index[0].start == BAD and attempt(state, "kill") == 0:
        (state["path"] / "grid" / group[5:] / "z" / "0.abc.partial").touch()  # a torn write
        return _Torn(arrays)
    return arrays


def deadly(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    if index[0].start == BAD:
        attempt(state, "kill")
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(state, group, index)


def raising(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    if index[0].start == BAD:
        attempt(state, "raise")
        raise ValueError("no root in this cell")
    return plain(state, group, index)


def moody(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    """Fail once, the way shared file systems do."""
    if index[0].start == BAD and attempt(state, "mood") == 0:
        raise OSError(5, "Input/output error")
    return plain(state, group, index)


def gloomy(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    """Fail always, the way broken disks do."""
    if index[0].start == BAD:
        attempt(state, "gloom")
        raise OSError(5, "Input/output error")
    return plain(state, group, index)


def misshapen(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    arrays = plain(state, group, index)
    return arrays | {"n": arrays["n"].astype("f8")}


def gated(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    """Wait until this process is let through."""
    if index[0].start == BAD:
        attempt(state, "gate")
        end = time.monotonic() + PATIENCE
        while not (state["control"] / f"go-{os.getpid()}").exists() and time.monotonic() < end:
            time.sleep(0.01)
    return plain(state, group, index)


def hungry(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    """Take ever more memory, slowly enough for whoever watches it."""
    if index[0].start == BAD:
        attempt(state, "meal")
        meal = []
        for _ in range(40):
            meal.append(np.ones(5_000_000))  # 40 MB
            time.sleep(0.1)
    return plain(state, group, index)


def tell(store: Store, what: str, how: str) -> None:
    """Tell the evaluators how to misbehave."""
    (Path(store.attrs["control"]) / what).write_text(how)


def filling(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    """Fill the disk of the store, but for a few pages, or raise when it is full."""
    if index[0].start == BAD:
        pages = (state["control"] / "pages").read_text()
        small_disk.fill(state["path"].parent, 0 if pages == "raise" else int(pages))
        if pages == "raise":
            raise ValueError("no root in this cell")
    return plain(state, group, index)


def hung(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    if index[0].start == BAD:
        time.sleep(1e6)
    return plain(state, group, index)


def stuck(state: dict[str, Any], group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    if index[0].start == BAD:
        time.sleep(8.0)
    return plain(state, group, index)


def set_environment(values: dict[str, str]) -> None:
    """Set the environment of a worker."""
    os.environ.update(values)


def patience(seconds: float = PATIENCE) -> datetime:
    """Return when to stop a scan whose bad unit may be tried for ever: its test then fails.

    The deadline of a scan would not do: every attempt that ends starts it again.
    """
    return datetime.now(UTC) + timedelta(seconds=seconds)


def evaluator(evaluate: Any) -> Evaluator:
    return Evaluator(load, evaluate)


class Notes:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.counts: list[tuple[int, int]] = []

    def progress(self, now: Progress) -> None:
        self.counts.append((now.done, now.total))

    def message(self, text: str, *_: Any, **__: Any) -> None:
        self.texts.append(text)


def fill_up(patch: pytest.MonkeyPatch) -> None:
    """Let the disk be full from the bad unit on."""
    write = Store.write_unit

    def full(self: Store, unit: int, *rest: Any) -> Any:
        if unit >= BAD:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, unit, *rest)

    patch.setattr(Store, "write_unit", full)


def undisturbed(folder: Path, exposures: int = 12) -> dict[str, bytes]:
    """Return every file of the grid of such a store, written unit by unit without any scan."""
    store = make_store(folder, f"undisturbed-{exposures}.zarr", exposures=exposures)
    for unit in range(store.units()):
        place = store.plan.place(unit)
        store.write_unit(unit, plain({}, place.group.path, place.index))
    return chunk_bytes(store)


def chunk_bytes(store: Store) -> dict[str, bytes]:
    """Return every file of the grid by its name."""
    return {name: store.storage.read(name) for name in store.storage.names("grid")}


def main(**options: Any) -> None:
    """Run a scan as a program would, and print its report: STORE, EVALUATOR, in-process | local."""
    path, name, where = sys.argv[1:]
    executor = cluster.local(2, memory_mb=600) if where == "local" else cluster.in_process()
    try:
        with executor, show_progress() as reporter:
            chosen = evaluator(getattr(sys.modules[__name__], name))
            report = run_scan(path, chosen, executor, reporter, **options)
    except LmltgridError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    sys.stdout.write(json.dumps(report.as_dict()))
    sys.stderr.write(f"{report.sentence}\n")
    sys.exit(report.exit_code)


def create() -> None:
    """Create a store as a program would: STORE, FOLDER."""
    path, folder = sys.argv[1:]
    try:
        create_store(path, make_layout(Path(folder)), {})
    except LmltgridError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
