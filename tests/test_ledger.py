"""What every ledger keeps, whichever engine it lies on: the engine is a parameter of every test here."""

import random
import shutil
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from identifai_watch.core import gate, lifecycle
from identifai_watch.core.events import (
    AnalysisEvent,
    Barred,
    Begun,
    Deferred,
    Delivered,
    Destined,
    Errored,
    FileEvent,
    Healthy,
    Judged,
    Missed,
    Overdue,
    Overridden,
    Pending,
    Refused,
    Reopened,
    Retried,
    Seen,
    Undelivered,
    Unsent,
    Uploaded,
)
from identifai_watch.core.gate import DAY, Limits
from identifai_watch.core.lifecycle import Duty, Policy
from identifai_watch.core.model import (
    GONE,
    Account,
    AccountState,
    Analysis,
    AnalysisState,
    Choice,
    Decision,
    File,
    FileState,
    Fingerprint,
    Label,
    Media,
    Outcome,
    PauseReason,
    Provenance,
    Remembered,
    Verdict,
)
from identifai_watch.ledger import (
    Ledger,
    admission,
    archive,
    budget,
    claims,
    desk,
    dues,
    editions,
    intake,
    queue,
    reading,
    rows,
    runs,
    schema,
    tree,
    views,
    whereabouts,
    work,
)
from identifai_watch.ledger.admission import Content
from identifai_watch.ledger.claims import TTL, Room
from identifai_watch.ledger.step import Claimant, Step
from identifai_watch.ledger.whereabouts import Arrival

Transaction = sa.Connection


def a_copy(of: Path, folder: Path) -> str:
    """Copy an empty SQLite ledger, made once, and return the copy's URL: that is quicker than making each anew."""
    original = of / "ledger.db"
    if not original.exists():
        Ledger(f"sqlite:///{original}", node=NODE).close()
    shutil.copy(original, folder / "ledger.db")
    return f"sqlite:///{folder}/ledger.db"


ENGINES = ("sqlite", "postgresql")

NODE = "studio"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SHAPE = Fingerprint(size=10, mtime_ns=1_000, ctime_ns=2_000, inode=3)
OTHER_SHAPE = Fingerprint(size=11, mtime_ns=1_500, ctime_ns=2_500, inode=3)
ITS, OTHERS = (10, 1_000, 2_000, 3), (11, 1_500, 2_500, 3)
ME = Claimant(node=NODE, token="run-1")
ANOTHER = Claimant(node="attic", token="run-2")
VERDICT = Verdict(
    classification=Label.HUMAN,
    confidence=0.9,
    heuristic="Majority",
    models=("one", "two"),
    forced=Label.ARTIFICIAL,
    nsfw=False,
    c2pa=Provenance(state="Valid", issuer="Somebody", digital_source_type=None),
    api_version="1.1.0",
    result_url="https://example.org/1",
)
RAW = b'{"identifier": "id-1"}'


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder that all tests share."""
    return tmp_path_factory.mktemp("ledgers")


@pytest.fixture(params=ENGINES)
def ledger(request: pytest.FixtureRequest, shared: Path, tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty ledger of each engine in turn."""
    if request.param == "sqlite":
        with Ledger(a_copy(shared, tmp_path), node=NODE) as opened:
            yield opened
        return
    with Ledger(request.getfixturevalue("server_ledger"), node=NODE) as opened:
        yield opened


@pytest.fixture
def tx(ledger: Ledger) -> Iterator[Transaction]:
    """Give a transaction that writes; whatever it does, what waits stands in the queue then, and nothing else."""
    with ledger.write() as connection:
        yield connection
        assert (0, 0) == queue.differing(connection)


@pytest.fixture
def drop(tx: Transaction) -> int:
    """Give the number of a watched folder."""
    return intake.folder(tx, NODE, "drop").id


def at(seconds: float = 0, others_at: datetime | None = None) -> Step:
    """Build a step at an instant after NOW."""
    return Step(now=NOW + seconds * SECOND, policy=Policy(others_at=others_at), who="test")


def an_arrival(folder_id: int, path: bytes = b"a.jpg", **changes: Any) -> Arrival:
    """Build an arrival."""
    values: dict[str, Any] = {
        "folder_id": folder_id,
        "path": path,
        "fingerprint": SHAPE,
        "noticed_at": NOW,
        "media": Media.IMAGE,
    }
    return Arrival(**(values | changes))


def a_content(mark: int = 1, media: Media = Media.IMAGE, options: str = "{}") -> Content:
    """Build a content."""
    return Content(sha256=bytes([mark]) * 32, media=media, mime="image/jpeg", options=options)


def admitted(
    tx: Transaction, folder_id: int, path: bytes = b"a.jpg", mark: int = 1, **changes: Any
) -> tuple[File, Analysis]:
    """Admit a file; return it with its analysis."""
    file = admission.admit(tx, an_arrival(folder_id, path, **changes), a_content(mark), at())
    return file, analysis_of(tx, file)


def analysis_of(tx: Transaction, file: File) -> Analysis:
    """Return the analysis of a file."""
    assert file.analysis_id is not None
    return reading.analysis(tx, file.analysis_id)


def begin_upload(
    tx: Transaction,
    claimant: Claimant,
    now: datetime,
    *,
    oldest: bool = False,
    backlog: bool = True,
    at_most: int | None = None,
    least_priority: int | None = None,
    folder_ids: Collection[int],
) -> tuple[Analysis, File] | None:
    """Begin the upload that is next, if there is one; without ``backlog`` news only, of ``at_most`` so many bytes."""
    room = Room(turns=[oldest], backlog=None if backlog else 0, large=at_most, least_priority=least_priority)
    step = Step(now=now, policy=Policy())
    begun = claims.begin_uploads(tx, claimant, step, room=room, reach=dict.fromkeys(folder_ids, NODE))
    return begun[0] if begun else None


def put_analysis(tx: Transaction, value: Analysis) -> None:
    """Write an analysis as it is given, whatever was there."""
    values = rows.analysis_values(value) | work.UNCLAIMED
    tx.execute(sa.update(schema.analyses).where(schema.analyses.c.id == value.id).values(values))
    queue.renew(tx, [value.id])


def again(tx: Transaction, file: File) -> File:
    """Return a file as it is now."""
    found = reading.file(tx, file.id)
    assert found is not None
    return found


def advanced(tx: Transaction, analysis: Analysis, *events: AnalysisEvent, seconds: float = 1) -> Analysis:
    """Advance an analysis by events."""
    for event in events:
        assert work.advance(tx, analysis.id, event, at(seconds)) is not None
    return reading.analysis(tx, analysis.id)


def judged(tx: Transaction, folder_id: int, path: bytes = b"a.jpg", mark: int = 1) -> tuple[File, Analysis]:
    """Admit a file and have its content judged."""
    file, analysis = admitted(tx, folder_id, path, mark)
    analysis = advanced(tx, analysis, Begun(), Uploaded(f"id-{mark}"), Judged(VERDICT, RAW))
    return again(tx, file), analysis


def delivered(tx: Transaction, folder_id: int, path: bytes = b"a.jpg", mark: int = 1) -> File:
    """Admit a file, have it judged and its verdict delivered."""
    file, _ = judged(tx, folder_id, path, mark)
    work.advance_file(tx, file.id, Destined(Outcome.HUMAN, None, None), at(2))
    work.advance_file(tx, file.id, Delivered(None, None), at(2))
    return again(tx, file)


def uploads(tx: Transaction, *folders: int, seconds: float = 1, **options: Any) -> list[bytes]:
    """Begin one upload after another; return the paths."""
    found = []
    while begun := begin_upload(tx, ME, NOW + seconds * SECOND, folder_ids=folders, **options):
        found.append(begun[1].path)
    return found


def events(tx: Transaction) -> list[str]:
    """Return the history's events, in order."""
    return list(tx.execute(sa.select(schema.history.c.event).order_by(schema.history.c.id)).scalars())


# Rows and values.


def test_an_analysis_comes_back_as_it_was_written(tx: Transaction, drop: int) -> None:
    """Every field of an analysis, its verdict and instants included, survives the ledger."""
    _, analysis = admitted(tx, drop)
    full = replace(
        analysis,
        state=AnalysisState.JUDGED,
        doubt=True,
        backlog=True,
        priority=3,
        due=None,
        failures=2,
        failing_since=NOW,
        resubmissions=1,
        malformed=2,
        stuck_at=NOW + timedelta(microseconds=1),
        reason="because",
        identifier="id-1",
        sent_name="00ff.jpg",
        ref_id="ref",
        submitted_at=NOW,
        deadline=NOW + DAY,
        judged_at=NOW,
        heatmap_due=NOW,
        heatmap_failures=1,
        verdict=VERDICT,
    )
    put_analysis(tx, full)
    assert full == reading.analysis(tx, analysis.id)


def test_a_file_comes_back_as_it_was_written(tx: Transaction, drop: int) -> None:
    """Every field of a file survives the ledger, bytes that are no UTF-8 included."""
    file, _ = admitted(tx, drop, b"a/b\xe9/c\n.jpg")
    full = replace(
        file,
        state=FileState.DELIVERED,
        backlog=True,
        priority=2,
        rules="{}",
        duplicate=True,
        decision=Decision(choice=Choice.INCONCLUSIVE, reason="who knows", by="ann", at=NOW),
        outcome=Outcome.UNCERTAIN,
        reason="decided",
        delivered_at=NOW,
        failures=1,
        failing_since=NOW,
        stuck_at=NOW,
        lies_at=b"/elsewhere/\xff",
        copied_to=b"copies/c",
        missing=1,
    )
    work.put_file(tx, full)
    assert full == reading.file(tx, file.id)


