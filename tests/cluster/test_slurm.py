"""Scans on a real Slurm: its jobs are workers, end early, are cancelled, or are shares of a scan."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import fake_scan
import pytest
import slurm_node
from slurm_examples import UNITS, Examples, fitted
from slurm_node import Node

from lmltgrid import cluster
from lmltgrid.cluster import Executor
from lmltgrid.scan import run_scan
from lmltgrid.store import Store
from lmltgrid.verify import verify_store

pytestmark = [pytest.mark.cluster, pytest.mark.faults]
pytest.importorskip("dask_jobqueue")
PLAIN = fake_scan.evaluator(fake_scan.plain)
SLOW = fake_scan.evaluator(fake_scan.slow)  # 0.15 s a unit


@pytest.fixture(scope="module")
def slurm() -> Iterator[Node]:
    with slurm_node.running(cpus=16) as node:
        yield node


@pytest.fixture(scope="module")
def begun(slurm: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Begun]]:
    """The shipped examples, which run beside the tests of workers."""
    folder = tmp_path_factory.mktemp("examples")
    fake_scan.make_store(folder, "slow.zarr", exposures=480)
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(begin, Examples(slurm, folder))


@dataclass(frozen=True)
class Begun:
    """Examples that were begun, each in a store of its own; ``reference`` is undisturbed."""

    examples: Examples
    reference: dict[str, bytes]
    array: str
    stopped_array: str
    one_job: str
    client: subprocess.CompletedProcess[str]


def begin(examples: Examples) -> Begun:
    """Start them all, so that their waits overlap."""
    stopped = {"--array=1-20": "--array=1-2", "--mem=2000M": "--mem=300M", "@120": "@50"}
    stopped_array = examples.submit(
        "job-array.sbatch", "slow.zarr", stopped | {"02:00:00": "00:01:00"}, kind="slow"
    )
    done = examples.call("lmltgrid", "run", "scan.toml", "--store", "reference.zarr")
    assert done.returncode == 0, done.stderr
    few = {"--array=1-20": "--array=1-3", "--mem=2000M": "--mem=600M"}
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
    return Begun(examples, examples.chunks("reference.zarr"), array, stopped_array, one_job, client)


@pytest.fixture
def node(slurm: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """An idle node, which this process uses as well."""
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    yield slurm
    slurm.clear()


@pytest.fixture(scope="module")
def references() -> dict[int, dict[str, bytes]]:
    return {}


@pytest.fixture
def make_store(
    tmp_path: Path, references: dict[int, dict[str, bytes]]
) -> Iterator[Callable[[int], Store]]:
    """Stores that must be sound at the end, with the bytes of an undisturbed run."""
    made: list[tuple[int, Store]] = []

    def make(units: int) -> Store:
        store = fake_scan.make_store(tmp_path, f"{len(made)}.zarr", exposures=units)
        made.append((units, store))
        return store

    yield make
    for units, store in made:
        if units not in references:
            quiet = fake_scan.make_store(tmp_path, f"quiet-{units}.zarr", exposures=units)
            run_scan(quiet.path, PLAIN, cluster.in_process()).require()
            references[units] = fake_scan.chunk_bytes(quiet)
        assert fake_scan.chunk_bytes(store) == references[units]
        assert verify_store(store, deep=True).ok


def site(folder: Path, *lines: str, walltime: str = "00:10:00", margin: int = 60) -> str:
    """Write a site file of the private Slurm."""
    tests = Path(fake_scan.__file__).parent
    package = Path(cluster.__file__).parents[2]
    text = f"""
        kind = "slurm"
        queue = "main"
        walltime = "{walltime}"
        margin = {margin}
        memory_mb = 400
        interface = "lo"
        prologue = ["export PYTHONPATH={package}:{tests}"]
        local_directory = "local"
        log_directory = "logs"
        shared_directory = "shared"
        """
    (folder / "site.toml").write_text("\n".join([text, *lines]))
    return str(folder / "site.toml")


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + slurm_node.PATIENCE
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {slurm_node.PATIENCE} s")
        time.sleep(0.1)


def beside(action: Callable[[], None]) -> threading.Thread:
    """Do something while a scan runs."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def scan(store: Store, executor: Executor) -> object:
    return run_scan(store.path, SLOW, executor, until=fake_scan.patience())


