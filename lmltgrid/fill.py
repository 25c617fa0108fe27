"""What fills the units of a store, from what the store itself holds: all that a worker needs."""

from __future__ import annotations

import json
import socket
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmltgrid import basis, state, toys
from lmltgrid.errors import SpecificationError
from lmltgrid.spec import ScanSpec, validate
from lmltgrid.store import Store, read_moments
from lmltgrid.tables import models

State = state.GridState | toys.ToyState


def load_states(store: Store) -> dict[str, State]:
    """Return what fills the chunks of a store, by group; runs once in each worker.

    Raises
    ------
    SpecificationError
        The worker's installation computes another physics than the one that began the store.
    """
    spec = stored_spec(store)
    chosen = [models.from_dict(entry) for entry in json.loads(store.attrs["models"])]
    moments = read_moments(store)
    for own in moments.values():
        if own.attrs["physics_version"] != basis.PHYSICS_VERSION:
            raise SpecificationError(
                f"{store.path}: it was begun with physics version {own.attrs['physics_version']}, "
                f"the lmltgrid on {socket.gethostname()} has {basis.PHYSICS_VERSION}; give all "
                "workers the version that began it"
            )
    exposures = json.loads(store.attrs["exposure"])
    out: dict[str, State] = {}
    for name, own in moments.items():
        given = (own, chosen, spec, np.array(exposures[name]))
        out[f"grid/{name}"] = state.make_state(*given)
        if spec.toys is not None:
            out[f"{toys.GROUP}/{name}"] = toys.make_state(*given)
    return out


def evaluate(
    states: dict[str, State], group: str, index: tuple[slice, ...]
) -> dict[str, NDArray[Any]]:
    """Fill one unit of a store."""
    own = states[group]
    if isinstance(own, toys.ToyState):
        return toys.evaluate(own, index)
    return state.evaluate(own, index)


def stored_spec(store: Store) -> ScanSpec:
    """Return the specification that a store was begun with."""
    text = store.attrs["specification"]
    return validate(ScanSpec, json.loads(text), f"{store.path}: specification")
