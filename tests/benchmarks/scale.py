"""Benchmarks of the engine: what it costs a chunk to be scheduled, written and entered.

The kernel is empty: its chunks are ready, and tiny. They go through `run_scan` and the ledger as
in any scan, so the figures are those of the engine and of the disk alone. What the engine takes is
the time of the processor in all processes (client, scheduler, workers), less that of a plain loop
of `Store.write_unit` over as many chunks in this process: a time that no other load of the machine
disturbs much. The share of client and scheduler bounds the chunks a second of a whole cluster. Each
size is timed in turn with its loop, the shortest of up to five runs each: of one alone where there
are more than 3,000 chunks, or more than 1,000 by plain Dask.

    python tests/benchmarks/scale.py [--short | --full] [--folder DIR]
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import distributed
import numpy as np
import psutil
import xarray as xr
from timing import line

from lmltgrid import store as stores
from lmltgrid.bundle import Evaluator
from lmltgrid.cluster import Executor, in_process, local
from lmltgrid.plan import ArrayLayout, GroupLayout, StoreLayout
from lmltgrid.scan import run_scan

WORKERS = 2
COLUMNS = 100  # chunks in a row, so that no folder becomes long
LENGTH = 16  # points of a chunk
NAMES = ("counts", "significance")
CHUNK = {name: np.zeros((1, LENGTH), dtype=np.float32) for name in NAMES}
NUMBERS = count()


def nothing(_store: object) -> None:
    """There is nothing to load."""


def ready(_state: None, _group: str, _index: tuple[slice, ...]) -> dict[str, np.ndarray]:
    """Return a chunk that is ready: the empty kernel."""
    return CHUNK


EMPTY = Evaluator(nothing, ready)


def new_store(folder: Path, chunks: int) -> stores.Store:
    """A store of so many tiny chunks of two variables, as those of a scan are."""
    shape = (chunks // COLUMNS, COLUMNS * LENGTH)
    arrays = (
        ArrayLayout(name, ("mass", "coupling"), shape, (1, LENGTH), "float32") for name in NAMES
    )
    layout = StoreLayout((GroupLayout("grid/empty", tuple(arrays)),), {}, "benchmark")
    return stores.create_store(folder / f"{next(NUMBERS)}.zarr", layout, {})


class Cost(NamedTuple):
    """Milliseconds a chunk: on the clock, of this process's cores, of those of all processes."""

    clock: float
    client: float
    total: float


def spent() -> tuple[float, float, float]:
    """Clock, seconds of the processor in this process, and in it and its children."""
    own = time.process_time()
    children = [p.cpu_times() for p in psutil.Process().children(recursive=True)]
    return time.perf_counter(), own, own + sum(c.user + c.system for c in children)


def timed(folder: Path, chunks: int, call: Callable[[stores.Store], Any]) -> Cost:
    """What a call takes on a new store, which is removed again."""
    store = new_store(folder, chunks)
    begun = spent()
    call(store)
    cost = (1e3 * (b - a) / chunks for a, b in zip(begun, spent(), strict=True))
    shutil.rmtree(store.path)
    return Cost(*cost)


def least(found: list[Cost]) -> Cost:
    """The least of each of several runs."""
    return Cost(*map(min, zip(*found, strict=True)))


def plain_loop(store: stores.Store) -> None:
    """Write every unit, one after the other."""
    for unit in range(store.units()):
        store.write_unit(unit, CHUNK)


def scan_on(executor: Executor) -> Callable[[stores.Store], None]:
    """A scan on an executor that runs."""
    return lambda store: run_scan(store.path, EMPTY, executor).require()


