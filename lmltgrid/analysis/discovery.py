"""Discovery: the exposure that a 5-sigma rejection of the Standard Model needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from lmltgrid.analysis.level import DISCOVERY_SIGMAS, Level, require_test
from lmltgrid.analysis.setup import axis, conventions, find_experiment, rates
from lmltgrid.kernels import pulls, statistics

# tonne year; all xenon of the atmosphere, 2e9 t, for 500 years: beyond it the answer is "never"
LARGEST_EXPOSURE: Final = 1e12


def discovery(
    experiment: str = "darwin-nr",
    *,
    mass: float,
    coupling: float,
    threshold: ArrayLike | None = None,
    sided: str = "one",
    sigmas: float = DISCOVERY_SIGMAS,
    flux_error: float | None = None,
    experiments: str | Path | None = None,
    **options: Any,
) -> xr.Dataset:
    """Return the exposure at which the Standard Model would be rejected, against the threshold.

    The exposure T solves p(T (b + s), T b) = Phi(-sigmas), the Poisson tail of P21 eq. 38 with the
    expected counts as observation; it is the root of a continuous function, not read off a grid.

    Parameters
    ----------
    experiment
        Name in the catalog, or in the folder ``experiments``.
    mass, coupling
        Mediator mass in MeV, and coupling g.
    threshold
        Thresholds, keV in the experiment's own scale; its nominal threshold if left out.
    sided
        "one": an excess alone can be discovered; "two": a deficit as well.
    sigmas
        Significance; 5 is a tail of 2.87e-7.
    flux_error
        Fractional error of the 8B flux, profiled: the statistic is then the deviance of
        `lmltgrid.kernels.pulls`, whose rise with the exposure ends where the signal is lost in the
        error of the null.
    **options
        Model and conventions, see `lmltgrid.analysis.setup.conventions`.

    Returns
    -------
    Dataset
        ``exposure``: tonne year, dims (threshold,), NaN where none up to 1e12 is enough;
        ``signal``, ``null``: counts per tonne year.

    Raises
    ------
    SpecificationError
        An argument is not allowed.
    """
    Level("discovery", sided, sigmas=sigmas, flux_error=flux_error)
    chosen = find_experiment(experiment, experiments)
    require_test(chosen, "discovery", "experiment")
    setting = conventions(**options)
    at = axis([mass], "mass", unit="MeV")
    g = axis([coupling], "coupling", unit="1")
    given = [chosen.threshold] if threshold is None else threshold
    thresholds = axis(given, "threshold", unit="keV")
    found = rates(chosen, setting, at, thresholds.tolist(), boron=bool(flux_error))
    null, signal = found.null, found.signal(g)[:, 0, 0]
    two_sided = sided == "two"
    if flux_error:
        boron = found.boron_null.tolist()
        needed = [
            pulls.required_exposure(b + s, b, part, flux_error, sigmas, two_sided)
            for b, s, part in zip(null.tolist(), signal.tolist(), boron, strict=True)
        ]
    else:
        needed = [
            statistics.required_exposure(b + s, b, z=sigmas, two_sided=two_sided)
            for b, s in zip(null.tolist(), signal.tolist(), strict=True)
        ]
    exposure = np.array(
        [np.nan if t is None or t > LARGEST_EXPOSURE else t for t in needed], dtype=np.float64
    )
    per = {"units": "1/(tonne year)"}
    return xr.Dataset(
        {
            "exposure": (
                "threshold",
                exposure,
                {"units": "tonne year", "long_name": f"exposure for {sigmas:g} sigma"},
            ),
            "signal": ("threshold", signal, per | {"long_name": "change by the mediator"}),
            "null": ("threshold", null, per | {"long_name": "events without the mediator"}),
        },
        coords={
            "threshold": (
                "threshold",
                thresholds,
                {
                    "units": "keV",
                    "long_name": "threshold",
                    "energy_scale": chosen.spec.energy_scale,
                },
            )
        },
        attrs={
            "experiment": chosen.name,
            "mass": mass,
            "coupling": coupling,
            "sided": sided,
            "sigmas": sigmas,
            **({} if flux_error is None else {"flux_error": flux_error}),
            **chosen.warning,
            **setting.as_dict(),
        },
    )
