"""The figure of a gas detector: plot pressure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lmltgrid.cli import options
from lmltgrid.cli.application import Verb
from lmltgrid.cli.figures import finish, output
from lmltgrid.cli.values import Numbers


@click.command(
    "pressure",
    cls=Verb,
    short_help="Events of a gas detector against its pressure.",
    example="lmltgrid plot pressure --experiment nubdx-drift --output pressure.png",
)
@click.option(
    "--experiment",
    metavar="NAME",
    default="nubdx-drift",
    help="A detector in the LBNF beam. [default: nubdx-drift]",
)
@click.option("--pressure", type=Numbers("TORR"), help="Pressures. [default: 10:1000:120]")
@options.exposure
@options.experiments
@output("pressure")
@options.as_json
def pressure(*, output: Path, as_json: bool, **asked: Any) -> None:
    """Draw the expected events in the Standard Model, with the pressure where they are most."""
    from lmltgrid.analysis.pressure import pressure_curve
    from lmltgrid.views import plots

    found = pressure_curve(**options.given(asked))
    finish(plots.pressure_line(found), output, dict(found.attrs), as_json=as_json)
