"""The command line: calibrated limits of a scan with pseudo-experiments, and their figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from cli_calls import answer, invoke, refused
from toy_data import G0, drawn

from lmltgrid import service
from lmltgrid.analysis.toys import DEFAULT_LEVEL
from lmltgrid.cli import toys
from lmltgrid.views import plots

AXES = ("model", "metallicity", "oscillation", "threshold", "exposure")


def tree(*, with_toys: bool = True) -> xr.DataTree:
    own = drawn(2.0)
    own.attrs |= {"statistic": "counting", "identity": "f00d"}
    groups = {"grid/darwin-nr": own[["statistic"]].expand_dims(AXES)}
    if with_toys:
        groups["toys/darwin-nr"] = own.expand_dims(AXES)
    return xr.DataTree.from_dict(groups)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "open_store", lambda _: tree())


def test_the_documented_level_is_that_of_the_library() -> None:
    assert float(toys.LEVEL) == DEFAULT_LEVEL


def test_limits_for_scripts() -> None:
    found = answer("toys", "x.zarr")
    assert found["mass"] == [1.0, 10.0, 100.0]
    low = [intervals[0][0] for intervals in found["calibrated"]]
    np.testing.assert_allclose(low, G0 * 2.0**0.25, rtol=1e-9)
    assert all(intervals[0][1] is None for intervals in found["calibrated"])
    np.testing.assert_allclose([one[0][0] for one in found["asymptotic"]], G0, rtol=1e-9)
    np.testing.assert_allclose(found["ratio"], 2.0**0.25)
    np.testing.assert_allclose(found["low_critical"], 2.0 * 2.7055, rtol=1e-4)
    assert found["settings"]["toys"] == 1000
    assert found["settings"]["model"] == "Lmu-Ltau"
    assert found["settings"]["level"] == 0.9
    lower = answer("toys", "x.zarr", "--level", "0.68")
    assert lower["settings"]["asymptotic_value"] == pytest.approx(0.989, abs=1e-3)


def test_limits_for_people() -> None:
    result = invoke("toys", "x.zarr", "--threshold", "1.1")
    assert result.exit_code == 0, result.output
    assert "--threshold 1.1: the grid has 1 nearest" in result.stderr
    assert "Couplings g that darwin-nr excludes at 90 %, 1000 pseudo-experiments" in result.stdout
    assert "critical value (2.706 asymptotically)" in result.stdout
    row = next(line for line in result.stdout.splitlines() if line.strip().startswith("100 "))
    assert row.split()[1:7] == ["g", ">", "0.00031", "g", ">", "0.00036865"]


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "have 0.68, 0.9; choose one" in refused(3, "toys", "x.zarr", "--level", "0.8")
    assert "unknown experiment 'ess'" in refused(3, "toys", "x.zarr", "--experiment", "ess")
    assert "did you mean 'Lmu-Ltau'" in refused(3, "toys", "x.zarr", "--model", "Lmu-Lta")
    monkeypatch.setattr(service, "open_store", lambda _: tree(with_toys=False))
    assert "x.zarr: the scan has no pseudo-experiments; run one with a table [toys]" in refused(
        3, "toys", "x.zarr"
    )


def test_the_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(plots, "toy_regions", lambda found: seen.update(found=found))
    monkeypatch.setattr(plots, "save", lambda _, path: seen.update(path=path))
    path = tmp_path / "toys.png"
    found = answer("plot", "toys", "x.zarr", "--output", str(path))
    assert found["figure"] == str(path)
    assert found["settings"]["level"] == 0.9
    assert seen["path"] == path
    assert set(seen["found"].data_vars) >= {"low", "asymptotic_low"}
