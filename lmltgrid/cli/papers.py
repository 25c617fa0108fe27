"""The papers' numbers, computed again."""

from __future__ import annotations

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
@click.argument("papers", nargs=-1, metavar="[P20|P21|LX22]...")
@click.option("--all", "everything", is_flag=True, help="Every paper.")
@options.as_json
def reproduce(*, papers: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Compute what the papers print, and say where we differ and why.

    Rows that disagree stay in the table; what is a picture alone has no published number.
    """
    if bool(papers) == everything:
        raise click.UsageError("name one or several papers, or give --all")
    from lmltgrid.analysis.reproduce import PAPERS
    from lmltgrid.analysis.reproduce import reproduce as compute

    rows = compute(*papers)
    if as_json:
        say_json({"rows": rows, "papers": {row["paper"]: PAPERS[row["paper"]] for row in rows}})
        return
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
        )
        for row in rows
    ]
    columns = (
        "paper",
        "quantity",
        "place",
        "published",
        "computed",
        "unit",
        "difference",
        "verdict",
    )
    notes = [f"{row['quantity']}: {row['note']}." for row in rows if row["note"]]
    cited = [f"{name}: {words}." for name, words in PAPERS.items()]
    table = Table("The papers' numbers, computed again", columns, cells, frozenset({0, 1, 2, 5, 7}))
    say([table], notes=[*notes, *cited])
