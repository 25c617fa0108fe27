"""Pseudo-experiments in the form that a store gives them, for the tests of what is made of them."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from scipy.stats import chi2

MASS = np.array([1.0, 10.0, 100.0])
COUPLING = np.geomspace(1e-5, 1e-3, 41)
G0 = np.array([1.03e-4, 1.03e-4, 3.1e-4])  # where t is the asymptotic critical value at 90 %
LEVELS = (0.68, 0.9)


def drawn(factor: float = 1.0, error: float = 0.01, parameters: int = 1) -> xr.Dataset:
    """t is a power of the coupling; critical values are so much larger than the asymptotic ones."""
    wanted = np.array([0.5, *LEVELS])
    t = chi2.ppf(0.9, parameters) * (COUPLING / G0[:, None]) ** 4
    quantile = np.broadcast_to(factor * chi2.ppf(wanted, parameters), (*t.shape, 3)).copy()
    axes = ("mass", "coupling")
    charges = {"u": 0.0, "d": 0.0, "e": 0.0, "mu": 1.0, "tau": -1.0}
    model = {"name": "Lmu-Ltau", "kind": "vector", "mixing": "loop", "charges": charges}
    return xr.Dataset(
        {
            "statistic": (axes, t),
            "p_value": (axes, chi2.sf(t / factor, parameters)),
            "failed": (axes, np.zeros(t.shape)),
            "quantile": ((*axes, "probability"), quantile),
            "quantile_error": ((*axes, "probability"), np.full(quantile.shape, error)),
        },
        coords={
            "mass": MASS,
            "coupling": COUPLING,
            "probability": wanted,
            "model": "Lmu-Ltau",
            "metallicity": "GS98",
            "oscillation": "nufit60",
            "threshold": ((), 1.0, {"energy_scale": "nuclear_recoil"}),
            "exposure": 200.0,
        },
        attrs={
            "experiment": "darwin-nr",
            "models": json.dumps([model]),
            "toys": 1000,
            "seed": 1,
            "levels": list(LEVELS),
            "parameters": parameters,
        },
    )