def test_a_number_that_no_file_has_is_none(tx: Transaction) -> None:
    """A command may name a file that never was."""
    assert reading.file(tx, 99) is None


def test_a_folder_is_one_for_each_node_and_name(tx: Transaction, drop: int) -> None:
    """A folder is known again by its name on its host, and its root is pinned."""
    intake.pin(tx, drop, "/dev/sda1 (ext4, /)", NODE)
    assert (drop, "/dev/sda1 (ext4, /)") == (
        intake.folder(tx, NODE, "drop").id,
        intake.pinned(tx, drop, NODE),
    )
    assert intake.folder(tx, "attic", "drop").id != drop


def test_a_transaction_is_kept_whole_or_not_at_all(ledger: Ledger) -> None:
    """What fails half-way leaves nothing behind."""

    def fails() -> None:
        with ledger.write() as tx:
            intake.folder(tx, NODE, "drop")
            raise LookupError

    with pytest.raises(LookupError):
        fails()
    with ledger.read() as tx:
        assert {} == views.folder_ids(tx, NODE)


# Admission.


def test_a_new_content_is_queued(tx: Transaction, drop: int) -> None:
    """A file with a content that was never seen causes one analysis, due at once."""
    file, analysis = admitted(tx, drop, b"a/b.jpg", priority=2, backlog=True)
    assert (FileState.WAITING, False, None, NOW) == (file.state, file.duplicate, file.due, file.hashed_at)
    assert (AnalysisState.QUEUED, NOW, 2, True) == (
        analysis.state,
        analysis.due,
        analysis.priority,
        analysis.backlog,
    )


def test_a_copy_shares_the_analysis(tx: Transaction, drop: int) -> None:
    """The same content is paid once, under however many names."""
    first, _ = admitted(tx, drop)
    copy, _ = admitted(tx, drop, b"copy.jpg")
    assert (first.analysis_id, True) == (copy.analysis_id, copy.duplicate)
    assert [b"a.jpg"] == uploads(tx, drop)


@pytest.mark.parametrize(
    "other",
    [a_content(2), a_content(media=Media.VIDEO), a_content(options='{"with_heatmap": true}')],
    ids=["bytes", "media", "options"],
)
def test_other_bytes_media_or_options_are_another_analysis(
    tx: Transaction, drop: int, other: Content
) -> None:
    """What is paid for is unique by (sha256, media, options)."""
    file, _ = admitted(tx, drop)
    another = admission.admit(tx, an_arrival(drop, b"b.jpg"), other, at())
    assert (True, False) == (file.analysis_id != another.analysis_id, another.duplicate)


def test_a_copy_of_what_is_judged_is_delivered_at_once(tx: Transaction, drop: int) -> None:
    """A copy that arrives later costs nothing and gets its sidecar."""
    judged(tx, drop)
    copy, _ = admitted(tx, drop, b"copy.jpg")
    assert (NOW, True) == (copy.due, copy.duplicate)


def test_a_copy_lifts_its_twin_in_the_queue(tx: Transaction, drop: int) -> None:
    """A queued content takes the best place that any of its files gives it."""
    admitted(tx, drop, backlog=True)
    admitted(tx, drop, b"hot.jpg", priority=5, noticed_at=NOW + SECOND)
    analysis = analysis_of(tx, admitted(tx, drop, b"cold.jpg", backlog=True)[0])
    assert (5, False, NOW + SECOND) == (analysis.priority, analysis.backlog, analysis.noticed_at)


def test_a_touched_file_updates_its_fingerprint_and_nothing_else(tx: Transaction, drop: int) -> None:
    """The same bytes under another fingerprint are the same file."""
    file = delivered(tx, drop)
    said = events(tx)
    admission.admit(tx, an_arrival(drop, fingerprint=OTHER_SHAPE), a_content(), at(9))
    assert replace(file, fingerprint=OTHER_SHAPE) == again(tx, file)
    assert said == events(tx)


def test_other_bytes_at_the_same_path_are_another_file(tx: Transaction, drop: int) -> None:
    """What was there before is superseded, keeps its history, and no longer causes an upload."""
    old, old_analysis = admitted(tx, drop)
    new = admission.admit(tx, an_arrival(drop, fingerprint=OTHER_SHAPE), a_content(2), at())
    assert (FileState.SUPERSEDED, FileState.WAITING) == (again(tx, old).state, new.state)
    assert new == whereabouts.at_place(tx, drop, b"a.jpg")
    assert reading.analysis(tx, old_analysis.id).due is None
    assert [b"a.jpg"] == uploads(tx, drop)


def test_a_file_refused_here_is_delivered_without_an_analysis(tx: Transaction, drop: int) -> None:
    """What we do not send is due for delivery as rejected; saying it twice changes nothing."""
    admission.refuse(tx, an_arrival(drop), "too large", "rules 1", at())
    file = whereabouts.at_place(tx, drop, b"a.jpg")
    assert file is not None
    assert ("too large", None, NOW) == (file.refusal, file.analysis_id, file.due)
    admission.refuse(tx, an_arrival(drop), "too large", "rules 1", at(5))
    assert file == whereabouts.at_place(tx, drop, b"a.jpg")


def test_a_refused_file_that_changed_is_another_file(tx: Transaction, drop: int) -> None:
    """A new version of what was refused is refused anew, with a delivery of its own."""
    admission.refuse(tx, an_arrival(drop), "too large", "rules 1", at())
    old = whereabouts.at_place(tx, drop, b"a.jpg")
    admission.refuse(tx, an_arrival(drop, fingerprint=OTHER_SHAPE), "too large", "rules 1", at(5))
    new = whereabouts.at_place(tx, drop, b"a.jpg")
    assert old is not None
    assert new is not None
    assert (FileState.SUPERSEDED, OTHER_SHAPE) == (again(tx, old).state, new.fingerprint)


def test_other_rules_have_refused_files_looked_at_anew(tx: Transaction, drop: int) -> None:
    """What was refused under other rules is to be admitted again, delivered or not, stuck or not."""
    admission.refuse(tx, an_arrival(drop), "too large", "rules 1", at())
    file = whereabouts.at_place(tx, drop, b"a.jpg")
    assert file is not None
    for _ in range(5):
        work.advance_file(tx, file.id, Undelivered("no space"), at())
    assert 0 == intake.reconsider(tx, drop, "rules 1")
    assert 1 == intake.reconsider(tx, drop, "rules 2")
    assert [b"a.jpg"] == [one.path for one in archive.to_admit(tx, drop, 10)]
    taken = admission.admit(tx, an_arrival(drop), a_content(), at(3))
    assert (file.id, None, None, 0) == (taken.id, taken.refusal, taken.stuck_at, taken.failures)


def test_a_stuck_refusal_whose_file_is_admitted_after_all_begins_anew(tx: Transaction, drop: int) -> None:
    """A rejected file that could not be delivered, and then became whole, is judged like any other."""
    judged(tx, drop, b"twin.jpg")
    admission.refuse(tx, an_arrival(drop), "too small", "rules 1", at())
    file = whereabouts.at_place(tx, drop, b"a.jpg")
    assert file is not None
    work.put_file(tx, replace(file, due=None, stuck_at=NOW, failures=5, destination=b"rejected/a.jpg"))
    taken = admission.admit(tx, an_arrival(drop, fingerprint=OTHER_SHAPE), a_content(), at(3))
    assert (NOW + 3 * SECOND, None, None) == (taken.due, taken.stuck_at, taken.destination)


# What the scan compares with.


def rows_of(tx: Transaction, folder_id: int, parent: bytes) -> dict[bytes, Remembered]:
    """Return what pages of a directory hold, by name."""
    found = [row for page in tree.pages(tx, folder_id, parent) for row in page]
    assert len(found) == len({row[0] for row in found})
    return {row[0]: row for row in found}


