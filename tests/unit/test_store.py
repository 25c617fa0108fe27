"""The store: what is written comes back, and what is not a sound store is refused."""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from dead_process import dead_process
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_store import DIMS, IDENTITY, MOMENTS, chunk, fill, layout, numbers

from lmltgrid.errors import LmltgridError, SpecificationError, VerificationError
from lmltgrid.plan import ArrayLayout, GroupLayout, StoreLayout, layout_bytes
from lmltgrid.processes import machine_key
from lmltgrid.store import (
    IncompleteStoreWarning,
    Store,
    create_store,
    open_grid,
    open_store,
    read_moments,
    status,
)
from lmltgrid.verify import repair_store, verify_store


def test_what_is_written_comes_back_as_a_data_tree(any_store: Store) -> None:
    fill(any_store)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = open_grid(any_store.path)
    grid = tree["grid/darwin-nr"]
    whole = numbers("grid/darwin-nr", (slice(0, 2), slice(0, 5), slice(0, 4)))
    for name, values in whole.items():
        assert grid[name].dims == DIMS
        assert grid[name].dtype == np.float32
        assert grid[name].data.chunksize == (1, 2, 4)
        np.testing.assert_array_equal(grid[name].values, values)
    assert np.asarray(grid["model"]).tolist() == ["model-0", "model-1"]
    assert grid["exposure"].attrs == {"units": "tonne year"}
    assert grid["z"].attrs["units"] == "1"
    assert grid.attrs == {"title": "a"}
    np.testing.assert_array_equal(tree["grid/lz/z"].values, [0.0, 1.0, 2.0])
    assert tree.attrs["spec"] == "x = 1"
    assert tree.attrs["identity"] == IDENTITY
    assert tree.attrs["units_missing"] == 0


def test_moments_come_back(any_store: Store) -> None:
    moments = read_moments(any_store)["darwin-nr"]
    xr.testing.assert_identical(moments, MOMENTS["darwin-nr"])
    assert moments["rate"].sel(channel="B8").values.tolist() == [3.0, 4.0, 5.0]


def test_units_cover_every_point_once(store: Store) -> None:
    hits = {g.path: np.zeros(g.shape, dtype=int) for g in store.plan.groups}
    for unit in range(store.units()):
        place = store.plan.place(unit)
        assert place.unit == unit
        hits[place.group.path][place.index] += 1
    assert all((hit == 1).all() for hit in hits.values())
    for unit in (-1, store.units()):
        with pytest.raises(SpecificationError, match="units 0 to"):
            store.plan.place(unit)


def test_all_chunks_are_written_even_of_nothing_but_nan(tmp_path: Path) -> None:
    store = create_store(tmp_path / "a", layout(), {})
    place = store.plan.place(0)
    nothing = {n: np.full(place.shape, np.nan, dtype="f4") for n in ("z", "n")}
    marker = store.write_unit(0, nothing)
    assert chunk(store, 0).exists()
    assert marker.values["z"] == ("nan", "nan", math.prod(place.shape))
    assert verify_store(store, deep=True).ok


def test_bytes_of_the_layout() -> None:
    assert layout_bytes(layout()) == 2 * 5 * 4 * 2 * 4 + 3 * 8


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_any_chunking_reads_as_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 6)] * 3), label="shape")
    chunks = data.draw(st.tuples(*[st.integers(1, n) for n in shape]), label="chunks")
    path = tmp_path_factory.mktemp("any") / "scan.zarr"
    store = create_store(path, layout(shape, chunks), {})
    order = data.draw(st.permutations(range(store.units())), label="order")
    fill(store, list(order))
    whole = numbers("grid/darwin-nr", tuple(slice(0, n) for n in shape))
    tree = open_grid(path)
    for name, values in whole.items():
        assert np.asarray(tree["grid/darwin-nr"][name]).tobytes() == values.tobytes()


def test_missing_units_read_as_nan_and_are_announced(any_store: Store) -> None:
    fill(any_store, [0, any_store.units() - 1])
    with pytest.warns(IncompleteStoreWarning, match="6 of 8 units are missing"):
        tree = open_grid(any_store.path)
    assert tree.attrs["units_missing"] == 6
    assert tree["grid/darwin-nr/z"].isel(model=1).isnull().all()
    assert np.flatnonzero(~any_store.done()).tolist() == [1, 2, 3, 4, 5, 6]


def test_markers_are_the_truth(store: Store) -> None:
    fill(store)
    store.ledger.reopen(3)
    marker = next(store.ledger.folder.glob("done/*/004.json"))
    marker.write_text(marker.read_text()[:-20])
    assert np.flatnonzero(~store.done()).tolist() == [3, 4]
    assert not store.is_done(4)
    fill(store, [3, 4])
    assert store.done().all()