class TestWorkers:
    @pytest.mark.usefixtures("begun")
    def test_a_fixed_number_and_one_of_them_cancelled(
        self, node: Node, tmp_path: Path, make_store: Callable[[int], Store]
    ) -> None:
        store = make_store(70)
        cancelled: list[str] = []

        def cancel() -> None:
            wait_for(lambda: len(store.ledger.marked()) >= 10, "units")
            cancelled.extend(node.jobs("RUNNING"))
            node.cancel(cancelled[0])

        with cluster.choose(site(tmp_path), 2).start() as executor:
            assert executor.name == "slurm"
            disturbance = beside(cancel)
            report = scan(store, executor)
            disturbance.join()
            later = node.jobs()
        assert (report.ending, report.done_now) == ("complete", 70)
        assert len(cancelled) == 2
        assert set(later) - set(cancelled)
        wait_for(lambda: not node.jobs(), "the end of the jobs")

    def test_adaptive_workers_come_and_go_and_come_again(
        self, node: Node, tmp_path: Path, make_store: Callable[[int], Store]
    ) -> None:
        numbers: list[int] = []
        with cluster.choose(site(tmp_path, "[adaptive]", "maximum = 2")).start() as executor:
            assert node.jobs() == []
            for _ in range(2):
                store = make_store(40)
                watch = beside(lambda: numbers.append(_most(node)))
                report = scan(store, executor)
                assert (report.ending, report.done_now) == ("complete", 40)
                watch.join()
                wait_for(lambda: not node.jobs(), "the end of idle workers")
        assert numbers == [2, 2]

    def test_a_walltime_shorter_than_the_scan(
        self, node: Node, tmp_path: Path, make_store: Callable[[int], Store]
    ) -> None:
        """Each worker ends by itself in time, and new jobs take over; one call is enough."""
        store = make_store(80)
        with cluster.choose(site(tmp_path, walltime="00:00:08", margin=4), 2).start() as executor:
            before = node.submitted()
            report = scan(store, executor)
        assert (report.ending, report.done_now, report.failed) == ("complete", 80, ())
        assert len(node.submitted() - before) >= 3

    def test_all_jobs_cancelled_again_and_again(
        self,
        node: Node,
        tmp_path: Path,
        make_store: Callable[[int], Store],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The run ends and says why; nothing that was computed is lost."""
        monkeypatch.setattr("lmltgrid.cluster.jobs.ASK", 1.0)
        store = make_store(60)
        over = threading.Event()

        def cancel() -> None:
            wait_for(lambda: len(store.ledger.marked()) >= 10, "units")
            while not over.is_set():
                if jobs := node.jobs():
                    node.cancel(*jobs)
                time.sleep(0.5)

        with cluster.choose(site(tmp_path), 2).start() as executor:
            disturbance = beside(cancel)
            report = scan(store, executor)
            over.set()
            disturbance.join()
        assert (report.ending, report.exit_code) == ("machine", 6)
        assert "jobs ended before a worker has reported" in report.sentence
        assert 10 <= report.done_now == store.done().sum() < 60
        assert run_scan(store.path, PLAIN, cluster.in_process()).ending == "complete"


class TestExamples:
    """They were begun before the other tests, so the waits are over by now."""

    def test_a_job_array_without_a_scheduler(self, begun: Future[Begun]) -> None:
        ours = begun.result()
        node, examples = ours.examples.node, ours.examples
        for task in (1, 2, 3):
            known = node.wait(f"{ours.array}_{task}", "COMPLETED", "FAILED")
            assert known["ExitCode"] == "0:0", examples.said(f"lmltgrid-{ours.array}_*.log")
        assert examples.chunks("array.zarr") == ours.reference

    def test_tasks_stopped_before_their_walltime_come_back(
        self, begun: Future[Begun], tmp_path: Path
    ) -> None:
        ours = begun.result()
        node, examples = ours.examples.node, ours.examples
        for task in (1, 2):
            known = node.wait(f"{ours.stopped_array}_{task}", "COMPLETED", "FAILED", "TIMEOUT")
            log = examples.said(f"lmltgrid-{ours.stopped_array}_{task}.log")
            assert (known["JobState"], known["ExitCode"]) == ("COMPLETED", "0:0"), log
            assert int(known["Restarts"]) >= 1
            assert "stopped by a signal, all that was computed is saved" in log
        quiet = fake_scan.make_store(tmp_path, exposures=480)
        run_scan(quiet.path, PLAIN, cluster.in_process()).require()
        assert examples.chunks("slow.zarr") == fake_scan.chunk_bytes(quiet)
        # what was stopped was not computed again
        assert fake_scan.attempts(examples.folder / "slow.zarr.control", "slow") == 480

    def test_a_scheduler_inside_a_job(self, begun: Future[Begun]) -> None:
        ours = begun.result()
        node, examples = ours.examples.node, ours.examples
        known = node.wait(ours.one_job, "COMPLETED", "FAILED", "TIMEOUT")
        log = examples.said(f"lmltgrid-{ours.one_job}.log")
        assert known["ExitCode"] == "0:0", log
        assert f"Scan complete: {UNITS} of {UNITS} units" in log
        assert examples.chunks("job.zarr") == ours.reference
        # certificates and address are gone with the job
        assert not list(examples.folder.glob(f"lmltgrid-{ours.one_job}-*"))

    def test_a_client_on_the_login_node(self, begun: Future[Begun]) -> None:
        ours = begun.result()
        assert ours.client.returncode == 0, ours.client.stderr
        assert f"Scan complete: {UNITS} of {UNITS} units" in ours.client.stdout
        assert ours.examples.chunks("login.zarr") == ours.reference
        assert ours.examples.said("worker-logs/*.err").count("Registered to:") >= 2
        assert not list((ours.examples.folder / "shared").iterdir())

    def test_a_cancelled_task_stays_away(self, node: Node, tmp_path: Path) -> None:
        examples = Examples(node, tmp_path)
        store = fake_scan.make_store(tmp_path, "slow.zarr", exposures=480)
        changes = {"--array=1-20": "--array=1-2", "--mem=2000M": "--mem=300M"}
        job = examples.submit("job-array.sbatch", str(store.path), changes, kind="slow")
        wait_for(lambda: len(store.ledger.marked()) >= 4, "units")
        node.cancel(job)
        for task in (1, 2):
            assert node.wait(f"{job}_{task}", "CANCELLED")["Restarts"] == "0"
        wait_for(lambda: "stopped by a signal" in examples.said("*.log"), "the end of the program")
        time.sleep(2.0)
        assert not node.run("squeue", "--noheader", f"--jobs={job}")


def _most(node: Node) -> int:
    """Return the largest number of jobs that run at once, until all have ended."""
    wait_for(lambda: node.jobs("RUNNING"), "a job")
    most = 0
    while jobs := node.jobs("RUNNING"):
        most = max(most, len(jobs))
        time.sleep(0.1)
    return most
