"""A private Slurm for the tests, by `deploy/slurm/private_slurm.py`, and what tests ask of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "slurm"
PATIENCE = 180.0  # s; ten times what the slowest wait takes where nobody else computes


def private_slurm(*arguments: str | Path) -> tuple[int, str, str]:
    """Run the script as a user does; return exit code, stdout and stderr."""
    script = DEPLOY / "private_slurm.py"
    if not script.exists():
        pytest.skip("deploy/ does not lie beside these tests")
    done = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


class Node:
    """A private Slurm that runs, and its environment for programs that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        self.environment = clean | {"SLURM_CONF": str(folder / "slurm.conf")}

    def run(self, *command: str | Path) -> str:
        """Return what a program prints; it must succeed."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def sbatch(self, *arguments: str | Path) -> str:
        """Submit a job; return its id."""
        return self.run("sbatch", "--parsable", *arguments).split(";")[0]

    def describe(self, job: str) -> dict[str, str]:
        """Return what Slurm knows of a job, or of one task of a job array, ``12_3``."""
        words = self.run("scontrol", "show", "job", "--oneliner", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def jobs(self, *states: str, name: str = "lmltgrid") -> list[str]:
        """Return the ids of the jobs in these states, without any of all that have not ended."""
        chosen = ["--states", ",".join(states)] if states else []
        words = ["squeue", "--noheader", "--array", "--format=%i", f"--name={name}", *chosen]
        return self.run(*words).split()

    def submitted(self) -> set[str]:
        """Return the ids of all workers that were ever submitted."""
        return set(self.jobs("all"))

    def wait(self, job: str, *states: str) -> dict[str, str]:
        """Wait until a job is in one of these states; return what Slurm knows of it then."""
        end = time.monotonic() + PATIENCE
        while (known := self.describe(job))["JobState"] not in states:
            if time.monotonic() > end:
                pytest.fail(f"job {job} is {known['JobState']}, not {states}, after {PATIENCE} s")
            time.sleep(0.2)
        return known

    def cancel(self, *jobs: str) -> None:
        """Cancel jobs, which may have ended already."""
        subprocess.run(["scancel", *jobs], env=self.environment, check=False)

    def clear(self) -> None:
        """Cancel the workers that a test left, so that the next one finds none."""
        end = time.monotonic() + PATIENCE
        while jobs := self.jobs():
            self.cancel(*jobs)
            assert time.monotonic() < end, f"jobs {jobs} do not end"
            time.sleep(0.2)


@contextmanager
def running(cpus: int = 4) -> Iterator[Node]:
    """Start a private Slurm, and stop it; skip where it cannot run, with its own words."""
    # the paths of sockets are short, so the folder is not one of pytest's
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:
        code, _, said = private_slurm("start", folder, "--cpus", str(cpus))
        if code == 1 and said.startswith("private_slurm: "):
            pytest.skip(f"no private Slurm here: {said.removeprefix('private_slurm: ')}")
        assert code == 0, said
        try:
            yield Node(Path(folder))
        finally:
            code, _, said = private_slurm("stop", folder)
        assert code == 0, said
