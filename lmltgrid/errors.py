"""Exceptions of lmltgrid; each message says where, what was given, what is allowed, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class LmltgridError(Exception):
    """Base of every error that lmltgrid raises on purpose.

    ``exit_code`` is what the command line returns for it.
    """

    exit_code: ClassVar[int] = 1


class SpecificationError(LmltgridError, ValueError):
    """A specification, an experiment file or an argument that is not allowed."""

    exit_code = 3


class UnknownNameError(SpecificationError, LookupError):
    """A name that no catalog holds."""


class PartialStoreError(LmltgridError, RuntimeError):
    """The scan ended, or was found, with chunks missing; ``resume`` finishes it."""

    exit_code = 4


class VerificationError(LmltgridError, RuntimeError):
    """Stored or shipped bytes are not what their record says."""

    exit_code = 5


class MachineError(LmltgridError, OSError):
    """The machine cannot do what was asked: no room, no permission, a damaged installation."""

    exit_code = 6


class BusyError(MachineError):
    """Another run is at work on the same store."""


class ConvergenceError(LmltgridError, ArithmeticError):
    """A fit does not converge where an answer needs it."""


class StoppedError(LmltgridError, RuntimeError):
    """Stopped by request; everything that was computed is saved."""

    exit_code = 75


def unknown_name(kind: str, given: str, known: Iterable[str], where: str) -> UnknownNameError:
    """Build the error for a name that no catalog holds.

    Examples
    --------
    >>> print(unknown_name("target", "Xenon", ["Ar", "CsI", "Xe"], "scan.toml: target"))
    scan.toml: target: unknown target 'Xenon'. Known: Ar, CsI, Xe.
    """
    names = sorted(known)
    close = get_close_matches(given, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return UnknownNameError(f"{where}: unknown {kind} {given!r}{hint} Known: {', '.join(names)}.")
