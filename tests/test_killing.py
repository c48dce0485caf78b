"""Killed right before and right after each point where state is written: the next start owes nothing and pays nothing twice.

Each chain is a life in one house: the program is killed at a point, started again, killed at the next, and so on; in the
end the real program is started by its own command, and all has to be as if nothing had been.
"""

import os
import runpy
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain as joined
from pathlib import Path
from typing import Any

import pytest

from identifai_watch.core.lifecycle import ANALYSES, FILES
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script, Scripted
from tests.harness import house
from tests.killing import POINTS, UNMET, Aim, Side
from tests.life import Life, large, sample
from tests.nursery import ROOT
from tests.soundness import outcome_of
from tests.watching import content

BEFORE, AFTER = Side.BEFORE, Side.AFTER
SHM = Path("/dev/shm")  # noqa: S108 - another file system than the temp folder's is what is needed
FLIPPED = {"human": "artificial", "artificial": "human", "uncertain": "human"}
OUTCOMES = ("human", "artificial", "uncertain", "rejected")


LIMITED = {"posts_per_minute": 6_000, "gets_per_minute": 6_000}
"""Limits that are never reached: with them each request is written down before it leaves."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A command that is killed while no daemon runs, so that it carries its order out itself."""

    aim: Aim
    words: tuple[str, ...]

    def __call__(self, life: Life) -> None:
        """Type it, about the file of that name."""
        *words, name = self.words
        life.kill(self.aim, (*words, str(life.home.drop / name)))


@dataclass(frozen=True, slots=True)
class Again:
    """A rejudging that is killed at its aim, and after that goes on to its end.

    ``charges`` is how often it can be charged: never if nothing had arrived, for a resend goes without ``no_cache``.
    """

    aim: Aim
    charges: tuple[int, ...]

    def __call__(self, life: Life) -> None:
        """Rejudge, kill, and see what was paid, and that only the first attempt went with ``no_cache``."""
        (key,) = life.paid
        paid = life.paid[key]
        life.paid[key] += 1
        life.order("rejudge")
        life.kill(self.aim)
        life.rest()
        life.paid[key] = life.charges()[key]
        assert life.paid[key] - paid in self.charges
        anew = [submission.no_cache for submission in life.home.simulator.state.charged]
        assert [False] + [True] * (life.paid[key] - 1) == anew


Step = Aim | Typed | Again | Callable[[Life], None]
"""A kill, or what happens before the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A life: its steps, and the house that it is led in; ``is_elsewhere`` takes its files to another file system."""

    name: str
    steps: tuple[Step, ...]
    folder: Mapping[str, Any] = field(default_factory=dict)
    api: Mapping[str, Any] = field(default_factory=dict)
    script: Script = field(default_factory=Script)
    is_elsewhere: bool = False


def before(*points: str, nth: int = 1) -> Aim:
    """Kill right before."""
    return Aim(points=points, side=BEFORE, nth=nth)


def after(*points: str, nth: int = 1) -> Aim:
    """Kill right after."""
    return Aim(points=points, side=AFTER, nth=nth)


def both(*points: str) -> tuple[Aim, Aim]:
    """Kill right before, and in the next process right after."""
    return before(*points), after(*points)


def each(*points: str) -> tuple[Aim, ...]:
    """Kill right before and right after the first point, then the second, and so on."""
    return tuple(joined.from_iterable(both(point) for point in points))


def dropped(*names: str, make: Callable[[str], bytes] = content) -> Step:
    """Put files of these names into the folder, each with a content of its own."""

    def step(life: Life) -> None:
        for name in names:
            life.drop(name, make(name))

    return step


def replaced(name: str, mark: str) -> Step:
    """Write another content into the place of a file."""
    return lambda life: life.drop(name, content(mark))


def disguised(name: str, mark: str) -> Step:
    """Write another content of the same size into the place of a file, and give it the time that it had."""

    def step(life: Life) -> None:
        path = life.home.drop / name
        before = path.stat()
        life.drop(name, content(mark))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert before.st_size == path.stat().st_size

    return step


