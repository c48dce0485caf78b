"""Explanations: each state of a file and of its content in words, with what it waits for and what can be done."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from identifai_watch.core import explaining, media, settling
from identifai_watch.core.explaining import Circumstances, Explanation
from identifai_watch.core.hours import Hours
from identifai_watch.core.model import (
    Account,
    AccountState,
    Analysis,
    AnalysisState,
    Choice,
    Decision,
    File,
    FileState,
    Fingerprint,
    Label,
    Media,
    Outcome,
    PauseReason,
    Verdict,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)
OLD = int((NOW - timedelta(hours=1)).timestamp()) * 10**9
SHAPE = Fingerprint(size=123, mtime_ns=OLD, ctime_ns=OLD, inode=7)
FILE = File(
    id=1, folder="drop", path=b"x.jpg", fingerprint=SHAPE, noticed_at=NOW, analysis_id=1, sha256=b"1" * 32
)
QUEUED = Analysis(
    id=1,
    sha256=b"1" * 32,
    media=Media.IMAGE,
    mime="image/jpeg",
    options="{}",
    size=123,
    noticed_at=NOW,
    due=NOW,
)
AWAITING = replace(QUEUED, state=AnalysisState.AWAITING, identifier="abc", due=SOON)
JUDGED = replace(QUEUED, state=AnalysisState.JUDGED, due=None)
AROUND = Circumstances(now=NOW, path="/srv/drop/x.jpg", folder="drop", is_running=True, account=Account())
PAUSED = replace(
    AROUND, account=Account(state=AccountState.PAUSED, reason=PauseReason.CREDITS, next_probe_at=SOON)
)
HELD_UP = replace(AROUND, account=Account(hold_until=SOON, holds=1))
AWAY = replace(AROUND, trouble="Stale file handle")
CLOSED = replace(AROUND, backlog_hours=Hours(begin=60, end=360), backlog_opens_at=SOON)
RULES = media.Policy(
    kinds=frozenset(Media),
    mp4_as=Media.VIDEO,
    limits=dict.fromkeys(Media, 1000),
    min_bytes=0,
    reject_unsupported=True,
)
SETTLING = settling.Policy(settle=timedelta(seconds=5), network=False)
WHOLE = settling.Sample(fingerprint=SHAPE, writer=False, shortfall=None)


@pytest.mark.parametrize(
    ("file", "analysis", "around", "state", "says", "until", "remedy"),
    [
        (replace(FILE, held=True), None, AROUND, "held", "before the daemon", None, "backlog release"),
        (replace(FILE, analysis_id=None), None, AROUND, "waiting", "waits to be looked at", None, None),
        (
            replace(FILE, stuck_at=NOW, trouble="disk full"),
            JUDGED,
            AROUND,
            "stuck",
            "disk full",
            None,
            "retry",
        ),
        (
            FILE,
            replace(QUEUED, stuck_at=NOW, due=None, reason="HTTP 500"),
            AROUND,
            "stuck",
            "500",
            None,
            "retry",
        ),
        (FILE, replace(AWAITING, stuck_at=NOW, due=None), AROUND, "stuck", "did not come", None, "retry"),
        (FILE, QUEUED, replace(AROUND, ahead=3, sent_about=SOON), "queued", "with 3 before it", SOON, None),
        (FILE, QUEUED, PAUSED, "queued", "no credits are left", SOON, "buy credits"),
        (FILE, QUEUED, HELD_UP, "queued", "cannot be reached", SOON, None),
        (FILE, QUEUED, AWAY, "queued", "Stale file handle", None, None),
        (FILE, replace(QUEUED, due=None), AROUND, "queued", "rests", None, None),
        (FILE, replace(QUEUED, due=SOON, failures=2), AROUND, "queued", "last of 2 attempts", SOON, None),
        (
            FILE,
            replace(QUEUED, backlog=True),
            replace(AROUND, is_purse_empty=True, purse_empty_until=SOON),
            "queued",
            "the backlog's share",
            SOON,
            "posts_per_day",
        ),
        (
            FILE,
            replace(QUEUED, backlog=True),
            CLOSED,
            "queued",
            'sent within backlog_hours = "01:00',
            SOON,
            "judge",
        ),
        (FILE, QUEUED, CLOSED, "queued", "waits for its upload", None, None),
        (
            replace(FILE, analysis_id=None, backlog=True),
            None,
            CLOSED,
            "queued",
            "hashed and sent within backlog_hours",
            SOON,
            "api.backlog_hours",
        ),
        (FILE, replace(QUEUED, state=AnalysisState.SENDING), AROUND, "sending", "uploaded now", None, None),
        (FILE, AWAITING, AROUND, "awaiting", "as abc", SOON, None),
        (FILE, AWAITING, PAUSED, "awaiting", "as abc", SOON, None),
        (FILE, AWAITING, HELD_UP, "awaiting", "asks us to wait", SOON, None),
        (FILE, JUDGED, AROUND, "delivering", "delivered next", None, None),
        (replace(FILE, due=SOON, failures=1), JUDGED, AROUND, "delivering", "1 attempt to", SOON, "retry"),
        (FILE, JUDGED, AWAY, "delivering", "Stale file handle", None, None),
        (
            replace(FILE, analysis_id=None, refusal="too big"),
            None,
            AROUND,
            "delivering",
            "refused",
            None,
            None,
        ),
        (replace(FILE, state=FileState.GONE), JUDGED, AROUND, "gone", "no longer there", None, "put it back"),
        (replace(FILE, state=FileState.SUPERSEDED), JUDGED, AROUND, "superseded", "replaced", None, None),
        (
            replace(FILE, state=FileState.DELIVERED, outcome=Outcome.HUMAN, lies_at=b"human/x.jpg"),
            JUDGED,
            AROUND,
            "delivered",
            "put at human/x.jpg",
            None,
            None,
        ),
    ],
)
def test_each_row_is_explained(
    file: File,
    analysis: Analysis | None,
    around: Circumstances,
    state: str,
    says: str,
    until: datetime | None,
    remedy: str | None,
) -> None:
    """The state, what it waits for, until when, and what a person can do."""
    found = explaining.of_row(file, analysis, around)
    assert (state, until) == (found.state, found.until)
    assert says in found.says
    assert (remedy or "") in (found.remedy or "")


@pytest.mark.parametrize("state", AnalysisState)
def test_without_a_daemon_nothing_happens(state: AnalysisState) -> None:
    """Whatever a waiting file waits for, it is said that no daemon runs, and no instant is promised."""
    found = explaining.of_row(FILE, replace(AWAITING, state=state), replace(AROUND, is_running=False))
    assert found.until is None
    assert "no daemon runs, so nothing happens until one does" in found.notes


def test_doubt_is_said_of_a_file_whatever_its_state() -> None:
    """Its next upload is a resend."""
    found = explaining.of_row(FILE, replace(QUEUED, doubt=True), AROUND)
    assert any(note.startswith("doubt:") for note in found.notes)


@pytest.mark.parametrize(
    ("is_there", "says"),
    [(True, "It lies at /srv/x.jpg now."), (False, "left at /srv/x.jpg, and is not there any more")],
)
def test_a_delivered_file_names_its_verdict_and_what_a_look_found(*, is_there: bool, says: str) -> None:
    """Label and confidence are identifAI's, and nothing lies anywhere that was not seen there."""
    verdict = Verdict(classification=Label.HUMAN, confidence=0.97, heuristic="Majority")
    delivered = replace(FILE, state=FileState.DELIVERED, outcome=Outcome.HUMAN)
    around = replace(AROUND, lies_at="/srv/x.jpg", is_there=is_there)
    found = explaining.of_row(delivered, replace(JUDGED, verdict=verdict), around)
    assert "delivered as human (identifAI: human 0.97)" in found.says
    assert says in found.says