@pytest.mark.parametrize("others", [0, 40])
def test_a_directory_comes_in_pages_however_its_rows_lie(
    tx: Transaction, drop: int, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """By the numbers of the rows where it is most of the ledger, else by name; none is left out or told twice."""
    monkeypatch.setattr(tree, "LONG_PAGE", 3)
    first = an_arrival(drop)
    names = [b"%d.jpg" % number for number in (5, 3, 8, 1, 9, 2, 7)]
    archive.hold(tx, [replace(first, path=b"d/" + name) for name in names])
    archive.hold(tx, [replace(first, path=b"e/%d.jpg" % number) for number in range(others)])
    intake.leave(tx, an_arrival(drop, b"d/notes.txt"), "no media", "rules 1", at())
    assert {*names, b"notes.txt"} == set(rows_of(tx, drop, b"d"))


def test_what_is_remembered_is_files_and_what_was_left_alone(tx: Transaction, drop: int) -> None:
    """The scan is told of every name of a directory, with its fingerprint and whether it was missed."""
    admitted(tx, drop, b"d/a.jpg")
    admitted(tx, drop, b"d/b.jpg", 2)
    intake.leave(tx, an_arrival(drop, b"d/notes.txt", fingerprint=OTHER_SHAPE), "no media", "rules 1", at())
    intake.missed(tx, drop, [b"d/b.jpg"], at())
    names = [b"a.jpg", b"b.jpg", b"notes.txt", b"new.jpg"]
    expected = {
        b"a.jpg": (b"a.jpg", *ITS, 0),
        b"b.jpg": (b"b.jpg", *ITS, 1),
        b"notes.txt": (b"notes.txt", *OTHERS, 0),
    }
    assert expected == tree.known(tx, drop, b"d", names)
    assert expected == tree.directory(tx, drop, b"d", most=3)
    assert [None, None] == [tree.directory(tx, drop, b"d", most=most) for most in (0, 1)]
    assert expected == rows_of(tx, drop, b"d")
    assert {b"a.jpg", b"b.jpg", b"notes.txt"} == set(tree.names(tx, drop, b"d"))
    assert {b"d"} == set(tree.parents(tx, drop))


def test_what_moved_away_or_is_gone_is_not_expected(tx: Transaction, drop: int) -> None:
    """A moved file's path leaves the scan; so does what is gone, though it is known when it is back."""
    file, _ = judged(tx, drop)
    work.advance_file(tx, file.id, Destined(Outcome.HUMAN, None, b"human/a.jpg"), at())
    work.advance_file(tx, file.id, Delivered(b"human/a.jpg", OTHER_SHAPE), at())
    admitted(tx, drop, b"gone.jpg", 2)
    for _ in range(2):
        intake.missed(tx, drop, [b"gone.jpg"], at())
    assert [] == list(tree.names(tx, drop, b""))
    assert {b"gone.jpg": (b"gone.jpg", *ITS, GONE)} == rows_of(tx, drop, b"")
    assert {b"gone.jpg": (b"gone.jpg", *ITS, GONE)} == tree.known(tx, drop, b"", [b"a.jpg", b"gone.jpg"])
    assert {b"gone.jpg": (b"gone.jpg", *ITS, GONE)} == tree.directory(tx, drop, b"", most=10)
    assert [] == list(tree.parents(tx, drop))


def test_another_hosts_copy_is_no_file_that_was_moved(tx: Transaction, drop: int) -> None:
    """What the desk decided goes with a file inside its folder, not to another host's folder of that name."""
    file, _ = admitted(tx, drop, b"a.jpg", 1)
    work.put_decision(tx, file.id, Decision(choice=Choice.HUMAN, reason="ours", by="desk", at=NOW))
    for _ in range(2):
        intake.missed(tx, drop, [b"a.jpg"], at())
    copy, _ = admitted(tx, intake.folder(tx, "elsewhere", "drop").id, b"b.jpg", 1)
    assert again(tx, copy).decision is None
    heir, _ = admitted(tx, drop, b"c.jpg", 1)
    assert again(tx, heir).decision is not None


def test_a_path_whose_file_was_moved_is_free_for_another(tx: Transaction, drop: int) -> None:
    """The next photo of that name is a file of its own."""
    file, _ = judged(tx, drop)
    work.advance_file(tx, file.id, Destined(Outcome.HUMAN, None, b"human/a.jpg"), at())
    work.advance_file(tx, file.id, Delivered(b"human/a.jpg", OTHER_SHAPE), at())
    another, _ = admitted(tx, drop)
    assert another.id != file.id
    assert (FileState.DELIVERED, b"human/a.jpg") == (again(tx, file).state, again(tx, file).lies_at)


def test_a_file_is_gone_when_two_scans_missed_it(tx: Transaction, drop: int) -> None:
    """One scan may have come at a bad moment; after two the content is not sent any more."""
    file, analysis = admitted(tx, drop)
    assert [0, 1, 0] == [intake.missed(tx, drop, [b"a.jpg"], at()) for _ in range(3)]
    assert FileState.GONE is again(tx, file).state
    assert reading.analysis(tx, analysis.id).due is None
    assert [] == uploads(tx, drop)


def test_a_file_that_is_back_goes_on(tx: Transaction, drop: int) -> None:
    """What was gone and is seen again, as it was, is sent as if nothing had been."""
    file, analysis = admitted(tx, drop)
    for _ in range(2):
        intake.missed(tx, drop, [b"a.jpg"], at())
    intake.seen(tx, drop, [b"a.jpg", b"unknown.jpg"], at(5))
    assert (FileState.WAITING, 0) == (again(tx, file).state, again(tx, file).missing)
    assert NOW + 5 * SECOND == reading.analysis(tx, analysis.id).due


def test_a_file_that_was_given_up_and_went_away_can_come_back(tx: Transaction, drop: int) -> None:
    """A delivery that was stuck begins anew when the file is there again."""
    file, _ = judged(tx, drop)
    work.put_file(tx, replace(file, due=None, stuck_at=NOW, failures=5, failing_since=NOW))
    for _ in range(2):
        intake.missed(tx, drop, [b"a.jpg"], at())
    intake.seen(tx, drop, [b"a.jpg"], at(5))
    assert (NOW + 5 * SECOND, None, 0) == (
        again(tx, file).due,
        again(tx, file).stuck_at,
        again(tx, file).failures,
    )


def test_a_file_on_its_way_is_not_missed(tx: Transaction, drop: int) -> None:
    """While a delivery moves it, its delivery says where it is."""
    file, _ = judged(tx, drop)
    work.advance_file(tx, file.id, Destined(Outcome.HUMAN, None, b"human/a.jpg"), at())
    assert 0 == sum(intake.missed(tx, drop, [b"a.jpg"], at()) for _ in range(3))
    assert FileState.WAITING is again(tx, file).state


def test_a_content_with_another_file_goes_on_when_one_is_gone(tx: Transaction, drop: int) -> None:
    """It is sent from the copy that is still there."""
    admitted(tx, drop)
    admitted(tx, drop, b"copy.jpg")
    for _ in range(2):
        intake.missed(tx, drop, [b"a.jpg"], at())
    assert [b"copy.jpg"] == uploads(tx, drop)


# What is left alone, and what is held.


def test_what_is_left_alone_is_not_looked_at_again(tx: Transaction, drop: int) -> None:
    """It is remembered with the reason until it, or the rules, change."""
    intake.leave(tx, an_arrival(drop, b"notes.txt"), "no media", "rules 1", at())
    intake.leave(tx, an_arrival(drop, b"notes.txt", fingerprint=OTHER_SHAPE), "no media", "rules 1", at())
    found = views.left_at(tx, drop, b"notes.txt")
    assert found is not None
    assert "no media" == found.reason
    assert 0 == intake.forget_left(tx, drop, "rules 1", "rules 2")
    assert [0, 1] == [intake.forget_left(tx, drop, rules) for rules in ("rules 1", "rules 2")]
    assert views.left_at(tx, drop, b"notes.txt") is None


def test_what_was_left_alone_and_is_gone_is_forgotten(tx: Transaction, drop: int) -> None:
    """A name that is not there any more is not worth a row."""
    intake.leave(tx, an_arrival(drop, b"notes.txt"), "no media", "rules 1", at())
    intake.missed(tx, drop, [b"notes.txt"], at())
    assert {} == rows_of(tx, drop, b"")


def test_what_was_left_alone_and_is_media_after_all_is_admitted(tx: Transaction, drop: int) -> None:
    """A path is either a file or left alone, never both."""
    intake.leave(tx, an_arrival(drop), "no media", "rules 1", at())
    admitted(tx, drop)
    assert (1, None) == (len(rows_of(tx, drop, b"")), views.left_at(tx, drop, b"a.jpg"))
    intake.leave(tx, an_arrival(drop), "no media", "rules 1", at())
    assert (1, None) == (len(rows_of(tx, drop, b"")), whereabouts.at_place(tx, drop, b"a.jpg"))


def held(tx: Transaction, folder_id: int, number: int) -> None:
    """Hold files of an archive, the later ones modified later, by a second each."""
    shapes = [replace(SHAPE, mtime_ns=n * 1_000_000_000) for n in range(number)]
    arrivals = [an_arrival(folder_id, b"%d.jpg" % n, fingerprint=shape) for n, shape in enumerate(shapes)]
    archive.hold(tx, arrivals)


def test_what_is_held_is_neither_hashed_nor_sent(tx: Transaction, drop: int) -> None:
    """An archive waits for its release; holding it twice changes nothing."""
    held(tx, drop, 3)
    held(tx, drop, 3)
    archive.hold(tx, [])
    assert ([], 3) == (archive.to_admit(tx, drop, 10), views.counts(tx).held)


@pytest.mark.parametrize(("above", "stays"), [(2, 3), (3, 0), (500, 0)])
def test_a_small_archive_is_judged_all_the_same(tx: Transaction, drop: int, above: int, stays: int) -> None:
    """At the end of the first scan only an archive above the number stays held."""
    held(tx, drop, 3)
    assert stays == archive.archived(tx, drop, NOW, above, is_whole=True)
    assert 3 - stays == len(archive.to_admit(tx, drop, 10))
    assert NOW == intake.folder(tx, NODE, "drop").archived_at


def test_the_newest_are_released_first(tx: Transaction, drop: int) -> None:
    """A release can be limited by number, by date and to one folder."""
    held(tx, drop, 10)
    other = intake.folder(tx, NODE, "other").id
    held(tx, other, 2)
    newer = schema.EPOCH + 6 * SECOND
    assert 2 == archive.release(tx, at(), folder_id=drop, limit=2)
    assert [b"8.jpg", b"9.jpg"] == sorted(file.path for file in archive.to_admit(tx, drop, 99))
    assert 2 == archive.release(tx, at(), newer_than=newer)
    assert [b"6.jpg", b"7.jpg"] == sorted(file.path for file in archive.to_admit(tx, drop, 99))[:2]
    assert 8 == archive.release(tx, at())
    assert 0 == views.counts(tx).held


def test_one_file_is_released_with_a_priority_of_its_own(tx: Transaction, drop: int) -> None:
    """What is judged by hand goes before everything."""
    held(tx, drop, 3)
    file = whereabouts.at_place(tx, drop, b"1.jpg")
    assert file is not None
    archive.release(tx, at(), limit=2)
    archive.release_one(tx, file.id, 1000)
    archive.release(tx, at())
    assert {0} == {one.priority for one in archive.to_admit(tx, drop, 99)}
    held(tx, drop, 4)
    last = whereabouts.at_place(tx, drop, b"3.jpg")
    assert last is not None
    archive.release_one(tx, last.id, 1000)
    assert [(b"3.jpg", 1000)] == [(one.path, one.priority) for one in archive.to_admit(tx, drop, 1)]


def test_what_is_gone_or_replaced_is_not_held(tx: Transaction, drop: int) -> None:
    """A held file that two scans missed waits for no release; when it is back it is held again."""
    held(tx, drop, 2)
    for _ in range(2):
        intake.missed(tx, drop, [b"0.jpg"], at())
    intake.leave(tx, an_arrival(drop, b"1.jpg"), "no media", "rules 1", at())
    assert 0 == views.counts(tx).held
    intake.seen(tx, drop, [b"0.jpg"], at(5))
    back = whereabouts.at_place(tx, drop, b"0.jpg")
    assert back is not None
    assert (FileState.WAITING, True) == (back.state, back.held)
    assert ([], 1) == (archive.to_admit(tx, drop, 10), views.counts(tx).held)


def test_a_held_file_that_one_scan_missed_is_still_held(tx: Transaction, drop: int) -> None:
    """One scan may be wrong, and must not release anything."""
    held(tx, drop, 1)
    intake.missed(tx, drop, [b"0.jpg"], at())
    assert 1 == views.counts(tx).held


def test_a_folder_on_another_file_system_has_no_archive_yet(tx: Transaction, drop: int) -> None:
    """What lies there was not there when the first scan ended."""
    archive.archived(tx, drop, NOW, 0, is_whole=True)
    intake.pin(tx, drop, "/dev/sdb1 (ext4, /)", NODE)
    assert intake.folder(tx, NODE, "drop").archived_at is None


# The queue.


def standing(tx: Transaction) -> set[tuple[str, int]]:
    """Return whose queue which analysis stands in."""
    found = tx.execute(sa.select(schema.queue.c.whose, schema.queue.c.analysis_id))
    return {(row.whose, row.analysis_id) for row in found}


def test_each_host_that_has_a_file_of_a_content_finds_it(tx: Transaction, drop: int) -> None:
    """Once, however many it has; and nobody else does."""
    attic = intake.folder(tx, ANOTHER.node, "drop").id
    _, ours = admitted(tx, drop, b"a.jpg", 1)
    admitted(tx, drop, b"b.jpg", 1)
    _, theirs = admitted(tx, attic, b"c.jpg", 2)
    admitted(tx, attic, b"a.jpg", 1)
    assert {(NODE, ours.id), (ANOTHER.node, ours.id), (ANOTHER.node, theirs.id)} == standing(tx)
    assert 1 == len(uploads(tx, drop))
    begun = claims.begin_uploads(
        tx, ANOTHER, at(1), reach={attic: ANOTHER.node}, room=Room(turns=[False] * 9)
    )
    assert [b"c.jpg"] == [file.path for _, file in begun]
    assert set() == standing(tx)


def test_a_share_has_a_queue_of_its_own(tx: Transaction, drop: int) -> None:
    """Whoever has the share sends what lies there, and what it has for itself."""
    share = intake.folder(tx, schema.SHARED, "wire").id
    _, shared = admitted(tx, share, b"a.jpg", 1, noticed_at=NOW - SECOND)
    _, own = admitted(tx, drop, b"b.jpg", 2)
    assert {(f"/{share}", shared.id), (NODE, own.id)} == standing(tx)
    reach = {share: queue.whose(schema.SHARED, share), drop: queue.whose(NODE, drop)}
    begun = claims.begin_uploads(tx, ME, at(1), reach=reach, room=Room(turns=[False] * 9))
    assert [b"b.jpg", b"a.jpg"] == [file.path for _, file in begun]


def test_what_was_not_sent_stands_in_the_queue_again(tx: Transaction, drop: int) -> None:
    """It is due when its backoff is over."""
    _, analysis = admitted(tx, drop)
    assert [b"a.jpg"] == uploads(tx, drop)
    assert set() == standing(tx)
    failed = advanced(tx, analysis, Unsent("no route to host", counts=True), seconds=2)
    assert failed.due is not None
    assert failed.due > NOW + 2 * SECOND
    assert {(NODE, analysis.id)} == standing(tx)
    assert failed.due == dues.soonest(tx, {drop: NODE}, uploads=True)
    assert dues.soonest(tx, {drop: ANOTHER.node}, uploads=True) is None
    assert [] == uploads(tx, drop)
    assert [b"a.jpg"] == uploads(tx, drop, seconds=(failed.due - NOW).total_seconds())


def test_a_host_whose_file_is_gone_does_not_send_it(tx: Transaction, drop: int) -> None:
    """Others that have one do; back again it may be sent from there."""
    attic = intake.folder(tx, ANOTHER.node, "drop").id
    _, analysis = admitted(tx, drop)
    admitted(tx, attic, b"copy.jpg")
    for _ in range(2):
        intake.missed(tx, drop, [b"a.jpg"], at(1))
    assert {(ANOTHER.node, analysis.id)} == standing(tx)
    for _ in range(2):
        intake.missed(tx, attic, [b"copy.jpg"], at(2))
    assert set() == standing(tx)
    intake.seen(tx, drop, [b"a.jpg"], at(3))
    assert {(NODE, analysis.id)} == standing(tx)


def test_what_does_not_wait_is_not_sent_though_it_stands_in_the_queue(tx: Transaction, drop: int) -> None:
    """Whoever put it there: it is taken out, and keeps nothing waiting."""
    judged(tx, drop, b"new.jpg", 1)
    admitted(tx, drop, b"old.jpg", 2, noticed_at=NOW - SECOND)
    stray = {"whose": NODE, "backlog": False, "priority": 9, "noticed_at": NOW, "due": NOW}
    tx.execute(sa.insert(schema.queue).values(analysis_id=1, **stray))
    assert (0, 1) == queue.differing(tx)
    assert [] == uploads(tx, drop)
    assert [b"old.jpg"] == uploads(tx, drop)


def test_what_was_given_up_is_not_sent_though_it_stands_in_the_queue(tx: Transaction, drop: int) -> None:
    """A row of the queue alone is no leave to send."""
    _, stuck = admitted(tx, drop)
    is_it = schema.analyses.c.id == stuck.id
    tx.execute(sa.update(schema.analyses).where(is_it).values(due=None, stuck_at=NOW))
    assert {(NODE, stuck.id)} == standing(tx)
    assert [] == uploads(tx, drop)
    assert set() == standing(tx)
    assert stuck.id in {one.id for one in reading.analyses_of(tx, stuck.sha256) if one.stuck_at is not None}


def test_what_a_daemon_without_a_queue_leaves_is_put_right(tx: Transaction, drop: int) -> None:
    """What it admitted stands there then, what it gave up no longer, and what it moved where it is now."""
    _, new = admitted(tx, drop, b"new.jpg", 1)
    _, stuck = admitted(tx, drop, b"stuck.jpg", 2)
    _, hot = admitted(tx, drop, b"hot.jpg", 3)
    of = schema.analyses.c.id
    tx.execute(sa.delete(schema.queue).where(schema.queue.c.analysis_id == new.id))
    tx.execute(sa.update(schema.analyses).where(of == stuck.id).values(due=None, stuck_at=NOW))
    tx.execute(sa.update(schema.analyses).where(of == hot.id).values(priority=9))
    assert 3 == queue.mend(tx)
    assert 0 == queue.mend(tx)
    assert {(NODE, new.id), (NODE, hot.id)} == standing(tx)
    assert [b"hot.jpg", b"new.jpg"] == uploads(tx, drop)


def test_what_is_sent_as_another_kind_is_not_sent_as_both(tx: Transaction, drop: int) -> None:
    """A file whose content counts as another medium since the rules changed leaves the queue as the old one."""
    _, before = admitted(tx, drop)
    admission.admit(tx, an_arrival(drop), a_content(media=Media.VIDEO), at(1))
    ((_, now),) = standing(tx)
    assert before.id != now
    assert reading.analysis(tx, before.id).due is None, "no file has it: it is no upload that is to be made"


BEFORE_THE_QUEUE = (
    "DROP TABLE queue",
    "DROP INDEX ix_analyses_queued",
    "CREATE INDEX ix_analyses_hottest ON analyses (state, backlog, priority, noticed_at) WHERE due IS NOT NULL",
    "CREATE INDEX ix_analyses_oldest ON analyses (state, backlog, noticed_at) WHERE due IS NOT NULL",
    "CREATE INDEX ix_analyses_claim ON analyses (claimed_by, claim) WHERE claimed_by IS NOT NULL",
    "UPDATE alembic_version SET version_num = '0007'",
)


def test_what_waited_before_there_was_a_queue_stands_in_it(ledger: Ledger) -> None:
    """A ledger of the version before is brought to this one, with what waits there and nothing else."""
    with ledger.write() as tx:
        drop = intake.folder(tx, NODE, "drop").id
        share = intake.folder(tx, schema.SHARED, "wire").id
        _, hot = admitted(tx, drop, b"hot.jpg", 1, priority=3, backlog=True)
        admitted(tx, share, b"copy.jpg", 1)
        judged(tx, drop, b"old.jpg", 2)
        admitted(tx, drop, b"gone.jpg", 3)
        for _ in range(2):
            intake.missed(tx, drop, [b"gone.jpg"], at(1))
        before = standing(tx)
    with ledger.write() as tx:
        for statement in BEFORE_THE_QUEUE:
            tx.exec_driver_sql(statement)
        if tx.dialect.name == "postgresql":
            tx.exec_driver_sql("DROP FUNCTION history_end()")
    url = ledger._store.url.render_as_string(hide_password=False)
    with Ledger(url, node=NODE) as later, later.write() as tx:
        assert {(NODE, hot.id), (f"/{share}", hot.id)} == before == standing(tx)
        assert (0, 0) == queue.differing(tx)
        assert [b"hot.jpg"] == uploads(tx, drop)


# Claims.


def test_the_hottest_then_the_newest_goes_first(tx: Transaction, drop: int) -> None:
    """Priority counts first, then whether it is news or backlog, then age."""
    admitted(tx, drop, b"old", 1, noticed_at=NOW - SECOND)
    admitted(tx, drop, b"new", 2, backlog=True)
    admitted(tx, drop, b"hot", 3, priority=1, noticed_at=NOW - 9 * SECOND)
    assert [b"hot", b"old", b"new"] == uploads(tx, drop)


def test_now_and_then_the_oldest_goes(tx: Transaction, drop: int) -> None:
    """With ``oldest`` the one that has waited longest is sent, so that nothing starves."""
    admitted(tx, drop, b"new", 2, priority=7)
    admitted(tx, drop, b"old", 1, noticed_at=NOW - SECOND, backlog=True)
    assert [b"old", b"new"] == uploads(tx, drop, oldest=True)


def test_the_backlog_can_be_left_out(tx: Transaction, drop: int) -> None:
    """When its share of the purse is used only new files go."""
    admitted(tx, drop, b"archive", 1, backlog=True, noticed_at=NOW + SECOND)
    admitted(tx, drop, b"new", 2)
    assert [b"new"] == uploads(tx, drop, backlog=False)


def test_large_contents_can_be_left_out(tx: Transaction, drop: int) -> None:
    """When the slots for large files are taken a smaller one goes."""
    admitted(tx, drop, b"film", 1, fingerprint=replace(SHAPE, size=10**9))
    admitted(tx, drop, b"photo", 2)
    assert [b"photo"] == uploads(tx, drop, at_most=10**8)


def test_a_folder_that_cannot_be_reached_does_not_keep_the_others_waiting(tx: Transaction, drop: int) -> None:
    """However many contents wait in an unavailable folder, those of the other one are sent."""
    far = intake.folder(tx, NODE, "far").id
    for mark in range(100, 150):
        admitted(tx, far, b"%d.jpg" % mark, mark, priority=9)
    admitted(tx, drop)
    assert [b"a.jpg"] == uploads(tx, drop)


def test_an_upload_is_read_from_a_file_that_was_seen(tx: Transaction, drop: int) -> None:
    """Of several copies the one that the last scan saw is read."""
    admitted(tx, drop, b"first.jpg")
    admitted(tx, drop, b"second.jpg")
    intake.missed(tx, drop, [b"first.jpg"], at())
    assert [b"second.jpg"] == uploads(tx, drop)


def test_a_content_that_is_sent_is_not_sent_again(tx: Transaction, drop: int) -> None:
    """Nobody else begins its upload, not even when the claim has lapsed: what became of it is in doubt then."""
    admitted(tx, drop)
    assert begin_upload(tx, ME, NOW, folder_ids=[drop]) is not None
    assert begin_upload(tx, ANOTHER, NOW + TTL - SECOND, folder_ids=[drop]) is None
    assert begin_upload(tx, ANOTHER, NOW + TTL, folder_ids=[drop]) is None


def test_a_claimed_question_is_not_claimed_again(tx: Transaction, drop: int) -> None:
    """Until the claim lapses nobody else works on the row."""
    (row,) = awaited(tx, drop, 1)
    assert row.due is not None

    def claimed(claimant: Claimant, seconds: timedelta) -> list[int]:
        now = (row.due or NOW) + seconds
        found = claims.claim_polls(tx, claimant, now, Media.IMAGE, ahead=SECOND, limit=50)
        return [one.id for one in found]

    assert [row.id] == claimed(ME, 0 * SECOND)
    assert [] == claimed(ANOTHER, TTL - SECOND)
    assert [row.id] == claimed(ANOTHER, TTL)


def test_a_renewed_claim_holds_on(tx: Transaction, drop: int) -> None:
    """The loop renews every claim of its run, of analyses and of files."""
    (asked,) = awaited(tx, drop, 1)
    admitted(tx, drop)
    judged(tx, drop, b"b.jpg", 2)
    begin_upload(tx, ME, NOW, folder_ids=[drop])
    claims.claim_deliveries(tx, ME, NOW + SECOND, drop, 10)
    ask = {"media": Media.IMAGE, "ahead": DAY, "limit": 50}
    assert [asked.id] == [one.id for one in claims.claim_polls(tx, ME, asked.due or NOW, **ask)]
    claims.renew(tx, ME, NOW + 10 * SECOND, [asked.id])
    later = NOW + 20 * SECOND
    assert [] == claims.lapsed(tx, later)
    assert [] == claims.claim_polls(tx, ANOTHER, later, **ask)
    assert [] == claims.claim_deliveries(tx, ANOTHER, later, drop, 10)


def test_whoever_lost_a_claim_cannot_write(tx: Transaction, drop: int) -> None:
    """The token fences: an answer that comes after the claim was taken over changes nothing."""
    (row,) = awaited(tx, drop, 1)
    assert row.due is not None
    for claimant, now in ((ME, row.due), (ANOTHER, row.due + TTL)):
        claims.claim_polls(tx, claimant, now, Media.IMAGE, ahead=SECOND, limit=50)
    assert work.advance(tx, row.id, Judged(VERDICT, RAW), at(40), ME) is None
    assert row == reading.analysis(tx, row.id)
    assert work.advance(tx, row.id, Judged(VERDICT, RAW), at(40), ANOTHER) is not None


def test_whoever_lost_a_delivery_cannot_write(tx: Transaction, drop: int) -> None:
    """A delivery whose file was superseded meanwhile changes nothing in the ledger."""
    file, _ = judged(tx, drop)
    claims.claim_deliveries(tx, ME, NOW + SECOND, drop, 10)
    admission.admit(tx, an_arrival(drop, fingerprint=OTHER_SHAPE), a_content(2), at(2))
    assert work.advance_file(tx, file.id, Delivered(None, None), at(3), ME) is None
    assert FileState.SUPERSEDED is again(tx, file).state


def test_a_node_that_starts_frees_its_own_claims(tx: Transaction, drop: int) -> None:
    """A restarted daemon finds at once what it was about; what another host works on stays."""
    admitted(tx, drop)
    admitted(tx, drop, b"b.jpg", 2)
    mine = begin_upload(tx, ME, NOW, folder_ids=[drop])
    assert mine is not None
    assert begin_upload(tx, ANOTHER, NOW, folder_ids=[drop]) is not None
    claims.free(tx, NODE)
    assert [mine[0].id] == [row.id for row in claims.lapsed(tx, NOW)]


def test_an_upload_whose_daemon_died_is_in_doubt(tx: Transaction, drop: int) -> None:
    """A claim that lapsed while it was sent is found, and brings Deferred."""
    admitted(tx, drop)
    begun = begin_upload(tx, ME, NOW, folder_ids=[drop])
    assert begun is not None
    assert [] == claims.lapsed(tx, NOW + TTL - SECOND)
    assert [begun[0].id] == [row.id for row in claims.lapsed(tx, NOW + TTL)]
    row = advanced(tx, begun[0], Deferred("the daemon ended", counts=False))
    assert (AnalysisState.QUEUED, True) == (row.state, row.doubt)
    assert [] == claims.lapsed(tx, NOW + DAY)


def test_a_question_keeps_its_claim_when_nothing_happens(tx: Transaction, drop: int) -> None:
    """A file that comes or goes while its verdict is asked for does not lose the answer."""
    file, analysis = admitted(tx, drop)
    advanced(tx, analysis, Begun(), Uploaded("id-1"))
    claims.claim_polls(tx, ME, NOW + 9 * SECOND, Media.IMAGE, ahead=SECOND, limit=50)
    for _ in range(2):
        work.advance_file(tx, file.id, Missed(), at(9))
    work.advance_file(tx, file.id, Seen(), at(9))
    assert work.advance(tx, analysis.id, Pending(), at(10), ME) is not None


def awaited(tx: Transaction, folder_id: int, number: int) -> list[Analysis]:
    """Upload contents, each a second after the one before."""
    found = []
    for mark in range(number):
        _, analysis = admitted(tx, folder_id, b"%d.jpg" % mark, mark)
        found.append(advanced(tx, analysis, Begun(), Uploaded(f"id-{mark}"), seconds=mark))
    return found


def test_a_poll_takes_along_what_may_be_done_soon(tx: Transaction, drop: int) -> None:
    """When one is due the next of its kind are asked with it, the likeliest first, at most as many as fit."""
    first, *_ = awaited(tx, drop, 5)
    assert first.due is not None
    before, after = first.due - SECOND, first.due
    assert [] == claims.claim_polls(tx, ME, before, Media.IMAGE, ahead=9 * SECOND, limit=50)
    assert [] == claims.claim_polls(tx, ME, after, Media.VIDEO, ahead=9 * SECOND, limit=50)
    claimed = claims.claim_polls(tx, ME, after, Media.IMAGE, ahead=2 * SECOND, limit=50)
    assert ["id-0", "id-1", "id-2"] == [row.identifier for row in claimed]
    rest = claims.claim_polls(tx, ME, after + 9 * SECOND, Media.IMAGE, ahead=SECOND, limit=1)
    assert ["id-3"] == [row.identifier for row in rest]


def test_what_is_due_is_counted_without_claiming_it(tx: Transaction, drop: int) -> None:
    """The daemon knows whose turn it is before it claims anything; what is being asked for is not counted."""
    first, *_ = awaited(tx, drop, 5)
    assert first.due is not None
    last = first.due + 4 * SECOND
    assert (0, 1) == (
        claims.due_polls(tx, first.due - SECOND, 50)[Media.IMAGE],
        claims.due_polls(tx, first.due, 50)[Media.IMAGE],
    )
    assert (5, 3) == tuple(claims.due_polls(tx, last, most)[Media.IMAGE] for most in (50, 3))
    assert 0 == claims.due_polls(tx, last, 50)[Media.AUDIO]
    claims.claim_polls(tx, ME, last, Media.IMAGE, ahead=SECOND, limit=2)
    assert 3 == claims.due_polls(tx, last, 50)[Media.IMAGE]
    rest = claims.still_awaited(tx, first.due, Media.IMAGE, ahead=3 * SECOND, limit=50)
    assert ["id-2", "id-3"] == [row.identifier for row in rest]


def test_only_what_nobody_asks_for_is_put_off(tx: Transaction, drop: int) -> None:
    """What is presumed to be pending is due later; an answer that is under way says better."""
    asked, rest, done = awaited(tx, drop, 3)
    assert asked.due is not None
    claims.claim_polls(tx, ME, asked.due, Media.IMAGE, ahead=SECOND * 0, limit=1)
    advanced(tx, done, Judged(VERDICT, RAW), seconds=9)
    later = NOW + 60 * SECOND
    claims.put_off(tx, dict.fromkeys([asked.id, rest.id, done.id], later))
    assert [asked.due, later, None] == [reading.analysis(tx, row.id).due for row in (asked, rest, done)]
    claims.put_off(tx, {})


def test_the_loop_learns_when_the_next_content_is_due(tx: Transaction, drop: int) -> None:
    """The soonest instant that is still to come, of what is queued or awaited; what is due already needs no waiting."""
    assert dues.resting(tx, {drop: NODE}, NOW) is None
    first, second, *_ = awaited(tx, drop, 3)
    assert first.due is not None
    assert first.due == dues.resting(tx, {drop: NODE}, NOW)
    assert second.due == dues.resting(tx, {drop: NODE}, first.due)
    assert dues.resting(tx, {drop: NODE}, NOW + DAY) is None


def test_what_is_awaited_too_long_is_found_once(tx: Transaction, drop: int) -> None:
    """After its deadline a verdict is given up, and is not found again."""
    (row,) = awaited(tx, drop, 1)
    assert row.deadline is not None
    assert [] == claims.overdue(tx, row.deadline - SECOND)
    assert [row.id] == [one.id for one in claims.overdue(tx, row.deadline)]
    work.advance(tx, row.id, Overdue(), at(7200))
    assert [] == claims.overdue(tx, row.deadline + DAY)
    assert [] == claims.claim_polls(tx, ME, row.deadline + DAY, Media.IMAGE, ahead=SECOND, limit=50)


def test_deliveries_are_of_one_folder_hot_ones_first(tx: Transaction, drop: int) -> None:
    """A delivery brings all that its sidecar says."""
    other = intake.folder(tx, NODE, "other").id
    judged(tx, other, b"other.jpg", 9)
    judged(tx, drop, b"cold.jpg", 1)
    hot, _ = admitted(tx, drop, b"hot.jpg", 1, priority=4)
    found = claims.claim_deliveries(tx, ME, NOW + 2 * SECOND, drop, 10)
    assert [b"hot.jpg", b"cold.jpg"] == [one.file.path for one in found]
    assert (hot.id, VERDICT, RAW, None) == (
        found[0].file.id,
        found[0].analysis.verdict if found[0].analysis else None,
        found[0].raw,
        found[0].heatmap,
    )
    assert [] == claims.claim_deliveries(tx, ME, NOW + 2 * SECOND, drop, 10)


def test_a_refusal_of_ours_is_delivered_without_an_analysis(tx: Transaction, drop: int) -> None:
    """There is nothing that the API said."""
    admission.refuse(tx, an_arrival(drop), "too large", "rules 1", at())
    (found,) = claims.claim_deliveries(tx, ME, NOW, drop, 10)
    assert (None, None, None) == (found.analysis, found.raw, found.heatmap)


# Transitions and what follows.


def test_a_verdict_has_every_file_of_its_content_delivered(tx: Transaction, drop: int) -> None:
    """All copies that stand for something are due; the answer is kept, compressed, byte for byte."""
    files = [admitted(tx, drop, b"%d.jpg" % n)[0] for n in range(3)]
    for _ in range(2):
        intake.missed(tx, drop, [b"2.jpg"], at())
    analysis = advanced(tx, analysis_of(tx, files[0]), Begun(), Uploaded("id-1"), Judged(VERDICT, RAW))
    assert [NOW + SECOND, NOW + SECOND, None] == [again(tx, file).due for file in files]
    assert RAW == views.raw_answer(tx, analysis.id)
    assert [(analysis.size, SECOND * 0)] == reading.durations(tx, Media.IMAGE)
    assert [] == reading.durations(tx, Media.VIDEO)


def test_a_refusal_by_the_api_has_its_files_delivered(tx: Transaction, drop: int) -> None:
    """What identifAI will not take is delivered as rejected."""
    file, analysis = admitted(tx, drop)
    advanced(tx, analysis, Begun(), Refused("too dark"))
    assert NOW + SECOND == again(tx, file).due


def test_a_retried_refusal_waits_for_its_new_answer(tx: Transaction, drop: int) -> None:
    """A rejection that was not delivered yet is not delivered while the content is sent again."""
    file, analysis = admitted(tx, drop)
    advanced(tx, analysis, Begun(), Refused("too dark"), Retried())
    assert again(tx, file).due is None
    assert [] == claims.claim_deliveries(tx, ME, NOW + DAY, drop, 10)


def test_an_override_has_delivered_files_delivered_anew(tx: Transaction, drop: int) -> None:
    """What the vendor forces from now on is put where people look."""
    file = delivered(tx, drop)
    analysis = advanced(tx, analysis_of(tx, file), Overridden(Label.HUMAN), seconds=5)
    assert analysis.verdict is not None
    assert (Label.HUMAN, NOW + 5 * SECOND) == (analysis.verdict.forced, again(tx, file).due)


def test_an_event_that_the_table_does_not_know_changes_nothing(tx: Transaction, drop: int) -> None:
    """A bug raises before anything is written."""
    _, analysis = admitted(tx, drop)
    with pytest.raises(lifecycle.UnexpectedError):
        work.advance(tx, analysis.id, Pending(), at())
    assert analysis == reading.analysis(tx, analysis.id)


def test_a_decided_file_waits_for_its_verdict(tx: Transaction, drop: int) -> None:
    """A decision routes the file once there is something to deliver."""
    file, analysis = admitted(tx, drop)
    decision = Decision(choice=Choice.HUMAN, reason="seen it", by="ann", at=NOW)
    work.put_decision(tx, file.id, decision)
    work.advance_file(tx, file.id, Reopened(), at())
    assert (decision, None) == (again(tx, file).decision, again(tx, file).due)
    advanced(tx, analysis, Begun(), Uploaded("id-1"), Judged(VERDICT, RAW))
    assert NOW + SECOND == again(tx, file).due


def test_a_delivery_is_given_up_only_while_others_of_its_folder_succeed(tx: Transaction, drop: int) -> None:
    """A full disk fails every file, however well the API answers: nothing is given up then."""
    file, _ = judged(tx, drop)
    other, _ = judged(tx, drop, b"b.jpg", 2)
    work.advance_file(tx, other.id, Destined(Outcome.HUMAN, None, None), at(2))
    for n in range(9):
        work.advance_file(tx, file.id, Undelivered("no space"), at(10 + n, others_at=NOW + DAY))
    assert (9, None) == (again(tx, file).failures, again(tx, file).stuck_at)
    work.advance_file(tx, other.id, Delivered(None, None), at(30))
    work.advance_file(tx, file.id, Undelivered("no space"), at(31))
    assert NOW + 31 * SECOND == again(tx, file).stuck_at
    assert [file.id] == [one.id for one in reading.stuck_files(tx)]


def test_a_rejudged_content_is_a_new_edition(tx: Transaction, drop: int) -> None:
    """It is paid again, for every file that has it; the earlier verdict is kept."""
    file = delivered(tx, drop)
    waiting, _ = admitted(tx, drop, b"copy.jpg")
    fresh = editions.new_edition(tx, file, at(9))
    assert fresh is not None
    assert (1, True, AnalysisState.QUEUED, NOW + 9 * SECOND) == (
        fresh.edition,
        fresh.no_cache,
        fresh.state,
        fresh.due,
    )
    assert [fresh.id] * 2 == [again(tx, one).analysis_id for one in (file, waiting)]
    assert [1, 0] == [one.edition for one in views.editions_of(tx, fresh)]
    assert editions.new_edition(tx, again(tx, file), at(10)) is None


def test_nothing_is_delivered_while_a_content_is_rejudged(tx: Transaction, drop: int) -> None:
    """A delivery that was due is not made from an analysis that has no verdict yet."""
    file, _ = judged(tx, drop)
    editions.new_edition(tx, file, at(9))
    assert [] == claims.claim_deliveries(tx, ME, NOW + DAY, drop, 10)
    assert again(tx, file).due is None


def test_a_file_that_was_never_analysed_cannot_be_rejudged(tx: Transaction, drop: int) -> None:
    """There is no content to send."""
    admission.refuse(tx, an_arrival(drop), "too large", "rules 1", at())
    file = whereabouts.at_place(tx, drop, b"a.jpg")
    assert file is not None
    assert editions.new_edition(tx, file, at()) is None


def test_a_copy_of_a_rejudged_content_shares_the_newest_edition(tx: Transaction, drop: int) -> None:
    """What was judged anew is what holds."""
    file = delivered(tx, drop)
    fresh = editions.new_edition(tx, file, at(9))
    copy, _ = admitted(tx, drop, b"copy.jpg")
    assert fresh is not None
    assert fresh.id == copy.analysis_id
    assert {file.analysis_id, fresh.id} == {one.id for one in reading.analyses_of(tx, fresh.sha256)}


def test_what_was_delivered_wrongly_by_now_is_delivered_anew(tx: Transaction, drop: int) -> None:
    """A decision that came while the delivery was under way is not lost."""
    file = delivered(tx, drop)
    work.reroute(tx, [file], lambda _: (Outcome.HUMAN, None), at(5))
    assert FileState.DELIVERED is again(tx, file).state
    work.reroute(tx, [file], lambda _: (Outcome.ARTIFICIAL, "decided"), at(5))
    assert (FileState.WAITING, NOW + 5 * SECOND) == (again(tx, file).state, again(tx, file).due)


def test_a_heatmap_is_kept_and_delivered(tx: Transaction, drop: int) -> None:
    """A heatmap that came has its files delivered with it; one that did not is asked for again."""
    file = delivered(tx, drop)
    analysis = analysis_of(tx, file)
    put_analysis(tx, replace(analysis, heatmap_due=NOW))
    claimed = claims.claim_heatmap(tx, ME, NOW)
    assert claimed is not None
    assert claims.claim_heatmap(tx, ANOTHER, NOW) is None
    work.keep_heatmap(tx, claimed, None, NOW + SECOND, at())
    assert claims.claim_heatmap(tx, ME, NOW) is None
    claimed = claims.claim_heatmap(tx, ME, NOW + SECOND)
    assert claimed is not None
    assert 1 == claimed.heatmap_failures
    work.keep_heatmap(tx, claimed, b"PNG", None, at(2))
    (found,) = claims.claim_deliveries(tx, ME, NOW + 2 * SECOND, drop, 10)
    assert (b"PNG", file.id) == (found.heatmap, found.file.id)
    assert claims.claim_heatmap(tx, ME, NOW + DAY) is None


def test_the_fingerprint_is_written_anew_after_our_own_writes(tx: Transaction, drop: int) -> None:
    """What we changed ourselves is not taken for a change."""
    file, _ = admitted(tx, drop)
    whereabouts.touch(tx, file.id, OTHER_SHAPE)
    assert OTHER_SHAPE == again(tx, file).fingerprint


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.integers(0, 2), st.integers(1, 3)),
        st.tuples(st.just("refuse"), st.integers(0, 2), st.integers(1, 3)),
        st.tuples(st.just("leave"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("missed"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("seen"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("rejudge"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("retry"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("answer"), st.integers(0, 2), st.integers(0, 5)),
        st.tuples(st.just("deliver"), st.just(0), st.integers(0, 2)),
    ),
    max_size=25,
)
ANSWERS: list[list[AnalysisEvent]] = [
    [Begun(), Unsent("401")],
    [Begun(), Deferred("reset")],
    [Begun(), Refused("too dark")],
    [Begun(), Uploaded("id"), Judged(VERDICT, RAW)],
    [Begun(), Uploaded("id"), Errored("broken")],
    [Begun(), Uploaded("id")],
]
DELIVERIES: list[list[FileEvent]] = [
    [Destined(Outcome.HUMAN, None, None), Delivered(None, None)],
    [Destined(Outcome.HUMAN, None, b"human/x"), Delivered(b"human/x", OTHER_SHAPE)],
    [Destined(Outcome.HUMAN, None, None), *([Undelivered("no space")] * 5)],
]


@given(steps=STEPS)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_happens_rows_agree_with_one_another(
    ledger: Ledger, steps: list[tuple[str, int, int]]
) -> None:
    """In every order of what folders, the API and operators do, what is due is what the tables call a duty."""
    with ledger.write() as tx:
        walks = tx.execute(sa.select(sa.func.count()).select_from(schema.folders)).scalar()
        folder_id = intake.folder(tx, NODE, f"walk {walks}").id
        for second, (verb, path, mark) in enumerate(steps):
            walked(tx, folder_id, verb, b"%d.jpg" % path, mark, at(second))
            agreed(tx, folder_id)


def walked(tx: Transaction, folder_id: int, verb: str, path: bytes, mark: int, step: Step) -> None:
    """Take one step of a walk."""
    arrival = an_arrival(folder_id, path, fingerprint=replace(SHAPE, mtime_ns=mark), noticed_at=step.now)
    file = whereabouts.at_place(tx, folder_id, path)
    analysis = None if file is None or file.analysis_id is None else reading.analysis(tx, file.analysis_id)
    match verb:
        case "admit":
            admission.admit(tx, arrival, a_content(mark, options=str(folder_id)), step)
        case "refuse":
            admission.refuse(tx, arrival, f"too large ({mark})", "rules", step)
        case "leave":
            intake.leave(tx, arrival, "no media", "rules", step)
        case "missed":
            intake.missed(tx, folder_id, [path], step)
        case "seen":
            intake.seen(tx, folder_id, [path], step)
        case "rejudge" if file is not None:
            editions.new_edition(tx, file, step)
        case "retry" if file is not None:
            if analysis is not None:
                work.advance(tx, analysis.id, Retried(), step)
            work.advance_file(tx, file.id, Retried(), step)
        case "answer" if analysis is not None and analysis.state is AnalysisState.QUEUED:
            for event in ANSWERS[mark]:
                work.advance(tx, analysis.id, event, step)
        case "deliver":
            for due in claims.claim_deliveries(tx, ME, step.now + SECOND, folder_id, 2):
                for happened in DELIVERIES[mark]:
                    work.advance_file(tx, due.file.id, happened, step, ME, keep_claim=True)
        case _:
            pass


def agreed(tx: Transaction, folder_id: int) -> None:
    """Hold every file of a folder against its analysis."""
    query = rows.select_files().where(schema.files.c.folder_id == folder_id)
    for file in [rows.file(row) for row in tx.execute(query)]:
        state = None if file.analysis_id is None else reading.analysis(tx, file.analysis_id).state
        duty = lifecycle.duty(file, state)
        if file.due is not None:
            assert duty is Duty.DELIVER
        if duty is Duty.DELIVER:
            assert (file.due is None) == (file.stuck_at is not None)
        if file.state in {FileState.WAITING, FileState.DELIVERED} and state is AnalysisState.QUEUED:
            queued = analysis_of(tx, file)
            assert (queued.due is None) == (queued.stuck_at is not None)


# The budget.


def test_every_request_takes_an_instant_and_leaves_a_row(tx: Transaction) -> None:
    """Departures of one method are counted apart from the other's, in the order of their instants."""
    limits = Limits(posts_per_second=1, posts_per_minute=30)
    instants = [budget.depart(tx, "POST", limits, NOW) for _ in range(3)]
    assert [NOW, NOW + 1.02 * SECOND, NOW + 2.04 * SECOND] == instants
    assert NOW == budget.depart(tx, "GET", limits, NOW)
    assert (instants, [NOW]) == (budget.sent(tx, "POST", NOW), budget.sent(tx, "GET", NOW))


def test_the_engine_reckons_an_instant_as_the_gate_does(tx: Transaction) -> None:
    """Whatever was sent, and however late somebody else's clock was: one statement gives what ``gate.next_instant`` does."""
    chance = random.Random(7)
    for _ in range(60):
        tx.execute(sa.delete(schema.requests))
        sent = sorted(
            NOW + chance.randrange(-70_000, 20_000) * SECOND / 1000 for _ in range(chance.randrange(12))
        )
        budget.log(tx, [budget.Departure(at=at, method="POST", backlog=False) for at in sent])
        budget.log(tx, [budget.Departure(at=NOW + 5 * SECOND, method="GET", backlog=False)])
        limits = Limits(posts_per_second=chance.randrange(4), posts_per_minute=chance.randrange(9))
        in_reach = [at for at in sent if at > NOW - 61.5 * SECOND]
        expected = gate.next_instant(in_reach, limits.windows("POST"), NOW)
        assert expected == budget.depart(tx, "POST", limits, NOW)


def test_the_windows_survive_a_restart(ledger: Ledger) -> None:
    """The log is in the ledger: whoever comes next respects it."""
    limits = Limits(posts_per_second=0, posts_per_minute=2)
    for _ in range(2):
        with ledger.write() as tx:
            budget.depart(tx, "POST", limits, NOW)
    with ledger.write() as tx:
        assert NOW + 60.5 * SECOND == budget.depart(tx, "POST", limits, NOW + SECOND)


def test_without_limits_every_request_leaves_at_once(tx: Transaction) -> None:
    """No limit, no wait; the rows are written all the same, for the purse."""
    limits = Limits(posts_per_second=0, posts_per_minute=0)
    assert {NOW} == {budget.depart(tx, "POST", limits, NOW) for _ in range(50)}
    assert 50 == len(budget.sent(tx, "POST", NOW))


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=30)])
def test_a_clock_that_was_set_back_does_not_stop_us(tx: Transaction, back: timedelta) -> None:
    """What was written by a clock that was far ahead is not waited for."""
    limits = Limits(posts_per_second=1, posts_per_minute=30)
    budget.depart(tx, "POST", limits, NOW)
    assert NOW - back == budget.depart(tx, "POST", limits, NOW - back)


