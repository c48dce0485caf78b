"""The verdict in XMP files: where editors look, beside what they wrote themselves and never instead of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from identifai_watch import delivery
from identifai_watch.core import xmp
from identifai_watch.core.model import Choice, Decision, Interim, Label, Outcome, Verdict
from identifai_watch.core.routing import Action
from identifai_watch.core.xmp import Marks
from identifai_watch.delivery import Order, packet
from identifai_watch.errors import ConfigError
from identifai_watch.ledger import Ledger, desk, views
from identifai_watch.simulator import Script, Scripted
from tests.harness import house, wait_for
from tests.test_delivery_crash import an_order, killed_after
from tests.test_report import ANALYSIS, FILE

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MARKS = Marks(
    keyword="identifAI|artificial",
    properties=(("outcome", "artificial"), ("confidence", "0.93"), ("sha256", "ab" * 32)),
)
HUMAN = Marks(keyword="identifAI|human", properties=(("outcome", "human"), ("decision", "human")))

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
LIGHTROOM = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000, 0000/00/00-00:00:00        ">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
   xmp:Rating="4"
   crs:Exposure2012="+0.35"
   crs:ToneCurveName2012='Linear &quot;x&quot; &amp; y'>
   <dc:title>
    <rdf:Alt>
     <rdf:li xml:lang="x-default">Hafen — früh &amp; spät</rdf:li>
    </rdf:Alt>
   </dc:title>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>harbour</rdf:li>
     <rdf:li>identifAI|seen by anna</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>places|harbour</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <xmpMM:History>
    <rdf:Seq>
     <rdf:li rdf:parseType="Resource">
      <stEvt:action>derived</stEvt:action>
      <stEvt:when>2026-01-01T00:00:00Z</stEvt:when>
     </rdf:li>
    </rdf:Seq>
   </xmpMM:History>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- made by hand -->
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>
<rdf:Description rdf:about="uuid:1" xmlns:a="urn:a"><a:b><![CDATA[<kept>]]></a:b><!-- a remark --></rdf:Description>
<rdf:Description rdf:about="uuid:1" xmlns:identifai="urn:somebody-else" identifai:outcome="theirs"/>
</rdf:RDF></x:xmpmeta>
{" " * 500}
<?xpacket end="w"?>"""
BARE = f"<rdf:RDF {RDF}/>"
DECLARED = f"""\ufeff<?xml version="1.0" encoding='utf-8'?>\r\n<x:xapmeta xmlns:x='adobe:ns:meta/'><rdf:RDF {RDF}>
<rdf:Description about='' xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:subject><rdf:Seq/></dc:subject></rdf:Description>
</rdf:RDF></x:xapmeta>\n<!-- the end -->\n"""
FILES = {"lightroom": LIGHTROOM, "packet": PACKET, "bare": BARE, "declared": DECLARED}

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None,
    reason="exiftool is not installed (Debian's package libimage-exiftool-perl)",
)


# The bytes of a file.


def said(content: bytes) -> dict[str, Any]:
    """Return what a file says of us, read by nothing of ours: keywords by their list, properties by name."""
    root = etree.fromstring(content)
    names = {"dc": packet.DC, "lr": packet.LR, "rdf": packet.RDF}
    ours = f"{{{xmp.NAMESPACE}}}"
    told: dict[str, Any] = {
        "subject": root.xpath("//dc:subject/*/rdf:li/text()", namespaces=names),
        "hierarchical": root.xpath("//lr:hierarchicalSubject/*/rdf:li/text()", namespaces=names),
    }
    for element in root.iter(f"{ours}*"):
        told[element.tag.removeprefix(ours)] = element.text
    for element in root.iter("{*}Description"):
        told |= {
            key.removeprefix(ours): value for key, value in element.attrib.items() if key.startswith(ours)
        }
    return told


