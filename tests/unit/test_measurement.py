"""What experiments measured: the tables of their files, pulls, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from lmltgrid import datafiles, detector
from lmltgrid.errors import SpecificationError
from lmltgrid.spec import Spec, validate
from lmltgrid.tables import measurement
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.measurement import (
    CountMeasurement,
    FluxMeasurement,
    Measurement,
    RateMeasurement,
    as_plain,
    from_json,
    to_json,
)

RATE = RateMeasurement(rate_per_tonne_year=10.0, error_per_tonne_year=3.0, theory_fraction=0.5)
FLUX = FluxMeasurement(
    reference_flux_per_cm2_s=5e6,
    flux_per_cm2_s=8e6,
    error_per_cm2_s=1.5e6,
    theory_fraction=0.4,
)
LIMIT = FluxMeasurement(reference_flux_per_cm2_s=5e6, upper_limit_per_cm2_s=1.4e7, cl=0.9)
COUNTS = CountMeasurement(
    observed=37, background_counts=26.4, background_error_counts=1.4, flux_fraction=0.12
)
KINDS = {"rate": RATE, "flux": FLUX, "counts": COUNTS}
PAIRS = (
    "either flux_per_cm2_s and error_per_cm2_s, or upper_limit_per_cm2_s and cl, are needed; give "
    "one pair and take out the other"
)


def keys(one: Measurement, **changed: Any) -> dict[str, Any]:
    """The keys of a measurement, some changed, and those that become None taken out."""
    return {k: v for k, v in (one.model_dump() | changed).items() if v is not None}


def refused(kind: type[Spec], content: dict[str, Any]) -> str:
    with pytest.raises(SpecificationError) as caught:
        validate(kind, content, "here")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_flux_error_is_added_to_the_errors_of_a_rate() -> None:
    """3 of the measurement, 0.5 * 8 of the prediction, and 2 * 6 of the flux: 13."""
    assert RATE.pull(8.0, 0.0, 6.0) == (2.0, 5.0)
    assert RATE.pull(8.0, 0.0, 6.0, 2.0) == (2.0, 13.0)
    assert RATE.pull(8.0, 0.0, 6.0, 0.0) == (2.0, 5.0)


@pytest.mark.parametrize("neutrinos", [1.0, 7.0])
def test_a_flux_is_compared_through_the_ratio(neutrinos: float) -> None:
    """R = 1.6 +- 0.3, and 0.4 on the reference: whatever flux the prediction is made for."""
    missing, error = FLUX.pull(neutrinos, 0.0)
    assert missing == pytest.approx(0.6 * neutrinos, rel=1e-15)
    assert error == pytest.approx(0.5 * neutrinos, rel=1e-15)
    # the experiment subtracted its background
    assert FLUX.pull(neutrinos, 100.0) == (missing, error)


def test_a_flux_error_replaces_that_of_the_reference() -> None:
    assert FLUX.pull(2.0, 0.0, 2.0, 0.0)[1] == pytest.approx(0.6, rel=1e-15)
    assert FLUX.pull(2.0, 0.0, 2.0, 0.4) == FLUX.pull(2.0, 0.0)


@pytest.mark.parametrize("cl", [0.68, 0.9, 0.95])
def test_an_upper_limit_is_recovered_at_its_own_level(cl: float) -> None:
    limit = LIMIT.model_copy(update={"cl": cl})
    missing, error = limit.pull(2.0, 0.0)
    assert missing == 0.0
    excess = 2.0 * (1.4e7 / 5e6 - 1.0)
    assert (excess / error) ** 2 == pytest.approx(chi2.ppf(cl, 1), rel=1e-12)


def test_an_upper_limit_scales_as_a_gaussian() -> None:
    """1.645 standard deviations at 90 % are 1.960 at 95 %."""
    found = LIMIT.pull(1.0, 0.0)[1] * np.sqrt(chi2.ppf(0.95, 1))
    assert found == pytest.approx(1.8 * 1.959964 / 1.644854, rel=1e-6)
    # the limit fixes the whole error
    assert LIMIT.pull(1.0, 0.0, 1.0, 0.5) == LIMIT.pull(1.0, 0.0)


@pytest.mark.parametrize("one", [RATE, FLUX, LIMIT, COUNTS])
def test_a_measurement_comes_back_from_json(one: Measurement) -> None:
    again = from_json(to_json(one))
    assert again == one
    assert type(again) is type(one)


@pytest.mark.parametrize(("kind", "one"), KINDS.items())
def test_plain_data_have_the_kind_and_the_keys_that_are_given(kind: str, one: Measurement) -> None:
    plain = as_plain(one)
    assert plain == {"kind": kind, **keys(one)}
    assert json.loads(to_json(one)) == plain
    assert as_plain(None) is None


@pytest.mark.parametrize(
    "text", ["", "1", "[1]", "{}", '{"kind": "mass"}', '{"kind": []}', "null", '{"observed": 1}']
)
def test_json_that_is_no_measurement_is_refused(text: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        from_json(text, "store")
    assert str(caught.value) == (
        "store: no measurement; JSON with a kind, one of rate, flux, counts, is needed; make it "
        "anew"
    )


def test_json_with_wrong_keys_is_refused() -> None:
    with pytest.raises(SpecificationError, match="store: observed: given -1; "):
        from_json(to_json(COUNTS).replace("37", "-1"), "store")


@pytest.mark.parametrize(
    ("one", "changed", "message"),
    [
        (FLUX, {"error_per_cm2_s": None}, PAIRS),
        (FLUX, {"flux_per_cm2_s": None}, PAIRS),
        (FLUX, {"flux_per_cm2_s": None, "error_per_cm2_s": None}, PAIRS),
        (FLUX, {"upper_limit_per_cm2_s": 1e7}, PAIRS),
        (FLUX, {"upper_limit_per_cm2_s": 1e7, "cl": 0.9}, PAIRS),
        (LIMIT, {"cl": None}, PAIRS),
        (
            LIMIT,
            {"theory_fraction": 0.1},
            "theory_fraction is given with an upper limit, which would not be recovered at its own "
            "confidence level; take it out",
        ),
        (
            LIMIT,
            {"upper_limit_per_cm2_s": 5e6},
            "upper_limit_per_cm2_s: given 5e+06; it must lie above reference_flux_per_cm2_s, "
            "5e+06; correct it",
        ),
        (LIMIT, {"cl": 0.5}, "cl: given 0.5; a number above 0.5 is needed; correct it"),
        (LIMIT, {"cl": 1.0}, "cl: given 1.0; a number below 1 is needed; correct it"),
        (FLUX, {"reference_flux_per_cm2_s": 0}, "reference_flux_per_cm2_s: given 0; "),
        (FLUX, {"error_per_cm2_s": 0}, "error_per_cm2_s: given 0; a number above 0 is needed"),
        (FLUX, {"flux_per_cm2_s": -1.0}, "flux_per_cm2_s: given -1.0; a number of at least 0"),
        (COUNTS, {"observed": -1}, "observed: given -1; a number of at least 0 is needed"),
        (COUNTS, {"observed": 1.5}, "observed: given 1.5; a whole number is needed"),
        (COUNTS, {"observed": True}, "observed: given true; a number is needed, not true or"),
        (COUNTS, {"background_counts": -0.1}, "background_counts: given -0.1; "),
        (COUNTS, {"background_error_counts": None}, "background_error_counts: this key is missing"),
        (COUNTS, {"flux_fraction": -0.1}, "flux_fraction: given -0.1; "),
        (RATE, {"rate_per_tonne_year": 0}, "rate_per_tonne_year: given 0; a number above 0"),
        (RATE, {"kind": "rate"}, "kind: unknown key; Allowed: rate_per_tonne_year,"),
    ],
)
def test_what_is_not_a_measurement_is_refused(
    one: Measurement, changed: dict[str, Any], message: str
) -> None:
    assert refused(type(one), keys(one, **changed)).startswith(f"here: {message}")


def test_nothing_observed_and_nothing_expected_is_a_measurement() -> None:
    zeros = {"background_counts": 0.0, "background_error_counts": 0.0, "flux_fraction": 0.0}
    assert validate(CountMeasurement, {"observed": 0, **zeros}, "here").observed == 0
    assert validate(FluxMeasurement, keys(FLUX, flux_per_cm2_s=0.0), "here").flux_per_cm2_s == 0.0


def own_file(folder: Path, base: str, old: str, new: str) -> Path:
    """A user's folder with a copy of a shipped experiment, one text replaced."""
    source = datafiles.data_folder() / "experiments"
    shutil.copy(source / f"{base}-efficiency.csv", folder)
    text = (source / f"{base}.toml").read_text(encoding="utf-8")
    assert old in text
    (folder / "mine.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


FLUX_TABLE = (
    "[measured_flux]\nreference_flux_per_cm2_s = 5.25e6\nupper_limit_per_cm2_s = 1.4e7\ncl = 0.9\n"
)


@pytest.mark.parametrize(
    ("base", "old", "new", "message"),
    [
        (
            "xenonnt-8b-2024",
            'test = "counts"',
            'test = "rate"',
            "test 'rate' goes with [measured_rate], and [measured_counts] is given; change the "
            "test, or the table",
        ),
        (
            "xenonnt-8b-2024",
            'test = "counts"',
            'test = "counting"',
            "test 'counting' goes with no measurement, and [measured_counts] is given; change the "
            "test, or the table",
        ),
        (
            "xenonnt-8b-2024",
            "[nr]",
            FLUX_TABLE + "[nr]",
            "test 'counts' goes with [measured_counts], and [measured_flux] and [measured_counts] "
            "is given; change the test, or the table",
        ),
        (
            "xenon1t-8b",
            FLUX_TABLE.replace("0.9\n", "0.90\n"),
            "",
            "test 'flux' goes with [measured_flux], and none is given; change the test, or the "
            "table",
        ),
        (
            "xenon1t-8b",
            "[nr]",
            '[[background]]\nname = "flat"\nflat_per_tonne_year_kev = 1.0\n[nr]',
            "[[background]] is given with test 'flux', whose measurement accounts for the "
            "background; take it out",
        ),
        (
            "xenonnt-8b-2026",
            "[nr]",
            '[[background]]\nname = "flat"\nflat_per_tonne_year_kev = 1.0\n[nr]',
            "[[background]] is given with test 'counts', whose measurement accounts for the "
            "background; take it out",
        ),
        (
            "xenonnt-8b-2026",
            "threshold_kev = 0.5",
            "threshold_kev = 0.5\nlog_bins = 3",
            "window.log_bins: test 'counts' is about one number; take log_bins out",
        ),
    ],
)
def test_a_measurement_that_does_not_fit_the_experiment_is_refused(
    tmp_path: Path, base: str, old: str, new: str, message: str
) -> None:
    folder = own_file(tmp_path, base, old, new)
    with pytest.raises(SpecificationError) as caught:
        catalog(folder)
    assert str(caught.value) == f"{folder}/mine.toml: {message}"


def test_a_low_efficiency_needs_a_threshold_of_its_own(tmp_path: Path) -> None:
    """Without one the threshold is where the efficiency is one half, and it is never that."""
    folder = own_file(tmp_path, "xenonnt-8b-2024", "\nthreshold_kev = 0.5", "")
    with pytest.raises(SpecificationError, match=r"an efficiency that reaches 0\.5, are needed"):
        catalog(folder)


def test_every_test_with_a_measurement_has_its_table() -> None:
    assert set(measurement.TABLES) == set(measurement.KINDS) == set(KINDS)
    for experiment in catalog().values():
        plain = experiment.as_dict().get("measurement")
        given = experiment.spec.measurement
        assert (given is None) == (experiment.spec.test not in KINDS)
        assert plain == as_plain(given)
        if given is not None:
            assert plain["kind"] == experiment.spec.test
            assert type(given) is measurement.KINDS[experiment.spec.test]


@pytest.mark.parametrize("threshold", [0.5, 2.0])
def test_a_count_comes_with_its_background(threshold: float) -> None:
    experiment = catalog()["xenonnt-8b-2024"]
    rate = detector.background(experiment, threshold)
    assert rate.shape == (1,)
    assert rate[0] * experiment.spec.exposure_tonne_year == pytest.approx(26.4, rel=1e-15)
    assert detector.background(catalog()["xenon1t-8b"], threshold).tolist() == [0.0]