def test_the_purse_counts_a_sliding_day(tx: Transaction) -> None:
    """Posts leave the purse after 24 hours; the backlog's share is counted on its own."""
    limits = Limits(posts_per_second=0, posts_per_minute=0, posts_per_day=10, backlog_share=0.5)
    for n in range(4):
        budget.depart(tx, "POST", limits, NOW + n * SECOND, backlog=n > 0)
    budget.depart(tx, "GET", limits, NOW)
    left = budget.purse(tx, limits, NOW + 9 * SECOND)
    assert (6, 2) == (left.left, left.backlog_left)
    assert NOW + DAY == budget.purse_refills_at(tx, NOW + 9 * SECOND)
    later = budget.purse(tx, limits, NOW + DAY + 1.5 * SECOND)
    assert (8, 3) == (later.left, later.backlog_left)
    assert budget.purse_refills_at(tx, NOW + 2 * DAY) is None


def test_without_a_purse_nothing_is_counted(tx: Transaction) -> None:
    """0 posts a day are no limit."""
    found = budget.purse(tx, Limits(), NOW)
    assert (None, None) == (found.left, found.backlog_left)


def test_only_what_no_window_reaches_is_pruned(tx: Transaction) -> None:
    """The log keeps a day and a little more."""
    for method in ("GET", "POST"):
        for hours in (0, 2, 23):
            budget.depart(tx, method, Limits(), NOW + timedelta(hours=hours))
    budget.prune(tx, NOW + DAY + timedelta(hours=1))
    left = tx.execute(sa.select(schema.requests.c.method, schema.requests.c.at)).all()
    assert {(method, NOW + timedelta(hours=hours)) for method in ("GET", "POST") for hours in (2, 23)} == set(
        left
    )


