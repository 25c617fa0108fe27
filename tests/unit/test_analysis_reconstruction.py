"""Reconstruction: mock data, the regions that they leave, and a chi-square from a file."""

from __future__ import annotations

import numpy as np
import pytest

import lmltgrid
from lmltgrid.analysis.profiled import data_of
from lmltgrid.analysis.reconstruction import mock_counts, reconstruct
from lmltgrid.analysis.regions import regions
from lmltgrid.analysis.setup import conventions, rates
from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.tables.experiments import find

PAPER = {"oscillation": "amaral2021", "mixing": "amaral2021"}
BP1 = {"true_mass": 15.0, "true_coupling": 5e-4}
BP2 = {"true_mass": 25.0, "true_coupling": 6e-4}
MASS = np.geomspace(1.0, 1000.0, 31)
COUPLING = np.geomspace(1e-5, 1e-2, 61)
PLANE = {"mass": MASS, "coupling": COUPLING}


@pytest.fixture(scope="module")
def bp1():
    return reconstruct("ess", **BP1, **PLANE, **PAPER)


class TestReconstruct:
    def test_is_labeled(self, bp1):
        assert bp1["delta_chi2"].dims == ("mass", "coupling")
        assert bp1["mass"].attrs["units"] == "MeV"
        for name in ("profile", "best_coupling", "upper_limit"):
            assert bp1[name].dims == ("mass",)
            assert bp1[name].attrs["long_name"]
        asked = {"truth": "Lmu-Ltau", "model": "Lmu-Ltau", "truth_mixing": "amaral2021", "dof": 2}
        assert asked.items() <= bp1.attrs.items()
        assert lmltgrid.reconstruct is reconstruct

    def test_the_minimum_is_zero_at_the_truth(self, bp1):
        # the truth is on no axis; the kernel is good to 1e-9
        assert bp1.attrs["chi2_minimum"] == pytest.approx(0.0, abs=1e-9)
        assert bp1.attrs["minimum_at"] == "15 MeV, g = 0.0005"
        assert (bp1["delta_chi2"] > 0.0).all()
        assert (bp1["profile"] <= bp1["delta_chi2"].min("coupling") + 1e-9).all()

    def test_the_truth_on_the_axes_has_zero(self):
        found = reconstruct("ess", **BP1, mass=[15.0, 20.0], coupling=[2.5e-4, 5e-4], **PAPER)
        assert found["delta_chi2"].sel(mass=15.0, coupling=5e-4) == pytest.approx(0.0, abs=1e-9)
        assert found["best_coupling"].sel(mass=15.0) == pytest.approx(5e-4, rel=1e-3)

    @pytest.mark.snapshot
    @pytest.mark.parametrize(("point", "chi2"), [(BP1, 16.4), (BP2, 21.2)], ids=["BP1", "BP2"])
    def test_ess_tells_bp1_and_bp2_from_the_standard_model(self, point, chi2):
        """P21 section 4: both would be observed; the values are ours."""
        found = reconstruct("ess", **point, **PLANE, **PAPER)
        assert found.attrs["standard_model"] == pytest.approx(chi2, rel=0.01)
        # the plane begins where a mediator makes no difference yet
        corner = found["delta_chi2"][0, 0].item()
        assert corner == pytest.approx(found.attrs["standard_model"], rel=0.01)
        assert all(one["seen"] for one in regions(found))

    def test_another_truth_is_found_with_a_rest(self):
        found = reconstruct(
            *("na64mu-printed+ess",), **BP1, **PLANE, truth="Lmu-Ltau", truth_mixing="amaral2021",
            model="Lmu-Ltau", mixing=-0.1, oscillation="amaral2021",
        )  # fmt: skip
        assert found.attrs["truth_mixing"] == "amaral2021"
        assert found.attrs["chi2_minimum"] > 1.0
        assert (found["delta_chi2"] >= 0.0).all()

    def test_another_truth_that_an_experiment_cannot_tell_has_none(self):
        """NA64mu does not know of the mixing (P21 section 3.2)."""
        options = {"mixing": -0.1, "truth_mixing": "amaral2021", "oscillation": "amaral2021"}
        found = reconstruct("na64mu-printed", **BP1, **PLANE, **options)
        assert found.attrs["chi2_minimum"] == pytest.approx(0.0, abs=1e-9)
        same = reconstruct("na64mu-printed", **BP1, **PLANE, **PAPER)
        assert np.allclose(found["delta_chi2"], same["delta_chi2"], rtol=1e-9, atol=1e-9)

    def test_truth_alone_has_its_own_mixing(self):
        found = reconstruct("ess", **BP1, **PLANE, **PAPER, truth="Lmu-Ltau")
        assert (found.attrs["truth_mixing"], found.attrs["mixing"]) == ("loop", "amaral2021")

    def test_more_exposure_tells_more(self, bp1):
        more = reconstruct("ess", **BP1, **PLANE, **PAPER, exposure=10.0)
        assert more.attrs["standard_model"] > bp1.attrs["standard_model"]

    def test_a_count_is_one_poisson_bin(self):
        both, count = (
            reconstruct(name, **BP1, mass=[10.0, 15.0], coupling=COUPLING, **PAPER)
            for name in ("ess+darwin-nr@1", "darwin-nr@1")
        )
        alone = reconstruct("ess", **BP1, mass=[10.0, 15.0], coupling=COUPLING, **PAPER)
        together = alone["delta_chi2"] + count["delta_chi2"]
        # far away a count of 1e9 events is good to 1e-9 of its chi-square
        assert np.allclose(both["delta_chi2"], together, rtol=1e-8, atol=1e-6)
        found = rates(find("darwin-nr@1"), conventions(**PAPER), np.array([15.0]), None)
        data = data_of(found, 1.0, None)
        assert data.observed.shape == (1,)
        assert data.variance[0] == 0.0
        assert data.scale[0] == 1.0  # the coefficients are counts already

    def test_a_mock_is_what_is_expected_of_the_point(self):
        setting = conventions(**PAPER)
        counts = mock_counts(find("ess"), setting, 15.0, 5e-4, 1.0)
        events = lmltgrid.events("ess", mass=15.0, coupling=5e-4, **PAPER)
        assert counts == pytest.approx((events["sm"] + events["signal"]).values, rel=1e-12)

    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("coherent-csi-2021", {}, "has data already"),
            ("ess+coherent-ar-2020", {}, "has data already"),
            ("coherent-csi-2021", {"exposure": 1.0}, "has data already"),
            ("darwin-nr", {}, "write darwin-nr@5.661"),
            ("borexino-phase2", {}, "whose statistic is rate"),
            ("ess+ess10", {"exposure": 2.0}, "in its own exposure|in their own exposures"),
            ("ess", {"exposure": -1.0}, "exposure: -1 is given"),
            ("ess", {"levels": [68.0]}, "cl: 68 is given"),
            ("ess", {"mass": [15.0]}, "mass: one value is given; at least two"),
            ("ess", {"coupling": [1e-3, 1e-4]}, "coupling: the values do not ascend"),
            ("ess", {"true_mass": 0.0}, "true_mass: 0 is given"),
            ("ess", {"true_coupling": np.nan}, "true_coupling: nan is given"),
            ("ess", {"truth": "Lmuu"}, "did you mean 'Lmu'"),
        ],
    )
    def test_what_is_refused(self, name, options, words):
        with pytest.raises(SpecificationError, match=words):
            reconstruct(name, **(BP1 | PLANE | PAPER | options))


