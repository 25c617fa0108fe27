"""Run a scan: compute the units of a store that are not finished, on any executor.

A call computes and writes a *bundle* of units (`lmltgrid.bundle`), sized so that it lasts about
half a second, longer for very many workers; a bounded window of calls is in flight. What is
finished is decided by the markers in the store alone. What is tried again, and how, is decided by
`lmltgrid.attempts`.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lmltgrid.attempts import Attempts
from lmltgrid.bundle import (
    TARGET,
    Bundle,
    Evaluator,
    lasting,
    run_bundle,
    target,
)
from lmltgrid.cluster import Executor, Outcome
from lmltgrid.errors import MachineError
from lmltgrid.lease import Lease, held
from lmltgrid.ledger import failure_words
from lmltgrid.progress import Message, Meter, Reporter, Silent
from lmltgrid.reaching import reaching
from lmltgrid.report import Report
from lmltgrid.shard import Shard
from lmltgrid.signals import StopSignals
from lmltgrid.store import Store, free_bytes, open_store
from lmltgrid.verify import discard_damaged, require_sound, verify_store

POLL = 0.5  # s to wait for a call before looking at signals
TEND = 2.0  # s between looks at workers and disk
RESERVE = 2**24  # bytes to leave free
GRACE = 10.0  # s at most for units that an abandoned run has in flight


class _Run:
    """One run on one store, under its lease."""

    def __init__(
        self,
        store: Store,
        evaluator: Evaluator,
        executor: Executor,
        reporter: Reporter,
        retries: int,
        lease: Lease,
        shard: Shard | None,
    ) -> None:
        self.store = store
        self.lease = lease
        self.shard = shard
        # workers may have another working directory
        self.where = str(store.path.absolute() if isinstance(store.path, Path) else store.path)
        self.evaluator = evaluator
        self.executor = executor
        self.reporter = reporter
        self.mine = np.ones(store.units(), bool) if shard is None else shard.units(store.units())
        # markers that could not be read are gone by now, so names suffice
        self.before = store.marked(shard)
        self.total, self.done_before = int(self.mine.sum()), int(self.before.sum())
        self.attempts = Attempts(np.flatnonzero(self.mine & ~self.before), retries)
        self.flying: dict[int, tuple[tuple[int, ...], bool]] = {}  # units; whether alone
        self.ending = self.sentence = ""
        self.done = self.bytes = self.failures = 0
        self.again: dict[str, list[int]] = {}  # units to be tried again, by reason; not told yet
        self.meter = Meter()
        self.pace = math.inf  # s a unit
        self.begun = self.moved = time.monotonic()
        self.tended = 0.0
        self.waiting = ""
        self.lost_any = self.abandoned = False

    def loop(self, watch: Callable[[], None]) -> None:
        """Submit, collect and settle until nothing is left or ``watch`` has stopped the run."""
        while True:
            watch()
            self.tend()
            self.tell()
            if not self.ending:
                self.refill()
            if not self.flying:
                break
            for outcome in self.executor.collect(POLL):
                self.settle(outcome)
        self.tell_retries()

    def tell(self) -> None:
        """Tell the reporter how far the scan is."""
        done, waiting = self.done_before + self.done, bool(self.waiting)
        look = self.meter.look(done, self.total, failed=self.failures, waiting=waiting)
        self.reporter.progress(look)

    def tell_retries(self) -> None:
        """Tell the reporter which units are tried again, and why."""
        for reason, units in self.again.items():
            text = f"{self.executor.name}: {len(units)} unit(s) are tried again ({reason})"
            self.reporter.message(text, "retry", units=units, reason=reason)
        self.again.clear()

    def stop(self, ending: str, sentence: str, message: str = "") -> None:
        """End the run when the units that are being computed are written.

        ``sentence`` is for the report, ``message`` for now, where that is another one.
        """
        if not self.ending:
            self.ending, self.sentence = ending, sentence
            self.reporter.message(message or sentence, "stopping", ending=ending)
            self.lease.stop()

    def abandon(self, sentence: str) -> None:
        """End the run now; nothing more is expected from the calls in flight."""
        self.stop("machine", sentence)
        self.abandoned |= self.lost_any or bool(self.flying)
        self.flying.clear()

    def lose(self) -> None:
        """End the run because its lease is another's."""
        self.abandon(f"{self.store.path}: another run has taken this store over; let it finish")

    def tend(self) -> None:
        """Every few seconds, look after workers and disk."""
        if time.monotonic() - self.tended < TEND:
            return
        self.tended = time.monotonic()
        self.tell_retries()
        try:
            self.executor.tend()
        except MachineError as error:
            self.abandon(f"{self.store.path}: {error}")
        waiting, before = self.executor.waiting(), self.waiting
        self.waiting = waiting
        if waiting:
            self.moved = time.monotonic()  # the executor itself knows how long is too long
        if waiting != before:
            text = waiting or f"{self.executor.name}: workers are there"
            self.reporter.message(text, "waiting" if waiting else "working")
        left = self.attempts.left + sum(len(units) for units, _ in self.flying.values())
        largest = max(group.unit_bytes for group in self.store.plan.groups)
        each = self.bytes / self.done if self.done else largest
        most = lasting(self.pace, target(self.executor.slots))
        needed = int(min(left, self.executor.window * most) * each) + RESERVE
        free = free_bytes(self.store.path)
        if left and free is not None and free < needed:
            self.stop(
                "machine",
                f"{self.store.path}: {needed} bytes are needed to go on and {free} are free; all "
                "that was computed is saved: make room, then resume",
            )

    def refill(self) -> None:
        """Submit calls until the window is full."""
        slots = self.executor.slots
        while len(self.flying) < self.executor.window:
            if any(alone for _, alone in self.flying.values()):
                return
            units, alone = self.attempts.take(slots, self.pace, idle=not self.flying)
            if not units:
                return
            fence = (self.lease.name, self.lease.token)
            call = (self.where, self.store.plan.token, self.evaluator, fence, units)
            try:
                self.flying[self.executor.submit(run_bundle, *call)] = units, alone
            except MachineError as error:
                self.abandon(f"{self.store.path}: {error}")
                return

    def settle(self, outcome: Outcome) -> None:
        """Enter how a call ended."""
        if outcome.ticket not in self.flying:
            return  # abandoned, by an outcome that came with it
        units, alone = self.flying.pop(outcome.ticket)
        if outcome.lost:
            self.settle_lost(units, alone, outcome.error)
        elif outcome.error is not None:
            text = f"{type(outcome.error).__name__}: {outcome.error}"
            self.stop("broken", f"{self.store.path}: a worker cannot run the scan ({text})")
        else:
            self.settle_result(outcome.value, units)

    def settle_result(self, result: Bundle, units: tuple[int, ...]) -> None:
        """Enter what a call answered."""
        self.done += len(result["done"])
        self.bytes += result["bytes"]
        ended = len(result["done"]) + len(result["failed"])
        if ended:
            self.moved = time.monotonic()
            pace = result["seconds"] / ended
            # the first unit of a process may compile for seconds: forget the past quickly
            self.pace = pace if math.isinf(self.pace) else min(pace, (self.pace + pace) / 2)
        for record in result["failed"]:
            if self.attempts.failed(record["unit"], again=record.pop("again")):
                reason = f"{record['type']}: {record['message']}"
                self.again.setdefault(reason, []).append(record["unit"])
            else:
                self.fail(record)
        if result["broken"]:
            self.stop("broken", result["broken"])
        elif result["machine"]:
            text = "all that was computed is saved: make room, check permissions or wait for the "
            self.stop("machine", f"{result['machine']}; {text}server, then resume")
        elif ended < len(units) and not self.ending:
            self.lose()  # a worker looks at the lease before each unit

    def settle_lost(self, units: tuple[int, ...], alone: bool, error: BaseException | None) -> None:
        """Find out what a lost call had finished; try the rest again, ever more carefully."""
        self.lost_any = True
        self.moved = time.monotonic()
        for unit in units:
            marker = self.store.ledger.marker(unit)
            if marker is not None:
                self.done += 1
                self.bytes += marker.nbytes
                continue
            if self.attempts.died(unit, alone=alone):
                reason = f"lost with their process: {type(error).__name__}"
                self.again.setdefault(reason, []).append(unit)
                continue
            text = (
                f"its process died {self.attempts.strikes[unit]} times with this unit alone "
                f"({type(error).__name__}); does it need more memory than it may take?"
            )
            self.fail({"unit": unit, "type": "WorkerLost", "message": text})

    def fail(self, record: dict[str, Any]) -> None:
        """Record that a unit cannot be computed, and go on."""
        unit = record["unit"]
        self.failures += 1
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record |= self.store.where(unit) | {"attempts": self.attempts.strikes[unit], "time": now}
        text = f"unit {unit} of {record['group']} failed: {failure_words(record)}"
        self.reporter.message(text, "failed", record=record)
        try:
            self.store.ledger.fail(unit, record)
        except OSError as error:
            self.stop("machine", f"{self.store.path}: it cannot be written ({error.strerror})")

    def report(self) -> Report:
        """Look at the markers again, read the new ones, and say how the run ended."""
        done, nbytes = self.store.marked(self.shard), 0
        for unit, marker in self.store.ledger.markers_of(np.flatnonzero(done & ~self.before)):
            if marker is None:
                done[unit] = False
            else:
                nbytes += marker.nbytes
        missing = int((self.mine & ~done).sum())
        records = sorted(self.store.ledger.failures())
        failed = tuple(u for u in records if u < done.size and self.mine[u] and not done[u])
        of = f" of shard {self.shard}" if self.shard else ""
        partial = f"{self.store.path}: {missing} of {self.total} units{of} are missing"
        if failed:
            partial += f", {len(failed)} failed; see their records with status"
        return Report(
            path=str(self.store.path),
            ending="complete" if not missing else self.ending or "partial",
            sentence=(self.sentence or f"{partial}; resume to try again") if missing else "",
            total=self.total,
            shard=str(self.shard or ""),
            done_before=self.done_before,
            done_now=int((done & ~self.before).sum()),
            failed=failed,
            missing=missing,
            seconds=time.monotonic() - self.begun,
            bytes=nbytes,
        )


