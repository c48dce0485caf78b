"""Time stamps: an authority vouches for the day's head of the history, and openssl believes it."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from identifai_watch.core.lifecycle import Policy
from identifai_watch.evidence import stamping
from identifai_watch.evidence.stamping import StampError
from identifai_watch.ledger import Ledger, history, passages, stamps, trail
from identifai_watch.ledger.stamps import Stamp
from identifai_watch.ledger.step import Step
from identifai_watch.ledger.trail import Head
from tests.authority import Authority, authority
from tests.console import at
from tests.harness import House, house, wait_for

BEFORE, IMPRINT = b"\x01" * 32, b"\x02" * 32
HEAD = hashlib.sha256(BEFORE + IMPRINT).digest()


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """Give an authority."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    with authority(tmp_path_factory.mktemp("authority")) as made:
        yield made


@pytest.fixture
def tsa(openssl: Authority) -> Authority:
    """Give it as if nobody had asked yet."""
    openssl.queries.clear()
    openssl.answer = None
    return openssl


@pytest.fixture(scope="module")
def other_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the root of an authority that stamped nothing."""
    made = Authority(home=tmp_path_factory.mktemp("other"))
    made.make()
    return made.root


def believed(head: bytes, answer: bytes, root: Path, place: Path) -> bool:
    """Ask openssl whether it takes a stamp."""
    place.write_bytes(answer)
    command = ["openssl", "ts", "-verify", "-digest", head.hex(), "-in", place, "-CAfile", root]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0 and "Verification: OK" in done.stdout + done.stderr


# One stamp.


def test_only_the_head_leaves_and_openssl_takes_the_stamp(tsa: Authority, tmp_path: Path) -> None:
    """The query has the head as its imprint and nothing else of ours; what came back holds by openssl and by the library."""
    began = datetime.now(UTC).replace(microsecond=0)
    found = stamping.stamp(tsa.url, BEFORE, IMPRINT, ca_file=tsa.root)
    assert began <= found.stamped_at <= datetime.now(UTC)
    assert "127.0.0.1" == found.authority
    assert believed(HEAD, found.answer, tsa.root, tmp_path / "a.tsr")
    assert not believed(IMPRINT, found.answer, tsa.root, tmp_path / "a.tsr")
    [query] = tsa.queries
    assert len(query) < 100
    assert HEAD in query
    assert "Hash Algorithm: sha256" in tsa.told(query)
    assert BEFORE not in query
    assert IMPRINT not in query


def test_whom_to_trust_is_the_operators_matter(tsa: Authority, other_root: Path, tmp_path: Path) -> None:
    """With another authority's root the signature does not hold; a file that is none is named."""
    with pytest.raises(StampError, match="signature does not hold"):
        stamping.stamp(tsa.url, BEFORE, IMPRINT, ca_file=other_root)
    (tmp_path / "none.pem").write_text("nothing")
    with pytest.raises(StampError, match=r"none\.pem holds no certificate"):
        stamping.roots_in(tmp_path / "none.pem")
    with pytest.raises(StampError, match=r"gone\.pem cannot be read: No such file"):
        stamping.roots_in(tmp_path / "gone.pem")


def about_another_head(tsa: Authority) -> bytes:
    """Return an answer that is good, but for another question."""
    command = ["openssl", "ts", "-query", "-digest", "ab" * 32, "-sha256", "-cert"]
    return tsa.reply(subprocess.run(command, check=True, capture_output=True).stdout)


def with_another_nonce(tsa: Authority) -> bytes:
    """Return an answer about our head that was given to somebody else."""
    command = ["openssl", "ts", "-query", "-digest", HEAD.hex(), "-sha256", "-cert"]
    return tsa.reply(subprocess.run(command, check=True, capture_output=True).stdout)


def refusal(tsa: Authority) -> bytes:
    """Return the answer to a question that the authority refuses: a digest that it does not take."""
    command = ["openssl", "ts", "-query", "-digest", "ab" * 20, "-sha1", "-cert"]
    return tsa.reply(subprocess.run(command, check=True, capture_output=True).stdout)


