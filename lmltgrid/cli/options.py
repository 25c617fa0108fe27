"""Options that verbs share, with the defaults that their help tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from lmltgrid.cli.values import Models, Names, ParamType, Positive

if TYPE_CHECKING:
    from lmltgrid.storage import Address

F = TypeVar("F", bound=Callable[..., Any])

# Documented defaults; the verbs leave them to the library, and a test holds the two together
DEFAULTS: Final[dict[str, Any]] = {
    "experiment": "darwin-nr",
    "model": "Lmu-Ltau",
    "metallicity": "GS98",
    "oscillation": "nufit60",
    "atomic": "step+rrpa",
    "couplings": "msbar",
    "source": "8B",
    "target": "Xe",
    "channel": "nr",
    "cl": 0.9,
    "dof": 1,
    "sigmas": 5.0,
}


class StoreAddress(ParamType):
    """A store: a folder, or a URL as ``s3://bucket/name.zarr``."""

    name = "store"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return the two kinds."""
        return "FOLDER|s3://BUCKET/NAME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        """Return the folder or the URL, or refuse it in one sentence."""
        from lmltgrid.errors import SpecificationError
        from lmltgrid.storage import address

        try:
            return address(value)
        except SpecificationError as error:
            self.fail(str(error).removeprefix("store: "), param, ctx)


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a user gave; the library has the defaults of the others."""
    return {name: value for name, value in options.items() if value is not None}


def joined(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator that adds several options, in the order given."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def default(name: str) -> str:
    """Return the words that document a default."""
    return f"[default: {DEFAULTS[name]}]"


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

experiments = click.option(
    "--experiments",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder with experiment files of your own, used beside the shipped ones.",
)

experiment = click.option(
    "--experiment",
    metavar="NAME",
    help="Experiment and analysis, see 'lmltgrid experiments'; a+b adds up likelihoods. "
    + default("experiment"),
)

metallicity = click.option(
    "--metallicity",
    metavar="[GS98|AGSS09met]",
    help=f"Solar model: high or low metallicity. {default('metallicity')}",
)

oscillation = click.option(
    "--oscillation",
    metavar="PRESET|NAME=VALUE,...",
    help="Oscillation parameters, see 'lmltgrid oscillation --list'; for example "
    f"nufit40,delta_cp=0. {default('oscillation')}",
)

model = click.option(
    "--model",
    metavar="NAME",
    help=f"Mediator, or charges as e=1,mu=-2,tau=1; see 'lmltgrid models'. {default('model')}",
)

models = click.option(
    "--model",
    type=Models(),
    default=DEFAULTS["model"],
    help="One or more mediators, by name or by charges as e=1,mu=-2,tau=1, with a semicolon "
    f"between sets of charges; see 'lmltgrid models'. {default('model')}",
)

more_conventions = joined(
    click.option(
        "--mixing",
        metavar="[loop|amaral2021|amaral2020|NUMBER]",
        help="Kinetic mixing of the mediator with the photon, eps/g. [default: the model's own]",
    ),
    metallicity,
    oscillation,
    click.option(
        "--atomic",
        metavar="[free|step|step+rrpa]",
        help=f"How electrons are bound in the target. {default('atomic')}",
    ),
    click.option(
        "--couplings",
        metavar="[msbar|low-energy|radiative]",
        help="Couplings of neutrinos in the Standard Model: weak mixing angle, or those of AC22. "
        + default("couplings"),
    ),
)

conventions = joined(model, more_conventions)

point = joined(
    click.option("--mass", type=Positive("MeV"), help="Mass of the mediator."),
    click.option("--coupling", type=Positive("G"), help="Coupling g of the mediator."),
)

benchmarks = click.option(
    "--benchmark", type=Names(), help="BP1 to BP4 of P21, or all, instead of mass and coupling."
)

threshold = click.option(
    "--threshold",
    type=Positive("keV"),
    help="Threshold in the experiment's own scale, keV_nr or keV_ee; of a gas detector its "
    "pressure in Torr. Binned likelihoods have none to choose. [default: its nominal one]",
)

exposure = click.option(
    "--exposure",
    type=Positive("t*yr"),
    help="Exposure of a projection; data that were taken, and sums a+b, have their own. "
    "[default: the experiment's own]",
)

flux_error = click.option(
    "--flux-error",
    type=float,
    metavar="FRACTION",
    help="Fractional error of the 8B flux, profiled: 0.12 for the solar models, 0.04 for what SNO "
    "measured. [default: the experiment's own if it measured 8B, else none]",
)

test_options = joined(
    click.option(
        "--test",
        metavar="[exclusion|discovery]",
        help="exclusion: the coupling is excluded if the Standard Model is true, or by data "
        "that were taken. discovery: the Standard Model is rejected if the coupling is true. "
        "[default: exclusion]",
    ),
    click.option(
        "--sided",
        metavar="[one|two]",
        help="Whether only an excess of events counts, or a deficit as well. [default: two]",
    ),
    click.option(
        "--cl",
        type=Positive("FRACTION"),
        help=f"Confidence level of an exclusion; for counts, in each tail. {default('cl')}",
    ),
    click.option(
        "--dof",
        type=click.IntRange(1, 100),
        help=f"Degrees of freedom of a chi-square; a count has none. {default('dof')}",
    ),
    click.option(
        "--sigmas",
        type=Positive("SIGMAS"),
        help=f"Significance of a discovery. {default('sigmas')}",
    ),
    flux_error,
)


discovery_options = joined(
    click.option(
        "--sided",
        metavar="[one|two]",
        help="Whether only an excess of events counts, or a deficit as well. [default: one]",
    ),
    click.option("--sigmas", type=Positive("SIGMAS"), help=f"Significance. {default('sigmas')}"),
    flux_error,
)

spectrum_options = joined(
    click.option("--source", metavar="[solar]", help="Source of the neutrinos. [default: solar]"),
    click.option("--target", metavar="ELEMENT", help=f"Target. {default('target')}"),
    click.option(
        "--channel", metavar="[nr|er]", help=f"Nuclear or electron recoils. {default('channel')}"
    ),
)


def check_test(test: str | None, cl: float | None, sigmas: float | None) -> None:
    """Refuse a level that does not belong to the test, which would not be used."""
    if sigmas is not None and test != "discovery":
        raise click.UsageError("--sigmas belongs to --test discovery; give --cl for an exclusion")
    if cl is not None and test == "discovery":
        raise click.UsageError("--cl belongs to --test exclusion; give --sigmas for a discovery")


def points(
    benchmark: list[str] | None,
    mass: float | None,
    coupling: float | None,
    *,
    prefix: str = "--",
) -> list[dict[str, Any]]:
    """Return the points asked for, each with ``benchmark`` (or none), ``mass``, ``coupling``.

    ``prefix`` opens the names of the options for mass and coupling.
    """
    if benchmark is None:
        if mass is None or coupling is None:
            raise click.UsageError(
                f"no point is given; give {prefix}mass and {prefix}coupling, or --benchmark"
            )
        return [{"benchmark": None, "mass": mass, "coupling": coupling}]
    if mass is not None or coupling is not None:
        raise click.UsageError("--benchmark stands for mass and coupling; leave those out")
    from lmltgrid.tables.models import benchmarks

    known = benchmarks()
    names = list(known) if benchmark == ["all"] else benchmark
    found = [known.find(name, "--benchmark") for name in names]
    return [{"benchmark": b.name, "mass": b.mass, "coupling": b.coupling} for b in found]
