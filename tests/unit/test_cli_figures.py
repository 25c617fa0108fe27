"""The command line: what `plot` draws, from a store and on the fly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from cli_calls import PAPER, POINT, answer, invoke, refused

import lmltgrid
from lmltgrid import service
from lmltgrid.views import plots

SCAN = """
version = 1
models = ["Lmu-Ltau", "Lmu"]
mixing = "amaral2021"
oscillation = "amaral2021"
experiments = ["darwin-nr"]
metallicity = ["GS98", "AGSS09met"]
mass = { log = { start = 1, stop = 100, num = 5 } }
coupling = { log = { start = 1e-5, stop = 1e-2, num = 5 } }
threshold = { values = [0.7, 1.0, 2.0] }
exposure = { values = [10, 100, 1000] }
"""
FIGURES = ("plane", "spectra", "discovery_lines", "limits_lines")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is handed to the figures, by name; nothing is drawn."""
    seen: dict[str, Any] = {}
    for name in FIGURES:
        monkeypatch.setattr(plots, name, lambda data, _name=name, **_: seen.update({_name: data}))
    monkeypatch.setattr(plots, "save", lambda _, path: seen.update(path=path))
    return seen


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    """The virtual grid of a small scan, of the form of a store."""
    path = tmp_path_factory.mktemp("scan") / "scan.toml"
    path.write_text(SCAN)
    grids = lmltgrid.virtual(path)
    return xr.DataTree.from_dict({f"grid/{name}": grid for name, grid in grids.items()})


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tree: xr.DataTree) -> None:
    monkeypatch.setattr(service, "open_store", lambda _: tree)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers without numbers, to see what is asked for."""

    def blank(name: str, **asked: Any) -> xr.Dataset:
        axes = {key: asked.pop(key) for key in list(asked) if isinstance(asked[key], list)}
        return xr.Dataset(coords=axes, attrs={"experiment": name} | asked)

    monkeypatch.setattr("lmltgrid.analysis.discovery.discovery", blank)
    monkeypatch.setattr("lmltgrid.analysis.limits.limits", blank)


@pytest.mark.usefixtures("store")
def test_plane_of_a_store_takes_documented_defaults(drawn: dict[str, Any]) -> None:
    used = answer("plot", "plane", "--store", "x.zarr")["settings"]
    assert (used["model"], used["metallicity"], used["threshold"]) == ("Lmu-Ltau", "GS98", 0.7)
    assert used["exposure"] == 100.0  # nearest in ratio to DARWIN's 200
    assert used["oscillation"] == "amaral2021"
    assert used["mixing"] == "amaral2021"
    assert dict(drawn["plane"].sizes) == {"mass": 5, "coupling": 5}
    assert drawn["plane"]["significance"].chunks is None
    assert drawn["path"] == Path("plane.png")


@pytest.mark.usefixtures("store")
def test_plane_of_a_store_at_a_point(drawn: dict[str, Any], tmp_path: Path) -> None:
    path = str(tmp_path / "figure.html")
    result = invoke(
        *("plot", "plane", "--store", "x.zarr", "--model", "Lmu", "--metallicity", "AGSS09met"),
        *("--threshold", "1.8", "--exposure", "10", "--output", path),
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == "lmltgrid: --threshold 1.8: the grid has 2 nearest\n"
    assert result.stdout.startswith(f"Figure: {path}\n")
    assert "model=Lmu," in result.stdout
    point = {name: drawn["plane"][name].item() for name in ("threshold", "exposure", "model")}
    assert point == {"threshold": 2.0, "exposure": 10.0, "model": "Lmu"}


@pytest.mark.usefixtures("store", "drawn")
@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--model", "Lm"), 3, "--model: unknown model 'Lm'; did you mean 'Lmu'?"),
        (("--metallicity", "GS9"), 3, "did you mean 'GS98'?"),
        (("--experiment", "lz-nr"), 3, "--experiment: unknown experiment 'lz-nr'"),
        (("--mixing", "loop"), 2, "--mixing is decided by the store"),
        (("--mass", "1:10:5"), 2, "--mass is decided by the store"),
        (("--output", "x.pdf"), 2, "--output: 'x.pdf' is given; end it in .html or .png"),
        (("--output", "nowhere/x.png"), 2, "--output: there is no folder 'nowhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_plane_refuses(args: tuple[str, ...], code: int, words: str) -> None:
    assert words in refused(code, "plot", "plane", "--store", "x.zarr", *args)


def test_plane_on_the_fly_is_that_of_the_store(drawn: dict[str, Any], store: None) -> None:
    invoke("plot", "plane", "--store", "x.zarr", "--threshold", "1", "--exposure", "100")
    stored = drawn["plane"]["significance"].values
    same = ("--threshold", "1", "--exposure", "100", "--mass", "1:100:5")
    used = answer("plot", "plane", *same, "--coupling", "1e-5:1e-2:5", *PAPER)["settings"]
    assert used["test"] == "discovery"
    assert drawn["plane"]["significance"].values == pytest.approx(stored, rel=1e-5)


@pytest.mark.parametrize("mixing", [(), ("--mixing", "0.25")])
def test_plane_of_charges_is_that_of_the_model(
    drawn: dict[str, Any], mixing: tuple[str, ...]
) -> None:
    same = ("plot", "plane", "--mass", "1:100:3", "--coupling", "1e-5:1e-2:3", *mixing)
    used = answer(*same, "--model", "mu=1, tau=-1")["settings"]
    assert used["model"] == "mu=1,tau=-1"
    own = drawn["plane"]["significance"].values
    named = answer(*same, "--model", "Lmu-Ltau")["settings"]
    assert used["mixing"] == named["mixing"]
    assert own.tolist() == drawn["plane"]["significance"].values.tolist()


def test_spectra_of_points_and_models(drawn: dict[str, Any]) -> None:
    more = ("--model", "Lmu-Ltau,Lmu", "--recoil-energy", "0.1,1")
    used = answer("plot", "spectrum", "--benchmark", "BP1,BP4", *more, *PAPER)["settings"]
    assert used["model"] == ["Lmu-Ltau", "Lmu"]
    assert used["point"] == [[15.0, 5e-4], [100.0, 1e-3]]
    assert used["channel"] == "nr"
    assert len(drawn["spectra"]) == 4
    assert drawn["path"] == Path("spectrum.png")


@pytest.mark.usefixtures("quick")
def test_discovery_lines_of_every_benchmark(drawn: dict[str, Any]) -> None:
    same = ("plot", "discovery", "--experiment", "darwin-nr,darwin-er")
    used = answer(*same, "--sided", "two")["settings"]
    assert used["experiment"] == ["darwin-nr", "darwin-er"]
    assert used["point"][0] == [15.0, 5e-4]
    assert used["sided"] == "two"
    lines = drawn["discovery_lines"]
    assert len(lines) == 2 * len(used["point"]) == 8
    for line, lowest in ((lines[0], 0.7), (lines[-1], 0.106)):  # of the detector models
        thresholds = line["threshold"].values
        assert (thresholds[0], thresholds[-1], thresholds.size) == (lowest, 10.0, 40)
    assert answer(*same, *POINT, "--threshold", "1,2")["settings"]["point"] == [15.0, 5e-4]
    assert [one["threshold"].values.tolist() for one in drawn["discovery_lines"]] == [[1, 2]] * 2


@pytest.mark.usefixtures("quick")
def test_limits_of_experiments_and_models(drawn: dict[str, Any]) -> None:
    several = ("--experiment", "darwin-nr,lz-nr", "--model", "Lmu-Ltau,Lmu", "--mass", "1,10")
    used = answer("plot", "limits", *several, "--threshold", "1", "--cl", "0.95")["settings"]
    assert used["experiment"] == ["darwin-nr", "lz-nr"]
    assert used["model"] == ["Lmu-Ltau", "Lmu"]
    assert used["cl"] == 0.95
    assert len(drawn["limits_lines"]) == 4


def test_a_figure_is_written(tmp_path: Path) -> None:
    path = tmp_path / "limits.png"
    more = ("--mass", "1,10,100", "--threshold", "1", "--output", str(path), "--json")
    result = invoke("plot", "limits", *more)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["figure"] == str(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_misspelt_figures_are_answered_with_the_closest() -> None:
    assert "did you mean 'spectrum'?" in refused(2, "plot", "spectra")
