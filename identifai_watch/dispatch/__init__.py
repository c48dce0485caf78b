"""From what is due to what came of it: claim rows, hand them to workers, write the events they bring back.

Nothing is kept here that matters after a restart: what is in flight is a claim in the ledger.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from identifai_watch import duties
from identifai_watch.api import Api
from identifai_watch.dispatch.deliveries import Deliveries
from identifai_watch.dispatch.departures import Departures
from identifai_watch.dispatch.notices import Notices
from identifai_watch.dispatch.polls import Polls
from identifai_watch.dispatch.standing import Standing
from identifai_watch.dispatch.uploads import Uploads
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction
from identifai_watch.shift import Shift


@dataclass(slots=True, kw_only=True)
class Dispatch:
    """The way out of one shift: verdicts are delivered first, then asked for, then new contents are sent.

    ``apis`` are the connections that requests may be under way on: its own, and those of the ways out before it.
    """

    apis: list[Api]
    standing: Standing
    uploads: Uploads
    polls: Polls
    deliveries: Deliveries
    notices: Notices
    _before: list[Polls] = field(default_factory=list)

    @property
    def asked(self) -> list[int]:
        """The analyses that a question under way is about, also one of a way out before this one."""
        return [number for polls in (self.polls, *self._before) for number in polls.asked]

    def tick(self, tx: Transaction) -> None:
        """Hand out everything that is due and may go."""
        self.uploads.recover(tx)
        self.deliveries.tick(tx)
        self.polls.tick(tx, in_flight=self.uploads.in_flight, begun=self.uploads.begun)
        self.uploads.tick(tx, in_flight=self.polls.in_flight)

    def take_over(self, fresh: "Dispatch") -> None:
        """Go on as ``fresh``, in which nothing is under way: what is ends without us, and is written all the same."""
        self._before = [polls for polls in (self.polls, *self._before) if polls.in_flight]
        self.standing, self.uploads = fresh.standing, fresh.uploads
        self.polls, self.deliveries = fresh.polls, fresh.deliveries
        self.apis += fresh.apis
        self.notices.renew()

    def abandon(self) -> None:
        """Cut every upload under way, for a stop that cannot wait."""
        for api in self.apis:
            api.abandon()

    def close(self) -> None:
        """Close every connection."""
        for api in self.apis:
            api.close()

    def is_idle(self) -> bool:
        """Tell whether nothing is in flight."""
        return not (self.uploads.in_flight or self.polls.in_flight or self.deliveries.in_flight)


def dispatch(
    shift: Shift, key: Callable[[], str], intakes: Mapping[int, Intake], notices: Notices
) -> Dispatch:
    """Return a way out in which nothing is under way, with connections of its own.

    ``key`` gives the API key; ``intakes`` are the shift's folders by id, and may change while it lasts. ``notices`` are
    the shift's, whatever ways out it had before: they know by heart what was told.
    """
    standing, departures = Standing(shift), Departures(shift)
    api = duties.connect(shift.config.api, key, departures, shift.heard)
    return Dispatch(
        apis=[api],
        standing=standing,
        uploads=Uploads(shift, api, departures, standing, intakes),
        polls=Polls(shift, api, standing),
        deliveries=Deliveries(shift, intakes, notices),
        notices=notices,
    )


__all__ = ["Dispatch", "Notices", "dispatch"]
