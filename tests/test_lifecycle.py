"""The two tables of what may happen, and what each arrow does to its row."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from identifai_watch.core import lifecycle, polling
from identifai_watch.core.events import (
    Absent,
    AnalysisEvent,
    Announced,
    Begun,
    Deferred,
    Delivered,
    Destined,
    Errored,
    Expired,
    FileEvent,
    Judged,
    Lost,
    Malformed,
    Mismatched,
    Missed,
    Overdue,
    Overridden,
    Pending,
    Present,
    Refused,
    Reopened,
    Retried,
    Seen,
    Stirred,
    Superseded,
    Swept,
    Unanswered,
    Undelivered,
    Unsent,
    Uploaded,
)
from identifai_watch.core.lifecycle import (
    ANALYSES,
    DUTIES,
    FILES,
    SETTLED,
    Duty,
    Policy,
    Tries,
    UnexpectedError,
)
from identifai_watch.core.model import (
    Analysis,
    AnalysisState,
    File,
    FileState,
    Fingerprint,
    Interim,
    Label,
    Media,
    Outcome,
    Verdict,
)
from identifai_watch.ledger import rows, schema

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)
POLICY = Policy(deadline=timedelta(minutes=30))
SHAPE = Fingerprint(size=10, mtime_ns=1, ctime_ns=2, inode=3)
OTHER_SHAPE = replace(SHAPE, ctime_ns=99)
VERDICT = Verdict(classification=Label.HUMAN, confidence=0.9, heuristic="Majority")

A_STATE_OF = {
    AnalysisState.QUEUED: {"due": NOW},
    AnalysisState.SENDING: {},
    AnalysisState.AWAITING: {"identifier": "id-1", "submitted_at": NOW, "due": NOW, "deadline": LATER},
    AnalysisState.JUDGED: {"identifier": "id-1", "verdict": VERDICT, "judged_at": NOW},
    AnalysisState.REFUSED: {"reason": "too dark"},
}
ANALYSIS_EVENTS: list[AnalysisEvent] = [
    Begun(),
    Uploaded("id-2", "0f.jpg", "ref"),
    Unsent("401"),
    Unsent("cut", counts=True),
    Deferred("timeout"),
    Deferred("restart", counts=False),
    Refused("too dark"),
    Pending(),
    Judged(VERDICT, b"{}"),
    Judged(replace(VERDICT, has_heatmap=True), b"{}"),
    Errored("broken"),
    Lost("unknown"),
    Mismatched("hash"),
    Malformed("no verdict"),
    Unanswered("500"),
    Unanswered("429", counts=False),
    Overdue(),
    Absent(),
    Present(),
    Overridden(Label.ARTIFICIAL),
    Retried(),
]
FILE_EVENTS: list[FileEvent] = [
    Destined(Outcome.HUMAN, None, b"human/a.jpg"),
    Destined(Outcome.REJECTED, "too dark", None),
    Delivered(b"human/a.jpg", OTHER_SHAPE),
    Delivered(None, None, b"copies/a.jpg"),
    Undelivered("no space"),
    Reopened(),
    Superseded(),
    Superseded(is_replaced=False),
    Missed(),
    Seen(),
    Retried(),
    Stirred(),
    Announced(),
    Expired(),
    Swept(),
]


def an_analysis(state: AnalysisState = AnalysisState.QUEUED, **changes: Any) -> Analysis:
    """Build an analysis as it may stand in a state."""
    values: dict[str, Any] = {
        "id": 1,
        "sha256": b"\x01" * 32,
        "media": Media.IMAGE,
        "mime": "image/jpeg",
        "options": "{}",
        "size": 10,
        "noticed_at": NOW,
        "state": state,
    }
    return Analysis(**(values | A_STATE_OF[state] | changes))


def a_file(state: FileState = FileState.WAITING, **changes: Any) -> File:
    """Build a file as it may stand in a state."""
    values: dict[str, Any] = {
        "id": 1,
        "folder": "drop",
        "path": b"a.jpg",
        "fingerprint": SHAPE,
        "noticed_at": NOW,
        "state": state,
    }
    if state is FileState.DELIVERED:
        values |= {"outcome": Outcome.HUMAN, "delivered_at": NOW}
    if state is FileState.GONE:
        values |= {"missing": 2}
    return File(**(values | changes))


def labels(arrows: list[tuple[Any, Any, dict[str, Any]]]) -> list[str]:
    """Name the rows of a table by state and event, with a number that tells equals apart."""
    return [f"{n}-{row.state}-{type(event).__name__}" for n, (row, event, _) in enumerate(arrows)]


def then(row: Analysis, *events: AnalysisEvent, policy: Policy = POLICY) -> Analysis:
    """Return an analysis after events, all of them at LATER."""
    for event in events:
        row = lifecycle.advance(row, event, LATER, policy)
    return row


def then_file(row: File, *events: FileEvent, policy: Policy = POLICY) -> File:
    """Return a file after events, all of them at LATER."""
    for event in events:
        row = lifecycle.advance_file(row, event, LATER, policy)
    return row


def changed(before: object, after: object) -> dict[str, Any]:
    """Return the fields of a row that an arrow changed, with what they are now."""
    names = type(before).__dataclass_fields__
    return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}


# The tables as tables.


def test_every_state_of_an_analysis_has_a_row_and_a_duty() -> None:
    """Every state of an analysis has its arrows, and says what is to be done for it."""
    assert set(AnalysisState) == set(ANALYSES) == set(DUTIES)


def test_every_state_of_a_file_has_a_row() -> None:
    """Every state of a file has its arrows."""
    assert set(FileState) == set(FILES)


def test_every_open_analysis_has_a_duty() -> None:
    """Whatever is neither settled nor in flight is worked on."""
    open_states = set(AnalysisState) - SETTLED - {AnalysisState.SENDING}
    assert {state for state, duty in DUTIES.items() if duty is not None} == open_states


def test_every_event_of_an_analysis_is_an_arrow() -> None:
    """The union of events and the table name the same events."""
    assert set(get_args(AnalysisEvent)) == {event for arrows in ANALYSES.values() for event in arrows}


def test_every_event_of_a_file_is_an_arrow() -> None:
    """The union of events and the table name the same events."""
    assert set(get_args(FileEvent)) == {event for arrows in FILES.values() for event in arrows}


def test_the_events_of_these_tests_are_all_there_are() -> None:
    """Nothing that may happen is left out below."""
    assert {type(event) for event in ANALYSIS_EVENTS} == set(get_args(AnalysisEvent))
    assert {type(event) for event in FILE_EVENTS} == set(get_args(FileEvent))


def test_every_state_of_an_analysis_can_be_reached() -> None:
    """From queued on, the arrows lead everywhere."""
    assert set(AnalysisState) == reachable(ANALYSES, AnalysisState.QUEUED)


def test_every_state_of_a_file_can_be_reached() -> None:
    """From waiting on, the arrows lead everywhere."""
    assert set(FileState) == reachable(FILES, FileState.WAITING)


def reachable(table: Any, start: Any) -> set[Any]:
    """Return the states that the arrows of a table lead to."""
    found, todo = set(), {start}
    while todo:
        state = todo.pop()
        found.add(state)
        for arrow in table[state].values():
            todo |= ({arrow.again, arrow.then} if isinstance(arrow, Tries) else {arrow}) - found
    return found


@pytest.mark.parametrize("state", AnalysisState)
@pytest.mark.parametrize(
    "event", ANALYSIS_EVENTS, ids=[f"{n}-{type(event).__name__}" for n, event in enumerate(ANALYSIS_EVENTS)]
)
def test_an_event_of_an_analysis_follows_its_arrow_or_raises(
    state: AnalysisState, event: AnalysisEvent
) -> None:
    """What the table does not know is a bug and raises; what it knows leads where it says."""
    arrow = ANALYSES[state].get(type(event))
    if arrow is None:
        with pytest.raises(
            UnexpectedError, match=f"{type(event).__name__} came to Analysis 1, which is {state}"
        ):
            then(an_analysis(state), event)
    else:
        expected = arrow.again if isinstance(arrow, Tries) else arrow
        assert expected == then(an_analysis(state), event).state


@pytest.mark.parametrize("state", FileState)
@pytest.mark.parametrize(
    "event", FILE_EVENTS, ids=[f"{n}-{type(event).__name__}" for n, event in enumerate(FILE_EVENTS)]
)
def test_an_event_of_a_file_follows_its_arrow_or_raises(state: FileState, event: FileEvent) -> None:
    """What the table does not know is a bug and raises; what it knows leads where it says."""
    arrow = FILES[state].get(type(event))
    if arrow is None:
        with pytest.raises(UnexpectedError, match=f"{type(event).__name__} came to File 1, which is {state}"):
            then_file(a_file(state), event)
    else:
        expected = arrow.again if isinstance(arrow, Tries) else arrow
        assert expected == then_file(a_file(state), event).state


# What each arrow does to an analysis.


ANALYSIS_ARROWS: list[tuple[Any, Any, dict[str, Any]]] = [
    (an_analysis(no_cache=True), Begun(), {"state": "sending", "due": None}),
    (an_analysis(), Refused("too dark"), {"state": "refused", "due": None, "reason": "too dark"}),
    (an_analysis(), Absent(), {"due": None}),
    (an_analysis(due=None), Present(), {"due": LATER}),
    (an_analysis(due=None, stuck_at=NOW), Present(), {}),
    (
        an_analysis(due=None, stuck_at=NOW, failures=5, failing_since=NOW, reason="500", doubt=True),
        Retried(),
        {"due": LATER, "stuck_at": None, "failures": 0, "failing_since": None, "reason": None},
    ),
    (
        an_analysis(AnalysisState.SENDING, doubt=True, failures=2, failing_since=NOW, reason="reset"),
        Uploaded("id-1", "0f.jpg", "ref"),
        {
            "state": "awaiting",
            "doubt": False,
            "identifier": "id-1",
            "sent_name": "0f.jpg",
            "ref_id": "ref",
            "submitted_at": LATER,
            "deadline": LATER + timedelta(minutes=30),
            "due": LATER + polling.GUESS[Media.IMAGE].early,
            "failures": 0,
            "failing_since": None,
            "reason": None,
        },
    ),
    (
        an_analysis(AnalysisState.SENDING, no_cache=True),
        Unsent("no connection"),
        {"state": "queued", "due": LATER, "reason": "no connection"},
    ),
    (
        an_analysis(AnalysisState.SENDING, no_cache=True),
        Unsent("cut", counts=True),
        {
            "state": "queued",
            "due": LATER + timedelta(seconds=0.5),
            "reason": "cut",
            "failures": 1,
            "failing_since": LATER,
        },
    ),
    (
        an_analysis(AnalysisState.SENDING, no_cache=True),
        Deferred("timeout"),
        {
            "state": "queued",
            "doubt": True,
            "no_cache": False,
            "due": LATER + timedelta(seconds=0.5),
            "reason": "timeout",
            "failures": 1,
            "failing_since": LATER,
        },
    ),
    (
        an_analysis(AnalysisState.SENDING, no_cache=True),
        Deferred("restart", counts=False),
        {"state": "queued", "doubt": True, "no_cache": False, "due": LATER, "reason": "restart"},
    ),
    (
        an_analysis(AnalysisState.SENDING, doubt=True),
        Refused("too dark"),
        {"state": "refused", "reason": "too dark"},
    ),
    (
        an_analysis(AnalysisState.AWAITING, failures=3, failing_since=NOW),
        Pending(),
        {
            "due": LATER + (LATER - NOW - polling.GUESS[Media.IMAGE].late) * polling.SHARE,
            "failures": 0,
            "failing_since": None,
        },
    ),
    (
        an_analysis(AnalysisState.AWAITING, malformed=2),
        Judged(VERDICT, b"{}"),
        {"state": "judged", "verdict": VERDICT, "judged_at": LATER, "due": None, "malformed": 0},
    ),
    (
        an_analysis(AnalysisState.AWAITING),
        Errored("broken"),
        {"state": "refused", "due": None, "reason": "broken"},
    ),
    (
        an_analysis(AnalysisState.AWAITING),
        Lost("unknown"),
        {
            "state": "queued",
            "due": LATER,
            "identifier": None,
            "deadline": None,
            "resubmissions": 1,
            "reason": "unknown",
        },
    ),
    (
        an_analysis(AnalysisState.AWAITING, resubmissions=1),
        Mismatched("other bytes"),
        {
            "state": "refused",
            "due": None,
            "identifier": None,
            "deadline": None,
            "resubmissions": 2,
            "reason": "other bytes",
        },
    ),
    (
        an_analysis(AnalysisState.AWAITING),
        Malformed("no verdict"),
        {"malformed": 1, "due": LATER + timedelta(seconds=0.5), "reason": "no verdict"},
    ),
    (
        an_analysis(AnalysisState.AWAITING, malformed=3),
        Malformed("no verdict"),
        {"state": "refused", "malformed": 4, "due": None, "reason": "no verdict"},
    ),
    (
        an_analysis(AnalysisState.AWAITING),
        Unanswered("500"),
        {
            "due": LATER + timedelta(seconds=0.5),
            "failures": 1,
            "failing_since": LATER,
            "reason": "500",
        },
    ),
    (
        an_analysis(AnalysisState.AWAITING),
        Overdue(),
        {"due": None, "stuck_at": LATER, "reason": "no verdict within 0:30:00"},
    ),
    (
        an_analysis(AnalysisState.AWAITING, due=None, stuck_at=NOW, reason="no verdict within 0:30:00"),
        Retried(),
        {"due": LATER, "stuck_at": None, "deadline": LATER + timedelta(minutes=30), "reason": None},
    ),
    (
        an_analysis(AnalysisState.JUDGED),
        Overridden(Label.ARTIFICIAL),
        {"verdict": replace(VERDICT, forced=Label.ARTIFICIAL)},
    ),
    (
        an_analysis(AnalysisState.REFUSED, resubmissions=2, malformed=4, identifier="id-1"),
        Retried(),
        {
            "state": "queued",
            "due": LATER,
            "resubmissions": 0,
            "malformed": 0,
            "reason": None,
            "identifier": None,
        },
    ),
]


@pytest.mark.parametrize(("row", "event", "expected"), ANALYSIS_ARROWS, ids=labels(ANALYSIS_ARROWS))
def test_what_an_arrow_does_to_an_analysis(
    row: Analysis, event: AnalysisEvent, expected: dict[str, Any]
) -> None:
    """Each arrow changes what the table of the design says, and nothing else."""
    assert expected == changed(row, then(row, event))


@pytest.mark.parametrize("state", AnalysisState)
@pytest.mark.parametrize("event", [Absent(), Present()], ids=repr)
def test_only_what_is_queued_minds_whether_its_file_is_there(
    state: AnalysisState, event: AnalysisEvent
) -> None:
    """What was sent is judged whatever becomes of the file."""
    if state is not AnalysisState.QUEUED:
        row = an_analysis(state)
        assert row == then(row, event)


def test_a_doubtful_upload_goes_without_no_cache() -> None:
    """A resend may be answered from the API's cache, so that it is not paid twice."""
    row = then(an_analysis(no_cache=True), Begun(), Deferred("timeout"), Begun())
    assert (AnalysisState.SENDING, True, False) == (row.state, row.doubt, row.no_cache)


