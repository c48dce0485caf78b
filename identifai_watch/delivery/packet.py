"""The bytes of an XMP file: our marks are set in them, and all else stays as it is.

It is parsed and written by a library. What it does not take for XMP, or would not give back as it was, is refused rather
than repaired; nothing is fetched and no entity is expanded, for the file may come from anybody.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from identifai_watch.core.xmp import KEYWORDS, NAMESPACE, PREFIX, Marks

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
LR = "http://ns.adobe.com/lightroom/1.0/"
META = "adobe:ns:meta/"

SUBJECTS = {"dc": f"{{{DC}}}subject", "lr": f"{{{LR}}}hierarchicalSubject"}
"""Where keywords stand, by the usual prefix."""

_ROOTS = frozenset({f"{{{META}}}xmpmeta", f"{{{META}}}xapmeta"})
_ARRAYS = frozenset({f"{{{RDF}}}Bag", f"{{{RDF}}}Seq", f"{{{RDF}}}Alt"})
_DESCRIPTION, _LI, _ABOUT = f"{{{RDF}}}Description", f"{{{RDF}}}li", f"{{{RDF}}}about"
_OURS = f"{{{NAMESPACE}}}"

_AROUND = rb"(?>\s|<\?.*?\?>|<!--.*?-->)*+"
_BEFORE = re.compile(rb"(?:\xef\xbb\xbf)?" + _AROUND, re.DOTALL)
_AFTER = re.compile(_AROUND, re.DOTALL)
_NAME = re.compile(rb"<([^\s/>!?]+)")
_ENCODING = re.compile(rb"<\?xml\s[^>]*encoding\s*=\s*[\"']([^\"']+)")
_READ_ONLY = re.compile(rb"<\?xpacket\s+end\s*=\s*[\"']r[\"']\s*\?>")
_UTF_8 = frozenset({b"utf-8", b"utf8", b"us-ascii"})

_BLANK = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    f'<x:xmpmeta xmlns:x="{META}">\n <rdf:RDF xmlns:rdf="{RDF}">\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>\n'
).encode()


class NotXmpError(Exception):
    """It is no XMP that could be extended without harm; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packet:
    """A file taken apart: what stands ``before`` and ``after`` the root is kept byte for byte."""

    before: bytes
    root: etree._Element
    after: bytes

    @property
    def rdf(self) -> etree._Element:
        if self.root.tag == f"{{{RDF}}}RDF":
            return self.root
        [rdf] = self.root.iterchildren(f"{{{RDF}}}RDF")
        return rdf

    @property
    def descriptions(self) -> list[etree._Element]:
        return list(self.rdf.iterchildren(_DESCRIPTION))

    def encoded(self) -> bytes:
        return self.before + etree.tostring(self.root, encoding="UTF-8", with_tail=False) + self.after


def fresh(marks: Marks) -> bytes:
    """Return a file with our marks and nothing else."""
    return marked(_BLANK, marks)


def marked(content: bytes, marks: Marks) -> bytes:
    """Return a file with our marks in the place of earlier ones; ``content`` itself if it has them already.

    Raises:
        NotXmpError: It is none, or none that we could write without harm.
    """
    packet = _parsed(content)
    lists = {tag: list(_lists(packet, tag)) for tag in SUBJECTS.values()}
    has_keywords = all(_ours_of(found) == [marks.keyword] for found in lists.values())
    if has_keywords and sorted(_properties(packet)) == sorted(marks.properties):
        return content
    home = _home(packet)
    for tag, found in lists.items():
        _put_keyword(home, tag, found, marks.keyword)
    _put_properties(packet, home, dict(marks.properties))
    return packet.encoded()


def sha256_of(content: bytes) -> str | None:
    """Return which content an earlier mark of ours is about, in hex; None if there is none.

    Raises:
        NotXmpError: It is no XMP.
    """
    return dict(_properties(_parsed(content))).get("sha256")


def is_alike(one: bytes, other: bytes) -> bool:
    """Tell whether two files say the same but for our marks."""
    try:
        return one == other or _bare(one) == _bare(other)
    except NotXmpError:
        return False


# Reading.


def _parsed(content: bytes, *, blanks: bool = True) -> _Packet:
    found_before = _BEFORE.match(content)
    before = b"" if found_before is None else found_before[0]
    _check_text(content, before)
    name = _NAME.match(content, len(before))
    if name is None:
        raise NotXmpError("it is no XML")
    ends = content.find(b">", content.rfind(b"</" + name[1])) + 1
    if _AFTER.fullmatch(content, ends) is None:
        raise NotXmpError("it is no XML")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        strip_cdata=False,
        remove_blank_text=not blanks,
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise NotXmpError(f"it cannot be parsed: {error.msg}") from error
    found = [root] if root.tag == f"{{{RDF}}}RDF" else list(root.iterchildren(f"{{{RDF}}}RDF"))
    if (root.tag not in _ROOTS and root not in found) or len(found) != 1:
        raise NotXmpError("it is XML and no XMP")
    return _Packet(before=before, root=root, after=content[ends:])


def _check_text(content: bytes, before: bytes) -> None:
    """Refuse what a parser may be led astray by, and what would come out otherwise than it went in."""
    declared = _ENCODING.search(before)
    if declared is not None and declared[1].lower() not in _UTF_8:
        raise NotXmpError("it is not written in UTF-8")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotXmpError("it is not written in UTF-8") from error
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise NotXmpError("it declares a document type")
    if _READ_ONLY.search(content):
        raise NotXmpError("its packet says that it is read-only")


