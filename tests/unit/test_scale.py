"""What is done for a large scan does not grow beyond it: counted, never timed."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_store import fill, layout, numbers

from lmltgrid import store as stores
from lmltgrid import verify
from lmltgrid.bundle import LARGEST, Evaluator, bundle_size
from lmltgrid.cluster import in_process, read_site
from lmltgrid.errors import SpecificationError, VerificationError
from lmltgrid.grid import make_plan
from lmltgrid.ledger import RECORD_BYTES
from lmltgrid.plan import PLAN
from lmltgrid.scan import run_scan
from lmltgrid.shard import Shard
from lmltgrid.spec import ScanSpec, read_spec, validate
from lmltgrid.storage import LocalStorage


def nothing(_store: object) -> None:
    """There is nothing to load."""


def computed(_state: None, group: str, index: tuple[slice, ...]) -> dict[str, Any]:
    return numbers(group, index)


SOUND = Evaluator(nothing, computed)


class Counted:
    """How often the storage was asked for what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: Counter[str] = Counter()
        self.measured: Counter[str] = Counter()
        self.together: list[int] = []
        read, sizes_of = LocalStorage.read, LocalStorage.sizes_of

        def counting_read(storage: LocalStorage, name: str, most: int | None = None) -> bytes:
            self.read[name] += 1
            return read(storage, name, most)

        def counting_sizes(
            storage: LocalStorage, names: Iterable[str]
        ) -> Iterator[tuple[str, int | None]]:
            asked = list(names)
            self.measured.update(asked)
            self.together.append(len(asked))
            return sizes_of(storage, asked)

        monkeypatch.setattr(LocalStorage, "read", counting_read)
        monkeypatch.setattr(LocalStorage, "sizes_of", counting_sizes)

    @property
    def markers(self) -> dict[str, int]:
        return {name: count for name, count in self.read.items() if "/done/" in name}

    @property
    def chunks(self) -> dict[str, int]:
        return {name: count for name, count in self.measured.items() if "/c/" in name}


@pytest.fixture
def store(tmp_path: Path) -> stores.Store:
    return fill(stores.create_store(tmp_path / "scan.zarr", layout(), {}))


def test_a_plan_of_a_million_chunks_is_as_small_as_one_of_ten(tmp_path: Path) -> None:
    few = stores.create_store(tmp_path / "few.zarr", layout(), {})
    many = stores.create_store(tmp_path / "many.zarr", layout((1000, 1000, 1), (1, 1, 1)), {})
    assert many.units() > 1_000_000
    names = [set(LocalStorage(store.path).names()) for store in (few, many)]
    assert names[0] == names[1]
    assert len(json.dumps(json.loads((many.path / PLAN).read_bytes()))) < 4000
    place = many.plan.place(999_999)
    assert place.chunk == (999, 999, 0)
    assert many.plan.place(1_000_000).group.path == "grid/lz"


def test_places_are_those_of_numpy(tmp_path: Path) -> None:
    plan = stores.create_store(tmp_path / "s.zarr", layout((3, 5, 7), (1, 2, 3)), {}).plan
    counts = plan.groups[0].counts
    for unit in range(plan.groups[0].units):
        assert plan.place(unit).chunk == np.unravel_index(unit, counts)


