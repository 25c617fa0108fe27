"""The forecast of a scan: its numbers, its memory, and what then happens."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from cli_calls import answer, invoke, refused

import lmltgrid
from lmltgrid import calibration, estimate, layouts, service, summary
from lmltgrid import store as stores
from lmltgrid.grid import make_plan

SCAN = """
models = ["Lmu-Ltau", "Lmu"]
experiments = ["darwin-nr"]
mass = { log = { start = 1, stop = 300, num = 100 } }
coupling = { log = { start = 1e-5, stop = 1e-2, num = 100 } }
exposure = { log = { start = 1, stop = 1000, num = 100 } }
threshold = { values = [1.0, 2.0, 4.0] }
[run]
chunk_mb = 0.2
"""
# 100 x 50 planes of two chunks each, for 10 thresholds and 100000 exposures
HUGE = """
models = ["Lmu-Ltau"]
experiments = ["darwin-nr"]
mass = { log = { start = 1, stop = 300, num = 100 } }
coupling = { log = { start = 1e-5, stop = 1e-2, num = 50 } }
exposure = { log = { start = 1, stop = 1000, num = 100000 } }
threshold = { linear = { start = 0.7, stop = 4, num = 10 } }
[run]
chunk_mb = 0.01
"""


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.toml"
    path.write_text(SCAN)
    return path


def test_forecast_and_what_then_happens(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "summarize", lambda *_: {})  # takes longer than the scan
    monkeypatch.setattr(summary, "draw", lambda *_: None)
    store = scan.with_suffix(".zarr")
    found = lmltgrid.forecast(scan, store=store)
    assert not found.exists
    assert sorted(scan.parent.iterdir()) == [scan]  # nothing is left, not even a sample
    outcome = service.run(scan, store=store, quiet=True)
    assert outcome.report["total"] == found.chunks
    assert stores.open_store(store).plan.identity == found.identity
    groups = stores.open_store(store).plan.groups
    assert sum(group.nbytes for group in groups) == found.nbytes
    assert groups[0].shape == tuple(found.parts[0].shape.values())
    assert groups[0].chunks == tuple(found.parts[0].chunk.values())
    moments = stores.read_moments(stores.open_store(store))["darwin-nr"]
    # names of the axes are strings, whose lengths the sample need not share
    assert found.moments_nbytes == pytest.approx(moments.nbytes, rel=0.01)
    # Not tighter than 3: files are flushed to disk one by one, which a shared disk delays as it
    # likes; the significance takes a few times longer where it is small than where it underflows,
    # and the sample has three planes of six; cores are shared with other processes, so the same
    # scan differs by up to 2 from one run to the next. The kernels are compiled by now, which the
    # forecast says apart.
    took = outcome.report["seconds_in_all"]
    expected = found.core_seconds - found.startup_seconds
    assert took / 3 < expected < took * 3
    # compression depends on the numbers, of which the sample holds a part
    assert outcome.report["bytes"] / 2 < found.stored_nbytes < outcome.report["bytes"] * 2
    assert lmltgrid.forecast(scan, store=store).exists


def test_a_million_chunks_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    path.write_text(HUGE)
    spec = lmltgrid.load_spec(path)
    estimate.forecast(spec, store=tmp_path / "x.zarr")  # what is compiled and cached counts not
    tracemalloc.start()
    try:
        found = estimate.forecast(spec, store=tmp_path / "x.zarr")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.chunks == 2_000_000
    assert found.points == 5_000_000_000
    assert found.nbytes == 8 * found.points
    # 2.8 MB, of which the axis of 100000 exposures and its copies are most; one byte for each chunk
    # would be 2 MB more, one for each point 5 GB
    assert peak < 4.5e6
    assert found.core_seconds > 2_000_000 * 1e-5  # no chunk is written faster than in 10 us


def test_time_is_extrapolated_along_masses_and_thresholds() -> None:
    def cost(mass: int, threshold: int) -> float:
        return 0.3 + 0.01 * mass + 0.02 * threshold + 0.003 * mass * threshold

    known = {(m, t): cost(m, t) for m in (4, 128) for t in (1, 3)}
    assert calibration._bilinear(known, 1000, 40) == pytest.approx(cost(1000, 40))
    one_axis = {(m, 1): cost(m, 1) for m in (4, 128)}
    assert calibration._bilinear(one_axis, 256, 1) == pytest.approx(cost(256, 1))
    assert calibration._bilinear({(3, 1): 2.0}, 3, 1) == 2.0
    assert calibration._bilinear({(4, 1): 2.0}, 8, 3) == 12.0  # in proportion, as nothing is known
    assert calibration._bilinear({(4, 1): 1.0, (4, 3): 3.0}, 4, 5) == pytest.approx(5.0)


@pytest.mark.parametrize("name", ["coherent-ar-2020", "lz-8b", "lx22-xe-gen2-nominal"])
def test_every_statistic_can_be_measured(tmp_path: Path, name: str) -> None:
    path = tmp_path / "scan.toml"
    text = SCAN.replace("darwin-nr", name).replace("threshold = { values = [1.0, 2.0, 4.0] }", "")
    text = text.replace("exposure = { log = { start = 1, stop = 1000, num = 100 } }", "")
    path.write_text(text + "[statistic]\ntest = 'exclusion'\n")
    found = lmltgrid.forecast(path, store=tmp_path / "x.zarr")
    assert found.points == 2 * 100 * 100
    assert found.chunks_seconds > 0.0
    assert found.parts[0].state_nbytes > 0


def test_dry_run_for_people_and_for_scripts(scan: Path) -> None:
    store = str(scan.with_suffix(".zarr"))
    result = invoke("run", str(scan), "--store", store, "--dry-run", "--quiet")
    assert result.exit_code == 0, result.output
    assert "Nothing was stored in" in result.stdout
    row = next(line for line in result.stdout.splitlines() if line.startswith("darwin-nr"))
    assert "2 x 1 x 1 x 3 x 100 x 100 x 100" in row
    assert not Path(store).exists()
    given = (
        "run",
        str(scan),
        "--store",
        store,
        "--dry-run",
        "--cluster",
        "local",
        "--workers",
        "7",
    )
    found = answer(*given)
    assert (found["points"], found["workers"], found["cluster"]) == (6_000_000, 7, "local")
    assert found["core_hours"] == pytest.approx(found["core_seconds"] / 3600.0)
    assert found["parts"][0]["experiment"] == "darwin-nr"
    assert "--until belongs to a run" in refused(2, *given, "--until", "1h")
    assert "--log belongs to a run" in refused(2, *given, "--log", "log.jsonl")


def test_dry_run_checks_names(scan: Path) -> None:
    scan.write_text(SCAN.replace("Lmu-Ltau", "Lmu-Lta"))
    assert "did you mean 'Lmu-Ltau'" in refused(3, "run", str(scan), "--dry-run")


def test_dry_run_says_what_would_be_refused(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "free_bytes", lambda _: 1000)
    monkeypatch.setattr(estimate, "OVERHEAD", 10**12)
    store = str(scan.with_suffix(".zarr"))
    result = invoke("run", str(scan), "--store", store, "--dry-run", "--json", "--cluster", "local")
    assert result.exit_code == 6
    assert "bytes are needed and 1000 are free" in result.stderr
    assert "raise memory_mb" in result.stderr
    found = json.loads(result.stdout)
    assert len(found["problems"]) == 1
    assert len(found["warnings"]) == 2


TOYS = """
models = ["B-L"]
experiments = ["darwin-nr", "cenns610"]
mass = { values = [3, 30] }
coupling = { log = { start = 1e-5, stop = 1e-3, num = 10 } }
statistic = { test = "exclusion" }
toys = { number = 2000, levels = [0.9], parameters = %d }
"""


@pytest.mark.parametrize("parameters", [1, 2])
def test_pseudo_experiments_are_forecast(tmp_path: Path, parameters: int) -> None:
    path = tmp_path / "scan.toml"
    path.write_text(TOYS % parameters)
    found = lmltgrid.forecast(path, store=tmp_path / "x.zarr")
    parts = {part.experiment: part for part in found.parts}
    assert list(parts) == ["darwin-nr", "cenns610", "toys/darwin-nr", "toys/cenns610"]
    layout = layouts.layout(make_plan(lmltgrid.load_spec(path)))
    assert found.chunks == sum(group.units for group in layout.groups)
    assert found.nbytes == sum(group.nbytes for group in layout.groups)
    # fits take longer than counts, which take longer than a grid without either
    seconds = {name: part.chunks_seconds for name, part in parts.items()}
    assert seconds["toys/cenns610"] > seconds["toys/darwin-nr"] > 0.0
    # 40000 fitted pseudo-experiments: not less than a microsecond each, nor more than 50 ms
    assert 0.04 < seconds["toys/cenns610"] < 2000.0
    assert (parts["toys/cenns610"].moments_nbytes > 0) == (parameters == 2)
    row = next(
        line
        for line in invoke("run", str(path), "--dry-run", "--quiet").stdout.splitlines()
        if line.startswith("toys/cenns610")
    )
    assert "1 x 1 x 1 x 1 x 1 x 2 x 10" in row
