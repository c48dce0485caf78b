"""What ``check`` says of one thing: how it is, how bad that is, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is: an error keeps a run from working, a warning does not."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: ``about`` names it, ``said`` is how it is, ``remedy`` what to do."""

    level: Level
    about: str
    said: str
    remedy: str | None = None


def ok(about: str, said: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(level=Level.OK, about=about, said=said)


def warning(about: str, said: str, remedy: str) -> Finding:
    """Say what a run works with, though less well."""
    return Finding(level=Level.WARNING, about=about, said=said, remedy=remedy)


def error(about: str, said: str, remedy: str | None = None) -> Finding:
    """Say what keeps a run from working."""
    return Finding(level=Level.ERROR, about=about, said=said, remedy=remedy)
