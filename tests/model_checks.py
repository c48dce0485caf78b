"""What must be true whenever the world of the model test is at rest."""

import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from identifai_watch.core.model import Decision, File, FileState
from identifai_watch.core.routing import sidecar_name
from identifai_watch.simulator import judge
from identifai_watch.simulator.heatmap import png
from tests.harness import SUFFIX
from tests.model_world import DESTINATIONS, World, is_media

PRESENT = (FileState.WAITING, FileState.DELIVERED)
TAKEN_AGAIN = ("deferred", "lost", "mismatched", "retried")
"""What history must say before a content may be sent once more: that an answer was lost, or that somebody asked."""


def check_rest(world: World) -> None:
    """Look at everything, when all is at rest."""
    _check(
        world,
        check_no_bug,
        check_ledger,
        check_nothing_is_lost,
        check_nothing_is_more,
        check_charges,
        check_rows,
        check_sidecars,
    )


def check_meanwhile(world: World) -> None:
    """Look at what must be true at any instant, whatever is under way."""
    world.sums["steps"] += 1
    world.tree.look()
    _check(world, check_no_bug, check_nothing_is_lost, check_no_lies)


def _check(world: World, *checks: Callable[[World], None]) -> None:
    for check in checks:
        try:
            check(world)
        except AssertionError as error:
            world.is_broken = True
            raise AssertionError(f"{check.__name__}: {error}\n{world.story()}") from error


def check_no_bug(world: World) -> None:
    """Nothing was our own fault."""
    bugs = [entry for entry in world.log if entry["event"] in {"bug", "claim lost"}]
    assert [] == bugs, bugs


def check_ledger(world: World) -> None:
    """The ledger is whole, nothing in it is due, and nobody holds a claim or is stuck."""
    assert [("ok",)] == world.asked("PRAGMA quick_check")
    assert [("ok",)] == world.asked("PRAGMA integrity_check")
    assert [] == world.asked("PRAGMA foreign_key_check")
    for table in ("files", "analyses"):
        assert [] == world.asked(f"SELECT * FROM {table} WHERE due IS NOT NULL"), "rows are due"  # noqa: S608
        assert [] == world.asked(f"SELECT * FROM {table} WHERE claim IS NOT NULL"), "claims are held"  # noqa: S608
    assert [] == world.asked("SELECT * FROM commands WHERE done_at IS NULL")
    assert [] == world.desk.stuck(), "files are stuck"
    assert [] == world.desk.held(), "files are held"
    assert [] == world.desk.rejected(), "files are rejected"


def check_nothing_is_lost(world: World) -> None:
    """Every content that other programs put somewhere is there as often as they left it."""
    lost = world.tree.there - world.tree.inventory()
    world.sums["lost"] += sum(lost.values())
    assert not lost, f"lost: {lost}"


def check_nothing_is_more(world: World) -> None:
    """Nothing lies there that other programs did not put there, but copies."""
    more = world.tree.inventory() - world.tree.there
    if world.action != "copy":
        assert not more, f"came from nowhere: {more}"
    assert set(more) <= world.tree.closed, f"never stood anywhere: {more}"


def check_no_lies(world: World) -> None:
    """No sidecar is half written, or says what neither the vendor nor the desk does."""
    for path in world.tree.drop.rglob("*" + SUFFIX):
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["outcome"] == "pending":
            assert document["verdict"] is None, f"{path.name} tells a verdict that is pending"
        elif document["decision"] is None and document["outcome"] != "rejected":
            said = _outcome(bytes.fromhex(document["file"]["sha256"]), None)
            assert said == document["outcome"], f"{path.name} says {document['outcome']}"


def check_charges(world: World) -> None:
    """Each edition of a content was paid once, and sent again only when an answer was lost or somebody asked for it."""
    taken = Counter(submission.sha256 for submission in world.vendor.taken)
    charged = Counter(submission.sha256 for submission in world.vendor.charged)
    may = Counter[bytes]()
    editions = Counter[bytes]()
    again = dict(
        world.asked(
            "SELECT analysis_id, count(*) FROM history WHERE file_id IS NULL AND event IN "  # noqa: S608
            f"{TAKEN_AGAIN} GROUP BY analysis_id"
        )
    )
    for number, sha256 in world.asked("SELECT id, sha256 FROM analyses"):
        editions[sha256] += 1
        may[sha256] += 1 + again.get(number, 0)
    assert {sha256.hex() for sha256 in taken} <= world.tree.closed, "sent before it was whole"
    assert not taken - may, f"sent too often: {_hex(taken - may)}"
    twice = charged - (may if world.vendor.forgot else editions)
    world.sums["charged twice"] += sum(twice.values())
    assert not twice, f"charged twice: {_hex(twice)}"
    world.sums["judged"] += len(charged)


def _hex(counted: Counter[bytes]) -> dict[str, int]:
    return {sha256.hex(): number for sha256, number in counted.items()}


def check_rows(world: World) -> None:
    """What the ledger has of the tree is what lies there."""
    for line in world.lines():
        file = line.file
        if file.state in PRESENT and file.lies_at is None:
            path = world.tree.drop / os.fsdecode(file.path)
            assert FileState.DELIVERED is file.state, f"file {file.id} is not delivered"
            assert path.is_file(), f"file {file.id} is not gone, though nothing lies there"
            assert file.sha256 == hashlib.sha256(path.read_bytes()).digest(), f"file {file.id} is another"


