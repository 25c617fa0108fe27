"""Scans on a real Slurm: its jobs are workers, end early, are cancelled, or are shares of a scan."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fake_scan
import pytest
import slurm_node
from slurm_examples import UNITS, Begun, Examples, begin
from slurm_node import Node

from lmltgrid import cluster
from lmltgrid.cluster import Executor
from lmltgrid.report import Report
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
def examples(slurm: Node, tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return Examples(slurm, tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def begun(examples: Examples) -> Iterator[Future[Begun]]:
    """The shipped examples, which run beside the tests of workers."""
    fake_scan.make_store(examples.folder, "slow.zarr", exposures=480)
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(begin, examples)


@pytest.fixture(scope="module")
def short_jobs(examples: Examples) -> Iterator[Future[subprocess.CompletedProcess[str]]]:
    """A client whose jobs end long before its scan; it runs beside the tests as well."""
    fake_scan.make_store(examples.folder, "short.zarr", exposures=110)
    name = 'directives = ["--job-name=short"]'
    file = site(examples.folder, name, walltime="00:00:12", margin=4)
    command = ["lmltgrid", "run", "scan.toml", "--store", "short.zarr"]
    command += ["--cluster", file, "--workers", "2"]
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(examples.call, *command, kind="slow")


@pytest.fixture
def node(slurm: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """An idle node, which this process uses as well."""
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    yield slurm
    slurm.clear()


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up sooner than with real queues."""
    less = {"cluster.jobs.ASK": 0.5, "cluster.jobs.GONE": 1.0, "cluster.jobs.FRUITLESS": 2}
    for name, value in (less | {"scan.GRACE": 1.0}).items():
        monkeypatch.setattr(f"lmltgrid.{name}", value)


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[[int], Store]]:
    """Stores that must be sound at the end, with the bytes of an undisturbed run."""
    made: list[tuple[int, Store]] = []

    def make(units: int) -> Store:
        store = fake_scan.make_store(tmp_path, f"{len(made)}.zarr", exposures=units)
        made.append((units, store))
        return store

    yield make
    bytes_of = {
        units: fake_scan.undisturbed(tmp_path, units) for units in {units for units, _ in made}
    }
    for units, store in made:
        assert fake_scan.chunk_bytes(store) == bytes_of[units]
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
        time.sleep(0.2)


