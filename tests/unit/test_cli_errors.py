"""The command line: refusals in one sentence, exit codes, and the frame of help."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import click
import pytest
from cli_calls import POINT, invoke, refused

from lmltgrid import __version__, errors, service
from lmltgrid.cli import main
from lmltgrid.cli.values import Duration, Models, Numbers, Positive, Until


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("abc", "'abc' is given; a positive finite number of MeV"),
        ("-5", "'-5' is given; a positive finite number of MeV"),
        ("nan", "'nan' is given; a positive finite number of MeV"),
        ("inf", "'inf' is given; a positive finite number of MeV"),
        ("1e999", "'1e999' is given"),
        ("0", "'0' is given"),
        ("", "no value is given"),
        ("1,,2", "'' is given"),
        ("1,2,", "'' is given"),
        ("1;2", "'1;2' is given"),
        ("300:1:10", "the start must lie below the stop"),
        ("1:300", "a range is start:stop:num"),
        ("1:300:1", "a range is start:stop:num"),
        ("1:300:2.5", "a range is start:stop:num"),
        ("1:300:-3", "a range is start:stop:num"),
        ("1:300:10000000", "a range is start:stop:num"),
        ("1:2:3:4", "a range is start:stop:num"),
        ("1:nan:3", "'nan' is given"),
    ],
)
def test_bad_numbers_are_refused_by_name(value: str, words: str) -> None:
    sentence = refused(2, "limits", "--mass", value)
    assert sentence.startswith("lmltgrid: --mass: ")
    assert words in sentence


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("events",), 2, "give --mass and --coupling, or --benchmark"),
        (("events", "--mass", "15"), 2, "give --mass and --coupling"),
        (("events", *POINT, "--benchmark", "BP1"), 2, "leave those out"),
        (("events", "--benchmark", "all"), 2, "name one benchmark"),
        (("events", "--benchmark", "BP7"), 3, "unknown benchmark 'BP7'; did you mean"),
        (("events", *POINT, "--model", "Lmu-Lta"), 3, "did you mean 'Lmu-Ltau'?"),
        (("events", *POINT, "--experiment", "darwin"), 3, "did you mean 'darwin-"),
        (("events", *POINT, "--metallicity", "GS99"), 3, "did you mean 'GS98'?"),
        (("events", *POINT, "--oscillation", "nufit6"), 3, "did you mean 'nufit60'?"),
        (("events", *POINT, "--oscillation", "theta=1"), 3, "unknown oscillation parameter"),
        (("events", *POINT, "--mixing", "lop"), 3, "did you mean 'loop'?"),
        (("events", *POINT, "--mixing", "nan"), 3, "eps/g must be finite"),
        (("events", *POINT, "--model", "B-L", "--mixing", "loop"), 3, "purely leptonic"),
        (("events", *POINT, "--model", "u=1,u=2"), 3, "'u=1,u=2' gives the charge of 'u' twice"),
        (("plot", "plane", "--model", "e=1,e=2"), 3, "gives the charge of 'e' twice"),
        (("plot", "plane", "--model", "e=1,x=2"), 3, "charges.x: unknown key"),
        (("plot", "limits", "--model", "Lmu,Lmu"), 2, "--model: 'Lmu' is given twice"),
        (("plot", "limits", "--model", "Lmu,,e=1"), 2, "holds an empty name"),
        (("events", *POINT, "--atomic", "bound"), 3, "unknown atomic"),
        (("events", *POINT, "--couplings", "msba"), 3, "did you mean 'msbar'?"),
        (("events", *POINT, "--threshold", "0.1"), 3, "valid from 0.7 keV_nr"),
        (("events", *POINT, "--threshold", "1,2"), 2, "--threshold: '1,2' is given"),
        (("events", *POINT, "--exposure", "-1"), 2, "--exposure: '-1' is given"),
        (("events", *POINT, "--experiments", "nowhere"), 3, "nowhere: not a folder"),
        (("spectrum", *POINT, "--channel", "rn"), 3, "unknown channel 'rn'"),
        (("spectrum", *POINT, "--target", "Xenon"), 3, "Xenon"),
        (("spectrum", *POINT, "--source", "reactor"), 3, "unknown source"),
        (("spectrum", *POINT, "--recoil-energy", "-1"), 2, "--recoil-energy: '-1' is given"),
        (("oscillation", "--source", "9B"), 3, "unknown source"),
        (("limits", "--test", "exclude"), 3, "unknown test 'exclude'"),
        (("limits", "--sided", "three"), 3, "unknown sided 'three'"),
        (("limits", "--cl", "90"), 3, "it must lie between 0.5 and 1"),
        (("limits", "--sigmas", "5"), 2, "--sigmas belongs to --test discovery"),
        (("limits", "--test", "discovery", "--cl", "0.9"), 2, "--cl belongs to"),
        (("contour", "--mass", "3,2,1"), 3, "ascending"),
        (("contour", "--coupling", "1e-2:1e-5"), 2, "must lie below the stop"),
        (("discover", *POINT, "--experiment", "darwin-nr,darwin-nr"), 2, "given twice"),
        (("discover", *POINT, "--experiment", "darwin-nr,,lz-nr"), 2, "empty name"),
        (("schema", "scans"), 2, "scans"),
        (("limits", "--mas", "1"), 2, "--mas"),
        (("limit",), 2, "unknown verb 'limit'; did you mean 'limits'?"),
        (("discovery",), 2, "did you mean 'discover'?"),
        (("--jason",), 2, "--jason"),
        (("run",), 2, "SPEC"),
        (("run", "nowhere.toml"), 3, "nowhere.toml"),
        (("run", "x.toml", "--cluster", "moon"), 2, "--cluster"),
        (("run", "x.toml", "--until", "tomorrow"), 2, "--until: 'tomorrow' is given"),
        (("resume", "nowhere.zarr"), 3, "nowhere.zarr"),
        (("status", "nowhere.zarr"), 3, "nowhere.zarr"),
        (("verify", "nowhere.zarr"), 3, "nowhere.zarr"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_refusals_are_one_sentence(args: tuple[str, ...], code: int, words: str) -> None:
    assert words in refused(code, *args)


def test_wrong_usage_points_to_the_help_of_the_verb() -> None:
    assert invoke("limits", "--mass", "x").stderr.splitlines()[1] == "Try 'lmltgrid limits --help'."


def test_no_verb_shows_the_help() -> None:
    result = invoke()
    assert result.exit_code == 2
    assert "Limits and discovery:" in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errors.SpecificationError("a: b"), 3, "lmltgrid: a: b"),
        (errors.PartialStoreError("a: b"), 4, "lmltgrid: a: b"),
        (errors.VerificationError("a: b"), 5, "lmltgrid: a: b"),
        (errors.MachineError("a: b"), 6, "lmltgrid: a: b"),
        (errors.StoppedError("a: b"), 75, "lmltgrid: a: b"),
        (ZeroDivisionError("a\nb"), 1, "lmltgrid: ZeroDivisionError: a b; --traceback shows where"),
        (MemoryError(), 6, "lmltgrid: MemoryError: no message; --traceback shows where"),
        (PermissionError(13, "no", "/x"), 6, "lmltgrid: PermissionError: "),
        (KeyboardInterrupt(), 130, "lmltgrid: interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(service, "status", fail)
    result = invoke("status", "x.zarr")
    assert result.exit_code == code
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(words)
    full = invoke("status", "x.zarr", "--traceback")
    assert full.exit_code == code
    assert "Traceback" in full.stderr
    assert "in fail" in full.stderr


def test_warnings_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(_: object) -> dict[str, object]:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("units are\nmissing", UserWarning, stacklevel=1)
        return {"ok": 1}

    monkeypatch.setattr(service, "status", warn)
    result = invoke("status", "x.zarr", "--json")
    assert result.stderr == "lmltgrid: warning: units are missing\n"
    assert json.loads(result.stdout) == {"ok": 1}


def test_help_has_every_verb_under_a_heading() -> None:
    text = invoke("--help").stdout
    headings = ["Scans", "Answers for one point", "Limits and discovery", "Figures", "Look-up"]
    places = [text.index(f"\n{heading}:\n") for heading in headings]
    assert places == sorted(places)
    listed = [verb.name for verbs in main.sections.values() for verb in verbs]
    assert sorted(map(str, listed)) == sorted(main.commands)
    assert all(verb.short_help for verb in main.commands.values())
    assert "Example:\n  lmltgrid limits" in text


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_verb_has_help(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0, result.output
    assert f"lmltgrid {name}" in result.stdout
    assert "\nExample:\n  lmltgrid" in result.stdout


def leaves(group: click.Group) -> list[click.Command]:
    found = []
    for verb in group.commands.values():
        found += leaves(verb) if isinstance(verb, click.Group) else [verb]
    return found


@pytest.mark.parametrize("verb", leaves(main), ids=lambda verb: str(verb.name))
def test_examples_can_be_typed(verb: click.Command) -> None:
    words = shlex.split(verb.example.split(" > ")[0])  # type: ignore[attr-defined]
    assert words.pop(0) == "lmltgrid"
    found: click.Command = main
    while isinstance(found, click.Group):
        found = found.commands[words.pop(0)]
    assert found is verb
    with found.make_context(str(found.name), words):
        pass


def test_version() -> None:
    assert invoke("--version").stdout == f"lmltgrid, version {__version__}\n"


def test_ranges_are_logarithmic_with_exact_ends() -> None:
    found = Numbers("MeV").convert("1:300:5", None, None)
    assert (found[0], found[-1], len(found)) == (1.0, 300.0, 5)
    steps = [b / a for a, b in pairwise(found)]
    assert steps == pytest.approx([300.0**0.25] * 4)
    assert Numbers("G", ends=True).convert("1e-5:1e-2", None, None) == [1e-5, 1e-2]
    assert Numbers("keV").convert("2, 1,3e0", None, None) == [2.0, 1.0, 3.0]
    assert Positive("keV").convert("1e-3", None, None) == 1e-3


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("45m", 2700.0), ("1h30m", 5400.0), ("0.5h", 1800.0), ("1d2s", 86402.0)],
)
def test_until_as_a_duration(text: str, seconds: float) -> None:
    assert Until().convert(text, None, None) == seconds


def test_a_deadline_is_a_duration() -> None:
    assert Duration().convert("2h", None, None) == 7200.0
    with pytest.raises(click.BadParameter, match="'06:30' is given; give a time such as 45m"):
        Duration().convert("06:30", None, None)


def test_models_by_name_and_by_charges() -> None:
    """Charges that follow each other are one mediator."""
    for text, names in {
        "Lmu": ["Lmu"],
        "Lmu, B-L": ["Lmu", "B-L"],
        "e=1,mu=-1": ["e=1,mu=-1"],
        "Lmu,e=1,mu=-1/3,B-L": ["Lmu", "e=1,mu=-1/3", "B-L"],
        "e=1,mu=-1;mu=1,tau=-1": ["e=1,mu=-1", "mu=1,tau=-1"],
    }.items():
        assert Models().convert(text, None, None) == names


def test_until_as_an_hour_is_within_a_day() -> None:
    for text in ("06:30", "0:00", "23:59"):
        now = datetime.now(UTC)
        then = Until().convert(text, None, None)
        assert isinstance(then, datetime)
        assert now <= then <= now + timedelta(days=1, seconds=5)
        assert f"{then:%H:%M:%S}" == f"{text:0>5}:00"


@pytest.mark.parametrize("text", ["", "0", "-5m", "5x", "25:00", "1h30", "m5", "nan"])
def test_until_refuses(text: str) -> None:
    with pytest.raises(click.BadParameter, match="give a time from now"):
        Until().convert(text, None, None)


def launch(*args: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "lmltgrid", *args]
    return subprocess.run(call, capture_output=True, text=True, timeout=120, **kwargs)  # type: ignore[call-overload,no-any-return]


def test_exit_code_of_the_process() -> None:
    done = launch("limit")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("lmltgrid: unknown verb 'limit'; did you mean 'limits'?")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        call = [sys.executable, "-m", "lmltgrid", "--help"]
        done = subprocess.run(call, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.stderr == ""


def test_the_help_needs_nothing_heavy() -> None:
    code = (
        "import sys; from lmltgrid.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'xarray', 'numba', 'scipy', 'pydantic', 'rich', 'dask', 'zarr'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
