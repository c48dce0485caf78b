"""The report: what all views of the ledger show, as values and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core import gate, report
from identifai_watch.core.gate import Limits
from identifai_watch.core.hours import Hours
from identifai_watch.core.model import (
    Account,
    AccountState,
    Analysis,
    AnalysisState,
    File,
    FileState,
    Fingerprint,
    Label,
    Media,
    Outcome,
    PauseReason,
    Verdict,
)
from identifai_watch.core.report import Post, Queue, Report

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHAPE = Fingerprint(size=123, mtime_ns=1, ctime_ns=1, inode=7)
NO_LIMITS = Limits(posts_per_second=0, posts_per_minute=0)

FILE = File(
    id=1,
    folder="drop",
    path=b"a/caf\xe9.jpg",
    fingerprint=SHAPE,
    noticed_at=NOW,
    media=Media.IMAGE,
    sha256=b"\x01" * 32,
)
ANALYSIS = Analysis(
    id=1,
    sha256=b"\x01" * 32,
    media=Media.IMAGE,
    mime="image/jpeg",
    options="{}",
    size=123,
    noticed_at=NOW,
    state=AnalysisState.JUDGED,
    identifier="abc",
    verdict=Verdict(classification=Label.HUMAN, confidence=0.75, heuristic="Majority"),
)
REPORT = Report(
    analyses=dict.fromkeys(AnalysisState, 1),
    files=dict.fromkeys(FileState, 2),
    outcomes=dict.fromkeys(Outcome, 3),
    settling=4,
    held=5,
    stuck=6,
    doubt=7,
    left=8,
    account=Account(),
    folders=(report.folder("drop", "/srv/drop", None),),
    queue=Queue(fresh=10, backlog=2),
    eta=timedelta(seconds=1.2),
    is_running=True,
    since=NOW,
)


def eta(
    queue: Queue, limits: Limits, posts: Sequence[Post] = (), account: Account | None = None
) -> timedelta | None:
    """Return the estimate at NOW."""
    return report.eta(queue, posts, limits, account or Account(), NOW)


def test_the_status_document_is_that_of_the_design() -> None:
    """Its keys, states and units are what people were promised, and it is plain JSON."""
    expected = {
        "analyses": {"queued": 1, "sending": 1, "awaiting": 1, "judged": 1, "refused": 1},
        "files": {"waiting": 2, "delivered": 2, "superseded": 2, "gone": 2},
        "settling": 4,
        "held": 5,
        "stuck": 6,
        "doubt": 7,
        "outcomes": {
            "human": 3,
            "artificial": 3,
            "uncertain": 3,
            "rejected": 3,
            "pending": 3,
            "unchecked": 3,
        },
        "account": {"state": "ok", "reason": None, "next_probe_at": None},
        "folders": [
            {
                "name": "drop",
                "path": "/srv/drop",
                "health": "unavailable",
                "mode": "scan",
                "reason": "no daemon has watched it yet",
                "last_scan_at": None,
                "paused": None,
                "scan_seconds": 0.0,
                "unheard": 0,
                "overflows": 0,
                "shown_at": None,
                "watched_by": None,
            }
        ],
        "backlog": {"uploads": 12, "eta_seconds": 2, "hours": None, "opens_at": None},
        "daemon": {"running": True, "since": "2026-03-01T12:00:00.000000Z"},
    }
    assert expected == json.loads(json.dumps(report.status_json(REPORT)))


def test_a_paused_account_says_why_and_when_it_is_looked_at() -> None:
    """The reason is one of the closed set of pauses."""
    paused = Account(
        state=AccountState.PAUSED, reason=PauseReason.CREDITS, next_probe_at=NOW + timedelta(seconds=30)
    )
    document = report.status_json(replace(REPORT, account=paused))
    assert document["account"] == {
        "state": "paused",
        "reason": "credits",
        "next_probe_at": "2026-03-01T12:00:30.000000Z",
    }


def test_what_the_daemon_reported_of_a_folder_is_taken_over() -> None:
    """Its instants are the report's, in UTC."""
    reported = {
        "health": "ok",
        "mode": "events",
        "reason": None,
        "last_scan_at": "2026-03-01T13:00:00+01:00",
        "scan_seconds": 1.5,
        "unheard": 2,
        "overflows": 1,
    }
    document = report.status_json(replace(REPORT, folders=(report.folder("x", "/x", reported),)))
    assert document["folders"] == [
        {
            "name": "x",
            "path": "/x",
            "health": "ok",
            "mode": "events",
            "reason": None,
            "last_scan_at": "2026-03-01T12:00:00.000000Z",
            "paused": None,
            "scan_seconds": 1.5,
            "unheard": 2,
            "overflows": 1,
            "shown_at": None,
            "watched_by": None,
        }
    ]


def test_a_line_has_the_keys_of_the_design_and_its_path_is_safe_to_print() -> None:
    """Bytes that are no UTF-8 are escaped."""
    expected = {
        "path": "a/caf\\xe9.jpg",
        "folder": "drop",
        "state": "waiting",
        "outcome": None,
        "confidence": 0.75,
        "media": "image",
        "size": 123,
        "sha256": "01" * 32,
        "identifier": "abc",
        "noticed_at": "2026-03-01T12:00:00.000000Z",
        "delivered_at": None,
        "lies_at": None,
        "reason": None,
    }
    assert expected == json.loads(json.dumps(report.line_json(FILE, ANALYSIS)))


def test_an_exported_row_has_the_columns_in_their_order() -> None:
    """What is known of a file without an analysis is a row of the same columns."""
    assert (
        report.EXPORTED
        == tuple(report.export_row(FILE, ANALYSIS, "x"))
        == tuple(report.export_row(FILE, None, "x"))
    )