def test_an_upload_that_never_arrived_keeps_no_cache() -> None:
    """A rejudge that was cut before its end is still one."""
    row = then(an_analysis(no_cache=True), Begun(), Unsent("cut", counts=True), Begun())
    assert (False, True) == (row.doubt, row.no_cache)


def test_five_failures_alone_are_no_reason_to_give_up() -> None:
    """When nothing gets through, it is not this row's fault."""
    row = an_analysis()
    for _ in range(20):
        row = then(row, Begun(), Deferred("500"))
    assert (20, None) == (row.failures, row.stuck_at)
    assert row.due is not None


def test_a_row_is_stuck_when_it_fails_five_times_while_others_get_through() -> None:
    """It rests then, where it stood, with its reason."""
    policy = replace(POLICY, others_at=LATER + timedelta(seconds=1))
    row = an_analysis()
    for _ in range(5):
        assert row.stuck_at is None
        row = then(row, Begun(), Deferred("500"), policy=policy)
    assert (AnalysisState.QUEUED, LATER, None, "500") == (row.state, row.stuck_at, row.due, row.reason)


def test_a_verdict_with_a_heatmap_that_was_asked_for_has_it_fetched() -> None:
    """The heatmap is due with the verdict where the options want it and the API made one."""
    judged = Judged(replace(VERDICT, has_heatmap=True), b"{}")
    wanted = an_analysis(AnalysisState.AWAITING, options='{"with_heatmap": true}')
    assert then(wanted, judged).heatmap_due == LATER
    assert then(an_analysis(AnalysisState.AWAITING), judged).heatmap_due is None
    assert then(wanted, Judged(VERDICT, b"{}")).heatmap_due is None


