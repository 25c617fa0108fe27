"""The catalog of vector mediators: charges, mixing with the photon, anomaly check, benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import isfinite, log, pi
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lmltgrid.datafiles import read_toml
from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.registry import Registry
from lmltgrid.spec import Charges, ModelSpec, validate
from lmltgrid.units import E_CHARGE, M_MUON, M_TAU

MODELS_FILE: Final = "models.toml"
FERMIONS: Final = ("u", "d", "e", "mu", "tau")

# eps/g of the presets. The papers disagree, so each keeps its own.
AMARAL_2021: Final = -1.0 / 70.0  # P21 section 2
AMARAL_2020: Final = E_CHARGE / (4.0 * pi**2) * log(M_MUON / M_TAU)  # P20 eqs 7-8, as printed
MIXING_PRESETS: Final = {"amaral2021": AMARAL_2021, "amaral2020": AMARAL_2020}


@dataclass(frozen=True)
class Model:
    """A mediator: vector with its charges and its mixing, or universal scalar or axial.

    Attributes
    ----------
    name, title
        Catalog name, and what it stands for.
    charges
        Q_u, Q_d, Q_e, Q_mu, Q_tau.
    mixing
        ``"loop"``, or the number eps/g.
    mixing_name
        The preset that the number came from, or the number as text; for output.
    anomaly_free
        Whether the gauge anomalies cancel with three right-handed neutrinos.
    kind
        "vector", or "scalar" or "axial" with universal couplings.
    strength
        Coupling of a nucleon over that of a quark, for a scalar or axial mediator.
    neutrinos
        Charges of nu_e, nu_mu, nu_tau where they are not those of the charged leptons, as no gauge
        symmetry would have them.
    """

    name: str
    title: str
    charges: tuple[float, float, float, float, float]
    mixing: str | float
    mixing_name: str
    anomaly_free: bool
    kind: str = "vector"
    strength: float = 0.0
    neutrinos: tuple[float, float, float] | None = None

    def charge(self, fermion: str) -> float:
        """Return the charge of one of u, d, e, mu, tau."""
        return self.charges[FERMIONS.index(fermion)]

    @property
    def neutrino_charges(self) -> NDArray[np.float64]:
        """Charges of nu_e, nu_mu, nu_tau, shape (3,)."""
        return np.array(self.charges[2:] if self.neutrinos is None else self.neutrinos)

    def as_dict(self) -> dict[str, Any]:
        """Return the model as plain data, for output and for a scan's identity.

        ``neutrinos`` is there only where neutrinos have charges of their own.
        """
        own: dict[str, Any] = {}
        if self.neutrinos is not None:
            own["neutrinos"] = dict(zip(FERMIONS[2:], self.neutrinos, strict=True))
        return {
            "name": self.name,
            "title": self.title,
            "charges": dict(zip(FERMIONS, self.charges, strict=True)),
            "mixing": self.mixing_name,
            "eps_over_g": None if self.mixing == "loop" else self.mixing,
            "anomaly_free": self.anomaly_free,
            "kind": self.kind,
            "strength": self.strength,
            **own,
        }


@dataclass(frozen=True)
class Benchmark:
    """A point of P21 Table 1: mediator mass in MeV, and coupling."""

    name: str
    mass: float
    coupling: float


@lru_cache(maxsize=1)
def catalog() -> Registry[Model]:
    """Return the shipped models by name."""
    return Registry(
        "model",
        {name: _shipped(name, entry) for name, entry in read_toml(MODELS_FILE)["model"].items()},
    )


def _shipped(name: str, entry: dict[str, Any]) -> Model:
    if "kind" in entry:
        nothing = (0.0, 0.0, 0.0, 0.0, 0.0)
        kind, strength = entry["kind"], entry["strength"]
        return Model(name, entry["title"], nothing, 0.0, "none", False, kind, strength)
    return build(name, **entry)


@lru_cache(maxsize=1)
def benchmarks() -> Registry[Benchmark]:
    """Return the benchmark points of P21 Table 1 by name."""
    entries = read_toml(MODELS_FILE)["benchmark"]
    return Registry("benchmark", {name: Benchmark(name, **e) for name, e in entries.items()})


def build(
    name: str,
    title: str,
    charges: Mapping[str, Any],
    mixing: str | float,
    *,
    neutrinos: Mapping[str, Any] | None = None,
    anomaly_free: bool | None = None,
    where: str = "model",
) -> Model:
    """Return a model after checking that its mixing makes sense for its charges.

    ``neutrinos`` are their charges by flavor, e, mu, tau, where they are not those of ``charges``.
    ``anomaly_free`` is derived from the charges unless it is given.

    Raises
    ------
    SpecificationError
        The loop mixing was asked for charges for which it is not defined.
    """
    values = [float(Fraction(charges.get(fermion, 0))) for fermion in FERMIONS]
    if mixing == "loop" and (values[0] or values[1] or abs(sum(values[2:])) > 1e-12):
        raise SpecificationError(
            f"{where}: mixing 'loop' is given for {name}; it is defined for purely leptonic "
            f"charges that sum to zero; give eps/g as a number"
        )
    number = mixing if mixing == "loop" else eps_over_g(mixing, where)
    q_u, q_d, q_e, q_mu, q_tau = values
    all_charges = (q_u, q_d, q_e, q_mu, q_tau)
    if anomaly_free is None:
        anomaly_free = cancels_anomalies(all_charges)
    own = None
    if neutrinos is not None:
        nu_e, nu_mu, nu_tau = (float(Fraction(neutrinos.get(f, 0))) for f in FERMIONS[2:])
        own = (nu_e, nu_mu, nu_tau)
    return Model(name, title, all_charges, number, str(mixing), anomaly_free, neutrinos=own)


def from_dict(content: Mapping[str, Any]) -> Model:
    """Return the model that `Model.as_dict` wrote."""
    if content["kind"] != "vector":
        return _shipped(content["name"], dict(content))
    mixing = content["mixing"] if content["eps_over_g"] is None else content["eps_over_g"]
    own = content.get("neutrinos")
    model = build(content["name"], content["title"], content["charges"], mixing, neutrinos=own)
    return replace(model, mixing_name=content["mixing"], anomaly_free=bool(content["anomaly_free"]))


def cancels_anomalies(charges: tuple[float, float, float, float, float]) -> bool:
    """Whether vector charges cancel the gauge anomalies (AC22 eq. 3.11).

    With the same quark charges in every generation and three right-handed neutrinos, what is left
    is 3 c_B - c_e - c_mu - c_tau = 0, that is 9 Q_q + Q_e + Q_mu + Q_tau = 0 with Q_q = Q_u = Q_d.
    """
    q_u, q_d, *leptons = charges
    return q_u == q_d and abs(9.0 * q_u + sum(leptons)) < 1e-12


def eps_over_g(mixing: str | float, where: str) -> float:
    """Return the number that a preset or a text stands for.

    Raises
    ------
    UnknownNameError
        It is neither a preset nor a number.
    SpecificationError
        It is not finite.
    """
    if mixing in MIXING_PRESETS:
        return MIXING_PRESETS[str(mixing)]
    try:
        value = float(mixing)
    except ValueError:
        known = ("loop", *MIXING_PRESETS, "a number eps/g")
        raise unknown_name("mixing", str(mixing), known, f"{where}: mixing") from None
    if not isfinite(value):
        raise SpecificationError(
            f"{where}: mixing {mixing} is given; eps/g must be finite; correct it"
        )
    return value


def find(name: str, mixing: str | float | None = None, where: str = "model") -> Model:
    """Return a catalog model, with another mixing if one is given.

    Raises
    ------
    UnknownNameError
        The catalog has no such model.
    SpecificationError
        The mixing does not fit the charges.
    """
    model = catalog().find(name, where)
    if mixing is None:
        return model
    if model.kind != "vector":
        raise SpecificationError(
            f"{where}: a mixing is given for {name}; only a vector mediator mixes with the photon; "
            "leave the mixing out"
        )
    mixed = build(name, model.title, model.as_dict()["charges"], mixing, where=where)
    return replace(mixed, anomaly_free=model.anomaly_free, neutrinos=model.neutrinos)


def parse(text: str, mixing: str | float | None = None, where: str = "model") -> Model:
    """Return a catalog model by its name, or one of a user's charges, as ``e=1,mu=-2,tau=1``.

    Raises
    ------
    UnknownNameError
        The catalog has no such model.
    SpecificationError
        A charge is not a number or given twice, or the mixing does not fit the charges.
    """
    if "=" not in text:
        return find(text, mixing, where)
    charges = validate(Charges, written_charges(text, where), where)
    return _of_charges(text.replace(" ", ""), charges, mixing, where)


def written_charges(text: str, where: str = "model") -> dict[str, str]:
    """Return the charges of ``e=1,mu=-2,tau=1`` by fermion, as text and unchecked.

    Raises
    ------
    SpecificationError
        A charge is given twice.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    keys = [key.strip() for key, _, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise SpecificationError(
            f"{where}: {text!r} gives the charge of {twice!r} twice; each fermion has one; keep one"
        )
    return {key: value.strip() for key, (_, _, value) in zip(keys, pairs, strict=True)}


def from_spec(spec: ModelSpec, mixing: str | float | None, where: str) -> Model:
    """Return the model of a ``[[model]]`` table; ``mixing`` is the scan's, its own goes first."""
    chosen = spec.mixing if spec.mixing is not None else mixing
    if spec.charges is None:
        base = find(str(spec.base), chosen, where)
        return replace(base, name=spec.name)
    return _of_charges(spec.name, spec.charges, chosen, where)


def _of_charges(name: str, charges: Charges, mixing: str | float | None, where: str) -> Model:
    """Return a user's model; its mixing is the loop where that is defined, else none."""
    values = charges.model_dump()
    if mixing is None:
        leptonic = not values["u"] and not values["d"]
        neutral = abs(values["e"] + values["mu"] + values["tau"]) < 1e-12
        mixing = "loop" if leptonic and neutral else 0.0
    return build(name, "user charges", values, mixing, where=where)
