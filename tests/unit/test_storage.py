"""What a store asks of its storage: the same of a folder and of a real S3 server."""

from __future__ import annotations

import builtins
import errno
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from at_once import at_once
from s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

from lmltgrid.errors import MachineError, SpecificationError
from lmltgrid.storage import LocalStorage, Storage, address, objects, server, storage_of


@pytest.fixture
def storage(anywhere: Path | str) -> Storage:
    return storage_of(anywhere)


class TestFiles:
    def test_what_is_written_is_read(self, storage: Storage) -> None:
        assert not storage.taken()
        assert not storage.exists("a/b.json")
        for content in (b"first", b"", b"second and longer"):
            storage.write("a/b.json", content)
            assert storage.read("a/b.json") == content
        assert storage.exists("a/b.json")
        assert storage.taken()
        assert str(storage.at("a/b.json")) == f"{storage.path}/a/b.json"

    def test_nothing_is_there_to_be_read(self, storage: Storage) -> None:
        storage.write("other", b"x")
        for read in (storage.read, storage.state, lambda name: storage.tail(name, 4)):
            with pytest.raises(FileNotFoundError):
                read("a/b")
        storage.delete("a/b")
        assert list(storage.names("a")) == []

    def test_the_end_of_a_file(self, storage: Storage) -> None:
        storage.write("c/0/1", b"0123456789")
        assert storage.tail("c/0/1", 4) == (10, b"6789")
        assert storage.tail("c/0/1", 40) == (10, b"0123456789")
        storage.write("c/0/1", b"")
        assert storage.tail("c/0/1", 4) == (0, b"")

    def test_names_and_sizes(self, storage: Storage) -> None:
        files = {f"grid/darwin-nr@1+ess/{i}/x": b"y" * i for i in range(5)}
        for name, content in (files | {"gridless": b"z"}).items():
            storage.write(name, content)
        assert sorted(storage.names("grid")) == sorted(files)
        known = {name: len(content) for name, content in files.items()}
        missing = dict.fromkeys(["grid/no", "gridless/below", "no/such"])
        assert dict(storage.sizes_of([*files, *missing])) == known | missing
        assert dict(storage.sizes_of([])) == {}
        assert sorted(storage.names()) == sorted([*files, "gridless"])

    def test_a_temporary_file_that_is_swept_away_is_written_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The run that holds a store sweeps it while another one asks for the lease."""
        storage, real, times = LocalStorage(tmp_path), os.link, [1, 2]

        def link(source: Path, target: Path) -> None:
            if times and times.pop():
                storage.sweep()
            real(source, target)

        monkeypatch.setattr(os, "link", link)
        assert storage.create("lease", b"mine")
        assert storage.read("lease") == b"mine"
        assert list(storage.names()) == ["lease"]

    def test_many_files_at_once(self, storage: Storage) -> None:
        names = [f"done/{i:04d}" for i in range(70)]
        for name in names:
            storage.write(name, name.encode())
        found = dict(storage.read_each([*names, "done/no"]))
        assert isinstance(found.pop("done/no"), FileNotFoundError)
        assert found == {name: name.encode() for name in names}
        assert dict(storage.read_each([])) == {}

    def test_a_list_that_takes_many_answers(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(objects, "PAGE", 7)
        names = {f"done/{i // 10:03d}/{i % 10}" for i in range(70)}
        for name in [*names, "other"]:
            storage.write(name, b"")
        found = list(storage.names("done"))
        assert len(found) == len(names)
        assert set(found) == names

    def test_of_many_who_create_a_file_one_succeeds(self, storage: Storage) -> None:
        won = at_once(lambda i: storage.create("lease", b"%d" % i), 8)
        assert sum(won) == 1
        assert storage.read("lease") == b"%d" % won.index(True)

    def test_a_file_is_created_with_its_content(self, storage: Storage) -> None:
        """Whoever finds a file can read whose it is."""
        found: list[bytes] = []

        def look(i: int) -> None:
            if i:
                storage.create(f"lease{i}", b"mine")
                return
            for k in range(1, 5):
                while not storage.exists(f"lease{k}"):
                    pass
                found.append(storage.read(f"lease{k}"))

        at_once(look, 5)
        assert found == [b"mine"] * 4

    def test_a_file_system_without_links(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        storage = LocalStorage(tmp_path)
        won = at_once(lambda i: storage.create("lease", b"%d" % i), 8)
        assert sum(won) == 1
        assert storage.read("lease") == b"%d" % won.index(True)
        assert list(storage.names()) == ["lease"]

    def test_of_many_who_replace_a_version_one_succeeds(self, storage: Storage) -> None:
        storage.write("lease", b"old")
        version = storage.state("lease").version
        won = at_once(lambda i: storage.swap("lease", b"%d" % i, version), 8)
        assert sum(won) == 1
        assert storage.read("lease") == b"%d" % won.index(True)
        assert not storage.swap("lease", b"x", version)
        assert not storage.swap("nothing", b"x", version)
        assert not storage.exists("nothing")

    def test_what_was_touched_is_another_version(self, storage: Storage) -> None:
        storage.write("lease", b'{"a": 1}')
        before = storage.state("lease")
        time.sleep(0.01)
        storage.touch("lease")
        assert storage.state("lease") != before
        assert not storage.swap("lease", b"x", before.version)
        assert storage.read("lease").strip() == b'{"a": 1}'

    def test_the_clock_is_that_of_the_storage(self, storage: Storage) -> None:
        storage.write("lease", b"x")
        assert -2.0 <= storage.now() - storage.state("lease").modified <= 5.0
        assert sorted(storage.names()) == ["lease"]
        assert storage.sweep() == 0

    def test_a_file_that_is_written_is_whole_at_any_time(self, storage: Storage) -> None:
        """One thread writes two contents in turn; whoever reads sees one of them."""
        contents = {b"a" * 200_000, b"b" * 150_000}
        storage.write("x", b"a" * 200_000)
        end = threading.Event()

        def write() -> None:
            while not end.is_set():
                for content in contents:
                    storage.write("x", content)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert {storage.read("x") for _ in range(100)} <= contents
        finally:
            end.set()
            writer.join()


class TestAddresses:
    @pytest.mark.parametrize(
        "given", ["s3://b/runs/a.zarr", "s3://b//runs/a.zarr/", Path("s3://b/runs/a.zarr")]
    )
    def test_a_url_has_one_spelling(self, given: str | Path) -> None:
        assert address(given) == "s3://b/runs/a.zarr"

    def test_a_folder_is_a_path(self) -> None:
        assert address("runs/a.zarr") == Path("runs/a.zarr")
        assert isinstance(storage_of("runs/a.zarr"), LocalStorage)

    @pytest.mark.parametrize(
        "given",
        ["s3://", "s3://bucket", "s3://bucket/", "s3://b/../x", "s3://b/a?x=1", "s3://b/a%20b"],
    )
    def test_a_url_that_names_no_store(self, given: str) -> None:
        with pytest.raises(SpecificationError, match="names no store in a bucket"):
            address(given)

    def test_credentials_in_a_url_are_refused_and_not_repeated(self) -> None:
        with pytest.raises(SpecificationError) as caught:
            address("s3://user:hush@bucket/a.zarr")
        assert "hush" not in str(caught.value)

    @pytest.mark.parametrize("given", ["gs://b/a.zarr", "https://b/a.zarr", "file:///tmp/a.zarr"])
    def test_another_kind_of_url(self, given: str) -> None:
        with pytest.raises(SpecificationError, match=r"allowed are folders and s3://"):
            address(given)


class TestServer:
    def test_what_cannot_be_read_by_these_credentials(
        self, s3_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage_of(s3_url).write("x", b"1")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
        storage = storage_of(s3_url)
        for call in (
            lambda: storage.read("x"),
            lambda: storage.write("x", b""),
            lambda: storage.create("y", b""),
            lambda: list(storage.names()),
        ):
            with pytest.raises(PermissionError, match="the server refuses: 403") as caught:
                call()
            assert caught.value.errno == errno.EACCES
            assert ACCESS_KEY not in str(caught.value)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
        with pytest.raises(PermissionError, match="set AWS_ACCESS_KEY_ID"):
            storage_of(s3_url).read("x")

    @pytest.mark.usefixtures("s3")
    def test_a_bucket_that_is_not_there_is_no_missing_file(self) -> None:
        with pytest.raises(ConnectionError, match="there is no such bucket"):
            storage_of("s3://no-such-bucket-here/scan.zarr").read("x")

    def test_a_server_that_never_answers_is_given_up(
        self, s3_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(server, "PATIENCE", 1.5)
        monkeypatch.setattr(server, "HICCUP", 0.3)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        storage = storage_of(s3_url)
        begun = time.monotonic()
        with pytest.raises(ConnectionError, match="did not answer for 2 s: no connection"):
            storage.read("x")
        assert 1.5 <= time.monotonic() - begun < 15.0
        # whoever ends now does not wait as long for each file
        begun = time.monotonic()
        for call in (lambda: storage.write("x", b""), lambda: list(storage.names())):
            with pytest.raises(ConnectionError):
                call()
        assert time.monotonic() - begun < 1.5
        texts = [record.getMessage() for record in caplog.records]
        words = "the server does not answer (no connection); waiting up to 2 s for it"
        assert texts == [f"{s3_url}: {words}"]

    @pytest.mark.parametrize(
        "endpoint",
        ["not an address", "127.0.0.1:8333", "https://", "https://u:hush@host", "https://h:1e9"],
    )
    def test_an_address_that_is_none_is_refused(
        self, s3_url: str, monkeypatch: pytest.MonkeyPatch, endpoint: str
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(MachineError, match="set AWS_ENDPOINT_URL to https") as caught:
            storage_of(s3_url)
        assert "hush" not in str(caught.value)

    @pytest.mark.faults
    def test_a_server_that_was_away_is_waited_for(self, s3: S3Server, s3_url: str) -> None:
        storage = storage_of(s3_url)
        storage.write("before", b"1")
        s3.kill()
        again = threading.Timer(2.0, s3.start, kwargs={"wait": False})
        again.start()
        assert storage.create("lease", b"mine")
        assert storage.read("before") == b"1"
        again.join()
        s3.wait()

    @pytest.mark.faults
    def test_an_answer_that_was_lost_does_not_make_us_strangers(
        self, s3_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server has created the file, and we ask again: it is ours."""
        storage = storage_of(s3_url)
        real, broken = server.Server.ask, iter([True, False, False])

        def ask(self: server.Server, request: Callable[[], Any]) -> Any:
            if next(broken):
                real(self, request)
            return real(self, request)

        monkeypatch.setattr(server.Server, "ask", ask)
        assert storage.create("lease", b"mine")

    def test_obstore_that_is_not_installed(
        self, s3_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = builtins.__import__

        def refuse(name: str, *rest: Any, **named: Any) -> Any:
            if name.startswith("obstore"):
                raise ImportError(name)
            return real(name, *rest, **named)

        for name in [name for name in sys.modules if name.startswith("obstore")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(builtins, "__import__", refuse)
        monkeypatch.setenv("AWS_REGION", "eu-west-1")  # another server than one kept from before
        with pytest.raises(MachineError, match=r"pip install 'lmltgrid\[s3\]'") as caught:
            storage_of(s3_url)
        assert str(caught.value).startswith(s3_url)

    def test_a_line_in_the_clear_must_be_asked_for(
        self, s3_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ALLOW_HTTP")
        with pytest.raises(MachineError, match="AWS_ALLOW_HTTP=true"):
            storage_of(s3_url)

    def test_what_travels_to_workers_holds_no_secret(self, s3_url: str) -> None:
        files = storage_of(s3_url).zarr_store()
        packed = pickle.dumps(files)
        assert SECRET_KEY.encode() not in packed
        assert ACCESS_KEY.encode() not in packed
        assert pickle.loads(packed) == files  # noqa: S301 - our own bytes
        assert f"{BUCKET}/" in str(files)
        assert SECRET_KEY not in repr(files)