# What each arrow does to a file.


FRESH = {"failures": 0, "failing_since": None, "stuck_at": None}


FILE_ARROWS: list[tuple[Any, Any, dict[str, Any]]] = [
    (
        a_file(),
        Destined(Outcome.HUMAN, None, b"human/a.jpg"),
        {"outcome": "human", "destination": b"human/a.jpg"},
    ),
    (
        a_file(due=NOW, outcome=Outcome.HUMAN, destination=b"human/a.jpg", missing=1, failures=2),
        Delivered(b"human/a.jpg", OTHER_SHAPE),
        {
            "state": "delivered",
            "due": None,
            "destination": None,
            "lies_at": b"human/a.jpg",
            "fingerprint": OTHER_SHAPE,
            "delivered_at": LATER,
            "delivered_as": "human",
            "missing": 0,
            "failures": 0,
        },
    ),
    (
        a_file(due=NOW, outcome=Outcome.HUMAN, copied_to=b"before"),
        Delivered(None, None),
        {"state": "delivered", "due": None, "delivered_at": LATER, "delivered_as": "human"},
    ),
    (
        a_file(due=NOW),
        Undelivered("no space"),
        {
            "due": LATER + timedelta(seconds=0.5),
            "failures": 1,
            "failing_since": LATER,
            "trouble": "no space",
        },
    ),
    (a_file(FileState.DELIVERED), Reopened(), {"state": "waiting", "due": LATER}),
    (
        a_file(stuck_at=NOW, failures=5, failing_since=NOW, trouble="no space", destination=b"human/a.jpg"),
        Retried(),
        FRESH | {"due": LATER, "trouble": None},
    ),
    (a_file(reason="0.5, below 0.6"), Retried(), {"due": LATER}),
    (
        a_file(due=NOW, destination=b"human/a.jpg"),
        Superseded(),
        {"state": "superseded", "due": None, "destination": None},
    ),
    (a_file(FileState.DELIVERED), Missed(), {"missing": 1}),
    (a_file(due=NOW, missing=1), Missed(), {"state": "gone", "missing": 2, "due": None}),
    (
        a_file(stuck_at=NOW, failures=5, failing_since=NOW, missing=1),
        Missed(),
        FRESH | {"state": "gone", "missing": 2},
    ),
    (a_file(FileState.DELIVERED, missing=1), Seen(), {"missing": 0}),
    (a_file(due=NOW, missing=1), Seen(), {"missing": 0}),
    (a_file(FileState.GONE), Seen(), {"state": "waiting", "missing": 0, "due": LATER}),
    (
        a_file(FileState.GONE, orphan_due=NOW),
        Seen(),
        {"state": "waiting", "missing": 0, "due": LATER, "orphan_due": None},
    ),
    (a_file(FileState.GONE), Missed(), {}),
    # What lies beside a file that is gone is put aside after a day; beside one that is left alone now, at once.
    (
        a_file(FileState.DELIVERED, missing=1, outcome=Outcome.HUMAN),
        Missed(),
        {"state": "gone", "missing": 2, "orphan_due": LATER + timedelta(hours=24)},
    ),
    (
        a_file(FileState.DELIVERED, missing=1, outcome=Outcome.HUMAN, lies_at=b"human/a.jpg"),
        Missed(),
        {"state": "gone", "missing": 2},
    ),
    (
        a_file(FileState.DELIVERED, outcome=Outcome.HUMAN),
        Superseded(is_replaced=False),
        {"state": "superseded", "orphan_due": LATER},
    ),
    (a_file(FileState.DELIVERED, outcome=Outcome.HUMAN), Superseded(), {"state": "superseded"}),
    (a_file(FileState.GONE, orphan_due=NOW), Swept(), {"orphan_due": None}),
    (a_file(FileState.SUPERSEDED, orphan_due=NOW), Swept(), {"orphan_due": None}),
    # A judged file that looks otherwise is not believed until it is seen as it was.
    (
        a_file(FileState.DELIVERED, outcome=Outcome.HUMAN),
        Stirred(),
        {"state": "waiting", "interim": "changing", "due": LATER},
    ),
    (a_file(interim=Interim.CHANGING, outcome=Outcome.PENDING), Stirred(), {}),
    (
        a_file(interim=Interim.CHANGING, due=NOW, outcome=Outcome.HUMAN),
        Announced(),
        {"outcome": "pending", "due": None},
    ),
    (
        a_file(interim=Interim.CHANGING, outcome=Outcome.PENDING),
        Seen(),
        {"interim": None, "due": LATER},
    ),
    # A file that waits too long is let go unchecked.
    (
        a_file(release_at=NOW, destination=b"human/a.jpg"),
        Expired(),
        {"interim": "late", "due": LATER, "release_at": None, "destination": None},
    ),
    (a_file(FileState.GONE), Reopened(), {}),
    (a_file(FileState.GONE), Retried(), {}),
    (a_file(FileState.SUPERSEDED), Missed(), {}),
    (a_file(FileState.SUPERSEDED), Seen(), {}),
]


