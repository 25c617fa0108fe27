"""The figure of calibrated regions."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest
from toy_data import G0, MASS, drawn

from lmltgrid.analysis.toys import calibrated_limits
from lmltgrid.errors import SpecificationError
from lmltgrid.views import plots


def parts(figure, kind):
    return [one for one in figure.traverse(lambda one: one, [kind]) if type(one) is kind]


def test_both_regions_are_shown_where_they_are():
    figure = plots.toy_regions(calibrated_limits(drawn(2.0)))
    (fill,) = parts(figure, hv.Polygons)
    assert fill.label == "pseudo-experiments (1000 a point)"
    dashed = next(one for one in parts(figure, hv.Curve) if one.label)
    assert dashed.label == "asymptotic (critical value 2.71)"
    for shown, low in ((fill, G0 * 2.0**0.25), (dashed, G0)):
        x, y = shown.dimension_values(0), shown.dimension_values(1)
        for mass, g in zip(MASS, low, strict=True):
            at = y[np.isclose(x, np.log10(mass))]
            assert np.min(abs(at - np.log10(g))) < 1e-9
    title = hv.Store.lookup_options("bokeh", figure, "plot").kwargs["title"]
    assert "excluded at 90 %" in title


def test_nothing_is_shown_beyond_the_scan():
    """Where no limit is found up to the last coupling there may be one beyond it."""
    own = drawn()
    own["coupling"] = own["coupling"] * 0.7
    figure = plots.toy_regions(calibrated_limits(own))
    _, top = hv.Store.lookup_options("bokeh", figure, "plot").kwargs["ylim"]
    assert top == pytest.approx(np.log10(7e-4))
    (names,) = parts(figure, hv.Labels)
    assert list(names.dimension_values("text")) == ["BP1", "BP2", "BP3"]
    high = plots.toy_regions(calibrated_limits(drawn()))
    (names,) = parts(high, hv.Labels)
    heights = dict(zip(names.dimension_values("text"), names.dimension_values(1), strict=True))
    assert heights["BP4"] < np.log10(1e-3)  # on the frame: its name is below it
    assert heights["BP1"] > np.log10(5e-4)


@pytest.mark.parametrize("suffix", ["png", "html"])
def test_it_is_saved(tmp_path, suffix):
    path = tmp_path / f"toys.{suffix}"
    plots.save(plots.toy_regions(calibrated_limits(drawn())), path)
    assert path.stat().st_size > 10_000


def test_nothing_excluded_is_a_figure_too():
    own = drawn()
    own["statistic"].values[:] = 0.0
    figure = plots.toy_regions(calibrated_limits(own))
    assert "excluded" in hv.Store.lookup_options("bokeh", figure, "plot").kwargs["title"]
    hv.renderer("matplotlib").get_plot(figure)


def test_refusals():
    found = calibrated_limits(drawn())
    with pytest.raises(SpecificationError, match="1 mass is given; two at least"):
        plots.toy_regions(found.isel(mass=[0]))
    with pytest.raises(SpecificationError, match="it must be positive and ascend"):
        plots.toy_regions(found, coupling=(1e-2, 1e-5))
