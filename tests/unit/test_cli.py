"""The command line: contracts of its JSON, echoed settings, tables."""

from __future__ import annotations

import inspect
import json
import math
import re
import tomllib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from cli_calls import PAPER, POINT, answer, invoke

from lmltgrid.analysis import discovery, level, limits, points, setup
from lmltgrid.cli import main, options, scans
from lmltgrid.cli.output import plain
from lmltgrid.datafiles import data_folder
from lmltgrid.spec import Atomic, Couplings, Metallicity, RunSpec

SHIPPED = {"scan": "scans", "experiment": "experiments"}
CONVENTIONS = {"model", "mixing", "metallicity", "oscillation", "atomic", "couplings"}


def test_spectrum_contract() -> None:
    found = answer(
        *("spectrum", "--source", "solar", "--target", "Xe", "--channel", "nr", *POINT, *PAPER),
        *("--model", "Lmu-Ltau", "--metallicity", "GS98", "--recoil-energy", "0.1,0.5,1,2"),
    )
    assert set(found) == {"recoil_energy", "rate", "rate_sm", "units", "settings"}
    assert found["recoil_energy"] == [0.1, 0.5, 1.0, 2.0]
    assert found["units"] == "1/(t yr keV)"
    # calculated with one mean nucleus: isotopes move the rates by up to 1.5 %, ratios hardly
    assert found["rate_sm"] == pytest.approx([1660.5, 686.9, 236.6, 18.31], rel=0.02)
    ratios = [a / b for a, b in zip(found["rate"], found["rate_sm"], strict=True)]
    assert ratios == pytest.approx([1.236, 1.163, 1.115, 1.071], rel=0.005)


def test_events_contract_and_the_sign_of_the_signal() -> None:
    common = ("events", "--experiment", "darwin-nr", "--benchmark", "BP1", "--threshold", "1.0")
    found = answer(*common, *PAPER)
    assert set(found) == {"bins", "sm", "signal", "background", "exposure", "settings"}
    assert len(found["bins"]) == len(found["sm"]) == len(found["signal"]) == 1
    assert found["bins"][0][0] < found["bins"][0][1] == 30.0
    assert found["exposure"] == 200.0
    assert found["signal"][0] > 0.0
    # P_mu exceeds P_tau with the measured CP phase, which turns the interference around
    assert answer(*common, "--mixing", "amaral2021")["signal"][0] < 0.0


def test_events_are_proportional_to_the_exposure() -> None:
    common = ("events", *POINT, "--threshold", "1.0", "--exposure")
    one, ten = answer(*common, "1"), answer(*common, "10")
    for name in ("sm", "signal", "background"):
        assert ten[name] == pytest.approx([10.0 * value for value in one[name]], rel=1e-12)


def test_discover_contract_for_one_point() -> None:
    found = answer("discover", *POINT, *PAPER, "--threshold", "0.7,1.0,20")
    assert set(found) == {"threshold", "exposure", "settings"}
    assert found["threshold"] == [0.7, 1.0, 20.0]
    assert found["exposure"][1] == pytest.approx(89.26, rel=0.03)  # with one mean nucleus, as above
    assert found["exposure"][0] < found["exposure"][1]
    assert found["exposure"][2] is None  # beyond every recoil: null, never Infinity
    same = answer("discover", "--benchmark", "BP1", *PAPER, "--threshold", "0.7,1.0,20")
    assert same["exposure"] == found["exposure"]


def test_discover_contract_for_several_lines() -> None:
    found = answer(
        *("discover", "--experiment", "darwin-nr,lz-nr", "--benchmark", "BP1,BP2"),
        *("--threshold", "1,1.5", *PAPER),
    )
    assert set(found) == {"lines", "settings"}
    names = [(line["experiment"], line["benchmark"]) for line in found["lines"]]
    assert names == [(e, b) for e in ("darwin-nr", "lz-nr") for b in ("BP1", "BP2")]
    for line in found["lines"]:
        assert set(line) == {
            *("experiment", "benchmark", "mass", "coupling"),
            *("threshold", "energy_scale", "exposure"),
        }
        assert line["threshold"] == [1.0, 1.5]
        assert line["exposure"][0] < line["exposure"][1]
    assert len(answer("discover", "--benchmark", "all", *PAPER)["lines"]) == 4


def test_limits_contract_has_every_branch_and_open_ends() -> None:
    found = answer("limits", "--model", "Lmu", *PAPER, "--threshold", "0.7", "--mass", "1,10")
    assert set(found) == {"mass", "excluded", "settings"}
    assert found["mass"] == [1.0, 10.0]
    for branches in found["excluded"]:
        (low, high), (again, end) = branches  # a deficit, and an excess above a gap
        assert 0.0 < low < high < again
        assert end is None


