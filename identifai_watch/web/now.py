"""How things stand now: the report, the budget that is left, what is under way, and what waits for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from identifai_watch import overview
from identifai_watch.config import Config
from identifai_watch.core import gate
from identifai_watch.core.moment import Moment
from identifai_watch.core.report import Report
from identifai_watch.ledger import Ledger, Transaction, budget, desk, lists
from identifai_watch.ledger.views import Line
from identifai_watch.web.page import Page

MOST_SHOWN = 10
MOST_COUNTED = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One window of the account's limits: ``left`` of ``allowed`` requests in ``span``."""

    method: str
    span: str
    left: int
    allowed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What is under way on the other hosts of the ledger."""

    settling: int
    uploading: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """All that the first section of the page shows.

    ``moment`` is what a daemon of this process does, None if one elsewhere does it: then ``uploading`` is what that
    told, and the other hosts; what these do is ``elsewhere``. ``held`` is by host and folder. ``awaited`` are some files that identifAI is at; ``stuck`` and ``doubted`` some that wait for a person.
    ``reviews`` counts what to review, up to MOST_COUNTED.
    """

    at: datetime
    report: Report
    budgets: Sequence[Budget]
    purse: budget.Purse
    purse_allowed: int
    moment: Moment | None
    uploading: int
    elsewhere: Elsewhere
    held: Mapping[tuple[str, str], int]
    awaited: Sequence[Line]
    stuck: Sequence[Line]
    doubted: Sequence[Line]
    reviews: int


def now(page: Page, at: datetime) -> Now:
    """Gather how things stand, in a few short transactions."""
    config, ledger = page.config(), page.ledger
    report = overview.report_of(config, ledger, at)
    moment = page.moment() if page.moment is not None and report.is_running else None
    with ledger.read() as tx:
        budgets = _budgets(tx, config, at)
        purse = budget.purse(tx, config.api.limits, at)
        held = lists.held_by_folder(tx, by_node=report.has_hosts) if report.held else {}
        awaited = lists.awaited(tx, MOST_SHOWN)
        reviews = lists.count_to_review(tx, MOST_COUNTED)
        stuck = _some(tx, lists.Wanted(stuck=True)) if report.stuck else []
        doubted = _some(tx, lists.Wanted(doubt=True)) if report.doubt else []
    others = [one for one in report.nodes if not one.is_here]
    elsewhere = Elsewhere(
        settling=sum(one.settling for one in others), uploading=sum(one.uploading for one in others)
    )
    return Now(
        at=at,
        report=report,
        budgets=budgets,
        purse=purse,
        purse_allowed=config.api.posts_per_day,
        moment=moment,
        uploading=(_uploading(ledger) if report.is_running else 0) + elsewhere.uploading,
        elsewhere=elsewhere,
        held=held,
        awaited=awaited,
        stuck=stuck,
        doubted=doubted,
        reviews=reviews,
    )


def _some(tx: Transaction, wanted: lists.Wanted) -> list[Line]:
    return lists.page(tx, wanted, after=None, limit=MOST_SHOWN)


def _budgets(tx: Transaction, config: Config, at: datetime) -> list[Budget]:
    """Return what the account's windows have left."""
    found = []
    for method in ("POST", "GET"):
        windows = config.api.limits.windows(method)
        sent = budget.sent(tx, method, at) if windows else []
        for window in windows:
            used = sum(instant > at - window.span for instant in sent)
            span = "minute" if window.span == gate.MINUTE else "second"
            found.append(
                Budget(method=method, span=span, left=max(0, window.count - used), allowed=window.count)
            )
    return found


def _uploading(ledger: Ledger) -> int:
    with ledger.read() as tx:
        told = desk.node_report(tx, ledger.node)
    return 0 if told is None else int(told[1].get("uploading", 0))
