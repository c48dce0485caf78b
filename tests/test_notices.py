"""Each outcome is told by itself, or in a digest where there are too many: never lost, never twice."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core import notices
from identifai_watch.core.model import Media, Outcome
from identifai_watch.core.notices import NAMED, Digest, Flow, Kind, News
from identifai_watch.notify import signing_key
from identifai_watch.notify.webhook import signature

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def news(number: int, outcome: Outcome = Outcome.ARTIFICIAL) -> list[News]:
    """Return so many files that are news."""
    return [
        News(folder="drop", path=f"{one}.jpg", shown_at=f"/drop/{one}.jpg", outcome=outcome)
        for one in range(number)
    ]


def test_more_than_so_many_in_a_minute_are_told_together() -> None:
    """The first are told by themselves; the rest is told when a minute is over, and then it begins anew."""
    flow, alone = notices.take(Flow(), news(5), NOW, above=3)
    assert 3 == alone
    assert (flow, None) == notices.close(flow, NOW + MINUTE / 2, above=3)
    flow, told = notices.take(flow, news(1, Outcome.UNCERTAIN), NOW + MINUTE / 2, above=3)
    assert 0 == told
    assert NOW + MINUTE == flow.due
    flow, digest = notices.close(flow, NOW + MINUTE, above=3)
    assert digest is not None
    assert {Outcome.ARTIFICIAL: 2, Outcome.UNCERTAIN: 1} == digest.outcomes
    assert (Flow(), None) == (flow, flow.due)


def test_while_a_flood_lasts_there_are_digests_alone() -> None:
    """After a digest of more than so many files the next one begins at once; one that stays empty is not told."""
    flow, _ = notices.take(Flow(), news(9), NOW, above=3)
    flow, digest = notices.close(flow, NOW + MINUTE, above=3)
    assert digest is not None
    flow, alone = notices.take(flow, news(1), NOW + MINUTE, above=3)
    assert 0 == alone
    flow, digest = notices.close(flow, NOW + 2 * MINUTE, above=3)
    assert digest is not None
    assert (1, Flow()) == (digest.number, flow)
    flow, _ = notices.take(Flow(), news(9), NOW, above=3)
    flow, _ = notices.close(flow, NOW + MINUTE, above=3)
    assert (Flow(), None) == notices.close(flow, NOW + 2 * MINUTE, above=3)


def test_without_a_number_there_is_a_digest_only_where_too_many_wait() -> None:
    """0 is any number; who does not take what waits gets the rest in digests."""
    assert (Flow(), 50) == notices.take(Flow(), news(50), NOW, above=0)
    flow, alone = notices.take(Flow(), news(50), NOW, above=0, is_crowded=True)
    assert 0 == alone
    assert flow.digest is not None
    assert 50 == flow.digest.number


def test_a_clock_that_is_set_back_holds_no_digest() -> None:
    """What would be due only hours later is told at once."""
    flow, _ = notices.take(Flow(), news(5), NOW, above=3)
    _, digest = notices.close(flow, NOW - timedelta(hours=3), above=3)
    assert digest is not None


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 8), st.booleans()), max_size=30),
    st.integers(0, 5),
)
def test_everything_is_told_once(story: list[tuple[int, int, bool]], above: int) -> None:
    """Whenever how many files come, and however often it is kept and read again: each is told, by itself or in one digest."""
    flow, now, came, alone_at, digested = Flow(), NOW, 0, list[datetime](), 0
    for seconds, number, is_crowded in [*story, (61, 0, False), (61, 0, False)]:
        now += timedelta(seconds=seconds)
        flow = notices.flow_of(notices.flow_text(flow))
        flow, digest = notices.close(flow, now, above=above)
        digested += 0 if digest is None else digest.number
        flow, alone = notices.take(flow, news(number), now, above=above, is_crowded=is_crowded)
        came += number
        alone_at += [now] * alone
    assert came == len(alone_at) + digested
    if above:
        assert all(sum(at - MINUTE < one <= at for one in alone_at) <= above for at in alone_at)


def test_a_digest_names_the_first_files() -> None:
    """It counts all of them, and names no more than a few."""
    flow, _ = notices.take(Flow(), news(NAMED + 5), NOW, above=0, is_crowded=True)
    assert flow.digest is not None
    notice = notices.of_digest(flow.digest, NOW + MINUTE)
    assert f"{NAMED + 5} files: {NAMED + 5} artificial" == notice.title
    assert "and 5 more" == notice.text.splitlines()[-1]
    assert NAMED == len(notice.fields["files"])
    assert (NAMED + 5, {"drop": NAMED + 5}) == (notice.fields["number"], notice.fields["folders"])
    assert notices.flow_of(notices.flow_text(flow)) == flow
    assert Digest(since=NOW).number == 0


def test_an_outcome_never_says_what_somebody_is() -> None:
    """A notice says what was found, where, and how sure that is."""
    one = News(
        folder="drop",
        path="a.jpg",
        shown_at="smb://nas/drop/a.jpg",
        outcome=Outcome.HUMAN,
        confidence=0.934,
        media=Media.IMAGE,
        reason="decided by anna",
    )
    notice = notices.of_outcome(one, {"outcome": "human"})
    assert "No signs of generation found: smb://nas/drop/a.jpg" == notice.title
    assert "confidence 0.93, image, folder drop\ndecided by anna" == notice.text
    assert set(Outcome) == set(notices.WORDS)
    made = notices.document(notice, uid="u1", now=NOW, host="here")
    assert ("u1", Kind.OUTCOME, "here") == (made["id"], made["kind"], made["host"])
    assert {"outcome": "human"} == made["sidecar"]


def test_channels_that_are_configured_no_more_are_told_nothing() -> None:
    """Of those that cannot be read now nobody knows, and they are kept."""
    known = ["apprise:1", "command", "webhook"]
    assert ["apprise:1", "webhook"] == notices.unwanted(known, ["command"], unsure=[])
    assert ["webhook"] == notices.unwanted(known, ["command"], unsure=["apprise:"])


def test_the_signature_is_that_of_the_standard() -> None:
    """The published example of standardwebhooks.com is signed as it says there."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)
    found = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')
    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == found


def test_a_secret_is_text_or_base64() -> None:
    """What follows the prefix of the standard is base64, anything else is taken as it is."""
    assert b"tea and cake" == signing_key("tea and cake")
    with pytest.raises(ValueError, match="holds no base64 after whsec_"):
        signing_key("whsec_no?")
