"""What answers mean: which event the row meets, and which the account."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core import answers
from identifai_watch.core.answers import Answer, AskCredits, Failure, Reading, Response
from identifai_watch.core.events import (
    AccountEvent,
    AnalysisEvent,
    Barred,
    Deferred,
    Errored,
    Healthy,
    Judged,
    Lost,
    Malformed,
    Mismatched,
    Overridden,
    Pending,
    Refused,
    Throttled,
    Unanswered,
    Unreachable,
    Unsent,
    Uploaded,
)
from identifai_watch.core.model import Label, Media, PauseReason

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SHA256 = bytes(range(32))
SAID = {"heuristic": "Majority", "confidence": 0.9, "classification": "human"}
PNG = b"\x89PNG\r\n\x1a\n" + b"..."

REFUSED_CONNECTION = Failure(reason="no connection", sent=False, reached=False)
CUT = Failure(reason="reset", sent=False, reached=True)
NO_ANSWER = Failure(reason="timed out", sent=True, reached=True)
CHANGED = Failure(reason="the file changed", sent=False, reached=True, ours=True)
STOPPED = Failure(reason="abandoned", sent=True, reached=True, ours=True)


def said(status: int, content: object = None, *, sent: bool = True, **headers: str) -> Response:
    """Build an answer: bytes as they are, all else as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=named, body=body, sent=sent)


# Submissions.


@pytest.mark.parametrize(
    "body",
    [b'{"identifier": "ab12"}', b'"ab12"', b"ab12", b" ab12\n", b'\xef\xbb\xbf{"identifier": " ab12 "}'],
)
def test_an_identifier_is_taken_in_each_form(body: bytes) -> None:
    """JSON, a quoted string, the bare text."""
    expected = Reading(event=Uploaded("ab12"), account=Healthy())
    assert expected == answers.upload(said(200, body), now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"", b'""', b"{}", b"null", b"true", b'{"identifier": null}', b'{"identifier": ""}', b"..",
        b'{"identifier": "a/b"}', b"<html>Welcome to the airport</html>", b'{"identifier": "a\\u0000"}',
        b'{"identif', b"[]", b"x" * 300,
    ],
)  # fmt: skip
def test_a_200_without_an_identifier_is_doubt(body: bytes) -> None:
    """It may have been taken, and paid for; the account is not called healthy for it."""
    reading = answers.upload(said(200, body), now=NOW)
    assert isinstance(reading, Reading)
    assert isinstance(reading.event, Deferred)
    assert reading.account is None


FORMAT = {"error": "The uploaded file format is not supported."}
SIZE = {"error": "The uploaded file exceeds the maximum allowed size of 50MB."}
FIELD = {"audio": ["The audio field is required."]}
OPTION = {"with_nsfw": ["The with nsfw field is prohibited."]}
PURSE = {"error": "Insufficient credits for an analysis of this size."}
BOTH = {"error": "end credits.mp4 exceeds the maximum allowed size"}
UNCLEAR = {"error": "Bad Request"}


