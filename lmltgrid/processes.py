"""Which process, on which machine: what a lease or a half-created store says of its owner."""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path


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
