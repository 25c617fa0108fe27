"""The record of what is finished: plain JSON files in the folder ``_ledger`` of a store.

A unit is finished when, and only when, its marker exists and can be read; a marker is written
after the data, under a temporary name, flushed to disk, and then renamed. Nothing here knows what
a unit holds: `lmltgrid.plan` does.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOLDER = "_ledger"
PER_FOLDER = 1000  # markers in one sub-folder: directories stay short on shared file systems


@dataclass(frozen=True)
class Marker:
    """What is known of a finished unit.

    ``chunks`` gives size and CRC-32C of each array's chunk file, ``values`` the smallest and the
    largest value (as text: JSON has no infinity) and the number of NaN.
    """

    unit: int
    chunks: dict[str, tuple[int, int]]
    values: dict[str, tuple[str, str, int]]
    seconds: float
    host: str
    time: str

    @property
    def nbytes(self) -> int:
        """Bytes of the unit on disk."""
        return sum(size for size, _ in self.chunks.values())


class Ledger:
    """Markers of finished units and records of failed ones, of the store at ``path``."""

    def __init__(self, path: Path) -> None:
        self.folder = path / FOLDER
        self._made: set[Path] = set()

    def marked(self) -> list[int]:
        """Return the units that have a marker file, readable or not; fast."""
        return sorted(unit for unit, _ in self._numbered("done"))

    def markers(self) -> Iterator[tuple[int, Marker | None]]:
        """Iterate over units that have a marker file; `None` stands for an unreadable marker."""
        for unit, path in self._numbered("done"):
            yield unit, _marker(path, unit)

    def marker(self, unit: int) -> Marker | None:
        """Return the marker of a unit, or `None`: missing or unreadable."""
        return _marker(self._path("done", unit), unit)

    def finish(self, marker: Marker) -> None:
        """Write the marker of a unit whose data are written, and forget that it ever failed."""
        write_json(self._path("done", marker.unit, make=True), asdict(marker))
        self.forgive(marker.unit)

    def reopen(self, unit: int) -> None:
        """Remove a marker: the unit counts as not computed."""
        self._path("done", unit).unlink(missing_ok=True)

    def fail(self, unit: int, record: Mapping[str, Any]) -> None:
        """Record why a unit could not be computed."""
        write_json(self._path("failed", unit, make=True), {"unit": unit, **record})

    def forgive(self, unit: int) -> None:
        """Remove the record of a failure."""
        self._path("failed", unit).unlink(missing_ok=True)

    def failures(self) -> dict[int, dict[str, Any]]:
        """Return the records of failed units."""
        return {unit: read_json(path) or {} for unit, path in self._numbered("failed")}

    def sweep(self) -> int:
        """Remove temporary files that a killed process left; return how many."""
        orphans = [path for path in self.folder.rglob("*.tmp") if path.is_file()]
        for path in orphans:
            path.unlink(missing_ok=True)
        return len(orphans)

    @property
    def stop_file(self) -> Path:
        """The file whose existence asks every process of a run to stop after its unit."""
        return self.folder / "stop"

    def strays(self, units: int) -> list[Path]:
        """Return the files among the markers that are no marker of units 0 to ``units`` - 1.

        Temporary files are not among them: `sweep` removes those.
        """
        markers = {path for unit, path in self._numbered("done") if unit < units}
        found = (path for path in (self.folder / "done").rglob("*") if not path.is_dir())
        return sorted(path for path in found if path not in markers and path.suffix != ".tmp")

    def _path(self, kind: str, unit: int, *, make: bool = False) -> Path:
        name, file = _names(unit)
        folder = self.folder / kind / name
        if make and folder not in self._made:
            folder.mkdir(parents=True, exist_ok=True)
            self._made.add(folder)
        return folder / file

    def _numbered(self, kind: str) -> Iterator[tuple[int, Path]]:
        with suppress(FileNotFoundError):
            folders = (entry for entry in os.scandir(self.folder / kind) if entry.is_dir())
            for folder in sorted(folders, key=lambda entry: entry.name):
                for entry in os.scandir(folder.path):
                    unit = _unit_of(folder.name, entry.name)
                    if unit is not None:
                        yield unit, Path(entry.path)


def _names(unit: int) -> tuple[str, str]:
    """Return the names of a unit's folder and of its file in there."""
    return f"{unit // PER_FOLDER:06d}", f"{unit % PER_FOLDER:03d}.json"


def _unit_of(folder: str, file: str) -> int | None:
    """Return the unit that the names of a folder and of a file in it stand for, if any."""
    name = file.removesuffix(".json")
    if not (name.isdecimal() and folder.isdecimal()):
        return None
    unit = int(folder) * PER_FOLDER + int(name)
    # another spelling of a number would count the unit twice
    return unit if _names(unit) == (folder, file) else None


def _marker(path: Path, unit: int) -> Marker | None:
    content = read_json(path)
    if content is None or content.get("unit") != unit:
        return None
    try:
        chunks = {str(k): (int(size), int(crc)) for k, (size, crc) in content["chunks"].items()}
        return Marker(**content | {"chunks": chunks})
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object so that ``path`` holds all of it or does not change."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, or `None` if there is none or it is damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
