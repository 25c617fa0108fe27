"""An S3 server as we talk to it: patient while it is away, and no secret in what we say of it.

Address, region and credentials come from the environment, as those of every program that speaks
S3: ``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
``AWS_SESSION_TOKEN``, ``AWS_ALLOW_HTTP``. They are neither stored nor told.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
import re
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from lmltgrid.errors import MachineError

if TYPE_CHECKING:
    from obstore.store import S3Store

PATIENCE = 180.0  # s that a server may be away before that counts as a failure
HICCUP = 3.0  # s after which it is said that it is away
SHORTEST, LONGEST = 0.1, 5.0  # s between two attempts
CONNECT, REQUEST = 5.0, 100.0  # s for a connection, and for 10 MB on a slow line

# the first that is set counts
ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

T = TypeVar("T")
_log = logging.getLogger(__name__)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507, 509})
_STRANGERS = frozenset(
    {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "TokenRefreshRequired"}
)


class RefusedError(Exception):
    """A conditional request whose condition does not hold."""


class Server:
    """A bucket and a prefix in it on an S3 server.

    A request that fails because the server is away or busy is made again for three minutes, or
    ``patience`` seconds. If that is not enough, the next requests fail at once, until one succeeds:
    whoever ends a scan then does not wait three minutes for each file.
    """

    def __init__(self, url: str, patience: float | None = None) -> None:
        self.url = url
        self._patience = patience
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self.client = _client(bucket, prefix)
        self._down: float | None = None  # since when no request succeeds
        self._told: float | None = None  # of which such time it was said
        self._lock = threading.Lock()

    def ask(self, request: Callable[[], T]) -> T:
        """Make a request, again and again while the server is away.

        Raises
        ------
        FileNotFoundError, PermissionError, RefusedError
            As the server answers.
        ConnectionError
            It did not answer for three minutes, or with an error that does not pass.
        """
        begun, attempt = time.monotonic(), 0
        while True:
            try:
                answer = request()
            except self.errors as error:
                time.sleep(self._pause(error, begun, attempt))
                attempt += 1
            else:
                self._down = None
                return answer

    async def ask_async(self, request: Callable[[], Awaitable[T]]) -> T:
        """Make a request as `ask` does, in an event loop."""
        begun, attempt = time.monotonic(), 0
        while True:
            try:
                answer = await request()
            except self.errors as error:
                await asyncio.sleep(self._pause(error, begun, attempt))
                attempt += 1
            else:
                self._down = None
                return answer

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What obstore raises."""
        from obstore.exceptions import BaseError

        return BaseError, OSError

    def _pause(self, error: Exception, begun: float, attempt: int) -> float:
        """Return how long to wait before the next attempt, or raise what the failure means."""
        final = _meaning(error)
        if final is not None:
            self._down = None  # it answers
            raise final from None
        now = time.monotonic()
        patience = PATIENCE if self._patience is None else self._patience
        with self._lock:
            self._down = since = now if self._down is None else self._down
            if now - since > HICCUP and self._told != since:
                self._told = since
                text = "%s: the server does not answer (%s); waiting up to %.0f s for it"
                _log.warning(text, self.url, _words(error), patience)
        if now - min(begun, since) > patience:
            text = f"the server did not answer for {patience:.0f} s: {_words(error)}"
            raise ConnectionError(errno.ETIMEDOUT, text) from None
        return random.uniform(0.5, 1.0) * min(SHORTEST * 2.0**attempt, LONGEST)  # noqa: S311


def server_at(url: str) -> Server:
    """Return the server of a store: the same in all of this process, while its settings last."""
    settings = frozenset(item for item in os.environ.items() if item[0].startswith("AWS_"))
    return _server(url, settings)


@lru_cache(maxsize=16)
def _server(url: str, settings: frozenset[tuple[str, str]]) -> Server:  # noqa: ARG001 - the key
    return Server(url)


def _meaning(error: Exception) -> Exception | None:
    """Return what a failure means for good; None if the next attempt may succeed."""
    from obstore import exceptions

    text, words = str(error), _words(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    number = int(status[1]) if status else 0
    if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
        return RefusedError(words)
    if code and code[1] == "NoSuchBucket":
        return ConnectionError(errno.ENODEV, "there is no such bucket: create it")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "there is no such object")
    if "/latest/" in text and "AWS_ACCESS_KEY_ID" not in os.environ:
        # without any, a machine in the cloud is asked for them
        missing = "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return PermissionError(errno.EACCES, missing)
    if number in (401, 403) or (code and code[1] in _STRANGERS):
        return PermissionError(errno.EACCES, f"the server refuses: {words}")
    if number and number not in _BUSY:
        return ConnectionError(errno.EPROTO, f"the server cannot do it: {words}")
    return None


def _words(error: Exception) -> str:
    """Return the server's own words for a failure; the rest of its answer may tell secrets."""
    status, code = _STATUS.search(str(error)), _CODE.search(str(error))
    found = [m[1] for m in (status, code) if m]
    return " ".join(found) or "no connection"


def _client(bucket: str, prefix: str) -> S3Store:
    """Return obstore's client; what is not given here it takes from the environment.

    Raises
    ------
    MachineError
        obstore is not installed, or the environment asks for what cannot be.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError:
        raise MachineError(
            f"s3://{bucket}/{prefix}: stores on S3 need the package obstore, which is not "
            "installed; pip install 'lmltgrid[s3]'"
        ) from None
    where = f"s3://{bucket}/{prefix}"
    endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    if endpoint and not _is_address(endpoint):
        raise MachineError(
            f"{where}: the endpoint in the environment is no address; set AWS_ENDPOINT_URL to "
            "https://host or https://host:port, without credentials"
        )
    plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes", "on")
    if endpoint.startswith("http://") and not plain:
        raise MachineError(
            f"{where}: the endpoint in the environment is http://, so data and requests would "
            "travel in the clear; take https://, or set AWS_ALLOW_HTTP=true"
        )
    options: dict[str, Any] = {
        "allow_http": plain,  # options given here hide those of the environment
        "connect_timeout": timedelta(seconds=CONNECT),
        "timeout": timedelta(seconds=REQUEST),
    }
    try:
        return S3Store(
            bucket,
            prefix=prefix,
            config={"endpoint": endpoint} if endpoint else {},
            client_options=options,  # type: ignore[arg-type]
            retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=REQUEST)},
        )
    except (BaseError, ValueError, TypeError):
        raise MachineError(
            f"{where}: the settings in the environment cannot be used; check AWS_REGION and the "
            "other AWS_ variables"
        ) from None


def _is_address(endpoint: str) -> bool:
    """Return whether a URL has a host, and no user; what cannot be a URL stops obstore dead."""
    try:
        parts = urlsplit(endpoint)
        sound = bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        return False
    return (
        sound and parts.scheme in ("http", "https") and endpoint.isascii() and " " not in endpoint
    )