def run_scan(
    path: str | Path,
    evaluator: Evaluator,
    executor: Executor,
    reporter: Reporter | None = None,
    *,
    identity: str | None = None,
    until: datetime | float | None = None,
    retries: int = 2,
    deadline: float = 600.0,
    shard: Shard | None = None,
) -> Report:
    """Compute the units of a store that are not finished; begin and resume are the same.

    Parameters
    ----------
    executor
        Where to compute; entered already.
    identity
        Refuse a store of another scan.
    until
        Stop at this time of the wall clock, or of `time.monotonic`, which nobody can set, as if by
        SIGTERM: nothing is lost.
    retries
        How often a unit is tried again whose process died or whose machine refused.
    deadline : s
        Give up if no unit ends for so long.
    shard
        Compute these units only; other shards of the same division may run elsewhere.

    Raises
    ------
    SpecificationError, VerificationError
        The store cannot be used.
    MachineError
        Another run holds it, or it cannot be written.
    KeyboardInterrupt
        Ctrl-C was pressed twice.
    """
    reporter = reporter or Silent()
    store = open_store(path, identity)
    with (
        reaching(store.path, "then resume: all that was computed is saved"),
        _going_on(store),
        StopSignals() as signals,
        Lease(store.path, reporter.message, shard) as lease,
    ):
        _recover(store, reporter.message, lease, shard)
        run = _Run(store, evaluator, executor, reporter, retries, lease, shard)
        run.loop(lambda: _watch(run, signals, lease, until, deadline))
        if run.abandoned:
            # a worker that cannot be reached ends with its unit: the report shall have it
            time.sleep(min(2.0 * max(run.pace, TARGET), GRACE))
        if run.lost_any and shard is None:
            store.sweep()
        return run.report()


