"""Reconstruction: what would be known of a mediator that exists, as a table and as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lmltgrid.cli import options
from lmltgrid.cli.answers import one_point
from lmltgrid.cli.application import Verb
from lmltgrid.cli.figures import finish, of_several, output
from lmltgrid.cli.output import Table, number, say, say_json
from lmltgrid.cli.values import Names, Numbers, Positive

if TYPE_CHECKING:
    import xarray as xr

# as the library has them; a test holds the two together
DEFAULTS: Final = {
    "experiment": "ess",
    "mass": "1:1000:121",
    "coupling": "1e-5:1e-2:181",
    "cl": "0.68,0.95",
}
FINER: Final = {"mass": "1:1000:241", "coupling": "1e-5:1e-2:361"}  # for smooth outlines
SHOWN: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # MeV, masses of an upper limit

asked_of_both = options.joined(
    click.option("--true-mass", type=Positive("MeV"), help="Mass of the mediator that exists."),
    click.option("--true-coupling", type=Positive("G"), help="Its coupling g."),
    click.option(
        "--benchmark",
        metavar="NAME",
        help="BP1 to BP4 of P21, instead of true mass and coupling.",
    ),
    click.option(
        "--truth",
        metavar="NAME",
        help="Mediator that exists, if it is another than the one that is fitted, which is given "
        "by --model and --mixing. [default: the fitted one]",
    ),
    click.option(
        "--truth-mixing",
        metavar="[loop|amaral2021|amaral2020|NUMBER]",
        help="Its mixing. [default: that of the fit; with --truth the model's own]",
    ),
    options.conventions,
    click.option(
        "--mass",
        type=Numbers("MeV"),
        help=f"Masses of the plane. [default: {DEFAULTS['mass']}, finer in figures]",
    ),
    click.option(
        "--coupling",
        type=Numbers("G"),
        help=f"Couplings of the plane. [default: {DEFAULTS['coupling']}, finer in figures]",
    ),
    click.option(
        "--cl",
        type=Numbers("FRACTION"),
        default=DEFAULTS["cl"],
        help=f"Levels of the regions, with two degrees of freedom. [default: {DEFAULTS['cl']}]",
    ),
    click.option(
        "--exposure",
        type=Positive("t*yr"),
        help="Exposure of a single experiment; those of a sum have their own. [default: its own]",
    ),
    click.option(
        "--external",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="CSV file with a chi-square to be added: mass_mev, coupling, delta_chi2 on a full "
        "grid. Can be given several times.",
    ),
    options.experiments,
    options.as_json,
)


@click.command(
    "reconstruct",
    cls=Verb,
    short_help="What would be known of a mediator that exists: regions of mass and coupling.",
    example="lmltgrid reconstruct --experiment na64mu+ess+darwin-nr@1 --benchmark BP1",
)
@click.option(
    "--experiment",
    metavar="NAME",
    default=DEFAULTS["experiment"],
    help="Experiment with a likelihood; a+b adds up several, and darwin-nr@1 makes a count above "
    f"1 keV one Poisson bin. [default: {DEFAULTS['experiment']}]",
)
@asked_of_both
def reconstruct(*, as_json: bool, experiment: str, cl: list[float], **asked: Any) -> None:
    """Fit a mediator to the events that another one, or the same, would leave.

    The data are the expected counts of the true point. A region is where the chi-square is above
    its minimum by no more than the level allows; what does not converge is not excluded. P21 prints
    2.30 and 6.18: --cl 0.6827,0.9545.
    """
    from lmltgrid.analysis.regions import regions

    found = _found(experiment, cl, asked)
    settings = found.attrs | {"cl": cl}
    shown = regions(found, cl)
    if as_json:
        say_json(_answer(found, shown) | {"settings": settings})
        return
    point = f"{number(settings['true_mass'])} MeV, g = {number(settings['true_coupling'])}"
    title = f"What {experiment} would know of {settings['truth']} at {point}"
    columns = ("level", "Delta chi2", "mass [MeV]", "closed", "coupling g", "told from none")
    rows = [
        (
            f"{100 * one['level']:g} %",
            number(one["delta_chi2"], 4),
            span(one["mass"]) if one["inside"] else "outside the plane",
            _yes(one["closed"]),
            span(one["coupling"]) if one["inside"] else "outside the plane",
            _yes(one["seen"]),
        )
        for one in shown
    ]
    tables = [Table(title, columns, rows, frozenset({2, 3, 4, 5}))]
    if not max(shown, key=lambda one: float(one["level"]))["seen"]:
        limits = [(number(mass), words) for mass, words in _limits(found)]
        words = "Where the mediator is not told from none: upper limits at 90 %, two dof"
        tables.append(Table(words, ("mass [MeV]", "coupling g"), limits, frozenset({1})))
    say(tables, settings=settings, notes=_notes(settings))


def span(ends: list[float | None]) -> str:
    """Return a range for people; open beyond the axis where an end is None."""
    low, high = ends
    if low is None or high is None:
        return (
            "any"
            if low == high
            else f"> {number(low, 4)}"
            if high is None
            else f"< {number(high, 4)}"
        )
    return f"{number(low, 4)} - {number(high, 4)}"


def _notes(settings: dict[str, Any]) -> list[str]:
    notes = [
        f"Least chi-square: {settings['chi2_minimum']:.2f}, at "
        f"{settings['minimum_at']}; zero where the fitted model can be the true one."
    ]
    if "standard_model" in settings:
        above = settings["standard_model"]
        words = f"The Standard Model is above it by {number(above, 4)}."
        if above == float("inf"):
            words = "The Standard Model expects no events where there are some: it is excluded."
        notes.append(words)
    if "unconverged" in settings:
        notes.append(
            f"At {settings['unconverged']} points the fit does not converge; they are not excluded."
        )
    return notes


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _found(experiment: str, cl: list[float], asked: dict[str, Any]) -> xr.Dataset:
    """Return the answer of the library for one experiment, refined for some levels."""
    given = dict(asked)
    names = (given.pop("benchmark"), given.pop("true_mass"), given.pop("true_coupling"))
    point = one_point(*names, prefix="--true-")
    from lmltgrid.analysis.reconstruction import reconstruct as find

    return find(
        experiment,
        true_mass=point["mass"],
        true_coupling=point["coupling"],
        levels=cl,
        **options.given(given),
    )


def _answer(found: xr.Dataset, shown: list[dict[str, Any]]) -> dict[str, Any]:
    """Return regions, the least chi-square at each mass and the upper limit, as plain data."""
    keys = {"delta_chi2": "profile", "coupling": "best_coupling", "upper_limit": "upper_limit"}
    rows = {key: found[name].values.tolist() for key, name in keys.items()}
    return {"regions": shown, "by_mass": {"mass": found["mass"].values.tolist(), **rows}}


def _limits(found: xr.Dataset) -> list[tuple[float, str]]:
    """Return the upper limit near some round masses, in words where it is beyond the plane."""
    import numpy as np

    masses, limits = found["mass"].values, found["upper_limit"].values
    g = found["coupling"].values
    shown = [mass for mass in SHOWN if masses[0] <= mass <= masses[-1]] or masses.tolist()
    out = []
    for mass in shown:
        with np.errstate(divide="ignore", invalid="ignore"):
            limit = float(np.exp(np.interp(np.log(mass), np.log(masses), np.log(limits))))
        if not 0.0 < limit < np.inf:  # next to what is beyond the plane
            limit = float(limits[int(np.abs(np.log(masses / mass)).argmin())])
        words = f"g < {number(limit)}"
        if limit == 0.0:
            words = f"g < {number(g[0])}, the end of the plane"
        elif np.isinf(limit):
            words = f"beyond {number(g[-1])}, the end of the plane"
        out.append((float(mass), words if limit == limit else "-"))
    return out


@click.command(
    "reconstruction",
    cls=Verb,
    short_help="Regions of mass and coupling that would be left of a mediator that exists.",
    example="lmltgrid plot reconstruction --experiment cenns610,ccm,ess,ess10 --benchmark BP1",
)
@click.option(
    "--experiment",
    type=Names(),
    default=DEFAULTS["experiment"],
    help="One or more experiments, or sums of them as a+b, each in a color of its own. "
    f"[default: {DEFAULTS['experiment']}]",
)
@asked_of_both
@output("reconstruction")
def figure(
    *, output: Path, as_json: bool, experiment: list[str], cl: list[float], **asked: Any
) -> None:
    """Draw the regions, and a limit where the mediator is not told from none."""
    axes = {key: asked[key] or Numbers("").convert(FINER[key], None, None) for key in FINER}
    found = [_found(name, cl, asked | axes) for name in experiment]
    from lmltgrid.views import plots

    settings = of_several(found) | {"cl": cl}
    finish(plots.reconstruction(found, levels=cl), output, settings, as_json=as_json)
