"""Spectra, response and masses to basis moments: what every kind of source has in common."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels import cevns, eves, fold
from lmltgrid.tables.experiment import Channel

Array = NDArray[np.float64]

BORON: Final = "_8B"  # ends the name of the moments of 8B neutrinos alone
KERNELS: Final[dict[Channel, Any]] = {"nr": cevns, "er": eves}
PROBES: Final = 5  # masses at which the quadrature is repeated with more nodes
MORE_NODES: Final = 2
RESPONSE_ERROR: Final = 1e-8  # of the response itself, which both quadratures share


def basis_moments(channel: Channel, spectra: Array, q2: Array, matrix: Array, mass: Array) -> Array:
    """Return the moments, shape (response, mass, basis, component).

    Parameters
    ----------
    spectra, q2
        See `lmltgrid.quadrature.nuclear_spectra`; three components, flavors or others.
    matrix : shape (response, n)
        See `lmltgrid.quadrature.response_matrix`.
    mass : shape (mass,), MeV
    """
    kernel = KERNELS[channel]
    powers = (3 * kernel.POWERS[0], 3 * kernel.POWERS[1], 3 * kernel.POWERS[2])
    folded = fold.moments(spectra, q2, matrix, mass, kernel.PROPAGATOR, powers)
    return folded.transpose(1, 0, 2).reshape(matrix.shape[0], mass.size, kernel.N_BASIS, 3)


def probe_places(mass: Array) -> NDArray[np.intp]:
    """Return a few places along the masses at which the quadrature is repeated."""
    return np.unique(np.linspace(0, mass.size - 1, PROBES).astype(np.intp))


def relative_error(coarse: Array, fine: Array) -> Array:
    """Return the largest relative difference of each response, shape (response,)."""
    # relative to the largest component: a basis function that no source feeds has no scale
    scale = np.abs(fine).max(axis=-1, keepdims=True)
    ratio = np.divide(np.abs(fine - coarse), scale, out=np.zeros_like(fine), where=scale > 0.0)
    return np.asarray(RESPONSE_ERROR + ratio.max(axis=(1, 2, 3)))
