"""Programs that run a scan, each in its own process group as a shell would start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dask_programs import environment

from lmltgrid.processes import machine_key, process_lives
from lmltgrid.store import Store

PATIENCE = 60.0  # s for what takes a second or two on a quiet machine


# two programs meet here, so that both do the next thing at the same moment
MEET = """
import time
from pathlib import Path
def meet(folder):
    (Path(folder) / "here").open("a").write("x")
    end = time.monotonic() + 60.0
    while len((Path(folder) / "here").read_text()) < 2:
        assert time.monotonic() < end, "nobody is met"
        time.sleep(0.001)
"""
_launched: list[subprocess.Popen[str]] = []


def launch(
    code: str, *words: str, under: Sequence[str] = (), **variables: str
) -> subprocess.Popen[str]:
    """Start Python code, which finds `fake_scan`, with arguments; ``under`` another program."""
    program = subprocess.Popen(
        [*under, sys.executable, "-W", "ignore", "-c", code, *words],
        env=environment() | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _launched.append(program)
    return program


def end_all() -> None:
    """Kill what a failed test has left running, with its workers."""
    while _launched:
        program = _launched.pop()
        if program.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.communicate()


def start(
    store: Store, name: str, where: str = "in-process", prelude: str = "", **options: Any
) -> subprocess.Popen[str]:
    """Start a scan with an evaluator of `fake_scan`; ``prelude`` is code to run before.

    Options of `run_scan` are numbers, or names that the prelude defines.
    """
    given = ", ".join(f"{name}={value}" for name, value in options.items())
    code = f"import fake_scan\n{prelude}\nfake_scan.main({given})"
    return launch(code, str(store.path), name, where)


def ended(program: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """Wait for a program; return its report, if it has one, and its words."""
    out, errors = program.communicate(timeout=PATIENCE)
    assert "Traceback" not in errors, errors
    return (json.loads(out) if out else {}), errors


def lmltgrid(*words: str, prelude: str = "") -> subprocess.Popen[str]:
    """Start the command line."""
    return launch(f"{prelude}\nfrom lmltgrid.cli import main; main()", *words)


def wait_for(happens: Any, what: str) -> None:
    """Wait until a condition holds, but not for ever."""
    end = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < end, f"{what} within {PATIENCE:.0f} s"
        time.sleep(0.02)


def wait_for_units(store: Store, count: int) -> None:
    """Wait until units are finished."""
    wait_for(lambda: len(store.ledger.marked()) >= count, f"{count} units are not finished")


def wait_for_silence(store: Store) -> None:
    """Wait until the orphaned workers, which see their parent gone, have ended."""
    control = Path(store.attrs["control"])
    workers = {int(pid) for pid in (control / "load").read_text().split()}
    key = machine_key()
    wait_for(lambda: not any(process_lives(key, pid) for pid in workers), "workers do not end")
