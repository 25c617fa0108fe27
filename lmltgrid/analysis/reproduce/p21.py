"""Amaral et al. 2021 (arXiv:2104.03297)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from lmltgrid.analysis.discovery import discovery
from lmltgrid.analysis.points import DELTA_A_MU, delta_a_mu, spectrum
from lmltgrid.analysis.reproduce import p21_fits
from lmltgrid.analysis.reproduce.claims import Claim, Statement
from lmltgrid.analysis.setup import find_experiment
from lmltgrid.tables.models import benchmarks

SETTINGS: Final[dict[str, Any]] = {"oscillation": "amaral2021", "mixing": "amaral2021"}


def claims() -> Iterator[Claim | Statement]:
    """Return what can be computed with what is shipped."""
    yield from _thresholds()
    yield from _exposures()
    for point in benchmarks().values():
        yield Claim(
            "P21",
            f"pull of {point.name} from (g-2)_mu",
            "Table 1",
            None,
            _pull(point.mass, point.coupling),
            "sigma",
        )
    for energy in (0.1, 0.5, 1.0, 2.0):
        yield Claim(
            "P21",
            f"xenon, nuclear recoils, Standard Model, dR/dE at {energy:g} keV",
            "Fig. 10",
            None,
            _rate(energy),
            "1/(t yr keV)",
            settings=SETTINGS,
        )
    yield from p21_fits.claims()


def _thresholds() -> Iterator[Claim]:
    for experiment, printed in (
        ("lz-nr", 3.8),
        ("lz-er", 1.5),
        ("xenonnt-nr", 5.7),
        ("xenonnt-er", 1.5),
    ):
        # half of the last printed digit
        yield Claim(
            "P21",
            f"threshold of {experiment} at half efficiency",
            "sec. 5",
            printed,
            _half(experiment),
            find_experiment(experiment).unit,
            tolerance=0.05 / printed,
        )


def _exposures() -> Iterator[Claim]:
    yield Claim(
        "P21",
        "5-sigma exposure of BP1, DARWIN NR, threshold 1 keV_nr",
        "sec. 5, Fig. 11",
        100.0,
        _exposure("darwin-nr", 1.0, SETTINGS),
        "t yr",
        tolerance=0.15,
        settings=SETTINGS,
        note="printed as about 100; the parameters of oscillation are not printed",
    )
    half = find_experiment("darwin-er").threshold
    for atomic in ("step+rrpa", "step"):
        options = SETTINGS | {"atomic": atomic}
        yield Claim(
            "P21",
            f"5-sigma exposure of BP1, DARWIN ER, {atomic}",
            "sec. 5, Fig. 11",
            400.0,
            _exposure("darwin-er", half, options),
            "t yr",
            tolerance=0.15,
            settings=options,
            note="printed as 400; the treatment of bound electrons moves it from 343 to 493",
        )


def _half(experiment: str) -> Callable[[], float]:
    return lambda: find_experiment(experiment).threshold


def _exposure(experiment: str, threshold: float, options: dict[str, Any]) -> Callable[[], float]:
    def compute() -> float:
        found = discovery(experiment, threshold=[threshold], mass=15.0, coupling=5e-4, **options)
        return float(found["exposure"][0])

    return compute


def _pull(mass: float, coupling: float) -> Callable[[], float]:
    center, error = DELTA_A_MU["P21"]
    return lambda: (float(delta_a_mu(mass, coupling)) * 1e11 - center) / error


def _rate(energy: float) -> Callable[[], float]:
    def compute() -> float:
        found = spectrum(recoil_energy=[energy], mass=15.0, coupling=5e-4, **SETTINGS)
        return float(found.rate_sm[0])

    return compute
