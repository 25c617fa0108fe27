"""The journal of a scan: one JSON object for each event, a line each, for programs to read."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from io import FileIO
from pathlib import Path
from typing import Any, Final, Self

from lmltgrid.errors import LmltgridError, MachineError, SpecificationError
from lmltgrid.progress.meter import Progress

MINUTE: Final = 60.0  # s after which progress is written though it is less than a percent


class Journal:
    """Appends events to a file, to be entered; without a file it writes nothing.

    Each event has ``time`` (UTC), ``event``, ``host``, ``pid``, ``store`` and ``identity`` (of the
    scan, once it is known). A line is one write, so that several runs can share a file. A disk
    that fills up does not end a scan: that is said once, to standard error.

    Parameters
    ----------
    path
        The file, or None.
    store
        The store of the scan.

    Raises
    ------
    MachineError
        The file cannot be written.
    SpecificationError
        It holds something else.
    """

    def __init__(self, path: str | Path | None, store: str | Path) -> None:
        self.path = None if path is None else Path(path)
        self.identity: str | None = None
        self._store = str(store)
        self._file = None if self.path is None else _opened(self.path)
        self._torn = self._complained = False
        self._percent = -1
        self._written = 0.0

    def __enter__(self) -> Self:
        """Begin; the file is open already."""
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: object) -> None:
        """Write why a scan was refused or aborted, if it was, and close the file."""
        if error is not None:
            code = error.exit_code if isinstance(error, LmltgridError) else None
            text = " ".join(str(error).split())
            self.write("error", message=text, type=type(error).__name__, exit_code=code)
        if self._file is not None:
            self._file.close()
            self._file = None

    def started(self, cluster: str, workers: int, dashboard: str, until: datetime | None) -> None:
        """Append that a run begins, where and until when."""
        self.write(
            "started",
            version=metadata.version("lmltgrid"),
            cluster=cluster,
            workers=workers,
            dashboard=dashboard,
            until=None if until is None else until.isoformat(timespec="seconds"),
        )

    def write(self, event: str, **facts: Any) -> None:
        """Append an event."""
        if self._file is None:
            return
        head = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "store": self._store,
            "identity": self.identity,
        }
        line = json.dumps(head | facts, separators=(",", ":")) + "\n"
        self._append(line.encode(), self._file)

    def _append(self, line: bytes, file: FileIO) -> None:
        content = b"\n" + line if self._torn else line
        done = 0
        try:
            while done < len(content):
                done += file.write(content[done:])
            self._torn = False
        except OSError as error:
            self._torn |= done > 0
            if not self._complained:
                self._complained = True
                _complain(
                    f"{self.path}: the log cannot be written ({error.strerror}); the scan goes on, "
                    "and what happens meanwhile is left out there"
                )

    def progress(self, now: Progress) -> None:
        """Append how far the scan is, for every percent and every minute."""
        if now.percent == self._percent and time.monotonic() - self._written < MINUTE:
            return
        self._percent, self._written = now.percent, time.monotonic()
        self.write(
            "progress",
            done=now.done,
            total=now.total,
            failed=now.failed,
            units_per_second=_rounded(now.rate),
            seconds=_rounded(now.seconds),
            seconds_left=_rounded(now.remaining),
            waiting=now.waiting,
        )

    def message(self, text: str, event: str = "message", **facts: Any) -> None:
        """Append a message."""
        self.write(event, message=text, **facts)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _opened(path: Path) -> FileIO:
    """Open a log to append to it, and end a line that a killed run has left torn."""
    try:
        file = path.open("ab+", buffering=0)
        first, last = file.seek(0) or file.read(1), b""
        if first:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
        if first in (b"", b"{") and last not in (b"", b"\n"):
            file.write(b"\n")
    except OSError as error:
        raise MachineError(
            f"{path}: the log cannot be written ({error.strerror}); choose another file"
        ) from None
    if first not in (b"", b"{"):
        file.close()
        raise SpecificationError(
            f"{path}: this file holds something else than a log of lmltgrid; choose another"
        )
    return file


def _complain(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
