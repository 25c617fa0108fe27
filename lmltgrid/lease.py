"""The lease on a store: one run has it at a time, and a dead run loses it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

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
        who = f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"
        pid = holder.get("pid")
        dead = isinstance(pid, int) and process_lives(str(holder.get("machine")), pid) is False
        if not dead and silence <= STALE:
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
                reason = "that process is dead" if dead else f"no sign of it for {silence:.0f} s"
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
