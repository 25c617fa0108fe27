"""Counts from moments against an independent integration of the full cross section.

What follows shares nothing with the program but its tables: solar spectra, oscillation
probabilities, isotopes, shells, efficiencies, backgrounds, and physical constants. The cross section
has the model's own charges and coupling; the integral over the neutrino energy is a Gauss rule
between the knots of each spectrum, from the least energy on; the integral over the recoil energy is
adaptive between all kinks of the response and of the fluxes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import pi, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import ndtr

from lmltgrid import basis, detector
from lmltgrid.spec import Atomic, Metallicity
from lmltgrid.tables import models, nuclei, solar
from lmltgrid.tables.experiment import Channel
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.models import Model
from lmltgrid.tables.oscillation import oscillation, probabilities
from lmltgrid.tables.recoils import SolarExperiment as Experiment
from lmltgrid.units import (
    CM2_PER_MEV_2,
    E_CHARGE,
    G_FERMI,
    HBAR_C,
    M_ELECTRON,
    M_MUON,
    M_TAU,
    SECONDS_PER_YEAR,
)

Array = NDArray[np.float64]
Kernel = Callable[[Array, Array], Array]

SIN2 = 0.23122
REQUIRED = 1e-6  # relative accuracy that the moments promise
TIGHT = 1e-10  # relative tolerance of the adaptive integral, of the absolute value
MASSES = np.array([0.1, 1.0, 15.0, 50.0, 300.0])
COUPLINGS = (1e-7, 1e-4, 5e-2)  # interference, both, pure new physics

MODELS = (
    models.find("Lmu-Ltau"),
    models.find("Lmu-Ltau", "amaral2021"),
    models.find("Lmu"),
    models.find("B-L"),
    models.find("Le-Lmu"),
    models.build("mine", "", {"u": 0.7, "d": -0.4, "e": 0.5, "mu": -1.3, "tau": 0.2}, 0.02),
    models.find("scalar"),
    models.find("axial"),
)
rule = lru_cache(np.polynomial.legendre.leggauss)
CASES = [(model, float(mass), g) for model in MODELS for mass in MASSES for g in COUPLINGS]


@dataclass(frozen=True)
class Setup:
    """One channel of an experiment at one threshold, and what its rates depend on."""

    name: str
    channel: Channel
    threshold: float
    metallicity: Metallicity = "GS98"
    oscillation: str = "amaral2021"
    atomic: Atomic = "step+rrpa"

    @property
    def experiment(self) -> Experiment:
        """The entry of the catalog."""
        return catalog()[self.name]


SETUPS = (
    Setup("darwin-nr", "nr", 1.0),
    Setup("darwin-nr", "nr", 5.66, "AGSS09met", "nufit60"),
    Setup("darwin-er", "er", 0.106, "AGSS09met", "nufit60"),
    Setup("darwin-er", "er", 1.511, atomic="step"),
    Setup("lz-nr-er", "nr", 0.2),
    Setup("lz-nr-er", "er", 0.2),
    Setup("lz-nr-er", "nr", 1.465),
    Setup("lz-nr", "nr", 3.83, "AGSS09met"),
    Setup("darwin-nr", "nr", 3.73),
)


@lru_cache(maxsize=32)
def flavors(source: str, metallicity: str, name: str) -> CubicSpline:
    """Spline of the flavor probabilities of one reaction; checked below."""
    energy = np.linspace(0.0, solar.solar_source(source, metallicity).endpoint, 3000)
    p = probabilities(energy, source, metallicity, oscillation(name))
    return CubicSpline(energy, p, axis=1)


@pytest.mark.parametrize("source", solar.SOURCES)
@pytest.mark.parametrize("name", ["amaral2021", "nufit60"])
def test_the_splines_of_the_probabilities_are_exact(source: str, name: str) -> None:
    endpoint = solar.solar_source(source, "GS98").endpoint
    energy = np.random.default_rng(1).uniform(0.0, endpoint, 1000)
    exact = probabilities(energy, source, "GS98", oscillation(name))
    np.testing.assert_allclose(flavors(source, "GS98", name)(energy), exact, rtol=1e-12)


def over_neutrinos(kernel: Kernel, recoil: Array, mass: float, setup: Setup) -> Array:
    """Integrate flux times kernel (k, ..., n) above the least energy, shape (k, flavor, n)."""
    x, w = rule(10)
    e_min = 0.5 * (recoil + np.sqrt(recoil**2 + 2.0 * mass * recoil))
    total = np.zeros((kernel(np.ones(1), recoil).shape[0], 3, recoil.size))
    for source in solar.solar_sources(setup.metallicity):
        p = flavors(source.name, setup.metallicity, setup.oscillation)
        for line, branching in source.lines:
            value = np.where(line >= e_min, kernel(np.array(line), recoil), 0.0)
            total += source.flux * branching * value[:, None] * p(line)[:, None]
        if source.lines or e_min.min() >= source.endpoint:
            continue
        knots = source.energy
        left, right = knots[:-1, None], knots[1:, None]
        energy = (0.5 * (left + right) + 0.5 * (right - left) * x).ravel()
        # whole panels, for the recoils whose least energy lies below them ...
        weight = (0.5 * (right - left) * w).ravel() * np.interp(energy, knots, source.spectrum)
        whole = np.repeat(knots[:-1], x.size)[:, None] >= e_min
        used = whole.any(axis=1)
        value = np.where(whole[used], kernel(energy[used, None], recoil), 0.0)
        fluxes = source.flux * weight[used] * p(energy[used])
        total += np.einsum("kjn,fj->kfn", value, fluxes, optimize=True)
        # ... and the part of the panel that holds the least energy
        end = np.append(knots, np.inf)[np.searchsorted(knots, e_min)]
        end = np.where(np.isfinite(end), end, e_min)
        energy = 0.5 * (e_min + end) + 0.5 * (end - e_min) * x[:, None]
        weight = 0.5 * (end - e_min) * w[:, None] * np.interp(energy, knots, source.spectrum)
        fluxes = source.flux * weight * p(energy.ravel()).reshape(3, *energy.shape)
        total += np.einsum("kjn,fjn->kfn", kernel(energy, recoil), fluxes)
    return total


def mixing(model: Model, q2: Array) -> Array:
    """eps/g at each momentum transfer, shape (n,); the loop is P20 eq. A12 by a Gauss rule."""
    if model.mixing != "loop":
        return np.full(q2.shape, float(model.mixing))
    x, w = rule(60)
    y = (0.25 * (1.0 + x) * (1.0 - 0.25 * (1.0 + x)))[:, None]  # half of the symmetric integral
    loops = [0.5 * w @ (y * np.log(m**2 + y * q2)) for m in (M_ELECTRON, M_MUON, M_TAU)]
    summed = sum(q * v for q, v in zip(model.charges[2:], loops, strict=True))
    return np.asarray(E_CHARGE / (2.0 * pi**2) * summed)


def nuclear(recoil_kev: Array, setup: Setup) -> Array:
    """Return SM and changes by each case, per (t yr keV), shape (1 + case, 2, n).

    The second axis is the sum over flavors, and the sum of absolute values.
    """
    xenon, t = nuclei.target("Xe"), recoil_kev * 1e-3
    out = np.zeros((1 + len(CASES), 2, t.size))
    for a, m, abundance in zip(xenon.a, xenon.nuclear_mass, xenon.abundance, strict=True):

        def kinematic(e: Array, r: Array, m: float = m) -> Array:
            return np.stack([1.0 - m * r / (2.0 * e**2), 1.0 / e**2 + 0.0 * r])

        rates = over_neutrinos(kinematic, t, m, setup) * G_FERMI**2 * m / pi * CM2_PER_MEV_2
        rates *= abundance * xenon.atoms_per_tonne * SECONDS_PER_YEAR * 1e-3
        rate, inverse = rates
        q = np.sqrt(2.0 * m * t)
        radius = sqrt((1.23 * a ** (1 / 3) - 0.6) ** 2 + 7 / 3 * (pi * 0.52) ** 2 - 5 * 0.9**2)
        x = q * radius / HBAR_C
        form = 3 * (np.sin(x) - x * np.cos(x)) / x**3 * np.exp(-0.5 * (q * 0.9 / HBAR_C) ** 2)
        weak = ((0.5 - 2.0 * SIN2) * 54 - 0.5 * (a - 54)) * form
        out[0] += rate.sum(axis=0) * weak**2
        mixings = {model: mixing(model, q**2) for model in MODELS}
        for i, (model, mass, g) in enumerate(CASES, start=1):
            reach = sqrt(2.0) * G_FERMI * (q**2 + mass**2)
            if model.kind != "vector":
                # LX22 eq. 2.9 over G_F^2 m/pi; eqs 2.13, 2.14: a neutron is unpaired if A is odd
                scalar = 0.5 * m * t * inverse * (a * form) ** 2
                axial = (rate + m * t * inverse) * (a % 2)
                change = scalar if model.kind == "scalar" else axial
                out[i] += (change * (g**2 * model.strength / reach) ** 2).sum(axis=0)
                continue
            u, d, *leptons = model.charges
            c_p = g * (2 * u + d) - g * mixings[model] * E_CHARGE
            c_n = g * (u + 2 * d)
            for f in range(3):
                new = g * leptons[f] * (c_p * 54 + c_n * (a - 54)) * form / reach
                change = rate[f] * new * (2.0 * weak + new)  # (weak + new)^2 - weak^2
                out[i] += np.stack([change, np.abs(change)])
    return out


def electronic(recoil_kev: Array, setup: Setup) -> Array:
    """As `nuclear`, for one electron per atom."""
    xenon, t = nuclei.target("Xe"), recoil_kev * 1e-3
    out = np.zeros((1 + len(CASES), 2, t.size))

    def kinematic(e: Array, r: Array) -> Array:
        return np.stack([1.0 + 0.0 * r / e, (1.0 - r / e) ** 2, M_ELECTRON * r / e**2])

    rate = over_neutrinos(kinematic, t, M_ELECTRON, setup)
    rate *= 2.0 * G_FERMI**2 * M_ELECTRON / pi * CM2_PER_MEV_2
    rate *= xenon.atoms_per_tonne * SECONDS_PER_YEAR * 1e-3
    q2 = 2.0 * M_ELECTRON * t
    for f in range(3):
        g1, g2 = SIN2 - 0.5 + (f == 0), SIN2
        out[0] += g1**2 * rate[0, f] + g2**2 * rate[1, f] - g1 * g2 * rate[2, f]
        for i, (model, mass, g) in enumerate(CASES, start=1):
            if model.kind != "vector":
                continue  # refused for electrons
            leptons = model.charges[2:]
            c_e = g * leptons[0] + g * mixing(model, q2) * E_CHARGE
            n = g * leptons[f] * c_e / (2.0 * sqrt(2.0) * G_FERMI * (q2 + mass**2))
            # (g1 + n)^2, (g2 + n)^2, (g1 + n)(g2 + n), each less its value without n
            change = n * (2 * g1 + n) * rate[0, f] + n * (2 * g2 + n) * rate[1, f]
            change -= n * (g1 + g2 + n) * rate[2, f]
            out[i] += np.stack([change, np.abs(change)])
    return out


def lindhard(energy: Array) -> Array:
    """P21: k = 0.1735."""
    eps = 11.5 * energy * 54.0 ** (-7.0 / 3.0)
    g = 3.0 * eps**0.15 + 0.7 * eps**0.6 + eps
    return np.asarray(energy * 0.1735 * g / (1.0 + 0.1735 * g))


class Response:
    """P21 section 5, written out."""

    def __init__(self, setup: Setup) -> None:
        experiment, self.channel = setup.experiment, setup.channel
        curve = experiment.efficiency[setup.channel]
        self.energy, self.efficiency = curve.energy, curve.value
        assert experiment.spec.resolution is not None
        self.resolution = experiment.spec.resolution
        channel = experiment.spec.nr if self.channel == "nr" else experiment.spec.er
        assert channel is not None
        self.acceptance = channel.acceptance
        i = int(np.flatnonzero(self.efficiency >= 0.5)[0])
        slope = (self.energy[i] - self.energy[i - 1]) / np.diff(self.efficiency)[i - 1]
        self.t50 = float(self.energy[i - 1] + (0.5 - self.efficiency[i - 1]) * slope)
        self.own = setup.threshold
        if self.channel == "nr" and experiment.spec.energy_scale == "electron_equivalent":
            fine = np.geomspace(0.01, 200.0, 4000)  # ln E against ln E_ee is nearly straight
            inverse = CubicSpline(np.log(lindhard(fine)), np.log(fine))
            self.own = float(np.exp(inverse(np.log(setup.threshold))))
        self.top = float(self.energy[np.argmax(self.efficiency)])
        self.stretch = max(self.t50 / self.own, 1.0)
        self.shells = None if self.channel == "nr" else nuclei.atomic_factor("Xe", setup.atomic)

    def observed(self, energy: Array) -> Array:
        """Electron-equivalent energy."""
        return lindhard(energy) if self.channel == "nr" else energy

    def electrons(self, energy: Array) -> Array:
        """Electrons per atom that a recoil can free; one nucleus."""
        if self.shells is None:
            return np.ones(energy.shape)
        free = energy[:, None] >= self.shells.binding
        count = free @ self.shells.electrons
        table = self.shells.rrpa_energy
        if not table.size:
            return np.asarray(count)
        inside = (energy >= table[0]) & (energy <= table[-1])
        ratio = np.interp(energy, table, self.shells.rrpa_ratio)
        return np.asarray(count * np.where(inside, ratio, 1.0))

    def __call__(self, energy: Array) -> Array:
        """Return counts per recoil."""
        at = np.where(energy < self.top, np.minimum(energy * self.stretch, self.top), energy)
        passed = np.interp(at, self.energy, self.efficiency)
        seen = self.observed(energy)
        t50, low = self.observed(np.array([self.t50, self.own]))
        capped = np.maximum(seen + max(t50 - low, 0.0), t50)
        sigma = seen * (self.resolution.a / np.sqrt(capped) + self.resolution.b)
        inside = ndtr((seen - low) / sigma) - ndtr((seen - 30.0) / sigma)
        return np.asarray(self.acceptance * passed * inside * self.electrons(energy))

    def kinks(self) -> Array:
        """Energies at which the response or its slope jumps; its ends are the outermost."""
        rising = self.energy[self.energy <= self.top] / self.stretch
        found = [rising, self.energy[self.energy >= self.top], np.array([self.own, self.t50])]
        if self.shells is not None:
            found += [self.shells.binding, self.shells.rrpa_energy]
        kinks = np.unique(np.concatenate(found))
        return np.asarray(kinks[(kinks >= rising[0]) & (kinks <= self.energy[-1])])


def adaptive(f: Callable[[Array], Array], kinks: Array, tolerance: float) -> Array:
    """Integrate f, shape (case, 2, n), halving panels until both halves agree with the whole."""
    x, w = rule(8)

    def panels(a: Array, b: Array) -> Array:
        energy = 0.5 * (a + b)[:, None] + 0.5 * (b - a)[:, None] * x
        value = f(energy.ravel()).reshape(1 + len(CASES), 2, *energy.shape)
        return np.asarray(np.einsum("ckpj,j,p->ckp", value, w, 0.5 * (b - a)))

    a, b = kinks[:-1], kinks[1:]
    whole = panels(a, b)
    scale = np.abs(whole[:, 1]).sum(axis=-1)
    scale = np.where(scale > 0.0, scale, 1.0)  # a model that the channel does not feel
    total = np.zeros((1 + len(CASES), 2))
    while a.size:
        c = 0.5 * (a + b)
        left, right = panels(a, c), panels(c, b)
        miss = np.abs(left + right - whole)[:, 0] / scale[:, None]
        split = miss.max(axis=0) > tolerance
        total += (left + right)[..., ~split].sum(axis=-1)
        a, b = np.concatenate([a[split], c[split]]), np.concatenate([c[split], b[split]])
        whole = np.concatenate([left[..., split], right[..., split]], axis=-1)
    return total


def reference(setup: Setup, tolerance: float = TIGHT) -> Array:
    """Counts per tonne year: SM, then the change by each case, shape (1 + case, 2)."""
    response = Response(setup)
    sources = solar.solar_sources(setup.metallicity)
    energies = np.array([e for s in sources for e in (s.endpoint, *(line for line, _ in s.lines))])
    masses = nuclei.target("Xe").nuclear_mass if setup.channel == "nr" else np.array([M_ELECTRON])
    ends = 1e3 * (2.0 * energies[:, None] ** 2 / (masses + 2.0 * energies[:, None])).ravel()
    kinks = np.unique(np.concatenate([response.kinks(), ends]))
    # above 70 keV_ee nothing is read below 30: twenty standard deviations
    inside = (kinks >= response.kinks()[0]) & (kinks <= min(ends.max(), response.kinks()[-1], 70.0))
    spectrum = nuclear if setup.channel == "nr" else electronic
    return adaptive(lambda e: spectrum(e, setup) * response(e), kinks[inside], tolerance)


def ours(setup: Setup) -> tuple[Array, float]:
    """The same counts from moments, shape (1 + case,), and the quadrature error they state."""
    dataset = basis.compute(
        setup.experiment,
        mass=MASSES,
        threshold=np.array([setup.threshold]),
        metallicity=(setup.metallicity,),
        oscillation=[oscillation(setup.oscillation)],
        atomic=setup.atomic,
    )
    stated = float(dataset[f"{setup.channel}_error"].values.item())
    other: Channel = "er" if setup.channel == "nr" else "nr"
    c = {
        model: basis.coefficients(dataset.drop_vars(other, errors="ignore"), model)
        for model in MODELS
        if setup.channel == "nr" or model.kind == "vector"
    }
    counts = [c[MODELS[0]].values[0, 0, 0, 0, 0, 0]]
    for model, mass, g in CASES:
        c1, c2 = c[model].sel(mass=mass).values[0, 0, 0, 0, 1:] if model in c else (0.0, 0.0)
        counts.append(g**2 * (c1 + g**2 * c2))
    return np.array(counts), stated


@pytest.mark.parametrize("setup", SETUPS, ids=lambda s: f"{s.name}-{s.channel}-{s.threshold:g}")
def test_counts_are_those_of_the_full_cross_section(setup: Setup) -> None:
    """SM counts and changes by new physics, for 8 models, 5 masses, 3 couplings, to 1e-6.

    The tolerance is relative to the sum of absolute changes by flavor and recoil energy: where nu_mu
    and nu_tau cancel, no digits are left to compare. Where less than nine tenths cancel it is
    relative to the change itself.
    """
    exact, (counts, stated) = reference(setup), ours(setup)
    felt = exact[:, 1] > 0.0
    np.testing.assert_array_equal(counts[~felt], 0.0)
    miss = np.abs(counts - exact[:, 0])[felt] / exact[felt, 1]
    assert miss.max() < REQUIRED
    plain = felt & (np.abs(exact[:, 0]) > 0.1 * exact[:, 1])
    assert plain.sum() > 60  # most are no cancellation
    np.testing.assert_allclose(counts[plain], exact[plain, 0], rtol=REQUIRED)
    # the stated error is the largest over all basis functions; it compares two quadratures, so the
    # true one may be somewhat larger
    assert stated <= REQUIRED
    assert miss.max() <= 3.0 * stated


def test_the_independent_integral_has_converged() -> None:
    for setup in (SETUPS[1], SETUPS[3]):
        loose, tight = reference(setup), reference(setup, 1e-13)
        np.testing.assert_allclose(loose[:, 0], tight[:, 0], rtol=0, atol=1e-9 * tight[:, 1].max())
        felt = tight[:, 1] > 0.0
        miss = np.abs(loose - tight)[felt, 0] / tight[felt, 1]
        assert miss.max() < 1e-9


@pytest.mark.parametrize("name", ["darwin-er", "lz-er", "xenonnt-er"])
def test_the_background_is_that_of_the_independent_response(name: str) -> None:
    setup = Setup(name, "er", 0.4)
    response = Response(setup)
    response.shells = None  # a background is no electron set free by a neutrino
    curves = list(setup.experiment.background.values())
    kinks = np.unique(np.concatenate([response.kinks(), *(c.energy for c in curves)]))
    kinks = kinks[(kinks >= response.kinks()[0]) & (kinks <= min(response.kinks()[-1], 70.0))]
    x, w = rule(20)
    energy = 0.5 * (kinks[1:] + kinks[:-1])[:, None] + 0.5 * np.diff(kinks)[:, None] * x
    weight = (0.5 * np.diff(kinks)[:, None] * w).ravel()
    flat = energy.ravel()
    rate = sum(np.interp(flat, c.energy, c.value) for c in curves)
    expected = float(np.sum(weight * rate * response(flat)))
    assert detector.background(setup.experiment, 0.4) == pytest.approx(expected, rel=1e-9)
