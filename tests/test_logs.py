"""The log: what is in a line, and what never is."""

import io
import json
import logging
import os
import re
import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identifai_watch import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave structlog and logging as they were found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def to(
    stream: io.StringIO,
    *,
    terminal: bool = False,
    secret: str = "",
    level: int = logging.INFO,
    environ: dict[str, str] | None = None,
) -> structlog.typing.FilteringBoundLogger:
    """Send all logging to ``stream`` and return a logger."""
    logging.getLogger().handlers[:] = []  # pytest's own fail on arguments that do not fit
    redaction = logs.Redaction()
    redaction.hide(secret)
    logs.configure(terminal=terminal, redaction=redaction, level=level, stream=stream, environ=environ or {})
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log


def failing(error: Exception) -> None:
    """Fail."""
    raise error


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """Return the JSON lines that were written, without their instants."""
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
    return found


def test_a_line_is_json() -> None:
    """Off a terminal each event is one JSON object with its keys, level and UTC instant."""
    out = io.StringIO()
    to(out).info("file delivered", folder="drop", size=3, outcome=None, places=["a", b"b"], more={"a": (1,)})
    assert lines(out) == [
        {
            "event": "file delivered",
            "level": "info",
            "folder": "drop",
            "size": 3,
            "outcome": None,
            "places": ["a", "b"],
            "more": {"a": [1]},
        }
    ]


def test_a_terminal_is_for_eyes() -> None:
    """On a terminal a line is words; NO_COLOR takes the colours away."""
    plain, coloured = io.StringIO(), io.StringIO()
    to(plain, terminal=True, environ={"NO_COLOR": "1"}).info("file delivered", folder="drop")
    to(coloured, terminal=True).info("file delivered", folder="drop")
    assert re.fullmatch(r"\d\d:\d\d:\d\d \[info +\] file delivered +folder=drop\n", plain.getvalue())
    assert "\x1b[" in coloured.getvalue()


def test_values_are_spelt_once() -> None:
    """Paths, bytes, instants and durations have one spelling in every line."""
    out = io.StringIO()
    to(out).info(
        "x",
        path=Path("a/\x1b[2J"),
        name=b"caf\xe9\n.jpg",
        at=datetime(2026, 1, 2, tzinfo=UTC),
        wait=timedelta(seconds=1.5),
        other=re.compile("a\x1b"),
        some={1},
    )
    (line,) = lines(out)
    assert line["path"] == r"a/\x1b[2J"
    assert line["name"] == r"caf\xe9\n.jpg"
    assert line["at"] == "2026-01-02T00:00:00+00:00"
    assert line["wait"] == 1.5
    assert line["other"] == r"re.compile('a\\x1b')".replace(r"\\x", r"\x")
    assert line["some"] == [1]


@pytest.mark.parametrize("terminal", [True, False])
def test_the_key_is_never_in_a_line(terminal: bool) -> None:  # noqa: FBT001 - a column of the table
    """A secret is hidden in events, keys, values, addresses, exceptions and what libraries say."""
    out, secret = io.StringIO(), 's3cr"et/\\k3y'
    log, event = to(out, terminal=terminal, secret=secret), f"sent {secret}"
    log.info(
        event,
        key=secret,
        url="https://h/?k=s3cr%22et%2F%5Ck3y",
        deep={"a": [secret]},
        raw=secret.encode(),
    )
    log.info("odd", thing=Path(secret), shown=repr([secret]))
    logging.getLogger("urllib3").warning("retrying with %s", secret)
    try:
        failing(ValueError(secret))
    except ValueError:
        log.exception("failed")
    assert not re.search("s3cr|k3y", out.getvalue())
    assert logs.HIDDEN in out.getvalue()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(string.ascii_letters + string.digits + string.punctuation, min_size=12),
    st.text(),
    st.text(),
)
def test_no_spelling_of_the_key_slips_past(secret: str, before: str, after: str) -> None:
    """Any key of printable characters is hidden wherever it stands in a value."""
    out = io.StringIO()
    to(out, secret=secret).info("x", value=f"{before}{secret}{after}", raw=[secret.encode()])
    assert json.dumps(secret)[1:-1] not in out.getvalue()


def test_a_rotated_key_is_hidden_too() -> None:
    """What was a secret stays one when the next is told."""
    redaction = logs.Redaction()
    redaction.hide("first-key")
    redaction.hide("second-key")
    redaction.hide("")
    assert redaction("a first-key b second-key") == "a [hidden] b [hidden]"


def test_exceptions_tell_where_and_not_what() -> None:
    """A traceback is kept in the line, without the values of variables."""
    out = io.StringIO()
    hidden = "local-value"
    try:
        failing(OSError(5, "bad\x1b[2J disk"))
    except OSError:
        to(out).exception("failed")
    (line,) = lines(out)
    assert "test_logs.py" in str(line["exception"])
    assert r"bad\x1b[2J disk" in str(line["exception"])
    assert hidden not in str(line["exception"])


