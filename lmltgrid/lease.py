"""The lease on a store: one run has it at a time, and a dead run loses it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from lmltgrid.errors import MachineError
from lmltgrid.ledger import FOLDER, read_json
from lmltgrid.progress import Message

LEASE = "lease.json"
STALE = 60.0  # s without a heartbeat after which a lease is taken over
BEAT = 10.0  # s between heartbeats


class Lease:
    """The right to run on the store at ``path``, held while entered; one run has it at a time.

    A file created exclusively names the holder; a thread refreshes its time. The lease of a dead
    process of this machine, or one without a heartbeat for 60 s, is taken over.
    """

    def __init__(self, path: Path, message: Message) -> None:
        self.path = path / FOLDER / LEASE
        self.taken_over = False
        self.lost = False
        self._where = path
        self._message = message
        self._token = uuid.uuid4().hex
        self._end = threading.Event()

    def __enter__(self) -> Self:
        """Take the lease.

        Raises
        ------
        MachineError
            Another run holds it, or the store cannot be written.
        """
        try:
            while not self._create():
                self._take_over()
        except OSError as error:
            if isinstance(error, MachineError):
                raise
            raise MachineError(
                f"{self._where}: the store cannot be written ({error.strerror}); "
                "check its permissions and the room on its disk"
            ) from None
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Give the lease back."""
        self._end.set()
        self._thread.join()
        if self._mine():
            self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        holder = {
            "machine": machine_key(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "token": self._token,
        }
        try:
            with self.path.open("x", encoding="utf-8") as file:
                json.dump(holder, file)
        except FileExistsError:
            return False
        return True

    def _take_over(self) -> None:
        """Remove a stale lease, or refuse."""
        holder = read_json(self.path) or {}
        try:
            silence = self._now() - self.path.stat().st_mtime
        except FileNotFoundError:
            return  # given back in this moment
        who, reason = holder_words(holder), gone(holder, silence)
        if not reason:
            raise MachineError(
                f"{self._where}: another run holds this store ({who}); wait for it, or stop it"
            )
        aside = self.path.with_name(f"lease.{self._token}.tmp")
        with suppress(FileNotFoundError):
            self.path.rename(aside)
            if (read_json(aside) or {}).get("token") != holder.get("token"):
                with suppress(FileExistsError):
                    os.link(aside, self.path)  # a third run was faster: give its lease back
            else:
                self.taken_over = True
                self._message(f"{self._where}: taking over from {who}: {reason}")
            aside.unlink(missing_ok=True)

    def _now(self) -> float:
        """Return the time of the file system, whose clock may differ from ours."""
        probe = self.path.with_name(f"lease.{self._token}.tmp")
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        return now

    def _mine(self) -> bool:
        return (read_json(self.path) or {}).get("token") == self._token

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            with suppress(OSError):  # a file system that stutters; silence, not loss
                if self._mine():
                    os.utime(self.path)
                elif read_json(self.path) is not None or not self.path.exists():
                    self.lost = True


def gone(holder: dict[str, Any], silence: float) -> str:
    """Return why the run that holds a lease is gone, or nothing if it may be alive.

    Parameters
    ----------
    holder
        The content of the lease.
    silence : s
        Since its last heartbeat.
    """
    pid = holder.get("pid")
    if isinstance(pid, int) and process_lives(str(holder.get("machine")), pid) is False:
        return "that process is dead"
    return f"no sign of it for {silence:.0f} s" if silence > STALE else ""


def holder_words(holder: dict[str, Any]) -> str:
    """Return who holds a lease, for people."""
    return f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"


def look(path: Path) -> dict[str, Any] | None:
    """Return who holds the store at ``path``, without touching it; None if nobody does.

    Returns
    -------
    dict
        ``host``, ``pid``, ``since`` and more of the holder; ``stale``: whether that run is gone;
        ``why``: how that is known.
    """
    lease = path / FOLDER / LEASE
    try:
        silence = time.time() - lease.stat().st_mtime
    except FileNotFoundError:
        return None
    holder = read_json(lease) or {}
    why = gone(holder, silence)
    return holder | {"stale": bool(why), "why": why}


def machine_key() -> str:
    """Return a name for what a process number is valid in: this machine, boot and container."""
    parts = [socket.gethostname()]
    with suppress(OSError):  # Linux only; elsewhere the host name has to do
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:12]


def process_lives(machine: str, pid: int) -> bool | None:
    """Return whether a process runs; `None` if that cannot be known from here."""
    if machine != machine_key():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True