def damaged(tsa: Authority, query: bytes) -> bytes:
    """Return an answer whose signature is another one."""
    answer = bytearray(tsa.reply(query))
    answer[-1] ^= 1
    return bytes(answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda tsa, _: (200, about_another_head(tsa)), "for something else than this head"),
        (lambda tsa, _: (200, with_another_nonce(tsa)), "its nonce is not ours"),
        (lambda tsa, _: (200, refusal(tsa)), "did not grant a stamp"),
        (lambda tsa, query: (200, damaged(tsa, query)), "signature does not hold"),
        (lambda _, __: (200, b"<html>"), "no RFC 3161 time stamp"),
        (lambda _, __: (200, b""), "no RFC 3161 time stamp"),
        (lambda _, __: (200, bytes(2_000_000)), "has no end"),
        (lambda _, __: (503, b""), "the authority answered 503"),
        (lambda _, __: (302, b""), "the authority answered 302"),
    ],
    ids=["another head", "another's", "refused", "damaged", "html", "empty", "endless", "busy", "a redirect"],
)
def test_what_is_no_stamp_is_not_taken_for_one(tsa: Authority, answer: Any, said: str) -> None:
    """Each says what is wrong, and none tells the address, which may hold a secret."""
    tsa.answer = lambda query: answer(tsa, query)
    with pytest.raises(StampError, match=re.escape(said)) as caught:
        stamping.stamp(tsa.url, BEFORE, IMPRINT, ca_file=tsa.root)
    assert "secret" not in str(caught.value)


def test_an_authority_that_is_not_there() -> None:
    """It cannot be reached, and the address is not told."""
    with pytest.raises(StampError, match=r"cannot be reached \(ConnectionError\)"):
        stamping.stamp("http://127.0.0.1:1/a-secret-path", BEFORE, IMPRINT)


# The daemon.


def every(home: House) -> list[Stamp]:
    """Return the stamps that the ledger has."""
    with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
        return stamps.every(tx)


def written(home: House, at_instant: datetime, *, why: str) -> bytes:
    """Write a line of history, and return the head after it."""
    with Ledger(home.ledger_url, node="here") as ledger:
        return head_after(ledger, at_instant, why=why).digest


def head_after(ledger: Ledger, at_instant: datetime, *, why: str = "") -> Head:
    """Write a line of history, and return the head after it: lines are written with the end of a transaction."""
    with ledger.write() as tx:
        history.record(tx, Step(now=at_instant, policy=Policy()), "paused", why=why)
    with ledger.read() as tx:
        head = trail.head(tx)
    assert head is not None
    return head


def test_the_day_s_head_is_stamped_once_and_tried_again(tsa: Authority, tmp_path: Path) -> None:
    """A busy authority is asked again after a while, nothing waits for it meanwhile, and the next day has the next stamp."""
    ahead = timedelta()
    began, today = time.monotonic(), datetime.now(UTC).replace(hour=12)

    def clock() -> datetime:
        return today + timedelta(seconds=time.monotonic() - began) + ahead

    busy, held = threading.Event(), threading.Event()

    def answer(query: bytes) -> tuple[int, bytes]:
        if not busy.is_set():
            busy.set()
            held.wait(20)
            return 503, b""
        return 200, tsa.reply(query)

    tsa.answer = answer
    evidence = {"timestamp_url": tsa.url, "timestamp_ca_file": str(tsa.root)}
    with house(tmp_path, more={"evidence": evidence}) as home:
        head = written(home, today - timedelta(days=1), why="yesterday")
        said = LogCapture()
        with home.daemon(clock=clock) as daemon:
            daemon.shift.log = logger(said)
            wait_for(lambda: every(home), "yesterday's head is known")
            ahead = timedelta(seconds=10)  # the daemon looks every few seconds
            assert busy.wait(20)
            home.sidecar(home.put("sample.jpg"))  # judged while the authority thinks
            held.set()
            wait_for(
                lambda: [one.trouble for one in every(home)] == ["the authority answered 503"], "it failed"
            )
            [waiting] = every(home)
            assert waiting.due is not None
            assert timedelta(seconds=25) < waiting.due - clock() <= timedelta(minutes=1)
            assert 1 == len(tsa.queries)
            ahead = timedelta(minutes=2)
            wait_for(lambda: every(home)[0].stamped_at is not None, "it is stamped")
            ahead = timedelta(days=1)
            wait_for(lambda: len(every(home)) == 2, "today's head is known when it is over")
            ahead = timedelta(days=1, seconds=10)
            wait_for(lambda: [one.failures for one in every(home) if one.answer] == [1, 0], "and the next")
        first, second = every(home)
    assert (head, 1) == (first.digest, first.lines)
    for one in (first, second):
        assert one.answer is not None
        assert believed(one.digest, one.answer, tsa.root, tmp_path / "a.tsr")
    assert 3 == len(tsa.queries)
    events = [line["event"] for line in said.entries]
    assert ["history not stamped", "history stamped", "history stamped"] == [
        event for event in events if "stamped" in event
    ]
    assert not any("secret" in str(line) for line in said.entries)


