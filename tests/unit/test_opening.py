"""Opening a store: what is none, or is damaged, is refused, and a reader may read."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from s3_server import READER
from sample_store import IDENTITY, MOMENTS, fill, layout, numbers

from lmltgrid.errors import MachineError, SpecificationError, VerificationError
from lmltgrid.lease import Lease
from lmltgrid.reaching import decoding
from lmltgrid.storage import storage_of
from lmltgrid.store import (
    IncompleteStoreWarning,
    Store,
    create_store,
    open_grid,
    open_store,
    read_moments,
    status,
)
from lmltgrid.verify import verify_store


class TestOpening:
    def test_what_is_no_store(self, tmp_path: Path) -> None:
        with pytest.raises(SpecificationError, match="there is no store here"):
            open_store(tmp_path / "nothing")
        (tmp_path / "file").write_text("x")
        with pytest.raises(SpecificationError, match="not a store of lmltgrid"):
            open_store(tmp_path)

    def test_what_is_no_store_on_s3(self, s3_url: str) -> None:
        with pytest.raises(SpecificationError, match="there is no store here"):
            open_store(s3_url)
        storage_of(s3_url).write("thesis.pdf", b"x")
        with pytest.raises(SpecificationError, match="not a store of lmltgrid"):
            open_store(s3_url)

    def test_another_scan(self, any_store: Store) -> None:
        assert open_store(any_store.path, IDENTITY).plan == any_store.plan
        with pytest.raises(SpecificationError, match="holds scan feedfacefeed, but beef was asked"):
            open_store(any_store.path, "beef")

    def test_a_newer_format(self, store: Store) -> None:
        plan = store.path / "_ledger" / "plan.json"
        plan.write_text(json.dumps(json.loads(plan.read_text()) | {"format": 99}))
        with pytest.raises(SpecificationError, match="format 99; this lmltgrid reads formats up"):
            open_store(store.path)

    @pytest.mark.parametrize("name", ["_ledger/plan.json", "zarr.json"])
    @pytest.mark.parametrize("damage", ["missing", "cut", "empty", "other"])
    def test_damaged_plan_or_metadata(self, any_store: Store, name: str, damage: str) -> None:
        files = any_store.storage
        content = files.read(name)
        if damage == "missing":
            files.delete(name)
        else:
            half = content[: len(content) // 2]
            files.write(name, {"cut": half, "empty": b"", "other": b"{}"}[damage])
        with pytest.raises(VerificationError, match=r"damaged .*; restore"):
            open_store(any_store.path)

    def test_metadata_that_differ_from_the_plan(self, store: Store) -> None:
        path = store.path / "zarr.json"
        path.write_text(path.read_text().replace("feedface", "deadbeef"))
        with pytest.raises(VerificationError, match="identity differs from the plan"):
            open_store(store.path)

    def test_foreign_codecs_are_refused(self, store: Store) -> None:
        """A codec such as numcodecs' pickle would run code of the store's author."""
        path = store.path / "zarr.json"
        root = json.loads(path.read_text())
        node = root["consolidated_metadata"]["metadata"]["moments/darwin-nr/channel"]
        node["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]
        path.write_text(json.dumps(root))
        with pytest.raises(VerificationError, match="no form that we write"):
            open_store(store.path)

    def test_a_plan_cannot_point_out_of_the_store(self, store: Store) -> None:
        path = store.path / "_ledger" / "plan.json"
        path.write_text(path.read_text().replace("grid/lz", "grid/../../lz"))
        with pytest.raises(VerificationError, match="a group is called"):
            open_store(store.path)


@pytest.mark.parametrize(
    "name", ["grid/darwin-nr/z", "moments/darwin-nr/rate", "grid/darwin-nr/model"]
)
def test_damaged_bytes_are_named_by_store_and_remedy(store: Store, name: str) -> None:
    path = next(path for path in (fill(store).path / name / "c").rglob("*") if path.is_file())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))

    def read() -> None:
        read_moments(store)
        tree = open_grid(store.path)
        with decoding(store.path):
            tree["grid/darwin-nr"].to_dataset().load()

    with pytest.raises(
        VerificationError, match=rf"'lmltgrid verify {store.path} --deep'"
    ) as caught:
        read()
    assert str(caught.value).startswith(f"{store.path}: the store cannot be read (")
    assert caught.value.exit_code == 5


class TestReadOnly:
    """Whoever may only read a store can look at all of it, and is told why it cannot go on."""

    def look(self, path: Path | str, units: int) -> None:
        with pytest.warns(IncompleteStoreWarning, match=f"{8 - units} of 8 units are missing"):
            tree = open_grid(path)
        assert tree["grid/darwin-nr/z"].load().shape == (2, 5, 4)
        assert set(read_moments(open_store(path))) == {"darwin-nr"}
        assert status(path)["done"] == units
        report = verify_store(open_store(path), deep=True, evaluate=numbers)
        assert report.ok
        assert report.recomputed == 3
        with (
            pytest.raises(MachineError, match=r"the store cannot be written \(.*check its perm"),
            Lease(path, print),
        ):
            pytest.fail("a lease that cannot be written is held")

    def test_a_reader_of_a_bucket(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(create_store(s3_url, layout(), MOMENTS), [0, 1, 2])
        with Lease(s3_url, print):
            for name, value in READER.items():
                monkeypatch.setenv(name, value)
            assert status(s3_url)["leases"][0]["stale"] is False
        self.look(s3_url, 3)

    def test_a_folder(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(store, [0, 1, 2])
        real = Path.open

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        def reading(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
            return real(path, mode, *rest, **named) if mode in ("r", "rb") else refuse()

        monkeypatch.setattr(Path, "open", reading)
        for name in ("unlink", "mkdir", "rename", "replace", "touch"):
            monkeypatch.setattr(Path, name, refuse)
        monkeypatch.setattr(os, "utime", refuse)
        self.look(store.path, 3)