def others(content: bytes) -> list[tuple[str, ...]]:
    """Return all else that it says, in order: elements, attributes, texts, remarks and instructions."""
    told: list[tuple[str, ...]] = []
    lists = {*packet.SUBJECTS.values(), *(f"{{{packet.RDF}}}{name}" for name in ("Bag", "Description"))}
    for node in etree.fromstring(content).iter():
        text = (node.text or "").strip()
        if not isinstance(node.tag, str):
            told.append(("remark", text))
        elif not node.tag.startswith(f"{{{xmp.NAMESPACE}}}") and text not in xmp.KEYWORDS:
            kept = {key: value for key, value in node.attrib.items() if xmp.NAMESPACE not in key}
            kept.pop(f"{{{packet.RDF}}}about", None)
            if node.tag not in lists or kept:
                told.append((node.tag, text, *(f"{key}={value}" for key, value in kept.items())))
    return told


@pytest.mark.parametrize("name", FILES)
def test_all_else_stays_as_it_is(name: str) -> None:
    """Other namespaces, attributes and elements, remarks, CDATA and what stands around the root."""
    before = FILES[name].encode()
    after = packet.marked(before, MARKS)
    assert others(before) == others(after)
    head, root = re.match(rb"(.*?)(<(?:x:|rdf:RDF))", before, re.DOTALL).groups()  # type: ignore[union-attr]
    assert after.startswith(head + root)
    assert after.endswith(before[before.rindex(b"</x:") :] if b"</x:" in before else b"</rdf:RDF>")
    told = said(after)
    assert told["subject"][-1] == told["hierarchical"][-1] == "identifAI|artificial"
    assert (told["outcome"], told["confidence"]) == ("artificial", "0.93") or name == "packet"


@pytest.mark.parametrize("name", FILES)
def test_marks_are_set_once(name: str) -> None:
    """A file that has them stays byte for byte; other marks take their place, and nothing but that is another."""
    marked = packet.marked(FILES[name].encode(), MARKS)
    assert packet.marked(marked, MARKS) == marked
    decided = packet.marked(marked, HUMAN)
    assert packet.marked(decided, MARKS).count(b"identifAI|artificial") == 2
    assert b"identifAI|artificial" not in decided
    assert others(marked) == others(decided)
    assert packet.is_alike(marked, decided)
    assert packet.is_alike(marked, FILES[name].encode())
    assert not packet.is_alike(marked, LIGHTROOM.replace("harbour", "port").encode())


def test_only_our_own_keyword_is_replaced() -> None:
    """What somebody put below ours by hand is theirs."""
    decided = packet.marked(packet.marked(LIGHTROOM.encode(), MARKS), HUMAN)
    assert said(decided)["subject"] == ["harbour", "identifAI|seen by anna", "identifAI|human"]
    assert said(decided)["hierarchical"] == ["places|harbour", "identifAI|human"]


