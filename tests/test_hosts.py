"""Two hosts on one ledger, each with a folder "drop" and other files of the same names in it: nothing mixes them up."""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from identifai_watch.core.model import Label
from identifai_watch.simulator import Script, Scripted
from tests.browsing import Browser, served
from tests.console import at
from tests.harness import MEDIA, House, fleet
from tests.postgres import Cluster

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
    with fleet(tmp_path_factory.mktemp("hosts"), url, ["ada", "bob"], Script(verdicts=VERDICTS)) as (
        ada,
        bob,
    ):
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
