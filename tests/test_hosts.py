"""Two hosts on one ledger, each with a folder "drop" and other files of the same names in it: nothing mixes them up."""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from identifai_watch.core.model import Fingerprint, Label
from identifai_watch.core.plugin import check
from identifai_watch.core.report import Report, status_json
from identifai_watch.errors import Exit
from identifai_watch.ledger import archive as archives
from identifai_watch.ledger import desk, intake, whereabouts
from identifai_watch.metrics import exposition
from identifai_watch.overview import report_of
from identifai_watch.simulator import Script, Scripted
from tests.browsing import Browser, served
from tests.console import at
from tests.harness import MEDIA, House, fleet, wait_for
from tests.postgres import Cluster
from tests.test_metrics import read

HERS = (MEDIA / "sample.jpg").read_bytes()
HIS = HERS + b"his"
VERDICTS = (
    Scripted(sha256=hashlib.sha256(HERS).hexdigest(), classification=Label.HUMAN, confidence=0.9),
    Scripted(sha256=hashlib.sha256(HIS).hexdigest(), classification=Label.ARTIFICIAL, confidence=0.8),
)


@dataclass(frozen=True, kw_only=True)
class Two:
    """The houses of two hosts, the page of the first one, and the numbers of each one's drop/a.jpg."""

    ada: House
    bob: House
    page: Browser
    hers: int
    his: int