@pytest.mark.parametrize(("row", "event", "expected"), FILE_ARROWS, ids=labels(FILE_ARROWS))
def test_what_an_arrow_does_to_a_file(row: File, event: FileEvent, expected: dict[str, Any]) -> None:
    """Each arrow changes what the table of the design says, and nothing else."""
    assert expected == changed(row, then_file(row, event))


def test_a_delivery_is_given_up_when_it_fails_five_times_while_others_succeed() -> None:
    """It is stuck then, with the reason of the last failure, and keeps where it was going."""
    row = a_file(due=NOW, outcome=Outcome.HUMAN, destination=b"human/a.jpg")
    policy = replace(POLICY, others_at=LATER + timedelta(seconds=1))
    for _ in range(5):
        row = then_file(row, Undelivered("no space"), policy=policy)
    assert (None, LATER, "no space", b"human/a.jpg") == (row.due, row.stuck_at, row.trouble, row.destination)


@pytest.mark.parametrize(
    ("row", "analysis", "expected"),
    [
        (a_file(), None, Duty.ADMIT),
        (a_file(held=True), None, None),
        (a_file(refusal="too small"), None, Duty.DELIVER),
        (a_file(), AnalysisState.QUEUED, None),
        (a_file(), AnalysisState.SENDING, None),
        (a_file(), AnalysisState.AWAITING, None),
        (a_file(), AnalysisState.JUDGED, Duty.DELIVER),
        (a_file(), AnalysisState.REFUSED, Duty.DELIVER),
        (a_file(FileState.DELIVERED), AnalysisState.JUDGED, None),
        (a_file(FileState.GONE), AnalysisState.JUDGED, None),
        (a_file(FileState.SUPERSEDED), AnalysisState.JUDGED, None),
        (a_file(interim=Interim.CHANGING, outcome=Outcome.HUMAN), AnalysisState.JUDGED, Duty.DELIVER),
        (a_file(interim=Interim.CHANGING, outcome=Outcome.PENDING), AnalysisState.JUDGED, Duty.ADMIT),
        (a_file(interim=Interim.REPLACED), AnalysisState.QUEUED, Duty.DELIVER),
        (a_file(interim=Interim.REPLACED, outcome=Outcome.PENDING), AnalysisState.QUEUED, None),
        (a_file(interim=Interim.REPLACED, outcome=Outcome.PENDING), AnalysisState.JUDGED, Duty.DELIVER),
        (a_file(interim=Interim.LATE), AnalysisState.AWAITING, Duty.DELIVER),
        (a_file(FileState.DELIVERED, interim=Interim.LATE), AnalysisState.AWAITING, None),
    ],
)
def test_the_duty_of_a_file_follows_from_the_rows(
    row: File, analysis: AnalysisState | None, expected: Duty | None
) -> None:
    """What has to be done needs no memory: file and analysis say it."""
    assert expected == lifecycle.duty(row, analysis)


