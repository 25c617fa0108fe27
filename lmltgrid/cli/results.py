"""Limits and discovery: limits, contour, discover."""

from __future__ import annotations

from typing import Any, Final

import click

from lmltgrid.cli import options
from lmltgrid.cli.application import Verb
from lmltgrid.cli.output import Table, number, say, say_json, threshold_unit
from lmltgrid.cli.values import Names, Numbers

MASSES: Final = "1,3,10,30,100,300"  # MeV
PLANE: Final = {"mass": "1:300:100", "coupling": "1e-5:1e-2"}
OF_EXPERIMENT: Final = ("experiment", "mass", "coupling")


@click.command(
    "limits",
    cls=Verb,
    short_help="Couplings that an experiment excludes (or discovers) at each mass.",
    example="lmltgrid limits --experiment darwin-nr --model Lmu-Ltau --mass 1,10,100",
)
@click.option(
    "--experiment",
    type=Names(),
    default=options.DEFAULTS["experiment"],
    help="Experiment and analysis, see 'lmltgrid experiments'; several with --envelope. "
    + options.default("experiment"),
)
@click.option(
    "--envelope",
    is_flag=True,
    help="What at least one of several experiments excludes, and which reaches furthest.",
)
@click.option(
    "--mass",
    type=Numbers("MeV"),
    default=MASSES,
    help=f"Masses of the mediator. [default: {MASSES}]",
)
@options.test_options
@options.threshold
@options.exposure
@options.conventions
@options.experiments
@options.as_json
def limits(*, as_json: bool, experiment: list[str], envelope: bool, **asked: Any) -> None:
    """Give every interval of couplings that is excluded, also between two allowed ones.

    The answer is exact in the coupling: it comes from the roots of the expected counts.
    """
    options.check_test(asked["test"], asked["cl"], asked["sigmas"])
    if len(experiment) > 1 and not envelope:
        raise click.UsageError(
            f"--experiment: {len(experiment)} are given; name one, or add --envelope"
        )
    from lmltgrid.analysis.envelope import envelope as find_envelope
    from lmltgrid.analysis.limits import as_lists
    from lmltgrid.analysis.limits import limits as find

    given = options.given(asked)
    found = find_envelope(experiment, **given) if envelope else find(experiment[0], **given)
    answer = {"mass": found["mass"].values.tolist(), "excluded": as_lists(found)}
    if envelope:
        answer["strongest"] = found["strongest"].values.tolist()
    if as_json:
        say_json(answer | {"settings": found.attrs})
        return
    columns: tuple[str, ...] = ("mass [MeV]", "coupling g")
    cells = [[number(mass) for mass in answer["mass"]], list(map(coupling_ranges, as_lists(found)))]
    who = experiment[0]
    if envelope:
        columns = (*columns, "strongest")
        cells.append([name or "-" for name in answer["strongest"]])
        who = f"at least one of {', '.join(experiment)}"
    verb = "excludes" if found.attrs["test"] == "exclusion" else "discovers"
    rows = list(zip(*cells, strict=True))
    say(
        [Table(f"Couplings g that {who} {verb}", columns, rows, frozenset({1, 2}))],
        settings=found.attrs,
    )


def coupling_ranges(ranges: list[list[float | None]]) -> str:
    """Return intervals of the coupling for people."""
    words = [
        f"g > {number(low)}" if high is None else f"{number(low)} < g < {number(high)}"
        for low, high in ranges
    ]
    return "   or   ".join(words) or "none"


