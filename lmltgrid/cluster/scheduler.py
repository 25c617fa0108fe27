"""Executors that speak to a Dask scheduler: what they share, and that of a running scheduler."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from lmltgrid.cluster.executor import Call, Executor, Futures, Outcome
from lmltgrid.datafiles import read_bounded
from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.signals import signals_blocked
from lmltgrid.spec import MAX_SPEC_BYTES

if TYPE_CHECKING:
    from distributed import Security

    from lmltgrid.cluster.site import Tls

FETCH: Final = 10.0  # s to wait for the small result of a call that has ended; its worker may die
REACH: Final = 30.0  # s to wait for an answer of a scheduler
PATIENCE: Final = 600.0  # s that a running scheduler may be without workers

THREADS: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
# of a cluster that this process starts
SETTINGS: Final[dict[str, Any]] = {
    "distributed.deploy.lost-worker-timeout": "3s",
    # the first death ends a call, so that the scan, which knows the units, isolates them
    "distributed.scheduler.allowed-failures": 0,
    # results are tiny: memory belongs to the units, and pausing would only stall
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.profile.enabled": False,
    # without distributed's MALLOC_TRIM_THRESHOLD_: giving every freed chunk back to the
    # system and faulting it in again costs a third of the time of a unit
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, 1),
}


class DaskFutures(Futures):
    """What executors with a `distributed.Client` share: how calls start and end."""

    _client: Any
    _stack: ExitStack

    def _start(self, function: Call, args: tuple[Any, ...]) -> Any:
        self._require_scheduler()
        try:
            return self._client.submit(function, *args, pure=False)
        except Exception as error:
            # a client whose scheduler has gone a moment ago raises errors of several kinds
            self._require_scheduler()
            raise MachineError(f"{self.name}: a call cannot be submitted ({error})") from error

    def _outcome(self, ticket: int, future: Any) -> Outcome:
        import distributed

        try:
            return Outcome(ticket, future.result(timeout=FETCH))
        except (distributed.KilledWorker, CancelledError, OSError) as error:  # or timed out
            return Outcome(ticket, error=error, lost=True)
        except Exception as error:
            return Outcome(ticket, error=error)

    def ask_all(self, function: Call, *args: Any, timeout: float) -> dict[str, Any]:
        """Call a function in every worker; return answers by address, an error as its text.

        Raises
        ------
        MachineError
            The scheduler is lost, or does not answer for ``timeout`` seconds.
        """
        self._require_scheduler()
        workers = list(self._client.nthreads())
        calls = {
            worker: self._client.submit(function, *args, pure=False, workers=[worker])
            for worker in workers
        }
        answers: dict[str, Any] = {}
        end = time.monotonic() + timeout
        for worker, call in calls.items():
            try:
                answers[worker] = call.result(timeout=max(end - time.monotonic(), 0.1))
            except Exception as error:  # whatever the worker raises is the answer
                self._require_scheduler()
                answers[worker] = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return answers

    def _require_scheduler(self) -> None:
        if self._client.status != "running":
            raise MachineError(f"{self.name}: the scheduler is gone; resume the scan")

    def __exit__(self, *exc: object) -> None:
        """Stop; calls that still run are abandoned."""
        self._flying.clear()
        self._stack.close()


class OwnCluster(DaskFutures):
    """What executors share whose scheduler lives in this process."""

    _cluster: Any

    def __init__(self, name: str, slots: int) -> None:
        super().__init__(name, slots)
        self._closing: set[asyncio.Future[Any]] = set()

    def _make(self) -> Any:
        """Return the cluster, started."""
        raise NotImplementedError

    def _names(self) -> set[str]:
        """Return the names of the workers that are connected."""
        return {str(w["name"]) for w in self._cluster.scheduler_info["workers"].values()}

    def _drop(self, name: Any) -> None:
        """Forget a worker, in the cluster's own thread, so that the cluster starts another."""
        self._cluster.worker_spec.pop(name, None)
        worker = self._cluster.workers.pop(name, None)
        if worker is not None:
            task = asyncio.ensure_future(worker.close())
            self._closing.add(task)  # the loop alone would not keep it
            task.add_done_callback(self._closing.discard)

    def __enter__(self) -> Self:
        """Start the cluster and connect to it."""
        import dask
        import distributed

        with ExitStack() as stack:
            stack.enter_context(dask.config.set(SETTINGS))
            resource_tracker.ensure_running()  # its start would unblock the signals again
            with signals_blocked():
                self._cluster = stack.enter_context(self._make())
                self._client = stack.enter_context(
                    distributed.Client(self._cluster, set_as_default=False)
                )
            self._stack = stack.pop_all()
        self.dashboard, self.widget = self._cluster.dashboard_link or "", self._cluster
        return self