def bench_overhead(folder: Path, sizes: list[int]) -> None:
    """The engine on three executors, against a plain loop."""
    with in_process(WORKERS) as threads, local(WORKERS) as processes:
        executors = {
            "in-process": in_process(),
            f"{WORKERS} threads": threads,
            f"local, {WORKERS} processes": processes,
        }
        for executor in executors.values():
            timed(folder, COLUMNS, scan_on(executor))  # imports
        for chunks in sizes:
            rows: dict[str, list[Cost]] = {name: [] for name in ("", *executors)}
            for _ in range(max(1, min(5, 3000 // chunks))):
                rows[""].append(timed(folder, chunks, plain_loop))
                for name, executor in executors.items():
                    rows[name].append(timed(folder, chunks, scan_on(executor)))
            plain, *each = (least(found) for found in rows.values())
            text = f"{plain.clock:.2f} ms"
            line(f"{chunks} chunks: a plain loop of write_unit, a chunk on the clock", text)
            for name, cost in zip(executors, each, strict=True):
                line(f"  {name}: a chunk on the clock", f"{cost.clock:.2f} ms")
                line("    the engine, a chunk", f"{cost.total - plain.total:.2f} ms")
            line("    ... client and scheduler alone", f"{each[-1].client:.2f} ms")


def write_alone(path: str, unit: int) -> None:
    """Write one chunk of each variable, and nothing else."""
    row, column = divmod(unit, COLUMNS)
    for name in NAMES:
        array = opened(path, name)
        array[row : row + 1, column * LENGTH : (column + 1) * LENGTH] = CHUNK[name]


def opened(path: str, name: str) -> Any:
    """An array of a store, by Zarr."""
    import zarr

    return zarr.open_array(path, path=f"grid/empty/{name}", mode="r+")


def bench_naive(folder: Path, sizes: list[int]) -> None:
    """The same chunks by plain Dask, on a cluster of the same processes; without any record."""
    with (
        local(WORKERS) as executor,
        distributed.LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):

        def futures(store: stores.Store) -> None:
            calls = client.map(write_alone, [str(store.path)] * store.units(), range(store.units()))
            client.gather(calls)

        def graph(store: stores.Store) -> None:
            group = store.plan.groups[0]
            blocks = tuple((c,) * n for c, n in zip(group.chunks, group.counts, strict=True))
            lazy = {n: (group.dims, da.map_blocks(ready_block, chunks=blocks)) for n in NAMES}
            whole = {dim: slice(0, size) for dim, size in zip(group.dims, group.shape, strict=True)}
            files = f"{store.path}/{group.path}"
            xr.Dataset(lazy).to_zarr(files, region=whole, zarr_format=3, consolidated=False)

        ways = {"one future a chunk": futures, "xarray, map_blocks into regions": graph}
        for call in (scan_on(executor), *ways.values()):
            timed(folder, COLUMNS, call)
        for chunks in sizes:
            found: dict[str, list[Cost]] = {}
            for _ in range(max(1, min(5, 1000 // chunks))):
                for name, call in {"ours": scan_on(executor), **ways}.items():
                    found.setdefault(name, []).append(timed(folder, chunks, call))
            ours = least(found.pop("ours"))
            for name, runs in found.items():
                theirs = least(runs)
                line(f"{chunks} chunks: {name}, a chunk", f"{theirs.clock:.2f} ms")
                text = f"{theirs.clock / ours.clock:.2f}"
                line("  relative to ours, which enters them into the ledger", text)


def ready_block(block_info: Any = None) -> np.ndarray:
    """Return a chunk that is ready, to `dask.array.map_blocks`."""
    return CHUNK[NAMES[0]]


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="100,000 chunks as well, 20 minutes")
    parser.add_argument("--short", action="store_true", help="up to 1000 chunks, a minute")
    parser.add_argument("--folder", help="where the stores are written; a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lmltgrid-", dir=given.folder) as folder:
        sizes = [100, 1000, *([] if given.short else [10_000]), *([100_000] if given.full else [])]
        bench_overhead(Path(folder), sizes)
        bench_naive(Path(folder), [100, 1000])


if __name__ == "__main__":
    main()
