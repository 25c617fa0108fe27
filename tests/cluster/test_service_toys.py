"""Pseudo-experiments in a store: any executor, any chunks, after any stop, the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from lmltgrid import grid, service, toy_chunks
from lmltgrid.lazy import virtual
from lmltgrid.spec import read_spec

SPEC = """
models = ["B-L"]
experiments = ["darwin-nr", "cenns610"]
[mass]
values = [3, 30]
[coupling]
log = { start = 1e-6, stop = 1e-3, num = 6 }
[statistic]
test = "exclusion"
[toys]
number = 100
levels = [0.68, 0.9]
"""


@pytest.fixture
def spec(tmp_path, monkeypatch):
    # the picture and the limits at the end of a run take longer than this scan
    monkeypatch.setattr("lmltgrid.summary.summarize", lambda *_: {})
    monkeypatch.setattr("lmltgrid.summary.draw", lambda *_: None)
    monkeypatch.setattr(toy_chunks, "WANTED", 0.003)
    path = tmp_path / "scan.toml"
    path.write_text(SPEC)
    return path


def numbers(store):
    with service.open_store(store) as tree:
        return {
            f"{name}/{variable}": tree[f"toys/{name}"][variable].values
            for name in tree["toys"].children
            for variable in tree[f"toys/{name}"].data_vars
        }


def same(left, right):
    assert left.keys() == right.keys()
    for name, values in left.items():
        assert values.tobytes() == right[name].tobytes(), name


def test_a_store_holds_the_virtual_pseudo_experiments(spec, tmp_path):
    outcome = service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    assert outcome.exit_code == 0
    found = numbers(outcome.store)
    lazy = virtual(grid.make_plan(read_spec(spec)), group="toys")
    same(found, {f"{n}/{v}": lazy[n][v].values for n in lazy for v in lazy[n].data_vars})
    assert service.status(outcome.store)["groups"]["toys/cenns610"]["units"] > 1
    checked = service.verify(outcome.store, deep=True)
    assert checked["ok"]
    assert checked["recomputed"] == 3


def test_chunks_threads_and_a_stop_change_nothing(spec, tmp_path, monkeypatch):
    first = numbers(service.run(spec, store=tmp_path / "a.zarr", quiet=True).store)
    monkeypatch.setattr(toy_chunks, "WANTED", 1e6)
    stopped = service.run(spec, store=tmp_path / "b.zarr", until=0.0, workers=2, quiet=True)
    assert stopped.exit_code == 75
    spec.unlink()
    resumed = service.resume(stopped.store, workers=2, quiet=True)
    assert resumed.report["total"] < service.status(tmp_path / "a.zarr")["units"]
    same(first, numbers(resumed.store))


def test_another_seed_is_another_scan(spec, tmp_path):
    first = service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    spec.write_text(SPEC.replace("number = 100", "number = 100\nseed = 7"))
    second = service.run(spec, store=tmp_path / "b.zarr", quiet=True)
    left, right = numbers(first.store), numbers(second.store)
    assert np.any(left["cenns610/quantile"] != right["cenns610/quantile"])
    np.testing.assert_array_equal(left["cenns610/statistic"], right["cenns610/statistic"])


def test_a_damaged_unit_is_mended(spec, tmp_path):
    outcome = service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    before = numbers(outcome.store)
    chunk = next(p for p in (outcome.store / "toys/cenns610/quantile/c").rglob("*") if p.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(bytes(content))
    assert not service.verify(outcome.store, deep=True)["ok"]
    assert service.repair(outcome.store) == 1
    assert service.resume(outcome.store, quiet=True).exit_code == 0
    same(before, numbers(outcome.store))


@pytest.mark.cluster
def test_a_local_cluster_draws_the_same(spec, tmp_path):
    """Counts alone: fits of bins would be compiled for half a minute in each worker."""
    spec.write_text(SPEC.replace(', "cenns610"', ""))
    alone = service.run(spec, store=tmp_path / "alone.zarr", quiet=True)
    many = service.run(spec, store=tmp_path / "many.zarr", cluster="local", workers=2, quiet=True)
    assert many.exit_code == 0
    same(numbers(alone.store), numbers(many.store))
