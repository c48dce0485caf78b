"""Write a case into one ZIP file: streamed, each part hashed as it is written, so that its size is no matter.

The names in it are fixed or made plain, so that `unzip` and `sha256sum -c` take them anywhere; what the file is really
called stands in the manifest.
"""

import hashlib
import io
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from identifai_watch import __version__
from identifai_watch.core import sidecar, trail
from identifai_watch.core.sidecar import shown, timestamp
from identifai_watch.errors import RefusedError
from identifai_watch.evidence import instructions, page
from identifai_watch.evidence.case import PARTIAL, Answer, Case, Original
from identifai_watch.folder.opening import FolderError, open_inside
from identifai_watch.ledger import Ledger, passages
from identifai_watch.ledger.passages import Passage

SCHEMA_VERSION = 1

SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
HISTORY = "history.jsonl"
REPORT = "report.html"

_BLOCK = 1024 * 1024
_LONGEST_NAME = 100
_UNPLAIN = re.compile(r"[^A-Za-z0-9._-]")


class OriginalError(Exception):
    """The file that was judged cannot be put into a bundle; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a bundle, as it was written."""

    name: str
    size: int
    sha256: str


def put(case: Case, ledger: Ledger, path: Path, *, now: datetime, is_partial: bool = False) -> Case:
    """Write the bundle to a new file at ``path``, which appears whole or not at all; return what is in it.

    Raises:
        RefusedError: Something lies there already, it cannot be written, or the file is not what was judged.
    """
    if os.path.lexists(path):
        raise RefusedError(f"{path} is there already, and nothing is overwritten; name another file with -o")
    temporary = path.with_name(f".identifai-{secrets.token_hex(8)}.zip")
    try:
        descriptor = os.open(
            temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with open(descriptor, "w+b") as out:  # noqa: PTH123 - a descriptor has no path
            case = _write_whole(case, ledger, out, now=now, is_partial=is_partial)
            out.flush()
            os.fsync(descriptor)
        _name(temporary, path)
    except FileExistsError as error:
        raise RefusedError(f"{path} is there already, and nothing is overwritten") from error
    except OSError as error:
        raise RefusedError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return case


def temporary(
    case: Case, ledger: Ledger, directory: Path, *, now: datetime, is_partial: bool = False
) -> IO[bytes]:
    """Return the bundle as a file without a name on the disk of ``directory``, at its beginning; it goes when it is closed.

    Raises:
        RefusedError: It cannot be written, or the file is not what was judged.
    """
    try:
        out = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - whoever asked closes it
    except OSError as error:
        raise RefusedError(f"nothing can be written in {directory}: {error.strerror or error}") from error
    try:
        _write_whole(case, ledger, out, now=now, is_partial=is_partial)
        out.seek(0)
    except OSError as error:
        out.close()
        raise RefusedError(
            f"the bundle cannot be written in {directory}: {error.strerror or error}"
        ) from error
    except BaseException:
        out.close()
        raise
    return out


def _write_whole(case: Case, ledger: Ledger, out: IO[bytes], *, now: datetime, is_partial: bool) -> Case:
    try:
        write(case, ledger, out, now=now)
    except OriginalError as error:
        if not is_partial:
            raise RefusedError(f"{shown(case.file.path)}: {error}; {PARTIAL}") from error
        out.seek(0)
        out.truncate()
        case = case.without_original(str(error))
        write(case, ledger, out, now=now)
    return case


def _name(temporary: Path, path: Path) -> None:
    """Give the file its name, unless that is taken: by a link, or where there are none by holding it with an empty file."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        temporary.replace(path)


def write(case: Case, ledger: Ledger, out: IO[bytes], *, now: datetime) -> None:
    """Write the bundle into ``out``, which need not be seekable.

    Raises:
        OriginalError: The file cannot be read, or is not what was judged; what was written is no bundle.
        RefusedError: The history's chain is broken.
    """
    top = f"evidence-{case.file.sha256.hex()[:12] if case.file.sha256 is not None else case.file.id}"
    with ZipFile(out, "w", allowZip64=True) as archive:
        parts = _Parts(archive, top, now)
        original = None if case.original is None else _add_original(parts, case, case.original)
        answers = [_add_answer(parts, one) for one in case.answers]
        if case.sidecar is not None:
            parts.add("sidecar.json", [case.sidecar.text])
        if case.heatmap is not None:
            parts.add("heatmap.png", [case.heatmap], is_packed=True)
        parts.add(HISTORY, map(_history_line, case.lines))
        chain = [_add_passage(parts, ledger, one, number) for number, one in enumerate(case.passages, 1)]
        manifest = _manifest(case, original, answers, chain, now)
        parts.add(REPORT, page.rendered(case, manifest, parts.picture))
        parts.add("HOW-TO-CHECK.txt", [instructions.text(top, manifest).encode()])
        manifest["files"] = [
            {"name": one.name, "size": one.size, "sha256": one.sha256} for one in parts.written
        ]
        parts.add(MANIFEST, [json.dumps(manifest, indent=2).encode() + b"\n"])
        parts.add(SUMS, [f"{one.sha256}  {one.name}\n".encode() for one in parts.written])


class _Parts:
    """What is written into an archive so far, below one directory; ``picture`` is kept while it is small, for the page."""

    def __init__(self, archive: ZipFile, top: str, now: datetime) -> None:
        self._archive = archive
        self._top = top
        self._date = now.timetuple()[:6]
        self.written: list[Part] = []
        self.picture: bytes | None = None

    def add(self, name: str, blocks: Iterable[bytes], *, is_packed: bool = False, size: int = 0) -> Part:
        """Write a part block by block; ``is_packed`` is one that gets no smaller, ``size`` about what it will have."""
        info = ZipInfo(f"{self._top}/{name}", date_time=self._date)
        info.compress_type = ZIP_STORED if is_packed else ZIP_DEFLATED
        info.external_attr = 0o100644 << 16
        info.file_size = size  # so that one of more than 4 GB is written as such
        digest, length = hashlib.sha256(), 0
        with self._archive.open(info, "w") as out:
            for block in blocks:
                out.write(block)
                digest.update(block)
                length += len(block)
        self.written.append(Part(name=name, size=length, sha256=digest.hexdigest()))
        return self.written[-1]


def _add_original(parts: _Parts, case: Case, original: Original) -> Part:
    """Write the file that was judged, read once from one descriptor; its digest must be the ledger's."""
    name = f"original/{plain_name(case.file.path.rpartition(b'/')[2])}"
    try:
        descriptor = open_inside(original.root, original.path)
    except FolderError as error:
        raise OriginalError(f"it cannot be read: {error}") from error
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor has no path
        size = os.fstat(descriptor).st_size
        if original.sha256 is not None and size != original.size:
            raise OriginalError(
                f"it changed since it was judged: it has {size:,} bytes, and had {original.size:,}"
            )
        kept = io.BytesIO() if size <= page.LARGEST_PICTURE else None
        written = parts.add(name, _blocks(file, size, kept), is_packed=True, size=size)
    if original.sha256 is not None and written.sha256 != original.sha256.hex():
        raise OriginalError(
            f"it changed since it was judged: its SHA-256 is {written.sha256}, and was {original.sha256.hex()}"
        )
    parts.picture = None if kept is None else kept.getvalue()
    return written


def _blocks(file: io.RawIOBase | BinaryIO, size: int, kept: io.BytesIO | None) -> Iterator[bytes]:
    """Give what a file holds, but not without end if it grows meanwhile."""
    left = size + 1
    while left > 0:
        try:
            block = file.read(min(_BLOCK, left))
        except OSError as error:
            raise OriginalError(f"it cannot be read: {error.strerror}") from error
        if not block:
            return
        left -= len(block)
        if kept is not None:
            kept.write(block)
        yield block


def plain_name(name: bytes) -> str:
    """Return a name of letters, digits, dots, dashes and underscores that is like a file's own, its ending kept."""
    plain = _UNPLAIN.sub("_", name.decode("ascii", "replace")).lstrip(".-")
    stem, dot, extension = plain.rpartition(".")
    if not dot or len(extension) > 10:
        return plain[:_LONGEST_NAME] or "file"
    return f"{stem[: _LONGEST_NAME - len(extension)] or 'file'}.{extension}"


def _add_answer(parts: _Parts, answer: Answer) -> dict[str, Any]:
    analysis = answer.analysis
    part = None if answer.raw is None else parts.add(f"answers/{analysis.edition}.json", [answer.raw])
    return {
        "file": None if part is None else part.name,
        "sha256": None if part is None else part.sha256,
        "edition": analysis.edition,
        "analysis_id": analysis.id,
        "identifier": analysis.identifier,
        "judged_at": timestamp(analysis.judged_at),
    }


def _history_line(line: Any) -> bytes:
    entry = line.entry
    row = {
        "id": line.id,
        "at_us": trail.microseconds(entry.at),
        "at": timestamp(entry.at),
        "who": entry.who,
        "event": entry.event,
        "file_id": entry.file_id,
        "analysis_id": entry.analysis_id,
        "detail": entry.detail,
        "digest": line.digest.hex(),
    }
    return json.dumps(row).encode() + b"\n"


def _add_passage(parts: _Parts, ledger: Ledger, passage: Passage, number: int) -> dict[str, Any]:
    """Write a passage of the chain, and the stamp of its head if there is one."""
    part = parts.add(f"chain/{number}.txt", _chain_text(passage, passages.imprints(ledger.read, passage)))
    stamp = passage.stamp
    told = None
    if stamp is not None and stamp.answer is not None:
        name = f"chain/{number}.tsr"
        if all(one.name != name for one in parts.written):
            parts.add(name, [stamp.answer])
        told = {"file": name, "authority": stamp.authority, "stamped_at": timestamp(stamp.stamped_at)}
    return {
        "file": part.name,
        "first": passage.first,
        "last": passage.last,
        "before": passage.before.hex(),
        "head": passage.head.hex(),
        "day": None if passage.day is None else str(passage.day),
        "stamp": told,
    }


def _chain_text(passage: Passage, imprints: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    yield f"before {passage.before.hex()}\n".encode()
    for number, imprint in imprints:
        yield f"{number} {imprint.hex()}\n".encode()
    yield f"head {passage.head.hex()}\n".encode()


def _manifest(
    case: Case,
    original: Part | None,
    answers: list[dict[str, Any]],
    chain: list[dict[str, Any]],
    now: datetime,
) -> dict[str, Any]:
    """Return what is in the bundle and what it is about; the list of its files is added when all are written."""
    said: dict[str, Any] = sidecar.facts(case.file, case.analysis)
    return {
        "schema_version": SCHEMA_VERSION,
        "made_at": timestamp(now),
        "tool": {"name": sidecar.TOOL, "version": __version__},
        "file": {"folder": case.file.folder, **({"node": case.host} if case.host else {}), **said["file"]},
        "outcome": said["outcome"],
        "reason": said["reason"],
        "verdict": said["verdict"],
        "decision": said["decision"],
        "analysis": said["analysis"],
        "times": said["times"],
        "original": None if original is None else original.name,
        "sidecar": None
        if case.sidecar is None
        else {"file": "sidecar.json", "from_disk": case.sidecar.is_from_disk},
        "answers": answers,
        "heatmap": None if case.heatmap is None else "heatmap.png",
        "history": HISTORY,
        "chain": chain,
        "missing": [{"what": what, "why": reason} for what, reason in case.missing],
        "files": [],
    }
