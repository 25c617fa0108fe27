"""Figures: plot plane, spectrum, discovery, limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from lmltgrid.cli import options
from lmltgrid.cli.application import Verb, Verbs
from lmltgrid.cli.output import say, say_json
from lmltgrid.cli.values import Names, Numbers, ParamType
from lmltgrid.errors import unknown_name

if TYPE_CHECKING:
    import xarray as xr

    from lmltgrid.storage import Address

F = TypeVar("F", bound=Callable[..., Any])

SUFFIXES: Final = (".html", ".png")
PLANE: Final = {"mass": "1:300:120", "coupling": "1e-5:1e-2:120"}
RECOILS: Final = "0.05:6:200"  # keV
LINES: Final = "darwin-nr,darwin-er,darwin-nr-er"
THRESHOLDS: Final = (10.0, 40)  # up to so many keV, in so many points
MASSES: Final = "1:300:100"  # MeV
# what decides the numbers when there is no store, and what a store has decided already
OF_THE_GRID: Final = (
    *("mass", "coupling", "test", "sided", "mixing", "atomic", "couplings"),
    *("flux_error", "experiments"),
)


class FigurePath(ParamType):
    """A file that a figure can be written to."""

    name = "file"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return the two kinds."""
        return "FILE.html|FILE.png"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, or refuse it before anything is computed."""
        path = Path(value)
        if path.suffix not in SUFFIXES:
            self.fail(f"{str(path)!r} is given; end it in {' or '.join(SUFFIXES)}", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"there is no folder {str(path.parent)!r}; create it first", param, ctx)
        return path


def output(name: str) -> Callable[[F], F]:
    """Return the option for the file that a figure goes to."""
    return click.option(
        "--output",
        type=FigurePath(),
        default=f"{name}.png",
        help=f"Where the figure goes: .html can be zoomed, .png is an image. [default: {name}.png]",
    )


plot = Verbs(
    "plot",
    short_help="Draw a plane, spectra, discovery lines, limits, reconstructions, toys.",
    help="Draw a figure, into an HTML page that needs no network or into a PNG image.",
    example="lmltgrid plot plane --store quickstart.zarr --threshold 1.0 --output plane.html",
)


@plot.command(
    "plane",
    cls=Verb,
    short_help="Significance in the mass-coupling plane, from a store or on the fly.",
    example="lmltgrid plot plane --store quickstart.zarr --threshold 1.0 --output plane.html",
)
@click.option(
    "--store",
    type=options.StoreAddress(),
    help="Store of a scan; without it the plane is evaluated on the fly.",
)
@options.experiment
@options.threshold
@options.exposure
@click.option("--mass", type=Numbers("MeV"), help=f"On the fly: masses. [default: {PLANE['mass']}]")
@click.option(
    "--coupling",
    type=Numbers("G"),
    help=f"On the fly: couplings. [default: {PLANE['coupling']}]",
)
@click.option(
    "--test",
    metavar="[discovery|exclusion]",
    help="On the fly: which significance. [default: discovery]",
)
@click.option(
    "--sided",
    metavar="[one|two]",
    help="On the fly: whether only an excess counts, or a deficit as well. [default: one]",
)
@options.flux_error
@options.conventions
@options.experiments
@output("plane")
@options.as_json
def plane(*, store: Address | None, output: Path, as_json: bool, **asked: Any) -> None:
    """Draw how significant a mediator of each mass and coupling would be.

    A store is shown at the point of its axes that is nearest to what is asked for; by default at
    its first model, Sun and threshold, and at the experiment's own exposure.
    """
    given = options.given(asked)
    idle = [name for name in OF_THE_GRID if name in given] if store is not None else []
    if idle:
        raise click.UsageError(f"--{idle[0]} is decided by the store; leave it out")
    found = _on_the_fly(given).load() if store is None else _from_store(store, given)
    from lmltgrid.views import plots

    finish(plots.plane(found), output, settings(found), as_json=as_json)


def _from_store(store: Address, given: Mapping[str, Any]) -> xr.Dataset:
    """Return one plane of a store, read: names must be there, numbers are the nearest."""
    from lmltgrid import service
    from lmltgrid.reaching import decoding

    groups = service.open_store(store)["grid"]
    name = given.get("experiment") or next(iter(groups))
    if name not in groups:
        raise unknown_name("experiment", name, groups, "--experiment")
    chosen = select(groups[name].to_dataset(), given)
    with decoding(store):
        return chosen.load()


def select(grid: xr.Dataset, given: Mapping[str, Any]) -> xr.Dataset:
    """Return the plane of a grid that is asked for, or its documented default."""
    for dim in ("model", "metallicity", "oscillation"):
        known = grid[dim].values.tolist()
        wanted = given.get(dim, known[0])
        if wanted not in known:
            raise unknown_name(dim, wanted, known, f"--{dim}")
        grid = grid.sel({dim: wanted})
    for dim in ("threshold", "exposure"):
        wanted = given.get(dim) or _nominal(grid, dim)
        known = grid[dim].values.tolist()
        shown = min(known, key=lambda value: _apart(value, wanted))
        grid = grid.isel({dim: known.index(shown)})
        if dim in given and abs(shown / wanted - 1.0) > 1e-3:
            click.echo(f"lmltgrid: --{dim} {wanted:g}: the grid has {shown:g} nearest", err=True)
    return grid


def _apart(value: float, wanted: float) -> float:
    """Return how far two points of an axis are apart, in ratio where both have one."""
    if value > 0.0 and wanted > 0.0:
        return abs(math.log(value / wanted))
    return abs(value - wanted)  # bins can begin at zero


def _nominal(grid: xr.Dataset, dim: str) -> float:
    from lmltgrid.tables.experiments import catalog

    known = catalog().get(grid.attrs["experiment"])
    if dim == "threshold" or known is None:
        return float(grid[dim][0 if dim == "threshold" else -1])
    return known.spec.exposure_tonne_year


def _on_the_fly(given: Mapping[str, Any]) -> xr.Dataset:
    """Return one plane that no store holds."""
    from lmltgrid import grid, lazy
    from lmltgrid.analysis.setup import find_experiment
    from lmltgrid.spec import ScanSpec, validate

    chosen = {key: given.get(key, options.DEFAULTS[key]) for key in ("model", "experiment")}
    counts = find_experiment(chosen["experiment"], given.get("experiments")).spec.test == "counting"
    test = {} if counts else {"test": "exclusion"}  # nothing else discovers
    if "mixing" in given:
        given = {**given, "mixing": _number_or_name(given["mixing"])}
    axes = {key: given.get(key) or Numbers("").convert(PLANE[key], None, None) for key in PLANE}
    content = {
        **_named(chosen["model"]),
        "experiments": [chosen["experiment"]],
        "metallicity": [given.get("metallicity", options.DEFAULTS["metallicity"])],
        "statistic": test
        | {key: given[key] for key in ("test", "sided", "flux_error") if key in given},
        **{key: {"values": values} for key, values in axes.items()},
        **{key: {"values": [given[key]]} for key in ("threshold", "exposure") if key in given},
        **{
            key: given[key]
            for key in ("mixing", "oscillation", "atomic", "couplings")
            if key in given
        },
    }
    spec = validate(ScanSpec, content, "plot plane")
    plan = grid.make_plan(spec, experiments=given.get("experiments"), where="plot plane")
    found = lazy.virtual(plan)[chosen["experiment"]]
    return found.isel(model=0, metallicity=0, oscillation=0, threshold=0, exposure=0)


def _named(model: str) -> dict[str, Any]:
    """Return a mediator as a specification names it: by its name, or with its charges."""
    if "=" not in model:
        return {"models": [model]}
    from lmltgrid.tables.models import written_charges

    charges = written_charges(model, "--model")
    return {"model": [{"name": model.replace(" ", ""), "charges": charges}]}


def _number_or_name(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


@plot.command(
    "spectrum",
    cls=Verb,
    short_help="Recoil spectra with mediators, in the Standard Model, and their ratio.",
    example="lmltgrid plot spectrum --benchmark BP1,BP2 --channel nr --output spectra.png",
)
@options.spectrum_options
@options.point
@options.benchmarks
@click.option(
    "--recoil-energy",
    type=Numbers("keV"),
    default=RECOILS,
    help=f"True recoil energies. [default: {RECOILS}]",
)
@options.models
@options.more_conventions
@output("spectrum")
@options.as_json
def spectrum(
    *,
    output: Path,
    as_json: bool,
    benchmark: list[str] | None,
    mass: float | None,
    coupling: float | None,
    model: list[str],
    **asked: Any,
) -> None:
    """Draw the recoil spectra of one or several points and models."""
    points = options.points(benchmark, mass, coupling)
    from lmltgrid.analysis.points import spectrum as find
    from lmltgrid.views import plots

    given = options.given(asked)
    found = [
        find(model=name, mass=point["mass"], coupling=point["coupling"], **given)
        for name in model
        for point in points
    ]
    finish(plots.spectra(found), output, of_several(found), as_json=as_json)


@plot.command(
    "discovery",
    cls=Verb,
    short_help="Exposure that a discovery needs against the threshold.",
    example=f"lmltgrid plot discovery --experiment {LINES} --output discovery.png",
)
@click.option("--experiment", type=Names(), default=LINES, help=f"One or more. [default: {LINES}]")
@options.point
@click.option(
    "--benchmark",
    type=Names(),
    help="BP1 to BP4 of P21, or all, instead of mass and coupling. [default: all]",
)
@click.option(
    "--threshold",
    type=Numbers("keV"),
    help="Thresholds in the experiment's own scale. [default: its lowest to 10 keV, 40 points]",
)
@options.discovery_options
@options.conventions
@options.experiments
@output("discovery")
@options.as_json
def discovery(
    *,
    output: Path,
    as_json: bool,
    experiment: list[str],
    benchmark: list[str] | None,
    mass: float | None,
    coupling: float | None,
    threshold: list[float] | None,
    **asked: Any,
) -> None:
    """Draw, for each point, the exposure at which the Standard Model would be rejected."""
    bare = benchmark is None and mass is None and coupling is None
    points = options.points(["all"] if bare else benchmark, mass, coupling)
    from lmltgrid.analysis.discovery import discovery as find
    from lmltgrid.views import plots

    given = options.given(asked)
    found = []
    for name in experiment:
        at = threshold or _thresholds(name, asked["experiments"])
        found += [
            find(name, mass=point["mass"], coupling=point["coupling"], threshold=at, **given)
            for point in points
        ]
    figure = plots.discovery_lines(found, experiments=asked["experiments"])
    finish(figure, output, of_several(found), as_json=as_json)


def _thresholds(name: str, folder: Path | None) -> list[float]:
    from lmltgrid.analysis.setup import find_experiment

    low, (high, num) = find_experiment(name, folder).lowest_threshold, THRESHOLDS
    text = f"{low!r}:{max(high, 2.0 * low)!r}:{num}"
    return list(Numbers("keV").convert(text, None, None))


@plot.command(
    "limits",
    cls=Verb,
    short_help="Couplings that experiments exclude (or discover) at each mass.",
    example="lmltgrid plot limits --model Lmu-Ltau,Lmu --threshold 1.0 --output limits.png",
)
@click.option(
    "--experiment",
    type=Names(),
    default=options.DEFAULTS["experiment"],
    help=f"One or more. {options.default('experiment')}",
)
@click.option("--mass", type=Numbers("MeV"), default=MASSES, help=f"Masses. [default: {MASSES}]")
@options.test_options
@options.threshold
@options.exposure
@options.models
@options.more_conventions
@options.experiments
@output("limits")
@options.as_json
def limits(
    *, output: Path, as_json: bool, experiment: list[str], model: list[str], **asked: Any
) -> None:
    """Draw the limits of one or several experiments and models, every branch of them."""
    options.check_test(asked["test"], asked["cl"], asked["sigmas"])
    from lmltgrid.analysis.limits import limits as find
    from lmltgrid.views import plots

    given = options.given(asked)
    found = [find(name, model=own, **given) for name in experiment for own in model]
    finish(plots.limits_lines(found), output, of_several(found), as_json=as_json)


def settings(found: xr.Dataset) -> dict[str, Any]:
    """Return what the numbers of a plane depend on, from attributes and scalar coordinates."""
    from lmltgrid.views.style import settings_of

    wordy = ("title", "references", "models", "charges", "kind", "identity")
    return {key: value for key, value in settings_of(found).items() if key not in wordy}


def of_several(found: list[xr.Dataset]) -> dict[str, Any]:
    """Return the settings of several answers; a list where they differ.

    Mass and coupling make one ``point``.
    """
    every = [dict(one.attrs) for one in found]
    for one in every:
        if "coupling" in one:
            one["point"] = (one.pop("mass"), one.pop("coupling"))
    out = {}
    for key in dict.fromkeys(key for one in every for key in one):
        values = list(dict.fromkeys(one[key] for one in every if key in one))
        out[key] = values[0] if len(values) == 1 else values
    return out


def finish(figure: Any, path: Path, used: Mapping[str, Any], *, as_json: bool) -> None:
    """Save a figure and say where it is, and what its numbers depend on."""
    from lmltgrid.views import plots

    plots.save(figure, path)
    if as_json:
        say_json({"figure": path, "settings": used})
    else:
        say([], notes=[f"Figure: {path}"], settings=used)
