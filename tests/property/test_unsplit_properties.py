"""L_mu - L_tau without flavors, as LX22 (Li and Xia 2022, arXiv:2201.05015) eq. 2.15 has it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import lmltgrid
from lmltgrid import basis
from lmltgrid.spec import ScanSpec, validate
from lmltgrid.tables import models
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.oscillation import oscillation

UNSPLIT = models.find("Lmu-Ltau-unsplit")
NAMES = ("lx22-ge-gen2-nominal", "darwin-er", "lz-nr-er")


@lru_cache(maxsize=8)
def moments(name: str, preset: str = "nufit60") -> xr.Dataset:
    return basis.compute(
        catalog()[name],
        mass=np.array([0.1, 15.0, 1000.0]),
        oscillation=[oscillation(preset)],
    )


def orders(dataset: xr.Dataset, model: models.Model) -> np.ndarray:
    found = basis.coefficients(dataset, model)
    return np.asarray(found.sum("bin").values.reshape(3, -1))


def of_one_flavor(dataset: xr.Dataset, flavor: int) -> xr.Dataset:
    """The same counts, if every neutrino were of one flavor: the flux of all in that column."""
    out = dataset.copy(deep=True)
    for channel in {"nr", "er"} & set(out):
        total = dataset[channel].sum("flavor").values
        out[channel].values[:] = 0.0
        out[channel].values[..., flavor] = total
    return out


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mixing", [None, "amaral2021", "amaral2020"])
def test_every_neutrino_counts_as_a_muon_neutrino(name: str, mixing: str | None) -> None:
    """Both orders of g^2 are those of L_mu - L_tau with a flux of nu_mu alone.

    In electrons the weak couplings of nu_e stay its own, so that the interference there is that of
    nu_mu only for the flavors that have its couplings.
    """
    dataset = moments(name)
    ours = orders(dataset, models.find("Lmu-Ltau-unsplit", mixing))
    muon = orders(of_one_flavor(dataset, 1), models.find("Lmu-Ltau", mixing))
    if name.startswith("lx22"):
        np.testing.assert_allclose(ours, muon, rtol=1e-12)
    else:
        np.testing.assert_allclose(ours[2], muon[2], rtol=1e-12)
        assert np.all(np.abs(ours[1] / muon[1] - 1.0) > 1e-3)


def test_the_interference_with_nuclei_is_destructive() -> None:
    """Q_SM is negative: with the sign put right, the weak charge shrinks in every bin."""
    found = basis.coefficients(moments("lx22-ge-gen2-nominal"), UNSPLIT)
    linear = found.sel(mass=15.0).isel(order=1).values
    assert np.all(linear < 0.0)
    opposite = replace(UNSPLIT, neutrinos=(-1.0, -1.0, -1.0))
    other = basis.coefficients(moments("lx22-ge-gen2-nominal"), opposite)
    np.testing.assert_array_equal(other.sel(mass=15.0).isel(order=1).values, -linear)


@settings(deadline=None, max_examples=20)
@given(charges=st.tuples(*[st.floats(-3.0, 3.0)] * 3))
def test_counts_are_sums_over_the_flavors(charges: tuple[float, float, float]) -> None:
    """Each flavor enters with its charge and the square of it, whatever the others have."""
    dataset = moments("lx22-ge-gen2-nominal")
    ours = orders(dataset, replace(UNSPLIT, neutrinos=charges))
    single = [
        orders(dataset, replace(UNSPLIT, neutrinos=tuple(float(f == i) for f in range(3))))
        for i in range(3)
    ]
    for order in (1, 2):
        parts = np.array([q**order * one[order] for q, one in zip(charges, single, strict=True)])
        # rounding of the largest: parts of both signs may cancel
        np.testing.assert_allclose(
            ours[order], parts.sum(axis=0), rtol=0, atol=1e-13 * np.abs(parts).max() + 1e-300
        )


def test_oscillations_do_not_matter_to_what_is_not_split() -> None:
    """For nuclei, whose Standard Model is blind to flavors as well."""
    ours = [orders(moments("lx22-ge-gen2-nominal", p), UNSPLIT) for p in ("nufit60", "amaral2021")]
    np.testing.assert_allclose(ours[0], ours[1], rtol=1e-9)


def test_scans_and_answers_take_it_as_any_other_model() -> None:
    """Counts of a grid against that of one point, and the name in what is echoed."""
    spec = validate(
        ScanSpec,
        {
            "version": 1,
            "models": ["Lmu-Ltau", "Lmu-Ltau-unsplit"],
            "model": [{"name": "mine", "base": "Lmu-Ltau-unsplit", "mixing": "amaral2021"}],
            "experiments": ["lx22-ge-gen2-nominal"],
            "statistic": {"test": "exclusion"},
            "mass": {"values": [15.0]},
            "coupling": {"values": [1e-3]},
        },
        "scan",
    )
    grid = lmltgrid.virtual(spec)["lx22-ge-gen2-nominal"]
    assert grid["model"].values.tolist() == ["Lmu-Ltau", "Lmu-Ltau-unsplit", "mine"]
    counts = grid["counts"].squeeze().values
    point = {"experiment": "lx22-ge-gen2-nominal", "mass": 15.0, "coupling": 1e-3}
    for i, options in enumerate(
        (
            {"model": "Lmu-Ltau"},
            {"model": "Lmu-Ltau-unsplit"},
            {"model": "Lmu-Ltau-unsplit", "mixing": "amaral2021"},
        )
    ):
        found = lmltgrid.events(**point, **options)
        total = sum(float(found[name].sum()) for name in ("sm", "signal", "background"))
        # a grid holds single precision
        assert total == pytest.approx(float(counts[i]), rel=1e-6)
        assert found.attrs["model"] == options["model"]
