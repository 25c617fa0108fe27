"""How a run of a scan ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from lmltgrid.errors import LmltgridError, MachineError, PartialStoreError, StoppedError

EXIT_CODES: Final = {"complete": 0, "broken": 1, "partial": 4, "machine": 6, "stopped": 75}
INTERRUPTED: Final = 130


@dataclass(frozen=True)
class Report:
    """How a scan ended; the counts are those of the markers in the store.

    ``ending`` is complete, partial (units failed), stopped, interrupted (Ctrl-C), machine (no
    room, no permission, no workers) or broken (the evaluator cannot be loaded); ``missing`` counts
    units without a marker, those that ``failed`` among them; ``bytes`` were written by this run.
    With a ``shard``, k/N, everything counts its units alone.
    """

    path: str
    ending: str
    sentence: str
    total: int
    done_before: int
    done_now: int
    failed: tuple[int, ...]
    missing: int
    seconds: float
    bytes: int
    shard: str = ""

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.done_now / self.seconds if self.seconds > 0 else 0.0

    @property
    def exit_code(self) -> int:
        """What a command returns for this ending."""
        return EXIT_CODES.get(self.ending, INTERRUPTED)

    def require(self) -> None:
        """Raise the error that fits the ending, unless the store is complete."""
        if self.ending == "complete":
            return
        if self.ending == "interrupted":
            raise KeyboardInterrupt
        kinds = {"partial": PartialStoreError, "stopped": StoppedError, "machine": MachineError}
        raise kinds.get(self.ending, LmltgridError)(self.sentence)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, as JSON."""
        return asdict(self) | {"rate": self.rate, "exit_code": self.exit_code}
