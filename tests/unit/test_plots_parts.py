"""What figures are made of: outlines of regions, ticks, words."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from plot_data import COUPLING, G0, MASS, grid_plane, interference, limit

from lmltgrid.views import axes, regions, style


class TestTrace:
    def test_contour_of_a_power_of_the_coupling_is_exact(self):
        """Interpolation in log value and log coupling is exact at each mass of the axis.

        The tolerance is that of float64 logarithms and of the rim around the plane, 1e-9 decades.
        """
        values = 5.0 * (COUPLING / G0[:, None]) ** 4
        (outline,) = regions.trace(MASS, COUPLING, values, 5.0)
        near = [np.isclose(outline[:, 0], mass, rtol=1e-7) for mass in MASS]
        lowest = [outline[one, 1].min() for one in near]
        np.testing.assert_allclose(lowest, G0, rtol=1e-7)

    def test_regions_are_closed_along_the_border(self):
        (outline,) = regions.trace(MASS, COUPLING, np.full((15, 31), np.inf), 5.0)
        np.testing.assert_array_equal(outline[0], outline[-1])
        np.testing.assert_allclose(outline.min(axis=0), [MASS[0], COUPLING[0]], rtol=1e-7)
        np.testing.assert_allclose(outline.max(axis=0), [MASS[-1], COUPLING[-1]], rtol=1e-7)

    def test_points_without_a_value_are_outside(self):
        values = np.full((15, 31), 9.0)
        values[5:8, 10:12] = np.nan
        outer, hole = sorted(
            regions.trace(MASS, COUPLING, values, 5.0), key=lambda one: -np.ptp(one[:, 0])
        )
        # a millionth of the way to the point without a value
        np.testing.assert_allclose(hole[:, 0].min(), MASS[4], rtol=1e-6)
        np.testing.assert_allclose(hole[:, 0].max(), MASS[8], rtol=1e-6)
        np.testing.assert_allclose(outer[:, 0].max(), MASS[-1], rtol=1e-6)

    @pytest.mark.parametrize("value", [-3.0, 0.0, np.nan, -np.inf])
    def test_nothing_above_the_level_gives_no_contour(self, value):
        assert regions.trace(MASS, COUPLING, np.full((15, 31), value), 2.0) == []

    def test_sign_change_between_two_points(self):
        """A value that is linear in log g crosses within the two points; exact where is not asked.

        From -20 to +20, the level of 5 lies at 0.625 of the way; the floor at a tenth of the level
        moves it to ln 10 / ln 40 = 0.62.
        """
        values = np.tile([-20.0, 20.0], (2, 1))
        (outline,) = regions.trace([1.0, 2.0], [1.0, 10.0], values, 5.0)
        assert np.log10(outline[:, 1].min()) == pytest.approx(0.625, abs=0.01)


class TestSigned:
    def test_deficit_is_negative(self):
        found = regions.signed(interference()).values
        clear = np.abs(found) > 0.1  # rounding of the counts decides below
        above = np.broadcast_to(COUPLING > 1.1e-3, found.shape)
        np.testing.assert_array_equal((found > 0.0)[clear], above[clear])

    def test_allowed_strip_thinner_than_the_grid_is_not_bridged(self):
        data = interference()
        assert data["significance"].values[:, COUPLING > 5e-4].min() > 5.0
        values = regions.signed(data).values
        (excess,) = regions.trace(MASS, COUPLING, values, 5.0)
        (deficit,) = regions.trace(MASS, COUPLING, -values, 5.0)
        assert deficit[:, 1].max() < 1.1e-3 < excess[:, 1].min()

    def test_few_couplings(self):
        two = grid_plane().isel(coupling=[0, 1])
        xr.testing.assert_identical(regions.signed(two), two["significance"])
        assert regions.signed(grid_plane().isel(coupling=[0, 1, 2])).shape == (15, 3)


class TestBranches:
    def test_every_branch_is_followed_and_open_ones_end_at_the_top(self):
        deficit, excess = sorted(regions.branches(limit(), 1e-2), key=lambda one: one[:, 1].max())
        assert deficit[:, 0].max() == MASS[MASS < 20.0][-1]
        assert (deficit[:, 1].min(), deficit[:, 1].max()) == (2e-4, 9e-4)
        assert excess[:, 1].max() == 1e-2
        assert set(excess[:, 0]) == set(MASS)
        np.testing.assert_array_equal(excess[0], excess[-1])

    def test_no_interval(self):
        none = limit().isel(interval=[])
        assert regions.branches(none, 1e-2) == []

    def test_a_strip_that_begins_between_two_masses_leaves_no_wedge(self):
        """Excluded from 1e-4 up; from 8 MeV on but for a thin strip that moves, up to 32 MeV."""
        masses = np.geomspace(1.0, 128.0, 8)
        low, high = np.full((8, 2), np.nan), np.full((8, 2), np.nan)
        low[:, 0], high[:, 0] = 1e-4, np.inf
        for i in (3, 4, 5):
            edge = 1e-4 * masses[i]
            high[i, 0], low[i, 1], high[i, 1] = edge, 1.1 * edge, np.inf
        data = xr.Dataset(
            {"low": (("mass", "interval"), low), "high": (("mass", "interval"), high)},
            coords={"mass": masses},
        )
        found = regions.branches(data, 1e-2)
        area = 0.0
        for one in found:
            x, y = np.log(one).T
            area += 0.5 * abs(np.sum(x[1:] * y[:-1] - x[:-1] * y[1:]))
        # two steps of the strip at its full width, and a tip at each end
        strip = np.log(2.0) * np.log(1.1) * (2.0 + 2.0 * 0.5)
        whole = np.log(128.0) * np.log(100.0)
        assert area == pytest.approx(whole - strip, rel=1e-12)
        path = regions.joined(found, np.log10([1.0, 128.0, 1e-5, 1e-2]))
        steps = np.isfinite(path[1:] + path[:-1]).all(axis=1)
        inside = (path[1:, 0] > 0.1) & (path[1:, 0] < 2.0)
        upright = np.abs(np.diff(path[:, 0])) < 1e-12
        assert not np.any(steps & inside & upright)

    def test_what_runs_along_the_border_is_not_drawn(self):
        square = np.array([[1.0, 1e-4], [10.0, 1e-4], [10.0, 1e-2], [1.0, 1e-2], [1.0, 1e-4]])
        path = regions.joined([square], np.log10([1.0, 300.0, 1e-5, 1e-2]))
        drawn = [tuple(np.r_[a, b]) for a, b in pairwise(path) if np.isfinite(a + b).all()]
        assert drawn == [(0.0, -4.0, 1.0, -4.0), (1.0, -4.0, 1.0, -2.0)]


class TestAxes:
    @pytest.mark.parametrize(
        ("low", "high", "labels"),
        [
            (1.0, 300.0, ["1", "2", "5", "10", "20", "50", "100", "200"]),
            (1.0, 1000.0, ["1", "10", "100", "1000"]),
            (1e-5, 1e-2, ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²"]),
            (1e-4, 1e-3, ["10⁻⁴", "2×10⁻⁴", "5×10⁻⁴", "10⁻³"]),  # noqa: RUF001
            (12.0, 30.0, ["15", "20", "25", "30"]),
            (4e-4, 6.1e-4, ["4×10⁻⁴", "4.5×10⁻⁴", "5×10⁻⁴", "5.5×10⁻⁴", "6×10⁻⁴"]),  # noqa: RUF001
            (1e-12, 1e12, ["10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "10⁰", "10³", "10⁶", "10⁹", "10¹²"]),
        ],
    )
    def test_labels(self, low, high, labels):
        plain = axes.is_plain(low, high)
        assert [axes.label(value, plain) for value in axes.major(low, high, plain)] == labels

    def test_ticks_between(self):
        assert len(axes.minor(1.0, 100.0)) == 19
        assert axes.minor(1.0, 2.0) == []


class TestWords:
    @pytest.mark.parametrize(
        ("value", "words"),
        [(15.0, "15"), (5e-4, "5×10⁻⁴"), (5.6613, "5.66"), (0.0, "0"), (2e5, "2×10⁵")],  # noqa: RUF001
    )
    def test_numbers(self, value, words):
        assert style.number(value) == words

    def test_models(self):
        assert style.model_words("Lmu-Ltau") == "Lμ−Lτ"  # noqa: RUF001
        assert style.model_words("my-Lmu") == "my-Lmu"

    def test_title_names_all_that_the_numbers_depend_on(self):
        words = style.title_words(style.settings_of(grid_plane()))
        for part in (
            "DARWIN, nuclear recoils",
            "Lμ−Lτ",  # noqa: RUF001
            "threshold 1 keV_nr",
            "200 t yr",
            "Sun GS98",
            "oscillation nufit60",
            "mixing loop",
        ):
            assert part in words

    def test_experiment_of_a_user(self):
        assert (
            style.experiment_words({"experiment": "mine", "title": "My detector"}) == "My detector"
        )
        assert style.experiment_words({"experiment": "mine"}) == "mine"

    def test_muon_charge(self):
        assert style.muon_charge(style.settings_of(grid_plane("mine", mu=-3.0))) == 3.0
        assert style.muon_charge({"model": "Lmu"}) == 1.0
        assert style.muon_charge({"model": "nobody"}) == 0.0
        assert style.muon_charge({"model": "scalar"}) == 1.0
        assert style.muon_charge({"model": "axial"}) == 0.0

    def test_muon_charge_of_a_scalar_in_a_grid(self):
        """A grid keeps the charges of a vector, which are zero for a scalar of any name."""
        known = style.settings_of(grid_plane("mine", mu=0.0, kind="scalar"))
        assert (style.muon_charge(known), style.muon_kind(known)) == (1.0, "scalar")
        axial = style.settings_of(grid_plane("mine", mu=0.0, kind="axial"))
        assert style.muon_charge(axial) == 0.0
