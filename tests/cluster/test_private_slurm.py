"""The private Slurm of `deploy/slurm`: it runs jobs, and leaves nothing.

That it kills jobs beyond their walltime is in test_slurm.py, where there is time for it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import slurm_node
from slurm_node import Node, private_slurm

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with slurm_node.running() as node:
        yield node


@pytest.fixture(scope="module")
def returning(node: Node, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A job that puts itself back into the queue, where it waits some seconds, and its output."""
    out = tmp_path_factory.mktemp("returning") / "out.txt"
    again = "[ ${SLURM_RESTART_COUNT:-0} = 1 ] || { scontrol requeue $SLURM_JOB_ID; sleep 60; }"
    wrap = f"--wrap=echo begins; {again}"
    return node.sbatch("--open-mode=append", f"--output={out}", wrap), out


def mentioning(words: str) -> list[str]:
    """Return the commands of all processes that name something."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [command for command in found if words in command]


@pytest.mark.usefixtures("returning")
def test_a_job_runs(node: Node, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    job = node.sbatch(
        f"--output={out}", "--cpus-per-task=2", "--wrap", "echo on $SLURM_CPUS_ON_NODE"
    )
    assert node.wait(job, "COMPLETED", "FAILED")["ExitCode"] == "0:0"
    assert out.read_text() == "on 2\n"


def test_the_exit_code_of_a_job_is_kept(node: Node) -> None:
    job = node.sbatch("--output=/dev/null", "--wrap=exit 75")
    assert node.wait(job, "COMPLETED", "FAILED")["ExitCode"] == "75:0"


def test_the_tasks_of_a_job_array_run_side_by_side(node: Node, tmp_path: Path) -> None:
    wait_for_others = f"touch {tmp_path}/$SLURM_ARRAY_TASK_ID; until [ -e {tmp_path}/1 -a -e {tmp_path}/2 -a -e {tmp_path}/3 ]; do sleep 0.1; done"
    job = node.sbatch("--output=/dev/null", "--array=1-3", "--wrap", wait_for_others)
    for task in (1, 2, 3):
        node.wait(f"{job}_{task}", "COMPLETED")


def test_scancel_ends_a_job_and_all_its_processes(node: Node, tmp_path: Path) -> None:
    job = node.sbatch("--output=/dev/null", "--wrap=sleep 4321.5 & sleep 4321.5")
    node.wait(job, "RUNNING")
    assert _until(lambda: len(mentioning("sleep 4321.5")) >= 2)
    node.run("scancel", job)
    node.wait(job, "CANCELLED")
    assert _until(lambda: not mentioning("sleep 4321.5"))


def test_two_run_side_by_side(node: Node) -> None:
    with slurm_node.running() as other:
        job = other.sbatch("--output=/dev/null", "--job-name=elsewhere", "--wrap=sleep 60")
        other.wait(job, "RUNNING")
        assert "node mixed, 1 jobs" in private_slurm("status", other.folder)[2]
        assert node.run("squeue", "--noheader", "--name=elsewhere") == ""
    assert private_slurm("status", node.folder)[0] == 0


class TestStop:
    def test_nothing_is_left(self) -> None:
        with slurm_node.running() as mine:
            folder = mine.folder
            job = mine.sbatch(
                "--output=/dev/null", "--wrap=trap '' TERM; sleep 4322.5; sleep 4322.5"
            )
            mine.wait(job, "RUNNING")
            assert len(mentioning(f"{folder}/")) >= 3
            said = f"private_slurm: {folder}: ended slurmd, slurmctld, munged\n"
            assert private_slurm("stop", folder) == (0, "", said)
            assert mentioning(f"{folder}/") == []
            assert mentioning("sleep 4322.5") == []
            said = f"private_slurm: {folder}: nothing ran here\n"
            assert private_slurm("stop", folder) == (0, "", said)
            assert private_slurm("status", folder) == (
                1,
                "",
                f"private_slurm: nothing in {folder}\n",
            )

    def test_jobs_are_ended_without_their_controller(self) -> None:
        with slurm_node.running() as mine:
            job = mine.sbatch("--output=/dev/null", "--wrap=sleep 4323.5")
            mine.wait(job, "RUNNING")
            assert _until(lambda: bool(mentioning("sleep 4323.5")))
            os.kill(int((mine.folder / "slurmctld.pid").read_text()), signal.SIGKILL)
            assert _until(
                lambda: "slurmctld not running" in private_slurm("status", mine.folder)[2]
            )
            assert private_slurm("stop", mine.folder)[2].endswith("ended slurmd, munged\n")
            assert mentioning("sleep 4323.5") == []
            assert mentioning(f"{mine.folder}/") == []

    def test_processes_of_others_are_left_alone(self, tmp_path: Path) -> None:
        """A process id in a file may belong to somebody else by now."""
        with subprocess.Popen(["sleep", "60"]) as other:
            (tmp_path / "slurm.conf").touch()
            (tmp_path / "slurmd.pid").write_text(f"{other.pid}\n")
            assert "nothing ran here" in private_slurm("stop", tmp_path)[2]
            assert other.poll() is None
            other.kill()


class TestStart:
    def test_a_user_sees_what_to_do_next(self) -> None:
        with slurm_node.running() as mine:
            folder = mine.folder
            code, out, said = private_slurm("start", folder)
            assert (code, out) == (1, "")
            assert said.endswith("a private Slurm runs here already; stop it first\n")
            private_slurm("stop", folder)
            # once stopped, it starts anew
            code, out, said = private_slurm("start", folder, "--cpus", "3", "--memory", "600")
            assert (code, out) == (0, f"export SLURM_CONF={folder}/slurm.conf\n"), said
            assert mine.run("sinfo", "--noheader", "--format=%c %m %T") == "3 600 idle"
            assert mine.sbatch("--output=/dev/null", "--wrap=true") == "1"

    def test_a_daemon_that_fails_is_quoted_and_the_others_end(self) -> None:
        with slurm_node.running() as mine:
            private_slurm("stop", mine.folder)
            code, out, said = private_slurm("start", mine.folder, "--cpus", "70000")
            assert (code, out) == (1, "")
            first, *tail = said.splitlines()
            assert first.startswith("private_slurm: slurmctld ended with code 1; the end of ")
            assert "greater than 65535" in "".join(tail)
            assert mentioning(f"{mine.folder}/") == []

    def test_what_is_missing_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nowhere")  # daemons are looked for in sbin as well
        code, _, said = private_slurm("start", tmp_path / "slurm")
        assert code == 1
        assert re.match(
            r"private_slurm: (sbatch|munged|slurmctld|slurmd) is not installed; on Debian: apt-get install",
            said,
        )
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.usefixtures("node")
    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("s" * 80, "too long for the sockets in it"),
            ("a b", "no path with a space"),
            ("", "holds other files; choose an empty or a new folder"),
        ],
    )
    def test_an_unfit_folder_is_refused(self, name: str, words: str) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as place:
            folder = Path(place)
            (folder / "mine.txt").touch()
            code, _, said = private_slurm("start", folder / name)
            assert code == 1
            assert words in said
            assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_job_can_put_itself_back_into_the_queue(node: Node, returning: tuple[str, Path]) -> None:
    """As a job does whose program stops in time; the first test has started it, to save a wait."""
    job, out = returning
    assert node.wait(job, "COMPLETED", "FAILED")["Restarts"] == "1"
    assert out.read_text().splitlines().count("begins") == 2


def _until(condition: object) -> bool:
    assert callable(condition)
    end = time.monotonic() + 30.0
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
