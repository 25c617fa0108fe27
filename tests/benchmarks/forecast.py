"""Forecasts against what then happened: the same scan, forecast and run in one process.

    python tests/benchmarks/forecast.py

The figures are forecast / actual; in this process the kernels are compiled by then, so the start
that the forecast counts is left out. Seconds are those on the clock from the specification to the
finished store, as of `lmltgrid run`; core seconds those of the processor in all processes. A
worker is this process, or the largest one of the cluster; this process also holds what the
forecast itself has left behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from timing import line

from lmltgrid import fill, grid, layouts
from lmltgrid import store as stores
from lmltgrid.bundle import Evaluator
from lmltgrid.cluster import choose
from lmltgrid.estimate import forecast
from lmltgrid.scan import run_scan
from lmltgrid.spec import ScanSpec, read_spec, validate

QUICKSTART = Path(__file__).parents[2] / "data" / "scans" / "quickstart.toml"
LIKELIHOOD: dict[str, Any] = {
    "models": ["B-L", "Lmu-Ltau"],
    "experiments": ["coherent-csi-2021"],
    "mass": {"log": {"start": 1, "stop": 1000, "num": 300}},
    "coupling": {"log": {"start": 1e-6, "stop": 1e-2, "num": 300}},
    "statistic": {"test": "exclusion"},
    "run": {"chunk_mb": 0.05},
}
WIDE: dict[str, Any] = {
    "models": ["Lmu-Ltau", "Lmu", "B-L"],
    "experiments": ["darwin-nr"],
    "metallicity": ["GS98", "AGSS09met"],
    "mass": {"log": {"start": 1, "stop": 300, "num": 300}},
    "coupling": {"log": {"start": 1e-5, "stop": 1e-2, "num": 300}},
    "exposure": {"log": {"start": 1, "stop": 1000, "num": 60}},
    "threshold": {"values": [0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 5.7]},
}


class Watched:
    """Cores' seconds and peak memory of this process and its children, while entered."""

    def __enter__(self) -> Watched:
        """Begin to look."""
        self.peaks: dict[int, int] = {}
        self.cores: dict[int, float] = {}
        self._end = threading.Event()
        self._own = _seconds(psutil.Process())
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self.look()

    def look(self) -> None:
        """Look once."""
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            try:
                self.cores[process.pid] = _seconds(process)
                peak = max(self.peaks.get(process.pid, 0), process.memory_info().rss)
            except psutil.Error:
                continue
            self.peaks[process.pid] = peak

    @property
    def core_seconds(self) -> float:
        """Of all processes, while entered."""
        return sum(self.cores.values()) - self._own

    @property
    def worker(self) -> int:
        """Peak memory of the largest child, else of this process."""
        children = {pid: peak for pid, peak in self.peaks.items() if pid != os.getpid()}
        return max(children.values(), default=self.peaks[os.getpid()])


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def compare(title: str, spec: ScanSpec, cluster: str, folder: Path) -> None:
    """Forecast a scan, run it, and print both."""
    target = folder / f"{title.split()[0]}-{cluster}.zarr"
    begun = time.perf_counter()
    said = forecast(spec, store=target, cluster=cluster, workers=2 if cluster == "local" else 1)
    took = time.perf_counter() - begun
    with Watched() as watched:
        begun = time.perf_counter()
        plan = grid.make_plan(spec)
        stores.create_store(target, layouts.layout(plan), grid.compute_moments(plan))
        with choose(cluster, said.workers, spec.run.memory_mb).start() as executor:
            evaluator = Evaluator(fill.load_states, fill.evaluate)
            started = time.perf_counter()
            report = run_scan(target, evaluator, executor)
            seconds = time.perf_counter() - begun
            watched.look()
    report.require()
    store = stores.open_store(target)
    points = sum(int(p.points) for p in said.parts)
    compiled = said.startup_seconds if cluster == "in-process" else 0.0
    rows = {
        "points": (points, sum(_size(g.shape) for g in store.plan.groups)),
        "chunks": (said.chunks, report.total),
        "bytes stored": (said.stored_nbytes, report.bytes),
        "memory of a worker": (said.worker_nbytes, watched.worker),
        "seconds": (said.seconds - compiled, seconds),
        "core seconds": (said.core_seconds - compiled, watched.core_seconds),
    }
    line(f"{title}, {cluster}: the forecast itself took", f"{took:.1f} s")
    for what, (ours, actual) in rows.items():
        line(f"  {what}: {ours:.4g} / {actual:.4g}", f"{ours / actual:.2f}")
    line("  ... of which before the first chunk", f"{started - begun:.1f} s")


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


SCANS = {
    "quickstart": lambda: read_spec(QUICKSTART),
    "likelihood": lambda: validate(ScanSpec, LIKELIHOOD, "likelihood"),
    "wide": lambda: validate(ScanSpec, WIDE, "wide"),
}


def main() -> None:
    """Each scan on each cluster, in a process of its own: as a user would meet them."""
    if len(sys.argv) == 3:
        name, cluster = sys.argv[1:]
        with tempfile.TemporaryDirectory(prefix="lmltgrid-") as folder:
            compare(name, SCANS[name](), cluster, Path(folder))
        return
    for name in SCANS:
        for cluster in ("in-process", "local"):
            subprocess.run([sys.executable, __file__, name, cluster], check=True)


if __name__ == "__main__":
    main()