# Random walks.


@pytest.fixture(scope="module")
def checks() -> Iterator[sa.Connection]:
    """Give an empty ledger in memory, whose CHECKs judge rows."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        yield connection
    engine.dispose()


def rests_announced(row: File) -> bool:
    """Tell whether it waits for nothing but its content or its verdict, and its sidecar says so."""
    return row.due is None and row.outcome is Outcome.PENDING


EVENT_OF_ANALYSIS = st.sampled_from(ANALYSIS_EVENTS)
EVENT_OF_FILE = st.sampled_from(FILE_EVENTS)
CHANCE = st.floats(min_value=0, max_value=1, exclude_max=True)
OTHERS = st.sampled_from([None, NOW + timedelta(days=1)])


def of_a_kind(row: Any, event: Any) -> bool:
    """Tell whether a random walk may take an event: a delivery needs an outcome first, and something to be due."""
    if isinstance(event, Destined) and row.due is None:
        return False
    return not (isinstance(event, Delivered) and row.outcome is None)


@given(
    steps=st.lists(st.tuples(EVENT_OF_ANALYSIS, CHANCE), max_size=60),
    no_cache=st.booleans(),
    others_at=OTHERS,
)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_to_an_analysis_the_ledger_takes_it(
    checks: sa.Connection,
    steps: list[tuple[AnalysisEvent, float]],
    *,
    no_cache: bool,
    others_at: datetime | None,
) -> None:
    """No sequence of events makes a row that a CHECK refuses, loses a doubt, or pays for a doubt anew."""
    row, now, may_have_arrived = an_analysis(no_cache=no_cache), NOW, False
    policy = replace(POLICY, others_at=others_at)
    for event, chance in steps:
        if type(event) not in ANALYSES[row.state]:
            continue
        before, now = row, now + timedelta(seconds=7)
        row = lifecycle.advance(row, event, now, policy, chance)
        checks.execute(sa.delete(schema.analyses))
        checks.execute(sa.insert(schema.analyses).values(rows.analysis_values(row)))

        may_have_arrived = (may_have_arrived or isinstance(event, Deferred)) and not isinstance(
            event, Uploaded
        )
        assert may_have_arrived == row.doubt
        assert not (row.no_cache and (row.doubt or not before.no_cache))
        if row.due is None and DUTIES[row.state] is not None:
            assert row.stuck_at is not None or isinstance(event, Absent)
            present = lifecycle.advance(row, Retried(), now, policy)
            assert present.due == now


@given(steps=st.lists(st.tuples(EVENT_OF_FILE, CHANCE), max_size=60), others_at=OTHERS)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_to_a_file_the_ledger_takes_it(
    checks: sa.Connection, steps: list[tuple[FileEvent, float]], *, others_at: datetime | None
) -> None:
    """No sequence of events makes a row that a CHECK refuses; a file that is not stuck is never forgotten."""
    row, now = a_file(due=NOW), NOW
    policy = replace(POLICY, others_at=others_at)
    for event, chance in steps:
        if type(event) not in FILES[row.state] or not of_a_kind(row, event):
            continue
        now += timedelta(seconds=7)
        row = lifecycle.advance_file(row, event, now, policy, chance)
        checks.execute(sa.delete(schema.files))
        checks.execute(sa.insert(schema.files).values(folder_id=1, **rows.file_values(row)))
        if row.state is FileState.WAITING:
            assert (row.due is None) == (row.stuck_at is not None or rests_announced(row))
        else:
            assert (None, None) == (row.due, row.stuck_at)
