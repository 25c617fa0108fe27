"""Atzori Corona et al. 2022 (arXiv:2202.11002): the bounds of Table 2, and what sections 4, 5 say.

Its formulas and counts are in `lmltgrid.analysis.reproduce.ac22_formulas`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np

from lmltgrid.analysis.limits import as_lists, limits
from lmltgrid.analysis.points import muon_band
from lmltgrid.analysis.reproduce import ac22_formulas as formulas
from lmltgrid.analysis.reproduce.claims import Claim, Statement, ascending
from lmltgrid.analysis.setup import conventions
from lmltgrid.kernels.brems import muon_anomaly

SETTINGS: Final[dict[str, Any]] = {"couplings": "radiative", "cl": 0.9545, "dof": 2}
EXPERIMENTS: Final = {
    "Ar": "coherent-ar-2020",
    "CsI": "coherent-csi-2021",
    "CsI+Ar": "coherent-2022",
}
TOLERANCE: Final = {"Ar": 0.05, "CsI": 0.05, "CsI+Ar": 0.10}
LOW, HIGH = 1.0, 1e4  # MeV: below and above all momentum transfers
BETWEEN: Final = (10.0, 30.0, 100.0, 300.0, 1e3)  # MeV, where (g-2)_mu is looked at as well
# g/1e-5 at low and g/M in 1e-3 per GeV at high masses; Ar, CsI, CsI+Ar
TABLE: Final = {
    "universal": (3.91, 0.82, 2.36, 0.53, 2.07, 0.48),
    "B-L": (5.35, 1.67, 5.27, 1.00, 4.42, 0.99),
    "By+Lmu+Ltau": (10.4, 3.58, 4.97, 1.14, 4.47, 1.04),
    "B-3Le": (4.91, 1.55, 5.16, 0.96, 4.34, 0.95),
    "B-3Lmu": (3.45, 1.09, 3.21, 0.64, 2.76, 0.63),
    "B-2Le-Lmu": (4.62, 1.48, 4.79, 0.89, 3.95, 0.88),
    "B-Le-2Lmu": (3.97, 1.28, 3.86, 0.75, 3.26, 0.74),
    "Le-Lmu": (161.0, 54.2, 166.0, 36.1, 137.0, 34.9),
    "Le-Ltau": (204.0, 71.1, 140.0, 29.9, 125.0, 26.6),
    "Lmu-Ltau": (234.0, 80.9, 116.0, 26.6, 103.0, 24.2),
    "scalar": (2.30, 0.58, 1.80, 0.31, 1.68, 0.30),
}
LAST: Final = ("By+Lmu+Ltau", "Lmu-Ltau")  # of Ar at high masses: the upper red line of Fig. 5b
EXCLUDED: Final = ("universal", "B-L", "By+Lmu+Ltau", "B-3Lmu", "B-2Le-Lmu", "B-Le-2Lmu", "scalar")
UNTOUCHED: Final = ("Le-Lmu", "Lmu-Ltau")
STRIPS: Final = {"universal": "4.1", "By+Lmu+Ltau": "4.3", "Le-Ltau": "4.5", "Lmu-Ltau": "4.6"}

Edges = list[float]


def claims() -> Iterator[Claim | Statement]:
    """Return what can be computed with what is shipped."""
    yield from table()
    yield Claim(
        "AC22",
        "root mean square of the relative deviations of all 66 bounds",
        "Table 2",
        None,
        lambda: float(np.sqrt(np.mean(np.square(deviations())))),
        settings=SETTINGS,
        note="binning, pulse, scaling and the choice of crossing were found by comparing variants "
        "with these same 66 numbers",
    )
    yield from formulas.claims()
    yield from _orderings()
    yield _stricter()
    yield from _strips()
    yield from _muon()


def table() -> Iterator[Claim]:
    """Return the 66 bounds of Table 2."""
    for model, printed in TABLE.items():
        for place, value in enumerate(printed):
            data, high = list(EXPERIMENTS)[place // 2], place % 2 == 1
            last = high and _takes_last(data, model)
            yield Claim(
                "AC22",
                f"{'g/M at high' if high else 'g at low'} mass, {model}, {data}",
                "Table 2",
                value * (1e-3 if high else 1e-5),
                partial(bound, data, model, high),
                "1/GeV" if high else "1",
                TOLERANCE[data],
                settings=SETTINGS | {"model": model, "experiment": EXPERIMENTS[data]},
                note="the last crossing: the paper quotes the upper of three lines" if last else "",
            )


def bound(data: str, model: str, high: bool) -> float:
    """Return one bound: g at 1 MeV, or g/M (per GeV) at 10 GeV."""
    found = edges(data, model)[HIGH if high else LOW]
    finite = [value for value in found if np.isfinite(value)]
    chosen = finite[-1] if high and _takes_last(data, model) else finite[0]
    return chosen / (HIGH * 1e-3) if high else chosen


def deviations() -> list[float]:
    """Return the relative deviations of all bounds from the printed ones."""
    return [float(claim.row()["difference"]) for claim in table()]


def _takes_last(data: str, model: str) -> bool:
    return data == "Ar" and model in LAST


@lru_cache(maxsize=64)
def edges(data: str, model: str) -> dict[float, Edges]:
    """Return the couplings at which exclusion begins and ends, ascending, by mass (MeV)."""
    masses = (LOW, *BETWEEN, HIGH)
    found = as_lists(limits(EXPERIMENTS[data], mass=masses, model=model, **SETTINGS))
    return {
        mass: [np.inf if end is None else end for pair in pairs for end in pair if end != 0.0]
        for mass, pairs in zip(masses, found, strict=True)
    }


def _orderings() -> Iterator[Statement]:
    for words, place, data, models, high in (
        (
            "the bounds of B-2Le-Lmu are similar to and slightly stronger than those of B-L",
            "sec. 4.6",
            "CsI+Ar",
            ("B-2Le-Lmu", "B-L"),
            False,
        ),
        (
            "the bounds of B-Le-2Lmu are stronger than those of B-2Le-Lmu",
            "sec. 4.7",
            "CsI+Ar",
            ("B-Le-2Lmu", "B-2Le-Lmu"),
            False,
        ),
        (
            "the bounds are the strongest among the L_alpha - L_beta models",
            "sec. 4.10",
            "CsI+Ar",
            ("Lmu-Ltau", "Le-Ltau", "Le-Lmu"),
            True,
        ),
    ):
        yield Statement(
            "AC22",
            f"bounds side by side: {', '.join(models)}",
            place,
            words,
            partial(_side_by_side, data, models, high),
            ascending,
            "1/GeV" if high else "1",
            settings=SETTINGS,
        )


def _stricter() -> Statement:
    return Statement(
        "AC22",
        "bounds side by side, universal, at low masses",
        "sec. 4.1",
        "CsI is stricter than Ar, and close to the combined fit",
        lambda: {data: bound(data, "universal", False) for data in ("CsI+Ar", "CsI", "Ar")},
        ascending,
        settings=SETTINGS,
    )


def _side_by_side(data: str, models: tuple[str, ...], high: bool) -> dict[str, float]:
    return {model: bound(data, model, high) for model in models}


def _strips() -> Iterator[Statement]:
    for model, equation in STRIPS.items():
        yield Statement(
            "AC22",
            f"allowed strip in g/M at high mass, {model}, CsI+Ar",
            f"eq. {equation}",
            "the allowed strip lies along this line",
            partial(_strip, model, formulas.strip_slope(model)),
            ascending,
            "1/GeV",
            settings=SETTINGS | {"model": model},
        )
    yield Statement(
        "AC22",
        "excluded strip in g/M at high mass, By+Lmu+Ltau, Ar",
        "sec. 4.3, eq. 4.4",
        "the region below the upper line is allowed, but for the strip of the cancellation",
        lambda: dict(
            zip(
                ("from", "cancellation", "to", "upper line"),
                _sorted_in(
                    edges("Ar", "By+Lmu+Ltau")[HIGH], formulas.cancellation_slope("By+Lmu+Ltau")
                ),
                strict=True,
            )
        ),
        ascending,
        "1/GeV",
        settings=SETTINGS,
    )
    yield Statement(
        "AC22",
        "crossings at 1 MeV, universal",
        "sec. 4.1",
        "the strip of Ar extends to small masses, that of the combined fit does not",
        lambda: {data: float(len(edges(data, "universal")[LOW])) for data in ("CsI+Ar", "Ar")},
        lambda numbers: (numbers["CsI+Ar"], numbers["Ar"]) == (2.0, 4.0),
        settings=SETTINGS,
    )


def _strip(model: str, line: float) -> dict[str, float]:
    found = edges("CsI+Ar", model)[HIGH]
    return dict(zip(("from", "eq.", "to"), _sorted_in(found[1:3], line), strict=True))


def _sorted_in(found: Edges, line: float) -> Edges:
    """Return two or three ends per GeV, the line between the first two."""
    low, high, *further = (value / (HIGH * 1e-3) for value in found if np.isfinite(value))
    return [low, line, high, *further]


def _muon() -> Iterator[Statement]:
    masses = f"{LOW:g} MeV to {HIGH:g} MeV"
    for model in EXCLUDED:
        yield _band(
            f"masses, of {len(BETWEEN) + 2} from {masses}, at which (g-2)_mu is excluded, {model}",
            "the explanation of (g-2)_mu is excluded",
            model,
            lambda numbers: numbers["whole band"] == numbers["masses"],
        )
    for model in UNTOUCHED:
        yield _band(
            f"masses, of {len(BETWEEN) + 2} from {masses}, at which (g-2)_mu is probed, {model}",
            "the bounds cannot probe the (g-2)_mu band",
            model,
            lambda numbers: numbers["part of it"] == 0.0,
        )


def _band(
    quantity: str, words: str, model: str, holds: Callable[[dict[str, float]], bool]
) -> Statement:
    return Statement(
        "AC22",
        quantity,
        "secs. 4 and 5, Figs 4 to 8",
        words,
        partial(_band_excluded, model),
        holds,
        settings=SETTINGS | {"model": model},
    )


def _band_excluded(model: str) -> dict[str, float]:
    """Return at how many masses CsI+Ar excludes all of (g-2)_mu, at two sigma, or part of it."""
    found = edges("CsI+Ar", model)
    low, high = _muon_band(model, np.array(list(found)))
    whole = part = 0
    for (a, b), ends in zip(zip(low, high, strict=True), found.values(), strict=True):
        pairs = list(zip(ends[::2], ends[1::2], strict=True))
        whole += any(start < a and b < stop for start, stop in pairs)
        part += any(start < b and a < stop for start, stop in pairs)
    return {"masses": float(len(found)), "whole band": float(whole), "part of it": float(part)}


def _muon_band(model: str, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    chosen = conventions(model).model
    low, _, high = muon_band(mass, chosen.charges[3] if chosen.kind == "vector" else 1.0)
    if chosen.kind == "scalar":  # the same measurement, another loop
        ratio = np.sqrt(muon_anomaly(mass) / muon_anomaly(mass, kind="scalar"))
        low, high = low * ratio, high * ratio
    return low, high
