"""Scans into a real S3 server: the bytes of a folder, two writers refused, the server killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fake_scan
import pytest
import scan_programs
from click.testing import CliRunner
from s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from scan_programs import MEET, launch, wait_for, wait_for_units

from lmltgrid import cluster
from lmltgrid.cli import main
from lmltgrid.cluster import Executor
from lmltgrid.errors import MachineError
from lmltgrid.scan import run_scan
from lmltgrid.storage import storage_of
from lmltgrid.store import Store, open_grid, open_store, status
from lmltgrid.verify import repair_store, verify_store

PLAIN = fake_scan.evaluator(fake_scan.plain)
SLOW = fake_scan.evaluator(fake_scan.slow)
AWAY = 4.0  # s that a server is away in mid-scan


@pytest.fixture
def store(s3_url: str, tmp_path: Path) -> Store:
    return fake_scan.make_store(tmp_path, s3_url)


@pytest.fixture
def near_server(s3: S3Server, executor: Executor) -> Executor:
    """An executor whose processes have the server's address and credentials."""
    client = getattr(executor, "_client", None)
    if client is not None:  # its processes may have been started before the server
        scan_programs.wait_for(
            lambda: not executor.tend() and len(client.nthreads()) == 2,  # type: ignore[func-returns-value]
            "workers",
        )
        client.run(fake_scan.set_environment, s3.environment)
    return executor


def test_a_scan_has_the_bytes_of_one_in_a_folder(
    store: Store, near_server: Executor, reference: dict[str, bytes]
) -> None:
    report = run_scan(store.path, PLAIN, near_server, identity=store.plan.identity)
    assert (report.ending, report.exit_code, report.done_now) == ("complete", 0, 12)
    assert report.bytes == sum(m.nbytes for _, m in store.ledger.markers() if m)
    assert fake_scan.chunk_bytes(store) == reference
    assert verify_store(store, deep=True).ok
    assert open_grid(store.path).attrs["units_missing"] == 0
    state = status(store.path)
    assert (state["complete"], state["leases"], state["failed"]) == (True, [], {})
    ledger = {name.split("/")[1] for name in store.storage.names("_ledger")}
    assert ledger == {"plan.json", "done"}


def test_a_stopped_scan_is_resumed(s3_url: str, near_server: Executor, tmp_path: Path) -> None:
    store = fake_scan.make_store(tmp_path, s3_url, exposures=60)
    soon = datetime.now(UTC) + timedelta(seconds=3.0)
    report = run_scan(store.path, SLOW, near_server, until=soon)
    assert (report.ending, report.exit_code) == ("stopped", 75)
    assert 0 < report.done_now < 60
    assert not store.storage.exists("_ledger/stop")
    again = run_scan(store.path, PLAIN, near_server)
    assert (again.ending, again.done_before) == ("complete", report.done_now)
    assert fake_scan.chunk_bytes(store) == fake_scan.undisturbed(tmp_path / "whole", exposures=60)


def test_a_stop_file_is_heeded(s3_url: str, tmp_path: Path) -> None:
    store = fake_scan.make_store(tmp_path, s3_url, exposures=60)

    def stop() -> None:
        wait_for_units(store, 2)
        store.storage.write("_ledger/stop", b"")

    ask = threading.Thread(target=stop)
    ask.start()
    report = run_scan(store.path, SLOW, cluster.in_process())
    ask.join()
    assert report.ending == "stopped"
    assert 0 < report.done_now < 60


def test_a_unit_that_raises_is_recorded(store: Store) -> None:
    evaluator = fake_scan.evaluator(fake_scan.raising)
    report = run_scan(store.path, evaluator, cluster.in_process())
    assert (report.ending, report.failed) == ("partial", (fake_scan.BAD,))
    assert status(store.path)["failed"][fake_scan.BAD]["message"] == "no root in this cell"
    assert run_scan(store.path, PLAIN, cluster.in_process()).ending == "complete"
    assert status(store.path)["failed"] == {}


def test_damage_is_found_and_computed_anew(store: Store, reference: dict[str, bytes]) -> None:
    run_scan(store.path, PLAIN, cluster.in_process())
    files = store.storage
    flipped, cut, gone = (store.plan.place(unit).files()["n"] for unit in (3, 4, 5))
    content = bytearray(files.read(flipped))
    content[-9] ^= 1
    files.write(flipped, bytes(content))
    files.write(cut, files.read(cut)[:20])
    files.delete(gone)
    files.delete("_ledger/done/000000/007.json")
    report = verify_store(store, deep=True)
    assert sorted(report.damaged) == [3, 4, 5]
    assert report.finished == 11
    assert repair_store(store.path, report, lambda _: None) == 3
    assert run_scan(store.path, PLAIN, cluster.in_process()).done_now == 4
    assert fake_scan.chunk_bytes(store) == reference


def test_a_cut_chunk_is_computed_anew_without_being_asked(
    store: Store, reference: dict[str, bytes]
) -> None:
    run_scan(store.path, PLAIN, cluster.in_process())
    store.storage.write(store.plan.place(2).files()["z"], b"torn")
    assert run_scan(store.path, PLAIN, cluster.in_process()).done_now == 1
    assert fake_scan.chunk_bytes(store) == reference


