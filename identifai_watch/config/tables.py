"""Which tables a configuration has and which keys stand in them, as pydantic knows it."""

from collections.abc import Mapping, Sequence
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, PlainValidator
from pydantic.fields import FieldInfo

from identifai_watch.config.models import Config

Keys = tuple[int | str, ...]
"""The way to a value from the top: names of keys, and the number of a folder."""


def fields_of(section: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the keys of a table, as they are written."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def below(section: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the tables that stand directly in ``section``, by key."""
    found = {}
    for key, field in fields_of(section).items():
        for candidate in (field.annotation, *get_args(field.annotation)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                found[key] = candidate
    return found


def section_at(keys: Sequence[int | str]) -> type[BaseModel]:
    """Return the table that ``keys`` lead to.

    Raises:
        KeyError: there is none.
    """
    section: type[BaseModel] = Config
    for key in keys:
        section = section if isinstance(key, int) else below(section)[key]
    return section


def takes_text(field: FieldInfo) -> bool:
    """Tell whether a value is written in quotes in the file, and not as a number, a switch, a list or a table."""
    if any(isinstance(part, PlainValidator) for part in field.metadata):
        # It has a form of its own, and what it becomes says nothing about it: a mode is text and becomes a number.
        return get_origin(field.annotation) is not Mapping
    return _is_text(field.annotation)


def _is_text(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return all(isinstance(choice, str) for choice in get_args(kind))
    if get_origin(kind) is Annotated:
        return _is_text(get_args(kind)[0])
    if get_origin(kind) in {Union, UnionType}:
        return any(_is_text(part) for part in get_args(kind) if part is not type(None))
    return isinstance(kind, type) and issubclass(kind, str | Enum)
