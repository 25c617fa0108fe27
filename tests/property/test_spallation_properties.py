"""Counts at spallation sources against an independent integration of the full cross section.

What follows shares nothing with the program but its tables: isotopes, radii, efficiencies, times,
experiment files, and physical constants. The spectra of the neutrinos are those of the papers, and
their integrals Gauss rules that are exact for them; the cross section has the model's own charges
and coupling; the integral over the recoil energy is adaptive between all kinks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, log, pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import gamma

from lmltgrid import basis
from lmltgrid.spec import Couplings
from lmltgrid.tables import models, nuclei
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.models import Model
from lmltgrid.tables.oscillation import oscillation
from lmltgrid.tables.spallation import SpallationExperiment
from lmltgrid.units import (
    CM2_PER_MEV_2,
    E_CHARGE,
    G_FERMI,
    HBAR_C,
    M_ELECTRON,
    M_MUON,
    M_PION,
    M_TAU,
)

Array = NDArray[np.float64]

SUN = [oscillation("amaral2021")]  # nothing here depends on it
NAMES = sorted(name for name, one in catalog().items() if one.spec.source == "pi-DAR")
COUPLINGS: dict[str, Couplings]
COUPLINGS = {"lewin-smith": "msbar", "b22": "low-energy", "ac22": "radiative"}
# couplings to protons of nu_mu, anti-nu_mu, nu_e, and to neutrons: tree level, and AC22 eq. 3.3
WEAK = {
    "msbar": ((0.5 - 2.0 * 0.23122,) * 3, -0.5),
    "low-energy": ((0.5 - 2.0 * 0.2387,) * 3, -0.5),
    "radiative": ((0.0318, 0.0318, 0.0401), -0.5094),
}
FLAVOR = (1, 1, 0)  # of the components, in the order e, mu, tau
PROMPT = (M_PION**2 - M_MUON**2) / (2.0 * M_PION)
# rounding, and the two quadratures: measured at most 5e-12, in the last bins below an endpoint
REQUIRED = 1e-10
SHARE = 1e-6  # of all events: bins with less are the far tail of a resolution
LOWEST = 1e-3  # keV, where the program begins as well
rule = lru_cache(np.polynomial.legendre.leggauss)


@dataclass(frozen=True)
class Case:
    """A mediator, its mass in MeV, and its coupling."""

    model: Model
    mass: float
    g: float


def random_cases(number: int) -> list[Case]:
    """Vector mediators of any charges, mixing by a number; and the shipped loops and scalars."""
    random = np.random.default_rng(2022)
    cases = []
    for i in range(number):
        charges = dict(zip(["u", "d", "e", "mu", "tau"], random.uniform(-2, 2, 5), strict=True))
        model = models.build(f"mine-{i}", "", charges, float(random.uniform(-0.1, 0.1)))
        mass, g = 10.0 ** random.uniform([-2.0, -6.0], [3.0, -1.0])
        cases.append(Case(model, float(mass), float(g)))
    names = ("Le-Lmu", "Le-Ltau", "Lmu-Ltau", "Lmu-Ltau-unsplit", "scalar", "axial")
    for name, mass in zip(names, 10.0 ** random.uniform(-2.0, 3.0, len(names)), strict=True):
        cases.append(Case(models.find(name), float(mass), 1e-3))
    return cases


CASES = random_cases(20)
N_CASES = len(CASES)


def michel(energy: Array) -> Array:
    """Spectra of anti-nu_mu and nu_e from a muon at rest, shape (2, ...), MeV^-1."""
    x = energy / M_MUON
    return np.stack([64.0 * x**2 * (0.75 - x), 192.0 * x**2 * (0.5 - x)]) / M_MUON


def over_neutrinos(t: Array, m: float) -> Array:
    """Integrals of 1 - m t/(2 E^2) and 1/E^2 over the spectra, shape (2, component, n)."""
    low = 0.5 * (t + np.sqrt(t**2 + 2.0 * m * t))
    end = 0.5 * M_MUON
    x, w = rule(4)
    half = 0.5 * np.maximum(end - low, 0.0)
    energy = end - half + half * x[:, None]
    spectra = michel(energy) * half * w[:, None]
    both = [np.sum(spectra * f, axis=1) for f in (1.0 - m * t / (2.0 * energy**2), energy**-2)]
    line = np.where(low <= PROMPT, 1.0, 0.0)
    prompt = [line * (1.0 - m * t / (2.0 * PROMPT**2)), line / PROMPT**2]
    return np.stack([np.vstack([p[None], b]) for p, b in zip(prompt, both, strict=True)])


def helm(q: Array, radius: float) -> Array:
    x = q * radius / HBAR_C
    form = 3.0 * (np.sin(x) - x * np.cos(x)) / x**3
    small = 1.0 - x**2 / 10.0 + x**4 / 280.0
    return np.where(x < 0.02, small, form) * np.exp(-0.5 * (q * 0.9 / HBAR_C) ** 2)


def mixing(model: Model, q2: Array) -> Array:
    """eps/g at each momentum transfer, shape (n,); the loop is P20 eq. A12 by a Gauss rule."""
    if model.mixing != "loop":
        return np.full(q2.shape, float(model.mixing))
    # half of the symmetric integral; substituted so that the electron's logarithm is smooth
    u, w = rule(120)
    s = 0.5 * (u + 1.0)
    x, weight = 0.5 * s**4, 0.5 * w * 2.0 * s**3
    y = (x * (1.0 - x))[:, None]
    masses = (M_ELECTRON, M_MUON, M_TAU)
    loops = [2.0 * (weight[:, None] * y * np.log(m**2 + y * q2)).sum(axis=0) for m in masses]
    summed = sum(c * v for c, v in zip(model.charges[2:], loops, strict=True))
    return np.asarray(E_CHARGE / (2.0 * pi**2) * summed)


def changes(case: Case, q2: Array, t: Array, rates: Array, nucleus: tuple[Array, ...]) -> Array:
    """What a mediator adds to the rate off one isotope, shape (component, n)."""
    rate, inverse = rates
    p, n, a, m, weak = nucleus
    reach = sqrt(2.0) * G_FERMI * (q2 + case.mass**2)
    model = case.model
    if model.kind == "scalar":  # LX22 eq. 2.9 over G_F^2 m/pi
        square = 0.5 * m * t * inverse * (p + n) ** 2
        return np.asarray(square * (case.g**2 * model.strength / reach) ** 2)
    if model.kind == "axial":  # LX22 eq. 2.14, here rate is F_0 - m t F_2/2; odd nuclei alone
        square = (rate + m * t * inverse) * (a % 2)
        return np.asarray(square * (case.g**2 * model.strength / reach) ** 2)
    u, d, *_ = model.charges
    c_p = 2.0 * u + d - mixing(model, q2) * E_CHARGE
    own = np.array([model.neutrino_charges[f] for f in FLAVOR])[:, None]
    new = case.g**2 * own * (c_p * p + (u + 2.0 * d) * n) / reach
    return np.asarray(rate * new * (2.0 * weak + new))  # (weak + new)^2 - weak^2


def spectra(experiment: SpallationExperiment, energy: Array) -> Array:
    """SM and changes by each case, 1/(t yr keV), shape (1 + case, component, n); keV."""
    target = nuclei.target(experiment.spec.target, experiment.form_factor)
    beam, t = experiment.spec.beam, energy * 1e-3
    flux = beam.neutrinos_per_proton * beam.protons_per_year
    flux /= 4.0 * pi * (100.0 * beam.baseline_m) ** 2
    proton, neutron = WEAK[COUPLINGS[experiment.form_factor]]
    out = np.zeros((1 + N_CASES, 3, energy.size))
    for i, (z, a, m) in enumerate(zip(target.z, target.a, target.nuclear_mass, strict=True)):
        scale = flux * target.abundance[i] * target.atoms_per_tonne * 1e-3
        scale *= G_FERMI**2 * m / pi * CM2_PER_MEV_2
        rates = scale * over_neutrinos(t, m)
        q2 = 2.0 * m * t
        p = z * helm(np.sqrt(q2), target.radius[0, i])
        n = (a - z) * helm(np.sqrt(q2), target.radius[1, i])
        weak = np.array(proton)[:, None] * p + neutron * n
        out[0] += rates[0] * weak**2
        for k, case in enumerate(CASES, start=1):
            out[k] += changes(case, q2, t, rates, (p, n, a, m, weak))
    return out


def observed(experiment: SpallationExperiment, energy: Array) -> Array:
    terms = experiment.spec.response.quenching or (1.0,)
    return np.asarray(sum(c * energy**k for k, c in enumerate(terms, start=1)))


def responses(experiment: SpallationExperiment, energy: Array) -> Array:
    """Probabilities to be counted in each energy bin, shape (bin, n)."""
    spec, edges = experiment.spec.response, experiment.energy_edges
    passed = np.full(energy.size, spec.acceptance)
    if experiment.efficiency is not None:
        curve = experiment.efficiency
        passed *= np.interp(energy, curve.energy, curve.value)
        passed[energy < curve.energy[0]] = 0.0
    seen = observed(experiment, energy)
    low, high = edges[:-1, None], edges[1:, None]
    if spec.photoelectrons is not None:
        return np.asarray(passed * photoelectrons(experiment, seen))
    if spec.resolution is None:
        return np.asarray(passed * ((seen >= low) & (seen < high)))
    below = (low - seen) / (spec.resolution * np.sqrt(seen))
    above = (high - seen) / (spec.resolution * np.sqrt(seen))
    # on the side where a difference of two numbers close to one is none
    inside = np.where(below > 0.0, ndtr(-below) - ndtr(-above), ndtr(above) - ndtr(below))
    return np.asarray(passed * inside)


def photoelectrons(experiment: SpallationExperiment, seen: Array) -> Array:
    """AC22 eqs 2.4 and 2.5, with the efficiency of the release."""
    spec = experiment.spec.response.photoelectrons
    assert spec is not None
    a, b, c, d = spec.efficiency
    start = c - log(-a / d - 1.0) / b  # below it nothing passes
    nodes, weights = rule(12)
    out = []
    shape = 1.0 + spec.shape * seen
    scale = spec.per_kevee * seen / shape
    for low, high in zip(experiment.energy_edges, experiment.energy_edges[1:], strict=False):
        low = max(float(low), start)
        cuts = np.linspace(low, high, ceil(high - low) + 1)
        half = 0.5 * np.diff(cuts)[:, None]
        x = (cuts[:-1, None] + half + half * nodes).ravel()
        passed = a / (1.0 + np.exp(-b * (x - c))) + d
        weight = passed * (half * weights).ravel()
        out.append(gamma.pdf(x, shape[:, None], scale=scale[:, None]) @ weight)
    return np.array(out)


def kinks(experiment: SpallationExperiment) -> Array:
    """True recoil energies (keV) at which something has a kink; the ends are the outermost."""
    target = nuclei.target(experiment.spec.target, experiment.form_factor)
    energies = np.array([PROMPT, 0.5 * M_MUON])[:, None]
    ends = 1e3 * (2.0 * energies**2 / (target.nuclear_mass + 2.0 * energies)).ravel()
    found = [ends, np.geomspace(LOWEST, ends.max(), 40)]
    if experiment.efficiency is not None:
        found.append(experiment.efficiency.energy)
    spec = experiment.spec.response
    if spec.resolution is None and spec.photoelectrons is None:
        assert spec.quenching is None
        found.append(experiment.energy_edges)
    every = np.unique(np.concatenate(found))
    return np.asarray(every[(every >= LOWEST) & (every <= ends.max())])


@lru_cache(maxsize=32)
def reference(name: str, tolerance: float = 1e-12) -> Array:
    """Counts per tonne year by energy bin, shape (2, 1 + case, component, bin).

    First the counts, then the integrals of their absolute values. Panels are halved until both
    halves agree with the whole.
    """
    experiment = catalog()[name]
    assert isinstance(experiment, SpallationExperiment)
    x, w = rule(10)

    def panels(a: Array, b: Array) -> Array:
        energy = (0.5 * (a + b)[:, None] + 0.5 * (b - a)[:, None] * x).ravel()
        weight = (0.5 * (b - a)[:, None] * w).ravel()
        rate, seen = spectra(experiment, energy) * weight, responses(experiment, energy)
        shaped = [r.reshape(*r.shape[:-1], a.size, x.size) for r in (rate, seen)]
        both = np.stack([shaped[0], np.abs(shaped[0])])
        return np.asarray(np.einsum("akcpj,bpj->pakcb", both, shaped[1], optimize=True))

    cuts = kinks(experiment)
    a, b = cuts[:-1], cuts[1:]
    whole = panels(a, b)
    # a component apart, for it may have a time bin of its own; but not one that hardly reaches it
    scale = whole[:, 1].sum(axis=0)
    scale = np.maximum(scale, 1e-3 * scale.sum(axis=1, keepdims=True))
    scale = np.where(scale > 0.0, scale, np.inf)
    total = np.zeros(whole.shape[1:])
    while a.size:
        c = 0.5 * (a + b)
        left, right = panels(a, c), panels(c, b)
        miss = np.abs(left + right - whole)[:, 0] / scale
        split = miss.max(axis=(1, 2, 3)) > tolerance
        total += (left + right)[~split].sum(axis=0)
        a, b = np.concatenate([a[split], c[split]]), np.concatenate([c[split], b[split]])
        whole = np.concatenate([left[split], right[split]])
    return total


def expected(name: str) -> Array:
    """Counts and absolute counts of `reference` in every bin, shape (2, 1 + case, bin)."""
    experiment = catalog()[name]
    assert isinstance(experiment, SpallationExperiment)
    by_component = reference(name)
    early, late = experiment.time
    timed = by_component[..., 0, :, None] * early
    timed = timed + by_component[..., 1:, :, None].sum(axis=-3) * late
    out = timed.reshape(2, 1 + N_CASES, -1)
    wanted = experiment.spec.likelihood.standard_model_counts
    if wanted is not None:
        out = out * wanted / (out[0, 0].sum() * experiment.spec.exposure_tonne_year)
    return np.asarray(out)


@lru_cache(maxsize=32)
def computed(name: str) -> tuple[Array, float]:
    """The same counts from moments, shape (1 + case, bin), and the largest stated error."""
    experiment = catalog()[name]
    masses = np.array(sorted({case.mass for case in CASES}))
    moments = basis.compute(experiment, mass=masses, oscillation=SUN)
    couplings = COUPLINGS[experiment.form_factor]
    out = []
    for case in CASES:
        c = basis.coefficients(moments, case.model, couplings)
        c0, c1, c2 = c.sel(mass=case.mass).values[0, 0, 0].T
        out.append(case.g**2 * (c1 + case.g**2 * c2))
    return np.array([c0, *out]), float(moments["nr_error"].values.max())


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_those_of_the_full_cross_section(name: str) -> None:
    """SM counts and changes by random mediators, bin by bin, to 1e-10 of the absolute changes.

    Relative to the sum of absolute changes by component and recoil energy: where they cancel, no
    digits are left to compare.
    """
    (exact, absolute), (counts, _) = expected(name), computed(name)
    full = exact[0] > SHARE * exact[0].sum()
    assert full.any()
    felt = absolute > 0.0
    np.testing.assert_array_equal(counts[~felt], 0.0)
    miss = np.divide(np.abs(counts - exact), absolute, out=np.zeros_like(exact), where=felt)
    assert miss[:, full].max() < REQUIRED
    # in all bins together, also those at which next to nothing arrives
    total = np.abs(counts.sum(axis=1) - exact.sum(axis=1))
    assert np.all(total <= REQUIRED * absolute.sum(axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_the_stated_error_of_the_quadrature_is_the_least(name: str) -> None:
    """1e-8 is what is always stated for the response; the quadrature adds nothing to it."""
    assert computed(name)[1] < 1.01e-8


def test_the_independent_integral_has_converged() -> None:
    loose, tight = reference("ess-xe"), reference("ess-xe", 1e-14)
    scale = tight[1].sum(axis=1)
    felt = scale > 0.0
    miss = np.abs(loose - tight)[0].max(axis=1)
    assert (miss[felt] / scale[felt]).max() < 0.1 * REQUIRED


def with_bins(name: str, edges: tuple[float, ...]) -> SpallationExperiment:
    """An experiment without a table, in other bins."""
    found = catalog()[name]
    assert isinstance(found, SpallationExperiment)
    bins = found.spec.bins.model_copy(update={"energy": edges})
    spec = found.spec.model_copy(update={"bins": bins})
    return replace(found, spec=spec, threshold=edges[0], noise=np.zeros(len(edges) - 1))


def nr(experiment: SpallationExperiment) -> Array:
    moments = basis.compute(experiment, mass=np.array([0.1, 30.0]), oscillation=SUN)
    return np.asarray(moments.nr.values[0, 0, 0])


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(["ess", "ess-xe", "ess-c3f8"]),
    cuts=st.lists(st.floats(1.5, 60.0), min_size=1, max_size=4, unique_by=lambda x: round(x, 2)),
)
def test_bins_add_up(name: str, cuts: list[float]) -> None:
    ends = (1.0, 70.0)
    one = nr(with_bins(name, ends))
    many = nr(with_bins(name, (ends[0], *sorted(cuts), ends[1])))
    assert many.shape[0] == len(cuts) + 1
    # other nodes, each good to 1e-12; the loop of the electron changes its sign
    miss = np.abs(many.sum(axis=0) - one[0])
    assert np.all(miss <= 1e-10 * np.abs(many).sum(axis=0))


@settings(max_examples=10, deadline=None)
@given(distance=st.floats(1.0, 1000.0), yields=st.floats(1e-3, 1.0), protons=st.floats(1e20, 1e25))
def test_counts_scale_with_the_beam(distance: float, yields: float, protons: float) -> None:
    found = with_bins("ess", (20.0, 100.0))
    own = found.spec.beam
    new = {"baseline_m": distance, "neutrinos_per_proton": yields, "protons_per_year": protons}
    spec = found.spec.model_copy(update={"beam": own.model_copy(update=new)})
    ratio = (own.baseline_m / distance) ** 2 * yields / own.neutrinos_per_proton
    ratio *= protons / own.protons_per_year
    np.testing.assert_allclose(nr(replace(found, spec=spec)), ratio * nr(found), rtol=1e-12)


def test_only_muon_and_electron_neutrinos_arrive() -> None:
    values = nr(with_bins("ess", (20.0, 100.0)))
    assert np.all(values[..., 2] == 0.0)
    assert np.all(values[:, :, :3, :2] > 0.0)


@pytest.mark.parametrize("name", ["coherent-csi-2021", "coherent-ar-2020"])
def test_times_of_prompt_and_delayed_neutrinos(name: str) -> None:
    """Electron neutrinos are delayed; what is left of muon neutrinos is as early as the pions."""
    found = catalog()[name]
    assert isinstance(found, SpallationExperiment)
    moments = basis.compute(found, mass=np.array([10.0]), oscillation=SUN).nr.values[0, 0, 0]
    n_time = found.time.shape[1]
    by_time = moments[:, 0].reshape(-1, n_time, *moments.shape[2:])
    shaped = by_time[:, :, 0]  # (energy, time, flavor)
    early, late = found.time
    electron, muon = shaped[0, :, 0], shaped[0, :, 1]
    np.testing.assert_allclose(electron / electron.sum(), late / late.sum(), rtol=1e-12)
    parts = np.linalg.lstsq(np.stack([early, late], axis=1), muon, rcond=None)[0]
    np.testing.assert_allclose(parts @ found.time, muon, rtol=1e-12)
    assert np.all(parts > 0.0)
