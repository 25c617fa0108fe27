"""Small results in the form that the analysis gives them, for the tests of figures."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

MASS = np.geomspace(1.0, 300.0, 15)
COUPLING = np.geomspace(1e-5, 1e-2, 31)
G0 = 3e-4 * (1.0 + MASS / 20.0)  # where the significance of `grid_plane` is 5
CONVENTIONS = {"metallicity": "GS98", "oscillation": "nufit60", "mixing": "loop"}


def grid_plane(model="Lmu-Ltau", sided="one", mu=1.0, kind="vector"):
    """One plane as a grid gives it, with a significance of 5 (g/g0)^4."""
    significance = 5.0 * (COUPLING / G0[:, None]) ** 4
    charges = {"u": 0.0, "d": 0.0, "e": 0.0, "mu": mu, "tau": -1.0}
    entry = {"name": model, "mixing": "loop", "charges": charges, "kind": kind}
    return xr.Dataset(
        {
            "counts": (("mass", "coupling"), 100.0 + 10.0 * significance),
            "significance": (("mass", "coupling"), significance.astype(np.float32)),
        },
        coords={
            "mass": MASS,
            "coupling": COUPLING,
            "model": model,
            "metallicity": "GS98",
            "threshold": ((), 1.0, {"energy_scale": "nuclear_recoil"}),
            "exposure": 200.0,
        },
        attrs={
            "experiment": "darwin-nr",
            "oscillation": "nufit60",
            "test": "discovery",
            "sided": sided,
            "models": json.dumps([entry]),
        },
    )


def limit(experiment="darwin-nr", **settings):
    """A limit as `limits` gives it: a deficit below 20 MeV, and an excess that is open above."""
    low = np.stack([np.where(MASS < 20.0, 2e-4, np.nan), 1e-3 * MASS**0.2], axis=1)
    high = np.stack([np.where(MASS < 20.0, 9e-4, np.nan), np.full(MASS.size, np.inf)], axis=1)
    own = {"experiment": experiment, "model": "Lmu-Ltau", "cl": 0.9, "threshold": 1.0}
    return xr.Dataset(
        {"low": (("mass", "interval"), low), "high": (("mass", "interval"), high)},
        coords={"mass": MASS},
        attrs=own | CONVENTIONS | settings,
    )


def spectrum(channel="nr", factor=1.2, **settings):
    """A spectrum as `spectrum` gives it, which ends below the last energy."""
    energy = np.geomspace(0.1, 10.0, 20)
    rate = np.where(energy < 5.0, 1e3 / energy, 0.0)
    scale = {"nr": "nuclear_recoil", "er": "electron_equivalent"}[channel]
    point = {"mass": 15.0, "coupling": 5e-4, "channel": channel, "target": "Xe"}
    return xr.Dataset(
        {"rate": ("recoil_energy", factor * rate), "rate_sm": ("recoil_energy", rate)},
        coords={"recoil_energy": ("recoil_energy", energy, {"energy_scale": scale})},
        attrs=point | {"model": "Lmu-Ltau"} | CONVENTIONS | settings,
    )


def discovery_line(experiment="darwin-nr", mass=15.0, coupling=5e-4, **settings):
    """A discovery line as `discovery` gives it, with no exposure at the highest threshold."""
    threshold = np.array([0.7, 1.0, 2.0, 5.0])
    exposure = np.array([30.0, 90.0, 2e3, np.nan])
    scale = "electron_equivalent" if "er" in experiment else "nuclear_recoil"
    own = {"experiment": experiment, "mass": mass, "coupling": coupling, "sigmas": 5.0}
    return xr.Dataset(
        {"exposure": ("threshold", exposure, {"units": "tonne year"})},
        coords={"threshold": ("threshold", threshold, {"energy_scale": scale})},
        attrs=own | {"model": "Lmu-Ltau"} | CONVENTIONS | settings,
    )


def interference():
    """A two-sided plane whose counts are the null again at g = 1.1e-3, whatever the mass.

    No point of the plane lies near enough to that coupling to have less than 5 sigma.
    """
    x = COUPLING**2
    change = np.tile(6e10 * x * (x / 1.1e-3**2 - 1.0), (MASS.size, 1))
    dims = ("mass", "coupling")
    return grid_plane(sided="two").assign(
        counts=(dims, (1e6 + change).astype(np.float32)),
        significance=(dims, (np.abs(change) / 1e3).astype(np.float32)),
    )
