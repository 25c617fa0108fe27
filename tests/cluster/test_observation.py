"""What is told of a scan, while it runs and when it ends, is what its ledger holds."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fake_scan
import pytest
from click.testing import CliRunner
from dead_process import dead_process
from scan_programs import wait_for, wait_for_units

from lmltgrid import cluster, scan, service
from lmltgrid.bundle import Evaluator
from lmltgrid.cli import main
from lmltgrid.cluster import Executor, dashboard_words
from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.lease import Lease
from lmltgrid.progress import Journal
from lmltgrid.report import Report
from lmltgrid.scan import run_scan
from lmltgrid.service import Outcome
from lmltgrid.storage import LocalStorage
from lmltgrid.store import Store, status
from lmltgrid.watch import Look, watch

PLAIN = fake_scan.evaluator(fake_scan.plain)
SLOW = fake_scan.evaluator(fake_scan.slow)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def events(log: Path, kind: str = "") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [event for event in found if kind in ("", event["event"])]


def observed(store: Store, log: Path, evaluator: Evaluator, **asked: Any) -> Report:
    """Run a scan on two threads, with a log."""
    with cluster.in_process(2) as executor, Journal(log, store.path) as journal:
        return run_scan(store.path, evaluator, executor, journal, **asked)


def complete(store: Store, log: Path, patch: pytest.MonkeyPatch) -> Report:
    return observed(store, log, PLAIN)


def complete_before(store: Store, log: Path, patch: pytest.MonkeyPatch) -> Report:
    run_scan(store.path, PLAIN, cluster.in_process())
    return observed(store, log, PLAIN)


def partial(store: Store, log: Path, patch: pytest.MonkeyPatch) -> Report:
    return observed(store, log, fake_scan.evaluator(fake_scan.raising))


def mended(store: Store, log: Path, patch: pytest.MonkeyPatch) -> Report:
    run_scan(store.path, fake_scan.evaluator(fake_scan.raising), cluster.in_process())
    store.discard([0])
    return observed(store, log, PLAIN)


def stopped(store: Store, log: Path, patch: pytest.MonkeyPatch) -> Report:
    store.write_unit(3, fake_scan.plain({}, "grid/fake", store.plan.place(3).index))
    return observed(store, log, SLOW, until=datetime.now(UTC) + timedelta(seconds=0.4))


def interrupted(store: Store, log: Path, patch: pytest.MonkeyPatch) -> Report:
    def ask() -> None:  # not before its handler is there: it would end the tests
        wait_for_units(store, 1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=ask, daemon=True).start()
    return observed(store, log, SLOW)


def full(store: Store, log: Path, patch: pytest.MonkeyPatch) -> Report:
    fake_scan.fill_up(patch)
    return observed(store, log, PLAIN)


def silent(store: Store, log: Path, patch: pytest.MonkeyPatch) -> Report:
    return observed(store, log, fake_scan.evaluator(fake_scan.stuck), deadline=0.8)


def broken(store: Store, log: Path, patch: pytest.MonkeyPatch) -> Report:
    return observed(store, log, Evaluator(fake_scan.load_never, fake_scan.plain))


Ending = Callable[[Store, Path, pytest.MonkeyPatch], Report]


@pytest.mark.parametrize(
    ("end", "ending", "code", "done", "before"),
    [
        (complete, "complete", 0, 12, set()),
        (complete_before, "complete", 0, 12, set(range(12))),
        (mended, "complete", 0, 12, set(range(12)) - {0, fake_scan.BAD}),
        (partial, "partial", 4, 11, set()),
        (stopped, "stopped", 75, None, {3}),
        (interrupted, "interrupted", 130, None, set()),
        (full, "machine", 6, None, set()),
        (silent, "machine", 6, None, set()),
        (broken, "broken", 1, 0, set()),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_every_ending_tells_what_the_ledger_holds(
    store: Store,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: Ending,
    ending: str,
    code: int,
    done: int | None,
    before: set[int],
) -> None:
    with monkeypatch.context() as patch:
        report = end(store, log, patch)
    markers = {unit: marker for unit, marker in store.ledger.markers() if marker}
    assert (report.ending, report.exit_code) == (ending, code)
    assert done in (None, len(markers))
    if done is None:
        assert 0 < len(markers) < 12
    assert (report.total, report.missing) == (12, 12 - len(markers))
    assert (report.done_before, report.done_now) == (len(before), len(markers) - len(before))
    assert set(report.failed) == set(store.ledger.failed()) - set(markers)
    assert report.bytes == sum(m.nbytes for unit, m in markers.items() if unit not in before)
    assert (report.sentence == "") == (ending == "complete")

    held = status(store.path)
    assert (held["done"], held["complete"]) == (len(markers), ending == "complete")
    assert set(held["failed"]) == set(report.failed)

    (last,) = watch(store.path, 0.1)
    assert (last.progress.done, last.progress.failed) == (len(markers), len(report.failed))
    assert (last.complete, last.busy, last.stopping) == (ending == "complete", False, False)

    told = events(log, "progress")[-1]
    assert (told["done"], told["total"]) == (len(markers), 12)
    assert told["failed"] == len(report.failed)
    assert len(events(log, "stopping")) == (ending not in ("complete", "partial"))

    outcome = Outcome(store.path, report.as_dict(), report.exit_code, {}, None)
    monkeypatch.setattr(service, "resume", lambda *_, **__: outcome)
    shown = CliRunner().invoke(main, ["resume", str(store.path)])
    assert shown.exit_code == code
    there = f" ({len(before)} were there before)" if before else ""
    assert f"Scan {ending}: {len(markers)} of 12 units{there}, " in shown.stdout
    assert shown.stderr == (f"lmltgrid: {report.sentence}\n" if code else "")


def test_a_failed_unit_is_told_with_its_coordinates(store: Store, log: Path) -> None:
    observed(store, log, fake_scan.evaluator(fake_scan.raising))
    (failed,) = events(log, "failed")
    assert failed["record"] == status(store.path)["failed"][fake_scan.BAD]
    assert failed["record"]["coordinates"]["exposure"] == [pytest.approx(8.1113, abs=1e-4)] * 2
    assert failed["message"] == (
        "unit 5 of grid/fake failed: ValueError: no root in this cell (exposure 8.1113, "
        "mass 1 to 100, coupling 1 to 100)"
    )


def test_a_unit_that_is_tried_again_is_told(store: Store, log: Path) -> None:
    assert observed(store, log, fake_scan.evaluator(fake_scan.moody)).ending == "complete"
    (again,) = events(log, "retry")
    assert (again["units"], again["reason"]) == ([5], "OSError: [Errno 5] Input/output error")
    assert "in-process: 1 unit(s) are tried again (OSError: " in again["message"]


@pytest.mark.cluster
@pytest.mark.faults
def test_a_worker_that_dies_is_told(store: Store, log: Path, local: Executor) -> None:
    with Journal(log, store.path) as journal:
        report = run_scan(store.path, fake_scan.evaluator(fake_scan.torn_once), local, journal)
    assert report.ending == "complete"
    lost = [event for event in events(log, "retry") if "lost with their process" in event["reason"]]
    assert fake_scan.BAD in {unit for event in lost for unit in event["units"]}


def test_what_is_waited_for_is_told(
    store: Store, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "TEND", 0.0)

    class Queued(type(cluster.in_process(2))):  # type: ignore[misc]
        looks = 0

        def waiting(self) -> str:
            self.looks += 1
            return "slurm: waiting for a worker; 1 job(s) submitted" if self.looks < 4 else ""

        def collect(self, timeout: float) -> Any:
            return [] if self.looks < 4 else super().collect(timeout)

    with Queued(2) as executor, Journal(log, store.path) as journal:
        run_scan(store.path, PLAIN, executor, journal)
    kinds = [event["event"] for event in events(log) if event["event"] != "progress"]
    assert kinds == ["waiting", "working"]
    assert events(log, "progress")[0]["waiting"] is True
    assert events(log, "progress")[-1]["waiting"] is False


class TestWatch:
    def test_a_running_scan_is_followed_to_its_end(self, store: Store) -> None:
        with cluster.in_process(2) as executor:
            runs = threading.Thread(target=run_scan, args=(store.path, SLOW, executor))
            runs.start()
            wait_for(lambda: store.storage.exists("_ledger/lease.json"), "there is no lease")
            looks = list(watch(store.path, 0.1))
            runs.join()
        counts = [look.progress.done for look in looks]
        assert counts == sorted(counts)
        assert len(set(counts)) > 2
        assert [holder["pid"] for holder in looks[0].holders] == [os.getpid()]
        assert (looks[0].busy, looks[0].progress.rate) == (True, None)
        assert looks[-2].progress.rate > 0
        assert (looks[-1].complete, looks[-1].busy) == (True, False)
        assert looks[-1].groups == {"grid/fake": (12, 12)}

    def test_a_run_that_is_gone_ends_it(self, store: Store) -> None:
        lease = Lease(store.path, lambda _: None)
        with lease:
            held = lease.path.read_text()
            assert next(watch(store.path, 0.1)).busy
        pid = dead_process()
        lease.path.write_text(held.replace(f'"pid":{os.getpid()}', f'"pid":{pid}'))
        (look,) = watch(store.path, 0.1)
        (holder,) = look.holders
        assert (holder["stale"], look.busy, look.complete) == (True, False, False)

    def test_names_are_read_alone(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        run_scan(store.path, fake_scan.evaluator(fake_scan.raising), cluster.in_process())

        def refuse(*_: Any) -> Any:
            raise AssertionError("a record was read")

        monkeypatch.setattr(LocalStorage, "read_each", refuse)
        (look,) = watch(store.path, 0.1)
        assert (look.progress.done, look.progress.failed) == (11, 1)

    def test_a_store_that_is_removed_meanwhile_ends_it(self, store: Store) -> None:
        with Lease(store.path, lambda _: None):
            looks = watch(store.path, 0.1)
            next(looks)
            store.path.rename(store.path.with_name("away.zarr"))
            with pytest.raises(SpecificationError, match="there is no store here"):
                next(looks)
            store.path.with_name("away.zarr").rename(store.path)

    def test_looking_takes_a_small_part_of_the_time(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock, slept = [100.0], []
        monkeypatch.setattr("lmltgrid.watch.time.monotonic", lambda: clock[0])
        monkeypatch.setattr("lmltgrid.watch.time.sleep", slept.append)

        def slow(*_: Any) -> Look:
            clock[0] += 3.0  # a million names on a busy file server
            return seen

        with Lease(store.path, lambda _: None):
            looks = watch(store.path, 2.0)
            seen = next(looks)
            monkeypatch.setattr("lmltgrid.watch._look", slow)
            next(looks)
            next(looks)
        assert slept == [2.0, pytest.approx(30.0)]


class TestDashboard:
    def test_a_cluster_of_this_machine_is_at_its_address(self) -> None:
        address = "http://127.0.0.1:8787/status"
        assert dashboard_words(address, "local") == f"workers and memory are shown at {address}"

    def test_that_of_a_site_is_reached_through_a_tunnel(self) -> None:
        words = dashboard_words("http://127.0.0.1:41234/status", "deploy/slurm.toml")
        assert "; from another machine first: ssh -L 41234:127.0.0.1:41234 " in words

    def test_one_that_listens_to_others_needs_none(self) -> None:
        assert "ssh" not in dashboard_words("http://10.1.2.3:8787/status", "site.toml")

    @pytest.mark.cluster
    def test_every_cluster_has_what_a_notebook_shows(
        self, local: Executor, running: Executor
    ) -> None:
        assert "LocalCluster" in local.widget._repr_html_()
        assert "Client" in running.widget._repr_html_()
        assert cluster.in_process().widget is cluster.in_process(2).widget is None


SPEC = """
models = ["Lmu-Ltau"]
mixing = "amaral2021"
oscillation = "amaral2021"
experiments = ["darwin-nr"]
mass = { values = [15.0] }
coupling = { values = [4e-4, 5e-4] }
threshold = { values = [1.0] }
"""


def test_the_log_of_runs_from_a_specification_to_their_ends(tmp_path: Path, log: Path) -> None:
    spec, path = tmp_path / "scan.toml", tmp_path / "a.zarr"
    spec.write_text(SPEC)
    stopped = service.run(spec, store=path, until=0.0, log=log, quiet=True)
    with Lease(path, lambda _: None), pytest.raises(MachineError):
        service.resume(path, log=log, quiet=True)
    ended = service.resume(path, log=log, quiet=True)
    found = events(log)
    kinds = [event["event"] for event in found]
    assert kinds == [
        *("moments", "started", "stopping", "progress", "finished"),
        *("started", "error"),
        *("started", "progress", "progress", "finished"),
    ]
    identity = service.status(path)["identity"]
    assert {event["identity"] for event in found[1:]} == {identity}
    assert {event["store"] for event in found} == {str(path)}
    reports = [event["report"] for event in events(log, "finished")]
    assert reports[0]["exit_code"] == 75
    for report, outcome in zip(reports, (stopped, ended), strict=True):
        known = dict(outcome.report)
        known.pop("seconds_in_all", None)
        assert report == json.loads(json.dumps(known))
    (error,) = events(log, "error")
    assert (error["type"], error["exit_code"]) == ("BusyError", 6)
    assert "another run holds this store" in error["message"]
