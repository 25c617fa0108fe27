"""Whether an installation, a machine and the place of a store can do what a scan needs.

A store trusts its file system in a few things: a rename replaces a file in one step, a folder is
not renamed onto another that has content, and of two that create a file one is refused. Of an S3
server it expects that it heeds conditions. Each is tried.
"""

from __future__ import annotations

import os
import platform
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Final

OK: Final = "ok"
WARNING: Final = "warning"
FAILED: Final = "failed"

DISTRIBUTION: Final = "lmltgrid"
NEEDED_ROOM: Final = 100e6  # of a store: moments, metadata and the first chunks
USUAL_ROOM: Final = 1e9
NETWORK: Final = ("nfs", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb", "afs", "9p", "fuse.ssh")
THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_AGAIN: Final = "install lmltgrid again, as its README says"
SKEW: Final = 120.0  # s; at 900 a server takes a request for a replayed one
_REACH: Final = (
    "check AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket"
)
_MOVE: Final = "keep stores on another file system, local or of the cluster"

_BOUND: Final = re.compile(r"\s*([A-Za-z0-9][\w.-]*)[^<>=!~;]*>=\s*([\d.]+)")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: its state is "ok", "warning" or "failed"."""

    name: str
    state: str
    found: str
    advice: str = ""


def examine(folder: str | Path) -> list[Check]:
    """Check everything; nothing is raised for what is found.

    Parameters
    ----------
    folder
        Where stores are to be created, a folder or ``s3://bucket/prefix``; a few small files are
        written there and removed.
    """
    remote = str(folder).startswith("s3:/")
    return [
        python(),
        *packages(),
        data_files(),
        kernels(),
        kernel_cache(),
        cores(),
        memory(),
        *(bucket(str(folder)) if remote else place(Path(folder))),
    ]


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: of 2025.1rc1, (2025, 1)."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, leading[0].split("."))) if leading else ()


def _below(version: str, bound: str) -> bool:
    have, need = _numbers(version), _numbers(bound)
    length = max(len(have), len(need))
    return have + (0,) * (length - len(have)) < need + (0,) * (length - len(need))


def python() -> Check:
    """Check the version of Python against the metadata of the installation."""
    have = platform.python_version()
    try:
        asked = str(metadata.metadata(DISTRIBUTION)["Requires-Python"])
    except metadata.PackageNotFoundError:
        return Check("Python", FAILED, f"{have}; {DISTRIBUTION} is not installed", _AGAIN)
    need = asked.removeprefix(">=")
    if _below(have, need):
        return Check("Python", FAILED, f"{have}, {asked} is needed", "take a newer Python")
    return Check("Python", OK, have)


def packages() -> list[Check]:
    """Check the version of every package against the lower bound of the installation's metadata.

    Extras count where they are installed; those of developers are left out.
    """
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    wrong, right = [], 0
    for line in required:
        bound, extra = _BOUND.match(line), re.search(r"extra == ['\"](\w+)['\"]", line)
        if bound is None or (extra and extra[1] == "dev"):
            continue
        name, need = bound.groups()
        try:
            have = metadata.version(name)
        except metadata.PackageNotFoundError:
            if not extra:
                wrong.append(Check(name, FAILED, f"not installed, >={need} is needed", _AGAIN))
            continue
        if _below(have, need):
            todo = f"pip install -U '{name}>={need}'"
            wrong.append(Check(name, FAILED, f"{have}, >={need} is needed", todo))
        else:
            right += 1
    return [Check("packages", OK, f"{right} as new as needed"), *wrong]


def data_files() -> Check:
    """Check that every shipped data file has the bytes that the manifest records."""
    from lmltgrid.datafiles import manifest, read_bytes
    from lmltgrid.errors import LmltgridError

    try:
        for name in manifest():
            read_bytes(name)
    except LmltgridError as error:
        return Check("data files", FAILED, str(error), _AGAIN)
    return Check("data files", OK, f"{len(manifest())} as recorded")


def kernels() -> Check:
    """Compile a tiny kernel and compare what it returns."""
    name = "kernels"
    try:
        from lmltgrid.kernels.jit import kernel

        begun = time.perf_counter()
        value = kernel(_square)(3.0)
        seconds = time.perf_counter() - begun
    except Exception as error:  # numba, llvm or the cache folder: whatever it is, it is the answer
        text = f"numba cannot compile ({type(error).__name__}: {' '.join(str(error).split())})"
        return Check(name, FAILED, text, "look at NUMBA_CACHE_DIR, else " + _AGAIN)
    if value != 9.0:
        return Check(name, FAILED, f"a compiled kernel returns {value} for 9", _AGAIN)
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        text = "NUMBA_DISABLE_JIT is set: kernels run as Python, a hundred times slower"
        return Check(name, WARNING, text, "unset NUMBA_DISABLE_JIT")
    return Check(name, OK, f"a small one compiles in {seconds:.2f} s")


def _square(x: float) -> float:
    return x * x


def kernel_cache() -> Check:
    """Check the folder in which compiled kernels are kept, if there is one."""
    name = "NUMBA_CACHE_DIR"
    given = os.environ.get(name)
    if not given:
        return Check(name, OK, "not set: each process compiles its kernels, 4 to 10 s")
    folder = Path(given)
    error = _try(lambda: _touch(folder))
    if error:
        return Check(name, FAILED, f"{given}: {error}", "set it to a folder that you can write")
    kind, others = file_system(folder), folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others:
        # what lies there is run: whoever writes there can run code as this user
        text = f"{given}: others can write there, and its files are executed"
        return Check(name, WARNING, text, f"chmod go-w {given}")
    if kind.startswith(NETWORK):
        return Check(name, WARNING, f"{given}: on {kind}", "set it to a folder on a local disk")
    return Check(name, OK, f"{given} ({kind})")


def _touch(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def cores() -> Check:
    """Check cores and the number of threads that libraries were told to use."""
    from dask.system import CPU_COUNT  # as a cluster counts: affinity and control groups

    told = {name: os.environ[name] for name in THREADS if name in os.environ}
    text = f"{CPU_COUNT} of {os.cpu_count()} may be used"
    text += "".join(f", {name}={value}" for name, value in told.items())
    wrong = [n for n, v in told.items() if not v.isdecimal() or not 1 <= int(v) <= CPU_COUNT]
    if wrong:
        return Check("cores", WARNING, text, f"set {', '.join(wrong)} to 1, or unset it")
    return Check("cores", OK, text)


def memory() -> Check:
    """Check the free memory against what a worker may be given; limits of a job are not seen."""
    import psutil

    from lmltgrid.spec import RunSpec

    field = RunSpec.model_fields["memory_mb"]
    needed = next(one.ge for one in field.metadata if hasattr(one, "ge"))
    free = psutil.virtual_memory().available / 1e6
    text = f"{free:.0f} MB free"
    todo = f"a worker needs at least {needed} MB; take fewer, or a larger machine"
    if free < needed:
        return Check("memory", FAILED, text, todo)
    enough = free >= field.default
    return Check("memory", OK, text) if enough else Check("memory", WARNING, text, todo)


def file_system(path: Path) -> str:
    """Return the type of the file system at a path, as mounted; "unknown" where none is told."""
    import psutil

    with suppress(OSError):
        whole = path.resolve()
        mounts = [m for m in psutil.disk_partitions(all=True) if whole.is_relative_to(m.mountpoint)]
        if mounts:
            # the last of those mounted at the deepest point is the one that is seen
            return str(max(enumerate(mounts), key=lambda m: (len(m[1].mountpoint), m[0]))[1].fstype)
    return "unknown"


def place(folder: Path) -> Iterator[Check]:
    """Check what a store needs of the file system at a folder."""
    from lmltgrid.storage import LocalStorage

    if not folder.is_dir():
        todo = "create it, or name the folder in which stores are to be"
        yield Check("folder", FAILED, f"{folder}: there is no such folder", todo)
        return
    room = LocalStorage(folder).free_bytes()
    text, todo = (
        f"{folder}: {room / 1e9:.1f} GB",
        "make room; run --dry-run says how much is needed",
    )
    state = FAILED if room < NEEDED_ROOM else WARNING if room < USUAL_ROOM else OK
    yield Check("free space", state, text, "" if state == OK else todo)
    try:
        with tempfile.TemporaryDirectory(prefix=".lmltgrid-doctor-", dir=folder) as name:
            yield Check("writable", OK, f"{folder} ({file_system(folder)})")
            for title, attempt in TRIALS:
                error = _try(partial(attempt, Path(name)))
                # without links a lease is created all the same, but may be seen before its content
                bad = WARNING if attempt is _link else FAILED
                yield Check(title, bad if error else OK, error or "works", _MOVE if error else "")
    except OSError as error:
        text = f"{folder}: {error.strerror or error}"
        yield Check("writable", FAILED, text, "check its permissions, or take another folder")


def bucket(url: str) -> Iterator[Check]:
    """Check what a store needs of an S3 server, in a place of its own below a URL."""
    from lmltgrid.errors import LmltgridError
    from lmltgrid.storage import trials

    try:
        with trials.trial_place(url.rstrip("/")) as storage:
            try:
                seconds = trials.answer(storage)
            except OSError as failure:
                yield Check("server", FAILED, f"{url}: {failure.strerror or failure}", _REACH)
                return
            yield Check("server", OK, f"{url}: a small object is put in {seconds * 1e3:.0f} ms")
            for title, attempt in trials.TRIALS:
                error = _try(partial(attempt, storage))
                todo = "keep stores on another server, or in a folder" if error else ""
                yield Check(title, FAILED if error else OK, error or "works", todo)
            yield _clock(trials.ahead(storage))
    except LmltgridError as failure:  # no obstore, or settings that cannot be
        yield Check("server", FAILED, str(failure), "set what it asks for, then try again")


def _clock(ahead: float) -> Check:
    text = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of this machine"
    if abs(ahead) > SKEW:
        todo = "set the clocks; beyond 900 s a server refuses every request"
        return Check("clock of the server", WARNING, text, todo)
    return Check("clock of the server", OK, text)


def _try(attempt: Callable[[], None]) -> str:
    """Return why something does not work, or nothing."""
    try:
        attempt()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _rename_file(folder: Path) -> None:
    """Replace a file by a rename, as a marker appears; whoever has it open keeps the old one."""
    new, old = folder / "new", folder / "old"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    with old.open("rb") as file:
        new.replace(old)
        kept = file.read()
    if old.read_bytes() != b"new" or kept != b"old" or new.exists():
        raise OSError("a rename does not replace a file in one step")


def _rename_folder(folder: Path) -> None:
    """Rename a folder, as a store appears; onto one with content it must be refused."""
    first, second, store = (folder / name for name in ("first", "second", "store"))
    for one in (first, second):
        one.mkdir()
        (one / "content").touch()
    first.rename(store)
    if not (store / "content").exists():
        raise OSError("a renamed folder loses its content")
    try:
        second.rename(store)
    except OSError:
        return
    raise OSError("a folder is renamed onto one with content: two runs could create one store")


def _create_if_absent(folder: Path) -> None:
    """Create a file that exists already, as two runs want the same lease."""
    path = folder / "lease"
    path.touch()
    try:
        with path.open("x"):
            pass
    except FileExistsError:
        return
    raise OSError("a file is created that exists already: two runs could hold one store")


def _link(folder: Path) -> None:
    """Link a file, as a lease appears with its content."""
    path = folder / "linked"
    path.touch()
    os.link(path, folder / "link")
    try:
        os.link(path, folder / "link")
    except FileExistsError:
        return
    raise OSError("a link replaces a file")


def _flush(folder: Path) -> None:
    """Flush a file to disk, as each marker is."""
    with (folder / "flushed").open("wb") as file:
        file.write(b"bytes")
        file.flush()
        os.fsync(file.fileno())


TRIALS: Final[tuple[tuple[str, Callable[[Path], None]], ...]] = (
    ("rename of a file", _rename_file),
    ("rename of a folder", _rename_folder),
    ("create if absent", _create_if_absent),
    ("hard link", _link),
    ("flush to disk", _flush),
)
