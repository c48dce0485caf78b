"""Rows of the ledger as the core's values, and back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.model import (
    Account,
    AccountState,
    Analysis,
    AnalysisState,
    Choice,
    Decision,
    File,
    FileState,
    Fingerprint,
    Interim,
    Label,
    Media,
    Outcome,
    PauseReason,
    Provenance,
    Verdict,
)
from identifai_watch.ledger import schema

ANALYSIS_COLUMNS = tuple(schema.analyses.c[field.name] for field in fields(Analysis))
FILE_COLUMNS = (
    *(c for c in schema.files.c if not c.name.startswith("claim")),
    schema.folders.c.name.label("folder"),
    schema.folders.c.node,
)
_ANALYSIS_NAMES = tuple(column.name for column in ANALYSIS_COLUMNS)
_FILE_NAMES = tuple(column.name for column in FILE_COLUMNS)


def select_files() -> sa.Select[Any]:
    """Return the query for files with the names of their folders."""
    return sa.select(*FILE_COLUMNS).join(schema.folders, schema.folders.c.id == schema.files.c.folder_id)


def split(path: bytes) -> tuple[bytes, bytes]:
    """Return the parent (empty for the root) and the name of a relative path."""
    parent, _, name = path.rpartition(b"/")
    return parent, name


def join(parent: bytes, name: bytes) -> bytes:
    """Return the relative path of ``name`` in ``parent``."""
    return parent + b"/" + name if parent else name


def verdict_text(verdict: Verdict | None) -> str | None:
    """Return a verdict as the JSON that the ledger keeps."""
    return None if verdict is None else json.dumps(held(verdict), default=held)


def held(value: Any) -> dict[str, Any]:
    """Return what the fields of a value hold; ``asdict`` copies all that too, and takes several times as long."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def verdict(text: str | None) -> Verdict | None:
    """Return the verdict that the ledger keeps as ``text``."""
    if text is None:
        return None
    values = json.loads(text)
    forced, c2pa = values["forced"], values["c2pa"]
    return Verdict(
        **values
        | {
            "classification": Label(values["classification"]),
            "models": tuple(values["models"]),
            "forced": None if forced is None else Label(forced),
            "c2pa": None if c2pa is None else Provenance(**c2pa),
        }
    )


def analysis(row: Sequence[Any]) -> Analysis:
    """Return the analysis that a row of ANALYSIS_COLUMNS holds."""
    values = dict(zip(_ANALYSIS_NAMES, row, strict=True))
    values["media"] = Media(values["media"])
    values["state"] = AnalysisState(values["state"])
    values["verdict"] = verdict(values["verdict"])
    return Analysis(**values)


def analysis_values(value: Analysis, *, before: Analysis | None = None) -> dict[str, Any]:
    """Return what the columns of ``analyses`` hold for ``value``, its id left out; of those that changed since ``before``."""
    values = {name: getattr(value, name) for name in _ANALYSIS_NAMES if name != "id"}
    if before is not None:
        values = {name: now for name, now in values.items() if now != getattr(before, name)}
    if "verdict" in values:
        values["verdict"] = verdict_text(value.verdict)
    return values


def file(row: Sequence[Any]) -> File:
    """Return the file that a row of FILE_COLUMNS holds."""
    values = dict(zip(_FILE_NAMES, row, strict=True))
    decided_at = values["decided_at"]
    decision = (
        None
        if values["decision"] is None
        else Decision(
            choice=Choice(values["decision"]),
            reason=values["decision_reason"] or "",
            by=values["decided_by"] or "",
            at=decided_at,
        )
    )
    plain = {name: values[name] for name in _PLAIN}
    return File(
        **plain,
        path=join(values["parent"], values["name"]),
        fingerprint=fingerprint(values),
        state=FileState(values["state"]),
        media=None if values["media"] is None else Media(values["media"]),
        outcome=None if values["outcome"] is None else Outcome(values["outcome"]),
        interim=None if values["interim"] is None else Interim(values["interim"]),
        delivered_as=None if values["delivered_as"] is None else Outcome(values["delivered_as"]),
        decision=decision,
    )


_PLAIN = tuple(
    field.name
    for field in fields(File)
    if field.name
    not in {"path", "fingerprint", "state", "media", "outcome", "interim", "delivered_as", "decision"}
)


_FIELDS = tuple(field.name for field in fields(File) if field.name not in {"id", "folder", "node"})


def file_values(value: File, *, before: File | None = None) -> dict[str, Any]:
    """Return what the columns of ``files`` hold for ``value``, its id and its folder left out.

    With ``before`` only of the fields that changed since.
    """
    values: dict[str, Any] = {}
    for name in _FIELDS:
        now = getattr(value, name)
        if before is None or now != getattr(before, name):
            values.update(_columns(name, now))
    return values


def _columns(field: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the columns that hold one field of a file, and what they hold."""
    match field:
        case "path":
            yield from zip(("parent", "name"), split(value), strict=True)
        case "fingerprint":
            yield from held(value).items()
        case "decision":
            yield "decision", None if value is None else value.choice
            yield "decision_reason", None if value is None else value.reason
            yield "decided_by", None if value is None else value.by
            yield "decided_at", None if value is None else value.at
        case _:
            yield field, value


def fingerprint(values: Mapping[str, Any]) -> Fingerprint:
    """Return the fingerprint that a row's columns hold."""
    return Fingerprint(
        size=values["size"], mtime_ns=values["mtime_ns"], ctime_ns=values["ctime_ns"], inode=values["inode"]
    )


def account(row: sa.Row[Any] | None) -> Account:
    """Return the account that its one row holds; a fresh ledger's account is all right."""
    if row is None:
        return Account()
    values = row._asdict()
    values.pop("id")
    reason = values["reason"]
    return Account(
        **values
        | {
            "state": AccountState(values["state"]),
            "reason": None if reason is None else PauseReason(reason),
        }
    )