def test_names_tell_what_is_finished(store: stores.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    assert store.marked().all()
    assert stores.complete(store.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stores.IncompleteStoreWarning)
        assert stores.open_grid(store.path).attrs["units_missing"] == 0
    assert not counted.markers


def test_resuming_reads_each_marker_once(
    store: stores.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.discard([1, 4])
    counted = Counted(monkeypatch)
    with in_process() as executor:
        report = run_scan(store.path, SOUND, executor)
    assert report.ending == "complete"
    assert report.done_now == 2
    assert report.bytes == sum(m.nbytes for u, m in store.ledger.markers_of([1, 4]) if m)
    old = [u for u in range(store.units()) if u not in (1, 4)]
    reads = {u: counted.markers[f"_ledger/done/000000/{u:03d}.json"] for u in old}
    assert set(reads.values()) == {1}
    assert set(counted.chunks.values()) == {1}


def test_a_shard_looks_at_its_own_units_alone(
    store: stores.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    shard = Shard(2, 3)
    with in_process() as executor:
        assert run_scan(store.path, SOUND, executor, shard=shard).ending == "complete"
    mine = np.flatnonzero(shard.units(store.units())).tolist()
    assert set(counted.markers) == {f"_ledger/done/000000/{u:03d}.json" for u in mine}
    files = {f for u in mine for f in store.plan.place(u).files().values()}
    assert set(counted.chunks) - set(store.plan.files) == files


def test_a_check_holds_the_sizes_of_a_few_units_at_a_time(
    store: stores.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "BATCH", 2)
    counted = Counted(monkeypatch)
    assert verify.verify_store(store).finished == store.units()
    files_of_all, *batches = counted.together
    assert files_of_all == len(store.plan.files)
    assert max(batches) <= 2 * 2


def test_bundles_last_but_all_workers_finish_together() -> None:
    assert bundle_size(10**6, 2, np.inf) == 1  # nothing is known yet
    assert bundle_size(10**6, 2, 0.0) == LARGEST
    assert bundle_size(10**6, 2, 0.05) == 10
    assert bundle_size(10**6, 2, 10.0) == 1
    assert bundle_size(100, 10, 0.05) == 5  # the last ones are shared out ...
    assert bundle_size(100, 10, 0.003) == 10  # ... but not into crumbs
    assert bundle_size(3, 10, 0.003) == 3
    assert bundle_size(10**6, 1000, 0.05) == 100  # one scheduler feeds 1,000 workers
    calls, left = 0, 100
    while left:
        left -= bundle_size(left, 2, 0.002)
        calls += 1
    assert calls <= 8


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("shape", 0), 10**9),  # 1e9 x ... chunks of one point
        (("shape", 0), -5),
        (("chunks", 1), 0),
        (("shape", 2), 1e999),
        (("shape", 2), "1" * 5000),
    ],
)
def test_a_plan_that_says_the_impossible_is_refused(
    store: stores.Store, path: tuple[str, int], value: object
) -> None:
    file = store.path / PLAN
    plan = json.loads(file.read_bytes())
    for array in plan["groups"][0]["arrays"]:
        array[path[0]][path[1]] = value
    file.write_text(json.dumps(plan))
    with pytest.raises(VerificationError, match="the plan of the store is damaged"):
        stores.open_store(store.path)


def test_more_chunks_than_a_store_may_have_are_refused() -> None:
    with pytest.raises(SpecificationError, match=r"^store: 1e\+12 chunks; at most 1e\+08 are"):
        layout((10**6, 10**6, 1), (1, 1, 1))
    with pytest.raises(SpecificationError, match="points; at most 268435456 fit a worker"):
        layout((10**5, 10**5, 1), (10**5, 10**5, 1))


def test_a_scan_of_too_many_chunks_is_refused_before_anything_is_computed() -> None:
    def axis(num: int) -> dict[str, Any]:
        return {"log": {"start": 1e-3, "stop": 1, "num": num}}

    content = {
        "models": ["Lmu"],
        "experiments": ["darwin-nr"],
        "mass": axis(10**5),
        "coupling": axis(10**5),
        "exposure": axis(10**5),
    }
    with pytest.raises(SpecificationError, match=r"scan: 6.67e\+08 chunks; .* raise run.chunk_mb"):
        make_plan(validate(ScanSpec, content, "scan"))


def test_records_that_are_none_are_not_read(anywhere: Path | str) -> None:
    store = fill(stores.create_store(anywhere, layout(), {}))
    storage = store.storage
    marker = "_ledger/done/000000/001.json"
    storage.write(marker, b" " * RECORD_BYTES + storage.read(marker))
    storage.write("_ledger/done/000000/002.json", b"[" * 100_000)
    text = storage.read("_ledger/done/000000/003.json").replace(b'"z":[', b'"z":[1e999,', 1)
    storage.write("_ledger/done/000000/003.json", text)
    with pytest.raises(OSError, match="File too large"):
        storage.read(marker, RECORD_BYTES)
    assert sorted(verify.verify_store(store).damaged) == [1, 2, 3]
    assert not store.done()[1:4].any()


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no endless file")
@pytest.mark.parametrize("read", [read_spec, read_site])
def test_a_file_that_never_ends_is_refused(read: Callable[[Path], object]) -> None:
    with pytest.raises(SpecificationError, match="1048576"):
        read(Path("/dev/zero"))
