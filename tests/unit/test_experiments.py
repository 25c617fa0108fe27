"""The catalog of experiments: the shipped ones, those of a user, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lmltgrid import basis, datafiles, detector
from lmltgrid.errors import LmltgridError, SpecificationError, VerificationError
from lmltgrid.tables import experiments, models
from lmltgrid.tables.experiments import catalog
from lmltgrid.tables.oscillation import oscillation

P21 = [f"{name}-{kind}" for name in ("darwin", "lz", "xenonnt") for kind in ("nr", "er", "nr-er")]
LX22_NAMES = [
    f"lx22-{target}-{generation}-{kind}"
    for target in ("ge", "si", "xe", "ar")
    for generation in ("gen2", "future")
    for kind in ("nominal", "optimal")
]
BOREXINO = ["borexino-phase1", "borexino-phase2"]
NR_TABLE = "xenonnt-nr-efficiency.csv"
Folder = Callable[[str, str], Path]


@pytest.fixture
def own(tmp_path: Path) -> Folder:
    """Write a user's folder: darwin-nr-er under another name, with one text replaced."""

    def write(old: str = "", new: str = "") -> Path:
        source = datafiles.data_folder() / "experiments"
        for path in source.glob("*.csv"):
            shutil.copy(path, tmp_path)
        text = (source / "darwin-nr-er.toml").read_text(encoding="utf-8")
        assert old in text
        (tmp_path / "mine.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the data folder that the program believes to be its own."""
    folder = tmp_path / "data"
    shutil.copytree(datafiles.data_folder(), folder)
    monkeypatch.setattr(datafiles, "data_folder", lambda: folder)
    caches = (datafiles.manifest, datafiles.read_table, experiments._shipped)
    for cache in caches:
        cache.cache_clear()
    yield folder
    for cache in caches:
        cache.cache_clear()


def refusal(folder: Path) -> str:
    with pytest.raises(SpecificationError) as caught:
        catalog(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit_table(folder: Path, old: str, new: str, name: str = NR_TABLE) -> Path:
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


def shipped(folder: Path | None = None) -> list[str]:
    """The names of the experiment files that come with the program."""
    place = (folder or datafiles.data_folder()) / "experiments"
    return sorted(path.stem for path in place.glob("*.toml"))


def test_every_experiment_file_is_in_the_catalog() -> None:
    assert sorted(catalog()) == shipped()
    assert {*P21, *LX22_NAMES, *BOREXINO} <= set(catalog())
    assert [name for name in catalog() if name.startswith("lx22")] == sorted(LX22_NAMES)


def test_shipped_files_are_those_of_the_manifest() -> None:
    for experiment in catalog().values():
        assert experiment.spec.title
        assert experiment.spec.reference
        for file, digest in experiment.files.items():
            assert datafiles.manifest()[f"experiments/{file}"]["sha256"] == digest


@pytest.mark.parametrize("name", P21)
def test_shipped_experiments_are_consistent(name: str) -> None:
    experiment = catalog()[name]
    kinds = name.split("-")[1:]
    assert list(experiment.channels) == kinds
    assert experiment.spec.title
    assert experiment.spec.reference
    scale = "nuclear_recoil" if kinds == ["nr"] else "electron_equivalent"
    assert experiment.spec.energy_scale == scale
    assert experiment.unit == {"nuclear_recoil": "keV_nr", "electron_equivalent": "keV_ee"}[scale]
    assert bool(experiment.background) == ("er" in kinds)
    # P21: 15.34, 20 and 200 tonne years; nuclear recoils alone pass a cut of 50 %
    exposure = {"lz": 15.34, "xenonnt": 20.0, "darwin": 200.0}[name.split("-")[0]]
    assert experiment.spec.exposure_tonne_year == exposure
    if experiment.spec.nr is not None:
        assert experiment.spec.nr.acceptance == (0.5 if kinds == ["nr"] else 1.0)
    assert experiment.threshold == experiment.half_efficiency(experiment.scale_channel)
    plain = experiment.as_dict()
    assert plain["name"] == name
    assert plain["threshold_kev"] == experiment.threshold
    for file, digest in experiment.files.items():
        assert datafiles.manifest()[f"experiments/{file}"]["sha256"] == digest


def test_the_lowest_threshold_is_the_same_recoil_in_both_scales() -> None:
    """0.7 keV_nr is 0.106 keV_ee."""
    combined = catalog()["darwin-nr-er"]
    low = combined.spec.window.minimum_threshold_kev
    assert detector.threshold_in(combined, "nr", low) == pytest.approx(0.7, rel=5e-3)


def test_a_user_s_experiment_works_like_a_shipped_one(own: Folder) -> None:
    folder = own("", "")
    registry = catalog(folder)
    assert set(registry) == {*shipped(), "mine"}
    mine, original = registry["mine"], registry["darwin-nr-er"]
    assert mine.name == "mine"
    assert mine.threshold == original.threshold
    assert (
        mine.files["mine.toml"] == hashlib.sha256((folder / "mine.toml").read_bytes()).hexdigest()
    )
    given = {"mass": np.array([15.0]), "oscillation": [oscillation("nufit60")]}
    counts = [
        basis.coefficients(
            basis.compute(e, threshold=np.array([5.0]), **given),  # type: ignore[arg-type]
            models.find("B-L"),
        ).values
        for e in (mine, original)
    ]
    np.testing.assert_array_equal(counts[0], counts[1])
    assert set(catalog()) == set(shipped())


def test_a_user_s_threshold_is_used(own: Folder) -> None:
    folder = own("[window]", "[window]\nthreshold_kev = 2.5")
    assert catalog(folder)["mine"].threshold == 2.5


def test_a_shipped_name_may_not_be_taken(own: Folder) -> None:
    folder = own("", "")
    taken = (folder / "mine.toml").rename(folder / "lz-er.toml")
    assert refusal(folder) == (
        f"{taken}: an experiment 'lz-er' is shipped already; rename the file"
    )


def test_a_folder_that_is_not_one_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "no"
    assert refusal(missing) == f"{missing}: not a folder; give the folder of your experiments"
    for i in range(experiments.MAX_FILES + 1):
        (tmp_path / f"{i}.toml").touch()
    assert refusal(tmp_path) == f"{tmp_path}: 1001 files; at most 1000 are read"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "maximum_kevee",
            "maximum_keve",
            "window.maximum_keve: unknown key; did you mean 'maximum_kevee'? Allowed: threshold_kev,",
        ),
        (
            "maximum_kevee = 30.0",
            "",
            "a resolution needs [quenching] and window.maximum_kevee; add them",
        ),
        (
            '[quenching]\nmodel = "lindhard"\nk = 0.1735',
            "",
            "a resolution needs [quenching] and window.maximum_kevee; add them",
        ),
        (
            "[resolution]  # sigma/E = a/sqrt(E) + b, E in keV_ee\na = 0.31\nb = 0.0037",
            "",
            "window.maximum_kevee needs a resolution; give maximum_kev, or add it",
        ),
        (
            '"counting"',
            '"rate"',
            "test 'rate' goes with [measured_rate], and none is given; change the test, or the table",
        ),
        (
            "[quenching]",
            "[measured_rate]\nrate_per_tonne_year = 1\nerror_per_tonne_year = 1\n"
            "theory_fraction = 0\n[quenching]",
            "test 'counting' goes with no measurement, and [measured_rate] is given; change the test,",
        ),
        ('"counting"', '"chi2"', "test: given 'chi2'; allowed: 'counting', 'least-squares'"),
        ("[window]", "[window]\nlog_bins = 0", "window.log_bins: given 0; a number of at least 1"),
        (
            "[window]",
            "[window]\nlog_bins = 1001",
            "window.log_bins: given 1001; a number of at most",
        ),
        (
            'source = "solar"',
            'source = "solar"\nreactions = ["9Be"]',
            "reactions.0: given '9Be'; allowed: 'pp', 'pep', 'hep', '7Be', '7Be-862',",
        ),
        ('target = "Xe"', 'target = "Xenon"', "target: given 'Xenon'; allowed: 'Si', 'Ar',"),
        (
            'source = "solar"',
            'source = "sun"',
            "source: unknown source 'sun'. Known: ",
        ),
        ("[er]", "[eer]", "eer: unknown key; did you mean 'er'? Allowed: title, reference, note,"),
        (
            "a = 0.31",
            "a = -0.31",
            "resolution.a: given -0.31; a number of at least 0",
        ),
        (
            "a = 0.31\nb = 0.0037",
            "a = 0\nb = 0",
            "resolution: a and b are both zero; give the width of the resolution",
        ),
        ("k = 0.1735", "k = 0", "quenching.k: given 0; a number above 0 is needed; correct it"),
        (
            "acceptance = 1.0",
            "acceptance = 1.5",
            "nr.acceptance: given 1.5; a number of at most 1 is",
        ),
        ("acceptance = 1.0", "acceptance = 0", "nr.acceptance: given 0; a number above 0 is"),
        (f'"{NR_TABLE}"', '"../x.csv"', "nr.efficiency: given '../x.csv'; a file name that ends"),
        (f'"{NR_TABLE}"', '"/x.csv"', "nr.efficiency: given '/x.csv'; a file name that ends"),
        ("= 30.0", "= nan", "window.maximum_kevee: given nan; a finite number"),
        ("200.0", "-1", "exposure_tonne_year: given -1; a number above 0 is needed"),
        (
            "minimum_threshold_kev = 0.106",
            "minimum_threshold_kev = 2",
            "window: the nominal threshold is 1.51097 keV_ee, below the minimum 2; lower the "
            "minimum, if the detector model holds there",
        ),
        (
            "flat_per_tonne_year_kev = 1.8444",
            "flat_per_tonne_year_kev = -1",
            "background.0.flat_per_tonne_year_kev: given -1; a number of at least 0",
        ),
        (
            "flat_per_tonne_year_kev = 1.8444",
            "",
            "background.0: exactly one of flat_per_tonne_year_kev, table is needed",
        ),
        ('"electron_equivalent"', '"ee"', "energy_scale: given 'ee'; allowed: 'nuclear_rec"),
        ("title =", "title", "not valid TOML: "),
        ("exposure_tonne_year = 200.0", "exposure_tonne_year = true", "exposure_tonne_year: "),
        ('name = "136Xe double beta"', 'name = "materials, radon, krypton"', "background"),
        ("= 30.0", "= 1.0", "window"),
    ],
)
def test_a_file_that_is_not_an_experiment_is_refused(
    own: Folder, old: str, new: str, message: str
) -> None:
    folder = own(old, new)
    assert refusal(folder).startswith(f"{folder}/mine.toml: {message}")