def check_sidecars(world: World) -> None:
    """Every file that is whole and of a kind to be judged has exactly one right sidecar, where it belongs."""
    decisions = world.desk.decisions()
    fetched = {key for (key,) in world.asked("SELECT analysis_id FROM answers WHERE heatmap IS NOT NULL")}
    rows: dict[str, list[File]] = {}
    for line in world.lines():
        file = line.file
        if file.state in PRESENT:
            decided = _decided(world, decisions, file.id)
            assert decided == (file.decision and file.decision.choice), "a decision is lost"
            for place in {file.lies_at or file.path, file.copied_to} - {None}:
                rows.setdefault(os.fsdecode(place or b""), []).append(file)
    right: list[dict[str, Any]] = []
    for path in world.tree.media():
        name = str(path.relative_to(world.tree.drop))
        found = path.read_bytes()
        owners = [file for file in rows.get(name, []) if file.sha256 == hashlib.sha256(found).digest()]
        is_result = world.action != "sidecar" and name.split("/", maxsplit=1)[0] in DESTINATIONS
        if is_result and not owners:
            continue  # somebody else put it, or wrote to it, where the daemon looks for nothing
        if not is_media(found) or path.suffix == ".part":
            continue
        assert world.action != "move" or is_result, f"{name} was not moved"
        assert owners, f"{name} is not in the ledger"
        has_heatmap = any(file.analysis_id in fetched for file in owners)
        right.append(_check_beside(path, found, owners, has_heatmap=has_heatmap))
    for path in _beside_files(world):
        document = json.loads(path.read_text(encoding="utf-8"))
        assert document in right or may_be_stale(world, path, document), f"{path.name} is about nothing"


def _check_beside(path: Path, found: bytes, owners: list[File], *, has_heatmap: bool) -> dict[str, Any]:
    """Return the one sidecar beside a file that is right; the heatmap must be the file's own."""
    beside = _sidecars(path)
    right = [document for document in beside if any(_is_right(document, found, file) for file in owners)]
    assert 1 == len(right), f"{path.name} has {len(right)} right sidecars of {len(beside)}: {beside}"
    _schema().validate(right[0])
    if has_heatmap:
        heatmap = path.with_name(f"{path.name}.identifai.heatmap.png")
        assert heatmap.exists(), f"{path.name} has no heatmap"
        assert png(hashlib.sha256(found).digest()) == heatmap.read_bytes(), (
            f"{path.name} has another's heatmap"
        )
    return right[0]


def may_be_stale(world: World, path: Path, document: dict[str, Any]) -> bool:
    """Tell whether a sidecar may lie where the file that it is about is no more.

    In the tree that is scanned that is for a day: the ledger knows that its file is gone, and when it is put aside.
    Where results go, and nobody looks, other programs may do as they please; but none is ever written there for a file
    that has left already.
    """
    lies = str(path.relative_to(world.tree.drop)).split(".identifai", maxsplit=1)[0]
    if world.action == "sidecar" or lies.split("/", maxsplit=1)[0] not in DESTINATIONS:
        gone = world.asked(
            "SELECT parent, name FROM files WHERE state = 'gone' AND orphan_due IS NOT NULL AND lies_at IS NULL"
        )
        return lies in {os.fsdecode(parent + b"/" + name if parent else name) for parent, name in gone}
    written = datetime.fromisoformat(document["times"]["delivered_at"])
    sha256 = document["file"]["sha256"]
    stood = [world.tree.stood.get((place, sha256)) for place in (lies, document["file"]["path"])]
    return any(instant is not None and written <= instant for instant in stood)


def _decided(world: World, decisions: dict[int, str], number: int | None) -> str | None:
    """Return what the desk decided of a file, or of the one that it was before another program moved it."""
    while number is not None and number not in decisions:
        number = world.desk.came_from(number)
    return None if number is None else decisions[number]


def _beside_files(world: World) -> list[Path]:
    """Return the sidecars that lie where people look: what was put aside is nobody's."""
    aside = world.tree.drop / ".identifai"
    return [path for path in world.tree.drop.rglob("*" + SUFFIX) if not path.is_relative_to(aside)]


def _sidecars(path: Path) -> list[dict[str, Any]]:
    """Return every sidecar of this name, numbered ones too."""
    found = []
    for n in range(1, 30):
        beside = path.with_name(os.fsdecode(sidecar_name(os.fsencode(path.name), n)))
        if beside.exists():
            found.append(json.loads(beside.read_text(encoding="utf-8")))
    return found


def _is_right(document: dict[str, Any], found: bytes, file: File) -> bool:
    """Tell whether a sidecar says of these bytes what it must."""
    sha256 = hashlib.sha256(found)
    return (
        document["file"]["sha256"] == sha256.hexdigest() == document["response"]["hash"]
        and document["outcome"] == _outcome(sha256.digest(), file.decision)
        and document["file"]["path"] == os.fsdecode(file.path)
        and (document["decision"] or {}).get("choice") == (file.decision and file.decision.choice)
    )


def _outcome(sha256: bytes, decision: Decision | None) -> str:
    """Return what the vendor, or else the desk, says of a content."""
    choice = None if decision is None else str(decision.choice)
    match choice:
        case "human" | "artificial":
            return choice
        case "inconclusive":
            return "uncertain"
        case _:
            judgement = judge(sha256)
            return "uncertain" if judgement.unknown else str(judgement.label)


@functools.cache
def _schema() -> jsonschema.Draft202012Validator:
    text = (
        resources.files("identifai_watch")
        .joinpath("schema", "sidecar.schema.json")
        .read_text(encoding="utf-8")
    )
    return jsonschema.Draft202012Validator(json.loads(text))