def touched(name: str) -> Step:
    """Give a file another time, and leave its content as it is."""
    return lambda life: os.utime(life.home.drop / name, (1_700_000_000, 1_700_000_000))


def renamed(name: str, target: str) -> Step:
    """Have another program move a file inside the folder."""

    def step(life: Life) -> None:
        (life.home.drop / name).rename(life.home.drop / target)
        life.contents[target] = life.contents.pop(name)

    return step


def made_no_media(name: str) -> Step:
    """Write something else than media into the place of a file."""

    def step(life: Life) -> None:
        life.foreign[name] = b"a list of things to buy\n" * 40
        (life.home.drop / name).write_bytes(life.foreign[name])
        del life.contents[name]

    return step


def accompanied(*names: str) -> Step:
    """Put something beside the files that goes along with them."""

    def step(life: Life) -> None:
        for name in names:
            life.along[name] = name.encode()
            (life.home.drop / name).write_bytes(name.encode())

    return step


def scripted(**changes: Any) -> Step:
    """Have the pretend identifAI do otherwise from now on."""

    def step(life: Life) -> None:
        life.home.simulator.change(**changes)

    return step


def ordered(verb: str, **arguments: Any) -> Step:
    """Have an operator ask for something."""
    return lambda life: life.order(verb, **arguments)


def configured(**settings: Any) -> Step:
    """Configure the folder otherwise."""
    return lambda life: life.home.folder.update(settings)


def decided(life: Life) -> None:
    """Have the desk decide otherwise than the verdict."""
    for name, found in life.contents.items():
        life.outcomes[name] = FLIPPED[life.outcomes.get(name, outcome_of(found))]
        life.order("decide", choice=life.outcomes[name], reason="the desk knows better")


def rejudged(life: Life) -> None:
    """Have every content judged anew, which is paid for once more; the API finds otherwise now."""
    for name, found in life.contents.items():
        life.outcomes[name] = FLIPPED[life.outcomes.get(name, outcome_of(found))]
        life.home.simulator.change(verdicts=(Scripted(classification=life.outcomes[name]),))  # type: ignore[arg-type] - its word
    paid_once_more(life)
    life.order("rejudge")


def obstructed(name: str, *, called: str) -> Step:
    """Have somebody else's file where a file is to go, so that it has to be called otherwise."""

    def step(life: Life) -> None:
        life.obstruct(f"{outcome_of(life.contents[name])}/{name}", b"somebody else's")
        life.called[name] = called

    return step


def gone(name: str) -> Step:
    """Take a file away."""
    return lambda life: life.take_away(name)


def back(name: str) -> Step:
    """Put it back."""
    return lambda life: life.put_back(name)


def answers(endpoint: Endpoint, status: int, **more: Any) -> Step:
    """Have requests of a kind answered with this status: all that come, unless ``times`` says how many."""
    fault = Fault(kind=FaultKind.STATUS, match=endpoint, status=status, **({"times": None} | more))
    return scripted(faults=(fault,))


def paid_once_more(life: Life) -> None:
    """Know that every content is to be paid for once more."""
    for key in life.paid:
        life.paid[key] += 1


SIDECAR = ("writing of the sidecar", "sync of the sidecar", "naming of the sidecar")
SENT = (
    "POST logged",
    "head of an upload",
    "block of an upload",
    "closing boundary of an upload",
    "answer to an upload",
    "sending, Uploaded",
)

DELIVERED_BESIDE = ("deliveries claimed", "waiting, Destined", *SIDECAR, "waiting, Delivered")
MOVED = (*SIDECAR, "rename of the moved file", "rename of a companion")
TAKEN_ACROSS = (
    *SIDECAR,
    *(f"{verb} of the file taken across" for verb in ("writing", "sync", "rename", "unlink")),
    *(f"{verb} of a companion" for verb in ("writing", "sync", "rename", "unlink")),
)
COPIED = (
    *SIDECAR,
    *(f"{verb} of the copy" for verb in ("writing", "sync", "rename")),
    *(f"{verb} of a companion" for verb in ("writing", "sync", "rename")),
)
HEATMAP = (
    "heatmap claimed",
    "head of a question for a heatmap",
    "answer with a heatmap",
    "heatmap kept",
    *(f"{verb} of the heatmap" for verb in ("writing", "sync", "naming")),
)
REFUSES = {"body": {"error": "The uploaded file format is not supported."}}
NEVER = 3600
"""Seconds that a verdict takes which is not to come in this life."""

CHAINS: tuple[Chain, ...] = (
    Chain(
        name="sent",
        steps=(
            dropped("a.png", make=large),
            *each("admitted", "queued, Begun", "sending, Deferred", *SENT),
        ),
    ),
    Chain(
        name="not sent, for the account is throttled",
        steps=(
            dropped("a.png"),
            answers(Endpoint.UPLOAD, 429),
            *each("sending, Unsent", "account advanced"),
            scripted(faults=()),
        ),
    ),
    Chain(
        name="charged, and answered with an error",
        steps=(
            dropped("a.png"),
            answers(Endpoint.UPLOAD, 500, carried_out=True),
            before("sending, Deferred"),
            # The first one is that of the start, which finds what was being sent.
            after("sending, Deferred", nth=2),
            scripted(faults=()),
        ),
    ),
    Chain(
        name="awaited and delivered beside",
        script=Script(delay=NEVER),
        steps=(
            dropped("a.png"),
            *each(
                "polls claimed", "GET logged", "head of a question for one result", "answer with one result"
            ),
            *each("awaiting, Pending"),
            answers(Endpoint.RESULT, 500),
            *each("awaiting, Unanswered"),
            scripted(faults=(), delay=0),
            *both("awaiting, Judged", "waiting, Reopened"),
            *each(*DELIVERED_BESIDE),
        ),
    ),
    Chain(
        name="awaited together",
        script=Script(delay=NEVER),
        steps=(
            dropped("a.png", "b.png", "c.png"),
            *each("head of a question for many results", "answer with many results"),
            scripted(delay=0),
            *each("awaiting, Judged", "naming of the sidecar", "waiting, Delivered"),
        ),
    ),
    Chain(
        name="refused, and in the way of its delivery, and retried",
        folder={"action": "move"},
        steps=(
            dropped("a.png"),
            lambda life: (life.home.drop / "rejected").write_text("no directory"),
            answers(Endpoint.UPLOAD, 400, **REFUSES),
            *each("sending, Refused", "waiting, Undelivered"),
            ordered("retry"),
            *both("refused, Retried", "waiting, Retried", "order answered"),
            scripted(faults=()),
            lambda life: (life.home.drop / "rejected").unlink(),
        ),
    ),
    Chain(
        name="given up by identifAI, and retried",
        script=Script(verdicts=(Scripted(errors="it broke"),)),
        steps=(
            dropped("a.png"),
            *each("awaiting, Errored"),
            Life.rest,
            ordered("retry"),
            *both("refused, Retried", "delivered, Retried", "order answered"),
            scripted(verdicts=()),
        ),
    ),
    Chain(
        name="lost, then another's verdict, then retried",
        steps=(
            dropped("a.png"),
            answers(Endpoint.RESULT, 403),
            *each("awaiting, Lost"),
            scripted(faults=(), verdicts=(Scripted(fields={"hash": "00" * 32}),)),
            *each("awaiting, Mismatched"),
            ordered("retry"),
            *each("refused, Retried"),
            scripted(verdicts=()),
        ),
    ),
    Chain(
        name="malformed",
        script=Script(verdicts=(Scripted(without=("verdict",)),)),
        steps=(dropped("a.png"), *each("awaiting, Malformed"), scripted(verdicts=())),
    ),
    Chain(
        name="overdue, and retried",
        script=Script(delay=NEVER),
        api={"analysis_deadline_minutes": 0.005},
        steps=(
            dropped("a.png"),
            *each("awaiting, Overdue"),
            lambda life: life.home.api.update(analysis_deadline_minutes=120),
            ordered("retry"),
            *each("awaiting, Retried"),
            scripted(delay=0),
        ),
    ),
    Chain(
        name="gone and back while the account rests",
        steps=(
            dropped("a.png"),
            ordered("pause"),
            *each("order answered", "admitted"),
            gone("a.png"),
            *each("waiting, Missed"),
            *both("waiting, Missed", "queued, Absent"),
            back("a.png"),
            *both("gone, Seen", "queued, Present"),
            ordered("retry"),
            *both("queued, Retried", "order answered"),
            ordered("resume"),
        ),
    ),
    Chain(
        name="missed, seen and replaced while it is awaited",
        script=Script(delay=NEVER),
        steps=(
            dropped("a.png"),
            after("sending, Uploaded"),
            gone("a.png"),
            after("waiting, Missed"),
            back("a.png"),
            *each("waiting, Seen"),
            replaced("a.png", "another"),
            *both("waiting, Superseded", "admitted"),
            scripted(delay=0),
        ),
    ),
    Chain(
        name="missed, seen and replaced once it is delivered",
        steps=(
            dropped("a.png"),
            Life.rest,
            gone("a.png"),
            *each("delivered, Missed"),
            back("a.png"),
            *each("delivered, Seen"),
            disguised("a.png", "other"),
            *both("delivered, Superseded", "admitted"),
            Life.rest,
            gone("a.png"),
            *both("delivered, Missed"),
            after("delivered, Missed"),
            replaced("a.png", "a third"),
            *both("gone, Superseded", "admitted"),
        ),
    ),
    Chain(
        name="written anew once it is delivered",
        steps=(
            dropped("a.png"),
            Life.rest,
            scripted(delay=NEVER),
            replaced("a.png", "another"),
            *each("delivered, Stirred"),
            *both("waiting, Superseded", "admitted"),
            *each("waiting, Announced"),
            scripted(delay=0),
        ),
    ),
    Chain(
        name="touched once it is delivered",
        steps=(
            dropped("a.png"),
            Life.rest,
            touched("a.png"),
            *each("delivered, Stirred", "waiting, Seen"),
        ),
    ),
    Chain(
        name="retried, and written anew before its verdict",
        script=Script(verdicts=(Scripted(errors="it broke"),)),
        steps=(
            dropped("a.png"),
            Life.rest,
            scripted(verdicts=(), delay=NEVER),
            ordered("retry"),
            after("sending, Uploaded"),
            replaced("a.png", "another"),
            *each("waiting, Stirred"),
            scripted(delay=0),
        ),
    ),
    Chain(
        name="let go unchecked, and judged later",
        folder={"release_after_minutes": 0.005},
        script=Script(delay=NEVER),
        steps=(dropped("a.png"), *each("waiting, Expired", *SIDECAR), scripted(delay=0)),
    ),
    Chain(
        name="moved by another program",
        steps=(
            dropped("a.png"),
            Life.rest,
            renamed("a.png", "b.png"),
            *each("rename of what is put aside", "gone, Swept"),
        ),
    ),
    Chain(
        name="no media any more",
        steps=(
            dropped("a.png"),
            Life.rest,
            made_no_media("a.png"),
            *each("superseded, Swept"),
        ),
    ),
    Chain(
        name="held and released",
        folder={"existing": "hold", "existing_hold_above": 0},
        steps=(
            dropped("a.png", "b.png"),
            *each("held"),
            ordered("release"),
            *both("released", "order answered"),
            *each("admitted"),
        ),
    ),
    Chain(
        name="a new ledger and an archive",
        steps=(dropped("a.png", "b.png"), *each("schema made", "root pinned", "archive known")),
    ),
    Chain(
        name="left alone, then refused here",
        steps=(
            lambda life: life.drop("sample.bmp", sample("sample.bmp"), is_paid=False),
            *each("left alone"),
            configured(unsupported="reject"),
            lambda life: life.outcomes.update({"sample.bmp": "rejected"}),
            *each("refused here"),
        ),
    ),
    Chain(
        name="decided, and forced at identifAI",
        steps=(
            dropped("a.png"),
            Life.rest,
            decided,
            *both("decided", "delivered, Reopened", "order answered"),
            ordered("overridden", label="human"),
            *both("judged, Overridden", "order answered"),
            *each(*SIDECAR),
        ),
    ),
    Chain(
        name="moved, decided and moved again",
        folder={"action": "move"},
        steps=(
            dropped("a.png"),
            accompanied("a.xmp"),
            *each("deliveries claimed", "waiting, Destined", "making of a directory", *MOVED),
            *each("waiting, Delivered"),
            decided,
            *each(*MOVED, "unlink of the old sidecar", "waiting, Delivered"),
        ),
    ),
    Chain(
        name="moved beside another's file",
        folder={"action": "move"},
        steps=(
            dropped("a.png"),
            obstructed("a.png", called="a-2.png"),
            *each("waiting, Destined", *SIDECAR, "rename of the moved file", "waiting, Delivered"),
        ),
    ),
    Chain(
        name="moved, rejudged and moved again",
        folder={"action": "move"},
        steps=(
            dropped("a.png"),
            accompanied("a.xmp"),
            Life.rest,
            rejudged,
            after("sending, Uploaded"),
            *both("awaiting, Judged", "delivered, Reopened"),
            *each("waiting, Destined", *MOVED, "unlink of the old sidecar", "waiting, Delivered"),
        ),
    ),
    Chain(
        name="rejudged, and nothing sent",
        steps=(
            dropped("a.png"),
            Life.rest,
            Typed(before("order asked", "rejudged"), ("rejudge", "--yes", "a.png")),
            Again(before("rejudged", "order answered"), charges=(1,)),
            Again(after("rejudged", "order answered"), charges=(0, 1)),
            Again(before("queued, Begun"), charges=(1,)),
            Again(after("queued, Begun"), charges=(0,)),
            Again(before("POST logged"), charges=(0,)),
            Again(after("POST logged"), charges=(0,)),
        ),
    ),
    Chain(
        name="rejudged, with nothing that limits it",
        api=dict.fromkeys(LIMITED, 0),
        steps=(
            dropped("a.png"),
            Life.rest,
            Typed(before("order asked", "rejudged"), ("rejudge", "--yes", "a.png")),
            Again(after("queued, Begun"), charges=(0, 1)),
            Again(before("POST logged"), charges=(0, 1)),
            Again(after("POST logged"), charges=(0, 1)),
        ),
    ),
    Chain(
        name="rejudged, with its upload cut",
        steps=(
            dropped("a.png", make=large),
            Life.rest,
            Again(before("head of an upload"), charges=(0,)),
            Again(after("head of an upload"), charges=(0,)),
            Again(before("block of an upload"), charges=(0,)),
            Again(after("block of an upload"), charges=(0,)),
            Again(before("closing boundary of an upload"), charges=(0,)),
        ),
    ),
    Chain(
        name="rejudged, with its answer lost",
        steps=(
            dropped("a.png", make=large),
            Life.rest,
            Again(after("closing boundary of an upload"), charges=(0, 1)),
            Again(before("answer to an upload"), charges=(1,)),
            Again(after("answer to an upload"), charges=(1,)),
            Again(before("sending, Uploaded"), charges=(1,)),
            Again(after("sending, Uploaded"), charges=(1,)),
            Again(before("awaiting, Judged"), charges=(1,)),
            Again(after("awaiting, Judged"), charges=(1,)),
            paid_once_more,
            Typed(after("order asked", "rejudged", "order answered"), ("rejudge", "--yes", "a.png")),
        ),
    ),
    Chain(
        name="rejudged, and not answered with an identifier",
        steps=(
            dropped("a.png"),
            Life.rest,
            answers(Endpoint.UPLOAD, 429, times=1),
            Again(before("sending, Unsent"), charges=(0,)),
            answers(Endpoint.UPLOAD, 429, times=1),
            Again(after("sending, Unsent"), charges=(1,)),
            answers(Endpoint.UPLOAD, 500, times=1, carried_out=True),
            Again(before("sending, Deferred"), charges=(1,)),
            answers(Endpoint.UPLOAD, 500, times=1, carried_out=True),
            Again(after("sending, Deferred"), charges=(1,)),
        ),
    ),
    Chain(
        name="moved by links",
        folder={"action": "move"},
        steps=(
            dropped("a.png"),
            *each("link of the moved file"),
            dropped("b.png"),
            before("unlink of the moved file"),
            dropped("c.png"),
            after("unlink of the moved file"),
        ),
    ),
    Chain(
        name="taken across, rejudged and taken back",
        folder={"action": "move"},
        is_elsewhere=True,
        steps=(
            dropped("a.png"),
            accompanied("a.xmp"),
            *each(*TAKEN_ACROSS, "waiting, Delivered"),
            rejudged,
            *each(*MOVED, "unlink of the old sidecar", "waiting, Delivered"),
        ),
    ),
    Chain(
        name="copied, rejudged and the copy moved",
        folder={"action": "copy"},
        steps=(
            dropped("a.png"),
            accompanied("a.xmp"),
            *each(*COPIED, "waiting, Delivered"),
            rejudged,
            *each(*MOVED, "unlink of the old sidecar", "waiting, Delivered"),
        ),
    ),
    Chain(
        name="copied across",
        folder={"action": "copy"},
        is_elsewhere=True,
        steps=(
            dropped("a.png"),
            accompanied("a.xmp"),
            *each(*COPIED, "waiting, Delivered"),
        ),
    ),
    Chain(
        name="with a heatmap, and rejudged",
        folder={"options": {"with_heatmap": True}},
        steps=(
            dropped("a.png"),
            *each(*HEATMAP),
            Life.rest,
            rejudged,
            *each(*HEATMAP[:4]),
        ),
    ),
)


def _aims() -> list[Aim]:
    steps = [step for chain in CHAINS for step in chain.steps]
    return [
        step if isinstance(step, Aim) else step.aim for step in steps if isinstance(step, Aim | Typed | Again)
    ]


def test_every_point_has_its_kills() -> None:
    """No point of the list is left out, and no chain aims at another: each is killed before and after."""
    aimed = {(point, aim.side) for aim in _aims() for point in aim.points}
    assert {(point.name, side) for point in POINTS for side in Side} == aimed
    assert len(POINTS) == len({point.name for point in POINTS})


def test_every_arrow_has_its_point() -> None:
    """Each arrow of both tables is killed at, or has the reason why no running daemon writes it."""
    arrows = {
        f"{state}, {event.__name__}"
        for table in (ANALYSES, FILES)
        for state, row in table.items()
        for event in row
    }
    named = {point.name for point in POINTS}
    assert set() == arrows - named - set(UNMET)
    assert set() == set(UNMET) - arrows
    assert set() == set(UNMET) & named
    assert {name for name in named if ", " in name} <= arrows


def test_every_cut_of_the_page_is_killed_at() -> None:
    """What the README says of a crash at an arrow is shown by a kill there."""
    cuts = runpy.run_path(str(ROOT / "docs" / "generate.py"))["CUTS"]
    assert {f"{state}, {event}" for state, event in cuts} <= {point.name for point in POINTS}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Give an empty directory on another file system, or only elsewhere if there is none."""
    parent = SHM if SHM.is_dir() and SHM.stat().st_dev != tmp_path.stat().st_dev else tmp_path
    with tempfile.TemporaryDirectory(prefix="elsewhere", dir=parent) as name:
        yield Path(name)


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain.name)
def test_killed_at_every_point(
    chain: Chain,
    tmp_path: Path,
    elsewhere: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Killed before and after each of its points, a life ends as if nothing had been."""
    folder: dict[str, Any] = {"settle_seconds": 0.1} | dict(chain.folder)
    if chain.is_elsewhere:
        if elsewhere.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs a second file system at /dev/shm")
        folder |= {outcome: str(elsewhere / outcome) for outcome in OUTCOMES}
    with house(tmp_path, chain.script, folder=folder, api=LIMITED | dict(chain.api)) as home:
        life = Life(home=home, elsewhere=elsewhere)
        for step in chain.steps:
            if isinstance(step, Aim):
                life.kill(step)
            else:
                step(life)
        life.finish()
        for name, figure in (
            ("kills", life.kills),
            ("files", len(life.contents)),
            ("lost", life.lost()),
            ("charged_twice", life.charged_twice()),
        ):
            record_property(name, figure)
        life.assert_all_is_well()
