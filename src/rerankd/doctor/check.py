"""One line of the checklist."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Check", "Profile", "Report", "Status"]


class Status(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"
    """Nothing to judge on this host, or a figure that is only for information."""


class Profile(StrEnum):
    """What kind of host is examined; the limits differ."""

    CPU = "cpu"
    GPU = "gpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was looked at, what was found, and what to do about it."""

    name: str
    status: Status
    figure: str
    """What was seen, with its unit and, where there is one, the limit."""
    remedy: str = ""
    """What to do about a failure; empty otherwise."""

    @classmethod
    def of(cls, name: str, good: bool, figure: str, remedy: str) -> "Check":
        """A pass without remedy, or a failure with it."""
        if good:
            return cls(name=name, status=Status.PASS, figure=figure)
        return cls(name=name, status=Status.FAIL, figure=figure, remedy=remedy)

    @classmethod
    def none(cls, name: str, figure: str) -> "Check":
        """A line that is not judged."""
        return cls(name=name, status=Status.NOT_APPLICABLE, figure=figure)


@dataclass(frozen=True, slots=True)
class Report:
    """All lines, in the order in which they were checked."""

    profile: Profile
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.status is Status.FAIL)

    @property
    def exit_status(self) -> int:
        """0 when nothing failed, else 1."""
        return 1 if self.failed else 0

    def as_json(self) -> dict[str, Any]:
        """The shape that `rerankd doctor --json` prints."""
        return {
            "profile": self.profile.value,
            "passed": not self.failed,
            "checks": [as_json(check) for check in self.checks],
        }


def as_json(check: Check) -> dict[str, str]:
    return {
        "name": check.name,
        "status": check.status.value,
        "figure": check.figure,
        "remedy": check.remedy,
    }
