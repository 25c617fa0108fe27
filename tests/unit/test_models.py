"""The catalog of mediators: charges, mixing, anomalies, and what is refused."""

from __future__ import annotations

import json
from fractions import Fraction
from math import log, pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmltgrid.errors import LmltgridError, SpecificationError, UnknownNameError
from lmltgrid.spec import ModelSpec, validate
from lmltgrid.tables import models
from lmltgrid.units import E_CHARGE, M_MUON, M_TAU

THIRD = 1.0 / 3.0

# AC22 Table 1 and P21 section 2: Q_u, Q_d, Q_e, Q_mu, Q_tau, and whether anomalies cancel
CATALOG = {
    "universal": ((1, 1, 1, 1, 1), False),
    "B-L": ((THIRD, THIRD, -1, -1, -1), True),
    "B-3Le": ((THIRD, THIRD, -3, 0, 0), True),
    "B-3Lmu": ((THIRD, THIRD, 0, -3, 0), True),
    "B-2Le-Lmu": ((THIRD, THIRD, -2, -1, 0), True),
    "B-Le-2Lmu": ((THIRD, THIRD, -1, -2, 0), True),
    "By+Lmu+Ltau": ((THIRD, THIRD, 0, 1, 1), True),
    "Le-Lmu": ((0, 0, 1, -1, 0), True),
    "Le-Ltau": ((0, 0, 1, 0, -1), True),
    "Lmu-Ltau": ((0, 0, 0, 1, -1), True),
    "Lmu-Ltau-unsplit": ((0, 0, 0, 1, -1), False),
    "Lmu": ((0, 0, 0, 1, 0), False),
}

# kind, and coupling of a nucleon over that of a quark: AC22 eq. 3.31, LX22 eqs 2.10 and 2.14
UNSPLIT = "Lmu-Ltau-unsplit"  # LX22 eq. 2.15: the interference of nu_mu for the whole flux
UNIVERSAL = {"scalar": ("scalar", 17.3), "scalar-lx22": ("scalar", 17.7), "axial": ("axial", 0.3)}


def spec(**content: object) -> ModelSpec:
    return validate(ModelSpec, {"name": "mine"} | content, "here")


@pytest.mark.golden
@pytest.mark.parametrize("name", CATALOG)
def test_charges_are_those_of_the_papers(name: str) -> None:
    model = models.find(name)
    charges, anomaly_free = CATALOG[name]
    assert model.charges == pytest.approx(charges, abs=1e-15)
    assert model.anomaly_free is anomaly_free
    assert model.charge("u") == model.charges[0]
    assert model.charge("tau") == model.charges[4]
    own = [1.0, 1.0, 1.0] if name == UNSPLIT else list(model.charges[2:])
    assert model.neutrino_charges.tolist() == own
    assert model.title


def test_the_catalog_holds_nothing_else() -> None:
    assert set(models.catalog()) == set(CATALOG) | set(UNIVERSAL)


@pytest.mark.golden
def test_kinds_and_strengths_are_those_of_the_papers() -> None:
    for name in CATALOG:
        assert (models.find(name).kind, models.find(name).strength) == ("vector", 0.0)
    for name, expected in UNIVERSAL.items():
        model = models.find(name)
        assert (model.kind, model.strength) == expected
        # no vector charge, no mixing: what vectors feel is not what these are
        assert model.charges == (0.0, 0.0, 0.0, 0.0, 0.0)
        assert (model.mixing, model.mixing_name) == (0.0, "none")
        assert not model.anomaly_free
        assert model.title


def test_leptonic_models_mix_through_the_loop_and_the_others_do_not() -> None:
    for name, model in models.catalog().items():
        if name in UNIVERSAL:
            continue
        leptonic = name in ("Le-Lmu", "Le-Ltau", "Lmu-Ltau", UNSPLIT)
        assert model.mixing == ("loop" if leptonic else -1.0 / 70.0 if name == "Lmu" else 0.0)
    assert models.find("Lmu").mixing_name == "amaral2021"


