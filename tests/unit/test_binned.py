"""Binned counts with pulls: what is made of moments, and where the least chi-square is found."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lmltgrid import binned
from lmltgrid.kernels import likelihood

SM = np.array([40.0, 10.0])  # counts per tonne year
BACKGROUND = np.array([[4.0, 2.0]])


def moments(observed=(np.nan, np.nan), gaussian=(0.0, 0.0), noise=(0.0, 0.0), exposure=2.0):
    """Two bins and one pull of 10 % on the signal, in the form of `lmltgrid.basis.compute`."""
    return xr.Dataset(
        {
            "observed": ("bin", np.array(observed)),
            "background": (("threshold", "bin"), BACKGROUND),
            "gaussian": ("bin", np.array(gaussian)),
            "noise": ("bin", np.array(noise)),
            "noise_fraction": ("bin", np.array([0.1, 0.1])),
            "pull_signal": (("pull", "bin"), np.full((1, 2), 0.1)),
            "pull_background": (("pull", "bin"), np.array([[0.0, 0.2]])),
        },
        attrs={"exposure_tonne_year": exposure},
    )


def signal(x):
    """Counts per tonne year with a deficit, and an excess above x = 1."""
    return SM * (1.0 - x + x**2)


COEFFICIENTS = np.stack([SM, -SM, SM], axis=1)


class TestFromMoments:
    def test_expected_data_scale_with_the_exposure(self):
        data = binned.from_moments(moments(), SM, 3.0)
        assert data.scale == pytest.approx([3.0, 3.0])
        assert data.background == pytest.approx([12.0, 6.0])
        assert data.observed == pytest.approx([132.0, 36.0])
        assert data.pull_background[0] == pytest.approx([0.0, 0.6])
        assert not data.variance.any()

    def test_measured_bins_keep_their_own_exposure(self):
        data = binned.from_moments(moments(observed=(90.0, np.nan)), SM, 3.0)
        assert data.scale == pytest.approx([2.0, 3.0])
        assert data.observed == pytest.approx([90.0, 36.0])
        assert data.background == pytest.approx([8.0, 6.0])

    def test_variance_is_what_was_seen_and_the_noise(self):
        data = binned.from_moments(moments(gaussian=(1.0, 0.0), noise=(5.0, 5.0)), SM, 1.0)
        # 44 seen, 5 noise, a tenth of 40
        assert data.variance == pytest.approx([53.0, 0.0])

    def test_a_gaussian_bin_without_anything_says_nothing(self):
        empty = moments(observed=(0.0, 12.0), gaussian=(1.0, 0.0), exposure=1.0)
        empty["noise_fraction"][:] = 0.0
        data = binned.from_moments(empty, SM, 1.0)
        assert data.variance[0] == np.inf
        assert data.curve(COEFFICIENTS, np.zeros(1))[0] == pytest.approx(0.0, abs=1e-9)

    def test_data_can_be_given(self):
        data = binned.from_moments(moments(), SM, 1.0, data=np.array([30.0, 8.0]))
        assert data.observed == pytest.approx([30.0, 8.0])


class TestCouplings:
    @pytest.mark.parametrize(
        "coefficients",
        [
            COEFFICIENTS,
            np.array([[1e4, 1e-3, 0.0]]),
            np.array([[1e4, 0.0, 1e30]]),
            np.array([[0.0, 1e9, 0.0]]),  # nothing in the Standard Model, as for a muon beam
            np.array([[5.0, -1e12, 1e13], [5.0, 1e12, 1e3]]),
        ],
    )
    def test_reach_from_no_change_to_a_large_one(self, coefficients):
        size = len(coefficients)
        data = binned.Binned(*np.zeros((2, size)), *np.zeros((2, 0, size)), *np.ones((2, size)))
        x = data.couplings(coefficients)
        c0, c1, c2 = np.abs(coefficients).sum(axis=0)
        change = (x * (c1 + x * c2)) / (c0 or 1.0)
        assert change[0] < 1e-3
        assert change[-1] > 1e3
        assert np.all(np.diff(np.log(x)) < 0.13)  # and no strip of a tenth in x is stepped over

    def test_where_nothing_changes_there_is_one_point(self):
        data = binned.from_moments(moments(), SM, 1.0)
        assert data.couplings(np.array([[3.0, 0.0, 0.0]] * 2)).tolist() == [1.0]

    @pytest.mark.parametrize("exposure", [1.0, 10.0])
    def test_reach_beyond_the_data(self, exposure):
        """Data of a mediator can hold far more than the Standard Model."""
        counts = exposure * (1e9 * SM + BACKGROUND[0])
        data = binned.from_moments(moments(), SM, exposure, data=counts)
        assert data.seen == pytest.approx(1e9 * SM.sum(), rel=1e-12)
        assert signal(data.couplings(COEFFICIENTS)[-1]).sum() > 1e3 * data.seen


class TestLeast:
    def test_is_polished_below_any_point_of_the_grid(self):
        data = binned.from_moments(moments(), SM, 1.0, data=signal(0.31) + BACKGROUND[0])
        coefficients = COEFFICIENTS[:, :, None]
        value, place, x = binned.least(data, coefficients)
        grid = data.curve(COEFFICIENTS, data.couplings(COEFFICIENTS))
        assert value < grid.min()
        assert place == 0
        # a point of data, and its mirror on the other side of the deficit, fit without a rest
        assert value == pytest.approx(0.0, abs=1e-8)
        assert min(abs(x - 0.31), abs(x - 0.69)) < 1e-4

    def test_is_that_of_no_coupling_where_nothing_is_better(self):
        data = binned.from_moments(moments(), SM, 1.0)
        value, _, x = binned.least(data, COEFFICIENTS[:, :, None])
        assert value == pytest.approx(0.0, abs=1e-9)
        assert x in (0.0, pytest.approx(1.0, abs=1e-4))  # as many events again at x = 1

    def test_tells_the_mass_at_which_it_is(self):
        weak = COEFFICIENTS * np.array([1.0, 0.1, 0.0])  # never as large a deficit
        both = np.stack([weak * np.array([1.0, -1.0, 1.0]), COEFFICIENTS], axis=-1)
        data = binned.from_moments(moments(), SM, 100.0, data=100.0 * (signal(0.5) + BACKGROUND[0]))
        assert binned.least(data, both)[1] == 1

    def test_points_that_do_not_converge_are_passed_over(self, monkeypatch):
        data = binned.from_moments(moments(), SM, 1.0, data=signal(0.31) + BACKGROUND[0])
        expected = binned.least(data, COEFFICIENTS[:, :, None])
        true = likelihood.plane

        def poisoned(counts, x, *rest):
            return np.where(np.asarray(x) > 2.0, np.nan, true(counts, x, *rest))

        monkeypatch.setattr(likelihood, "plane", poisoned)
        assert binned.least(data, COEFFICIENTS[:, :, None]) == expected

    def test_is_nan_where_nothing_converges(self):
        data = binned.from_moments(moments(), SM, 1.0, data=np.array([np.nan, 3.0]))
        value, place, x = binned.least(data, COEFFICIENTS[:, :, None])
        assert np.isnan(value)
        assert (place, x) == (0, 0.0)
