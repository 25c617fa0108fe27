"""Imported by a command before it begins: its units take a second more each."""

from __future__ import annotations

import time
from typing import Any

from lmltgrid import service

_evaluate = service.evaluate


def evaluate(states: Any, group: str, index: tuple[slice, ...]) -> Any:
    """Fill one unit of a store, slowly."""
    time.sleep(1.0)
    return _evaluate(states, group, index)


service.evaluate = evaluate