def test_the_account_is_one_row(tx: Transaction) -> None:
    """A fresh ledger's account is all right; whatever happens to it is kept."""
    assert Account() == budget.account(tx)
    before, after = budget.advance_account(tx, Barred(PauseReason.KEY, "401"), NOW, 0.5)
    assert (Account(), AccountState.PAUSED) == (before, after.state)
    assert after == budget.account(tx)
    budget.advance_account(tx, Healthy(), NOW, 0.5)
    assert (NOW, NOW) == (budget.account(tx).succeeded_at, reading.others_at(tx))


# The desk.


def test_commands_are_carried_out_in_order_and_answered(tx: Transaction) -> None:
    """What was asked for is open until it is answered; arguments and answers come back as they were."""
    first = desk.ask(tx, "pause", {"why": "lunch"}, who="ann", now=NOW)
    second = desk.ask(tx, "resume", {}, who="bob", now=NOW + SECOND)
    assert [first, second] == [command.id for command in desk.open_commands(tx)]
    desk.answered(tx, first, {"state": "paused"}, NOW + SECOND)
    assert [second] == [command.id for command in desk.open_commands(tx)]
    command = desk.command(tx, first)
    assert ("ann", "pause", {"why": "lunch"}, {"state": "paused"}) == (
        command.who,
        command.verb,
        command.arguments,
        command.answer,
    )
    assert desk.command(tx, second).answer is None


