"""SIGHUP: a configuration read anew, taken whole or refused whole, while all that is under way goes on."""

import signal
from pathlib import Path
from typing import Any

from identifai_watch.core.model import AnalysisState, FileState, Label
from identifai_watch.daemon import Daemon
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script
from tests.harness import SUFFIX, House, house, wait_for
from tests.watching import (
    account,
    admitted,
    content,
    folders,
    intake,
    line,
    lines,
    picture,
    quiet,
    says,
    scan,
)


def said(home: House, event: str) -> list[dict[str, Any]]:
    """Return the lines of the process's log with this phrase."""
    return [one for one in home.logged() if one["event"] == event]


def reloaded(daemon: Daemon, home: House) -> None:
    """Have the daemon take what the house's configuration says now."""
    before = daemon.shift.config
    daemon.ask_reload()
    wait_for(lambda: daemon.shift.config is not before, "the configuration is taken")
    names = {folder.name for folder in home.config().folders}
    wait_for(lambda: {one.folder.name for one in list(daemon._intakes.values())} == names, "folders are open")


# The process, by signal.


def test_sighup_takes_folders_in_and_out(tmp_path: Path) -> None:
    """A folder that is added is watched, one that is removed no longer, and the daemon is the same process."""
    with house(tmp_path) as home:
        home.more = {"folder": folders(home, one={}, two={})}
        with home.process() as process:
            home.sidecar(picture(tmp_path / "one" / "a.png"))
            home.more = {"folder": folders(home, two={}, three={})}
            assert home.config_path.exists()
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: said(home, "reloaded"), "it is taken")
            gone = picture(tmp_path / "one" / "b.png")
            home.sidecar(picture(tmp_path / "two" / "c.png"))
            home.sidecar(picture(tmp_path / "three" / "d.png"))
            assert process.poll() is None
        assert not gone.with_name(gone.name + SUFFIX).exists()
    assert 1 == len(said(home, "started"))
    assert 3 == len(home.simulator.state.charged)


def test_a_wrong_configuration_is_refused_with_its_problems_and_the_old_one_stays(tmp_path: Path) -> None:
    """Each problem is one line of the log with its dotted name, and files go on being judged as before."""
    with house(tmp_path) as home, home.process() as process:
        text = home.config_path.read_text(encoding="utf-8")
        wrong = text.replace("settle_seconds", "settle_secnds").replace("[api]\n", "[api]\nuploads = 0\n")
        (tmp_path / "identifai-watch.toml").write_text(wrong, encoding="utf-8")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(said(home, "configuration refused")) == 2, "it is refused")
        sidecar = home.sidecar(picture(home.drop / "a.png"))
        problems = [one["problem"] for one in said(home, "configuration refused")]
        (tmp_path / "identifai-watch.toml").write_text("not = [TOML", encoding="utf-8")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(said(home, "configuration refused")) == 3, "so is what is no TOML")
        (tmp_path / "identifai-watch.toml").unlink()
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(said(home, "configuration refused")) == 4, "so is none")
        home.sidecar(picture(home.drop / "b.png"))
        assert process.poll() is None
    assert ["api.uploads", "folder.drop.settle_secnds"] == sorted(one.partition(":")[0] for one in problems)
    assert any("did you mean settle_seconds" in one for one in problems)
    assert sidecar["verdict"] is not None
    assert [] == said(home, "reloaded")


def test_what_needs_a_restart_is_said_until_it_is_made(tmp_path: Path) -> None:
    """What a reload cannot change is named each time, against what the daemon began with, and the rest is taken."""
    with house(tmp_path) as home, home.process() as process:
        home.api = {"uploads": 9}
        home.more = {"web": {"listen": "127.0.0.1:0"}, "ledger": {"url": f"sqlite:///{tmp_path}/other.db"}}
        assert home.config_path.exists()
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: said(home, "reloaded"), "it is taken")
        first = {one["key"] for one in said(home, "needs a restart")}
        home.api, home.more = {}, {}
        assert home.config_path.exists()
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(said(home, "reloaded")) == 2, "so is the old one")
        again = said(home, "needs a restart")[len(first) :]
        home.sidecar(picture(home.drop / "a.png"))
    assert {"api.uploads", "web.listen", "ledger.url"} == first
    assert [] == again
    assert not (tmp_path / "other.db").exists()


# What is taken, and from when on.


def test_changed_options_apply_to_what_arrives_afterwards(tmp_path: Path) -> None:
    """What was sent with the old options is not sent again; a new file goes with the new ones."""
    with house(tmp_path, folder={"settle_seconds": 0.1}) as home, home.daemon() as daemon:
        old = picture(home.drop / "old.png")
        home.sidecar(old)
        quiet(daemon)
        home.folder |= {"options": {"with_nsfw": True}}
        reloaded(daemon, home)
        sidecar = home.sidecar(picture(home.drop / "new.png"))
        scan(daemon)
        quiet(daemon)
        options = [dict(one.options) for one in home.simulator.state.charged]
        copy = home.sidecar(picture(home.drop / "copy.png", "old.png"))
    assert [{"prevent_c2pa_forces": "true"}, {"prevent_c2pa_forces": "true", "with_nsfw": "true"}] == options
    assert sidecar["verdict"]["nsfw"] is False
    # The same bytes asked for with other options are another analysis: that is what the operator wants now.
    assert not copy["duplicate"]


