"""Sums of experiments: of their chi-squares, with separate and with shared pulls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from lmltgrid import datafiles
from lmltgrid.analysis.profiled import data_of
from lmltgrid.analysis.setup import conventions, rates
from lmltgrid.errors import SpecificationError, UnknownNameError
from lmltgrid.tables.combination import CombinedExperiment
from lmltgrid.tables.experiments import catalog, find

SETTING = conventions(mixing="amaral2021", oscillation="amaral2021")
MASS = np.array([15.0])
X = np.array([1e-4, 5e-4, 2e-3]) ** 2

TOGETHER = """
title = "two detectors at one source"
reference = "none"
source = "combination"
members = ["small", "ess"]
shared = {shared}
"""


def chi2(experiment):
    """The chi-square at some couplings, and what it is made of."""
    found = rates(experiment, SETTING, MASS, None)
    data = data_of(found, experiment.spec.exposure_tonne_year, None)
    coefficients = np.ascontiguousarray(found.coefficients[0, :, :, 0])
    return data.curve(coefficients, X), data, coefficients


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A user's folder: a tenth of ess, and both together with shared and with separate pulls."""
    place = tmp_path_factory.mktemp("own")
    text = datafiles.read_bytes("experiments/ess.toml").decode()
    assert text.count("exposure_tonne_year = 1.0") == 1
    small = text.replace("exposure_tonne_year = 1.0", "exposure_tonne_year = 0.1")
    (place / "small.toml").write_text(small, encoding="utf-8")
    for name, shared in (("joint", '["normalization"]'), ("apart", "[]")):
        (place / f"{name}.toml").write_text(TOGETHER.format(shared=shared), encoding="utf-8")
    return place


def test_a_sum_is_the_sum_of_the_profiled_chi_squares():
    both, _, _ = chi2(find("ess+na64mu-printed"))
    alone = [chi2(find(name))[0] for name in ("ess", "na64mu-printed")]
    # the kernel is good to 1e-9 of the sum, here up to 4e4
    assert both == pytest.approx(alone[0] + alone[1], rel=1e-9, abs=1e-9)
    assert (alone[0] > 1e-3).all()


def test_shared_pulls_are_those_of_a_joint_fit(folder):
    joint, data, coefficients = chi2(find("joint", folder))
    assert data.pull_signal.shape == (1, 8)
    mu = data.scale * (coefficients @ np.stack([X**0, X, X**2])).T

    def total(theta, counts):
        rest = data.observed - counts * (1.0 + 0.05 * theta)
        return float(np.sum(rest**2 / data.variance) + theta**2)

    fits = [
        minimize_scalar(lambda theta, row=row: total(theta, row), options={"xtol": 1e-12})
        for row in mu
    ]
    assert joint == pytest.approx([one.fun for one in fits], rel=1e-9)
    assert all(abs(one.x) > 0.02 for one in fits)  # and the pull matters


def test_a_shared_pull_is_paid_for_once(folder):
    joint, _, _ = chi2(find("joint", folder))
    apart, data, _ = chi2(find("apart", folder))
    assert data.pull_signal.shape == (2, 8)
    # both spectra ask for more events: with one pull for both that costs less
    assert (joint < 0.96 * apart).all()
    parts = [chi2(find(name, folder))[0] for name in ("small", "ess")]
    assert apart == pytest.approx(parts[0] + parts[1], rel=1e-9)


def test_a_file_of_a_combination_is_an_experiment(folder):
    found = catalog(folder)["joint"]
    assert isinstance(found, CombinedExperiment)
    assert [member.name for member, _ in found.members] == ["small", "ess"]
    assert {"joint.toml", "small.toml", "ess.toml"} <= set(found.files)
    assert found.as_dict()["shared"] == ["normalization"]
    assert "four bins" in found.spec.caution
    assert found.data == "expected"


@pytest.mark.parametrize(
    ("name", "data"),
    [("coherent-2022", "measured"), ("ess+coherent-csi-2021", "both"), ("ess+ccm", "expected")],
)
def test_what_the_members_are_compared_with(name, data):
    assert find(name).data == data


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("ess+esss", UnknownNameError, "did you mean 'ess'"),
        ("ess+", UnknownNameError, "unknown experiment ''"),
        ("ess+borexino-phase2", SpecificationError, "whose statistic is rate"),
        ("ess+xenonnt-8b-2026", SpecificationError, "whose statistic is counts"),
        ("ess+lx22-xe-future-optimal", SpecificationError, "whose statistic is least-squares"),
        ("darwin-nr@one", SpecificationError, "after @ the threshold is needed"),
        ("darwin-nr@", SpecificationError, "after @ the threshold is needed"),
        ("darwin-nr@nan", SpecificationError, "after @ the threshold is needed"),
        ("darwin-nr@-1", SpecificationError, "after @ the threshold is needed"),
    ],
)
def test_what_cannot_be_added_up(name, error, words):
    with pytest.raises(error, match=words):
        find(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ess@30", "whose bins begin at 20 keV_nr"),
        ("darwin-nr@0.1+ess", "threshold: 0.1 keV"),
    ],
)
def test_thresholds_that_a_member_does_not_have(name, words):
    with pytest.raises(SpecificationError, match=words):
        rates(find(name), SETTING, MASS, None)


def test_a_missing_member_of_a_file_is_named_with_the_file(tmp_path):
    text = TOGETHER.format(shared="[]")
    (tmp_path / "joint.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UnknownNameError, match=r"joint\.toml: members: unknown experiment 'small'"):
        catalog(tmp_path)


def test_an_unknown_key_of_a_file_is_refused(tmp_path):
    text = TOGETHER.format(shared="[]").replace('"small", ', "") + "share = 1\n"
    (tmp_path / "joint.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecificationError, match="share"):
        catalog(tmp_path)


def test_a_shared_pull_that_two_members_do_not_have_is_refused(tmp_path: Path) -> None:
    text = (
        'title = "both"\nreference = "none"\nsource = "combination"\n'
        'members = ["coherent-csi-2021", "ess"]\nshared = ["CEvNS"]\n'
    )
    (tmp_path / "both.toml").write_text(text)
    with pytest.raises(SpecificationError, match="shared: 'CEvNS' is a pull of coherent-csi-2021;"):
        catalog(tmp_path)
