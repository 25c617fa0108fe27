"""What a storage or a codec raises, turned into one sentence about the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lmltgrid.errors import LmltgridError, MachineError, VerificationError
from lmltgrid.storage import Address


@contextmanager
def reaching(path: Address, advice: str = "then try again") -> Iterator[None]:
    """Turn what a storage raises, where nothing can be said without it, into one sentence.

    Raises
    ------
    MachineError
        The storage cannot be read or written.
    """
    try:
        yield
    except LmltgridError:
        raise
    except OSError as error:
        why = error.strerror or error
        raise MachineError(
            f"{path}: the store cannot be used ({why}); mend that, {advice}"
        ) from None


@contextmanager
def decoding(path: Address) -> Iterator[None]:
    """Turn what Zarr and its codecs raise on damaged bytes into one sentence.

    Raises
    ------
    VerificationError
        Bytes of the store cannot be decoded, as when their CRC is not the one that ends them.
    MachineError
        The storage cannot be read.
    """
    try:
        with reaching(path):
            yield
    except LmltgridError:
        raise
    except (RuntimeError, ValueError) as error:
        raise VerificationError(
            f"{path}: the store cannot be read ({error}): it is damaged; 'lmltgrid verify {path} "
            "--deep' names what is, with --repair 'lmltgrid resume' computes it anew"
        ) from None