def test_marks_that_a_tool_wrote_otherwise_are_found() -> None:
    """As attributes, in another description, twice: they are ours all the same, and stand once after that."""
    messy = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF} xmlns:o="{xmp.NAMESPACE}" xmlns:d="{packet.DC}">
    <rdf:Description rdf:about="" o:outcome="human" o:stale="1"/>
    <rdf:Description rdf:about=""><o:outcome>human</o:outcome><d:subject><rdf:Bag>
    <rdf:li>identifAI|human</rdf:li><rdf:li>mine</rdf:li><rdf:li>identifAI|uncertain</rdf:li></rdf:Bag></d:subject>
    </rdf:Description></rdf:RDF></x:xmpmeta>"""
    after = packet.marked(messy.encode(), MARKS)
    assert said(after) == {
        "subject": ["identifAI|artificial", "mine"],
        "hierarchical": ["identifAI|artificial"],
        **dict(MARKS.properties),
    }
    assert after.count(b":outcome") == 1, "an attribute stays one"


BOMB = (
    "<!DOCTYPE x ["
    + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(9))
    + f"]><rdf:RDF {RDF}>&e8;</rdf:RDF>"
)
FETCH = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><rdf:RDF {RDF}>&e;</rdf:RDF>'
SUBJECT = f'<rdf:RDF {RDF}><rdf:Description xmlns:dc="{packet.DC}"'
NO_XMP: dict[str, tuple[bytes, str]] = {
    "empty of sense": (b"a caption", "no XML"),
    "another XML": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no XMP"),
    "cut short": (LIGHTROOM.encode()[:900], "no XML"),
    "unclosed": (LIGHTROOM.replace("</rdf:Bag>", "", 1).encode(), "cannot be parsed"),
    "a bomb": (BOMB.encode(), "document type"),
    "something to fetch": (FETCH.encode(), "document type"),
    "an unknown entity": (LIGHTROOM.replace("&amp;", "&nbsp;").encode(), "cannot be parsed"),
    "UTF-16": (LIGHTROOM.encode("utf-16"), "UTF-8"),
    "Latin-1, unsaid": (LIGHTROOM.encode("latin-1", "replace"), "UTF-8"),
    "Latin-1, declared": (b'<?xml version="1.0" encoding="ISO-8859-1"?>' + BARE.encode(), "UTF-8"),
    "read-only": (PACKET.replace('end="w"', "end='r'").encode(), "read-only"),
    "two descriptions of the whole": (
        f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{BARE}{BARE}</x:xmpmeta>".encode(),
        "no XMP",
    ),
    "keywords as an attribute": (f'{SUBJECT} dc:subject="a"/></rdf:RDF>'.encode(), "no list"),
    "keywords as a text": (
        f"{SUBJECT}><dc:subject>a</dc:subject></rdf:Description></rdf:RDF>".encode(),
        "no list",
    ),
    "too deep": (f"<rdf:RDF {RDF}>{'<a>' * 9999}{'</a>' * 9999}</rdf:RDF>".encode(), "cannot be parsed"),
    "something behind": (BARE.encode() + b"<more/>", "cannot be parsed"),
}


@pytest.mark.parametrize("name", NO_XMP)
def test_what_is_no_xmp_is_refused(name: str) -> None:
    """With the reason; nothing is repaired, expanded or fetched."""
    content, why = NO_XMP[name]
    with pytest.raises(packet.NotXmpError, match=why):
        packet.marked(content, MARKS)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=20)


@given(st.lists(TEXTS, max_size=5), st.lists(TEXTS, max_size=3), TEXTS, st.sampled_from(["", "\n  "]))
def test_any_keywords_and_texts_survive(subjects: list[str], places: list[str], title: str, gap: str) -> None:
    """Whatever stands in them, in their order."""
    rdf = etree.Element(f"{{{packet.RDF}}}RDF")
    description = etree.SubElement(rdf, f"{{{packet.RDF}}}Description", {"{urn:t}title": title})
    for tag, texts in zip(packet.SUBJECTS.values(), (subjects, places), strict=True):
        found = etree.SubElement(etree.SubElement(description, tag), f"{{{packet.RDF}}}Bag")
        for text in texts:
            li = etree.SubElement(found, f"{{{packet.RDF}}}li")
            li.text, li.tail = text, gap
    before = etree.tostring(rdf, encoding="UTF-8")
    after = packet.marked(packet.marked(before, MARKS), HUMAN)
    told, own = said(after), xmp.KEYWORDS
    assert [one for one in told["subject"] if one not in own] == [
        one for one in subjects if one and one not in own
    ]
    assert [one for one in told["hierarchical"] if one not in own] == [
        one for one in places if one and one not in own
    ]
    assert etree.fromstring(after)[0].get("{urn:t}title") == title
    assert told["subject"].count("identifAI|human") == told["hierarchical"].count("identifAI|human") == 1


# What is said of a file.


def test_what_is_said_of_a_judged_and_decided_file() -> None:
    """The outcome, what identifAI said and how sure it was, the decision without who made it, and of what bytes."""
    decision = Decision(choice=Choice.HUMAN, reason="a source", by="anna", at=AT)
    verdict = Verdict(classification=Label.ARTIFICIAL, confidence=0.9312345678, heuristic="Majority")
    found = xmp.marks(
        replace(FILE, outcome=Outcome.HUMAN, decision=decision),
        replace(ANALYSIS, verdict=verdict, judged_at=AT),
        version="1.2",
    )
    assert found == Marks(
        keyword="identifAI|human",
        properties=(
            ("outcome", "human"),
            ("classification", "artificial"),
            ("confidence", "0.931235"),
            ("decision", "human"),
            ("sha256", "01" * 32),
            ("judgedAt", "2026-03-01T12:00:00.000000Z"),
            ("identifier", "abc"),
            ("tool", "identifai-watch 1.2"),
        ),
    )


def test_while_a_verdict_is_pending_no_earlier_one_is_told() -> None:
    """Nor the hash of bytes that lie there no more."""
    pending = replace(FILE, outcome=Outcome.PENDING, interim=Interim.CHANGING)
    assert xmp.marks(pending, ANALYSIS, version="1").properties == (
        ("outcome", "pending"),
        ("tool", "identifai-watch 1"),
    )
    with pytest.raises(ValueError, match="no outcome"):
        xmp.marks(FILE, None, version="1")


# Deliveries.


def order(root: Path, action: Action = Action.SIDECAR, **changes: Any) -> Order:
    """Order what ``an_order`` does, with marks."""
    made = an_order(root, action, **({"marks": MARKS} | changes))
    (root / "a/x.xmp").unlink()
    return made


def test_one_is_made_where_there_is_none(tmp_path: Path) -> None:
    """With the order's mode, the marks and nothing else."""
    assert delivery.deliver(order(tmp_path, file_mode=0o640)).left_alone is None
    made = tmp_path / "a/x.xmp"
    assert said(made.read_bytes()) == {
        "subject": ["identifAI|artificial"],
        "hierarchical": ["identifAI|artificial"],
        **dict(MARKS.properties),
    }
    assert made.stat().st_mode & 0o777 == 0o640


