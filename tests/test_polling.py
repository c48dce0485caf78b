"""Which identifiers are asked for, and when."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.newsroom import Content, Rows, Seen
from identifai_watch.core import gate, polling
from identifai_watch.core.gate import Limits
from identifai_watch.core.model import Analysis, AnalysisState, Media
from identifai_watch.core.polling import AT_ONCE, GUESS, Learnt, Outlook, Turn

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
AGES = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=2))
WINDOWS = Limits().windows("GET")


def awaiting(
    submitted_at: datetime | None = NOW, *, number: int = 1, size: int = 10, due: datetime | None = NOW
) -> Analysis:
    """Build an analysis that is awaited."""
    return Analysis(
        id=number,
        sha256=b"\x01" * 32,
        media=Media.IMAGE,
        mime="image/jpeg",
        options="{}",
        size=size,
        noticed_at=NOW,
        state=AnalysisState.AWAITING,
        identifier="id-1",
        submitted_at=submitted_at,
        due=due,
    )


def between(early: float, late: float) -> Learnt:
    """Return that the verdicts of images come at these ages, in seconds."""
    return {(Media.IMAGE, None): Outlook(early=early * SECOND, late=late * SECOND)}


@st.composite
def outlooks(draw: st.DrawFn) -> Learnt:
    """Return something that may have been learnt, or nothing."""
    early = draw(st.timedeltas(min_value=timedelta(0), max_value=timedelta(hours=3)))
    more = draw(st.timedeltas(min_value=timedelta(0), max_value=timedelta(hours=3)))
    return draw(st.sampled_from([{}, {(Media.IMAGE, None): Outlook(early=early, late=early + more)}]))


# What is learnt.


@pytest.mark.parametrize("media", Media)
def test_every_kind_has_a_first_guess(media: Media) -> None:
    """Before its first verdict a kind is expected to take what is guessed of it."""
    row = replace(awaiting(), media=media)
    assert GUESS[media] == polling.outlook({}, row)
    assert {} == polling.learn(media, [])


def test_a_size_is_known_by_its_own_verdicts_once_there_are_some() -> None:
    """Sizes go by powers of ten; one of which there are few verdicts is taken as its kind."""
    took = [(5_000, 2 * SECOND)] * polling.FEWEST + [(50_000, 60 * SECOND)]
    learnt = polling.learn(Media.IMAGE, took)
    own = Outlook(early=2 * SECOND * polling.EAGERNESS, late=2 * SECOND)
    of_kind = Outlook(early=2 * SECOND * polling.EAGERNESS, late=60 * SECOND)
    assert {(Media.IMAGE, 3): own, (Media.IMAGE, None): of_kind} == learnt
    assert own == polling.outlook(learnt, awaiting(size=9_999))
    assert of_kind == polling.outlook(learnt, awaiting(size=10_000))
    assert GUESS[Media.VIDEO] == polling.outlook(learnt, replace(awaiting(), media=Media.VIDEO))


def test_a_few_strange_durations_are_left_out() -> None:
    """One in twenty at either end may be a cached answer, or one that was asked for after a night without a daemon."""
    usual = [(10, second * SECOND) for second in range(10, 46)]
    strange = [(10, timedelta(0))] * 2 + [(10, timedelta(hours=9))] * 2
    (found,) = {polling.learn(Media.IMAGE, [*strange, *usual])[key] for key in [(Media.IMAGE, 1)]}
    assert Outlook(early=10 * SECOND * polling.EAGERNESS, late=45 * SECOND) == found


def test_only_the_latest_verdicts_count() -> None:
    """An API that has become ten times faster, or slower, is known as such after forty verdicts."""
    latest = [(10, 3 * SECOND)] * polling.LATEST
    assert polling.learn(Media.IMAGE, latest) == polling.learn(Media.IMAGE, [*latest, (10, 30 * SECOND)])


# When an identifier is asked for.


@pytest.mark.parametrize(
    ("asked_at", "expected"),
    [
        (0, 2),  # long before it is expected: a look
        (2, 4),
        (3, 4),
        (7.9, 8.275),  # no two looks in one moment
        (17, 40),  # the next one would be too near to when it is expected: then
        (39.9, 40.275),
        (40, 40.75),  # expected: about once a second
        (50, 50.75),
        (51, 51.75),  # just overdue
        (66, 70),  # a quarter of 16 s overdue
        (290, 350),  # a quarter of 240 s overdue is the most
        (7200, 7260),
    ],
)
def test_patience_grows_with_what_is_overdue(asked_at: float, expected: float) -> None:
    """A few looks at doubling ages, then closely while a verdict is expected, then by a quarter of the delay."""
    found = polling.next_ask(awaiting(), NOW + asked_at * SECOND, between(40, 50))
    assert NOW + expected * SECOND == found


@pytest.mark.parametrize(("late", "gap"), [(10, 0.75), (32, 1.1), (300, 1.25)])
def test_verdicts_that_are_wide_apart_are_asked_for_a_little_less_closely(late: float, gap: float) -> None:
    """While a verdict is expected, questions are 0.75 to 1.25 s apart."""
    assert NOW + (10 + gap) * SECOND == polling.next_ask(awaiting(), NOW + 10 * SECOND, between(10, late))


@given(age=AGES, learnt=outlooks())
def test_the_next_question_is_never_now_and_never_far(age: timedelta, learnt: Learnt) -> None:
    """No row is asked for in a tight loop, and none rests for longer than ten minutes."""
    now = NOW + age
    found = polling.next_ask(awaiting(), now, learnt)
    assert now + polling.LEAST / 2 <= found <= now + polling.FURTHEST


@given(
    takes=st.timedeltas(min_value=timedelta(0), max_value=timedelta(minutes=20)),
    learnt=outlooks(),
)
def test_no_estimate_blinds(takes: timedelta, learnt: Learnt) -> None:
    """Whatever was learnt, a verdict is found at four times its age at the latest, or within a minute when overdue."""
    now = NOW
    while now - NOW < takes or now == NOW:
        now = polling.next_ask(awaiting(), now, learnt)
    assert now - NOW <= max(takes * 4, 2 * SECOND)
    if takes >= polling.outlook(learnt, awaiting()).early:
        assert now - NOW <= takes + polling.MOST


@given(learnt=outlooks())
def test_an_hour_of_waiting_beyond_what_was_expected_takes_few_questions(learnt: Learnt) -> None:
    """What is overdue is asked for once a minute in the end."""
    late = polling.outlook(learnt, awaiting()).late
    now, asked = NOW + late, 0
    while now < NOW + late + timedelta(hours=1):
        now = polling.next_ask(awaiting(), now, learnt)
        asked += 1
    assert asked <= 90


def test_a_row_without_an_instant_of_submission_is_as_old_as_it_was_noticed() -> None:
    """A row that was rebuilt from a sidecar does not say when it was sent."""
    later = NOW + 12 * SECOND
    assert polling.next_ask(awaiting(), later, {}) == polling.next_ask(awaiting(None), later, {})


# What a full GET without a verdict says of the rest.


def test_what_was_sent_later_is_presumed_to_be_pending_too() -> None:
    """It waits for the next question to those that were asked for, and comes before them then."""
    batch = [awaiting(number=1), awaiting(NOW + SECOND, number=2)]
    rest = [awaiting(NOW + second * SECOND, number=3 + second) for second in (0, 1, 2)]
    now = NOW + 20 * SECOND
    found = polling.presumed(batch, {1, 2}, rest, now, {})
    again = min(polling.next_ask(row, now, {}) for row in batch)
    assert {4: again - timedelta(milliseconds=1), 5: again - timedelta(milliseconds=1)} == found


def test_a_verdict_of_one_size_speaks_for_that_size() -> None:
    """Where something came, the rest of that size is asked for at once; the other sizes wait."""
    batch = [awaiting(number=1), awaiting(number=2, size=1_000)]
    rest = [awaiting(number=3), awaiting(number=4, size=1_000), awaiting(number=5, size=10**6)]
    assert {4} == polling.presumed(batch, {2}, rest, NOW + 20 * SECOND, {}).keys()


def test_what_is_expected_waits_for_no_straggler() -> None:
    """An old one that is asked for once a minute does not put off what may be done any moment."""
    now = NOW + 3600 * SECOND
    fresh = awaiting(now - 45 * SECOND, number=2, due=now - SECOND)
    found = polling.presumed([awaiting()], {1}, [fresh], now, between(40, 50))
    assert now + 0.75 * SECOND - timedelta(milliseconds=1) == found[2]


def test_what_is_due_later_stays_so() -> None:
    """Nothing is asked for earlier for being presumed to be pending."""
    rest = awaiting(number=2, due=NOW + MINUTE)
    assert {} == polling.presumed([awaiting()], {1}, [rest], NOW + 5 * SECOND, {})
    assert {} == polling.presumed([awaiting()], {1}, [replace(rest, due=None)], NOW + 5 * SECOND, {})


# Whose turn it is, and when it may go.


def test_nothing_due_is_nobodys_turn() -> None:
    """A kind without anything due wants no GET."""
    assert polling.whose([Turn(what="image", due=0)], NOW) is None


def test_what_was_never_asked_for_goes_first() -> None:
    """After a start each kind is asked for once, the one with most to bring first."""
    fresh = [Turn(what="audio", due=1), Turn(what="video", due=2)]
    asked = Turn(what="image", due=40, asked_at=NOW - SECOND)
    assert "video" == getattr(polling.whose([*fresh, asked], NOW), "what", None)


@given(dues=st.lists(st.integers(min_value=1, max_value=AT_ONCE), min_size=2, max_size=4))
def test_nothing_starves(dues: list[int]) -> None:
    """However many one kind has due, another has its turn within eight of the others', and the heatmaps likewise."""
    asked: dict[str, datetime] = {}
    for step in range(200):
        now = NOW + step * SECOND
        turns = [Turn(what=f"{n}", due=due, asked_at=asked.get(f"{n}")) for n, due in enumerate(dues)]
        chosen = polling.whose(turns, now)
        assert chosen is not None
        asked[chosen.what] = now
        if step > 30:
            assert all(now - at <= 8 * len(dues) * SECOND for at in asked.values())
    assert len(dues) == len(asked)


