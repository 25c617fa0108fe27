"""The command line is stopped: in time, by signals at any moment, under clocks that jump."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import fake_scan
import pytest
from ledger_check import agrees
from scan_programs import ended, lmltgrid, start, wait_for, wait_for_units
from small_scan import chunk_bytes

from lmltgrid import cluster, service
from lmltgrid.scan import run_scan
from lmltgrid.store import Store, open_store, status
from lmltgrid.verify import verify_store

pytestmark = pytest.mark.faults
PLAIN = fake_scan.evaluator(fake_scan.plain)

SLOW = "import dragging"  # units that last; workers find its function by name


def resumed(whole: Path, target: Path, told: dict[str, Any]) -> None:
    """Check what a stopped run says, finish its store, and compare that byte for byte."""
    reference = chunk_bytes(whole / "whole.zarr")
    found = open_store(target)
    agrees(found, told["report"], reference)
    before = found.ledger.marked()
    again = service.resume(target, quiet=True)
    agrees(found, again.report, reference, before=before)
    assert chunk_bytes(target) == reference


@pytest.mark.parametrize("where", ["in-process", pytest.param("local", marks=pytest.mark.cluster)])
def test_until_stops_the_command_with_everything_saved(
    whole: Path, tmp_path: Path, where: str
) -> None:
    target = tmp_path / "scan.zarr"
    words = ["--store", str(target), "--quiet", "--json", "--until", "3s"]
    words += ["--workers", "1" if where == "in-process" else "2"]
    program = lmltgrid("run", str(whole / "scan.toml"), *words, "--cluster", where, prelude=SLOW)
    told, errors = ended(program)
    assert (told["exit_code"], program.returncode) == (75, 75), errors
    assert told["report"]["ending"] == "stopped"
    assert " stopped at " in told["report"]["sentence"]
    resumed(whole, target, told)


def test_until_counts_from_the_start_of_the_command(whole: Path, tmp_path: Path) -> None:
    """As the time limit of a job does: here the moments take all of it."""
    prelude = """
from lmltgrid import grid
import time
compute = grid.compute_moments
def late(plan):
    time.sleep(2.0)
    return compute(plan)
grid.compute_moments = late
"""
    target = tmp_path / "scan.zarr"
    words = ["--store", str(target), "--quiet", "--json", "--until", "2s"]
    told, errors = ended(lmltgrid("run", str(whole / "scan.toml"), *words, prelude=prelude))
    assert told["report"]["ending"] == "stopped", errors
    assert told["report"]["done_now"] == 0
    resumed(whole, target, told)


def test_sigterm_in_mid_scan_stops_the_command(whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "scan.zarr"
    words = ["--store", str(target), "--quiet", "--json"]
    program = lmltgrid("run", str(whole / "scan.toml"), *words, prelude=SLOW)
    wait_for(lambda: any(target.glob("_ledger/done/*/*.json")), "no unit is finished")
    for _ in range(2):  # a queue may send it again
        os.killpg(program.pid, signal.SIGTERM)
        time.sleep(0.02)
    told, errors = ended(program)
    assert (told["exit_code"], program.returncode) == (75, 75), errors
    resumed(whole, target, told)


def loading(program: subprocess.Popen[str], what: str) -> bool:
    """Return whether a program has loaded a library."""
    return what in Path(f"/proc/{program.pid}/maps").read_text()


@pytest.mark.parametrize("verb", ["run", "resume"])
@pytest.mark.parametrize("library", ["_multiarray_umath", "libllvmlite"])
def test_sigterm_while_libraries_are_imported_is_heeded(
    whole: Path, tmp_path: Path, library: str, verb: str
) -> None:
    target = tmp_path / "scan.zarr"
    words = [str(whole / "scan.toml"), "--store", str(target)]
    if verb == "resume":
        service.run(whole / "scan.toml", store=target, until=0.0, quiet=True)
        words = [str(target)]
    program = lmltgrid(verb, *words, "--quiet")
    wait_for(lambda: loading(program, library), f"{library} is not loaded")
    program.send_signal(signal.SIGTERM)
    out, errors = program.communicate(timeout=60)
    assert (program.returncode, out) == (75, ""), errors
    assert "stopped by a signal" in errors
    assert errors.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == (["scan.zarr"] if verb == "resume" else [])


def test_sigterm_while_the_store_is_created_leaves_nothing(whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "scan.zarr"
    prelude = """
from lmltgrid import skeleton, store
write = skeleton.write_skeleton
def late(*given):
    write(*given)
    import time; time.sleep(60)
store.write_skeleton = late
"""
    program = lmltgrid(
        "run", str(whole / "scan.toml"), "--store", str(target), "--quiet", prelude=prelude
    )
    wait_for(lambda: any(tmp_path.glob("scan.zarr.creating-*/_ledger/plan.json")), "no plan")
    program.send_signal(signal.SIGTERM)
    out, errors = program.communicate(timeout=60)
    assert (program.returncode, out) == (75, ""), errors
    assert "before the store was created; nothing is stored yet: run it again" in errors
    assert list(tmp_path.iterdir()) == []


# the clock on the wall, set by so many seconds once a file is there
CLOCK = """
import time
from pathlib import Path
real = time.time
time.time = lambda: real() + (float(Path({0!r}).read_text()) if Path({0!r}).exists() else 0.0)
"""


@pytest.mark.parametrize("jump", [7200.0, -7200.0])
def test_a_clock_that_jumps_in_mid_scan_changes_nothing(
    store: Store, tmp_path: Path, reference: dict[str, bytes], jump: float
) -> None:
    """A time from now is measured by a clock that nobody can set."""
    prelude = CLOCK.format(str(tmp_path / "jump")) + "import time\nhour = time.monotonic() + 3600.0"
    program = start(store, "slow", prelude=prelude, until="hour", deadline=30.0)
    wait_for_units(store, 2)
    (tmp_path / "jump").write_text(str(jump))
    report, _ = ended(program)
    assert (report["ending"], program.returncode) == ("complete", 0)
    agrees(store, report, reference)


def test_a_clock_that_jumps_does_not_keep_a_run_from_stopping(tmp_path: Path) -> None:
    store = fake_scan.make_store(tmp_path, exposures=60)
    prelude = CLOCK.format(str(tmp_path / "jump")) + "import time\nsoon = time.monotonic() + 4.0"
    program = start(store, "slow", prelude=prelude, until="soon")
    wait_for_units(store, 1)
    (tmp_path / "jump").write_text("-7200.0")
    report, _ = ended(program)
    assert (report["ending"], program.returncode) == ("stopped", 75)
    agrees(store, report)


def test_files_from_the_future_are_no_matter(store: Store, reference: dict[str, bytes]) -> None:
    run_scan(store.path, PLAIN, cluster.in_process())
    store.discard([3])
    tomorrow = time.time() + 86400.0
    for path in store.path.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    report = run_scan(store.path, PLAIN, cluster.in_process())
    agrees(store, report, reference, before=set(range(12)) - {3})
    assert verify_store(store, deep=True).ok
    assert status(store.path)["leases"] == []
    assert fake_scan.chunk_bytes(store) == reference
