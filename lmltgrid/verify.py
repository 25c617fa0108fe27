"""Check a store against its records, and let a scan compute anew what is damaged."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from lmltgrid.errors import VerificationError
from lmltgrid.lease import Lease
from lmltgrid.ledger import Marker
from lmltgrid.plan import Place
from lmltgrid.progress import Message
from lmltgrid.shard import Shard
from lmltgrid.storage import Address, Storage
from lmltgrid.store import Arrays, Store, extremes, open_store, sealed

BATCH = 1024  # units looked at together

Evaluate = Callable[[str, tuple[slice, ...]], Arrays]


@dataclass
class VerifyReport:
    """What `verify_store` found: damaged units, damaged files, each with a sentence.

    ``strays`` are files, by name, among the markers that are no marker of a unit of the plan.
    """

    units: int
    finished: int = 0
    recomputed: int = 0
    deep: bool = False
    damaged: dict[int, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    strays: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether all that is there is what its record says; units may be missing."""
        return not self.problems

    @property
    def problems(self) -> list[str]:
        """All that is wrong, a sentence each."""
        return [*self.files.values(), *self.damaged.values(), *self.strays.values()]

    def require(self) -> None:
        """Raise `VerificationError`, with the first problem and their number, unless ok."""
        problems = self.problems
        if problems:
            remedy = "repair the store, then resume it" if not self.files else "restore a copy"
            raise VerificationError(f"{problems[0]} ({len(problems)} problem(s) in all); {remedy}")


def verify_store(
    store: Store,
    *,
    deep: bool = False,
    evaluate: Evaluate | None = None,
    sample: int = 3,
    seed: int = 0,
    shard: Shard | None = None,
) -> VerifyReport:
    """Compare what is stored with its records: sizes, and if ``deep`` every byte.

    The bytes of units are not looked at while files that say how to read them are damaged.

    ``evaluate(group, index)`` recomputes ``sample`` finished units, compared bit by bit, once
    nothing else is wrong.
    Nothing is changed; `repair_store` makes a resumed scan compute damaged units anew. Only the
    units of ``shard`` are looked at, if one is given.
    """
    report = VerifyReport(store.units(), deep=deep)
    for name, found in store.storage.sizes_of(store.plan.files):
        size, crc = store.plan.files[name]
        problem = _size_problem(found, size)
        if problem := problem or (_crc_problem(store.storage, name, crc) if deep else ""):
            report.files[name] = f"{store.storage.at(name)}: {problem}"
    for name in store.ledger.strays(store.units()):
        text = f"a stray file, no marker of the {store.units()} units"
        report.strays[name] = f"{store.storage.at(name)}: {text}"
    sound = np.zeros(store.units(), dtype=np.bool_)
    markers = store.ledger.markers(shard)
    # sound chunks cannot be decoded either where the metadata are damaged, and are no damage
    readable = deep and not report.files
    while some := list(islice(markers, BATCH)):
        known = [(unit, marker) for unit, marker in some if unit < store.units()]
        places = [store.plan.place(unit) for unit, _ in known]
        sizes = dict(store.storage.sizes_of(f for p in places for f in p.files().values()))
        report.finished += len(known)
        for place, (unit, marker) in zip(places, known, strict=True):
            problem = _unit_problem(store, place, marker, sizes, deep=readable)
            sound[unit] = not problem
            if problem:
                report.damaged[unit] = f"{store.path}: unit {unit}: {problem}"
    if evaluate is not None and not (report.files or report.damaged):
        chosen = np.random.default_rng(seed).permutation(np.flatnonzero(sound))[:sample]
        for unit in map(int, chosen):
            report.recomputed += 1
            if problem := _difference(store, unit, evaluate):
                report.damaged[unit] = f"{store.path}: unit {unit}: {problem}"
    return report


def require_sound(store: Store) -> None:
    """Refuse to compute from a store whose specification or moments are not what was written.

    Zarr reads a missing chunk as its fill value, so damaged moments would pass as numbers.

    Raises
    ------
    VerificationError
        Naming the first such file.
    """
    for name, (_, crc) in store.plan.files.items():
        if problem := _crc_problem(store.storage, name, crc):
            raise VerificationError(
                f"{store.storage.at(name)}: {problem}; nothing can be computed from it: restore a "
                "copy, or run the scan into a new store"
            )


def _unit_problem(
    store: Store,
    place: Place,
    marker: Marker | None,
    sizes: Mapping[str, int | None],
    *,
    deep: bool,
) -> str:
    if marker is None:
        return "its marker cannot be read"
    for name, file in place.files().items():
        size, crc = marker.chunks.get(name, (0, 0))
        if problem := _size_problem(sizes.get(file), size):
            return f"{file}: {problem}"
        if deep and (problem := _content_problem(store, place, name, crc, marker.values)):
            return f"{file}: {problem}"
    return ""


def _content_problem(
    store: Store, place: Place, name: str, crc: int, values: Mapping[str, Any]
) -> str:
    """Decode a chunk, which compares its bytes with the CRC that ends it."""
    try:
        if sealed(store.storage, place.files()[name])[1] != crc:
            return "its CRC is not the recorded one"
        data = store.read_array(place, name)
    except ConnectionError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        return f"it cannot be decoded ({error})"
    same = list(extremes(data)) == list(values.get(name, ()))
    return "" if same else "its extreme values are not the recorded ones"


def _difference(store: Store, unit: int, evaluate: Evaluate) -> str:
    place = store.plan.place(unit)
    fresh, stored = evaluate(place.group.path, place.index), store.read_unit(unit)
    differing = [n for n in stored if stored[n].tobytes() != np.asarray(fresh[n]).tobytes()]
    return f"computed again, {', '.join(differing)} differs" if differing else ""


def _size_problem(found: int | None, size: int) -> str:
    """Say what is wrong with the presence or the size of a file, if anything."""
    if found is None:
        return "it is missing"
    return "" if found == size else f"it has {found} bytes, its record says {size}"


def _crc_problem(storage: Storage, name: str, crc: int) -> str:
    """Say what is wrong with the content of a file, if anything."""
    try:
        content = storage.read(name)
    except ConnectionError:
        raise
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return "" if zlib.crc32(content) == crc else "its CRC is not the recorded one"


def repair_store(path: Address, report: VerifyReport, message: Message) -> int:
    """Make a resumed scan compute the damaged units of ``report`` anew, and remove stray files.

    Returns
    -------
    int
        How many problems were mended.
    """
    store = open_store(path)
    with Lease(store.path, message):
        for stray in report.strays:
            store.storage.delete(stray)
            message(f"{store.storage.at(stray)}: removed")
        return discard_damaged(store, report, message) + len(report.strays)


def discard_damaged(store: Store, report: VerifyReport, message: Message) -> int:
    """Remove the damaged units of ``report``; only for the holder of the store's lease."""
    store.discard(list(report.damaged))
    for sentence in report.damaged.values():
        message(f"{sentence}; it will be computed anew")
    return len(report.damaged)
