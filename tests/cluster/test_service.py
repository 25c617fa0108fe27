"""Scans from a file to a store and back, in-process and on a real LocalCluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
from click.testing import CliRunner
from small_scan import SPEC, chunk_bytes

import lmltgrid
from lmltgrid import grid, layouts, service
from lmltgrid import store as stores
from lmltgrid.cli import main
from lmltgrid.errors import MachineError, SpecificationError, StoppedError, VerificationError


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "scan.toml"
    path.write_text(SPEC)
    return path


def test_a_store_holds_the_virtual_grid(spec, tmp_path):
    outcome = service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    assert outcome.exit_code == 0
    assert outcome.report["missing"] == 0
    lazy = lmltgrid.virtual(spec)
    with service.open_store(outcome.store) as tree:
        for name, virtual in lazy.items():
            stored = tree[f"grid/{name}"].to_dataset()
            for variable in virtual:
                np.testing.assert_array_equal(stored[variable].values, virtual[variable].values)
            assert stored["mass"].attrs["units"] == "MeV"
            assert stored["counts"].dims == virtual["counts"].dims
        assert set(json.loads(tree.attrs["data_files"])) >= {
            "experiments/darwin-nr.toml",
            "solar/fluxes.toml",
        }


def test_the_summary_has_limits_and_the_five_sigma_exposure(spec, tmp_path):
    outcome = service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    cases = {
        (case["experiment"], case["model"], case["metallicity"], case["benchmark"]): case
        for case in outcome.summary["discovery"]
    }
    case = cases["darwin-nr", "Lmu-Ltau", "GS98", "BP1"]
    # P21 finds about 100 tonne year; 89.26 with one mean nucleus, here natural isotopes
    assert case["exposure"][0] == pytest.approx(89.26, rel=0.03)
    # the scan is two-sided, so that the deficit of L_mu is discovered as well
    deficit = cases["darwin-nr", "Lmu", "GS98", "BP1"]
    assert deficit["sided"] == "two"
    assert 89.26 < deficit["exposure"][0] < deficit["exposure"][1]
    assert len(outcome.summary["limits"]) == 8
    assert outcome.figure is not None
    assert outcome.figure.stat().st_size > 10_000
    assert service.summarize(outcome.store) == outcome.summary


@pytest.mark.cluster
def test_a_local_cluster_writes_the_same_bytes(spec, tmp_path):
    alone = service.run(spec, store=tmp_path / "alone.zarr", quiet=True)
    many = service.run(spec, store=tmp_path / "many.zarr", cluster="local", workers=2, quiet=True)
    assert many.exit_code == 0
    assert chunk_bytes(alone.store) == chunk_bytes(many.store)


def test_a_stopped_scan_is_resumed_without_its_specification(spec, tmp_path):
    whole = service.run(spec, store=tmp_path / "whole.zarr", quiet=True)
    stopped = service.run(spec, store=tmp_path / "part.zarr", until=0.0, quiet=True)
    assert stopped.exit_code == 75
    assert stopped.report["missing"] > 0
    assert stopped.summary == {}
    assert service.status(stopped.store)["complete"] is False
    spec.unlink()
    resumed = service.resume(stopped.store, quiet=True)
    assert resumed.exit_code == 0
    assert resumed.report["done_before"] + resumed.report["done_now"] == resumed.report["total"]
    assert chunk_bytes(whole.store) == chunk_bytes(resumed.store)


def test_running_again_goes_on_and_another_scan_is_refused(spec, tmp_path):
    first = service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    again = service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    assert again.report["done_now"] == 0
    assert again.report["done_before"] == first.report["total"]
    spec.write_text(SPEC.replace('oscillation = "amaral2021"', 'oscillation = "nufit60"'))
    with pytest.raises(SpecificationError, match=r"a\.zarr"):
        service.run(spec, store=tmp_path / "a.zarr", quiet=True)


def test_verify_finds_a_flipped_bit_and_repair_mends_it(spec, tmp_path):
    outcome = service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    before = chunk_bytes(outcome.store)
    name = sorted(before)[3]
    content = bytearray(before[name])
    content[len(content) // 2] ^= 1
    (outcome.store / name).write_bytes(bytes(content))
    assert service.verify(outcome.store)["ok"]  # the size is right
    found = service.verify(outcome.store, deep=True)
    assert not found["ok"]
    assert len(found["problems"]) == 1
    assert service.repair(outcome.store) == 1
    service.resume(outcome.store, quiet=True)
    assert chunk_bytes(outcome.store) == before
    assert service.verify(outcome.store, deep=True)["ok"]


def test_a_flipped_bit_in_what_is_drawn_is_told_in_one_sentence(spec, tmp_path):
    """Its size is right, so only reading it finds the damage."""
    outcome = service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    for path in (outcome.store / "grid/darwin-nr/significance/c").rglob("*"):
        if path.is_file():
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(bytes(content))
    words = f"{outcome.store}: the store cannot be read (.*'lmltgrid verify {outcome.store} --deep'"
    with pytest.raises(VerificationError, match=words.replace("(", r"\(")):
        service.resume(outcome.store, quiet=True)
    figure = str(tmp_path / "plane.png")
    call = ["plot", "plane", "--store", str(outcome.store), "--experiment", "darwin-nr"]
    drawn = CliRunner().invoke(main, [*call, "--output", figure])
    assert drawn.exit_code == 5, drawn.output
    assert drawn.stderr.count("\n") == 1
    assert f"lmltgrid: {outcome.store}: the store cannot be read" in drawn.stderr


def test_the_slower_of_two_runs_is_told_so(spec, tmp_path, monkeypatch):
    compute = grid.compute_moments

    def beaten(plan):
        moments = compute(plan)
        stores.create_store(tmp_path / "a.zarr", layouts.layout(plan), moments)
        return moments

    monkeypatch.setattr(grid, "compute_moments", beaten)
    with pytest.raises(
        MachineError, match=r"a\.zarr: another run has created this store"
    ) as caught:
        service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    assert "wait for that run" in str(caught.value)


def test_a_term_signal_before_there_is_a_store_ends_as_a_stop(spec, tmp_path, monkeypatch):
    def stopped(plan):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5.0)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(grid, "compute_moments", stopped)
    with pytest.raises(StoppedError, match="nothing is stored yet: run it again") as caught:
        service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    assert caught.value.exit_code == 75
    assert list(tmp_path.iterdir()) == [spec]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_term_signal_after_the_run_says_that_all_is_saved(spec, tmp_path, monkeypatch):
    def stopped(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5.0)

    monkeypatch.setattr("lmltgrid.summary.summarize", stopped)
    with pytest.raises(StoppedError, match="all that was computed is saved; resume"):
        service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    assert service.status(tmp_path / "a.zarr")["complete"]


def test_a_far_end_is_none(spec, tmp_path):
    assert service.run(spec, store=tmp_path / "a.zarr", until=1e12, quiet=True).exit_code == 0


def test_a_machine_without_room_is_refused_before_anything_is_written(spec, tmp_path, monkeypatch):
    monkeypatch.setattr("lmltgrid.store.free_bytes", lambda _: 1000)
    with pytest.raises(MachineError, match="1000 are free") as caught:
        service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    assert caught.value.exit_code == 6
    assert not (tmp_path / "a.zarr").exists()


def test_a_user_experiment_is_scanned_and_resumed_without_its_folder(tmp_path, spec):
    from lmltgrid.datafiles import data_folder

    own = tmp_path / "own"
    own.mkdir()
    shipped = data_folder() / "experiments"
    (own / "my-xenon.toml").write_bytes((shipped / "darwin-nr.toml").read_bytes())
    curve = "xenonnt-nr-efficiency.csv"
    (own / curve).write_bytes((shipped / curve).read_bytes())
    spec.write_text(SPEC.replace('"darwin-nr", "darwin-er"', '"my-xenon"'))
    stopped = service.run(spec, store=tmp_path / "a.zarr", experiments=own, until=0.0, quiet=True)
    assert stopped.exit_code == 75
    for path in own.iterdir():
        path.unlink()
    assert service.resume(tmp_path / "a.zarr", quiet=True).exit_code == 0


def test_a_store_with_damaged_moments_is_refused_and_nothing_is_computed(spec, tmp_path):
    stopped = service.run(spec, store=tmp_path / "a.zarr", until=0.0, quiet=True)
    shutil.rmtree(stopped.store / "moments" / "darwin-nr" / "nr" / "c")
    before = service.status(stopped.store)["done"]
    with pytest.raises(VerificationError, match="nothing can be computed from it") as caught:
        service.resume(stopped.store, quiet=True)
    assert caught.value.exit_code == 5
    assert service.status(stopped.store)["done"] == before


def test_resume_refuses_another_version_of_the_physics(spec, tmp_path, monkeypatch):
    stopped = service.run(spec, store=tmp_path / "a.zarr", until=0.0, quiet=True)
    monkeypatch.setattr("lmltgrid.basis.PHYSICS_VERSION", 999)
    with pytest.raises(SpecificationError, match="have changed since"):
        service.resume(stopped.store, quiet=True)


def test_a_worker_of_another_version_refuses_to_compute(spec, tmp_path, monkeypatch):
    stopped = service.run(spec, store=tmp_path / "a.zarr", until=0.0, quiet=True)
    monkeypatch.setattr("lmltgrid.basis.PHYSICS_VERSION", 999)
    with pytest.raises(SpecificationError, match="give all workers the version that began it"):
        service.load_states(stores.open_store(stopped.store))


def test_an_empty_folder_may_wait_for_the_store(spec, tmp_path):
    (tmp_path / "a.zarr").mkdir()
    assert service.run(spec, store=tmp_path / "a.zarr", quiet=True).exit_code == 0


def test_a_truncated_chunk_is_computed_again_on_resume(spec, tmp_path):
    outcome = service.run(spec, store=tmp_path / "a.zarr", quiet=True)
    before = chunk_bytes(outcome.store)
    name = next(name for name in before if "/counts/c/" in name)
    (outcome.store / name).write_bytes(before[name][:50])
    resumed = service.resume(outcome.store, quiet=True)
    assert resumed.report["done_now"] == 1
    assert chunk_bytes(outcome.store) == before