def test_a_second_run_is_refused(store: Store) -> None:
    with cluster.in_process(2) as inside:
        first = threading.Thread(target=run_scan, args=(store.path, SLOW, inside))
        first.start()
        wait_for(lambda: store.storage.exists("_ledger/lease.json"), "there is no lease")
        with pytest.raises(MachineError, match=r"another run holds this store \(process \d+"):
            run_scan(store.path, PLAIN, cluster.in_process())
        assert status(store.path)["leases"][0]["pid"] == os.getpid()
        first.join()
    assert store.done().all()
    assert status(store.path)["leases"] == []


def test_credentials_are_nowhere(
    store: Store, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = fake_scan.Notes()
    evaluator = fake_scan.evaluator(fake_scan.raising)
    report = run_scan(store.path, evaluator, cluster.in_process(), notes)
    contents = [store.storage.read(name) for name in store.storage.names()]
    told = [json.dumps(report.as_dict()), json.dumps(status(store.path)), *notes.texts]
    tree = open_grid_quietly(store)
    told += [str(tree.attrs), repr(tree), str(store.storage.zarr_store())]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another-user")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    with pytest.raises(MachineError, match="the server refuses: 403") as caught:
        status(store.path)
    told += [str(caught.value), repr(caught.value.__context__)]
    for secret in (ACCESS_KEY, SECRET_KEY, "another-user", "another-secret"):
        assert not any(secret.encode() in content for content in contents)
        assert not any(secret in text for text in told)
    assert len(contents) > 30


def open_grid_quietly(store: Store) -> Any:
    with pytest.warns(UserWarning, match="1 of 12 units are missing"):
        return open_grid(store.path)


@pytest.mark.cluster
def test_workers_without_credentials_end_the_run_loudly(
    store: Store, s3: S3Server, local: Executor
) -> None:
    client = local._client  # type: ignore[attr-defined]
    client.run(fake_scan.set_environment, s3.environment | {"AWS_SECRET_ACCESS_KEY": "mistyped"})
    report = run_scan(store.path, PLAIN, local)
    client.run(fake_scan.set_environment, s3.environment)
    assert (report.ending, report.exit_code, report.done_now) == ("machine", 6, 0)
    assert "the server refuses: 403" in report.sentence
    assert "mistyped" not in report.sentence
    again = run_scan(store.path, PLAIN, local)
    assert again.ending == "complete", again.sentence


RUN = "import fake_scan; fake_scan.main()"


def test_of_two_programs_that_create_a_store_one_is_refused(s3_url: str, tmp_path: Path) -> None:
    code = f"{MEET}\nimport fake_scan\nmeet({str(tmp_path)!r})\nfake_scan.create()"
    programs = [launch(code, s3_url, str(tmp_path)) for _ in range(2)]
    errors = [one.communicate(timeout=60)[1] for one in programs]
    assert sorted(one.returncode for one in programs) in ([0, 3], [0, 6]), errors
    refused = next(e for e, one in zip(errors, programs, strict=True) if one.returncode)
    assert s3_url in refused
    assert any(
        words in refused
        for words in ("another run holds", "another run has created", "something exists here")
    )
    assert verify_store(open_store(s3_url), deep=True).ok


@pytest.mark.faults
class TestKilled:
    @pytest.mark.parametrize(
        "where", ["in-process", pytest.param("local", marks=pytest.mark.cluster)]
    )
    def test_a_run_killed_as_a_whole_is_resumed(
        self, store: Store, reference: dict[str, bytes], where: str
    ) -> None:
        running = launch(RUN, str(store.path), "slow", where)
        wait_for_units(store, 2)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate(timeout=30)
        (lease,) = status(store.path)["leases"]
        assert (lease["pid"], lease["stale"]) == (running.pid, True)
        notes = fake_scan.Notes()
        report = run_scan(store.path, PLAIN, cluster.in_process(), notes)
        assert report.ending == "complete"
        assert any("that process is dead" in text for text in notes.texts)
        assert fake_scan.chunk_bytes(store) == reference

    def test_a_server_killed_and_started_again_costs_nothing(
        self, store: Store, s3: S3Server, near_server: Executor, reference: dict[str, bytes]
    ) -> None:
        with interrupted(store, s3, s3.kill, lambda: s3.start(wait=False)):
            report = run_scan(store.path, SLOW, near_server)
        assert (report.ending, report.failed, report.done_now) == ("complete", (), 12)
        assert report.seconds > AWAY
        assert fake_scan.chunk_bytes(store) == reference
        assert verify_store(store, deep=True).ok
        assert status(store.path)["leases"] == []

    def test_a_server_that_hangs_for_a_while_costs_nothing(
        self, store: Store, s3: S3Server, reference: dict[str, bytes]
    ) -> None:
        with interrupted(store, s3, s3.freeze, s3.thaw):
            report = run_scan(store.path, SLOW, cluster.in_process())
        assert (report.ending, report.failed) == ("complete", ())
        assert report.seconds > AWAY
        assert fake_scan.chunk_bytes(store) == reference

    def test_a_store_is_created_by_a_server_that_was_away(
        self, s3: S3Server, s3_url: str, tmp_path: Path, reference: dict[str, bytes]
    ) -> None:
        s3.kill()
        again = threading.Timer(1.0, s3.start, kwargs={"wait": False})
        again.start()
        store = fake_scan.make_store(tmp_path, s3_url)
        again.join()
        run_scan(store.path, PLAIN, cluster.in_process()).require()
        assert fake_scan.chunk_bytes(store) == reference

    @pytest.mark.parametrize(
        "where", ["in-process", pytest.param("local", marks=pytest.mark.cluster)]
    )
    def test_a_server_gone_for_good_ends_the_run_loudly(
        self, store: Store, s3: S3Server, reference: dict[str, bytes], where: str
    ) -> None:
        running = launch(RUN, str(store.path), "slow", where, TEST_PATIENCE="4")
        wait_for_units(store, 2)
        s3.kill()
        begun = time.monotonic()
        try:
            errors = running.communicate(timeout=120)[1]
        finally:
            s3.start()
        assert running.returncode == 6, errors
        assert time.monotonic() - begun < 90.0
        ended = errors.splitlines()[-1]
        assert str(store.path) in ended
        assert "the server did not answer for 4 s" in ended
        assert "all that was computed is saved" in ended
        assert "resume" in ended
        assert "Traceback" not in errors
        assert SECRET_KEY not in errors
        finished = len(store.ledger.marked())
        assert 2 <= finished < 12
        report = run_scan(store.path, PLAIN, cluster.in_process())
        assert (report.ending, report.done_before) == ("complete", finished)
        assert fake_scan.chunk_bytes(store) == reference


@contextmanager
def interrupted(
    store: Store, s3: S3Server, take: Callable[[], None], bring: Callable[[], None]
) -> Iterator[None]:
    """While a scan runs, take the server away after two units, and bring it back."""
    back = threading.Event()

    def interrupt() -> None:
        wait_for_units(store, 2)
        take()
        time.sleep(AWAY)
        bring()
        s3.wait()
        back.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert back.is_set()


SPEC = """
models = ["Lmu-Ltau"]
mixing = "amaral2021"
experiments = ["darwin-nr"]
oscillation = "amaral2021"
[mass]
log = { start = 1, stop = 300, num = 40 }
[coupling]
log = { start = 1e-5, stop = 1e-2, num = 40 }
[exposure]
values = [10, 50, 200, 500, 1000, 2000]
[threshold]
values = [1.0, 2.0]
[run]
chunk_mb = 0.01
"""


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(code: int, *call: str) -> Any:
    result = CliRunner().invoke(main, list(call))
    assert result.exit_code == code, result.output
    return result


def test_every_verb_takes_a_url(s3_url: str, inside: Path) -> None:
    (inside / "scan.toml").write_text(SPEC)
    stored = SPEC.replace("[run]", f'[run]\nstore = "{s3_url}"')
    (inside / "there.toml").write_text(stored)
    invoke(0, "run", "scan.toml", "--store", "here.zarr", "--quiet")
    planned = invoke(0, "run", "there.toml", "--dry-run", "--json")
    assert json.loads(planned.stdout)["store"] == s3_url
    assert json.loads(planned.stdout)["free_nbytes"] is None
    assert list(storage_of(s3_url).names()) == []
    stopped = invoke(75, "run", "there.toml", "--until", "0.001", "--quiet", "--json")
    assert json.loads(stopped.stdout)["store"] == s3_url
    text = invoke(0, "status", s3_url).stdout
    assert f"'lmltgrid resume {s3_url}' computes the rest" in text
    resumed = invoke(0, "resume", s3_url, "--quiet", "--json")
    assert json.loads(resumed.stdout)["figure"] == "scan.png"
    assert (inside / "scan.png").stat().st_size > 10_000
    ours, theirs = (storage_of(place) for place in (inside / "here.zarr", s3_url))
    names = [name for name in ours.names("grid") if "/c/" in name]
    assert names
    for name in [*names, *ours.names("moments")]:
        assert theirs.read(name) == ours.read(name)
    verified = json.loads(invoke(0, "verify", s3_url, "--deep", "--json").stdout)
    assert verified["recomputed"] == 3
    theirs.write(names[0], ours.read(names[0])[:-1])
    damaged = invoke(4, "verify", s3_url, "--repair")
    assert f"'lmltgrid resume {s3_url}' computes them again" in damaged.stderr
    invoke(0, "resume", s3_url, "--quiet")
    assert theirs.read(names[0]) == ours.read(names[0])
    invoke(0, "plot", "plane", "--store", s3_url, "--output", "plane.png")
    assert (inside / "plane.png").stat().st_size > 10_000
    missing = invoke(3, "status", s3_url.replace("scan.zarr", "other.zarr"))
    assert "there is no store here" in missing.stderr
