"""The part of `doctor` that reaches for a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from lmltgrid import reach
from lmltgrid.cli import main
from lmltgrid.cluster import Executor
from lmltgrid.doctor import Check


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.mark.cluster
def test_workers_that_are_as_they_should_be(running: Executor, tmp_path: Path) -> None:
    """The executor's name is the address of its scheduler."""
    found = by_name(reach.reach(running.name, str(tmp_path)))
    assert {check.state for check in found.values()} == {"ok"}
    assert found["workers"].found == "2 on 1 host(s)"
    assert found["shared folder"].found == f"{tmp_path}: seen by all workers"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cluster
def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmltgrid.cluster.scheduler.REACH", 1.0)
    result = CliRunner().invoke(main, ["doctor", ".", "--cluster", "tcp://127.0.0.1:9"])
    assert result.exit_code == 6
    assert "no Dask scheduler answers" in " ".join(result.stdout.split())
    assert result.stderr == "lmltgrid: doctor: 1 check(s) failed: cluster\n"


def test_workers_of_another_kind_are_told() -> None:
    own = reach.answer(__file__)
    assert own["sees"]
    other = own | {
        "host": "node7",
        "physics": 999,
        "sees": False,
        "versions": own["versions"] | {"numpy": "1.0"},
    }
    found = by_name(list(reach._compared([own, other], "/shared")))
    assert found["workers"].found == "2 on 2 host(s)"
    assert found["physics"].state == "failed"
    assert "999" in found["physics"].found
    assert found["versions"].found == f"numpy 1.0 (here {own['versions']['numpy']})"
    assert found["shared folder"].found == "/shared: not seen by node7"


class _Dumb:
    """An executor whose worker has no lmltgrid."""

    def ask_all(self, *_: object, **__: object) -> dict[str, str]:
        return {"tcp://a": "ModuleNotFoundError: No module named 'lmltgrid'"}


def test_workers_without_lmltgrid_are_told(tmp_path: Path) -> None:
    (check,) = reach._workers(_Dumb(), str(tmp_path))  # type: ignore[arg-type]
    assert (check.name, check.state) == ("workers", "failed")
    assert "1 cannot run it: ModuleNotFoundError" in check.found
    assert "install this lmltgrid" in check.advice


def test_what_a_batch_system_needs_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "site.toml"
    file.write_text('kind = "slurm"\ninterface = "ib7"')
    monkeypatch.setenv("PATH", str(tmp_path))
    found = by_name(reach.reach(str(file), str(tmp_path)))
    assert found["batch system"].found == "sbatch, scancel, squeue: not found"
    assert found["job script"].state == "ok"
    assert (found["interface"].state, found["interface"].found) == ("failed", "ib7: not here")
    assert "lo" in found["interface"].advice
    for name in reach.COMMANDS["slurm"]:
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o700)
    file.write_text('kind = "slurm"\ninterface = "lo"')
    assert {check.state for check in reach.reach(str(file), str(tmp_path))} == {"ok"}


def test_a_bad_site_file_is_told(tmp_path: Path) -> None:
    (check,) = reach.reach(str(tmp_path / "none.toml"), str(tmp_path))
    assert (check.name, check.state) == ("cluster", "failed")
    assert "none.toml: the site file cannot be read" in check.found


def test_this_process_needs_no_reach(tmp_path: Path) -> None:
    (check,) = reach.reach("in-process", str(tmp_path))
    assert check.state == "ok"
