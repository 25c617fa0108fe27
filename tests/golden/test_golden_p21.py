"""Amaral et al. 2021 (arXiv:2104.03297), sections 3 to 5: benchmark points seen and reconstructed.

The counts behind are tested with their experiments; here is what the paper concludes from them.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import Any

import numpy as np
import pytest

from lmltgrid.analysis.reproduce import p21_fits as fits
from lmltgrid.tables.models import benchmarks

pytestmark = pytest.mark.golden

BOTH = "na64mu-printed+ess"
EVERY = f"{BOTH}+{fits.DIRECT}"


@lru_cache(maxsize=1)
def rows() -> dict[str, dict[str, Any]]:
    return {claim.quantity: claim.row() for claim in fits.claims()}


def test_every_sentence_holds() -> None:
    assert len(rows()) == 27
    # with the physical prefactor there are pi times as many events as the paper has
    assert rows()["events in a bin, na64mu"]["verdict"] == "off"
    for row in rows().values():
        if row["verdict"] == "off":
            assert row["quantity"] == "events in a bin, na64mu"
            continue
        values = row["computed"]
        numbers = values.values() if isinstance(values, dict) else [values]
        assert all(isfinite(value) for value in numbers), row["quantity"]
        assert row["verdict"] in ("ok", "no published number"), row["quantity"]


@pytest.mark.parametrize("name", fits.SPALLATION)
def test_the_ess_sees_two_points_and_the_others_none(name: str) -> None:
    """Section 4: 95 % with two degrees of freedom is 5.99; BP3 lies at 4.6 in ESS."""
    seen = [point for point in fits.POINTS if fits.seen(name, point) > 5.99]
    assert seen == (["BP1", "BP2"] if name.startswith("ess") else [])


@pytest.mark.snapshot
@pytest.mark.parametrize(("point", "value"), [("BP1", 16.4), ("BP2", 21.2)])
def test_how_well_the_ess_sees_them(point: str, value: float) -> None:
    assert fits.seen("ess", point) == pytest.approx(value, abs=0.05)


def test_the_limit_of_ccm() -> None:
    """Section 4: of the order of 7e-4, one digit; 10 %."""
    assert fits.limit("ccm", "BP1", fits.ONE) == pytest.approx(7e-4, rel=0.10)


@pytest.mark.parametrize("name", ["na64mu-printed", "na64mu"])
def test_the_muon_beam_closes_one_point_alone(name: str) -> None:
    """Section 3.2: an upper limit on the mass for BP1 to BP3, a small region for BP4."""
    for point in ("BP1", "BP2", "BP3"):
        low, high = fits.interval(name, point)
        assert low == 0.0
        assert np.isfinite(high)
    for level in (0.68, 0.95):
        low, high = fits.interval(name, "BP4", level)
        assert 0.0 < low < 100.0 < high < 211.3  # below the dimuon threshold


@pytest.mark.snapshot
def test_masses_of_bp4_in_the_muon_beam() -> None:
    """62 to 151 MeV at 68 % by another program, with other bins of the axes: 15 %."""
    low, high = fits.interval("na64mu-printed", "BP4", 0.68)
    assert low == pytest.approx(62.0, rel=0.15)
    assert high == pytest.approx(151.0, rel=0.15)


def test_all_three_together_close_bp1_in_mass() -> None:
    """Fig. 12; NA64mu and ESS alone leave a factor of forty in mass."""
    low, high = fits.interval(EVERY, "BP1")
    assert low < 15.0 < high
    wide = fits.interval(BOTH, "BP1")
    assert high / low < 0.2 * wide[1] / wide[0]


@pytest.mark.snapshot
def test_masses_of_bp1_with_all_three() -> None:
    """About 7 to 23 MeV at 95 % by another program; half of the last digit."""
    low, high = fits.interval(EVERY, "BP1")
    assert low == pytest.approx(7.0, abs=0.5)
    assert high == pytest.approx(23.0, abs=1.0)


def test_l_mu_is_rejected_by_direct_detection() -> None:
    """Section 5: BP1 and BP2 by more than five sigma; BP3 and BP4 are not seen."""
    least = [fits.fitted(EVERY, p, fits.LMU).attrs["chi2_minimum"] for p in fits.POINTS]
    assert min(least[:2]) > 25.0 > max(least[2:])


def test_but_for_large_couplings() -> None:
    """Footnote 8: g about 1e-3, where the square of the mediator overtakes the interference."""
    found = fits.fitted(fits.DIRECT, "BP1", fits.LMU)["delta_chi2"].sel(mass=slice(7.0, 23.0))
    allowed = (found.values < fits.CLOSED).any(axis=0)
    g = found["coupling"].values
    assert g[allowed].min() == pytest.approx(1e-3, rel=0.5)
    # the strip is narrow: less than a tenth of the decades of the axis at any mass
    assert (found.values < fits.CLOSED).sum(axis=1).max() < 0.1 * g.size


@pytest.mark.snapshot
@pytest.mark.parametrize(
    ("point", "value"), [("BP1", 80.1), ("BP2", 63.6), ("BP3", 9.3), ("BP4", 6.6)]
)
def test_least_chi_square_of_l_mu(point: str, value: float) -> None:
    found = fits.fitted(EVERY, point, fits.LMU).attrs["chi2_minimum"]
    assert found == pytest.approx(value, abs=0.06)


def test_a_wrong_mixing_leaves_less_and_less() -> None:
    """Fig. 9, eps = -g/10: a small overlap for BP1, smaller for BP2, almost none for the others."""
    parts = [fits.allowed_part(point) for point in fits.POINTS]
    assert 0.0 < parts[0] < 0.25
    assert parts[1] < 0.1 * parts[0]
    assert max(parts[2:]) < 0.01


def test_the_true_mixing_leaves_all_four() -> None:
    """Fig. 8: the minimum is zero, at the benchmark point."""
    for point in fits.POINTS:
        found = fits.fitted(BOTH, point)
        assert found.attrs["chi2_minimum"] == pytest.approx(0.0, abs=1e-6)
        low, high = fits.interval(BOTH, point)
        assert low < benchmarks()[point].mass < high
