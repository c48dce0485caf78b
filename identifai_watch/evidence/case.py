"""Gather what there is of one file: from the ledger, and from where it lies."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from identifai_watch import __version__
from identifai_watch.config import Config
from identifai_watch.core import sidecar
from identifai_watch.core.model import Analysis, File, FileState, Outcome
from identifai_watch.core.report import AD_HOC, SHARED, why
from identifai_watch.core.routing import sidecar_name
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import RefusedError
from identifai_watch.folder.opening import FolderError, open_inside
from identifai_watch.ledger import Ledger, Transaction, passages, trail, views
from identifai_watch.ledger.passages import Passage
from identifai_watch.ledger.views import Line

LARGEST_SIDECAR = 64 * 1024 * 1024
"""Bytes: what is larger is none of ours."""

NUMBERS = range(1, 10)
"""Sidecars of one file that are looked at: a foreign one may have taken the first name."""

PARTIAL = "--partial bundles what there is, and says what is missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """Where the file lies that was judged; ``sha256`` and ``size`` are what it must have, None if it was never hashed."""

    root: bytes
    path: bytes
    sha256: bytes | None
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What is told beside the file: as it lies there, or as the ledger would write it."""

    text: bytes
    is_from_disk: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What identifAI answered about one edition, byte for byte; None if it was pruned since."""

    analysis: Analysis
    raw: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One file with all that there is of it; ``missing`` names what is not, and why.

    ``host`` is whose file it is in a ledger that several hosts may use.
    """

    file: File
    analysis: Analysis | None
    original: Original | None
    sidecar: Sidecar | None
    answers: tuple[Answer, ...]
    heatmap: bytes | None
    lines: tuple[trail.Line, ...]
    passages: tuple[Passage, ...]
    missing: tuple[tuple[str, str], ...]
    host: str = ""

    def without_original(self, reason: str) -> "Case":
        """Return the case without the file itself, which is not what was judged any more."""
        return replace(self, original=None, missing=(*self.missing, ("original", reason)))


def gather(
    config: Config, ledger: Ledger, lines: Sequence[Line], *, now: datetime, is_partial: bool = False
) -> Case:
    """Gather what there is of the file that ``lines`` are about, the one that stands for its place first.

    Raises:
        RefusedError: It has no verdict, or is not there any more, and ``is_partial`` is not given.
    """
    line, missing = _chosen(lines)
    found = _original(config, line.file)
    original = None if isinstance(found, str) else found
    if isinstance(found, str):
        missing.append(("original", found))
    if missing and not is_partial:
        raise RefusedError(f"{shown(line.file.path)}: {'; '.join(said for _, said in missing)}; {PARTIAL}")
    with ledger.read() as tx:
        answers, heatmap = _answers(tx, line)
        told = tuple(trail.lines(tx, about=line.file))
        parts = tuple(passages.passages(tx, told, now))
    beside = _sidecar(config, line, answers[0].raw if answers else None)
    if beside is None:
        missing.append(("sidecar", "nothing was delivered yet"))
    elif not beside.is_from_disk:
        missing.append(("sidecar as delivered", "none lies beside the file that says what the ledger says"))
    missing += [
        (f"answer {one.analysis.edition}", "it was pruned, or never came")
        for one in answers
        if one.raw is None
    ]
    return Case(
        file=line.file,
        analysis=line.analysis,
        original=original,
        sidecar=beside,
        answers=answers,
        heatmap=heatmap,
        lines=told,
        passages=parts,
        missing=tuple(missing),
        host=line.file.node if ledger.member else "",
    )


def _chosen(lines: Sequence[Line]) -> tuple[Line, list[tuple[str, str]]]:
    """Return the line that a bundle is about, and what it lacks: the newest content of a place may not be judged yet."""
    first = lines[0]
    if _is_judged(first):
        return first, []
    judged = next((line for line in lines if _is_judged(line)), None)
    if judged is None:
        reason = why(first.file, first.analysis)
        return first, [("verdict", f"it has no verdict{'' if reason is None else f' ({shown(reason)})'}")]
    return judged, []