@pytest.mark.parametrize(
    ("file", "analysis", "begins"),
    [
        (FILE, ANALYSIS, "waiting     0.75  image"),
        (
            replace(FILE, state=FileState.DELIVERED, outcome=Outcome.HUMAN),
            ANALYSIS,
            "human       0.75  image",
        ),
        (
            replace(FILE, state=FileState.DELIVERED, outcome=Outcome.ARTIFICIAL),  # the desk's word
            ANALYSIS,
            "artificial        image",
        ),
        (replace(FILE, stuck_at=NOW), ANALYSIS, "stuck "),
        (FILE, replace(ANALYSIS, stuck_at=NOW), "stuck "),
        (replace(FILE, held=True, media=None), None, "held              -    "),
    ],
)
def test_a_line_for_people_begins_with_what_matters(
    file: File, analysis: Analysis | None, begins: str
) -> None:
    """What waits for a person is said before the state."""
    assert report.line_text(report.line_cells(file, analysis)).startswith(begins)


def test_a_line_for_people_tells_where_a_moved_file_is_and_the_whole_path_of_a_single_one() -> None:
    """What is printed can be given to ``show``."""
    moved = report.line_cells(replace(FILE, lies_at=b"human/x.jpg"), None)[-1]
    single = report.line_cells(replace(FILE, folder=report.AD_HOC, path=b"tmp/x.jpg"), None)[-1]
    assert moved.endswith("drop: a/caf\\xe9.jpg -> human/x.jpg")
    assert single.endswith("(judge): /tmp/x.jpg")


@pytest.mark.parametrize(
    ("queue", "limits", "seconds"),
    [
        (Queue(fresh=0, backlog=0), Limits(), 0),
        (Queue(fresh=100, backlog=0), NO_LIMITS, 0),
        (Queue(fresh=3, backlog=0), Limits(posts_per_minute=0), 2 * 1.02),
        (Queue(fresh=31, backlog=0), Limits(), 60.5),
        (Queue(fresh=40, backlog=20), Limits(), 60.5 + 29 * 1.02),
        (Queue(fresh=5, backlog=0), replace(NO_LIMITS, posts_per_day=2), 2 * 86_400),
        (Queue(fresh=0, backlog=5), replace(NO_LIMITS, posts_per_day=4, backlog_share=0.5), 2 * 86_400),
        (Queue(fresh=0, backlog=5), replace(NO_LIMITS, posts_per_day=4, backlog_share=0.0), None),
    ],
)
def test_the_backlog_ends_when_limits_and_purse_allow(
    queue: Queue, limits: Limits, seconds: float | None
) -> None:
    """Both windows, the sliding day and the backlog's share of it count; None is never."""
    found = eta(queue, limits)
    assert seconds == (None if found is None else found.total_seconds())


def test_what_was_sent_already_counts() -> None:
    """A purse that is spent has room again a day after its first post."""
    posts = [Post(at=NOW - timedelta(hours=hours), backlog=True) for hours in (23, 5)]
    limits = replace(NO_LIMITS, posts_per_day=2, backlog_share=1.0)
    assert eta(Queue(fresh=1, backlog=0), limits, posts) == timedelta(hours=1)
    assert eta(Queue(fresh=2, backlog=0), limits, posts) == timedelta(hours=19)


def test_the_wait_of_the_account_counts_as_far_as_its_end_is_known() -> None:
    """A pause of the operator's has no end that could be known."""
    held = Account(hold_until=NOW + timedelta(seconds=7))
    paused = Account(state=AccountState.PAUSED, reason=PauseReason.OPERATOR)
    assert eta(Queue(fresh=1, backlog=0), NO_LIMITS, account=held) == timedelta(seconds=7)
    assert eta(Queue(fresh=1, backlog=0), NO_LIMITS, account=paused) == timedelta(0)


@given(
    made=st.integers(0, 60),
    ago=st.floats(0, 59),
    count=st.integers(1, 200),
    per_second=st.integers(0, 3),
    per_minute=st.integers(0, 40),
)
def test_the_estimate_agrees_with_the_gate(
    made: int, ago: float, count: int, per_second: int, per_minute: int
) -> None:
    """It is what the gate would do one by one, to within a few steps of the shortest window."""
    windows = Limits(posts_per_second=per_second, posts_per_minute=per_minute).windows("POST")
    began = NOW - timedelta(seconds=ago)
    sent = [at for at in gate.instants([], windows, began, made) if at <= NOW]
    exact = gate.instants(sent, windows, NOW, count)[-1]
    about = report.last_instant(count, sent, windows, NOW)
    assert abs(exact - about) <= 0.02 * (exact - NOW) + timedelta(seconds=2)


@given(st.lists(st.integers(1, 500), min_size=2))
def test_more_uploads_never_end_sooner(counts: list[int]) -> None:
    """The estimate grows with the queue."""
    ends = [report.last_instant(count, [], Limits().windows("POST"), NOW) for count in sorted(counts)]
    assert all(sooner <= later for sooner, later in pairwise(ends))


def test_the_backlog_begins_when_its_hours_do() -> None:
    """What is new does not wait for them; status says which they are."""
    opens_at = NOW + timedelta(hours=13)

    def lasts(queue: Queue) -> timedelta | None:
        return report.eta(queue, [], NO_LIMITS, Account(), NOW, backlog_opens_at=opens_at)

    assert timedelta(0) == lasts(Queue(fresh=5, backlog=0))
    assert timedelta(hours=13) == lasts(Queue(fresh=5, backlog=1))
    closed = replace(REPORT, backlog_hours=Hours(begin=60, end=360), backlog_opens_at=opens_at)
    told = report.status_json(closed)["backlog"]
    assert ("01:00-06:00", "2026-03-02T01:00:00.000000Z") == (told["hours"], told["opens_at"])
