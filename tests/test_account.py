"""Budget and account: what the account will not bear pauses everything, fails nothing, and heals; limits are kept."""

import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from identifai_watch.core import gate
from identifai_watch.core.model import AccountState, AnalysisState, FileState, PauseReason
from identifai_watch.daemon import Daemon
from identifai_watch.ledger import Transaction, budget
from identifai_watch.shift import utc_now
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Limits
from tests.harness import KEY, MEDIA, House, house, wait_for
from tests.watching import (
    account,
    admitted,
    folders,
    in_loop,
    line,
    lines,
    order,
    picture,
    quiet,
    scan,
    sha256,
)

QUICK = {"settle_seconds": 0.1, "rescan_seconds": 600.0}

BARS: dict[str, tuple[PauseReason, dict[str, Any], dict[str, Any]]] = {
    "401": (PauseReason.KEY, {"key": "another-key"}, {"key": KEY}),
    "403": (PauseReason.TERMS, {"terms_accepted": False}, {"terms_accepted": True}),
    "credits": (PauseReason.CREDITS, {"credits": 0}, {"credits": None}),
    "unclear": (
        PauseReason.CREDITS,
        {"credits": 0, "credits_body": {"error": "The request was denied."}},
        {"credits": None},
    ),
}
"""What bars the account, by what it changes at identifAI and what changes it back."""


@pytest.mark.parametrize("bar", BARS)
def test_a_barred_account_pauses_everything_fails_nothing_and_heals(tmp_path: Path, bar: str) -> None:
    """Wrong key, terms, no credits: files wait unharmed, probes are few, and all goes on when it is put right."""
    reason, barred, healed = BARS[bar]
    with house(tmp_path, folder=QUICK) as home, home.daemon() as daemon:
        order(daemon, "pause")
        for name in ("1.png", "2.png", "3.png"):
            picture(home.drop / name)
        for name in ("1.png", "2.png", "3.png"):
            admitted(daemon, name)
        home.simulator.change(**barred)
        order(daemon, "resume")
        wait_for(lambda: account(daemon).state is AccountState.PAUSED, "the account is paused")
        wait_for(
            lambda: in_loop(daemon, lambda _: daemon._dispatch.uploads.in_flight) == 0,
            "no upload is under way",
        )
        asked = home.simulator.state.count()
        picture(home.drop / "b.png")
        admitted(daemon, "b.png")
        paused = in_loop(daemon, lambda _: account(daemon))
        assert (reason, 1) == (paused.reason, paused.probes)
        assert 0 < (paused.next_probe_at - daemon.shift.clock()).total_seconds() <= 30
        assert asked == home.simulator.state.count(), "nothing is asked until the probe"
        unharmed(daemon)

        order(daemon, "retry")
        wait_for(lambda: account(daemon).probes == 2, "a probe that changed nothing")
        assert (AccountState.PAUSED, reason) == (account(daemon).state, account(daemon).reason)
        assert asked + 1 == home.simulator.state.count(), "one request probes"
        unharmed(daemon)

        home.simulator.change(**healed)
        if bar == "403":
            order(daemon, "retry")
        else:
            daemon.ask_reload()
        for name in ("1.png", "2.png", "3.png", "b.png"):
            home.sidecar(home.drop / name)
        assert AccountState.OK is account(daemon).state
        assert 4 == len(home.simulator.state.charged)


def unharmed(daemon: Daemon) -> None:
    """Check that every file waits as if nothing had been tried."""
    found = lines(daemon)
    assert {FileState.WAITING} == {each.file.state for each in found}
    contents = [each.analysis for each in found if each.analysis is not None]
    states = {(one.state, one.doubt, one.failures, one.stuck_at) for one in contents}
    assert {(AnalysisState.QUEUED, False, 0, None)} == states


def test_a_start_probes_a_paused_account_at_once(tmp_path: Path) -> None:
    """A new key comes with a restart: the pause of the last run is looked at right away."""
    with house(tmp_path, folder=QUICK) as home:
        home.simulator.change(key="another-key")
        with home.daemon() as daemon:
            picture(home.drop / "a.png")
            wait_for(lambda: account(daemon).state is AccountState.PAUSED, "the account is paused")
        home.simulator.change(key=KEY)
        with home.daemon():
            home.sidecar(home.drop / "a.png")


