"""Workers of a real cluster are killed, cannot start, hang, or take too much memory."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dask
import distributed  # noqa: F401 - before dask.config.set: its defaults come first
import dying_start
import fake_scan
import pytest
import scan_programs
from ledger_check import agrees

from lmltgrid import cluster
from lmltgrid.cluster import Executor, processes
from lmltgrid.errors import MachineError
from lmltgrid.scan import run_scan
from lmltgrid.store import Store, status

pytestmark = [pytest.mark.cluster, pytest.mark.faults]
PLAIN = fake_scan.evaluator(fake_scan.plain)
SLOW = fake_scan.evaluator(fake_scan.slow)


def processes_of(executor: Executor) -> list[int]:
    """Return the numbers of the processes of a cluster of two, when both are there."""
    scan_programs.wait_for(lambda: len(executor._names()) == 2, "two workers")  # type: ignore[attr-defined]
    return list(executor._client.run(os.getpid).values())  # type: ignore[attr-defined]


class Killer(threading.Thread):
    """Kills a process of a cluster, chosen at random, again and again."""

    def __init__(self, executor: Executor, kills: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.executor = executor
        self.left = kills
        self.chance = random.Random(seed)
        self.end = threading.Event()

    def run(self) -> None:
        while self.left and not self.end.wait(self.chance.uniform(0.2, 1.2)):
            nannies = self.executor._cluster.workers.values()  # type: ignore[attr-defined]
            # those that are just starting among them: their nannies may give up
            pids = sorted(nanny.pid for nanny in list(nannies) if nanny.pid)
            if pids:
                with suppress(ProcessLookupError):
                    os.kill(self.chance.choice(pids), signal.SIGKILL)
                    self.left -= 1


@pytest.mark.parametrize(
    "kills", [12, pytest.param(120, marks=pytest.mark.long)], ids=["a dozen", "many"]
)
def test_workers_killed_again_and_again_cost_nothing(
    tmp_path: Path, local: Executor, kills: int
) -> None:
    """No innocent unit is given up, whoever it shared its dead processes with."""
    reference = fake_scan.undisturbed(tmp_path / "whole", exposures=40)
    store = fake_scan.make_store(tmp_path / "killed", exposures=40)
    killer = Killer(local, kills, seed=kills)
    killer.start()
    rounds = 0
    try:
        while not rounds or killer.left:
            store.discard(store.ledger.marked())
            report = run_scan(store.path, SLOW, local, until=fake_scan.patience(10 * kills))
            assert (report.ending, report.failed) == ("complete", ())
            agrees(store, report, reference)
            rounds += 1
    finally:
        killer.end.set()
        killer.join()
    assert fake_scan.chunk_bytes(store) == reference


@contextmanager
def starts_that_fail(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let as many worker processes fail to start as the file says that is given."""
    control = folder / "starts"
    control.write_text("0 dies")
    monkeypatch.setenv("DYING_START", str(control))
    with dask.config.set({"distributed.worker.preload": [dying_start.__file__]}):
        yield control


def kill_all_later(store: Store, executor: Executor, control: Path, starts: str) -> None:
    """Kill the processes of a cluster when units are finished; what is started then may fail."""
    pids = processes_of(executor)

    def kill() -> None:
        scan_programs.wait_for_units(store, 2)
        control.write_text(starts)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()


@pytest.mark.parametrize("when", ["at first", "in mid-scan"])
def test_processes_that_die_while_they_start_are_replaced(
    store: Store,
    tmp_path: Path,
    reference: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    """Their nannies give up, and the cluster still counts them."""
    monkeypatch.setattr(processes, "GIVEN_UP", 0.5)
    with starts_that_fail(tmp_path, monkeypatch) as control:
        if when == "at first":
            control.write_text("3 dies")
        with cluster.local(2, memory_mb=600) as executor:
            if when == "in mid-scan":
                kill_all_later(store, executor, control, "3 dies")
            report = run_scan(store.path, SLOW, executor, until=fake_scan.patience())
        assert control.read_text() == "0 dies"
    assert report.ending == "complete"
    agrees(store, report, reference)


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_processes_that_never_start_end_the_run_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 8.0)
    monkeypatch.setattr(processes, "START", 2.0)
    with starts_that_fail(tmp_path, monkeypatch) as control:
        control.write_text(f"999 {how}")
        begun = time.monotonic()
        with (
            pytest.raises(MachineError, match="local: no worker process has started for 8 s"),
            cluster.local(2, memory_mb=600),
        ):
            pytest.fail("the cluster has no process")
    assert time.monotonic() - begun < 60.0
    assert (
        int(control.read_text().split()[0]) < 997
    )  # the first two, and those that were started again