def test_a_changed_action_leaves_alone_what_is_delivered(tmp_path: Path) -> None:
    """After ``sidecar`` became ``move``, what has its sidecar stays where it is, and what comes is moved."""
    verdicts = (says("a.png", Label.HUMAN), says("b.png", Label.HUMAN))
    with (
        house(tmp_path, Script(verdicts=verdicts), folder={"settle_seconds": 0.1}) as home,
        home.daemon() as daemon,
    ):
        stays = picture(home.drop / "a.png")
        home.sidecar(stays)
        quiet(daemon)
        home.folder |= {"action": "move"}
        reloaded(daemon, home)
        picture(home.drop / "b.png")
        home.sidecar(home.drop / "human" / "b.png")
        scan(daemon)
        quiet(daemon)
    assert stays.read_bytes() == content("a.png")
    assert (home.drop / "human" / "b.png").read_bytes() == content("b.png")
    assert {"a.png", "human/b.png"} == set(home.sidecars())


def test_a_changed_limit_has_refused_files_decided_anew(tmp_path: Path) -> None:
    """What was over a limit of ours is judged once the limit allows it; what was under it is not sent again."""
    picture_size = len(content("large.png" + "x" * 100))
    with (
        house(tmp_path, folder={"settle_seconds": 0.1}, more={"limits": {"image": picture_size - 1}}) as home,
        home.daemon() as daemon,
    ):
        small = home.sidecar(picture(home.drop / "small.png"))
        large = home.sidecar(picture(home.drop / "large.png", "large.png" + "x" * 100))
        quiet(daemon)
        home.more = {"limits": {"image": picture_size}}
        reloaded(daemon, home)
        wait_for(lambda: admitted(daemon, "large.png").analysis, "it is admitted")
        quiet(daemon)
        again = home.sidecar(home.drop / "large.png")
    assert small["verdict"] is not None
    assert "rejected" == large["outcome"]
    assert "over the local limit" in large["reason"]
    assert again["verdict"] is not None
    assert again["reason"] is None or "limit" not in again["reason"]
    assert 2 == len(home.simulator.state.charged)
    assert {"small.png", "large.png"} == set(home.sidecars())


def test_a_changed_purse_counts_from_now_on(tmp_path: Path) -> None:
    """What an empty purse kept waiting is sent when a reload makes it larger."""
    with (
        house(tmp_path, folder={"settle_seconds": 0.1}, api={"posts_per_day": 1}) as home,
        home.daemon() as daemon,
    ):
        scan(daemon)  # what comes before the first scan ends is backlog, which may not use all of a purse
        home.sidecar(picture(home.drop / "a.png"))
        second = picture(home.drop / "b.png")
        waiting = admitted(daemon, "b.png").analysis
        home.api = {"posts_per_day": 2}
        reloaded(daemon, home)
        home.sidecar(second)
    assert waiting is not None
    assert AnalysisState.QUEUED is waiting.state
    assert 2 == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_formats_that_are_taken_from_now_on_are_looked_at_anew(tmp_path: Path) -> None:
    """What was left alone because the folder did not want its kind is judged once it does."""
    with (
        house(tmp_path, folder={"settle_seconds": 0.1, "media": ["audio"]}) as home,
        home.daemon() as daemon,
    ):
        path = picture(home.drop / "a.png")
        scan(daemon)
        wait_for(lambda: not daemon.settling, "it is looked at")
        before = lines(daemon)
        home.folder |= {"media": ["image"]}
        reloaded(daemon, home)
        sidecar = home.sidecar(path)
    assert [] == before
    assert sidecar["verdict"] is not None


def test_a_folder_that_is_unchanged_goes_on_untouched(tmp_path: Path) -> None:
    """A reload closes and opens only what changed: the others keep their threads, watches and candidates."""
    with house(tmp_path) as home:
        home.more = {"folder": folders(home, one={}, two={})}
        with home.daemon() as daemon:
            one, two = intake(daemon, "one"), intake(daemon, "two")
            home.more = {"folder": folders(home, one={}, two={"priority": 7})}
            reloaded(daemon, home)
            wait_for(lambda: intake(daemon, "two") is not two, "the changed one is opened anew")
            assert one is intake(daemon, "one")
            assert one.patrol.is_closed.is_set() is False
            assert two.patrol.is_closed.is_set()


def test_a_folder_that_comes_back_owes_what_it_owed(tmp_path: Path) -> None:
    """A removed folder's files wait, charged at most once; when it is watched again they get their sidecars."""
    stall = Fault(kind=FaultKind.STALL, match=Endpoint.UPLOAD, seconds=1)
    with house(tmp_path, Script(faults=(stall,))) as home:
        both = folders(home, one={}, two={})
        home.more = {"folder": both}
        with home.daemon() as daemon:
            path = picture(tmp_path / "one" / "a.png")
            assert home.simulator.state.wait_for(lambda state: state.arrived(Endpoint.UPLOAD) == 1)
            home.more = {"folder": both[1:]}
            reloaded(daemon, home)
            home.sidecar(picture(tmp_path / "two" / "b.png"))
            missing = not path.with_name(path.name + SUFFIX).exists()
            waiting = [one.file.state for one in lines(daemon) if one.file.folder == "one"]
            home.more = {"folder": both}
            reloaded(daemon, home)
            home.sidecar(path)
            found = line(daemon, "a.png", "one")
            assert account(daemon).reason is None
    assert missing
    assert [FileState.WAITING] == waiting
    assert found is not None
    assert 2 == len(home.simulator.state.charged)
