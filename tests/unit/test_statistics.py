"""Poisson significances against scipy, 40-digit arithmetic and the tables of the PDG."""

from __future__ import annotations

from math import exp, inf, isnan, log, sqrt

import numpy as np
import pytest
from scipy import special

from lmltgrid.errors import SpecificationError
from lmltgrid.kernels.normal import (
    log_normal_cdf,
    log_one_minus_exp,
    normal_quantile_of_log_p,
)
from lmltgrid.kernels.poisson import (
    log_gamma_1p,
    log_gamma_p,
    log_gamma_q,
    temme_coefficients,
    temme_eta,
    z_at_least,
    z_at_most,
    z_discovery,
    z_either,
    z_exclusion,
)
from lmltgrid.kernels.statistics import lower_mean, required_exposure, upper_mean

# count a, mean x, log P(a, x), log Q(a, x), Z with Phi(-Z) = P(a, x), Z with Phi(-Z) = Q(a + 1, x).
# Made with mpmath 1.4 at 50 digits: the series 6.5.29 of Abramowitz & Stegun (1964) for x < a + 1,
# their fraction 6.5.31 above, and Newton's method on log(erfc(z / sqrt 2) / 2). The first lines
# are p = 1e-300, 1e-3000 and 1e-30000; logarithms below 1e-308 are written as 0.
TAILS = [
    (3.0, 1.8171205928321398e-100, -690.775527898214, -1e-300, 37.0470962993612, -42.8286443470194),
    (30.0, 1.2044497038131644e-99, -6907.75527898214, 0.0, 117.491020134423, -119.442516080112),
    (300.0, 1.1175990145024535e-98, -69077.5527898214, 0.0, 371.673824279828, -372.295483246724),
    (1e6, 963408.6539398658, -690.775527898211, -1e-300, 37.0470962993611, -37.0481025122186),
    (1e6, 672874.7091481836, -69077.5527898214, 0.0, 371.673824279828, -371.674890256846),
    (1e-3, 677.3551998031188, -1e-300, -690.775527898214, -37.0470962993612, 36.6831325380571),
    (0.5, 6902.76300309473, 0.0, -6907.75527898214, -117.491020134423, 117.409860130687),
    (3.0, 703.1964976004614, -1e-300, -690.775527898214, -37.0470962993612, 36.8995720064989),
    (3.0, 69099.14626689401, 0.0, -69077.5527898214, -371.673824279828, 371.646797915103),
    (1e6, 1037505.6569794014, -1e-300, -690.775527898212, -37.0470962993612, 37.0461024359129),
    (1e-12, 1e-3, -6.33153936413697e-12, -25.7854777238528, -6.77243718973875, -3.09038078691922),
    (1e-12, 2.0, -4.89005107081387e-14, -30.6489885545552, -7.44383854335661, 1.10151962849773),
    (1e-12, 50.0, -3.78326402956752e-36, -81.5624762108701, -12.498927400928, 9.6748252836119),
    (1e-3, 1e-300, -0.69019913429993, -0.69610394350022, -0.00370028811716404, -37.0657353489843),
    (1e-3, 2.9, -1.4851834267961e-5, -11.1173946065234, -4.17572807250438, 1.59703955882376),
    (0.5, 0.25, -0.652965625676331, -0.735011129837084, -0.0514082080141044, -1.39765339203765),
    (0.99, 3.0, -0.0500599567414607, -3.01945942102771, -1.65632898973696, 0.851744362960346),
    (2.5, 2.5, -0.537649157941925, -0.877358072234333, -0.212444369274859, -0.412362778709826),
    (5.0, 2.0, -2.94403173257208, -0.0540898509446867, 1.61965673601659, -2.13053806151914),
    (10.0, 1e-3, -84.1828744503623, -2.75322785942846e-37, 12.7055730876507, -13.4140085067047),
    (61.0, 40.0, -6.72461793101053, -0.0012017011024611, 3.0354263618149, -3.17238448589489),
    (61.0, 90.0, -0.000502374053418727, -7.59641676592011, -3.28926450296586, 3.16956568041456),
    (1e3, 1e-6, -19727.6387374514, 0.0, 198.602258141467, -198.706578701727),
    (1e4, 1.05e4, -4.27587336921417e-7, -14.6651074863368, -4.92233548125737, 4.91241682406191),
    (1e6, 9.95e5, -15.106647347553, -2.74958073727975e-7, 5.00802425125509, -5.00902508665075),
    (1e12, 9.9e11, -50335863.6307201, 0.0, 10033.5291396491, -10033.5291406508),
    (1e12, 1.01e12, 0.0, -49669156.9611961, -9966.85976978072, 9966.85976878238),
    (1e12, 1.2e12, 0.0, -17678443219.1704, -188034.269249555, 188034.269248585),
]  # fmt: skip

