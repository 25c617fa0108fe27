"""How a store comes into being where nothing can be renamed: in its place, its plan last.

Its creator holds its lease meanwhile. Without a plan there is no store; what a dead creator left
is cleared by the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from lmltgrid.lease import LEASE, Lease
from lmltgrid.ledger import FOLDER
from lmltgrid.plan import PLAN
from lmltgrid.storage import Storage

PARTS = ("zarr.json", "moments/", "grid/", "toys/", f"{FOLDER}/")  # what a creator writes


def occupied(storage: Storage) -> bool:
    """Return whether something lies where a store would be created."""
    return storage.exists(PLAN) or (storage.taken() and not half_created(storage))


def half_created(storage: Storage) -> bool:
    """Return whether a store is being created, or its creator died; it has no plan then.

    Such a place holds a lease and else nothing but what a creator writes, so that it can be
    cleared without loss.
    """
    if storage.renames:
        return False
    names = set(storage.names())
    whole = PLAN in names or any(name.startswith(f"{FOLDER}/done/") for name in names)
    return LEASE in names and not whole and all(name.startswith(PARTS) for name in names)


def guarded(storage: Storage) -> AbstractContextManager[None]:
    """Keep others away while a store is created, and leave no part of it if that fails.

    Raises
    ------
    MachineError
        Another run creates it.
    FileExistsError
        Another run has created it.
    """
    return nullcontext() if storage.renames else _alone(storage)


@contextmanager
def _alone(storage: Storage) -> Iterator[None]:
    with Lease(storage.path, lambda _: None) as lease:
        if not half_created(storage):
            raise FileExistsError
        _clear(storage)
        try:
            yield
        except BaseException:
            with suppress(OSError):
                # the store of another run, which believed this one dead, is not ours to clear
                if lease.holds():
                    _clear(storage)
            raise


def _clear(storage: Storage) -> None:
    """Remove what a creator has left that never came to the plan."""
    for name in storage.names():
        if name != LEASE and name.startswith(PARTS):
            storage.delete(name)
