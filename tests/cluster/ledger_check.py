"""What holds after every run, however it ended: the report says what the ledger says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lmltgrid.report import EXIT_CODES, INTERRUPTED, Report
from lmltgrid.store import Store, open_store, status
from lmltgrid.verify import verify_store


def agrees(
    store: Store,
    report: Report | Mapping[str, Any],
    reference: Mapping[str, bytes] | None = None,
    *,
    before: Iterable[int] = (),
    held: int = 0,
) -> None:
    """Compare a report of a run with the store, read afresh.

    Parameters
    ----------
    report
        From `run_scan`, or the JSON of a program.
    reference
        Every file of the grid after an undisturbed run: each finished unit has its bytes.
    before
        The units that were finished when the run began.
    held
        How many leases there are afterwards.
    """
    told = report.as_dict() if isinstance(report, Report) else dict(report)
    fresh = open_store(store.path)
    markers = {unit: marker for unit, marker in fresh.ledger.markers() if marker is not None}
    now = markers.keys() - set(before)
    missing = set(range(fresh.units())) - markers.keys()
    assert told["total"] == fresh.units()
    assert (told["done_before"], told["done_now"]) == (len(set(before)), len(now))
    assert told["missing"] == len(missing)
    assert told["bytes"] == sum(markers[unit].nbytes for unit in now)
    assert (told["ending"] == "complete") == (not missing) == (not told["sentence"])
    assert told["exit_code"] == EXIT_CODES.get(told["ending"], INTERRUPTED)
    found = status(fresh.path)
    assert set(told["failed"]) == set(found["failed"]) <= missing
    assert (found["done"], found["complete"]) == (len(markers), not missing)
    assert len(found["leases"]) == held
    assert verify_store(fresh, deep=True).ok
    if reference is not None:
        files = {name for unit in markers for name in fresh.plan.place(unit).files().values()}
        assert {name: fresh.storage.read(name) for name in files} == {
            name: reference[name] for name in files
        }
