"""Whose matter is it, said as an exception; and the exit statuses that the commands end with.

WatchError                      carries what is wrong, with the remedy, and an exit status
├── ConfigError        78       the operator's configuration; carries every problem at once
├── AccountError       77       the account is refused: key, terms, credits
├── LaterError         75       not now: another daemon runs, the API cannot be reached, the purse is empty
├── LedgerError        78       the ledger cannot be used: too new, on a network file system, damaged
│   └── LedgerAwayError 75      the ledger cannot be used now: locked, its disk full or failing
└── RefusedError        1       this file, or this command, cannot be carried out
"""

from enum import IntEnum
from pathlib import Path


class Exit(IntEnum):
    """The exit statuses, mirrored in the systemd unit and in the README (sysexits.h names 75 to 78)."""

    OK = 0
    PROBLEMS = 1
    USAGE = 2
    LATER = 75
    ACCOUNT = 77
    CONFIG = 78


class WatchError(Exception):
    """Something that a person must hear of: what it is, with its value and its remedy."""

    exit = Exit.PROBLEMS


class ConfigError(WatchError):
    """The configuration is wrong; ``problems`` are lines of ``dotted.name: what, value, remedy``.

    ``path`` is its file, None where that is not known or is what is wrong.
    """

    exit = Exit.CONFIG

    def __init__(self, problems: list[str], path: Path | None = None) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.path = path


class AccountError(WatchError):
    """The account is refused, or there is no key."""

    exit = Exit.ACCOUNT


class LaterError(WatchError):
    """It cannot be done now; trying again later is right."""

    exit = Exit.LATER


class LedgerError(WatchError):
    """The ledger cannot be used as it is; it was not touched."""

    exit = Exit.CONFIG


class LedgerAwayError(LedgerError):
    """The ledger cannot be read or written now; nothing was changed, and nothing is sent meanwhile."""

    exit = Exit.LATER


class RefusedError(WatchError):
    """This one thing cannot be done; all else goes on."""

    exit = Exit.PROBLEMS
