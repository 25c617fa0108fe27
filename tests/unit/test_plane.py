"""Planes of significances against the exact route, point by point, and 50-digit arithmetic."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from scipy.special import ndtri

from lmltgrid.kernels import plane
from lmltgrid.kernels.poisson import z_at_least, z_at_most, z_discovery, z_exclusion

KINDS = [(False, False), (False, True), (True, False), (True, True)]  # exclusion, two_sided

# count a, mean x, Z with Phi(-Z) = P(a, x), Z with Phi(-Z) = Q(a + 1, x); made with mpmath 1.4 at 50
# digits, as those of the exact route. The probabilities of the first lines are 1e-300, 1e-3000 and
# 1e-30000; the last lines are 1e4 and 2e5 sigma.
TAILS = [
    (3.0, 1.8171205928321398e-100, 37.0470962993612, -42.8286443470194),
    (30.0, 1.2044497038131644e-99, 117.491020134423, -119.442516080112),
    (300.0, 1.1175990145024535e-98, 371.673824279828, -372.295483246724),
    (1e6, 963408.6539398658, 37.0470962993611, -37.0481025122186),
    (0.5, 6902.76300309473, -117.491020134423, 117.409860130687),
    (3.0, 69099.14626689401, -371.673824279828, 371.646797915103),
    (1e6, 1037505.6569794014, -37.0470962993612, 37.0461024359129),
    (1e-12, 1e-3, -6.77243718973875, -3.09038078691922),
    (1e-12, 50.0, -12.498927400928, 9.6748252836119),
    (2.5, 2.5, -0.212444369274859, -0.412362778709826),
    (61.0, 90.0, -3.28926450296586, 3.16956568041456),
    (1e12, 9.9e11, 10033.5291396491, -10033.5291406508),
    (1e12, 1.01e12, -9966.85976978072, 9966.85976878238),
    (1e12, 1.2e12, -188034.269249555, 188034.269248585),
]


def near(value):
    # the exact route is right to 5e-13 (1 + abs Z), and the tables are as close to it
    return pytest.approx(value, rel=1e-12, abs=1e-12)


def fill(count, null, exposure, exclusion, two_sided, dtype=np.float64):
    count, exposure = np.array(count, dtype=float), np.array(exposure, dtype=float)
    out = np.full((exposure.size, count.size), np.nan, dtype=dtype)
    plane.significance(count, float(null), exposure, exclusion, two_sided, out)
    return out


def exact(count, null, exposure, exclusion, two_sided):
    scalar = z_exclusion if exclusion else z_discovery
    return np.array([[scalar(t * n, t * null, two_sided) for n in count] for t in exposure])


@pytest.mark.parametrize(("count", "mean", "z0", "z1"), TAILS)
def test_any_depth(count, mean, z0, z1):
    unit = [8.0]  # a power of two: counts are the same
    assert fill([count / 8.0], mean / 8.0, unit, False, False)[0, 0] == near(z0)
    assert fill([mean / 8.0], count / 8.0, unit, True, False)[0, 0] == near(z1)
    both = near(max(z0, z1, 0.0))
    assert fill([count / 8.0], mean / 8.0, unit, False, True)[0, 0] == both
    assert fill([mean / 8.0], count / 8.0, unit, True, True)[0, 0] == both


@pytest.mark.parametrize(("exclusion", "two_sided"), KINDS)
@pytest.mark.parametrize("null", [1e-9, 3e-4, 0.7, 40.0, 1e6])
def test_the_exact_route(null, exclusion, two_sided):
    """Counts from 1e-12 to 1e9 and exposures from 1e-3 to 1e6."""
    count = 10.0 ** np.random.default_rng(20).uniform(-12.0, 9.0, 15)
    exposure = [1e6, 1e-3, 17.0]
    got = fill(count, null, exposure, exclusion, two_sided)
    expected = exact(count, null, exposure, exclusion, two_sided)
    # a product that is rounded in there, and not here, moves Z by eps sqrt(count)
    rounding = 4e-16 * np.sqrt(np.outer(exposure, np.maximum(count, null)))
    assert (np.abs(got - expected) <= 1e-12 * (1.0 + np.abs(expected)) + rounding).all()


@pytest.mark.parametrize(("exclusion", "two_sided"), KINDS)
@pytest.mark.parametrize("null", [0.3, 31.0, 9e5])
def test_counts_near_the_null(null, exclusion, two_sided):
    """Where Z is small against its slope, up to 1e12 events; exposures that round no product."""
    steps = 10.0 ** -np.arange(1.0, 10.0, 2.0)
    count = null * np.concatenate([1.0 - steps, [1.0], 1.0 + steps])
    exposure = [2.0**-8, 1.0, 2.0**20]
    got = fill(count, null, exposure, exclusion, two_sided)
    expected = exact(count, null, exposure, exclusion, two_sided)
    assert (np.abs(got - expected) <= 1e-12 * (1.0 + np.abs(expected))).all()


@pytest.mark.parametrize(("exclusion", "two_sided"), KINDS)
def test_a_null_that_is_a_node(exclusion, two_sided):
    """There, or one rounding away, S is a ratio of numbers near zero."""
    node = 4.0 * plane._MANTISSAS[4]
    for null in (np.nextafter(node, 0.0), node, np.nextafter(node, inf)):
        count = null * np.array([0.8, 1.0 - 1e-6, 1.0, 1.0 + 1e-6, 1.25])
        got = fill(count, null, [1.0, 1024.0], exclusion, two_sided)
        assert got == near(exact(count, null, [1.0, 1024.0], exclusion, two_sided))


@pytest.mark.parametrize(("exclusion", "two_sided"), KINDS)
def test_edges_of_cells_and_of_the_expansion(exclusion, two_sided):
    """Powers of two, where the tables change, and 60 events, where the exact route does."""
    edges = np.array([1.0, 2.0, 60.0, 64.0])
    count = np.concatenate([edges, np.nextafter(edges, 0.0), np.nextafter(edges, inf)])
    for null in (50.0, 60.0, 70.0):
        got = fill(count, null, [1.0], exclusion, two_sided)
        assert got == near(exact(count, null, [1.0], exclusion, two_sided))
        # neighbors differ by no more than twice the error
        assert got[0, 4:8] == pytest.approx(got[0, 8:], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("exclusion", "two_sided"), KINDS)
def test_float32_is_float64_rounded(exclusion, two_sided):
    arguments = ([0.0, 0.1, 2.0, 3.0, 500.0], 2.0, [0.0, 1.0, 30.0], exclusion, two_sided)
    single = fill(*arguments, dtype=np.float32)
    assert single.tobytes() == fill(*arguments).astype(np.float32).tobytes()


@pytest.mark.parametrize(
    ("count", "null", "discovery", "deficit", "exclusion"),
    [
        # discovery, signed; the larger tail and 0 (also of an exclusion); exclusion, signed
        (0.0, 0.0, -inf, 0.0, -inf),
        (0.0, 3.0, -inf, -ndtri(np.exp(-3.0)), -inf),
        (2.0, 0.0, inf, inf, -ndtri(np.exp(-2.0))),
        (100.0, 0.0, inf, inf, z_at_most(0.0, 100.0)),
        (2.0, 2.0, z_at_least(2.0, 2.0), 0.0, z_at_most(2.0, 2.0)),
        (1e6, 1e6, z_at_least(1e6, 1e6), 0.0, z_at_most(1e6, 1e6)),
    ],
)
def test_zeros_and_ties(count, null, discovery, deficit, exclusion):
    assert fill([count], null, [1.0], False, False)[0, 0] == near(discovery)
    assert fill([count], null, [1.0], False, True)[0, 0] == near(deficit)
    assert fill([count], null, [1.0], True, False)[0, 0] == near(exclusion)
    # no events are expected, and some are observed: +inf
    either = inf if count == 0.0 < null else max(exclusion, 0.0)
    assert fill([count], null, [1.0], True, True)[0, 0] == near(either)


@pytest.mark.parametrize(("exclusion", "two_sided"), KINDS)
@pytest.mark.parametrize("null", [0.0, 1e-300, 2.0])
def test_what_no_table_holds(null, exclusion, two_sided):
    """Zeros and the ends of the range of doubles take the exact route, whatever is beside them."""
    count = [0.0, 5e-324, 1e-300, 2.0, 3.0, 1e280]
    exposure = [0.0, 1e-25, 1.0, 1e25]
    got = fill(count, null, exposure, exclusion, two_sided)
    expected = exact(count, null, exposure, exclusion, two_sided)
    tabulated = np.zeros(got.shape, dtype=bool)
    if null == 2.0:
        tabulated[2, 3:5] = True
    assert (got[~tabulated] == expected[~tabulated]).all()
    assert got[tabulated] == near(expected[tabulated])


@pytest.mark.parametrize("exclusion", [False, True])
def test_two_sided_is_zero_between_the_tails_and_sharp_at_their_ends(exclusion):
    """Neither tail is significant for counts within about 1/3 ... 1 of the null; no smoothing."""
    null = 3.0
    count = np.linspace(1.5, 4.5, 61)
    got = fill(count, null, [1.0], exclusion, True)[0]
    over, under = (z_at_most, z_at_least) if exclusion else (z_at_least, z_at_most)
    order = (lambda n: (null, n)) if exclusion else (lambda n: (n, null))
    signed = np.array([over(*order(n)) if n > null else under(*order(n)) for n in count])
    assert (got[signed <= 0.0] == 0.0).all()
    assert (signed <= 0.0).sum() > 10
    assert got[signed > 0.0] == near(signed[signed > 0.0])
    for side in (signed[count > null], signed[count <= null]):
        assert side.min() < -0.02
        assert side.max() > 0.2


def test_more_points_than_a_block_and_more_exposures_than_a_pass():
    count = np.linspace(70.0, 127.0, 2 * plane._BLOCK + 3)
    exposure = np.roll(np.geomspace(1.0, 100.0, plane._TOGETHER + 4), 5)
    got = fill(count, 90.0, exposure, False, False)
    for t, i in ((0, 0), (plane._TOGETHER - 1, plane._BLOCK), (-1, -1), (plane._TOGETHER, 7)):
        expected = z_at_least(exposure[t] * count[i], exposure[t] * 90.0)
        assert got[t, i] == pytest.approx(expected, rel=1e-12, abs=1e-11)  # rounded products
    assert np.isfinite(got).all()


def test_no_points_and_no_exposures():
    assert fill([], 2.0, [1.0], False, False).shape == (1, 0)
    assert fill([1.0], 2.0, [], True, True).shape == (0, 1)
