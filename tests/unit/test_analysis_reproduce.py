"""The table of the papers' numbers: its form, its verdicts, and what it must not leave out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
from cli_calls import answer, invoke

from lmltgrid.analysis import reproduce as package
from lmltgrid.analysis.reproduce import PAPERS, reproduce
from lmltgrid.analysis.reproduce.claims import Claim, Statement, ascending
from lmltgrid.errors import UnknownNameError
from lmltgrid.tables.experiments import catalog

COLUMNS = {
    *("paper", "quantity", "place", "published", "computed", "unit", "difference", "tolerance"),
    *("verdict", "settings", "note"),
}


COMPUTED = ("P20", "LX22")  # here; those that take longer are computed by their golden tests


@lru_cache(maxsize=1)
def rows() -> tuple[dict[str, Any], ...]:
    return tuple(reproduce(*COMPUTED))


def claims() -> list[Claim | Statement]:
    """All of all papers, not computed."""
    return [claim for paper in PAPERS for claim in package._CLAIMS[paper]()]


def of(paper: str, words: str) -> list[dict[str, Any]]:
    return [row for row in rows() if row["paper"] == paper and words in row["quantity"]]


def one(paper: str, words: str) -> dict[str, Any]:
    (row,) = (row for row in of(paper, words) if row["quantity"].endswith(words))
    return row


def test_every_row_has_its_columns_and_its_verdict() -> None:
    assert {row["paper"] for row in rows()} == set(COMPUTED)
    for row in rows():
        assert set(row) == COLUMNS
        assert row["quantity"]
        assert row["place"]
        said = isinstance(row["published"], str)
        assert said == isinstance(row["computed"], dict), row["quantity"]
        if row["published"] is None:
            assert (row["verdict"], row["difference"]) == ("no published number", None)
        elif said:
            assert row["verdict"] in ("ok", "off")
            assert (row["difference"], row["tolerance"]) == (None, None)
        else:
            within = abs(row["difference"]) <= row["tolerance"]
            assert row["verdict"] == ("ok" if within else "off")
        values = row["computed"].values() if said else [row["computed"]]
        assert all(math.isfinite(value) for value in values)


def test_no_quantity_is_there_twice() -> None:
    names = [(one.paper, one.quantity, str(one.settings)) for one in claims()]
    assert len(set(names)) == len(names)


def test_every_paper_has_its_claims() -> None:
    assert list(package._CLAIMS) == list(PAPERS)
    for paper in PAPERS:
        own = list(package._CLAIMS[paper]())
        assert {one.paper for one in own} == {paper}
        assert all(one.quantity and one.place and one.unit for one in own)
        json.dumps([one.settings for one in own])  # raises for what JSON does not have


def test_all_66_bounds_of_ac22_are_there() -> None:
    bounds = [one for one in package._CLAIMS["AC22"]() if one.place == "Table 2"]
    printed = [one for one in bounds if one.published is not None]
    assert (len(bounds), len(printed)) == (67, 66)  # and their root mean square
    assert {one.tolerance for one in printed if isinstance(one, Claim)} == {0.05, 0.10}
    assert sum("last crossing" in one.note for one in printed) == 2


def test_what_disagrees_stays_and_says_why() -> None:
    (xenon,) = of("P20", "XENON1T")
    assert (xenon["verdict"], xenon["published"]) == ("off", 1.4e-3)
    for row in rows():
        if row["verdict"] == "off":
            assert row["note"], row["quantity"]


@pytest.mark.golden
def test_borexino_is_as_printed() -> None:
    for metallicity, printed in (("GS98", 0.036), ("AGSS09met", 0.043)):
        row = one("P20", f"Borexino phase II, L_mu-L_tau, g/M, {metallicity}")
        assert (row["verdict"], row["published"]) == ("ok", printed)


def test_all_of_table_ii_of_p20_is_there_with_its_envelopes() -> None:
    names = [n for n in catalog() if n.startswith(("supercdms", "lz-2020", "darwin-2020", "darks"))]
    assert len(names) == 11
    for mass in (10, 100):
        for name in names:
            row = one("P20", f"90 % limit on g at {mass} MeV, {name}")
            assert row["verdict"] == "no published number"
            assert row["place"].startswith("Table II")
            # the word that the background is missing comes from the experiment
            assert row["note"] == catalog()[name].spec.caution
        members = {
            "SuperCDMS": "supercdms",
            "LZ": "lz-2020",
            "DARWIN": "darwin-2020",
            "DarkSide-20k": "darkside",
        }
        for detector, start in members.items():
            best = min(r["computed"] for r in of("P20", f"at {mass} MeV, {start}"))
            row = one("P20", f"at {mass} MeV, envelope, {detector}")
            assert row["computed"] == best


@pytest.mark.golden
@pytest.mark.parametrize(
    ("words", "verdicts"),
    [
        ("SuperCDMS against Borexino", ("ok", "off")),
        ("DarkSide-20k, nuclear recoils needed", ("ok", "ok")),
        ("DarkSide-20k beside SuperCDMS", ("off", "off")),
        ("DARWIN against all others", ("off", "off")),
        ("DARWIN against all whose background is public", ("ok", "ok")),
        ("LZ, with nuclear recoils", ("ok", "ok")),
        ("DARWIN, with nuclear recoils", ("ok", "ok")),
        ("LZ and DARWIN against (g-2)_mu", ("ok",)),
    ],
)
def test_what_p20_says_in_words(words: str, verdicts: tuple[str, ...]) -> None:
    """At 10 and 100 MeV; all that is off is so for want of a background that is not public."""
    assert tuple(row["verdict"] for row in of("P20", words)) == verdicts


@pytest.mark.golden
@pytest.mark.parametrize(
    ("words", "verdicts"),
    [
        ("scalar-lx22, gen2-nominal", ("ok",)),
        ("scalar-lx22, future-nominal", ("off",)),
        ("at 1 MeV side by side, axial", ("off",)),
        ("at 1000 MeV side by side, axial", ("ok",)),
        ("couplings of an axial mediator", ("ok",)),
        ("up to 100 MeV, unsplit", ("ok",)),
        ("up to 100 MeV, split by flavor", ("off",)),
        ("up to which germanium", ("off", "ok")),
        ("up to which silicon", ("off", "ok")),
        ("up to which argon", ("ok", "ok")),
        ("up to which xenon", ("ok", "ok")),
        ("beside (g-2)_mu, unsplit", ("ok",)),
        ("on a scalar at 1 MeV beside future xenon", ("ok",)),
    ],
)
def test_what_lx22_says_in_words(words: str, verdicts: tuple[str, ...]) -> None:
    assert tuple(row["verdict"] for row in of("LX22", words)) == verdicts


@pytest.mark.parametrize(
    ("numbers", "verdict"), [({"a": 1.0, "b": 2.0}, "ok"), ({"a": 2.0, "b": 1.0}, "off")]
)
def test_a_sentence_is_judged_by_its_numbers(numbers: dict[str, float], verdict: str) -> None:
    row = Statement("P20", "what", "sec. 1", "a before b", lambda: numbers, ascending).row()
    assert (row["computed"], row["verdict"], row["published"]) == (numbers, verdict, "a before b")


@pytest.mark.parametrize(
    ("published", "computed", "verdict"),
    [
        (100.0, 102.9, "ok"),
        (100.0, 103.1, "off"),
        (-2.0, -2.0, "ok"),
        (None, 7.0, "no published number"),
    ],
)
def test_a_number_is_judged_by_its_tolerance(
    published: float | None, computed: float, verdict: str
) -> None:
    compute: Callable[[], float] = lambda: computed  # noqa: E731
    row = Claim("P20", "what", "sec. 1", published, compute).row()
    assert row["verdict"] == verdict


def test_an_unknown_paper_is_answered_with_the_known() -> None:
    with pytest.raises(UnknownNameError, match="unknown paper 'P22'"):
        reproduce("P22")


def test_command_line_has_both_tables_and_marks_of_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [one for one in claims() if one.paper == "P21" and "threshold of" in one.quantity]
    assert len(numbers) == 4
    monkeypatch.setitem(package._CLAIMS, "P21", lambda: iter(numbers))
    found = answer("reproduce", "P21")
    assert set(found) == {"rows", "papers"}
    assert set(found["papers"]) == {"P21"}
    assert all(set(row) == COLUMNS for row in found["rows"])
    table = invoke("reproduce", "P20").stdout
    assert "The papers' numbers, computed again" in table
    assert "What the papers say" in table
    assert "SuperCDMS will not be able to improve over the updated Borexino limits" in table
    assert "\n[1] " in table
    assert "What the papers say" not in invoke("reproduce", "P21").stdout
    assert invoke("reproduce").exit_code == 2
    assert invoke("reproduce", "P20", "--all").exit_code == 2
