"""What must hold on every plane: the exact route's numbers, and equal bytes however it is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lmltgrid.kernels import plane
from lmltgrid.kernels.poisson import z_discovery, z_exclusion

PROFILE = settings(deadline=None)  # the first call of a kernel compiles it

# tables and exact route differ by 4e-13 (1 + abs Z), measured over 1e6 points of these ranges
TABLES = 1e-12

nulls = st.floats(-9.0, 6.0).map(lambda x: 10.0**x)
counts = st.floats(-12.0, 9.0).map(lambda x: 10.0**x)
ratios = st.tuples(st.sampled_from([-1.0, 1.0]), st.floats(-9.0, -0.1)).map(
    lambda r: 1.0 + r[0] * 10.0 ** r[1]
)
powers_of_two = st.integers(-10, 20).map(lambda k: 2.0**k)  # no product is rounded


def fill(count, null, exposure, exclusion, two_sided, dtype=np.float64):
    out = np.full((exposure.size, count.size), np.nan, dtype=dtype)
    plane.significance(count.copy(), null, exposure.copy(), exclusion, two_sided, out)
    return out


@PROFILE
@given(
    nulls,
    st.lists(counts, max_size=4),
    st.lists(ratios, min_size=1, max_size=4),
    st.lists(powers_of_two, min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_planes_are_the_exact_route(null, far, near, exposure, exclusion, two_sided):
    count = np.array([*far, *(null * ratio for ratio in near)])
    got = fill(count, null, np.array(exposure), exclusion, two_sided)
    scalar = z_exclusion if exclusion else z_discovery
    for t, unit in enumerate(exposure):
        for i in range(count.size):
            expected = scalar(unit * count[i], unit * null, two_sided)
            assert abs(got[t, i] - expected) <= TABLES * (1.0 + abs(expected))
            assert got[t, i] >= 0.0 or not two_sided


@PROFILE
@given(nulls, counts, st.floats(-3.0, 6.0).map(lambda x: 10.0**x), st.booleans(), st.booleans())
def test_any_exposure(null, count, unit, exclusion, two_sided):
    got = fill(np.array([count]), null, np.array([unit]), exclusion, two_sided)[0, 0]
    scalar = z_exclusion if exclusion else z_discovery
    expected = scalar(unit * count, unit * null, two_sided)
    # a product that is rounded in there, and not here, moves Z by eps sqrt(count)
    rounding = 4e-16 * (unit * max(count, null)) ** 0.5
    assert abs(got - expected) <= TABLES * (1.0 + abs(expected)) + rounding


@PROFILE
@given(
    st.integers(0, 2**32 - 1),
    st.data(),
    st.sampled_from([0.0, 1e-300, 1e-3, 5.0, 1e4]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
)
def test_any_cut_gives_the_same_bytes(seed, data, null, exclusion, two_sided, dtype):
    """Points and exposures, in any order, with all that is taken point by point among them."""
    rng = np.random.default_rng(seed)
    count = 10.0 ** rng.uniform(-4.0, 6.0, 150)
    count[rng.integers(0, 150, 20)] = [0.0, 1e-300, 5e-324, null, 1e20] * 4
    exposure = 10.0 ** rng.uniform(-2.0, 4.0, 40)
    exposure[rng.integers(0, 40, 3)] = [0.0, 1e-25, 1.0]
    whole = fill(count, null, exposure, exclusion, two_sided, dtype)
    points = sorted(data.draw(st.sets(st.integers(1, 149), max_size=3)))
    rows = sorted(data.draw(st.sets(st.integers(1, 39), max_size=3)))
    for top, bottom in pairwise([0, *rows, 40]):
        for low, high in pairwise([0, *points, 150]):
            part = fill(count[low:high], null, exposure[top:bottom], exclusion, two_sided, dtype)
            assert part.tobytes() == whole[top:bottom, low:high].tobytes()
