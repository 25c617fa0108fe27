"""What the benchmarks share: the shortest time of a call, and a line of output."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def best(call: Callable[[], Any], repeat: int = 5) -> float:
    """Return the shortest wall time of several calls, s."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def line(what: str, value: str) -> None:
    """Print one figure."""
    print(f"{what:<74} {value:>14}", flush=True)