def _is_judged(line: Line) -> bool:
    return line.analysis is not None and line.analysis.verdict is not None


def _original(config: Config, file: File) -> Original | str:
    """Return where a file lies, or why it cannot be told."""
    if file.state is FileState.SUPERSEDED:
        return "it changed since it was judged, and what lies there now is another content"
    if file.state is FileState.GONE:
        return "it is not there any more"
    if not config.is_here(file.node):
        return f"it lies on the host {shown(file.node)}: identifai-watch bundle there bundles it whole"
    place = place_of(config, file)
    if place is None:
        return f"its folder {file.folder} is not configured any more"
    return Original(root=place[0], path=place[1], sha256=file.sha256, size=file.fingerprint.size)


def place_of(config: Config, file: File) -> tuple[bytes, bytes] | None:
    """Return the directory that a file is opened below, and its path there.

    None if it lies on another host, or nobody knows the folder any more.
    """
    path = file.path if file.lies_at is None else file.lies_at
    folder = config.folder_of(file.node, file.folder)
    if not config.is_here(file.node) or (folder is None and file.node == SHARED):
        return None
    if path.startswith(b"/"):
        parent, _, name = path.rpartition(b"/")
        return parent or b"/", name
    if file.folder == AD_HOC:
        return b"/", path
    return None if folder is None else (folder.root, path)


def _answers(tx: Transaction, line: Line) -> tuple[tuple[Answer, ...], bytes | None]:
    """Return what identifAI answered of the content, the edition that counts first, and its heatmap."""
    if line.analysis is None:
        return (), None
    editions = [
        line.analysis,
        *(one for one in views.editions_of(tx, line.analysis) if one.id != line.analysis.id),
    ]
    found = tuple(
        Answer(analysis=one, raw=views.raw_answer(tx, one.id)) for one in editions if one.verdict is not None
    )
    return found, views.heatmap(tx, line.analysis.id)


def _sidecar(config: Config, line: Line, raw: bytes | None) -> Sidecar | None:
    """Return the sidecar as it lies beside the file, else as the ledger would write it; None before any delivery."""
    file = line.file
    if file.outcome is None or file.delivered_at is None:
        return None
    mine = sidecar.document(
        file, line.analysis, response=sidecar.response_of(raw), version=__version__, now=file.delivered_at
    )
    if file.outcome is not Outcome.PENDING and file.state not in {FileState.GONE, FileState.SUPERSEDED}:
        place = place_of(config, file)
        text = None if place is None else _beside(*place, mine)
        if text is not None:
            return Sidecar(text=text, is_from_disk=True)
    return Sidecar(text=sidecar.encoded(mine), is_from_disk=False)


def _beside(root: bytes, path: bytes, mine: object) -> bytes | None:
    """Read our sidecar of a file where it lies, if it is there and about this very file."""
    parent, slash, name = path.rpartition(b"/")
    for n in NUMBERS:
        text = _read(root, parent + slash + sidecar_name(name, n))
        if text is None:
            return None
        with suppress(ValueError, RecursionError):
            found = json.loads(text)
            if sidecar.is_same_row(mine, found):
                return text if _says(found) == _says(mine) else None
    return None


def _says(document: Any) -> list[object]:
    """Return what a sidecar tells of a file, and not when and by which version it was written."""
    return [document.get(name) for name in ("outcome", "verdict", "decision", "duplicate")]


def _read(root: bytes, path: bytes) -> bytes | None:
    try:
        descriptor = open_inside(root, path)
    except FolderError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
        if os.fstat(file.fileno()).st_size > LARGEST_SIDECAR:
            return None
        try:
            return file.read(LARGEST_SIDECAR)
        except OSError:
            return None
