"""Li and Xia 2022 (arXiv:2201.05015)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np

from lmltgrid.analysis.limits import as_lists, limits
from lmltgrid.analysis.points import muon_band
from lmltgrid.analysis.reproduce.claims import Claim, Statement, ascending
from lmltgrid.analysis.setup import conventions, find_experiment, rates

SETTINGS: Final[dict[str, Any]] = {"couplings": "low-energy", "metallicity": "GS98"}
ELEMENTS: Final = {"ge": "germanium", "si": "silicon", "ar": "argon", "xe": "xenon"}
GENERATIONS: Final = ("gen2", "future")
THRESHOLDS: Final = ("nominal", "optimal")
SPLIT: Final = {"unsplit": "Lmu-Ltau-unsplit", "split by flavor": "Lmu-Ltau"}
WINDOW: Final = (5.0, 200.0)  # MeV, in which (g-2)_mu is open, section 3.3
BORON: Final = "xenon1t-8b"
CLAIMED: Final = 100.0  # MeV, to which it is covered


def claims() -> Iterator[Claim | Statement]:
    """Return what can be computed with what is shipped."""
    yield from _counts()
    for model in ("scalar-lx22", "universal", "axial"):
        for element in ("ge", "si", "xe", "ar"):
            name = f"lx22-{element}-gen2-nominal"
            if (model, element) == ("axial", "ar"):
                continue
            options = SETTINGS | {"model": model}
            yield Claim(
                "LX22",
                f"90 % limit on g at 1 MeV, {model}, {name}",
                "Fig. 4",
                None,
                partial(_lowest, name, 1.0, **options),
                settings=options,
            )
    yield from _ordering()
    yield _blind_argon()
    yield from _muon()
    yield from _boron()


def _counts() -> Iterator[Claim]:
    for experiment, words in (
        ("lx22-xe-gen2-optimal", "xenon above 1 keV"),
        ("lx22-xe-gen2-nominal", "xenon above 3.5 keV"),
        ("lx22-ar-gen2-optimal", "argon above 1 keV"),
        ("lx22-ge-gen2-optimal", "germanium above 0.04 keV"),
        ("lx22-si-gen2-optimal", "silicon above 0.04 keV"),
    ):
        yield Claim(
            "LX22",
            f"solar nuclear recoils per tonne year, {words}",
            "Fig. 3",
            None,
            partial(_standard_model, experiment),
            "1/(t yr)",
            settings=SETTINGS,
        )


def _standard_model(experiment: str) -> float:
    setting = conventions("universal", **SETTINGS)
    found = rates(find_experiment(experiment), setting, np.array([1.0]), None)
    return float(found.coefficients[0, :, 0, 0].sum())


def _lowest(experiment: str, mass: float, **options: Any) -> float:
    return float(limits(experiment, mass=[mass], **options)["low"][0, 0])


@lru_cache(maxsize=64)
def muon_reach(model: str, experiment: str) -> float:
    """Return up to which mass the coupling that explains (g-2)_mu is excluded, MeV.

    Of the central coupling of 251(59)e-11, from 5 MeV on, in steps of 5 MeV; 0 where it is not
    excluded at 5 MeV.
    """
    masses = np.arange(WINDOW[0], WINDOW[1] + 1.0, 5.0)
    found = as_lists(limits(experiment, mass=masses, model=model, **SETTINGS))
    center = muon_band(masses)[1]
    for i, pairs in enumerate(found):
        if not any(a < center[i] and (b is None or center[i] < b) for a, b in pairs):
            return float(masses[i - 1]) if i else 0.0
    return float(masses[-1])


def _reaches(model: str, element: str, generation: str) -> dict[str, float]:
    return {kind: muon_reach(model, f"lx22-{element}-{generation}-{kind}") for kind in THRESHOLDS}


def _muon() -> Iterator[Statement]:
    for words, model in SPLIT.items():
        settings = SETTINGS | {"model": model}
        yield Statement(
            "LX22",
            f"scenarios that exclude the center of (g-2)_mu up to 100 MeV, {words}",
            "abstract, sec. 3.3, Fig. 5",
            "most scenarios of Table 1 cover the (g-2)_mu region below 100 MeV",
            partial(_covering, model),
            lambda numbers: 2.0 * numbers["covering"] > numbers["scenarios"],
            settings=settings,
            note="eq. 2.15 has one interference for all flavors; split by flavor, that of nu_tau "
            "cancels most of it"
            if model == "Lmu-Ltau"
            else "",
        )
    for element, name in ELEMENTS.items():
        for generation in GENERATIONS:
            yield _muon_of(element, name, generation)


def _covering(model: str) -> dict[str, float]:
    every = [
        reach
        for element in ELEMENTS
        for generation in GENERATIONS
        for reach in _reaches(model, element, generation).values()
    ]
    return {"covering": float(sum(r >= CLAIMED for r in every)), "scenarios": float(len(every))}


def _muon_of(element: str, name: str, generation: str) -> Statement:
    xenon, solid = element == "xe", element in ("ge", "si")
    words = "covers the (g-2)_mu region below 100 MeV"
    if xenon:
        words = "reaches the (g-2)_mu region with the optimal threshold, not with the nominal one"
    note = "half of what is claimed with 0.2 tonne years; with ten times as much it is reached"
    return Statement(
        "LX22",
        f"mass up to which {name}, {generation}, excludes the center of (g-2)_mu, unsplit",
        "sec. 3.3, Fig. 5",
        words,
        partial(_reaches, SPLIT["unsplit"], element, generation),
        _only_optimal if xenon else _both,
        "MeV",
        settings=SETTINGS | {"model": SPLIT["unsplit"]},
        note=note if solid and generation == "gen2" else "",
    )


def _both(numbers: dict[str, float]) -> bool:
    return min(numbers.values()) >= CLAIMED


def _only_optimal(numbers: dict[str, float]) -> bool:
    return numbers["nominal"] == 0.0 and numbers["optimal"] >= CLAIMED


def _ordering() -> Iterator[Statement]:
    for generation in GENERATIONS:
        yield _order(
            "scalar-lx22",
            f"{generation}-nominal",
            1.0,
            "solid detectors are generally more stringent than liquid ones",
            lambda numbers: max(numbers["ge"], numbers["si"]) < min(numbers["xe"], numbers["ar"]),
            "" if generation == "gen2" else "germanium is 3 % behind argon, silicon is the best",
        )
    for mass in (1.0, 1000.0):
        yield _order(
            "axial",
            "gen2-optimal",
            mass,
            "xenon gives better constraints than other nuclei",
            lambda numbers: min(numbers, key=lambda name: numbers[name]) == "xe",
            "holds above the momentum transfer; below it recoils under 1 keV decide, which only "
            "the solids see",
        )


def _order(
    model: str,
    kind: str,
    mass: float,
    words: str,
    holds: Callable[[dict[str, float]], bool],
    note: str,
) -> Statement:
    settings = SETTINGS | {"model": model}
    seeing = [element for element in ELEMENTS if (model, element) != ("axial", "ar")]
    return Statement(
        "LX22",
        f"90 % limits at {mass:g} MeV side by side, {model}, {kind}",
        "sec. 3.2, Fig. 4",
        words,
        lambda: {e: _lowest(f"lx22-{e}-{kind}", mass, **settings) for e in seeing},
        holds,
        settings=settings,
        note=note,
    )


def _blind_argon() -> Statement:
    name = "lx22-ar-future-optimal"
    settings = SETTINGS | {"model": "axial"}
    return Statement(
        "LX22",
        f"couplings of an axial mediator that {name} excludes",
        "sec. 3.2, Fig. 4",
        "argon cannot give any constraint",
        lambda: {"intervals": limits(name, mass=[1.0], **settings).sizes["interval"]},
        lambda numbers: numbers["intervals"] == 0.0,
        settings=settings,
    )


def _boron() -> Iterator[Claim | Statement]:
    caution = find_experiment(BORON).spec.caution
    for model, mass, place in (
        ("scalar-lx22", 1.0, "Fig. 4"),
        ("universal", 1.0, "Fig. 4"),
        ("axial", 1.0, "Fig. 4"),
        (SPLIT["unsplit"], 15.0, "Fig. 5"),
        (SPLIT["split by flavor"], 15.0, "Fig. 5"),
    ):
        settings = SETTINGS | {"model": model}
        yield Claim(
            "LX22",
            f"XENON1T 8B bound on g at {mass:g} MeV, {model}",
            f"eq. 2.19, {place}",
            None,
            partial(_lowest, BORON, mass, **settings),
            settings=settings,
            note=caution,
        )
    scalar = SETTINGS | {"model": "scalar-lx22"}
    band = ("lx22-xe-gen2-optimal", BORON, "lx22-xe-gen2-nominal")
    yield Statement(
        "LX22",
        "XENON1T 8B bound on a scalar at 1 MeV beside future xenon",
        "sec. 3.2, Fig. 4",
        "within the threshold band of next generation xenon detectors",
        lambda: {name: _lowest(name, 1.0, **scalar) for name in band},
        ascending,
        settings=scalar,
        note=caution,
    )
    unsplit = SETTINGS | {"model": SPLIT["unsplit"]}
    yield Statement(
        "LX22",
        "XENON1T 8B bound at 15 MeV beside (g-2)_mu, unsplit",
        "sec. 3.3, Fig. 5",
        "cannot rule out the L_mu-L_tau solution of (g-2)_mu",
        lambda: {
            "(g-2)_mu, 2 sigma above": float(muon_band([15.0])[2][0]),
            BORON: _lowest(BORON, 15.0, **unsplit),
        },
        ascending,
        settings=unsplit,
        note=caution,
    )
