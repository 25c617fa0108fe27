"""The examination of an installation, a machine, a folder and a server."""

from __future__ import annotations

import errno
import os
import platform
import types
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from cli_calls import answer, invoke
from s3_server import BUCKET

from lmltgrid import datafiles, doctor
from lmltgrid.errors import MachineError
from lmltgrid.kernels import jit
from lmltgrid.spec import RunSpec
from lmltgrid.storage import storage_of, trials
from lmltgrid.storage.objects import ObjectStorage


def by_name(checks: object) -> dict[str, doctor.Check]:
    return {check.name: check for check in checks}  # type: ignore[attr-defined]


def test_a_healthy_machine(tmp_path: Path) -> None:
    found = answer("doctor", str(tmp_path))
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert found["ok"] is True
    for name in ("Python", "packages", "data files", "writable", *(n for n, _ in doctor.TRIALS)):
        assert states[name] == "ok", found
    assert all(check["advice"] for check in found["checks"] if check["state"] != "ok")
    assert list(tmp_path.iterdir()) == []
    text = invoke("doctor", str(tmp_path)).stdout
    assert text.splitlines()[1].split() == ["check", "state", "found", "what", "to", "do"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    result = invoke("doctor", str(tmp_path / "nowhere"))
    assert result.exit_code == 6
    assert "there is no such folder" in result.stdout
    assert result.stderr == "lmltgrid: doctor: 1 check(s) failed: folder\n"


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_a_file_system_without_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(os, "link", refuse)
    found = by_name(doctor.place(tmp_path))
    states = {name: found[name].state for name, _ in doctor.TRIALS}
    assert states == {
        "rename of a file": "failed",
        "rename of a folder": "failed",
        "create if absent": "ok",
        "hard link": "warning",
        "flush to disk": "ok",
    }
    assert found["rename of a file"].found == "Operation not permitted"
    assert "another file system" in found["rename of a file"].advice


def test_a_file_system_that_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renames that copy or merge, and a create-if-absent that overwrites."""
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda p, mode="r", **k: real(p, mode.replace("x", "w"), **k))
    monkeypatch.setattr(Path, "replace", lambda one, other: other.write_bytes(one.read_bytes()))
    monkeypatch.setattr(
        Path, "rename", lambda _, other: (other.mkdir(exist_ok=True), (other / "content").touch())
    )
    monkeypatch.setattr(os, "link", lambda *_: None)
    found = by_name(doctor.place(tmp_path))
    assert "does not replace a file in one step" in found["rename of a file"].found
    assert "two runs could create one store" in found["rename of a folder"].found
    assert "two runs could hold one store" in found["create if absent"].found
    assert "replaces a file" in found["hard link"].found


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.tempfile, "TemporaryDirectory", refuse)  # root writes anywhere
    found = by_name(doctor.place(tmp_path))
    assert found["writable"].state == "failed"
    assert "permissions" in found["writable"].advice


@pytest.mark.parametrize(("free", "state"), [(0, "failed"), (5e8, "warning"), (1e10, "ok")])
def test_room_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, state: str
) -> None:
    monkeypatch.setattr("lmltgrid.storage.LocalStorage.free_bytes", lambda _: free)
    assert by_name(doctor.place(tmp_path))["free space"].state == state
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=free))
    assert doctor.memory().state == state


def test_memory_is_what_a_specification_may_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    least, usual = 400, RunSpec().memory_mb
    assert RunSpec(memory_mb=least).memory_mb == least
    with pytest.raises(ValueError, match="memory_mb"):
        RunSpec(memory_mb=least - 1)
    for free, state in ((least - 1, "failed"), (least, "warning"), (usual, "ok")):
        known = types.SimpleNamespace(available=1e6 * free)
        monkeypatch.setattr(psutil, "virtual_memory", lambda known=known: known)
        assert doctor.memory().state == state
        assert f"at least {least} MB" in doctor.memory().advice or state == "ok"


def test_versions_are_compared_as_numbers() -> None:
    assert doctor._below("2.9.1", "2.10")
    assert not doctor._below("2.10", "2.9")
    assert not doctor._below("2025.1", "2025.1.0")
    assert doctor._below("3.0.8rc1", "3.0.9")


def test_packages_against_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    required = [
        "numpy>=999.1",
        "click>=8",
        "absent-package>=1.0",
        'optional-package>=2; extra == "hpc"',
        "pytest>=999; extra == 'dev'",
        "pandas-stubs",
    ]
    monkeypatch.setattr(metadata, "requires", lambda _: required)
    found = by_name(doctor.packages())
    assert set(found) == {"packages", "numpy", "absent-package"}
    assert found["numpy"].state == found["absent-package"].state == "failed"
    assert found["numpy"].advice == "pip install -U 'numpy>=999.1'"
    assert found["packages"].found == "1 as new as needed"


def test_python_and_an_installation_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.2")
    assert doctor.python().state == "failed"
    monkeypatch.setattr(doctor, "DISTRIBUTION", "no-such-distribution")
    assert "not installed" in doctor.python().found
    assert doctor.packages() == []


def test_data_files_that_are_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(name: str) -> bytes:
        raise MachineError(f"{name}: cannot be read")

    monkeypatch.setattr(datafiles, "read_bytes", damaged)
    assert doctor.data_files().state == "failed"


def test_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    assert doctor.kernels().state == "ok"
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert doctor.kernels().state == "warning"
    monkeypatch.setattr(jit, "kernel", lambda _: lambda x: 2 * x)
    assert "returns 6.0 for 9" in doctor.kernels().found

    def broken(_: object) -> None:
        raise RuntimeError("cannot cache\nfunction")

    monkeypatch.setattr(jit, "kernel", broken)
    assert doctor.kernels().found == "numba cannot compile (RuntimeError: cannot cache function)"


def test_folder_of_compiled_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "NUMBA_CACHE_DIR"
    monkeypatch.delenv(name, raising=False)
    assert doctor.kernel_cache().state == "ok"
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(doctor, "file_system", lambda _: "ext4")
    assert doctor.kernel_cache().state == "ok"
    monkeypatch.setattr(doctor, "file_system", lambda _: "nfs4")
    assert "local disk" in doctor.kernel_cache().advice
    folder.chmod(0o777)
    assert "chmod go-w" in doctor.kernel_cache().advice
    (tmp_path / "file").touch()
    monkeypatch.setenv(name, str(tmp_path / "file"))
    assert doctor.kernel_cache().state == "failed"


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in doctor.THREADS:
        monkeypatch.delenv(name, raising=False)
    assert doctor.cores().state == "ok"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert doctor.cores().state == "ok"
    monkeypatch.setenv("OMP_NUM_THREADS", "all")
    assert doctor.cores().state == "warning"
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    assert "OMP_NUM_THREADS" in doctor.cores().advice


def test_the_file_system_is_that_of_the_deepest_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [("/", "ext4"), ("/scratch", "autofs"), ("/scratch", "lustre"), ("/scr", "nfs")]
    every = [types.SimpleNamespace(mountpoint=place, fstype=kind) for place, kind in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: every)
    assert doctor.file_system(Path("/scratch/me")) == "lustre"
    assert doctor.file_system(Path("/home")) == "ext4"
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [])
    assert doctor.file_system(Path("/home")) == "unknown"


class TestServer:
    """A place on S3."""

    def test_a_healthy_server(self, s3_url: str) -> None:
        found = answer("doctor", s3_url)
        states = {check["name"]: check["state"] for check in found["checks"]}
        assert found["ok"] is True, found
        for name in ("server", "clock of the server", *(name for name, _ in trials.TRIALS)):
            assert states[name] == "ok", found
        assert "writable" not in states
        assert list(storage_of(s3_url).names()) == []

    @pytest.mark.usefixtures("s3")
    def test_the_bucket_alone_may_be_named(self) -> None:
        assert by_name(doctor.bucket(f"s3://{BUCKET}"))["server"].state == "ok"

    def test_a_server_that_lies(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """It takes conditions and does not heed them, as some old ones do."""

        def careless(self: ObjectStorage, name: str, content: bytes, *_: object) -> bool:
            self.write(name, content)
            return True

        monkeypatch.setattr(ObjectStorage, "create", careless)
        monkeypatch.setattr(ObjectStorage, "swap", careless)
        names = ObjectStorage.names
        monkeypatch.setattr(
            ObjectStorage,
            "names",
            lambda self, of="": iter(()) if of == "done" else names(self, of),
        )
        monkeypatch.setattr(ObjectStorage, "tail", lambda *_: (0, b""))
        monkeypatch.setattr(trials, "ahead", lambda _: -900.0)
        found = by_name(doctor.bucket(s3_url))
        assert "two runs could hold one store" in found["create if absent"].found
        assert "two runs could take over one store" in found["conditional update"].found
        assert "does not name what was put" in found["list"].found
        assert "not what was put" in found["put, get, delete"].found
        assert all(found[name].state == "failed" for name, _ in trials.TRIALS)
        assert all(found[name].advice for name, _ in trials.TRIALS)
        clock = found["clock of the server"]
        assert (clock.state, clock.found) == ("warning", "900 s behind that of this machine")
        assert list(storage_of(s3_url).names()) == []

    def test_a_server_that_is_not_there(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(trials, "PATIENCE", 0.5)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        result = invoke("doctor", s3_url)
        assert result.exit_code == 6
        assert "did not answer for" in result.stdout
        assert "AWS_ENDPOINT_URL" in result.stdout
        assert result.stderr.endswith("lmltgrid: doctor: 1 check(s) failed: server\n")

    def test_settings_that_cannot_be(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ALLOW_HTTP")
        found = by_name(doctor.bucket(s3_url))
        assert list(found) == ["server"]
        assert "AWS_ALLOW_HTTP=true" in found["server"].found
