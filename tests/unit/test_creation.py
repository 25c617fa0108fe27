"""The creation of a store: whole or not at all, and by one run."""

from __future__ import annotations

import json
import os
import re
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from at_once import at_once
from dead_process import dead_process
from sample_store import IDENTITY, MOMENTS, layout

from lmltgrid import store as store_module
from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.plan import Plan
from lmltgrid.processes import machine_key
from lmltgrid.storage import Storage, local, storage_of
from lmltgrid.store import (
    Store,
    create_store,
    open_grid,
    open_store,
    status,
)
from lmltgrid.verify import verify_store


class TestCreation:
    def test_nothing_is_overwritten(self, any_store: Store) -> None:
        with pytest.raises(SpecificationError, match="something exists here"):
            create_store(any_store.path, layout(), {})

    def test_a_failure_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(self: Plan, storage: Storage) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Plan, "save", full)
        with pytest.raises(MachineError, match="No space left on device"):
            create_store(tmp_path / "scan.zarr", layout(), MOMENTS)
        assert list(tmp_path.iterdir()) == []

    def test_another_run_that_was_faster_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "scan.zarr"
        write = store_module.write_skeleton

        def beaten(side: Storage, *rest: Any) -> None:
            write(side, *rest)
            monkeypatch.setattr(store_module, "write_skeleton", write)
            create_store(path, layout(), {})

        monkeypatch.setattr(store_module, "write_skeleton", beaten)
        monkeypatch.setattr(local, "machine_key", map(str, count()).__next__)
        with pytest.raises(MachineError, match="another run has created this store") as caught:
            create_store(path, layout(), MOMENTS)
        assert f"'lmltgrid status {path}' shows it: wait for that run" in str(caught.value)
        assert "permissions" not in str(caught.value)
        assert [one.name for one in tmp_path.iterdir()] == ["scan.zarr"]
        assert open_store(path).plan.identity == IDENTITY

    def test_a_killed_creation_is_no_store_and_is_swept(self, tmp_path: Path) -> None:
        dead = dead_process()
        side = tmp_path / f"scan.zarr.creating-{machine_key()}-{dead}"
        (side / "grid").mkdir(parents=True)
        alive = tmp_path / f"scan.zarr.creating-{machine_key()}-{os.getppid()}"
        foreign = tmp_path / "scan.zarr.creating-0123456789ab-1"
        alive.mkdir()
        foreign.mkdir()
        with pytest.raises(SpecificationError, match="not a store"):
            open_store(side)
        create_store(tmp_path / "scan.zarr", layout(), {})
        assert not side.exists()
        assert alive.exists()
        assert foreign.exists()

    def test_no_room_is_refused_with_both_numbers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        small = SimpleNamespace(f_bavail=3, f_frsize=100)
        monkeypatch.setattr(os, "statvfs", lambda _: small)
        with pytest.raises(MachineError, match=r"344 bytes are needed and 300 are free") as caught:
            create_store(tmp_path / "deep" / "scan.zarr", layout(), {})
        assert caught.value.exit_code == 6
        assert list(tmp_path.iterdir()) == []


class TestCreationOnS3:
    """Nothing can be renamed there: the plan comes last."""

    def test_a_failure_leaves_nothing(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: Plan, storage: Storage) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Plan, "save", full)
        with pytest.raises(MachineError, match="No space left on device"):
            create_store(s3_url, layout(), MOMENTS)
        assert list(storage_of(s3_url).names()) == []

    def test_what_a_dead_creator_left_is_no_store_and_is_written_anew(self, s3_url: str) -> None:
        storage = storage_of(s3_url)
        dead = {"machine": machine_key(), "host": "here", "pid": dead_process(), "since": "now"}
        storage.write("_ledger/lease.json", json.dumps(dead).encode())
        storage.write("grid/darwin-nr/old/zarr.json", b"{}")
        assert not store_module.taken(s3_url)
        for use in (open_store, status, open_grid):
            with pytest.raises(SpecificationError, match="was not created completely"):
                use(s3_url)
        store = create_store(s3_url, layout(), MOMENTS)
        assert not storage.exists("grid/darwin-nr/old/zarr.json")
        assert set(storage.names()) == {*store.plan.files, "_ledger/plan.json"}

    @pytest.mark.parametrize(
        "other", ["_ledger/done/000000/000.json", "other.zarr/_ledger/plan.json", "thesis.pdf"]
    )
    def test_what_is_more_than_a_creator_leaves_is_not_touched(
        self, s3_url: str, other: str
    ) -> None:
        storage = storage_of(s3_url)
        dead = {"machine": machine_key(), "pid": dead_process()}
        storage.write("_ledger/lease.json", json.dumps(dead).encode())
        storage.write(other, b"x")
        with pytest.raises(SpecificationError, match="something exists here"):
            create_store(s3_url, layout(), MOMENTS)
        assert storage.read(other) == b"x"

    def test_of_many_creators_one_succeeds(self, s3_url: str) -> None:
        def create(_: int) -> object:
            try:
                return create_store(s3_url, layout(), MOMENTS)
            except (MachineError, SpecificationError) as error:
                return str(error)

        ended = at_once(create, 4)
        texts = [text for text in ended if isinstance(text, str)]
        assert len(texts) == 3, ended
        reasons = "another run holds|another run has created|something exists here"
        assert all(re.search(reasons, text) for text in texts), texts
        assert verify_store(open_store(s3_url), deep=True).ok
        assert set(storage_of(s3_url).names()) >= {"_ledger/plan.json", "zarr.json"}
        assert status(s3_url)["leases"] == []

    def test_a_creator_that_was_believed_dead_leaves_the_store_of_another(
        self, s3_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = store_module.write_skeleton

        def robbed(side: Storage, *rest: Any) -> None:
            monkeypatch.setattr(store_module, "write_skeleton", write)
            side.delete("_ledger/lease.json")
            create_store(s3_url, layout(), MOMENTS)
            write(side, *rest)

        monkeypatch.setattr(store_module, "write_skeleton", robbed)
        with pytest.raises(MachineError, match="another run has created this store"):
            create_store(s3_url, layout(), MOMENTS)
        assert verify_store(open_store(s3_url), deep=True).ok
