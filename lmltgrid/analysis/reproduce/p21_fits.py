"""Amaral et al. 2021 (arXiv:2104.03297), sections 3 to 5: what would be seen, and reconstructed.

The benchmark points of its Table 1 are the data, made with eps = -g/70.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np
import xarray as xr

from lmltgrid.analysis.reconstruction import mock_counts, reconstruct
from lmltgrid.analysis.regions import regions
from lmltgrid.analysis.reproduce.claims import Claim, Statement
from lmltgrid.analysis.setup import conventions, find_experiment
from lmltgrid.tables.models import benchmarks

TRUTH: Final[dict[str, Any]] = {"oscillation": "amaral2021", "mixing": "amaral2021"}
OTHER: Final[dict[str, Any]] = TRUTH | {"truth": "Lmu-Ltau", "truth_mixing": "amaral2021"}
LMU: Final[dict[str, Any]] = OTHER | {"model": "Lmu", "mixing": -1.0 / 70.0}
TENTH: Final[dict[str, Any]] = OTHER | {"mixing": -0.1}
POINTS: Final = ("BP1", "BP2", "BP3", "BP4")
SPALLATION: Final = ("ess", "ess10", "ccm", "cenns610")
LEVELS: Final = (0.68, 0.95)  # of its regions
DIRECT: Final = "darwin-nr@1"
ONE, TWO, CLOSED = 2.706, 4.605, 5.991  # 90 %, one and two parameters; 95 %, two
LEAST: Final = 1e-5  # coupling of the axis at which nothing is changed
SMALL, ALMOST_NONE = 0.25, 0.05  # parts of an area
LARGEST_OF_LMU: Final = 2e-3  # "g about 1e-3", footnote 8: to a factor of two


def claims() -> Iterator[Claim | Statement]:
    """Return what can be computed with what is shipped."""
    yield from _spallation()
    yield from _muon_beam()
    yield from _combined()
    yield from _wrong_mixing()
    yield from _direct_detection()


@lru_cache(maxsize=64)
def _plane(experiment: str, point: str, options: tuple[tuple[str, Any], ...]) -> xr.Dataset:
    true = benchmarks()[point]
    return reconstruct(
        experiment,
        true_mass=true.mass,
        true_coupling=true.coupling,
        levels=LEVELS,
        **dict(options),
    )


def fitted(experiment: str, point: str, options: dict[str, Any] = TRUTH) -> xr.Dataset:
    """Return the plane of a benchmark point, see `reconstruct`."""
    return _plane(experiment, point, tuple(options.items()))


def seen(experiment: str, point: str) -> float:
    """Return the chi-square of the Standard Model if the benchmark point is true."""
    plane = fitted(experiment, point)["delta_chi2"]
    return float(plane.sel(coupling=LEAST, method="nearest").min())


def limit(experiment: str, point: str, level: float) -> float:
    """Return the coupling above which all is excluded at the mass of the point."""
    found = fitted(experiment, point)
    mass = benchmarks()[point].mass
    g = found["coupling"].values
    above = found["delta_chi2"].interp(mass=mass).values
    last = int(np.flatnonzero(above <= level)[-1])
    pair = slice(last, last + 2)
    return float(np.exp(np.interp(level, above[pair], np.log(g[pair]))))


def interval(
    experiment: str, point: str, level: float = 0.95, options: dict[str, Any] = TRUTH
) -> tuple[float, float]:
    """Return the masses between which a region lies; 0 or inf where it is open."""
    (found,) = regions(fitted(experiment, point, options), [level])
    low, high = found["mass"]
    return 0.0 if low is None else low, np.inf if high is None else high


def _spallation() -> Iterator[Claim | Statement]:
    for name in SPALLATION:
        sees = name.startswith("ess")
        yield Statement(
            "P21",
            f"chi-square of the Standard Model if a benchmark point is true, {name}",
            "sec. 4, Fig. 7",
            "BP1 and BP2 would be observed, BP3 and BP4 give upper bounds"
            if sees
            else "unable to disentangle the SM from a new physics signal",
            partial(_seen, name),
            _first_two if sees else _none,
            settings=TRUTH,
            note=f"observed: more than {CLOSED}, 95 % with two degrees of freedom",
        )
    for name in ("ccm", "cenns610"):
        for words, level in (("one degree", ONE), ("two degrees", TWO)):
            printed = name == "ccm" and level == ONE
            yield Claim(
                "P21",
                f"90 % limit on g at the mass of BP1, {name}, {words} of freedom",
                "sec. 4, Fig. 7",
                7e-4 if printed else None,
                partial(limit, name, "BP1", level),
                tolerance=0.10,
                settings=TRUTH,
                note="printed as of the order of 7e-4, for CENNS610 and CCM together"
                if printed
                else "",
            )


def _seen(name: str) -> dict[str, float]:
    return {point: seen(name, point) for point in POINTS}


def _first_two(numbers: dict[str, float]) -> bool:
    return min(numbers["BP1"], numbers["BP2"]) > CLOSED > max(numbers["BP3"], numbers["BP4"])


def _none(numbers: dict[str, float]) -> bool:
    return max(numbers.values()) < CLOSED


def _in_bins(name: str) -> dict[str, float]:
    """Return the least and the largest number of events in a bin, at each benchmark point."""
    out: dict[str, float] = {}
    for point in POINTS:
        own = benchmarks()[point]
        setting = conventions(**TRUTH)
        counts = mock_counts(find_experiment(name), setting, own.mass, own.coupling, 1.0)
        out |= {f"{point} least": float(counts.min()), f"{point} largest": float(counts.max())}
    return out


def _muon_beam() -> Iterator[Statement]:
    for name in ("na64mu-printed", "na64mu"):
        yield Statement(
            "P21",
            f"events in a bin, {name}",
            "sec. 3.2",
            "roughly O(3) events per bin, of the order of 1 to 10 in each",
            partial(_in_bins, name),
            lambda numbers: min(numbers.values()) > 1.0 and max(numbers.values()) < 10.0,
            settings=TRUTH,
            note=""
            if name == "na64mu-printed"
            else "the prefactor as printed is smaller by pi than the physical one",
        )
        yield Statement(
            "P21",
            f"masses allowed at 95 %, {name}, BP1 to BP3",
            "sec. 3.2, Fig. 5",
            "only an upper limit on the mass",
            partial(_intervals, name, POINTS[:3]),
            _bounded_above,
            "MeV",
            settings=TRUTH,
        )
        for level in LEVELS:
            yield Statement(
                "P21",
                f"masses allowed at {100 * level:g} %, {name}, BP4",
                "sec. 3.2, Fig. 5",
                "the contours close around a rather small region",
                partial(_intervals, name, POINTS[3:], level),
                _bounded,
                "MeV",
                settings=TRUTH,
                note=""
                if name == "na64mu"
                else "with the formulas as printed, from which the figures follow; na64mu has the "
                "physical ones",
            )
        yield Statement(
            "P21",
            f"least chi-square of L_mu fitted to L_mu-L_tau, {name}",
            "sec. 3.2, Fig. 5",
            "equally well reconstructed within both models, which cannot be distinguished",
            partial(_least, name, LMU),
            lambda numbers: max(numbers.values()) < 1e-3,
            settings=LMU,
        )


def _intervals(
    name: str, points: tuple[str, ...], level: float = 0.95, options: dict[str, Any] = TRUTH
) -> dict[str, float]:
    """Return the ends by name, without those that are open."""
    out: dict[str, float] = {}
    for point in points:
        low, high = interval(name, point, level, options)
        out |= {f"{point} from": low} if low > 0.0 else {}
        out |= {f"{point} to": high} if np.isfinite(high) else {}
    return out


def _bounded(numbers: dict[str, float]) -> bool:
    points = {name.partition(" ")[0] for name in numbers}
    return bool(points) and len(numbers) == 2 * len(points)


def _bounded_above(numbers: dict[str, float]) -> bool:
    return bool(numbers) and all(name.endswith("to") for name in numbers)


def _least(name: str, options: dict[str, Any]) -> dict[str, float]:
    return {point: fitted(name, point, options).attrs["chi2_minimum"] for point in POINTS}


def _combined() -> Iterator[Statement]:
    both, every = "na64mu-printed+ess", f"na64mu-printed+ess+{DIRECT}"
    for name, points, place, words in (
        (
            both,
            POINTS,
            "sec. 4.1, Fig. 8",
            "the bounds narrow down the region of NA64mu, a better measurement of the mass",
        ),
        (
            every,
            POINTS[:2],
            "sec. 5, Fig. 12",
            "considerably narrows down the area compatible with (g-2)_mu, for BP1 and BP2",
        ),
    ):
        yield Statement(
            "P21",
            f"masses allowed at 95 %, {name}",
            place,
            words,
            partial(_intervals, name, points),
            _bounded,
            "MeV",
            settings=TRUTH,
        )
    yield Statement(
        "P21",
        "range of masses allowed at 95 %, BP1, highest over lowest",
        "secs. 4.1 and 5, Figs 8 and 12",
        "direct detection considerably narrows down the area of BP1",
        lambda: {name: _range(name, "BP1") for name in (every, both)},
        lambda numbers: 2.0 * numbers[every] < numbers[both],
        settings=TRUTH,
    )


def _range(name: str, point: str) -> float:
    low, high = interval(name, point)
    return high / low


def _wrong_mixing() -> Iterator[Statement]:
    name = "na64mu-printed+ess"
    yield Statement(
        "P21",
        f"least chi-square with eps = -g/10, {name}",
        "sec. 4.1, Fig. 9",
        "the reconstructed areas show increasing tension",
        partial(_least, name, TENTH),
        lambda numbers: numbers["BP1"] < min(numbers["BP2"], numbers["BP3"], numbers["BP4"]),
        settings=TENTH,
        note="with eps = -g/70, that of the data, it is zero",
    )
    for words, points, holds in (
        (
            "for BP1 a small overlap of the 95 % contours, which shrinks for BP2",
            POINTS[:2],
            lambda numbers: 0.0 <= numbers["BP2"] < numbers["BP1"] < SMALL,
        ),
        (
            "for BP3 and BP4 almost the whole area compatible with NA64mu is excluded",
            POINTS[2:],
            lambda numbers: max(numbers.values()) < ALMOST_NONE,
        ),
    ):
        yield Statement(
            "P21",
            f"part of the 95 % area of NA64mu that ESS allows, eps = -g/10, {' and '.join(points)}",
            "sec. 4.1, Fig. 9",
            words,
            partial(_overlaps, points),
            holds,
            settings=TENTH,
            note="areas in the logarithms, from 1 MeV to 1 GeV",
        )


def _overlaps(points: tuple[str, ...]) -> dict[str, float]:
    return {point: allowed_part(point) for point in points}


def allowed_part(point: str) -> float:
    """Return which part of the area that NA64mu allows the ESS allows as well."""
    muons, recoils = (
        fitted(name, point, TENTH)["delta_chi2"].values for name in ("na64mu-printed", "ess")
    )
    inside = muons < CLOSED
    bound = CLOSED if point in POINTS[:2] else TWO
    return float((recoils[inside] < bound).mean())


def _direct_detection() -> Iterator[Statement]:
    every = f"na64mu-printed+ess+{DIRECT}"
    yield Statement(
        "P21",
        f"chi-square of the Standard Model if a benchmark point is true, {DIRECT}",
        "sec. 5, Fig. 12",
        "for BP3 and BP4 direct detection has not enough sensitivity",
        partial(_seen, DIRECT),
        _first_two,
        settings=TRUTH,
    )
    yield Statement(
        "P21",
        f"least chi-square of L_mu with eps = -g/70 fitted to L_mu-L_tau, {every}",
        "sec. 5",
        "in terms of L_mu the whole parameter space for BP1 and BP2 is ruled out",
        partial(_least, every, LMU),
        _first_two_ruled_out,
        settings=LMU,
        note="ruled out: more than 25, five sigma",
    )
    yield Statement(
        "P21",
        f"least coupling of L_mu below 25 MeV that {DIRECT} allows at 95 %",
        "sec. 5, footnote 8",
        "only a fine-tuned region survives, for large couplings, g about 1e-3",
        lambda: {point: _least_coupling(point) for point in POINTS[:2]},
        lambda numbers: 0.7e-3 < min(numbers.values()) <= max(numbers.values()) < LARGEST_OF_LMU,
        settings=LMU,
    )


def _first_two_ruled_out(numbers: dict[str, float]) -> bool:
    return min(numbers["BP1"], numbers["BP2"]) > 25.0


def _least_coupling(point: str) -> float:
    found = fitted(DIRECT, point, LMU).sel(mass=slice(None, 25.0))
    allowed = (found["delta_chi2"].values < CLOSED).any(axis=0)
    return float(found["coupling"].values[int(np.argmax(allowed))])