def logger(said: LogCapture) -> Any:
    """Return a log that is kept."""
    return structlog.wrap_logger(None, processors=[said], wrapper_class=structlog.stdlib.BoundLogger)


def test_a_lost_attempt_is_made_again(tmp_path: Path) -> None:
    """What was handed out and never came back, for the daemon ended, is due again; a newer head takes an older one's place."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(f"sqlite:///{tmp_path}/state/ledger.db", node="here"))
        heads = [head_after(ledger, now + timedelta(days=day)) for day in range(2)]
        tx = stack.enter_context(ledger.write())
        assert stamps.want(tx, heads[0], now)
        assert not stamps.want(tx, heads[0], now)
        until = now + timedelta(minutes=5)
        taken = stamps.take(tx, now, until)
        assert taken is not None
        assert (heads[0].digest, None) == (taken.digest, stamps.take(tx, now, until))
        assert stamps.take(tx, until, until) is not None
        assert stamps.want(tx, heads[1], now)
        assert [heads[1].digest] == [one.digest for one in stamps.every(tx)]
        found = passages.preimage(tx, heads[1].id)
        assert found is not None
        assert hashlib.sha256(b"".join(found)).digest() == heads[1].digest


def test_a_stamp_covers_all_before_it(tmp_path: Path) -> None:
    """The passage of a line ends at the first stamp after it, whatever day that is of; without one at the day's head."""
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(f"sqlite:///{tmp_path}/state/ledger.db", node="here"))
        heads = [head_after(ledger, now + timedelta(days=day)) for day in range(5)]
        tx = stack.enter_context(ledger.write())
        stamps.want(tx, heads[2], now)
        stamps.stamped(tx, heads[2].digest, answer=b"DER", authority="somebody", stamped_at=now)
        lines = list(trail.lines(tx))
        found = passages.passages(tx, [lines[0], lines[1], lines[3]], now + timedelta(days=9))
    assert [(1, 3), (4, 4)] == [(one.first, one.last) for one in found]
    assert [b"DER", None] == [one.stamp and one.stamp.answer for one in found]
    assert [None, "2026-03-04"] == [one.day and str(one.day) for one in found]


# Commands and bundles.


