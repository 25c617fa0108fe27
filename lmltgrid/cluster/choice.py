"""Find an executor by what a user calls it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from lmltgrid.cluster.executor import Executor
from lmltgrid.cluster.inside import in_process
from lmltgrid.cluster.jobs import batch
from lmltgrid.cluster.processes import local
from lmltgrid.cluster.scheduler import address_of, running
from lmltgrid.cluster.site import BatchSite, read_site
from lmltgrid.errors import SpecificationError

FORMS: Final = (
    "in-process, local, the address of a scheduler (tcp://host:port, tls://host:port), a scheduler "
    "file (.json), a site file (.toml)"
)


@dataclass(frozen=True)
class Choice:
    """What a name means, before anything is started.

    Attributes
    ----------
    name
        As given.
    workers
        How many compute at once; of a running scheduler 1 unless given.
    processes
        In how many processes; each compiles and loads for itself.
    memory_mb : 10^6 bytes, or None
        What a process may take, where that is enforced.
    start
        Makes the executor.
    """

    name: str
    workers: int
    processes: int
    memory_mb: int | None
    start: Callable[[], Executor]


def choose(name: str, workers: int | None = None, memory_mb: int = 1000) -> Choice:
    """Return what a name means: ``in-process``, ``local``, an address, or a file.

    Parameters
    ----------
    name
        See `FORMS`.
    workers
        How many; those of a running scheduler are counted when it is reached.
    memory_mb : 10^6 bytes
        Of a process of ``local``; a site file says its own.

    Raises
    ------
    SpecificationError
        The name is none of these forms, or its file is not valid.
    MachineError
        A scheduler file is not there.
    """
    if name == "in-process":
        return Choice(name, workers or 1, 1, None, lambda: in_process(workers or 1))
    if name == "local":
        count = workers or _cores()
        return Choice(name, count, count, memory_mb, lambda: local(count, memory_mb))
    if name.startswith(("tcp://", "tls://", "ucx://")):
        return Choice(name, workers or 1, workers or 1, None, lambda: running(name))
    if name.endswith(".json"):
        address = address_of(Path(name))
        return Choice(name, workers or 1, workers or 1, None, lambda: running(address))
    if name.endswith(".toml"):
        return _of_site(name, workers)
    raise SpecificationError(f"cluster: {name!r} is given; allowed: {FORMS}; choose one of them")


def _of_site(name: str, workers: int | None) -> Choice:
    site = read_site(Path(name))
    if isinstance(site, BatchSite):
        executor = batch(site, workers)
        return Choice(name, executor.slots, executor.slots, site.memory_mb, lambda: executor)
    address = site.address or address_of(Path(str(site.file)))
    return Choice(name, workers or 1, workers or 1, None, lambda: running(address, site.tls))


def dashboard_words(dashboard: str, name: str) -> str:
    """Return where the dashboard of a cluster is shown, and how to reach it from elsewhere.

    That of a site is asked for from another machine: a scheduler on a login node, say, whose
    dashboard listens there alone.

    Parameters
    ----------
    dashboard
        Its address.
    name
        What the cluster was called.
    """
    text = f"workers and memory are shown at {dashboard}"
    place = urlsplit(dashboard)
    if not name.endswith(".toml") or place.hostname not in ("127.0.0.1", "localhost"):
        return text
    tunnel = f"ssh -L {place.port}:{place.hostname}:{place.port} {socket.gethostname()}"
    return f"{text}; from another machine first: {tunnel}"


def _cores() -> int:
    from dask.system import CPU_COUNT  # knows affinity and control groups

    return int(CPU_COUNT)
