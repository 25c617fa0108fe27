"""Pseudo-experiments of a scan: calibrated limits beside the asymptotic ones, and their figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lmltgrid.cli import options
from lmltgrid.cli.application import Verb
from lmltgrid.cli.figures import finish, output, select, settings
from lmltgrid.cli.output import Table, number, say, say_json
from lmltgrid.cli.results import coupling_ranges
from lmltgrid.cli.scans import store_argument
from lmltgrid.cli.values import Positive
from lmltgrid.errors import SpecificationError, unknown_name

if TYPE_CHECKING:
    import xarray as xr

    from lmltgrid.storage import Address

KINDS: Final = ("asymptotic", "calibrated")
CRITICAL: Final = ("low_critical", "low_critical_error")
LEVEL: Final = "0.9"  # as the library has it; a test holds the two together

asked_of_both = options.joined(
    store_argument,
    click.option(
        "--level",
        type=float,
        metavar="FRACTION",
        help="Confidence level, one of those that the scan asked for. "
        f"[default: {LEVEL}, or the highest]",
    ),
    click.option(
        "--experiment", metavar="NAME", help="An experiment of the scan. [default: its first]"
    ),
    click.option("--model", metavar="NAME", help="A mediator of the scan. [default: its first]"),
    click.option("--metallicity", metavar="NAME", help="A Sun of the scan. [default: its first]"),
    click.option(
        "--oscillation",
        metavar="NAME",
        help="A set of oscillation parameters of the scan. [default: its first]",
    ),
    click.option(
        "--threshold",
        type=Positive("keV"),
        help="The nearest of the scan is taken. [default: its lowest]",
    ),
    click.option(
        "--exposure",
        type=Positive("t*yr"),
        help="The nearest of the scan is taken. [default: the experiment's own]",
    ),
)


@click.command(
    "toys",
    cls=Verb,
    short_help="Limits of a scan calibrated by its pseudo-experiments, beside the asymptotic ones.",
    example="lmltgrid toys scan.zarr --experiment coherent-csi-2021 --level 0.9",
)
@asked_of_both
@options.as_json
def toys(*, store: Address, level: float | None, as_json: bool, **asked: Any) -> None:
    """Give the couplings that the data of STORE exclude at each mass (Feldman and Cousins 1998).

    The scan must have a table [toys]. Without data, the Standard Model is the data. The critical
    value is that of the likelihood ratio where the last excluded interval begins; errors are those
    of the number of pseudo-experiments, and the ratio is that of both limits there.
    """
    from lmltgrid.analysis.limits import as_lists
    from lmltgrid.analysis.toys import as_limits, calibrated_limits

    drawn, level = _plane(store, level, options.given(asked))
    found = calibrated_limits(drawn, level=level)
    both = {name: as_lists(as_limits(found, asymptotic=name == "asymptotic")) for name in KINDS}
    mass = found["mass"].values.tolist()
    used = settings(found)
    if as_json:
        rest = {name: _last(found, name) for name in ("low_error", *CRITICAL)}
        say_json({"mass": mass, **both, **rest, "ratio": _ratios(both), "settings": used})
        return
    columns = (
        *("mass [MeV]", "asymptotic", "calibrated", "+-", "ratio"),
        *(f"critical value ({used['asymptotic_value']:.4g} asymptotically)", "+-"),
    )
    cells = [
        [number(one, 4) for one in mass],
        *(list(map(coupling_ranges, both[name])) for name in KINDS),
        [number(one, 2) for one in _last(found, "low_error")],
        [number(one, 4) for one in _ratios(both)],
        *([number(one, 3) for one in _last(found, name)] for name in CRITICAL),
    ]
    title = (
        f"Couplings g that {used['experiment']} excludes at {100.0 * level:g} %, "
        f"{used['toys']} pseudo-experiments at each point"
    )
    rows = list(zip(*cells, strict=True))
    say([Table(title, columns, rows, frozenset({1, 2}))], settings=used)


@click.command(
    "toys",
    cls=Verb,
    short_help="Regions calibrated by pseudo-experiments, beside the asymptotic ones.",
    example="lmltgrid plot toys scan.zarr --experiment coherent-csi-2021 --output toys.png",
)
@asked_of_both
@output("toys")
@options.as_json
def figure(
    *, store: Address, level: float | None, output: Path, as_json: bool, **asked: Any
) -> None:
    """Draw the couplings that the data of STORE exclude at each mass, calibrated and not."""
    from lmltgrid.analysis.toys import calibrated_limits
    from lmltgrid.views import plots

    drawn, level = _plane(store, level, options.given(asked))
    found = calibrated_limits(drawn, level=level)
    finish(plots.toy_regions(found), output, settings(found), as_json=as_json)


def _plane(store: Address, level: float | None, given: dict[str, Any]) -> tuple[xr.Dataset, float]:
    """Return one plane of pseudo-experiments, read, and the level that is asked for."""
    from lmltgrid import service
    from lmltgrid.reaching import decoding
    from lmltgrid.toys import GROUP

    tree = service.open_store(store)
    if GROUP not in tree:
        raise SpecificationError(
            f"{store}: the scan has no pseudo-experiments; run one with a table [toys] in its "
            "specification"
        )
    groups = tree[GROUP]
    name = given.get("experiment") or next(iter(groups))
    if name not in groups:
        raise unknown_name("experiment", name, list(groups), "--experiment")
    chosen = select(groups[name].to_dataset(), given)
    with decoding(store):
        drawn = chosen.load()
    known = [float(one) for one in drawn.attrs["levels"]]
    own = float(LEVEL) if float(LEVEL) in known else known[-1]
    return drawn, own if level is None else level


def _last(found: xr.Dataset, name: str) -> list[float]:
    """Return a variable of the last interval at each mass; NaN where there is none."""
    out = []
    for low, values in zip(found["low"].values, found[name].values, strict=True):
        known = values[low == low]
        out.append(float(known[-1]) if known.size else float("nan"))
    return out


def _ratios(both: dict[str, list[list[list[float | None]]]]) -> list[float | None]:
    """Return the calibrated over the asymptotic limit, where each begins its last interval."""
    pairs = zip(both["calibrated"], both["asymptotic"], strict=True)
    return [one[-1][0] / two[-1][0] if one and two else None for one, two in pairs]  # type: ignore[operator]
