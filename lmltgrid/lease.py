"""The lease on a store: one run has it at a time, and a dead run loses it.

Shards of a scan have a lease each; those of one division run side by side, but not beside a run of
the whole store, nor beside shards of another division.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self

from lmltgrid.errors import BusyError, MachineError
from lmltgrid.ledger import FOLDER, as_json, parsed, read_json
from lmltgrid.processes import machine_key, process_lives
from lmltgrid.progress import Message
from lmltgrid.shard import Shard
from lmltgrid.storage import Address, State, Storage, storage_of

LEASE = f"{FOLDER}/lease.json"
SHARDS = f"{FOLDER}/shards"
STALE = 60.0  # s without a heartbeat after which a lease is taken over
BEAT = 10.0  # s between heartbeats
WATCH = 2.5 * BEAT  # s that a silent lease is watched: clocks can be set, heartbeats cannot
LOOK = 1.0  # s between looks at it
ATTEMPTS = 30  # to take it, while other runs give it back
SKEW = 2.0  # s by which the clocks of one storage may differ


class Lease:
    """The right to run on the store at ``path``, or a shard of it, held while entered.

    A file that is created if it is absent names the holder; a thread refreshes its time. The lease
    of a dead process of this machine is taken over, and one without a heartbeat for 60 s. Silence
    is measured by the clock of the storage, and such a clock can be set: so a silent lease is
    watched, long enough for two heartbeats, before it is taken over.
    """

    def __init__(self, path: Address, message: Message, shard: Shard | None = None) -> None:
        self._storage = storage_of(path)
        self.name = LEASE if shard is None else f"{SHARDS}/{shard.tag}.json"
        self.path = self._storage.at(self.name)
        self.token = uuid.uuid4().hex
        self.taken_over = False
        self.lost = False
        self._shard = shard
        self._where = self._storage.path
        self._message = message
        self._end = threading.Event()
        self._writing = threading.Lock()  # a heartbeat must not meet a lease that is rewritten

    def __enter__(self) -> Self:
        """Take the lease.

        Raises
        ------
        BusyError
            Another run holds it.
        MachineError
            The store cannot be written.
        """
        try:
            for attempt in range(ATTEMPTS):
                if self._create() or self._take_over(self.name):
                    break
                time.sleep(0.01 * attempt)  # others come and go
            else:
                raise BusyError(
                    f"{self._where}: its lease changes hands too fast; try again in a while"
                )
            try:
                # after ours is there: of two runs at the same moment, one at least sees the other
                self._exclude()
            except BaseException:
                self._storage.delete(self.name)
                raise
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
            if self.holds():
                self._storage.delete(self.name)

    def stop(self) -> None:
        """Ask every process that works under this lease to stop after its unit."""
        with self._writing, suppress(OSError):
            seen = self._storage.state(self.name)
            if self.holds():  # else those processes have seen that it is not
                self._storage.swap(self.name, self._content(stopping=True), seen.version)

    def _create(self) -> bool:
        return self._storage.create(self.name, self._content())

    def _exclude(self) -> None:
        """Refuse to run beside a run that may compute the same units."""
        for name, shard in held(self._storage):
            if name == self.name or (self._shard and shard and self._shard.beside(shard)):
                continue
            while self._storage.exists(name):
                if self._take_over(name):
                    self._storage.delete(name)

    def _content(self, *, stopping: bool = False) -> bytes:
        holder = {
            "machine": machine_key(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "token": self.token,
            "stopping": stopping,
        }
        return as_json(holder)

    def _take_over(self, name: str) -> bool:
        """Take a lease whose holder is gone, unless another run is faster, or refuse."""
        try:
            seen = self._storage.state(name)
        except FileNotFoundError:
            return False  # given back in this moment
        holder = self._holder(name)
        silence = self._storage.now() - seen.modified
        who, reason = holder_words(holder), gone(holder, silence)
        dead = process_gone(holder)
        if not dead and (reason or silence < -SKEW):
            reason = reason or f"its heartbeat is {-silence:.0f} s ahead of the clock"
            self._message(
                f"{self._where}: held by {who}, {reason}; watching it for {WATCH:.0f} s before "
                "it is taken over"
            )
            if self._moves(name, seen):
                reason = ""
        if not reason:
            raise BusyError(
                f"{self._where}: another run holds this store ({who}); wait for it, or stop it"
            )
        if not self._storage.swap(name, self._content(), seen.version):
            return False
        self.taken_over = True
        self._message(f"{self._where}: taking over from {who}: {reason}")
        return True

    def _holder(self, name: str) -> dict[str, Any]:
        """Return what a lease says of its holder, who may be about to write that; or nothing."""
        for _ in range(20):
            if content := read_json(self._storage, name):
                return content
            time.sleep(0.01)
        return {}

    def _moves(self, name: str, seen: State) -> bool:
        """Return whether a heartbeat comes, or the lease goes, while it is watched."""
        end = time.monotonic() + WATCH
        while time.monotonic() < end:
            time.sleep(min(LOOK, WATCH))
            try:
                if self._storage.state(name) != seen:
                    return True
            except FileNotFoundError:
                return False  # given back: the swap will fail, and creating it succeed
        return False

    def holds(self) -> bool:
        """Look whether the lease is still this run's."""
        return (read_json(self._storage, self.name) or {}).get("token") == self.token

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            with self._writing, suppress(OSError):  # a storage that stutters; silence, not loss
                if self.holds():
                    self._storage.touch(self.name)
                elif self._taken():
                    self.lost = True

    def _taken(self) -> bool:
        """Return whether another run has the lease; one that cannot be read is still ours."""
        content = read_json(self._storage, self.name)
        return content is not None or not self._storage.exists(self.name)


