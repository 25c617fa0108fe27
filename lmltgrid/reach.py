"""Whether the place where a scan would compute can be reached, and computes the same.

Workers need the same lmltgrid, and have to see the folder of the store under the same path.
"""

from __future__ import annotations

import shutil
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from lmltgrid import basis, cluster, layouts
from lmltgrid.cluster.scheduler import DaskFutures
from lmltgrid.cluster.site import BatchSite, read_site
from lmltgrid.doctor import FAILED, OK, WARNING, Check
from lmltgrid.errors import LmltgridError

COMMANDS: Final = {
    "slurm": ("sbatch", "scancel", "squeue"),
    "pbs": ("qsub", "qdel"),
    "lsf": ("bsub", "bkill"),
    "sge": ("qsub", "qdel"),
    "htcondor": ("condor_submit", "condor_rm"),
}
ANSWER: Final = 120.0  # s; a worker may import for long from a busy file server
FEW: Final = 3  # hosts that are named


def reach(name: str, folder: str) -> list[Check]:
    """Check the cluster that a user names; nothing is raised for what is found.

    Parameters
    ----------
    name
        As for ``--cluster``.
    folder
        Where stores are to be created; a small file is written there, for workers to see.
    """
    try:
        if name.endswith(".toml") and isinstance(site := read_site(Path(name)), BatchSite):
            return list(_batch(site))
        with cluster.choose(name).start() as executor:
            if not isinstance(executor, DaskFutures):
                return [Check("cluster", OK, f"{name}: computes in this process")]
            return [Check("cluster", OK, f"{executor.name}: reached"), *_workers(executor, folder)]
    except LmltgridError as error:
        return [Check("cluster", FAILED, str(error), "correct what --cluster names")]


def _batch(site: BatchSite) -> Iterator[Check]:
    """Check what this machine needs of a batch system; no job is submitted."""
    import psutil

    missing = [word for word in COMMANDS[site.kind] if shutil.which(word) is None]
    if missing:
        todo = "run where jobs are submitted, or name the batch system in kind"
        yield Check("batch system", FAILED, f"{', '.join(missing)}: not found", todo)
    else:
        yield Check("batch system", OK, f"{site.kind}: {', '.join(COMMANDS[site.kind])}")
    try:
        cluster.job_script(site)
    except LmltgridError as error:
        yield Check("job script", FAILED, str(error), "correct the site file")
    else:
        yield Check("job script", OK, "can be written")
    if site.interface is None:
        todo = "name the network of the compute nodes, as interface = 'ib0'"
        yield Check("interface", WARNING, "none is named: the host name's is taken", todo)
    elif site.interface not in psutil.net_if_addrs():
        known = ", ".join(sorted(psutil.net_if_addrs()))
        yield Check("interface", FAILED, f"{site.interface}: not here", f"name one of {known}")
    else:
        yield Check("interface", OK, site.interface)


def _workers(executor: DaskFutures, folder: str) -> Iterator[Check]:
    """Ask every worker who it is and what it sees."""
    probe = Path(folder, f".lmltgrid-doctor-{uuid.uuid4().hex}")
    local = "://" not in folder
    try:
        if local:
            probe.touch()
        answers = executor.ask_all(answer, str(probe.absolute()), timeout=ANSWER)
    except OSError as error:
        text = f"{folder}: {error.strerror or error}"
        yield Check("workers", FAILED, text, "name a folder that can be written")
        return
    finally:
        if local:
            probe.unlink(missing_ok=True)
    if not answers:
        yield Check("workers", WARNING, "none is there", "start some, or wait for them")
        return
    dumb = {where: text for where, text in answers.items() if isinstance(text, str)}
    if dumb:
        todo = "install this lmltgrid in the environment of the workers"
        yield Check("workers", FAILED, f"{len(dumb)} cannot run it: {_first(dumb.values())}", todo)
    told = [found for found in answers.values() if not isinstance(found, str)]
    if told:
        yield from _compared(told, folder if local else "")


def _compared(told: list[dict[str, Any]], folder: str) -> Iterator[Check]:
    """Compare what workers say of themselves with this process."""
    hosts = {found["host"] for found in told}
    yield Check("workers", OK, f"{len(told)} on {len(hosts)} host(s)")
    own = answer("")
    if any(found["physics"] != own["physics"] for found in told):
        text = f"version {_first(str(f['physics']) for f in told)}, here {own['physics']}"
        yield Check("physics", FAILED, text, "install the same lmltgrid everywhere")
    differing = {
        f"{name} {found['versions'].get(name)} (here {version})"
        for found in told
        for name, version in own["versions"].items()
        if found["versions"].get(name) != version
    }
    if differing:
        todo = "use one environment, or the constraints file"
        yield Check("versions", WARNING, _first(differing), todo)
    else:
        yield Check("versions", OK, "the same on all workers")
    blind = {found["host"] for found in told if not found["sees"]}
    if folder and blind:
        todo = "keep stores where all machines see them under one path, or on S3"
        yield Check("shared folder", FAILED, f"{folder}: not seen by {_first(blind)}", todo)
    elif folder:
        yield Check("shared folder", OK, f"{folder}: seen by all workers")


def _first(words: Any) -> str:
    """Return the first few of several texts."""
    every = sorted(set(words))
    return ", ".join(every[:FEW]) + (f" and {len(every) - FEW} more" if len(every) > FEW else "")


def answer(probe: str) -> dict[str, Any]:
    """Say who this process is, and whether it sees a file; called in every worker."""
    return {
        "host": socket.gethostname(),
        "versions": layouts.versions(),
        "physics": basis.PHYSICS_VERSION,
        "sees": Path(probe).exists(),
    }