class TestRegions:
    def test_of_bp1_at_the_ess(self, bp1):
        """Closed in the coupling, and not in the mass (P21 fig. 7)."""
        dark, light = regions(bp1)
        assert dark["delta_chi2"] == pytest.approx(2.279, abs=1e-3)
        assert light["delta_chi2"] == pytest.approx(5.991, abs=1e-3)
        for one in (dark, light):
            assert one["seen"]
            assert not one["closed"]
            assert one["mass"][0] is None
        assert light["mass"][1] > dark["mass"][1] > 15.0
        assert light["coupling"][0] < dark["coupling"][0] < 5e-4
        assert 5e-4 < dark["coupling"][1] < light["coupling"][1]

    def test_do_not_hang_on_the_axes(self, bp1):
        fine = reconstruct(
            "ess", **BP1, **PAPER,
            mass=np.geomspace(1.0, 1000.0, 181), coupling=np.geomspace(1e-5, 1e-2, 301),
        )  # fmt: skip
        for rough, one in zip(regions(bp1), regions(fine), strict=True):
            # a step of the rough axes is 26 and 12 %; linear between them leaves a tenth of it
            assert rough["mass"][1] == pytest.approx(one["mass"][1], rel=0.02)
            assert rough["coupling"][0] == pytest.approx(one["coupling"][0], rel=0.02)

    def test_of_the_combination_is_closed_in_mass(self):
        """P21 fig. 12: NA64mu, the ESS and DARWIN above 1 keV close BP1."""
        name = "na64mu-printed+ess+darwin-nr@1"
        (one,) = regions(reconstruct(name, **BP1, **PLANE, **PAPER), [0.95])
        assert one["closed"]
        # about 7 to 23 MeV
        assert one["mass"] == [pytest.approx(7.1, rel=0.03), pytest.approx(23.6, rel=0.03)]
        low, high = one["coupling"]
        assert 4.0e-4 < low < 5e-4 < high < 6.2e-4

    def test_nothing_is_seen_of_a_weak_mediator(self):
        found = reconstruct("ess", true_mass=15.0, true_coupling=1e-5, **PLANE, **PAPER)
        for one in regions(found):
            assert not one["seen"]
            assert one["mass"] == [None, None]
        limit = found["upper_limit"].sel(mass=10.0, method="nearest").item()
        # that of an exclusion at the chi-square of two degrees of freedom
        plain = lmltgrid.limits("ess", mass=[10.0], cl=0.9, dof=2, **PAPER)
        assert limit == pytest.approx(plain["low"].item(), rel=0.01)

    def test_a_point_that_is_not_known_is_not_excluded(self, bp1):
        holes = bp1["delta_chi2"].where(bp1["mass"] < 500.0)
        for one in regions(bp1.assign(delta_chi2=holes)):
            assert one["mass"] == [None, None]
        few = bp1["delta_chi2"].copy()
        few[20, -1] = np.nan
        one = regions(bp1.assign(delta_chi2=few))[0]
        assert one["coupling"][1] is None
        assert one["mass"][1] >= MASS[20]

    @pytest.mark.parametrize("level", [0.0, 1.0, 68.0])
    def test_a_level_that_is_none(self, bp1, level):
        with pytest.raises(SpecificationError, match="cl: "):
            regions(bp1, [level])


