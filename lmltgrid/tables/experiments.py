"""The catalog of experiments: one validated TOML file each, with its CSV tables beside it.

The shipped files are in ``data/experiments/``. A user may point to a folder of their own; an
experiment there appears everywhere by the name of its file, without a line of Python.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from lmltgrid import datafiles
from lmltgrid.errors import SpecificationError, unknown_name
from lmltgrid.registry import Registry
from lmltgrid.tables import combination, drift, muon, recoils, spallation
from lmltgrid.tables.combination import AT, PLUS
from lmltgrid.tables.experiment import FOLDER, Experiment, Reader

MAX_FILES: Final = 1000
COMBINATION: Final = "combination"
LOADERS: Final[dict[str, Any]] = {
    "solar": recoils.load,
    "pi-DAR": spallation.load,
    "LBNF": drift.load,
    "muon-beam": muon.load,
    COMBINATION: combination.load,
}
SPECS: Final[dict[str, type[BaseModel]]] = {
    "solar": recoils.SolarSpec,
    "pi-DAR": spallation.SpallationSpec,
    "LBNF": drift.DriftSpec,
    "muon-beam": muon.MuonSpec,
    COMBINATION: combination.CombinationSpec,
}


def catalog(folder: Path | None = None) -> Registry[Experiment]:
    """Return the experiments by name: the shipped ones and, if given, those of a user's folder.

    Raises
    ------
    SpecificationError
        A file of the user's folder is not valid, or takes the name of a shipped experiment.
    VerificationError
        A shipped file is damaged.
    """
    entries = dict(_shipped())
    paths = _user_files(folder)
    for path in paths:
        if path.stem in entries:
            raise SpecificationError(
                f"{path}: an experiment {path.stem!r} is shipped already; rename the file"
            )
    _load({path.stem: path.parent for path in paths}, entries)
    return Registry("experiment", entries)


def find(name: str, folder: Path | None = None, where: str = "experiment") -> Experiment:
    """Return an experiment by its name, or the combination ``a+b`` of several.

    Raises
    ------
    UnknownNameError
        There is no such experiment.
    SpecificationError
        The experiments cannot be added up.
    """
    shelf = catalog(folder)
    if PLUS not in name and AT not in name:
        return shelf.find(name, where)
    return combination.of_names(name, lambda one: shelf.find(one, where), where)


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Experiment]:
    names = [n for n in datafiles.manifest() if n.startswith(f"{FOLDER}/") and n.endswith(".toml")]
    entries: dict[str, Experiment] = {}
    _load({Path(name).stem: None for name in names}, entries)
    return entries


def _user_files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise SpecificationError(f"{folder}: not a folder; give the folder of your experiments")
    paths = sorted(folder.glob("*.toml"))
    if len(paths) > MAX_FILES:
        raise SpecificationError(f"{folder}: {len(paths)} files; at most {MAX_FILES} are read")
    return paths


def _load(places: dict[str, Path | None], entries: dict[str, Experiment]) -> None:
    """Read experiments: shipped (checked against the manifest), or from a user's folder.

    Combinations come last: their members must be there.
    """
    later = []
    for name, folder in places.items():
        read = Reader(name, folder)
        content = read.content()
        source = content.get("source", "solar")
        if source not in LOADERS:
            raise unknown_name("source", str(source), LOADERS, f"{read.where}: source")
        if source == COMBINATION:
            later.append((content, read))
        else:
            entries[name] = LOADERS[source](content, read)
    for content, read in later:
        shelf = Registry("experiment", dict(entries))
        where = f"{read.where}: members"

        def member(one: str, shelf: Registry[Experiment] = shelf, where: str = where) -> Experiment:
            return shelf.find(one, where)

        entries[read.name] = combination.load(content, read, member)
