"""Check a bundle that anybody may have made: is it whole, does it agree with itself, and who else knows its head?

Nothing is unpacked to the disk, and no name in it is ever opened. What a bundle says of itself is believed nowhere: each
sum is computed anew, and each part is read only as far as a bundle of ours could be long.
"""

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from identifai_watch.core.model import Media
from identifai_watch.core.sidecar import shown
from identifai_watch.core.trail import link
from identifai_watch.core.verdicts import mapping, sequence, verdict
from identifai_watch.errors import RefusedError
from identifai_watch.evidence import stamping
from identifai_watch.evidence.bundle import HISTORY, MANIFEST, SUMS

MOST_PARTS = 10_000
LARGEST_TEXT = 160 * 1024 * 1024
"""Bytes of a part that is read whole: an answer of identifAI may have 128 MB."""
LARGEST_PACKED = 1024 * 1024 * 1024
"""Bytes that all compressed parts together may unpack to; the original is never compressed."""

_BLOCK = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?")
_SUM_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_ENCRYPTED = 0x1
_UNREADABLE = (BadZipFile, zlib.error, NotImplementedError, EOFError, struct.error, RuntimeError, ValueError)
"""What the library says of an archive that is damaged, or not of a kind that we make."""
_MISSHAPEN = (*_UNREADABLE, KeyError, TypeError)
"""What comes of a document that is of another shape than ours."""