def test_an_experiment_needs_a_channel_and_its_scale(own: Folder) -> None:
    folder = own("", "")
    text = (folder / "mine.toml").read_text(encoding="utf-8")
    head, rest = text.split("[nr]")
    er, background = rest[rest.index("[er]") :].split("[[background]]", 1)
    cases = {
        head: "neither [nr] nor [er] is given; add at least one channel",
        head + "[nr]" + rest[: rest.index("[er]")]: "energy_scale 'electron_equivalent' needs its",
        head.replace("electron_equivalent", "nuclear_recoil").replace("0.106", "0.7")
        + "[nr]"
        + rest[: rest.index("[er]")]
        + "[[background]]"
        + background: "a background is given without [er], whose efficiency it needs",
    }
    for content, message in cases.items():
        (folder / "mine.toml").write_text(content, encoding="utf-8")
        assert refusal(folder).startswith(f"{folder}/mine.toml: {message}")
    (folder / "mine.toml").write_text(head + er, encoding="utf-8")
    assert catalog(folder)["mine"].channels == ("er",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "1.4831,0.005995",
            "1.4831,-0.005995",
            ", line 2: efficiency is -0.005995; it must lie between 0 and 1; correct it",
        ),
        (
            "1.5485,0.007182",
            "1.5485,1.007",
            ", line 3: efficiency is 1.007; it must lie between 0 and 1; correct it",
        ),
        (
            "1.5485,",
            "1.4831,",
            ", line 3: recoil_energy_kevnr must be positive and ascend; sort the rows",
        ),
        (
            "1.4831,",
            "9.0,",
            ", line 3: recoil_energy_kevnr must be positive and ascend; sort the rows",
        ),
        (
            "1.4831,",
            "0,",
            ", line 2: recoil_energy_kevnr must be positive and ascend; sort the rows",
        ),
        (
            "recoil_energy_kevnr",
            "recoil_energy_kevee",
            ": column 'recoil_energy_kevnr' is missing; the columns there are recoil_energy_kevee,",
        ),
        ("0.005995", "much", ", line 2: column 'efficiency' has 'much'; a finite number is needed"),
    ],
)
def test_a_table_that_is_not_an_efficiency_is_refused(
    own: Folder, old: str, new: str, message: str
) -> None:
    folder = edit_table(own("", ""), old, new)
    assert refusal(folder).startswith(f"{folder}/{NR_TABLE}{message}")


