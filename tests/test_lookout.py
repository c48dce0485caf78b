"""The daemon tells once what is wrong for too long and once when it is over, whatever restarts between; and beats while all is well."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from identifai_watch.core.health import Health
from identifai_watch.core.model import AccountState, Label, Outcome
from identifai_watch.daemon import Daemon
from identifai_watch.simulator import Endpoint, Script
from identifai_watch.simulator.script import Fault, FaultKind
from tests.console import at
from tests.field.clock import Clock
from tests.harness import KEY, House, house, wait_for
from tests.receiving import Receiver, receiving
from tests.test_never_stale import told
from tests.watching import account, in_loop, intake, line, order, picture, quiet, says

ALL_HUMAN = Script(verdicts=tuple(says(f"{one}.png", Label.HUMAN) for one in range(8)))


def looked(daemon: Daemon, clock: Clock, seconds: float) -> None:
    """Let so much time pass, and wait until the daemon has looked whether anything is wrong since, and told it."""
    clock.wind(daemon, seconds)
    since = clock()
    wait_for(lambda: in_loop(daemon, lambda _: _has_looked(daemon, since)), "it has looked")


def _has_looked(daemon: Daemon, since: object) -> bool:
    last = daemon._lookout._looked_at
    if last is None or last < since:  # type: ignore[operator]
        daemon._lookout._looked_at = None  # it looks with this round
        return False
    return not daemon._dispatch.notices.in_flight and not daemon._lookout._is_beating


def said(receiver: Receiver) -> list[tuple[str, str]]:
    """Return the alarms that came, and what was over."""
    documents = [call.document for call in receiver.calls if call.method == "POST"]
    return [(one["kind"], one["alarm"]) for one in documents if one["kind"] in {"alarm", "healed"}]


def beats(receiver: Receiver) -> int:
    """Return how often the heartbeat came."""
    return sum(call.method == "GET" for call in receiver.calls)


def test_an_account_that_pauses_is_told_and_stops_the_heartbeat(tmp_path: Path) -> None:
    """Once each, though the daemon is started anew meanwhile; the heartbeat goes on when the account does."""
    clock = Clock()
    with receiving() as receiver, house(tmp_path, ALL_HUMAN) as home:
        home.more = {"notify": {"webhook": receiver.url, "heartbeat_url": receiver.url}}
        with home.daemon(clock=clock) as daemon:
            told(picture(home.drop / "0.png"), Outcome.HUMAN)
            wait_for(lambda: beats(receiver) == 1, "it beats at once")
            looked(daemon, clock, 30)
            assert 1 == beats(receiver)
            looked(daemon, clock, 31)
            assert (2, []) == (beats(receiver), said(receiver))
            home.simulator.change(key="another")
            picture(home.drop / "1.png")
            wait_for(lambda: account(daemon).state is AccountState.PAUSED, "the key is refused")
            looked(daemon, clock, 61)
            looked(daemon, clock, 61)
            assert (2, [("alarm", "account/key")]) == (beats(receiver), said(receiver))
        with home.daemon(clock=clock) as daemon:
            looked(daemon, clock, 61)
            assert (2, [("alarm", "account/key")]) == (beats(receiver), said(receiver))
            home.simulator.change(key=KEY)
            clock.wind(daemon, 700)
            told(home.drop / "1.png", Outcome.HUMAN)
            looked(daemon, clock, 61)
            assert [("alarm", "account/key"), ("healed", "account/key")] == said(receiver)
            assert 3 <= beats(receiver)
    alarm = receiver.calls[2].document
    assert "Nothing is sent to identifAI: identifAI refuses the key" in alarm["title"]
    assert "To do: put the right key into api.key_file; it is tried again by itself" == alarm["text"]


def test_the_heartbeat_stands_still_while_the_ledger_is_away(tmp_path: Path) -> None:
    """A daemon that cannot write is not well, and says nothing; one whose heartbeat nobody hears goes on."""
    clock = Clock()
    with receiving(lambda _: 500) as receiver, house(tmp_path, ALL_HUMAN) as home:
        home.more = {"notify": {"heartbeat_url": f"{receiver.url}/s3cr3t"}}
        with home.daemon(clock=clock) as daemon:
            wait_for(lambda: beats(receiver) == 1, "it beats")
            told(picture(home.drop / "0.png"), Outcome.HUMAN)
            with closing(sqlite3.connect(home.home / "state" / "ledger.db", isolation_level=None)) as another:
                another.execute("BEGIN IMMEDIATE")
                wait_for(lambda: daemon._away_since is not None, "the ledger is away")
                clock.wind(daemon, 300)
                before = daemon._latest
                wait_for(lambda: daemon._latest > before, "it has looked at its clock")
                assert 1 == beats(receiver)
                another.execute("ROLLBACK")
            wait_for(lambda: beats(receiver) == 2, "it beats again")


def test_what_is_stuck_for_a_quarter_of_an_hour_is_told(tmp_path: Path) -> None:
    """By the path that people know; more of it is told later, and once that nothing is stuck any more."""
    clock = Clock()
    script = Script(delay=3600, verdicts=ALL_HUMAN.verdicts)
    with receiving() as receiver, house(tmp_path, script, folder={"shown_as": "smb://nas/drop"}) as home:
        home.api = {"analysis_deadline_minutes": 1}
        home.more = {"notify": {"webhook": receiver.url}}
        with home.daemon(clock=clock) as daemon:
            make_stuck(home, daemon, clock, "0.png")
            looked(daemon, clock, 14 * 60)
            assert [] == said(receiver)
            looked(daemon, clock, 61)
            assert [("alarm", "stuck")] == said(receiver)
            make_stuck(home, daemon, clock, "1.png")
            looked(daemon, clock, 14 * 60)
            assert [("alarm", "stuck")] == said(receiver)
        with home.daemon(clock=clock) as daemon:
            looked(daemon, clock, 61)
            assert [("alarm", "stuck")] * 2 == said(receiver)
            home.simulator.change(delay=0)
            found = [line(daemon, f"{one}.png") for one in range(2)]
            order(daemon, "retry", files=[one.file.id for one in found if one is not None])
            quiet(daemon)
            looked(daemon, clock, 60)
            looked(daemon, clock, 60)
            assert [("alarm", "stuck")] * 2 + [("healed", "stuck")] == said(receiver)
    first, second = (call.document for call in receiver.calls[:2])
    assert ("1 file is stuck", "2 files are stuck") == (first["title"], second["title"])
    assert "smb://nas/drop/0.png (no verdict within 0:01:00)" in first["text"]


def make_stuck(home: House, daemon: Daemon, clock: Clock, name: str) -> None:
    """Have a file wait for a verdict that does not come until it is given up."""
    picture(home.drop / name)

    def is_awaited() -> bool:
        found = line(daemon, name)
        return found is not None and found.analysis is not None and found.analysis.identifier is not None

    def is_stuck() -> bool:
        found = line(daemon, name)
        return found is not None and found.analysis is not None and found.analysis.stuck_at is not None

    wait_for(is_awaited, f"{name} is sent")
    clock.wind(daemon, 61)
    wait_for(is_stuck, f"{name} is given up")


def test_a_folder_that_is_away_is_told(tmp_path: Path) -> None:
    """After five minutes, once whatever restarts, and when it is back."""
    clock = Clock()
    with receiving() as receiver, house(tmp_path, ALL_HUMAN) as home:
        home.more = {"notify": {"webhook": receiver.url}}
        with home.daemon(clock=clock) as daemon:
            told(picture(home.drop / "0.png"), Outcome.HUMAN)
            home.drop.rename(tmp_path / "away")
            away(daemon, clock)
            looked(daemon, clock, 200)
            assert [] == said(receiver)
            looked(daemon, clock, 101)
            assert [("alarm", "folder/drop")] == said(receiver)
        with home.daemon(clock=clock) as daemon:
            away(daemon, clock)
            looked(daemon, clock, 301)
            assert [("alarm", "folder/drop")] == said(receiver)
            (tmp_path / "away").rename(home.drop)
            clock.wind(daemon, 301)
            wait_for(lambda: intake(daemon).patrol.health is not Health.UNAVAILABLE, "it is back")
            looked(daemon, clock, 11)
            assert [("alarm", "folder/drop"), ("healed", "folder/drop")] == said(receiver)


def away(daemon: Daemon, clock: Clock) -> None:
    """Wait until the daemon sees that its folder is away."""
    clock.wind(daemon, 2)
    wait_for(lambda: intake(daemon).patrol.health is Health.UNAVAILABLE, "it is away")


def test_an_api_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """After a quarter of an hour, and when it answers again; what waited is judged then."""
    clock = Clock()
    silent = (Fault(kind=FaultKind.STATUS, status=503, times=None),)
    with receiving() as receiver, house(tmp_path, ALL_HUMAN) as home:
        home.more = {"notify": {"webhook": receiver.url, "credits_warn_days": 0}}
        home.simulator.change(faults=silent)
        with home.daemon(clock=clock) as daemon:
            picture(home.drop / "0.png")
            wait_for(lambda: account(daemon).holds, "nobody answers")
            looked(daemon, clock, 11)
            looked(daemon, clock, 800)
            assert [] == said(receiver)
            looked(daemon, clock, 101)
            assert [("alarm", "silence")] == said(receiver)
            home.simulator.change(faults=())
            clock.wind(daemon, 61)
            told(home.drop / "0.png", Outcome.HUMAN)
            looked(daemon, clock, 11)
            assert [("alarm", "silence"), ("healed", "silence")] == said(receiver)


def test_credits_that_end_are_told(tmp_path: Path) -> None:
    """The pace is that of the balances which the ledger knows; while nothing is sent the balance is not asked for."""
    clock = Clock()
    with receiving() as receiver, house(tmp_path, ALL_HUMAN) as home:
        home.more = {"notify": {"webhook": receiver.url, "credits_warn_days": 30}}
        home.simulator.change(credits=100)
        with home.daemon(clock=clock) as daemon:
            wait_for(lambda: account(daemon).credits == 100, "the balance is known")
            for one in range(5):
                told(picture(home.drop / f"{one}.png"), Outcome.HUMAN)
            clock.wind(daemon, 700)
            wait_for(lambda: account(daemon).credits == 95, "it is asked for again")
            looked(daemon, clock, 11)
            assert [("alarm", "credits")] == said(receiver)
            asked = home.simulator.state.arrived(Endpoint.CREDITS)
            looked(daemon, clock, 3600)
            assert asked == home.simulator.state.arrived(Endpoint.CREDITS)
            home.simulator.change(credits=1000)
            told(picture(home.drop / "5.png"), Outcome.HUMAN)
            wait_for(lambda: account(daemon).credits == 994, "it is asked for again")
            looked(daemon, clock, 11)
            assert [("alarm", "credits"), ("healed", "credits")] == said(receiver)
    assert "At this pace the credits last 19.0 days: 95 are left" == receiver.calls[0].document["title"]


def test_alarms_that_are_raised_are_listed(tmp_path: Path) -> None:
    """Whoever asks later is told what is wrong; nothing is written where there is nobody to tell."""
    clock = Clock()
    with receiving() as receiver, house(tmp_path, ALL_HUMAN) as home:
        with home.daemon(clock=clock) as daemon:
            order(daemon, "pause", why="the desk is moving")
            looked(daemon, clock, 60)
            order(daemon, "resume")
        home.more = {"notify": {"webhook": receiver.url}}
        with home.daemon(clock=clock) as daemon:
            looked(daemon, clock, 60)
            assert [] == said(receiver)
            order(daemon, "pause", why="the desk is moving")
            looked(daemon, clock, 60)
            (alarm,) = json.loads(at(home, "notify", "waiting", "--json").out)["alarms"]
    assert "account/operator" == alarm["alarm"]
    assert "an operator paused it (the desk is moving)" in alarm["said"]
