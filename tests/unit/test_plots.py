"""Figures: what they show, in both backends, and how they are saved."""

from __future__ import annotations

import gc
from html.parser import HTMLParser

import holoviews as hv
import numpy as np
import pytest
import xarray as xr
from plot_data import G0, MASS, discovery_line, grid_plane, interference, limit, spectrum

from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.views import plots


def parts(figure, kind):
    """Elements of one kind, and not those of its subclasses."""
    return [one for one in figure.traverse(lambda one: one, [kind]) if type(one) is kind]


def in_bokeh(figure):
    return hv.renderer("bokeh").get_plot(figure).state


def option(figure, name, backend="bokeh", group="plot"):
    return hv.Store.lookup_options(backend, figure, group).kwargs[name]


class TestPlane:
    def test_shows_significance_contours_band_and_benchmarks(self):
        figure = plots.plane(grid_plane())
        (image,) = parts(figure, hv.Image)
        assert option(image, "clim") == (0.0, 10.0)
        assert option(image, "clabel") == "discovery significance (standard deviations)"
        assert len(parts(figure, hv.Curve)) == 3
        assert len(parts(figure, hv.Area)) == 1
        texts = [text for one in parts(figure, hv.Labels) for text in one.dimension_values("text")]
        assert texts == ["5σ", "3σ", "2σ", "BP1", "BP2", "BP3", "BP4"]  # noqa: RUF001

    def test_contour_lies_where_the_level_is(self):
        (curve,) = parts(plots.plane(grid_plane(), levels=5.0), hv.Curve)
        x, y = curve.dimension_values(0), curve.dimension_values(1)
        at = np.nanargmin(np.abs(x - np.log10(MASS[7])))
        # exact up to the rim and to the float32 of the plane
        assert 10.0 ** y[at] == pytest.approx(G0[7], rel=1e-6)

    @pytest.mark.parametrize(("mu", "bands"), [(1.0, 1), (0.0, 0)])
    def test_band_needs_a_charged_muon(self, mu, bands):
        assert len(parts(plots.plane(grid_plane("mine", mu=mu)), hv.Area)) == bands

    def test_band_and_benchmarks_can_be_left_out(self):
        figure = plots.plane(grid_plane(), band=False, benchmarks=False)
        assert not parts(figure, hv.Area)
        assert not parts(figure, hv.Points)

    def test_overlays(self):
        region = xr.Dataset(
            {
                "mass": (("region", "vertex"), [[2.0, 9.0, 9.0, 2.0, np.nan]]),
                "coupling": (("region", "vertex"), [[1e-3, 1e-3, 2e-3, 1e-3, np.nan]]),
            },
            coords={"kind": ("region", ["excess"])},
        )
        asked = region.assign_attrs(sigmas=5.0)
        figure = plots.plane(grid_plane(), intervals=limit(), regions=asked)
        labels = {one.label for one in figure.traverse(lambda one: one, [hv.Curve, hv.Polygons])}
        assert {"excluded at 90 % CL", "exact, 5σ discovery"} <= labels  # noqa: RUF001
        assert "exact" in {
            one.label for one in parts(plots.plane(grid_plane(), regions=region), hv.Curve)
        }

    def test_two_sided_contours_tell_deficit_from_excess(self):
        data = interference()
        (curve,) = parts(plots.plane(data, levels=5.0), hv.Curve)
        near = 10.0 ** curve.dimension_values(1)
        assert (near < 1.1e-3).any()
        assert (near > 1.1e-3).any()

    def test_values_that_are_not_finite(self, tmp_path):
        data = grid_plane()
        values = data["significance"].values
        values[:3], values[5:7, 3:9], values[-1, 0] = np.inf, np.nan, -np.inf
        figure = plots.plane(data)
        shown = parts(figure, hv.Image)[0].dimension_values(2, flat=False)
        assert not np.isinf(shown).any()
        assert np.isnan(shown).sum() == 12
        assert plots.save(figure, tmp_path / "plane.html").stat().st_size > 1e5

    def test_region_that_is_the_whole_plane_has_no_contour_to_label(self):
        data = grid_plane()
        data["significance"].values[:] = np.inf
        (labels,) = parts(plots.plane(data, benchmarks=False), hv.Labels)
        assert len(labels) == 0

    def test_nothing_but_gaps(self):
        data = grid_plane()
        data["significance"].values[:] = np.nan
        assert plots.png(plots.plane(data))[:4] == b"\x89PNG"
        assert plots.html(plots.plane(data))

    def test_axis_that_is_not_evenly_spaced(self):
        data = grid_plane().isel(mass=[0, 1, 5, 6, 14])
        (image,) = parts(plots.plane(data), hv.Image)
        assert image.dimension_values(0, expanded=False).size == 400
        kept = np.unique(data["significance"].values)
        assert np.isin(image.dimension_values(2), kept).all()

    def test_dimensions_of_length_one_are_dropped(self):
        data = grid_plane().expand_dims(["model", "exposure"])
        assert "Lμ−Lτ" in option(plots.plane(data), "title")  # noqa: RUF001

    def test_variable_alone(self):
        assert "threshold 1 keV_nr" in option(plots.plane(grid_plane()["significance"]), "title")

    def test_another_dimension_is_refused(self):
        data = grid_plane().expand_dims(exposure=[10.0, 20.0])
        with pytest.raises(SpecificationError, match="select one point of exposure"):
            plots.plane(data)

    def test_one_mass_is_refused(self):
        with pytest.raises(SpecificationError, match="two points or more"):
            plots.plane(grid_plane().isel(mass=[0]))

    @pytest.mark.parametrize("level", [0.0, -1.0, np.nan, np.inf])
    def test_level_is_refused(self, level):
        with pytest.raises(SpecificationError, match="levels"):
            plots.plane(grid_plane(), levels=[2.0, level])

    def test_drawn_again_in_a_live_figure(self):
        """A dashboard's slider keeps the ticks and changes the title."""
        wanted = hv.streams.Stream.define("Wanted", model="Lmu-Ltau")()
        live = hv.DynamicMap(lambda model: plots.plane(grid_plane(model)), streams=[wanted])
        plot = hv.renderer("bokeh").get_plot(live)
        ticker = plot.state.xaxis[0].ticker
        wanted.event(model="Lmu")
        assert "Lμ\n" in plot.state.title.text
        assert plot.state.xaxis[0].ticker is ticker
        plot.cleanup()