def test_limits_of_a_discovery_are_weaker() -> None:
    common = ("limits", "--model", "Lmu-Ltau", *PAPER, "--threshold", "0.7", "--mass", "10")
    excluded = answer(*common)["excluded"][0][0][0]
    found = answer(*common, "--test", "discovery", "--sigmas", "5", "--sided", "one")
    assert found["excluded"][0][0][0] > excluded
    assert found["settings"]["sigmas"] == 5.0
    assert "cl" not in found["settings"]


def test_contour_contract_has_closed_regions_inside_the_plane() -> None:
    found = answer(
        *("contour", "--experiment", "darwin-nr", *PAPER, "--threshold", "0.7"),
        *("--mass", "1:10:3", "--coupling", "1e-5:1e-2"),
    )
    assert set(found) == {"regions", "settings"}
    assert [region["kind"] for region in found["regions"]] == ["excess"]
    outline = found["regions"][0]["points"]
    assert outline[0] == outline[-1]
    masses = sorted({mass for mass, _ in outline})
    assert masses == pytest.approx([1.0, math.sqrt(10.0), 10.0])
    assert all(1e-5 <= g <= 1e-2 for _, g in outline)


def test_oscillation_contract() -> None:
    found = answer(
        *("oscillation", "--source", "8B", "--energy", "1,5,10"),
        *("--oscillation", "nufit60", "--metallicity", "GS98"),
    )
    assert set(found) == {"energy", "p_e", "p_mu", "p_tau", "settings"}
    assert found["energy"] == [1.0, 5.0, 10.0]
    for shares in zip(found["p_e"], found["p_mu"], found["p_tau"], strict=True):
        assert sum(shares) == pytest.approx(1.0, abs=1e-12)
    assert found["p_e"][0] > found["p_e"][2]  # matter takes over with the energy


def test_look_up_contracts() -> None:
    models = answer("models")
    assert {"Lmu-Ltau", "Lmu", "B-L"} <= {model["name"] for model in models["models"]}
    assert models["benchmarks"][0] == {"name": "BP1", "mass": 15.0, "coupling": 5e-4}
    experiments = answer("experiments")["experiments"]
    wanted = {f"{d}-{c}" for d in ("lz", "xenonnt", "darwin") for c in ("nr", "er", "nr-er")}
    assert wanted <= {experiment["name"] for experiment in experiments}
    presets = answer("oscillation", "--list")
    assert {"amaral2021", "nufit40", "nufit60"} <= {p["name"] for p in presets["presets"]}
    assert presets["default"] == "nufit60"


@pytest.mark.parametrize("kind", ["scan", "experiment"])
def test_schema_is_a_json_schema(kind: str) -> None:
    result = invoke("schema", kind)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    # a scan is one form, an experiment one of several, by its source
    names = [form["$ref"].rsplit("/", 1)[-1] for form in found.get("anyOf", ())]
    forms = [found["$defs"][name] for name in names] or [found]
    assert all(form["additionalProperties"] is False for form in forms)
    assert found.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert not re.search(r'"[gl][et]":', result.stdout)  # pydantic's names of bounds
    if kind == "scan":
        # a charge may be a fraction, as text
        forms = [form["type"] for form in found["$defs"]["Charges"]["properties"]["u"]["anyOf"]]
        assert forms == ["number", "string"]


def test_an_editor_accepts_what_is_shipped_and_marks_what_is_out_of_bounds() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schemas = {kind: json.loads(invoke("schema", kind).stdout) for kind in SHIPPED}
    editors = {k: jsonschema.Draft202012Validator(each) for k, each in schemas.items()}
    for kind, folder in SHIPPED.items():
        files = sorted((data_folder() / folder).glob("*.toml"))
        assert files
        for path in files:
            assert editors[kind].is_valid(tomllib.loads(path.read_text())), path.name
    read = tomllib.loads((data_folder() / "scans" / "quickstart.toml").read_text())
    read["mass"] = {"log": {"start": 1.0, "stop": 10.0, "num": 1}}
    (mark,) = editors["scan"].iter_errors(read)
    assert "1 is less than the minimum of 2" in [each.message for each in mark.context]


