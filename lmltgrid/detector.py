"""Detector model of P21 section 5: efficiency, quenching, resolution, extended thresholds.

An event of true recoil energy E is seen with the efficiency at E, and reconstructed as a Gaussian
around its electron-equivalent energy. Lowering the threshold from t50, where the efficiency is
one half, to th stretches the rising edge of the efficiency, eff(E t50/th), keeps its plateau, and
shifts the fractional resolution, which is capped at its value at t50 (P21 section 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from lmltgrid.errors import SpecificationError
from lmltgrid.kernels import response
from lmltgrid.tables.experiment import Channel
from lmltgrid.tables.nuclei import ATOMIC_NUMBER, AtomicFactor, target
from lmltgrid.tables.recoils import SolarExperiment
from lmltgrid.tables.solar import solar_source
from lmltgrid.units import KEV, M_ELECTRON

Array = NDArray[np.float64]

# A Gaussian is cut where its tail is below the last bit of a double
TAIL_SIGMAS = 9.0
# Sub-panels no wider than this in log E resolve the resolution function with 8 points to 1e-12
SUBPANEL = 0.05
SUBPANEL_NODES = 8


def electron_equivalent(experiment: SolarExperiment, channel: Channel, energy: Array) -> Array:
    """Return the electron-equivalent energies (keV_ee) of true recoil energies (keV)."""
    energy = np.asarray(energy, dtype=np.float64)
    if channel == "er":
        return energy
    quenching = experiment.spec.quenching
    assert quenching is not None  # noqa: S101 - validated with the resolution
    z = float(ATOMIC_NUMBER[experiment.spec.target])
    return response.lindhard_array(energy, z, quenching.k)


def threshold_in(experiment: SolarExperiment, channel: Channel, threshold: float) -> float:
    """Return a threshold of the experiment's scale in the scale of one of its channels, keV."""
    if channel == experiment.scale_channel:
        return threshold
    if channel == "er":
        return float(electron_equivalent(experiment, "nr", np.array([threshold]))[0])

    def miss(energy: float) -> float:
        return float(electron_equivalent(experiment, "nr", np.array([energy]))[0]) - threshold

    return float(brentq(miss, 0.5 * threshold, 100.0 * threshold, xtol=1e-13, rtol=1e-14))


def check_thresholds(experiment: SolarExperiment, thresholds: Array, where: str) -> None:
    """Refuse thresholds at which the detector model is not valid.

    Raises
    ------
    SpecificationError
        A threshold lies below the validity of the detector model, or above the window.
    """
    window = experiment.spec.window
    _check_measured(experiment, thresholds, where)
    low, top, unit = window.minimum_threshold_kev, window.maximum_kevee, "keV_ee"
    seen = np.atleast_1d(thresholds)
    if experiment.spec.resolution is None:
        top, unit = window_end(experiment), experiment.unit
    else:
        seen = electron_equivalent(experiment, experiment.scale_channel, seen)
    for value, reached in zip(np.atleast_1d(thresholds), seen, strict=True):
        if not value >= low:
            raise SpecificationError(
                f"{where}: {value:g} {experiment.unit} is given for {experiment.name}; its "
                f"detector model is valid from {low:g} {experiment.unit}; raise the threshold"
            )
        if top is not None and reached >= top:
            raise SpecificationError(
                f"{where}: {value:g} {experiment.unit} is given for {experiment.name}; its window "
                f"ends at {top:g} {unit}; lower the threshold"
            )


def _check_measured(experiment: SolarExperiment, thresholds: Array, where: str) -> None:
    """Refuse another threshold than that of a measurement: what it saw there is not known."""
    own = experiment.threshold
    for value in np.atleast_1d(thresholds):
        if experiment.spec.measurement is not None and value != own:
            raise SpecificationError(
                f"{where}: {value:g} {experiment.unit} is given for {experiment.name}, which "
                f"measured from {own:g} {experiment.unit}; leave the threshold out"
            )


def window_end(experiment: SolarExperiment) -> float:
    """Return where the window of an experiment without resolution ends, keV in its own scale.

    Unless the file says it, that is where recoils end: 2 E^2/(m + 2 E) for the hep endpoint and the
    mean nucleus.
    """
    end = experiment.spec.window.maximum_kev
    if end is not None:
        return end
    energy = solar_source("hep", "GS98").endpoint
    mass = M_ELECTRON
    if experiment.scale_channel == "nr":
        nuclei = target(experiment.spec.target)
        mass = float(np.sum(nuclei.nuclear_mass * nuclei.abundance))
    return 2.0 * energy**2 / (mass + 2.0 * energy) / KEV


