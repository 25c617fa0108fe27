"""Workers as jobs of a batch system, through dask-jobqueue.

The scheduler lives in this process; jobs come and go. A job that ends, at its walltime or because
somebody cancels it, is replaced as long as there is work; jobs that end before their worker has
reported, again and again, end the scan loudly.
"""

from __future__ import annotations

import logging
import math
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from lmltgrid.cluster.executor import Executor
from lmltgrid.cluster.scheduler import THREADS, OwnCluster
from lmltgrid.cluster.site import BatchSite
from lmltgrid.errors import MachineError, SpecificationError

ASK: Final = 15.0  # s between questions to the batch system
ANSWER: Final = 10.0  # s to wait for its answer
GONE: Final = 5.0  # s; a worker that only lost its connection would be back
FRUITLESS: Final = 3  # rounds of jobs that end before a worker has reported
PACE: Final = "500ms"  # the number of workers follows the work so that each has so much to do

# how to list the jobs of this user that are queued or running, one number a line
LISTS: Final = {"slurm": ("squeue", "--noheader", "--me", "--format=%A")}


def _job_class(kind: str) -> Any:
    """Return dask-jobqueue's class of jobs, made to remember how a job ended.

    A refusal would otherwise end in a task of the event loop that nobody looks at.
    """
    try:
        import dask_jobqueue
        from distributed.core import Status
    except ImportError:
        raise MachineError(
            f"{kind}: dask-jobqueue is not installed; install it: pip install 'lmltgrid[hpc]'"
        ) from None
    clusters = {
        "slurm": dask_jobqueue.SLURMCluster,
        "pbs": dask_jobqueue.PBSCluster,
        "lsf": dask_jobqueue.LSFCluster,
        "sge": dask_jobqueue.SGECluster,
        "htcondor": dask_jobqueue.HTCondorCluster,
    }

    class Job(clusters[kind].job_cls):  # type: ignore[misc]
        refused = ""

        async def start(self) -> None:
            try:
                await super().start()
            except (RuntimeError, ValueError, OSError) as error:
                self.refused = _refusal(error)
                self.status = Status.running

        async def close(self) -> None:
            await super().close()
            self.status = Status.closed  # distributed asserts it of every job that is remembered

    return Job


def _refusal(error: Exception) -> str:
    """Return what the batch system said when it refused a job."""
    if isinstance(error, FileNotFoundError):
        return f"this machine has no {error.filename}"
    _, _, said = str(error).partition("stderr:\n")  # of dask-jobqueue's report
    return " ".join((said or str(error)).split()) or type(error).__name__


def options(site: BatchSite, certificates: Any = None) -> dict[str, Any]:
    """Return the arguments of dask-jobqueue's cluster that a site means."""
    workers = ["--no-dashboard"]
    seconds = site.walltime_seconds
    if seconds is not None:
        # workers that started together should not end together
        stagger = site.margin // 2
        workers += ["--lifetime", f"{seconds - site.margin}s", "--lifetime-stagger", f"{stagger}s"]
    given: dict[str, Any] = {
        "cores": site.cores,
        "processes": site.cores,
        "memory": f"{site.cores * site.memory_mb}MB",
        "job_name": "lmltgrid",
        "interface": site.interface,
        "security": certificates,
        "job_extra_directives": list(site.directives),
        # a library with threads of its own would take the cores of the other workers
        "job_script_prologue": [*(f"export {name}=1" for name in THREADS), *site.prologue],
        "python": site.python,
        "local_directory": _text(site.local_directory),
        "log_directory": _text(site.log_directory),
        "shared_temp_directory": _text(site.shared_directory or Path.home() / ".lmltgrid"),
        "worker_extra_args": workers,
        "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
        "silence_logs": logging.CRITICAL,
        **_of_system(site),
    }
    return {name: value for name, value in given.items() if value is not None}


def _of_system(site: BatchSite) -> dict[str, Any]:
    """Return what the batch systems call by different names."""
    if site.kind == "htcondor":  # no queues; directives are a table
        pairs = (line.partition("=") for line in site.directives)
        table = {name.strip(): value.strip() for name, _, value in pairs}
        if site.account is not None:
            table["accounting_group"] = site.account
        return {"disk": f"{site.cores * site.disk_mb}MB", "job_extra_directives": table}
    seconds = site.walltime_seconds
    payer = "account" if site.kind in ("slurm", "pbs") else "project"
    return {
        "queue": site.queue,
        payer: site.account,
        "walltime": None if seconds is None else _walltime(seconds, site.kind),
    }


