"""The command line: run, resume, verify."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_calls import answer, invoke

from lmltgrid import service
from lmltgrid.cli.summary import reading, summary_tables

SCAN = """
version = 1
models = ["Lmu-Ltau"]
mixing = "amaral2021"
oscillation = "amaral2021"
experiments = ["darwin-nr"]
mass = { values = [15.0] }
coupling = { values = [4e-4, 5e-4] }
threshold = { values = [1.0] }
"""


def outcome(code: int, ending: str) -> service.Outcome:
    report = {"shard": "", "total": 10, "done_before": 2, "done_now": 8, "missing": 0}
    report |= {"seconds": 1.5, "bytes": 10**6}
    sentence = "" if ending == "complete" else "why it ended"
    return service.Outcome(
        Path("x.zarr"), report | {"ending": ending, "sentence": sentence}, code, {}, None
    )


@pytest.mark.parametrize(
    ("code", "ending"), [(0, "complete"), (4, "partial"), (75, "stopped"), (130, "interrupted")]
)
@pytest.mark.parametrize("verb", ["run", "resume"])
def test_a_scan_ends_with_the_code_of_its_outcome(
    monkeypatch: pytest.MonkeyPatch, verb: str, code: int, ending: str
) -> None:
    seen = {}

    def fake(path: Path, **asked: object) -> service.Outcome:
        seen.update(asked, path=path)
        return outcome(code, ending)

    monkeypatch.setattr(service, verb, fake)
    given = ("--cluster", "local", "--workers", "2", "--until", "1h30m", "--log", "log.jsonl")
    result = invoke(verb, "x", *given, "--deadline", "2h")
    assert result.exit_code == code
    assert f"Scan {ending}: 10 of 10 units (2 were there before), 1 MB" in result.stdout
    assert ("why it ended" in result.stderr) == bool(code)
    assert seen["path"] == Path("x")
    assert (seen["cluster"], seen["workers"]) == ("local", 2)
    assert (seen["until"], seen["deadline"]) == (5400.0, 7200.0)
    assert seen["log"] == Path("log.jsonl")
    assert json.loads(invoke(verb, "x", "--json").stdout)["exit_code"] == code


def test_a_scan_that_is_run_looked_at_and_verified(tmp_path: Path) -> None:
    """A real scan of two points, which cannot be drawn."""
    spec, store = tmp_path / "scan.toml", str(tmp_path / "scan.zarr")
    spec.write_text(SCAN)
    result = invoke("run", str(spec), "--store", store, "--quiet")
    assert result.exit_code == 0, result.output
    assert "Limits of darwin-nr: couplings g excluded at 90 %" in result.stdout
    assert "Discovery with darwin-nr: exposure in tonne year" in result.stdout
    line = next(x for x in result.stdout.splitlines() if " BP1 " in x)
    assert float(line.split()[-1]) == pytest.approx(89.26, rel=0.03)  # as in test_cli
    assert "Scan complete: 1 of 1 units" in result.stdout
    assert answer("status", store)["complete"] is True
    assert "complete." in invoke("status", store).stdout
    assert answer("verify", store, "--deep")["ok"] is True


def test_verification_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, object] = {"ok": False, "problems": ["unit 3 is short"], "strays": []}
    found |= {"units": 5, "finished": 4}
    monkeypatch.setattr(service, "verify", lambda *_, **__: found | {"recomputed": 0})
    monkeypatch.setattr(service, "repair", lambda _: 1)
    result = invoke("verify", "x.zarr")
    assert result.exit_code == 5
    assert "damaged: unit 3 is short" in result.stdout
    assert "1 problem(s) found" in result.stderr
    assert json.loads(invoke("verify", "x.zarr", "--json").stdout)["ok"] is False
    repaired = invoke("verify", "x.zarr", "--repair")
    assert repaired.exit_code == 4
    assert "resume x.zarr" in repaired.stderr
    stray = {"problems": ["x.json: a stray file"], "strays": ["x.json"], "recomputed": 0}
    monkeypatch.setattr(service, "verify", lambda *_, **__: found | stray)
    assert "damaged: x.json: a stray file" in invoke("verify", "x.zarr").stdout
    removed = invoke("verify", "x.zarr", "--repair")
    assert removed.exit_code == 0
    assert removed.stderr == "lmltgrid: x.zarr: 1 stray file(s) removed\n"


def test_summary_has_one_table_for_each_experiment_and_question() -> None:
    case = {"model": "Lmu", "metallicity": "GS98", "oscillation": "nufit60", "unit": "keV_nr"}
    limit = case | {"sided": "two", "cl": 0.9, "exposure": 200.0, "threshold": 1.0}
    limit |= {"mass": [1.0, 2.0], "excluded": [[[1e-4, 2e-4], [3e-4, None]], []]}
    line = case | {"benchmark": "BP1", "mass": 15.0, "coupling": 5e-4}
    line |= {"threshold": [1.0, 2.0], "exposure": [89.3, None]}
    names = ("darwin-nr", "lz-nr")
    tables = summary_tables(
        {
            "limits": [limit | {"experiment": name} for name in names],
            "discovery": [line | {"experiment": name} for name in names],
        }
    )
    assert [table.title.split(":")[0] for table in tables] == [
        *(f"Limits of {name}" for name in names),
        *(f"Discovery with {name}" for name in names),
    ]
    assert [row[-1] for row in tables[0].rows] == ["0.0001 < g < 0.0002   or   g > 0.0003", "none"]
    assert tables[2].rows[0][-2:] == ("89.3", "never")
    assert summary_tables({}) == reading({}) == []
