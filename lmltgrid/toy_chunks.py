"""How large the chunks of pseudo-experiments are: by the work that a point costs, roughly."""

from __future__ import annotations

from math import prod
from typing import Final

from lmltgrid.spec import ScanSpec
from lmltgrid.tables.experiment import Experiment
from lmltgrid.toys import FREE_MASSES

WANTED: Final = 1.0  # s of work in a chunk
# us of one pseudo-experiment or one fit on a core of 2020, for the size of chunks alone
_CLOSED_FORM: Final = 0.3
_BEFORE: Final = 700.0  # fits before the first pseudo-experiment of a point
_FITS: Final = 10.0
_A_FIT: Final = 0.7
_A_BIN: Final = 0.03
_A_PAIR: Final = 0.003  # of pulls, in each bin


def chunks(experiment: Experiment, spec: ScanSpec, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a chunk: about a second of work, of the last axes first."""
    assert spec.toys is not None  # noqa: S101 - asked for
    points = WANTED / (1e-6 * _cost(experiment, spec))
    out = [1] * len(shape)
    for axis in range(len(shape) - 1, 2, -1):
        out[axis] = int(min(shape[axis], max(points / prod(out), 1.0)))
    return tuple(out)


def _cost(experiment: Experiment, spec: ScanSpec) -> float:
    """Return the microseconds of one point, roughly."""
    assert spec.toys is not None  # noqa: S101 - asked for
    number = spec.toys.number
    kind, flux = experiment.spec.test, bool(spec.statistic.flux_error)
    if kind in ("rate", "flux") or (kind == "counting" and not flux):
        return number * _CLOSED_FORM
    pulls = len(experiment.pull_names) + flux + 2 * (kind == "counts")
    fit = _A_FIT + experiment.n_bins * (_A_BIN + _A_PAIR * pulls * (pulls + 3))
    curves = 1 if spec.toys.parameters == 1 else FREE_MASSES.size + 1
    return (_BEFORE + _FITS * number) * curves * fit
