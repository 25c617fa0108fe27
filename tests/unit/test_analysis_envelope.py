"""The envelope of several analyses: union of what they exclude, and the strongest of them."""

from __future__ import annotations

import numpy as np
import pytest
from cli_calls import answer, invoke, refused

import lmltgrid
from lmltgrid.analysis import envelope as module
from lmltgrid.analysis.limits import as_lists
from lmltgrid.errors import SpecificationError, UnknownNameError

P21 = {"oscillation": "amaral2021", "mixing": "amaral2021"}
MASSES = [0.1, 10.0, 100.0]
SUPERCDMS = ["supercdms-izip-nr", "supercdms-izip-er", "supercdms-hv-nr-er"]
STRIPS = ["lx22-ge-gen2-optimal", "lx22-ar-gen2-nominal"]  # each allows a strip of its own


def inside(pairs: list[list[float | None]], g: np.ndarray) -> np.ndarray:
    hits = [(g > a) & (g < (np.inf if b is None else b)) for a, b in pairs]
    return np.any([np.zeros(g.shape, dtype=bool), *hits], axis=0)


def test_what_is_excluded_by_at_least_one_is_excluded() -> None:
    options = {"mass": MASSES, "model": "universal"}
    both = as_lists(lmltgrid.envelope(STRIPS, **options))
    single = [as_lists(lmltgrid.limits(name, **options)) for name in STRIPS]
    assert all(max(len(pairs) for pairs in one) == 2 for one in single)
    g = np.geomspace(1e-7, 1.0, 20_000)
    for i in range(len(MASSES)):
        expected = inside(single[0][i], g) | inside(single[1][i], g)
        np.testing.assert_array_equal(inside(both[i], g), expected)
        ends = [end for pair in both[i] for end in pair if end is not None]
        assert ends == sorted(set(ends))  # ascending and apart


def test_the_strongest_excludes_the_smallest_coupling() -> None:
    found = lmltgrid.envelope(SUPERCDMS, mass=MASSES)
    lows = [lmltgrid.limits(name, mass=MASSES)["low"].values[:, 0] for name in SUPERCDMS]
    np.testing.assert_array_equal(found["low"].values[:, 0], np.min(lows, axis=0))
    expected = np.array(SUPERCDMS)[np.argmin(lows, axis=0)]
    np.testing.assert_array_equal(found["strongest"].values, expected)
    assert len(set(expected)) > 1
    assert (found["mass"].attrs["units"], found["low"].attrs["units"]) == ("MeV", "1")


@pytest.mark.parametrize(
    ("sets", "union"),
    [
        ([[(1.0, 2.0)], [(3.0, np.inf)]], [(1.0, 2.0), (3.0, np.inf)]),
        ([[(1.0, 2.0), (5.0, 6.0)], [(1.5, 5.5)]], [(1.0, 6.0)]),
        ([[(1.0, np.inf)], [(2.0, 3.0)]], [(1.0, np.inf)]),
        ([[(1.0, 2.0)], [(2.0, 3.0)], []], [(1.0, 3.0)]),
        ([[], []], []),
    ],
)
def test_union_of_intervals(
    sets: list[list[tuple[float, float]]], union: list[tuple[float, float]]
) -> None:
    assert module._union(sets) == union
    assert module._union(reversed(sets)) == union


def test_where_none_excludes_none_is_strongest() -> None:
    """Argon is blind to an axial mediator; beside xenon, xenon alone counts."""
    argon = ["lx22-ar-gen2-nominal", "lx22-ar-gen2-optimal"]
    blind = lmltgrid.envelope(argon, mass=[1.0, 10.0], model="axial")
    assert blind["strongest"].values.tolist() == ["", ""]
    assert as_lists(blind) == [[], []]
    seen = lmltgrid.envelope([*argon, "lx22-xe-gen2-optimal"], mass=[1.0], model="axial")
    assert seen["strongest"].values.tolist() == ["lx22-xe-gen2-optimal"]


def test_settings_are_those_of_all_members_and_so_are_the_cautions() -> None:
    names = ["supercdms-izip-nr", "borexino-phase2", "supercdms-hv-nr-er", "darwin-nr"]
    attrs = lmltgrid.envelope(names, mass=[10.0], **P21).attrs
    assert attrs["experiment"] == names
    assert attrs["statistic"] == ["counting", "rate", "counting", "counting"]
    assert attrs["energy_scale"][:2] == ["nuclear_recoil", "electron_equivalent"]
    assert attrs["exposure"] == [0.056, 1.0, 0.044, 200.0]
    assert len(attrs["threshold"]) == len(names)
    assert (attrs["cl"], attrs["dof"], attrs["sided"]) == (0.9, 1, "two")
    assert attrs["oscillation"] == "amaral2021"
    who, _, what = attrs["caution"].partition(": ")
    assert who == "supercdms-izip-nr, supercdms-hv-nr-er"
    assert what == lmltgrid.limits("supercdms-izip-nr", mass=[10.0]).attrs["caution"]
    assert "caution" not in lmltgrid.envelope(["darwin-nr", "lz-nr"], mass=[10.0]).attrs


@pytest.mark.parametrize("names", [[], ["lz-nr", "lz-nr"], "lz-nr"])
def test_an_envelope_is_that_of_different_experiments(names: list[str]) -> None:
    with pytest.raises(SpecificationError, match=r"^experiment: .* list of different experiments"):
        lmltgrid.envelope(names, mass=[10.0])


@pytest.mark.parametrize("name", ["threshold", "exposure"])
def test_one_threshold_for_several_scales_is_refused(name: str) -> None:
    message = rf"^{name}: 3.0 is given for an envelope, which takes each experiment at its own; "
    with pytest.raises(SpecificationError, match=message):
        lmltgrid.envelope(["darwin-nr", "darwin-er"], mass=[10.0], **{name: 3.0})


def test_unknown_members_and_tests_are_refused_as_by_limits() -> None:
    with pytest.raises(UnknownNameError, match="unknown experiment 'lz-rn'"):
        lmltgrid.envelope(["lz-nr", "lz-rn"], mass=[10.0])
    with pytest.raises(SpecificationError, match="borexino-phase2"):
        lmltgrid.envelope(["lz-nr", "borexino-phase2"], mass=[10.0], test="discovery")


def test_command_line_prints_the_strongest() -> None:
    common = ("limits", "--experiment", ",".join(SUPERCDMS), "--envelope", "--mass", "0.1,10,100")
    found = answer(*common)
    assert set(found) == {"mass", "excluded", "strongest", "settings"}
    ours = lmltgrid.envelope(SUPERCDMS, mass=MASSES)
    assert found["strongest"] == ours["strongest"].values.tolist()
    assert found["excluded"] == as_lists(ours)
    assert found["settings"]["experiment"] == SUPERCDMS
    assert "backgrounds of the paper are not public" in found["settings"]["caution"]
    table = invoke(*common).stdout
    assert "strongest" in table
    assert all(name in table for name in found["strongest"])
    assert "caution=supercdms-izip-nr, supercdms-izip-er, supercdms-hv-nr-er: the back" in table


def test_command_line_refuses_several_experiments_without_an_envelope() -> None:
    first = refused(2, "limits", "--experiment", "lz-nr,darwin-nr")
    assert first == "lmltgrid: --experiment: 2 are given; name one, or add --envelope"
    assert "strongest" not in answer("limits", "--experiment", "lz-nr", "--mass", "10")
    refused(3, "limits", "--experiment", "lz-nr,lz-er", "--envelope", "--threshold", "3")
