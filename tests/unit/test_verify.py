"""The checks of a store, in a folder and on S3: each kind of damage is found, and computed anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_store import MOMENTS, chunk_name, fill, flip, layout, numbers

from lmltgrid.errors import VerificationError
from lmltgrid.store import Store, create_store, status
from lmltgrid.verify import repair_store, require_sound, verify_store


@pytest.fixture
def store(anywhere: Path | str) -> Store:
    return create_store(anywhere, layout(), MOMENTS)


def test_a_sound_store(store: Store) -> None:
    report = verify_store(fill(store), deep=True, evaluate=numbers, sample=100)
    assert report.ok
    assert (report.finished, report.recomputed) == (8, 8)
    report.require()


def test_a_cut_chunk_is_found_by_its_size(store: Store) -> None:
    name = chunk_name(fill(store), 2)
    store.storage.write(name, store.storage.read(name)[:-1])
    store.storage.write(chunk_name(store, 4), b"")
    store.storage.delete(chunk_name(store, 5))
    report = verify_store(store)
    assert sorted(report.damaged) == [2, 4, 5]
    assert "is missing" in report.damaged[5]
    with pytest.raises(VerificationError, match=r"unit 2: .*bytes, its record says") as caught:
        report.require()
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("place", [20, -6, -1])
def test_a_flipped_bit_is_found_by_the_deep_check_alone(store: Store, place: int) -> None:
    flip(store, chunk_name(fill(store), 2, "n"), place)
    assert verify_store(store).ok
    assert list(verify_store(store, deep=True).damaged) == [2]


def test_a_sound_chunk_in_the_wrong_place_is_found(store: Store) -> None:
    fill(store)
    store.storage.write(chunk_name(store, 0), store.storage.read(chunk_name(store, 3)))
    assert 0 in verify_store(store, deep=True).damaged


def test_other_numbers_are_found_by_computing_again(store: Store) -> None:
    fill(store)

    def other(group: str, index: tuple[slice, ...]) -> dict[str, np.ndarray]:
        return {k: np.nextafter(v, v.dtype.type(0)) for k, v in numbers(group, index).items()}

    report = verify_store(store, evaluate=other, sample=2)
    assert len(report.damaged) == report.recomputed == 2
    assert "computed again" in next(iter(report.damaged.values()))


def test_damaged_moments_are_found(store: Store) -> None:
    name = "moments/darwin-nr/rate/c/0/0"
    flip(store, name, 20)
    assert verify_store(store).ok
    assert list(verify_store(store, deep=True).files) == [name]
    with pytest.raises(VerificationError, match="restore a copy"):
        verify_store(store, deep=True).require()
    with pytest.raises(VerificationError, match="nothing can be computed from it"):
        require_sound(store)


def test_discarded_units_are_computed_anew(store: Store) -> None:
    name = chunk_name(fill(store), 2)
    sound = store.storage.read(name)
    store.storage.write(name, b"x")
    store.discard(list(verify_store(store).damaged))
    assert not store.storage.exists(name)
    assert np.flatnonzero(~store.done()).tolist() == [2]
    fill(store, [2])
    assert store.storage.read(name) == sound
    assert verify_store(store, deep=True).ok


def test_a_unit_whose_marker_was_deleted_is_computed_to_the_same_bytes(store: Store) -> None:
    name, marker = chunk_name(fill(store), 3), "_ledger/done/000000/003.json"
    before = store.storage.read(name)
    store.storage.delete(marker)
    report = verify_store(store, deep=True)
    assert report.ok  # a unit that is missing is no damage
    assert report.finished == 7
    assert np.flatnonzero(~store.done()).tolist() == [3]
    fill(store, [3])
    assert store.storage.exists(marker)
    assert store.storage.read(name) == before
    assert verify_store(store, deep=True, evaluate=numbers, sample=8).ok


def test_a_damaged_marker_is_found_and_its_unit_computed_anew(store: Store) -> None:
    name = "_ledger/done/000000/004.json"
    fill(store)
    store.storage.write(name, store.storage.read(name)[:-20])
    assert verify_store(store).damaged == {4: f"{store.path}: unit 4: its marker cannot be read"}
    assert np.flatnonzero(~store.done()).tolist() == [4]
    assert status(store.path)["done"] == 7
    texts: list[str] = []
    assert repair_store(store.path, verify_store(store), texts.append) == 1
    assert texts == [f"{store.path}: unit 4: its marker cannot be read; it will be computed anew"]
    fill(store, [4])
    assert verify_store(store, deep=True).ok
