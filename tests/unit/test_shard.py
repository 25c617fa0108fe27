"""Shards of a scan: every unit belongs to one of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmltgrid.errors import SpecificationError
from lmltgrid.shard import Shard


@given(count=st.integers(1, 50), total=st.integers(0, 200))
def test_every_unit_belongs_to_one_shard_and_all_are_about_equal(count: int, total: int) -> None:
    shards = [Shard(number, count) for number in range(1, count + 1)]
    owners = np.array([shard.units(total) for shard in shards])
    assert (owners.sum(axis=0) == 1).all()
    assert np.ptp(owners.sum(axis=1)) <= 1
    for shard, own in zip(shards, owners, strict=True):
        assert [shard.has(unit) for unit in range(total)] == own.tolist()


def test_a_shard_is_written_as_read() -> None:
    shard = Shard.parse(" 3/8 ")
    assert (shard.number, shard.count, str(shard), shard.tag) == (3, 8, "3/8", "3-of-8")
    assert Shard.of_tag(shard.tag) == shard
    assert Shard.of_tag("lease") is None


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "3/8/1", "a/b", "-1/8", "1/0", "1/999999"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(SpecificationError, match=r"k/N is needed"):
        Shard.parse(text)


def test_shards_of_one_division_may_run_side_by_side() -> None:
    assert Shard(1, 4).beside(Shard(2, 4))
    assert not Shard(1, 4).beside(Shard(1, 4))
    assert not Shard(1, 4).beside(Shard(2, 5))
