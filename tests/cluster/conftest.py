"""Executors for the tests of scans; one cluster serves them all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lmltgrid import cluster


@pytest.fixture(scope="session")
def local() -> Iterator[cluster.Executor]:
    """Two processes on this machine; they inherit sys.path, so they find `fake_scan`."""
    with cluster.local(2, memory_mb=600) as executor:
        yield executor


@pytest.fixture(params=["in-process", "threads", pytest.param("local", marks=pytest.mark.cluster)])
def executor(request: pytest.FixtureRequest) -> Iterator[cluster.Executor]:
    """Every kind of executor in turn."""
    if request.param == "local":
        yield request.getfixturevalue("local")
    else:
        with cluster.in_process(2 if request.param == "threads" else 1) as inside:
            yield inside