def test_a_node_s_report_is_one_row(tx: Transaction) -> None:
    """The latest report of a host replaces the one before."""
    assert desk.node_report(tx, NODE) is None
    for n in range(2):
        desk.put_node(tx, NODE, process=7, since=NOW, now=NOW + n * SECOND, report={"settling": n})
    assert (NOW, {"settling": 1}) == desk.node_report(tx, NODE)


# History and views.


def test_history_says_what_happened_and_who_did_it(ledger: Ledger) -> None:
    """Each change of state is a line, with what it said; each look is none."""
    with ledger.write() as tx:
        file = delivered(tx, intake.folder(tx, NODE, "drop").id)
        for _ in range(3):
            work.advance_file(tx, file.id, Seen(), at(9))
    with ledger.read() as tx:
        found = views.history_of(tx, file)
    assert ["admitted", "begun", "uploaded", "judged", "delivered"] == [one.event for one in found]
    assert {"test"} == {one.who for one in found}
    assert ("id-1", False) == (found[2].detail["identifier"], "raw" in found[3].detail)


@pytest.mark.parametrize(
    "change",
    [
        sa.delete(schema.history),
        sa.update(schema.history).values(who="nobody"),
        sa.update(schema.history).values(detail="{}").where(schema.history.c.id == 1),
    ],
    ids=["delete", "update", "update-one"],
)
def test_history_is_append_only(ledger: Ledger, change: Any) -> None:
    """The engine itself refuses to change or delete what happened."""
    with ledger.write() as tx:
        delivered(tx, intake.folder(tx, NODE, "drop").id)
    with ledger.read() as tx:
        said = events(tx)
    with pytest.raises(DBAPIError, match="history is append-only"), ledger.write() as tx:
        tx.execute(change)
    with ledger.read() as tx:
        assert said == events(tx)