def written(path, mass=(1.0, 1000.0), coupling=(1e-5, 1e-2), value=None):
    """A chi-square of 4 (log10 g + 3)^2, on a full grid."""
    rows = ["mass_mev,coupling,delta_chi2"]
    for m in np.geomspace(*mass, 7):
        for g in np.geomspace(*coupling, 31):
            v = 4.0 * (np.log10(g) + 3.0) ** 2 if value is None else value
            rows.append(f"{m:.12e},{g:.12e},{v:.12e}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


INNER = {"mass": MASS[1:-1], "coupling": COUPLING[1:-1]}


class TestExternal:
    def test_is_added_before_the_minimum(self, tmp_path):
        file = written(tmp_path / "own.csv")
        alone = reconstruct("ess", **BP1, **INNER, **PAPER)
        found = reconstruct("ess", **BP1, **INNER, **PAPER, external=[file])
        change = 4.0 * (np.log10(INNER["coupling"]) + 3.0) ** 2
        total = alone["delta_chi2"].values + change
        # the parabola is interpolated between points a tenth of a decade apart: 4 x 0.1^2/4
        assert np.allclose(found["delta_chi2"], total - total.min(), atol=0.022)
        assert found.attrs["external"] == str(file)
        assert "standard_model" not in found.attrs
        assert found["delta_chi2"].min() == 0.0
        assert (found["profile"] >= 0.0).all()

    def test_a_constant_changes_no_region(self, tmp_path):
        file = written(tmp_path / "own.csv", value=3.0)
        twice = reconstruct("ess", **BP1, **INNER, **PAPER, external=[file, file])
        assert twice.attrs["chi2_minimum"] == pytest.approx(6.0, abs=0.2)
        alone = reconstruct("ess", **BP1, **INNER, **PAPER)
        # its minimum is that of the points of the plane: a little higher
        shift = alone["delta_chi2"].min().item()
        assert np.allclose(twice["delta_chi2"] + shift, alone["delta_chi2"], atol=1e-6)

    def test_what_is_refused(self, tmp_path):
        def refused(file, error=SpecificationError):
            with pytest.raises(error) as caught:
                reconstruct("ess", **BP1, **INNER, **PAPER, external=[file])
            assert str(file) in str(caught.value)
            return str(caught.value)

        assert "cannot be read" in refused(tmp_path / "none.csv", MachineError)
        file = written(tmp_path / "narrow.csv", mass=(10.0, 1000.0))
        assert "the plane reaches further" in refused(file)
        file = written(tmp_path / "narrow.csv", coupling=(1e-5, 1e-3))
        assert "the plane reaches further" in refused(file)
        rows = written(tmp_path / "file.csv").read_text().splitlines()
        for name, text, words in (
            ("column.csv", [rows[0].replace("coupling", "g"), *rows[1:]], "coupling"),
            ("incomplete.csv", rows[:-1], "every positive mass with every positive coupling"),
            (
                "negative.csv",
                [one.replace("1.000000000000e+00,", "-1,") for one in rows],
                "positive",
            ),
            ("word.csv", [*rows[:-1], "1,2,x"], "x"),
            ("empty.csv", rows[:1], "row"),
        ):
            (tmp_path / name).write_text("\n".join(text) + "\n", encoding="utf-8")
            assert words in refused(tmp_path / name)

    def test_a_row_given_twice_is_no_full_grid(self, tmp_path):
        rows = written(tmp_path / "file.csv").read_text().splitlines()
        (tmp_path / "twice.csv").write_text("\n".join([*rows[:-1], rows[1]]) + "\n")
        with pytest.raises(SpecificationError, match="once; complete it"):
            reconstruct("ess", **BP1, **INNER, **PAPER, external=[tmp_path / "twice.csv"])


@pytest.mark.parametrize(
    ("experiment", "model", "coupling"),
    [("ess-csi", "B-L", 2e-3), ("ess10", "B-L", 8e-4), ("na64mu", "Lmu-Ltau", 7e-3)],
)
def test_a_large_signal_is_found_again(experiment: str, model: str, coupling: float) -> None:
    """Far more events than in the Standard Model, known better than the axes are spaced."""
    found = reconstruct(experiment, true_mass=15.0, true_coupling=coupling, model=model)
    assert found.attrs["chi2_minimum"] < 1e-3
    for one in regions(found):
        low, high = one["mass"]
        assert one["seen"]
        assert (low or 0.0) < 15.0 < (high or np.inf)
        assert one["coupling"][0] < coupling < one["coupling"][1]


def test_a_region_beyond_the_axis_is_not_everything() -> None:
    masses = np.geomspace(200.0, 1000.0, 20)
    found = reconstruct("na64mu", true_mass=100.0, true_coupling=1e-3, mass=masses)
    assert [one["inside"] for one in regions(found)] == [False, False]
    assert found.attrs["standard_model"] == np.inf  # no event is expected without the mediator


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_edges_do_not_depend_on_the_axis(level: float) -> None:
    ends = []
    for number in (6, 60):
        masses = np.geomspace(1e-1, 1e4, number)
        point = {"true_mass": 15.0, "true_coupling": 5e-4}
        found = reconstruct("ess", **point, mass=masses, levels=[level])
        ends.append(regions(found, [level])[0]["mass"][1])
    assert ends[0] == pytest.approx(ends[1], rel=1e-2)