@click.command(
    "contour",
    cls=Verb,
    short_help="Closed regions of the mass-coupling plane that are excluded (or discovered).",
    example="lmltgrid contour --experiment darwin-nr --mass 1:300:200 --coupling 1e-5:1e-2 --json",
)
@options.experiment
@click.option(
    "--mass",
    type=Numbers("MeV"),
    default=PLANE["mass"],
    help=f"Masses of the mediator. [default: {PLANE['mass']}]",
)
@click.option(
    "--coupling",
    type=Numbers("G", ends=True),
    default=PLANE["coupling"],
    metavar="START:STOP",
    help=f"Border of the plane; the outlines are exact. [default: {PLANE['coupling']}]",
)
@options.test_options
@options.threshold
@options.exposure
@options.conventions
@options.experiments
@options.as_json
def contour(*, as_json: bool, **asked: Any) -> None:
    """Outline the regions in which the test is passed by an excess or by a deficit."""
    options.check_test(asked["test"], asked["cl"], asked["sigmas"])
    from lmltgrid.analysis.limits import contours, outlines

    found = contours(**options.given(asked))
    plane = {key: [asked[key][0], asked[key][-1]] for key in ("mass", "coupling")}
    settings = found.attrs | plane
    if as_json:
        regions = [{"kind": kind, "points": points.tolist()} for kind, points in outlines(found)]
        say_json({"regions": regions, "settings": settings})
        return
    rows = []
    for kind, points in outlines(found):
        low, high = points.min(axis=0), points.max(axis=0)
        masses, couplings = (f"{number(a)} - {number(b)}" for a, b in zip(low, high, strict=True))
        rows.append((kind, masses, couplings, str(len(points))))
    columns = ("by", "mass [MeV]", "coupling g", "points of the outline")
    title = f"Regions that {settings['experiment']} passes the test in"
    notes = ["--json prints the outlines." if rows else "No region in this plane."]
    say([Table(title, columns, rows, frozenset({0}))], settings=settings, notes=notes)


@click.command(
    "discover",
    cls=Verb,
    short_help="Exposure that a 5-sigma discovery needs, against the threshold.",
    example="lmltgrid discover --experiment darwin-nr,darwin-er,darwin-nr-er --benchmark all",
)
@click.option(
    "--experiment",
    type=Names(),
    default=options.DEFAULTS["experiment"],
    help="One or more experiments, see 'lmltgrid experiments'. " + options.default("experiment"),
)
@options.point
@options.benchmarks
@click.option(
    "--threshold",
    type=Numbers("keV"),
    help="Thresholds in the experiment's own scale. [default: its nominal one]",
)
@options.discovery_options
@options.conventions
@options.experiments
@options.as_json
def discover(
    *,
    as_json: bool,
    experiment: list[str],
    benchmark: list[str] | None,
    mass: float | None,
    coupling: float | None,
    **asked: Any,
) -> None:
    """Give the exposure at which the Standard Model would be rejected by the expected events."""
    points = options.points(benchmark, mass, coupling)
    lines = discovery_lines(experiment, points, options.given(asked))
    settings = {k: v for k, v in lines[0].pop("settings").items() if k not in OF_EXPERIMENT}
    for line in lines[1:]:
        line.pop("settings")
    first = {k: v for k, v in lines[0].items() if k not in ("threshold", "exposure")}
    if len(lines) == 1:
        settings = options.given(first) | settings
    if as_json:
        flat = {key: lines[0][key] for key in ("threshold", "exposure")}
        answer = flat if len(lines) == 1 else {"lines": lines}
        say_json(answer | {"settings": settings})
        return
    say([_discovery_table(lines, settings["sigmas"])], settings=settings)


def discovery_lines(
    experiments: list[str], points: list[dict[str, Any]], asked: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return one line for each experiment and point: thresholds, exposures, what was asked."""
    from lmltgrid.analysis.discovery import discovery

    lines = []
    for name in experiments:
        for point in points:
            found = discovery(name, mass=point["mass"], coupling=point["coupling"], **asked)
            line = {"experiment": name, **point, "threshold": found["threshold"].values.tolist()}
            line["energy_scale"] = found["threshold"].attrs["energy_scale"]
            line["exposure"] = found["exposure"].values.tolist()
            line["settings"] = found.attrs
            lines.append(line)
    return lines


def _discovery_table(lines: list[dict[str, Any]], sigmas: float) -> Table:
    rows = []
    for line in lines:
        point = f"{number(line['mass'])} MeV, g = {number(line['coupling'])}"
        name = line["experiment"], " ".join(filter(None, (line["benchmark"], f"({point})")))
        unit = threshold_unit(line["energy_scale"])
        for threshold, exposure in zip(line["threshold"], line["exposure"], strict=True):
            needed = number(exposure)
            rows.append((*name, number(threshold), unit, "never" if needed == "-" else needed))
    columns = ("experiment", "mediator", "threshold", "unit", "exposure [tonne year]")
    title = f"Exposure for a discovery at {number(sigmas)} sigma"
    return Table(title, columns, rows, frozenset({0, 1, 3}))
