"""Flavor of solar neutrinos: limits, symmetries, exact Hamiltonian, and what a user may write."""

from __future__ import annotations

from math import cos, pi, radians, sin, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lmltgrid.errors import SpecificationError, UnknownNameError
from lmltgrid.spec import validate
from lmltgrid.tables import oscillation as osc
from lmltgrid.tables import solar

ENERGIES = np.array([0.05, 0.3, 0.8618, 1.442, 3.0, 8.0, 15.0])

parameters = st.builds(
    osc.Oscillation,
    sin2_theta12=st.floats(0.01, 0.99),
    sin2_theta13=st.floats(0.0, 0.2),
    # six digits: 1 - sin^2 must not lose what the square root would show
    sin2_theta23=st.floats(0.0, 1.0).map(lambda value: round(value, 6)),
    delta_cp_deg=st.floats(-360.0, 360.0),
    dm21_ev2=st.floats(2e-5, 2e-4),
    dm31_ev2=st.floats(1e-3, 4e-3) | st.floats(-4e-3, -1e-3),
)


def changed(base: osc.Oscillation, **changes: float) -> osc.Oscillation:
    return osc.Oscillation.model_validate(base.model_dump() | changes)


def mixing_matrix(p: osc.Oscillation) -> NDArray[np.complex128]:
    """U of the PDG, complex, written as a product of rotations."""
    s, c = (
        [sqrt(v) for v in (p.sin2_theta12, p.sin2_theta13, p.sin2_theta23)],
        [sqrt(1.0 - v) for v in (p.sin2_theta12, p.sin2_theta13, p.sin2_theta23)],
    )
    phase = complex(cos(radians(p.delta_cp_deg)), sin(radians(p.delta_cp_deg)))
    r23 = np.array([[1, 0, 0], [0, c[2], s[2]], [0, -s[2], c[2]]])
    r13 = np.array([[c[1], 0, s[1] / phase], [0, 1, 0], [-s[1] * phase, 0, c[1]]])
    r12 = np.array([[c[0], s[0], 0], [-s[0], c[0], 0], [0, 0, 1]])
    return np.asarray(r23 @ r13 @ r12, dtype=np.complex128)


@settings(deadline=None, max_examples=50)
@given(p=parameters, source=st.sampled_from(solar.SOURCES))
def test_probabilities_sum_to_one(p: osc.Oscillation, source: str) -> None:
    probabilities = osc.probabilities(ENERGIES, source, "GS98", p)
    assert np.all(probabilities >= 0.0)
    # rounding of 150 zones
    np.testing.assert_allclose(probabilities.sum(axis=0), 1.0, rtol=0, atol=1e-13)


