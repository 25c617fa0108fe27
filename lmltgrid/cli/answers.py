"""Answers for one point: events, spectrum, oscillation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from lmltgrid.cli import options
from lmltgrid.cli.application import Verb
from lmltgrid.cli.output import Table, number, say, say_json, threshold_unit
from lmltgrid.cli.values import Names, Numbers

if TYPE_CHECKING:
    import xarray as xr

RECOILS: Final = "0.1,0.2,0.5,1,2"  # keV
COUNTS: Final = {
    "sm": "Standard Model",
    "signal": "signal",
    "background": "background",
    "observed": "seen",
}
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
    """Count the events that a detector expects, and show those that it saw.

    The signal is the change by the mediator; it is negative where interference is destructive. The
    table adds up the times of an energy, --json does not.
    """
    point = one_point(benchmark, mass, coupling)
    from lmltgrid.analysis import points

    found = points.events(
        mass=point["mass"], coupling=point["coupling"], **options.given(asked)
    ).load()
    names = [name for name in COUNTS if name in found]
    answer: dict[str, Any] = {"bins": found["window"].values.tolist()}
    answer |= {name: found[name].values.tolist() for name in (*names, "time") if name in found}
    answer |= {str(name): found[name].values.tolist() for name in found.coords}
    answer["exposure"] = found.attrs["exposure"]
    settings = options.given(point) | found.attrs
    if as_json:
        say_json(answer | {"settings": settings})
        return
    say([_events_table(found, names)], settings=settings)


def _events_table(found: xr.Dataset, names: list[str]) -> Table:
    """Return the counts of each energy, those of its times added up."""
    size = found.sizes["bin"]
    own = [found["window"].attrs["energy_scale"]] * size
    scales = found["scale"].values.tolist() if "scale" in found.coords else own
    members = found["member"].values.tolist() if "member" in found.coords else [""] * size
    rows: dict[tuple[Any, ...], list[float]] = {}
    for i, (low, high) in enumerate(found["window"].values.tolist()):
        row = rows.setdefault((members[i], scales[i], low, high), [0.0] * len(names))
        rows[members[i], scales[i], low, high] = [
            total + float(found[name][i]) for total, name in zip(row, names, strict=True)
        ]
    cells = [
        (
            *([member] if member else []),
            f"{number(low)} - {number(high)} {threshold_unit(scale)}",
            *map(number, counts),
        )
        for (member, scale, low, high), counts in rows.items()
    ]
    energy = "recoil energy" if set(scales) == {"nuclear_recoil"} else "reconstructed energy"
    words: tuple[str, ...] = ("experiment", energy) if any(members) else (energy,)
    title = f"Events in {found.attrs['experiment']}"
    if not any(members) and "muon_energy" not in scales:  # the whole run has no tonne year
        title += f", {number(found.attrs['exposure'])} tonne year"
    left = frozenset(range(len(words) - 1))
    return Table(title, (*words, *(COUNTS[name] for name in names)), cells, left)


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
    point = one_point(benchmark, mass, coupling)
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


def one_point(
    benchmark: str | None, mass: float | None, coupling: float | None, *, prefix: str = "--"
) -> dict[str, Any]:
    """Return the point asked for, see `lmltgrid.cli.options.points`."""
    names = None if benchmark is None else Names().convert(benchmark, None, None)
    found = options.points(names, mass, coupling, prefix=prefix)
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
