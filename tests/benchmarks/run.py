"""Benchmarks: ratios measured in one process, on the same work. `poe benchmarks` runs them.

Every pair below computes the same numbers, and says by how much they differ, before it is timed.
Times are the best of several repetitions, after a first call that compiles the kernels.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from scipy import special, stats
from scipy.integrate import quad
from timing import best, line

from lmltgrid import basis, fill, grid, layouts, scan
from lmltgrid import store as stores
from lmltgrid.bundle import Evaluator
from lmltgrid.cluster import in_process, local
from lmltgrid.detector import ChannelResponse
from lmltgrid.kernels import cevns, plane, polynomial
from lmltgrid.quadrature import flux_moments, largest_recoil
from lmltgrid.spec import ScanSpec, validate
from lmltgrid.state import evaluate, make_state
from lmltgrid.tables import models, nuclei
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.oscillation import oscillation
from lmltgrid.units import CM2_PER_MEV_2, E_CHARGE, G_FERMI, KEV, SECONDS_PER_YEAR, SIN2_THETA_W

THRESHOLDS = np.array([0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 5.6])
MASSES = np.geomspace(1.0, 300.0, 200)
COUPLINGS = np.geomspace(1e-5, 1e-2, 200)
EXPOSURES = np.geomspace(1.0, 1000.0, 20)


def our_plane() -> np.ndarray:
    """Counts per tonne year of a 200 x 200 plane at seven thresholds: tables to numbers."""
    found = basis.compute(
        catalog()["darwin-nr"],
        mass=MASSES,
        threshold=THRESHOLDS,
        oscillation=[oscillation("amaral2021")],
    )
    coefficients = basis.coefficients(found, models.find("Lmu-Ltau", "amaral2021"))
    out = np.empty((THRESHOLDS.size, MASSES.size, COUPLINGS.size))
    for row, values in zip(out, coefficients.values[0, 0, :, 0], strict=True):
        polynomial.rates(values, COUPLINGS**2, row)
    return out


def naive_point(mass: float, coupling: float, threshold: float) -> float:
    """The same count by quadrature over the recoil energy, isotope by isotope, for one point.

    Generous to the naive way: the integral over the neutrino energy is our own fast one.
    """
    chosen = catalog()["darwin-nr"]
    response = ChannelResponse(chosen, "nr", threshold)
    xenon = nuclei.target("Xe")
    parameters = oscillation("amaral2021")
    charge = np.array([0.0, 1.0, -1.0])
    proton = 0.5 - 2.0 * SIN2_THETA_W["msbar"]
    total = 0.0
    isotopes = zip(xenon.a, xenon.radius[0], xenon.nuclear_mass, xenon.abundance, strict=True)
    for a, radius, m, share in isotopes:

        def integrand(energy: float, a: float = a, m: float = m, r: float = radius) -> float:
            recoil = np.array([energy * KEV])
            flux = flux_moments(cevns.minimal_energy(recoil, m), "GS98", parameters)[..., 0]
            q2 = 2.0 * m * recoil[0]
            form = cevns.helm(np.sqrt(q2), r)
            new = charge * coupling**2 / 70.0 * E_CHARGE * 54.0
            weak = proton * 54.0 - 0.5 * (a - 54.0)
            full = weak + new / (np.sqrt(2.0) * G_FERMI * (q2 + mass**2))
            kinematic = flux[0] - 0.5 * m * recoil[0] * flux[2]
            cross = G_FERMI**2 * m / np.pi * CM2_PER_MEV_2 * np.sum(kinematic * (form * full) ** 2)
            return float(cross * response(np.array([energy]))[0])

        low, high = response.range()[0], float(largest_recoil(np.array(18.8), m)) / KEV
        value, _ = quad(integrand, low, high, epsrel=1e-4, limit=100)
        total += share * value * xenon.atoms_per_tonne * SECONDS_PER_YEAR * KEV
    return total


def bench_moments() -> None:
    """Moments against naive quadrature, both to counts."""
    counts = our_plane()
    ours = best(our_plane)
    i, j, k = 1, 100, 120
    start = time.perf_counter()
    value = naive_point(MASSES[j], COUPLINGS[k], THRESHOLDS[i])
    naive = time.perf_counter() - start
    line("plane of counts, 200 x 200 points, 7 thresholds, from the tables", f"{ours * 1e3:.1f} ms")
    line("naive quadrature, one point, one threshold", f"{naive * 1e3:.0f} ms")
    line("  they differ by", f"{abs(value / counts[i, j, k] - 1):.1e}")
    line("ratio for the whole plane", f"{naive * counts.size / ours:.1e}")


def vectorized(counts: np.ndarray, null: float) -> np.ndarray:
    """The discovery significance by scipy.special on whole arrays."""
    n = EXPOSURES[:, None] * counts
    p = special.gammainc(n, (EXPOSURES * null)[:, None])
    return -special.ndtri(p)


def pooled(arguments: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The same by scipy.stats, for one worker of a pool."""
    n, b = arguments
    return stats.norm.isf(stats.gamma.cdf(b, n))


