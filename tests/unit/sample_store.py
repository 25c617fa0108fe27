"""A small store for the tests of stores, with numbers that depend on their place alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from lmltgrid.plan import ArrayLayout, GroupLayout, StoreLayout
from lmltgrid.store import Store

IDENTITY = "feedface" * 8
DIMS = ("model", "exposure", "mass")
MOMENTS = {
    "darwin-nr": xr.Dataset(
        {"rate": (("channel", "mass"), np.arange(6.0).reshape(2, 3), {"units": "1"})},
        coords={"channel": ["pp", "B8"]},
    )
}


def layout(
    shape: tuple[int, ...] = (2, 5, 4), chunks: tuple[int, ...] = (1, 2, 4), dtype: str = "float32"
) -> StoreLayout:
    arrays = tuple(ArrayLayout(n, DIMS, shape, chunks, dtype, {"units": "1"}) for n in ("z", "n"))
    coordinates = {
        "model": (np.array([f"model-{i}" for i in range(shape[0])]), {"long_name": "model"}),
        "exposure": (np.arange(1.0, shape[1] + 1), {"units": "tonne year"}),
    }
    second = GroupLayout("grid/lz", (ArrayLayout("z", ("mass",), (3,), (2,), "float64"),))
    groups = (GroupLayout("grid/darwin-nr", arrays, coordinates, {"title": "a"}), second)
    return StoreLayout(groups, {"spec": "x = 1"}, IDENTITY)


def numbers(group: str, index: tuple[slice, ...]) -> dict[str, np.ndarray]:
    """Numbers that depend on their place alone, NaN and infinity among them."""
    if group == "grid/lz":
        return {"z": np.arange(index[0].start, index[0].stop, dtype="f8")}
    model, exposure, mass = np.ogrid[index]
    value = (np.sin(model + 1.0) * (exposure + 1) / (mass + 1.0)).astype("f4")
    value[(exposure + mass + 0 * model) % 5 == 3] = np.nan
    return {"z": value, "n": np.where(value > 1, np.float32(np.inf), value)}


def fill(store: Store, units: list[int] | None = None) -> Store:
    for unit in range(store.units()) if units is None else units:
        place = store.plan.place(unit)
        store.write_unit(unit, numbers(place.group.path, place.index))
    return store


def chunk(store: Store, unit: int, name: str = "z") -> Path:
    return store.path / store.plan.place(unit).files()[name]


def chunk_name(store: Store, unit: int, name: str = "z") -> str:
    """The file of a unit's chunk, wherever the store lies."""
    return store.plan.place(unit).files()[name]


def flip(store: Store, file: str, place: int) -> None:
    """Flip a bit of a file."""
    content = bytearray(store.storage.read(file))
    content[place] ^= 4
    store.storage.write(file, bytes(content))
