"""Whether this machine, and the place of a store, can do what a scan needs."""

from __future__ import annotations

from dataclasses import asdict

import click

from lmltgrid.cli import options
from lmltgrid.cli.application import Verb
from lmltgrid.cli.output import Table, say, say_json
from lmltgrid.errors import MachineError


@click.command(
    "doctor",
    cls=Verb,
    short_help="Check the installation, this machine, and the place for stores.",
    example="lmltgrid doctor .",
)
@click.argument("place", metavar="[FOLDER|s3://BUCKET/PREFIX]", default=".")
@click.option(
    "--cluster",
    metavar="local|ADDRESS|FILE",
    help="Also check that the workers of a cluster can be reached, have the same versions and see "
    "the folder; of a batch system, what this machine needs to submit jobs.",
)
@options.as_json
def doctor(*, place: str, cluster: str | None, as_json: bool) -> None:
    """Check what a scan needs, and say what to change; exit code 6 if something fails.

    Name the folder where stores are to be created, by default the current one, or a place on S3. A
    few small files are written there and removed again.
    """
    from lmltgrid.doctor import FAILED, examine

    found = examine(place)
    if cluster is not None:
        from lmltgrid.reach import reach

        found += reach(cluster, place)
    failed = [check.name for check in found if check.state == FAILED]
    if as_json:
        say_json({"ok": not failed, "checks": [asdict(check) for check in found]})
    else:
        rows = [(check.name, check.state, check.found, check.advice) for check in found]
        columns = ("check", "state", "found", "what to do")
        say([Table("Health", columns, rows, frozenset(range(4)))])
    if failed:
        raise MachineError(f"doctor: {len(failed)} check(s) failed: {', '.join(failed)}")