class _Running(DaskFutures):
    """A scheduler that runs already, with the workers that it happens to have.

    Its workers need this version of lmltgrid, and the store under the same path.
    """

    def __init__(self, address: str, tls: Tls | None) -> None:
        super().__init__(address, 1)
        self._tls = tls
        self._idle_since = 0.0

    def tend(self) -> None:
        self._require_scheduler()
        try:
            threads = sum(self._client.nthreads().values())
        except Exception:
            self._require_scheduler()
            return  # it is busy; silence is judged by the deadline of the scan
        if threads:
            self._idle_since = 0.0
            self.slots = threads
        elif not self._idle_since:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > PATIENCE:
            raise MachineError(
                f"{self.name}: the scheduler has had no worker for {PATIENCE:.0f} s; start some, "
                "then resume the scan"
            )

    def waiting(self) -> str:
        return f"{self.name}: the scheduler has no workers" if self._idle_since else ""

    def __enter__(self) -> Self:
        import distributed

        certificates = security(self.name, self._tls)
        with ExitStack() as stack, signals_blocked():
            try:
                client = distributed.Client(
                    self.name, security=certificates, set_as_default=False, timeout=REACH
                )
                self._client = stack.enter_context(client)
            except (OSError, ValueError, RuntimeError) as error:
                raise MachineError(
                    f"{self.name}: no Dask scheduler answers ({_words(error)}); check that it "
                    "runs, that this machine can reach it, and that both use TLS or neither does"
                ) from None
            self._stack = stack.pop_all()
        self.dashboard, self.widget = self._client.dashboard_link or "", self._client
        self.tend()
        return self


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def security(address: str, tls: Tls | None) -> Security:
    """Return the certificates for an address: those given, else those of Dask's configuration.

    Raises
    ------
    SpecificationError
        The address asks for TLS and no certificate is known.
    """
    import distributed

    if tls is not None:
        files = {"tls_ca_file": tls.ca, "tls_client_cert": tls.cert, "tls_client_key": tls.key}
        texts = {name: str(path) for name, path in files.items()}
        return distributed.Security(require_encryption=True, **texts)
    found = distributed.Security()
    if address.startswith("tls://") and found.tls_ca_file is None:
        raise SpecificationError(
            f"{address}: TLS is asked for and no certificate is known; name ca, cert and key in "
            "[tls] of a site file, or set distributed.comm.tls in Dask's configuration"
        )
    return found


def running(address: str, tls: Tls | None = None) -> Executor:
    """Return the executor of a scheduler that runs already.

    Parameters
    ----------
    address
        As ``tcp://host:port`` or ``tls://host:port``.
    tls
        Certificates; else those of Dask's configuration.
    """
    return _Running(address, tls)


def address_of(path: Path) -> str:
    """Return the address in a file that ``dask scheduler --scheduler-file`` has written.

    Raises
    ------
    MachineError
        There is no such file, or it holds no address.
    """
    content: Any = None
    with suppress(OSError, ValueError):
        content = json.loads(read_bounded(path, MAX_SPEC_BYTES))
    address = content.get("address") if isinstance(content, dict) else None
    if not isinstance(address, str):
        raise MachineError(
            f"{path}: this is no scheduler file; name the one that 'dask scheduler "
            "--scheduler-file' writes, and wait until it is there"
        )
    return address
