"""The verbs of reconstruction, and what binned likelihoods say on the screens of the others."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from cli_calls import PAPER, answer, invoke, refused

from lmltgrid.analysis import reconstruction as library
from lmltgrid.analysis.regions import LEVELS, regions
from lmltgrid.cli import figures, reconstruction, summary
from lmltgrid.cli.values import Numbers

SMALL = ("--mass", "1:1000:13", "--coupling", "1e-5:1e-2:31")


def test_defaults_are_those_of_the_library() -> None:
    known = inspect.signature(library.reconstruct).parameters
    assert known["experiment"].default == reconstruction.DEFAULTS["experiment"]
    for key, values in (("mass", library.DEFAULT_MASS), ("coupling", library.DEFAULT_COUPLING)):
        assert Numbers("").convert(reconstruction.DEFAULTS[key], None, None) == pytest.approx(
            values.tolist()
        )
    levels = Numbers("").convert(reconstruction.DEFAULTS["cl"], None, None)
    assert tuple(levels) == LEVELS


def test_reconstruct_contract() -> None:
    found = answer("reconstruct", "--benchmark", "BP1", *PAPER, *SMALL)
    assert set(found) == {"regions", "by_mass", "settings"}
    assert [one["level"] for one in found["regions"]] == [0.68, 0.95]
    for one in found["regions"]:
        assert set(one) == {"level", "delta_chi2", "mass", "closed", "coupling", "inside", "seen"}
        assert one["mass"][0] is None  # null: beyond the axis
        assert one["seen"]
    assert set(found["by_mass"]) == {"mass", "delta_chi2", "coupling", "upper_limit"}
    assert {len(values) for values in found["by_mass"].values()} == {13}
    settings = found["settings"]
    asked = {"experiment": "ess", "true_mass": 15.0, "true_coupling": 5e-4, "dof": 2}
    assert asked.items() <= settings.items()
    assert settings["cl"] == [0.68, 0.95]
    assert settings["oscillation"] == "amaral2021"
    assert "four bins" in settings["caution"]


def test_masses_are_refined_for_the_levels_that_are_asked_for() -> None:
    rough = ("--mass", "1:1000:5", "--coupling", "1e-5:1e-2:31")
    (one,) = answer("reconstruct", "--benchmark", "BP1", *PAPER, *rough, "--cl", "0.5")["regions"]
    axes = {"mass": np.geomspace(1.0, 1e3, 5), "coupling": np.geomspace(1e-5, 1e-2, 31)}
    point = {"true_mass": 15.0, "true_coupling": 5e-4}
    asked = {"oscillation": "amaral2021", "mixing": "amaral2021"}
    ends = [
        regions(library.reconstruct("ess", **point, **axes, **asked, levels=levels), [0.5])[0]
        for levels in ([0.5], [0.95])
    ]
    assert one["mass"][1] == pytest.approx(ends[0]["mass"][1], rel=1e-9)
    assert one["mass"][1] != pytest.approx(ends[1]["mass"][1], rel=1e-3)


def test_a_point_is_a_benchmark_or_mass_and_coupling() -> None:
    one = answer("reconstruct", "--benchmark", "BP1", *PAPER, *SMALL)
    point = ("--true-mass", "15", "--true-coupling", "5e-4")
    assert answer("reconstruct", *point, *PAPER, *SMALL) == one
    assert "--true-mass and --true-coupling" in refused(2, "reconstruct")
    assert "leave those out" in refused(2, "reconstruct", "--benchmark", "BP1", *point)
    assert "one benchmark" in refused(2, "reconstruct", "--benchmark", "all")


def test_table_of_what_is_seen() -> None:
    result = invoke("reconstruct", "--benchmark", "BP1", *PAPER)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "What ess would know of Lmu-Ltau at 15 MeV, g = 0.0005"
    assert lines[1].split("  ")[0] == "level"
    assert lines[3].split()[:4] == ["95", "%", "5.991", "<"]
    assert "upper limit" not in result.stdout
    assert "Least chi-square: 0.00, at 15 MeV, g = 0.0005" in result.stdout
    assert "The Standard Model is above it by 16.4" in result.stdout


def test_table_where_nothing_closes_has_the_upper_limit() -> None:
    result = invoke("reconstruct", "--benchmark", "BP4", *PAPER)
    assert result.exit_code == 0, result.output
    assert "any" in result.stdout
    assert "upper limits at 90 %" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if "g < " in line]
    assert [row[0] for row in rows] == ["1", "3", "10", "30", "100", "300"]
    limits = [float(row[-1]) for row in rows]
    assert limits == sorted(limits)
    assert limits[0] == pytest.approx(4.3e-4, rel=0.05)


def test_levels_can_be_chosen() -> None:
    found = answer("reconstruct", "--benchmark", "BP1", *PAPER, *SMALL, "--cl", "0.6827,0.9545")
    # as P21 prints them below its eq. 30
    assert [one["delta_chi2"] for one in found["regions"]] == [
        pytest.approx(2.30, abs=0.005),
        pytest.approx(6.18, abs=0.005),
    ]
    assert "between 0 and 1" in refused(
        3, "reconstruct", "--benchmark", "BP1", *SMALL, "--cl", "68"
    )


def test_truth_and_fit_can_differ() -> None:
    found = answer(
        *("reconstruct", "--experiment", "na64mu-printed+ess", "--benchmark", "BP1", *SMALL),
        *("--mixing", "-0.1", "--truth-mixing", "amaral2021", "--oscillation", "amaral2021"),
    )
    settings = found["settings"]
    assert (settings["mixing"], settings["truth_mixing"]) == ("-0.1", "amaral2021")
    assert settings["chi2_minimum"] > 1.0


def test_an_external_chi_square_is_added(tmp_path) -> None:
    rows = [
        f"{m},{g},{5.0 * abs(math.log10(g) + 3.3)}"
        for m in (0.5, 2000)
        for g in np.geomspace(5e-6, 2e-2, 40)
    ]
    file = tmp_path / "mine.csv"
    file.write_text("\n".join(["mass_mev,coupling,delta_chi2", *rows]) + "\n", encoding="utf-8")
    call = ("reconstruct", "--benchmark", "BP4", *PAPER, *SMALL)
    alone, found = answer(*call), answer(*call, "--external", str(file))
    assert found["settings"]["external"] == str(file)
    assert not alone["regions"][0]["seen"]
    assert found["regions"][0]["seen"]
    missing = str(tmp_path / "none.csv")
    assert "cannot be read" in refused(6, *call, "--external", missing)


def test_refusals_come_as_sentences() -> None:
    common = ("--benchmark", "BP1", *SMALL)
    name = refused(3, "reconstruct", "--experiment", "darwin-nr", *common)
    assert "write darwin-nr@" in name
    assert "has data already" in refused(3, "reconstruct", "--experiment", "coherent-2022", *common)
    assert "did you mean 'ess'" in refused(3, "reconstruct", "--experiment", "esss", *common)


def test_figure_is_drawn(tmp_path) -> None:
    for suffix in ("png", "html"):
        path = tmp_path / f"figure.{suffix}"
        found = answer(
            *("plot", "reconstruction", "--experiment", "ess,cenns610", "--benchmark", "BP1"),
            *(*PAPER, *SMALL, "--output", str(path)),
        )
        assert found["figure"] == str(path)
        assert path.stat().st_size > 10_000
    assert found["settings"]["experiment"] == ["ess", "cenns610"]
    assert found["settings"]["cl"] == [0.68, 0.95]


def test_span() -> None:
    assert reconstruction.span([1.0, 2.5]) == "1 - 2.5"
    assert reconstruction.span([None, 2.5]) == "< 2.5"
    assert reconstruction.span([1.0, None]) == "> 1"
    assert reconstruction.span([None, None]) == "any"


class TestEvents:
    def test_times_are_added_up_in_the_table_alone(self) -> None:
        call = ("events", "--experiment", "coherent-csi-2021", "--benchmark", "BP1")
        found = answer(*call)
        assert len(found["bins"]) == len(found["time"]) == len(found["observed"]) == 88
        assert found["bins"][0] == found["bins"][10] == [8.0, 12.0]
        assert found["time"][0] == [0.0, 0.125]
        lines = invoke(*call).stdout.splitlines()
        assert lines[0] == "Events in coherent-csi-2021, 0.0146 tonne year"
        assert lines[2].strip().startswith("8 - 12 PE")
        rows = [line for line in lines if " PE " in line]
        assert len(rows) == 8
        assert sum(int(row.split()[-1]) for row in rows) == sum(found["observed"])

    @pytest.mark.parametrize(
        ("name", "unit", "title"),
        [
            ("na64mu", "10 - 20 GeV", "Events in na64mu"),
            ("ess", "20 - 40 keV_nr", "Events in ess, 1 tonne year"),
            ("darwin-nr", "keV_ee", "Events in darwin-nr, 200 tonne year"),
        ],
    )
    def test_units(self, name, unit, title) -> None:
        lines = invoke("events", "--experiment", name, "--benchmark", "BP1").stdout.splitlines()
        assert lines[0] == title
        assert unit in lines[2]

    def test_a_sum_has_the_bins_of_its_members(self) -> None:
        call = ("events", "--experiment", "na64mu+coherent-ar-2020+darwin-nr@1")
        found = answer(*call, "--benchmark", "BP1")
        assert found["member"] == ["na64mu"] * 9 + ["coherent-ar-2020"] * 120 + ["darwin-nr"]
        assert found["scale"][0] == "muon_energy"
        assert found["observed"][0] is None
        assert found["observed"][9] is not None
        alone = answer(
            "events", "--experiment", "darwin-nr", "--threshold", "1", "--benchmark", "BP1"
        )
        assert found["sm"][-1] == alone["sm"][0]
        text = invoke(*call, "--benchmark", "BP1").stdout
        assert text.splitlines()[0] == "Events in na64mu+coherent-ar-2020+darwin-nr@1"
        assert "keV_ee" in text
        assert "GeV" in text

    def test_what_has_data_keeps_its_exposure_and_bins(self) -> None:
        call = ("events", "--experiment", "coherent-2022", "--benchmark", "BP1")
        assert "leave it out" in refused(3, *call, "--exposure", "2")
        assert "write it behind a member" in refused(3, *call, "--threshold", "2")


class TestSummary:
    case = {  # noqa: RUF012
        "experiment": "x", "model": "m", "metallicity": "GS98", "oscillation": "o",
        "unit": "keV_nr", "statistic": "counting", "data": "expected", "sided": "two", "cl": 0.9,
        "threshold": 1.0, "exposure": 200.0, "mass": [1.0], "excluded": [[[1e-4, None]]],
    }  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({}, "if the Standard Model is true; 200 tonne year, threshold 1 keV_nr"),
            ({"statistic": "likelihood"}, "if the Standard Model is true; 200 tonne year"),
            ({"statistic": "likelihood", "unit": "GeV"}, "if the Standard Model is true"),
            ({"statistic": "likelihood", "unit": "Torr"}, "200 tonne year, pressure 1 Torr"),
            ({"statistic": "likelihood", "data": "measured"}, "by its data"),
            ({"statistic": "rate", "data": "measured"}, "by its data"),
            ({"data": "both", "unit": "several"}, "where there are none, if the Standard Model is"),
        ],
    )
    def test_says_what_the_limits_rest_on(self, change, words) -> None:
        (table,) = summary.summary_tables({"limits": [self.case | change]})
        assert words in table.title
        if change:
            assert "threshold" not in table.title


@pytest.mark.parametrize(("value", "wanted"), [(0.0, 0.0), (0.0, 5.0), (2.0, 0.0)])
def test_thresholds_of_zero_are_apart_from_others(value, wanted) -> None:
    assert figures._apart(value, wanted) == abs(value - wanted)
    assert figures._apart(2.0, 1.0) == pytest.approx(figures._apart(1.0, 2.0))


def test_experiments_say_what_has_no_threshold() -> None:
    rows = {line.split()[0]: line for line in invoke("experiments").stdout.splitlines() if line}
    assert rows["coherent-2022"].split()[-5:] == ["measured", "-", "-", "-", "-"]
    assert rows["na64mu"].split()[-6:] == ["-", "expected", "10", "10", "GeV", "-"]
    assert rows["ess"].split()[-5:] == ["expected", "20", "20", "keV_nr", "1"]
