"""Answers for one point: events, spectrum, oscillation."""

from __future__ import annotations

from typing import Any, Final

import click

from lmltgrid.cli import options
from lmltgrid.cli.application import Verb
from lmltgrid.cli.options import Names, Numbers
from lmltgrid.cli.output import Table, number, say, say_json

RECOILS: Final = "0.1,0.2,0.5,1,2"  # keV
ENERGIES: Final = "1,5,10"  # MeV

one_benchmark = click.option(
    "--benchmark", metavar="NAME", help="BP1 to BP4 of P21, instead of mass and coupling."
)


@click.command(
    "events",
    cls=Verb,
    short_help="Events in a detector: Standard Model, mediator, background.",
    example="lmltgrid events --experiment darwin-nr --benchmark BP1 --threshold 1.0",
)
@options.experiment
@options.point
@one_benchmark
@options.threshold
@options.exposure
@options.conventions
@options.experiments
@options.as_json
def events(
    *,
    as_json: bool,
    benchmark: str | None,
    mass: float | None,
    coupling: float | None,
    **asked: Any,
) -> None:
    """Count the events that a detector expects from solar neutrinos.

    The signal is the change by the mediator; it is negative where interference is destructive.
    """
    point = _point(benchmark, mass, coupling)
    from lmltgrid.analysis import points

    found = points.events(
        mass=point["mass"], coupling=point["coupling"], **options.given(asked)
    ).load()
    answer = {
        "bins": found["window"].values.tolist(),
        **{name: found[name].values.tolist() for name in ("sm", "signal", "background")},
        "exposure": found.attrs["exposure"],
    }
    settings = options.given(point) | found.attrs
    if as_json:
        say_json(answer | {"settings": settings})
        return
    scale = {"nuclear_recoil": "recoil energy [keV_nr]"}
    energy = scale.get(found["window"].attrs["energy_scale"], "reconstructed energy [keV_ee]")
    columns = (energy, "Standard Model", "signal", "background")
    rows = [
        (f"{number(low)} - {number(high)}", number(sm), number(signal), number(background))
        for (low, high), sm, signal, background in zip(
            answer["bins"], answer["sm"], answer["signal"], answer["background"], strict=True
        )
    ]
    title = f"Events in {settings['experiment']}, {number(answer['exposure'])} tonne year"
    say([Table(title, columns, rows)], settings=settings)


@click.command(
    "spectrum",
    cls=Verb,
    short_help="Recoil spectrum of solar neutrinos in a target, before any detector.",
    example="lmltgrid spectrum --channel nr --mass 15 --coupling 5e-4 --recoil-energy 0.1,0.5,1,2",
)
@options.spectrum_options
@options.point
@one_benchmark
@click.option(
    "--recoil-energy",
    type=Numbers("keV"),
    default=RECOILS,
    help=f"True recoil energies. [default: {RECOILS}]",
)
@options.conventions
@options.as_json
def spectrum(
    *,
    as_json: bool,
    benchmark: str | None,
    mass: float | None,
    coupling: float | None,
    **asked: Any,
) -> None:
    """Give the recoil spectrum with the mediator and in the Standard Model."""
    point = _point(benchmark, mass, coupling)
    from lmltgrid.analysis import points

    found = points.spectrum(mass=point["mass"], coupling=point["coupling"], **options.given(asked))
    answer = {
        name: found[name].values.tolist() for name in ("recoil_energy", "rate", "rate_sm")
    } | {"units": found["rate"].attrs["units"]}
    settings = options.given(point) | found.attrs
    if as_json:
        say_json(answer | {"settings": settings})
        return
    unit = answer["units"]
    columns = ("recoil energy [keV]", f"rate [{unit}]", f"Standard Model [{unit}]", "ratio")
    rows = [
        (number(energy), number(rate), number(sm), number(rate / sm if sm else None))
        for energy, rate, sm in zip(
            answer["recoil_energy"], answer["rate"], answer["rate_sm"], strict=True
        )
    ]
    kind = {"nr": "Nuclear", "er": "Electron"}[settings["channel"]]
    say([Table(f"{kind} recoils in {settings['target']}", columns, rows)], settings=settings)


@click.command(
    "oscillation",
    cls=Verb,
    short_help="Flavors of solar neutrinos at Earth; --list shows the parameter sets.",
    example="lmltgrid oscillation --source 8B --energy 1,5,10 --oscillation nufit60",
)
@click.option(
    "--source",
    metavar="NAME",
    help=f"pp, pep, hep, 7Be, 8B, 13N, 15O or 17F. {options.default('source')}",
)
@click.option(
    "--energy",
    type=Numbers("MeV"),
    default=ENERGIES,
    help=f"Neutrino energies. [default: {ENERGIES}]",
)
@options.oscillation
@options.metallicity
@click.option("--list", "listed", is_flag=True, help="List the parameter sets instead.")
@options.as_json
def oscillation(*, as_json: bool, listed: bool, **asked: Any) -> None:
    """Give the probabilities of each flavor at Earth, averaged over where the Sun burns."""
    if listed:
        _presets(as_json=as_json)
        return
    from lmltgrid.analysis import points

    found = points.oscillations(**options.given(asked))
    answer = {name: found[name].values.tolist() for name in ("energy", "p_e", "p_mu", "p_tau")}
    if as_json:
        say_json(answer | {"settings": found.attrs})
        return
    rows = [[number(value) for value in row] for row in zip(*answer.values(), strict=True)]
    columns = ("energy [MeV]", "P_e", "P_mu", "P_tau")
    title = f"Flavor of {found.attrs['source']} neutrinos at Earth"
    say([Table(title, columns, rows)], settings=found.attrs)


def _point(benchmark: str | None, mass: float | None, coupling: float | None) -> dict[str, Any]:
    names = None if benchmark is None else Names().convert(benchmark, None, None)
    found = options.points(names, mass, coupling)
    if len(found) != 1:
        raise click.UsageError("--benchmark: this verb takes one point; name one benchmark")
    return found[0]


def _presets(*, as_json: bool) -> None:
    from lmltgrid.tables.oscillation import DEFAULT_PRESET, PARAMETERS, presets

    found = [preset.model_dump() for preset in presets().values()]
    if as_json:
        say_json({"presets": found, "default": DEFAULT_PRESET})
        return
    columns = ("name", *PARAMETERS, "title")
    rows = [
        (entry["name"], *(number(entry[key]) for key in PARAMETERS), entry["title"])
        for entry in found
    ]
    table = Table("Oscillation parameters", columns, rows, frozenset({0, len(columns) - 1}))
    say([table], settings={"default": DEFAULT_PRESET})