@pytest.mark.parametrize(
    ("answer", "event", "account"),
    [
        (said(401, {"error": "Unauthorized"}), Unsent, Barred(PauseReason.KEY, "401: Unauthorized")),
        (said(402, {}), Unsent, Barred(PauseReason.CREDITS, "402: {}")),
        (said(403, {"error": "Forbidden"}), Unsent, Barred(PauseReason.TERMS, "403: Forbidden")),
        (said(429, {"message": "Too Many Attempts."}), Unsent, Throttled()),
        (said(429, {}, retry_after="9"), Unsent, Throttled(timedelta(seconds=9))),
        (said(400, FORMAT), Refused, Healthy()),
        (said(400, SIZE), Refused, Healthy()),
        (said(400, FIELD), Refused, Healthy()),
        (said(422, FIELD), Refused, Healthy()),
        (said(400, OPTION), Refused, Healthy()),
        (said(400, PURSE), Unsent, Barred(PauseReason.CREDITS, f"400: {PURSE['error']}")),
        (said(413, b"<html>Too Large</html>"), Refused, Healthy()),
        (said(413, b"<html>Too Large</html>", sent=False), Refused, Healthy()),
        (said(415, {}), Refused, Healthy()),
        (said(404, b"no"), Unsent, Unreachable("404: no; is api.url right?")),
        (said(408, b"slow"), Unsent, None),
        (said(302, b"", location="/login"), Unsent, Unreachable),
        (said(500, b"oops"), Deferred, None),
        (said(500, b"oops", sent=False), Unsent, None),
        (said(502, b"<html>"), Deferred, Unreachable("502: <html>")),
        (said(503, b"", retry_after="5"), Deferred, Unreachable("503", timedelta(seconds=5))),
        (said(504, b"", sent=False), Unsent, Unreachable("504")),
        (REFUSED_CONNECTION, Unsent, Unreachable("no connection")),
        (CUT, Unsent, None),
        (NO_ANSWER, Deferred, None),
        (CHANGED, Unsent, None),
        (STOPPED, Deferred, None),
    ],
)
def test_each_answer_to_a_submission_is_somebodys_matter(
    answer: Answer, event: type[AnalysisEvent], account: AccountEvent | type | None
) -> None:
    """Whose matter is it, as a table: what the row meets, what the account meets."""
    reading = answers.upload(answer, now=NOW)
    assert isinstance(reading, Reading)
    assert event is type(reading.event)
    if isinstance(account, type):
        assert account is type(reading.account)
    else:
        assert account == reading.account


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (said(500, b""), True), (said(408, b""), True), (CUT, True), (NO_ANSWER, True),
        (said(401, b""), False), (said(403, b""), False), (said(429, b""), False), (said(502, b""), False),
        (said(404, b""), False), (REFUSED_CONNECTION, False), (CHANGED, False), (STOPPED, False),
    ],
)  # fmt: skip
def test_only_what_may_be_the_rows_own_fault_counts(answer: Answer, *, expected: bool) -> None:
    """The account, the network and our own cuts are not held against the row."""
    reading = answers.upload(answer, now=NOW)
    assert isinstance(reading, Reading)
    assert isinstance(reading.event, Unsent | Deferred)
    assert expected is reading.event.counts


@pytest.mark.parametrize("content", [UNCLEAR, BOTH, {}, b"<html>400</html>"])
@pytest.mark.parametrize(("available", "event"), [(12.0, Refused), (0.0, Unsent), (-1.0, Unsent)])
def test_an_unclear_400_is_settled_by_the_credits(content: object, available: float, event: type) -> None:
    """Nothing left means the account; else it is the file, for it is never repeated without end."""
    first = answers.upload(said(400, content), now=NOW)
    assert isinstance(first, AskCredits)
    assert Unsent is type(first.otherwise.event)
    second = answers.upload(said(400, content), now=NOW, credits=available)
    assert isinstance(second, Reading)
    assert event is type(second.event)
    assert (Barred if event is Unsent else Healthy) is type(second.account)


def test_a_refused_option_is_named_as_the_folders() -> None:
    """The reason tells which option to change; the file's own field does not."""
    of_option = answers.upload(said(400, OPTION), now=NOW)
    of_file = answers.upload(said(400, FIELD), now=NOW)
    assert isinstance(of_option, Reading)
    assert isinstance(of_file, Reading)
    assert "an option of the folder, not the file: with_nsfw" in of_option.event.reason  # type: ignore[union-attr]  # a Refused has one
    assert Refused("400: audio: The audio field is required.") == of_file.event


# Results.


def element(**changes: Any) -> dict[str, Any]:
    """Build a result that is done, about our content."""
    return {
        "identifier": "id-1",
        "hash": SHA256.hex(),
        "status": "done",
        "errors": None,
        "verdict": SAID,
    } | changes


