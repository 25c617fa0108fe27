"""What a user may write, and the sentence that answers what is not allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from lmltgrid import datafiles
from lmltgrid.errors import SpecificationError
from lmltgrid.spec import MAX_SPEC_BYTES, Axis, ModelSpec, ScanSpec, read_spec, validate
from lmltgrid.tables.experiments import catalog

LOG = {"start": 1.0, "stop": 300.0, "num": 7}
BASE: dict[str, Any] = {
    "models": ["Lmu"],
    "experiments": ["darwin-nr"],
    "mass": {"log": LOG},
    "coupling": {"values": [1e-5, 1e-4]},
}
WHERE = "scan.toml"


def scan(**changes: Any) -> ScanSpec:
    return validate(ScanSpec, BASE | changes, WHERE)


def refusal(**changes: Any) -> str:
    with pytest.raises(SpecificationError) as caught:
        scan(**changes)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 3
    return message


def test_defaults_are_those_of_the_documentation() -> None:
    spec = scan()
    assert spec.metallicity == ("GS98",)
    assert (spec.oscillation, spec.atomic, spec.couplings) == (("nufit60",), "step+rrpa", "msbar")
    assert (spec.mixing, spec.exposure, spec.threshold) == (None, None, None)
    assert (spec.statistic.test, spec.statistic.sided) == ("discovery", "one")
    assert spec.version == 1


def test_axes_hold_their_points() -> None:
    np.testing.assert_allclose(scan().mass.points(), np.geomspace(1, 300, 7), rtol=1e-15)
    assert scan().mass.points()[[0, -1]].tolist() == [1.0, 300.0]
    linear = Axis(linear={"start": 1, "stop": 3, "num": 5})  # type: ignore[arg-type]
    assert linear.points().tolist() == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert scan().coupling.points().tolist() == [1e-5, 1e-4]
    assert scan(mass={"values": [3]}).mass.points().dtype == np.float64


def test_specifications_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        scan().version = 1


def test_how_a_scan_runs_is_not_its_identity() -> None:
    same = scan(run={"workers": 3, "store": "x.zarr"}, title="my scan")
    assert same.identity() == scan().identity()
    changes: list[dict[str, Any]] = [
        {"mass": {"log": LOG | {"num": 8}}},
        {"oscillation": "nufit40"},
        {"mixing": 0.1},
        {"metallicity": ["AGSS09met"]},
        {"atomic": "step"},
        {"couplings": "low-energy"},
        {"statistic": {"test": "exclusion"}},
        {"exposure": {"values": [1.0]}},
    ]
    for change in changes:
        assert scan(**change).identity() != scan().identity()


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ({}, "mass: exactly one of log, linear, values is needed, given: none"),
        (
            {"log": LOG, "values": [1.0]},
            "mass: exactly one of log, linear, values is needed, given: log, values",
        ),
        ({"values": []}, "mass: the axis is empty; give at least one value"),
        ({"values": [2.0, 1.0]}, "mass: values must ascend, but 2 is followed by 1; sort them"),
        ({"values": [1.0, 1.0]}, "mass: values must ascend, but 1 is followed by 1; sort them"),
        (
            {"values": [1.0, float("nan")]},
            "mass.values.1: given nan; a finite number is needed; correct it",
        ),
        (
            {"values": [1.0, float("inf")]},
            "mass.values.1: given inf; a finite number is needed; correct it",
        ),
        ({"values": [-1.0]}, "mass.values.0: given -1.0; a number above 0 is needed; correct"),
        ({"values": [0.0]}, "mass.values.0: given 0.0; a number above 0 is needed; correct it"),
        (
            {"values": ["a"]},
            "mass.values.0: given 'a', which is text; a number is needed, without quotes",
        ),
        ({"values": 3.0}, "mass.values: given 3.0; a list in brackets is needed; write it so"),
        (
            {"log": LOG | {"start": 400.0}},
            "mass.log: start 400 must lie below stop 300; swap them",
        ),
        ({"log": LOG | {"stop": 1.0}}, "mass.log: start 1 must lie below stop 1; swap them"),
        ({"log": LOG | {"num": 1}}, "mass.log.num: given 1; a number of at least 2 is needed"),
        (
            {"log": LOG | {"num": 100_001}},
            "mass.log.num: given 100001; a number of at most 100000 is needed; correct it",
        ),
        ({"log": LOG | {"num": 2.5}}, "mass.log.num: given 2.5; a whole number is needed"),
        ({"log": {"start": 1, "stop": 2}}, "mass.log.num: this key is missing; add it"),
        (
            {"log": LOG | {"nmu": 3}},
            "mass.log.nmu: unknown key; did you mean 'num'? Allowed: start, stop, num",
        ),
        ({"lgo": LOG}, "mass.lgo: unknown key; did you mean 'log'? Allowed: log, linear, values"),
        ({"log": 3}, "mass.log: given 3; a table with start, stop, num is needed; write it so"),
    ],
)
def test_an_axis_that_is_not_one_is_refused(axis: dict[str, Any], message: str) -> None:
    assert refusal(mass=axis).startswith(f"{WHERE}: {message}")


def test_an_oversized_list_is_refused() -> None:
    values = np.linspace(1.0, 2.0, 100_001).tolist()
    message = refusal(mass={"values": values})
    assert "mass.values: given" in message
    assert "at most 100000 entries" in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mass": {"values": [True]}}, "mass.values.0: given true; a number is needed, not true"),
        ({"mass": {"log": LOG | {"start": True}}}, "mass.log.start: given true; a number is"),
        ({"mass": {"log": LOG | {"start": "1"}}}, "mass.log.start: given '1', which is text; a"),
        ({"mass": {"log": LOG | {"num": "3"}}}, "mass.log.num: given '3', which is text; a number"),
        ({"mass": {"values": ["1", "2"]}}, "mass.values.0: given '1', which is text; a number is"),
        ({"version": True}, "version: given true; a number is needed, not true or false"),
        ({"version": "1"}, "version: given '1', which is text; a number is needed, without quotes"),
        ({"run": {"workers": "2"}}, "run.workers: given '2', which is text"),
        ({"run": {"chunk_mb": "2"}}, "run.chunk_mb: given '2', which is text"),
        ({"mixing": "0.1"}, "mixing: given '0.1'; allowed: 'loop', "),
    ],
)
def test_text_and_true_are_no_numbers(changes: dict[str, Any], message: str) -> None:
    """But charges may be text, '1/3', for TOML has no fractions."""
    assert refusal(**changes).startswith(f"{WHERE}: {message}")
    thirds = validate(ModelSpec, {"name": "x", "charges": {"u": "1/3", "e": "-1"}}, WHERE)
    assert thirds.charges is not None
    assert (thirds.charges.u, thirds.charges.e) == (1.0 / 3.0, -1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "models = ['Lmu']\n[mass]\nvalues = [1]\nexperiments = ['darwin-nr']\n"
            "[coupling]\nvalues = [1e-4]",
            "mass.experiments: this key stands inside [mass], where it does not belong; write it "
            "above the first table",
        ),
        (
            "models = ['Lmu']\n[mass.log]\nstart = 1\nstop = 2\nnum = 3\nmetallicity = ['GS98']\n",
            "mass.log.metallicity: this key stands inside [mass.log], where it does not belong; "
            "write it above the first table (and 2 more below)",
        ),
        (
            "[[model]]\nname = 'x'\nbase = 'Lmu'\nexperiments = ['darwin-nr']\n[mass]\nvalues = [1]",
            "model.0.experiments: this key stands inside [[model]], where it does not belong; write "
            "it above the first table (and 1 more below)",
        ),
        (
            "[mass]\nvalues = [1]\nthreshold = { values = [1] }",
            "mass.threshold: this key stands inside [mass], where it does not belong; give it a "
            "table of its own, [threshold] (and 2 more below)",
        ),
    ],
    ids=["table", "inner table", "list of tables", "table in table"],
)
def test_a_key_below_a_table_by_mistake_is_sent_to_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    """TOML has no end of a table; a key that follows one belongs to it."""
    path = tmp_path / "scan.toml"
    path.write_text(text)
    with pytest.raises(SpecificationError) as caught:
        read_spec(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    path = tmp_path / "scan.toml"
    text = "models = ['Lmu']\nexperiments = ['darwin-nr']\n[mass]\nvalues = [1]\n[coupling]\nvalues=[1]"
    path.write_text(text, encoding="utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert read_spec(path).models == ("Lmu",)


def test_no_refusal_speaks_of_the_validator() -> None:
    wrong: list[dict[str, Any]] = [
        {"mass": {"values": [None]}},
        {"mass": {"log": LOG | {"num": [3]}}},
        {"mass": {"log": LOG | {"num": 1e30}}},
        {"models": [3]},
        {"models": ["x" * 65]},
        {"model": 3},
        {"experiments": []},
        {"coupling": 10**5000},
        {"title": 3},
    ]
    for changes in wrong:
        message = refusal(**changes)
        assert ": given " in message
        assert not any(word in message for word in ("nput", "hould", "tuple", "pydantic"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"coupilng": {"values": [1]}},
            "coupilng: unknown key; did you mean 'coupling'? Allowed: version, title, models,",
        ),
        ({"xyzzy": 1}, "xyzzy: unknown key; Allowed: version"),
        ({"models": []}, "no model is named; fill models, or add a [[model]] table"),
        ({"models": ["Lmu", "B-L", "Lmu"]}, "models: 'Lmu' is given twice; keep one"),
        (
            {"models": ["L mu"]},
            "models.0: given 'L mu'; a name of letters, digits and _ . + - is needed",
        ),
        ({"models": [""]}, "models.0: given ''; at least 1 character is needed"),
        ({"models": "Lmu"}, "models: given 'Lmu'; a list in brackets is needed; write it so"),
        ({"experiments": []}, "experiments: given []; "),
        ({"experiments": ["lz-nr", "lz-nr"]}, "experiments: 'lz-nr' is given twice; keep one"),
        ({"metallicity": []}, "metallicity: given []; "),
        (
            {"metallicity": ["GS89"]},
            "metallicity.0: given 'GS89'; allowed: 'GS98' or 'AGSS09met'; correct it",
        ),
        ({"metallicity": ["GS98", "GS98"]}, "metallicity: 'GS98' is given twice; keep one"),
        ({"oscillation": ""}, "oscillation.0: given ''; "),
        ({"mixing": "lop"}, "mixing: given 'lop'; allowed: 'loop', 'amaral2021' or"),
        ({"mixing": True}, "mixing: given true; "),
        ({"mixing": float("nan")}, "mixing: given nan; "),
        (
            {"atomic": "rrpa"},
            "atomic: given 'rrpa'; allowed: 'free', 'step' or 'step+rrpa'; correct it",
        ),
        (
            {"couplings": "tree"},
            "couplings: given 'tree'; allowed: 'msbar', 'low-energy' or 'radiative'; correct it",
        ),
        ({"version": 2}, "version: given 2; allowed: 1; correct it"),
        (
            {"statistic": {"test": "chi2"}},
            "statistic.test: given 'chi2'; allowed: 'discovery' or 'exclusion'; correct it",
        ),
        (
            {"statistic": {"tset": "discovery"}},
            "statistic.tset: unknown key; did you mean 'test'? Allowed: test, sided",
        ),
        ({"dtype": "float16"}, "dtype: given 'float16'; allowed: 'float32' or 'float64'"),
        ({"run": {"workers": 0}}, "run.workers: given 0; a number of at least 1 is needed"),
        ({"run": {"worker": 2}}, "run.worker: unknown key; did you mean 'workers'? Allowed: "),
        ({"title": "x" * 201}, "title: given 'xxx"),
    ],
)
def test_a_scan_that_is_not_one_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refusal(**changes).startswith(f"{WHERE}: {message}")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "x"}, "exactly one of base, charges is needed; leave the other one out"),
        (
            {"name": "x", "base": "Lmu", "charges": {"u": 1}},
            "exactly one of base, charges is needed; leave the other one out",
        ),
        (
            {"name": "x", "charges": {"u": 0, "mu": 0}},
            "charges: all charges are zero; give at least one of u, d, e, mu, tau",
        ),
        (
            {"name": "x", "charges": {"muon": 1}},
            "charges.muon: unknown key; did you mean 'mu'? Allowed: u, d, e, mu, tau",
        ),
        (
            {"name": "x", "charges": {"u": True}},
            "charges.u: given true; a number is needed, not true or false",
        ),
        ({"name": "x", "charges": {"u": float("nan")}}, "charges.u: given nan; "),
        ({"name": "x", "charges": {"u": "one"}}, "charges.u: 'one' is not a number; write it as 1"),
        (
            {"name": "x y", "base": "Lmu"},
            "name: given 'x y'; a name of letters, digits and _ . + - = , / is needed",
        ),
        ({"base": "Lmu"}, "name: this key is missing; add it"),
        (
            {"name": "x", "base": "Lmu", "mixng": 1},
            "mixng: unknown key; did you mean 'mixing'? Allowed: name, base, charges, mixing",
        ),
        ({"name": "x", "base": "Lmu", "mixing": "lop"}, "mixing: given 'lop'; allowed:"),
    ],
)
def test_a_model_table_that_is_not_one_is_refused(model: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        validate(ModelSpec, model, "here")
    assert str(caught.value).startswith(f"here: {message}")
    assert f"{WHERE}: model.0" in refusal(model=[model])


def test_a_model_table_may_not_take_a_name_twice() -> None:
    assert "models: 'Lmu' is given twice" in refusal(model=[{"name": "Lmu", "base": "B-L"}])


def test_all_problems_are_counted_and_the_first_is_told() -> None:
    message = refusal(mass={}, coupling={"values": []}, dtype="float16")
    assert message.startswith(f"{WHERE}: mass: exactly one of")
    assert message.endswith(" (and 2 more below)")


def test_what_a_user_may_write_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "scan.toml"
    path.write_text(
        """
        models = ["Lmu-Ltau"]
        experiments = ["darwin-nr"]
        metallicity = ["GS98", "AGSS09met"]
        mixing = 1e-2
        [[model]]
        name = "mine"
        charges = { u = 0.3, mu = 1, tau = -1 }
        mixing = -0.0143
        [mass]
        log = { start = 1, stop = 300, num = 200 }
        [coupling]
        log = { start = 1e-5, stop = 1e-2, num = 200 }
        [exposure]
        values = [1, 10.0]
        [threshold]
        linear = { start = 0.7, stop = 5.7, num = 6 }
        [statistic]
        test = "exclusion"
        sided = "two"
        [run]
        cluster = "local"
        """,
        encoding="utf-8",
    )
    spec = read_spec(path)
    assert spec.mixing == 0.01
    assert spec.model[0].charges is not None
    assert spec.model[0].charges.tau == -1.0
    assert spec.threshold is not None
    np.testing.assert_allclose(spec.threshold.points(), [0.7, 1.7, 2.7, 3.7, 4.7, 5.7])
    assert ScanSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "no.toml"
    with pytest.raises(SpecificationError) as caught:
        read_spec(missing)
    assert str(caught.value) == (
        f"{missing}: the specification cannot be read (No such file or directory); check the path"
    )
    with pytest.raises(SpecificationError, match=r"cannot be read \(Is a directory\)"):
        read_spec(tmp_path)


def test_a_file_that_is_too_large_or_not_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scan.toml"
    path.write_bytes(b"#" * (MAX_SPEC_BYTES + 1))
    with pytest.raises(SpecificationError, match="1048577 bytes; at most 1048576 are allowed"):
        read_spec(path)
    path.write_text("models = [")
    with pytest.raises(SpecificationError, match=r"scan\.toml: not valid TOML: "):
        read_spec(path)
    path.write_text("")
    with pytest.raises(SpecificationError, match=r"experiments: this key is missing; add it \(and"):
        read_spec(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "threshold_kev = 0.1\n",
            "",
            "window.threshold_kev: this key is missing; without a table of the efficiency it is "
            "needed; add it",
        ),
        (
            "log_bins = 20",
            "maximum_kev = 0.1",
            "window.maximum_kev: given 0.1; it must lie above the nominal threshold, 0.1 keV; "
            "raise it",
        ),
        (
            "threshold_kev = 0.1\n",
            "threshold_kev = 0.001\n",
            "window: the nominal threshold is 0.001 keV_nr, below the minimum 0.01; lower the",
        ),
        (
            "[nr]",
            "[er]\nacceptance = 1.0\n[nr]",
            "two channels on one energy scale need [quenching]; add it",
        ),
        ("log_bins = 20", "maximum_kevee = 3", "window.maximum_kevee needs a resolution; give"),
    ],
)
def test_a_window_without_resolution_is_checked(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    source = datafiles.data_folder() / "experiments" / "lx22-ge-gen2-nominal.toml"
    text = source.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SpecificationError) as caught:
        catalog(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/mine.toml: {message}")


def test_pseudo_experiments_are_asked_for() -> None:
    assert scan().toys is None
    asked = scan(toys={}).toys
    assert asked is not None
    assert (asked.number, asked.seed, asked.parameters) == (1000, 1, 1)
    assert asked.levels == (0.68, 0.90, 0.95)


@pytest.mark.parametrize(
    ("toys", "words"),
    [
        ({"number": 99}, "toys.number: given 99; a number of at least 100 is needed"),
        ({"seed": -1}, "toys.seed: given -1; a number of at least 0 is needed"),
        ({"levels": [0.9, 0.68]}, "levels must ascend, but 0.9 is followed by 0.68; sort them"),
        ({"levels": []}, "toys.levels: given []; at least 1 entry is needed"),
        ({"levels": [1.0]}, "toys.levels.0: given 1.0; a number below 1 is needed"),
        (
            {"levels": [0.999]},
            "leave 1 beyond the level 0.999; at least 5 are needed: raise number",
        ),
        ({"parameters": 3}, "toys.parameters: given 3; allowed: 1 or 2"),
        ({"sed": 3}, "unknown key"),
    ],
)
def test_pseudo_experiments_are_refused(toys: dict[str, Any], words: str) -> None:
    assert words in refusal(toys=toys)
