"""Scans: run, resume, verify."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lmltgrid.cli import options
from lmltgrid.cli.application import Verb
from lmltgrid.cli.output import say, say_json, size
from lmltgrid.cli.summary import reading, summary_tables
from lmltgrid.cli.values import Duration, Until
from lmltgrid.errors import PartialStoreError, StoppedError, VerificationError
from lmltgrid.signals import sigterm_exits

if TYPE_CHECKING:
    from lmltgrid.service import Outcome
    from lmltgrid.storage import Address

CLUSTERS: Final = ("in-process", "local")
EXAMPLE: Final = "lmltgrid {} quickstart.zarr"


def _cluster(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no form of a cluster, before anything is read."""
    if value is None or value in CLUSTERS or "://" in value or value.endswith((".json", ".toml")):
        return value
    raise click.BadParameter(
        f"{value!r} is given; allowed: {', '.join(CLUSTERS)}, the address of a scheduler "
        "(tcp://host:port), a scheduler file (.json), a site file (.toml); choose one of them",
        context,
        option,
    )


store_argument = click.argument("store", type=options.StoreAddress())
how = options.joined(
    click.option(
        "--cluster",
        metavar="in-process|local|ADDRESS|FILE",
        callback=_cluster,
        help="Where to compute: in this process; with a Dask cluster of processes on this machine; "
        "with a running Dask scheduler, by its address (tcp://host:port or tls://host:port) or "
        "scheduler file (.json); or as a site file (.toml) says, as on a batch system: see "
        "deploy/. [default: as the specification says]",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, 4096),
        help="How many threads (in-process), processes (local) or workers of jobs compute.",
    ),
    click.option(
        "--until",
        type=Until(),
        help="Stop then with everything saved, and exit code 75; resume goes on.",
    ),
    click.option(
        "--deadline",
        type=Duration(),
        help="Give up, with everything saved and exit code 6, when no unit ends for so long. "
        "[default: as the specification says, 10m]",
    ),
    click.option(
        "--shard",
        metavar="K/N",
        help="Compute one of N shards only, K from 1 to N: a task of a job array, which needs no "
        "scheduler. All may start at once; exit code 0 when this shard is complete.",
    ),
    options.experiments,
    click.option(
        "--log",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Append what happens to FILE, a JSON object a line: start, progress, failures, end.",
    ),
    click.option("--quiet", is_flag=True, help="No progress on stderr."),
    options.as_json,
)


@click.command(
    "run",
    cls=Verb,
    short_help="Run a scan from a specification file, and show the physics found.",
    example="lmltgrid run data/scans/quickstart.toml --store quickstart.zarr",
)
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "--store",
    type=options.StoreAddress(),
    help="Where the results go, a folder or s3://bucket/name.zarr. [default: as the specification "
    "says, else its name with .zarr]",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check everything and forecast size, memory and time, from a few seconds of measurements; "
    "no store is created.",
)
@how
def run(*, spec: Path, as_json: bool, dry_run: bool, **asked: Any) -> int:
    """Evaluate the grid that SPEC describes, into a Zarr store.

    If the store holds a part of this scan already, the rest is computed.
    """
    if dry_run:
        from lmltgrid.cli.forecasts import show_forecast
        from lmltgrid.estimate import forecast

        for name in ("until", "deadline", "shard", "log"):
            if asked.pop(name) is not None:
                raise click.UsageError(f"--{name} belongs to a run; leave it out with --dry-run")
        asked.pop("quiet")
        show_forecast(forecast(spec, **asked), as_json=as_json)
        return 0
    with _stoppable(spec):
        from lmltgrid import service

        return _show(service.run(spec, **asked), as_json=as_json)


@click.command(
    "resume",
    cls=Verb,
    short_help="Finish a scan that was stopped.",
    example=EXAMPLE.format("resume"),
)
@store_argument
@how
def resume(*, store: Address, as_json: bool, **asked: Any) -> int:
    """Compute what is missing in STORE; the specification file is not needed."""
    with _stoppable(store):
        from lmltgrid import service

        return _show(service.resume(store, **asked), as_json=as_json)


def _stoppable(what: Address) -> AbstractContextManager[None]:
    """Heed SIGTERM before and after the service does; its imports take seconds."""
    text = f"lmltgrid: {what}: stopped by a signal; what was computed is saved, go on by the same"
    return sigterm_exits(f"{text} command", StoppedError.exit_code)


@click.command(
    "verify",
    cls=Verb,
    short_help="Check a store against its records; --deep recomputes a sample.",
    example=EXAMPLE.format("verify") + " --deep",
)
@store_argument
@click.option("--deep", is_flag=True, help="Read every byte, and compute a sample again.")
@click.option(
    "--repair",
    is_flag=True,
    help="Read every byte, mark what is damaged, so that resume computes it again, and remove "
    "stray files among the records.",
)
@options.as_json
def verify(*, store: Address, deep: bool, repair: bool, as_json: bool) -> None:
    """Check that STORE holds what its records say; exit code 5 if it does not."""
    from lmltgrid import service

    found = service.verify(store, deep=deep or repair)
    repaired = service.repair(store) if repair and not found["ok"] else 0
    if as_json:
        say_json(found | {"repaired": repaired})
    else:
        counts = f"{found['finished']} of {found['units']} units are there"
        sample = f", {found['recomputed']} computed again" if deep or repair else ""
        notes = [f"{store}: {'in order' if found['ok'] else 'damaged'}; {counts}{sample}."]
        say([], notes=[*notes, *(f"damaged: {problem}" for problem in found["problems"])])
    if found["ok"]:
        return
    count = len(found["problems"])
    if repaired and repaired == count:
        marked = count - len(found["strays"])
        if not marked:
            click.echo(f"lmltgrid: {store}: {repaired} stray file(s) removed", err=True)
            return
        raise PartialStoreError(
            f"{store}: {marked} damaged units were marked; 'lmltgrid resume {store}' "
            "computes them again"
        )
    remedy = "restore a copy" if repair else "verify --repair marks damaged units for resume"
    raise VerificationError(f"{store}: {count} problem(s) found; {remedy}")


def _show(outcome: Outcome, *, as_json: bool) -> int:
    """Print how a scan ended and what it found; return the exit code."""
    report = outcome.report
    if as_json:
        content = {"store": outcome.store, "figure": outcome.figure, "exit_code": outcome.exit_code}
        say_json(content | {"report": report, "summary": outcome.summary})
        return outcome.exit_code
    done = report["total"] - report["missing"]
    before = f" ({report['done_before']} were there before)" if report["done_before"] else ""
    what = f"Shard {report['shard']}" if report["shard"] else "Scan"
    seconds = report.get("seconds_in_all", report["seconds"])
    notes = reading(outcome.summary)
    notes += [
        f"{what} {report['ending']}: {done} of {report['total']} units{before}, "
        f"{size(report['bytes'])} written in {seconds:.1f} s to {outcome.store}"
    ]
    if report["shard"] and not outcome.exit_code and not outcome.summary:
        notes.append(f"'lmltgrid status {outcome.store}' shows how far the other shards are.")
    if outcome.exit_code:
        click.echo(f"lmltgrid: {report['sentence']}", err=True)
    if outcome.figure is not None:
        notes.append(f"Figure: {outcome.figure}")
    say(summary_tables(outcome.summary), notes=notes)
    return outcome.exit_code