def test_libraries_are_heard_from_warning_on() -> None:
    """The warnings of libraries are lines like ours, with their name; what is less is left out."""
    out = io.StringIO()
    to(out, level=logging.DEBUG)
    library = logging.getLogger("watchdog.observers.inotify_c")
    library.info("quiet")
    library.warning("lost %d events", 3)
    library.error("100%s", "a", "b")
    library.log(35, "between")
    try:
        failing(ValueError("x"))
    except ValueError:
        library.exception("failed")
    found = [(line["event"], line["level"], line["library"], "exception" in line) for line in lines(out)]
    name = "watchdog.observers.inotify_c"
    assert [
        ("lost 3 events", "warning", name, False),
        ("100%s", "error", name, False),
        ("between", "warning", name, False),
        ("failed", "error", name, True),
    ] == found


def test_levels_are_kept() -> None:
    """Below the level nothing is written, and configuring again replaces what was configured."""
    out = io.StringIO()
    to(out, level=logging.INFO)
    log = to(out, level=logging.WARNING)
    log.info("quiet")
    logging.getLogger("x").warning("once")
    assert [line["event"] for line in lines(out)] == ["once"]


def test_a_repeated_warning_is_told_once() -> None:
    """The same warning again is dropped, whatever its numbers; another key, or less than a warning, is not."""
    out = io.StringIO()
    log = to(out)
    for wait in (1, 2.5, timedelta(seconds=4)):
        log.warning("folder unavailable", folder="a", wait=wait)
        log.info("scan finished", folder="a")
    log.warning("folder unavailable", folder="b", wait=1)
    log.error("folder unavailable", folder="a", wait=1)
    told = [(line["event"], line["level"], line["folder"]) for line in lines(out)]
    assert [
        ("folder unavailable", "warning", "a"),
        *[("scan finished", "info", "a")] * 3,
        ("folder unavailable", "warning", "b"),
        ("folder unavailable", "error", "a"),
    ] == told


def test_repeats_are_counted() -> None:
    """After its time a repeated warning is told again, with how often it was dropped."""
    at = [0.0]
    repeats = logs.Repeats(every=timedelta(seconds=10), clock=lambda: at[0])
    warning = {"event": "x", "level": "warning"}
    assert repeats(None, "", dict(warning)) == warning
    for at[0] in (1.0, 9.9):
        with pytest.raises(structlog.DropEvent):
            repeats(None, "", dict(warning))
    at[0] = 10.0
    assert repeats(None, "", dict(warning)) == warning | {"repeated": 2}
    at[0] = 20.0
    assert repeats(None, "", dict(warning)) == warning


def test_what_was_told_does_not_pile_up() -> None:
    """Only the latest warnings are remembered, so that weeks of them cost no memory."""
    repeats = logs.Repeats(clock=lambda: 0.0)
    for number in range(logs.REPEATS_REMEMBERED + 1):
        repeats(None, "", {"event": f"x{number}", "level": "warning"})
    assert repeats(None, "", {"event": "x0", "level": "warning"})["event"] == "x0"
    with pytest.raises(structlog.DropEvent):
        repeats(None, "", {"event": f"x{logs.REPEATS_REMEMBERED}", "level": "warning"})


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)],
)
def test_journald_gets_priorities(level: str, priority: int, tmp_path: Path) -> None:
    """Under journald each line begins with its priority; the stream itself must lead there."""
    with (tmp_path / "journal").open("w+", encoding="utf-8") as stream:
        status = os.fstat(stream.fileno())
        for journal in (f"{status.st_dev}:{status.st_ino}", "1:1"):
            logs.configure(
                terminal=False,
                redaction=logs.Redaction(),
                level=logging.DEBUG,
                stream=stream,
                environ={"JOURNAL_STREAM": journal},
            )
            getattr(structlog.get_logger(), level)("x")
    first, second = (tmp_path / "journal").read_text().splitlines()
    assert first.startswith(f"<{priority}>{{")
    assert second.startswith("{")


def test_a_line_that_cannot_be_written_is_lost() -> None:
    """A full disk or a closed stream does not stop the one who logs."""
    out = io.StringIO()
    log = to(out)
    out.close()
    log.info("nobody reads this")
    with Path("/dev/full").open("w", encoding="utf-8", buffering=1) as full:
        logs.configure(terminal=False, redaction=logs.Redaction(), stream=full, environ={})
        structlog.get_logger().info("nor this")
        # Closing writes what is left: that must go somewhere.
        with Path("/dev/null").open("w", encoding="utf-8") as null:
            os.dup2(null.fileno(), full.fileno())


def test_a_stream_of_few_letters_gets_all_lines() -> None:
    """What the stream's encoding cannot write is escaped."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    logs.configure(terminal=False, redaction=logs.Redaction(), stream=stream, environ={})
    structlog.get_logger().info("x", name="caf\u00e9")
    assert b'"name": "caf\\xe9"' in raw.getvalue()
