"""Several experiments as one: the sum of their chi-squares, with separate or shared pulls.

Members are named with an optional threshold, ``darwin-nr@1``; a counting experiment is one Poisson
bin then. Pulls of the same name are one pull if that name is among the shared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, nan
from typing import Annotated, Any, Literal

from pydantic import Field

from lmltgrid.errors import SpecificationError
from lmltgrid.spec import Atomic, validate
from lmltgrid.tables.experiment import Channel, CommonSpec, Experiment, Reader

PLUS = "+"  # joins the names of a combination that has no file
AT = "@"  # before the threshold of a member
TESTS = ("likelihood", "counting")


class CombinationSpec(CommonSpec):
    """The content of the file of a combination."""

    source: Literal["combination"]
    target: str = "several"
    test: Literal["likelihood"] = "likelihood"
    energy_scale: Literal["several"] = "several"
    exposure_tonne_year: Literal[1] = 1  # each member counts in its own exposure
    members: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]
    shared: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CombinedExperiment(Experiment):
    """Several experiments as one.

    Attributes
    ----------
    members
        The experiments, each with the threshold it is taken at.
    """

    spec: CombinationSpec
    members: tuple[tuple[Experiment, float], ...]

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All channels of all members."""
        used = {channel for member, _ in self.members for channel in member.channels}
        return tuple(channel for channel in ("nr", "er") if channel in used)

    @property
    def measured(self) -> bool:
        """Whether members have exposures of their own, which is always so."""
        return True

    @property
    def vectors_alone(self) -> bool:
        """Whether only vector mediators are implemented."""
        return any(member.vectors_alone for member, _ in self.members)

    @property
    def solar(self) -> bool:
        """Whether solar neutrinos are seen, which come in all flavors."""
        return any(member.solar for member, _ in self.members)

    @property
    def n_bins(self) -> int:
        """How many numbers all members count."""
        return sum(member.n_bins for member, _ in self.members)

    @property
    def pull_names(self) -> tuple[str, ...]:
        """Names of the pulls of all members; one that is shared comes once."""
        names = [name for member, _ in self.members for name in member.pull_names]
        own = [name for name in names if name not in self.spec.shared]
        return (*self.spec.shared, *own)

    def data_files(self, atomic: Atomic) -> set[str]:
        """Return the shipped tables, besides its own files, that decide its numbers."""
        return set().union(*(member.data_files(atomic) for member, _ in self.members))

    @property
    def data(self) -> str:
        """What its members are compared with; "both" if that is not the same for all."""
        kinds = {member.data for member, _ in self.members}
        return kinds.pop() if len(kinds) == 1 else "both"

    def as_dict(self) -> dict[str, Any]:
        """Return the experiment as plain data, for output."""
        return super().as_dict() | {
            "members": list(self.spec.members),
            "shared": list(self.spec.shared),
        }


def load(
    content: dict[str, Any], read: Reader, find: Callable[[str], Experiment]
) -> CombinedExperiment:
    """Return the combination of a parsed file; ``find`` returns an experiment by its name."""
    spec = validate(CombinationSpec, content, read.where)
    return _combined(read.name, spec, dict(read.files), find, f"{read.where}: members")


def of_names(text: str, find: Callable[[str], Experiment], where: str) -> CombinedExperiment:
    """Return the combination ``a+b``, all pulls separate."""
    content = {
        "title": text.replace(PLUS, " and "),
        "reference": "see its members",
        "source": "combination",
        "members": text.split(PLUS),
    }
    return _combined(text, validate(CombinationSpec, content, where), {}, find, where)


def _combined(
    name: str,
    spec: CombinationSpec,
    files: dict[str, str],
    find: Callable[[str], Experiment],
    where: str,
) -> CombinedExperiment:
    members = []
    for text in spec.members:
        short, at, threshold = text.partition(AT)
        member = find(short)
        if member.spec.test not in TESTS:
            raise SpecificationError(
                f"{where}: {short} is given, whose statistic is {member.spec.test}; "
                f"{' and '.join(TESTS)} can be added up; leave it out"
            )
        members.append((member, _number(threshold, text, where) if at else member.threshold))
        files |= member.files
    for pull in spec.shared:
        having = [member.name for member, _ in members if pull in member.pull_names]
        if len(having) < 2:
            known = sorted({name for member, _ in members for name in member.pull_names})
            raise SpecificationError(
                f"{where}: shared: {pull!r} is a pull of {', '.join(having) or 'no member'}; "
                f"two members must have it; their pulls are {', '.join(known) or 'none'}"
            )
    cautions = {m.spec.caution: None for m, _ in members if m.spec.caution}
    own = spec.model_copy(update={"caution": "; ".join([*filter(None, [spec.caution]), *cautions])})
    return CombinedExperiment(
        name=name, spec=own, threshold=0.0, files=files, members=tuple(members)
    )


def _number(text: str, member: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not (isfinite(value) and value > 0.0):
        raise SpecificationError(
            f"{where}: {member!r} is given; after {AT} the threshold is needed, a positive number; "
            "correct it"
        )
    return value
