"""The physics of a finished scan, as tables that need no further explanation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from lmltgrid.cli.output import Table, number
from lmltgrid.cli.results import coupling_ranges

Case = dict[str, Any]

# what tells the cases of one experiment apart, and how it is headed
_CASE: Final = {"model": "model", "metallicity": "Sun", "oscillation": "oscillation"}


def summary_tables(summary: dict[str, Any]) -> list[Table]:
    """Return the tables of `lmltgrid.service.summarize`: limits, then discovery exposures."""
    tables = [_limits(cases) for cases in _by_experiment(summary.get("limits", []))]
    tables += [_discovery(cases) for cases in _by_experiment(summary.get("discovery", []))]
    return tables


def reading(summary: dict[str, Any]) -> list[str]:
    """Return what a reader who is new to the tables needs to know."""
    cases = summary.get("discovery", [])
    if not cases:
        return []
    points = {
        f"{case['benchmark']}: {number(case['mass'])} MeV, g = {number(case['coupling'])}": None
        for case in cases
    }
    lines = [f"Points (Amaral et al. 2021, arXiv:2104.03297): {'; '.join(points)}."]
    if any(value is None for case in cases for value in case["exposure"]):
        lines.append(
            "never: at this threshold no exposure is enough, as where the mediator takes events "
            "away and only an excess counts, or where the error of the 8B flux hides the signal."
        )
    return [*lines, _conventions(summary["conventions"])]


def _conventions(used: dict[str, Any]) -> str:
    """Return what the numbers depend on besides the axes."""
    mixing = ", ".join(f"{value} for {model}" for model, value in used["mixing"].items())
    return (
        f"Conventions: mixing {mixing}; "
        f"bound electrons {used['atomic']}; couplings of neutrinos {used['couplings']}."
    )


def _by_experiment(cases: list[Case]) -> Iterator[list[Case]]:
    for name in dict.fromkeys(case["experiment"] for case in cases):
        yield [case for case in cases if case["experiment"] == name]


def _limits(cases: list[Case]) -> Table:
    first = cases[0]
    tails = {"two": "in each tail", "one": "one-sided"}
    tail = tails.get(first.get("sided", ""), f"chi-square, {first.get('dof')} dof")
    title = (
        f"Limits of {first['experiment']}: couplings g excluded at {100 * first['cl']:g} % "
        f"({tail}){_against(first)}{_flux_error(first)}"
    )
    rows = [
        (*(case[name] for name in _CASE), number(mass), coupling_ranges(ranges))
        for case in cases
        for mass, ranges in zip(case["mass"], case["excluded"], strict=True)
    ]
    columns = (*_CASE.values(), "mass [MeV]", "excluded couplings")
    return Table(title, columns, rows, frozenset({0, 1, 2, 4}))


def _against(case: Case) -> str:
    """Return what the limits rest on: data, or what is expected in some exposure."""
    if case.get("data") == "measured":
        return ", by its data"
    if case.get("data") == "both":
        return ", by its data, and where there are none, if the Standard Model is true"
    parts = []
    if case["unit"] not in ("GeV", "several"):  # a run of muons has no tonne year
        parts.append(f"{number(case['exposure'])} tonne year")
    if case["unit"] == "Torr":
        parts.append(f"pressure {number(case['threshold'])} Torr")
    elif case.get("statistic") != "likelihood":  # its bins are given
        parts.append(f"threshold {number(case['threshold'])} {case['unit']}")
    return "; ".join((", if the Standard Model is true", *([", ".join(parts)] if parts else [])))


def _discovery(cases: list[Case]) -> Table:
    first = cases[0]
    sided = {"one": "by an excess", "two": "by an excess or a deficit"}[first.get("sided", "one")]
    title = (
        f"Discovery with {first['experiment']}: exposure in tonne year at which the Standard Model "
        f"is rejected {sided} at {number(first.get('sigmas', 5.0))} sigma, if the mediator exists; "
        f"for each threshold in {first['unit']}{_flux_error(first)}"
    )
    rows = [
        (
            *(case[name] for name in _CASE),
            case["benchmark"],
            *(_exposure(value) for value in case["exposure"]),
        )
        for case in cases
    ]
    thresholds = [number(value) for value in first["threshold"]]
    columns = (*_CASE.values(), "point", *thresholds)
    return Table(title, columns, rows, frozenset({0, 1, 2, 3}))


def _flux_error(case: Case) -> str:
    error = case.get("flux_error")
    return "" if error is None else f"; 8B flux known to {number(100 * error)} %"


def _exposure(value: float | None) -> str:
    if value is None:
        return "never"
    return number(value, 4) if value < 1e5 else f"{value:.1e}"
