"""The structured log of a scan: one JSON object for each event."""

from __future__ import annotations

import json
import os
import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lmltgrid import service
from lmltgrid.datafiles import data_folder
from lmltgrid.errors import MachineError, SpecificationError, StoppedError
from lmltgrid.progress import Journal, Progress
from lmltgrid.progress import journal as module


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_event_says_when_who_and_on_what(path: Path) -> None:
    with Journal(path, "a.zarr") as journal:
        journal.message("hello", "note", number=1)
        journal.identity = "0123"
        journal.started(
            "local", 4, "http://127.0.0.1:8787/status", datetime(2030, 1, 1, tzinfo=UTC)
        )
    first, second = events(path)
    written = datetime.fromisoformat(first.pop("time"))
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=5)
    assert written.utcoffset() == timedelta(0)
    assert first == {
        "event": "note",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "store": "a.zarr",
        "identity": None,
        "message": "hello",
        "number": 1,
    }
    assert second["identity"] == "0123"
    assert (second["event"], second["cluster"], second["workers"]) == ("started", "local", 4)
    assert second["until"] == "2030-01-01T00:00:00+00:00"


def test_a_line_is_there_as_soon_as_it_is_told(path: Path) -> None:
    with Journal(path, "a.zarr") as journal:
        journal.write("one")
        assert [event["event"] for event in events(path)] == ["one"]


def test_progress_for_every_percent_and_every_minute(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with Journal(path, "a.zarr") as journal:
        for done in range(1001):
            journal.progress(Progress(done, 1000, rate=1 / 3, seconds=1.0))
        clock[0] += module.MINUTE
        journal.progress(Progress(1000, 1000))
    found = events(path)
    assert [event["done"] for event in found] == [*range(0, 1001, 10), 1000]
    assert found[50] | {"time": ""} == {
        "time": "",
        "event": "progress",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "store": "a.zarr",
        "identity": None,
        "done": 500,
        "total": 1000,
        "failed": 0,
        "units_per_second": 0.3333,
        "seconds": 1.0,
        "seconds_left": 1500.0,
        "waiting": False,
    }


def test_logs_of_several_runs_follow_each_other(path: Path) -> None:
    with Journal(path, "a.zarr") as one, Journal(path, "b.zarr") as other:
        one.write("first")
        other.write("second")
        one.write("third")
    assert [(event["event"], event["store"]) for event in events(path)] == [
        ("first", "a.zarr"),
        ("second", "b.zarr"),
        ("third", "a.zarr"),
    ]


def test_a_line_that_a_killed_run_left_torn_is_ended(path: Path) -> None:
    path.write_text('{"event":"fir')
    with Journal(path, "a.zarr") as journal:
        journal.write("second")
    assert path.read_text().splitlines()[0] == '{"event":"fir'
    assert json.loads(path.read_text().splitlines()[1])["event"] == "second"


def test_why_a_run_is_refused_is_written(path: Path) -> None:
    with pytest.raises(MachineError), Journal(path, "a.zarr"):
        raise MachineError("a.zarr: another run\nholds it")
    with pytest.raises(StoppedError), Journal(path, "a.zarr"):
        raise StoppedError("stopped")
    with pytest.raises(KeyboardInterrupt), Journal(path, "a.zarr"):
        raise KeyboardInterrupt
    found = [(e["event"], e["type"], e["message"], e["exit_code"]) for e in events(path)]
    assert found == [
        ("error", "MachineError", "a.zarr: another run holds it", 6),
        ("error", "StoppedError", "stopped", 75),
        ("error", "KeyboardInterrupt", "", None),
    ]


def test_without_a_file_nothing_is_written(tmp_path: Path) -> None:
    with Journal(None, "a.zarr") as journal:
        journal.write("one")
        journal.progress(Progress(1, 2))
    assert list(tmp_path.iterdir()) == []


class TestRefusal:
    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(MachineError, match=r"the log cannot be written \(Is a directory\)"):
            Journal(tmp_path, "a.zarr")

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(MachineError, match=r"No such file or directory.*choose another file"):
            Journal(tmp_path / "nowhere" / "log.jsonl", "a.zarr")

    def test_something_else_than_a_log(self, path: Path) -> None:
        path.write_text("models = []\n")
        with pytest.raises(SpecificationError, match="holds something else than a log"):
            Journal(path, "a.zarr")
        assert path.read_text() == "models = []\n"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_file_that_may_not_be_written(self, path: Path) -> None:
        path.touch(mode=stat.S_IRUSR)
        with pytest.raises(MachineError, match="Permission denied"):
            Journal(path, "a.zarr")

    def test_comes_before_any_work(self, tmp_path: Path) -> None:
        spec, store = data_folder() / "scans" / "quickstart.toml", tmp_path / "x.zarr"
        with pytest.raises(MachineError, match="the log cannot be written"):
            service.run(spec, store=store, log=tmp_path, quiet=True)
        with pytest.raises(MachineError, match="the log cannot be written"):
            service.resume(store, log=tmp_path, quiet=True)
        assert list(tmp_path.iterdir()) == []


class _Full:
    """A file on a disk that fills up after so many bytes, and has room again later."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.content = b""

    def write(self, data: bytes) -> int:
        taken = data[: self.room]
        if data and not taken:
            raise OSError(28, "No space left on device")
        self.content += taken
        self.room -= len(taken)
        return len(taken)

    def close(self) -> None:
        """Nothing is left to be written."""


def test_a_disk_that_fills_up_is_said_once_and_the_log_goes_on_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = _Full(300)
    monkeypatch.setattr(module, "_opened", lambda _: full)
    with Journal(path, "a.zarr") as journal:
        for number in range(10):
            journal.write("event", number=number)
        complaint = capsys.readouterr().err
        assert complaint.count("\n") == 1
        assert "the log cannot be written (No space left on device); the scan goes on" in complaint
        full.room = 10_000
        journal.write("event", number=10)
        journal.write("event", number=11)
    lines = full.content.decode().splitlines()
    whole = [json.loads(line)["number"] for line in lines if line.endswith("}")]
    assert whole[0] == 0
    assert whole[-2:] == [10, 11]
    assert sum(not line.endswith("}") for line in lines) == 1  # the one that was torn
