"""A scan that is run in a notebook shows the cluster and a bar on its page."""

from __future__ import annotations

import asyncio
import re
import warnings
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

SCAN = """
models = ["Lmu-Ltau", "Lmu"]
experiments = ["darwin-nr"]
mass = { log = { start = 1, stop = 100, num = 16 } }
coupling = { log = { start = 1e-5, stop = 1e-2, num = 16 } }
exposure = { values = [10, 100, 200, 1000] }
threshold = { values = [1.0] }
[run]
chunk_mb = 0.01
"""
RUN = "import lmltgrid\nout = lmltgrid.run('scan.toml', store='a.zarr', {})\nprint(out.exit_code)"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The cells of a notebook after it was run: on a cluster, again in process, quiet, refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that only this test needs
        import nbformat

        folder = tmp_path_factory.mktemp("notebook")
        (folder / "scan.toml").write_text(SCAN)
        (folder / "taken.zarr").mkdir()
        (folder / "taken.zarr" / "mine.txt").touch()
        asked = ["cluster='local', workers=1", "", "quiet=True"]
        sources = [RUN.format(how) for how in asked]
        sources.append(
            "try:\n    lmltgrid.run('scan.toml', store='taken.zarr')\n"
            "except ValueError as error:\n    print('refused:', error)"
        )
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
        client = nbclient.NotebookClient(
            notebook, timeout=300, resources={"metadata": {"path": str(folder)}}
        )
        asyncio.run(client.async_execute())
    return list(notebook.cells)


def displayed(cell: Any, kind: str) -> list[str]:
    return [o["data"][kind] for o in cell.outputs if kind in o.get("data", {})]


def printed(cell: Any, name: str = "stdout") -> str:
    return "".join(
        o["text"] for o in cell.outputs if o["output_type"] == "stream" and o["name"] == name
    )


pytestmark = pytest.mark.cluster
ENDED = re.compile(r"(\d+)/\1 · 100 % · .* elapsed")
FULL = re.compile(r'value="(\d+)" max="\1"')


def test_the_cluster_is_shown_by_its_own_widget_and_the_units_by_a_bar(cells: list[Any]) -> None:
    pages = displayed(cells[0], "text/html")
    assert sum("LocalCluster" in page for page in pages) == 1
    (bar,) = [page for page in pages if "<progress" in page]
    assert FULL.search(bar)
    assert ENDED.search(bar)
    assert "workers and memory are shown at http://127.0.0.1:" in printed(cells[0])
    assert printed(cells[0]).splitlines()[-1] == "0"


def test_in_process_there_is_a_bar_alone(cells: list[Any]) -> None:
    (bar,) = [page for page in displayed(cells[1], "text/html") if page]
    assert FULL.search(bar)
    assert ENDED.search(displayed(cells[1], "text/plain")[-1])  # where no page is drawn


def test_quiet_shows_nothing(cells: list[Any]) -> None:
    assert displayed(cells[2], "text/html") == []
    assert printed(cells[2]) == "0\n"


def test_a_refused_run_leaves_no_bar(cells: list[Any]) -> None:
    assert not any("<progress" in page for page in displayed(cells[3], "text/html"))
    assert printed(cells[3]).startswith("refused: taken.zarr")


def test_nothing_is_written_in_red(cells: list[Any]) -> None:
    assert [printed(cell, "stderr") for cell in cells] == [""] * 4