def test_an_existing_one_is_extended_and_keeps_mode_owner_and_attributes(tmp_path: Path) -> None:
    """Its time is new, by which editors see that there is something new in it; a second time nothing is written."""
    an = order(tmp_path)
    there = tmp_path / "a/x.xmp"
    there.write_text(LIGHTROOM, encoding="utf-8")
    there.chmod(0o604)
    os.utime(there, (1, 1))
    os.setxattr(there, "user.note", b"mine")
    if os.getuid() == 0:
        os.chown(there, 1234, 2345)
    owner = (there.stat().st_uid, there.stat().st_gid)
    delivery.deliver(an)
    after = there.stat()
    assert others(LIGHTROOM.encode()) == others(there.read_bytes())
    assert (after.st_mode & 0o777, (after.st_uid, after.st_gid)) == (0o604, owner)
    assert os.getxattr(there, "user.note") == b"mine"
    assert after.st_mtime > 1
    delivery.deliver(an)
    assert there.stat() == after
    delivery.deliver(replace(an, marks=HUMAN))
    assert said(there.read_bytes())["subject"] == ["harbour", "identifAI|seen by anna", "identifAI|human"]


@pytest.mark.parametrize(
    ("around", "marked"),
    [
        (("x.jpg.xmp",), "x.jpg.xmp"),
        (("x.jpg.xmp", "x.xmp"), "x.jpg.xmp"),
        (("x.XMP",), "x.XMP"),
        (("x.cr2", "x.xmp"), "x.jpg.xmp"),
        (("x.png",), "x.jpg.xmp"),
        (("x.CR2", "x.xmp"), "x.jpg.xmp"),
        (("x.txt", "x.xmp"), "x.xmp"),
        ((), "x.xmp"),
    ],
)
def test_which_file_it_is(tmp_path: Path, around: tuple[str, ...], marked: str) -> None:
    """``x.jpg.xmp`` if there is one; and never an ``x.xmp`` that is another file's as well."""
    an = order(tmp_path)
    for name in around:
        (tmp_path / "a" / name).write_text(LIGHTROOM, encoding="utf-8")
    delivery.deliver(an)
    held = {path.name for path in (tmp_path / "a").iterdir() if b"identifAI|artificial" in path.read_bytes()}
    assert held == {marked}