def without(*names: str, **changes: Any) -> dict[str, Any]:
    """Build a result that lacks some fields."""
    return {name: value for name, value in element(**changes).items() if name not in names}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (element(), Judged),
        (element(status="Done "), Judged),
        (element(hash=SHA256.hex().upper()), Judged),
        (without("hash"), Judged),
        (element(hash=None), Judged),
        (without("status"), Judged),
        (without("status", "verdict"), Pending),
        (element(status=None), Judged),
        (element(status="new"), Pending),
        (element(status="inprogress"), Pending),
        (element(status=7), Pending),
        (element(status="new", hash="00"), Pending),
        (element(status="errored"), Errored),
        (element(status="errored", hash="00"), Mismatched),
        (element(hash="00"), Mismatched),
        (without("verdict"), Malformed),
        (element(verdict={"classification": "human"}), Malformed),
        (element(identifier=None), Unanswered),
        ([element()], Judged),
        ([], Unanswered),
        ([element(), element()], Unanswered),
        (element(identifier="id-2"), Unanswered),
        (without("identifier"), Judged),
        (b"<html>", Unanswered),
        (b'{"identifier": "id-1", "stat', Unanswered),
    ],
)
def test_each_result_is_one_event(content: object, expected: type[AnalysisEvent]) -> None:
    """The status is obeyed, the hash compared once it has ended, and what cannot be read is no answer."""
    read = answers.result(said(200, content), media=Media.IMAGE, identifier="id-1", sha256=SHA256, now=NOW)
    assert expected is type(read.events["id-1"])
    assert () == read.missing
    assert (None if expected is Unanswered else Healthy()) == read.account


def test_a_judgement_keeps_the_apis_own_bytes() -> None:
    """The raw element is the answer's, byte for byte."""
    raw = b'{"verdict":{"classification":"human","confidence":0.90,"heuristic":"M"}, "zz": 1.0}'
    body = b"[" + raw[:-1] + b', "identifier": "id-1"}]'
    read = answers.results(
        said(200, body), media=Media.IMAGE, asked=["id-1"], hashes={"id-1": SHA256}, now=NOW
    )
    event = read.events["id-1"]
    assert isinstance(event, Judged)
    assert body[1:-1] == event.raw
    assert 0.9 == event.verdict.confidence


def test_reasons_say_what_happened() -> None:
    """An error's text or that there is none; both hashes of a mismatch; what stood there in place of a verdict."""

    def reason(**changes: Any) -> str:
        content = said(200, element(**changes))
        read = answers.result(content, media=Media.IMAGE, identifier="id-1", sha256=SHA256, now=NOW)
        return read.events["id-1"].reason  # type: ignore[union-attr]  # these events have one

    assert "too dark" == reason(status="errored", errors="too\ndark")
    assert "identifAI gave up and gave no reason" == reason(status="errored")
    assert f"judged {'0' * 64}, but ours is {SHA256.hex()}" == reason(hash="0" * 64)
    assert reason(verdict=None).startswith('done, but no verdict can be read: {"identifier"')


def test_a_batch_is_matched_by_identifier_alone() -> None:
    """Whatever the order; strangers are passed over, what is missing is named, the first of two counts."""
    content = [
        element(identifier="c", status="new"),
        element(identifier="x"),
        element(identifier="a"),
        element(identifier="a", status="errored"),
        element(identifier=["b"]),
        "b",
    ]
    read = answers.results(
        said(200, content),
        media=Media.IMAGE,
        asked=["a", "b", "c"],
        hashes=dict.fromkeys("abc", SHA256),
        now=NOW,
    )
    assert {"a": Judged, "c": Pending} == {name: type(event) for name, event in read.events.items()}
    assert ("b",) == read.missing
    assert not read.split
    assert not read.ask_account


def test_an_unknown_status_is_handed_on_for_the_log() -> None:
    """Only those that nobody documented."""
    content = [element(identifier="a", status="inprogress"), element(identifier="b", status="new")]
    read = answers.results(
        said(200, content), media=Media.IMAGE, asked=["a", "b"], hashes=dict.fromkeys("ab", SHA256), now=NOW
    )
    assert frozenset({"inprogress"}) == read.unknown_statuses


