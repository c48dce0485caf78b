"""``costs`` and ``quality``, on what a real daemon wrote, and how they look at 80 columns."""

import io
import json
import socket
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import RenderableType

from identifai_watch.cli import cli, paper, sums
from identifai_watch.core.costs import Basis, Cost, Costs, Left, Spent
from identifai_watch.core.model import Label, Media
from identifai_watch.core.quality import Quality, Tally
from identifai_watch.core.wording import Signs
from identifai_watch.simulator import Script, Scripted
from tests.harness import House, house, wait_for

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def run(home: House, *words: str) -> Result:
    """Run a command in this process."""
    ended = CliRunner().invoke(cli, [words[0], "--config", str(home.config_path), *words[1:]])
    assert ended.exception is None, ended.output
    return ended


def asked(home: House, *words: str) -> Any:
    """Run a command with --json, and return the document that it prints."""
    return json.loads(run(home, *words, "--json").stdout)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A newsroom in which a picture, a copy of it and a sound were judged, and the desk decided two."""
    script = Script(
        credits=10, verdicts=(Scripted(classification=Label.ARTIFICIAL, confidence=0.92, unknown=False),)
    )
    limits = {"credits_floor": 2, "posts_per_day": 50}
    with house(tmp_path_factory.mktemp("desk"), script, api=limits) as home:
        with home.daemon(node=socket.gethostname()):
            paths = [home.put("sample.png", "a.png"), home.put("sample.mp3")]
            for path in paths:
                home.sidecar(path)
            copy = home.put("sample.png", "copy.png")
            home.sidecar(copy)
            run(home, "decide", str(paths[0]), "human", "--reason", "the raw was sent")
            run(home, "decide", str(paths[1]), "confirmed", "--reason", "heard it")
            wait_for(lambda: home.sidecar(paths[1])["decision"], "the sound is decided")
        yield home


def test_costs_tell_what_was_sent_and_what_was_saved(desk: House) -> None:
    """By day, folder and kind, with what is left of credits and purse."""
    found = asked(desk, "costs")
    assert (2, 1, 0) == (found["posts"], found["copies"], found["resent"])
    lines = [(one["folder"], one["media"], one["posts"], one["copies"]) for one in found["days"]]
    assert [("drop", "audio", 1, 0), ("drop", "image", 1, 1)] == sorted(lines)
    left = found["left"]
    assert (2, 48, 50) == (left["credits_floor"], left["purse"], left["posts_per_day"])
    assert left["credits"] in {8, 9, 10}  # whenever it was asked for
    assert left["ends_at"] is not None
    told = run(desk, "costs", "--since", "1d").stdout
    assert "Sent     2 contents" in told
    assert "Saved    1 copy that cost nothing, 33% of what came" in told
    assert "Purse    48 of 50 posts_per_day left" in told
    assert 0 == asked(desk, "costs", "--since", "2999-01-01")["posts"]


def test_quality_tells_where_the_desk_disagrees(desk: House) -> None:
    """The picture was called artificial and is the photographer's; the sound was confirmed."""
    found = asked(desk, "quality")
    assert (2, 0, True) == (found["decided"], found["unjudged"], found["is_whole"])
    assert [("0.90 to 1.00", "found", 1, 1, 0.5)] == [
        (one["name"], one["said"], one["agreed"], one["disagreed"], one["share"]) for one in found["by_band"]
    ]
    assert [("audio", 1), ("image", 0)] == [(one["name"], one["agreed"]) for one in found["by_media"]]
    assert [("simulated-1", 1, 1), ("simulated-2", 1, 1)] == [
        (one["name"], one["agreed"], one["disagreed"]) for one in found["by_model"]
    ]
    told = [" ".join(line.split()) for line in run(desk, "quality").stdout.splitlines()]
    assert "0.90 to 1.00 found 1 1 0 50%" in told
    assert 0 == asked(desk, "quality", "--since", "2999-01-01")["decided"]


def test_without_a_ledger_there_is_nothing_to_tell(tmp_path: Path) -> None:
    """And none is made for having asked."""
    with house(tmp_path) as home:
        assert 0 == asked(home, "costs")["posts"]
        assert 0 == asked(home, "quality")["decided"]
        assert "not known" in run(home, "costs").stdout
        run(home, "quality")
        assert not (home.home / "state").exists()


