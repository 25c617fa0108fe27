"""A small file system that can be filled, and made read-only: really, as root or not.

It is mounted in a mount namespace of its own, which a keeper process holds; all others reach it
through ``/proc``, so that nothing is left when the keeper ends.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PAGE = os.sysconf("SC_PAGESIZE")


class SmallDisk:
    """A file system in memory, at ``path``."""

    def __init__(self, keeper: subprocess.Popen[str], mount: Path) -> None:
        self._keeper = keeper
        self._mount = mount
        self.path = Path("/proc", str(keeper.pid), "root") / mount.relative_to("/")

    def read_only(self, state: bool) -> None:
        """Let nobody write, or everybody again."""
        self._do(f"mount -o remount,{'ro' if state else 'rw'} {self._mount}")

    def fill(self, pages: int = 0) -> None:
        """Leave room for a few pages only."""
        fill(self.path, pages)

    def clear(self) -> None:
        """Make room again."""
        (self.path / "ballast").unlink()

    def _do(self, command: str) -> None:
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.write(f"{command} && echo done || echo failed\n")
        self._keeper.stdin.flush()
        assert self._keeper.stdout.readline() == "done\n", command


def fill(disk: Path, pages: int = 0) -> None:
    """Leave room for a few pages on a disk."""
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        with suppress(OSError):
            while True:
                ballast.write(bytes(PAGE))
        ballast.truncate(ballast.tell() // PAGE * PAGE - pages * PAGE)


@contextmanager
def small_disk(mount: Path, size: str = "2m") -> Iterator[SmallDisk]:
    """Mount one over an empty folder, or skip the test."""
    why = "no unshare here"
    for words in (["unshare", "-m"], ["unshare", "-rm"]):
        try:
            keeper = subprocess.Popen(
                [
                    *words,
                    "sh",
                    "-c",
                    f"mount -t tmpfs -o size={size} tmpfs {mount}; echo $?; exec sh",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except FileNotFoundError:
            break
        with keeper:
            assert keeper.stdout is not None
            assert keeper.stdin is not None
            assert keeper.stderr is not None
            if keeper.stdout.readline() == "0\n":
                try:
                    yield SmallDisk(keeper, mount)
                finally:
                    keeper.stdin.close()
                return
            keeper.stdin.close()
            why = keeper.stderr.read().strip()
    pytest.skip(f"a file system of our own cannot be mounted: {why}")
