"""A small store that nothing is in yet, for tests of units."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_store import MOMENTS, layout

from lmltgrid.store import Store, create_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(tmp_path / "scan.zarr", layout(), MOMENTS)


@pytest.fixture
def any_store(anywhere: Path | str) -> Store:
    """A store in a folder and one on S3 in turn."""
    return create_store(anywhere, layout(), MOMENTS)
