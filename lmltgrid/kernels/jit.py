"""The one door to numba.

Every kernel is compiled in nopython mode, without ``fastmath`` (it breaks NaN handling) and
without numba's disk cache (it does not see a constant that changed in another file). With
``NUMBA_DISABLE_JIT=1`` the decorated functions stay plain Python, and the tests run them so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile ``function`` in nopython mode, releasing the GIL while it runs."""
    return cast(F, numba.njit(nogil=True, error_model="numpy")(function))
