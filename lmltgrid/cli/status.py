"""status: how far a scan is, once or as long as it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lmltgrid.cli import options
from lmltgrid.cli.application import EXIT_INTERRUPTED, Verb
from lmltgrid.cli.output import Table, drawn, say, say_json, size
from lmltgrid.cli.scans import store_argument
from lmltgrid.errors import PartialStoreError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from lmltgrid.watch import Look

SECONDS: Final = 2.0  # between looks
FEW: Final = 4  # shards at work that are named one by one
LEAST, MOST = 0.1, 86400.0  # that may be asked for
FRAMES: Final = 4  # a second; the clock of what is left runs on between looks


def _seconds(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Return the seconds between looks; what follows --watch is taken for them."""
    if value is None:
        return None
    with suppress(ValueError):
        if LEAST <= float(value) <= MOST:
            return float(value)
    raise click.BadParameter(
        f"{value!r} is given; seconds from {LEAST:g} to {MOST:g} are allowed; give some, or write "
        "--watch after the store",
        context,
        option,
    )


@click.command(
    "status",
    cls=Verb,
    short_help="How far a scan is, and what failed; --watch follows it.",
    example="lmltgrid status quickstart.zarr --watch",
)
@store_argument
@click.option(
    "--watch",
    "seconds",
    metavar="[SECONDS]",
    is_flag=False,
    flag_value=str(SECONDS),
    callback=_seconds,
    help=f"Look again every so many seconds ({SECONDS:g} if none are given) until the scan is "
    "complete or nobody works on it; exit code 0 or 4.",
)
@options.as_json
def status(*, store: Path, seconds: float | None, as_json: bool) -> int:
    """Tell how much of the scan in STORE is finished.

    With --watch and --json each look is a JSON object on a line of its own.
    """
    if seconds is not None:
        return _watch(store, seconds, as_json=as_json)
    from lmltgrid import service
    from lmltgrid.ledger import failure_words

    found = service.status(store)
    if as_json:
        say_json(found)
        return 0
    rows = [(name, group["done"], group["units"]) for name, group in found["groups"].items()]
    notes = [
        f"{found['done']} of {found['units']} units, {size(found['bytes'])}; "
        + ("complete." if found["complete"] else f"'lmltgrid resume {store}' computes the rest.")
    ]
    notes += [
        f"failed: unit {unit}: {failure_words(record)}" for unit, record in found["failed"].items()
    ]
    notes += _holders(found["leases"])
    say([_parts(f"{store}, created {found['created']}", rows)], notes=notes)
    return 0


def _parts(title: str, rows: list[tuple[str, int, int]]) -> Table:
    """Return how many units of each part are done, as a table."""
    text = [(name, str(done), str(units)) for name, done, units in rows]
    return Table(title, ("part", "done", "units"), text, frozenset({0}))


def _holders(leases: list[dict[str, Any]]) -> list[str]:
    """Say who uses a store or shards of it, and which runs that did are gone, a sentence each."""
    from lmltgrid.lease import holder_words

    notes = [_gone(lease, holder_words(lease)) for lease in leases if lease["stale"]]
    working = [lease for lease in leases if not lease["stale"]]
    if len(working) > FEW:
        hosts = len({lease.get("host") for lease in working})
        return [*notes, f"in use by {len(working)} shards on {hosts} host(s)."]
    return notes + [f"in use by {_of_shard(lease)}{holder_words(lease)}." for lease in working]


def _of_shard(lease: dict[str, Any]) -> str:
    return f"shard {lease['shard']}: " if lease["shard"] else ""


def _gone(lease: dict[str, Any], who: str) -> str:
    """Say that the run that held a lease is gone, and what takes over."""
    gone = f"not in use: the run that held it is gone ({who}: {lease['why']})"
    if lease["shard"]:
        return f"shard {lease['shard']} is {gone}; it can be run again, or resume takes over."
    return f"{gone}; resume takes over."


def _watch(store: Path, seconds: float, *, as_json: bool) -> int:
    """Show a store until nothing more will change; return the exit code."""
    from lmltgrid.watch import watch

    looks = watch(store, seconds)
    try:
        if as_json:
            last = _as_json(looks)
        elif _moves():
            last = _on_screen(store, looks)
        else:
            last = _as_lines(store, looks)
    except KeyboardInterrupt:  # how one leaves off watching
        return EXIT_INTERRUPTED
    if last.complete:
        return 0
    missing = last.progress.total - last.progress.done
    raise PartialStoreError(
        f"{store}: {missing} of {last.progress.total} units are missing and no run works on them; "
        f"'lmltgrid resume {store}' computes them"
    )


def _moves() -> bool:
    """Return whether stdout is a terminal that can draw in place."""
    from rich.console import Console

    return sys.stdout.isatty() and not Console().is_dumb_terminal


def _as_json(looks: Iterator[Look]) -> Look:
    for seen in looks:
        say_json(seen.as_dict())
    return seen


def _as_lines(store: Path, looks: Iterator[Look]) -> Look:
    """Print a line for each look at which something has changed."""
    from lmltgrid.progress import line_words, timed

    before: tuple[int, int] | None = None
    notes: list[str] = []
    for seen in looks:
        counts = seen.progress.done, seen.progress.failed
        if counts != before:
            click.echo(timed(f"{store}: {line_words(seen.progress)}"))
        known, notes = notes, _notes(store, seen)
        for note in notes:
            if note not in known:
                click.echo(timed(f"{store}: {note}"))
        before = counts
    return seen


def _on_screen(store: Path, looks: Iterator[Look]) -> Look:
    """Draw each look in the place of the one before."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with Live(console=console, refresh_per_second=FRAMES) as live:
        for seen in looks:
            live.update(_Screen(store, seen, console), refresh=True)
    return seen


class _Screen:
    """A look as a terminal shows it; the time that is left runs on between looks."""

    def __init__(self, store: Path, seen: Look, console: Console) -> None:
        self._store = store
        self._seen = seen
        self._console = console
        self._drawn = time.monotonic()

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        from lmltgrid.progress import bar_line

        age = time.monotonic() - self._drawn if self._seen.busy else 0.0
        rows = [(name, done, units) for name, (units, done) in self._seen.groups.items()]
        return Group(
            Text(str(self._store), style="bold"),
            drawn(_parts("", rows)),
            "",
            bar_line(self._seen.progress, age, self._console.width),
            *(Text(note) for note in _notes(self._store, self._seen)),
        )


def _notes(store: Path, seen: Look) -> list[str]:
    """Return what is to be said beside the numbers, a sentence each."""
    notes = []
    if seen.complete:
        notes.append("complete.")
    notes += _holders(seen.holders)
    if seen.stopping and seen.busy:
        notes.append("asked to stop: it ends after the units that it computes now.")
    if seen.progress.failed:
        notes.append(f"{seen.progress.failed} unit(s) failed; 'lmltgrid status {store}' says why.")
    return notes
