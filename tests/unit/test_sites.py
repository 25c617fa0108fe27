"""Site files, and the job scripts that they mean; nothing is submitted."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from lmltgrid import cluster
from lmltgrid.cluster.jobs import options
from lmltgrid.cluster.site import BatchSite, read_site
from lmltgrid.datafiles import data_folder
from lmltgrid.errors import MachineError, SpecificationError

FULL = """
kind = "{kind}"
queue = "cpu"
account = "nu-physics"
walltime = "1-02:30:00"
margin = 300
cores = 4
memory_mb = 2000
interface = "lo"
directives = [{directive}]
prologue = ["module load python/3.11"]
python = "/opt/lmltgrid/bin/python"
local_directory = "/scratch"
log_directory = "logs"
"""


def site(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text)
    return path


def script(folder: Path, kind: str, directive: str = '"--qos=short"') -> str:
    pytest.importorskip("dask_jobqueue", reason="job scripts need dask-jobqueue (the extra hpc)")
    read = read_site(site(folder, FULL.format(kind=kind, directive=directive)))
    assert isinstance(read, BatchSite)
    return cluster.job_script(read)


HEADERS = {
    "slurm": (
        "#SBATCH -J lmltgrid",
        "#SBATCH -p cpu",
        "#SBATCH -A nu-physics",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH -t 26:30:00",
        "#SBATCH --qos=short",
    ),
    "pbs": (
        "#PBS -N lmltgrid",
        "#PBS -q cpu",
        "#PBS -A nu-physics",
        "#PBS -l walltime=26:30:00",
        "#PBS --qos=short",
    ),
    "lsf": (
        "#BSUB -J lmltgrid",
        "#BSUB -q cpu",
        '#BSUB -P "nu-physics"',
        "#BSUB -n 4",
        "#BSUB -W 26:30",
        "#BSUB --qos=short",
    ),
    "sge": (
        "#$ -N lmltgrid",
        "#$ -q cpu",
        "#$ -P nu-physics",
        "#$ -l h_rt=26:30:00",
        "#$ --qos=short",
    ),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_job_script_says_what_the_site_file_says(tmp_path: Path, kind: str) -> None:
    text = script(tmp_path, kind)
    lines = text.splitlines()
    assert [line for line in HEADERS[kind] if line not in lines] == []
    assert lines.index("module load python/3.11") > lines.index(HEADERS[kind][-1])
    assert "export OMP_NUM_THREADS=1" in lines
    worker = lines[-1].split()
    assert worker[:3] == ["/opt/lmltgrid/bin/python", "-m", "distributed.cli.dask_worker"]
    assert words_after(worker, "--nthreads") == "1"  # a unit has a process of its own
    assert words_after(worker, "--nworkers") == "4"
    assert words_after(worker, "--memory-limit") == "1.86GiB"  # 2000 MB
    assert words_after(worker, "--interface") == "lo"
    assert words_after(worker, "--local-directory") == "/scratch"
    # it ends by itself five minutes before the walltime, give or take half of that
    assert words_after(worker, "--lifetime") == f"{26 * 3600 + 1800 - 300}s"
    assert words_after(worker, "--lifetime-stagger") == "150s"
    assert "--no-dashboard" in worker


def words_after(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_the_submit_file_of_htcondor(tmp_path: Path) -> None:
    text = script(tmp_path, "htcondor", '"+JobFlavour = longlunch"')
    assert "accounting_group = nu-physics" in text
    assert "+JobFlavour = longlunch" in text
    assert "RequestCpus" in text
    assert "module load python/3.11" in text
    assert "--lifetime" in text


def test_certificates_are_temporary_files_of_this_user_unless_given(tmp_path: Path) -> None:
    read = read_site(site(tmp_path, 'kind = "slurm"\n[tls]\nca = "a"\ncert = "b"\nkey = "c"'))
    assert isinstance(read, BatchSite)
    assert read.tls is not None
    assert read.tls.cert == tmp_path / "b"  # beside the site file
    assert options(read)["shared_temp_directory"] == str(Path.home() / ".lmltgrid")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('kind = "slrum"', "kind: given 'slrum'; allowed: slurm, pbs, lsf, sge, htcondor"),
        ("cores = 1", "kind: given None; allowed"),
        ('kind = "slurm"\nque = "cpu"', "que: unknown key; did you mean 'queue'"),
        ('kind = "slurm"\nwalltime = "2h"', "walltime: given '2h'; HH:MM:SS or D-HH:MM:SS"),
        ('kind = "slurm"\nwalltime = "00:03:00"', "shorter than twice the margin of 120 s"),
        ('kind = "slurm"\nprologue = ["a\\nb"]', "prologue.0: given .*one line is needed"),
        ('kind = "slurm"\n[adaptive]\nminimum = 3\nmaximum = 2', "minimum 3 must not exceed"),
        ('kind = "slurm"\nmemory_mb = 100', "memory_mb: given 100; a number of at least 400"),
        ('kind = "scheduler"', "exactly one of address, file is needed"),
        ('kind = "scheduler"\naddress = "host:8786"', "address: given 'host:8786'"),
        ("kind = ", "TOML"),
    ],
)
def test_a_bad_site_file_is_refused_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SpecificationError, match=words) as caught:
        read_site(site(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "site.toml"))
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match=r"none\.toml: the site file cannot be read"):
        cluster.choose(str(tmp_path / "none.toml"))
    with pytest.raises(MachineError, match=r"none\.json: this is no scheduler file"):
        cluster.choose(str(tmp_path / "none.json"))
    with pytest.raises(SpecificationError, match="cluster: 'slurm' is given; allowed: in-process"):
        cluster.choose("slurm")


def test_a_number_of_workers_is_needed(tmp_path: Path) -> None:
    path = site(tmp_path, 'kind = "slurm"')
    with pytest.raises(SpecificationError, match="give --workers, or"):
        cluster.choose(str(path))
    assert cluster.choose(str(path), 8).workers == 8
    path = site(tmp_path, 'kind = "slurm"\n[adaptive]\nminimum = 2\nmaximum = 20')
    assert cluster.choose(str(path)).workers == 20
    assert cluster.choose(str(path), 5).processes == 5
    with pytest.raises(SpecificationError, match=r"1 workers are given, below adaptive\.minimum"):
        cluster.choose(str(path), 1)


def test_a_specification_cannot_name_a_site_file_or_an_address() -> None:
    """It is data that people exchange; a prologue and a foreign scheduler run code."""
    from lmltgrid.spec import ScanSpec, validate

    content: dict[str, Any] = tomllib.loads((data_folder() / "scans/quickstart.toml").read_text())
    for name in ("site.toml", "tcp://elsewhere:8786"):
        with pytest.raises(SpecificationError, match=r"run\.cluster: given"):
            validate(ScanSpec, content | {"run": {"cluster": name}}, "scan.toml")
