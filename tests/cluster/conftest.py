"""Executors for the tests of scans; one cluster serves them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dask_programs
import fake_scan
import pytest
import scan_programs
from small_scan import ONE

from lmltgrid import cluster, service
from lmltgrid.store import Store


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of the grid of `fake_scan`, written unit by unit without any scan."""
    return fake_scan.undisturbed(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a specification, ``scan.toml``, and the store of it, ``whole.zarr``."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "scan.toml").write_text(ONE)
    service.run(folder / "scan.toml", store=folder / "whole.zarr", quiet=True)
    return folder


@pytest.fixture(autouse=True)
def no_program_is_left() -> Iterator[None]:
    """Programs have sessions of their own: neither Ctrl-C nor the end of a test ends them."""
    yield
    scan_programs.end_all()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of `fake_scan` of which nothing is computed yet."""
    return fake_scan.make_store(tmp_path)


@pytest.fixture(scope="session")
def local() -> Iterator[cluster.Executor]:
    """Two processes on this machine; they inherit sys.path, so they find `fake_scan`."""
    with cluster.local(2, memory_mb=600) as executor:
        scan_programs.wait_for(lambda: len(executor._names()) == 2, "two workers do not come")  # type: ignore[attr-defined]
        yield executor


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Executor]:
    """A scheduler and two workers that are programs of their own."""
    with (
        dask_programs.scheduler(tmp_path_factory.mktemp("running")) as (file, _),
        cluster.choose(str(file)).start() as executor,
    ):
        dask_programs.wait_for_workers(executor, 2)
        yield executor


CLUSTERS = [pytest.param(name, marks=pytest.mark.cluster) for name in ("local", "running")]


@pytest.fixture(params=["in-process", "threads", *CLUSTERS])
def executor(request: pytest.FixtureRequest) -> Iterator[cluster.Executor]:
    """Every kind of executor in turn; those of a batch system need one, see test_slurm.py."""
    if request.param in ("local", "running"):
        yield request.getfixturevalue(request.param)
    else:
        with cluster.in_process(2 if request.param == "threads" else 1) as inside:
            yield inside
