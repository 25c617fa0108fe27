"""How the tests call the command line."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from lmltgrid.cli import main

PAPER = ("--oscillation", "amaral2021", "--mixing", "amaral2021")
POINT = ("--mass", "15", "--coupling", "5e-4")


def invoke(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def answer(*args: str) -> dict[str, Any]:
    """The JSON object that a verb prints, which must hold no NaN nor Infinity."""
    result = invoke(*args, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found = json.loads(result.stdout, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def refused(code: int, *args: str) -> str:
    """The sentence with which the command line ends."""
    result = invoke(*args)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    first = result.stderr.splitlines()[0]
    assert first.startswith("lmltgrid: ")
    return first