class BundleError(Exception):
    """Something in a bundle is not as it must be; its text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at; ``ok`` is None where it could not be checked here, and ``said`` says why."""

    what: str
    ok: bool | None
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a bundle came to: ``path`` and ``sha256`` are of the file that it is about, ``heads`` those to compare."""

    checks: tuple[Check, ...]
    path: str | None
    sha256: str | None
    heads: tuple[dict[str, Any], ...]

    @property
    def ok(self) -> bool:
        """Tell whether nothing is wrong."""
        return all(check.ok is not False for check in self.checks)


def verify(path: Path, *, ca_file: Path | None = None) -> Checked:
    """Check the bundle at ``path``; with ``ca_file`` the signatures of its stamps too.

    Raises:
        RefusedError: It cannot be opened, or is no ZIP file.
    """
    try:
        with path.open("rb") as file, ZipFile(file) as archive:
            return _Bundle(archive, file.seek(0, 2)).checked(ca_file)
    except OSError as error:
        raise RefusedError(f"{path} cannot be read: {error.strerror or error}") from error
    except _UNREADABLE as error:
        raise RefusedError(f"{path} is no ZIP file that can be read: {shown(str(error))}") from error


class _Bundle:
    """An opened bundle, of which nothing is known yet."""

    def __init__(self, archive: ZipFile, size: int) -> None:
        self._archive = archive
        self._size = size
        self._parts: dict[str, ZipInfo] = {}
        self._sums: dict[str, str] = {}
        self._manifest: dict[str, Any] = {}
        self._lines: list[dict[str, Any]] = []

    def checked(self, ca_file: Path | None) -> Checked:
        """Check one thing after the other; what builds on something that is wrong is not looked at."""
        found: list[Check] = []
        for what, look in (
            ("names", self._names),
            ("sums", self._compare_sums),
            ("manifest", self._read_manifest),
            ("original", self._original),
            ("answers", self._answers),
            ("history", self._history),
            ("chain", self._chain),
        ):
            try:
                found.append(Check(what=what, ok=True, said=shown(look())))
            except BundleError as error:
                found.append(Check(what=what, ok=False, said=shown(str(error))))
                return self._told(found)
            except _MISSHAPEN as error:
                found.append(Check(what=what, ok=False, said=f"it cannot be read: {shown(str(error))}"))
                return self._told(found)
        found += self._stamps(ca_file)
        return self._told(found)

    def _told(self, found: Sequence[Check]) -> Checked:
        of_file = mapping(self._manifest.get("file"))
        return Checked(
            checks=tuple(found),
            path=_text(of_file.get("path")),
            sha256=_text(of_file.get("sha256")),
            heads=tuple(
                {"head": one.get("head"), "day": one.get("day"), "stamp": one.get("stamp")}
                for one in map(dict, map(mapping, sequence(self._manifest.get("chain"))))
            ),
        )

    # What is in it.

    def _names(self) -> str:
        """See that each part has a plain name of its own in one directory, and is no more than it takes room for."""
        listed = self._archive.infolist()
        if len(listed) > MOST_PARTS:
            raise BundleError(f"it has {len(listed):,} parts")
        packed = room = 0
        tops = set()
        for info in listed:
            top, _, name = info.filename.partition("/")
            if not _NAME.fullmatch(f"{top}/{name.partition('/')[0]}") or not _NAME.fullmatch(name):
                raise BundleError(f"a part has a name that none of ours has: {info.filename!r}")
            if info.orig_filename != info.filename or name in self._parts:
                raise BundleError(f"a name is there twice, or means two things: {info.orig_filename!r}")
            _mind_kind(info)
            tops.add(top)
            self._parts[name] = info
            room += info.compress_size
            packed += info.file_size if info.compress_type == ZIP_DEFLATED else 0
        if room > self._size or packed > LARGEST_PACKED:
            raise BundleError(
                "it would unpack to more than a bundle can hold: its parts lie over each other, or swell"
            )
        directories = {name.partition("/")[0].lower() for name in self._parts if "/" in name}
        plain = [name.lower() for name in self._parts]
        if len(set(plain)) < len(plain) or directories & set(plain):
            raise BundleError("two parts would be one file where upper and lower case are the same")
        if len(tops) != 1:
            raise BundleError("its parts lie in more than one directory, or there are none")
        return f"{len(listed)} parts in {tops.pop()}/"

    def _compare_sums(self) -> str:
        lines = self._text(SUMS).decode("utf-8", "replace").splitlines()
        for line in lines:
            match = _SUM_LINE.fullmatch(line)
            if match is None or match[2] in self._sums:
                raise BundleError(f"{SUMS} has a line that is none, or names a part twice: {line[:100]!r}")
            self._sums[match[2]] = match[1]
        if set(self._sums) != set(self._parts) - {SUMS}:
            odd = set(self._sums) ^ (set(self._parts) - {SUMS})
            raise BundleError(
                f"{SUMS} and the parts that are there do not agree: {', '.join(sorted(odd)[:5])}"
            )
        for name, expected in self._sums.items():
            if self._digest(name) != expected:
                raise BundleError(f"{name} is not what {SUMS} says")
        return f"{len(self._sums)} parts are what {SUMS} says"

    def _read_manifest(self) -> str:
        found = _json(self._text(MANIFEST), MANIFEST)
        listed = {str(one.get("name")): one for one in map(mapping, sequence(found.get("files")))}
        if set(listed) != set(self._sums) - {MANIFEST}:
            raise BundleError(f"{MANIFEST} lists other files than there are")
        for name, one in listed.items():
            if (one.get("sha256"), one.get("size")) != (self._sums[name], self._parts[name].file_size):
                raise BundleError(f"{MANIFEST} says something else of {name}")
        self._manifest = found
        missing = [str(mapping(one).get("what")) for one in sequence(found.get("missing"))]
        return f"it agrees; missing: {', '.join(missing)}" if missing else "it agrees with what is there"

    # What it is about.

    def _original(self) -> str:
        name, told = self._manifest.get("original"), mapping(self._manifest.get("file")).get("sha256")
        self._of_sidecar(told)
        if name is None:
            return "it is not in the bundle"
        if told is None:
            return "it is there; the ledger had no hash of it"
        if self._sums.get(str(name)) != told:
            raise BundleError("the original is not the content that was judged")
        return f"it is what was judged, {told}"

    def _of_sidecar(self, sha256: object) -> None:
        name = mapping(self._manifest.get("sidecar")).get("file")
        if name is None:
            return
        found = _json(self._text(str(name)), str(name))
        if mapping(found.get("file")).get("sha256") not in {None, sha256}:
            raise BundleError("the sidecar is about another content")
        if any(found.get(told) != self._manifest.get(told) for told in ("outcome", "verdict", "decision")):
            raise BundleError(f"the sidecar tells something else than {MANIFEST}")

    def _answers(self) -> str:
        number = 0
        told = mapping(self._manifest.get("file")).get("sha256")
        for one in map(mapping, sequence(self._manifest.get("answers"))):
            if one.get("file") is None:
                continue
            name = str(one["file"])
            if self._sums.get(name) != one.get("sha256"):
                raise BundleError(f"{MANIFEST} says something else of {name}")
            element = _json(self._text(name), name)
            about = element.get("hash")
            if about and str(about).strip().lower() != told:
                raise BundleError(f"{name} is about another content")
            if number == 0:
                self._of_verdict(element, name)
            number += 1
        return f"{number} of identifAI's answers, about this content"

    def _of_verdict(self, element: dict[str, Any], name: str) -> None:
        """See that the verdict is the one in the answer that counts; what was forced later is not in it."""
        said = verdict(element, Media(str(mapping(self._manifest.get("file")).get("media"))))
        told = mapping(self._manifest.get("verdict"))
        of_answer = None if said is None else (said.classification.value, said.confidence, said.heuristic)
        if of_answer != (told.get("classification"), told.get("confidence"), told.get("heuristic")):
            raise BundleError(f"{name} gives another verdict than {MANIFEST}")

    def _history(self) -> str:
        """See that the lines vouch for the content, for the answers and for the heatmap."""
        self._lines = [_json(line, HISTORY) for line in self._text(HISTORY).splitlines()]
        details = [(one.get("analysis_id"), _detail(one)) for one in self._lines]
        told = mapping(self._manifest.get("file")).get("sha256")
        hashes = {detail["sha256"] for _, detail in details if "sha256" in detail}
        if told is not None and hashes and told not in hashes:
            raise BundleError("no line of the history is about this content")
        vouched = 0
        for one in map(mapping, sequence(self._manifest.get("answers"))):
            known = [
                detail["answer_sha256"]
                for number, detail in details
                if number == one.get("analysis_id") and "answer_sha256" in detail
            ]
            if one.get("sha256") is not None and known:
                if known[-1] != one["sha256"]:
                    raise BundleError(f"{one['file']} is not the answer that the history tells of")
                vouched += 1
        heatmap = self._manifest.get("heatmap")
        drawn = [detail["heatmap_sha256"] for _, detail in details if "heatmap_sha256" in detail]
        if heatmap is not None and drawn and self._sums.get(str(heatmap)) not in drawn:
            raise BundleError("the heatmap is not the one that the history tells of")
        return f"{len(self._lines)} lines, which vouch for {vouched} answers"

    # The chain.

    def _chain(self) -> str:
        own = {int(one["id"]): one for one in self._lines}
        listed = [mapping(one) for one in sequence(self._manifest.get("chain"))]
        for passage in listed:
            self._follow(passage, own)
        if own:
            raise BundleError(f"line {min(own)} of the history is in no part of the chain")
        return f"{len(self._lines)} lines lead to {len(listed)} heads"

    def _follow(self, passage: Any, own: dict[int, dict[str, Any]]) -> None:
        """Compute one passage anew, line by line, and take from ``own`` the lines that are in it."""
        name = str(passage.get("file"))
        digest, last = b"", b""
        with self._open(name) as file:
            for number, text in enumerate(_lines(file)):
                word, _, value = text.partition(b" ")
                last = word
                imprint = _hexadecimal(value, name)
                if number == 0:
                    if word != b"before" or value.decode() != passage.get("before"):
                        raise BundleError(f"{name} does not begin as {MANIFEST} says")
                    digest = imprint
                elif word == b"head":
                    if digest != imprint or value.decode() != passage.get("head"):
                        raise BundleError(f"{name} does not lead to its head")
                else:
                    digest = link(digest, imprint)
                    line = own.pop(int(word), None)
                    if line is not None and (_imprint(line), line["digest"]) != (imprint, digest.hex()):
                        raise BundleError(f"line {word.decode()} of the history is not the one in the chain")
        if last != b"head":
            raise BundleError(f"{name} has no head")

    def _stamps(self, ca_file: Path | None) -> Iterator[Check]:
        """Check the stamps; without the authority's root only what they are for can be told."""
        stamped = [
            one for one in map(mapping, sequence(self._manifest.get("chain"))) if one.get("stamp") is not None
        ]
        if not stamped:
            yield Check(
                what="stamps", ok=None, said="there are none: compare the heads with the daemon's log"
            )
        for one in stamped:
            said = mapping(one["stamp"])
            try:
                roots = [] if ca_file is None else stamping.roots_in(ca_file)
                head = bytes.fromhex(str(one.get("head")))
                at = stamping.check(self._text(str(said.get("file"))), head, roots=roots)
            except stamping.NoLibraryError as error:
                yield Check(what="stamp", ok=None, said=f"not checked: {error}; or see HOW-TO-CHECK.txt")
            except (stamping.StampError, BundleError, ValueError) as error:
                yield Check(what="stamp", ok=False, said=shown(str(error)))
            else:
                when = f"{one.get('head')} at {at:%Y-%m-%d %H:%M:%S} UTC"
                if roots:
                    yield Check(what="stamp", ok=True, said=f"an authority of {ca_file} vouches for {when}")
                else:
                    signed = "who signed it was not checked: give the authority's root with --ca-file"
                    yield Check(what="stamp", ok=None, said=f"it says {when}; {signed}")

    # Reading.

    def _open(self, name: str) -> IO[bytes]:
        info = self._parts.get(name)
        if info is None:
            raise BundleError(f"{name} is not in the bundle")
        return self._archive.open(info)

    def _text(self, name: str) -> bytes:
        with self._open(name) as file:
            found = file.read(LARGEST_TEXT + 1)
        if len(found) > LARGEST_TEXT:
            raise BundleError(f"{name} is too large to be read")
        return found

    def _digest(self, name: str) -> str:
        found = hashlib.sha256()
        with self._open(name) as file:
            while block := file.read(_BLOCK):
                found.update(block)
        return found.hexdigest()