def test_verdicts_that_are_paid_for_still_come_in_while_the_credits_are_gone(tmp_path: Path) -> None:
    """Without credits nothing is sent, and what was sent before is read and delivered."""
    with house(tmp_path, folder=QUICK) as home, home.daemon() as daemon:
        home.simulator.change(credits=1, delay=3600)
        picture(home.drop / "paid.png")
        wait_for(lambda: len(home.simulator.state.charged) == 1, "it is sent")
        picture(home.drop / "later.png")
        wait_for(lambda: account(daemon).reason is PauseReason.CREDITS, "the credits are gone")
        home.simulator.change(delay=0)
        home.sidecar(home.drop / "paid.png")
        assert AccountState.PAUSED is account(daemon).state


def test_below_the_floor_nothing_is_sent(tmp_path: Path) -> None:
    """``credits_floor`` keeps a reserve: below it the account is paused, and a better balance lifts that."""
    with house(tmp_path, folder=QUICK, api={"credits_floor": 5}) as home:
        home.simulator.change(credits=4)
        with home.daemon() as daemon:
            wait_for(lambda: account(daemon).reason is PauseReason.FLOOR, "the floor is reached")
            assert "4 credits are left, below credits_floor = 5" == account(daemon).detail
            picture(home.drop / "a.png")
            admitted(daemon, "a.png")
            assert 0 == in_loop(daemon, lambda _: home.simulator.state.arrived(Endpoint.UPLOAD))
            home.simulator.change(credits=50)
            order(daemon, "retry")
            home.sidecar(home.drop / "a.png")
            assert 50 == account(daemon).credits


def test_the_floor_is_not_overrun_between_two_looks_at_the_balance(tmp_path: Path) -> None:
    """The nearer the balance comes to the floor, the more often it is looked at: a batch of files cannot pass it."""
    with house(tmp_path, folder=QUICK, api={"credits_floor": 20, "uploads": 1}) as home:
        home.simulator.change(credits=30)
        with home.daemon() as daemon:
            order(daemon, "pause")
            for number in range(20):
                picture(home.drop / f"{number:02}.png")
            for number in range(20):
                admitted(daemon, f"{number:02}.png")
            order(daemon, "resume")
            wait_for(lambda: account(daemon).reason is PauseReason.FLOOR, "the floor is reached")
            wait_for(
                lambda: in_loop(daemon, lambda _: daemon._dispatch.uploads.in_flight) == 0, "all is sent"
            )
            assert 10 <= len(home.simulator.state.charged) <= 14


def test_an_operator_pauses_and_resumes(tmp_path: Path) -> None:
    """A pause by hand keeps everything from being sent, whatever else heals; verdicts still come in."""
    with house(tmp_path, folder=QUICK) as home:
        home.simulator.change(delay=3600)
        with home.daemon() as daemon:
            picture(home.drop / "sent.png")
            wait_for(lambda: len(home.simulator.state.charged) == 1, "it is sent")
            assert {"state": "paused"} == order(daemon, "pause", why="a quiet night")
            picture(home.drop / "waits.png")
            admitted(daemon, "waits.png")
            home.simulator.change(delay=0)
            home.sidecar(home.drop / "sent.png")
            order(daemon, "retry")
            daemon.ask_reload()
            quiet_until_asked(daemon)
            assert (PauseReason.OPERATOR, "a quiet night") == (account(daemon).reason, account(daemon).detail)
        with home.daemon() as daemon:
            scan(daemon)
            assert PauseReason.OPERATOR is account(daemon).reason
            assert 1 == home.simulator.state.arrived(Endpoint.UPLOAD)
            assert "ok" == order(daemon, "resume")["state"]
            home.sidecar(home.drop / "waits.png")


def quiet_until_asked(daemon: Daemon) -> None:
    """Wait until a reload that was asked for is done: two rounds of the loop see to that."""
    for _ in range(2):
        in_loop(daemon, lambda _: None)


# The purse.


