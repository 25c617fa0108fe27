"""The papers' numbers, computed again: quantity, published, computed, difference, verdict.

Nothing is left out because it disagrees: such a row stays, with its reason. Rows without a printed
number show what we find for what a paper has as a picture alone.
"""

from __future__ import annotations

from typing import Any, Final

from lmltgrid.analysis.reproduce.ac22 import claims as _ac22
from lmltgrid.analysis.reproduce.b22 import claims as _b22
from lmltgrid.analysis.reproduce.lx22 import claims as _lx22
from lmltgrid.analysis.reproduce.p20 import claims as _p20
from lmltgrid.analysis.reproduce.p21 import claims as _p21
from lmltgrid.errors import unknown_name

PAPERS: Final = {
    "P20": "Amaral et al. 2020, arXiv:2006.11225",
    "P21": "Amaral et al. 2021, arXiv:2104.03297",
    "LX22": "Li and Xia 2022, arXiv:2201.05015",
    "AC22": "Atzori Corona et al. 2022, arXiv:2202.11002",
    "B22": "Bertuzzo et al. 2022, arXiv:2112.04020",
}
_CLAIMS: Final = {"P20": _p20, "P21": _p21, "LX22": _lx22, "AC22": _ac22, "B22": _b22}


def reproduce(*papers: str) -> list[dict[str, Any]]:
    """Return the table of one or several papers, of all if none is named.

    Returns
    -------
    list of dict
        ``paper, quantity, place, published, computed, unit, difference`` (relative), ``tolerance,
        verdict`` ("ok", "off" or "no published number"), ``settings, note``. Of a sentence that
        compares numbers ``published`` is the sentence, ``computed`` the numbers by name, and
        ``difference`` and ``tolerance`` are None.

    Raises
    ------
    UnknownNameError
        There is no such paper.
    """
    for paper in papers:
        if paper not in PAPERS:
            raise unknown_name("paper", paper, PAPERS, "reproduce")
    chosen = [paper for paper in PAPERS if not papers or paper in papers]
    return [claim.row() for paper in chosen for claim in _CLAIMS[paper]()]