def beside(action: Callable[[], None]) -> threading.Thread:
    """Do something while a scan runs."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def scan(store: Store, executor: Executor) -> Report:
    until = datetime.now(UTC) + timedelta(seconds=slurm_node.PATIENCE)
    return run_scan(store.path, SLOW, executor, until=until)


class TestWorkers:
    @pytest.mark.usefixtures("begun", "short_jobs")
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
                store = make_store(24)
                watch = beside(lambda: numbers.append(_most(node)))
                report = scan(store, executor)
                assert (report.ending, report.done_now) == ("complete", 24)
                watch.join()
                wait_for(lambda: not node.jobs(), "the end of idle workers")
        assert numbers == [2, 2]

    @pytest.mark.usefixtures("quickly")
    def test_all_jobs_cancelled_again_and_again(
        self, node: Node, tmp_path: Path, make_store: Callable[[int], Store]
    ) -> None:
        """The run ends and says why; nothing that was computed is lost."""
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

    @pytest.mark.usefixtures("node", "quickly")
    def test_a_refusal_is_told_in_the_words_of_the_batch_system(self, tmp_path: Path) -> None:
        store = fake_scan.make_store(tmp_path)
        path = Path(site(tmp_path))
        path.write_text(path.read_text().replace('"main"', '"gpu"'))
        with cluster.choose(str(path), 2).start() as executor:
            report = scan(store, executor)
        assert (report.ending, report.done_now) == ("machine", 0)
        assert "slurm: a job is refused (sbatch: error: invalid partition" in report.sentence
        assert "correct the site file" in report.sentence

    @pytest.mark.usefixtures("node", "quickly")
    def test_jobs_whose_worker_does_not_start_end_the_scan(self, tmp_path: Path) -> None:
        store = fake_scan.make_store(tmp_path)
        with cluster.choose(site(tmp_path, 'python = "/nowhere/python"'), 2).start() as executor:
            report = scan(store, executor)
        assert report.ending == "machine"
        assert f"read in {tmp_path / 'logs'} why, then resume" in report.sentence
        assert "/nowhere/python" in "".join(p.read_text() for p in tmp_path.glob("logs/*.err"))


class TestExamples:
    """They were begun before the other tests, so the waits are over by now."""

    def test_a_job_is_killed_after_its_walltime(
        self, examples: Examples, begun: Future[Begun]
    ) -> None:
        ours = begun.result()
        known = examples.node.wait(ours.overdue, "TIMEOUT", "COMPLETED", "FAILED", "CANCELLED")
        assert known["JobState"] == "TIMEOUT"

    def test_a_walltime_shorter_than_the_scan(
        self,
        examples: Examples,
        short_jobs: Future[subprocess.CompletedProcess[str]],
        tmp_path: Path,
    ) -> None:
        """Each worker ends by itself in time, and new jobs take over; one call is enough."""
        client = short_jobs.result()
        assert client.returncode == 0, client.stderr
        assert examples.chunks("short.zarr") == fake_scan.undisturbed(tmp_path, 110)
        jobs = examples.node.jobs("all", name="short")
        assert len(jobs) >= 3
        states = {examples.node.describe(job)["JobState"] for job in jobs}
        assert states <= {"COMPLETED", "CANCELLED"}  # by the client, when its worker has ended

    def test_a_job_array_without_a_scheduler(
        self, examples: Examples, begun: Future[Begun]
    ) -> None:
        ours, node = begun.result(), examples.node
        for task in (1, 2):
            known = node.wait(f"{ours.array}_{task}", "COMPLETED", "FAILED")
            assert known["ExitCode"] == "0:0", examples.said(f"lmltgrid-{ours.array}_*.log")
        assert examples.chunks("array.zarr") == ours.reference

    def test_tasks_stopped_before_their_walltime_come_back(
        self, examples: Examples, begun: Future[Begun], tmp_path: Path
    ) -> None:
        ours, node = begun.result(), examples.node
        for task in (1, 2):
            known = node.wait(f"{ours.stopped_array}_{task}", "COMPLETED", "FAILED", "TIMEOUT")
            log = examples.said(f"lmltgrid-{ours.stopped_array}_{task}.log")
            assert (known["JobState"], known["ExitCode"]) == ("COMPLETED", "0:0"), log
            assert int(known["Restarts"]) >= 1
            assert "stopped by a signal, all that was computed is saved" in log
        assert examples.chunks("slow.zarr") == fake_scan.undisturbed(tmp_path, 480)
        # what was stopped was not computed again
        assert fake_scan.attempts(examples.folder / "slow.zarr.control", "slow") == 480

    def test_a_scheduler_inside_a_job(self, examples: Examples, begun: Future[Begun]) -> None:
        ours, node = begun.result(), examples.node
        known = node.wait(ours.one_job, "COMPLETED", "FAILED", "TIMEOUT")
        log = examples.said(f"lmltgrid-{ours.one_job}.log")
        assert known["ExitCode"] == "0:0", log
        assert f"Scan complete: {UNITS} of {UNITS} units" in log
        assert examples.chunks("job.zarr") == ours.reference
        # certificates and address are gone with the job
        assert not list(examples.folder.glob(f"lmltgrid-{ours.one_job}-*"))

    def test_a_client_on_the_login_node(self, examples: Examples, begun: Future[Begun]) -> None:
        ours = begun.result()
        assert ours.client.returncode == 0, ours.client.stderr
        assert f"Scan complete: {UNITS} of {UNITS} units" in ours.client.stdout
        assert examples.chunks("login.zarr") == ours.reference
        # two are asked for; the first may have computed all before the second reports
        assert examples.said("worker-logs/*.err").count("Registered to:") >= 1
        assert not list((examples.folder / "shared").iterdir())

    def test_a_cancelled_task_stays_away(self, node: Node, tmp_path: Path) -> None:
        mine = Examples(node, tmp_path)
        store = fake_scan.make_store(tmp_path, "slow.zarr", exposures=480)
        changes = {"--array=1-20": "--array=1-2", "--mem=2000M": "--mem=300M"}
        job = mine.submit("job-array.sbatch", str(store.path), changes, kind="slow")
        wait_for(lambda: len(store.ledger.marked()) >= 4, "units")
        node.cancel(job)
        for task in (1, 2):
            assert node.wait(f"{job}_{task}", "CANCELLED")["Restarts"] == "0"
        wait_for(lambda: "stopped by a signal" in mine.said("*.log"), "the end of the program")
        time.sleep(2.0)
        assert not node.run("squeue", "--noheader", f"--jobs={job}")


def _most(node: Node) -> int:
    """Return the largest number of jobs that run at once, until all have ended."""
    wait_for(lambda: node.jobs("RUNNING"), "a job")
    most = 0
    while jobs := node.jobs("RUNNING"):
        most = max(most, len(jobs))
        time.sleep(0.2)
    return most