def _lists(packet: _Packet, tag: str) -> Iterator[etree._Element]:
    """Yield the lists of a property, of which there may be one in each description."""
    for description in packet.descriptions:
        if tag in description.attrib:
            raise NotXmpError(f"its {etree.QName(tag).localname} is no list")
        for found in description.iterchildren(tag):
            arrays = [child for child in found.iterchildren(tag=etree.Element) if child.tag in _ARRAYS]
            is_list = len(arrays) == 1 and not (found.text or "").strip()
            if not is_list or any(child not in arrays for child in found.iterchildren(tag=etree.Element)):
                raise NotXmpError(f"its {etree.QName(tag).localname} is no list")
            yield arrays[0]


def _ours_of(lists: list[etree._Element]) -> list[str]:
    return [str(li.text) for li in _our_items(lists)]


def _our_items(lists: list[etree._Element]) -> list[etree._Element]:
    return [li for found in lists for li in found.iterchildren(_LI) if li.text in KEYWORDS and not len(li)]


def _properties(packet: _Packet) -> list[tuple[str, str]]:
    """Return our properties as they stand there: as attributes, as other tools write them, or as elements."""
    found: list[tuple[str, str]] = []
    for description in packet.descriptions:
        found += [
            (str(name).removeprefix(_OURS), str(value))
            for name, value in description.attrib.items()
            if str(name).startswith(_OURS)
        ]
        found += [
            (etree.QName(child).localname, child.text or "")
            for child in description.iterchildren(f"{_OURS}*")
        ]
    return found


# Writing.


def _home(packet: _Packet) -> etree._Element:
    """Return the description that has our properties, or a new one behind the others, about the same thing."""
    descriptions = packet.descriptions
    for description in descriptions:
        is_ours = any(str(name).startswith(_OURS) for name in description.attrib)
        if is_ours or next(description.iterchildren(f"{_OURS}*"), None) is not None:
            return description
    about = str(descriptions[0].get(_ABOUT, "")) if descriptions else ""
    namespaces = {PREFIX: NAMESPACE, "rdf": RDF, "dc": DC, "lr": LR}
    home = etree.Element(_DESCRIPTION, {_ABOUT: about}, nsmap=namespaces)
    _append(packet.rdf, home)
    return home


def _put_keyword(home: etree._Element, tag: str, lists: list[etree._Element], keyword: str) -> None:
    """Let our keyword stand once in the lists of a property."""
    ours = _our_items(lists)
    if ours:
        ours[0].text = keyword
        for li in ours[1:]:
            _remove(li)
        return
    if not lists:
        found = etree.Element(tag)
        _append(home, found)
        lists = [etree.Element(f"{{{RDF}}}Bag")]
        _append(found, lists[0])
    li = etree.Element(_LI)
    li.text = keyword
    _append(lists[0], li)


def _put_properties(packet: _Packet, home: etree._Element, wanted: dict[str, str]) -> None:
    """Let our properties stand once, in the form in which they are found; those that are not wanted go."""
    left = dict(wanted)
    for description in packet.descriptions:
        for name in [str(one) for one in description.attrib if str(one).startswith(_OURS)]:
            value = left.pop(name.removeprefix(_OURS), None)
            if value is None:
                del description.attrib[name]
            else:
                description.set(name, value)
        for child in list(description.iterchildren(f"{_OURS}*")):
            value = left.pop(etree.QName(child).localname, None)
            if value is None or len(child) or child.attrib:
                _remove(child)
                left |= {} if value is None else {etree.QName(child).localname: value}
            else:
                child.text = value
    for name, value in left.items():
        added = etree.Element(f"{_OURS}{name}")
        added.text = value
        _append(home, added)


def _append(parent: etree._Element, child: etree._Element) -> None:
    """Append an element, on a line of its own where its siblings or its parent stand on theirs."""
    last = parent[-1] if len(parent) else None
    if last is None:
        outer = _indent(parent)
        parent.text, child.tail = (None, None) if outer is None else (f"{outer} ", outer)
    else:
        child.tail = last.tail
        before = parent.text if len(parent) == 1 else parent[-2].tail
        last.tail = before if before is None or not before.strip() else None
    parent.append(child)


def _indent(element: etree._Element) -> str | None:
    """Return the line's end and the blanks that an element stands behind; None if it does not begin a line."""
    parent, previous = element.getparent(), element.getprevious()
    if parent is None:
        return "\n"
    before = parent.text if previous is None else previous.tail
    return before if before is not None and "\n" in before and not before.strip() else None


def _remove(element: etree._Element) -> None:
    """Remove an element with the blanks behind it, or with those before it where it is the last one."""
    parent, previous = element.getparent(), element.getprevious()
    if parent is None:
        return
    if element.getnext() is None or (element.tail or "").strip():
        if previous is None:
            parent.text = element.tail
        else:
            previous.tail = element.tail
    parent.remove(element)


def _bare(content: bytes) -> bytes:
    """Return what a file says without our marks, in one form for everything that says the same."""
    packet = _parsed(content, blanks=False)
    for tag in SUBJECTS.values():
        lists = list(_lists(packet, tag))
        for li in _our_items(lists):
            _remove(li)
        for found in lists:
            property_ = found.getparent()
            if not len(found) and property_ is not None:
                _remove(property_)
    _put_properties(packet, packet.rdf, {})
    for description in packet.descriptions:
        if not len(description) and set(description.attrib) <= {_ABOUT}:
            _remove(description)
    etree.cleanup_namespaces(packet.root)
    return etree.tostring(packet.root, method="c14n")