def opened(rich: range, *, limits: Limits, seconds: float) -> list[datetime]:
    """Make GETs as soon as they may go; those of the numbers ``rich`` are sure to bring many."""
    sent: list[datetime] = []
    windows = limits.windows("GET")
    now = NOW
    while now < NOW + seconds * SECOND:
        many = len(sent) in rich
        turn = Turn(
            what="image", due=50 if many else 5, asked_at=sent[-1] if sent else None, yielded=float(many)
        )
        now = max(now, polling.opening(turn, sent, windows, now))
        now = max(now, polling.opening(turn, sent, windows, now))
        assert gate.next_instant(sent, windows, now) == now
        sent.append(now)
    return sent


def longest(sent: Sequence[datetime]) -> timedelta:
    """Return the longest pause between two requests."""
    return max(after - before for before, after in pairwise(sent))


@pytest.mark.parametrize("first", [0, 3, 30, 55])
def test_a_minutes_requests_are_never_used_up(first: int) -> None:
    """Who asks all the time asks about once a second all the time; twenty that go at once cost little of that."""
    assert longest(opened(range(0), limits=Limits(), seconds=300)) < 1.2 * SECOND
    assert longest(opened(range(first, first + 20), limits=Limits(), seconds=300)) < 4 * SECOND


def test_few_requests_go_at_once() -> None:
    """What comes after a quiet minute is asked for as closely as the windows and its kind allow."""
    sent = opened(range(0), limits=Limits(), seconds=3)
    assert 5 <= len(sent)
    assert longest(sent) < 0.7 * SECOND


