"""What was written, wherever: the file, the folders of ``conf.d`` beside it, then the environment, which wins.

The result is one raw table, as if all of it had stood in one file, and beside it what its parts are called where
something is wrong with them. Whether it is right is left to ``source``.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from identifai_watch.config.problems import folder_labels
from identifai_watch.config.tables import Keys, fields_of, section_at, takes_text
from identifai_watch.config.values import absolute, suggested
from identifai_watch.errors import ConfigError

FRAGMENTS = "conf.d"

PREFIX = "IDENTIFAI_WATCH__"
"""What the variables of the environment begin with: ``IDENTIFAI_WATCH__API__URL`` is ``url`` in ``[api]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The raw table, what each of its folders is called, where each is from, and what the environment set."""

    document: dict[str, Any]
    labels: list[str]
    files: list[str] = field(default_factory=list)
    variables: Mapping[Keys, str] = field(default_factory=dict)


def alone(text: str) -> Written:
    """Return what ``text`` says, whatever stands elsewhere.

    Raises:
        ConfigError: it is no TOML.
    """
    document = _toml(text)
    return Written(document=document, labels=folder_labels(document))


def gather(path: Path, environ: Mapping[str, str]) -> Written:
    """Return what stands in the file ``path``, in ``conf.d`` beside it, and in the environment.

    Raises:
        ConfigError: a file cannot be read, is no TOML, or holds what only the main one may; with all such problems.
    """
    problems: list[str] = []
    document: dict[str, Any] = {}
    try:
        document = _toml(_content(path))
    except ConfigError as error:
        problems += error.problems
    labels = folder_labels(document)
    files = [str(path)] * len(labels)
    for fragment in _fragments(path.absolute().parent / FRAGMENTS):
        try:
            folders = _folders(fragment)
        except ConfigError as error:
            problems += [f"{FRAGMENTS}/{fragment.name}: {problem}" for problem in error.problems]
            continue
        if isinstance(document.setdefault("folder", []), list):
            document["folder"] += folders
            labels += [
                f"{FRAGMENTS}/{fragment.name}: {label}" for label in folder_labels({"folder": folders})
            ]
            files += [str(fragment)] * len(folders)
    if problems:
        raise ConfigError(problems)
    return _with_environment(Written(document=document, labels=labels, files=files), environ)


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError([f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"is not UTF-8 from byte {error.start} on; save it as UTF-8"]) from error


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"not TOML: {error}"]) from error


def _fragments(directory: Path) -> list[Path]:
    """Return the files of ``conf.d`` by name; none where there is no such directory."""
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigError([f"{FRAGMENTS}: cannot be read: {error.strerror}"]) from error
    return [directory / name for name in names if name.endswith(".toml") and not name.startswith(".")]


def _folders(fragment: Path) -> list[Any]:
    """Return the folders of one file of ``conf.d``; their paths are relative to that file."""
    document = _toml(_content(fragment))
    strangers = [key for key in document if key != "folder"]
    if strangers:
        raise ConfigError([f"{key}: does not belong here; only [[folder]] does" for key in strangers])
    folders = document.get("folder", [])
    if not isinstance(folders, list):
        raise ConfigError(["folder: is not a list; write [[folder]]"])
    return [_anchored(folder, fragment.parent) for folder in folders]


def _anchored(folder: Any, base: Path) -> Any:
    try:
        return folder | {"path": str(absolute(folder["path"], base))}
    except (KeyError, TypeError, ValueError):
        return folder  # what is wrong with it is told when it is checked


def _with_environment(written: Written, environ: Mapping[str, str]) -> Written:
    """Lay what the environment says over what the files say."""
    document, labels, files = written.document, list(written.labels), list(written.files)
    names = sorted(
        (name for name in environ if name.startswith(PREFIX)), key=lambda name: (name.count("__"), name)
    )
    problems: list[str] = []
    variables: dict[Keys, str] = {}
    for slug in sorted({_words(name)[1] for name in names if _is_of_a_folder(name)}):
        found = _numbers(document, slug)
        if (
            not found
            and f"{PREFIX}FOLDER__{slug}__PATH" in environ
            and isinstance(document.get("folder", []), list)
        ):
            document.setdefault("folder", []).append({"name": slug.lower()})
            labels.append(f"folder.{slug.lower()}")
            files.append(f"${PREFIX}FOLDER__{slug}__PATH")
    for name in names:
        try:
            keys = _keys(document, name)
            _put(document, keys, _value(keys, environ[name]))
        except ConfigError as error:
            problems += [f"${name}: {problem}" for problem in error.problems]
            continue
        variables[keys] = name
        if keys == ("folder",):
            labels = folder_labels(document)
            files = [f"${name}"] * len(labels)
    if problems:
        raise ConfigError(problems)
    return Written(document=document, labels=labels, files=files, variables=variables)


def _words(name: str) -> list[str]:
    return name.removeprefix(PREFIX).split("__")


def _is_of_a_folder(name: str) -> bool:
    words = _words(name)
    return words[0] == "FOLDER" and len(words) > 1


def _keys(document: Mapping[str, Any], name: str) -> Keys:
    """Return where in the document a variable belongs.

    Raises:
        ConfigError: it is not written as names are, or names a folder that is not there.
    """
    words = _words(name)
    if name != name.upper() or "" in words:
        raise ConfigError([f"unknown; did you mean {PREFIX}{'__'.join(filter(None, words)).upper()}?"])
    if not _is_of_a_folder(name):
        return tuple(word.lower() for word in words)
    slug, *keys = words[1:]
    found = _numbers(document, slug)
    if len(found) > 1:
        raise ConfigError(
            [f"may be any of {len(found)} folders, whose names differ only in what a variable cannot hold"]
        )
    if not found:
        known = [_slug(folder) for folder in _listed(document)]
        remedy = f"{suggested(slug, known)} " if known else ""
        raise ConfigError(
            [f"there is no such folder; {remedy}(a new one needs {PREFIX}FOLDER__{slug}__PATH)"]
        )
    return ("folder", found[0], *(key.lower() for key in keys))


def _numbers(document: Mapping[str, Any], slug: str) -> list[int]:
    return [number for number, folder in enumerate(_listed(document)) if _slug(folder) == slug]


def _listed(document: Mapping[str, Any]) -> Sequence[Any]:
    folders = document.get("folder")
    return folders if isinstance(folders, list) else ()


def _slug(folder: Any) -> str:
    """Return a folder's name as a variable may hold it: ``wire photos`` is ``WIRE_PHOTOS``."""
    if not isinstance(folder, dict):
        return ""
    name = folder.get("name") or os.path.basename(str(folder.get("path", "")).rstrip("/"))  # noqa: PTH119 - raw text
    return re.sub(r"[^A-Z0-9]+", "_", str(name).upper()).strip("_")


def _value(keys: Keys, written: str) -> Any:
    """Return what a variable says: text as it is; numbers, switches, lists and tables as TOML writes them."""
    try:
        section = section_at(keys[:-1])
    except KeyError:
        return written  # it is told that there is no such table
    field = fields_of(section).get(str(keys[-1]))
    if field is None or takes_text(field):
        return written
    try:
        document = tomllib.loads(f"value = {written}")
    except tomllib.TOMLDecodeError:
        return written  # it is told what it should have been
    return document["value"] if len(document) == 1 else written


def _put(document: dict[str, Any], keys: Keys, value: Any) -> None:
    """Set a value; where what is above it is no table, that is told of the file."""
    place: Any = document
    for key in keys[:-1]:
        if isinstance(key, int):
            place = place[key]
        else:
            place = place.setdefault(key, {}) if isinstance(place, dict) else None
    if isinstance(place, dict):
        place[keys[-1]] = value
