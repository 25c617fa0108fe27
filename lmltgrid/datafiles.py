"""Finds the shipped ``data/`` folder, in a checkout or in a wheel, and reads its tables.

Every shipped file is listed in ``data/MANIFEST.toml`` with its primary source and its SHA-256; a
file whose bytes are not those of the manifest is refused.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import sys
import tomllib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmltgrid.errors import LmltgridError, MachineError, SpecificationError, VerificationError

Table = dict[str, NDArray[np.float64]]

MAX_TABLE_BYTES = 8 * 2**20  # a table is small; a larger file is a mistake


@lru_cache(maxsize=1)
def data_folder() -> Path:
    """Return the folder of the shipped data files.

    Raises
    ------
    MachineError
        The installation has no data.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "data", package.parent / "data"):
        if (folder / "MANIFEST.toml").is_file():
            return folder
    raise MachineError(
        f"{package}: the installation has no data/MANIFEST.toml; install lmltgrid again"
    )


@lru_cache(maxsize=1)
def manifest() -> dict[str, dict[str, str]]:
    """Return the entries of ``data/MANIFEST.toml`` by path relative to ``data/``."""
    path = data_folder() / "MANIFEST.toml"
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["file"]
        return {entry["path"]: entry for entry in entries if entry["sha256"]}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise MachineError(
            f"{path}: the list is damaged ({error}); install lmltgrid again"
        ) from None


def read_bytes(name: str) -> bytes:
    """Return the bytes of the shipped file ``name`` after checking its SHA-256.

    Raises
    ------
    MachineError
        The file is missing, or is not in the manifest.
    VerificationError
        Its bytes are not those that the manifest records.
    """
    entry = manifest().get(name)
    path = data_folder() / name
    if entry is None:
        raise MachineError(f"data/{name}: not listed in data/MANIFEST.toml; add its entry")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MachineError(
            f"{path}: cannot be read ({error.strerror}); install lmltgrid again"
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry["sha256"]:
        raise VerificationError(
            f"{path}: the file is damaged: its SHA-256 is {digest[:12]}..., the manifest says "
            f"{entry['sha256'][:12]}...; install lmltgrid again, or restore the file"
        )
    return content


@lru_cache(maxsize=64)
def read_table(name: str, columns: tuple[str, ...]) -> Table:
    """Return the columns of the shipped CSV file ``name`` as read-only float arrays.

    Parameters
    ----------
    name
        Path relative to ``data/``.
    columns
        The columns that must be there; further columns are ignored.
    """
    return parse_table(read_bytes(name), columns, f"data/{name}")


def read_bounded(path: Path, most: int) -> bytes:
    """Return a user's file, or of a larger one its first ``most`` + 1 bytes: devices never end."""
    with path.open("rb") as file:
        return file.read(most + 1)


def read_toml(name: str) -> dict[str, Any]:
    """Return the content of the shipped TOML file ``name``."""
    return parse_toml(read_bytes(name), f"data/{name}")


def parse_toml(content: bytes, where: str) -> dict[str, Any]:
    """Return the content of a TOML file; ``where`` names it in messages.

    Raises
    ------
    SpecificationError
        The bytes are not TOML; the message has the line.
    """
    try:
        return tomllib.loads(content.decode("utf-8-sig"))  # editors on Windows write the mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecificationError(f"{where}: not valid TOML: {error}; correct that line") from None


def parse_table(content: bytes, columns: Sequence[str], where: str) -> Table:
    """Return the named columns of a CSV file with one header line.

    Raises
    ------
    SpecificationError
        A column is missing, a field is not a finite number, or there are no rows.
    """
    if len(content) > MAX_TABLE_BYTES:
        raise SpecificationError(
            f"{where}: {len(content)} bytes, {MAX_TABLE_BYTES} allowed; tabulate it coarser"
        )
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig", errors="replace")))
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise SpecificationError(
            f"{where}, line {reader.line_num}: not a table: {error}; correct that line"
        ) from None
    header = [name.strip() for name in rows[0][1]] if rows else []
    missing = [name for name in columns if name not in header]
    if missing:
        raise SpecificationError(
            f"{where}: column {missing[0]!r} is missing; the columns there are "
            f"{', '.join(header) or 'none'}; add it"
        )
    body = rows[1:]
    if not body:
        raise SpecificationError(f"{where}: no rows below the header; add at least one")
    table = {}
    for name in columns:
        index = header.index(name)
        values = np.array([_number(row, index, name, f"{where}, line {i}") for i, row in body])
        values.setflags(write=False)
        table[name] = values
    return table


def _number(row: list[str], index: int, name: str, where: str) -> float:
    """Return one field as a finite number, or say which one is not."""
    text = row[index] if index < len(row) else ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SpecificationError(
            f"{where}: column {name!r} has {text!r}; a finite number is needed; correct it"
        )
    return value


def _stale() -> list[str]:
    """Return one line for every file whose manifest entry is missing or out of date."""
    lines = []
    listed = manifest()
    for path in sorted(data_folder().rglob("*")):
        name = path.relative_to(data_folder()).as_posix()
        if not path.is_file() or name == "MANIFEST.toml":
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if name not in listed:
            lines.append(f'unlisted: {name} sha256 = "{digest}"')
        elif listed[name]["sha256"] != digest:
            lines.append(f'changed: {name} sha256 = "{digest}"')
    lines += [f"missing: {name}" for name in listed if not (data_folder() / name).is_file()]
    return lines


if __name__ == "__main__":  # `python -m lmltgrid.datafiles` checks the manifest
    try:
        problems = _stale()
    except LmltgridError as failure:
        sys.exit(str(failure))
    sys.exit("\n".join(problems) or 0)