def test_a_get_that_brings_many_goes_as_fast_as_the_windows_let_it() -> None:
    """Fifty a GET, two GETs a second: a thousand verdicts are there in ten seconds."""
    sent = opened(range(20), limits=Limits(), seconds=11)
    assert sent[19] - NOW < 10 * SECOND


def test_without_limits_few_wait_for_more() -> None:
    """A kind of which a GET could take more is asked for at most about three times a second."""
    free = Limits(gets_per_second=0, gets_per_minute=0)
    assert polling.LEAST / 2 == longest(opened(range(0), limits=free, seconds=9))


# All of it together, on a virtual clock.


def thousand(takes: float, *, learnt: bool, spread: float = 0.0) -> Seen:
    """Have a thousand images sent within ``spread`` seconds, which all take as long."""
    contents = [
        Content(at=NOW + n * spread / 1000 * SECOND, media=Media.IMAGE, size=10**6, takes=takes * SECOND)
        for n in range(1000)
    ]
    took = [(10**6, (takes + 0.3 * (n % 3)) * SECOND) for n in range(40)] if learnt else []
    return Rows(contents, limits=Limits(posts_per_second=0, posts_per_minute=0), learnt=took).run()


@pytest.mark.parametrize("learnt", [False, True])
@pytest.mark.parametrize("takes", [0.2, 3, 30, 120])
def test_a_thousand_at_once_cost_few_questions(takes: float, *, learnt: bool) -> None:
    """At most one GET for twenty verdicts, whether it was known how long they take or not."""
    seen = thousand(takes, learnt=learnt)
    assert 1000 == len(seen.waits)
    assert seen.gets <= 50


@pytest.mark.parametrize(("before", "after"), [(30, 3), (3, 30)])
def test_an_api_that_changes_its_pace_is_followed(before: float, after: float) -> None:
    """Ten times faster or slower: the first verdicts come at most twice as late, and soon none does."""
    contents = [
        Content(at=NOW + n * 90 * SECOND, media=Media.IMAGE, size=10**6, takes=after * SECOND)
        for n in range(polling.LATEST)
    ]
    seen = Rows(contents, limits=Limits(), learnt=[(10**6, before * SECOND)] * polling.LATEST).run()
    assert max(seen.waits) <= max(after, 2)
    assert max(seen.waits[-10:]) <= 1.5
