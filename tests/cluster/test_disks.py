"""Disks that are full, or that nobody may write, for real."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import fake_scan
import pytest
from click.testing import CliRunner
from ledger_check import agrees
from small_disk import SmallDisk, small_disk
from small_scan import ONE

from lmltgrid import cluster, scan, service
from lmltgrid.cli import main
from lmltgrid.cluster import Executor
from lmltgrid.errors import MachineError
from lmltgrid.scan import run_scan
from lmltgrid.store import Store, status

pytestmark = pytest.mark.faults
PLAIN = fake_scan.evaluator(fake_scan.plain)
FILLING = fake_scan.evaluator(fake_scan.filling)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as found:
        yield found


@pytest.fixture
def store(disk: SmallDisk, tmp_path: Path) -> Store:
    return fake_scan.make_store(tmp_path, disk.path / "scan.zarr")


@pytest.fixture(params=["in-process", pytest.param("local", marks=pytest.mark.cluster)])
def anywhere(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "local":
        yield request.getfixturevalue("local")
    else:
        with cluster.in_process() as inside:
            yield inside


class TestFull:
    @pytest.mark.parametrize("pages", [0, 1, 2], ids=["no page", "a page", "two pages"])
    def test_a_disk_that_fills_up_ends_the_run_with_all_saved(
        self,
        store: Store,
        disk: SmallDisk,
        anywhere: Executor,
        reference: dict[str, bytes],
        monkeypatch: pytest.MonkeyPatch,
        pages: int,
    ) -> None:
        """Nobody looks at the room before: the writing itself fails."""
        monkeypatch.setattr(scan, "RESERVE", 0)
        monkeypatch.setattr(scan, "TEND", 1e9)
        fake_scan.tell(store, "pages", str(pages))
        report = run_scan(store.path, FILLING, anywhere)
        assert (report.ending, report.exit_code, report.failed) == ("machine", 6, ())
        assert "cannot be written (No space left on device)" in report.sentence
        assert "make room" in report.sentence
        assert 0 < report.done_now < store.units()
        agrees(store, report, reference)
        before = store.ledger.marked()
        with pytest.raises(
            MachineError, match=r"bytes are needed to go on|No space left on device"
        ):
            run_scan(store.path, PLAIN, cluster.in_process()).require()
        disk.clear()
        again = run_scan(store.path, PLAIN, cluster.in_process())
        agrees(store, again, reference, before=before)
        assert fake_scan.chunk_bytes(store) == reference

    def test_a_failure_that_cannot_be_recorded_ends_the_run(
        self,
        store: Store,
        disk: SmallDisk,
        reference: dict[str, bytes],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(scan, "RESERVE", 0)
        monkeypatch.setattr(scan, "TEND", 1e9)
        fake_scan.tell(store, "pages", "raise")
        report = run_scan(store.path, FILLING, cluster.in_process())
        assert (report.ending, report.exit_code, report.failed) == ("machine", 6, ())
        assert "No space left on device" in report.sentence
        agrees(store, report, reference)
        disk.clear()
        assert run_scan(store.path, PLAIN, cluster.in_process()).ending == "complete"
        assert fake_scan.chunk_bytes(store) == reference

    def test_a_lease_that_cannot_be_written_is_refused_in_one_sentence(
        self, store: Store, disk: SmallDisk
    ) -> None:
        disk.fill()
        with pytest.raises(MachineError, match=r"cannot be written \(No space left on device\)"):
            run_scan(store.path, PLAIN, cluster.in_process())
        assert status(store.path)["leases"] == []
        assert not list(store.path.rglob("*.tmp"))
        disk.clear()

    def test_room_is_looked_at_before_it_is_gone(
        self, store: Store, reference: dict[str, bytes]
    ) -> None:
        report = run_scan(store.path, PLAIN, cluster.in_process())
        assert (report.ending, report.exit_code, report.done_now) == ("machine", 6, 0)
        assert "make room, then resume" in report.sentence
        agrees(store, report, reference)

    def test_a_store_that_cannot_be_created_leaves_nothing(
        self, disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lmltgrid.store.require_room", lambda *_: None)
        disk.fill(pages=6)
        with pytest.raises(MachineError, match=r"cannot be created .* check room and permissions"):
            fake_scan.make_store(tmp_path, disk.path / "scan.zarr")
        assert os.listdir(disk.path) == ["ballast"]


def test_a_read_only_store_is_read_and_verified_but_not_run(tmp_path: Path) -> None:
    """As root too: the file system refuses."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "scan.toml").write_text(ONE)

    def call(code: int, *words: str) -> str:
        done = CliRunner().invoke(main, [*words])
        assert done.exit_code == code, done.output
        assert "Traceback" not in done.output
        return done.stderr if code else done.stdout

    with small_disk(tmp_path / "disk", "64m") as disk:
        store, other, cut = (str(disk.path / f"{name}.zarr") for name in ("scan", "other", "cut"))
        assert service.run(tmp_path / "scan.toml", store=store, quiet=True).exit_code == 0
        assert (
            service.run(tmp_path / "scan.toml", store=other, until=0.0, quiet=True).exit_code == 75
        )
        shutil.copytree(store, cut)
        chunk = next(path for path in Path(cut).glob("grid/*/counts/c/**/*") if path.is_file())
        chunk.write_bytes(chunk.read_bytes()[:50])
        figure = str(tmp_path / "plane.png")
        disk.read_only(True)
        with service.open_store(store) as tree:
            assert float(tree["grid/darwin-nr/significance"].max()) > 0.0
        assert json.loads(call(0, "status", store, "--json"))["complete"]
        assert json.loads(call(0, "verify", store, "--deep", "--json"))["recomputed"] == 3
        call(0, "plot", "plane", "--store", store, "--experiment", "darwin-nr", "--output", figure)
        assert Path(figure).stat().st_size > 10_000
        refused = [call(6, "resume", other, "--quiet"), call(6, "verify", cut, "--repair")]
        refused += [call(6, "run", str(tmp_path / "scan.toml"), "--store", f"{store}x", "--quiet")]
        for text in refused:
            assert "Read-only file system" in text
            assert text.startswith("lmltgrid: ")
            assert text.count("\n") == 1
        disk.read_only(False)
        assert service.resume(other, quiet=True).exit_code == 0