def test_marks_are_found_again_when_another_file_of_the_stem_has_come(tmp_path: Path) -> None:
    """Else the first verdict would stay, and be believed of either."""
    an = order(tmp_path)
    delivery.deliver(replace(an, marks=replace(MARKS, properties=(("sha256", (an.sha256 or b"").hex()),))))
    (tmp_path / "a/x.png").write_bytes(b"another")
    delivery.deliver(replace(an, marks=HUMAN))
    assert not (tmp_path / "a/x.jpg.xmp").exists()
    assert said((tmp_path / "a/x.xmp").read_bytes())["subject"] == ["identifAI|human"]


@pytest.mark.parametrize("name", ["a bomb", "empty of sense", "read-only", "UTF-16"])
def test_what_cannot_be_extended_is_left_alone_and_the_verdict_delivered(tmp_path: Path, name: str) -> None:
    """Byte for byte; that it was is said."""
    content, why = NO_XMP[name]
    an = order(tmp_path)
    (tmp_path / "a/x.xmp").write_bytes(content)
    left_alone = delivery.deliver(an).left_alone
    assert "the XMP file beside a/x.jpg was left alone: " in (left_alone or "")
    assert why in (left_alone or "")
    assert (tmp_path / "a/x.xmp").read_bytes() == content
    assert (tmp_path / "a/x.jpg.identifai.json").exists()


@pytest.mark.parametrize("kind", ["link", "directory", "fifo", "huge"])
def test_what_is_no_file_to_extend(tmp_path: Path, kind: str) -> None:
    """A link is not followed, nothing is waited for, and nothing of any size is read."""
    an = order(tmp_path)
    there, elsewhere = tmp_path / "a/x.xmp", tmp_path / "elsewhere.xmp"
    elsewhere.write_text(LIGHTROOM, encoding="utf-8")
    match kind:
        case "link":
            there.symlink_to(elsewhere)
        case "directory":
            there.mkdir()
        case "fifo":
            os.mkfifo(there)
        case _:
            there.write_text(LIGHTROOM, encoding="utf-8")
            os.truncate(there, 20_000_000_000)
    assert delivery.deliver(an).left_alone is not None
    assert elsewhere.read_text(encoding="utf-8") == LIGHTROOM
    assert sorted(path.name for path in (tmp_path / "a").iterdir() if path.suffix == ".xmp") == ["x.xmp"]


def in_place(there: Path, content: bytes) -> None:
    """Write as simple editors do, at once again in the same tick of the clock and to the same size."""
    times = there.stat()
    there.write_bytes(content)
    os.utime(there, ns=(times.st_atime_ns, times.st_mtime_ns))


def by_rename(there: Path, content: bytes) -> None:
    """Write as careful editors do."""
    beside = there.with_name("new")
    beside.write_bytes(content)
    beside.rename(there)


