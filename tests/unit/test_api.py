"""The public names of the package, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lmltgrid
from lmltgrid.errors import SpecificationError

PUBLIC = {
    *("oscillations", "delta_a_mu", "muon_band"),
    *("load_spec", "run", "resume", "open", "virtual", "forecast"),
    *("events", "spectrum", "moments", "limits", "contours", "discovery", "envelope"),
    "reconstruct",
    *("feldman_cousins", "calibrated_limits"),
}

SCAN = """
version = 1
models = ["Lmu-Ltau"]
experiments = ["darwin-nr"]
mass = { log = { start = 1, stop = 100, num = 3 } }
coupling = { values = [1e-4, 1e-3] }
threshold = { values = [1.0] }
"""


def test_public_names() -> None:
    assert set(lmltgrid.__all__) == PUBLIC
    assert lmltgrid.__all__ == sorted(lmltgrid.__all__)
    assert set(dir(lmltgrid)) >= PUBLIC
    for name in PUBLIC:
        found = getattr(lmltgrid, name)
        assert found.__doc__, name
        assert callable(found), name


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'limit'"):
        _ = lmltgrid.limit
    assert not hasattr(lmltgrid, "spectra")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, lmltgrid\n"
        "heavy = {'numpy', 'xarray', 'numba', 'scipy', 'pydantic', 'dask', 'zarr', 'click'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_answers_are_labeled() -> None:
    found = lmltgrid.limits("darwin-nr", mass=[10.0], threshold=1.0)
    assert found["mass"].attrs["units"] == "MeV"
    assert found.attrs["model"] == "Lmu-Ltau"
    assert found.attrs["oscillation"] == "nufit60"


def test_muon_g_minus_2_and_oscillations_are_public() -> None:
    one = lmltgrid.delta_a_mu([15.0, 100.0], 5e-4)
    assert one.shape == (2,)
    low, middle, high = lmltgrid.muon_band([15.0])
    assert lmltgrid.delta_a_mu([15.0], middle) == pytest.approx([251e-11])  # P21's difference
    assert low[0] < middle[0] < high[0]
    found = lmltgrid.oscillations("8B", energy=[10.0])
    assert (found["p_e"] + found["p_mu"] + found["p_tau"]).item() == pytest.approx(1.0)
    with pytest.raises(SpecificationError, match="mass: -1 is given"):
        lmltgrid.delta_a_mu([-1.0], 5e-4)
    with pytest.raises(SpecificationError, match="unknown measurement 'P19'"):
        lmltgrid.muon_band([15.0], measurement="P19")


def test_moments_serve_every_model() -> None:
    found = lmltgrid.moments("darwin-nr", mass=[10.0], threshold=1.0)
    assert found["nr"].attrs["units"] == "1/(tonne year)"
    assert found.sizes["nr_basis"] == 31


def test_virtual_grid_of_a_file_and_of_its_specification(tmp_path: Path) -> None:
    path = tmp_path / "scan.toml"
    path.write_text(SCAN)
    spec = lmltgrid.load_spec(path)
    grids = lmltgrid.virtual(spec)
    assert set(grids) == {"darwin-nr"}
    significance = grids["darwin-nr"]["significance"]
    assert significance.sizes["mass"] == 3
    assert significance.chunks is not None
    values = significance.squeeze().values
    assert np.all(np.isfinite(values))
    again = lmltgrid.virtual(str(path))["darwin-nr"]["significance"]
    np.testing.assert_array_equal(again.squeeze().values, values)


def test_virtual_grid_names_the_file_in_its_refusals(tmp_path: Path) -> None:
    path = tmp_path / "scan.toml"
    path.write_text(SCAN.replace("Lmu-Ltau", "Lmu-Lta"))
    with pytest.raises(SpecificationError, match=r"scan\.toml: models: .* did you mean 'Lmu-Ltau'"):
        lmltgrid.virtual(path)