@contextmanager
def _going_on(store: Store) -> Iterator[None]:
    """Remove the file that stops a run when nobody is left whom it should stop."""
    try:
        yield
    finally:
        with suppress(OSError):
            if not any(held(store.storage)):
                store.ledger.go_on()


def _reached(until: datetime | float) -> bool:
    if isinstance(until, datetime):
        return time.time() >= until.timestamp()
    return time.monotonic() >= until


def _watch(
    run: _Run,
    signals: StopSignals,
    lease: Lease,
    until: datetime | float | None,
    deadline: float,
) -> None:
    """Stop the run if there is reason to."""
    path = run.store.path
    if signals.caught is signal.SIGINT:
        run.stop(
            "interrupted",
            f"{path}: stopped by Ctrl-C, all that was computed is saved; resume to go on",
            f"{path}: stopping after Ctrl-C; once more to abort at once",
        )
    elif signals.caught is not None:
        run.stop("stopped", f"{path}: stopped by a signal, all that was computed is saved; resume")
    elif until is not None and _reached(until):
        end = until if isinstance(until, datetime) else datetime.now(UTC)
        when = f"{end.astimezone():%Y-%m-%d %H:%M:%S %Z}"
        run.stop("stopped", f"{path}: stopped at {when}, all that was computed is saved; resume")
    elif run.store.ledger.asked_to_stop():
        run.stop(
            "stopped", f"{path}: stopped by {run.store.ledger.stop_file}, all is saved; resume"
        )
    if lease.lost:
        run.lose()
    if run.flying and time.monotonic() - run.moved > deadline:
        run.abandon(
            f"{path}: no unit ended for {deadline:.0f} s on {run.executor.name}; look at the "
            "workers, then resume, with a longer deadline if units take so long"
        )


def _recover(store: Store, message: Message, lease: Lease, shard: Shard | None) -> None:
    """Clean up after earlier runs, and refuse or mend what is not what its record says.

    What everything is computed from is compared byte for byte, the chunks by their sizes. A shard
    leaves unfinished files, which may be those of another.
    """
    if all(name == lease.name for name, _ in held(store.storage)):  # no other shard is at work
        store.ledger.go_on()
    if shard is None and (swept := store.sweep()):
        message(f"{store.path}: {swept} unfinished file(s) of an earlier run removed")
    require_sound(store)
    discard_damaged(store, verify_store(store, shard=shard), message)