def test_the_reason_of_a_decision_is_said_once() -> None:
    """The outcome's reason holds it already."""
    decision = Decision(choice=Choice.HUMAN, reason="we know her", by="ann", at=NOW)
    delivered = replace(FILE, state=FileState.DELIVERED, outcome=Outcome.HUMAN, decision=decision)
    once = explaining.of_row(replace(delivered, reason="the desk: we know her"), JUDGED, AROUND)
    assert once.notes == ("the desk decided: human, by ann",)
    assert explaining.of_row(delivered, JUDGED, AROUND).notes == (
        "the desk decided: human (we know her), by ann",
    )


@pytest.mark.parametrize(
    ("rule", "remedy"),
    [
        ("HEIC is not taken by identifAI", 'convert it to JPEG, or set unsupported = "reject"'),
        ("WMA is not taken by identifAI", "convert it to MP3"),
        ("no media: text/plain", "nothing is to be done: it is no media"),
        ("it is empty", "nothing is to be done"),
        ("written by identifai-watch itself", "nothing is to be done: it is ours"),
        ("this folder's own destination: human", "nothing is to be done: it is ours"),
        (".identifai-ignore in kept: *.jpg", "change or remove .identifai-ignore in kept"),
        ("audio is not judged in this folder", "media of the folder"),
        ("smaller than min_bytes (1 of 2)", "lower min_bytes"),
        ("the folder is not recursive", "recursive = true"),
        ("exclude: private*", "change the rule or the name"),
        ("junk: Thumbs.db", "change the rule or the name"),
        ("its name begins with a dot", "change the rule or the name"),
    ],
)
def test_each_rule_has_its_own_remedy(rule: str, remedy: str) -> None:
    """To change a rule helps only where there is one that a person made."""
    assert remedy in (explaining.of_rule(rule).remedy or "")


@pytest.mark.parametrize("reason", PauseReason)
def test_every_pause_has_words_and_a_remedy(reason: PauseReason) -> None:
    """No pause is without them."""
    assert explaining.PAUSES[reason]
    assert explaining.REMEDIES[reason]


def looked(sample: settling.Sample, name: bytes = b"x.jpg", sniffed: str | None = "jpeg") -> Explanation:
    """Return what one look explains."""
    return explaining.of_look(name, sniffed, sample, RULES, SETTLING, AROUND)


JUST_NOW = int((NOW - timedelta(seconds=2)).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        (replace(WHOLE, writer=True), "somebody is writing to it"),
        (replace(WHOLE, shortfall="no moov", fingerprint=replace(SHAPE, mtime_ns=JUST_NOW)), "no moov"),
        (replace(WHOLE, fingerprint=replace(SHAPE, size=0, mtime_ns=JUST_NOW)), "it is empty"),
        (replace(WHOLE, fingerprint=replace(SHAPE, mtime_ns=JUST_NOW)), "it changed 2 s ago"),
    ],
)
def test_one_look_says_what_settling_would_wait_for(sample: settling.Sample, says: str) -> None:
    """A writer, a container that is not whole, an empty file, and a change that is too fresh."""
    found = looked(sample)
    assert found.state == "settling"
    assert says in found.says
    assert found.until is not None


def test_a_whole_file_is_told_what_becomes_of_it() -> None:
    """It is sent, rejected or left alone, as the media rules say."""
    assert "sent as image (image/jpeg)" in looked(WHOLE).says
    assert looked(WHOLE, b"x.heic", "heic").rule == "HEIC is not taken by identifAI"
    assert looked(WHOLE, b"x.txt", "text").state == "left alone"