def test_markers_know_size_extremes_and_nan(store: Store) -> None:
    fill(store, [1])
    marker = store.ledger.marker(1)
    assert marker is not None
    place = store.plan.place(1)
    expected = numbers(place.group.path, place.index)
    assert marker.chunks["n"][0] == chunk(store, 1, "n").stat().st_size
    low, high, missing = marker.values["n"]
    assert float(low) == np.nanmin(expected["n"])
    assert float(high) == np.nanmax(expected["n"])
    assert missing == np.isnan(expected["n"]).sum() > 0


def test_a_unit_has_one_writer(any_store: Store) -> None:
    fill(any_store, [1])
    with pytest.raises(LmltgridError, match="unit 1 is finished already"):
        fill(any_store, [1])


@pytest.mark.parametrize("spoil", ["name", "shape", "dtype"])
def test_a_wrong_answer_is_refused_before_anything_is_written(store: Store, spoil: str) -> None:
    place = store.plan.place(0)
    arrays = numbers(place.group.path, place.index)
    if spoil == "name":
        arrays["extra"] = arrays["z"]
    else:
        arrays["z"] = arrays["z"][:, 1:] if spoil == "shape" else arrays["z"].astype("f8")
    with pytest.raises(SpecificationError, match=r"unit 0 was computed as"):
        store.write_unit(0, arrays)
    assert not chunk(store, 0).exists()


def test_a_layout_that_cannot_be_stored_is_refused() -> None:
    good: dict[str, Any] = {
        "name": "z",
        "dims": ("a",),
        "shape": (3,),
        "chunks": (2,),
        "dtype": "float32",
    }
    for change in (
        {"chunks": (4,)},
        {"chunks": (0,)},
        {"shape": (3, 3)},
        {"dims": ("a", "a"), "shape": (1, 1), "chunks": (1, 1)},
        {"dtype": "int32"},
        {"name": "../z"},
        {"dims": (), "shape": (), "chunks": ()},
    ):
        with pytest.raises(SpecificationError):
            ArrayLayout(**(good | change))
    array = ArrayLayout(**good)
    other = ArrayLayout(**(good | {"name": "n", "chunks": (3,)}))
    more = {"name": "q", "dims": (*array.dims, "p"), "shape": (*array.shape, 2)}
    wide = replace(array, **more, chunks=(*array.chunks, 2))
    cut = replace(array, **more, chunks=(*array.chunks, 1))
    for path, arrays, coordinates in (
        ("grid/../up", (array,), {}),
        ("elsewhere", (array,), {}),
        ("grid/a", (array, other), {}),
        ("grid/a", (array, array), {}),
        ("grid/a", (array,), {"a": (np.arange(4.0), {})}),
        ("grid/a", (array,), {"b": (np.arange(3.0), {})}),
        ("toys/a", (array, cut), {}),
        ("toys/a", (array, wide), {"p": (np.arange(3.0), {})}),
        ("toys/a", (array, replace(wide, name="p")), {}),
    ):
        with pytest.raises(SpecificationError):
            GroupLayout(path, arrays, coordinates)
    with pytest.raises(SpecificationError, match="JSON"):
        StoreLayout((GroupLayout("grid/a", (array,)),), {"x": float("nan")}, IDENTITY)


def test_an_array_with_a_further_axis_is_whole_in_every_chunk(tmp_path: Path) -> None:
    """One more axis than its group: written, read, checked and computed anew with its unit."""
    plain = ArrayLayout("p_value", ("mass", "coupling"), (3, 4), (2, 3), "float64")
    wide = ArrayLayout("quantile", (*plain.dims, "probability"), (3, 4, 5), (2, 3, 5), "float64")
    axes = {"probability": (np.linspace(0.1, 0.9, 5), {"units": "1"})}
    group = GroupLayout("toys/darwin-nr", (plain, wide), axes)
    assert (group.dims, group.units) == (("mass", "coupling"), 4)
    assert (group.nbytes, group.unit_bytes) == (12 * 6 * 8, 6 * 6 * 8)
    store = create_store(tmp_path / "a.zarr", StoreLayout((group,), {}, IDENTITY), {})
    values = np.arange(60.0).reshape(3, 4, 5)

    def numbers(_: str, index: tuple[slice, ...]) -> dict[str, np.ndarray]:
        return {"p_value": values[index][..., 0].copy(), "quantile": values[index].copy()}

    for unit in range(store.units()):
        store.write_unit(unit, numbers("", store.plan.place(unit).index))
    tree = open_grid(store.path)["toys/darwin-nr"]
    np.testing.assert_array_equal(tree["quantile"].values, values)
    np.testing.assert_array_equal(tree["p_value"].values, values[..., 0])
    assert tree["quantile"].dims == ("mass", "coupling", "probability")
    report = verify_store(open_store(store.path), deep=True, evaluate=numbers)
    assert report.ok
    assert report.recomputed == 3
    store.discard([1])
    with pytest.raises(SpecificationError, match="computed as"):
        store.write_unit(1, dict.fromkeys(("p_value", "quantile"), values[..., 0]))


