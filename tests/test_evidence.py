"""Evidence: a bundle holds all that is known of a file, anybody can check it, and what was done to it is found out."""

import base64
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.model import Label
from identifai_watch.errors import RefusedError
from identifai_watch.evidence import bundle, checking
from identifai_watch.evidence.case import Original, gather
from identifai_watch.ledger import Ledger, history, passages, trail, views
from identifai_watch.ledger.step import Step
from identifai_watch.simulator import Script, Scripted
from tests.console import Typed, at
from tests.harness import KEY, SUFFIX, House, house
from tests.watching import folders, picture

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MARKUP = '<img src=x onerror=alert(1)> & "caf\u00e9".jpg'
REFUSED = "it will not be taken"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a house in which pictures, a video and a sound were judged, one of them decided; it is left as it is."""
    verdicts = (
        Scripted(name="sample.png", classification=Label.ARTIFICIAL),
        Scripted(name="*.gif", errors=REFUSED),
    )
    options = {"options": {"with_heatmap": True}}
    with house(
        tmp_path_factory.mktemp("judged"),
        Script(verdicts=verdicts),
        folder=options,
        api={"send_names": True},
    ) as made:
        made.more["folder"] = [*made.document()["folder"], *folders(made, moved={"action": "move"})]
        picture(made.home / "moved" / "deep" / "b.png")
        for sample, name in (
            ("sample.png", None),
            ("sample.jpg", MARKUP),
            ("sample.mp4", None),
            ("sample.wav", None),
            ("sample.gif", None),
        ):
            made.put(sample, name)
        assert 1 == at(made, "once").status  # one is refused
        assert 0 == at(made, "decide", made.drop / MARKUP, "human", "--reason", "<b>the raw file</b>").status
        at(made, "once")
        assert 0 == at(made, "judge", picture(made.home / "alone.png", "alone")).status
        yield made


@pytest.fixture
def desk(home: House, tmp_path: Path) -> House:
    """Give a copy of that house."""
    shutil.copytree(home.home, tmp_path / "house", symlinks=True)
    copied = House(home=tmp_path / "house", simulator=home.simulator, folder=home.folder, api=home.api)
    copied.more["folder"] = [*copied.document()["folder"], *folders(copied, moved={"action": "move"})]
    return copied


def bundled(home: House, name: str, output: Path, *words: str) -> Typed:
    """Type the command for a file of the drop folder."""
    return at(home, "bundle", home.drop / name, "-o", output, *words)


@pytest.fixture(scope="module")
def case(home: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the bundle of the picture that was decided about; it is left as it is."""
    output = tmp_path_factory.mktemp("bundle") / "case.zip"
    ended = bundled(home, MARKUP, output)
    assert (0, "") == (ended.status, ended.err)
    return output


def unpacked(case: Path, into: Path) -> Path:
    """Unpack a bundle as anybody would, and return its directory."""
    if shutil.which("unzip") is None:
        pytest.skip("there is no unzip here")
    subprocess.run(["unzip", "-q", case, "-d", into], check=True)
    (top,) = into.iterdir()
    return top


