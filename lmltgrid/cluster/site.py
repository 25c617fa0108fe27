"""Site files: what a user says once about the batch system, or the scheduler, of a site.

A site file is named on the command line by the user who runs the scan, and trusted as a job script
is: its prologue is shell text. A specification can therefore not name one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from lmltgrid.complaints import shown
from lmltgrid.datafiles import parse_toml, read_bounded
from lmltgrid.errors import SpecificationError
from lmltgrid.spec import MAX_SPEC_BYTES, S, Spec, Whole, validate

DAY: Final = 86400
SYSTEMS: Final = ("slurm", "pbs", "lsf", "sge", "htcondor")

_WALLTIME: Final = re.compile(r"(?:(\d{1,3})-)?(\d{1,4}):([0-5]\d):([0-5]\d)")


def _line(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise ValueError(f"given {shown(text)}; one line is needed; correct it")
    return text


Line = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_line)]
Lines = Annotated[tuple[Line, ...], Field(max_length=100)]


class Tls(Spec):
    """Certificates in PEM files: of the authority, and of this side with its key."""

    ca: Path
    cert: Path
    key: Path


class Adaptive(Spec):
    """Between how many workers the number follows the work."""

    minimum: Annotated[Whole, Field(ge=0, le=100_000)] = 0
    maximum: Annotated[Whole, Field(ge=1, le=100_000)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(
                f"minimum {self.minimum} must not exceed maximum {self.maximum}; swap them"
            )
        return self


class BatchSite(Spec):
    """A batch system whose jobs are workers.

    Attributes
    ----------
    kind
        Which one.
    queue, account
        Where jobs go and who pays; if left out, as the system decides.
    walltime
        Of a job, ``HH:MM:SS`` or ``D-HH:MM:SS``.
    margin : s
        A worker ends by itself so long before the walltime, give or take half of it, and a new job
        replaces it; the units that it had in flight are computed by others.
    cores
        Of a job; each is a worker.
    memory_mb : 10^6 bytes
        Of a worker; beyond it it is killed and replaced.
    disk_mb : 10^6 bytes
        Of a worker, for HTCondor.
    interface
        The network between jobs and this process, as ``ib0``.
    directives
        Further lines of the header of the job script, without ``#SBATCH`` or the like.
    prologue
        Shell lines before the worker starts.
    python
        That of the workers; this one if left out.
    local_directory
        Scratch space of a worker.
    log_directory
        Where the system writes what jobs print.
    shared_directory
        Seen by jobs and this process, for certificates; ``~/.lmltgrid`` if left out.
    patience : s
        How long to wait for a first worker, as while jobs queue.
    adaptive
        Lets the number of workers follow the work; fixed if left out.
    tls
        Certificates; if left out, temporary ones are made. Without TLS whoever reaches the port of
        the scheduler could run code in the user's name.
    """

    kind: Literal["slurm", "pbs", "lsf", "sge", "htcondor"]
    queue: Line | None = None
    account: Line | None = None
    walltime: Line | None = None
    margin: Annotated[Whole, Field(ge=1, le=DAY)] = 120
    cores: Annotated[Whole, Field(ge=1, le=4096)] = 1
    memory_mb: Annotated[Whole, Field(ge=400)] = 1000
    disk_mb: Annotated[Whole, Field(ge=1)] = 1000
    interface: Line | None = None
    directives: Lines = ()
    prologue: Lines = ()
    python: Line | None = None
    local_directory: Path | None = None
    log_directory: Path | None = None
    shared_directory: Path | None = None
    patience: Annotated[Whole, Field(ge=1)] = DAY
    adaptive: Adaptive | None = None
    tls: Tls | None = None

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        seconds = self.walltime_seconds
        if seconds is not None and seconds < 2 * self.margin:
            raise ValueError(
                f"walltime {self.walltime} is shorter than twice the margin of {self.margin} s; "
                "lengthen the walltime or lower margin"
            )
        return self

    @property
    def walltime_seconds(self) -> int | None:
        """The walltime in seconds."""
        if self.walltime is None:
            return None
        found = _WALLTIME.fullmatch(self.walltime)
        if found is None:
            raise ValueError(
                f"walltime: given {shown(self.walltime)}; HH:MM:SS or D-HH:MM:SS is needed; "
                "correct it"
            )
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


class SchedulerSite(Spec):
    """A Dask scheduler that runs already, by its address or the file that it has written."""

    kind: Literal["scheduler"]
    address: Annotated[str, Field(pattern=r"^(tcp|tls|ucx)://\S+$")] | None = None
    file: Path | None = None
    tls: Tls | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.address is None) == (self.file is None):
            raise ValueError("exactly one of address, file is needed; leave the other one out")
        return self


def read_site(path: Path) -> BatchSite | SchedulerSite:
    """Return what a site file says; its relative paths are those of its own folder.

    Raises
    ------
    SpecificationError
        The file cannot be read, is not TOML, or says something that is not allowed.
    """
    try:
        text = read_bounded(path, MAX_SPEC_BYTES)
    except OSError as error:
        raise SpecificationError(
            f"{path}: the site file cannot be read ({error.strerror}); check the path"
        ) from None
    if len(text) > MAX_SPEC_BYTES:
        raise SpecificationError(
            f"{path}: more than {MAX_SPEC_BYTES} bytes are not allowed; is it the right file?"
        )
    content = parse_toml(text, str(path))
    kind = content.get("kind")
    if kind not in (*SYSTEMS, "scheduler"):
        allowed = ", ".join((*SYSTEMS, "scheduler"))
        raise SpecificationError(
            f"{path}: kind: given {shown(kind)}; allowed: {allowed}; name the batch system"
        )
    if kind == "scheduler":
        return _placed(validate(SchedulerSite, content, str(path)), path.parent)
    return _placed(validate(BatchSite, content, str(path)), path.parent)


def _placed(site: S, folder: Path) -> S:
    """Return a table with its relative paths taken from the folder of its file."""
    update: dict[str, Any] = {}
    for name in type(site).model_fields:
        value = getattr(site, name)
        if isinstance(value, Path):
            update[name] = (folder / value.expanduser()).absolute()
        elif isinstance(value, Tls):
            update[name] = _placed(value, folder)
    return site.model_copy(update=update)
