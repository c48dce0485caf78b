"""Does the desk agree? Its decisions against what was found, by confidence, kind and model."""

import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from identifai_watch.core import findings, quality
from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.model import Choice, Decision, Fingerprint, Label, Media, Verdict
from identifai_watch.core.quality import Judged, Quality, Sums, Tally
from identifai_watch.core.wording import Signs
from identifai_watch.ledger import Ledger, Transaction, admission, intake, rows, schema, work
from identifai_watch.ledger import quality as of_ledger
from identifai_watch.ledger.admission import Content
from identifai_watch.ledger.step import Step
from identifai_watch.ledger.whereabouts import Arrival

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def verdict(label: Label = Label.ARTIFICIAL, confidence: float = 0.95, **more: Any) -> Verdict:
    """Return a verdict."""
    return Verdict(classification=label, confidence=confidence, heuristic="Majority", **more)


def opinion(model: str, label: str | None) -> dict[str, object]:
    """Return what a model says, or that it could not tell."""
    return {
        "model": model,
        "unknown": label is None,
        "classification": [{"label": label or "human", "score": 0.8}],
    }


def judged(
    choice: Choice, said: Verdict, media: Media = Media.IMAGE, raw: dict[str, Any] | None = None
) -> Judged:
    """Return a file that the desk decided."""
    found = None if raw is None else findings.of(raw, media)
    return Judged(media=media, choice=choice, verdict=said, findings=found)


def counted(*files: Judged) -> Quality:
    """Return how these files compare."""
    sums = Sums()
    for one in files:
        sums.add(one)
    return sums.quality(since=None)


@pytest.mark.parametrize(
    ("choice", "said", "expected"),
    [
        (Choice.HUMAN, verdict(), Label.HUMAN),
        (Choice.ARTIFICIAL, verdict(Label.HUMAN), Label.ARTIFICIAL),
        (Choice.INCONCLUSIVE, verdict(), None),
        (Choice.CONFIRMED, verdict(), Label.ARTIFICIAL),
        (Choice.CONFIRMED, verdict(unknown=True), None),
        (Choice.CONFIRMED, verdict(forced=Label.HUMAN), Label.HUMAN),
    ],
)
def test_what_the_desk_says_of_a_file(choice: Choice, said: Verdict, expected: Label | None) -> None:
    """To confirm is to say what counts; what could not be told, nobody can confirm."""
    assert expected is quality.decided_as(choice, said)


@pytest.mark.parametrize(
    ("confidence", "name"),
    [(0.0, "0.00 to 0.60"), (0.59, "0.00 to 0.60"), (0.6, "0.60 to 0.70"), (0.9, "0.90 to 1.00"), (1.0, "0.90 to 1.00")],
)  # fmt: skip
def test_every_confidence_has_one_band(confidence: float, name: str) -> None:
    """Also the borders, and one."""
    assert name == quality.band(confidence)


def test_agreement_is_counted_by_confidence_and_kind() -> None:
    """What was found and what was not are told apart, for they fail in other ways."""
    found = counted(
        judged(Choice.ARTIFICIAL, verdict()),
        judged(Choice.CONFIRMED, verdict()),
        judged(Choice.HUMAN, verdict()),
        judged(Choice.INCONCLUSIVE, verdict()),
        judged(Choice.HUMAN, verdict(Label.HUMAN, 0.65)),
        judged(Choice.ARTIFICIAL, verdict(unknown=True), Media.AUDIO),
    )
    assert (6, 0, True) == (found.decided, found.unjudged, found.is_whole)
    assert (
        Tally(name="0.60 to 0.70", said=Signs.NONE_FOUND, human=1, artificial=0, open=0),
        Tally(name="0.90 to 1.00", said=Signs.UNCLEAR, human=0, artificial=1, open=0),
        Tally(name="0.90 to 1.00", said=Signs.FOUND, human=1, artificial=2, open=1),
    ) == found.by_band
    assert [("audio", Signs.UNCLEAR), ("image", Signs.NONE_FOUND), ("image", Signs.FOUND)] == [
        (one.name, one.said) for one in found.by_media
    ]


@pytest.mark.parametrize(
    ("said", "agreed", "disagreed", "share"),
    [
        (Signs.FOUND, 3, 1, 0.75),
        (Signs.NONE_FOUND, 1, 3, 0.25),
        (Signs.UNCLEAR, None, None, None),
    ],
)
def test_precision_is_of_what_the_desk_could_tell(
    said: Signs, agreed: int | None, disagreed: int | None, share: float | None
) -> None:
    """What it left open says nothing, and where nothing was said there is nothing to agree with."""
    tally = Tally(name="x", said=said, human=1, artificial=3, open=9)
    assert (agreed, disagreed, share) == (tally.agreed, tally.disagreed, tally.share)
    assert Tally(name="x", said=said, human=0, artificial=0, open=9).share is None


