"""The figure of a reconstruction: regions, limits, stars and words."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest
import xarray as xr

import lmltgrid
from lmltgrid.errors import SpecificationError
from lmltgrid.views import plots, style
from lmltgrid.views.frame import X, Y
from lmltgrid.views.reconstruction import allowed, with_holes

MASS = np.geomspace(1.0, 1000.0, 61)
COUPLING = np.geomspace(1e-5, 1e-2, 91)
POINT = (30.0, 5e-4)


def found(experiment="ess", width=(0.3, 0.1), **settings):
    """A chi-square that is a parabola about the true point, in decades of both axes."""
    x = (np.log10(MASS / POINT[0]) / width[0])[:, None]
    y = np.log10(COUPLING / POINT[1]) / width[1]
    plane = x**2 + y**2
    attrs = {
        "experiment": experiment, "true_mass": POINT[0], "true_coupling": POINT[1],
        "truth": "Lmu-Ltau", "truth_mixing": "loop", "model": "Lmu-Ltau", "mixing": "loop",
        "oscillation": "nufit60", "chi2_minimum": 0.0,
    }  # fmt: skip
    return xr.Dataset(
        {
            "delta_chi2": (("mass", "coupling"), plane),
            "profile": ("mass", x[:, 0] ** 2),
            "best_coupling": ("mass", np.full(MASS.size, POINT[1])),
            "upper_limit": ("mass", 1e-3 * (1.0 + MASS / 100.0)),
        },
        coords={"mass": MASS, "coupling": COUPLING},
        attrs=attrs | settings,
    )


def narrow(tilt=0.0):
    """One a hundredth of a decade wide in the mass and a tenth of that in the coupling."""
    nodes = POINT[0] * 10.0 ** (0.01 * np.linspace(-10.0, 10.0, 401))
    x = np.log10(nodes / POINT[0])
    return found(width=(0.01, 1e-3)).assign(
        node_mass=("node", nodes),
        node_profile=("node", (x / 0.01) ** 2),
        node_coupling=("node", POINT[1] * 10.0 ** (tilt * x)),
        node_width=("node", np.full(nodes.size, 1e-3 * np.log(10.0))),
    )


def unseen(**settings):
    """The same, where no coupling at all is allowed too."""
    return found(width=(0.3, 10.0), **settings)


def parts(figure, kind):
    return [one for one in figure.traverse(lambda one: one, [kind]) if type(one) is kind]


def labels(figure):
    return [one.label for one in figure if one.label]


def title(figure):
    return hv.Store.lookup_options("bokeh", figure, "plot").kwargs["title"]


class TestAllowed:
    @pytest.mark.parametrize("bound", [0.5, 2.279, 5.991, 20.0])
    def test_outline_is_exact_for_a_parabola_but_for_its_chords(self, bound):
        (outline,) = allowed(found(), bound)
        x = np.log10(outline[:, 0] / POINT[0]) / 0.3
        y = np.log10(outline[:, 1] / POINT[1]) / 0.1
        # a circle of radius r by chords of a third, the step of the coupling: h^2/8r inside it
        assert np.hypot(x, y) == pytest.approx(np.sqrt(bound), rel=(1.0 / 3.0) ** 2 / 8.0 / bound)

    @pytest.mark.parametrize("tilt", [0.0, 0.5, -2.0])
    @pytest.mark.parametrize("bound", [2.279, 5.991])
    def test_a_region_narrower_than_the_axis_is_not_lost(self, bound, tilt):
        data = narrow(tilt)
        (outline,) = allowed(data, bound)
        x = np.log10(outline[:, 0] / POINT[0])
        y = np.log10(outline[:, 1] / POINT[1]) - tilt * x
        assert np.hypot(x / 0.01, y / 1e-3) == pytest.approx(np.sqrt(bound), rel=1e-6)
        assert outline[0] == pytest.approx(outline[-1])
        (run,) = with_holes([np.log10(outline)])
        assert run["holes"] == [[]]

    def test_two_narrow_regions_are_two(self):
        data = narrow()
        data["node_profile"] = (data["node_profile"] - 4.0) ** 2
        assert len(allowed(data, 2.279)) == 2

    def test_what_is_not_known_elsewhere_does_not_hide_a_narrow_region(self):
        data = narrow()
        data["delta_chi2"][10, 5] = np.nan
        own, unknown = allowed(data, 2.3)
        for outline, point in ((own, POINT), (unknown, (MASS[10], COUPLING[5]))):
            low, high = outline.min(axis=0), outline.max(axis=0)
            assert np.all((low < point) & (point < high))
            assert np.all(high / low < 1.2)

    def test_what_is_not_known_is_inside(self):
        data = found()
        data["delta_chi2"][10, 5] = np.nan
        assert len(allowed(data, 2.3)) == 2


class TestHoles:
    outer = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0], [0.0, 0.0]])
    small = 1.0 + 0.5 * outer

    def test_a_clockwise_outline_is_a_hole_of_the_region_around_it(self):
        far = self.outer + 10.0
        regions = with_holes([self.outer, far, self.small[::-1]])
        assert [len(one["holes"][0]) for one in regions] == [1, 0]
        assert np.array_equal(regions[0][X], self.outer[:, 0])
        assert np.array_equal(regions[1][Y], far[:, 1])

    def test_an_island_in_a_hole_is_a_region(self):
        island = 2.0 + 0.1 * self.outer
        regions = with_holes([self.outer, self.small[::-1], island])
        assert len(regions) == 2
        assert [len(one["holes"][0]) for one in regions] == [1, 0]

    def test_a_ring_is_traced_with_its_hole(self):
        data = found()
        data["delta_chi2"] = (data["delta_chi2"] - 9.0) ** 2
        assert [len(one["holes"][0]) for one in with_holes(allowed(data, 4.0))] == [1]


class TestFigure:
    def test_shows_regions_band_and_star(self):
        figure = plots.reconstruction(found())
        assert labels(figure) == ["(g−2)μ, 2σ", "95 %", "68 %", "truth"]  # noqa: RUF001
        (star,) = parts(figure, hv.Scatter)
        assert star.dimension_values(0) == pytest.approx([np.log10(POINT[0])])
        assert star.dimension_values(1) == pytest.approx([np.log10(POINT[1])])
        light, dark = parts(figure, hv.Polygons)
        sizes = [np.ptp(one.dimension_values(0)) for one in (light, dark)]
        assert sizes[0] > sizes[1]
        alphas = [
            hv.Store.lookup_options("bokeh", one, "style").kwargs["alpha"] for one in (light, dark)
        ]
        assert alphas[0] < alphas[1]

    def test_shows_the_limit_where_nothing_is_seen(self):
        figure = plots.reconstruction(unseen())
        assert labels(figure) == ["(g−2)μ, 2σ", "upper limit at 90 %", "truth"]  # noqa: RUF001
        assert not parts(figure, hv.Polygons)
        (curve,) = parts(figure, hv.Curve)
        assert 10.0 ** curve.dimension_values(1) == pytest.approx(1e-3 * (1.0 + MASS / 100.0))
        dash = hv.Store.lookup_options("matplotlib", curve, "style").kwargs["linestyle"]
        assert dash == style.DASHES["dashdot"][1]

    def test_several_experiments_have_colors_and_names(self):
        figure = plots.reconstruction([found(), found("ccm"), unseen(experiment="cenns610")])
        assert labels(figure)[1:] == [
            "ess: 68 %, 95 %",
            "ccm: 68 %, 95 %",
            "cenns610, upper limit at 90 %",
            "truth",
        ]
        colors = {
            hv.Store.lookup_options("matplotlib", one, "style").kwargs["facecolor"]
            for one in parts(figure, hv.Polygons)
        }
        assert len(colors) == 2
        assert title(figure).startswith("ess, ccm, cenns610\n")

    def test_title_names_truth_and_fit(self):
        words = title(plots.reconstruction(found()))
        assert words.splitlines() == [
            "1 tonne of argon at the ESS, projection",
            "truth and fit Lμ−Lτ, mixing loop; 30 MeV, g = 5×10⁻⁴; oscillation nufit60",  # noqa: RUF001
        ]
        other = found(experiment="ess+ccm", model="Lmu", mixing="amaral2021", chi2_minimum=80.0)
        words = title(plots.reconstruction(other))
        assert words.splitlines() == [
            "ess+ccm",
            "truth Lμ−Lτ, mixing loop, 30 MeV, g = 5×10⁻⁴",  # noqa: RUF001
            "fitted Lμ, mixing amaral2021; oscillation nufit60; least chi-square 80",
        ]

    @pytest.mark.parametrize(("model", "kind"), [("scalar", "scalar"), ("Lmu-Ltau", "vector")])
    def test_band_is_that_of_the_mediator(self, model, kind):
        (band,) = parts(plots.reconstruction(found(model=model)), hv.Area)
        mass = 10.0 ** band.dimension_values(0)
        low, _, high = lmltgrid.muon_band(mass, 1.0, kind=kind)
        assert 10.0 ** band.dimension_values(1) == pytest.approx(low, rel=1e-9)
        assert 10.0 ** band.dimension_values(2) == pytest.approx(high, rel=1e-9)

    def test_band_is_left_out_without_a_charge(self):
        assert not parts(plots.reconstruction(found(model="B-3Le")), hv.Area)
        assert not parts(plots.reconstruction(found(), band=False), hv.Area)

    def test_axis_holds_what_is_shown(self):
        figure = plots.reconstruction(found())
        low, high = hv.Store.lookup_options("bokeh", figure, "plot").kwargs["ylim"]
        # the 95 % region is 0.245 decades to each side
        middle = np.log10(POINT[1])
        assert -5.0 <= low < middle - 0.245
        assert middle + 0.245 < high <= -2.0

    def test_legend_keeps_clear_of_the_region(self):
        place = hv.Store.lookup_options("bokeh", plots.reconstruction(found()), "plot")
        assert place.kwargs["legend_position"] == "bottom_right"
        low = found()
        low["delta_chi2"] = low["delta_chi2"].roll(mass=25)  # to heavy masses
        low.attrs["true_mass"] = 500.0
        figure = plots.reconstruction(low, coupling=(3e-4, 1e-2))
        corner = hv.Store.lookup_options("bokeh", figure, "plot").kwargs["legend_position"]
        assert corner == "top_left"

    @pytest.mark.parametrize("suffix", [".png", ".html"])
    @pytest.mark.parametrize("several", [False, True])
    def test_is_saved(self, tmp_path, suffix, several):
        data = [found(), unseen(experiment="ccm")] if several else found()
        path = plots.save(plots.reconstruction(data), tmp_path / f"figure{suffix}")
        assert path.stat().st_size > 10_000

    def test_refusals(self):
        with pytest.raises(SpecificationError, match="nothing is given"):
            plots.reconstruction([])
        with pytest.raises(SpecificationError, match="must be positive and ascend"):
            plots.reconstruction(found(), coupling=(1e-3, 1e-4))


class TestWords:
    own = {"experiment": "ess", "statistic": "likelihood", "data": "expected", "cl": 0.9}  # noqa: RUF012
    at = {"threshold": 20.0, "exposure": 1.0, "energy_scale": "nuclear_recoil"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({}, "1 t yr"),
            ({"statistic": "counting"}, "threshold 20 keV_nr, 1 t yr"),
            ({"data": "measured"}, ""),
            ({"statistic": "rate"}, ""),
            ({"energy_scale": "muon_energy"}, ""),
            ({"energy_scale": "several"}, ""),
            ({"energy_scale": "gas_pressure"}, "pressure 20 Torr, 1 t yr"),
        ],
    )
    def test_title_has_what_can_be_chosen(self, change, words):
        text = style.title_words(self.own | self.at | change)
        assert text.splitlines()[1:] == ([words] if words else [])

    def test_measured_data_exclude_by_themselves(self):
        assert style.verdict_words(self.own) == "excluded at 90 % CL"
        measured = self.own | {"data": "measured"}
        assert style.verdict_words(measured) == "excluded at 90 % CL by its data"

    def test_thresholds_of_likelihoods_are_no_difference(self):
        other = self.own | self.at | {"threshold": 8.0, "experiment": "coherent-csi-2021"}
        assert style.differences([self.own | self.at, other], 1) == []