class Response(Protocol):
    """How one bin of one channel sees recoils."""

    @property
    def window(self) -> tuple[float, float]:
        """The bin, keV: reconstructed energy, or recoil energy without resolution."""

    def range(self) -> tuple[float, float]:
        """Return the true recoil energies (keV) between which the response is not zero."""

    def points(self, extra: Array, low: float, high: float) -> tuple[Array, Array]:
        """Return quadrature points and weights (keV), split at every kink."""

    def __call__(self, energy: Array) -> Array:
        """Return the probability that a recoil of true energy (keV) is counted."""


def responses(
    experiment: SolarExperiment,
    channel: Channel,
    threshold: float,
    atomic: AtomicFactor | None = None,
) -> list[Response]:
    """Return the response of one channel at one threshold, bin by bin."""
    if experiment.spec.resolution is not None:
        return [ChannelResponse(experiment, channel, threshold, atomic)]
    bins = experiment.spec.window.log_bins
    own = np.geomspace(threshold, window_end(experiment), bins + 1)
    edges = [threshold_in(experiment, channel, float(edge)) for edge in own]
    return [SharpResponse(experiment, channel, a, b, atomic) for a, b in pairwise(edges)]


@dataclass(frozen=True)
class SharpResponse:
    """A bin of recoil energy, without resolution: efficiency inside, nothing outside.

    Attributes
    ----------
    low, high
        The bin, keV in the channel's own scale.
    atomic
        Effective number of electrons, for electron recoils.
    """

    experiment: SolarExperiment
    channel: Channel
    low: float
    high: float
    atomic: AtomicFactor | None = None

    @property
    def window(self) -> tuple[float, float]:
        """The bin, keV."""
        return self.low, self.high

    def __call__(self, energy: Array) -> Array:
        """Return the probability that a recoil of true energy (keV) is counted."""
        curve = self.experiment.efficiency[self.channel]
        seen = np.interp(energy, curve.energy, curve.value, left=0.0, right=0.0)
        electrons = 1.0 if self.atomic is None else self.atomic(energy)
        inside = (energy >= self.low) & (energy <= self.high)
        return np.where(inside, acceptance(self.experiment, self.channel) * seen * electrons, 0.0)

    def range(self) -> tuple[float, float]:
        """Return the true recoil energies (keV) between which the response is not zero."""
        energy = self.experiment.efficiency[self.channel].energy
        return max(self.low, float(energy[0])), min(self.high, float(energy[-1]))

    def points(self, extra: Array, low: float, high: float) -> tuple[Array, Array]:
        """Return quadrature points (keV) and weights (keV) split at every kink of the response."""
        kinks = [self.experiment.efficiency[self.channel].energy, extra, np.array([low, high])]
        if self.atomic is not None:
            kinks.append(self.atomic.edges)
        edges = np.unique(np.concatenate(kinks))
        return split_rule(edges[(edges >= low) & (edges <= high)], SUBPANEL, SUBPANEL_NODES)


def acceptance(experiment: SolarExperiment, channel: Channel) -> float:
    """Return the fraction of a channel's events that passes the further cuts."""
    spec = experiment.spec.nr if channel == "nr" else experiment.spec.er
    assert spec is not None  # noqa: S101 - the channel exists
    return spec.acceptance


