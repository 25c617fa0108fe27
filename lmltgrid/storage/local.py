"""A store on a file system, local or shared."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lmltgrid.processes import machine_key, process_lives
from lmltgrid.storage.interface import Address, State

ABANDONED = 86400.0  # s; a half-created store of an unknown machine is removed after a day
LINKLESS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)  # of file systems without links
SWEPT = 5  # times that a temporary file may be swept away before it is used
UNFINISHED = (".tmp", ".partial")  # ours and Zarr's, until they are renamed


class LocalStorage:
    """The files of a store below a folder."""

    renames = True
    pace = 0.0

    def __init__(self, path: Address) -> None:
        self.path = Path(path)
        self._made: set[Path] = set()

    def at(self, name: str) -> Path:
        """Return the path of a file."""
        return self.path / name

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return the content of a file."""
        with open(f"{self.path}/{name}", "rb") as file:  # a path costs as much as the reading
            if most is not None and os.fstat(file.fileno()).st_size > most:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            return file.read()

    def read_each(
        self, names: Iterable[str], most: int | None = None
    ) -> Iterator[tuple[str, bytes | OSError]]:
        """Iterate over files and their contents."""
        for name in names:
            try:
                yield name, self.read(name, most)
            except OSError as error:
                yield name, error

    def tail(self, name: str, count: int) -> tuple[int, bytes]:
        """Return the size of a file and its last bytes."""
        with self.at(name).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - count))
            return size, file.read(count)

    def write(self, name: str, content: bytes) -> None:
        """Write a temporary file, flush it to disk, and rename it."""
        path = self._place(name)
        with _temporary(path, content) as temporary:
            temporary.replace(path)

    def create(self, name: str, content: bytes) -> bool:
        """Link a temporary file to its name, which fails if that is taken."""
        path = self._place(name)
        for _ in range(SWEPT):
            # the run that holds the store sweeps temporary files, those of a rival too
            with _temporary(path, content) as temporary, suppress(FileNotFoundError):
                return _linked(temporary, path, content)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    def swap(self, name: str, content: bytes, version: str) -> bool:
        """Rename a file away, which one caller can, look at it, and link another to its name.

        In between the name is free for a moment, and whoever creates it then has succeeded.
        """
        path = self.at(name)
        try:
            if _state(path.stat()).version != version:
                return False
        except FileNotFoundError:
            return False
        aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        with _temporary(path, content) as temporary:
            try:
                path.rename(aside)
            except FileNotFoundError:
                return False
            try:
                with suppress(FileExistsError, FileNotFoundError):  # or swept: another was faster
                    if _state(aside.stat()).version == version:
                        return _linked(temporary, path, content)
                    os.link(aside, path)  # it was written meanwhile: give it back
                return False
            finally:
                aside.unlink(missing_ok=True)

    def touch(self, name: str) -> None:
        """Renew the time of a file."""
        os.utime(self.at(name))

    def exists(self, name: str) -> bool:
        """Return whether there is a file."""
        return self.at(name).exists()

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        self.at(name).unlink(missing_ok=True)

    def flush(self, name: str) -> None:
        """Flush a file to disk."""
        with self.at(name).open("rb") as file:
            os.fsync(file.fileno())

    def names(self, folder: str = "") -> Iterator[str]:
        """Iterate over files, folder by folder."""
        for name, _ in self._entries(folder):
            yield name

    def sizes_of(self, names: Iterable[str]) -> Iterator[tuple[str, int | None]]:
        """Iterate over files and their sizes."""
        for name in names:
            try:
                yield name, os.stat(f"{self.path}/{name}").st_size
            except (FileNotFoundError, NotADirectoryError):
                yield name, None

    def _entries(self, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        folders = [folder]
        while folders:
            here = folders.pop()
            try:
                entries = sorted(os.scandir(self.at(here)), key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            named = [(f"{here}/{e.name}" if here else e.name, e) for e in entries]
            folders += [name for name, entry in reversed(named) if entry.is_dir()]
            yield from ((name, entry) for name, entry in named if not entry.is_dir())

    def state(self, name: str) -> State:
        """Return when a file was last written."""
        return _state(self.at(name).stat())

    def now(self) -> float:
        """Return the time that a new file in the store gets, from the server if there is one."""
        probe = self.at(f"{uuid.uuid4().hex}.tmp")
        with probe.open("xb") as file:
            moment = os.fstat(file.fileno()).st_mtime
        probe.unlink(missing_ok=True)
        return moment

    def free_bytes(self) -> int:
        """Return the bytes that this user may still write at the path, or where it would be."""
        place = self.path.absolute()
        while not place.exists():
            place = place.parent
        room = os.statvfs(place)
        return room.f_bavail * room.f_frsize

    def zarr_store(self) -> Path:
        """Return the folder, which Zarr opens as it is."""
        return self.path

    def taken(self) -> bool:
        """Return whether there is a file, or a folder that is not empty."""
        return self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))

    @contextmanager
    def creation(self) -> Iterator[LocalStorage]:
        """Create the store in a folder beside it: it appears by one rename, or not at all."""
        side = self.path.with_name(f"{self.path.name}.creating-{machine_key()}-{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sweep_sides()
            shutil.rmtree(side, ignore_errors=True)
            side.mkdir()
            yield LocalStorage(side)
            try:
                side.rename(self.path)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and self.taken():
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
                raise
        finally:
            shutil.rmtree(side, ignore_errors=True)

    def sweep(self) -> int:
        """Remove unfinished files, and half-created stores beside this one."""
        unfinished = [name for name in self.names() if name.endswith(UNFINISHED)]
        for name in unfinished:
            self.delete(name)
        return len(unfinished) + self._sweep_sides()

    def _sweep_sides(self) -> int:
        """Remove the half-created stores beside this one whose process is gone."""
        count = 0
        for side in self.path.parent.glob(f"{glob.escape(self.path.name)}.creating-*-*"):
            machine, pid = side.name.rsplit("-", 2)[1:]
            lives = process_lives(machine, int(pid)) if pid.isdigit() else None
            if lives is False or (lives is None and time.time() - side.stat().st_mtime > ABANDONED):
                shutil.rmtree(side, ignore_errors=True)
                count += 1
        return count

    def _place(self, name: str) -> Path:
        """Return the path of a file to be written, after making its folder."""
        path = self.at(name)
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        return path


@contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """Write a file beside ``path`` and flush it to disk; remove it again, unless it was renamed."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            _flushed(file.fileno(), content)
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _linked(temporary: Path, path: Path, content: bytes) -> bool:
    """Give a temporary file its name, with all of its content at once, if the name is free."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        # over a network a request can be repeated that was heeded: then both names are ours
        return temporary.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in LINKLESS:
            raise
        return _exclusive(path, content)
    return True


def _exclusive(path: Path, content: bytes) -> bool:
    """Create a file exclusively; others may see it before it has its content."""
    try:
        with path.open("xb") as file:
            try:
                _flushed(file.fileno(), content)
            except OSError:
                path.unlink()
                raise
    except FileExistsError:
        return False
    return True


def _flushed(number: int, content: bytes) -> None:
    """Write all of ``content`` to an open file, and flush it to disk."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(number, rest) :]
    os.fsync(number)


def _state(found: os.stat_result) -> State:
    return State(found.st_mtime, f"{found.st_ino}-{found.st_mtime_ns}")