def _mind_kind(info: ZipInfo) -> None:
    kind = info.external_attr >> 16 & 0o170000
    if kind not in {0, 0o100000} or info.is_dir():
        raise BundleError(f"{info.filename!r} is no plain file")
    if info.flag_bits & _ENCRYPTED or info.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        raise BundleError(f"{info.filename!r} is encrypted, or compressed in a way that none of ours is")
    if info.compress_type == ZIP_STORED and info.compress_size != info.file_size:
        raise BundleError(f"{info.filename!r} says two lengths of itself")


def _json(text: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name} is no JSON that can be read") from error
    if not isinstance(found, dict):
        raise BundleError(f"{name} is no JSON object")
    return found


def _detail(line: dict[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads(line["detail"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _imprint(line: dict[str, Any]) -> bytes:
    """Compute the imprint of a line from its columns, as anybody does who has the bundle alone."""
    columns = [line.get(name) for name in ("at_us", "who", "event", "file_id", "analysis_id", "detail")]
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Give the lines of a passage, none of which is long."""
    while line := file.readline(200):
        yield line.rstrip(b"\n")


def _hexadecimal(value: bytes, name: str) -> bytes:
    found = bytes.fromhex(value.decode("ascii"))
    if len(found) != 32:
        raise BundleError(f"{name} has a line that is none")
    return found


def _text(value: object) -> str | None:
    return shown(value) if isinstance(value, str) else None
