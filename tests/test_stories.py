"""A model of months in minutes: everything that may happen to a folder, in any order, and what must be true at rest.

Hypothesis draws what other programs do to the tree, what the vendor does, what operators ask for, when the clock goes
on and where the daemon is cut. The daemon, its ledger, its threads, its tree and its requests are the real ones; only
the clock and the pace of the threads are the test's (``model``). ``MODEL_EXAMPLES`` is how many stories are told,
``MODEL_STEPS`` how long one gets at most, and ``MODEL_SEED`` draws others than the usual ones.
"""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from identifai_watch.core.model import Choice
from identifai_watch.folder.look import ignore_sigio
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Simulator
from tests.model_checks import check_meanwhile, check_rest
from tests.model_world import (
    CONTENTS,
    DEEDS,
    MOODS,
    PLACES,
    TROUBLES,
    VERBS,
    WAYS,
    Point,
    World,
    new_ledger,
)

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "20"))
STEPS = int(os.environ.get("MODEL_STEPS", "25"))
SEED = os.environ.get("MODEL_SEED")
SHRINKS = os.environ.get("MODEL_SHRINK", "0") == "1"

STATUSES = [200, 302, 400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503]
BODIES = [
    None,
    {"error": "Not enough credits."},
    {"error": "The uploaded file format is not supported."},
    {"error": "No."},
    {"image": ["The image field is required."]},
    {"message": "Too Many Attempts."},
]
TAKES_NOTHING = range(300, 500)
"""The statuses by which the API says that it took nothing: whoever lies about that cannot be found out."""


def faults() -> st.SearchStrategy[Fault]:
    """Draw what goes wrong with requests."""
    return st.builds(
        Fault,
        kind=st.sampled_from(FaultKind),
        match=st.sampled_from(
            [Endpoint.UPLOAD, Endpoint.RESULT, Endpoint.RESULTS, Endpoint.HEATMAP, Endpoint.CREDITS]
        ),
        times=st.sampled_from([1, 2, 6]),
        skip=st.sampled_from([0, 0, 1]),
        status=st.sampled_from(STATUSES),
        body=st.sampled_from(BODIES),
        headers=st.sampled_from([{}, {}, {"Retry-After": "90"}]),
        seconds=st.just(0.02),
        carried_out=st.booleans(),
    ).filter(lambda fault: not (fault.carried_out and fault.status in TAKES_NOTHING))


OPERATIONS = st.one_of(st.none(), st.just(0), st.integers(1, 13))
"""How many operations on the disk a job is let do; None is all of them."""

JOBS = st.sampled_from(["upload", "deliver", "ask", "look", "digest", "scan", "deliver", "upload"])
"""What the daemon's threads do, by words in their labels."""

POINT = st.builds(Point, what=JOBS, jobs=st.sampled_from([0, 0, 0, 1, 2]), operations=OPERATIONS)
DEED = st.sampled_from(DEEDS)
CHOICE = st.sampled_from(Choice)

PLACE = st.sampled_from(PLACES)
CONTENT = st.sampled_from(CONTENTS)
PICK = st.integers(0, 11)
SETTINGS = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["sidecar", "move", "copy"]),
        "existing": st.sampled_from(["judge", "hold"]),
        "events": st.sampled_from(["off", "off", "auto"]),
        "keep_tree": st.booleans(),
        "heatmap": st.booleans(),
        "uploads": st.sampled_from([1, 3]),
    }
)


# When a step makes sense.


def is_there(story: "Story") -> bool:
    """Tell whether the root is in its place."""
    return not story.world.tree.is_away


def has_media(story: "Story") -> bool:
    """Tell whether there are files to do something with."""
    return is_there(story) and bool(story.world.tree.media())


def is_being_written(story: "Story") -> bool:
    """Tell whether a file is held open, or its room is reserved."""
    return bool(story.world.tree.writers or story.world.tree.reserved)


def has_kept(story: "Story") -> bool:
    """Tell whether a file was moved out of the tree."""
    return is_there(story) and bool(story.world.tree.kept)