@pytest.fixture(scope="module")
def parts(case: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give what is in that bundle; it is left as it is."""
    return unpacked(case, tmp_path_factory.mktemp("unpacked"))


def manifest_of(parts: Path) -> dict[str, Any]:
    """Return what a bundle says of itself."""
    found: dict[str, Any] = json.loads((parts / "manifest.json").read_text(encoding="utf-8"))
    return found


def there(directory: Path) -> set[str]:
    """Return the names of all that lies in a directory."""
    return {one.name for one in directory.iterdir()}


# What is in it.


def test_a_bundle_holds_everything_byte_for_byte(home: House, parts: Path) -> None:
    """File, sidecar and heatmap are what lies in the folder, the answer is what identifAI sends, to the byte."""
    said = manifest_of(parts)
    assert (home.drop / MARKUP).read_bytes() == (parts / said["original"]).read_bytes()
    assert (home.drop / (MARKUP + SUFFIX)).read_bytes() == (parts / "sidecar.json").read_bytes()
    assert said["sidecar"]["from_disk"]
    beside = home.drop / f"{MARKUP}.identifai.heatmap.png"
    assert beside.read_bytes() == (parts / "heatmap.png").read_bytes()
    (answer,) = said["answers"]
    params = {"identifiers[]": answer["identifier"]}
    whole = requests.get(
        f"{home.simulator.url}/api/classifications", params=params, headers={"X-Api-Key": KEY}, timeout=10
    )
    raw = (parts / answer["file"]).read_bytes()
    assert whole.content.strip() in {raw, b"[" + raw + b"]"}
    assert {str(one.relative_to(parts)) for one in parts.rglob("*") if one.is_file()} == {
        "HOW-TO-CHECK.txt",
        "SHA256SUMS",
        "answers/0.json",
        "chain/1.txt",
        "heatmap.png",
        "history.jsonl",
        "manifest.json",
        "original/_img_src_x_onerror_alert_1______caf___.jpg",
        "report.html",
        "sidecar.json",
    }


def test_the_history_vouches_for_content_answer_and_heatmap(parts: Path) -> None:
    """Its lines say who did what, and carry the digests of all that identifAI sent."""
    lines = [json.loads(line) for line in (parts / "history.jsonl").read_text().splitlines()]
    by_event = {line["event"]: json.loads(line["detail"]) for line in lines}
    assert {"admitted", "judged", "heatmap", "decided", "delivered"} <= set(by_event)
    assert (
        hashlib.sha256((parts / "answers/0.json").read_bytes()).hexdigest()
        == by_event["judged"]["answer_sha256"]
    )
    assert (
        hashlib.sha256((parts / "heatmap.png").read_bytes()).hexdigest()
        == by_event["heatmap"]["heatmap_sha256"]
    )
    assert manifest_of(parts)["file"]["sha256"] == by_event["judged"]["sha256"]


def test_other_files_are_no_part_of_it(case: Path, parts: Path) -> None:
    """Of the lines about other files there is only the SHA-256: no name, no verdict, nobody."""
    for part in parts.rglob("*"):
        if part.is_file():
            assert b"sample." not in part.read_bytes(), part
    lines = (parts / "chain/1.txt").read_text().splitlines()
    own = (parts / "history.jsonl").read_text().splitlines()
    assert len(lines) > len(own) + 2
    assert 0o600 == case.stat().st_mode & 0o777


def test_its_words_can_be_followed_with_sha256sum_alone(case: Path, tmp_path: Path) -> None:
    """The commands that HOW-TO-CHECK.txt names are run as they stand there, and tell a bundle that was changed."""
    text = (unpacked(case, tmp_path / "first") / "HOW-TO-CHECK.txt").read_text(encoding="utf-8")
    commands = [line.strip() for line in text.splitlines() if re.match(r"    (unzip|cd|sha256sum) ", line)]
    assert ["unzip", "cd", "sha256sum", "sha256sum"] == [line.split()[0] for line in commands]
    shutil.copy(case, tmp_path / "BUNDLE.zip")
    script = "\n".join(["set -e", *commands])
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    sums = [line for line in done.stdout.splitlines() if line.endswith(": OK")]
    assert 9 == len(sums)
    assert done.stdout.splitlines()[-1].split()[0] in text
    (top,) = tmp_path.glob("evidence-*")
    (top / "sidecar.json").write_text("{}")
    assert 0 != subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=top, check=False).returncode


def chain_check(text: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run what HOW-TO-CHECK.txt gives for the chain, as it stands there."""
    found = re.search(r"^python3 - <<'END'\n.*?^END$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return subprocess.run(
        ["bash", "-c", found[0]], cwd=directory, capture_output=True, text=True, check=False
    )


def test_anybody_can_compute_its_part_of_the_chain(home: House, parts: Path, tmp_path: Path) -> None:
    """The words for the chain come to the head that the ledger has; a line that was changed is found out."""
    text = (parts / "HOW-TO-CHECK.txt").read_text(encoding="utf-8")
    done = chain_check(text, parts)
    head = json.loads(at(home, "history", "verify", "--json").out)["head"]
    assert (0, f"chain/1.txt leads to {head}\n") == (done.returncode, done.stdout)
    forged = tmp_path / "forged"
    shutil.copytree(parts, forged)
    history = forged / "history.jsonl"
    history.write_text(history.read_text().replace("the raw file", "no raw file"))
    done = chain_check(text, forged)
    assert (1, True) == (done.returncode, "is not the one in the chain" in done.stderr)


@pytest.mark.parametrize(
    ("place", "is_from_disk"),
    [("moved/human/deep/b.png", True), ("moved/deep/b.png", True), ("alone.png", False)],
)
def test_it_is_found_where_it_lies(home: House, tmp_path: Path, place: str, *, is_from_disk: bool) -> None:
    """A file that was moved is bundled by either path, with the sidecar that went along; one that `judge` named, too."""
    assert 0 == at(home, "bundle", home.home / place, "-o", tmp_path / "case.zip").status
    parts = unpacked(tmp_path / "case.zip", tmp_path / "parts")
    said = manifest_of(parts)
    lies_at = home.home / place.replace("moved/deep", "moved/human/deep")
    assert lies_at.read_bytes() == (parts / said["original"]).read_bytes()
    assert is_from_disk == said["sidecar"]["from_disk"]


def test_the_page_gets_it_as_a_file_without_a_name(desk: House, tmp_path: Path) -> None:
    """It is whole before the first byte is handed out, and leaves nothing; a file that changed is refused before that."""
    with Ledger(desk.ledger_url, node="here") as ledger:
        with ledger.read() as tx:
            [line] = [one for one in views.lines(tx) if one.file.path == b"sample.png"]
        found = gather(desk.config(), ledger, [line], now=NOW)
        place = tmp_path / "place"
        place.mkdir()
        with bundle.temporary(found, ledger, place, now=NOW) as out:
            assert set() == there(place)
            (tmp_path / "case.zip").write_bytes(out.read())
        assert checking.verify(tmp_path / "case.zip").ok
        rewritten(desk.drop / "sample.png")
        with pytest.raises(RefusedError, match="it changed since it was judged"):
            bundle.temporary(found, ledger, place, now=NOW)
        with pytest.raises(RefusedError, match="nothing can be written in"):
            bundle.temporary(found, ledger, tmp_path / "none", now=NOW)
    assert set() == there(place)


class Wire:
    """Somewhere to write to that cannot be gone back in, as an answer over HTTP is."""

    def __init__(self) -> None:
        self.sent = bytearray()

    def write(self, block: bytes) -> int:
        """Take a block."""
        self.sent += block
        return len(block)

    def flush(self) -> None:
        """Hold nothing back."""


def test_it_can_be_streamed(desk: House, tmp_path: Path) -> None:
    """What is written without ever going back is a bundle like any other, for real tools too."""
    wire = Wire()
    with Ledger(desk.ledger_url, node="here") as ledger:
        with ledger.read() as tx:
            [line] = [one for one in views.lines(tx) if one.file.path == b"sample.png"]
        found = gather(desk.config(), ledger, [line], now=NOW)
        bundle.write(found, ledger, wire, now=NOW)
    (tmp_path / "case.zip").write_bytes(wire.sent)
    assert checking.verify(tmp_path / "case.zip").ok
    parts = unpacked(tmp_path / "case.zip", tmp_path / "parts")
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=parts, check=True)