def test_the_backlog_eats_only_its_share_of_the_purse(tmp_path: Path) -> None:
    """Of 5 posts a day 2 are the archive's; what comes today has the rest, and then the purse is empty."""
    archive = QUICK | {"existing": "hold", "existing_hold_above": 0}
    purse = {"posts_per_day": 5, "backlog_share": 0.4}
    with house(tmp_path, folder=archive, api=purse) as home:
        for number in range(4):
            picture(home.drop / f"old-{number}.png")
        with home.daemon() as daemon:
            scan(daemon)
            assert {"released": 4} == order(daemon, "release")
            for number in range(4):
                admitted(daemon, f"old-{number}.png")
            wait_for(lambda: len(home.simulator.state.charged) == 2, "the backlog's share is used")
            for number in range(3):
                home.sidecar(picture(home.drop / f"new-{number}.png"))
            picture(home.drop / "too-late.png")
            admitted(daemon, "too-late.png")
        assert [True, True, False, False, False] == backlog_of(home)
        with home.daemon() as daemon:
            scan(daemon)
            assert AccountState.OK is account(daemon).state
            assert AnalysisState.QUEUED is line(daemon, "too-late.png").analysis.state
        assert 5 == len(home.simulator.state.charged) == home.simulator.state.arrived(Endpoint.UPLOAD)


def backlog_of(home: House) -> list[bool]:
    """Return for each analysis that was paid whether it was of an old file."""
    old = {sha256(f"old-{number}.png") for number in range(4)}
    return [one.sha256 in old for one in home.simulator.state.charged]


# The windows.


def test_both_windows_are_kept_across_a_restart_and_provoke_nothing(tmp_path: Path) -> None:
    """Under limits as they are documented none leaves before its instant, the instants keep the windows, none is refused.

    A machine that is so busy that a request is on its way for longer than our windows are wider may be refused one.
    """
    limits = {"posts_per_second": 3, "posts_per_minute": 9, "gets_per_second": 1, "gets_per_minute": 60}
    with house(tmp_path, folder=QUICK | {"existing": "judge"}, api=limits) as home:
        home.simulator.change(limits=Limits(**limits))
        for number in range(14):
            picture(home.drop / f"{number:02}.png")
        with home.daemon():
            wait_for(lambda: len(home.simulator.state.charged) >= 5, "some are sent")
        with home.daemon() as daemon:
            wait_for(lambda: in_loop(daemon, posts_taken) == 9, "the minute is used up")
            wait_for(
                lambda: in_loop(daemon, lambda _: daemon._dispatch.uploads.in_flight) == 0, "all is sent"
            )
            wait_for(lambda: delivered(daemon) == len(home.simulator.state.charged), "all is delivered")
            waiting = [each.analysis for each in lines(daemon) if each.file.state is FileState.WAITING]
            assert {AnalysisState.QUEUED} == {one.state for one in waiting}
            assert 9 == in_loop(daemon, posts_taken)
            posts, gets = (taken(daemon, method) for method in ("POST", "GET"))
        arrived_posts, arrived_gets = (arrived(home, method) for method in ("POST", "GET"))
        assert 5 < len(arrived_posts) <= 9
        assert least_span(posts, 3) > 1
        assert least_span(gets, 1) > 1
        assert all(there >= gone for gone, there in zip(posts, arrived_posts, strict=False))
        assert all(there >= gone for gone, there in zip(gets, arrived_gets, strict=False))
        latest = max(longest_way(posts, arrived_posts), longest_way(gets, arrived_gets))
        assert (
            0 == home.simulator.state.throttled
            or latest > (gate.SECOND - timedelta(seconds=1)).total_seconds()
        )


def posts_taken(tx: Transaction) -> int:
    """Return how many posts were made in the last minute, or have their instant."""
    return len(budget.sent(tx, "POST", utc_now()))


def taken(daemon: Daemon, method: str) -> list[float]:
    """Return the instants of the last minute's requests, ascending, by the clock that the simulator has."""
    between = time.time() - time.monotonic()
    return [at.timestamp() - between for at in in_loop(daemon, lambda tx: budget.sent(tx, method, utc_now()))]


def arrived(home: House, method: str) -> list[float]:
    """Return when the requests arrived, ascending."""
    return sorted(one.at for one in home.simulator.state.requests if one.method == method)


def longest_way(gone: Sequence[float], there: Sequence[float]) -> float:
    """Return how long the slowest request was on its way, in seconds."""
    return max(each - max(instant for instant in gone if instant <= each) for each in there)


def delivered(daemon: Daemon) -> int:
    """Return how many files were delivered."""
    return sum(each.file.state is FileState.DELIVERED for each in lines(daemon))


def least_span(instants: Sequence[float], count: int) -> float:
    """Return the least time from one request to the one that comes ``count`` after it."""
    ordered = sorted(instants)
    return min(later - earlier for earlier, later in zip(ordered, ordered[count:], strict=False))


