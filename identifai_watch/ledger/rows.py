"""Rows of the ledger as the core's values, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
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
)


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
    return None if verdict is None else json.dumps(asdict(verdict))


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


def analysis(row: sa.Row[Any]) -> Analysis:
    """Return the analysis that a row of ANALYSIS_COLUMNS holds."""
    return analysis_of(row._asdict())


def analysis_of(values: Mapping[str, Any]) -> Analysis:
    """Return the analysis that the values of ANALYSIS_COLUMNS make."""
    return Analysis(
        **dict(values)
        | {
            "media": Media(values["media"]),
            "state": AnalysisState(values["state"]),
            "verdict": verdict(values["verdict"]),
        }
    )


def analysis_values(value: Analysis) -> dict[str, Any]:
    """Return what the columns of ``analyses`` hold for ``value``, its id left out."""
    values = {field.name: getattr(value, field.name) for field in fields(value) if field.name != "id"}
    return values | {"verdict": verdict_text(value.verdict)}


def file(row: sa.Row[Any]) -> File:
    """Return the file that a row of FILE_COLUMNS holds."""
    return file_of(row._asdict())


def file_of(values: Mapping[str, Any]) -> File:
    """Return the file that the values of FILE_COLUMNS make."""
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
        decision=decision,
    )


_PLAIN = tuple(
    field.name
    for field in fields(File)
    if field.name not in {"path", "fingerprint", "state", "media", "outcome", "interim", "decision"}
)


def file_values(value: File) -> dict[str, Any]:
    """Return what the columns of ``files`` hold for ``value``; its id and its folder are left out."""
    parent, name = split(value.path)
    plain = {key: getattr(value, key) for key in _PLAIN if key not in {"id", "folder"}}
    decision = value.decision
    return {
        **plain,
        "parent": parent,
        "name": name,
        **asdict(value.fingerprint),
        "state": value.state,
        "media": value.media,
        "outcome": value.outcome,
        "interim": value.interim,
        "decision": None if decision is None else decision.choice,
        "decision_reason": None if decision is None else decision.reason,
        "decided_by": None if decision is None else decision.by,
        "decided_at": None if decision is None else decision.at,
    }


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