@pytest.mark.parametrize("rows", ["1,0.1\n2,0.3\n", "1,0.9\n"])
def test_an_efficiency_must_reach_one_half(own: Folder, rows: str) -> None:
    folder = own("", "")
    (folder / NR_TABLE).write_text(f"recoil_energy_kevnr,efficiency\n{rows}")
    assert "at least two rows, and an efficiency that reaches 0.5, are needed" in refusal(folder)


def test_a_negative_background_is_refused(own: Folder) -> None:
    folder = edit_table(own("", ""), "2,0.2411", "2,-0.2411", "darwin-double-beta.csv")
    assert ", line 3: rate_per_tonne_year_kev is -0.2411; it must lie between 0 and inf" in refusal(
        folder
    )


def test_a_table_may_not_lead_out_of_the_folder(
    own: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = own("", "")
    outside = tmp_path_factory.mktemp("outside") / "x.csv"
    (folder / NR_TABLE).rename(outside)
    (folder / NR_TABLE).symlink_to(outside)
    assert refusal(folder) == (
        f"{folder / NR_TABLE}: leads out of {folder}; keep the file inside it"
    )


def test_a_missing_or_oversized_table_is_refused(own: Folder) -> None:
    folder = own("", "")
    (folder / NR_TABLE).unlink()
    assert refusal(folder) == (
        f"{folder / NR_TABLE}: there is no such file; put it beside its experiment file, or correct "
        "the name"
    )
    (folder / NR_TABLE).write_bytes(b"0" * (datafiles.MAX_TABLE_BYTES + 1))
    assert "8388609 bytes; 8388608 are allowed; tabulate it coarser" in refusal(folder)


def test_a_damaged_shipped_table_is_found(damaged: Path) -> None:
    path = damaged / "experiments" / NR_TABLE
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(VerificationError, match="the file is damaged"):
        catalog()


def test_an_unlisted_shipped_experiment_is_not_read(damaged: Path) -> None:
    folder = damaged / "experiments"
    before = shipped(damaged)
    shutil.copy(folder / "lz-er.toml", folder / "lz-new.toml")
    assert sorted(catalog()) == before
    manifest = damaged / "MANIFEST.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"experiments/lz-er-background.csv"', '"x.csv"'))
    datafiles.manifest.cache_clear()
    experiments._shipped.cache_clear()
    with pytest.raises(LmltgridError, match=r"experiments/lz-er-background\.csv: not listed in"):
        catalog()


def test_one_half_is_found_on_the_rising_edge() -> None:
    experiment = catalog()["lz-er"]
    half = experiment.half_efficiency("er")
    curve = experiment.efficiency["er"]
    assert np.interp(half, curve.energy, curve.value) == pytest.approx(0.5, abs=1e-12)
    # the LZ efficiency falls below one half again, at high energies
    assert curve.value[-1] < 0.5
    assert np.all(curve.value[curve.energy < half] < 0.5)
