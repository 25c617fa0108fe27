"""What happens inside a worker: a call computes and writes a *bundle* of units, and of how many.

It answers with a few numbers. The store and the state of the evaluator stay in the process from
one call to the next.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

from numpy.typing import NDArray

from lmltgrid.errors import MachineError
from lmltgrid.lease import Fence
from lmltgrid.store import Store, open_store

TARGET = 0.5  # s that a bundle should last
LARGEST = 256  # units in a bundle
CALL = 0.005  # s that client and scheduler may take for a call; measured, 3 to 4 ms
LEAST = 0.03  # s below which a bundle is not divided
HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Evaluator:
    """How units are computed: two functions of an importable module, so that workers find them.

    ``load(store)`` runs once in each process and returns a state; ``evaluate(state, group, index)``
    returns the arrays of the group's unit at ``index`` by name.
    """

    load: Callable[[Store], Any]
    evaluate: Callable[[Any, str, tuple[slice, ...]], dict[str, NDArray[Any]]]


class Bundle(TypedDict):
    """What a call answers."""

    done: list[int]
    failed: list[dict[str, Any]]
    bytes: int
    seconds: float  # in all, without loading
    machine: str  # why nothing more can be written, or empty
    broken: str  # why the evaluator cannot be loaded, or empty


_loaded: dict[tuple[str, str, str], tuple[Store, Any]] = {}
_loading = threading.Lock()


def _load(path: str, token: str, evaluator: Evaluator) -> tuple[Store, Any]:
    """Return the open store and the evaluator's state, kept until the process turns to another."""
    load = evaluator.load
    key = (path, token, f"{load.__module__}.{load.__qualname__}")
    with _loading:
        if key not in _loaded:
            _loaded.clear()
            store = open_store(path)
            _loaded[key] = store, load(store)
        return _loaded[key]


def run_bundle(
    path: str, token: str, evaluator: Evaluator, lease: tuple[str, str], units: tuple[int, ...]
) -> Bundle:
    """Compute and write units, in any process; a failing unit does not stop the others.

    Parameters
    ----------
    path, token
        Of the store and its plan.
    evaluator
        What computes.
    lease
        Name and token of the lease under which the run works; without it nothing is written.
    units
        What is computed.
    """
    result = Bundle(done=[], failed=[], bytes=0, seconds=0.0, machine="", broken="")
    try:
        store, state = _load(path, token, evaluator)
    except MachineError as error:
        result["machine"] = str(error)
        return result
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        result["broken"] = f"{path}: the evaluator cannot be loaded ({text})"
        return result
    start = time.perf_counter()
    fence = Fence(store.storage, *lease)
    try:
        for unit in units:
            if result["machine"] or fence.closed():
                break
            if store.is_done(unit):  # by a process that was believed dead
                result["done"].append(unit)
            else:
                _run_unit(store, evaluator, state, unit, fence, result)
    except OSError as error:  # from the ledger: nobody can say what is done
        result["machine"] = f"{store.path}: it cannot be read ({error.strerror or error})"
    result["seconds"] = time.perf_counter() - start
    return result


def _run_unit(
    store: Store, evaluator: Evaluator, state: Any, unit: int, fence: Fence, result: Bundle
) -> None:
    """Compute and write one unit, and enter into ``result`` how that ended.

    Nothing is entered if the run was replaced while its process computed, or slept.
    """
    place = store.plan.place(unit)
    start = time.perf_counter()
    writing = False
    try:
        arrays = evaluator.evaluate(state, place.group.path, place.index)
        if store.is_done(unit):  # by a process that was retired while it computed
            result["done"].append(unit)
            return
        if fence.lost():
            return
        writing = True
        marker = store.write_unit(unit, arrays, time.perf_counter() - start)
    except Exception as error:
        if writing and isinstance(error, OSError) and _hopeless(error):
            result["machine"] = f"{store.path}: unit {unit} cannot be written ({error.strerror})"
            return
        record = {
            "unit": unit,
            "type": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error))[-4000:],
            "host": socket.gethostname(),
            "again": isinstance(error, OSError | MemoryError),  # may be a mood of the machine
        }
        result["failed"].append(record)
    else:
        result["done"].append(unit)
        result["bytes"] += marker.nbytes


def _hopeless(error: OSError) -> bool:
    """Return whether no other unit could be written either; a server has been waited for."""
    return isinstance(error, ConnectionError) or error.errno in HOPELESS


def lasting(pace: float, seconds: float = TARGET) -> int:
    """Return how many units, of ``pace`` seconds each, last so long; at least one."""
    return int(min(max(seconds / pace, 1.0), LARGEST)) if pace > 0 else LARGEST


def target(slots: int) -> float:
    """Return how many seconds a bundle should last so that one scheduler can feed all workers."""
    return max(TARGET, CALL * slots)


def bundle_size(untried: int, slots: int, pace: float) -> int:
    """Return how many units the next call takes: so that calls last, and all finish together."""
    fair = max(-(-untried // (2 * slots)), lasting(pace, LEAST))
    return min(fair, lasting(pace, target(slots)), untried)
