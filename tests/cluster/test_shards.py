"""Shards of a scan: processes that share nothing but the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fake_scan
import pytest
from dead_process import dead_process
from small_scan import ONE, chunk_bytes

from lmltgrid import cluster, service
from lmltgrid.errors import BusyError
from lmltgrid.lease import SHARDS, Lease
from lmltgrid.scan import run_scan
from lmltgrid.shard import Shard
from lmltgrid.store import Store, status

PLAIN = fake_scan.evaluator(fake_scan.plain)
SLOW = fake_scan.evaluator(fake_scan.slow)


def test_shards_one_after_the_other_fill_the_store(store: Store) -> None:
    done = 0
    for number in range(1, 6):
        shard = Shard(number, 5)
        report = run_scan(store.path, PLAIN, cluster.in_process(), shard=shard)
        assert (report.ending, report.exit_code, report.shard) == ("complete", 0, str(shard))
        assert report.total == report.done_now == shard.units(12).sum()
        done += report.done_now
        assert store.done().sum() == done
    assert done == 12
    assert status(store.path)["leases"] == []


def test_a_resumed_shard_computes_what_is_missing_and_mends_what_is_damaged(store: Store) -> None:
    shard = Shard(2, 3)  # units 1, 4, 7, 10
    run_scan(store.path, PLAIN, cluster.in_process(), shard=shard)
    before = fake_scan.chunk_bytes(store)
    store.ledger.reopen(4)
    file = store.path / store.plan.place(7).files()["z"]
    file.write_bytes(file.read_bytes()[:9])
    report = run_scan(store.path, PLAIN, cluster.in_process(), shard=shard)
    assert (report.done_before, report.done_now) == (2, 2)
    assert fake_scan.chunk_bytes(store) == before


def test_shards_leave_the_unfinished_files_of_others(store: Store) -> None:
    other = store.path / "grid" / "fake" / "z" / "0.abc.partial"
    other.touch()
    run_scan(store.path, PLAIN, cluster.in_process(), shard=Shard(1, 2))
    assert other.exists()
    run_scan(store.path, PLAIN, cluster.in_process())
    assert not other.exists()


class TestLeases:
    def test_other_shards_may_run_at_the_same_time(self, store: Store) -> None:
        with Lease(store.path, print, Shard(1, 3)), Lease(store.path, print, Shard(2, 3)):
            found = status(store.path)["leases"]
            assert [lease["shard"] for lease in found] == ["1/3", "2/3"]
            report = run_scan(store.path, PLAIN, cluster.in_process(), shard=Shard(3, 3))
        assert report.ending == "complete"

    @pytest.mark.parametrize("mine", [None, Shard(1, 3), Shard(2, 4)])
    def test_whoever_may_compute_the_same_units_is_refused(
        self, store: Store, mine: Shard | None
    ) -> None:
        with (
            Lease(store.path, print, Shard(1, 3)) as held,
            pytest.raises(BusyError, match=r"another run holds this store \(process \d+"),
        ):
            run_scan(store.path, PLAIN, cluster.in_process(), shard=mine)
        assert not held.lost
        # whoever was refused leaves no lease behind
        assert status(store.path)["leases"] == []

    def test_a_shard_is_refused_while_the_whole_store_is_in_use(self, store: Store) -> None:
        with Lease(store.path, print), pytest.raises(BusyError, match="another run holds"):
            run_scan(store.path, PLAIN, cluster.in_process(), shard=Shard(1, 3))

    def test_the_lease_of_a_dead_shard_is_taken_over_by_whoever_comes(self, store: Store) -> None:
        with Lease(store.path, print, Shard(1, 3)) as lease:
            content = json.loads(lease.path.read_text())
        pid = dead_process()
        for shard in (None, Shard(1, 3), Shard(2, 4)):
            lease.path.write_text(json.dumps(content | {"pid": pid}))
            run_scan(store.path, PLAIN, cluster.in_process(), shard=shard)
            assert not any((store.path / SHARDS).iterdir())


def test_a_worker_that_outlives_its_run_writes_nothing_more(store: Store) -> None:
    """As when its scheduler dies: it must not go on beside the run that follows."""
    release = threading.Timer(0.5, (store.ledger.folder / "lease.json").unlink)
    release.start()
    report = run_scan(store.path, SLOW, cluster.in_process())
    release.join()
    assert report.ending in ("machine", "stopped")
    assert 0 < report.done_now < 12


def test_the_stop_file_ends_all_shards(store: Store) -> None:
    reports = []

    def one(number: int) -> None:
        executor = cluster.in_process()
        reports.append(run_scan(store.path, SLOW, executor, shard=Shard(number, 2)))

    threads = [threading.Thread(target=one, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    Path(store.ledger.stop_file).touch()
    for thread in threads:
        thread.join()
    assert [report.exit_code for report in reports] == [75, 75]
    assert not Path(store.ledger.stop_file).exists()  # the last one removes it


def program(spec: Path, store: Path, shard: str, *words: str) -> subprocess.Popen[str]:
    run = "from lmltgrid.cli import main; main()"
    call = [sys.executable, "-c", run, "run", str(spec), "--store", str(store), "--shard", shard]
    return subprocess.Popen([*call, "--json", *words], text=True, stdout=-1, stderr=-1)


@pytest.mark.faults
def test_a_job_array_creates_and_fills_a_store_though_a_task_is_killed(tmp_path: Path) -> None:
    """All tasks start at the same moment; one is killed and started again."""
    spec = tmp_path / "scan.toml"
    spec.write_text(ONE)
    whole = service.run(spec, store=tmp_path / "whole.zarr", quiet=True)
    target = tmp_path / "array.zarr"
    tasks = {k: program(spec, target, f"{k}/3") for k in (1, 2, 3)}
    victim = tasks.pop(2)
    while not (target / SHARDS / "2-of-3.json").exists() and victim.poll() is None:
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    for k, task in tasks.items():
        out, errors = task.communicate(timeout=120)
        assert task.returncode == 0, errors
        assert json.loads(out)["report"]["shard"] == f"{k}/3"
    again = service.run(spec, store=target, shard="2/3", quiet=True)
    assert (again.exit_code, again.report["missing"]) == (0, 0)
    assert again.summary == whole.summary  # the last shard to end tells the physics
    assert service.status(target)["complete"]
    assert chunk_bytes(target) == chunk_bytes(whole.store)
    assert service.verify(target, deep=True)["ok"]