class TestLimits:
    def test_one_limit(self):
        figure = plots.limits_lines(limit())
        (fill,) = parts(figure, hv.Polygons)
        assert len(fill.split()) == 2
        assert fill.label == "excluded at 90 % CL"
        assert option(figure, "title").startswith(
            "DARWIN, nuclear recoils, excluded at 90 % CL, Lμ"
        )
        # open intervals reach the end of the axis
        assert option(figure, "ylim")[1] == pytest.approx(fill.range(1)[1])

    def test_legend_tells_several_limits_apart(self):
        figure = plots.limits_lines([limit(), limit("lz-nr", threshold=3.83)])
        labels = [one.label for one in parts(figure, hv.Polygons)]
        assert labels == [
            "DARWIN, nuclear recoils, threshold 1 keV",
            "LZ, nuclear recoils, threshold 3.83 keV",
        ]
        assert option(figure, "title").startswith("limits, excluded at 90 % CL, Lμ−Lτ\nSun GS98")  # noqa: RUF001

    def test_nothing_excluded(self):
        assert plots.png(plots.limits_lines(limit().isel(interval=[])))

    def test_refusals(self):
        with pytest.raises(SpecificationError, match="0 limits at 0 masses"):
            plots.limits_lines([])
        with pytest.raises(SpecificationError, match=r"coupling 0\.01 to 0\.001"):
            plots.limits_lines(limit(), coupling=(1e-2, 1e-3))


class TestSpectra:
    def test_rates_standard_model_and_ratio(self):
        figure = plots.spectra(spectrum())
        model, mediator, ratio = parts(figure, hv.Curve)
        assert (model.label, mediator.label) == ("Standard Model", "BP1: 15 MeV, g = 5×10⁻⁴")  # noqa: RUF001
        assert option(model, "color", group="style") == "black"
        np.testing.assert_allclose(ratio.dimension_values(1)[:5], 1.2, rtol=1e-12)
        assert np.isnan(ratio.dimension_values(1)[-1])
        upper, lower = figure
        assert option(upper, "ylabel") == "dR/dE (1/(t yr keV))"
        assert option(upper, "xlabel") == "recoil energy (keV_nr)"
        assert option(lower, "ylabel") == "ratio to SM"
        assert (
            option(next(iter(plots.spectra(spectrum("er")))), "xlabel") == "recoil energy (keV_ee)"
        )

    def test_one_standard_model_for_each_sun(self):
        figure = plots.spectra(
            [spectrum(), spectrum(factor=0.9), spectrum(metallicity="AGSS09met")]
        )
        labels = [one.label for one in parts(figure, hv.Curve)]
        assert labels[:2] == ["Standard Model, Sun GS98", "Standard Model, Sun AGSS09met"]

    def test_refusals(self):
        with pytest.raises(SpecificationError, match="one channel"):
            plots.spectra([spectrum("nr"), spectrum("er")])
        with pytest.raises(SpecificationError, match="one spectrum at least"):
            plots.spectra([])