@pytest.fixture(scope="module")
def two(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Give two hosts that have judged a file drop/a.jpg each, of other contents."""
    url = postgres.database()
    home, script = tmp_path_factory.mktemp("hosts"), Script(verdicts=VERDICTS)
    with fleet(home, url, ["ada", "bob"], script) as (ada, bob):
        ada.put("sample.jpg", "a.jpg")
        bob.put("sample.jpg", "a.jpg", extra=b"his")
        for one in (ada, bob):
            one.once()
        number = {line.file.node: line.file.id for line in ada.lines()}
        with served(ada, node="ada") as page:
            yield Two(ada=ada, bob=bob, page=page, hers=number["ada"], his=number["bob"])
    postgres.drop(url)


def test_the_page_hands_out_no_file_of_another_host(two: Two) -> None:
    """Its own drop/a.jpg is never shown beside the verdict on the other's, which has an icon and says where it lies."""
    hers, his = (two.page.get(f"/files/{number}/original") for number in (two.hers, two.his))
    assert (hers.status_code, hers.content) == (200, HERS)
    assert (his.status_code, HERS in his.content) == (404, False)
    thumbnail = two.page.get(f"/files/{two.his}/thumbnail")
    assert "svg" in thumbnail.headers["content-type"]
    said = two.page.get(f"/files/{two.his}").text
    assert "It lies on the host bob" in said
    assert f"/files/{two.his}/original" not in said
    assert str(two.ada.drop) not in said
    assert "delivers the file accordingly" in two.page.get(f"/files/{two.his}/decide").text


def test_a_bundle_never_holds_another_hosts_file(two: Two, tmp_path: Path) -> None:
    """It is refused with the host on which it can be made; a partial one says what is missing, and why."""
    token = {"token": two.page.token(f"/files/{two.his}")}
    refused = two.page.post(f"/files/{two.his}/bundle", token)
    assert refused.status_code == 400
    assert "it lies on the host bob" in refused.text
    partial = two.page.post(f"/files/{two.his}/bundle", token | {"partial": "yes"})
    assert partial.status_code == 200
    path = tmp_path / "his.zip"
    path.write_bytes(partial.content)
    with zipfile.ZipFile(path) as archive:
        parts = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert not any(HERS in content for content in parts.values())
    manifest = json.loads(parts["manifest.json"])
    assert manifest["file"]["sha256"] == hashlib.sha256(HIS).hexdigest()
    assert {"what": "original", "why": manifest["missing"][0]["why"]} == manifest["missing"][0]
    assert "host bob" in manifest["missing"][0]["why"]


def test_a_path_is_this_hosts(two: Two) -> None:
    """What a command names by its path is what lies here, whatever others have at that path."""
    for home, content in ((two.ada, HERS), (two.bob, HIS)):
        shown = json.loads(at(home, "show", home.drop / "a.jpg", "--json").out)
        assert shown["file"]["sha256"] == hashlib.sha256(content).hexdigest()
        assert shown["file"]["shown_at"] == str(home.drop / "a.jpg")


def test_a_path_of_another_host_is_named_with_it(two: Two) -> None:
    """By where it lies there, which its daemon told, or by folder and path as lists show it; nothing is looked at here."""
    for path in (two.bob.drop / "a.jpg", "drop/a.jpg"):
        shown = json.loads(at(two.ada, "show", path, "--node", "bob", "--json").out)
        assert (shown["file"]["node"], shown["file"]["sha256"]) == ("bob", hashlib.sha256(HIS).hexdigest())
    explained = json.loads(at(two.ada, "explain", "drop/a.jpg", "--node", "bob", "--json").out)
    assert explained["state"] == "delivered"
    assert "it lies on bob" in explained["notes"][-1]
    bundled = at(two.ada, "bundle", "drop/a.jpg", "--node", "bob", "-o", two.ada.home / "his.zip")
    assert (bundled.status, (two.ada.home / "his.zip").exists()) == (Exit.PROBLEMS, False)
    assert "it lies on the host bob" in bundled.err
    nobody = at(two.ada, "show", "drop/a.jpg", "--node", "eve")
    assert "there is no host eve; the ledger knows ada, bob" in nobody.err
    unknown = at(two.ada, "show", "drop/b.jpg", "--node", "bob")
    assert "the ledger knows no drop/b.jpg on bob" in unknown.err


def test_lists_tell_whose_a_file_is(two: Two) -> None:
    """For people and machines, and by a filter: in the commands, on the page and in what machines ask."""
    lines = [json.loads(line) for line in at(two.ada, "list", "--json").out.splitlines()]
    assert {(line["node"], line["sha256"]) for line in lines} == {
        ("ada", hashlib.sha256(HERS).hexdigest()),
        ("bob", hashlib.sha256(HIS).hexdigest()),
    }
    said = at(two.ada, "list", "--node", "bob", "--folder", "drop").out.splitlines()
    assert [line.rpartition("  ")[2] for line in said[1:]] == ["bob/drop: a.jpg"]
    exported = at(two.ada, "export", "--node", "bob", "--format", "jsonl").out
    assert [json.loads(line)["node"] for line in exported.splitlines()] == ["bob"]
    answer = two.page.json("/api/v1/files?node=bob")
    assert [(one["id"], one["node"]) for one in answer["files"]] == [(two.his, "bob")]
    described = two.page.json("/api/v1/openapi.json")["components"]["schemas"]["File"]["properties"]
    assert set(described) == set(answer["files"][0])
    page = two.page.seen("/files?node=bob")
    assert page.rows() == [two.his]
    assert "bob: drop" in page.html
    assert '<option value="bob" selected>' in page.html
    assert two.page.json("/api/v1/files?node=eve")["files"] == []


def test_every_host_is_seen_with_its_health(two: Two) -> None:
    """While both run, by status, the page, the metrics and the plugin; each folder is its host's, and sums are kept apart."""
    with two.ada.daemon(), two.bob.daemon():
        found = wait_for(lambda: _both_run(two.ada), "both hosts tell that they watch")
        assert found is not None
        document = status_json(found)
        assert [(one["name"], one["here"], one["health"]) for one in document["nodes"]] == [
            ("ada", True, "ok"),
            ("bob", False, "ok"),
        ]
        assert [(one["node"], one["name"], one["health"]) for one in document["folders"]] == [
            ("ada", "drop", "ok"),
            ("bob", "drop", "ok"),
        ]
        assert [one["path"] for one in document["folders"]] == [str(two.ada.drop), str(two.bob.drop)]
        people = at(two.ada, "status").out
        assert "ada (here)" in people
        assert "bob/drop" in people
        now = two.page.seen("/now")
    told, checked = read(exposition(found)), check(found, datetime.now(UTC))
    for name in ("ada", "bob"):
        assert told["identifai_watch_up", (("node", name),)] == 1
        health = (("folder", "drop"), ("health", "ok"), ("node", name))
        assert told["identifai_watch_folder_health", health] == 1
        upload = (("kind", "upload"), ("node", name), ("status", "200"))
        assert told["identifai_watch_requests_total", upload] == 1
    assert told["identifai_watch_files", (("state", "delivered"),)] == 2
    assert "bob" in now.text("host-2")
    assert "ok" in now.text("host-2")
    assert "bob/drop" in now.text("now-folders")
    assert (checked.level, "2 folders watched" in checked.line()) == (0, True)


def _report(home: House) -> Report:
    """Return what ``status`` is made of: beside a daemon of this process its log would stand in what a command prints."""
    with home.open_ledger() as ledger:
        return report_of(home.config(), ledger, datetime.now(UTC))


def _both_run(home: House) -> Report | None:
    found = _report(home)
    are_up = all(one.is_running for one in found.nodes) and len(found.folders) == 2
    return found if are_up and {one.health for one in found.folders} == {"ok"} else None


def test_a_host_that_is_down_is_told_by_the_others(two: Two) -> None:
    """A dead daemon is critical, one that was stopped a warning; one that was stopped long ago is waited for no more."""
    now = datetime.now(UTC)
    settling = {"folders": [], "settling": 7, "uploading": 2}
    with two.ada.open_ledger() as ledger, ledger.write() as tx:
        for name, ended in (("cyd", None), ("dan", now - timedelta(days=30))):
            desk.put_node(tx, name, process=1, since=now, now=now, report=settling)
            if ended is not None:
                desk.end_node(tx, name, ended)
    try:
        with two.ada.daemon():
            found = wait_for(lambda: _runs(two.ada), "ada runs")
            line = two.page.seen("/now").text("now-line")
    finally:
        with two.ada.open_ledger() as ledger, ledger.write() as tx:
            tx.exec_driver_sql("DELETE FROM nodes WHERE node IN ('cyd', 'dan')")
    assert found is not None
    document, said = status_json(found), check(found, now).line()
    told = read(exposition(found))
    health = {one["name"]: one["health"] for one in document["nodes"]}
    assert health == {"ada": "ok", "bob": "stopped", "cyd": "down", "dan": "stopped"}
    of_bob = [(one["health"], one["reason"]) for one in document["folders"] if one["node"] == "bob"]
    assert of_bob == [("unavailable", "no daemon runs on bob")]
    assert document["settling"] == 0
    assert check(found, now).level == 2
    assert "the daemon on cyd is down since" in said
    assert "the daemon on bob is stopped since" in said
    assert "dan" not in said
    up = {labels[0][1]: value for (name, labels), value in told.items() if name == "identifai_watch_up"}
    assert up == {"ada": 1, "bob": 0, "cyd": 0}
    assert line == "no daemon on bob, cyd"


def _runs(home: House) -> Report | None:
    found = _report(home)
    return found if found.is_running and found.folders[0].health == "ok" else None


def test_the_desk_decides_about_any_hosts_file(two: Two) -> None:
    """From the page and by a command; the daemon that sees the file delivers it accordingly, and no other file changes."""
    before = two.ada.sidecars()
    said = at(two.ada, "decide", "drop/a.jpg", "human", "--node", "bob", "--reason", "seen on the negative")
    assert (said.status, two.bob.sidecar(two.bob.drop / "a.jpg")["outcome"]) == (0, "artificial")
    with two.bob.daemon():
        wait_for(lambda: two.bob.sidecar(two.bob.drop / "a.jpg")["outcome"] == "human", "bob delivers it")
    two.page.fill(f"/files/{two.his}/decide", choice="artificial", reason="it was a copy")
    with two.bob.daemon():
        wait_for(lambda: two.bob.sidecar(two.bob.drop / "a.jpg")["outcome"] == "artificial", "and again")
    assert two.ada.sidecars() == before


def test_a_folder_is_this_hosts_unless_another_is_named(two: Two) -> None:
    """Paused are the files of one host, and what has one name on several hosts but this one is asked for."""
    with two.ada.open_ledger() as ledger, ledger.write() as tx:
        for node, name in (("bob", "wires"), ("bob", "twins"), ("eve", "twins")):
            intake.folder(tx, node, name)
    at(two.ada, "pause", "--folder", "drop", "--why", "an embargo")
    at(two.ada, "pause", "--folder", "drop", "--node", "bob", "--why", "his own")
    paused = [
        (one["node"], one["paused"]) for one in json.loads(at(two.ada, "status", "--json").out)["folders"]
    ]
    assert [(node, "an embargo" in why, "his own" in why) for node, why in paused] == [
        ("ada", True, False),
        ("bob", False, True),
    ]
    at(two.ada, "resume", "--folder", "drop")
    folders = json.loads(at(two.ada, "status", "--json").out)["folders"]
    assert [one["paused"] is None for one in folders] == [True, False]
    assert at(two.ada, "resume", "--folder", "drop", "--node", "bob").status == 0
    assert "folder bob/wires" in at(two.ada, "pause", "--folder", "wires").out
    assert at(two.ada, "resume", "--folder", "wires").status == 0
    twins = at(two.ada, "pause", "--folder", "twins")
    assert (twins.status, "bob, eve; say --node NAME" in twins.err) == (Exit.PROBLEMS, True)


def test_nobody_releases_anothers_archive_unasked(two: Two) -> None:
    """What is held is told by host; a release is of this host's unless another is named, by command and on the page."""
    shape = Fingerprint(size=1, mtime_ns=1, ctime_ns=1, inode=1)
    with two.ada.open_ledger() as ledger, ledger.write() as tx:
        for node in ("ada", "bob"):
            folder = intake.folder(tx, node, "drop").id
            old = whereabouts.Arrival(
                folder_id=folder, path=b"old.jpg", fingerprint=shape, noticed_at=datetime.now(UTC)
            )
            archives.hold(tx, [old])
    held = json.loads(at(two.ada, "backlog", "--json").out)
    assert [(one["node"], one["folder"], one["files"]) for one in held] == [
        ("ada", "drop", 1),
        ("bob", "drop", 1),
    ]
    page = two.page.seen("/now")
    assert "bob/drop" in page.text("now-held")
    assert "/release?folder=drop&amp;node=bob" in page.html
    assert "1 file of the folder drop on bob" in two.page.get("/release?folder=drop&node=bob").text
    assert "Released 1 file" in at(two.ada, "backlog", "release", "--yes").out
    held = json.loads(at(two.ada, "backlog", "--json").out)
    assert [(one["node"], one["files"]) for one in held] == [("bob", 1)]
    two.page.fill("/release?folder=drop&node=bob", limit="5")
    assert json.loads(at(two.ada, "backlog", "--json").out) == []


def test_costs_are_told_by_host(two: Two) -> None:
    """Two folders of one name are two."""
    costs = json.loads(at(two.ada, "costs", "--json").out)
    assert {line["folder"]: line["posts"] for line in costs["days"]} == {"ada/drop": 1, "bob/drop": 1}


def test_what_comes_back_after_the_end_is_closed(two: Two) -> None:
    """No thread is waited for when a ledger is closed, and no connection of one stays open behind it."""
    ledger = two.ada.open_ledger()
    with ledger.read() as tx:
        raw = tx.connection.driver_connection
        ledger.close()
        assert not raw.closed
    assert raw.closed