def test_counts_say_how_much_there_is_of_everything(tx: Transaction, drop: int) -> None:
    """Analyses and files by state, outcomes of what is delivered, and what waits for a person."""
    delivered(tx, drop)
    held(tx, drop, 2)
    _, doubtful = admitted(tx, drop, b"doubt.jpg", 2)
    advanced(tx, doubtful, Begun(), Deferred("reset"))
    intake.leave(tx, an_arrival(drop, b"notes.txt"), "no media", "rules 1", at())
    counts = views.counts(tx)
    assert (1, 1, 3, 1) == (
        counts.analyses[AnalysisState.JUDGED],
        counts.analyses[AnalysisState.QUEUED],
        counts.files[FileState.WAITING],
        counts.files[FileState.DELIVERED],
    )
    assert {Outcome.HUMAN: 1} == {one: number for one, number in counts.outcomes.items() if number}
    assert (2, 0, 1, 1) == (counts.held, counts.stuck, counts.doubt, counts.left)


def test_lines_are_files_with_their_analyses_newest_first(tx: Transaction, drop: int) -> None:
    """The list can be narrowed by state, outcome, folder and doubt."""
    delivered(tx, drop)
    other = intake.folder(tx, NODE, "other").id
    _, doubtful = admitted(tx, other, b"b.jpg", 2, noticed_at=NOW + SECOND)
    advanced(tx, doubtful, Begun(), Deferred("reset"))

    def paths(**narrowed: Any) -> list[bytes]:
        return [line.file.path for line in views.lines(tx, **narrowed)]

    assert [b"b.jpg", b"a.jpg"] == paths()
    assert [b"b.jpg"] == paths(limit=1) == paths(doubt=True) == paths(folder="other")
    assert [b"a.jpg"] == paths(state=FileState.DELIVERED) == paths(outcome=Outcome.HUMAN)
    assert [] == paths(stuck=True)
    assert [VERDICT] == [line.analysis and line.analysis.verdict for line in views.lines(tx, folder="drop")]


