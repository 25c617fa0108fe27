"""The examples of `deploy/slurm`, fitted to the private Slurm and run as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import fake_scan
from slurm_node import DEPLOY, Node

from lmltgrid.store import open_store

SPEC = """
models = ["Lmu-Ltau", "Lmu"]
experiments = ["darwin-nr"]
[mass]
log = { start = 1, stop = 300, num = 20 }
[coupling]
log = { start = 1e-5, stop = 1e-2, num = 20 }
[exposure]
values = [10, 100]
[threshold]
values = [1.0, 2.0]
"""
UNITS = 2

# what a user would change, and what there is no need for on a node of our own
FITTING = {
    "--partition=cpu": "--partition=main",
    "#SBATCH --account=my-project\n": "",
    "module load python/3.11\n": "",
    'source "$HOME/lmltgrid-env/bin/activate"\n': "",
    "export NUMBA_CACHE_DIR=/tmp/$USER-numba # compiled kernels, on the node's own disk\n": "",
}


def fitted(name: str, changes: dict[str, str]) -> str:
    """Return the text of an example with changes, each of which must find its place."""
    text = (DEPLOY / name).read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{name}: {old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


class Examples:
    """A folder with fitted examples and programs by the name of `lmltgrid`, and a node."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.folder = folder
        (folder / "scan.toml").write_text(SPEC)
        self.environment = node.environment | {
            "PYTHONPATH": os.pathsep.join([str(Path(fake_scan.__file__).parent), *sys.path]),
            "NUMBA_CACHE_DIR": str(folder / "kernels"),  # compiled once
        }
        self._program("real", "-m lmltgrid")
        self._program("slow", "-m fake_lmltgrid")

    def _program(self, kind: str, words: str) -> None:
        for name, command in (("lmltgrid", words), ("dask", "-m dask")):
            path = self.folder / kind / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f'#!/bin/sh\nexec {sys.executable} -W ignore {command} "$@"\n')
            path.chmod(0o755)

    def call(self, *command: str, kind: str = "real") -> subprocess.CompletedProcess[str]:
        """Run a command in the folder with one of the programs, and return how it ended."""
        path = f"{self.folder / kind}:{os.environ['PATH']}"
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def submit(self, name: str, store: str, changes: dict[str, str], kind: str = "real") -> str:
        """Submit a fitted example as its first lines say; return the number of the job."""
        (self.folder / name).write_text(fitted(name, FITTING | changes))
        done = self.call(
            "sbatch", "--parsable", "--job-name=ours", name, "scan.toml", store, kind=kind
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def chunks(self, store: str) -> dict[str, bytes]:
        """Return every file of the grid of a store by its name."""
        return fake_scan.chunk_bytes(open_store(self.folder / store))

    def said(self, pattern: str) -> str:
        """Return what jobs have written into logs."""
        return "\n".join(p.read_text() for p in sorted(self.folder.glob(pattern)))


@dataclass(frozen=True)
class Begun:
    """Examples that were begun, each in a store of its own; ``reference`` is undisturbed."""

    reference: dict[str, bytes]
    overdue: str
    array: str
    stopped_array: str
    one_job: str
    client: subprocess.CompletedProcess[str]


def begin(examples: Examples) -> Begun:
    """Start them all, so that their waits overlap; Slurm looks at walltimes every 30 s only."""
    overdue = examples.node.sbatch("--output=/dev/null", "--time=1", "--wrap=sleep 600")
    examples.node.wait(overdue, "RUNNING")
    examples.node.run("scontrol", "update", f"JobId={overdue}", "EndTime=now+1")
    stopped = {"--array=1-20": "--array=1-2", "--mem=2000M": "--mem=300M", "@120": "@50"}
    stopped_array = examples.submit(
        "job-array.sbatch", "slow.zarr", stopped | {"02:00:00": "00:01:00"}, kind="slow"
    )
    done = examples.call("lmltgrid", "run", "scan.toml", "--store", "reference.zarr")
    assert done.returncode == 0, done.stderr
    few = {"--array=1-20": "--array=1-2", "--mem=2000M": "--mem=600M"}
    array = examples.submit("job-array.sbatch", "array.zarr", few)
    two = {"--ntasks=20": "--ntasks=2", "--mem-per-cpu=2000M": "--mem-per-cpu=600M"}
    one_job = examples.submit(
        "scheduler-in-job.sbatch", "job.zarr", two | {"interface=ib0": "interface=lo"}
    )
    site = {
        'queue = "cpu" ': 'queue = "main"',
        'account = "my-project" ': "",
        'interface = "ib0"': 'interface = "lo"',
        "--qos=short": "--job-name=ours",
        '    "module load python/3.11",\n': "",
        '    "export NUMBA_CACHE_DIR=/tmp/$USER-numba",\n': "",
        "memory_mb = 2000 ": "memory_mb = 600 ",
        '# shared_directory = "~/.lmltgrid"': 'shared_directory = "shared"',
    }
    (examples.folder / "site.toml").write_text(fitted("site.toml", site))
    script = fitted("login-node.sh", {"workers=20": "workers=2"})
    client = examples.call("bash", "-c", script, "login-node.sh", "scan.toml", "login.zarr")
    reference = examples.chunks("reference.zarr")
    return Begun(reference, overdue, array, stopped_array, one_job, client)
