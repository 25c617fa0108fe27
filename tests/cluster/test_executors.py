"""Executors that reach a running scheduler; those of batch systems are in test_slurm.py."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dask_programs
import fake_scan
import psutil
import pytest
from ledger_check import agrees

from lmltgrid import cluster
from lmltgrid.cluster import Executor
from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.scan import run_scan
from lmltgrid.store import Store

pytestmark = pytest.mark.cluster
PLAIN = fake_scan.evaluator(fake_scan.plain)
SLOW = fake_scan.evaluator(fake_scan.slow)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A site file of a scheduler that speaks TLS, with its scheduler file beside it."""
    folder = tmp_path_factory.mktemp("tls")
    files = dask_programs.certificates(folder)
    lines = ['kind = "scheduler"', 'file = "scheduler.json"', "[tls]"]
    lines += [f'{name} = "{path.name}"' for name, path in files.items()]
    (folder / "site.toml").write_text("\n".join(lines))
    with dask_programs.scheduler(folder, workers=1, tls=files):
        yield folder / "site.toml"


class TestTls:
    def test_a_scan_runs_with_certificates_of_a_site_file(self, site: Path, store: Store) -> None:
        with cluster.choose(str(site)).start() as executor:
            assert executor.name.startswith("tls://127.0.0.1:")
            report = run_scan(store.path, PLAIN, executor)
        assert (report.ending, report.done_now) == ("complete", 12)

    def test_a_client_without_tls_is_refused(
        self, site: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lmltgrid.cluster.scheduler.REACH", 3.0)
        address = cluster.choose(str(site)).start().name.replace("tls://", "tcp://")
        with pytest.raises(MachineError, match=r"no Dask scheduler answers .* both use TLS"):
            cluster.choose(address).start().__enter__()

    def test_a_stranger_with_other_certificates_is_refused(
        self, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lmltgrid.cluster.scheduler.REACH", 3.0)
        dask_programs.certificates(tmp_path)
        (tmp_path / "site.toml").write_text(site.read_text())
        (tmp_path / "scheduler.json").write_bytes((site.parent / "scheduler.json").read_bytes())
        with pytest.raises(MachineError, match="no Dask scheduler answers"):
            cluster.choose(str(tmp_path / "site.toml")).start().__enter__()

    def test_tls_without_certificates_is_refused_in_one_sentence(self) -> None:
        with pytest.raises(SpecificationError, match=r"no certificate is known; name ca, cert"):
            cluster.choose("tls://127.0.0.1:1").start().__enter__()


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmltgrid.cluster.scheduler.REACH", 1.0)
    with pytest.raises(MachineError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers"):
        cluster.running("tcp://127.0.0.1:9").__enter__()


def test_a_scheduler_killed_in_mid_scan_ends_the_run_and_nothing_is_lost(
    store: Store, tmp_path: Path, reference: dict[str, bytes]
) -> None:
    with dask_programs.scheduler(tmp_path) as (file, program):

        def kill() -> None:
            while not store.ledger.marked():
                time.sleep(0.05)
            os.kill(program.pid, signal.SIGKILL)

        with cluster.choose(str(file)).start() as executor:
            dask_programs.wait_for_workers(executor)
            threading.Thread(target=kill, daemon=True).start()
            begun = time.monotonic()
            evaluator = fake_scan.evaluator(fake_scan.slower)
            report = run_scan(store.path, evaluator, executor, until=fake_scan.patience())
    assert time.monotonic() - begun < 40.0
    assert (report.ending, report.exit_code) == ("machine", 6)
    assert "the scheduler is gone; resume" in report.sentence
    assert 0 < report.done_now < store.units()
    agrees(store, report, reference)
    assert run_scan(store.path, PLAIN, cluster.in_process()).ending == "complete"
    assert fake_scan.chunk_bytes(store) == reference


def test_a_scheduler_without_workers_is_waited_for_and_then_given_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmltgrid.cluster.scheduler.PATIENCE", 5.0)
    notes = fake_scan.Notes()
    with (
        dask_programs.scheduler(tmp_path, workers=0) as (file, _),
        cluster.choose(str(file)).start() as executor,
    ):
        report = run_scan(store.path, PLAIN, executor, notes, deadline=3.0)
    assert report.ending == "machine"
    assert "has had no worker for 5 s; start some" in report.sentence
    assert notes.texts[0].endswith("the scheduler has no workers")


def test_servers_of_a_local_cluster_listen_on_loopback_alone(local: Executor) -> None:
    workers = local._client.run(os.getpid).values()  # type: ignore[attr-defined]
    listening = [
        connection.laddr.ip
        for pid in (os.getpid(), *workers)
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 4  # scheduler, its dashboard, two workers
    assert set(listening) == {"127.0.0.1"}
    assert local.dashboard.startswith("http://127.0.0.1:")