def test_a_path_names_what_stands_for_it_first(tx: Transaction, drop: int) -> None:
    """What was replaced at a path comes after what is there now."""
    admitted(tx, drop)
    admitted(tx, drop, fingerprint=OTHER_SHAPE, mark=2)
    found = [line.file.state for line in views.at(tx, drop, b"a.jpg")]
    assert [FileState.WAITING, FileState.SUPERSEDED] == found


def test_copies_of_a_file_are_told(tx: Transaction, drop: int) -> None:
    """The other files with the same content; a file that was not hashed has none."""
    file, _ = admitted(tx, drop)
    copy, _ = admitted(tx, drop, b"copy.jpg")
    admitted(tx, drop, b"b.jpg", 2)
    held(tx, drop, 1)
    resting = whereabouts.at_place(tx, drop, b"0.jpg")
    assert resting is not None
    assert [copy.id] == [one.id for one in views.copies_of(tx, file)]
    assert [] == views.copies_of(tx, resting)


def test_the_backlog_is_told_by_folder_and_kind(tx: Transaction, drop: int) -> None:
    """What is held, in files and bytes."""
    held(tx, drop, 3)
    assert [("", "drop", "image", 3, 30)] == views.backlog(tx)


def test_what_is_unsettled_is_what_a_run_over_all_waits_for(tx: Transaction, drop: int) -> None:
    """What is held, stuck or missed is not waited for."""
    delivered(tx, drop)
    admitted(tx, drop, b"b.jpg", 2)
    held(tx, drop, 3)
    assert 1 == runs.unsettled(tx)
    intake.missed(tx, drop, [b"b.jpg"], at())
    assert 0 == runs.unsettled(tx)
