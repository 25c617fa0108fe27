"""Regions that pseudo-experiments calibrate, beside the asymptotic ones."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr

from lmltgrid.analysis.toys import as_limits
from lmltgrid.errors import SpecificationError
from lmltgrid.views.axes import Ends, ascending, whole_decades
from lmltgrid.views.frame import X, Y, benchmark_marks, border_of, ends, filled, framed, muon_bands
from lmltgrid.views.regions import branches, joined
from lmltgrid.views.style import (
    COLORS,
    experiment_words,
    line,
    settings_of,
    title_words,
)


def toy_regions(
    found: xr.Dataset,
    *,
    coupling: Ends | None = None,
    band: bool = True,
    benchmarks: bool = True,
) -> hv.Overlay:
    """Show what is excluded if critical values are calibrated, and the asymptotic outline.

    Parameters
    ----------
    found
        From `lmltgrid.analysis.toys.calibrated_limits`, at two masses at least.
    coupling
        Ends of the axis; chosen from the limits if left out.
    band, benchmarks
        See `lmltgrid.views.plane.plane`.

    Raises
    ------
    SpecificationError
        There is one mass alone, or ``coupling`` does not ascend.
    """
    if found.sizes["mass"] < 2:
        raise SpecificationError(
            f"toy_regions: {found.sizes['mass']} mass is given; two at least are needed; "
            "scan more masses"
        )
    mass = ends(found["mass"].values)
    border = ascending(coupling or _coupling_range(found), "toy_regions: coupling")
    settings = settings_of(found)
    parts = []
    if band:
        parts += muon_bands(mass, [settings])
    words = f"pseudo-experiments ({settings['toys']} a point)"
    parts += filled(branches(as_limits(found), border[1]), mass, border, words, COLORS[0])
    asymptotic = branches(as_limits(found, asymptotic=True), border[1])
    path = joined(asymptotic, border_of(mass, border))
    name = f"asymptotic (critical value {settings['asymptotic_value']:.3g})"
    parts.append(line(hv.Curve(path, X, Y, label=name), "black", dash="dashed", width=1.8))
    if benchmarks:
        parts += benchmark_marks(mass, border)
    first = f"{experiment_words(settings)}, excluded at {100.0 * settings['level']:g} %"
    return framed(parts, mass, border, title_words(settings, first))


def _coupling_range(found: xr.Dataset) -> Ends:
    """Return whole decades around the ends of the intervals, up to the end of the scan."""
    names = ("low", "high", "asymptotic_low", "asymptotic_high")
    values = [found[name].values.ravel() for name in names]
    low, high = whole_decades(np.concatenate(values), otherwise=(1e-5, 1e-2))
    last = float(found.attrs["last_coupling"])
    return (low, min(high, last)) if low < last else (low, high)
