"""A process that is gone, for tests of leases and of what dead runs leave."""

from __future__ import annotations

import os


def dead_process() -> int:
    """The number of a process that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid
