"""What the daemon counts, and how long things took: across restarts, and without a look at a million rows."""

import json
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identifai_watch.api import Api
from identifai_watch.core.model import Label, Media
from identifai_watch.core.tally import BOUNDS, LABELS, Counted, Tally, Took, tally_of
from identifai_watch.errors import AccountError
from identifai_watch.ledger import Ledger, desk
from identifai_watch.shift import Shift
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script, Scripted
from identifai_watch.vigil import COUNT_EVERY
from tests.harness import KEY, House, house, wait_for
from tests.watching import picture

SECONDS = st.floats(min_value=-10, max_value=1e6)


HUMANS = Script(verdicts=(Scripted(classification=Label.HUMAN, unknown=False),))


@dataclass
class Clock:
    """The time, and so much more."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        """Return the instant."""
        return datetime.now(UTC) + self.ahead


def kept(tally: Tally) -> Tally:
    """Return a tally as the ledger gives it back."""
    return tally_of(json.loads(json.dumps(tally.document())))


@given(st.lists(SECONDS))
def test_each_duration_is_in_one_bucket(taken: list[float]) -> None:
    """What took as long as a bound is within it; a clock that was set back takes no time."""
    tally = Tally()
    for seconds in taken:
        tally.took(Took.UPLOAD, "image", timedelta(seconds=seconds))
    times = tally.times.get((Took.UPLOAD, ("image",)))
    told = [max(0.0, timedelta(seconds=seconds).total_seconds()) for seconds in taken]
    within = [sum(seconds <= bound for seconds in told) for bound in BOUNDS]
    assert (times.cumulative() if times else [0] * (len(BOUNDS) + 1)) == [*within, len(told)]
    assert (times.seconds if times else 0) == pytest.approx(sum(told))


def test_the_ledger_keeps_all_of_it() -> None:
    """Counts and times come back as they were, and go on."""
    tally = Tally()
    tally.count(Counted.REQUESTS, "upload", "200")
    tally.took(Took.SCAN, "a drop", timedelta(seconds=2))
    again = kept(tally)
    again.count(Counted.REQUESTS, "upload", "200")
    assert again.counts == {(Counted.REQUESTS, ("upload", "200")): 2}
    assert again.times == tally.times
    assert tally_of(None) == tally_of({}) == Tally()


def test_what_another_version_counted_is_left_out() -> None:
    """A name that is not known is nobody's; times by other bounds begin anew, for they cannot be added to."""
    tally = Tally()
    tally.count(Counted.ADMITTED, "image", "false")
    tally.took(Took.SCAN, "drop", timedelta(seconds=2))
    document: dict[str, Any] = json.loads(json.dumps(tally.document()))
    document["counts"].append(["thoughts", "deep", 42])
    assert tally_of(document) == kept(tally)
    assert tally_of(document | {"bounds": [1, 2]}).times == {}


def test_scans_alone_are_no_reason_to_write() -> None:
    """A daemon with nothing to do writes no oftener than it did."""
    tally = Tally()
    tally.took(Took.SCAN, "drop", timedelta(seconds=1))
    assert tally.is_told
    tally.took(Took.UPLOAD, "image", timedelta(seconds=1))
    tally.took(Took.SCAN, "drop", timedelta(seconds=1))
    assert not tally.is_told


def test_every_kind_has_its_labels() -> None:
    """Else a sample could not be told."""
    assert set(LABELS) == {*Counted, *Took}


def test_requests_are_counted_by_how_they_ended(tmp_path: Path) -> None:
    """By kind and HTTP status, or in a word why there was none; what was not begun is no request."""
    heard: list[tuple[str, Any]] = []
    with house(tmp_path) as home:
        for url in (home.simulator.url, "http://127.0.0.1:9"):
            api = Api(url, lambda: KEY, answered=lambda kind, answer: heard.append((kind, answer)))
            api.credits()
            api.results(Media.IMAGE, ["a", "b"])
            api.close()
        keyless = Api(home.simulator.url, _no_key, answered=lambda kind, answer: heard.append((kind, answer)))
        keyless.credits()
        with Ledger(home.ledger_url, node="here") as ledger:
            shift = Shift(config=home.config(), ledger=ledger)
    for kind, answer in heard:
        shift.heard(kind, answer)
    counted = {labels: number for (_, labels), number in shift.reckon().counts.items()}
    assert counted == {
        ("credits", "200"): 1,
        ("results", "200"): 1,
        ("credits", "unreached"): 1,
        ("results", "unreached"): 1,
    }


def _no_key() -> str:
    raise AccountError("there is no key")


def sums(home: House, node: str = "here") -> Tally:
    """Return what the ledger has of the sums of a host."""
    with Ledger(home.ledger_url, node=node) as ledger, ledger.read() as tx:
        return tally_of(desk.sums(tx, node))


def past_the_archive(home: House) -> None:
    """Wait for the end of the first scan: what it finds was there before."""

    def is_scanned() -> bool:
        with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
            found = desk.node_report(tx, "here")
        return found is not None and any(one["last_scan_at"] for one in found[1]["folders"])

    wait_for(is_scanned, "the folder was scanned")


def number(tally: Tally, took: Took, label: str = "image") -> int:
    """Return how often something took its time."""
    times = tally.times.get((took, (label,)))
    return 0 if times is None else times.cumulative()[-1]


STAGES = tuple(one for one in Took if one is not Took.SCAN)


def test_the_life_of_a_file_is_timed_stage_by_stage(tmp_path: Path) -> None:
    """From noticed to delivered, and each stage between; a copy is delivered, and neither sent nor judged."""
    clock = Clock()
    with house(tmp_path, HUMANS) as home:
        with home.daemon(clock=clock):
            past_the_archive(home)
            home.sidecar(picture(home.drop / "a.png"))
            clock.ahead = COUNT_EVERY + timedelta(seconds=1)
            wait_for(lambda: number(sums(home), Took.UPLOAD), "the sums are written while it runs")
            (home.drop / "copy.png").write_bytes((home.drop / "a.png").read_bytes())
            home.sidecar(home.drop / "copy.png")
        found = sums(home)
    assert {one: number(found, one) for one in STAGES} == {
        Took.NOTICED_TO_DELIVERED: 2,
        Took.SETTLED_TO_HASHED: 2,
        Took.HASHED_TO_POSTED: 1,
        Took.UPLOAD: 1,
        Took.SUBMITTED_TO_JUDGED: 1,
        Took.JUDGED_TO_DELIVERED: 2,
    }
    whole = found.times[Took.NOTICED_TO_DELIVERED, ("image",)].seconds
    assert 0.6 <= whole < 60, "both settled for 0.3 s at least"
    stages = sum(
        found.times[one, ("image",)].seconds for one in STAGES if one is not Took.NOTICED_TO_DELIVERED
    )
    assert stages <= whole
    assert number(found, Took.SCAN, "drop") >= 1
    assert found.counts[Counted.ADMITTED, ("image", "false")] == 1
    assert found.counts[Counted.ADMITTED, ("image", "true")] == 1
    assert found.counts[Counted.DELIVERED, ("image", "human")] == 2
    assert found.counts[Counted.REQUESTS, ("upload", "200")] == 1


def test_what_was_there_before_is_counted_and_not_timed(tmp_path: Path) -> None:
    """It waits for the budget, or to be released: a year of that would say nothing of how quick the desk is told."""
    with house(tmp_path, HUMANS, folder={"existing": "hold", "existing_hold_above": 0}) as home:
        picture(home.drop / "old.png")
        with home.daemon():
            wait_for(lambda: [line for line in home.lines() if line.file.held], "it is held")
        with Ledger(home.ledger_url, node="here") as ledger, ledger.write() as tx:
            desk.ask(tx, "release", {"node": "here", "folder": "drop"}, who="anna", now=datetime.now(UTC))
        with home.daemon():
            home.sidecar(home.drop / "old.png")
        found = sums(home)
    assert number(found, Took.NOTICED_TO_DELIVERED) == number(found, Took.HASHED_TO_POSTED) == 0
    assert number(found, Took.UPLOAD) == 1
    assert found.counts[Counted.DELIVERED, ("image", "human")] == 1


def test_what_was_told_is_never_taken_back(tmp_path: Path) -> None:
    """Across ``kill -9`` and a restart no sum ever falls: a scraper would take that for a beginning at nothing."""
    told: list[Tally] = []
    node = socket.gethostname()
    with house(tmp_path) as home:
        with home.daemon(node=node):
            home.sidecar(picture(home.drop / "a.png"))
        told.append(sums(home, node))
        with home.process() as process:
            home.sidecar(picture(home.drop / "b.png"))
            process.kill()
            process.wait()
        told.append(sums(home, node))
        with home.daemon(node=node):
            home.sidecar(picture(home.drop / "c.png"))
        told.append(sums(home, node))
    for before, after in pairwise(told):
        assert all(after.counts[key] >= count for key, count in before.counts.items())
        for key, times in before.times.items():
            assert all(new >= old for new, old in zip(after.times[key].buckets, times.buckets, strict=True))
    first, _, last = (number(tally, Took.UPLOAD) for tally in told)
    assert first == 1
    assert last >= 2, "what a killed run had not written is lost; what it began with is not"


def test_failures_of_the_api_are_in_the_sums(tmp_path: Path) -> None:
    """Each by its status; the upload that was taken in the end is timed once."""
    failing = Fault(kind=FaultKind.STATUS, match=Endpoint.UPLOAD, status=503)
    with house(tmp_path, Script(faults=(failing,))) as home:
        with home.daemon():
            past_the_archive(home)
            home.sidecar(picture(home.drop / "a.png"))
        found = sums(home)
    assert found.counts[Counted.REQUESTS, ("upload", "503")] == 1
    assert found.counts[Counted.REQUESTS, ("upload", "200")] == 1
    assert number(found, Took.UPLOAD) == number(found, Took.HASHED_TO_POSTED) == 1