def is_up(story: "Story") -> bool:
    """Tell whether a daemon runs."""
    return story.world.daemon is not None


def is_down(story: "Story") -> bool:
    """Tell whether none runs."""
    return story.world.daemon is None


class Story(RuleBasedStateMachine):
    """One story: what happens, step by step, and what must be true whenever all has come to rest."""

    def __init__(self, simulator: Simulator, ledger: Path, sums: Counter[str]) -> None:
        super().__init__()
        self.world = World(simulator, ledger, sums)

    @initialize(chosen=SETTINGS, archive=st.lists(st.tuples(PLACE, CONTENT), max_size=3))
    def begin(self, chosen: dict[str, object], archive: list[tuple[str, str]]) -> None:
        """Choose how the folder is configured, put some files there, and start the daemon."""
        self.world.configure(chosen)
        for place, content in archive:
            self.world.tree.create(place, content)
        self.world.start()

    # What other programs do to the tree.

    @precondition(is_there)
    @rule(place=PLACE, content=CONTENT, way=st.sampled_from(WAYS))
    def come(self, place: str, content: str, way: str) -> None:
        """Let a file come: whole, slowly, with its room reserved before, or by a rename."""
        self.world.tree.come(place, content, way)

    @precondition(is_being_written)
    @rule(pick=PICK)
    def write_on(self, pick: int) -> None:
        """Write the next part of a file, fill one whose room was reserved, or close one that is held open."""
        self.world.tree.write_on(pick)

    @precondition(has_media)
    @rule(pick=PICK, deed=DEED, other=CONTENT, to=PLACE)
    def do(self, pick: int, deed: str, other: str, to: str) -> None:
        """Do something with a file that is there, the daemon's results too."""
        self.world.tree.do(pick, deed, other, to)

    @precondition(has_kept)
    @rule(pick=PICK)
    def move_back(self, pick: int) -> None:
        """Move a file back that was moved out of the tree."""
        self.world.tree.move_back(pick)

    @precondition(is_there)
    @rule(contents=st.lists(st.tuples(PLACE, CONTENT), min_size=1, max_size=3))
    def move_a_tree_in(self, contents: list[tuple[str, str]]) -> None:
        """Move a directory with all that is in it into the tree."""
        self.world.tree.move_tree_in(contents)

    @precondition(has_media)
    @rule()
    def rename_a_directory(self) -> None:
        """Give a directory of the tree another name, with all that is in it."""
        self.world.tree.rename_directory()

    @rule(emptied=st.booleans())
    def move_the_root(self, emptied: bool) -> None:  # noqa: FBT001 - drawn by its name
        """Move the root away, where an empty directory may come in its place, or back."""
        if self.world.tree.is_away:
            self.world.tree.put_back()
        else:
            self.world.tree.take_away(emptied=emptied)

    # The daemon, and time.

    @precondition(is_up)
    @rule()
    def turn(self) -> None:
        """Let the loop turn once; what it begins begins with its threads' turns."""
        self.world.turn()

    @precondition(is_up)
    @rule(pick=PICK, operations=OPERATIONS)
    def work_a_little(self, pick: int, operations: int | None) -> None:
        """Let one thread go on for so many operations on the disk, and hold it in front of the next."""
        self.world.work_a_little(pick, operations)

    @precondition(is_up)
    @rule(place=PLACE, content=CONTENT, point=POINT, deed=DEED, other=CONTENT, to=PLACE)
    def meddle_at(self, place: str, content: str, point: Point, deed: str, other: str, to: str) -> None:
        """Let a file come, hold the daemon in the middle of some job, and do something with the file meanwhile."""
        self.world.bring(place, content, point)
        self.world.tree.do(place, deed, other, to)

    @precondition(is_up)
    @rule(place=PLACE, content=CONTENT, point=POINT, deed=DEED, other=CONTENT, to=PLACE)
    def cut_at(self, place: str, content: str, point: Point, deed: str, other: str, to: str) -> None:
        """Let a file come, cut the daemon in the middle of some job, do something with the file, and start another."""
        self.world.bring(place, content, point)
        self.world.cut()
        self.world.tree.do(place, deed, other, to)
        self.world.start()

    @precondition(is_up)
    @rule(place=PLACE, content=CONTENT, point=POINT, verb=st.sampled_from(VERBS), choice=CHOICE)
    def ask_at(self, place: str, content: str, point: Point, verb: str, choice: Choice) -> None:
        """Let a file come, hold the daemon in the middle of some job, and ask for something about the file."""
        self.world.bring(place, content, point)
        self.world.desk.ask_of(place, verb, choice)

    @precondition(is_up)
    @rule(place=PLACE, content=CONTENT, point=POINT)
    def stop_at(self, place: str, content: str, point: Point) -> None:
        """Let a file come, and stop the daemon in the middle of some job."""
        self.world.bring(place, content, point)
        self.world.stop()

    @precondition(is_up)
    @rule(seconds=st.sampled_from([2, 7, 61]))
    def live(self, seconds: float) -> None:
        """Let time pass while the daemon does what it has to."""
        self.world.live(seconds)

    @rule(seconds=st.sampled_from([0.1, 0.5, 2, 7, 16, 61, 300, 660, 3600, 90_000]))
    def wind(self, seconds: float) -> None:
        """Let time pass, unattended."""
        self.world.wind(seconds)

    @precondition(is_up)
    @rule()
    def cut(self) -> None:
        """Cut the daemon where it stands."""
        self.world.cut()

    @precondition(is_down)
    @rule()
    def start(self) -> None:
        """Start the daemon."""
        self.world.start()

    # The vendor, and the account.

    @rule(fault=faults())
    def go_wrong(self, fault: Fault) -> None:
        """Have requests of a kind go wrong."""
        self.world.vendor.go_wrong(fault)

    @rule(content=CONTENT, mood=st.sampled_from(sorted(MOODS)))
    def misjudge(self, content: str, mood: str) -> None:
        """Have one content judged badly."""
        self.world.vendor.misjudge(content, mood)

    @rule(trouble=st.sampled_from(TROUBLES))
    def be_difficult(self, trouble: str) -> None:
        """Refuse the account, take long, or forget every analysis."""
        self.world.vendor.be_difficult(trouble)

    @rule()
    def be_well(self) -> None:
        """End all the vendor's trouble."""
        self.world.vendor.be_well()

    # The operators.

    @rule(pick=PICK, verb=st.sampled_from(VERBS), choice=CHOICE)
    def ask(self, pick: int, verb: str, choice: Choice) -> None:
        """Ask for something, about one of the files if it is about one."""
        self.world.desk.ask_of(pick, verb, choice)

    @invariant()
    def nothing_is_lost_and_nobody_lies(self) -> None:
        """Look at what must be true at any instant."""
        check_meanwhile(self.world)

    # Rest.

    @rule()
    def settle(self) -> None:
        """End all trouble, wait until nothing is left to do, and look at everything."""
        self.world.settle()
        check_rest(self.world)

    def teardown(self) -> None:
        """Come to rest, whatever happened last."""
        try:
            if self.world.is_configured and not self.world.is_broken:
                self.settle()
                self.world.stop()
        finally:
            self.world.close()


def told(story: Callable[[], Story]) -> None:
    """Tell stories, the same ones each time."""
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=SEED is None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if SHRINKS else [Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    if SEED is not None:
        story = seed(int(SEED))(story)  # type: ignore[assignment] - it gives back what it gets
    run_state_machine_as_test(story, settings=chosen)  # type: ignore[no-untyped-call]


def test_whatever_happens_all_is_well_at_rest(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every whole file has its one right sidecar, each content was paid once or its doubt is told, nothing is lost."""
    ignore_sigio()
    ledger = new_ledger(tmp_path)
    sums: Counter[str] = Counter()
    with Simulator() as simulator:
        told(lambda: Story(simulator, ledger, sums))
    for name in ("stories", "steps", "files", "cuts", "faults", "judged", "lost", "charged twice"):
        record_property(f"model: {name}", sums[name])
    assert sums["judged"] > 0
    assert 0 == sums["lost"] == sums["charged twice"]