@dataclass(frozen=True)
class ChannelResponse:
    """Response of one channel of an experiment at one threshold.

    Attributes
    ----------
    threshold
        keV, in the experiment's own energy scale.
    atomic
        Effective number of electrons, for electron recoils.
    """

    experiment: SolarExperiment
    channel: Channel
    threshold: float
    atomic: AtomicFactor | None = None

    @cached_property
    def _edges(self) -> tuple[float, float, float, float]:
        """Threshold and t50 in the channel's scale; window in keV_ee."""
        own = threshold_in(self.experiment, self.channel, self.threshold)
        low = float(electron_equivalent(self.experiment, self.channel, np.array([own]))[0])
        t50 = self.experiment.half_efficiency(self.channel)
        return own, t50, low, float(self.experiment.spec.window.maximum_kevee or np.inf)

    @property
    def window(self) -> tuple[float, float]:
        """The analysis window, keV_ee."""
        return self._edges[2:]

    def efficiency_knots(self) -> Array:
        """Return where the extended efficiency has a kink, keV; its ends are the outermost."""
        return self._knots

    @cached_property
    def _knots(self) -> Array:
        own, t50, _, _ = self._edges
        curve = self.experiment.efficiency[self.channel]
        top = curve.energy[int(np.argmax(curve.value))]
        scale = min(own / t50, 1.0)
        rising = curve.energy[curve.energy <= top] * scale
        return np.unique(np.concatenate([rising, curve.energy[curve.energy >= top]]))

    def efficiency(self, energy: Array) -> Array:
        """Return the extended efficiency at true recoil energies (keV); zero where untabulated."""
        own, t50, _, _ = self._edges
        curve = self.experiment.efficiency[self.channel]
        top = curve.energy[int(np.argmax(curve.value))]
        stretched = np.minimum(energy / min(own / t50, 1.0), top)
        looked_up = np.where(energy < top, stretched, energy)
        return np.interp(looked_up, curve.energy, curve.value, left=0.0, right=0.0)

    def sigma(self, observed: Array) -> Array:
        """Return the width of the resolution (keV_ee) at energies in keV_ee."""
        _, t50, low, _ = self._edges
        fixed = float(electron_equivalent(self.experiment, self.channel, np.array([t50]))[0])
        capped = np.maximum(observed, min(low, fixed)) + max(fixed - low, 0.0)
        shape = self.experiment.spec.resolution
        assert shape is not None  # noqa: S101 - see `responses`
        return observed * (shape.a / np.sqrt(capped) + shape.b)

    def __call__(self, energy: Array) -> Array:
        """Return the probability that a recoil of true energy (keV) is counted."""
        _, _, low, high = self._edges
        observed = electron_equivalent(self.experiment, self.channel, energy)
        seen = response.window_array(observed, self.sigma(observed), low, high)
        electrons = 1.0 if self.atomic is None else self.atomic(energy)
        return (
            acceptance(self.experiment, self.channel) * self.efficiency(energy) * seen * electrons
        )

    def range(self) -> tuple[float, float]:
        """Return the true recoil energies (keV) between which the response is not zero."""
        knots = self._knots
        high = self.window[1]
        spill = high + TAIL_SIGMAS * float(self.sigma(np.array([high]))[0]) * 1.5
        if self.channel == "nr":
            return float(knots[0]), float(knots[-1])
        return float(knots[0]), min(float(knots[-1]), spill)

    def points(self, extra: Array, low: float, high: float) -> tuple[Array, Array]:
        """Return quadrature points (keV) and weights (keV) split at every kink of the response.

        Parameters
        ----------
        extra
            Further kinks, keV.
        low, high
            Range of the integral, keV.
        """
        own, t50, _, _ = self._edges
        kinks = [self._knots, extra, np.array([low, high, own, t50])]
        if self.atomic is not None:
            kinks.append(self.atomic.edges)
        edges = np.unique(np.concatenate(kinks))
        return split_rule(edges[(edges >= low) & (edges <= high)], SUBPANEL, SUBPANEL_NODES)


@lru_cache(maxsize=64)
def gauss_legendre(order: int) -> tuple[Array, Array]:
    """Return nodes and weights of the Gauss-Legendre rule on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    nodes.setflags(write=False)
    weights.setflags(write=False)
    return nodes, weights


def split_rule(edges: Array, width: float, order: int) -> tuple[Array, Array]:
    """Return Gauss-Legendre points and weights in log E between ascending edges.

    Panels wider than ``width`` in log E are divided evenly; the weights are those of dE.
    """
    logs = np.log(edges)
    steps = np.diff(logs)
    parts = np.maximum(np.ceil(steps / width).astype(int), 1)
    # the i-th part of a panel starts i/parts of the way through it
    inside = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    starts = np.repeat(logs[:-1], parts) + inside * np.repeat(steps / parts, parts)
    fine = np.append(starts, logs[-1])
    nodes, weights = gauss_legendre(order)
    half = 0.5 * np.diff(fine)
    points = np.exp((0.5 * (fine[1:] + fine[:-1]))[:, None] + half[:, None] * nodes)
    return points.ravel(), (points * half[:, None] * weights).ravel()


def background(experiment: SolarExperiment, threshold: float) -> Array:
    """Return the expected background per tonne year in each bin, shape (bin,).

    With a resolution the published rates are before efficiency and resolution, which are those of
    electron recoils; without one they are what is counted. Outside of its table a rate is continued
    as a constant. A measured count comes with its background, whatever the threshold.
    """
    counts = experiment.spec.measured_counts
    if counts is not None:
        return np.array([counts.background_counts / experiment.spec.exposure_tonne_year])
    channel: Channel = "er" if experiment.spec.er else experiment.scale_channel
    if not experiment.background:
        return np.zeros(experiment.spec.window.log_bins)
    totals = []
    for one in responses(experiment, channel, threshold):
        low, high = one.range() if experiment.spec.resolution else one.window
        total = 0.0
        for curve in experiment.background.values():
            energy, weight = one.points(curve.energy, low, high)
            seen = one(energy) if experiment.spec.resolution else 1.0
            rate = np.interp(energy, curve.energy, curve.value)
            total += float(np.sum(weight * seen * rate))
        totals.append(total)
    return np.array(totals)