@settings(deadline=None, max_examples=50)
@given(p=parameters)
def test_squared_mixing_elements_are_those_of_the_product_of_rotations(p: osc.Oscillation) -> None:
    np.testing.assert_allclose(osc.mixing(p), np.abs(mixing_matrix(p)) ** 2, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dm31", [2.513e-3, -2.438e-3], ids=["normal", "inverted"])
def test_mass_states_are_eigenvectors_of_the_hamiltonian(dm31: float) -> None:
    """The zeroth order of Denton, Minakata and Parke against numerical diagonalization."""
    p = changed(osc.oscillation("nufit60"), dm31_ev2=dm31)
    u = mixing_matrix(p)
    vacuum = (u * np.array([0.0, p.dm21_ev2, p.dm31_ev2])) @ u.conj().T
    # up to 20 MeV at the center of the Sun: 2 E V = 3.1e-4 eV^2
    matter = np.linspace(0.0, 3.1e-4, 40)
    hamiltonian = np.repeat(vacuum[None], matter.size, axis=0)
    hamiltonian[:, 0, 0] += matter
    content = np.abs(np.linalg.eigh(hamiltonian)[1][:, 0, :].T) ** 2  # by ascending mass
    expected = content if dm31 > 0 else content[[1, 2, 0]]
    # left out: s12 c12 sin(theta13_m - theta13) dm21/dm31 = 2.5e-4 times sin(theta13) of order 0.1
    np.testing.assert_allclose(osc.mass_states(matter, p), expected, rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(p=parameters)
def test_low_energies_see_averaged_vacuum_oscillations(p: osc.Oscillation) -> None:
    """Closed form: sum_i |U_ei|^2 |U_ai|^2; for nu_e c13^4 (1 - sin^2(2 th12)/2) + s13^4."""
    probabilities = osc.probabilities(0.0, "pp", "GS98", p)[:, 0]
    squared = np.abs(mixing_matrix(p)) ** 2
    np.testing.assert_allclose(probabilities, squared @ squared[0], rtol=0, atol=1e-13)
    s12, s13 = p.sin2_theta12, p.sin2_theta13
    closed = (1.0 - s13) ** 2 * (1.0 - 2.0 * s12 * (1.0 - s12)) + s13**2
    assert probabilities[0] == pytest.approx(closed, abs=1e-13)


def test_high_energies_are_born_in_the_second_mass_state() -> None:
    """Closed form with the third state decoupled: P_e = c13^4 sin^2(th12) + s13^4."""
    p = changed(osc.oscillation("nufit60"), dm31_ev2=1.0)
    probability = osc.probabilities(5e3, "b8", "GS98", p)[0, 0]
    s12, s13 = p.sin2_theta12, p.sin2_theta13
    # left over: (dm21 sin(2 th12) / (4 E V))^2, 1e-6, and s13^2 2EV/dm31, below 1e-2 of s13^2
    assert probability == pytest.approx((1.0 - s13) ** 2 * s12 + s13**2, abs=5e-3 * s12)


def test_without_mixing_with_the_third_state_two_flavors_remain() -> None:
    """Parke's formula, P_e = (1 + cos(2 th) cos(2 th_m))/2, at one electron density."""
    p = changed(osc.oscillation("nufit60"), sin2_theta13=0.0)
    matter = np.array([0.0, 1e-5, 5e-5, 2e-4])
    cos_2t = 1.0 - 2.0 * p.sin2_theta12
    along = cos_2t - matter / p.dm21_ev2
    cos_2tm = along / np.sqrt(along**2 + 1.0 - cos_2t**2)
    states = osc.mass_states(matter, p)
    np.testing.assert_allclose(
        osc.mixing(p)[0] @ states, 0.5 * (1.0 + cos_2t * cos_2tm), rtol=0, atol=1e-14
    )
    np.testing.assert_array_equal(states[2], 0.0)


@settings(deadline=None, max_examples=25)
@given(p=parameters, delta=st.floats(-360.0, 360.0))
def test_probabilities_are_linear_in_the_cosine_of_delta(p: osc.Oscillation, delta: float) -> None:
    at = {
        angle: osc.probabilities(ENERGIES, "b8", "GS98", changed(p, delta_cp_deg=angle))
        for angle in (0.0, 180.0, delta)
    }
    mean, half = 0.5 * (at[0.0] + at[180.0]), 0.5 * (at[0.0] - at[180.0])
    np.testing.assert_allclose(at[delta], mean + half * cos(pi * delta / 180.0), rtol=0, atol=1e-13)


@settings(deadline=None, max_examples=25)
@given(p=parameters)
def test_mu_and_tau_swap_when_theta23_is_mirrored(p: osc.Oscillation) -> None:
    """theta23 -> 90 deg - theta23 together with delta -> delta + 180 deg."""
    delta = p.delta_cp_deg + (180.0 if p.delta_cp_deg <= 0.0 else -180.0)
    mirrored = changed(p, sin2_theta23=1.0 - p.sin2_theta23, delta_cp_deg=delta)
    np.testing.assert_allclose(
        osc.probabilities(ENERGIES, "b8", "GS98", mirrored),
        osc.probabilities(ENERGIES, "b8", "GS98", p)[[0, 2, 1]],
        rtol=0,
        atol=1e-13,
    )


def test_survival_falls_with_energy_and_with_density_at_birth() -> None:
    p = osc.oscillation("nufit60")
    energies = np.linspace(0.1, 18.0, 60)
    b8, hep = (osc.probabilities(energies, name, "GS98", p)[0] for name in ("b8", "hep"))
    assert np.all(np.diff(b8) < 0.0)
    assert np.all(b8 < hep)  # hep neutrinos are born farther out, in thinner matter


def test_the_blocks_of_energies_do_not_show() -> None:
    p = osc.oscillation("nufit60")
    energies = np.linspace(0.0, 18.0, 300)
    together = osc.probabilities(energies, "pep", "AGSS09met", p)
    for i in (0, 127, 128, 255, 256, 299):
        alone = osc.probabilities(energies[i], "pep", "AGSS09met", p)
        np.testing.assert_allclose(together[:, [i]], alone, rtol=0, atol=1e-14)
    assert osc.probabilities([], "pep", "GS98", p).shape == (3, 0)


@pytest.mark.parametrize("energy", [-1.0, [1.0, np.nan], [np.inf], [[1.0]]])
def test_energies_that_cannot_be_are_refused(energy: list[float] | float) -> None:
    with pytest.raises(SpecificationError, match=r"^energy: .* in MeV is needed"):
        osc.probabilities(energy, "b8", "GS98", osc.oscillation("nufit60"))


def test_misspelt_names_are_answered_with_a_suggestion() -> None:
    p = osc.oscillation("nufit60")
    with pytest.raises(UnknownNameError, match=r"unknown solar source 'b-8'; did you mean 'b8'\?"):
        osc.probabilities(1.0, "b-8", "GS98", p)
    with pytest.raises(UnknownNameError, match=r"unknown metallicity 'gs98'"):
        osc.probabilities(1.0, "b8", "gs98", p)
    with pytest.raises(UnknownNameError, match=r"^here: unknown oscillation preset 'nufit61'; did"):
        osc.oscillation("nufit61", "here")


def test_a_preset_is_parsed_by_its_name() -> None:
    for name in osc.presets():
        assert osc.parse(name) is osc.oscillation(name)


def test_parameters_override_the_default_preset() -> None:
    p = osc.parse("sin2_theta12=0.31, delta_cp=90")
    assert (p.sin2_theta12, p.delta_cp_deg) == (0.31, 90.0)
    assert p.dm21_ev2 == osc.oscillation(osc.DEFAULT_PRESET).dm21_ev2
    assert p.name == "nufit60,sin2_theta12=0.31,delta_cp_deg=90.0"


def test_parameters_override_a_named_preset_and_the_name_is_parsed_again() -> None:
    p = osc.parse("nufit40,dm31=-2.5e-3,sin2_theta23=0.42")
    assert p.dm31_ev2 == -2.5e-3
    assert p.sin2_theta13 == osc.oscillation("nufit40").sin2_theta13
    assert osc.parse(p.name) == p


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("delta_c=3", "unknown oscillation parameter 'delta_c'; did you mean 'delta_cp_deg'?"),
        ("nufit40,90", "given '90'; after the first comma only key=value is allowed"),
        ("delta_cp=x", "delta_cp_deg: given 'x'; a number is needed; correct it"),
        ("delta_cp=nan", "delta_cp_deg: given nan; "),
        ("delta_cp=1,delta_cp_deg=2", "'delta_cp_deg' is given twice; keep one"),
        ("sin2_theta12=1.2", "sin2_theta12: given 1.2; a number of at most 1 is needed"),
        ("dm31=1e-6", "dm31_ev2 1e-06 must exceed dm21_ev2 7.49e-05 in size; correct one of them"),
        ("", "unknown oscillation preset ''"),
    ],
)
def test_a_line_that_is_not_allowed_is_refused_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        osc.parse(text, "--oscillation")
    assert str(caught.value).startswith("--oscillation: ")
    assert message in str(caught.value)


def test_own_values_are_validated() -> None:
    own = {key: getattr(osc.oscillation("nufit60"), key) for key in osc.PARAMETERS}
    assert validate(osc.Oscillation, own, "here").name == "custom"
    misspelt = r"^here: dm21_ev: unknown key; did you mean 'dm21_ev2'\?"
    with pytest.raises(SpecificationError, match=misspelt):
        validate(osc.Oscillation, own | {"dm21_ev": 7e-5}, "here")
    with pytest.raises(SpecificationError, match=r"^here: sin2_theta13: this key is missing"):
        validate(osc.Oscillation, {k: v for k, v in own.items() if k != "sin2_theta13"}, "here")


def test_data_files_are_shipped() -> None:
    assert osc.data_files() == ("oscillation.toml",)