def test_sweep_removes_what_a_killed_writer_leaves(store: Store) -> None:
    fill(store)
    orphans = [
        chunk(store, 0).with_name("0.abc.partial"),
        store.ledger.folder / "done/x.json.1.tmp",
    ]
    for orphan in orphans:
        orphan.write_text("x")
    assert store.sweep() == 2
    assert not any(orphan.exists() for orphan in orphans)
    assert verify_store(store, deep=True).ok


def test_status_agrees_with_the_ledger(store: Store) -> None:
    fill(store, [0, 1, 7])
    store.ledger.fail(2, {"type": "ValueError", "message": "no root"})
    store.ledger.fail(1, {"type": "OSError", "message": "finished since"})
    state = status(store.path)
    assert state["groups"] == {
        "grid/darwin-nr": {"units": 6, "done": 2},
        "grid/lz": {"units": 2, "done": 1},
    }
    assert (state["units"], state["done"], state["complete"]) == (8, 3, False)
    assert list(state["failed"]) == [2]
    assert state["leases"] == []
    files = [f for f in store.path.rglob("*") if f.is_file() and "_ledger" not in f.parts]
    assert state["bytes"] == sum(f.stat().st_size for f in files)
    json.dumps(state)


@pytest.mark.parametrize(
    ("machine", "pid", "age", "why"),
    [
        ("here", "alive", 0.0, ""),
        ("here", "dead", 0.0, "that process is dead"),
        ("here", "alive", 100.0, "no sign of it for 100 s"),  # its number was given away since
        ("elsewhere", "dead", 10.0, ""),
        ("elsewhere", "alive", 100.0, "no sign of it for 100 s"),
    ],
)
def test_status_tells_whether_the_holder_is_gone(
    store: Store, machine: str, pid: str, age: float, why: str
) -> None:
    lease = store.ledger.folder / "lease.json"
    holder = {
        "machine": machine_key() if machine == "here" else "0123456789ab",
        "host": "node1",
        "pid": os.getpid() if pid == "alive" else dead_process(),
        "since": "today",
    }
    lease.write_text(json.dumps(holder))
    then = time.time() - age
    os.utime(lease, (then, then))
    before = lease.stat().st_mtime
    (found,) = status(store.path)["leases"]
    assert found == holder | {"shard": "", "stale": bool(why), "why": why}
    assert lease.stat().st_mtime == before
    assert [path.name for path in store.ledger.folder.iterdir() if path.suffix == ".tmp"] == []


def test_files_that_are_no_markers_are_not_counted(store: Store) -> None:
    """A marker of another scan, one under another spelling of its number, and any other file."""
    fill(store)
    done = store.ledger.folder / "done"
    marker = (done / "000000" / "001.json").read_text()
    strays = [
        done / "000000" / "008.json",
        done / "000000" / "1.json",
        done / "x",
        done / "0/001.json",
    ]
    for stray in strays:
        stray.parent.mkdir(exist_ok=True)
        stray.write_text(marker)
    store.ledger.fail(8, {"type": "ValueError", "message": "of another scan"})
    (done / "000000" / "002.json.1.tmp").write_text("a write that goes on")
    found = status(store.path)
    assert (found["done"], found["units"], found["failed"]) == (8, 8, {})
    assert open_grid(store.path).attrs["units_missing"] == 0
    report = verify_store(store)
    assert report.finished == 8
    assert [store.path / name for name in report.strays] == sorted(strays)
    assert not report.ok
    with pytest.raises(VerificationError, match=r"a stray file, no marker of the 8 units"):
        report.require()
    texts: list[str] = []
    assert repair_store(store.path, report, texts.append) == len(strays)
    assert sorted(texts) == sorted(f"{stray}: removed" for stray in strays)
    assert verify_store(store, deep=True).ok
    assert store.done().all()


def test_a_unit_says_where_it_lies(any_store: Store) -> None:
    assert any_store.where(1) == {
        "group": "grid/darwin-nr",
        "chunk": [0, 1, 0],
        "index": {"model": [0, 1], "exposure": [2, 4], "mass": [0, 4]},
        "coordinates": {"model": ["model-0", "model-0"], "exposure": [3.0, 4.0]},
    }
