"""Isotopes and bound electrons."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lmltgrid import datafiles
from lmltgrid.errors import SpecificationError, UnknownNameError
from lmltgrid.spec import Atomic
from lmltgrid.tables import nuclei
from lmltgrid.units import ATOMIC_MASS_UNIT, AVOGADRO, M_ELECTRON

Array = NDArray[np.float64]

# CIAAW standard atomic weights and number of stable (or long-lived) isotopes
WEIGHTS = {"Si": (28.085, 3), "Ar": (39.95, 3), "Ge": (72.630, 5), "Xe": (131.293, 9)}


@pytest.mark.golden
@pytest.mark.parametrize("element", WEIGHTS)
def test_the_mean_of_the_isotopes_is_the_standard_atomic_weight(element: str) -> None:
    target = nuclei.target(element)
    weight, number = WEIGHTS[element]
    assert target.a.size == number
    assert target.abundance.sum() == pytest.approx(1.0, abs=1e-15)
    atomic = (target.nuclear_mass + target.z * M_ELECTRON) / ATOMIC_MASS_UNIT
    mean = float(target.abundance @ atomic)
    # CIAAW's last digit, one unit in which abundances vary too
    assert mean == pytest.approx(weight, abs={"Ar": 0.01, "Ge": 0.008}.get(element, 0.001))
    assert target.atoms_per_tonne == pytest.approx(1e6 * AVOGADRO / mean, rel=1e-8)


@pytest.mark.parametrize("element", WEIGHTS)
def test_masses_are_near_their_mass_numbers(element: str) -> None:
    target = nuclei.target(element)
    # binding: the mass excess of these nuclei is below 0.1 %, electrons 0.3 per mille more
    np.testing.assert_allclose(target.nuclear_mass / (target.a * ATOMIC_MASS_UNIT), 1.0, atol=2e-3)
    assert np.all(target.nuclear_mass < target.a * ATOMIC_MASS_UNIT)
    assert np.all(np.diff(target.a) > 0)
    np.testing.assert_array_equal(target.neutrons, target.a - target.z)


@pytest.mark.golden
def test_isotopes_with_spin_are_those_of_lx22() -> None:
    """LX22 section 3.2: 129Xe and 131Xe of xenon, 73Ge, 29Si, none of argon; one neutron each."""
    found = {(e, a): s for e in WEIGHTS for a, s in zip(*spins(e), strict=True) if s != 0.0}
    assert found == {("Si", 29): 1.0, ("Ge", 73): 1.0, ("Xe", 129): 1.0, ("Xe", 131): 1.0}
    # their abundances, to the two digits that are printed
    printed = {("Xe", 131): 0.21, ("Xe", 129): 0.26, ("Ge", 73): 0.077, ("Si", 29): 0.046}
    for (element, a), share in printed.items():
        target = nuclei.target(element)
        (abundance,) = target.abundance[target.a == a]
        assert abundance == pytest.approx(share, abs={"Xe": 0.005}.get(element, 0.001))


@pytest.mark.parametrize("element", WEIGHTS)
def test_only_odd_mass_numbers_have_unpaired_nucleons(element: str) -> None:
    mass_number, spin = spins(element)
    np.testing.assert_array_equal(spin != 0.0, mass_number % 2 == 1)


def spins(element: str) -> tuple[Array, Array]:
    target = nuclei.target(element)
    assert target.spin.shape == target.a.shape
    return target.a, target.spin


def test_free_electrons_are_all_there() -> None:
    for element, z in (("Xe", 54.0), ("Ar", 18.0)):
        factor = nuclei.atomic_factor(element, "free")
        np.testing.assert_array_equal(factor(np.array([1e-6, 1.0, 1e3])), z)
        assert factor.edges.size == 0


def test_electrons_are_freed_shell_by_shell() -> None:
    factor = nuclei.atomic_factor("Xe", "step")
    # at its binding energy a shell counts
    energy = np.array([0.001, 0.012, 0.0134, 0.7, 4.8, 4.8356, 34.758, 34.759, 1e3])
    np.testing.assert_array_equal(factor(energy), [0, 4, 6, 32, 44, 48, 52, 54, 54])
    assert np.all(np.diff(factor(np.geomspace(1e-3, 100.0, 500))) >= 0.0)


def test_shells_hold_54_electrons_in_order() -> None:
    shells = datafiles.read_table(nuclei.SHELL_FILES["Xe"], ("binding_energy_kev", "electrons"))
    assert shells["electrons"].sum() == 54
    assert np.all(np.diff(shells["binding_energy_kev"]) > 0)


def test_the_random_phase_correction_reduces_the_rate_on_its_range() -> None:
    step, both = (nuclei.atomic_factor("Xe", a) for a in ("step", "step+rrpa"))
    inside = np.geomspace(0.2501, 28.39, 300)
    ratio = both(inside) / step(inside)
    # Chen et al.: 0.69 to 0.89
    assert np.all((ratio > 0.68) & (ratio < 0.90))
    outside = np.array([0.1, 0.2499, 28.41, 100.0])
    np.testing.assert_array_equal(both(outside), step(outside))
    for edge in (0.25, 28.4, 4.8356, 0.012):
        assert edge in both.edges


@pytest.mark.parametrize("atomic", ["step", "step+rrpa"])
def test_untabulated_shells_are_refused(atomic: Atomic) -> None:
    with pytest.raises(SpecificationError) as caught:
        nuclei.atomic_factor("Si", atomic)
    assert str(caught.value) == (
        f"atomic: {atomic!r} is given for Si; bound electrons are tabulated for Ar, Ge, Xe; "
        "use 'free'"
    )


@pytest.mark.parametrize(("element", "electrons"), [("Ar", 18.0), ("Ge", 32.0)])
def test_without_a_calculation_the_step_function_stays(element: str, electrons: float) -> None:
    energy = np.geomspace(1e-3, 100.0, 50)
    step = nuclei.atomic_factor(element, "step")(energy)
    np.testing.assert_array_equal(nuclei.atomic_factor(element, "step+rrpa")(energy), step)
    assert step[-1] == electrons


def test_unknown_targets_are_answered_with_a_suggestion() -> None:
    message = (
        r"^here: unknown target 'Xeon'; did you mean 'Xe'\? "
        r"Known: Ar, C, C3F8, CS2, Cs, CsI, F, Ge, I, S, Si, Xe, pseudocumene\.$"
    )
    with pytest.raises(UnknownNameError, match=message):
        nuclei.target("Xeon", where="here")


def test_data_files_name_what_decides_the_numbers() -> None:
    assert nuclei.data_files("Xe", None) == (nuclei.ISOTOPES_FILE,)
    assert nuclei.data_files("Xe", "free") == (nuclei.ISOTOPES_FILE,)
    assert len(nuclei.data_files("Xe", "step")) == 2
    assert len(nuclei.data_files("Xe", "step+rrpa")) == 3
    for name in nuclei.data_files("Xe", "step+rrpa"):
        assert name in datafiles.manifest()
