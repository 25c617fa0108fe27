"""Atzori Corona et al. 2022 (arXiv:2202.11002): Table 2, and the formulas and sentences around it.

All 66 bounds are computed once, by the first test that needs one; it takes a minute.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import Any

import numpy as np
import pytest

from lmltgrid import basis, quadrature
from lmltgrid.analysis.reproduce import ac22
from lmltgrid.analysis.reproduce import ac22_formulas as formulas
from lmltgrid.kernels import cevns, pidar
from lmltgrid.tables import models, nuclei

pytestmark = pytest.mark.golden


@lru_cache(maxsize=1)
def rows() -> dict[str, dict[str, Any]]:
    return {claim.quantity: claim.row() for claim in ac22.claims()}


def deviations(data: str) -> np.ndarray:
    place = list(ac22.EXPERIMENTS).index(data)
    return np.array(ac22.deviations()).reshape(len(ac22.TABLE), 3, 2)[:, place]


@pytest.mark.parametrize(("data", "most"), [("Ar", 0.05), ("CsI", 0.05), ("CsI+Ar", 0.10)])
def test_all_bounds_of_table_2(data: str, most: float) -> None:
    """5 % for a single detector, 10 % for both.

    The paper has the arrival times and energies of the data release and of private communications;
    with three digits of a bound, and bins and pulses that are not those of the paper, a few percent
    remain. The scalar bound of both is the farthest, 9 %.
    """
    found = deviations(data)
    assert found.shape == (11, 2)
    assert np.abs(found).max() <= most


@pytest.mark.parametrize(
    ("model", "data", "high", "printed"),
    [
        ("universal", "CsI", False, 2.36e-5),
        ("universal", "CsI+Ar", True, 0.48e-3),
        ("B-L", "Ar", False, 5.35e-5),
        ("By+Lmu+Ltau", "Ar", True, 3.58e-3),
        ("B-3Le", "CsI", True, 0.96e-3),
        ("Lmu-Ltau", "Ar", True, 80.9e-3),
        ("Lmu-Ltau", "CsI+Ar", False, 103e-5),
        ("scalar", "CsI+Ar", False, 1.68e-5),
    ],
)
def test_bounds_are_compared_with_what_is_printed(
    model: str, data: str, high: bool, printed: float
) -> None:
    """The transcription of the table: a few of each column, typed a second time."""
    words = "g/M at high" if high else "g at low"
    row = rows()[f"{words} mass, {model}, {data}"]
    assert row["published"] == pytest.approx(printed, rel=1e-12)
    assert row["verdict"] == "ok"


@pytest.mark.snapshot
def test_root_mean_square_deviation_of_all_bounds() -> None:
    """3.0 % was found by another program with the same data and settings."""
    row = rows()["root mean square of the relative deviations of all 66 bounds"]
    every = np.array(ac22.deviations())
    assert every.size == 66
    assert row["computed"] == pytest.approx(np.sqrt(np.mean(every**2)), rel=1e-12)
    assert row["computed"] == pytest.approx(0.0309, abs=0.0005)


@pytest.mark.snapshot
@pytest.mark.parametrize(
    ("data", "most", "mean"),
    [("Ar", 0.048, 0.024), ("CsI", 0.048, 0.022), ("CsI+Ar", 0.092, 0.042)],
)
def test_size_of_the_deviations(data: str, most: float, mean: float) -> None:
    found = deviations(data)
    assert np.abs(found).max() == pytest.approx(most, abs=0.001)
    assert np.sqrt(np.mean(found**2)) == pytest.approx(mean, abs=0.001)


def test_the_upper_of_three_lines_is_quoted_for_argon() -> None:
    """Fig. 5b: with the first crossing the bounds would be half of what is printed."""
    for model in ac22.LAST:
        first = ac22.edges("Ar", model)[ac22.HIGH][0] / (ac22.HIGH * 1e-3)
        assert first < 0.55 * ac22.TABLE[model][1] * 1e-3


@pytest.mark.parametrize(
    ("model", "target", "coupling", "printed", "within"),
    [
        ("universal", "Ar", 1e-4, 92.0, 1.0),
        ("By+Lmu+Ltau", "Ar", 1e-4, 29.0, 1.0),
        ("Lmu-Ltau", "Ar", 2e-3, 23.0, 1.0),
        ("universal", "CsI", 1e-4, 27.0, 0.6),
        ("By+Lmu+Ltau", "CsI", 1e-4, 8.0, 0.6),
        ("Lmu-Ltau", "CsI", 2e-3, 6.0, 0.6),
    ],
)
def test_energies_of_the_cancellation(
    model: str, target: str, coupling: float, printed: float, within: float
) -> None:
    """Eqs 3.17, 3.18 and 3.21: half a keV is the printed digit."""
    found = formulas.cancellation_energy(model, target, coupling)
    assert found == pytest.approx(printed, abs=within)


def test_the_rate_of_argon_vanishes_at_the_cancellation() -> None:
    """That of nu_mu, from the spectra of argon 40 that all counts are made of."""
    target = nuclei.most_abundant(nuclei.target("Ar", "ac22"))
    energy = np.linspace(80.0, 105.0, 251)
    spectra, q2 = quadrature.spectra_of_flux(energy, target, pidar.flux_moments)
    muon = spectra.reshape(energy.size, cevns.N_BASIS, 3)[:, :, 1]  # the delayed ones
    weights = basis.weights("nr", models.find("universal"), "radiative")[:, :, 1]
    first, second, _ = cevns.POWERS
    power = np.repeat([0, 1, 2], [first, second - first, cevns.N_BASIS - second])
    propagator = 1.0 / (cevns.PROPAGATOR * (q2 + formulas.MASS**2))
    of_order = np.array([1.0, 1e-8, 1e-16])  # g = 1e-4
    rate = np.einsum("nb,nb,ob,o->n", muon, propagator**power, weights, of_order)
    least = energy[np.argmin(rate)]
    assert least == pytest.approx(formulas.cancellation_energy("universal", "Ar", 1e-4), abs=0.2)
    assert 0.0 <= rate.min() < 1e-4 * rate.max()


@pytest.mark.parametrize(
    ("model", "printed"), [("universal", 1.8e-3), ("By+Lmu+Ltau", 3.1e-3), ("Lmu-Ltau", 7e-2)]
)
def test_allowed_strips(model: str, printed: float) -> None:
    """Eqs 4.1, 4.3 and 4.6."""
    assert formulas.strip_slope(model) == pytest.approx(printed, rel=0.01)
    low, high = np.array(ac22.edges("CsI+Ar", model)[ac22.HIGH][1:3]) / (ac22.HIGH * 1e-3)
    assert low < printed < high


def test_the_strip_of_le_ltau_is_not_where_it_is_printed() -> None:
    """Eq. 4.5 has 6e-2; its own numbers, and the full calculation, give 5.5e-2."""
    assert formulas.strip_slope("Le-Ltau") == pytest.approx(5.5e-2, rel=0.01)
    low, high = np.array(ac22.edges("CsI+Ar", "Le-Ltau")[ac22.HIGH][1:3]) / (ac22.HIGH * 1e-3)
    assert np.sqrt(low * high) == pytest.approx(5.5e-2, rel=0.02)


@pytest.mark.parametrize("name", ["coherent-csi-2021", "coherent-csi-2021-literal"])
def test_free_normalization_of_cesium_iodide(name: str) -> None:
    """306 +- 20 events (arXiv:2110.07730): 2 % on the center, less than a seventh of the error."""
    center, error = formulas.free_normalization(name)
    assert center == pytest.approx(306.0, rel=0.02)
    assert error == pytest.approx(32.0, abs=1.0)


def test_counts_of_the_releases() -> None:
    """128 +- 17 of argon (to which coherent-ar-2020 is scaled), 341 +- 43 of cesium iodide."""
    assert formulas.standard_model("coherent-ar-2020") == pytest.approx(128.0, rel=1e-9)
    assert formulas.standard_model("coherent-ar-2020-literal") == pytest.approx(128.0, abs=17.0)
    assert formulas.standard_model("coherent-csi-2021") == pytest.approx(341.0, abs=43.0)


def test_mixing_of_tau_and_muon() -> None:
    """Below eq. 3.21: ln(m_tau^2/m_mu^2)/6, as long as the transfer is below both masses."""
    limit = np.log((1776.86 / 105.6583755) ** 2) / 6.0
    assert formulas.mixing("tau", "mu", 1.0) == pytest.approx(limit, rel=1e-4)
    assert formulas.mixing("mu", "tau", 1.0) == pytest.approx(-limit, rel=1e-4)


def test_every_sentence_holds_and_what_is_off_says_why() -> None:
    sentences = 0
    for row in rows().values():
        values = (
            row["computed"].values() if isinstance(row["computed"], dict) else [row["computed"]]
        )
        assert all(isfinite(value) for value in values), row["quantity"]
        assert row["verdict"] in ("ok", "no published number"), row["quantity"]
        sentences += isinstance(row["computed"], dict)
    assert sentences == 20