@pytest.mark.parametrize("status", [400, 403, 404, 413, 414, 422, 431])
def test_a_refused_batch_is_split_and_a_refused_one_asks_for_the_account(status: int) -> None:
    """Halves until one is left; that one is lost if the account is answered."""
    many = answers.results(said(status, b""), media=Media.IMAGE, asked=["a", "b"], hashes={}, now=NOW)
    one = answers.results(said(status, b""), media=Media.IMAGE, asked=["a"], hashes={}, now=NOW)
    assert (True, False, {}, None) == (many.split, many.ask_account, many.events, many.account)
    assert (False, True, {}, None) == (one.split, one.ask_account, one.events, one.account)
    assert Lost(f"identifAI no longer knows a ({status})") == answers.lost("a", one.refusal)


@pytest.mark.parametrize(
    ("answer", "account", "counts"),
    [
        (said(401, b""), Barred(PauseReason.KEY, "401"), False),
        (said(402, b""), Barred(PauseReason.CREDITS, "402"), False),
        (said(429, b"", retry_after="3"), Throttled(timedelta(seconds=3)), False),
        (said(503, b""), Unreachable("503"), False),
        (said(302, b""), Unreachable("302"), False),
        (REFUSED_CONNECTION, Unreachable("no connection"), False),
        (said(500, b""), None, True),
        (said(200, b"<html>"), None, True),
        (NO_ANSWER, None, True),
        (STOPPED, None, False),
    ],
)
def test_a_poll_without_an_answer_is_nobodys_verdict(
    answer: Answer, account: AccountEvent | None, *, counts: bool
) -> None:
    """Each row asked for is unanswered; one asked for alone is held responsible, for a batch everybody waits."""
    one = answers.results(answer, media=Media.AUDIO, asked=["a"], hashes={}, now=NOW)
    many = answers.results(answer, media=Media.AUDIO, asked=["a", "b"], hashes={}, now=NOW)
    assert account == one.account
    assert (Unreachable(one.events["a"].reason) if counts else account) == many.account  # type: ignore[union-attr]  # an Unanswered has one
    assert [counts] == [event.counts for event in one.events.values() if isinstance(event, Unanswered)]
    assert [False, False] == [event.counts for event in many.events.values() if isinstance(event, Unanswered)]


# Heatmaps, credits, overrides.


@pytest.mark.parametrize(
    ("answer", "png", "again", "account"),
    [
        (said(200, PNG), PNG, False, Healthy()),
        (said(200, b"<html>"), None, False, None),
        (said(403, b""), None, False, None),
        (said(404, b""), None, False, None),
        (said(429, b""), None, True, Throttled()),
        (said(500, b""), None, True, None),
        (said(401, b""), None, True, Barred(PauseReason.KEY, "401")),
        (REFUSED_CONNECTION, None, True, Unreachable("no connection")),
    ],
)
def test_a_heatmap_is_a_png_or_a_reason(
    answer: Answer, png: bytes | None, account: AccountEvent | None, *, again: bool
) -> None:
    """What cannot be had is not asked for again; a 403 is not the account's, for the verdict was readable."""
    read = answers.heatmap(answer, now=NOW)
    assert (png, again, account) == (read.png, read.again, read.account)
    assert (read.why is None) is (png is not None)


@pytest.mark.parametrize(
    ("answer", "available", "account"),
    [
        (said(200, {"available_credits": 159, "total_spent": 41}), 159.0, Healthy()),
        (said(200, {"available_credits": "0.5"}), 0.5, Healthy()),
        (said(200, {"available_credits": None}), None, None),
        (said(200, b"<html>"), None, None),
        (said(403, b""), None, Barred(PauseReason.TERMS, "403")),
        (said(401, b""), None, Barred(PauseReason.KEY, "401")),
        (said(404, b""), None, None),
        (said(503, b""), None, Unreachable("503")),
        (NO_ANSWER, None, None),
    ],
)
def test_credits_are_a_number_or_a_reason(
    answer: Answer, available: float | None, account: AccountEvent | None
) -> None:
    """Here a 403 is the account's own."""
    read = answers.credits(answer, now=NOW)
    assert (available, account) == (read.available, read.account)
    assert (read.why is None) is (available is not None)


