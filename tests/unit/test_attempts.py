"""The order in which units are tried, and when one is given up."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lmltgrid.attempts import Attempts


def attempts(units: int, retries: int = 2) -> Attempts:
    return Attempts(np.arange(units), retries)


def test_units_never_tried_go_in_bundles_and_each_is_given_once() -> None:
    tried = attempts(50)
    given_out: list[int] = []
    while tried.untried:
        units, alone = tried.take(2, math.inf, idle=False)
        assert not alone
        given_out += units
    assert given_out == list(range(50))
    assert tried.take(2, math.inf, idle=True) == ((), False)


def test_a_unit_that_fails_goes_first_and_alone_in_its_call() -> None:
    tried = attempts(50)
    first, _ = tried.take(2, 1e-4, idle=False)
    assert tried.failed(first[0], again=True)
    assert tried.take(2, 1e-4, idle=False) == ((first[0],), False)
    assert not tried.failed(first[1], again=False)
    assert tried.strikes[first[1]] == 1


def test_who_died_twice_in_company_waits_for_all_others_and_is_not_blamed() -> None:
    tried = attempts(1)
    assert tried.take(2, 1e-4, idle=False) == ((0,), False)
    assert tried.died(0, alone=False)
    assert tried.take(2, 1e-4, idle=False) == ((0,), False)
    assert tried.died(0, alone=False)
    assert tried.take(2, 1e-4, idle=False) == ((), False)
    assert tried.take(2, 1e-4, idle=True) == ((0,), True)
    assert tried.strikes[0] == 0


@given(st.integers(0, 3), st.integers(1, 12), st.sets(st.integers(0, 11)))
def test_only_those_that_kill_their_process_are_given_up(
    retries: int, units: int, killers: set[int]
) -> None:
    tried, finished, given_up = attempts(units, retries), set(), set()
    alone_deaths: Counter[int] = Counter()
    while tried.left:
        call, alone = tried.take(2, 0.0, idle=True)
        if not killers.intersection(call):
            finished.update(call)
            continue
        for unit in call:
            alone_deaths[unit] += alone
            if not tried.died(unit, alone=alone):
                given_up.add(unit)
    bad = {unit for unit in killers if unit < units}
    assert given_up == bad
    assert finished == set(range(units)) - bad
    assert all(alone_deaths[unit] == retries + 1 for unit in bad)