@pytest.mark.parametrize("save", [in_place, by_rename])
def test_what_an_editor_saves_meanwhile_is_not_lost(
    tmp_path: Path, save: Callable[[Path, bytes], None]
) -> None:
    """Saved right before ours gets its name, after we read it: it is read again, and both are in it."""
    an = order(tmp_path)
    there = tmp_path / "a/x.xmp"
    there.write_text(LIGHTROOM, encoding="utf-8")
    edited = LIGHTROOM.replace("harbour", "lagoon!").encode()
    assert len(edited) == len(LIGHTROOM.encode())
    saves = iter([edited])

    def edit(frame: FrameType, event: str, called: object) -> None:
        if event == "c_return" and called is os.fsync and frame.f_code.co_name == "rewrite":
            for content in saves:
                save(there, content)

    sys.setprofile(edit)
    try:
        delivery.deliver(an)
    finally:
        sys.setprofile(None)
    assert next(saves, None) is None, "it was saved in between"
    assert said(there.read_bytes())["subject"] == [
        "lagoon!",
        "identifAI|seen by anna",
        "identifAI|artificial",
    ]
    assert others(edited) == others(there.read_bytes())


def test_one_that_never_rests_is_waited_for(tmp_path: Path) -> None:
    """The delivery is made again later; nothing of the editor's is lost, and nothing of ours left behind."""
    an = order(tmp_path)
    there = tmp_path / "a/x.xmp"
    there.write_text(LIGHTROOM, encoding="utf-8")
    number = 0

    def edit(frame: FrameType, event: str, called: object) -> None:
        nonlocal number
        if event == "c_return" and called is os.fsync and frame.f_code.co_name == "rewrite":
            number += 1
            by_rename(there, LIGHTROOM.replace("harbour", f"harbour {number}").encode())

    sys.setprofile(edit)
    try:
        with pytest.raises(delivery.DeliveryError, match="is being changed"):
            delivery.deliver(an)
    finally:
        sys.setprofile(None)
    assert said(there.read_bytes())["subject"][0] == f"harbour {number}"
    assert not [path for path in (tmp_path / "a").iterdir() if path.name.startswith(".identifai")]


def test_pending_is_said_where_marks_are_and_no_file_is_made_for_it(tmp_path: Path) -> None:
    """A file that changes is told as pending in its XMP too."""
    pending = Marks(keyword="identifAI|pending", properties=(("outcome", "pending"),))
    an = order(tmp_path)
    delivery.announce(replace(an, marks=pending))
    assert not (tmp_path / "a/x.xmp").exists()
    delivery.deliver(an)
    delivery.announce(replace(an, marks=pending))
    assert said((tmp_path / "a/x.xmp").read_bytes()) == {
        "subject": ["identifAI|pending"],
        "hierarchical": ["identifAI|pending"],
        "outcome": "pending",
    }


# Crashes.


def sidecar(root: Path) -> Order:
    """Order marks in a file that an editor made."""
    an = order(root)
    (root / "a/x.xmp").write_text(LIGHTROOM, encoding="utf-8")
    return an


def moved(root: Path) -> Order:
    """Order a move with a companion that goes along."""
    an = order(root, Action.MOVE, destination=b"human/a/x.jpg")
    (root / "a/x.xmp").write_text(LIGHTROOM, encoding="utf-8")
    return an


def moved_alone(root: Path) -> Order:
    """Order a move away from the raw file, whose the companion is too."""
    an = moved(root)
    (root / "a/x.cr2").write_bytes(b"raw")
    return an


def copied(root: Path) -> Order:
    """Order a copy, with a companion."""
    an = order(root, Action.COPY, destination=b"human/a/x.jpg")
    (root / "a/x.xmp").write_text(LIGHTROOM, encoding="utf-8")
    return an


def copied_bare(root: Path) -> Order:
    """Order a copy, without one."""
    return order(root, Action.COPY, destination=b"human/a/x.jpg")


def copied_and_decided(root: Path) -> Order:
    """Order the next copy, which takes the earlier one along."""
    first = copied(root)
    done = delivery.deliver(first)
    return replace(
        first, copied_to=done.copied_to, destination=b"artificial/a/x.jpg", marks=HUMAN, heatmap=None
    )


