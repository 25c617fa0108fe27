"""Calls at the same moment, for tests of who wins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def at_once(call: Callable[[int], Any], count: int) -> list[Any]:
    """Make calls in as many threads at the same moment; return what they answered."""
    start = threading.Barrier(count)
    found: list[Any] = [None] * count

    def run(i: int) -> None:
        start.wait()
        found[i] = call(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
