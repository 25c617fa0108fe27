"""The plan of a scan and what fills its chunks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, norm

from lmltgrid import grid
from lmltgrid.analysis.limits import as_lists, limits
from lmltgrid.errors import MachineError, SpecificationError, UnknownNameError
from lmltgrid.kernels.poisson import z_discovery, z_exclusion
from lmltgrid.lazy import virtual
from lmltgrid.spec import ScanSpec, validate
from lmltgrid.state import evaluate, make_state
from lmltgrid.tables.experiments import find

SMALL = {
    "models": ["Lmu-Ltau", "Lmu"],
    "mixing": "amaral2021",
    "experiments": ["darwin-nr"],
    "oscillation": "amaral2021",
    "mass": {"values": [5.0, 15.0, 100.0]},
    "coupling": {"log": {"start": 1e-5, "stop": 1e-2, "num": 5}},
    "exposure": {"values": [1.0, 200.0]},
    "threshold": {"values": [1.0, 3.0]},
    "dtype": "float64",
}


def plan_of(**changes):
    return grid.make_plan(validate(ScanSpec, SMALL | changes, "scan.toml"), where="scan.toml")


def whole(plan):
    return tuple(slice(0, n) for n in plan.shape(plan.experiments[0]))


def fill(plan):
    experiment = plan.experiments[0]
    moments = grid.compute_moments(plan)[experiment.name]
    state = make_state(moments, plan.models, plan.spec, plan.exposures(experiment))
    return state, evaluate(state, whole(plan))


def test_counts_are_exposure_times_the_quadratic():
    plan = plan_of()
    state, chunk = fill(plan)
    x = plan.spec.coupling.points() ** 2
    c = state.coefficients[1, 0, 0, 1][:, 2]  # Lmu, GS98, 3 keV, 100 MeV
    expected = 200.0 * (c[0] + state.background[1] + x * (c[1] + x * c[2]))
    # the same sum in another order
    assert chunk["counts"][1, 0, 0, 1, 1, 2] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("test", ["discovery", "exclusion"])
@pytest.mark.parametrize("sided", ["one", "two"])
def test_significance_is_that_of_the_scalar_kernel(test, sided):
    plan = plan_of(statistic={"test": test, "sided": sided})
    state, chunk = fill(plan)
    scalar = z_discovery if test == "discovery" else z_exclusion
    null = state.exposure * (state.coefficients[0, 0, 0, 0, 0, 0] + state.background[0])
    counts, found = chunk["counts"][0, 0, 0, 0], chunk["significance"][0, 0, 0, 0]
    for place in np.ndindex(counts.shape):
        exact = scalar(counts[place], null[place[0]], sided == "two")
        # 1e-11 is the accuracy of the tables in the count
        assert found[place] == pytest.approx(exact, rel=1e-11, abs=1e-11)


def test_virtual_grid_and_any_chunk_give_the_same_numbers():
    plan = plan_of(run={"chunk_mb": 0.01})
    _, chunk = fill(plan)
    lazy = virtual(plan)["darwin-nr"]
    assert lazy["significance"].chunks is not None
    for name, values in chunk.items():
        np.testing.assert_array_equal(lazy[name].values, values)
    assert lazy["threshold"].attrs["energy_scale"] == "nuclear_recoil"


def test_chunks_hold_whole_planes_and_keep_the_wanted_size():
    plan = plan_of(
        mass={"log": {"start": 1, "stop": 300, "num": 200}},
        coupling={"log": {"start": 1e-5, "stop": 1e-2, "num": 200}},
        exposure={"log": {"start": 1, "stop": 1000, "num": 40}},
        dtype="float32",
        run={"chunk_mb": 4.0},
    )
    chunks = plan.chunks(plan.experiments[0])
    assert chunks == (1, 1, 1, 1, 26, 200, 200)  # 26 planes of 160 kB
    assert plan.points == 2 * 2 * 40 * 200 * 200


def test_exposure_and_threshold_default_to_the_experiment():
    plan = plan_of(exposure=None, threshold=None)
    assert plan.exposures(plan.experiments[0]).tolist() == [200.0]
    assert plan.thresholds(plan.experiments[0])[0] == plan.experiments[0].threshold


def test_identity_depends_on_the_numbers_alone():
    base = plan_of().identity
    assert plan_of(run={"cluster": "local", "workers": 2}).identity == base
    assert plan_of(title="another title").identity == base
    others = [
        plan_of(mixing=-0.01),
        plan_of(oscillation="nufit60"),
        plan_of(metallicity=["AGSS09met"]),
        plan_of(mass={"values": [5.0, 15.0, 100.1]}),
        plan_of(statistic={"test": "exclusion"}),
        plan_of(dtype="float32"),
        plan_of(experiments=["lz-nr"], threshold={"values": [1.0, 3.0]}),
    ]
    assert len({base, *(plan.identity for plan in others)}) == len(others) + 1


def test_user_model_is_part_of_the_plan():
    entry = {"name": "mine", "charges": {"e": 1, "mu": -2, "tau": 1}}
    plan = plan_of(models=[], model=[entry], mixing=None)
    assert plan.models[0].mixing == "loop"


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"models": ["Lmu-Ltaw"]}, UnknownNameError, "scan.toml: models: unknown model 'Lmu-Ltaw'; did you mean 'Lmu-Ltau'?"),
        ({"experiments": ["darwin"]}, UnknownNameError, "scan.toml: experiments: unknown experiment 'darwin'"),
        ({"oscillation": "nufit61"}, UnknownNameError, "did you mean 'nufit60'?"),
        ({"threshold": {"values": [0.5, 1.0]}}, SpecificationError, "scan.toml: threshold: 0.5 keV_nr is given for darwin-nr; its detector model is valid from 0.7 keV_nr; raise the threshold"),
        ({"threshold": {"values": [1.0, 200.0]}}, SpecificationError, "its window ends at 30 keV_ee; lower the threshold"),
        ({"models": ["B-L"], "mixing": "loop"}, SpecificationError, "purely leptonic charges"),
        ({"experiments": ["lx22-ge-gen2-nominal"], "statistic": {"test": "discovery"}}, SpecificationError, "scan.toml: statistic.test: 'discovery' is given with lx22-ge-gen2-nominal, whose statistic is least-squares; only counting experiments discover; give 'exclusion'"),
        ({"experiments": ["borexino-phase2"], "threshold": None}, SpecificationError, "whose statistic is rate; only counting experiments discover"),
        ({"models": ["axial"], "mixing": None, "experiments": ["darwin-nr-er"]}, SpecificationError, "scan.toml: models: a scalar or axial mediator is given with darwin-nr-er, which sees more than nuclear recoils; they are implemented for nuclei; take it out"),
        ({"model": [{"name": "B-L", "charges": {"mu": 1}}]}, SpecificationError, "is the name of a catalog model; choose another"),
    ],
)  # fmt: skip
def test_refusals_name_file_and_key(changes, error, words):
    with pytest.raises(error) as caught:
        plan_of(**changes)
    assert words in str(caught.value)
    assert caught.value.exit_code == 3


def test_moments_that_do_not_fit_are_refused():
    axis = {"log": {"start": 1, "stop": 300, "num": 100_000}}
    thresholds = {"log": {"start": 0.7, "stop": 5, "num": 100_000}}
    with pytest.raises(MachineError, match="take fewer masses or thresholds") as caught:
        plan_of(mass=axis, threshold=thresholds)
    assert caught.value.exit_code == 6


def test_oscillation_parameters_are_an_axis():
    plan = plan_of(oscillation=["amaral2021", "nufit60"])
    assert plan.coordinates(plan.experiments[0])["oscillation"].tolist()[0] == "amaral2021"
    _, both = fill(plan)
    for place, name in enumerate(plan.spec.oscillation):
        _, alone = fill(plan_of(oscillation=name))
        for variable, values in alone.items():
            # another shape of array, another order of sums
            np.testing.assert_allclose(
                both[variable][:, :, [place]], values, rtol=1e-13, atol=1e-13
            )
    # 8B neutrinos above 1 keV: an excess with the one set, a deficit with the other
    without, with_mediator = (
        both["counts"][0, 0, :, 0, 1, 1, 0],
        both["counts"][0, 0, :, 0, 1, 1, 2],
    )
    assert with_mediator[0] > without[0]
    assert with_mediator[1] < without[1]


def test_the_same_parameters_twice_are_refused():
    with pytest.raises(
        SpecificationError, match=r"scan\.toml: oscillation: 'nufit60' is given twice"
    ):
        plan_of(oscillation=["nufit60", "nufit60"])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("darwin-nr", None),
        ("darwin-nr", 0.05),
        ("lx22-xe-gen2-optimal", None),
        ("lx22-xe-gen2-optimal", 0.05),
        ("xenonnt-8b-2026", None),
        ("xenonnt-8b-2026", 0.05),
        ("ess", None),
        ("coherent-csi-2021", None),
        ("na64mu", None),
        ("na64mu+ess", None),
    ],
)
def test_a_grid_passes_where_the_limit_is(name, error):
    """The significance of the grid and the roots of the limit are separate code."""
    chosen = find(name)
    masses, couplings = [10.0, 100.0], np.geomspace(1e-5, 1e-1, 400)
    content = {
        "models": ["Lmu-Ltau"],
        "experiments": [name],
        "mass": {"values": masses},
        "coupling": {"values": couplings.tolist()},
        "threshold": None,
        "exposure": None,
        "statistic": {"test": "exclusion", "sided": "two", "flux_error": error},
    }
    _, chunk = fill(plan_of(**content))
    found = limits(
        name, mass=masses, flux_error=error, oscillation="amaral2021", mixing="amaral2021"
    )
    one_sided = chosen.spec.test == "counting"
    level = norm.ppf(0.9) if one_sided else np.sqrt(chi2.ppf(0.9, 1))
    for sigma, pairs in zip(chunk["significance"][0, 0, 0, 0, 0], as_lists(found), strict=True):
        inside = np.zeros(couplings.size, dtype=bool)
        for low, high in pairs:
            inside |= (couplings > low) & (couplings < (np.inf if high is None else high))
        assert np.array_equal(inside, sigma > level)
        assert inside.any()
        assert not inside.all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"experiments": ["coherent-2022"], "threshold": None}, "whose exposure is fixed"),
        (
            {
                "experiments": ["ess"],
                "threshold": None,
                "statistic": {"test": "exclusion", "flux_error": 0.1},
            },
            "which sees no solar neutrinos",
        ),
    ],
)
def test_what_means_nothing_for_a_likelihood_is_refused(changes, words):
    with pytest.raises(SpecificationError, match=words):
        plan_of(**({"statistic": {"test": "exclusion"}} | changes))
