"""Look at a scan from outside, again and again, until it has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from lmltgrid.lease import look
from lmltgrid.plan import PLAN
from lmltgrid.progress import Meter, Progress
from lmltgrid.storage import Address
from lmltgrid.store import Store, open_store

SHARE: Final = 0.1  # of the time that may go into looking: file servers have other work


@dataclass(frozen=True)
class Look:
    """A store at a moment, as the names of its records tell.

    Attributes
    ----------
    progress
        Units that are marked, failed ones without the rest, and how fast they grow.
    groups
        Units and how many of them are marked, by group.
    holders
        Who holds the store or shards of it, see `lmltgrid.lease.look`.
    stopping
        Whether the run is asked to stop.
    """

    progress: Progress
    groups: dict[str, tuple[int, int]]
    holders: list[dict[str, Any]]
    stopping: bool

    @property
    def complete(self) -> bool:
        """Whether all units are marked."""
        return self.progress.done == self.progress.total

    @property
    def busy(self) -> bool:
        """Whether a run works on what is missing."""
        return not self.complete and any(not holder["stale"] for holder in self.holders)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, as JSON."""
        now = self.progress
        groups = {
            name: {"units": units, "done": done} for name, (units, done) in self.groups.items()
        }
        return {
            "units": now.total,
            "done": now.done,
            "failed": now.failed,
            "groups": groups,
            "units_per_second": now.rate,
            "seconds_left": now.remaining,
            "leases": self.holders,
            "stopping": self.stopping,
            "complete": self.complete,
        }


def watch(path: Address, seconds: float) -> Iterator[Look]:
    """Look at a store every so many seconds, as long as a run works on it; at least once.

    Only the names of records are read, so that this is cheap: what a damaged record is worth,
    `lmltgrid.store.status` says.

    Raises
    ------
    SpecificationError
        There is no store, or not any more.
    """
    store, meter = open_store(path), Meter()
    while True:
        begun = time.monotonic()
        if not store.storage.exists(PLAN):  # removed, or another one is being created
            store = open_store(path, store.plan.identity)
        seen = _look(store, meter)
        took = time.monotonic() - begun
        yield seen
        if not seen.busy:
            return
        time.sleep(max(seconds, took / SHARE))


def _look(store: Store, meter: Meter) -> Look:
    # the holders first: a run that has ended since has marked all that it will
    holders, stopping = look(store.storage), store.ledger.asked_to_stop()
    marked = np.array(store.ledger.marked(), dtype=np.int64)
    marked = marked[marked < store.units()]
    failed = np.setdiff1d(store.ledger.failed(), marked)
    groups, start = {}, 0
    for group in store.plan.groups:
        first, last = np.searchsorted(marked, (start, start + group.units))
        groups[group.path] = group.units, int(last - first)
        start += group.units
    progress = meter.look(marked.size, store.units(), failed=failed.size)
    return Look(replace(progress, seconds=None), groups, holders, stopping)
