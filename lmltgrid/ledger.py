"""The record of what is finished: plain JSON files in the folder ``_ledger`` of a store.

A unit is finished when, and only when, its marker exists and can be read; a marker is written
after the data, and appears whole. Nothing here knows what a unit holds: `lmltgrid.plan` does.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lmltgrid.shard import Shard
from lmltgrid.storage import Address, Storage

FOLDER = "_ledger"
STOP = f"{FOLDER}/stop"
RECORD_BYTES = 2**20  # of a marker or the record of a failure: more is none
JSON_BYTES = 2**26  # of another file of a store: its plan, its metadata
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
    """Markers of finished units and records of failed ones, of the store in ``storage``."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._looked = -math.inf

    @property
    def folder(self) -> Address:
        """Where the records lie."""
        return self.storage.at(FOLDER)

    def marked(self) -> list[int]:
        """Return the units that have a marker file, readable or not; only names are looked at."""
        return sorted(self.each_marked())

    def each_marked(self, shard: Shard | None = None) -> Iterator[int]:
        """Iterate over units that have a marker file, readable or not; only names are looked at.

        Only the units of ``shard``, if one is given.
        """
        return (u for u, _ in self._numbered("done") if shard is None or shard.has(u))

    def markers(self, shard: Shard | None = None) -> Iterator[tuple[int, Marker | None]]:
        """Iterate over units that have a marker file; `None` stands for an unreadable marker.

        Only the units of ``shard``, if one is given.
        """
        return self.markers_of(self.each_marked(shard))

    def markers_of(self, units: Iterable[int]) -> Iterator[tuple[int, Marker | None]]:
        """Iterate over some units and their markers, `None` for one missing or unreadable."""
        names = (_name("done", unit) for unit in units)
        for name, content in self.storage.read_each(names, RECORD_BYTES):
            unit = _unit_of("done", name)
            assert unit is not None  # noqa: S101 - the name was made of one
            yield unit, _marker(parsed(content), unit)

    def marker(self, unit: int) -> Marker | None:
        """Return the marker of a unit, or `None`: missing or unreadable."""
        return _marker(read_json(self.storage, _name("done", unit)), unit)

    def finish(self, marker: Marker) -> None:
        """Write the marker of a unit whose data are written.

        It may have failed before: a record of that counts no more, now that it is finished.
        """
        write_json(self.storage, _name("done", marker.unit), asdict(marker))

    def reopen(self, unit: int) -> None:
        """Remove a marker, and any record of a failure: the unit counts as not computed."""
        self.storage.delete(_name("done", unit))
        self.storage.delete(_name("failed", unit))

    def fail(self, unit: int, record: Mapping[str, Any]) -> None:
        """Record why a unit could not be computed."""
        write_json(self.storage, _name("failed", unit), {"unit": unit, **record})

    def failed(self) -> list[int]:
        """Return the units that have a record of a failure; fast, see `failures`."""
        return sorted(unit for unit, _ in self._numbered("failed"))

    def failures(self) -> dict[int, dict[str, Any]]:
        """Return the records of units that failed; they may be finished since."""
        units = {name: unit for unit, name in self._numbered("failed")}
        return {
            units[n]: parsed(text) or {} for n, text in self.storage.read_each(units, RECORD_BYTES)
        }

    @property
    def stop_file(self) -> Address:
        """The file whose existence asks all runs on the store to stop after their units."""
        return self.storage.at(STOP)

    def asked_to_stop(self) -> bool:
        """Return whether there is a stop file, or was none within the pace of the storage."""
        if time.monotonic() - self._looked < self.storage.pace:
            return False
        if self.storage.exists(STOP):
            return True
        self._looked = time.monotonic()
        return False

    def go_on(self) -> None:
        """Remove the stop file."""
        self.storage.delete(STOP)

    def strays(self, units: int) -> list[str]:
        """Return the files among the markers that are no marker of units 0 to ``units`` - 1.

        Temporary files are not among them: a sweep removes those.
        """
        found = ((_unit_of("done", n), n) for n in self.storage.names(f"{FOLDER}/done"))
        strays = (n for unit, n in found if unit is None or unit >= units)
        return sorted(name for name in strays if not name.endswith(".tmp"))

    def _numbered(self, kind: str) -> Iterator[tuple[int, str]]:
        for name in self.storage.names(f"{FOLDER}/{kind}"):
            unit = _unit_of(kind, name)
            if unit is not None:
                yield unit, name


def _name(kind: str, unit: int) -> str:
    """Return the name of a unit's file of a kind."""
    return f"{FOLDER}/{kind}/{unit // PER_FOLDER:06d}/{unit % PER_FOLDER:03d}.json"


def _unit_of(kind: str, name: str) -> int | None:
    """Return the unit that the name of a file stands for, if any."""
    *_, folder, file = name.split("/")
    number = file.removesuffix(".json")
    if not (number.isdecimal() and folder.isdecimal()):
        return None
    unit = int(folder) * PER_FOLDER + int(number)
    # another spelling of a number would count the unit twice
    return unit if _name(kind, unit) == name else None


def _marker(content: dict[str, Any] | None, unit: int) -> Marker | None:
    if content is None or content.get("unit") != unit:
        return None
    try:
        chunks = {str(k): (int(size), int(crc)) for k, (size, crc) in content["chunks"].items()}
        return Marker(**content | {"chunks": chunks})
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def failure_words(record: Mapping[str, Any]) -> str:
    """Return the record of a failure as one sentence: what happened, and where.

    Examples
    --------
    >>> spans = {"model": ["Lmu", "Lmu"], "mass": [1.0, 300.0]}
    >>> failure_words({"type": "ValueError", "message": "no root", "coordinates": spans})
    'ValueError: no root (model Lmu, mass 1 to 300)'
    """
    spans = []
    for dim, ends in record.get("coordinates", {}).items():
        first, last = (f"{end:.5g}" if isinstance(end, float) else str(end) for end in ends)
        spans.append(f"{dim} {first}" + (f" to {last}" if last != first else ""))
    text = f"{record.get('type')}: {record.get('message')}" + (f" ({', '.join(spans)})")
    return " ".join(text.split())


def as_json(content: Mapping[str, Any]) -> bytes:
    """Return a JSON object as the bytes of a file."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def write_json(storage: Storage, name: str, content: Mapping[str, Any]) -> None:
    """Write a JSON object so that the file holds all of it or does not change."""
    storage.write(name, as_json(content))


def read_json(storage: Storage, name: str) -> dict[str, Any] | None:
    """Return the JSON object in a file, or `None` if there is none or it is damaged.

    Raises
    ------
    ConnectionError, PermissionError
        Nobody can say what is there.
    """
    try:
        return parsed(storage.read(name, JSON_BYTES))
    except OSError as error:
        return parsed(error)


def parsed(content: bytes | OSError) -> dict[str, Any] | None:
    """Return the JSON object that was read, see `read_json`."""
    if isinstance(content, ConnectionError | PermissionError):
        raise content
    if isinstance(content, OSError):
        return None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