class TestDiscoveryLines:
    def test_one_panel_for_each_point(self):
        lines = [
            discovery_line(name, mass=m)
            for m in (15.0, 25.0)
            for name in ("darwin-nr", "darwin-er")
        ]
        figure = plots.discovery_lines(lines)
        assert [option(one, "title") for one in figure] == [
            "BP1: 15 MeV, g = 5×10⁻⁴",  # noqa: RUF001
            "25 MeV, g = 5×10⁻⁴",  # noqa: RUF001
        ]
        labels = [one.label for one in parts(next(iter(figure)), hv.Curve)]
        assert labels == ["NR (keV_nr)", "ER (keV_ee)"]
        assert "DARWIN: 5σ discovery" in option(figure, "title")  # noqa: RUF001

    def test_star_marks_the_nominal_configuration(self):
        star, legend = parts(plots.discovery_lines(discovery_line()), hv.Scatter)
        # P21 section 5: half of the efficiency at 5.7 keV_nr, 200 t yr
        np.testing.assert_allclose(star.array(), [[5.66, 200.0]], rtol=1e-3)
        assert (star.label, legend.label) == ("", "nominal design")
        assert np.isnan(legend.array()).all()  # it is in the legend alone
        assert not parts(plots.discovery_lines(discovery_line("mine")), hv.Scatter)

    def test_a_star_that_covers_another_is_smaller(self):
        lines = [discovery_line(name) for name in ("darwin-er", "darwin-nr-er")]
        below, above, _ = parts(plots.discovery_lines(lines), hv.Scatter)
        assert below.array().tolist() == above.array().tolist()
        assert option(below, "size", group="style") > option(above, "size", group="style")

    @pytest.mark.parametrize(
        ("exposure", "words", "note"),
        [
            (np.nan, "NR (keV_nr), never", "no exposure is enough\n(only an excess counts)"),
            (
                1e7,
                "NR (keV_nr), > 10⁶ t yr",
                "no discovery below 10⁶ t yr\n(only an excess counts)",
            ),
            (1e3, "NR (keV_nr)", None),
        ],
    )
    def test_a_line_that_is_not_seen_says_why(self, exposure, words, note):
        absent = discovery_line(sided="one", mass=25.0)
        absent["exposure"].values[:] = exposure
        _, panel = plots.discovery_lines([discovery_line(), absent], exposure=(10.0, 1e6))
        assert [one.label for one in parts(panel, hv.Curve)] == [words]
        notes = [one.array()[0, 2] for one in parts(panel, hv.Labels)]
        assert notes == ([] if note is None else [note])
        both = discovery_line(sided="two", mass=25.0)
        both["exposure"].values[:] = np.nan
        (text,) = parts(plots.discovery_lines(both), hv.Labels)
        assert text.array()[0, 2] == "no exposure is enough"

    @pytest.mark.parametrize(
        ("exposure", "corner"),
        [
            ([100.0, 100.0, 100.0, 100.0], "top_left"),
            ([9e5, 5e3, 100.0, 100.0], "top_right"),
            ([9e5, 9e5, 9e5, 9e5], "bottom_left"),
        ],
    )
    def test_the_legend_lies_where_no_line_is(self, exposure, corner):
        line = discovery_line("mine")  # without a star
        line["exposure"].values[:] = exposure
        figure = plots.discovery_lines(line, exposure=(10.0, 1e6))
        assert option(figure, "legend_position") == corner

    def test_gap_where_no_exposure_is_enough(self):
        (curve,) = parts(plots.discovery_lines(discovery_line()), hv.Curve)
        assert np.isnan(curve.dimension_values(1)).tolist() == [False, False, False, True]

    def test_range_of_exposures(self):
        far = discovery_line()
        far["exposure"].values[:] = [30.0, 1e4, 1e13, np.nan]
        assert option(plots.discovery_lines(far), "ylim") == (10.0, 1e6)
        assert option(plots.discovery_lines(far, exposure=(1.0, 1e4)), "ylim") == (1.0, 1e4)
        never = discovery_line("elsewhere")
        never["exposure"].values[:] = np.nan
        assert option(plots.discovery_lines(never), "ylim") == (1.0, 1e6)

    def test_single_threshold_is_marked(self):
        figure = plots.discovery_lines(discovery_line().isel(threshold=[1]))
        assert len(parts(figure, hv.Scatter)) == 3  # the point, the star, and its legend
        assert plots.png(figure)

    def test_models_and_detectors_are_told_apart(self):
        lines = [discovery_line(), discovery_line("lz-nr", model="Lmu"), discovery_line("mine")]
        labels = [one.label for one in parts(plots.discovery_lines(lines), hv.Curve)]
        assert labels == ["DARWIN NR (keV_nr), Lμ−Lτ", "LZ NR (keV_nr), Lμ", "mine (keV_nr), Lμ−Lτ"]  # noqa: RUF001

    def test_refusals(self):
        with pytest.raises(SpecificationError, match="no lines"):
            plots.discovery_lines([])
        with pytest.raises(SpecificationError, match="ascend"):
            plots.discovery_lines(discovery_line(), exposure=(1e3, 1e3))


