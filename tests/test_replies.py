"""What came back: whose matter it is, and what stands in a body that may be anything."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.core import sidecar
from identifai_watch.core.replies import (
    LONGEST_RETRY_AFTER,
    Failure,
    Matter,
    Response,
    complaint,
    elements,
    is_identifier,
    matter,
    one_line,
    reason,
    retry_after,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Matter.FINE), (201, Matter.FINE), (302, Matter.NETWORK), (400, Matter.REFUSED),
        (401, Matter.KEY), (402, Matter.PURSE), (403, Matter.FORBIDDEN), (404, Matter.NOWHERE),
        (405, Matter.NOWHERE), (407, Matter.NETWORK), (408, Matter.TROUBLE), (413, Matter.REFUSED),
        (414, Matter.REFUSED), (415, Matter.REFUSED), (422, Matter.REFUSED), (429, Matter.THROTTLE),
        (431, Matter.REFUSED), (500, Matter.TROUBLE), (501, Matter.TROUBLE), (502, Matter.NETWORK),
        (503, Matter.NETWORK), (504, Matter.NETWORK), (520, Matter.TROUBLE), (600, Matter.TROUBLE),
    ],
)  # fmt: skip
def test_each_status_is_somebodys_matter(status: int, expected: Matter) -> None:
    """The table is the one of docs/api-notes.md."""
    assert expected is matter(Response(status=status))


def test_the_documented_table_names_every_status_that_is_told_apart() -> None:
    """A status with a line of its own in the code has one in the notes."""
    from identifai_watch.core import replies  # noqa: PLC0415 - its private table is this test's alone

    notes = (Path(__file__).parent.parent / "docs" / "api-notes.md").read_text().partition("## Statuses")[2]
    assert [] == [status for status in replies._BY_STATUS if str(status) not in notes]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Failure(reason="x", sent=False, reached=False), Matter.NETWORK),
        (Failure(reason="x", sent=False, reached=True), Matter.TROUBLE),
        (Failure(reason="x", sent=True, reached=True), Matter.TROUBLE),
        (Failure(reason="x", sent=True, reached=True, ours=True), Matter.OURS),
        (Failure(reason="x", sent=False, reached=False, ours=True), Matter.OURS),
    ],
)
def test_no_answer_is_the_networks_unless_a_connection_stood(failure: Failure, expected: Matter) -> None:
    """What broke off may be this request's; what we ended is ours."""
    assert expected is matter(failure)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, timedelta(seconds=7)),
        ({"retry-after": " 1.5 "}, timedelta(seconds=1.5)),
        ({"retry-after": "-3"}, timedelta()),
        ({"retry-after": "999999999999"}, LONGEST_RETRY_AFTER),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, timedelta(seconds=30)),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 -0000"}, timedelta(seconds=30)),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, timedelta()),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:00 GMT"}, LONGEST_RETRY_AFTER),
        (
            {"retry-after": "Sat, 21 Nov 2026 09:00:20 GMT", "date": "Sat, 21 Nov 2026 09:00:00 GMT"},
            timedelta(seconds=20),
        ),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], expected: timedelta | None) -> None:
    """A date is relative to the answer's own Date where there is one; nothing is negative or over an hour."""
    assert expected == retry_after(headers, NOW)


@given(st.text(), st.text())
def test_no_header_raises(asked: str, date: str) -> None:
    """Whatever a proxy writes is a wait within bounds, or none."""
    wait = retry_after({"retry-after": asked, "date": date}, NOW)
    assert wait is None or timedelta() <= wait <= LONGEST_RETRY_AFTER


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": "Unauthorized"}', ("Unauthorized", ())),
        (b'{"message": "Too Many Attempts."}', ("Too Many Attempts.", ())),
        (
            b'{"audio": ["The audio field is required."]}',
            ("audio: The audio field is required.", ("audio",)),
        ),
        (b'{"message": "x", "errors": {"frames": ["No."]}}', ("frames: No.", ("frames",))),
        (b"<html>\n <h1>502</h1>", ("<html> <h1>502</h1>", ())),
        (b"\xff\x1b[2J", ("�\\x1b[2J", ())),
        (b"", ("", ())),
        (b'{"error": {"code": 7}}', ('{"error": {"code": 7}}', ())),
    ],
)
def test_an_errors_words_are_found(body: bytes, expected: tuple[str, tuple[str, ...]]) -> None:
    """In each documented shape, else the body itself, in one line without control characters."""
    assert expected == complaint(Response(status=400, body=body))


def test_a_reason_is_short_and_names_the_status() -> None:
    """The first 300 characters are kept; a redirect says where to."""
    assert "404" == reason(Response(status=404))
    assert len("502: ") + 300 == len(reason(Response(status=502, body=b"x" * 100_000)))
    moved = reason(Response(status=301, headers={"location": "https://elsewhere/\x1b"}))
    assert r"301: redirects to https://elsewhere/\x1b; is api.url right?" == moved


def test_each_element_keeps_its_own_bytes() -> None:
    """Numbers, order and escapes stay as the API wrote them."""
    first, second = '{"b": 1.50, "a": "\\u00e9"}', '{ "c":1e-05 }'
    found = elements(Response(status=200, body=f" [\n{first} ,{second}]\n".encode()))
    assert [({"b": 1.5, "a": "é"}, first.encode()), ({"c": 1e-05}, second.encode())] == found


@pytest.mark.parametrize(
    ("body", "count"),
    [(b"[]", 0), (b"{}", 1), (b'\xef\xbb\xbf[{"a": 1}]', 1), (b'[1, null, "x", {}]', 1)],
)
def test_an_array_or_one_object_is_taken_apart(body: bytes, count: int) -> None:
    """What is no object is passed over."""
    found = elements(Response(status=200, body=body))
    assert found is not None
    assert count == len(found)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"7", b"<html>", b'[{"a": 1}', b'[{"a"', b"[{}] {}", b"{} {}", b"[" * 100_000]
)
def test_what_is_neither_is_no_result(body: bytes) -> None:
    """Truncated, nested without end, or another thing altogether."""
    assert elements(Response(status=200, body=body)) is None


def test_what_is_no_json_is_read_as_null_and_kept_as_it_came() -> None:
    """NaN and Infinity would make a sidecar that strict readers refuse; the bytes are evidence."""
    body = b'{"a": NaN,  "b": -Infinity, "c": "NaN"}'
    [(element, raw)] = elements(Response(status=200, body=b"[ " + body + b"]")) or []
    assert {"a": None, "b": None, "c": "NaN"} == element == sidecar.response_of(raw)
    assert body == raw


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)), max_size=5))
def test_any_array_of_objects_comes_back_whole(listed: list[dict[str, object]]) -> None:
    """Elements and bytes agree with what was written."""
    written = [json.dumps(one).encode() for one in listed]
    found = elements(Response(status=200, body=b"[" + b", ".join(written) + b"]"))
    assert list(zip(listed, written, strict=True)) == found


@given(st.text())
def test_what_is_an_identifier_can_stand_in_an_address(value: str) -> None:
    """It is not empty, is printable, and has nothing that would end a path."""
    if is_identifier(value):
        assert value.isprintable()
        assert value.strip(".")
        assert not set(value) & set("/?# ")


@given(st.one_of(st.text(), st.none(), st.integers()))
def test_one_line_is_one_line(value: object) -> None:
    """At most 300 characters, all printable."""
    line = one_line(value)
    assert len(line) <= 300
    assert line == "" or line.isprintable()