SCENARIOS: dict[Callable[[Path], Order], set[str]] = {
    order: {"a/x.xmp"},
    sidecar: {"a/x.xmp"},
    moved: {"human/a/x.xmp"},
    moved_alone: {"a/x.xmp", "human/a/x.xmp"},
    copied_bare: {"a/x.xmp", "human/a/x.xmp"},
    copied_and_decided: {"a/x.xmp", "artificial/a/x.xmp"},
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_crash_at_each_arrow(tmp_path: Path, scenario: Callable[[Path], Order]) -> None:
    """Killed after the n-th write and repeated, the end is the same for every n, and each file whole at every instant."""

    def state(root: Path) -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def fresh() -> Path:
        root = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        return root

    undisturbed = fresh()
    an = scenario(undisturbed)
    delivery.deliver(an)
    expected = state(undisturbed)
    assert {name for name in expected if name.endswith(".xmp")} == SCENARIOS[scenario]
    for name in SCENARIOS[scenario] - ({"a/x.xmp"} if scenario is moved_alone else set()):
        assert (an.marks or MARKS).keyword in said(expected[name])["subject"]
    whole = {LIGHTROOM.encode(), packet.fresh(MARKS), *(expected[name] for name in SCENARIOS[scenario])}
    whole.add(packet.marked(LIGHTROOM.encode(), MARKS))
    writes, is_killed = 0, True
    while is_killed:
        writes += 1
        root = fresh()
        an = scenario(root)
        is_killed = killed_after(writes, an)
        assert {content for name, content in state(root).items() if name.endswith(".xmp")} <= whole
        delivery.deliver(an)
        assert expected == state(root), f"after write {writes}"
        shutil.rmtree(root)
        root.mkdir()
    assert writes > 10


# The whole.

ARTIFICIAL = Script(verdicts=(Scripted(classification=Label.ARTIFICIAL, confidence=0.9, unknown=False),))


def keyword(path: Path) -> list[str]:
    """Return the keywords of a file, none where it is not there yet."""
    try:
        found: list[str] = said(path.read_bytes())["subject"]
    except FileNotFoundError:
        return []
    return found


def test_pictures_videos_and_sounds_and_a_decision(tmp_path: Path) -> None:
    """Each kind gets its XMP; decided, the keyword is another. None of our files wakes anybody or is looked at."""
    names = {"0.jpg": "sample.jpg", "1.mp4": "sample.mp4", "2.mp3": "sample.mp3"}
    with (
        house(tmp_path, ARTIFICIAL, folder={"xmp": True}) as home,
        Ledger(home.ledger_url, node="here") as ledger,
    ):
        with home.daemon():
            for name, sample in names.items():
                home.put(sample, name)
            for name in names:
                home.sidecar(home.drop / name)
            places = [(home.drop / name).with_suffix(".xmp") for name in names]
            wait_for(
                lambda: [keyword(place) for place in places] == [["identifAI|artificial"]] * 3,
                "all are marked",
            )
            picture = next(line.file for line in home.lines() if line.file.path == b"0.jpg")
            wanted = {"files": [picture.id], "choice": "human", "reason": "a source"}
            with ledger.write() as tx:
                desk.ask(tx, "decide", wanted, who="anna", now=datetime.now(UTC))
            wait_for(lambda: keyword(places[0]) == ["identifAI|human"], "the decision is in it")
        with home.daemon():
            wait_for(lambda: is_scanned(ledger), "another run has scanned all of it")
        with ledger.read() as tx:
            assert views.counts(tx).left == 0, "no XMP file was looked at"
        assert len(home.lines()) == 3
    assert [said(place.read_bytes())["confidence"] for place in places] == ["0.9"] * 3
    assert [said(place.read_bytes()).get("decision") for place in places] == ["human", None, None]


def is_scanned(ledger: Ledger) -> bool:
    """Tell whether the daemon that runs has scanned its folder."""
    with ledger.read() as tx:
        found = desk.node_report(tx, "here")
    return found is not None and all(one["last_scan_at"] for one in found[1]["folders"])


def test_one_that_is_left_alone_is_said(tmp_path: Path) -> None:
    """In the log and in the file's history; the verdict is delivered."""
    with house(tmp_path, ARTIFICIAL, folder={"xmp": True}) as home:
        (home.drop / "a.xmp").write_text("no XMP at all", encoding="utf-8")
        home.put("sample.jpg", "a.jpg")
        with home.daemon():
            home.sidecar(home.drop / "a.jpg")
        with Ledger(home.ledger_url, node="here") as ledger, ledger.read() as tx:
            [line] = views.lines(tx)
            told = [
                one.detail["reason"] for one in views.history_of(tx, line.file) if one.event == "left_alone"
            ]
        assert told == ["the XMP file beside a.jpg was left alone: it is no XML"]
        assert (home.drop / "a.xmp").read_text(encoding="utf-8") == "no XMP at all"


def test_with_record_it_is_refused(tmp_path: Path) -> None:
    """There nothing is written into the folder, as where the folder is read-only."""
    with house(tmp_path, folder={"xmp": True, "action": "record"}) as home:
        with pytest.raises(ConfigError) as refused:
            home.config()
        home.folder["action"] = "move"
        assert home.config().folders[0].xmp
    [problem] = refused.value.problems
    assert problem.startswith("folder"), problem
    assert ".xmp" in problem
    assert 'set action = "sidecar"' in problem


# A second reader.


def exiftool(*words: str | Path) -> str:
    """Run exiftool; it must not complain."""
    done = subprocess.run(["exiftool", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@needs_exiftool
def test_exiftool_reads_it_and_what_exiftool_writes_is_extended(tmp_path: Path) -> None:
    """It sees the same but for our marks, before and after; its own rewriting of ours is found again."""
    there = tmp_path / "x.xmp"

    def read() -> tuple[dict[str, Any], dict[str, Any]]:
        [found] = json.loads(exiftool("-j", "-G1", "-struct", "-XMP:all", there))
        ours = {
            key.removeprefix("XMP-identifai:"): value for key, value in found.items() if "identifai" in key
        }
        for name in ("XMP-dc:Subject", "XMP-lr:HierarchicalSubject"):
            values = found.get(name, [])
            values = [values] if isinstance(values, str) else values
            ours[name] = [value for value in values if value in xmp.KEYWORDS]
            found[name] = [value for value in values if value not in xmp.KEYWORDS]
        return {key: value for key, value in found.items() if "identifai" not in key}, ours

    there.write_text(LIGHTROOM, encoding="utf-8")
    before, _ = read()
    there.write_bytes(packet.marked(there.read_bytes(), MARKS))
    after, ours = read()
    assert before == after
    assert ours["Outcome"] == "artificial"
    assert ours["XMP-dc:Subject"] == ours["XMP-lr:HierarchicalSubject"] == ["identifAI|artificial"]
    exiftool("-q", "-overwrite_original", "-XMP-dc:Subject+=by exiftool", there)
    there.write_bytes(packet.marked(there.read_bytes(), HUMAN))
    last, ours = read()
    assert "by exiftool" in last["XMP-dc:Subject"]
    assert ours == {
        "Outcome": "human",
        "Decision": "human",
        "XMP-dc:Subject": ["identifAI|human"],
        "XMP-lr:HierarchicalSubject": ["identifAI|human"],
    }
    assert "OK" in exiftool("-validate", there)


@needs_exiftool
def test_exiftool_finds_a_fresh_one_in_order(tmp_path: Path) -> None:
    """One that we made has nothing that it warns of."""
    there = tmp_path / "x.xmp"
    there.write_bytes(packet.fresh(MARKS))
    assert "OK" in exiftool("-validate", there)
