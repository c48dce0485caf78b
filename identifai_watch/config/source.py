"""The configuration's file: from its text to a ``Config`` and back."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from identifai_watch.config.folder import Folder
from identifai_watch.config.models import Config
from identifai_watch.config.overlaps import Labelled, overlaps
from identifai_watch.config.problems import folder_labels, told
from identifai_watch.config.values import Surroundings
from identifai_watch.errors import ConfigError


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration in the file ``path``.

    Raises:
        ConfigError: it cannot be read, or is wrong, with all its problems.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 from byte {error.start} on; save it as UTF-8"]) from error
    try:
        return parse(content, path.absolute().parent, environ)
    except ConfigError as error:
        raise ConfigError(error.problems, path) from error


def parse(text: str, base: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration that ``text`` says in TOML; its paths are relative to ``base``.

    Raises:
        ConfigError: with all problems at once, or with the place of the first mistake in the TOML itself.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"not TOML: {error}"]) from error
    around = Surroundings(base=base, environ=environ)
    try:
        config = Config.model_validate(document, context=around)
    except ValidationError as error:
        problems = [*told(error, document), *overlaps(_sound_folders(document, around))]
        raise ConfigError(problems) from error
    problems = overlaps(list(zip(folder_labels(document), config.folders, strict=True)))
    if problems:
        raise ConfigError(problems)
    return config


def _sound_folders(document: Mapping[str, Any], around: Surroundings) -> list[Labelled]:
    """Return the folders that are right by themselves, so that what is wrong between them is told as well."""
    sound: list[Labelled] = []
    labels = folder_labels(document)
    for label, table in zip(labels, document["folder"] if labels else (), strict=True):
        try:
            sound.append((label, Folder.model_validate(table, context=around)))
        except ValidationError:
            continue  # told already
    return sound


def dump(document: Mapping[str, Any]) -> str:
    """Return ``document`` as TOML, for the file that ``init`` writes."""
    return tomli_w.dumps(document)