def _walltime(seconds: int, kind: str) -> str:
    """Return a walltime in the form of a batch system; all take hours above 24."""
    minutes = math.ceil(seconds / 60)
    if kind == "lsf":
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _certificates(site: BatchSite) -> Any:
    """Return the certificates of scheduler and workers: those given, or temporary ones."""
    import distributed

    if site.tls is not None:
        names: dict[str, Any] = {"tls_ca_file": str(site.tls.ca), "require_encryption": True}
        for role in ("scheduler", "worker", "client"):
            names[f"tls_{role}_cert"] = str(site.tls.cert)
            names[f"tls_{role}_key"] = str(site.tls.key)
        return distributed.Security(**names)
    folder = site.shared_directory or Path.home() / ".lmltgrid"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return distributed.Security.temporary()
    except ImportError:
        raise MachineError(
            f"{site.kind}: temporary certificates need the package cryptography; install it: "
            "pip install 'lmltgrid[hpc]', or name certificates in [tls] of the site file"
        ) from None
    except OSError as error:
        raise MachineError(
            f"{folder}: certificates cannot be written ({error.strerror}); name a folder of yours "
            "as shared_directory of the site file"
        ) from None


class _Jobs(OwnCluster):
    """A cluster whose workers are jobs of a batch system."""

    def __init__(self, site: BatchSite, workers: int) -> None:
        super().__init__(site.kind, workers)
        self.site = site
        self._seen: dict[Any, Any] = {}  # jobs whose worker has reported, by their names
        self._absent: dict[Any, float] = {}  # since when such a job has no worker
        self._unlisted: set[Any] = set()  # jobs that the batch system did not know, last time
        self._fruitless = 0
        self._refused = ""
        self._accepted = False
        self._asked = self._idle_since = time.monotonic()
        self._waiting = ""

    def waiting(self) -> str:
        return self._waiting

    def tend(self) -> None:
        self._require_scheduler()
        now = time.monotonic()
        names, jobs = self._names(), dict(self._cluster.workers)
        here = {name: job for name, job in jobs.items() if _reports(str(name), names)}
        if any(self._seen.get(name) is not job for name, job in here.items()):
            self._fruitless = 0
        self._seen |= here
        # distributed gives the name of a job whose worker has ended to the next one
        fresh = {name: job for name, job in jobs.items() if self._seen.get(name) is not job}
        for name in here.keys() | fresh.keys():
            self._absent.pop(name, None)
        lost = [n for n in jobs.keys() - here.keys() - fresh.keys() if self._silent(n, now)]
        lost += self._vanished(fresh, now)
        for name in lost:
            self._cluster.loop.add_callback(self._drop, name)
        if lost or len(jobs) < max(self._wanted(), len(self._cluster.worker_spec)):
            self._cluster.loop.add_callback(self._restore)
        self._judge(bool(names), len(jobs), now)

    def _wanted(self) -> int:
        """Return how many jobs there should be, at least."""
        workers = self.site.adaptive.minimum if self.site.adaptive else self.slots
        return -(-workers // self.site.cores)

    def _silent(self, name: Any, now: float) -> bool:
        return now - self._absent.setdefault(name, now) > GONE

    def _vanished(self, jobs: dict[Any, Any], now: float) -> list[Any]:
        """Return those jobs, without a worker yet, that the batch system has refused or lost."""
        refused = {name: job.refused for name, job in jobs.items() if job.refused}
        if refused:
            self._refused = next(iter(refused.values()))
        self._accepted |= any(job.job_id for job in jobs.values())
        gone = set(refused)
        if now - self._asked > ASK and (listed := self._listed()) is not None:
            self._asked = now
            missing = {n for n, job in jobs.items() if job.job_id and job.job_id not in listed}
            gone |= missing & self._unlisted  # twice: a job may end, or start, while we ask
            self._unlisted = missing
        self._fruitless += len(gone)
        return list(gone)

    def _listed(self) -> set[str] | None:
        """Return the numbers of this user's jobs; None if the batch system does not answer."""
        if self.site.kind not in LISTS:
            return None
        with suppress(OSError, subprocess.SubprocessError):
            answer = subprocess.run(  # noqa: S603 - our own words
                LISTS[self.site.kind], capture_output=True, text=True, timeout=ANSWER, check=True
            )
            return set(answer.stdout.split())
        return None

    def _judge(self, working: bool, jobs: int, now: float) -> None:
        """Say what is waited for, and give up when it does not come."""
        kind, logs = self.site.kind, self.site.log_directory
        if working:
            self._idle_since, self._waiting = now, ""
            return
        if self._refused and not self._accepted:
            remedy = "correct the site file, or run where jobs can be submitted"
            raise MachineError(f"{kind}: a job is refused ({self._refused}); {remedy}")
        if self._fruitless >= FRUITLESS * max(-(-self.slots // self.site.cores), 2):
            why = f" ({self._refused})" if self._refused else ""
            place = f"read in {logs} why" if logs else "name a log_directory in the site file"
            raise MachineError(
                f"{kind}: {self._fruitless} jobs ended before a worker has reported{why}; "
                f"{place}, then resume the scan"
            )
        if now - self._idle_since > self.site.patience:
            raise MachineError(
                f"{kind}: no worker has reported for {self.site.patience} s; look at the queue, "
                "raise patience in the site file, then resume the scan"
            )
        self._waiting = f"{kind}: waiting for a worker; {jobs} job(s) submitted"

    def _drop(self, name: Any) -> None:
        self._absent.pop(name, None)
        self._seen.pop(name, None)
        super()._drop(name)

    def _restore(self) -> None:
        """Submit the jobs that are missing, in the cluster's own thread."""
        cluster = self._cluster
        if cluster.status.name != "running":
            return
        if len(cluster.worker_spec) < self._wanted():
            cluster.scale(jobs=self._wanted())
        else:
            # distributed itself forgets a worker that was lost, and leaves its specification
            cluster._correct_state()

    def _make(self) -> Any:
        kind = self.site.kind
        job, certificates = _job_class(kind), _certificates(self.site)
        from dask_jobqueue.core import JobQueueCluster

        try:
            return JobQueueCluster(job_cls=job, **options(self.site, certificates))
        except (OSError, RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())
            raise MachineError(
                f"{kind}: the scheduler cannot be started ({text}); check interface and folders of "
                "the site file"
            ) from None

    def __enter__(self) -> Self:
        super().__enter__()
        if self.site.adaptive:
            least, most = self.site.adaptive.minimum, self.slots
            self._cluster.adapt(minimum=least, maximum=most, target_duration=PACE, interval="1s")
        else:
            self._cluster.scale(self.slots)
        self._idle_since = time.monotonic()
        return self

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        for role in ("ca_file", "cert", "key"):  # dask-jobqueue leaves the files to the collector
            with suppress(AttributeError):
                getattr(self._cluster, f"_job_{role}").close()


def _reports(name: str, workers: set[str]) -> bool:
    """Return whether a worker of a job is connected; those of a job with several are numbered."""
    return name in workers or any(w.rpartition("-")[0] == name for w in workers)


def batch(site: BatchSite, workers: int | None = None) -> Executor:
    """Return a cluster whose workers are jobs of a batch system.

    Parameters
    ----------
    site
        From `lmltgrid.cluster.site.read_site`.
    workers
        How many; where the site is adaptive, how many at most.

    Raises
    ------
    SpecificationError
        No number of workers is given, nor an adaptive one.
    """
    count = workers if workers is not None else site.adaptive and site.adaptive.maximum
    if not count:
        raise SpecificationError(
            f"{site.kind}: no number of workers is given; give --workers, or [adaptive] in the "
            "site file"
        )
    if site.adaptive and count < site.adaptive.minimum:
        raise SpecificationError(
            f"{site.kind}: {count} workers are given, below adaptive.minimum "
            f"{site.adaptive.minimum} of the site file; give more"
        )
    return _Jobs(site, count)


def job_script(site: BatchSite) -> str:
    """Return the job script that a site means, as text; nothing is submitted."""
    job = _job_class(site.kind)
    arguments = options(site)
    for name in ("scheduler_options", "silence_logs", "shared_temp_directory", "security"):
        arguments.pop(name, None)
    return str(job("tcp://<address of the scheduler>", name="lmltgrid", **arguments).job_script())
