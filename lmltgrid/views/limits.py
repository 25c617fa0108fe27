"""Limits in the mass-coupling plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from lmltgrid.errors import SpecificationError
from lmltgrid.views.axes import Ends, ascending, whole_decades
from lmltgrid.views.frame import benchmark_marks, ends, filled, framed, muon_bands
from lmltgrid.views.regions import branches
from lmltgrid.views.style import (
    COLORS,
    Settings,
    common_settings,
    differences,
    experiment_words,
    settings_of,
    title_words,
    verdict_words,
)


def limits_lines(
    limits: xr.Dataset | Sequence[xr.Dataset],
    *,
    coupling: Ends | None = None,
    band: bool = True,
    benchmarks: bool = True,
) -> hv.Overlay:
    """Show the excluded, or discoverable, couplings of one or several limits, every branch.

    Parameters
    ----------
    limits
        From `lmltgrid.analysis.limits.limits`; open intervals are filled to the top of the plane.
    coupling
        Ends of the axis; chosen from the limits if left out.
    band, benchmarks
        See `lmltgrid.views.plane.plane`.

    Raises
    ------
    SpecificationError
        There are no limits at two masses at least, or ``coupling`` does not ascend.
    """
    several = [limits] if isinstance(limits, xr.Dataset) else list(limits)
    masses = np.unique([one for each in several for one in each["mass"].values])
    if masses.size < 2:
        raise SpecificationError(
            f"limits_lines: {len(several)} limits at {masses.size} masses are given; at least one "
            "with two masses is needed; widen the axis"
        )
    mass = ends(masses)
    border = ascending(coupling or _coupling_range(several), "limits_lines: coupling")
    settings = [settings_of(one) for one in several]
    parts: list[Any] = [*muon_bands(mass, settings)] if band else []
    drawn = [
        filled(branches(one, border[1]), mass, border, _limit_words(settings, i), COLORS[i % 6])
        for i, one in enumerate(several)
    ]
    parts += [fill for fill, _ in drawn] + [outline for _, outline in drawn]
    if benchmarks:
        parts += benchmark_marks(mass, border)
    return framed(parts, mass, border, _limits_title(settings))


def _coupling_range(several: Sequence[xr.Dataset]) -> Ends:
    """Return whole decades around the ends of the intervals."""
    values = [one[end].values.ravel() for one in several for end in ("low", "high")]
    return whole_decades(np.concatenate(values), otherwise=(1e-5, 1e-2))


def _limit_words(settings: Sequence[Settings], index: int) -> str:
    """Return the legend of one limit: what it is, or what sets it apart from the others."""
    own, common = settings[index], common_settings(settings)
    parts = [] if "experiment" in common else [experiment_words(own)]
    parts += differences(settings, index)
    if verdict_words(own) != verdict_words(common) or not parts:
        parts.append(verdict_words(own))
    return ", ".join(parts)


def _limits_title(settings: Sequence[Settings]) -> str:
    """Return the title: what all limits have in common."""
    common = common_settings(settings)
    first = experiment_words(common) or "limits"
    return title_words(common, ", ".join(part for part in (first, verdict_words(common)) if part))
