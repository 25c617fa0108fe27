"""Scans from end to end: specification to store, resume, status, verification, summary.

A store is enough to go on with: it holds the specification, the models and the moments, so a scan
is resumed without the files it was started from.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import xarray as xr
from numpy.typing import NDArray

from lmltgrid import grid
from lmltgrid import store as stores
from lmltgrid.bundle import Evaluator
from lmltgrid.cluster import Choice, choose, dashboard_words
from lmltgrid.errors import BusyError, SpecificationError, StoppedError
from lmltgrid.fill import evaluate, load_states, stored_spec
from lmltgrid.layouts import layout
from lmltgrid.plan import layout_bytes
from lmltgrid.progress import Audience, Journal, Reporter, show_progress
from lmltgrid.reaching import reaching
from lmltgrid.scan import run_scan
from lmltgrid.shard import Shard
from lmltgrid.signals import Terminated, sigterm_raises
from lmltgrid.spec import ScanSpec, read_spec
from lmltgrid.storage import Address, address
from lmltgrid.verify import repair_store, verify_store

LONGEST: Final = 3e9  # s, a century; a later end is none
CREATION: Final = 300.0  # s to wait for the store that another shard creates


@dataclass(frozen=True)
class Outcome:
    """How a scan ended, and what it found.

    Attributes
    ----------
    store
        The store.
    report
        Units and bytes, see `lmltgrid.report.Report.as_dict`.
    exit_code
        What the command returns.
    summary
        Limits and discovery exposures, see `summarize`; empty unless the scan is complete.
    figure
        A picture of the first plane, if one could be drawn.
    """

    store: Address
    report: dict[str, Any]
    exit_code: int
    summary: dict[str, Any]
    figure: Path | None


def run(
    spec_path: str | Path,
    *,
    store: Address | None = None,
    experiments: str | Path | None = None,
    cluster: str | None = None,
    workers: int | None = None,
    until: datetime | float | None = None,
    deadline: float | None = None,
    shard: str | None = None,
    log: str | Path | None = None,
    quiet: bool = False,
) -> Outcome:
    """Run the scan of a specification file, or go on with it if its store exists.

    Parameters
    ----------
    spec_path
        The TOML file.
    store
        The store, a folder or ``s3://bucket/name.zarr``; else ``run.store`` of the specification,
        else the file's name with ``.zarr``.
    experiments
        Folder of a user's own experiments.
    cluster, workers
        Override ``run.cluster`` and ``run.workers``; a cluster may also be the address of a
        scheduler, a scheduler file or a site file.
    until
        Stop after so many seconds, or at this time, with everything saved.
    deadline : s
        Give up if no unit ends for so long; overrides ``run.deadline_s``.
    shard
        ``k/N``, k from 1 to N: compute every N-th unit only, as a task of a job array does; the
        other shards may run at the same time. The first of them creates the store.
    log
        A file to which what happens is appended, a JSON object a line, see `lmltgrid.progress`.
    quiet
        No progress on stderr, nor in a notebook.

    Raises
    ------
    SpecificationError
        The specification is not valid, or the store is that of another scan.
    MachineError
        There is no room, another run holds the store, or the log cannot be written.
    StoppedError
        A SIGTERM arrived before or after the run itself, which it ends with a report.
    """
    stop = _end(until)
    spec_path, folder = Path(spec_path), None if experiments is None else Path(experiments)
    spec = read_spec(spec_path)
    target = address(store or spec.run.store or f"{spec_path.stem}.zarr")
    with Journal(log, target) as journal, _stoppable(target):
        plan = grid.make_plan(spec, experiments=folder, where=str(spec_path))
        begun = time.monotonic()
        part = None if shard is None else Shard.parse(shard)
        if not stores.taken(target):
            with show_progress(quiet=quiet) as screen:
                _create(target, plan, Audience(screen, journal), patient=part is not None)
        chosen, patience = _choose(spec, cluster, workers), deadline or spec.run.deadline_s
        report = _compute(target, chosen, stop, patience, plan.identity, part, journal, quiet=quiet)
        report["seconds_in_all"] = time.monotonic() - begun
        return _outcome(target, plan, report, folder)


def _create(
    target: Address, plan: grid.GridPlan, reporter: Reporter, *, patient: bool = False
) -> None:
    """Compute the moments and create the store; the moments take a few seconds.

    Shards are ``patient``: if another has created the store, or does so now, they use it. They
    compute the moments all the same, in the time that they would otherwise wait.

    Raises
    ------
    BusyError
        Another run has created the store meanwhile.
    MachineError
        There is no room.
    """
    new = layout(plan)
    stores.require_room(target, layout_bytes(new))
    names = ", ".join(experiment.name for experiment in plan.experiments)
    reporter.message(f"computing the moments of {names}, once for all models", "moments")
    moments = grid.compute_moments(plan)
    try:
        if stores.taken(target):
            raise stores.created_meanwhile(target)
        stores.create_store(target, new, moments)
    except BusyError:
        if not (patient and _appears(target)):
            raise


def _appears(target: Address) -> bool:
    """Return whether a store that another run creates comes into being soon."""
    end = time.monotonic() + CREATION
    while time.monotonic() < end:
        if stores.created(target):
            return True
        time.sleep(0.5)
    return False


@contextmanager
def _stoppable(target: Address) -> Iterator[None]:
    """Turn a SIGTERM outside of the run itself, which watches for it, into one sentence.

    Raises
    ------
    StoppedError
        Saying whether there is a store to resume.
    """
    try:
        with sigterm_raises():
            yield
    except Terminated:
        if stores.taken(target):
            raise StoppedError(
                f"{target}: stopped by a signal, all that was computed is saved; resume"
            ) from None
        raise StoppedError(
            f"{target}: stopped by a signal before the store was created; nothing is stored yet: "
            "run it again"
        ) from None


def resume(
    store: Address,
    *,
    experiments: str | Path | None = None,
    cluster: str | None = None,
    workers: int | None = None,
    until: datetime | float | None = None,
    deadline: float | None = None,
    shard: str | None = None,
    log: str | Path | None = None,
    quiet: bool = False,
) -> Outcome:
    """Finish the scan of a store; parameters as those of `run`."""
    stop = _end(until)
    path, folder = address(store), None if experiments is None else Path(experiments)
    with Journal(log, path) as journal, _stoppable(path):
        opened = stores.open_store(path)
        spec, held = stored_spec(opened), opened.plan.identity
        plan = _stored_plan(opened, spec, folder)
        if plan is not None and plan.identity != held:
            raise SpecificationError(
                f"{path}: the store holds scan {held[:12]}, this installation would compute "
                f"{plan.identity[:12]}: data files, experiments or physics have changed since; "
                "resume it with the version that began it, or run the scan into a new store"
            )
        part = None if shard is None else Shard.parse(shard)
        chosen, patience = _choose(spec, cluster, workers), deadline or spec.run.deadline_s
        report = _compute(path, chosen, stop, patience, held, part, journal, quiet=quiet)
        return _outcome(path, plan, report, folder)


def _stored_plan(
    store: stores.Store, spec: ScanSpec, experiments: Path | None
) -> grid.GridPlan | None:
    """Return the plan of a store, or None if its experiments are not at hand any more."""
    try:
        return grid.make_plan(spec, experiments=experiments, where=str(store.path))
    except SpecificationError:
        if experiments is not None:
            raise
        return None


def _end(until: datetime | float | None) -> datetime | float | None:
    """Return when to stop; seconds count from here, by a clock that nobody can set."""
    return until if until is None or isinstance(until, datetime) else time.monotonic() + until


def _moment(until: datetime | float | None) -> datetime | None:
    """Return when a run is to stop by the clock of the wall, as well as it can be told now."""
    if until is None or isinstance(until, datetime):
        return until
    return datetime.now(UTC) + timedelta(seconds=min(until - time.monotonic(), LONGEST))


def _choose(spec: ScanSpec, cluster: str | None, workers: int | None) -> Choice:
    return choose(cluster or spec.run.cluster, workers or spec.run.workers, spec.run.memory_mb)


def _compute(
    path: Address,
    chosen: Choice,
    until: datetime | float | None,
    deadline: float,
    identity: str,
    shard: Shard | None,
    journal: Journal,
    *,
    quiet: bool,
) -> dict[str, Any]:
    evaluator = Evaluator(load_states, evaluate)
    journal.identity = identity
    with (
        chosen.start() as executor,
        show_progress(quiet=quiet, widget=executor.widget) as screen,
    ):
        journal.started(executor.name, executor.slots, executor.dashboard, _moment(until))
        reporter = Audience(screen, journal)
        if executor.dashboard:
            words = dashboard_words(executor.dashboard, chosen.name)
            reporter.message(words, "dashboard", address=executor.dashboard)
        report = run_scan(
            path,
            evaluator,
            executor,
            reporter,
            identity=identity,
            until=until,
            deadline=deadline,
            shard=shard,
        )
        found = report.as_dict() | {"dashboard": executor.dashboard}
        journal.write("finished", report=found)
    return found


def open_store(path: Address) -> xr.DataTree:
    """Open a store lazily; missing units read as NaN, with a warning."""
    return stores.open_grid(path)


def status(path: Address) -> dict[str, Any]:
    """Return the state of a store, see `lmltgrid.store.status`."""
    return stores.status(path)


def verify(path: Address, *, deep: bool = False) -> dict[str, Any]:
    """Compare a store with its records; ``deep`` reads every byte and recomputes a sample.

    Returns
    -------
    dict
        ``ok``, ``problems`` (one sentence each), ``strays`` (files among the markers that are no
        marker of the scan), ``units``, ``finished``, ``recomputed``.
    """
    held = stores.open_store(path)
    with reaching(path):
        return _verified(held, deep=deep)


def _verified(held: stores.Store, *, deep: bool) -> dict[str, Any]:
    states = cache(load_states)

    def recompute(group: str, index: tuple[slice, ...]) -> dict[str, NDArray[Any]]:
        return evaluate(states(held), group, index)

    report = verify_store(held, deep=deep, evaluate=recompute if deep else None)
    return {
        "ok": report.ok,
        "problems": report.problems,
        "strays": [str(held.storage.at(name)) for name in report.strays],
        "units": report.units,
        "finished": report.finished,
        "recomputed": report.recomputed,
    }


def repair(path: Address) -> int:
    """Mark damaged units for `resume` to compute anew, and remove stray files.

    Returns
    -------
    int
        How many problems were mended.
    """
    held = stores.open_store(path)
    with reaching(path), show_progress() as reporter:
        return repair_store(path, verify_store(held, deep=True), reporter.message)


def _outcome(
    path: Address, plan: grid.GridPlan | None, report: dict[str, Any], experiments: Path | None
) -> Outcome:
    summary: dict[str, Any] = {}
    figure = None
    if report["ending"] == "complete" and plan is not None and stores.complete(path):
        from lmltgrid import summary as short

        summary = short.summarize(plan, experiments)
        figure = short.draw(path, plan)
    return Outcome(path, report, int(report["exit_code"]), summary, figure)


def summarize(store: Address, *, experiments: Path | None = None) -> dict[str, Any]:
    """Return the physics of a store's scan in short.

    Returns
    -------
    dict
        ``limits`` and ``discovery``: a list of cases each; empty without the experiments.
    """
    from lmltgrid import summary as short

    opened = stores.open_store(store)
    plan = _stored_plan(opened, stored_spec(opened), experiments)
    return {} if plan is None else short.summarize(plan, experiments)
