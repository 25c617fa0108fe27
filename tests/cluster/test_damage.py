"""Whatever is damaged in a store is named, and computed anew or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from ledger_check import agrees
from small_scan import chunk_bytes

from lmltgrid.cli import main
from lmltgrid.store import open_store

pytestmark = pytest.mark.faults
UNIT = 3


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole / "whole.zarr", tmp_path / "scan.zarr"))


def call(code: int, *words: str) -> tuple[str, str]:
    """Run a command; return what it prints, and its words if it ends in a sentence."""
    done = CliRunner().invoke(main, [*words])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.stdout, done.stderr


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def chunk(store: Path) -> Path:
    return store / open_store(store).plan.place(UNIT).files()["counts"]


def marker(store: Path) -> Path:
    return store / f"_ledger/done/000000/{UNIT:03d}.json"


UNITS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a truncated chunk": (lambda s: chunk(s).write_bytes(chunk(s).read_bytes()[:40]), "40 bytes"),
    "a chunk of nothing": (lambda s: chunk(s).write_bytes(b""), "it has 0 bytes"),
    "a flipped bit": (lambda s: flip(chunk(s)), "cannot be decoded|CRC"),
    "a chunk deleted": (lambda s: chunk(s).unlink(), "it is missing"),
    "a marker of nothing": (lambda s: marker(s).write_bytes(b""), "its marker cannot be read"),
    "a marker cut": (
        lambda s: marker(s).write_bytes(marker(s).read_bytes()[:30]),
        "its marker cannot be read",
    ),
    "a marker of another": (
        lambda s: marker(s).write_bytes(marker(s).with_name("002.json").read_bytes()),
        "its marker cannot be read",
    ),
    "a flipped bit in a marker": (lambda s: flip(marker(s)), "cannot be|CRC|extreme|record"),
}


@pytest.mark.parametrize("what", UNITS)
def test_a_damaged_unit_is_named_and_computed_anew(whole: Path, store: Path, what: str) -> None:
    damage, words = UNITS[what]
    damage(store)
    found = json.loads(call(5, "verify", str(store), "--deep", "--json")[0])
    assert len(found["problems"]) == 1
    assert f"unit {UNIT}" in found["problems"][0]
    assert any(word in found["problems"][0] for word in words.split("|"))
    _, errors = call(4, "verify", str(store), "--repair")
    assert f"'lmltgrid resume {store}' computes them again" in errors
    before = set(range(open_store(store).units())) - {UNIT}
    report = json.loads(call(0, "resume", str(store), "--quiet", "--json")[0])["report"]
    agrees(open_store(store), report, chunk_bytes(whole / "whole.zarr"), before=before)
    assert chunk_bytes(store) == chunk_bytes(whole / "whole.zarr")
    call(0, "verify", str(store), "--deep")


def test_a_deleted_marker_is_a_unit_to_compute(whole: Path, store: Path) -> None:
    marker(store).unlink()
    found = json.loads(call(0, "verify", str(store), "--deep", "--json")[0])
    assert found["units"] - found["finished"] == 1
    before = open_store(store).ledger.marked()
    report = json.loads(call(0, "resume", str(store), "--quiet", "--json")[0])["report"]
    agrees(open_store(store), report, chunk_bytes(whole / "whole.zarr"), before=before)
    assert chunk_bytes(store) == chunk_bytes(whole / "whole.zarr")


@pytest.mark.parametrize(
    "name",
    [
        "_ledger/plan.json",
        "zarr.json",
        "grid/darwin-nr/counts/zarr.json",
        "grid/darwin-nr/mass/c/0",
        "moments/darwin-nr/zarr.json",
    ],
)
@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_what_cannot_be_computed_anew_is_refused(store: Path, name: str, how: str) -> None:
    """Units are missing, so that a run would have something to compute from damaged files."""
    marker(store).unlink()
    path = store / name
    if how == "cut":
        path.write_bytes(path.read_bytes()[:60])
    elif how == "flipped":
        flip(path)
    else:
        path.unlink()
    before = chunk_bytes(store)
    markers = sorted((store / "_ledger/done").rglob("*.json"))
    for words in (["verify", "--deep"], ["verify", "--repair"], ["resume", "--quiet"]):
        _, errors = call(5, words[0], str(store), *words[1:])
        assert errors.startswith("lmltgrid: ")
        assert errors.count("\n") == 1
        assert "damaged" in errors or "problem(s)" in errors or "restore a copy" in errors
    assert chunk_bytes(store) == before
    assert sorted((store / "_ledger/done").rglob("*.json")) == markers


def test_damaged_moments_are_refused(store: Path) -> None:
    marker(store).unlink()
    for path in (store / "moments").rglob("c/**/*"):
        if path.is_file():
            flip(path)
            break
    _, errors = call(5, "resume", str(store), "--quiet")
    assert "nothing can be computed from it: restore a copy" in errors
    call(5, "verify", str(store), "--deep")