def bench_significance(pool: Any, processes: int) -> None:
    """Significance of 800,000 points by us, by scipy.special, by a pool with scipy.stats."""
    counts = our_plane()[1].ravel()
    null = float(counts.min())
    out = np.empty((EXPOSURES.size, counts.size), dtype=np.float32)

    def ours() -> None:
        plane.significance(counts, null, EXPOSURES, False, False, out)

    ours()
    time_ours = best(ours)
    reference = vectorized(counts, null)
    time_scipy = best(lambda: vectorized(counts, null), 2)
    finite = np.isfinite(reference)
    # scipy's p is denormal above 37 sigma, and 1 - p has lost its digits below -5
    usable = (reference > -5.0) & (reference < 37.0)
    n = EXPOSURES[:, None] * counts
    b = np.broadcast_to((EXPOSURES * null)[:, None], n.shape)
    parts = list(
        zip(
            np.array_split(n.ravel(), 4 * processes),
            np.array_split(b.ravel(), 4 * processes),
            strict=True,
        )
    )
    pool.map(pooled, parts[:processes])
    time_pool = best(lambda: pool.map(pooled, parts), 2)
    rate = out.size / time_ours / 1e6
    line("significance of 800,000 points, one core", f"{time_ours * 1e3:.1f} ms")
    line("  million points a second", f"{rate:.0f}")
    line(
        "  largest difference from scipy.special, -5 to 37 sigma",
        f"{np.abs(out - reference)[usable].max():.1e}",
    )
    line("  points where scipy.special underflows to inf", f"{1 - finite.mean():.0%}")
    line("ratio scipy.special, vectorized, one core", f"{time_scipy / time_ours:.0f}")
    line(f"ratio scipy.stats in a pool of {processes} processes", f"{time_pool / time_ours:.0f}")


def scan_spec(**changes: Any) -> ScanSpec:
    """A scan of 22 million points, or with some axes changed."""
    content: dict[str, Any] = {
        "models": ["Lmu-Ltau", "Lmu"],
        "mixing": "amaral2021",
        "experiments": ["darwin-nr"],
        "metallicity": ["GS98", "AGSS09met"],
        "oscillation": "amaral2021",
        "mass": {"log": {"start": 1, "stop": 300, "num": 200}},
        "coupling": {"log": {"start": 1e-5, "stop": 1e-2, "num": 200}},
        "exposure": {"log": {"start": 1, "stop": 1000, "num": 20}},
        "threshold": {"values": [0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 5.7]},
    }
    return validate(ScanSpec, content | changes, "benchmark")


_PLANES: dict[str, Any] = {}


def remembered(_state: Any, group: str, index: tuple[slice, ...]) -> dict[str, np.ndarray]:
    """Return finished chunks: the evaluator of a run that only writes."""
    return _PLANES[f"{group}{index}"]


def nothing(_store: object) -> None:
    """There is nothing to load."""


def bench_scan(folder: Path) -> None:
    """A whole scan, store included, against writing the same finished chunks."""
    plan = grid.make_plan(scan_spec())
    known = grid.compute_moments(plan)
    name = plan.experiments[0].name
    exposure = plan.exposures(plan.experiments[0])
    state = make_state(known[name], plan.models, plan.spec, exposure)

    def run(target: str, evaluator: Evaluator) -> float:
        path = folder / target
        shutil.rmtree(path, ignore_errors=True)
        stores.create_store(path, layouts.layout(plan), known)
        with in_process() as executor:
            start = time.perf_counter()
            report = scan.run_scan(path, evaluator, executor)
            seconds = time.perf_counter() - start
        report.require()
        return seconds

    store = stores.create_store(folder / "units.zarr", layouts.layout(plan), known)
    for unit in range(store.units()):
        place = store.plan.place(unit)
        key = f"{place.group.path}{place.index}"
        _PLANES[key] = evaluate(state, place.index)
    full = Evaluator(fill.load_states, fill.evaluate)
    only = Evaluator(nothing, remembered)
    run("full.zarr", full)
    # interleaved, so that both meet the same machine
    pairs = [(run("full.zarr", full), run("write.zarr", only)) for _ in range(5)]
    computed, written = (min(column) for column in zip(*pairs, strict=True))
    line(
        f"scan of {plan.points / 1e6:.1f} million points, end to end, one core", f"{computed:.2f} s"
    )
    line("ratio to writing the same finished chunks", f"{computed / written:.2f}")


def worker_memory() -> int:
    """Peak resident memory of this process, bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def bench_memory(folder: Path) -> None:
    """Peak memory of a worker on grids whose sizes differ by eight."""
    for number in (20, 160):
        exposure = {"log": {"start": 1, "stop": 1000, "num": number}}
        plan = grid.make_plan(scan_spec(exposure=exposure))
        path = folder / f"memory-{number}.zarr"
        stores.create_store(path, layouts.layout(plan), grid.compute_moments(plan))
        with local(1, 2000) as executor:
            report = scan.run_scan(path, Evaluator(fill.load_states, fill.evaluate), executor)
            report.require()
            children = psutil.Process().children(recursive=True)
            peak = max(_peak(child) for child in children)
        line(
            f"peak memory of a worker, {plan.points / 1e6:.0f} million points",
            f"{peak / 1e6:.0f} MB",
        )
        shutil.rmtree(path)


def _peak(process: psutil.Process) -> int:
    """Peak resident memory of another process, bytes (Linux)."""
    try:
        text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    rows = [row for row in text.splitlines() if row.startswith("VmHWM")]
    return int(rows[0].split()[1]) * 1024 if rows else 0


def bench_start() -> None:
    """Time of `lmltgrid --help`, a whole process."""
    command = [str(Path(sys.executable).with_name("lmltgrid")), "--help"]

    def call() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    call()
    line("lmltgrid --help", f"{best(call) * 1e3:.0f} ms")


def main() -> None:
    """Run all of them."""
    processes = os.cpu_count() or 1
    print(f"{processes} cores, Python {sys.version.split()[0]}, numpy {np.__version__}")
    # the pool starts first: its processes must not inherit compiled kernels or threads
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        bench_moments()
        bench_significance(pool, processes)
    with tempfile.TemporaryDirectory(prefix="lmltgrid-") as folder:
        bench_scan(Path(folder))
        bench_memory(Path(folder))
    bench_start()


if __name__ == "__main__":
    main()
