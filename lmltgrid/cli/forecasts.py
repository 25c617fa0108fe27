"""What a scan will be and cost: the answer of ``run --dry-run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from lmltgrid.cli.output import Table, number, say, say_json, size
from lmltgrid.errors import MachineError

if TYPE_CHECKING:
    from lmltgrid.estimate import Forecast

_SHORT: Final = 120.0  # s, up to which seconds are easier to read than hours


def show_forecast(found: Forecast, *, as_json: bool) -> None:
    """Print a forecast.

    Raises
    ------
    MachineError
        The run would be refused; after the forecast is printed.
    """
    if as_json:
        say_json(found.as_dict())
    else:
        say([_parts(found), _costs(found)], notes=_notes(found))
    for warning in found.warnings:
        click.echo(f"lmltgrid: warning: {warning}", err=True)
    if found.problems:
        raise MachineError("; ".join(found.problems))


def _parts(found: Forecast) -> Table:
    columns = ("experiment", "shape", "chunk", "points", "chunks", "a chunk", "all chunks")
    rows = [
        (
            part.experiment,
            _product(part.shape),
            _product(part.chunk),
            number(float(part.points), 4),
            str(part.chunks),
            _seconds(part.chunk_seconds),
            _seconds(part.chunks_seconds),
        )
        for part in found.parts
    ]
    dims = " x ".join(found.parts[0].shape)
    return Table(f"Grids: {dims}", columns, rows, frozenset({0, 1, 2}))


def _costs(found: Forecast) -> Table:
    rate, made = int(found.stored_nbytes_per_second), number(found.files_per_second, 3)
    rows = [
        ("points", number(float(found.points), 4)),
        ("chunks", str(found.chunks)),
        ("files and folders", str(found.files)),
        ("bytes before compression", size(found.nbytes)),
        ("... compressed, about", size(found.stored_nbytes)),
        ("... free at the store's place", _room(found.free_nbytes)),
        ("moments", size(found.moments_nbytes)),
        ("memory of a worker, about", size(found.worker_nbytes)),
        ("... that it may take", size(found.memory_nbytes)),
        ("moments, one core", _seconds(found.moments_seconds)),
        ("start of each process", _seconds(found.startup_seconds + found.load_seconds)),
        ("chunks, one core", _seconds(found.chunks_seconds)),
        (
            "in all, one core",
            f"{number(found.core_seconds, 4)} s = {number(found.core_hours, 3)} h",
        ),
        (f"on the clock, {found.workers} worker(s), {found.cluster}", _seconds(found.seconds)),
        ("... if the file system takes each second", f"{size(rate)}, {made} files"),
    ]
    return Table("Forecast", ("what", "how much"), rows, frozenset({0}))


def _notes(found: Forecast) -> list[str]:
    notes = ["Times are those of this machine, measured just now on samples of the axes."]
    if found.exists:
        notes.append(
            f"{found.store} exists; a run goes on with what is missing, if it is this scan."
        )
    return [*notes, f"Nothing was stored in {found.store}."]


def _product(lengths: dict[str, int]) -> str:
    return " x ".join(map(str, lengths.values()))


def _room(nbytes: int | None) -> str:
    return "not known" if nbytes is None else size(nbytes)


def _seconds(seconds: float) -> str:
    return f"{number(seconds, 3)} s" if seconds < _SHORT else f"{number(seconds / 3600, 3)} h"