# shift, eta, lam and (e1 ... e5), by power series with 60 digits about each eta (mpmath 1.4)
ORDERS = [
    (0, -12.0, 1.9792598779469045e-32,
     (0.207075554149, -0.00601708687541, -6.45291719212e-05, 0.00023249027943, 2.42200852564e-06)),
    (0, -0.5, 0.5796235333039579,
     (0.346914878699, 0.00609361045823, -0.00452195350921, -0.000579627119134, 0.00107170190773)),
    (0, 2.0, 4.505241495792883,
     (0.280556118961, 0.0101875770881, -0.00162194895462, -0.000850620470433, 0.000205561256514)),
    (1, -12.0, 1.9792598779469045e-32,
     (-5.87625777918, 1.38987516692, -0.659158893428, 0.388861807773, -0.255508851741)),
    (1, -0.5, 0.5796235333039579,
     (-0.743838054693, 0.0444102080672, 0.00461428356487, -0.00595899226401, 0.0007949005511)),
    (1, 2.0, 4.505241495792883,
     (-0.472064628935, 0.0196659203984, 0.00127075478833, -0.00129474319526, -5.20597209874e-05)),
]  # fmt: skip


def relative(value):
    # twice the measured error of the exact route, 5e-13 (1 + abs Z)
    return pytest.approx(value, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("count", "mean", "log_p", "log_q", "_z0", "_z1"), TAILS)
def test_logarithms_of_the_gamma_functions(count, mean, log_p, log_q, _z0, _z1):
    # rel as for Z, whose slope is Z; abs for what underflows where the other logarithm is deep
    assert log_gamma_p(count, mean) == pytest.approx(log_p, rel=1e-12, abs=1e-307)
    assert log_gamma_q(count, mean) == pytest.approx(log_q, rel=1e-12, abs=1e-307)


@pytest.mark.parametrize(("count", "mean", "_log_p", "_log_q", "z0", "z1"), TAILS)
def test_significances_at_any_depth(count, mean, _log_p, _log_q, z0, z1):
    assert z_at_least(count, mean) == relative(z0)
    assert z_at_most(count, mean) == relative(z1)
    assert z_either(count, mean) == relative(max(z0, z1, 0.0))
    assert z_discovery(count, mean, False) == z_at_least(count, mean)
    assert z_discovery(count, mean, True) == z_either(count, mean)
    assert z_exclusion(mean, count, False) == z_at_most(count, mean)
    assert z_exclusion(mean, count, True) == z_either(count, mean)


@pytest.mark.parametrize("shape", [1e-3, 0.1, 0.7, 1.0, 2.3, 9.9, 30.0, 59.0, 61.0, 1e3, 1e5])
@pytest.mark.parametrize("ratio", [0.03, 0.3, 0.9, 0.999, 1.0, 1.001, 1.1, 2.0, 20.0])
def test_scipy_where_it_does_not_underflow(shape, ratio):
    mean = shape * ratio
    p, q = special.gammainc(shape, mean), special.gammaincc(shape, mean)
    # scipy's own error grows with the depth of the tail, about eps a (lam - 1 - log lam)
    if p > 1e-250:
        assert exp(log_gamma_p(shape, mean)) == pytest.approx(p, rel=3e-12)
    if q > 1e-250:
        assert exp(log_gamma_q(shape, mean)) == pytest.approx(q, rel=3e-12)
    if 1e-250 < p < 0.9:
        assert z_at_least(shape, mean) == pytest.approx(-special.ndtri(p), abs=1e-11)


@pytest.mark.parametrize("y", [-37.0, -30.1, -29.9, -8.0, -1.0, -1e-9, 0.0, 0.3, 2.0, 8.0])
def test_log_normal_cdf_is_scipys(y):
    assert log_normal_cdf(y) == pytest.approx(special.log_ndtr(y), rel=1e-13)


@pytest.mark.parametrize(
    ("z", "log_p"),
    [(40.0, -804.608442013754), (1e4, -50000010.129278915), (1e8, -5000000000000019.34)],
)
def test_log_normal_cdf_far_out(z, log_p):
    """Against mpmath, log(erfc(z / sqrt 2) / 2)."""
    assert log_normal_cdf(-z) == pytest.approx(log_p, rel=1e-15)
    assert -normal_quantile_of_log_p(log_p) == pytest.approx(z, rel=1e-15)


