"""The command line ``lmltgrid VERB``; every verb imports what it needs when it runs."""

from __future__ import annotations

from typing import Final

import click

from lmltgrid import __version__
from lmltgrid.cli import (
    answers,
    figures,
    health,
    lookup,
    papers,
    pressure,
    reconstruction,
    results,
    scans,
    status,
    toys,
)
from lmltgrid.cli.application import EXIT_CODES, Application

EXAMPLE: Final = "lmltgrid limits --experiment darwin-nr --model Lmu-Ltau --mass 1,10,100"

main: Final = Application(
    "lmltgrid",
    help="Search for light mediators with neutrinos: scans over models, masses and couplings, "
    "with limits, discovery exposures and reconstructions from them.",
    sections={
        "Scans": (scans.run, scans.resume, status.status, scans.verify),
        "Answers for one point": (answers.events, answers.spectrum, answers.oscillation),
        "Limits and discovery": (
            results.limits,
            results.contour,
            results.discover,
            reconstruction.reconstruct,
            toys.toys,
            papers.reproduce,
        ),
        "Figures": (figures.plot,),
        "Look-up": (lookup.models, lookup.experiments, lookup.schema, health.doctor),
    },
    params=[],
    example=EXAMPLE,
    epilog=f"Every verb that answers a question takes --json. Exit codes: {EXIT_CODES}",
)
figures.plot.add_command(pressure.pressure)
figures.plot.add_command(reconstruction.figure)
figures.plot.add_command(toys.figure)
click.version_option(__version__, prog_name="lmltgrid")(main)
