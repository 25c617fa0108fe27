"""Regions of pseudo-experiments: critical values, intervals, and what is not told apart."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import chi2
from toy_data import COUPLING, G0, MASS, drawn

from lmltgrid.analysis.toys import as_limits, calibrated_limits, feldman_cousins, settled
from lmltgrid.errors import SpecificationError


def test_critical_values_and_regions() -> None:
    found = feldman_cousins(drawn(2.0), level=0.9)
    assert found.attrs["asymptotic_value"] == pytest.approx(2.7055, abs=1e-4)
    np.testing.assert_allclose(found["critical_value"], 2.0 * chi2.ppf(0.9, 1))
    assert "probability" not in found.coords
    # t is beyond twice the asymptotic value at g0 2^(1/4)
    np.testing.assert_array_equal(found["excluded"], G0[:, None] * 2.0**0.25 < COUPLING)
    np.testing.assert_array_equal(
        found["excluded_asymptotic"], drawn()["statistic"] > found.attrs["asymptotic_value"]
    )
    lower = feldman_cousins(drawn(2.0), level=0.68)
    assert lower.attrs["asymptotic_value"] == pytest.approx(chi2.ppf(0.68, 1))
    assert feldman_cousins(drawn(parameters=2)).attrs["asymptotic_value"] == pytest.approx(
        4.6052, abs=1e-4
    )


def test_regions_of_whole_grids_are_lazy() -> None:
    whole = xr.concat([drawn(), drawn(3.0)], "threshold").chunk({"threshold": 1})
    found = feldman_cousins(whole)
    assert found["excluded"].chunks is not None
    assert found["excluded"].isel(threshold=1).sum() < found["excluded"].isel(threshold=0).sum()


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_limits_are_where_the_likelihood_ratio_is_critical(factor: float) -> None:
    """t is a power of g, for which the interpolation is exact; so is the error."""
    found = calibrated_limits(drawn(factor, error=0.02))
    assert found["low"].shape == (3, 1)
    np.testing.assert_allclose(found["low"][:, 0], G0 * factor**0.25, rtol=1e-9)
    np.testing.assert_allclose(found["asymptotic_low"][:, 0], G0, rtol=1e-9)
    assert np.all(np.isinf(found["high"]))
    critical = factor * chi2.ppf(0.9, 1)
    np.testing.assert_allclose(found["low_critical"][:, 0], critical)
    np.testing.assert_allclose(found["low_error"][:, 0] / found["low"][:, 0], 0.02 / critical / 4.0)
    plain = as_limits(found)
    np.testing.assert_array_equal(plain["low"], found["low"])
    assert as_limits(found, asymptotic=True)["low"].dims == ("mass", "interval")


def test_both_ends_of_an_interval_and_masses_without_any() -> None:
    own = drawn()
    t = own["statistic"].values
    t[0] = np.where((COUPLING > 5e-5) & (COUPLING < 2e-4), 10.0, 0.1)
    t[1] = 0.0
    t[2] = 10.0
    found = calibrated_limits(own)
    low, high = found["low"].values, found["high"].values
    inside = (COUPLING > 5e-5) & (COUPLING < 2e-4)
    first, last = COUPLING[inside][[0, -1]]
    step = COUPLING[1] / COUPLING[0]
    assert first / step < low[0, 0] < first
    assert last < high[0, 0] < last * step
    assert np.isnan(low[1, 0])
    assert (low[2, 0], high[2, 0]) == (COUPLING[0], np.inf)
    assert np.isnan(found["low_error"][2, 0])


def test_what_is_not_told_apart_is_one_region() -> None:
    marks = np.array([0, 0, 1, 0, 0, 1, 1, 0, 1, 1], dtype=bool)
    sigmas = np.array([9, 5, 0.5, 3, 2, 0.4, 4, 0.3, 8, 9.0])
    expected = [False] * 5 + [True] * 5
    assert settled(marks, sigmas).tolist() == expected
    assert settled(marks, np.full(10, 2.0)).tolist() == marks.tolist()
    assert settled(np.ones(3, dtype=bool), np.zeros(3)).tolist() == [True] * 3
    own = drawn(error=0.5)
    t = own["statistic"].values
    near = int(np.searchsorted(COUPLING, G0[0]))
    t[0, near - 3] = chi2.ppf(0.9, 1) + 0.1  # by chance
    assert calibrated_limits(own)["low"].shape == (3, 1)
    assert calibrated_limits(own.assign(quantile_error=own["quantile_error"] * 1e-3))[
        "low"
    ].shape == (3, 2)


def test_a_point_without_a_fit_is_not_excluded() -> None:
    own = drawn()
    own["statistic"].values[0, 30] = np.nan
    own["quantile"].values[0, 35] = np.inf
    excluded = feldman_cousins(own)["excluded"].values
    assert not excluded[0, 30]
    assert not excluded[0, 35]
    assert excluded[0, 31]
    found = calibrated_limits(own)
    # what lies between a point that is not known and the next that is, is left out
    low, high = found["low"].values[0, 1:], found["high"].values[0, :2]
    np.testing.assert_allclose(low, COUPLING[[31, 36]])
    np.testing.assert_allclose(high, COUPLING[[29, 34]])


def test_one_mass_and_any_order() -> None:
    one = calibrated_limits(drawn().sel(mass=10.0))
    assert one["low"].shape == (1, 1)
    turned = drawn().transpose("coupling", ...).isel(coupling=slice(None, None, -1))
    np.testing.assert_allclose(calibrated_limits(turned)["low"][:, 0], G0)
    assert calibrated_limits(turned)["mass"].values.tolist() == MASS.tolist()


def test_refusals() -> None:
    with pytest.raises(SpecificationError, match=r"level: 0.5 is given; .* have 0.68, 0.9; choose"):
        feldman_cousins(drawn(), level=0.5)
    with pytest.raises(SpecificationError, match="has no pseudo-experiments"):
        feldman_cousins(drawn().drop_vars("quantile"))
    with pytest.raises(SpecificationError, match=r"the axes are threshold \(2\), mass \(3\)"):
        calibrated_limits(xr.concat([drawn(), drawn()], "threshold"))


def test_a_point_that_is_not_told_from_the_best_fit_is_not_excluded() -> None:
    """Expected data are no whole number, so that no pseudo-experiment is as close to them."""
    own = drawn()
    own["statistic"].values[:] = 5e-4  # told from zero by far more than fits are uncertain
    own["quantile"].values[:] = 0.0
    assert not feldman_cousins(own)["excluded"].any()
    assert calibrated_limits(own)["low"].shape == (3, 0)


def test_few_counts_have_limits_between_the_couplings() -> None:
    """Nothing is seen and nothing expected: t = 2 mu is critical below the limit, and p = e^-mu.

    Feldman and Cousins have more events than e mu on the other side; here they are left out.
    """
    own = drawn()
    mu = 2.0 * (COUPLING / 1.03e-4) ** 2
    own["statistic"].values[:] = 2.0 * mu
    own["p_value"].values[:] = np.exp(-mu)
    critical = np.where(np.exp(-mu) > 0.1, 2.0 * mu, 1.8 * mu)
    own["quantile"].values[..., -1] = critical
    own["quantile_error"].values[:] = 0.0
    limit = 1.03e-4 * np.sqrt(np.log(10.0) / 2.0)
    found = calibrated_limits(own)
    np.testing.assert_allclose(found["low"][:, 0], limit, rtol=1e-9)
    np.testing.assert_allclose(found["low_critical"][:, 0], 2.0 * np.log(10.0), rtol=1e-9)
    error = np.sqrt(0.9 / 0.1 / 1000) / np.log(10.0) / 2.0  # dp/p = mu dmu/mu, mu a square of g
    np.testing.assert_allclose(found["low_error"][:, 0] / limit, error, rtol=1e-9)
