"""Scans on every executor: same bytes, same report, resumable."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fake_scan
import pytest
from dead_process import dead_process

from lmltgrid import cluster
from lmltgrid.bundle import Evaluator
from lmltgrid.cluster import Executor
from lmltgrid.errors import (
    LmltgridError,
    MachineError,
    PartialStoreError,
    SpecificationError,
    StoppedError,
)
from lmltgrid.lease import STALE, Lease
from lmltgrid.report import Report
from lmltgrid.scan import run_scan
from lmltgrid.spec import RunSpec
from lmltgrid.store import Store, status

PLAIN = fake_scan.evaluator(fake_scan.plain)


def test_a_scan_is_complete_and_the_same_everywhere(
    store: Store, executor: Executor, reference: dict[str, bytes]
) -> None:
    notes = fake_scan.Notes()
    report = run_scan(store.path, PLAIN, executor, notes, identity=store.plan.identity)
    assert (report.ending, report.exit_code) == ("complete", 0)
    assert (report.total, report.done_before, report.done_now) == (12, 0, 12)
    assert (report.failed, report.missing) == ((), 0)
    assert report.bytes == sum(m.nbytes for _, m in store.ledger.markers() if m)
    assert report.rate > 0
    report.require()
    assert fake_scan.chunk_bytes(store) == reference
    assert notes.counts[-1] == (12, 12)
    assert notes.counts == sorted(notes.counts)
    assert notes.texts == []
    assert {p.name for p in store.ledger.folder.iterdir()} == {"plan.json", "done"}


def test_a_resumed_scan_computes_what_is_missing_only(
    store: Store, executor: Executor, reference: dict[str, bytes]
) -> None:
    run_scan(store.path, PLAIN, executor)
    before = dict(store.ledger.markers())
    store.discard([2, 7])
    report = run_scan(store.path, PLAIN, executor)
    assert (report.done_before, report.done_now, report.missing) == (10, 2, 0)
    after = dict(store.ledger.markers())
    assert {u for u in after if after[u] != before[u]} <= {2, 7}
    assert fake_scan.chunk_bytes(store) == reference
    again = run_scan(store.path, PLAIN, executor)
    assert (again.done_before, again.done_now, again.ending) == (12, 0, "complete")


def test_a_unit_that_raises_is_recorded_and_the_others_go_on(
    store: Store, executor: Executor, reference: dict[str, bytes]
) -> None:
    notes = fake_scan.Notes()
    evaluator = fake_scan.evaluator(fake_scan.raising)
    report = run_scan(store.path, evaluator, executor, notes, until=fake_scan.patience())
    assert (report.ending, report.exit_code, report.failed) == ("partial", 4, (fake_scan.BAD,))
    assert (report.done_now, report.missing) == (11, 1)
    with pytest.raises(PartialStoreError, match="1 of 12 units are missing, 1 failed"):
        report.require()
    record = status(store.path)["failed"][fake_scan.BAD]
    assert (record["type"], record["message"]) == ("ValueError", "no root in this cell")
    assert record["index"]["exposure"] == [5, 6]
    assert record["coordinates"]["mass"] == pytest.approx([1.0, 100.0])
    assert "raising" in record["traceback"]
    assert len(notes.texts) == 1
    # an exception of the evaluator is no accident: tried once only
    control = Path(store.attrs["control"])
    assert fake_scan.attempts(control, "raise") == record["attempts"] == 1
    assert run_scan(store.path, PLAIN, executor).ending == "complete"
    assert status(store.path)["failed"] == {}
    assert fake_scan.chunk_bytes(store) == reference


def test_a_machine_in_a_bad_mood_is_asked_again(store: Store, executor: Executor) -> None:
    report = run_scan(store.path, fake_scan.evaluator(fake_scan.moody), executor)
    assert report.ending == "complete"
    assert fake_scan.attempts(Path(store.attrs["control"]), "mood") == 2


@pytest.mark.parametrize("retries", [0, 2])
def test_a_machine_that_always_refuses_is_given_up(
    store: Store, executor: Executor, retries: int
) -> None:
    evaluator = fake_scan.evaluator(fake_scan.gloomy)
    report = run_scan(store.path, evaluator, executor, retries=retries, until=fake_scan.patience())
    assert (report.ending, report.exit_code, report.failed) == ("partial", 4, (fake_scan.BAD,))
    assert report.done_now == 11
    record = status(store.path)["failed"][fake_scan.BAD]
    assert record["type"] == "OSError"
    control = Path(store.attrs["control"])
    assert fake_scan.attempts(control, "gloom") == record["attempts"] == retries + 1


def test_a_wrong_answer_fails_the_unit(store: Store, executor: Executor) -> None:
    evaluator = fake_scan.evaluator(fake_scan.misshapen)
    report = run_scan(store.path, evaluator, executor, until=fake_scan.patience())
    assert len(report.failed) == report.missing == 12
    record = status(store.path)["failed"][0]
    assert record["type"] == "SpecificationError"


def test_an_evaluator_that_cannot_be_loaded_ends_the_scan(store: Store, executor: Executor) -> None:
    report = run_scan(store.path, Evaluator(fake_scan.load_never, fake_scan.plain), executor)
    assert (report.ending, report.exit_code, report.done_now) == ("broken", 1, 0)
    with pytest.raises(LmltgridError, match="RuntimeError: no tables here"):
        report.require()


def test_another_scan_is_refused(store: Store, executor: Executor) -> None:
    with pytest.raises(SpecificationError, match="a store holds one scan"):
        run_scan(store.path, PLAIN, executor, identity="beef")


def test_until_stops_and_saves(
    store: Store, executor: Executor, reference: dict[str, bytes]
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    evaluator = fake_scan.evaluator(fake_scan.slow)
    report = run_scan(store.path, evaluator, executor, until=soon)
    assert (report.ending, report.exit_code) == ("stopped", 75)
    assert 0 < report.done_now < 12
    assert report.done_now == store.done().sum()
    assert not store.ledger.stop_file.exists()
    # what was started was finished: nothing is computed and then thrown away
    assert fake_scan.attempts(Path(store.attrs["control"]), "slow") == report.done_now
    with pytest.raises(StoppedError, match="resume"):
        report.require()
    # the clock on the user's wall, to the second and with its zone
    assert f" stopped at {soon.astimezone():%Y-%m-%d %H:%M:%S %Z}, all" in report.sentence
    assert run_scan(store.path, PLAIN, executor).ending == "complete"
    assert fake_scan.chunk_bytes(store) == reference


def test_a_file_in_the_ledger_stops_a_run_from_anywhere(store: Store, executor: Executor) -> None:
    ask = threading.Timer(0.4, store.ledger.stop_file.touch)
    ask.start()
    report = run_scan(store.path, fake_scan.evaluator(fake_scan.slow), executor)
    assert (report.ending, report.exit_code) == ("stopped", 75)
    assert 0 < report.done_now < 12
    assert not store.ledger.stop_file.exists()


def test_the_state_is_loaded_once_in_a_process(store: Store, executor: Executor) -> None:
    run_scan(store.path, PLAIN, executor)
    processes = 1 if executor.name == "in-process" else 2
    assert fake_scan.attempts(Path(store.attrs["control"]), "load") <= processes


def test_many_small_units_travel_in_bundles(tmp_path: Path) -> None:
    store = fake_scan.make_store(tmp_path, exposures=400, plane=2)
    calls: list[int] = []

    class Counting(type(cluster.in_process())):  # type: ignore[misc]
        def submit(self, function: Any, *args: Any) -> int:
            calls.append(len(args[-1]))
            return int(super().submit(function, *args))

    assert run_scan(store.path, PLAIN, Counting(1)).ending == "complete"
    assert calls[0] == 1
    assert sum(calls) == 400
    assert len(calls) < 100


@pytest.mark.parametrize("threads", [1, 2])
def test_no_progress_ends_loudly(store: Store, threads: int) -> None:
    begun = time.monotonic()
    with cluster.in_process(threads) as executor:
        evaluator = fake_scan.evaluator(fake_scan.stuck)
        report = run_scan(store.path, evaluator, executor, deadline=0.8)
    assert time.monotonic() - begun < 6.0  # the stuck unit lasts 8 s
    assert (report.ending, report.exit_code) == ("machine", 6)
    with pytest.raises(MachineError, match="no unit ended for 1 s on in-process"):
        report.require()
    assert report.done_now == store.done().sum() > 0


class TestLease:
    def test_a_second_run_is_refused(self, store: Store) -> None:
        notes = fake_scan.Notes()
        inside = cluster.in_process(2)
        with inside:
            first = threading.Thread(
                target=run_scan, args=(store.path, fake_scan.evaluator(fake_scan.slow), inside)
            )
            first.start()
            while not (store.ledger.folder / "lease.json").exists():
                time.sleep(0.01)
            with pytest.raises(MachineError, match=r"another run holds this store \(process \d+"):
                run_scan(store.path, PLAIN, cluster.in_process(), notes)
            assert status(store.path)["leases"][0]["pid"] > 0
            first.join()
        assert store.done().all()
        assert status(store.path)["leases"] == []

    @pytest.mark.parametrize("reason", ["dead", "silent", "empty"])
    def test_a_stale_lease_is_taken_over(
        self, store: Store, reason: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lmltgrid.lease.WATCH", 0.2)
        lease = Lease(store.path, lambda _: None)
        with lease:
            content = lease.path.read_text()
        if reason == "dead":
            content = content.replace(f'"pid":{os.getpid()}', f'"pid":{dead_process()}')
        lease.path.write_text("" if reason == "empty" else content)
        if reason != "dead":
            with pytest.raises(MachineError, match="another run holds"):
                run_scan(store.path, PLAIN, cluster.in_process())
            long_ago = time.time() - STALE - 5
            os.utime(lease.path, (long_ago, long_ago))
        notes = fake_scan.Notes()
        report = run_scan(store.path, PLAIN, cluster.in_process(), notes)
        assert report.ending == "complete"
        sign = "that process is dead" if reason == "dead" else "no sign of it for 6"
        assert sign in notes.texts[0]

    def test_a_run_that_lost_its_lease_ends(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lmltgrid.lease.BEAT", 0.05)
        thief = threading.Timer(0.3, (store.ledger.folder / "lease.json").write_text, ['{"a": 1}'])
        thief.start()
        evaluator = fake_scan.evaluator(fake_scan.slow)
        report = run_scan(store.path, evaluator, cluster.in_process())
        assert report.ending == "machine"
        assert "another run has taken this store over" in report.sentence
        assert (store.ledger.folder / "lease.json").exists()

    def test_a_heartbeat_is_given(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lmltgrid.lease.BEAT", 0.02)
        with Lease(store.path, lambda _: None) as lease:
            os.utime(lease.path, (1, 1))
            time.sleep(0.3)
            assert lease.path.stat().st_mtime > 1
            assert not lease.lost


def test_a_report_is_json() -> None:
    report = Report("a", "interrupted", "", 4, 1, 2, (), 1, 2.0, 10)
    assert report.as_dict()["rate"] == 1.0
    assert report.exit_code == 130
    with pytest.raises(KeyboardInterrupt):
        report.require()


@pytest.mark.parametrize("make", [cluster.in_process, cluster.local])
def test_no_workers_are_refused(make: Any) -> None:
    with pytest.raises(SpecificationError, match="at least 1 is needed"):
        make(0)


def test_a_worker_has_the_memory_that_a_specification_gives() -> None:
    assert cluster.local(1).memory_mb == RunSpec().memory_mb  # type: ignore[attr-defined]
