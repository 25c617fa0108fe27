"""The command line: status, once and as long as a scan runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_calls import invoke, refused

from lmltgrid import service
from lmltgrid import watch as watching
from lmltgrid.progress import Progress
from lmltgrid.watch import Look

HOLDER: dict[str, Any] = {
    "pid": 7,
    "host": "node1",
    "since": "noon",
    "machine": "abc",
    "shard": "",
    "stale": False,
    "why": "",
}
IN_USE = "in use by process 7 on node1, since noon."
STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  x\.zarr: ")


def test_status_of_a_scan_with_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = {"type": "ValueError", "message": "no\nroot", "coordinates": {"mass": [1.0, 3.0]}}
    found = {
        "created": "today",
        "units": 3,
        "done": 2,
        "bytes": 2 * 10**6,
        "groups": {"grid/darwin-nr": {"units": 3, "done": 2}},
        "failed": {1: failure},
        "leases": [HOLDER],
        "complete": False,
    }
    monkeypatch.setattr(service, "status", lambda _: found)
    text = invoke("status", "x.zarr").stdout
    assert "2 of 3 units, 2 MB; 'lmltgrid resume x.zarr' computes the rest." in text
    assert "failed: unit 1: ValueError: no root (mass 1 to 3)" in text
    assert IN_USE in text
    gone = HOLDER | {"stale": True, "why": "that process is dead"}
    monkeypatch.setattr(service, "status", lambda _: found | {"leases": [gone]})
    assert (
        "not in use: the run that held it is gone (process 7 on node1, since noon: that process is "
        "dead); resume takes over."
    ) in invoke("status", "x.zarr").stdout


def test_status_of_a_job_array_names_few_shards_and_counts_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {"created": "today", "units": 3, "done": 2, "bytes": 0, "groups": {}, "failed": {}}
    shards = [HOLDER | {"shard": f"{k}/9", "host": f"node{k % 2}"} for k in range(1, 10)]
    gone = shards[8] | {"stale": True, "why": "that process is dead"}
    for leases, words in (
        (shards[:1], "in use by shard 1/9: process 7 on node1, since noon."),
        (shards, "in use by 9 shards on 2 host(s)."),
        ([gone], "shard 9/9 is not in use: the run that held it is gone (process 7 on node1"),
    ):
        now = found | {"leases": leases, "complete": False}
        monkeypatch.setattr(service, "status", lambda _, now=now: now)
        assert words in invoke("status", "x.zarr").stdout


def look(done: int, *, failed: int = 0, rate: float | None = 2.0, **state: Any) -> Look:
    holder, stopping = state.get("holder", HOLDER), state.get("stopping", False)
    holders = [] if holder is None else [holder]
    return Look(Progress(done, 10, failed, rate), {"grid/fake": (10, done)}, holders, stopping)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """What watching a store would show, without one."""
    shown: list[Look] = []
    monkeypatch.setattr(watching, "watch", lambda *_: iter(shown))
    return shown


def test_a_log_has_a_line_for_each_look_that_changed_something(looks: list[Look]) -> None:
    looks += [look(0, rate=None), look(0, rate=None), look(4), look(4, rate=1.0)]
    looks += [look(6, failed=1), look(6, failed=1, stopping=True), look(10, holder=None)]
    result = invoke("status", "x.zarr", "--watch")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert all(STAMP.match(line) for line in lines)
    assert [STAMP.sub("", line) for line in lines] == [
        "0 of 10 units (0 %), - units/s, time left -",
        IN_USE,
        "4 of 10 units (40 %), 2.00 units/s, time left 0:00:03",
        "6 of 10 units (60 %), 2.00 units/s, time left 0:00:02, 1 failed",
        "1 unit(s) failed; 'lmltgrid status x.zarr' says why.",
        "asked to stop: it ends after the units that it computes now.",
        "10 of 10 units (100 %)",
        "complete.",
    ]


@pytest.mark.parametrize("holder", [None, HOLDER | {"stale": True, "why": "that process is dead"}])
def test_units_that_nobody_computes_end_the_watch(
    looks: list[Look], holder: dict[str, Any] | None
) -> None:
    looks.append(look(4, rate=None, holder=holder))
    result = invoke("status", "x.zarr", "--watch", "0.5")
    assert result.exit_code == 4
    assert result.stderr == (
        "lmltgrid: x.zarr: 6 of 10 units are missing and no run works on them; 'lmltgrid resume "
        "x.zarr' computes them\n"
    )
    assert ("that process is dead); resume takes over." in result.stdout) == bool(holder)


def test_each_look_is_a_json_object_on_a_line(looks: list[Look]) -> None:
    looks += [look(4), look(4), look(10, failed=0, holder=None)]
    result = invoke("status", "x.zarr", "--watch", "--json")
    assert result.exit_code == 0
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["done"] for one in found] == [4, 4, 10]
    assert found[0] == {
        "units": 10,
        "done": 4,
        "failed": 0,
        "groups": {"grid/fake": {"units": 10, "done": 4}},
        "units_per_second": 2.0,
        "seconds_left": 3.0,
        "leases": [HOLDER],
        "stopping": False,
        "complete": False,
    }
    assert (found[-1]["complete"], found[-1]["seconds_left"]) == (True, 0.0)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_ctrl_c_ends_it_quietly(monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]) -> None:
    def interrupted(path: Path, seconds: float) -> Iterator[Look]:
        yield look(4)
        raise KeyboardInterrupt

    monkeypatch.setattr(watching, "watch", interrupted)
    result = invoke("status", "x.zarr", "--watch", *form)
    assert (result.exit_code, result.stderr) == (130, "")


@pytest.mark.parametrize(("given", "seconds"), [((), 2.0), (("0.25",), 0.25)])
def test_the_time_between_looks(
    monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], seconds: float
) -> None:
    asked = []

    def note(path: Path, seconds: float) -> Iterator[Look]:
        asked.append((path, seconds))
        yield look(10)

    monkeypatch.setattr(watching, "watch", note)
    assert invoke("status", "x.zarr", "--watch", *given).exit_code == 0
    assert asked == [(Path("x.zarr"), seconds)]


@pytest.mark.parametrize("given", ["0", "nan", "inf", "1e9", "soon"])
def test_seconds_that_are_none_are_refused(given: str) -> None:
    assert "seconds from 0.1 to 86400" in refused(2, "status", "x.zarr", "--watch", given)


def test_a_store_in_the_place_of_the_seconds_is_explained() -> None:
    assert "write --watch after the store" in refused(2, "status", "--watch", "x.zarr")


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "x.zarr")
    assert "there is no store here" in refused(3, "status", missing, "--watch")
