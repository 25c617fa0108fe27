"""Answers on stdout: one JSON object, or tables for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_UNWRAPPED: Final = 10_000  # columns of output that is not a terminal


@dataclass(frozen=True)
class Table:
    """A table: its title, the heads of its columns (with units), its rows as text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: frozenset[int] = field(default_factory=frozenset)  # columns of words


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: no arrays, and null for what is not finite."""
    if hasattr(value, "tolist"):  # numpy, which is not imported for this
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def say_json(content: Mapping[str, Any], *, indent: int | None = None) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(plain(content), allow_nan=False, indent=indent))


def size(nbytes: int) -> str:
    """Return a number of bytes for people."""
    for unit, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if nbytes >= one:
            return f"{nbytes / one:.4g} {unit}"
    return f"{nbytes / 1e3:.4g} kB"


def number(value: Any, digits: int = 5) -> str:
    """Return a number for people; a dash for none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return f"{value:.{digits}g}"


def say(
    tables: Iterable[Table], *, settings: Mapping[str, Any] | None = None, notes: Iterable[str] = ()
) -> None:
    """Print tables, notes, and the settings that they hold for.

    Plain and unwrapped where stdout is not a terminal. On a terminal words are wrapped; rows are
    not, so that no number is broken or cut.
    """
    from rich.text import Text

    sink = StringIO()
    words = _console(sink, wrapped=sys.stdout.isatty())
    rows = _console(sink, wrapped=False)
    for table in tables:
        words.print(Text(table.title, style="bold"))
        rows.print(drawn(table))
        rows.print()
    for note in notes:
        words.print(Text(note))
    if settings:
        text = ", ".join(f"{key}={_shown(value)}" for key, value in settings.items())
        words.print(Text(f"settings: {text}", style="dim"))
    click.echo("\n".join(line.rstrip() for line in sink.getvalue().rstrip().splitlines()))


def _console(sink: StringIO, *, wrapped: bool) -> Console:
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(
        file=sink,
        force_terminal=terminal,
        width=Console().width if wrapped else _UNWRAPPED,
        color_system="auto" if terminal else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def drawn(table: Table) -> RichTable:
    """Return a table as rich draws it, without its title."""
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for index, head in enumerate(table.columns):
        drawn.add_column(Text(head), justify="left" if index in table.left else "right")
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_shown(entry) for entry in value)})"
    if isinstance(value, list):
        if len(value) > 8:
            return f"{_shown(value[0])}..{_shown(value[-1])} ({len(value)} values)"
        return "/".join(_shown(entry) for entry in value)
    return number(value, 6) if isinstance(value, float) else str(value)


def threshold_unit(energy_scale: str) -> str:
    """Return the unit of a threshold on an energy scale."""
    from lmltgrid.tables.experiment import UNIT_OF

    return UNIT_OF[energy_scale]  # type: ignore[index]
