"""What must hold for every count: order, duality, recurrences and inverses."""

from __future__ import annotations

from math import exp, inf, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmltgrid.kernels.normal import log_normal_cdf, normal_quantile_of_log_p
from lmltgrid.kernels.poisson import (
    log_gamma_1p,
    log_gamma_p,
    log_gamma_q,
    z_at_least,
    z_at_most,
    z_discovery,
    z_either,
    z_exclusion,
)
from lmltgrid.kernels.statistics import lower_mean, required_exposure, upper_mean

PROFILE = settings(deadline=None)  # the first call of a kernel compiles it

# the exact route was measured at 5e-13 (1 + abs Z)
EXACT = 1e-12

counts = st.floats(-12.0, 12.0).map(lambda x: 10.0**x)
moderate = st.floats(-2.0, 3.0).map(lambda x: 10.0**x)
steps = st.floats(1e-6, 3.0).map(exp)


def slack(*values):
    return EXACT * (1.0 + max(abs(v) for v in values if abs(v) < inf))


@PROFILE
@given(counts, counts, steps)
def test_more_events_are_less_likely_to_be_reached(count, mean, step):
    """Z of an excess grows with the count and falls with the mean; a deficit does the opposite."""
    here = z_at_least(count, mean)
    assert z_at_least(count * step, mean) >= here - slack(here)
    assert z_at_least(count, mean * step) <= here + slack(here)
    here = z_at_most(count, mean)
    assert z_at_most(count * step, mean) <= here + slack(here)
    assert z_at_most(count, mean * step) >= here - slack(here)


@PROFILE
@given(counts, counts)
def test_the_two_tails_overlap(count, mean):
    """Prob(N >= n) + Prob(N <= n) > 1, so that at most one tail is significant."""
    over, under = z_at_least(count, mean), z_at_most(count, mean)
    assert over + under <= slack(over, under)
    assert z_either(count, mean) == pytest.approx(max(over, under, 0.0), abs=slack(over, under))


@PROFILE
@given(moderate, moderate)
def test_two_sided_is_never_below_one_sided(n, b):
    assert z_discovery(n, b, True) >= max(z_discovery(n, b, False), 0.0)
    assert z_exclusion(n, b, True) >= max(z_exclusion(n, b, False), 0.0)


@PROFILE
@given(moderate, moderate)
def test_exclusion_is_discovery_with_the_roles_exchanged(n, b):
    assert z_exclusion(n, b, True) == z_discovery(b, n, True)


@PROFILE
@given(st.floats(1e-6, 300.0), st.floats(1e-6, 300.0))
def test_probabilities_add_up(a, x):
    """P + Q = 1, and P(a, x) - P(a + 1, x) = x^a e^-x / Gamma(a + 1) across every joint."""
    p, q = exp(log_gamma_p(a, x)), exp(log_gamma_q(a, x))
    assert p + q == pytest.approx(1.0, rel=1e-12)
    mass = exp(a * log(x) - x - log_gamma_1p(a))
    # the mass is a difference of probabilities, each right to 1e-12
    assert p - exp(log_gamma_p(a + 1.0, x)) == pytest.approx(mass, rel=1e-10, abs=2e-12)


@PROFILE
@given(st.floats(-8.0, 1e4))
def test_the_quantile_inverts_log_phi(z):
    # near p = 1 the logarithm holds p in its last digits: dz = eps / phi(z), 1e-2 at z = -8
    spread = 1e-13 * max(1.0, abs(z)) + 4e-16 * exp(min(0.5 * z * z, 40.0)) * (z < 0.0)
    assert -normal_quantile_of_log_p(log_normal_cdf(-z)) == pytest.approx(z, abs=spread)


@PROFILE
@given(counts, st.floats(1e-6, 20.0).map(exp), st.floats(0.1, 50.0), st.booleans())
def test_required_exposure_reaches_z(b1, ratio, z, excess):
    n1, b1 = (b1 * ratio, b1) if excess else (b1, b1 * ratio)
    exposure = required_exposure(n1, b1, z, two_sided=True)
    assert exposure is not None
    # Z is rebuilt from rounded counts: eps in their ratio moves Z by eps / log(ratio)
    reached = z_discovery(exposure * n1, exposure * b1, True)
    assert reached == pytest.approx(z, rel=1e-11 + 1e-15 / log(ratio))
    # nothing but the product of exposure and counts matters
    assert required_exposure(8.0 * n1, 8.0 * b1, z, True) == pytest.approx(
        exposure / 8.0, rel=1e-11
    )
    if not excess:
        assert required_exposure(n1, b1, z) is None


@PROFILE
@given(st.floats(-1.0, 12.0).map(lambda x: 10.0**x), st.floats(0.01, 0.999999))
def test_means_at_a_level_reach_it(b, cl):
    # an error of 1e-14 in log mu moves the probability by sqrt(b) times as much
    spread = 1e-11 + 1e-13 * b**0.5
    low, high = lower_mean(b, cl), upper_mean(b, cl)
    assert exp(log_gamma_q(b + 1.0, high)) == pytest.approx(1.0 - cl, rel=spread)
    assert low is not None
    assert exp(log_gamma_p(b, low)) == pytest.approx(1.0 - cl, rel=spread)
    if cl >= 0.5:
        assert low < b < high
