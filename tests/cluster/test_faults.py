"""Processes are killed, disks fill up, signals arrive: nothing is lost, nothing hangs."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import fake_scan
import pytest
from ledger_check import agrees
from scan_programs import ended, start, wait_for_silence, wait_for_units

from lmltgrid import cluster, scan
from lmltgrid.cluster import Executor
from lmltgrid.errors import MachineError
from lmltgrid.lease import Lease
from lmltgrid.scan import run_scan
from lmltgrid.store import Store, status
from lmltgrid.verify import repair_store, verify_store

pytestmark = pytest.mark.faults
PLAIN = fake_scan.evaluator(fake_scan.plain)


@pytest.mark.cluster
class TestKilledWorkers:
    def test_a_worker_killed_in_mid_unit_costs_nothing(
        self, store: Store, local: Executor, reference: dict[str, bytes]
    ) -> None:
        report = run_scan(store.path, fake_scan.evaluator(fake_scan.torn_once), local)
        assert report.ending == "complete"
        assert fake_scan.attempts(Path(store.attrs["control"]), "kill") == 2
        agrees(store, report, reference)
        assert fake_scan.chunk_bytes(store) == reference

    def test_a_unit_that_always_kills_is_isolated(
        self, store: Store, local: Executor, reference: dict[str, bytes]
    ) -> None:
        evaluator = fake_scan.evaluator(fake_scan.deadly)
        report = run_scan(store.path, evaluator, local, retries=1, until=fake_scan.patience())
        assert (report.ending, report.exit_code) == ("partial", 4)
        assert (report.done_now, report.failed) == (11, (fake_scan.BAD,))
        agrees(store, report, reference)
        record = status(store.path)["failed"][fake_scan.BAD]
        assert record["type"] == "WorkerLost"
        assert record["index"]["exposure"] == [5, 6]
        assert "alone" in record["message"]
        assert run_scan(store.path, PLAIN, local).ending == "complete"
        assert fake_scan.chunk_bytes(store) == reference

    def test_the_whole_cluster_killed_from_outside(
        self, store: Store, local: Executor, reference: dict[str, bytes]
    ) -> None:
        pids = local._client.run(os.getpid)  # type: ignore[attr-defined]
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        assert run_scan(store.path, PLAIN, local).ending == "complete"
        assert fake_scan.chunk_bytes(store) == reference


class TestSignals:
    @pytest.mark.parametrize(
        ("number", "code", "where"),
        [
            (signal.SIGTERM, 75, "in-process"),
            (signal.SIGINT, 130, "in-process"),
            pytest.param(signal.SIGTERM, 75, "local", marks=pytest.mark.cluster),
        ],
    )
    def test_a_signal_stops_the_run_and_all_is_saved(
        self, store: Store, reference: dict[str, bytes], number: int, code: int, where: str
    ) -> None:
        program = start(store, "slow", where)
        wait_for_units(store, 2)
        os.killpg(program.pid, number)  # workers too, as a terminal and a queue do
        report, errors = ended(program)
        assert program.returncode == code, errors
        agrees(store, report, reference)
        finished = int(store.done().sum())
        assert 2 <= finished < store.units()
        assert fake_scan.attempts(Path(store.attrs["control"]), "slow") == finished
        assert status(store.path)["leases"] == []
        last = errors.splitlines()[-1]  # after the run: nothing is left to be aborted
        assert "all that was computed is saved; resume" in last
        assert ("once more to abort" in errors) == (number is signal.SIGINT)
        before = store.ledger.marked()
        again = run_scan(store.path, PLAIN, cluster.in_process())
        assert (again.ending, again.done_before) == ("complete", finished)
        agrees(store, again, reference, before=before)
        assert fake_scan.chunk_bytes(store) == reference

    def test_a_second_ctrl_c_aborts_at_once(self, store: Store) -> None:
        program = start(store, "stuck", "in-process")
        wait_for_units(store, fake_scan.BAD)
        time.sleep(0.3)
        begun = time.monotonic()
        for _ in range(2):
            os.killpg(program.pid, signal.SIGINT)
            time.sleep(0.2)
        errors = program.communicate(timeout=30)[1]
        assert time.monotonic() - begun < 6.0  # the stuck unit lasts 8 s
        assert "KeyboardInterrupt" in errors
        assert status(store.path)["leases"] == []


@pytest.mark.parametrize("where", ["in-process", pytest.param("local", marks=pytest.mark.cluster)])
def test_a_run_killed_as_a_whole_is_resumed(
    store: Store, reference: dict[str, bytes], where: str
) -> None:
    program = start(store, "slow", where)
    wait_for_units(store, 2)
    os.kill(program.pid, signal.SIGKILL)
    program.communicate(timeout=30)
    (lease,) = status(store.path)["leases"]
    assert lease["pid"] == program.pid
    wait_for_silence(store)
    one = min(store.ledger.marked())
    cut = store.path / store.plan.place(one).files()["z"]  # as a power cut might leave it
    cut.write_bytes(cut.read_bytes()[:10])
    notes = fake_scan.Notes()
    report = run_scan(store.path, PLAIN, cluster.in_process(), notes)
    assert report.ending == "complete"
    assert any("that process is dead" in text for text in notes.texts)
    assert any(f"unit {one}:" in text and "computed anew" in text for text in notes.texts)
    assert fake_scan.chunk_bytes(store) == reference


class TestDisk:
    def test_a_disk_that_fills_up_ends_the_scan_with_all_saved(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, reference: dict[str, bytes]
    ) -> None:
        with monkeypatch.context() as patch:
            fake_scan.fill_up(patch)
            report = run_scan(store.path, PLAIN, cluster.in_process())
        assert (report.ending, report.exit_code) == ("machine", 6)
        assert (report.done_now, report.failed) == (fake_scan.BAD, ())
        with pytest.raises(MachineError, match=r"No space left on device.*make room"):
            report.require()
        assert run_scan(store.path, PLAIN, cluster.in_process()).ending == "complete"
        assert fake_scan.chunk_bytes(store) == reference

    def test_room_is_looked_at_while_the_scan_runs(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scan, "TEND", 0.0)
        room = iter([2**30])
        monkeypatch.setattr(scan, "free_bytes", lambda _: next(room, 1000))
        report = run_scan(store.path, PLAIN, cluster.in_process())
        assert (report.ending, report.exit_code) == ("machine", 6)
        assert 0 < report.done_now < 12
        assert "and 1000 are free" in report.sentence

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_cannot_be_written_is_refused(self, store: Store) -> None:
        store.ledger.folder.chmod(0o500)
        try:
            with pytest.raises(MachineError, match="the store cannot be written"):
                run_scan(store.path, PLAIN, cluster.in_process())
        finally:
            store.ledger.folder.chmod(0o700)

    def test_a_read_only_file_system_is_refused(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(self: Lease) -> bool:
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(Lease, "_create", refuse)
        with pytest.raises(MachineError, match=r"cannot be written \(Read-only file system\)"):
            run_scan(store.path, PLAIN, cluster.in_process())


def test_damage_is_repaired(store: Store, reference: dict[str, bytes]) -> None:
    run_scan(store.path, PLAIN, cluster.in_process())
    path = store.path / store.plan.place(3).files()["n"]
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    texts: list[str] = []
    report = verify_store(store, deep=True)
    assert repair_store(store.path, report, texts.append) == 1
    assert "computed anew" in texts[0]
    assert run_scan(store.path, PLAIN, cluster.in_process()).done_now == 1
    assert fake_scan.chunk_bytes(store) == reference
