"""What the page stands on: the configuration, a ledger opened for it alone, and what the daemon tells of itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from identifai_watch.config import Config
from identifai_watch.core.moment import Moment
from identifai_watch.errors import WatchError
from identifai_watch.ledger import Ledger, desk, lists
from identifai_watch.ledger.views import Line
from identifai_watch.previews import Previews
from identifai_watch.web.users import Users

SEEN_WITHIN = timedelta(seconds=150)
"""A daemon of another process tells the ledger once a minute that it is there: so long ago at most, it is well."""


class UnknownFileError(WatchError):
    """There is no file of that number."""


def utc_now() -> datetime:
    """Return the instant, with its zone."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The page of one ledger, which is its own and closed by whoever opened it.

    ``moment`` tells what is under way in a daemon of this process, ``well`` whether its watchdog would be fed; without
    them both are what the ledger tells of a daemon elsewhere. Without ``previews`` there are icons.
    """

    config: Callable[[], Config]
    ledger: Ledger
    moment: Callable[[], Moment] | None = None
    well: Callable[[], bool] | None = None
    previews: Previews | None = None
    users: Users = field(default_factory=Users)
    log: structlog.stdlib.BoundLogger = field(default_factory=structlog.get_logger)

    def line(self, number: int) -> Line:
        """Return a file by its number; raise UnknownFileError if there is none."""
        found = []
        if number < 2**63:
            with self.ledger.read() as tx:
                found = lists.lines_of(tx, [number])
        if not found:
            raise UnknownFileError(f"the ledger knows no file of the number {number}")
        return found[0]

    def hosts(self) -> list[str]:
        """Return the hosts of the ledger by name, if there is more than this one: then people are told which is meant."""
        if not self.ledger.member:
            return []
        with self.ledger.read() as tx:
            known = desk.node_names(tx) | {self.ledger.node}
        return sorted(known) if len(known) > 1 else []

    def is_well(self) -> bool:
        """Tell whether a daemon runs whose loop turns."""
        if self.well is not None:
            return self.well()
        if not self.ledger.lock.is_taken():
            return False
        with self.ledger.read() as tx:
            seen_at = desk.seen_at(tx, self.ledger.node)
        return seen_at is not None and utc_now() - seen_at < SEEN_WITHIN
