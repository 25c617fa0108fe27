"""Schedulers and workers as programs of their own, as a site runs them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fake_scan

from lmltgrid.cluster import Executor


def environment() -> dict[str, str]:
    """Return an environment in which programs find `fake_scan`."""
    folder = Path(fake_scan.__file__).parent
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}


def launch(*words: str) -> subprocess.Popen[bytes]:
    """Start a program of Dask's command line, without its words."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "distributed.cli.dask_" + words[0], *words[1:]],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def certificates(folder: Path) -> dict[str, Path]:
    """Write temporary certificates; return the files by what they are."""
    import distributed

    found = distributed.Security.temporary()
    texts = {"ca": found.tls_ca_file, "cert": found.tls_client_cert, "key": found.tls_client_key}
    for name, text in texts.items():
        (folder / f"{name}.pem").write_text(text)
    return {name: folder / f"{name}.pem" for name in texts}


@contextmanager
def scheduler(
    folder: Path, workers: int = 2, tls: dict[str, Path] | None = None
) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Start a scheduler and workers; give the scheduler file and the scheduler's process."""
    file = folder / "scheduler.json"
    words = ["--protocol", "tls"] if tls else []
    if tls:
        words += ["--tls-ca-file", str(tls["ca"]), "--tls-cert", str(tls["cert"])]
        words += ["--tls-key", str(tls["key"])]
    place = ["--scheduler-file", str(file), "--host", "127.0.0.1"]
    programs = [launch("scheduler", *place, "--port", "0", "--no-dashboard", *words)]
    try:
        wait_for(file)
        files = ["--local-directory", str(folder), "--nthreads", "1", "--no-dashboard"]
        programs += [launch("worker", *place, *files, *words) for _ in range(workers)]
        yield file, programs[0]
    finally:
        for program in programs:
            program.kill()
        for program in programs:
            program.wait()


def wait_for(file: Path) -> None:
    """Wait until a file is there."""
    for _ in range(600):
        if file.exists() and file.stat().st_size:
            return
        time.sleep(0.05)
    raise TimeoutError(f"{file} does not appear")


def wait_for_workers(executor: Executor, count: int = 1) -> None:
    """Wait until workers have reported."""
    for _ in range(300):
        executor.tend()
        if not executor.waiting() and executor.slots >= count:
            return
        time.sleep(0.1)
    raise TimeoutError("no worker came in 30 s")