@pytest.mark.golden
def test_benchmarks_are_those_of_p21_table_1() -> None:
    points = {name: (b.mass, b.coupling) for name, b in models.benchmarks().items()}
    assert points == {
        "BP1": (15.0, 5e-4),
        "BP2": (25.0, 6e-4),
        "BP3": (50.0, 6e-4),
        "BP4": (100.0, 1e-3),
    }


def test_presets_of_the_mixing() -> None:
    """P21 section 2: eps = -g/70; P20 eqs 7-8: e g/(4 pi^2) ln(m_mu/m_tau)."""
    assert models.find("Lmu-Ltau", "amaral2021").mixing == -1.0 / 70.0
    printed = E_CHARGE / (4.0 * pi**2) * log(M_MUON / M_TAU)
    assert models.find("Lmu-Ltau", "amaral2020").mixing == pytest.approx(printed, rel=1e-15)
    assert models.find("Lmu-Ltau", -0.1).mixing == -0.1
    assert models.find("Lmu-Ltau", -0.1).mixing_name == "-0.1"
    assert models.find("Lmu-Ltau", "amaral2020").mixing_name == "amaral2020"


def test_a_mixing_replaces_that_of_the_catalog_alone() -> None:
    plain, mixed = models.find("B-L"), models.find("B-L", 0.01)
    assert (mixed.charges, mixed.title, mixed.anomaly_free) == (
        plain.charges,
        plain.title,
        plain.anomaly_free,
    )
    # its file says that heavier generations cancel the anomaly; a mixing does not change that
    assert models.find("By+Lmu+Ltau", 0.01).anomaly_free


@given(
    quark=st.fractions(-2, 2, max_denominator=12),
    e=st.fractions(-3, 3, max_denominator=12),
    mu=st.fractions(-3, 3, max_denominator=12),
)
def test_anomalies_cancel_when_quarks_and_leptons_do(
    quark: Fraction, e: Fraction, mu: Fraction
) -> None:
    """AC22 eq. 3.11: 9 Q_q + Q_e + Q_mu + Q_tau = 0."""
    tau = -9 * quark - e - mu
    charges = (float(quark), float(quark), float(e), float(mu), float(tau))
    assert models.cancels_anomalies(charges)
    assert not models.cancels_anomalies((*charges[:4], charges[4] + 0.1))
    assert not models.cancels_anomalies((charges[0] + 0.1, *charges[1:]))


def test_charges_may_be_written_as_fractions() -> None:
    model = models.build("x", "", {"u": "1/3", "d": "1/3", "e": -1}, 0.0)
    assert model.charges == (THIRD, THIRD, -1.0, 0.0, 0.0)
    assert not model.anomaly_free


def test_a_model_is_plain_data_for_output() -> None:
    plain = models.find("Lmu-Ltau").as_dict()
    assert plain["eps_over_g"] is None
    assert plain["mixing"] == "loop"
    assert json.loads(json.dumps(plain)) == plain
    assert models.find("Lmu").as_dict()["eps_over_g"] == -1.0 / 70.0


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("mixing", [None, "amaral2021", 0.25])
def test_a_model_is_read_back_from_plain_data(name: str, mixing: str | float | None) -> None:
    model = models.find(name, mixing)
    assert models.from_dict(json.loads(json.dumps(model.as_dict()))) == model


@pytest.mark.parametrize("name", UNIVERSAL)
def test_a_universal_model_is_read_back_from_plain_data(name: str) -> None:
    model = models.find(name)
    plain = model.as_dict()
    assert (plain["kind"], plain["strength"]) == UNIVERSAL[name]
    assert models.from_dict(json.loads(json.dumps(plain))) == model
    mine = models.from_spec(spec(base=name), None, "here")
    assert mine.name == "mine"
    assert models.from_dict(json.loads(json.dumps(mine.as_dict()))) == mine
    assert (mine.kind, mine.strength) == UNIVERSAL[name]


@pytest.mark.parametrize("name", UNIVERSAL)
@pytest.mark.parametrize("mixing", ["loop", "amaral2021", 0.0, -0.1])
def test_a_mixing_is_refused_for_what_does_not_mix(name: str, mixing: str | float) -> None:
    message = (
        rf"^scan\.toml: a mixing is given for {name}; only a vector mediator mixes with the "
        r"photon; leave the mixing out$"
    )
    with pytest.raises(SpecificationError, match=message):
        models.find(name, mixing, "scan.toml")
    with pytest.raises(SpecificationError, match=message):
        models.from_spec(spec(base=name, mixing=mixing), None, "scan.toml")
    with pytest.raises(SpecificationError, match=message):
        models.parse(name, mixing, "scan.toml")