def test_a_429_is_waited_out_and_held_against_nobody(tmp_path: Path) -> None:
    """Where the account bears less than was configured, files wait for as long as it says and then go through."""
    with house(tmp_path, folder=QUICK) as home, home.daemon() as daemon:
        home.simulator.change(limits=Limits(posts_per_second=1), retry_after="seconds")
        for number in range(3):
            picture(home.drop / f"{number}.png")
        for number in range(3):
            home.sidecar(home.drop / f"{number}.png")
        assert 0 < home.simulator.state.throttled
        assert {0} == {each.analysis.failures for each in lines(daemon) if each.analysis is not None}
        assert 3 == len(home.simulator.state.charged)


def test_a_new_file_does_not_wait_behind_a_backlog(tmp_path: Path) -> None:
    """With a backlog at the account's rate a new file goes with one of the next posts: the newest goes first."""
    limits = {"posts_per_second": 2}
    with house(tmp_path, folder=QUICK | {"existing": "judge"}, api=limits) as home, home.daemon() as daemon:
        for number in range(12):
            picture(home.drop / f"old-{number:02}.png")
        wait_for(lambda: home.simulator.state.charged, "the backlog goes")
        picture(home.drop / "new.png")
        admitted(daemon, "new.png")
        before = len(home.simulator.state.charged)
        home.sidecar(home.drop / "new.png")
        position = [one.sha256 for one in home.simulator.state.charged].index(sha256("new.png"))
        assert position <= before + 4, "those that had their instant, and perhaps the oldest of all"
        assert position < 10


def test_the_order_of_uploads(tmp_path: Path) -> None:
    """A hot folder goes first, then the newest; one in four is the oldest of all, so that nothing starves."""
    with house(tmp_path, api={"uploads": 1}) as home:
        home.more["folder"] = folders(home, cold={}, hot={"priority": 10})
        with home.daemon() as daemon:
            order(daemon, "pause")
            names = [f"cold/{number}.png" for number in range(1, 7)] + ["hot/1.png", "hot/2.png"]
            for name in names:
                folder, _, path = name.partition("/")
                picture(tmp_path / name, name)
                admitted(daemon, path, folder)
            order(daemon, "resume")
            wait_for(lambda: len(home.simulator.state.charged) == len(names), "all are sent")
            by_hash = {sha256(name): name for name in names}
            assert [
                *("hot/2.png", "hot/1.png", "cold/6.png", "cold/1.png"),
                *("cold/5.png", "cold/4.png", "cold/3.png", "cold/2.png"),
            ] == [by_hash[one.sha256] for one in home.simulator.state.charged]
            quiet(daemon)
        noticed = [each.file.noticed_at for each in home.lines() if each.file.folder == "cold"]
        assert all(later > earlier for later, earlier in pairwise(noticed))


# Heatmaps.


def test_a_heatmap_lies_beside_the_sidecar_and_never_fails_its_file(tmp_path: Path) -> None:
    """Heatmaps are fetched where there is one; trouble with them delays them and nothing else."""
    wants = QUICK | {"options": {"with_heatmap": True}}
    with house(tmp_path, folder=wants) as home, home.daemon() as daemon:
        failing = Fault(kind=FaultKind.STATUS, match=Endpoint.HEATMAP, status=500)
        home.simulator.change(faults=[failing])
        late = picture(home.drop / "late.png")
        home.sidecar(late)
        heatmap = home.drop / "late.png.identifai.heatmap.png"
        wait_for(heatmap.exists, "the heatmap comes at the second attempt")
        assert heatmap.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")

        home.simulator.change(
            faults=[Fault(kind=FaultKind.STATUS, match=Endpoint.HEATMAP, status=403, times=None)]
        )
        home.sidecar(picture(home.drop / "none.png"))
        sound = home.drop / "sound.mp3"
        sound.write_bytes((MEDIA / "sample.mp3").read_bytes())
        home.sidecar(sound)
        wait_for(lambda: line(daemon, "none.png").analysis.heatmap_due is None, "it is given up")
        scan(daemon)
        quiet(daemon)
        assert AccountState.OK is account(daemon).state
        assert {(FileState.DELIVERED, None)} == {
            (each.file.state, each.file.stuck_at) for each in lines(daemon)
        }
        assert {"late.png", "late.png.identifai.heatmap.png", "none.png", "sound.mp3"} == {
            path.name for path in home.drop.iterdir() if path.suffix != ".json"
        }
        assert 3 == len(home.simulator.state.charged)