# The report.


class Loaded(HTMLParser):
    """Collects what a page would load, run or send, and the text in it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag with its addresses and handlers."""
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"src", "href", "srcset", "action", "data", "background", "poster", "style"}:
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        """Note what stands between tags."""
        self.said.append(data)


def loaded(page: Path) -> Loaded:
    """Read a report."""
    found = Loaded()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_the_report_shows_picture_and_heatmap_and_loads_nothing(parts: Path) -> None:
    """Both are in the page to the byte; no script, no address but theirs, and no name of a file is markup."""
    page = loaded(parts / "report.html")
    pictures = [address.partition(",") for address in page.addresses]
    assert ["data:image/jpeg;base64", "data:image/png;base64"] == [kind for kind, _, _ in pictures]
    said = manifest_of(parts)
    for (_, _, encoded), name in zip(pictures, (said["original"], "heatmap.png"), strict=True):
        assert (parts / name).read_bytes() == base64.b64decode(encoded, validate=True)
    assert ([], set()) == (
        page.handlers,
        page.tags & {"script", "link", "iframe", "object", "form", "a", "b"},
    )
    source = (parts / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in source
    assert "url(" not in source
    assert "@import" not in source


def test_the_report_says_all_that_matters(parts: Path) -> None:
    """Hashes, times, models, versions, who decided and why, each line of history and the head; never that it is human."""
    said, text = manifest_of(parts), " ".join("".join(loaded(parts / "report.html").said).split())
    (answer,) = said["answers"]
    (passage,) = said["chain"]
    for told in (
        MARKUP,
        said["file"]["sha256"],
        answer["sha256"],
        answer["identifier"],
        said["analysis"]["api_version"],
        said["times"]["judged_at"][:19].replace("T", " "),
        said["times"]["noticed_at"][:19].replace("T", " "),
        *said["verdict"]["models"],
        said["verdict"]["heuristic"],
        "<b>the raw file</b>",
        passage["head"],
        "Signs of generation: none found",
        "does not prove that there are none",
    ):
        assert told in text, told
    assert "is human" not in text
    for line in (parts / "history.jsonl").read_text().splitlines():
        assert json.loads(line)["event"] in text


@pytest.mark.parametrize("name", ["sample.mp4", "sample.wav"])
def test_what_no_page_can_show_is_said_so(home: House, tmp_path: Path, name: str) -> None:
    """A video and a sound have a report with frames or clips, and lie beside it."""
    assert 0 == bundled(home, name, tmp_path / "case.zip").status
    parts = unpacked(tmp_path / "case.zip", tmp_path / "parts")
    page = loaded(parts / "report.html")
    text = " ".join("".join(page.said).split())
    assert [] == page.addresses
    assert f"see original/{name}" in text
    assert ("Frames" in text) == (name == "sample.mp4")
    assert (home.drop / name).read_bytes() == (parts / "original" / name).read_bytes()


@given(st.binary(max_size=300))
def test_any_name_becomes_a_plain_one(name: bytes) -> None:
    """It has no directory, no dot or dash before it, nothing that a shell, unzip or sha256sum reads otherwise."""
    plain = bundle.plain_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", plain)
    assert len(plain) <= 110


# What is refused, and what can still be bundled.


def test_nothing_is_overwritten(desk: House, tmp_path: Path) -> None:
    """What lies at the place stays as it is, a dangling link too, and nothing is left beside it."""
    place = tmp_path / "out"
    place.mkdir()
    (place / "case.zip").write_text("somebody's")
    (place / "link.zip").symlink_to(place / "nowhere")
    for name in ("case.zip", "link.zip"):
        ended = bundled(desk, "sample.png", place / name)
        assert (1, True) == (ended.status, "is there already" in ended.err)
    assert "somebody's" == (place / "case.zip").read_text()
    assert {"case.zip", "link.zip"} == there(place)
    ended = bundled(desk, "sample.png", place / "none" / "case.zip")
    assert (1, True) == (ended.status, "cannot be written: No such file" in ended.err)


def rewritten(path: Path) -> None:
    """Change one byte and not the length."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "other bytes": (rewritten, "it changed since it was judged: its SHA-256 is"),
    "longer": (
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        "it changed since it was judged: it has",
    ),
    "gone": (lambda path: path.unlink(), "it cannot be read: No such file"),
    "a link": (
        lambda path: (path.rename("elsewhere"), path.symlink_to("elsewhere")),
        "it cannot be read: it is a symb",
    ),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "it cannot be read: it is a FIFO"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_file_that_is_not_what_was_judged_is_no_evidence(
    desk: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It is refused with the reason and the remedy, and nothing is left; --partial bundles the rest, and says what is missing."""
    monkeypatch.chdir(tmp_path)
    change, said = CHANGES[what]
    change(desk.drop / "sample.png")
    output = tmp_path / "case.zip"
    ended = bundled(desk, "sample.png", output)
    assert (1, True, True) == (
        ended.status,
        said in ended.err,
        "--partial bundles what there is" in ended.err,
    )
    assert {"house"} | ({"elsewhere"} if what == "a link" else set()) == there(tmp_path)
    ended = bundled(desk, "sample.png", output, "--partial", "--json")
    assert 0 == ended.status, ended.err
    ((told, reason),) = [tuple(one.values()) for one in json.loads(ended.out)["missing"]]
    assert ("original", True) == (told, said in reason)
    parts = unpacked(output, tmp_path / "parts")
    assert not (parts / "original").exists()
    assert (parts / "answers/0.json").exists()
    assert "Missing in this bundle" in (parts / "report.html").read_text(encoding="utf-8")
    assert 0 == at(desk, "bundle", "verify", output).status


def test_a_file_without_a_verdict_has_no_evidence(desk: House, tmp_path: Path) -> None:
    """It is refused with what is the matter; --partial bundles the file and its history."""
    ended = bundled(desk, "sample.gif", tmp_path / "case.zip")
    assert (1, True) == (ended.status, f"it has no verdict ({REFUSED}); --partial" in ended.err)
    assert 0 == bundled(desk, "sample.gif", tmp_path / "case.zip", "--partial").status
    parts = unpacked(tmp_path / "case.zip", tmp_path / "parts")
    assert (desk.drop / "sample.gif").read_bytes() == (parts / "original/sample.gif").read_bytes()
    assert REFUSED in (parts / "report.html").read_text(encoding="utf-8")
    ended = at(desk, "bundle", "verify", tmp_path / "case.zip")
    assert (0, True) == (ended.status, "missing: verdict" in ended.out)


def test_what_was_judged_before_is_not_what_lies_there_now(desk: House, tmp_path: Path) -> None:
    """A content that came instead and has no verdict is no evidence for the old one, whose history can still be bundled."""
    shutil.copyfile(desk.drop / "sample.gif", desk.drop / "sample.png")
    at(desk, "once")
    ended = bundled(desk, "sample.png", tmp_path / "case.zip")
    assert (1, True) == (ended.status, "what lies there now is another content" in ended.err)
    assert 0 == bundled(desk, "sample.png", tmp_path / "case.zip", "--partial").status
    parts = unpacked(tmp_path / "case.zip", tmp_path / "parts")
    assert "artificial" == manifest_of(parts)["verdict"]["classification"]
    assert not (parts / "original").exists()


@pytest.mark.parametrize("forged", ["verdict", "gone"])
def test_a_sidecar_that_somebody_wrote_is_not_passed_on(desk: House, tmp_path: Path, forged: str) -> None:
    """Where none lies beside the file that says what the ledger says, the bundle has the ledger's, and says so."""
    beside = desk.drop / ("sample.png" + SUFFIX)
    document = json.loads(beside.read_text(encoding="utf-8"))
    beside.unlink()
    if forged == "verdict":
        document["verdict"]["classification"] = "human"
        beside.write_text(json.dumps(document))
    assert 0 == bundled(desk, "sample.png", tmp_path / "case.zip").status
    parts = unpacked(tmp_path / "case.zip", tmp_path / "parts")
    said = manifest_of(parts)
    assert not said["sidecar"]["from_disk"]
    assert ["sidecar as delivered"] == [one["what"] for one in said["missing"]]
    assert "artificial" == json.loads((parts / "sidecar.json").read_text())["verdict"]["classification"]


def test_a_pruned_answer_is_said_to_be_missing(desk: House, tmp_path: Path) -> None:
    """Everything else is there, and the history still has the answer's SHA-256."""
    with Ledger(desk.ledger_url, node="here") as ledger, ledger.write() as tx:
        tx.exec_driver_sql("DELETE FROM answers")
    assert 0 == bundled(desk, "sample.png", tmp_path / "case.zip").status
    parts = unpacked(tmp_path / "case.zip", tmp_path / "parts")
    assert "answer 0" in [one["what"] for one in manifest_of(parts)["missing"]]
    assert "answer_sha256" in (parts / "history.jsonl").read_text()
    assert 0 == at(desk, "bundle", "verify", tmp_path / "case.zip").status


def test_no_evidence_is_made_from_a_chain_that_is_broken(desk: House, tmp_path: Path) -> None:
    """Whoever changed the history gets no bundle."""
    with Ledger(desk.ledger_url, node="here") as ledger, ledger.write() as tx:
        tx.exec_driver_sql("DROP TRIGGER history_no_update")
        tx.exec_driver_sql("UPDATE history SET who = 'nobody' WHERE event = 'delivered'")
    for words in ((), ("--partial",)):
        ended = bundled(desk, "sample.png", tmp_path / "case.zip", *words)
        assert (1, True) == (ended.status, "chain is broken; identifai-watch history verify" in ended.err)
    assert {"house"} == there(tmp_path)


def test_a_path_that_nobody_knows(desk: House, tmp_path: Path) -> None:
    """It is named, and nothing is written; without a ledger there is nothing to bundle."""
    (desk.drop / "new.png").write_bytes(b"")
    ended = bundled(desk, "new.png", tmp_path / "case.zip")
    assert (1, True) == (ended.status, "the ledger does not know" in ended.err)
    shutil.rmtree(desk.home / "state")
    ended = bundled(desk, "sample.png", tmp_path / "case.zip")
    assert (1, True) == (ended.status, "there is no ledger yet" in ended.err)


# Large ones.


def test_a_large_one_takes_no_memory_and_is_taken_by_every_unzip(
    desk: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part over ZIP64's border is written as such while it is read, and real tools unpack and check it.

    The border is drawn at a million bytes here: that is the library's own number, and 4 GB take a minute.
    """
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(8 * 1024 * 1024)
    digest = hashlib.sha256(large.read_bytes()).digest()
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1_000_000)
    with Ledger(desk.ledger_url, node="here") as ledger:
        with ledger.read() as tx:
            [line] = [one for one in views.lines(tx) if one.file.path == b"sample.mp4"]
        found = gather(desk.config(), ledger, [line], now=NOW)
        original = Original(
            root=os.fsencode(tmp_path), path=b"large.bin", sha256=digest, size=large.stat().st_size
        )
        whole = replace(found, original=original, file=replace(found.file, sha256=digest))
        bundle.put(whole, ledger, tmp_path / "case.zip", now=NOW)
    monkeypatch.undo()
    with zipfile.ZipFile(tmp_path / "case.zip") as archive:
        [info] = [one for one in archive.infolist() if one.filename.endswith("original/sample.mp4")]
        assert b"\x01\x00" == info.extra[:2]  # the number of ZIP64's own field
    parts = unpacked(tmp_path / "case.zip", tmp_path / "parts")
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=parts, check=True)


MEASURED = """
import resource, sys
from datetime import UTC, datetime
from dataclasses import replace
from pathlib import Path
from identifai_watch import config
from identifai_watch.evidence import bundle, checking
from identifai_watch.evidence.case import gather
from identifai_watch.ledger import Ledger, views
settings, output = Path(sys.argv[1]), Path(sys.argv[2])
loaded = config.load(settings, {})
with Ledger(loaded.ledger.url, node="here") as ledger:
    with ledger.read() as tx:
        [line] = [one for one in views.lines(tx) if one.file.path == b"sample.mp4"]
    found = gather(loaded, ledger, [line], now=datetime.now(UTC))
    for size in map(int, sys.argv[3:]):
        with (output / "video").open("wb") as file:
            file.truncate(size)
        original = replace(found.original, root=str(output).encode(), path=b"video", sha256=None, size=size)
        bundle.put(replace(found, original=original), ledger, output / f"{size}.zip", now=datetime.now(UTC))
        checking.verify(output / f"{size}.zip")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_file(desk: House, tmp_path: Path) -> None:
    """Writing and checking a bundle of 150 MB takes no more than one of 20 MB did."""
    sizes = ["20000000", "150000000"]
    command = [sys.executable, "-c", MEASURED, str(desk.config_path), str(tmp_path), *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    small, large = map(int, done.stdout.split())
    assert large - small < 8_000, f"{large - small} KiB more"  # KiB, as Linux counts


# The chain's passages.


def a_day(number: int) -> datetime:
    """Return noon of a day."""
    return NOW + timedelta(days=number)


def test_each_day_has_a_passage_to_the_head_that_the_log_tells(desk: House, tmp_path: Path) -> None:
    """Lines of several days are in several passages, none of which has the lines of the days between."""
    with Ledger(desk.ledger_url, node="here") as ledger:
        with ledger.write() as tx:
            [line] = [one for one in views.lines(tx) if one.file.path == b"sample.png"]
            for day in (400, 401, 402, 402, 403):
                step = Step(now=a_day(day), policy=Policy(), who="anna")
                about = line.file if day in {400, 402} else None
                history.record(tx, step, "looked", file=about, day=day)
        with ledger.read() as tx:
            told = [one for one in trail.lines(tx, about=line.file) if one.entry.event == "looked"]
            found = passages.passages(tx, told, a_day(410))
            for passage, day in zip(found, (400, 402), strict=True):
                midnight = a_day(day).replace(hour=0) + timedelta(days=1)
                head = trail.head(tx, before=midnight)
                assert head is not None
                assert (midnight - timedelta(days=1)).date() == passage.day
                assert (head.id, head.digest) == (passage.last, passage.head)
        counts = [len(list(passages.imprints(ledger.read, passage))) for passage in found]
        assert [1, 2] == counts
        with ledger.read() as tx:
            newest = passages.passages(tx, told[-1:], a_day(402))
            end = trail.head(tx)
        assert end is not None
        assert [(None, end.id)] == [(one.day, one.last) for one in newest]
        whole = gather(desk.config(), ledger, [line], now=a_day(410))
        bundle.put(whole, ledger, tmp_path / "case.zip", now=a_day(410))
    checked = checking.verify(tmp_path / "case.zip")
    assert checked.ok
    assert ["2027-04-05", "2027-04-07"] == [one["day"] for one in checked.heads[1:]]
    assert 3 == len(checked.heads)


# Verifying.


def test_a_whole_bundle_is_found_whole(desk: House, case: Path) -> None:
    """Each thing is looked at and said; no configuration and no ledger are needed."""
    ended = at(desk, "bundle", "verify", case, "--json")
    said = json.loads(ended.out)
    assert (0, True, MARKUP) == (ended.status, said["ok"], said["path"])
    whats = ["names", "sums", "manifest", "original", "answers", "history", "chain", "stamps"]
    assert whats == [one["what"] for one in said["checks"]]
    assert [True] * 7 + [None] == [one["ok"] for one in said["checks"]]
    assert hashlib.sha256((desk.drop / MARKUP).read_bytes()).hexdigest() == said["sha256"]
    text = at(desk, "bundle", "verify", case).out
    assert "Nothing is wrong with it" in text
    assert "a head that you know from elsewhere" in text


Forge = Callable[[dict[str, bytes]], object]


def rebuilt(case: Path, output: Path, forge: Forge, *, sums: bool = True) -> Path:
    """Change parts of a bundle; whoever does so knows how to write the manifest's list and the sums anew."""
    with zipfile.ZipFile(case) as archive:
        top = archive.namelist()[0].partition("/")[0]
        parts = {name.removeprefix(f"{top}/"): archive.read(name) for name in archive.namelist()}
    forge(parts)
    if sums:
        written_anew(parts)
    with zipfile.ZipFile(output, "w") as archive:
        for name, content in parts.items():
            archive.writestr(f"{top}/{name}", content)
    return output


def written_anew(parts: dict[str, bytes]) -> None:
    """Write the manifest's list and the sums as they must be for what is there."""
    rest = [name for name in parts if name not in {"manifest.json", "SHA256SUMS"}]
    document = json.loads(parts["manifest.json"])
    document["files"] = [
        {"name": name, "size": len(parts[name]), "sha256": hashlib.sha256(parts[name]).hexdigest()}
        for name in rest
    ]
    for answer in document["answers"]:
        answer["sha256"] = hashlib.sha256(parts[answer["file"]]).hexdigest()
    parts["manifest.json"] = json.dumps(document).encode()
    parts["SHA256SUMS"] = "".join(
        f"{hashlib.sha256(parts[name]).hexdigest()}  {name}\n" for name in [*rest, "manifest.json"]
    ).encode()


def edit(name: str, old: str, new: str) -> Forge:
    """Return what replaces a text in a part, which must be there."""

    def forge(parts: dict[str, bytes]) -> None:
        assert old.encode() in parts[name]
        parts[name] = parts[name].replace(old.encode(), new.encode())

    return forge


def all_of(*forges: Forge) -> Forge:
    """Return what does one thing after the other."""

    def forge(parts: dict[str, bytes]) -> None:
        for one in forges:
            one(parts)

    return forge


def cut_line(parts: dict[str, bytes]) -> None:
    """Take a line of the passage away."""
    lines = parts["chain/1.txt"].splitlines(keepends=True)
    parts["chain/1.txt"] = b"".join([*lines[:3], *lines[4:]])


def other_original(parts: dict[str, bytes]) -> None:
    """Put another picture in the place of the original."""
    [name] = [name for name in parts if name.startswith("original/")]
    parts[name] += b"x"


VERDICT = '"classification": "human"'
FORGERIES: dict[str, tuple[Forge, str, str]] = {
    "another original": (other_original, "original", "not the content that was judged"),
    "the manifest's verdict": (
        edit("manifest.json", VERDICT, '"classification": "artificial"'),
        "original",
        "tells something",
    ),
    "all verdicts but the answer's": (
        all_of(
            edit("manifest.json", VERDICT, '"classification": "artificial"'),
            edit("sidecar.json", VERDICT, '"classification": "artificial"'),
        ),
        "answers",
        "gives another verdict",
    ),
    "an answer's blank": (
        edit("answers/0.json", "}", " }"),
        "history",
        "not the answer that the history tells of",
    ),
    "an answer about another content": (
        edit("answers/0.json", '"hash":"', '"hash":"00'),
        "answers",
        "is about another content",
    ),
    "the heatmap": (edit("heatmap.png", "IHDR", "ihdr"), "history", "the heatmap is not the one"),
    "a line of history": (
        edit("history.jsonl", "the raw file", "no raw file"),
        "chain",
        "not the one in the chain",
    ),
    "a digest of history": (
        edit("history.jsonl", '"digest": "', '"digest": "0'),
        "chain",
        "not the one in the chain",
    ),
    "a line of history less": (
        lambda parts: parts.update(
            {"history.jsonl": b"".join(parts["history.jsonl"].splitlines(keepends=True)[:-1])}
        ),
        None,
        "",
    ),
    "a line of history more": (
        edit("history.jsonl", '{"id": 1', '{"id": 9991'),
        "chain",
        "in no part of the chain",
    ),
    "a line of the chain less": (cut_line, "chain", ""),
    "a chain without its end": (edit("chain/1.txt", "head ", "9999 "), "chain", ""),
    "no chain at all": (lambda parts: parts.pop("chain/1.txt"), "chain", "is not in the bundle"),
    "a manifest that is a list": (
        lambda parts: parts.update({"answers/0.json": b"[]"}),
        "answers",
        "no JSON object",
    ),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forger_who_writes_the_sums_anew_is_found_out(
    desk: House, case: Path, tmp_path: Path, what: str
) -> None:
    """The first thing that does not agree is named, with the status 1."""
    forge, at_what, said = FORGERIES[what]
    forged = rebuilt(case, tmp_path / "forged.zip", forge)
    ended = at(desk, "bundle", "verify", forged, "--json")
    found = json.loads(ended.out)
    wrong = [one for one in found["checks"] if one["ok"] is False]
    if (
        at_what is None
    ):  # what is left out of the history is not missed: a bundle may leave out, and never say what is not so
        assert (0, []) == (ended.status, wrong)
        return
    assert (1, False, [at_what]) == (ended.status, found["ok"], [one["what"] for one in wrong])
    assert said in wrong[0]["said"]
    assert "is not as it was made" in at(desk, "bundle", "verify", forged).out


@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (edit("sidecar.json", "human", "Human"), "is not what SHA256SUMS says"),
        (lambda parts: parts.update({"more.txt": b"more"}), "do not agree: more.txt"),
        (lambda parts: parts.pop("answers/0.json"), "do not agree: answers/0.json"),
        (lambda parts: parts.update({"SHA256SUMS": parts["SHA256SUMS"] * 2}), "names a part twice"),
    ],
    ids=["changed", "more", "less", "twice"],
)
def test_sums_must_be_those_of_what_is_there(case: Path, tmp_path: Path, forge: Forge, said: str) -> None:
    """Each part has a sum, each sum a part."""
    found = checking.verify(rebuilt(case, tmp_path / "forged.zip", forge, sums=False))
    assert [said in one.said for one in found.checks if one.ok is False] == [True]


def hostile(output: Path, name: str, content: bytes = b"x", **more: Any) -> Path:
    """Write an archive with a part that none of ours has."""
    info = zipfile.ZipInfo(name)
    for field, value in more.items():
        setattr(info, field, value)
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr("evidence-1/SHA256SUMS", b"")
        archive.writestr(info, content)
    return output


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "evidence-1/../../outside",
        "/etc/passwd",
        "evidence-1/a\\..\\b",
        "evidence-1/-rf",
        "evidence-1/.hidden",
        "evidence-1/a/b/c",
        "evidence-1/a\nb",
        "evidence-1/\u202egnp.exe",
        "evidence-1/directory/",
        "outside",
        "evidence-2/SHA256SUMS2",
        "evidence-1/sha256sums",
        "evidence-1/SHA256SUMS/inside",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    """Whoever unpacks a bundle that was verified gets plain files in one directory."""
    found = checking.verify(hostile(tmp_path / "case.zip", name))
    assert [("names", False)] == [(one.what, one.ok) for one in found.checks]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_other_tricks_are_refused(case: Path, tmp_path: Path) -> None:
    """A name that is there twice, a link, an encrypted part, a bomb, parts that lie over each other."""
    twice = tmp_path / "twice.zip"
    shutil.copy(case, twice)
    with zipfile.ZipFile(twice, "a") as archive:
        archive.writestr(archive.namelist()[0], b"another")
    link = hostile(tmp_path / "link.zip", "evidence-1/link", external_attr=0o120777 << 16)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(7):
            archive.writestr(f"evidence-1/{number}", bytes(1024 * 1024))
    swollen = bytearray(bomb.read_bytes())
    for found in re.finditer(b"PK\x01\x02", bytes(swollen)):
        struct.pack_into("<I", swollen, found.start() + 24, 2**31)
    bomb.write_bytes(swollen)
    locked = tmp_path / "locked.zip"
    hostile(locked, "evidence-1/locked")
    content = bytearray(locked.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    locked.write_bytes(content)
    over = tmp_path / "over.zip"
    hostile(over, "evidence-1/over", b"x" * 5000)
    content = bytearray(over.read_bytes())
    for field in (20, 24):
        struct.pack_into("<I", content, content.rindex(b"PK\x01\x02") + field, 9000)
    over.write_bytes(content)
    for path, said in (
        (twice, "a name is there twice"),
        (link, "is no plain file"),
        (bomb, "would unpack to more"),
        (locked, "is encrypted"),
        (over, "would unpack to more"),
    ):
        told = checking.verify(path).checks
        assert [("names", False, True)] == [(one.what, one.ok, said in one.said) for one in told], path


def test_what_a_bundle_says_cannot_turn_a_terminal(desk: House, case: Path, tmp_path: Path) -> None:
    """Whatever a stranger's manifest says is missing, or names the file, is printed as plain text."""
    red = "\\u001b[31mred\\u202e"
    forge = edit("manifest.json", '"missing": []', f'"missing": [{{"what": "{red}", "why": ""}}]')
    ended = at(desk, "bundle", "verify", rebuilt(case, tmp_path / "forged.zip", forge))
    assert (0, False, True) == (ended.status, "\x1b" in ended.out, r"missing: \x1b[31mred\u202e" in ended.out)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_bundle_is_said_so(desk: House, tmp_path: Path, content: bytes) -> None:
    """Another file, an empty archive, and nothing at all end with 1 and a word of what it is."""
    path = tmp_path / "case.zip"
    path.write_bytes(content)
    assert 1 == at(desk, "bundle", "verify", path).status
    ended = at(desk, "bundle", "verify", tmp_path / "none.zip")
    assert (1, True) == (ended.status, "No such file" in ended.err)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_damage_makes_the_check_fall_over(
    case: Path, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever bytes of a bundle are other ones, it is refused or found wrong, or it was no matter; never an error of ours."""
    content = bytearray(case.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(content)
    with suppress(RefusedError):
        checking.verify(path)
