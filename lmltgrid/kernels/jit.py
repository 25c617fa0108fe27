"""The one door to numba.

Every kernel is compiled in nopython mode, without ``fastmath`` (it breaks NaN handling). With
``NUMBA_DISABLE_JIT=1`` the decorated functions stay plain Python, and the tests run them so.

Numba's disk cache does not see a constant that changed in another file, so it is off unless a
deployment names a folder in ``NUMBA_CACHE_DIR``; then every state of the sources gets a folder of
its own inside that one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def _source_digest() -> str:
    """Return a digest of everything that a compiled kernel freezes: kernels and constants."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in (*sorted(here.glob("*.py")), here.parent / "units.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


_CACHED = bool(os.environ.get("NUMBA_CACHE_DIR"))
if _CACHED:
    numba.config.CACHE_DIR = str(Path(os.environ["NUMBA_CACHE_DIR"]) / _source_digest())


def kernel(function: F) -> F:
    """Compile ``function`` in nopython mode, releasing the GIL while it runs."""
    compiled = numba.njit(nogil=True, error_model="numpy", cache=_CACHED)(function)
    return cast(F, compiled)