# How it looks.


def printed(what: RenderableType) -> list[str]:
    """Return the lines that a person reads in a pipe, 80 columns wide."""
    out = io.StringIO()
    console = paper.console(out)
    console.width = 80
    console.print(what)
    return out.getvalue().splitlines()


def left(**changes: Any) -> Left:
    """Return what is left."""
    values: dict[str, Any] = {
        "credits": 1234.5, "credits_at": NOW, "floor": 50.0, "basis": Basis.CREDITS, "per_day": 12.25,
        "ends_at": NOW + timedelta(days=9), "purse": None, "purse_whole": None,
    }  # fmt: skip
    return Left(**values | changes)


def costs(*lines: Cost, spent: tuple[Spent, ...] = (), **changes: Any) -> Costs:
    """Return what was used in a month."""
    return Costs(
        since=NOW - timedelta(days=30), until=NOW, lines=lines, resent=2, spent=spent, left=left(**changes)
    )


def test_days_and_folders_stand_in_tables_of_80_columns() -> None:
    """A folder's name may be long; credits are the account's, and stand once a day."""
    long = "a folder of a name that is longer than any table should have to show in one line"
    day = date(2026, 3, 10)
    lines = [
        Cost(day=day, folder=folder, media=media, posts=posts, copies=1_000_000)
        for folder, media, posts in [("b", Media.IMAGE, 1_234_567), ("b", Media.VIDEO, 2), (long, Media.AUDIO, 3)]
    ]  # fmt: skip
    spent = (Spent(day=day, credits=77.5, added=0), Spent(day=date(2026, 3, 9), credits=5, added=0))
    told = printed(sums.costs(costs(*lines, spent=spent), NOW))
    assert max(map(len, told)) <= 80
    words = [" ".join(line.split()) for line in told]
    assert "2026-03-10 b 1,234,567 2 0 2,000,000" in words
    assert "2026-03-10 all folders 1,234,567 2 3 3,000,000 77.50" in words  # of no folder alone
    assert "2026-03-09 0 0 0 0 5" in words
    assert 1 == sum("77.50" in line for line in words)
    assert "Sent 1,234,572 contents, and 2 of them once more" in words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "12.25 credits a day: lasts 9 days, until about 2026-03-19 12:00 UTC"),
        ({"basis": Basis.POSTS}, "12.25 posts a day, reckoned as a credit each: lasts 9 days"),
        ({"ends_at": NOW}, "12.25 credits a day: nothing is left by it"),
        ({"ends_at": None}, "Pace 12.25 credits a day"),
        ({}, "Credits 1,234.50 left, of which credits_floor keeps 50, asked 2026-03-10 12:00:00 UTC (0 s ago)"),
        ({"purse": 3, "purse_whole": 10}, "Purse 3 of 10 posts_per_day left"),
        ({"credits": None}, "not known: the account was not asked yet"),
    ],
)  # fmt: skip
def test_what_is_left_is_told_with_how_long_it_lasts(changes: dict[str, Any], words: str) -> None:
    """And by what that is reckoned."""
    told = " ".join(" ".join(printed(sums.costs(costs(**changes), NOW))).split())
    assert words in told


def test_agreement_stands_in_tables_of_80_columns() -> None:
    """Models may have long names; what could not be told has no share."""
    tallies = [
        Tally(name="Revelio IV " * 12, said=said, human=1_000_000, artificial=2, open=3)
        for said in (Signs.FOUND, Signs.NONE_FOUND, Signs.UNCLEAR)
    ]
    found = Quality(
        since=NOW, decided=9, unjudged=2, is_whole=False, by_band=(), by_media=(), by_model=tuple(tallies)
    )
    told = printed(sums.quality(found))
    assert max(map(len, told)) <= 80
    words = " ".join(" ".join(told).split())
    assert (
        "9 files with a verdict (since 2026-03-10 12:00 UTC); there are more, and these are the newest"
        in words
    )
    assert "2 more had no verdict to compare with" in words
    assert "1,000,000 2 3 100%" in words
    assert "unclear 1,000,000 2 3" in words
