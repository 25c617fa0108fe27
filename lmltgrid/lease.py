"""The lease on a store: one run has it at a time, and a dead run loses it."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self

from lmltgrid.errors import MachineError
from lmltgrid.ledger import FOLDER, as_json, read_json
from lmltgrid.processes import machine_key, process_lives
from lmltgrid.progress import Message
from lmltgrid.storage import Address, State, Storage, storage_of

LEASE = f"{FOLDER}/lease.json"
STALE = 60.0  # s without a heartbeat after which a lease is taken over
BEAT = 10.0  # s between heartbeats
WATCH = 2.5 * BEAT  # s that a silent lease is watched: clocks can be set, heartbeats cannot
LOOK = 1.0  # s between looks at it
SKEW = 2.0  # s by which the clocks of one storage may differ


class Lease:
    """The right to run on the store at ``path``, held while entered; one run has it at a time.

    A file that is created if it is absent names the holder; a thread refreshes its time. The lease
    of a dead process of this machine is taken over, and one without a heartbeat for 60 s. Silence
    is measured by the clock of the storage, and such a clock can be set: so a silent lease is
    watched, long enough for two heartbeats, before it is taken over.
    """

    def __init__(self, path: Address, message: Message) -> None:
        self._storage = storage_of(path)
        self.path = self._storage.at(LEASE)
        self.taken_over = False
        self.lost = False
        self._where = self._storage.path
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
            while not (self._create() or self._take_over()):
                pass
        except OSError as error:
            if isinstance(error, MachineError):
                raise
            raise MachineError(
                f"{self._where}: the store cannot be written ({error.strerror or error}); "
                "check its permissions and the room on its disk"
            ) from None
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Give the lease back; where that fails, it is taken over from a dead process."""
        self._end.set()
        self._thread.join()
        with suppress(OSError):
            if self._mine():
                self._storage.delete(LEASE)

    def _create(self) -> bool:
        return self._storage.create(LEASE, self._content())

    def _content(self) -> bytes:
        holder = {
            "machine": machine_key(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "token": self._token,
        }
        return as_json(holder)

    def _take_over(self) -> bool:
        """Take a lease whose holder is gone, unless another run is faster, or refuse."""
        try:
            seen = self._storage.state(LEASE)
        except FileNotFoundError:
            return False  # given back in this moment
        holder = read_json(self._storage, LEASE) or {}
        silence = self._storage.now() - seen.modified
        who, reason = holder_words(holder), gone(holder, silence)
        dead = process_gone(holder)
        if not dead and (reason or silence < -SKEW):
            reason = reason or f"its heartbeat is {-silence:.0f} s ahead of the clock"
            self._message(
                f"{self._where}: held by {who}, {reason}; watching it for {WATCH:.0f} s before "
                "it is taken over"
            )
            if self._moves(seen):
                reason = ""
        if not reason:
            raise MachineError(
                f"{self._where}: another run holds this store ({who}); wait for it, or stop it"
            )
        if not self._storage.swap(LEASE, self._content(), seen.version):
            return False
        self.taken_over = True
        self._message(f"{self._where}: taking over from {who}: {reason}")
        return True

    def _moves(self, seen: State) -> bool:
        """Return whether a heartbeat comes, or the lease goes, while it is watched."""
        end = time.monotonic() + WATCH
        while time.monotonic() < end:
            time.sleep(min(LOOK, WATCH))
            try:
                if self._storage.state(LEASE) != seen:
                    return True
            except FileNotFoundError:
                return False  # given back: the swap will fail, and creating it succeed
        return False

    def _mine(self) -> bool:
        return (read_json(self._storage, LEASE) or {}).get("token") == self._token

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            with suppress(OSError):  # a file system that stutters; silence, not loss
                if self._mine():
                    self._storage.touch(LEASE)
                elif read_json(self._storage, LEASE) is not None or not self._storage.exists(LEASE):
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
    if process_gone(holder):
        return "that process is dead"
    return f"no sign of it for {silence:.0f} s" if silence > STALE else ""


def process_gone(holder: dict[str, Any]) -> bool:
    """Return whether the run that holds a lease is known to be dead: a process of this machine."""
    pid = holder.get("pid")
    return isinstance(pid, int) and process_lives(str(holder.get("machine")), pid) is False


def holder_words(holder: dict[str, Any]) -> str:
    """Return who holds a lease, for people."""
    return f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"


def look(storage: Storage) -> dict[str, Any] | None:
    """Return who holds a store, without touching its lease; None if nobody does.

    Returns
    -------
    dict
        ``host``, ``pid``, ``since`` and more of the holder; ``stale``: whether that run is gone;
        ``why``: how that is known.
    """
    try:
        seen = storage.state(LEASE)
    except FileNotFoundError:
        return None
    try:
        now = storage.now()
    except OSError:  # whoever may only read it has to trust the clock of this machine
        now = time.time()
    holder = read_json(storage, LEASE) or {}
    why = gone(holder, now - seen.modified)
    return holder | {"stale": bool(why), "why": why}