FIGURES = {
    "plane": lambda: plots.plane(grid_plane(), intervals=limit()),
    "limits": lambda: plots.limits_lines([limit(), limit("lz-nr")]),
    "spectra": lambda: plots.spectra([spectrum(), spectrum(factor=0.9, mass=25.0)]),
    "discovery": lambda: plots.discovery_lines([discovery_line(), discovery_line(mass=25.0)]),
}


class Reader(HTMLParser):
    """Counts the scripts of a page, and lists what it takes from elsewhere."""

    def __init__(self):
        super().__init__()
        self.scripts, self.outside = 0, []

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.outside += [value for key, value in attrs if key in ("src", "href")]
        self.outside += [tag] * (tag in ("link", "base", "iframe", "style"))


class TestSave:
    @pytest.mark.parametrize("name", FIGURES)
    def test_both_backends(self, name, tmp_path):
        figure = FIGURES[name]()
        image = plots.save(figure, tmp_path / "figure.png").read_bytes()
        assert image[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = (int.from_bytes(image[at : at + 4], "big") for at in (16, 20))
        assert width > 900
        assert height > 700
        # a second time, since a bokeh model belongs to one document
        for _ in range(2):
            page = plots.save(figure, tmp_path / "figure.html").read_text(encoding="utf-8")
        assert "mediator mass (MeV)" in page or "keV" in page
        assert {path.name for path in tmp_path.iterdir()} == {"figure.png", "figure.html"}

    def test_page_asks_the_network_for_nothing(self):
        import panel.models.esm  # noqa: F401 - its model names a script on a content network

        page = plots.html(plots.plane(grid_plane()), title="<&>")
        reader = Reader()
        reader.feed(page)
        assert reader.outside == []
        assert reader.scripts == 2  # the library, and the figure
        assert "<title>&lt;&amp;&gt;</title>" in page

    def test_figures_are_not_kept_in_memory(self):
        before = {name: len(trees) for name, trees in hv.Store._custom_options.items()}
        figure = plots.plane(grid_plane())
        plots.html(figure)
        plots.png(figure)
        del figure
        gc.collect()
        after = {name: len(trees) for name, trees in hv.Store._custom_options.items()}
        assert all(after[name] <= before[name] for name in before)

    @pytest.mark.parametrize("name", ["figure.pdf", "figure", "figure.PNG"])
    def test_another_suffix_is_refused(self, name, tmp_path):
        with pytest.raises(SpecificationError, match=r"figures are written as \.html or \.png"):
            plots.save(plots.limits_lines(limit()), tmp_path / name)

    def test_missing_folder(self, tmp_path):
        with pytest.raises(MachineError, match="there is no folder"):
            plots.save(plots.limits_lines(limit()), tmp_path / "nowhere" / "figure.png")

    def test_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "figure.png").mkdir()
        with pytest.raises(MachineError, match="cannot be written"):
            plots.save(plots.limits_lines(limit()), tmp_path / "figure.png")
        assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]

    def test_matplotlib_set_up_for_a_window(self):
        """The user's backend is not used, and is put back."""
        import matplotlib as mpl
        from matplotlib import pyplot as plt

        before = mpl.get_backend()
        plt.switch_backend("svg")
        try:
            assert plots.png(plots.limits_lines(limit()))
            assert mpl.get_backend() == "svg"
        finally:
            plt.switch_backend(before)
