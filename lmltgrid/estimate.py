"""What a scan will be and cost, before anything of it is computed or stored.

The specification is checked as `lmltgrid.run` checks it; the numbers are those of its axes and of
short measurements in this process, see `lmltgrid.calibration`. The work and the memory grow with
the axes, never with the points or the chunks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

from lmltgrid import grid, layouts, toy_calibration
from lmltgrid.calibration import Sample, measure
from lmltgrid.cluster import Choice, choose
from lmltgrid.ledger import PER_FOLDER
from lmltgrid.plan import GroupLayout
from lmltgrid.spec import ScanSpec, read_spec
from lmltgrid.storage import Address, address, storage_of
from lmltgrid.store import free_bytes, taken

# bytes of a worker before it holds anything: interpreter, libraries and compiled kernels, measured
OVERHEAD: Final = 400_000_000
COPIES: Final = 3  # of a chunk at once: its values, what they are computed from, and compressed
HOUR: Final = 3600.0


@dataclass(frozen=True)
class Part:
    """The share of one experiment's grid, or of its pseudo-experiments.

    Attributes
    ----------
    experiment
        Its name; with ``toys/`` before it for pseudo-experiments.
    shape, chunk
        Lengths of the grid and of a chunk, by dimension.
    points, chunks, nbytes
        How many; the bytes of all variables before compression.
    files
        Files and folders of all chunks and markers: what the quota of a file system counts.
    chunk_nbytes
        Of all variables of one chunk.
    stored_nbytes
        Of all variables as compressed, estimated.
    moments_nbytes, state_nbytes
        What a worker holds of it.
    moments_seconds, load_seconds, chunk_seconds, startup_seconds
        See `lmltgrid.calibration.Sample`; a chunk is computed and written.
    chunks_seconds
        Of all chunks, on one core.
    """

    experiment: str
    shape: dict[str, int]
    chunk: dict[str, int]
    points: int
    chunks: int
    files: int
    nbytes: int
    chunk_nbytes: int
    stored_nbytes: int
    moments_nbytes: int
    state_nbytes: int
    moments_seconds: float
    load_seconds: float
    chunk_seconds: float
    startup_seconds: float
    chunks_seconds: float


@dataclass(frozen=True)
class Forecast:
    """What a scan will be and cost.

    Attributes
    ----------
    store
        Where its results would go.
    exists
        Whether something lies there already; a run would go on with it.
    identity
        The digest that tells two scans apart.
    parts
        One for each experiment.
    points, chunks, files, nbytes, stored_nbytes, moments_nbytes
        Sums over experiments. Bytes are before compression, but for ``stored_nbytes``.
    cluster, workers
        Where it would be computed, and by how many.
    worker_nbytes
        Memory of a worker: libraries, moments, what it makes of them, and a chunk.
    memory_nbytes
        What a worker may take: ``run.memory_mb`` (10^6 bytes), which "local" enforces, or
        ``memory_mb`` of the site file.
    free_nbytes
        Room at the place of the store.
    moments_seconds
        Before the first chunk, on one core, with the creation of the store.
    startup_seconds
        Of each process: kernels are compiled, tables read. Next to nothing in a process that has
        computed before.
    load_seconds
        Of each process: making its state from the moments.
    chunks_seconds
        Computing and writing all chunks, on one core.
    core_seconds
        Their sum, for all processes.
    seconds
        On the clock, if every worker has a core.
    problems
        Why the run would be refused, one sentence each.
    warnings
        Why it may fail, one sentence each.
    """

    store: Address
    exists: bool
    identity: str
    parts: tuple[Part, ...]
    points: int
    chunks: int
    files: int
    nbytes: int
    stored_nbytes: int
    moments_nbytes: int
    cluster: str
    workers: int
    worker_nbytes: int
    memory_nbytes: int
    free_nbytes: int | None
    moments_seconds: float
    startup_seconds: float
    load_seconds: float
    chunks_seconds: float
    core_seconds: float
    seconds: float
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def stored_nbytes_per_second(self) -> float:
        """What the file system must take, if it is not to limit the scan."""
        return self.stored_nbytes / max(self.seconds, 1e-9)

    @property
    def files_per_second(self) -> float:
        """Files and folders that it must make in a second then."""
        return self.files / max(self.seconds, 1e-9)

    @property
    def core_hours(self) -> float:
        """Hours of one core."""
        return self.core_seconds / HOUR

    def as_dict(self) -> dict[str, Any]:
        """Return everything, as JSON."""
        rates = ("core_hours", "stored_nbytes_per_second", "files_per_second")
        own = {name: getattr(self, name) for name in rates}
        return asdict(self) | {"store": str(self.store)} | own


def forecast(
    spec: ScanSpec | str | Path,
    *,
    store: Address | None = None,
    experiments: str | Path | None = None,
    cluster: str | None = None,
    workers: int | None = None,
) -> Forecast:
    """Check a scan completely, and say what it will be and cost; no store is created.

    Some moments and chunks are computed for the times, which takes seconds for each experiment; a
    few chunks are written into a temporary folder where the store would be, or, if that is on S3,
    on this machine, which may be faster.

    Parameters
    ----------
    spec
        From `load_spec`, or the TOML file.
    store
        The store, a folder or ``s3://bucket/name.zarr``; else ``run.store`` of the specification,
        else the file's name with ``.zarr``.
    experiments
        Folder of a user's own experiments.
    cluster, workers
        Override ``run.cluster`` and ``run.workers``.

    Raises
    ------
    SpecificationError
        The specification says something that is not allowed.
    MachineError
        The moments would not fit in memory.
    """
    read = spec if isinstance(spec, ScanSpec) else read_spec(Path(spec))
    where = "scan" if isinstance(spec, ScanSpec) else str(spec)
    name = "scan" if isinstance(spec, ScanSpec) else Path(spec).stem
    folder = None if experiments is None else Path(experiments)
    plan = grid.make_plan(read, experiments=folder, where=where)
    target = address(store or read.run.store or f"{name}.zarr")
    engine = choose(cluster or read.run.cluster, workers or read.run.workers, read.run.memory_mb)
    place, unwritable = _place(target)
    parts = [_part(layouts.of_grid(plan, e), measure(plan, e, place)) for e in plan.experiments]
    if plan.spec.toys is not None:
        parts += [
            _part(layouts.of_toys(plan, e), toy_calibration.measure(plan, e, place))
            for e in plan.experiments
        ]
    return _summed(plan, target, tuple(parts), engine, unwritable)


def _place(target: Address) -> tuple[Path, tuple[str, ...]]:
    """Return a folder for a few chunks, on the file system of the store if it can be written."""
    if not isinstance(target, Path):
        return Path(tempfile.gettempdir()), tuple(_unwritable(target))
    place = target.absolute().parent
    while not place.is_dir():
        place = place.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".lmltgrid-forecast-", dir=place):
            return place, ()
    except OSError as error:
        why = f"{place}: it cannot be written ({error.strerror}); give another --store"
        return Path(tempfile.gettempdir()), (why,)


def _unwritable(target: Address) -> Iterable[str]:
    """Say why nothing can be written where a store on a server is to be, if so."""
    try:
        storage_of(target).now()
    except OSError as error:
        yield f"{target}: it cannot be written ({error.strerror or error}); give another --store"


def _part(group: GroupLayout, sample: Sample) -> Part:
    shape, chunk = group.shape, group.chunks
    share = prod(shape) / prod(chunk)  # chunks, if those at the ends count by what they hold
    seconds = sample.evaluate_seconds + sample.write_seconds
    return Part(
        experiment=group.path.removeprefix("grid/"),
        shape=dict(zip(group.dims, shape, strict=True)),
        chunk=dict(zip(group.dims, chunk, strict=True)),
        points=prod(shape),
        chunks=group.units,
        files=_files(group),
        nbytes=group.nbytes,
        chunk_nbytes=group.unit_bytes,
        stored_nbytes=int(sample.stored_nbytes * share),
        moments_nbytes=sample.moments_nbytes,
        state_nbytes=sample.state_nbytes,
        moments_seconds=sample.moments_seconds,
        load_seconds=sample.load_seconds,
        chunk_seconds=seconds,
        startup_seconds=sample.startup_seconds,
        chunks_seconds=seconds * share,
    )


def _files(group: GroupLayout) -> int:
    """Return files and folders of chunks, a level for each axis, and of their markers."""
    levels = sum(prod(group.counts[:axis]) for axis in range(len(group.counts) + 1))
    return len(group.arrays) * levels + group.units + -(-group.units // PER_FOLDER)


def _summed(
    plan: grid.GridPlan,
    target: Address,
    parts: tuple[Part, ...],
    engine: Choice,
    problems: tuple[str, ...],
) -> Forecast:
    def total(name: str) -> Any:
        return sum(getattr(part, name) for part in parts)

    workers, processes = engine.workers, engine.processes
    chunk = COPIES * max(part.chunk_nbytes for part in parts)
    threads = workers // processes
    worker = OVERHEAD + total("moments_nbytes") + total("state_nbytes") + threads * chunk
    moments, chunks = total("moments_seconds"), total("chunks_seconds")
    begin = total("startup_seconds") + total("load_seconds")
    nbytes, free, exists = total("nbytes"), free_bytes(target), taken(target)
    memory = (engine.memory_mb or plan.spec.run.memory_mb) * 10**6
    if not exists and free is not None and free < nbytes:
        text = "make room, choose another place or a coarser scan"
        problems += (f"{target}: {nbytes} bytes are needed and {free} are free; {text}",)
    return Forecast(
        store=target,
        exists=exists,
        identity=plan.identity,
        parts=parts,
        points=total("points"),
        chunks=total("chunks"),
        files=total("files"),
        nbytes=nbytes,
        stored_nbytes=total("stored_nbytes"),
        moments_nbytes=total("moments_nbytes"),
        cluster=engine.name,
        workers=workers,
        worker_nbytes=worker,
        memory_nbytes=memory,
        free_nbytes=free,
        moments_seconds=moments,
        startup_seconds=total("startup_seconds"),
        load_seconds=total("load_seconds"),
        chunks_seconds=chunks,
        core_seconds=moments + processes * begin + chunks,
        seconds=moments + begin + chunks / min(workers, total("chunks")),
        problems=problems,
        warnings=tuple(_memory_warnings(engine, worker, memory)),
    )


def _memory_warnings(engine: Choice, worker: int, allowed: int) -> Iterable[str]:
    import psutil

    if engine.memory_mb is not None and worker > allowed:
        key = "run.memory_mb" if engine.name == "local" else f"{engine.name}: memory_mb"
        yield (
            f"{key}: a worker needs about {worker / 1e6:.0f} MB and may take "
            f"{allowed / 1e6:.0f} MB, beyond which it is killed; raise memory_mb, or lower chunk_mb"
        )
    if engine.name not in ("in-process", "local"):
        return  # the memory of other machines is not seen from here
    free, processes = psutil.virtual_memory().available, engine.processes
    if processes * worker > free:
        yield (
            f"memory: {processes} process(es) need about {processes * worker / 1e6:.0f} MB and "
            f"{free / 1e6:.0f} MB are free; take fewer workers or a smaller chunk_mb"
        )