def test_without_the_library_all_else_works(
    stamped: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lacks the extra is told what to install, by check too; bundles are made, and say who can check their stamps."""
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(StampError, match=r"pip install 'identifai-watch\[evidence\]'"):
        stamping.stamp("http://127.0.0.1:1", BEFORE, IMPRINT)
    case = tmp_path / "case.zip"
    assert 0 == at(stamped, "bundle", stamped.drop / "sample.jpg", "-o", case).status
    ended = at(stamped, "bundle", "verify", case)
    assert (0, True) == (ended.status, "or see HOW-TO-CHECK.txt" in ended.out)
    assert 0 == at(stamped, "history", "verify").status
    ended = at(stamped, "check", "--config-only")
    assert (1, True) == (ended.status, "timestamp_url is set, but the library" in ended.out)


def test_check_says_whether_anybody_looks_who_signed(stamped: House) -> None:
    """With the authority's root it is well, without it a warning."""
    assert "the signature checked" in at(stamped, "check", "--config-only").out
    without = House(
        home=stamped.home,
        simulator=stamped.simulator,
        more={"evidence": {"timestamp_url": "http://tsa.example"}},
    )
    ended = at(without, "check", "--config-only")
    assert (0, True) == (ended.status, "nobody looks who signed them" in ended.out)


@pytest.fixture(scope="module")
def stamped(openssl: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a house in which a picture was judged, and the history was stamped after it; it is left as it is."""
    openssl.answer = None
    evidence = {"timestamp_url": openssl.url, "timestamp_ca_file": str(openssl.root)}
    with house(tmp_path_factory.mktemp("stamped"), more={"evidence": evidence}) as home:
        home.put("sample.jpg")
        assert 0 == at(home, "once").status
        ended = at(home, "history", "stamp")
        assert (0, "") == (ended.status, ended.err)
        yield home


def test_history_can_be_stamped_now_and_shows_who_did_when(stamped: House, openssl: Authority) -> None:
    """The head is not stamped twice; `stamps`, and `verify` too, say by whom and when, and that it holds."""
    asked = len(openssl.queries)
    made = json.loads(at(stamped, "history", "stamp", "--json").out)
    assert asked == len(openssl.queries)
    [listed] = [json.loads(line) for line in at(stamped, "history", "stamps", "--json").out.splitlines()]
    assert made | {"wrong": None} == listed
    whole = json.loads(at(stamped, "history", "verify", "--json").out)
    assert (True, whole["head"], [listed]) == (whole["ok"], listed["head"], whole["stamps"])
    assert "127.0.0.1" in at(stamped, "history", "stamps").out
    assert "1 stamps, the last by 127.0.0.1 at 20" in at(stamped, "history", "verify").out


def test_a_bundle_has_the_stamp_and_words_that_openssl_follows(
    stamped: House, openssl: Authority, other_root: Path, tmp_path: Path
) -> None:
    """The commands of HOW-TO-CHECK.txt are run as they stand there; with another root they fail, and so does verify."""
    case = tmp_path / "case.zip"
    assert 0 == at(stamped, "bundle", stamped.drop / "sample.jpg", "-o", case).status
    subprocess.run(["unzip", "-q", case, "-d", tmp_path / "parts"], check=True)
    (top,) = (tmp_path / "parts").iterdir()
    text = (top / "HOW-TO-CHECK.txt").read_text(encoding="utf-8")
    commands = re.findall(r"^    (openssl .*)$", text, re.MULTILINE)
    assert 2 == len(commands)
    (top / "ROOT.pem").write_bytes(openssl.root.read_bytes())
    told = [
        subprocess.run(["bash", "-c", one], cwd=top, capture_output=True, text=True, check=True)
        for one in commands
    ]
    assert "Verification: OK" in told[0].stdout + told[0].stderr
    assert "Time stamp: " in told[1].stdout
    (top / "ROOT.pem").write_bytes(other_root.read_bytes())
    assert (
        0 != subprocess.run(["bash", "-c", commands[0]], cwd=top, capture_output=True, check=False).returncode
    )
    assert "stamped by 127.0.0.1" in (top / "report.html").read_text(encoding="utf-8")
    for root, status, ok in ((openssl.root, 0, True), (other_root, 1, False)):
        ended = at(stamped, "bundle", "verify", case, "--json", "--ca-file", root)
        assert (status, ok) == (ended.status, json.loads(ended.out)["checks"][-1]["ok"])
    assert " vouches for " in at(stamped, "bundle", "verify", case).out  # by the configuration's root


def test_nobody_is_configured(tmp_path: Path) -> None:
    """Then nothing is stamped, and the commands say what to set; a busy authority is a reason to try later."""
    with house(tmp_path) as home:
        written(home, datetime.now(UTC), why="anything")
        ended = at(home, "history", "stamp")
        assert (1, True) == (ended.status, "evidence.timestamp_url is empty" in ended.err)
        assert "evidence.timestamp_url is empty" in at(home, "history", "stamps").out
        home.more = {"evidence": {"timestamp_url": "http://127.0.0.1:1/a-secret-path"}}
        ended = at(home, "history", "stamp")
        assert (75, True) == (
            ended.status,
            "the history was not stamped: the authority cannot be" in ended.err,
        )
        assert "secret" not in ended.err
        assert "not stamped yet (it waits to be asked" in at(home, "history", "stamps").out


def test_lines_that_were_taken_away_are_missed_by_the_stamp(stamped: House, tmp_path: Path) -> None:
    """A chain that was cut short is whole in itself; a stamp of a head that is no longer in it tells."""
    (tmp_path / "state").mkdir()
    assert 0 == at(stamped, "ledger", "backup", tmp_path / "state" / "ledger.db").status
    home = House(home=tmp_path, simulator=stamped.simulator, more=stamped.more)
    assert 0 == at(home, "history", "verify").status
    with Ledger(home.ledger_url, node="here") as ledger, ledger.write() as tx:
        tx.exec_driver_sql("DROP TRIGGER history_no_delete")
        tx.exec_driver_sql("DELETE FROM history WHERE id = (SELECT max(id) FROM history)")
    for command in ("verify", "stamps"):
        ended = at(home, "history", command)
        assert (1, True) == (ended.status, "lines are gone, or the chain was made anew" in ended.out), ended