@pytest.mark.parametrize("mixing", [None, "amaral2021"])
def test_neutrinos_keep_their_own_charges_everywhere(mixing: str | None) -> None:
    """Another mixing, another name, and plain data there and back."""
    for model in (
        models.find(UNSPLIT, mixing),
        models.from_spec(spec(base=UNSPLIT, mixing=mixing), None, "here"),
        models.parse(UNSPLIT, mixing),
    ):
        plain = model.as_dict()
        assert plain["neutrinos"] == {"e": 1.0, "mu": 1.0, "tau": 1.0}
        assert models.from_dict(json.loads(json.dumps(plain))) == model
        assert model.neutrino_charges.tolist() == [1.0, 1.0, 1.0]
        assert model.charges == models.find("Lmu-Ltau").charges
        assert not model.anomaly_free


def test_plain_data_without_charges_of_neutrinos_is_as_it_was() -> None:
    """The identity of a scan is made of it, and stores of before have none."""
    plain = models.find("Lmu-Ltau").as_dict()
    assert list(plain) == [
        *("name", "title", "charges", "mixing", "eps_over_g", "anomaly_free", "kind", "strength")
    ]
    assert models.from_dict(plain).neutrinos is None


def test_a_user_may_change_the_mixing_of_a_catalog_model() -> None:
    model = models.from_spec(spec(base="Lmu-Ltau", mixing="amaral2021"), None, "here")
    assert model.name == "mine"
    assert model.charges == models.find("Lmu-Ltau").charges
    assert model.mixing == -1.0 / 70.0


def test_the_mixing_of_the_model_goes_before_that_of_the_scan() -> None:
    own = spec(base="Lmu-Ltau", mixing=0.3)
    assert models.from_spec(own, "amaral2021", "here").mixing == 0.3
    assert models.from_spec(spec(base="Lmu-Ltau"), "amaral2021", "here").mixing == -1.0 / 70.0


@pytest.mark.parametrize(
    ("charges", "mixing"),
    [
        ({"mu": 1, "tau": -1}, "loop"),
        ({"e": 2, "mu": -1, "tau": -1}, "loop"),
        ({"mu": 1}, 0.0),
        ({"u": 1, "d": 1, "mu": 1, "tau": -1}, 0.0),
    ],
)
def test_charges_of_a_user_mix_through_the_loop_where_it_is_finite(
    charges: dict[str, float], mixing: str | float
) -> None:
    assert models.from_spec(spec(charges=charges), None, "here").mixing == mixing


@pytest.mark.parametrize("name", ["B-L", "Lmu", "universal"])
def test_the_loop_is_refused_where_it_is_not_finite(name: str) -> None:
    message = (
        rf"^scan\.toml: mixing 'loop' is given for {name}; it is defined for purely leptonic "
        r"charges that sum to zero; give eps/g as a number$"
    )
    with pytest.raises(SpecificationError, match=message):
        models.find(name, "loop", "scan.toml")


def test_unknown_models_are_answered_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"^here: unknown model 'Lmu_Ltau'; did you mean"):
        models.find("Lmu_Ltau", where="here")
    with pytest.raises(UnknownNameError, match=r"^scan: unknown model 'nothing'\. Known: B-2Le"):
        models.from_spec(spec(base="nothing"), None, "scan")


@pytest.mark.parametrize("mixing", ["amaral2022", "", float("nan"), float("inf")])
def test_a_mixing_that_is_neither_a_preset_nor_a_number_is_refused(mixing: str | float) -> None:
    with pytest.raises(LmltgridError, match="mixing"):
        models.find("Lmu-Ltau", mixing)


def test_neutrino_charges_are_an_array() -> None:
    np.testing.assert_array_equal(models.find("Lmu-Ltau").neutrino_charges, [0.0, 1.0, -1.0])
