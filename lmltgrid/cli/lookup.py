"""Look-up: models, experiments, schema."""

from __future__ import annotations

from dataclasses import asdict
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import click

from lmltgrid.cli import options
from lmltgrid.cli.application import Verb
from lmltgrid.cli.output import Table, number, say, say_json


@click.command(
    "models",
    cls=Verb,
    short_help="Mediators with their charges, and the benchmark points.",
    example="lmltgrid models",
)
@options.as_json
def models(*, as_json: bool) -> None:
    """List the mediators that are known by name."""
    from lmltgrid.tables import models as table

    found = [model.as_dict() for model in table.catalog().values()]
    points = [asdict(benchmark) for benchmark in table.benchmarks().values()]
    if as_json:
        say_json({"models": found, "benchmarks": points})
        return
    columns = (
        "name",
        "what it is",
        "kind",
        *(f"Q_{f}" for f in table.FERMIONS),
        "mixing",
        "anomaly free",
    )
    rows = [
        (
            model["name"],
            model["title"],
            model["kind"],
            *_charges(model),
            model["mixing"],
            "yes" if model["anomaly_free"] else "no",
        )
        for model in found
    ]
    benchmarks = [(p["name"], number(p["mass"]), number(p["coupling"])) for p in points]
    say(
        [
            Table("Models", columns, rows, frozenset({0, 1, 2})),
            Table("Benchmark points (P21 Table 1)", ("name", "mass [MeV]", "g"), benchmarks),
        ],
        notes=[
            "P21: Amaral et al. 2021, arXiv:2104.03297.",
            "Charges of your own: --model e=1,mu=-2,tau=1, or a [[model]] table of a scan.",
        ],
    )


def _charges(model: dict[str, Any]) -> list[str]:
    if model["kind"] != "vector":  # universal couplings to neutrinos and quarks
        return ["-"] * len(model["charges"])
    return [number(charge, 3) for charge in model["charges"].values()]


@click.command(
    "experiments",
    cls=Verb,
    short_help="Detectors and analyses with thresholds and exposures.",
    example="lmltgrid experiments",
)
@options.experiments
@options.as_json
def experiments(*, as_json: bool, experiments: Path | None) -> None:
    """List the experiments, the shipped ones and those of a folder of your own."""
    from lmltgrid.tables.experiments import catalog

    shelf = catalog(experiments)
    if as_json:
        say_json({"experiments": [entry.as_dict() for entry in shelf.values()]})
        return
    columns = (
        *("name", "what it is", "channels", "data", "threshold", "lowest", "unit"),
        "exposure [t yr]",
    )
    rows = []
    for entry in shelf.values():
        spec = entry.spec
        limits = [number(entry.threshold, 4), number(entry.lowest_threshold, 4)]
        unit, exposure = entry.unit, number(spec.exposure_tonne_year)
        if unit == "several":  # each member has its own
            limits, unit, exposure = ["-", "-"], "-", "-"
        elif unit == "GeV":  # a run of muons
            exposure = "-"
        what = entry.name, spec.title, "+".join(entry.channels) or "-", entry.data
        rows.append((*what, *limits, unit, exposure))
    notes = [
        "The threshold of a binned likelihood is where its bins begin; of a gas, the pressure.",
        "a+b adds up experiments with a likelihood or a count; name@1 is a count above 1 keV.",
    ]
    say([Table("Experiments", columns, rows, frozenset({0, 1, 2, 3, 6}))], notes=notes)


_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


@click.command(
    "schema",
    cls=Verb,
    short_help="JSON schema of a specification, for editors.",
    example="lmltgrid schema > lmltgrid-scan.schema.json",
)
@click.argument("kind", type=click.Choice(["scan", "experiment"]), default="scan")
def schema(*, kind: str) -> None:
    """Print the JSON schema of the files that you write: a scan (default) or an experiment."""
    say_json(_schema(kind), indent=2)


def _schema(kind: str) -> dict[str, Any]:
    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema

    from lmltgrid.spec import ScanSpec
    from lmltgrid.tables.experiments import SPECS

    class Bounded(GenerateJsonSchema):
        """Bounds beside a validator of ours keep pydantic's names, which no editor knows."""

        def generate_inner(self, schema: Any) -> dict[str, Any]:
            found = super().generate_inner(schema)
            return {_BOUNDS.get(key, key): value for key, value in found.items()}

    form: Any = ScanSpec if kind == "scan" else reduce(or_, SPECS.values())
    found = TypeAdapter(form).json_schema(schema_generator=Bounded)
    # editors go by the dialect to know how to read the rest
    return {"$schema": GenerateJsonSchema.schema_dialect} | found