def test_each_model_is_compared_by_its_own_word() -> None:
    """Whatever the verdict was; one that could not tell is unclear."""
    raw = {"results": [opinion("right", "human"), opinion("wrong", "artificial"), opinion("unsure", None)]}
    found = counted(judged(Choice.HUMAN, verdict(), raw=raw), judged(Choice.HUMAN, verdict()))
    assert [("right", Signs.NONE_FOUND, 1), ("unsure", Signs.UNCLEAR, None), ("wrong", Signs.FOUND, 0)] == [
        (one.name, one.said, one.agreed) for one in found.by_model
    ]


def test_a_models_word_on_a_video_is_that_of_most_frames() -> None:
    """Half of them is none; no more is counted than one word a file."""
    frames = [
        [opinion("a", "human"), opinion("b", "human")],
        [opinion("a", "human"), opinion("b", "artificial")],
    ]
    raw = {"results": {"images": [{"results": one} for one in frames]}}
    found = counted(judged(Choice.HUMAN, verdict(), Media.VIDEO, raw))
    assert [("a", Signs.NONE_FOUND, 1), ("b", Signs.UNCLEAR, 1)] == [
        (one.name, one.said, one.human) for one in found.by_model
    ]


def test_a_quality_is_json() -> None:
    """With what is reckoned from the numbers."""
    document = json.loads(json.dumps(quality.quality_json(counted(judged(Choice.HUMAN, verdict())))))
    expected = {"human": 1, "artificial": 0, "open": 0, "agreed": 0, "disagreed": 1, "share": 0.0}
    assert [{"name": "image", "said": "found"} | expected] == document["by_media"]


# From the ledger.


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty ledger."""
    with Ledger(f"sqlite:///{tmp_path}/ledger.db", node="studio") as made:
        yield made


def decide(tx: Transaction, number: int, choice: Choice, at: datetime, said: Verdict | None) -> None:
    """Admit a file with a content of its own, have it judged, and decide it."""
    shape = Fingerprint(size=1, mtime_ns=1, ctime_ns=1, inode=number)
    folder = intake.folder(tx, "studio", "drop").id
    place = Arrival(folder_id=folder, path=b"%d.jpg" % number, fingerprint=shape, noticed_at=at)
    content = Content(sha256=number.to_bytes(32), media=Media.IMAGE, mime="image/png", options="{}")
    file = admission.admit(tx, place, content, Step(now=at, policy=Policy()))
    work.put_decision(tx, file.id, Decision(choice=choice, reason="seen", by="anna", at=at))
    if said is not None:
        of = schema.analyses.c.id == file.analysis_id
        changes = {"state": "judged", "verdict": rows.verdict_text(said), "due": None}
        tx.execute(sa.update(schema.analyses).where(of).values(changes))
        raw = zlib.compress(json.dumps({"results": [opinion("m", "human")]}).encode())
        tx.execute(sa.insert(schema.answers).values(analysis_id=file.analysis_id, raw=raw))


def test_what_was_decided_is_read_with_its_answer(ledger: Ledger) -> None:
    """What had no verdict is counted apart, and what was decided before is left out."""
    with ledger.write() as tx:
        decide(tx, 1, Choice.HUMAN, NOW, verdict())
        decide(tx, 2, Choice.ARTIFICIAL, NOW, None)
        decide(tx, 3, Choice.ARTIFICIAL, NOW - timedelta(days=9), verdict())
    found = of_ledger.quality(ledger.read, NOW - timedelta(days=1))
    assert (1, 1, True) == (found.decided, found.unjudged, found.is_whole)
    assert [("m", Signs.NONE_FOUND, 1)] == [(one.name, one.said, one.human) for one in found.by_model]
    assert 2 == of_ledger.quality(ledger.read).decided


@pytest.mark.parametrize(
    ("at_most", "decided", "is_whole"), [(20, 20, True), (19, 19, False), (10**9, 20, True)]
)
def test_decisions_are_read_page_by_page_the_newest_first(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, at_most: int, decided: int, *, is_whole: bool
) -> None:
    """None is left out and none counted twice, also where many were made at one instant; there is an end to it."""
    monkeypatch.setattr(of_ledger, "PAGE", 5)
    with ledger.write() as tx:
        for number in range(20):
            at = NOW - timedelta(hours=number // 15)
            decide(tx, number, Choice.HUMAN, at, verdict(confidence=0.95 if number else 0.1))
    found = of_ledger.quality(ledger.read, at_most=at_most)
    assert (decided, is_whole) == (found.decided, found.is_whole)
    assert [1, decided - 1] == [one.human for one in found.by_band]