def test_a_run_whose_processes_do_not_come_back_ends_loudly(
    store: Store, tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 8.0)
    notes = fake_scan.Notes()
    with (
        starts_that_fail(tmp_path, monkeypatch) as control,
        cluster.local(2, memory_mb=600) as executor,
    ):
        kill_all_later(store, executor, control, "999 dies")
        report = run_scan(store.path, SLOW, executor, notes)
    assert (report.ending, report.exit_code) == ("machine", 6)
    assert "no worker process has started for 8 s" in report.sentence
    assert any("its processes are started again" in text for text in notes.texts)
    agrees(store, report, reference)
    assert run_scan(store.path, PLAIN, cluster.in_process()).ending == "complete"
    assert fake_scan.chunk_bytes(store) == reference


def test_a_unit_that_exceeds_its_memory_is_isolated(
    store: Store, local: Executor, reference: dict[str, bytes]
) -> None:
    """The nanny kills its process; the others are computed."""
    evaluator = fake_scan.evaluator(fake_scan.hungry)
    report = run_scan(store.path, evaluator, local, retries=1, until=fake_scan.patience())
    assert (report.ending, report.exit_code) == ("partial", 4)
    assert (report.done_now, report.failed) == (11, (fake_scan.BAD,))
    agrees(store, report, reference)
    record = status(store.path)["failed"][fake_scan.BAD]
    assert record["index"]["exposure"] == [5, 6]
    assert "does it need more memory than it may take?" in record["message"]
    assert run_scan(store.path, PLAIN, local).ending == "complete"
    assert fake_scan.chunk_bytes(store) == reference


# what the process may take, beyond what it has, so that allocating fails
LITTLE = """
import resource
from lmltgrid import grid
has = 1024 * int(next(line for line in open("/proc/self/status") if "VmSize" in line).split()[1])
resource.setrlimit(resource.RLIMIT_AS, (has + 2**29, has + 2**29))
"""


def test_a_unit_that_finds_no_memory_in_process_is_isolated(
    store: Store, reference: dict[str, bytes]
) -> None:
    program = scan_programs.start(store, "hungry", prelude=LITTLE)
    report, errors = scan_programs.ended(program)
    assert (
        (report["ending"], report["exit_code"]) == ("partial", program.returncode) == ("partial", 4)
    )
    agrees(store, report, reference)
    record = status(store.path)["failed"][fake_scan.BAD]
    assert record["type"].endswith("MemoryError")
    assert "allocate" in record["message"]
    assert f"unit {fake_scan.BAD} of grid/fake failed: " in errors


@pytest.mark.parametrize(("where", "deadline"), [("in-process", 3), ("local", 8)])
def test_a_unit_that_hangs_ends_the_program_loudly(
    store: Store, reference: dict[str, bytes], where: str, deadline: int
) -> None:
    begun = time.monotonic()
    program = scan_programs.start(store, "hung", where, deadline=deadline)
    report, errors = scan_programs.ended(program)
    assert time.monotonic() - begun < 40.0
    assert (report["ending"], program.returncode) == ("machine", 6)
    assert f"no unit ended for {deadline} s on {where}" in errors.splitlines()[-1]
    assert report["done_now"] >= fake_scan.BAD
    agrees(store, report, reference)
    assert run_scan(store.path, PLAIN, cluster.in_process()).ending == "complete"
    assert fake_scan.chunk_bytes(store) == reference
