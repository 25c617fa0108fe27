"""The papers' numbers, computed again."""

from __future__ import annotations

from typing import Any

import click

from lmltgrid.cli import options
from lmltgrid.cli.application import Verb
from lmltgrid.cli.output import Table, number, say, say_json


@click.command(
    "reproduce",
    cls=Verb,
    short_help="A paper's numbers beside ours, with a verdict each.",
    example="lmltgrid reproduce P21",
)
@click.argument("papers", nargs=-1, metavar="[P20|P21|LX22|AC22|B22]...")
@click.option("--all", "everything", is_flag=True, help="Every paper.")
@options.as_json
def reproduce(*, papers: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Compute what the papers print, and say where we differ and why.

    Rows that disagree stay in the table; what is a picture alone has no published number. What a
    paper says in words has a table of its own, with the numbers that it compares.
    """
    if bool(papers) == everything:
        raise click.UsageError("name one or several papers, or give --all")
    from lmltgrid.analysis.reproduce import PAPERS
    from lmltgrid.analysis.reproduce import reproduce as compute

    rows = compute(*papers)
    if as_json:
        say_json({"rows": rows, "papers": {row["paper"]: PAPERS[row["paper"]] for row in rows}})
        return
    notes = list(dict.fromkeys(row["note"] for row in rows if row["note"]))
    marks = {note: f"[{place}]" for place, note in enumerate(notes, 1)}
    sentences = [row for row in rows if isinstance(row["computed"], dict)]
    tables = [_of_numbers([row for row in rows if row not in sentences], marks)]
    if sentences:
        tables.append(_of_sentences(sentences, marks))
    cited = [f"{name}: {reference}." for name, reference in PAPERS.items()]
    say(tables, notes=[*(f"{mark} {note}." for note, mark in marks.items()), *cited])


def _of_numbers(rows: list[dict[str, Any]], marks: dict[str, str]) -> Table:
    columns = (
        "paper",
        "quantity",
        "place",
        "published",
        "computed",
        "unit",
        "difference",
        "verdict",
        "note",
    )
    cells = [
        (
            row["paper"],
            row["quantity"],
            row["place"],
            "-" if row["published"] is None else number(row["published"]),
            number(row["computed"], 4),
            row["unit"],
            "-" if row["difference"] is None else f"{100 * row['difference']:+.1f} %",
            row["verdict"],
            marks.get(row["note"], ""),
        )
        for row in rows
    ]
    left = frozenset({0, 1, 2, 5, 7, 8})
    return Table("The papers' numbers, computed again", columns, cells, left)


def _of_sentences(rows: list[dict[str, Any]], marks: dict[str, str]) -> Table:
    columns = ("paper", "what", "place", "the paper says", "computed", "unit", "verdict", "note")
    cells = [
        (
            row["paper"],
            row["quantity"],
            row["place"],
            row["published"],
            "; ".join(f"{name} {number(value, 4)}" for name, value in row["computed"].items()),
            row["unit"],
            row["verdict"],
            marks.get(row["note"], ""),
        )
        for row in rows
    ]
    return Table("What the papers say", columns, cells, frozenset(range(len(columns))))
