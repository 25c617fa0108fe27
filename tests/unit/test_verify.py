"""The checks of a store: each kind of damage is found, and computed anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_store import MOMENTS, chunk, fill, layout, numbers

from lmltgrid.errors import VerificationError
from lmltgrid.store import Store, create_store
from lmltgrid.verify import verify_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(tmp_path / "scan.zarr", layout(), MOMENTS)


def test_a_sound_store(store: Store) -> None:
    report = verify_store(fill(store), deep=True, evaluate=numbers, sample=100)
    assert report.ok
    assert (report.finished, report.recomputed) == (8, 8)
    report.require()


def test_a_cut_chunk_is_found_by_its_size(store: Store) -> None:
    path = chunk(fill(store), 2)
    path.write_bytes(path.read_bytes()[:-1])
    chunk(store, 5).unlink()
    report = verify_store(store)
    assert sorted(report.damaged) == [2, 5]
    with pytest.raises(VerificationError, match=r"unit 2: .*bytes, its record says") as caught:
        report.require()
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("place", [20, -6, -1])
def test_a_flipped_bit_is_found_by_the_deep_check_alone(store: Store, place: int) -> None:
    path = chunk(fill(store), 2, "n")
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    assert verify_store(store).ok
    assert list(verify_store(store, deep=True).damaged) == [2]


def test_a_sound_chunk_in_the_wrong_place_is_found(store: Store) -> None:
    fill(store)
    chunk(store, 0).write_bytes(chunk(store, 3).read_bytes())
    assert 0 in verify_store(store, deep=True).damaged


def test_other_numbers_are_found_by_computing_again(store: Store) -> None:
    fill(store)

    def other(group: str, index: tuple[slice, ...]) -> dict[str, np.ndarray]:
        return {k: np.nextafter(v, v.dtype.type(0)) for k, v in numbers(group, index).items()}

    report = verify_store(store, evaluate=other, sample=2)
    assert len(report.damaged) == report.recomputed == 2
    assert "computed again" in next(iter(report.damaged.values()))


def test_damaged_moments_are_found(store: Store) -> None:
    path = store.path / "moments" / "darwin-nr" / "rate" / "c" / "0" / "0"
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    assert verify_store(store).ok
    assert list(verify_store(store, deep=True).files) == ["moments/darwin-nr/rate/c/0/0"]
    with pytest.raises(VerificationError, match="restore a copy"):
        verify_store(store, deep=True).require()


def test_discarded_units_are_computed_anew(store: Store) -> None:
    path = chunk(fill(store), 2)
    sound = path.read_bytes()
    path.write_bytes(b"x")
    store.discard(list(verify_store(store).damaged))
    assert not path.exists()
    assert list(store.pending()) == [2]
    fill(store, [2])
    assert path.read_bytes() == sound
    assert verify_store(store, deep=True).ok
