"""The lease on a store, in a folder and on S3: one holder at a time, whatever clocks do."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from dead_process import dead_process

from lmltgrid import lease as lease_module
from lmltgrid.errors import MachineError
from lmltgrid.lease import LEASE, STALE, Lease, look
from lmltgrid.processes import machine_key
from lmltgrid.storage import Storage, storage_of

ELSEWHERE = {"machine": "0123456789ab", "host": "node7", "pid": 4711, "since": "today"}


@pytest.fixture
def storage(anywhere: Path | str) -> Storage:
    return storage_of(anywhere)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats in tenths of a second."""
    monkeypatch.setattr(lease_module, "BEAT", 0.05)
    monkeypatch.setattr(lease_module, "WATCH", 0.6)
    monkeypatch.setattr(lease_module, "LOOK", 0.05)


def held_elsewhere(storage: Storage, **changed: Any) -> None:
    """Put the lease of a run that gives no heartbeat."""
    storage.write(LEASE, json.dumps(ELSEWHERE | changed).encode())


def jump(monkeypatch: pytest.MonkeyPatch, storage: Storage, seconds: float) -> None:
    """Set the clock of a storage after the last heartbeat."""
    real = type(storage).now
    monkeypatch.setattr(type(storage), "now", lambda self: real(self) + seconds)


def test_it_is_held_and_given_back(storage: Storage) -> None:
    with Lease(storage.path, print) as lease:
        (found,) = look(storage)
        assert (found["machine"], found["pid"]) == (machine_key(), os.getpid())
        assert not found["stale"]
        assert lease.holds()
    assert look(storage) == []
    assert list(storage.names()) == []


def test_of_many_runs_one_holds_it(storage: Storage) -> None:
    start, end = threading.Barrier(5), threading.Event()
    held: list[Lease] = []
    refused: list[str] = []

    def run() -> None:
        start.wait()
        try:
            with Lease(storage.path, print) as lease:
                held.append(lease)
                end.wait()
        except MachineError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(held) + len(refused) == 5)
    end.set()
    for thread in threads:
        thread.join()
    assert len(held) == 1
    who = f"process {os.getpid()} on "
    assert all(f"{storage.path}: another run holds this store ({who}" in text for text in refused)
    assert not held[0].lost


@pytest.mark.parametrize("why", ["dead", "silent", "damaged"])
def test_of_many_who_take_over_one_succeeds(
    storage: Storage, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = {"machine": machine_key(), "pid": dead_process()} if why == "dead" else {}
    held_elsewhere(storage, **dead)
    if why == "damaged":
        storage.write(LEASE, b"")
    if why != "dead":
        jump(monkeypatch, storage, STALE + 10)
    # whoever comes when it has been taken over sees a lease whose heart beats while it is watched
    start, end = threading.Barrier(4), threading.Event()
    texts: list[str] = []
    held: list[Lease] = []
    refused: list[MachineError] = []

    def run() -> None:
        start.wait()
        try:
            with Lease(storage.path, texts.append) as lease:
                held.append(lease)
                end.wait()
        except MachineError as error:
            refused.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(held) + len(refused) == 4)
    # in a folder, a third may create the lease while a second looks at that of the first, which
    # then has lost it and sees so before its next unit
    assert sum(lease.holds() for lease in held) == 1
    end.set()
    for thread in threads:
        thread.join()
    # in a folder, a bystander may create the lease just when it is taken away: nothing to tell then
    taken = [text for text in texts if "taking over from" in text]
    assert len(taken) == sum(lease.taken_over for lease in held)
    reason = "that process is dead" if why == "dead" else "no sign of it for 7"
    assert all(reason in text for text in taken)


@pytest.mark.parametrize("why", ["dead", "silent"])
def test_a_stale_lease_is_taken_over_with_a_message(
    storage: Storage, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = {"machine": machine_key(), "pid": dead_process()} if why == "dead" else {}
    held_elsewhere(storage, **dead)
    if why == "silent":
        jump(monkeypatch, storage, STALE + 10)
    (found,) = look(storage)
    assert found["stale"] is True
    texts: list[str] = []
    with Lease(storage.path, texts.append) as lease:
        assert lease.taken_over
    reason = "that process is dead" if why == "dead" else "no sign of it for 7"
    assert f"taking over from process {found['pid']} on node7" in texts[-1]
    assert reason in texts[-1]
    assert len(texts) == (1 if why == "dead" else 2)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_does_not_rob_a_living_run(
    storage: Storage, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease is as good as stale by the clock, but its heart beats."""
    with Lease(storage.path, print) as living:
        jump(monkeypatch, storage, 3600.0 * hours)
        texts: list[str] = []
        with (
            pytest.raises(MachineError, match="another run holds this store"),
            Lease(storage.path, texts.append),
        ):
            pytest.fail("two runs hold one store")
        assert len(texts) == 1
        assert "watching it for 1 s before it is taken over" in texts[0]
        assert living.holds()
        assert not living.lost


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_does_not_keep_the_lease_of_a_dead_run(
    storage: Storage, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set back by an hour, the clock would call a silent lease young for an hour."""
    held_elsewhere(storage)
    jump(monkeypatch, storage, 3600.0 * hours)
    texts: list[str] = []
    with Lease(storage.path, texts.append) as lease:
        assert lease.taken_over
        assert lease.holds()
    assert "process 4711 on node7" in texts[-1]


def test_the_clock_of_this_machine_does_not_matter(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for who looks, and not for who wants the lease: only the storage's clock does."""
    held_elsewhere(storage)
    real = time.time
    for hours in (1, -1):
        monkeypatch.setattr(time, "time", lambda h=hours: real() + 3600.0 * h)
        (found,) = look(storage)
        assert found == ELSEWHERE | {"shard": "", "stale": False, "why": ""}
        with pytest.raises(MachineError, match="another run holds"):
            Lease(storage.path, print).__enter__()


def test_whoever_may_only_read_can_look(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    held_elsewhere(storage)
    for name in ("now", "write", "create", "delete", "touch"):
        monkeypatch.setattr(type(storage), name, refuse)
    (found,) = look(storage)
    assert found == ELSEWHERE | {"shard": "", "stale": False, "why": ""}
    with pytest.raises(MachineError, match=r"cannot be written \(Permission denied\)"):
        Lease(storage.path, print).__enter__()


def test_a_run_that_was_robbed_notices(storage: Storage) -> None:
    with Lease(storage.path, print) as lease:
        held_elsewhere(storage)
        wait_until(lambda: lease.lost)
        assert not lease.holds()
    assert storage.exists(LEASE)  # it is another's


def test_a_heartbeat_is_given(storage: Storage) -> None:
    with Lease(storage.path, print) as lease:
        before = storage.state(LEASE)
        wait_until(lambda: storage.state(LEASE) != before)
        assert not lease.lost
        assert lease.holds()


def test_a_storage_that_stutters_is_no_loss(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[int] = []

    def stutter(self: Storage, name: str) -> None:
        beats.append(1)
        raise ConnectionError(110, "the server did not answer for 180 s")

    with Lease(storage.path, print) as lease:
        monkeypatch.setattr(type(storage), "touch", stutter)
        wait_until(lambda: len(beats) > 2)
        assert not lease.lost


def wait_until(happens: Any) -> None:
    for _ in range(600):
        if happens():
            return
        time.sleep(0.02)
    pytest.fail("it did not happen in 12 s")