@pytest.mark.parametrize(
    "log_p",
    # the joints are at log 0.925, log 0.075, -25 and -729
    [
        *[-1e-300, -1e-20, -1e-3, -0.07795, -0.07797, -0.3, -2.5902, -2.5903],
        *[-24.9, -25.1, -300.0, -728.9, -729.1, -1e4, -1e9],
    ],
)
def test_quantile_inverts_the_logarithm(log_p):
    """All joints of the rational approximations, and the far right where p is near 1."""
    y = normal_quantile_of_log_p(log_p)
    if log_p > -1e-2:  # compare the other tail, which has the digits
        assert log_normal_cdf(-y) == pytest.approx(log(-np.expm1(log_p)), rel=1e-13)
    else:
        assert log_normal_cdf(y) == pytest.approx(log_p, rel=1e-13)


def test_limits_of_the_normal_functions():
    assert normal_quantile_of_log_p(-inf) == -inf
    assert normal_quantile_of_log_p(0.0) == inf
    assert isnan(normal_quantile_of_log_p(float("nan")))
    assert log_normal_cdf(-inf) == log_one_minus_exp(0.0) == -inf
    assert log_one_minus_exp(-1e-20) == pytest.approx(log(1e-20))
    assert log_one_minus_exp(-50.0) == pytest.approx(-exp(-50.0))


@pytest.mark.parametrize("a", [0.0, 1e-300, 1e-12, 1e-3, 0.0999, 0.1001, 1.0, 30.0])
def test_log_gamma_near_one(a):
    # scipy's gammaln(1 + a) rounds 1 + a: right in absolute terms alone
    assert log_gamma_1p(a) == pytest.approx(special.gammaln(1.0 + a), rel=1e-13, abs=3e-16)


def test_log_gamma_of_a_tiny_argument_is_linear():
    assert log_gamma_1p(1e-200) == pytest.approx(-np.euler_gamma * 1e-200, rel=1e-14)


