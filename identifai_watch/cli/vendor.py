"""What a command asks of identifAI by itself: the balance, and the override of a verdict."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from identifai_watch import config as configuration
from identifai_watch import duties
from identifai_watch.config import Config
from identifai_watch.core import answers
from identifai_watch.core.answers import Credits
from identifai_watch.core.events import Barred, Overridden, Refused, Unanswered
from identifai_watch.core.model import AccountState, Label, PauseReason
from identifai_watch.dispatch.departures import Departures
from identifai_watch.errors import AccountError, LaterError, RefusedError
from identifai_watch.hardening import harden
from identifai_watch.ledger import Ledger, budget
from identifai_watch.ledger.views import Line
from identifai_watch.shift import Shift


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A label to be forced at identifAI for the content of ``line``; ``key`` is the account's."""

    config: Config
    key: configuration.Key
    line: Line
    label: Label


def prepared(config: Config, ledger: Ledger, line: Line, label: Label) -> Override:
    """Return the override that tells ``label``; raise before anything is asked or done if it cannot go now."""
    harden()
    with ledger.read() as tx:
        account = budget.account(tx)
    if account.state is AccountState.PAUSED and account.reason is PauseReason.OPERATOR:
        raise LaterError(f"paused ({account.detail}); identifai-watch resume, then decide again")
    return Override(config=config, key=configuration.read_key(config, os.environ), line=line, label=label)


def send(ledger: Ledger, override: Override) -> Label:
    """Send an override within the account's limits, and return the label that is forced now.

    Raises:
        WatchError: It was not taken, or it is not known whether it was; the local decision stands.
    """
    analysis = override.line.analysis
    if analysis is None:
        raise LookupError(override.line.file.id)
    departures = Departures(Shift(config=override.config, ledger=ledger, clock=ledger.clock))
    api = duties.connect(override.config.api, lambda: override.key.value, departures)
    try:
        answer = api.override(analysis.media, analysis.sha256.hex(), override.label)
    finally:
        api.close()
    reading = answers.override(answer, asked=override.label, now=datetime.now(UTC))
    stands = "the decision stands here, and identifAI was not told"
    match reading.event:
        case Overridden(label=label):
            return label
        case Refused(reason=reason):
            raise RefusedError(f"{stands}: {reason}")
        case Unanswered(reason=reason) if isinstance(reading.account, Barred):
            raise AccountError(f"{stands}: {reason}")
        case Unanswered(reason=reason):
            raise LaterError(f"the decision stands here; whether identifAI heard it is not known: {reason}")
        case _:
            raise LaterError(stands)


def balance(config: Config, key: configuration.Key) -> Credits:
    """Ask for the credits that are left; nothing is written to the ledger."""
    api = duties.connect(config.api, lambda: key.value, lambda _: None)
    try:
        return answers.credits(api.credits(), now=datetime.now(UTC))
    finally:
        api.close()