@pytest.mark.parametrize(
    ("answer", "event", "account"),
    [
        (said(200, {"classification": "human", "type": "image"}), Overridden(Label.HUMAN), Healthy()),
        (said(200, {"classification": "artificial"}), Overridden(Label.ARTIFICIAL), Healthy()),
        (said(200, b""), Overridden(Label.HUMAN), Healthy()),
        (said(403, {"error": "Forbidden"}), Refused("403: Forbidden"), None),
        (said(404, b""), Refused("404"), None),
        (said(400, b""), Refused("400"), None),
        (said(401, b""), Unanswered("401", counts=False), Barred(PauseReason.KEY, "401")),
        (said(429, b""), Unanswered("429", counts=False), Throttled()),
        (said(500, b""), Unanswered("500"), None),
        (REFUSED_CONNECTION, Unanswered("no connection", counts=False), Unreachable("no connection")),
    ],
)
def test_an_override_is_carried_out_refused_or_later(
    answer: Answer, event: AnalysisEvent, account: AccountEvent | None
) -> None:
    """It can be repeated safely, and its refusal never pauses the account."""
    assert Reading(event=event, account=account) == answers.override(answer, asked=Label.HUMAN, now=NOW)


# Whatever comes.

ANSWERS = st.builds(
    Response,
    status=st.integers(100, 999),
    headers=st.dictionaries(st.sampled_from(["retry-after", "date", "location"]), st.text()),
    body=st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.text() | st.just("id-1") | st.just("done"),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["identifier", "status", "verdict", "error", "errors", "hash", "image"]),
                inner,
            )
        ),
        max_leaves=12,
    ).map(lambda content: json.dumps(content).encode()),
    sent=st.booleans(),
) | st.builds(Failure, reason=st.text(), sent=st.booleans(), reached=st.booleans(), ours=st.booleans())


@given(ANSWERS, st.none() | st.floats(allow_nan=False))
def test_no_answer_to_a_submission_raises_or_is_forgotten(answer: Answer, available: float | None) -> None:
    """Every answer leaves the row somewhere, and only an identifier makes it uploaded."""
    reading = answers.upload(answer, now=NOW, credits=available)
    if isinstance(reading, AskCredits):
        assert available is None
        reading = reading.otherwise
    assert isinstance(reading.event, Uploaded | Unsent | Deferred | Refused)


@given(answer=ANSWERS.filter(lambda one: not one.sent))
def test_what_was_not_sent_is_never_doubt(answer: Answer) -> None:
    """Cut before the closing boundary: nothing was paid for by this attempt."""
    reading = answers.upload(answer, now=NOW, credits=1)
    assert isinstance(reading, Reading)
    assert not isinstance(reading.event, Deferred)


@given(ANSWERS, st.lists(st.sampled_from(["id-1", "id-2", "id-3"]), min_size=1, unique=True))
def test_each_identifier_asked_for_is_accounted_for_once(answer: Answer, asked: list[str]) -> None:
    """It has an event, or is missing, or the whole is to be asked otherwise."""
    hashes = dict.fromkeys(asked, SHA256)
    read = answers.results(answer, media=Media.VIDEO, asked=asked, hashes=hashes, now=NOW)
    if read.split or read.ask_account:
        assert ({}, ()) == (read.events, read.missing)
        assert read.split is (len(asked) > 1)
    else:
        assert sorted(asked) == sorted([*read.events, *read.missing])


@given(ANSWERS)
def test_no_other_answer_raises(answer: Answer) -> None:
    """Heatmaps, credits and overrides are read whatever comes."""
    assert answers.heatmap(answer, now=NOW).png is None
    answers.credits(answer, now=NOW)
    assert answers.override(answer, asked=Label.HUMAN, now=NOW).event is not None