@pytest.mark.parametrize(
    ("verb", "keys"),
    [
        (("events", *POINT), {"experiment", "mass", "coupling", "threshold", "exposure"}),
        (("spectrum", *POINT), {"source", "target", "channel", "mass", "coupling"}),
        (("discover", *POINT), {"experiment", "mass", "coupling", "sided", "sigmas"}),
        (("limits",), {"experiment", "threshold", "exposure", "test", "sided", "cl"}),
        (
            ("contour", "--mass", "1:2:2"),
            {"experiment", "threshold", "exposure", "test", "sided", "cl", "mass", "coupling"},
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_defaults_are_echoed(verb: tuple[str, ...], keys: set[str]) -> None:
    settings = answer(*verb)["settings"]
    assert keys | CONVENTIONS <= set(settings)
    assert settings["model"] == "Lmu-Ltau"
    assert settings["metallicity"] == "GS98"
    assert settings["oscillation"] == "nufit60"
    assert settings["mixing"] == "loop"
    if "threshold" in keys:
        assert settings["threshold"] == pytest.approx(5.66, rel=0.001)  # P21: 5.665 keV_nr
        assert settings["energy_scale"] == "nuclear_recoil"


def test_oscillation_defaults_are_echoed() -> None:
    found = answer("oscillation")
    assert found["settings"] == {"source": "8B", "oscillation": "nufit60", "metallicity": "GS98"}


def test_what_is_given_is_echoed() -> None:
    given = ("--model", "Lmu", "--mixing", "-0.01", "--metallicity", "AGSS09met")
    more = ("--oscillation", "nufit40,delta_cp=0", "--couplings", "low-energy", "--atomic", "free")
    settings = answer("events", *POINT, *given, *more)["settings"]
    assert settings["model"] == "Lmu"
    assert float(settings["mixing"]) == -0.01
    assert settings["metallicity"] == "AGSS09met"
    assert settings["oscillation"].startswith("nufit40,")
    assert settings["couplings"] == "low-energy"
    assert settings["atomic"] == "free"


def default_of(function: object, name: str) -> object:
    return inspect.signature(function).parameters[name].default  # type: ignore[arg-type]


def test_documented_defaults_are_those_of_the_library() -> None:
    assert {
        "experiment": default_of(limits.limits, "experiment"),
        "model": default_of(setup.conventions, "model"),
        "metallicity": setup.DEFAULT_METALLICITY,
        "oscillation": setup.DEFAULT_OSCILLATION,
        "atomic": setup.DEFAULT_ATOMIC,
        "couplings": setup.DEFAULT_COUPLINGS,
        "source": default_of(points.oscillations, "source"),
        "target": default_of(points.spectrum, "target"),
        "channel": default_of(points.spectrum, "channel"),
        "cl": level.DEFAULT_CL,
        "dof": level.DEFAULT_DOF,
        "sigmas": level.DISCOVERY_SIGMAS,
    } == options.DEFAULTS
    assert default_of(limits.limits, "sided") == "two"
    assert default_of(discovery.discovery, "sided") == "one"
    assert get_args(RunSpec.model_fields["cluster"].annotation) == scans.CLUSTERS


@pytest.mark.parametrize(
    ("option", "known"),
    [
        ("metallicity", get_args(Metallicity)),
        ("atomic", get_args(Atomic)),
        ("couplings", get_args(Couplings)),
        ("test", level.TESTS),
        ("sided", sorted(level.SIDES)),
    ],
)
def test_the_help_names_what_is_allowed(option: str, known: tuple[str, ...]) -> None:
    words = next(p for p in main.commands["limits"].params if p.name == option).metavar
    assert words == f"[{'|'.join(known)}]"


@pytest.mark.parametrize(
    "args",
    [
        ("events", *POINT),
        ("spectrum", *POINT),
        ("oscillation",),
        ("oscillation", "--list"),
        ("limits",),
        ("contour", "--mass", "1:2:2"),
        ("discover", *POINT),
        ("models",),
        ("experiments",),
    ],
    ids=lambda args: "-".join(args[:1]),
)
def test_tables_are_plain_where_there_is_no_terminal(args: tuple[str, ...]) -> None:
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    assert result.stdout.isascii()  # no escape sequence, no box, no ellipsis
    assert "\x1b" not in result.stdout
    assert "..." not in result.stdout
    assert all(line == line.rstrip() for line in result.stdout.splitlines())


def test_tables_say_units_and_settings() -> None:
    lines = invoke("discover", *POINT, "--threshold", "1,20").stdout.splitlines()
    assert "[tonne year]" in lines[1]
    assert "keV_nr" in lines[2]
    assert lines[3].endswith("never")
    assert lines[-1].startswith("settings: ")
    assert "oscillation=nufit60" in lines[-1]


def test_long_tables_are_not_cut() -> None:
    result = invoke("limits", "--mass", "1:300:120", "--threshold", "3")
    assert len([line for line in result.stdout.splitlines() if "g > " in line]) == 120


def test_limits_table_shows_intervals() -> None:
    text = invoke("limits", "--model", "Lmu", *PAPER, "--threshold", "0.7", "--mass", "1").stdout
    assert text.count(" < g < ") == 1
    assert text.count("g > ") == 1


def test_plain_values_for_json() -> None:
    given = {"a": np.array([1.0, np.nan]), "b": np.float64(np.inf), "c": (Path("x"), 2), 3: True}
    assert plain(given) == {"a": [1.0, None], "b": None, "c": ["x", 2], "3": True}