class Fence:
    """What a process that works under a lease looks at before each unit, and before it writes.

    A worker may outlive its run, as when its scheduler dies; it must not go on beside the next one.
    """

    def __init__(self, storage: Storage, name: str, token: str) -> None:
        self._storage, self._name, self._token = storage, name, token
        self._looked = -math.inf

    def closed(self) -> bool:
        """Return whether to stop: the run is over, was replaced, or asks for it.

        Asked more often than the pace of the storage it repeats its last answer, not to stop.
        """
        content = self._look()
        return content.get("token") != self._token or bool(content.get("stopping"))

    def lost(self) -> bool:
        """Return whether the run is over or was replaced, so that nothing may be written."""
        return bool(self._look().get("token") != self._token)

    def _look(self) -> dict[str, Any]:
        """Return the content of the lease, empty if there is none; ours where nobody can say."""
        unchanged = {"token": self._token}
        if time.monotonic() - self._looked < self._storage.pace:
            return unchanged
        self._looked = time.monotonic()
        try:
            content = parsed(self._storage.read(self._name))
        except FileNotFoundError:
            return {}
        except OSError:
            return unchanged  # a file system that stutters
        return unchanged if content is None else content


def held(storage: Storage) -> Iterator[tuple[str, Shard | None]]:
    """Iterate over the leases in a store, held or stale, with their shards."""
    if storage.exists(LEASE):
        yield LEASE, None
    for name in storage.names(SHARDS):
        shard = Shard.of_tag(name.rpartition("/")[2].removesuffix(".json"))
        if shard is not None:
            yield name, shard


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


def look(storage: Storage) -> list[dict[str, Any]]:
    """Return who holds a store or shards of it, without touching a lease.

    Returns
    -------
    list of dict
        For each lease ``host``, ``pid``, ``since`` and more of the holder; ``shard``: k/N or
        empty; ``stale``: whether that run is gone; ``why``: how that is known.
    """
    try:
        now = storage.now()
    except OSError:  # whoever may only read it has to trust the clock of this machine
        now = time.time()
    found = []
    for name, shard in held(storage):
        with suppress(FileNotFoundError):  # given back in this moment
            seen = storage.state(name)
            holder = read_json(storage, name) or {}
            why = gone(holder, now - seen.modified)
            tag = str(shard) if shard else ""
            found.append(holder | {"shard": tag, "stale": bool(why), "why": why})
    return found
