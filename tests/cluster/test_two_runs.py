"""Two programs on one store: one has it, and nobody writes beside it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import fake_scan
import pytest
from ledger_check import agrees
from scan_programs import MEET, ended, lmltgrid, start, wait_for, wait_for_units
from small_scan import chunk_bytes

from lmltgrid import cluster, service
from lmltgrid.scan import run_scan
from lmltgrid.store import Store, status

pytestmark = pytest.mark.faults
PLAIN = fake_scan.evaluator(fake_scan.plain)


def test_of_two_that_create_a_store_at_once_one_is_refused(whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "both.zarr"
    (tmp_path / "meeting").mkdir()
    prelude = f"""{MEET}
from lmltgrid import grid
compute = grid.compute_moments
def late(plan):
    moments = compute(plan)
    meet({str(tmp_path / "meeting")!r})
    return moments
grid.compute_moments = late
"""
    words = ("run", str(whole / "scan.toml"), "--store", str(target), "--quiet", "--json")
    both = [lmltgrid(*words, prelude=prelude) for _ in range(2)]
    answers = [(*ended(program), program.returncode) for program in both]
    (answer, errors, code), (nothing, refusal, refused) = sorted(answers, key=lambda a: a[2])
    assert (code, refused, nothing) == (0, 6, {}), errors
    assert refusal.startswith(f"lmltgrid: {target}: another run has created this store meanwhile")
    assert refusal.count("\n") == 1
    assert answer["report"]["done_now"] == answer["report"]["total"]
    assert chunk_bytes(target) == chunk_bytes(whole / "whole.zarr")
    assert service.verify(target, deep=True)["ok"]


def test_of_two_that_resume_at_once_one_is_refused(
    store: Store, tmp_path: Path, reference: dict[str, bytes]
) -> None:
    prelude = f"{MEET}\nmeet({str(tmp_path)!r})"
    both = [start(store, "slow", prelude=prelude) for _ in range(2)]
    answers = [(*ended(program), program.returncode) for program in both]
    (report, _, code), (nothing, refusal, refused) = sorted(answers, key=lambda a: a[2])
    assert (code, refused, nothing) == (0, 6, {})
    assert f"{store.path}: another run holds this store (process " in refusal.splitlines()[-1]
    assert fake_scan.attempts(Path(store.attrs["control"]), "slow") == store.units()
    agrees(store, report, reference)


def test_a_store_in_use_is_not_repaired(store: Store, reference: dict[str, bytes]) -> None:
    program = start(store, "gated")
    wait_for_units(store, 2)
    cut = store.path / store.plan.place(0).files()["z"]
    cut.write_bytes(cut.read_bytes()[:9])
    repair = lmltgrid("verify", str(store.path), "--repair")
    words = repair.communicate(timeout=60)[1]
    assert repair.returncode == 6, words
    assert words.startswith(f"lmltgrid: {store.path}: another run holds this store")
    fake_scan.tell(store, f"go-{program.pid}", "")
    assert ended(program)[0]["ending"] == "complete"
    again = lmltgrid("verify", str(store.path), "--repair")
    assert again.wait(timeout=60) == 4
    again.communicate()
    assert run_scan(store.path, PLAIN, cluster.in_process()).done_now == 1
    assert fake_scan.chunk_bytes(store) == reference


# heartbeats in tenths of a second, and a list of who has written which unit
QUICK = """
import os
from lmltgrid import lease, store
lease.BEAT, lease.STALE, lease.WATCH, lease.LOOK = 0.1, 1.0, 0.5, 0.1
write = store.Store.write_unit
def noted(self, unit, *rest):
    with open(self.attrs["control"] + "/writes", "a") as notes:
        notes.write(f"{os.getpid()} {unit}\\n")
    return write(self, unit, *rest)
store.Store.write_unit = noted
"""


def test_a_suspended_run_that_was_replaced_writes_nothing_more(
    store: Store, reference: dict[str, bytes]
) -> None:
    """As when a machine sleeps: its process is alive, and wakes up in mid-unit."""
    control = Path(store.attrs["control"])
    old = start(store, "gated", prelude=QUICK)
    wait_for(lambda: fake_scan.attempts(control, "gate") == 1, "the old run is not there")
    os.killpg(old.pid, signal.SIGSTOP)
    before = store.ledger.marked()
    time.sleep(1.5)  # longer than the lease lives without a heartbeat
    new = start(store, "gated", prelude=QUICK)
    wait_for(lambda: fake_scan.attempts(control, "gate") == 2, "the new run is not there")
    fake_scan.tell(store, f"go-{old.pid}", "")
    os.killpg(old.pid, signal.SIGCONT)
    told, words = ended(old)
    assert (told["ending"], old.returncode) == ("machine", 6)
    assert "another run has taken this store over; let it finish" in words
    agrees(store, told, reference, held=1)
    fake_scan.tell(store, f"go-{new.pid}", "")
    report, taken = ended(new)
    assert "taking over from process" in taken
    agrees(store, report, reference, before=before)
    writes = (control / "writes").read_text().splitlines()
    assert [line for line in writes if line.startswith(f"{old.pid} ")] == [
        f"{old.pid} {unit}" for unit in before
    ]
    assert status(store.path)["leases"] == []