@pytest.mark.parametrize(("shift", "eta", "lam", "orders"), ORDERS)
def test_orders_of_the_expansion(shift, eta, lam, orders):
    assert temme_eta(1.0, lam) == pytest.approx(eta, rel=1e-14)
    got = temme_coefficients(1.0, lam, eta, shift)
    # lam is rounded, and each order divides by eta once more
    assert got == pytest.approx(orders, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_series_and_closed_forms_meet(shift, sign):
    """The two ways to the coefficients share no code; they must agree where they meet."""
    lam = {-1.0: 0.30170956268433601, 1.0: 2.3576766739458991}[sign]  # where abs(eta) = 1
    etas, orders = [], []
    for ratio in (lam * (1.0 - 1e-12), lam * (1.0 + 1e-12)):
        etas.append(temme_eta(1.0, ratio))
        orders.append(temme_coefficients(1.0, ratio, etas[-1], shift))
    assert min(map(abs, etas)) < 1.0 < max(map(abs, etas))
    # the slopes of the orders are below 1, over a step of 2e-12; the closed forms lose 1e-12
    assert orders[0] == pytest.approx(orders[1], abs=5e-12)


@pytest.mark.parametrize("mu", [-0.2500001, -0.2499999, 0.2499999, 0.2500001, 1e-8, -1e-8])
def test_eta_at_its_joints_and_at_zero(mu):
    series = mu * sqrt(1 - 2 * mu / 3 + mu**2 / 2) if abs(mu) < 1e-3 else None
    exact = np.sign(mu) * sqrt(2.0 * (mu - np.log1p(mu))) if series is None else series
    assert temme_eta(1.0, 1.0 + mu) == pytest.approx(exact, rel=1e-7 if series else 1e-13)


def test_eta_of_a_ratio_that_underflows():
    assert temme_eta(1e12, 1e-300) == pytest.approx(-sqrt(2 * (312 * log(10) - 1)), rel=1e-14)


@pytest.mark.parametrize(
    ("count", "mean", "at_least", "at_most"),
    [
        (0.0, 0.0, -inf, -inf),
        (0.0, 3.0, -inf, -special.ndtri(exp(-3.0))),
        (2.0, 0.0, inf, -inf),
        (100.0, 0.0, inf, -inf),
        (0.0, 1e4, -inf, 141.37983987312716),
    ],
)
def test_zero_counts_and_means(count, mean, at_least, at_most):
    either = max(at_least, at_most, 0.0)
    assert z_at_least(count, mean) == at_least
    assert z_at_most(count, mean) == relative(at_most)
    assert z_either(count, mean) == relative(either)


def test_the_smallest_counts():
    """Q(a, x) is a E1(x) for a tiny a, and itself too small for a double."""
    for count, mean in ((5e-324, 5.0), (1e-300, 500.0)):
        log_q = log(count) + log(special.exp1(mean))
        assert log_gamma_q(count, mean) == pytest.approx(log_q, rel=1e-14)
        assert z_at_least(count, mean) == relative(normal_quantile_of_log_p(log_q))


def test_zero_arguments_of_the_gamma_functions():
    assert (log_gamma_p(0.0, 2.0), log_gamma_q(0.0, 2.0)) == (0.0, -inf)
    assert (log_gamma_p(2.0, 0.0), log_gamma_q(2.0, 0.0)) == (-inf, 0.0)


@pytest.mark.parametrize(
    ("n1", "b1", "z", "two_sided", "exposure"),
    [
        (20.0, 10.0, 5.0, False, 3.2919687180053813),
        (10.0, 20.0, 5.0, True, 4.2185163749938241),
        (1.0, 1e-30, 5.0, False, 0.21460216785284177),
        (0.3, 0.02, 3.0, False, 9.7208949844161144),
        (1000.1, 1000.0, 5.0, False, 2500089.9984389394),
        (1e-5, 1e-20, 1e4, False, 149081175515.13258),
        # no events: Q(1, b) = exp(-b) = Phi(-5), whose logarithm is -15.064998
        (0.0, 2.0, 5.0, True, 0.5 * 15.064998393988725),
    ],
)
def test_required_exposure(n1, b1, z, two_sided, exposure):
    """Against roots found with 30 digits (mpmath 1.4, secant method)."""
    assert required_exposure(n1, b1, z, two_sided) == pytest.approx(exposure, rel=1e-12)


def test_required_exposure_approaches_the_asimov_one():
    """25 b / s^2 with corrections of order s / b, here 1e-6."""
    assert required_exposure(1.0 + 1e-6, 1.0) == pytest.approx(25e12, rel=2e-6)


def test_exposures_that_do_not_exist():
    assert required_exposure(1.0, 1.0) is None
    assert required_exposure(1.0, 1.0, two_sided=True) is None
    assert required_exposure(1.0, 2.0) is None
    assert required_exposure(0.0, 0.0, two_sided=True) is None
    assert required_exposure(1.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((-1.0, 1.0), "n1 is -1"), ((1.0, inf), "b1 is inf"), ((2.0, 1.0, 0.0), "z is 0")],
)
def test_what_required_exposure_refuses(arguments, message):
    with pytest.raises(SpecificationError, match=message):
        required_exposure(*arguments)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("b", "lower", "upper"),
    [
        (0.0, None, 2.30),
        (1.0, 0.105, 3.89),
        (2.0, 0.532, 5.32),
        (3.0, 1.10, 6.68),
        (4.0, 1.74, 7.99),
        (5.0, 2.43, 9.27),
        (10.0, 6.22, 15.41),
    ],
)
def test_ninety_percent_limits_of_the_pdg(b, lower, upper):
    """Review of Particle Physics (2022), Table 40.3; half of the last printed digit."""
    assert upper_mean(b) == pytest.approx(upper, abs=0.005)
    if lower is None:
        assert lower_mean(b) is None
    else:
        assert lower_mean(b) == pytest.approx(lower, abs=0.0005 if lower < 1.0 else 0.005)


@pytest.mark.parametrize(
    ("bound", "b", "cl", "mean"),
    [
        (upper_mean, 0.1, 0.9, 2.47395308234157),
        (upper_mean, 1e6, 0.9, 1001282.7661403967),
        (lower_mean, 0.1, 0.9, 6.073048362743167e-11),
        (lower_mean, 1e6, 0.999999, 995253.77197750589),
        (lower_mean, 1e8, 0.999999, 99952472.955053445),  # scipy 1.17 is 900 events away
        (lower_mean, 1e-3, 0.9, 0.0),  # 0.1^1000
    ],
)
def test_means_at_a_confidence_level(bound, b, cl, mean):
    """Against roots found with 30 digits (mpmath 1.4, secant method)."""
    # 1 - cl is a rounded number: eps / (1 - cl) / b = 2e-14 in the smallest mean, less elsewhere
    assert bound(b, cl) == pytest.approx(mean, rel=1e-13)


@pytest.mark.parametrize("bound", [upper_mean, lower_mean])
def test_what_the_means_refuse(bound):
    with pytest.raises(SpecificationError, match="the count is -1; give a finite one"):
        bound(-1.0)
    with pytest.raises(SpecificationError, match="cl is 1; give a level between 0 and 1"):
        bound(1.0, 1.0)
