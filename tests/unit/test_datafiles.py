"""Shipped files: manifest, damage, tables."""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lmltgrid import datafiles
from lmltgrid.errors import LmltgridError, MachineError, SpecificationError, VerificationError


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the data folder that the program believes to be its own."""
    folder = tmp_path / "data"
    shutil.copytree(datafiles.data_folder(), folder)
    monkeypatch.setattr(datafiles, "data_folder", lambda: folder)
    datafiles.manifest.cache_clear()
    datafiles.read_table.cache_clear()
    yield folder
    datafiles.manifest.cache_clear()
    datafiles.read_table.cache_clear()


def entries() -> list[dict[str, str]]:
    text = (datafiles.data_folder() / "MANIFEST.toml").read_text(encoding="utf-8")
    listed: list[dict[str, str]] = tomllib.loads(text)["file"]
    return listed


def test_every_listed_file_has_the_bytes_of_the_manifest() -> None:
    for name, entry in datafiles.manifest().items():
        content = (datafiles.data_folder() / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"], name
        assert datafiles.read_bytes(name) == content


def test_every_shipped_file_is_listed_once() -> None:
    folder = datafiles.data_folder()
    shipped = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    listed = [entry["path"] for entry in entries()]
    assert sorted(listed) == sorted(set(listed))
    assert shipped - {"MANIFEST.toml"} == set(listed)
    assert datafiles._stale() == []


def test_every_listed_file_says_where_its_numbers_come_from() -> None:
    for entry in entries():
        assert entry["title"], entry["path"]
        assert entry["source"], entry["path"]


def test_one_flipped_bit_is_found(copy: Path) -> None:
    path = copy / "nuclei" / "isotopes.csv"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(VerificationError) as caught:
        datafiles.read_bytes("nuclei/isotopes.csv")
    message = str(caught.value)
    assert message.startswith(f"{path}: the file is damaged: its SHA-256 is ")
    assert message.endswith("install lmltgrid again, or restore the file")
    assert caught.value.exit_code == 5
    with pytest.raises(VerificationError):
        datafiles.read_table("nuclei/isotopes.csv", ("z",))
    assert datafiles._stale()[0].startswith("changed: nuclei/isotopes.csv")


def test_a_missing_file_is_a_damaged_installation(copy: Path) -> None:
    (copy / "models.toml").unlink()
    with pytest.raises(MachineError, match=r"models\.toml: cannot be read \(No such file"):
        datafiles.read_toml("models.toml")
    assert datafiles._stale() == ["missing: models.toml"]


def test_an_unlisted_file_is_refused(copy: Path) -> None:
    (copy / "new.csv").write_text("a\n1\n")
    message = r"^data/new\.csv: not listed in data/MANIFEST\.toml; add its entry$"
    with pytest.raises(MachineError, match=message):
        datafiles.read_bytes("new.csv")
    assert datafiles._stale()[0].startswith("unlisted: new.csv sha256 = ")


@pytest.mark.parametrize("name", ["../pyproject.toml", "/models.toml", "experiments", ""])
def test_nothing_but_listed_files_is_read(name: str) -> None:
    with pytest.raises(MachineError, match="not listed"):
        datafiles.read_bytes(name)


def test_tables_are_read_only_and_read_once() -> None:
    table = datafiles.read_table("nuclei/xenon-shells.csv", ("binding_energy_kev",))
    assert list(table) == ["binding_energy_kev"]
    with pytest.raises(ValueError, match="read-only"):
        table["binding_energy_kev"][0] = 0.0
    assert datafiles.read_table("nuclei/xenon-shells.csv", ("binding_energy_kev",)) is table


def test_further_columns_and_spaces_in_the_header_do_no_harm() -> None:
    table = datafiles.parse_table(b"a, b ,c\n1,2,x\n3,4e0,y\n", ("b", "a"), "f.csv")
    np.testing.assert_array_equal(table["a"], [1.0, 3.0])
    np.testing.assert_array_equal(table["b"], [2.0, 4.0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,c\n1,2\n", "f.csv: column 'b' is missing; the columns there are a, c; add it"),
        (b"", "f.csv: column 'a' is missing; the columns there are none; add it"),
        (b"a,b\n", "f.csv: no rows below the header; add at least one"),
        (
            b"a,b\n1,2\n3,x\n",
            "f.csv, line 3: column 'b' has 'x'; a finite number is needed; correct it",
        ),
        (b"a,b\n1\n", "f.csv, line 2: column 'b' has ''; a finite number is needed; correct it"),
        (b"a,b\n1,nan\n", "f.csv, line 2: column 'b' has 'nan'; a finite number is needed"),
        (b"a,b\n-inf,2\n", "f.csv, line 2: column 'a' has '-inf'; a finite number is needed"),
        (
            b"a,b\n\n1,2\n\n3,x\n",
            "f.csv, line 5: column 'b' has 'x'; a finite number is needed; correct it",
        ),
    ],
    ids=["column", "empty", "header", "word", "short", "nan", "inf", "blank-lines"],
)
def test_a_table_that_is_not_one_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        datafiles.parse_table(content, ("a", "b"), "f.csv")
    assert str(caught.value).startswith(message)


def test_an_oversized_table_is_refused() -> None:
    content = b"a\n" + b"1\n" * (datafiles.MAX_TABLE_BYTES // 2)
    with pytest.raises(SpecificationError, match=r"8388610 bytes, 8388608 allowed; tabulate"):
        datafiles.parse_table(content, ("a",), "f.csv")


@pytest.mark.parametrize("content", [b'a\n"' + b"1" * 200_000, b"a\n1\n" + b"\x00\xff" * 100_000])
def test_bytes_that_are_not_a_table_are_refused_in_our_words(content: bytes) -> None:
    with pytest.raises(LmltgridError, match=r"^f\.csv"):
        datafiles.parse_table(content, ("a",), "f.csv")


@pytest.mark.parametrize("content", [b"a = ", b"a = 1\na = 2", b"\xff\xfe", b"[x\n"])
def test_what_is_not_toml_is_refused(content: bytes) -> None:
    with pytest.raises(SpecificationError, match=r"^f\.toml: not valid TOML: .*; correct that"):
        datafiles.parse_toml(content, "f.toml")


def test_toml_errors_name_the_line() -> None:
    with pytest.raises(SpecificationError, match="line 3"):
        datafiles.parse_toml(b"a = 1\nb = 2\nc = = 3\n", "f.toml")


def test_an_installation_without_data_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datafiles, "__file__", str(tmp_path / "lmltgrid" / "datafiles.py"))
    datafiles.data_folder.cache_clear()
    try:
        with pytest.raises(MachineError, match=r"no data/MANIFEST\.toml; install lmltgrid again$"):
            datafiles.data_folder()
    finally:
        datafiles.data_folder.cache_clear()
